//! Ends cash-outs, arrests and freezes whose time is over. Every replica looks; the rules let each end once, and of cash-outs only
//! those that no agent has reserved.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::ClientId;
use crate::ledger::cash_rules::SYSTEM;
use crate::ledger::record::Actor;
use crate::store::{Store, StoreError};

use super::Sequencer;
use super::command::{Command, CommandError, OrderCommand, PaymentCommand};

/// How often is looked.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// Cash-outs or orders that one command ends: few enough that a payday's chunks get their turn between.
pub const PORTION: u32 = 100;

/// A portion that took no longer met nobody else in the queue: the next may follow at once.
const QUICK: Duration = Duration::from_millis(25);

/// After a portion that others waited with, nothing is asked of the writer for so many times as long as it took: they have all but
/// a twentieth of the time to themselves. A code is dead when its time is over, whenever its money is let go.
const GIVEN_WAY: u32 = 19;

/// How long nothing is asked at the most.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// For how long after its end one is looked for again, milliseconds: far longer than clocks differ.
const LOOK_BACK: i64 = 60 * 60_000;

/// Why a look found out nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExpiryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer did not take the command.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// What time ends.
#[derive(Clone, Copy)]
enum Over {
    Cash,
    Orders,
}

/// How long the writer is left to others after a portion that took so long.
fn pause_after(took: Duration) -> Duration {
    if took <= QUICK { Duration::ZERO } else { (took * GIVEN_WAY).min(PAUSE_MAX) }
}

/// Looks again and again.
pub struct Expiry {
    store: Arc<dyn Store>,
    sequencer: Sequencer,
    now: fn() -> i64,
    /// The cash-outs that expired before this have ended.
    cash: (i64, u64),
    /// The orders that expired before this have ended.
    orders: (i64, u64),
}

impl Expiry {
    /// On a store, through a writer, by a clock (UTC milliseconds).
    #[must_use]
    pub fn new(store: Arc<dyn Store>, sequencer: Sequencer, now: fn() -> i64) -> Self {
        Self { store, sequencer, now, cash: (0, 0), orders: (0, 0) }
    }

    /// Ends all whose time is over. Answers how many it found.
    pub async fn look(&mut self) -> Result<usize, ExpiryError> {
        let now = (self.now)();
        let cash = self.end(now, Over::Cash).await?;
        Ok(cash + self.end(now, Over::Orders).await?)
    }

    async fn end(&mut self, now: i64, over: Over) -> Result<usize, ExpiryError> {
        let before = match over {
            Over::Cash => self.cash,
            Over::Orders => self.orders,
        };
        let (mut found, mut from) = (0, before);
        loop {
            let some = match over {
                Over::Cash => self.store.expired_cash(now, from, PORTION).await?,
                Over::Orders => self.store.expired_orders(now, from, PORTION).await?,
            };
            let Some(last) = some.last().copied() else {
                // What the rules did not let end this time, because clocks differ, is found again for a while.
                let ended = from.min((now - LOOK_BACK, 0)).max(before);
                match over {
                    Over::Cash => self.cash = ended,
                    Over::Orders => self.orders = ended,
                }
                return Ok(found);
            };
            found += some.len();
            let entries = some.into_iter().map(|(_, entry)| entry).collect();
            let command = match over {
                Over::Cash => Command::Payment(PaymentCommand::ExpireCash(entries)),
                Over::Orders => Command::Order(OrderCommand::Expire(entries)),
            };
            let client = ClientId::parse(SYSTEM).expect("a client id of the documented form");
            let actor = Actor { client, request: [0; 32], line: None, instruction: None };
            let asked = Instant::now();
            self.sequencer.submit(command, actor).await?;
            from = last;
            let pause = pause_after(asked.elapsed());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Looks until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "what is over waits for its end");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_with_others_gives_way_to_them() {
        let millis = Duration::from_millis;
        assert_eq!(pause_after(QUICK), Duration::ZERO);
        assert_eq!(pause_after(millis(26)), millis(26 * 19));
        assert_eq!(pause_after(Duration::from_mins(1)), PAUSE_MAX);
    }
}
