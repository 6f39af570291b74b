//! What the kernel knows of a process and of a directory, read from `/proc`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Clock ticks in a second in `/proc/PID/stat` (`USER_HZ`): 100 on every architecture that Linux shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The parts of `/proc/PID/stat` that are of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Ticks of the process itself.
    own: u64,
    /// Ticks of its children that have ended.
    ended: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        // The name of the program stands in parentheses and may hold anything, also blanks and parentheses.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let mut ticks = fields.skip(9).map(|field| field.parse::<u64>().ok());
        let mut sum = || Some(ticks.next()?? + ticks.next()??);
        Some(Self { parent, own: sum()?, ended: sum()? })
    }
}

#[allow(clippy::cast_precision_loss)] // ticks of a benchmark are far below 2^52
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// Processor time that a process has used, in seconds; `None` if it is gone.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    Stat::of(pid).map(|stat| seconds(stat.own))
}

/// Processor time of a process and of all its children, ended ones included, in seconds.
pub fn cpu_seconds_of_family(pid: u32) -> Option<f64> {
    let head = Stat::of(pid)?;
    let children = std::fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let stat = Stat::of(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
        (stat.parent == pid).then_some(stat.own + stat.ended)
    });
    Some(seconds(head.own + head.ended + children.sum::<u64>()))
}

/// The process that started this one.
pub fn parent(pid: u32) -> Option<u32> {
    Stat::of(pid).map(|stat| stat.parent)
}

/// The name of a process's program.
pub fn program(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// The most memory that a process has had resident at once, in MiB.
pub fn peak_rss_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024)
}

/// Bytes of the files in a directory that begin with one of the store's names.
pub fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let size = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        let is_log = entry.path().extension().is_some_and(|extension| extension == "log");
        if metadata.is_dir() { Some(bytes_in(&entry.path())) } else { (!is_log).then_some(metadata.len()) }
    };
    entries.filter_map(size).sum()
}

/// Whether a directory lives in memory, where "durable" costs nothing and means nothing.
pub fn is_in_memory(directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let longest = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount, _)| directory.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len());
    longest.is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs"))
}

/// How long requests took.
#[derive(Debug, Default)]
pub struct Latencies {
    micros: Vec<u64>,
}

impl Latencies {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// All of another's.
    pub fn append(&mut self, mut other: Self) {
        self.micros.append(&mut other.micros);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.micros.len() as u64
    }

    /// The time in milliseconds within which this share (in per cent) of the requests was answered; `null` of none.
    #[allow(clippy::cast_precision_loss)] // microseconds of a request
    pub fn percentile(&mut self, per_cent: usize) -> Value {
        self.micros.sort_unstable();
        let rank = (self.micros.len() * per_cent).div_ceil(100).saturating_sub(1);
        match self.micros.get(rank) {
            Some(micros) => json!((*micros as f64 / 10.0).round() / 100.0),
            None => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_process_is_read_whatever_its_program_is_called() {
        let line = "42 (a) b (c)) S 7 1 1 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7";
        assert_eq!(Stat::read(line), Some(Stat { parent: 7, own: 33, ended: 77 }));
        assert_eq!(Stat::read("42 (a"), None);
    }

    #[test]
    fn this_process_has_used_memory_and_has_a_parent() {
        let own = std::process::id();
        assert!(peak_rss_mib(own).is_some_and(|mib| mib > 0));
        assert!(cpu_seconds(own).is_some() && parent(own).is_some() && program(own).is_some());
        // Time goes on between the two: the smaller is read first.
        let alone = cpu_seconds(own);
        assert!(cpu_seconds_of_family(own) >= alone);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), Value::Null);
        for millis in (1..=100).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        assert_eq!(latencies.percentile(50), json!(50.0));
        assert_eq!(latencies.percentile(99), json!(99.0));
        assert_eq!(latencies.count(), 100);
    }
}
