//! A book in a PostgreSQL schema.
//!
//! Two roles: the owner migrates; a lesser role, which may only read, insert, lock the book, erase a person and forget nonces, serves.
//! Several books live side by side as schemas of one database, and nothing of a book is outside its schema.
//!
//! There is one connection for writing and one for what every batch of commands asks, opened again when they were lost, and a
//! few for reading. A commit of a few entries is
//! one statement and one round trip. A commit of many streams its wallet entries with `COPY`, in a transaction whose
//! first statement is the same one. The fence is told in `write`.

mod connect;
mod read;
mod snapshot;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use roaring::RoaringBitmap;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
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

pub use connect::{Identifier, SCHEMA_VERSION, SERVICE_ROLE};
pub use snapshot::{PostgresSnapshot, make_schema};

/// Connections for reading.
const READERS: u32 = 4;

/// A connection that was used so lately is taken to be there still: asking it takes as long as a read.
const FRESH: Duration = Duration::from_secs(1);

/// A book in a PostgreSQL schema.
pub struct PostgresStore {
    options: PgConnectOptions,
    session: String,
    pub(super) readers: PgPool,
    writer: Own,
    /// For the read that every batch of commands makes: it waits for no other reader.
    standing: Own,
    texts: Arc<write::Texts>,
    warnings: Vec<String>,
}

/// A connection for one purpose; `None` until the next use if there is none, or its state is not known.
type Own = Arc<Mutex<Option<PgConnection>>>;

impl PostgresStore {
    /// Creates the schema, or brings it up to date, and gives the service role what it may do. `owner_url` names a role
    /// that owns the schema, or may create it. The service role is created if there is none.
    pub async fn migrate(owner_url: &str, schema: &str, service_role: &str) -> Result<(), StoreError> {
        let (schema, role) = (Identifier::parse(schema)?, Identifier::parse(service_role)?);
        connect::migrate(owner_url, &schema, &role).await
    }

    /// Opens a book whose schema is there and up to date. Every connection serves with the service role, whatever role
    /// the URL names: that one must be a member of it.
    pub async fn open(url: &str, schema: &str, service_role: &str) -> Result<Self, StoreError> {
        let (schema, role) = (Identifier::parse(schema)?, Identifier::parse(service_role)?);
        let options = connect::options(url)?;
        let session = connect::session(&schema, &role);
        let mut connection = connect::checked(&options, &session, &schema, &role).await?;
        let warnings = connect::durability_warnings(&mut connection).await?;
        let each = session.clone();
        let readers = PgPoolOptions::new()
            .max_connections(READERS)
            .after_connect(move |connection, _| {
                let session = each.clone();
                Box::pin(async move { connect::begin_session(connection, &session).await })
            })
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for >= FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone());
        let writer = Arc::new(Mutex::new(Some(connection)));
        Ok(Self {
            options,
            session,
            readers,
            writer,
            standing: Own::default(),
            texts: Arc::default(),
            warnings,
        })
    }

    /// What of the server's settings would let it forget a commit that it has confirmed. Empty on a durable server.
    #[must_use]
    pub fn durability_warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The plan of every read that takes an array or a page, as the server makes it now: for holding in a test that none
    /// goes through a whole table.
    pub async fn plans(&self) -> Result<Vec<(&'static str, String)>, StoreError> {
        read::plans(&mut *self.readers.acquire().await?).await
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        connect::connect(&self.options, &self.session).await
    }

    async fn writer(&self) -> Result<(OwnedMutexGuard<Option<PgConnection>>, PgConnection), StoreError> {
        self.take(&self.writer).await
    }

    /// A connection, and its place, to put it back when its state is known. Dropped in between, it is closed, and the server
    /// rolls back what it was doing.
    async fn take(
        &self,
        own: &Own,
    ) -> Result<(OwnedMutexGuard<Option<PgConnection>>, PgConnection), StoreError> {
        let mut place = Arc::clone(own).lock_owned().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok((place, connection))
    }
}

/// The head, locked in an open transaction.
struct PostgresLocked {
    head: Head,
    place: OwnedMutexGuard<Option<PgConnection>>,
    connection: Option<PgConnection>,
    texts: Arc<write::Texts>,
}

#[async_trait]
impl Locked for PostgresLocked {
    fn head(&self) -> Head {
        self.head
    }

    async fn commit(mut self: Box<Self>, commit: &Commit) -> Result<(), CommitError> {
        let mut connection = self.connection.take().expect("taken here only, and `self` is used up");
        write::in_transaction(&mut connection, commit, &self.texts).await?;
        *self.place = Some(connection);
        Ok(())
    }
}

impl Drop for PostgresLocked {
    fn drop(&mut self) {
        // A connection that is dropped is closed, and the server rolls back and lets go of the head. Saying good-bye takes
        // a runtime; without one the closed socket says it.
        if let (Some(connection), Ok(runtime)) =
            (self.connection.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(connection.close());
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
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
        let (mut place, mut connection) = self.take(&self.standing).await?;
        let standing = read::standing(&mut connection, ids, nonces).await?;
        *place = Some(connection);
        Ok(standing)
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

    // Beside the connection that commits: a checkpoint waits for no commit, and no commit for it.

    async fn fix_checkpoint(&self, checkpoint: &FixedCheckpoint) -> Result<bool, StoreError> {
        write::fix_checkpoint(&mut *self.readers.acquire().await?, checkpoint).await
    }

    async fn publish_checkpoint(&self, checkpoint: &PublishedCheckpoint) -> Result<bool, StoreError> {
        write::publish_checkpoint(&mut *self.readers.acquire().await?, checkpoint).await
    }

    async fn spend(&self, nonces: &[Nonce]) -> Result<Vec<[u8; 16]>, StoreError> {
        write::spend(&mut *self.readers.acquire().await?, nonces).await
    }

    async fn forget_nonces(&self, before: i64, at_most: u32) -> Result<u64, StoreError> {
        write::forget_nonces(&mut *self.readers.acquire().await?, before, at_most).await
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
        let outcome = write::commit(&mut connection, commit, &self.texts).await;
        // After an error the connection is not trusted with another commit, unless it was the fence's answer.
        if matches!(outcome, Ok(()) | Err(CommitError::Stale)) {
            *place = Some(connection);
        }
        outcome
    }

    async fn is_committed(&self, commit: &Commit) -> Result<bool, StoreError> {
        let mut connection = self.connect().await?;
        let mut transaction = connection.begin().await?;
        // Waits for a commit that is still under way: it shares the head's lock until it has ended.
        read::lock_head(&mut transaction).await?;
        let found = read::has_commit(&mut transaction, commit).await?;
        transaction.rollback().await?;
        connection.close().await?;
        Ok(found)
    }

    async fn lock(&self) -> Result<Box<dyn Locked>, StoreError> {
        let (place, mut connection) = self.writer().await?;
        write::begin(&mut connection).await?;
        read::lock_head(&mut connection).await?;
        let head = read::head(&mut connection).await?;
        let head = head.ok_or_else(|| StoreError::Schema("no book has been created here".into()))?;
        Ok(Box::new(PostgresLocked {
            head,
            place,
            connection: Some(connection),
            texts: Arc::clone(&self.texts),
        }))
    }
}
