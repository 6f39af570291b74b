//! A store that lacks what was signed: found out, refused, and the one way on.

use std::sync::Arc;

use social_wallet::log::checkpoint::Policy;
use social_wallet::log::origin::origin;
use social_wallet::publisher::file::Keep as _;
use social_wallet::publisher::operator::{OperatorError, declaration, declare};
use social_wallet::publisher::{Lost, PublishError};
use social_wallet::store::Store;

use super::{Outside, in_both_rooms, write};
use crate::sequencer::faulty::Faulty;
use crate::sequencer::{assert_sound, serve};
use crate::store::Place;
use crate::store::book::book_id;

in_both_rooms! {
    invariant_9_a_store_restored_from_an_old_backup_is_not_signed_and_only_a_declared_origin_goes_on,
    invariant_9_a_restored_store_that_others_wrote_on_is_another_history,
    invariant_9_an_origin_that_the_store_does_not_know_or_that_commits_to_less_is_refused,
    invariant_9_a_running_publisher_finds_out_that_its_store_has_changed,
    invariant_9_a_failover_to_another_history_that_is_longer_is_found_out_and_not_signed,
    a_checkpoint_file_of_another_log_or_a_damaged_one_is_refused,
}

/// An empty place in the same room: where a backup is restored to. The journal's bytes depend on commands and clock only,
/// so that the same commands make the backup.
async fn another(place: &Place) -> Place {
    match place {
        Place::Sqlite { .. } => Place::sqlite(),
        Place::Postgres { .. } => Place::postgres().await,
    }
}

/// A log of which a checkpoint of `people` + 1 entries was signed.
async fn signed(place: &Place, outside: &Outside, people: u64) {
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    write(&sequencer, 0..people).await;
    outside.open(&store).await.unwrap().step().await.unwrap();
    assert_eq!(outside.kept().unwrap().size, people + 1);
}

fn lost(outcome: Result<social_wallet::publisher::Publisher, PublishError>) -> Lost {
    match outcome {
        Err(error @ PublishError::Lost(_)) => {
            assert!(error.is_final());
            let PublishError::Lost(lost) = error else { unreachable!() };
            lost
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is served"),
    }
}

async fn declared(store: &Arc<dyn Store>, outside: &Outside) -> Result<u64, OperatorError> {
    let note = outside.file().read().unwrap();
    let declaration = declaration(&**store, book_id(), outside.key(), note).await?;
    let sequencer = serve(Arc::clone(store)).await;
    Ok(declare(&sequencer, declaration).await?.seq)
}

async fn invariant_9_a_store_restored_from_an_old_backup_is_not_signed_and_only_a_declared_origin_goes_on(
    place: &Place,
) {
    let outside = Outside::new();
    signed(place, &outside, 10).await;
    let note = outside.file().read().unwrap().unwrap();
    let full: Arc<dyn Store> = place.open().await;
    assert!(matches!(declared(&full, &outside).await, Err(OperatorError::NothingLost(11))));

    let backup = another(place).await;
    let store = backup.open().await;
    let sequencer = serve(backup.open().await).await;
    write(&sequencer, 0..4).await;
    let refused = lost(outside.open(&store).await);
    assert_eq!(refused, Lost::Shorter { found: 5, signed: 11 });
    assert!(refused.to_string().contains("declare-origin"), "it says what can be done");
    assert_eq!(outside.file().read().unwrap().unwrap(), note, "the evidence stays");
    assert!(store.fixed_checkpoint().await.unwrap().is_none(), "nothing was signed");

    let seq = declared(&store, &outside).await.unwrap();
    assert_eq!(seq, 5, "the first entry that is made");
    let leaf = store.leaves(&[seq]).await.unwrap().pop().unwrap().1;
    let leaf: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
    assert_eq!((&leaf["lost_size"], &leaf["origin"]), (&11.into(), &origin(book_id(), 2).into()));
    assert!(matches!(declared(&store, &outside).await, Err(OperatorError::NothingLost(11))));

    let mut publisher = outside.open(&store).await.unwrap();
    write(&serve(backup.open().await).await, 20..22).await;
    publisher.step().await.unwrap();
    let published = store.published_checkpoint().await.unwrap().unwrap();
    let (checkpoint, _) = Policy::of_log(outside.vkey()).open(&published.note).unwrap();
    assert_eq!((checkpoint.origin, checkpoint.size), (origin(book_id(), 2), 8));
    assert_eq!(outside.kept().unwrap().origin, origin(book_id(), 2));
    drop(publisher);
    outside.open(&store).await.unwrap().step().await.unwrap();
    assert_sound(&store).await;
    backup.remove().await;
}

async fn invariant_9_a_restored_store_that_others_wrote_on_is_another_history(place: &Place) {
    let outside = Outside::new();
    signed(place, &outside, 10).await;
    let backup = another(place).await;
    let store = backup.open().await;
    let sequencer = serve(backup.open().await).await;
    write(&sequencer, 0..4).await;
    // One commit each, so that one of them ends where the signed one did.
    for person in 100..120 {
        write(&sequencer, person..person + 1).await;
    }
    assert_eq!(lost(outside.open(&store).await), Lost::OtherRoot { signed: 11 });
    let seq = declared(&store, &outside).await.unwrap();
    let mut publisher = outside.open(&store).await.unwrap();
    publisher.step().await.unwrap();
    assert_eq!(outside.kept().unwrap().size, seq + 1);
    backup.remove().await;
}

async fn invariant_9_an_origin_that_the_store_does_not_know_or_that_commits_to_less_is_refused(
    place: &Place,
) {
    let (outside, other) = {
        let outside = Outside::new();
        signed(place, &outside, 10).await;
        let other = outside.beside();
        std::fs::copy(&outside.file().0, &other.file().0).unwrap();
        // The other replica has shown more than this one's operator will know of.
        let store = place.open().await;
        write(&serve(place.open().await).await, 10..15).await;
        other.open(&store).await.unwrap().step().await.unwrap();
        (outside, other)
    };
    let backup = another(place).await;
    let store = backup.open().await;
    write(&serve(backup.open().await).await, 0..4).await;
    declared(&store, &outside).await.unwrap();
    assert_eq!(lost(other.open(&store).await), Lost::NotDeclared { signed: 16, declared: 11 });
    outside.open(&store).await.unwrap().step().await.unwrap();
    // An older backup still: it does not know the origin.
    let older = another(place).await;
    let old = older.open().await;
    write(&serve(older.open().await).await, 0..2).await;
    let unknown = lost(outside.open(&old).await);
    assert_eq!(unknown, Lost::UnknownOrigin { origin: origin(book_id(), 2), signed: 6 });
    // And goes on under the third: the second was signed under.
    declared(&old, &outside).await.unwrap();
    outside.open(&old).await.unwrap().step().await.unwrap();
    assert_eq!(outside.kept().unwrap().origin, origin(book_id(), 3));
    assert_sound(&old).await;
    older.remove().await;
    backup.remove().await;
}

/// As after a failover: the publisher goes on, its store is another.
async fn invariant_9_a_running_publisher_finds_out_that_its_store_has_changed(place: &Place) {
    use super::super::store::Raw;
    let outside = Outside::new();
    let store = place.open().await;
    write(&serve(place.open().await).await, 0..10).await;
    let mut publisher = outside.open(&store).await.unwrap();
    publisher.step().await.unwrap();
    let mut raw = place.raw().await;
    match &mut raw {
        Raw::Sqlite(_) => {
            for trigger in raw.texts("SELECT name FROM sqlite_schema WHERE type = 'trigger'").await {
                raw.run(&format!("DROP TRIGGER {trigger}")).await.unwrap();
            }
        }
        Raw::Postgres(_) => {
            for table in raw.tables().await {
                raw.run(&format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await.unwrap();
            }
        }
    }
    // The newest commit is gone, and the checkpoint with it.
    for sql in [
        "DELETE FROM checkpoint_published",
        "DELETE FROM checkpoint",
        "DELETE FROM log_commit WHERE size_after = (SELECT max(size_after) FROM log_commit)",
    ] {
        raw.run(sql).await.unwrap();
    }
    if let Raw::Sqlite(_) = raw {
        raw.run("UPDATE log_head SET size = (SELECT max(size_after) FROM log_commit)").await.unwrap();
    }
    let error = publisher.step().await.unwrap_err();
    assert!(
        error.is_final() && matches!(error, PublishError::Lost(Lost::Shorter { signed: 11, .. })),
        "{error}"
    );
    assert_eq!(outside.kept().unwrap().size, 11);
}

async fn invariant_9_a_failover_to_another_history_that_is_longer_is_found_out_and_not_signed(place: &Place) {
    for others_sign in [false, true] {
        let (here, there) = (another(place).await, another(place).await);
        let outside = Outside::new();
        let faulty = Faulty::around(here.open().await);
        let store: Arc<dyn Store> = faulty.clone();
        write(&serve(here.open().await).await, 0..10).await;
        let mut publisher = outside.open(&store).await.unwrap();
        publisher.step().await.unwrap();
        let note = outside.file().read().unwrap();

        let other = there.open().await;
        let sequencer = serve(there.open().await).await;
        write(&sequencer, 0..4).await;
        write(&sequencer, 100..120).await;
        if others_sign {
            outside.beside().open(&other).await.unwrap().step().await.unwrap();
        }
        let signed = other.published_checkpoint().await.unwrap();
        faulty.fail_over_to(Arc::clone(&other));
        let error = publisher.step().await.unwrap_err();
        assert!(error.is_final(), "{error}");
        assert_eq!(other.published_checkpoint().await.unwrap(), signed, "nothing of it is signed here");
        assert_eq!(outside.file().read().unwrap(), note);
        here.remove().await;
        there.remove().await;
    }
}

async fn a_checkpoint_file_of_another_log_or_a_damaged_one_is_refused(place: &Place) {
    let outside = Outside::new();
    signed(place, &outside, 5).await;
    let store = place.open().await;
    let note = outside.file().read().unwrap().unwrap();
    let stranger = Outside::new();
    stranger.file().replace(&note).unwrap();
    let mut damaged = note.clone();
    *damaged.iter_mut().rfind(|byte| byte.is_ascii_lowercase()).unwrap() ^= 1;
    for (outside, note) in
        [(&stranger, note.as_slice()), (&outside, &damaged), (&outside, b""), (&outside, &note[..40])]
    {
        outside.file().replace(note).unwrap();
        let Err(error) = outside.open(&store).await else { panic!("it is believed") };
        assert!(error.is_final() && error.to_string().contains("checkpoint file"), "{error}");
        assert_eq!(outside.file().read().unwrap().unwrap(), note, "it is left as it is");
    }
}
