//! An NDJSON line: one JSON object with the names of the CSV columns.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::fault::LineFaultCode;
use super::line::{
    AccrualFields, KeyFields, LineKind, PAYEE_TYPE_IIN, ParsedLine, judge_opening, judge_reversal,
};
use crate::domain::{Part, PartError};

/// One line, without its line break.
pub(super) fn parse(kind: LineKind, line: &[u8]) -> ParsedLine {
    // Serde would also fill a struct from an array, by position; a line is an object or nothing.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return ParsedLine::refused(LineFaultCode::MalformedLine);
    }
    let parsed = match kind {
        LineKind::Accrual => serde_json::from_slice(line).map(|object: AccrualObject<'_>| object.judge()),
        LineKind::Reversal => serde_json::from_slice(line).map(|object: ReversalObject<'_>| object.judge()),
        LineKind::WalletOpening => {
            serde_json::from_slice(line).map(|object: OpeningObject<'_>| judge_opening(object.iin.bytes()))
        }
    };
    parsed.unwrap_or(ParsedLine::refused(LineFaultCode::MalformedLine))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccrualObject<'a> {
    #[serde(default, borrow)]
    iin: Text<'a>,
    #[serde(default, borrow)]
    programme: Text<'a>,
    #[serde(default, borrow)]
    period: Text<'a>,
    #[serde(default)]
    part: Number,
    #[serde(default, borrow)]
    amount: Text<'a>,
    #[serde(default, borrow)]
    currency: Text<'a>,
}

impl AccrualObject<'_> {
    fn judge(&self) -> ParsedLine {
        let key = KeyFields {
            iin: self.iin.bytes(),
            programme: self.programme.bytes(),
            period: self.period.bytes(),
            part: self.part.0,
        };
        let (amount, currency) = (self.amount.bytes(), self.currency.bytes());
        AccrualFields { payee_type: Some(PAYEE_TYPE_IIN), key, amount, currency }.judge()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReversalObject<'a> {
    #[serde(default, borrow)]
    iin: Text<'a>,
    #[serde(default, borrow)]
    programme: Text<'a>,
    #[serde(default, borrow)]
    period: Text<'a>,
    #[serde(default)]
    part: Number,
    #[serde(default, borrow)]
    reason: Text<'a>,
}

impl ReversalObject<'_> {
    fn judge(&self) -> ParsedLine {
        let key = KeyFields {
            iin: self.iin.bytes(),
            programme: self.programme.bytes(),
            period: self.period.bytes(),
            part: self.part.0,
        };
        judge_reversal(&key, self.reason.bytes())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningObject<'a> {
    #[serde(default, borrow)]
    iin: Text<'a>,
}

/// A JSON string, borrowed unless it has escapes; absent by default. `null` is of the wrong type, not absent.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    /// `None` when absent or empty.
    fn bytes(&self) -> Option<&[u8]> {
        self.0.as_deref().map(str::as_bytes).filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A JSON integer that may be a part; absent by default.
#[derive(Default)]
struct Number(Option<Result<Part, PartError>>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                let part = u16::try_from(number).ok().and_then(Part::new);
                Ok(Number(Some(part.ok_or(PartError::OutOfRange))))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Number, E> {
                // serde_json hands over as i64 what is below zero.
                Ok(Number(Some(Err(PartError::OutOfRange))))
            }
        }

        deserializer.deserialize_u64(NumberVisitor)
    }
}
