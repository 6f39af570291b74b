//! The decision on an order as a document: what an authority files, and can check with the log's key alone.
//!
//! Everything that it shows is made of its proof: the leaf of the decision, the leaf of the rule table that it was decided by, their
//! receipts, and the openings of what the leaf only commits to. [`document`] makes it, and whoever checks it makes it again from the
//! same proof and compares (`check.rs`): so no figure can be changed unnoticed.
//!
//! The debtor's opening lets whoever has it try numbers. It is in the JSON that the authority is given, and never on the page that is
//! printed and passed on; the page shows four digits.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::words::{DECISION, Words};
use crate::domain::{Amount, Bin, Issuer, Money, OrderDocument, OrderKind};
use crate::ledger::order::{Decision, OrderRecord, Outcome, RuleTable};
use crate::ledger::record::Record;
use crate::log::leaf::Leaf;
use crate::log::merkle::leaf_hash;

/// What a document of this form begins with.
pub const FORM: &str = "social-wallet/decision/v1";

/// The bytes of a document, at most: two leaves and two receipts in base64, and what they say.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// What a document proves itself by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The entry of the decision, in its exact bytes.
    #[serde(with = "base64_bytes")]
    pub leaf: Vec<u8>,
    /// Its receipt, C2SP `tlog-proof`.
    pub receipt: String,
    /// The entry of the rule table; none of an order that was not decided by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// What the leaf commits to.
    pub openings: Openings,
}

/// The rule table that an order was decided by, as the journal has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Its entry, in its exact bytes.
    #[serde(with = "base64_bytes")]
    pub leaf: Vec<u8>,
    /// Its receipt.
    pub receipt: String,
}

/// What opens the tags and commitments of a leaf: each is made of its opening and of what it stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openings {
    /// Of the order's tag: issuer, number and date.
    #[serde(with = "hex::serde")]
    pub order: [u8; 32],
    /// Of the enforcement document.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_if_any")]
    pub enforcement_document: Option<[u8; 32]>,
    /// Of the purpose.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_if_any")]
    pub purpose: Option<[u8; 32]>,
    /// Of the debtor's tag.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_if_any")]
    pub debtor: Option<[u8; 32]>,
}

/// What a document shows that is in no leaf: the leaf commits to it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Shown {
    /// The order's number and date.
    #[serde(flatten)]
    pub document: OrderDocument,
    /// What it rests on.
    pub enforcement_document: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// The last four digits of the debtor's number.
    pub last_four: Option<String>,
}

/// Why there is no document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DocumentError {
    /// The entry cannot be read.
    #[error("the document's entry is not a leaf of the log")]
    Leaf,
    /// It is about something else.
    #[error("the document's entry is not a decision on an order")]
    NotADecision,
    /// The rule table is missing, or is another than the decision names.
    #[error("the document's rule table is not the one that the decision names, entry {0}")]
    Rules(u64),
}

/// What the entry says, decided or not.
struct Facts {
    issuer: Bin,
    issuer_kind: Issuer,
    outcome: Outcome,
    decision: Option<Box<Decision>>,
    field: Option<&'static str>,
}

fn facts(record: Record) -> Result<Facts, DocumentError> {
    match record {
        Record::Order(order) => match *order {
            OrderRecord::Decided(decision) => Ok(Facts {
                issuer: decision.issuer,
                issuer_kind: decision.issuer_kind,
                outcome: decision.outcome,
                field: decision.field.map(crate::ledger::order::MalformedField::as_str),
                decision: Some(decision),
            }),
            OrderRecord::Malformed { issuer, issuer_kind, field, .. } => Ok(Facts {
                issuer,
                issuer_kind,
                outcome: Outcome::Malformed,
                decision: None,
                field: Some(field.as_str()),
            }),
            _ => Err(DocumentError::NotADecision),
        },
        _ => Err(DocumentError::NotADecision),
    }
}

/// The record of a leaf.
pub(super) fn record(leaf: &[u8]) -> Result<Record, DocumentError> {
    Leaf::read(leaf).and_then(|leaf| leaf.record()).map_err(|_| DocumentError::Leaf)
}

/// The table of a proof, if the decision names its entry.
fn table(proof: &Proof, named: u64) -> Result<RuleTable, DocumentError> {
    let wrong = || DocumentError::Rules(named);
    let rules = proof.rules.as_ref().ok_or_else(wrong)?;
    let leaf = Leaf::read(&rules.leaf).map_err(|_| wrong())?;
    match leaf.record() {
        Ok(Record::Order(order)) if leaf.seq == named => match *order {
            OrderRecord::RulesSet { rules } => Ok(*rules),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// The document that a proof gives, with what its openings show. It is not checked here that they open anything.
pub fn document(proof: &Proof, shown: &Shown) -> Result<Value, DocumentError> {
    let leaf = Leaf::read(&proof.leaf).map_err(|_| DocumentError::Leaf)?;
    let facts = facts(leaf.record().map_err(|_| DocumentError::Leaf)?)?;
    let decision = facts.decision.as_deref();
    let kind = decision.map(|decision| decision.said.order_kind);
    let (rules, basis) = match decision {
        None => (None, Vec::new()),
        Some(decision) => {
            let table = table(proof, decision.rules)?;
            let rows = decision.rows.iter().map(|place| {
                let row = table.rules.get(usize::from(*place)).ok_or(DocumentError::Rules(decision.rules))?;
                Ok(json!({
                    "row": place,
                    "class": row.class,
                    "programme": row.programme,
                    "effect": row.effect,
                    "cap_percent": row.cap_percent,
                    "legal_basis": row.legal_basis,
                }))
            });
            (Some(decision.rules), rows.collect::<Result<Vec<_>, _>>()?)
        }
    };
    let sum = |of: fn(&Decision) -> Money| decision.map(of);
    Ok(json!({
        "document": FORM,
        "book": leaf.book,
        "entry": leaf.seq,
        "at": leaf.at,
        "date": leaf.date,
        "leaf_hash": hex::encode(leaf_hash(&proof.leaf)),
        "issuer": {"bin": facts.issuer, "kind": facts.issuer_kind, "words": DECISION.issuer(facts.issuer_kind)},
        "number": shown.document.number,
        "order_date": shown.document.date,
        "order_kind": kind,
        "order_words": kind.map(|kind: OrderKind| DECISION.kind(kind)),
        "debtor": shown.last_four,
        "enforcement_document": shown.enforcement_document,
        "purpose": shown.purpose,
        "currency": "KZT",
        "asked": decision.and_then(|decision| decision.said.amount).map(Amount::money),
        "taken": sum(|decision| decision.taken),
        "held": sum(|decision| decision.held),
        "refused": sum(|decision| decision.refused),
        "expires": decision.and_then(|decision| decision.said.expires).map(crate::domain::time::rfc3339),
        "outcome": facts.outcome,
        "outcome_words": DECISION.outcome(facts.outcome, kind),
        "field": facts.field,
        "lifted": decision.and_then(|decision| decision.lifted),
        "rules": rules,
        "basis": basis,
        "basis_words": DECISION.ground(facts.outcome, kind, decision.is_some_and(|decision| !decision.rows.is_empty())),
        "proof": proof,
    }))
}

/// Why an order was decided so, in words: what the rows that decided it rest on, or the rule of this ledger that it is.
#[must_use]
pub(super) fn basis_words(decision: &Decision, table: &RuleTable) -> Option<Words> {
    let rows = decision.rows.iter().filter_map(|place| table.rules.get(usize::from(*place)));
    let mut words: Vec<Words> = rows.map(|row| Words::from(&row.legal_basis)).collect();
    words.dedup();
    let (outcome, kind) = (decision.outcome, Some(decision.said.order_kind));
    words.extend(DECISION.ground(outcome, kind, !words.is_empty()).cloned());
    words.into_iter().reduce(|one, other| one.and(&other))
}

/// Bytes as padded base64.
mod base64_bytes {
    use serde::de::Error as _;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::Deserialize;

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(|_| D::Error::custom("not base64"))
    }
}

/// 32 bytes as hexadecimal digits, if any.
mod hex_if_any {
    use super::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Bytes(#[serde(with = "hex::serde")] [u8; 32]);

    #[allow(clippy::ref_option)] // as serde calls it
    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.map(Bytes).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}
