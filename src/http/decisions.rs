//! The decision on an order as a document, JSON or a page to print: what an authority files, and checks with the log's key alone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::malformed;
use super::door::Caller;
use super::extract::{Path, Query};
use super::orders;
use super::problem::Problem;
use super::receipts::{covering, pending};
use super::wallets::known_parameters;
use crate::log::leaf::Leaf;
use crate::orders::document::{Proof, Rules, document};
use crate::orders::page::{Languages, page};
use crate::orders::words::Language;
use crate::publisher::tree::Published;

/// `GET /v1/orders/{entry}/document?lang=`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
    Query(query): Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    known_parameters(&query, &["lang"])?;
    let languages = match query.get("lang") {
        None => Languages::Both,
        Some(text) => Languages::One(Language::parse(text).ok_or_else(|| malformed("lang"))?),
    };
    let known = orders::seen(&app, &caller, &entry).await?;
    let contents = orders::contents(&app, std::slice::from_ref(&known)).await?.remove(&known.seq);
    let contents = contents.ok_or_else(|| Problem::internal(&"an order without its contents"))?;
    let Some(published) = covering(&app, known.seq).await else {
        return Ok(pending(known.seq, &format!("/v1/orders/{}/document", known.seq)));
    };
    let leaf = leaf(&app, known.seq).await?;
    let named = Leaf::read(&leaf).ok().and_then(|leaf| leaf.own?.get("rules")?.as_u64());
    let rules = match named {
        None => None,
        Some(entry) => Some(Rules {
            leaf: self::leaf(&app, entry).await?,
            receipt: receipt(&app, &published, entry).await?,
        }),
    };
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.starts_with("text/html"));
    // The debtor's opening lets whoever has it try all numbers: it is for who gave the order, and has the number.
    let is_issuer = caller.issuer() == Some(known.issuer);
    let openings = contents.openings(&app.keys, known.issuer, is_issuer && !wants_page);
    let proof = Proof { leaf, receipt: receipt(&app, &published, known.seq).await?, rules, openings };
    let made = document(&proof, &contents.shown()).map_err(|error| Problem::internal(&error))?;
    if !wants_page {
        return Ok(Json(made).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, page(&made, languages)).into_response())
}

async fn leaf(app: &App, entry: u64) -> Result<Vec<u8>, Problem> {
    let found = app.store.leaves(&[entry]).await?.pop();
    found.map(|(_, leaf)| leaf).ok_or_else(|| Problem::internal(&"an entry is gone"))
}

async fn receipt(app: &App, published: &Published, entry: u64) -> Result<String, Problem> {
    Ok(published.receipt(&*app.store, entry).await?.to_string())
}
