//! Orders, and wallets of one person that become one; orders, and what a choice sends on.

use super::*;
use crate::ledger::choice::ChoiceRecord;
use crate::ledger::payment::Document;

impl World {
    fn merge(&mut self, kept: u8, gone: u8) -> Result<u64, Code> {
        let document = Document::parse("act 7").unwrap();
        self.agree(Proposal::MergeWallets { wallet: id(kept), merged: id(gone), document })
    }
}

#[test]
fn a_wallet_on_which_an_order_stands_is_not_merged_and_then_its_orders_reach_the_other() {
    let mut world = World::mixed();
    world.accrue(0, 2, 0, 300).unwrap();
    world.accrue(1, 2, 1, 1_000).unwrap();
    let until = world.at + 10 * DAY;
    world.decide("bailiff", order("bailiff", 1, OrderKind::Arrest, 1).of(400).until(until));
    let arrest = world.books.size - 1;
    assert_eq!(world.merge(0, 1), Err(Code::OutflowBlocked), "what it holds, it holds there");
    world.at = until + 1;
    world.expire(arrest).unwrap();
    world.decide("police", order("police", 2, OrderKind::Freeze, 1).until(until + 2 * DAY));
    let freeze = world.books.size - 1;
    assert_eq!(world.merge(0, 1), Err(Code::OutflowBlocked), "frozen");
    world.at = until + 2 * DAY + 1;
    world.expire(freeze).unwrap();
    // One on the wallet that stays is no obstacle.
    world.decide("bailiff", order("bailiff", 3, OrderKind::Arrest, 0).of(100));
    world.merge(0, 1).unwrap();
    assert_eq!((world.wallet(0).posted, world.wallet(0).held), (1_300, 100));
    // The debtor's old number means the wallet that it leads to.
    let taken = world.decide("bailiff", order("bailiff", 4, OrderKind::Collection, 1).of(1_100));
    assert_eq!((taken.wallet, taken.outcome, taken.taken.tiyn()), (Some(id(0)), Outcome::Executed, 1_100));
    assert_eq!((world.wallet(0).posted, world.wallet(1)), (200, world.wallet(0)));
    world.check();
}

#[test]
fn a_frozen_wallet_sends_nothing_on_and_the_accrual_lands() {
    let mut world = World::mixed();
    world.accrue(0, 0, 0, 10).unwrap();
    let purpose = Purpose::Transfer {
        bank: Bic::parse(b"HSBKKZKX").unwrap(),
        form: DestinationForm::Card,
        last_four: LastFour::parse("4242").unwrap(),
        destination: [1; 32],
    };
    let (at, expires) = (world.at, world.at + 60 * MINUTE);
    let consent = |number: u8| Consent { method: ConsentMethod::SmsCode, evidence: [number; 32], at };
    let terms = Terms { purpose, ceiling: amount(10_000), standing: true, expires };
    let given =
        world.run("egov", |books, entry| books.authorise(entry, id(0), terms, consent(8), vec![1])).unwrap();
    world.run("egov", |books, entry| books.choose(entry, id(0), None, Some(given), consent(9))).unwrap();
    world.decide("police", order("police", 1, OrderKind::Freeze, 0).until(at + DAY));
    world.accrue(0, 0, 1, 700).unwrap();
    let Some(Record::Choice(record)) = world.written.last() else { panic!("it is told") };
    let ChoiceRecord::TransferNotStarted { reason, .. } = **record else { panic!("it is told") };
    assert_eq!(reason, Code::OutflowBlocked);
    assert_eq!((world.wallet(0).posted, world.wallet(0).held), (710, 0));
    world.check();
}
