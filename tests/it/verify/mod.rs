//! The offline verifier against logs that were exported, and against logs that somebody has changed: with a file editor, or
//! with the log's own key.

mod command;
mod files;
mod forged;
mod keys;
pub mod orders;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Map, Value};
use social_wallet::log::checkpoint::{Checkpoint, Policy};
use social_wallet::log::merkle::leaf_hash;
use social_wallet::log::note::{SigningKey, VerifierKey};
use social_wallet::log::origin::{key_name, origin};
use social_wallet::log::tile::{RightEdge, TilePath, write_bundle_entry};
use social_wallet::publisher::export::{Source, export};
use social_wallet::verify::source::Directory;
use social_wallet::verify::{BITMAP_BYTES_MAX, Finding, Options, Report, verify};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::audit::use_it;
use crate::sequencer::{Payroll, actor, at_once, journal, made, serve};
use crate::store::Place;
use crate::store::book::book_id;

/// The leaves of a book with something of everything, over three bundles.
pub async fn leaves() -> Vec<Vec<u8>> {
    static LEAVES: OnceCell<Vec<Vec<u8>>> = OnceCell::const_new();
    let made = async || {
        let place = Place::sqlite();
        let sequencer = serve(place.open().await).await;
        use_it(&sequencer).await;
        let payroll = Payroll::of(2, 400, 300, 8);
        made(sequencer.submit(payroll.open(), actor(None)).await);
        let chunks = payroll.chunks(150).into_iter().map(|chunk| (chunk, actor(None))).collect();
        at_once(&sequencer, chunks).await;
        let leaves = journal(&*place.open().await).await;
        assert!(leaves.len() > 768, "three full bundles and a partial one: {}", leaves.len());
        leaves
    };
    LEAVES.get_or_init(made).await.clone()
}

pub fn key() -> SigningKey {
    SigningKey::from_seed(&key_name(book_id()), &[7; 32]).unwrap()
}

/// A checkpoint of the first `size` leaves, of a generation.
pub fn checkpoint_of(leaves: &[Vec<u8>], size: usize, generation: u32, key: &SigningKey) -> String {
    let mut edge = RightEdge::empty();
    drop(edge.append(leaves[..size].iter().map(|leaf| leaf_hash(leaf))));
    let (size, root) = (edge.size(), edge.root());
    let checkpoint = Checkpoint { origin: origin(book_id(), generation), size, root, extensions: Vec::new() };
    checkpoint.sign(key).unwrap().to_string()
}

/// A log that says what it was told to say.
struct Told<'a> {
    leaves: &'a [Vec<u8>],
    checkpoint: String,
}

#[async_trait]
impl Source for Told<'_> {
    type Error = std::io::Error;

    async fn checkpoint(&self) -> Result<Vec<u8>, Self::Error> {
        Ok(self.checkpoint.clone().into_bytes())
    }

    async fn entries(&self, path: TilePath) -> Result<Vec<u8>, Self::Error> {
        let first = usize::try_from(path.index).unwrap() * 256;
        let width = path.width.map_or(256, |width| usize::from(width.get()));
        let mut bundle = Vec::new();
        self.leaves[first..first + width]
            .iter()
            .for_each(|leaf| write_bundle_entry(&mut bundle, leaf).unwrap());
        Ok(bundle)
    }
}

/// A log in a directory.
pub struct Log {
    directory: TempDir,
    pub earlier: Vec<(String, Vec<u8>)>,
    pub policy: Policy,
    pub bitmap_bytes_max: u64,
}

impl Log {
    /// Exports leaves under a checkpoint.
    pub async fn under(leaves: &[Vec<u8>], checkpoint: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        export(&Told { leaves, checkpoint }, directory.path(), |_| ()).await.unwrap();
        let policy = Policy::of_log(key().verifier_key().clone());
        Self { directory, earlier: Vec::new(), policy, bitmap_bytes_max: BITMAP_BYTES_MAX }
    }

    /// Exports leaves under a checkpoint of all of them.
    pub async fn of(leaves: &[Vec<u8>]) -> Self {
        Self::under(leaves, checkpoint_of(leaves, leaves.len(), 1, &key())).await
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub fn trusting(mut self, keys: &[&VerifierKey]) -> Self {
        self.policy.log_keys = keys.iter().map(|key| (*key).clone()).collect();
        self
    }

    pub fn keeping(mut self, checkpoint: String) -> Self {
        self.earlier.push((format!("kept-{}", self.earlier.len()), checkpoint.into_bytes()));
        self
    }

    pub fn verify(&self) -> Report {
        let options = Options {
            days: None,
            policy: self.policy.clone(),
            earlier: self.earlier.clone(),
            bitmap_bytes_max: self.bitmap_bytes_max,
        };
        verify(&mut Directory(self.directory.path().into()), &options, |_, _| ()).unwrap()
    }

    /// What does not fit.
    pub fn finding(&self) -> Finding {
        self.verify().finding.expect("something does not fit")
    }

    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(path);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
}

pub fn swap(one: &Path, other: &Path) {
    let (first, second) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
    std::fs::write(one, second).unwrap();
    std::fs::write(other, first).unwrap();
}

pub fn members(leaf: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(leaf).unwrap()
}

/// Changes what a leaf says, in canonical form: what only a log that signs anything can do.
pub fn rewrite(leaf: &mut Vec<u8>, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut map = members(leaf);
    change(&mut map);
    *leaf = serde_json::to_vec(&map).unwrap();
}

/// The first entry of a kind that fits.
pub fn first(leaves: &[Vec<u8>], kind: &str, fits: impl Fn(&Map<String, Value>) -> bool) -> usize {
    let found = leaves.iter().map(|leaf| members(leaf)).position(|map| map["kind"] == kind && fits(&map));
    found.unwrap_or_else(|| panic!("there is no such {kind}"))
}

/// How many entries there are of each kind.
pub fn kinds(leaves: &[Vec<u8>]) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for leaf in leaves {
        *kinds.entry(members(leaf)["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    kinds
}
