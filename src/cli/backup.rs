//! `backup` and `restore`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::figures::count;
use super::place::PlaceArgs;
use super::{CliError, Global, Outcome};
use crate::backup::postgres::{self, PostgresPlace};
use crate::backup::{BackupError, Manifest, StoreKind, check, sqlite};
use crate::domain::time::rfc3339;
use crate::keys::BookKeys;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::SignedNote;
use crate::publisher::file::Keep as _;
use crate::sequencer::clock;
use crate::store::Store;

/// Where a backup goes.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A new directory
    directory: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    programs: Programs,
}

/// Which backup goes where.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup's directory
    directory: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    /// The URL of the schema's owner [default: the URL that serves]
    #[arg(long, value_name = "URL", env = "SOCIAL_WALLET_OWNER_URL", hide_env_values = true)]
    owner_url: Option<String>,
    #[command(flatten)]
    programs: Programs,
}

/// PostgreSQL's own.
#[derive(Debug, Args)]
struct Programs {
    /// The directory of `pg_dump` and `pg_restore` [default: wherever PATH has them]
    #[arg(long, value_name = "DIR", env = "SOCIAL_WALLET_PG_PROGRAMS")]
    pg_programs: Option<PathBuf>,
}

fn failed(error: BackupError) -> CliError {
    match error {
        BackupError::File { path, error } => CliError::File { path, error },
        BackupError::DirectoryNotEmpty(_) | BackupError::NoBook(_) | BackupError::Occupied(_) => {
            CliError::Usage(error.to_string())
        }
        BackupError::NoManifest(_)
        | BackupError::Manifest { .. }
        | BackupError::FileMissing(_)
        | BackupError::FileChanged { .. }
        | BackupError::Newer { .. } => CliError::Refused(error.to_string()),
        error => CliError::Service(error.to_string()),
    }
}

fn postgres_place<'a>(place: &'a PlaceArgs, url: &'a str, programs: &'a Programs) -> PostgresPlace<'a> {
    let (schema, service_role) = (&place.schema, &place.service_role);
    PostgresPlace { url, schema, service_role, programs: programs.pg_programs.as_deref() }
}

/// Backs a book up, whether it is served or not.
pub async fn run(global: &Global, args: BackupArgs) -> Result<Outcome, CliError> {
    let (place, directory) = (&args.place, &args.directory);
    let at = rfc3339(clock::now());
    let manifest = match &place.database_url {
        Some(url) => postgres::back_up(postgres_place(place, url, &args.programs), directory, at).await,
        None => sqlite::back_up(&place.book_path(), directory, at).await,
    };
    let manifest = manifest.map_err(failed)?;
    let [keys, log_key, kept] = [place.keys_path(), place.log_key_path(), place.kept().0];
    let value = json!({"directory": directory, "manifest": manifest, "not_included": [keys, log_key, kept]});
    global.show(&value, |out| {
        writeln!(out, "{}: {}", directory.display(), of(&manifest))?;
        writeln!(out, "root {}", hex::encode(manifest.root))?;
        writeln!(out, "Keys are not in it, since whoever has it and them can read the numbers of persons. Keep apart from it:")?;
        writeln!(out, "  {}   without it the book cannot be read", keys.display())?;
        writeln!(out, "  {}   without it the log cannot be signed", log_key.display())?;
        writeln!(out, "  {}   always the newest: it tells what a restored book lacks", kept.display())
    })?;
    Ok(Outcome::Done)
}

fn of(manifest: &Manifest) -> String {
    format!("{} entries of the book {} as of {}", count(manifest.size), manifest.book, manifest.at)
}

/// Restores a backup to a place that has no book.
pub async fn run_restore(global: &Global, args: RestoreArgs) -> Result<Outcome, CliError> {
    let (place, directory) = (&args.place, &args.directory);
    let manifest = Manifest::read(directory).map_err(failed)?;
    refuse_foreign(place, &manifest)?;
    manifest.check_files(directory).map_err(failed)?;
    let store: Arc<dyn Store> = match (
        manifest.store,
        args.owner_url.as_ref().or(place.database_url.as_ref()),
    ) {
        (StoreKind::Sqlite, None) => {
            let book = place.book_path();
            sqlite::refuse_occupied(&book).map_err(failed)?;
            place.make_directory()?;
            Arc::new(sqlite::restore(directory, &manifest, &book).await.map_err(failed)?)
        }
        (StoreKind::Postgres, Some(url)) => {
            if manifest.schema.as_ref() != Some(&place.schema) {
                let schema = manifest.schema.as_deref().unwrap_or_default();
                return Err(CliError::Usage(format!(
                    "the backup is of the schema {schema}, and is restored to a schema of that name: say --schema {schema}, with another database if this one has it"
                )));
            }
            let to = postgres_place(place, url, &args.programs);
            postgres::refuse(&manifest, to).await.map_err(failed)?;
            Arc::new(postgres::restore(directory, to).await.map_err(failed)?)
        }
        (StoreKind::Sqlite, Some(_)) => {
            let text = "the backup is of a book in SQLite: restore it without a database's URL";
            return Err(CliError::Usage(text.into()));
        }
        (StoreKind::Postgres, None) => {
            let text = "the backup is of a book in PostgreSQL: name the database with --database-url";
            return Err(CliError::Usage(text.into()));
        }
    };
    check(&*store, &manifest).await.map_err(failed)?;
    let lacking = lacking(place, &manifest)?;
    let value = json!({"restored": true, "manifest": manifest, "lacking": lacking});
    global.show(&value, |out| {
        writeln!(out, "restored {}", of(&manifest))?;
        writeln!(out, "root {}, which is that of the restored journal", hex::encode(manifest.root))?;
        if let Some(lacking) = lacking.filter(|lacking| *lacking > 0) {
            let kept = place.kept().0;
            writeln!(
                out,
                "It LACKS at least {} entries that {} was signed for: `serve` will refuse it. Restore a newer backup if there is one; if there is none, see `social-wallet log declare-origin`.",
                count(lacking),
                kept.display()
            )?;
        }
        for path in [place.keys_path(), place.log_key_path(), place.kept().0] {
            if !path.exists() {
                writeln!(out, "Bring back what was kept apart: {}", path.display())?;
            }
        }
        writeln!(out, "Then, before serving it: `social-wallet replay` compares every balance; `social-wallet log export LOG`")?;
        writeln!(out, "and `social-wallet verify LOG --key-file KEYS --earlier CHECKPOINT` hold its log against what auditors have.")
    })?;
    Ok(Outcome::Done)
}

/// Refuses a place whose keys are another book's.
fn refuse_foreign(place: &PlaceArgs, manifest: &Manifest) -> Result<(), CliError> {
    let path = place.keys_path();
    if !path.exists() {
        return Ok(());
    }
    let keys = BookKeys::load(&path).map_err(|error| CliError::Service(error.to_string()))?;
    if keys.book() == manifest.book {
        return Ok(());
    }
    let (path, book) = (path.display(), manifest.book);
    Err(CliError::Usage(format!(
        "the key file {path} belongs to another book than the backup, which is of {book}"
    )))
}

/// How many entries the kept checkpoint was signed for beyond those of the backup. `None`: none is kept here, or it is of
/// another origin, which `serve` looks into.
fn lacking(place: &PlaceArgs, manifest: &Manifest) -> Result<Option<u64>, CliError> {
    let kept = place.kept();
    let note = kept.read().map_err(CliError::file(Path::new(&kept.0)))?;
    let checkpoint = note.and_then(|note| Checkpoint::parse(SignedNote::parse(&note).ok()?.text()).ok());
    Ok(checkpoint.map(|checkpoint| checkpoint.size.saturating_sub(manifest.size)))
}
