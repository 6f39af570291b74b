//! The key is replaced: the old one signs the new one into the log.

use std::sync::Arc;

use social_wallet::log::checkpoint::Policy;
use social_wallet::log::note::VerifierKey;
use social_wallet::log::origin::rotation_statement;
use social_wallet::publisher::operator::rotate_key;
use social_wallet::publisher::{PublishError, key_at};
use social_wallet::store::Store;

use super::{Outside, in_both_rooms, write};
use crate::sequencer::faulty::{Fate, Faulty};
use crate::sequencer::{assert_sound, serve};
use crate::store::Place;
use crate::store::book::book_id;

in_both_rooms! {
    after_a_rotation_checkpoints_carry_the_new_key_and_the_journal_says_who_vouched_for_it,
    a_rotation_that_was_interrupted_is_run_again_with_the_same_key,
    a_replica_without_the_new_key_signs_nothing_and_follows_the_others,
    a_replica_with_a_key_of_its_own_signs_nothing,
}

async fn signers(store: &Arc<dyn Store>, keys: &[&VerifierKey]) -> Vec<bool> {
    let note = store.published_checkpoint().await.unwrap().unwrap().note;
    keys.iter().map(|key| Policy::of_log((*key).clone()).open(&note).is_ok()).collect()
}

async fn after_a_rotation_checkpoints_carry_the_new_key_and_the_journal_says_who_vouched_for_it(
    place: &Place,
) {
    let outside = Outside::new();
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    write(&sequencer, 0..3).await;
    let mut publisher = outside.open(&store).await.unwrap();
    publisher.step().await.unwrap();
    let old = outside.vkey();
    let entry = rotate_key(&*store, book_id(), outside.key(), &sequencer).await.unwrap();
    let new = outside.vkey();
    assert_ne!(old, new);
    assert_eq!(outside.key().keys().len(), 1, "the old key is gone");

    let leaf = store.leaves(&[entry.seq]).await.unwrap().pop().unwrap().1;
    let leaf = social_wallet::log::leaf::Leaf::read(&leaf).unwrap().record().unwrap();
    let social_wallet::ledger::record::Record::LogKeyRotated { old: named, new: next, signature } = leaf
    else {
        panic!("a rotation")
    };
    assert_eq!((named, next), (old.to_string(), new.to_string()));
    assert!(old.verify_message(&rotation_statement(book_id(), &old, &new), &signature));

    // The same publisher goes on: it finds the new key in the file.
    publisher.step().await.unwrap();
    assert_eq!(signers(&store, &[&old, &new]).await, [false, true]);
    // Before the entry the old key is the log's, after it the new one.
    let changes = store.log_changes().await.unwrap();
    for (size, key) in [(1, &old), (entry.seq, &old), (entry.seq + 1, &new), (u64::MAX, &new)] {
        assert_eq!(key_at(&changes, size).unwrap().as_ref(), Some(key), "of {size} entries");
    }
    drop(publisher);
    rotate_key(&*store, book_id(), outside.key(), &sequencer).await.unwrap();
    outside.open(&store).await.unwrap().step().await.unwrap();
    assert_eq!(signers(&store, &[&old, &new, &outside.vkey()]).await, [false, false, true]);
    assert_sound(&store).await;
}

async fn a_rotation_that_was_interrupted_is_run_again_with_the_same_key(place: &Place) {
    let outside = Outside::new();
    let store = place.open().await;
    let faulty = Faulty::around(place.open().await);
    let sequencer = serve(faulty.clone()).await;
    outside.open(&store).await.unwrap().step().await.unwrap();
    let old = outside.vkey();
    faulty.next(&[Fate::Failed; 3]);
    rotate_key(&*store, book_id(), outside.key(), &sequencer).await.unwrap_err();
    let prepared: Vec<_> = outside.key().keys().iter().map(|key| key.verifier_key().clone()).collect();
    assert_eq!((prepared.len(), &prepared[0]), (2, &old), "the new key is kept, the old one signs");
    write(&sequencer, 0..2).await;
    outside.open(&store).await.unwrap().step().await.unwrap();
    assert_eq!(signers(&store, &[&old, &prepared[1]]).await, [true, false]);
    rotate_key(&*store, book_id(), outside.key(), &sequencer).await.unwrap();
    assert_eq!(outside.vkey(), prepared[1]);
    // Interrupted after the journal knows the key: the file has both, and the named one signs.
    let both = outside.beside();
    let mut text = std::fs::read(both.key_path()).unwrap();
    let first = Outside::new();
    let mut file = std::fs::read(first.key_path()).unwrap();
    file.append(&mut text);
    std::fs::write(both.key_path(), file).unwrap();
    write(&sequencer, 2..4).await;
    both.open(&store).await.unwrap().step().await.unwrap();
    assert_eq!(signers(&store, &[&old, &prepared[1]]).await, [false, true]);
}

async fn a_replica_without_the_new_key_signs_nothing_and_follows_the_others(place: &Place) {
    let outside = Outside::new();
    let late = outside.beside();
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    let mut one = outside.open(&store).await.unwrap();
    let mut two = late.open(&store).await.unwrap();
    one.step().await.unwrap();
    two.step().await.unwrap();
    rotate_key(&*store, book_id(), outside.key(), &sequencer).await.unwrap();
    let error = two.step().await.unwrap_err();
    assert!(matches!(error, PublishError::KeyMissing(_)) && !error.is_final(), "{error}");
    one.step().await.unwrap();
    two.step().await.unwrap();
    assert_eq!(late.kept(), outside.kept());
    std::fs::copy(outside.key_path(), late.key_path()).unwrap();
    write(&sequencer, 0..3).await;
    two.step().await.unwrap();
    assert_eq!(signers(&store, &[&outside.vkey()]).await, [true]);
}

async fn a_replica_with_a_key_of_its_own_signs_nothing(place: &Place) {
    let (outside, stranger) = (Outside::new(), Outside::new());
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    outside.open(&store).await.unwrap().step().await.unwrap();
    write(&sequencer, 0..3).await;
    let Err(error) = stranger.open(&store).await else { panic!("two keys sign one log") };
    assert!(error.is_final(), "{error}");
    assert_eq!(stranger.kept(), None);
}
