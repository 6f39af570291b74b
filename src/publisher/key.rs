//! The file of the log's signing key: C2SP `PRIVATE+KEY+…`, one key a line.
//!
//! It has one line, but for the time of a rotation: then the next key is written after the current one before the journal
//! names it, so that no crash can leave the log with a key that nobody holds. Which of the lines signs is told by the
//! journal; until it names a key, the first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keys::KeyError;
use crate::log::note::{SigningKey, VerifierKey};

use super::file::replace;

/// The file, and the keys that were read from it.
pub struct LogKeyFile {
    path: PathBuf,
    keys: Vec<SigningKey>,
}

impl LogKeyFile {
    /// Reads the file. Refuses one that others than its owner may read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Ok(Self { path: path.to_owned(), keys: read(path)? })
    }

    /// Makes a new key of this name and writes it to a file that must not exist.
    pub fn create(path: &Path, name: &str) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        let key = SigningKey::generate(name).map_err(|_| KeyError::Malformed(path.display().to_string()))?;
        if path.exists() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let mut file = Self { path: path.to_owned(), keys: Vec::new() };
        file.write(vec![key])?;
        Ok(file)
    }

    /// Reads the file again: another process may have rotated the key.
    pub fn reload(&mut self) -> Result<(), KeyError> {
        self.keys = read(&self.path)?;
        Ok(())
    }

    /// Replaces the file's keys: the file is whole at any moment.
    pub fn write(&mut self, keys: Vec<SigningKey>) -> Result<(), KeyError> {
        let mut text = Zeroizing::new(Vec::new());
        for key in &keys {
            text.extend_from_slice(key.to_text().as_bytes());
            text.push(b'\n');
        }
        replace(&self.path, |file| file.write_all(&text))
            .map_err(|source| KeyError::File { path: self.path.display().to_string(), source })?;
        self.keys = keys;
        Ok(())
    }

    /// The keys, in the order of the lines; at least one.
    #[must_use]
    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// Takes the keys out from this one on, to write them again.
    #[must_use]
    pub(super) fn take_from(&mut self, first: &VerifierKey) -> Vec<SigningKey> {
        let place = self.keys.iter().position(|key| key.verifier_key() == first).unwrap_or(self.keys.len());
        self.keys.split_off(place)
    }

    /// The key that the journal names; until it names one, the first.
    #[must_use]
    pub fn find(&self, named: Option<&VerifierKey>) -> Option<&SigningKey> {
        match named {
            Some(named) => self.keys.iter().find(|key| key.verifier_key() == named),
            None => self.keys.first(),
        }
    }
}

fn read(path: &Path) -> Result<Vec<SigningKey>, KeyError> {
    let name = || path.display().to_string();
    let failed = |source| KeyError::File { path: name(), source };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Exposed(name()));
        }
    }
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    let text = std::str::from_utf8(&text).map_err(|_| KeyError::Malformed(name()))?;
    let keys = text.lines().map(SigningKey::parse).collect::<Result<Vec<_>, _>>();
    keys.ok().filter(|keys| !keys.is_empty()).ok_or_else(|| KeyError::Malformed(name()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const NAME: &str = "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

    #[test]
    fn a_key_file_is_made_once_read_back_and_refused_when_others_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.key");
        let made = LogKeyFile::create(&path, NAME).unwrap();
        let first = made.keys()[0].verifier_key().clone();
        assert_eq!(LogKeyFile::load(&path).unwrap().keys()[0].verifier_key(), &first);
        assert!(matches!(LogKeyFile::create(&path, NAME), Err(KeyError::File { .. })), "never overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            for mode in [0o640, 0o604, 0o660] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                assert!(matches!(LogKeyFile::load(&path), Err(KeyError::Exposed(_))));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        for text in ["", "\n", "PRIVATE+KEY+x", "no key"] {
            fs::write(&path, text).unwrap();
            let Err(error) = LogKeyFile::load(&path) else { panic!("{text:?} is read") };
            assert!(matches!(error, KeyError::Malformed(_)));
        }
    }

    #[test]
    fn the_key_that_signs_is_the_one_that_is_named_or_else_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.key");
        let mut file = LogKeyFile::create(&path, NAME).unwrap();
        let (old, new) = (SigningKey::generate(NAME).unwrap(), SigningKey::generate(NAME).unwrap());
        let [first, second] = [&old, &new].map(|key| key.verifier_key().clone());
        let other = SigningKey::generate(NAME).unwrap();
        file.write(vec![old, new]).unwrap();
        let file = LogKeyFile::load(&path).unwrap();
        assert_eq!(file.find(None).unwrap().verifier_key(), &first);
        assert_eq!(file.find(Some(&second)).unwrap().verifier_key(), &second);
        assert!(file.find(Some(other.verifier_key())).is_none());
    }
}
