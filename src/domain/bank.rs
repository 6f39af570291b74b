//! Where a bank keeps an account: the IBAN, and the BIC of the bank.

use thiserror::Error;

use super::inline::Inline;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

/// Why a text is not a Kazakhstani IBAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IbanError {
    /// Not `KZ`, two check digits, three digits of the bank and thirteen capital letters or digits.
    #[error("the account is not a Kazakhstani IBAN")]
    Malformed,
    /// The remainder modulo 97 is not 1 (ISO 13616).
    #[error("the check digits of the IBAN are wrong")]
    CheckDigits,
}

/// A Kazakhstani IBAN: `KZ`, two check digits, three digits of the bank, thirteen capital letters or digits; without
/// spaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Iban(Inline<20>);

impl Iban {
    /// Reads twenty characters and checks them modulo 97 (ISO 13616, ISO 7064).
    pub fn parse(text: &[u8]) -> Result<Self, IbanError> {
        let [b'K', b'Z', numbers @ ..] = text else { return Err(IbanError::Malformed) };
        let alphanumeric = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if text.len() != 20
            || !numbers[..5].iter().all(u8::is_ascii_digit)
            || !numbers.iter().all(alphanumeric)
        {
            return Err(IbanError::Malformed);
        }
        // The country and the check digits count last; a letter counts as two digits, A = 10 to Z = 35.
        let remainder = text[4..].iter().chain(&text[..4]).fold(0, |remainder, byte| match byte {
            b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
            letter => (remainder * 100 + u32::from(letter - b'A') + 10) % 97,
        });
        if remainder != 1 {
            return Err(IbanError::CheckDigits);
        }
        Inline::new(text).map(Self).ok_or(IbanError::Malformed)
    }

    /// Twenty ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(Iban, "Iban");
serialized_by_display!(Iban);
deserialized_by!(Iban, |text| Iban::parse(text.as_bytes()));

/// Why a text is not a BIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BicError {
    /// Not of the shape of ISO 9362.
    #[error("the BIC is not 8 or 11 characters of ISO 9362")]
    Malformed,
}

/// A business identifier code of ISO 9362: four letters or digits, two letters of the country, two letters or digits,
/// optionally three of the branch; capitals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bic(Inline<11>);

impl Bic {
    /// Reads 8 or 11 characters. A BIC has no check digit; whether it was issued is not asked.
    pub fn parse(text: &[u8]) -> Result<Self, BicError> {
        let alphanumeric = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !matches!(text.len(), 8 | 11)
            || !text.iter().all(alphanumeric)
            || !text[4..6].iter().all(u8::is_ascii_uppercase)
        {
            return Err(BicError::Malformed);
        }
        Inline::new(text).map(Self).ok_or(BicError::Malformed)
    }

    /// 8 or 11 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(Bic, "Bic");
serialized_by_display!(Bic);
deserialized_by!(Bic, |text| Bic::parse(text.as_bytes()));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ibans_of_kazakhstan_with_right_check_digits_are_taken() {
        for text in ["KZ86125KZT5004100100", "KZ563190000012344567"] {
            assert_eq!(Iban::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_single_changed_character_of_an_iban_is_caught() {
        let iban = b"KZ86125KZT5004100100";
        for position in 2..iban.len() {
            for byte in b"0123456789ABCXYZ" {
                let mut changed = *iban;
                changed[position] = *byte;
                assert_eq!(Iban::parse(&changed).is_ok(), changed == *iban);
            }
        }
    }

    #[test]
    fn other_shapes_are_no_iban_of_kazakhstan() {
        for text in [
            "",
            "KZ",
            "KZ86",
            "DE89370400440532013000",
            "kz86125KZT5004100100",
            "KZ86 125K ZT50 0410 0100",
            "KZ86125KZT50041001000",
        ] {
            assert_eq!(Iban::parse(text.as_bytes()), Err(IbanError::Malformed), "{text}");
        }
        assert_eq!(Iban::parse(b"KZ87125KZT5004100100"), Err(IbanError::CheckDigits));
    }

    #[test]
    fn a_bic_has_eight_or_eleven_characters_and_a_country() {
        for text in ["CASPKZKA", "HSBKKZKX", "NBRKKZKXXXX"] {
            assert_eq!(Bic::parse(text.as_bytes()).unwrap().as_str(), text);
        }
        for text in ["", "CASPKZK", "CASPKZKA1", "CASP12KA", "caspkzka", "CASPKZ-A", "CASPKZKAXXXX"] {
            assert_eq!(Bic::parse(text.as_bytes()), Err(BicError::Malformed), "{text}");
        }
    }
}
