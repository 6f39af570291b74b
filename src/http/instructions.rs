//! Single accruals and reversals, and journal entries.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value};

use super::body::{Body, malformed};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::Path;
use super::problem::Problem;
use super::{App, BODY_BYTES_MAX, entry_answer, entry_members, instructing, read_body};
use crate::domain::{Bin, Part, Period, ProgrammeCode};
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
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let payer = body.required("payer", |text| Bin::parse(text.as_bytes()))?;
    caller.must_act_for(payer)?;
    let iin = body.iin()?;
    let (programme, period, part) = benefit(&mut body)?;
    let amount = body.amount()?;
    body.finish()?;
    let accrual = Accrual { wallet: app.keys.wallet_id(&iin), programme, period, part, amount };
    app.instruct(Command::Accrue { accrual, iin, payer }, asked).await.map(entry_answer)
}

/// `POST /v1/reversals`.
pub async fn reverse(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let payer = body.required("payer", |text| Bin::parse(text.as_bytes()))?;
    caller.must_act_for(payer)?;
    let iin = body.iin()?;
    let (programme, period, part) = benefit(&mut body)?;
    let reason = body.required_free_text("reason")?;
    body.finish()?;
    let reversal = Reversal { wallet: app.keys.wallet_id(&iin), programme, period, part, reason };
    app.instruct(Command::Reverse { reversal, payer }, asked).await.map(entry_answer)
}

/// `GET /v1/entries/{entry}`.
pub async fn entry(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
) -> Result<Json<Map<String, Value>>, Problem> {
    let seq: u64 = entry.parse().map_err(|_| malformed("entry"))?;
    let (leaf, members) = visible(&app, &caller, seq).await?;
    let view = EntryView::of_leaf(seq, members, false);
    Ok(Json(entry_members(EntryView { leaf_hash: Some(leaf_hash(&leaf)), ..view })))
}

/// The leaf of an entry and its members, if the caller may see it: another client's entry is as unknown as none.
pub(super) async fn visible(
    app: &App,
    caller: &Caller,
    seq: u64,
) -> Result<(Vec<u8>, Map<String, Value>), Problem> {
    let unknown = || Problem::new(Code::EntryUnknown, "The journal has no entry of this number.");
    let (_, leaf) = app.store.leaves(&[seq]).await?.pop().ok_or_else(unknown)?;
    let members: Map<String, Value> =
        serde_json::from_slice(&leaf).map_err(|error| Problem::internal(&error))?;
    let client = members.get("actor").and_then(|actor| actor.get("client")).and_then(Value::as_str);
    // A wrong code is the bank's act, and names a wallet that is none of its business.
    let hidden = caller.bank().is_some() && members.get("kind").is_some_and(|kind| kind == "cash_tried");
    if !hidden && client.is_some_and(|client| caller.sees_acts_of(client)) {
        Ok((leaf, members))
    } else {
        Err(unknown())
    }
}
