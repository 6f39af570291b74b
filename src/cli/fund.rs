//! `fund`: money that the treasury has placed for a programme. It takes two operators: this one asks.

use std::io::Write as _;

use clap::Args;

use super::error::{CliError, Outcome};
use super::programme::parse_code;
use super::{Global, approval, figures};
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
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    Amount::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Runs the command.
pub async fn run(global: &Global, args: FundArgs) -> Result<Outcome, CliError> {
    let client = global.client()?;
    let FundArgs { code, amount, reference } = args;
    let written = client.fund(code, &amount.to_string(), &reference, &Client::fresh_key()).await?;
    global.show(&written.value, |out| {
        writeln!(out, "{} KZT for {code}:", figures::tiyn(amount.tiyn()))?;
        approval::say_requested(out, &written.value)
    })?;
    Ok(Outcome::Done)
}
