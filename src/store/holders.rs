//! What holders have chosen, and which ids lead to another wallet. The tables are small; the same code serves both rooms.

use async_trait::async_trait;
use futures::TryStreamExt as _;

use crate::domain::WalletId;
use crate::ledger::choice::{Chosen, NewChoice};
use crate::ledger::effects::Effects;
use crate::ledger::person::MovedLot;

use super::StoreError;
use super::postgres::PostgresStore;
use super::rows::{Columns, Reader, row_hash};
use super::sqlite::SqliteStore;

/// Reads of choices and of ids that lead on.
#[async_trait]
pub trait Holders: Send + Sync {
    /// The choices of wallets that hold, by internal number and programme's number.
    async fn choices(&self, accounts: &[u32]) -> Result<Vec<(u32, u32, Chosen)>, StoreError>;

    /// What was chosen for a wallet after an entry and a programme's number, in their order.
    async fn choice_history(
        &self,
        account: u32,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<Vec<NewChoice>, StoreError>;

    /// Whether any id leads to another wallet.
    async fn has_leads(&self) -> Result<bool, StoreError>;

    /// Where ids lead directly. An id that leads nowhere is left out.
    async fn leads(&self, ids: &[WalletId]) -> Result<Vec<(WalletId, WalletId)>, StoreError>;

    /// A sum of the hashes of the rows of each table of this file, and their number, as an audit has it.
    async fn holder_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError>;
}

/// `seq, account, programme, authorisation`
fn choice<R: Columns>(row: &R) -> Result<NewChoice, StoreError> {
    let mut row = Reader::new("choice", row);
    Ok(NewChoice {
        seq: row.integer("seq")?,
        account: row.integer("account")?,
        programme: row.integer("programme")?,
        authorisation: row.integer_or_null("authorisation")?,
    })
}

/// `id, leads_to`
fn lead<R: Columns>(row: &R) -> Result<(WalletId, WalletId), StoreError> {
    let mut row = Reader::new("wallet_lead", row);
    Ok((WalletId::from_uuid(row.uuid()?), WalletId::from_uuid(row.uuid()?)))
}

/// `seq, account, lot, credited`
fn moved_lot<R: Columns>(row: &R) -> Result<MovedLot, StoreError> {
    let mut row = Reader::new("moved_lot", row);
    Ok(MovedLot {
        seq: row.integer("seq")?,
        account: row.integer("account")?,
        lot: row.integer("lot")?,
        credited: row.integer("credited")?,
    })
}

/// A row of `wallet_lead` as an audit knows it.
fn lead_key(id: WalletId, to: WalletId, seq: u64) -> u64 {
    row_hash(&(id.uuid().into_bytes(), to.uuid().into_bytes(), seq))
}

/// Hashes and counts of the rows that a commit adds to the tables of this file, table by table.
#[must_use]
pub fn digests_of(fx: &Effects) -> [(&'static str, u64, u64); 3] {
    fn sum(table: &'static str, keys: impl Iterator<Item = u64>) -> (&'static str, u64, u64) {
        keys.fold((table, 0, 0), |(table, sum, count), key| (table, sum.wrapping_add(key), count + 1))
    }
    [
        sum("choice", fx.choices.iter().map(row_hash)),
        sum("wallet_lead", fx.leads.iter().map(|row| lead_key(row.id, row.to, row.seq))),
        sum("moved_lot", fx.moved_lots.iter().map(row_hash)),
    ]
}

/// The statements of a room that read an array. The order of the loops is from the array to the table.
struct Statements {
    choices: &'static str,
    leads: &'static str,
}

const SQLITE: Statements = Statements {
    choices: "SELECT c.seq, c.account, c.programme, c.authorisation
        FROM json_each($1) k CROSS JOIN choice c ON c.account = CAST(k.value AS integer)
        WHERE c.seq = (SELECT max(seq) FROM choice WHERE account = c.account AND programme = c.programme)",
    leads: "SELECT l.id, l.leads_to FROM json_each($1) k CROSS JOIN wallet_lead l ON l.id = unhex(k.value)",
};

const POSTGRES: Statements = Statements {
    choices: "SELECT c.seq, c.account, c.programme, c.authorisation
        FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT DISTINCT ON (programme) * FROM choice WHERE account = k.value::integer
            ORDER BY programme, seq DESC) c",
    leads: "SELECT l.id, l.leads_to FROM json_array_elements_text($1::json) k (value)
        CROSS JOIN LATERAL (SELECT id, leads_to FROM wallet_lead WHERE id = k.value::uuid LIMIT 1) l",
};

fn json(items: impl IntoIterator<Item = String>) -> String {
    serde_json::to_string(&items.into_iter().collect::<Vec<_>>()).expect("texts are JSON")
}

macro_rules! holders {
    ($store:ty, $statements:expr) => {
        #[async_trait]
        impl Holders for $store {
            async fn choices(&self, accounts: &[u32]) -> Result<Vec<(u32, u32, Chosen)>, StoreError> {
                if accounts.is_empty() {
                    return Ok(Vec::new());
                }
                let query =
                    sqlx::query($statements.choices).bind(json(accounts.iter().map(u32::to_string)));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let NewChoice { seq, account, programme, authorisation } = choice(row)?;
                        Ok((account, programme, Chosen { seq, authorisation }))
                    })
                    .collect()
            }

            async fn choice_history(
                &self,
                account: u32,
                after: Option<(u64, u32)>,
                limit: u32,
            ) -> Result<Vec<NewChoice>, StoreError> {
                let sql = "SELECT seq, account, programme, authorisation FROM choice
                    WHERE account = $1 AND (seq, programme) > ($2, $3) ORDER BY seq, programme LIMIT $4";
                let (seq, programme) = after.map_or((-1, -1), |(seq, programme)| {
                    (i64::try_from(seq).unwrap_or(i64::MAX), i64::from(programme))
                });
                let query = sqlx::query(sql).bind(i64::from(account)).bind(seq).bind(programme);
                let query = query.bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(choice).collect()
            }

            async fn has_leads(&self) -> Result<bool, StoreError> {
                let any = sqlx::query("SELECT 1 FROM wallet_lead LIMIT 1");
                Ok(any.fetch_optional(&mut *self.readers.acquire().await?).await?.is_some())
            }

            async fn leads(&self, ids: &[WalletId]) -> Result<Vec<(WalletId, WalletId)>, StoreError> {
                if ids.is_empty() {
                    return Ok(Vec::new());
                }
                let ids = json(ids.iter().map(|id| id.uuid().simple().to_string()));
                let query = sqlx::query($statements.leads).bind(ids);
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(lead).collect()
            }

            async fn holder_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError> {
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
                table!("choice", "SELECT seq, account, programme, authorisation FROM choice", |row| {
                    choice(row).map(|row| row_hash(&row))
                });
                table!("wallet_lead", "SELECT id, leads_to, seq FROM wallet_lead", |row| {
                    let (id, to) = lead(row)?;
                    let seq = Reader::new("wallet_lead", row).past(2).integer("seq")?;
                    Ok(lead_key(id, to, seq))
                });
                table!("moved_lot", "SELECT seq, account, lot, credited FROM moved_lot", |row| {
                    moved_lot(row).map(|row| row_hash(&row))
                });
                Ok(digests)
            }
        }
    };
}

holders!(SqliteStore, SQLITE);
holders!(PostgresStore, POSTGRES);
