//! Keys that hand over to keys, histories that were lost, and receipts.

use serde_json::json;
use social_wallet::log::checkpoint::Policy;
use social_wallet::log::merkle::leaf_hash;
use social_wallet::log::note::SigningKey;
use social_wallet::log::origin::{origin, rotation_statement};
use social_wallet::log::receipt::Receipt;
use social_wallet::log::tile::{RightEdge, Tiles};
use social_wallet::verify::verify_receipt;

use super::{Log, checkpoint_of, key, leaves, members, rewrite};
use crate::store::book::book_id;

fn key_of(seed: u8) -> SigningKey {
    SigningKey::from_seed(key().verifier_key().name(), &[seed; 32]).unwrap()
}

/// Appends an entry that has what every entry has, and these members.
fn append(leaves: &mut Vec<Vec<u8>>, kind: &str, members_of_kind: &[(&str, serde_json::Value)]) -> usize {
    let place = leaves.len();
    let mut leaf = leaves[0].clone();
    let last = members(&leaves[place - 1]);
    rewrite(&mut leaf, |map| {
        map.remove("business_time_zone");
        for name in ["at", "date"] {
            map.insert(name.into(), last[name].clone());
        }
        map.insert("seq".into(), json!(place));
        map.insert("kind".into(), json!(kind));
        for (name, value) in members_of_kind {
            map.insert((*name).to_owned(), value.clone());
        }
    });
    leaves.push(leaf);
    place
}

fn rotate(leaves: &mut Vec<Vec<u8>>, old: &SigningKey, new: &SigningKey, by: &SigningKey) -> usize {
    let statement = rotation_statement(book_id(), old.verifier_key(), new.verifier_key());
    let signature = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(by.sign_message(&statement))
    };
    let members = [
        ("old_key", json!(old.verifier_key().to_string())),
        ("new_key", json!(new.verifier_key().to_string())),
        ("signature", json!(signature)),
    ];
    append(leaves, "log_key_rotated", &members)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_followed_from_the_one_that_is_trusted() {
    let (first, second, third) = (key(), key_of(8), key_of(9));
    let before = leaves().await;
    let mut leaves = before.clone();
    let handed = rotate(&mut leaves, &first, &second, &first);
    rotate(&mut leaves, &second, &third, &second);
    let size = leaves.len();
    let kept = checkpoint_of(&before, 500, 1, &first);
    let between = checkpoint_of(&leaves, handed + 1, 1, &second);
    let signed_by_third = checkpoint_of(&leaves, size, 1, &third);
    for trusted in [&first, &second, &third] {
        let log = Log::under(&leaves, signed_by_third.clone()).await.trusting(&[trusted.verifier_key()]);
        let report = log.keeping(kept.clone()).keeping(between.clone()).verify();
        assert_eq!(report.finding, None);
        assert_eq!(report.signed_by, [third.verifier_key().label().to_string()]);
        let entries: Vec<_> = report.rotations.iter().map(|rotated| rotated.entry).collect();
        assert_eq!(entries, [handed as u64, handed as u64 + 1]);
    }
    // The old key signs no more once it has handed over, and a kept checkpoint is of the key of its time.
    for (checkpoint, kept) in [
        (checkpoint_of(&leaves, size, 1, &first), None),
        (checkpoint_of(&leaves, size, 1, &second), None),
        (signed_by_third.clone(), Some(checkpoint_of(&leaves, handed + 1, 1, &first))),
        (signed_by_third.clone(), Some(checkpoint_of(&before, 500, 1, &second))),
    ] {
        let mut log = Log::under(&leaves, checkpoint).await;
        let place = if kept.is_some() { "kept-0" } else { "checkpoint" };
        if let Some(kept) = kept {
            log = log.keeping(kept);
        }
        assert_eq!(log.finding().place, place);
    }
    // A key that nobody trusted has vouched for.
    let log = Log::under(&leaves, signed_by_third).await.trusting(&[key_of(1).verifier_key()]);
    let finding = log.finding();
    assert!(finding.found.contains(&third.verifier_key().label().to_string()), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_the_old_key_did_not_sign_is_named() {
    let (first, second) = (key(), key_of(8));
    let mut leaves = leaves().await;
    let forged = rotate(&mut leaves, &first, &second, &second);
    let log = Log::under(&leaves, checkpoint_of(&leaves, leaves.len(), 1, &second)).await;
    let finding = log.finding();
    assert_eq!(finding.entry, Some(forged as u64));
    assert!(finding.expected.contains("the old key's signature"), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_loss_is_told_and_takes_no_checkpoint_away_unseen() {
    let before = leaves().await;
    let note = checkpoint_of(&before, before.len(), 1, &key());
    let report = Log::under(&before, note.clone()).await.verify();
    let root = hex::encode(report.checkpoint.unwrap().root);
    // An old backup went on: it had 600 entries. (Lines of a chunk that was lost stay untold.)
    let declare = |size: usize, lost: usize, root: &str| {
        let mut leaves = before[..size].to_vec();
        let members = [
            ("origin", json!(origin(book_id(), 2))),
            ("lost_origin", json!(origin(book_id(), 1))),
            ("lost_size", json!(lost)),
            ("lost_root", json!(root)),
            ("lost_note", json!("00".repeat(32))),
        ];
        append(&mut leaves, "origin_declared", &members);
        leaves
    };
    let whole = super::first(&before, "chunk_received", |_| true) + 1;
    let leaves = declare(whole, before.len(), &root);
    let second = |generation| checkpoint_of(&leaves, leaves.len(), generation, &key());
    let report = Log::under(&leaves, second(2)).await.verify();
    assert_eq!(report.finding, None);
    assert_eq!((report.declared[0].entry, report.declared[0].lost_size), (whole as u64, before.len() as u64));
    // Under the old origin it is another history.
    assert_eq!(Log::under(&leaves, second(1)).await.finding().place, "checkpoint");
    // Who kept the lost checkpoint finds it named; who kept one of before the loss finds it in the tree.
    let log = Log::under(&leaves, second(2)).await;
    let log = log.keeping(note.clone()).keeping(checkpoint_of(&before, whole - 1, 1, &key()));
    assert_eq!(log.verify().finding, None);
    // Who kept another one of what was lost is told so, with the entry.
    let log =
        Log::under(&leaves, second(2)).await.keeping(checkpoint_of(&before, before.len() - 1, 1, &key()));
    let finding = log.finding();
    assert_eq!(finding.entry, Some(whole as u64), "{finding}");
    // A declaration that names another root does not answer for the kept one.
    let lying = declare(whole, before.len(), &"00".repeat(32));
    let log = Log::under(&lying, checkpoint_of(&lying, lying.len(), 2, &key())).await.keeping(note);
    assert_eq!(log.finding().entry, Some(whole as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_receipt_is_verified_alone_as_text_and_as_json() {
    let leaves = leaves().await;
    let mut edge = RightEdge::empty();
    let full = edge.append(leaves.iter().map(|leaf| leaf_hash(leaf)));
    let mut tiles = Tiles::default();
    full.iter().for_each(|tile| tiles.insert(tile.id, tile.hashes.as_slice()).unwrap());
    tiles.insert_edge(&edge);
    let size = leaves.len() as u64;
    let checkpoint = checkpoint_of(&leaves, leaves.len(), 1, &key()).into_bytes();
    let policy = Policy::of_log(key().verifier_key().clone());
    let (_, note) = policy.open(&checkpoint).unwrap();
    for index in [0, 300, size - 1] {
        let proof = social_wallet::log::merkle::inclusion_proof(size, index, &tiles).unwrap();
        let receipt = Receipt { extra: None, index, proof, checkpoint: note.clone() };
        let hash = leaf_hash(&leaves[usize::try_from(index).unwrap()]);
        for text in [receipt.to_string(), receipt.to_json()] {
            let report = verify_receipt(text.as_bytes(), &hash, &policy).unwrap();
            assert_eq!((report.entry, report.checkpoint.size), (index, size));
            verify_receipt(text.as_bytes(), &leaf_hash(b"another"), &policy).unwrap_err();
            let stranger = Policy::of_log(key_of(8).verifier_key().clone());
            verify_receipt(text.as_bytes(), &hash, &stranger).unwrap_err();
            let other = text.replacen(&index.to_string(), &(index + 1).to_string(), 1);
            verify_receipt(other.as_bytes(), &hash, &policy).unwrap_err();
        }
    }
}
