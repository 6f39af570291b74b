//! The log as others read it: the published vectors, an exported directory, and a verifier that shares no code with us.

pub mod independent;
mod seeds;
mod vectors;

use std::num::NonZeroU8;
use std::path::Path;

use social_wallet::domain::time::Stamp;
use social_wallet::ledger::record::{Actor, Record};
use social_wallet::log::checkpoint::Checkpoint;
use social_wallet::log::leaf::LeafWriter;
use social_wallet::log::merkle::{Hash, leaf_hash};
use social_wallet::log::note::{SignedNote, SigningKey};
use social_wallet::log::origin::{key_name, origin, rotation_statement};
use social_wallet::log::tile::{RightEdge, TileId, entries_path, tile_path, write_bundle_entry};

use crate::store::book::{Book, actor, book_id};

/// The key that blinds the leaves of these journals.
pub const BLIND_KEY: [u8; 32] = [4; 32];

/// A key of the book's log, the same for a number at every run.
pub fn log_key(number: u8) -> SigningKey {
    SigningKey::from_seed(&key_name(book_id()), &[number; 32]).unwrap()
}

/// A record by which key `old` hands over to key `new`.
pub fn rotation(old: &SigningKey, new: &SigningKey) -> Record {
    let statement = rotation_statement(book_id(), old.verifier_key(), new.verifier_key());
    Record::LogKeyRotated {
        old: old.verifier_key().to_string(),
        new: new.verifier_key().to_string(),
        signature: Box::new(old.sign_message(&statement)),
    }
}

/// The leaves of everything that was written to a book.
pub fn leaves(book: &Book) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    for commit in &book.commits {
        commit.effects.records.iter().for_each(|(record, actor)| {
            leaves.push(leaf(leaves.len(), commit.stamp, record, actor));
        });
    }
    leaves
}

/// The leaf of a record that no rule has seen.
pub fn unruled(seq: usize, at: i64, record: &Record) -> Vec<u8> {
    leaf(seq, Stamp::of(at).unwrap(), record, &actor(None))
}

fn leaf(seq: usize, stamp: Stamp, record: &Record, actor: &Actor) -> Vec<u8> {
    let mut writer = LeafWriter::new(book_id(), &BLIND_KEY);
    writer.stamp(stamp);
    let mut bytes = Vec::new();
    writer.write(&mut bytes, seq as u64, record, actor);
    bytes
}

pub fn hashes(leaves: &[Vec<u8>]) -> Vec<Hash> {
    leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
}

/// The tree of these leaves.
pub fn tree(leaves: &[Vec<u8>]) -> RightEdge {
    let mut edge = RightEdge::empty();
    let _ = edge.append(hashes(leaves));
    edge
}

/// The checkpoint of these leaves under the origin of a generation.
pub fn checkpoint(leaves: &[Vec<u8>], generation: u32) -> Checkpoint {
    let tree = tree(leaves);
    let origin = origin(book_id(), generation);
    Checkpoint { origin, size: tree.size(), root: tree.root(), extensions: Vec::new() }
}

/// Writes a log directory, laid out as C2SP tlog-tiles has it.
pub fn write_directory(directory: &Path, leaves: &[Vec<u8>], checkpoint: &SignedNote) {
    let put = |path: &str, bytes: &[u8]| {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let width = |count: usize| NonZeroU8::new(u8::try_from(count % 256).unwrap());
    for (index, entries) in (0..).zip(leaves.chunks(256)) {
        let mut bundle = Vec::new();
        entries.iter().for_each(|entry| write_bundle_entry(&mut bundle, entry).unwrap());
        put(&entries_path(index, width(entries.len())), &bundle);
    }
    let mut edge = RightEdge::empty();
    for tile in edge.append(hashes(leaves)) {
        put(&tile_path(tile.id, None), tile.hashes.as_slice());
    }
    for level in 0..8 {
        let hashes = edge.partial_tile(level);
        if !hashes.is_empty() {
            let index = edge.size() >> (8 * (u32::from(level) + 1));
            put(&tile_path(TileId { level, index }, width(hashes.len())), hashes.as_flattened());
        }
    }
    put("checkpoint", checkpoint.to_string().as_bytes());
}
