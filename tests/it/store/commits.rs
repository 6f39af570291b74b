//! The commit: whole or not at all, in one order, and durable.

use social_wallet::domain::FundClass;
use social_wallet::ledger::effects::Effects;
use social_wallet::store::{Bundle, Commit, CommitError, FixedCheckpoint, Head, PublishedCheckpoint, Store};

use super::book::{self, Book, month};
use super::{Place, in_both_rooms};

in_both_rooms! {
    a_stale_commit_writes_nothing,
    invariant_6_what_was_committed_is_there_after_reopening,
    two_stores_that_race_make_one_serial_order_and_each_commit_is_in_once,
    the_lock_keeps_other_writers_out_until_it_commits_or_is_dropped,
    whether_a_commit_is_in_is_told_by_its_nonce,
    a_commit_that_the_schema_refuses_writes_nothing_and_the_store_goes_on,
    an_abandoned_commit_does_not_block_the_next_one,
    a_commit_of_any_size_is_in_whichever_way_it_goes_in,
    invariant_9_a_checkpoint_follows_the_one_before_once_and_is_published_as_it_was_fixed,
}

async fn counts(place: &Place) -> Vec<(String, u64)> {
    let mut raw = place.raw().await;
    let mut counts = Vec::new();
    for table in raw.tables().await {
        let count = raw.count(&table).await;
        counts.push((table, count));
    }
    counts
}

async fn a_stale_commit_writes_nothing(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    let mut raw = place.raw().await;
    for wallets in [1, 5, 300] {
        // The same moment decided twice: small commits, of rows as they are and of arrays, and one large enough for the other way in.
        let commit = book.draft(|draft| {
            for number in 1..=wallets {
                draft.accrue(number, "ASP", month(u8::try_from(wallets % 12).unwrap() + 1), 1, 100);
            }
        });
        for (size, nonce) in [(commit.before.size + 1, commit.before.nonce), (commit.before.size, [0xAB; 16])]
        {
            let stale = Commit { before: Head { size, nonce, ..commit.before }, ..commit.clone() };
            let before = counts(place).await;
            assert!(matches!(store.commit(&stale).await, Err(CommitError::Stale)));
            assert_eq!(counts(place).await, before);
        }
        let other = social_wallet::domain::BookId::from_uuid(uuid::Uuid::from_u128(9));
        let foreign = Commit { before: Head { book: other, ..commit.before }, ..commit.clone() };
        assert!(matches!(store.commit(&foreign).await, Err(CommitError::Stale)), "another book's");
        store.commit(&commit).await.unwrap();
        assert!(matches!(store.commit(&commit).await, Err(CommitError::Stale)), "the same again");
        assert_eq!(store.head().await.unwrap(), Some(commit.after));
    }
    assert_eq!(raw.count("wallet_entry").await, 306);
}

async fn invariant_6_what_was_committed_is_there_after_reopening(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let before = counts(place).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(store.head().await.unwrap(), Some(book.head));
    assert_eq!(store.frontier().await.unwrap(), book.commits.last().unwrap().frontier);
    assert_eq!(counts(place).await, before);
    let entries: usize = book.commits.iter().map(|commit| commit.effects.entries.len()).sum();
    assert_eq!(store.wallet_entries((0, 0), u32::MAX).await.unwrap().len(), entries);
}

async fn invariant_9_a_checkpoint_follows_the_one_before_once_and_is_published_as_it_was_fixed(
    place: &Place,
) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let last = store.published_checkpoint().await.unwrap().unwrap();
    assert_eq!(store.fixed_checkpoint().await.unwrap().unwrap().size, last.size);
    let mut book = book;
    for number in 900..903 {
        book.write(&*store, |draft| draft.open(number)).await;
    }
    let head = book.head.size;
    let fixed =
        |size, previous_size| FixedCheckpoint { size, previous_size, body: format!("{size}\n").into_bytes() };
    // One that follows another than the newest is behind: another replica came first.
    for previous in [0, last.size - 1, last.size + 1] {
        assert!(!store.fix_checkpoint(&fixed(head, previous)).await.unwrap(), "after {previous}");
    }
    // No commit ended there, or it is not here at all.
    for size in [head + 1, 3] {
        store.fix_checkpoint(&fixed(size, last.size)).await.unwrap_err();
    }
    let note = |size, text: &str| PublishedCheckpoint { size, at: 1, note: text.as_bytes().to_vec() };
    store.publish_checkpoint(&note(head, "no body is fixed")).await.unwrap_err();
    let race = |store: std::sync::Arc<dyn Store>, size| async move {
        store.fix_checkpoint(&fixed(size, last.size)).await.unwrap()
    };
    let (one, two) = tokio::join!(race(place.open().await, head - 1), race(place.open().await, head));
    assert!(one != two, "one of two is fixed");
    let won = store.fixed_checkpoint().await.unwrap().unwrap();
    assert_eq!((won.size, won.previous_size), (if one { head - 1 } else { head }, last.size));
    assert!(!store.fix_checkpoint(&won).await.unwrap(), "the same again");
    // Nothing follows what is not published.
    book.write(&*store, |draft| draft.open(903)).await;
    store.fix_checkpoint(&fixed(book.head.size, won.size)).await.unwrap_err();
    // What is published begins with what was fixed.
    store.publish_checkpoint(&note(won.size, "another text\n\n- signature\n")).await.unwrap_err();
    let good = note(won.size, &format!("{}\n\n- signature\n", won.size));
    assert!(store.publish_checkpoint(&good).await.unwrap());
    assert!(!store.publish_checkpoint(&good).await.unwrap(), "once");
    assert_eq!(store.published_checkpoint().await.unwrap(), Some(good));
    assert!(store.fix_checkpoint(&fixed(book.head.size, won.size)).await.unwrap());
    assert_eq!(
        store.log_changes().await.unwrap(),
        book.commits.iter().flat_map(|commit| commit.effects.log_changes.clone()).collect::<Vec<_>>()
    );
    assert_eq!(
        store.frontier_at(won.size).await.unwrap(),
        book.commits
            .iter()
            .find(|commit| commit.after.size == won.size)
            .map(|commit| commit.frontier.clone())
    );
    assert_eq!(store.frontier_at(won.size * 100).await.unwrap(), None);
    let tiles = store.tiles(0, 1, 2).await.unwrap();
    assert_eq!(tiles.iter().map(|tile| (tile.level, tile.index)).collect::<Vec<_>>(), [(0, 1), (0, 2)]);
    assert_eq!(Some(tiles[0].clone()), store.tile(0, 1).await.unwrap());
}

/// A commit of one leaf and nothing else, on a head.
fn one_leaf(before: Head, writer: u8, number: u64) -> Commit {
    let mut nonce = [writer; 16];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    let after = Head { size: before.size + 1, at: before.at + 1, nonce, ..before };
    let leaf = [writer, u8::try_from(number % 256).unwrap()];
    let bytes = [[0, 2].as_slice(), &leaf].concat();
    Commit {
        before,
        after,
        stamp: social_wallet::domain::time::Stamp::of(after.at).unwrap(),
        bundles: vec![Bundle { first: before.size, count: 1, bytes }],
        tiles: Vec::new(),
        frontier: after.size.to_be_bytes().to_vec(),
        effects: Effects::default(),
        nonces: Vec::new(),
        evidence: Vec::new(),
    }
}

async fn two_stores_that_race_make_one_serial_order_and_each_commit_is_in_once(place: &Place) {
    const EACH: u64 = 500;
    let first = place.open().await;
    first.create_book(book::book_id()).await.unwrap();
    let second = place.open().await;
    let race = |store: std::sync::Arc<dyn Store>, writer: u8| async move {
        let (mut stale, mut nonces) = (0, Vec::new());
        for number in 0..EACH {
            loop {
                let head = store.head().await.unwrap().unwrap();
                let commit = one_leaf(head, writer, number);
                match store.commit(&commit).await {
                    Ok(()) => {
                        nonces.push((commit.after.size, commit.after.nonce));
                        break;
                    }
                    Err(CommitError::Stale) => stale += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        (stale, nonces)
    };
    let (one, two) = tokio::join!(tokio::spawn(race(first.clone(), 1)), tokio::spawn(race(second, 2)));
    let ((stale_one, mut nonces), (stale_two, others)) = (one.unwrap(), two.unwrap());
    assert!(stale_one + stale_two > 0, "they met");
    nonces.extend(others);
    nonces.sort_unstable();
    let sizes: Vec<u64> = nonces.iter().map(|(size, _)| *size).collect();
    assert_eq!(sizes, (1..=2 * EACH).collect::<Vec<u64>>(), "one order without a gap");
    assert_eq!(place.raw().await.count("log_commit").await, 2 * EACH);
    let bundles = first.bundles(0, u32::MAX).await.unwrap();
    assert_eq!(bundles.len() as u64, 2 * EACH);
    for (bundle, (size, nonce)) in bundles.iter().zip(&nonces) {
        assert_eq!((bundle.first + 1, bundle.bytes[2], bundle.bytes[3]), (*size, nonce[0], nonce[15]));
    }
    assert_eq!(first.head().await.unwrap().unwrap().nonce, nonces.last().unwrap().1);
}

async fn the_lock_keeps_other_writers_out_until_it_commits_or_is_dropped(place: &Place) {
    let first = place.open().await;
    first.create_book(book::book_id()).await.unwrap();
    let second = place.open().await;
    let head = first.head().await.unwrap().unwrap();

    for number in 0..3 {
        let locked = first.lock().await.unwrap();
        let head = locked.head();
        let theirs = one_leaf(head, 2, number);
        let other = second.clone();
        let waiting = tokio::spawn(async move { other.commit(&theirs).await });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "the other writer waits for the lock");
        locked.commit(&one_leaf(head, 1, number)).await.unwrap();
        assert!(
            matches!(waiting.await.unwrap(), Err(CommitError::Stale)),
            "and finds that the head has moved"
        );
    }
    // Dropped, it has written nothing and lets go.
    let locked = first.lock().await.unwrap();
    let now = locked.head();
    assert_eq!(now.size, head.size + 3);
    drop(locked);
    second.commit(&one_leaf(now, 2, 9)).await.unwrap();
    // A stale commit under the lock.
    let locked = first.lock().await.unwrap();
    drop(locked);
    let stale = first.lock().await.unwrap();
    assert!(matches!(stale.commit(&one_leaf(now, 1, 10)).await, Err(CommitError::Stale)));
    let now = first.head().await.unwrap().unwrap();
    first.commit(&one_leaf(now, 1, 11)).await.unwrap();
}

async fn whether_a_commit_is_in_is_told_by_its_nonce(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    let commit =
        book.draft(|draft| (1..300).for_each(|number| _ = draft.accrue(number, "ASP", month(1), 1, 5)));
    assert!(!store.is_committed(&commit).await.unwrap());
    store.commit(&commit).await.unwrap();
    assert!(store.is_committed(&commit).await.unwrap());
    let mut other = commit.clone();
    other.after.nonce[0] ^= 1;
    assert!(!store.is_committed(&other).await.unwrap(), "another commit of the same size");
    let later = book.write(&*store, |draft| draft.open(400)).await;
    assert!(store.is_committed(&commit).await.unwrap(), "also when others have followed");
    assert!(store.is_committed(&later).await.unwrap());
}

async fn a_commit_that_the_schema_refuses_writes_nothing_and_the_store_goes_on(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    book.write(&*store, |draft| (1..=200).for_each(|number| _ = draft.accrue(number, "ASP", month(1), 1, 5)))
        .await;
    for wallets in [1, 200] {
        let good = book.draft(|draft| {
            for number in 1..=wallets {
                draft.accrue(number, "ASP", month(u8::try_from(2 + wallets % 9).unwrap()), 1, 5);
            }
        });
        let mut bad = good.clone();
        bad.effects.entries.last_mut().unwrap().after.general = 1_000_000;
        let before = counts(place).await;
        match store.commit(&bad).await {
            Err(CommitError::Failed(error)) => {
                assert!(error.to_string().contains("wallet_sums_sound"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(counts(place).await, before);
        assert!(!store.is_committed(&bad).await.unwrap());
        store.commit(&good).await.unwrap();
    }
    // The schema of a programme, the rarest table, in a commit of its own.
    book.write(&*store, |draft| draft.register("ZZZ", FundClass::General)).await;
}

/// As one text up to 64 entries in SQLite, and copied from 128 rows on in PostgreSQL: what is read back is what was decided.
async fn a_commit_of_any_size_is_in_whichever_way_it_goes_in(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    for (number, size) in (1..).zip([1, 63, 64, 65, 127, 128, 129]) {
        // Entries of new wallets, and of wallets that are there; and wallets alone.
        let first = 1_000 * number;
        book.write(&*store, |draft| {
            (first..first + size).for_each(|number| _ = draft.accrue(number, "ASP", month(1), 1, 5));
        })
        .await;
        book.write(&*store, |draft| {
            (first..first + size).for_each(|number| _ = draft.accrue(number, "ASP", month(2), 1, 7));
        })
        .await;
        book.write(&*store, |draft| (first + 500..first + 500 + size).for_each(|number| draft.open(number)))
            .await;
        assert_eq!(store.head().await.unwrap(), Some(book.head), "{size}");
    }
    let bundles = book.commits.iter().flat_map(|commit| commit.bundles.clone()).collect::<Vec<_>>();
    assert!(store.bundles(0, u32::MAX).await.unwrap() == bundles);
    let mut entries =
        book.commits.iter().flat_map(|commit| commit.effects.entries.clone()).collect::<Vec<_>>();
    entries.sort_by_key(|entry| (entry.after.account, entry.after.version));
    assert!(store.wallet_entries((0, 0), u32::MAX).await.unwrap() == entries);
    let mut movements =
        book.commits.iter().flat_map(|commit| commit.effects.movements.clone()).collect::<Vec<_>>();
    movements.sort_by_key(|moved| (moved.account, moved.lot, moved.movement));
    assert!(store.lot_movements((0, 0, 0), u32::MAX).await.unwrap() == movements);
    let wallets = book.commits.iter().map(|commit| commit.effects.wallets.len()).sum::<usize>();
    assert_eq!(place.raw().await.count("wallet").await, wallets as u64);
    assert_eq!(place.raw().await.count("person").await, wallets as u64);
}

async fn an_abandoned_commit_does_not_block_the_next_one(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    for number in 0..20u8 {
        let commit = book.draft(|draft| {
            for wallet in 1..=400 {
                draft.accrue(wallet, "ASP", month(number % 12 + 1), u16::from(number / 12) + 1, 5);
            }
        });
        let wait = std::time::Duration::from_micros(u64::from(number) * 700);
        let outcome = tokio::time::timeout(wait, store.commit(&commit)).await;
        if outcome.is_err() && !store.is_committed(&commit).await.unwrap() {
            store.commit(&commit).await.unwrap();
        }
        assert_eq!(store.head().await.unwrap(), Some(commit.after));
    }
}
