//! How fast payrolls are generated and parsed, on one core: `cargo run --release --example payroll_speed`.
//!
//! The figures are of data that is already in memory: no disk, no network, no ledger.

use std::error::Error;
use std::time::Instant;

use social_wallet::domain::Period;
use social_wallet::payroll::{BadShares, ChunkReader, GeneratorConfig, LineKind, OutputFormat, parse_chunk};

const LINES: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    for format in [OutputFormat::Csv, OutputFormat::Mifos, OutputFormat::Ndjson] {
        let config = GeneratorConfig {
            lines: LINES.into(),
            seed: 1,
            period: Period::parse(b"2026-11")?,
            shuffle: true,
            bad: BadShares::default(),
            format,
        };
        let mut file = Vec::new();
        let start = Instant::now();
        config.write_to(&mut file)?;
        report(format, "generate", start);

        let mut reader = ChunkReader::new(file.as_slice())?;
        let encoding = reader.encoding();
        let start = Instant::now();
        let mut chunks = Vec::new();
        while let Some(chunk) = reader.next_chunk()? {
            chunks.push(chunk);
        }
        report(format, "cut into chunks", start);

        let start = Instant::now();
        let mut good = 0;
        for chunk in &chunks {
            let lines = parse_chunk(LineKind::Accrual, encoding, &chunk.body)?;
            good += lines.iter().filter(|line| line.line.is_ok()).count();
        }
        report(format, "parse", start);
        assert_eq!(good, LINES as usize, "a benchmark of refusals would measure something else");
    }
    Ok(())
}

fn report(format: OutputFormat, what: &str, start: Instant) {
    let lines_per_second = f64::from(LINES) / start.elapsed().as_secs_f64();
    println!("{format:?}, {what}: {:.2} million lines/s", lines_per_second / 1e6);
}
