//! `entry`: an entry of the journal, as it is written there.

use clap::Args;
use serde_json::Value;

use super::error::{CliError, Outcome};
use super::{Global, table};

/// Which entry.
#[derive(Debug, Args)]
pub struct EntryArgs {
    /// Its number in the journal
    number: u64,
}

/// Runs the command.
pub async fn run(global: &Global, args: EntryArgs) -> Result<Outcome, CliError> {
    let entry = global.client()?.entry(args.number).await?;
    let members = entry.as_object().into_iter().flatten();
    let plain = |(name, value): (&String, &Value)| match value {
        // Numbers of an entry are its own and other entries' names: no groups, so that they can be copied.
        Value::String(text) => (name.clone(), text.clone()),
        value => (name.clone(), value.to_string()),
    };
    let rows: Vec<(String, String)> = members.map(plain).collect();
    let facts = table::facts(rows.iter().map(|(name, value)| (name.as_str(), value.clone())));
    global.show(&entry, |out| table::print(out, &facts))?;
    Ok(Outcome::Done)
}
