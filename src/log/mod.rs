//! The log: leaf bytes, Merkle tree, tiles.

pub mod leaf;
pub mod merkle;
pub mod reader;
pub mod tile;
