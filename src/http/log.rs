//! The log as C2SP `tlog-tiles` serves it: a checkpoint that changes, and files that never do.
//!
//! Hash tiles and checkpoints are for everybody, entries for auditors. A service that takes its clients at their word listens
//! on loopback addresses, so that who reaches it may read its database as well.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::catalogue::Code;
use super::extract::Path;
use super::problem::Problem;
use crate::log::tile::TilePath;
use crate::publisher::tree::{Published, TreeError};

/// A tile, once it is there, never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

impl From<TreeError> for Problem {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

/// The newest published checkpoint.
pub(super) fn published(app: &App) -> Result<Arc<Published>, Problem> {
    app.published.borrow().clone().ok_or_else(|| {
        let detail = "No checkpoint is published yet; the first follows the first entry within a second.";
        Problem::new(Code::CheckpointPending, detail).retry_after(1)
    })
}

/// `GET /log/checkpoint`.
pub async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let note = published(&app)?.note.to_string();
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, note).into_response())
}

/// `GET /log/tile/<L>/<N>[.p/<W>]`.
pub async fn tile(State(app): State<Arc<App>>, Path(path): Path<String>) -> Result<Response, Problem> {
    file(&app, format!("tile/{path}")).await
}

/// `GET /log/tile/entries/<N>[.p/<W>]`.
pub async fn bundle(State(app): State<Arc<App>>, Path(path): Path<String>) -> Result<Response, Problem> {
    file(&app, format!("tile/entries/{path}")).await
}

pub(super) fn unknown() -> Problem {
    let detail = "The published checkpoint's tree has no tile or bundle of this path.";
    Problem::new(Code::TileUnknown, detail)
}

async fn file(app: &App, path: String) -> Result<Response, Problem> {
    let path: TilePath = path.parse().map_err(|_| unknown())?;
    let bytes = published(app)?.read(&*app.store, path).await?.ok_or_else(unknown)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, FOR_EVER)];
    Ok((headers, bytes).into_response())
}
