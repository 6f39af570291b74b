//! Proofs about the log's tree, for any sizes up to the published checkpoint's.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::App;
use super::body::malformed;
use super::catalogue::Code;
use super::extract::Query;
use super::log::published;
use super::problem::Problem;
use super::wallets::known_parameters;
use crate::log::merkle::Hash;
use crate::publisher::tree::Published;

/// `GET /v1/log/inclusion?entry=&size=`; without a size, in the published checkpoint's tree.
pub async fn inclusion(State(app): State<Arc<App>>, Query(query): Query) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["entry", "size"])?;
    let published = published(&app)?;
    let entry = number(&query, "entry")?.ok_or_else(|| malformed("entry"))?;
    let size = size(&query, "size", &published)?;
    if entry >= size {
        return Err(Problem::new(Code::EntryUnknown, "The tree of this size has no entry of this number."));
    }
    let proof = published.inclusion(&*app.store, size, entry).await?;
    Ok(Json(json!({"entry": entry, "size": size, "proof": hashes(&proof)})))
}

/// `GET /v1/log/consistency?old=&new=`; without a new size, to the published checkpoint's tree.
pub async fn consistency(State(app): State<Arc<App>>, Query(query): Query) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["old", "new"])?;
    let published = published(&app)?;
    let old = number(&query, "old")?.ok_or_else(|| malformed("old"))?;
    let new = size(&query, "new", &published)?;
    if old > new {
        let detail = "A tree does not grow into a smaller one: old is at most new.";
        return Err(Problem::malformed(Code::FieldMalformed, "old", detail));
    }
    let proof = published.consistency(&*app.store, old, new).await?;
    Ok(Json(json!({"old": old, "new": new, "proof": hashes(&proof)})))
}

fn number(query: &HashMap<String, String>, name: &'static str) -> Result<Option<u64>, Problem> {
    query.get(name).map(|text| text.parse().map_err(|_| malformed(name))).transpose()
}

fn size(query: &HashMap<String, String>, name: &'static str, published: &Published) -> Result<u64, Problem> {
    let size = number(query, name)?.unwrap_or(published.size());
    if size > published.size() {
        let detail = "No checkpoint of so many entries is published.";
        return Err(Problem::new(Code::SizeUnknown, detail).with("published", json!(published.size())));
    }
    Ok(size)
}

fn hashes(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(|hash| BASE64.encode(hash)).collect()
}
