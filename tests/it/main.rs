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

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long what is sure to come may take, on a machine that is busy with other things: what does not come then is a failure,
/// and not a test without an end.
const SOON: Duration = Duration::from_mins(1);

/// What comes soon.
async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, coming).await.expect("it does not come")
}

/// Asks again, with a pause, until there is an answer; `what` is waited for.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("it does not come: {what}"))
}

/// Starts a process that serves; gives it, and where it listens.
async fn serve(command: &mut Command) -> (Child, String) {
    let (child, [url]) = announced(command, ["listening on "]).await;
    (child, url)
}

/// Starts a process; gives it, and the rest of each of its first lines, which begin so. What else it prints is dropped.
async fn announced<const LINES: usize>(
    command: &mut Command,
    beginnings: [&str; LINES],
) -> (Child, [String; LINES]) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = [const { String::new() }; LINES];
    for (told, beginning) in told.iter_mut().zip(beginnings) {
        let line = soon(lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended before it said {beginning:?}"));
        line.strip_prefix(beginning).unwrap_or_else(|| panic!("{line}")).trim().clone_into(told);
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, told)
}

/// Waits until a service that has begun has signed a checkpoint.
async fn signed(url: &str) {
    let (web, checkpoint) = (web(), format!("{url}/log/checkpoint"));
    let asked = async || (web.get(&checkpoint).send().await.unwrap().status() == 200).then_some(());
    until("a checkpoint", asked).await;
}

/// What asks over plain HTTP.
fn web() -> reqwest::Client {
    social_wallet::tls::client("http://", None).unwrap().no_proxy().build().unwrap()
}

/// Nothing of the environment that the tests run in reaches a process under test.
fn unset(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOCIAL_WALLET_") {
            command.env_remove(name);
        }
    }
}
