//! The log: leaf bytes, Merkle tree, tiles.

pub mod merkle;
pub mod tile;
