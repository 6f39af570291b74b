//! Batches: open, send chunks, release, close, cancel, read verdicts.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::{Path, Query};
use super::problem::{Problem, busy};
use super::wallets::{known_parameters, money};
use super::{App, Asked, BODY_BYTES_MAX, asking, read_body, refusal};
use crate::domain::time::{parse_rfc3339, rfc3339};
use crate::domain::{BatchId, Bin, Money, Period, ProgrammeCode};
use crate::keys::BookKeys;
use crate::ledger::batch::{Batch, LineVerdict, VERDICT_BYTES, Verdict};
use crate::ledger::batch_rules::{Chunk, ChunkLine, ChunkOutcome};
use crate::ledger::record::{Actor, BatchDeclaration};
use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::log::merkle::Hash;
use crate::payroll::{CHUNK_BYTES_MAX, ChunkFault, Encoding, Field, Line, LineKind, ParsedLine, parse_chunk};
use crate::sequencer::command::{Command, Outcome};
use crate::sequencer::desk::is_already;
use crate::store::BatchTimes;

/// Lines that a batch may declare: eight paydays of the whole country.
pub const LINES_MAX: u64 = 40_000_000;

/// Programmes, and periods, that a batch may declare.
pub const DECLARED_MAX: usize = 100;

/// Missing ranges that a batch lists.
const MISSING_MAX: usize = 1_000;

/// Verdicts on a page, at most.
pub const VERDICTS_LIMIT_MAX: u64 = 8_192;

fn parse_id(text: &str) -> Result<BatchId, Problem> {
    BatchId::parse(text).map_err(|_| {
        Problem::malformed(
            Code::BatchMalformed,
            "batch",
            "A batch's id is a UUID in lower case, with hyphens.",
        )
    })
}

pub(super) fn unknown() -> Problem {
    Problem::new(Code::BatchUnknown, "There is no such batch.")
}

/// `PUT /v1/batches/{id}`.
pub async fn open(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let caller = caller(&request)?;
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = asking(&app, &caller, &bytes);
    let mut body = Body::read(&bytes)?;
    let declaration = Box::new(declaration(id, &mut body)?);
    caller.must_act_for(declaration.payer)?;
    let rehearse = body.flag("validate_only")?;
    body.finish()?;
    let command = Command::OpenBatch(declaration);
    let outcome = if rehearse {
        app.spend(asked.signed.as_deref()).await?;
        if !app.store.batches(&[id]).await?.is_empty() {
            return Err(Refusal::of(RefusalCode::InstructionConflict, "validate_only").into());
        }
        app.rehearsals.begin(id, command, asked.actor).await?
    } else {
        app.submit(command, asked).await?
    };
    let replayed = matches!(&outcome, Outcome::Entry(entry) if entry.replayed);
    let status = if replayed { StatusCode::OK } else { StatusCode::CREATED };
    Ok(with_entry((status, Json(view(&app, id).await?)).into_response(), made(&outcome)))
}

/// The entry that a write on a batch has made, with the hash of its leaf.
fn made(outcome: &Outcome) -> Option<(u64, Hash)> {
    match outcome {
        Outcome::Entry(entry) => Some(entry.seq).zip(entry.leaf_hash),
        Outcome::Chunk(chunk) => chunk.entry.zip(chunk.leaf_hash),
        Outcome::Answers(_) => None,
    }
}

/// Names it in the answer's headers: the body is the batch, or the verdicts.
fn with_entry(mut response: Response, made: Option<(u64, Hash)>) -> Response {
    if let Some((entry, hash)) = made {
        let receipt = super::receipts::url(entry);
        let values = [
            ("social-wallet-entry", entry.to_string()),
            ("social-wallet-leaf-hash", hex::encode(hash)),
            ("social-wallet-receipt", receipt),
        ];
        for (name, value) in values {
            let value = HeaderValue::try_from(value).expect("digits, and paths of them, are visible ASCII");
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn declaration(batch: BatchId, body: &mut Body) -> Result<BatchDeclaration, Problem> {
    let kind = body.required("kind", |text| LineKind::from_name(text).ok_or(()))?;
    let payer = body.required("payer", |text| Bin::parse(text.as_bytes()))?;
    let programmes = body.list("programmes", |text| ProgrammeCode::parse(text.as_bytes()))?;
    let periods = body.list("periods", |text| Period::parse(text.as_bytes()))?;
    let lines = body.integer("lines")?.ok_or_else(|| missing("lines"))?;
    let total = body.required("total", |text| Money::parse(text.as_bytes()))?;
    body.currency()?;
    let not_before = body.optional("not_before", |text| parse_rfc3339(text).ok_or(()))?;
    let release_required = body.flag("release_required")?;
    if !(1..=LINES_MAX).contains(&lines) {
        return Err(Problem::malformed(
            Code::FieldMalformed,
            "lines",
            format!("A batch has 1 to {LINES_MAX} lines."),
        ));
    }
    if total.tiyn() > crate::ledger::books::SUM_MAX {
        return Err(Problem::malformed(
            Code::AmountTooLarge,
            "total",
            "The total is more money than there is.",
        ));
    }
    let names = kind != LineKind::WalletOpening;
    for (name, count) in [("programmes", programmes.len()), ("periods", periods.len())] {
        if count > DECLARED_MAX || (count > 0) != names {
            let detail = if names {
                format!("A batch of accruals or reversals declares 1 to {DECLARED_MAX} {name}.")
            } else {
                format!("A batch of openings declares no {name}.")
            };
            return Err(Problem::malformed(Code::FieldMalformed, name, detail));
        }
    }
    if kind != LineKind::Accrual && total != Money::ZERO {
        let detail = "The lines of this kind carry no amounts: the total is 0.00.";
        return Err(Problem::malformed(Code::FieldMalformed, "total", detail));
    }
    Ok(BatchDeclaration {
        batch,
        kind,
        payer,
        programmes,
        periods,
        lines,
        total,
        not_before,
        release_required,
    })
}

/// `POST /v1/batches/{id}/release`.
pub async fn release(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&app, &id, request, Command::ReleaseBatch).await
}

/// `POST /v1/batches/{id}/close`.
pub async fn close(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&app, &id, request, Command::CloseBatch).await
}

/// `POST /v1/batches/{id}/cancel`.
pub async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&app, &id, request, Command::CancelBatch).await
}

async fn step(
    app: &App,
    id: &str,
    request: Request,
    command: fn(BatchId) -> Command,
) -> Result<Response, Problem> {
    let id = parse_id(id)?;
    let caller = caller(&request)?;
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    if !bytes.is_empty() {
        Body::read(&bytes)?.finish()?;
    }
    let asked = asking(app, &caller, &bytes);
    let actor = asked.actor;
    if let Err(problem) = seen_by(app, &caller, id).await {
        app.spend(asked.signed.as_deref()).await?;
        return Err(match problem.code() {
            Code::BatchUnknown => Refusal::of(RefusalCode::BatchUnknown, "batch").into(), // as the rules refuse it
            _ => problem,
        });
    }
    let command = command(id);
    let outcome = match rehearsed(app, id).await? {
        Some(_) => {
            app.spend(asked.signed.as_deref()).await?;
            app.rehearsals.run(id, command.clone(), actor).await
        }
        None => None,
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => app.submit(command.clone(), asked).await,
    };
    match outcome {
        Ok(outcome) => Ok(with_entry(Json(view(app, id).await?).into_response(), made(&outcome))),
        // A step that was taken before is answered with what it made.
        Err(error)
            if matches!(
                refusal(&error),
                Some(RefusalCode::BatchClosed | RefusalCode::BatchReleasedAlready)
            ) =>
        {
            let (batch, _) = find(app, id).await?;
            let own = batch.client == actor.client || matches!(command, Command::ReleaseBatch(_));
            if own && is_already(batch.state, &command) {
                Ok(Json(view(app, id).await?).into_response())
            } else {
                Err(error.into())
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /v1/batches/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let id = parse_id(&id)?;
    seen_by(&app, &caller, id).await?;
    view(&app, id).await.map(Json)
}

/// Another payer's batch is as unknown as none.
async fn seen_by(app: &App, caller: &Caller, id: BatchId) -> Result<LineKind, Problem> {
    let (kind, payer) = kind_of(app, id).await?;
    if caller.acts_for(payer) { Ok(kind) } else { Err(unknown()) }
}

async fn find(app: &App, id: BatchId) -> Result<(Batch, bool), Problem> {
    if let Some(batch) = rehearsed(app, id).await? {
        return Ok((batch, true));
    }
    app.store.batches(&[id]).await?.pop().map(|batch| (batch, false)).ok_or_else(unknown)
}

/// A batch that is only validated. A real batch of the same id, whoever opened it and wherever, ends it: lines meant for
/// that one must not be answered here and lost.
async fn rehearsed(app: &App, id: BatchId) -> Result<Option<Batch>, Problem> {
    let Some(batch) = app.rehearsals.batch(id).await else { return Ok(None) };
    if app.store.batches(&[id]).await?.is_empty() {
        return Ok(Some(batch));
    }
    app.rehearsals.end(id).await;
    Ok(None)
}

async fn view(app: &App, id: BatchId) -> Result<Value, Problem> {
    let (batch, rehearsed) = find(app, id).await?;
    let times = if rehearsed { BatchTimes::default() } else { app.store.batch_times(batch.number).await? };
    let Batch { declaration, totals, .. } = &batch;
    let difference = declaration.total.tiyn() - totals.received_total;
    let rate = times.first_chunk_at.zip(times.last_chunk_at).filter(|(first, last)| last > first).map(
        |(first, last)| {
            #[allow(clippy::cast_precision_loss)] // a rate for people to read
            let rate = totals.received_lines as f64 * 1000.0 / (last - first) as f64;
            (rate * 10.0).round() / 10.0
        },
    );
    let missing = batch.received.missing(declaration.lines, MISSING_MAX);
    Ok(json!({
        "batch": id,
        "kind": declaration.kind.name(),
        "state": batch.state.name(),
        "payer": declaration.payer,
        "programmes": declaration.programmes,
        "periods": declaration.periods,
        "currency": "KZT",
        "declared": {"lines": declaration.lines, "total": declaration.total},
        "received": {"lines": totals.received_lines, "total": money(totals.received_total)},
        "accepted": {"lines": totals.accepted_lines, "total": money(totals.accepted_total)},
        "refused": {"lines": totals.refused_lines()},
        "difference": {"lines": declaration.lines - totals.received_lines, "total": money(difference)},
        "missing": missing.iter().map(|(first, last)| json!([first, last])).collect::<Vec<_>>(),
        "not_before": declaration.not_before.map(rfc3339),
        "release_required": declaration.release_required,
        "validate_only": rehearsed,
        "opened_by": batch.client,
        "first_chunk_at": times.first_chunk_at.map(rfc3339),
        "last_chunk_at": times.last_chunk_at.map(rfc3339),
        "lines_per_s": rate,
    }))
}

/// `PUT /v1/batches/{id}/chunks/{first_line}`.
pub async fn chunk(
    State(app): State<Arc<App>>,
    Path((id, first_line)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let encoding = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(Encoding::from_content_type);
    let encoding = encoding.ok_or_else(|| {
        let detail = "The lines are text/csv or application/x-ndjson.";
        Problem::new(Code::ContentTypeUnsupported, detail)
    })?;
    let first_line: u64 = first_line
        .parse()
        .ok()
        .filter(|line| (1..=LINES_MAX).contains(line))
        .ok_or_else(|| malformed("first_line"))?;
    // The place is taken before the body is read: so many chunks are in memory.
    let _place = app.chunks.take(caller.client).ok_or_else(busy)?;
    let bytes = read_body(request, CHUNK_BYTES_MAX).await.map_err(|problem| match problem.code() {
        Code::BodyTooLarge => chunk_fault(ChunkFault::TooLarge).with("limit", json!(CHUNK_BYTES_MAX)),
        _ => problem,
    })?;
    let kind = match seen_by(&app, &caller, id).await {
        Ok(kind) => kind,
        Err(problem) => {
            app.spend(caller.signed_request(&app.keys, &bytes).as_deref()).await?;
            return Err(problem);
        }
    };
    let (keys, client) = (Arc::clone(&app.keys), caller.client);
    let read = tokio::task::spawn_blocking(move || {
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let lines = parse_chunk(kind, encoding, &bytes)?;
        Ok((read_chunk(&keys, id, first_line, digest, lines), caller.signed_request(&keys, &bytes)))
    });
    let read = read.await.map_err(|error| Problem::internal(&error))?;
    let (chunk, signed) = read.map_err(chunk_fault)?;
    let actor = Actor { client, request: chunk.digest, line: None, instruction: None };
    let command = Command::Chunk(Box::new(chunk));
    let outcome = match rehearse(&app, id, &command, Asked { actor, signed }).await? {
        Rehearsed::Outcome(outcome) => outcome,
        Rehearsed::Real(asked) => app.submit(command, asked).await?,
    };
    let made = made(&outcome);
    let Outcome::Chunk(outcome) = outcome else {
        return Err(Problem::internal(&"an entry's outcome for a chunk"));
    };
    Ok(with_entry(answer(id, first_line, &outcome, wants_csv(&headers)), made))
}

/// Whether a chunk was only rehearsed.
enum Rehearsed {
    Outcome(Outcome),
    Real(Asked),
}

async fn rehearse(app: &App, id: BatchId, command: &Command, asked: Asked) -> Result<Rehearsed, Problem> {
    let (Some(batch), Command::Chunk(chunk)) = (rehearsed(app, id).await?, command) else {
        return Ok(Rehearsed::Real(asked));
    };
    app.spend(asked.signed.as_deref()).await?;
    if batch.received.overlaps(chunk.first_line, chunk.lines.len() as u64) {
        let detail = "A batch that is only validated takes every line once. Open it anew to validate again.";
        return Err(Problem::new(Code::LineValidatedAlready, detail));
    }
    match app.rehearsals.run(id, command.clone(), asked.actor).await {
        Some(outcome) => Ok(Rehearsed::Outcome(outcome?)),
        // It has ended meanwhile, and nothing was posted by it.
        None => Err(unknown()),
    }
}

/// What the lines of a batch are, and who pays. Asked once a batch: it never changes.
async fn kind_of(app: &App, id: BatchId) -> Result<(LineKind, Bin), Problem> {
    let known = |kinds: &HashMap<BatchId, (LineKind, Bin)>| kinds.get(&id).copied();
    let lock = || app.kinds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(kind) = known(&lock()) {
        return Ok(kind);
    }
    let (batch, rehearsed) = find(app, id).await?;
    let kind = (batch.declaration.kind, batch.declaration.payer);
    if rehearsed {
        return Ok(kind); // a real batch of the same id may be of another
    }
    let mut kinds = lock();
    if kinds.len() >= 10_000 {
        kinds.clear();
    }
    kinds.insert(id, kind);
    Ok(kind)
}

fn read_chunk(
    keys: &BookKeys,
    batch: BatchId,
    first_line: u64,
    digest: [u8; 32],
    lines: Vec<ParsedLine>,
) -> Chunk {
    let wallet = |parsed: &ParsedLine| {
        let line = parsed.line.as_ref().ok()?;
        Some(keys.wallet_id(match line {
            Line::Accrual(line) => &line.iin,
            Line::Reversal(line) => &line.iin,
            Line::Opening(line) => &line.iin,
        }))
    };
    let lines = lines.into_iter().map(|parsed| ChunkLine { wallet: wallet(&parsed), parsed }).collect();
    Chunk { batch, first_line, digest, lines }
}

pub(super) fn chunk_fault(fault: ChunkFault) -> Problem {
    let detail = format!("{fault}. The chunk was refused whole; nothing of it was recorded.");
    Problem::new(fault.into(), detail)
}

pub(super) fn wants_csv(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.starts_with("text/csv"))
}

fn answer(batch: BatchId, first_line: u64, outcome: &ChunkOutcome, csv: bool) -> Response {
    let verdicts = (first_line..).zip(outcome.verdicts.iter().copied());
    if csv {
        return csv_answer(verdicts);
    }
    let mut counts: BTreeMap<&str, u64> =
        ["accepted", "already_accepted", "refused"].map(|name| (name, 0)).into();
    for line in &outcome.verdicts {
        *counts.entry(name(&line.verdict)).or_default() += 1;
    }
    Json(json!({
        "batch": batch,
        "first_line": first_line,
        "lines": outcome.verdicts.len(),
        "entry": outcome.entry,
        "state": outcome.state.name(),
        "counts": counts,
        "advice": advice(outcome.verdicts.iter()),
        "verdicts": verdicts.map(|(line, verdict)| verdict_view(line, &verdict)).collect::<Vec<_>>(),
    }))
    .into_response()
}

/// What to do about the lines that were refused, by the code of their verdicts: once a code, however many lines have it.
fn advice<'a>(verdicts: impl Iterator<Item = &'a LineVerdict>) -> BTreeMap<&'static str, &'static str> {
    let refused = verdicts.filter_map(|line| match line.verdict {
        Verdict::Refused { reason, .. } => Some((reason.name(), reason.advice())),
        Verdict::Accepted { .. } | Verdict::AlreadyAccepted { .. } => None,
    });
    refused.collect()
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted { .. } => "accepted",
        Verdict::AlreadyAccepted { .. } => "already_accepted",
        Verdict::Refused { .. } => "refused",
    }
}

fn verdict_view(line: u64, verdict: &LineVerdict) -> Value {
    match verdict.verdict {
        Verdict::Accepted { entry } | Verdict::AlreadyAccepted { entry } => {
            json!({"line": line, "verdict": name(&verdict.verdict), "entry": entry})
        }
        Verdict::Refused { reason, field, entry } => json!({
            "line": line,
            "verdict": "refused",
            "code": reason.name(),
            "field": (field != Field::None).then(|| field.name()),
            "entry": entry,
            "final": false,
        }),
    }
}

fn csv_answer(verdicts: impl Iterator<Item = (u64, LineVerdict)>) -> Response {
    let mut text = String::with_capacity(verdicts.size_hint().0.min(16_384) * 24 + 32);
    text.push_str("line,verdict,entry,code,field\n");
    for (line, verdict) in verdicts {
        let written = match verdict.verdict {
            Verdict::Accepted { entry } | Verdict::AlreadyAccepted { entry } => {
                writeln!(text, "{line},{},{entry},,", name(&verdict.verdict))
            }
            Verdict::Refused { reason, field, entry } => {
                let field = if field == Field::None { "" } else { field.name() };
                let entry = entry.map(|entry| entry.to_string()).unwrap_or_default();
                writeln!(text, "{line},refused,{entry},{},{field}", reason.name())
            }
        };
        written.expect("writing to a string does not fail");
    }
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
}

/// `GET /v1/batches/{id}/verdicts?after_line=&limit=`.
pub async fn verdicts(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    known_parameters(&query, &["after_line", "limit"])?;
    let number = |name: &'static str, otherwise| {
        query.get(name).map_or(Ok(otherwise), |text| text.parse::<u64>().map_err(|_| malformed(name)))
    };
    let after = number("after_line", 0)?;
    let limit = number("limit", VERDICTS_LIMIT_MAX)?;
    if !(1..=VERDICTS_LIMIT_MAX).contains(&limit) || after > LINES_MAX {
        return Err(malformed(if after > LINES_MAX { "after_line" } else { "limit" }));
    }
    seen_by(&app, &caller, id).await?;
    let (batch, rehearsed) = find(&app, id).await?;
    if rehearsed {
        let detail = "The verdicts of a batch that is only validated are in the answers to its chunks.";
        return Err(Problem::new(Code::VerdictsNotKept, detail));
    }
    let last = after.saturating_add(limit).min(batch.declaration.lines);
    let mut lines: BTreeMap<u64, LineVerdict> = BTreeMap::new();
    for row in app.store.chunks(batch.number, after + 1, last).await? {
        for (line, bytes) in (row.first_line..).zip(row.verdicts.chunks(VERDICT_BYTES)) {
            if (after + 1..=last).contains(&line) {
                let verdict =
                    LineVerdict::load(bytes).ok_or_else(|| Problem::internal(&"a stored verdict"))?;
                lines.insert(line, verdict);
            }
        }
    }
    if wants_csv(&headers) {
        return Ok(csv_answer(lines.into_iter()));
    }
    let next = (last < batch.declaration.lines).then_some(last);
    let verdicts: Vec<Value> = lines.iter().map(|(line, verdict)| verdict_view(*line, verdict)).collect();
    let advice = advice(lines.values());
    Ok(Json(json!({"batch": id, "advice": advice, "verdicts": verdicts, "next_after_line": next}))
        .into_response())
}
