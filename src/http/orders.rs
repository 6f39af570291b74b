//! Orders against wallets: decided at once, one by one or by file, and shown to whoever gave them.
//!
//! The issuer is who signs: what the client is registered as. The debtor's number stands in the body and nowhere else; what is written
//! in an order is kept encrypted, and the journal commits to it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::batches::{chunk_fault, wants_csv};
use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::{Path, Query};
use super::problem::{Problem, busy};
use super::transfers::after_of;
use super::wallets::{known_parameters, limit_of, money};
use super::{App, BODY_BYTES_MAX, asking, entry_answer, instruction_of, read_body};
use crate::domain::time::rfc3339;
use crate::domain::{Bin, OrderKind};
use crate::keys::BookKeys;
use crate::ledger::order::Outcome as Decided;
use crate::ledger::order_rules::Intake;
use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::orders::contents::{Contents, intake};
use crate::orders::fields::{Fields, Unnamed};
use crate::orders::file::{self, LineRefusal};
use crate::payroll::{CHUNK_BYTES_MAX, ChunkFault, Encoding, LineFaultCode};
use crate::sequencer::command::{Command, EntryView, OrderCommand, Outcome};
use crate::store::orders::OrderRow;

/// Orders on a page, at most; of so many that it looks through.
pub const ORDERS_LIMIT_MAX: u32 = 1_000;

/// Orders on a page, if the request does not say.
const ORDERS_LIMIT: u32 = 100;

pub(super) fn unknown() -> Problem {
    Problem::new(Code::OrderUnknown, "There is no such order.").with("final", json!(false))
}

/// Who issues what a client sends. The rules look again, at what is registered when it is decided.
fn issuer(caller: &Caller) -> Result<Bin, Problem> {
    let entitled = caller.issuer().ok_or_else(|| Refusal::of(RefusalCode::ClientNotEntitled, "client"));
    Ok(entitled?)
}

/// What an order without a number or a date that can be read is refused with: there is nothing to name an entry by.
fn unnamed(fault: Unnamed) -> Problem {
    if fault.missing { missing(fault.field) } else { malformed(fault.field) }
}

/// `POST /v1/orders`: an order is decided, at once.
pub async fn decide(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let issuer = issuer(&caller)?;
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    instruction_of(&caller, &headers)?; // every write is named; an order is told apart by its document
    let asked = asking(&app, &caller, &bytes);
    let written = Fields::of_json(Body::read(&bytes)?.into_members()).read().map_err(unnamed)?;
    let order = intake(&app.keys, issuer, written, None);
    let command = Command::Order(OrderCommand::Decide(vec![order]));
    match app.submit(command, asked).await? {
        Outcome::Answers(mut answers) if answers.len() == 1 => {
            let entry = app.told(answers.remove(0)?).await?;
            Ok(entry_answer(with_document(entry)))
        }
        _ => Err(Problem::internal(&"another outcome than an order's")),
    }
}

/// Says where the document of a decision is.
fn with_document(mut entry: EntryView) -> EntryView {
    entry.members.insert("document".into(), json!(format!("/v1/orders/{}/document", entry.seq)));
    entry
}

/// What is told of a line.
struct LineTold {
    line: usize,
    verdict: &'static str,
    entry: Option<u64>,
    /// Outcome, taken, held, refused.
    figures: Option<[String; 4]>,
    code: Option<&'static str>,
    field: Option<String>,
}

impl LineTold {
    fn refused(line: usize, code: &'static str, field: Option<&str>, entry: Option<u64>) -> Self {
        let field = field.map(str::to_owned);
        Self { line, verdict: "refused", entry, figures: None, code: Some(code), field }
    }

    /// Of a decision, by the members of its leaf.
    fn decided(line: usize, entry: u64, replayed: bool, members: &Map<String, Value>) -> Self {
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        // An order that could not be read has an entry of its own kind, which says only which field it was.
        let outcome = text("outcome").unwrap_or_else(|| Decided::Malformed.as_str().to_owned());
        let figures = ["taken", "held", "refused"].map(|name| text(name).unwrap_or_default());
        let [taken, held, refused] = figures;
        Self {
            line,
            verdict: if replayed { "already_decided" } else { "decided" },
            entry: Some(entry),
            figures: Some([outcome, taken, held, refused]),
            code: None,
            field: text("field"),
        }
    }
}

/// `POST /v1/orders/file`: many orders, a verdict a line.
pub async fn decide_many(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let issuer = issuer(&caller)?;
    let encoding = encoding_of(&headers)?;
    // The place is taken before the body is read: so many files are in memory.
    let _place = app.chunks.take(caller.client).ok_or_else(busy)?;
    let bytes = read_body(request, CHUNK_BYTES_MAX).await.map_err(|problem| match problem.code() {
        Code::BodyTooLarge => chunk_fault(ChunkFault::TooLarge).with("limit", json!(CHUNK_BYTES_MAX)),
        _ => problem,
    })?;
    instruction_of(&caller, &headers)?;
    let keys = Arc::clone(&app.keys);
    let read = tokio::task::spawn_blocking(move || {
        let lines = read_lines(&keys, issuer, encoding, &bytes)?;
        let actor = crate::ledger::record::Actor {
            client: caller.client,
            request: caller.request_digest(&bytes),
            line: None,
            instruction: None,
        };
        Ok((lines, super::Asked { actor, signed: caller.signed_request(&keys, &bytes) }))
    });
    let read = read.await.map_err(|error| Problem::internal(&error))?;
    let (Lines { mut told, orders, places }, asked) = read.map_err(chunk_fault)?;
    let answers = if orders.is_empty() {
        Vec::new()
    } else {
        match app.submit(Command::Order(OrderCommand::Decide(orders)), asked).await? {
            Outcome::Answers(answers) => answers,
            _ => return Err(Problem::internal(&"another outcome than orders'")),
        }
    };
    let repeated: Vec<u64> =
        answers.iter().flatten().filter(|it| it.members.is_empty()).map(|it| it.seq).collect();
    let mut leaves: HashMap<u64, Map<String, Value>> = HashMap::new();
    for (seq, leaf) in app.store.leaves(&repeated).await? {
        leaves.insert(seq, serde_json::from_slice(&leaf).map_err(|error| Problem::internal(&error))?);
    }
    for (line, answer) in places.into_iter().zip(answers) {
        told.push(match answer {
            Err(refusal) => LineTold::refused(line, refusal.code.name(), refusal.field, refusal.entry),
            Ok(entry) => {
                let members = leaves.get(&entry.seq).filter(|_| entry.members.is_empty());
                LineTold::decided(line, entry.seq, entry.replayed, members.unwrap_or(&entry.members))
            }
        });
    }
    told.sort_unstable_by_key(|told| told.line);
    Ok(if wants_csv(&headers) { csv(&told) } else { verdicts(&told) })
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(Encoding::from_content_type).ok_or_else(|| {
        let detail = "The lines are text/csv or application/x-ndjson.";
        Problem::new(Code::ContentTypeUnsupported, detail)
    })
}

/// The lines of a file: the orders to be decided with the lines that they stand on, and what is told of the others.
struct Lines {
    orders: Vec<Intake>,
    places: Vec<usize>,
    told: Vec<LineTold>,
}

fn read_lines(keys: &BookKeys, issuer: Bin, encoding: Encoding, bytes: &[u8]) -> Result<Lines, ChunkFault> {
    let read = file::parse(encoding, bytes)?;
    let mut lines = Lines { orders: Vec::new(), places: Vec::new(), told: Vec::new() };
    for (line, read) in (1..).zip(read) {
        match read {
            Ok(written) => {
                lines.orders.push(intake(keys, issuer, written, u64::try_from(line).ok()));
                lines.places.push(line);
            }
            Err(refusal) => lines.told.push(refused_line(line, refusal)),
        }
    }
    Ok(lines)
}

fn refused_line(line: usize, refusal: LineRefusal) -> LineTold {
    LineTold::refused(line, refusal.code(), Some(refusal.field()), None)
}

fn verdicts(told: &[LineTold]) -> Response {
    let view = |told: &LineTold| {
        let mut verdict = json!({"line": told.line, "verdict": told.verdict, "entry": told.entry});
        if let Some([outcome, taken, held, refused]) = &told.figures {
            verdict["outcome"] = json!(outcome);
            for (name, sum) in [("taken", taken), ("held", held), ("refused", refused)] {
                if !sum.is_empty() {
                    verdict[name] = json!(sum);
                }
            }
        }
        if let Some(code) = told.code {
            verdict["code"] = json!(code);
            verdict["final"] = json!(false);
        }
        if let Some(field) = &told.field {
            verdict["field"] = json!(field);
        }
        verdict
    };
    let count = |verdict: &str| told.iter().filter(|told| told.verdict == verdict).count();
    let counts = json!({"decided": count("decided"), "already_decided": count("already_decided"), "refused": count("refused")});
    let verdicts: Vec<Value> = told.iter().map(view).collect();
    let advice = advice(told.iter().filter_map(|told| told.code));
    Json(json!({"lines": told.len(), "counts": counts, "advice": advice, "verdicts": verdicts}))
        .into_response()
}

/// What to do about the lines that were refused, once a code.
fn advice(refused: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, &'static str> {
    let of_line =
        |code: &str| LineFaultCode::ALL.iter().find(|fault| fault.code() == code).map(|fault| fault.advice());
    let of_request = |code: &str| {
        Code::ALL.iter().map(|known| known.row()).find(|row| row.name == code).map(|row| row.advice)
    };
    refused.filter_map(|code| Some((code, of_line(code).or_else(|| of_request(code))?))).collect()
}

fn csv(told: &[LineTold]) -> Response {
    let mut text = String::with_capacity(told.len() * 48 + 64);
    text.push_str("line,verdict,entry,outcome,taken,held,refused,code,field\n");
    for told in told {
        let LineTold { line, verdict, entry, figures, code, field } = told;
        let entry = entry.map(|entry| entry.to_string()).unwrap_or_default();
        let empty = Default::default();
        let [outcome, taken, held, refused] = figures.as_ref().unwrap_or(&empty);
        let (code, field) = (code.unwrap_or_default(), field.as_deref().unwrap_or_default());
        writeln!(text, "{line},{verdict},{entry},{outcome},{taken},{held},{refused},{code},{field}")
            .expect("writing to a string does not fail");
    }
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
}

/// An order, if the caller may see it: another issuer's is as unknown as none.
pub(super) async fn seen(app: &App, caller: &Caller, entry: &str) -> Result<OrderRow, Problem> {
    let seq: u64 = entry.parse().map_err(|_| unknown())?;
    let known = app.store.orders(&[seq]).await?.pop().ok_or_else(unknown)?;
    if caller.sees_orders_of(known.issuer) { Ok(known) } else { Err(unknown()) }
}

/// `GET /v1/orders/{entry}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let known = seen(&app, &caller, &entry).await?;
    let view = views(&app, std::slice::from_ref(&known)).await?.pop();
    view.map(Json).ok_or_else(|| Problem::internal(&"an order without a view"))
}

/// `GET /v1/orders?after=&limit=&state=`: an authority's orders, oldest first. `standing` are those that hold something now.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query,
) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["state", "after", "limit"])?;
    let standing = match query.get("state").map(String::as_str) {
        None | Some("all") => false,
        Some("standing") => true,
        Some(_) => return Err(malformed("state")),
    };
    let after = after_of(&query)?;
    let limit = limit_of(&query, ORDERS_LIMIT, ORDERS_LIMIT_MAX)?;
    let Some(issuer) = caller.issuer() else { return Ok(Json(json!({"orders": [], "next": null}))) };
    let looked = if standing { ORDERS_LIMIT_MAX } else { limit };
    let mut orders = app.store.orders_of_issuer(issuer, after, looked).await?;
    let last_looked = orders.last().map(|order| order.seq).filter(|_| orders.len() == looked as usize);
    orders.retain(|order| !standing || stands(order));
    let more = orders.len() > limit as usize;
    orders.truncate(limit as usize);
    let next = if more { orders.last().map(|order| order.seq) } else { last_looked };
    let orders = views(&app, &orders).await?;
    Ok(Json(json!({"orders": orders, "next": next})))
}

fn stands(order: &OrderRow) -> bool {
    order.outcome == Decided::Held && order.ended.is_none()
}

/// What is written in orders, by entry.
pub(super) async fn contents(app: &App, orders: &[OrderRow]) -> Result<HashMap<u64, Contents>, Problem> {
    let entries: Vec<u64> = orders.iter().map(|order| order.seq).collect();
    let sealed: HashMap<u64, Vec<u8>> = app.store.sealed_orders(&entries).await?.into_iter().collect();
    let open = |order: &OrderRow| {
        let contents =
            sealed.get(&order.seq).and_then(|sealed| Contents::unseal(&app.keys, &order.tag, sealed));
        let contents =
            contents.ok_or_else(|| Problem::internal(&"an order that the book's key does not open"))?;
        Ok((order.seq, contents))
    };
    orders.iter().map(open).collect()
}

async fn views(app: &App, orders: &[OrderRow]) -> Result<Vec<Value>, Problem> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<u64> = orders.iter().map(|order| order.seq).collect();
    let contents = contents(app, orders).await?;
    let mut leaves: HashMap<u64, Map<String, Value>> = HashMap::new();
    for (seq, leaf) in app.store.leaves(&entries).await? {
        leaves.insert(seq, serde_json::from_slice(&leaf).map_err(|error| Problem::internal(&error))?);
    }
    let view = |order: &OrderRow| {
        let gone = || Problem::internal(&"an order without its entry");
        let (leaf, contents) =
            (leaves.get(&order.seq).ok_or_else(gone)?, contents.get(&order.seq).ok_or_else(gone)?);
        let shown = contents.shown();
        let member = |name: &str| leaf.get(name).cloned().unwrap_or(Value::Null);
        let sums = order.kind.is_some();
        let sum = |tiyn: i64| sums.then(|| money(tiyn));
        let state = match (stands(order), order.ended) {
            (true, _) => "standing",
            (false, Some(_)) => "ended",
            (false, None) => "decided",
        };
        Ok(json!({
            "order": order.seq,
            "state": state,
            "at": member("at"),
            "issuer": order.issuer,
            "issuer_kind": order.issuer_kind,
            "number": shown.document.number,
            "date": shown.document.date,
            "kind": order.kind.map(OrderKind::as_str),
            "debtor": shown.last_four,
            "enforcement_document": shown.enforcement_document,
            "purpose": shown.purpose,
            "currency": "KZT",
            "asked": member("amount"),
            "taken": sum(order.taken),
            "held": sum(order.held),
            "refused": sum(order.refused),
            "outcome": order.outcome,
            "field": member("field"),
            "expires": order.expires.map(rfc3339),
            "rules": member("rules"),
            "lifted": member("lifted"),
            "ended_by_entry": order.ended,
            "document": format!("/v1/orders/{}/document", order.seq),
        }))
    };
    orders.iter().map(view).collect()
}
