//! Proofs over a stored tree: right, and of few tiles.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use social_wallet::domain::time::Stamp;
use social_wallet::ledger::effects::Effects;
use social_wallet::log::merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use social_wallet::log::tile::{RightEdge, write_bundle_entry};
use social_wallet::store::{Bundle, Commit, Head, Store, Tile};

use super::{Outside, in_both_rooms};
use crate::sequencer::Dice;
use crate::sequencer::faulty::Faulty;
use crate::store::Place;
use crate::store::book::book_id;

in_both_rooms! {
    a_proof_reads_at_most_two_tiles_of_each_level_and_holds,
}

fn leaf(entry: u64) -> [u8; 8] {
    entry.to_be_bytes()
}

/// A commit of small leaves, with the tiles that they fill: the next sizes of a tree, and its roots.
fn grow(edge: &mut RightEdge, before: Head, to: u64) -> Commit {
    let hashes = (before.size..to).map(|entry| leaf_hash(&leaf(entry)));
    let tiles = edge.append(hashes).into_iter().map(|tile| Tile {
        level: tile.id.level,
        index: tile.id.index,
        hashes: tile.hashes.to_vec(),
    });
    let mut bundles: Vec<Bundle> = Vec::new();
    for entry in before.size..to {
        if bundles.is_empty() || entry.is_multiple_of(256) {
            bundles.push(Bundle { first: entry, count: 0, bytes: Vec::new() });
        }
        let bundle = bundles.last_mut().unwrap();
        bundle.count += 1;
        write_bundle_entry(&mut bundle.bytes, &leaf(entry)).unwrap();
    }
    let mut nonce = [1; 16];
    nonce[..8].copy_from_slice(&to.to_be_bytes());
    let after = Head { size: to, at: before.at + 1, nonce, ..before };
    let stamp = Stamp::of(after.at).unwrap();
    let (tiles, frontier) = (tiles.collect(), edge.frontier().to_bytes());
    Commit {
        before,
        after,
        stamp,
        bundles,
        tiles,
        frontier,
        effects: Effects::default(),
        nonces: Vec::new(),
        evidence: Vec::new(),
    }
}

async fn a_proof_reads_at_most_two_tiles_of_each_level_and_holds(place: &Place) {
    const SIZES: [u64; 6] = [1, 255, 65_537, 66_000, 131_071, 140_000];
    let store = place.open().await;
    store.create_book(book_id()).await.unwrap();
    let mut edge = RightEdge::empty();
    let mut roots: Vec<(u64, Hash)> = Vec::new();
    let outside = Outside::new();
    let faulty = Faulty::around(store);
    let counted: Arc<dyn Store> = faulty.clone();
    let mut publisher = outside.open(&counted).await.unwrap();
    for size in SIZES {
        let before = counted.head().await.unwrap().unwrap();
        counted.commit(&grow(&mut edge, before, size)).await.unwrap();
        roots.push((size, edge.root()));
        publisher.step().await.unwrap();
    }
    let published = publisher.published().borrow().clone().unwrap();
    assert_eq!(published.edge, edge, "advanced step by step");
    let levels = 3;
    let read = |before: u64| faulty.tiles_read.load(Ordering::Relaxed) - before;
    let mut dice = Dice(11);
    for (size, root) in &roots {
        for _ in 0..40 {
            let entry = dice.roll(*size);
            let before = faulty.tiles_read.load(Ordering::Relaxed);
            let proof = published.inclusion(&*counted, *size, entry).await.unwrap();
            assert!(read(before) <= 2 * levels, "{} tiles for {entry} in {size}", read(before));
            verify_inclusion(&leaf_hash(&leaf(entry)), entry, *size, &proof, root).unwrap();
        }
        for (old, old_root) in roots.iter().filter(|(old, _)| old <= size) {
            let before = faulty.tiles_read.load(Ordering::Relaxed);
            let proof = published.consistency(&*counted, *old, *size).await.unwrap();
            assert!(read(before) <= 2 * levels, "{} tiles from {old} to {size}", read(before));
            verify_consistency(*old, old_root, *size, root, &proof).unwrap();
        }
    }
    // What a receipt takes, at the published size: the tiles above the entry and no other, those in memory not counted.
    for _ in 0..100 {
        let entry = dice.roll(published.size());
        let before = faulty.tiles_read.load(Ordering::Relaxed);
        let receipt = published.receipt(&*counted, entry).await.unwrap();
        assert!(read(before) <= levels, "{} tiles", read(before));
        let policy = social_wallet::log::checkpoint::Policy::of_log(outside.vkey());
        receipt.verify(&leaf_hash(&leaf(entry)), &policy).unwrap();
    }
    assert!(published.inclusion(&*counted, published.size() + 1, 0).await.is_err());
    assert!(published.consistency(&*counted, 1, published.size() + 1).await.is_err());
}
