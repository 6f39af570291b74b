//! What is bounded: the queue, the memory of wallets, the trust in the clock.

use std::sync::atomic::{AtomicI64, Ordering};

use social_wallet::domain::Part;
use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::sequencer::clock::Clock;
use social_wallet::sequencer::command::CommandError;
use social_wallet::sequencer::{QUEUE_MAX, Sequencer};

use super::faulty::Faulty;
use super::{
    Dice, NOW, WALLETS_MAX, accrue, accrue_part, actor, assert_sound, at_once, count, furnish, hand_in,
    journal, keys, made, open, refused_for, serve, shown,
};
use crate::store::book::{book_id, month};
use crate::store::{Place, in_both_rooms};

/// While a commit takes its time, no more than the documented number of commands wait, however they come.
async fn beyond_the_queue_commands_are_told_to_come_again_and_the_others_are_answered(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    furnish(&sequencer).await;
    let arrived = faulty.arrived();
    let closed = faulty.gate.write().await;
    let writer = sequencer.clone();
    let first = tokio::spawn(async move { writer.submit(open(1), actor(None)).await });
    while faulty.arrived() == arrived {
        tokio::task::yield_now().await;
    }
    // A commit is under way, and will be for as long as we like. As many wait in the writer's hands as in the queue.
    let mut under_way = Vec::new();
    for _ in 0..4 * QUEUE_MAX / 64 {
        under_way.push(hand_in(&sequencer, vec![(open(1), actor(None)); 64]));
        // The writer has every chance to take more than it may.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
    drop(closed);
    let mut taken = 0;
    for some in under_way {
        for answer in some.answers().await {
            match answer {
                Err(CommandError::Busy) => {}
                other => {
                    assert_eq!(refused_for(other), RefusalCode::WalletExists);
                    taken += 1;
                }
            }
        }
    }
    assert!((QUEUE_MAX..=2 * QUEUE_MAX).contains(&taken), "{taken} were taken");
    made(first.await.unwrap());
    made(sequencer.submit(open(2), actor(None)).await);
    assert_sound(&store).await;
}

/// Invariant 10 with a memory that forgets: heads are read again as they are.
async fn invariant_10_wallets_that_memory_has_forgotten_are_read_again_as_they_are(place: &Place) {
    let store = place.open().await;
    store.create_book(book_id()).await.unwrap();
    let (sequencer, _) = Sequencer::start(store.clone(), keys(), Clock::with(|| NOW), 1_000).await.unwrap();
    furnish(&sequencer).await;
    let mut people: Vec<u64> = (0..6_000).collect();
    let mut dice = Dice(5);
    for period in 1..=2 {
        dice.shuffle(&mut people);
        for some in people.chunks(400) {
            let commands =
                some.iter().map(|person| (accrue(*person, "ASP", month(period), 100), actor(None)));
            for answer in at_once(&sequencer, commands.collect()).await {
                made(answer);
            }
        }
    }
    // More at once than memory holds: slower, and right.
    let commands =
        people[..3_000].iter().map(|person| (accrue(*person, "BONUS", month(3), 100), actor(None)));
    for answer in at_once(&sequencer, commands.collect()).await {
        made(answer);
    }
    assert_eq!(store.head().await.unwrap().unwrap().wallet_count, 6_000);
    assert_sound(&store).await;
}

/// Invariant 8 with a memory that forgets who was paid what, which it does beyond 512 benefits: they are read again.
async fn invariant_8_benefits_that_memory_has_forgotten_are_not_paid_again(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    for parts in [511, 512, 513] {
        let person = parts.into();
        let paid = |part| accrue_part(person, "ASP", month(1), Part::new(part).unwrap(), 1);
        let all = || (1..=parts).map(|part| (paid(part), actor(None))).collect();
        for answer in at_once(&sequencer, all()).await {
            made(answer);
        }
        // Where memory has too much, this makes it forget.
        made(sequencer.submit(accrue(person, "BONUS", month(1), 1), actor(None)).await);
        assert_eq!(
            refused_for(sequencer.submit(paid(1), actor(None)).await),
            RefusalCode::BenefitAlreadyPaid
        );
        for answer in at_once(&sequencer, all()).await {
            assert_eq!(refused_for(answer), RefusalCode::BenefitAlreadyPaid);
        }
    }
    assert_sound(&store).await;
}

/// A clock that jumps is not believed.
async fn a_clock_that_jumps_stops_writes_and_no_entry_is_made(place: &Place) {
    static NOW_HERE: AtomicI64 = AtomicI64::new(NOW);
    NOW_HERE.store(NOW, Ordering::Relaxed);
    let store = place.open().await;
    store.create_book(book_id()).await.unwrap();
    let clock = Clock::with(|| NOW_HERE.load(Ordering::Relaxed));
    let (sequencer, _) = Sequencer::start(store.clone(), keys(), clock, WALLETS_MAX).await.unwrap();
    furnish(&sequencer).await;
    let size = journal(&*store).await.len();
    for jump in [3_600_000, -3_600_000] {
        NOW_HERE.store(NOW + jump, Ordering::Relaxed);
        let answer = sequencer.submit(open(1), actor(Some(1))).await;
        assert!(
            matches!(&answer, Err(CommandError::Unavailable(why)) if why.contains("clock")),
            "{answer:?}"
        );
        assert_eq!(journal(&*store).await.len(), size);
    }
    NOW_HERE.store(NOW + 1_000, Ordering::Relaxed);
    made(sequencer.submit(open(1), actor(Some(1))).await);
    assert_sound(&store).await;
}

/// Invariant 10: entries are stamped in order, also by a writer whose clock is a little behind.
async fn time_never_goes_back_across_a_restart_and_far_behind_nothing_is_written(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    drop(sequencer);
    let behind = Clock::with(|| NOW - 60_000);
    let (sequencer, _) = Sequencer::start(place.open().await, keys(), behind, WALLETS_MAX).await.unwrap();
    let entry = made(sequencer.submit(open(1), actor(None)).await);
    let leaves = journal(&*store).await;
    assert_eq!(shown(&leaves, entry.seq).members["at"], shown(&leaves, 0).members["at"]);
    drop(sequencer);
    let far = Clock::with(|| NOW - 600_000);
    let (sequencer, task) = Sequencer::start(place.open().await, keys(), far, WALLETS_MAX).await.unwrap();
    let answer = sequencer.submit(open(2), actor(None)).await;
    assert!(matches!(answer, Err(CommandError::Unavailable(_))), "{answer:?}");
    assert_eq!(count(&journal(&*store).await, "wallet_opened"), 1);
    drop(sequencer);
    task.await.unwrap();
    assert_sound(&store).await;
}

in_both_rooms!(
    beyond_the_queue_commands_are_told_to_come_again_and_the_others_are_answered,
    invariant_10_wallets_that_memory_has_forgotten_are_read_again_as_they_are,
    invariant_8_benefits_that_memory_has_forgotten_are_not_paid_again,
    a_clock_that_jumps_stops_writes_and_no_entry_is_made,
    time_never_goes_back_across_a_restart_and_far_behind_nothing_is_written,
);
