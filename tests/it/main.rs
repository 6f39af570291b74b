//! The integration tests: one binary, one module a room.

mod http;
mod store;
