//! A batch gives exactly the journal that its commands would give one by one, and both stores give the same.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use social_wallet::domain::FundClass;
use social_wallet::ledger::record::Actor;
use social_wallet::sequencer::command::{Command, Outcome};

use super::{
    Answer, Payroll, accrue, actor, actor_of, assert_sound, at_once, fund, furnish, give_back, journal, open,
    pay_out, register, reverse, serve,
};
use crate::store::Place;
use crate::store::book::{batch_id, month};

/// A command of a small alphabet, so that collisions are common.
#[derive(Clone, Debug)]
enum Step {
    Register(u8),
    Fund { programme: u8, tiyn: i64, reference: u8 },
    Open(u64),
    Accrue { person: u64, programme: u8, month: u8, tiyn: i64 },
    Reverse { person: u64, programme: u8, month: u8 },
    PayOut { person: u64, tiyn: i64 },
    Return { pay_out: usize, tiyn: i64 },
    OpenBatch(u128),
    Chunk { batch: u128, place: u64 },
    CloseBatch(u128),
    CancelBatch(u128),
}

const PROGRAMMES: [(&str, FundClass); 3] =
    [("ASP", FundClass::Protected), ("BONUS", FundClass::General), ("LATE", FundClass::General)];

fn step() -> impl Strategy<Value = Step> {
    let person = 0u64..12;
    let programme = 0u8..3;
    prop_oneof![
        1 => programme.clone().prop_map(Step::Register),
        2 => (programme.clone(), 1i64..40_000, 0u8..30)
            .prop_map(|(programme, tiyn, reference)| Step::Fund { programme, tiyn, reference }),
        2 => person.clone().prop_map(Step::Open),
        8 => (person.clone(), programme.clone(), 1u8..5, 1i64..900)
            .prop_map(|(person, programme, month, tiyn)| Step::Accrue { person, programme, month, tiyn }),
        3 => (person.clone(), programme, 1u8..5)
            .prop_map(|(person, programme, month)| Step::Reverse { person, programme, month }),
        5 => (person, 1i64..900).prop_map(|(person, tiyn)| Step::PayOut { person, tiyn }),
        4 => (0usize..20, 1i64..500).prop_map(|(pay_out, tiyn)| Step::Return { pay_out, tiyn }),
        2 => (1u128..4).prop_map(Step::OpenBatch),
        9 => (1u128..4, 0u64..4).prop_map(|(batch, place)| Step::Chunk { batch, place }),
        1 => (1u128..4).prop_map(Step::CloseBatch),
        1 => (3u128..4).prop_map(Step::CancelBatch),
    ]
}

/// The first two are large enough to be decided while another commit is under way.
fn payroll(number: u128) -> Payroll {
    match number {
        3 => Payroll::of(number, 80, 50, 9),
        _ => Payroll::of(number, 8_800, 7_000, 9),
    }
}

fn command(step: &Step, pay_outs: &[u64]) -> Command {
    let name = |programme: u8| PROGRAMMES[programme as usize].0;
    match *step {
        Step::Register(programme) => register(name(programme), PROGRAMMES[programme as usize].1),
        Step::Fund { programme, tiyn, reference } => fund(name(programme), tiyn, &format!("ref-{reference}")),
        Step::Open(person) => open(person),
        Step::Accrue { person, programme, month: number, tiyn } => {
            accrue(person, name(programme), month(number), tiyn)
        }
        Step::Reverse { person, programme, month: number } => reverse(person, name(programme), month(number)),
        Step::PayOut { person, tiyn } => pay_out(person, tiyn),
        Step::Return { pay_out, tiyn } => {
            give_back(pay_outs.get(pay_out).copied().unwrap_or(u64::from(u32::MAX)), tiyn)
        }
        Step::OpenBatch(number) => payroll(number).open(),
        Step::Chunk { batch, place } => {
            let of = payroll(batch).lines / 4;
            payroll(batch).chunk(1 + place * of, of)
        }
        Step::CloseBatch(number) => payroll(number).close(),
        Step::CancelBatch(number) => Command::CancelBatch(batch_id(number)),
    }
}

/// A step and, for some, an instruction id that others bear too. Chunks and batches have none.
fn keyed() -> impl Strategy<Value = (Step, Option<u64>)> {
    (step(), prop::option::weighted(0.3, 0u64..40)).prop_map(|(step, key)| match step {
        Step::OpenBatch(_) | Step::Chunk { .. } | Step::CloseBatch(_) | Step::CancelBatch(_) => (step, None),
        _ => (step, key),
    })
}

type History = Vec<(Command, Actor)>;

/// Runs steps one after another. The commands that they were, their answers, the journal.
async fn one_by_one(place: &Place, steps: &[(Step, Option<u64>)]) -> (History, Vec<Answer>, Vec<Vec<u8>>) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let (mut history, mut answers, mut pay_outs) = (Vec::new(), Vec::new(), Vec::new());
    for (step, key) in steps {
        let command = command(step, &pay_outs);
        let actor = actor(*key);
        let answer = sequencer.submit(command.clone(), actor).await;
        if let (Step::PayOut { .. }, Ok(Outcome::Entry(entry))) = (step, &answer) {
            pay_outs.push(entry.seq);
        }
        history.push((command, actor));
        answers.push(answer);
    }
    assert_sound(&store).await;
    (history, answers, journal(&*store).await)
}

/// Runs the commands handed in all at once.
async fn together(place: &Place, history: &History) -> (Vec<Answer>, Vec<Vec<u8>>) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let answers = at_once(&sequencer, history.clone()).await;
    assert_sound(&store).await;
    (answers, journal(&*store).await)
}

fn assert_same(expected: &(Vec<Answer>, Vec<Vec<u8>>), found: &(Vec<Answer>, Vec<Vec<u8>>), how: &str) {
    for (place, (a, b)) in expected.0.iter().zip(&found.0).enumerate() {
        assert_eq!(a, b, "{how}: the answer to command {place}");
    }
    for (seq, (a, b)) in expected.1.iter().zip(&found.1).enumerate() {
        assert_eq!(String::from_utf8_lossy(a), String::from_utf8_lossy(b), "{how}: entry {seq}");
    }
    assert_eq!(expected.1.len(), found.1.len(), "{how}: the number of entries");
}

async fn compare(steps: Vec<(Step, Option<u64>)>) {
    let places = [Place::sqlite(), Place::sqlite(), Place::postgres().await, Place::postgres().await];
    let [alone, batched, alone_there, batched_there] = &places;
    let (history, answers, leaves) = one_by_one(alone, &steps).await;
    let expected = (answers, leaves);
    let (_, answers, leaves) = one_by_one(alone_there, &steps).await;
    assert_same(&expected, &(answers, leaves), "one by one on PostgreSQL");
    assert_same(&expected, &together(batched, &history).await, "at once on SQLite");
    assert_same(&expected, &together(batched_there, &history).await, "at once on PostgreSQL");
    for place in places {
        place.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_gives_the_journal_and_the_answers_of_its_commands_one_by_one_and_both_stores_the_same_bytes()
{
    let mut runner = TestRunner::deterministic();
    let history = prop::collection::vec(keyed(), 250..300);
    let cases = Config::default().cases.min(4);
    for _ in 0..cases {
        let mut steps = history.new_tree(&mut runner).unwrap().current();
        // Every history has chunks that overtake one another.
        for (at, batch) in [(0, 1), (1, 2)] {
            steps.insert(at, (Step::OpenBatch(batch), None));
        }
        compare(steps).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_opened_credited_and_paid_out_in_one_batch_is_what_it_is_one_by_one() {
    let steps = vec![
        (Step::Register(2), None),
        (Step::Fund { programme: 2, tiyn: 1_000, reference: 1 }, None),
        (Step::Open(1), None),
        (Step::Accrue { person: 1, programme: 2, month: 1, tiyn: 300 }, None),
        (Step::Accrue { person: 1, programme: 2, month: 1, tiyn: 300 }, None),
        (Step::PayOut { person: 1, tiyn: 100 }, None),
        (Step::Reverse { person: 1, programme: 2, month: 1 }, None),
        (Step::Reverse { person: 1, programme: 2, month: 1 }, None),
        (Step::Return { pay_out: 0, tiyn: 60 }, None),
        (Step::Reverse { person: 1, programme: 2, month: 1 }, None),
        (Step::OpenBatch(3), None),
        (Step::Chunk { batch: 3, place: 0 }, None),
        (Step::Chunk { batch: 3, place: 0 }, None),
        (Step::CloseBatch(3), None),
    ];
    compare(steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_tells_what_the_journal_holds() {
    let place = Place::sqlite();
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    furnish(&sequencer).await;
    let commands = (0..50).map(|person| (accrue(person, "ASP", month(1), 100), actor_of("other", None)));
    let answers = at_once(&sequencer, commands.collect()).await;
    let leaves = journal(&*store).await;
    for answer in answers {
        let entry = super::made(answer);
        assert_eq!(entry, super::shown(&leaves, entry.seq));
    }
}
