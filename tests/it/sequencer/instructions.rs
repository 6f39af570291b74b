//! Invariant 7: an instruction id that made an entry is bound for ever; a refusal binds nothing.

use social_wallet::domain::Bic;
use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::sequencer::command::Command;

use super::{
    accrue, actor, actor_of, assert_sound, at_once, count, fund, furnish, give_back, journal, made, open,
    pay_out, refused, refused_for, register, reverse, serve, wallet,
};
use crate::store::book::{amount, month, spec};
use crate::store::{Place, in_both_rooms};
use social_wallet::domain::FundClass;

/// Invariant 7, in one batch and across batches.
async fn invariant_7_the_same_instruction_again_makes_no_second_entry_and_is_answered_as_the_first(
    place: &Place,
) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let commands = [
        accrue(1, "ASP", month(1), 500),
        pay_out(1, 200),
        reverse(1, "ASP", month(1)),
        open(2),
        fund("ASP", 7, "again"),
    ];
    let mut first = Vec::new();
    for (key, command) in (0..).zip(&commands) {
        // Three times at once, then once more, later, and once more by a writer that has just started.
        let thrice = vec![(command.clone(), actor(Some(key))); 3];
        let mut answers = at_once(&sequencer, thrice).await.into_iter().map(made);
        let answer = answers.next().unwrap();
        assert!(!answer.replayed);
        for again in answers {
            assert!(again.replayed);
            assert_eq!((again.seq, &again.members), (answer.seq, &answer.members));
        }
        first.push(answer);
    }
    let size = journal(&*store).await.len();
    let another = serve(place.open().await).await;
    for (key, command) in (0..).zip(&commands) {
        for writer in [&sequencer, &another] {
            let again = made(writer.submit(command.clone(), actor(Some(key))).await);
            let first = &first[usize::try_from(key).unwrap()];
            assert!(again.replayed);
            assert_eq!((again.seq, &again.members), (first.seq, &first.members));
        }
    }
    let returned = give_back(first[1].seq, 50);
    let [a, b] = [0, 1].map(|_| sequencer.submit(returned.clone(), actor(Some(9))));
    let (a, b) = (made(a.await), made(b.await));
    assert_eq!((a.seq, a.replayed, b.seq, b.replayed), (size as u64, false, size as u64, true));
    assert_eq!(journal(&*store).await.len(), size + 1, "nothing but the return was added");
    assert_sound(&store).await;
}

/// Invariant 7: "other content is refused, naming the field that differs".
async fn invariant_7_other_content_under_a_bound_instruction_is_refused_and_the_field_is_named(
    place: &Place,
) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    made(sequencer.submit(accrue(1, "ASP", month(1), 500), actor(None)).await);
    let paid = made(sequencer.submit(pay_out(1, 200), actor(None)).await).seq;
    let mut other_spec = spec("ASP2", FundClass::Protected);
    other_spec.legal_basis = social_wallet::domain::LegalBasis::parse("Another law").unwrap();
    let other_bank =
        Command::PayOut { wallet: wallet(1), bank: Bic::parse(b"HSBKKZKX").unwrap(), amount: amount(10) };
    let other_part = |command: Command| match command {
        Command::Accrue { mut accrual, iin, payer } => {
            accrual.part = social_wallet::domain::Part::new(2).unwrap();
            Command::Accrue { accrual, iin, payer }
        }
        command => command,
    };
    let cases: Vec<(Command, Vec<(Command, &str)>)> = vec![
        (
            register("ASP2", FundClass::Protected),
            vec![
                (register("ASP3", FundClass::Protected), "code"),
                (register("ASP2", FundClass::General), "class"),
                (Command::RegisterProgramme(Box::new(other_spec)), "legal_basis"),
                (open(1), "path"),
            ],
        ),
        (
            fund("ASP", 70, "once"),
            vec![
                (fund("BONUS", 70, "once"), "programme"),
                (fund("ASP", 71, "once"), "amount"),
                (fund("ASP", 70, "twice"), "bank_reference"),
            ],
        ),
        (open(5), vec![(open(6), "iin")]),
        (
            accrue(3, "ASP", month(1), 500),
            vec![
                (accrue(4, "ASP", month(1), 500), "iin"),
                (accrue(3, "BONUS", month(1), 500), "programme"),
                (accrue(3, "ASP", month(2), 500), "period"),
                (other_part(accrue(3, "ASP", month(1), 500)), "part"),
                (accrue(3, "ASP", month(1), 501), "amount"),
                (reverse(3, "ASP", month(1)), "path"),
            ],
        ),
        (pay_out(1, 10), vec![(pay_out(3, 10), "wallet"), (pay_out(1, 11), "amount"), (other_bank, "bank")]),
        (give_back(paid, 30), vec![(give_back(paid, 31), "amount"), (give_back(paid + 1, 30), "pay_out")]),
    ];
    for (key, (command, others)) in (100..).zip(cases) {
        // The first other content comes in the same batch already.
        let pair = vec![(command, actor(Some(key))), (others[0].0.clone(), actor(Some(key)))];
        let mut answers = at_once(&sequencer, pair).await;
        let conflict = refused(answers.pop().unwrap());
        let entry = made(answers.pop().unwrap()).seq;
        assert_eq!((conflict.code, conflict.entry), (RefusalCode::InstructionConflict, Some(entry)));
        assert_eq!(conflict.field, Some(others[0].1));
        let size = journal(&*store).await.len();
        for (other, field) in others {
            let conflict = refused(sequencer.submit(other.clone(), actor(Some(key))).await);
            assert_eq!((conflict.code, conflict.entry), (RefusalCode::InstructionConflict, Some(entry)));
            assert_eq!(conflict.field, Some(field), "{other:?}");
        }
        assert_eq!(journal(&*store).await.len(), size, "a conflict makes no entry");
    }
    assert_sound(&store).await;
}

/// Invariant 7: one entry, whoever comes first.
async fn invariant_7_one_instruction_from_32_tasks_at_once_makes_one_entry(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    for round in 0..5 {
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let sequencer = sequencer.clone();
                let command = accrue(round, "ASP", month(1), 500);
                tokio::spawn(async move { made(sequencer.submit(command, actor(Some(round))).await) })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(answers.iter().all(|answer| answer.seq == answers[0].seq));
    }
    assert_eq!(count(&journal(&*store).await, "accrual"), 5);
    assert_sound(&store).await;
}

/// Invariant 7: "a refusal without an entry binds nothing, is decided again on retry".
async fn invariant_7_a_refusal_binds_nothing_and_the_same_instruction_is_decided_again(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let size = journal(&*store).await.len();
    let refusals = at_once(
        &sequencer,
        vec![
            (pay_out(1, 100), actor(Some(1))),
            (accrue(1, "NONE", month(1), 100), actor(Some(1))),
            (reverse(1, "ASP", month(1)), actor(Some(1))),
            (give_back(0, 100), actor(Some(1))),
        ],
    );
    let codes: Vec<_> = refusals.await.into_iter().map(refused_for).collect();
    use RefusalCode::{AccrualNotFound, PayOutNotFound, ProgrammeUnknown, WalletUnknown};
    assert_eq!(codes, [WalletUnknown, ProgrammeUnknown, AccrualNotFound, PayOutNotFound]);
    assert_eq!(journal(&*store).await.len(), size);
    let answers = at_once(
        &sequencer,
        vec![(accrue(1, "ASP", month(1), 100), actor(None)), (pay_out(1, 100), actor(Some(1)))],
    );
    let entry = made(answers.await.pop().unwrap());
    assert!(!entry.replayed);
    let conflict = refused(sequencer.submit(accrue(1, "ASP", month(2), 100), actor(Some(1))).await);
    assert_eq!((conflict.code, conflict.field), (RefusalCode::InstructionConflict, Some("path")));
}

/// A bank's payment is counted once, whatever the instruction.
async fn a_bank_reference_brings_money_in_once_in_one_batch_and_across_batches(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let both = vec![(fund("ASP", 5, "payment"), actor(None)), (fund("BONUS", 5, "payment"), actor(None))];
    let mut answers = at_once(&sequencer, both).await;
    let second = refused(answers.pop().unwrap());
    let first = made(answers.pop().unwrap()).seq;
    for refusal in
        [second, refused(sequencer.submit(fund("ASP", 5, "payment"), actor_of("bank", Some(8))).await)]
    {
        assert_eq!((refusal.code, refusal.entry), (RefusalCode::BankReferenceUsed, Some(first)));
        assert_eq!(refusal.field, Some("bank_reference"));
    }
    made(sequencer.submit(fund("ASP", 5, "payment-2"), actor(Some(8))).await);
    assert_sound(&store).await;
}

/// Invariant 8, with the entry that stands in the way.
async fn invariant_8_a_benefit_is_paid_once_and_the_second_time_names_the_entry_that_paid_it(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let twice = [500, 500, 501].map(|tiyn| (accrue(1, "ASP", month(1), tiyn), actor(None)));
    let mut answers = at_once(&sequencer, twice.to_vec()).await.into_iter();
    let paid = made(answers.next().unwrap()).seq;
    let later = sequencer.submit(accrue(1, "ASP", month(1), 501), actor(None)).await;
    for (answer, field) in answers.chain([later]).zip(["line", "amount", "amount"]) {
        let refusal = refused(answer);
        assert_eq!((refusal.code, refusal.entry), (RefusalCode::BenefitAlreadyPaid, Some(paid)));
        assert_eq!(refusal.field, Some(field));
    }
    assert_sound(&store).await;
}

in_both_rooms!(
    invariant_7_the_same_instruction_again_makes_no_second_entry_and_is_answered_as_the_first,
    invariant_7_other_content_under_a_bound_instruction_is_refused_and_the_field_is_named,
    invariant_7_one_instruction_from_32_tasks_at_once_makes_one_entry,
    invariant_7_a_refusal_binds_nothing_and_the_same_instruction_is_decided_again,
    a_bank_reference_brings_money_in_once_in_one_batch_and_across_batches,
    invariant_8_a_benefit_is_paid_once_and_the_second_time_names_the_entry_that_paid_it,
);
