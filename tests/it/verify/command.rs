//! The command, with real processes: a service, its log exported, verified from files and over HTTP.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use social_wallet::domain::ProgrammeCode;
use tokio::process::{Child, Command};

use crate::crew::Crew;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env_remove("SOCIAL_WALLET_SERVER").env_remove("SOCIAL_WALLET_DATABASE_URL");
    command.env("RUST_LOG", "error");
    command
}

async fn serve(data: &str) -> (Child, String) {
    let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]);
    crate::serve(&mut command).await
}

/// Runs a command: its exit code, and its answer.
async fn run(arguments: &[&str]) -> (i32, String) {
    let output = command(arguments).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let code = output.status.code().unwrap();
    if code > 1 {
        return (code, String::from_utf8(output.stderr).unwrap());
    }
    (code, text)
}

async fn done(arguments: &[&str]) -> String {
    let (code, text) = run(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {text}");
    text
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Waits until the newest entry is under the published checkpoint, and exports.
async fn export(data: &str, url: &str, auditor: &str, to: &str) -> u64 {
    let exported = async || {
        let book =
            json(&done(&["health", "--server", url, "--client-key", auditor, "--json"]).await)["book"].take();
        let exported = json(&done(&["log", "export", to, "--data-dir", data, "--json"]).await);
        let (of, had) = (book["size"].as_u64().unwrap(), exported["size"].as_u64().unwrap());
        (had >= of).then_some(had)
    };
    let newest = crate::until("a checkpoint of the newest entry", exported).await;
    assert!(Path::new(to).join("checkpoint").exists());
    newest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_exported_and_verified_from_files_over_http_and_with_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (data, log, keys, payroll) = (at("data"), at("log"), at("keys.txt"), at("payroll.csv"));
    let new = command(&["bootstrap", "--trial", "--data-dir", &data]);
    let crew = Crew::bootstrap(Path::new(&data), new).await;
    let (operator, payer, auditor) = (crew.key("operator-1"), crew.key("payer"), crew.key("auditor"));
    let (_service, url) = serve(&data).await;
    done(&["programme", "register-catalogue", "--server", &url, "--client-key", &operator]).await;
    for code in ["ASP", "BIRTH", "CHILDCARE", "DISABILITY", "PENSION", "LARGE_FAMILY", "SURVIVOR"] {
        let reference = format!("MF/{code}");
        let code = ProgrammeCode::parse(code.as_bytes()).unwrap();
        crew.fund(&url, code, "900000000", &reference).await;
    }
    done(&["generate", "--lines", "600", "--period", "2026-11", "-o", &payroll]).await;
    let (code, text) = run(&["accrue", &payroll, "--server", &url, "--client-key", &payer]).await;
    assert!(code <= 1, "{text}");
    std::fs::write(&keys, done(&["log", "key", "--data-dir", &data]).await).unwrap();
    let size = export(&data, &url, &auditor, &log).await;
    assert!(size > 600);
    let earlier = at("earlier");
    std::fs::copy(Path::new(&log).join("checkpoint"), &earlier).unwrap();

    // First by a verifier that shares no code with us.
    let key = std::fs::read_to_string(&keys).unwrap();
    let (code, said) = crate::log::independent::verify(Path::new(&log), &[key.trim()]);
    assert!(code == 0 && said.contains(&format!("{size} entries")), "{said}");

    let answer = json(&done(&["verify", &log, "--key-file", &keys, "--data-dir", &data, "--json"]).await);
    assert_eq!(answer["matches"], true, "{answer}");
    assert_eq!((answer["entries"].as_u64(), answer["finding"].is_null()), (Some(size), true));
    assert_eq!(answer["store"]["matches"], true);
    assert_eq!(answer["orders"]["taken_from_protected"], "0.00");
    let report =
        json(&done(&["report", "programmes", "--server", &url, "--client-key", &auditor, "--json"]).await);
    for (told, verified) in report["programmes"]
        .as_array()
        .unwrap()
        .iter()
        .zip(answer["totals"]["programmes"].as_array().unwrap())
    {
        for name in ["programme", "funded", "accrued", "reversed", "funding_left", "in_wallets", "paid_out"] {
            assert_eq!(told[name], verified[name], "{name}");
        }
    }

    // More happens; the log has grown from what was kept. Over HTTP it is the same log.
    crew.fund(&url, ProgrammeCode::parse(b"ASP").unwrap(), "1", "MF/more").await;
    export(&data, &url, &auditor, &log).await;
    for place in [log.clone(), format!("{url}/log")] {
        let text =
            done(&["verify", &place, "--key-file", &keys, "--earlier", &earlier, "--client-key", &auditor])
                .await;
        assert!(text.contains("everything fits") && text.contains("it has grown from"), "{text}");
    }

    // A byte changed: exit code 1, and the entry is named.
    let bundle = Path::new(&log).join("tile/entries/001");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    let (code, text) = run(&["verify", &log, "--key-file", &keys]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("DOES NOT FIT: entry 256 (tile/entries/001)"), "{text}");
    let (code, text) = run(&["verify", &log, "--key-file", &keys, "--json"]).await;
    assert_eq!((code, &json(&text)["finding"]["entry"]), (1, &Value::from(256)));

    // Wrong usage says nothing of the log.
    assert_eq!(run(&["verify", &log]).await.0, 2, "no key");
    assert_eq!(run(&["verify", &at("nowhere"), "--key-file", &keys]).await.0, 2);
    assert_eq!(run(&["verify", &log, "--key", "no+key"]).await.0, 2);
    assert_eq!(run(&["verify", "http://127.0.0.1:9/log", "--key-file", &keys]).await.0, 3);
    assert_eq!(run(&["verify", "--data-dir", &at("nowhere")]).await.0, 2);
}
