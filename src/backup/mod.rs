//! Backups of a book: taken while it is served, and restored to a place that has none.
//!
//! A backup is a directory: the book as its store gives it out (`sqlite.rs`, `postgres.rs`), and a manifest. It is of one
//! commit: the manifest's root is that of the log's tree in it. Keys are never in it, since numbers of persons are, encrypted.

pub mod manifest;
pub mod postgres;
pub mod sqlite;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::BookId;
use crate::log::merkle::{Frontier, Hash, leaf_hash};
use crate::log::tile::BundleEntries;
use crate::store::{Held, Store, StoreError};

pub use manifest::{Manifest, StoreKind};

/// Bundles that are read at a time when the restored journal is hashed.
const BUNDLES: u32 = 256;

/// What a backup is of: the book at one commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The book.
    pub book: BookId,
    /// How many entries its journal has.
    pub size: u64,
    /// The root of the log's tree of that size.
    pub root: Hash,
    /// The version of the store's schema.
    pub schema_version: i64,
}

impl Snapshot {
    fn of(held: &Held) -> Result<Self, BackupError> {
        let tree = match held.head.size {
            0 => Ok(Frontier::empty()),
            _ => Frontier::from_bytes(&held.frontier),
        };
        let tree = tree.map_err(|error| {
            let found = error.to_string();
            StoreError::Inconsistent { table: "log_commit", column: "frontier", found }
        })?;
        let (book, size, schema_version) = (held.head.book, held.head.size, held.schema_version);
        Ok(Self { book, size, root: tree.root(), schema_version })
    }
}

/// Why there is no backup, or nothing was restored from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or directory.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is nothing to back up.
    #[error("there is no book in {0}")]
    NoBook(String),
    /// Something is in the directory that was to become the backup.
    #[error("the directory {0} is not empty: a backup takes a new one")]
    DirectoryNotEmpty(String),
    /// The backup was not finished, or it is none.
    #[error("{0} has no manifest.json, which is written last: it is no backup, or one that was not finished")]
    NoManifest(String),
    /// The manifest is not one.
    #[error("the manifest {path} is not whole: {error}")]
    Manifest {
        /// Which.
        path: String,
        /// What is wrong with it.
        error: String,
    },
    /// The manifest names a file that is not there.
    #[error("the file {0}, which the manifest names, is missing")]
    FileMissing(String),
    /// A file is not what was backed up.
    #[error(
        "the file {path} is not the one that was backed up: it has {length} bytes of {wanted}, or others than the manifest's SHA-256 says"
    )]
    FileChanged {
        /// Which.
        path: String,
        /// Bytes that it has.
        length: u64,
        /// Bytes that it had.
        wanted: u64,
    },
    /// There is a book where one was to be restored.
    #[error("{0} has a book, or what is left of one: restore to a place that has none")]
    Occupied(String),
    /// The backup was made by a newer program.
    #[error("the backup's schema is of version {found}, and this program knows none after {known}")]
    Newer {
        /// The backup's.
        found: i64,
        /// This program's.
        known: i64,
    },
    /// What was restored is not what was backed up.
    #[error("what was restored is not what the manifest says, and must not be served: {0}")]
    Differs(String),
    /// A program of PostgreSQL is not there.
    #[error(
        "there is no {program}: install PostgreSQL's client programs (Debian: postgresql-client), version {wanted} or newer, or name their directory with --pg-programs"
    )]
    NoProgram {
        /// As it was looked for.
        program: String,
        /// The oldest major version that does.
        wanted: u32,
    },
    /// A program of PostgreSQL is too old.
    #[error(
        "{program} is of version {found}, and {because} of version {wanted}: install PostgreSQL's client programs of that version or newer, or name their directory with --pg-programs"
    )]
    ProgramTooOld {
        /// As it was looked for.
        program: String,
        /// Its major version.
        found: u32,
        /// What is newer.
        because: &'static str,
        /// The oldest major version that does.
        wanted: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {said}")]
    Program {
        /// As it was looked for.
        program: String,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// An error about a file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), error }
    }
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes the backup's directory, for its owner alone. One that is there must be empty.
pub fn make_directory(directory: &Path) -> Result<(), BackupError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(BackupError::file(directory))?;
    let mut entries = std::fs::read_dir(directory).map_err(BackupError::file(directory))?;
    if entries.next().is_some() {
        return Err(BackupError::DirectoryNotEmpty(directory.display().to_string()));
    }
    Ok(())
}

/// Makes a file that another program has written durable, and its owner's alone.
fn seal(path: &Path) -> Result<(), BackupError> {
    let sealed = || -> io::Result<()> {
        let file = File::open(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        file.sync_all()?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    sealed().map_err(BackupError::file(path))
}

/// Holds a restored book against the manifest: whose it is, how many entries it has, and the root of the tree of the leaves
/// that stand in its journal.
pub async fn check(store: &dyn Store, manifest: &Manifest) -> Result<(), BackupError> {
    let differs = |what: String| Err(BackupError::Differs(what));
    let Some(head) = store.head().await? else { return differs("there is no book".into()) };
    if head.book != manifest.book {
        return differs(format!("the book is {}, not {}", head.book, manifest.book));
    }
    if head.size != manifest.size {
        return differs(format!("it has {} entries, not {}", head.size, manifest.size));
    }
    let mut tree = Frontier::empty();
    while tree.size() < head.size {
        let bundles = store.bundles(tree.size(), BUNDLES).await?;
        if bundles.is_empty() {
            return differs(format!("the journal ends at entry {}", tree.size()));
        }
        for bundle in bundles {
            for leaf in BundleEntries::new(&bundle.bytes) {
                let Ok(leaf) = leaf else {
                    return differs(format!("entry {} cannot be read", tree.size()));
                };
                tree.push(leaf_hash(leaf));
            }
        }
    }
    if (tree.size(), tree.root()) != (manifest.size, manifest.root) {
        return differs("the root of its log is another".into());
    }
    Ok(())
}
