//! The rules that orders are decided by. Two operators set them: `POST /v1/approvals` with `set_rules`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::problem::Problem;
use crate::ledger::order::RuleTable;

/// `GET /v1/rules`: those in force, or, before the first order, those that a book begins with.
pub async fn show(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let (entry, rules) = match app.store.newest_rules().await? {
        Some((entry, rules)) => (Some(entry), rules),
        None => (None, RuleTable::shipped()),
    };
    Ok(Json(json!({"entry": entry, "rules": rules})))
}
