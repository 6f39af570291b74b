//! Decides commands one by one: those that come again are answered as before, the others run.

use serde_json::{Value, json};

use crate::domain::ClientId;
use crate::domain::time::{Stamp, parse_rfc3339};
use crate::ledger::books::{Bound, Fault};
use crate::ledger::cash_rules::SYSTEM;
use crate::ledger::effects::Effects;
use crate::ledger::payment::PaymentState;
use crate::ledger::record::Actor;
use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::ledger::rules::Entry;
use crate::ledger::signed::Evidence;
use crate::log::merkle::Hash;

use super::{Desk, DeskError, Prepared, Request, add_common};
use crate::sequencer::command::{Command, CommandError, EntryView, Outcome, PaymentCommand};

impl Desk {
    /// Decides the commands one by one and seals what they made. On an error the books are not to be trusted: discard and
    /// catch up.
    pub fn decide(
        &mut self,
        requests: &[Request],
        stamp: Stamp,
    ) -> Result<Prepared, (DeskError, Box<Effects>)> {
        let mut fx = Effects::default();
        let mut answers = Vec::with_capacity(requests.len());
        let (mut nonces, mut evidence) = (Vec::new(), Vec::new());
        if let Err(fault) = self.end_what_is_over(&mut fx, stamp) {
            return Err((fault.into(), Box::new(fx)));
        }
        for request in requests {
            let turned_away = self.turned_away(request);
            // A revoked key never comes back; a suspended client does, and must not find its refused requests carried out.
            if let Some(CommandError::KeyRevoked) = turned_away {
                answers.push(Err(CommandError::KeyRevoked));
                continue;
            }
            if let Some(nonce) = request.nonce() {
                if !self.spent.insert(nonce.id) {
                    answers.push(Err(CommandError::NonceUsed));
                    continue;
                }
                nonces.push(nonce);
            }
            let before = self.books.size;
            let decided = match turned_away {
                Some(error) => Ok(Err(error)),
                None => self.decide_one(&mut fx, request, stamp),
            };
            match decided {
                Ok(answer) => answers.push(answer),
                Err(fault) => return Err((fault.into(), Box::new(fx))),
            }
            if self.trusting && matches!(answers.last(), Some(Err(_))) && request.signed.is_some() {
                nonces.pop(); // it comes again
            }
            let made = u32::try_from(self.books.size - before).expect("a commit has few entries");
            // What was signed of a wrong code is not kept: it would tell how near the guess was while others can be made.
            let told = matches!(answers.last(), Some(Err(_)));
            if let (Some(signed), 1.., false) = (&request.signed, made, told) {
                evidence.push(Evidence::of(signed, before, made));
            }
        }
        if fx.is_empty() {
            return Ok(Prepared { commit: None, nonces, answers });
        }
        self.books.finish(&mut fx, stamp);
        let first = self.head.size;
        let (mut commit, hashes) = self.seal(fx, stamp);
        (commit.nonces, commit.evidence) = (nonces, evidence);
        self.head = commit.after;
        for answer in &mut answers {
            // What was bound before has its hash already: its leaf was read.
            let put = |seq: Option<u64>, hash: &mut Option<Hash>| {
                let place = seq.and_then(|seq| usize::try_from(seq.checked_sub(first)?).ok());
                *hash = hash.or(place.and_then(|place| hashes.get(place).copied()));
            };
            match answer {
                // Of an entry that was repeated its members are not known here: whoever shows it reads its leaf.
                Ok(Outcome::Entry(entry)) if entry.replayed && entry.members.is_empty() => {}
                Ok(Outcome::Entry(entry)) => put(Some(entry.seq), &mut entry.leaf_hash),
                Ok(Outcome::Chunk(chunk)) => put(chunk.entry, &mut chunk.leaf_hash),
                Ok(Outcome::Answers(answers)) => {
                    for entry in answers.iter_mut().flatten().filter(|entry| !entry.members.is_empty()) {
                        put(Some(entry.seq), &mut entry.leaf_hash);
                    }
                }
                Err(_) => {}
            }
        }
        Ok(Prepared { commit: Some(commit), nonces: Vec::new(), answers })
    }

    /// Ends the orders whose time is over on the wallets that the commands are about.
    fn end_what_is_over(&mut self, fx: &mut Effects, stamp: Stamp) -> Result<(), Fault> {
        let client = ClientId::parse(SYSTEM).expect("a client id of the documented form");
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        for order in self.books.orders.over(stamp.at) {
            self.books.expire_order(Entry { fx: &mut *fx, stamp, actor }, order)?;
        }
        Ok(())
    }

    /// Why a signed command comes too late: between the door and here its key was revoked, or its client suspended, perhaps by
    /// another replica. The books are those of the head that the commit is fenced by.
    fn turned_away(&self, request: &Request) -> Option<CommandError> {
        let signed = request.signed.as_ref()?;
        let registry = self.books.registry();
        if registry.is_empty() {
            return None;
        }
        match registry.key(&signed.key) {
            Some((client, key)) if key.revoked.is_none() => {
                client.suspended.then_some(CommandError::ClientSuspended)
            }
            _ => Some(CommandError::KeyRevoked),
        }
    }

    fn decide_one(
        &mut self,
        fx: &mut Effects,
        request: &Request,
        stamp: Stamp,
    ) -> Result<Result<Outcome, CommandError>, Fault> {
        let actor = request.actor;
        if let Some(id) = actor.instruction {
            let known =
                self.books.instructions.get(&id).ok_or(Fault::Unread("whether an instruction is bound"))?;
            if let Some(bound) = known {
                let bound = &bound.clone();
                let differs = self.differs(&request.command, bound);
                let differs = differs.or_else(|| self.other_payer(&request.command));
                let differs = differs.or_else(|| self.other_cash(&request.command, bound, stamp));
                if differs.is_none()
                    && let Some(ended) = self.reservation_ended(&request.command)
                {
                    return Ok(Err(CommandError::Refused(ended)));
                }
                return Ok(repeat(differs, bound, stamp));
            }
        }
        // Nobody has been told yet of what this batch makes, and what goes with it was not read.
        if request.command.authorisation().is_some_and(|authorisation| authorisation >= self.head.size) {
            let refusal = Refusal::of(RefusalCode::AuthorisationUnknown, "authorisation");
            return Ok(Err(CommandError::Refused(refusal)));
        }
        match self.run(Entry { fx, stamp, actor }, &request.command) {
            Ok(Some(outcome)) => Ok(Ok(outcome)),
            Ok(None) if fx.records.is_empty() => Err(Fault::Unread("the entry that a command made")),
            Ok(None) => Ok(Ok(Outcome::Entry(EntryView::unwritten(self.books.size - 1)))),
            Err(Fault::Refused(refusal) | Fault::Told(refusal)) => Ok(Err(CommandError::Refused(refusal))),
            Err(fault) => Err(fault),
        }
    }

    /// The field in which a command differs from the one that made an entry. The wallet is the same if the command's number leads,
    /// or has led, to it.
    fn differs(&mut self, command: &Command, bound: &Bound) -> Option<&'static str> {
        let named = bound.content.get("wallet").and_then(Value::as_str);
        if let (Some(wallet), Some(named)) = (command.wallet(), named)
            && self.books.has_led(wallet, named)
        {
            let mut content = bound.content.clone();
            content.insert("wallet".into(), json!(wallet.to_string()));
            return command.differs(&Bound { content, ..bound.clone() });
        }
        command.differs(bound)
    }

    /// `payer`, if a command that made an entry cannot have named this one: the entry does not repeat the payer, since
    /// only the programme's own is ever accepted.
    fn other_payer(&self, command: &Command) -> Option<&'static str> {
        let (programme, payer) = match command {
            Command::Accrue { accrual, payer, .. } => (accrual.programme, payer),
            Command::Reverse { reversal, payer } => (reversal.programme, payer),
            _ => return None,
        };
        self.books.programme(programme).is_some_and(|known| known.spec.payer != *payer).then_some("payer")
    }

    /// The field in which a command about a cash-out is not the one that an entry answers: it is about another, or has another
    /// code.
    fn other_cash(&self, command: &Command, bound: &Bound, stamp: Stamp) -> Option<&'static str> {
        let Command::Payment(command) = command else { return None };
        if let PaymentCommand::CreateCash { minutes, .. } = command {
            let moment = |name: &str| parse_rfc3339(bound.content.get(name)?.as_str()?);
            // Bound by a command of this same batch: its leaf is not written yet.
            let made = moment("at").unwrap_or(stamp.at);
            let same = moment("expires") == Some(made + i64::from(*minutes) * 60_000);
            return (!same).then_some("minutes");
        }
        let reference = command.reference()?;
        let cash = self.books.cash.get(&reference);
        if cash.is_none_or(|cash| bound.member("cash") != json!(cash)) {
            return Some("reference");
        }
        match command {
            PaymentCommand::Redeem { attempt, .. } if !self.books.is_code_of(reference, attempt) => {
                Some("code")
            }
            _ => None,
        }
    }

    /// Why a redemption that comes again is not answered as it was: "reserved" lets an agent pay out, and what it reserved has been
    /// paid out, or may have been, or is free again.
    fn reservation_ended(&self, command: &Command) -> Option<Refusal> {
        let Command::Payment(PaymentCommand::Redeem { reference, .. }) = command else { return None };
        let known = self.books.payments.get(self.books.cash.get(reference)?)?;
        let head = known.head();
        let code = match head.state {
            PaymentState::Sent => return None,
            PaymentState::Unknown => RefusalCode::CashReserved,
            _ => RefusalCode::CashEnded,
        };
        Some(Refusal::of(code, "reference").by(head.seq))
    }
}

/// The same instruction again: the first answer, or a conflict.
fn repeat(differs: Option<&'static str>, bound: &Bound, stamp: Stamp) -> Result<Outcome, CommandError> {
    if let Some(field) = differs {
        return Err(CommandError::Refused(
            Refusal::of(RefusalCode::InstructionConflict, field).by(bound.seq),
        ));
    }
    let mut members = bound.content.clone();
    if !members.contains_key("at") {
        // Bound by a command of this same batch: its leaf is not written yet.
        add_common(&mut members, &bound.kind, stamp);
    }
    let view = EntryView::of_leaf(bound.seq, members, true);
    Ok(Outcome::Entry(EntryView { leaf_hash: bound.leaf_hash, ..view }))
}
