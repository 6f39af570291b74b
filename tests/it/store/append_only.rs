//! The second wall: what the schema refuses, whoever asks.

use social_wallet::store::StoreError;

use super::book::{Book, month};
use super::{Place, Raw, in_both_rooms};

in_both_rooms! {
    invariant_5_no_table_can_be_updated_deleted_from_emptied_or_replaced_in,
    invariant_5_the_head_moves_forward_only,
    invariant_5_a_person_can_be_erased_and_not_changed,
    invariant_3_a_second_wallet_for_an_id_or_a_tag_is_refused,
    invariant_2_no_balance_below_zero_is_taken,
    a_malformed_entry_is_not_taken_or_not_read,
    what_is_once_is_once,
}

/// The tables that are not append-only, by design.
const EXCEPTIONS: [&str; 4] = ["log_head", "person", "person_number", "nonce"];

async fn refused(raw: &mut Raw, sql: &str) -> String {
    match raw.run(sql).await {
        Err(error) => error,
        Ok(()) => panic!("not refused: {sql}"),
    }
}

async fn full(place: &Place) -> (Book, Raw) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    (book, place.raw().await)
}

async fn invariant_5_no_table_can_be_updated_deleted_from_emptied_or_replaced_in(place: &Place) {
    let (_, mut raw) = full(place).await;
    let tables = raw.tables().await;
    assert_eq!(tables.len(), 36, "a new table is protected too, and counted here");
    for table in tables.iter().filter(|table| !EXCEPTIONS.contains(&table.as_str())) {
        let columns = raw.columns(table).await;
        let count = raw.count(table).await;
        assert!(count > 0, "an empty {table} proves nothing");
        for column in &columns {
            let error = refused(&mut raw, &format!("UPDATE {table} SET {column} = {column}")).await;
            assert!(error.contains(&format!("append-only: update of {table} is refused")), "{error}");
        }
        let error = refused(&mut raw, &format!("DELETE FROM {table}")).await;
        assert!(error.contains(&format!("append-only: delete of {table} is refused")), "{error}");
        let names = columns.join(", ");
        match place {
            Place::Sqlite { .. } => {
                for verb in ["INSERT OR REPLACE", "REPLACE"] {
                    let sql = format!("{verb} INTO {table} ({names}) SELECT {names} FROM {table} LIMIT 1");
                    let error = refused(&mut raw, &sql).await;
                    assert!(
                        error.contains(&format!("append-only: replace of {table} is refused")),
                        "{error}"
                    );
                    // By the hidden row number, where that is not the key, with a key that is new.
                    let sql = format!(
                        "{verb} INTO {table} (rowid, {names}) SELECT rowid, {names} FROM {table} LIMIT 1"
                    );
                    let error = refused(&mut raw, &sql).await;
                    assert!(
                        error.contains(&format!("append-only: replace of {table} is refused")),
                        "{error}"
                    );
                }
                let sql = format!(
                    "INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE true LIMIT 1
                     ON CONFLICT DO UPDATE SET {0} = excluded.{0}",
                    columns[0]
                );
                refused(&mut raw, &sql).await;
            }
            Place::Postgres { .. } => {
                let error = refused(&mut raw, &format!("TRUNCATE {table}")).await;
                assert!(error.contains(&format!("append-only: truncate of {table} is refused")), "{error}");
                let key = raw
                    .texts(&format!(
                        "SELECT '(' || string_agg(a.attname, ', ') || ')' || coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), '')
                         FROM pg_index i JOIN pg_attribute a
                             ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
                         WHERE i.indrelid = '{table}'::regclass AND i.indisunique GROUP BY i.indexrelid, i.indpred, i.indrelid"
                    ))
                    .await;
                assert!(!key.is_empty(), "{table} has a key");
                for key in key {
                    let sql = format!(
                        "INSERT INTO {table} ({names}) SELECT {names} FROM {table} LIMIT 1
                         ON CONFLICT {key} DO UPDATE SET {0} = excluded.{0}",
                        columns[0]
                    );
                    let error = refused(&mut raw, &sql).await;
                    // Where another key is violated too, that may be told first.
                    let told = error.contains("append-only: update") || error.contains("duplicate key");
                    assert!(told, "{error}");
                }
            }
        }
        assert_eq!(raw.count(table).await, count, "{table}");
    }
    if let Place::Postgres { .. } = place {
        as_service_role(&mut raw, &tables).await;
    }
}

/// The lesser role has not even the right to try.
async fn as_service_role(raw: &mut Raw, tables: &[String]) {
    raw.run(&format!("SET ROLE {}", social_wallet::store::postgres::SERVICE_ROLE)).await.unwrap();
    for table in tables {
        let column = raw.columns(table).await.remove(0);
        let mut statements = vec![format!("TRUNCATE {table}"), format!("DROP TABLE {table}")];
        statements.push(format!("ALTER TABLE {table} DISABLE TRIGGER ALL"));
        if table != "book" {
            statements.push(format!("UPDATE {table} SET {column} = {column}"));
        }
        // These may be deleted from: an erased person, his further numbers, an expired nonce.
        if !["person", "person_number", "nonce"].contains(&table.as_str()) {
            statements.push(format!("DELETE FROM {table}"));
        }
        for sql in statements {
            let error = refused(raw, &sql).await;
            assert!(error.contains("permission denied") || error.contains("must be owner"), "{sql}: {error}");
        }
    }
    raw.run("RESET ROLE").await.unwrap();
}

async fn invariant_5_the_head_moves_forward_only(place: &Place) {
    let (book, mut raw) = full(place).await;
    match place {
        Place::Sqlite { .. } => the_row_of_the_head_moves_forward_only(&mut raw).await,
        Place::Postgres { .. } => commits_follow_each_other_once(&mut raw).await,
    }
    assert_eq!(place.open().await.head().await.unwrap(), Some(book.head));
}

async fn the_row_of_the_head_moves_forward_only(raw: &mut Raw) {
    for change in [
        "size = size - 1, nonce = randomblob(16)",
        "size = size, nonce = randomblob(16)",
        "size = size + 1",
        "size = size + 1, nonce = randomblob(16), at = at - 1",
        "size = size + 1, nonce = randomblob(16), wallet_count = wallet_count - 1",
        "size = size + 1, nonce = randomblob(16), batch_count = batch_count - 1",
        "size = size + 1, nonce = randomblob(16), book = randomblob(16)",
    ] {
        let error = refused(raw, &format!("UPDATE log_head SET {change}")).await;
        assert!(error.contains("append-only: update of log_head is refused"), "{error}");
    }
    let error = refused(raw, "DELETE FROM log_head").await;
    assert!(error.contains("append-only: delete of log_head is refused"), "{error}");
    let names = raw.columns("log_head").await.join(", ");
    refused(raw, &format!("INSERT INTO log_head ({names}) SELECT {names} FROM log_head")).await;
    for verb in ["REPLACE", "INSERT OR REPLACE"] {
        refused(raw, &format!("{verb} INTO log_head ({names}) SELECT {names} FROM log_head")).await;
        let other = names.replace("one", "one + 1");
        refused(raw, &format!("{verb} INTO log_head ({names}) SELECT {other} FROM log_head")).await;
    }
}

/// The head is the newest commit: it stays, as every row, and nothing can take the place of one.
async fn commits_follow_each_other_once(raw: &mut Raw) {
    let names = raw.columns("log_commit").await.join(", ");
    for (change, told) in
        [("size_after + 1000000", "log_commit_follows_once"), ("size_after", "duplicate key")]
    {
        let other = names.replace("size_after", change);
        for which in ["min", "max"] {
            let error = refused(
                raw,
                &format!(
                    "INSERT INTO log_commit ({names}) SELECT {other} FROM log_commit
                     WHERE size_after = (SELECT {which}(size_after) FROM log_commit)"
                ),
            )
            .await;
            assert!(error.contains(told), "{error}");
        }
    }
    let error = refused(raw, "INSERT INTO book (id) VALUES (gen_random_uuid())").await;
    assert!(error.contains("duplicate key"), "{error}");
    let error = refused(raw, "INSERT INTO book (one, id) VALUES (false, gen_random_uuid())").await;
    assert!(error.contains("violates check constraint"), "{error}");
    // Whoever serves may lock the book, and not change it.
    raw.run(&format!("SET ROLE {}", social_wallet::store::postgres::SERVICE_ROLE)).await.unwrap();
    raw.run("BEGIN; LOCK TABLE book IN EXCLUSIVE MODE; COMMIT").await.unwrap();
    for change in ["id = gen_random_uuid()", "one = one"] {
        let error = refused(raw, &format!("UPDATE book SET {change}")).await;
        assert!(error.contains("append-only: update of book is refused"), "{error}");
    }
    raw.run("RESET ROLE").await.unwrap();
}

async fn invariant_5_a_person_can_be_erased_and_not_changed(place: &Place) {
    let (_, mut raw) = full(place).await;
    let error = refused(&mut raw, "UPDATE person SET account = account + 100000").await;
    assert!(error.contains("append-only: update of person is refused"), "{error}");
    let error = refused(&mut raw, "UPDATE person SET sealed_iin = sealed_iin WHERE account = 1").await;
    assert!(error.contains("append-only: update of person is refused"), "{error}");
    match place {
        Place::Sqlite { .. } => {
            refused(&mut raw, "REPLACE INTO person (account, sealed_iin) VALUES (1, x'00')").await;
        }
        Place::Postgres { .. } => {
            refused(&mut raw, "TRUNCATE person").await;
            let sql = "INSERT INTO person (account, sealed_iin) VALUES (1, '\\x00')
                ON CONFLICT (account) DO UPDATE SET sealed_iin = excluded.sealed_iin";
            refused(&mut raw, sql).await;
        }
    }
    let error = refused(&mut raw, "UPDATE person_number SET sealed_iin = sealed_iin").await;
    assert!(error.contains("append-only: update of person_number is refused"), "{error}");
    let numbers = "INSERT INTO person_number (id, sealed_iin) SELECT id, sealed_iin FROM person_number";
    refused(&mut raw, numbers).await;
    let (before, tags) = (raw.count("person").await, raw.count("person_tag").await);
    raw.run("DELETE FROM person WHERE account = 2").await.unwrap();
    raw.run("DELETE FROM person_number").await.unwrap();
    assert_eq!(raw.count("person").await, before - 1);
    assert_eq!(
        (raw.count("person_number").await, raw.count("person_tag").await),
        (0, tags),
        "tags stay for ever"
    );
    assert_eq!(tags, before + 1, "a tag for each number");
}

async fn invariant_3_a_second_wallet_for_an_id_or_a_tag_is_refused(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    book.write(&*store, |draft| draft.open(1)).await;
    let commit = book.draft(|draft| draft.open(2));
    let first = book.commits[1].effects.wallets[0].clone();
    for (same_id, same_tag, column) in [(true, false, "wallet"), (false, true, "person_tag")] {
        let mut twice = commit.clone();
        let wallet = &mut twice.effects.wallets[0];
        if same_id {
            wallet.id = first.id;
        }
        if same_tag {
            wallet.tag = first.tag;
        }
        let error = store.commit(&twice).await.unwrap_err();
        assert!(matches!(error, social_wallet::store::CommitError::Failed(_)), "{error:?}");
        assert!(error.to_string().contains(column), "{error}");
    }
    store.commit(&commit).await.unwrap();
    assert_eq!(place.raw().await.count("wallet").await, 2);
}

async fn invariant_2_no_balance_below_zero_is_taken(place: &Place) {
    let (_, mut raw) = full(place).await;
    let entry = |posted: i64,
                 held: i64,
                 general: i64,
                 general_held: i64,
                 first_open_lot: i64,
                 amount: i64| {
        format!(
            "INSERT INTO wallet_entry (account, version, seq, at, kind, amount, posted, held, general, general_held,
                 first_open_lot, state, choice, frozen)
             VALUES (9000, 3, 99, 99, 3, {amount}, {posted}, {held}, {general}, {general_held}, {first_open_lot}, 1, {0}, {0})",
            match place {
                Place::Sqlite { .. } => "0",
                Place::Postgres { .. } => "false",
            }
        )
    };
    for (row, rule) in [
        (entry(-1, 0, 0, 0, 0, -1), "wallet_sums_sound"),
        (entry(5, -1, 0, 0, 1, -1), "wallet_sums_sound"),
        (entry(5, 6, 0, 0, 1, -1), "wallet_sums_sound"),
        (entry(5, 0, 6, 0, 1, -1), "wallet_sums_sound"),
        (entry(5, 0, -1, 0, 1, -1), "wallet_sums_sound"),
        (entry(5, 2, 5, 3, 1, -1), "wallet_sums_sound"),
        (entry(5, 5, 2, 3, 1, -1), "wallet_sums_sound"),
    ] {
        let error = refused(&mut raw, &row).await;
        assert!(error.contains(rule), "{error}");
    }
    for (account, debits, credits) in [(2, 5, 4), (1, 4, 5), (2, -1, 0), (1, 0, -1)] {
        let sql = format!(
            "INSERT INTO system_entry (account, version, seq, at, debits, credits) VALUES ({account}, 999, 9, 9, {debits}, {credits})"
        );
        refused(&mut raw, &sql).await;
    }
    let movement = |remaining: i64, held: i64, reversed: i64| {
        format!(
            "INSERT INTO lot_movement (account, lot, movement, version, amount, remaining, held, reversed)
             VALUES (9000, 1, 1, 2, -1, {remaining}, {held}, {reversed})"
        )
    };
    for row in [movement(-1, 0, 0), movement(5, 6, 0), movement(5, -1, 0), movement(5, 0, -1)] {
        let error = refused(&mut raw, &row).await;
        assert!(error.contains("lot_sums_sound"), "{error}");
    }
}

/// SQLite does not take it; on PostgreSQL, where such a rule costs every commit, nobody reads it as anything else.
async fn a_malformed_entry_is_not_taken_or_not_read(place: &Place) {
    let (_, mut raw) = full(place).await;
    let store = place.open().await;
    let no = match place {
        Place::Sqlite { .. } => "0",
        Place::Postgres { .. } => "false",
    };
    let (benefit, nothing) = ("1, 202611, 1, 1", "NULL, NULL, NULL, NULL");
    for (account, (kind, amount, first_open_lot, lot, refers, is_well_formed)) in (9_000..).zip([
        (3, -1, 1, nothing, "NULL", true),
        (3, -1, 3, nothing, "NULL", true),
        (3, -1, 4, nothing, "NULL", false),
        (3, 0, 1, nothing, "NULL", false),
        (1, 1, 1, benefit, "NULL", true),
        (1, 0, 1, benefit, "NULL", false),
        (1, 1, 1, nothing, "NULL", false),
        (1, 1, 1, "1, 202611, 1, NULL", "NULL", false),
        (5, 0, 1, nothing, "NULL", true),
        (8, -1, 1, nothing, "NULL", true),
        (8, 0, 1, nothing, "NULL", false),
        (11, 0, 1, benefit, "7", true),
        (11, -1, 1, benefit, "7", false),
        (11, 0, 1, nothing, "7", false),
        (11, 0, 1, benefit, "NULL", false),
        (0, 1, 1, benefit, "NULL", false),
        (13, 1, 1, benefit, "NULL", false),
    ]) {
        let row = format!(
            "INSERT INTO wallet_entry (account, version, seq, at, kind, amount, posted, held, general, general_held,
                 first_open_lot, programme, period, part, class, refers, state, choice, frozen)
             VALUES ({account}, 3, 99, 99, {kind}, {amount}, 5, 0, 0, 0, {first_open_lot}, {lot}, {refers}, 1, {no}, {no})"
        );
        let taken = raw.run(&row).await;
        let read = store.wallet_entries((account, 0), 1).await;
        match place {
            Place::Sqlite { .. } if !is_well_formed => {
                let error = taken.unwrap_err();
                assert!(error.contains("wallet_entry_shape"), "{row}: {error}");
            }
            _ => assert!(taken.is_ok(), "{row}: {taken:?}"),
        }
        match place {
            Place::Postgres { .. } if !is_well_formed => {
                assert!(matches!(read, Err(StoreError::Inconsistent { .. })), "{row}: {read:?}");
            }
            _ if is_well_formed => assert_eq!(read.unwrap()[0].after.account, account),
            _ => {}
        }
    }
}

async fn what_is_once_is_once(place: &Place) {
    let store = place.open().await;
    let mut book = Book::full(&*store).await;
    let earlier = book.commits.clone();
    let made = |pick: &dyn Fn(&social_wallet::store::Commit) -> bool| {
        earlier.iter().find(|commit| pick(commit)).cloned().unwrap()
    };
    let commit = book.draft(|draft| _ = draft.accrue(1, "ASP", month(11), 1, 1));
    // An instruction id, a programme's code, an account's name, a batch's id, an entry's version: none twice.
    let mut twice = [commit.clone(), commit.clone(), commit.clone(), commit.clone(), commit.clone()];
    twice[0].effects.instructions =
        made(&|commit| !commit.effects.instructions.is_empty()).effects.instructions;
    let mut programme = made(&|commit| !commit.effects.programmes.is_empty()).effects.programmes[0].clone();
    programme.number = 50;
    twice[1].effects.programmes.push(programme);
    let mut account = made(&|commit| !commit.effects.system_accounts.is_empty()).effects.system_accounts[1];
    account.number = 50;
    twice[2].effects.system_accounts.push(account);
    let mut batch = made(&|commit| !commit.effects.batches.is_empty()).effects.batches[0].clone();
    batch.number = 50;
    twice[3].effects.batches.push(batch);
    twice[4].effects.entries[0].after.version = 1;
    twice[4].effects.entries[0].after.first_open_lot = 1;
    for commit in twice {
        let error = store.commit(&commit).await.unwrap_err();
        assert!(matches!(error, social_wallet::store::CommitError::Failed(_)), "{error:?}");
    }
    store.commit(&commit).await.unwrap();
}
