//! Orders against a wallet: who issues them, and what kinds there are.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::inline::Inline;
use super::serde_text::{deserialized_by, serialized_by_display, shown_by_as_str};
use super::text::Text;

/// Why a text is not one of the values of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Not one of the kinds of issuers.
    #[error(
        "the kind of issuer is none of bailiff, tax_authority, bank, creditor, paying_body, investigator"
    )]
    Issuer,
    /// Not one of the kinds of orders.
    #[error("the kind of order is not one that there is")]
    Kind,
    /// Not a date of the calendar as `YYYY-MM-DD`.
    #[error("the date is not a day of the calendar as YYYY-MM-DD")]
    Date,
}

/// What a client that issues orders is in law. It is registered, never claimed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Issuer {
    /// A state or private bailiff.
    Bailiff,
    /// A tax authority.
    TaxAuthority,
    /// A bank, for its own claims.
    Bank,
    /// A microfinance organisation, a collector, or another creditor.
    Creditor,
    /// A body that pays benefits.
    PayingBody,
    /// A criminal or financial-monitoring authority.
    Investigator,
}

impl Issuer {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Bailiff, Self::TaxAuthority, Self::Bank, Self::Creditor, Self::PayingBody, Self::Investigator];

    /// The name in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bailiff => "bailiff",
            Self::TaxAuthority => "tax_authority",
            Self::Bank => "bank",
            Self::Creditor => "creditor",
            Self::PayingBody => "paying_body",
            Self::Investigator => "investigator",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Result<Self, OrderError> {
        Self::ALL.into_iter().find(|issuer| issuer.as_str() == text).ok_or(OrderError::Issuer)
    }
}

shown_by_as_str!(Issuer, "Issuer");
serialized_by_display!(Issuer);
deserialized_by!(Issuer, Issuer::parse);

/// What an order asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderKind {
    /// Money is to be held for a claim (постановление об аресте).
    Arrest,
    /// Money is to be collected (инкассовое распоряжение).
    Collection,
    /// Money is demanded by a creditor (платёжное требование).
    PaymentDemand,
    /// Debit operations are to be suspended.
    Suspension,
    /// A bank sets off what the holder owes it.
    SetOff,
    /// A bank charges its fee.
    Fee,
    /// A paying body recovers what it has paid too much.
    OverpaymentRecovery,
    /// Alimony is to be collected.
    Alimony,
    /// A criminal or financial-monitoring authority freezes the wallet.
    Freeze,
    /// The issuer lifts an earlier order of its own.
    Lift,
}

/// What an order does to money, by its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It takes money.
    Takes,
    /// It holds money.
    Holds,
    /// It takes back the unspent rest of one accrual.
    Recovers,
    /// It ends an earlier order.
    Lifts,
}

impl OrderKind {
    /// All.
    pub const ALL: [Self; 10] = [
        Self::Arrest,
        Self::Collection,
        Self::PaymentDemand,
        Self::Suspension,
        Self::SetOff,
        Self::Fee,
        Self::OverpaymentRecovery,
        Self::Alimony,
        Self::Freeze,
        Self::Lift,
    ];

    /// The name in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrest => "arrest",
            Self::Collection => "collection",
            Self::PaymentDemand => "payment_demand",
            Self::Suspension => "suspension",
            Self::SetOff => "set_off",
            Self::Fee => "fee",
            Self::OverpaymentRecovery => "overpayment_recovery",
            Self::Alimony => "alimony",
            Self::Freeze => "freeze",
            Self::Lift => "lift",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Result<Self, OrderError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(OrderError::Kind)
    }

    /// What it does to money.
    #[must_use]
    pub const fn reach(self) -> Reach {
        match self {
            Self::Collection | Self::PaymentDemand | Self::SetOff | Self::Fee | Self::Alimony => Reach::Takes,
            Self::Arrest | Self::Suspension | Self::Freeze => Reach::Holds,
            Self::OverpaymentRecovery => Reach::Recovers,
            Self::Lift => Reach::Lifts,
        }
    }
}

shown_by_as_str!(OrderKind, "OrderKind");
serialized_by_display!(OrderKind);
deserialized_by!(OrderKind, OrderKind::parse);

/// A day of the calendar as `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(Inline<10>);

impl Day {
    /// Reads a day of the Gregorian calendar.
    pub fn parse(text: &str) -> Result<Self, OrderError> {
        super::time::start_of_business_day(text).ok_or(OrderError::Date)?;
        Inline::new(text.as_bytes()).map(Self).ok_or(OrderError::Date)
    }

    /// Ten ASCII characters; in their order days are in theirs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

shown_by_as_str!(Day, "Day");
serialized_by_display!(Day);
deserialized_by!(Day, Day::parse);

/// The number of a document, as its issuer writes it.
pub type DocumentNumber = Text<64>;

/// What is said of the enforcement document that an order rests on.
pub type EnforcementDocument = Text<300>;

/// What an order is for, in its issuer's words.
pub type OrderPurpose = Text<500>;

/// A kind of tax debt, as the tax authority names it: 1 to 32 characters.
pub type DebtType = Text<32>;

/// An order by its document: with its issuer, what it is known by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderDocument {
    /// Its number.
    pub number: DocumentNumber,
    /// Its date.
    pub date: Day,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_no_other() {
        for kind in OrderKind::ALL {
            assert_eq!(OrderKind::parse(kind.as_str()), Ok(kind));
        }
        for issuer in Issuer::ALL {
            assert_eq!(Issuer::parse(issuer.as_str()), Ok(issuer));
        }
        assert_eq!(OrderKind::parse("Arrest"), Err(OrderError::Kind));
        assert_eq!(Issuer::parse("court"), Err(OrderError::Issuer));
    }

    #[test]
    fn a_day_is_one_of_the_calendar_and_days_are_in_their_order() {
        let day = |text| Day::parse(text);
        for bad in
            ["", "2026-02-29", "2026-2-01", "20260201", "2026-13-01", "2026-02-01T00:00:00Z", " 2026-02-01"]
        {
            assert!(day(bad).is_err(), "{bad}");
        }
        assert!(day("2026-01-31").unwrap() < day("2026-02-01").unwrap());
        assert!(day("2028-02-29").is_ok());
    }
}
