//! The checkpoint that is kept outside the database: what a restored or failed-over database cannot take back.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

/// Where the last signed checkpoint is kept, beside the database.
pub trait Keep: Send + Sync + 'static {
    /// The signed note; `None` if none was ever kept.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces it, whole or not at all. Durable when it returns.
    fn replace(&self, note: &[u8]) -> io::Result<()>;
}

/// A file of its own.
pub struct CheckpointFile(pub PathBuf);

impl Keep for CheckpointFile {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(&self.0) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, note: &[u8]) -> io::Result<()> {
        replace(&self.0, |file| file.write_all(note))
    }
}

/// Replaces a file: written beside it with rights for the owner alone, synced, renamed, and the directory synced, so that
/// there is the old file or the new one at any moment, also after a power cut.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    whole(path, write, |beside| beside.persist(path))
}

/// Makes a file that must not exist, in the same way.
pub fn create_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    whole(path, write, |beside| beside.persist_noclobber(path))
}

fn whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    persist: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut beside = NamedTempFile::new_in(directory)?;
    write(&mut beside)?;
    beside.as_file().sync_all()?;
    persist(beside).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}
