//! The store's contract, held against both rooms.

mod append_only;
pub mod book;
mod commits;
mod holders;
mod nonces;
pub mod orders;
mod payments;
mod postgres;
mod reads;

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use social_wallet::store::Store;
use social_wallet::store::postgres::{PostgresStore, SERVICE_ROLE};
use social_wallet::store::sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};

/// A place for one test's book: a file, or a schema, that is removed when the test has ended.
pub enum Place {
    Sqlite { directory: tempfile::TempDir },
    Postgres { owner_url: String, schema: String },
}

/// The URL of a role that may create schemas and roles.
pub fn owner_url() -> String {
    std::env::var("SOCIAL_WALLET_TEST_DATABASE_URL").expect(
        "this test needs a PostgreSQL: start one with `scripts/postgres.sh start` and set \
         SOCIAL_WALLET_TEST_DATABASE_URL to the output of `scripts/postgres.sh url`",
    )
}

impl Place {
    pub fn sqlite() -> Self {
        Self::Sqlite { directory: tempfile::tempdir().expect("the temporary directory can be written") }
    }

    pub async fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("test_{}_{number}", std::process::id());
        let owner_url = owner_url();
        PostgresStore::migrate(&owner_url, &schema, SERVICE_ROLE).await.unwrap();
        Self::Postgres { owner_url, schema }
    }

    pub fn file(&self) -> PathBuf {
        match self {
            Self::Sqlite { directory } => directory.path().join("book.sqlite"),
            Self::Postgres { .. } => panic!("a schema is no file"),
        }
    }

    pub fn schema(&self) -> &str {
        match self {
            Self::Postgres { schema, .. } => schema,
            Self::Sqlite { .. } => panic!("a file is no schema"),
        }
    }

    /// What ends the connections of this book's stores that hold, or wait for, a lock on a table of it, and counts them. Nobody
    /// else's: tests that run beside this one have connections of their own to the same server.
    pub fn killing(&self) -> String {
        format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'social-wallet' AND datname = current_database() AND pid IN
             (SELECT lock.pid FROM pg_locks AS lock JOIN pg_class AS class ON lock.relation = class.oid
              WHERE class.relnamespace = '{0}'::regnamespace
              AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            self.schema()
        )
    }

    /// Opens the book's store, as a new process would.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite { .. } => Arc::new(SqliteStore::open(&self.file()).await.unwrap()),
            Self::Postgres { owner_url, schema } => {
                Arc::new(PostgresStore::open(owner_url, schema, SERVICE_ROLE).await.unwrap())
            }
        }
    }

    /// A connection beside the store's: as the owner of the schema, or whoever can open the file.
    pub async fn raw(&self) -> Raw {
        match self {
            Self::Sqlite { .. } => {
                let url = format!("sqlite://{}", self.file().display());
                Raw::Sqlite(SqliteConnection::connect(&url).await.unwrap())
            }
            Self::Postgres { owner_url, schema } => {
                let mut connection = PgConnection::connect(owner_url).await.unwrap();
                let sql = format!("SET search_path = {schema}; SET plan_cache_mode = force_generic_plan");
                connection.execute(AssertSqlSafe(sql)).await.unwrap();
                Raw::Postgres(connection)
            }
        }
    }

    /// Has the server count what is in this book's tables, and in no other's.
    pub async fn analyse(&self) {
        let mut raw = self.raw().await;
        let tables = raw.tables().await;
        raw.run(&format!("ANALYZE {}", tables.join(", "))).await.unwrap();
    }

    pub async fn remove(self) {
        if let Self::Postgres { owner_url, schema } = self {
            let mut connection = PgConnection::connect(&owner_url).await.unwrap();
            let sql = format!("DROP SCHEMA {schema} CASCADE");
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }
}

/// Any SQL at all, on either room.
pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    /// Runs SQL: what the database said against it.
    pub async fn run(&mut self, sql: &str) -> Result<(), String> {
        let outcome = match self {
            Self::Sqlite(connection) => connection.execute(AssertSqlSafe(sql)).await.map(drop),
            Self::Postgres(connection) => connection.execute(AssertSqlSafe(sql)).await.map(drop),
        };
        outcome.map_err(|error| error.to_string())
    }

    /// The first column of every row, as text.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(connection) => {
                let rows = connection.fetch_all(AssertSqlSafe(sql)).await.unwrap();
                rows.iter().map(|row| row.try_get(0).unwrap()).collect()
            }
            Self::Postgres(connection) => {
                let rows = connection.fetch_all(AssertSqlSafe(sql)).await.unwrap();
                rows.iter().map(|row| row.try_get(0).unwrap()).collect()
            }
        }
    }

    pub async fn count(&mut self, table: &str) -> u64 {
        let texts = self.texts(&format!("SELECT CAST(count(*) AS text) FROM {table}")).await;
        texts[0].parse().unwrap()
    }

    /// The tables of the book.
    pub async fn tables(&mut self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            }
            Self::Postgres(_) => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
        };
        let mut tables = self.texts(sql).await;
        tables.retain(|table| table != "_sqlx_migrations");
        tables.sort();
        tables
    }

    pub async fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Self::Postgres(_) => format!(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
            ),
        };
        self.texts(&sql).await
    }
}

/// How long a test may take on the busiest machine: one that waits for what never comes is a failure, and has an end.
const TEST_TIME: Duration = Duration::from_mins(6);

/// Runs a test in a place, and removes the place whatever came of it.
pub async fn in_place<F>(place: Place, test: F)
where
    F: for<'a> FnOnce(&'a Place) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
{
    let ended = async { tokio::time::timeout(TEST_TIME, test(&place)).await.expect("the test does not end") };
    let outcome = AssertUnwindSafe(ended).catch_unwind().await;
    place.remove().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Makes a test of each function for each room: `async fn name(place: &Place)`.
macro_rules! in_both_rooms {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::store::in_place(crate::store::Place::sqlite(), |place| Box::pin(super::$name(place))).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let place = crate::store::Place::postgres().await;
                crate::store::in_place(place, |place| Box::pin(super::$name(place))).await;
            })*
        }
    };
}
pub(crate) use in_both_rooms;
