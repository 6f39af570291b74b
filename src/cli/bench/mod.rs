//! `bench`: what the whole path carries, from a client's socket to the disk and back.
//!
//! The command is the client; the service is a child of its own, on a place of its own, with its durability on. Files
//! are written and surveyed before the clock runs. What would make the figures a lie is refused: a debug build, a
//! database that does not sync, a directory in memory.
//!
//! | scenario      | does |
//! |---------------|------|
//! | `payday-new`  | a payroll of N lines into N new wallets |
//! | `payday-next` | the same wallets, the next period, in random order |
//! | `single`      | single accruals, one request each, by 1, 16 and 64 clients at once |
//! | `transfers`   | transfers requested by 1, 16 and 64 clients of a bank at once, under holders' authorisations |
//! | `orders`      | N orders by file against wallets with benefits, until the last decision has its signed document |
//! | `reads`       | balances and statements by 16 clients, while 4 others accrue |

mod database;
mod load;
mod machine;
mod orders;
mod scenarios;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::database::Database;
use super::child::{Place, Server};
use super::error::{CliError, Outcome};
use super::{Global, child, figures, table};

/// What can be measured; the module's documentation says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Payday,
    Single,
    Transfers,
    Orders,
    Reads,
}

/// Where the book is kept: in the embedded store, or in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    Sqlite,
    Postgres,
}

/// What to measure, and on what.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure [default: all]
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Where the book is kept
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// PostgreSQL's address; a role that may create schemas, and databases for pgbench
    #[arg(long, value_name = "URL", env = "SOCIAL_WALLET_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Lines of a payroll, and of a file of orders, 1000 to 20000000
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    lines: u64,
    /// Clients at once in `single` and `transfers`, one run each, 1 to 1024
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,16,64", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    clients: Vec<u32>,
    /// Chunks under way at once in `payday`, 1 to 8
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    in_flight: u8,
    /// Seconds of each run of `single`, `transfers` and `reads`, whose requests are signed before, 1 to 240
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=load::SECONDS_MAX))]
    seconds: u64,
    /// Where to put the files and the embedded store [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Measure a debug build all the same
    #[arg(long)]
    allow_debug: bool,
}

/// Everything a scenario needs.
struct Bench {
    args: BenchArgs,
    files: TempDir,
    database: Option<Database>,
}

/// Figures of one stretch of work.
struct Measured {
    cpu_s_server: Option<f64>,
    cpu_s_database: Option<f64>,
    peak_rss_mib: Option<u64>,
    bytes: u64,
}

/// The counters before a stretch of work.
struct Before {
    server: Option<f64>,
    database: Option<f64>,
    bytes: u64,
}

/// Runs the command.
pub async fn run(global: &Global, args: BenchArgs) -> Result<Outcome, CliError> {
    let directory = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    refuse_dishonest(&args, &directory)?;
    let files = tempfile::Builder::new().prefix("social-wallet-bench-").tempdir_in(&directory);
    let files = files.map_err(CliError::file(&directory))?;
    let database = match (args.store, &args.database_url) {
        (StoreKind::Sqlite, _) => None,
        (StoreKind::Postgres, Some(url)) => Some(Database::connect(url).await?),
        (StoreKind::Postgres, None) => {
            let text = "say where PostgreSQL is with --database-url, or in SOCIAL_WALLET_DATABASE_URL.";
            return Err(CliError::Usage(text.to_owned()));
        }
    };
    let mut bench = Bench { args, files, database };
    let results = bench.run_all(global).await?;
    if !global.json {
        table::print(&mut std::io::stdout().lock(), &result_table(&results))?;
    }
    Ok(Outcome::Done)
}

fn refuse_dishonest(args: &BenchArgs, directory: &std::path::Path) -> Result<(), CliError> {
    if cfg!(debug_assertions) && !args.allow_debug {
        let text = "this is a debug build, many times slower than a release: build with `cargo build --release`, \
                    or measure it all the same with --allow-debug.";
        return Err(CliError::Refused(text.to_owned()));
    }
    if args.store == StoreKind::Sqlite && machine::is_in_memory(directory) {
        let text = format!(
            "{} is in memory, where nothing is durable; name a directory on a disk with --dir.",
            directory.display()
        );
        return Err(CliError::Refused(text));
    }
    Ok(())
}

impl Bench {
    async fn run_all(&mut self, global: &Global) -> Result<Vec<Value>, CliError> {
        let pgbench = match &mut self.database {
            Some(database) => {
                note("pgbench, for comparison");
                Some(database.pgbench().await)
            }
            None => None,
        };
        let mut results = Vec::new();
        for scenario in
            [Scenario::Payday, Scenario::Single, Scenario::Transfers, Scenario::Orders, Scenario::Reads]
        {
            if !self.args.scenarios.is_empty() && !self.args.scenarios.contains(&scenario) {
                continue;
            }
            for mut result in self.run_scenario(scenario).await? {
                if let Some(pgbench) = &pgbench {
                    result["pgbench_tps"] = json!(pgbench.as_ref().ok().map(|tps| figures::rounded(*tps)));
                    if let Err(reason) = pgbench {
                        result["pgbench_note"] = json!(reason);
                    }
                }
                if global.json {
                    global.show(&result, |_| Ok(()))?;
                }
                results.push(result);
            }
        }
        Ok(results)
    }

    /// On a service and a place of its own, which are gone afterwards, however it ended.
    async fn run_scenario(&mut self, scenario: Scenario) -> Result<Vec<Value>, CliError> {
        let data_dir = self.files.path().join(format!("{scenario:?}").to_lowercase());
        let database = self.database.as_mut().map(|database| {
            database.next_schema();
            (database.url.clone(), database.schema.clone())
        });
        let place = Place { data_dir, database };
        let outcome = self.measure(scenario, &place).await;
        if let Some(database) = &mut self.database {
            database.drop_schema().await?;
        }
        // The next scenario needs the room; what cannot be removed now goes with the directory at the end.
        let _ = std::fs::remove_dir_all(&place.data_dir);
        outcome
    }

    async fn measure(&mut self, scenario: Scenario, place: &Place) -> Result<Vec<Value>, CliError> {
        child::migrate(place).await?;
        child::bootstrap(place).await?;
        let server = Server::start(place.clone()).await?;
        let results = match scenario {
            Scenario::Payday => self.paydays(&server).await,
            Scenario::Single => self.singles(&server).await,
            Scenario::Transfers => self.transfers(&server).await,
            Scenario::Orders => self.orders(&server).await,
            Scenario::Reads => self.reads(&server).await,
        }?;
        server.stop().await?;
        Ok(results)
    }

    async fn before(&mut self, server: &Server) -> Result<Before, CliError> {
        Ok(Before {
            server: machine::cpu_seconds(server.pid),
            database: self.database.as_ref().and_then(Database::cpu_seconds),
            bytes: self.bytes(server).await?,
        })
    }

    async fn after(&mut self, server: &Server, before: &Before) -> Result<Measured, CliError> {
        let since = |now: Option<f64>, then: Option<f64>| Some(((now? - then?) * 100.0).round() / 100.0);
        Ok(Measured {
            cpu_s_server: since(machine::cpu_seconds(server.pid), before.server),
            cpu_s_database: since(self.database.as_ref().and_then(Database::cpu_seconds), before.database),
            peak_rss_mib: machine::peak_rss_mib(server.pid),
            bytes: self.bytes(server).await?.saturating_sub(before.bytes),
        })
    }

    async fn bytes(&mut self, server: &Server) -> Result<u64, CliError> {
        match &mut self.database {
            Some(database) => database.bytes().await,
            None => Ok(machine::bytes_in(server.data_dir())),
        }
    }

    fn store_name(&self) -> &'static str {
        match self.args.store {
            StoreKind::Sqlite => "sqlite",
            StoreKind::Postgres => "postgres",
        }
    }
}

/// What is being done, for whoever waits.
fn note(what: &str) {
    eprintln!("bench: {what}");
}

fn result_table(results: &[Value]) -> comfy_table::Table {
    let heads = [
        "scenario",
        ">clients",
        ">per s",
        ">p50 ms",
        ">p99 ms",
        ">RSS MiB",
        ">bytes each",
        ">CPU s service",
        ">CPU s database",
        ">pgbench",
    ];
    let mut rows = table::table(&heads);
    let members = [
        "scenario",
        "clients",
        "per_s",
        "p50_ms",
        "p99_ms",
        "peak_rss_mib",
        "bytes_per_accrual",
        "cpu_s_server",
        "cpu_s_database",
        "pgbench_tps",
    ];
    for result in results {
        rows.add_row(members.map(|member| table::text(result, member)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;

    #[test]
    fn a_run_ends_while_its_signatures_live() {
        for (seconds, taken) in [(0, false), (1, true), (239, true), (240, true), (241, false)] {
            let arguments = ["social-wallet", "bench", "single", "--seconds", &seconds.to_string()];
            let read = Cli::read(arguments.map(Into::into));
            assert_eq!(read.is_ok(), taken, "{seconds}");
        }
        assert!(super::load::SECONDS_MAX < crate::signature::LIFETIME_SECONDS_MAX.unsigned_abs());
    }
}
