//! Replay: the journal's records through the same rules, from empty books.
//!
//! Every record is decided again from what it names, and must come out as it was written. So a journal that replays is
//! one that the rules could have made: balanced, nothing negative, each benefit once, each lot within its credit.

#![allow(clippy::needless_pass_by_value)] // a record is used up by its replay

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::domain::time::{Stamp, rfc3339};
use crate::domain::{BatchId, Bic, Period, ProgrammeCode, Scope, WalletId};
use crate::payroll::LineKind;

use super::batch::{BatchEntry, BatchEntryKind, BatchState};
use super::books::{Books, Fault, SystemHead};
use super::cache::IdHasher;
use super::cash_rules::{Dispensed, SYSTEM};
use super::choice::{ChoiceRecord, Due};
use super::effects::Effects;
use super::order::{OrderRecord, Outcome};
use super::order_rules::Intake;
use super::payment::{Document, Payment, PaymentKind, PaymentRecord, ReleaseCause, Terms};
use super::payment_rules::{Answer, Party};
use super::person::PersonRecord;
use super::record::{Actor, BatchDeclaration, BatchTotals, LotShare, Record};
use super::refusal::Refusal;
use super::registry::Change;
use super::rules::{Accrual, Entry, Person, Reversal};

/// Why a journal does not replay.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("entry {seq}: expected {expected}; found {found}")]
pub struct ReplayError {
    /// The entry at fault.
    pub seq: u64,
    /// What the entries before it and the rules let it be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// What is wrong with an entry, before its number is said.
enum Wrong {
    Rules(Fault),
    Claim { expected: String, found: String },
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Self::Rules(fault)
    }
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Self::Rules(Fault::Refused(refusal))
    }
}

impl Wrong {
    fn claim(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Claim { expected: expected.into(), found: found.into() }
    }

    fn at(self, seq: u64) -> ReplayError {
        let (expected, found) = match self {
            Self::Rules(Fault::Refused(refusal) | Fault::Told(refusal)) => {
                let found = match refusal.entry {
                    Some(entry) => format!("one that they refuse: {refusal} (entry {entry})"),
                    None => format!("one that they refuse: {refusal}"),
                };
                ("an entry that the rules allow".into(), found)
            }
            Self::Rules(Fault::Unread(what)) => (format!("{what} made by an earlier entry"), "none".into()),
            Self::Claim { expected, found } => (expected, found),
        };
        ReplayError { seq, expected, found }
    }
}

/// Rebuilds the books from the journal.
pub struct Replay {
    /// The books so far. They hold everything.
    pub books: Books,
    /// Lines and sums that the entries of each batch have made, to hold against what its chunks claim.
    accepted: HashMap<BatchId, Accepted>,
    /// The batch whose lines are being replayed.
    lines: Option<Lines>,
    /// The first half of every person's tag, 128 bits, so that no two people share one by chance: whose wallet, by its number.
    tags: HashMap<[u8; 16], u32, BuildHasherDefault<IdHasher>>,
    /// Wallets that were merged, with those that they were merged into: internal numbers.
    merged: HashMap<u32, u32>,
    /// The wallet and the instruction of the entry before, if it opened one: the same instruction may go on.
    opened: Option<(WalletId, [u8; 16])>,
    /// Whose order the entry before decided, if it came with others: they follow each other as the rules say.
    ordered: Option<Ordered>,
    last_at: i64,
}

/// An order that came with others.
#[derive(Clone, Copy)]
struct Ordered {
    client: crate::domain::ClientId,
    request: [u8; 32],
    /// The place of its kind in the table's precedence, and its line.
    place: (usize, u64),
}

#[derive(Clone, Copy, Default)]
struct Accepted {
    lines: u64,
    total: i64,
    /// Of `lines`: those that a chunk's entry has told.
    told: u64,
}

/// What holds for the lines of a batch while they follow each other.
struct Lines {
    batch: BatchId,
    declaration: BatchDeclaration,
    client: crate::domain::ClientId,
    accepted: Accepted,
    /// What was found to be declared last.
    declared: Option<(ProgrammeCode, Period)>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            books: Books::whole(),
            accepted: HashMap::new(),
            lines: None,
            tags: HashMap::default(),
            merged: HashMap::new(),
            opened: None,
            ordered: None,
            last_at: 0,
        }
    }
}

impl Replay {
    /// Applies the next record. `fx` gathers the rows that the projections must hold.
    pub fn apply(
        &mut self,
        fx: &mut Effects,
        stamp: Stamp,
        actor: Actor,
        record: Record,
    ) -> Result<(), ReplayError> {
        let seq = self.books.size;
        let written = fx.records.len();
        self.check(seq, stamp, &actor, &record)
            .and_then(|()| self.run(Entry { fx: &mut *fx, stamp, actor }, &record))
            .and_then(|()| match &fx.records[written..] {
                [(made, _)] if *made == record => Ok(()),
                [(made, _)] => Err(difference(made, &record)),
                made => Err(Wrong::claim(
                    "one entry",
                    format!("one for which the rules make {} ({})", made.len(), record.kind()),
                )),
            })
            .map_err(|wrong| wrong.at(seq))?;
        self.opened = match (&record, actor.instruction) {
            (Record::WalletOpened { wallet, .. }, Some(instruction)) => Some((*wallet, instruction)),
            _ => None,
        };
        self.ordered = self.ordered(&actor, &record);
        self.last_at = stamp.at;
        Ok(())
    }

    /// The place of an order among those that came with it; `None`: it came alone, or the record decides none.
    fn ordered(&self, actor: &Actor, record: &Record) -> Option<Ordered> {
        let (line, Record::Order(record)) = (actor.line?, record) else { return None };
        let (_, table) = self.books.orders.rules.as_ref()?;
        let rank = match record.as_ref() {
            OrderRecord::Decided(decision) => table.rank(decision.said.order_kind),
            OrderRecord::Malformed { .. } => usize::MAX,
            _ => return None,
        };
        Some(Ordered { client: actor.client, request: actor.request, place: (rank, line) })
    }

    /// What holds for every record.
    fn check(&mut self, seq: u64, stamp: Stamp, actor: &Actor, record: &Record) -> Result<(), Wrong> {
        if stamp.at < self.last_at {
            let expected =
                format!("a time not before {}, that of the entry before it", rfc3339(self.last_at));
            return Err(Wrong::claim(expected, rfc3339(stamp.at)));
        }
        if matches!(record, Record::BookOpened) != (seq == 0) {
            return Err(Wrong::claim(
                "the opening of the book as the first entry, and there only",
                record.kind(),
            ));
        }
        if let Some(approved) = self.books.registry().approved()
            && !approved.is_carried_out_by(record)
        {
            let expected = "the entry that carries out what the entry before it approved";
            return Err(Wrong::claim(expected, record.kind()));
        }
        if let Some(due) = self.books.due() {
            if !due.is_told_by(record) {
                let expected = "the entry that says what became of the accrual before it, which is sent on";
                return Err(Wrong::claim(expected, record.kind()));
            }
            if due.actor() != *actor {
                return Err(Wrong::claim("the actor of the accrual, without its instruction", "another"));
            }
        }
        // One posting adds less than a ten-thousandth of what these sums can hold.
        if seq.is_multiple_of(4_096) {
            let beyond = |head: &&SystemHead| head.debits.max(head.credits) > i64::MAX / 2;
            if let Some(head) = self.books.system_accounts().iter().find(beyond) {
                return Err(Wrong::claim(
                    "turnovers within what the books can add up",
                    head.account.to_string(),
                ));
            }
        }
        if let Some(id) = &actor.instruction
            && let Some(bound) = self.books.bound_to(id)?
        {
            // An instruction that opens a wallet on its way writes two entries, and is bound to the second.
            let goes_on = matches!((self.opened, record),
                (Some((opened, by)), Record::Accrued { wallet, .. }) if opened == *wallet && by == *id);
            if !goes_on {
                let found = format!("the instruction that entry {bound} is bound to");
                return Err(Wrong::claim("an instruction that made no entry before", found));
            }
        }
        if let Some((before, now)) = self.ordered.zip(self.ordered(actor, record))
            && (before.client, before.request) == (now.client, now.request)
            && before.place >= now.place
        {
            let expected =
                "the orders of one request by the table's precedence, and of one kind by their lines";
            return Err(Wrong::claim(
                expected,
                format!("line {} after line {}", now.place.1, before.place.1),
            ));
        }
        if !matches!(record, Record::Accrued { .. } | Record::WalletOpened { .. }) {
            self.put_lines_down();
        }
        Ok(())
    }

    /// What must hold at the end of a commit, and so at every checkpoint: every line that a batch's entries made is told by
    /// an entry of its chunk.
    pub fn finish(&mut self) -> Result<(), ReplayError> {
        self.put_lines_down();
        if self.books.registry().approved().is_some() {
            let expected = "an entry that carries out what the last one approved".into();
            return Err(ReplayError { seq: self.books.size, expected, found: "none".into() });
        }
        if self.books.due().is_some() {
            let expected = "an entry that says what became of the accrual before it, which is sent on".into();
            return Err(ReplayError { seq: self.books.size, expected, found: "none".into() });
        }
        let mut untold: Vec<_> =
            self.accepted.iter().filter(|(_, accepted)| accepted.lines != accepted.told).collect();
        untold.sort_by_key(|(batch, _)| **batch);
        let Some((batch, accepted)) = untold.first() else { return Ok(()) };
        let expected = format!("an entry of a chunk of batch {batch} that tells {} lines", accepted.lines);
        let found = format!("{} told", accepted.told);
        Err(ReplayError { seq: self.books.size, expected, found })
    }

    fn run(&mut self, entry: Entry<'_>, record: &Record) -> Result<(), Wrong> {
        let books = &mut self.books;
        match record {
            Record::BookOpened => books.open_book(entry),
            Record::ProgrammeRegistered(spec) => {
                books.register_programme(entry, (**spec).clone())?;
            }
            Record::ProgrammeFunded { programme, amount, bank_reference } => {
                books.fund(entry, *programme, *amount, bank_reference.clone())?;
            }
            Record::WalletOpened { wallet, person } => {
                new_tag(&mut self.tags, person, books.wallet_count + 1)?;
                let person = Person { tag: *person, sealed_iin: Vec::new() };
                books.open_wallet(entry, *wallet, person)?;
            }
            Record::Accrued { wallet, programme, period, part, amount, batch, class: _ } => {
                let accrual = Accrual {
                    wallet: *wallet,
                    programme: *programme,
                    period: *period,
                    part: *part,
                    amount: *amount,
                };
                let Some(batch) = *batch else {
                    books.credit(entry, &accrual, None, None, None)?;
                    return Ok(());
                };
                let money = (*programme, *period);
                let payer = self.line(batch, LineKind::Accrual, money, entry.stamp, &entry.actor)?;
                self.books.credit(entry, &accrual, Some(payer), Some(batch), None)?;
                self.count(amount.tiyn())?;
            }
            Record::Reversed { wallet, programme, period, part, share, reason, batch, .. } => {
                let reversal = Reversal {
                    wallet: *wallet,
                    programme: *programme,
                    period: *period,
                    part: *part,
                    reason: reason.clone(),
                };
                let Some(batch) = *batch else {
                    books.reverse(entry, &reversal, None, None)?;
                    return Ok(());
                };
                let money = (*programme, *period);
                let payer = self.line(batch, LineKind::Reversal, money, entry.stamp, &entry.actor)?;
                self.books.reverse(entry, &reversal, Some(payer), Some(batch))?;
                self.count(share.amount.tiyn())?;
            }
            Record::PaidOut { wallet, bank, shares } => {
                books.pay_out(entry, *wallet, *bank, sum(shares)?)?;
            }
            Record::Returned { pay_out, shares, .. } => {
                books.return_credit(entry, *pay_out, sum(shares)?)?;
            }
            Record::BatchOpened(declaration) => {
                books.open_batch(entry, (**declaration).clone())?;
            }
            Record::BatchReleased { batch } => {
                books.release_batch(entry, *batch)?;
            }
            Record::BatchClosed { batch, .. } => {
                books.close_batch(entry, *batch)?;
            }
            Record::BatchCancelled { batch, .. } => {
                books.cancel_batch(entry, *batch)?;
            }
            Record::OriginDeclared { origin, lost } => {
                books.declare_origin(entry, origin.clone(), lost.clone())?;
            }
            Record::LogKeyRotated { old, new, signature } => {
                books.rotate_log_key(entry, old.clone(), new.clone(), signature.clone())?;
            }
            Record::ProgrammeClassChanged { programme, class } => {
                books.change_class(entry, *programme, *class)?;
            }
            Record::Payment(record) => run_payment(books, entry, record)?,
            Record::Choice(record) => run_choice(books, entry, record)?,
            Record::Person(record) => match &**record {
                PersonRecord::NumberAdded { wallet, leads, person, document } => {
                    let account = books.wallet(*wallet)?.map_or(0, |known| known.account);
                    new_tag(&mut self.tags, person, account)?;
                    let person = Person { tag: *person, sealed_iin: Vec::new() };
                    books.add_number(entry, *wallet, *leads, person, document.clone())?;
                }
                PersonRecord::WalletsMerged { wallet, merged, document, .. } => {
                    let of = |known: Option<super::wallet::Wallet>| known.map_or(0, |known| known.account);
                    let (gone, kept) = (of(books.wallet(*merged)?), of(books.wallet(*wallet)?));
                    self.merged.insert(gone, kept);
                    books.merge(entry, *wallet, *merged, document.clone())?;
                }
            },
            Record::State(record) => drop(books.change_state(entry, (**record).clone())?),
            Record::Order(record) => self.run_order(entry, record)?,
            Record::Registry(change) => run_change(books, entry, change)?,
            Record::ChunkReceived { batch, first_line, lines, totals, .. } => {
                let claim = Claim { batch: *batch, first_line: *first_line, lines: *lines, totals: *totals };
                self.chunk(entry, &claim, record)?;
            }
        }
        Ok(())
    }

    /// Decides again what became of an order. The debtor's wallet is the one that was opened for the debtor's tag.
    fn run_order(&mut self, entry: Entry<'_>, record: &OrderRecord) -> Result<(), Wrong> {
        let books = &mut self.books;
        match record {
            OrderRecord::RulesSet { rules } => {
                let rules = (**rules).clone();
                if entry.actor.client.as_str() == SYSTEM {
                    books.set_first_rules(entry, rules)?;
                } else {
                    books.set_rules(entry, rules)?;
                }
            }
            OrderRecord::Decided(decision) => {
                let (tag, _) = decision.said.debtor.split_first_chunk().expect("a tag has 32 bytes");
                let mut opened = self.tags.get(tag).copied();
                while let Some(kept) = opened.and_then(|account| self.merged.get(&account)) {
                    opened = Some(*kept);
                }
                let wallet = match decision.wallet {
                    None => None,
                    Some(id) => books.wallet(id)?.map(|wallet| wallet.account),
                };
                if decision.wallet.is_some() && (wallet.is_none() || wallet != opened) {
                    let found = "another wallet, or none";
                    return Err(Wrong::claim("the wallet that was opened for the debtor's tag", found));
                }
                // Of an order that is not looked at any further it is not told whether its debtor has a wallet.
                let is_told = !matches!(decision.outcome, Outcome::UnauthorisedIssuer | Outcome::Malformed);
                if decision.wallet.is_none() && opened.is_some() && is_told {
                    let found = "no wallet";
                    return Err(Wrong::claim("the wallet that was opened for the debtor's tag", found));
                }
                let none = WalletId::from_uuid(uuid::Uuid::nil());
                let wallet = Some(decision.wallet.unwrap_or(none));
                let said = Ok(decision.said.clone());
                let intake = Intake { said, wallet, sealed: Vec::new(), line: None };
                books.decide_order(entry, intake)?;
            }
            OrderRecord::Malformed { order, field, .. } => {
                let said = Err((*order, *field));
                let intake = Intake { said, wallet: None, sealed: Vec::new(), line: None };
                books.decide_order(entry, intake)?;
            }
            OrderRecord::Expired { order, .. } => drop(books.expire_order(entry, *order)?),
            OrderRecord::LevySettled { authority, amount, bank_reference } => {
                books.settle_levy(entry, *authority, *amount, bank_reference.clone())?;
            }
        }
        Ok(())
    }

    /// Looks at a line's batch as its chunk would be looked at; who pays.
    fn line(
        &mut self,
        batch: BatchId,
        kind: LineKind,
        money: (ProgrammeCode, Period),
        stamp: Stamp,
        actor: &Actor,
    ) -> Result<crate::domain::Bin, Wrong> {
        if self.lines.as_ref().is_none_or(|lines| lines.batch != batch) {
            self.put_lines_down();
            let known = self.books.batch(batch)?;
            if !matches!(known.state, BatchState::Open | BatchState::Incomplete) {
                let found = format!("batch {batch}, which is {}", known.state.name());
                return Err(Wrong::claim("a line of a batch that takes lines", found));
            }
            let (declaration, client) = (known.declaration.clone(), known.client);
            let accepted = self.accepted.get(&batch).copied().unwrap_or_default();
            self.lines = Some(Lines { batch, declaration, client, accepted, declared: None });
        }
        let Some(Lines { declaration, client, declared, .. }) = &mut self.lines else {
            return Err(Fault::Unread("a batch").into());
        };
        if actor.client != *client {
            return Err(Wrong::claim(
                format!("the client {client}, whose batch it is"),
                actor.client.to_string(),
            ));
        }
        if actor.line.is_none_or(|line| line == 0 || line > declaration.lines) {
            let expected = format!("a line from 1 to {}", declaration.lines);
            return Err(Wrong::claim(expected, actor.line.map_or("none".into(), |line| line.to_string())));
        }
        if declaration.not_before.is_some_and(|start| stamp.at < start) {
            return Err(Wrong::claim("a time not before its batch's not_before", rfc3339(stamp.at)));
        }
        if *declared != Some(money) {
            let (programme, period) = money;
            if declaration.kind != kind
                || !declaration.programmes.contains(&programme)
                || !declaration.periods.contains(&period)
            {
                let found = format!("{programme} for {period} in batch {batch}");
                return Err(Wrong::claim("a kind, a programme and a period that its batch declared", found));
            }
            *declared = Some(money);
        }
        Ok(declaration.payer)
    }

    /// Counts the line that was just replayed.
    fn count(&mut self, amount: i64) -> Result<(), Wrong> {
        let accepted = self.lines.as_mut().map(|lines| &mut lines.accepted);
        let accepted = accepted.ok_or(Fault::Unread("a batch"))?;
        accepted.lines += 1;
        accepted.total = accepted
            .total
            .checked_add(amount)
            .ok_or_else(|| Wrong::claim("sums within the limits", "a batch whose sum is beyond them"))?;
        Ok(())
    }

    fn put_lines_down(&mut self) {
        if let Some(Lines { batch, accepted, .. }) = self.lines.take() {
            self.accepted.insert(batch, accepted);
        }
    }

    /// A chunk claims what its batch has received and accepted. The refused lines are not in the journal, so received is
    /// taken at its word within what was declared; accepted must be what the entries made. Openings of wallets name no
    /// batch, so that they are counted by the chunk's word too.
    fn chunk(&mut self, entry: Entry<'_>, claim: &Claim, record: &Record) -> Result<(), Wrong> {
        let accepted = self.accepted.entry(claim.batch).or_default();
        let books = &mut self.books;
        let batch = books.batch(claim.batch)?;
        let declaration = &batch.declaration;
        let totals = &claim.totals;
        if !matches!(batch.state, BatchState::Open | BatchState::Incomplete) {
            return Err(Wrong::claim("a chunk of a batch that takes lines", batch.state.name()));
        }
        if claim.first_line == 0 || claim.first_line + u64::from(claim.lines) > declaration.lines + 1 {
            let expected = format!("lines from 1 to {}", declaration.lines);
            return Err(Wrong::claim(expected, format!("{} lines from {}", claim.lines, claim.first_line)));
        }
        if totals.received_lines > declaration.lines || totals.received_total > declaration.total.tiyn() {
            let expected = format!(
                "at most the declared {} lines and {} KZT received",
                declaration.lines, declaration.total
            );
            let found = format!("{} lines, {} tiyn", totals.received_lines, totals.received_total);
            return Err(Wrong::claim(expected, found));
        }
        let moves_money = declaration.kind != LineKind::WalletOpening;
        if moves_money && (totals.accepted_lines, totals.accepted_total) != (accepted.lines, accepted.total) {
            let expected = format!(
                "{} lines and {} tiyn accepted: what the batch's entries made",
                accepted.lines, accepted.total
            );
            let found = format!("{} lines, {} tiyn", totals.accepted_lines, totals.accepted_total);
            return Err(Wrong::claim(expected, found));
        }
        accepted.told = accepted.lines;
        let Entry { fx, stamp, actor } = entry;
        let seq = books.write(fx, record.clone(), actor);
        let head = books.batches.get_mut(&claim.batch).ok_or(Fault::Unread("a batch"))?;
        head.version += 1;
        head.totals = claim.totals;
        head.received.insert(claim.first_line, claim.lines.into());
        let received = head.received.count();
        if received != claim.totals.received_lines {
            let expected = format!("{received} lines received: what the batch's chunks make");
            return Err(Wrong::claim(expected, claim.totals.received_lines.to_string()));
        }
        fx.batch_entries.push(BatchEntry {
            batch: head.number,
            version: head.version,
            seq,
            at: stamp.at,
            kind: BatchEntryKind::Chunk,
            first_line: claim.first_line,
            lines: claim.lines,
            digest: actor.request.to_vec(),
            verdicts: Vec::new(),
            state: head.state,
            totals: claim.totals,
        });
        Ok(())
    }
}

fn run_change(books: &mut Books, entry: Entry<'_>, change: &Change) -> Result<(), Wrong> {
    match change {
        Change::OperatorsBootstrapped { operators } => drop(books.bootstrap(entry, operators.clone())?),
        Change::ClientRegistered { client, role, bin, bic, issuer } => {
            let scope = Scope::of(*role, *bin, *bic, *issuer)
                .map_err(|error| Wrong::claim("a scope that fits the role", error.to_string()))?;
            books.register_client(entry, *client, *role, scope)?;
        }
        Change::ClientKeyAdded { client, public_key, .. } => {
            books.add_key(entry, *client, *public_key)?;
        }
        Change::ClientKeyRevoked { key } => drop(books.revoke_key(entry, *key)?),
        Change::ClientSuspended { client, reason } => {
            books.set_suspended(entry, *client, true, reason.clone())?;
        }
        Change::ClientReinstated { client, reason } => {
            books.set_suspended(entry, *client, false, reason.clone())?;
        }
        Change::ApprovalRequested { proposal, .. } => {
            books.request_approval(entry, proposal.clone())?;
        }
        Change::ApprovalGiven { approval, digest } => {
            books.give_approval(entry, *approval, *digest)?;
        }
        Change::ApprovalClosed { approval, reason, .. } => {
            books.close_approval(entry, *approval, reason.clone())?;
        }
        Change::LimitsSet { limits } => drop(books.set_limits(entry, *limits)?),
    }
    Ok(())
}

/// Decides again what happened to money on its way out. Who spoke for whom follows from the authorisation, and from whether
/// there was a document.
#[allow(clippy::too_many_lines)] // one arm a kind
fn run_payment(books: &mut Books, entry: Entry<'_>, record: &PaymentRecord) -> Result<(), Wrong> {
    let answers = |bank: &Bic, document: &Option<Document>| match document {
        Some(_) => Party::Operator,
        None => Party::Bank(*bank),
    };
    let through = |books: &Books, authorisation: &u64, otherwise: Party| {
        let known = books.authorisations.get(authorisation);
        let own = known.is_some_and(|known| known.channel == entry.actor.client);
        if own { Party::Channel } else { otherwise }
    };
    let cash_of = |books: &Books, cash: &u64| match books.payments.get(cash).map(|known| known.kind) {
        Some(PaymentKind::Cash { reference, .. }) => Ok(reference),
        _ => Err(Wrong::Rules(Fault::Unread("a cash-out"))),
    };
    match record {
        PaymentRecord::AuthorisationGiven {
            wallet,
            purpose,
            ceiling,
            standing,
            expires,
            consent,
            activates: _,
        } => {
            let (purpose, ceiling, standing, expires) = (*purpose, *ceiling, *standing, *expires);
            let terms = Terms { purpose, ceiling, standing, expires };
            books.authorise(entry, *wallet, terms, *consent, Vec::new())?;
        }
        PaymentRecord::AuthorisationRevoked { authorisation, reason, .. } => {
            let by = through(books, authorisation, Party::Operator);
            books.revoke_authorisation(entry, by, *authorisation, reason.clone())?;
        }
        PaymentRecord::TransferRequested { accrual: Some(_), .. } => return sent_on(books, entry),
        PaymentRecord::TransferRequested { authorisation, bank, amount, .. } => {
            let by = through(books, authorisation, Party::Bank(*bank));
            books.request_transfer(entry, by, *authorisation, *amount)?;
        }
        PaymentRecord::TransferSent { transfer, bank, document, .. } => {
            let by = answers(bank, document);
            books.answer_transfer(entry, by, *transfer, &Answer::Sent, document.clone())?;
        }
        PaymentRecord::TransferUnknown { transfer, bank, document, .. } => {
            let by = answers(bank, document);
            books.answer_transfer(entry, by, *transfer, &Answer::Unknown, document.clone())?;
        }
        PaymentRecord::TransferSettled { transfer, bank, document, .. } => {
            let by = answers(bank, document);
            books.answer_transfer(entry, by, *transfer, &Answer::Settled, document.clone())?;
        }
        PaymentRecord::TransferReturned { transfer, bank, amount, reference, reason, document, .. } => {
            let (reference, reason) = (reference.clone(), reason.clone());
            let answer = Answer::Returned { amount: Some(*amount), reference, reason };
            let by = answers(bank, document);
            books.answer_transfer(entry, by, *transfer, &answer, document.clone())?;
        }
        PaymentRecord::CashCreated { authorisation, amount, reference, secret, expires, .. } => {
            books.create_cash(entry, *authorisation, *amount, *reference, *secret, *expires)?;
        }
        PaymentRecord::CashTried { cash, bank, terminal, .. } => {
            if entry.actor.instruction.is_some() {
                return Err(Wrong::claim("a wrong code, which binds no instruction", "one that does"));
            }
            books.count_wrong_code(entry, *bank, *cash, terminal.clone())?;
        }
        PaymentRecord::CashReserved { cash, bank, terminal, .. } => {
            books.reserve_cash(entry, *bank, *cash, terminal.clone())?;
        }
        PaymentRecord::CashUnknown { cash, bank, document, .. } => {
            let (by, reference) = (answers(bank, document), cash_of(books, cash)?);
            books.finish_cash(entry, by, reference, Dispensed::Unknown, document.clone())?;
        }
        PaymentRecord::CashCaptured { cash, bank, document, .. } => {
            let (by, reference) = (answers(bank, document), cash_of(books, cash)?);
            books.finish_cash(entry, by, reference, Dispensed::Captured, document.clone())?;
        }
        PaymentRecord::CashReleased { cash, cause, document, .. } => match cause {
            ReleaseCause::Expired => drop(books.release_cash(entry, Party::System, *cash, *cause)?),
            ReleaseCause::Cancelled => drop(books.release_cash(entry, Party::Channel, *cash, *cause)?),
            ReleaseCause::Reversed => {
                let reference = cash_of(books, cash)?;
                let agent = books.payments.get(cash).and_then(Payment::bank);
                let agent = agent.ok_or(Wrong::Rules(Fault::Unread("the agent of a cash-out")))?;
                let by = answers(&agent, document);
                books.finish_cash(entry, by, reference, Dispensed::Reversed, document.clone())?;
            }
        },
        PaymentRecord::ClearingSettled { bank, direction, owed, amount, bank_reference } => {
            books.settle_clearing(entry, *bank, *owed, *direction, *amount, bank_reference.clone())?;
        }
    }
    Ok(())
}

/// Decides again where a holder wants benefits to go, or that a choice could not be followed.
fn run_choice(books: &mut Books, entry: Entry<'_>, record: &ChoiceRecord) -> Result<(), Wrong> {
    match record {
        ChoiceRecord::DestinationChosen { wallet, programme, authorisation, consent, activates: _ } => {
            books.choose(entry, *wallet, *programme, *authorisation, *consent)?;
            Ok(())
        }
        ChoiceRecord::TransferNotStarted { .. } => sent_on(books, entry),
    }
}

/// Decides again what became of the accrual before.
fn sent_on(books: &mut Books, entry: Entry<'_>) -> Result<(), Wrong> {
    if books.due().is_none_or(|due: &Due| due.actor() != entry.actor) {
        return Err(Wrong::claim("an accrual before it that is sent on", "none"));
    }
    books.send_on(entry)?;
    Ok(())
}

/// Takes a person's tag, which no wallet was opened for and no number added for.
fn new_tag(
    tags: &mut HashMap<[u8; 16], u32, BuildHasherDefault<IdHasher>>,
    person: &[u8; 32],
    account: u32,
) -> Result<(), Wrong> {
    let (tag, _) = person.split_first_chunk().expect("a tag has 32 bytes");
    if tags.insert(*tag, account).is_none() {
        return Ok(());
    }
    let found = "a tag that an earlier entry has";
    Err(Wrong::claim("one wallet for a person's tag", found))
}

struct Claim {
    batch: BatchId,
    first_line: u64,
    lines: u32,
    totals: BatchTotals,
}

fn sum(shares: &[LotShare]) -> Result<crate::domain::Amount, Fault> {
    shares
        .iter()
        .try_fold(0i64, |sum, share| sum.checked_add(share.amount.tiyn()))
        .and_then(crate::domain::Amount::from_tiyn)
        .ok_or(Fault::Unread("an amount within the limits"))
}

/// The first member in which what the rules make differs from what is written.
fn difference(made: &Record, written: &Record) -> Wrong {
    if made.kind() != written.kind() {
        return Wrong::claim(format!("kind {}", made.kind()), format!("kind {}", written.kind()));
    }
    let (made, written) = (made.members(), written.members());
    let differs = made.iter().find(|(name, value)| written.get(*name) != Some(value));
    let absent = serde_json::Value::Null;
    match differs {
        Some((name, value)) => {
            let found = written.get(name).unwrap_or(&absent);
            Wrong::claim(format!("{name} {value}"), format!("{name} {found}"))
        }
        None => Wrong::claim("the members that the rules make", "more"),
    }
}
