//! Orders that take: what they reach of which money, and who is paid.

use super::*;
use crate::ledger::order::{Effect, Rule};
use crate::ledger::payment_rules::Answer;
use crate::ledger::wallet::EntryKind;

const TAKING: [(&str, OrderKind); 6] = [
    ("bailiff", OrderKind::Collection),
    ("bailiff", OrderKind::Alimony),
    ("tax", OrderKind::Collection),
    ("bank-claims", OrderKind::PaymentDemand),
    ("bank-claims", OrderKind::SetOff),
    ("bank-claims", OrderKind::Fee),
];

fn taking((by, kind): (&str, OrderKind), number: u8, tiyn: i64) -> Order {
    let said = order(by, number, kind, 0).of(tiyn);
    if by == "tax" { said.for_debt(number, false) } else { said }
}

/// A row about general money, of all programmes or one.
fn row(order: OrderKind, programme: Option<usize>, effect: Effect, cap_percent: Option<u8>) -> Rule {
    let shipped = RuleTable::shipped();
    let like =
        shipped.rules.iter().find(|rule| rule.order == order && rule.class == FundClass::General).unwrap();
    Rule { programme: programme.map(code), effect, cap_percent, ..like.clone() }
}

/// The shipped rules of a mixed book, with other rows about one kind of order.
fn with_rows(order: OrderKind, rows: Vec<Rule>) -> RuleTable {
    let mut table = RuleTable { mode: Mode::Mixed, ..RuleTable::shipped() };
    table.rules.retain(|rule| rule.order != order || rule.class == FundClass::Protected);
    table.rules.extend(rows);
    table
}

#[test]
fn protected_money_is_refused_to_everybody_with_the_law() {
    let mut world = World::container();
    world.accrue(0, 0, 0, 50_000).unwrap();
    world.accrue(0, 1, 0, 30_000).unwrap();
    for (number, who) in (1..).zip(TAKING) {
        let decision = world.decide(who.0, taking(who, number, 10_000));
        assert_eq!(decision.outcome, Outcome::RefusedProtected, "{who:?}");
        assert_eq!((decision.taken.tiyn(), decision.held.tiyn(), decision.refused.tiyn()), (0, 0, 10_000));
        assert!(decision.shares.is_empty());
        let table = RuleTable::shipped();
        let [basis] = decision.rows.as_slice() else { panic!("one row decides: {:?}", decision.rows) };
        let basis = &table.rules[usize::from(*basis)];
        assert_eq!((basis.order, basis.class), (who.1, FundClass::Protected));
        assert!(basis.legal_basis.en.as_str().contains("58(2)(1)"));
        assert_eq!(world.protected(0), (80_000, 0), "invariant 4");
    }
    world.check();
}

#[test]
fn general_money_is_taken_first_in_first_out_and_owed_to_the_authority() {
    for who in TAKING {
        let mut world = World::mixed();
        world.accrue(0, 0, 0, 9_000).unwrap();
        let first = world.accrue(0, 2, 0, 300).unwrap();
        let second = world.accrue(0, 3, 0, 500).unwrap();
        world.accrue(0, 1, 0, 9_000).unwrap();
        let place = ISSUERS.iter().position(|(name, _)| *name == who.0).unwrap();

        let executed = world.decide(who.0, taking(who, 1, 400));
        assert_eq!((executed.outcome, executed.taken.tiyn()), (Outcome::Executed, 400), "{who:?}");
        let shares: Vec<_> = executed.shares.iter().map(|share| (share.lot, share.amount.tiyn())).collect();
        assert_eq!(shares, [(first, 300), (second, 100)]);
        let partial = world.decide(who.0, taking(who, 2, 1_000));
        assert_eq!(
            (partial.outcome, partial.taken.tiyn(), partial.refused.tiyn()),
            (Outcome::Partial, 400, 600)
        );
        let refused = world.decide(who.0, taking(who, 3, 1));
        assert_eq!((refused.outcome, refused.refused.tiyn()), (Outcome::RefusedProtected, 1));

        assert_eq!(world.levied(place), 800);
        assert_eq!(world.protected(0), (18_000, 0), "invariant 4");
        assert_eq!(world.wallet(0).general, 0);
        // No order has an effect on money that comes later.
        world.accrue(0, 2, 1, 700).unwrap();
        assert_eq!((world.wallet(0).general, world.wallet(0).general_held), (700, 0));
        world.check();
    }
}

#[test]
fn what_is_held_for_a_payment_ranks_before_a_later_order() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let transfer = world.transfer(0, 700).unwrap();
    let partial = world.decide("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(900));
    assert_eq!((partial.outcome, partial.taken.tiyn()), (Outcome::Partial, 300));
    let bank = Party::Bank(Bic::parse(b"HSBKKZKX").unwrap());
    world
        .run("halyk", |books, entry| books.answer_transfer(entry, bank, transfer, &Answer::Settled, None))
        .unwrap();
    assert_eq!((world.wallet(0).posted, world.levied(0)), (0, 300));
    world.check();
}

#[test]
fn a_cap_is_a_share_of_the_free_money_that_the_row_is_about_rounded_down() {
    for (cap, free, asked, taken) in
        [(50, 1_001, 1_000, 500), (1, 99, 50, 0), (1, 100, 50, 1), (100, 700, 1_000, 700), (99, 700, 10, 10)]
    {
        let mut world = World::mixed();
        world
            .set_rules(with_rows(
                OrderKind::Alimony,
                vec![row(OrderKind::Alimony, None, Effect::Allow, Some(cap))],
            ))
            .unwrap();
        world.accrue(0, 2, 0, free).unwrap();
        let decision = world.decide("bailiff", order("bailiff", 1, OrderKind::Alimony, 0).of(asked));
        assert_eq!(decision.taken.tiyn(), taken, "{cap} % of {free}");
        world.check();
    }
}

#[test]
fn a_row_of_one_programme_goes_before_the_one_for_all_and_what_no_row_is_about_is_refused() {
    let kind = OrderKind::Collection;
    let mut world = World::mixed();
    let rows = vec![row(kind, Some(3), Effect::Refuse, None), row(kind, None, Effect::Allow, Some(50))];
    world.set_rules(with_rows(kind, rows)).unwrap();
    world.accrue(0, 3, 0, 1_000).unwrap();
    let bonus = world.accrue(0, 2, 0, 600).unwrap();
    let decision = world.decide("bailiff", order("bailiff", 1, kind, 0).of(900));
    let shares: Vec<_> = decision.shares.iter().map(|share| (share.lot, share.amount.tiyn())).collect();
    assert_eq!((decision.outcome, shares), (Outcome::Partial, vec![(bonus, 300)]));

    world.set_rules(with_rows(kind, vec![row(kind, Some(2), Effect::Allow, None)])).unwrap();
    let decision = world.decide("bailiff", order("bailiff", 2, kind, 0).of(900));
    assert_eq!(decision.taken.tiyn(), 300, "no row is about wages");
    assert_eq!(world.wallet(0).general, 1_000);
    world.check();
}

#[test]
fn the_rows_that_decided_are_named_and_no_others() {
    let kind = OrderKind::Collection;
    let mut world = World::mixed();
    let rows = vec![row(kind, Some(3), Effect::Refuse, None), row(kind, None, Effect::Allow, Some(50))];
    let table = with_rows(kind, rows);
    let last = u8::try_from(table.rules.len() - 1).unwrap();
    let of = |kind, class| {
        let row = table.rules.iter().position(|rule| (rule.order, rule.class) == (kind, class)).unwrap();
        u8::try_from(row).unwrap()
    };
    let protected = of(kind, FundClass::Protected);
    world.set_rules(table.clone()).unwrap();
    world.accrue(0, 0, 0, 9_000).unwrap();
    let named = |world: &mut World, by: &str, said: Order| world.decide(by, said).rows;
    let collect = |number, tiyn| order("bailiff", number, kind, 0).of(tiyn);
    assert_eq!(named(&mut world, "bailiff", collect(1, 10)), [protected], "whatever there is in the wallet");
    world.accrue(0, 3, 0, 1_000).unwrap();
    world.accrue(0, 2, 0, 600).unwrap();
    // Wages came first, and are kept; bonuses are taken. All that was asked was reached.
    assert_eq!(named(&mut world, "bailiff", collect(2, 300)), [last - 1, last]);
    assert_eq!(named(&mut world, "bailiff", collect(3, 900)), [protected, last - 1, last]);
    world.accrue(1, 2, 0, 1).unwrap();
    let capped = order("bailiff", 4, kind, 1).of(1);
    assert_eq!(named(&mut world, "bailiff", capped), [protected, last], "half of a tiyn is nothing");
    // What is not asked for is not decided.
    world.accrue(2, 2, 0, 100).unwrap();
    world.accrue(2, 3, 0, 100).unwrap();
    assert_eq!(named(&mut world, "bailiff", order("bailiff", 5, kind, 2).of(50)), [last]);
    // Of what holds without an amount something is refused if nothing is held; a freeze refuses nothing.
    let arrest = |number, person| order("bailiff", number, OrderKind::Arrest, person);
    assert_eq!(named(&mut world, "bailiff", arrest(6, 2)), [of(OrderKind::Arrest, FundClass::General)]);
    assert_eq!(named(&mut world, "bailiff", arrest(7, 2)), [of(OrderKind::Arrest, FundClass::Protected)]);
    let until = world.at + DAY;
    let freeze = |number, person| order("police", number, OrderKind::Freeze, person).until(until);
    assert_eq!(named(&mut world, "police", freeze(8, 1)), [of(OrderKind::Freeze, FundClass::General)]);
    assert_eq!(named(&mut world, "police", freeze(9, 2)), [] as [u8; 0]);
    world.check();
}

#[test]
fn a_row_holds_on_its_days_and_on_no_others() {
    use crate::domain::Day;
    let kind = OrderKind::Collection;
    let mut world = World::mixed();
    let today = Stamp::of(START).unwrap().date_text();
    let tomorrow = Stamp::of(START + DAY).unwrap().date_text();
    let from = Day::parse(&tomorrow).unwrap();
    let rule = Rule { valid_from: from, valid_to: Some(from), ..row(kind, None, Effect::Allow, None) };
    world.set_rules(with_rows(kind, vec![rule])).unwrap();
    world.accrue(0, 2, 0, 1_000).unwrap();
    assert_eq!(
        world.outcome("bailiff", order("bailiff", 1, kind, 0).of(10)),
        Outcome::RefusedProtected,
        "{today}"
    );
    world.at += DAY;
    assert_eq!(world.outcome("bailiff", order("bailiff", 2, kind, 0).of(10)), Outcome::Executed);
    world.at += DAY;
    assert_eq!(world.outcome("bailiff", order("bailiff", 3, kind, 0).of(10)), Outcome::RefusedProtected);
}

#[test]
fn an_overpayment_is_taken_of_the_unspent_rest_of_that_accrual_and_of_nothing_else() {
    let mut world = World::container();
    let lot = world.accrue(0, 0, 0, 1_000).unwrap();
    world.accrue(0, 0, 1, 5_000).unwrap();
    world.transfer(0, 300).unwrap();
    let recover =
        |number, tiyn| order("ministry", number, OrderKind::OverpaymentRecovery, 0).of(tiyn).of_accrual(0, 0);
    let unspent = world.balance(SystemAccount::Funding(code(0)));
    let executed = world.decide("ministry", recover(1, 200));
    assert_eq!(
        (executed.outcome, executed.taken.tiyn(), executed.shares[0].lot),
        (Outcome::Executed, 200, lot)
    );
    let partial = world.decide("ministry", recover(2, 5_000));
    assert_eq!((partial.outcome, partial.taken.tiyn()), (Outcome::Partial, 500), "what is held stays");
    assert_eq!(world.outcome("ministry", recover(3, 1)), Outcome::RefusedProtected);
    assert_eq!(
        world.balance(SystemAccount::Funding(code(0))),
        unspent + 700,
        "it goes back to the programme"
    );
    assert_eq!(world.wallet(0).posted, 5_300);
    let account = world.wallet(0).account;
    let lots = world.books.lots_of(account).unwrap();
    assert_eq!((lots[0].reversed, lots[0].remaining, lots[1].remaining), (700, 300, 5_000));
    // It is that programme's payer who recovers, nobody else.
    world.register(2, FundClass::Protected).unwrap();
    assert_eq!(world.levied(4), 0, "it is no levy");
    world.check();
}

#[test]
fn a_wallets_entry_says_that_money_was_taken_for_an_authority() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    let (stamp, mut fx) = (Stamp::of(world.at).unwrap(), Effects::default());
    let actor = Actor { client: client("bailiff"), request: [0; 32], line: None, instruction: None };
    let said = order("bailiff", 1, OrderKind::Collection, 0).of(400);
    world.books.decide_order(Entry { fx: &mut fx, stamp, actor }, intake(said)).unwrap();
    let rows: Vec<_> = fx.entries.iter().map(|row| (row.kind, row.amount, row.after.posted)).collect();
    assert_eq!(rows, [(EntryKind::Levy, -400, 600)]);
}

#[test]
fn what_was_taken_is_paid_to_the_authority_once_and_no_more_than_it() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 1_000).unwrap();
    world.decide("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(400));
    world.decide("bailiff-2", order("bailiff-2", 1, OrderKind::Collection, 0).of(100));
    let mut settle = |place: usize, tiyn: i64, reference: &str| {
        let reference = BankReference::parse(reference).unwrap();
        world.run("a", |books, entry| books.settle_levy(entry, bin(place), amount(tiyn), reference))
    };
    assert_eq!(settle(0, 401, "p-1"), Err(Code::LevyInsufficient));
    assert_eq!(settle(1, 1, "p-1"), Err(Code::LevyInsufficient), "nothing was taken for the tax authority");
    settle(0, 150, "p-1").unwrap();
    assert_eq!(settle(0, 150, "p-1"), Err(Code::BankReferenceUsed));
    settle(6, 100, "p-1").unwrap(); // another authority's payment may bear the same reference
    settle(0, 250, "p-2").unwrap();
    assert_eq!(settle(0, 1, "p-3"), Err(Code::LevyInsufficient));
    let reference = BankReference::parse("p-4").unwrap();
    let alone = |books: &mut Books, entry: Entry<'_>| books.settle_levy(entry, bin(0), amount(1), reference);
    assert_eq!(world.run("bailiff", alone), Err(Code::OperatorRequired));
    world.check();
}

/// 31 CFR 212, appendix C of the rule as published: the protected amount is the lesser of the benefits of the look-back and the
/// balance; what is above it is reached. Here the class of a lot says the same without a look-back, as long as what is spent is
/// spent of general money first.
#[test]
fn the_worked_examples_of_31_cfr_212_come_out_as_published() {
    for (benefits, others, spent, protected, reached) in [
        (120_000, 0, 40_000, 80_000, 0), // benefits of 1,200, a balance of 800: 800 protected
        (120_000, 40_000, 0, 120_000, 40_000), // benefits of 1,200, a balance of 1,600: 1,200 protected, 400 reached
    ] {
        let mut world = World::mixed();
        world.accrue(0, 0, 0, benefits).unwrap();
        if others > 0 {
            world.accrue(0, 2, 0, others).unwrap();
        }
        if spent > 0 {
            world.transfer(0, spent).unwrap();
        }
        let balance = world.wallet(0).posted - world.wallet(0).held;
        assert_eq!(protected, benefits.min(balance));
        let decision = world.decide("bailiff", order("bailiff", 1, OrderKind::Collection, 0).of(balance));
        assert_eq!((decision.taken.tiyn(), decision.refused.tiyn()), (reached, protected));
        let left = world.protected(0);
        assert_eq!(left.0 - left.1, protected);
        world.check();
    }
}
