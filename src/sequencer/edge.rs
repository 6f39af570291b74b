//! The right edge of the log's tree, put together from what a store holds.

use std::collections::HashMap;

use crate::log::merkle::{Frontier, Hash, leaf_hash};
use crate::log::tile::{BundleEntries, RightEdge, TILE_WIDTH, TileId, advance_tiles, partial_width};
use crate::store::{Store, StoreError};

/// Why there is no right edge.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store holds does not fit together.
    #[error("the log's right edge does not fit its tiles: {0}")]
    Broken(String),
}

fn broken(error: impl std::fmt::Display) -> EdgeError {
    EdgeError::Broken(error.to_string())
}

/// Reads a stored frontier; that of a log without entries is empty.
pub fn read_frontier(bytes: &[u8]) -> Result<Frontier, EdgeError> {
    if bytes.is_empty() { Ok(Frontier::empty()) } else { Frontier::from_bytes(bytes).map_err(broken) }
}

/// The edge of the tree that has this frontier, which the tree of `base` has grown into. Only tiles that are new since are
/// read; every hash of the result is checked against the frontier.
pub async fn edge_at(
    store: &dyn Store,
    frontier: Frontier,
    base: &RightEdge,
) -> Result<RightEdge, EdgeError> {
    let mut tiles = HashMap::new();
    for range in advance_tiles(base.size(), frontier.size()) {
        let count = u32::try_from(range.indexes.end - range.indexes.start).map_err(broken)?;
        if count > 0 {
            for tile in store.tiles(range.level, range.indexes.start, count).await? {
                tiles.insert(TileId { level: tile.level, index: tile.index }, tile.hashes);
            }
        }
    }
    let width = partial_width(frontier.size(), 0);
    let mut hashes: Vec<Hash> = Vec::with_capacity(width);
    if width > 0 {
        // Bundles do not cross a tile. Those of a later commit may be among them.
        let first = frontier.size() - width as u64;
        let limit = u32::try_from(TILE_WIDTH).expect("256");
        for bundle in store.bundles(first, limit).await? {
            if bundle.first >= frontier.size() {
                break;
            }
            for leaf in BundleEntries::new(&bundle.bytes) {
                hashes.push(leaf_hash(leaf.map_err(broken)?));
            }
        }
        hashes.truncate(width);
    }
    base.advanced(frontier, &hashes, |id| tiles.get(&id)).map_err(broken)
}
