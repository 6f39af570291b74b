//! Requests that are signed, by clients whose keys follow from their names.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use http::{HeaderMap, HeaderValue, Method};
use reqwest::RequestBuilder;
use social_wallet::directory::Directory;
use social_wallet::domain::{Bic, Bin, ClientId, Issuer, Role, Scope};
use social_wallet::http::door::{Door, PublicUrl};
use social_wallet::ledger::record::Actor;
use social_wallet::ledger::registry::{Founder, Proposal};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::command::{Command, Outcome, RegistryCommand};
use social_wallet::signature::Signer;
use social_wallet::store::Store;

use super::{Answer, NOON, OTHER_PAYER, PAYER, Service, fresh};

/// What the service is signed to as.
pub const PUBLIC_URL: &str = "https://ledger.example.kz";

/// The clock of the door stands still: signatures are made a second before.
fn now() -> i64 {
    NOON
}

/// Who signs under this name.
pub fn signer(name: &str) -> Signer {
    let mut seed = [3; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Signer::new(ClientId::parse(name).unwrap(), SigningKey::from_bytes(&seed)).unwrap()
}

async fn submit(sequencer: &Sequencer, by: &str, command: RegistryCommand) -> u64 {
    let client = ClientId::parse(by).unwrap();
    let actor = Actor { client, request: [0; 32], line: None, instruction: None };
    match sequencer.submit(Command::Registry(command), actor).await.unwrap() {
        Outcome::Entry(entry) => entry.seq,
        Outcome::Chunk(_) | Outcome::Answers(_) => unreachable!(),
    }
}

async fn agree(sequencer: &Sequencer, proposal: Proposal) {
    let digest = proposal.digest();
    let approval = submit(sequencer, "operator", RegistryCommand::RequestApproval(proposal)).await;
    submit(sequencer, "operator-2", RegistryCommand::GiveApproval { approval, digest, iin: None }).await;
}

/// Registers, on a new book, a client of each role, named after it; `operator-2` is a second operator and `other` a second
/// payer.
async fn register_all(sequencer: &Sequencer) {
    let id = |name: &str| ClientId::parse(name).unwrap();
    let founder = |name| Founder { client: id(name), public_key: signer(name).public_key() };
    let operators = ["operator", "operator-2"].map(founder).to_vec();
    submit(sequencer, "setup", RegistryCommand::Bootstrap(operators)).await;
    let bin = |text: &str| Bin::parse(text.as_bytes()).unwrap();
    for (name, role, scope) in [
        ("payer", Role::Payer, Scope::Payer(bin(PAYER))),
        ("other", Role::Payer, Scope::Payer(bin(OTHER_PAYER))),
        ("bank", Role::Bank, Scope::Bank(Bic::parse(b"CASPKZKA").unwrap())),
        ("channel", Role::Channel, Scope::Book),
        ("authority", Role::Authority, Scope::Authority(bin(PAYER), Issuer::Bailiff)),
        ("auditor", Role::Auditor, Scope::Book),
    ] {
        let (client, public_key) = (id(name), signer(name).public_key());
        if role == Role::Authority {
            agree(
                sequencer,
                Proposal::RegisterClient {
                    client,
                    role,
                    bin: scope.bin(),
                    bic: None,
                    issuer: scope.issuer(),
                },
            )
            .await;
            agree(sequencer, Proposal::AddKey { client, public_key }).await;
        } else {
            submit(sequencer, "operator", RegistryCommand::Register { client, role, scope }).await;
            submit(sequencer, "operator", RegistryCommand::AddKey { client, public_key }).await;
        }
    }
}

/// A door of a service; a new book gets its clients.
pub async fn door(store: &Arc<dyn Store>, sequencer: &Sequencer) -> Door {
    if store.registry_seq().await.unwrap().is_none() {
        register_all(sequencer).await;
    }
    let directory = Directory::open(Arc::clone(store), sequencer.registry()).await.unwrap();
    Door { directory, public_url: PublicUrl::parse(PUBLIC_URL).unwrap(), now }
}

/// A request with its fields signed, under a nonce of 16 characters or more.
pub fn signed(
    service: &Service,
    name: &str,
    (method, path, body): (&str, &str, &str),
    key: &str,
    nonce: &str,
) -> (HeaderMap, RequestBuilder) {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        let kind = if path.contains("/chunks/") || path.ends_with("/file") {
            "text/csv"
        } else {
            "application/json"
        };
        headers.insert("content-type", HeaderValue::from_static(kind));
    }
    if method == "POST" || path == "/v1/receipt" {
        headers.insert("idempotency-key", HeaderValue::from_str(key).unwrap());
    }
    let uri = format!("{PUBLIC_URL}{path}");
    signer(name).sign(method, &uri, &mut headers, body.as_bytes(), NOON / 1_000 - 1, nonce);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = service.request(method.as_str(), path).body(body.to_owned());
    (headers, request)
}

/// Sends a request as a client; `change` sees it after it was signed.
pub async fn send_changed(
    service: &Service,
    name: &str,
    (method, path, body): (&str, &str, &str),
    change: impl FnOnce(&mut HeaderMap, &mut String),
) -> Answer {
    let (mut headers, request) = signed(service, name, (method, path, body), &fresh(), &fresh());
    let mut body = body.to_owned();
    change(&mut headers, &mut body);
    service.send(request.headers(headers).body(body)).await
}

pub async fn send(service: &Service, name: &str, request: (&str, &str, &str)) -> Answer {
    send_changed(service, name, request, |_, _| {}).await
}
