//! The store: where a book is kept. One trait, two rooms: SQLite (embedded) and PostgreSQL.
//!
//! A book lives whole in one SQLite file or one PostgreSQL schema. Only [`Store::commit`] writes, and only by adding rows
//! (the one row that changes is the log's head in SQLite). The head is the fence: a commit names the head that it was
//! decided on, and is [`CommitError::Stale`] if the head is another. Both rooms write the same journal, byte for byte.
//!
//! Every read takes arrays: one is the N = 1 case of many. What is absent is left out of the answer. Reads see what is
//! committed.
//!
//! It may use `domain` and `ledger`. It holds no rules: what it refuses (an update, a second wallet for a person, a
//! negative balance) is refused by the schema itself, as a second wall behind the rules.

pub mod holders;
pub mod orders;
pub mod payments;
pub mod postgres;
pub mod projections;
mod rows;
pub mod sqlite;
mod tables;

use async_trait::async_trait;
use roaring::RoaringBitmap;

use crate::domain::time::Stamp;
use crate::domain::{BatchId, BookId, WalletId};
use crate::ledger::account::SystemAccount;
use crate::ledger::batch::Batch;
use crate::ledger::books::{Paid, PayOut, SystemHead};
use crate::ledger::effects::{Effects, LogChange, SystemEntry};
use crate::ledger::record::ProgrammeSpec;
use crate::ledger::registry::RegistryChange;
use crate::ledger::signed::{Evidence, Nonce};
use crate::ledger::wallet::{Benefit, Lot, LotMovement, Wallet, WalletEntry};

/// The head of the log: what the next commit builds on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Which book this is.
    pub book: BookId,
    /// How many entries the journal has.
    pub size: u64,
    /// How many wallets have been opened.
    pub wallet_count: u32,
    /// How many batches have been opened.
    pub batch_count: u32,
    /// The time of the last commit, UTC milliseconds; 0 before the first.
    pub at: i64,
    /// The last commit's nonce: tells whether a commit of unknown outcome is in. Zeros before the first.
    pub nonce: [u8; 16],
}

/// What a copy or a snapshot of a book holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The head.
    pub head: Head,
    /// The tree's right edge at it.
    pub frontier: Vec<u8>,
    /// The version of the schema.
    pub schema_version: i64,
}

/// Leaves of consecutive entries, at most 256, never across a multiple of 256: each a big-endian 16-bit length and the
/// bytes. So the C2SP entry bundle of 256 is the concatenation of its rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// The first entry's number.
    pub first: u64,
    /// How many entries.
    pub count: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A full hash tile (C2SP tlog-tiles, height 8): 256 hashes of 32 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// Its level.
    pub level: u8,
    /// Its number within the level.
    pub index: u64,
    /// 8,192 bytes.
    pub hashes: Vec<u8>,
}

/// A checkpoint's body: what is signed of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixedCheckpoint {
    /// How many entries its tree has.
    pub size: u64,
    /// The size of the checkpoint before it; 0 if it is the first.
    pub previous_size: u64,
    /// The text that is signed, with its last newline.
    pub body: Vec<u8>,
}

/// A checkpoint that may be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedCheckpoint {
    /// How many entries its tree has.
    pub size: u64,
    /// When it was published, UTC milliseconds.
    pub at: i64,
    /// The signed note.
    pub note: Vec<u8>,
}

/// Everything that one commit writes.
#[derive(Clone, PartialEq, Debug)]
pub struct Commit {
    /// The head that it was decided on: the fence.
    pub before: Head,
    /// The head after it. Its nonce is new.
    pub after: Head,
    /// The commit's moment.
    pub stamp: Stamp,
    /// The leaves.
    pub bundles: Vec<Bundle>,
    /// Hash tiles that became full.
    pub tiles: Vec<Tile>,
    /// The tree's right edge after it: the RFC 6962 roots of its complete subtrees.
    pub frontier: Vec<u8>,
    /// The rows of the projections. (Its `records` are what the bundles hold; they are not stored again.)
    pub effects: Effects,
    /// Nonces of the signed requests that it decided.
    pub nonces: Vec<Nonce>,
    /// What was signed of the requests that made its entries.
    pub evidence: Vec<Evidence>,
}

/// What the store says of instructions and nonces, all as of one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The head at that moment.
    pub head: Head,
    /// The entries that instruction ids are bound to.
    pub bound: Vec<([u8; 16], u64)>,
    /// Which of the nonces are spent.
    pub spent: Vec<[u8; 16]>,
}

/// What a store cannot do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, or refused. The text is for the operator's log, never for a client.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database holds what this program did not write.
    #[error("the store is inconsistent: table {table}, column {column}: {found}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is there. Never a person's data.
        found: String,
    },
    /// The schema is not the one that this program needs.
    #[error("the schema does not fit: {0}")]
    Schema(String),
}

/// Why a commit is not known to be in.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another writer has moved the head. Nothing was written.
    #[error("another writer has moved the head")]
    Stale,
    /// Nothing was written.
    #[error("not committed: {0}")]
    Failed(StoreError),
    /// The connection was lost at a moment when the commit may or may not have happened: [`Store::is_committed`] tells.
    #[error("the outcome is unknown: {0}")]
    Unknown(StoreError),
}

/// A chunk's row: the verdicts on its lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkRow {
    /// The batch's version at it: later rows hold the later word on a line.
    pub version: u32,
    /// The first line.
    pub first_line: u64,
    /// How many lines.
    pub lines: u32,
    /// SHA-256 of the chunk's bytes.
    pub digest: [u8; 32],
    /// The verdicts in their stored form, 20 bytes each.
    pub verdicts: Vec<u8>,
}

/// When a batch's first and last chunks were committed, UTC milliseconds; `None` before the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchTimes {
    /// The commit of the first chunk.
    pub first_chunk_at: Option<i64>,
    /// The commit of the newest chunk.
    pub last_chunk_at: Option<i64>,
}

/// A registered programme, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgrammeRow {
    /// Its internal number.
    pub number: u32,
    /// The journal entry that registered it.
    pub seq: u64,
    /// What it is, with the class that it has now.
    pub spec: ProgrammeSpec,
}

/// A part of a wallet's statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatementRange {
    /// Entries after this version.
    pub after_version: u32,
    /// Entries committed at or after this time, UTC milliseconds.
    pub from: i64,
    /// Entries committed at or before this time.
    pub to: i64,
    /// At most so many.
    pub limit: u32,
}

/// A place where a book is kept.
#[async_trait]
pub trait Store:
    projections::Projections + payments::Payments + orders::Orders + holders::Holders + 'static
{
    /// `sqlite` or `postgres`.
    fn name(&self) -> &'static str;

    /// The head; `None` if no book has been created here.
    async fn head(&self) -> Result<Option<Head>, StoreError>;

    /// Creates the book: its head at size 0. Does nothing if there is one.
    async fn create_book(&self, book: BookId) -> Result<(), StoreError>;

    /// All programmes, by number.
    async fn programmes(&self) -> Result<Vec<ProgrammeRow>, StoreError>;

    /// The heads of all system accounts, by number.
    async fn system_accounts(&self) -> Result<Vec<SystemHead>, StoreError>;

    /// Wallets by id, with their heads.
    async fn wallets(&self, ids: &[WalletId]) -> Result<Vec<(WalletId, Wallet)>, StoreError>;

    /// Who has been paid these benefits. A benefit that nobody was paid is left out.
    async fn benefits(&self, benefits: &[Benefit]) -> Result<Vec<(Benefit, RoaringBitmap)>, StoreError>;

    /// The entries that paid these benefits to these wallets, the oldest of a wallet first: after a merging there may be several.
    async fn paid(&self, keys: &[(u32, Benefit)]) -> Result<Vec<((u32, Benefit), Paid)>, StoreError>;

    /// The lots of wallets as of the wallet's version given last, from the lot version given second: (account, from,
    /// as of). Spent lots included.
    async fn lots(&self, keys: &[(u32, u32, u32)]) -> Result<Vec<(u32, Lot)>, StoreError>;

    /// The lots that these benefits made, as they are now, in the order of their versions.
    async fn lots_of_benefits(&self, keys: &[(u32, Benefit)]) -> Result<Vec<(u32, Lot)>, StoreError>;

    /// Pay-outs by entry, with what has come back of each.
    async fn pay_outs(&self, entries: &[u64]) -> Result<Vec<(u64, PayOut)>, StoreError>;

    /// The entries that instruction ids are bound to.
    async fn instructions(&self, ids: &[[u8; 16]]) -> Result<Vec<([u8; 16], u64)>, StoreError>;

    /// The entries that instruction ids are bound to, which of these nonces are spent, and the head, all at one moment;
    /// `None` if no book has been created here.
    async fn standing(&self, ids: &[[u8; 16]], nonces: &[Nonce]) -> Result<Option<Standing>, StoreError>;

    /// Spends nonces without a commit. Answers which it spent; the others were spent before. Durable when it returns.
    async fn spend(&self, nonces: &[Nonce]) -> Result<Vec<[u8; 16]>, StoreError>;

    /// Forgets nonces that expired before a second since 1970, the oldest first, so many at the most; answers how many there were.
    /// The schema refuses to forget one too early.
    async fn forget_nonces(&self, before: i64, at_most: u32) -> Result<u64, StoreError>;

    /// What was signed for an entry; `None`: nothing was.
    async fn evidence(&self, entry: u64) -> Result<Option<Evidence>, StoreError>;

    /// Batches by id, with their heads and received lines.
    async fn batches(&self, ids: &[BatchId]) -> Result<Vec<Batch>, StoreError>;

    /// The chunk rows of a batch that touch the lines `first ..= last`, by version.
    async fn chunks(&self, batch: u32, first: u64, last: u64) -> Result<Vec<ChunkRow>, StoreError>;

    /// When a batch's chunks were committed.
    async fn batch_times(&self, batch: u32) -> Result<BatchTimes, StoreError>;

    /// Leaves by entry.
    async fn leaves(&self, entries: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Bundles from the one that holds `entry` on, in order, at most `limit`.
    async fn bundles(&self, entry: u64, limit: u32) -> Result<Vec<Bundle>, StoreError>;

    /// A full tile.
    async fn tile(&self, level: u8, index: u64) -> Result<Option<Tile>, StoreError>;

    /// Full tiles of a level from an index on, in order, at most `limit`.
    async fn tiles(&self, level: u8, index: u64, limit: u32) -> Result<Vec<Tile>, StoreError>;

    /// The tree's right edge at the head.
    async fn frontier(&self) -> Result<Vec<u8>, StoreError>;

    /// The tree's right edge after the commit that made it this size; `None` if no commit ended there.
    async fn frontier_at(&self, size: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// What the journal says of its own log, after each entry that changes it, in order. They are few.
    async fn log_changes(&self) -> Result<Vec<LogChange>, StoreError>;

    /// What the journal says of who may call, in order. They are few.
    async fn registry_changes(&self) -> Result<Vec<RegistryChange>, StoreError>;

    /// The entry of the newest change of who may call; `None`: there is none.
    async fn registry_seq(&self) -> Result<Option<u64>, StoreError>;

    /// The newest checkpoint's body, published or not.
    async fn fixed_checkpoint(&self) -> Result<Option<FixedCheckpoint>, StoreError>;

    /// The newest published checkpoint.
    async fn published_checkpoint(&self) -> Result<Option<PublishedCheckpoint>, StoreError>;

    /// Fixes a body, if the newest checkpoint is still the one that it follows. Answers whether it did; if not, another
    /// replica came first. Durable when it returns.
    async fn fix_checkpoint(&self, checkpoint: &FixedCheckpoint) -> Result<bool, StoreError>;

    /// Publishes the note of the newest body. Answers whether it did; if not, it is published already. Durable when it
    /// returns.
    async fn publish_checkpoint(&self, checkpoint: &PublishedCheckpoint) -> Result<bool, StoreError>;

    /// A wallet's head as of a time (UTC milliseconds); `None` if it had no entry then.
    async fn wallet_at(&self, account: u32, at: i64) -> Result<Option<Wallet>, StoreError>;

    /// A wallet's entries, oldest first.
    async fn statement(&self, account: u32, range: StatementRange) -> Result<Vec<WalletEntry>, StoreError>;

    /// The newest entry of every system account as of a time; accounts without one are left out.
    async fn system_at(&self, at: i64) -> Result<Vec<(SystemAccount, SystemEntry)>, StoreError>;

    /// The encrypted number of the person of a wallet; `None` if there is none, or it was erased.
    async fn sealed_iin(&self, account: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// Wallet entries in (account, version) order after the given one, for holding against a replay.
    async fn wallet_entries(&self, after: (u32, u32), limit: u32) -> Result<Vec<WalletEntry>, StoreError>;

    /// Lot movements in (account, lot, movement) order after the given one.
    async fn lot_movements(&self, after: (u32, u32, u32), limit: u32)
    -> Result<Vec<LotMovement>, StoreError>;

    /// System entries in (account, version) order after the given one.
    async fn system_entries(&self, after: (u32, u64), limit: u32) -> Result<Vec<SystemEntry>, StoreError>;

    /// Wallets in account order after the given one: (account, id, opening entry).
    async fn wallet_ids(&self, after: u32, limit: u32) -> Result<Vec<(u32, WalletId, u64)>, StoreError>;

    /// Commits, if the head is still the one that the commit was decided on. Durable when it returns `Ok`.
    async fn commit(&self, commit: &Commit) -> Result<(), CommitError>;

    /// Whether a commit of unknown outcome is in. Takes the head's lock on a new connection first, so that a commit that
    /// is still under way has ended.
    async fn is_committed(&self, commit: &Commit) -> Result<bool, StoreError>;

    /// Takes the head's lock, so that no other writer can move it until the answer is used or dropped.
    async fn lock(&self) -> Result<Box<dyn Locked>, StoreError>;
}

/// The head, locked. Dropping it lets go, having written nothing.
#[async_trait]
pub trait Locked: Send {
    /// The head.
    fn head(&self) -> Head;

    /// Commits under the lock. `commit.before` must be [`Locked::head`].
    async fn commit(self: Box<Self>, commit: &Commit) -> Result<(), CommitError>;
}
