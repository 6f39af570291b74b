//! The social-wallet ledger: benefits in, shielded, and provable.
#![forbid(unsafe_code)]

pub mod domain;
pub mod keys;
pub mod ledger;
pub mod log;
pub mod payroll;
pub mod store;
