//! What examples that open a book share.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use social_wallet::store::Store;
use social_wallet::store::postgres::{PostgresStore, SERVICE_ROLE};
use social_wallet::store::sqlite::SqliteStore;

/// Wallets in memory, as `serve` has it.
pub const WALLETS_IN_MEMORY: usize = 3_500_000;

/// The store of a new book, for a figure that means something: SQLite in a new directory, or a schema of PostgreSQL. Refuses a
/// debug build, and a server that may forget what it has confirmed.
pub async fn new_store(
    directory: &Path,
    url: Option<&str>,
    schema: &str,
) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    if cfg!(debug_assertions) {
        return Err("this is a debug build: use `cargo run --release`".into());
    }
    std::fs::create_dir(directory)?;
    let Some(url) = url else {
        return Ok(Arc::new(SqliteStore::open(&directory.join("book.sqlite")).await?));
    };
    PostgresStore::migrate(url, schema, SERVICE_ROLE).await?;
    let store = PostgresStore::open(url, schema, SERVICE_ROLE).await?;
    if let Some(warning) = store.durability_warnings().first() {
        return Err(format!("not durable: {warning}").into());
    }
    Ok(Arc::new(store))
}
