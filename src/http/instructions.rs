//! Single accruals and reversals, and journal entries.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value};

use super::body::{Body, malformed};
use super::catalogue::Code;
use super::extract::Path;
use super::problem::Problem;
use super::{App, BODY_BYTES_MAX, entry_answer, entry_members, instructing, read_body};
use crate::domain::{Bin, Part, Period, ProgrammeCode, Reason};
use crate::ledger::rules::{Accrual, Reversal};
use crate::log::merkle::leaf_hash;
use crate::sequencer::command::{Command, EntryView};

fn part(body: &mut Body) -> Result<Part, Problem> {
    let number = body.integer("part")?.unwrap_or(1);
    u16::try_from(number).ok().and_then(Part::new).ok_or_else(|| {
        Problem::malformed(Code::PartOutOfRange, "part", "A part is a whole number from 1 to 999.")
    })
}

/// The benefit key's part of a body, in the order in which faults are named.
fn benefit(body: &mut Body) -> Result<(ProgrammeCode, Period, Part), Problem> {
    Ok((
        body.required("programme", |text| ProgrammeCode::parse(text.as_bytes()))?,
        body.required("period", |text| Period::parse(text.as_bytes()))?,
        part(body)?,
    ))
}

/// `POST /v1/accruals`.
pub async fn accrue(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let actor = instructing(&headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let payer = body.required("payer", |text| Bin::parse(text.as_bytes()))?;
    let iin = body.iin()?;
    let (programme, period, part) = benefit(&mut body)?;
    let amount = body.amount()?;
    body.finish()?;
    let accrual = Accrual { wallet: app.keys.wallet_id(&iin), programme, period, part, amount };
    app.instruct(Command::Accrue { accrual, iin, payer }, actor).await.map(entry_answer)
}

/// `POST /v1/reversals`.
pub async fn reverse(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let actor = instructing(&headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let payer = body.required("payer", |text| Bin::parse(text.as_bytes()))?;
    let iin = body.iin()?;
    let (programme, period, part) = benefit(&mut body)?;
    let reason = body.required("reason", Reason::parse)?;
    body.finish()?;
    let reversal = Reversal { wallet: app.keys.wallet_id(&iin), programme, period, part, reason };
    app.instruct(Command::Reverse { reversal, payer }, actor).await.map(entry_answer)
}

/// `GET /v1/entries/{entry}`.
pub async fn entry(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
) -> Result<Json<Map<String, Value>>, Problem> {
    let seq: u64 = entry.parse().map_err(|_| malformed("entry"))?;
    let leaves = app.store.leaves(&[seq]).await?;
    let (_, leaf) = leaves
        .first()
        .ok_or_else(|| Problem::new(Code::EntryUnknown, "The journal has no entry of this number."))?;
    let members = serde_json::from_slice(leaf).map_err(|error| Problem::internal(&error))?;
    let view = EntryView::of_leaf(seq, members, false);
    Ok(Json(entry_members(EntryView { leaf_hash: Some(leaf_hash(leaf)), ..view })))
}
