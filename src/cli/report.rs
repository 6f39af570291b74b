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
