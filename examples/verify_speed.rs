//! How fast a log is verified, and in how much memory: writes the log of a book with some wallets and two paydays (the first
//! opens the wallets, the second pays them in another order) into a temporary directory, then verifies it on one thread.
//!
//! `cargo run --release --example verify_speed -- [WALLETS] [LOTS FOR EACH]`

use std::fs;
use std::path::Path;
use std::time::Instant;

use social_wallet::domain::time::Stamp;
use social_wallet::domain::{
    Amount, BankReference, BatchId, Bin, BookId, ClientId, FundClass, LegalBasis, Money, Names, Part, Period,
    ProgrammeCode, Text, WalletId,
};
use social_wallet::ledger::books::Books;
use social_wallet::ledger::effects::Effects;
use social_wallet::ledger::record::{Actor, BatchDeclaration, BatchTotals, ProgrammeSpec, Record};
use social_wallet::ledger::rules::{Accrual, Entry, Person};
use social_wallet::log::checkpoint::{Checkpoint, Policy};
use social_wallet::log::leaf::LeafWriter;
use social_wallet::log::merkle::leaf_hash;
use social_wallet::log::note::SigningKey;
use social_wallet::log::origin::{key_name, origin};
use social_wallet::log::tile::{RightEdge, TileId, entries_path, tile_path, write_bundle_entry};
use social_wallet::payroll::LineKind;
use social_wallet::verify::source::Directory;
use social_wallet::verify::{BITMAP_BYTES_MAX, Options, verify};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let wallets = arguments.next().transpose()?.unwrap_or(1_000_000);
    let lots = arguments.next().transpose()?.unwrap_or(2);
    let directory = tempfile::tempdir()?;
    let book = BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")?;
    let key = SigningKey::generate(&key_name(book))?;
    let began = Instant::now();
    let size = Maker::new(book, directory.path()).make(wallets, lots, &key)?;
    eprintln!("wrote {size} entries in {:.1} s", began.elapsed().as_secs_f64());

    let options = Options {
        days: None,
        policy: Policy::of_log(key.verifier_key().clone()),
        earlier: Vec::new(),
        bitmap_bytes_max: BITMAP_BYTES_MAX,
    };
    let before = resident();
    let first_payday = u64::from(wallets) * 2;
    let began = Instant::now();
    let mut marks = vec![(0, 0.0, processor_seconds())];
    let report = verify(&mut Directory(directory.path().into()), &options, |done, _| {
        let last = marks[marks.len() - 1].0;
        if (last < first_payday) != (done < first_payday) || done == size {
            marks.push((done, began.elapsed().as_secs_f64(), processor_seconds()));
        }
    })?;
    assert!(report.matches(), "{:?}", report.finding);
    for pair in marks.windows(2) {
        let [(from, start, busy), (to, end, still_busy)] = pair else { continue };
        #[allow(clippy::cast_precision_loss)] // counts of entries are far below 2^52
        let entries = (to - from) as f64;
        let (took, worked) = (end - start, still_busy - busy);
        println!(
            "entries {from} to {to}: {took:.2} s, {:.0}/s; {worked:.2} s of the processor, {:.0}/s",
            entries / took,
            entries / worked
        );
    }
    println!("{} bytes of entries, {} wallets, {} lots", report.bytes, report.wallets, report.lots.0);
    println!("resident before {before}, at most {}", peak());
    Ok(())
}

/// Seconds that this thread has had a processor: what it would take on a machine that does nothing else.
fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn status(line: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = text.lines().find_map(|text| text.strip_prefix(line));
    found.map_or_else(|| "unknown".into(), |rest| rest.trim().to_owned())
}

fn resident() -> String {
    status("VmRSS:")
}

fn peak() -> String {
    status("VmHWM:")
}

/// Decides, writes and hashes entries, as the service does, and keeps nothing but the log's files.
struct Maker<'a> {
    directory: &'a Path,
    books: Books,
    effects: Effects,
    leaves: LeafWriter,
    edge: RightEdge,
    bundle: Vec<u8>,
    book: BookId,
}

fn stamp(month: u8) -> Result<Stamp, Failed> {
    Stamp::of(1_795_294_280_123 + i64::from(month) * 2_592_000_000).ok_or_else(|| "a moment".into())
}

fn code() -> Result<ProgrammeCode, Failed> {
    Ok(ProgrammeCode::parse(b"ASP")?)
}

impl<'a> Maker<'a> {
    fn new(book: BookId, directory: &'a Path) -> Self {
        Self {
            directory,
            books: Books::whole(),
            effects: Effects::default(),
            leaves: LeafWriter::new(book, &[3; 32]),
            edge: RightEdge::empty(),
            bundle: Vec::new(),
            book,
        }
    }

    fn file(&self, path: &str, bytes: &[u8]) -> Result<(), Failed> {
        let path = self.directory.join(path);
        fs::create_dir_all(path.parent().ok_or("a path below the directory")?)?;
        Ok(fs::write(path, bytes)?)
    }

    /// Seals what was decided since the last time.
    fn seal(&mut self) -> Result<(), Failed> {
        let mut leaf = Vec::with_capacity(1_024);
        for (record, actor) in std::mem::take(&mut self.effects.records) {
            leaf.clear();
            let seq = self.edge.size();
            self.leaves.write(&mut leaf, seq, &record, &actor);
            write_bundle_entry(&mut self.bundle, &leaf)?;
            for tile in self.edge.append([leaf_hash(&leaf)]) {
                self.file(&tile_path(tile.id, None), tile.hashes.as_slice())?;
            }
            if (seq + 1).is_multiple_of(256) {
                let bundle = std::mem::take(&mut self.bundle);
                self.file(&entries_path(seq / 256, None), &bundle)?;
            }
        }
        self.effects.clear();
        Ok(())
    }

    fn make(mut self, wallets: u32, lots: u32, key: &SigningKey) -> Result<u64, Failed> {
        let client = ClientId::parse("ministry")?;
        let actor = Actor { client, request: [7; 32], line: None, instruction: None };
        let payer = Bin::parse(b"940140000385")?;
        let name = Text::parse("ASP")?;
        let spec = ProgrammeSpec {
            code: code()?,
            names: Names { kk: name.clone(), ru: name.clone(), en: name },
            payer,
            legal_basis: LegalBasis::parse("Social Code")?,
            class: FundClass::Protected,
            knp: None,
            kbe: None,
            iso_purpose: None,
        };
        self.leaves.stamp(stamp(0)?);
        let refused = |fault| format!("{fault:?}");
        let entry = Entry { fx: &mut self.effects, stamp: stamp(0)?, actor };
        self.books.open_book(Entry { fx: &mut *entry.fx, ..entry });
        self.books.register_programme(Entry { fx: &mut *entry.fx, ..entry }, spec).map_err(refused)?;
        for number in 0..=lots {
            let reference = BankReference::parse(&format!("MF-{number}"))?;
            self.books
                .fund(Entry { fx: &mut *entry.fx, ..entry }, code()?, Amount::MAX, reference)
                .map_err(refused)?;
        }
        for month in 1..=lots {
            self.payday(wallets, u8::try_from(month)?, payer, actor)?;
        }
        self.seal()?;
        let size = self.edge.size();
        let width = |count: u64| u8::try_from(count % 256).ok().and_then(std::num::NonZeroU8::new);
        if let Some(partial) = width(size) {
            self.file(&entries_path(size / 256, Some(partial)), &self.bundle)?;
        }
        for level in 0..4 {
            let hashes = self.edge.partial_tile(level);
            if !hashes.is_empty() {
                let index = size >> (8 * u32::from(level)) >> 8;
                let path = tile_path(TileId { level, index }, width(hashes.len() as u64));
                self.file(&path, hashes.as_flattened())?;
            }
        }
        let checkpoint =
            Checkpoint { origin: origin(self.book, 1), size, root: self.edge.root(), extensions: Vec::new() };
        self.file("checkpoint", checkpoint.sign(key)?.to_string().as_bytes())?;
        Ok(size)
    }

    fn payday(&mut self, wallets: u32, month: u8, payer: Bin, actor: Actor) -> Result<(), Failed> {
        let refused = |fault| format!("{fault:?}");
        let stamp = stamp(month)?;
        self.leaves.stamp(stamp);
        let (batch, amount) =
            (BatchId::from_uuid(uuid::Uuid::from_u128(month.into())), Amount::parse(b"78798.00")?);
        let period = Period::month(2026, month).ok_or("a month")?;
        let declaration = BatchDeclaration {
            batch,
            kind: LineKind::Accrual,
            payer,
            programmes: vec![code()?],
            periods: vec![period],
            lines: wallets.into(),
            total: Money::from_tiyn(amount.tiyn() * i64::from(wallets)).ok_or("a total")?,
            not_before: None,
            release_required: false,
        };
        self.books.open_batch(Entry { fx: &mut self.effects, stamp, actor }, declaration).map_err(refused)?;
        let mut done = 0;
        while done < wallets {
            let until = wallets.min(done + 8_192);
            let chunk = Actor { request: [u8::try_from(done / 8_192 % 251)?; 32], ..actor };
            for line in done..until {
                // Another order every month, as a payer's file is not sorted by our numbers.
                let factor = [1, 500_009, 750_019, 250_007][usize::from(month) % 4];
                let person = u32::try_from((u64::from(line) * factor) % u64::from(wallets))?;
                let mix = u128::from(person + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
                let accrual = Accrual {
                    wallet: WalletId::from_uuid(
                        uuid::Builder::from_custom_bytes(mix.to_be_bytes()).into_uuid(),
                    ),
                    programme: code()?,
                    period,
                    part: Part::FIRST,
                    amount,
                };
                let mut tag = [0; 32];
                tag[..16].copy_from_slice(&mix.to_be_bytes());
                let open = || Person { tag, sealed_iin: Vec::new() };
                let actor = Actor { line: Some(u64::from(line) + 1), ..chunk };
                let entry = Entry { fx: &mut self.effects, stamp, actor };
                self.books.accrue(entry, &accrual, Some(payer), Some(batch), Some(&open)).map_err(refused)?;
            }
            let received = u64::from(until);
            let total = amount.tiyn() * i64::from(until);
            let totals = BatchTotals {
                received_lines: received,
                received_total: total,
                accepted_lines: received,
                accepted_total: total,
            };
            let record = Record::ChunkReceived {
                batch,
                first_line: u64::from(done) + 1,
                lines: until - done,
                verdicts: [0; 32],
                totals,
            };
            self.effects.records.push((record, chunk));
            self.books.size += 1;
            self.seal()?;
            done = until;
        }
        Ok(())
    }
}
