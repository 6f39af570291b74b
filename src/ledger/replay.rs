//! Replay: the journal's records through the same rules, from empty books.
//!
//! Every record is decided again from what it names, and must come out as it was written. So a journal that replays is
//! one that the rules could have made: balanced, nothing negative, each benefit once, each lot within its credit.

#![allow(clippy::needless_pass_by_value)] // a record is used up by its replay

use std::collections::HashMap;

use crate::domain::BatchId;
use crate::domain::time::Stamp;

use super::batch::{BatchEntry, BatchEntryKind, BatchState};
use super::books::{Books, Fault};
use super::effects::Effects;
use super::record::{Actor, BatchTotals, LotShare, Record};
use super::rules::{Accrual, Entry, Person, Reversal};

/// Why a journal does not replay.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("entry {seq}: {found}")]
pub struct ReplayError {
    /// The entry at fault.
    pub seq: u64,
    /// What is wrong with it.
    pub found: String,
}

/// Rebuilds the books from the journal.
pub struct Replay {
    /// The books so far. They hold everything.
    pub books: Books,
    /// Lines and sums that the entries of each batch have made, to hold against what its chunks claim.
    accepted: HashMap<BatchId, (u64, i64)>,
    last_at: i64,
}

impl Default for Replay {
    fn default() -> Self {
        Self { books: Books::whole(), accepted: HashMap::new(), last_at: 0 }
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
        let wrong = |found: String| ReplayError { seq, found };
        if stamp.at < self.last_at {
            return Err(wrong("its time is before that of the entry before it".into()));
        }
        self.last_at = stamp.at;
        let is_first = matches!(record, Record::BookOpened);
        if is_first != (seq == 0) {
            return Err(wrong("a book is opened once, by its first entry".into()));
        }
        let written = fx.records.len();
        self.run(Entry { fx, stamp, actor }, &record).map_err(|fault| match fault {
            Fault::Refused(refusal) => wrong(format!("the rules refuse it: {refusal}")),
            Fault::Unread(what) => wrong(format!("it rests on {what} that no earlier entry made")),
        })?;
        match &fx.records[written..] {
            [(made, _)] if *made == record => Ok(()),
            [(made, _)] => Err(wrong(format!("the rules make another {}", made.kind()))),
            _ => Err(wrong("the rules make another number of entries".into())),
        }
    }

    fn run(&mut self, entry: Entry<'_>, record: &Record) -> Result<(), Fault> {
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
                let payer =
                    batch.map(|id| books.batch(id).map(|batch| batch.declaration.payer)).transpose()?;
                books.accrue(entry, &accrual, payer, *batch, None)?;
                self.count(*batch, amount.tiyn());
            }
            Record::Reversed { wallet, programme, period, part, share, reason, batch, .. } => {
                let reversal = Reversal {
                    wallet: *wallet,
                    programme: *programme,
                    period: *period,
                    part: *part,
                    reason: reason.clone(),
                };
                let payer =
                    batch.map(|id| books.batch(id).map(|batch| batch.declaration.payer)).transpose()?;
                books.reverse(entry, &reversal, payer, *batch)?;
                self.count(*batch, share.amount.tiyn());
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
            Record::ChunkReceived { batch, first_line, lines, totals, .. } => {
                let claim = Claim { batch: *batch, first_line: *first_line, lines: *lines, totals: *totals };
                self.chunk(entry, &claim, record)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, batch: Option<BatchId>, amount: i64) {
        if let Some(batch) = batch {
            let (lines, total) = self.accepted.entry(batch).or_default();
            *lines += 1;
            *total += amount;
        }
    }

    /// A chunk claims what its batch has received and accepted. The refused lines are not in the journal, so received is
    /// taken at its word within what was declared; accepted must be what the entries made. Openings of wallets name no
    /// batch, so that they are counted by the chunk's word too.
    fn chunk(&mut self, entry: Entry<'_>, claim: &Claim, record: &Record) -> Result<(), Fault> {
        let (lines, total) = self.accepted.get(&claim.batch).copied().unwrap_or_default();
        let books = &mut self.books;
        let batch = books.batch(claim.batch)?;
        let moves_money = batch.declaration.kind != crate::payroll::LineKind::WalletOpening;
        let counted = claim.totals.accepted_lines == lines && claim.totals.accepted_total == total;
        let within = claim.totals.received_lines <= batch.declaration.lines
            && claim.totals.received_total <= batch.declaration.total.tiyn();
        if !(matches!(batch.state, BatchState::Open | BatchState::Incomplete)
            && within
            && (counted || !moves_money))
        {
            return Err(Fault::Unread("a chunk's claim"));
        }
        let Entry { fx, stamp, actor } = entry;
        let seq = books.write(fx, record.clone(), actor);
        let head = books.batches.get_mut(&claim.batch).ok_or(Fault::Unread("a batch"))?;
        head.version += 1;
        head.totals = claim.totals;
        head.received.insert(claim.first_line, claim.lines.into());
        if head.received.count() != claim.totals.received_lines {
            return Err(Fault::Unread("a chunk's claim of received lines"));
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
