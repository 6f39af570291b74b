//! Whether a file could be served, without writing to it.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{BUSY, SCHEMA_VERSION, read};
use crate::store::{Head, StoreError};

/// The head of the book in a file whose schema is the one that this program needs, and whether its log was ever signed; `None` if
/// there is no book in it.
pub async fn check(path: &Path) -> Result<Option<(Head, bool)>, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    let mut connection = options.disable_statement_logging().connect().await?;
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut connection)
        .await?;
    if version != Some(SCHEMA_VERSION) {
        let version = version.unwrap_or_default();
        let text = format!("the file is at version {version}, this program needs {SCHEMA_VERSION}");
        return Err(StoreError::Schema(text));
    }
    let head = read::head(&mut connection).await?;
    let signed = read::published_checkpoint(&mut connection).await?.is_some();
    connection.close().await?;
    Ok(head.map(|head| (head, signed)))
}
