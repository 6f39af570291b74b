//! The manifest of a backup: what it is a backup of, and the digest of every file. It is written last, so that a backup that
//! was interrupted has none.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::BookId;
use crate::log::merkle::Hash;
use crate::publisher::file::replace;

use super::BackupError;

/// The manifest's file.
pub const MANIFEST: &str = "manifest.json";

/// What this program writes, and the only form that it reads.
const FORMAT: &str = "social-wallet-backup/1";

/// More than any manifest has.
const MANIFEST_BYTES_MAX: u64 = 65_536;

/// Bytes that are hashed at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Which kind of store a backup is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// The file is a book in SQLite.
    Sqlite,
    /// The file is an archive of `pg_dump`, in its custom format.
    Postgres,
}

impl StoreKind {
    /// The name of the file that holds the book.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Sqlite => "book.sqlite",
            Self::Postgres => "book.dump",
        }
    }
}

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUpFile {
    /// Its name in the backup's directory.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// What a backup is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `social-wallet-backup/1`.
    format: String,
    /// The book.
    pub book: BookId,
    /// The store that it was taken from, and the only kind that it can be restored to.
    pub store: StoreKind,
    /// The schema in PostgreSQL, whose name a restored book keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The version of the store's schema.
    pub schema_version: i64,
    /// The major version of the `pg_dump` that made the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_dump: Option<u32>,
    /// How many entries the journal has.
    pub size: u64,
    /// The root of the log's tree of that size, in hex.
    #[serde(with = "hex::serde")]
    pub root: Hash,
    /// When the backup was begun: RFC 3339.
    pub at: String,
    /// Its files.
    pub files: Vec<BackedUpFile>,
}

impl Manifest {
    /// The manifest of a book's one file.
    #[must_use]
    pub fn new(snapshot: &super::Snapshot, store: StoreKind, at: String, file: BackedUpFile) -> Self {
        Self {
            format: FORMAT.into(),
            book: snapshot.book,
            store,
            schema: None,
            schema_version: snapshot.schema_version,
            pg_dump: None,
            size: snapshot.size,
            root: snapshot.root,
            at,
            files: vec![file],
        }
    }

    /// Writes it into the backup's directory, whole or not at all. Durable when it returns.
    pub fn write(&self, directory: &Path) -> Result<(), BackupError> {
        let path = directory.join(MANIFEST);
        let mut text = serde_json::to_vec_pretty(self).expect("text and numbers are always written as JSON");
        text.push(b'\n');
        replace(&path, |file| file.write_all(&text)).map_err(BackupError::file(&path))
    }

    /// Reads the manifest of a backup.
    pub fn read(directory: &Path) -> Result<Self, BackupError> {
        let path = directory.join(MANIFEST);
        let name = || path.display().to_string();
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BackupError::NoManifest(directory.display().to_string()),
            _ => BackupError::file(&path)(error),
        })?;
        let mut text = Vec::new();
        file.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(BackupError::file(&path))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| BackupError::Manifest { path: name(), error: error.to_string() })?;
        let refused = |error: &str| BackupError::Manifest { path: name(), error: error.into() };
        if manifest.format != FORMAT {
            return Err(refused("it is not of the format social-wallet-backup/1"));
        }
        // Only that name: a manifest leads to no other file of this machine.
        if manifest.files.iter().map(|file| file.name.as_str()).ne([manifest.store.file_name()]) {
            return Err(refused("it does not name the one file of its store"));
        }
        Ok(manifest)
    }

    /// Holds every file of the backup against its length and digest.
    pub fn check_files(&self, directory: &Path) -> Result<(), BackupError> {
        for wanted in &self.files {
            let path = directory.join(&wanted.name);
            let found = BackedUpFile::of(directory, &wanted.name).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => BackupError::FileMissing(path.display().to_string()),
                _ => BackupError::file(&path)(error),
            })?;
            if found != *wanted {
                return Err(BackupError::FileChanged {
                    path: path.display().to_string(),
                    length: found.length,
                    wanted: wanted.length,
                });
            }
        }
        Ok(())
    }
}

impl BackedUpFile {
    /// A file of this directory, as it is now.
    pub fn of(directory: &Path, name: &str) -> io::Result<Self> {
        let mut file = File::open(directory.join(name))?;
        let (mut hash, mut length) = (Sha256::new(), 0);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
            length += read as u64;
        }
        Ok(Self { name: name.to_owned(), length, sha256: hex::encode(hash.finalize()) })
    }
}
