//! A service of one's own: the same program, started as a child on a place of its own, for `demo` and `bench`.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::error::CliError;

/// A service that recovers from a crash may have a large log to read again.
const START_SECONDS_MAX: u64 = 60;
/// A service that is asked to stop finishes what it has begun.
const STOP_SECONDS_MAX: u64 = 30;
/// What `serve` prints first.
const ANNOUNCEMENT: &str = "listening on ";
/// Lines of its log that are shown when it does not start.
const LOG_LINES_SHOWN: usize = 10;

/// Where a service keeps its book.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its directory.
    pub data_dir: PathBuf,
    /// Its PostgreSQL database and the schema in it; the embedded store in the directory if there is none.
    pub database: Option<(String, String)>,
}

/// A running service. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    place: Place,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

impl Server {
    /// Starts a service and waits until it listens. Its log goes to the file `serve.log` in its directory.
    pub async fn start(place: Place) -> Result<Self, CliError> {
        Self::start_at(place, "127.0.0.1:0").await
    }

    async fn start_at(place: Place, listen: &str) -> Result<Self, CliError> {
        std::fs::create_dir_all(&place.data_dir).map_err(CliError::file(&place.data_dir))?;
        let log = place.data_dir.join("serve.log");
        let log_file = File::options().create(true).append(true).open(&log).map_err(CliError::file(&log))?;
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--listen".into(), listen.into()];
        arguments.extend(["--data-dir".into(), place.data_dir.clone().into()]);
        let mut command = program()?;
        if let Some((_, schema)) = &place.database {
            arguments.extend(["--schema".into(), schema.into()]);
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true);
        set_database(&mut command, &place);
        let mut child =
            command.spawn().map_err(|error| CliError::Child(format!("cannot start `serve`: {error}.")))?;
        let pid = child.id().ok_or_else(|| CliError::Child("`serve` ended at once.".to_owned()))?;
        let output = child.stdout.take().expect("standard output was asked to be a pipe");
        let mut lines = BufReader::new(output).lines();
        let announced = timeout(Duration::from_secs(START_SECONDS_MAX), lines.next_line()).await;
        let url = match announced {
            Ok(Ok(Some(line))) => line.strip_prefix(ANNOUNCEMENT).map(|url| url.trim().to_owned()),
            _ => None,
        };
        let Some(url) = url else {
            let text = format!("`serve` did not start; its log ends so:\n{}", end_of(&log));
            return Err(CliError::Child(text));
        };
        // Whatever else it prints is read away, so that it never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, place, url, pid })
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), CliError> {
        self.child.kill().await.map_err(|error| CliError::Child(format!("cannot kill `serve`: {error}.")))
    }

    /// Starts it again at the same address, after it was killed or stopped.
    pub async fn restart(&mut self) -> Result<(), CliError> {
        let listen = self.url.trim_start_matches("http://").to_owned();
        *self = Self::start_at(self.place.clone(), &listen).await?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn stop(mut self) -> Result<(), CliError> {
        // The shell's own `kill`: the standard library knows SIGKILL only, and small containers have no other.
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid)]).status().await;
        let failed = |what: String| CliError::Child(format!("`serve` did not stop: {what}."));
        if !asked.map_err(|error| failed(error.to_string()))?.success() {
            return Err(failed("it is gone already".to_owned()));
        }
        match timeout(Duration::from_secs(STOP_SECONDS_MAX), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("it ended with {status}"))),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("it goes on after {STOP_SECONDS_MAX} s"))),
        }
    }
}

/// Makes the schema of a place in PostgreSQL, as its owner; the embedded store makes its own.
pub async fn migrate(place: &Place) -> Result<(), CliError> {
    let Some((url, schema)) = &place.database else { return Ok(()) };
    let mut command = program()?;
    command.args(["migrate", "--schema", schema]).env("SOCIAL_WALLET_OWNER_URL", url);
    output_of(command, "migrate").await.map(|_| ())
}

/// Makes the book of a place, with a client of each role and their key files.
pub async fn bootstrap(place: &Place) -> Result<(), CliError> {
    let mut command = program()?;
    command.args(["bootstrap", "--trial", "--data-dir"]).arg(&place.data_dir);
    if let Some((_, schema)) = &place.database {
        command.args(["--schema", schema]);
    }
    set_database(&mut command, place);
    output_of(command, "bootstrap").await.map(drop)
}

/// Replays the journal of a place; gives what was found, as JSON.
pub async fn replay(place: &Place) -> Result<Value, CliError> {
    let mut command = program()?;
    command.args(["replay", "--json", "--data-dir"]).arg(&place.data_dir);
    if let Some((_, schema)) = &place.database {
        command.args(["--schema", schema]);
    }
    set_database(&mut command, place);
    let output = output_of(command, "replay").await?;
    serde_json::from_slice(&output)
        .map_err(|_| CliError::Child("`replay --json` did not answer with JSON.".to_owned()))
}

/// Exports the log of a place to a directory and verifies it there; gives what was found, as JSON, and the verifier key.
pub async fn prove(place: &Place, log: &Path) -> Result<(Value, String), CliError> {
    let of_place = |arguments: &[&str]| -> Result<Command, CliError> {
        let mut command = program()?;
        command.args(arguments).arg("--data-dir").arg(&place.data_dir);
        if let Some((_, schema)) = &place.database {
            command.args(["--schema", schema]);
        }
        set_database(&mut command, place);
        Ok(command)
    };
    let key = output_of(of_place(&["log", "key"])?, "log key").await?;
    let key = String::from_utf8_lossy(&key).trim().to_owned();
    let mut export = of_place(&["log", "export"])?;
    export.arg(log);
    output_of(export, "log export").await?;
    // What verifies knows the directory and the key, and nothing of the place.
    let mut verify = program()?;
    verify.args(["verify", "--json", "--key", &key]).arg(log).env_remove("SOCIAL_WALLET_DATABASE_URL");
    let report = output_of(verify, "verify").await?;
    let report = serde_json::from_slice(&report);
    Ok((report.map_err(|_| CliError::Child("`verify --json` did not answer with JSON.".to_owned()))?, key))
}

/// Whether the document of a decision holds under a log's key, and what was found, as JSON. It knows the document and the key.
pub async fn verify_decision(document: &Path, key: &str) -> Result<(bool, Value), CliError> {
    let mut command = program()?;
    command.args(["verify", "--json", "--key", key, "--decision"]).arg(document).stdin(Stdio::null());
    let failed = |what: String| CliError::Child(format!("`verify --decision` {what}."));
    let output = command.output().await.map_err(|error| failed(format!("cannot be started: {error}")))?;
    match (output.status.code(), serde_json::from_slice(&output.stdout)) {
        (Some(code @ (0 | 1)), Ok(found)) => Ok((code == 0, found)),
        _ => Err(failed(format!("ended with {}", output.status))),
    }
}

/// Runs a command of this program to its end; gives its standard output.
async fn output_of(mut command: Command, name: &str) -> Result<Vec<u8>, CliError> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| CliError::Child(format!("cannot start `{name}`: {error}.")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(CliError::Child(format!("`{name}` ended with {}: {}", output.status, said.trim())))
}

fn program() -> Result<Command, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::Child(format!("cannot find this program's own file: {error}.")))?;
    let mut command = Command::new(program);
    // The child is addressed by us alone, whatever the caller's environment names.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOCIAL_WALLET_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The address of a database holds its password: it goes through the environment, which `ps` does not show to others.
fn set_database(command: &mut Command, place: &Place) {
    match &place.database {
        Some((url, _)) => command.env("SOCIAL_WALLET_DATABASE_URL", url),
        None => command.env_remove("SOCIAL_WALLET_DATABASE_URL"),
    };
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
