//! Invariant 6 over a store that fails: what is acknowledged is in the journal, once; what is not, can be sent again.

use std::collections::BTreeSet;

use social_wallet::sequencer::command::{CommandError, Outcome};

use super::faulty::{Fate, Faulty};
use super::{
    Dice, Payroll, accrue, actor, assert_sound, at_once, count, fund, furnish, journal, judged, made, open,
    pay_out, reverse, serve, shown,
};
use crate::store::book::month;
use crate::store::{Place, in_both_rooms};

/// Invariant 6: each kind of failure at each of the first commits.
async fn invariant_6_after_each_kind_of_failure_the_command_is_in_the_journal_once(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    furnish(&sequencer).await;
    let fates =
        [Fate::UnknownMade, Fate::UnknownLost, Fate::Failed, Fate::Stale, Fate::PanicMade, Fate::PanicLost];
    let mut person = 0;
    for first in fates {
        for second in fates {
            faulty.heal(); // the last pair's second may be left: three failures are told, and these are two
            faulty.next(&[first, second]);
            let commands = (person..person + 3)
                .map(|person| (accrue(person, "ASP", month(1), 100), actor(Some(person))));
            let answers = at_once(&sequencer, commands.collect()).await;
            let leaves = journal(&*store).await;
            for answer in answers {
                let entry = made(answer);
                assert_eq!(entry, shown(&leaves, entry.seq), "after {first:?}, {second:?}");
            }
            person += 3;
            assert_eq!(count(&leaves, "accrual") as u64, person, "after {first:?}, {second:?}");
        }
    }
    assert_sound(&store).await;
}

/// Invariant 6: "infrastructure failures are not outcomes": told so, and nothing is bound.
async fn invariant_6_a_store_that_refuses_every_commit_is_told_and_the_same_instruction_works_later(
    place: &Place,
) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    furnish(&sequencer).await;
    let size = journal(&*store).await.len();
    faulty.one_in(1, 3);
    let all_fail = [Fate::Failed; 40];
    faulty.next(&all_fail);
    let commands: Vec<_> = (0..5).map(|person| (open(person), actor(Some(person)))).collect();
    for answer in at_once(&sequencer, commands.clone()).await {
        assert!(matches!(answer, Err(CommandError::Unavailable(_))), "{answer:?}");
    }
    faulty.heal();
    assert_eq!(journal(&*store).await.len(), size);
    for answer in at_once(&sequencer, commands).await {
        assert!(!made(answer).replayed);
    }
    assert_sound(&store).await;
}

/// Invariants 6 and 7: random failures, random commands, everybody tries until acknowledged.
async fn invariant_6_over_a_failing_store_every_acknowledged_command_is_in_the_journal_once(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    furnish(&sequencer).await;
    for payroll in payrolls() {
        made(sequencer.submit(payroll.open(), actor(None)).await);
    }
    faulty.one_in(2, 11);
    let mut tasks = Vec::new();
    for task in 0..8u64 {
        let (sequencer, payrolls) = (sequencer.clone(), payrolls());
        tasks.push(tokio::spawn(async move {
            let mut dice = Dice(task);
            let mut acknowledged = Vec::new();
            for number in 0..12 {
                let person = dice.roll(10);
                let key = task * 1_000 + number;
                let command = match dice.roll(6) {
                    0 => fund("ASP", 10, &format!("payment-{key}")),
                    1 => pay_out(person, 1 + i64::try_from(dice.roll(300)).unwrap()),
                    2 => reverse(person, "ASP", month(1)),
                    3 => payrolls[0].chunk(1 + 2_400 * dice.roll(4), 2_400),
                    _ => accrue(person, "ASP", month(1 + u8::try_from(dice.roll(8)).unwrap()), 100),
                };
                let is_chunk = matches!(command, social_wallet::sequencer::command::Command::Chunk(_));
                let actor = actor((!is_chunk).then_some(key));
                let answer = loop {
                    match sequencer.submit(command.clone(), actor).await {
                        Err(CommandError::Unavailable(_) | CommandError::Busy) => {}
                        answer => break answer,
                    }
                };
                match answer {
                    Ok(outcome) => acknowledged.push(outcome),
                    Err(refusal) => assert!(matches!(refusal, CommandError::Refused(_))),
                }
            }
            acknowledged
        }));
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    faulty.heal();
    for fate in [Fate::UnknownMade, Fate::UnknownLost, Fate::Failed, Fate::Stale] {
        assert!(faulty.seen().contains(&fate), "{fate:?} did not happen: another seed");
    }
    let leaves = journal(&*store).await;
    let mut entries = BTreeSet::new();
    for outcome in acknowledged {
        match outcome {
            Outcome::Entry(entry) => {
                let known = entries.insert(entry.seq);
                assert!(known, "two commands are told of entry {}", entry.seq);
                assert_eq!(entry.members, shown(&leaves, entry.seq).members);
            }
            Outcome::Answers(_) => {}
            Outcome::Chunk(outcome) => {
                if let Some(entry) = outcome.entry {
                    assert_eq!(shown(&leaves, entry).members["kind"], "chunk_received");
                }
            }
        }
    }
    let singles = ["pay_out", "reversal"].map(|kind| count(&leaves, kind)).iter().sum::<usize>();
    let kinds = |entry: &&u64| {
        let kind = &shown(&leaves, **entry).members["kind"];
        kind == "pay_out" || kind == "reversal"
    };
    assert_eq!(entries.iter().filter(kinds).count(), singles, "nothing was made that nobody was told of");
    // What was sent again and again is complete now.
    let payroll = payrolls()[0];
    let answers =
        at_once(&sequencer, payroll.chunks(2_400).into_iter().map(|chunk| (chunk, actor(None))).collect());
    let received = judged(answers.await.pop().unwrap()).totals.received_lines;
    assert_eq!(received, payroll.lines);
    assert_sound(&store).await;
}

fn payrolls() -> [Payroll; 1] {
    [Payroll::of(1, 9_600, 4_000, 11)]
}

/// Invariant 6 with commits that overtake: a commit that fails takes the one decided on top of it along.
async fn invariant_6_a_commit_that_fails_discards_the_one_decided_on_it(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    furnish(&sequencer).await;
    let fates = [Fate::UnknownMade, Fate::UnknownLost, Fate::Failed, Fate::Stale];
    for (number, fate) in (1..).zip(fates) {
        let payroll = Payroll::of(number, 12_500, 10_000, u8::try_from(number).unwrap());
        made(sequencer.submit(payroll.open(), actor(None)).await);
        let closed = faulty.gate.write().await;
        faulty.next(&[fate]);
        let chunks: Vec<_> = payroll.chunks(2_500).into_iter().map(|chunk| (chunk, actor(None))).collect();
        let (writer, arrived) = (sequencer.clone(), faulty.arrived());
        let answers = tokio::spawn(async move { at_once(&writer, chunks).await });
        // The first commit waits at the gate until all chunks are in the queue.
        while sequencer.queue_depth() > 0 || faulty.arrived() == arrived {
            tokio::task::yield_now().await;
        }
        drop(closed);
        let mut seen = BTreeSet::new();
        for answer in answers.await.unwrap() {
            assert!(seen.insert(judged(answer).entry.unwrap()));
        }
        let closing = made(sequencer.submit(payroll.close(), actor(None)).await);
        assert_eq!(closing.members["outcome"], "completed", "after {fate:?}");
        assert_eq!(closing.members["received_lines"], 12_500);
    }
    assert_sound(&store).await;
}

in_both_rooms!(
    invariant_6_after_each_kind_of_failure_the_command_is_in_the_journal_once,
    invariant_6_a_store_that_refuses_every_commit_is_told_and_the_same_instruction_works_later,
    invariant_6_over_a_failing_store_every_acknowledged_command_is_in_the_journal_once,
    invariant_6_a_commit_that_fails_discards_the_one_decided_on_it,
);
