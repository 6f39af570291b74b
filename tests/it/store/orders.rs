//! What was ordered and decided: both rooms give back what the rules have made, and neither takes a levy on protected money.

use social_wallet::domain::{Bin, FundClass, Issuer, OrderKind, Role};
use social_wallet::ledger::effects::Effects;
use social_wallet::ledger::order::{
    MalformedField, NewOrder, Order, OrderRecord, Outcome, RuleTable, TaxDebt,
};
use social_wallet::ledger::order_rules::Intake;
use social_wallet::ledger::registry::Proposal;
use social_wallet::ledger::rules::Entry;
use social_wallet::ledger::wallet::EntryKind;
use social_wallet::store::orders::{OrderRow, digests_of};
use social_wallet::store::{Commit, CommitError, Store};

use super::book::{Book, Draft, START, amount, month, person, wallet_id};
use super::{Place, in_both_rooms};

in_both_rooms! {
    what_was_written_is_read_back,
    a_row_that_is_not_the_rules_shows_in_the_digests,
    sums_of_many_orders_pass_what_a_column_holds,
    invariant_4_no_levy_or_hold_of_an_order_on_protected_money_is_taken,
    what_is_used_up_once_is_used_up,
}

const DAY: i64 = 86_400_000;

pub fn issuer(text: &str) -> Bin {
    Bin::parse(text.as_bytes()).unwrap()
}

/// Clients that issue orders.
const CLIENTS: [(&str, &str, Issuer); 3] = [
    ("bailiff", "961141000023", Issuer::Bailiff),
    ("tax", "940140000385", Issuer::TaxAuthority),
    ("police", "961141000023", Issuer::Investigator),
];

fn tag(by: &str, number: u8) -> [u8; 32] {
    let mut tag = [number; 32];
    tag[..by.len()].copy_from_slice(by.as_bytes());
    tag
}

fn order(by: &str, number: u8, kind: OrderKind, debtor: u32) -> Order {
    Order {
        order: tag(by, number),
        order_kind: kind,
        debtor: person(debtor).tag,
        enforcement_document: [1; 32],
        purpose: [2; 32],
        amount: None,
        expires: None,
        debt: None,
        overpaid: None,
        lifts: None,
    }
}

fn of(mut said: Order, tiyn: i64) -> Order {
    said.amount = Some(amount(tiyn));
    said
}

fn send(draft: &mut Draft<'_>, by: &str, said: Order) {
    let debtor = u32::from_be_bytes(said.debtor[..4].try_into().unwrap());
    let sealed = format!("sealed {by} {}", said.order[31]).into_bytes();
    let intake = Intake { said: Ok(said), wallet: Some(wallet_id(debtor)), sealed, line: None };
    draft.run_as(by, |books, entry| books.decide_order(entry, intake)).unwrap();
}

/// Registers authorities in a book that has its operators, and sends orders of every outcome.
pub async fn write_orders(book: &mut Book, store: &dyn Store) {
    book.write(store, |draft| {
        for (name, bin, issuer_kind) in CLIENTS {
            let bin = Some(issuer(bin));
            let (client, issuer) = (super::book::client(name), Some(issuer_kind));
            let proposal = Proposal::RegisterClient { client, role: Role::Authority, bin, bic: None, issuer };
            let asked = draft.run_as("op-a", |books, entry| books.request_approval(entry, proposal.clone()));
            draft.run_as("op-b", |books, Entry { fx, stamp, actor }| {
                books.give_approval(Entry { fx, stamp, actor }, asked.unwrap(), proposal.digest()).unwrap();
                books.carry_out(Entry { fx, stamp, actor }, proposal, Vec::new()).unwrap();
            });
        }
    })
    .await;
    // Wallets 8 .. 30 have 500 of BONUS, which is general, beside their protected money.
    book.write(store, |draft| {
        send(draft, "bailiff", of(order("bailiff", 1, OrderKind::Collection, 8), 200));
        send(draft, "bailiff", of(order("bailiff", 2, OrderKind::Collection, 8), 900));
        send(draft, "bailiff", of(order("bailiff", 3, OrderKind::Collection, 8), 900));
        send(draft, "bailiff", of(order("bailiff", 4, OrderKind::Collection, 7_777), 900));
        send(draft, "bailiff", of(order("bailiff", 5, OrderKind::Fee, 9), 900));
        send(draft, "bailiff", order("bailiff", 6, OrderKind::Collection, 9)); // malformed
        send(draft, "bailiff", order("bailiff", 7, OrderKind::Arrest, 9));
        send(draft, "bailiff", of(order("bailiff", 8, OrderKind::Arrest, 10), 100));
        let until = Some(START + 300 * DAY);
        send(draft, "police", Order { expires: until, ..order("police", 1, OrderKind::Freeze, 11) });
        send(draft, "police", Order { expires: until, ..order("police", 2, OrderKind::Freeze, 12) });
        let debt = |met_elsewhere| Some(TaxDebt { tag: [9; 32], met_elsewhere });
        let collect = |number| of(order("tax", number, OrderKind::Collection, 13), 100);
        send(draft, "tax", Order { debt: debt(true), ..collect(1) });
        send(draft, "tax", Order { debt: debt(false), ..collect(2) });
        send(draft, "tax", Order { debt: debt(false), ..collect(3) });
    })
    .await;
    book.at += DAY;
    book.write(store, |draft| {
        let unread = (tag("bailiff", 9), MalformedField::Iin);
        let intake = Intake { said: Err(unread), wallet: None, sealed: b"sealed".to_vec(), line: None };
        draft.run_as("bailiff", |books, entry| books.decide_order(entry, intake)).unwrap();
        let lift = |by: &str, number, of, debtor| Order {
            lifts: Some(tag(by, of)),
            ..order(by, number, OrderKind::Lift, debtor)
        };
        send(draft, "bailiff", lift("bailiff", 10, 8, 10));
        send(draft, "police", lift("police", 3, 2, 12));
    })
    .await;
}

/// All that was written, as one.
fn all(book: &Book) -> Effects {
    let mut all = Effects::default();
    for commit in &book.commits {
        let effects = commit.effects.clone();
        all.rule_tables.extend(effects.rule_tables);
        all.orders.extend(effects.orders);
        all.order_ends.extend(effects.order_ends);
    }
    all
}

/// The row that an order must have.
fn row(made: &NewOrder, all: &Effects) -> OrderRow {
    let ended = all.order_ends.iter().find(|end| end.order == made.seq).map(|end| end.seq);
    let (seq, date, client, account, drawn) =
        (made.seq, made.date, made.client, made.account, made.drawn.clone());
    match &made.record {
        OrderRecord::Malformed { order, issuer, issuer_kind, .. } => OrderRow {
            seq,
            tag: *order,
            date,
            client,
            issuer: *issuer,
            issuer_kind: *issuer_kind,
            kind: None,
            outcome: Outcome::Malformed,
            account,
            asked: 0,
            taken: 0,
            held: 0,
            refused: 0,
            expires: None,
            drawn,
            ended,
        },
        OrderRecord::Decided(decision) => OrderRow {
            seq,
            tag: decision.said.order,
            date,
            client,
            issuer: decision.issuer,
            issuer_kind: decision.issuer_kind,
            kind: Some(decision.said.order_kind),
            outcome: decision.outcome,
            account,
            asked: decision.asked(),
            taken: decision.taken.tiyn(),
            held: decision.held.tiyn(),
            refused: decision.refused.tiyn(),
            expires: decision.said.expires,
            drawn,
            ended,
        },
        other => panic!("{other:?}"),
    }
}

fn sorted(mut rows: Vec<OrderRow>) -> Vec<OrderRow> {
    rows.sort_unstable_by_key(|row| row.seq);
    rows
}

async fn what_was_written_is_read_back(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let all = all(&book);
    let made: Vec<OrderRow> = all.orders.iter().map(|order| row(order, &all)).collect();
    for outcome in Outcome::ALL {
        assert!(made.iter().any(|row| row.outcome == outcome), "{outcome:?}");
    }

    let mut entries: Vec<u64> = made.iter().map(|row| row.seq).collect();
    entries.push(999_999);
    assert_eq!(sorted(store.orders(&entries).await.unwrap()), made, "what is absent is left out");
    let mut sealed = store.sealed_orders(&entries).await.unwrap();
    sealed.sort_unstable();
    let kept: Vec<_> = all.orders.iter().map(|order| (order.seq, order.sealed.clone())).collect();
    assert_eq!(sealed, kept);

    let mut tags: Vec<[u8; 32]> = made.iter().map(|row| row.tag).collect();
    tags.push([0; 32]);
    let binding: Vec<OrderRow> =
        made.iter().filter(|row| row.outcome != Outcome::Malformed).cloned().collect();
    assert_eq!(sorted(store.orders_by_tag(&tags).await.unwrap()), binding, "what is malformed binds nothing");

    let executed = binding.iter().find(|row| row.tag == tag("tax", 2)).unwrap();
    let account = executed.account;
    let debts = [(account, [8; 32]), (account, [9; 32]), (account + 1, [9; 32])];
    assert_eq!(store.collected(&debts).await.unwrap(), [(account, [9; 32], 100)]);

    let frozen = binding.iter().find(|row| row.tag == tag("police", 1)).unwrap();
    let lifted = binding.iter().find(|row| row.tag == tag("police", 2)).unwrap();
    let accounts = [frozen.account, lifted.account, 1];
    assert_eq!(
        store.standing_until(&accounts).await.unwrap(),
        std::slice::from_ref(frozen),
        "arrests without an end are none"
    );
    let expires = frozen.expires.unwrap();
    let expired = async |before, after| store.expired_orders(true, before, after, 10).await.unwrap();
    assert_eq!(store.expired_orders(false, expires + 1, (0, 0), 10).await.unwrap(), [], "it is a freeze");
    assert_eq!(expired(expires, (0, 0)).await, []);
    assert_eq!(expired(expires + 1, (0, 0)).await, [(expires, frozen.seq)], "the other was lifted");
    assert_eq!(expired(expires + 1, (expires, frozen.seq)).await, []);

    let of = |wanted: &dyn Fn(&OrderRow) -> bool| {
        made.iter().filter(|row| wanted(row)).cloned().collect::<Vec<_>>()
    };
    let bailiff = issuer("961141000023");
    let of_bailiff = of(&|row| row.issuer == bailiff);
    assert_eq!(store.orders_of_issuer(bailiff, 0, 100).await.unwrap(), of_bailiff);
    assert_eq!(store.orders_of_issuer(bailiff, of_bailiff[2].seq, 2).await.unwrap(), of_bailiff[3..5]);
    let against = of(&|row| row.account == frozen.account);
    assert_eq!(store.orders_against(frozen.account, 0, 100).await.unwrap(), against);

    let (first, last) = (made[0].date, made.last().unwrap().date);
    assert!(first < last);
    let between = async |from, to, after, limit| store.orders_between(from, to, after, limit).await.unwrap();
    assert_eq!(between(first, last, 0, 100).await, made);
    assert_eq!(between(first, first, 0, 100).await, of(&|row| row.date == first));
    assert_eq!(between(last, last, 0, 100).await, of(&|row| row.date == last));
    assert_eq!(between(first, last, made[4].seq, 3).await, made[5..8]);
    assert_eq!(between(last + 1, last + 9, 0, 100).await, []);
    assert_eq!(between(first - 9, first - 1, 0, 100).await, []);

    let sums = store.order_sums(first, last).await.unwrap();
    assert_eq!(sums.iter().map(|sum| sum.orders).sum::<u64>(), made.len() as u64);
    for sum in &sums {
        let same = |row: &&OrderRow| {
            (row.issuer, row.issuer_kind, row.kind, row.outcome)
                == (sum.issuer, sum.issuer_kind, sum.kind, sum.outcome)
        };
        let rows: Vec<&OrderRow> = made.iter().filter(same).collect();
        let add = |of: fn(&OrderRow) -> i64| rows.iter().map(|row| i128::from(of(row))).sum::<i128>();
        assert_eq!(sum.orders, rows.len() as u64);
        assert_eq!((sum.asked, sum.taken), (add(|row| row.asked), add(|row| row.taken)));
        assert_eq!((sum.held, sum.refused), (add(|row| row.held), add(|row| row.refused)));
    }
    assert_eq!(store.order_sums(last + 1, last + 9).await.unwrap(), []);

    let (entry, table) = all.rule_tables[0].clone();
    assert_eq!(table, RuleTable::shipped());
    assert_eq!(store.newest_rules().await.unwrap(), Some((entry, table.clone())));
    assert_eq!((store.rules(entry).await.unwrap(), store.rules(0).await.unwrap()), (Some(table), None));

    // The flag of a frozen wallet is part of its head.
    let wallets = store.wallets(&[wallet_id(11), wallet_id(12)]).await.unwrap();
    for (id, wallet) in wallets {
        assert_eq!(wallet.frozen, id == wallet_id(11));
    }
}

async fn a_row_that_is_not_the_rules_shows_in_the_digests(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let made = digests_of(&all(&book));
    assert_eq!(store.order_digests().await.unwrap(), made);
    assert!(made.iter().all(|(_, _, count)| *count > 0));
    let mut raw = place.raw().await;
    for (number, sql) in [
        "INSERT INTO rule_table (seq, rules) VALUES (999999, '{}')",
        "INSERT INTO order_end (decision, seq) VALUES (999998, 999999)",
    ]
    .into_iter()
    .enumerate()
    {
        raw.run(sql).await.unwrap();
        let now = store.order_digests().await.unwrap();
        assert_eq!(now.iter().zip(&made).filter(|(now, made)| now != made).count(), number + 1, "{sql}");
    }
}

/// A row of `decision` as SQL, of an issuer that nobody is.
fn decision(place: &Place, seq: u64, asked: i64, refused: i64, outcome: &str) -> String {
    let blob = |byte: u64| match place {
        Place::Sqlite { .. } => format!("x'{}'", format!("{:02x}", byte % 256).repeat(32)),
        Place::Postgres { .. } => format!("'\\x{}'", format!("{:02x}", byte % 256).repeat(32)),
    };
    format!(
        "INSERT INTO decision (seq, asked, taken, held, refused, account, date, tag, client, issuer, issuer_kind, kind, outcome,
            drawn, sealed)
         VALUES ({seq}, {asked}, 0, 0, {refused}, 0, 20990101, {}, 'x', '940140000385', 'bailiff', 'collection', '{outcome}', '[]', {})",
        blob(seq),
        blob(0)
    )
}

async fn sums_of_many_orders_pass_what_a_column_holds(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    book.write(&*store, |draft| draft.open(1)).await;
    let mut raw = place.raw().await;
    let most = i64::MAX / 2;
    for seq in 1..=5 {
        raw.run(&decision(place, seq, most, most, "no_wallet")).await.unwrap();
    }
    let [sum] = &store.order_sums(20_990_101, 20_990_101).await.unwrap()[..] else { panic!("one row") };
    assert_eq!((sum.orders, sum.asked, sum.refused), (5, i128::from(most) * 5, i128::from(most) * 5));
}

/// A commit that collects of an account's general lot, and where its movement of that lot stands.
fn levy(book: &mut Book, large: bool, kind: OrderKind) -> Commit {
    book.draft(|draft| {
        if large {
            (5_000..5_200).for_each(|number| _ = draft.accrue(number, "ASP", month(5), 1, 100));
        }
        send(draft, "bailiff", of(order("bailiff", 100, kind, 14), 200));
    })
}

async fn invariant_4_no_levy_or_hold_of_an_order_on_protected_money_is_taken(place: &Place) {
    let store = place.open().await;
    let mut book = Book::full(&*store).await;
    let before = (book.head, book.at);
    for (kind, large) in [OrderKind::Collection, OrderKind::Arrest]
        .into_iter()
        .flat_map(|kind| [false, true].map(|large| (kind, large)))
    {
        // The rules decide on copies: they are what they were, as nothing is committed.
        let mut draft = Book::new();
        std::mem::swap(&mut draft, &mut book);
        let commit = levy(&mut draft, large, kind);
        let account = commit.effects.movements[0].account;
        let lots = draft.books.lots_of(account).unwrap();
        let protected = lots.iter().find(|lot| lot.class == FundClass::Protected).unwrap();
        let written = commit.effects.entries.iter().find(|row| row.after.account == account).unwrap();
        assert!(matches!(written.kind, EntryKind::Levy | EntryKind::Arrest));
        // The same commit, but the money is of a protected lot.
        let mut forged = commit.clone();
        let moved = &mut forged.effects.movements[0];
        (moved.lot, moved.movement) = (protected.version, protected.movements + 1);
        match store.commit(&forged).await.unwrap_err() {
            CommitError::Failed(error) => {
                assert!(
                    error.to_string().contains("protected money is not reached"),
                    "{kind} {large}: {error}"
                );
            }
            error => panic!("{error:?}"),
        }
        assert_eq!(store.head().await.unwrap(), Some(before.0), "nothing was written");
        if kind == OrderKind::Arrest && large {
            store.commit(&commit).await.unwrap();
        } else {
            // A new book up to the same point.
            book = Book::new();
            replayed(&mut book, &draft);
        }
    }
}

/// Makes a book be what another was before its last commit.
fn replayed(book: &mut Book, other: &Book) {
    let mut replay = social_wallet::ledger::replay::Replay::default();
    let commits = &other.commits[..other.commits.len() - 1];
    for commit in commits {
        let mut fx = Effects::default();
        for (record, actor) in commit.effects.records.clone() {
            replay.apply(&mut fx, commit.stamp, actor, record).unwrap();
        }
        replay.books.finish(&mut fx, commit.stamp);
    }
    let last = commits.last().unwrap();
    book.books = replay.books;
    book.head = last.after;
    book.at = last.stamp.at;
    book.commits = commits.to_vec();
}

async fn what_is_used_up_once_is_used_up(place: &Place) {
    let store = place.open().await;
    let mut book = Book::full(&*store).await;
    let all = all(&book);
    let commit = book.draft(|draft| _ = draft.accrue(1, "ASP", month(11), 1, 1));
    let by_tag = |wanted: [u8; 32]| {
        let is = |order: &&NewOrder| matches!(&order.record, OrderRecord::Decided(made) if made.said.order == wanted);
        all.orders.iter().find(is).unwrap().clone()
    };
    // A document, all of a tax debt, the end of an order: none twice.
    let mut twice = [commit.clone(), commit.clone(), commit.clone()];
    let seq = commit.before.size;
    twice[0].effects.orders.push(NewOrder { seq, ..by_tag(tag("bailiff", 1)) });
    let mut debt = NewOrder { seq, ..by_tag(tag("tax", 2)) };
    if let OrderRecord::Decided(made) = &mut debt.record {
        made.said.order = [77; 32];
    }
    twice[1].effects.orders.push(debt);
    twice[2].effects.order_ends.push(all.order_ends[0]);
    for commit in twice {
        let error = store.commit(&commit).await.unwrap_err();
        assert!(matches!(error, CommitError::Failed(_)), "{error:?}");
    }
    // What is malformed may come again, and a decision's sums are in order.
    let mut again = commit.clone();
    again.effects.orders.push(NewOrder { seq, ..by_tag(tag("bailiff", 6)) });
    store.commit(&again).await.unwrap();
    let mut raw = place.raw().await;
    let error = raw.run(&decision(place, 900_000, 5, 4, "no_wallet")).await.unwrap_err();
    assert!(error.contains("decision_sums"), "{error}");
}
