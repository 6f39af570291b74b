//! A copy of the book, consistent while it is written to.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{BUSY, read};
use crate::store::{Held, StoreError};

/// Writes the state of the last commit in the file `from` to the file `to`, which must be new or empty: what it holds, or
/// `None` if there is no book in it. What is written is not yet synced.
///
/// The source is opened to be read only. While it runs, a service's write-ahead log cannot be written back and grows.
pub async fn copy(from: &Path, to: &Path) -> Result<Option<Held>, StoreError> {
    let options = |path| SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    let mut source = options(from).disable_statement_logging().connect().await?;
    let name = to.to_str().ok_or_else(|| StoreError::Schema("the copy's path is not UTF-8".into()))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(&mut source).await?;
    source.close().await?;
    // What the copy says, not the source, which may have gone on.
    let mut copy = options(to).disable_statement_logging().connect().await?;
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut copy)
        .await?;
    let head = read::head(&mut copy).await?;
    let frontier = read::frontier(&mut copy).await?;
    copy.close().await?;
    Ok(head.map(|head| Held { head, frontier, schema_version: version.unwrap_or_default() }))
}
