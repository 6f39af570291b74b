//! Authorisations of holders: given through a channel, used by it or by the bank that they name.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::{Body, malformed, missing};
use super::catalogue::Code;
use super::door::{Admission, Caller, caller};
use super::extract::Path;
use super::problem::Problem;
use super::transfers::shield_ends;
use super::wallets::{find, money};
use super::{App, BODY_BYTES_MAX, entry_answer, instructing, read_body};
use crate::domain::time::{parse_rfc3339, rfc3339};
use crate::domain::{Bic, Destination, DestinationError, Reason, Role, WalletId};
use crate::ledger::payment::{Authorisation, Consent, ConsentMethod, Purpose, Terms};
use crate::ledger::payment_rules::Party;
use crate::sequencer::command::{Command, PaymentCommand};

pub(super) fn unknown() -> Problem {
    Problem::new(Code::AuthorisationUnknown, "There is no such authorisation.").with("final", json!(false))
}

impl Caller {
    /// The bank that it speaks for.
    #[must_use]
    pub fn bank(&self) -> Option<Bic> {
        match self.admission.as_deref() {
            Some(Admission { role: Role::Bank, scope, .. }) => scope.bic(),
            _ => None,
        }
    }

    /// As which party it sends instructions about payments. A client that is taken at its word is a channel.
    #[must_use]
    pub fn party(&self) -> Party {
        match (self.bank(), self.role()) {
            (Some(bank), _) => Party::Bank(bank),
            (None, Some(Role::Operator)) => Party::Operator,
            (None, _) => Party::Channel,
        }
    }

    /// Whether it may see what was authorised through a channel, or what came of it, where a bank is concerned.
    #[must_use]
    pub fn sees_payment(&self, channel: &str, bank: Option<Bic>) -> bool {
        match self.bank() {
            Some(own) => bank == Some(own),
            None => self.sees_acts_of(channel),
        }
    }
}

/// `POST /v1/authorisations`.
pub async fn give(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let wallet = body.required("wallet", WalletId::parse)?;
    // What is sealed is bound to the id that the wallet has now. One that is unknown is refused by the rules.
    let wallet = find(&app, wallet).await.map_or(wallet, |(id, _)| id);
    let what = body.required("for", |text| Ok::<_, ()>(text.to_owned()))?;
    let (purpose, sealed_destination) = match what.as_str() {
        "transfer" => {
            let bank = body.required("bank", |text| Bic::parse(text.as_bytes()))?;
            let destination = destination(&mut body)?;
            let tag = app.keys.destination_tag(bank, &destination);
            let (form, last_four) = (destination.form(), destination.last_four());
            let sealed = app.keys.seal_destination(&destination, wallet, &tag);
            (Purpose::Transfer { bank, form, last_four, destination: tag }, sealed)
        }
        "cash" => (Purpose::Cash {}, Vec::new()),
        _ => return Err(malformed("for")),
    };
    let ceiling = body.amount()?;
    let standing = body.flag("standing")?;
    let expires = body.required("expires", |text| parse_rfc3339(text).ok_or(()))?;
    let consent = consent(&mut body)?;
    body.finish()?;
    let terms = Terms { purpose, ceiling, standing, expires };
    let command = PaymentCommand::Authorise { wallet, terms, consent, sealed_destination };
    let mut entry = app.instruct(Command::Payment(command), asked).await?;
    // A bank may start transfers under it, and a choice names it: then nobody else tells the holder.
    if standing && matches!(purpose, Purpose::Transfer { .. }) {
        entry.members.insert("warning".into(), shield_ends());
    }
    Ok(entry_answer(entry))
}

fn destination(body: &mut Body) -> Result<Destination, Problem> {
    let refused = |error: DestinationError, field: &'static str| match error {
        DestinationError::CardNumber => Problem::malformed(
            Code::CardNumberRefused,
            field,
            "A card's number is never taken: give the token that its bank has issued for it. Nothing was kept.",
        ),
        _ => malformed(field),
    };
    match (body.take("card"), body.take("iban")) {
        (Some(Value::Object(card)), None) => {
            let text = |name: &str| card.get(name).and_then(Value::as_str);
            // Whatever its member is called: a card's number is not to be kept.
            let (Some(token), Some(last_four), 2) = (text("token"), text("last_four"), card.len()) else {
                return Err(malformed("card"));
            };
            Destination::card(token, last_four).map_err(|error| refused(error, "card"))
        }
        (None, Some(Value::String(iban))) => Destination::iban(&iban).map_err(|error| refused(error, "iban")),
        (None, None) => Err(missing("card")),
        (Some(_), None) => Err(malformed("card")),
        _ => Err(malformed("iban")),
    }
}

pub(super) fn consent(body: &mut Body) -> Result<Consent, Problem> {
    let Some(value) = body.take("consent") else { return Err(missing("consent")) };
    let Value::Object(consent) = value else { return Err(malformed("consent")) };
    let text = |name: &str| consent.get(name).and_then(Value::as_str);
    let (Some(method), Some(evidence), Some(at), 3) =
        (text("method"), text("evidence"), text("at"), consent.len())
    else {
        return Err(malformed("consent"));
    };
    let method = ConsentMethod::ALL.into_iter().find(|known| known.as_str() == method);
    let mut digest = [0; 32];
    let read = hex::decode_to_slice(evidence, &mut digest).is_ok();
    match (method, parse_rfc3339(at)) {
        (Some(method), Some(at)) if read => Ok(Consent { method, evidence: digest, at }),
        _ => Err(malformed("consent")),
    }
}

/// `POST /v1/authorisations/{entry}/revoke`.
pub async fn revoke(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let authorisation = entry.parse().map_err(|_| unknown())?;
    let (caller, headers) = (caller(&request)?, request.headers().clone());
    let bytes = read_body(request, BODY_BYTES_MAX).await?;
    let asked = instructing(&app, &caller, &headers, &bytes)?;
    let mut body = Body::read(&bytes)?;
    let reason: Reason = body.required_free_text("reason")?;
    body.finish()?;
    let command = PaymentCommand::Revoke { by: caller.party(), authorisation, reason };
    app.instruct(Command::Payment(command), asked).await.map(entry_answer)
}

/// `GET /v1/authorisations/{entry}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(entry): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let seq: u64 = entry.parse().map_err(|_| unknown())?;
    let known = app.store.authorisations(&[seq]).await?.pop();
    let seen = |known: &Authorisation| caller.sees_payment(known.channel.as_str(), known.terms.bank());
    let known = known.filter(seen).ok_or_else(unknown)?;
    Ok(Json(view(&known)).into_response())
}

fn view(known: &Authorisation) -> Value {
    let Terms { purpose, ceiling, standing, expires } = known.terms;
    let (what, bank, form, last_four) = match purpose {
        Purpose::Transfer { bank, form, last_four, .. } => {
            ("transfer", Some(bank), Some(form), Some(last_four))
        }
        Purpose::Cash {} => ("cash", None, None, None),
    };
    let usable = if standing || known.used == 0 { ceiling.tiyn() - known.used } else { 0 };
    json!({
        "authorisation": known.seq,
        "wallet": known.wallet,
        "channel": known.channel,
        "for": what,
        "bank": bank,
        "form": form,
        "last_four": last_four,
        "ceiling": ceiling,
        "used": money(known.used),
        "left": money(if known.revoked { 0 } else { usable }),
        "currency": "KZT",
        "standing": standing,
        "expires": rfc3339(expires),
        "revoked": known.revoked,
    })
}
