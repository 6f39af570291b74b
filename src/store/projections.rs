//! Whole tables, page by page in the order of their keys, for holding against a replay. The same statements serve both rooms.

use async_trait::async_trait;

use crate::ledger::record::BatchTotals;
use crate::ledger::wallet::Benefit;

use super::postgres::PostgresStore;
use super::rows::Reader;
use super::sqlite::SqliteStore;
use super::{StoreError, Tile};

/// A row of `pay_out`: what was drawn of one lot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PayOutRow {
    /// The pay-out's entry.
    pub seq: u64,
    /// 1, 2, 3 … in the order in which lots were drawn.
    pub draw: u32,
    /// How much, tiyn.
    pub amount: i64,
    /// The wallet's number.
    pub account: u32,
    /// The wallet's version.
    pub version: u32,
    /// The lot's version in its wallet.
    pub lot: u32,
    /// To which bank.
    pub bank: String,
}

/// A row of `batch_entry`, kind and state as their codes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the columns of the table
pub struct BatchEntryRow {
    pub batch: u32,
    pub version: u32,
    pub seq: u64,
    pub at: i64,
    pub kind: i16,
    pub first_line: u64,
    pub lines: u32,
    pub state: i16,
    pub totals: BatchTotals,
    pub digest: Vec<u8>,
    pub verdicts: Vec<u8>,
}

/// The tables that the service reads by key only, and an audit whole.
#[async_trait]
pub trait Projections: Send + Sync {
    /// Bound instruction ids and bank references, with their entries, after an id (empty: from the first).
    async fn instruction_rows(&self, after: &[u8], limit: u32) -> Result<Vec<([u8; 16], u64)>, StoreError>;

    /// People's tags with their wallets' numbers, after a tag (empty: from the first).
    async fn person_tag_rows(&self, after: &[u8], limit: u32) -> Result<Vec<([u8; 32], u32)>, StoreError>;

    /// Draws of pay-outs, after (entry, draw).
    async fn pay_out_rows(&self, after: (u64, u32), limit: u32) -> Result<Vec<PayOutRow>, StoreError>;

    /// Full tiles, after (level, index).
    async fn tile_rows(&self, after: Option<(u8, u64)>, limit: u32) -> Result<Vec<Tile>, StoreError>;

    /// Entries of batches with their verdicts, after (batch, version).
    async fn batch_entry_rows(&self, after: (u32, u32), limit: u32)
    -> Result<Vec<BatchEntryRow>, StoreError>;

    /// Benefits that have any row.
    async fn benefit_keys(&self) -> Result<Vec<Benefit>, StoreError>;
}

const INSTRUCTIONS: &str = "SELECT id, seq FROM instruction WHERE id > $1 ORDER BY id LIMIT $2";

const PERSON_TAGS: &str = "SELECT tag, account FROM person_tag WHERE tag > $1 ORDER BY tag LIMIT $2";

const PAY_OUTS: &str = "SELECT seq, draw, amount, account, version, lot, bank FROM pay_out
    WHERE (seq, draw) > ($1, $2) ORDER BY seq, draw LIMIT $3";

const TILES: &str = "SELECT level, place, hashes FROM tile
    WHERE (level, place) > ($1, $2) ORDER BY level, place LIMIT $3";

const BATCH_ENTRIES: &str = "SELECT batch, version, seq, at, kind, first_line, lines, state, received_lines,
        received_total, accepted_lines, accepted_total, digest, verdicts
    FROM batch_entry WHERE (batch, version) > ($1, $2) ORDER BY batch, version LIMIT $3";

const BENEFITS: &str = "SELECT DISTINCT programme, period, part FROM benefit_paid";

/// A number as far as its column reaches.
fn int8(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

macro_rules! projections {
    ($store:ty) => {
        #[async_trait]
        impl Projections for $store {
            async fn instruction_rows(
                &self,
                after: &[u8],
                limit: u32,
            ) -> Result<Vec<([u8; 16], u64)>, StoreError> {
                let query = sqlx::query(INSTRUCTIONS).bind(after.to_vec()).bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(super::rows::instruction).collect()
            }

            async fn person_tag_rows(
                &self,
                after: &[u8],
                limit: u32,
            ) -> Result<Vec<([u8; 32], u32)>, StoreError> {
                let query = sqlx::query(PERSON_TAGS).bind(after.to_vec()).bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("person_tag", row);
                        Ok((row.exactly("tag")?, row.integer("account")?))
                    })
                    .collect()
            }

            async fn pay_out_rows(
                &self,
                after: (u64, u32),
                limit: u32,
            ) -> Result<Vec<PayOutRow>, StoreError> {
                let query = sqlx::query(PAY_OUTS).bind(int8(after.0)).bind(i64::from(after.1));
                let rows =
                    query.bind(i64::from(limit)).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("pay_out", row);
                        Ok(PayOutRow {
                            seq: row.integer("seq")?,
                            draw: row.integer("draw")?,
                            amount: row.integer("amount")?,
                            account: row.integer("account")?,
                            version: row.integer("version")?,
                            lot: row.integer("lot")?,
                            bank: row.parsed("bank", |text| Some(text.to_owned()))?,
                        })
                    })
                    .collect()
            }

            async fn tile_rows(&self, after: Option<(u8, u64)>, limit: u32) -> Result<Vec<Tile>, StoreError> {
                let (level, place) = after.map_or((-1, -1), |(level, place)| (i64::from(level), int8(place)));
                let query = sqlx::query(TILES).bind(level).bind(place).bind(i64::from(limit));
                let rows = query.fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("tile", row);
                        let (level, index) = (row.integer("level")?, row.integer("place")?);
                        Ok(Tile { level, index, hashes: row.bytes()? })
                    })
                    .collect()
            }

            async fn batch_entry_rows(
                &self,
                after: (u32, u32),
                limit: u32,
            ) -> Result<Vec<BatchEntryRow>, StoreError> {
                let query = sqlx::query(BATCH_ENTRIES).bind(i64::from(after.0)).bind(i64::from(after.1));
                let rows =
                    query.bind(i64::from(limit)).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter()
                    .map(|row| {
                        let mut row = Reader::new("batch_entry", row);
                        Ok(BatchEntryRow {
                            batch: row.integer("batch")?,
                            version: row.integer("version")?,
                            seq: row.integer("seq")?,
                            at: row.integer("at")?,
                            kind: row.integer("kind")?,
                            first_line: row.integer("first_line")?,
                            lines: row.integer("lines")?,
                            state: row.integer("state")?,
                            totals: BatchTotals {
                                received_lines: row.integer("received_lines")?,
                                received_total: row.integer("received_total")?,
                                accepted_lines: row.integer("accepted_lines")?,
                                accepted_total: row.integer("accepted_total")?,
                            },
                            digest: row.bytes()?,
                            verdicts: row.bytes()?,
                        })
                    })
                    .collect()
            }

            async fn benefit_keys(&self) -> Result<Vec<Benefit>, StoreError> {
                let rows = sqlx::query(BENEFITS).fetch_all(&mut *self.readers.acquire().await?).await?;
                rows.iter().map(|row| Reader::new("benefit_paid", row).benefit()).collect()
            }
        }
    };
}

projections!(SqliteStore);
projections!(PostgresStore);
