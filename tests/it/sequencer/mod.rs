//! The one writer: what it promises, held on both stores, alone and beside other writers, over stores that fail.

mod bounds;
mod choices;
mod equivalence;
mod faults;
pub mod faulty;
mod instructions;
pub mod orders;
mod payments;
mod pipeline;
pub mod registry;
mod replicas;
mod trust;

use std::sync::{Arc, LazyLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use social_wallet::audit::audit;
use social_wallet::domain::{
    Amount, BankReference, Bin, FundClass, Iin, Part, Period, ProgrammeCode, Reason, WalletId,
};
use social_wallet::keys::BookKeys;
use social_wallet::ledger::batch_rules::{Chunk, ChunkLine, ChunkOutcome};
use social_wallet::ledger::record::{Actor, BatchDeclaration};
use social_wallet::ledger::refusal::{Refusal, RefusalCode};
use social_wallet::ledger::rules::{Accrual, Reversal};
use social_wallet::log::merkle::leaf_hash;
use social_wallet::log::tile::BundleEntries;
use social_wallet::payroll::{AccrualLine, Field, Line, LineFault, LineFaultCode, LineKind, ParsedLine};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::Clock;
use social_wallet::sequencer::command::{Command, CommandError, EntryView, Outcome};
use social_wallet::store::Store;

use crate::store::book::{amount, bank, batch_id, book_id, client, code, month, spec};

/// What the clock says, always.
pub const NOW: i64 = 1_790_000_000_000;

/// Heads of wallets in memory, unless a test is about their number.
pub const WALLETS_MAX: usize = 1_000_000;

pub type Answer = Result<Outcome, CommandError>;

pub fn keys() -> Arc<BookKeys> {
    static KEYS: LazyLock<Arc<BookKeys>> =
        LazyLock::new(|| Arc::new(BookKeys::new(book_id(), [1; 32], [2; 32], [3; 32], [4; 32])));
    Arc::clone(&KEYS)
}

/// Starts a writer whose clock stands still.
pub async fn serve(store: Arc<dyn Store>) -> Sequencer {
    store.create_book(book_id()).await.unwrap();
    let clock = Clock::with(|| NOW);
    Sequencer::start(store, keys(), clock, WALLETS_MAX).await.unwrap().0
}

/// A reproducible source of choices.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// A number from 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % sides
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.roll(last as u64 + 1)).unwrap();
            items.swap(last, other);
        }
    }
}

/// The person of a number below 50,000.
pub fn iin(person: u64) -> Iin {
    static PEOPLE: LazyLock<Vec<Iin>> = LazyLock::new(|| {
        let digit = |number: u64, place: u32| u8::try_from(number / 10u64.pow(place) % 10).unwrap();
        let prefix = |number: u64| {
            let (day, serial) = (number / 10_000 + 11, number % 10_000);
            let mut prefix = [8, 3, 0, 7, digit(day, 1), digit(day, 0), 3, 0, 0, 0, 0];
            (0..4).for_each(|place| prefix[10 - place as usize] = digit(serial, place));
            prefix
        };
        (0..60_000).filter_map(|number| Iin::from_prefix(prefix(number))).take(50_000).collect()
    });
    PEOPLE[usize::try_from(person).unwrap()]
}

pub fn wallet(person: u64) -> WalletId {
    keys().wallet_id(&iin(person))
}

pub fn payer() -> Bin {
    Bin::parse(b"940140000385").unwrap()
}

pub fn actor_of(name: &str, instruction: Option<u64>) -> Actor {
    let id = |number: u64| {
        let mut id = [0xAB; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    };
    Actor { client: client(name), request: [5; 32], line: None, instruction: instruction.map(id) }
}

/// The ministry, with an instruction id or none.
pub fn actor(instruction: Option<u64>) -> Actor {
    actor_of("ministry", instruction)
}

pub fn register(programme: &str, class: FundClass) -> Command {
    Command::RegisterProgramme(Box::new(spec(programme, class)))
}

pub fn fund(programme: &str, tiyn: i64, reference: &str) -> Command {
    let bank_reference = BankReference::parse(reference).unwrap();
    Command::Fund { programme: code(programme), amount: amount(tiyn), bank_reference }
}

pub fn open(person: u64) -> Command {
    Command::OpenWallet { iin: iin(person), wallet: wallet(person) }
}

pub fn accrue(person: u64, programme: &str, period: Period, tiyn: i64) -> Command {
    accrue_part(person, programme, period, Part::FIRST, tiyn)
}

pub fn accrue_part(person: u64, programme: &str, period: Period, part: Part, tiyn: i64) -> Command {
    let (wallet, programme) = (wallet(person), code(programme));
    let accrual = Accrual { wallet, programme, period, part, amount: amount(tiyn) };
    Command::Accrue { accrual, iin: iin(person), payer: payer() }
}

pub fn reverse(person: u64, programme: &str, period: Period) -> Command {
    let (wallet, programme, part) = (wallet(person), code(programme), Part::FIRST);
    let reason = Reason::parse("paid by mistake").unwrap();
    Command::Reverse { reversal: Reversal { wallet, programme, period, part, reason }, payer: payer() }
}

pub fn pay_out(person: u64, tiyn: i64) -> Command {
    Command::PayOut { wallet: wallet(person), bank: bank(), amount: amount(tiyn) }
}

pub fn give_back(pay_out: u64, tiyn: i64) -> Command {
    Command::Return { pay_out, amount: amount(tiyn) }
}

/// A payroll: who is on which of its lines is told by its number.
#[derive(Clone, Copy)]
pub struct Payroll {
    pub number: u128,
    pub lines: u64,
    /// How many people there are; fewer than lines, and some are paid the same benefit twice.
    pub people: u64,
    pub month: u8,
    /// Whether some lines are bad.
    pub faults: bool,
}

impl Payroll {
    pub fn of(number: u128, lines: u64, people: u64, month: u8) -> Self {
        Self { number, lines, people, month, faults: true }
    }

    pub fn clean(self) -> Self {
        Self { faults: false, ..self }
    }

    pub fn line(&self, line: u64) -> ChunkLine {
        let person = (line * 7_919 + u64::try_from(self.number).unwrap() * 104_729) % self.people;
        let programme: ProgrammeCode =
            code(if self.faults && line.is_multiple_of(41) { "BONUS" } else { "ASP" });
        let sum: Amount = amount(1_000 + i64::try_from(line % 7).unwrap());
        if self.faults && line.is_multiple_of(37) {
            let fault = LineFault { code: LineFaultCode::IinCheckDigit, field: Field::Iin };
            return ChunkLine { parsed: ParsedLine { line: Err(fault), amount: Some(sum) }, wallet: None };
        }
        let (period, part) = (month(self.month), Part::FIRST);
        let read = Line::Accrual(AccrualLine { iin: iin(person), programme, period, part, amount: sum });
        ChunkLine { parsed: ParsedLine { line: Ok(read), amount: Some(sum) }, wallet: Some(wallet(person)) }
    }

    fn total(&self) -> i64 {
        (1..=self.lines).map(|line| 1_000 + i64::try_from(line % 7).unwrap()).sum()
    }

    pub fn open(&self) -> Command {
        Command::OpenBatch(Box::new(BatchDeclaration {
            batch: batch_id(self.number),
            kind: LineKind::Accrual,
            payer: payer(),
            programmes: vec![code("ASP")],
            periods: vec![month(self.month)],
            lines: self.lines,
            total: social_wallet::domain::Money::from_tiyn(self.total()).unwrap(),
            not_before: None,
            release_required: false,
        }))
    }

    pub fn chunk(&self, first_line: u64, lines: u64) -> Command {
        let last = (first_line + lines - 1).min(self.lines);
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&first_line.to_be_bytes());
        digest[8..16].copy_from_slice(&last.to_be_bytes());
        digest[16..].copy_from_slice(&self.number.to_be_bytes());
        let lines = (first_line..=last).map(|line| self.line(line)).collect();
        Command::Chunk(Box::new(Chunk { batch: batch_id(self.number), first_line, digest, lines }))
    }

    pub fn chunks(&self, of: u64) -> Vec<Command> {
        (0..self.lines.div_ceil(of)).map(|place| self.chunk(1 + place * of, of)).collect()
    }

    pub fn close(&self) -> Command {
        Command::CloseBatch(batch_id(self.number))
    }
}

/// Registers ASP (protected) and BONUS (general), and gives them money.
pub async fn furnish(sequencer: &Sequencer) {
    for (programme, class) in [("ASP", FundClass::Protected), ("BONUS", FundClass::General)] {
        made(sequencer.submit(register(programme, class), actor(None)).await);
        let reference = format!("first-{programme}");
        made(sequencer.submit(fund(programme, 1_000_000_000_000, &reference), actor(None)).await);
    }
}

/// The entry that a command made.
pub fn made(answer: Answer) -> EntryView {
    match answer.unwrap() {
        Outcome::Entry(view) => view,
        _ => panic!("another outcome than an entry"),
    }
}

pub fn judged(answer: Answer) -> ChunkOutcome {
    match answer.unwrap() {
        Outcome::Chunk(outcome) => outcome,
        _ => panic!("another outcome than a chunk's"),
    }
}

/// The refusal of a command.
pub fn refused(answer: Answer) -> Refusal {
    match answer {
        Err(CommandError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn refused_for(answer: Answer) -> RefusalCode {
    refused(answer).code
}

/// Commands that have been handed in.
pub struct UnderWay<'a>(Vec<(Option<Answer>, BoxFuture<'a, Answer>)>);

/// Hands commands in, in this order, without waiting.
pub fn hand_in(sequencer: &Sequencer, commands: Vec<(Command, Actor)>) -> UnderWay<'_> {
    let hand_in = |(command, actor)| {
        let mut submission = sequencer.submit(command, actor).boxed();
        // The first poll puts it into the queue.
        ((&mut submission).now_or_never(), submission)
    };
    UnderWay(commands.into_iter().map(hand_in).collect())
}

impl UnderWay<'_> {
    pub async fn answers(self) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(self.0.len());
        for (ready, submission) in self.0 {
            answers.push(match ready {
                Some(answer) => answer,
                None => submission.await,
            });
        }
        answers
    }
}

/// Hands commands in all at once, in this order; their answers.
pub async fn at_once(sequencer: &Sequencer, commands: Vec<(Command, Actor)>) -> Vec<Answer> {
    hand_in(sequencer, commands).answers().await
}

/// The leaves of the journal, in order.
pub async fn journal(store: &dyn Store) -> Vec<Vec<u8>> {
    let size = store.head().await.unwrap().unwrap().size;
    let mut leaves = Vec::new();
    while (leaves.len() as u64) < size {
        for bundle in store.bundles(leaves.len() as u64, 64).await.unwrap() {
            assert_eq!(bundle.first, leaves.len() as u64);
            leaves.extend(BundleEntries::new(&bundle.bytes).map(|leaf| leaf.unwrap().to_vec()));
        }
    }
    assert_eq!(leaves.len() as u64, size);
    leaves
}

/// The members of a leaf and its hash, as an answer shows them.
pub fn shown(leaves: &[Vec<u8>], seq: u64) -> EntryView {
    let leaf = &leaves[usize::try_from(seq).unwrap()];
    let view = EntryView::of_leaf(seq, serde_json::from_slice(leaf).unwrap(), false);
    EntryView { leaf_hash: Some(leaf_hash(leaf)), ..view }
}

/// How many entries there are of a kind.
pub fn count(leaves: &[Vec<u8>], kind: &str) -> usize {
    let kind = format!("\"kind\":\"{kind}\"");
    leaves.iter().filter(|leaf| String::from_utf8_lossy(leaf).contains(&kind)).count()
}

/// Invariants 1, 2, 3, 8 and 10: the journal replays through the rules, and every projection is what the replay gives.
pub async fn assert_sound(store: &Arc<dyn Store>) {
    let report = audit(Arc::clone(store), |_| {}).await.unwrap();
    assert!(report.matches(), "{:#?}", report.findings);
    assert_eq!(report.debit, report.credit);
}
