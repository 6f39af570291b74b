//! Seals what was decided: leaves, the tree, the commit.

use crate::domain::ClientId;
use crate::domain::time::Stamp;
use crate::ledger::effects::Effects;
use crate::ledger::record::Actor;
use crate::ledger::rules::Entry;
use crate::log::merkle::{Hash, leaf_hash};
use crate::log::tile::{TILE_WIDTH, write_bundle_entry};
use crate::store::{Bundle, Commit, Head, Tile};

use super::Desk;

/// Bytes that are set aside for a leaf. (One that is longer is not cut.)
const LEAF_BYTES: usize = 640;

impl Desk {
    /// Decides the first entry of a new book.
    pub fn open_book(&mut self, stamp: Stamp) -> Commit {
        let client = ClientId::parse("system").expect("a client id of the documented form");
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        let mut fx = Effects::default();
        self.books.open_book(Entry { fx: &mut fx, stamp, actor });
        self.books.finish(&mut fx, stamp);
        let (commit, _) = self.seal(fx, stamp);
        self.head = commit.after;
        commit
    }

    /// Writes the leaves, grows the tree, and makes the commit. Beside it, the hashes of the leaves.
    pub(super) fn seal(&mut self, effects: Effects, stamp: Stamp) -> (Commit, Vec<Hash>) {
        self.leaves.stamp(stamp);
        let before = self.head;
        let mut bundles: Vec<Bundle> = Vec::with_capacity(effects.records.len() / TILE_WIDTH + 2);
        let mut hashes = Vec::with_capacity(effects.records.len());
        let mut leaf = Vec::with_capacity(1024);
        for (seq, (record, actor)) in (before.size..).zip(&effects.records) {
            leaf.clear();
            self.leaves.write(&mut leaf, seq, record, actor);
            hashes.push(leaf_hash(&leaf));
            if seq.is_multiple_of(TILE_WIDTH as u64) || bundles.is_empty() {
                let left = effects.records.len() - hashes.len() + 1;
                let bytes = Vec::with_capacity(left.min(TILE_WIDTH) * LEAF_BYTES);
                bundles.push(Bundle { first: seq, count: 0, bytes });
            }
            let bundle = bundles.last_mut().expect("one was pushed for the first leaf");
            bundle.count += 1;
            write_bundle_entry(&mut bundle.bytes, &leaf)
                .expect("a leaf is far below 65,535 bytes: every text in it has a limit");
        }
        let full = self.edge.append(hashes.iter().copied());
        let tile = |tile: crate::log::tile::FullTile| Tile {
            level: tile.id.level,
            index: tile.id.index,
            hashes: tile.hashes.to_vec(),
        };
        let after = Head {
            book: before.book,
            size: self.books.size,
            wallet_count: self.books.wallet_count,
            batch_count: self.books.batch_count,
            at: stamp.at,
            nonce: rand::random(),
        };
        let frontier = self.edge.frontier().to_bytes();
        let commit = Commit {
            before,
            after,
            stamp,
            bundles,
            tiles: full.into_iter().map(tile).collect(),
            frontier,
            effects,
            nonces: Vec::new(),
            evidence: Vec::new(),
        };
        (commit, hashes)
    }
}
