//! The feed of events: what a bank or a channel is told, in the order of the journal, at least once. An event exists exactly
//! when its entry does: it is the entry.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::body::malformed;
use super::door::Caller;
use super::extract::Query;
use super::problem::Problem;
use super::transfers::after_of;
use super::wallets::{known_parameters, limit_of};
use super::{App, entry_members};
use crate::ledger::payment::Audience;
use crate::log::merkle::leaf_hash;
use crate::sequencer::command::EntryView;

/// Events on a page, at most.
pub const EVENTS_LIMIT_MAX: u32 = 1_000;

/// Events on a page, if the request does not say.
const EVENTS_LIMIT: u32 = 100;

/// How long a request may wait for an event, seconds.
pub const WAIT_MAX: u64 = 30;

/// How often a waiting request looks for what another replica has written.
const LOOK: Duration = Duration::from_secs(1);

/// `GET /v1/events?after=&limit=&wait=`: `CloudEvents` 1.0, each named by its entry.
pub async fn feed(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query,
) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["after", "limit", "wait"])?;
    let after = after_of(&query)?;
    let limit = limit_of(&query, EVENTS_LIMIT, EVENTS_LIMIT_MAX)?;
    let wait = match query.get("wait") {
        None => 0,
        Some(text) => text.parse().ok().filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| malformed("wait"))?,
    };
    let audience = caller.bank().map_or(Audience::Channel(caller.client), Audience::Bank);
    let end = Instant::now() + Duration::from_secs(wait);
    let mut durable = app.sequencer.durable();
    let entries = loop {
        durable.mark_unchanged();
        let entries = app.store.events(audience, after, limit).await?;
        let now = Instant::now();
        if !entries.is_empty() || now >= end {
            break entries;
        }
        // Told of this writer's commits at once; of another replica's, when it is looked for.
        let _told = timeout_at(end.min(now + LOOK), durable.changed()).await;
    };
    let mut leaves = app.store.leaves(&entries).await?;
    leaves.sort_unstable_by_key(|(seq, _)| *seq);
    let source = format!("urn:social-wallet:book:{}", app.keys.book());
    let event = |(seq, leaf): &(u64, Vec<u8>)| {
        let members: Map<String, Value> =
            serde_json::from_slice(leaf).map_err(|error| Problem::internal(&error))?;
        let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = members.get("at").cloned();
        let view = EntryView { leaf_hash: Some(leaf_hash(leaf)), ..EntryView::of_leaf(*seq, members, false) };
        Ok(json!({
            "specversion": "1.0",
            "id": seq.to_string(),
            "source": source,
            "type": format!("kz.social-wallet.{kind}"),
            "time": time,
            "datacontenttype": "application/json",
            "data": entry_members(view),
        }))
    };
    let events: Vec<Value> = leaves.iter().map(event).collect::<Result<_, Problem>>()?;
    let next = entries.last().copied().unwrap_or(after);
    Ok(Json(json!({"events": events, "next": next})))
}
