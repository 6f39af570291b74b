//! Why a line or a chunk is refused. The numbers are stored and the names are sent, so neither may change.

use thiserror::Error;

/// An enum with a stable number and a stable name per variant.
macro_rules! numbered {
    (
        $(#[$doc:meta])*
        $type:ident, $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $type {
            $($(#[$variant_doc])* $variant = $number,)+
        }

        impl $type {
            /// Every one, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, in snake case.
            #[must_use]
            pub const fn $name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The inverse of `as u8`; `None` for a number that means nothing.
            #[must_use]
            pub const fn from_u8(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What is wrong with a line.
    LineFaultCode, code {
        /// Wrong number of columns, broken quoting, broken JSON, an unknown or repeated JSON field, a field of the
        /// wrong JSON type, or an empty line.
        MalformedLine = 1 "malformed_line",
        /// Bytes that are not UTF-8.
        LineNotUtf8 = 2 "line_not_utf8",
        /// More than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX) bytes.
        LineTooLong = 3 "line_too_long",
        /// A field that must be there is absent or empty.
        FieldMissing = 4 "field_missing",
        /// Not twelve digits.
        IinMalformed = 5 "iin_malformed",
        /// The check digit of the IIN is wrong.
        IinCheckDigit = 6 "iin_check_digit",
        /// Not `[A-Z][A-Z0-9_]{0,15}`.
        ProgrammeMalformed = 7 "programme_malformed",
        /// Neither `YYYY-MM` nor `once`.
        PeriodMalformed = 8 "period_malformed",
        /// Not a whole number from 1 to 999.
        PartOutOfRange = 9 "part_out_of_range",
        /// Not a plain decimal number.
        AmountMalformed = 10 "amount_malformed",
        /// More than two decimals.
        AmountScale = 11 "amount_scale",
        /// Zero.
        AmountZero = 12 "amount_zero",
        /// Below zero.
        AmountNegative = 13 "amount_negative",
        /// Above [`Amount::MAX`](crate::domain::Amount::MAX).
        AmountTooLarge = 14 "amount_too_large",
        /// Not `KZT`.
        CurrencyUnsupported = 15 "currency_unsupported",
        /// The payee of a Mifos bulk line is not named by `IIN`.
        PayeeTypeUnsupported = 16 "payee_type_unsupported",
        /// Longer than 300 characters, with control characters, or with white space at an end.
        ReasonMalformed = 17 "reason_malformed",
        /// Holds what may be the number of a person or of a card.
        ReasonHasNumber = 18 "reason_has_number",
    }
}

impl LineFaultCode {
    /// What whoever made the file can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::MalformedLine => {
                "Write the line with all its columns, and quotes only around whole fields."
            }
            Self::LineNotUtf8 => "Save the file as UTF-8.",
            Self::LineTooLong => "Look for a missing line break: the line is longer than any line can be.",
            Self::FieldMissing => "Fill in the field.",
            Self::IinMalformed => "Write the IIN with its 12 digits; spreadsheets drop zeros at the front.",
            Self::IinCheckDigit => "Look for a mistyped digit in the IIN.",
            Self::ProgrammeMalformed => "Write the programme's code as it was registered, in capitals.",
            Self::PeriodMalformed => "Write the period as YYYY-MM, or once.",
            Self::PartOutOfRange => "Write the part as a whole number from 1 to 999.",
            Self::AmountMalformed => "Write the amount as digits with a point, without spaces: 12345.67.",
            Self::AmountScale => "Round the amount to two decimals by the programme's rule.",
            Self::AmountZero => "Leave out lines that pay nothing.",
            Self::AmountNegative => "Take money back by a batch of reversals.",
            Self::AmountTooLarge => "Look for a missing point in the amount.",
            Self::CurrencyUnsupported => "Write KZT, or leave the currency out.",
            Self::PayeeTypeUnsupported => "Name the payee by IIN.",
            Self::ReasonHasNumber => "Leave the numbers of persons, companies and cards out of the reason.",
            Self::ReasonMalformed => "Give the reason in up to 300 characters on one line.",
        }
    }
}

impl Field {
    /// The inverse of [`Field::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

numbered! {
    /// Where in a line the fault is.
    Field, name {
        /// No field: the fault is not in what the client wrote on the line.
        None = 0 "none",
        /// The line as a whole.
        Line = 1 "line",
        /// The person's number (`payee_identifier` of a Mifos bulk file).
        Iin = 2 "iin",
        /// The programme's code (`program_shortcode`).
        Programme = 3 "programme",
        /// The period (`cycle`).
        Period = 4 "period",
        /// The part.
        Part = 5 "part",
        /// The amount.
        Amount = 6 "amount",
        /// The currency.
        Currency = 7 "currency",
        /// `payee_identifier_type` of a Mifos bulk file.
        PayeeIdentifierType = 8 "payee_identifier_type",
        /// The reason of a reversal.
        Reason = 9 "reason",
    }
}

/// The one fault for which a line is refused: the first in the order of `specs/accrual-file.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineFault {
    /// What is wrong.
    pub code: LineFaultCode,
    /// Where.
    pub field: Field,
}

impl LineFault {
    pub(super) const fn new(code: LineFaultCode, field: Field) -> Self {
        Self { code, field }
    }

    pub(super) const fn of_line(code: LineFaultCode) -> Self {
        Self { code, field: Field::Line }
    }
}

/// Why a chunk is refused whole, before any of its lines is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ChunkFault {
    /// No line at all.
    #[error("the chunk has no lines")]
    Empty,
    /// More than [`CHUNK_BYTES_MAX`](super::CHUNK_BYTES_MAX) bytes.
    #[error("the chunk has more bytes than a chunk may have")]
    TooLarge,
    /// More than [`LINES_PER_CHUNK_MAX`](super::LINES_PER_CHUNK_MAX) lines.
    #[error("the chunk has more lines than a chunk may have")]
    TooManyLines,
    /// A CSV chunk that begins with data: its first line begins with a digit.
    #[error("the chunk begins with data instead of the header line that every CSV chunk needs")]
    MissingHeader,
    /// A CSV header that is none of those of the batch's kind.
    #[error("the header line is none that this kind of batch takes")]
    UnknownHeader,
}

impl ChunkFault {
    /// Every one.
    pub const ALL: &'static [Self] =
        &[Self::Empty, Self::TooLarge, Self::TooManyLines, Self::MissingHeader, Self::UnknownHeader];

    /// The stable name, in snake case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "chunk_empty",
            Self::TooLarge => "chunk_too_large",
            Self::TooManyLines => "chunk_too_many_lines",
            Self::MissingHeader => "chunk_header_missing",
            Self::UnknownHeader => "chunk_header_unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = include_str!("../../specs/accrual-file.md");

    #[test]
    fn numbers_and_names_lead_back_to_their_fault() {
        for number in 0..=u8::MAX {
            if let Some(code) = LineFaultCode::from_u8(number) {
                assert_eq!(code as u8, number);
            }
            if let Some(field) = Field::from_u8(number) {
                assert_eq!(field as u8, number);
            }
        }
        assert_eq!(LineFaultCode::ALL.len(), 18);
        assert_eq!(LineFaultCode::from_u8(0), None);
        assert_eq!(Field::from_u8(0), Some(Field::None));
    }

    #[test]
    fn the_format_description_explains_every_code_and_every_field() {
        for code in LineFaultCode::ALL {
            let row = format!("| {} | `{}` |", *code as u8, code.code());
            assert!(FORMAT.contains(&row), "{row}");
        }
        for field in Field::ALL.iter().filter(|field| **field != Field::None) {
            assert!(FORMAT.contains(&format!("`{}`", field.name())), "{}", field.name());
        }
        for fault in ChunkFault::ALL {
            assert!(FORMAT.contains(&format!("| `{}` |", fault.code())), "{}", fault.code());
        }
    }
}
