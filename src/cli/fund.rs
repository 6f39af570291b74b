//! `fund`: money that the treasury has placed for a programme. It takes two operators: this one asks.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::error::{CliError, Outcome};
use super::programme::parse_code;
use super::{Global, approval, figures, table};
use crate::client::Client;
use crate::domain::{Amount, ProgrammeCode};

/// What was placed, for which programme, by which payment.
#[derive(Debug, Args)]
pub struct FundArgs {
    /// The programme's code, like ASP
    #[arg(value_parser = parse_code)]
    code: ProgrammeCode,
    /// In tenge, like 1500000 or 1500000.50
    #[arg(value_parser = parse_amount)]
    amount: Amount,
    /// The bank's reference of the payment; each funds once, for ever
    #[arg(long, value_name = "REF")]
    reference: String,
    /// The key file of another operator who is at this machine too: approves it at once
    #[arg(long, value_name = "FILE")]
    approver_key: Option<PathBuf>,
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    Amount::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Runs the command.
pub async fn run(global: &Global, args: FundArgs) -> Result<Outcome, CliError> {
    let client = global.client()?;
    let FundArgs { code, amount, reference, approver_key } = args;
    let written = client.fund(code, &amount.to_string(), &reference, &Client::fresh_key()).await?;
    if let Some(file) = approver_key {
        let (entry, digest) = (written.value["entry"].as_u64(), table::text(&written.value, "digest"));
        let approver = global.client_with(&file)?;
        let given = approver.approve(entry.unwrap_or_default(), &digest, None, &Client::fresh_key()).await?;
        let value = json!({"requested": written.value, "approved": given.value});
        global.show(&value, |out| {
            let entry = table::text(&given.value, "entry");
            writeln!(
                out,
                "{code} has {} KZT more to accrue, approved by entry {entry}.",
                figures::tiyn(amount.tiyn())
            )
        })?;
        return Ok(Outcome::Done);
    }
    global.show(&written.value, |out| {
        writeln!(out, "{} KZT for {code}:", figures::tiyn(amount.tiyn()))?;
        approval::say_requested(out, &written.value)
    })?;
    Ok(Outcome::Done)
}
