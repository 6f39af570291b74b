//! `report`: the books as a whole.

use std::io::Write as _;

use clap::Subcommand;
use comfy_table::Table;
use serde_json::Value;

use super::error::{CliError, Outcome};
use super::{Global, table};

/// Show the trial balance, or what came in and where it is
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Every account's debits and credits, and whether they are equal
    TrialBalance {
        /// As of a time (RFC 3339) or the end of a business day (2026-11-22)
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Orders of business days: who asked for how much, what became of it, and that nothing protected was taken
    Orders {
        /// The first business day, like 2026-11-01
        #[arg(long, value_name = "DATE")]
        from: String,
        /// The last one
        #[arg(long, value_name = "DATE")]
        to: String,
    },
    /// By programme: what was funded, accrued, taken back, is in wallets, was paid out, and whether it ties
    Programmes {
        /// As of a time (RFC 3339) or the end of a business day (2026-11-22)
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
}

/// Runs the command. A report that does not balance is an exit code of 1.
pub async fn run(global: &Global, command: ReportCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    let (report, rows, holds) = match command {
        ReportCommand::Orders { from, to } => {
            let report = client.orders_report(&from, &to).await?;
            return show_orders(global, &report);
        }
        ReportCommand::TrialBalance { at } => {
            let report = client.trial_balance(at.as_deref()).await?;
            let holds = report["balanced"] == true;
            (report.clone(), trial_balance(&report), holds)
        }
        ReportCommand::Programmes { at } => {
            let report = client.programmes_report(at.as_deref()).await?;
            let rows = list(&report, "programmes");
            let holds = rows.iter().all(|row| row["ties"] != false);
            (report.clone(), programmes(&report), holds)
        }
    };
    global.show(&report, |out| {
        table::print(out, &rows)?;
        writeln!(out)?;
        if holds {
            writeln!(out, "It balances.")
        } else {
            writeln!(out, "IT DOES NOT BALANCE. Stop paying from this book and compare it with a replay.")
        }
    })?;
    Ok(if holds { Outcome::Done } else { Outcome::NotAll })
}

fn show_orders(global: &Global, report: &Value) -> Result<Outcome, CliError> {
    let sums = ["asked", "taken", "held", "refused"];
    let mut rows = table::table(&[
        "issuer", "what", "kind", "outcome", ">orders", ">asked", ">taken", ">held", ">refused",
    ]);
    for row in list(report, "orders") {
        let texts = ["issuer", "issuer_kind", "kind", "outcome", "orders"].map(|name| table::text(row, name));
        rows.add_row(texts.into_iter().chain(sums.map(|name| table::amount(row, name))));
    }
    let (totals, proof) = (&report["totals"], &report["proof"]);
    let holds = proof["ties"] == true;
    global.show(report, |out| {
        table::print(out, &rows)?;
        let sum = |of: &Value, name: &str| table::amount(of, name);
        writeln!(
            out,
            "\n{} orders asked for {} KZT: {} taken, {} held, {} recovered, {} not reached",
            table::text(totals, "orders"),
            sum(totals, "asked"),
            sum(totals, "taken"),
            sum(totals, "held"),
            sum(totals, "recovered"),
            sum(totals, "not_reached")
        )?;
        writeln!(
            out,
            "Of every lot that the {} decisions that took money name: protected {} KZT, general {} KZT",
            table::text(proof, "decisions_that_took"),
            sum(proof, "taken_from_protected"),
            sum(proof, "taken_from_general")
        )?;
        if holds {
            writeln!(out, "Nothing protected was taken, and authorities were credited with what was.")
        } else {
            writeln!(out, "IT DOES NOT TIE. Compare the book with a replay.")
        }
    })?;
    Ok(if holds { Outcome::Done } else { Outcome::NotAll })
}

fn trial_balance(report: &Value) -> Table {
    let mut rows = table::table(&["account", "kind", ">debit", ">credit"]);
    let side = |account: &Value, name: &str| match account[name].as_str() {
        Some("0.00") => String::new(),
        _ => table::amount(account, name),
    };
    for account in list(report, "accounts") {
        rows.add_row([
            table::text(account, "account"),
            table::text(account, "kind"),
            side(account, "debit"),
            side(account, "credit"),
        ]);
    }
    let (debit, credit) = (table::amount(report, "total_debit"), table::amount(report, "total_credit"));
    rows.add_row(["total".to_owned(), String::new(), debit, credit]);
    rows
}

fn programmes(report: &Value) -> Table {
    let figures = ["funded", "accrued", "reversed", "funding_left", "in_wallets", "paid_out"];
    let mut rows = table::table(&[
        "programme",
        ">funded",
        ">accrued",
        ">reversed",
        ">funding left",
        ">in wallets",
        ">paid out",
        "ties",
    ]);
    for programme in list(report, "programmes") {
        let name = super::programme::code_of(programme).to_owned();
        let amounts = figures.map(|member| table::amount(programme, member));
        rows.add_row([name].into_iter().chain(amounts).chain([table::text(programme, "ties")]));
    }
    rows
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map(Vec::as_slice).unwrap_or_default()
}
