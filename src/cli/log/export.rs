//! `log export`: the log as files.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use serde_json::json;

use super::super::place::PlaceArgs;
use super::super::progress::Progress;
use super::super::{CliError, Global, Outcome};
use super::failed;
use crate::client::{Client, ClientError};
use crate::log::tile::TilePath;
use crate::publisher::export::{ExportError, Exported, Source, export};
use crate::publisher::tree::{TreeError, read_entries};
use crate::store::{PublishedCheckpoint, Store};

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The directory; a new one is made for its owner alone
    directory: PathBuf,
    /// Ask the running service (--server) instead of the store
    #[arg(long)]
    from_server: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

struct FromStore {
    store: Arc<dyn Store>,
    published: PublishedCheckpoint,
}

#[async_trait]
impl Source for FromStore {
    type Error = TreeError;

    async fn checkpoint(&self) -> Result<Vec<u8>, TreeError> {
        Ok(self.published.note.clone())
    }

    async fn entries(&self, path: TilePath) -> Result<Vec<u8>, TreeError> {
        read_entries(&*self.store, path).await
    }
}

struct FromServer(Client);

#[async_trait]
impl Source for FromServer {
    type Error = ClientError;

    async fn checkpoint(&self) -> Result<Vec<u8>, ClientError> {
        self.0.log_file("checkpoint").await
    }

    async fn entries(&self, path: TilePath) -> Result<Vec<u8>, ClientError> {
        self.0.log_file(&path.to_string()).await
    }
}

/// Runs the command.
pub async fn run(global: &Global, args: ExportArgs) -> Result<Outcome, CliError> {
    let exported = if args.from_server {
        let client = global.client()?;
        let size = client.book().await?["size"].as_u64().unwrap_or(0);
        with_progress(&FromServer(client), &args, size).await.map_err(|error| match error {
            ExportError::Source(error) => error.into(),
            error => failed(&error),
        })?
    } else {
        let store = args.place.open_store().await?;
        let published = store.published_checkpoint().await.map_err(|error| failed(&error))?;
        let published = published.ok_or_else(|| {
            CliError::Refused("no checkpoint is published yet: start the service first".into())
        })?;
        let size = published.size;
        let source = FromStore { store, published };
        with_progress(&source, &args, size).await.map_err(|error| failed(&error))?
    };
    let Exported { checkpoint, new_entries, files_written } = exported;
    let value = json!({
        "directory": args.directory,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": hex::encode(checkpoint.root),
        "new_entries": new_entries,
        "files_written": files_written,
    });
    global.show(&value, |out| {
        writeln!(out, "{}: {} entries of {}", args.directory.display(), checkpoint.size, checkpoint.origin)?;
        writeln!(out, "root {}", hex::encode(checkpoint.root))?;
        writeln!(out, "{new_entries} entries are new; {files_written} files were written")
    })?;
    Ok(Outcome::Done)
}

async fn with_progress<S: Source>(
    source: &S,
    args: &ExportArgs,
    size: u64,
) -> Result<Exported, ExportError<S::Error>> {
    let progress = Progress::new("exported", size);
    let exported = export(source, &args.directory, |entries| progress.advance(entries, true)).await;
    progress.finish();
    exported
}
