//! Where a log's files are: a directory or a URL, the paths below either are those of C2SP `tlog-tiles`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;

use crate::log::note::NOTE_BYTES_MAX;
use crate::log::tile::{ENTRY_BYTES_MAX, TILE_WIDTH};
use crate::tls::{self, TlsError};

/// The largest file of a log: a bundle of the longest entries.
pub const FILE_BYTES_MAX: usize = TILE_WIDTH * (2 + ENTRY_BYTES_MAX);

const _: () = assert!(NOTE_BYTES_MAX <= FILE_BYTES_MAX);

/// Requests that are under way at a time.
const REQUESTS_MAX: usize = 16;

/// Until a request is given up.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Why a file could not be read. That there is none is not an error.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system refused.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The server did not answer.
    #[error("{url}: {error}")]
    Request {
        /// Of what.
        url: String,
        /// What went wrong.
        error: reqwest::Error,
    },
    /// The server answered with neither the file nor "not found".
    #[error("{url}: the server answers {status}")]
    Status {
        /// Of what.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// There is nobody to trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("{0}: longer than any file of a log")]
    TooLong(String),
}

/// A place that holds a log.
pub trait Source: Send {
    /// The contents of paths, in order; `None` where there is nothing. Blocks.
    fn read(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, SourceError>;
}

/// A directory.
#[derive(Debug)]
pub struct Directory(pub PathBuf);

impl Source for Directory {
    fn read(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, SourceError> {
        paths.iter().map(|path| self.file(path)).collect()
    }
}

impl Directory {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let path = self.0.join(path);
        let failed = |error| SourceError::File { path: path.clone(), error };
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let length = usize::try_from(file.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(length.min(FILE_BYTES_MAX) + 1);
        // What is no plain file, or grows, may have more than it says.
        file.by_ref().take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(SourceError::TooLong(path.display().to_string()));
        }
        Ok(Some(bytes))
    }
}

/// Adds to a request what it needs to be answered.
pub type Finish = Box<dyn Fn(&mut reqwest::Request) + Send + Sync>;

/// A URL below which the log's paths are.
pub struct Remote {
    base: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
    finish: Option<Finish>,
}

impl Remote {
    /// `authorities` are trusted for an `https` address instead of the system's; `finish` has the last word on every request:
    /// bundles of entries are for auditors, who sign. To be used where blocking is allowed, on a thread that belongs to a
    /// runtime.
    pub fn new(base: &str, authorities: Option<&Path>, finish: Option<Finish>) -> Result<Self, SourceError> {
        let base = base.trim_end_matches('/').to_owned();
        let client = tls::client(&base, authorities)?
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| SourceError::Request { url: base.clone(), error })?;
        Ok(Self { base, client, runtime: tokio::runtime::Handle::current(), finish })
    }

    async fn file(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let url = format!("{}/{path}", self.base);
        let failed = |error| SourceError::Request { url: url.clone(), error };
        let mut request = self.client.get(&url).build().map_err(failed)?;
        if let Some(finish) = &self.finish {
            finish(&mut request);
        }
        let mut response = self.client.execute(request).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(SourceError::Status { url, status }),
        }
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if bytes.len() + part.len() > FILE_BYTES_MAX {
                return Err(SourceError::TooLong(url));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }
}

impl Source for Remote {
    fn read(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, SourceError> {
        let files = futures::stream::iter(paths.iter().map(|path| self.file(path)));
        self.runtime.block_on(files.buffered(REQUESTS_MAX).try_collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_largest_that_a_log_has_whatever_it_says_of_its_length() {
        let directory = tempfile::tempdir().unwrap();
        let mut source = Directory(directory.path().to_owned());
        let mut read = |name: &str| source.read(&[name.to_owned()]);
        assert!(matches!(read("nothing").unwrap()[..], [None]));
        for length in [FILE_BYTES_MAX - 1, FILE_BYTES_MAX] {
            File::create(directory.path().join("tile")).unwrap().set_len(length as u64).unwrap();
            assert_eq!(read("tile").unwrap()[0].as_ref().map(Vec::len), Some(length));
        }
        File::create(directory.path().join("tile")).unwrap().set_len(FILE_BYTES_MAX as u64 + 1).unwrap();
        assert!(matches!(read("tile"), Err(SourceError::TooLong(name)) if name.ends_with("tile")));
        symlink("/dev/zero", directory.path().join("endless")).unwrap();
        assert!(matches!(read("endless"), Err(SourceError::TooLong(name)) if name.ends_with("endless")));
    }
}
