//! The door: every route as every role and unsigned, bodies that were changed, and what one payer sees of another's.

use http::HeaderValue;
use serde_json::json;
use social_wallet::domain::Role;
use social_wallet::http::access::{ROUTES, Who, document};

use super::signed::{send, send_changed};
use super::{Service, declaration, fresh, iin, in_both_rooms, programme};
use crate::store::Place;

in_both_rooms!(
    every_route_is_for_its_roles_and_nobody_else,
    what_is_forbidden_looks_as_if_it_were_not_there,
    a_request_that_was_changed_on_its_way_does_nothing,
);

/// What there is on a book, so that who may see it does.
struct Things {
    wallet: String,
    batch: String,
    approval: String,
}

impl Things {
    async fn make(service: &Service) -> Self {
        let asp = programme("ASP").to_string();
        send(service, "operator", ("POST", "/v1/programmes", &asp)).await.expect(201);
        let funding = json!({"amount": "1.00", "currency": "KZT", "bank_reference": "R"}).to_string();
        let funding = ("POST", "/v1/programmes/ASP/fundings", funding.as_str());
        let approval = send(service, "operator", funding).await.expect(201)["entry"].to_string();
        let opening = json!({"iin": iin(1)}).to_string();
        let opened = send(service, "payer", ("POST", "/v1/wallets", &opening)).await.expect(201);
        let batch = fresh();
        let declared = declaration(1, "1.00").to_string();
        send(service, "payer", ("PUT", &format!("/v1/batches/{batch}"), &declared)).await.expect(201);
        Self { wallet: opened["wallet"].as_str().unwrap().to_owned(), batch, approval }
    }

    /// The path of a route, of a thing that there is.
    fn path(&self, path: &str, role: Role) -> String {
        let own = role.as_str();
        let id = match path.split('/').nth(2) {
            Some("wallets") => &self.wallet,
            Some("batches") => &self.batch,
            _ => own,
        };
        let entry = if path.contains("approvals") { &self.approval } else { "0" };
        let path = path.replace("{id}", id).replace("{code}", "ASP").replace("{entry}", entry);
        let path = path.replace("{first_line}", "1").replace("{bic}", "CASPKZKA").replace("{*path}", "000");
        path.replace("{key}", &format!("{own}:0011223344556677"))
    }
}

#[test]
fn the_matrix_is_written_down() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/specs/access.md");
    if std::env::var_os("UPDATE_SPECS").is_some() {
        std::fs::write(file, document()).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(written, document(), "run this test with UPDATE_SPECS=1 and read what has changed");
}

/// What a role is told that may ask and has nothing of its own there.
const NOTHING: [&str; 9] = [
    "entry_unknown",
    "key_unknown",
    "tile_unknown",
    "instruction_unknown",
    "evidence_unknown",
    "authorisation_unknown",
    "transfer_unknown",
    "cash_unknown",
    "order_unknown",
];

/// What a role is told as if there were nothing.
const HIDDEN: [&str; 10] = [
    "bank_not_found",
    "wallet_unknown",
    "batch_unknown",
    "programme_not_found",
    "tile_unknown",
    "evidence_unknown",
    "authorisation_unknown",
    "transfer_unknown",
    "cash_unknown",
    "order_unknown",
];

async fn every_route_is_for_its_roles_and_nobody_else(place: &Place) {
    let service = Service::guarded(place).await;
    let things = Things::make(&service).await;
    for route in ROUTES {
        let body = if route.method == "GET" { "" } else { "{}" };
        let public = things.path(route.path, Role::Auditor);
        let unsigned = service.send(service.request(route.method, &public)).await;
        let Who::Clients(roles) = route.who else {
            assert!(matches!(unsigned.status, 200 | 404 | 503), "{public}: {}", unsigned.body);
            continue;
        };
        unsigned.refused(401, "signature_missing", Some("signature-input"));
        // Whoever may goes last: a batch that was cancelled is there all the same.
        let mut order = Role::ALL;
        order.sort_by_key(|role| roles.contains(role));
        for role in order {
            let path = things.path(route.path, role);
            let answer = send(&service, role.as_str(), (route.method, &path, body)).await;
            let what = format!("{} {path} as {role}: {} {}", route.method, answer.status, answer.body);
            let told = if answer.status < 400 { String::new() } else { answer.json()["code"].to_string() };
            let code = told.trim_matches('"');
            if roles.contains(&role) {
                let served = !matches!(answer.status, 401 | 403 | 404);
                assert!(served || (answer.status == 404 && NOTHING.contains(&code)), "{what}");
            } else {
                let refused = (answer.status == 403 && code == "role_forbidden")
                    || (answer.status == 404 && HIDDEN.contains(&code));
                assert!(refused, "{what}");
            }
        }
    }
    service.stop().await;
}

async fn what_is_forbidden_looks_as_if_it_were_not_there(place: &Place) {
    let service = Service::guarded(place).await;
    let asp = programme("ASP").to_string();
    send(&service, "operator", ("POST", "/v1/programmes", &asp)).await.expect(201);
    let (own, foreign) = (
        send(&service, "payer", ("GET", "/v1/programmes/ASP", "")).await,
        send(&service, "other", ("GET", "/v1/programmes/ASP", "")).await,
    );
    own.expect(200);
    let absent = send(&service, "other", ("GET", "/v1/programmes/NONE", "")).await;
    assert_eq!((foreign.status, &foreign.body), (404, &absent.body));
    assert_eq!(
        send(&service, "other", ("GET", "/v1/programmes", "")).await.expect(200)["programmes"],
        json!([])
    );

    // A payer opens a wallet and learns nothing of what is in it, nor of whether there is another.
    let opening = json!({"iin": iin(1)}).to_string();
    let opened = send(&service, "payer", ("POST", "/v1/wallets", &opening)).await.expect(201);
    let again = send(&service, "payer", ("POST", "/v1/wallets", &opening)).await.expect(200);
    assert_eq!(again, json!({"wallet": opened["wallet"]}));
    let path = format!("/v1/wallets/{}", opened["wallet"].as_str().unwrap());
    let nowhere = format!("/v1/wallets/{}", fresh());
    send(&service, "channel", ("GET", &path, "")).await.expect(200);
    let there = send(&service, "payer", ("GET", &path, "")).await;
    let absent = send(&service, "channel", ("GET", &nowhere, "")).await;
    assert_eq!((there.status, &there.body), (404, &absent.body));

    // A payer's batch, entry and receipt.
    let batch = format!("/v1/batches/{}", fresh());
    let declared = declaration(1, "1.00").to_string();
    send(&service, "payer", ("PUT", &batch, &declared)).await.expect(201);
    send(&service, "other", ("PUT", &format!("/v1/batches/{}", fresh()), &declared)).await.refused(
        403,
        "payer_not_yours",
        Some("payer"),
    );
    send(&service, "other", ("GET", &batch, "")).await.refused(404, "batch_unknown", None);
    for step in ["release", "close", "cancel"] {
        send(&service, "other", ("POST", &format!("{batch}/{step}"), "")).await.refused(
            404,
            "batch_unknown",
            Some("batch"),
        );
    }
    send(&service, "other", ("PUT", &format!("{batch}/chunks/1"), "x\n")).await.refused(
        404,
        "batch_unknown",
        None,
    );
    send(&service, "other", ("GET", &format!("{batch}/verdicts"), "")).await.refused(
        404,
        "batch_unknown",
        None,
    );
    let entry = format!("/v1/entries/{}", opened["entry"]);
    send(&service, "payer", ("GET", &entry, "")).await.expect(200);
    send(&service, "auditor", ("GET", &entry, "")).await.expect(200);
    send(&service, "bank", ("GET", &entry, "")).await.refused(404, "entry_unknown", None);
    send(&service, "bank", ("GET", &format!("{entry}/receipt"), "")).await.refused(
        404,
        "entry_unknown",
        None,
    );
    service.stop().await;
}

async fn a_request_that_was_changed_on_its_way_does_nothing(place: &Place) {
    let service = Service::guarded(place).await;
    let size = service.size().await;
    let body = programme("ASP").to_string();
    let request = ("POST", "/v1/programmes", body.as_str());
    send_changed(&service, "operator", request, |_, body| body.push(' ')).await.refused(
        401,
        "content_digest_mismatch",
        Some("content-digest"),
    );
    send_changed(&service, "operator", request, |headers, _| {
        headers.insert("idempotency-key", HeaderValue::from_static("other"));
    })
    .await
    .refused(401, "signature_invalid", None);
    let answer = send_changed(&service, "operator", request, |headers, _| {
        headers.remove("signature");
    })
    .await;
    answer.refused(401, "signature_missing", Some("signature"));
    assert_eq!(answer.header("www-authenticate"), Some("Signature"));
    send(&service, "stranger", request).await.refused(401, "signature_key_unknown", Some("keyid"));
    assert_eq!(service.size().await, size, "nothing was written");
    let reason = json!({"reason": "its machine was stolen"}).to_string();
    let suspend = ("POST", "/v1/clients/operator/suspend", reason.as_str());
    send(&service, "operator-2", suspend).await.expect(201);
    let mut sent = None;
    send_changed(&service, "operator", request, |headers, _| sent = Some(headers.clone())).await.refused(
        403,
        "client_suspended",
        None,
    );
    let reinstate = ("POST", "/v1/clients/operator/reinstate", reason.as_str());
    send(&service, "operator-2", reinstate).await.expect(201);
    // What it sent then is not carried out now by whoever sends it again.
    send_changed(&service, "operator", request, |headers, _| *headers = sent.unwrap()).await.refused(
        401,
        "signature_nonce_used",
        Some("nonce"),
    );
    // A name that is given besides is not believed.
    let entry = send_changed(&service, "operator", request, |headers, _| {
        headers.insert("social-wallet-client", HeaderValue::from_static("payer"));
    })
    .await
    .expect(201);
    let leaf = service.leaves().await.swap_remove(usize::try_from(entry["entry"].as_u64().unwrap()).unwrap());
    let leaf: serde_json::Value = serde_json::from_str(&leaf).unwrap();
    assert_eq!(leaf["actor"]["client"], "operator");
    service.stop().await;
}
