//! The command line: one file for each subcommand, and what they share.
//!
//! | File          | Holds |
//! |---------------|-------|
//! | `mod.rs`      | the tree of commands and what holds for all of them |
//! | `error.rs`    | errors and exit codes |
//! | `config.rs`   | the configuration file |
//! | `payday.rs`   | a payroll from file to closed batch |
//! | `child.rs`    | a service of one's own, for `demo` and `bench` |
//! | `crew.rs`     | clients for trying it out, with their key files |
//! | `place.rs`    | where a book and its keys are |
//! | `person.rs`   | a person's number on its way in |
//! | `figures.rs`, `table.rs`, `progress.rs`, `advice.rs` | how things are said to people |
//!
//! Answers go to standard output, as tables for people or with `--json` as one JSON document on a line for machines.
//! Everything else goes to standard error. No command prints a person's number.

mod accrue;
mod advice;
mod approval;
mod backup;
mod batch;
mod bench;
mod bootstrap;
mod call;
mod child;
mod client;
mod config;
mod crew;
mod demo;
mod entry;
mod error;
mod figures;
mod fund;
mod generate;
mod health;
mod keygen;
mod log;
mod migrate;
mod order;
mod payday;
mod person;
mod place;
mod programme;
mod progress;
mod replay;
mod report;
mod rules;
mod serve;
mod serve_check;
mod siege;
mod statement;
mod table;
mod verify;
mod wallet;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use serde_json::Value;

use crate::client::Client;
use crate::client::key::{self, KeyFileError};
use crate::domain::ClientId;
use crate::sequencer::clock;
use crate::signature::Signer;

pub use config::ConfigError;
pub use error::{CliError, Outcome};

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 refused, or not all accepted; 2 wrong usage; 3 the service is unreachable or failing.
Begin with `social-wallet demo`.";

/// Above the options that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// The social wallet's ledger: benefits in, shielded, and provable
#[derive(Debug, Parser)]
#[command(name = "social-wallet", version, about, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Where the service is
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "URL",
        env = "SOCIAL_WALLET_SERVER",
        default_value = "http://127.0.0.1:8080",
        hide_env_values = true
    )]
    server: String,
    /// Whose key it is, where the key file does not say
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "ID", env = "SOCIAL_WALLET_CLIENT", value_parser = ClientId::parse, hide_env_values = true)]
    client: Option<ClientId>,
    /// The key file to sign requests with, made by `keygen`
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = "SOCIAL_WALLET_CLIENT_KEY", hide_env_values = true)]
    client_key: Option<PathBuf>,
    /// A file of the certification authorities to trust a service at https:// by [default: the system's]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = "SOCIAL_WALLET_CA_CERTIFICATE", hide_env_values = true)]
    ca_certificate: Option<PathBuf>,
    /// A file of settings: each option with an environment variable, by the same name (`log-format = "json"`). An option
    /// that is given goes first, then its environment variable, then the file
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = config::VARIABLE, hide_env_values = true)]
    config: Option<PathBuf>,
    /// How log lines are written, to standard error: `RUST_LOG` chooses which
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FORMAT", env = "SOCIAL_WALLET_LOG_FORMAT", default_value = "text", hide_env_values = true)]
    log_format: LogFormat,
    /// Answer with JSON, for machines
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object on each line, with the request's trace.
    Json,
}

impl Global {
    /// A client of the service that is meant.
    pub fn client(&self) -> Result<Client, CliError> {
        let client = self.unsigned()?;
        Ok(match self.signer()? {
            Some(signer) => client.with_signer(signer, clock::now),
            None => client,
        })
    }

    /// A client of that service with another key than the one that is named for all commands.
    fn client_with(&self, file: &Path) -> Result<Client, CliError> {
        Ok(self.unsigned()?.with_signer(signer_of(file, None)?, clock::now))
    }

    fn unsigned(&self) -> Result<Client, CliError> {
        Ok(Client::trusting(&self.server, self.ca_certificate.as_deref())?)
    }

    /// Who calls, if a key file is named.
    fn signer(&self) -> Result<Option<Signer>, CliError> {
        self.client_key.as_deref().map(|file| signer_of(file, self.client)).transpose()
    }

    /// Gives the answer: the value with `--json`, else what `human` writes.
    pub fn show(
        &self,
        value: &Value,
        human: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{value}")?;
        } else {
            human(&mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// Whoever signs with this key file: `client`, or who the file says.
fn signer_of(file: &Path, client: Option<ClientId>) -> Result<Signer, CliError> {
    let (key, name) = key::load(file)?;
    let nobody = || {
        let file = file.display();
        CliError::Usage(format!("the key file {file} does not say whose key it is: name it with --client"))
    };
    let malformed = || KeyFileError::Malformed(file.display().to_string());
    Ok(Signer::new(client.or(name).ok_or_else(nobody)?, key).ok_or_else(malformed)?)
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the ledger; without arguments on this machine, in ./data
    Serve(serve::ServeArgs),
    /// Bring a PostgreSQL schema up to date, as its owner
    Migrate(migrate::MigrateArgs),
    /// Run the journal through the rules again and compare every balance
    Replay(replay::ReplayArgs),
    /// Back a book up to a new directory, whether it is served or not
    Backup(backup::BackupArgs),
    /// Restore a backup to a place that has no book
    Restore(backup::RestoreArgs),
    /// Verify a log, offline, with its public key; or one receipt
    Verify(verify::VerifyArgs),
    /// Pay a payroll file; run it again to take up where it stopped
    Accrue(accrue::AccrueArgs),
    /// Judge a payroll file and post nothing
    Validate(accrue::FileArgs),
    /// Write a payroll file for trials
    Generate(generate::GenerateArgs),
    #[command(subcommand)]
    Programme(programme::ProgrammeCommand),
    /// Ask for the approval that money of the treasury is booked for a programme
    Fund(fund::FundArgs),
    #[command(subcommand)]
    Wallet(wallet::WalletCommand),
    /// What happened on a wallet, oldest first
    Statement(statement::StatementArgs),
    #[command(subcommand)]
    Batch(batch::BatchCommand),
    #[command(subcommand)]
    Order(order::OrderCommand),
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    #[command(subcommand)]
    Report(report::ReportCommand),
    #[command(subcommand)]
    Log(log::LogCommand),
    /// An entry of the journal
    Entry(entry::EntryArgs),
    /// Whether the service is ready
    Health(health::HealthArgs),
    /// Make a key to sign requests with
    Keygen(keygen::KeygenArgs),
    /// Give a new book its operators
    Bootstrap(bootstrap::BootstrapArgs),
    #[command(subcommand)]
    Client(client::ClientCommand),
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Sign and send any request of the interface
    Call(call::CallArgs),
    /// See it work: a payday on this machine, killed in the middle and finished
    Demo(demo::DemoArgs),
    /// Measure it on this machine, over HTTP, with its durability on
    Bench(bench::BenchArgs),
}

/// Why there is no command to run.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its arguments cannot be understood, or it is asked for help.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The file of settings cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Cli {
    /// Reads a command from its arguments, the environment, and the file of settings that these name: in this order, the first
    /// that says something of an option is heard.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ReadError> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let mut command = Self::command();
        if let Some(path) = config::named(&command, &arguments) {
            command = config::defaults(command, &path)?;
        }
        let mut matches = command.clone().try_get_matches_from(arguments)?;
        Ok(Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?)
    }

    /// How log lines are to be written.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        self.global.log_format
    }

    /// Runs the command.
    pub async fn run(self) -> Result<Outcome, CliError> {
        let global = &self.global;
        match self.command {
            Command::Serve(args) => serve::run(global, args).await,
            Command::Migrate(args) => migrate::run(global, args).await,
            Command::Replay(args) => replay::run(global, args).await,
            Command::Backup(args) => backup::run(global, args).await,
            Command::Restore(args) => backup::run_restore(global, args).await,
            Command::Verify(args) => verify::run(global, args).await,
            Command::Accrue(args) => accrue::run(global, args).await,
            Command::Validate(args) => accrue::run_validate(global, args).await,
            Command::Generate(args) => generate::run(global, args).await,
            Command::Programme(command) => programme::run(global, command).await,
            Command::Fund(args) => fund::run(global, args).await,
            Command::Wallet(command) => wallet::run(global, command).await,
            Command::Statement(args) => statement::run(global, args).await,
            Command::Batch(command) => batch::run(global, command).await,
            Command::Order(command) => order::run(global, command).await,
            Command::Rules(command) => rules::run(global, command).await,
            Command::Report(command) => report::run(global, command).await,
            Command::Log(command) => log::run(global, command).await,
            Command::Entry(args) => entry::run(global, args).await,
            Command::Health(args) => health::run(global, args).await,
            Command::Keygen(args) => keygen::run(global, &args),
            Command::Bootstrap(args) => bootstrap::run(global, args).await,
            Command::Client(command) => client::run(global, command).await,
            Command::Approval(command) => approval::run(global, command).await,
            Command::Call(args) => call::run(global, args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Bench(args) => bench::run(global, args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_fits_a_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 54, "{help}");
    }

    #[test]
    fn numbers_are_taken_within_their_ranges_and_not_beside_them() {
        for (words, from, to) in [
            ("serve --connections", 1, 65_536),
            ("serve --wallets-in-memory", 100_000, 100_000_000),
            ("serve --requests-per-second", 1, u64::from(u32::MAX)),
            ("accrue FILE --in-flight", 1, 8),
            ("accrue FILE --chunk-lines", 1, 8_192),
            ("statement --limit", 1, 1_000),
            ("generate --lines", 1, crate::payroll::PEOPLE_MAX),
            ("demo --lines", 1_000, 5_000_000),
            ("bench --lines", 1_000, 20_000_000),
            ("bench --clients", 1, 1_024),
            ("bench --in-flight", 1, 8),
            ("bench --seconds", 1, 240),
        ] {
            for (number, is_taken) in
                [(from - 1, false), (from, true), (to - 1, true), (to, true), (to + 1, false)]
            {
                let number = number.to_string();
                let line = ["social-wallet"].into_iter().chain(words.split(' ')).chain([number.as_str()]);
                let kind = Cli::try_parse_from(line).err().map(|error| error.kind());
                // What else a command lacks is told after its numbers were read.
                let refused = kind.is_some_and(|kind| kind == clap::error::ErrorKind::ValueValidation);
                assert_eq!(refused, !is_taken, "{words} {number}: {kind:?}");
            }
        }
    }
}
