//! The door: every route as every role and unsigned, bodies that were changed, and what one payer sees of another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use social_wallet::domain::{Bic, Bin, Client, ClientId, KeyId, PublicKey, Role, Scope};
use social_wallet::http::access::{ROUTES, Who, document};
use social_wallet::http::door::{Door, PublicUrl, Registry};
use social_wallet::signature::Signer;
use social_wallet::store::StoreError;

use super::{Answer, NOON, OTHER_PAYER, PAYER, Service, declaration, fresh, iin, in_both_rooms, programme};
use crate::store::Place;

in_both_rooms!(
    every_route_is_for_its_roles_and_nobody_else,
    what_is_forbidden_looks_as_if_it_were_not_there,
    a_request_that_was_changed_on_its_way_does_nothing,
);

const PUBLIC_URL: &str = "https://ledger.example.kz";

/// The clock of the door stands still: signatures are made a second before.
fn now() -> i64 {
    NOON
}

/// A client of each role, named after it; `other` is a second payer. Their keys follow from their names.
struct Fixed {
    suspended: AtomicBool,
}

fn signer(name: &str) -> Signer {
    let mut seed = [3; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Signer::new(ClientId::parse(name).unwrap(), SigningKey::from_bytes(&seed)).unwrap()
}

#[async_trait]
impl Registry for Fixed {
    async fn find(&self, key: KeyId) -> Result<Option<(Client, PublicKey)>, StoreError> {
        let id = key.client();
        let (role, bin) = match id.as_str() {
            "other" => (Role::Payer, OTHER_PAYER),
            name => match Role::parse(name) {
                Ok(role) => (role, PAYER),
                Err(_) => return Ok(None),
            },
        };
        let bin = Bin::parse(bin.as_bytes()).unwrap();
        let scope = match role {
            Role::Payer => Scope::Payer(bin),
            Role::Authority => Scope::Authority(bin),
            Role::Bank => Scope::Bank(Bic::parse(b"CASPKZKA").unwrap()),
            _ => Scope::Book,
        };
        let suspended = self.suspended.load(Ordering::Relaxed);
        let public = signer(id.as_str()).public_key();
        Ok((KeyId::of(id, &public) == key).then_some((Client { id, role, scope, suspended }, public)))
    }
}

/// A service on a new book that asks for signatures.
async fn guarded(place: &Place) -> (Service, Arc<Fixed>) {
    let registry = Arc::new(Fixed { suspended: AtomicBool::new(false) });
    let public_url = PublicUrl::parse(PUBLIC_URL).unwrap();
    let door = Door { registry: registry.clone(), public_url, now };
    (Service::behind(place, door).await, registry)
}

/// Sends a request as a client; `change` sees it after it was signed.
async fn send_changed(
    service: &Service,
    name: &str,
    (method, path, body): (&str, &str, &str),
    change: impl FnOnce(&mut HeaderMap, &mut String),
) -> Answer {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        let kind = if path.contains("/chunks/") { "text/csv" } else { "application/json" };
        headers.insert("content-type", HeaderValue::from_static(kind));
    }
    if method == "POST" || path == "/v1/receipt" {
        headers.insert("idempotency-key", HeaderValue::from_str(&fresh()).unwrap());
    }
    let (uri, nonce) = (format!("{PUBLIC_URL}{path}"), fresh());
    signer(name).sign(method, &uri, &mut headers, body.as_bytes(), NOON / 1_000 - 1, &nonce);
    let mut body = body.to_owned();
    change(&mut headers, &mut body);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    service.send(service.request(method.as_str(), path).headers(headers).body(body)).await
}

async fn send(service: &Service, name: &str, request: (&str, &str, &str)) -> Answer {
    send_changed(service, name, request, |_, _| {}).await
}

/// A path of a route that fits its form. Nothing is there.
fn concrete(path: &str) -> String {
    let zero = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    let path = path.replace("{id}", zero).replace("{code}", "ASP").replace("{entry}", "0");
    path.replace("{first_line}", "1").replace("{*path}", "000")
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

async fn every_route_is_for_its_roles_and_nobody_else(place: &Place) {
    let (service, _) = guarded(place).await;
    for route in ROUTES {
        let path = concrete(route.path);
        let body = if route.method == "GET" { "" } else { "{}" };
        let request = (route.method, path.as_str(), body);
        let unsigned = service.send(service.request(route.method, &path)).await;
        let Who::Clients(roles) = route.who else {
            assert!(matches!(unsigned.status, 200 | 404 | 503), "{path}: {}", unsigned.body);
            continue;
        };
        unsigned.refused(401, "signature_missing", Some("signature-input"));
        for role in Role::ALL {
            let answer = send(&service, role.as_str(), request).await;
            let what = format!("{} {path} as {role}: {}", route.method, answer.body);
            let code = if answer.status < 400 { String::new() } else { answer.json()["code"].to_string() };
            let hidden =
                ["\"wallet_unknown\"", "\"batch_unknown\"", "\"programme_unknown\"", "\"tile_unknown\""];
            if roles.contains(&role) {
                assert!(answer.status != 401 && code != "\"role_forbidden\"", "{what}");
            } else {
                let refused = (answer.status == 403 && code == "\"role_forbidden\"")
                    || (answer.status == 404 && hidden.contains(&code.as_str()));
                assert!(refused, "{what}");
            }
        }
    }
    service.stop().await;
}

async fn what_is_forbidden_looks_as_if_it_were_not_there(place: &Place) {
    let (service, _) = guarded(place).await;
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
    let (service, registry) = guarded(place).await;
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
    registry.suspended.store(true, Ordering::Relaxed);
    send(&service, "operator", request).await.refused(403, "client_suspended", None);
    registry.suspended.store(false, Ordering::Relaxed);
    // A name that is given besides is not believed.
    assert_eq!(service.size().await, size, "nothing was written");
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
