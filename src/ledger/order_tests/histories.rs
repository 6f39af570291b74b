//! Random histories of orders, payments and accruals in both modes, against a small obvious model, and their replay.

use proptest::prelude::*;

use super::*;
use crate::domain::{Reach, Reason};
use crate::ledger::order::Effect;
use crate::ledger::payment_rules::Answer;
use crate::ledger::rules::Reversal;

#[derive(Clone, Debug)]
enum Step {
    Accrue { person: u8, programme: usize, period: u8, tiyn: i64 },
    Reverse { person: u8, programme: usize, period: u8 },
    Send(Box<Sent>),
    Transfer { person: u8, tiyn: i64 },
    Answer { transfer: usize, settled: bool },
    Wait(i64),
    Expire,
    Rules { kind: usize, cap: Option<u8>, programme: Option<usize>, refuse: bool },
}

/// An order, its fields drawn apart: most fit its kind, some do not.
#[derive(Clone, Debug)]
struct Sent {
    by: usize,
    kind: usize,
    number: u8,
    person: u8,
    tiyn: i64,
    /// Whether the amount is there although its kind may have none, or absent although it must have one.
    odd: bool,
    days: i64,
    lifts: Option<u8>,
    debt: u8,
    elsewhere: bool,
    accrual: (usize, u8),
}

fn sent() -> impl Strategy<Value = Step> {
    let who = (0usize..7, 0usize..10, 0u8..24, 0u8..3);
    let what = (1i64..900, prop::bool::weighted(0.1), 0i64..4, prop::option::weighted(0.4, 0u8..24));
    let more = (0u8..4, prop::bool::weighted(0.2), 0usize..4, 0u8..3);
    (who, what, more).prop_map(
        |((by, kind, number, person), (tiyn, odd, days, lifts), (debt, elsewhere, programme, period))| {
            let accrual = (programme, period);
            Step::Send(Box::new(Sent {
                by,
                kind,
                number,
                person,
                tiyn,
                odd,
                days,
                lifts,
                debt,
                elsewhere,
                accrual,
            }))
        },
    )
}

/// One of a few tax debts of one person, or a freeze of a wallet that orders are against: what would seldom come together by chance.
fn pointed() -> impl Strategy<Value = Step> {
    let kind_of = |issuer: Issuer, kind: OrderKind| {
        let allowed = OrderKind::ALL.into_iter().filter(move |kind| RuleTable::shipped().may(issuer, *kind));
        allowed.into_iter().position(|allowed| allowed == kind).unwrap()
    };
    let collection = kind_of(Issuer::TaxAuthority, OrderKind::Collection);
    let freeze = kind_of(Issuer::Investigator, OrderKind::Freeze);
    (sent(), 0u8..2, any::<bool>()).prop_map(move |(step, debt, is_tax)| {
        let Step::Send(sent) = step else { unreachable!("it is an order") };
        let (by, kind) = if is_tax { (1, collection) } else { (5, freeze) };
        let (odd, elsewhere, lifts, days) = (false, false, None, 1 + sent.days);
        Step::Send(Box::new(Sent { by, kind, person: 0, debt, odd, elsewhere, lifts, days, ..*sent }))
    })
}

fn step() -> impl Strategy<Value = Step> {
    let person = 0u8..2;
    prop_oneof![
        5 => (person.clone(), 0usize..4, 0u8..3, 1i64..700)
            .prop_map(|(person, programme, period, tiyn)| Step::Accrue { person, programme, period, tiyn }),
        1 => (person.clone(), 0usize..4, 0u8..3)
            .prop_map(|(person, programme, period)| Step::Reverse { person, programme, period }),
        14 => sent(),
        5 => pointed(),
        2 => (person, 1i64..600).prop_map(|(person, tiyn)| Step::Transfer { person, tiyn }),
        2 => (0usize..6, any::<bool>()).prop_map(|(transfer, settled)| Step::Answer { transfer, settled }),
        2 => (1i64..30).prop_map(Step::Wait),
        2 => Just(Step::Expire),
        1 => (0usize..10, prop::option::of(1u8..=100), prop::option::of(2usize..4), any::<bool>())
            .prop_map(|(kind, cap, programme, refuse)| Step::Rules { kind, cap, programme, refuse }),
    ]
}

/// An issuer and a kind that the issuer may give, for most.
fn said(world: &World, sent: &Sent) -> (&'static str, Order) {
    let (by, issuer) = ISSUERS[sent.by];
    let allowed: Vec<OrderKind> =
        OrderKind::ALL.into_iter().filter(|kind| RuleTable::shipped().may(issuer, *kind)).collect();
    let kind = if sent.odd { OrderKind::ALL[sent.kind] } else { allowed[sent.kind % allowed.len()] };
    let mut said = order(by, sent.number, kind, sent.person);
    let has_amount = match kind.reach() {
        Reach::Takes | Reach::Recovers => !sent.odd,
        Reach::Holds => kind != OrderKind::Freeze && sent.tiyn % 2 == 0,
        Reach::Lifts => sent.odd,
    };
    if has_amount {
        said = said.of(sent.tiyn);
    }
    if kind.reach() == Reach::Holds && (kind == OrderKind::Freeze || sent.days > 1) {
        said = said.until(world.at + sent.days * DAY);
    }
    if issuer == Issuer::TaxAuthority && kind == OrderKind::Collection {
        // The tag of a debt is of its amount too.
        said = said.for_debt(sent.debt, sent.elsewhere).of(150 + 250 * i64::from(sent.debt));
    }
    if kind.reach() == Reach::Recovers {
        said = said.of_accrual(sent.accrual.0 % 2, sent.accrual.1);
    }
    if kind.reach() == Reach::Lifts
        || kind.reach() == Reach::Takes && sent.lifts.is_some_and(|number| number % 3 == 0)
    {
        said = said.lifting(by, sent.lifts.unwrap_or(0));
    }
    (by, said)
}

/// What an order may reach, told apart from the rules: of the lots of each row so many per cent of what is free, rounded down; while
/// a freeze stands, for one that takes, of what its own arrest held.
fn reachable(world: &mut World, said: &Order) -> i64 {
    let Some(wallet) = world.books.wallet(id(said.debtor[0])).unwrap() else { return 0 };
    let Some((_, table)) = world.books.orders.rules.clone() else { return 0 };
    let named = said.lifts.and_then(|tag| world.books.orders.by_tag.get(&tag).copied().flatten());
    let is_frozen = world.books.orders.known.values().any(|known| {
        let is_named = named == Some(known.seq);
        known.stands()
            && known.account == wallet.account
            && known.decision.said.order_kind == OrderKind::Freeze
            && !is_named
    });
    let is_kept = is_frozen && said.order_kind.reach() == Reach::Takes;
    let drawn = named.map(|seq| world.books.orders.known[&seq].drawn.clone()).unwrap_or_default();
    let mut of_row: BTreeMap<usize, i64> = BTreeMap::new();
    for lot in world.books.lots_of(wallet.account).unwrap() {
        if lot.class != FundClass::General {
            continue;
        }
        let back: i64 = drawn.iter().filter(|piece| piece.0 == lot.version).map(|piece| piece.1).sum();
        let programme = PROGRAMMES[lot.benefit.programme as usize - 1];
        let of = |wanted: Option<&str>| {
            table.rules.iter().position(|rule| {
                rule.order == said.order_kind
                    && rule.class == FundClass::General
                    && rule.programme.map(|code| code.to_string()).as_deref() == wanted
            })
        };
        if let Some(row) = of(Some(programme)).or_else(|| of(None)) {
            let free = lot.remaining - lot.held + back;
            *of_row.entry(row).or_default() += if is_kept { back.min(free) } else { free };
        }
    }
    of_row
        .into_iter()
        .map(|(row, free)| match (table.rules[row].effect, table.rules[row].cap_percent) {
            (Effect::Refuse, _) => 0,
            (Effect::Allow, cap) => free * i64::from(cap.unwrap_or(100)) / 100,
        })
        .sum()
}

/// What was not taken yet of the tax debt that an order names, told by the decisions.
fn left_of_debt(world: &mut World, said: &Order) -> Option<i64> {
    let debt = said.debt?;
    let wallet = world.books.wallet(id(said.debtor[0])).unwrap().map(|wallet| wallet.account);
    let of_debt = |decision: &Decision| decision.said.debt.is_some_and(|of| of.tag == debt.tag);
    let known = world.books.orders.known.values();
    let known = known.filter(|known| Some(known.account) == wallet && of_debt(&known.decision));
    let taken: i64 = known.map(|known| known.decision.taken.tiyn()).sum();
    Some(said.amount.map_or(0, Amount::tiyn) - taken)
}

/// No more than a debt is taken for it; and of the rows, that about protected money is named where less was reached than could be
/// asked, and nowhere else.
fn check_debt_and_rows(decision: &Decision, left: Option<i64>) {
    let (taken, held) = (decision.taken.tiyn(), decision.held.tiyn());
    let is_decided = !matches!(decision.outcome, Outcome::Malformed | Outcome::UnauthorisedIssuer);
    if let (Some(left), Some(debt), true) = (left, decision.said.debt, is_decided) {
        assert!(taken <= left, "no more than a debt is taken for it");
        let is_duplicate = debt.met_elsewhere || left == 0 && decision.wallet.is_some();
        assert_eq!(decision.outcome == Outcome::ReturnedDuplicate, is_duplicate);
    }
    let kind = decision.said.order_kind;
    let is_looked_for = matches!(
        decision.outcome,
        Outcome::Executed | Outcome::Partial | Outcome::RefusedProtected | Outcome::Held
    );
    let is_refused = is_looked_for
        && match kind.reach() {
            Reach::Takes => taken < decision.asked().min(left.unwrap_or(i64::MAX)),
            Reach::Holds if kind == OrderKind::Freeze => false,
            Reach::Holds if decision.asked() > 0 => held < decision.asked(),
            Reach::Holds => held == 0,
            Reach::Recovers | Reach::Lifts => false,
        };
    let shipped = RuleTable::shipped().rules; // the first eight rows stay in every table here
    let protected = decision.rows.iter().filter(|row| **row < 8);
    let protected: Vec<OrderKind> = protected.map(|row| shipped[usize::from(*row)].order).collect();
    assert_eq!(protected, if is_refused { vec![kind] } else { vec![] });
    assert!(
        taken + held == 0 || kind.reach() == Reach::Recovers || decision.rows.iter().any(|row| *row >= 8)
    );
}

/// What is owed to all issuers.
fn levied_in_all(world: &World) -> i64 {
    (0..ISSUERS.len()).map(|place| world.levied(place)).sum()
}

/// As the writer does before it decides.
fn end_what_is_over(world: &mut World) {
    let standing = world.books.orders.known.values().filter(|known| known.stands());
    let over = standing.filter(|known| known.decision.said.expires.is_some_and(|end| end < world.at));
    let over: std::collections::BTreeSet<u64> = over.map(|known| known.seq).collect();
    assert_eq!(over, world.books.orders.over(world.at));
    for order in over {
        world.expire(order).unwrap();
    }
}

fn run(world: &mut World, step: &Step, transfers: &mut Vec<u64>, is_mixed: bool) {
    let before: Vec<(i64, i64)> = (0..3).map(|person| world.protected(person)).collect();
    let mut may_change_protected = true;
    if matches!(step, Step::Send(_) | Step::Transfer { .. }) {
        end_what_is_over(world);
    }
    match step {
        Step::Accrue { person, programme, period, tiyn } if is_mixed || *programme < 2 => {
            let _refused = world.accrue(*person, *programme, *period, *tiyn);
        }
        Step::Accrue { .. } => {}
        Step::Reverse { person, programme, period: number } => {
            let reason = Reason::parse("as decided").unwrap();
            let (wallet, programme, period) = (id(*person), code(*programme), period(*number));
            let reversal = Reversal { wallet, programme, period, part: Part::FIRST, reason };
            let _refused = world.run("pipeline", |books, entry| books.reverse(entry, &reversal, None, None));
        }
        Step::Send(sent) => {
            let (by, said) = said(world, sent);
            let mut expected = reachable(world, &said);
            let left = left_of_debt(world, &said);
            expected = expected.min(left.unwrap_or(i64::MAX));
            let levied = levied_in_all(world);
            match world.send(by, said.clone()) {
                Ok(Answered::Made(seq)) => {
                    let Some(Record::Order(record)) = world.written.last().cloned() else {
                        panic!("no order")
                    };
                    let OrderRecord::Decided(decision) = *record else { panic!("no decision") };
                    let asked = decision.asked();
                    let (taken, held) = (decision.taken.tiyn(), decision.held.tiyn());
                    if asked > 0 {
                        assert_eq!(taken + held + decision.refused.tiyn(), asked);
                    }
                    check_debt_and_rows(&decision, left);
                    let reach = said.order_kind.reach();
                    let moved =
                        matches!(decision.outcome, Outcome::Executed | Outcome::Partial | Outcome::Held);
                    match reach {
                        Reach::Takes if moved => assert_eq!(taken, asked.min(expected)),
                        Reach::Takes if decision.outcome == Outcome::RefusedProtected => {
                            assert_eq!(expected, 0);
                        }
                        Reach::Holds if moved => {
                            assert_eq!(held, if asked > 0 { asked.min(expected) } else { expected });
                        }
                        _ => assert_eq!((taken > 0, held), (moved && reach == Reach::Recovers, 0)),
                    }
                    assert_eq!(levied_in_all(world) - levied, if reach == Reach::Takes { taken } else { 0 });
                    may_change_protected = reach == Reach::Recovers;
                    assert_eq!(seq, world.books.size - 1);
                }
                Ok(Answered::Repeated(_)) | Err(Code::OrderConflict) => may_change_protected = false,
                Err(code) => panic!("{code:?}"),
            }
        }
        Step::Transfer { person, tiyn } => transfers.extend(world.transfer(*person, *tiyn)),
        Step::Answer { transfer, settled } => {
            let Some(transfer) = transfers.get(*transfer).copied() else { return };
            let answer = if *settled {
                Answer::Settled
            } else {
                let reference = BankReference::parse("r").unwrap();
                Answer::Returned { amount: None, reference, reason: Reason::parse("closed").unwrap() }
            };
            let bank = Party::Bank(Bic::parse(b"HSBKKZKX").unwrap());
            let _refused = world
                .run("halyk", |books, entry| books.answer_transfer(entry, bank, transfer, &answer, None));
        }
        Step::Wait(hours) => world.at += hours * 60 * MINUTE,
        Step::Expire => {
            end_what_is_over(world);
            may_change_protected = false;
        }
        Step::Rules { kind, cap, programme, refuse } if is_mixed => {
            let kind = OrderKind::ALL[*kind];
            let mut table = RuleTable { mode: Mode::Mixed, ..RuleTable::shipped() };
            let like =
                |rule: &&crate::ledger::order::Rule| rule.order == kind && rule.class == FundClass::General;
            if let Some(row) = table.rules.iter().find(like).cloned() {
                let effect = if *refuse { Effect::Refuse } else { Effect::Allow };
                let cap_percent = cap.filter(|_| !refuse);
                let programme = programme.map(code);
                if programme.is_none() {
                    table.rules.retain(|rule| rule.order != kind || rule.class == FundClass::Protected);
                }
                table.rules.push(crate::ledger::order::Rule { programme, effect, cap_percent, ..row });
            }
            match world.set_rules(table) {
                Ok(_) | Err(Code::RulesUnchanged) => {}
                Err(code) => panic!("{code:?}"),
            }
            may_change_protected = false;
        }
        Step::Rules { .. } => may_change_protected = false,
    }
    if !may_change_protected {
        let after: Vec<(i64, i64)> = (0..3).map(|person| world.protected(person)).collect();
        assert_eq!(before, after, "invariant 4: {step:?}");
    }
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Invariants 1, 2, 4, 10 and 14. The replay follows within [`World::run`], entry by entry.
    #[test]
    fn no_history_of_orders_moves_protected_money(
        is_mixed in any::<bool>(), steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut world = if is_mixed { World::mixed() } else { World::container() };
        let mut transfers = Vec::new();
        for step in &steps {
            run(&mut world, step, &mut transfers, is_mixed);
        }
        if !is_mixed {
            prop_assert_eq!(levied_in_all(&world), 0, "nothing in a container is general");
        }
    }
}
