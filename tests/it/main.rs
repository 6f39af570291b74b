//! The integration tests: one binary, one module a room.
#![allow(clippy::unwrap_used)] // a test that unwraps nothing says where

mod audit;
mod crash;
mod http;
mod rooms;
mod sequencer;
mod store;
