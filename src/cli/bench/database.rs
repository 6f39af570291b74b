//! The PostgreSQL that a benchmark runs on: whether it is honest, how large it grows, how hard it works, and what
//! `pgbench` gets out of it.

use reqwest::Url;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tokio::process::Command;
use uuid::Uuid;

use super::super::error::CliError;
use super::machine;

/// Settings without which a commit is not durable.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

/// A connection beside the service's, and a schema of the benchmark's own.
pub struct Database {
    /// Where it is.
    pub url: String,
    /// The schema that the service gets; new.
    pub schema: String,
    connection: PgConnection,
    /// The server's first process, if it is on this machine and can be seen.
    postmaster: Option<u32>,
}

fn failed(error: &sqlx::Error) -> CliError {
    CliError::Child(format!("PostgreSQL: {error}."))
}

impl Database {
    /// Connects, and refuses a database that would make the figures a lie.
    pub async fn connect(url: &str) -> Result<Self, CliError> {
        let options: PgConnectOptions = url.parse().map_err(|error| failed(&error))?;
        // Its statements are slow by nature and its notices are expected.
        let options = options.disable_statement_logging().options([("client_min_messages", "warning")]);
        let mut connection = options.connect().await.map_err(|error| failed(&error))?;
        for setting in DURABLE {
            let value: String = sqlx::query_scalar(AssertSqlSafe(format!("SHOW {setting}")))
                .fetch_one(&mut connection)
                .await
                .map_err(|error| failed(&error))?;
            if value == "off" {
                let text = format!(
                    "{setting} is off on this PostgreSQL: an answer would not be durable. Switch it on."
                );
                return Err(CliError::Refused(text));
            }
        }
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| failed(&error))?;
        // Our own backend's parent is the server, if both are on this machine.
        let postmaster = u32::try_from(backend)
            .ok()
            .filter(|pid| machine::program(*pid).is_some_and(|name| name.starts_with("postgres")))
            .and_then(machine::parent);
        let schema = format!("bench_{}", &Uuid::new_v4().simple().to_string()[..12]);
        Ok(Self { url: url.to_owned(), schema, connection, postmaster })
    }

    /// Gives the next service a schema of its own.
    pub fn next_schema(&mut self) {
        self.schema = format!("bench_{}", &Uuid::new_v4().simple().to_string()[..12]);
    }

    /// Bytes of the schema's tables and indexes.
    pub async fn bytes(&mut self) -> Result<u64, CliError> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
             WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind IN ('r', 'm')",
        )
        .bind(&self.schema)
        .fetch_one(&mut self.connection)
        .await
        .map_err(|error| failed(&error))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Processor time of all its processes so far, in seconds; `None` if they cannot be seen.
    pub fn cpu_seconds(&self) -> Option<f64> {
        self.postmaster.and_then(machine::cpu_seconds_of_family)
    }

    /// Removes the schema.
    pub async fn drop_schema(&mut self) -> Result<(), CliError> {
        let statement = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut self.connection)
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Transactions per second of pgbench's TPC-B-like script, scale 10, 16 clients, prepared, for 10 seconds, in a
    /// database of its own. The error is a note on why there is no figure.
    pub async fn pgbench(&mut self) -> Result<f64, String> {
        let program = find_pgbench().ok_or("pgbench is not installed")?;
        let name = format!("bench_{}", &Uuid::new_v4().simple().to_string()[..12]);
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create)
            .execute(&mut self.connection)
            .await
            .map_err(|error| format!("no database for pgbench: {error}"))?;
        let outcome = run_pgbench(&program, &self.url, &name).await;
        let drop = AssertSqlSafe(format!("DROP DATABASE {name}"));
        sqlx::query(drop)
            .execute(&mut self.connection)
            .await
            .map_err(|error| format!("{name} is left: {error}"))?;
        outcome
    }
}

async fn run_pgbench(program: &str, url: &str, database: &str) -> Result<f64, String> {
    pgbench(program, url, database, &["-q", "-i", "-s", "10"]).await?;
    let output =
        pgbench(program, url, database, &["-c", "16", "-j", "2", "-M", "prepared", "-T", "10"]).await?;
    tps(&output).ok_or_else(|| "pgbench gave no figure".to_owned())
}

async fn pgbench(program: &str, url: &str, database: &str, arguments: &[&str]) -> Result<String, String> {
    let url = Url::parse(url).map_err(|_| "the database's address is not a URL".to_owned())?;
    let mut command = Command::new(program);
    // Through the environment: arguments would show the password to everybody on the machine.
    command.args(arguments).env("PGDATABASE", database).env("PGUSER", url.username());
    command
        .env("PGHOST", url.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", url.port().unwrap_or(5432).to_string());
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", password);
    }
    let output = command.output().await.map_err(|error| format!("pgbench does not start: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("pgbench ended with {}", output.status))
    }
}

/// From `tps = 8123.456 (without initial connection time)`.
fn tps(output: &str) -> Option<f64> {
    let line = output.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

/// On the path, or where Debian keeps the programs of its newest version.
fn find_pgbench() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("pgbench"));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<_> = versions.map(|version| version.path().join("bin/pgbench")).collect();
    installed.sort();
    let found = on_path.chain(installed.into_iter().rev()).find(|program| program.is_file())?;
    Some(found.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_of_pgbench_is_found() {
        let output = "latency average = 1.9 ms\ninitial connection time = 30 ms\ntps = 8123.25 (without initial connection time)\n";
        assert_eq!(tps(output), Some(8_123.25));
        assert_eq!(tps("nothing"), None);
    }
}
