//! What was signed for an entry, for auditors: they hold the entry against its client's own signature.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::App;
use super::body::malformed;
use super::catalogue::Code;
use super::extract::Path;
use super::limits::HEAD_BYTES_MAX;
use super::problem::Problem;
use crate::ledger::registry::Registry;
use crate::payroll::CHUNK_BYTES_MAX;

pub(super) fn unknown() -> Problem {
    Problem::new(Code::EvidenceUnknown, "No signed request is kept for this entry.")
}

/// `GET /v1/entries/{entry}/evidence`: the signature base, the signature, the key, and the body.
pub async fn of_entry(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
) -> Result<Json<Value>, Problem> {
    let entry: u64 = entry.parse().map_err(|_| malformed("entry"))?;
    let evidence = app.store.evidence(entry).await?.ok_or_else(unknown)?;
    let limit = CHUNK_BYTES_MAX + HEAD_BYTES_MAX;
    let request = app.keys.unseal_request(&evidence.signature, &evidence.sealed, limit);
    let (base, body) = request.ok_or_else(|| Problem::internal(&"a signed request cannot be decrypted"))?;
    let registry = Registry::of(&app.store.registry_changes().await?);
    let (_, key) =
        registry.key(&evidence.key).ok_or_else(|| Problem::internal(&"evidence of an unknown key"))?;
    Ok(Json(json!({
        "first_entry": evidence.seq,
        "entries": evidence.entries,
        "key": evidence.key,
        "public_key": key.public_key,
        "signature_base": base,
        "signature": BASE64.encode(evidence.signature),
        "body": BASE64.encode(body),
    })))
}
