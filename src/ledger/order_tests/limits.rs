//! Limits, each at its limit, below it and above it; and tables that cannot come into force.

use super::*;
use crate::domain::Day;
use crate::ledger::books::SUM_MAX;
use crate::ledger::order::{
    Competence, Effect, MalformedField, ORDER_LIFETIME_MAX, ORDER_LOTS_MAX, RULES_BYTES_MAX, RULES_MAX, Rule,
};

/// A leaf's length is told in 16 bits.
const LEAF_BYTES_MAX: usize = 65_535;

#[test]
fn one_order_reaches_at_most_256_accruals() {
    let lots_max = i64::try_from(ORDER_LOTS_MAX).unwrap();
    for (kind, lots) in [OrderKind::Collection, OrderKind::Arrest]
        .into_iter()
        .flat_map(|kind| [lots_max - 1, lots_max, lots_max + 1].map(|lots| (kind, lots)))
    {
        let mut world = World::mixed();
        for lot in 0..lots {
            let part = u16::try_from(lot + 1).unwrap();
            world.accrue_part(0, 2, 0, part, 99_999_999).unwrap();
        }
        let asked = lots * 99_999_999;
        let decision = world.decide("bailiff", order("bailiff", 1, kind, 0).of(asked));
        let reached = lots.min(lots_max);
        assert_eq!(decision.shares.len(), usize::try_from(reached).unwrap());
        assert_eq!(decision.taken.tiyn() + decision.held.tiyn(), reached * 99_999_999);
        assert_eq!(decision.refused.tiyn(), asked - reached * 99_999_999);
        assert!(world.longest_leaf < LEAF_BYTES_MAX / 2, "a leaf has room: {}", world.longest_leaf);
        if lots > lots_max {
            // The next order reaches the rest.
            let rest = world.decide("bailiff", order("bailiff", 2, kind, 0).of(asked));
            assert_eq!(rest.taken.tiyn() + rest.held.tiyn(), 99_999_999);
        }
        world.check();
    }
}

#[test]
fn carrying_out_an_arrest_names_what_it_held_and_what_it_takes_and_fits_a_leaf() {
    let mut world = World::mixed();
    for part in 1..=u16::try_from(ORDER_LOTS_MAX).unwrap() {
        world.accrue_part(0, 2, 0, part, 9_999_999_999 / 100).unwrap();
    }
    world.decide("bailiff", order("bailiff", 1, OrderKind::Arrest, 0));
    let all = world.wallet(0).general;
    let taken =
        world.decide("bailiff", order("bailiff", 2, OrderKind::Collection, 0).of(all).lifting("bailiff", 1));
    assert_eq!((taken.shares.len(), taken.released.len()), (ORDER_LOTS_MAX, ORDER_LOTS_MAX));
    assert!(world.longest_leaf < LEAF_BYTES_MAX, "{}", world.longest_leaf);
    world.check();
}

#[test]
fn what_is_taken_for_an_authority_may_reach_the_largest_sum_and_not_pass_it() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let collect = |number, tiyn| order("bailiff", number, OrderKind::Collection, 0).of(tiyn);
    world.decide("bailiff", collect(1, 100));
    // As if so much more had been taken and paid to it: what is owed to it stays.
    for books in [&mut world.books, &mut world.replay.books] {
        let place = books.system_by_account[&SystemAccount::Levy(bin(0))];
        books.system[place].debits += SUM_MAX - 200;
        books.system[place].credits += SUM_MAX - 200;
    }
    world.decide("bailiff", collect(2, 99));
    assert_eq!(world.send("bailiff", collect(3, 2)).map(drop), Err(Code::SumTooLarge));
    world.decide("bailiff", collect(4, 1));
    assert_eq!(world.send("bailiff", collect(5, 1)).map(drop), Err(Code::SumTooLarge));
    assert_eq!(world.wallet(0).general, 800, "a refused one takes nothing");
    world.check();
}

#[test]
fn an_order_stands_for_at_most_366_days() {
    for (lifetime, is_taken) in [
        (0, false),
        (1, true),
        (ORDER_LIFETIME_MAX - 1, true),
        (ORDER_LIFETIME_MAX, true),
        (ORDER_LIFETIME_MAX + 1, false),
    ] {
        for (by, kind) in
            [("police", OrderKind::Freeze), ("bailiff", OrderKind::Arrest), ("tax", OrderKind::Suspension)]
        {
            let mut world = World::mixed();
            world.accrue(0, 2, 0, 1_000).unwrap();
            let decision = world.decide(by, order(by, 1, kind, 0).until(world.at + lifetime));
            let field = (!is_taken).then_some(MalformedField::Expires);
            assert_eq!(
                (decision.outcome == Outcome::Held, decision.field),
                (is_taken, field),
                "{kind} {lifetime}"
            );
        }
    }
}

/// Rows that do not stand in each other's way: each is of another day.
fn rows(count: usize) -> Vec<Rule> {
    let like = &RuleTable::shipped().rules[8];
    let day =
        |number: usize| Day::parse(&format!("{}-01-{:02}", 2_000 + number / 28, number % 28 + 1)).unwrap();
    let names =
        Names {
            kk: Text::parse("б").unwrap(), ru: Text::parse("б").unwrap(), en: Text::parse("b").unwrap()
        };
    (0..count)
        .map(|number| {
            let (valid_from, valid_to) = (day(number), Some(day(number)));
            Rule { legal_basis: names.clone(), valid_from, valid_to, ..like.clone() }
        })
        .collect()
}

#[test]
fn a_table_has_at_most_64_rows() {
    for (count, is_sound) in [(0, true), (RULES_MAX - 1, true), (RULES_MAX, true), (RULES_MAX + 1, false)] {
        let table = RuleTable { rules: rows(count), ..RuleTable::shipped() };
        assert_eq!(table.fault().is_none(), is_sound, "{count}");
        let mut world = World::container();
        assert_eq!(world.set_rules(table).err(), (!is_sound).then_some(Code::RulesUnsound));
    }
}

#[test]
fn a_table_has_at_most_so_many_bytes_and_fits_a_leaf() {
    let bytes = |table: &RuleTable| serde_json::to_string(table).unwrap().len();
    let fill = |bytes_in_all: usize| {
        let mut table = RuleTable { rules: rows(60), ..RuleTable::shipped() };
        let mut left = bytes_in_all - bytes(&table);
        for rule in &mut table.rules {
            for name in [&mut rule.legal_basis.en, &mut rule.legal_basis.ru] {
                let some = left.min(198); // a name has at most 200 characters, and one of two bytes is there
                *name = Text::parse(&format!("{}{}", name.as_str(), "b".repeat(some))).unwrap();
                left -= some;
            }
        }
        table
    };
    for (bytes_in_all, is_sound) in
        [(RULES_BYTES_MAX - 1, true), (RULES_BYTES_MAX, true), (RULES_BYTES_MAX + 1, false)]
    {
        let table = fill(bytes_in_all);
        assert_eq!(bytes(&table), bytes_in_all);
        let mut world = World::container();
        assert_eq!(world.set_rules(table).err(), (!is_sound).then_some(Code::RulesUnsound));
        assert!(world.longest_leaf < LEAF_BYTES_MAX);
    }
}

#[test]
fn no_table_can_let_an_order_reach_protected_money() {
    for kind in OrderKind::ALL {
        for programme in [None, Some(code(0))] {
            let like = RuleTable::shipped().rules[8].clone();
            let open =
                Rule { order: kind, class: FundClass::Protected, programme, effect: Effect::Allow, ..like };
            let table = RuleTable { mode: Mode::Mixed, rules: vec![open], ..RuleTable::shipped() };
            assert!(table.fault().is_some(), "{kind}");
            assert_eq!(World::container().set_rules(table), Err(Code::RulesUnsound));
        }
    }
}

#[test]
fn a_table_that_contradicts_itself_cannot_come_into_force() {
    let shipped = RuleTable::shipped();
    assert_eq!(shipped.fault(), None);
    let like = shipped.rules[8].clone();
    let with = |rules: Vec<Rule>| RuleTable { rules, ..shipped.clone() };
    let day = |text| Day::parse(text).unwrap();
    let may = |issuer, kind| {
        let competences = vec![Competence { issuer, orders: vec![OrderKind::Lift, kind] }];
        RuleTable { competences, ..shipped.clone() }
    };
    for (why, table) in [
        ("a kind that no row decides", with(vec![Rule { order: OrderKind::Lift, ..like.clone() }])),
        (
            "a kind that no row decides",
            with(vec![Rule { order: OrderKind::OverpaymentRecovery, ..like.clone() }]),
        ),
        ("a cap of nothing", with(vec![Rule { cap_percent: Some(0), ..like.clone() }])),
        ("a cap of more than all", with(vec![Rule { cap_percent: Some(101), ..like.clone() }])),
        (
            "a cap of what is refused",
            with(vec![Rule { cap_percent: Some(5), effect: Effect::Refuse, ..like.clone() }]),
        ),
        ("it ends before it begins", with(vec![Rule { valid_to: Some(day("2010-04-01")), ..like.clone() }])),
        (
            "two rows about the same",
            with(vec![like.clone(), Rule { effect: Effect::Refuse, ..like.clone() }]),
        ),
        (
            "two rows about the same day",
            with(vec![
                Rule { valid_to: Some(day("2026-01-02")), ..like.clone() },
                Rule { valid_from: day("2026-01-02"), ..like.clone() },
            ]),
        ),
        (
            "an issuer twice",
            RuleTable { competences: vec![shipped.competences[0].clone(); 2], ..shipped.clone() },
        ),
        ("a freeze of somebody who investigates nothing", may(Issuer::Bailiff, OrderKind::Freeze)),
        ("a set-off of somebody who keeps no account", may(Issuer::Creditor, OrderKind::SetOff)),
        ("a fee of somebody who keeps no account", may(Issuer::TaxAuthority, OrderKind::Fee)),
        ("a kind twice", RuleTable { precedence: vec![OrderKind::Lift; 2], ..shipped.clone() }),
    ] {
        assert!(table.fault().is_some(), "{why}");
    }
    let next_day = with(vec![
        Rule { valid_to: Some(day("2026-01-01")), ..like.clone() },
        Rule { valid_from: day("2026-01-02"), ..like },
    ]);
    assert_eq!(next_day.fault(), None);
}
