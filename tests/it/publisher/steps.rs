//! Every step of the order of writes, failed; several replicas.

use social_wallet::log::checkpoint::Checkpoint;
use social_wallet::publisher::Publisher;
use social_wallet::store::{FixedCheckpoint, Store};
use std::sync::Arc;

use super::{Outside, assert_one_history, in_both_rooms, write};
use crate::sequencer::faulty::{Crash, Faulty};
use crate::sequencer::serve;
use crate::store::Place;

in_both_rooms! {
    invariant_9_a_crash_between_any_two_steps_leaves_one_history_and_a_file_that_is_not_behind,
    invariant_9_a_body_that_one_replica_fixed_is_signed_and_published_by_the_next,
    invariant_9_a_body_that_is_not_of_the_stores_tree_is_never_signed,
    invariant_9_replicas_that_sign_at_once_make_one_chain_and_keep_it_each,
    a_checkpoint_covers_all_that_is_durable_and_a_second_step_does_nothing,
    what_becomes_durable_during_a_step_is_for_the_next,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Fix,
    Keep,
    Publish,
}

fn size(publisher: &Publisher) -> u64 {
    publisher.published().borrow().as_ref().map_or(0, |published| published.size())
}

async fn head(store: &Arc<dyn Store>) -> u64 {
    store.head().await.unwrap().unwrap().size
}

async fn invariant_9_a_crash_between_any_two_steps_leaves_one_history_and_a_file_that_is_not_behind(
    place: &Place,
) {
    let faulty = Faulty::around(place.open().await);
    let store: Arc<dyn Store> = faulty.clone();
    let sequencer = serve(place.open().await).await;
    let outside = Outside::new();
    let mut publisher = outside.open(&store).await.unwrap();
    let mut people = 0;
    let mut expected = Vec::new();
    for at in [At::Fix, At::Keep, At::Publish] {
        for crash in [Crash::Before, Crash::After] {
            write(&sequencer, people..people + 3).await;
            publisher.step().await.unwrap();
            let before = size(&publisher);
            assert_eq!(before, head(&store).await);
            expected.push(before);

            write(&sequencer, people + 3..people + 5).await;
            let wanted = head(&store).await;
            match at {
                At::Fix => *faulty.next_fix.lock().unwrap() = Some(crash),
                At::Keep => *outside.next_keep.lock().unwrap() = Some(crash),
                At::Publish => *faulty.next_publish.lock().unwrap() = Some(crash),
            }
            let error = publisher.step().await.unwrap_err();
            assert!(!error.is_final(), "{error}");
            assert_eq!(size(&publisher), before, "nothing is shown that is not published");
            let kept = outside.kept().unwrap().size;
            let published = store.published_checkpoint().await.unwrap().unwrap().size;
            assert!(kept >= published, "{at:?} {crash:?}: the file is behind what is published");
            let is_kept = at == At::Publish || (at, crash) == (At::Keep, Crash::After);
            assert_eq!(kept, if is_kept { wanted } else { before });
            assert_eq!(published, if (at, crash) == (At::Publish, Crash::After) { wanted } else { before });
            assert_one_history(place, &outside.vkey(), &[&outside]).await;

            // The process is gone. Meanwhile others commit; then it starts again.
            drop(publisher);
            write(&sequencer, people + 5..people + 7).await;
            publisher = outside.open(&store).await.unwrap();
            publisher.step().await.unwrap();
            assert_eq!(size(&publisher), head(&store).await, "nothing is left unsigned");
            if (at, crash) != (At::Fix, Crash::Before) {
                expected.push(wanted); // what was fixed is finished, before anything else is fixed
            }
            expected.push(size(&publisher));
            assert_eq!(outside.kept().unwrap().size, size(&publisher));
            people += 7;
        }
    }
    assert_eq!(assert_one_history(place, &outside.vkey(), &[&outside]).await, expected);
    let mut raw = place.raw().await;
    assert_eq!(raw.count("checkpoint").await, raw.count("checkpoint_published").await);
}

async fn invariant_9_a_body_that_one_replica_fixed_is_signed_and_published_by_the_next(place: &Place) {
    let faulty = Faulty::around(place.open().await);
    let store: Arc<dyn Store> = faulty.clone();
    let sequencer = serve(place.open().await).await;
    let first = Outside::new();
    let second = first.beside();
    let mut one = first.open(&store).await.unwrap();
    let mut two = second.open(&store).await.unwrap();
    write(&sequencer, 0..3).await;
    *faulty.next_fix.lock().unwrap() = Some(Crash::After);
    one.step().await.unwrap_err();
    let fixed = store.fixed_checkpoint().await.unwrap().unwrap();
    write(&sequencer, 3..9).await;
    two.step().await.unwrap();
    let sizes = assert_one_history(place, &first.vkey(), &[&first, &second]).await;
    assert_eq!(sizes, [fixed.size, head(&store).await]);
    assert_eq!(second.kept().unwrap().size, head(&store).await);
    // The first keeps what it finds, before it shows it.
    *first.next_keep.lock().unwrap() = Some(Crash::Before);
    one.step().await.unwrap_err();
    assert_eq!((size(&one), first.kept()), (0, None));
    one.step().await.unwrap();
    assert_eq!(size(&one), size(&two));
    assert_eq!(first.kept(), second.kept());
}

async fn invariant_9_a_body_that_is_not_of_the_stores_tree_is_never_signed(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    let outside = Outside::new();
    let mut publisher = outside.open(&store).await.unwrap();
    write(&sequencer, 0..3).await;
    publisher.step().await.unwrap();
    let before = outside.kept().unwrap();
    write(&sequencer, 3..5).await;
    // Somebody with a hand in the database fixes a body of another root.
    let forged = Checkpoint { size: head(&store).await, root: [7; 32], ..before.clone() };
    let body = forged.body().into_bytes();
    let fixed = FixedCheckpoint { size: forged.size, previous_size: before.size, body };
    assert!(store.fix_checkpoint(&fixed).await.unwrap());
    publisher.step().await.unwrap_err();
    assert_eq!(outside.kept(), Some(before.clone()), "nothing was signed");
    assert_eq!(store.published_checkpoint().await.unwrap().unwrap().size, before.size);
    outside.open(&store).await.unwrap().step().await.unwrap_err();
    assert_eq!(outside.kept(), Some(before), "nor after a start");
}

async fn invariant_9_replicas_that_sign_at_once_make_one_chain_and_keep_it_each(place: &Place) {
    let sequencer = serve(place.open().await).await;
    let first = Outside::new();
    let outsides = [first.beside(), first.beside(), first];
    let mut tasks = Vec::new();
    let publishers = {
        let mut publishers = Vec::new();
        for outside in &outsides {
            publishers.push(outside.open(&place.open().await).await.unwrap());
        }
        publishers
    };
    for mut publisher in publishers {
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                publisher.step().await.unwrap();
            }
            publisher
        }));
    }
    for round in 0..25 {
        write(&sequencer, round * 4..round * 4 + 4).await;
    }
    let store = place.open().await;
    for task in tasks {
        let mut publisher = task.await.unwrap();
        publisher.step().await.unwrap();
        assert_eq!(size(&publisher), head(&store).await);
    }
    let [one, two, three] = &outsides;
    let sizes = assert_one_history(place, &one.vkey(), &[one, two, three]).await;
    assert_eq!(sizes.last(), Some(&head(&store).await));
    for outside in &outsides {
        assert_eq!(outside.kept().unwrap().size, head(&store).await);
    }
}

async fn a_checkpoint_covers_all_that_is_durable_and_a_second_step_does_nothing(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    let outside = Outside::new();
    let mut publisher = outside.open(&store).await.unwrap();
    write(&sequencer, 0..600).await;
    publisher.step().await.unwrap();
    publisher.step().await.unwrap();
    assert_eq!(assert_one_history(place, &outside.vkey(), &[&outside]).await, [head(&store).await]);
}

/// Under load there is always more: a checkpoint for each commit would cost the commits their disk.
async fn what_becomes_durable_during_a_step_is_for_the_next(place: &Place) {
    let faulty = Faulty::around(place.open().await);
    let store: Arc<dyn Store> = faulty.clone();
    let sequencer = serve(place.open().await).await;
    let outside = Outside::new();
    let mut publisher = outside.open(&store).await.unwrap();
    write(&sequencer, 0..10).await;
    let first = head(&store).await;
    // Whenever it is looked for the second time, there is more.
    let again = Arc::clone(&faulty);
    faulty.before_frontier(async move || {
        again.before_frontier(async move || write(&sequencer, 10..11).await);
    });
    publisher.step().await.unwrap();
    assert_eq!(assert_one_history(place, &outside.vkey(), &[&outside]).await, [first]);
    publisher.step().await.unwrap();
    assert_eq!(assert_one_history(place, &outside.vkey(), &[&outside]).await, [first, first + 1]);
}
