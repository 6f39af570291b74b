//! Where holders want benefits to go, further numbers and mergings, through the writer: a batch is what its commands are one by one,
//! both stores have the same bytes, and what fails halfway is made once.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use social_wallet::audit::audit;
use social_wallet::domain::{BankReference, DestinationForm, LastFour, ProgrammeCode, Reason};
use social_wallet::ledger::payment::{Consent, ConsentMethod, Document, PaymentState, Purpose, Terms};
use social_wallet::ledger::payment_rules::{Answer as Told, Party};
use social_wallet::ledger::record::Actor;
use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::command::{Command, Outcome, PaymentCommand};
use social_wallet::sequencer::holder::HolderCommand;
use social_wallet::store::StoreError;

use super::faulty::Faulty;
use super::{
    Answer, Dice, NOW, Payroll, accrue, actor, assert_sound, at_once, count, furnish, hand_in, iin, journal,
    judged, keys, made, refused_for, reverse, serve, wallet,
};
use crate::store::book::{amount, bank, code, month};
use crate::store::{Place, in_both_rooms};

in_both_rooms! {
    a_lines_accrual_is_sent_on_in_its_chunks_commit,
    an_accrual_to_a_wallet_without_a_choice_asks_and_writes_nothing_more,
    choices_and_mergings_survive_commits_that_fail,
    a_command_after_a_merging_finds_the_other_wallet_also_at_once,
    a_reading_that_fails_half_way_is_not_believed,
    a_transfer_that_nobody_has_been_told_of_is_unknown_and_spoils_no_batch,
    what_one_writer_chose_added_and_merged_holds_for_the_other,
    invariant_10_the_audit_finds_a_choice_a_lead_and_a_moved_lot_that_nobody_made,
}

const PEOPLE: u64 = 8;
const FURTHER: u64 = 40_000;

const KINDS: [&str; 5] =
    ["destination_chosen", "transfer_requested", "transfer_not_started", "number_added", "wallets_merged"];

fn consent(number: u64) -> Consent {
    let mut evidence = [3; 32];
    evidence[..8].copy_from_slice(&number.to_be_bytes());
    Consent { method: ConsentMethod::Session, evidence, at: NOW }
}

fn standing(person: u64, tiyn: i64) -> Command {
    let (form, last_four) = (DestinationForm::Card, LastFour::parse("4242").unwrap());
    let purpose = Purpose::Transfer { bank: bank(), form, last_four, destination: [6; 32] };
    let terms = Terms { purpose, ceiling: amount(tiyn), standing: true, expires: NOW + 3_600_000 };
    Command::Payment(PaymentCommand::Authorise {
        wallet: wallet(person),
        terms,
        consent: consent(person),
        sealed_destination: vec![1],
    })
}

fn choose(person: u64, programme: Option<ProgrammeCode>, authorisation: Option<u64>, number: u64) -> Command {
    let (wallet, consent) = (wallet(person), consent(1_000 + number));
    Command::Holder(HolderCommand::Choose { wallet, programme, authorisation, consent })
}

fn document() -> Document {
    Document::parse("act 7").unwrap()
}

fn add_number(person: u64, further: u64) -> Command {
    let (iin, leads, document) = (iin(further), wallet(further), document());
    Command::Holder(HolderCommand::AddNumber { wallet: wallet(person), iin, leads, document })
}

fn merge(person: u64, merged: u64) -> Command {
    let (wallet, merged, document) = (wallet(person), wallet(merged), document());
    Command::Holder(HolderCommand::Merge { wallet, merged, document })
}

fn transfer(authorisation: u64, tiyn: i64) -> Command {
    let by = Party::Bank(bank());
    Command::Payment(PaymentCommand::Transfer { by, authorisation, amount: amount(tiyn) })
}

fn answer(transfer: u64, told: Told) -> Command {
    let by = Party::Bank(bank());
    Command::Payment(PaymentCommand::Answer { by, answers: vec![(transfer, told, None)] })
}

/// People with a wallet and a standing authorisation each; of some not much.
async fn people(sequencer: &Sequencer) -> Vec<u64> {
    furnish(sequencer).await;
    let mut given = Vec::new();
    for person in 0..PEOPLE {
        made(sequencer.submit(accrue(person, "ASP", month(1), 1_000), actor(None)).await);
        let ceiling = if person % 3 == 0 { 2_500 } else { 9_000_000 };
        given.push(made(sequencer.submit(standing(person, ceiling), actor(None)).await).seq);
    }
    given
}

fn history(given: &[u64], seed: u64, steps: u64) -> Vec<(Command, Actor)> {
    let mut dice = Dice(seed);
    let payroll = Payroll::of(3, 80, 16, 9);
    let mut commands = vec![payroll.open()];
    for number in 0..steps {
        let person = dice.roll(PEOPLE);
        let any = |dice: &mut Dice| match dice.roll(4) {
            0 => FURTHER + dice.roll(PEOPLE),
            _ => dice.roll(PEOPLE + 2),
        };
        let programme = if dice.roll(2) == 0 { "ASP" } else { "BONUS" };
        let period = month(u8::try_from(dice.roll(6) + 1).unwrap());
        let own = given[usize::try_from(person).unwrap()];
        commands.push(match dice.roll(16) {
            0..3 => {
                let of = (dice.roll(2) == 0).then(|| code(programme));
                choose(person, of, (dice.roll(4) > 0).then_some(own), number)
            }
            3..9 => accrue(any(&mut dice), programme, period, i64::try_from(100 + dice.roll(900)).unwrap()),
            9 => reverse(any(&mut dice), programme, period),
            10..12 => transfer(own, i64::try_from(1 + dice.roll(400)).unwrap()),
            12 => add_number(person, FURTHER + dice.roll(PEOPLE)),
            13 if dice.roll(2) == 0 => merge(person, dice.roll(PEOPLE)),
            _ => payroll.chunk(1 + 20 * dice.roll(4), 20),
        });
    }
    let key = |number: usize| number.is_multiple_of(5).then_some(number as u64 % 90);
    let of_chunks = |command: &Command| matches!(command, Command::Chunk(_) | Command::OpenBatch(_));
    let keyed = |(number, command): (usize, Command)| {
        let key = if of_chunks(&command) { None } else { key(number) };
        (command, actor(key))
    };
    commands.into_iter().enumerate().map(keyed).collect()
}

async fn run(place: &Place, seed: u64, together: bool) -> (Vec<Answer>, Vec<Vec<u8>>) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    let given = people(&sequencer).await;
    let history = history(&given, seed, 160);
    let answers = if together {
        at_once(&sequencer, history).await
    } else {
        let mut answers = Vec::new();
        for (command, actor) in history {
            answers.push(sequencer.submit(command, actor).await);
        }
        answers
    };
    assert_sound(&store).await;
    (answers, journal(&*store).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn choices_numbers_and_mergings_in_a_batch_are_what_they_are_one_by_one_and_both_stores_have_the_same_bytes()
 {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..4 {
        let places = [Place::sqlite(), Place::sqlite(), Place::postgres().await, Place::postgres().await];
        let (answers, leaves) = run(&places[0], seed, false).await;
        for kind in KINDS {
            *seen.entry(kind).or_default() += count(&leaves, kind);
        }
        for (place, together) in [(&places[1], true), (&places[2], false), (&places[3], true)] {
            let (found, others) = run(place, seed, together).await;
            for (number, (a, b)) in answers.iter().zip(&found).enumerate() {
                assert_eq!(a, b, "seed {seed}, at once: {together}: the answer to command {number}");
            }
            for (seq, (a, b)) in leaves.iter().zip(&others).enumerate() {
                let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
                assert_eq!(a, b, "seed {seed}, at once: {together}: entry {seq}");
            }
            assert_eq!(leaves.len(), others.len());
        }
        for place in places {
            place.remove().await;
        }
    }
    assert!(seen.values().all(|entries| *entries > 0), "{seen:?}");
}

async fn a_lines_accrual_is_sent_on_in_its_chunks_commit(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    let given = people(&sequencer).await;
    for (person, own) in (0..).zip(&given) {
        made(sequencer.submit(choose(person, None, Some(*own), person), actor(None)).await);
    }
    let payroll = Payroll::of(3, 16, 16, 9).clean();
    sequencer.submit(payroll.open(), actor(None)).await.unwrap();
    let before = store.head().await.unwrap().unwrap();
    let outcome = judged(sequencer.submit(payroll.chunk(1, 16), actor(None)).await);
    let after = store.head().await.unwrap().unwrap();
    // Sixteen lines, eight wallets opened, eight transfers, and the chunk: one commit.
    assert_eq!((outcome.entry, after.size - before.size), (Some(after.size - 1), 16 + 8 + 8 + 1));
    let transfers = store.transfers_of_bank(bank(), false, 0, 100).await.unwrap();
    assert_eq!(transfers.len(), 8);
    // The bank gives one back: the money stays in the wallet, and nothing is started anew.
    let (reference, reason) = (BankReference::parse("R-1").unwrap(), Reason::parse("card closed").unwrap());
    let told = Told::Returned { amount: None, reference, reason };
    sequencer.submit(answer(transfers[0], told), actor(None)).await.unwrap();
    let payment = store.payments(&transfers[..1]).await.unwrap().remove(0);
    assert_eq!((payment.head().state, payment.held()), (PaymentState::Returned, 0));
    let (_, head) = store.wallets(&[payment.wallet]).await.unwrap()[0];
    assert_eq!((head.held, head.choice), (0, true));
    assert_eq!(store.transfers_of_bank(bank(), false, 0, 100).await.unwrap().len(), 8);
    assert_sound(&store).await;
}

async fn an_accrual_to_a_wallet_without_a_choice_asks_and_writes_nothing_more(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    let given = people(&sequencer).await;
    made(sequencer.submit(choose(1, None, Some(given[1]), 1), actor(None)).await);
    let asked = || faulty.holders_read.load(Ordering::Relaxed);
    let (before, size) = (asked(), store.head().await.unwrap().unwrap().size);
    for person in [0, 2, 3, PEOPLE + 1] {
        made(sequencer.submit(accrue(person, "ASP", month(2), 10), actor(None)).await);
    }
    assert_eq!(asked(), before);
    assert_eq!(store.head().await.unwrap().unwrap().size, size + 5, "four accruals, one wallet opened");
    made(sequencer.submit(accrue(1, "ASP", month(2), 10), actor(None)).await);
    assert!(asked() > before, "under a choice it is asked");
    assert_eq!(store.head().await.unwrap().unwrap().size, size + 7);
}

async fn choices_and_mergings_survive_commits_that_fail(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    let given = people(&sequencer).await;
    faulty.one_in(4, 11);
    for (number, batch) in history(&given, 5, 120).chunks(12).enumerate() {
        let unsettled = at_once(&sequencer, batch.to_vec()).await;
        assert_eq!(unsettled.len(), batch.len(), "{number}");
    }
    faulty.heal();
    made(sequencer.submit(accrue(4_000, "ASP", month(1), 10), actor(None)).await);
    assert_sound(&store).await;
    assert!(count(&journal(&*store).await, "destination_chosen") > 0);
}

async fn a_command_after_a_merging_finds_the_other_wallet_also_at_once(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    let given = people(&sequencer).await;
    made(sequencer.submit(choose(1, None, Some(given[1]), 1), actor(None)).await);
    // Person 1's wallet has a choice and was paid January; nobody knew that the others' ids would lead to it.
    let commands = [
        accrue(2, "ASP", month(2), 10),
        merge(1, 2),
        accrue(2, "ASP", month(1), 10),
        accrue(2, "ASP", month(2), 10),
        accrue(2, "ASP", month(3), 10),
        add_number(1, FURTHER),
        accrue(FURTHER, "ASP", month(3), 10),
        accrue(FURTHER, "ASP", month(4), 10),
    ];
    let commands = commands.map(|command| (command, actor(None))).to_vec();
    let answers = at_once(&sequencer, commands).await;
    let made: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, true, false, false, true, true, false, true], "{answers:?}");
    // What a batch is decided by was read for the wallets that were there before it.
    let commands = [add_number(3, FURTHER + 1), accrue(FURTHER + 1, "ASP", month(1), 10)];
    let commands = commands.map(|command| (command, actor(None))).to_vec();
    let mut answers = at_once(&sequencer, commands).await;
    assert_eq!(refused_for(answers.remove(1)), RefusalCode::BenefitAlreadyPaid);
    assert!(answers[0].is_ok());
    let leaves = journal(&*store).await;
    assert_eq!(count(&leaves, "transfer_requested"), 2, "March and April are sent on");
    assert_eq!(store.leads(&[wallet(2), wallet(FURTHER)]).await.unwrap().len(), 2);
    assert_eq!(keys().wallet_id(&iin(FURTHER)), wallet(FURTHER));
    assert_sound(&store).await;
}

async fn a_reading_that_fails_half_way_is_not_believed(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let commands = [merge(1, 2), add_number(1, FURTHER)].map(|command| (command, actor(None))).to_vec();
    assert!(at_once(&sequencer, commands).await.iter().all(Result::is_ok));
    // Another writer knows neither the merged wallet nor the further number, and the database answers half of what it asks.
    let faulty = Faulty::around(store.clone());
    let other = serve(faulty.clone()).await;
    let wallets = count(&journal(&*store).await, "wallet_opened");
    for (person, month_of) in [(2, 7), (FURTHER, 8)] {
        *faulty.next_leads.lock().unwrap() = Some(StoreError::Database(sqlx::Error::PoolTimedOut));
        made(other.submit(accrue(person, "ASP", month(month_of), 10), actor(None)).await);
        assert!(faulty.next_leads.lock().unwrap().is_none(), "it was asked");
    }
    assert_eq!(count(&journal(&*store).await, "wallet_opened"), wallets, "both are of the one wallet");
    assert_sound(&store).await;
}

async fn a_transfer_that_nobody_has_been_told_of_is_unknown_and_spoils_no_batch(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    let given = people(&sequencer).await;
    made(sequencer.submit(choose(1, None, Some(given[1]), 1), actor(None)).await);
    // While one commit waits at the gate, all that is handed in gathers into the next batch.
    let (closed, arrived) = (faulty.gate.write().await, faulty.arrived());
    let first = hand_in(&sequencer, vec![(accrue(2, "ASP", month(7), 1_000), actor(None))]);
    while faulty.arrived() == arrived {
        tokio::task::yield_now().await;
    }
    let next = store.head().await.unwrap().unwrap().size + 1;
    // The accrual's transfer is the entry after it, which a bank can guess before it has been told.
    let guesses = |of: u64| {
        let answers = [of, of + 1, of + 2].map(|guess| (guess, Told::Settled, None)).to_vec();
        Command::Payment(PaymentCommand::Answer { by: Party::Bank(bank()), answers })
    };
    let commands = [
        accrue(1, "ASP", month(7), 1_000),
        guesses(next),
        accrue(3, "ASP", month(7), 1_000),
        transfer(given[4], 10),
        guesses(next + 3),
    ];
    let batch = hand_in(&sequencer, commands.map(|command| (command, actor(None))).to_vec());
    drop(closed);
    made(first.answers().await.remove(0));
    let outcomes = batch.answers().await;
    for outcome in &outcomes {
        match outcome {
            Ok(Outcome::Entry(_)) => {}
            Ok(Outcome::Answers(told)) => {
                assert_eq!(told.len(), 3);
                for told in told {
                    assert_eq!(told.as_ref().unwrap_err().code, RefusalCode::TransferUnknown);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(faulty.arrived(), arrived + 2, "one batch");
    // Once it is durable it can be answered.
    let transfers = store.transfers_of_bank(bank(), true, 0, 100).await.unwrap();
    assert_eq!(transfers, [next + 1, next + 3]);
    let Outcome::Answers(told) = sequencer.submit(guesses(next), actor(None)).await.unwrap() else {
        panic!("answers")
    };
    assert_eq!(told.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
    assert_sound(&store).await;
}

async fn what_one_writer_chose_added_and_merged_holds_for_the_other(place: &Place) {
    let [first, second] = [serve(place.open().await).await, serve(place.open().await).await];
    let store = place.open().await;
    let given = people(&first).await;
    // Both know the wallets, and that February was paid to nobody.
    for person in 0..PEOPLE {
        made(second.submit(accrue(person, "BONUS", month(1), 10), actor(None)).await);
    }
    let transfers = async || store.transfers_of_bank(bank(), false, 0, 100).await.unwrap().len();
    // What has nothing to do with them comes between: so that a writer hears of the other's entries before it is asked about them.
    let hear = async |writer: &Sequencer, number: u8| {
        made(writer.submit(accrue(5, "BONUS", month(number), 10), actor(None)).await);
    };
    made(first.submit(choose(1, None, Some(given[1]), 1), actor(None)).await);
    hear(&second, 2).await;
    made(second.submit(accrue(1, "ASP", month(2), 10), actor(None)).await);
    assert_eq!(transfers().await, 1, "the choice holds for the other writer");
    // A number that is added here leads there, also where its id was looked for in vain before.
    assert_eq!(
        refused_for(second.submit(reverse(FURTHER, "ASP", month(2)), actor(None)).await),
        RefusalCode::AccrualNotFound
    );
    made(first.submit(add_number(1, FURTHER), actor(None)).await);
    hear(&second, 3).await;
    let again = second.submit(accrue(FURTHER, "ASP", month(2), 10), actor(None)).await;
    assert_eq!(refused_for(again), RefusalCode::BenefitAlreadyPaid);
    let accrued = made(second.submit(accrue(FURTHER, "ASP", month(3), 10), actor(None)).await);
    assert_eq!(accrued.members["wallet"], wallet(1).to_string());
    assert_eq!(transfers().await, 2);
    // A wallet that is merged there leads on here, and its benefits are paid.
    made(first.submit(accrue(2, "ASP", month(4), 10), actor(None)).await);
    made(second.submit(merge(1, 2), actor(None)).await);
    hear(&first, 4).await;
    let again = first.submit(accrue(1, "ASP", month(4), 10), actor(None)).await;
    assert_eq!(refused_for(again), RefusalCode::BenefitAlreadyPaid);
    let accrued = made(first.submit(accrue(2, "ASP", month(5), 10), actor(None)).await);
    assert_eq!(accrued.members["wallet"], wallet(1).to_string());
    assert_eq!(transfers().await, 3);
    // Back to the wallet, said here, heard there.
    made(second.submit(choose(1, None, None, 2), actor(None)).await);
    hear(&first, 5).await;
    made(first.submit(accrue(2, "ASP", month(6), 10), actor(None)).await);
    assert_eq!(transfers().await, 3);
    assert_sound(&store).await;
}

async fn invariant_10_the_audit_finds_a_choice_a_lead_and_a_moved_lot_that_nobody_made(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    let given = people(&sequencer).await;
    made(sequencer.submit(choose(1, None, Some(given[1]), 1), actor(None)).await);
    made(sequencer.submit(merge(1, 2), actor(None)).await);
    assert_sound(&store).await;
    let mut raw = place.raw().await;
    let id = |byte: &str| match place {
        Place::Sqlite { .. } => format!("x'{}'", byte.repeat(16)),
        Place::Postgres { .. } => format!("'{}'", byte.repeat(16)),
    };
    for (table, sql) in [
        (
            "choice",
            "INSERT INTO choice (account, programme, seq, authorisation) VALUES (3, 0, 9, 3)".to_owned(),
        ),
        (
            "wallet_lead",
            format!("INSERT INTO wallet_lead (id, leads_to, seq) VALUES ({}, {}, 9)", id("a1"), id("a2")),
        ),
        ("moved_lot", "INSERT INTO moved_lot (account, lot, credited, seq) VALUES (3, 1, 5, 9)".to_owned()),
    ] {
        raw.run(&sql).await.unwrap();
        let report = audit(store.clone(), |_| {}).await.unwrap();
        let found = report.findings.iter().any(|finding| format!("{finding:?}").contains(table));
        assert!(found, "{table}: {:?}", report.findings);
    }
}
