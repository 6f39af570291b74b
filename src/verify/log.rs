//! The walk through the log: bundle by bundle, the hashes first, then what the entries say.

use std::num::NonZeroU8;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::domain::Day;
use crate::ledger::effects::Effects;
use crate::ledger::replay::Replay;
use crate::log::checkpoint::{Checkpoint, Policy};
use crate::log::merkle::{Hash, inclusion_nodes, inclusion_proof, leaf_hash, verify_inclusion};
use crate::log::reader::LeafReader;
use crate::log::tile::{
    BundleEntries, RightEdge, TILE_WIDTH, TileId, Tiles, entries_path, partial_width, tile_path, tiles_of,
};

use super::orders::{OrderTotals, is_asked};
use super::shelf::Shelf;
use super::source::{Source, SourceError};
use super::trust::{CHECKPOINT, Trust, Unproven, read};
use super::{Finding, Options, Report, Stop, VerifyError, totals};

/// Bundles that are read at a time.
const BUNDLES_AT_A_TIME: u64 = 32;

/// Verifies a log. `progress` is told how many entries are done, of how many.
pub fn verify(
    source: &mut dyn Source,
    options: &Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    match walk(source, options, &mut report, &mut progress) {
        Ok(()) => {}
        Err(Stop::Found(finding)) => report.finding = Some(*finding),
        Err(Stop::Failed(error)) => return Err(error),
    }
    Ok(report)
}

fn walk(
    source: &mut dyn Source,
    options: &Options,
    report: &mut Report,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Stop> {
    let policy = &options.policy;
    let newest = file(source, CHECKPOINT)?.ok_or_else(|| nothing(CHECKPOINT))?;
    let newest = read(CHECKPOINT, &newest, policy)?;
    report.checkpoint = Some(newest.checkpoint.clone());
    let earlier = read_earlier(options, &newest)?;

    let mut walk = Walk::new(source, options, &newest, &earlier);
    let walked = walk.through(progress);
    walk.tell(report);
    walked?;

    let trust = &walk.trust;
    let Checkpoint { size, root, origin, .. } = &newest.checkpoint;
    if walk.edge.root() != *root {
        let expected = format!("root {}, to which its {size} entries hash", text(&walk.edge.root()));
        return Err(Finding::at(CHECKPOINT, expected, text(root)).into());
    }
    if trust.origin(*size) != *origin {
        return Err(Finding::at(CHECKPOINT, format!("origin {}", trust.origin(*size)), origin.clone()).into());
    }
    report.signed_by = trust.check(CHECKPOINT, &newest, policy)?;
    let unwitnessed = Policy { witnesses_needed: 0, ..policy.clone() };
    report.earlier = walk.check_earlier(&unwitnessed)?;
    walk.replay.finish().map_err(|error| {
        Finding::at("journal", error.expected, error.found).of_entry(error.seq.saturating_sub(1))
    })?;
    report.totals = Some(totals::of(&walk.replay.books)?);
    Ok(())
}

/// Reads the checkpoints that were kept, the smallest first, and refuses those that are newer than the log's.
fn read_earlier(options: &Options, newest: &Unproven) -> Result<Vec<(String, Unproven)>, Finding> {
    let mut earlier = Vec::new();
    for (name, bytes) in &options.earlier {
        let kept = read(name, bytes, &options.policy)?;
        if kept.book != newest.book {
            let expected = format!("a checkpoint of {}", newest.checkpoint.origin);
            return Err(Finding::at(name, expected, kept.checkpoint.origin));
        }
        let Checkpoint { size, .. } = newest.checkpoint;
        if kept.checkpoint.size > size && kept.checkpoint.origin == newest.checkpoint.origin {
            let expected = format!("at least the {} entries of {name}", kept.checkpoint.size);
            return Err(Finding::at(CHECKPOINT, expected, format!("{size}: entries are gone, or it is old")));
        }
        earlier.push((name.clone(), kept));
    }
    earlier.sort_by_key(|(_, kept)| kept.checkpoint.size);
    Ok(earlier)
}

fn text(hash: &Hash) -> String {
    BASE64.encode(hash)
}

fn nothing(path: &str) -> Finding {
    Finding::at(path, "a file", "nothing")
}

fn file(source: &mut dyn Source, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
    Ok(source.read(&[path.to_owned()])?.pop().flatten())
}

fn width(entries: usize) -> Option<NonZeroU8> {
    u8::try_from(entries % TILE_WIDTH).ok().and_then(NonZeroU8::new)
}

/// What is known on the way.
struct Walk<'a> {
    source: &'a mut dyn Source,
    newest: &'a Checkpoint,
    earlier: &'a [(String, Unproven)],
    /// The tree's root at the size of each of `earlier`, as far as it has grown.
    roots: Vec<Hash>,
    edge: RightEdge,
    reader: LeafReader,
    replay: Replay,
    effects: Effects,
    shelf: Shelf,
    trust: Trust,
    kinds: Vec<(&'static str, u64)>,
    bytes: u64,
    days: Option<(Day, Day)>,
    orders: OrderTotals,
}

/// A bundle of entries and its tile of hashes, with their names.
struct Bundle {
    first: u64,
    count: usize,
    path: String,
    bytes: Vec<u8>,
    tile_path: String,
    tile: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn new(
        source: &'a mut dyn Source,
        options: &Options,
        newest: &'a Unproven,
        earlier: &'a [(String, Unproven)],
    ) -> Self {
        Self {
            source,
            newest: &newest.checkpoint,
            earlier,
            roots: Vec::new(),
            edge: RightEdge::empty(),
            reader: LeafReader::new(newest.book),
            replay: Replay::default(),
            effects: Effects::default(),
            shelf: Shelf::new(options.bitmap_bytes_max),
            trust: Trust::new(newest.book, &options.policy),
            kinds: Vec::new(),
            bytes: 0,
            days: options.days,
            orders: OrderTotals::default(),
        }
    }

    fn tell(&self, report: &mut Report) {
        report.entries = self.replay.books.size;
        report.kinds.clone_from(&self.kinds);
        report.bytes = self.bytes;
        report.orders = self.orders.clone();
        report.wallets = self.replay.books.wallet_count;
        report.lots = self.replay.books.lots_count();
        report.bitmaps_put_away = self.shelf.put_away;
        report.rotations.clone_from(&self.trust.rotations);
        report.declared.clone_from(&self.trust.declared);
    }

    fn through(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Stop> {
        let size = self.newest.size;
        self.pass_earlier()?;
        let bundles = size.div_ceil(TILE_WIDTH as u64);
        let mut next = 0;
        while next < bundles {
            let until = bundles.min(next + BUNDLES_AT_A_TIME);
            for bundle in self.read_bundles(next, until)? {
                self.hashes(&bundle)?;
                self.entries(&bundle)?;
            }
            next = until;
            progress(size.min(next * TILE_WIDTH as u64), size);
        }
        self.partial_tiles()
    }

    /// Reads bundles and their tiles. A partial one may have become full since the checkpoint: then its beginning counts.
    fn read_bundles(&mut self, from: u64, until: u64) -> Result<Vec<Bundle>, Stop> {
        let size = self.newest.size;
        let named: Vec<(u64, usize, String, String)> = (from..until)
            .map(|index| {
                let first = index * TILE_WIDTH as u64;
                let count = usize::try_from(size - first).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
                let id = TileId { level: 0, index };
                (first, count, entries_path(index, width(count)), tile_path(id, width(count)))
            })
            .collect();
        let paths: Vec<String> =
            named.iter().flat_map(|(_, _, entries, tile)| [entries.clone(), tile.clone()]).collect();
        let mut files = self.source.read(&paths)?.into_iter();
        let mut bundles = Vec::with_capacity(named.len());
        for (first, count, path, tile_path) in named {
            let (bytes, tile) = (files.next().flatten(), files.next().flatten());
            let bytes = self.or_full(bytes, &path)?;
            let tile = self.or_full(tile, &tile_path)?;
            bundles.push(Bundle { first, count, path, bytes, tile_path, tile });
        }
        Ok(bundles)
    }

    /// A file that was found, or the full one in the place of a partial one.
    fn or_full(&mut self, found: Option<Vec<u8>>, path: &str) -> Result<Vec<u8>, Stop> {
        if let Some(bytes) = found {
            return Ok(bytes);
        }
        let full = match path.split_once(".p/") {
            Some((full, _)) => file(self.source, full)?,
            None => None,
        };
        full.ok_or_else(|| nothing(path).into())
    }

    /// Holds a bundle's entries against their tile, and the tiles above it that become full, and takes them into the tree.
    fn hashes(&mut self, bundle: &Bundle) -> Result<(), Stop> {
        let mut hashes = Vec::with_capacity(bundle.count);
        let mut broken = None;
        for (entry, leaf) in (bundle.first..).zip(BundleEntries::new(&bundle.bytes)) {
            match leaf {
                Ok(leaf) if hashes.len() < bundle.count => {
                    hashes.push(leaf_hash(leaf));
                    self.bytes += leaf.len() as u64;
                }
                // A bundle that has grown since the checkpoint.
                Ok(_) => break,
                Err(error) => {
                    let expected = format!("{} entries, each with its length", bundle.count);
                    broken = Some(Finding::at(&bundle.path, expected, error.to_string()).of_entry(entry));
                }
            }
        }
        let stored = bundle.tile.as_chunks::<32>().0;
        for (place, hash) in hashes.iter().enumerate() {
            if stored.get(place) != Some(hash) {
                return Err(self.blame(bundle, place, hash, stored.get(place)));
            }
        }
        if let Some(broken) = broken {
            return Err(broken.into());
        }
        if hashes.len() < bundle.count {
            let expected = format!("{} entries", bundle.count);
            let finding = Finding::at(&bundle.path, expected, hashes.len().to_string());
            return Err(finding.of_entry(bundle.first + hashes.len() as u64).into());
        }
        let mut rest = hashes.as_slice();
        while !rest.is_empty() {
            let next_kept =
                self.earlier.get(self.roots.len()).map_or(u64::MAX, |(_, kept)| kept.checkpoint.size);
            let until = usize::try_from(next_kept - self.edge.size()).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(until);
            rest = later;
            let full = self.edge.append(now.iter().copied());
            for tile in full.iter().filter(|tile| tile.id.level > 0) {
                let path = tile_path(tile.id, None);
                let stored = file(self.source, &path)?.ok_or_else(|| nothing(&path))?;
                same_hashes(&path, tile.hashes.as_slice(), &stored)?;
            }
            self.pass_earlier()?;
        }
        Ok(())
    }

    /// Notes the tree's root where a checkpoint was kept of its size. One of this origin must have that root; one of an
    /// earlier origin may be of a history that was declared lost, which only the entries tell.
    fn pass_earlier(&mut self) -> Result<(), Finding> {
        while let Some((name, kept)) = self.earlier.get(self.roots.len())
            && kept.checkpoint.size == self.edge.size()
        {
            self.roots.push(self.edge.root());
            if kept.checkpoint.origin == self.newest.origin {
                same_root(name, &kept.checkpoint, self.roots.last())?;
            }
        }
        Ok(())
    }

    /// Holds the tree against the checkpoints that were kept, now that all is known. Answers which were held.
    fn check_earlier(&self, policy: &Policy) -> Result<Vec<(String, u64)>, Finding> {
        let mut held = Vec::new();
        for (place, (name, kept)) in self.earlier.iter().enumerate() {
            self.trust.check(name, kept, policy)?;
            let checkpoint = &kept.checkpoint;
            match self.trust.loss_of(checkpoint) {
                None => same_root(name, checkpoint, self.roots.get(place))?,
                Some(declared) => {
                    let lost = (&declared.lost_origin, declared.lost_size, declared.lost_root);
                    if lost != (&checkpoint.origin, checkpoint.size, checkpoint.root) {
                        let expected = format!("the {} entries of {name}", checkpoint.size);
                        let found = format!(
                            "a declaration that all but {} of {} entries were lost",
                            declared.entry, declared.lost_size
                        );
                        return Err(Finding::at("journal", expected, found).of_entry(declared.entry));
                    }
                }
            }
            held.push((name.clone(), checkpoint.size));
        }
        Ok(held)
    }

    /// Reads the entries of a bundle, replays them, and follows what they say of the log.
    fn entries(&mut self, bundle: &Bundle) -> Result<(), Stop> {
        let leaves = BundleEntries::new(&bundle.bytes).take(bundle.count).flatten();
        for (seq, leaf) in (bundle.first..).zip(leaves) {
            let wrong = |expected: String, found: String| {
                Stop::from(Finding::at(&bundle.path, expected, found).of_entry(seq))
            };
            let entry = self
                .reader
                .read(leaf)
                .map_err(|error| wrong("a leaf of this book in canonical form".into(), error.to_string()))?;
            if entry.seq != seq {
                return Err(wrong(format!("seq {seq}"), format!("seq {}", entry.seq)));
            }
            self.shelf.make_ready(&mut self.replay.books, &entry.record)?;
            self.effects.clear();
            let kind = entry.record.kind();
            let stamp = entry.stamp;
            self.replay
                .apply(&mut self.effects, stamp, entry.actor, entry.record)
                .map_err(|error| wrong(error.expected, error.found))?;
            if !self.effects.orders.is_empty() && is_asked(self.days, &stamp.date_text()) {
                let counted = self.orders.count(&self.replay.books, &self.effects);
                counted.map_err(|_| wrong("lots of the debtor's wallet".into(), "others".into()))?;
            }
            self.count(kind);
            if let Some((record, _)) = self.effects.records.last() {
                self.trust.follow(seq, record)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: &'static str) {
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((kind, 1)),
        }
    }

    /// Holds the tiles at the right edge, which are not full, against the tree.
    fn partial_tiles(&mut self) -> Result<(), Stop> {
        for level in 1.. {
            let hashes = self.edge.partial_tile(level);
            if self.newest.size >> (8 * u32::from(level)) == 0 {
                break;
            }
            if hashes.is_empty() {
                continue;
            }
            let index = self.newest.size >> (8 * u32::from(level)) >> 8;
            let path = tile_path(TileId { level, index }, width(hashes.len()));
            let hashes = hashes.as_flattened().to_vec();
            let found = file(self.source, &path)?;
            let stored = self.or_full(found, &path)?;
            same_hashes(&path, &hashes, stored.get(..hashes.len()).unwrap_or(&stored))?;
        }
        Ok(())
    }

    /// An entry and its hash in the tile differ: whose fault is it? The one that leads to the checkpoint's root is right.
    fn blame(&mut self, bundle: &Bundle, place: usize, made: &Hash, stored: Option<&Hash>) -> Stop {
        let entry = bundle.first + place as u64;
        let tile_at_fault = |found: String| {
            let expected = format!("{} for entry {entry}, to which its bytes hash", text(made));
            Finding::at(&bundle.tile_path, expected, found)
        };
        let Some(stored) = stored else { return tile_at_fault("no hash".into()).into() };
        match self.leads_to_root(entry, stored) {
            Ok(true) => {
                let expected = format!("bytes that hash to {}, as the signed tree has it", text(stored));
                Finding::at(&bundle.path, expected, format!("bytes that hash to {}", text(made)))
                    .of_entry(entry)
                    .into()
            }
            Ok(false) => tile_at_fault(text(stored)).into(),
            Err(error) => error.into(),
        }
    }

    /// Whether the tiles prove that a leaf hash is an entry's in the checkpoint's tree.
    fn leads_to_root(&mut self, entry: u64, hash: &Hash) -> Result<bool, SourceError> {
        let Checkpoint { size, root, .. } = self.newest;
        let Ok(nodes) = inclusion_nodes(*size, entry) else { return Ok(false) };
        let mut tiles = Tiles::default();
        for id in tiles_of(&nodes) {
            let row = size >> (8 * u32::from(id.level)) >> 8;
            let partial = if id.index < row { None } else { width(partial_width(*size, id.level)) };
            let mut bytes = file(self.source, &tile_path(id, partial))?;
            if bytes.is_none() && partial.is_some() {
                bytes = file(self.source, &tile_path(id, None))?;
            }
            let Some(bytes) = bytes else { return Ok(false) };
            if tiles.insert(id, &bytes).is_err() {
                return Ok(false);
            }
        }
        let proof = inclusion_proof(*size, entry, &tiles);
        Ok(proof.is_ok_and(|proof| verify_inclusion(hash, entry, *size, &proof, root).is_ok()))
    }
}

fn same_root(name: &str, kept: &Checkpoint, made: Option<&Hash>) -> Result<(), Finding> {
    if made == Some(&kept.root) {
        return Ok(());
    }
    let (size, root) = (kept.size, text(&kept.root));
    let found = made.map_or_else(
        || "fewer entries".into(),
        |made| format!("root {}: two histories were shown", text(made)),
    );
    Err(Finding::at(name, format!("root {root} at {size} entries"), found))
}

fn same_hashes(path: &str, made: &[u8], stored: &[u8]) -> Result<(), Finding> {
    if made == stored {
        return Ok(());
    }
    let (made, stored) = (made.as_chunks::<32>().0, stored.as_chunks::<32>().0);
    let place = made.iter().zip(stored).take_while(|(made, stored)| made == stored).count();
    let hash = |hashes: &[Hash]| hashes.get(place).map_or_else(|| "no hash".into(), text);
    let expected = format!("{} as hash {place}, to which the tiles below it hash", hash(made));
    Err(Finding::at(path, expected, hash(stored)))
}
