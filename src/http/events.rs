//! The feed of events: what a bank or a channel is told, in the order of the journal, at least once. An event exists exactly
//! when its entry does: it is the entry. What is told to holders is told to every channel, with the words to tell it in.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::body::malformed;
use super::door::Caller;
use super::extract::Query;
use super::orders::contents;
use super::problem::Problem;
use super::transfers::after_of;
use super::wallets::{known_parameters, limit_of};
use super::{App, entry_members};
use crate::ledger::order::{Decision, OrderRecord, RuleTable};
use crate::ledger::payment::Audience;
use crate::ledger::record::Record;
use crate::log::leaf::Leaf;
use crate::log::merkle::leaf_hash;
use crate::orders::notice;
use crate::orders::words::Words;
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
        let entries = entries(&app, audience, after, limit).await?;
        let now = Instant::now();
        if !entries.is_empty() || now >= end {
            break entries;
        }
        // Told of this writer's commits at once; of another replica's, when it is looked for.
        let _told = timeout_at(end.min(now + LOOK), durable.changed()).await;
    };
    let mut leaves = app.store.leaves(&entries).await?;
    leaves.sort_unstable_by_key(|(seq, _)| *seq);
    let mut notices = notices(&app, &leaves).await?;
    let source = format!("urn:social-wallet:book:{}", app.keys.book());
    let mut event = |(seq, leaf): &(u64, Vec<u8>)| {
        let members: Map<String, Value> =
            serde_json::from_slice(leaf).map_err(|error| Problem::internal(&error))?;
        let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = members.get("at").cloned();
        let view = EntryView { leaf_hash: Some(leaf_hash(leaf)), ..EntryView::of_leaf(*seq, members, false) };
        let mut data = entry_members(view);
        if let Some(notice) = notices.remove(seq) {
            data.insert("notice".into(), json!(notice));
        }
        Ok(json!({
            "specversion": "1.0",
            "id": seq.to_string(),
            "source": source,
            "type": format!("kz.social-wallet.{kind}"),
            "time": time,
            "datacontenttype": "application/json",
            "data": data,
        }))
    };
    let events: Vec<Value> = leaves.iter().map(&mut event).collect::<Result<_, Problem>>()?;
    let next = entries.last().copied().unwrap_or(after);
    Ok(Json(json!({"events": events, "next": next})))
}

/// The entries that an audience is told of after one, oldest first.
async fn entries(app: &App, audience: Audience, after: u64, limit: u32) -> Result<Vec<u64>, Problem> {
    if matches!(audience, Audience::Bank(_)) {
        return Ok(app.store.events(audience, after, limit).await?);
    }
    // What comes in between the two reads is told the next time: else `next` could pass what only the second one saw.
    let size = app.store.head().await?.map_or(0, |head| head.size);
    let mut entries = app.store.events(audience, after, limit).await?;
    entries.extend(app.store.events(Audience::Holders, after, limit).await?);
    entries.retain(|entry| *entry < size);
    entries.sort_unstable();
    entries.dedup();
    entries.truncate(limit as usize);
    Ok(entries)
}

/// What holders are told of these entries, by entry.
async fn notices(app: &App, leaves: &[(u64, Vec<u8>)]) -> Result<HashMap<u64, Words>, Problem> {
    let mut decided: Vec<(u64, Box<Decision>)> = Vec::new();
    let mut expired: Vec<(u64, u64)> = Vec::new();
    for (seq, leaf) in leaves {
        // Events of other kinds need no words: their texts are the channel's own.
        let Ok(Record::Order(order)) = Leaf::read(leaf).and_then(|leaf| leaf.record()) else { continue };
        match *order {
            OrderRecord::Decided(decision) => decided.push((*seq, decision)),
            OrderRecord::Expired { order, .. } => expired.push((*seq, order)),
            _ => {}
        }
    }
    if decided.is_empty() && expired.is_empty() {
        return Ok(HashMap::new());
    }
    let gone = || Problem::internal(&"an order that an event tells of is gone");
    let named = decided.iter().map(|(seq, _)| *seq).chain(expired.iter().map(|(_, order)| *order));
    let orders = app.store.orders(&named.collect::<Vec<_>>()).await?;
    let contents = contents(app, &orders).await?;
    let mut tables: HashMap<u64, RuleTable> = HashMap::new();
    let mut notices = HashMap::new();
    for (seq, decision) in decided {
        let table = match tables.entry(decision.rules) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(app.store.rules(decision.rules).await?.ok_or_else(gone)?),
        };
        let contents = contents.get(&seq).ok_or_else(gone)?;
        let notice = notice::decided(seq, &decision, table, contents);
        notices.extend(notice.map(|notice| (seq, notice)));
    }
    for (seq, order) in expired {
        let row = orders.iter().find(|row| row.seq == order).ok_or_else(gone)?;
        let document = &contents.get(&order).ok_or_else(gone)?.document;
        notices.insert(seq, notice::expired(seq, row.issuer, row.issuer_kind, document));
    }
    Ok(notices)
}
