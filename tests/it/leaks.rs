//! Invariant 11, with a real process: every operation is driven, well and badly, with numbers that can be recognised; then
//! nothing that the service has written anywhere holds one: log lines, traces, figures, answers, the journal, the book's file.

use std::process::Stdio;

use serde_json::{Value, json};
use social_wallet::client::{RawAnswer, RawRequest};
use social_wallet::domain::IdempotencyKey;
use social_wallet::domain::time::rfc3339;
use social_wallet::http::access::{self, Who};
use social_wallet::http::openapi::operations::OPERATIONS;
use social_wallet::sequencer::clock;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::crash::Home;
use crate::crew::Crew;
use crate::http::{PAYER, accrual, declaration, fresh, iin, programme};
use crate::store::{Place, in_both_rooms};
use crate::until;

in_both_rooms! {
    invariant_11_nothing_that_the_service_writes_holds_a_persons_or_a_cards_number_or_where_money_goes,
}

/// A card number that a bank's check accepts.
const CARD: &str = "4400430123456787";

/// Where money goes: the token of a card, and an account. They are not those of the examples in the description.
const TOKEN: &str = "tok-3c9d5a71";
const IBAN: &str = "KZ43125KZT5004100777";

/// What stands nowhere: in no answer, and in nothing that is kept.
fn personal() -> [String; 3] {
    [iin(1), iin(2), CARD.to_owned()]
}

#[track_caller]
fn nothing_of(secrets: &[String], place: &str, bytes: &[u8]) {
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "invariant 11: {place} holds {secret}");
    }
}

#[track_caller]
fn nothing_personal(place: &str, bytes: &[u8]) {
    nothing_of(&personal(), place, bytes);
}

/// Whether a code of eight digits stands in bytes by itself. Within a longer number it may stand by chance.
fn has_code(code: &str, bytes: &[u8]) -> bool {
    let apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    bytes.windows(code.len()).enumerate().any(|(at, window)| {
        let (before, after) = (at.checked_sub(1).map(|before| &bytes[before]), bytes.get(at + code.len()));
        window == code.as_bytes() && apart(before) && apart(after)
    })
}

/// Everything that the store holds, in its parts.
async fn stored(place: &Place, home: &Home) -> Vec<(String, Vec<u8>)> {
    if let Place::Sqlite { .. } = place {
        // What the service has not written back by its end is in the write-ahead log.
        let files = std::fs::read_dir(&home.data).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let of_book = files.filter(|path| name(path).starts_with("book.sqlite"));
        return of_book.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect();
    }
    let mut raw = place.raw().await;
    let mut parts = Vec::new();
    for table in raw.tables().await {
        // Bytes are written in hex: once as they are, once read as text.
        for row in raw.texts(&format!("SELECT row::text FROM {table} AS row")).await {
            let columns = row.split([',', '"', '(', ')']);
            for column in columns.filter_map(|column| column.trim_start_matches('\\').strip_prefix('x')) {
                parts.push((table.clone(), hex::decode(column).unwrap_or_default()));
            }
            parts.push((table.clone(), row.into_bytes()));
        }
    }
    parts
}

async fn invariant_11_nothing_that_the_service_writes_holds_a_persons_or_a_cards_number_or_where_money_goes(
    place: &Place,
) {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::of(place, directory.path());
    let crew = Crew::bootstrap(&home.data, home.command(&["bootstrap", "--trial"])).await;
    let mut serve = home.command(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    serve.args(["--log-format", "json"]).env("RUST_LOG", "debug").stderr(Stdio::piped());
    let (mut child, [url, figures]) = crate::announced(&mut serve, ["listening on ", "figures at "]).await;
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).await.unwrap();
        log
    });
    crate::signed(&url).await;
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
        let client = crew.client(name, &url);
        // A machine that is busy with other things is asked again.
        let asked = async || Some(client.call(&raw).await.unwrap()).filter(|answer| answer.status != 503);
        until("an answer", asked).await
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
        let covered = async || {
            Some(call(name, "GET", &path, String::new()).await).filter(|answer| answer.status != 202)
        };
        let answer = until("a checkpoint", covered).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.len() > 100, "{path} tells something");
        answers.push(answer);
    }
    // Money goes out, and what it needs is told to whom it concerns.
    let asked = async |name: &str, path: &str, body: &Value| {
        let answer = call(name, "POST", path, body.to_string()).await;
        let made: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{path}: {made}");
        (answer, made)
    };
    let (looked, known) = asked("channel", "/v1/wallets/lookup", &json!({"iin": iin(1)})).await;
    answers.push(looked);
    let now = clock::now();
    let mut told = Vec::new();
    let mut code = String::new();
    for destination in
        [json!({"card": {"token": TOKEN, "last_four": "4242"}}), json!({"iban": IBAN}), Value::Null]
    {
        let is_cash = destination.is_null();
        let mut body = json!({"wallet": known["wallet"], "for": if is_cash { "cash" } else { "transfer" },
            "amount": "0.50", "currency": "KZT", "expires": rfc3339(now + 600_000),
            "consent": {"method": "session", "evidence": fresh().replace('-', "").repeat(2), "at": rfc3339(now)}});
        if let Value::Object(members) = destination {
            body["bank"] = json!("CASPKZKA");
            body.as_object_mut().unwrap().extend(members);
        }
        let (answer, given) = asked("channel", "/v1/authorisations", &body).await;
        answers.push(answer);
        let body = json!({"authorisation": given["entry"], "amount": "0.50", "currency": "KZT"});
        let (answer, made) =
            asked("channel", if is_cash { "/v1/cash" } else { "/v1/transfers" }, &body).await;
        if is_cash {
            made["code"].as_str().unwrap().clone_into(&mut code);
            told.push(answer);
            let reference = &made["reference"];
            let body = json!({"reference": reference, "code": code, "terminal": "ATM-1"});
            answers.push(asked("bank", "/v1/cash/redeem", &body).await.0);
            let body = json!({"reference": reference, "outcome": "captured"});
            answers.push(asked("bank", "/v1/cash/outcomes", &body).await.0);
        } else {
            answers.push(answer);
            let path = format!("/v1/transfers/{}", made["entry"]);
            told.push(call("bank", "GET", &path, String::new()).await);
            answers.push(asked("bank", &format!("{path}/answers"), &json!({"answer": "settled"})).await.0);
            answers.push(call("auditor", "GET", &path, String::new()).await);
        }
    }
    for (answer, secret) in told.iter().zip([TOKEN, IBAN, &code]) {
        assert!(String::from_utf8_lossy(&answer.body).contains(secret), "who needs it is told {secret}");
        nothing_personal("an answer", &answer.body);
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
    let secrets = [&personal()[..], &[TOKEN.to_owned(), IBAN.to_owned()]].concat();
    let nothing_secret = |place: &str, bytes: &[u8]| {
        nothing_of(&secrets, place, bytes);
        assert!(!has_code(&code, bytes), "{place} holds a code that was told once");
    };
    assert!(answers.len() > 500 && answers.iter().all(|answer| answer.status < 500));
    for answer in &answers {
        nothing_secret("an answer", &answer.body);
        nothing_secret("a field of an answer", format!("{:?}", answer.headers).as_bytes());
    }
    let figures = unsigned.get(figures).send().await.unwrap().bytes().await.unwrap();
    nothing_secret("the figures", &figures);
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
    nothing_secret("the service's log", &log);
    nothing_secret("checkpoint", &std::fs::read(home.data.join("checkpoint")).unwrap());
    let stored = stored(place, &home).await;
    let bytes: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes > 100_000, "the store was read: {bytes} bytes");
    for (name, bytes) in &stored {
        nothing_secret(name, bytes);
    }
    let exported = directory.path().join("log");
    let mut export = home.command(&["log", "export", exported.to_str().unwrap()]);
    assert!(export.output().await.unwrap().status.success());
    nothing_secret("the journal", &std::fs::read(exported.join("checkpoint")).unwrap());
    let mut directories = vec![exported.join("tile/entries")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                nothing_secret("the journal", &std::fs::read(path).unwrap());
            }
        }
    }
}
