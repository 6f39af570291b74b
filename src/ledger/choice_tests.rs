//! Choices of a destination, further numbers, and merged wallets: rule by rule, and random lives of several people whose wallets
//! become one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::choice::ChoiceRecord;
use super::effects::Effects;
use super::payment::{Consent, ConsentMethod, Counted, Limits, PaymentRecord, Purpose, ReleaseCause, Terms};
use super::payment_rules::{Answer, Party};
use super::payment_tests::{MINUTE, World, amount, bank, code, document, id, reason};
use super::person::{Collision, MERGED_LOTS_MAX, PersonRecord};
use super::record::{Actor, Record};
use super::refusal::RefusalCode as Code;
use super::registry::{Founder, Proposal};
use super::replay::Replay;
use super::rules::{Accrual, Entry, Person, Reversal};
use super::state::StateRecord;
use super::wallet::{EntryKind, Wallet, WalletState};
use crate::domain::time::Stamp;
use crate::domain::{
    Bic, ClientId, DestinationForm, LastFour, Part, Period, ProgrammeCode, PublicKey, Role, Scope, WalletId,
};

impl World {
    fn choose(
        &mut self,
        person: u8,
        programme: Option<usize>,
        authorisation: Option<u64>,
    ) -> Result<u64, Code> {
        let consent = Consent { method: ConsentMethod::Session, evidence: self.evidence(), at: self.at };
        self.run("egov", |books, entry| {
            books.choose(entry, id(person), programme.map(code), authorisation, consent)
        })
    }

    fn standing(&mut self, person: u8, ceiling: i64) -> u64 {
        self.authorise(person, false, 0, ceiling, true).unwrap()
    }

    fn merge(&mut self, kept: u8, gone: u8) -> Result<u64, Code> {
        self.run("operator", |books, entry| books.merge(entry, id(kept), id(gone), document()))
    }

    fn add_number(&mut self, person: u8, number: u8) -> Result<u64, Code> {
        let added = Person { tag: [number; 32], sealed_iin: Vec::new() };
        self.run("operator", |books, entry| {
            books.add_number(entry, id(person), id(number), added, document())
        })
    }

    fn state(&mut self, person: u8, blocked: bool) {
        let (wallet, document) = (id(person), document());
        let record = if blocked {
            StateRecord::WalletBlocked { wallet, document }
        } else {
            StateRecord::WalletUnblocked { wallet, document }
        };
        self.run("operator", |books, entry| books.change_state(entry, record)).unwrap();
    }

    fn wallet(&mut self, person: u8) -> Wallet {
        self.books.wallet(id(person)).unwrap().unwrap()
    }

    /// Why the accrual that was written last was not sent on; `None`: it was.
    fn not_started(&self) -> Option<Code> {
        let [Record::Accrued { .. }, told] = self.written.as_slice() else {
            panic!("an accrual and what came of it: {:?}", self.written)
        };
        match told {
            Record::Choice(record) => match **record {
                ChoiceRecord::TransferNotStarted { reason, .. } => Some(reason),
                ChoiceRecord::DestinationChosen { .. } => panic!("a choice"),
            },
            _ => None,
        }
    }

    fn returned(&mut self, transfer: u64, tiyn: Option<i64>, number: u64) -> bool {
        let reference = crate::domain::BankReference::parse(&format!("R-{number}")).unwrap();
        let answer = Answer::Returned { amount: tiyn.map(amount), reference, reason: reason() };
        self.answer(transfer, &answer).is_ok()
    }

    /// Every accrual of every programme is where it is: in one lot of one wallet, taken back, or out with payments.
    fn check_lots(&mut self) {
        self.check();
        let mut out: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
        for payment in self.books.payments.values() {
            let head = payment.head();
            let left = if head.settled > 0 { head.settled - head.returned } else { 0 };
            for drawn in payment.back(0, left) {
                out.entry(drawn.2).or_default().0 += drawn.1;
            }
            for drawn in payment.back(0, payment.held()) {
                out.entry(drawn.2).or_default().1 += drawn.1;
            }
        }
        let mut seen = BTreeSet::new();
        let wallets: Vec<_> = self.books.known_wallets().collect();
        for (id, wallet) in wallets {
            if self.books.find_wallet(id).unwrap().unwrap().0 != id {
                assert_eq!((wallet.posted, wallet.held, wallet.state), (0, 0, WalletState::Closed));
                continue;
            }
            for lot in self.books.lots_of(wallet.account).unwrap() {
                assert!(seen.insert(lot.seq), "a lot is in one wallet");
                let (gone, held) = out.get(&lot.seq).copied().unwrap_or_default();
                assert_eq!(
                    lot.remaining + lot.reversed + gone,
                    lot.amount,
                    "invariant 2: nothing is made or lost"
                );
                assert_eq!(lot.held, held, "invariant 13: payments hold the lots that they name");
            }
        }
        assert!(out.keys().all(|lot| seen.contains(lot)));
    }
}

#[test]
fn an_accrual_under_a_choice_is_held_for_its_transfer_in_the_same_commit_and_is_that_money() {
    let mut world = World::new();
    world.accrue(0, 0, 0, 900).unwrap();
    let given = world.standing(0, 10_000);
    world.choose(0, None, Some(given)).unwrap();
    assert!(world.wallet(0).choice);
    let accrual = world.accrue(0, 1, 1, 500).unwrap();
    assert_eq!(world.not_started(), None);
    let Record::Payment(record) = &world.written[1] else { panic!("a transfer") };
    let PaymentRecord::TransferRequested { accrual: of, shares, authorisation, .. } = &**record else {
        panic!("a transfer")
    };
    assert_eq!((*of, *authorisation, shares.len(), shares[0].lot), (Some(accrual), given, 1, accrual));
    // General money would go first if somebody asked; what arrives is what goes.
    assert_eq!(world.lots(0), [(900, 0), (500, 500)]);
    assert_eq!(world.books.authorisations[&given].used, 500);
    let transfer = accrual + 1;
    world.answer(transfer, &Answer::Settled).unwrap();
    // It comes back: it stays in the wallet, and no second transfer is started.
    assert!(world.returned(transfer, None, 1));
    assert_eq!(world.written.len(), 1);
    assert_eq!(world.lots(0), [(900, 0), (500, 0)]);
    world.check_lots();
    // Back to the wallet.
    world.choose(0, None, None).unwrap();
    assert!(!world.wallet(0).choice);
    world.accrue(0, 1, 2, 70).unwrap();
    assert_eq!(world.written.len(), 1);
}

#[test]
fn the_newest_choice_for_a_programme_counts_else_the_newest_for_all() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 10).unwrap();
    let (all, own) = (world.standing(0, 10_000), world.standing(0, 10_000));
    world.choose(0, None, Some(all)).unwrap();
    world.choose(0, Some(1), Some(own)).unwrap();
    let under = |world: &mut World, programme, period| {
        world.accrue(0, programme, period, 10).unwrap();
        match world.written.get(1) {
            Some(Record::Payment(record)) => match **record {
                PaymentRecord::TransferRequested { authorisation, .. } => Some(authorisation),
                _ => panic!("a request"),
            },
            _ => None,
        }
    };
    assert_eq!(under(&mut world, 1, 1), Some(own));
    assert_eq!(under(&mut world, 2, 1), Some(all));
    world.choose(0, Some(1), None).unwrap();
    assert_eq!(under(&mut world, 1, 2), None, "one programme's stays, though all others' go");
    assert_eq!(under(&mut world, 2, 2), Some(all));
    world.choose(0, None, None).unwrap();
    assert!(!world.wallet(0).choice, "nothing is sent on any more");
    assert_eq!(under(&mut world, 2, 3), None);
}

#[test]
fn what_would_refuse_a_transfer_never_refuses_the_accrual_and_is_told() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 10).unwrap();
    let given = world.standing(0, 100);
    world.choose(0, None, Some(given)).unwrap();
    for (tiyn, period, told) in [(60, 1, None), (41, 2, Some(Code::AuthorisationExceeded)), (40, 3, None)] {
        world.accrue(0, 1, period, tiyn).unwrap();
        assert_eq!(world.not_started(), told, "{tiyn}");
    }
    let other = world.standing(0, 10_000_000_000);
    world.choose(0, None, Some(other)).unwrap();
    world.state(0, true);
    world.accrue(0, 1, 4, 1).unwrap();
    assert_eq!(world.not_started(), Some(Code::OutflowBlocked));
    world.state(0, false);
    let limits = Limits { wallet_day_count: 3, ..Limits::DEFAULT };
    world.run("operator", |books, entry| books.set_limits(entry, limits)).unwrap();
    world.accrue(0, 1, 5, 1).unwrap();
    assert_eq!(world.not_started(), None, "the third of the day");
    world.accrue(0, 1, 6, 1).unwrap();
    assert_eq!(world.not_started(), Some(Code::WalletLimitExceeded));
    world.run("operator", |books, entry| books.set_limits(entry, Limits::DEFAULT)).unwrap();
    world.at += 60 * MINUTE + 1;
    world.accrue(0, 1, 9, 1).unwrap();
    assert_eq!(world.not_started(), Some(Code::AuthorisationExpired));
    world
        .run("egov", |books, entry| books.revoke_authorisation(entry, Party::Channel, other, reason()))
        .unwrap();
    world.accrue(0, 1, 10, 1).unwrap();
    assert_eq!(world.not_started(), Some(Code::AuthorisationRevoked));
    world.check_lots();
    // The dead are paid nothing, and no benefit is used up.
    let died = "2026-11-20".to_owned();
    let record = StateRecord::WalletDeceased { wallet: id(0), document: document(), died };
    world.run("operator", |books, entry| books.change_state(entry, record)).unwrap();
    assert_eq!(world.accrue(0, 1, 11, 1), Err(Code::WalletDeceased));
}

#[test]
fn a_payday_sent_on_by_choices_uses_up_nothing_of_its_channels_day_and_only_so_many_choose_in_one() {
    let mut world = World::new();
    let limits = Limits {
        channel_day_amount: crate::domain::Money::from_tiyn(100).unwrap(),
        channel_day_count: 2,
        channel_day_choices: 2,
        ..Limits::DEFAULT
    };
    world.run("operator", |books, entry| books.set_limits(entry, limits)).unwrap();
    let mut given = Vec::new();
    for person in 0..4 {
        world.accrue(person, 1, 0, 200).unwrap();
        given.push(world.standing(person, 1_000_000));
    }
    world.choose(0, None, Some(given[0])).unwrap();
    assert_eq!(world.choose(0, None, Some(given[0])), Err(Code::ChoiceUnchanged));
    // Back to the wallet is always let through, and is not counted.
    world.choose(0, None, None).unwrap();
    world.choose(1, None, Some(given[1])).unwrap();
    assert_eq!(world.choose(2, None, Some(given[2])), Err(Code::ChannelLimitExceeded));
    world.choose(1, None, None).unwrap();
    assert_eq!(world.choose(1, None, Some(given[1])), Err(Code::ChannelLimitExceeded));
    world.at += 24 * 60 * MINUTE;
    for (person, given) in (0..).zip(&mut given) {
        *given = world.standing(person, 1_000_000);
    }
    world.choose(2, None, Some(given[2])).unwrap();
    world.choose(3, None, Some(given[3])).unwrap();
    // More of them, and more money, than the channel may move in a day.
    for period in 1..4 {
        for person in [2, 3] {
            world.accrue(person, 1, period, 200).unwrap();
            assert_eq!(world.not_started(), None, "{person} {period}");
        }
    }
    // Who asks still can, and is held to it.
    world.transfer(given[0], 60).unwrap();
    assert_eq!(world.transfer(given[1], 41), Err(Code::ChannelLimitExceeded));
    world.transfer(given[1], 40).unwrap();
    assert_eq!(world.transfer(given[1], 1), Err(Code::ChannelLimitExceeded));
    // The wallet's own day counts them.
    let limits = Limits { wallet_day_count: 4, ..limits };
    world.run("operator", |books, entry| books.set_limits(entry, limits)).unwrap();
    world.accrue(2, 1, 4, 1).unwrap();
    world.accrue(2, 1, 5, 1).unwrap();
    assert_eq!(world.not_started(), Some(Code::WalletLimitExceeded));
    world.check_lots();
}

#[test]
fn a_channel_that_is_stopped_sends_nothing_on() {
    let mut world = World::new();
    let key = |fill: u8| {
        PublicKey::from_bytes(ed25519_dalek::SigningKey::from_bytes(&[fill; 32]).verifying_key().to_bytes())
            .unwrap()
    };
    let client = |name: &str| ClientId::parse(name).unwrap();
    let operators = vec![
        Founder { client: client("anna"), public_key: key(1) },
        Founder { client: client("boris"), public_key: key(2) },
    ];
    world.run("anna", |books, entry| books.bootstrap(entry, operators)).unwrap();
    world
        .run("anna", |books, entry| books.register_client(entry, client("egov"), Role::Channel, Scope::Book))
        .unwrap();
    world.accrue(0, 1, 0, 10).unwrap();
    let given = world.standing(0, 10_000);
    let chosen = world.choose(0, None, Some(given));
    assert!(chosen.is_ok(), "{chosen:?}");
    world.run("anna", |books, entry| books.set_suspended(entry, client("egov"), true, reason())).unwrap();
    world.accrue(0, 1, 1, 10).unwrap();
    assert_eq!(world.not_started(), Some(Code::ChannelStopped));
    assert_eq!(world.choose(0, None, None), Err(Code::ClientNotEntitled));
    assert_eq!(world.merge(0, 0), Err(Code::OperatorRequired));
    assert_eq!(world.add_number(0, 9), Err(Code::OperatorRequired));
}

#[test]
fn a_merging_and_a_further_number_take_two_operators() {
    let mut world = World::new();
    for person in 0..4 {
        world.accrue(person, 1, person, 10).unwrap();
    }
    let key = |fill: u8| {
        PublicKey::from_bytes(ed25519_dalek::SigningKey::from_bytes(&[fill; 32]).verifying_key().to_bytes())
            .unwrap()
    };
    let founder =
        |name: &str, fill: u8| Founder { client: ClientId::parse(name).unwrap(), public_key: key(fill) };
    let operators = vec![founder("anna", 1), founder("boris", 2)];
    world.run("anna", |books, entry| books.bootstrap(entry, operators)).unwrap();
    let ask = |world: &mut World, by: &str, proposal: &Proposal| {
        world.run(by, |books, entry| books.request_approval(entry, proposal.clone()))
    };
    let give = |world: &mut World, by: &str, approval: u64, proposal: &Proposal| {
        world.run(by, |books, entry| {
            let Entry { fx, stamp, actor } = entry;
            let given =
                books.give_approval(Entry { fx: &mut *fx, stamp, actor }, approval, proposal.digest())?;
            books.carry_out(Entry { fx, stamp, actor }, given, Vec::new())
        })
    };
    let merging =
        |kept, gone| Proposal::MergeWallets { wallet: id(kept), merged: id(gone), document: document() };
    let numbering = |person, number: u8| {
        let (wallet, leads, person) = (id(person), id(number), [number; 32]);
        Proposal::AddNumber { wallet, leads, person, document: document() }
    };
    let added = || Person { tag: [9; 32], sealed_iin: Vec::new() };
    // One alone does neither, whichever of the two.
    for by in ["anna", "boris"] {
        let alone = world.run(by, |books, entry| books.merge(entry, id(0), id(1), document()));
        assert_eq!(alone, Err(Code::ApprovalRequired));
        let alone = world.run(by, |books, entry| books.add_number(entry, id(0), id(9), added(), document()));
        assert_eq!(alone, Err(Code::ApprovalRequired));
    }
    let asked = ask(&mut world, "anna", &merging(0, 1)).unwrap();
    assert_eq!(give(&mut world, "anna", asked, &merging(0, 1)), Err(Code::ApprovalSelf));
    assert_eq!(give(&mut world, "boris", asked, &merging(0, 2)), Err(Code::ApprovalDigestMismatch));
    give(&mut world, "boris", asked, &merging(0, 1)).unwrap();
    assert!(matches!(world.written.as_slice(), [Record::Registry(_), Record::Person(_)]), "neighbours");
    assert_eq!(world.lots(0), [(10, 0), (10, 0)]);
    assert_eq!(give(&mut world, "boris", asked, &merging(0, 1)), Err(Code::ApprovalEnded));
    let asked = ask(&mut world, "boris", &numbering(0, 9)).unwrap();
    give(&mut world, "anna", asked, &numbering(0, 9)).unwrap();
    assert_eq!(world.books.find_wallet(id(9)).unwrap().unwrap().0, id(0));
    // What cannot be done is not asked for; nor is a wallet named by an id that only leads to it.
    assert_eq!(ask(&mut world, "anna", &merging(0, 1)), Err(Code::WalletMerged));
    assert_eq!(ask(&mut world, "anna", &merging(1, 2)), Err(Code::WalletMerged));
    assert_eq!(ask(&mut world, "anna", &merging(0, 77)), Err(Code::WalletUnknown));
    assert_eq!(ask(&mut world, "anna", &numbering(0, 9)), Err(Code::NumberKnown));
    assert_eq!(ask(&mut world, "anna", &numbering(0, 2)), Err(Code::NumberHasWallet));
    // What has changed between the two is seen by the second, and nothing is written.
    let asked = ask(&mut world, "anna", &merging(0, 2)).unwrap();
    let number = ask(&mut world, "anna", &numbering(2, 8)).unwrap();
    let other = ask(&mut world, "anna", &merging(3, 2)).unwrap();
    give(&mut world, "boris", other, &merging(3, 2)).unwrap();
    assert_eq!(give(&mut world, "boris", asked, &merging(0, 2)), Err(Code::WalletMerged));
    assert_eq!(give(&mut world, "boris", number, &numbering(2, 8)), Err(Code::WalletMerged));
    world.check_lots();
    // A journal in which one has done it does not replay: of the two entries neither stands without the other.
    let asked = ask(&mut world, "anna", &merging(0, 3)).unwrap();
    let stamp = Stamp::of(world.at).unwrap();
    let actor = |by: &str| Actor {
        client: ClientId::parse(by).unwrap(),
        request: [0; 32],
        line: None,
        instruction: None,
    };
    let mut apply = |by: &str, record: Record| {
        world.replay.apply(&mut Effects::default(), stamp, actor(by), record).map_err(|error| error.found)
    };
    let lone = apply("boris", merging(0, 3).record()).unwrap_err();
    assert!(lone.contains("approval_required"), "{lone}");
    let given = super::registry::Change::ApprovalGiven { approval: asked, digest: merging(0, 3).digest() };
    apply("boris", given.into()).unwrap();
    let another = apply("anna", merging(0, 3).record()).unwrap_err();
    assert!(another.contains("approval_required"), "{another}");
}

#[test]
fn a_choice_names_the_holders_own_standing_authorisation_for_transfers() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 100).unwrap();
    world.accrue(1, 1, 0, 100).unwrap();
    let given = world.standing(0, 1_000);
    let others = world.standing(1, 1_000);
    let cash = world.authorise(0, true, 0, 100, true).unwrap();
    let once = world.authorise(0, false, 0, 100, false).unwrap();
    assert_eq!(world.choose(0, None, Some(others)), Err(Code::AuthorisationUnknown));
    assert_eq!(world.choose(0, None, Some(7_777)), Err(Code::AuthorisationUnknown));
    assert_eq!(world.choose(0, None, Some(cash)), Err(Code::AuthorisationMismatch));
    assert_eq!(world.choose(0, None, Some(once)), Err(Code::AuthorisationMismatch));
    assert_eq!(world.choose(7, None, Some(given)), Err(Code::WalletUnknown));
    assert_eq!(world.choose(0, None, None), Err(Code::ChoiceUnchanged), "the wallet is where it goes anyway");
    let by = |world: &mut World, client: &str, evidence: u8, age: i64, programme: Option<ProgrammeCode>| {
        let consent =
            Consent { method: ConsentMethod::SmsCode, evidence: [evidence; 32], at: world.at - age };
        world.run(client, |books, entry| books.choose(entry, id(0), programme, Some(given), consent))
    };
    assert_eq!(by(&mut world, "1414", 1, 0, None), Err(Code::AuthorisationUnknown), "another channel's");
    let nowhere = ProgrammeCode::parse(b"NOWHERE").unwrap();
    assert_eq!(by(&mut world, "egov", 1, 0, Some(nowhere)), Err(Code::ProgrammeUnknown));
    assert_eq!(by(&mut world, "egov", 1, 24 * 60 * MINUTE + 1, None), Err(Code::ConsentOutsideWindow));
    by(&mut world, "egov", 1, 24 * 60 * MINUTE, None).unwrap();
    assert_eq!(by(&mut world, "egov", 1, 0, Some(code(1))), Err(Code::ConsentUsed));
    assert_eq!(world.choose(0, None, Some(given)), Err(Code::ChoiceUnchanged));
    world.at += 60 * MINUTE + 1;
    assert_eq!(world.choose(0, Some(1), Some(given)), Err(Code::AuthorisationExpired));
    world
        .run("egov", |books, entry| books.revoke_authorisation(entry, Party::Channel, given, reason()))
        .unwrap();
    assert_eq!(world.choose(0, Some(1), Some(given)), Err(Code::AuthorisationRevoked));
    // Whoever lets nothing out may still be told to keep it; the holder's act does not open the wallet.
    let fresh = world.standing(0, 10);
    world.state(0, true);
    assert_eq!(world.choose(0, Some(2), Some(fresh)), Err(Code::OutflowBlocked));
    world.choose(0, None, None).unwrap();
    assert_eq!(world.wallet(0).state, WalletState::Blocked);
    world.state(0, false);
    assert_eq!(world.wallet(0).state, WalletState::Provisioned);
    world.choose(0, Some(2), Some(fresh)).unwrap();
    assert_eq!(world.wallet(0).state, WalletState::Active, "the holder's first act");
}

/// Entries of a book, to be replayed with one of them left out, or changed.
fn replays(records: &[(Record, Actor)], at: i64) -> Result<(), String> {
    let mut replay = Replay::default();
    let mut fx = Effects::default();
    for (record, actor) in records {
        let stamp = Stamp::of(at).unwrap();
        replay.apply(&mut fx, stamp, *actor, record.clone()).map_err(|error| error.to_string())?;
    }
    replay.finish().map_err(|error| error.to_string())
}

#[test]
fn a_journal_that_does_not_send_on_what_was_chosen_or_does_so_unasked_does_not_replay() {
    let mut world = World::new();
    let mut all: Vec<(Record, Actor)> = Vec::new();
    let actor = |by: &str| Actor {
        client: ClientId::parse(by).unwrap(),
        request: [0; 32],
        line: None,
        instruction: None,
    };
    let mut keep = |world: &World, by: &str| {
        all.extend(world.written.iter().map(|record| (record.clone(), actor(by))));
    };
    // The set-up of the world is not kept by it: it is made again.
    let mut books = super::books::Books::whole();
    let mut fx = Effects::default();
    let stamp = Stamp::of(world.at).unwrap();
    books.open_book(Entry { fx: &mut fx, stamp, actor: actor("setup") });
    let mut set_up = fx.records.clone();
    for programme in world.books.programmes() {
        let spec = Record::ProgrammeRegistered(Box::new(programme.spec.clone()));
        let funded = Record::ProgrammeFunded {
            programme: programme.spec.code,
            amount: amount(100_000_000_000),
            bank_reference: crate::domain::BankReference::parse(&format!("placed {}", programme.number - 1))
                .unwrap(),
        };
        set_up.extend([(spec, actor("setup")), (funded, actor("setup"))]);
    }
    let opened = Person { tag: [0; 32], sealed_iin: Vec::new() };
    world.run("pipeline", |books, entry| books.open_wallet(entry, id(0), opened)).unwrap();
    keep(&world, "pipeline");
    let given = world.standing(0, 10_000);
    keep(&world, "egov");
    world.choose(0, None, Some(given)).unwrap();
    keep(&world, "egov");
    world.accrue(0, 1, 0, 500).unwrap();
    keep(&world, "pipeline");
    let whole = [set_up.clone(), all.clone()].concat();
    replays(&whole, world.at).unwrap();
    let last = whole.len() - 1;
    let told = |records: &[(Record, Actor)]| replays(records, world.at).unwrap_err();
    assert!(told(&whole[..last]).contains("sent on"), "left out at the end");
    let followed = [whole[..last].to_vec(), vec![whole[0].clone()]].concat();
    assert!(replays(&followed, world.at).is_err(), "another entry in its place");
    let mut other_actor = whole.clone();
    other_actor[last].1 = actor("egov");
    assert!(told(&other_actor).contains("actor"));
    let twice = [whole.clone(), vec![whole[last].clone()]].concat();
    assert!(told(&twice).contains("sent on"), "unasked");
    let mut lied = whole.clone();
    let Record::Payment(record) = &lied[last].0 else { panic!("a transfer") };
    let PaymentRecord::TransferRequested { wallet, authorisation, accrual: Some(accrual), amount, .. } =
        **record
    else {
        panic!("a transfer")
    };
    let reason = Code::OutflowBlocked;
    lied[last].0 = ChoiceRecord::TransferNotStarted { wallet, authorisation, accrual, amount, reason }.into();
    assert!(told(&lied).contains("transfer_requested"), "it could have been started");
}

#[test]
fn invariants_3_and_8_a_new_number_leads_to_the_old_wallet_and_a_benefit_is_paid_under_either_once() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 100).unwrap();
    world.add_number(0, 5).unwrap();
    assert_eq!(world.accrue(5, 1, 0, 100), Err(Code::BenefitAlreadyPaid));
    let seq = world.accrue(5, 1, 1, 50).unwrap();
    let [Record::Accrued { wallet, .. }] = world.written.as_slice() else { panic!("an accrual") };
    assert_eq!(*wallet, id(0), "the entry names the wallet");
    assert_eq!(world.lots(0), [(100, 0), (50, 0)]);
    assert_eq!(world.accrue(0, 1, 1, 50), Err(Code::BenefitAlreadyPaid));
    assert_eq!(world.add_number(0, 5), Err(Code::NumberKnown));
    assert_eq!(world.add_number(5, 0), Err(Code::NumberKnown), "its own");
    world.accrue(1, 1, 0, 1).unwrap();
    assert_eq!(world.add_number(0, 1), Err(Code::NumberHasWallet));
    assert_eq!(world.add_number(1, 5), Err(Code::NumberHasWallet), "another person's number");
    assert_eq!(world.add_number(9, 8), Err(Code::WalletUnknown));
    let again = Person { tag: [5; 32], sealed_iin: Vec::new() };
    let opened = world.run("pipeline", |books, entry| books.open_wallet(entry, id(5), again));
    assert_eq!(opened, Err(Code::WalletExists));
    let reversal = Reversal {
        wallet: id(5),
        programme: code(1),
        period: Period::parse(b"2026-02").unwrap(),
        part: Part::FIRST,
        reason: reason(),
    };
    world.run("pipeline", |books, entry| books.reverse(entry, &reversal, None, None)).unwrap();
    let [Record::Reversed { wallet, share, .. }] = world.written.as_slice() else { panic!("a reversal") };
    assert_eq!((*wallet, share.lot), (id(0), seq));
    assert!(
        world.books.has_led(id(5), &id(0).to_string()) && !world.books.has_led(id(0), &id(5).to_string())
    );
    world.check_lots();
}

#[test]
fn invariants_1_2_8_and_13_a_merging_moves_lots_holds_payments_keys_and_choices() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 100).unwrap(); // kept, collides
    let collides = world.accrue(1, 1, 0, 90).unwrap();
    let account = world.wallet(0).account;
    let kept = world.books.lots_of(account).unwrap()[0].seq;
    world.accrue(1, 0, 1, 80).unwrap();
    world.accrue(1, 2, 1, 70).unwrap();
    let given = world.standing(1, 10_000);
    let settled = world.transfer(given, 60).unwrap(); // of the general 80
    world.answer(settled, &Answer::Settled).unwrap();
    let open = world.transfer(given, 30).unwrap(); // 20 general, 10 of the first protected
    let promise = world.authorise(1, true, 0, 50, false).unwrap();
    let cash = world.cash(promise, 50, 1).unwrap();
    world.choose(1, Some(2), Some(given)).unwrap();
    world.choose(1, Some(1), Some(given)).unwrap();
    let own = world.standing(0, 10_000);
    world.choose(0, Some(1), Some(own)).unwrap();
    let before = (world.wallet(0), world.wallet(1));

    world.merge(0, 1).unwrap();
    let [Record::Person(record)] = world.written.as_slice() else { panic!("a merging") };
    let PersonRecord::WalletsMerged { shares, collisions, .. } = &**record else { panic!("a merging") };
    assert_eq!(*collisions, [Collision { kept, moved: collides }], "both were paid: it is told");
    assert_eq!(shares.iter().map(|share| share.amount.tiyn()).collect::<Vec<_>>(), [90, 20, 70]);
    let merged = world.wallet(0);
    assert_eq!(merged.posted, before.0.posted + before.1.posted);
    assert_eq!((merged.held, merged.general, merged.general_held), (before.1.held, 20, 20));
    assert_eq!(world.books.own_wallet(id(1)).unwrap().state, WalletState::Closed);
    assert_eq!(world.wallet(1), merged, "the old id leads to it");
    world.check_lots();

    // What was under way goes on, and what comes back goes to the lots that it left.
    world.answer(open, &Answer::Settled).unwrap();
    assert!(world.returned(settled, None, 1));
    assert!(world.returned(open, Some(15), 2));
    let general = world.lots(0)[2];
    assert_eq!(general, (65, 0), "60, and 5 of 15: 10 went to the protected lot first");
    world
        .run("egov", |books, entry| books.release_cash(entry, Party::Channel, cash, ReleaseCause::Cancelled))
        .unwrap();
    world.check_lots();

    // Benefits of both are paid; under both numbers.
    for person in [0, 1] {
        assert_eq!(world.accrue(person, 2, 1, 5), Err(Code::BenefitAlreadyPaid));
        assert_eq!(world.accrue(person, 1, 0, 5), Err(Code::BenefitAlreadyPaid));
    }
    // The choice of the wallet that stays counts; where it had none, the other's.
    world.accrue(1, 1, 5, 5).unwrap();
    let under = |world: &World| {
        let Record::Payment(record) = &world.written[1] else { panic!("a transfer") };
        let PaymentRecord::TransferRequested { authorisation, wallet, .. } = **record else { panic!("it") };
        (authorisation, wallet)
    };
    assert_eq!(under(&world), (own, id(0)));
    world.accrue(0, 2, 5, 5).unwrap();
    assert_eq!(under(&world), (given, id(0)), "an authorisation of the merged wallet is one of this");
    // Both accruals of the collision can be taken back, one after the other.
    let reversal = Reversal {
        wallet: id(1),
        programme: code(1),
        period: Period::parse(b"2026-01").unwrap(),
        part: Part::FIRST,
        reason: reason(),
    };
    let mut reverse =
        || world.run("pipeline", |books, entry| books.reverse(entry, &reversal, None, None)).map(drop);
    assert_eq!([reverse(), reverse(), reverse()], [Ok(()), Ok(()), Err(Code::NothingToReverse)]);
    world.check_lots();
    assert_eq!(world.merge(0, 1), Err(Code::WalletMerged));
    assert_eq!(world.merge(1, 0), Err(Code::WalletMerged), "into itself");
    assert_eq!(world.merge(0, 0), Err(Code::WalletMerged));
    assert_eq!(world.merge(0, 9), Err(Code::WalletUnknown));
    assert_eq!(world.merge(9, 0), Err(Code::WalletUnknown));
    // And once more: the way through both.
    world.accrue(2, 1, 7, 7).unwrap();
    world.merge(2, 0).unwrap();
    assert_eq!(world.accrue(1, 1, 7, 7), Err(Code::BenefitAlreadyPaid));
    assert_eq!(world.books.find_wallet(id(1)).unwrap().unwrap().0, id(2));
    assert!(world.books.has_led(id(1), &id(0).to_string()), "what was done then was done there");
    world.check_lots();
}

#[test]
fn a_merging_gives_no_second_days_limit_and_the_state_that_lets_less_out() {
    let mut world = World::new();
    world.accrue(0, 1, 0, 1_000).unwrap();
    world.accrue(1, 1, 1, 1_000).unwrap();
    let limits = Limits { wallet_day_count: 3, ..Limits::DEFAULT };
    world.run("operator", |books, entry| books.set_limits(entry, limits)).unwrap();
    let (one, other) = (world.standing(0, 1_000), world.standing(1, 1_000));
    world.transfer(one, 5).unwrap();
    world.transfer(other, 6).unwrap();
    world.merge(0, 1).unwrap();
    let counted = Counted::Wallet(world.wallet(0).account);
    assert_eq!(world.books.usage[&counted].as_ref().map(|row| (row.version, row.amount)), Some((2, 11)));
    world.transfer(other, 7).unwrap();
    assert_eq!(world.transfer(one, 1), Err(Code::WalletLimitExceeded));
    world.accrue(2, 1, 2, 1).unwrap();
    world.state(2, true);
    world.merge(0, 2).unwrap();
    assert_eq!(world.wallet(0).state, WalletState::Blocked, "a merging lets nobody's money out");
    let dead = |world: &mut World, person| {
        let died = "2026-11-20".to_owned();
        let record = StateRecord::WalletDeceased { wallet: id(person), document: document(), died };
        world.run("operator", |books, entry| books.change_state(entry, record)).unwrap();
    };
    world.accrue(3, 1, 3, 1).unwrap();
    dead(&mut world, 3);
    assert_eq!(world.merge(0, 3), Err(Code::WalletDeceased));
    assert_eq!(world.merge(3, 0), Err(Code::WalletDeceased));
    dead(&mut world, 0);
    world.merge(3, 0).unwrap();
    assert_eq!(world.wallet(0).state, WalletState::Deceased);
    world.check_lots();
}

#[test]
fn a_wallet_of_at_most_256_accruals_is_merged_and_its_entry_has_room_in_a_leaf() {
    for (lots, expected) in [(255, true), (256, true), (257, false)] {
        let mut world = World::new();
        for person in [0, 1] {
            let opened = Person { tag: [person; 32], sealed_iin: Vec::new() };
            world.run("pipeline", |books, entry| books.open_wallet(entry, id(person), opened)).unwrap();
            for number in 1..=lots {
                let (period, part) = (Period::Once, Part::new(number).unwrap());
                let accrual =
                    Accrual { wallet: id(person), programme: code(1), period, part, amount: amount(7) };
                world
                    .run("pipeline", |books, entry| books.accrue(entry, &accrual, None, None, None))
                    .unwrap();
            }
        }
        assert_eq!(MERGED_LOTS_MAX, 256);
        let merged = world.merge(0, 1).map(drop);
        assert_eq!(merged, if expected { Ok(()) } else { Err(Code::MergeTooLarge) }, "{lots}");
        if expected {
            // The longest amounts, numbers and documents add to each of the 256: 11 + 12, 2 × 12, and 1,200 bytes.
            let longest = world.longest_leaf + 256 * (11 + 12 + 24) + 1_200;
            assert!(longest < 65_535, "a leaf has room for {longest} bytes");
            world.check_lots();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Accrue { person: u8, programme: usize, period: u8, tiyn: i64 },
    Authorise { person: u8, cash: bool, ceiling: i64 },
    Choose { person: u8, programme: Option<usize>, authorisation: Option<usize> },
    Transfer { authorisation: usize, tiyn: i64 },
    Answer { transfer: usize, what: u8, tiyn: i64, reference: u64 },
    Cash { authorisation: usize, tiyn: i64 },
    Cancel(usize),
    Reverse { person: u8, programme: usize, period: u8 },
    State { person: u8, blocked: bool },
    AddNumber { person: u8, number: u8 },
    Merge { kept: u8, gone: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (person, place, tiyn) = (0u8..6, 0usize..12, 1i64..300);
    prop_oneof![
        8 => (person.clone(), 0usize..3, 0u8..5, 1i64..400)
            .prop_map(|(person, programme, period, tiyn)| Step::Accrue { person, programme, period, tiyn }),
        3 => (person.clone(), prop::bool::weighted(0.3), 1i64..900)
            .prop_map(|(person, cash, ceiling)| Step::Authorise { person, cash, ceiling }),
        3 => (person.clone(), prop::option::of(0usize..3), prop::option::weighted(0.7, place.clone()))
            .prop_map(|(person, programme, authorisation)| Step::Choose { person, programme, authorisation }),
        4 => (place.clone(), tiyn.clone()).prop_map(|(authorisation, tiyn)| Step::Transfer { authorisation, tiyn }),
        6 => (place.clone(), 0u8..4, tiyn.clone(), 0u64..4)
            .prop_map(|(transfer, what, tiyn, reference)| Step::Answer { transfer, what, tiyn, reference }),
        2 => (place.clone(), tiyn).prop_map(|(authorisation, tiyn)| Step::Cash { authorisation, tiyn }),
        1 => place.prop_map(Step::Cancel),
        2 => (person.clone(), 0usize..3, 0u8..5)
            .prop_map(|(person, programme, period)| Step::Reverse { person, programme, period }),
        1 => (person.clone(), any::<bool>()).prop_map(|(person, blocked)| Step::State { person, blocked }),
        1 => (person.clone(), person.clone()).prop_map(|(person, number)| Step::AddNumber { person, number }),
        2 => (person.clone(), person).prop_map(|(kept, gone)| Step::Merge { kept, gone }),
    ]
}

/// Numbers, and who is known to be one person.
#[derive(Default)]
struct People {
    /// By number: where it leads.
    leads: BTreeMap<u8, u8>,
    opened: BTreeSet<u8>,
    /// By wallet: the benefits that were paid to its person.
    paid: BTreeMap<u8, BTreeSet<(usize, u8)>>,
}

impl People {
    fn home(&self, mut number: u8) -> u8 {
        while let Some(to) = self.leads.get(&number) {
            number = *to;
        }
        number
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Invariants 1, 2, 3, 8, 10 and 13 hold whatever is chosen, added and merged between accruals and payments. (Every step is
    /// replayed from its leaves by the world.)
    #[test]
    fn invariants_1_2_3_8_10_and_13_hold_across_choices_numbers_and_mergings(
        steps in prop::collection::vec(step(), 1..70),
    ) {
        let mut world = World::new();
        let mut people = People::default();
        let (mut given, mut transfers, mut cash) = (Vec::new(), Vec::new(), Vec::new());
        let named = |entries: &[u64], place: usize| entries.get(place).copied().unwrap_or(0);
        for step in steps {
            match step {
                Step::Accrue { person, programme, period, tiyn } => {
                    let home = people.home(person);
                    let fresh = people.paid.entry(home).or_default().insert((programme, period));
                    let chosen = people.opened.contains(&home) && world.wallet(person).choice;
                    people.opened.insert(home);
                    let made = world.accrue(person, programme, period, tiyn);
                    prop_assert_eq!(made.is_ok(), fresh, "invariant 8: once, under whatever number: {:?}", made);
                    if let Ok(seq) = made {
                        prop_assert!(world.written.len() == 1 || chosen);
                        if let Some(Record::Payment(_)) = world.written.get(1) {
                            transfers.push(seq + 1);
                        }
                    }
                }
                Step::Authorise { person, cash, ceiling } => {
                    given.extend(world.authorise(person, cash, 0, ceiling, true).ok());
                }
                Step::Choose { person, programme, authorisation } => {
                    let named = authorisation.map(|place| named(&given, place));
                    let _may_be_refused = world.choose(person, programme, named);
                }
                Step::Transfer { authorisation, tiyn } => {
                    transfers.extend(world.transfer(named(&given, authorisation), tiyn).ok());
                }
                Step::Answer { transfer, what, tiyn, reference } => {
                    let transfer = named(&transfers, transfer);
                    let _may_be_refused = match what {
                        0 => world.answer(transfer, &Answer::Sent).is_ok(),
                        1 => world.answer(transfer, &Answer::Settled).is_ok(),
                        2 => world.returned(transfer, Some(tiyn), reference),
                        _ => world.returned(transfer, None, reference),
                    };
                }
                Step::Cash { authorisation, tiyn } => {
                    cash.extend(world.cash(named(&given, authorisation), tiyn, cash.len() as u64).ok());
                }
                Step::Cancel(place) => {
                    let entry_of = named(&cash, place);
                    let _may_be_refused = world.run("egov", |books, entry| {
                        books.release_cash(entry, Party::Channel, entry_of, ReleaseCause::Cancelled)
                    });
                }
                Step::Reverse { person, programme, period } => {
                    let reversal = Reversal {
                        wallet: id(person),
                        programme: code(programme),
                        period: Period::parse(format!("2026-{:02}", period + 1).as_bytes()).unwrap(),
                        part: Part::FIRST,
                        reason: reason(),
                    };
                    let _may_be_refused =
                        world.run("pipeline", |books, entry| books.reverse(entry, &reversal, None, None));
                }
                Step::State { person, blocked } => {
                    let (wallet, document) = (id(person), document());
                    let record = if blocked {
                        StateRecord::WalletBlocked { wallet, document }
                    } else {
                        StateRecord::WalletUnblocked { wallet, document }
                    };
                    let _may_be_refused =
                        world.run("operator", |books, entry| books.change_state(entry, record));
                }
                Step::AddNumber { person, number } => {
                    let added = world.add_number(person, number);
                    let (home, other) = (people.home(person), people.home(number));
                    let expected = if !people.opened.contains(&home) {
                        Err(Code::WalletUnknown)
                    } else if home == other {
                        Err(Code::NumberKnown)
                    } else if people.opened.contains(&other) {
                        Err(Code::NumberHasWallet)
                    } else {
                        people.leads.insert(number, home);
                        Ok(())
                    };
                    prop_assert_eq!(added.map(drop), expected, "invariant 3");
                }
                Step::Merge { kept, gone } => {
                    let merged = world.merge(kept, gone);
                    let home = people.home(kept);
                    let expected = if !people.opened.contains(&home)
                        || !people.opened.contains(&people.home(gone))
                    {
                        Err(Code::WalletUnknown)
                    } else if people.leads.contains_key(&gone) || gone == home {
                        Err(Code::WalletMerged)
                    } else {
                        people.leads.insert(gone, home);
                        let keys = people.paid.remove(&gone).unwrap_or_default();
                        people.paid.entry(home).or_default().extend(keys);
                        Ok(())
                    };
                    prop_assert_eq!(merged.map(drop), expected);
                }
            }
            world.check_lots();
        }
    }
}

/// The kinds of a wallet's entries have their codes for ever.
#[test]
fn the_kinds_of_entries_are_read_back() {
    for code in 1..=10 {
        assert_eq!(EntryKind::from_code(code).map(EntryKind::code), Some(code));
    }
}

#[test]
fn a_choice_and_its_purpose_are_what_the_journal_says() {
    // What the records of this file's kinds name of a person is a wallet's id and a tag.
    let purpose = Purpose::Transfer {
        bank: bank(0),
        form: DestinationForm::Card,
        last_four: LastFour::parse("4242").unwrap(),
        destination: [6; 32],
    };
    let terms = Terms { purpose, ceiling: amount(1), standing: true, expires: 1 };
    assert_eq!(terms.bank(), Some(Bic::parse(b"CASPKZKA").unwrap()));
    let record = PersonRecord::NumberAdded {
        wallet: id(0),
        leads: WalletId::from_uuid(uuid::Uuid::from_u128(9)),
        person: [7; 32],
        document: document(),
    };
    let members = record.members();
    assert_eq!(members.keys().collect::<Vec<_>>(), ["document", "leads", "person", "wallet"]);
    assert_eq!(PersonRecord::of_members(record.kind(), members).unwrap(), record);
}
