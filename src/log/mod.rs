//! The log: leaf bytes, Merkle tree, tiles.
