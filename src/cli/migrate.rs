//! `migrate`: brings a PostgreSQL schema up to date, as its owner.

use clap::Args;
use serde_json::json;

use crate::store::postgres::PostgresStore;

use super::place::{SCHEMA, SERVICE_ROLE};
use super::{CliError, Global, Outcome};
use std::io::Write as _;

/// What to migrate.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The owner's URL
    #[arg(
        long,
        visible_alias = "owner-url",
        value_name = "URL",
        env = "SOCIAL_WALLET_OWNER_URL",
        hide_env_values = true
    )]
    database_url: String,
    /// The book's schema
    #[arg(long, value_name = "NAME", env = "SOCIAL_WALLET_SCHEMA", default_value = SCHEMA)]
    schema: String,
    /// The lesser role that will serve: created if it does not exist, and given what serving needs
    #[arg(long, value_name = "ROLE", env = "SOCIAL_WALLET_SERVICE_ROLE", default_value = SERVICE_ROLE)]
    service_role: String,
}

/// Migrates.
pub async fn run(global: &Global, args: MigrateArgs) -> Result<Outcome, CliError> {
    PostgresStore::migrate(&args.database_url, &args.schema, &args.service_role)
        .await
        .map_err(|error| CliError::Service(error.to_string()))?;
    let value = json!({"migrated": true, "schema": args.schema, "service_role": args.service_role});
    global.show(&value, |out| {
        writeln!(
            out,
            "The schema {} is up to date; the role {} may serve it.",
            args.schema, args.service_role
        )
    })?;
    Ok(Outcome::Done)
}
