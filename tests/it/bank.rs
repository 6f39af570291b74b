//! The mock bank, as the real program, against a real service: it answers every transfer once, also if it is killed and its
//! place is lost.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use social_wallet::client::{AccrualRequest, Client};
use social_wallet::domain::time::rfc3339;
use social_wallet::domain::{Iin, ProgrammeCode, WalletId};
use social_wallet::sequencer::clock;
use tokio::process::{Child, Command};

use crate::crew::Crew;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.stdin(Stdio::null()).kill_on_drop(true).env("RUST_LOG", "error");
    command
}

async fn serve(data: &Path) -> (Child, String) {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    crate::serve(&mut command).await
}

fn bank(url: &str, crew: &Crew, place: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock-bank"));
    command.arg(url).arg(crew.key("bank")).arg(place).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// A person with money; the wallet.
async fn furnish(crew: &Crew, url: &str) -> WalletId {
    let operator = crew.client("operator-1", url);
    let asp = json!({"code": "ASP", "names": {"kk": "А", "ru": "А", "en": "A"}, "payer": "940140000385",
        "legal_basis": "law", "class": "protected"});
    operator.register_programme(&asp, &Client::fresh_key()).await.unwrap();
    crew.fund(url, ProgrammeCode::parse(b"ASP").unwrap(), "100000.00", "R-1").await;
    let iin = Iin::parse(b"830717350867").unwrap();
    let accrual = AccrualRequest {
        payer: "940140000385",
        iin: &iin,
        programme: "ASP",
        period: "2026-11",
        part: 1,
        amount: "1000.00",
    };
    let made = crew.client("payer", url).accrue(&accrual, &Client::fresh_key()).await.unwrap();
    WalletId::parse(made.value["wallet"].as_str().unwrap()).unwrap()
}

async fn transfer(channel: &Client, wallet: WalletId, last_four: &str, amount: &str) -> u64 {
    let now = clock::now();
    let body = json!({"wallet": wallet, "for": "transfer", "bank": "CASPKZKA",
        "card": {"token": format!("card-of-{last_four}"), "last_four": last_four}, "amount": amount, "currency": "KZT",
        "expires": rfc3339(now + 600_000),
        "consent": {"method": "session", "evidence": format!("{0:x}{0:x}", u128::from_be_bytes(*uuid::Uuid::new_v4().as_bytes()) | 1 << 127), "at": rfc3339(now)}});
    let given = channel.authorise(&body, &Client::fresh_key()).await.unwrap().value;
    let body = json!({"authorisation": given["entry"], "amount": amount, "currency": "KZT"});
    channel.request_transfer(&body, &Client::fresh_key()).await.unwrap().value["entry"].as_u64().unwrap()
}

/// Waits until a transfer is in this state.
async fn until(channel: &Client, transfer: u64, state: &str) -> Value {
    let asked = async || {
        let shown = channel.transfer(transfer).await.unwrap();
        (shown["state"] == state).then_some(shown)
    };
    crate::until(state, asked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mock_bank_answers_every_transfer_once_though_it_is_killed_and_forgets() {
    let home = tempfile::tempdir().unwrap();
    let (data, place) = (home.path().join("data"), home.path().join("place"));
    let mut bootstrap = program();
    bootstrap.args(["bootstrap", "--trial", "--data-dir"]).arg(&data);
    let crew = Crew::bootstrap(&data, bootstrap).await;
    let (_service, url) = serve(&data).await;
    let wallet = furnish(&crew, &url).await;
    let channel = crew.client("channel", &url);
    let first = transfer(&channel, wallet, "4242", "100.00").await;
    let mut desk = bank(&url, &crew, &place);
    let settled = until(&channel, first, "settled").await;
    desk.kill().await.unwrap();
    let second = transfer(&channel, wallet, "0000", "50.00").await;
    // It begins again from the beginning: what it has answered is answered alike, and moves nothing.
    let _gone = std::fs::remove_file(&place);
    let mut desk = bank(&url, &crew, &place);
    let returned = until(&channel, second, "returned").await;
    assert_eq!(returned["returned"], "50.00");
    assert_eq!(channel.transfer(first).await.unwrap()["history"], settled["history"]);
    desk.kill().await.unwrap();
    let shown = channel.wallet(wallet).await.unwrap();
    assert_eq!((&shown["balance"], &shown["held"]), (&json!("900.00"), &json!("0.00")));
}
