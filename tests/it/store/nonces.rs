//! Nonces and evidence of signed requests.

use social_wallet::ledger::signed::{Evidence, Nonce};
use social_wallet::store::{Commit, CommitError, Standing};

use super::book::{Book, evidence, month, nonce};
use super::{Place, in_both_rooms};

in_both_rooms! {
    a_nonce_is_spent_once_by_a_commit_or_without_one,
    a_nonce_is_kept_until_no_clock_takes_its_signature,
    what_is_bound_and_spent_is_told_with_the_head_that_it_is_true_at,
    the_evidence_of_an_entry_is_that_of_the_request_which_made_it,
}

async fn a_nonce_is_spent_once_by_a_commit_or_without_one(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    let committed = book.commits.last().unwrap().nonces[0];
    let fresh = |number: u8| Nonce { expires: 5_000, id: [number; 16] };
    let spent = store.spend(&[committed, fresh(1), fresh(2)]).await.unwrap();
    assert_eq!(spent.len(), 2);
    assert!(spent.contains(&[1; 16]) && spent.contains(&[2; 16]));
    assert_eq!(store.spend(&[fresh(2), fresh(3)]).await.unwrap(), [[3; 16]]);
    assert_eq!(store.spend(&[fresh(3)]).await.unwrap(), [[0; 16]; 0]);
    // The same nonce with another expiry was signed anew: it is another signature.
    let later = Nonce { expires: 5_001, ..fresh(3) };
    assert_eq!(store.spend(&[later]).await.unwrap(), [[3; 16]]);
    for people in [1, 300] {
        let commit = book.draft(|draft| {
            for number in 1..=people {
                draft.accrue(number, "ASP", month(u8::try_from(people % 12).unwrap() + 1), 1, 100);
            }
        });
        let used = Commit { nonces: vec![fresh(9), fresh(1)], ..commit.clone() };
        assert!(matches!(store.commit(&used).await, Err(CommitError::Failed(_))), "used before");
        assert_eq!(store.head().await.unwrap(), Some(commit.before), "nothing is written");
        store.commit(&commit).await.unwrap();
    }
    assert_eq!(store.spend(&[fresh(9)]).await.unwrap(), [[9; 16]], "nor was the other nonce of that commit");
}

async fn a_nonce_is_kept_until_no_clock_takes_its_signature(place: &Place) {
    let store = place.open().await;
    let book = Book::create(&*store).await;
    let now = book.commits.last().unwrap().after.at.div_euclid(1_000);
    let last = Nonce { expires: now - 301, id: [1; 16] };
    let kept = Nonce { expires: now - 300, id: [2; 16] };
    store.spend(&[last, kept]).await.unwrap();
    let error = store.forget_nonces(now - 299, 10).await.unwrap_err().to_string();
    assert!(error.contains("it has not expired"), "{error}");
    assert_eq!(store.spend(&[last, kept]).await.unwrap(), [[0; 16]; 0], "neither is forgotten");
    assert_eq!(store.forget_nonces(now - 300, 10).await.unwrap(), 2, "the book began with one");
    assert_eq!(store.spend(&[last, kept]).await.unwrap(), [[1; 16]]);
    // So many at once, the oldest first.
    let old: Vec<Nonce> =
        (3..10).map(|id| Nonce { expires: now - 310 + i64::from(id), id: [id; 16] }).collect();
    store.spend(&old).await.unwrap();
    assert_eq!(store.forget_nonces(now - 300, 5).await.unwrap(), 5);
    assert_eq!(store.spend(&old[4..]).await.unwrap(), [[7; 16]], "the younger are kept");
    assert_eq!(store.forget_nonces(now - 300, 5).await.unwrap(), 4);
    assert_eq!(store.forget_nonces(now - 300, 5).await.unwrap(), 0);
    let mut raw = place.raw().await;
    for sql in ["UPDATE nonce SET expires = expires", "DELETE FROM nonce"] {
        assert!(raw.run(sql).await.unwrap_err().contains("append-only"), "{sql}");
    }
}

async fn what_is_bound_and_spent_is_told_with_the_head_that_it_is_true_at(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.standing(&[], &[]).await.unwrap(), None, "there is no book");
    let book = Book::full(&*store).await;
    let head = book.commits.last().unwrap().after;
    let nothing = Standing { head, bound: Vec::new(), spent: Vec::new() };
    assert_eq!(store.standing(&[], &[]).await.unwrap(), Some(nothing.clone()));
    let unknown = Nonce { expires: 7, id: [7; 16] };
    assert_eq!(store.standing(&[[9; 16]], &[unknown]).await.unwrap(), Some(nothing));
    let used: Vec<Nonce> = book.commits.iter().flat_map(|commit| commit.nonces.clone()).collect();
    let bound: Vec<_> = book.commits.iter().flat_map(|commit| commit.effects.instructions.clone()).collect();
    assert!(used.len() > 1 && !bound.is_empty());
    let ids: Vec<_> = bound.iter().map(|(id, _)| *id).chain([[9; 16]]).collect();
    let nonces: Vec<_> = used.iter().copied().chain([unknown]).collect();
    let mut told = store.standing(&ids, &nonces).await.unwrap().unwrap();
    let mut wanted = Standing { head, bound, spent: used.iter().map(|nonce| nonce.id).collect() };
    for standing in [&mut told, &mut wanted] {
        standing.bound.sort_unstable();
        standing.spent.sort_unstable();
    }
    assert_eq!(told, wanted);
    // Another expiry is another nonce.
    let other = Nonce { expires: used[0].expires + 1, ..used[0] };
    assert_eq!(store.standing(&[], &[other]).await.unwrap().unwrap().spent, [[0; 16]; 0]);
}

async fn the_evidence_of_an_entry_is_that_of_the_request_which_made_it(place: &Place) {
    let store = place.open().await;
    let mut book = Book::create(&*store).await;
    let before = book.head.size;
    let commit = book.draft(|draft| _ = draft.accrue(1, "ASP", month(1), 1, 100));
    let unsigned = Commit { evidence: Vec::new(), ..commit.clone() };
    store.commit(&unsigned).await.unwrap();
    assert_eq!(store.evidence(before).await.unwrap(), None, "that of the request before is none of this one");
    for commit in &book.commits[..book.commits.len() - 1] {
        let Some(kept) = commit.evidence.first() else { continue };
        assert_eq!(evidence(commit.before.size, commit.after.size), std::slice::from_ref(kept));
        for entry in [commit.before.size, commit.after.size - 1] {
            assert_eq!(store.evidence(entry).await.unwrap().as_ref(), Some(kept), "{entry}");
        }
    }
    assert_eq!(store.evidence(u64::MAX).await.unwrap(), None);
    assert_eq!(commit.nonces, [nonce(book.head.size)]);
    // Several requests of one commit, one of them larger than a page, and an entry between that no request made.
    let commit = book.draft(|draft| {
        for number in 1..=4 {
            draft.accrue(number, "ASP", month(2), 1, 100);
        }
    });
    let (first, end) = (commit.before.size, commit.after.size);
    let one = |seq: u64, entries: u32, sealed: Vec<u8>| Evidence {
        seq,
        entries,
        sealed: sealed.into(),
        ..evidence(first, end).remove(0)
    };
    let several =
        vec![one(first, 1, vec![1; 700]), one(first + 2, 1, vec![2; 20_000]), one(first + 3, 1, vec![])];
    store.commit(&Commit { evidence: several.clone(), ..commit }).await.unwrap();
    assert_eq!(store.evidence(first).await.unwrap().as_ref(), Some(&several[0]));
    assert_eq!(store.evidence(first + 1).await.unwrap(), None);
    assert_eq!(store.evidence(first + 2).await.unwrap().as_ref(), Some(&several[1]));
    assert_eq!(store.evidence(first + 3).await.unwrap().as_ref(), Some(&several[2]));
}
