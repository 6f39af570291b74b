//! Rehearsals: a batch decided like any other, and never committed.
//!
//! Each has a desk of its own over the same store, so the verdicts are those that the real batch would get now. It lives in
//! this process's memory: it is gone after a restart, or an hour after it was last used. When it is closed or cancelled its desk
//! is put away and its place is free; what became of it is known for the rest of the hour. Who finds all places taken gets
//! that of the one that has been idle longest, if for a minute.
//!
//! A person who has no wallet yet is remembered among the latest [`WALLETS_MAX`] people of the file only: if the same new
//! person is paid the same benefit twice further apart than that, the rehearsal does not see it. (The real batch does.)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::domain::BatchId;
use crate::domain::time::Stamp;
use crate::keys::BookKeys;
use crate::ledger::batch::{Batch, BatchState};
use crate::ledger::record::Actor;
use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::store::Store;

use super::clock::Clock;
use super::command::{Command, CommandError, Outcome};
use super::desk::{Desk, Request, write_out};

/// Rehearsals that may be under way in one process.
pub const REHEARSALS_MAX: usize = 2;

/// Heads of wallets that a rehearsal remembers.
pub const WALLETS_MAX: usize = 1_000_000;

/// How long an unused rehearsal is kept.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// How long a rehearsal may be idle while others wait for its place.
pub const IDLE_MAX: Duration = Duration::from_mins(1);

/// Rehearsals that have ended and are remembered.
pub const ENDED_MAX: usize = 256;

struct Rehearsal {
    stage: Stage,
    used: Instant,
}

enum Stage {
    Open(Box<Desk>),
    /// Closed or cancelled: this is what became of it.
    Ended(Box<Batch>),
}

/// The rehearsals of a process.
pub struct Rehearsals {
    store: Arc<dyn Store>,
    keys: Arc<BookKeys>,
    clock: Clock,
    open: Mutex<HashMap<BatchId, Arc<Mutex<Rehearsal>>>>,
}

impl Rehearsals {
    /// None yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keys: Arc<BookKeys>) -> Self {
        Self { store, keys, clock: Clock::system(), open: Mutex::new(HashMap::new()) }
    }

    /// Begins a rehearsal with the command that opens its batch. [`CommandError::Busy`]: as many are under way as may be.
    pub async fn begin(&self, id: BatchId, command: Command, actor: Actor) -> Result<Outcome, CommandError> {
        let mut open = self.open.lock().await;
        if !open.contains_key(&id) {
            if !make_room(&mut open) {
                return Err(CommandError::Busy);
            }
            let desk = Desk::open(Arc::clone(&self.store), Arc::clone(&self.keys), WALLETS_MAX).await;
            let desk = desk.map_err(|error| unavailable(&error))?;
            let stage = Stage::Open(Box::new(desk));
            open.insert(id, Arc::new(Mutex::new(Rehearsal { stage, used: Instant::now() })));
        }
        drop(open);
        let outcome = self.run(id, command, actor).await;
        if !matches!(outcome, Some(Ok(_))) && self.batch(id).await.is_none() {
            self.end(id).await;
        }
        outcome.unwrap_or_else(|| Err(CommandError::Unavailable("the rehearsal has ended".into())))
    }

    /// Runs a command in a rehearsal; `None` if there is no such rehearsal.
    pub async fn run(
        &self,
        id: BatchId,
        command: Command,
        actor: Actor,
    ) -> Option<Result<Outcome, CommandError>> {
        let rehearsal = self.open.lock().await.get(&id).cloned()?;
        let mut rehearsal = rehearsal.lock().await;
        rehearsal.used = Instant::now();
        let failed = |error: &dyn std::fmt::Display| Some(Err(unavailable(error)));
        let Stage::Open(desk) = &mut rehearsal.stage else {
            return Some(Err(CommandError::Refused(Refusal::of(RefusalCode::BatchClosed, "batch"))));
        };
        let requests = [Request { command, actor, signed: None }];
        if let Err(error) = desk.read(&requests, true).await {
            return failed(&error);
        }
        let at = match self.clock.stamp(desk.head().at) {
            Ok(at) => at,
            Err(error) => return failed(&error),
        };
        let Some(stamp) = Stamp::of(at) else {
            return failed(&"the clock is outside the years 1970 to 9999");
        };
        match tokio::task::block_in_place(|| desk.decide(&requests, stamp)) {
            Ok(mut prepared) => {
                if let Some(commit) = &prepared.commit {
                    write_out(&mut prepared.answers, commit);
                    desk.remember(&commit.effects);
                }
                let batch = desk.books().batches.get(&id);
                let ended =
                    |batch: &&Batch| matches!(batch.state, BatchState::Completed | BatchState::Cancelled);
                if let Some(batch) = batch.filter(ended).cloned() {
                    rehearsal.stage = Stage::Ended(Box::new(batch));
                }
                let mut answer = prepared.answers.pop();
                // No log will ever have the leaf.
                match &mut answer {
                    Some(Ok(Outcome::Entry(entry))) => entry.leaf_hash = None,
                    Some(Ok(Outcome::Chunk(chunk))) => chunk.leaf_hash = None,
                    Some(Ok(Outcome::Answers(_)) | Err(_)) | None => {}
                }
                answer
            }
            Err((error, _)) => failed(&error),
        }
    }

    /// The batch as the rehearsal sees it.
    pub async fn batch(&self, id: BatchId) -> Option<Batch> {
        let rehearsal = self.open.lock().await.get(&id).cloned()?;
        let rehearsal = rehearsal.lock().await;
        match &rehearsal.stage {
            Stage::Open(desk) => desk.books().batches.get(&id).cloned(),
            Stage::Ended(batch) => Some((**batch).clone()),
        }
    }

    /// Ends a rehearsal.
    pub async fn end(&self, id: BatchId) {
        self.open.lock().await.remove(&id);
    }
}

/// What a client is told of an error whose text is the operator's.
fn unavailable(error: &dyn std::fmt::Display) -> CommandError {
    tracing::error!(%error, "a rehearsal failed");
    CommandError::Unavailable("the database does not answer".into())
}

/// Forgets what is stale, and makes a place free. False: all are in use.
fn make_room(open: &mut HashMap<BatchId, Arc<Mutex<Rehearsal>>>) -> bool {
    let mut idle: Vec<(Duration, BatchId, bool)> = Vec::new();
    let mut in_use = 0;
    for (id, rehearsal) in open.iter() {
        // One that cannot be looked at is in use.
        match rehearsal.try_lock() {
            Ok(rehearsal) => {
                idle.push((rehearsal.used.elapsed(), *id, matches!(rehearsal.stage, Stage::Open(_))));
            }
            Err(_) => in_use += 1,
        }
    }
    idle.sort_unstable();
    let (forgotten, places) = stale(&idle, in_use);
    for id in forgotten {
        open.remove(&id);
    }
    places < REHEARSALS_MAX
}

/// Which rehearsals are to be forgotten, and how many places are taken then. Given are those that nobody is using, the one used
/// last first: how long they have been idle, and whether they are under way; and how many are in use.
fn stale(idle: &[(Duration, BatchId, bool)], in_use: usize) -> (Vec<BatchId>, usize) {
    let (mut forgotten, mut places, mut ended) = (Vec::new(), in_use, 0);
    for &(unused, id, is_open) in idle {
        let kept = if is_open {
            unused <= LIFETIME && (places + 1 < REHEARSALS_MAX || unused < IDLE_MAX)
        } else {
            ended += 1;
            unused <= LIFETIME && ended < ENDED_MAX
        };
        if kept {
            places += usize::from(is_open);
        } else {
            forgotten.push(id);
        }
    }
    (forgotten, places)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// How many are forgotten of those that have been idle for so long, and how many places are taken then.
    fn room(idle: &[(Duration, bool)], in_use: usize) -> (usize, usize) {
        let idle: Vec<_> = (0u128..)
            .zip(idle)
            .map(|(number, (unused, is_open))| {
                (*unused, BatchId::from_uuid(uuid::Uuid::from_u128(number)), *is_open)
            })
            .collect();
        let (forgotten, places) = stale(&idle, in_use);
        assert!(
            idle.iter().rev().take(forgotten.len()).rev().map(|row| row.1).eq(forgotten.clone()),
            "the longest idle"
        );
        (forgotten.len(), places)
    }

    #[test]
    fn the_last_place_is_that_of_one_that_has_been_idle_for_a_minute() {
        for (unused, forgotten) in
            [(IDLE_MAX.checked_sub(MOMENT).unwrap(), 0), (IDLE_MAX, 1), (IDLE_MAX + MOMENT, 1)]
        {
            assert_eq!(room(&[(unused, true), (unused, true)], 0), (forgotten, 2 - forgotten), "{unused:?}");
            assert_eq!(room(&[(unused, true)], 1), (forgotten, 2 - forgotten), "{unused:?}");
            assert_eq!(room(&[(unused, true)], 0), (0, 1), "nobody needs its place");
        }
        assert_eq!(room(&[], REHEARSALS_MAX), (0, REHEARSALS_MAX), "all are in use");
    }

    #[test]
    fn an_unused_rehearsal_is_kept_for_an_hour_and_what_became_of_so_many() {
        for is_open in [true, false] {
            for (unused, forgotten) in
                [(LIFETIME.checked_sub(MOMENT).unwrap(), 0), (LIFETIME, 0), (LIFETIME + MOMENT, 1)]
            {
                assert_eq!(room(&[(unused, is_open)], 0).0, forgotten, "{unused:?}");
            }
        }
        for (ended, forgotten) in [(ENDED_MAX - 2, 0), (ENDED_MAX - 1, 0), (ENDED_MAX, 1)] {
            assert_eq!(room(&vec![(MOMENT, false); ended], 0), (forgotten, 0), "one more will end");
        }
    }
}
