//! What is looked at before money: the document, the fields, the issuer, the debt, the debtor.

use super::*;
use crate::ledger::order::{MalformedField, ORDER_LIFETIME_MAX, Rule};
use crate::ledger::payment::Audience;

fn taking(kind: OrderKind, person: u8) -> Order {
    order("bailiff", 1, kind, person).of(100)
}

/// An order of a kind with all that its kind needs, of an issuer.
fn whole(by: &str, issuer: Issuer, number: u8, kind: OrderKind) -> Order {
    let said = order(by, number, kind, 0);
    match kind {
        OrderKind::Collection if issuer == Issuer::TaxAuthority => said.of(100).for_debt(number, false),
        OrderKind::Arrest | OrderKind::Suspension => said,
        OrderKind::Freeze => said.until(START + DAY),
        OrderKind::OverpaymentRecovery => said.of(100).of_accrual(0, 0),
        OrderKind::Lift => said.lifting(by, 200),
        _ => said.of(100),
    }
}

#[test]
fn every_issuer_gives_the_orders_of_its_competence_and_no_others() {
    let mut world = World::container();
    world.accrue(0, 0, 0, 5_000).unwrap();
    let shipped = RuleTable::shipped();
    let mut number = 0;
    for (by, issuer) in ISSUERS {
        for kind in OrderKind::ALL {
            number += 1;
            let decision = world.decide(by, whole(by, issuer, number, kind));
            let may = shipped.may(issuer, kind);
            assert_eq!(decision.outcome == Outcome::UnauthorisedIssuer, !may, "{by} {kind}");
            if !may {
                assert_eq!(decision.wallet, None, "who may not ask is not told whether there is a wallet");
            }
            if let Some(field) = decision.field {
                assert_eq!((kind, field), (OrderKind::Lift, MalformedField::Lifts), "it has lifted nothing");
            }
        }
        // An overpayment was recovered, and a freeze stands: neither is a seizure.
    }
    world.check();
}

#[test]
fn what_a_kind_lacks_or_must_not_have_is_malformed_and_its_document_stays_free() {
    use MalformedField as Field;
    let mut world = World::container();
    world.accrue(0, 0, 0, 5_000).unwrap();
    let (day, over) = (START + DAY, START + ORDER_LIFETIME_MAX + 1);
    let of = |by: &str, kind| order(by, 1, kind, 0);
    for (by, said, field) in [
        ("bailiff", of("bailiff", OrderKind::Collection), Field::Amount),
        ("bailiff", of("bailiff", OrderKind::Collection).of(5).until(day), Field::Expires),
        ("bailiff", of("bailiff", OrderKind::Collection).of(5).for_debt(1, false), Field::TaxDebt),
        ("bailiff", of("bailiff", OrderKind::Collection).of(5).of_accrual(0, 0), Field::Overpaid),
        ("bailiff", of("bailiff", OrderKind::Collection).of(5).lifting("bailiff", 9), Field::Lifts),
        ("bailiff", of("bailiff", OrderKind::Arrest).lifting("bailiff", 9), Field::Lifts),
        ("bailiff", of("bailiff", OrderKind::Arrest).until(START), Field::Expires),
        ("bailiff", of("bailiff", OrderKind::Arrest).until(over), Field::Expires),
        ("bailiff", of("bailiff", OrderKind::Lift), Field::Lifts),
        ("bailiff", of("bailiff", OrderKind::Lift).of(5).lifting("bailiff", 9), Field::Amount),
        ("bailiff", of("bailiff", OrderKind::Lift).until(day).lifting("bailiff", 9), Field::Expires),
        ("bailiff", of("bailiff", OrderKind::Lift).lifting("bailiff", 9), Field::Lifts),
        ("tax", of("tax", OrderKind::Collection).of(5), Field::TaxDebt),
        ("police", of("police", OrderKind::Freeze), Field::Expires),
        ("police", of("police", OrderKind::Freeze).until(day).of(5), Field::Amount),
        ("ministry", of("ministry", OrderKind::OverpaymentRecovery).of_accrual(0, 0), Field::Amount),
        ("ministry", of("ministry", OrderKind::OverpaymentRecovery).of(5), Field::Overpaid),
        ("ministry", of("ministry", OrderKind::OverpaymentRecovery).of(5).of_accrual(3, 0), Field::Overpaid),
        ("ministry", of("ministry", OrderKind::OverpaymentRecovery).of(5).of_accrual(0, 7), Field::Overpaid),
    ] {
        let decision = world.decide(by, said.clone());
        assert_eq!((decision.outcome, decision.field), (Outcome::Malformed, Some(field)), "{by} {said:?}");
        assert_eq!(world.protected(0), (5_000, 0));
    }
    // The same document, right: it is decided.
    assert_eq!(world.outcome("bailiff", taking(OrderKind::Collection, 0)), Outcome::RefusedProtected);
    world.check();
}

#[test]
fn what_cannot_be_read_is_noted_and_binds_nothing() {
    let mut world = World::container();
    for field in MalformedField::ALL {
        let unread =
            Intake { said: Err((tag("bailiff", 1), field)), wallet: None, sealed: vec![9], line: None };
        let made = world.run("bailiff", |books, entry| books.decide_order(entry, unread)).unwrap();
        assert!(matches!(made, Answered::Made(_)));
    }
    assert_eq!(world.outcome("bailiff", taking(OrderKind::Collection, 0)), Outcome::NoWallet);
    let unread = Intake {
        said: Err((tag("bailiff", 1), MalformedField::Iin)),
        wallet: None,
        sealed: vec![9],
        line: None,
    };
    let refused = world.run("bailiff", |books, entry| books.decide_order(entry, unread));
    assert_eq!(refused, Err(Code::OrderConflict), "its document is used up now");
}

#[test]
fn the_same_order_again_is_the_same_decision_and_another_is_a_conflict_that_names_the_field() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    world.accrue(0, 0, 0, 1_000).unwrap();
    let said = order("tax", 1, OrderKind::Collection, 0).of(300).for_debt(1, false);
    let Ok(Answered::Made(seq)) = world.send("tax", said.clone()) else { panic!("not decided") };
    assert_eq!(world.levied(1), 300);
    for _ in 0..2 {
        world.at += DAY;
        assert_eq!(world.send("tax", said.clone()), Ok(Answered::Repeated(seq)));
        assert_eq!(world.levied(1), 300, "it moves nothing");
    }
    for (field, other) in [
        ("kind", Order { order_kind: OrderKind::Suspension, ..said.clone() }),
        ("iin", Order { debtor: [1; 32], ..said.clone() }),
        ("amount", said.clone().of(301)),
        ("enforcement_document", Order { enforcement_document: [9; 32], ..said.clone() }),
        ("purpose", Order { purpose: [9; 32], ..said.clone() }),
        ("expires", said.clone().until(world.at + DAY)),
        ("tax_debt", said.clone().for_debt(2, false)),
        ("tax_debt", said.clone().for_debt(1, true)),
        ("overpaid", said.clone().of_accrual(0, 0)),
        ("lifts", said.clone().lifting("tax", 9)),
    ] {
        let stamp = Stamp::of(world.at).unwrap();
        let actor = Actor { client: client("tax"), request: [0; 32], line: None, instruction: None };
        let mut fx = Effects::default();
        let refused =
            world.books.decide_order(Entry { fx: &mut fx, stamp, actor }, intake(other)).unwrap_err();
        let Fault::Refused(refusal) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (refusal.code, refusal.field, refusal.entry),
            (Code::OrderConflict, Some(field), Some(seq))
        );
        assert!(fx.is_empty());
    }
    // Another issuer's document of the same number is another document.
    assert_eq!(
        world.outcome("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(300)),
        Outcome::Executed
    );
    world.check();
}

#[test]
fn a_tax_debt_that_was_met_is_returned_unexecuted() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let collect = |number, tiyn, debt, elsewhere| {
        order("tax", number, OrderKind::Collection, 0).of(tiyn).for_debt(debt, elsewhere)
    };
    let elsewhere = world.decide("tax", collect(1, 400, 1, true));
    assert_eq!((elsewhere.outcome, elsewhere.taken.tiyn()), (Outcome::ReturnedDuplicate, 0));
    assert_eq!(
        world.outcome("tax", collect(2, 400, 1, false)),
        Outcome::Executed,
        "what is claimed meets no debt here"
    );
    assert_eq!(world.outcome("tax", collect(3, 400, 1, false)), Outcome::ReturnedDuplicate);
    // Another person's debt of the same date, amount and type is another debt.
    let nobody = Order { debtor: [5; 32], ..collect(4, 400, 1, false) };
    assert_eq!(world.outcome("tax", nobody), Outcome::NoWallet);
    world.accrue(1, 2, 0, 1_000).unwrap();
    let other = Order { debtor: [1; 32], ..collect(5, 400, 1, false) };
    assert_eq!(world.outcome("tax", other), Outcome::Executed);
    // One that nobody with a wallet owes is returned as well, if it was met elsewhere.
    let nobody = Order { debtor: [5; 32], ..collect(6, 400, 1, true) };
    let returned = world.decide("tax", nobody);
    assert_eq!((returned.outcome, returned.wallet), (Outcome::ReturnedDuplicate, None));
    world.check();
}

#[test]
fn no_more_than_a_tax_debt_is_taken_for_it_however_many_orders_come() {
    let mut world = World::mixed();
    let collect = |number| order("tax", number, OrderKind::Collection, 0).of(900).for_debt(2, false);
    let figures = |decision: &Decision| {
        let sums = [decision.taken, decision.held, decision.refused].map(crate::domain::Money::tiyn);
        (decision.outcome, sums)
    };
    world.accrue(0, 2, 0, 600).unwrap();
    let first = world.decide("tax", collect(1));
    assert_eq!(figures(&first), (Outcome::Partial, [600, 0, 300]));
    world.accrue(0, 2, 1, 200).unwrap();
    let second = world.decide("tax", collect(2));
    assert_eq!(figures(&second), (Outcome::Partial, [200, 0, 700]));
    assert!(second.rows.len() == 2, "of what was left of it something was refused");
    world.accrue(0, 2, 2, 5_000).unwrap();
    let third = world.decide("tax", collect(3));
    assert_eq!(figures(&third), (Outcome::Partial, [100, 0, 800]), "what is asked stays what is asked");
    let [row] = third.rows.as_slice() else { panic!("nothing was refused: {:?}", third.rows) };
    assert_eq!(RuleTable::shipped().rules[usize::from(*row)].class, FundClass::General);
    let fourth = world.decide("tax", collect(4));
    assert_eq!(figures(&fourth), (Outcome::ReturnedDuplicate, [0, 0, 900]));
    assert_eq!((world.levied(1), world.wallet(0).general), (900, 4_900));
    world.check();
}

#[test]
fn the_debtor_has_no_wallet_and_later_has_one() {
    let mut world = World::container();
    let first = world.decide("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(100));
    assert_eq!((first.outcome, first.wallet, first.refused.tiyn()), (Outcome::NoWallet, None, 100));
    world.accrue(0, 0, 0, 500).unwrap();
    let said = order("bailiff", 1, OrderKind::Collection, 0).of(100);
    assert!(matches!(world.send("bailiff", said), Ok(Answered::Repeated(_))), "it was decided");
    let second = world.decide("bailiff", order("bailiff", 2, OrderKind::Collection, 0).of(100));
    assert_eq!((second.outcome, second.wallet), (Outcome::RefusedProtected, Some(id(0))));
}

#[test]
fn only_an_authority_that_is_not_suspended_issues_orders() {
    let mut world = World::container();
    let said = order("bailiff", 1, OrderKind::Collection, 0).of(100);
    for by in ["egov", "halyk", "a", "nobody"] {
        assert_eq!(world.send(by, said.clone()), Err(Code::ClientNotEntitled), "{by}");
    }
    let reason = crate::domain::Reason::parse("a key was stolen").unwrap();
    world.run("a", |books, entry| books.set_suspended(entry, client("bailiff"), true, reason)).unwrap();
    assert_eq!(world.send("bailiff", said), Err(Code::ClientNotEntitled));
}

#[test]
fn the_first_order_brings_the_shipped_table_into_force_as_an_entry() {
    let mut world = World::container();
    let decision = world.decide("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(100));
    let [Record::Order(first), Record::Order(_)] = world.written.as_slice() else {
        panic!("{:?}", world.written)
    };
    assert_eq!(**first, OrderRecord::RulesSet { rules: Box::new(RuleTable::shipped()) });
    assert_eq!(decision.rules, world.books.size - 2);
    let second = world.decide("bailiff", order("bailiff", 2, OrderKind::Collection, 0).of(100));
    assert_eq!((second.rules, world.written.len()), (decision.rules, 1));
    // Nobody else sets a table alone, and the service none but the first.
    let table = RuleTable { precedence: Vec::new(), ..RuleTable::shipped() };
    let alone = |books: &mut Books, entry: Entry<'_>| books.set_first_rules(entry, RuleTable::shipped());
    assert_eq!(world.run("system", alone), Err(Code::ApprovalRequired));
    assert_eq!(
        world.run("a", |books, entry| books.set_rules(entry, table.clone())),
        Err(Code::ApprovalRequired)
    );
    let set = world.set_rules(table).unwrap();
    let third = world.decide("bailiff", order("bailiff", 3, OrderKind::Collection, 0).of(100));
    assert_eq!(third.rules, set, "it is decided by the table in force, and names its entry");
    assert_eq!(
        world.set_rules(RuleTable { precedence: Vec::new(), ..RuleTable::shipped() }),
        Err(Code::RulesUnchanged)
    );
}

#[test]
fn who_holds_the_money_is_told_in_the_same_commit_and_of_nothing_that_binds_nothing() {
    let mut world = World::container();
    world.accrue(0, 0, 0, 500).unwrap();
    let mut told = |said: Order, by: &str| {
        let stamp = Stamp::of(world.at).unwrap();
        let actor = Actor { client: client(by), request: [0; 32], line: None, instruction: None };
        let mut fx = Effects::default();
        world.books.decide_order(Entry { fx: &mut fx, stamp, actor }, intake(said)).unwrap();
        let last = world.books.size - 1;
        assert!(fx.events.iter().all(|(audience, seq)| (*audience, *seq) == (Audience::Holders, last)));
        fx.events.len()
    };
    assert_eq!(told(order("bailiff", 1, OrderKind::Collection, 0).of(100), "bailiff"), 1);
    assert_eq!(told(order("bailiff", 2, OrderKind::Collection, 0), "bailiff"), 0, "malformed");
    assert_eq!(told(order("bailiff", 3, OrderKind::Fee, 0).of(100), "bailiff"), 0, "unauthorised");
    assert_eq!(told(order("bailiff", 4, OrderKind::Collection, 7).of(100), "bailiff"), 0, "no wallet");
}

#[test]
fn a_container_takes_nothing_general_and_rules_that_would_are_refused() {
    let mut world = World::container();
    world.outcome("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(100));
    assert_eq!(world.register(2, FundClass::General), Err(Code::GeneralNotAllowed));
    let to_general = Proposal::ChangeClass { programme: code(0), class: FundClass::General };
    assert_eq!(world.agree(to_general.clone()), Err(Code::GeneralNotAllowed));
    world.set_rules(RuleTable { mode: Mode::Mixed, ..RuleTable::shipped() }).unwrap();
    world.register(2, FundClass::General).unwrap();
    assert_eq!(world.set_rules(RuleTable::shipped()), Err(Code::GeneralNotAllowed), "something is general");
    let back = Proposal::ChangeClass { programme: code(2), class: FundClass::Protected };
    world.agree(back).unwrap();
    world.set_rules(RuleTable::shipped()).unwrap();
    let unknown = Rule { programme: Some(code(3)), ..RuleTable::shipped().rules[8].clone() };
    let rules = [RuleTable::shipped().rules, vec![unknown]].concat();
    assert_eq!(world.set_rules(RuleTable { rules, ..RuleTable::shipped() }), Err(Code::ProgrammeUnknown));
}
