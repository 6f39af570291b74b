//! `replay`: runs the journal through the rules again and holds every projection against the result.

use std::io::Write as _;

use clap::Args;
use serde_json::json;

use crate::audit::audit;
use crate::domain::Money;
use crate::store::StoreError;

use super::place::PlaceArgs;
use super::progress::Progress;
use super::{CliError, Global, Outcome};

/// Which book.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Replays and compares. The outcome tells whether everything fits.
pub async fn run(global: &Global, args: ReplayArgs) -> Result<Outcome, CliError> {
    let store = args.place.open_store().await?;
    let failed = |error: StoreError| CliError::Service(error.to_string());
    let entries = store.head().await.map_err(failed)?.map_or(0, |head| head.size);
    let progress = Progress::new("replayed", entries);
    let mut before = 0;
    let report = audit(store, |done| {
        progress.advance(done - before, true);
        before = done;
    });
    let report = report.await.map_err(failed)?;
    progress.finish();
    let money = |tiyn| Money::from_tiyn(tiyn).unwrap_or(Money::ZERO);
    let value = json!({
        "entries": report.entries,
        "wallets": report.wallets,
        "rows": report.rows,
        "total_debit": money(report.debit),
        "total_credit": money(report.credit),
        "matches": report.matches(),
        "findings": report.findings,
        "findings_count": report.findings_count,
    });
    global.show(&value, |out| {
        writeln!(
            out,
            "replayed {} entries of {} wallets; compared {} rows",
            report.entries, report.wallets, report.rows
        )?;
        writeln!(out, "debits {} KZT, credits {} KZT", money(report.debit), money(report.credit))?;
        if report.matches() {
            writeln!(out, "every projection is what the replay of the journal gives")?;
        }
        for finding in &report.findings {
            writeln!(out, "DOES NOT FIT: {finding}")?;
        }
        if report.findings_count > report.findings.len() as u64 {
            writeln!(out, "… and {} more", report.findings_count - report.findings.len() as u64)?;
        }
        Ok(())
    })?;
    Ok(if report.matches() { Outcome::Done } else { Outcome::NotAll })
}
