//! `generate`: a payroll file for trials. The people in it are invented; their numbers only look right.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::error::{CliError, Outcome};
use super::progress::Progress;
use super::{Global, figures, table};
use crate::domain::Period;
use crate::domain::time::Stamp;
use crate::payroll::{BadKind, BadShares, GeneratorConfig, OutputFormat, PEOPLE_MAX, Summary};

/// What to write, and where.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Lines, one person each, 1 to 58440000
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=PEOPLE_MAX))]
    lines: u64,
    /// The same seed pays the same people from the same programmes
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The month that is paid, or once [default: this month]
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_period)]
    period: Option<Period>,
    /// Put the people in a random order
    #[arg(long)]
    shuffle: bool,
    /// Our own columns, one JSON object a line, or the bulk file of Mifos Payment Hub
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Make a share of the lines bad, like duplicate=0.02,malformed=0.01
    #[arg(long, value_name = "KIND=SHARE", value_delimiter = ',', value_parser = parse_bad)]
    bad: Vec<(BadKind, f64)>,
    /// Where to; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// The forms of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
    Mifos,
}

fn parse_period(text: &str) -> Result<Period, String> {
    Period::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn bad_name(kind: BadKind) -> &'static str {
    match kind {
        BadKind::Malformed => "malformed",
        BadKind::IinCheckDigit => "iin_check_digit",
        BadKind::UnknownProgramme => "unknown_programme",
        BadKind::AmountZero => "amount_zero",
        BadKind::AmountNegative => "amount_negative",
        BadKind::AmountScale => "amount_scale",
        BadKind::Duplicate => "duplicate",
    }
}

fn parse_bad(text: &str) -> Result<(BadKind, f64), String> {
    let names = || BadKind::ALL.map(bad_name).join(", ");
    let (name, share) =
        text.split_once('=').ok_or_else(|| format!("not KIND=SHARE; kinds are {}", names()))?;
    let kind = BadKind::ALL.into_iter().find(|kind| bad_name(*kind) == name);
    let kind = kind.ok_or_else(|| format!("unknown kind {name}; kinds are {}", names()))?;
    let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    Ok((kind, share.ok_or("the share is not a number from 0 to 1")?))
}

/// The shares by kind; a kind that is named twice has the share named last.
#[must_use]
pub fn shares(named: &[(BadKind, f64)]) -> BadShares {
    let mut shares = BadShares::default();
    for &(kind, share) in named {
        *match kind {
            BadKind::Malformed => &mut shares.malformed,
            BadKind::IinCheckDigit => &mut shares.iin_check_digit,
            BadKind::UnknownProgramme => &mut shares.unknown_programme,
            BadKind::AmountZero => &mut shares.amount_zero,
            BadKind::AmountNegative => &mut shares.amount_negative,
            BadKind::AmountScale => &mut shares.amount_scale,
            BadKind::Duplicate => &mut shares.duplicate,
        } = share;
    }
    shares
}

/// The business month that it is now.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "what a trial file is for by default, not when anything was booked"
)]
pub fn this_month() -> Period {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let stamp = i64::try_from(now).ok().and_then(Stamp::of);
    stamp
        .and_then(|stamp| Period::from_code(stamp.date / 100))
        .unwrap_or(Period::Month { year: 2026, month: 11 })
}

/// Runs the command.
pub async fn run(global: &Global, args: GenerateArgs) -> Result<Outcome, CliError> {
    let config = GeneratorConfig {
        lines: args.lines,
        seed: args.seed,
        period: args.period.unwrap_or_else(this_month),
        shuffle: args.shuffle,
        bad: shares(&args.bad),
        format: match args.format {
            Format::Csv => OutputFormat::Csv,
            Format::Ndjson => OutputFormat::Ndjson,
            Format::Mifos => OutputFormat::Mifos,
        },
    };
    let path = args.output;
    let to_output = path.as_os_str() == "-";
    if to_output && io::stdout().is_terminal() {
        return Err(CliError::Usage(
            "a payroll is not for reading; name a file with -o, or pipe the output.".into(),
        ));
    }
    let begun = Instant::now();
    let (period, output) = (config.period, path.clone());
    let written = tokio::task::spawn_blocking(move || write(&config, &output, to_output));
    let summary = written.await.expect("generating does not panic")?;
    let took = begun.elapsed();
    if global.json {
        eprintln!("{}", json_report(&summary, period));
    } else {
        let mut err = io::stderr().lock();
        print(&mut err, &summary, period)?;
        let rate = figures::rate(figures::per_second(summary.lines, took));
        let place = if to_output { "standard output".to_owned() } else { path.display().to_string() };
        writeln!(
            err,
            "\n{} to {place} in {}, {rate}.",
            figures::lines(summary.lines),
            figures::duration(took)
        )?;
    }
    Ok(Outcome::Done)
}

fn write(config: &GeneratorConfig, path: &Path, to_output: bool) -> Result<Summary, CliError> {
    let progress = Progress::new("writing", config.lines);
    let summary = if to_output {
        config.write_to(Counting { out: io::stdout().lock(), progress: &progress })?
    } else {
        write_file(config, path, Some(&progress))?
    };
    progress.finish();
    Ok(summary)
}

/// Writes a file that takes its name when it is whole.
pub fn write_file(
    config: &GeneratorConfig,
    path: &Path,
    progress: Option<&Progress>,
) -> Result<Summary, CliError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(directory).map_err(CliError::file(path))?;
    let summary = match progress {
        Some(progress) => config.write_to(Counting { out: &mut file, progress }),
        None => config.write_to(&mut file),
    };
    let summary = summary.map_err(CliError::file(path))?;
    file.persist(path).map_err(|error| error.error).map_err(CliError::file(path))?;
    Ok(summary)
}

/// Counts lines on their way.
struct Counting<'a, W> {
    out: W,
    progress: &'a Progress,
}

impl<W: Write> Write for Counting<'_, W> {
    #[expect(clippy::naive_bytecount, reason = "far below the cost of making the bytes")]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let lines = bytes[..written].iter().filter(|byte| **byte == b'\n').count();
        self.progress.advance(lines as u64, true);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn json_report(summary: &Summary, period: Period) -> Value {
    let programmes: serde_json::Map<_, _> = summary
        .programmes
        .iter()
        .map(|(code, sum)| (code.to_string(), json!({"lines": sum.count, "total": sum.sum})))
        .collect();
    let bad: serde_json::Map<_, _> =
        summary.bad.iter().map(|(kind, lines)| (bad_name(*kind).to_owned(), json!(lines))).collect();
    json!({"period": period, "lines": summary.lines, "total": summary.total, "programmes": programmes, "bad": bad})
}

fn print(out: &mut impl Write, summary: &Summary, period: Period) -> io::Result<()> {
    let mut rows = table::table(&[&format!("{period}"), ">lines", ">KZT"]);
    for (code, sum) in &summary.programmes {
        rows.add_row([code.to_string(), figures::count(sum.count), figures::tiyn(sum.sum.tiyn())]);
    }
    for (kind, lines) in &summary.bad {
        rows.add_row([format!("bad: {}", bad_name(*kind)), figures::count(*lines), String::new()]);
    }
    rows.add_row(["all".to_owned(), figures::count(summary.lines), figures::tiyn(summary.total.tiyn())]);
    table::print(out, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_bad_line_can_be_asked_for_by_its_name() {
        for kind in BadKind::ALL {
            let (read, share) = parse_bad(&format!("{}=0.25", bad_name(kind))).unwrap();
            assert_eq!((read, share), (kind, 0.25));
        }
        for text in ["duplicate", "duplicate=2", "duplicate=x", "wrong=0.1", "=0.1"] {
            assert!(parse_bad(text).is_err(), "{text}");
        }
        assert!(parse_bad("wrong=0.1").unwrap_err().contains("iin_check_digit"));
    }

    #[test]
    fn this_month_is_a_month() {
        assert_ne!(this_month(), Period::Once);
    }
}
