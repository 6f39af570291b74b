//! The integration tests: one binary, one module a room.

mod audit;
mod crash;
mod http;
mod rooms;
mod sequencer;
mod store;
