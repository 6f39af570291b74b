//! TLS, in and out: rustls with *ring*, versions 1.3 and 1.2, and nothing chosen by anybody else's defaults.
//!
//! The service's certificate and key are files, PEM. They are looked at again every [`RENEWAL_LOOK_EVERY`], and when their
//! bytes have changed, new connections get the new ones; those that are open keep theirs. A pair that does not fit (one of the
//! two files is written already, the other not yet) is not taken: the old one stays until the pair fits.
//!
//! Nothing of a key's file is ever repeated in an error.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_platform_verifier::BuilderVerifierExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, Error as RustlsError, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use zeroize::Zeroizing;

/// A file of certificates or a key that is longer is none.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// How often the files are looked at for a renewed certificate.
pub const RENEWAL_LOOK_EVERY: Duration = Duration::from_mins(1);

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// What cannot be made of the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the TLS file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file is too long to be one.
    #[error("the TLS file {0} has more than {FILE_BYTES_MAX} bytes")]
    TooLong(String),
    /// Others than its owner may read the key.
    #[error(
        "the TLS key file {0} can be read by others: run chmod 600 on it, and think about who may have read it"
    )]
    Exposed(String),
    /// There is no certificate in it.
    #[error("the file {0} holds no certificate in PEM, or something in it is not PEM")]
    NoCertificate(String),
    /// There is no key in it.
    #[error("the file {0} holds no private key in PEM")]
    NoKey(String),
    /// The two do not go together, or are of a kind that is not supported.
    #[error("{certificate} and {key} cannot be served with: {source}")]
    Pair {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
        /// Why.
        source: RustlsError,
    },
    /// A certification authority cannot be trusted as it stands there.
    #[error("the certificates of {0} cannot be trusted as authorities: {1}")]
    Authority(String, RustlsError),
    /// The system has none.
    #[error("this system has no certification authorities ({0}): name one with --ca-certificate")]
    NoAuthorities(RustlsError),
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Reads a file of limited length; `secret`: one that others than its owner must not read.
fn read(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::File { path: name(path), source };
    let file = File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if secret && file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(TlsError::Exposed(name(path)));
        }
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX { Err(TlsError::TooLong(name(path))) } else { Ok(bytes) }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    // What is wrong with it may be a line of a key that somebody put there.
    let found = read.map_err(|_| TlsError::NoCertificate(name(path)))?;
    if found.is_empty() { Err(TlsError::NoCertificate(name(path))) } else { Ok(found) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The two files that the service shows itself with.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and those between it and its authority, in this order.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What new connections are taken with.
pub type Current = watch::Receiver<Arc<ServerConfig>>;

impl Files {
    /// Reads both.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        Ok(self.read()?.1)
    }

    /// What new connections are taken with, and what keeps it current.
    pub fn open(self) -> Result<(Current, Renewal), TlsError> {
        let (digest, config) = self.read()?;
        let (tell, current) = watch::channel(config);
        Ok((current, Renewal { files: self, seen: Some(digest), tell }))
    }

    fn read(&self) -> Result<([u8; 32], Arc<ServerConfig>), TlsError> {
        let (certificate, key) = (read(&self.certificate, false)?, read(&self.key, true)?);
        Ok((digest(&certificate, &key), self.config(&certificate, &key)?))
    }

    fn config(&self, certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = certificates(&self.certificate, certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey(name(&self.key)))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .and_then(|versions| versions.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|source| TlsError::Pair {
            certificate: name(&self.certificate),
            key: name(&self.key),
            source,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn digest(certificate: &[u8], key: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((certificate.len() as u64).to_be_bytes());
    hash.update(certificate);
    hash.update(key);
    hash.finalize().into()
}

/// Looks for renewed files.
pub struct Renewal {
    files: Files,
    /// Of the bytes that were judged last: one pair is complained of once.
    seen: Option<[u8; 32]>,
    tell: watch::Sender<Arc<ServerConfig>>,
}

impl Renewal {
    /// Looks every so often, for as long as anybody takes connections.
    pub async fn run(mut self, every: Duration) {
        loop {
            tokio::select! {
                () = self.tell.closed() => return,
                () = tokio::time::sleep(every) => {}
            }
            // Files may be on a disk that does not answer.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(renewal) => self = renewal,
                Err(error) => {
                    return tracing::error!(%error, "renewed certificates are not looked for any more");
                }
            }
        }
    }

    /// Takes the files if they have changed and fit together.
    fn look(&mut self) {
        let read = read(&self.files.certificate, false)
            .and_then(|certificate| Ok((certificate, read(&self.files.key, true)?)));
        let (certificate, key) = match read {
            Ok(read) => read,
            Err(error) => {
                if self.seen.take().is_some() {
                    tracing::warn!(%error, "the TLS certificate stays as it was");
                }
                return;
            }
        };
        let digest = digest(&certificate, &key);
        if self.seen.replace(digest) == Some(digest) {
            return;
        }
        match self.files.config(&certificate, &key) {
            Ok(config) => {
                self.tell.send_replace(config);
                tracing::info!("the TLS certificate was renewed");
            }
            Err(error) => tracing::warn!(%error, "the TLS certificate stays as it was"),
        }
    }
}

/// What calls a service at this address: an `https` one is trusted if its certificate leads to an authority in the file that is
/// named, or else to one of the system's.
pub fn client(base: &str, authorities: Option<&Path>) -> Result<reqwest::ClientBuilder, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .expect("ring has suites of both versions");
    let is_https = base.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let config = match authorities {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, &read(path, false)?)? {
                roots.add(certificate).map_err(|error| TlsError::Authority(name(path), error))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None if is_https => {
            builder.with_platform_verifier().map_err(TlsError::NoAuthorities)?.with_no_client_auth()
        }
        // The system's authorities are not read for an address that needs none.
        None => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// A new certificate in the files of a directory.
    fn write(directory: &TempDir) -> Files {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let files =
            Files { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
        fs::write(&files.certificate, cert.pem()).unwrap();
        put_key(&files.key, &signing_key.serialize_pem());
        files
    }

    fn put_key(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        permit(path, 0o600);
    }

    fn permit(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_and_so_is_what_does_not_fit() {
        let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, others) = (write(&directory), write(&other));
        files.load().unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            permit(&files.key, mode);
            assert!(matches!(files.load(), Err(TlsError::Exposed(_))), "{mode:o}");
        }
        permit(&files.key, 0o600);
        let mixed = Files { key: others.key, ..files.clone() };
        assert!(matches!(mixed.load(), Err(TlsError::Pair { .. })));
        let swapped = Files { certificate: files.key.clone(), key: files.certificate.clone() };
        permit(&files.certificate, 0o600);
        assert!(matches!(swapped.load(), Err(TlsError::NoCertificate(_))));
        let absent = Files { key: directory.path().join("absent"), ..files.clone() };
        assert!(matches!(absent.load(), Err(TlsError::File { .. })));
        let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\nsecret\n";
        put_key(&files.key, secret);
        let error = files.load().map(drop).unwrap_err();
        assert!(matches!(error, TlsError::NoKey(_)) && !format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long.pem");
        for (length, fits) in
            [(FILE_BYTES_MAX - 1, true), (FILE_BYTES_MAX, true), (FILE_BYTES_MAX + 1, false)]
        {
            fs::write(&path, vec![b'\n'; length]).unwrap();
            assert_eq!(read(&path, false).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn a_renewed_pair_is_taken_when_it_fits_and_not_before() {
        let (directory, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, renewed) = (write(&directory), write(&next));
        let (mut current, mut renewal) = files.clone().open().unwrap();
        renewal.look();
        assert!(!current.has_changed().unwrap(), "nothing has changed");
        fs::copy(&renewed.certificate, &files.certificate).unwrap();
        renewal.look();
        assert!(!current.has_changed().unwrap(), "half of a pair");
        fs::remove_file(&files.key).unwrap();
        renewal.look();
        assert!(!current.has_changed().unwrap(), "no key");
        put_key(&files.key, &fs::read_to_string(&renewed.key).unwrap());
        renewal.look();
        assert!(current.has_changed().unwrap());
        current.mark_unchanged();
        renewal.look();
        assert!(!current.has_changed().unwrap());
    }

    #[test]
    fn only_certificates_are_taken_for_authorities_and_plain_addresses_need_none() {
        let directory = tempfile::tempdir().unwrap();
        let files = write(&directory);
        client("https://localhost", Some(&files.certificate)).unwrap().build().unwrap();
        assert!(matches!(client("https://localhost", Some(&files.key)), Err(TlsError::NoCertificate(_))));
        client("http://localhost", None).unwrap().build().unwrap();
    }
}
