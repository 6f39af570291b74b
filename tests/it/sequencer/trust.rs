//! Accruals that are decided without a read: what the desk does not ask, the keys of the commit's rows hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use social_wallet::domain::KeyId;
use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::ledger::signed::{Nonce, SignedRequest};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::command::CommandError;

use super::faulty::{Fate, Faulty};
use super::{
    Answer, accrue, actor, assert_sound, at_once, count, furnish, journal, made, refused, refused_for, serve,
};
use crate::store::book::{client, month, public_key};
use crate::store::{Place, in_both_rooms};

in_both_rooms! {
    an_accrual_to_a_wallet_that_is_known_is_not_asked_about,
    invariant_7_a_bound_instruction_is_found_out_by_the_commit_and_spoils_no_neighbour,
    invariant_7_what_would_be_refused_on_trust_is_asked_about_before_anybody_hears_of_it,
    a_spent_nonce_is_found_out_by_the_commit_and_spoils_no_neighbour,
    a_signed_refusal_is_told_once_and_spends_its_nonce,
    what_was_taken_on_trust_and_fails_is_made_once,
    another_writers_entries_are_not_overlooked,
}

/// A writer anew, that knows persons 0 to 10 and who has been paid a month: all but the one of its number.
async fn again(place: &Place, number: u8) -> Room {
    let store = place.open().await;
    let is_new = store.head().await.unwrap().is_none();
    let faulty = Faulty::around(store);
    let sequencer = serve(faulty.clone()).await;
    if is_new {
        furnish(&sequencer).await;
    }
    let people = (0..11).filter(|person| *person != u64::from(number));
    let paid = people.map(|person| (accrue(person, "ASP", month(number), 100), actor(None)));
    at_once(&sequencer, paid.collect()).await.into_iter().for_each(|answer| drop(made(answer)));
    // Who is to be paid is known too.
    let known = accrue(u64::from(number), "ASP", month(number), 99_999_999_999_999);
    assert_eq!(refused_for(sequencer.submit(known, actor(None)).await), RefusalCode::FundingInsufficient);
    Room { faulty, sequencer }
}

struct Room {
    faulty: Arc<Faulty>,
    sequencer: Sequencer,
}

/// Persons 0 to 9 have been paid a month, and their wallets and the next months' payments are known.
async fn room(place: &Place) -> Room {
    let faulty = Faulty::around(place.open().await);
    let sequencer = serve(faulty.clone()).await;
    furnish(&sequencer).await;
    for period in 1..=2 {
        let first = (0..10).map(|person| {
            (accrue(person, "ASP", month(period), 100), actor(Some(person + 100 * u64::from(period))))
        });
        at_once(&sequencer, first.collect()).await.into_iter().for_each(|answer| drop(made(answer)));
    }
    Room { faulty, sequencer }
}

impl Room {
    fn asked(&self) -> u64 {
        self.faulty.standing_read.load(Ordering::Relaxed)
    }

    async fn pay(&self, person: u64, period: u8, key: u64) -> Answer {
        self.sequencer.submit(accrue(person, "ASP", month(period), 100), actor(Some(key))).await
    }
}

async fn an_accrual_to_a_wallet_that_is_known_is_not_asked_about(place: &Place) {
    let room = room(place).await;
    made(room.pay(10, 3, 1).await); // brings the month into memory
    let asked = room.asked();
    for person in 0..10 {
        assert!(!made(room.pay(person, 3, 1_000 + person).await).replayed);
    }
    assert_eq!(room.asked(), asked);
    assert_sound(&place.open().await).await;
}

async fn invariant_7_a_bound_instruction_is_found_out_by_the_commit_and_spoils_no_neighbour(place: &Place) {
    let room = room(place).await;
    let first = made(room.pay(10, 3, 1).await);
    let commands = (0..5).map(|person| {
        let key = if person == 2 { 1 } else { 500 + person };
        (accrue(person, "ASP", month(3), 100), actor(Some(key)))
    });
    let answers = at_once(&room.sequencer, commands.collect()).await;
    for (person, answer) in answers.into_iter().enumerate() {
        if person == 2 {
            let refusal = refused(answer);
            assert_eq!((refusal.code, refusal.entry), (RefusalCode::InstructionConflict, Some(first.seq)));
        } else {
            made(answer);
        }
    }
    assert_sound(&place.open().await).await;
}

async fn invariant_7_what_would_be_refused_on_trust_is_asked_about_before_anybody_hears_of_it(place: &Place) {
    let room = room(place).await;
    let first = made(room.pay(10, 3, 1).await);
    // The same again is the first answer, not "paid already".
    let again = made(room.pay(10, 3, 1).await);
    assert!(again.replayed);
    assert_eq!(again.seq, first.seq);
    // More than the funding has: decided on trust, refused, asked about, refused.
    let asked = room.asked();
    let much = accrue(3, "ASP", month(3), 99_999_999_999_999);
    let answers = at_once(
        &room.sequencer,
        vec![(much, actor(Some(7))), (accrue(4, "ASP", month(3), 100), actor(Some(8)))],
    );
    let mut answers = answers.await.into_iter();
    assert_eq!(refused_for(answers.next().unwrap()), RefusalCode::FundingInsufficient);
    made(answers.next().unwrap());
    assert_eq!(room.asked(), asked + 1);
    // It bound nothing.
    made(room.pay(3, 3, 7).await);
    assert_sound(&place.open().await).await;
}

fn signed(nonce: u8) -> Box<SignedRequest> {
    let nonce = Nonce { expires: 1_790_000_300, id: [nonce; 16] };
    let key = KeyId::of(client("ministry"), &public_key(1));
    Box::new(SignedRequest { nonce, key, signature: [7; 64], sealed: vec![1].into() })
}

async fn a_spent_nonce_is_found_out_by_the_commit_and_spoils_no_neighbour(place: &Place) {
    let room = room(place).await;
    let pay = |person, nonce| {
        let (command, actor) = (accrue(person, "ASP", month(3), 100), actor(Some(900 + person)));
        room.sequencer.submit_signed(command, actor, Some(signed(nonce)))
    };
    made(pay(10, 1).await);
    let size = journal(&*place.open().await).await.len();
    let (repeated, fresh, twice) = tokio::join!(pay(1, 1), pay(2, 2), pay(3, 2));
    assert_eq!(repeated, Err(CommandError::NonceUsed));
    made(fresh);
    assert_eq!(twice, Err(CommandError::NonceUsed));
    assert_eq!(journal(&*place.open().await).await.len(), size + 1);
    assert_sound(&place.open().await).await;
}

/// What is refused on trust is asked about, and spends its nonce when its refusal is told: not before.
async fn a_signed_refusal_is_told_once_and_spends_its_nonce(place: &Place) {
    let room = room(place).await;
    made(room.pay(10, 3, 1).await);
    let (asked, much) = (room.asked(), accrue(4, "ASP", month(3), 99_999_999_999_999));
    let pay = |command| room.sequencer.submit_signed(command, actor(None), Some(signed(3)));
    let (refusal, fits) = tokio::join!(pay(much.clone()), room.pay(5, 3, 2));
    made(fits);
    assert_eq!(refused_for(refusal), RefusalCode::FundingInsufficient);
    assert_eq!(room.asked(), asked + 1, "it was tried on trust first");
    assert_eq!(pay(much).await, Err(CommandError::NonceUsed));
    assert_sound(&place.open().await).await;
}

/// Invariant 6: whatever becomes of its commit.
async fn what_was_taken_on_trust_and_fails_is_made_once(place: &Place) {
    let mut accruals = 0;
    for (number, fate) in (3..).zip([Fate::Failed, Fate::UnknownLost, Fate::UnknownMade, Fate::Stale]) {
        // A writer of its own: after the first failure a writer asks for a while.
        let room = again(place, number).await;
        let (person, asked) = (u64::from(number), room.asked());
        room.faulty.next(&[fate]);
        let first = made(room.pay(person, number, 600 + person).await);
        let reread = fate != Fate::UnknownMade;
        assert!(room.asked() <= asked + u64::from(reread), "{fate:?}: it was tried on trust first");
        assert_eq!(made(room.pay(person, number, 600 + person).await).seq, first.seq, "{fate:?}");
        accruals += 11;
    }
    let store = place.open().await;
    assert_eq!(count(&journal(&*store).await, "accrual"), accruals);
    assert_sound(&store).await;
}

/// Invariants 7 and 8: the same wallets and keys through another writer in between.
async fn another_writers_entries_are_not_overlooked(place: &Place) {
    let room = room(place).await;
    made(room.pay(10, 3, 1).await);
    let other = serve(place.open().await).await;
    let elsewhere = other.submit(accrue(1, "ASP", month(3), 100), actor(Some(70))).await;
    let paid = made(elsewhere).seq;
    let same_key = made(room.pay(1, 3, 70).await);
    assert!(same_key.replayed);
    assert_eq!(same_key.seq, paid);
    made(other.submit(accrue(2, "ASP", month(3), 100), actor(Some(71))).await);
    let refusal = refused(room.pay(2, 3, 72).await);
    assert_eq!(refusal.code, RefusalCode::BenefitAlreadyPaid);
    let refusal = refused(room.pay(3, 3, 71).await);
    assert_eq!(refusal.code, RefusalCode::InstructionConflict);
    assert_sound(&place.open().await).await;
}
