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
mod connections;
mod crash;
mod crew;
mod http;
mod leaks;
mod log;
mod order_commands;
mod publisher;
mod rooms;
mod sequencer;
mod settings;
mod store;
mod verify;

/// What asks over plain HTTP.
fn web() -> reqwest::Client {
    social_wallet::tls::client("http://", None).unwrap().no_proxy().build().unwrap()
}

/// Nothing of the environment that the tests run in reaches a process under test.
fn unset(command: &mut tokio::process::Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOCIAL_WALLET_") {
            command.env_remove(name);
        }
    }
}
