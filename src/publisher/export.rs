//! A log as a directory of files, exactly as C2SP `tlog-tiles` names them: what an auditor takes away.
//!
//! Only entries are asked of the source. Tiles are computed from them, so that the checkpoint, which is written last, is of
//! what stands in the directory, and its tree is the one that grew out of the checkpoint that stood there before. Files
//! under a checkpoint are never written again, but for the partial ones at its edge, which the next run replaces.

use std::fs::File;
use std::io::{self, Write as _};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::merkle::{Frontier, Hash, Node, NodeSource as _, leaf_hash};
use crate::log::note::{NoteError, SignedNote};
use crate::log::tile::{
    BundleEntries, RightEdge, TILE_WIDTH, TileId, TileKind, TilePath, Tiles, partial_width,
};

use super::file::replace;
use super::tree::paths_of;

/// Levels of tiles that the largest tree has.
const LEVELS: u8 = 8;

/// Where a log is read from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Why it cannot be read.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The newest published checkpoint.
    async fn checkpoint(&self) -> Result<Vec<u8>, Self::Error>;

    /// The bundle of a path, which the checkpoint's tree has.
    async fn entries(&self, path: TilePath) -> Result<Vec<u8>, Self::Error>;
}

/// Why a log was not exported. The directory has the checkpoint that it had before.
#[derive(Debug, thiserror::Error)]
pub enum ExportError<E: std::error::Error> {
    /// The source.
    #[error(transparent)]
    Source(E),
    /// A file of the directory.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A checkpoint is none.
    #[error("the {which} checkpoint: {error}")]
    Checkpoint {
        /// The source's or the directory's.
        which: &'static str,
        /// Why.
        error: CheckpointError,
    },
    /// The directory has another log.
    #[error(
        "the directory has the log {found}, not {wanted}: export to another directory, and keep this one as evidence"
    )]
    OtherLog {
        /// The directory's origin.
        found: String,
        /// The source's origin.
        wanted: String,
    },
    /// The directory has more than the source.
    #[error(
        "the directory has a checkpoint of {found} entries, the source only one of {size}: the source has lost entries, or is not up to date"
    )]
    Shrunk {
        /// Entries in the directory.
        found: u64,
        /// Entries in the source.
        size: u64,
    },
    /// The directory's files are not those of its checkpoint.
    #[error("the directory's files are not those of its own checkpoint: export to another directory")]
    Damaged,
    /// A bundle is none, or of another number of entries.
    #[error("the bundle from entry {0} on is not of the entries that the checkpoint says")]
    Bundle(u64),
    /// The source's entries are not those under its checkpoint, or not those that were exported before.
    #[error("the source's entries do not lead from the directory's checkpoint to the root of its own")]
    OtherRoot,
}

/// What an export came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The checkpoint that the directory has now.
    pub checkpoint: Checkpoint,
    /// Entries that it has more than before.
    pub new_entries: u64,
    /// Files that were written.
    pub files_written: u64,
}

/// The files of a directory.
struct Directory {
    root: PathBuf,
    written: Vec<PathBuf>,
}

impl Directory {
    fn path(&self, path: TilePath) -> PathBuf {
        self.root.join(path.to_string())
    }

    fn write(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), (PathBuf, io::Error)> {
        let path = self.path(path);
        let written = || -> io::Result<bool> {
            if std::fs::read(&path).is_ok_and(|found| found == bytes) {
                return Ok(false); // an earlier run was interrupted after it
            }
            let directory = path.parent().unwrap_or(&self.root);
            std::fs::create_dir_all(directory)?;
            let mut beside = tempfile::NamedTempFile::new_in(directory)?;
            beside.write_all(bytes)?;
            readable(beside.as_file())?;
            beside.persist(&path).map_err(|error| error.error)?;
            Ok(true)
        };
        match written() {
            Ok(true) => {
                self.written.push(path);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => Err((path, error)),
        }
    }

    /// Makes everything written durable: the files, then the directories that name them.
    fn sync(&self) -> Result<(), (PathBuf, io::Error)> {
        let mut directories = std::collections::BTreeSet::new();
        for path in &self.written {
            File::open(path).and_then(|file| file.sync_all()).map_err(|error| (path.clone(), error))?;
            directories.extend(path.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.root)));
        }
        for path in directories {
            File::open(path).and_then(|file| file.sync_all()).map_err(|error| (path.to_owned(), error))?;
        }
        Ok(())
    }
}

/// The files are for others to read; the directory says who may.
fn readable(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

fn file_error<E: std::error::Error>((path, error): (PathBuf, io::Error)) -> ExportError<E> {
    ExportError::File { path, error }
}

fn read_checkpoint<E: std::error::Error>(
    which: &'static str,
    note: &[u8],
) -> Result<Checkpoint, ExportError<E>> {
    let read = |note: &[u8]| -> Result<Checkpoint, CheckpointError> {
        let note = SignedNote::parse(note).map_err(|error: NoteError| CheckpointError::Note(error))?;
        Checkpoint::parse(note.text())
    };
    read(note).map_err(|error| ExportError::Checkpoint { which, error })
}

/// Exports a log to a directory, or what is new of it. `progress` is told how many entries more are there.
pub async fn export<S: Source>(
    source: &S,
    root: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Exported, ExportError<S::Error>> {
    let note = source.checkpoint().await.map_err(ExportError::Source)?;
    let checkpoint = read_checkpoint("source's", &note)?;
    make_private(root).map_err(|error| file_error((root.to_owned(), error)))?;
    let mut directory = Directory { root: root.to_owned(), written: Vec::new() };
    let mut edge = known(&directory, &checkpoint)?;
    let old = edge.size();
    let entries = TileKind::Entries;
    for path in paths_of(entries, checkpoint.size, old / TILE_WIDTH as u64) {
        let first = path.index * TILE_WIDTH as u64;
        let width = path.width.map_or(TILE_WIDTH, |width| usize::from(width.get()));
        if first + width as u64 <= old {
            continue; // the same partial bundle as before
        }
        let bundle = source.entries(path).await.map_err(ExportError::Source)?;
        let hashes = BundleEntries::new(&bundle)
            .map(|entry| entry.map(leaf_hash))
            .collect::<Result<Vec<Hash>, _>>()
            .map_err(|_| ExportError::Bundle(first))?;
        let before = edge.partial_tile(0).len();
        if hashes.len() != width {
            return Err(ExportError::Bundle(first));
        }
        if hashes[..before] != *edge.partial_tile(0) {
            return Err(ExportError::OtherRoot);
        }
        directory.write(path, &bundle).map_err(file_error)?;
        for tile in edge.append(hashes[before..].iter().copied()) {
            let path = TilePath { kind: TileKind::Hashes(tile.id.level), index: tile.id.index, width: None };
            directory.write(path, tile.hashes.as_slice()).map_err(file_error)?;
        }
        progress((width - before) as u64);
    }
    for path in (0..LEVELS).filter_map(|level| partial_path(TileKind::Hashes(level), checkpoint.size)) {
        let TileKind::Hashes(level) = path.kind else { continue };
        directory.write(path, edge.partial_tile(level).as_flattened()).map_err(file_error)?;
    }
    if (edge.size(), edge.root()) != (checkpoint.size, checkpoint.root) {
        return Err(ExportError::OtherRoot);
    }
    directory.sync().map_err(file_error)?;
    let path = root.join("checkpoint");
    if std::fs::read(&path).is_ok_and(|found| found == note) {
        return Ok(Exported { checkpoint, new_entries: 0, files_written: directory.written.len() as u64 });
    }
    let written = replace(&path, |file| file.write_all(&note)).and_then(|()| readable(&File::open(&path)?));
    written.map_err(|error| file_error((path, error)))?;
    remove_partials(&directory, old, checkpoint.size).map_err(file_error)?;
    let files_written = directory.written.len() as u64 + 1;
    Ok(Exported { new_entries: checkpoint.size - old, checkpoint, files_written })
}

/// Entries are for auditors: a new directory is for its owner, who may open it to others.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// The edge of the tree that the directory has under its checkpoint, verified against it.
fn known<E: std::error::Error>(directory: &Directory, new: &Checkpoint) -> Result<RightEdge, ExportError<E>> {
    let path = directory.root.join("checkpoint");
    let note = match std::fs::read(&path) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RightEdge::empty()),
        Err(error) => return Err(ExportError::File { path, error }),
    };
    let old = read_checkpoint("directory's", &note)?;
    if old.origin != new.origin {
        return Err(ExportError::OtherLog { found: old.origin, wanted: new.origin.clone() });
    }
    if old.size > new.size {
        return Err(ExportError::Shrunk { found: old.size, size: new.size });
    }
    edge_of(directory, old.size).filter(|edge| edge.root() == old.root).ok_or(ExportError::Damaged)
}

/// The edge of a tree of this size, from the directory's tiles.
fn edge_of(directory: &Directory, size: u64) -> Option<RightEdge> {
    let mut tiles = Tiles::default();
    let mut leaves = Vec::new();
    for path in (0..LEVELS).filter_map(|level| partial_path(TileKind::Hashes(level), size)) {
        let TileKind::Hashes(level) = path.kind else { continue };
        let bytes = std::fs::read(directory.path(path)).ok()?;
        (bytes.len() == partial_width(size, level) * size_of::<Hash>()).then_some(())?;
        tiles.insert(TileId { level, index: path.index }, &bytes).ok()?;
        if level == 0 {
            leaves = bytes.as_chunks().0.to_vec();
        }
    }
    let mut frontier = size.to_be_bytes().to_vec();
    for height in (0..63_u8).rev().filter(|height| size >> height & 1 == 1) {
        frontier.extend(tiles.node(Node { height, index: (size >> height) - 1 })?);
    }
    let frontier = Frontier::from_bytes(&frontier).ok()?;
    let full = |id: TileId| {
        let path = TilePath { kind: TileKind::Hashes(id.level), index: id.index, width: None };
        std::fs::read(directory.path(path)).ok()
    };
    RightEdge::rebuild(frontier, &leaves, full).ok()
}

/// The path of the partial tile or bundle at the end of a tree, if it has one.
fn partial_path(kind: TileKind, size: u64) -> Option<TilePath> {
    let level = if let TileKind::Hashes(level) = kind { level } else { 0 };
    let hashes = size >> (8 * u32::from(level));
    let width = NonZeroU8::new(hashes.to_le_bytes()[0])?;
    Some(TilePath { kind, index: hashes / TILE_WIDTH as u64, width: Some(width) })
}

/// Removes the partial tiles of the tree before, as far as the new one has other ones.
fn remove_partials(directory: &Directory, old: u64, new: u64) -> Result<(), (PathBuf, io::Error)> {
    for kind in (0..LEVELS).map(TileKind::Hashes).chain([TileKind::Entries]) {
        let before = partial_path(kind, old);
        if before == partial_path(kind, new) {
            continue;
        }
        let Some(path) = before.map(|path| directory.path(path)) else { continue };
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((path, error)),
        }
        // Its directory, if it was the last.
        if let Some(parent) = path.parent() {
            let _not_empty = std::fs::remove_dir(parent);
        }
    }
    Ok(())
}
