//! Tiles: the tree as files that are written once, C2SP `tlog-tiles`.
//!
//! A hash tile of level `l` holds up to 256 neighbouring hashes of subtrees of 256^l leaves. A tile that is full
//! never changes again, so a commit writes the tiles that it fills and the [`Frontier`], and nothing that it would
//! rewrite later. The partial tiles at the right edge live in memory only, in a [`RightEdge`]: after a restart
//! [`RightEdge::rebuild`] makes them from the full tiles one level below, and checks every hash of the result
//! against the frontier.
//!
//! | to do | call |
//! |---|---|
//! | append a batch | [`RightEdge::append`] on a clone, which replaces the original once the commit is known |
//! | restart | [`rebuild_tiles`], read those, [`RightEdge::rebuild`] |
//! | prove | [`inclusion_nodes`](super::merkle::inclusion_nodes), [`tiles_of`], read those into [`Tiles`], [`inclusion_proof`](super::merkle::inclusion_proof) |
//! | serve | [`TilePath`] for names, [`RightEdge::partial_tile`], [`write_bundle_entry`], [`BundleEntries`] |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU8;
use std::ops::Range;
use std::str::FromStr;

use super::merkle::{Frontier, HASH_BYTES, Hash, Node, NodeSource, node_hash};

/// The number of hashes in a full tile, and of entries in a full bundle.
pub const TILE_WIDTH: usize = 256;

/// The length of a full hash tile in bytes.
pub const TILE_BYTES: usize = TILE_WIDTH * HASH_BYTES;

/// The number of tree levels that a tile spans: log2 of [`TILE_WIDTH`].
const TILE_HEIGHT: u8 = 8;

/// The number of tile levels that the largest tree has: 63 bits of size, eight to a level.
const LEVELS: u8 = 8;

/// The highest tile level that has a path.
const LEVEL_MAX: u8 = 63;

/// The longest entry of a bundle in bytes: its length is written in 16 bits.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Names a hash tile, full or partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for tiles of leaf hashes; a hash of level `l + 1` is the root of a full tile of level `l`.
    pub level: u8,
    /// How many tiles of this level stand to the left.
    pub index: u64,
}

impl TileId {
    /// The tile from which a node is read or computed.
    #[must_use]
    pub fn of(node: Node) -> Self {
        let rows_up = node.height % TILE_HEIGHT;
        Self { level: node.height / TILE_HEIGHT, index: node.index >> (TILE_HEIGHT - rows_up) }
    }
}

/// The tiles from which a proof's nodes are computed.
#[must_use]
pub fn tiles_of(nodes: &[Node]) -> BTreeSet<TileId> {
    nodes.iter().copied().map(TileId::of).collect()
}

/// A tile that a batch has completed: to be stored once and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Its place.
    pub id: TileId,
    /// Its 256 hashes, left to right.
    pub hashes: Box<[u8; TILE_BYTES]>,
}

/// A run of neighbouring full tiles of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileRange {
    /// Their level.
    pub level: u8,
    /// Their indexes; at most 255, maybe none.
    pub indexes: Range<u64>,
}

/// Why a right edge could not be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// The leaf hashes given are not as many as the partial tile of level 0 has.
    #[error("the partial tile of leaves has {expected} hashes, not {actual}")]
    LeafCount {
        /// The size of the tree modulo 256.
        expected: usize,
        /// The number of hashes given.
        actual: usize,
    },
    /// A full tile that must exist is not in the store.
    #[error("tile {} of level {} is missing", .0.index, .0.level)]
    MissingTile(TileId),
    /// A full tile has the wrong length.
    #[error("tile {} of level {} has {actual} bytes instead of {TILE_BYTES}", id.index, id.level)]
    TileLength {
        /// The tile.
        id: TileId,
        /// Its length in bytes.
        actual: usize,
    },
    /// The tiles or leaves below this level are not those that the frontier was computed from.
    #[error("the partial tile of level {level} contradicts the frontier")]
    FrontierMismatch {
        /// The level of the partial tile that was put together.
        level: u8,
    },
}

/// The frontier with the partial tile of every level: what the writer keeps in memory between commits.
///
/// A clone copies at most 8 KiB for each level, and a tree has one level per factor of 256 in its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightEdge {
    frontier: Frontier,
    /// By level, the hashes that are not in a full tile yet; at most 255 each.
    partials: Vec<Vec<Hash>>,
}

impl RightEdge {
    /// The edge of the tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self { frontier: Frontier::empty(), partials: Vec::new() }
    }

    /// What a commit stores of this edge.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The hashes of the partial tile of a level, left to right; empty if the level ends in a full tile or does not
    /// exist. Its index is the number of full tiles of its level, `size / 256^(level + 1)`.
    #[must_use]
    pub fn partial_tile(&self, level: u8) -> &[Hash] {
        self.partials.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Appends leaves, given their hashes, and returns the tiles that they fill in the order of completion: a tile
    /// comes after the tiles that it is computed from.
    #[must_use = "the tiles are kept nowhere else"]
    pub fn append(&mut self, leaf_hashes: impl IntoIterator<Item = Hash>) -> Vec<FullTile> {
        let mut full = Vec::new();
        for leaf_hash in leaf_hashes {
            self.push(leaf_hash, &mut full);
        }
        full
    }

    fn push(&mut self, leaf_hash: Hash, full: &mut Vec<FullTile>) {
        let partials = &mut self.partials;
        self.frontier.push_observed(leaf_hash, |node, hash| {
            if !node.height.is_multiple_of(TILE_HEIGHT) {
                return;
            }
            let id = TileId::of(node);
            let level = usize::from(id.level);
            if partials.len() == level {
                partials.push(Vec::with_capacity(TILE_WIDTH));
            }
            let partial = &mut partials[level];
            partial.push(*hash);
            if partial.len() == TILE_WIDTH {
                let hashes = Box::<[u8]>::from(partial.as_flattened());
                let hashes = hashes.try_into().expect("256 hashes of 32 bytes are 8192 bytes");
                full.push(FullTile { id, hashes });
                partial.clear();
            }
        });
    }

    /// Puts the edge together from its stored frontier, the hashes of the leaves after the last full tile, and the
    /// full tiles that [`rebuild_tiles`] names, which `tile` returns as bytes.
    ///
    /// Every hash of the result is checked: each enters a peak of the frontier.
    pub fn rebuild<T: AsRef<[u8]>>(
        frontier: Frontier,
        leaf_hashes: &[Hash],
        tile: impl FnMut(TileId) -> Option<T>,
    ) -> Result<Self, RebuildError> {
        Self::empty().advanced(frontier, leaf_hashes, tile)
    }

    /// As [`RightEdge::rebuild`], for a tree that this edge's tree has grown into: only the full tiles that are new since
    /// are read, those that [`advance_tiles`] names.
    pub fn advanced<T: AsRef<[u8]>>(
        &self,
        frontier: Frontier,
        leaf_hashes: &[Hash],
        mut tile: impl FnMut(TileId) -> Option<T>,
    ) -> Result<Self, RebuildError> {
        let size = frontier.size();
        let expected = partial_width(size, 0);
        if leaf_hashes.len() != expected {
            return Err(RebuildError::LeafCount { expected, actual: leaf_hashes.len() });
        }
        let mut partials = Vec::new();
        if size > 0 {
            partials.push(leaf_hashes.to_vec());
        }
        for (all, new) in rebuild_tiles(size).into_iter().zip(advance_tiles(self.size(), size)) {
            let level = all.level;
            let known = usize::try_from(new.indexes.start - all.indexes.start).expect("at most 255");
            let mut partial = self.partial_tile(level + 1)[..known].to_vec();
            for index in new.indexes {
                let id = TileId { level, index };
                partial.push(full_tile_root(id, tile(id).ok_or(RebuildError::MissingTile(id))?.as_ref())?);
            }
            partials.push(partial);
        }
        let edge = Self { frontier, partials };
        edge.check_against_frontier()?;
        Ok(edge)
    }

    /// Recomputes every peak from the partial tiles. The set bits of the size are, eight by eight, the set bits of
    /// the widths, so that the peaks come out level by level, highest first.
    fn check_against_frontier(&self) -> Result<(), RebuildError> {
        let mut peaks = self.frontier.peaks().iter();
        for (level, partial) in (0..LEVELS).zip(&self.partials).rev() {
            let mut rest = partial.as_slice();
            while !rest.is_empty() {
                let (subtree, after) = rest.split_at(1 << rest.len().ilog2());
                if peaks.next() != Some(&perfect_root(subtree)) {
                    return Err(RebuildError::FrontierMismatch { level });
                }
                rest = after;
            }
        }
        Ok(())
    }
}

/// The full tiles that [`RightEdge::rebuild`] reads for a tree of `size` leaves: at most 255 of each level.
#[must_use]
pub fn rebuild_tiles(size: u64) -> Vec<TileRange> {
    let full_tiles = |level: u8| size >> (TILE_HEIGHT * (level + 1));
    (0..LEVELS - 1)
        .map(|level| (level, full_tiles(level)))
        .take_while(|&(_, count)| count > 0)
        .map(|(level, count)| TileRange { level, indexes: count & !0xff..count })
        .collect()
}

/// The full tiles that [`RightEdge::advanced`] reads for a tree that grew from `old` to `new` leaves: of those that
/// [`rebuild_tiles`] names, level by level, the ones that the old tree did not have.
#[must_use]
pub fn advance_tiles(old: u64, new: u64) -> Vec<TileRange> {
    let mut ranges = rebuild_tiles(new);
    for range in &mut ranges {
        let known = old.checked_shr(u32::from(TILE_HEIGHT * (range.level + 1))).unwrap_or(0);
        range.indexes.start = range.indexes.start.max(known).min(range.indexes.end);
    }
    ranges
}

/// The width of the partial tile of a level in a tree of `size` leaves; 0 if there is none.
#[must_use]
pub fn partial_width(size: u64, level: u8) -> usize {
    let hashes = size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level)).unwrap_or(0);
    usize::from(hashes.to_le_bytes()[0])
}

/// The root of a full tile, given as bytes: its hash in the tile one level above.
fn full_tile_root(id: TileId, bytes: &[u8]) -> Result<Hash, RebuildError> {
    let hashes: &[u8; TILE_BYTES] =
        bytes.try_into().map_err(|_| RebuildError::TileLength { id, actual: bytes.len() })?;
    Ok(perfect_root(hashes.as_chunks::<HASH_BYTES>().0))
}

/// The root over hashes whose number is a power of two.
fn perfect_root(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two(), "{} hashes do not make a perfect tree", hashes.len());
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row[0]
}

/// Tiles at hand, as the source of a proof's nodes.
///
/// They are taken as they come: a wrong tile makes a wrong proof, which the verifier refuses.
#[derive(Debug, Clone, Default)]
pub struct Tiles {
    by_id: BTreeMap<TileId, Vec<Hash>>,
}

/// A tile is not between 1 and 256 whole hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tile {} of level {} has {actual} bytes, not between 1 and 256 hashes", id.index, id.level)]
pub struct TileShapeError {
    /// The tile.
    pub id: TileId,
    /// Its length in bytes.
    pub actual: usize,
}

impl Tiles {
    /// Adds a tile, full or partial.
    pub fn insert(&mut self, id: TileId, bytes: &[u8]) -> Result<(), TileShapeError> {
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || !(1..=TILE_WIDTH).contains(&hashes.len()) {
            return Err(TileShapeError { id, actual: bytes.len() });
        }
        self.by_id.insert(id, hashes.to_vec());
        Ok(())
    }

    /// Adds the partial tiles of the right edge.
    pub fn insert_edge(&mut self, edge: &RightEdge) {
        for (level, partial) in (0..LEVELS).zip(&edge.partials) {
            if !partial.is_empty() {
                let index = (edge.size() >> (TILE_HEIGHT * level)) >> TILE_HEIGHT;
                self.by_id.insert(TileId { level, index }, partial.clone());
            }
        }
    }
}

impl NodeSource for Tiles {
    fn node(&self, node: Node) -> Option<Hash> {
        let hashes = self.by_id.get(&TileId::of(node))?;
        let width = 1 << (node.height % TILE_HEIGHT);
        let first = usize::try_from(node.index % (TILE_WIDTH / width) as u64).ok()? * width;
        hashes.get(first..first + width).map(perfect_root)
    }
}

/// What a path of the log's public tree names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileKind {
    /// Hashes of this level, 0 to 63.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// The path of a tile or an entry bundle, such as `tile/0/x001/x234/067.p/5`.
///
/// [`fmt::Display`] writes the one path that names it; [`FromStr`] reads that path and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePath {
    /// Hashes or entries.
    pub kind: TileKind,
    /// How many tiles of this kind stand to the left.
    pub index: u64,
    /// The width of a partial tile; `None` for a full one.
    pub width: Option<NonZeroU8>,
}

/// The path is not the canonical path of any tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile")]
pub struct TilePathError;

/// The path of a hash tile. A width of `None` names the full tile.
#[must_use]
pub fn tile_path(id: TileId, width: Option<NonZeroU8>) -> String {
    TilePath { kind: TileKind::Hashes(id.level), index: id.index, width }.to_string()
}

/// The path of an entry bundle. A width of `None` names the full bundle.
#[must_use]
pub fn entries_path(index: u64, width: Option<NonZeroU8>) -> String {
    TilePath { kind: TileKind::Entries, index, width }.to_string()
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}")?,
            TileKind::Entries => f.write_str("tile/entries")?,
        }
        // Three digits to a path element, so that no directory holds more than a thousand of each.
        let mut thousands = self.index.checked_ilog(1000).unwrap_or(0);
        while thousands > 0 {
            write!(f, "/x{:03}", self.index / 1000_u64.pow(thousands) % 1000)?;
            thousands -= 1;
        }
        write!(f, "/{:03}", self.index % 1000)?;
        self.width.map_or(Ok(()), |width| write!(f, ".p/{width}"))
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        // Read generously, then insist on the one spelling: what is written back must be what was read.
        let path = read_path(text).ok_or(TilePathError)?;
        if path.to_string() == text { Ok(path) } else { Err(TilePathError) }
    }
}

/// Reads every canonical path, and some that are not.
fn read_path(text: &str) -> Option<TilePath> {
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(level.parse().ok().filter(|&level| level <= LEVEL_MAX)?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, Some(width.parse().ok()?)),
        None => (rest, None),
    };
    let index = index.split('/').try_fold(0_u64, |index, element| {
        let digits = element.strip_prefix('x').unwrap_or(element).parse().ok()?;
        index.checked_mul(1000)?.checked_add(digits)
    })?;
    Some(TilePath { kind, index, width })
}

/// Why an entry or a bundle was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The entry is longer than 16 bits can say.
    #[error("an entry has {actual} bytes, more than {ENTRY_BYTES_MAX}")]
    EntryTooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// The bundle ends within an entry or its length.
    #[error("the bundle ends within its entry {entry}")]
    Truncated {
        /// The entry's number within the bundle, from 0.
        entry: usize,
    },
    /// The bundle goes on after 256 entries.
    #[error("the bundle has more than {TILE_WIDTH} entries")]
    TooManyEntries,
}

/// Appends an entry to a bundle: its length as a big-endian u16, then its bytes.
///
/// A refused entry leaves the bundle as it was. That a bundle has at most 256 entries is the caller's care.
pub fn write_bundle_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong { actual: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct BundleEntries<'a> {
    rest: &'a [u8],
    entry: usize,
}

impl<'a> BundleEntries<'a> {
    /// Starts at the first entry of a bundle, full or partial.
    #[must_use]
    pub fn new(bundle: &'a [u8]) -> Self {
        Self { rest: bundle, entry: 0 }
    }

    fn take_entry(&mut self) -> Result<&'a [u8], BundleError> {
        if self.entry == TILE_WIDTH {
            return Err(BundleError::TooManyEntries);
        }
        let truncated = BundleError::Truncated { entry: self.entry };
        let (length, rest) = self.rest.split_first_chunk().ok_or(truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or(truncated)?;
        self.rest = rest;
        self.entry += 1;
        Ok(entry)
    }
}

impl<'a> Iterator for BundleEntries<'a> {
    type Item = Result<&'a [u8], BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.take_entry();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}

impl std::iter::FusedIterator for BundleEntries<'_> {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::merkle::oracle::{leaf_hashes, tree_hash};
    use super::super::merkle::{
        consistency_nodes, consistency_proof, inclusion_nodes, inclusion_proof, leaf_hash,
        verify_consistency, verify_inclusion,
    };
    use super::*;

    /// Enough leaves for a level 2: made once, as the tests that need them are many.
    static LEAVES: LazyLock<Vec<Hash>> = LazyLock::new(|| leaf_hashes(70_000));

    /// The sizes around which tiles and levels begin and end.
    const EDGES: [usize; 12] = [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000];

    /// The tree of all of them.
    static TREE: LazyLock<(RightEdge, Store)> = LazyLock::new(|| tree(LEAVES.len()));

    type Store = BTreeMap<TileId, Box<[u8; TILE_BYTES]>>;

    /// A tree with everything that its commits would have stored.
    fn tree(size: usize) -> (RightEdge, Store) {
        let mut edge = RightEdge::empty();
        let full = edge.append(LEAVES[..size].iter().copied());
        (edge, full.into_iter().map(|tile| (tile.id, tile.hashes)).collect())
    }

    fn rebuild(edge: &RightEdge, store: &Store) -> Result<RightEdge, RebuildError> {
        let frontier = Frontier::from_bytes(&edge.frontier().to_bytes()).unwrap();
        RightEdge::rebuild(frontier, edge.partial_tile(0), |id| store.get(&id).map(|tile| tile.as_slice()))
    }

    /// What a prover has after reading the tiles that its nodes name, and the edge.
    fn tiles_for(nodes: &[Node], edge: &RightEdge, store: &Store) -> Tiles {
        let mut tiles = Tiles::default();
        for id in tiles_of(nodes) {
            if let Some(hashes) = store.get(&id) {
                tiles.insert(id, hashes.as_slice()).unwrap();
            }
        }
        tiles.insert_edge(edge);
        tiles
    }

    fn width(width: u8) -> Option<NonZeroU8> {
        NonZeroU8::new(width)
    }

    #[test]
    fn tiles_hold_the_hashes_of_the_definition() {
        let (edge, mut tiles) = TREE.clone();
        assert_eq!(edge.root(), tree_hash(&LEAVES));
        // The specification's own example: 273 full tiles and 112 hashes, one and 17, none and one.
        for (level, full, partial) in [(0, 273, 112), (1, 1, 17), (2, 0, 1), (3, 0, 0)] {
            let span = 256_usize.pow(u32::from(level));
            let hashes = LEAVES.chunks_exact(span).map(tree_hash).collect::<Vec<_>>();
            let (expected, rest) = hashes.as_chunks::<TILE_WIDTH>();
            assert_eq!((expected.len(), rest.len()), (full, partial));
            for (index, expected) in (0..).zip(expected) {
                let tile = tiles.remove(&TileId { level, index }).unwrap();
                assert_eq!(tile.as_slice(), expected.as_flattened(), "tile {index} of level {level}");
            }
            assert_eq!(edge.partial_tile(level), rest);
            assert_eq!(partial_width(edge.size(), level), partial);
        }
        assert!(tiles.is_empty(), "a tile too many");
    }

    #[test]
    fn a_tile_follows_the_tiles_that_it_is_computed_from() {
        let ids = RightEdge::empty().append(LEAVES[..65_536].iter().copied());
        let mut expected = (0..256).map(|index| TileId { level: 0, index }).collect::<Vec<_>>();
        expected.push(TileId { level: 1, index: 0 });
        assert_eq!(ids.into_iter().map(|tile| tile.id).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_edge_comes_back_from_what_was_stored() {
        for size in EDGES {
            let (edge, store) = tree(size);
            assert_eq!(rebuild(&edge, &store), Ok(edge), "size {size}");
        }
    }

    #[test]
    fn a_rebuild_reads_the_children_of_partial_tiles_and_no_more() {
        assert_eq!(rebuild_tiles(255), []);
        assert_eq!(rebuild_tiles(256), [TileRange { level: 0, indexes: 0..1 }]);
        let expected = [TileRange { level: 0, indexes: 256..273 }, TileRange { level: 1, indexes: 0..1 }];
        assert_eq!(rebuild_tiles(70_000), expected);
        assert!(rebuild_tiles(u64::MAX).iter().all(|range| range.indexes.clone().count() == 255));

        let (edge, mut store) = TREE.clone();
        let named = |id: &TileId| {
            expected.iter().any(|range| range.level == id.level && range.indexes.contains(&id.index))
        };
        store.retain(|id, _| named(id));
        assert_eq!(rebuild(&edge, &store), Ok(edge));
    }

    #[test]
    fn a_rebuild_from_wrong_leaves_or_tiles_is_refused() {
        let (edge, store) = &*TREE;
        for tile in [TileId { level: 0, index: 260 }, TileId { level: 1, index: 0 }] {
            let mut store = store.clone();
            store.get_mut(&tile).unwrap()[8191] ^= 1;
            let refused = RebuildError::FrontierMismatch { level: tile.level + 1 };
            assert_eq!(rebuild(edge, &store), Err(refused));
            store.remove(&tile);
            assert_eq!(rebuild(edge, &store), Err(RebuildError::MissingTile(tile)));
        }

        let from_leaves = |leaves: &[Hash]| {
            RightEdge::rebuild(edge.frontier().clone(), leaves, |id| {
                store.get(&id).map(|tile| tile.as_slice())
            })
        };
        let mut leaves = edge.partial_tile(0).to_vec();
        leaves[50][0] ^= 1;
        assert_eq!(from_leaves(&leaves), Err(RebuildError::FrontierMismatch { level: 0 }));
        leaves.pop();
        assert_eq!(from_leaves(&leaves), Err(RebuildError::LeafCount { expected: 112, actual: 111 }));

        let short = RightEdge::rebuild(edge.frontier().clone(), edge.partial_tile(0), |_| Some([0; 8160]));
        let id = TileId { level: 0, index: 256 };
        assert_eq!(short, Err(RebuildError::TileLength { id, actual: 8160 }));
    }

    #[test]
    fn proofs_read_from_tiles_hold_at_every_kind_of_size() {
        let (edge, store) = &*TREE;
        let sizes = EDGES.into_iter().filter(|size| *size > 0);
        let roots = sizes.map(|size| (size as u64, tree(size).0.root())).collect::<Vec<_>>();
        for (new, new_root) in &roots {
            for (old, old_root) in roots.iter().filter(|(old, _)| old <= new) {
                let nodes = consistency_nodes(*old, *new).unwrap();
                let proof = consistency_proof(*old, *new, &tiles_for(&nodes, edge, store)).unwrap();
                assert_eq!(
                    verify_consistency(*old, old_root, *new, new_root, &proof),
                    Ok(()),
                    "{old} to {new}"
                );

                let index = old - 1;
                let leaf = &LEAVES[usize::try_from(index).unwrap()];
                let nodes = inclusion_nodes(*new, index).unwrap();
                let proof = inclusion_proof(*new, index, &tiles_for(&nodes, edge, store)).unwrap();
                assert_eq!(verify_inclusion(leaf, index, *new, &proof, new_root), Ok(()), "{index} in {new}");
            }
        }
    }

    #[test]
    fn a_tile_that_is_not_whole_hashes_is_no_source_of_nodes() {
        let (mut tiles, id) = (Tiles::default(), TileId { level: 0, index: 0 });
        for actual in [0, 31, 33, TILE_BYTES - 1, TILE_BYTES + 1, TILE_BYTES + 32] {
            assert_eq!(tiles.insert(id, &vec![0; actual]), Err(TileShapeError { id, actual }));
        }
        tiles.insert(id, &[0; 96]).unwrap();
        assert!(tiles.node(Node { height: 0, index: 2 }).is_some());
        assert!(tiles.node(Node { height: 0, index: 3 }).is_none());
        assert!(tiles.node(Node { height: 1, index: 1 }).is_none());
    }

    #[test]
    fn paths_are_written_as_the_specification_shows() {
        assert_eq!(tile_path(TileId { level: 0, index: 0 }, None), "tile/0/000");
        assert_eq!(tile_path(TileId { level: 1, index: 999 }, width(255)), "tile/1/999.p/255");
        assert_eq!(tile_path(TileId { level: 2, index: 1000 }, None), "tile/2/x001/000");
        assert_eq!(tile_path(TileId { level: 63, index: 1_234_067 }, None), "tile/63/x001/x234/067");
        assert_eq!(entries_path(1_234_067, width(1)), "tile/entries/x001/x234/067.p/1");
        assert_eq!(entries_path(u64::MAX, None), "tile/entries/x018/x446/x744/x073/x709/x551/615");
    }

    #[test]
    fn a_path_that_names_no_tile_or_names_it_another_way_is_refused() {
        let refused = [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/000",
            "/tile/0/000",
            "tile/0/000/",
            "tile//000",
            "tile/00/000",
            "tile/+1/000",
            "tile/-1/000",
            "tile/64/000",
            "tile/256/000",
            "tile/Entries/000",
            "tile/data/000",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000",
            "tile/0/x001",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/0/X001/001",
            "tile/0/x1/001",
            "tile/0/xx01/001",
            "tile/0/x001//001",
            "tile/0/+01",
            "tile/0/ 01",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/256",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000 ",
            "tile/0/٠٠٠",
        ];
        for path in refused {
            assert_eq!(path.parse::<TilePath>(), Err(TilePathError), "{path:?}");
        }
    }

    #[test]
    fn a_bundle_gives_back_its_entries() {
        let longest = vec![b'x'; ENTRY_BYTES_MAX];
        let entries: [&[u8]; 4] = [b"", b"first", &longest, b"last"];
        let mut bundle = Vec::new();
        for entry in entries {
            write_bundle_entry(&mut bundle, entry).unwrap();
        }
        assert_eq!(bundle[..9], [0, 0, 0, 5, b'f', b'i', b'r', b's', b't']);
        let read = BundleEntries::new(&bundle).collect::<Result<Vec<_>, _>>();
        assert_eq!(read, Ok(entries.to_vec()));
        assert_eq!(BundleEntries::new(&[]).next(), None);
    }

    #[test]
    fn an_entry_too_long_for_its_length_is_refused_and_leaves_no_trace() {
        let mut bundle = b"before".to_vec();
        let actual = ENTRY_BYTES_MAX + 1;
        assert_eq!(
            write_bundle_entry(&mut bundle, &vec![0; actual]),
            Err(BundleError::EntryTooLong { actual })
        );
        assert_eq!(bundle, b"before");
    }

    #[test]
    fn a_bundle_cut_anywhere_but_between_entries_is_refused_once() {
        let mut bundle = Vec::new();
        write_bundle_entry(&mut bundle, b"one").unwrap();
        write_bundle_entry(&mut bundle, b"two").unwrap();
        for end in (1..bundle.len()).filter(|end| *end != 5) {
            let mut entries = BundleEntries::new(&bundle[..end]).skip_while(Result::is_ok);
            let entry = usize::from(end > 5);
            assert_eq!(entries.next(), Some(Err(BundleError::Truncated { entry })), "cut at {end}");
            assert_eq!(entries.next(), None);
        }
    }

    #[test]
    fn a_bundle_of_more_than_256_entries_is_refused() {
        let full = [0; 2 * TILE_WIDTH];
        assert_eq!(BundleEntries::new(&full).map(Result::unwrap).count(), 256);
        let over = [0; 2 * TILE_WIDTH + 2];
        assert_eq!(BundleEntries::new(&over).last(), Some(Err(BundleError::TooManyEntries)));
    }

    #[test]
    fn the_entries_of_a_bundle_hash_to_the_tile() {
        let mut bundle = Vec::new();
        (0_u64..256).for_each(|number| write_bundle_entry(&mut bundle, &number.to_be_bytes()).unwrap());
        let hashes = BundleEntries::new(&bundle).map(|entry| leaf_hash(entry.unwrap())).collect::<Vec<_>>();
        let (_, store) = tree(256);
        assert_eq!(hashes.as_flattened(), store[&TileId { level: 0, index: 0 }].as_slice());
    }

    proptest! {
        // Each case builds a tree of many tiles.
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn an_edge_of_any_size_comes_back_and_goes_on_as_before(size in 0_usize..69_000) {
            let (mut edge, store) = tree(size);
            let mut rebuilt = rebuild(&edge, &store).unwrap();
            prop_assert_eq!(&rebuilt, &edge);
            let more = &LEAVES[size..size + 600];
            prop_assert_eq!(rebuilt.append(more.iter().copied()), edge.append(more.iter().copied()));
            prop_assert_eq!(rebuilt.root(), edge.root());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_edge_that_is_advanced_is_that_of_the_grown_tree_and_reads_the_new_tiles_only(
            (old, new) in (0_usize..70_000).prop_flat_map(|old| (Just(old), old..=70_000)),
        ) {
            let ((before, _), (after, store)) = (tree(old), tree(new));
            let mut read = BTreeSet::new();
            let advanced = before.advanced(after.frontier().clone(), after.partial_tile(0), |id| {
                read.insert(id);
                store.get(&id).map(|tile| tile.as_slice())
            });
            prop_assert_eq!(advanced.unwrap(), after);
            prop_assert!(read.iter().all(|id| id.index >= old as u64 >> (8 * (id.level + 1))));
        }

        #[test]
        fn a_batch_appends_what_its_leaves_append_one_by_one(
            batches in prop::collection::vec(0_usize..1500, 0..6),
        ) {
            let (mut batched, mut single) = (RightEdge::empty(), RightEdge::empty());
            let mut rest = LEAVES.as_slice();
            for count in batches {
                let (batch, after) = rest.split_at(count);
                let tiles = batched.append(batch.iter().copied());
                let one_by_one = batch.iter().flat_map(|leaf| single.append([*leaf])).collect::<Vec<_>>();
                prop_assert_eq!(tiles, one_by_one);
                prop_assert_eq!(&batched, &single);
                rest = after;
            }
        }

        #[test]
        fn tiles_answer_for_nodes_as_the_leaves_do(height in 0_u8..17, index in 0_u64..70_000) {
            let (edge, store) = &*TREE;
            let node = Node { height, index: index >> height };
            let start = usize::try_from(node.index << height).unwrap();
            let expected = LEAVES.get(start..start + (1 << height)).map(tree_hash);
            prop_assert_eq!(tiles_for(&[node], edge, store).node(node), expected);
        }

        #[test]
        fn every_path_reads_back(level in prop::option::of(0_u8..=63), index: u64, shift in 0..64, partial: u8) {
            let kind = level.map_or(TileKind::Entries, TileKind::Hashes);
            let path = TilePath { kind, index: index >> shift, width: NonZeroU8::new(partial) };
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn what_reads_as_a_path_is_written_just_so(
            text in "tile/(entries|[0-9]{1,2})(/x[0-9]{3}){0,7}/[0-9]{2,3}(\\.p/[0-9]{1,3})?",
        ) {
            if let Ok(path) = text.parse::<TilePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
