//! Several writers on one store: one serial order, nothing twice, everybody answered.

use std::sync::Arc;

use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::command::{CommandError, Outcome};
use social_wallet::store::Store;

use super::faulty::Faulty;
use super::{
    Dice, Payroll, accrue, actor, assert_sound, at_once, fund, furnish, give_back, journal, judged, made,
    open, pay_out, refused_for, register, reverse, serve, shown,
};
use crate::store::book::month;
use crate::store::{Place, in_both_rooms};
use social_wallet::domain::FundClass;

async fn replicas(place: &Place) -> (Arc<dyn Store>, Vec<Sequencer>) {
    let number = if matches!(place, Place::Sqlite { .. }) { 2 } else { 3 };
    let mut sequencers = Vec::new();
    for _ in 0..number {
        sequencers.push(serve(place.open().await).await);
    }
    furnish(&sequencers[0]).await;
    (place.open().await, sequencers)
}

/// Invariants 2, 3 and 8 under contention.
async fn invariants_2_3_and_8_hold_with_several_writers_on_the_same_wallets_and_benefits(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    made(sequencers[0].submit(register("POOR", FundClass::General), actor(None)).await);
    made(sequencers[0].submit(fund("POOR", 4_000, "little"), actor(None)).await);
    let payroll = Payroll::of(1, 2_000, 900, 9);
    made(sequencers[0].submit(payroll.open(), actor(None)).await);
    let mut tasks = Vec::new();
    for task in 0..6u64 {
        let sequencer = sequencers[usize::try_from(task).unwrap() % sequencers.len()].clone();
        tasks.push(tokio::spawn(async move {
            let mut dice = Dice(task);
            let mut answers = Vec::new();
            let mut paid_out = 0;
            for number in 0..40 {
                let person = dice.roll(15);
                let period = month(1 + u8::try_from(dice.roll(4)).unwrap());
                let key = actor(Some(dice.roll(2) * (task + 1) * 100 + number));
                let (command, actor) = match dice.roll(8) {
                    0 => (open(person), key),
                    1 => (pay_out(person, 1 + i64::try_from(dice.roll(200)).unwrap()), key),
                    2 => (reverse(person, "POOR", period), key),
                    3 => (give_back(paid_out, 1 + i64::try_from(dice.roll(50)).unwrap()), key),
                    4 => (payroll.chunk(1 + 100 * dice.roll(20), 100), actor(None)),
                    5 => (fund("ASP", 10, &format!("payment-{}", dice.roll(30))), actor(None)),
                    _ => (accrue(person, "POOR", period, 150), key),
                };
                let answer = sequencer.submit(command, actor).await;
                if let Ok(Outcome::Entry(entry)) = &answer
                    && entry.members["kind"] == "pay_out"
                {
                    paid_out = entry.seq;
                }
                assert!(
                    !matches!(answer, Err(CommandError::Unavailable(_) | CommandError::Busy)),
                    "every command is answered: {answer:?}"
                );
                answers.extend(answer.ok());
            }
            answers
        }));
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    let leaves = journal(&*store).await;
    for outcome in acknowledged {
        if let Outcome::Entry(entry) = outcome {
            assert_eq!(entry.members, shown(&leaves, entry.seq).members);
        }
    }
    for (which, sequencer) in sequencers.iter().enumerate() {
        let chunks = payroll.chunks(500).into_iter().map(|chunk| (chunk, actor(None))).collect();
        let last = judged(at_once(sequencer, chunks).await.pop().unwrap());
        assert_eq!(last.totals.received_lines, payroll.lines, "as writer {which} sees it");
    }
    assert_sound(&store).await;
}

/// Invariant 8: large chunks of one batch, handed to different writers at once.
async fn invariant_8_chunks_of_one_batch_through_several_writers_pay_each_line_once(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let payroll = Payroll::of(1, 24_000, 9_000, 9);
    made(sequencers[0].submit(payroll.open(), actor(None)).await);
    let mut tasks = Vec::new();
    for (which, sequencer) in sequencers.iter().enumerate() {
        let sequencer = sequencer.clone();
        let mut chunks: Vec<_> =
            payroll.chunks(3_000).into_iter().map(|chunk| (chunk, actor(None))).collect();
        // Everybody sends everything, in an order of one's own.
        Dice(which as u64).shuffle(&mut chunks);
        tasks.push(tokio::spawn(async move { at_once(&sequencer, chunks).await }));
    }
    for task in tasks {
        for answer in task.await.unwrap() {
            judged(answer);
        }
    }
    let closing = made(sequencers[1].submit(payroll.close(), actor(None)).await);
    assert_eq!(closing.members["outcome"], "completed");
    assert_eq!(closing.members["received_lines"], 24_000);
    assert_sound(&store).await;
}

/// A refusal makes no commit that the fence could hold back: it must be decided on the store's head all the same.
async fn a_writer_that_only_refuses_learns_of_what_others_have_written(place: &Place) {
    let (_, sequencers) = replicas(place).await;
    let [first, second] = [&sequencers[0], &sequencers[1]];
    let late = || accrue(1, "LATE", month(1), 100);
    assert_eq!(refused_for(second.submit(late(), actor(None)).await), RefusalCode::ProgrammeUnknown);
    made(first.submit(register("LATE", FundClass::General), actor(None)).await);
    assert_eq!(refused_for(second.submit(late(), actor(None)).await), RefusalCode::FundingInsufficient);
    made(first.submit(fund("LATE", 100, "late"), actor(None)).await);
    made(second.submit(late(), actor(None)).await);
    assert_eq!(
        refused_for(second.submit(pay_out(1, 101), actor(None)).await),
        RefusalCode::BalanceInsufficient
    );
    made(first.submit(accrue(1, "ASP", month(1), 1), actor(None)).await);
    made(second.submit(pay_out(1, 101), actor(None)).await);
    assert_eq!(refused_for(first.submit(pay_out(1, 1), actor(None)).await), RefusalCode::BalanceInsufficient);
}

/// A writer whose memory is behind reads what is ahead of it: it must notice, and go on.
async fn a_writer_that_is_behind_decides_on_what_is_in_the_store(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let [first, second] = [&sequencers[0], &sequencers[1]];
    // The second knows wallet 1 with 300, and that there is one wallet.
    made(second.submit(accrue(1, "ASP", month(1), 300), actor(None)).await);
    let paid = made(first.submit(pay_out(1, 200), actor(None)).await).seq;
    // The lot is read as it is now; the wallet's head must be too.
    made(second.submit(reverse(1, "ASP", month(1)), actor(None)).await);
    made(first.submit(give_back(paid, 150), actor(None)).await);
    made(second.submit(reverse(1, "ASP", month(1)), actor(None)).await);
    // The first opens wallet 2 and pays it a benefit; the second would give that number to another person.
    made(first.submit(accrue(2, "BONUS", month(1), 10), actor(None)).await);
    made(second.submit(accrue(3, "BONUS", month(1), 10), actor(None)).await);
    made(first.submit(accrue(3, "BONUS", month(2), 10), actor(None)).await);
    assert_eq!(
        refused_for(second.submit(accrue(3, "BONUS", month(2), 10), actor(None)).await),
        RefusalCode::BenefitAlreadyPaid
    );
    assert_eq!(store.head().await.unwrap().unwrap().wallet_count, 3);
    assert_sound(&store).await;
}

/// Accruals that are decided without a read, by writers in turn: each finds out once that it is not alone, and then locks the head
/// first, until it is alone again.
async fn writers_that_take_turns_do_not_decide_everything_in_vain(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let pay = async |which: usize, person: u64, month_of: u8| {
        let command = accrue(100 * which as u64 + person, ["ASP", "BONUS"][which], month(month_of), 1);
        made(sequencers[which].submit(command, actor(None)).await);
    };
    // Each comes to know its wallets, and its benefit.
    for which in [0, 1] {
        for person in 1..=12 {
            pay(which, person, 1).await;
        }
        pay(which, 13, 2).await;
    }
    for person in 1..=12 {
        pay(0, person, 2).await;
        pay(1, person, 2).await;
    }
    let in_vain: Vec<u64> =
        sequencers[..2].iter().map(|sequencer| sequencer.figures().commits_failed.get()).collect();
    assert!(in_vain.iter().all(|commits| *commits <= 1) && in_vain.contains(&1), "{in_vain:?}");
    assert_sound(&store).await;
}

/// Invariant 9: the tree grows by each leaf once, also for a writer that starts while another writes.
async fn invariant_9_a_writer_that_starts_while_another_writes_has_the_right_tree(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let faulty = Faulty::around(place.open().await);
    let other = sequencers[0].clone();
    faulty.before_frontier(move || async move {
        made(other.submit(open(1), actor(None)).await);
    });
    let starting = serve(faulty.clone()).await;
    made(starting.submit(open(2), actor(None)).await);
    made(starting.submit(open(3), actor(None)).await);
    assert_sound(&store).await;
}

/// A tail of another writer that is longer than what is followed entry by entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_long_tail_of_another_writer_everything_is_read_again() {
    let place = Place::sqlite();
    let (store, sequencers) = replicas(&place).await;
    made(sequencers[1].submit(accrue(1, "ASP", month(9), 100), actor(None)).await);
    let payroll = Payroll::of(1, 27_000, 27_000, 9).clean();
    made(sequencers[0].submit(payroll.open(), actor(None)).await);
    let before = store.head().await.unwrap().unwrap().size;
    let chunks = payroll.chunks(8_192).into_iter().map(|chunk| (chunk, actor(None))).collect();
    at_once(&sequencers[0], chunks).await.into_iter().for_each(|answer| drop(judged(answer)));
    let news = store.head().await.unwrap().unwrap().size - before;
    assert!(news > social_wallet::sequencer::desk::TAIL_MAX, "{news} entries");
    for month_of in [9, 10] {
        let refused = refused_for(sequencers[1].submit(accrue(1, "ASP", month(9), 100), actor(None)).await);
        assert_eq!(refused, RefusalCode::BenefitAlreadyPaid);
        made(sequencers[1].submit(accrue(5, "BONUS", month(month_of), 100), actor(None)).await);
    }
    assert_sound(&store).await;
}

in_both_rooms!(
    invariants_2_3_and_8_hold_with_several_writers_on_the_same_wallets_and_benefits,
    invariant_8_chunks_of_one_batch_through_several_writers_pay_each_line_once,
    a_writer_that_only_refuses_learns_of_what_others_have_written,
    a_writer_that_is_behind_decides_on_what_is_in_the_store,
    writers_that_take_turns_do_not_decide_everything_in_vain,
    invariant_9_a_writer_that_starts_while_another_writes_has_the_right_tree,
);
