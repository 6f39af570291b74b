//! Backups of a book in SQLite: `VACUUM INTO`, which writes the state of one commit beside a service that goes on writing.

use std::fs::File;
use std::path::Path;

use crate::publisher::file::create_whole;
use crate::store::sqlite::{self, SqliteStore};

use super::manifest::BackedUpFile;
use super::{BackupError, Manifest, Snapshot, StoreKind, make_directory, seal};

/// What stands beside SQLite's file while it is used, or after a crash.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Backs the book of this file up into a new directory.
pub async fn back_up(book: &Path, directory: &Path, at: String) -> Result<Manifest, BackupError> {
    if !book.exists() {
        return Err(BackupError::NoBook(book.display().to_string()));
    }
    make_directory(directory)?;
    let name = StoreKind::Sqlite.file_name();
    let copy = directory.join(name);
    let held = sqlite::copy(book, &copy).await?;
    let held = held.ok_or_else(|| BackupError::NoBook(book.display().to_string()))?;
    let snapshot = Snapshot::of(&held)?;
    seal(&copy)?;
    let file = BackedUpFile::of(directory, name).map_err(BackupError::file(&copy))?;
    let manifest = Manifest::new(&snapshot, StoreKind::Sqlite, at, file);
    manifest.write(directory)?;
    Ok(manifest)
}

/// Restores a backup, whose files were checked, to this file, which must not be there.
pub async fn restore(directory: &Path, manifest: &Manifest, book: &Path) -> Result<SqliteStore, BackupError> {
    let known = sqlite::SCHEMA_VERSION;
    if manifest.schema_version > known {
        return Err(BackupError::Newer { found: manifest.schema_version, known });
    }
    let copy = directory.join(StoreKind::Sqlite.file_name());
    let mut from = File::open(&copy).map_err(BackupError::file(&copy))?;
    create_whole(book, |to| std::io::copy(&mut from, to).map(drop)).map_err(BackupError::file(book))?;
    Ok(SqliteStore::open(book).await?)
}

/// Refuses a place where a book is, or what a crash has left of one.
pub fn refuse_occupied(book: &Path) -> Result<(), BackupError> {
    let beside = BESIDE.map(|ending| {
        let mut name = book.as_os_str().to_owned();
        name.push(ending);
        name.into()
    });
    let occupied = |path: &Path| path.symlink_metadata().is_ok();
    if occupied(book) || beside.iter().any(|path: &std::path::PathBuf| occupied(path)) {
        return Err(BackupError::Occupied(book.display().to_string()));
    }
    Ok(())
}
