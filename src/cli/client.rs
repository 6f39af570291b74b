//! `client`: who may call.

use std::io::Write as _;

use clap::Subcommand;
use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::{Global, approval, table};
use crate::client::Client;
use crate::domain::{Bic, Bin, ClientId, Issuer, KeyId, PublicKey, Role};

/// List and register clients, and their keys
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// All clients with their keys
    List,
    /// Register a client with its first key. An operator or an authority takes the approval of another operator: first of
    /// the registration, then, by `client add-key`, of the key
    Add {
        /// Its id: 1 to 32 of a-z 0-9 . _ -
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
        /// payer, bank, channel, authority, auditor or operator
        #[arg(long, value_parser = Role::parse)]
        role: Role,
        /// The BIN of a payer or an authority
        #[arg(long, value_parser = super::programme::parse_payer)]
        bin: Option<Bin>,
        /// The BIC of a bank
        #[arg(long, value_parser = parse_bic)]
        bic: Option<Bic>,
        #[allow(clippy::doc_markdown)] // shown on a terminal
        /// What an authority is as an issuer: bailiff, tax_authority, bank, creditor, paying_body or investigator
        #[arg(long, value_parser = Issuer::parse)]
        issuer: Option<Issuer>,
        /// Its public key, as `keygen` printed it
        #[arg(long, value_name = "KEY", value_parser = PublicKey::parse)]
        public_key: Option<PublicKey>,
    },
    /// Give a client a further key; of another operator or an authority, ask for the approval
    AddKey {
        /// Whose
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
        /// The public key, as `keygen` printed it
        #[arg(value_parser = PublicKey::parse)]
        public_key: PublicKey,
    },
    /// Revoke a key: nothing signed with it is accepted any more
    RevokeKey {
        /// The key's id, like bank:21fe31dfa154a261
        #[arg(value_parser = KeyId::parse)]
        key: KeyId,
    },
    /// Accept nothing of a client for now
    Suspend {
        /// Which
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let a suspended client in again
    Reinstate {
        /// Which
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

fn parse_bic(text: &str) -> Result<Bic, String> {
    Bic::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Runs the command.
pub async fn run(global: &Global, command: ClientCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    match command {
        ClientCommand::List => list(global, &client.clients().await?)?,
        ClientCommand::Add { id, role, bin, bic, issuer, public_key } => {
            let body = json!({"client": id, "role": role, "bin": bin, "bic": bic, "issuer": issuer});
            add(global, &client, body, id, role, public_key).await?;
        }
        ClientCommand::AddKey { id, public_key } => add_key(global, &client, id, public_key).await?,
        ClientCommand::RevokeKey { key } => {
            let written = client.revoke_client_key(key, &Client::fresh_key()).await?;
            global.show(&written.value, |out| {
                let entry = table::text(&written.value, "entry");
                writeln!(out, "{key} is revoked, entry {entry}: nothing signed with it is accepted.")
            })?;
        }
        ClientCommand::Suspend { id, reason } => set_suspended(global, &client, id, true, &reason).await?,
        ClientCommand::Reinstate { id, reason } => set_suspended(global, &client, id, false, &reason).await?,
    }
    Ok(Outcome::Done)
}

fn list(global: &Global, value: &Value) -> Result<(), CliError> {
    let mut rows = table::table(&["client", "role", "bin or bic", "issuer", "keys", "state"]);
    for client in value["clients"].as_array().into_iter().flatten() {
        let keys = client["keys"].as_array().into_iter().flatten();
        let live = keys.filter(|key| key["revoked_by_entry"].is_null());
        let keys: Vec<String> = live.map(|key| table::text(key, "key")).collect();
        rows.add_row([
            table::text(client, "client"),
            table::text(client, "role"),
            table::text(client, "bin") + &table::text(client, "bic"),
            table::text(client, "issuer"),
            keys.join(" "),
            if client["suspended"] == true { "suspended".to_owned() } else { String::new() },
        ]);
    }
    global.show(value, |out| table::print(out, &rows))
}

async fn add(
    global: &Global,
    client: &Client,
    body: Value,
    id: ClientId,
    role: Role,
    public_key: Option<PublicKey>,
) -> Result<(), CliError> {
    if matches!(role, Role::Operator | Role::Authority) {
        let mut proposal = body;
        proposal["kind"] = json!("register_client");
        let written = client.request_approval(&proposal, &Client::fresh_key()).await?;
        return global.show(&written.value, |out| {
            writeln!(out, "{id} as {role}:")?;
            approval::say_requested(out, &written.value)?;
            writeln!(out, "and then:     social-wallet client add-key {id} KEY")
        });
    }
    let registered = client.register_client(&body, &Client::fresh_key()).await?;
    let keyed = match public_key {
        Some(key) => Some(client.add_client_key(id, key, &Client::fresh_key()).await?),
        None => None,
    };
    let value =
        json!({"registered": registered.value, "key_added": keyed.as_ref().map(|keyed| &keyed.value)});
    global.show(&value, |out| {
        writeln!(out, "{id} is registered as {role}, entry {}.", table::text(&registered.value, "entry"))?;
        match &keyed {
            Some(keyed) => {
                let (key, entry) = (table::text(&keyed.value, "key"), table::text(&keyed.value, "entry"));
                writeln!(out, "It signs with {key}, entry {entry}.")
            }
            None => writeln!(out, "It has no key yet: social-wallet client add-key {id} KEY"),
        }
    })
}

async fn add_key(
    global: &Global,
    client: &Client,
    id: ClientId,
    public_key: PublicKey,
) -> Result<(), CliError> {
    match client.add_client_key(id, public_key, &Client::fresh_key()).await {
        Ok(written) => global.show(&written.value, |out| {
            let (key, entry) = (table::text(&written.value, "key"), table::text(&written.value, "entry"));
            writeln!(out, "{id} signs with {key} too, entry {entry}.")
        }),
        Err(error) if error.code() == Some("approval_required") => {
            let proposal = json!({"kind": "add_key", "client": id, "public_key": public_key});
            let written = client.request_approval(&proposal, &Client::fresh_key()).await?;
            global.show(&written.value, |out| {
                writeln!(out, "A key for {id}:")?;
                approval::say_requested(out, &written.value)
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn set_suspended(
    global: &Global,
    client: &Client,
    id: ClientId,
    suspended: bool,
    reason: &str,
) -> Result<(), CliError> {
    let written = client.set_client_suspended(id, suspended, reason, &Client::fresh_key()).await?;
    let state = if suspended { "suspended" } else { "let in again" };
    global.show(&written.value, |out| {
        writeln!(out, "{id} is {state}, entry {}.", table::text(&written.value, "entry"))
    })
}
