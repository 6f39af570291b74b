//! Money out under contention: several writers on one store, agents that race the end of a cash-out's time, and commits that
//! fail or whose outcome is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use social_wallet::domain::{BankReference, DestinationForm, LastFour, Reason};
use social_wallet::ledger::cash_rules::Dispensed;
use social_wallet::ledger::payment::{
    CASH_TRIES_MAX, CashReference, Consent, ConsentMethod, Counted, PaymentState, Purpose, Terminal, Terms,
};
use social_wallet::ledger::payment_rules::{Answer as Told, Party};
use social_wallet::ledger::record::Actor;
use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::Clock;
use social_wallet::sequencer::command::{Command, CommandError, Outcome, PaymentCommand};
use social_wallet::sequencer::expiry::{Expiry, PORTION};
use social_wallet::store::Store;

use super::faulty::{Fate, Faulty};
use super::{
    Answer, Dice, NOW, WALLETS_MAX, accrue, actor, actor_of, assert_sound, at_once, count, furnish, hand_in,
    journal, keys, made, refused_for, reverse, serve, shown, wallet,
};
use crate::store::book::{amount, bank, month};
use crate::store::{Place, in_both_rooms};

in_both_rooms! {
    invariants_2_and_12_several_writers_answer_transfers_and_cash_once,
    a_cash_out_ends_once_whoever_comes_first,
    an_authorisation_that_nobody_has_been_told_of_is_unknown_and_spoils_no_batch,
    cash_outs_whose_time_is_over_end_in_portions_and_reserved_ones_stay,
    what_a_failed_commit_held_is_free_and_what_an_unknown_one_held_is_held_once,
    payments_through_writers_that_fail_and_restart_are_those_of_one_to_whom_nothing_happens,
}

const HOUR: i64 = 3_600_000;

const KINDS: [&str; 9] = [
    "transfer_sent",
    "transfer_unknown",
    "transfer_settled",
    "transfer_returned",
    "cash_tried",
    "cash_reserved",
    "cash_captured",
    "cash_released",
    "cash_unknown",
];

fn authorise(person: u64, cash: bool, tiyn: i64) -> Command {
    authorise_by(*uuid::Uuid::new_v4().as_bytes(), person, cash, tiyn)
}

/// An authorisation under a consent of its own.
fn authorise_by(consent: [u8; 16], person: u64, cash: bool, tiyn: i64) -> Command {
    let (form, last_four) = (DestinationForm::Card, LastFour::parse("4242").unwrap());
    let transfer = Purpose::Transfer { bank: bank(), form, last_four, destination: [6; 32] };
    let purpose = if cash { Purpose::Cash {} } else { transfer };
    let terms = Terms { purpose, ceiling: amount(tiyn), standing: true, expires: NOW + HOUR };
    let mut evidence = [5; 32];
    evidence[..16].copy_from_slice(&consent);
    let consent = Consent { method: ConsentMethod::Session, evidence, at: NOW };
    Command::Payment(PaymentCommand::Authorise {
        wallet: wallet(person),
        terms,
        consent,
        sealed_destination: vec![1],
    })
}

fn transfer(authorisation: u64, tiyn: i64) -> Command {
    let by = Party::Bank(bank());
    Command::Payment(PaymentCommand::Transfer { by, authorisation, amount: amount(tiyn) })
}

fn answer(transfer: u64, told: Told) -> Command {
    let by = Party::Bank(bank());
    Command::Payment(PaymentCommand::Answer { by, answers: vec![(transfer, told, None)] })
}

fn returned(number: u64, tiyn: Option<i64>) -> Told {
    Told::Returned {
        amount: tiyn.map(amount),
        reference: BankReference::parse(&format!("R-{number}")).unwrap(),
        reason: Reason::parse("card closed").unwrap(),
    }
}

fn reference(number: u64) -> CashReference {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    CashReference::from_bytes(bytes)
}

fn cash(authorisation: u64, tiyn: i64, number: u64) -> Command {
    let (reference, secret) = (reference(number), [1; 32]);
    Command::Payment(PaymentCommand::CreateCash {
        authorisation,
        amount: amount(tiyn),
        reference,
        secret,
        minutes: 15,
    })
}

fn redeem(number: u64, right: bool, terminal: u64) -> Command {
    let terminal = Terminal::parse(&format!("ATM-{terminal}")).unwrap();
    let (bank, reference, attempt) = (bank(), reference(number), [u8::from(right); 32]);
    Command::Payment(PaymentCommand::Redeem { bank, reference, attempt, terminal })
}

fn finish(number: u64, dispensed: Dispensed) -> Command {
    let (by, reference) = (Party::Bank(bank()), reference(number));
    Command::Payment(PaymentCommand::Finish { by, reference, dispensed, document: None })
}

async fn entry(sequencer: &Sequencer, command: Command) -> u64 {
    made(sequencer.submit(command, actor(None)).await).seq
}

/// People 0 .. 8 with 1,000 tenge each.
async fn people(sequencer: &Sequencer) {
    furnish(sequencer).await;
    for person in 0..8 {
        for (number, programme) in ["ASP", "BONUS"].into_iter().enumerate() {
            entry(sequencer, accrue(person, programme, month(u8::try_from(number + 1).unwrap()), 50_000))
                .await;
        }
    }
}

/// Two or three writers on one store, and the store.
async fn replicas(place: &Place) -> (Arc<dyn Store>, Vec<Sequencer>) {
    let number = if matches!(place, Place::Sqlite { .. }) { 2 } else { 3 };
    let mut sequencers = Vec::new();
    for _ in 0..number {
        sequencers.push(serve(place.open().await).await);
    }
    people(&sequencers[0]).await;
    (place.open().await, sequencers)
}

async fn invariants_2_and_12_several_writers_answer_transfers_and_cash_once(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let mut transfers = Vec::new();
    for person in 0..8 {
        let given = entry(&sequencers[0], authorise(person, false, 90_000)).await;
        for _ in 0..3 {
            transfers.push(entry(&sequencers[0], transfer(given, 20_000)).await);
        }
        let given = entry(&sequencers[0], authorise(person, true, 30_000)).await;
        entry(&sequencers[0], cash(given, 10_000, person)).await;
    }
    let mut tasks = Vec::new();
    for task in 0..6u64 {
        let sequencer = sequencers[usize::try_from(task).unwrap() % sequencers.len()].clone();
        let transfers = transfers.clone();
        tasks.push(tokio::spawn(async move {
            let mut dice = Dice(task + 77);
            for _ in 0..50 {
                let one = transfers[usize::try_from(dice.roll(24)).unwrap()];
                let command = match dice.roll(7) {
                    0 => answer(one, Told::Sent),
                    1 => answer(one, Told::Unknown),
                    2 => answer(one, Told::Settled),
                    3 => answer(one, returned(dice.roll(3), Some(7_000))),
                    4 => answer(one, returned(dice.roll(3), None)),
                    5 => redeem(dice.roll(8), dice.roll(3) == 0, task),
                    _ => {
                        let dispensed = [Dispensed::Captured, Dispensed::Reversed, Dispensed::Unknown];
                        finish(dice.roll(8), dispensed[usize::try_from(dice.roll(3)).unwrap()])
                    }
                };
                let outcome = sequencer.submit(command, actor(None)).await;
                let told = matches!(outcome, Ok(_) | Err(CommandError::Refused(_)));
                assert!(told, "every command is answered: {outcome:?}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // The audit replays every entry: no change was made twice, whoever made it.
    assert_sound(&store).await;
    let payments = store.payments(&transfers).await.unwrap();
    for payment in &payments {
        let settled = payment.history.iter().filter(|row| row.seq != payment.seq && row.settled > 0);
        let first = settled.clone().map(|row| row.seq).min();
        assert!(
            settled
                .filter(|row| row.state == PaymentState::Settled && row.returned == 0)
                .all(|row| Some(row.seq) == first)
        );
    }
    assert!(payments.iter().any(|payment| payment.history.len() > 3), "something was going on");
}

/// What banks say of transfers and cash-outs that stand, with what else moves the same wallets.
fn history(transfers: &[u64], given: &[u64], seed: u64) -> Vec<(Command, Actor)> {
    let mut dice = Dice(seed);
    let step = |number: u64| {
        let pick = |dice: &mut Dice, of: &[u64]| of[usize::try_from(dice.roll(of.len() as u64)).unwrap()];
        let one = pick(&mut dice, transfers);
        let programme = if dice.roll(2) == 0 { "ASP" } else { "BONUS" };
        let person = dice.roll(8);
        let period = month(u8::try_from(1 + dice.roll(5)).unwrap());
        let command = match dice.roll(12) {
            0 => answer(one, Told::Sent),
            1 => answer(one, Told::Unknown),
            2 => answer(one, Told::Settled),
            3 => answer(one, returned(dice.roll(3), Some(1 + i64::try_from(dice.roll(9_000)).unwrap()))),
            4 => {
                let told = [Told::Sent, Told::Settled, returned(dice.roll(3), None)];
                let answers = told.map(|told| (pick(&mut dice, transfers), told, None)).to_vec();
                Command::Payment(PaymentCommand::Answer { by: Party::Bank(bank()), answers })
            }
            5 | 6 => redeem(dice.roll(8), dice.roll(3) > 0, dice.roll(3)),
            7 => {
                let dispensed = [Dispensed::Captured, Dispensed::Reversed, Dispensed::Unknown];
                finish(dice.roll(8), dispensed[usize::try_from(dice.roll(3)).unwrap()])
            }
            8 if dice.roll(3) == 0 => Command::Payment(PaymentCommand::CancelCash(reference(dice.roll(8)))),
            9 => transfer(pick(&mut dice, given), 1 + i64::try_from(dice.roll(900)).unwrap()),
            10 => reverse(person, programme, period),
            _ => accrue(person, programme, period, 1 + i64::try_from(dice.roll(900)).unwrap()),
        };
        // Some come again under a key of theirs, and some under another's.
        let keyed = !matches!(&command, Command::Payment(PaymentCommand::Answer { answers, .. }) if answers.len() > 1);
        (command, actor((keyed && number.is_multiple_of(4)).then_some(number % 60)))
    };
    (0..240).map(step).collect()
}

/// People with two transfers and a cash-out each; the transfers, and the authorisations of transfers.
async fn set_up(sequencer: &Sequencer) -> (Vec<u64>, Vec<u64>) {
    people(sequencer).await;
    let (mut transfers, mut given) = (Vec::new(), Vec::new());
    for person in 0..8u64 {
        let consent = |number: u128| (u128::from(person) << 8 | number).to_be_bytes();
        given.push(entry(sequencer, authorise_by(consent(1), person, false, 90_000)).await);
        for _ in 0..2 {
            transfers.push(entry(sequencer, transfer(*given.last().unwrap(), 15_000)).await);
        }
        let promised = entry(sequencer, authorise_by(consent(2), person, true, 30_000)).await;
        entry(sequencer, cash(promised, 10_000, person)).await;
    }
    (transfers, given)
}

async fn run(place: &Place, seed: u64, together: bool) -> (Vec<Answer>, Vec<Vec<u8>>) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    let (transfers, given) = set_up(&sequencer).await;
    let mut history = history(&transfers, &given, seed);
    // The same again at the end, each under its own key.
    history.extend(history.clone().into_iter().filter(|(_, actor)| actor.instruction.is_some()));
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
async fn answers_redemptions_and_outcomes_at_once_are_what_they_are_one_by_one_and_both_stores_have_the_same_bytes()
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

/// A history of which every command can be sent again until it is answered: under a key of its own, or without need of one.
fn repeatable(transfers: &[u64], given: &[u64], seed: u64) -> Vec<(Command, Actor)> {
    let mut commands: Vec<Command> =
        history(transfers, given, seed).into_iter().map(|(command, _)| command).collect();
    for command in &mut commands {
        // Wrong codes are counted each time.
        if let Command::Payment(PaymentCommand::Redeem { attempt, .. }) = command {
            *attempt = [1; 32];
        }
    }
    let many = |command: &Command| match command {
        Command::Payment(PaymentCommand::Answer { answers, .. }) => answers.len() > 1,
        _ => false,
    };
    (0..)
        .zip(commands)
        .map(|(number, command)| {
            let key = (!many(&command)).then_some(1_000 + number);
            (command, actor(key))
        })
        .collect()
}

async fn settle(writers: &[Sequencer], first: usize, command: &Command, actor: Actor) -> Answer {
    for tried in 0..100 {
        let writer = &writers[(first + tried) % writers.len()];
        match writer.submit(command.clone(), actor).await {
            Err(CommandError::Unavailable(_) | CommandError::Busy) => {}
            answer => return answer,
        }
    }
    panic!("nobody answers {command:?}")
}

async fn payments_through_writers_that_fail_and_restart_are_those_of_one_to_whom_nothing_happens(
    place: &Place,
) {
    let seed = 21;
    let calm = Place::sqlite();
    let alone = calm.open().await;
    let sequencer = serve(alone.clone()).await;
    let (transfers, given) = set_up(&sequencer).await;
    let history = repeatable(&transfers, &given, seed);
    for (command, actor) in history.clone() {
        let answer = sequencer.submit(command, actor).await;
        assert!(matches!(answer, Ok(_) | Err(CommandError::Refused(_))), "{answer:?}");
    }
    let expected = journal(&*alone).await;

    let store = place.open().await;
    assert_eq!(set_up(&serve(store.clone()).await).await, (transfers, given));
    let writer = async |dice: u64| {
        let faulty = Faulty::around(place.open().await);
        faulty.one_in(5, dice);
        serve(faulty).await
    };
    let mut writers = vec![writer(seed).await, writer(seed + 100).await];
    let mut acknowledged = Vec::new();
    for (number, (command, actor)) in history.into_iter().enumerate() {
        let which = number % 2;
        if number % 16 == 7 && actor.instruction.is_some() {
            // A writer dies with the command in its hands: what becomes of that nobody hears. Another takes its place.
            let fresh = writer(seed + 1_000 + number as u64).await;
            let dying = std::mem::replace(&mut writers[which], fresh);
            let last = command.clone();
            let unheard = tokio::spawn(async move { drop(dying.submit(last, actor).await) });
            acknowledged.push(settle(&writers, which, &command, actor).await);
            unheard.await.unwrap();
        } else {
            acknowledged.push(settle(&writers, which, &command, actor).await);
        }
    }
    let found = journal(&*store).await;
    for (seq, (a, b)) in expected.iter().zip(&found).enumerate() {
        let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
        assert_eq!(a, b, "entry {seq}");
    }
    assert_eq!(expected.len(), found.len(), "nothing twice, nothing lost");
    for answer in acknowledged {
        if let Ok(Outcome::Entry(entry)) = answer
            && !entry.members.is_empty()
        {
            assert_eq!(entry.members, shown(&found, entry.seq).members, "what was answered stands");
        }
    }
    assert_sound(&store).await;
    calm.remove().await;
}

async fn a_cash_out_ends_once_whoever_comes_first(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let given = entry(&sequencers[0], authorise(1, true, 90_000)).await;
    for number in 0..8u64 {
        let made = entry(&sequencers[0], cash(given, 1_000, number)).await;
        let attempts = (0..15u64).map(|attempt| {
            let sequencer = sequencers[usize::try_from(attempt).unwrap() % sequencers.len()].clone();
            // The right code from several machines, wrong ones, and the channel, all at once.
            let command = match attempt % 3 {
                0 => redeem(number, true, attempt),
                1 => redeem(number, false, attempt),
                _ => Command::Payment(PaymentCommand::CancelCash(reference(number))),
            };
            async move { (attempt % 3, sequencer.submit(command, actor(None)).await) }
        });
        let outcomes = futures::future::join_all(attempts).await;
        let ended =
            |kind: u64| outcomes.iter().filter(|(of, outcome)| *of == kind && outcome.is_ok()).count();
        let (reserved, cancelled) = (ended(0), ended(2));
        let payment = store.payments(&[made]).await.unwrap().remove(0);
        let locked = payment.history.iter().any(|row| row.tries == CASH_TRIES_MAX);
        let ends = reserved + cancelled + usize::from(locked);
        assert_eq!(ends, 1, "number {number}: one agent, or the channel, or the fifth code: {outcomes:?}");
        let state = if reserved == 1 { PaymentState::Sent } else { PaymentState::Returned };
        assert_eq!(payment.head().state, state);
        assert_eq!(payment.held(), if reserved == 1 { 1_000 } else { 0 });
    }
    assert_sound(&store).await;
}

async fn an_authorisation_that_nobody_has_been_told_of_is_unknown_and_spoils_no_batch(place: &Place) {
    let store = place.open().await;
    let faulty = Faulty::around(store.clone());
    let sequencer = serve(faulty.clone()).await;
    people(&sequencer).await;
    // While one commit waits at the gate, all that is handed in gathers into the next batch.
    let (closed, arrived) = (faulty.gate.write().await, faulty.arrived());
    let first = hand_in(&sequencer, vec![(accrue(1, "ASP", month(7), 1_000), actor(None))]);
    while faulty.arrived() == arrived {
        tokio::task::yield_now().await;
    }
    let next = store.head().await.unwrap().unwrap().size + 1;
    // The number can be guessed, and is of no use before it was answered.
    let commands = [
        authorise(1, false, 90_000),
        transfer(next, 1_000),
        accrue(2, "ASP", month(7), 1_000),
        authorise(1, true, 90_000),
        cash(next + 2, 1_000, 9),
        accrue(3, "ASP", month(7), 1_000),
    ];
    let batch = hand_in(&sequencer, commands.map(|command| (command, actor(None))).to_vec());
    drop(closed);
    made(first.answers().await.remove(0));
    let outcomes = batch.answers().await;
    let made: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, false, true, true, false, true]);
    assert_eq!(faulty.arrived(), arrived + 2, "one batch");
    assert_sound(&store).await;
}

async fn cash_outs_whose_time_is_over_end_in_portions_and_reserved_ones_stay(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    // A day allows twenty payments out of one wallet: 8 people, 19 each.
    let mut number = 0;
    for person in 0..8 {
        let given = entry(&sequencer, authorise(person, true, 90_000)).await;
        for _ in 0..19 {
            entry(&sequencer, cash(given, 100, number)).await;
            number += 1;
        }
    }
    for reserved in [3, 77] {
        entry(&sequencer, redeem(reserved, true, 1)).await;
    }
    let later = || NOW + 15 * 60_000 + 1;
    let mut early = Expiry::new(store.clone(), sequencer.clone(), || NOW + 15 * 60_000);
    assert_eq!(early.look().await.unwrap(), 0, "at its last millisecond it stands");
    // Writers whose clock is past the end of their time.
    let clock = Clock::with(later);
    let (one, _) = Sequencer::start(store.clone(), keys(), clock, WALLETS_MAX).await.unwrap();
    let (other, _) =
        Sequencer::start(place.open().await, keys(), Clock::with(later), WALLETS_MAX).await.unwrap();
    let mut looks =
        [one.clone(), other].map(|sequencer| Expiry::new(store.clone(), sequencer, later)).into_iter();
    let (mut first, mut second) = (looks.next().unwrap(), looks.next().unwrap());
    let before = store.head().await.unwrap().unwrap().size;
    let (found, also) = tokio::join!(first.look(), second.look());
    assert!(found.unwrap() + also.unwrap() > PORTION as usize, "more than one portion, between them");
    let after = store.head().await.unwrap().unwrap().size;
    assert_eq!(after - before, 150, "each once, whichever replica came first; two are with an agent");
    assert_eq!(first.look().await.unwrap(), 0);
    let refused = one.submit(redeem(5, true, 1), actor(None)).await;
    assert_eq!(refused_for(refused), RefusalCode::CashEnded);
    entry(&one, finish(3, Dispensed::Captured)).await;
    assert_sound(&store).await;
}

async fn what_a_failed_commit_held_is_free_and_what_an_unknown_one_held_is_held_once(place: &Place) {
    let faulty = Faulty::around(place.open().await);
    let sequencer = serve(faulty.clone()).await;
    people(&sequencer).await;
    let given = entry(&sequencer, authorise(2, false, 90_000)).await;
    for (number, fate) in
        [Fate::Failed, Fate::UnknownMade, Fate::UnknownLost, Fate::Stale].into_iter().enumerate()
    {
        faulty.next(&[fate]);
        let key = actor_of("bank", Some(number as u64));
        let first = made(sequencer.submit(transfer(given, 1_000), key).await);
        let again = made(sequencer.submit(transfer(given, 1_000), key).await);
        assert_eq!(first.seq, again.seq, "{fate:?}");
        faulty.next(&[fate]);
        let settled = sequencer.submit(answer(first.seq, Told::Settled), actor(None)).await.unwrap();
        let Outcome::Answers(settled) = settled else { panic!("answers") };
        assert!(settled[0].is_ok(), "{fate:?}");
    }
    let store = place.open().await;
    assert_sound(&store).await;
    let known = store.authorisations(&[given]).await.unwrap().remove(0);
    assert_eq!(known.used, 4_000, "each is counted once");
    let used = store.usage(&[Counted::Wallet(3)]).await.unwrap();
    assert_eq!(used.iter().map(|row| row.amount).sum::<i64>(), 4_000);
}
