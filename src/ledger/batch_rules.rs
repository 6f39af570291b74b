//! The rules of batches: what may be sent when, and the verdict on every line.
//!
//! A chunk is decided whole: either it is refused, and nothing of it is recorded, or each of its lines gets a verdict. Bad
//! lines never stop good ones. A line that was accepted before is never decided again; one that was refused is.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::domain::{BatchId, ClientId, Money, WalletId};
use crate::payroll::{Field, Line, LineKind, ParsedLine};

use super::batch::{Batch, BatchEntry, BatchEntryKind, BatchState, LineRefusal, LineVerdict, Verdict};
use super::books::{Books, Fault, NUMBERS_MAX, Ruling, SUM_MAX};
use super::effects::NewBatch;
use super::record::{Actor, BatchDeclaration, BatchTotals, Record};
use super::refusal::{Refusal, RefusalCode as Code};
use super::rules::{Accrual, Entry, Person, Reversal};

/// A line of a chunk, with the wallet that its number means.
#[derive(Clone, PartialEq, Debug)]
pub struct ChunkLine {
    /// The line as it was read.
    pub parsed: ParsedLine,
    /// The wallet; `None` for a line that could not be read.
    pub wallet: Option<WalletId>,
}

/// A chunk of a batch.
#[derive(Clone, PartialEq, Debug)]
pub struct Chunk {
    /// Of which batch.
    pub batch: BatchId,
    /// The number of its first line, from 1.
    pub first_line: u64,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Its lines.
    pub lines: Vec<ChunkLine>,
}

/// What came of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkOutcome {
    /// A verdict for every line, in order.
    pub verdicts: Vec<LineVerdict>,
    /// The entry that records the chunk; `None` if it brought nothing new.
    pub entry: Option<u64>,
    /// The hash of that entry's leaf; `None` while the leaf is not written.
    pub leaf_hash: Option<[u8; 32]>,
    /// The batch's state after it.
    pub state: BatchState,
    /// The batch's sums after it.
    pub totals: BatchTotals,
}

impl ChunkOutcome {
    /// Whether every line is accepted, now or before.
    #[must_use]
    pub fn all_accepted(&self) -> bool {
        !self.verdicts.iter().any(|line| matches!(line.verdict, Verdict::Refused { .. }))
    }
}

/// Knows the people behind a chunk's lines.
pub trait People {
    /// What is needed to open a wallet for the person of a line.
    fn person(&self, iin: &crate::domain::Iin, wallet: WalletId) -> Person;
}

/// What the rules know of the batch while they go through a chunk.
struct Context<'a> {
    declaration: &'a BatchDeclaration,
    programmes: BTreeSet<crate::domain::ProgrammeCode>,
    periods: BTreeSet<crate::domain::Period>,
    chunk: &'a Chunk,
    people: &'a dyn People,
}

impl Books {
    /// Opens a batch.
    pub fn open_batch(&mut self, entry: Entry<'_>, declaration: BatchDeclaration) -> Ruling<u64> {
        for code in &declaration.programmes {
            let Some(programme) = self.programme(*code) else {
                return Err(Refusal::of(Code::ProgrammeUnknown, "programmes").with(code.to_string()).into());
            };
            if programme.spec.payer != declaration.payer {
                return Err(Refusal::of(Code::PayerMismatch, "payer").with(code.to_string()).into());
            }
        }
        if self.batch_count >= NUMBERS_MAX {
            return Err(Refusal::of(Code::BookFull, "batch").into());
        }
        self.batch_count += 1;
        let number = self.batch_count;
        let client = entry.actor.client;
        let seq = self.write(entry.fx, Record::BatchOpened(Box::new(declaration.clone())), entry.actor);
        let state = if declaration.release_required { BatchState::AwaitingRelease } else { BatchState::Open };
        let batch = Batch {
            number,
            client,
            declaration: declaration.clone(),
            state,
            version: 0,
            totals: BatchTotals::default(),
            received: super::batch::LineSet::default(),
        };
        self.batches.insert(declaration.batch, batch);
        entry.fx.batches.push(NewBatch { number, seq, client, declaration });
        Ok(seq)
    }

    /// Releases a batch: the second person's word.
    pub fn release_batch(&mut self, entry: Entry<'_>, id: BatchId) -> Ruling<u64> {
        let batch = self.batch(id)?;
        match batch.state {
            BatchState::AwaitingRelease => {}
            BatchState::Completed | BatchState::Cancelled => {
                return Err(Refusal::of(Code::BatchClosed, "batch").into());
            }
            BatchState::Open | BatchState::Incomplete => {
                return Err(Refusal::of(Code::BatchReleasedAlready, "batch").into());
            }
        }
        if batch.client == entry.actor.client {
            return Err(Refusal::of(Code::BatchSelfRelease, "client").into());
        }
        let seq = self.write(entry.fx, Record::BatchReleased { batch: id }, entry.actor);
        self.end_step(entry, id, seq, BatchEntryKind::Released, BatchState::Open);
        Ok(seq)
    }

    /// Closes a batch: completed if what was declared was received, else incomplete, and open for the rest.
    pub fn close_batch(&mut self, entry: Entry<'_>, id: BatchId) -> Ruling<u64> {
        let batch = self.open_for(id, entry.actor.client)?;
        let BatchDeclaration { lines, total, .. } = batch.declaration;
        let totals = batch.totals;
        let completed = totals.received_lines == lines && totals.received_total == total.tiyn();
        let state = if completed { BatchState::Completed } else { BatchState::Incomplete };
        let seq = self.write(entry.fx, Record::BatchClosed { batch: id, completed, totals }, entry.actor);
        self.end_step(entry, id, seq, BatchEntryKind::Closed, state);
        Ok(seq)
    }

    /// Cancels a batch: it takes no more lines; what was accepted stays, and can be reversed.
    pub fn cancel_batch(&mut self, entry: Entry<'_>, id: BatchId) -> Ruling<u64> {
        let batch = self.batch(id)?;
        if batch.client != entry.actor.client {
            return Err(Refusal::of(Code::BatchNotYours, "client").into());
        }
        if matches!(batch.state, BatchState::Completed | BatchState::Cancelled) {
            return Err(Refusal::of(Code::BatchClosed, "batch").into());
        }
        let totals = batch.totals;
        let seq = self.write(entry.fx, Record::BatchCancelled { batch: id, totals }, entry.actor);
        self.end_step(entry, id, seq, BatchEntryKind::Cancelled, BatchState::Cancelled);
        Ok(seq)
    }

    /// Receives a chunk: a verdict for every line.
    pub fn receive_chunk(
        &mut self,
        entry: Entry<'_>,
        chunk: &Chunk,
        people: &dyn People,
    ) -> Ruling<ChunkOutcome> {
        let batch = self.open_for(chunk.batch, entry.actor.client)?;
        if let Some(not_before) = batch.declaration.not_before
            && entry.stamp.at < not_before
        {
            let time = crate::domain::time::rfc3339(not_before);
            return Err(Refusal::of(Code::BatchNotStarted, "not_before").with(time).into());
        }
        let lines = chunk.lines.len() as u64;
        let last = chunk.first_line.saturating_add(lines - 1);
        if chunk.first_line == 0 || last > batch.declaration.lines {
            let detail = format!(
                "declared {} lines, the chunk has {} to {last}",
                batch.declaration.lines, chunk.first_line
            );
            return Err(Refusal::of(Code::DeclaredLinesExceeded, "first_line").with(detail).into());
        }
        let again = batch.received.overlaps(chunk.first_line, lines);
        let batch = batch.clone();
        let mut totals = batch.totals;
        let mut fresh = lines;
        for (number, line) in (chunk.first_line..).zip(&chunk.lines) {
            let mut amount = line.parsed.amount.map_or(0, crate::domain::Amount::tiyn);
            if again && batch.received.contains(number) {
                fresh -= 1;
                let prior =
                    &self.prior.get(&(chunk.batch, number)).ok_or(Fault::Unread("a line's verdict"))?.line;
                let accepted = !matches!(prior.verdict, Verdict::Refused { .. });
                amount = if accepted { 0 } else { amount - prior.amount };
            }
            if batch.declaration.kind == LineKind::Accrual {
                totals.received_total += amount;
            }
        }
        let declared = batch.declaration.total;
        if totals.received_total > declared.tiyn().min(SUM_MAX) {
            let received = Money::from_tiyn(totals.received_total).unwrap_or(Money::ZERO);
            let detail = format!("declared {declared} KZT, received with this chunk {received} KZT");
            return Err(Refusal::of(Code::DeclaredTotalExceeded, "amount").with(detail).into());
        }
        totals.received_lines += fresh;
        let Entry { fx, stamp, actor } = entry;
        let context = Context {
            declaration: &batch.declaration,
            programmes: batch.declaration.programmes.iter().copied().collect(),
            periods: batch.declaration.periods.iter().copied().collect(),
            chunk,
            people,
        };
        let mut verdicts = Vec::with_capacity(chunk.lines.len());
        let mut news = fresh > 0;
        for (number, line) in (chunk.first_line..).zip(&chunk.lines) {
            let amount = line.parsed.amount.map_or(0, crate::domain::Amount::tiyn);
            let prior = again.then(|| self.prior.get(&(chunk.batch, number))).flatten().cloned();
            let before =
                prior.as_ref().filter(|prior| !matches!(prior.line.verdict, Verdict::Refused { .. }));
            if let Some(before) = before {
                let Verdict::Accepted { entry } = before.line.verdict else {
                    return Err(Fault::Unread("a stored verdict is accepted or refused"));
                };
                let same_chunk = before.chunk == (chunk.digest, chunk.first_line);
                let differs =
                    if same_chunk { None } else { self.differing_field(line, before.content.as_ref()) };
                let verdict = match differs {
                    None => Verdict::AlreadyAccepted { entry },
                    Some(field) => {
                        let reason = LineRefusal::Rule(Code::LineConflict);
                        Verdict::Refused { reason, field, entry: Some(entry) }
                    }
                };
                verdicts.push(LineVerdict { verdict, amount: before.line.amount });
                continue;
            }
            let line_entry = Entry {
                fx: &mut *fx,
                stamp,
                actor: Actor { line: Some(number), instruction: None, ..actor },
            };
            match self.decide_line(line_entry, line, &context)? {
                Ok((entry, moved)) => {
                    news = true;
                    totals.accepted_lines += 1;
                    totals.accepted_total += moved;
                    verdicts.push(LineVerdict { verdict: Verdict::Accepted { entry }, amount: moved });
                }
                Err(verdict) => {
                    news |= prior.is_none_or(|prior| prior.line.amount != amount);
                    verdicts.push(LineVerdict { verdict, amount });
                }
            }
        }
        if !news {
            return Ok(ChunkOutcome { verdicts, entry: None, leaf_hash: None, state: batch.state, totals });
        }
        let seq = self.record_chunk(Entry { fx, stamp, actor }, chunk, &verdicts, totals)?;
        Ok(ChunkOutcome { verdicts, entry: Some(seq), leaf_hash: None, state: batch.state, totals })
    }

    fn record_chunk(
        &mut self,
        entry: Entry<'_>,
        chunk: &Chunk,
        verdicts: &[LineVerdict],
        totals: BatchTotals,
    ) -> Ruling<u64> {
        let mut stored = Vec::with_capacity(verdicts.len() * super::batch::VERDICT_BYTES);
        for line in verdicts {
            // A line that was accepted stays accepted, whatever was sent under its number later.
            let verdict = match line.verdict {
                Verdict::Refused {
                    reason: LineRefusal::Rule(Code::LineConflict),
                    entry: Some(entry),
                    ..
                } => Verdict::Accepted { entry },
                verdict => verdict,
            };
            LineVerdict { verdict, ..*line }.store(&mut stored);
        }
        let Entry { fx, stamp, actor } = entry;
        let lines = u32::try_from(chunk.lines.len()).expect("a chunk has at most 8,192 lines");
        let (batch, first_line) = (chunk.batch, chunk.first_line);
        let digest = Sha256::digest(&stored).into();
        let seq = self.write(
            fx,
            Record::ChunkReceived { batch, first_line, lines, verdicts: digest, totals },
            actor,
        );
        let head = self.batches.get_mut(&batch).ok_or(Fault::Unread("a batch"))?;
        head.version += 1;
        head.totals = totals;
        head.received.insert(first_line, lines.into());
        fx.batch_entries.push(BatchEntry {
            batch: head.number,
            version: head.version,
            seq,
            at: stamp.at,
            kind: BatchEntryKind::Chunk,
            first_line,
            lines,
            digest: chunk.digest.to_vec(),
            verdicts: stored,
            state: head.state,
            totals,
        });
        Ok(seq)
    }

    /// Decides one line: the entry and what it moved, or the verdict that refuses it.
    fn decide_line(
        &mut self,
        entry: Entry<'_>,
        line: &ChunkLine,
        context: &Context<'_>,
    ) -> Ruling<Result<(u64, i64), Verdict>> {
        let read = match &line.parsed.line {
            Ok(read) => read,
            Err(fault) => {
                let reason = LineRefusal::Fault(fault.code);
                return Ok(Err(Verdict::Refused { reason, field: fault.field, entry: None }));
            }
        };
        let wallet = line.wallet.ok_or(Fault::Unread("the wallet of a line"))?;
        let declared = |programme, period| {
            if !context.programmes.contains(programme) {
                return Err(Refusal::of(Code::ProgrammeNotDeclared, "programme"));
            }
            if !context.periods.contains(period) {
                return Err(Refusal::of(Code::PeriodNotDeclared, "period"));
            }
            Ok(())
        };
        let batch = Some(context.chunk.batch);
        let ruling = match read {
            Line::Accrual(line) => {
                declared(&line.programme, &line.period).map_err(Fault::from).and_then(|()| {
                    let accrual = Accrual {
                        wallet,
                        programme: line.programme,
                        period: line.period,
                        part: line.part,
                        amount: line.amount,
                    };
                    let person = || context.people.person(&line.iin, wallet);
                    let payer = Some(context.declaration.payer);
                    self.accrue(entry, &accrual, payer, batch, Some(&person))
                        .map(|seq| (seq, line.amount.tiyn()))
                })
            }
            Line::Reversal(line) => {
                declared(&line.programme, &line.period).map_err(Fault::from).and_then(|()| {
                    let reversal = Reversal {
                        wallet,
                        programme: line.programme,
                        period: line.period,
                        part: line.part,
                        reason: line.reason.clone(),
                    };
                    let Entry { fx, stamp, actor } = entry;
                    let place = Entry { fx: &mut *fx, stamp, actor };
                    let seq = self.reverse(place, &reversal, Some(context.declaration.payer), batch)?;
                    Ok((seq, fx.entries.last().map_or(0, |row| -row.amount)))
                })
            }
            Line::Opening(line) => {
                let person = context.people.person(&line.iin, wallet);
                self.open_wallet(entry, wallet, person).map(|seq| (seq, 0))
            }
        };
        match ruling {
            Ok(accepted) => Ok(Ok(accepted)),
            Err(Fault::Refused(refusal)) => Ok(Err(Verdict::Refused {
                reason: LineRefusal::Rule(refusal.code),
                field: refusal.field.and_then(Field::from_name).unwrap_or(Field::None),
                entry: refusal.entry,
            })),
            Err(fault) => Err(fault),
        }
    }

    /// A batch by id.
    pub fn batch(&self, id: BatchId) -> Ruling<&Batch> {
        self.batches.get(&id).ok_or_else(|| Refusal::of(Code::BatchUnknown, "batch").into())
    }

    /// A batch that takes lines from this client.
    fn open_for(&self, id: BatchId, client: ClientId) -> Ruling<&Batch> {
        let batch = self.batch(id)?;
        if batch.client != client {
            return Err(Refusal::of(Code::BatchNotYours, "client").into());
        }
        match batch.state {
            BatchState::Open | BatchState::Incomplete => Ok(batch),
            BatchState::AwaitingRelease => Err(Refusal::of(Code::BatchNotReleased, "batch").into()),
            BatchState::Completed | BatchState::Cancelled => {
                Err(Refusal::of(Code::BatchClosed, "batch").into())
            }
        }
    }

    fn end_step(&mut self, entry: Entry<'_>, id: BatchId, seq: u64, kind: BatchEntryKind, state: BatchState) {
        let batch = self.batches.get_mut(&id).expect("the caller has found the batch");
        batch.version += 1;
        batch.state = state;
        entry.fx.batch_entries.push(BatchEntry {
            batch: batch.number,
            version: batch.version,
            seq,
            at: entry.stamp.at,
            kind,
            first_line: 0,
            lines: 0,
            digest: Vec::new(),
            verdicts: Vec::new(),
            state,
            totals: batch.totals,
        });
    }
}

impl Books {
    /// The field in which a line differs from the entry that its number made. The wallet is the same if the line's number leads, or
    /// has led, to it.
    fn differing_field(
        &mut self,
        line: &ChunkLine,
        content: Option<&serde_json::Map<String, serde_json::Value>>,
    ) -> Option<Field> {
        let named = content.and_then(|content| content.get("wallet")).and_then(|wallet| wallet.as_str());
        let is_same = match (line.wallet, named) {
            (Some(wallet), Some(named)) => self.has_led(wallet, named),
            _ => false,
        };
        differing_field(line, content, is_same)
    }
}

/// The first field in which a line differs from the entry that its number made. A line that cannot be read differs in the
/// field that cannot be read.
fn differing_field(
    line: &ChunkLine,
    content: Option<&serde_json::Map<String, serde_json::Value>>,
    same_wallet: bool,
) -> Option<Field> {
    let read = match &line.parsed.line {
        Ok(read) => read,
        Err(fault) => return Some(fault.field),
    };
    let Some(content) = content else { return Some(Field::Line) };
    let is = |name: &str, value: &str| content.get(name).and_then(|member| member.as_str()) == Some(value);
    if !same_wallet {
        return Some(Field::Iin);
    }
    let key = |programme: String, period: String, part: u16| {
        if !is("programme", &programme) {
            Some(Field::Programme)
        } else if !is("period", &period) {
            Some(Field::Period)
        } else if content.get("part").and_then(serde_json::Value::as_u64) != Some(part.into()) {
            Some(Field::Part)
        } else {
            None
        }
    };
    match read {
        Line::Accrual(line) => {
            let amount = content.get("postings").and_then(|postings| postings[0]["amount"].as_str());
            key(line.programme.to_string(), line.period.to_string(), line.part.get())
                .or_else(|| (amount != Some(&line.amount.to_string())).then_some(Field::Amount))
        }
        Line::Reversal(line) => key(line.programme.to_string(), line.period.to_string(), line.part.get())
            .or_else(|| (!is("reason", line.reason.as_str())).then_some(Field::Reason)),
        Line::Opening(_) => None,
    }
}
