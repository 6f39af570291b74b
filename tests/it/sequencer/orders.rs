//! Orders through the writer: many at once, beside other writers, over commits that fail, and when their time is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use social_wallet::domain::{
    Bin, Day, FundClass, Issuer, OrderDocument, OrderKind, Reach, Role, Scope, Text,
};
use social_wallet::keys::{WrittenDebt, WrittenOrder};
use social_wallet::ledger::account::SystemAccount;
use social_wallet::ledger::order::{MalformedField, Mode, Outcome as OrderOutcome, Overpaid, RuleTable};
use social_wallet::ledger::order_rules::Intake;
use social_wallet::ledger::payment::{CashReference, Consent, ConsentMethod, Document, Purpose, Terms};
use social_wallet::ledger::record::Actor;
use social_wallet::ledger::refusal::{Refusal, RefusalCode};
use social_wallet::ledger::registry::Proposal;
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::Clock;
use social_wallet::sequencer::command::{
    Command, CommandError, EntryView, OrderCommand, Outcome, PaymentCommand, RegistryCommand,
};
use social_wallet::sequencer::expiry::{Expiry, PORTION};
use social_wallet::store::Store;

use super::faulty::{Fate, Faulty};
use super::registry::{agree, agree_on, bootstrap};
use super::{
    Answer, Dice, NOW, WALLETS_MAX, accrue, actor, actor_of, assert_sound, at_once, furnish, iin, journal,
    keys, made, payer, refused, refused_for, reverse, serve, shown, wallet,
};
use crate::store::book::{amount, client, code, month};
use crate::store::{Place, in_both_rooms};

in_both_rooms! {
    many_orders_are_answered_each_in_its_place_and_the_same_again_moves_nothing,
    competing_orders_through_several_writers_never_take_a_tenge_twice,
    what_was_decided_in_a_commit_that_failed_is_decided_once,
    orders_whose_time_is_over_end_once_in_portions_and_others_stand,
    an_order_reaches_what_the_same_commit_has_credited,
    a_levy_is_settled_once_and_its_key_is_bound,
    a_writer_that_starts_later_decides_by_the_rules_in_force,
    orders_and_the_numbers_of_a_person_go_together,
    a_wallet_is_not_merged_under_an_order_however_many_came_before_it,
    a_tax_debt_is_collected_once_in_all_through_whichever_writer,
    what_is_over_ends_before_anything_is_decided_that_it_would_hold_up,
    orders_end_before_cash_outs,
}

const DAY: i64 = 86_400_000;

/// Clients that issue orders.
const CLIENTS: [(&str, Issuer); 5] = [
    ("bailiff", Issuer::Bailiff),
    ("other-bailiff", Issuer::Bailiff),
    ("tax", Issuer::TaxAuthority),
    ("ministry", Issuer::PayingBody),
    ("police", Issuer::Investigator),
];

fn issuer_of(by: &str) -> Bin {
    let place = CLIENTS.iter().position(|(name, _)| *name == by).unwrap();
    let prefix = [9, 6, 1, 1, 4, 1, 0, 0, 0, 0];
    let number = (0..10).find_map(|serial| {
        let mut digits = [0; 11];
        digits[..10].copy_from_slice(&prefix);
        (digits[9], digits[10]) = (u8::try_from(place).unwrap(), serial);
        social_wallet::domain::Iin::from_prefix(digits)
    });
    if by == "ministry" { payer() } else { Bin::parse(number.unwrap().expose().as_bytes()).unwrap() }
}

fn document(number: u64) -> OrderDocument {
    OrderDocument {
        number: Text::parse(&number.to_string()).unwrap(),
        date: Day::parse("2026-09-01").unwrap(),
    }
}

/// An order with all that its kind needs.
fn written(by: &str, number: u64, kind: OrderKind, person: u64, tiyn: i64) -> WrittenOrder {
    let reach = kind.reach();
    let takes = matches!(reach, Reach::Takes | Reach::Recovers);
    let is_tax = by == "tax" && kind == OrderKind::Collection;
    let overpaid =
        Overpaid { programme: code("ASP"), period: month(1), part: social_wallet::domain::Part::FIRST };
    WrittenOrder {
        issuer: issuer_of(by),
        document: document(number),
        kind,
        debtor: iin(person),
        amount: (takes || reach == Reach::Holds && kind != OrderKind::Freeze && tiyn > 0)
            .then(|| amount(tiyn)),
        expires: (kind == OrderKind::Freeze).then_some(NOW + DAY),
        enforcement_document: Text::parse("исполнительный лист 2-118").unwrap(),
        purpose: Text::parse("долг").unwrap(),
        tax_debt: is_tax
            .then(|| WrittenDebt { debt_type: Text::parse("101202").unwrap(), met_elsewhere: false }),
        overpaid: (reach == Reach::Recovers).then_some(overpaid),
        lifts: None,
    }
}

fn intake(written: &WrittenOrder) -> Intake {
    let order = keys().order(written);
    let sealed = keys().seal_order(&order.order, written.debtor.expose().as_bytes());
    Intake { said: Ok(order), wallet: Some(keys().wallet_id(&written.debtor)), sealed, line: None }
}

fn order(by: &str, number: u64, kind: OrderKind, person: u64, tiyn: i64) -> Intake {
    intake(&written(by, number, kind, person, tiyn))
}

fn naming(by: &str, number: u64, kind: OrderKind, person: u64, tiyn: i64, earlier: u64) -> Intake {
    intake(&WrittenOrder { lifts: Some(document(earlier)), ..written(by, number, kind, person, tiyn) })
}

fn decide(orders: Vec<Intake>) -> Command {
    Command::Order(OrderCommand::Decide(orders))
}

type Told = Vec<Result<EntryView, Refusal>>;

fn told(answer: Answer) -> Told {
    match answer.unwrap() {
        Outcome::Answers(told) => told,
        other => panic!("{other:?}"),
    }
}

/// Sends orders in one request.
async fn send(sequencer: &Sequencer, by: &str, orders: Vec<Intake>) -> Told {
    told(sequencer.submit(decide(orders), actor_of(by, None)).await)
}

async fn send_one(sequencer: &Sequencer, by: &str, order: Intake) -> EntryView {
    send(sequencer, by, vec![order]).await.remove(0).unwrap()
}

fn outcome(entry: &EntryView) -> OrderOutcome {
    OrderOutcome::parse(entry.members["outcome"].as_str().unwrap()).unwrap()
}

/// Gives a book operators and authorities.
async fn appoint_container(sequencer: &Sequencer) {
    bootstrap(sequencer).await;
    for (name, issuer) in CLIENTS {
        let (bin, issuer) = (Some(issuer_of(name)), Some(issuer));
        let register =
            Proposal::RegisterClient { client: client(name), role: Role::Authority, bin, bic: None, issuer };
        agree(sequencer, register).await;
    }
}

/// And rules of the mode mixed.
async fn appoint(sequencer: &Sequencer) {
    appoint_container(sequencer).await;
    let rules = Box::new(RuleTable { mode: Mode::Mixed, ..RuleTable::shipped() });
    agree(sequencer, Proposal::SetRules { rules }).await;
}

/// A mixed book with people 0 .. 8, who have 500 tenge of ASP and 500 of BONUS each.
async fn people(sequencer: &Sequencer) {
    furnish(sequencer).await;
    appoint(sequencer).await;
    for person in 0..8 {
        for (number, programme) in ["ASP", "BONUS"].into_iter().enumerate() {
            let period = month(u8::try_from(number + 1).unwrap());
            made(sequencer.submit(accrue(person, programme, period, 50_000), actor(None)).await);
        }
    }
}

/// Two or three writers on one store, and the store.
async fn replicas(place: &Place) -> (Arc<dyn Store>, Vec<Sequencer>) {
    let number = if matches!(place, Place::Sqlite { .. }) { 2 } else { 3 };
    let mut sequencers = Vec::new();
    for _ in 0..number {
        sequencers.push(serve(place.open().await).await);
    }
    people(&sequencers[0]).await;
    (place.open().await, sequencers)
}

/// Orders of every kind and outcome, with their ends, on a new book.
pub async fn order_of_everything(sequencer: &Sequencer, store: Arc<dyn Store>) {
    people(sequencer).await;
    let collection = OrderKind::Collection;
    let unread = Intake {
        said: Err((keys().order_tag(issuer_of("bailiff"), &document(30)), MalformedField::Iin)),
        wallet: None,
        sealed: vec![1],
        line: None,
    };
    let orders = vec![
        order("bailiff", 1, OrderKind::Arrest, 0, 30_000),
        order("bailiff", 2, collection, 1, 20_000),
        order("bailiff", 3, collection, 1, 90_000),
        order("bailiff", 4, collection, 1, 100),
        order("bailiff", 5, collection, 40_000, 100),
        order("bailiff", 6, OrderKind::Fee, 1, 100),
        naming("bailiff", 7, collection, 1, 100, 99), // names an order that was never given
        unread,
    ];
    let orders = (1..).zip(orders).map(|(line, order)| Intake { line: Some(line), ..order });
    send(sequencer, "bailiff", orders.collect()).await;
    let carried = naming("bailiff", 8, collection, 0, 10_000, 1);
    send_one(sequencer, "bailiff", carried).await;
    let same =
        |number| WrittenOrder { document: document(1), ..written("tax", number, collection, 2, 5_000) };
    let debt = intake(&same(1)).said.unwrap().debt;
    let twice = order("tax", 2, collection, 2, 5_000);
    let twice =
        Intake { said: twice.said.map(|said| social_wallet::ledger::order::Order { debt, ..said }), ..twice };
    send(sequencer, "tax", vec![intake(&same(1)), twice, order("tax", 3, OrderKind::Suspension, 3, 0)]).await;
    let arrest =
        WrittenOrder { expires: Some(NOW + DAY), ..written("bailiff", 9, OrderKind::Arrest, 4, 100) };
    send(sequencer, "bailiff", vec![intake(&arrest)]).await;
    // A debt that is met in two parts.
    let part = |number| {
        let said = keys().order(&written("tax", number, collection, 7, 90_000));
        Intake {
            said: Ok(social_wallet::ledger::order::Order {
                debt: keys().order(&written("tax", 1, collection, 7, 90_000)).debt,
                ..said
            }),
            ..order("tax", number, collection, 7, 90_000)
        }
    };
    send_one(sequencer, "tax", part(4)).await;
    made(sequencer.submit(accrue(7, "BONUS", month(8), 60_000), actor(None)).await);
    send_one(sequencer, "tax", part(5)).await;
    send_one(sequencer, "bailiff", order("bailiff", 10, collection, 4, 100)).await;
    send_one(sequencer, "police", order("police", 1, OrderKind::Freeze, 5, 0)).await;
    made(sequencer.submit(accrue(5, "BONUS", month(8), 60_000), actor(None)).await);
    send_one(sequencer, "bailiff", order("bailiff", 11, collection, 5, 100)).await;
    send_one(sequencer, "police", naming("police", 2, OrderKind::Lift, 5, 0, 1)).await;
    send_one(sequencer, "ministry", order("ministry", 1, OrderKind::OverpaymentRecovery, 6, 700)).await;
    // A debt that was met of a wallet that was merged since.
    agree(sequencer, merge(3, 2)).await;
    let of_both = order("tax", 6, collection, 3, 5_000);
    let said = of_both.said.map(|said| social_wallet::ledger::order::Order { debt, ..said });
    let returned = send_one(sequencer, "tax", Intake { said, ..of_both }).await;
    assert_eq!(outcome(&returned), OrderOutcome::ReturnedDuplicate);
    let settle = OrderCommand::SettleLevy {
        authority: issuer_of("bailiff"),
        amount: amount(600),
        bank_reference: Text::parse("levy-1").unwrap(),
    };
    made(sequencer.submit(Command::Order(settle), actor_of("op-a", None)).await);
    let past = || NOW + DAY + 1;
    let (late, _) = Sequencer::start(store.clone(), keys(), Clock::with(past), WALLETS_MAX).await.unwrap();
    assert_eq!(Expiry::new(store, late, past).look().await.unwrap(), 1);
}

/// A book that begins with the rules that every book begins with.
pub async fn order_of_a_new_book(sequencer: &Sequencer) {
    furnish(sequencer).await;
    appoint_container(sequencer).await;
    made(sequencer.submit(accrue(0, "ASP", month(1), 50_000), actor(None)).await);
    send_one(sequencer, "bailiff", order("bailiff", 1, OrderKind::Collection, 0, 100)).await;
}

async fn general(store: &dyn Store, person: u64) -> (i64, i64, i64) {
    let wallet = store.wallets(&[wallet(person)]).await.unwrap().remove(0).1;
    (wallet.posted - wallet.general, wallet.general, wallet.general_held)
}

async fn many_orders_are_answered_each_in_its_place_and_the_same_again_moves_nothing(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let collection = OrderKind::Collection;
    let unread = Intake {
        said: Err((keys().order_tag(issuer_of("bailiff"), &document(9)), MalformedField::Iin)),
        wallet: None,
        sealed: vec![1],
        line: Some(6),
    };
    let orders = |amount| {
        vec![
            Intake { line: Some(1), ..order("bailiff", 1, OrderKind::Arrest, 0, 0) },
            Intake { line: Some(2), ..order("bailiff", 2, collection, 0, amount) },
            Intake { line: Some(3), ..order("bailiff", 3, collection, 0, 40_000) },
            Intake { line: Some(4), ..order("bailiff", 4, OrderKind::Alimony, 0, 5_000) },
            Intake { line: Some(5), ..order("bailiff", 5, collection, 40_000, 100) },
            unread.clone(),
            Intake { line: Some(7), ..order("bailiff", 2, collection, 0, amount) },
            Intake { line: Some(8), ..order("bailiff", 2, collection, 0, amount + 1) },
        ]
    };
    let first = send(&sequencer, "bailiff", orders(20_000)).await;
    let leaves = journal(&*store).await;
    for (place, entry) in first.iter().enumerate().filter(|(place, _)| *place < 6) {
        let entry = entry.as_ref().unwrap();
        assert_eq!(*entry, shown(&leaves, entry.seq), "line {place}");
        let actor = serde_json::from_slice::<serde_json::Value>(&leaves[usize::try_from(entry.seq).unwrap()])
            .unwrap();
        assert_eq!(actor["actor"]["line"], place + 1);
    }
    let seqs: Vec<u64> = first[..6].iter().map(|entry| entry.as_ref().unwrap().seq).collect();
    // Alimony, then collections as they came, then the arrest; what cannot be read comes last.
    assert!(
        seqs[3] < seqs[1] && seqs[1] < seqs[2] && seqs[2] < seqs[4] && seqs[4] < seqs[0] && seqs[0] < seqs[5]
    );
    let outcomes: Vec<_> = first[..5].iter().map(|entry| outcome(entry.as_ref().unwrap())).collect();
    assert_eq!(
        outcomes,
        [
            OrderOutcome::RefusedProtected,
            OrderOutcome::Executed,
            OrderOutcome::Partial,
            OrderOutcome::Executed,
            OrderOutcome::NoWallet
        ]
    );
    assert_eq!(first[6], Ok(EntryView::repeated(seqs[1])), "the same document twice in one request");
    let conflict = first[7].as_ref().unwrap_err();
    assert_eq!(
        (conflict.code, conflict.field, conflict.entry),
        (RefusalCode::OrderConflict, Some("amount"), Some(seqs[1]))
    );
    assert_eq!(general(&*store, 0).await, (50_000, 0, 0));

    let actor = Actor { request: [6; 32], ..actor_of("bailiff", None) };
    let again = told(sequencer.submit(decide(orders(20_000)), actor).await);
    for (place, seq) in seqs.iter().enumerate().take(5) {
        assert_eq!(again[place], Ok(EntryView::repeated(*seq)));
    }
    assert!(
        again[5].as_ref().unwrap().seq > seqs[5],
        "what cannot be read binds nothing, and is noted again"
    );
    // What was written in it is kept, encrypted.
    let tag = keys().order_tag(issuer_of("bailiff"), &document(2));
    let sealed = store.sealed_orders(&[seqs[1]]).await.unwrap().remove(0).1;
    assert_eq!(keys().unseal_order(&tag, &sealed), Some(iin(0).expose().as_bytes().to_vec()));
    assert_eq!(store.orders_by_tag(&[tag]).await.unwrap()[0].seq, seqs[1]);
    // Only its own client may issue it.
    let stranger =
        sequencer.submit(decide(vec![order("bailiff", 50, collection, 0, 1)]), actor_of("op-a", None)).await;
    assert_eq!(told(stranger)[0].as_ref().unwrap_err().code, RefusalCode::ClientNotEntitled);
    assert_sound(&store).await;
}

/// Invariants 4 and 14 under contention.
async fn competing_orders_through_several_writers_never_take_a_tenge_twice(place: &Place) {
    let (store, sequencers) = replicas(place).await;
    let mut tasks = Vec::new();
    for task in 0..6u64 {
        let sequencer = sequencers[usize::try_from(task).unwrap() % sequencers.len()].clone();
        tasks.push(tokio::spawn(async move {
            let mut dice = Dice(task + 7);
            let by = CLIENTS[usize::try_from(task % 3).unwrap()].0;
            let mut decided: Vec<(u64, u64)> = Vec::new();
            for _ in 0..25 {
                let mut orders = Vec::new();
                for _ in 0..=dice.roll(4) {
                    // Two tasks send as one client, through different writers: often the same document.
                    let (number, person) = (dice.roll(60), dice.roll(8));
                    let tiyn = 1 + i64::try_from(dice.roll(9_000)).unwrap();
                    let kind = match dice.roll(5) {
                        0 if by == "tax" => OrderKind::Suspension,
                        0 => OrderKind::Arrest,
                        1 => OrderKind::Lift,
                        _ => OrderKind::Collection,
                    };
                    let names = kind == OrderKind::Lift || kind == OrderKind::Collection && dice.roll(4) == 0;
                    orders.push(if names {
                        naming(by, number, kind, person, tiyn, dice.roll(60))
                    } else {
                        order(by, number, kind, person, tiyn)
                    });
                }
                for (order, told) in orders.iter().zip(send(&sequencer, by, orders.clone()).await) {
                    match told {
                        Ok(entry) => decided.push((u64::from(order.tag()[0]), entry.seq)),
                        Err(refusal) => assert_eq!(refusal.code, RefusalCode::OrderConflict),
                    }
                }
                if dice.roll(6) == 0 {
                    let command =
                        accrue(dice.roll(8), "BONUS", month(3 + u8::try_from(dice.roll(9)).unwrap()), 700);
                    let answer = sequencer.submit(command, actor(None)).await;
                    assert!(matches!(answer, Ok(_) | Err(CommandError::Refused(_))), "{answer:?}");
                }
            }
            decided
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // The audit replays every decision: none was made of money that another had.
    assert_sound(&store).await;
    let rows = store.orders_between(20_000_101, 20_991_231, 0, 100_000).await.unwrap();
    let mut by_tag: BTreeMap<[u8; 32], u32> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome != OrderOutcome::Malformed) {
        *by_tag.entry(row.tag).or_default() += 1;
    }
    assert!(by_tag.values().all(|times| *times == 1), "a document is decided once");
    let taken: i64 = rows.iter().map(|row| row.taken).sum();
    let heads = store.system_accounts().await.unwrap();
    let levied = heads.iter().filter(|head| matches!(head.account, SystemAccount::Levy(_)));
    assert_eq!(
        levied.map(social_wallet::ledger::books::SystemHead::balance).sum::<i64>(),
        taken,
        "what was taken is owed, once"
    );
    for person in 0..8 {
        assert_eq!(general(&*store, person).await.0, 50_000, "invariant 4");
    }
    for wanted in
        [OrderOutcome::Executed, OrderOutcome::Partial, OrderOutcome::Held, OrderOutcome::RefusedProtected]
    {
        assert!(rows.iter().any(|row| row.outcome == wanted), "{wanted:?}");
    }
}

async fn what_was_decided_in_a_commit_that_failed_is_decided_once(place: &Place) {
    let faulty = Faulty::around(place.open().await);
    let sequencer = serve(faulty.clone()).await;
    people(&sequencer).await;
    let store = place.open().await;
    let fates = [Fate::Failed, Fate::UnknownMade, Fate::UnknownLost, Fate::Stale];
    for (number, fate) in (0u64..).zip(fates) {
        let collect = || order("bailiff", number, OrderKind::Collection, 2, 1_000);
        faulty.next(&[fate]);
        let first = send_one(&sequencer, "bailiff", collect()).await;
        let again = send_one(&sequencer, "bailiff", collect()).await;
        assert_eq!(first.seq, again.seq, "{fate:?}");
        let taken = i64::try_from(number + 1).unwrap() * 1_000;
        assert_eq!(general(&*store, 2).await.1, 50_000 - taken, "{fate:?}: taken once");

        // An arrest, its end and a freeze: what the desk knew of a commit that is not in is forgotten.
        let arrest = order("bailiff", 100 + number, OrderKind::Arrest, 3, 7_000);
        faulty.next(&[fate]);
        send_one(&sequencer, "bailiff", arrest).await;
        assert_eq!(general(&*store, 3).await.2, 7_000, "{fate:?}");
        faulty.next(&[fate]);
        let lift = naming("bailiff", 200 + number, OrderKind::Lift, 3, 0, 100 + number);
        send_one(&sequencer, "bailiff", lift).await;
        assert_eq!(general(&*store, 3).await.2, 0, "{fate:?}");
        faulty.next(&[fate]);
        send_one(&sequencer, "police", order("police", number, OrderKind::Freeze, 4, 0)).await;
    }
    assert_sound(&store).await;
    // Rules that two operators set in a commit that fails are set once, and hold.
    let rules = Box::new(RuleTable { precedence: Vec::new(), mode: Mode::Mixed, ..RuleTable::shipped() });
    faulty.next(&[Fate::Made, Fate::UnknownLost]);
    agree(&sequencer, Proposal::SetRules { rules: rules.clone() }).await;
    assert_eq!(store.newest_rules().await.unwrap().map(|(_, table)| table), Some(*rules));
    let last = send_one(&sequencer, "bailiff", order("bailiff", 900, OrderKind::Collection, 5, 1_000)).await;
    assert_eq!(last.members["rules"], store.newest_rules().await.unwrap().unwrap().0);
    assert_sound(&store).await;
}

async fn orders_whose_time_is_over_end_once_in_portions_and_others_stand(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let portion = u64::from(PORTION);
    let mut orders: Vec<Intake> = (0..portion + 20)
        .map(|number| {
            let arrest = written("bailiff", number, OrderKind::Arrest, number % 6, 10);
            intake(&WrittenOrder { expires: Some(NOW + DAY), ..arrest })
        })
        .collect();
    orders.push(order("bailiff", 900, OrderKind::Arrest, 6, 10)); // without an end
    let later =
        WrittenOrder { expires: Some(NOW + 2 * DAY), ..written("bailiff", 901, OrderKind::Arrest, 6, 10) };
    orders.push(intake(&later));
    let count = orders.len();
    let held = send(&sequencer, "bailiff", orders).await;
    assert!(held.iter().all(|entry| outcome(entry.as_ref().unwrap()) == OrderOutcome::Held));
    let freezes =
        vec![order("police", 1, OrderKind::Freeze, 7, 0), order("police", 2, OrderKind::Freeze, 7, 0)];
    send(&sequencer, "police", freezes).await;
    // Its issuer lifts one in time.
    send_one(&sequencer, "bailiff", naming("bailiff", 950, OrderKind::Lift, 0, 0, 0)).await;

    let mut early = Expiry::new(store.clone(), sequencer.clone(), || NOW + DAY);
    assert_eq!(early.look().await.unwrap(), 0, "at its last millisecond it stands");
    let past = || NOW + DAY + 1;
    let (one, _) = Sequencer::start(store.clone(), keys(), Clock::with(past), WALLETS_MAX).await.unwrap();
    let (other, _) =
        Sequencer::start(place.open().await, keys(), Clock::with(past), WALLETS_MAX).await.unwrap();
    let mut looks =
        [one.clone(), other].map(|sequencer| Expiry::new(store.clone(), sequencer, past)).into_iter();
    let (mut first, mut second) = (looks.next().unwrap(), looks.next().unwrap());
    let before = store.head().await.unwrap().unwrap().size;
    let (found, also) = tokio::join!(first.look(), second.look());
    assert!(found.unwrap() + also.unwrap() > PORTION as usize, "more than one portion, by either or by both");
    let after = store.head().await.unwrap().unwrap().size;
    assert_eq!(after - before, count as u64 - 2 - 1 + 2, "each once; one was lifted, and two freezes ended");
    assert_eq!(first.look().await.unwrap(), 0);
    for person in 0..6 {
        assert_eq!(general(&*store, person).await.2, 0);
    }
    assert_eq!(general(&*store, 6).await.2, 20, "these stand");
    let wallets = store.wallets(&[wallet(7)]).await.unwrap();
    assert!(!wallets[0].1.frozen, "the last freeze has ended");
    // Nobody else ends an order.
    let standing = held[count - 2].as_ref().unwrap().seq;
    let expire = Command::Order(OrderCommand::Expire(vec![standing]));
    assert_eq!(told(one.submit(expire, actor_of("op-a", None)).await), []);
    assert_eq!(general(&*store, 6).await.2, 20);
    assert_sound(&store).await;
}

async fn an_order_reaches_what_the_same_commit_has_credited(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    // Person 1 has nothing free; then money comes, in the same commit as the order: for one who has a wallet, and for one
    // who has none.
    send_one(&sequencer, "bailiff", order("bailiff", 1, OrderKind::Collection, 1, 50_000)).await;
    let commands = vec![
        (accrue(1, "BONUS", month(5), 900), actor(None)),
        (decide(vec![order("bailiff", 2, OrderKind::Collection, 1, 500)]), actor_of("bailiff", None)),
        (accrue(77, "BONUS", month(5), 900), actor(None)),
        (decide(vec![order("bailiff", 3, OrderKind::Collection, 77, 500)]), actor_of("bailiff", None)),
        (decide(vec![order("police", 3, OrderKind::Freeze, 77, 0)]), actor_of("police", None)),
        (reverse(77, "BONUS", month(5)), actor(None)),
    ];
    let answers = at_once(&sequencer, commands).await;
    for place in [1, 3] {
        let decided = told(answers[place].clone());
        assert_eq!(outcome(decided[0].as_ref().unwrap()), OrderOutcome::Executed, "command {place}");
    }
    assert_eq!(general(&*store, 1).await, (50_000, 400, 0));
    assert_eq!(general(&*store, 77).await, (0, 400, 400), "what a freeze holds is not reversed");
    assert_sound(&store).await;
}

async fn a_levy_is_settled_once_and_its_key_is_bound(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    send_one(&sequencer, "bailiff", order("bailiff", 1, OrderKind::Collection, 1, 1_000)).await;
    let settle = |tiyn, reference: &str| {
        let bank_reference = Text::parse(reference).unwrap();
        Command::Order(OrderCommand::SettleLevy {
            authority: issuer_of("bailiff"),
            amount: amount(tiyn),
            bank_reference,
        })
    };
    let key = |number| actor_of("op-a", Some(number));
    assert_eq!(
        refused_for(sequencer.submit(settle(1_001, "p"), key(1)).await),
        RefusalCode::LevyInsufficient
    );
    let first = made(sequencer.submit(settle(600, "p"), key(1)).await);
    let again = made(sequencer.submit(settle(600, "p"), key(1)).await);
    assert_eq!((again.seq, again.replayed), (first.seq, true));
    assert_eq!(refused(sequencer.submit(settle(601, "p"), key(1)).await).field, Some("amount"));
    let other = serve(place.open().await).await;
    assert_eq!(refused_for(other.submit(settle(100, "p"), key(2)).await), RefusalCode::BankReferenceUsed);
    made(other.submit(settle(400, "q"), key(3)).await);
    assert_sound(&store).await;
}

async fn a_writer_that_starts_later_decides_by_the_rules_in_force(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let (in_force, _) = store.newest_rules().await.unwrap().unwrap();
    let other = serve(place.open().await).await;
    let by_other = send_one(&other, "bailiff", order("bailiff", 1, OrderKind::Collection, 1, 1_000)).await;
    assert_eq!(by_other.members["rules"], in_force);
    // Rules that one writer sets hold for the other's next decision.
    let closed = RuleTable {
        rules: RuleTable::shipped()
            .rules
            .into_iter()
            .filter(|rule| rule.class == FundClass::Protected)
            .collect(),
        mode: Mode::Mixed,
        ..RuleTable::shipped()
    };
    agree(&sequencer, Proposal::SetRules { rules: Box::new(closed) }).await;
    let refused = send_one(&other, "bailiff", order("bailiff", 2, OrderKind::Collection, 1, 1_000)).await;
    assert_eq!(outcome(&refused), OrderOutcome::RefusedProtected);
    assert!(refused.members["rules"].as_u64().unwrap() > in_force);
    assert_sound(&store).await;
}

/// What two operators agree on: that a person has a further number.
fn add_number(person: u64, further: u64) -> Proposal {
    let (tag, document) = (keys().tag(&iin(further)), Document::parse("act 7").unwrap());
    Proposal::AddNumber { wallet: wallet(person), leads: wallet(further), person: tag, document }
}

fn merge(person: u64, merged: u64) -> Proposal {
    let (wallet, merged, document) = (wallet(person), wallet(merged), Document::parse("act 8").unwrap());
    Proposal::MergeWallets { wallet, merged, document }
}

async fn orders_and_the_numbers_of_a_person_go_together(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let asked = async || {
        let request = RegistryCommand::RequestApproval(merge(0, 1));
        refused_for(sequencer.submit(Command::Registry(request), actor_of("op-a", None)).await)
    };
    // A wallet under an order is not merged, whichever order it is.
    send_one(&sequencer, "bailiff", order("bailiff", 1, OrderKind::Arrest, 1, 300)).await;
    assert_eq!(asked().await, RefusalCode::OutflowBlocked);
    send_one(&sequencer, "bailiff", naming("bailiff", 2, OrderKind::Lift, 1, 0, 1)).await;
    send_one(&sequencer, "police", order("police", 1, OrderKind::Freeze, 1, 0)).await;
    assert_eq!(asked().await, RefusalCode::OutflowBlocked);
    send_one(&sequencer, "police", naming("police", 2, OrderKind::Lift, 1, 0, 1)).await;
    agree(&sequencer, merge(0, 1)).await;
    assert_eq!(general(&*store, 0).await, (100_000, 100_000, 0));
    // The old number, and one that is added, mean the wallet that stays: for another writer too.
    agree_on(&sequencer, add_number(0, 900), Some(iin(900))).await;
    let other = serve(place.open().await).await;
    let shown = wallet(0).to_string();
    for (number, person) in [(3, 1), (4, 900), (5, 0)] {
        let taken =
            send_one(&other, "bailiff", order("bailiff", number, OrderKind::Collection, person, 1_000)).await;
        assert_eq!(
            (outcome(&taken), &taken.members["wallet"]),
            (OrderOutcome::Executed, &shown.clone().into())
        );
    }
    assert_eq!(general(&*store, 0).await.1, 97_000);
    // What is held by one number is carried out, and lifted, by the other.
    send_one(&other, "bailiff", order("bailiff", 6, OrderKind::Arrest, 900, 5_000)).await;
    let carried =
        send_one(&sequencer, "bailiff", naming("bailiff", 7, OrderKind::Collection, 1, 5_000, 6)).await;
    assert_eq!(outcome(&carried), OrderOutcome::Executed);
    assert_eq!(general(&*store, 0).await, (100_000, 92_000, 0));
    assert_sound(&store).await;
}

/// Orders against a wallet are read a thousand at a time: whether one stands is told by the last as well.
async fn a_wallet_is_not_merged_under_an_order_however_many_came_before_it(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let collect = |number| order("bailiff", number, OrderKind::Collection, 1, 1);
    let arrest = |number| order("bailiff", number, OrderKind::Arrest, 1, 300);
    let lift = |number, earlier| naming("bailiff", number, OrderKind::Lift, 1, 0, earlier);
    let asked = async || {
        let request = RegistryCommand::RequestApproval(merge(0, 1));
        refused_for(sequencer.submit(Command::Registry(request), actor_of("op-a", None)).await)
    };
    for decided in send(&sequencer, "bailiff", (1..=998).map(collect).collect()).await {
        decided.unwrap();
    }
    // The 999th, and so on to the 1,005th.
    for number in [999, 1_001, 1_003] {
        send_one(&sequencer, "bailiff", arrest(number)).await;
        assert_eq!(asked().await, RefusalCode::OutflowBlocked, "{number}");
        send_one(&sequencer, "bailiff", lift(number + 1, number)).await;
    }
    send_one(&sequencer, "bailiff", arrest(1_005)).await;
    assert_eq!(asked().await, RefusalCode::OutflowBlocked);
    send_one(&sequencer, "bailiff", lift(1_006, 1_005)).await;
    agree(&sequencer, merge(0, 1)).await;
    assert_eq!(general(&*store, 0).await, (100_000, 99_002, 0));
    assert_sound(&store).await;
}

async fn a_tax_debt_is_collected_once_in_all_through_whichever_writer(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    let other = serve(place.open().await).await;
    people(&sequencer).await;
    // The tag of a debt is that of its date, amount and type: here all are one debt of 90,000.
    let collect = |number: u64, person| {
        let same = written("tax", 1, OrderKind::Collection, person, 90_000);
        let debt = intake(&same).said.unwrap().debt;
        let next = order("tax", number, OrderKind::Collection, person, 90_000);
        let said = next.said.map(|said| social_wallet::ledger::order::Order { debt, ..said });
        Intake { said, ..next }
    };
    let taken = |entry: &EntryView| entry.members["taken"].as_str().unwrap().to_owned();
    assert_eq!(taken(&send_one(&sequencer, "tax", collect(11, 0)).await), "500.00", "all that is general");
    assert_eq!(taken(&send_one(&other, "tax", collect(12, 1)).await), "500.00", "another person's debt");
    agree(&sequencer, merge(0, 1)).await;
    made(sequencer.submit(accrue(0, "BONUS", month(7), 99_000), actor(None)).await);
    // Both were one person's: more than the debt was taken, and nothing is added to it.
    let over = send_one(&other, "tax", collect(13, 0)).await;
    assert_eq!((outcome(&over), taken(&over).as_str()), (OrderOutcome::ReturnedDuplicate, "0.00"));
    // In parts, in one request and over several, and merged in between.
    assert_eq!(taken(&send_one(&sequencer, "tax", collect(14, 2)).await), "500.00");
    agree(&sequencer, merge(3, 2)).await;
    made(sequencer.submit(accrue(3, "BONUS", month(7), 99_000), actor(None)).await);
    let rest = send(&other, "tax", vec![collect(15, 2), collect(16, 3)]).await;
    let [rest, none] = &rest[..] else { panic!("{rest:?}") };
    let rest = rest.as_ref().unwrap();
    assert_eq!((outcome(rest), taken(rest).as_str()), (OrderOutcome::Partial, "400.00"));
    assert_eq!(outcome(none.as_ref().unwrap()), OrderOutcome::ReturnedDuplicate);
    assert_sound(&store).await;
}

async fn late(place: &Place, past: fn() -> i64) -> Sequencer {
    Sequencer::start(place.open().await, keys(), Clock::with(past), WALLETS_MAX).await.unwrap().0
}

const OVER: i64 = NOW + DAY + 1;

async fn what_is_over_ends_before_anything_is_decided_that_it_would_hold_up(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let arrest = |number, person| {
        let written = written("bailiff", number, OrderKind::Arrest, person, 50_000);
        intake(&WrittenOrder { expires: Some(NOW + DAY), ..written })
    };
    send(&sequencer, "bailiff", vec![arrest(1, 0), arrest(2, 1), arrest(3, 2), arrest(4, 3)]).await;
    send_one(&sequencer, "police", order("police", 1, OrderKind::Freeze, 4, 0)).await;
    let register =
        RegistryCommand::Register { client: client("egov"), role: Role::Channel, scope: Scope::Book };
    made(sequencer.submit(Command::Registry(register), actor_of("op-a", None)).await);

    // Nobody has looked what is over: the writer ends it itself, in the commit that decides.
    let late = late(place, || OVER).await;
    let size = async || store.head().await.unwrap().unwrap().size;
    let before = size().await;
    let taken = send_one(&late, "bailiff", order("bailiff", 5, OrderKind::Collection, 0, 50_000)).await;
    assert_eq!((outcome(&taken), taken.seq), (OrderOutcome::Executed, before + 1));
    let ended: serde_json::Value =
        serde_json::from_slice(&store.leaves(&[before]).await.unwrap().remove(0).1).unwrap();
    assert_eq!((&ended["kind"], &ended["actor"]["client"]), (&"order_expired".into(), &"system".into()));
    // Its issuer names it too late.
    for (number, kind) in [(6, OrderKind::Collection), (7, OrderKind::Lift)] {
        let named = send_one(&late, "bailiff", naming("bailiff", number, kind, 1, 100, 2)).await;
        assert_eq!(named.members["field"], "lifts", "{kind}");
        assert_eq!(outcome(&named), OrderOutcome::Malformed);
    }
    // A reversal, a merging.
    made(late.submit(reverse(2, "BONUS", month(2)), actor(None)).await);
    agree(&late, merge(7, 3)).await;
    assert_eq!(general(&*store, 7).await, (100_000, 100_000, 0));
    // What leaves a wallet.
    let terms =
        Terms { purpose: Purpose::Cash {}, ceiling: amount(100), standing: true, expires: OVER + DAY };
    let consent = Consent { method: ConsentMethod::Session, evidence: [7; 32], at: OVER };
    let (wallet, sealed_destination) = (wallet(4), vec![1]);
    let authorise = PaymentCommand::Authorise { wallet, terms, consent, sealed_destination };
    made(late.submit(Command::Payment(authorise), actor_of("egov", None)).await);
    assert_eq!(Expiry::new(store.clone(), late, || OVER).look().await.unwrap(), 0, "all have ended");
    assert_sound(&store).await;
}

async fn orders_end_before_cash_outs(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let register =
        RegistryCommand::Register { client: client("egov"), role: Role::Channel, scope: Scope::Book };
    made(sequencer.submit(Command::Registry(register), actor_of("op-a", None)).await);
    let mut codes = 0u64;
    for person in 0..7 {
        let terms =
            Terms { purpose: Purpose::Cash {}, ceiling: amount(5_000), standing: true, expires: NOW + DAY };
        let consent = Consent { method: ConsentMethod::Session, evidence: [person; 32], at: NOW };
        let (wallet, sealed_destination) = (wallet(person.into()), vec![1]);
        let authorise = PaymentCommand::Authorise { wallet, terms, consent, sealed_destination };
        let given = made(sequencer.submit(Command::Payment(authorise), actor_of("egov", None)).await).seq;
        for _ in 0..20 {
            codes += 1;
            let mut reference = [0; 10];
            reference[..8].copy_from_slice(&codes.to_be_bytes());
            let reference = CashReference::from_bytes(reference);
            let (authorisation, amount, secret, minutes) = (given, amount(100), [1; 32], 15);
            let cash = PaymentCommand::CreateCash { authorisation, amount, reference, secret, minutes };
            made(sequencer.submit(Command::Payment(cash), actor_of("egov", None)).await);
        }
    }
    assert!(codes > PORTION.into());
    let arrest =
        WrittenOrder { expires: Some(NOW + DAY), ..written("bailiff", 1, OrderKind::Arrest, 7, 100) };
    send_one(&sequencer, "bailiff", intake(&arrest)).await;
    send_one(&sequencer, "police", order("police", 1, OrderKind::Freeze, 7, 0)).await;
    let size = store.head().await.unwrap().unwrap().size;
    let mut expiry = Expiry::new(store.clone(), late(place, || OVER).await, || OVER);
    assert_eq!(
        expiry.look().await.unwrap() as u64,
        codes + 2 - 1,
        "who ends the freeze ends the arrest with it"
    );
    let entries: Vec<u64> = (size..size + codes + 2).collect();
    let mut kinds = Vec::new();
    for (seq, leaf) in store.leaves(&entries).await.unwrap() {
        let leaf: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
        kinds.push((seq, leaf["kind"].as_str().unwrap().to_owned()));
    }
    kinds.sort();
    let orders = kinds.iter().take_while(|(_, kind)| kind == "order_expired").count();
    assert_eq!((orders, kinds.len() as u64), (2, codes + 2));
    assert_sound(&store).await;
}

type History = Vec<(Command, Actor)>;

/// A history of orders, alone and in files, among accruals and reversals.
fn history(seed: u64) -> History {
    let mut dice = Dice(seed);
    let roll = |dice: &mut Dice, sides: u64| i64::try_from(dice.roll(sides)).unwrap();
    let kinds = [
        OrderKind::Collection,
        OrderKind::Arrest,
        OrderKind::Alimony,
        OrderKind::Lift,
        OrderKind::Suspension,
        OrderKind::Freeze,
        OrderKind::OverpaymentRecovery,
    ];
    (0..120)
        .map(|_| match dice.roll(5) {
            0 => {
                let programme = ["ASP", "BONUS"][usize::try_from(dice.roll(2)).unwrap()];
                let period = month(1 + u8::try_from(dice.roll(9)).unwrap());
                (accrue(dice.roll(10), programme, period, 1 + roll(&mut dice, 900)), actor(None))
            }
            1 => (reverse(dice.roll(10), "ASP", month(1 + u8::try_from(dice.roll(9)).unwrap())), actor(None)),
            _ => {
                let by = CLIENTS[usize::try_from(dice.roll(5)).unwrap()].0;
                let orders = (0..=dice.roll(5))
                    .map(|_| {
                        let kind = kinds[usize::try_from(dice.roll(7)).unwrap()];
                        let (number, person) = (dice.roll(40), dice.roll(12));
                        let tiyn = roll(&mut dice, 9_000) + 1;
                        if kind == OrderKind::Lift || kind == OrderKind::Collection && dice.roll(3) == 0 {
                            naming(by, number, kind, person, tiyn, dice.roll(40))
                        } else {
                            order(by, number, kind, person, tiyn)
                        }
                    })
                    .collect();
                (decide(orders), actor_of(by, None))
            }
        })
        .collect()
}

async fn run(place: &Place, history: &History, together: bool) -> (Vec<Answer>, Vec<Vec<u8>>) {
    let store = place.open().await;
    let sequencer = serve(store.clone()).await;
    people(&sequencer).await;
    let answers = if together {
        at_once(&sequencer, history.clone()).await
    } else {
        let mut answers = Vec::new();
        for (command, actor) in history.clone() {
            answers.push(sequencer.submit(command, actor).await);
        }
        answers
    };
    assert_sound(&store).await;
    (answers, journal(&*store).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_handed_in_at_once_give_the_journal_and_the_answers_of_orders_one_by_one_on_both_stores() {
    for seed in [1, 2] {
        let history = history(seed);
        let places = [Place::sqlite(), Place::sqlite(), Place::postgres().await];
        let expected = run(&places[0], &history, false).await;
        for (place, how) in places[1..].iter().zip(["SQLite", "PostgreSQL"]) {
            let found = run(place, &history, true).await;
            for (number, (a, b)) in expected.0.iter().zip(&found.0).enumerate() {
                assert_eq!(a, b, "{how}: the answer to command {number}");
            }
            for (seq, (a, b)) in expected.1.iter().zip(&found.1).enumerate() {
                assert_eq!(String::from_utf8_lossy(a), String::from_utf8_lossy(b), "{how}: entry {seq}");
            }
            assert_eq!(expected.1.len(), found.1.len());
        }
        for place in places {
            place.remove().await;
        }
    }
}
