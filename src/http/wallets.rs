//! Wallets: open, look up, balance, statement. A number travels in bodies only, never in a URL or an answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::Body;
use super::catalogue::Code;
use super::door::caller;
use super::extract::{Path, Query};
use super::problem::Problem;
use super::{App, BODY_BYTES_MAX, entry_answer, instructing, read_body, refusal};
use crate::domain::time::{end_of_business_day, parse_rfc3339, rfc3339, start_of_business_day};
use crate::domain::{FundClass, Money, ProgrammeCode, Role, WalletId};
use crate::ledger::payment::Document;
use crate::ledger::refusal::RefusalCode;
use crate::ledger::state::StateRecord;
use crate::ledger::wallet::{Wallet, WalletEntry, WalletState};
use crate::sequencer::command::{Command, Outcome};
use crate::store::StatementRange;

/// Entries on a page of a statement, at most.
pub const STATEMENT_LIMIT_MAX: u32 = 1_000;

/// Entries on a page of a statement, if the request does not say.
pub const STATEMENT_LIMIT: u32 = 100;

pub(super) fn unknown() -> Problem {
    Problem::new(Code::WalletUnknown, "There is no such wallet.")
}

pub(super) fn money(tiyn: i64) -> Value {
    let money = Money::from_tiyn(tiyn.abs()).unwrap_or(Money::ZERO);
    if tiyn < 0 { json!(format!("-{money}")) } else { json!(money) }
}

/// `POST /v1/wallets`: 201 with the entry of the opening, or 200 with the wallet that the person has.
pub async fn open(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let iin = body.iin()?;
    body.finish()?;
    let wallet = app.keys.wallet_id(&iin);
    match app.submit(Command::OpenWallet { iin, wallet }, asked).await {
        Ok(Outcome::Entry(entry)) => Ok(entry_answer(entry)),
        Ok(_) => Err(Problem::internal(&"another outcome than an opening's")),
        Err(error) if refusal(&error) == Some(RefusalCode::WalletExists) => {
            // What is in a wallet is not a payer's business.
            let answer = match caller.role() {
                Some(Role::Payer) => json!({"wallet": find(&app, wallet).await?.0}),
                _ => view(&app, wallet, None).await?,
            };
            Ok((StatusCode::OK, Json(answer)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /v1/wallets/{id}/state`: an operator blocks, unblocks, closes or reopens a wallet, or says that its holder has died.
pub async fn change_state(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let wallet = parse_id(&id)?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let state = body.required("state", |text| Ok::<_, ()>(text.to_owned()))?;
    let document: Document = body.required_free_text("document")?;
    let record = match state.as_str() {
        "blocked" => StateRecord::WalletBlocked { wallet, document },
        "unblocked" => StateRecord::WalletUnblocked { wallet, document },
        "deceased" => {
            let died =
                body.required("died", |text| start_of_business_day(text).map(|_| text.to_owned()).ok_or(()))?;
            StateRecord::WalletDeceased { wallet, document, died }
        }
        "closed" => StateRecord::WalletClosed { wallet, document },
        "reopened" => StateRecord::WalletReopened { wallet, document },
        _ => return Err(super::body::malformed("state")),
    };
    body.finish()?;
    app.instruct(Command::ChangeState(Box::new(record)), asked).await.map(entry_answer)
}

/// `POST /v1/wallets/lookup`.
pub async fn lookup(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, Problem> {
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let mut body = Body::read(&bytes)?;
    let iin = body.iin()?;
    body.finish()?;
    view(&app, app.keys.wallet_id(&iin), None).await.map(Json)
}

/// `GET /v1/wallets/{id}`.
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    view(&app, parse_id(&id)?, None).await.map(Json)
}

/// `GET /v1/wallets/{id}/balance?at=`.
pub async fn balance(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["at"])?;
    let at = query.get("at").map(|text| moment("at", text, false)).transpose()?;
    view(&app, parse_id(&id)?, at).await.map(Json)
}

/// `GET /v1/wallets/{id}/statement`.
pub async fn statement(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["from", "to", "after", "limit", "own"])?;
    let id = parse_id(&id)?;
    let from = query.get("from").map_or(Ok(0), |text| moment("from", text, true))?;
    let to = query.get("to").map_or(Ok(i64::MAX), |text| moment("to", text, false))?;
    let after_version = query.get("after").map_or(Ok(0), |text| read_cursor(text))?;
    let limit = limit_of(&query, STATEMENT_LIMIT, STATEMENT_LIMIT_MAX)?;
    let (id, wallet) = match query.get("own").map(String::as_str) {
        None | Some("false") => find(&app, id).await?,
        Some("true") => app.store.wallets(&[id]).await?.pop().ok_or_else(unknown)?,
        Some(_) => {
            let detail = "The parameter own is true or false.";
            return Err(Problem::malformed(Code::FieldMalformed, "own", detail));
        }
    };
    let opening = if from == 0 { None } else { app.store.wallet_at(wallet.account, from - 1).await? };
    let closing = if to == i64::MAX { Some(wallet) } else { app.store.wallet_at(wallet.account, to).await? };
    let range = StatementRange { after_version, from, to, limit: limit + 1 };
    let mut entries = app.store.statement(wallet.account, range).await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let codes = codes(&app).await?;
    let next = entries.last().filter(|_| more).map(|entry| write_cursor(entry.after.version));
    let posted = |wallet: Option<Wallet>| money(wallet.map_or(0, |wallet| wallet.posted));
    Ok(Json(json!({
        "wallet": id,
        "currency": "KZT",
        "opening_balance": posted(opening),
        "entries": entries.iter().map(|entry| entry_view(entry, &codes)).collect::<Vec<_>>(),
        "closing_balance": posted(closing),
        "next": next,
    })))
}

fn entry_view(entry: &WalletEntry, codes: &HashMap<u32, (ProgrammeCode, FundClass)>) -> Value {
    let benefit = entry.benefit;
    json!({
        "version": entry.after.version,
        "entry": entry.seq,
        "at": rfc3339(entry.at),
        "kind": entry.kind.name(),
        "amount": money(entry.amount),
        "balance": money(entry.after.posted),
        "programme": benefit.and_then(|benefit| codes.get(&benefit.programme)).map(|(code, _)| code.to_string()),
        "period": benefit.map(|benefit| benefit.period.to_string()),
        "part": benefit.map(|benefit| benefit.part.get()),
        "refers": entry.refers,
    })
}

pub(super) async fn codes(app: &App) -> Result<HashMap<u32, (ProgrammeCode, FundClass)>, Problem> {
    let rows = app.store.programmes().await?;
    Ok(rows.into_iter().map(|row| (row.number, (row.spec.code, row.spec.class))).collect())
}

/// The wallet that an id leads to, with the id that it has now.
pub(super) async fn find(app: &App, mut id: WalletId) -> Result<(WalletId, Wallet), Problem> {
    loop {
        let own = app.store.wallets(&[id]).await?.pop();
        if let Some(found) = own.filter(|(_, wallet)| wallet.state != WalletState::Closed) {
            return Ok(found);
        }
        // Where no wallet is, or a closed one, the id may lead to another.
        match app.store.leads(&[id]).await?.pop() {
            Some((_, to)) => id = to,
            None => return own.ok_or_else(unknown),
        }
    }
}

/// A wallet as of now or of a time.
async fn view(app: &App, id: WalletId, at: Option<i64>) -> Result<Value, Problem> {
    let (id, now) = find(app, id).await?;
    let wallet = match at {
        None => now,
        Some(at) => app.store.wallet_at(now.account, at).await?.unwrap_or(Wallet::opened(now.account)),
    };
    let lots = if wallet.first_open_lot == 0 {
        Vec::new()
    } else {
        app.store.lots(&[(wallet.account, wallet.first_open_lot, wallet.version)]).await?
    };
    let codes = codes(app).await?;
    let mut sums: BTreeMap<(ProgrammeCode, &'static str), (i64, i64)> = BTreeMap::new();
    for (_, lot) in lots {
        if let Some((code, _)) = codes.get(&lot.benefit.programme)
            && lot.remaining > 0
        {
            let sum = sums.entry((*code, lot.class.as_str())).or_default();
            sum.0 += lot.remaining;
            sum.1 += lot.held;
        }
    }
    let by_programme: Vec<Value> = sums
        .into_iter()
        .map(|((code, class), (amount, held))| {
            json!({"programme": code, "class": class, "amount": money(amount), "held": money(held)})
        })
        .collect();
    Ok(json!({
        "wallet": id,
        "state": wallet.state.name(),
        "frozen": wallet.frozen,
        "currency": "KZT",
        "balance": money(wallet.posted),
        "held": money(wallet.held),
        "available": money(wallet.posted - wallet.held),
        "version": wallet.version,
        "at": at.map(rfc3339),
        "by_programme": by_programme,
    }))
}

pub(super) fn parse_id(text: &str) -> Result<WalletId, Problem> {
    // What is not an id at all is answered like an id that is not known.
    WalletId::parse(text).map_err(|_| unknown())
}

/// A time, or a business day: its first or its last millisecond.
pub(super) fn moment(name: &'static str, text: &str, first: bool) -> Result<i64, Problem> {
    let day = if first { start_of_business_day(text) } else { end_of_business_day(text) };
    day.or_else(|| parse_rfc3339(text)).ok_or_else(|| {
        let detail = format!("{name} is a time like 2026-11-21T20:51:20Z or a business day like 2026-11-22.");
        Problem::malformed(Code::FieldMalformed, name, detail)
    })
}

/// Unknown parameters are refused: a misspelt filter must not pass for none. Their names are the client's text.
pub(super) fn known_parameters(query: &HashMap<String, String>, known: &[&str]) -> Result<(), Problem> {
    if query.keys().all(|name| known.contains(&name.as_str())) {
        return Ok(());
    }
    let detail = format!("The request takes no parameters but: {}.", known.join(", "));
    Err(Problem::new(Code::ParameterUnknown, detail))
}

/// How many things a page may have.
pub(super) fn limit_of(query: &HashMap<String, String>, default: u32, most: u32) -> Result<u32, Problem> {
    let Some(text) = query.get("limit") else { return Ok(default) };
    text.parse().ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
        Problem::malformed(Code::FieldMalformed, "limit", format!("The limit is 1 to {most}."))
    })
}

fn write_cursor(version: u32) -> String {
    hex::encode(version.to_be_bytes())
}

fn read_cursor(text: &str) -> Result<u32, Problem> {
    let mut bytes = [0; 4];
    hex::decode_to_slice(text, &mut bytes).map(|()| u32::from_be_bytes(bytes)).map_err(|_| {
        Problem::malformed(Code::CursorMalformed, "after", "Give the `next` of the page before, as it is.")
    })
}
