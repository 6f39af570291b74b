//! Is the service alive, can it write, and which book does it keep.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::catalogue::Code;
use super::problem::Problem;
use crate::domain::time::rfc3339;
use crate::store::Head;

/// `GET /health/live`: the process answers.
pub async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// `GET /health/ready`: the store answers and the writer could write last time.
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let head = app.store.head().await?.ok_or_else(|| Problem::internal(&"the store has no book"))?;
    if app.sequencer.is_writable() {
        Ok(Json(
            json!({"status": "ready", "queue_depth": app.sequencer.queue_depth(), "log": log(&app, &head)}),
        ))
    } else {
        let detail = "The ledger cannot write; reads may answer. The operator's log says why.";
        Err(Problem::new(Code::NotWritable, detail).retry_after(2))
    }
}

/// How far the log's checkpoint is behind the journal. `checkpoint_at` is when it was published; `unsigned_entries` are
/// durable and wait for the next.
fn log(app: &App, head: &Head) -> Value {
    let published = app.published.borrow();
    let size = published.as_ref().map_or(0, |published| published.size());
    json!({
        "checkpoint": size,
        "checkpoint_at": published.as_ref().map(|published| rfc3339(published.at)),
        "unsigned_entries": head.size.saturating_sub(size),
    })
}

/// `GET /v1/book`: which book, and how far it is.
pub async fn book(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let head = app.store.head().await?.ok_or_else(|| Problem::internal(&"the store has no book"))?;
    Ok(Json(json!({
        "book": head.book,
        "size": head.size,
        "wallets": head.wallet_count,
        "batches": head.batch_count,
        "at": rfc3339(head.at),
        "store": app.store.name(),
    })))
}
