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
use crate::client::Tally;
use crate::domain::{BatchId, Bin};
use crate::payroll::{FileSurvey, LINES_PER_CHUNK_MAX, LineKind};

/// Chunks that may be under way at once, at most; more would only wait in the service's queue.
const IN_FLIGHT_MAX: i64 = 16;

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
    /// Chunks under way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=IN_FLIGHT_MAX))]
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
    let refused: serde_json::Map<_, _> =
        paid.summary.refused.iter().map(|(code, sums)| (code.clone(), tally(sums))).collect();
    let first: Vec<Value> = paid.summary.refused_first.iter().map(|line| {
        json!({"line": line.line, "code": line.code, "field": line.field, "entry": line.entry, "advice": advice::on(&line.code)})
    }).collect();
    json!({
        "batch": opened.batch, "state": paid.batch["state"], "validate_only": order.validate,
        "resumed": opened.resumed, "lines": survey.lines, "total": survey.total, "lines_sent": paid.lines_sent,
        "seconds": paid.took.as_secs_f64(), "per_s": figures::rounded(figures::per_second(paid.lines_sent, paid.took)),
        "accepted": tally(&paid.summary.accepted), "already_accepted": tally(&paid.summary.already_accepted),
        "refused": tally(&paid.summary.refused_all()), "refused_by_code": refused, "refused_first": first,
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
        ("sent", sent(survey.lines, opened, paid)),
        ("unknown", unknown(opened)),
        ("verdicts", order.verdicts.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
        ("refused", order.refused.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    ]);
    table::print(out, &facts)?;
    writeln!(out)?;
    table::print(out, &sums(order.kind, paid))?;
    if !paid.summary.refused_first.is_empty() {
        writeln!(out)?;
        table::print(out, &refused(paid))?;
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

fn sent(lines: u64, opened: &Opened, paid: &Paid) -> String {
    if paid.lines_sent == 0 {
        return "nothing; all of it was received before".to_owned();
    }
    let rate = figures::rate(figures::per_second(paid.lines_sent, paid.took));
    let now = format!("{} in {}, {rate}", figures::lines(paid.lines_sent), figures::duration(paid.took));
    match lines - paid.lines_sent {
        0 if !opened.resumed => now,
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
    for (code, tally) in &summary.refused {
        row(&format!("  {code}"), *tally);
    }
    rows
}

fn refused(paid: &Paid) -> comfy_table::Table {
    let mut rows = table::table(&["first refused", ">line", ">entry", "what to do"]);
    for line in &paid.summary.refused_first {
        let what =
            if line.field.is_empty() { line.code.clone() } else { format!("{} ({})", line.code, line.field) };
        let entry = line.entry.map(figures::count).unwrap_or_default();
        rows.add_row([what, figures::count(line.line), entry, advice::on(&line.code).to_owned()]);
    }
    rows
}
