//! `health`: whether the service can serve now. For people, and for a container's health check.

use serde_json::json;

use super::error::{CliError, Outcome};
use super::{Global, table};

/// Runs the command. It does not wait: a health check that waits reports the past.
pub async fn run(global: &Global) -> Result<Outcome, CliError> {
    let client = global.client()?;
    client.ready().await?;
    let book = client.book().await?;
    let facts = table::facts([
        ("service", format!("ready at {}", client.address())),
        ("book", table::text(&book, "book")),
        ("entries", table::text(&book, "size")),
        ("wallets", table::text(&book, "wallets")),
        ("store", table::text(&book, "store")),
    ]);
    global.show(&json!({"ready": true, "book": book}), |out| table::print(out, &facts))?;
    Ok(Outcome::Done)
}
