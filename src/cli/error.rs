//! Why a command did not do what it was asked, and the exit code that says so to scripts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::client::ClientError;

/// What a command that ran to its end has to say by its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for is done: exit code 0.
    Done,
    /// It ran, and not all of it was accepted; the answer is on standard output: exit code 1.
    NotAll,
}

impl Outcome {
    /// 0 or 1.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::NotAll => ExitCode::from(1),
        }
    }
}

/// Why a command ended early. Its text is for a person: what happened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command cannot be carried out as it was given.
    #[error("{0}")]
    Usage(String),
    /// The command makes sense and the answer is no.
    #[error("{0}")]
    Refused(String),
    /// The service refused, failed or is not there.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no key to sign with, or none could be made.
    #[error(transparent)]
    Key(#[from] crate::client::key::KeyFileError),
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Standard output went away.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    /// The service, or the store under it, cannot start or go on.
    #[error("{0}")]
    Service(String),
    /// A program that this command needs did not run as it should.
    #[error("{0}")]
    Child(String),
}

impl CliError {
    /// An error about a file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), error }
    }

    /// 1 refused, 2 usage, 3 the service is unreachable or failing.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Client(error) if error.is_refusal() => ExitCode::from(1),
            Self::Client(ClientError::Address(_) | ClientError::Request(_) | ClientError::Tls(_))
            | Self::Usage(_)
            | Self::Key(_)
            | Self::File { .. } => ExitCode::from(2),
            Self::Client(_) | Self::Output(_) | Self::Service(_) | Self::Child(_) => ExitCode::from(3),
        }
    }
}
