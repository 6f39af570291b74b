//! `statement`: what happened on a wallet, oldest first.

use std::io::{self, Write};

use clap::Args;
use comfy_table::Table;
use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::wallet::WalletArgs;
use super::{Global, figures, table};
use crate::client::StatementQuery;

/// Entries asked for at once when all are wanted.
const PAGE_ENTRIES: u32 = 1_000;

/// Which wallet, and which part of its statement.
#[derive(Debug, Args)]
pub struct StatementArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    /// From this time (RFC 3339) or business day (2026-11-22)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// To this time or business day, included
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Entries to show, at most 1000; all if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: Option<u32>,
    /// Go on after the page that gave this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: StatementArgs) -> Result<Outcome, CliError> {
    let client = global.client()?;
    let id = args.wallet.find(&client).await?;
    let StatementArgs { from, to, limit, after, .. } = args;
    let mut query = StatementQuery { from, to, after, limit: limit.or(Some(PAGE_ENTRIES)) };
    let mut statement = client.statement(id, &query).await?;
    // Without a limit the pages are put together: the person at the terminal asked for the statement, not for a page.
    while limit.is_none() {
        let Some(next) = statement["next"].as_str() else { break };
        query.after = Some(next.to_owned());
        let page = client.statement(id, &query).await?;
        append(&mut statement, page);
    }
    global.show(&statement, |out| print(out, &statement))?;
    Ok(Outcome::Done)
}

fn append(statement: &mut Value, mut page: Value) {
    if let (Some(entries), Some(more)) = (statement["entries"].as_array_mut(), page["entries"].as_array_mut())
    {
        entries.append(more);
    }
    statement["closing_balance"] = page["closing_balance"].take();
    statement["next"] = page.get_mut("next").map_or(json!(null), Value::take);
}

/// Prints the balances around the entries, and the entries.
fn print(out: &mut impl Write, statement: &Value) -> io::Result<()> {
    writeln!(out, "opening balance  {}", table::amount(statement, "opening_balance"))?;
    if statement["entries"].as_array().is_some_and(|entries| !entries.is_empty()) {
        writeln!(out)?;
        table::print(out, &entries(statement))?;
        writeln!(out)?;
    }
    writeln!(out, "closing balance  {}", table::amount(statement, "closing_balance"))?;
    match statement["next"].as_str() {
        Some(next) => writeln!(out, "more             --after {next}"),
        None => Ok(()),
    }
}

/// The entries of a statement as a table.
#[must_use]
pub fn entries(statement: &Value) -> Table {
    let mut rows = table::table(&["at", ">entry", "what", "programme", "period", ">amount", ">balance"]);
    for entry in statement["entries"].as_array().map(Vec::as_slice).unwrap_or_default() {
        rows.add_row([
            moment(&table::text(entry, "at")),
            table::text(entry, "entry"),
            what(entry),
            table::text(entry, "programme"),
            period(entry),
            signed(&table::text(entry, "amount")),
            table::amount(entry, "balance"),
        ]);
    }
    rows
}

/// `2026-11-21T20:51:20.123Z` as `2026-11-21 20:51:20`, UTC like everything the service says.
fn moment(at: &str) -> String {
    at.get(..19).unwrap_or(at).replace('T', " ")
}

fn what(entry: &Value) -> String {
    let kind = table::text(entry, "kind").replace('_', " ");
    match &entry["refers"] {
        Value::Null => kind,
        refers => format!("{kind} of {refers}"),
    }
}

/// The period, with the part if it is not the only one.
fn period(entry: &Value) -> String {
    let period = table::text(entry, "period");
    match entry["part"].as_u64() {
        Some(part) if part > 1 => format!("{period}/{part}"),
        _ => period,
    }
}

fn signed(amount: &str) -> String {
    let text = figures::amount(amount);
    if text.is_empty() || text.starts_with('-') { text } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_put_together_are_one_statement() {
        let mut statement =
            json!({"opening_balance": "0.00", "entries": [1], "closing_balance": "5.00", "next": "a"});
        append(
            &mut statement,
            json!({"opening_balance": "5.00", "entries": [2], "closing_balance": "7.00", "next": null}),
        );
        let whole =
            json!({"opening_balance": "0.00", "entries": [1, 2], "closing_balance": "7.00", "next": null});
        assert_eq!(statement, whole);
    }

    #[test]
    fn an_entry_says_when_what_and_how_much() {
        let entry = json!({"at": "2026-11-21T20:51:20.123Z", "kind": "reversal", "refers": 7, "period": "2026-11", "part": 2});
        assert_eq!(moment(&table::text(&entry, "at")), "2026-11-21 20:51:20");
        assert_eq!(what(&entry), "reversal of 7");
        assert_eq!(period(&entry), "2026-11/2");
        assert_eq!(signed("5.00"), "+5.00");
        assert_eq!(signed("-1234.00"), "-1 234.00");
    }
}
