//! What is read of the log under a published checkpoint: tiles, bundles, proofs.
//!
//! Full tiles are in the store; the partial ones at the right edge come from the [`RightEdge`] of the checkpoint, which is in
//! memory. A proof reads a tile or two of each level of tiles, whatever the size of the log.

use std::num::NonZeroU8;

use crate::log::checkpoint::Checkpoint;
use crate::log::merkle::{
    Hash, Node, ProofError, consistency_nodes, consistency_proof, inclusion_nodes, inclusion_proof,
};
use crate::log::note::SignedNote;
use crate::log::receipt::Receipt;
use crate::log::tile::{
    BundleEntries, RightEdge, TILE_WIDTH, TileId, TileKind, TilePath, TileShapeError, Tiles, tiles_of,
    write_bundle_entry,
};
use crate::store::{Store, StoreError};

/// Why something of the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A tile of the store has not its shape.
    #[error(transparent)]
    Tile(#[from] TileShapeError),
    /// The journal has not the entries that the checkpoint says.
    #[error("the journal has not the entries from {0} on as the checkpoint says")]
    Journal(u64),
}

/// A published checkpoint, with the edge of its tree.
#[derive(Debug, Clone)]
pub struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// With its signatures.
    pub note: SignedNote,
    /// When it was published, UTC milliseconds.
    pub at: i64,
    /// The partial tiles of its tree.
    pub edge: RightEdge,
}

impl Published {
    /// The number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The bytes under a path of the log; `None` if the checkpoint's tree has no such tile. Every answer stays true for
    /// ever.
    pub async fn read(&self, store: &dyn Store, path: TilePath) -> Result<Option<Vec<u8>>, TreeError> {
        let level = match path.kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let width = path.width.map_or(TILE_WIDTH, |width| usize::from(width.get()));
        // How many hashes the level has; a tile beyond them is not there.
        let hashes = self.size().checked_shr(8 * u32::from(level)).unwrap_or(0);
        let end = path.index.checked_mul(TILE_WIDTH as u64).and_then(|start| start.checked_add(width as u64));
        if end.is_none_or(|end| end > hashes) {
            return Ok(None);
        }
        match path.kind {
            TileKind::Hashes(_) => {
                let id = TileId { level, index: path.index };
                Ok(self.tile(store, id).await?.map(|mut bytes| {
                    bytes.truncate(width * size_of::<Hash>());
                    bytes
                }))
            }
            TileKind::Entries => read_entries(store, path).await.map(Some),
        }
    }

    /// A tile as far as this tree has it.
    async fn tile(&self, store: &dyn Store, id: TileId) -> Result<Option<Vec<u8>>, TreeError> {
        let full = self.size().checked_shr(8 * (u32::from(id.level) + 1)).unwrap_or(0);
        if id.index >= full {
            let partial = if id.index == full { self.edge.partial_tile(id.level) } else { &[] };
            return Ok((!partial.is_empty()).then(|| partial.as_flattened().to_vec()));
        }
        let tile = store.tile(id.level, id.index).await?;
        Ok(Some(
            tile.ok_or(StoreError::Schema(format!("tile {} of level {} is missing", id.index, id.level)))?
                .hashes,
        ))
    }

    async fn tiles_for(&self, store: &dyn Store, nodes: &[Node]) -> Result<Tiles, TreeError> {
        let mut tiles = Tiles::default();
        for id in tiles_of(nodes) {
            if let Some(bytes) = self.tile(store, id).await? {
                tiles.insert(id, &bytes)?;
            }
        }
        Ok(tiles)
    }

    /// Proves that an entry is in the tree of `size`, which is at most this checkpoint's.
    pub async fn inclusion(&self, store: &dyn Store, size: u64, entry: u64) -> Result<Vec<Hash>, TreeError> {
        if size > self.size() {
            return Err(ProofError::Shrunk { old: size, new: self.size() }.into());
        }
        let tiles = self.tiles_for(store, &inclusion_nodes(size, entry)?).await?;
        Ok(inclusion_proof(size, entry, &tiles)?)
    }

    /// Proves that the tree of `new` entries starts with that of `old`; `new` is at most this checkpoint's.
    pub async fn consistency(&self, store: &dyn Store, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
        if new > self.size() {
            return Err(ProofError::Shrunk { old: new, new: self.size() }.into());
        }
        let tiles = self.tiles_for(store, &consistency_nodes(old, new)?).await?;
        Ok(consistency_proof(old, new, &tiles)?)
    }

    /// That an entry is under this checkpoint.
    pub async fn receipt(&self, store: &dyn Store, entry: u64) -> Result<Receipt, TreeError> {
        let proof = self.inclusion(store, self.size(), entry).await?;
        Ok(Receipt { extra: None, index: entry, proof, checkpoint: self.note.clone() })
    }

    /// The paths of all tiles and bundles of the tree, level by level, entries last.
    pub fn paths(size: u64) -> impl Iterator<Item = TilePath> {
        let kinds = (0..8).map(TileKind::Hashes).chain([TileKind::Entries]);
        kinds.flat_map(move |kind| paths_of(kind, size, 0))
    }
}

/// The paths of one kind in a tree of `size`, from an index on.
pub fn paths_of(kind: TileKind, size: u64, from: u64) -> impl Iterator<Item = TilePath> {
    let level = if let TileKind::Hashes(level) = kind { level } else { 0 };
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let full = hashes / TILE_WIDTH as u64;
    let partial = NonZeroU8::new(hashes.to_le_bytes()[0]);
    let full_paths = (from..full).map(move |index| TilePath { kind, index, width: None });
    let partial = partial.map(|width| TilePath { kind, index: full, width: Some(width) });
    full_paths.chain(partial)
}

/// The bundle of a path from the journal, whatever is published.
pub async fn read_entries(store: &dyn Store, path: TilePath) -> Result<Vec<u8>, TreeError> {
    let width = path.width.map_or(TILE_WIDTH, |width| usize::from(width.get()));
    let first = path.index.saturating_mul(TILE_WIDTH as u64);
    let mut next = first;
    let end = first.saturating_add(width as u64);
    let mut bytes = Vec::new();
    let limit = u32::try_from(width).expect("at most 256");
    for row in store.bundles(first, limit).await? {
        if next == end {
            break;
        }
        if row.first != next {
            return Err(TreeError::Journal(next));
        }
        if next + u64::from(row.count) <= end {
            next += u64::from(row.count);
            bytes.extend_from_slice(&row.bytes);
            continue;
        }
        for entry in BundleEntries::new(&row.bytes).take(usize::try_from(end - next).unwrap_or(0)) {
            let entry = entry.map_err(|_| TreeError::Journal(next))?;
            write_bundle_entry(&mut bytes, entry).map_err(|_| TreeError::Journal(next))?;
            next += 1;
        }
    }
    if next == end { Ok(bytes) } else { Err(TreeError::Journal(next)) }
}
