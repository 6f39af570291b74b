//! `rules`: what orders against wallets are decided by. It takes two operators to change.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::{Global, approval, table};
use crate::client::Client;
use crate::ledger::order::RuleTable;

/// Show the rules that orders are decided by, or ask for others
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Those in force
    Show,
    /// Ask another operator to approve others; protected money is out of reach of every table
    Set {
        /// A rule table as JSON: that of `rules show --json`, changed, or one like specs/rules.json
        file: PathBuf,
        /// The key file of another operator who is at this machine too: approves it at once
        #[arg(long, value_name = "FILE")]
        approver_key: Option<PathBuf>,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: RulesCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    match command {
        RulesCommand::Show => show(global, &client.rules().await?)?,
        RulesCommand::Set { file, approver_key } => {
            let text = std::fs::read(&file).map_err(CliError::file(&file))?;
            let rules =
                read(&text).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
            let proposal = json!({"kind": "set_rules", "rules": rules});
            let asked = client.request_approval(&proposal, &Client::fresh_key()).await?.value;
            let Some(key) = approver_key else {
                global.show(&asked, |out| approval::say_requested(out, &asked))?;
                return Ok(Outcome::Done);
            };
            let (entry, digest) = (asked["entry"].as_u64(), table::text(&asked, "digest"));
            let approver = global.client_with(&key)?;
            let given =
                approver.approve(entry.unwrap_or_default(), &digest, None, &Client::fresh_key()).await?.value;
            let value = json!({"requested": asked, "approved": given});
            global.show(&value, |out| {
                let entry = table::text_of_number(&given, "entry");
                writeln!(out, "The rules are in force, approved by entry {entry}.")
            })?;
        }
    }
    Ok(Outcome::Done)
}

/// A rule table, or what the service shows of one.
fn read(text: &[u8]) -> Result<RuleTable, serde_json::Error> {
    let value: Value = serde_json::from_slice(text)?;
    let shown = value.get("mode").is_none() && value.get("rules").is_some_and(Value::is_object);
    serde_json::from_value(if shown { value["rules"].clone() } else { value })
}

fn show(global: &Global, value: &Value) -> Result<(), CliError> {
    let rules = &value["rules"];
    let mut rows =
        table::table(&[">row", "order", "class", "programme", "effect", "cap", "from", "to", "basis"]);
    for (place, row) in (0..).zip(rules["rules"].as_array().into_iter().flatten()) {
        let cap = row["cap_percent"].as_u64().map(|cap| format!("{cap} %")).unwrap_or_default();
        rows.add_row([
            place.to_string(),
            table::text(row, "order"),
            table::text(row, "class"),
            table::text(row, "programme"),
            table::text(row, "effect"),
            cap,
            table::text(row, "valid_from"),
            table::text(row, "valid_to"),
            table::text(&row["legal_basis"], "en"),
        ]);
    }
    let since = match value["entry"].as_u64() {
        Some(entry) => format!("entry {entry}"),
        None => "as shipped; the first order brings them into force".to_owned(),
    };
    global.show(value, |out| {
        writeln!(out, "{}, {since}", table::text(rules, "mode"))?;
        table::print(out, &rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_is_and_as_it_is_shown() {
        let table = json!(RuleTable::shipped());
        assert!(read(table.to_string().as_bytes()).is_ok());
        assert!(read(json!({"entry": 7, "rules": table}).to_string().as_bytes()).is_ok());
        assert!(read(b"{}").is_err());
    }
}
