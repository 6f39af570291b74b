//! Invariant 11, with a real process: every operation is driven, well and badly, with numbers that can be recognised; then
//! nothing that the service has written anywhere holds one: log lines, traces, figures, answers, the journal, the book's file.

use std::process::Stdio;

use serde_json::{Value, json};
use social_wallet::client::{RawAnswer, RawRequest};
use social_wallet::domain::IdempotencyKey;
use social_wallet::http::access::{self, Who};
use social_wallet::http::openapi::operations::OPERATIONS;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::crew::Crew;
use crate::http::{PAYER, accrual, declaration, fresh, iin, programme};

/// A card number that a bank's check accepts.
const CARD: &str = "4400430123456787";

fn command(data: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
    command.args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["DATABASE_URL", "KEYS", "LOG_KEY", "CHECKPOINT_FILE", "CLIENT", "CLIENT_KEY", "SERVER"] {
        command.env_remove(format!("SOCIAL_WALLET_{name}"));
    }
    command
}

#[track_caller]
fn nothing_personal(place: &str, bytes: &[u8]) {
    for number in [&iin(1), &iin(2), CARD] {
        let found = bytes.windows(number.len()).any(|window| window == number.as_bytes());
        assert!(!found, "invariant 11: {place} holds a number");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_11_nothing_that_the_service_writes_holds_a_persons_or_a_cards_number() {
    let data = tempfile::tempdir().unwrap();
    let crew = Crew::bootstrap(data.path(), command(data.path(), &["bootstrap", "--trial"])).await;
    let mut serve =
        command(data.path(), &["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    serve.args(["--log-format", "json"]).env("RUST_LOG", "debug");
    let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).await.unwrap();
        log
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = async |prefix: &str| {
        let line = lines.next_line().await.unwrap().unwrap();
        line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    let (url, figures) = (told("listening on ").await, told("figures at ").await);
    let call = async |name: &str, method: &str, path: &str, body: String| -> RawAnswer {
        let raw = RawRequest {
            method: method.to_uppercase(),
            path: path.to_owned(),
            key: Some(IdempotencyKey::parse(&fresh()).unwrap()),
            content_type: if path.contains("/chunks/") || path.contains("/orders/file") {
                "text/csv"
            } else {
                "application/json"
            }
            .into(),
            accept: "application/json".into(),
            body: body.into_bytes(),
        };
        crew.client(name, &url).call(&raw).await.unwrap()
    };
    // What goes well.
    let made = call("operator-1", "POST", "/v1/programmes", programme("ASP").to_string()).await;
    assert_eq!(made.status, 201);
    let asp = social_wallet::domain::ProgrammeCode::parse(b"ASP").unwrap();
    crew.fund(&url, asp, "1000.00", "PP 1").await;
    let mut answers = vec![made, call("payer", "POST", "/v1/accruals", accrual(1, "1.00").to_string()).await];
    assert_eq!(answers[1].status, 201);
    let batch = fresh();
    answers.push(
        call("payer", "PUT", &format!("/v1/batches/{batch}"), declaration(2, "2.00").to_string()).await,
    );
    let chunk = format!("{}{}", crate::http::HEADER, crate::http::lines(1..3, "1.00"));
    answers.push(call("payer", "PUT", &format!("/v1/batches/{batch}/chunks/1"), chunk).await);
    assert_eq!(answers[3].status, 200);
    // A client's own numbers may be anything: here a person's, in the idempotency key of what is accepted.
    let named_key = RawRequest {
        method: "POST".into(),
        path: "/v1/accruals".into(),
        key: Some(IdempotencyKey::parse(&format!("{}-2026-12", iin(1))).unwrap()),
        content_type: "application/json".into(),
        accept: "application/json".into(),
        body: crate::http::with(accrual(1, "2.00"), "period", json!("2026-12")).to_string().into_bytes(),
    };
    answers.push(crew.client("payer", &url).call(&named_key).await.unwrap());
    assert_eq!(answers[4].status, 201);
    // Orders, whose issuers write numbers wherever there is a text; their documents, and what holders are told of them.
    let texts = |person: u32| format!("against {} with {CARD}", iin(person));
    let order = |number: &str, person: u32| {
        json!({"number": number, "date": "2026-11-20", "kind": "collection", "iin": iin(person), "amount": "5.00",
            "currency": "KZT", "enforcement_document": texts(person), "purpose": texts(person)})
        .to_string()
    };
    let decided = call("authority", "POST", "/v1/orders", order("1", 1)).await;
    assert_eq!(decided.status, 201);
    let entry = serde_json::from_slice::<Value>(&decided.body).unwrap()["entry"].to_string();
    answers.push(decided);
    let named = call("authority", "POST", "/v1/orders", order(&iin(1), 1)).await;
    assert_eq!(named.status, 400, "an order is not named by its debtor's number");
    answers.push(named);
    let row = format!("2,2026-11-20,collection,{},5.00,KZT,{},{},,,,,,,,", iin(2), texts(2), texts(2));
    let file = format!("{}\n{row}\n", social_wallet::orders::file::HEADER);
    answers.push(call("authority", "POST", "/v1/orders/file", file).await);
    for (name, path) in [
        ("authority", format!("/v1/orders/{entry}")),
        ("authority", "/v1/orders".to_owned()),
        ("authority", format!("/v1/orders/{entry}/document")),
        ("channel", "/v1/events".to_owned()),
    ] {
        let answer = loop {
            let answer = call(name, "GET", &path, String::new()).await;
            if answer.status != 202 {
                break answer;
            }
        };
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.len() > 100, "{path} tells something");
        answers.push(answer);
    }
    // Every operation, as every role and unsigned, with the numbers wherever a request has room.
    for operation in OPERATIONS {
        let roles = match access::of(operation).who {
            Who::Everybody => vec!["auditor"],
            Who::Clients(roles) => roles
                .iter()
                .map(|role| if role.as_str() == "operator" { "operator-1" } else { role.as_str() })
                .collect(),
        };
        for number in [iin(1), iin(2), CARD.to_owned()] {
            let filled: String = operation
                .path
                .split('/')
                .map(|part| if part.starts_with('{') { number.as_str() } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let bodies = [
                format!(
                    r#"{{"iin":"{number}","payer":"{PAYER}","amount":"{number}","client":"{number}","kind":"{number}"}}"#
                ),
                format!(r#"{{"{number}":"{number}","#),
                format!("{number}\n{number},{number}\n"),
            ];
            for name in &roles {
                for path in [filled.clone(), format!("{filled}?{number}={number}")] {
                    for body in &bodies {
                        let body = if operation.body.is_some() { body.clone() } else { String::new() };
                        answers.push(call(name, operation.method, &path, body).await);
                    }
                }
            }
        }
    }
    let unsigned = crate::web();
    for header in ["signature", "signature-input", "idempotency-key", "traceparent", "accept", "user-agent"] {
        let request =
            unsigned.post(format!("{url}/v1/accruals")).header(header, format!("{CARD} {}", iin(1)));
        let answer = request.body(accrual(1, "1.00").to_string()).send().await.unwrap();
        nothing_personal("an answer", &answer.bytes().await.unwrap());
    }
    assert!(answers.len() > 500 && answers.iter().all(|answer| answer.status < 500));
    for answer in &answers {
        nothing_personal("an answer", &answer.body);
        nothing_personal("a field of an answer", format!("{:?}", answer.headers).as_bytes());
    }
    let figures = unsigned.get(figures).send().await.unwrap().bytes().await.unwrap();
    nothing_personal("the figures", &figures);
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().unwrap().to_string()])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(child.wait().await.unwrap().success());
    let log = log.await.unwrap();
    assert!(log.len() > 10_000, "lines were logged");
    nothing_personal("the service's log", &log);
    for file in ["book.sqlite", "checkpoint"] {
        nothing_personal(file, &std::fs::read(data.path().join(file)).unwrap());
    }
    let exported = data.path().join("log");
    let mut export = command(data.path(), &["log", "export", exported.to_str().unwrap()]);
    assert!(export.output().await.unwrap().status.success());
    nothing_personal("the journal", &std::fs::read(exported.join("checkpoint")).unwrap());
    let mut directories = vec![exported.join("tile/entries")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                nothing_personal("the journal", &std::fs::read(path).unwrap());
            }
        }
    }
}
