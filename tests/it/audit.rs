//! Invariant 10: projections are the replay of the journal; and what was done behind the service's back is found and named.

use social_wallet::audit::{Report, audit, audit_against};
use social_wallet::domain::FundClass;
use social_wallet::ledger::registry::Proposal;
use social_wallet::log::merkle::{Frontier, leaf_hash};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::command::Command;

use crate::sequencer::registry::{agree, bootstrap};
use crate::sequencer::{
    Dice, Payroll, accrue, actor, at_once, furnish, give_back, made, open, pay_out, reverse, serve,
};
use crate::store::book::{book_id, code, month};
use crate::store::{Place, Raw, in_both_rooms};

/// A book with something of everything.
pub async fn furnished(place: &Place) {
    let sequencer = serve(place.open().await).await;
    use_it(&sequencer).await;
}

/// Everything that moves money, some of it refused, and a batch.
pub async fn use_it(sequencer: &Sequencer) {
    furnish(sequencer).await;
    let mut dice = Dice(7);
    for round in 1..=4 {
        let commands = (0..60).map(|_| {
            let person = dice.roll(10);
            let command = match dice.roll(5) {
                0 => open(person),
                1 => pay_out(person, 50),
                2 => reverse(person, "ASP", month(round)),
                3 => accrue(person, "BONUS", month(round), 90),
                _ => accrue(person, "ASP", month(round), 200),
            };
            (command, actor(None))
        });
        at_once(sequencer, commands.collect()).await;
    }
    made(sequencer.submit(accrue(1, "BONUS", month(11), 700), actor(None)).await);
    let paid = made(sequencer.submit(pay_out(1, 300), actor(None)).await).seq;
    made(sequencer.submit(give_back(paid, 100), actor(None)).await);
    let payroll = Payroll::of(1, 300, 200, 9);
    made(sequencer.submit(payroll.open(), actor(None)).await);
    let chunks = payroll.chunks(100).into_iter().map(|chunk| (chunk, actor(None))).collect();
    at_once(sequencer, chunks).await;
    made(sequencer.submit(payroll.close(), actor(None)).await);
}

async fn invariant_9_the_audit_finds_a_key_of_the_log_that_the_journal_does_not_name(place: &Place) {
    furnished(place).await;
    let sequencer = serve(place.open().await).await;
    let key = |number: u32| format!("social-wallet/{}+{number:08x}+AbCd", book_id());
    let (old, new) = (key(1), key(2));
    let rotation = Command::RotateLogKey { old, new, signature: Box::new([9; 64]) };
    made(sequencer.submit(rotation, actor(None)).await);
    assert!(audit(place.open().await, |_| {}).await.unwrap().matches());
    let mut raw = place.raw().await;
    unguard(&mut raw).await;
    raw.run("UPDATE log_change SET log_key = old_key").await.unwrap();
    drop(raw);
    let report = audit(place.open().await, |_| {}).await.unwrap();
    names(&report, "log_change: the log's origins and keys");
}

/// Takes the walls of the database down, as whoever owns it can.
async fn unguard(raw: &mut Raw) {
    match raw {
        Raw::Sqlite(_) => {
            for trigger in raw.texts("SELECT name FROM sqlite_schema WHERE type = 'trigger'").await {
                raw.run(&format!("DROP TRIGGER {trigger}")).await.unwrap();
            }
            raw.run("PRAGMA ignore_check_constraints = ON").await.unwrap();
        }
        Raw::Postgres(_) => {
            for table in raw.tables().await {
                raw.run(&format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await.unwrap();
            }
        }
    }
}

/// Does something behind the service's back: what the audit says.
async fn after(place: &Place, on_sqlite: &str, on_postgres: &str) -> Report {
    furnished(place).await;
    let sequencer = serve(place.open().await).await;
    bootstrap(&sequencer).await;
    agree(&sequencer, Proposal::ChangeClass { programme: code("BONUS"), class: FundClass::Protected }).await;
    let report = audit(place.open().await, |_| {}).await.unwrap();
    assert!(report.matches(), "{:#?}", report.findings);
    assert!(report.debit > 0 && report.debit == report.credit && report.entries > 300);
    let mut raw = place.raw().await;
    unguard(&mut raw).await;
    let sql = if matches!(raw, Raw::Sqlite(_)) { on_sqlite } else { on_postgres };
    raw.run(sql).await.unwrap();
    drop(raw);
    let report = audit(place.open().await, |_| {}).await.unwrap();
    assert!(!report.matches(), "the audit does not see: {sql}");
    assert_eq!(report.findings.is_empty(), report.findings_count == 0);
    report
}

fn names(report: &Report, what: &str) {
    assert!(report.findings.iter().any(|finding| finding.contains(what)), "{what}: {:#?}", report.findings);
}

macro_rules! tampering {
    ($($name:ident: $on_sqlite:expr, $on_postgres:expr, [$($named:expr),+];)*) => {
        $(async fn $name(place: &Place) {
            let report = after(place, $on_sqlite, $on_postgres).await;
            $(names(&report, $named);)+
        })*
        in_both_rooms!($($name),*);
    };
    ($($name:ident: $sql:expr, [$($named:expr),+];)*) => {
        tampering!($($name: $sql, $sql, [$($named),+];)*);
    };
}

mod of_the_head {
    use super::*;

    tampering! {
        invariant_10_the_audit_finds_a_head_that_was_moved_on:
            "UPDATE log_head SET size = size + 1",
            "UPDATE log_commit SET size_after = size_after + 1 WHERE size_after = (SELECT max(size_after) FROM log_commit)",
            ["the journal ends, but its head says"];
    }
}

mod of_rows {
    use super::*;

    tampering! {
        invariant_10_the_audit_names_the_wallet_whose_entry_has_another_amount:
            "UPDATE wallet_entry SET amount = amount + 1 WHERE account = 2 AND version = 1",
            ["wallet_entry: the rows of wallet number 2 "];
        invariant_10_the_audit_names_the_wallet_whose_newest_balance_was_raised:
            "UPDATE wallet_entry SET posted = posted + 1000 WHERE account = 2
               AND version = (SELECT max(version) FROM wallet_entry WHERE account = 2)",
            ["its head is not what the replay has", "wallet_entry: the rows of wallet number 2 "];
        invariant_10_the_audit_finds_that_the_newest_rows_of_a_wallet_are_gone:
            "DELETE FROM wallet_entry WHERE account = 3
               AND version = (SELECT max(version) FROM wallet_entry WHERE account = 3)",
            ["its head is not what the replay has", "wallet_entry: the rows of wallet number 3 "];
        invariant_10_the_audit_finds_that_a_middle_row_of_a_wallet_is_gone:
            "DELETE FROM wallet_entry WHERE account = 1 AND version = 2",
            ["wallet_entry: the rows of wallet number 1 "];
        invariant_10_the_audit_finds_an_entry_that_the_journal_never_made:
            "INSERT INTO wallet_entry SELECT seq, at, amount, refers, posted, held, general, general_held, account,
               version + 1000, first_open_lot, programme, period, part, class, kind, state, choice, frozen
               FROM wallet_entry WHERE account = 1 AND version = 1",
            ["its head is not what the replay has", "wallet_entry: the rows of wallet number 1 "];
        invariant_10_the_audit_finds_protected_money_that_was_marked_general:
            "UPDATE wallet_entry SET class = 3 - class WHERE kind = 1 AND account = 2 AND version = 1",
            ["wallet_entry: the rows of wallet number 2 "];
        invariant_10_the_audit_finds_a_lot_movement_that_was_changed:
            "UPDATE lot_movement SET remaining = remaining + 1 WHERE account = (SELECT min(account) FROM lot_movement)
               AND movement = 1",
            ["lot_movement: the rows of wallet number"];
        invariant_10_the_audit_finds_a_system_entry_that_was_changed:
            "UPDATE system_entry SET credits = credits + 1 WHERE account = 2 AND version = 3",
            ["system_entry 2 version 3 "];
        invariant_10_the_audit_finds_that_the_newest_system_entry_is_gone:
            "DELETE FROM system_entry WHERE account = 2
               AND version = (SELECT max(version) FROM system_entry WHERE account = 2)",
            ["the system accounts are not what the replay has"];
        invariant_10_the_audit_finds_that_a_middle_system_entry_is_gone:
            "DELETE FROM system_entry WHERE account = 2 AND version = 3",
            ["system_entry 2 version 4 "];
        invariant_10_the_audit_finds_batch_sums_that_were_changed:
            "UPDATE batch_entry SET accepted_total = accepted_total - 1
               WHERE version = (SELECT max(version) FROM batch_entry)",
            ["batch "];
        invariant_10_the_audit_finds_a_programme_whose_law_was_changed:
            "UPDATE programme SET legal_basis = 'another law' WHERE number = 1",
            ["the programmes are not what the replay has"];
        invariant_10_the_audit_finds_a_class_that_nobody_agreed_on:
            "UPDATE programme_class SET class = 2",
            ["the programmes are not what the replay has"];
        invariant_10_the_audit_finds_that_a_change_of_who_may_call_is_gone:
            "DELETE FROM registry_change WHERE seq = (SELECT max(seq) FROM registry_change)",
            ["registry_change: who may call is not what the replay has"];
        invariant_10_the_audit_finds_a_change_of_who_may_call_by_another:
            "UPDATE registry_change SET client = 'op-x' WHERE client = 'op-b'",
            ["registry_change: who may call is not what the replay has"];
        invariant_10_the_audit_finds_that_the_newest_leaves_are_gone:
            "DELETE FROM journal WHERE first = (SELECT max(first) FROM journal)",
            ["the journal ends, but its head says"];
        invariant_10_the_audit_finds_that_leaves_in_the_middle_are_gone:
            "DELETE FROM journal WHERE first = (SELECT max(first) FROM journal WHERE first < 100)",
            ["the journal has entry"];
        invariant_10_the_audit_finds_a_wallet_whose_opening_was_changed:
            "UPDATE wallet SET opened_seq = opened_seq + 1 WHERE account = 2",
            ["wallet: the rows of wallet number 2 "];
        invariant_7_the_audit_finds_that_a_bound_id_is_gone:
            "DELETE FROM instruction WHERE seq = (SELECT min(seq) FROM instruction)",
            ["instruction ", "is missing"];
        invariant_7_the_audit_finds_an_id_that_is_bound_to_another_entry:
            "UPDATE instruction SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM instruction)",
            ["instruction ", ", in the replay to "];
        invariant_3_the_audit_finds_that_a_persons_tag_is_gone:
            "DELETE FROM person_tag WHERE account = 3",
            ["person_tag: the rows of wallet number 3 "];
        invariant_3_the_audit_finds_a_tag_that_was_given_to_another_wallet:
            "UPDATE person_tag SET account = 4 WHERE account = 3",
            ["person_tag: the rows of wallet number 3 ", "person_tag: the rows of wallet number 4 "];
        invariant_13_the_audit_finds_a_pay_out_that_was_changed:
            "UPDATE pay_out SET amount = amount + 1 WHERE draw = 1 AND seq = (SELECT min(seq) FROM pay_out)",
            ["pay_out: the rows of wallet number "];
        invariant_13_the_audit_finds_that_a_pay_out_is_gone:
            "DELETE FROM pay_out WHERE seq = (SELECT max(seq) FROM pay_out)",
            ["pay_out: the rows of wallet number "];
        invariant_9_the_audit_finds_that_a_tile_is_gone:
            "DELETE FROM tile WHERE level = 0 AND place = 0",
            ["tile: level 0, place 0 is missing"];
        invariant_9_the_audit_finds_a_tile_that_no_entries_fill:
            "INSERT INTO tile (place, level, hashes) SELECT place + 1000, level, hashes FROM tile
               WHERE level = 0 AND place = 0",
            ["tile: no entries fill level 0, place 1000"];
        invariant_10_the_audit_finds_verdicts_of_another_chunk:
            "UPDATE batch_entry SET verdicts = (SELECT b.verdicts FROM batch_entry b WHERE b.kind = 2 AND b.version = 2)
               WHERE version = 1",
            ["batch_entry: batch number 1, version 1 "];
        invariant_10_the_audit_finds_that_a_middle_chunk_is_gone:
            "DELETE FROM batch_entry WHERE version = 2",
            ["batch_entry: batch number 1, version 2 is missing"];
        invariant_8_the_audit_finds_a_benefit_that_nobody_was_paid:
            "INSERT INTO benefit_paid (size_after, programme, period, part, accounts)
               SELECT size_after, programme, period, 77, accounts FROM benefit_paid LIMIT 1",
            ["benefit_paid: nobody was ever paid programme number "];
    }
}

mod of_orders {
    use social_wallet::audit::audit;

    use super::{names, unguard};
    use crate::sequencer::orders::order_of_everything;
    use crate::sequencer::serve;
    use crate::store::{Place, in_both_rooms};

    in_both_rooms!(invariants_10_and_14_the_audit_finds_what_was_done_to_orders_and_their_rules);

    async fn invariants_10_and_14_the_audit_finds_what_was_done_to_orders_and_their_rules(place: &Place) {
        let sequencer = serve(place.open().await).await;
        order_of_everything(&sequencer, place.open().await).await;
        let report = audit(place.open().await, |_| {}).await.unwrap();
        assert!(report.matches(), "{:#?}", report.findings);
        let mut raw = place.raw().await;
        unguard(&mut raw).await;
        let frozen = if matches!(place, Place::Sqlite { .. }) { "1 - frozen" } else { "NOT frozen" };
        // Each is done on top of the others, and named beside them.
        let mut findings = 0;
        for (sql, named) in [
            ("UPDATE rule_table SET rules = '{}'".to_owned(), "rule_table: a row is not what the replay has"),
            ("UPDATE order_end SET seq = seq + 1".to_owned(), "order_end: a row is not what the replay has"),
            (
                "UPDATE decision SET outcome = 'no_wallet' WHERE outcome = 'refused_protected'".to_owned(),
                "decision: a row is not what the replay has",
            ),
            (
                format!("UPDATE wallet_entry SET frozen = {frozen} WHERE account = 6 AND version = 1"),
                "wallet_entry: the rows of wallet number 6 ",
            ),
        ] {
            raw.run(&sql).await.unwrap();
            let report = audit(place.open().await, |_| {}).await.unwrap();
            names(&report, named);
            assert!(report.findings_count > findings, "{sql}");
            findings = report.findings_count;
        }
        raw.run("DELETE FROM decision WHERE outcome = 'no_wallet'").await.unwrap();
        names(&audit(place.open().await, |_| {}).await.unwrap(), " rows, in the replay ");
    }
}

/// A store that was put back to an earlier state, or that shows another history, is all right in itself: only a checkpoint
/// that somebody holds tells.
async fn invariant_9_a_store_that_contradicts_a_checkpoint_is_found(place: &Place) {
    furnished(place).await;
    let store = place.open().await;
    let leaves = crate::sequencer::journal(&*store).await;
    let root = |size: usize| {
        let mut tree = Frontier::empty();
        leaves[..size].iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
        (size as u64, tree.root())
    };
    let held = vec![root(1), root(leaves.len()), root(100), root(100)];
    let report = audit_against(store.clone(), held.clone(), |_| {}).await.unwrap();
    assert!(report.matches(), "{:#?}", report.findings);

    let newer = (leaves.len() as u64 + 1, [7; 32]);
    let report = audit_against(store.clone(), [held.clone(), vec![newer]].concat(), |_| {}).await.unwrap();
    names(&report, &format!("a checkpoint has {} entries, the journal only {}", newer.0, leaves.len()));
    let report = audit_against(store, [held, vec![(100, [7; 32])]].concat(), |_| {}).await.unwrap();
    names(&report, "the root at 100 entries is not that of a checkpoint");
}

in_both_rooms!(
    invariant_9_a_store_that_contradicts_a_checkpoint_is_found,
    invariant_9_the_audit_finds_a_key_of_the_log_that_the_journal_does_not_name
);

mod of_bytes {
    use super::*;

    tampering! {
        invariant_10_the_audit_finds_a_wallet_that_the_journal_never_opened:
            "INSERT INTO wallet (id, opened_seq, account) VALUES (zeroblob(16), 5, 100000)",
            "INSERT INTO wallet (id, opened_seq, account) VALUES ('00000000-0000-0000-0000-000000000000', 5, 100000)",
            ["wallet 00000000-0000-0000-0000-000000000000: its head", "wallets, the replay has"];
        invariant_10_the_audit_finds_a_benefit_whose_payment_was_forgotten:
            "DELETE FROM benefit_paid WHERE programme = 1 AND part = 1 AND period = (SELECT min(period) FROM benefit_paid)",
            "DELETE FROM benefit_paid WHERE programme = 1 AND part = 1 AND period = (SELECT min(period) FROM benefit_paid)",
            ["benefit_paid: who was paid programme number 1, period "];
        invariant_10_the_audit_finds_a_bitmap_with_another_person:
            "UPDATE benefit_paid SET accounts = (SELECT accounts FROM benefit_paid b WHERE b.accounts <> benefit_paid.accounts LIMIT 1)
               WHERE size_after = (SELECT min(size_after) FROM benefit_paid)",
            "UPDATE benefit_paid SET accounts = (SELECT accounts FROM benefit_paid b WHERE b.accounts <> benefit_paid.accounts LIMIT 1)
               WHERE size_after = (SELECT min(size_after) FROM benefit_paid)",
            ["benefit_paid: who was paid "];
        invariant_7_the_audit_finds_an_id_that_nothing_bound:
            "INSERT INTO instruction (seq, id) VALUES (3, zeroblob(16))",
            "INSERT INTO instruction (seq, id) VALUES (3, decode(repeat('00', 16), 'hex'))",
            ["instruction 00000000000000000000000000000000: bound to entry 3, in the replay to none"];
        invariant_9_the_audit_finds_a_tile_that_is_not_what_its_entries_hash_to:
            "UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND place = 0",
            "UPDATE tile SET hashes = decode(repeat('00', 8192), 'hex') WHERE level = 0 AND place = 0",
            ["tile: level 0, place 0 is not what the entries hash to"];
        invariant_3_the_audit_finds_a_tag_that_nobody_has:
            "INSERT INTO person_tag (tag, account) VALUES (zeroblob(32), 1)",
            "INSERT INTO person_tag (tag, account) VALUES (decode(repeat('00', 32), 'hex'), 1)",
            ["person_tag: the rows of wallet number 1 "];
        invariant_9_the_audit_finds_a_leaf_in_which_one_byte_of_a_blind_was_changed:
            "UPDATE journal SET leaves = CAST(substr(leaves, 1, instr(leaves, CAST('\"blind\":\"' AS BLOB)) + 9) ||
               (CASE substr(leaves, instr(leaves, CAST('\"blind\":\"' AS BLOB)) + 10, 1) WHEN CAST('0' AS BLOB) THEN '1' ELSE '0' END) ||
               substr(leaves, instr(leaves, CAST('\"blind\":\"' AS BLOB)) + 11) AS BLOB)
               WHERE first = (SELECT max(first) FROM journal)",
            "UPDATE journal SET leaves = overlay(leaves placing
               (CASE substring(leaves from position('\"blind\":\"'::bytea in leaves) + 10 for 1) WHEN '0'::bytea THEN '1'::bytea ELSE '0'::bytea END)
               from position('\"blind\":\"'::bytea in leaves) + 10 for 1)
               WHERE first = (SELECT max(first) FROM journal)",
            ["the stored right edge of the log is not that of its entries"];
        invariant_10_the_audit_finds_an_amount_that_was_changed_in_a_leaf:
            "UPDATE journal SET leaves = CAST(replace(CAST(leaves AS TEXT), '\"amount\":\"2.00\"', '\"amount\":\"3.00\"') AS BLOB)
               WHERE first < 256",
            "UPDATE journal SET leaves = overlay(leaves placing '3'::bytea
               from position('\"amount\":\"2.00\"'::bytea in leaves) + 10 for 1)
               WHERE position('\"amount\":\"2.00\"'::bytea in leaves) > 0",
            ["entry", "not"];
    }
}
