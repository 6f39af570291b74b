//! The log: leaf bytes, Merkle tree, tiles, checkpoints, receipts.
//!
//! `specs/log.md` describes every format for who writes a verifier in another language.

pub mod checkpoint;
mod encoding;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod origin;
pub mod reader;
pub mod receipt;
pub mod tile;
