//! Programmes: register, fund, show.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::body::Body;
use super::catalogue::Code;
use super::door::{Caller, caller};
use super::extract::Path;
use super::problem::Problem;
use super::{App, BODY_BYTES_MAX, entry_answer, instructing, read_body};
use crate::domain::{
    BankReference, Bin, FundClass, IsoPurpose, Kbe, Knp, Money, Names, ProgrammeCode, Text, has_card_number,
    has_person_number,
};
use crate::ledger::account::SystemAccount;
use crate::ledger::record::ProgrammeSpec;
use crate::ledger::registry::Proposal;
use crate::sequencer::command::{Command, RegistryCommand};
use crate::store::ProgrammeRow;

/// `POST /v1/programmes`.
pub async fn register(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let spec = ProgrammeSpec {
        code: body.required("code", |text| ProgrammeCode::parse(text.as_bytes()))?,
        names: names(&mut body)?,
        payer: body.required("payer", |text| Bin::parse(text.as_bytes()))?,
        legal_basis: body.required_free_text("legal_basis")?,
        class: body.required("class", |text| FundClass::parse(text.as_bytes()))?,
        knp: body.optional("knp", |text| Knp::parse(text.as_bytes()))?,
        kbe: body.optional("kbe", |text| Kbe::parse(text.as_bytes()))?,
        iso_purpose: body.optional("iso_purpose", |text| IsoPurpose::parse(text.as_bytes()))?,
    };
    body.finish()?;
    app.instruct(Command::RegisterProgramme(Box::new(spec)), asked).await.map(entry_answer)
}

fn names(body: &mut Body) -> Result<Names, Problem> {
    let malformed = || {
        let detail = "The names are an object with kk, ru and en, each of 1 to 200 characters.";
        Problem::malformed(Code::FieldMalformed, "names", detail)
    };
    let Some(Value::Object(names)) = body.take("names") else { return Err(malformed()) };
    let name = |language: &str| {
        let text = names.get(language).and_then(Value::as_str).ok_or_else(malformed)?;
        let name = Text::parse(text).map_err(|_| malformed())?;
        if has_card_number(text) || has_person_number(text) {
            return Err(malformed());
        }
        Ok(name)
    };
    if names.len() != 3 {
        return Err(malformed());
    }
    Ok(Names { kk: name("kk")?, ru: name("ru")?, en: name("en")? })
}

/// `POST /v1/programmes/{code}/fundings`.
pub async fn fund(
    State(app): State<Arc<App>>,
    Path(code): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let programme = parse_code(&code)?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let amount = body.amount()?;
    let bank_reference = body.required("bank_reference", BankReference::parse)?;
    body.finish()?;
    // It takes two operators: what this one does is ask. A book that is served without a door has none to ask.
    let command = if caller.role().is_some() {
        let proposal = Proposal::Fund { programme, amount, bank_reference };
        Command::Registry(RegistryCommand::RequestApproval(proposal))
    } else {
        Command::Fund { programme, amount, bank_reference }
    };
    app.instruct(command, asked).await.map(entry_answer)
}

/// `GET /v1/programmes`.
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, Problem> {
    let (rows, balances) = read(&app).await?;
    let programmes: Vec<Value> =
        rows.iter().filter(|row| caller.acts_for(row.spec.payer)).map(|row| view(row, &balances)).collect();
    Ok(Json(json!({"programmes": programmes})))
}

/// `GET /v1/programmes/{code}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(code): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let code = parse_code(&code)?;
    let (rows, balances) = read(&app).await?;
    let row = rows
        .iter()
        .find(|row| row.spec.code == code && caller.acts_for(row.spec.payer))
        .ok_or_else(unknown)?;
    Ok(Json(view(row, &balances)))
}

fn parse_code(text: &str) -> Result<ProgrammeCode, Problem> {
    ProgrammeCode::parse(text.as_bytes()).map_err(|_| unknown())
}

pub(super) fn unknown() -> Problem {
    Problem::new(Code::ProgrammeNotFound, "No programme is registered under this code.")
}

type Balances = HashMap<SystemAccount, i64>;

async fn read(app: &App) -> Result<(Vec<ProgrammeRow>, Balances), Problem> {
    let rows = app.store.programmes().await?;
    let heads = app.store.system_accounts().await?;
    Ok((rows, heads.into_iter().map(|head| (head.account, head.balance())).collect()))
}

fn view(row: &ProgrammeRow, balances: &Balances) -> Value {
    let spec = &row.spec;
    let balance = |account| {
        let tiyn = balances.get(&account).copied().unwrap_or(0);
        Money::from_tiyn(tiyn).map_or(Value::Null, |money| json!(money))
    };
    json!({
        "code": spec.code,
        "names": {"kk": spec.names.kk, "ru": spec.names.ru, "en": spec.names.en},
        "payer": spec.payer,
        "legal_basis": spec.legal_basis,
        "class": spec.class,
        "knp": spec.knp,
        "kbe": spec.kbe,
        "iso_purpose": spec.iso_purpose,
        "entry": row.seq,
        "currency": "KZT",
        "funding": balance(SystemAccount::Funding(spec.code)),
        "in_wallets": balance(SystemAccount::Wallets(spec.code)),
    })
}
