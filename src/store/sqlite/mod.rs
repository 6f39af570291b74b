//! A book in an SQLite file.
//!
//! One connection writes and a few read; SQLite itself lets other processes in between commits. Write-ahead log with
//! `synchronous = FULL`: what is committed is on the disk.

mod check;
mod copy;
mod read;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use roaring::RoaringBitmap;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::{BatchId, BookId, WalletId};
use crate::ledger::account::SystemAccount;
use crate::ledger::batch::Batch;
use crate::ledger::books::{Paid, PayOut, SystemHead};
use crate::ledger::effects::{LogChange, SystemEntry};
use crate::ledger::registry::RegistryChange;
use crate::ledger::signed::{Evidence, Nonce};
use crate::ledger::wallet::{Benefit, Lot, LotMovement, Wallet, WalletEntry};

use super::{
    BatchTimes, Bundle, ChunkRow, Commit, CommitError, FixedCheckpoint, Head, Locked, ProgrammeRow,
    PublishedCheckpoint, Standing, StatementRange, Store, StoreError, Tile, rows,
};

pub use copy::copy;

/// Connections for reading.
const READERS: u32 = 4;

/// Bytes of a page of a new file.
const PAGE_BYTES: u32 = 8_192;

/// Pages that the write-ahead log may have before they are written back: many, so that a page of the index that many
/// commits touch is written back once. +40 % and more against SQLite's 1,000, at equal durability. 256 MiB.
const CHECKPOINT_PAGES: u32 = 32_768;

/// What `PRAGMA synchronous` says of FULL.
const SYNCHRONOUS_FULL: i64 = 2;

/// How long a writer waits for another process's commit.
const BUSY: Duration = Duration::from_secs(30);

/// The version of the schema that this program needs.
pub const SCHEMA_VERSION: i64 = BOOK.0;

/// The newest migration; the only one so far.
const BOOK: (i64, &str, &str) = (1, "book", include_str!("../../../migrations/sqlite/0001_book.sql"));

/// A book in an SQLite file.
pub struct SqliteStore {
    options: SqliteConnectOptions,
    pub(super) readers: SqlitePool,
    writer: Writer,
}

/// The connection for writing; `None` until the next use if there is none, or its state is not known.
type Writer = Arc<Mutex<Option<SqliteConnection>>>;

impl SqliteStore {
    /// Opens the file, or creates it and its directory, for this user alone; brings the schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(|error| StoreError::Database(sqlx::Error::Io(error)))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .page_size(PAGE_BYTES)
            .auto_vacuum(SqliteAutoVacuum::None)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(256)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("cache_size", "-65536")
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let mut writer = connect_to_write(&options).await?;
        let (version, name, sql) = BOOK;
        let migration =
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false);
        let migrator = Migrator::with_migrations(vec![migration]);
        migrator
            .run_direct(None, &mut writer, false)
            .await
            .map_err(|error| StoreError::Schema(error.to_string()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "on").pragma("cache_size", "-16384"));
        Ok(Self { options, readers, writer: Arc::new(Mutex::new(Some(writer))) })
    }

    /// The writing connection, and its place, to put it back when its state is known. Dropped in between, it is closed,
    /// and SQLite rolls back what it was doing.
    async fn writer(
        &self,
    ) -> Result<(OwnedMutexGuard<Option<SqliteConnection>>, SqliteConnection), StoreError> {
        let mut place = Arc::clone(&self.writer).lock_owned().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => connect_to_write(&self.options).await?,
        };
        Ok((place, connection))
    }
}

/// Connects, and holds SQLite to what makes a commit durable: on some file systems it silently does without.
async fn connect_to_write(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let mut connection = options.connect().await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut connection).await?;
    if journal != "wal" || synchronous != SYNCHRONOUS_FULL {
        return Err(StoreError::Schema(format!(
            "the file's place does not let SQLite commit durably (journal_mode = {journal}, synchronous = \
             {synchronous}): put it on a local disk"
        )));
    }
    Ok(connection)
}

/// Creates the file and its directory with rights for the user alone. The write-ahead log gets the rights of the file.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory)?;
    }
    let mut file = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.create(true).append(true).open(path).map(drop)
}

/// The head, locked in an open transaction.
struct SqliteLocked {
    head: Head,
    place: OwnedMutexGuard<Option<SqliteConnection>>,
    connection: Option<SqliteConnection>,
}

#[async_trait]
impl Locked for SqliteLocked {
    fn head(&self) -> Head {
        self.head
    }

    async fn commit(mut self: Box<Self>, commit: &Commit) -> Result<(), CommitError> {
        let mut connection = self.connection.take().expect("taken here only, and `self` is used up");
        write::in_transaction(&mut connection, commit).await?;
        *self.place = Some(connection);
        Ok(())
    }
}

// Dropped uncommitted, the connection is closed by its thread, which rolls back and lets go of the file's lock.

#[async_trait]
impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn head(&self) -> Result<Option<Head>, StoreError> {
        read::head(&mut *self.readers.acquire().await?).await
    }

    async fn create_book(&self, book: BookId) -> Result<(), StoreError> {
        let (mut place, mut connection) = self.writer().await?;
        write::create_book(&mut connection, book).await?;
        *place = Some(connection);
        Ok(())
    }

    async fn programmes(&self) -> Result<Vec<ProgrammeRow>, StoreError> {
        read::programmes(&mut *self.readers.acquire().await?).await
    }

    async fn system_accounts(&self) -> Result<Vec<SystemHead>, StoreError> {
        read::system_accounts(&mut *self.readers.acquire().await?).await
    }

    async fn wallets(&self, ids: &[WalletId]) -> Result<Vec<(WalletId, Wallet)>, StoreError> {
        read::wallets(&mut *self.readers.acquire().await?, ids).await
    }

    async fn benefits(&self, benefits: &[Benefit]) -> Result<Vec<(Benefit, RoaringBitmap)>, StoreError> {
        read::benefits(&mut *self.readers.acquire().await?, benefits).await
    }

    async fn paid(&self, keys: &[(u32, Benefit)]) -> Result<Vec<((u32, Benefit), Paid)>, StoreError> {
        let lots = read::lots_of_benefits(&mut *self.readers.acquire().await?, keys).await?;
        Ok(lots.into_iter().map(rows::paid).collect())
    }

    async fn lots(&self, keys: &[(u32, u32, u32)]) -> Result<Vec<(u32, Lot)>, StoreError> {
        read::lots(&mut *self.readers.acquire().await?, keys).await
    }

    async fn lots_of_benefits(&self, keys: &[(u32, Benefit)]) -> Result<Vec<(u32, Lot)>, StoreError> {
        read::lots_of_benefits(&mut *self.readers.acquire().await?, keys).await
    }

    async fn pay_outs(&self, entries: &[u64]) -> Result<Vec<(u64, PayOut)>, StoreError> {
        read::pay_outs(&mut *self.readers.acquire().await?, entries).await
    }

    async fn instructions(&self, ids: &[[u8; 16]]) -> Result<Vec<([u8; 16], u64)>, StoreError> {
        read::instructions(&mut *self.readers.acquire().await?, ids).await
    }

    async fn standing(&self, ids: &[[u8; 16]], nonces: &[Nonce]) -> Result<Option<Standing>, StoreError> {
        read::standing(&mut *self.readers.acquire().await?, ids, nonces).await
    }

    async fn evidence(&self, entry: u64) -> Result<Option<Evidence>, StoreError> {
        read::evidence(&mut *self.readers.acquire().await?, entry).await
    }

    async fn batches(&self, ids: &[BatchId]) -> Result<Vec<Batch>, StoreError> {
        read::batches(&mut *self.readers.acquire().await?, ids).await
    }

    async fn chunks(&self, batch: u32, first: u64, last: u64) -> Result<Vec<ChunkRow>, StoreError> {
        read::chunks(&mut *self.readers.acquire().await?, batch, first, last).await
    }

    async fn batch_times(&self, batch: u32) -> Result<BatchTimes, StoreError> {
        read::batch_times(&mut *self.readers.acquire().await?, batch).await
    }

    async fn leaves(&self, entries: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        read::leaves(&mut *self.readers.acquire().await?, entries).await
    }

    async fn bundles(&self, entry: u64, limit: u32) -> Result<Vec<Bundle>, StoreError> {
        read::bundles(&mut *self.readers.acquire().await?, entry, limit).await
    }

    async fn tile(&self, level: u8, index: u64) -> Result<Option<Tile>, StoreError> {
        read::tile(&mut *self.readers.acquire().await?, level, index).await
    }

    async fn tiles(&self, level: u8, index: u64, limit: u32) -> Result<Vec<Tile>, StoreError> {
        read::tiles(&mut *self.readers.acquire().await?, level, index, limit).await
    }

    async fn frontier(&self) -> Result<Vec<u8>, StoreError> {
        read::frontier(&mut *self.readers.acquire().await?).await
    }

    async fn frontier_at(&self, size: u64) -> Result<Option<Vec<u8>>, StoreError> {
        read::frontier_at(&mut *self.readers.acquire().await?, size).await
    }

    async fn log_changes(&self) -> Result<Vec<LogChange>, StoreError> {
        read::log_changes(&mut *self.readers.acquire().await?).await
    }

    async fn registry_changes(&self) -> Result<Vec<RegistryChange>, StoreError> {
        read::registry_changes(&mut *self.readers.acquire().await?).await
    }

    async fn registry_seq(&self) -> Result<Option<u64>, StoreError> {
        read::registry_seq(&mut *self.readers.acquire().await?).await
    }

    async fn fixed_checkpoint(&self) -> Result<Option<FixedCheckpoint>, StoreError> {
        read::fixed_checkpoint(&mut *self.readers.acquire().await?).await
    }

    async fn published_checkpoint(&self) -> Result<Option<PublishedCheckpoint>, StoreError> {
        read::published_checkpoint(&mut *self.readers.acquire().await?).await
    }

    async fn fix_checkpoint(&self, checkpoint: &FixedCheckpoint) -> Result<bool, StoreError> {
        let (mut place, mut connection) = self.writer().await?;
        let fixed = write::fix_checkpoint(&mut connection, checkpoint).await?;
        *place = Some(connection);
        Ok(fixed)
    }

    async fn publish_checkpoint(&self, checkpoint: &PublishedCheckpoint) -> Result<bool, StoreError> {
        let (mut place, mut connection) = self.writer().await?;
        let published = write::publish_checkpoint(&mut connection, checkpoint).await?;
        *place = Some(connection);
        Ok(published)
    }

    async fn spend(&self, nonces: &[Nonce]) -> Result<Vec<[u8; 16]>, StoreError> {
        let (mut place, mut connection) = self.writer().await?;
        let spent = write::spend(&mut connection, nonces).await?;
        *place = Some(connection);
        Ok(spent)
    }

    async fn forget_nonces(&self, before: i64, at_most: u32) -> Result<u64, StoreError> {
        let (mut place, mut connection) = self.writer().await?;
        let forgotten = write::forget_nonces(&mut connection, before, at_most).await?;
        *place = Some(connection);
        Ok(forgotten)
    }

    async fn wallet_at(&self, account: u32, at: i64) -> Result<Option<Wallet>, StoreError> {
        read::wallet_at(&mut *self.readers.acquire().await?, account, at).await
    }

    async fn statement(&self, account: u32, range: StatementRange) -> Result<Vec<WalletEntry>, StoreError> {
        read::statement(&mut *self.readers.acquire().await?, account, range).await
    }

    async fn system_at(&self, at: i64) -> Result<Vec<(SystemAccount, SystemEntry)>, StoreError> {
        read::system_at(&mut *self.readers.acquire().await?, at).await
    }

    async fn sealed_iin(&self, account: u32) -> Result<Option<Vec<u8>>, StoreError> {
        read::sealed_iin(&mut *self.readers.acquire().await?, account).await
    }

    async fn wallet_entries(&self, after: (u32, u32), limit: u32) -> Result<Vec<WalletEntry>, StoreError> {
        read::wallet_entries(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn lot_movements(
        &self,
        after: (u32, u32, u32),
        limit: u32,
    ) -> Result<Vec<LotMovement>, StoreError> {
        read::lot_movements(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn system_entries(&self, after: (u32, u64), limit: u32) -> Result<Vec<SystemEntry>, StoreError> {
        read::system_entries(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn wallet_ids(&self, after: u32, limit: u32) -> Result<Vec<(u32, WalletId, u64)>, StoreError> {
        read::wallet_ids(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), CommitError> {
        let (mut place, mut connection) = self.writer().await.map_err(CommitError::Failed)?;
        let outcome = write::commit(&mut connection, commit).await;
        // After another error the connection is not trusted with another commit.
        if matches!(outcome, Ok(()) | Err(CommitError::Stale)) {
            *place = Some(connection);
        }
        outcome
    }

    async fn is_committed(&self, commit: &Commit) -> Result<bool, StoreError> {
        let mut connection = self.options.connect().await?;
        // Waits for a commit that is still under way: it holds the file's lock until it has ended.
        write::begin(&mut connection).await?;
        let found = read::has_commit(&mut connection, commit).await?;
        connection.close().await?;
        Ok(found)
    }

    async fn lock(&self) -> Result<Box<dyn Locked>, StoreError> {
        let (place, mut connection) = self.writer().await?;
        write::begin(&mut connection).await?;
        let head = read::head(&mut connection).await?;
        let head = head.ok_or_else(|| StoreError::Schema("no book has been created here".into()))?;
        Ok(Box::new(SqliteLocked { head, place, connection: Some(connection) }))
    }
}
