//! A file that is looked at and not written to.

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;

use super::{BUSY, READERS, SCHEMA_VERSION, SqliteStore};
use crate::store::StoreError;

impl SqliteStore {
    /// Opens a file whose schema is the one that this program needs, to read only: every write fails.
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
        let options = options.disable_statement_logging();
        let mut connection = options.connect().await?;
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&mut connection)
                .await?;
        connection.close().await?;
        if version != Some(SCHEMA_VERSION) {
            let version = version.unwrap_or_default();
            let text = format!("the file is at version {version}, this program needs {SCHEMA_VERSION}");
            return Err(StoreError::Schema(text));
        }
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.clone());
        Ok(Self { options, readers, writer: Arc::new(Mutex::new(None)) })
    }
}
