//! What became of the orders of a log, and of which class the money was that they took: every lot that a decision names is looked up.

use std::collections::BTreeMap;

use crate::domain::{Day, FundClass, Money, Reach};
use crate::ledger::books::{Books, Fault};
use crate::ledger::effects::Effects;
use crate::ledger::order::{OrderRecord, Outcome};

/// The orders of some business days, summed up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderTotals {
    /// How many, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// What was taken for authorities of general money, tiyn.
    pub of_general: i128,
    /// What was taken for authorities of protected money: nothing, or the log does not replay.
    pub of_protected: i128,
}

impl OrderTotals {
    /// Counts the orders that an entry decided, which was replayed just now.
    pub(super) fn count(&mut self, books: &Books, made: &Effects) -> Result<(), Fault> {
        for order in &made.orders {
            let decision = match &order.record {
                OrderRecord::Decided(decision) => decision,
                OrderRecord::Malformed { .. } => {
                    *self.outcomes.entry(Outcome::Malformed).or_default() += 1;
                    continue;
                }
                _ => continue,
            };
            *self.outcomes.entry(decision.outcome).or_default() += 1;
            if decision.said.order_kind.reach() != Reach::Takes || decision.taken == Money::ZERO {
                continue;
            }
            let lots = books.lots_of(order.account)?;
            for share in &decision.shares {
                let lot = lots.iter().find(|lot| lot.seq == share.lot).ok_or(Fault::Unread("a lot"))?;
                let sum = match lot.class {
                    FundClass::General => &mut self.of_general,
                    FundClass::Protected => &mut self.of_protected,
                };
                *sum += i128::from(share.amount.tiyn());
            }
        }
        Ok(())
    }
}

/// Whether a day is one of those asked for; all are, if none is named.
pub(super) fn is_asked(days: Option<(Day, Day)>, day: &str) -> bool {
    let Some((from, to)) = days else { return true };
    Day::parse(day).is_ok_and(|day| (from..=to).contains(&day))
}
