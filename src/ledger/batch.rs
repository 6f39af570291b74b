//! Batches: what was declared, what has been received, and the verdict on every line.
//!
//! The identity of a line is (batch, line number). A batch's rows are append-only like a wallet's: each chunk, release,
//! closing or cancelling is an entry that carries the totals after it, so the newest is the batch's state.

use std::collections::BTreeMap;

use crate::domain::ClientId;
use crate::payroll::{Field, LineFaultCode};

use super::record::{BatchDeclaration, BatchTotals};
use super::refusal::RefusalCode;

/// Where a batch stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchState {
    /// Opened; waits for a second person.
    AwaitingRelease,
    /// Takes lines.
    Open,
    /// Was closed with other sums than declared; takes lines until completed or cancelled.
    Incomplete,
    /// All declared lines and the declared total were received.
    Completed,
    /// Takes no more; what was accepted stays.
    Cancelled,
}

impl BatchState {
    /// The stored code.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::AwaitingRelease => 1,
            Self::Open => 2,
            Self::Incomplete => 3,
            Self::Completed => 4,
            Self::Cancelled => 5,
        }
    }

    /// Reads the stored code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            1 => Self::AwaitingRelease,
            2 => Self::Open,
            3 => Self::Incomplete,
            4 => Self::Completed,
            5 => Self::Cancelled,
            _ => return None,
        })
    }

    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AwaitingRelease => "awaiting_release",
            Self::Open => "open",
            Self::Incomplete => "incomplete",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A set of line numbers, kept as ranges: a file of any size sent in chunks is a handful of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineSet {
    /// First line → one past the last, disjoint and not touching.
    ranges: BTreeMap<u64, u64>,
    count: u64,
}

impl LineSet {
    /// How many lines are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether a line is in the set.
    #[must_use]
    pub fn contains(&self, line: u64) -> bool {
        self.ranges.range(..=line).next_back().is_some_and(|(_, end)| line < *end)
    }

    /// Whether any line of `first .. first + lines` is in the set.
    #[must_use]
    pub fn overlaps(&self, first: u64, lines: u64) -> bool {
        lines > 0 && self.ranges.range(..first + lines).next_back().is_some_and(|(_, end)| *end > first)
    }

    /// Adds `first .. first + lines`.
    pub fn insert(&mut self, first: u64, lines: u64) {
        if lines == 0 {
            return;
        }
        let (mut start, mut end) = (first, first + lines);
        while let Some((&low, &high)) =
            self.ranges.range(..=end).next_back().filter(|(_, high)| **high >= start)
        {
            self.ranges.remove(&low);
            self.count -= high - low;
            start = start.min(low);
            end = end.max(high);
        }
        self.ranges.insert(start, end);
        self.count += end - start;
    }

    /// The ranges missing of `1 ..= lines`, as (first, last), at most `limit` of them.
    #[must_use]
    pub fn missing(&self, lines: u64, limit: usize) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut next = 1;
        for (&low, &high) in &self.ranges {
            if low > next {
                missing.push((next, low - 1));
            }
            next = high;
            if missing.len() == limit {
                return missing;
            }
        }
        if next <= lines {
            missing.push((next, lines));
        }
        missing
    }
}

/// A batch: its declaration and its head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The internal number.
    pub number: u32,
    /// The client that opened it.
    pub client: ClientId,
    /// What it declared.
    pub declaration: BatchDeclaration,
    /// Where it stands.
    pub state: BatchState,
    /// The version of its newest entry; 0 before the first.
    pub version: u32,
    /// The sums so far.
    pub totals: BatchTotals,
    /// Which lines have been received.
    pub received: LineSet,
}

/// What an entry of a batch tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchEntryKind {
    /// A second person released it.
    Released,
    /// A chunk was received.
    Chunk,
    /// It was closed.
    Closed,
    /// It was cancelled.
    Cancelled,
}

impl BatchEntryKind {
    /// The stored code.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Released => 1,
            Self::Chunk => 2,
            Self::Closed => 3,
            Self::Cancelled => 4,
        }
    }
}

/// One row of a batch, with its head after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchEntry {
    /// The batch's internal number.
    pub batch: u32,
    /// 1, 2, 3 … within the batch.
    pub version: u32,
    /// The journal entry.
    pub seq: u64,
    /// Commit time, UTC milliseconds.
    pub at: i64,
    /// What happened.
    pub kind: BatchEntryKind,
    /// The chunk's first line; 0 for other kinds.
    pub first_line: u64,
    /// The chunk's lines; 0 for other kinds.
    pub lines: u32,
    /// SHA-256 of the chunk's bytes; empty for other kinds.
    pub digest: Vec<u8>,
    /// The chunk's verdicts in their stored form; empty for other kinds.
    pub verdicts: Vec<u8>,
    /// The state after it.
    pub state: BatchState,
    /// The sums after it.
    pub totals: BatchTotals,
}

/// Why a line was refused: its own fault, or a rule of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineRefusal {
    /// The line could not be read.
    Fault(LineFaultCode),
    /// A rule refused it.
    Rule(RefusalCode),
}

impl LineRefusal {
    /// The code as the API gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.code(),
            Self::Rule(code) => code.name(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.advice(),
            Self::Rule(code) => code.advice(),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Fault(fault) => fault as u8,
            Self::Rule(code) => code.number(),
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        LineFaultCode::from_u8(number)
            .map(Self::Fault)
            .or_else(|| RefusalCode::from_number(number).map(Self::Rule))
    }
}

/// The verdict on one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The line made this entry, now.
    Accepted {
        /// The journal entry.
        entry: u64,
    },
    /// The same line with the same content made this entry before.
    AlreadyAccepted {
        /// The journal entry.
        entry: u64,
    },
    /// The line moved nothing and binds nothing: sent again, it is decided again.
    Refused {
        /// Why.
        reason: LineRefusal,
        /// The field at fault.
        field: Field,
        /// The entry that stands in the way, if any.
        entry: Option<u64>,
    },
}

/// A verdict with the line's readable amount (tiyn; 0 if it has none), as a chunk stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The amount that counts to the received total; for an accepted line, what it moved.
    pub amount: i64,
}

/// Bytes of one stored verdict.
pub const VERDICT_BYTES: usize = 20;

impl LineVerdict {
    /// Appends the stored form: status (1 accepted, 2 refused), code, field, 0, entry (u64, little-endian; 0 for none),
    /// amount (i64, little-endian). An already accepted line is stored as accepted.
    pub fn store(&self, out: &mut Vec<u8>) {
        let (status, code, field, entry) = match self.verdict {
            Verdict::Accepted { entry } | Verdict::AlreadyAccepted { entry } => (1, 0, 0, entry),
            Verdict::Refused { reason, field, entry } => {
                (2, reason.number(), field as u8, entry.unwrap_or(0))
            }
        };
        out.extend_from_slice(&[status, code, field, 0]);
        out.extend_from_slice(&entry.to_le_bytes());
        out.extend_from_slice(&self.amount.to_le_bytes());
    }

    /// Reads a stored verdict; `None` if the bytes are not one.
    #[must_use]
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; VERDICT_BYTES] = bytes.try_into().ok()?;
        let entry = u64::from_le_bytes(bytes[4..12].try_into().ok()?);
        let amount = i64::from_le_bytes(bytes[12..20].try_into().ok()?);
        let verdict = match bytes[0] {
            1 => Verdict::Accepted { entry },
            2 => Verdict::Refused {
                reason: LineRefusal::from_number(bytes[1])?,
                field: Field::from_u8(bytes[2])?,
                entry: (entry != 0).then_some(entry),
            },
            _ => return None,
        };
        Some(Self { verdict, amount })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_set_is_the_set_of_its_lines(ranges in prop::collection::vec((1u64..60, 0u64..12), 0..20)) {
            let mut set = LineSet::default();
            let mut model = std::collections::BTreeSet::new();
            for (first, lines) in ranges {
                prop_assert_eq!(set.overlaps(first, lines), (first..first + lines).any(|line| model.contains(&line)));
                set.insert(first, lines);
                model.extend(first..first + lines);
            }
            prop_assert_eq!(set.count(), model.len() as u64);
            for line in 0..80 {
                prop_assert_eq!(set.contains(line), model.contains(&line));
            }
            let all = set.missing(75, usize::MAX);
            for limit in 1..all.len() + 2 {
                prop_assert_eq!(set.missing(75, limit), all.iter().copied().take(limit).collect::<Vec<_>>());
            }
            let missing: Vec<u64> = set.missing(75, usize::MAX).into_iter().flat_map(|(a, b)| a..=b).collect();
            prop_assert_eq!(missing, (1..=75).filter(|line| !model.contains(line)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_verdict_is_stored_in_twenty_bytes_and_read_back() {
        let verdicts = [
            Verdict::Accepted { entry: 7 },
            Verdict::Refused {
                reason: LineRefusal::Rule(RefusalCode::BenefitAlreadyPaid),
                field: Field::Amount,
                entry: Some(9),
            },
            Verdict::Refused {
                reason: LineRefusal::Fault(LineFaultCode::AmountZero),
                field: Field::Amount,
                entry: None,
            },
        ];
        for verdict in verdicts {
            let line = LineVerdict { verdict, amount: 12_345 };
            let mut bytes = Vec::new();
            line.store(&mut bytes);
            assert_eq!(bytes.len(), VERDICT_BYTES);
            assert_eq!(LineVerdict::load(&bytes), Some(line));
        }
        assert_eq!(LineVerdict::load(&[0; VERDICT_BYTES]), None);
        assert_eq!(LineVerdict::load(&[2, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
