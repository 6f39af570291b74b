//! `verify`: an auditor's check of a log, of one receipt, or of a decision document, with nothing but a key.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use crate::audit::audit_against;
use crate::client::Signing;
use crate::domain::{Day, Money};
use crate::log::checkpoint::{Checkpoint, Policy};
use crate::log::merkle::{Hash, leaf_hash};
use crate::log::note::{KeyType, SignedNote, VerifierKey};
use crate::orders::check::{CheckError, Checked, check};
use crate::sequencer::clock;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use crate::verify::source::{Directory, Finish, Remote, Source};
use crate::verify::{
    BITMAP_BYTES_MAX, Options, OrderTotals, Report, Totals, VerifyError, verify, verify_receipt,
};

use super::place::{SCHEMA, SERVICE_ROLE};
use super::progress::Progress;
use super::{CliError, Global, Outcome, figures, person, table};

const AFTER_HELP: &str = "\
What is held: every entry hashes into the signed root; no entry was added, removed, changed or reordered since the \
checkpoints that you kept; every entry is what the ledger's rules make after the entries before it.
Exit codes: 0 everything fits; 1 something does not, and it is said what; 2 and 3 nothing can be said.";

/// What to verify.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct VerifyArgs {
    /// The log: a directory written by `log export`, or a URL with the same paths below it
    #[arg(value_name = "LOG", required_unless_present_any = ["receipt", "decision", "data_dir", "database_url"])]
    log: Option<String>,
    /// A key that you trust, of the log or of a witness: a vkey, `name+id+base64`
    #[arg(long = "key", value_name = "VKEY")]
    keys: Vec<VerifierKey>,
    /// A file of such keys, one a line; lines that begin with # are remarks
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<PathBuf>,
    /// How many witnesses must have cosigned
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    witnesses: usize,
    /// A checkpoint that you kept from earlier: the log must have grown from it
    #[arg(long, value_name = "FILE")]
    earlier: Vec<PathBuf>,
    /// Sum up the orders from this business day on
    #[arg(long, value_name = "DAY", value_parser = day, requires = "to")]
    from: Option<Day>,
    /// … until this one, inclusive
    #[arg(long, value_name = "DAY", value_parser = day, requires = "from")]
    to: Option<Day>,
    /// Verify one receipt instead, as text or JSON; it needs no log
    #[arg(long, value_name = "FILE", conflicts_with_all = ["log", "earlier", "data_dir", "database_url"])]
    receipt: Option<PathBuf>,
    /// The entry that the receipt is for, in its exact bytes
    #[arg(long, value_name = "FILE", requires = "receipt")]
    leaf: Option<PathBuf>,
    /// The entry's leaf hash, in hexadecimal digits, instead of its bytes
    #[arg(long, value_name = "HEX", requires = "receipt", conflicts_with = "leaf")]
    leaf_hash: Option<String>,
    /// Verify the document of a decision on an order instead, JSON or page; it needs no log
    #[arg(long, value_name = "FILE", conflicts_with_all = ["log", "earlier", "receipt", "data_dir", "database_url"])]
    decision: Option<PathBuf>,
    /// Also that the decision is about the person whose number is in this file
    #[arg(long, value_name = "FILE", requires = "decision")]
    iin_file: Option<PathBuf>,
    /// Also compare every projection of the book in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "database_url")]
    data_dir: Option<PathBuf>,
    /// Also compare every projection of the book in this PostgreSQL
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The book's schema in PostgreSQL
    #[arg(long, value_name = "NAME", default_value = SCHEMA)]
    schema: String,
    /// The lesser role under which PostgreSQL serves
    #[arg(long, value_name = "ROLE", default_value = SERVICE_ROLE)]
    service_role: String,
    /// MiB of memory for who was paid what, before it goes to temporary files
    #[arg(long, value_name = "MIB", default_value_t = BITMAP_BYTES_MAX >> 20)]
    bitmap_memory: u64,
}

/// Verifies. The outcome tells whether everything fits.
pub async fn run(global: &Global, args: VerifyArgs) -> Result<Outcome, CliError> {
    let policy = args.policy()?;
    if let Some(path) = &args.receipt {
        return receipt(global, &args, path, &policy);
    }
    if let Some(path) = &args.decision {
        return decision(global, &read(path)?, args.iin_file.as_deref(), &policy);
    }
    let mut value = json!({});
    let mut fits = true;
    let mut roots = Vec::new();
    let mut said = Said::default();
    for path in &args.earlier {
        roots.extend(root_of(&read(path)?));
    }
    if let Some(log) = &args.log {
        let report = walk(global, log, args.options(policy)?).await?;
        fits = report.matches();
        roots.extend(report.checkpoint.as_ref().map(|checkpoint| (checkpoint.size, checkpoint.root)));
        value = log_json(&report);
        said.log = Some(report);
    }
    if let Some(store) = args.store().await? {
        let report = store_audit(store, roots).await?;
        fits &= report.matches();
        value["store"] = json!({
            "entries": report.entries,
            "wallets": report.wallets,
            "rows": report.rows,
            "matches": report.matches(),
            "findings": report.findings,
            "findings_count": report.findings_count,
        });
        said.store = Some(report);
    }
    value["matches"] = json!(fits);
    global.show(&value, |out| said.print(out))?;
    Ok(if fits { Outcome::Done } else { Outcome::NotAll })
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(CliError::file(path))
}

/// Size and root of a checkpoint whose signatures are checked elsewhere.
fn root_of(note: &[u8]) -> Option<(u64, Hash)> {
    let note = SignedNote::parse(note).ok()?;
    Checkpoint::parse(note.text()).ok().map(|checkpoint| (checkpoint.size, checkpoint.root))
}

impl VerifyArgs {
    fn policy(&self) -> Result<Policy, CliError> {
        let mut keys = self.keys.clone();
        for path in &self.key_files {
            let text = std::fs::read_to_string(path).map_err(CliError::file(path))?;
            for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with('#')
            }) {
                let key = line.trim().parse().map_err(|error| {
                    CliError::Usage(format!("{}, line {number}: {error}", path.display()))
                })?;
                keys.push(key);
            }
        }
        let (log_keys, witnesses): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.key_type() == KeyType::Ed25519);
        if log_keys.is_empty() && (self.log.is_some() || self.receipt.is_some() || self.decision.is_some()) {
            let text = "name a key of the log that you trust, with --key or --key-file";
            return Err(CliError::Usage(text.into()));
        }
        Ok(Policy { log_keys, witnesses, witnesses_needed: self.witnesses })
    }

    fn options(&self, policy: Policy) -> Result<Options, CliError> {
        let kept = |path: &PathBuf| Ok((path.display().to_string(), read(path)?));
        let earlier = self.earlier.iter().map(kept).collect::<Result<_, CliError>>()?;
        let days = self.from.zip(self.to);
        if days.is_some_and(|(from, to)| to < from) {
            return Err(CliError::Usage("--to is before --from".into()));
        }
        Ok(Options { policy, earlier, bitmap_bytes_max: self.bitmap_memory << 20, days })
    }

    /// The store to compare with. Nothing is created or migrated.
    async fn store(&self) -> Result<Option<Arc<dyn Store>>, CliError> {
        let failed = |error: StoreError| CliError::Service(error.to_string());
        if let Some(url) = &self.database_url {
            let store = PostgresStore::open(url, &self.schema, &self.service_role).await;
            return Ok(Some(Arc::new(store.map_err(failed)?)));
        }
        let Some(directory) = &self.data_dir else { return Ok(None) };
        let path = directory.join("book.sqlite");
        if !path.is_file() {
            return Err(CliError::Usage(format!("{} is no book", path.display())));
        }
        Ok(Some(Arc::new(SqliteStore::open(&path).await.map_err(failed)?)))
    }
}

fn source_of(global: &Global, log: &str, finish: Option<Finish>) -> Result<Box<dyn Source>, VerifyError> {
    if log.starts_with("http://") || log.starts_with("https://") {
        return Ok(Box::new(Remote::new(log, global.ca_certificate.as_deref(), finish)?));
    }
    Ok(Box::new(Directory(log.into())))
}

async fn walk(global: &Global, log: &str, options: Options) -> Result<Report, CliError> {
    if !log.starts_with("http") && !Path::new(log).is_dir() {
        return Err(CliError::Usage(format!("{log} is neither a directory nor a URL")));
    }
    let failed = |error: VerifyError| CliError::Service(error.to_string());
    let finish = global.signer()?.map(|signer| -> Finish {
        let signing = Signing { signer, clock: clock::now };
        Box::new(move |request| signing.sign(request, b""))
    });
    let mut source = source_of(global, log, finish).map_err(failed)?;
    let walked = tokio::task::spawn_blocking(move || {
        let mut progress: Option<(Progress, u64)> = None;
        let report = verify(&mut *source, &options, |done, size| {
            let (bar, before) = progress.get_or_insert_with(|| (Progress::new("verified", size), 0));
            bar.advance(done - *before, true);
            *before = done;
        });
        if let Some((bar, _)) = progress {
            bar.finish();
        }
        report
    });
    walked.await.map_err(|error| CliError::Service(error.to_string()))?.map_err(failed)
}

async fn store_audit(
    store: Arc<dyn Store>,
    roots: Vec<(u64, Hash)>,
) -> Result<crate::audit::Report, CliError> {
    let failed = |error: StoreError| CliError::Service(error.to_string());
    let entries = store.head().await.map_err(failed)?.map_or(0, |head| head.size);
    let progress = Progress::new("compared", entries);
    let mut before = 0;
    let report = audit_against(store, roots, |done| {
        progress.advance(done - before, true);
        before = done;
    });
    let report = report.await.map_err(failed)?;
    progress.finish();
    Ok(report)
}

fn receipt(global: &Global, args: &VerifyArgs, path: &Path, policy: &Policy) -> Result<Outcome, CliError> {
    let hash = match (&args.leaf, &args.leaf_hash) {
        (Some(leaf), _) => leaf_hash(&read(leaf)?),
        (None, Some(digits)) => {
            let mut hash = [0; 32];
            hex::decode_to_slice(digits, &mut hash)
                .map_err(|_| CliError::Usage("--leaf-hash is not 64 hexadecimal digits".into()))?;
            hash
        }
        (None, None) => {
            return Err(CliError::Usage("name the receipt's entry, with --leaf or --leaf-hash".into()));
        }
    };
    let (value, text, fits) = match verify_receipt(&read(path)?, &hash, policy) {
        Ok(report) => {
            let Checkpoint { origin, size, root, .. } = &report.checkpoint;
            let value = json!({
                "entry": report.entry,
                "origin": origin,
                "size": size,
                "root": hex::encode(root),
                "signed_by": report.signed_by,
                "matches": true,
            });
            let signers = report.signed_by.join(", ");
            let text = format!(
                "entry {} is in the log {origin} of {size} entries, signed by {signers}",
                report.entry
            );
            (value, text, true)
        }
        Err(error) => {
            let error = error.to_string();
            (json!({"matches": false, "finding": error}), format!("DOES NOT FIT: {error}"), false)
        }
    };
    global.show(&value, |out| writeln!(out, "{text}"))?;
    Ok(if fits { Outcome::Done } else { Outcome::NotAll })
}

/// Checks a decision document: what it shows is what the log says, or it is said what is not.
fn decision(
    global: &Global,
    document: &[u8],
    iin_file: Option<&Path>,
    policy: &Policy,
) -> Result<Outcome, CliError> {
    let iin = iin_file.map(person::read_iin).transpose()?;
    let checked = match check(document, policy, iin.as_ref()) {
        Ok(checked) => checked,
        // Nothing is wrong with the document: it cannot tell.
        Err(error @ CheckError::NoDebtorOpening) => return Err(CliError::Usage(error.to_string())),
        Err(error) => {
            let error = error.to_string();
            let value = json!({"matches": false, "finding": error});
            global.show(&value, |out| writeln!(out, "DOES NOT FIT: {error}"))?;
            return Ok(Outcome::NotAll);
        }
    };
    let Checked { document, checkpoint, signed_by, debtor } = &checked;
    let mut value = document.clone();
    value.as_object_mut().map(|members| members.remove("proof"));
    let value = json!({"matches": true, "decision": value, "debtor_checked": debtor, "origin": checkpoint.origin,
        "size": checkpoint.size, "signed_by": signed_by});
    let text = |name: &str| table::text(document, name);
    let facts = table::facts([
        ("outcome", table::text(&document["outcome_words"], "en")),
        ("document", format!("{} of {}", text("number"), text("order_date"))),
        (
            "issuer",
            format!(
                "BIN {}, {}",
                table::text(&document["issuer"], "bin"),
                table::text(&document["issuer"]["words"], "en")
            ),
        ),
        ("order", table::text(&document["order_words"], "en")),
        ("asked", table::amount(document, "asked")),
        ("taken", table::amount(document, "taken")),
        ("held", table::amount(document, "held")),
        ("refused", table::amount(document, "refused")),
        ("decided", text("at")),
    ]);
    global.show(&value, |out| {
        table::print(out, &facts)?;
        let entry = table::text_of_number(document, "entry");
        let person = if *debtor { " and is about the person given" } else { "" };
        writeln!(
            out,
            "every member is what entry {entry} of the log {} says{person}, signed by {}",
            checkpoint.origin,
            signed_by.join(", ")
        )
    })?;
    Ok(Outcome::Done)
}

fn money(tiyn: i64) -> String {
    Money::from_tiyn(tiyn).unwrap_or(Money::ZERO).to_string()
}

fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).map_err(|_| format!("{text} is no day like 2026-11-22"))
}

/// Tiyn as the API writes amounts: a sum of many may pass what one amount can be.
fn sum(tiyn: i128) -> String {
    format!("{}.{:02}", tiyn / 100, tiyn % 100)
}

fn totals_json(totals: &Totals) -> Value {
    let programmes = totals.programmes.iter().map(|programme| {
        json!({
            "programme": programme.programme,
            "funded": money(programme.funded),
            "accrued": money(programme.accrued),
            "reversed": money(programme.reversed),
            "funding_left": money(programme.funding_left),
            "in_wallets": money(programme.in_wallets),
            "paid_out": money(programme.paid_out),
        })
    });
    json!({
        "currency": "KZT",
        "programmes": programmes.collect::<Vec<_>>(),
        "wallets": money(totals.wallets),
        "funding": money(totals.funding),
        "clearing": money(totals.clearing),
        "backing": money(totals.backing),
    })
}

fn log_json(report: &Report) -> Value {
    let checkpoint = report.checkpoint.as_ref().map(|checkpoint| {
        json!({
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": hex::encode(checkpoint.root),
            "signed_by": report.signed_by,
        })
    });
    let kinds: serde_json::Map<_, _> =
        report.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
    let outcomes: serde_json::Map<_, _> = report
        .orders
        .outcomes
        .iter()
        .map(|(outcome, count)| (outcome.as_str().into(), json!(count)))
        .collect();
    json!({
        "checkpoint": checkpoint,
        "earlier": report.earlier.iter().map(|(name, size)| json!({"file": name, "size": size})).collect::<Vec<_>>(),
        "entries": report.entries,
        "kinds": kinds,
        "bytes": report.bytes,
        "wallets": report.wallets,
        "lots": report.lots.0,
        "key_rotations": report.rotations.iter().map(|rotated| json!({
            "entry": rotated.entry,
            "old": rotated.old.to_string(),
            "new": rotated.new.to_string(),
        })).collect::<Vec<_>>(),
        "declared_losses": report.declared.iter().map(|declared| json!({
            "entry": declared.entry,
            "origin": declared.origin,
            "lost_origin": declared.lost_origin,
            "lost_size": declared.lost_size,
        })).collect::<Vec<_>>(),
        "orders": {
            "outcomes": outcomes,
            "taken_from_general": sum(report.orders.of_general),
            "taken_from_protected": sum(report.orders.of_protected),
        },
        "totals": report.totals.as_ref().map(totals_json),
        "finding": report.finding.as_ref().map(|finding| json!({
            "entry": finding.entry,
            "place": finding.place,
            "expected": finding.expected,
            "found": finding.found,
            "text": finding.to_string(),
        })),
    })
}

/// What is said to people.
#[derive(Default)]
struct Said {
    log: Option<Report>,
    store: Option<crate::audit::Report>,
}

impl Said {
    fn print(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        if let Some(report) = &self.log {
            print_log(out, report)?;
        }
        if let Some(report) = &self.store {
            writeln!(
                out,
                "the store: replayed {} entries; compared {} rows",
                figures::count(report.entries),
                figures::count(report.rows)
            )?;
            if report.matches() {
                writeln!(out, "every projection is what the replay of the journal gives")?;
            }
            for finding in &report.findings {
                writeln!(out, "DOES NOT FIT: {finding}")?;
            }
            let more = report.findings_count - report.findings.len() as u64;
            if more > 0 {
                writeln!(out, "… and {more} more")?;
            }
        }
        Ok(())
    }
}

fn print_log(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    if let Some(checkpoint) = &report.checkpoint {
        writeln!(out, "{}: {} entries", checkpoint.origin, figures::count(checkpoint.size))?;
    }
    for declared in &report.declared {
        writeln!(
            out,
            "NOTE: entry {} declares that the log {} of {} entries was lost after its first {}",
            declared.entry, declared.lost_origin, declared.lost_size, declared.entry
        )?;
    }
    for rotated in &report.rotations {
        let (old, new) = (rotated.old.label(), rotated.new.label());
        writeln!(out, "the log's key {old} handed over to {new} by entry {}", rotated.entry)?;
    }
    for (name, size) in &report.earlier {
        writeln!(out, "it has grown from {name} of {} entries", figures::count(*size))?;
    }
    if let Some(totals) = &report.totals {
        let mut rows = table::table(&[
            "programme",
            ">funded",
            ">accrued",
            ">reversed",
            ">funding left",
            ">in wallets",
            ">paid out",
        ]);
        for row in &totals.programmes {
            let figures =
                [row.funded, row.accrued, row.reversed, row.funding_left, row.in_wallets, row.paid_out];
            rows.add_row([row.programme.to_string()].into_iter().chain(figures.map(figures::tiyn)));
        }
        table::print(out, &rows)?;
        writeln!(
            out,
            "e-money: {} KZT in {} wallets + {} KZT funding + {} KZT clearing = {} KZT backing",
            figures::tiyn(totals.wallets),
            figures::count(report.wallets.into()),
            figures::tiyn(totals.funding),
            figures::tiyn(totals.clearing),
            figures::tiyn(totals.backing)
        )?;
    }
    if report.totals.is_some() && !report.orders.outcomes.is_empty() {
        let outcomes = report.orders.outcomes.iter();
        let outcomes: Vec<String> = outcomes
            .map(|(outcome, count)| format!("{} {}", figures::count(*count), outcome.as_str()))
            .collect();
        writeln!(out, "orders: {}", outcomes.join(", "))?;
        let OrderTotals { of_general, of_protected, .. } = &report.orders;
        writeln!(out, "taken from general money: {}", sum(*of_general))?;
        writeln!(out, "taken from protected money: {}", sum(*of_protected))?;
    }
    match &report.finding {
        None => writeln!(
            out,
            "everything fits: {} entries replayed, signed by {}",
            figures::count(report.entries),
            report.signed_by.join(", ")
        ),
        Some(finding) => {
            writeln!(out, "{} entries were replayed before", figures::count(report.entries))?;
            writeln!(out, "DOES NOT FIT: {finding}")
        }
    }
}
