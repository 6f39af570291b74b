//! The ledger's clock: the one place that asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the machine's clock may run from the time that has really passed, or stand behind the last commit, before
/// writes stop: five minutes, far more than time synchronisation ever corrects at once.
pub const DRIFT_MAX: Duration = Duration::from_mins(5);

/// Why the clock is not to be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClockError {
    /// It has jumped against the time that passed since the service started.
    #[error(
        "the machine's clock has jumped by more than five minutes: set it right, then restart the service"
    )]
    Jumped,
    /// It stands before the last commit.
    #[error("the machine's clock stands more than five minutes before the last commit: set it right")]
    Behind,
}

/// A clock that notices when it is set.
pub struct Clock {
    started: Instant,
    started_at: i64,
    now: fn() -> i64,
}

/// What the machine's clock says: UTC milliseconds.
#[allow(clippy::disallowed_methods)] // this is the one place
#[must_use]
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::with(now)
    }

    /// Another source of UTC milliseconds, for tests.
    #[must_use]
    pub fn with(now: fn() -> i64) -> Self {
        Self { started: Instant::now(), started_at: now(), now }
    }

    /// The time of the next commit: never before the last.
    pub fn stamp(&self, last: i64) -> Result<i64, ClockError> {
        let now = (self.now)();
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let drift = i64::try_from(DRIFT_MAX.as_millis()).unwrap_or(i64::MAX);
        if (now - self.started_at - passed).abs() > drift {
            return Err(ClockError::Jumped);
        }
        if now < last - drift {
            return Err(ClockError::Behind);
        }
        Ok(now.max(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    static NOW: AtomicI64 = AtomicI64::new(1_000_000_000);

    #[test]
    fn time_never_goes_back_and_a_jump_stops_writes_at_the_bound() {
        let clock = Clock::with(|| NOW.load(Ordering::Relaxed));
        assert_eq!(clock.stamp(0), Ok(1_000_000_000));
        assert_eq!(
            clock.stamp(1_000_000_500),
            Ok(1_000_000_500),
            "a little behind the last commit: its time again"
        );
        assert_eq!(clock.stamp(1_000_300_000), Ok(1_000_300_000), "at the bound");
        assert_eq!(clock.stamp(1_000_300_001), Err(ClockError::Behind), "beyond the bound");
        NOW.store(1_000_290_000, Ordering::Relaxed);
        assert_eq!(clock.stamp(0), Ok(1_000_290_000));
        NOW.store(1_000_310_000, Ordering::Relaxed);
        assert_eq!(clock.stamp(0), Err(ClockError::Jumped));
        NOW.store(999_690_000, Ordering::Relaxed);
        assert_eq!(clock.stamp(0), Err(ClockError::Jumped));
    }
}
