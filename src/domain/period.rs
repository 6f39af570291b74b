//! What a payment is for in time: a month, or once in a life; and its part when there are several.
//!
//! Together with the programme and the person they are the benefit key, which is paid once.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::serde_text::{deserialized_by, serialized_by_display};

/// Why a text is not a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// Neither `once` nor `YYYY-MM` with a year from 2000 to 2199 and a month from 01 to 12.
    #[error("the period is neither YYYY-MM nor once")]
    Malformed,
}

/// The month that a benefit is for, or `once` for one that has no month (a birth, a burial).
///
/// Make a month with [`Period::month`] or [`Period::parse`], which check the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Paid once in a life.
    Once,
    /// Paid for a month.
    Month {
        /// 2000 to 2199.
        year: u16,
        /// 1 to 12.
        month: u8,
    },
}

impl Period {
    /// `None` outside the years 2000 to 2199 and the months 1 to 12.
    #[must_use]
    pub const fn month(year: u16, month: u8) -> Option<Self> {
        if year >= 2000 && year <= 2199 && month >= 1 && month <= 12 {
            Some(Self::Month { year, month })
        } else {
            None
        }
    }

    /// Reads `YYYY-MM` or `once`.
    pub fn parse(text: &[u8]) -> Result<Self, PeriodError> {
        let digit = |byte: u8| byte.wrapping_sub(b'0');
        match text {
            b"once" => Ok(Self::Once),
            [y1, y2, y3, y4, b'-', m1, m2]
                if [y1, y2, y3, y4, m1, m2].iter().all(|byte| byte.is_ascii_digit()) =>
            {
                let year =
                    [*y1, *y2, *y3, *y4].iter().fold(0, |year, byte| year * 10 + u16::from(digit(*byte)));
                Self::month(year, digit(*m1) * 10 + digit(*m2)).ok_or(PeriodError::Malformed)
            }
            _ => Err(PeriodError::Malformed),
        }
    }

    /// As stored: 0 for once, otherwise the number `YYYYMM`.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Once => 0,
            Self::Month { year, month } => i32::from(year) * 100 + i32::from(month),
        }
    }

    /// The inverse of [`Period::code`]; `None` for a number that is nobody's code.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        if code == 0 {
            return Some(Self::Once);
        }
        let year = u16::try_from(code / 100).ok()?;
        let month = u8::try_from(code % 100).ok()?;
        Self::month(year, month)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => formatter.write_str("once"),
            Self::Month { year, month } => write!(formatter, "{year:04}-{month:02}"),
        }
    }
}

serialized_by_display!(Period);
deserialized_by!(Period, |text| Period::parse(text.as_bytes()));

/// Why a text or a number is not a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PartError {
    /// Not a whole number from 1 to 999, or one with a leading zero.
    #[error("the part is not a whole number from 1 to 999")]
    OutOfRange,
}

/// Which of several distinct entitlements of one person, programme and period: a second child, a supplement, a
/// correction. 1 to 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part(u16);

impl Part {
    /// The only part of most payments.
    pub const FIRST: Self = Self(1);

    const MAX: u16 = 999;

    /// `None` outside 1 to 999.
    #[must_use]
    pub const fn new(part: u16) -> Option<Self> {
        if part >= 1 && part <= Self::MAX { Some(Self(part)) } else { None }
    }

    /// Reads one to three digits without a leading zero.
    pub fn parse(text: &[u8]) -> Result<Self, PartError> {
        if text.is_empty() || text.len() > 3 || text[0] == b'0' || !text.iter().all(u8::is_ascii_digit) {
            return Err(PartError::OutOfRange);
        }
        let part = text.iter().fold(0, |part, byte| part * 10 + u16::from(byte - b'0'));
        Self::new(part).ok_or(PartError::OutOfRange)
    }

    /// 1 to 999.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number =
            u64::deserialize(deserializer).map_err(|_| serde::de::Error::custom(PartError::OutOfRange))?;
        u16::try_from(number)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| serde::de::Error::custom(PartError::OutOfRange))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_month_and_once_are_read_and_written_alike() {
        for (text, code) in [("once", 0), ("2000-01", 200_001), ("2026-11", 202_611), ("2199-12", 219_912)] {
            let period = Period::parse(text.as_bytes()).unwrap();
            assert_eq!(period.to_string(), text);
            assert_eq!(period.code(), code);
            assert_eq!(Period::from_code(code), Some(period));
        }
    }

    #[test]
    fn other_texts_are_no_period() {
        for text in [
            "",
            "Once",
            "ONCE",
            "2026",
            "2026-1",
            "2026-00",
            "2026-13",
            "1999-12",
            "2200-01",
            "2026/11",
            "26-11",
            "2026-11-01",
            "+026-11",
            "2026-+1",
            " 2026-11",
            "20२6-11",
        ] {
            assert_eq!(Period::parse(text.as_bytes()), Err(PeriodError::Malformed), "{text}");
        }
        for code in [-1, 1, 200_000, 200_013, 199_912, 220_001, i32::MIN, i32::MAX] {
            assert_eq!(Period::from_code(code), None, "{code}");
        }
    }

    #[test]
    fn a_part_is_a_whole_number_from_1_to_999() {
        assert_eq!(Part::parse(b"1"), Ok(Part::FIRST));
        assert_eq!(Part::parse(b"999").map(Part::get), Ok(999));
        for text in ["", "0", "01", "1000", "-1", "+1", "1.0", " 1", "65537"] {
            assert_eq!(Part::parse(text.as_bytes()), Err(PartError::OutOfRange), "{text}");
        }
        assert_eq!(Part::new(0), None);
        assert_eq!(Part::new(1000), None);
    }

    #[test]
    fn a_part_is_a_json_integer_and_errors_do_not_repeat_it() {
        assert_eq!(serde_json::to_string(&Part::FIRST).unwrap(), "1");
        assert_eq!(serde_json::from_str::<Part>("999").unwrap().get(), 999);
        for json in ["0", "1000", "-5", "\"7777\"", "1.5", "99999999999999999999"] {
            let error = serde_json::from_str::<Part>(json).unwrap_err().to_string();
            assert!(error.starts_with("the part is not a whole number from 1 to 999"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_code_that_is_taken_is_given_back(code in any::<i32>()) {
            if let Some(period) = Period::from_code(code) {
                prop_assert_eq!(period.code(), code);
            }
        }

        #[test]
        fn every_month_survives_each_way_of_writing_it(year in 2000_u16..=2199, month in 1_u8..=12) {
            let period = Period::month(year, month).unwrap();
            prop_assert_eq!(Period::parse(period.to_string().as_bytes()), Ok(period));
            prop_assert_eq!(Period::from_code(period.code()), Some(period));
        }
    }
}
