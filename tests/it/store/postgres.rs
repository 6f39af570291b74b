//! What only PostgreSQL has: roles, schemas side by side, plans, connections that are lost.

use std::sync::Arc;

use social_wallet::store::postgres::{PostgresStore, SERVICE_ROLE};
use social_wallet::store::{CommitError, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::book::{Book, month};
use super::{Place, in_place, owner_url};
use crate::until;

macro_rules! on_postgres {
    ($($name:ident),* $(,)?) => {
        mod there {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                in_place(super::Place::postgres().await, |place| Box::pin(super::$name(place))).await;
            })*
            use super::in_place;
        }
    };
}

on_postgres! {
    serving_is_done_by_the_lesser_role,
    a_schema_without_a_book_is_told_and_a_migration_is_repeatable,
    books_live_side_by_side_in_one_database,
    the_server_is_asked_whether_it_is_durable,
    a_lost_connection_leaves_the_truth_to_be_asked_for,
    who_waits_for_the_lock_is_not_passed_by,
    array_reads_and_pages_go_by_indexes_on_empty_small_and_large_tables,
}

async fn serving_is_done_by_the_lesser_role(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    let mut raw = place.raw().await;
    let sql = "SELECT count(*)::text FROM pg_roles WHERE rolname = 'social_wallet_service'
        AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolcanlogin OR rolbypassrls)";
    assert_eq!(raw.texts(sql).await, ["1"]);
    // The owner's URL, and yet the owner's rights are not used: without the role's, nothing can be written.
    raw.run(&format!("REVOKE INSERT ON instruction FROM {SERVICE_ROLE}")).await.unwrap();
    let mut commit = book.draft(|draft| _ = draft.accrue(1, "ASP", month(1), 1, 1));
    commit.effects.instructions.push(([1; 16], 1));
    let error = store.commit(&commit).await.unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
    // A role that may do more is not served with.
    raw.run(&format!("GRANT UPDATE ON wallet_entry TO {SERVICE_ROLE}")).await.unwrap();
    let refused = PostgresStore::open(&owner_url(), place.schema(), SERVICE_ROLE).await;
    assert!(matches!(refused, Err(StoreError::Schema(why)) if why.contains("more than serve")));
}

async fn a_schema_without_a_book_is_told_and_a_migration_is_repeatable(place: &Place) {
    let missing = PostgresStore::open(&owner_url(), "no_such_schema", SERVICE_ROLE).await;
    assert!(matches!(missing, Err(StoreError::Schema(why)) if why.contains("migration")));
    let missing = PostgresStore::open(&owner_url(), place.schema(), "no_such_role").await;
    assert!(matches!(missing, Err(StoreError::Schema(why)) if why.contains("no_such_role")));
    let longest = PostgresStore::open(&owner_url(), &"a".repeat(63), SERVICE_ROLE).await;
    assert!(
        matches!(longest, Err(StoreError::Schema(why)) if why.contains("migration")),
        "as long as a name may be"
    );
    for name in ["", "A", "a b", "a;b", "1a", "pg_catalog", &"a".repeat(64)] {
        let refused = PostgresStore::open(&owner_url(), name, SERVICE_ROLE).await;
        assert!(matches!(refused, Err(StoreError::Schema(_))), "{name}");
    }
    let book = Book::full(&*place.open().await).await;
    PostgresStore::migrate(&owner_url(), place.schema(), SERVICE_ROLE).await.unwrap();
    assert_eq!(place.open().await.head().await.unwrap(), Some(book.head));
    // Tables that another text has made are not taken for ours.
    let mut raw = place.raw().await;
    raw.run("UPDATE _sqlx_migrations SET checksum = substr(checksum, 2)").await.unwrap();
    let told = |why: &StoreError| why.to_string().contains("made by another build");
    let refused = PostgresStore::open(&owner_url(), place.schema(), SERVICE_ROLE).await;
    assert!(refused.is_err_and(|why| told(&why)));
    let refused = PostgresStore::migrate(&owner_url(), place.schema(), SERVICE_ROLE).await;
    assert!(refused.is_err_and(|why| told(&why)));
}

async fn books_live_side_by_side_in_one_database(place: &Place) {
    let other = Place::postgres().await;
    let one = Book::full(&*place.open().await).await;
    let store = other.open().await;
    let two = Book::create(&*store).await;
    assert_eq!(place.open().await.head().await.unwrap(), Some(one.head));
    assert_eq!(other.open().await.head().await.unwrap(), Some(two.head));
    assert!(store.wallet_ids(0, 10).await.unwrap().is_empty());
    other.remove().await;
    assert_eq!(place.open().await.head().await.unwrap(), Some(one.head));
}

async fn the_server_is_asked_whether_it_is_durable(place: &Place) {
    let store = PostgresStore::open(&owner_url(), place.schema(), SERVICE_ROLE).await.unwrap();
    assert_eq!(store.durability_warnings(), [""; 0], "the tests' server is durable");
}

/// Ends the store's connections again and again while commits run: at some moment, or while one is sure to be under way, because
/// another has locked the head.
async fn a_lost_connection_leaves_the_truth_to_be_asked_for(place: &Place) {
    let store: Arc<dyn Store> = place.open().await;
    let mut book = Book::create(&*store).await;
    let mut killer = PgConnection::connect(&owner_url()).await.unwrap();
    let mut blocker = place.raw().await;
    let (mut lost, mut committed) = (0, 0);
    for number in 0..60u32 {
        // Alternating the two ways in: one statement, and a copy in a transaction.
        let wallets = if number % 2 == 0 { 3 } else { 1_500 };
        let commit = book.draft(|draft| {
            for wallet in 0..wallets {
                draft.accrue(number * 10_000 + wallet, "ASP", month(1), 1, 1);
            }
        });
        let sure = number % 15 >= 13;
        if sure {
            blocker.run("BEGIN; LOCK TABLE book IN EXCLUSIVE MODE").await.unwrap();
        }
        let writing = {
            let (store, commit) = (Arc::clone(&store), commit.clone());
            tokio::spawn(async move { store.commit(&commit).await })
        };
        let mut kill =
            async || killer.fetch_one(AssertSqlSafe(place.killing())).await.unwrap().get::<i64, _>(0);
        if sure {
            // One whose connection was lost as the commit before it ended has failed at once.
            let ended = async || (writing.is_finished() || kill().await > 0).then_some(());
            until("a commit that waits, or has failed", ended).await;
            blocker.run("ROLLBACK").await.unwrap();
        } else {
            tokio::time::sleep(std::time::Duration::from_micros(u64::from(number % 20) * 800)).await;
            kill().await;
        }
        let outcome = writing.await.unwrap();
        let told = store.is_committed(&commit).await.unwrap();
        match outcome {
            Ok(()) => assert!(told, "acknowledged is in"),
            Err(CommitError::Failed(error)) => {
                assert!(!told, "failed is not in: {error}");
                lost += 1;
            }
            Err(CommitError::Unknown(_)) => lost += 1,
            Err(CommitError::Stale) => panic!("nobody else writes"),
        }
        committed += u32::from(told);
        if !told {
            store.commit(&commit).await.unwrap();
        }
        assert_eq!(store.head().await.unwrap(), Some(commit.after));
    }
    assert!(lost >= 8 && committed > 0, "{lost} commits lost their connection, {committed} are in");
    let entries = book.commits.iter().map(|commit| commit.effects.entries.len() as u64).sum::<u64>();
    assert_eq!(place.raw().await.count("wallet_entry").await, entries);
}

/// A commit that comes after who waits for the lock waits too, though it could go on beside the one that is under way: where all
/// commit all the time, whoever must be alone would wait for ever.
async fn who_waits_for_the_lock_is_not_passed_by(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    let mut watch = place.raw().await;
    let waiting = format!(
        "SELECT mode FROM pg_locks WHERE NOT granted AND relation = '{}.book'::regclass ORDER BY mode",
        place.schema()
    );
    let mut wait = async |modes: &[&str]| {
        until("who waits", async || (watch.texts(&waiting).await == modes).then_some(())).await;
    };
    // A commit under way, for as long as we like.
    let mut under_way = place.raw().await;
    under_way.run("BEGIN; LOCK TABLE book IN ROW SHARE MODE").await.unwrap();
    let commit = book.draft(|draft| _ = draft.accrue(1, "ASP", month(1), 1, 1));
    let (first, second) = (place.open().await, place.open().await);
    let locking = tokio::spawn(async move { first.lock().await.map(|locked| (locked.head(), locked)) });
    wait(&["ExclusiveLock"]).await;
    let passing = {
        let commit = commit.clone();
        tokio::spawn(async move { second.commit(&commit).await })
    };
    wait(&["ExclusiveLock", "RowShareLock"]).await;
    under_way.run("ROLLBACK").await.unwrap();
    let (head, locked) = locking.await.unwrap().unwrap();
    assert_eq!(head, commit.before, "it is alone with the head as it was");
    assert!(!passing.is_finished());
    locked.commit(&commit).await.unwrap();
    assert!(matches!(passing.await.unwrap(), Err(CommitError::Stale)));
    assert_eq!(store.head().await.unwrap(), Some(commit.after));
}

async fn array_reads_and_pages_go_by_indexes_on_empty_small_and_large_tables(place: &Place) {
    let store = PostgresStore::open(&owner_url(), place.schema(), SERVICE_ROLE).await.unwrap();
    let check = |when: &'static str| {
        let store = &store;
        async move {
            for (query, plan) in store.plans().await.unwrap() {
                for bad in ["Seq Scan", "Hash", "Merge", "Bitmap"] {
                    assert!(!plan.contains(bad), "{when}: {query}\n{plan}");
                }
                assert!(plan.contains("Index"), "{when}: {query}\n{plan}");
            }
        }
    };
    check("empty").await;
    let mut book = Book::full(&store).await;
    check("small").await;
    place.analyse().await;
    check("small and analysed").await;
    for part in 3..8 {
        book.write(&store, |draft| {
            // 40 was merged into 39.
            let people = (1..=4_000).filter(|number| *number != 40);
            people.for_each(|number| _ = draft.accrue(number, "ASP", month(1), part, 1));
        })
        .await;
    }
    check("large").await;
    place.analyse().await;
    check("large and analysed").await;
}
