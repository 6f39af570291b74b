//! The integration tests: one binary, one module a room.
#![allow(clippy::unwrap_used)]
// a test that unwraps nothing says where
// Tests are stories: long ones, with their small helpers beside them, over small numbers.
#![allow(
    clippy::too_many_lines,
    clippy::items_after_statements,
    clippy::cast_possible_truncation,
    clippy::similar_names,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_for_each
)]

mod audit;
mod backup;
mod bank;
mod commands;
mod crash;
mod crew;
mod http;
mod leaks;
mod log;
mod publisher;
mod rooms;
mod sequencer;
mod store;
mod verify;
