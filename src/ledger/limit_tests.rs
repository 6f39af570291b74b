//! Limits of the rules, each at its limit, below it and above it; those of orders are with the tests of orders.

use super::account::SystemAccount;
use super::batch::{LineRefusal, Verdict};
use super::batch_rules::{Chunk, ChunkLine, ChunkOutcome, People};
use super::books::{Books, NUMBERS_MAX, SUM_MAX};
use super::cash_rules::Tried;
use super::effects::Effects;
use super::payment::{Direction, Limits, Owed, Terminal};
use super::payment_rules::Answer;
use super::payment_tests::{MINUTE, World, amount, bank, code, id, reference};
use super::record::{Actor, BatchDeclaration};
use super::refusal::RefusalCode as Code;
use super::rules::{Entry, Person};
use crate::domain::time::Stamp;
use crate::domain::{
    Amount, BankReference, BatchId, Bin, ClientId, Iin, Money, Part, Period, Reason, WalletId,
};
use crate::payroll::{AccrualLine, Field, Line, LineFault, LineFaultCode, LineKind, ParsedLine};

const DAY: i64 = 24 * 60 * MINUTE;

fn money(tiyn: i64) -> Money {
    Money::from_tiyn(tiyn).unwrap()
}

fn set_limits(world: &mut World, limits: Limits) {
    world.run("operator", |books, entry| books.set_limits(entry, limits)).unwrap();
}

/// As if so much more had gone through a system account, and back: its balance stays.
fn turn_over(world: &mut World, account: SystemAccount, tiyn: i64) {
    for books in [&mut world.books, &mut world.replay.books] {
        let place = books.system_by_account[&account];
        books.system[place].debits += tiyn;
        books.system[place].credits += tiyn;
    }
}

fn turnover(world: &World, account: SystemAccount) -> (i64, i64) {
    let head = &world.books.system[world.books.system_by_account[&account]];
    (head.debits, head.credits)
}

#[test]
fn a_book_has_as_many_wallets_as_both_stores_can_number_and_no_more() {
    // Not of whole books: they have a place for every number before it.
    let mut books = Books::empty(16, false);
    let open = |books: &mut Books, person: u8| {
        let client = ClientId::parse("pipeline").unwrap();
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        let mut fx = Effects::default();
        let entry = Entry { fx: &mut fx, stamp: Stamp::of(1_795_294_280_123).unwrap(), actor };
        books.wallets.put(id(person), None);
        let opened = Person { tag: [person; 32], sealed_iin: Vec::new() };
        let ruling = books.open_wallet(entry, id(person), opened);
        (ruling.map_err(|fault| format!("{fault:?}")), fx.wallets.first().map(|wallet| wallet.account))
    };
    books.wallet_count = NUMBERS_MAX - 2;
    for (person, number) in [(0, NUMBERS_MAX - 1), (1, NUMBERS_MAX)] {
        let (ruling, account) = open(&mut books, person);
        assert!(ruling.is_ok(), "{ruling:?}");
        assert_eq!(account, Some(number));
        assert!(i32::try_from(number).is_ok(), "a column of the store has room for it");
    }
    let (ruling, account) = open(&mut books, 2);
    assert!(ruling.unwrap_err().contains("BookFull"));
    assert_eq!((account, books.wallet_count), (None, NUMBERS_MAX), "and nothing is changed");
}

fn batch(number: u8) -> BatchId {
    BatchId::parse(&uuid::Uuid::from_u128(u128::from(number)).to_string()).unwrap()
}

fn declaration(number: u8, lines: u64, total: i64, not_before: Option<i64>) -> BatchDeclaration {
    BatchDeclaration {
        batch: batch(number),
        kind: LineKind::Accrual,
        payer: Bin::parse(b"940140000385").unwrap(),
        programmes: vec![code(1)],
        periods: vec![Period::Once],
        lines,
        total: money(total),
        not_before,
        release_required: false,
    }
}

fn open(world: &mut World, declaration: BatchDeclaration) -> Result<u64, Code> {
    world.run("pipeline", |books, entry| books.open_batch(entry, declaration))
}

#[test]
fn a_book_has_as_many_batches_as_both_stores_can_number_and_no_more() {
    let mut world = World::new();
    world.books.batch_count = NUMBERS_MAX - 2;
    world.replay.books.batch_count = NUMBERS_MAX - 2;
    open(&mut world, declaration(1, 1, 1, None)).unwrap();
    open(&mut world, declaration(2, 1, 1, None)).unwrap();
    assert_eq!(world.books.batches[&batch(2)].number, NUMBERS_MAX);
    assert_eq!(open(&mut world, declaration(3, 1, 1, None)), Err(Code::BookFull));
}

struct Nobody;

impl People for Nobody {
    fn person(&self, _: &Iin, wallet: WalletId) -> Person {
        Person { tag: [wallet.uuid().as_bytes()[15]; 32], sealed_iin: Vec::new() }
    }
}

/// Sends lines of a batch; one of `None` is one whose amount cannot be read.
fn send(world: &mut World, number: u8, first_line: u64, lines: &[Option<i64>]) -> Result<ChunkOutcome, Code> {
    let lines = lines.iter().enumerate().map(|(line, tiyn)| {
        let line = first_line.saturating_add(line as u64);
        let Some(tiyn) = tiyn else {
            let fault = LineFault { code: LineFaultCode::AmountMalformed, field: Field::Amount };
            return ChunkLine { parsed: ParsedLine { line: Err(fault), amount: None }, wallet: None };
        };
        let read = AccrualLine {
            iin: Iin::parse(b"830717350867").unwrap(),
            programme: code(1),
            period: Period::Once,
            part: Part::new(u16::try_from(line % 9 + 1).unwrap()).unwrap(),
            amount: amount(*tiyn),
        };
        let parsed = ParsedLine { line: Ok(Line::Accrual(read)), amount: Some(amount(*tiyn)) };
        ChunkLine { parsed, wallet: Some(id(0)) }
    });
    let chunk = Chunk { batch: batch(number), first_line, digest: [number; 32], lines: lines.collect() };
    world.run("pipeline", |books, entry| books.receive_chunk(entry, &chunk, &Nobody))
}

#[test]
fn a_batch_takes_lines_from_its_not_before_on_and_not_a_millisecond_earlier() {
    let mut world = World::new();
    let start = world.at + 1_000;
    open(&mut world, declaration(1, 3, 3, Some(start))).unwrap();
    world.at = start - 1;
    assert_eq!(send(&mut world, 1, 1, &[Some(1)]).unwrap_err(), Code::BatchNotStarted);
    world.at = start;
    send(&mut world, 1, 1, &[Some(1)]).unwrap();
    world.at = start + 1;
    send(&mut world, 1, 2, &[Some(1)]).unwrap();
}

#[test]
fn a_batch_takes_as_many_lines_and_as_much_as_it_declared_refused_lines_included() {
    let mut world = World::new();
    open(&mut world, declaration(1, 3, 100, None)).unwrap();
    assert_eq!(send(&mut world, 1, 3, &[Some(1), Some(1)]).unwrap_err(), Code::DeclaredLinesExceeded);
    assert_eq!(send(&mut world, 1, 0, &[Some(1)]).unwrap_err(), Code::DeclaredLinesExceeded);
    assert_eq!(send(&mut world, 1, u64::MAX, &[Some(1)]).unwrap_err(), Code::DeclaredLinesExceeded);
    let first = send(&mut world, 1, 1, &[Some(60), None]).unwrap();
    let refused = LineRefusal::Fault(LineFaultCode::AmountMalformed);
    assert!(matches!(first.verdicts[1].verdict, Verdict::Refused { reason, .. } if reason == refused));
    assert_eq!(send(&mut world, 1, 3, &[Some(41)]).unwrap_err(), Code::DeclaredTotalExceeded);
    let last = send(&mut world, 1, 3, &[Some(40)]).unwrap();
    assert_eq!((last.totals.received_lines, last.totals.received_total), (3, 100));
    // One tiyn below what was declared is taken as well; it is at the close that it counts.
    open(&mut world, declaration(2, 1, 100, None)).unwrap();
    assert_eq!(send(&mut world, 2, 1, &[Some(99)]).unwrap().totals.received_total, 99);
}

#[test]
fn what_goes_out_to_a_bank_may_reach_the_largest_sum_and_not_pass_it() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 1_000).unwrap();
    let authorisation = world.authorise(0, false, 0, 1_000, true).unwrap();
    let owed = SystemAccount::Clearing(bank(0));
    let first = world.transfer(authorisation, 100).unwrap();
    world.answer(first, &Answer::Settled).unwrap();
    turn_over(&mut world, owed, SUM_MAX - 400);
    let [below, above, at] = [299, 2, 1].map(|tiyn| world.transfer(authorisation, tiyn).unwrap());
    world.answer(below, &Answer::Settled).unwrap();
    assert_eq!(turnover(&world, owed).1, SUM_MAX - 1);
    assert_eq!(world.answer(above, &Answer::Settled), Err(Code::SumTooLarge));
    world.answer(at, &Answer::Settled).unwrap();
    assert_eq!(turnover(&world, owed).1, SUM_MAX);
    assert_eq!(world.answer(above, &Answer::Settled), Err(Code::SumTooLarge));
    // It is not lost: it is held, and goes back.
    let reason = Reason::parse("card closed").unwrap();
    let back = Answer::Returned { amount: None, reference: BankReference::parse("R-1").unwrap(), reason };
    world.answer(above, &back).unwrap();
    world.check();
}

#[test]
fn what_comes_in_from_banks_may_reach_the_largest_sum_and_not_pass_it() {
    let mut world = World::new();
    let backing = turnover(&world, SystemAccount::Backing).0;
    turn_over(&mut world, SystemAccount::Backing, SUM_MAX - backing - 10);
    let mut number = 0;
    let mut receive = |world: &mut World, tiyn| {
        number += 1;
        let named = BankReference::parse(&format!("N-{number}")).unwrap();
        world
            .run("operator", |books, entry| {
                books.settle_clearing(
                    entry,
                    bank(0),
                    Owed::Clearing,
                    Direction::Received,
                    amount(tiyn),
                    named,
                )
            })
            .map(drop)
    };
    receive(&mut world, 9).unwrap();
    assert_eq!(receive(&mut world, 2), Err(Code::SumTooLarge));
    receive(&mut world, 1).unwrap();
    assert_eq!(turnover(&world, SystemAccount::Backing).0, SUM_MAX);
    assert_eq!(receive(&mut world, 1), Err(Code::SumTooLarge));
}

#[test]
fn a_channel_starts_so_many_payments_of_its_own_on_a_day() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 1_000).unwrap();
    world.accrue(1, 1, 0, 1_000).unwrap();
    set_limits(&mut world, Limits { channel_day_count: 3, ..Limits::DEFAULT });
    let [first, second] = [0, 1].map(|person| world.authorise(person, false, 0, 1_000, true).unwrap());
    for authorisation in [first, second, first] {
        world.transfer(authorisation, 1).unwrap();
    }
    assert_eq!(world.transfer(second, 1), Err(Code::ChannelLimitExceeded));
    world.at += DAY;
    let again = world.authorise(1, false, 0, 1_000, true).unwrap();
    world.transfer(again, 1).unwrap();
}

/// Tries a wrong code at a bank's terminal.
fn try_wrong(world: &mut World, by: u8, terminal: &str, number: u64) -> Result<(), Code> {
    let terminal = Terminal::parse(terminal).unwrap();
    let tried = world.run("bank", |books, entry| {
        books.redeem_cash(entry, bank(by), reference(number), &[0; 32], terminal)
    })?;
    assert!(matches!(tried, Tried::Wrong(_)));
    Ok(())
}

/// A bank and its terminal.
type At = (u8, &'static str);

#[test]
fn wrong_codes_are_counted_by_terminal_by_bank_and_everywhere_each_by_itself() {
    let few = |terminal, bank, all| Limits {
        tries_terminal_day: terminal,
        tries_bank_day: bank,
        tries_day: all,
        ..Limits::DEFAULT
    };
    let exceeded = Err(Code::CashTriesExceeded);
    // Limits; tries (bank, terminal) that are let through; and then those that are not and those that still are.
    let cases: [(Limits, &[At], At, Option<At>); 3] = [
        (few(3, 99, 99), &[(0, "A"), (0, "A"), (0, "B"), (0, "A")], (0, "A"), Some((1, "A"))),
        (few(99, 3, 99), &[(0, "A"), (0, "B"), (1, "A"), (0, "C")], (0, "D"), Some((1, "B"))),
        (few(99, 99, 3), &[(0, "A"), (1, "B"), (0, "C")], (1, "D"), None),
    ];
    for (limits, through, stopped, still) in cases {
        let mut world = World::new();
        world.accrue(0, 1, 0, 1_000).unwrap();
        set_limits(&mut world, limits);
        // Each code is tried once: its own limit is another.
        for number in 1..=7 {
            let promise = world.authorise(0, true, 0, 1, false).unwrap();
            world.cash(promise, 1, number).unwrap();
        }
        for (number, (by, terminal)) in (1..).zip(through) {
            try_wrong(&mut world, *by, terminal, number).unwrap();
        }
        assert_eq!(try_wrong(&mut world, stopped.0, stopped.1, 6), exceeded, "{limits:?}");
        if let Some((by, terminal)) = still {
            try_wrong(&mut world, by, terminal, 7).unwrap();
        }
        world.at += DAY;
        let promise = world.authorise(0, true, 0, 1, false).unwrap();
        world.cash(promise, 1, 8).unwrap();
        try_wrong(&mut world, stopped.0, stopped.1, 8).unwrap();
    }
}

#[test]
fn a_cash_code_is_good_to_the_millisecond_at_which_it_expires() {
    for (late, expected) in [(-1, Ok(())), (0, Ok(())), (1, Err(Code::CashEnded))] {
        let mut world = World::new();
        world.accrue(0, 1, 0, 1_000).unwrap();
        let promise = world.authorise(0, true, 0, 100, false).unwrap();
        world.cash(promise, 100, 1).unwrap();
        world.at += 30 * MINUTE + late;
        assert_eq!(world.redeem(0, 1, true).map(drop), expected, "{late} ms");
    }
}

#[test]
fn the_largest_amount_is_paid_and_moved_as_any_other() {
    let mut world = World::new();
    let most = Amount::MAX.tiyn();
    for number in 0..2 {
        let named = BankReference::parse(&format!("more {number}")).unwrap();
        world.run("operator", |books, entry| books.fund(entry, code(1), Amount::MAX, named)).unwrap();
        world.accrue(0, 1, number, most).unwrap();
    }
    let limits =
        Limits { wallet_day_amount: money(SUM_MAX), channel_day_amount: money(SUM_MAX), ..Limits::DEFAULT };
    set_limits(&mut world, limits);
    for number in 0..2 {
        let authorisation = world.authorise(0, false, number, most, false).unwrap();
        let transfer = world.transfer(authorisation, most).unwrap();
        world.answer(transfer, &Answer::Settled).unwrap();
    }
    assert_eq!(world.lots(0), [(0, 0), (0, 0)]);
    world.check();
}
