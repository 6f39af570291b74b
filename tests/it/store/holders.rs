//! What holders have chosen and which ids lead on: both rooms give back what the rules have made.

use social_wallet::ledger::choice::Chosen;
use social_wallet::ledger::effects::Effects;
use social_wallet::store::holders::digests_of;

use super::book::{Book, wallet_id};
use super::{Place, in_both_rooms};

in_both_rooms! {
    what_was_chosen_and_where_ids_lead_is_read_back,
    the_lots_of_a_merged_wallet_are_read_where_they_are,
    a_row_that_no_rule_wrote_shows_in_the_digests_of_holders,
}

fn all(book: &Book) -> Effects {
    let mut all = Effects::default();
    for commit in &book.commits {
        all.choices.extend(commit.effects.choices.clone());
        all.leads.extend(commit.effects.leads.clone());
        all.moved_lots.extend(commit.effects.moved_lots.clone());
    }
    all
}

async fn what_was_chosen_and_where_ids_lead_is_read_back(place: &Place) {
    let store = place.open().await;
    assert!(!store.has_leads().await.unwrap());
    let book = Book::full(&*store).await;
    let all = all(&book);
    let made = all.choices[0];
    let chosen = Chosen { seq: made.seq, authorisation: made.authorisation };
    assert!(made.authorisation.is_some());
    assert_eq!(store.choices(&[1, made.account]).await.unwrap(), [(made.account, made.programme, chosen)]);
    assert_eq!(store.choices(&[]).await.unwrap(), []);
    let history = async |after| store.choice_history(made.account, after, 10).await.unwrap();
    assert_eq!(history(None).await, [made]);
    assert_eq!(history(Some((made.seq, made.programme))).await, []);
    assert!(store.has_leads().await.unwrap());
    let ids = [1, 39, 40, 100_038].map(wallet_id);
    let mut found = store.leads(&ids).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [(wallet_id(40), wallet_id(39)), (wallet_id(100_038), wallet_id(38))]);
}

async fn the_lots_of_a_merged_wallet_are_read_where_they_are(place: &Place) {
    let store = place.open().await;
    let mut book = Book::full(&*store).await;
    let (kept, gone) = (39, 40);
    let read = async |id| {
        let (_, wallet) = store.wallets(&[wallet_id(id)]).await.unwrap()[0];
        let lots = store.lots(&[(wallet.account, 1, wallet.version)]).await.unwrap();
        (wallet, lots.into_iter().map(|(_, lot)| lot).collect::<Vec<_>>())
    };
    let (wallet, lots) = read(kept).await;
    assert_eq!(book.books.find_wallet(wallet_id(gone)).unwrap(), Some((wallet_id(kept), wallet)));
    assert_eq!(lots, book.books.lots_of(wallet.account).unwrap());
    assert_eq!(lots.len(), 3, "its own, the merged one's, and a line's that named the merged one");
    assert_eq!(lots.iter().map(|lot| lot.remaining).sum::<i64>(), wallet.posted);
    let (empty, left) = read(gone).await;
    assert_eq!((empty.posted, left.iter().map(|lot| lot.remaining).sum::<i64>()), (0, 0));
    let of_benefit = store.lots_of_benefits(&[(wallet.account, lots[0].benefit)]).await.unwrap();
    let of_benefit: Vec<_> = of_benefit.into_iter().map(|(_, lot)| lot).collect();
    assert_eq!(of_benefit, lots[..2], "both were paid it");
}

async fn a_row_that_no_rule_wrote_shows_in_the_digests_of_holders(place: &Place) {
    let store = place.open().await;
    let book = Book::full(&*store).await;
    let made = digests_of(&all(&book));
    assert_eq!(store.holder_digests().await.unwrap(), made);
    assert!(made.iter().all(|(_, _, count)| *count > 0));
    let mut raw = place.raw().await;
    let id = |byte: &str| match place {
        Place::Sqlite { .. } => format!("x'{}'", byte.repeat(16)),
        Place::Postgres { .. } => format!("'{}'", byte.repeat(16)),
    };
    for (number, sql) in [
        "INSERT INTO choice (account, programme, seq, authorisation) VALUES (1, 0, 9, 3)".to_owned(),
        format!("INSERT INTO wallet_lead (id, leads_to, seq) VALUES ({}, {}, 9)", id("a1"), id("a2")),
        "INSERT INTO moved_lot (account, lot, credited, seq) VALUES (1, 1, 5, 9)".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        raw.run(&sql).await.unwrap();
        let now = store.holder_digests().await.unwrap();
        let changed = now.iter().zip(&made).filter(|(now, made)| now != made).count();
        assert_eq!(changed, number + 1, "{sql}");
    }
}
