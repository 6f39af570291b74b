//! `accrue` and `validate`: a payroll file is paid, or only judged.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::payday::{self, Opened, Order, Paid};
use super::programme::parse_payer;
use super::progress::Progress;
use super::{Global, advice, figures, table};
use crate::client::{Refused, RefusedLine, Tally};
use crate::domain::{BatchId, Bin};
use crate::payroll::{FileSurvey, LINES_PER_CHUNK_MAX, LineKind};

/// Chunks that may be under way at once, at most: so many places for chunks a client has.
const IN_FLIGHT_MAX: i64 = 8;

/// What a file's lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Benefits to be credited
    Accrual,
    /// Earlier accruals to be taken back
    Reversal,
    /// Wallets to be opened
    WalletOpening,
}

impl From<Kind> for LineKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Accrual => Self::Accrual,
            Kind::Reversal => Self::Reversal,
            Kind::WalletOpening => Self::WalletOpening,
        }
    }
}

/// The arguments that paying and judging a file have in common.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// CSV or NDJSON, as specs/accrual-file.md describes it
    file: PathBuf,
    /// What its lines are: accrual, reversal or wallet-opening
    #[arg(long, value_enum, default_value = "accrual", hide_possible_values = true)]
    kind: Kind,
    /// Who pays [default: who is registered as the payer of the file's programmes]
    #[arg(long, value_name = "BIN", value_parser = parse_payer)]
    payer: Option<Bin>,
    /// Chunks under way at once, 1 to 8
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=IN_FLIGHT_MAX))]
    in_flight: u8,
    /// Lines in a chunk, at most 8192
    #[arg(long, value_name = "N", default_value_t = LINES_PER_CHUNK_MAX, value_parser = parse_chunk_lines)]
    chunk_lines: usize,
    /// Write the verdict on every line to this CSV file
    #[arg(long, value_name = "FILE")]
    verdicts: Option<PathBuf>,
    /// Write the refused lines to this file, to be corrected and sent as a file of their own
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// Seconds to wait for a service that stops answering
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// How a file is to be paid.
#[derive(Debug, Args)]
pub struct AccrueArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The batch's id [default: derived from the file, so that running again takes up where it stopped]
    #[arg(long, value_name = "UUID", value_parser = BatchId::parse)]
    batch: Option<BatchId>,
    /// Only judge the lines; post nothing
    #[arg(long)]
    validate: bool,
    /// No line moves before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// A second person must release the batch before any line moves
    #[arg(long)]
    release_required: bool,
}

fn parse_chunk_lines(text: &str) -> Result<usize, String> {
    let lines = text.parse().ok().filter(|lines| (1..=LINES_PER_CHUNK_MAX).contains(lines));
    lines.ok_or_else(|| format!("not a whole number from 1 to {LINES_PER_CHUNK_MAX}"))
}

/// Runs `accrue`.
pub async fn run(global: &Global, args: AccrueArgs) -> Result<Outcome, CliError> {
    let AccrueArgs { file, batch, validate, not_before, release_required } = args;
    let patience = file.patience;
    let order = Order { batch, validate, not_before, release_required, ..order(file) };
    pay(global, &order, patience).await
}

/// Runs `validate`.
pub async fn run_validate(global: &Global, args: FileArgs) -> Result<Outcome, CliError> {
    let patience = args.patience;
    pay(global, &Order { validate: true, ..order(args) }, patience).await
}

fn order(args: FileArgs) -> Order {
    let FileArgs { file, kind, payer, in_flight, chunk_lines, verdicts, refused, patience: _ } = args;
    Order {
        kind: kind.into(),
        payer,
        chunk_lines,
        in_flight: in_flight.into(),
        verdicts,
        refused,
        ..Order::of(&file)
    }
}

async fn pay(global: &Global, order: &Order, patience: u64) -> Result<Outcome, CliError> {
    let client = global.client()?;
    // Before any work on the file: a service that is not there at the start is a wrong address, not a restart.
    client.ready().await?;
    let survey = payday::look(&order.file, order.kind).await?;
    let progress = Arc::new(Progress::new(if order.validate { "judging" } else { "sending" }, survey.lines));
    let waiting = Arc::clone(&progress);
    let client = client
        .with_patience(Duration::from_secs(patience))
        .with_observer(Arc::new(move |wait| waiting.waiting(wait)));
    let opened = payday::open(&client, order, &survey).await?;
    let paid =
        payday::send(&client, order, &survey, &opened, |piece| progress.advance(piece.lines, piece.sent))
            .await;
    progress.finish();
    let paid = paid?;
    let report = json_report(order, &survey, &opened, &paid);
    global.show(&report, |out| print(out, order, &survey, &opened, &paid))?;
    Ok(if paid.is_whole() { Outcome::Done } else { Outcome::NotAll })
}

fn json_report(order: &Order, survey: &FileSurvey, opened: &Opened, paid: &Paid) -> Value {
    let tally = |tally: &Tally| json!({"lines": tally.lines, "total": plain(tally.sum)});
    let line = |line: &RefusedLine| json!({"line": line.line, "field": line.field, "entry": line.entry});
    let refused = |(code, refused): (&String, &Refused)| {
        let Refused { tally, first } = refused;
        let first: Vec<Value> = first.iter().map(line).collect();
        let advice = advice::on(code);
        json!({"code": code, "lines": tally.lines, "total": plain(tally.sum), "first": first, "advice": advice})
    };
    let by_code: Vec<Value> = paid.summary.refused.iter().map(refused).collect();
    json!({
        "batch": opened.batch, "state": paid.batch["state"], "validate_only": order.validate,
        "resumed": opened.resumed, "lines": survey.lines, "total": survey.total, "lines_sent": paid.lines_sent,
        "seconds": paid.took.as_secs_f64(), "per_s": figures::rounded(figures::per_second(paid.lines_sent, paid.took)),
        "accepted": tally(&paid.summary.accepted), "already_accepted": tally(&paid.summary.already_accepted),
        "refused": tally(&paid.summary.refused_all()), "refused_by_code": by_code,
        "unknown_programmes": opened.unknown, "difference": paid.batch["difference"],
    })
}

/// Tiyn as the service writes amounts.
fn plain(tiyn: i64) -> String {
    figures::tiyn(tiyn).replace(' ', "")
}

fn print(
    out: &mut dyn Write,
    order: &Order,
    survey: &FileSurvey,
    opened: &Opened,
    paid: &Paid,
) -> io::Result<()> {
    let state = paid.batch["state"].as_str().unwrap_or("unknown").replace('_', " ");
    let file = order.file.display();
    let size =
        format!("{file}, {}, {} KZT", figures::lines(survey.lines), figures::tiyn(survey.total.tiyn()));
    let facts = table::facts([
        ("batch", format!("{}, {state}", opened.batch)),
        ("file", size),
        ("sent", sent(survey.lines, paid)),
        ("unknown", unknown(opened)),
        ("verdicts", order.verdicts.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
        ("refused", order.refused.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    ]);
    table::print(out, &facts)?;
    writeln!(out)?;
    table::print(out, &sums(order.kind, paid))?;
    for (code, refused) in &paid.summary.refused {
        writeln!(out, "\n{code}: {}", places(refused))?;
        writeln!(out, "  {}", advice::on(code))?;
    }
    match (order.validate, state.as_str()) {
        (true, _) => writeln!(out, "\nNothing was posted: the lines were only judged."),
        (false, "completed") => Ok(()),
        (false, _) => {
            let lines = table::text(&paid.batch["difference"], "lines");
            let total = table::amount(&paid.batch["difference"], "total");
            writeln!(
                out,
                "\nThe batch is not complete: {lines} lines and {total} KZT are missing. Run the same command again."
            )
        }
    }
}

fn sent(lines: u64, paid: &Paid) -> String {
    if paid.lines_sent == 0 {
        return "nothing; all of it was received before".to_owned();
    }
    let rate = figures::rate(figures::per_second(paid.lines_sent, paid.took));
    let now = format!("{} in {}, {rate}", figures::lines(paid.lines_sent), figures::duration(paid.took));
    match lines - paid.lines_sent {
        0 => now,
        before => format!("{now}; {} before", figures::lines(before)),
    }
}

fn unknown(opened: &Opened) -> String {
    let codes: Vec<_> = opened.unknown.iter().map(ToString::to_string).collect();
    if codes.is_empty() {
        String::new()
    } else {
        format!("{}: no such programme, its lines are refused", codes.join(", "))
    }
}

fn sums(kind: LineKind, paid: &Paid) -> comfy_table::Table {
    let summary = &paid.summary;
    let mut rows = table::table(&["verdict", ">lines", ">KZT"]);
    let mut row = |name: &str, tally: Tally| {
        let sum = if kind == LineKind::Accrual { figures::tiyn(tally.sum) } else { String::new() };
        rows.add_row([name.to_owned(), figures::count(tally.lines), sum]);
    };
    row("accepted", summary.accepted);
    if summary.already_accepted.lines > 0 {
        row("already accepted", summary.already_accepted);
    }
    row("refused", summary.refused_all());
    for (code, refused) in &summary.refused {
        row(&format!("  {code}"), refused.tally);
    }
    rows
}

/// Where the first lines of a code stand: `lines 12 (entry 7), 15, 28 …`.
fn places(refused: &Refused) -> String {
    let place = |line: &RefusedLine| match line.entry {
        Some(entry) => format!("{} (entry {entry})", line.line),
        None => line.line.to_string(),
    };
    let places: Vec<_> = refused.first.iter().map(place).collect();
    let (noun, more) = match refused.tally.lines {
        1 => ("line", ""),
        lines if lines > refused.first.len() as u64 => ("lines", " …"),
        _ => ("lines", ""),
    };
    format!("{noun} {}{more}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: u64, first: &[(u64, Option<u64>)]) -> Refused {
        let line = |&(line, entry): &(u64, Option<u64>)| RefusedLine { line, field: String::new(), entry };
        Refused { tally: Tally { lines, sum: 0 }, first: first.iter().map(line).collect() }
    }

    #[test]
    fn the_first_lines_of_a_code_are_named_and_the_rest_is_hinted_at() {
        assert_eq!(places(&refused(1, &[(12, Some(7))])), "line 12 (entry 7)");
        assert_eq!(places(&refused(2, &[(12, None), (15, None)])), "lines 12, 15");
        assert_eq!(
            places(&refused(9, &[(12, Some(7)), (15, None), (28, None)])),
            "lines 12 (entry 7), 15, 28 …"
        );
    }
}
