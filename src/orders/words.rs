//! The texts, which are data.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::domain::{Issuer, OrderKind};
use crate::ledger::order::Outcome;

/// A language that texts are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Kazakh.
    Kazakh,
    /// Russian.
    Russian,
    /// English.
    English,
}

impl Language {
    /// All.
    pub const ALL: [Self; 3] = [Self::Kazakh, Self::Russian, Self::English];

    /// Its code of ISO 639.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kazakh => "kk",
            Self::Russian => "ru",
            Self::English => "en",
        }
    }

    /// Reads the code.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == text)
    }
}

/// One thing said in three languages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    kk: String,
    ru: String,
    en: String,
}

impl Words {
    pub(super) fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Kazakh => &self.kk,
            Language::Russian => &self.ru,
            Language::English => &self.en,
        }
    }

    /// The same with each `{name}` replaced by what stands for it in the language.
    pub(super) fn filled(&self, values: &[(&str, &Self)]) -> Self {
        let fill = |language: Language| {
            // Once through the text: what an issuer has written in braces is a value, and stays as it is.
            let mut filled = String::new();
            let mut rest = self.in_language(language);
            while let Some((before, after)) = rest.split_once('{') {
                filled.push_str(before);
                let value = after.split_once('}').and_then(|(name, after)| {
                    let (_, value) = values.iter().find(|(known, _)| *known == name)?;
                    Some((value.in_language(language), after))
                });
                let (value, after) = value.unwrap_or(("{", after));
                filled.push_str(value);
                rest = after;
            }
            filled + rest
        };
        Self { kk: fill(Language::Kazakh), ru: fill(Language::Russian), en: fill(Language::English) }
    }

    /// A text that is the same in every language.
    pub(super) fn same(text: &str) -> Self {
        Self { kk: text.to_owned(), ru: text.to_owned(), en: text.to_owned() }
    }

    /// Two texts after each other.
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = |language| format!("{} {}", self.in_language(language), other.in_language(language));
        Self { kk: both(Language::Kazakh), ru: both(Language::Russian), en: both(Language::English) }
    }
}

impl From<&crate::domain::Names> for Words {
    fn from(names: &crate::domain::Names) -> Self {
        Self { kk: names.kk.to_string(), ru: names.ru.to_string(), en: names.en.to_string() }
    }
}

/// The texts of `specs/decision.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionWords {
    pub(super) title: Words,
    pub(super) ledger: Words,
    labels: BTreeMap<String, Words>,
    pub(super) check: Words,
    pub(super) everything: Words,
    issuers: BTreeMap<String, Words>,
    kinds: BTreeMap<String, Words>,
    outcomes: BTreeMap<String, Words>,
    grounds: BTreeMap<String, Words>,
}

/// The texts of `specs/notices.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticeWords {
    decided: BTreeMap<String, Words>,
    pub(super) expired: Words,
    pub(super) complain: Words,
}

pub(super) static DECISION: LazyLock<DecisionWords> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../specs/decision.json")).expect("a test reads specs/decision.json")
});

pub(super) static NOTICES: LazyLock<NoticeWords> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../specs/notices.json")).expect("a test reads specs/notices.json")
});

fn of<'a>(words: &'a BTreeMap<String, Words>, name: &str) -> &'a Words {
    words.get(name).expect("a test looks every name up")
}

impl DecisionWords {
    pub(super) fn label(&self, name: &str) -> &Words {
        of(&self.labels, name)
    }

    pub(super) fn issuer(&self, issuer: Issuer) -> &Words {
        of(&self.issuers, issuer.as_str())
    }

    pub(super) fn kind(&self, kind: OrderKind) -> &Words {
        of(&self.kinds, kind.as_str())
    }

    /// What became of an order; a freeze is not told like an arrest, nor a recovery like a levy.
    pub(super) fn outcome(&self, outcome: Outcome, kind: Option<OrderKind>) -> &Words {
        match (outcome, kind) {
            (Outcome::Held, Some(OrderKind::Freeze)) => of(&self.outcomes, "frozen"),
            (Outcome::Partial, Some(OrderKind::OverpaymentRecovery)) => {
                of(&self.outcomes, "recovered_in_part")
            }
            (Outcome::RefusedProtected, Some(OrderKind::OverpaymentRecovery)) => {
                of(&self.outcomes, "not_recovered")
            }
            _ => of(&self.outcomes, outcome.as_str()),
        }
    }

    /// Why an order was decided so where no row of the rule table says it, beside the rows that it names if there are any; `None`:
    /// rows say it.
    pub(super) fn ground(&self, outcome: Outcome, kind: Option<OrderKind>, has_rows: bool) -> Option<&Words> {
        let name = match (outcome, kind) {
            (
                Outcome::ReturnedDuplicate
                | Outcome::NoWallet
                | Outcome::UnauthorisedIssuer
                | Outcome::Malformed,
                _,
            ) => outcome.as_str(),
            (_, Some(kind @ (OrderKind::Freeze | OrderKind::Lift | OrderKind::OverpaymentRecovery))) => {
                kind.as_str()
            }
            _ if has_rows => return None,
            _ => "no_row",
        };
        Some(of(&self.grounds, name))
    }
}

impl NoticeWords {
    /// What is told of a decision. Nothing is told of what concerned no wallet.
    pub(super) fn decided(&self, outcome: Outcome, kind: OrderKind) -> Option<&Words> {
        let name = match (outcome, kind) {
            (Outcome::Held, OrderKind::Freeze) => "frozen",
            (Outcome::Partial | Outcome::Executed, OrderKind::OverpaymentRecovery) => "recovered",
            (Outcome::RefusedProtected, OrderKind::OverpaymentRecovery) => "not_recovered",
            (Outcome::Executed, OrderKind::Lift) => "lifted",
            _ => outcome.as_str(),
        };
        self.decided.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::LABELS;
    use super::*;

    #[test]
    fn every_name_has_its_words_and_no_words_are_left_over() {
        let words = &*DECISION;
        for issuer in Issuer::ALL {
            assert!(!words.issuer(issuer).kk.is_empty());
        }
        for kind in OrderKind::ALL {
            assert!(!words.kind(kind).ru.is_empty());
        }
        for outcome in Outcome::ALL {
            assert!(!words.outcome(outcome, None).en.is_empty());
        }
        assert_ne!(words.outcome(Outcome::Held, Some(OrderKind::Freeze)), words.outcome(Outcome::Held, None));
        for label in LABELS {
            assert!(!words.label(label).kk.is_empty());
        }
        assert_eq!(
            (words.issuers.len(), words.kinds.len(), words.outcomes.len(), words.labels.len()),
            (Issuer::ALL.len(), OrderKind::ALL.len(), Outcome::ALL.len() + 3, LABELS.len())
        );
        let recovery = Some(OrderKind::OverpaymentRecovery);
        for outcome in [Outcome::Partial, Outcome::RefusedProtected] {
            assert_ne!(words.outcome(outcome, recovery), words.outcome(outcome, None));
        }
        let mut grounds: Vec<&Words> = Vec::new();
        for outcome in Outcome::ALL {
            let kinds = OrderKind::ALL.into_iter().map(Some).chain([None]);
            for (kind, has_rows) in kinds.flat_map(|kind| [(kind, false), (kind, true)]) {
                grounds
                    .extend(words.ground(outcome, kind, has_rows).filter(|words| !grounds.contains(words)));
            }
        }
        assert_eq!(grounds.len(), words.grounds.len());
    }

    #[test]
    fn a_text_is_filled_in_each_language() {
        let text = Words { kk: "{x} а".into(), ru: "б {x}".into(), en: "c {x} {y}".into() };
        let value = Words { kk: "1".into(), ru: "2".into(), en: "3".into() };
        let filled = text.filled(&[("x", &value), ("y", &Words::same("{x} {"))]);
        assert_eq!(filled, Words { kk: "1 а".into(), ru: "б 2".into(), en: "c 3 {x} {".into() });
        assert_eq!(Words::same("a { b {z} {").filled(&[("x", &value)]), Words::same("a { b {z} {"));
    }
}
