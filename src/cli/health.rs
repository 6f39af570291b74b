//! `health`: whether the service can serve now. For people, and for a container's health check.

use serde_json::json;

use super::error::{CliError, Outcome};
use super::{Global, table};

/// Runs the command. It does not wait: a health check that waits reports the past.
pub async fn run(global: &Global) -> Result<Outcome, CliError> {
    let client = global.client()?;
    client.ready().await?;
    let mut facts = vec![("service", format!("ready at {}", client.address()))];
    let mut value = json!({"ready": true});
    // What is in the book is for clients.
    if global.client_key.is_some() {
        let book = client.book().await?;
        let told = [("book", "book"), ("entries", "size"), ("wallets", "wallets"), ("store", "store")];
        facts.extend(told.map(|(title, name)| (title, table::text(&book, name))));
        value["book"] = book;
    }
    global.show(&value, |out| table::print(out, &table::facts(facts)))?;
    Ok(Outcome::Done)
}
