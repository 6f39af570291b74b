//! Large chunks, several under way: decided on top of each other, answered in order.

use social_wallet::ledger::batch::{LineRefusal, Verdict};
use social_wallet::ledger::refusal::RefusalCode;

use super::{Payroll, actor, assert_sound, at_once, furnish, journal, judged, made, serve};
use crate::store::{Place, in_both_rooms};

/// Invariants 3 and 8: the same people, new to the book, in chunks that are under way together.
async fn invariants_3_and_8_chunks_of_8192_lines_under_way_together_pay_each_person_once(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    // 12,000 people on 32,768 lines: who is in one chunk is in another too, and nobody has a wallet yet.
    let payroll = Payroll::of(1, 32_768, 12_000, 9).clean();
    made(sequencer.submit(payroll.open(), actor(None)).await);
    let chunks: Vec<_> = payroll.chunks(8_192).into_iter().map(|chunk| (chunk, actor(None))).collect();
    let outcomes: Vec<_> = at_once(&sequencer, chunks.clone()).await.into_iter().map(judged).collect();
    let (mut accepted, mut refused) = (std::collections::BTreeMap::new(), 0);
    for (number, line) in (1u64..).zip(outcomes.iter().flat_map(|outcome| &outcome.verdicts)) {
        let wallet = payroll.line(number).wallet.unwrap();
        match line.verdict {
            Verdict::Accepted { entry } => {
                assert!(accepted.insert(wallet, entry).is_none(), "line {number} pays a second time");
            }
            Verdict::Refused { reason, entry, .. } => {
                assert_eq!(reason, LineRefusal::Rule(RefusalCode::BenefitAlreadyPaid));
                assert_eq!(entry, accepted.get(&wallet).copied(), "line {number} names who was first");
                refused += 1;
            }
            Verdict::AlreadyAccepted { .. } => panic!("line {number} was sent once"),
        }
    }
    assert_eq!((accepted.len(), refused), (12_000, 32_768 - 12_000));
    let head = store.head().await.unwrap().unwrap();
    assert_eq!(head.wallet_count, 12_000);
    assert!(outcomes.windows(2).all(|pair| pair[0].entry < pair[1].entry), "in the order they came");

    // All of it again, and two of the same at once: nothing moves.
    let size = journal(&*store).await.len();
    let twice = vec![chunks[2].clone(), chunks[2].clone(), chunks[0].clone()];
    for answer in at_once(&sequencer, twice).await {
        let outcome = judged(answer);
        assert_eq!(outcome.entry, None);
        let moved = |line: &&social_wallet::ledger::batch::LineVerdict| {
            matches!(line.verdict, Verdict::Accepted { .. })
        };
        assert_eq!(outcome.verdicts.iter().filter(moved).count(), 0);
    }
    assert_eq!(journal(&*store).await.len(), size);
    assert_sound(&store).await;
}

/// Invariant 7 for lines: the same chunk handed in several times at once.
async fn invariant_7_a_chunk_handed_in_three_times_at_once_pays_its_lines_once(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let payroll = Payroll::of(2, 9_000, 9_000, 9);
    made(sequencer.submit(payroll.open(), actor(None)).await);
    let mut commands = Vec::new();
    for chunk in payroll.chunks(3_000) {
        commands.extend(vec![(chunk, actor(None)); 3]);
    }
    let outcomes: Vec<_> = at_once(&sequencer, commands).await.into_iter().map(judged).collect();
    for same in outcomes.chunks(3) {
        assert!(same[0].entry.is_some() && same[1].entry.is_none() && same[2].entry.is_none());
        for again in &same[1..] {
            for (line, first) in again.verdicts.iter().zip(&same[0].verdicts) {
                match (first.verdict, line.verdict) {
                    (Verdict::Accepted { entry }, Verdict::AlreadyAccepted { entry: known }) => {
                        assert_eq!(entry, known);
                    }
                    (first, line) => assert_eq!(first, line),
                }
            }
        }
    }
    let closing = made(sequencer.submit(payroll.close(), actor(None)).await);
    assert_eq!(closing.members["outcome"], "completed");
    assert_sound(&store).await;
}

in_both_rooms!(
    invariants_3_and_8_chunks_of_8192_lines_under_way_together_pay_each_person_once,
    invariant_7_a_chunk_handed_in_three_times_at_once_pays_its_lines_once,
);
