//! Reads of orders and of the rules that they were decided by. The rooms differ only in how an array is handed in.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use async_trait::async_trait;
use futures::TryStreamExt as _;

use crate::domain::{Bin, ClientId, Day, Issuer, OrderKind};
use crate::ledger::effects::Effects;
use crate::ledger::order::{NewOrder, OrderEnd, OrderRecord, Outcome, RuleTable};
use crate::ledger::payment::Drawn;

use super::StoreError;
use super::postgres::PostgresStore;
use super::rows::{Columns, Reader};
use super::sqlite::SqliteStore;
use super::tables::json_text;

/// A decided order as its row tells it. What it says is in the journal, what is written in it is encrypted beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRow {
    /// Its entry.
    pub seq: u64,
    /// The tag that it is known by.
    pub tag: [u8; 32],
    /// The business day of the decision as `YYYYMMDD`.
    pub date: i32,
    /// The client that sent it.
    pub client: ClientId,
    /// Its issuer.
    pub issuer: Bin,
    /// What he is in law.
    pub issuer_kind: Issuer,
    /// What it asks for; `None` if it could not be read.
    pub kind: Option<OrderKind>,
    /// What became of it.
    pub outcome: Outcome,
    /// The debtor's wallet's internal number; 0 if there is none, or it is not told.
    pub account: u32,
    /// What was asked, tiyn; 0 if it does not say.
    pub asked: i64,
    /// What was taken.
    pub taken: i64,
    /// What is held, or was until it ended.
    pub held: i64,
    /// Of what was asked: what was neither taken nor held.
    pub refused: i64,
    /// Until when it stands, UTC milliseconds.
    pub expires: Option<i64>,
    /// Of which lots what it holds was drawn.
    pub drawn: Vec<Drawn>,
    /// The entry that ended it.
    pub ended: Option<u64>,
}

/// Orders of one kind of one issuer with one outcome, summed up. Tiyn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderSums {
    /// The issuer.
    pub issuer: Bin,
    /// What he is in law.
    pub issuer_kind: Issuer,
    /// The kind; `None` for those that could not be read.
    pub kind: Option<OrderKind>,
    /// The outcome.
    pub outcome: Outcome,
    /// How many.
    pub orders: u64,
    /// What was asked.
    pub asked: i128,
    /// What was taken.
    pub taken: i128,
    /// What was held.
    pub held: i128,
    /// What was neither taken nor held.
    pub refused: i128,
}

/// What was ordered, and by which rules it was decided.
#[async_trait]
pub trait Orders: Send + Sync {
    /// The rules in force, with their entry; `None` before the first order.
    async fn newest_rules(&self) -> Result<Option<(u64, RuleTable)>, StoreError>;

    /// The rules that an entry brought into force.
    async fn rules(&self, entry: u64) -> Result<Option<RuleTable>, StoreError>;

    /// Orders by entry.
    async fn orders(&self, entries: &[u64]) -> Result<Vec<OrderRow>, StoreError>;

    /// Orders by tag, but for those that were malformed: these bind nothing.
    async fn orders_by_tag(&self, tags: &[[u8; 32]]) -> Result<Vec<OrderRow>, StoreError>;

    /// What was taken for tax debts of wallets, by their internal numbers: tiyn. What was taken of a wallet that was merged into
    /// one of them since is told as of that. Where nothing was taken there is no row.
    async fn collected(&self, debts: &[(u32, [u8; 32])]) -> Result<Vec<(u32, [u8; 32], i64)>, StoreError>;

    /// The orders that stand on these wallets, by their internal numbers, and whose time ends: every freeze is one.
    async fn standing_until(&self, accounts: &[u32]) -> Result<Vec<OrderRow>, StoreError>;

    /// Freezes, or other orders that hold, whose time was over before a time (UTC milliseconds), of those that expire after
    /// `(expires, entry)`: each with when it expired.
    async fn expired_orders(
        &self,
        freezes: bool,
        before: i64,
        after: (i64, u64),
        limit: u32,
    ) -> Result<Vec<(i64, u64)>, StoreError>;

    /// An issuer's orders after an entry, oldest first.
    async fn orders_of_issuer(
        &self,
        issuer: Bin,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OrderRow>, StoreError>;

    /// The orders against a wallet after an entry, oldest first.
    async fn orders_against(&self, account: u32, after: u64, limit: u32)
    -> Result<Vec<OrderRow>, StoreError>;

    /// The orders decided on the business days `from ..= to` (`YYYYMMDD`) after an entry, oldest first.
    async fn orders_between(
        &self,
        from: i32,
        to: i32,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OrderRow>, StoreError>;

    /// Those of them that took money.
    async fn orders_that_took(
        &self,
        from: i32,
        to: i32,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OrderRow>, StoreError>;

    /// What was ordered and decided on the business days `from ..= to`, summed up by issuer, kind and outcome.
    async fn order_sums(&self, from: i32, to: i32) -> Result<Vec<OrderSums>, StoreError>;

    /// What is written in orders, encrypted, by entry.
    async fn sealed_orders(&self, entries: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// A hash of every row of a table of this file, with the table's name, as an audit has it.
    async fn order_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError>;
}

/// A day as the rows have it, `YYYYMMDD`.
#[must_use]
pub fn date_code(day: Day) -> i32 {
    day.as_str().bytes().filter(u8::is_ascii_digit).fold(0, |code, digit| code * 10 + i32::from(digit - b'0'))
}

/// A number as far as its column reaches.
fn int8(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn json(items: impl IntoIterator<Item = String>) -> String {
    serde_json::to_string(&items.into_iter().collect::<Vec<_>>()).expect("texts are JSON")
}

fn hexes(items: &[[u8; 32]]) -> String {
    json(items.iter().map(hex::encode))
}

/// The columns of an order, of `decision d` and `order_end e` or null.
macro_rules! order_columns {
    () => {
        "d.seq, d.tag, d.date, d.client, d.issuer, d.issuer_kind, d.kind, d.outcome, d.account, d.asked, d.taken, d.held, \
         d.refused, d.expires, d.drawn, e.seq"
    };
}

/// The columns of an order
fn order<R: Columns>(row: &R) -> Result<OrderRow, StoreError> {
    let mut row = Reader::new("decision", row);
    Ok(OrderRow {
        seq: row.integer("seq")?,
        tag: row.exactly("tag")?,
        date: row.integer("date")?,
        client: row.parsed("client", |text| ClientId::parse(text).ok())?,
        issuer: row.parsed("issuer", |text| Bin::parse(text.as_bytes()).ok())?,
        issuer_kind: row.parsed("issuer_kind", |text| Issuer::parse(text).ok())?,
        kind: row.parsed_or_null("kind", |text| OrderKind::parse(text).ok())?,
        outcome: row.parsed("outcome", Outcome::parse)?,
        account: row.integer("account")?,
        asked: row.integer("asked")?,
        taken: row.integer("taken")?,
        held: row.integer("held")?,
        refused: row.integer("refused")?,
        expires: row.integer_or_null("expires")?,
        drawn: row.parsed("drawn", |text| serde_json::from_str(text).ok())?,
        ended: row.integer_or_null("ended")?,
    })
}

/// `issuer, issuer_kind, kind, outcome`, how many, and of each sum its millions of tiyn and the rest: no sum of many orders passes
/// what a column holds.
fn order_sums<R: Columns>(row: &R) -> Result<OrderSums, StoreError> {
    fn sum<R: Columns>(row: &mut Reader<'_, R>, column: &'static str) -> Result<i128, StoreError> {
        let (millions, rest): (i64, i64) = (row.integer(column)?, row.integer(column)?);
        Ok(i128::from(millions) * 1_000_000 + i128::from(rest))
    }
    let mut row = Reader::new("decision", row);
    Ok(OrderSums {
        issuer: row.parsed("issuer", |text| Bin::parse(text.as_bytes()).ok())?,
        issuer_kind: row.parsed("issuer_kind", |text| Issuer::parse(text).ok())?,
        kind: row.parsed_or_null("kind", |text| OrderKind::parse(text).ok())?,
        outcome: row.parsed("outcome", Outcome::parse)?,
        orders: row.integer("orders")?,
        asked: sum(&mut row, "asked")?,
        taken: sum(&mut row, "taken")?,
        held: sum(&mut row, "held")?,
        refused: sum(&mut row, "refused")?,
    })
}

fn rule_table(text: &str) -> Option<RuleTable> {
    serde_json::from_str(text).ok()
}

/// The facts of an order, as its row has them: what a commit writes and an audit compares.
#[derive(Hash)]
pub(super) struct OrderFacts {
    pub(super) seq: u64,
    pub(super) tag: [u8; 32],
    pub(super) date: i32,
    pub(super) client: String,
    pub(super) issuer: String,
    pub(super) issuer_kind: &'static str,
    pub(super) kind: Option<&'static str>,
    pub(super) outcome: &'static str,
    pub(super) account: u32,
    pub(super) asked: i64,
    pub(super) taken: i64,
    pub(super) held: i64,
    pub(super) refused: i64,
    pub(super) expires: Option<i64>,
    /// The tax debt.
    pub(super) debt: Option<[u8; 32]>,
    pub(super) drawn: String,
}

impl OrderFacts {
    /// Of an order that a commit decides; `None`: its record is no decision.
    pub(super) fn of(order: &NewOrder) -> Option<Self> {
        let NewOrder { seq, date, ref client, account, ref drawn, ref record, sealed: _ } = *order;
        let bare = |tag: [u8; 32], issuer: Bin, issuer_kind: Issuer| Self {
            seq,
            tag,
            date,
            client: client.as_str().to_owned(),
            issuer: issuer.to_string(),
            issuer_kind: issuer_kind.as_str(),
            kind: None,
            outcome: Outcome::Malformed.as_str(),
            account,
            asked: 0,
            taken: 0,
            held: 0,
            refused: 0,
            expires: None,
            debt: None,
            drawn: json_text(drawn),
        };
        match record {
            OrderRecord::Malformed { order, issuer, issuer_kind, .. } => {
                Some(bare(*order, *issuer, *issuer_kind))
            }
            OrderRecord::Decided(decision) => Some(Self {
                kind: Some(decision.said.order_kind.as_str()),
                outcome: decision.outcome.as_str(),
                asked: decision.asked(),
                taken: decision.taken.tiyn(),
                held: decision.held.tiyn(),
                refused: decision.refused.tiyn(),
                expires: decision.said.expires,
                debt: decision.said.debt.map(|debt| debt.tag),
                ..bare(decision.said.order, decision.issuer, decision.issuer_kind)
            }),
            OrderRecord::RulesSet { .. } | OrderRecord::Expired { .. } | OrderRecord::LevySettled { .. } => {
                None
            }
        }
    }
}

fn row_hash(row: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

/// The facts of a row of `decision`: `seq, tag, date, client, issuer, issuer_kind, kind, outcome, account, asked, taken, held,
/// refused, expires, drawn, debt`
fn facts<R: Columns>(row: &R) -> Result<u64, StoreError> {
    let mut row = Reader::new("decision", row);
    Ok(row_hash(&OrderFacts {
        seq: row.integer("seq")?,
        tag: row.exactly("tag")?,
        date: row.integer("date")?,
        client: row.parsed("client", |text| Some(text.to_owned()))?,
        issuer: row.parsed("issuer", |text| Some(text.to_owned()))?,
        issuer_kind: row.parsed("issuer_kind", |text| Issuer::parse(text).ok().map(Issuer::as_str))?,
        kind: row.parsed_or_null("kind", |text| OrderKind::parse(text).ok().map(OrderKind::as_str))?,
        outcome: row.parsed("outcome", |text| Outcome::parse(text).map(Outcome::as_str))?,
        account: row.integer("account")?,
        asked: row.integer("asked")?,
        taken: row.integer("taken")?,
        held: row.integer("held")?,
        refused: row.integer("refused")?,
        expires: row.integer_or_null("expires")?,
        drawn: row.parsed("drawn", |text| Some(text.to_owned()))?,
        debt: row.exactly_or_null("debt")?,
    }))
}

/// Hashes and counts of the rows that a commit adds to the tables of this file, table by table.
#[must_use]
pub fn digests_of(fx: &Effects) -> [(&'static str, u64, u64); 3] {
    fn sum(table: &'static str, keys: impl Iterator<Item = u64>) -> (&'static str, u64, u64) {
        keys.fold((table, 0, 0), |(table, sum, count), key| (table, sum.wrapping_add(key), count + 1))
    }
    [
        sum("decision", fx.orders.iter().filter_map(OrderFacts::of).map(|facts| row_hash(&facts))),
        sum("order_end", fx.order_ends.iter().map(row_hash)),
        sum("rule_table", fx.rule_tables.iter().map(|(seq, table)| row_hash(&(seq, json_text(table))))),
    ]
}

/// The statements of a room that read an array: as a JSON array of texts. The order of the loops is from the array to the table.
struct Statements {
    orders: &'static str,
    by_tag: &'static str,
    debts: &'static str,
    standing_until: &'static str,
    sealed: &'static str,
}

const SQLITE: Statements = Statements {
    orders: concat!(
        "SELECT ",
        order_columns!(),
        " FROM json_each($1) k CROSS JOIN decision d ON d.seq = CAST(k.value AS integer)
          LEFT JOIN order_end e ON e.decision = d.seq"
    ),
    by_tag: concat!(
        "SELECT ",
        order_columns!(),
        " FROM json_each($1) k CROSS JOIN decision d ON d.tag = unhex(k.value) AND d.outcome <> 'malformed'
          LEFT JOIN order_end e ON e.decision = d.seq"
    ),
    // Of each wallet and debt, from the wallet back to those that were merged into it, and then what was taken of each.
    debts: "WITH RECURSIVE asked (account, debt) AS (
            SELECT CAST(k.value ->> 0 AS integer), unhex(k.value ->> 1) FROM json_each($1) k
        ), merged (account, debt, id) AS (
            SELECT a.account, a.debt, w.id FROM asked a CROSS JOIN wallet w ON w.account = a.account
            UNION SELECT m.account, m.debt, l.id FROM merged m CROSS JOIN wallet_lead l ON l.leads_to = m.id
        )
        SELECT m.account, m.debt, CAST(sum(d.taken) AS integer) FROM merged m
            CROSS JOIN wallet w ON w.id = m.id
            CROSS JOIN decision d ON d.debt = m.debt AND d.account = w.account AND d.taken > 0
        GROUP BY m.account, m.debt",
    standing_until: concat!(
        "SELECT ",
        order_columns!(),
        " FROM json_each($1) k
          CROSS JOIN decision d ON d.account = CAST(k.value AS integer) AND d.outcome = 'held' AND d.expires IS NOT NULL
          LEFT JOIN order_end e ON e.decision = d.seq
          WHERE e.seq IS NULL"
    ),
    sealed: "SELECT d.seq, d.sealed FROM json_each($1) k CROSS JOIN decision d ON d.seq = CAST(k.value AS integer)",
};

const POSTGRES: Statements = Statements {
    orders: concat!(
        "SELECT ",
        order_columns!(),
        " FROM json_array_elements_text($1::json) k (value)
          CROSS JOIN LATERAL (SELECT * FROM decision WHERE seq = k.value::bigint LIMIT 1) d
          LEFT JOIN LATERAL (SELECT seq FROM order_end WHERE decision = d.seq LIMIT 1) e ON true"
    ),
    by_tag: concat!(
        "SELECT ",
        order_columns!(),
        " FROM json_array_elements_text($1::json) k (value)
          CROSS JOIN LATERAL (SELECT * FROM decision
              WHERE tag = decode(k.value, 'hex') AND outcome <> 'malformed' LIMIT 1) d
          LEFT JOIN LATERAL (SELECT seq FROM order_end WHERE decision = d.seq LIMIT 1) e ON true"
    ),
    debts: "WITH RECURSIVE asked (account, debt) AS (
            SELECT (k.value ->> 0)::integer, decode(k.value ->> 1, 'hex') FROM json_array_elements($1::json) k (value)
        ), merged (account, debt, id) AS (
            SELECT a.account, a.debt, w.id FROM asked a
                CROSS JOIN LATERAL (SELECT id FROM wallet WHERE account = a.account LIMIT 1) w
            UNION SELECT m.account, m.debt, l.id FROM merged m
                CROSS JOIN LATERAL (SELECT id FROM wallet_lead WHERE leads_to = m.id ORDER BY leads_to) l
        )
        SELECT m.account, m.debt, sum(d.taken)::bigint FROM merged m
            CROSS JOIN LATERAL (SELECT account FROM wallet WHERE id = m.id LIMIT 1) w
            CROSS JOIN LATERAL (SELECT taken FROM decision
                WHERE debt = m.debt AND account = w.account AND taken > 0 ORDER BY debt, account) d
        GROUP BY m.account, m.debt",
    standing_until: concat!(
        "SELECT ",
        order_columns!(),
        " FROM json_array_elements_text($1::json) k (value)
          CROSS JOIN LATERAL (SELECT * FROM decision WHERE account = k.value::integer AND outcome = 'held'
              AND expires IS NOT NULL ORDER BY account, seq) d
          LEFT JOIN LATERAL (SELECT seq FROM order_end WHERE decision = d.seq LIMIT 1) e ON true
          WHERE e.seq IS NULL"
    ),
    sealed: "SELECT d.seq, d.sealed FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT seq, sealed FROM decision WHERE seq = k.value::bigint LIMIT 1) d",
};

const OF_ISSUER: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM decision d LEFT JOIN order_end e ON e.decision = d.seq
      WHERE d.issuer = $1 AND d.seq > $2 ORDER BY d.seq LIMIT $3"
);

const AGAINST: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM decision d LEFT JOIN order_end e ON e.decision = d.seq
      WHERE d.account = $1 AND d.seq > $2 ORDER BY d.seq LIMIT $3"
);

// Days follow each other as entries do: those of a period are one range of entries.
const BETWEEN: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM decision d LEFT JOIN order_end e ON e.decision = d.seq
      WHERE d.seq > $3 AND d.seq >= (SELECT seq FROM decision WHERE date >= $1 ORDER BY date, seq LIMIT 1)
          AND d.seq <= (SELECT seq FROM decision WHERE date <= $2 ORDER BY date DESC, seq DESC LIMIT 1)
      ORDER BY d.seq LIMIT $4"
);

const TOOK: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM decision d LEFT JOIN order_end e ON e.decision = d.seq
      WHERE d.seq > $3 AND d.taken > 0 AND d.date BETWEEN $1 AND $2 ORDER BY d.seq LIMIT $4"
);

const SUMS: &str = "SELECT issuer, issuer_kind, kind, outcome, count(*),
        CAST(sum(asked / 1000000) AS bigint), CAST(sum(asked % 1000000) AS bigint),
        CAST(sum(taken / 1000000) AS bigint), CAST(sum(taken % 1000000) AS bigint),
        CAST(sum(held / 1000000) AS bigint), CAST(sum(held % 1000000) AS bigint),
        CAST(sum(refused / 1000000) AS bigint), CAST(sum(refused % 1000000) AS bigint)
    FROM decision WHERE date BETWEEN $1 AND $2
    GROUP BY issuer, issuer_kind, kind, outcome ORDER BY issuer, issuer_kind, kind, outcome";

const EXPIRED: &str = "SELECT d.expires, d.seq FROM decision d
    WHERE d.outcome = 'held' AND d.expires < $1 AND (d.expires, d.seq) > ($2, $3) AND (d.kind = 'freeze') = $5
        AND NOT EXISTS (SELECT 1 FROM order_end e WHERE e.decision = d.seq)
    ORDER BY d.expires, d.seq LIMIT $4";

/// The reads whose plans matter on PostgreSQL, with the number of their arguments.
pub(super) const PLANNED: [(&str, usize); 10] = [
    (POSTGRES.orders, 1),
    (POSTGRES.by_tag, 1),
    (POSTGRES.debts, 1),
    (POSTGRES.standing_until, 1),
    (POSTGRES.sealed, 1),
    (OF_ISSUER, 3),
    (AGAINST, 3),
    (BETWEEN, 4),
    (SUMS, 2),
    (EXPIRED, 5),
];

macro_rules! orders {
    ($store:ty, $statements:expr) => {
        #[async_trait]
        impl Orders for $store {
            async fn newest_rules(&self) -> Result<Option<(u64, RuleTable)>, StoreError> {
                let sql = "SELECT seq, rules FROM rule_table ORDER BY seq DESC LIMIT 1";
                let row = sqlx::query(sql).fetch_optional(&mut *self.readers.acquire().await?).await?;
                let Some(row) = row else { return Ok(None) };
                let mut row = Reader::new("rule_table", &row);
                Ok(Some((row.integer("seq")?, row.parsed("rules", rule_table)?)))
            }

            async fn rules(&self, entry: u64) -> Result<Option<RuleTable>, StoreError> {
                let query = sqlx::query("SELECT rules FROM rule_table WHERE seq = $1").bind(int8(entry));
                let row = query.fetch_optional(&mut *self.readers.acquire().await?).await?;
                row.map(|row| Reader::new("rule_table", &row).parsed("rules", rule_table)).transpose()
            }

            async fn orders(&self, entries: &[u64]) -> Result<Vec<OrderRow>, StoreError> {
                if entries.is_empty() {
                    return Ok(Vec::new());
                }
                let query = sqlx::query($statements.orders).bind(json(entries.iter().map(u64::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn orders_by_tag(&self, tags: &[[u8; 32]]) -> Result<Vec<OrderRow>, StoreError> {
                if tags.is_empty() {
                    return Ok(Vec::new());
                }
                let query = sqlx::query($statements.by_tag).bind(hexes(tags));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn collected(
                &self,
                debts: &[(u32, [u8; 32])],
            ) -> Result<Vec<(u32, [u8; 32], i64)>, StoreError> {
                if debts.is_empty() {
                    return Ok(Vec::new());
                }
                let debts: Vec<(u32, String)> =
                    debts.iter().map(|(account, debt)| (*account, hex::encode(debt))).collect();
                let text = serde_json::to_string(&debts).expect("numbers and texts are JSON");
                let rows = sqlx::query($statements.debts)
                    .bind(text)
                    .fetch_all(&mut *self.readers.acquire().await?)
                    .await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("decision", row);
                        Ok((row.integer("account")?, row.exactly("debt")?, row.integer("taken")?))
                    })
                    .collect()
            }

            async fn standing_until(&self, accounts: &[u32]) -> Result<Vec<OrderRow>, StoreError> {
                if accounts.is_empty() {
                    return Ok(Vec::new());
                }
                let accounts = json(accounts.iter().map(u32::to_string));
                let query = sqlx::query($statements.standing_until).bind(accounts);
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn expired_orders(
                &self,
                freezes: bool,
                before: i64,
                after: (i64, u64),
                limit: u32,
            ) -> Result<Vec<(i64, u64)>, StoreError> {
                let query = sqlx::query(EXPIRED).bind(before).bind(after.0).bind(int8(after.1));
                let query = query.bind(i64::from(limit)).bind(freezes);
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("decision", row);
                        Ok((row.integer("expires")?, row.integer("seq")?))
                    })
                    .collect()
            }

            async fn orders_of_issuer(
                &self,
                issuer: Bin,
                after: u64,
                limit: u32,
            ) -> Result<Vec<OrderRow>, StoreError> {
                let query = sqlx::query(OF_ISSUER).bind(issuer.to_string()).bind(int8(after));
                let rows =
                    query.bind(i64::from(limit)).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn orders_against(
                &self,
                account: u32,
                after: u64,
                limit: u32,
            ) -> Result<Vec<OrderRow>, StoreError> {
                let query = sqlx::query(AGAINST).bind(i64::from(account)).bind(int8(after));
                let rows =
                    query.bind(i64::from(limit)).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn orders_between(
                &self,
                from: i32,
                to: i32,
                after: u64,
                limit: u32,
            ) -> Result<Vec<OrderRow>, StoreError> {
                let query = sqlx::query(BETWEEN).bind(from).bind(to).bind(int8(after));
                let rows =
                    query.bind(i64::from(limit)).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn orders_that_took(
                &self,
                from: i32,
                to: i32,
                after: u64,
                limit: u32,
            ) -> Result<Vec<OrderRow>, StoreError> {
                let query = sqlx::query(TOOK).bind(from).bind(to).bind(int8(after));
                let rows =
                    query.bind(i64::from(limit)).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order).collect()
            }

            async fn order_sums(&self, from: i32, to: i32) -> Result<Vec<OrderSums>, StoreError> {
                let query = sqlx::query(SUMS).bind(from).bind(to);
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(order_sums).collect()
            }

            async fn sealed_orders(&self, entries: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
                if entries.is_empty() {
                    return Ok(Vec::new());
                }
                let query = sqlx::query($statements.sealed).bind(json(entries.iter().map(u64::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("decision", row);
                        Ok((row.integer("seq")?, row.bytes()?))
                    })
                    .collect()
            }

            async fn order_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError> {
                let mut connection = self.readers.acquire().await?;
                let mut digests = Vec::new();
                macro_rules! table {
                    ($table:literal, $sql:literal, $key:expr) => {{
                        let (mut sum, mut count) = (0u64, 0u64);
                        let mut rows = sqlx::query($sql).fetch(&mut *connection);
                        while let Some(row) = rows.try_next().await? {
                            let key: Result<u64, StoreError> = $key(&row);
                            sum = sum.wrapping_add(key?);
                            count += 1;
                        }
                        digests.push(($table, sum, count));
                    }};
                }
                table!(
                    "decision",
                    "SELECT seq, tag, date, client, issuer, issuer_kind, kind, outcome, account, asked, taken, held,
                        refused, expires, drawn, debt FROM decision",
                    facts
                );
                table!("order_end", "SELECT decision, seq FROM order_end", |row| {
                    let mut row = Reader::new("order_end", row);
                    Ok(row_hash(&OrderEnd { order: row.integer("decision")?, seq: row.integer("seq")? }))
                });
                table!("rule_table", "SELECT seq, rules FROM rule_table", |row| {
                    let mut row = Reader::new("rule_table", row);
                    let seq: u64 = row.integer("seq")?;
                    let rules: String = row.parsed("rules", |text| Some(text.to_owned()))?;
                    Ok(row_hash(&(seq, rules)))
                });
                Ok(digests)
            }
        }
    };
}

orders!(SqliteStore, SQLITE);
orders!(PostgresStore, POSTGRES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_the_code_of_its_digits() {
        assert_eq!(date_code(Day::parse("2026-02-09").unwrap()), 20_260_209);
    }
}
