//! Reads of holders' authorisations, of payments, and of who is told what. The rooms differ only in how an array is handed in.

use async_trait::async_trait;
use futures::TryStreamExt as _;

use crate::domain::{BankReference, Bic, ClientId, WalletId};
use crate::ledger::effects::Effects;
use crate::ledger::payment::{
    Audience, Authorisation, AuthorisationEntry, CashReference, Counted, Payment, PaymentEntry, PaymentKind,
    PaymentState, UsageEntry,
};

use super::StoreError;
use super::postgres::PostgresStore;
use super::rows::{Columns, Reader, row_hash};
use super::sqlite::SqliteStore;
use super::tables::json_text;

/// What holders have authorised, and what became of it.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Authorisations by entry.
    async fn authorisations(&self, entries: &[u64]) -> Result<Vec<Authorisation>, StoreError>;

    /// Payments by entry, with their histories.
    async fn payments(&self, entries: &[u64]) -> Result<Vec<Payment>, StoreError>;

    /// Cash-outs by their references.
    async fn cash_outs(&self, references: &[CashReference]) -> Result<Vec<(CashReference, u64)>, StoreError>;

    /// The newest row of each of what is counted by business day.
    async fn usage(&self, counted: &[Counted]) -> Result<Vec<UsageEntry>, StoreError>;

    /// The encrypted destinations of authorisations; empty for cash.
    async fn sealed_destinations(&self, entries: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Transfers of a bank after an entry, oldest first: all, or those whose money is held.
    async fn transfers_of_bank(
        &self,
        bank: Bic,
        only_held: bool,
        after: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StoreError>;

    /// Cash-outs whose time was over before a time (UTC milliseconds) and that stand open, of those that expire after
    /// `(expires, entry)`: each with when it expired.
    async fn expired_cash(
        &self,
        before: i64,
        after: (i64, u64),
        limit: u32,
    ) -> Result<Vec<(i64, u64)>, StoreError>;

    /// The entries that somebody is told of, after an entry, in order.
    async fn events(&self, audience: Audience, after: u64, limit: u32) -> Result<Vec<u64>, StoreError>;

    /// A hash of every row of a table of this file, with the table's name, as an audit has it.
    async fn payment_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError>;
}

/// A number as far as its column reaches.
fn int8(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn json(items: impl IntoIterator<Item = String>) -> String {
    serde_json::to_string(&items.into_iter().collect::<Vec<_>>()).expect("texts are JSON")
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// `seq, id, channel, terms, version, used, revoked`
fn authorisation<R: Columns>(row: &R) -> Result<Authorisation, StoreError> {
    let mut row = Reader::new("authorisation", row);
    Ok(Authorisation {
        seq: row.integer("seq")?,
        wallet: WalletId::from_uuid(row.uuid()?),
        channel: row.parsed("channel", |text| ClientId::parse(text).ok())?,
        terms: row.parsed("terms", parsed)?,
        version: row.integer("version")?,
        used: row.integer("used")?,
        revoked: row.flag("revoked")?,
    })
}

/// `seq, id, authorisation, channel, amount, detail, drawn`
fn payment<R: Columns>(row: &R) -> Result<Payment, StoreError> {
    let mut row = Reader::new("payment", row);
    Ok(Payment {
        seq: row.integer("seq")?,
        wallet: WalletId::from_uuid(row.uuid()?),
        authorisation: row.integer("authorisation")?,
        channel: row.parsed("channel", |text| ClientId::parse(text).ok())?,
        amount: row.integer("amount")?,
        kind: row.parsed("detail", parsed::<PaymentKind>)?,
        drawn: row.parsed("drawn", parsed)?,
        history: Vec::new(),
    })
}

/// `payment, version, seq, at, state, released, settled, returned, tries, agent, reference`
fn payment_entry<R: Columns>(row: &R) -> Result<PaymentEntry, StoreError> {
    let mut row = Reader::new("payment_entry", row);
    Ok(PaymentEntry {
        payment: row.integer("payment")?,
        version: row.integer("version")?,
        seq: row.integer("seq")?,
        at: row.integer("at")?,
        state: row.code("state", PaymentState::from_code)?,
        released: row.integer("released")?,
        settled: row.integer("settled")?,
        returned: row.integer("returned")?,
        tries: row.integer("tries")?,
        agent: row.parsed_or_null("agent", |text| Bic::parse(text.as_bytes()).ok())?,
        reference: row.parsed_or_null("reference", |text| BankReference::parse(text).ok())?,
    })
}

/// `counted, date, version, seq, amount`
fn usage_entry<R: Columns>(row: &R) -> Result<UsageEntry, StoreError> {
    let mut row = Reader::new("daily_usage", row);
    Ok(UsageEntry {
        counted: row.parsed("counted", |text| Some(text.to_owned()))?,
        date: row.integer("date")?,
        version: row.integer("version")?,
        seq: row.integer("seq")?,
        amount: row.integer("amount")?,
    })
}

/// `authorisation, version, seq, used, revoked`
fn authorisation_entry<R: Columns>(row: &R) -> Result<AuthorisationEntry, StoreError> {
    let mut row = Reader::new("authorisation_entry", row);
    Ok(AuthorisationEntry {
        authorisation: row.integer("authorisation")?,
        version: row.integer("version")?,
        seq: row.integer("seq")?,
        used: row.integer("used")?,
        revoked: row.flag("revoked")?,
    })
}

fn number<R: Columns>(row: &R) -> Result<u64, StoreError> {
    Reader::new("payment", row).integer("seq")
}

/// A row of `authorisation` as an audit knows it.
fn authorisation_key(seq: u64, account: u32, channel: &str, terms: &str) -> u64 {
    row_hash(&(seq, account, channel, terms))
}

/// A row of `payment` as an audit knows it.
#[derive(Hash)]
struct PaymentKey {
    seq: u64,
    account: u32,
    authorisation: u64,
    amount: i64,
    bank: Option<String>,
    reference: Option<String>,
    expires: Option<i64>,
    detail: String,
    drawn: String,
}

/// A row of `event` as an audit knows it.
fn event_key(audience: &str, seq: u64) -> u64 {
    row_hash(&(audience, seq))
}

/// Hashes and counts of the rows that a commit adds to the tables of this file, table by table.
#[must_use]
pub fn digests_of(fx: &Effects) -> [(&'static str, u64, u64); 6] {
    fn sum(table: &'static str, keys: impl Iterator<Item = u64>) -> (&'static str, u64, u64) {
        keys.fold((table, 0, 0), |(table, sum, count), key| (table, sum.wrapping_add(key), count + 1))
    }
    [
        sum(
            "authorisation",
            fx.authorisations.iter().map(|row| {
                authorisation_key(row.seq, row.account, row.channel.as_str(), &json_text(&row.terms))
            }),
        ),
        sum("authorisation_entry", fx.authorisation_entries.iter().map(row_hash)),
        sum(
            "payment",
            fx.payments.iter().map(|row| {
                let (bank, reference, expires) = match row.kind {
                    PaymentKind::Transfer { bank } => (Some(bank.to_string()), None, None),
                    PaymentKind::Cash { reference, expires, .. } => {
                        (None, Some(reference.to_string()), Some(expires))
                    }
                };
                row_hash(&PaymentKey {
                    seq: row.seq,
                    account: row.account,
                    authorisation: row.authorisation,
                    amount: row.amount,
                    bank,
                    reference,
                    expires,
                    detail: json_text(&row.kind),
                    drawn: json_text(&row.drawn),
                })
            }),
        ),
        sum("payment_entry", fx.payment_entries.iter().map(row_hash)),
        sum("daily_usage", fx.usage.iter().map(row_hash)),
        sum("event", fx.events.iter().map(|(audience, seq)| event_key(&audience.to_string(), *seq))),
    ]
}

/// The statements of a room that read an array: as a JSON array of texts. The order of the loops is from the array to the table.
struct Statements {
    authorisations: &'static str,
    payments: &'static str,
    entries: &'static str,
    cash_outs: &'static str,
    usage: &'static str,
    destinations: &'static str,
}

const SQLITE: Statements = Statements {
    authorisations: "SELECT a.seq, w.id, a.channel, a.terms, e.version, e.used, e.revoked
        FROM json_each($1) k CROSS JOIN authorisation a ON a.seq = CAST(k.value AS integer)
        CROSS JOIN wallet w ON w.account = a.account
        CROSS JOIN authorisation_entry e ON e.authorisation = a.seq
            AND e.version = (SELECT max(version) FROM authorisation_entry WHERE authorisation = a.seq)",
    payments: "SELECT p.seq, w.id, p.authorisation, a.channel, p.amount, p.detail, p.drawn
        FROM json_each($1) k CROSS JOIN payment p ON p.seq = CAST(k.value AS integer)
        CROSS JOIN wallet w ON w.account = p.account CROSS JOIN authorisation a ON a.seq = p.authorisation",
    entries: "SELECT e.payment, e.version, e.seq, e.at, e.state, e.released, e.settled, e.returned, e.tries, e.agent,
            e.reference
        FROM json_each($1) k CROSS JOIN payment_entry e ON e.payment = CAST(k.value AS integer)
        ORDER BY e.payment, e.version",
    cash_outs: "SELECT p.reference, p.seq FROM json_each($1) k CROSS JOIN payment p ON p.reference = k.value",
    usage: "SELECT u.counted, u.date, u.version, u.seq, u.amount
        FROM json_each($1) k CROSS JOIN daily_usage u ON u.rowid = (SELECT rowid FROM daily_usage
            WHERE counted = k.value ORDER BY date DESC, version DESC LIMIT 1)",
    destinations: "SELECT a.seq, a.sealed_destination
        FROM json_each($1) k CROSS JOIN authorisation a ON a.seq = CAST(k.value AS integer)",
};

const POSTGRES: Statements = Statements {
    authorisations: "SELECT a.seq, w.id, a.channel, a.terms, e.version, e.used, e.revoked
        FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT * FROM authorisation WHERE seq = k.value::bigint LIMIT 1) a
        CROSS JOIN LATERAL (SELECT id FROM wallet WHERE account = a.account LIMIT 1) w
        CROSS JOIN LATERAL (SELECT version, used, revoked FROM authorisation_entry
            WHERE authorisation = a.seq ORDER BY version DESC LIMIT 1) e",
    payments: "SELECT p.seq, w.id, p.authorisation, a.channel, p.amount, p.detail, p.drawn
        FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT * FROM payment WHERE seq = k.value::bigint LIMIT 1) p
        CROSS JOIN LATERAL (SELECT id FROM wallet WHERE account = p.account LIMIT 1) w
        CROSS JOIN LATERAL (SELECT channel FROM authorisation WHERE seq = p.authorisation LIMIT 1) a",
    entries: "SELECT e.payment, e.version, e.seq, e.at, e.state, e.released, e.settled, e.returned, e.tries, e.agent,
            e.reference
        FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT * FROM payment_entry WHERE payment = k.value::bigint ORDER BY version) e
        ORDER BY e.payment, e.version",
    cash_outs: "SELECT p.reference, p.seq FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT reference, seq FROM payment WHERE reference = k.value LIMIT 1) p",
    usage: "SELECT u.counted, u.date, u.version, u.seq, u.amount
        FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT * FROM daily_usage WHERE counted = k.value
            ORDER BY date DESC, version DESC LIMIT 1) u",
    destinations: "SELECT a.seq, a.sealed_destination FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT seq, sealed_destination FROM authorisation WHERE seq = k.value::bigint LIMIT 1) a",
};

macro_rules! payments {
    ($store:ty, $statements:expr) => {
        #[async_trait]
        impl Payments for $store {
            async fn authorisations(&self, entries: &[u64]) -> Result<Vec<Authorisation>, StoreError> {
                if entries.is_empty() {
                    return Ok(Vec::new());
                }
                let query = sqlx::query($statements.authorisations).bind(json(entries.iter().map(u64::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(authorisation).collect()
            }

            async fn payments(&self, entries: &[u64]) -> Result<Vec<Payment>, StoreError> {
                if entries.is_empty() {
                    return Ok(Vec::new());
                }
                let keys = json(entries.iter().map(u64::to_string));
                let query = sqlx::query($statements.payments).bind(keys.clone());
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                let mut payments = rows.iter().map(payment).collect::<Result<Vec<_>, _>>()?;
                let query = sqlx::query($statements.entries).bind(keys);
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                let place: std::collections::HashMap<u64, usize> =
                    payments.iter().enumerate().map(|(place, payment)| (payment.seq, place)).collect();
                for row in rows {
                    let entry = payment_entry(&row)?;
                    if let Some(place) = place.get(&entry.payment) {
                        payments[*place].history.push(entry);
                    }
                }
                if let Some(bare) = payments.iter().find(|payment| payment.history.is_empty()) {
                    let found = format!("none of payment {}", bare.seq);
                    return Err(StoreError::Inconsistent { table: "payment_entry", column: "payment", found });
                }
                Ok(payments)
            }

            async fn cash_outs(
                &self,
                references: &[CashReference],
            ) -> Result<Vec<(CashReference, u64)>, StoreError> {
                if references.is_empty() {
                    return Ok(Vec::new());
                }
                let query = sqlx::query($statements.cash_outs).bind(json(references.iter().map(ToString::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("payment", row);
                        Ok((row.parsed("reference", CashReference::parse)?, row.integer("seq")?))
                    })
                    .collect()
            }

            async fn usage(&self, counted: &[Counted]) -> Result<Vec<UsageEntry>, StoreError> {
                if counted.is_empty() {
                    return Ok(Vec::new());
                }
                let query = sqlx::query($statements.usage).bind(json(counted.iter().map(ToString::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(usage_entry).collect()
            }

            async fn sealed_destinations(&self, entries: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
                let query = sqlx::query($statements.destinations).bind(json(entries.iter().map(u64::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("authorisation", row);
                        Ok((row.integer("seq")?, row.bytes()?))
                    })
                    .collect()
            }

            async fn transfers_of_bank(
                &self,
                bank: Bic,
                only_held: bool,
                after: u64,
                limit: u32,
            ) -> Result<Vec<u64>, StoreError> {
                // What has ended is found in an index of its own (`payment_ended`).
                let sql = if only_held {
                    "SELECT p.seq FROM payment p WHERE p.bank = $1 AND p.seq > $2
                        AND NOT EXISTS (SELECT 1 FROM payment_entry e WHERE e.payment = p.seq AND e.state >= 4)
                    ORDER BY p.seq LIMIT $3"
                } else {
                    "SELECT seq FROM payment WHERE bank = $1 AND seq > $2 ORDER BY seq LIMIT $3"
                };
                let query = sqlx::query(sql).bind(bank.as_str().to_owned()).bind(int8(after)).bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(number).collect()
            }

            async fn expired_cash(
                &self,
                before: i64,
                after: (i64, u64),
                limit: u32,
            ) -> Result<Vec<(i64, u64)>, StoreError> {
                let sql = "SELECT p.expires, p.seq FROM payment p
                    WHERE p.expires < $1 AND (p.expires, p.seq) > ($2, $3)
                        AND NOT EXISTS (SELECT 1 FROM payment_entry e WHERE e.payment = p.seq AND e.state > 1)
                    ORDER BY p.expires, p.seq LIMIT $4";
                let query = sqlx::query(sql).bind(before).bind(after.0).bind(int8(after.1)).bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("payment", row);
                        Ok((row.integer("expires")?, row.integer("seq")?))
                    })
                    .collect()
            }

            async fn events(&self, audience: Audience, after: u64, limit: u32) -> Result<Vec<u64>, StoreError> {
                let sql = "SELECT seq FROM event WHERE audience = $1 AND seq > $2 ORDER BY seq LIMIT $3";
                let query = sqlx::query(sql).bind(audience.to_string()).bind(int8(after)).bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(number).collect()
            }

            async fn payment_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError> {
                let mut connection = self.readers.acquire().await?;
                let mut digests = Vec::new();
                macro_rules! table {
                    ($table:literal, $sql:literal, $key:expr) => {
                        {
                        let (mut sum, mut count) = (0u64, 0u64);
                        let mut rows = sqlx::query($sql).fetch(&mut *connection);
                        while let Some(row) = rows.try_next().await? {
                            let key: Result<u64, StoreError> = $key(&row);
                            sum = sum.wrapping_add(key?);
                            count += 1;
                        }
                        digests.push(($table, sum, count));
                        }
                    };
                }
                table!("authorisation", "SELECT seq, account, channel, terms FROM authorisation", |row| {
                    let mut row = Reader::new("authorisation", row);
                    let (seq, account) = (row.integer("seq")?, row.integer("account")?);
                    let channel: String = row.parsed("channel", |text| Some(text.to_owned()))?;
                    let terms: String = row.parsed("terms", |text| Some(text.to_owned()))?;
                    Ok(authorisation_key(seq, account, &channel, &terms))
                });
                table!(
                    "authorisation_entry",
                    "SELECT authorisation, version, seq, used, revoked FROM authorisation_entry",
                    |row| authorisation_entry(row).map(|row| row_hash(&row))
                );
                table!(
                    "payment",
                    "SELECT seq, account, authorisation, amount, bank, reference, expires, detail, drawn FROM payment",
                    |row| {
                        let mut row = Reader::new("payment", row);
                        let text = |text: &str| Some(text.to_owned());
                        Ok(row_hash(&PaymentKey {
                            seq: row.integer("seq")?,
                            account: row.integer("account")?,
                            authorisation: row.integer("authorisation")?,
                            amount: row.integer("amount")?,
                            bank: row.parsed_or_null("bank", text)?,
                            reference: row.parsed_or_null("reference", text)?,
                            expires: row.integer_or_null("expires")?,
                            detail: row.parsed("detail", text)?,
                            drawn: row.parsed("drawn", text)?,
                        }))
                    }
                );
                table!(
                    "payment_entry",
                    "SELECT payment, version, seq, at, state, released, settled, returned, tries, agent, reference
                     FROM payment_entry",
                    |row| payment_entry(row).map(|row| row_hash(&row))
                );
                table!(
                    "daily_usage",
                    "SELECT counted, date, version, seq, amount FROM daily_usage",
                    |row| usage_entry(row).map(|row| row_hash(&row))
                );
                table!("event", "SELECT audience, seq FROM event", |row| {
                    let mut row = Reader::new("event", row);
                    let audience: String = row.parsed("audience", |text| Some(text.to_owned()))?;
                    Ok(event_key(&audience, row.integer("seq")?))
                });
                Ok(digests)
            }
        }
    };
}

payments!(SqliteStore, SQLITE);
payments!(PostgresStore, POSTGRES);
