//! Orders by file: what an authority sends, to decisions that a signed checkpoint covers.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use super::machine::Latencies;
use super::scenarios::crew;
use super::{Bench, note};
use crate::cli::child::Server;
use crate::cli::error::CliError;
use crate::cli::figures;
use crate::cli::order::send_file;
use crate::client::orders::DocumentForm;
use crate::domain::time::Stamp;
use crate::orders::file::HEADER;
use crate::payroll::AccrualLine;
use crate::sequencer::clock;

impl Bench {
    /// A file of payment demands of a collector, one after another against wallets with benefits on them. All must be refused, and
    /// the clock stops when the last refusal has a document that its authority can check.
    pub(super) async fn orders(&mut self, server: &Server) -> Result<Vec<Value>, CliError> {
        let crew = crew(server);
        let client = crew.client("payer")?;
        let wallets = self.open_wallets(server, &crew, &client).await?;
        let people = self.people(wallets, 2).await?;
        let lines = self.args.lines;
        let file = self.order_file(&people, lines)?;
        let collector = crew.client("collector")?;
        note(&format!("orders, {}", figures::lines(lines)));
        let before = self.before(server).await?;
        let mut latencies = Latencies::default();
        let begun = Instant::now();
        let sent = send_file(&collector, &file, None, |_, took| latencies.add(took)).await?;
        collector.decision_document(sent.newest, DocumentForm::Json, None).await?;
        let took = begun.elapsed();
        let measured = self.after(server, &before).await?;
        let refused = sent.said.get("refused_protected").map_or(0, |(count, _)| *count);
        if refused != lines {
            return Err(CliError::Child(format!(
                "orders were not refused as they should be: {:?}.",
                sent.said
            )));
        }
        let per_s = figures::per_second(lines, took);
        Ok(vec![self.result("orders", 1, lines, per_s, latencies, &measured)])
    }

    fn order_file(&self, people: &[AccrualLine], lines: u64) -> Result<PathBuf, CliError> {
        let path = self.files.path().join("orders.csv");
        let today = Stamp::of(clock::now()).map_or_else(String::new, |stamp| stamp.date_text());
        let mut text = format!("{HEADER}\n");
        for (number, line) in (1..=lines).zip(people.iter().cycle()) {
            let iin = line.iin.expose();
            writeln!(
                text,
                "{number}/2026,{today},payment_demand,{iin},50000.00,KZT,Contract {number},A debt of the holder,,,,,,,,"
            )
            .expect("writing to a string does not fail");
        }
        std::fs::write(&path, text).map_err(CliError::file(&path))?;
        Ok(path)
    }
}
