//! What is written in an order. The journal has tags and commitments of it; the text itself is kept encrypted beside the journal,
//! for its issuer's document and its holder's notice.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::document::{Openings, Shown};
use super::fields::{Said, SaidDebt, Written};
use crate::domain::{Bin, DebtType, EnforcementDocument, Iin, OrderDocument, OrderPurpose};
use crate::keys::{BookKeys, OrderText, WrittenDebt, WrittenOrder};
use crate::ledger::order_rules::Intake;

/// What is kept of an order. Of one that could not be read, its number and date.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Its number and date.
    pub document: OrderDocument,
    /// The debtor's number.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "exposed")]
    pub iin: Option<Iin>,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement_document: Option<EnforcementDocument>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<OrderPurpose>,
    /// What kind of tax debt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debt_type: Option<DebtType>,
    /// The order that it lifts, or carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifts: Option<OrderDocument>,
}

/// What a written order becomes for the ledger. The issuer is who the client is registered as.
#[must_use]
pub fn intake(keys: &BookKeys, issuer: Bin, written: Written, line: Option<u64>) -> Intake {
    let Written { document, said } = written;
    let (said, wallet, contents) = match said {
        Err(field) => {
            let tag = keys.order_tag(issuer, &document);
            let contents = Contents {
                document,
                iin: None,
                enforcement_document: None,
                purpose: None,
                debt_type: None,
                lifts: None,
            };
            (Err((tag, field)), None, contents)
        }
        Ok(said) => {
            let written = as_written(issuer, document, said);
            let order = keys.order(&written);
            let wallet = keys.wallet_id(&written.debtor);
            let contents = Contents {
                document: written.document,
                iin: Some(written.debtor),
                enforcement_document: Some(written.enforcement_document),
                purpose: Some(written.purpose),
                debt_type: written.tax_debt.map(|debt| debt.debt_type),
                lifts: written.lifts,
            };
            (Ok(order), Some(wallet), contents)
        }
    };
    let tag = match &said {
        Ok(order) => order.order,
        Err((tag, _)) => *tag,
    };
    let sealed = contents.seal(keys, &tag);
    Intake { said, wallet, sealed, line }
}

fn as_written(issuer: Bin, document: OrderDocument, said: Said) -> WrittenOrder {
    let Said { kind, iin, amount, enforcement_document, purpose, expires, debt, overpaid, lifts } = said;
    let tax_debt =
        debt.map(|SaidDebt { kind, met_elsewhere }| WrittenDebt { debt_type: kind, met_elsewhere });
    WrittenOrder {
        issuer,
        document,
        kind,
        debtor: iin,
        amount,
        expires,
        enforcement_document,
        purpose,
        tax_debt,
        overpaid,
        lifts,
    }
}

impl Contents {
    fn seal(&self, keys: &BookKeys, tag: &[u8; 32]) -> Vec<u8> {
        let text = Zeroizing::new(serde_json::to_vec(self).expect("texts are JSON"));
        keys.seal_order(tag, &text)
    }

    /// What was sealed under an order's tag. `None`: with other keys, for another order, or not by us.
    #[must_use]
    pub fn unseal(keys: &BookKeys, tag: &[u8; 32], sealed: &[u8]) -> Option<Self> {
        let text = Zeroizing::new(keys.unseal_order(tag, sealed)?);
        serde_json::from_slice(&text).ok()
    }

    /// What a document shows of it.
    #[must_use]
    pub fn shown(&self) -> Shown {
        Shown {
            document: self.document.clone(),
            enforcement_document: self.enforcement_document.as_ref().map(ToString::to_string),
            purpose: self.purpose.as_ref().map(ToString::to_string),
            last_four: self.iin.as_ref().map(|iin| iin.expose()[8..].to_owned()),
        }
    }

    /// What opens its leaf; the debtor's opening only for who may have the number.
    #[must_use]
    pub fn openings(&self, keys: &BookKeys, issuer: Bin, with_debtor: bool) -> Openings {
        let tag = keys.order_tag(issuer, &self.document);
        let text = |field: OrderText, text: Option<&str>| {
            text.map(|text| keys.order_text_opening(&tag, field, text))
        };
        let document = self.enforcement_document.as_ref().map(EnforcementDocument::as_str);
        Openings {
            order: keys.order_opening(issuer, &self.document),
            enforcement_document: text(OrderText::EnforcementDocument, document),
            purpose: text(OrderText::Purpose, self.purpose.as_ref().map(OrderPurpose::as_str)),
            debtor: self.iin.as_ref().filter(|_| with_debtor).map(|iin| keys.tag_opening(iin)),
        }
    }
}

/// The number in full: this is what is encrypted.
mod exposed {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Iin;

    #[allow(clippy::ref_option)] // as serde calls it
    pub(super) fn serialize<S: Serializer>(iin: &Option<Iin>, serializer: S) -> Result<S::Ok, S::Error> {
        match iin {
            Some(iin) => serializer.serialize_str(iin.expose()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Iin>, D::Error> {
        Option::<Iin>::deserialize(deserializer)
    }
}
