//! What to do about a refused line, by its code.

use crate::ledger::refusal::RefusalCode;
use crate::payroll::LineFaultCode as Fault;

/// One sentence for whoever made the file; empty for a code that a newer service may know.
#[must_use]
pub fn on(code: &str) -> &'static str {
    if let Some(fault) = Fault::ALL.iter().find(|fault| fault.code() == code) {
        return fault.advice();
    }
    RefusalCode::ALL.into_iter().find(|refusal| refusal.name() == code).map_or("", RefusalCode::advice)
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
