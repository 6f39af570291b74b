//! Where money goes when it leaves a wallet: a card as its bank knows it, or an account.

use thiserror::Error;

use super::bank::{Iban, IbanError};
use super::inline::Inline;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};

/// Why a text is not a destination. None of the errors repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DestinationError {
    /// The token is the number of a card, which nobody but the card's bank may keep (PCI DSS, requirement 3).
    #[error("a card's number is never taken: give the token that its bank has issued for it")]
    CardNumber,
    /// Not 8 to 64 letters, digits, points, underscores and hyphens.
    #[error("the card's token is not 8 to 64 letters, digits, points, underscores and hyphens")]
    Token,
    /// Not four digits.
    #[error("the last four are not four digits")]
    LastFour,
    /// Not a Kazakhstani IBAN.
    #[error(transparent)]
    Iban(#[from] IbanError),
}

/// Digits that the number of a payment card has (ISO/IEC 7812-1).
const CARD_NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// A card's token, issued by its bank: 8 to 64 letters, digits, points, underscores and hyphens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CardToken(Inline<64>);

impl CardToken {
    /// Reads a token. A card's own number is refused, whatever stands between its digits.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        if has_card_number(text) {
            return Err(DestinationError::CardNumber);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.len() < 8 || !text.bytes().all(allowed) {
            return Err(DestinationError::Token);
        }
        Inline::new(text.as_bytes()).map(Self).ok_or(DestinationError::Token)
    }

    /// 8 to 64 ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl std::fmt::Debug for CardToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CardToken")
    }
}

/// Whether a text holds what may be a card's number: among its digits 13 to 19 in a row that begin like one (2 to 6) and pass the
/// check of ISO/IEC 7812-1 (Luhn), whatever digits stand before or after them. Blanks, points, underscores and hyphens between
/// digits do not hide them.
#[must_use]
pub fn has_card_number(text: &str) -> bool {
    let joined: String = text.chars().filter(|c| !matches!(c, ' ' | '.' | '_' | '-')).collect();
    let is_number = |digits: &str| matches!(digits.as_bytes()[0], b'2'..=b'6') && passes_luhn(digits);
    let begins_one = |from: &str| CARD_NUMBER_DIGITS.filter_map(|length| from.get(..length)).any(is_number);
    let runs = joined.split(|c: char| !c.is_ascii_digit());
    runs.flat_map(|run| (0..run.len()).map(|begin| &run[begin..])).any(begins_one)
}

fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| match (u32::from(byte - b'0'), place % 2) {
            (digit, 0) => digit,
            (digit, _) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The last four characters of a card's number or of an account, by which a holder knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LastFour(Inline<4>);

impl LastFour {
    /// Reads four digits or capital letters.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let allowed = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        if text.len() != 4 || !text.bytes().all(allowed) {
            return Err(DestinationError::LastFour);
        }
        Inline::new(text.as_bytes()).map(Self).ok_or(DestinationError::LastFour)
    }

    /// Four ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(LastFour, "LastFour");
serialized_by_display!(LastFour);
deserialized_by!(LastFour, LastFour::parse);

/// What kind of thing money is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DestinationForm {
    /// A card.
    Card,
    /// An account.
    Iban,
}

impl DestinationForm {
    /// Reads the form's name.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        match text {
            "card" => Ok(Self::Card),
            "iban" => Ok(Self::Iban),
            _ => Err(DestinationError::Token),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Iban => "iban",
        }
    }
}

shown_by_as_str!(DestinationForm, "DestinationForm");
serialized_by_display!(DestinationForm);
deserialized_by!(DestinationForm, DestinationForm::parse);

/// Where a bank puts the money. Not shown by `Debug`: it is a person's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A card.
    Card {
        /// What its bank calls it.
        token: CardToken,
        /// What its holder knows it by.
        last_four: LastFour,
    },
    /// An account.
    Iban(Iban),
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Destination({})", self.form())
    }
}

impl Destination {
    /// A card, by its token and the last four digits of its number.
    pub fn card(token: &str, last_four: &str) -> Result<Self, DestinationError> {
        let token = CardToken::parse(token)?;
        let last_four = LastFour::parse(last_four)?;
        if !last_four.as_str().bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DestinationError::LastFour);
        }
        // Nor in two parts.
        if has_card_number(&format!("{}{last_four}", token.as_str())) {
            return Err(DestinationError::CardNumber);
        }
        Ok(Self::Card { token, last_four })
    }

    /// An account.
    pub fn iban(text: &str) -> Result<Self, DestinationError> {
        Ok(Self::Iban(Iban::parse(text.as_bytes())?))
    }

    /// What kind it is.
    #[must_use]
    pub fn form(&self) -> DestinationForm {
        match self {
            Self::Card { .. } => DestinationForm::Card,
            Self::Iban(_) => DestinationForm::Iban,
        }
    }

    /// What its holder knows it by.
    #[must_use]
    pub fn last_four(&self) -> LastFour {
        match self {
            Self::Card { last_four, .. } => *last_four,
            Self::Iban(iban) => {
                LastFour::parse(&iban.as_str()[16..]).expect("an IBAN ends in digits and capital letters")
            }
        }
    }

    /// What its bank calls it: the token, or the account.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Card { token, .. } => token.as_str(),
            Self::Iban(iban) => iban.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cards_number_is_never_taken_for_a_token_whatever_stands_between_its_digits() {
        // Numbers that the schemes publish for tests; 13, 15, 16 and 19 digits.
        for number in ["4222222222222", "378282246310005", "4111111111111111", "6304000000000000000"] {
            let dashed: String = number
                .chars()
                .flat_map(|digit| [digit, '-'])
                .collect::<String>()
                .trim_end_matches('-')
                .into();
            let (followed, doubled) = (format!("{number}1227"), format!("{number}9"));
            for text in
                [number.to_owned(), dashed, format!("tok_{number}"), format!("a{number}b"), followed, doubled]
            {
                assert_eq!(CardToken::parse(&text), Err(DestinationError::CardNumber), "{text}");
            }
        }
    }

    #[test]
    fn a_token_has_8_to_64_plain_characters_and_may_have_digits_that_are_no_cards_number() {
        for text in ["tok-1234", "9111111111111112", "411111111111", &"a".repeat(64)] {
            assert_eq!(CardToken::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "tok-123", "tok 12345", "токен-12345", &"a".repeat(65)] {
            assert_eq!(CardToken::parse(text), Err(DestinationError::Token), "{text}");
        }
    }

    #[test]
    fn a_destination_is_known_by_its_last_four_and_shown_to_nobody() {
        let card = Destination::card("tok-8f14e45f", "4242").unwrap();
        let account = Destination::iban("KZ86125KZT5004100100").unwrap();
        assert_eq!((card.last_four().as_str(), account.last_four().as_str()), ("4242", "0100"));
        assert_eq!(format!("{card:?} {account:?}"), "Destination(card) Destination(iban)");
        let in_two = Destination::card("411111111111", "1111");
        assert_eq!(in_two, Err(DestinationError::CardNumber));
        assert_eq!(Destination::card("tok-8f14e45f", "424"), Err(DestinationError::LastFour));
        assert_eq!(Destination::card("tok-8f14e45f", "A242"), Err(DestinationError::LastFour));
        assert_eq!(
            Destination::iban("KZ87125KZT5004100100"),
            Err(DestinationError::Iban(IbanError::CheckDigits))
        );
    }
}
