//! `wallet`: a person's wallet, and opening one.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::error::{CliError, Outcome};
use super::person::PersonArgs;
use super::{Global, table};
use crate::client::{Client, ClientError};
use crate::domain::WalletId;

/// Show a wallet, or open one for a person
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// What a wallet holds, now or at an earlier time
    Show {
        #[command(flatten)]
        wallet: WalletArgs,
        /// As of a time (RFC 3339) or the end of a business day (2026-11-22)
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Open a wallet for a person, or find the one they have
    Open {
        #[command(flatten)]
        person: PersonArgs,
    },
}

/// Which wallet: by its id, or by the person whose it is.
#[derive(Debug, Args)]
pub struct WalletArgs {
    /// The wallet's id
    #[arg(long, value_name = "UUID", conflicts_with_all = ["iin_stdin", "iin_file", "iin"])]
    // Parsed below: the parser of arguments repeats what it refuses, and here that may be a person's number.
    id: Option<String>,
    #[command(flatten)]
    person: PersonArgs,
}

impl WalletArgs {
    /// The wallet's id; asks the service for it if it is named by its person.
    pub async fn find(&self, client: &Client) -> Result<WalletId, CliError> {
        if let Some(id) = &self.id {
            return WalletId::parse(id).map_err(|error| {
                CliError::Usage(format!(
                    "{error}; a wallet's is like \
                0191e3a0-7c3b-8def-8123-456789abcdef. To name a person instead, see --help."
                ))
            });
        }
        let wallet = client.lookup_wallet(&self.person.read()?).await?;
        Ok(id_of(&wallet, client.address())?)
    }
}

/// The id in an answer that shows a wallet.
pub fn id_of(wallet: &Value, address: &str) -> Result<WalletId, ClientError> {
    wallet["wallet"].as_str().and_then(|id| WalletId::parse(id).ok()).ok_or_else(|| ClientError::Protocol {
        url: address.to_owned(),
        what: "a wallet without its id".to_owned(),
    })
}

/// Runs the command.
pub async fn run(global: &Global, command: WalletCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    match command {
        WalletCommand::Show { wallet, at } => {
            let id = wallet.find(&client).await?;
            let wallet = match &at {
                Some(_) => client.balance(id, at.as_deref()).await?,
                None => client.wallet(id).await?,
            };
            show(global, &wallet)?;
        }
        WalletCommand::Open { person } => {
            let written = client.open_wallet(&person.read()?, &Client::fresh_key()).await?;
            let wallet = table::text(&written.value, "wallet");
            global.show(&written.value, |out| {
                if written.created && !written.replayed {
                    writeln!(out, "Wallet {wallet} is open, entry {}.", table::text(&written.value, "entry"))
                } else {
                    writeln!(out, "The person has wallet {wallet} already.")
                }
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn show(global: &Global, wallet: &Value) -> Result<(), CliError> {
    let facts = table::facts([
        ("wallet", table::text(wallet, "wallet")),
        ("state", table::text(wallet, "state")),
        ("balance", format!("{} {}", table::amount(wallet, "balance"), table::text(wallet, "currency"))),
        ("available", table::amount(wallet, "available")),
        ("held", table::amount(wallet, "held")),
        ("entries", table::text(wallet, "version")),
    ]);
    let mut rows = table::table(&["programme", "class", ">amount", ">held"]);
    let programmes = wallet["by_programme"].as_array().map(Vec::as_slice).unwrap_or_default();
    for programme in programmes {
        rows.add_row([
            table::text(programme, "programme"),
            table::text(programme, "class"),
            table::amount(programme, "amount"),
            table::amount(programme, "held"),
        ]);
    }
    global.show(wallet, |out| {
        table::print(out, &facts)?;
        if programmes.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        table::print(out, &rows)
    })
}
