//! What a holder is told of an order against his wallet: who, which document, what was asked, what was taken, why, and how to complain.
//! Never what is in the wallet: the text may be read on a locked screen.

use super::contents::Contents;
use super::document::basis_words;
use super::words::{DECISION, NOTICES, Words};
use crate::domain::{Amount, Bin, Issuer, Money, OrderDocument};
use crate::ledger::order::{Decision, RuleTable};

/// The notice of a decision; `None`: there is nothing to tell the holder.
#[must_use]
pub fn decided(entry: u64, decision: &Decision, table: &RuleTable, contents: &Contents) -> Option<Words> {
    let text = NOTICES.decided(decision.outcome, decision.said.order_kind)?;
    let asked = match decision.said.amount.map(Amount::money) {
        Some(asked) => sum(asked),
        None => DECISION.everything.clone(),
    };
    let mut values = named(decision.issuer, decision.issuer_kind, &contents.document);
    values.extend([
        ("asked", asked),
        ("taken", sum(decision.taken)),
        ("basis", basis_words(decision, table).unwrap_or_else(|| Words::same("—"))),
    ]);
    Some(filled(text, &values).and(&complain(entry)))
}

/// The notice that an order's time is over.
#[must_use]
pub fn expired(entry: u64, issuer: Bin, kind: Issuer, document: &OrderDocument) -> Words {
    filled(&NOTICES.expired, &named(issuer, kind, document)).and(&complain(entry))
}

fn named(bin: Bin, kind: Issuer, document: &OrderDocument) -> Vec<(&'static str, Words)> {
    vec![
        ("issuer", DECISION.issuer(kind).clone()),
        ("bin", Words::same(&bin.to_string())),
        ("number", Words::same(document.number.as_str())),
        ("date", Words::same(document.date.as_str())),
    ]
}

fn sum(sum: Money) -> Words {
    Words::same(&format!("{sum} KZT"))
}

fn complain(entry: u64) -> Words {
    filled(&NOTICES.complain, &[("entry", Words::same(&entry.to_string()))])
}

fn filled(text: &Words, values: &[(&'static str, Words)]) -> Words {
    let values: Vec<(&str, &Words)> = values.iter().map(|(name, value)| (*name, value)).collect();
    text.filled(&values)
}
