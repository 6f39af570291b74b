//! The twelve-digit numbers of people (IIN) and organisations (BIN).
//!
//! Since Government Resolution 853 of 26.08.2013 the digits are officially not tied to a birth date or a sex, so
//! the length, the digits and the check digit are all that is judged, and nothing is ever derived from the rest.

use std::fmt;

use thiserror::Error;

use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

const LENGTH: usize = 12;

/// Why a text is not an IIN or a BIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NumberError {
    /// Not exactly twelve ASCII digits.
    #[error("the number is not twelve digits")]
    Malformed,
    /// The last digit is not the check digit of the first eleven, or the first eleven have none.
    #[error("the check digit of the number is wrong")]
    CheckDigit,
}

/// Σ digit × weight mod 11, with the weights 1..=11; if that is 10, again with 3..=11, 1, 2; if it is 10 again the
/// number was never issued and there is no check digit. (Some libraries map that case to 0, which lets in numbers
/// that belong to nobody.)
///
/// The eleventh digit has the weight 11, which is 0 modulo 11: unless the second weights are needed, the check digit
/// does not notice a mistake in it. A right check digit is therefore no proof that a number was typed right.
fn check_digit(prefix: [u8; 11]) -> Option<u8> {
    const FIRST: [u32; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const SECOND: [u32; 11] = [3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2];
    let weighted = |weights: [u32; 11]| {
        prefix.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum::<u32>() % 11
    };
    let mut remainder = weighted(FIRST);
    if remainder == 10 {
        remainder = weighted(SECOND);
    }
    u8::try_from(remainder).ok().filter(|digit| *digit < 10)
}

fn parse_number(text: &[u8]) -> Result<[u8; LENGTH], NumberError> {
    let ascii: [u8; LENGTH] = text.try_into().map_err(|_| NumberError::Malformed)?;
    if !ascii.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    let [prefix @ .., last] = ascii.map(|byte| byte - b'0');
    if check_digit(prefix) == Some(last) { Ok(ascii) } else { Err(NumberError::CheckDigit) }
}

fn digits(ascii: &[u8; LENGTH]) -> &str {
    std::str::from_utf8(ascii).expect("a number holds ASCII digits only")
}

/// A person's individual identification number: twelve digits with a valid check digit.
///
/// It is personal data (Law 94-V): it has no `Display` and no `Serialize`, its `Debug` is redacted, and
/// [`Iin::expose`] is the one, searchable, way to its digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Iin([u8; LENGTH]);

impl Iin {
    /// Reads exactly twelve ASCII digits and checks the last.
    pub fn parse(text: &[u8]) -> Result<Self, NumberError> {
        parse_number(text).map(Self)
    }

    /// The number with these first eleven digits (values 0 to 9, not ASCII), or `None` if there is no such number.
    #[must_use]
    pub fn from_prefix(prefix: [u8; 11]) -> Option<Self> {
        if prefix.iter().any(|digit| *digit > 9) {
            return None;
        }
        let last = check_digit(prefix)?;
        let mut ascii = [b'0' + last; LENGTH];
        for (byte, digit) in ascii.iter_mut().zip(prefix) {
            *byte = b'0' + digit;
        }
        Some(Self(ascii))
    }

    /// The twelve digits. Whoever calls this handles personal data.
    #[must_use]
    pub fn expose(&self) -> &str {
        digits(&self.0)
    }
}

impl fmt::Debug for Iin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Iin(redacted)")
    }
}

deserialized_by!(Iin, |text| Iin::parse(text.as_bytes()));

/// Whether a text for people to read holds what may be a person's number: twelve digits with the check digit of one, standing
/// alone or in groups with a blank, a point or a hyphen between them. One in eleven other numbers of twelve digits looks so too,
/// and every BIN does.
#[must_use]
pub fn has_person_number(text: &str) -> bool {
    let is_digit = |c: &char| c.is_ascii_digit();
    let apart = text.split(|c: char| !c.is_ascii_digit()).map(str::to_owned);
    let grouped = text.split(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '.' | '-')));
    let joined = grouped.map(|run| run.chars().filter(is_digit).collect());
    apart.chain(joined).any(|digits: String| Iin::parse(digits.as_bytes()).is_ok())
}

/// An organisation's business identification number: twelve digits, the same check digit as an IIN, public.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bin([u8; LENGTH]);

impl Bin {
    /// Reads exactly twelve ASCII digits and checks the last.
    pub fn parse(text: &[u8]) -> Result<Self, NumberError> {
        parse_number(text).map(Self)
    }

    /// The twelve digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        digits(&self.0)
    }
}

shown_by_as_str!(Bin, "Bin");
serialized_by_display!(Bin);
deserialized_by!(Bin, |text| Bin::parse(text.as_bytes()));

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_a_right_check_digit_are_taken_also_when_it_needs_the_second_weights() {
        for text in [
            "830717350867", // second weights
            "871008401427",
            "760212350620",
            "800416300257",
            "901123300258",
            "990101300122",
            "061211600012", // second weights
        ] {
            let iin = Iin::parse(text.as_bytes()).unwrap();
            assert_eq!(iin.expose(), text);
        }
        for text in ["940140000385", "961141000023"] {
            assert_eq!(Bin::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn numbers_with_a_wrong_check_digit_are_refused() {
        for text in ["901123300255", "990101300000", "940140000380"] {
            assert_eq!(Iin::parse(text.as_bytes()), Err(NumberError::CheckDigit));
            assert_eq!(Bin::parse(text.as_bytes()), Err(NumberError::CheckDigit));
        }
    }

    #[test]
    fn a_prefix_whose_remainder_is_ten_twice_has_no_number_at_all() {
        for prefix in ["00081315989", "82121424009"] {
            for last in 0..10 {
                let text = format!("{prefix}{last}");
                assert_eq!(Iin::parse(text.as_bytes()), Err(NumberError::CheckDigit), "{text}");
            }
            let digits: Vec<u8> = prefix.bytes().map(|byte| byte - b'0').collect();
            assert_eq!(Iin::from_prefix(digits.try_into().unwrap()), None);
        }
    }

    #[test]
    fn anything_but_twelve_ascii_digits_is_malformed() {
        for text in [
            "",
            "83071735086",
            "8307173508670",
            "83071735086a",
            " 83071735086",
            "+83071735086",
            "٨30717350867",
        ] {
            assert_eq!(Iin::parse(text.as_bytes()), Err(NumberError::Malformed), "{text}");
        }
    }

    #[test]
    fn the_date_and_the_seventh_digit_are_never_judged() {
        // Month 99, day 99, century digit 9: nobody's birthday, a number all the same.
        let iin = Iin::from_prefix([9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 1]).unwrap();
        assert_eq!(Iin::parse(iin.expose().as_bytes()), Ok(iin));
    }

    #[test]
    fn a_mistyped_eleventh_digit_goes_unnoticed_unless_the_second_weights_were_needed() {
        let others = |text: &str| {
            let changed = (b'0'..=b'9').map(|digit| {
                let mut bytes = text.as_bytes().to_vec();
                bytes[10] = digit;
                bytes
            });
            changed.filter(|bytes| bytes != text.as_bytes() && Iin::parse(bytes).is_ok()).count()
        };
        assert_eq!(others("871008401427"), 9);
        assert_eq!(others("830717350867"), 0);
    }

    #[test]
    fn a_persons_number_shows_in_no_debug_output_and_no_error() {
        let iin = Iin::parse(b"830717350867").unwrap();
        assert_eq!(format!("{iin:?}"), "Iin(redacted)");
        assert_eq!(format!("{:?}", Some(iin)), "Some(Iin(redacted))");
        let error = serde_json::from_str::<Iin>("\"830717350860\"").unwrap_err();
        assert!(!error.to_string().contains("8307"), "{error}");
    }

    #[test]
    fn a_persons_number_is_found_in_a_text_however_its_digits_are_grouped_and_other_numbers_are_not() {
        for text in [
            "830717350867",
            "paid to 830717350867, by mistake",
            "830717 350867",
            "83-07-17 35.08.67",
            "2026-11-21: 830717350867",
            "ЖСН830717350867.",
        ] {
            assert!(has_person_number(text), "{text}");
        }
        for text in [
            "",
            "act 7 of 2026-11-21",
            "901123300255",  // a wrong check digit
            "8307173508670", // thirteen digits
            "83071735086",
            "court 2-1234/2026, 17 pages",
        ] {
            assert!(!has_person_number(text), "{text}");
        }
    }

    #[test]
    fn from_prefix_refuses_what_is_not_a_digit() {
        assert_eq!(Iin::from_prefix([10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Iin::from_prefix([b'0'; 11]), None);
    }

    proptest! {
        #[test]
        fn each_prefix_has_at_most_one_number_and_from_prefix_finds_it(prefix in prop::array::uniform11(0_u8..10)) {
            let text: String = prefix.iter().map(|digit| char::from(b'0' + digit)).collect();
            let valid: Vec<Iin> =
                (0..10).filter_map(|last| Iin::parse(format!("{text}{last}").as_bytes()).ok()).collect();
            prop_assert!(valid.len() <= 1);
            prop_assert_eq!(valid.first().copied(), Iin::from_prefix(prefix));
        }

        #[test]
        fn any_bytes_at_all_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Iin::parse(&bytes);
        }
    }
}
