//! The integration tests: one binary, one module a room.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod http;
mod store;
