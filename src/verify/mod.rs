//! The offline verifier: an auditor's answer to "was anything added, removed, changed or reordered, and does every balance
//! follow", from the log's files and a public key alone.
//!
//! | step | what is held | module |
//! |---|---|---|
//! | 1 | the checkpoint is of the log of the key | [`trust`] |
//! | 2 | every entry hashes to its place in the hash tiles, every tile to the next, all to the checkpoint's root | [`log`] |
//! | 3 | the tree once was the one of every earlier checkpoint that the auditor kept | [`log`] |
//! | 4 | every entry is canonical, and is what the ledger's rules make after the entries before it | [`log`] |
//! | 5 | the keys that signed are those that the log names, each vouched for by the one before | [`trust`] |
//! | 6 | what orders took, they took of general lots | [`orders`] |
//! | 7 | what the wallets, the treasury's funding and the banks are owed is what stands behind it | [`totals`] |
//!
//! The first thing that does not fit ends the work: what follows it rests on nothing. It may use the log's files, an HTTP
//! client, `log` and `ledger`; it knows of no store. Memory is proportional to wallets and lots (see
//! [`crate::ledger::books`]); bitmaps of paid benefits go to temporary files beyond a bound.

mod log;
mod orders;
mod receipt;
mod shelf;
pub mod source;
mod totals;
mod trust;

use std::fmt;
use std::io;

use crate::domain::Day;
use crate::log::checkpoint::{Checkpoint, Policy};

pub use log::verify;
pub use orders::OrderTotals;
pub use receipt::{ReceiptReport, verify_receipt};
pub use totals::{ProgrammeTotals, Totals};
pub use trust::{Declared, Rotated};

/// Bytes of benefits' bitmaps that are kept in memory unless told otherwise.
pub const BITMAP_BYTES_MAX: u64 = 256 << 20;

/// What the auditor brings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keys of the log that are trusted, and the witnesses wanted.
    pub policy: Policy,
    /// Signed checkpoints that were kept from earlier, each with the name under which a finding speaks of it.
    pub earlier: Vec<(String, Vec<u8>)>,
    /// Bytes of bitmaps that stay in memory.
    pub bitmap_bytes_max: u64,
    /// The business days whose orders are summed up, both inclusive; all, if none is named.
    pub days: Option<(Day, Day)>,
}

/// What does not fit, as precisely as it can be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The entry at fault, if it is one entry's.
    pub entry: Option<u64>,
    /// Where: a file of the log, an earlier checkpoint, or `journal`.
    pub place: String,
    /// What it would have to be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Finding {
    fn at(place: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { entry: None, place: place.into(), expected: expected.into(), found: found.into() }
    }

    fn of_entry(self, entry: u64) -> Self {
        Self { entry: Some(entry), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry} ({}): ", self.place)?;
        } else {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "expected {}; found {}", self.expected, self.found)
    }
}

/// What was verified, and what does not fit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// The checkpoint, once it was read.
    pub checkpoint: Option<Checkpoint>,
    /// The keys that signed it and are trusted, witnesses included: name and id.
    pub signed_by: Vec<String>,
    /// Earlier checkpoints that the tree was held against: name and size.
    pub earlier: Vec<(String, u64)>,
    /// Entries replayed.
    pub entries: u64,
    /// Entries by kind, in the order in which the kinds first came.
    pub kinds: Vec<(&'static str, u64)>,
    /// Bytes of the entries.
    pub bytes: u64,
    /// Wallets opened.
    pub wallets: u32,
    /// Lots credited, and how many of them have moved.
    pub lots: (usize, usize),
    /// How often a bitmap of paid benefits went to a temporary file.
    pub bitmaps_put_away: u64,
    /// Changes of the log's key.
    pub rotations: Vec<Rotated>,
    /// Histories that were declared lost.
    pub declared: Vec<Declared>,
    /// What became of the orders.
    pub orders: OrderTotals,
    /// Sums by programme and in all, once everything was replayed.
    pub totals: Option<Totals>,
    /// What does not fit; `None`: everything does.
    pub finding: Option<Finding>,
}

impl Report {
    /// Whether everything fits.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.finding.is_none()
    }
}

/// Why nothing can be said: the log could not be read, or the verifier could not keep its files.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log's source failed.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// A temporary file failed.
    #[error("a temporary file of the verifier: {0}")]
    Shelf(#[from] io::Error),
}

/// How verifying ends early.
enum Stop {
    Found(Box<Finding>),
    Failed(VerifyError),
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Found(Box::new(finding))
    }
}

impl From<source::SourceError> for Stop {
    fn from(error: source::SourceError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}
