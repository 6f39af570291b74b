//! Who may call: clients, their keys, and what takes two operators.
//!
//! Operators register clients and give them keys. Every client sees itself, and adds and revokes its own keys, so that it
//! rotates them without asking anybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::Path;
use super::problem::Problem;
use super::{App, BODY_BYTES_MAX, entry_answer, instructing, read_body};
use crate::domain::time::rfc3339;
use crate::domain::{
    BankReference, Bic, Bin, ClientId, FundClass, Issuer, KeyId, ProgrammeCode, PublicKey, Role, Scope,
    WalletId,
};
use crate::ledger::registry::{Approval, ApprovalOutcome, Proposal, Registered, Registry};
use crate::sequencer::command::{Command, RegistryCommand};

pub(super) fn unknown() -> Problem {
    Problem::new(Code::ClientUnknown, "There is no such client.")
}

pub(super) fn unknown_approval() -> Problem {
    Problem::new(Code::ApprovalUnknown, "No approval was requested by this entry.")
}

/// Reads a write's body with `read`, and hands in what it asks of the registry.
async fn ask(
    app: &App,
    request: Request,
    read: impl FnOnce(&mut Body) -> Result<RegistryCommand, Problem>,
) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(app, &caller, &headers, &bytes)?;
    let mut body = if bytes.is_empty() { Body::default() } else { Body::read(&bytes)? };
    let command = read(&mut body)?;
    body.finish()?;
    app.instruct(Command::Registry(command), asked).await.map(entry_answer)
}

fn role_and_scope(body: &mut Body) -> Result<(Role, Scope), Problem> {
    let role = body.required("role", Role::parse)?;
    let bin = body.optional("bin", |text| Bin::parse(text.as_bytes()))?;
    let bic = body.optional("bic", |text| Bic::parse(text.as_bytes()))?;
    let issuer = body.optional("issuer", Issuer::parse)?;
    let scope = Scope::of(role, bin, bic, issuer).map_err(|error| {
        let field = match role {
            Role::Bank => "bic",
            Role::Authority if bin.is_some() => "issuer",
            _ => "bin",
        };
        let detail = format!("The body is refused: {error}.");
        Problem::new(Code::ScopeMismatch, detail).with("field", json!(field))
    })?;
    Ok((role, scope))
}

/// `POST /v1/clients`.
pub async fn register(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    ask(&app, request, |body| {
        let client = body.required("client", ClientId::parse)?;
        let (role, scope) = role_and_scope(body)?;
        Ok(RegistryCommand::Register { client, role, scope })
    })
    .await
}

/// `POST /v1/clients/{id}/keys`.
pub async fn add_key(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let client = visible(&caller(&request)?, &id)?;
    ask(&app, request, |body| {
        let public_key = body.required("public_key", PublicKey::parse)?;
        Ok(RegistryCommand::AddKey { client, public_key })
    })
    .await
}

/// `POST /v1/clients/{id}/keys/{key}/revoke`.
pub async fn revoke_key(
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let client = visible(&caller(&request)?, &id)?;
    let key = KeyId::parse(&key).ok().filter(|key| key.client() == client);
    let key = key.ok_or_else(|| Problem::new(Code::KeyUnknown, "The client has no such key."))?;
    ask(&app, request, |_| Ok(RegistryCommand::RevokeKey(key))).await
}

/// `POST /v1/clients/{id}/suspend`.
pub async fn suspend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    set_suspended(&app, &id, request, true).await
}

/// `POST /v1/clients/{id}/reinstate`.
pub async fn reinstate(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    set_suspended(&app, &id, request, false).await
}

async fn set_suspended(app: &App, id: &str, request: Request, suspended: bool) -> Result<Response, Problem> {
    let client = ClientId::parse(id).map_err(|_| unknown())?;
    ask(app, request, |body| {
        let reason = body.required_free_text("reason")?;
        Ok(RegistryCommand::SetSuspended { client, suspended, reason })
    })
    .await
}

/// The client that a path names, if the caller is it or may see all of them.
fn visible(caller: &Caller, id: &str) -> Result<ClientId, Problem> {
    let client = ClientId::parse(id).map_err(|_| unknown())?;
    if caller.sees_acts_of(client.as_str()) { Ok(client) } else { Err(unknown()) }
}

async fn registry(app: &App) -> Result<Registry, Problem> {
    Ok(Registry::of(&app.store.registry_changes().await?))
}

/// `GET /v1/clients`.
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let registry = registry(&app).await?;
    Ok(Json(json!({"clients": registry.clients().map(view).collect::<Vec<_>>()})))
}

/// `GET /v1/clients/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let client = visible(&caller, &id)?;
    registry(&app).await?.client(client).map(|known| Json(view(known))).ok_or_else(unknown)
}

fn view(known: &Registered) -> Value {
    let keys: Vec<Value> = known
        .keys
        .iter()
        .map(|key| {
            json!({
                "key": key.id,
                "public_key": key.public_key,
                "added_by_entry": key.added,
                "revoked_by_entry": key.revoked,
            })
        })
        .collect();
    json!({
        "client": known.client.id,
        "role": known.client.role,
        "bin": known.client.scope.bin(),
        "bic": known.client.scope.bic(),
        "issuer": known.client.scope.issuer(),
        "suspended": known.client.suspended,
        "entry": known.seq,
        "keys": keys,
    })
}

/// `POST /v1/approvals`: the body is what is asked for.
pub async fn request_approval(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    ask(&app, request, |body| proposal(&app, body).map(RegistryCommand::RequestApproval)).await
}

fn proposal(app: &App, body: &mut Body) -> Result<Proposal, Problem> {
    let kind = body.required("kind", |text| Ok::<_, ()>(text.to_owned()))?;
    let programme =
        |body: &mut Body| body.required("programme", |text| ProgrammeCode::parse(text.as_bytes()));
    match kind.as_str() {
        "register_client" => {
            let client = body.required("client", ClientId::parse)?;
            let (role, scope) = role_and_scope(body)?;
            let (bin, bic, issuer) = (scope.bin(), scope.bic(), scope.issuer());
            Ok(Proposal::RegisterClient { client, role, bin, bic, issuer })
        }
        "add_key" => {
            let client = body.required("client", ClientId::parse)?;
            Ok(Proposal::AddKey { client, public_key: body.required("public_key", PublicKey::parse)? })
        }
        "change_class" => {
            let programme = programme(body)?;
            let class = body.required("class", |text| FundClass::parse(text.as_bytes()))?;
            Ok(Proposal::ChangeClass { programme, class })
        }
        "fund" => {
            let (programme, amount) = (programme(body)?, body.amount()?);
            let bank_reference = body.required("bank_reference", BankReference::parse)?;
            Ok(Proposal::Fund { programme, amount, bank_reference })
        }
        "set_limits" => {
            let limits = body.take("limits").ok_or_else(|| missing("limits"))?;
            let limits = serde_json::from_value(limits).map_err(|_| malformed("limits"))?;
            Ok(Proposal::SetLimits { limits })
        }
        "set_rules" => {
            let rules = body.take("rules").ok_or_else(|| missing("rules"))?;
            let rules = serde_json::from_value(rules).map_err(|_| malformed("rules"))?;
            Ok(Proposal::SetRules { rules })
        }
        "merge_wallets" => {
            let (wallet, merged) =
                (body.required("wallet", WalletId::parse)?, body.required("merged", WalletId::parse)?);
            let document = body.required_free_text("document")?;
            Ok(Proposal::MergeWallets { wallet, merged, document })
        }
        "add_number" => {
            let wallet = body.required("wallet", WalletId::parse)?;
            let iin = body.iin()?;
            let document = body.required_free_text("document")?;
            let (leads, person) = (app.keys.wallet_id(&iin), app.keys.tag(&iin));
            Ok(Proposal::AddNumber { wallet, leads, person, document })
        }
        _ => Err(malformed("kind")),
    }
}

/// `GET /v1/limits`: what payments are held to.
pub async fn limits(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"currency": "KZT", "limits": registry(&app).await?.limits()})))
}

fn entry_of(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| unknown_approval())
}

/// `POST /v1/approvals/{entry}/approve`.
pub async fn approve(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let approval = entry_of(&entry)?;
    ask(&app, request, |body| {
        let digest = body.required("digest", |text| {
            let mut digest = [0; 32];
            hex::decode_to_slice(text, &mut digest).map(|()| digest)
        })?;
        // The number of a person, if that is what is to be added.
        let iin = body.has("iin").then(|| body.iin()).transpose()?;
        Ok(RegistryCommand::GiveApproval { approval, digest, iin })
    })
    .await
}

/// `POST /v1/approvals/{entry}/close`: withdrawn by who asked, refused by another operator.
pub async fn close_approval(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let approval = entry_of(&entry)?;
    ask(&app, request, |body| {
        let reason = body.required_free_text("reason")?;
        Ok(RegistryCommand::CloseApproval { approval, reason })
    })
    .await
}

/// `GET /v1/approvals`: newest first.
pub async fn approvals(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let (registry, at) = (registry(&app).await?, now(&app).await?);
    let mut views: Vec<Value> = registry.approvals().map(|approval| approval_view(approval, at)).collect();
    views.reverse();
    Ok(Json(json!({"approvals": views})))
}

/// `GET /v1/approvals/{entry}`.
pub async fn approval(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (entry, registry, at) = (entry_of(&entry)?, registry(&app).await?, now(&app).await?);
    let approval = registry.approval(entry).ok_or_else(unknown_approval)?;
    Ok(Json(approval_view(approval, at)))
}

/// The book's time: what decides whether a request still stands.
async fn now(app: &App) -> Result<i64, Problem> {
    let head = app.store.head().await?.ok_or_else(|| Problem::internal(&"the store has no book"))?;
    Ok(head.at)
}

fn approval_view(approval: &Approval, at: i64) -> Value {
    let state = match approval.end {
        Some((ApprovalOutcome::Given, ..)) => "given",
        Some((ApprovalOutcome::Refused, ..)) => "refused",
        Some((ApprovalOutcome::Withdrawn, ..)) => "withdrawn",
        None if at > approval.expires => "expired",
        None => "open",
    };
    json!({
        "approval": approval.seq,
        "state": state,
        "requested_by": approval.by,
        "proposal": approval.proposal,
        "digest": hex::encode(approval.digest),
        "expires": rfc3339(approval.expires),
        "ended_by": approval.end.map(|(_, _, by)| by),
        "ended_by_entry": approval.end.map(|(_, entry, _)| entry),
    })
}
