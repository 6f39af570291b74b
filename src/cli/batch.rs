//! `batch`: where a batch stands, and the steps that a person takes on it.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::error::{CliError, Outcome};
use super::{Global, figures, table};
use crate::domain::BatchId;

/// Show a batch; release, close or cancel it
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    /// Where it stands
    Show(Id),
    /// Release it, as the second person: with another --client than the one that opened it
    Release(Id),
    /// Close it: completed if all that was declared has been received
    Close(Id),
    /// Cancel it: it takes no more lines; what was accepted stays
    Cancel(Id),
}

/// Which batch.
#[derive(Debug, Args)]
pub struct Id {
    /// The batch's id, as `accrue` prints it
    #[arg(value_parser = BatchId::parse)]
    id: BatchId,
}

/// Runs the command.
pub async fn run(global: &Global, command: BatchCommand) -> Result<Outcome, CliError> {
    let client = global.client()?;
    let (batch, outcome) = match command {
        BatchCommand::Show(Id { id }) => {
            let batch = client.batch(id).await?;
            (batch.ok_or_else(|| CliError::Refused(format!("there is no batch {id}.")))?, Outcome::Done)
        }
        BatchCommand::Release(Id { id }) => (client.release_batch(id).await?, Outcome::Done),
        BatchCommand::Close(Id { id }) => {
            let batch = client.close_batch(id).await?;
            let completed = batch["state"] == "completed";
            (batch, if completed { Outcome::Done } else { Outcome::NotAll })
        }
        BatchCommand::Cancel(Id { id }) => (client.cancel_batch(id).await?, Outcome::Done),
    };
    show(global, &batch)?;
    Ok(outcome)
}

fn show(global: &Global, batch: &Value) -> Result<(), CliError> {
    let mut sums = table::table(&["", ">lines", ">KZT"]);
    for name in ["declared", "received", "accepted", "refused", "difference"] {
        let row = &batch[name];
        sums.add_row([name.to_owned(), table::text(row, "lines"), table::amount(row, "total")]);
    }
    let facts = table::facts([
        ("batch", table::text(batch, "batch")),
        ("state", table::text(batch, "state").replace('_', " ")),
        ("kind", table::text(batch, "kind").replace('_', " ")),
        ("payer", table::text(batch, "payer")),
        ("programmes", table::text(batch, "programmes")),
        ("periods", table::text(batch, "periods")),
        ("opened by", table::text(batch, "opened_by")),
        ("not before", table::text(batch, "not_before")),
        ("first chunk", table::text(batch, "first_chunk_at")),
        ("last chunk", table::text(batch, "last_chunk_at")),
        ("rate", batch["lines_per_s"].as_f64().map(figures::rate).unwrap_or_default()),
        ("missing", ranges(&batch["missing"])),
    ]);
    global.show(batch, |out| {
        table::print(out, &facts)?;
        writeln!(out)?;
        table::print(out, &sums)
    })
}

/// The first few of the missing ranges.
fn ranges(missing: &Value) -> String {
    const SHOWN: usize = 5;
    let all = missing.as_array().map(Vec::as_slice).unwrap_or_default();
    let bound = |value: &Value| value.as_u64().map(figures::count).unwrap_or_default();
    let shown: Vec<_> =
        all.iter().take(SHOWN).map(|range| format!("{}–{}", bound(&range[0]), bound(&range[1]))).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more ranges", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_few_missing_ranges_are_shown_and_the_rest_counted() {
        assert_eq!(ranges(&json!([])), "");
        assert_eq!(ranges(&json!([[8_193, 100_000]])), "8 193–100 000");
        assert_eq!(
            ranges(&json!([[1, 1], [3, 3], [5, 5], [7, 7], [9, 9], [11, 11]])),
            "1–1, 3–3, 5–5, 7–7, 9–9 and 1 more ranges"
        );
    }
}
