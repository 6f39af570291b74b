//! Where holders want benefits to go; and what becomes of a person's numbers and wallets.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::authorisations::consent;
use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::caller;
use super::extract::{Path, Query};
use super::problem::Problem;
use super::transfers::shield_ends;
use super::wallets::{codes, find, known_parameters, limit_of, parse_id};
use super::{App, BODY_BYTES_MAX, entry_answer, instructing, read_body};
use crate::domain::{FundClass, ProgrammeCode, WalletId};
use crate::ledger::payment::Document;
use crate::ledger::registry::Proposal;
use crate::sequencer::command::{Command, RegistryCommand};
use crate::sequencer::holder::HolderCommand;

/// Choices on a page of their history, at most.
pub const CHOICES_LIMIT_MAX: u32 = 1_000;

/// Choices on a page of their history, if the request does not say.
const CHOICES_LIMIT: u32 = 100;

/// `POST /v1/wallets/{id}/choices`: a channel, for the holder.
pub async fn choose(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let wallet = parse_id(&id)?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let programme = body.optional("programme", |text| ProgrammeCode::parse(text.as_bytes()))?;
    let destination = body.required("destination", |text| Ok::<_, ()>(text.to_owned()))?;
    let named = body.integer("authorisation")?;
    let authorisation = match (destination.as_str(), named) {
        ("transfer", Some(authorisation)) => Some(authorisation),
        ("transfer", None) => return Err(missing("authorisation")),
        ("wallet", None) => None,
        ("wallet", Some(_)) => return Err(malformed("authorisation")),
        _ => return Err(malformed("destination")),
    };
    let consent = consent(&mut body)?;
    body.finish()?;
    let command = HolderCommand::Choose { wallet, programme, authorisation, consent };
    let mut entry = app.instruct(Command::Holder(command), asked).await?;
    if authorisation.is_some() && is_shielded(&app, programme).await? {
        entry.members.insert("warning".into(), shield_ends());
    }
    Ok(entry_answer(entry))
}

/// Whether a programme's money is shielded while it is in the wallet; of all programmes some is.
async fn is_shielded(app: &App, programme: Option<ProgrammeCode>) -> Result<bool, Problem> {
    let Some(programme) = programme else { return Ok(true) };
    let known = codes(app).await?;
    Ok(known.values().any(|(code, class)| *code == programme && *class == FundClass::Protected))
}

/// `GET /v1/wallets/{id}/choices?after=&limit=`: what holds, and all that was chosen, oldest first, by whom and when.
pub async fn choices(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["after", "limit"])?;
    let id = parse_id(&id)?;
    let after = query.get("after").map_or(Ok(None), |text| read_cursor(text).map(Some))?;
    let limit = limit_of(&query, CHOICES_LIMIT, CHOICES_LIMIT_MAX)?;
    let (id, wallet) = find(&app, id).await?;
    let codes = codes(&app).await?;
    let of_programme = |number: u32| codes.get(&number).map(|(code, _)| code.to_string());
    let destination = |authorisation: Option<u64>| authorisation.map_or("wallet", |_| "transfer");
    let mut now = app.store.choices(&[wallet.account]).await?;
    now.sort_unstable_by_key(|(_, programme, _)| *programme);
    let current: Vec<Value> = now
        .into_iter()
        .map(|(_, programme, chosen)| {
            json!({"programme": of_programme(programme), "destination": destination(chosen.authorisation),
                "authorisation": chosen.authorisation, "entry": chosen.seq})
        })
        .collect();
    let mut made = app.store.choice_history(wallet.account, after, limit + 1).await?;
    let more = made.len() > limit as usize;
    made.truncate(limit as usize);
    let mut entries: Vec<u64> = made.iter().map(|row| row.seq).collect();
    entries.dedup();
    let mut leaves: HashMap<u64, Map<String, Value>> = HashMap::new();
    for (seq, leaf) in app.store.leaves(&entries).await? {
        leaves.insert(seq, serde_json::from_slice(&leaf).map_err(|error| Problem::internal(&error))?);
    }
    let next = made.last().filter(|_| more).map(|row| format!("{}-{}", row.seq, row.programme));
    let history: Vec<Value> = made
        .iter()
        .map(|row| {
            let leaf = leaves.get(&row.seq);
            let member = |name: &str| leaf.and_then(|leaf| leaf.get(name)).cloned().unwrap_or(Value::Null);
            let consent = member("consent");
            json!({
                "entry": row.seq,
                "at": member("at"),
                "by": member("actor")["client"],
                "programme": of_programme(row.programme),
                "destination": destination(row.authorisation),
                "authorisation": row.authorisation,
                "consent": if consent.is_null() { Value::Null } else {
                    json!({"method": consent["method"], "at": consent["at"]})
                },
                "merged": member("merged"),
            })
        })
        .collect();
    Ok(Json(json!({"wallet": id, "current": current, "history": history, "next": next})))
}

fn read_cursor(text: &str) -> Result<(u64, u32), Problem> {
    let read = || {
        let (seq, programme) = text.split_once('-')?;
        Some((seq.parse().ok()?, programme.parse().ok()?))
    };
    read().ok_or_else(|| {
        Problem::malformed(Code::CursorMalformed, "after", "Give the `next` of the page before, as it is.")
    })
}

/// `POST /v1/wallets/{id}/numbers`: an operator, with a document, asks for an approval: the person's new number leads to this wallet too.
pub async fn add_number(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let wallet = parse_id(&id)?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let iin = body.iin()?;
    let document: Document = body.free_text("document")?.ok_or_else(|| missing("document"))?;
    body.finish()?;
    let leads = app.keys.wallet_id(&iin);
    // It takes two operators: what this one does is ask. A book that is served without a door has none to ask.
    let command = if caller.role().is_some() {
        let wallet = find(&app, wallet).await.map_or(wallet, |(id, _)| id);
        let person = app.keys.tag(&iin);
        let proposal = Proposal::AddNumber { wallet, leads, person, document };
        Command::Registry(RegistryCommand::RequestApproval(proposal))
    } else {
        Command::Holder(HolderCommand::AddNumber { wallet, iin, leads, document })
    };
    app.instruct(command, asked).await.map(entry_answer)
}

/// `POST /v1/wallets/{id}/merge`: an operator, with a document, asks for an approval: another wallet of the same person is merged into
/// this one.
pub async fn merge(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let wallet = parse_id(&id)?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let merged = body.required("merged", WalletId::parse)?;
    let document: Document = body.free_text("document")?.ok_or_else(|| missing("document"))?;
    body.finish()?;
    let command = if caller.role().is_some() {
        // What two agree on names the wallet by the id that it has now. One that is unknown is refused by the rules.
        let wallet = find(&app, wallet).await.map_or(wallet, |(id, _)| id);
        let proposal = Proposal::MergeWallets { wallet, merged, document };
        Command::Registry(RegistryCommand::RequestApproval(proposal))
    } else {
        Command::Holder(HolderCommand::Merge { wallet, merged, document })
    };
    app.instruct(command, asked).await.map(entry_answer)
}
