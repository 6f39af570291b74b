//! Every read returns what was written.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;
use social_wallet::domain::{BatchId, Period};
use social_wallet::ledger::batch::Batch;
use social_wallet::ledger::effects::SystemEntry;
use social_wallet::ledger::wallet::{Benefit, EntryKind, LotMovement, Wallet, WalletEntry};
use social_wallet::store::{ChunkRow, StatementRange};

use super::book::{self, Book, batch_id, leaf, wallet_id};
use super::{Place, in_both_rooms};

in_both_rooms! {
    an_empty_place_has_no_head_and_a_book_is_created_once,
    the_head_the_programmes_and_the_system_accounts_are_read_back,
    wallets_are_read_with_their_newest_heads,
    a_wallets_head_is_read_as_of_any_time,
    a_statement_is_a_range_of_entries,
    lots_are_read_as_of_a_version,
    benefits_and_the_entries_that_paid_them_are_read_back,
    pay_outs_are_read_in_the_order_they_were_drawn_with_what_came_back,
    instructions_and_sealed_numbers_are_read_back,
    batches_are_read_with_their_lines_chunks_and_times,
    leaves_bundles_and_tiles_are_read_back,
    the_projections_are_read_in_order_page_by_page,
    what_the_program_did_not_write_is_an_inconsistency_and_no_panic,
}

fn entries(book: &Book) -> Vec<WalletEntry> {
    book.commits.iter().flat_map(|commit| commit.effects.entries.clone()).collect()
}

fn movements(book: &Book) -> Vec<LotMovement> {
    book.commits.iter().flat_map(|commit| commit.effects.movements.clone()).collect()
}

fn system_entries(book: &Book) -> Vec<SystemEntry> {
    book.commits.iter().flat_map(|commit| commit.effects.system_entries.clone()).collect()
}

async fn an_empty_place_has_no_head_and_a_book_is_created_once(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.head().await.unwrap(), None);
    store.create_book(book::book_id()).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Some(Book::new().head));
    assert_eq!(store.frontier().await.unwrap(), Vec::<u8>::new());
    let other = social_wallet::domain::BookId::from_uuid(uuid::Uuid::from_u128(1));
    store.create_book(other).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Some(Book::new().head), "the first one stays");
    assert!(store.wallets(&[]).await.unwrap().is_empty());
    assert!(store.leaves(&[0, 1]).await.unwrap().is_empty());
    assert!(store.bundles(0, 10).await.unwrap().is_empty());
}

async fn the_head_the_programmes_and_the_system_accounts_are_read_back(place: &Place) {
    let store = place.open().await;
    let mut book = Book::full(&*store).await;
    // Many entries of one account, some at one time.
    for part in 100..140 {
        if part % 3 == 0 {
            book.stand_still();
        }
        book.write(&*store, |draft| {
            draft.accrue(30, "ASP", book::month(12), part, 1);
        })
        .await;
    }
    assert_eq!(store.head().await.unwrap(), Some(book.head));
    assert_eq!(store.frontier().await.unwrap(), book.commits.last().unwrap().frontier);
    let programmes = store.programmes().await.unwrap();
    assert_eq!(programmes.len(), 2);
    for (row, known) in programmes.iter().zip(book.books.programmes()) {
        assert_eq!((row.number, row.seq, &row.spec), (known.number, known.seq, &known.spec));
    }
    assert_eq!(store.system_accounts().await.unwrap(), book.books.system_accounts());

    let all = system_entries(&book);
    let accounts: BTreeMap<u32, _> =
        book.books.system_accounts().iter().map(|head| (head.number, head.account)).collect();
    for commit in &book.commits {
        for at in [commit.stamp.at - 1, commit.stamp.at] {
            let mut expected = BTreeMap::new();
            for entry in all.iter().filter(|entry| entry.at <= at) {
                expected.insert(entry.account, (accounts[&entry.account], *entry));
            }
            let expected: Vec<_> = expected.into_values().collect();
            assert_eq!(store.system_at(at).await.unwrap(), expected);
        }
    }
}

async fn wallets_are_read_with_their_newest_heads(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    // The book's wallets, some more than once, and some that do not exist.
    let ids: Vec<_> = (0..700).chain(5..7).map(wallet_id).collect();
    let found = store.wallets(&ids).await.unwrap();
    assert_eq!(found.len(), 602);
    let known: HashMap<_, Wallet> = book.books.known_wallets().collect();
    for (id, wallet) in found {
        assert_eq!(wallet, known[&id]);
    }
    assert!(store.wallets(&[wallet_id(10_000)]).await.unwrap().is_empty());
    // A wallet that is open and has no entry.
    let mut book = book;
    book.write(&*store, |draft| draft.open(650)).await;
    let (_, wallet) = store.wallets(&[wallet_id(650)]).await.unwrap()[0];
    assert_eq!(wallet, Wallet::opened(book.books.wallet_count));
}

async fn a_wallets_head_is_read_as_of_any_time(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    for account in [1, 3, 5, 40, 599] {
        for commit in &book.commits {
            for at in [commit.stamp.at - 1, commit.stamp.at] {
                let then = |entry: &&WalletEntry| entry.after.account == account && entry.at <= at;
                let expected = entries(&book).iter().filter(then).map(|entry| entry.after).next_back();
                assert_eq!(store.wallet_at(account, at).await.unwrap(), expected);
            }
        }
    }
    assert_eq!(store.wallet_at(u32::MAX, i64::MAX).await.unwrap(), None);
}

async fn a_statement_is_a_range_of_entries(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let all: Vec<WalletEntry> = entries(&book).into_iter().filter(|entry| entry.after.account == 3).collect();
    assert!(all.len() >= 8, "the history is rich enough to cut it");
    let times: Vec<i64> = all.iter().map(|entry| entry.at).collect();
    for after_version in [0, 2, 100] {
        for from in [0, times[2], i64::MAX] {
            for to in [0, times[4], i64::MAX] {
                for limit in [0, 1, 3, 100] {
                    let within = |entry: &&WalletEntry| {
                        entry.after.version > after_version && entry.at >= from && entry.at <= to
                    };
                    let expected: Vec<WalletEntry> =
                        all.iter().filter(within).take(limit as usize).copied().collect();
                    let range = StatementRange { after_version, from, to, limit };
                    assert_eq!(store.statement(3, range).await.unwrap(), expected);
                }
            }
        }
    }
}

async fn lots_are_read_as_of_a_version(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let all = movements(&book);
    for account in [1, 3, 4, 5] {
        let history: Vec<WalletEntry> =
            entries(&book).into_iter().filter(|entry| entry.after.account == account).collect();
        let newest = history.last().unwrap().after.version;
        for as_of in 1..=newest {
            let found = store.lots(&[(account, 2, as_of)]).await.unwrap();
            let made = history.iter().filter(|entry| {
                entry.kind == EntryKind::Accrual && (2..=as_of).contains(&entry.after.version)
            });
            let mut found: Vec<_> = found
                .into_iter()
                .map(|(of, lot)| {
                    assert_eq!(of, account);
                    lot
                })
                .collect();
            found.sort_by_key(|lot| lot.version);
            assert_eq!(found.len(), made.clone().count());
            for (lot, entry) in found.iter().zip(made) {
                assert_eq!(
                    (lot.version, lot.seq, lot.amount),
                    (entry.after.version, entry.seq, entry.amount)
                );
                assert_eq!((Some(lot.benefit), Some(lot.class)), (entry.benefit, entry.class));
                let of_lot = |moved: &&LotMovement| {
                    (moved.account, moved.lot) == (account, lot.version) && moved.version <= as_of
                };
                let expected = all.iter().rfind(of_lot).map_or((entry.amount, 0, 0, 0), |moved| {
                    (moved.remaining, moved.held, moved.reversed, moved.movement)
                });
                assert_eq!((lot.remaining, lot.held, lot.reversed, lot.movements), expected);
            }
        }
        // As they are now, they are the books'.
        let mut now = store.lots(&[(account, 0, u32::MAX)]).await.unwrap();
        now.sort_by_key(|(_, lot)| lot.version);
        let lots = book.books.lots_of(account).unwrap();
        let expected: Vec<_> = lots.into_iter().map(|lot| (account, lot)).collect();
        assert_eq!(now, expected);
    }
    // Many keys at once.
    let keys: Vec<_> = (1..=600).map(|account| (account, 1, u32::MAX)).collect();
    let found = store.lots(&keys).await.unwrap();
    assert_eq!(found.len(), book.books.lots_count().0);
}

/// The accrual of a lot.
fn lots_of(book: &Book, account: u32, version: u32) -> Option<u64> {
    let lots = book.books.lots_of(account).unwrap();
    lots.iter().find(|lot| lot.version == version).map(|lot| lot.seq)
}

async fn benefits_and_the_entries_that_paid_them_are_read_back(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let mut asked: Vec<Benefit> = book.books.benefits.keys().copied().collect();
    let nobodys = Benefit { period: Period::month(2199, 12).unwrap(), ..asked[0] };
    asked.push(nobodys);
    asked.sort();
    let found: BTreeMap<Benefit, RoaringBitmap> = store.benefits(&asked).await.unwrap().into_iter().collect();
    let expected: BTreeMap<Benefit, RoaringBitmap> =
        book.books.benefits.iter().map(|(benefit, accounts)| (*benefit, accounts.clone())).collect();
    assert_eq!(found, expected, "the one that nobody was paid is left out");

    let accruals: Vec<WalletEntry> =
        entries(&book).into_iter().filter(|entry| entry.kind == EntryKind::Accrual).collect();
    let mut keys: Vec<_> =
        accruals.iter().map(|entry| (entry.after.account, entry.benefit.unwrap())).collect();
    keys.push((1, nobodys));
    keys.push((u32::MAX, keys[0].1));
    let mut paid = store.paid(&keys).await.unwrap();
    let mut lots = store.lots_of_benefits(&keys).await.unwrap();
    // A lot that came from a merged wallet has paid there and here.
    let moved: Vec<_> = book.commits.iter().flat_map(|commit| &commit.effects.moved_lots).copied().collect();
    let is_moved = |account: u32, seq: u64| {
        let mut of_account = moved.iter().filter(|moved| moved.account == account);
        of_account.any(|moved| lots_of(&book, account, moved.lot) == Some(seq))
    };
    let of_moved = (
        paid.iter().filter(|((account, _), paid)| is_moved(*account, paid.seq)).count(),
        lots.iter().filter(|(account, lot)| is_moved(*account, lot.seq)).count(),
    );
    assert_eq!(of_moved, (moved.len(), moved.len()));
    paid.retain(|((account, _), paid)| !is_moved(*account, paid.seq));
    lots.retain(|(account, lot)| !is_moved(*account, lot.seq));
    paid.sort_by_key(|(_, paid)| paid.seq);
    lots.sort_by_key(|(_, lot)| lot.seq);
    assert_eq!((paid.len(), lots.len()), (accruals.len(), accruals.len()));
    for ((entry, (key, paid)), (account, lot)) in accruals.iter().zip(&paid).zip(&lots) {
        assert_eq!(*key, (entry.after.account, entry.benefit.unwrap()));
        assert_eq!((paid.seq, paid.amount), (entry.seq, entry.amount));
        assert!(book.books.lots_of(*account).unwrap().contains(lot));
    }
}

async fn pay_outs_are_read_in_the_order_they_were_drawn_with_what_came_back(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    assert!(book.books.pay_outs.len() >= 3);
    let mut entries: Vec<u64> = book.books.pay_outs.keys().copied().collect();
    entries.extend([0, 1_000_000]);
    entries.sort_unstable();
    let mut expected: Vec<_> =
        book.books.pay_outs.iter().map(|(seq, pay_out)| (*seq, pay_out.clone())).collect();
    expected.sort_by_key(|(seq, _)| *seq);
    assert!(expected[0].1.shares.len() >= 2 && expected[0].1.shares.iter().any(|share| share.returned > 0));
    assert_eq!(store.pay_outs(&entries).await.unwrap(), expected);
}

async fn instructions_and_sealed_numbers_are_read_back(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let bound: Vec<_> = book.commits.iter().flat_map(|commit| commit.effects.instructions.clone()).collect();
    assert!(bound.len() >= 4);
    let mut ids: Vec<[u8; 16]> = bound.iter().map(|(id, _)| *id).collect();
    ids.push([0xEE; 16]);
    let mut found = store.instructions(&ids).await.unwrap();
    found.sort_unstable();
    let mut expected = bound;
    expected.sort_unstable();
    assert_eq!(found, expected);

    for wallet in book.commits.iter().flat_map(|commit| &commit.effects.wallets).take(50) {
        assert_eq!(store.sealed_iin(wallet.account).await.unwrap().as_ref(), Some(&wallet.sealed_iin));
    }
    place.raw().await.run("DELETE FROM person WHERE account = 7").await.unwrap();
    assert_eq!(store.sealed_iin(7).await.unwrap(), None, "erased");
    assert_eq!(store.sealed_iin(u32::MAX).await.unwrap(), None, "nobody");
}

async fn batches_are_read_with_their_lines_chunks_and_times(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let ids: Vec<BatchId> = (0..5).map(batch_id).collect();
    let mut found: Vec<Batch> = store.batches(&ids).await.unwrap();
    found.sort_by_key(|batch| batch.number);
    let expected: Vec<Batch> = (1..=3).map(|number| book.books.batches[&batch_id(number)].clone()).collect();
    assert_eq!(found, expected);

    let rows: Vec<_> = book
        .commits
        .iter()
        .flat_map(|commit| &commit.effects.batch_entries)
        .filter(|entry| entry.batch == 1 && entry.lines > 0)
        .collect();
    assert_eq!(rows.len(), 3);
    let chunk = |row: usize| ChunkRow {
        version: rows[row].version,
        first_line: rows[row].first_line,
        lines: rows[row].lines,
        digest: rows[row].digest.clone().try_into().unwrap(),
        verdicts: rows[row].verdicts.clone(),
    };
    for (first, last, touched) in [
        (1, 1, vec![0]),
        (200, 201, vec![0, 2]),
        (251, 300, vec![]),
        (1, 1_000, vec![0, 1, 2]),
        (400, 900, vec![1]),
    ] {
        let expected: Vec<ChunkRow> = touched.into_iter().map(chunk).collect();
        assert_eq!(store.chunks(1, first, last).await.unwrap(), expected, "lines {first} to {last}");
    }
    let times = store.batch_times(1).await.unwrap();
    assert_eq!((times.first_chunk_at, times.last_chunk_at), (Some(rows[0].at), Some(rows[2].at)));
    let times = store.batch_times(2).await.unwrap();
    assert_eq!((times.first_chunk_at, times.last_chunk_at), (None, None));
}

async fn leaves_bundles_and_tiles_are_read_back(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let size = book.head.size;
    let asked: Vec<u64> = (0..size + 10).rev().collect();
    let mut found = store.leaves(&asked).await.unwrap();
    found.sort();
    let expected: Vec<_> = (0..size).map(|entry| (entry, leaf(entry))).collect();
    assert_eq!(found, expected);
    assert_eq!(store.leaves(&[300]).await.unwrap(), [(300, leaf(300))]);

    let all: Vec<_> = book.commits.iter().flat_map(|commit| commit.bundles.clone()).collect();
    assert_eq!(store.bundles(0, 1_000).await.unwrap(), all);
    for entry in [0, 5, 255, 256, size - 1] {
        let place = all.iter().rposition(|bundle| bundle.first <= entry).unwrap();
        let expected: Vec<_> = all[place..].iter().take(3).cloned().collect();
        assert_eq!(store.bundles(entry, 3).await.unwrap(), expected, "from entry {entry}");
    }
    assert!(store.bundles(size + 1_000, 3).await.unwrap().is_empty());

    let tiles: Vec<_> = book.commits.iter().flat_map(|commit| commit.tiles.clone()).collect();
    assert!(tiles.len() >= 2);
    for tile in &tiles {
        assert_eq!(store.tile(tile.level, tile.index).await.unwrap().as_ref(), Some(tile));
    }
    assert_eq!(store.tile(0, 1_000).await.unwrap(), None);
    assert_eq!(store.tile(1, 0).await.unwrap(), None);
}

async fn the_projections_are_read_in_order_page_by_page(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;

    let mut expected = entries(&book);
    expected.sort_by_key(|entry| (entry.after.account, entry.after.version));
    let (mut found, mut after) = (Vec::new(), (0, 0));
    loop {
        let page = store.wallet_entries(after, 100).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.after.account, last.after.version);
        found.extend(page);
    }
    assert_eq!(found, expected);

    let mut expected = movements(&book);
    expected.sort_by_key(|moved| (moved.account, moved.lot, moved.movement));
    let (mut found, mut after) = (Vec::new(), (0, 0, 0));
    loop {
        let page = store.lot_movements(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.account, last.lot, last.movement);
        found.extend(page);
    }
    assert_eq!(found, expected);

    let mut expected = system_entries(&book);
    expected.sort_by_key(|entry| (entry.account, entry.version));
    let (mut found, mut after) = (Vec::new(), (0, 0));
    loop {
        let page = store.system_entries(after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.account, last.version);
        found.extend(page);
    }
    assert_eq!(found, expected);

    let expected: Vec<_> = book
        .commits
        .iter()
        .flat_map(|commit| &commit.effects.wallets)
        .map(|wallet| (wallet.account, wallet.id, wallet.seq))
        .collect();
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = store.wallet_ids(after, 64).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.0;
        found.extend(page);
    }
    assert_eq!(found, expected);
}

async fn what_the_program_did_not_write_is_an_inconsistency_and_no_panic(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let mut raw = place.raw().await;
    let bytes = match place {
        Place::Sqlite { .. } => "x'010203'",
        Place::Postgres { .. } => "'\\x010203'",
    };
    // A bitmap that is none, a programme whose code is none, a leaf bundle that is cut off, a text that is no account.
    let sql = format!(
        "INSERT INTO benefit_paid (programme, period, part, size_after, accounts) VALUES (1, 202601, 1, 1000000, {bytes});
         INSERT INTO journal (first, count, leaves) VALUES (1000000, 1, {bytes});
         INSERT INTO system_account (number, name) VALUES (99, 'nonsense')"
    );
    raw.run(&sql).await.unwrap();
    let benefit = *book.books.benefits.keys().min().unwrap();
    let errors = [
        store.benefits(&[benefit]).await.unwrap_err().to_string(),
        store.leaves(&[1_000_000]).await.unwrap_err().to_string(),
        store.system_accounts().await.unwrap_err().to_string(),
    ];
    for (error, place) in errors.iter().zip([
        "table benefit_paid, column accounts",
        "table journal, column leaves",
        "column name",
    ]) {
        assert!(error.contains("inconsistent") && error.contains(place), "{error}");
    }
}
