//! Orders that hold, and what ends them.

use super::*;
use crate::ledger::order::MalformedField;
use crate::ledger::payment_rules::Answer;

fn arrest(number: u8) -> Order {
    order("bailiff", number, OrderKind::Arrest, 0)
}

fn collect(number: u8, tiyn: i64) -> Order {
    order("bailiff", number, OrderKind::Collection, 0).of(tiyn)
}

fn freeze(by: &str, number: u8, until: i64) -> Order {
    order(by, number, OrderKind::Freeze, 0).until(until)
}

fn entry_of(world: &World) -> u64 {
    world.books.size - 1
}

#[test]
fn an_arrest_and_a_suspension_hold_no_protected_money() {
    let mut world = World::container();
    world.accrue(0, 0, 0, 1_000).unwrap();
    for (by, said) in [
        ("bailiff", arrest(1)),
        ("bailiff", arrest(2).of(400)),
        ("tax", order("tax", 1, OrderKind::Suspension, 0)),
    ] {
        let decision = world.decide(by, said);
        assert_eq!((decision.outcome, decision.held.tiyn()), (Outcome::RefusedProtected, 0));
        let basis = &RuleTable::shipped().rules[usize::from(decision.rows[0])];
        assert!(basis.legal_basis.en.as_str().contains("62(3)(1)"));
        assert_eq!((world.wallet(0).held, world.wallet(0).frozen), (0, false));
    }
    world.transfer(0, 1_000).unwrap();
    world.check();
}

#[test]
fn an_arrest_holds_general_money_and_its_collection_takes_what_it_holds() {
    let mut world = World::mixed();
    world.accrue(0, 0, 0, 500).unwrap();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let held = world.decide("bailiff", arrest(1).of(600));
    assert_eq!((held.outcome, held.held.tiyn(), held.refused.tiyn()), (Outcome::Held, 600, 0));
    let order_entry = entry_of(&world);
    let rest = world.decide("bailiff", arrest(2));
    assert_eq!(
        (rest.outcome, rest.held.tiyn()),
        (Outcome::Held, 400),
        "an arrest without an amount holds all there is"
    );
    assert_eq!(world.outcome("bailiff", arrest(3)), Outcome::RefusedProtected, "nothing is free");
    // What another order holds ranks first; its own is carried out by name.
    assert_eq!(world.outcome("bailiff", collect(4, 600)), Outcome::RefusedProtected);
    assert_eq!(
        world.outcome("bailiff-2", order("bailiff-2", 1, OrderKind::Collection, 0).of(600)),
        Outcome::RefusedProtected
    );
    let taken = world.decide("bailiff", collect(5, 500).lifting("bailiff", 1));
    assert_eq!(
        (taken.outcome, taken.taken.tiyn(), taken.lifted),
        (Outcome::Executed, 500, Some(order_entry))
    );
    assert_eq!(taken.released.iter().map(|share| share.amount.tiyn()).sum::<i64>(), 600);
    let wallet = world.wallet(0);
    assert_eq!(
        (wallet.posted, wallet.general, wallet.general_held),
        (1_000, 500, 400),
        "what it did not need is free"
    );
    // It has ended: nothing is carried out of it twice.
    let again = world.decide("bailiff", collect(6, 100).lifting("bailiff", 1));
    assert_eq!((again.outcome, again.field), (Outcome::Malformed, Some(MalformedField::Lifts)));
    assert_eq!(world.levied(0), 500);
    assert_eq!(world.protected(0), (500, 0));
    world.check();
}

#[test]
fn nobody_lifts_anothers_order_or_one_on_another_wallet() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    world.accrue(1, 2, 0, 1_000).unwrap();
    world.decide("bailiff", arrest(1));
    let lift = |by: &str, number, person, of: [u8; 32]| Order {
        lifts: Some(of),
        ..order(by, number, OrderKind::Lift, person)
    };
    for said in [
        lift("bailiff-2", 1, 0, tag("bailiff-2", 1)),
        lift("bailiff-2", 2, 0, tag("bailiff", 1)), // even if it knew the tag
        lift("bailiff", 2, 1, tag("bailiff", 1)),
        lift("bailiff", 3, 0, tag("bailiff", 9)),
    ] {
        let by = if said.order[0] == 6 { "bailiff-2" } else { "bailiff" };
        let decision = world.decide(by, said);
        assert_eq!((decision.outcome, decision.field), (Outcome::Malformed, Some(MalformedField::Lifts)));
        assert_eq!(world.wallet(0).held, 1_000);
    }
    let lifted = world.decide("bailiff", lift("bailiff", 3, 0, tag("bailiff", 1)));
    assert_eq!((lifted.outcome, lifted.released.len()), (Outcome::Executed, 1));
    assert_eq!(world.wallet(0).held, 0);
    // A lift cannot be lifted, nor an order that took.
    for (number, of) in [(4, 3), (5, 1)] {
        assert_eq!(
            world.outcome("bailiff", lift("bailiff", number, 0, tag("bailiff", of))),
            Outcome::Malformed
        );
    }
    world.check();
}

#[test]
fn an_arrest_ends_when_its_time_is_over_and_not_before() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let end = world.at + DAY;
    world.decide("bailiff", arrest(1).of(700).until(end));
    let order = entry_of(&world);
    world.decide("bailiff", arrest(2).of(100));
    let endless = entry_of(&world);
    for (at, code) in [(end - 1, Err(Code::OrderUnknown)), (end, Err(Code::OrderUnknown))] {
        world.at = at;
        assert_eq!(world.expire(order), code);
    }
    world.at = end + 1;
    assert_eq!(world.run("a", |books, entry| books.expire_order(entry, order)), Err(Code::ClientNotEntitled));
    world.expire(order).unwrap();
    assert_eq!(world.wallet(0).held, 100);
    assert_eq!(world.expire(order), Err(Code::OrderUnknown), "once");
    world.at += 10_000 * DAY;
    assert_eq!(world.expire(endless), Err(Code::OrderUnknown), "it stands until it is lifted");
    assert_eq!(world.expire(3), Err(Code::OrderUnknown));
    world.check();
}

#[test]
fn a_freeze_lets_nothing_out_and_everything_in_and_touches_no_protected_money() {
    let mut world = World::mixed();
    world.accrue(0, 0, 0, 1_000).unwrap();
    world.accrue(0, 2, 0, 200).unwrap();
    let before = world.transfer(0, 50).unwrap();
    let decision = world.decide("police", freeze("police", 1, world.at + DAY));
    assert_eq!((decision.outcome, decision.held.tiyn()), (Outcome::Held, 150), "free general money is held");
    let order_entry = entry_of(&world);
    assert!(world.wallet(0).frozen);
    assert_eq!(world.protected(0), (1_000, 0), "invariant 4");
    assert_eq!(world.transfer(0, 10), Err(Code::OutflowBlocked));
    assert_eq!(world.outcome("bailiff", collect(1, 10)), Outcome::RefusedProtected);
    world.accrue(0, 0, 1, 700).unwrap();
    world.accrue(0, 2, 1, 300).unwrap();
    assert_eq!(
        (world.wallet(0).posted, world.wallet(0).general_held),
        (2_200, 200),
        "accruals land, and are not held"
    );
    // What was requested before follows its bank's answer.
    let bank = Party::Bank(Bic::parse(b"HSBKKZKX").unwrap());
    world
        .run("halyk", |books, entry| books.answer_transfer(entry, bank, before, &Answer::Settled, None))
        .unwrap();
    world.at += DAY + 1;
    world.expire(order_entry).unwrap();
    assert!(!world.wallet(0).frozen);
    assert_eq!(world.wallet(0).held, 0);
    world.transfer(0, 2_150).unwrap();
    world.check();
}

#[test]
fn of_a_frozen_wallet_only_what_an_arrest_of_its_own_held_is_taken() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    world.decide("bailiff", arrest(1).of(300));
    world.decide("police", freeze("police", 1, world.at + DAY));
    world.accrue(0, 2, 1, 5_000).unwrap();
    let wallet = world.wallet(0);
    assert_eq!((wallet.general, wallet.general_held), (6_000, 1_000), "what came later is not held");
    for said in [collect(2, 100), order("bailiff", 3, OrderKind::Alimony, 0).of(100)] {
        let decision = world.decide("bailiff", said);
        assert_eq!((decision.outcome, decision.taken.tiyn()), (Outcome::RefusedProtected, 0), "it stays in");
    }
    let carried = world.decide("bailiff", collect(4, 500).lifting("bailiff", 1));
    assert_eq!((carried.outcome, carried.taken.tiyn()), (Outcome::Partial, 300));
    // Holding lets nothing out.
    let later = world.decide("bailiff", arrest(5).of(2_000));
    assert_eq!((later.outcome, later.held.tiyn()), (Outcome::Held, 2_000));
    world.decide("police", order("police", 2, OrderKind::Lift, 0).lifting("police", 1));
    assert_eq!(world.outcome("bailiff", collect(6, 3_700)), Outcome::Executed);
    world.check();
}

#[test]
fn an_order_that_is_over_is_carried_out_and_lifted_no_more() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let end = world.at + DAY;
    for number in 1..=3 {
        world.decide("bailiff", arrest(number).of(100).until(end));
    }
    world.at = end;
    let in_time = world.decide("bailiff", collect(4, 100).lifting("bailiff", 1));
    assert_eq!(in_time.outcome, Outcome::Executed, "at its last millisecond it stands");
    world.at = end + 1;
    let late = [
        collect(5, 100).lifting("bailiff", 2),
        order("bailiff", 6, OrderKind::Lift, 0).lifting("bailiff", 3),
    ];
    for said in &late {
        // Nothing at all is decided on the wallet before what is over has ended.
        let stamp = Stamp::of(world.at).unwrap();
        let actor = Actor { client: client("bailiff"), request: [0; 32], line: None, instruction: None };
        let entry = Entry { fx: &mut Effects::default(), stamp, actor };
        let fault = world.books.decide_order(entry, intake(said.clone())).unwrap_err();
        assert_eq!(fault, Fault::Unread("the end of an order whose time is over"));
    }
    for order in world.books.orders.over(world.at) {
        world.expire(order).unwrap();
    }
    for said in late {
        let decision = world.decide("bailiff", said);
        assert_eq!((decision.outcome, decision.field), (Outcome::Malformed, Some(MalformedField::Lifts)));
    }
    assert_eq!(world.outcome("bailiff", collect(7, 900)), Outcome::Executed, "all of it is free");
    world.check();
}

#[test]
fn a_freeze_of_a_container_holds_nothing_and_still_lets_nothing_out() {
    let mut world = World::container();
    world.accrue(0, 0, 0, 1_000).unwrap();
    let decision = world.decide("police", freeze("police", 1, world.at + DAY));
    assert_eq!((decision.outcome, decision.held.tiyn(), decision.shares.len()), (Outcome::Held, 0, 0));
    assert_eq!(world.protected(0), (1_000, 0));
    assert_eq!(world.transfer(0, 10), Err(Code::OutflowBlocked));
    let reverse = order("ministry", 1, OrderKind::OverpaymentRecovery, 0).of(100).of_accrual(0, 0);
    assert_eq!(world.outcome("ministry", reverse), Outcome::Executed, "the payer's own money is not outflow");
    let lift = order("police", 2, OrderKind::Lift, 0).lifting("police", 1);
    assert_eq!(world.outcome("police", lift), Outcome::Executed);
    world.transfer(0, 900).unwrap();
    world.check();
}

#[test]
fn a_wallet_is_frozen_until_the_last_of_its_freezes_ends() {
    let mut world = World::container();
    world.accrue(0, 0, 0, 1_000).unwrap();
    let mut entries = Vec::new();
    for (number, days) in [(1, 1), (2, 3), (3, 2)] {
        world.decide("police", freeze("police", number, world.at + days * DAY));
        entries.push(entry_of(&world));
    }
    world.at += DAY + 1;
    world.expire(entries[0]).unwrap();
    assert!(world.wallet(0).frozen);
    let lift = order("police", 4, OrderKind::Lift, 0).lifting("police", 2);
    world.decide("police", lift);
    assert!(world.wallet(0).frozen);
    world.at += DAY;
    world.expire(entries[2]).unwrap();
    assert!(!world.wallet(0).frozen);
    world.check();
}

#[test]
fn orders_that_come_together_are_decided_by_precedence_and_of_one_kind_as_they_came() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let all: Vec<Order> = vec![
        arrest(1),
        collect(2, 600),
        collect(3, 600),
        order("bailiff", 4, OrderKind::Alimony, 0).of(300),
        order("bailiff", 5, OrderKind::Lift, 0).lifting("bailiff", 9),
    ];
    let intakes: Vec<Intake> = all.iter().cloned().map(intake).collect();
    let places = world.books.precedence(&intakes);
    assert_eq!(places, [4, 3, 1, 2, 0]);
    let outcomes: Vec<_> = places
        .iter()
        .map(|place| {
            let decision = world.decide("bailiff", all[*place].clone());
            (decision.outcome, decision.taken.tiyn())
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            (Outcome::Malformed, 0),
            (Outcome::Executed, 300),
            (Outcome::Executed, 600),
            (Outcome::Partial, 100),
            (Outcome::RefusedProtected, 0)
        ]
    );
    // Before the first table is in force the shipped one's precedence holds; what cannot be read comes last.
    let unread =
        Intake { said: Err(([9; 32], MalformedField::Kind)), wallet: None, sealed: vec![], line: None };
    assert_eq!(World::container().books.precedence(&[unread, intake(arrest(1))]), [1, 0]);
    world.check();
}
