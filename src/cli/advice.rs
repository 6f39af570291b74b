//! What to do about a refused line, by its code.

use crate::ledger::refusal::RefusalCode;
use crate::payroll::LineFaultCode as Fault;

/// One sentence for whoever made the file; empty for a code that a newer service may know.
#[must_use]
pub fn on(code: &str) -> &'static str {
    if let Some(fault) = Fault::ALL.iter().find(|fault| fault.code() == code) {
        return on_fault(*fault);
    }
    RefusalCode::ALL.into_iter().find(|refusal| refusal.name() == code).map_or("", RefusalCode::advice)
}

fn on_fault(fault: Fault) -> &'static str {
    match fault {
        Fault::MalformedLine => "Write the line with all its columns, and quotes only around whole fields.",
        Fault::LineNotUtf8 => "Save the file as UTF-8.",
        Fault::LineTooLong => "Look for a missing line break: the line is longer than any line can be.",
        Fault::FieldMissing => "Fill in the field.",
        Fault::IinMalformed => "Write the IIN with its 12 digits; spreadsheets drop zeros at the front.",
        Fault::IinCheckDigit => "Look for a mistyped digit in the IIN.",
        Fault::ProgrammeMalformed => "Write the programme's code as it was registered, in capitals.",
        Fault::PeriodMalformed => "Write the period as YYYY-MM, or once.",
        Fault::PartOutOfRange => "Write the part as a whole number from 1 to 999.",
        Fault::AmountMalformed => "Write the amount as digits with a point, without spaces: 12345.67.",
        Fault::AmountScale => "Round the amount to two decimals by the programme's rule.",
        Fault::AmountZero => "Leave out lines that pay nothing.",
        Fault::AmountNegative => "Take money back by a batch of reversals.",
        Fault::AmountTooLarge => "Look for a missing point in the amount.",
        Fault::CurrencyUnsupported => "Write KZT, or leave the currency out.",
        Fault::PayeeTypeUnsupported => "Name the payee by IIN.",
        Fault::ReasonHasNumber => "Leave the numbers of persons, companies and cards out of the reason.",
        Fault::ReasonMalformed => "Give the reason in up to 300 characters on one line.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_advice_on_every_code_and_none_on_others() {
        for fault in Fault::ALL {
            assert!(on(fault.code()).ends_with('.'), "{}", fault.code());
        }
        for code in RefusalCode::ALL {
            assert!(on(code.name()).ends_with('.'), "{}", code.name());
        }
        assert_eq!(on("from_the_future"), "");
    }
}
