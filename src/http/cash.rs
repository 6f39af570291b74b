//! Cash: made through a channel, redeemed at an agent of a bank with a reference and a code. Both travel in bodies only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::Path;
use super::problem::Problem;
use super::wallets::money;
use super::{App, BODY_BYTES_MAX, entry_answer, entry_members, instructing, read_body};
use crate::domain::time::rfc3339;
use crate::ledger::cash_rules::Dispensed;
use crate::ledger::payment::{CashReference, PaymentKind, Terminal};
use crate::sequencer::command::{Command, PaymentCommand};

/// Digits of a code.
const CODE_DIGITS: usize = 8;

/// How long a cash-out stands if the request does not say, minutes.
const MINUTES: u64 = 30;

pub(super) fn unknown() -> Problem {
    Problem::new(Code::CashUnknown, "There is no such cash-out.").with("final", json!(false))
}

/// `POST /v1/cash`: the answer has the code, once: nobody keeps it, and a repeated request is answered without it.
pub async fn create(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let authorisation = body.integer("authorisation")?.ok_or_else(|| missing("authorisation"))?;
    let amount = body.amount()?;
    let minutes = body.integer("minutes")?.unwrap_or(MINUTES);
    let minutes = u32::try_from(minutes).map_err(|_| malformed("minutes"))?;
    body.finish()?;
    let reference = CashReference::from_bytes(rand::random());
    let code = format!("{:0width$}", rand::random_range(0..10u32.pow(8)), width = CODE_DIGITS);
    let secret = app.keys.cash_secret(reference, &code);
    let command = PaymentCommand::CreateCash { authorisation, amount, reference, secret, minutes };
    let entry = app.instruct(Command::Payment(command), asked).await?;
    let replayed = entry.replayed;
    if replayed {
        return Ok(entry_answer(entry));
    }
    let mut members = entry_members(entry);
    members.insert("code".into(), json!(code));
    Ok((StatusCode::CREATED, Json(members)).into_response())
}

fn reference(body: &mut Body) -> Result<CashReference, Problem> {
    body.required("reference", |text| CashReference::parse(text).ok_or(()))
}

/// `POST /v1/cash/redeem`: a bank, for its agent. From its answer on, the agent may pay out.
pub async fn redeem(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let reference = reference(&mut body)?;
    let code = body.required("code", |text| {
        let digits = text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { Ok(text.to_owned()) } else { Err(()) }
    })?;
    let terminal: Terminal = body.required_free_text("terminal")?;
    body.finish()?;
    let bank = caller.bank().ok_or_else(unknown)?;
    let attempt = app.keys.cash_secret(reference, &code);
    let command = PaymentCommand::Redeem { bank, reference, attempt, terminal };
    let told = app.instruct(Command::Payment(command), asked).await;
    if told.as_ref().is_err_and(|problem| problem.code() == Code::CashTriesExceeded) {
        // Somebody may be guessing: whoever watches the service wants to know before the day is over.
        tracing::error!(%bank, "a limit of wrong codes is reached");
    }
    told.map(entry_answer)
}

/// `POST /v1/cash/outcomes`: what became of it at the agent's; an operator names a document.
pub async fn finish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let reference = reference(&mut body)?;
    let dispensed = body.required("outcome", |text| match text {
        "captured" => Ok(Dispensed::Captured),
        "reversed" => Ok(Dispensed::Reversed),
        "unknown" => Ok(Dispensed::Unknown),
        _ => Err(()),
    })?;
    let document = body.free_text("document")?;
    body.finish()?;
    let command = PaymentCommand::Finish { by: caller.party(), reference, dispensed, document };
    app.instruct(Command::Payment(command), asked).await.map(entry_answer)
}

/// `POST /v1/cash/cancel`: the channel takes it back before an agent has it.
pub async fn cancel(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let reference = reference(&mut body)?;
    body.finish()?;
    let command = PaymentCommand::CancelCash(reference);
    app.instruct(Command::Payment(command), asked).await.map(entry_answer)
}

/// `GET /v1/cash/{entry}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let seq: u64 = entry.parse().map_err(|_| unknown())?;
    let known = app.store.payments(&[seq]).await?.pop();
    let seen = known.filter(|known| caller.sees_payment(known.channel.as_str(), known.bank()));
    let known = seen.ok_or_else(unknown)?;
    let PaymentKind::Cash { reference, expires, .. } = known.kind else { return Err(unknown()) };
    let head = known.head();
    let history: Vec<Value> = known
        .history
        .iter()
        .map(|row| json!({"entry": row.seq, "at": rfc3339(row.at), "state": row.state.of_cash(), "tries": row.tries}))
        .collect();
    Ok(Json(json!({
        "cash": known.seq,
        "state": head.state.of_cash(),
        "wallet": known.wallet,
        "authorisation": known.authorisation,
        "channel": known.channel,
        "reference": reference,
        "currency": "KZT",
        "amount": money(known.amount),
        "held": money(known.held()),
        "expires": rfc3339(expires),
        "tries": head.tries,
        "agent": head.agent,
        "history": history,
    })))
}
