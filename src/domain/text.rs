//! Free text with a bound, for people to read.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::serde_text;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// No characters at all.
    #[error("the text is empty")]
    Empty,
    /// More Unicode scalar values than the field allows.
    #[error("the text is too long")]
    TooLong,
    /// A line break, a tab, a null or another control character.
    #[error("the text has a control character")]
    ControlCharacter,
    /// White space at the start or the end.
    #[error("the text begins or ends with white space")]
    Untrimmed,
}

/// A text of 1 to `MAX` Unicode scalar values, without control characters and without white space at its ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

/// The law, article and paragraph that a right or a refusal rests on.
pub type LegalBasis = Text<500>;

/// Why something is done, in the words of whoever asks for it.
pub type Reason = Text<300>;

/// A bank's own reference of a payment.
pub type BankReference = Text<64>;

impl<const MAX: usize> Text<MAX> {
    /// Takes the text as it is or refuses it; nothing is trimmed or cut.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        // A character is at most four bytes, so a text of more than 4 × MAX bytes need not be counted.
        if text.is_empty() {
            Err(TextError::Empty)
        } else if text.len() > MAX * 4 || text.chars().count() > MAX {
            Err(TextError::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(TextError::ControlCharacter)
        } else if text.trim().len() != text.len() {
            Err(TextError::Untrimmed)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_text::deserialize(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters_not_in_bytes() {
        assert!(Text::<4>::parse("әіңғ").is_ok());
        assert!(Text::<4>::parse("😀😀😀😀").is_ok());
        assert_eq!(Text::<4>::parse("әіңғү"), Err(TextError::TooLong));
        assert_eq!(Text::<4>::parse(&"a".repeat(1_000_000)), Err(TextError::TooLong));
        assert_eq!(Text::<4>::parse(""), Err(TextError::Empty));
    }

    #[test]
    fn each_kind_of_text_has_the_length_that_is_said_of_it() {
        use crate::domain::{DebtType, DocumentNumber, EnforcementDocument, OrderPurpose};
        use crate::ledger::payment::{Document, Terminal};
        fn check<const MAX: usize>(parse: fn(&str) -> Result<Text<MAX>, TextError>, length: usize) {
            for character in ["a", "ж", "😀"] {
                assert!(parse(&character.repeat(length - 1)).is_ok(), "{length}");
                assert!(parse(&character.repeat(length)).is_ok(), "{length}");
                assert_eq!(parse(&character.repeat(length + 1)), Err(TextError::TooLong), "{length}");
            }
        }
        check(Text::<200>::parse, 200); // a programme's names
        check(LegalBasis::parse, 500);
        check(Reason::parse, 300);
        check(BankReference::parse, 64);
        check(Terminal::parse, 32);
        check(Document::parse, 300);
        check(DocumentNumber::parse, 64);
        check(EnforcementDocument::parse, 300);
        check(OrderPurpose::parse, 500);
        check(DebtType::parse, 32);
    }

    #[test]
    fn control_characters_and_loose_ends_are_refused() {
        for text in ["a\nb", "a\tb", "a\0b", "a\u{7f}b", "a\u{85}b", "a\r\n"] {
            assert_eq!(Reason::parse(text), Err(TextError::ControlCharacter), "{text:?}");
        }
        for text in [" a", "a ", "\u{a0}a", " "] {
            assert_eq!(Reason::parse(text), Err(TextError::Untrimmed), "{text:?}");
        }
        assert_eq!(Reason::parse("paid twice, see act 7").unwrap().as_str(), "paid twice, see act 7");
    }

    #[test]
    fn json_goes_through_parse() {
        assert_eq!(serde_json::from_str::<BankReference>("\"REF-1\"").unwrap().to_string(), "REF-1");
        assert!(serde_json::from_str::<BankReference>("\"\"").is_err());
        assert_eq!(serde_json::to_string(&Reason::parse("a \"b\"").unwrap()).unwrap(), r#""a \"b\"""#);
    }
}
