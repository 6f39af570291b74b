//! The publisher: one root for a size, nothing signed that could be lost unnoticed, whatever fails and whoever signs.

mod cli;
mod export;
mod keys;
mod lost;
mod proofs;
mod steps;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use social_wallet::log::checkpoint::{Checkpoint, Policy};
use social_wallet::log::merkle::{Frontier, leaf_hash};
use social_wallet::log::note::{SignedNote, VerifierKey};
use social_wallet::log::origin::key_name;
use social_wallet::publisher::file::{CheckpointFile, Keep};
use social_wallet::publisher::key::LogKeyFile;
use social_wallet::publisher::{PublishError, Publisher};
use social_wallet::sequencer::Sequencer;
use social_wallet::store::Store;

use crate::sequencer::faulty::Crash;
use crate::sequencer::{NOW, actor, at_once, journal, open};
use crate::store::book::book_id;
use crate::store::{Place, Raw, in_both_rooms};

/// What a replica has outside the database.
pub struct Outside {
    pub directory: tempfile::TempDir,
    /// What becomes of the next replacement of the checkpoint file.
    pub next_keep: Arc<Mutex<Option<Crash>>>,
}

struct BreakingFile {
    inner: CheckpointFile,
    next: Arc<Mutex<Option<Crash>>>,
}

impl Keep for BreakingFile {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        self.inner.read()
    }

    fn replace(&self, note: &[u8]) -> io::Result<()> {
        let fate = self.next.lock().unwrap().take();
        match fate {
            None => self.inner.replace(note),
            Some(Crash::Before) => Err(io::Error::other("injected")),
            Some(Crash::After) => {
                self.inner.replace(note)?;
                Err(io::Error::other("injected"))
            }
        }
    }
}

impl Outside {
    /// A replica's own directory, with a key of its own.
    pub fn new() -> Self {
        let outside = Self { directory: tempfile::tempdir().unwrap(), next_keep: Arc::default() };
        LogKeyFile::create(&outside.key_path(), &key_name(book_id())).unwrap();
        outside
    }

    /// Another replica's directory, with the same key.
    pub fn beside(&self) -> Self {
        let outside = Self { directory: tempfile::tempdir().unwrap(), next_keep: Arc::default() };
        std::fs::copy(self.key_path(), outside.key_path()).unwrap();
        outside
    }

    pub fn key_path(&self) -> std::path::PathBuf {
        self.directory.path().join("log.key")
    }

    pub fn key(&self) -> LogKeyFile {
        LogKeyFile::load(&self.key_path()).unwrap()
    }

    pub fn vkey(&self) -> VerifierKey {
        self.key().find(None).unwrap().verifier_key().clone()
    }

    pub fn file(&self) -> CheckpointFile {
        CheckpointFile(self.directory.path().join("checkpoint"))
    }

    /// The kept checkpoint.
    pub fn kept(&self) -> Option<Checkpoint> {
        let note = SignedNote::parse(&self.file().read().unwrap()?).unwrap();
        Some(Checkpoint::parse(note.text()).unwrap())
    }

    /// Starts a publisher, as a service that starts does.
    pub async fn open(&self, store: &Arc<dyn Store>) -> Result<Publisher, PublishError> {
        let file = BreakingFile { inner: self.file(), next: Arc::clone(&self.next_keep) };
        Publisher::open(Arc::clone(store), book_id(), self.key(), Box::new(file), || NOW).await
    }
}

/// Makes entries: one for each person.
pub async fn write(sequencer: &Sequencer, people: std::ops::Range<u64>) {
    let commands = people.map(|person| (open(person), actor(None))).collect();
    for answer in at_once(sequencer, commands).await {
        answer.unwrap();
    }
}

async fn hex_rows(raw: &mut Raw, column: &str, table: &str) -> Vec<Vec<u8>> {
    let sql = match raw {
        Raw::Sqlite(_) => format!("SELECT hex({column}) FROM {table} ORDER BY size"),
        Raw::Postgres(_) => format!("SELECT encode({column}, 'hex') FROM {table} ORDER BY size"),
    };
    raw.texts(&sql).await.iter().map(|text| hex::decode(text.to_lowercase()).unwrap()).collect()
}

/// Invariant 9: every published checkpoint is signed by the key, is of the journal's first entries, there is one for a
/// size, and the files are not behind. Gives their sizes.
pub async fn assert_one_history(place: &Place, key: &VerifierKey, replicas: &[&Outside]) -> Vec<u64> {
    let mut roots = BTreeMap::new();
    let mut tree = Frontier::empty();
    for leaf in journal(&*place.open().await).await {
        tree.push(leaf_hash(&leaf));
        roots.insert(tree.size(), tree.root());
    }
    let mut raw = place.raw().await;
    let policy = Policy::of_log(key.clone());
    let mut sizes = Vec::new();
    for note in hex_rows(&mut raw, "note", "checkpoint_published").await {
        let (checkpoint, _) = policy.open(&note).unwrap();
        assert_eq!(roots.get(&checkpoint.size), Some(&checkpoint.root), "of {} entries", checkpoint.size);
        assert!(sizes.last().is_none_or(|last| *last < checkpoint.size));
        sizes.push(checkpoint.size);
    }
    for replica in replicas {
        if let Some(kept) = replica.kept() {
            assert_eq!(roots.get(&kept.size), Some(&kept.root), "the file's");
        }
    }
    sizes
}
