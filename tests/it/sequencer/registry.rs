//! Who may call, through the writer: after a restart, beside other writers, and by two operators where it takes two.

use std::time::Duration;

use social_wallet::directory::Directory;
use social_wallet::domain::{FundClass, Iin, KeyId, Reason, Role, Scope};
use social_wallet::ledger::refusal::RefusalCode;
use social_wallet::ledger::registry::{Founder, Proposal};
use social_wallet::ledger::signed::{Nonce, SignedRequest};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::command::{Command, CommandError, RegistryCommand};

use super::{
    Answer, accrue, actor, actor_of, assert_sound, at_once, fund, furnish, journal, made, refused,
    refused_for, serve, shown,
};
use crate::store::book::{client, code, founders, month, public_key};
use crate::store::{Place, in_both_rooms};

async fn ask(sequencer: &Sequencer, by: &str, command: RegistryCommand) -> Answer {
    sequencer.submit(Command::Registry(command), actor_of(by, None)).await
}

fn approve(approval: u64, proposal: &Proposal) -> RegistryCommand {
    RegistryCommand::GiveApproval { approval, digest: proposal.digest(), iin: None }
}

/// Gives the book the operators op-a and op-b.
pub async fn bootstrap(sequencer: &Sequencer) {
    made(ask(sequencer, "setup", RegistryCommand::Bootstrap(founders())).await);
}

/// What op-a asks for and op-b approves; the entry of the approval.
pub async fn agree(sequencer: &Sequencer, proposal: Proposal) -> u64 {
    agree_on(sequencer, proposal, None).await
}

/// The same, of a proposal that adds a number, which op-b gives again.
pub async fn agree_on(sequencer: &Sequencer, proposal: Proposal, iin: Option<Iin>) -> u64 {
    let request = RegistryCommand::RequestApproval(proposal.clone());
    let approval = made(ask(sequencer, "op-a", request).await).seq;
    let approve = RegistryCommand::GiveApproval { approval, digest: proposal.digest(), iin };
    made(ask(sequencer, "op-b", approve).await).seq
}

fn funding(reference: &str) -> Proposal {
    let Command::Fund { programme, amount, bank_reference } = fund("ASP", 700, reference) else {
        unreachable!()
    };
    Proposal::Fund { programme, amount, bank_reference }
}

fn register(id: &str) -> RegistryCommand {
    RegistryCommand::Register { client: client(id), role: Role::Auditor, scope: Scope::Book }
}

async fn a_book_is_bootstrapped_once_across_writers_and_restarts(place: &Place) {
    let [first, second] = [serve(place.open().await).await, serve(place.open().await).await];
    let (one, two) = tokio::join!(
        ask(&first, "setup", RegistryCommand::Bootstrap(founders())),
        ask(&second, "setup", RegistryCommand::Bootstrap(founders()))
    );
    assert!(one.is_ok() != two.is_ok(), "one of two: {one:?} {two:?}");
    assert_eq!(refused_for(if one.is_ok() { two } else { one }), RefusalCode::BookBootstrapped);
    let others: Vec<Founder> = [("x", 8), ("y", 9)]
        .map(|(id, n)| Founder { client: client(id), public_key: public_key(n) })
        .to_vec();
    let restarted = serve(place.open().await).await;
    let again = ask(&restarted, "setup", RegistryCommand::Bootstrap(others)).await;
    assert_eq!(refused_for(again), RefusalCode::BookBootstrapped);
    assert_sound(&place.open().await).await;
}

async fn what_takes_two_is_done_by_two_in_one_commit(place: &Place) {
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    furnish(&sequencer).await;
    bootstrap(&sequencer).await;
    let alone = sequencer.submit(fund("ASP", 700, "R1"), actor_of("op-a", None)).await;
    assert_eq!(refused_for(alone), RefusalCode::ApprovalRequired);
    let proposal = funding("R1");
    let request = RegistryCommand::RequestApproval(proposal.clone());
    let approval = made(ask(&sequencer, "op-a", request).await).seq;
    let own = ask(&sequencer, "op-a", approve(approval, &proposal)).await;
    assert_eq!(refused_for(own), RefusalCode::ApprovalSelf);
    // Both at once, with keys of their own: it is funded once, and who comes second is told of the first.
    let other = serve(place.open().await).await;
    let given = |id| (Command::Registry(approve(approval, &proposal)), actor_of("op-b", Some(id)));
    let ((command, one), (again, two)) = (given(1), given(2));
    let (one, two) = tokio::join!(sequencer.submit(command, one), other.submit(again, two));
    let (given, refusal) = if one.is_ok() { (made(one), refused(two)) } else { (made(two), refused(one)) };
    assert_eq!((refusal.code, refusal.entry), (RefusalCode::ApprovalEnded, Some(given.seq)));
    assert_eq!(given.members["kind"], "approval_given");
    let leaves = journal(&*store).await;
    let funded = shown(&leaves, given.seq + 1).members;
    assert_eq!((&funded["kind"], &funded["bank_reference"]), (&"programme_funded".into(), &"R1".into()));
    let size_after = store.head().await.unwrap().unwrap().size;
    assert_eq!(size_after, given.seq + 2);
    assert!(store.frontier_at(given.seq + 1).await.unwrap().is_none(), "no commit ended between the two");
    assert_sound(&store).await;
}

async fn the_same_instruction_is_answered_with_its_approval_again(place: &Place) {
    let sequencer = serve(place.open().await).await;
    furnish(&sequencer).await;
    bootstrap(&sequencer).await;
    let proposal = funding("R1");
    let send = |command: RegistryCommand, by, id| {
        sequencer.submit(Command::Registry(command), actor_of(by, Some(id)))
    };
    let request = || RegistryCommand::RequestApproval(proposal.clone());
    let first = made(send(request(), "op-a", 1).await);
    let again = made(send(request(), "op-a", 1).await);
    assert_eq!((first.seq, again.seq, again.replayed), (first.seq, first.seq, true));
    let other = send(RegistryCommand::RequestApproval(funding("R2")), "op-a", 1).await;
    assert_eq!(refused(other).field, Some("proposal"));
    let given = made(send(approve(first.seq, &proposal), "op-b", 2).await);
    let again = made(send(approve(first.seq, &proposal), "op-b", 2).await);
    assert_eq!((again.seq, again.replayed, &again.members), (given.seq, true, &given.members));
    assert_eq!(refused(send(approve(first.seq + 1, &proposal), "op-b", 2).await).field, Some("approval"));
    assert_sound(&place.open().await).await;
}

async fn a_changed_class_holds_for_what_comes_later_and_after_a_restart(place: &Place) {
    let sequencer = serve(place.open().await).await;
    furnish(&sequencer).await;
    let before = made(sequencer.submit(accrue(1, "BONUS", month(1), 100), actor(None)).await);
    bootstrap(&sequencer).await;
    agree(&sequencer, Proposal::ChangeClass { programme: code("BONUS"), class: FundClass::Protected }).await;
    let after = made(sequencer.submit(accrue(1, "BONUS", month(2), 100), actor(None)).await);
    let restarted = serve(place.open().await).await;
    let later = made(restarted.submit(accrue(1, "BONUS", month(3), 100), actor(None)).await);
    let classes = [&before, &after, &later].map(|entry| entry.members["class"].clone());
    assert_eq!(classes, ["general", "protected", "protected"]);
    let store = place.open().await;
    let wallet = store.wallets(&[super::wallet(1)]).await.unwrap()[0].1;
    assert_eq!((wallet.posted, wallet.general), (300, 100), "the lot that was general stays so");
    assert_sound(&store).await;
}

async fn who_may_call_is_the_same_for_every_writer(place: &Place) {
    let [first, second] = [serve(place.open().await).await, serve(place.open().await).await];
    bootstrap(&first).await;
    made(ask(&second, "op-a", register("auditor")).await);
    let reason = || Reason::parse("lost its machine").unwrap();
    let suspend = |id: &str, suspended| RegistryCommand::SetSuspended {
        client: client(id),
        suspended,
        reason: reason(),
    };
    made(ask(&first, "op-b", suspend("op-a", true)).await);
    assert_eq!(refused_for(ask(&second, "op-a", register("x")).await), RefusalCode::OperatorRequired);
    made(ask(&second, "op-b", suspend("op-a", false)).await);
    let add = |n| RegistryCommand::AddKey { client: client("auditor"), public_key: public_key(n) };
    let (one, two) = tokio::join!(ask(&first, "op-a", add(5)), ask(&second, "op-b", add(5)));
    assert_eq!(refused_for(if one.is_ok() { two } else { one }), RefusalCode::KeyExists);
    let id = KeyId::of(client("auditor"), &public_key(5));
    made(ask(&second, "op-a", RegistryCommand::RevokeKey(id)).await);
    assert_eq!(
        refused_for(ask(&first, "op-a", RegistryCommand::RevokeKey(id)).await),
        RefusalCode::KeyRevoked
    );
    assert_sound(&place.open().await).await;
}

/// Between the door and the writer a key may be revoked, and a client suspended, by another replica.
async fn what_a_revoked_key_or_a_suspended_client_has_signed_is_not_carried_out(place: &Place) {
    let [first, second] = [serve(place.open().await).await, serve(place.open().await).await];
    furnish(&first).await;
    made(first.submit(accrue(1, "ASP", month(1), 100), actor(None)).await);
    bootstrap(&first).await;
    let scope = Scope::Payer(super::payer());
    let payer = RegistryCommand::Register { client: client("ministry"), role: Role::Payer, scope };
    made(ask(&first, "op-a", payer).await);
    for number in [5, 6] {
        let public_key = public_key(number);
        made(ask(&first, "op-a", RegistryCommand::AddKey { client: client("ministry"), public_key }).await);
    }
    let id = |number| KeyId::of(client("ministry"), &public_key(number));
    let signed_as = async |number: u8, nonce: u8, period: u8| {
        let nonce = Nonce { expires: 1_790_000_300, id: [nonce; 16] };
        let signed = SignedRequest { nonce, key: id(number), signature: [7; 64], sealed: vec![1].into() };
        let command = accrue(1, "ASP", month(period), 100);
        first.submit_signed(command, actor(None), Some(Box::new(signed))).await
    };
    let pay = async |number: u8, period: u8| signed_as(number, period, period).await;
    made(pay(5, 2).await);
    made(ask(&second, "op-b", RegistryCommand::RevokeKey(id(5))).await);
    assert_eq!(pay(5, 3).await, Err(CommandError::KeyRevoked));
    made(pay(6, 4).await);
    // Together with a neighbour who is refused, no entry is made and nonces are spent; each is told his own reason.
    let (revoked, refused) = tokio::join!(signed_as(5, 13, 9), signed_as(6, 14, 4));
    assert_eq!(revoked, Err(CommandError::KeyRevoked));
    assert_eq!(refused_for(refused), RefusalCode::BenefitAlreadyPaid);
    let reason = || Reason::parse("its machine was stolen").unwrap();
    let suspend =
        |suspended| RegistryCommand::SetSuspended { client: client("ministry"), suspended, reason: reason() };
    made(ask(&second, "op-b", suspend(true)).await);
    assert_eq!(pay(6, 5).await, Err(CommandError::ClientSuspended));
    made(ask(&second, "op-b", suspend(false)).await);
    // What was refused then is not carried out now: its nonce is spent.
    assert_eq!(pay(6, 5).await, Err(CommandError::NonceUsed));
    made(pay(6, 6).await);
    assert_sound(&place.open().await).await;
}

async fn commands_of_one_batch_see_each_other(place: &Place) {
    let sequencer = serve(place.open().await).await;
    bootstrap(&sequencer).await;
    let add = |n| RegistryCommand::AddKey { client: client("auditor"), public_key: public_key(n) };
    let commands = [register("auditor"), register("auditor"), add(5), add(5)];
    let commands = commands.map(|command| (Command::Registry(command), actor_of("op-a", None))).to_vec();
    let answers = at_once(&sequencer, commands).await;
    let told: Vec<Option<RefusalCode>> =
        answers.into_iter().map(|answer| answer.is_err().then(|| refused_for(answer))).collect();
    assert_eq!(told, [None, Some(RefusalCode::ClientExists), None, Some(RefusalCode::KeyExists)]);
    assert_sound(&place.open().await).await;
}

async fn directory(place: &Place, of: &Sequencer, known_max: Duration, unknown_max: Duration) -> Directory {
    Directory::with_freshness(place.open().await, of.registry(), known_max, unknown_max).await.unwrap()
}

async fn a_revoked_key_is_served_no_more_once_its_entry_is_known(place: &Place) {
    const NEVER: Duration = Duration::from_secs(1_000_000);
    let [first, second] = [serve(place.open().await).await, serve(place.open().await).await];
    bootstrap(&first).await;
    made(ask(&first, "op-a", register("auditor")).await);
    let add = |n| RegistryCommand::AddKey { client: client("auditor"), public_key: public_key(n) };
    let id = |n| KeyId::of(client("auditor"), &public_key(n));
    made(ask(&first, "op-a", add(5)).await);
    let remembering = directory(place, &first, NEVER, NEVER).await;
    let asking = directory(place, &first, Duration::ZERO, NEVER).await;
    let curious = directory(place, &first, NEVER, Duration::ZERO).await;
    let found = remembering.find(&id(5)).await.unwrap().unwrap();
    assert_eq!((found.client.role, found.public_key), (Role::Auditor, public_key(5)));
    assert_eq!(remembering.find(&id(6)).await.unwrap(), None);
    // By another replica: in force when the store is asked, which is at the bound at the latest.
    made(ask(&second, "op-a", add(6)).await);
    made(ask(&second, "op-a", RegistryCommand::RevokeKey(id(5))).await);
    assert!(remembering.find(&id(6)).await.unwrap().is_none(), "the store is not asked before the bound");
    assert!(remembering.find(&id(5)).await.unwrap().is_some());
    assert!(curious.find(&id(6)).await.unwrap().is_some(), "a key that is not known is looked for");
    assert!(curious.find(&id(5)).await.unwrap().is_none(), "and what was read tells of the other");
    assert_eq!(asking.find(&id(5)).await.unwrap(), None);
    // Whatever this process's writer has seen is in force at once.
    refused(first.submit(accrue(1, "NONE", month(1), 1), actor(None)).await);
    assert_eq!(remembering.find(&id(5)).await.unwrap(), None);
    assert!(remembering.find(&id(6)).await.unwrap().is_some());
    made(ask(&first, "op-b", RegistryCommand::RevokeKey(id(6))).await);
    assert_eq!(remembering.find(&id(6)).await.unwrap(), None);
    let reason = Reason::parse("under inquiry").unwrap();
    let suspend = RegistryCommand::SetSuspended { client: client("op-a"), suspended: true, reason };
    made(ask(&first, "op-b", suspend).await);
    let suspended = remembering.find(&KeyId::of(client("op-a"), &public_key(1))).await.unwrap().unwrap();
    assert!(suspended.client.suspended);
}

in_both_rooms!(
    a_revoked_key_is_served_no_more_once_its_entry_is_known,
    a_book_is_bootstrapped_once_across_writers_and_restarts,
    what_takes_two_is_done_by_two_in_one_commit,
    the_same_instruction_is_answered_with_its_approval_again,
    a_changed_class_holds_for_what_comes_later_and_after_a_restart,
    who_may_call_is_the_same_for_every_writer,
    what_a_revoked_key_or_a_suspended_client_has_signed_is_not_carried_out,
    commands_of_one_batch_see_each_other,
);
