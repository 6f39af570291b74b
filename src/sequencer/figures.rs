//! What the writer tells of itself, for whoever watches it.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Figures of one writer. Clones share them.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Commands that a commit carried.
    pub commit_commands: Histogram,
    /// Entries that a commit wrote.
    pub commit_entries: Histogram,
    /// Seconds that the store took over a commit that it says is durable.
    pub commit_seconds: Histogram,
    /// Commits that did not go through, or whose outcome had to be found out.
    pub commits_failed: Counter,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            commit_commands: Histogram::new(exponential_buckets(1.0, 4.0, 7)),
            commit_entries: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 14)),
            commits_failed: Counter::default(),
        }
    }
}

impl Figures {
    /// Times a commit, if it succeeds: what a failure takes is a time-out's length.
    pub(super) async fn timed<E>(&self, commit: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let begun = Instant::now();
        commit.await.inspect(|()| self.commit_seconds.observe(begun.elapsed().as_secs_f64()))
    }

    /// A commit is in.
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    pub(super) fn committed(&self, commands: usize, entries: usize) {
        self.commit_commands.observe(commands as f64);
        self.commit_entries.observe(entries as f64);
    }
}
