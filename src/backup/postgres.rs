//! Backups of a book in PostgreSQL, by the field's tools: `pg_dump` of one exported snapshot, and `pg_restore`, as child
//! processes. Passwords reach them through the environment, which `ps` does not show to others.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::str::FromStr as _;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use crate::store::postgres::{PostgresSnapshot, PostgresStore, SCHEMA_VERSION, make_schema};

use super::manifest::BackedUpFile;
use super::{BackupError, Manifest, Snapshot, StoreKind, make_directory, seal};

/// Lines of a program's complaint that are shown.
const LINES_SHOWN: usize = 10;

/// A book in PostgreSQL.
#[derive(Clone, Copy)]
pub struct PostgresPlace<'a> {
    /// A login: of a backup, any that may serve; of a restore, the owner's.
    pub url: &'a str,
    /// The schema.
    pub schema: &'a str,
    /// The role that serves.
    pub service_role: &'a str,
    /// Where `pg_dump` and `pg_restore` are; if not given, they are looked for in `PATH`.
    pub programs: Option<&'a Path>,
}

impl PostgresPlace<'_> {
    fn program(&self, name: &str) -> PathBuf {
        self.programs.map_or_else(|| PathBuf::from(name), |directory| directory.join(name))
    }
}

/// Backs a book up into a new directory.
pub async fn back_up(
    place: PostgresPlace<'_>,
    directory: &Path,
    at: String,
) -> Result<Manifest, BackupError> {
    let taken = PostgresSnapshot::take(place.url, place.schema, place.service_role).await?;
    let no_book = || BackupError::NoBook(format!("the schema {}", place.schema));
    let snapshot = Snapshot::of(taken.held.as_ref().ok_or_else(no_book)?)?;
    let program = place.program("pg_dump");
    let version = version(&program, taken.server, "the server is").await?;
    make_directory(directory)?;
    let name = StoreKind::Postgres.file_name();
    let dump = directory.join(name);
    let mut command = Command::new(&program);
    // The role that serves reads everything, and owns nothing.
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--no-password"]);
    command.arg(format!("--schema={}", place.schema)).arg(format!("--role={}", place.service_role));
    command.arg(format!("--snapshot={}", taken.id)).arg("--file").arg(&dump);
    run(command, &program, place.url).await?;
    taken.release().await?;
    seal(&dump)?;
    let file = BackedUpFile::of(directory, name).map_err(BackupError::file(&dump))?;
    let mut manifest = Manifest::new(&snapshot, StoreKind::Postgres, at, file);
    manifest.schema = Some(place.schema.to_owned());
    manifest.pg_dump = Some(version);
    manifest.write(directory)?;
    Ok(manifest)
}

/// Refuses what cannot be restored here, before anything is written.
pub async fn refuse(manifest: &Manifest, place: PostgresPlace<'_>) -> Result<(), BackupError> {
    if manifest.schema_version > SCHEMA_VERSION {
        return Err(BackupError::Newer { found: manifest.schema_version, known: SCHEMA_VERSION });
    }
    version(&place.program("pg_restore"), manifest.pg_dump.unwrap_or_default(), "the backup was made by one")
        .await?;
    if make_schema(place.url, place.schema).await? {
        Ok(())
    } else {
        Err(BackupError::Occupied(format!("the schema {}", place.schema)))
    }
}

/// Restores a backup, whose files were checked, into an empty schema of the same name: in one transaction, as its owner,
/// with the rights of the role that serves.
pub async fn restore(directory: &Path, place: PostgresPlace<'_>) -> Result<PostgresStore, BackupError> {
    let program = place.program("pg_restore");
    let database = options(place.url)?;
    // As a connection string, since a name with a `=` would be taken for one.
    let name = database.get_database().unwrap_or(database.get_username());
    let name = name.replace('\\', "\\\\").replace('\'', "\\'");
    let mut command = Command::new(&program);
    command.args([
        "--no-owner",
        "--no-privileges",
        "--no-password",
        "--exit-on-error",
        "--single-transaction",
    ]);
    command.arg(format!("--schema={}", place.schema)).arg(format!("--dbname=dbname='{name}'"));
    command.arg(directory.join(StoreKind::Postgres.file_name()));
    run(command, &program, place.url).await?;
    PostgresStore::migrate(place.url, place.schema, place.service_role).await?;
    Ok(PostgresStore::open(place.url, place.schema, place.service_role).await?)
}

fn options(url: &str) -> Result<PgConnectOptions, BackupError> {
    Ok(PgConnectOptions::from_str(url)?)
}

/// The major version of a program, which must be at least `wanted`.
async fn version(program: &Path, wanted: u32, because: &'static str) -> Result<u32, BackupError> {
    let mut command = Command::new(program);
    command.arg("--version");
    let output = output(command, program, wanted).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number =
        text.split("(PostgreSQL) ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let program = || program.display().to_string();
    let Some(found) = number.and_then(|number| number.parse().ok()) else {
        return Err(BackupError::Program {
            program: program(),
            said: format!("its version is {:?}", text.trim()),
        });
    };
    if found < wanted {
        return Err(BackupError::ProgramTooOld { program: program(), found, because, wanted });
    }
    Ok(found)
}

/// Runs a program against a database to its end.
async fn run(mut command: Command, program: &Path, url: &str) -> Result<(), BackupError> {
    for (name, value) in environment(url)? {
        command.env(name, value);
    }
    output(command, program, 0).await.map(drop)
}

async fn output(mut command: Command, program: &Path, wanted: u32) -> Result<Output, BackupError> {
    let name = || program.display().to_string();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).env("LC_ALL", "C").output().await;
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BackupError::NoProgram { program: name(), wanted },
        _ => BackupError::Program { program: name(), said: error.to_string() },
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.trim().lines().collect();
    let said = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    Err(BackupError::Program { program: name(), said })
}

/// What a URL says, as the variables that PostgreSQL's programs read.
fn environment(url: &str) -> Result<Vec<(&'static str, String)>, BackupError> {
    let options = options(url)?;
    let host = options.get_socket().map(|socket| socket.display().to_string());
    let mut variables = vec![
        ("PGHOST", host.unwrap_or_else(|| options.get_host().to_owned())),
        ("PGPORT", options.get_port().to_string()),
        ("PGUSER", options.get_username().to_owned()),
        ("PGAPPNAME", "social-wallet backup".to_owned()),
    ];
    if let Some(database) = options.get_database() {
        variables.push(("PGDATABASE", database.to_owned()));
    }
    let url = options.to_url_lossy();
    if let Some(password) = url.password() {
        variables.push(("PGPASSWORD", percent_decode_str(password).decode_utf8_lossy().into_owned()));
    }
    for (name, value) in url.query_pairs() {
        let variable = match &*name {
            "sslmode" => "PGSSLMODE",
            "sslrootcert" => "PGSSLROOTCERT",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            _ => continue,
        };
        // sqlx writes a certificate's file so.
        let value = value.strip_prefix("file: ").unwrap_or(&value).to_owned();
        variables.push((variable, value));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_url_reaches_the_programs_and_the_password_as_it_is() {
        let url = "postgres://o%27wner:p%40ss%2Bw%20rd@db.example:6543/bo%20ok?sslmode=verify-full&sslrootcert=/etc/ca.pem";
        let variables = environment(url).unwrap();
        for expected in [
            ("PGHOST", "db.example"),
            ("PGPORT", "6543"),
            ("PGUSER", "o'wner"),
            ("PGDATABASE", "bo ok"),
            ("PGPASSWORD", "p@ss+w rd"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/etc/ca.pem"),
        ] {
            assert!(variables.contains(&(expected.0, expected.1.to_owned())), "{expected:?}: {variables:?}");
        }
    }
}
