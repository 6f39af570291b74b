//! Runs a command by the rules of the ledger.

use std::sync::Arc;

use serde_json::{Map, json};

use crate::keys::BookKeys;
use crate::ledger::books::{Books, Fault};
use crate::ledger::cash_rules::Tried;
use crate::ledger::payment::ReleaseCause;
use crate::ledger::payment_rules::{Answered, Party};
use crate::ledger::record::Actor;
use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::ledger::registry::Proposal;
use crate::ledger::rules::{Entry, Person};

use super::{Desk, view};
use crate::sequencer::command::{
    Command, EntryView, ORDERS_MAX, OrderCommand, Outcome, PaymentCommand, RegistryCommand,
};

impl Desk {
    /// Runs a command. `None`: its outcome is the last record.
    pub(super) fn run(&mut self, entry: Entry<'_>, command: &Command) -> Result<Option<Outcome>, Fault> {
        let keys = Arc::clone(&self.keys);
        let books = &mut self.books;
        match command {
            Command::RegisterProgramme(spec) => {
                books.register_programme(entry, (**spec).clone())?;
            }
            Command::Fund { programme, amount, bank_reference } => {
                books.fund(entry, *programme, *amount, bank_reference.clone())?;
            }
            Command::OpenWallet { iin, wallet } => {
                let person = Person { tag: keys.tag(iin), sealed_iin: keys.seal(iin, *wallet) };
                books.open_wallet(entry, *wallet, person)?;
            }
            Command::Accrue { accrual, iin, payer } => {
                let person = || Person { tag: keys.tag(iin), sealed_iin: keys.seal(iin, accrual.wallet) };
                // What the holder's choice made of it comes after it; the answer is the accrual.
                let seq = books.accrue(entry, accrual, Some(*payer), None, Some(&person))?;
                return Ok(Some(Outcome::Entry(EntryView::unwritten(seq))));
            }
            Command::Reverse { reversal, payer } => {
                books.reverse(entry, reversal, Some(*payer), None)?;
            }
            Command::PayOut { wallet, bank, amount } => {
                books.pay_out(entry, *wallet, *bank, *amount)?;
            }
            Command::Return { pay_out, amount } => {
                books.return_credit(entry, *pay_out, *amount)?;
            }
            Command::OpenBatch(declaration) => {
                if let Some(batch) = books.batches.get(&declaration.batch) {
                    let differs = declaration_differs(&batch.declaration, declaration);
                    let differs = differs.or((batch.client != entry.actor.client).then_some("client"));
                    if let Some(field) = differs {
                        return Err(Refusal::of(RefusalCode::InstructionConflict, field).into());
                    }
                    let members = Map::from_iter([("batch".into(), json!(declaration.batch.to_string()))]);
                    return Ok(Some(Outcome::Entry(EntryView {
                        seq: 0,
                        replayed: true,
                        leaf_hash: None,
                        members,
                    })));
                }
                books.open_batch(entry, (**declaration).clone())?;
            }
            Command::ReleaseBatch(id) => {
                books.release_batch(entry, *id)?;
            }
            Command::CloseBatch(id) => {
                books.close_batch(entry, *id)?;
            }
            Command::CancelBatch(id) => {
                books.cancel_batch(entry, *id)?;
            }
            Command::Chunk(chunk) => {
                // The journal knows a chunk by the digest of its bytes: that is its request.
                let actor = Actor { request: chunk.digest, ..entry.actor };
                let entry = Entry { actor, ..entry };
                return Ok(Some(Outcome::Chunk(books.receive_chunk(entry, chunk, &*keys)?)));
            }
            Command::DeclareOrigin { origin, lost } => {
                books.declare_origin(entry, origin.clone(), lost.clone())?;
            }
            Command::RotateLogKey { old, new, signature } => {
                books.rotate_log_key(entry, old.clone(), new.clone(), signature.clone())?;
            }
            Command::Registry(command) => return run_registry(books, entry, command, &keys),
            Command::Payment(command) => return run_payment(books, entry, command, self.head.size),
            Command::Holder(command) => command.run(books, entry, &keys)?,
            Command::Order(command) => return run_orders(books, entry, command),
            Command::ChangeState(record) => {
                books.change_state(entry, (**record).clone())?;
            }
        }
        Ok(None)
    }
}

/// Runs a command of the registry. `None`: its outcome is the last record.
fn run_registry(
    books: &mut Books,
    entry: Entry<'_>,
    command: &RegistryCommand,
    keys: &BookKeys,
) -> Result<Option<Outcome>, Fault> {
    match command {
        RegistryCommand::Bootstrap(operators) => books.bootstrap(entry, operators.clone())?,
        RegistryCommand::Register { client, role, scope } => {
            books.register_client(entry, *client, *role, *scope)?
        }
        RegistryCommand::AddKey { client, public_key } => books.add_key(entry, *client, *public_key)?,
        RegistryCommand::RevokeKey(key) => books.revoke_key(entry, *key)?,
        RegistryCommand::SetSuspended { client, suspended, reason } => {
            books.set_suspended(entry, *client, *suspended, reason.clone())?
        }
        RegistryCommand::RequestApproval(proposal) => books.request_approval(entry, proposal.clone())?,
        RegistryCommand::GiveApproval { approval, digest, iin } => {
            let asked = books.registry().approval(*approval).map(|asked| &asked.proposal);
            let sealed = match (asked, iin) {
                // Whoever approves a number has it before him: the journal has no more than its tag.
                (Some(Proposal::AddNumber { leads, person, .. }), iin) => match iin {
                    Some(iin) if keys.tag(iin) == *person && keys.wallet_id(iin) == *leads => {
                        keys.seal(iin, *leads)
                    }
                    _ => return Err(Refusal::of(RefusalCode::ApprovalDigestMismatch, "iin").into()),
                },
                (_, Some(_)) => return Err(Refusal::of(RefusalCode::ApprovalDigestMismatch, "iin").into()),
                (_, None) => Vec::new(),
            };
            let Entry { fx, stamp, actor } = entry;
            let seq = books.size;
            let proposal = books.give_approval(Entry { fx, stamp, actor }, *approval, *digest)?;
            let (given, _) = fx.records.last().ok_or(Fault::Unread("the entry that a command made"))?;
            let answer = view(seq, given, stamp);
            // The instruction is bound to the approval: it names what was approved.
            let actor = Actor { instruction: None, ..actor };
            books.carry_out(Entry { fx, stamp, actor }, proposal, sealed)?;
            return Ok(Some(Outcome::Entry(answer)));
        }
        RegistryCommand::CloseApproval { approval, reason } => {
            books.close_approval(entry, *approval, reason.clone())?
        }
    };
    Ok(None)
}

/// Runs a command about orders. `None`: its outcome is the last record.
fn run_orders(books: &mut Books, entry: Entry<'_>, command: &OrderCommand) -> Result<Option<Outcome>, Fault> {
    let Entry { fx, stamp, actor } = entry;
    match command {
        OrderCommand::Decide(orders) => {
            if orders.len() > ORDERS_MAX {
                return Err(Fault::Unread("so many orders at once"));
            }
            let mut told: Vec<Option<Result<EntryView, Refusal>>> = vec![None; orders.len()];
            for place in books.precedence(orders) {
                let intake = orders[place].clone();
                let actor = Actor { line: intake.line, instruction: None, ..actor };
                let answer = match books.decide_order(Entry { fx: &mut *fx, stamp, actor }, intake) {
                    Ok(Answered::Made(seq)) => {
                        let made = fx.records.last().ok_or(Fault::Unread("the entry of an order"))?;
                        Ok(view(seq, &made.0, stamp))
                    }
                    Ok(Answered::Repeated(seq)) => Ok(EntryView::repeated(seq)),
                    Err(Fault::Refused(refusal)) => Err(refusal),
                    Err(fault) => return Err(fault),
                };
                told[place] = Some(answer);
            }
            Ok(Some(Outcome::Answers(told.into_iter().flatten().collect())))
        }
        OrderCommand::Expire(entries) => {
            for order in entries {
                match books.expire_order(Entry { fx: &mut *fx, stamp, actor }, *order) {
                    Ok(_) | Err(Fault::Refused(_)) => {} // another replica, or its issuer, came first
                    Err(fault) => return Err(fault),
                }
            }
            Ok(Some(Outcome::Answers(Vec::new())))
        }
        OrderCommand::SettleLevy { authority, amount, bank_reference } => {
            books.settle_levy(Entry { fx, stamp, actor }, *authority, *amount, bank_reference.clone())?;
            Ok(None)
        }
    }
}

/// Runs a command about money on its way out; entries below `told_below` are those that somebody may have been told of. `None`: its outcome
/// is the last record.
fn run_payment(
    books: &mut Books,
    entry: Entry<'_>,
    command: &PaymentCommand,
    told_below: u64,
) -> Result<Option<Outcome>, Fault> {
    let repeated = |seq| Ok(Some(Outcome::Entry(EntryView::repeated(seq))));
    match command {
        PaymentCommand::Authorise { wallet, terms, consent, sealed_destination } => {
            books.authorise(entry, *wallet, *terms, *consent, sealed_destination.clone())?;
        }
        PaymentCommand::Revoke { by, authorisation, reason } => {
            books.revoke_authorisation(entry, *by, *authorisation, reason.clone())?;
        }
        PaymentCommand::Transfer { by, authorisation, amount } => {
            books.request_transfer(entry, *by, *authorisation, *amount)?;
        }
        PaymentCommand::Answer { by, answers } => {
            let Entry { fx, stamp, actor } = entry;
            let mut told = Vec::with_capacity(answers.len());
            for (transfer, answer, document) in answers {
                if *transfer >= told_below {
                    // Guessed: what this batch makes was not read with what goes with it.
                    told.push(Err(Refusal::of(RefusalCode::TransferUnknown, "transfer")));
                    continue;
                }
                let entry = Entry { fx: &mut *fx, stamp, actor };
                told.push(match books.answer_transfer(entry, *by, *transfer, answer, document.clone()) {
                    Ok(Answered::Made(seq)) => {
                        let made = fx.records.last().ok_or(Fault::Unread("the entry that an answer made"))?;
                        Ok(view(seq, &made.0, stamp))
                    }
                    Ok(Answered::Repeated(seq)) => Ok(EntryView::repeated(seq)),
                    Err(Fault::Refused(refusal)) => Err(refusal),
                    Err(fault) => return Err(fault),
                });
            }
            return Ok(Some(Outcome::Answers(told)));
        }
        PaymentCommand::CreateCash { authorisation, amount, reference, secret, minutes } => {
            let expires = entry.stamp.at + i64::from(*minutes) * 60_000;
            books.create_cash(entry, *authorisation, *amount, *reference, *secret, expires)?;
        }
        PaymentCommand::Redeem { bank, reference, attempt, terminal } => {
            if let Tried::Wrong(seq) =
                books.redeem_cash(entry, *bank, *reference, attempt, terminal.clone())?
            {
                // The entry stands: what is refused is the request.
                return Err(Fault::Told(Refusal::of(RefusalCode::CashCodeWrong, "code").by(seq)));
            }
        }
        PaymentCommand::Finish { by, reference, dispensed, document } => {
            match books.finish_cash(entry, *by, *reference, *dispensed, document.clone())? {
                Answered::Made(_) => {}
                Answered::Repeated(seq) => return repeated(seq),
            }
        }
        PaymentCommand::CancelCash(reference) => {
            let cash = books.cash.get(reference).copied();
            let cash = cash.ok_or_else(|| Refusal::of(RefusalCode::CashUnknown, "reference"))?;
            books.release_cash(entry, Party::Channel, cash, ReleaseCause::Cancelled)?;
        }
        PaymentCommand::ExpireCash(entries) => {
            let Entry { fx, stamp, actor } = entry;
            for cash in entries {
                let entry = Entry { fx: &mut *fx, stamp, actor };
                match books.release_cash(entry, Party::System, *cash, ReleaseCause::Expired) {
                    Ok(_) | Err(Fault::Refused(_)) => {} // another replica, or an agent, came first
                    Err(fault) => return Err(fault),
                }
            }
            return Ok(Some(Outcome::Answers(Vec::new())));
        }
        PaymentCommand::SettleClearing { bank, owed, direction, amount, bank_reference } => {
            books.settle_clearing(entry, *bank, *owed, *direction, *amount, bank_reference.clone())?;
        }
    }
    Ok(None)
}

fn declaration_differs(
    opened: &crate::ledger::record::BatchDeclaration,
    asked: &crate::ledger::record::BatchDeclaration,
) -> Option<&'static str> {
    [
        (opened.kind != asked.kind, "kind"),
        (opened.payer != asked.payer, "payer"),
        (opened.programmes != asked.programmes, "programmes"),
        (opened.periods != asked.periods, "periods"),
        (opened.lines != asked.lines, "lines"),
        (opened.total != asked.total, "total"),
        (opened.not_before != asked.not_before, "not_before"),
        (opened.release_required != asked.release_required, "release_required"),
    ]
    .into_iter()
    .find_map(|(differs, field)| differs.then_some(field))
}
