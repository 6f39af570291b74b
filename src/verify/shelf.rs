//! Bitmaps of paid benefits that do not fit into memory: the least recently used are files, sorted as bitmaps are.
//!
//! A benefit that is on the shelf is unknown to the rules, not unpaid: forgetting to bring it back stops the replay.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::PathBuf;

use roaring::RoaringBitmap;

use crate::domain::WalletId;
use crate::ledger::books::Books;
use crate::ledger::person::PersonRecord;
use crate::ledger::record::Record;
use crate::ledger::registry::{Change, Proposal};
use crate::ledger::wallet::Benefit;

/// Entries after which the bitmaps in memory are measured again, at most.
const MEASURE_EVERY_MAX: u64 = 65_536;

/// A bitmap grows by at most so much for an entry: two bytes in a list of its own, and its head.
const GROWTH_MAX: u64 = 16;

/// The wallet whose benefits the rules will ask for: one that is merged, or of which operators agree that it is.
fn merged_by(books: &Books, record: &Record) -> Option<WalletId> {
    let proposal = match record {
        Record::Person(record) => match &**record {
            PersonRecord::WalletsMerged { merged, .. } => return Some(*merged),
            PersonRecord::NumberAdded { .. } => return None,
        },
        Record::Registry(change) => match &**change {
            Change::ApprovalRequested { proposal, .. } => proposal,
            Change::ApprovalGiven { approval, .. } => &books.registry().approval(*approval)?.proposal,
            _ => return None,
        },
        _ => return None,
    };
    match proposal {
        Proposal::MergeWallets { merged, .. } => Some(*merged),
        _ => None,
    }
}

/// The files, and when each benefit was used last.
pub struct Shelf {
    bytes_max: u64,
    directory: Option<tempfile::TempDir>,
    used: HashMap<Benefit, u64>,
    /// The benefit of the entry before: a payday pays one to many.
    last: Option<Benefit>,
    clock: u64,
    until_measured: u64,
    /// How often a bitmap was put away.
    pub put_away: u64,
}

impl Shelf {
    /// Keeps bitmaps of so many bytes in memory.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            directory: None,
            used: HashMap::new(),
            last: None,
            clock: 0,
            until_measured: 0,
            put_away: 0,
        }
    }

    /// Brings back what the next record will ask for, and puts away what there is no room for.
    pub fn make_ready(&mut self, books: &mut Books, record: &Record) -> io::Result<()> {
        if let Some(merged) = merged_by(books, record) {
            return self.bring_back(books, merged);
        }
        let Record::Accrued { .. } = record else { return Ok(()) };
        let benefit = books.benefit_of(record);
        if self.until_measured == 0 {
            self.put_away(books, benefit)?;
            self.until_measured = (self.bytes_max / GROWTH_MAX).clamp(1, MEASURE_EVERY_MAX);
        }
        self.until_measured -= 1;
        if benefit == self.last {
            return Ok(());
        }
        self.last = benefit;
        let Some(benefit) = benefit else { return Ok(()) };
        self.clock += 1;
        self.used.insert(benefit, self.clock);
        self.unshelve(books, benefit)
    }

    /// Brings back what the merging of a wallet will ask for.
    fn bring_back(&mut self, books: &mut Books, merged: WalletId) -> io::Result<()> {
        for benefit in books.benefits_of_wallet(merged) {
            self.unshelve(books, benefit)?;
        }
        Ok(())
    }

    fn unshelve(&mut self, books: &mut Books, benefit: Benefit) -> io::Result<()> {
        if books.is_shelved(&benefit) {
            let accounts = RoaringBitmap::deserialize_from(BufReader::new(File::open(self.path(benefit)?)?))?;
            books.unshelve(benefit, accounts);
        }
        Ok(())
    }

    /// Puts the least recently used away until the rest fits; never the one that is wanted now.
    fn put_away(&mut self, books: &mut Books, wanted: Option<Benefit>) -> io::Result<()> {
        let mut sizes: Vec<(u64, Benefit, u64)> = books
            .benefits
            .iter()
            .map(|(benefit, accounts)| {
                let used = self.used.get(benefit).copied().unwrap_or(0);
                (used, *benefit, accounts.serialized_size() as u64)
            })
            .collect();
        let mut bytes: u64 = sizes.iter().map(|(_, _, size)| size).sum();
        sizes.sort_unstable();
        for (_, benefit, size) in sizes {
            if bytes <= self.bytes_max {
                break;
            }
            if Some(benefit) == wanted {
                continue;
            }
            let path = self.path(benefit)?;
            if let Some(accounts) = books.shelve(benefit) {
                let mut file = BufWriter::new(File::create(path)?);
                accounts.serialize_into(&mut file)?;
                file.flush()?;
                self.put_away += 1;
            }
            bytes -= size;
        }
        // What was wanted last may be on the shelf now.
        self.last = None;
        Ok(())
    }

    fn path(&mut self, benefit: Benefit) -> io::Result<PathBuf> {
        if self.directory.is_none() {
            self.directory = Some(tempfile::Builder::new().prefix("social-wallet-verify-").tempdir()?);
        }
        let directory = self.directory.as_ref().map_or_else(|| ".".as_ref(), tempfile::TempDir::path);
        let Benefit { programme, period, part } = benefit;
        Ok(directory.join(format!("{programme}-{}-{part}", period.code())))
    }
}
