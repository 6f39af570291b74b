//! `health`: whether the service can serve now. For people, and for a container's health check.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::error::{CliError, Outcome};
use super::{Global, table};

/// How long to wait.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Wait so many seconds for a service that is starting. Not for a health check: one that waits reports the past
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

/// Runs the command.
pub async fn run(global: &Global, args: HealthArgs) -> Result<Outcome, CliError> {
    let client = global.client()?.with_patience(Duration::from_secs(args.wait));
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
