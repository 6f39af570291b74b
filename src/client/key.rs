//! A client's key file: an Ed25519 private key in PKCS#8 PEM, as OpenSSL and every language's library read and write it. A
//! line before it may name the client (RFC 7468, section 2 lets text stand there): ours do.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use zeroize::Zeroizing;

use crate::domain::ClientId;

/// A longer file is no key file: one has about 120 bytes.
const BYTES_MAX: usize = 4_096;

/// What the line begins with that names the client.
const NAME: &str = "Client: ";

/// What the key begins with.
const BEGIN: &str = "-----BEGIN";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error(
        "the key file {0} can be read by others: register a new key, revoke this one, and keep the new file at chmod 600"
    )]
    Exposed(String),
    /// It is not a key file.
    #[error(
        "the key file {0} is not an Ed25519 private key in PKCS#8 PEM: make one with `social-wallet keygen`"
    )]
    Malformed(String),
}

fn failed(path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    move |source| KeyFileError::File { path: path.display().to_string(), source }
}

/// Reads a key, and whose it is, if the file says so. Refuses a file that others than its owner may read.
pub fn load(path: &Path) -> Result<(SigningKey, Option<ClientId>), KeyFileError> {
    let file = File::open(path).map_err(failed(path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata().map_err(failed(path))?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Exposed(path.display().to_string()));
        }
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed(path))?;
    let malformed = || KeyFileError::Malformed(path.display().to_string());
    if text.len() > BYTES_MAX {
        return Err(malformed());
    }
    let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
    let (before, key) = text.split_at(text.find(BEGIN).ok_or_else(malformed)?);
    let name = before.lines().find_map(|line| line.strip_prefix(NAME));
    let name = name.map(|name| ClientId::parse(name.trim()).map_err(|_| malformed())).transpose()?;
    Ok((SigningKey::from_pkcs8_pem(key).map_err(|_| malformed())?, name))
}

/// Makes a new key for a client and writes it to a file that must not exist.
pub fn create(path: &Path, client: ClientId) -> Result<SigningKey, KeyFileError> {
    let key = SigningKey::from_bytes(&Zeroizing::new(rand::random::<[u8; 32]>()));
    // Without the public key: OpenSSL 3.0 does not read the form (RFC 5958) that holds both.
    let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let text = pair.to_pkcs8_pem(LineEnding::LF);
    let text = text.map_err(|_| KeyFileError::Malformed(path.display().to_string()))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(failed(path))?;
    let named = file.write_all(format!("{NAME}{client}\n").as_bytes());
    named
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(failed(path))?;
    Ok(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_read_back_and_refused_when_others_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bank.key");
        let client = ClientId::parse("bank").unwrap();
        let made = create(&path, client).unwrap();
        let (key, name) = load(&path).unwrap();
        assert_eq!((key.to_bytes(), name), (made.to_bytes(), Some(client)));
        assert!(matches!(create(&path, client), Err(KeyFileError::File { .. })), "never overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            for mode in [0o640, 0o604, 0o660, 0o610, 0o601] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                assert!(matches!(load(&path), Err(KeyFileError::Exposed(_))), "{mode:o}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        // Text may stand before the key, as much as is read.
        let key_text = fs::read_to_string(&path).unwrap();
        for (bytes, fits) in [(BYTES_MAX - 1, true), (BYTES_MAX, true), (BYTES_MAX + 1, false)] {
            let before = "x".repeat(bytes - 1 - key_text.len());
            fs::write(&path, format!("{before}\n{key_text}")).unwrap();
            assert_eq!(load(&path).is_ok(), fits, "{bytes}");
        }
        for text in ["", "\n", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(load(&path), Err(KeyFileError::Malformed(_))), "{text:?}");
        }
    }

    /// The key of RFC 9421, appendix B.1.4, as it is printed there.
    #[test]
    fn a_key_file_is_what_others_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rfc.key");
        drop(create(&path, ClientId::parse("rfc").unwrap()).unwrap());
        let body = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF";
        fs::write(&path, format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
            .unwrap();
        let (key, name) = load(&path).unwrap();
        assert_eq!(name, None);
        let public = key.verifying_key().to_bytes();
        assert_eq!(hex::encode(public), "26b40b8f93fff3d897112f7ebc582b232dbd72517d082fe83cfb30ddce43d1bb");
    }
}
