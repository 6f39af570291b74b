//! Random histories against a small obvious model, and their replay.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::account::SystemAccount;
use super::books::{Books, Fault};
use super::effects::Effects;
use super::record::{Actor, ProgrammeSpec};
use super::refusal::RefusalCode as Code;
use super::replay::Replay;
use super::rules::{Accrual, Entry, Person, Reversal};
use super::wallet::{EntryKind, Wallet};
use crate::domain::time::Stamp;
use crate::domain::{
    Amount, BankReference, Bic, Bin, ClientId, FundClass, LegalBasis, Names, Part, Period, ProgrammeCode,
    Reason, Text, WalletId,
};

const PROGRAMMES: [(&str, FundClass); 3] =
    [("ASP", FundClass::Protected), ("BIRTH", FundClass::Protected), ("BONUS", FundClass::General)];

/// A command of the model's alphabet: small numbers, so that collisions are common.
#[derive(Clone, Debug)]
enum Step {
    Register(usize),
    Fund { programme: usize, amount: i64, reference: u8 },
    Open(u8),
    Accrue { person: u8, programme: usize, period: u8, part: u16, amount: i64 },
    Reverse { person: u8, programme: usize, period: u8, part: u16 },
    PayOut { person: u8, amount: i64 },
    Return { pay_out: usize, amount: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let person = 0u8..4;
    let programme = 0usize..3;
    prop_oneof![
        1 => programme.clone().prop_map(Step::Register),
        2 => (programme.clone(), 1i64..5_000, 0u8..20)
            .prop_map(|(programme, amount, reference)| Step::Fund { programme, amount, reference }),
        1 => person.clone().prop_map(Step::Open),
        8 => (person.clone(), programme.clone(), 1u8..5, 1u16..3, 1i64..900)
            .prop_map(|(person, programme, period, part, amount)| Step::Accrue { person, programme, period, part, amount }),
        2 => (person.clone(), programme, 1u8..5, 1u16..3)
            .prop_map(|(person, programme, period, part)| Step::Reverse { person, programme, period, part }),
        4 => (person, 1i64..900).prop_map(|(person, amount)| Step::PayOut { person, amount }),
        3 => (0usize..8, 1i64..600).prop_map(|(pay_out, amount)| Step::Return { pay_out, amount }),
    ]
}

fn code(programme: usize) -> ProgrammeCode {
    ProgrammeCode::parse(PROGRAMMES[programme].0.as_bytes()).unwrap()
}

fn id(person: u8) -> WalletId {
    WalletId::from_uuid(uuid::Uuid::from_u128(u128::from(person) + 1))
}

fn period(number: u8) -> Period {
    Period::parse(format!("2026-{number:02}").as_bytes()).unwrap()
}

fn spec(programme: usize) -> ProgrammeSpec {
    let name = Text::parse(PROGRAMMES[programme].0).unwrap();
    ProgrammeSpec {
        code: code(programme),
        names: Names { kk: name.clone(), ru: name.clone(), en: name },
        payer: Bin::parse(b"940140000385").unwrap(),
        legal_basis: LegalBasis::parse("Social Code").unwrap(),
        class: PROGRAMMES[programme].1,
        knp: None,
        kbe: None,
        iso_purpose: None,
    }
}

fn amount(tiyn: i64) -> Amount {
    Amount::from_tiyn(tiyn).unwrap()
}

/// The rules, driven by steps.
struct Real {
    books: Books,
    fx: Effects,
    at: i64,
    pay_outs: Vec<u64>,
}

impl Real {
    fn new() -> Self {
        let mut real = Self { books: Books::whole(), fx: Effects::default(), at: 0, pay_outs: Vec::new() };
        let (stamp, actor) = (Stamp::of(0).unwrap(), actor());
        real.books.open_book(Entry { fx: &mut real.fx, stamp, actor });
        real
    }

    fn run(&mut self, step: &Step) -> Result<(), Code> {
        self.at += 1_000;
        let (stamp, actor) = (Stamp::of(self.at).unwrap(), actor());
        let before = (self.books.size, self.fx.clone());
        let entry = Entry { fx: &mut self.fx, stamp, actor };
        let books = &mut self.books;
        let nobody = |person: u8| Person { tag: [person; 32], sealed_iin: vec![1, 2, 3] };
        let ruling = match step {
            Step::Register(programme) => books.register_programme(entry, spec(*programme)),
            Step::Fund { programme, amount: tiyn, reference } => {
                let reference = BankReference::parse(&format!("ref-{reference}")).unwrap();
                books.fund(entry, code(*programme), amount(*tiyn), reference)
            }
            Step::Open(person) => books.open_wallet(entry, id(*person), nobody(*person)),
            Step::Accrue { person, programme, period: month, part, amount: tiyn } => {
                let accrual = Accrual {
                    wallet: id(*person),
                    programme: code(*programme),
                    period: period(*month),
                    part: Part::new(*part).unwrap(),
                    amount: amount(*tiyn),
                };
                books.accrue(entry, &accrual, None, None, Some(&|| nobody(*person)))
            }
            Step::Reverse { person, programme, period: month, part } => {
                let reversal = Reversal {
                    wallet: id(*person),
                    programme: code(*programme),
                    period: period(*month),
                    part: Part::new(*part).unwrap(),
                    reason: Reason::parse("paid by mistake").unwrap(),
                };
                books.reverse(entry, &reversal, None, None)
            }
            Step::PayOut { person, amount: tiyn } => {
                let bank = Bic::parse(b"CASPKZKA").unwrap();
                let made = books.pay_out(entry, id(*person), bank, amount(*tiyn));
                self.pay_outs.extend(made.iter().copied());
                made
            }
            Step::Return { pay_out, amount: tiyn } => {
                let seq = self.pay_outs.get(*pay_out).copied().unwrap_or(u64::MAX);
                books.return_credit(entry, seq, amount(*tiyn))
            }
        };
        match ruling {
            Ok(_) => Ok(()),
            Err(Fault::Refused(refusal)) => {
                assert_eq!((self.books.size, &self.fx), (before.0, &before.1), "a refusal changes nothing");
                Err(refusal.code)
            }
            Err(fault) => panic!("whole books hold everything: {fault:?}"),
        }
    }

    fn balance(&self, account: SystemAccount) -> i64 {
        let accounts = self.books.system_accounts();
        accounts.iter().find(|head| head.account == account).map_or(0, super::books::SystemHead::balance)
    }
}

fn actor() -> Actor {
    Actor { client: ClientId::parse("test").unwrap(), request: [5; 32], line: None, instruction: None }
}

/// The same in the plainest way: lists of lots and sums.
#[derive(Default)]
struct Model {
    registered: Vec<usize>,
    funded: BTreeMap<usize, i64>,
    references: Vec<u8>,
    wallets: BTreeMap<u8, Vec<ModelLot>>,
    pay_outs: Vec<(u8, Vec<(usize, i64)>)>,
    clearing: i64,
}

struct ModelLot {
    key: (usize, u8, u16),
    general: bool,
    amount: i64,
    left: i64,
}

impl Model {
    fn run(&mut self, step: &Step) -> Result<(), Code> {
        match *step {
            Step::Register(programme) => {
                if self.registered.contains(&programme) {
                    return Err(Code::ProgrammeExists);
                }
                self.registered.push(programme);
            }
            Step::Fund { programme, amount, reference } => {
                if !self.registered.contains(&programme) {
                    return Err(Code::ProgrammeUnknown);
                }
                if self.references.contains(&reference) {
                    return Err(Code::BankReferenceUsed);
                }
                self.references.push(reference);
                *self.funded.entry(programme).or_default() += amount;
            }
            Step::Open(person) => {
                if self.wallets.contains_key(&person) {
                    return Err(Code::WalletExists);
                }
                self.wallets.insert(person, Vec::new());
            }
            Step::Accrue { person, programme, period, part, amount } => {
                let key = (programme, period, part);
                if !self.registered.contains(&programme) {
                    return Err(Code::ProgrammeUnknown);
                }
                if self.wallets.get(&person).is_some_and(|lots| lots.iter().any(|lot| lot.key == key)) {
                    return Err(Code::BenefitAlreadyPaid);
                }
                let funding = self.funded.entry(programme).or_default();
                if *funding < amount {
                    return Err(Code::FundingInsufficient);
                }
                *funding -= amount;
                let general = PROGRAMMES[programme].1 == FundClass::General;
                self.wallets.entry(person).or_default().push(ModelLot { key, general, amount, left: amount });
            }
            Step::Reverse { person, programme, period, part } => {
                if !self.registered.contains(&programme) {
                    return Err(Code::ProgrammeUnknown);
                }
                let lots = self.wallets.get_mut(&person).ok_or(Code::AccrualNotFound)?;
                let lot = lots
                    .iter_mut()
                    .find(|lot| lot.key == (programme, period, part))
                    .ok_or(Code::AccrualNotFound)?;
                if lot.left == 0 {
                    return Err(Code::NothingToReverse);
                }
                *self.funded.entry(programme).or_default() += lot.left;
                lot.amount -= lot.left;
                lot.left = 0;
            }
            Step::PayOut { person, amount } => {
                let lots = self.wallets.get_mut(&person).ok_or(Code::WalletUnknown)?;
                if lots.iter().map(|lot| lot.left).sum::<i64>() < amount {
                    return Err(Code::BalanceInsufficient);
                }
                let mut wanted = amount;
                let mut drawn = Vec::new();
                for general in [true, false] {
                    for (index, lot) in lots.iter_mut().enumerate().filter(|(_, lot)| lot.general == general)
                    {
                        let taken = wanted.min(lot.left);
                        if taken > 0 {
                            lot.left -= taken;
                            wanted -= taken;
                            drawn.push((index, taken));
                        }
                    }
                }
                self.clearing += amount;
                self.pay_outs.push((person, drawn));
            }
            Step::Return { pay_out, amount } => {
                let (person, drawn) = self.pay_outs.get_mut(pay_out).ok_or(Code::PayOutNotFound)?;
                if drawn.iter().map(|(_, out)| out).sum::<i64>() < amount {
                    return Err(Code::ReturnExceedsPayOut);
                }
                let lots = self.wallets.get_mut(person).unwrap();
                let mut wanted = amount;
                for (index, out) in drawn.iter_mut().rev() {
                    let back = wanted.min(*out);
                    *out -= back;
                    lots[*index].left += back;
                    wanted -= back;
                }
                self.clearing -= amount;
            }
        }
        Ok(())
    }

    fn posted(&self, person: u8) -> i64 {
        self.wallets.get(&person).map_or(0, |lots| lots.iter().map(|lot| lot.left).sum())
    }
}

fn check(real: &mut Real, model: &Model) {
    let mut all = 0;
    for person in 0..4 {
        let wallet = real.books.wallet(id(person)).unwrap();
        assert_eq!(wallet.is_some(), model.wallets.contains_key(&person));
        let wallet = wallet.unwrap_or(Wallet::opened(0));
        assert_eq!(wallet.posted, model.posted(person));
        let lots = model.wallets.get(&person);
        let general: i64 = lots.into_iter().flatten().filter(|lot| lot.general).map(|lot| lot.left).sum();
        assert_eq!(wallet.general, general);
        all += wallet.posted;
        // The lots of the books are the lots of the model, in order.
        let held: Vec<(i64, i64)> = real
            .books
            .lots_of(wallet.account)
            .unwrap()
            .iter()
            .map(|lot| (lot.amount - lot.reversed, lot.remaining))
            .collect();
        let modelled: Vec<(i64, i64)> =
            lots.into_iter().flatten().map(|lot| (lot.amount, lot.left)).collect();
        assert_eq!(held, modelled);
    }
    let mut funding = 0;
    for programme in 0..3 {
        let left = model.funded.get(&programme).copied().unwrap_or(0);
        assert_eq!(real.balance(SystemAccount::Funding(code(programme))), left);
        funding += left;
    }
    let clearing: i64 = real.balance(SystemAccount::Clearing(Bic::parse(b"CASPKZKA").unwrap()));
    assert_eq!(clearing, model.clearing);
    assert_eq!(
        -real.balance(SystemAccount::Backing),
        all + funding + clearing,
        "invariant 1: the books sum to zero"
    );
    let trial: i64 = real
        .books
        .system_accounts()
        .iter()
        .filter(|head| !head.account.is_memorandum())
        .map(super::books::SystemHead::balance)
        .sum();
    assert_eq!(trial, 0, "invariant 1: debits equal credits");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Invariants 1, 2, 8 and 13: the rules do what the model does, step by step.
    #[test]
    fn invariants_1_2_8_13_random_histories_match_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let (mut real, mut model) = (Real::new(), Model::default());
        for programme in 0..3 {
            let register = Step::Register(programme);
            prop_assert_eq!(real.run(&register), model.run(&register));
        }
        for step in &steps {
            prop_assert_eq!(real.run(step), model.run(step), "{:?}", step);
            check(&mut real, &model);
        }
    }

    /// Invariant 10: replaying the records gives the same rows and the same books.
    #[test]
    fn invariant_10_a_replay_of_the_records_gives_the_same_rows(steps in prop::collection::vec(step(), 1..120)) {
        let mut real = Real::new();
        for programme in 0..3 {
            real.run(&Step::Register(programme)).unwrap();
        }
        for step in &steps {
            let _refused = real.run(step);
        }
        let mut replay = Replay::default();
        let mut fx = Effects::default();
        // Every command got a moment of its own; the rows tell which.
        let mut moments: BTreeMap<u64, i64> = BTreeMap::new();
        for row in &real.fx.entries {
            moments.insert(row.seq, row.at);
        }
        let mut at = 0;
        for (seq, (record, actor)) in (0u64..).zip(real.fx.records.clone()) {
            at = moments.get(&seq).copied().unwrap_or(at).max(at);
            replay.apply(&mut fx, Stamp::of(at).unwrap(), actor, record).unwrap();
        }
        prop_assert_eq!(&fx.records, &real.fx.records);
        prop_assert_eq!(&fx.entries, &real.fx.entries);
        prop_assert_eq!(&fx.movements, &real.fx.movements);
        prop_assert_eq!(&fx.benefits, &real.fx.benefits);
        prop_assert_eq!(replay.books.system_accounts(), real.books.system_accounts());
    }
}

fn history(steps: &[Step]) -> Real {
    let mut real = Real::new();
    for programme in 0..3 {
        real.run(&Step::Register(programme)).unwrap();
        real.run(&Step::Fund { programme, amount: 100_000, reference: u8::try_from(programme).unwrap() })
            .unwrap();
    }
    for step in steps {
        real.run(step).unwrap();
    }
    real
}

#[test]
fn general_money_is_spent_first_then_protected_lots_first_in_first_out_and_returns_go_back_the_other_way() {
    let accrue = |programme, period, amount| Step::Accrue { person: 0, programme, period, part: 1, amount };
    let mut real = history(&[accrue(0, 1, 100), accrue(1, 1, 200), accrue(2, 1, 50)]);
    let left = |real: &Real| {
        let lots = real.books.lots_of(1).unwrap();
        lots.iter().map(|lot| lot.remaining).collect::<Vec<_>>()
    };
    real.run(&Step::PayOut { person: 0, amount: 120 }).unwrap();
    assert_eq!(left(&real), [30, 200, 0], "50 general, then 70 of the older protected lot");
    real.run(&Step::Return { pay_out: 0, amount: 90 }).unwrap();
    assert_eq!(left(&real), [100, 200, 20], "the protected lot is made whole first");
    assert_eq!(real.run(&Step::Return { pay_out: 0, amount: 31 }), Err(Code::ReturnExceedsPayOut));
    real.run(&Step::Return { pay_out: 0, amount: 30 }).unwrap();
    assert_eq!(left(&real), [100, 200, 50]);
}

#[test]
fn a_reversal_takes_only_what_is_unspent_reports_the_rest_and_frees_no_benefit_key() {
    let accrual = Step::Accrue { person: 0, programme: 0, period: 1, part: 1, amount: 100 };
    let mut real = history(&[accrual.clone(), Step::PayOut { person: 0, amount: 30 }]);
    let reversal = Step::Reverse { person: 0, programme: 0, period: 1, part: 1 };
    real.run(&reversal).unwrap();
    let Some((super::record::Record::Reversed { share, uncollected, .. }, _)) = real.fx.records.last() else {
        panic!("the last record is the reversal")
    };
    assert_eq!((share.amount.tiyn(), uncollected.tiyn()), (70, 30));
    assert_eq!(real.run(&reversal), Err(Code::NothingToReverse));
    assert_eq!(real.run(&accrual), Err(Code::BenefitAlreadyPaid), "a repayment is a new part");
    real.run(&Step::Return { pay_out: 0, amount: 30 }).unwrap();
    real.run(&reversal).unwrap();
    let row = real.fx.entries.last().unwrap();
    assert_eq!(
        (row.kind, row.amount, row.after.posted, row.after.first_open_lot),
        (EntryKind::Reversal, -30, 0, 0)
    );
}

#[test]
fn a_sum_at_the_limit_is_taken_and_one_tiyn_more_is_refused() {
    let mut real = history(&[]);
    let most = crate::domain::Amount::MAX.tiyn();
    let mut reference = 100;
    let mut fund = |real: &mut Real, amount| {
        reference += 1;
        real.run(&Step::Fund { programme: 0, amount, reference })
    };
    let limit = super::books::SUM_MAX;
    let backing = |real: &Real| -real.balance(SystemAccount::Backing);
    // Step up to the limit in the largest amounts: the books take them all.
    let place = real.books.system_by_account[&SystemAccount::Backing];
    let jump = limit - most - backing(&real);
    real.books.system[place].debits += jump;
    let funding = real.books.system_by_account[&SystemAccount::Funding(code(0))];
    real.books.system[funding].credits += jump;
    assert_eq!(backing(&real), limit - most);
    fund(&mut real, most - 1).unwrap();
    assert_eq!(fund(&mut real, 2), Err(Code::SumTooLarge));
    fund(&mut real, 1).unwrap();
    assert_eq!(backing(&real), limit);
    assert_eq!(fund(&mut real, 1), Err(Code::SumTooLarge));
}

/// The figures of `specs/ledger.md`, "Worked examples": computed here, and found there.
#[test]
fn the_worked_examples_of_the_specification_are_what_the_rules_do() {
    let spec = include_str!("../../specs/ledger.md");
    let examples = spec.split("## Worked examples").nth(1).expect("the section");
    let mut real = Real::new();
    real.run(&Step::Register(0)).unwrap();
    let mut figures = Vec::new();
    let mut note = |tiyn: i64| {
        let text = crate::domain::Money::from_tiyn(tiyn).unwrap().to_string();
        let (whole, decimals) = text.split_once('.').unwrap();
        let groups: Vec<&str> =
            whole.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
        figures.push(format!("{}.{decimals}", groups.join(" ")));
    };
    let funding = |real: &Real| real.balance(SystemAccount::Funding(code(0)));
    let holds = |real: &mut Real| real.books.wallet(id(0)).unwrap().unwrap().posted;
    let accrue = |period, amount| Step::Accrue { person: 0, programme: 0, period, part: 1, amount };

    real.run(&Step::Fund { programme: 0, amount: 50_000_000, reference: 1 }).unwrap();
    real.run(&accrue(10, 7_879_800)).unwrap();
    real.run(&accrue(11, 2_945_325)).unwrap();
    note(funding(&real));
    note(holds(&mut real));
    real.run(&Step::PayOut { person: 0, amount: 8_000_000 }).unwrap();
    let drawn: Vec<i64> = real.fx.movements.iter().map(|row| -row.amount).collect();
    drawn.into_iter().for_each(&mut note);
    note(holds(&mut real));
    real.run(&Step::Reverse { person: 0, programme: 0, period: 11, part: 1 }).unwrap();
    let Some((super::record::Record::Reversed { share, uncollected, .. }, _)) = real.fx.records.last() else {
        panic!("the last record is the reversal")
    };
    note(share.amount.tiyn());
    note(uncollected.tiyn());
    note(funding(&real));
    note(holds(&mut real));
    real.run(&Step::Return { pay_out: 0, amount: 5_000_000 }).unwrap();
    let movements = real.fx.movements.len();
    let back: Vec<i64> = real.fx.movements[movements - 2..].iter().map(|row| row.amount).collect();
    back.into_iter().for_each(&mut note);
    note(holds(&mut real));
    note(real.balance(SystemAccount::Clearing(Bic::parse(b"CASPKZKA").unwrap())));
    note(-real.balance(SystemAccount::Backing));
    assert_eq!(real.run(&accrue(11, 2_945_325)), Err(Code::BenefitAlreadyPaid));

    let mut rest = examples.replace('\n', " ");
    while rest.contains("  ") {
        rest = rest.replace("  ", " ");
    }
    let mut rest = rest.as_str();
    for figure in figures {
        let found =
            rest.find(&figure).unwrap_or_else(|| panic!("{figure} is not in its place in specs/ledger.md"));
        rest = &rest[found + figure.len()..];
    }
}
