//! The publisher: signs what is durable, and shows it.
//!
//! # The order of writes
//! A checkpoint goes through five steps, each durable before the next begins:
//!
//! | step | what | where |
//! |---|---|---|
//! | 1 read | the tree's frontier as the store has it: a commit that is durable | store |
//! | 2 fix | the checkpoint's body, as the one that follows the newest, which must be published | store, compare and swap |
//! | 3 sign | that body, proved to be of the store's tree, and its tree to have grown out of the last one | memory |
//! | 4 keep | the signed note outside the database | file |
//! | 5 publish | the note; only then it is shown | store |
//!
//! *No two roots for one size.* What is signed is a body that stands in the store, where there is one body for a size and
//! one that follows another (step 2). All replicas go that way, and whoever finds a body that is not published finishes it
//! before anything else is fixed: it is the same text, so the same signature.
//!
//! *Nothing signed that could be lost unnoticed.* A note is kept in the file (4) before anybody can see it (5). A replica
//! that finds another's note keeps it in its own file before it shows it. So the file is never behind what this replica has
//! shown; and at the next start a store that has not the file's checkpoint, because it was restored from a backup or failed
//! over to a server that lacked commits, is found out: [`PublishError::Lost`], and nothing is served. The way on is an
//! operator's: a new origin, whose entry in the journal commits to the lost checkpoint (`social-wallet log declare-origin`).
//!
//! A crash between two steps leaves: after 1, nothing; after 2 or 3, a body that whoever comes next signs; after 4, the
//! same, and the file has the note already; after 5, a published checkpoint. Each is failed in `tests/it/publisher`;
//! `docs/adr/0004` says why it is built so.
//!
//! It may use the store, the log, and the sequencer's word on what is durable. It decides nothing about money.

pub mod export;
pub mod file;
pub mod key;
pub mod operator;
pub mod tree;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::BookId;
use crate::keys::KeyError;
use crate::ledger::effects::LogChange;
use crate::ledger::record::Record;
use crate::log::checkpoint::{Checkpoint, CheckpointError, Policy};
use crate::log::leaf::Leaf;
use crate::log::merkle::{ProofError, verify_consistency};
use crate::log::note::{SignedNote, SigningKey, VerifierKey};
use crate::log::origin;
use crate::log::tile::RightEdge;
use crate::sequencer::clock;
use crate::sequencer::edge::{EdgeError, edge_at, read_frontier};
use crate::store::{FixedCheckpoint, PublishedCheckpoint, Store, StoreError};

use file::Keep;
use key::LogKeyFile;
use tree::{Published, TreeError};

/// Between two checkpoints at least: under load, one for many commits.
pub const INTERVAL_MIN: Duration = Duration::from_millis(300);

/// How often the store is asked for commits of other replicas.
pub const POLL: Duration = Duration::from_millis(400);

/// How many checkpoints of other replicas are followed before it is somebody else's turn.
const ROUNDS_MAX: usize = 8;

/// Why a checkpoint is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint could not be kept outside the database.
    #[error("the checkpoint cannot be kept outside the database: {0}")]
    Keep(#[from] io::Error),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The journal names another key than those in the key file.
    #[error(
        "the log is signed by the key {0}, which is not in the key file: bring the file that `log rotate-key` wrote to this machine"
    )]
    KeyMissing(String),
    /// The store has not what was signed.
    #[error("{0}")]
    Lost(#[from] Lost),
    /// Something is not as this program leaves it. The service must not go on.
    #[error("the log cannot be signed: {0}")]
    Broken(String),
}

impl PublishError {
    /// Whether trying again cannot help: the service must stop.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Broken(_))
    }
}

/// The store lacks a checkpoint that was signed. The texts say what an operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// There are fewer entries.
    #[error(
        "the store has {found} entries, but a checkpoint of {signed} was signed (kept in the checkpoint file): the store was \
         restored from an old backup, or failed over to a server that lacked commits. Nothing is served. Bring the newest \
         store back; or, if it is gone for good, run `social-wallet log declare-origin` and tell the auditors"
    )]
    Shorter {
        /// Entries in the store.
        found: u64,
        /// Entries in the checkpoint.
        signed: u64,
    },
    /// The first entries are others.
    #[error(
        "the store's first {signed} entries are not those of which a checkpoint was signed (kept in the checkpoint file): it \
         is another history. Nothing is served. Bring the right store back; or, if it is gone for good, run `social-wallet \
         log declare-origin` and tell the auditors"
    )]
    OtherRoot {
        /// Entries in the checkpoint.
        signed: u64,
    },
    /// The store does not know the checkpoint's origin.
    #[error(
        "the checkpoint file has one of {signed} entries under {origin}, an origin that the store's journal does not know: the \
         store is from before it was declared. Nothing is served. Bring the newest store back; or, if it is gone for good, \
         run `social-wallet log declare-origin` and tell the auditors"
    )]
    UnknownOrigin {
        /// The checkpoint's origin.
        origin: String,
        /// Entries in the checkpoint.
        signed: u64,
    },
    /// The origin declared does not commit to this checkpoint.
    #[error(
        "the checkpoint file has one of {signed} entries, but the origin that was declared since commits to one of {declared} \
         entries or another root: this replica has shown more than the operator knew of. Nothing is served. Keep the file as \
         evidence, tell the auditors, and start this replica with a copy of the newest checkpoint file"
    )]
    NotDeclared {
        /// Entries in the file's checkpoint.
        signed: u64,
        /// Entries in the one that was declared lost.
        declared: u64,
    },
}

fn broken(error: impl std::fmt::Display) -> PublishError {
    PublishError::Broken(error.to_string())
}

impl From<EdgeError> for PublishError {
    fn from(error: EdgeError) -> Self {
        match error {
            EdgeError::Store(error) => error.into(),
            error @ EdgeError::Broken(_) => broken(error),
        }
    }
}

impl From<TreeError> for PublishError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Store(error) => error.into(),
            error => broken(error),
        }
    }
}

impl From<CheckpointError> for PublishError {
    fn from(error: CheckpointError) -> Self {
        broken(error)
    }
}

impl From<ProofError> for PublishError {
    fn from(error: ProofError) -> Self {
        broken(error)
    }
}

/// Which generation's origin a checkpoint of this size carries: that of the last change before its end.
#[must_use]
pub fn generation_at(changes: &[LogChange], size: u64) -> u32 {
    changes.iter().rfind(|change| change.seq < size).map_or(1, |change| change.generation)
}

/// Which key signs a checkpoint of this size; `None` if the journal has never named one.
pub fn key_at(changes: &[LogChange], size: u64) -> Result<Option<VerifierKey>, PublishError> {
    let named = changes.iter().rfind(|change| change.seq < size).and_then(|change| change.key.as_ref());
    // The key before the first rotation is the one that it replaced.
    let named = named.or_else(|| changes.iter().find_map(|change| change.old_key.as_ref()));
    named.map(|vkey| vkey.parse().map_err(broken)).transpose()
}

/// Signs and shows checkpoints.
pub struct Publisher {
    store: Arc<dyn Store>,
    book: BookId,
    keys: LogKeyFile,
    kept: Arc<dyn Keep>,
    now: fn() -> i64,
    shown: watch::Sender<Option<Arc<Published>>>,
}

impl Publisher {
    /// Holds the store against the checkpoint that is kept outside it, and takes up the one that is published. To be
    /// called before anything is written to the store. `now` gives UTC milliseconds.
    pub async fn open(
        store: Arc<dyn Store>,
        book: BookId,
        keys: LogKeyFile,
        kept: Box<dyn Keep>,
        now: fn() -> i64,
    ) -> Result<Self, PublishError> {
        let (shown, _) = watch::channel(None);
        let mut publisher = Self { store, book, keys, kept: kept.into(), now, shown };
        publisher.check_kept().await?;
        publisher.follow().await?;
        Ok(publisher)
    }

    /// Whether [`Publisher::open`] would succeed, and the next checkpoint could be signed. Nothing is written.
    pub async fn check(
        store: Arc<dyn Store>,
        book: BookId,
        keys: LogKeyFile,
        kept: Box<dyn Keep>,
    ) -> Result<(), PublishError> {
        let (shown, _) = watch::channel(None);
        let publisher = Self { store, book, keys, kept: kept.into(), now: clock::now, shown };
        publisher.check_kept().await?;
        let changes = publisher.store.log_changes().await?;
        if let Some(row) = publisher.store.published_checkpoint().await? {
            publisher.read_published(&changes, &row).await?;
        }
        let size = publisher.store.head().await?.map_or(0, |head| head.size);
        publisher.signing_key(key_at(&changes, size)?.as_ref()).map(drop)
    }

    /// The newest published checkpoint, as it changes; `None` before the first.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.shown.subscribe()
    }

    /// Publishes within a second of every commit, until the writer has ended and everything is published. `durable` is
    /// the writer's word on its commits. Ends early only on an error that is final.
    pub async fn run(mut self, mut durable: watch::Receiver<u64>) -> Result<(), PublishError> {
        let mut ended = false;
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(error) if error.is_final() => return Err(error),
                Err(error) => tracing::error!(%error, "no checkpoint; it is tried again"),
            }
            if ended {
                return Ok(());
            }
            tokio::time::sleep(INTERVAL_MIN).await;
            ended = tokio::select! {
                changed = durable.changed() => changed.is_err(),
                () = tokio::time::sleep(POLL) => false,
            };
        }
    }

    /// Brings the published checkpoint up to what is durable as it begins. What becomes durable meanwhile is the next step's, so
    /// that under load a checkpoint is for many commits.
    pub async fn step(&mut self) -> Result<(), PublishError> {
        let mut durable = None;
        for _ in 0..ROUNDS_MAX {
            self.follow().await?;
            self.finish().await?;
            let shown = self.last().map_or(0, |last| last.size());
            if durable.is_some_and(|durable| shown >= durable) {
                return Ok(());
            }
            let Some(size) = self.fix().await? else { return Ok(()) };
            durable.get_or_insert(size);
        }
        Ok(())
    }

    fn last(&self) -> Option<Arc<Published>> {
        self.shown.borrow().clone()
    }

    /// Step 2: fixes the body of what is durable. Answers how much that is, if there is a body to sign, of this replica or
    /// another.
    async fn fix(&mut self) -> Result<Option<u64>, PublishError> {
        let frontier = read_frontier(&self.store.frontier().await?)?;
        let (size, root) = (frontier.size(), frontier.root());
        let last = self.last();
        let previous_size = last.as_ref().map_or(0, |last| last.size());
        if size < previous_size {
            return Err(Lost::Shorter { found: size, signed: previous_size }.into());
        }
        if size == previous_size {
            return match last {
                Some(last) if last.checkpoint.root != root => Err(Lost::OtherRoot { signed: size }.into()),
                _ => Ok(None),
            };
        }
        let changes = self.store.log_changes().await?;
        let origin = origin::origin(self.book, generation_at(&changes, size));
        let body = Checkpoint { origin, size, root, extensions: Vec::new() }.body().into_bytes();
        if !self.store.fix_checkpoint(&FixedCheckpoint { size, previous_size, body }).await? {
            // Another replica's is in; unless the store has lost the one that this would follow.
            let newest = self.store.fixed_checkpoint().await?.map_or(0, |fixed| fixed.size);
            if newest < previous_size {
                return Err(Lost::OtherRoot { signed: previous_size }.into());
            }
        }
        Ok(Some(size))
    }

    /// Steps 3 to 5, for a body that is fixed and not published, whoever fixed it.
    async fn finish(&mut self) -> Result<(), PublishError> {
        let Some(fixed) = self.store.fixed_checkpoint().await? else { return Ok(()) };
        let last = self.last().map_or(0, |last| last.size());
        if fixed.size <= last {
            return Ok(());
        }
        if fixed.previous_size != last {
            return Ok(()); // another replica has gone on meanwhile: it is followed first
        }
        let text = String::from_utf8(fixed.body).map_err(broken)?;
        let checkpoint = Checkpoint::parse(&text)?;
        if checkpoint.size != fixed.size {
            return Err(broken("a checkpoint's body is of another size than its row"));
        }
        let changes = self.store.log_changes().await?;
        let edge = self.grown(&changes, &checkpoint).await?;
        let named = key_at(&changes, checkpoint.size)?;
        let note = self.sign(&text, named.as_ref())?;
        let bytes = note.to_string().into_bytes();
        self.keep(&checkpoint, &bytes).await?;
        let row = PublishedCheckpoint { size: checkpoint.size, at: (self.now)(), note: bytes };
        if !self.store.publish_checkpoint(&row).await? {
            return self.follow().await; // another replica was first
        }
        self.shown.send_replace(Some(Arc::new(Published { checkpoint, note, at: row.at, edge })));
        Ok(())
    }

    fn sign(&mut self, text: &str, named: Option<&VerifierKey>) -> Result<SignedNote, PublishError> {
        if self.keys.find(named).is_none() {
            self.keys.reload()?; // a rotation may have written it
        }
        SignedNote::sign(text.to_owned(), self.signing_key(named)?).map_err(broken)
    }

    fn signing_key(&self, named: Option<&VerifierKey>) -> Result<&SigningKey, PublishError> {
        let missing =
            || PublishError::KeyMissing(named.map(|key| key.label().to_string()).unwrap_or_default());
        self.keys.find(named).ok_or_else(missing)
    }

    /// Takes up what is published, by this replica or another: keeps it in the file, then shows it.
    async fn follow(&mut self) -> Result<(), PublishError> {
        let Some(row) = self.store.published_checkpoint().await? else { return Ok(()) };
        let last = self.last();
        if last.as_ref().is_some_and(|last| row.size == last.size()) {
            return Ok(());
        }
        let changes = self.store.log_changes().await?;
        let (note, checkpoint, edge) = self.read_published(&changes, &row).await?;
        self.keep(&checkpoint, &row.note).await?;
        self.shown.send_replace(Some(Arc::new(Published { checkpoint, note, at: row.at, edge })));
        Ok(())
    }

    /// A published checkpoint, verified, with the edge of its tree.
    async fn read_published(
        &self,
        changes: &[LogChange],
        row: &PublishedCheckpoint,
    ) -> Result<(SignedNote, Checkpoint, RightEdge), PublishError> {
        let note = SignedNote::parse(&row.note).map_err(broken)?;
        let checkpoint = self.policy(key_at(changes, row.size)?).check(&note)?;
        if checkpoint.size != row.size {
            return Err(broken("a published checkpoint is of another size than its row"));
        }
        if let Some(last) = self.last()
            && checkpoint.size < last.size()
        {
            return Err(Lost::Shorter { found: checkpoint.size, signed: last.size() }.into());
        }
        let edge = self.grown(changes, &checkpoint).await?;
        Ok((note, checkpoint, edge))
    }

    /// The keys that a checkpoint may be signed by: the one that the journal names, or this replica's own.
    fn policy(&self, named: Option<VerifierKey>) -> Policy {
        let own = || self.keys.find(None).map(|key| key.verifier_key().clone());
        let log_keys = named.or_else(own).into_iter().collect();
        Policy { log_keys, witnesses: Vec::new(), witnesses_needed: 0 }
    }

    /// Proves that a checkpoint is of the store's tree, and that this tree has grown out of the last published one. Gives
    /// the edge of the tree.
    async fn grown(&self, changes: &[LogChange], checkpoint: &Checkpoint) -> Result<RightEdge, PublishError> {
        let size = checkpoint.size;
        if checkpoint.origin != origin::origin(self.book, generation_at(changes, size)) {
            return Err(broken(format!("the checkpoint of {size} entries is under another origin")));
        }
        let frontier = self.store.frontier_at(size).await?;
        let frontier = frontier.ok_or(Lost::OtherRoot { signed: size })?;
        let frontier = read_frontier(&frontier)?;
        if (frontier.size(), frontier.root()) != (size, checkpoint.root) {
            return Err(Lost::OtherRoot { signed: size }.into());
        }
        let last = self.last();
        let empty = RightEdge::empty();
        let base = last.as_ref().map_or(&empty, |last| &last.edge);
        let edge = edge_at(&*self.store, frontier, base).await?;
        if let Some(last) = &last {
            let (old, old_root) = (last.size(), last.checkpoint.root);
            let note = last.note.clone();
            let grown = Published { checkpoint: checkpoint.clone(), note, at: 0, edge };
            let proof = grown.consistency(&*self.store, old, size).await?;
            verify_consistency(old, &old_root, size, &checkpoint.root, &proof)?;
            return Ok(grown.edge);
        }
        Ok(edge)
    }

    /// Step 4: keeps a note in the file, on a thread that may wait for the disk.
    async fn keep(&self, checkpoint: &Checkpoint, note: &[u8]) -> Result<(), PublishError> {
        let (kept, book, checkpoint, note) =
            (Arc::clone(&self.kept), self.book, checkpoint.clone(), note.to_vec());
        tokio::task::spawn_blocking(move || keep(&*kept, book, &checkpoint, &note)).await.map_err(broken)?
    }

    /// Holds the store against the checkpoint that is kept outside it.
    async fn check_kept(&self) -> Result<(), PublishError> {
        let Some(kept) = self.kept.read()? else {
            if self.store.published_checkpoint().await?.is_some() {
                tracing::warn!(
                    "no checkpoint is kept outside the database: that of the database is believed"
                );
            }
            return Ok(());
        };
        let changes = self.store.log_changes().await?;
        let checkpoint = open_kept(&self.keys, &changes, &kept)?;
        match find_lost(&*self.store, self.book, &changes, &checkpoint).await? {
            Some(lost) => Err(lost.into()),
            None => Ok(()),
        }
    }
}

/// Keeps a note in the file, unless the file has a later one: of a later origin, or a larger tree of the same.
fn keep(kept: &dyn Keep, book: BookId, checkpoint: &Checkpoint, note: &[u8]) -> Result<(), PublishError> {
    if let Some(found) = kept.read()? {
        if found == note {
            return Ok(());
        }
        let before = read_kept(&found)?;
        let order = |checkpoint: &Checkpoint| -> Result<(u32, u64), PublishError> {
            let generation = origin::generation(&checkpoint.origin, &origin::key_name(book));
            Ok((generation.ok_or_else(|| broken(OTHER_BOOK))?, checkpoint.size))
        };
        let (old, new) = (order(&before)?, order(checkpoint)?);
        if old == new && before.root != checkpoint.root {
            return Err(Lost::OtherRoot { signed: checkpoint.size }.into());
        }
        if old > new {
            return Ok(());
        }
    }
    Ok(kept.replace(note)?)
}

/// Reads the kept checkpoint and verifies that it is of this log, by any key that the log has had.
fn open_kept(keys: &LogKeyFile, changes: &[LogChange], kept: &[u8]) -> Result<Checkpoint, PublishError> {
    let mut log_keys: Vec<VerifierKey> = keys.keys().iter().map(|key| key.verifier_key().clone()).collect();
    for vkey in changes.iter().flat_map(|change| [&change.old_key, &change.key]).flatten() {
        log_keys.push(vkey.parse().map_err(broken)?);
    }
    let policy = Policy { log_keys, witnesses: Vec::new(), witnesses_needed: 0 };
    let (checkpoint, _) = policy.open(kept).map_err(|error| {
        broken(format!("the checkpoint file is not of this log, or damaged ({error}): bring it back"))
    })?;
    Ok(checkpoint)
}

const OTHER_BOOK: &str = "the checkpoint file is of another book: each book has its own";

/// Reads a kept note that was verified when the service started.
fn read_kept(note: &[u8]) -> Result<Checkpoint, PublishError> {
    let note = SignedNote::parse(note).map_err(broken)?;
    Ok(Checkpoint::parse(note.text())?)
}

/// What a store lacks of a signed checkpoint; `None`: it has it, or an origin was declared since that commits to it.
async fn find_lost(
    store: &dyn Store,
    book: BookId,
    changes: &[LogChange],
    checkpoint: &Checkpoint,
) -> Result<Option<Lost>, PublishError> {
    let signed = checkpoint.size;
    let generation = origin::generation(&checkpoint.origin, &origin::key_name(book));
    let generation = generation.ok_or_else(|| broken(OTHER_BOOK))?;
    let current = changes.last().map_or(1, |change| change.generation);
    if generation > current {
        return Ok(Some(Lost::UnknownOrigin { origin: checkpoint.origin.clone(), signed }));
    }
    if generation < current {
        return not_declared(store, changes, generation, checkpoint).await;
    }
    let found = store.head().await?.map_or(0, |head| head.size);
    if found < signed {
        return Ok(Some(Lost::Shorter { found, signed }));
    }
    // A checkpoint is of a commit: a store in which no commit ends there is another.
    let frontier = store.frontier_at(signed).await?;
    let root = frontier.map(|bytes| read_frontier(&bytes)).transpose()?.map(|frontier| frontier.root());
    Ok((root != Some(checkpoint.root)).then_some(Lost::OtherRoot { signed }))
}

/// Whether the origin declared after a checkpoint's fails to commit to it.
async fn not_declared(
    store: &dyn Store,
    changes: &[LogChange],
    generation: u32,
    checkpoint: &Checkpoint,
) -> Result<Option<Lost>, PublishError> {
    let next = changes.iter().find(|change| change.generation > generation);
    let Some(seq) = next.map(|change| change.seq) else { return Ok(None) };
    let leaves = store.leaves(&[seq]).await?;
    let (_, leaf) = leaves.first().ok_or_else(|| broken(format!("entry {seq} is missing")))?;
    let Record::OriginDeclared { lost, .. } =
        Leaf::read(leaf).and_then(|leaf| leaf.record()).map_err(broken)?
    else {
        return Err(broken(format!("entry {seq} declares no origin")));
    };
    // The lost checkpoint may be of a later origin than this one, which then is told by that one's own chain.
    let covered = lost.origin != checkpoint.origin
        || lost.size > checkpoint.size
        || (lost.size, lost.root) == (checkpoint.size, checkpoint.root);
    Ok((!covered).then_some(Lost::NotDeclared { signed: checkpoint.size, declared: lost.size }))
}
