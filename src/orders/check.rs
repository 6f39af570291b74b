//! Whether a decision document says what the log says. It takes the document and the log's public key, and nothing else.
//!
//! Checked, in this order: the receipt of the decision's leaf, and of the rule table's, under the trusted key; that the openings open
//! the leaf's tag and commitments to the issuer, number, date and texts shown; the debtor's number, where whoever checks has it; then
//! the document is made again from its proof and every member is compared; last of all, of a page, every cell and every byte.

use serde_json::Value;

use super::document::{DOCUMENT_BYTES_MAX, DocumentError, FORM, Proof, Shown, document, record};
use super::page::{self, Languages};
use crate::domain::strict_json::Strict;
use crate::domain::{Bin, Iin, OrderDocument};
use crate::keys::{OrderText, order_tag_of, order_text_of, tag_of};
use crate::ledger::order::{Decision, OrderRecord};
use crate::ledger::record::Record;
use crate::log::checkpoint::{Checkpoint, Policy};
use crate::log::leaf::Leaf;
use crate::log::merkle::leaf_hash;
use crate::log::receipt::{Receipt, ReceiptError};

/// Why a document is not to be believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckError {
    /// It is too long, or neither JSON nor a page of ours.
    #[error("this is no decision document of the form {FORM}")]
    Form,
    /// Its entry or its rule table is not what it must be.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The log does not have it.
    #[error("the {of}: {error}")]
    Receipt {
        /// Of what.
        of: &'static str,
        /// Why not.
        error: ReceiptError,
    },
    /// A receipt is for another entry than its leaf names.
    #[error("the {of} is entry {leaf}, and its receipt is for entry {receipt}")]
    OtherEntry {
        /// Of what.
        of: &'static str,
        /// What the leaf says.
        leaf: u64,
        /// What the receipt is for.
        receipt: u64,
    },
    /// What is shown is not what the entry commits to.
    #[error("the entry commits to another {0} than the document shows")]
    Opening(&'static str),
    /// A member is missing that the entry commits to.
    #[error("the document lacks the {0}, or what opens it")]
    Missing(&'static str),
    /// It is about another person.
    #[error("the decision is about another person than the number given")]
    OtherDebtor,
    /// Whether it is about a person cannot be told from a page.
    #[error(
        "whether it is about this person is told by the JSON document only: a page does not carry what tells it"
    )]
    NoDebtorOpening,
    /// A member says something else than the journal.
    #[error("{member}: the document says {shown}, the journal says {journal}")]
    Differs {
        /// Which.
        member: String,
        /// What the document says.
        shown: String,
        /// What it should say.
        journal: String,
    },
    /// A page has the right figures and is not the one that is made of them.
    #[error(
        "the figures are the journal's, and the page around them is not the one that this version makes of them: believe what is \
         printed here, and nothing else of the page"
    )]
    Page,
}

/// What a document proves.
#[derive(Clone, PartialEq, Debug)]
pub struct Checked {
    /// The document, every member of which is the journal's or is committed to by it.
    pub document: Value,
    /// The checkpoint whose tree has the decision.
    pub checkpoint: Checkpoint,
    /// The trusted keys that signed it.
    pub signed_by: Vec<String>,
    /// Whether it was held against a person's number.
    pub debtor: bool,
}

/// Checks a document, JSON or a page, under a trusted key; also that it is about a person, if a number is given.
pub fn check(bytes: &[u8], policy: &Policy, iin: Option<&Iin>) -> Result<Checked, CheckError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(CheckError::Form);
    }
    if bytes.trim_ascii_start().starts_with(b"{") {
        return check_json(bytes, policy, iin, false);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CheckError::Form)?;
    let carried = page::carried_by(text).ok_or(CheckError::Form)?;
    let checked = check_json(&carried, policy, iin, true)?;
    check_page(text, &checked.document)?;
    Ok(checked)
}

fn check_json(
    bytes: &[u8],
    policy: &Policy,
    iin: Option<&Iin>,
    is_page: bool,
) -> Result<Checked, CheckError> {
    let Strict(given) = serde_json::from_slice(bytes).map_err(|_| CheckError::Form)?;
    if given["document"] != FORM {
        return Err(CheckError::Form);
    }
    let form = |_| CheckError::Form;
    let proof: Proof = serde_json::from_value(given["proof"].clone()).map_err(form)?;
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    let named = serde_json::json!({"number": given["number"], "date": given["order_date"]});
    let shown = Shown {
        document: serde_json::from_value::<OrderDocument>(named).map_err(form)?,
        enforcement_document: text("enforcement_document"),
        purpose: text("purpose"),
        last_four: text("debtor"),
    };
    let (receipt, checkpoint) = included("decision", &proof.leaf, &proof.receipt, policy)?;
    if let Some(rules) = &proof.rules {
        included("rule table", &rules.leaf, &rules.receipt, policy)?;
    }
    let debtor = open(&proof, &shown, iin, is_page)?;
    let made = document(&proof, &shown)?;
    compare("", &given, &made)?;
    let trusted = policy.log_keys.iter().chain(&policy.witnesses);
    let signed = trusted.filter(|key| receipt.checkpoint.is_signed_by(key) == Ok(true));
    let signed_by = signed.map(|key| key.label().to_string()).collect();
    Ok(Checked { document: made, checkpoint, signed_by, debtor })
}

/// Checks that a leaf is in the log, where it says that it is.
fn included(
    of: &'static str,
    leaf: &[u8],
    receipt: &str,
    policy: &Policy,
) -> Result<(Receipt, Checkpoint), CheckError> {
    let failed = |error| CheckError::Receipt { of, error };
    let receipt = Receipt::parse(receipt.as_bytes()).map_err(failed)?;
    let checkpoint = receipt.verify(&leaf_hash(leaf), policy).map_err(failed)?;
    let entry = Leaf::read(leaf).map_err(|_| DocumentError::Leaf)?.seq;
    if entry == receipt.index {
        Ok((receipt, checkpoint))
    } else {
        Err(CheckError::OtherEntry { of, leaf: entry, receipt: receipt.index })
    }
}

/// Checks that what is shown is what the leaf commits to. Whether the debtor's number was looked at.
fn open(proof: &Proof, shown: &Shown, iin: Option<&Iin>, is_page: bool) -> Result<bool, CheckError> {
    let Record::Order(order) = record(&proof.leaf)? else { return Err(DocumentError::NotADecision.into()) };
    let named = |tag: &[u8; 32], issuer: Bin| {
        if order_tag_of(&proof.openings.order, issuer, &shown.document) == *tag {
            Ok(())
        } else {
            Err(CheckError::Opening("issuer, number or date"))
        }
    };
    match *order {
        OrderRecord::Decided(decision) => {
            named(&decision.said.order, decision.issuer)?;
            open_texts(proof, shown, &decision)?;
            open_debtor(proof, &decision, iin, is_page)
        }
        OrderRecord::Malformed { order, issuer, .. } => {
            named(&order, issuer)?;
            let texts = [&shown.enforcement_document, &shown.purpose, &shown.last_four];
            if texts.into_iter().any(Option::is_some) {
                return Err(CheckError::Opening("content: it could not be read"));
            }
            Ok(false)
        }
        _ => Err(DocumentError::NotADecision.into()),
    }
}

fn open_texts(proof: &Proof, shown: &Shown, decision: &Decision) -> Result<(), CheckError> {
    let openings = &proof.openings;
    let last_four = shown.last_four.as_deref().ok_or(CheckError::Missing("debtor"))?;
    for (field, text, opening, committed) in [
        (
            OrderText::EnforcementDocument,
            &shown.enforcement_document,
            openings.enforcement_document,
            decision.said.enforcement_document,
        ),
        (OrderText::Purpose, &shown.purpose, openings.purpose, decision.said.purpose),
    ] {
        let (Some(text), Some(opening)) = (text, opening) else {
            return Err(CheckError::Missing(field.as_str()));
        };
        if order_text_of(&opening, field, text, last_four) != committed {
            return Err(CheckError::Opening(match field {
                OrderText::EnforcementDocument => {
                    "enforcement document, or other digits of the debtor's number,"
                }
                OrderText::Purpose => "purpose",
            }));
        }
    }
    Ok(())
}

fn open_debtor(
    proof: &Proof,
    decision: &Decision,
    iin: Option<&Iin>,
    is_page: bool,
) -> Result<bool, CheckError> {
    let Some(iin) = iin else { return Ok(false) };
    match proof.openings.debtor {
        None if is_page => Err(CheckError::NoDebtorOpening),
        None => Err(CheckError::Missing("debtor")),
        Some(opening) if tag_of(&opening, iin) == decision.said.debtor => Ok(true),
        Some(_) => Err(CheckError::OtherDebtor),
    }
}

/// Compares a document with the one that its proof gives, member by member.
fn compare(place: &str, given: &Value, made: &Value) -> Result<(), CheckError> {
    let under = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match (given, made) {
        (Value::Object(given), Value::Object(made)) => {
            for name in made.keys().chain(given.keys()) {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned();
                match (of(given), of(made)) {
                    (Some(given), Some(made)) => compare(&under(name), &given, &made)?,
                    (given, made) => return Err(differs(under(name), given.as_ref(), made.as_ref())),
                }
            }
            Ok(())
        }
        (Value::Array(given), Value::Array(made)) if given.len() == made.len() => {
            let mut pairs = given.iter().zip(made).enumerate();
            pairs.try_for_each(|(at, (given, made))| compare(&under(&at.to_string()), given, made))
        }
        (given, made) if given == made => Ok(()),
        (given, made) => Err(differs(place.to_owned(), Some(given), Some(made))),
    }
}

fn differs(member: String, given: Option<&Value>, made: Option<&Value>) -> CheckError {
    let text = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    CheckError::Differs { member, shown: text(given), journal: text(made) }
}

/// Compares a page with those that the document that it carries gives.
fn check_page(page: &str, document: &Value) -> Result<(), CheckError> {
    if Languages::ALL.into_iter().any(|languages| page::page(document, languages) == page) {
        return Ok(());
    }
    // Which cell it is, in whatever language the page is.
    for name in page::LABELS {
        let Some(shown) = page::shown_by(page, name) else { continue };
        let cells = Languages::ALL.into_iter().map(|languages| page::cell(document, name, &languages.list()));
        let cells: Vec<String> = cells.flatten().collect();
        if !cells.iter().any(|cell| cell == shown) {
            let plain = |cell: &str| cell.replace("<br>", " / ").replace("<pre>", "").replace("</pre>", "");
            let journal = cells.first().map_or_else(|| "nothing".to_owned(), |cell| plain(cell));
            return Err(CheckError::Differs { member: name.to_owned(), shown: plain(shown), journal });
        }
    }
    Err(CheckError::Page)
}
