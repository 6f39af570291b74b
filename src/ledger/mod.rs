//! The ledger: accounts, entries, rules, refusals, lots, batches, replay.
//!
//! Pure: no clock, no randomness, no input or output, no SQL, nothing asynchronous. The same code serves the service, the
//! property tests and the replay. A command is a call of a rule on [`books::Books`]; it either refuses, having changed
//! nothing, or writes records and rows into [`effects::Effects`] and moves the books on. What the books do not hold must
//! be loaded before; the rules never guess.
//!
//! It may use `domain`, and the line types of `payroll`. It must not know of the log's bytes, the store, or HTTP.

pub mod account;
pub mod batch;
pub mod batch_rules;
pub mod books;
pub mod cache;
pub mod cash_rules;
pub mod choice;
pub mod effects;
pub mod levy;
pub mod log_rules;
pub mod order;
pub mod order_rules;
pub mod payment;
pub mod payment_rules;
pub mod person;
pub mod record;
pub mod refusal;
pub mod registry;
pub mod registry_rules;
pub mod replay;
pub mod rules;
pub mod signed;
pub mod state;
pub mod wallet;
mod whole;

#[cfg(test)]
mod choice_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod payment_tests;
#[cfg(test)]
mod tests;
