//! `log`: the signed log, as operators and auditors handle it.

mod export;

use std::io::Write as _;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::task::JoinHandle;

use super::place::PlaceArgs;
use super::{CliError, Global, Outcome};
use crate::keys::BookKeys;
use crate::publisher::Publisher;
use crate::publisher::file::Keep as _;
use crate::publisher::operator::{self, OperatorError};
use crate::sequencer::Sequencer;
use crate::sequencer::clock::{self, Clock};
use crate::store::Store;

/// Show the log's keys, export it, replace its key, or declare a new origin after a loss
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the log's verifier keys, one a line: the key file of an auditor
    Key(PlaceOnly),
    /// Write the log to a directory in the layout of C2SP tlog-tiles; run again, what is new of it
    Export(export::ExportArgs),
    /// Replace the log's key: the old one signs the new one into the log
    RotateKey(PlaceOnly),
    /// Go on after signed entries were lost for good: a new origin, whose entry commits to the lost checkpoint
    DeclareOrigin(PlaceOnly),
}

/// Which book.
#[derive(Debug, Args)]
pub struct PlaceOnly {
    #[command(flatten)]
    place: PlaceArgs,
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::Service(error.to_string())
}

fn refused(error: OperatorError) -> CliError {
    match error {
        OperatorError::NothingLost(_) | OperatorError::NothingKept => CliError::Refused(error.to_string()),
        error => failed(&error),
    }
}

/// Runs the command.
pub async fn run(global: &Global, command: LogCommand) -> Result<Outcome, CliError> {
    match command {
        LogCommand::Key(args) => key(global, args.place).await,
        LogCommand::Export(args) => export::run(global, args).await,
        LogCommand::RotateKey(args) => rotate(global, args.place).await,
        LogCommand::DeclareOrigin(args) => declare(global, args.place).await,
    }
}

/// The store of a book that is there, with its keys.
pub(super) async fn open(place: &PlaceArgs) -> Result<(Arc<dyn Store>, Arc<BookKeys>), CliError> {
    let store = place.open_store().await?;
    let keys = place.open_keys(&*store).await?;
    Ok((store, keys))
}

/// A writer beside those of services that may run.
pub(super) async fn writer(
    store: &Arc<dyn Store>,
    keys: &Arc<BookKeys>,
) -> Result<(Sequencer, JoinHandle<()>), CliError> {
    let started = Sequencer::start(store.clone(), keys.clone(), Clock::system(), 100_000).await;
    started.map_err(|error| failed(&error))
}

async fn key(global: &Global, place: PlaceArgs) -> Result<Outcome, CliError> {
    let (store, keys) = open(&place).await?;
    let file = place.open_log_key(&*store, keys.book()).await?;
    let changes = store.log_changes().await.map_err(|error| failed(&error))?;
    // Those that signed before are needed for what they signed.
    let mut vkeys: Vec<String> = changes.iter().filter_map(|change| change.old_key.clone()).collect();
    let current = changes.last().and_then(|change| change.key.clone());
    vkeys.extend(current.or_else(|| file.find(None).map(|key| key.verifier_key().to_string())));
    global.show(&json!({"keys": vkeys}), |out| vkeys.iter().try_for_each(|vkey| writeln!(out, "{vkey}")))?;
    Ok(Outcome::Done)
}

async fn rotate(global: &Global, place: PlaceArgs) -> Result<Outcome, CliError> {
    let (store, keys) = open(&place).await?;
    let book = keys.book();
    let file = place.open_log_key(&*store, book).await?;
    // A store that lacks what was signed takes no entry.
    let checked = Publisher::open(store.clone(), book, file, Box::new(place.kept()), clock::now).await;
    checked.map_err(|error| failed(&error))?;
    let (sequencer, writer) = writer(&store, &keys).await?;
    let file = place.open_log_key(&*store, book).await?;
    let rotated = operator::rotate_key(&*store, book, file, &sequencer).await;
    drop(sequencer);
    writer.await.map_err(|error| failed(&error))?;
    let entry = rotated.map_err(refused)?;
    let new = entry.members["new_key"].as_str().unwrap_or_default().to_owned();
    global.show(&json!({"entry": entry.seq, "key": new}), |out| {
        writeln!(out, "{new}")?;
        writeln!(
            out,
            "signs from entry {} on. Bring {} to the other replicas, and the line above to the auditors.",
            entry.seq,
            place.log_key_path().display()
        )
    })?;
    Ok(Outcome::Done)
}

async fn declare(global: &Global, place: PlaceArgs) -> Result<Outcome, CliError> {
    let (store, keys) = open(&place).await?;
    let file = place.open_log_key(&*store, keys.book()).await?;
    let note = place.kept().read().map_err(|error| failed(&error))?;
    let declaration = operator::declaration(&*store, keys.book(), file, note).await.map_err(refused)?;
    let (sequencer, writer) = writer(&store, &keys).await?;
    let declared = operator::declare(&sequencer, declaration).await;
    drop(sequencer);
    writer.await.map_err(|error| failed(&error))?;
    let entry = declared.map_err(refused)?;
    let text = |name: &str| entry.members[name].as_str().unwrap_or_default().to_owned();
    let (origin, lost) = (text("origin"), text("lost_origin"));
    let size = &entry.members["lost_size"];
    let value = json!({"entry": entry.seq, "origin": origin, "lost_origin": lost, "lost_size": size});
    global.show(&value, |out| {
        writeln!(out, "The log goes on as {origin}.")?;
        writeln!(
            out,
            "Entry {} commits to the lost checkpoint of {size} entries of {lost}. Tell the auditors.",
            entry.seq
        )
    })?;
    Ok(Outcome::Done)
}
