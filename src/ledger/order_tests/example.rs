//! The figures of `specs/ledger.md`, "Worked example of orders": computed here, and found there.

use super::*;
use sha2::{Digest as _, Sha256};

use crate::ledger::order::Rule;

/// A replay holds the first table of a book against them: whoever changes them makes every book fail. Other rules are set.
#[test]
fn the_shipped_rules_are_those_that_books_have_begun_with() {
    let bytes = serde_json::to_vec(&RuleTable::shipped()).unwrap();
    assert_eq!(
        hex::encode(Sha256::digest(bytes)),
        "a4cbb1c44ddd971eb849dcb6e96265d2b5d8822e48ccdae8663366614573a4a0"
    );
}

#[test]
fn the_worked_example_of_the_specification_is_what_the_rules_do() {
    let spec = include_str!("../../../specs/ledger.md");
    let example = spec.split("## Worked example of orders").nth(1).expect("the section");
    let example = example.split("\n## ").next().expect("what is before the next section");
    let mut figures = Vec::new();
    let mut note = |tiyn: i64| {
        let text = crate::domain::Money::from_tiyn(tiyn).unwrap().to_string();
        let (whole, decimals) = text.split_once('.').unwrap();
        let groups: Vec<&str> =
            whole.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
        figures.push(format!("{}.{decimals}", groups.join(" ")));
    };
    let mut world = World::mixed();
    let mut table = RuleTable { mode: Mode::Mixed, ..RuleTable::shipped() };
    let half = |rule: Rule| match (rule.order, rule.class) {
        (OrderKind::Alimony, FundClass::General) => Rule { cap_percent: Some(50), ..rule },
        _ => rule,
    };
    table.rules = table.rules.into_iter().map(half).collect();
    world.set_rules(table).unwrap();
    let figures_of = |decision: &Decision| -> Vec<i64> {
        decision.shares.iter().map(|share| share.amount.tiyn()).collect()
    };

    world.accrue(0, 0, 0, 4_000_000).unwrap();
    world.accrue(0, 3, 0, 2_000_000).unwrap();
    world.accrue(0, 3, 1, 1_000_000).unwrap();
    world.transfer(0, 400_000).unwrap();
    [4_000_000, 2_000_000, 1_000_000, 400_000].into_iter().for_each(&mut note);

    let wallet = world.wallet(0);
    let alimony = world.decide("bailiff", order("bailiff", 1, OrderKind::Alimony, 0).of(1_500_000));
    note(1_500_000);
    note(wallet.general - wallet.general_held);
    note(alimony.taken.tiyn());
    note(alimony.refused.tiyn());
    assert_eq!((alimony.outcome, figures_of(&alimony)), (Outcome::Partial, vec![1_300_000]));

    let arrest = world.decide("bailiff", order("bailiff", 2, OrderKind::Arrest, 0).of(10_000_000));
    note(10_000_000);
    figures_of(&arrest).into_iter().for_each(&mut note);
    note(arrest.held.tiyn());
    note(arrest.refused.tiyn());

    let tax = order("tax", 1, OrderKind::Collection, 0).of(50_000).for_debt(1, false);
    assert_eq!(world.outcome("tax", tax), Outcome::RefusedProtected);
    note(50_000);

    let collect = order("bailiff", 3, OrderKind::Collection, 0).of(900_000).lifting("bailiff", 2);
    let collected = world.decide("bailiff", collect);
    note(900_000);
    figures_of(&collected).into_iter().for_each(&mut note);
    let released: i64 = collected.released.iter().map(|share| share.amount.tiyn()).sum();
    note(released - collected.taken.tiyn());
    note(world.levied(0));

    note(world.wallet(0).posted);
    note(world.protected(0).0);

    let mut rest = example.replace('\n', " ");
    while rest.contains("  ") {
        rest = rest.replace("  ", " ");
    }
    let mut rest = rest.as_str();
    for figure in figures {
        let found = rest.find(&figure).unwrap_or_else(|| panic!("{figure} is not in its place"));
        rest = &rest[found + figure.len()..];
    }
    assert!(!rest.contains(|digit: char| digit.is_ascii_digit()), "a figure that was not computed: {rest}");
}
