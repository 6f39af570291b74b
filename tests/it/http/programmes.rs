//! `/v1/programmes`, `/v1/programmes/{code}`, `/v1/programmes/{code}/fundings`.

use serde_json::{Value, json};

use super::{OTHER_PAYER, Service, fresh, in_both_rooms, programme, with, without};
use crate::store::Place;

in_both_rooms! {
    a_programme_is_registered_listed_and_shown,
    invariant_7_the_same_key_gives_the_first_answer_again_and_other_content_is_refused_by_field,
    a_write_without_a_well_formed_key_is_refused,
    every_malformed_member_is_named,
    unknown_and_repeated_members_are_refused,
    a_funding_is_booked_once_for_each_bank_reference,
    invariant_7_sixteen_requests_under_one_key_at_once_make_one_entry,
    invariant_7_a_refusal_binds_nothing,
}

async fn a_programme_is_registered_listed_and_shown(place: &Place) {
    let service = Service::on_new_book(place).await;
    assert_eq!(service.get("/v1/programmes").await.expect(200), json!({"programmes": []}));
    let entry = service.write("/v1/programmes", &programme("ASP")).await.expect(201);
    assert_eq!(entry["entry"], 1);
    assert_eq!(entry["kind"], "programme_registered");
    assert_eq!(entry["date"], "2026-11-21");
    let minimal = ["knp", "kbe", "iso_purpose"].into_iter().fold(programme("BIRTH"), without);
    let general = with(minimal, "class", json!("general"));
    service.write("/v1/programmes", &general).await.expect(201);
    service.fund("ASP", "500.25").await;
    let shown = service.get("/v1/programmes/ASP").await.expect(200);
    for (name, value) in programme("ASP").as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!((&shown["funding"], &shown["in_wallets"]), (&json!("500.25"), &json!("0.00")));
    let listed = service.get("/v1/programmes").await.expect(200);
    assert_eq!(listed["programmes"][0], shown);
    assert_eq!(listed["programmes"][1]["class"], "general");
    assert_eq!(listed["programmes"][1]["knp"], Value::Null);
    for unknown in ["NONE", "asp", "A%20B", "%D0%96"] {
        service.get(&format!("/v1/programmes/{unknown}")).await.refused(404, "programme_not_found", None);
    }
    let again = service.write("/v1/programmes", &programme("ASP")).await;
    assert_eq!(again.refused(409, "programme_exists", Some("programme"))["entry"], 1);
    service.close().await;
}

async fn invariant_7_the_same_key_gives_the_first_answer_again_and_other_content_is_refused_by_field(
    place: &Place,
) {
    let service = Service::on_new_book(place).await;
    let first = service.post("/v1/programmes", "key-1", &programme("ASP")).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = service.post("/v1/programmes", "key-1", &programme("ASP")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(again.json(), first.json());
    let names = json!({"kk": "а", "ru": "б", "en": "c"});
    for (field, other) in [
        ("code", json!("BIRTH")),
        ("names", names),
        ("payer", json!(OTHER_PAYER)),
        ("legal_basis", json!("another")),
        ("class", json!("general")),
        ("knp", json!("027")),
        ("knp", Value::Null),
        ("kbe", json!("18")),
        ("iso_purpose", json!("BECH")),
    ] {
        let refused = service.post("/v1/programmes", "key-1", &with(programme("ASP"), field, other)).await;
        let refused = refused.refused(422, "instruction_conflict", Some(field));
        assert_eq!((&refused["entry"], &refused["final"]), (&json!(1), &json!(false)));
    }
    // The key is the client's own, and means one path.
    let other = service.request("POST", "/v1/programmes").header("Idempotency-Key", "key-1");
    let other = other.header("Social-Wallet-Client", "other").body(programme("BIRTH").to_string());
    service.send(other).await.expect(201);
    let elsewhere = service.post("/v1/wallets", "key-1", &json!({"iin": super::iin(1)})).await;
    elsewhere.refused(422, "instruction_conflict", Some("path"));

    let funding = json!({"amount": "10.00", "currency": "KZT", "bank_reference": "PP 1"});
    let first = service.post("/v1/programmes/ASP/fundings", "key-2", &funding).await;
    let again = service.post("/v1/programmes/ASP/fundings", "key-2", &funding).await;
    assert_eq!((first.expect(201), again.header("idempotency-replayed")), (again.expect(201), Some("true")));
    for (field, path, body) in [
        ("programme", "BIRTH", funding.clone()),
        ("amount", "ASP", with(funding.clone(), "amount", json!("10.01"))),
        ("bank_reference", "ASP", with(funding.clone(), "bank_reference", json!("PP 2"))),
    ] {
        let refused = service.post(&format!("/v1/programmes/{path}/fundings"), "key-2", &body).await;
        refused.refused(422, "instruction_conflict", Some(field));
    }
    assert_eq!(service.get("/v1/programmes/ASP").await.expect(200)["funding"], "10.00");
    // The same after a restart: the binding is in the book.
    let service = service.restart(place, super::first_day).await;
    let again = service.post("/v1/programmes/ASP/fundings", "key-2", &funding).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first.json(), Some("true")));
    service.close().await;
}

async fn a_write_without_a_well_formed_key_is_refused(place: &Place) {
    let service = Service::start(place).await;
    let size = service.size().await;
    let funding = json!({"amount": "10.00", "currency": "KZT", "bank_reference": "PP 1"});
    for (path, body) in [
        ("/v1/programmes", programme("BIRTH")),
        ("/v1/programmes/ASP/fundings", funding),
        ("/v1/wallets", json!({"iin": super::iin(1)})),
        ("/v1/accruals", super::accrual(1, "1.00")),
        ("/v1/reversals", super::reversal(1)),
    ] {
        let request = || service.request("POST", path).body(body.to_string());
        let missing = service.send(request()).await;
        missing.refused(400, "idempotency_key_missing", Some("Idempotency-Key"));
        let twice = request().header("Idempotency-Key", "a").header("Idempotency-Key", "b");
        service.send(twice).await.refused(400, "idempotency_key_missing", Some("Idempotency-Key"));
        for key in ["", "a b", "a\"b", "a\\b", &"k".repeat(65)] {
            let malformed = service.post(path, key, &body).await;
            malformed.refused(400, "idempotency_key_malformed", Some("Idempotency-Key"));
        }
        let bytes = reqwest::header::HeaderValue::from_bytes(b"\xff").unwrap();
        let malformed = service.send(request().header("Idempotency-Key", bytes)).await;
        malformed.refused(400, "idempotency_key_malformed", Some("Idempotency-Key"));
    }
    assert_eq!(service.size().await, size);
    let longest = service.post("/v1/programmes", &"k".repeat(64), &programme("BIRTH")).await;
    longest.expect(201);
    service.close().await;
}

async fn every_malformed_member_is_named(place: &Place) {
    let service = Service::on_new_book(place).await;
    for (field, bad) in [
        ("code", json!("asp")),
        ("code", json!("A".repeat(17))),
        ("code", json!(7)),
        ("names", json!("ASP")),
        ("names", json!({"kk": "а", "ru": "б"})),
        ("names", json!({"kk": "а", "ru": "б", "en": ""})),
        ("names", json!({"kk": "а", "ru": "б", "en": "c", "de": "d"})),
        ("payer", json!("940140000386")),
        ("payer", json!("94014000038")),
        ("legal_basis", json!("")),
        ("legal_basis", json!("x".repeat(501))),
        ("class", json!("secret")),
        ("knp", json!("26")),
        ("kbe", json!("1a")),
        ("iso_purpose", json!("ssbe")),
    ] {
        let refused = service.write("/v1/programmes", &with(programme("ASP"), field, bad)).await;
        refused.refused(400, "field_malformed", Some(field));
    }
    for field in ["code", "payer", "legal_basis", "class"] {
        let refused = service.write("/v1/programmes", &without(programme("ASP"), field)).await;
        refused.refused(400, "field_missing", Some(field));
    }
    service.register("ASP").await;
    let funding = json!({"amount": "10.00", "currency": "KZT", "bank_reference": "PP 1"});
    for (field, bad, code) in [
        ("amount", json!("ten"), "amount_malformed"),
        ("amount", json!("1e3"), "amount_malformed"),
        ("amount", json!("0.00"), "amount_zero"),
        ("amount", json!("-1.00"), "amount_negative"),
        ("amount", json!("1.001"), "amount_scale"),
        ("amount", json!(10), "field_malformed"),
        ("currency", json!("USD"), "currency_unsupported"),
        ("bank_reference", json!(" PP 1"), "field_malformed"),
        ("bank_reference", json!(["PP 1"]), "field_malformed"),
    ] {
        let refused = service.write("/v1/programmes/ASP/fundings", &with(funding.clone(), field, bad)).await;
        refused.refused(400, code, Some(field));
    }
    for field in ["amount", "currency", "bank_reference"] {
        let refused = service.write("/v1/programmes/ASP/fundings", &without(funding.clone(), field)).await;
        refused.refused(400, "field_missing", Some(field));
    }
    let unknown = service.write("/v1/programmes/BIRTH/fundings", &funding).await;
    unknown.refused(422, "programme_unknown", Some("programme"));
    assert_eq!(service.size().await, 2, "nothing of this was done");
    service.close().await;
}

async fn unknown_and_repeated_members_are_refused(place: &Place) {
    let service = Service::on_new_book(place).await;
    let post = |body: String| {
        let request = service.request("POST", "/v1/programmes").header("Idempotency-Key", fresh());
        service.send(request.body(body))
    };
    let unknown = post(with(programme("ASP"), "colour", json!("red")).to_string()).await;
    assert!(!unknown.body.contains("colour"), "the client's text is not repeated");
    unknown.refused(400, "field_unknown", None);
    let text = programme("ASP").to_string();
    for body in [
        text.replacen('{', r#"{"code":"BIRTH","#, 1),
        text.replacen(r#"{"en""#, r#"{"en":"x","en""#, 1),
        format!("{text}{text}"),
        format!("[{text}]"),
        text[..text.len() - 1].to_owned(),
        String::new(),
        "null".into(),
    ] {
        assert_ne!(body, text);
        post(body).await.refused(400, "body_malformed", None);
    }
    let too_long = with(programme("ASP"), "legal_basis", json!("x".repeat(70_000)));
    assert_eq!(post(too_long.to_string()).await.refused(413, "body_too_large", None)["limit"], 65_536);
    assert_eq!(service.size().await, 1);
    service.close().await;
}

async fn a_funding_is_booked_once_for_each_bank_reference(place: &Place) {
    let service = Service::start(place).await;
    service.register("BIRTH").await;
    let funding = json!({"amount": "10.00", "currency": "KZT", "bank_reference": "PP 1"});
    let entry = service.write("/v1/programmes/ASP/fundings", &funding).await.expect(201);
    assert_eq!(entry["kind"], "programme_funded");
    assert_eq!(entry["postings"], json!([{"amount": "10.00", "credit": "funding:ASP", "debit": "backing"}]));
    for (path, amount) in [("ASP", "10.00"), ("ASP", "11.00"), ("BIRTH", "10.00")] {
        let body = with(funding.clone(), "amount", json!(amount));
        let refused = service.write(&format!("/v1/programmes/{path}/fundings"), &body).await;
        let refused = refused.refused(422, "bank_reference_used", Some("bank_reference"));
        assert_eq!(refused["entry"], entry["entry"]);
    }
    assert_eq!(service.get("/v1/programmes/ASP").await.expect(200)["funding"], "1000010.00");
    service.close().await;
}

/// Ten thousand fundings: on one store only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_and_sums_have_a_limit() {
    let place = &Place::sqlite();
    let service = Service::on_new_book(place).await;
    service.register("ASP").await;
    let funding = |amount: &str| json!({"amount": amount, "currency": "KZT", "bank_reference": fresh()});
    let path = "/v1/programmes/ASP/fundings";
    let refused = service.write(path, &funding("1000000000000.00")).await;
    refused.refused(400, "amount_too_large", Some("amount"));
    // Ten thousand times the largest amount is 100 tenge short of the largest sum.
    let bodies: Vec<Value> = (0..10_000).map(|_| funding("999999999999.99")).collect();
    for some in bodies.chunks(500) {
        for answer in futures::future::join_all(some.iter().map(|body| service.write(path, body))).await {
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
    }
    let refused = service.write(path, &funding("100.01")).await;
    refused.refused(422, "sum_too_large", Some("amount"));
    service.write(path, &funding("100.00")).await.expect(201);
    service.write(path, &funding("0.01")).await.refused(422, "sum_too_large", Some("amount"));
    let shown = service.get("/v1/programmes/ASP").await.expect(200);
    assert_eq!(shown["funding"], "10000000000000000.00");
    service.close().await;
}

async fn invariant_7_sixteen_requests_under_one_key_at_once_make_one_entry(place: &Place) {
    let service = Service::on_new_book(place).await;
    service.register("ASP").await;
    let funding = json!({"amount": "10.00", "currency": "KZT", "bank_reference": "PP 1"});
    let path = "/v1/programmes/ASP/fundings";
    let answers = futures::future::join_all((0..16).map(|_| service.post(path, "one", &funding))).await;
    let made = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!(made, 1);
    for answer in &answers {
        assert_eq!(answer.expect(201), answers[0].json());
    }
    assert_eq!(service.size().await, 3);
    service.close().await;
}

async fn invariant_7_a_refusal_binds_nothing(place: &Place) {
    let service = Service::on_new_book(place).await;
    let funding = json!({"amount": "10.00", "currency": "KZT", "bank_reference": "PP 1"});
    let path = "/v1/programmes/ASP/fundings";
    let refused = service.post(path, "key", &funding).await;
    assert_eq!(refused.refused(422, "programme_unknown", Some("programme"))["final"], false);
    service.register("ASP").await;
    let decided_again = service.post(path, "key", &with(funding, "amount", json!("12.00"))).await;
    assert_eq!((decided_again.status, decided_again.header("idempotency-replayed")), (201, None));
    service.close().await;
}
