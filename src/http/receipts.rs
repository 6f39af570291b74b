//! Receipts: that an entry is in the log, to be kept and checked offline (C2SP `tlog-proof`).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::malformed;
use super::catalogue::Code;
use super::door::Caller;
use super::extract::Path;
use super::instructions::visible;
use super::problem::Problem;
use super::{App, instruction_of};
use crate::publisher::tree::Published;

/// How long a reader waits for a checkpoint that covers the entry.
pub const WAIT: Duration = Duration::from_secs(1);

/// Where the receipt of an entry is.
#[must_use]
pub fn url(entry: u64) -> String {
    format!("/v1/entries/{entry}/receipt")
}

/// `GET /v1/entries/{entry}/receipt`.
pub async fn of_entry(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let entry: u64 = entry.parse().map_err(|_| malformed("entry"))?;
    visible(&app, &caller, entry).await?;
    answer(&app, entry, &headers).await
}

/// `GET /v1/receipt` with the `Idempotency-Key` of an instruction: the key stays out of URLs, since it may hold anything.
pub async fn of_instruction(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bound = app.store.instructions(&[instruction_of(&caller, &headers)?]).await?;
    let (_, entry) = bound.first().ok_or_else(|| {
        let detail = "This client's key made no entry. A refusal binds nothing.";
        Problem::new(Code::InstructionUnknown, detail)
    })?;
    answer(&app, *entry, &headers).await
}

/// The checkpoint that covers an entry; `None`: it did not come in time.
pub(super) async fn covering(app: &App, entry: u64) -> Option<Arc<Published>> {
    let mut published = app.published.clone();
    let covers = |published: &Option<Arc<Published>>| published.as_ref().is_some_and(|it| it.size() > entry);
    let waited = tokio::time::timeout(WAIT, published.wait_for(covers)).await;
    waited.ok()?.ok()?.clone()
}

/// 202: no checkpoint covers the entry yet; come again to this place.
pub(super) fn pending(entry: u64, place: &str) -> Response {
    let pending = Json(json!({"entry": entry, "status": "pending", "receipt": place}));
    let mut response = (StatusCode::ACCEPTED, pending).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

async fn answer(app: &App, entry: u64, headers: &HeaderMap) -> Result<Response, Problem> {
    let Some(published) = covering(app, entry).await else {
        return Ok(pending(entry, &url(entry)));
    };
    let receipt = published.receipt(&*app.store, entry).await?;
    let json = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/json"));
    let (kind, text) = if json {
        ("application/json", receipt.to_json())
    } else {
        ("text/plain; charset=utf-8", receipt.to_string())
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
