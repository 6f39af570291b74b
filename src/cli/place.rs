//! Where a book is: a data directory with SQLite, or PostgreSQL; and its keys.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::domain::BookId;
use crate::keys::BookKeys;
use crate::log::origin::key_name;
use crate::publisher::file::{CheckpointFile, Keep as _};
use crate::publisher::key::LogKeyFile;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};

use super::CliError;

/// The schema of a book in PostgreSQL, if nothing else is said.
pub const SCHEMA: &str = "social_wallet";

/// The lesser role that serves, if nothing else is said.
pub const SERVICE_ROLE: &str = "social_wallet_service";

/// Where the book is.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// What the service keeps on this machine: the keys, and the book itself unless it is in PostgreSQL
    #[arg(long, value_name = "DIR", env = "SOCIAL_WALLET_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// The key file [default: keys.json in the data directory]
    #[arg(long, value_name = "FILE", env = "SOCIAL_WALLET_KEYS")]
    pub keys: Option<PathBuf>,
    /// The file of the log's signing key, the same for all replicas [default: log.key in the data directory]
    #[arg(long, value_name = "FILE", env = "SOCIAL_WALLET_LOG_KEY")]
    pub log_key: Option<PathBuf>,
    /// Where the last signed checkpoint is kept outside the database: best on another machine's disk, one for each replica
    /// [default: checkpoint in the data directory]
    #[arg(long, value_name = "FILE", env = "SOCIAL_WALLET_CHECKPOINT_FILE")]
    pub checkpoint_file: Option<PathBuf>,
    /// Keep the book in this PostgreSQL instead of SQLite
    #[arg(long, value_name = "URL", env = "SOCIAL_WALLET_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The book's schema in PostgreSQL
    #[arg(long, value_name = "NAME", env = "SOCIAL_WALLET_SCHEMA", default_value = SCHEMA)]
    pub schema: String,
    /// The lesser role under which PostgreSQL serves
    #[arg(long, value_name = "ROLE", env = "SOCIAL_WALLET_SERVICE_ROLE", default_value = SERVICE_ROLE)]
    pub service_role: String,
}

impl PlaceArgs {
    /// The file of a book in SQLite.
    pub fn book_path(&self) -> PathBuf {
        self.data_dir.join("book.sqlite")
    }

    /// The file of the book's keys.
    pub fn keys_path(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| self.data_dir.join("keys.json"))
    }

    /// The file of the log's key.
    pub fn log_key_path(&self) -> PathBuf {
        self.log_key.clone().unwrap_or_else(|| self.data_dir.join("log.key"))
    }

    /// The file outside the database that the last signed checkpoint is kept in.
    pub fn kept(&self) -> CheckpointFile {
        CheckpointFile(self.checkpoint_file.clone().unwrap_or_else(|| self.data_dir.join("checkpoint")))
    }

    /// Opens the log's key. For a log that nothing was ever signed of, makes one.
    pub async fn open_log_key(&self, store: &dyn Store, book: BookId) -> Result<LogKeyFile, CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Service(error.to_string());
        let path = self.log_key_path();
        if path.exists() {
            return LogKeyFile::load(&path).map_err(|error| failed(&error));
        }
        let signed = store.published_checkpoint().await.map_err(|error| failed(&error))?.is_some()
            || !store.log_changes().await.map_err(|error| failed(&error))?.is_empty()
            || self.kept().read().map_err(|error| failed(&error))?.is_some();
        if signed {
            let path = path.display();
            return Err(CliError::Service(format!(
                "the file {path} with the log's key is missing, and the log is signed already: restore it, or name it with --log-key"
            )));
        }
        LogKeyFile::create(&path, &key_name(book)).map_err(|error| failed(&error))
    }

    /// Makes the data directory, for its owner alone.
    pub fn make_directory(&self) -> Result<(), CliError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder.create(&self.data_dir).map_err(|error| {
            CliError::Service(format!(
                "cannot create the data directory {}: {error}",
                self.data_dir.display()
            ))
        })
    }

    /// Opens the store, creating and migrating what is missing, as far as the database lets it.
    pub async fn open_store(&self) -> Result<Arc<dyn Store>, CliError> {
        self.make_directory()?;
        let failed = |error: StoreError| CliError::Service(error.to_string());
        let Some(url) = &self.database_url else {
            return Ok(Arc::new(SqliteStore::open(&self.book_path()).await.map_err(failed)?));
        };
        let open = || PostgresStore::open(url, &self.schema, &self.service_role);
        let store = match open().await {
            Ok(store) => store,
            // A new database has neither the schema nor the role that serves it.
            Err(why @ (StoreError::Schema(_) | StoreError::Database(sqlx::Error::Database(_)))) => {
                tracing::info!(%why, "migrating");
                PostgresStore::migrate(url, &self.schema, &self.service_role).await.map_err(|error| {
                    CliError::Service(format!(
                        "{why}. This login could not migrate either ({error}): run `social-wallet migrate` with the owner's URL"
                    ))
                })?;
                open().await.map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        for warning in store.durability_warnings() {
            tracing::warn!("{warning}");
        }
        Ok(Arc::new(store))
    }

    /// Opens the keys of the store's book. For a store without a book, makes keys and the book.
    pub async fn open_keys(&self, store: &dyn Store) -> Result<Arc<BookKeys>, CliError> {
        let failed = |error: StoreError| CliError::Service(error.to_string());
        let path = self.keys_path();
        let head = store.head().await.map_err(failed)?;
        let keys = match (head, path.exists()) {
            (_, true) => BookKeys::load(&path),
            (None, false) => BookKeys::create(&path),
            (Some(_), false) => {
                let path = path.display();
                return Err(CliError::Service(format!(
                    "the key file {path} is missing, and the book cannot be read without it: restore it, or name it with --keys"
                )));
            }
        };
        let keys = keys.map_err(|error| CliError::Service(error.to_string()))?;
        match head {
            None => store.create_book(keys.book()).await.map_err(failed)?,
            Some(head) if head.book != keys.book() => {
                let path = path.display();
                return Err(CliError::Service(format!(
                    "the key file {path} belongs to another book than the store's"
                )));
            }
            Some(_) => {}
        }
        Ok(Arc::new(keys))
    }
}
