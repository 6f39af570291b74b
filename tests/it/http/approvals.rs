//! `/v1/clients` and `/v1/approvals`: who may call, and what takes two operators.

use serde_json::{Value, json};

use super::signed::{send, signer};
use super::{PAYER, Service, in_both_rooms, programme};
use crate::store::Place;

in_both_rooms!(
    a_programme_is_funded_by_two_operators_and_no_other_way,
    a_request_is_withdrawn_refused_and_never_approved_after_it,
    what_an_operator_asks_for_is_read_member_by_member,
    a_client_is_registered_rotates_its_keys_and_is_served_as_long_as_they_stand,
    an_operator_or_an_authority_is_made_by_two,
);

async fn ask(service: &Service, by: &str, body: &Value) -> (String, String) {
    let asked = send(service, by, ("POST", "/v1/approvals", &body.to_string())).await.expect(201);
    assert_eq!(asked["kind"], "approval_requested");
    (asked["entry"].to_string(), json!({"digest": asked["digest"]}).to_string())
}

async fn a_programme_is_funded_by_two_operators_and_no_other_way(place: &Place) {
    let service = Service::guarded(place).await;
    send(&service, "operator", ("POST", "/v1/programmes", &programme("ASP").to_string())).await.expect(201);
    let body = json!({"amount": "500.25", "currency": "KZT", "bank_reference": "PP 1"}).to_string();
    let asked = send(&service, "operator", ("POST", "/v1/programmes/ASP/fundings", &body)).await.expect(201);
    assert_eq!(
        (&asked["kind"], &asked["proposal"]["amount"]),
        (&json!("approval_requested"), &json!("500.25"))
    );
    let funding = async |service: &Service| {
        send(service, "payer", ("GET", "/v1/programmes/ASP", "")).await.expect(200)["funding"].clone()
    };
    assert_eq!(funding(&service).await, "0.00", "what is asked for is not done");
    let shown = format!("/v1/approvals/{}", asked["entry"]);
    let open = send(&service, "auditor", ("GET", &shown, "")).await.expect(200);
    assert_eq!((&open["state"], &open["requested_by"]), (&json!("open"), &json!("operator")));
    let given = json!({"digest": asked["digest"]}).to_string();
    let approve = format!("{shown}/approve");
    send(&service, "operator", ("POST", &approve, &given)).await.refused(
        403,
        "approval_self",
        Some("approval"),
    );
    let other = json!({"digest": "00".repeat(32)}).to_string();
    send(&service, "operator-2", ("POST", &approve, &other)).await.refused(
        422,
        "approval_digest_mismatch",
        Some("digest"),
    );
    assert_eq!(funding(&service).await, "0.00");
    let done = send(&service, "operator-2", ("POST", &approve, &given)).await.expect(201);
    assert_eq!(done["kind"], "approval_given");
    assert_eq!(funding(&service).await, "500.25");
    let again = send(&service, "operator-2", ("POST", &approve, &given)).await;
    assert_eq!(again.refused(409, "approval_ended", Some("approval"))["entry"], done["entry"]);
    let same = send(&service, "operator-2", ("POST", "/v1/programmes/ASP/fundings", &body)).await;
    same.refused(422, "bank_reference_used", Some("bank_reference"));
    let ended = send(&service, "operator", ("GET", &shown, "")).await.expect(200);
    assert_eq!((&ended["state"], &ended["ended_by"]), (&json!("given"), &json!("operator-2")));
    let listed = send(&service, "auditor", ("GET", "/v1/approvals", "")).await.expect(200);
    assert_eq!(listed["approvals"][0], ended, "newest first");
    service.stop().await;
}

async fn a_request_is_withdrawn_refused_and_never_approved_after_it(place: &Place) {
    let service = Service::guarded(place).await;
    send(&service, "operator", ("POST", "/v1/programmes", &programme("ASP").to_string())).await.expect(201);
    super::orders::mixed(&service).await;
    let reason = json!({"reason": "the payment was recalled"}).to_string();
    for (by, outcome) in [("operator", "withdrawn"), ("operator-2", "refused")] {
        let class = json!({"kind": "change_class", "programme": "ASP", "class": "general"});
        let (entry, digest) = ask(&service, "operator", &class).await;
        let path = format!("/v1/approvals/{entry}");
        let closed = send(&service, by, ("POST", &format!("{path}/close"), &reason)).await.expect(201);
        assert_eq!((&closed["kind"], &closed["outcome"]), (&json!("approval_closed"), &json!(outcome)));
        send(&service, "operator-2", ("POST", &format!("{path}/approve"), &digest)).await.refused(
            409,
            "approval_ended",
            Some("approval"),
        );
        assert_eq!(send(&service, "operator", ("GET", &path, "")).await.expect(200)["state"], outcome);
    }
    for path in ["/v1/approvals/999999", "/v1/approvals/x"] {
        send(&service, "operator", ("GET", path, "")).await.refused(404, "approval_unknown", None);
    }
    let given = json!({"digest": "00".repeat(32)}).to_string();
    send(&service, "operator", ("POST", "/v1/approvals/999999/approve", &given)).await.refused(
        404,
        "approval_unknown",
        Some("approval"),
    );
    service.stop().await;
}

async fn what_an_operator_asks_for_is_read_member_by_member(place: &Place) {
    let service = Service::guarded(place).await;
    let fund = json!({"kind": "fund", "programme": "ASP", "amount": "1.00", "currency": "KZT", "bank_reference": "R"});
    for (field, bad, code) in [
        ("kind", json!("delete_everything"), "field_malformed"),
        ("kind", Value::Null, "field_missing"),
        ("programme", json!("asp"), "field_malformed"),
        ("amount", json!("0.00"), "amount_zero"),
        ("amount", json!("1.001"), "amount_scale"),
        ("currency", json!("USD"), "currency_unsupported"),
        ("bank_reference", json!(""), "field_malformed"),
    ] {
        let body = super::with(fund.clone(), field, bad).to_string();
        let answer = send(&service, "operator", ("POST", "/v1/approvals", &body)).await;
        answer.refused(400, code, Some(field));
    }
    let client = json!({"kind": "register_client", "client": "court", "role": "authority", "bin": PAYER, "issuer": "bailiff"});
    for (field, bad, status, code) in [
        ("client", json!("Court"), 400, "field_malformed"),
        ("role", json!("judge"), 400, "field_malformed"),
        ("bin", json!("940140000386"), 400, "field_malformed"),
        ("bin", Value::Null, 422, "scope_mismatch"),
    ] {
        let body = super::with(client.clone(), field, bad).to_string();
        let answer = send(&service, "operator", ("POST", "/v1/approvals", &body)).await;
        answer.refused(status, code, Some(field));
    }
    let extra = super::with(client, "comment", json!("x")).to_string();
    send(&service, "operator", ("POST", "/v1/approvals", &extra)).await.refused(400, "field_unknown", None);
    service.stop().await;
}

async fn a_client_is_registered_rotates_its_keys_and_is_served_as_long_as_they_stand(place: &Place) {
    let service = Service::guarded(place).await;
    let body = json!({"client": "halyk", "role": "bank", "bic": "HSBKKZKX"}).to_string();
    send(&service, "operator", ("POST", "/v1/clients", &body)).await.expect(201);
    send(&service, "operator", ("POST", "/v1/clients", &body)).await.refused(
        409,
        "client_exists",
        Some("client"),
    );
    let key = |name: &str| json!({"public_key": signer(name).public_key()}).to_string();
    let keys = "/v1/clients/halyk/keys";
    send(&service, "halyk", ("GET", "/v1/book", "")).await.refused(
        401,
        "signature_key_unknown",
        Some("keyid"),
    );
    let added = send(&service, "operator", ("POST", keys, &key("halyk"))).await.expect(201);
    assert_eq!(added["key"], signer("halyk").key_id().to_string());
    send(&service, "halyk", ("GET", "/v1/book", "")).await.expect(200);
    let own = send(&service, "halyk", ("GET", "/v1/clients/halyk", "")).await.expect(200);
    assert_eq!((&own["role"], &own["bic"], &own["bin"]), (&json!("bank"), &json!("HSBKKZKX"), &Value::Null));
    // Another's client is as unknown as none; its keys cannot be touched.
    let absent = send(&service, "halyk", ("GET", "/v1/clients/nobody", "")).await;
    let foreign = send(&service, "halyk", ("GET", "/v1/clients/bank", "")).await;
    assert_eq!((foreign.status, &foreign.body), (absent.status, &absent.body));
    let theirs = send(&service, "halyk", ("POST", "/v1/clients/bank/keys", &key("x"))).await;
    assert_eq!((theirs.status, &theirs.body), (404, &absent.body));
    // It rotates by itself: the new key in, the old key out. What the old key signs is refused at once.
    let rotated = json!({"public_key": signer("other-key").public_key()}).to_string();
    send(&service, "halyk", ("POST", keys, &rotated)).await.expect(201);
    let revoke = format!("{keys}/{}/revoke", signer("halyk").key_id());
    send(&service, "halyk", ("POST", &revoke, "")).await.expect(201);
    send(&service, "halyk", ("GET", "/v1/book", "")).await.refused(
        401,
        "signature_key_unknown",
        Some("keyid"),
    );
    send(&service, "operator", ("POST", &revoke, "")).await.refused(409, "key_revoked", Some("key"));
    send(&service, "operator", ("POST", keys, &key("halyk"))).await.refused(
        409,
        "key_exists",
        Some("public_key"),
    );
    let bad = json!({"public_key": "AAAA"}).to_string();
    send(&service, "operator", ("POST", keys, &bad)).await.refused(
        400,
        "field_malformed",
        Some("public_key"),
    );
    let listed = send(&service, "auditor", ("GET", "/v1/clients", "")).await.expect(200);
    let listed = listed["clients"].as_array().unwrap().clone();
    let halyk = listed.iter().find(|client| client["client"] == "halyk").unwrap();
    assert_eq!(halyk["keys"].as_array().unwrap().len(), 2);
    assert!(halyk["keys"][0]["revoked_by_entry"].is_u64() && halyk["keys"][1]["revoked_by_entry"].is_null());
    service.stop().await;
}

async fn an_operator_or_an_authority_is_made_by_two(place: &Place) {
    let service = Service::guarded(place).await;
    for (name, body) in [
        ("operator-3", json!({"client": "operator-3", "role": "operator"})),
        ("court", json!({"client": "court", "role": "authority", "bin": PAYER, "issuer": "bailiff"})),
    ] {
        let alone = send(&service, "operator", ("POST", "/v1/clients", &body.to_string())).await;
        alone.refused(403, "approval_required", Some("approval"));
        let proposal = super::with(body, "kind", json!("register_client"));
        let (entry, digest) = ask(&service, "operator", &proposal).await;
        send(&service, "operator-2", ("POST", &format!("/v1/approvals/{entry}/approve"), &digest))
            .await
            .expect(201);
        let keys = format!("/v1/clients/{name}/keys");
        let key = signer(name).public_key();
        let alone =
            send(&service, "operator", ("POST", &keys, &json!({"public_key": key}).to_string())).await;
        alone.refused(403, "approval_required", Some("approval"));
        let proposal = json!({"kind": "add_key", "client": name, "public_key": key});
        let (entry, digest) = ask(&service, "operator", &proposal).await;
        send(&service, "operator-2", ("POST", &format!("/v1/approvals/{entry}/approve"), &digest))
            .await
            .expect(201);
        send(&service, name, ("GET", "/v1/book", "")).await.expect(200);
    }
    service.stop().await;
}
