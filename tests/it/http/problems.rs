//! The catalogue of problems: every code can be met, and of several faults the one of the earliest stage is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use social_wallet::http::catalogue::Code;
use social_wallet::http::limits::HEAD_BYTES_MAX;

use super::failing::failures;
use super::signed::{send, send_changed, signed, signer};
use super::{
    Answer, HEADER, OTHER_PAYER, PAYER, Service, accrual, declaration, fresh, in_both_rooms, line, lines,
    mistyped_iin, programme, reversal, with, without,
};
use crate::store::Place;

in_both_rooms! {
    every_code_can_be_met,
    of_several_faults_the_earliest_stage_is_answered,
}

/// Codes that no request of these tests is answered with, with the file that makes them and the reason.
const ELSEWHERE: &[(Code, &str, &str)] = &[
    (Code::BodyIncomplete, "src/http/mod.rs", "the client has gone; see its unit test"),
    (Code::BodyTooSlow, "src/http/mod.rs", "thirty seconds; see its unit test"),
    (Code::RequestTimeout, "src/http/mod.rs", "two minutes; see its unit test"),
    (Code::PayOutNotFound, "src/ledger/rules.rs", "a command of tests only"),
    (Code::LotsTooMany, "src/ledger/payment_rules.rs", "257 accruals; see its unit test"),
    (Code::MergeTooLarge, "src/ledger/person.rs", "257 accruals; see its unit test"),
    (Code::ReturnsTooMany, "src/ledger/payment_rules.rs", "a hundred returns"),
    (Code::AuthorisationExpired, "src/ledger/payment_rules.rs", "a day; see its unit test"),
    (
        Code::ChannelStopped,
        "src/ledger/payment_rules.rs",
        "it stops the tests' channel; see the tests of payments",
    ),
    (
        Code::ChannelLimitExceeded,
        "src/ledger/payment_rules.rs",
        "ten thousand million tenge; see its unit test",
    ),
    (
        Code::ClientNotEntitled,
        "src/ledger/payment_rules.rs",
        "a client suspended between the door and the writer",
    ),
    (Code::CashTriesExceeded, "src/ledger/cash_rules.rs", "twenty wrong codes; see the tests of payments"),
    (
        Code::SumTooLarge,
        "src/ledger/rules.rs",
        "ten thousand fundings of the largest amount; see the ledger's tests",
    ),
    (Code::BookFull, "src/ledger/rules.rs", "two billion wallets; see its unit test"),
    (
        Code::BatchReleasedAlready,
        "src/ledger/batch_rules.rs",
        "answered 200 with the batch, unless it is cancelled meanwhile",
    ),
    (Code::OriginOutOfOrder, "src/ledger/log_rules.rs", "an operator's command"),
    (Code::LogKeyNotCurrent, "src/ledger/log_rules.rs", "an operator's command"),
    (Code::BookBootstrapped, "src/ledger/registry_rules.rs", "an operator's command"),
    (Code::ApprovalExpired, "src/ledger/registry_rules.rs", "three days; see its unit test"),
];

async fn every_code_can_be_met(place: &Place) {
    let service = Service::start(place).await;
    provoke_reading(&service).await;
    provoke_rules(&service).await;
    provoke_batches(&service).await;
    let mut answers = service.answers.lock().unwrap().clone();
    let outside = Arc::clone(&service.outside);
    service.close().await;
    answers.extend(failures(place, &outside).await);
    let guarded = Service::guarded_beside(place, outside).await;
    provoke_signatures(&guarded).await;
    super::payments::provoke(&guarded).await;
    super::holders::provoke(&guarded).await;
    super::orders::provoke(&guarded).await;
    provoke_clients(&guarded).await;
    answers.append(&mut guarded.answers.lock().unwrap());
    guarded.stop().await;
    let met: BTreeSet<String> = answers.iter().flat_map(codes).collect();
    let elsewhere: BTreeSet<String> = ELSEWHERE.iter().map(|(code, ..)| code.name().to_owned()).collect();
    let all: BTreeSet<String> = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(
        all.difference(&met).cloned().collect::<BTreeSet<_>>(),
        elsewhere,
        "what nobody meets is listed"
    );
    for (code, file, _) in ELSEWHERE {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let made = format!("Code::{code:?}");
        assert!(std::fs::read_to_string(path).unwrap().contains(&made), "{file} does not make {made}");
    }
}

/// The code of a problem, or those of the verdicts.
fn codes(answer: &Answer) -> Vec<String> {
    let text = |value: &Value| value["code"].as_str().map(str::to_owned);
    match answer.header("content-type") {
        Some("application/problem+json") => text(&answer.json()).into_iter().collect(),
        Some("application/json") => {
            answer.json()["verdicts"].as_array().into_iter().flatten().filter_map(text).collect()
        }
        _ => Vec::new(),
    }
}

async fn provoke_reading(service: &Service) {
    // Before the first checkpoint the log's paths are answered so: a receipt waits for one.
    service.get_covered("/v1/entries/0/receipt").await;
    for path in [
        "/nothing",
        "/v1/batches/x",
        "/v1/programmes/NONE",
        "/v1/entries/999999",
        "/v1/reports/trial-balance?colour=red",
        "/v1/reports/trial-balance?at=2026-11-22&at=2026-11-23",
        "/v1/batches/0f6d1c9e-6a2b-4c55-9d3e-5a7f1b2c3d4e",
        "/log/tile/0/999",
        "/v1/log/inclusion?entry=0&size=999999",
    ] {
        service.get(path).await;
    }
    service.send(service.request("DELETE", "/v1/programmes")).await;
    service.send(service.request("GET", "/v1/book").header("filler", "f".repeat(HEAD_BYTES_MAX))).await;
    service.send(service.request("GET", "/v1/receipt").header("Idempotency-Key", "unused")).await;
    let write = || service.request("POST", "/v1/accruals").body(accrual(1, "1.00").to_string());
    service.send(write()).await;
    service.send(write().header("Idempotency-Key", "a \" b")).await;
    for body in ["[".to_owned(), "x".repeat(64 * 1024 + 1)] {
        let request = service.request("POST", "/v1/accruals").header("Idempotency-Key", "a").body(body);
        service.send(request).await;
    }
    let good = accrual(1, "1.00");
    for (member, value) in [
        ("iin", json!("1")),
        ("iin", json!(mistyped_iin(1))),
        ("part", json!(0)),
        ("period", json!("x")),
        ("amount", json!("x")),
        ("amount", json!("1.001")),
        ("amount", json!("0")),
        ("amount", json!("-1")),
        ("amount", json!("9999999999999")),
        ("currency", json!("USD")),
        ("colour", json!("red")),
    ] {
        service.write("/v1/accruals", &with(good.clone(), member, value)).await;
    }
    service.write("/v1/accruals", &without(good, "payer")).await;
}

async fn provoke_rules(service: &Service) {
    let good = accrual(1, "1.00");
    let lookup = |person| json!({"iin": super::iin(person)}).to_string();
    service.send(service.request("POST", "/v1/wallets/lookup").body(lookup(9))).await;
    service.write("/v1/programmes", &programme("ASP")).await;
    service.post("/v1/accruals", "first", &good).await.expect(201);
    service.post("/v1/accruals", "first", &with(good.clone(), "amount", json!("2.00"))).await;
    service.write("/v1/accruals", &good).await;
    service.write("/v1/accruals", &with(accrual(2, "1.00"), "programme", json!("NONE"))).await;
    service.write("/v1/accruals", &with(accrual(2, "1.00"), "payer", json!(OTHER_PAYER))).await;
    service.write("/v1/accruals", &accrual(2, "99999999.00")).await;
    let wallet = service.wallet_of(1).await["wallet"].as_str().unwrap().to_owned();
    service.get(&format!("/v1/wallets/{wallet}/statement?after=x")).await;
    service.write("/v1/reversals", &reversal(7)).await;
    service.write("/v1/reversals", &reversal(1)).await.expect(201);
    service.write("/v1/reversals", &reversal(1)).await;
    let funding = json!({"amount": "1.00", "currency": "KZT", "bank_reference": "once"});
    for _ in 0..2 {
        service.write("/v1/programmes/ASP/fundings", &funding).await;
    }
}

/// Who is who, and what takes two.
async fn provoke_clients(service: &Service) {
    let post = async |by: &str, path: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(service, by, ("POST", path, &body)).await
    };
    let key = |name: &str| json!({"public_key": signer(name).public_key()});
    let reason = || json!({"reason": "to see what comes of it"});
    post("operator", "/v1/programmes", programme("BONUS")).await.expect(201);
    post("payer", "/v1/programmes", programme("ASP")).await;
    post("other", "/v1/accruals", accrual(1, "1.00")).await;
    send(service, "auditor", ("GET", "/v1/entries/0/evidence", "")).await;
    send(service, "operator", ("GET", "/v1/clients/nobody", "")).await;
    post("operator", "/v1/clients", json!({"client": "payer", "role": "auditor"})).await;
    post("operator", "/v1/clients", json!({"client": "new", "role": "bank"})).await;
    post("operator", "/v1/clients", json!({"client": "new", "role": "operator"})).await;
    post("auditor", "/v1/clients/payer/keys", key("new")).await;
    post("operator", "/v1/clients/payer/keys", key("payer")).await;
    for number in 1..=16 {
        post("bank", "/v1/clients/bank/keys", key(&format!("bank-{number}"))).await;
    }
    let path = format!("/v1/clients/other/keys/{}/revoke", signer("other").key_id());
    for _ in 0..2 {
        post("operator", &path, Value::Null).await;
    }
    post("operator", "/v1/clients/other/keys/other:0011223344556677/revoke", Value::Null).await;
    post("operator", "/v1/clients/payer/reinstate", reason()).await;
    post("operator", "/v1/clients/operator/suspend", reason()).await;
    post("operator", "/v1/clients/channel/suspend", reason()).await;
    send(service, "channel", ("GET", "/v1/book", "")).await;
    let class = |class: &str| json!({"kind": "change_class", "programme": "BONUS", "class": class});
    post("operator", "/v1/approvals", class("protected")).await;
    let asked = post("operator", "/v1/approvals", class("general")).await.expect(201);
    let given = json!({"digest": asked["digest"]});
    let path = format!("/v1/approvals/{}", asked["entry"]);
    post("operator", &format!("{path}/approve"), given.clone()).await;
    post("operator-2", &format!("{path}/approve"), json!({"digest": "00".repeat(32)})).await;
    post("operator", &format!("{path}/close"), reason()).await.expect(201);
    post("operator-2", &format!("{path}/approve"), given).await;
    send(service, "operator", ("GET", "/v1/approvals/999999", "")).await;
}

/// Every way to be taken for nobody.
async fn provoke_signatures(service: &Service) {
    let body = programme("BIRTH").to_string();
    let request = ("POST", "/v1/programmes", body.as_str());
    let now = super::NOON / 1_000;
    type Change<'a> = &'a dyn Fn(&str) -> String;
    let changes: [(Code, Change<'_>); 18] = [
        (Code::SignatureMalformed, &|_| "sig1=(".to_owned()),
        (Code::SignatureNotSingle, &|input| format!("{input}, {}", input.replace("sig1", "sig2"))),
        (Code::SignatureLabelMismatch, &|input| input.replace("sig1", "sig2")),
        (Code::SignatureComponentMissing, &|input| input.replace("\"@target-uri\" ", "")),
        (Code::SignatureComponentUnknown, &|input| input.replace("(\"@method\"", "(\"@method\" \"accept\"")),
        (Code::SignatureComponentRepeated, &|input| {
            input.replace("(\"@method\"", "(\"@method\" \"@method\"")
        }),
        (Code::SignatureComponentParameter, &|input| input.replace("\"@method\"", "\"@method\";req")),
        (Code::SignatureParameterMissing, &|input| {
            input.replace(";alg=\"ed25519\";tag=\"social-wallet-v1\"", "")
        }),
        (Code::SignatureParameterUnknown, &|input| format!("{input};colour=1")),
        (Code::SignatureTimeMalformed, &|input| replaced(input, "created", "1.5")),
        (Code::SignatureNonceMalformed, &|input| replaced(input, "nonce", "\"short\"")),
        (Code::SignatureKeyidMalformed, &|input| replaced(input, "keyid", "\"operator\"")),
        (Code::SignatureTagWrong, &|input| replaced(input, "tag", "\"another\"")),
        (Code::SignatureAlgorithmUnsupported, &|input| replaced(input, "alg", "\"rsa-v1_5-sha256\"")),
        (Code::SignatureCreatedOutsideWindow, &|input| {
            replaced(&replaced(input, "created", &(now - 301).to_string()), "expires", &(now - 1).to_string())
        }),
        (Code::SignatureLifetimeOutOfRange, &|input| replaced(input, "expires", &(now + 300).to_string())),
        (Code::SignatureExpired, &|input| {
            replaced(&replaced(input, "created", &(now - 200).to_string()), "expires", &(now - 1).to_string())
        }),
        (Code::SignatureInvalid, &|input| replaced(input, "nonce", "\"another-nonce-of-the-same-kind\"")),
    ];
    for (code, change) in changes {
        let answer = send_changed(service, "operator", request, |headers, _| {
            let input = change(headers["signature-input"].to_str().unwrap());
            headers.insert("signature-input", input.parse().unwrap());
        });
        let answer = answer.await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (401, Some(code.name())),
            "{}",
            answer.body
        );
        assert_eq!(answer.header("www-authenticate"), Some("Signature"));
    }
    let changed = async |change: &dyn Fn(&mut http::HeaderMap, &mut String)| {
        send_changed(service, "operator", request, |headers, body| change(headers, body)).await
    };
    changed(&|headers, _| _ = headers.remove("signature")).await.refused(
        401,
        "signature_missing",
        Some("signature"),
    );
    changed(&|headers, _| _ = headers.append("idempotency-key", "b".parse().unwrap())).await.refused(
        401,
        "signature_field_repeated",
        Some("idempotency-key"),
    );
    changed(&|headers, _| _ = headers.insert("content-digest", "x".parse().unwrap())).await.refused(
        401,
        "content_digest_malformed",
        Some("content-digest"),
    );
    changed(&|_, body| body.push(' ')).await.refused(401, "content_digest_mismatch", Some("content-digest"));
    let without =
        send_changed(service, "operator", ("POST", "/v1/programmes", ""), |_, body| body.push_str("{}"));
    without.await.refused(401, "signature_body_field_missing", Some("content-digest"));
    send(service, "stranger", request).await.refused(401, "signature_key_unknown", Some("keyid"));
    let twice = || signed(service, "operator", request, "once", "a-nonce-of-sixteen");
    for status in [201, 401] {
        let (headers, builder) = twice();
        assert_eq!(service.send(builder.headers(headers)).await.status, status);
    }
}

/// The signature's input with another value of a parameter.
fn replaced(input: &str, name: &str, value: &str) -> String {
    let begin = input.find(&format!(";{name}=")).unwrap() + name.len() + 2;
    let end = input[begin..].find(';').map_or(input.len(), |length| begin + length);
    format!("{}{value}{}", &input[..begin], &input[end..])
}

async fn provoke_batches(service: &Service) {
    let id = service.open(2, "2.00").await;
    for (kind, body) in [
        ("text/plain", String::new()),
        ("text/csv", HEADER.to_owned()),
        ("text/csv", line(11, "1.00")),
        ("text/csv", "colour\nred\n".to_owned()),
        ("text/csv", format!("{HEADER}{}", "x\n".repeat(8_193))),
        ("text/csv", format!("{HEADER}{}", "x".repeat(4 * 1024 * 1024))),
        ("text/csv", format!("{HEADER}{}", lines(11..14, "0.10"))),
        ("text/csv", format!("{HEADER}{}", lines(11..13, "5.00"))),
    ] {
        service.chunk_as(&id, 1, kind, body).await;
    }
    service.step(&id, "close", "somebody-else").await;
    service.step(&id, "cancel", "anonymous").await;
    service.chunk(&id, 1, &line(11, "1.00")).await;

    // In verdicts.
    let id = service.open(9, "9.00").await;
    let undeclared = [("ASP", "2026-12"), ("OTHER", "2026-11")];
    let undeclared =
        undeclared.map(|(code, period)| line(13, "1.00").replace("ASP,2026-11", &format!("{code},{period}")));
    service.chunk(&id, 1, &undeclared.concat()).await.expect(200);
    let openings =
        json!({"kind": "wallet_opening", "payer": PAYER, "lines": 1, "total": "0.00", "currency": "KZT"});
    let (opened, person) = (fresh(), super::iin(1));
    service.put_batch(&opened, &openings).await.expect(201);
    service.chunk_as(&opened, 1, "text/csv", format!("iin\n{person}\n")).await.expect(200);
    for amount in ["1.00", "2.00"] {
        service.chunk(&id, 3, &line(14, amount)).await.expect(200);
    }

    let later = with(declaration(1, "1.00"), "not_before", json!("2030-01-01T00:00:00Z"));
    let released = with(declaration(1, "1.00"), "release_required", json!(true));
    let (later_id, released_id, rehearsed) = (fresh(), fresh(), fresh());
    service.put_batch(&later_id, &later).await.expect(201);
    service.chunk(&later_id, 1, &line(12, "1.00")).await;
    service.put_batch(&released_id, &released).await.expect(201);
    service.chunk(&released_id, 1, &line(12, "1.00")).await;
    service.step(&released_id, "release", "anonymous").await;
    service
        .put_batch(&rehearsed, &with(declaration(1, "1.00"), "validate_only", json!(true)))
        .await
        .expect(201);
    for _ in 0..2 {
        service.chunk(&rehearsed, 1, &line(12, "1.00")).await;
    }
    service.get(&format!("/v1/batches/{rehearsed}/verdicts")).await;
}

async fn of_several_faults_the_earliest_stage_is_answered(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(2, "2.00").await;
    let chunk = |path: &str, kind: &str| {
        service.request("PUT", path).header("Content-Type", kind.to_owned()).body("x")
    };
    let mistyped = |body: Value| with(with(body, "iin", json!(mistyped_iin(1))), "programme", json!("NONE"));
    let large = || format!("{HEADER}{}", "x".repeat(4 * 1024 * 1024));
    let nowhere = format!("/v1/batches/{}/chunks/1", fresh());
    for (request, earlier, later) in [
        (chunk(&nowhere, "text/csv").body(large()), Code::ChunkTooLarge, Code::BatchUnknown),
        (chunk("/v1/batches/x/chunks/0", "text/plain"), Code::BatchMalformed, Code::ContentTypeUnsupported),
        (
            chunk(&format!("/v1/batches/{id}/chunks/0"), "text/plain"),
            Code::ContentTypeUnsupported,
            Code::FieldMalformed,
        ),
        (service.request("POST", "/v1/accruals").body("["), Code::IdempotencyKeyMissing, Code::BodyMalformed),
        (
            service
                .request("POST", "/v1/accruals")
                .header("Idempotency-Key", "a")
                .body(mistyped(accrual(1, "1.00")).to_string()),
            Code::IinCheckDigit,
            Code::ProgrammeUnknown,
        ),
        (
            service.request("POST", "/v1/programmes/x/fundings").body("["),
            Code::ProgrammeNotFound,
            Code::IdempotencyKeyMissing,
        ),
        (
            service.request("GET", "/v1/batches/x/verdicts?colour=red"),
            Code::BatchMalformed,
            Code::ParameterUnknown,
        ),
        (
            service.request("GET", &format!("/v1/batches/{}/verdicts?limit=0", fresh())),
            Code::FieldMalformed,
            Code::BatchUnknown,
        ),
        (
            service.request("GET", &format!("/v1/wallets/{}/statement?limit=0", fresh())),
            Code::FieldMalformed,
            Code::WalletUnknown,
        ),
    ] {
        assert!(earlier.row().stage < later.row().stage, "{earlier:?} goes before {later:?}");
        let answer = service.send(request).await;
        assert_eq!(answer.json()["code"], earlier.name(), "{}", answer.body);
    }
    // The exception that `errors.md` names.
    let answer = service.send(chunk(&nowhere, "text/csv").body("")).await;
    assert_eq!(answer.json()["code"], Code::BatchUnknown.name());
    assert!(Code::ChunkEmpty.row().stage < Code::BatchUnknown.row().stage);
    service.close().await;
}
