//! Transfers out of wallets: requested under a holder's authorisation, answered by their banks; and what moves between banks.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::{Path, Query};
use super::problem::Problem;
use super::wallets::{known_parameters, limit_of, money};
use super::{App, Asked, BODY_BYTES_MAX, asking, entry_answer, instructing, instruction_of, read_body};
use crate::domain::time::rfc3339;
use crate::domain::{Amount, BankReference, Bic, Bin, Destination, FundClass, Reason};
use crate::ledger::payment::{
    Authorisation, Direction, Document, Owed, Payment, PaymentKind, Portion, Purpose,
};
use crate::ledger::payment_rules::Answer;
use crate::sequencer::command::{Command, OrderCommand, Outcome, PaymentCommand};

/// Answers in one request, at most.
pub const ANSWERS_MAX: usize = 1_000;

/// Bytes of a request with many answers.
pub const ANSWERS_BYTES_MAX: usize = 1024 * 1024;

/// Transfers on a page of a bank's queue, at most.
pub const QUEUE_LIMIT_MAX: u32 = 1_000;

/// Transfers on a page of a bank's queue, if the request does not say.
pub const QUEUE_LIMIT: u32 = 100;

/// What a channel tells a holder before shielded money leaves.
const SHIELD_ENDS: [(&str, &str); 3] = [
    ("kk", "Ақша қарапайым карта немесе шотқа түскенде оны өндіріп алудан қорғау тоқтайды."),
    ("ru", "На обычной карте или счёте эти деньги больше не защищены от взыскания."),
    ("en", "On an ordinary card or account this money is no longer shielded from collection."),
];

pub(super) fn unknown() -> Problem {
    Problem::new(Code::TransferUnknown, "There is no such transfer.").with("final", json!(false))
}

/// `POST /v1/transfers`: by the authorisation's channel, or by the bank that it names.
pub async fn request(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let authorisation = body.integer("authorisation")?.ok_or_else(|| missing("authorisation"))?;
    let amount = body.amount()?;
    body.finish()?;
    let command = PaymentCommand::Transfer { by: caller.party(), authorisation, amount };
    let mut entry = app.instruct(Command::Payment(command), asked).await?;
    if let Some(warning) = warning(&split_of(&entry.members)) {
        entry.members.insert("warning".into(), warning);
    }
    Ok(entry_answer(entry))
}

/// What money a request's entry names.
fn split_of(members: &Map<String, Value>) -> Vec<Portion> {
    let split = members.get("split").cloned();
    split.and_then(|split| serde_json::from_value(split).ok()).unwrap_or_default()
}

/// What is said of shielded money that leaves.
fn warning(split: &[Portion]) -> Option<Value> {
    let shielded: i64 =
        split.iter().filter(|part| part.class == FundClass::Protected).map(|part| part.amount.tiyn()).sum();
    (shielded > 0).then(|| {
        let mut warning = shield_ends();
        warning["amount"] = money(shielded);
        warning
    })
}

/// What is said of shielded money that will leave, of which nobody knows yet how much it is.
pub(super) fn shield_ends() -> Value {
    let texts: Map<String, Value> =
        SHIELD_ENDS.iter().map(|(language, text)| ((*language).to_owned(), json!(text))).collect();
    json!({"code": "shield_ends", "texts": texts})
}

/// `POST /v1/transfers/{entry}/answers`: what the bank says, or an operator with a document.
pub async fn answer(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let transfer = entry.parse().map_err(|_| unknown())?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let (answer, document) = read_answer(&mut body)?;
    body.finish()?;
    let command = PaymentCommand::Answer { by: caller.party(), answers: vec![(transfer, answer, document)] };
    app.instruct(Command::Payment(command), asked).await.map(entry_answer)
}

fn read_answer(body: &mut Body) -> Result<(Answer, Option<Document>), Problem> {
    let name = body.required("answer", |text| Ok::<_, ()>(text.to_owned()))?;
    let answer = match name.as_str() {
        "sent" => Answer::Sent,
        "unknown" => Answer::Unknown,
        "settled" => Answer::Settled,
        "returned" => {
            let amount = match body.take("amount") {
                None => None,
                Some(Value::String(text)) => {
                    Some(Amount::parse(text.as_bytes()).map_err(|_| malformed("amount"))?)
                }
                Some(_) => return Err(malformed("amount")),
            };
            let reference = body.required("reference", BankReference::parse)?;
            let reason: Reason = body.required_free_text("reason")?;
            Answer::Returned { amount, reference, reason }
        }
        _ => return Err(malformed("answer")),
    };
    Ok((answer, body.free_text("document")?))
}

/// `POST /v1/transfers/answers`: many answers of a bank, each taken or refused by itself. Sent again, each is what it was.
pub async fn answer_many(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, ANSWERS_BYTES_MAX).await?;
    instruction_of(&caller, &headers)?; // every write is named; these are told apart by what they say
    let asked = asking(&app, &caller, &bytes);
    let mut body = Body::read(&bytes)?;
    let items = match body.take("answers") {
        Some(Value::Array(items)) if (1..=ANSWERS_MAX).contains(&items.len()) => items,
        Some(Value::Array(_)) => {
            let detail = format!("The answers are 1 to {ANSWERS_MAX}.");
            return Err(Problem::malformed(Code::FieldMalformed, "answers", detail));
        }
        Some(_) => return Err(malformed("answers")),
        None => return Err(missing("answers")),
    };
    body.finish()?;
    let mut answers = Vec::with_capacity(items.len());
    for (item, value) in items.into_iter().enumerate() {
        let read = || {
            let mut one = Body::of(value).ok_or_else(|| malformed("answers"))?;
            let transfer: u64 = one.integer("transfer")?.ok_or_else(|| missing("transfer"))?;
            let (answer, document) = read_answer(&mut one)?;
            one.finish()?;
            Ok((transfer, answer, document))
        };
        answers.push(read().map_err(|problem: Problem| problem.with("item", json!(item)))?);
    }
    let transfers: Vec<u64> = answers.iter().map(|(transfer, ..)| *transfer).collect();
    let command = PaymentCommand::Answer { by: caller.party(), answers };
    let Outcome::Answers(told) = app.submit(Command::Payment(command), asked).await? else {
        return Err(Problem::internal(&"another outcome than answers'"));
    };
    let mut views = Vec::with_capacity(told.len());
    for (transfer, told) in transfers.into_iter().zip(told) {
        views.push(match told {
            Ok(entry) => json!({"transfer": transfer, "entry": entry.seq, "replayed": entry.replayed}),
            Err(refusal) => json!({
                "transfer": transfer,
                "code": refusal.code.name(),
                "field": refusal.field,
                "entry": refusal.entry,
                "advice": refusal.code.advice(),
                "final": false,
            }),
        });
    }
    Ok(Json(json!({"answers": views})))
}

/// `GET /v1/transfers?state=&after=&limit=`: a bank's transfers, oldest first. `open` are those whose money is held.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query,
) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["state", "after", "limit"])?;
    let open = match query.get("state").map(String::as_str) {
        None | Some("open") => true,
        Some("all") => false,
        Some(_) => return Err(malformed("state")),
    };
    let after = after_of(&query)?;
    let limit = limit_of(&query, QUEUE_LIMIT, QUEUE_LIMIT_MAX)?;
    let Some(bank) = caller.bank() else { return Ok(Json(json!({"transfers": [], "next": null}))) };
    let mut entries = app.store.transfers_of_bank(bank, open, after, limit + 1).await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next = entries.last().copied().filter(|_| more);
    let mut payments = app.store.payments(&entries).await?;
    payments.sort_unstable_by_key(|payment| payment.seq);
    let transfers = views(&app, &caller, &payments).await?;
    Ok(Json(json!({"transfers": transfers, "next": next})))
}

pub(super) fn after_of(query: &HashMap<String, String>) -> Result<u64, Problem> {
    query.get("after").map_or(Ok(0), |text| text.parse().map_err(|_| malformed("after")))
}

/// `GET /v1/transfers/{entry}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let seq: u64 = entry.parse().map_err(|_| unknown())?;
    let known = app.store.payments(&[seq]).await?.pop().filter(|known| {
        matches!(known.kind, PaymentKind::Transfer { .. })
            && caller.sees_payment(known.channel.as_str(), known.bank())
    });
    let known = known.ok_or_else(unknown)?;
    let view = views(&app, &caller, std::slice::from_ref(&known)).await?.pop();
    view.map(Json).ok_or_else(|| Problem::internal(&"a transfer without a view"))
}

/// Transfers with their destinations, which only their bank and their channel see whole.
async fn views(app: &App, caller: &Caller, payments: &[Payment]) -> Result<Vec<Value>, Problem> {
    if payments.is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<u64> = payments.iter().map(|payment| payment.seq).collect();
    let under: Vec<u64> = payments.iter().map(|payment| payment.authorisation).collect();
    let leaves: HashMap<u64, Vec<u8>> = app.store.leaves(&entries).await?.into_iter().collect();
    let authorisations = app.store.authorisations(&under).await?;
    let authorisations: HashMap<u64, Authorisation> =
        authorisations.into_iter().map(|known| (known.seq, known)).collect();
    let programmes = app.store.programmes().await?;
    // What the programmes' money is called between banks.
    let marked = |part: &Portion| {
        let spec = programmes.iter().find(|row| row.spec.code == part.programme).map(|row| &row.spec);
        json!({
            "programme": part.programme,
            "class": part.class,
            "amount": part.amount,
            "knp": spec.and_then(|spec| spec.knp.as_ref()),
            "iso_purpose": spec.and_then(|spec| spec.iso_purpose.as_ref()),
        })
    };
    let sealed: HashMap<u64, Vec<u8>> = app.store.sealed_destinations(&under).await?.into_iter().collect();
    let whole =
        caller.bank().is_some() || caller.role().is_none_or(|role| role == crate::domain::Role::Channel);
    let view = |payment: &Payment| {
        let missing = || Problem::internal(&"a transfer without its entry or its authorisation");
        let leaf = leaves.get(&payment.seq).ok_or_else(missing)?;
        let members: Map<String, Value> =
            serde_json::from_slice(leaf).map_err(|error| Problem::internal(&error))?;
        let known = authorisations.get(&payment.authorisation).ok_or_else(missing)?;
        let Purpose::Transfer { bank, form, last_four, destination: tag } = known.terms.purpose else {
            return Err(missing());
        };
        let sealed = sealed.get(&payment.authorisation).filter(|_| whole);
        let unseal = |sealed: &Vec<u8>| {
            let opened = app.keys.unseal_destination(sealed, known.wallet, &tag);
            opened.ok_or_else(|| Problem::internal(&"a destination that the book's key does not open"))
        };
        let (card, iban) = match sealed.map(unseal).transpose()? {
            Some(Destination::Card { token, .. }) => (Some(token.as_str().to_owned()), None),
            Some(Destination::Iban(iban)) => (None, Some(iban.to_string())),
            None => (None, None),
        };
        let head = payment.head();
        let split = split_of(&members);
        let history: Vec<Value> = payment.history.iter().map(|row| {
            json!({"entry": row.seq, "at": rfc3339(row.at), "state": row.state.of_transfer(), "reference": row.reference})
        }).collect();
        Ok(json!({
            "transfer": payment.seq,
            "state": head.state.of_transfer(),
            "wallet": payment.wallet,
            "authorisation": payment.authorisation,
            "channel": payment.channel,
            "bank": bank,
            "destination": {"form": form, "last_four": last_four, "card_token": card, "iban": iban},
            "currency": "KZT",
            "amount": money(payment.amount),
            "held": money(payment.held()),
            "settled": money(head.settled),
            "returned": money(head.released + head.returned),
            "split": split.iter().map(marked).collect::<Vec<_>>(),
            "warning": warning(&split),
            "history": history,
        }))
    };
    payments.iter().map(view).collect()
}

/// `POST /v1/settlements`: an operator books what moved between banks.
pub async fn settle(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let owed = body.required("owed", |text| match text {
        "clearing" => Ok(Some(Owed::Clearing)),
        "cash" => Ok(Some(Owed::Cash)),
        "levy" => Ok(None),
        _ => Err(()),
    })?;
    let Some(owed) = owed else { return settle_levy(&app, asked, body).await };
    let bank = body.required("bank", |text| Bic::parse(text.as_bytes()))?;
    let direction = body.required("direction", |text| match text {
        "paid" => Ok(Direction::Paid),
        "received" => Ok(Direction::Received),
        _ => Err(()),
    })?;
    let amount = body.amount()?;
    let bank_reference = body.required("bank_reference", BankReference::parse)?;
    body.finish()?;
    let command = PaymentCommand::SettleClearing { bank, owed, direction, amount, bank_reference };
    app.instruct(Command::Payment(command), asked).await.map(entry_answer)
}

/// What was taken for an authority is paid to it; nothing comes back from one.
async fn settle_levy(app: &App, asked: Asked, mut body: Body) -> Result<Response, Problem> {
    let authority = body.required("authority", |text| Bin::parse(text.as_bytes()))?;
    body.required("direction", |text| if text == "paid" { Ok(()) } else { Err(()) })?;
    let amount = body.amount()?;
    let bank_reference = body.required("bank_reference", BankReference::parse)?;
    body.finish()?;
    let command = OrderCommand::SettleLevy { authority, amount, bank_reference };
    app.instruct(Command::Order(command), asked).await.map(entry_answer)
}
