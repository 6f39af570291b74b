//! The social-wallet ledger: benefits in, shielded, and provable.
#![forbid(unsafe_code)]

pub mod audit;
pub mod backup;
pub mod cli;
pub mod client;
pub mod directory;
pub mod domain;
pub mod http;
pub mod keys;
pub mod ledger;
pub mod log;
pub mod orders;
pub mod payroll;
pub mod publisher;
pub mod sequencer;
pub mod signature;
pub mod store;
pub mod tls;
pub mod verify;
