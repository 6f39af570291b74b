//! What an operator does about the log: declares a new origin after a loss, replaces the key.

use sha2::{Digest, Sha256};

use crate::domain::{BookId, ClientId};
use crate::keys::KeyError;
use crate::ledger::record::{Actor, LostCheckpoint};
use crate::log::note::SigningKey;
use crate::log::origin;
use crate::sequencer::Sequencer;
use crate::sequencer::command::{Command, CommandError, EntryView, Outcome};
use crate::store::{Store, StoreError};

use super::key::LogKeyFile;
use super::{PublishError, find_lost, key_at, open_kept};

/// Why an operator's step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Nothing was lost.
    #[error(
        "the store has the checkpoint of {0} entries that is kept outside it: nothing is lost, no origin is declared"
    )]
    NothingLost(u64),
    /// There is no checkpoint to commit to.
    #[error("no checkpoint is kept outside the database: there is nothing that a new origin could commit to")]
    NothingKept,
    /// The log or its file.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger refused the entry, or cannot write.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The answer was no entry: a mistake of this program.
    #[error("the ledger answered without an entry")]
    NoEntry,
}

fn actor(what: &[u8]) -> Actor {
    let client = ClientId::parse("operator").expect("a client id of the documented form");
    Actor { client, request: Sha256::digest(what).into(), line: None, instruction: None }
}

async fn submit(sequencer: &Sequencer, command: Command, what: &[u8]) -> Result<EntryView, OperatorError> {
    match sequencer.submit(command, actor(what)).await? {
        Outcome::Entry(entry) => Ok(entry),
        Outcome::Chunk(_) | Outcome::Answers(_) => Err(OperatorError::NoEntry),
    }
}

/// The declaration that lets the log of a store go on that lacks the kept checkpoint: the command and the bytes of the
/// note that it commits to.
pub async fn declaration(
    store: &dyn Store,
    book: BookId,
    keys: LogKeyFile,
    note: Option<Vec<u8>>,
) -> Result<(Command, Vec<u8>), OperatorError> {
    let note = note.ok_or(OperatorError::NothingKept)?;
    let changes = store.log_changes().await?;
    let checkpoint = open_kept(&keys, &changes, &note)?;
    if find_lost(store, book, &changes, &checkpoint).await?.is_none() {
        return Err(OperatorError::NothingLost(checkpoint.size));
    }
    let generation = origin::generation(&checkpoint.origin, &origin::key_name(book)).unwrap_or(1);
    let lost = LostCheckpoint {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        note_sha256: Sha256::digest(&note).into(),
    };
    let origin = origin::origin(book, generation.saturating_add(1));
    Ok((Command::DeclareOrigin { origin, lost: Box::new(lost) }, note))
}

/// Declares a new origin: the entry that does.
pub async fn declare(
    sequencer: &Sequencer,
    (command, note): (Command, Vec<u8>),
) -> Result<EntryView, OperatorError> {
    submit(sequencer, command, &note).await
}

/// Replaces the log's key: the old one signs the new one into the log. The file has both before the journal names the new
/// one, and only that one afterwards; interrupted anywhere, it can be run again.
pub async fn rotate_key(
    store: &dyn Store,
    book: BookId,
    mut file: LogKeyFile,
    sequencer: &Sequencer,
) -> Result<EntryView, OperatorError> {
    let changes = store.log_changes().await?;
    let named = key_at(&changes, u64::MAX)?;
    let missing =
        || PublishError::KeyMissing(named.as_ref().map(|key| key.label().to_string()).unwrap_or_default());
    let current = file.find(named.as_ref()).ok_or_else(missing)?.verifier_key().clone();
    let mut keys = file.take_from(&current);
    if keys.len() == 1 {
        let next = SigningKey::generate(&origin::key_name(book)).map_err(super::broken)?;
        keys.push(next);
    }
    keys.truncate(2);
    let next = keys[1].verifier_key().clone();
    let statement = origin::rotation_statement(book, &current, &next);
    let signature = Box::new(keys[0].sign_message(&statement));
    file.write(keys)?;
    let command = Command::RotateLogKey { old: current.to_string(), new: next.to_string(), signature };
    let entry = submit(sequencer, command, &statement).await?;
    let keys = file.take_from(&next);
    file.write(keys)?;
    Ok(entry)
}
