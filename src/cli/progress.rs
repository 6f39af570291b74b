//! How far a long command is: a bar on a terminal, a line now and then elsewhere. Always on standard error.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::figures;
use crate::client::Wait;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Lines done of lines to do.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    done: u64,
    /// Lines that took work, for the rate: those of an earlier run are passed over at once.
    worked: u64,
    started: Instant,
    /// When the last line was printed, where there is no terminal.
    printed: Instant,
}

impl Progress {
    /// Begins now. `what` is one word for what happens to the lines.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:28} {msg}")
                .expect("the template is a constant without faults")
                .progress_chars("━━─");
            ProgressBar::new(total).with_style(style).with_prefix(what)
        });
        let now = Instant::now();
        Self { what, total, bar, state: Mutex::new(State { done: 0, worked: 0, started: now, printed: now }) }
    }

    /// So many lines more are done. `worked` is whether they were dealt with now.
    pub fn advance(&self, lines: u64, worked: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += lines;
        if worked {
            state.worked += lines;
        }
        let text = describe(state.done, self.total, state.worked, state.started.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_position(state.done);
                bar.set_message(text);
            }
            None => self.print(&mut state, &text),
        }
    }

    /// The service is being waited for.
    pub fn waiting(&self, wait: &Wait) {
        let of = figures::duration(wait.patience);
        let text =
            format!("waiting for the service ({}), {} of {of}", wait.reason, figures::duration(wait.since));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => self.print(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner), &text),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn print(&self, state: &mut State, text: &str) {
        if state.printed.elapsed() >= LINE_EVERY {
            state.printed = Instant::now();
            eprintln!("{}: {text}", self.what);
        }
    }
}

fn describe(done: u64, total: u64, worked: u64, took: Duration) -> String {
    let rate = figures::per_second(worked, took);
    let text = format!("{} of {}, {}", figures::count(done), figures::lines(total), figures::rate(rate));
    // Too little has been seen for a guess at the rest.
    if rate < 1.0 || took < Duration::from_millis(500) || done >= total {
        return text;
    }
    #[allow(clippy::cast_precision_loss)] // an estimate, shown to the second
    let left = Duration::from_secs_f64((total - done) as f64 / rate);
    format!("{text}, {} left", figures::duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_estimated_once_there_is_something_to_go_by() {
        assert_eq!(describe(0, 100, 0, Duration::ZERO), "0 of 100 lines, 0 lines/s");
        let early = describe(8_192, 100_000, 8_192, Duration::from_millis(100));
        assert_eq!(early, "8 192 of 100 000 lines, 81 900 lines/s");
        let later = describe(50_000, 100_000, 25_000, Duration::from_secs(1));
        assert_eq!(later, "50 000 of 100 000 lines, 25 000 lines/s, 2.0 s left");
        assert!(!describe(100, 100, 100, Duration::from_secs(1)).contains("left"));
    }
}
