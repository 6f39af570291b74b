//! A bank's day: what was owed to it at the beginning, what moved, what is owed at the end; and its own statement held against
//! that, item by item.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::batches::wants_csv;
use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::{Path, Query};
use super::problem::Problem;
use super::transfers::after_of;
use super::wallets::{known_parameters, limit_of, money};
use super::{App, read_body};
use crate::domain::time::{end_of_business_day, start_of_business_day};
use crate::domain::{Amount, Bic, Text};
use crate::ledger::payment::{Audience, Owed};

/// Movements on a page, at most.
pub const MOVEMENTS_LIMIT_MAX: u32 = 10_000;

/// Movements on a page, if the request does not say.
const MOVEMENTS_LIMIT: u32 = 1_000;

/// Items of a bank's own statement in one request, at most.
pub const ITEMS_MAX: usize = 50_000;

/// Bytes of such a request.
pub const ITEMS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Entries that are read at a time.
const PAGE: u32 = 1_000;

pub(super) fn unknown() -> Problem {
    Problem::new(Code::BankNotFound, "There is no such bank.")
}

/// A business day of what is owed to a bank.
struct Day {
    bank: Bic,
    owed: Owed,
    date: String,
    /// What was owed before it, and the last entry that had moved it; after it.
    opening: (u64, i64),
    closing: (u64, i64),
}

/// Something that moved what is owed. More is owed after an amount above zero.
struct Movement {
    entry: u64,
    at: String,
    kind: &'static str,
    id: String,
    amount: i64,
}

fn bank_of(caller: &Caller, text: &str) -> Result<Bic, Problem> {
    let bank = Bic::parse(text.as_bytes()).map_err(|_| unknown())?;
    match caller.bank() {
        Some(own) if own != bank => Err(unknown()),
        _ => Ok(bank),
    }
}

fn owed_of(text: Option<&str>) -> Result<Owed, Problem> {
    match text {
        None | Some("clearing") => Ok(Owed::Clearing),
        Some("cash") => Ok(Owed::Cash),
        Some(_) => Err(malformed("owed")),
    }
}

impl Day {
    async fn read(app: &App, bank: Bic, owed: Owed, date: &str) -> Result<Self, Problem> {
        let (Some(start), Some(end)) = (start_of_business_day(date), end_of_business_day(date)) else {
            return Err(malformed("date"));
        };
        let account = owed.account(bank);
        let as_of = async |at: i64| {
            let rows = app.store.system_at(at).await?;
            let row = rows.iter().find(|(of, _)| *of == account).map(|(_, row)| *row);
            Ok::<_, Problem>(row.map_or((0, 0), |row| (row.seq, row.credits - row.debits)))
        };
        let (opening, closing) = (as_of(start - 1).await?, as_of(end).await?);
        Ok(Self { bank, owed, date: date.to_owned(), opening, closing })
    }

    /// Movements after an entry, at most so many, and whether there are more.
    async fn movements(&self, app: &App, after: u64, limit: usize) -> Result<(Vec<Movement>, bool), Problem> {
        let mut found = Vec::new();
        let mut next = after.max(self.opening.0);
        let account = self.owed.account(self.bank).to_string();
        loop {
            let mut entries = app.store.events(Audience::Bank(self.bank), next, PAGE).await?;
            let all = (entries.len() as u64) < u64::from(PAGE);
            entries.retain(|entry| *entry <= self.closing.0);
            let ended = all || entries.len() < PAGE as usize;
            next = entries.last().copied().unwrap_or(next);
            let mut leaves = app.store.leaves(&entries).await?;
            leaves.sort_unstable_by_key(|(seq, _)| *seq);
            for (entry, leaf) in leaves {
                let members: Map<String, Value> =
                    serde_json::from_slice(&leaf).map_err(|error| Problem::internal(&error))?;
                if let Some(movement) = movement(entry, &members, &account) {
                    if found.len() == limit {
                        return Ok((found, true));
                    }
                    found.push(movement);
                }
            }
            if ended {
                return Ok((found, false));
            }
        }
    }

    fn owed_name(&self) -> Value {
        json!(self.owed)
    }
}

/// What an entry moved of an account, if it did.
fn movement(entry: u64, members: &Map<String, Value>, account: &str) -> Option<Movement> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let number = |name: &str| members.get(name).map(ToString::to_string);
    let postings = members.get("postings")?.as_array()?;
    let tiyn = |posting: &Value| Amount::parse(posting["amount"].as_str()?.as_bytes()).ok().map(Amount::tiyn);
    let amount: i64 = postings
        .iter()
        .map(|posting| {
            let tiyn = tiyn(posting).unwrap_or_default();
            if posting["credit"] == account {
                tiyn
            } else if posting["debit"] == account {
                -tiyn
            } else {
                0
            }
        })
        .sum();
    let (kind, id) = match text("kind")? {
        "transfer_settled" => ("transfer_settled", number("transfer")?),
        "transfer_returned" => {
            ("transfer_returned", format!("{}/{}", number("transfer")?, text("reference")?))
        }
        "cash_captured" => ("cash_captured", number("cash")?),
        "clearing_settled" => {
            let paid = text("direction") == Some("paid");
            (if paid { "settlement_paid" } else { "settlement_received" }, text("bank_reference")?.to_owned())
        }
        _ => return None,
    };
    (amount != 0).then(|| Movement { entry, at: text("at").unwrap_or_default().to_owned(), kind, id, amount })
}

/// `GET /v1/banks/{bic}/statement?date=&owed=&after=&limit=`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(bic): Path<String>,
    Query(query): Query,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    let bank = bank_of(&caller, &bic)?;
    known_parameters(&query, &["date", "owed", "after", "limit"])?;
    let date = query.get("date").ok_or_else(|| missing("date"))?;
    let owed = owed_of(query.get("owed").map(String::as_str))?;
    let (after, limit) = (after_of(&query)?, limit_of(&query, MOVEMENTS_LIMIT, MOVEMENTS_LIMIT_MAX)?);
    let day = Day::read(&app, bank, owed, date).await?;
    let (movements, more) = day.movements(&app, after, limit as usize).await?;
    if wants_csv(&headers) {
        let mut text = String::from("entry,at,kind,id,amount\n");
        let sum = |kind: &str, tiyn: i64, text: &mut String| {
            let amount = money(tiyn);
            writeln!(text, ",,{kind},,{}", amount.as_str().unwrap_or_default())
                .expect("a String takes everything");
        };
        sum("opening", day.opening.1, &mut text);
        for Movement { entry, at, kind, id, amount } in &movements {
            let amount = money(*amount);
            let amount = amount.as_str().unwrap_or_default();
            writeln!(text, "{entry},{at},{kind},{},{amount}", quoted(id)).expect("a String takes everything");
        }
        // A page that is not the last has none.
        if !more {
            sum("closing", day.closing.1, &mut text);
        }
        return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response());
    }
    let views: Vec<Value> = movements
        .iter()
        .map(|row| {
            json!({"entry": row.entry, "at": row.at, "kind": row.kind, "id": row.id, "amount": money(row.amount)})
        })
        .collect();
    Ok(Json(json!({
        "bank": bank,
        "date": day.date,
        "owed": day.owed_name(),
        "currency": "KZT",
        "opening": money(day.opening.1),
        "movements": views,
        "next": movements.last().filter(|_| more).map(|last| last.entry),
        "closing": money(day.closing.1),
    }))
    .into_response())
}

/// A field of CSV (RFC 4180): a reference is a bank's text.
fn quoted(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// The ids of items that are compared, in the order of their bytes: a day of more items than a request takes is compared in parts,
/// each of which bounds both sides.
struct Part {
    from: Option<String>,
    before: Option<String>,
}

impl Part {
    fn read(body: &mut Body) -> Result<Self, Problem> {
        let mut bound =
            |name| body.optional(name, |text| Text::<90>::parse(text).map(|bound| bound.to_string()));
        let (from, before) = (bound("from_id")?, bound("before_id")?);
        if let (Some(from), Some(before)) = (&from, &before)
            && from >= before
        {
            return Err(malformed("before_id"));
        }
        Ok(Self { from, before })
    }

    fn has(&self, id: &str) -> bool {
        self.from.as_deref().is_none_or(|from| id >= from)
            && self.before.as_deref().is_none_or(|before| id < before)
    }
}

/// `POST /v1/banks/{bic}/statement/compare`.
pub async fn compare(
    State(app): State<Arc<App>>,
    Path(bic): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let bank = bank_of(&caller(&request)?, &bic)?;
    let bytes = read_body(request, ITEMS_BYTES_MAX).await?;
    let mut body = Body::read(&bytes)?;
    let date = body.required("date", |text| Ok::<_, ()>(text.to_owned()))?;
    let owed = body.optional("owed", |text| Ok::<_, ()>(text.to_owned()))?;
    let owed = owed_of(owed.as_deref())?;
    body.currency()?;
    let part = Part::read(&mut body)?;
    let items = match body.take("items") {
        Some(Value::Array(items)) if items.len() <= ITEMS_MAX => items,
        Some(Value::Array(_)) => {
            let detail = format!("The items are at most {ITEMS_MAX}.");
            return Err(Problem::malformed(Code::FieldMalformed, "items", detail));
        }
        Some(_) => return Err(malformed("items")),
        None => return Err(missing("items")),
    };
    body.finish()?;
    let mut theirs: HashMap<(String, String), i64> = HashMap::with_capacity(items.len());
    let mut differences = Vec::new();
    let compared = items.len();
    for (place, item) in items.into_iter().enumerate() {
        let read = || {
            let mut one = Body::of(item).ok_or_else(|| malformed("items"))?;
            let kind =
                one.required("kind", |text| KINDS.contains(&text).then(|| text.to_owned()).ok_or(()))?;
            let id = one.required("id", |text| Text::<90>::parse(text).map(|id| id.to_string()))?;
            let amount = one.required("amount", |text| Amount::parse(text.as_bytes()))?;
            one.finish()?;
            if !part.has(&id) {
                return Err(malformed("items"));
            }
            Ok(((kind, id), amount.tiyn()))
        };
        let (key, amount) = read().map_err(|problem: Problem| problem.with("item", json!(place)))?;
        match theirs.entry(key) {
            Entry::Occupied(known) => {
                differences.push(difference("repeated", known.key(), None, Some(amount), None));
            }
            Entry::Vacant(place) => _ = place.insert(amount),
        }
    }
    let day = Day::read(&app, bank, owed, &date).await?;
    let (mut after, mut agreed) = (0, 0u64);
    loop {
        let (movements, more) = day.movements(&app, after, MOVEMENTS_LIMIT_MAX as usize).await?;
        for Movement { entry, kind, id, amount, .. } in &movements {
            after = *entry;
            if !part.has(id) {
                continue;
            }
            let (key, ours) = ((String::from(*kind), id.clone()), amount.abs());
            match theirs.remove(&key) {
                Some(theirs) if theirs == ours => agreed += 1,
                Some(theirs) => {
                    differences.push(difference("amount", &key, Some(ours), Some(theirs), Some(*entry)));
                }
                None => differences.push(difference("missing_at_bank", &key, Some(ours), None, Some(*entry))),
            }
        }
        if !more {
            break;
        }
    }
    let mut left: Vec<_> = theirs.into_iter().collect();
    left.sort_unstable();
    differences
        .extend(left.iter().map(|(key, amount)| difference("missing_here", key, None, Some(*amount), None)));
    Ok(Json(json!({
        "bank": bank,
        "date": day.date,
        "owed": day.owed_name(),
        "currency": "KZT",
        "compared": compared,
        "agreed": agreed,
        "differences": differences,
    })))
}

const KINDS: [&str; 5] =
    ["transfer_settled", "transfer_returned", "cash_captured", "settlement_paid", "settlement_received"];

fn difference(
    what: &str,
    (kind, id): &(String, String),
    here: Option<i64>,
    at_bank: Option<i64>,
    entry: Option<u64>,
) -> Value {
    json!({"difference": what, "kind": kind, "id": id, "here": here.map(money), "at_bank": at_bank.map(money),
        "entry": entry})
}
