//! From the raw fields of a line, whatever encoding they came in, to a line or its first fault.

use serde::{Deserialize, Serialize};

use super::fault::{Field, LineFault, LineFaultCode};
use crate::domain::{
    Amount, AmountError, Currency, Iin, NumberError, Part, PartError, Period, ProgrammeCode, Reason,
    has_card_number, has_person_number,
};

/// What a batch consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Benefits to be credited.
    Accrual,
    /// Earlier accruals to be taken back, as far as unspent.
    Reversal,
    /// Wallets to be opened ahead of their first accrual.
    WalletOpening,
}

impl LineKind {
    /// The name in the API and the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accrual => "accrual",
            Self::Reversal => "reversal",
            Self::WalletOpening => "wallet_opening",
        }
    }

    /// The inverse of [`LineKind::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Accrual, Self::Reversal, Self::WalletOpening].into_iter().find(|kind| kind.name() == name)
    }
}

/// A benefit for a person. The first four fields are the benefit key, which is paid once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccrualLine {
    /// The person.
    pub iin: Iin,
    /// The benefit programme.
    pub programme: ProgrammeCode,
    /// The month that it is for, or once.
    pub period: Period,
    /// Which of several entitlements.
    pub part: Part,
    /// In tenge.
    pub amount: Amount,
}

/// An accrual to be taken back, named by its benefit key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReversalLine {
    /// The person.
    pub iin: Iin,
    /// The benefit programme.
    pub programme: ProgrammeCode,
    /// The month that it was for, or once.
    pub period: Period,
    /// Which of several entitlements.
    pub part: Part,
    /// Why.
    pub reason: Reason,
}

/// A person whose wallet is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpeningLine {
    /// The person.
    pub iin: Iin,
}

/// A line of a payroll, well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A benefit.
    Accrual(AccrualLine),
    /// A benefit taken back.
    Reversal(ReversalLine),
    /// A wallet.
    Opening(OpeningLine),
}

/// A line and what it adds to the received total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedLine {
    /// The line, or the first of its faults.
    pub line: Result<Line, LineFault>,
    /// The amount whenever that field is readable, also when another field is not: it counts to the total that was
    /// received. `None` for a fault of the whole line, where no field can be told.
    pub amount: Option<Amount>,
}

impl ParsedLine {
    pub(super) const fn refused(code: LineFaultCode) -> Self {
        Self { line: Err(LineFault::of_line(code)), amount: None }
    }
}

/// The fields of an accrual; `None` where absent.
pub(super) struct AccrualFields<'a> {
    /// What names the payee in a Mifos bulk line; `IIN` elsewhere.
    pub(super) payee_type: Option<&'a [u8]>,
    pub(super) key: KeyFields<'a>,
    pub(super) amount: Option<&'a [u8]>,
    pub(super) currency: Option<&'a [u8]>,
}

/// The fields that name an accrual; `None` where absent.
pub(super) struct KeyFields<'a> {
    pub(super) iin: Option<&'a [u8]>,
    pub(super) programme: Option<&'a [u8]>,
    pub(super) period: Option<&'a [u8]>,
    pub(super) part: Option<Result<Part, PartError>>,
}

pub(super) const PAYEE_TYPE_IIN: &[u8] = b"IIN";

impl AccrualFields<'_> {
    pub(super) fn judge(self) -> ParsedLine {
        let amount = self.amount();
        let line = self.line(amount).map(Line::Accrual);
        ParsedLine { line, amount: amount.ok() }
    }

    /// Faults in the documented order: payee type, key, amount, currency.
    fn line(&self, amount: Result<Amount, LineFault>) -> Result<AccrualLine, LineFault> {
        // The type comes first: what follows it is no IIN, and to call it a malformed one would mislead.
        if required(self.payee_type, Field::PayeeIdentifierType)? != PAYEE_TYPE_IIN {
            return Err(LineFault::new(LineFaultCode::PayeeTypeUnsupported, Field::PayeeIdentifierType));
        }
        let (iin, programme, period, part) = self.key.judge()?;
        let amount = amount?;
        if self.currency.is_some_and(|text| Currency::parse(text).is_err()) {
            return Err(LineFault::new(LineFaultCode::CurrencyUnsupported, Field::Currency));
        }
        Ok(AccrualLine { iin, programme, period, part, amount })
    }

    fn amount(&self) -> Result<Amount, LineFault> {
        Amount::parse(required(self.amount, Field::Amount)?).map_err(|error| {
            let code = match error {
                AmountError::Malformed => LineFaultCode::AmountMalformed,
                AmountError::Negative => LineFaultCode::AmountNegative,
                AmountError::Scale => LineFaultCode::AmountScale,
                AmountError::Zero => LineFaultCode::AmountZero,
                AmountError::TooLarge => LineFaultCode::AmountTooLarge,
            };
            LineFault::new(code, Field::Amount)
        })
    }
}

impl KeyFields<'_> {
    /// Faults in the documented order: IIN, programme, period, part.
    fn judge(&self) -> Result<(Iin, ProgrammeCode, Period, Part), LineFault> {
        let iin = judge_iin(self.iin)?;
        let programme = ProgrammeCode::parse(required(self.programme, Field::Programme)?)
            .map_err(|_| LineFault::new(LineFaultCode::ProgrammeMalformed, Field::Programme))?;
        let period = Period::parse(required(self.period, Field::Period)?)
            .map_err(|_| LineFault::new(LineFaultCode::PeriodMalformed, Field::Period))?;
        let part = self
            .part
            .unwrap_or(Ok(Part::FIRST))
            .map_err(|_| LineFault::new(LineFaultCode::PartOutOfRange, Field::Part))?;
        Ok((iin, programme, period, part))
    }
}

/// Faults in the documented order: key, reason.
pub(super) fn judge_reversal(key: &KeyFields<'_>, reason: Option<&[u8]>) -> ParsedLine {
    let line = || {
        let (iin, programme, period, part) = key.judge()?;
        let reason = std::str::from_utf8(required(reason, Field::Reason)?)
            .ok()
            .and_then(|text| Reason::parse(text).ok())
            .ok_or(LineFault::new(LineFaultCode::ReasonMalformed, Field::Reason))?;
        if has_person_number(reason.as_str()) || has_card_number(reason.as_str()) {
            return Err(LineFault::new(LineFaultCode::ReasonHasNumber, Field::Reason));
        }
        Ok(Line::Reversal(ReversalLine { iin, programme, period, part, reason }))
    };
    ParsedLine { line: line(), amount: None }
}

pub(super) fn judge_opening(iin: Option<&[u8]>) -> ParsedLine {
    ParsedLine { line: judge_iin(iin).map(|iin| Line::Opening(OpeningLine { iin })), amount: None }
}

fn judge_iin(iin: Option<&[u8]>) -> Result<Iin, LineFault> {
    Iin::parse(required(iin, Field::Iin)?).map_err(|error| {
        let code = match error {
            NumberError::Malformed => LineFaultCode::IinMalformed,
            NumberError::CheckDigit => LineFaultCode::IinCheckDigit,
        };
        LineFault::new(code, Field::Iin)
    })
}

fn required(text: Option<&[u8]>, field: Field) -> Result<&[u8], LineFault> {
    text.ok_or(LineFault::new(LineFaultCode::FieldMissing, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_batches_keep_their_names() {
        for (kind, json) in [
            (LineKind::Accrual, "\"accrual\""),
            (LineKind::Reversal, "\"reversal\""),
            (LineKind::WalletOpening, "\"wallet_opening\""),
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            assert_eq!(serde_json::from_str::<LineKind>(json).unwrap(), kind);
        }
    }

    #[test]
    fn a_line_never_shows_the_persons_number_in_debug_output() {
        let line = judge_opening(Some(b"830717350867"));
        assert!(line.line.is_ok());
        assert!(!format!("{line:?}").contains("8307"));
    }
}
