//! A benefit programme's code and names.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::inline::Inline;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};
use super::text::Text;

/// Why a text is not a programme code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodeError {
    /// Not a capital letter followed by up to fifteen capitals, digits and underscores.
    #[error(
        "the programme code is not 1 to 16 capital letters, digits and underscores that begin with a letter"
    )]
    Malformed,
}

/// The short code of a benefit programme, `[A-Z][A-Z0-9_]{0,15}`. Whether it exists is the ledger's to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgrammeCode(Inline<16>);

impl ProgrammeCode {
    /// Reads `[A-Z][A-Z0-9_]{0,15}`.
    pub fn parse(text: &[u8]) -> Result<Self, CodeError> {
        let [first, rest @ ..] = text else { return Err(CodeError::Malformed) };
        let follows = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        if !first.is_ascii_uppercase() || !rest.iter().all(follows) {
            return Err(CodeError::Malformed);
        }
        Inline::new(text).map(Self).ok_or(CodeError::Malformed)
    }

    /// 1 to 16 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(ProgrammeCode, "ProgrammeCode");
serialized_by_display!(ProgrammeCode);
deserialized_by!(ProgrammeCode, |text| ProgrammeCode::parse(text.as_bytes()));

/// The name of something that holders read about, in the three languages they read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// In Kazakh.
    pub kk: Text<200>,
    /// In Russian.
    pub ru: Text<200>,
    /// In English.
    pub en: Text<200>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_capitals_digits_and_underscores_after_a_capital() {
        for text in ["A", "ASP", "BIRTH_1", "A234567890123456"] {
            let code = ProgrammeCode::parse(text.as_bytes()).unwrap();
            assert_eq!(code.as_str(), text);
            assert_eq!(code.to_string(), text);
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{text}\""));
        }
        for text in ["", "a", "1A", "_A", "A-B", "A B", "A2345678901234567", "АSP"] {
            assert_eq!(ProgrammeCode::parse(text.as_bytes()), Err(CodeError::Malformed), "{text}");
        }
    }

    #[test]
    fn names_need_all_three_languages_and_nothing_else() {
        let names: Names =
            serde_json::from_str(r#"{"kk":"Жәрдемақы","ru":"Пособие","en":"Benefit"}"#).unwrap();
        assert_eq!(names.kk.as_str(), "Жәрдемақы");
        assert!(serde_json::from_str::<Names>(r#"{"kk":"а","ru":"б"}"#).is_err());
        assert!(serde_json::from_str::<Names>(r#"{"kk":"а","ru":"б","en":"c","de":"d"}"#).is_err());
        assert!(serde_json::from_str::<Names>(r#"{"kk":"","ru":"б","en":"c"}"#).is_err());
    }
}
