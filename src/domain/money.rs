//! Money in tiyn (1/100 tenge), counted in `i64`, written as a decimal string.

use std::fmt;

use rust_decimal::Decimal;
use thiserror::Error;

use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

/// Why a text is not an amount. A text with several faults gets the first of them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not `0` or digits without a leading zero, optionally with a point and digits after it.
    #[error("the amount is not a plain decimal number")]
    Malformed,
    /// A well-formed number after a minus sign.
    #[error("the amount is negative")]
    Negative,
    /// More than two digits after the point.
    #[error("the amount has more than two decimals")]
    Scale,
    /// Nothing at all, where something must move.
    #[error("the amount is zero")]
    Zero,
    /// More than the type can hold: [`Amount::MAX`], or 2⁶³ − 1 tiyn for [`Money`].
    #[error("the amount is too large")]
    TooLarge,
}

/// The integer digits of a well-formed decimal, and the tiyn after its point (0 to 99).
fn scan(text: &[u8]) -> Result<(&[u8], i64), AmountError> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let integer_len = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (integer, rest) = unsigned.split_at(integer_len);
    if matches!(integer, [] | [b'0', _, ..]) {
        return Err(AmountError::Malformed);
    }
    let digit = |byte: u8| i64::from(byte - b'0');
    let fraction = match rest {
        [] => Ok(0),
        [b'.', decimals @ ..] if !decimals.is_empty() && decimals.iter().all(u8::is_ascii_digit) => {
            match decimals {
                [tens] => Ok(digit(*tens) * 10),
                [tens, ones] => Ok(digit(*tens) * 10 + digit(*ones)),
                _ => Err(AmountError::Scale),
            }
        }
        _ => return Err(AmountError::Malformed),
    };
    if negative { Err(AmountError::Negative) } else { Ok((integer, fraction?)) }
}

/// Tenge digits and tiyn to tiyn; `None` beyond `i64`.
fn to_tiyn(integer: &[u8], fraction: i64) -> Option<i64> {
    let tenge = integer
        .iter()
        .try_fold(0_i64, |sum, byte| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0')))?;
    tenge.checked_mul(100)?.checked_add(fraction)
}

/// A sum of money that may be zero and is never negative: a balance, a total. In tiyn, up to 2⁶³ − 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `None` below zero.
    #[must_use]
    pub const fn from_tiyn(tiyn: i64) -> Option<Self> {
        if tiyn < 0 { None } else { Some(Self(tiyn)) }
    }

    /// Reads a decimal with at most two digits after the point; zero is allowed.
    pub fn parse(text: &[u8]) -> Result<Self, AmountError> {
        let (integer, fraction) = scan(text)?;
        to_tiyn(integer, fraction).map(Self).ok_or(AmountError::TooLarge)
    }

    /// In tiyn, never negative.
    #[must_use]
    pub const fn tiyn(self) -> i64 {
        self.0
    }

    /// `None` beyond 2⁶³ − 1 tiyn.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(tiyn) => Some(Self(tiyn)),
            None => None,
        }
    }

    /// `None` below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        // Both are at least zero, so the difference cannot overflow.
        Self::from_tiyn(self.0 - other.0)
    }

    /// In tenge, with exactly two decimals.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 2)
    }

    /// Appends the same text as `Display`, without the formatting machinery.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(self.0 / 100).as_bytes());
        out.extend_from_slice(&self.decimals());
    }

    fn decimals(self) -> [u8; 3] {
        let digit =
            |value: i64| b'0' + u8::try_from(value % 10).expect("a remainder of ten, of no negative number");
        [b'.', digit(self.0 / 10), digit(self.0)]
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        self.write_to(&mut text);
        formatter.pad(std::str::from_utf8(&text).expect("`write_to` writes ASCII"))
    }
}

serialized_by_display!(Money);
deserialized_by!(Money, |text| Money::parse(text.as_bytes()));

/// A sum of money that moves: more than zero and at most [`Amount::MAX`]. In tiyn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Amount(i64);

impl Amount {
    /// 999,999,999,999.99 tenge: far above any benefit, far enough below 2⁵³ and 2⁶³ to be summed safely.
    pub const MAX: Self = Self(99_999_999_999_999);

    /// Integer digits of [`Amount::MAX`]; a number without leading zeros that has more of them is above it.
    const INTEGER_DIGITS_MAX: usize = 12;

    /// Reads `0` or digits without a leading zero, optionally a point and one or two digits. No sign, no exponent, no
    /// spaces: one amount has few spellings, and no locale can change what one means.
    pub fn parse(text: &[u8]) -> Result<Self, AmountError> {
        let (integer, fraction) = scan(text)?;
        if integer.len() > Self::INTEGER_DIGITS_MAX {
            return Err(AmountError::TooLarge);
        }
        match to_tiyn(integer, fraction) {
            Some(0) => Err(AmountError::Zero),
            Some(tiyn) => Ok(Self(tiyn)),
            None => Err(AmountError::TooLarge),
        }
    }

    /// `None` at or below zero and above [`Amount::MAX`].
    #[must_use]
    pub const fn from_tiyn(tiyn: i64) -> Option<Self> {
        if tiyn > 0 && tiyn <= Self::MAX.0 { Some(Self(tiyn)) } else { None }
    }

    /// The same sum as [`Money`].
    #[must_use]
    pub const fn money(self) -> Money {
        Money(self.0)
    }

    /// In tiyn, at least 1.
    #[must_use]
    pub const fn tiyn(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.money().fmt(formatter)
    }
}

serialized_by_display!(Amount);
deserialized_by!(Amount, |text| Amount::parse(text.as_bytes()));

/// The currency of an amount: always the tenge, and written in every record all the same.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Currency {
    /// The Kazakhstani tenge.
    #[default]
    Kzt,
}

/// Why a text is not a currency that this ledger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CurrencyError {
    /// Anything but `KZT`.
    #[error("the currency is not KZT")]
    Unsupported,
}

impl Currency {
    /// Reads `KZT`, in capitals.
    pub fn parse(text: &[u8]) -> Result<Self, CurrencyError> {
        if text == b"KZT" { Ok(Self::Kzt) } else { Err(CurrencyError::Unsupported) }
    }

    /// The ISO 4217 code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kzt => "KZT",
        }
    }
}

shown_by_as_str!(Currency, "Currency");
serialized_by_display!(Currency);
deserialized_by!(Currency, |text| Currency::parse(text.as_bytes()));

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<i64, AmountError> {
        Amount::parse(text.as_bytes()).map(Amount::tiyn)
    }

    #[test]
    fn a_plain_decimal_with_up_to_two_places_is_an_amount() {
        for (text, tiyn) in [
            ("1", 100),
            ("0.01", 1),
            ("0.1", 10),
            ("12345.67", 1_234_567),
            ("78798", 7_879_800),
            ("29453.25", 2_945_325),
        ] {
            assert_eq!(parse(text), Ok(tiyn), "{text}");
        }
    }

    #[test]
    fn every_other_spelling_is_malformed() {
        for text in [
            "", ".", "-", "1.", ".5", "01", "00", "00.5", "+1", " 1", "1 ", "1e3", "1E3", "1,5", "1_000",
            "1.2.3", "--1", "-.5", "-1.", "-01", "0x10", "NaN", "inf", "１", "1.5 ", "1.-5",
        ] {
            assert_eq!(parse(text), Err(AmountError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn each_other_fault_has_its_own_error_and_the_first_in_order_wins() {
        for (text, error) in [
            ("-1", AmountError::Negative),
            ("-0", AmountError::Negative),
            ("-0.001", AmountError::Negative),
            ("-99999999999999999999999999", AmountError::Negative),
            ("1.234", AmountError::Scale),
            ("0.000", AmountError::Scale),
            ("99999999999999999999999999.000", AmountError::Scale),
            ("0", AmountError::Zero),
            ("0.0", AmountError::Zero),
            ("0.00", AmountError::Zero),
            ("1000000000000", AmountError::TooLarge),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(parse(&"9".repeat(100_000)), Err(AmountError::TooLarge));
    }

    #[test]
    fn the_limit_is_exact() {
        assert_eq!(parse("999999999999.98"), Ok(Amount::MAX.tiyn() - 1));
        assert_eq!(parse("999999999999.99"), Ok(Amount::MAX.tiyn()));
        assert_eq!(parse("1000000000000.00"), Err(AmountError::TooLarge));
        assert_eq!(Amount::from_tiyn(Amount::MAX.tiyn()), Some(Amount::MAX));
        assert_eq!(Amount::from_tiyn(Amount::MAX.tiyn() + 1), None);
        assert_eq!(Amount::from_tiyn(0), None);
        assert_eq!(Amount::from_tiyn(-1), None);
    }

    #[test]
    fn money_may_be_zero_reaches_the_limit_of_its_integer_and_never_goes_below_zero() {
        assert_eq!(Money::parse(b"0"), Ok(Money::ZERO));
        assert_eq!(Money::parse(b"92233720368547758.07").map(Money::tiyn), Ok(i64::MAX));
        assert_eq!(Money::parse(b"92233720368547758.08"), Err(AmountError::TooLarge));
        assert_eq!(Money::from_tiyn(-1), None);
        let (one, two) = (Money::from_tiyn(1).unwrap(), Money::from_tiyn(2).unwrap());
        assert_eq!(one.checked_sub(two), None);
        assert_eq!(two.checked_sub(one), Some(one));
        assert_eq!(Money::from_tiyn(i64::MAX).unwrap().checked_add(one), None);
    }

    #[test]
    fn money_is_always_written_with_two_decimals() {
        for (tiyn, text) in [(0, "0.00"), (1, "0.01"), (10, "0.10"), (100, "1.00"), (1_234_567, "12345.67")] {
            let money = Money::from_tiyn(tiyn).unwrap();
            assert_eq!(money.to_string(), text);
            assert_eq!(serde_json::to_string(&money).unwrap(), format!("\"{text}\""));
        }
        assert_eq!(Money::from_tiyn(i64::MAX).unwrap().to_string(), "92233720368547758.07");
    }

    #[test]
    fn json_amounts_are_strings_and_go_through_parse() {
        assert_eq!(serde_json::from_str::<Amount>("\"5.5\"").unwrap().tiyn(), 550);
        assert!(serde_json::from_str::<Amount>("5.5").is_err());
        assert!(serde_json::from_str::<Amount>("\"0\"").is_err());
        assert_eq!(serde_json::from_str::<Money>("\"0\"").unwrap(), Money::ZERO);
    }

    #[test]
    fn the_tenge_is_the_only_currency() {
        assert_eq!(Currency::parse(b"KZT").unwrap().to_string(), "KZT");
        for text in ["", "kzt", "USD", "398", "KZT "] {
            assert_eq!(Currency::parse(text.as_bytes()), Err(CurrencyError::Unsupported));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_the_decimal_library_agrees(tiyn in 1..=Amount::MAX.tiyn()) {
            let amount = Amount::from_tiyn(tiyn).unwrap();
            let text = amount.to_string();
            prop_assert_eq!(parse(&text), Ok(tiyn));
            prop_assert_eq!(Decimal::from_str(&text).unwrap(), amount.money().to_decimal());
            prop_assert_eq!(&text, &amount.money().to_decimal().to_string());
        }

        #[test]
        fn every_decimal_text_gets_the_verdict_that_the_decimal_library_implies(
            text in "-?(0|[1-9][0-9]{0,13})(\\.[0-9]{1,4})?"
        ) {
            let decimal = Decimal::from_str(&text).unwrap();
            let expected = if text.starts_with('-') {
                Err(AmountError::Negative)
            } else if decimal.scale() > 2 {
                Err(AmountError::Scale)
            } else if decimal.is_zero() {
                Err(AmountError::Zero)
            } else if decimal > Amount::MAX.money().to_decimal() {
                Err(AmountError::TooLarge)
            } else {
                Ok(decimal)
            };
            let parsed = Amount::parse(text.as_bytes()).map(|amount| amount.money().to_decimal());
            prop_assert_eq!(parsed, expected);
        }

        #[test]
        fn any_bytes_at_all_are_parsed_without_a_panic(bytes in "[-+.0-9eE ]{0,40}") {
            let _ = Amount::parse(bytes.as_bytes());
            let _ = Money::parse(bytes.as_bytes());
        }
    }
}
