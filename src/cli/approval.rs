//! `approval`: what takes two operators.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::error::{CliError, Outcome};
use super::{Global, person, table};
use crate::client::Client;

/// What one operator asks for and another approves: list, show, approve, close
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// All requests, newest first
    List,
    /// One request: what is asked for, and how to approve it
    Show {
        /// The entry of the request
        entry: u64,
    },
    /// Approve what another operator asked for; it is carried out at once
    Approve {
        /// The entry of the request
        entry: u64,
        /// The digest of what was shown: nothing else is approved
        digest: String,
        /// The file of the number (IIN) that is to be added, if that is asked for: the journal has only its tag
        #[arg(long, value_name = "FILE")]
        iin_file: Option<PathBuf>,
    },
    /// Take back one's own request, or refuse another operator's
    Close {
        /// The entry of the request
        entry: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// Says of the entry of a request how another operator goes on.
pub fn say_requested(out: &mut impl Write, entry: &Value) -> io::Result<()> {
    let (number, digest) = (table::text_of_number(entry, "entry"), table::text(entry, "digest"));
    writeln!(out, "requested, entry {number}; it takes another operator, within three days:")?;
    writeln!(out, "to look at:   social-wallet approval show {number}")?;
    writeln!(out, "to approve:   social-wallet approval approve {number} {digest}")
}

/// Runs the command.
pub async fn run(global: &Global, command: ApprovalCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    match command {
        ApprovalCommand::List => list(global, &client.approvals().await?)?,
        ApprovalCommand::Show { entry } => show(global, &client.approval(entry).await?)?,
        ApprovalCommand::Approve { entry, digest, iin_file } => {
            let iin = iin_file.as_deref().map(person::read_iin).transpose()?;
            let written = client.approve(entry, &digest, iin.as_ref(), &Client::fresh_key()).await?;
            global.show(&written.value, |out| {
                let given = table::text_of_number(&written.value, "entry");
                writeln!(out, "approved, entry {given}, and carried out by the entry after it")
            })?;
        }
        ApprovalCommand::Close { entry, reason } => {
            let written = client.close_approval(entry, &reason, &Client::fresh_key()).await?;
            let outcome = table::text(&written.value, "outcome");
            global.show(&written.value, |out| {
                writeln!(out, "{outcome}, entry {}", table::text_of_number(&written.value, "entry"))
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn list(global: &Global, value: &Value) -> Result<(), CliError> {
    let mut rows = table::table(&[">entry", "state", "by", "what", "until"]);
    for approval in value["approvals"].as_array().into_iter().flatten() {
        rows.add_row([
            table::text_of_number(approval, "approval"),
            table::text(approval, "state"),
            table::text(approval, "requested_by"),
            table::text(&approval["proposal"], "kind"),
            table::text(approval, "expires"),
        ]);
    }
    global.show(value, |out| table::print(out, &rows))
}

fn show(global: &Global, approval: &Value) -> Result<(), CliError> {
    let entry = table::text_of_number(approval, "approval");
    let mut facts = vec![
        ("entry", entry.clone()),
        ("state", table::text(approval, "state")),
        ("asked by", table::text(approval, "requested_by")),
        ("until", table::text(approval, "expires")),
    ];
    for (name, value) in approval["proposal"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        facts.push((name, value));
    }
    let digest = table::text(approval, "digest");
    facts.push(("digest", digest.clone()));
    global.show(approval, |out| {
        table::print(out, &table::facts(facts.iter().cloned()))?;
        if approval["state"] == "open" {
            let number = if approval["proposal"]["kind"] == "add_number" { " --iin-file FILE" } else { "" };
            writeln!(out, "to approve: social-wallet approval approve {entry} {digest}{number}")?;
        }
        Ok(())
    })
}
