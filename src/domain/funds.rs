//! What kind of money it is, and the codes that name its purpose to banks.

use thiserror::Error;

use super::inline::Inline;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

/// Why a text is not one of the payment codes of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PaymentCodeError {
    /// Neither `protected` nor `general`.
    #[error("the class of funds is neither protected nor general")]
    FundClass,
    /// Not three digits.
    #[error("the KNP is not three digits")]
    Knp,
    /// Not two digits.
    #[error("the KBe is not two digits")]
    Kbe,
    /// Not four capital letters and digits.
    #[error("the ISO 20022 purpose is not four capital letters or digits")]
    IsoPurpose,
}

/// Whether the law shields money from collection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FundClass {
    /// A benefit from the budget or the State Social Insurance Fund: Law 261-IV on enforcement proceedings, art.
    /// 58(2)(1) and 62(3)(1).
    Protected,
    /// Any other money.
    General,
}

impl FundClass {
    /// Reads `protected` or `general`.
    pub fn parse(text: &[u8]) -> Result<Self, PaymentCodeError> {
        match text {
            b"protected" => Ok(Self::Protected),
            b"general" => Ok(Self::General),
            _ => Err(PaymentCodeError::FundClass),
        }
    }

    /// `protected` or `general`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::General => "general",
        }
    }

    /// As stored: 1 protected, 2 general.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Protected => 1,
            Self::General => 2,
        }
    }

    /// The inverse of [`FundClass::code`].
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1 => Some(Self::Protected),
            2 => Some(Self::General),
            _ => None,
        }
    }
}

shown_by_as_str!(FundClass, "FundClass");
serialized_by_display!(FundClass);
deserialized_by!(FundClass, |text| FundClass::parse(text.as_bytes()));

fn exactly<const LENGTH: usize>(text: &[u8], allowed: fn(&u8) -> bool) -> Option<Inline<LENGTH>> {
    if text.len() == LENGTH && text.iter().all(allowed) { Inline::new(text) } else { None }
}

/// A payment purpose code (код назначения платежа) of the EKNP: three digits. Which one fits a benefit is data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Knp(Inline<3>);

impl Knp {
    /// Reads three digits.
    pub fn parse(text: &[u8]) -> Result<Self, PaymentCodeError> {
        exactly(text, u8::is_ascii_digit).map(Self).ok_or(PaymentCodeError::Knp)
    }

    /// Three digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(Knp, "Knp");
serialized_by_display!(Knp);
deserialized_by!(Knp, |text| Knp::parse(text.as_bytes()));

/// A beneficiary code (код бенефициара) of the EKNP, residence and sector of the economy: two digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kbe(Inline<2>);

impl Kbe {
    /// Reads two digits.
    pub fn parse(text: &[u8]) -> Result<Self, PaymentCodeError> {
        exactly(text, u8::is_ascii_digit).map(Self).ok_or(PaymentCodeError::Kbe)
    }

    /// Two digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(Kbe, "Kbe");
serialized_by_display!(Kbe);
deserialized_by!(Kbe, |text| Kbe::parse(text.as_bytes()));

/// An ISO 20022 external purpose code such as `SSBE`: four capital letters or digits. The code list is ISO's and
/// grows, so membership is not checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IsoPurpose(Inline<4>);

impl IsoPurpose {
    /// Reads four capital letters or digits.
    pub fn parse(text: &[u8]) -> Result<Self, PaymentCodeError> {
        exactly(text, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            .map(Self)
            .ok_or(PaymentCodeError::IsoPurpose)
    }

    /// Four ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(IsoPurpose, "IsoPurpose");
serialized_by_display!(IsoPurpose);
deserialized_by!(IsoPurpose, |text| IsoPurpose::parse(text.as_bytes()));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_classes_keep_their_names_and_their_numbers() {
        for (class, text, code) in
            [(FundClass::Protected, "protected", 1), (FundClass::General, "general", 2)]
        {
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{text}\""));
            assert_eq!(FundClass::parse(text.as_bytes()), Ok(class));
            assert_eq!(class.code(), code);
            assert_eq!(FundClass::from_code(code), Some(class));
        }
        assert_eq!(FundClass::from_code(0), None);
        assert_eq!(FundClass::from_code(3), None);
        assert!(serde_json::from_str::<FundClass>("\"Protected\"").is_err());
    }

    #[test]
    fn payment_codes_have_their_exact_length_and_alphabet() {
        assert_eq!(Knp::parse(b"026").unwrap().as_str(), "026");
        assert_eq!(Kbe::parse(b"19").unwrap().as_str(), "19");
        assert_eq!(IsoPurpose::parse(b"SSBE").unwrap().to_string(), "SSBE");
        for text in ["", "02", "0260", "o26"] {
            assert_eq!(Knp::parse(text.as_bytes()), Err(PaymentCodeError::Knp), "{text}");
        }
        for text in ["", "1", "190", "1x"] {
            assert_eq!(Kbe::parse(text.as_bytes()), Err(PaymentCodeError::Kbe), "{text}");
        }
        for text in ["", "SSB", "SSBEN", "ssbe", "SS-E"] {
            assert_eq!(IsoPurpose::parse(text.as_bytes()), Err(PaymentCodeError::IsoPurpose), "{text}");
        }
    }
}
