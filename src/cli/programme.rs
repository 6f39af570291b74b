//! `programme`: what benefits there are, and registering them.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::{Global, table};
use crate::client::{Client, ClientError};
use crate::domain::{Bin, ProgrammeCode};
use crate::payroll::{Programme, catalogue};

/// Who pays the built-in programmes unless told otherwise.
pub const DEFAULT_PAYER: &str = "940140000385";

/// List, show and register benefit programmes
#[derive(Debug, Subcommand)]
pub enum ProgrammeCommand {
    /// All programmes, with what is left to accrue and what is in wallets
    List,
    /// One programme
    Show {
        /// Its code, like ASP
        #[arg(value_parser = parse_code)]
        code: ProgrammeCode,
    },
    /// Register the programme that a JSON file describes
    Register {
        /// An object with code, names, payer, `legal_basis`, class and, where known, knp, kbe, `iso_purpose`
        file: PathBuf,
    },
    /// Register the 13 built-in programmes
    RegisterCatalogue {
        /// Who pays them: one body for all, so that one payroll can hold them all
        #[arg(long, value_name = "BIN", default_value = DEFAULT_PAYER, value_parser = parse_payer)]
        payer: Bin,
    },
}

/// For clap: a programme's code.
pub fn parse_code(text: &str) -> Result<ProgrammeCode, String> {
    ProgrammeCode::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// For clap: a payer's BIN.
pub fn parse_payer(text: &str) -> Result<Bin, String> {
    Bin::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Runs the command.
pub async fn run(global: &Global, command: ProgrammeCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    match command {
        ProgrammeCommand::List => list(global, &client).await?,
        ProgrammeCommand::Show { code } => show(global, &client.programme(code).await?)?,
        ProgrammeCommand::Register { file } => register(global, &client, &file).await?,
        ProgrammeCommand::RegisterCatalogue { payer } => {
            let registered = register_catalogue(&client, payer).await?;
            let known = catalogue().len() - registered.len();
            global.show(&json!({"registered": registered, "known_before": known}), |out| {
                writeln!(out, "{} programmes registered, {known} were known before.", registered.len())
            })?;
        }
    }
    Ok(Outcome::Done)
}

async fn list(global: &Global, client: &Client) -> Result<(), CliError> {
    let programmes = client.programmes().await?;
    let mut rows = table::table(&["code", "name", "payer", "class", ">funding", ">in wallets"]);
    for programme in &programmes {
        rows.add_row([
            code_of(programme).to_owned(),
            table::text(&programme["names"], "en"),
            table::text(programme, "payer"),
            table::text(programme, "class"),
            table::amount(programme, "funding"),
            table::amount(programme, "in_wallets"),
        ]);
    }
    global.show(&json!({"programmes": programmes}), |out| {
        if programmes.is_empty() {
            writeln!(
                out,
                "No programmes yet; `social-wallet programme register-catalogue` registers the built-in ones."
            )
        } else {
            table::print(out, &rows)
        }
    })
}

fn show(global: &Global, programme: &Value) -> Result<(), CliError> {
    let names = &programme["names"];
    let facts = table::facts([
        ("code", code_of(programme).to_owned()),
        ("in Kazakh", table::text(names, "kk")),
        ("in Russian", table::text(names, "ru")),
        ("in English", table::text(names, "en")),
        ("payer", table::text(programme, "payer")),
        ("legal basis", table::text(programme, "legal_basis")),
        ("class", table::text(programme, "class")),
        ("KNP", table::text(programme, "knp")),
        ("KBe", table::text(programme, "kbe")),
        ("ISO purpose", table::text(programme, "iso_purpose")),
        ("funding left", table::amount(programme, "funding")),
        ("in wallets", table::amount(programme, "in_wallets")),
        ("entry", table::text(programme, "entry")),
    ]);
    global.show(programme, |out| table::print(out, &facts))
}

async fn register(global: &Global, client: &Client, file: &std::path::Path) -> Result<(), CliError> {
    let text = std::fs::read(file).map_err(CliError::file(file))?;
    let programme: Value = serde_json::from_slice(&text)
        .map_err(|error| CliError::Usage(format!("{} is not JSON: {error}", file.display())))?;
    let written = client.register_programme(&programme, &Client::fresh_key()).await?;
    global.show(&written.value, |out| {
        writeln!(
            out,
            "{} is registered, entry {}.",
            code_of(&written.value),
            table::text(&written.value, "entry")
        )
    })
}

/// Registers the built-in programmes that are not known yet; gives their codes.
pub async fn register_catalogue(client: &Client, payer: Bin) -> Result<Vec<ProgrammeCode>, ClientError> {
    let mut registered = Vec::new();
    for programme in catalogue() {
        match client.register_programme(&body(programme, payer), &Client::fresh_key()).await {
            Ok(_) => registered.push(programme.code),
            Err(error) if error.code() == Some("programme_exists") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(registered)
}

fn body(programme: &Programme, payer: Bin) -> Value {
    let mut body = json!({"code": programme.code, "names": programme.names, "payer": payer,
        "legal_basis": programme.legal_basis, "class": programme.class});
    let optional = [
        ("knp", programme.knp.map(|code| code.to_string())),
        ("kbe", programme.kbe.map(|code| code.to_string())),
        ("iso_purpose", programme.iso_purpose.map(|code| code.to_string())),
    ];
    for (name, code) in optional {
        if let Some(code) = code {
            body[name] = Value::String(code);
        }
    }
    body
}

/// The code of a programme, in an answer or in its entry.
#[must_use]
pub fn code_of(programme: &Value) -> &str {
    programme["code"].as_str().or_else(|| programme["programme"].as_str()).unwrap_or_default()
}
