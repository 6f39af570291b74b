//! `order`: what an authority sends against wallets, and the documents of the decisions.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::person::PersonArgs;
use super::progress::Progress;
use super::{Global, figures, table};
use crate::client::orders::{DocumentForm, VERDICTS_HEADER, pieces};
use crate::client::{Client, ClientError};
use crate::domain::{Amount, Day, OrderKind, ProgrammeCode};
use crate::orders::words::Language;

/// Give orders against wallets, one or a file of them, and have the documents of the decisions
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Give one order; it is decided at once
    Give(Box<GiveArgs>),
    /// Give a file of orders; run it again after any failure: what was decided is what it was
    Send(SendArgs),
    /// One order: what was asked, and what became of it
    Show {
        /// The entry of the decision
        entry: u64,
    },
    /// Your orders, oldest first
    List {
        /// Only those that hold something now
        #[arg(long)]
        standing: bool,
        /// Those after this entry
        #[arg(long, value_name = "ENTRY", default_value_t = 0)]
        after: u64,
    },
    /// The decision with its proof, to be filed, and checked by `verify --decision`
    Document {
        /// The entry of the decision
        entry: u64,
        /// Where to: a page to print if it ends in .html, else JSON [default: JSON to standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The page's language: kk, ru or en [default: Kazakh and Russian]
        #[arg(long, value_name = "LANGUAGE", value_parser = parse_language)]
        lang: Option<Language>,
    },
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| "kk, ru or en".to_owned())
}

/// An order.
#[derive(Debug, Args)]
pub struct GiveArgs {
    #[command(flatten)]
    person: PersonArgs,
    /// The document's number
    #[arg(long)]
    number: String,
    /// The document's date, like 2026-11-20
    #[arg(long, value_name = "DATE", value_parser = Day::parse)]
    date: Day,
    #[allow(clippy::doc_markdown)] // shown on a terminal
    /// arrest, collection, payment_demand, suspension, set_off, fee, overpayment_recovery, alimony, freeze or lift
    #[arg(long, value_parser = OrderKind::parse)]
    kind: OrderKind,
    /// How much, in tenge
    #[arg(long, value_name = "TENGE", value_parser = parse_amount)]
    amount: Option<Amount>,
    /// What it rests on
    #[arg(long, value_name = "TEXT")]
    enforcement_document: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Until when it stands (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Of a tax authority's collection: the kind of debt
    #[arg(long, value_name = "TYPE")]
    debt_type: Option<String>,
    /// The debt was met elsewhere
    #[arg(long, requires = "debt_type")]
    met_elsewhere: bool,
    /// Of an overpayment's recovery: the accrual's programme
    #[arg(long, value_name = "CODE", value_parser = super::programme::parse_code, requires = "period")]
    programme: Option<ProgrammeCode>,
    /// Its period
    #[arg(long, requires = "programme")]
    period: Option<String>,
    /// Its part
    #[arg(long, default_value_t = 1, requires = "programme")]
    part: u16,
    /// The number of your own order that this one lifts, or carries out
    #[arg(long, value_name = "NUMBER", requires = "lifts_date")]
    lifts_number: Option<String>,
    /// Its date
    #[arg(long, value_name = "DATE", value_parser = Day::parse, requires = "lifts_number")]
    lifts_date: Option<Day>,
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    Amount::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// A file of orders.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// CSV or NDJSON, as specs/order-file.md describes it
    file: PathBuf,
    /// Write the verdict on every line to this CSV file
    #[arg(long, value_name = "FILE")]
    verdicts: Option<PathBuf>,
    /// Seconds to wait for a service that stops answering
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// Runs the command.
pub async fn run(global: &Global, command: OrderCommand) -> Result<Outcome, CliError> {
    match command {
        OrderCommand::Give(args) => give(global, &args).await,
        OrderCommand::Send(args) => send(global, &args).await,
        OrderCommand::Show { entry } => {
            let order = global.client()?.order(entry).await?;
            show(global, &order)?;
            Ok(Outcome::Done)
        }
        OrderCommand::List { standing, after } => {
            list(global, &global.client()?.orders(standing, after).await?)?;
            Ok(Outcome::Done)
        }
        OrderCommand::Document { entry, output, lang } => {
            document(global, entry, output.as_deref(), lang).await
        }
    }
}

fn body(args: &GiveArgs) -> Result<Value, CliError> {
    let iin = args.person.read()?;
    let mut body = json!({"number": args.number, "date": args.date, "kind": args.kind, "iin": iin.expose(),
        "enforcement_document": args.enforcement_document, "purpose": args.purpose, "expires": args.expires});
    if let Some(amount) = args.amount {
        body["amount"] = json!(amount);
        body["currency"] = json!("KZT");
    }
    if let Some(kind) = &args.debt_type {
        body["tax_debt"] = json!({"type": kind, "met_elsewhere": args.met_elsewhere});
    }
    if let (Some(programme), Some(period)) = (args.programme, &args.period) {
        body["overpaid"] = json!({"programme": programme, "period": period, "part": args.part});
    }
    if let (Some(number), Some(date)) = (&args.lifts_number, args.lifts_date) {
        body["lifts"] = json!({"number": number, "date": date});
    }
    Ok(body)
}

async fn give(global: &Global, args: &GiveArgs) -> Result<Outcome, CliError> {
    let client = global.client()?;
    let written = client.decide_order(&body(args)?, &Client::fresh_key()).await?;
    let value = &written.value;
    let entry = table::text_of_number(value, "entry");
    let outcome = match value["outcome"].as_str() {
        Some(outcome) => outcome.to_owned(),
        None => format!("malformed ({})", table::text(value, "field")),
    };
    global.show(value, |out| {
        let again = if written.replayed { ", as it was decided before" } else { "" };
        writeln!(out, "{outcome}{again}, entry {entry}.")?;
        for (name, member) in [("taken", "taken"), ("held", "held"), ("refused", "refused")] {
            let sum = table::amount(value, member);
            if !sum.is_empty() {
                writeln!(out, "  {name:<9}{sum} KZT")?;
            }
        }
        writeln!(out, "The document: social-wallet order document {entry} -o decision.html")
    })?;
    Ok(if value["outcome"].is_null() { Outcome::NotAll } else { Outcome::Done })
}

/// What became of a file.
#[derive(Default)]
pub struct Sent {
    /// Lines by what became of them, and of each how many had been decided before.
    pub said: BTreeMap<String, (u64, u64)>,
    /// All of them.
    pub lines: u64,
    /// Those without a decision.
    pub undecided: u64,
    /// The newest decision.
    pub newest: u64,
}

async fn send(global: &Global, args: &SendArgs) -> Result<Outcome, CliError> {
    let client = global.client()?;
    client.ready().await?;
    let path = args.file.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let (_, mut pieces) = pieces(&path)?;
        pieces.try_fold(0, |lines, piece| Ok(lines + u64::from(piece?.lines)))
    });
    let lines = counted.await.expect("reading a file does not panic").map_err(CliError::file(&args.file))?;
    let progress = Arc::new(Progress::new("sending", lines));
    let waiting = Arc::clone(&progress);
    let client = client
        .with_patience(Duration::from_secs(args.patience))
        .with_observer(Arc::new(move |wait| waiting.waiting(wait)));
    let begun = Instant::now();
    let sent =
        send_file(&client, &args.file, args.verdicts.as_deref(), |lines, _| progress.advance(lines, true))
            .await;
    progress.finish();
    let sent = sent?;
    let took = begun.elapsed();
    let said: BTreeMap<&str, u64> =
        sent.said.iter().map(|(said, (count, _))| (said.as_str(), *count)).collect();
    let value = json!({"lines": sent.lines, "undecided": sent.undecided, "said": said, "seconds": took.as_secs_f64()});
    global.show(&value, |out| {
        let mut rows = table::table(&["outcome", ">lines", ">before"]);
        for (said, (count, before)) in &sent.said {
            rows.add_row([said.clone(), figures::count(*count), figures::count(*before)]);
        }
        table::print(out, &rows)?;
        let rate = figures::rate(figures::per_second(sent.lines, took));
        writeln!(out, "\n{} in {}, {rate}", figures::lines(sent.lines), figures::duration(took))?;
        if sent.undecided > 0 {
            writeln!(
                out,
                "{} without a decision: see their codes in specs/order-file.md.",
                figures::lines(sent.undecided)
            )?;
        }
        Ok(())
    })?;
    Ok(if sent.undecided == 0 { Outcome::Done } else { Outcome::NotAll })
}

/// Sends a file piece by piece, in order: what arrives first is decided first. `done` is told of each piece, with how long it took.
pub async fn send_file(
    client: &Client,
    file: &Path,
    verdicts: Option<&Path>,
    mut done: impl FnMut(u64, Duration),
) -> Result<Sent, CliError> {
    let mut out = match verdicts {
        None => None,
        Some(path) => {
            let file = std::fs::File::create(path).map_err(CliError::file(path))?;
            let mut out = std::io::BufWriter::new(file);
            writeln!(out, "{VERDICTS_HEADER}").map_err(CliError::file(path))?;
            Some((path, out))
        }
    };
    let (encoding, pieces) = pieces(file).map_err(CliError::file(file))?;
    let mut sent = Sent::default();
    for piece in pieces {
        let piece = piece.map_err(CliError::file(file))?;
        let asked = Instant::now();
        let told = client.decide_orders(encoding, piece.body.into(), &Client::fresh_key()).await?;
        if told.len() != piece.lines as usize {
            let what = "the verdicts are not those on the lines that were sent".to_owned();
            return Err(ClientError::Protocol { url: client.address().to_owned(), what }.into());
        }
        for (line, verdict) in (piece.first_line..).zip(told) {
            sent.newest = sent.newest.max(verdict.entry.unwrap_or(0));
            let (count, before) = sent.said.entry(verdict.said).or_default();
            *count += 1;
            *before += u64::from(verdict.verdict == "already_decided");
            sent.undecided += u64::from(verdict.verdict == "refused");
            if let Some((path, out)) = &mut out {
                writeln!(out, "{line},{}", verdict.row).map_err(CliError::file(path))?;
            }
        }
        sent.lines += u64::from(piece.lines);
        done(u64::from(piece.lines), asked.elapsed());
    }
    if let Some((path, mut out)) = out {
        out.flush().map_err(CliError::file(path))?;
    }
    Ok(sent)
}

fn show(global: &Global, order: &Value) -> Result<(), CliError> {
    let sum = |name: &str| match table::amount(order, name) {
        sum if sum.is_empty() => sum,
        sum => format!("{sum} KZT"),
    };
    let debtor = match table::text(order, "debtor") {
        digits if digits.is_empty() => digits,
        digits => format!("•••• •••• {digits}"),
    };
    let facts = table::facts([
        ("entry", table::text_of_number(order, "order")),
        ("document", format!("{} of {}", table::text(order, "number"), table::text(order, "date"))),
        ("issuer", format!("{}, {}", table::text(order, "issuer"), table::text(order, "issuer_kind"))),
        ("kind", table::text(order, "kind")),
        ("debtor", debtor),
        ("outcome", table::text(order, "outcome")),
        ("field", table::text(order, "field")),
        ("asked", sum("asked")),
        ("taken", sum("taken")),
        ("held", sum("held")),
        ("refused", sum("refused")),
        ("expires", table::text(order, "expires")),
        ("state", table::text(order, "state")),
        ("decided", table::text(order, "at")),
        ("rules", table::text_of_number(order, "rules")),
        ("ended by", table::text_of_number(order, "ended_by_entry")),
    ]);
    global.show(order, |out| table::print(out, &facts))
}

fn list(global: &Global, value: &Value) -> Result<(), CliError> {
    let mut rows =
        table::table(&[">entry", "number", "date", "kind", "outcome", ">asked", ">taken", ">held", "state"]);
    for order in value["orders"].as_array().into_iter().flatten() {
        rows.add_row([
            table::text_of_number(order, "order"),
            table::text(order, "number"),
            table::text(order, "date"),
            table::text(order, "kind"),
            table::text(order, "outcome"),
            table::amount(order, "asked"),
            table::amount(order, "taken"),
            table::amount(order, "held"),
            table::text(order, "state"),
        ]);
    }
    global.show(value, |out| {
        table::print(out, &rows)?;
        match value["next"].as_u64() {
            Some(next) => writeln!(out, "More: --after {next}"),
            None => Ok(()),
        }
    })
}

async fn document(
    global: &Global,
    entry: u64,
    output: Option<&Path>,
    lang: Option<Language>,
) -> Result<Outcome, CliError> {
    let is_page =
        output.is_some_and(|path| path.extension().is_some_and(|ending| ending == "html" || ending == "htm"));
    let form = if is_page { DocumentForm::Page } else { DocumentForm::Json };
    let language = lang.map(Language::as_str);
    let document = global.client()?.decision_document(entry, form, language).await?;
    let Some(path) = output else {
        let mut out = std::io::stdout().lock();
        out.write_all(&document)?;
        out.write_all(b"\n")?;
        return Ok(Outcome::Done);
    };
    std::fs::write(path, &document).map_err(CliError::file(path))?;
    let file = path.display().to_string();
    global.show(&json!({"file": file, "entry": entry}), |out| {
        writeln!(out, "{file}\nTo check it: social-wallet verify --decision {file} --key-file log-keys.txt")
    })?;
    Ok(Outcome::Done)
}
