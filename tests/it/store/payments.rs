//! What holders have authorised and what became of it: both rooms give back what the rules have made.

use social_wallet::ledger::effects::Effects;
use social_wallet::ledger::payment::{Audience, CashReference, Counted, UsageEntry};
use social_wallet::store::payments::digests_of;

use super::book::{Book, bank, client};
use super::{Place, in_both_rooms};

in_both_rooms! {
    what_was_written_is_read_back,
    a_row_that_is_not_the_rules_shows_in_the_digests,
}

/// All that was written, as one.
fn all(book: &Book) -> Effects {
    let mut all = Effects::default();
    for commit in &book.commits {
        let effects = commit.effects.clone();
        all.authorisations.extend(effects.authorisations);
        all.authorisation_entries.extend(effects.authorisation_entries);
        all.payments.extend(effects.payments);
        all.payment_entries.extend(effects.payment_entries);
        all.usage.extend(effects.usage);
        all.events.extend(effects.events);
    }
    all
}

async fn what_was_written_is_read_back(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let all = all(&book);

    let mut entries: Vec<u64> = book.books.authorisations.keys().copied().collect();
    entries.push(999_999);
    let mut read = store.authorisations(&entries).await.unwrap();
    read.sort_unstable_by_key(|known| known.seq);
    let mut made: Vec<_> = book.books.authorisations.values().copied().collect();
    made.sort_unstable_by_key(|known| known.seq);
    assert_eq!(read, made, "what is absent is left out");
    for (seq, sealed) in store.sealed_destinations(&entries).await.unwrap() {
        let made = all.authorisations.iter().find(|made| made.seq == seq).unwrap();
        assert_eq!(sealed, made.sealed_destination);
    }

    let mut entries: Vec<u64> = book.books.payments.keys().copied().collect();
    entries.push(999_999);
    let mut read = store.payments(&entries).await.unwrap();
    read.sort_unstable_by_key(|known| known.seq);
    let mut made: Vec<_> = book.books.payments.values().cloned().collect();
    made.sort_unstable_by_key(|known| known.seq);
    assert_eq!(read, made);
    assert!(read.iter().any(|payment| payment.history.len() == 3));

    let references = [1, 2, 3].map(|number| CashReference::from_bytes([number; 10]));
    let mut found = store.cash_outs(&references).await.unwrap();
    found.sort_unstable();
    let known = |number: usize| (references[number], book.books.cash[&references[number]]);
    assert_eq!(found, [known(0), known(1)]);

    let transfers: Vec<u64> = made.iter().filter(|made| made.bank().is_some()).map(|made| made.seq).collect();
    let of_bank = async |after, limit| store.transfers_of_bank(bank(), false, after, limit).await.unwrap();
    assert_eq!(of_bank(0, 10).await, transfers[..2]);
    assert_eq!(of_bank(transfers[0], 10).await, transfers[1..2]);
    assert_eq!(of_bank(0, 1).await, transfers[..1]);
    let held: Vec<u64> = made
        .iter()
        .filter(|made| transfers[..2].contains(&made.seq) && made.held() > 0)
        .map(|made| made.seq)
        .collect();
    assert_eq!(store.transfers_of_bank(bank(), true, 0, 10).await.unwrap(), held);
    assert!(held.len() < 2, "one of them has ended");

    // What has expired and stands open: the second cash-out; the first is with an agent.
    let expires = book.books.payments[&found[1].1].head().at + 1_800_000;
    let expired = async |before, after| store.expired_cash(before, after, 10).await.unwrap();
    assert_eq!(expired(expires, (0, 0)).await, []);
    assert_eq!(expired(expires + 1, (0, 0)).await, [(expires, found[1].1)]);
    assert_eq!(expired(expires + 1, (expires, found[1].1)).await, []);

    for audience in [Audience::Bank(bank()), Audience::Channel(client("ministry"))] {
        let told: Vec<u64> =
            all.events.iter().filter(|(to, _)| *to == audience).map(|(_, seq)| *seq).collect();
        assert_eq!(store.events(audience, 0, 1_000).await.unwrap(), told);
        assert_eq!(store.events(audience, told[0], 2).await.unwrap(), told[1..3]);
    }

    let counted =
        [Counted::Wallet(6), Counted::Tries, Counted::Wallet(1), Counted::Channel(client("ministry"))];
    let mut read = store.usage(&counted).await.unwrap();
    read.sort_unstable_by_key(|row| row.seq);
    let newest =
        |counted: &Counted| all.usage.iter().rfind(|row| row.counted == counted.to_string()).cloned();
    let mut made: Vec<UsageEntry> = counted.iter().filter_map(newest).collect();
    made.sort_unstable_by_key(|row| row.seq);
    assert_eq!((read.len(), read), (3, made));
}

async fn a_row_that_is_not_the_rules_shows_in_the_digests(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let made = digests_of(&all(&book));
    assert_eq!(store.payment_digests().await.unwrap(), made);
    assert!(made.iter().all(|(_, _, count)| *count > 0));
    // What a table's owner could still do: add.
    let mut raw = place.raw().await;
    let flag = if matches!(place, Place::Sqlite { .. }) { "0" } else { "false" };
    for (number, sql) in [
        format!("INSERT INTO authorisation_entry (authorisation, version, seq, used, revoked) VALUES (1, 1, 9, 0, {flag})"),
        "INSERT INTO daily_usage (counted, date, version, seq, amount) VALUES ('x', 1, 1, 1, 1)".to_owned(),
        "INSERT INTO event (audience, seq) VALUES ('bank:X', 1)".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        raw.run(&sql).await.unwrap();
        let now = store.payment_digests().await.unwrap();
        let changed = now.iter().zip(&made).filter(|(now, made)| now != made).count();
        assert_eq!(changed, number + 1, "{sql}");
    }
}
