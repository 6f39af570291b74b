//! Ends freezes, arrests and cash-outs whose time is over, in this order, and orders between any two portions of cash-outs: nobody's
//! wallet stays frozen because many codes were not used. Every replica looks; the rules let each end once, and of cash-outs only
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
    Freezes,
    Arrests,
    Cash,
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
    /// Those that expired before these have ended: freezes, other orders, cash-outs.
    ended: [(i64, u64); 3],
}

impl Expiry {
    /// On a store, through a writer, by a clock (UTC milliseconds).
    #[must_use]
    pub fn new(store: Arc<dyn Store>, sequencer: Sequencer, now: fn() -> i64) -> Self {
        Self { store, sequencer, now, ended: [(0, 0); 3] }
    }

    /// Ends all whose time is over. Answers how many it found.
    pub async fn look(&mut self) -> Result<usize, ExpiryError> {
        let mut found = self.end_orders().await?;
        let (now, before) = ((self.now)(), self.ended[Over::Cash as usize]);
        let mut from = before;
        while let Some((some, last)) = self.portion(now, from, Over::Cash).await? {
            (found, from) = (found + some + self.end_orders().await?, last);
        }
        self.note(now, before, from, Over::Cash);
        Ok(found)
    }

    async fn end_orders(&mut self) -> Result<usize, ExpiryError> {
        let mut found = 0;
        for over in [Over::Freezes, Over::Arrests] {
            let (now, before) = ((self.now)(), self.ended[over as usize]);
            let mut from = before;
            while let Some((some, last)) = self.portion(now, from, over).await? {
                (found, from) = (found + some, last);
            }
            self.note(now, before, from, over);
        }
        Ok(found)
    }

    /// What the rules did not let end this time, because clocks differ, is found again for a while.
    fn note(&mut self, now: i64, before: (i64, u64), from: (i64, u64), over: Over) {
        self.ended[over as usize] = from.min((now - LOOK_BACK, 0)).max(before);
    }

    /// Ends a portion of those that expire after some. Answers how many it found, and the last; `None`: there are no more.
    async fn portion(
        &self,
        now: i64,
        from: (i64, u64),
        over: Over,
    ) -> Result<Option<(usize, (i64, u64))>, ExpiryError> {
        let some = match over {
            Over::Freezes => self.store.expired_orders(true, now, from, PORTION).await?,
            Over::Arrests => self.store.expired_orders(false, now, from, PORTION).await?,
            Over::Cash => self.store.expired_cash(now, from, PORTION).await?,
        };
        let Some(last) = some.last().copied() else { return Ok(None) };
        let found = some.len();
        let entries = some.into_iter().map(|(_, entry)| entry).collect();
        let command = match over {
            Over::Freezes | Over::Arrests => Command::Order(OrderCommand::Expire(entries)),
            Over::Cash => Command::Payment(PaymentCommand::ExpireCash(entries)),
        };
        let client = ClientId::parse(SYSTEM).expect("a client id of the documented form");
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        let asked = Instant::now();
        self.sequencer.submit(command, actor).await?;
        let pause = pause_after(asked.elapsed());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(Some((found, last)))
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
