//! Signed notes, C2SP `signed-note`: a text, and lines of those who sign it.
//!
//! ```text
//! This is an example message.
//!
//! — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
//! ```
//!
//! A note that is read is not yet believed: [`SignedNote::is_signed_by`] asks for one key's signature. Two kinds of key are
//! known, [`KeyType::Ed25519`] for the log and [`KeyType::Cosignature`] for witnesses; lines of other kinds and other keys
//! are kept and mean nothing. Signatures are verified strictly: one signature has one spelling, and a key of small order
//! is no key.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::encoding::{base64, from_base64};

/// The longest note in bytes: the bound of the Go implementation.
pub const NOTE_BYTES_MAX: usize = 1_000_000;

/// The most signature lines of a note: the bound of the Go implementation, above the 16 that every reader must take.
pub const SIGNATURES_MAX: usize = 100;

/// The longest name of a key that is configured here, in bytes. Lines of unknown keys may have longer ones.
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// What goes before a key's name in a signature line.
const LINE_START: &str = "— ";

/// What goes before the name in a secret key's text.
const SECRET_PREFIX: &str = "PRIVATE+KEY+";

/// The length of a key id in bytes.
const KEY_ID_BYTES: usize = 4;

/// The first bytes of a hash over the key's name, type and public key: tells keys of one name apart.
pub type KeyId = [u8; KEY_ID_BYTES];

/// What a key signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum KeyType {
    /// 0x01: Ed25519 over the note's text. The log's own keys.
    Ed25519 = 0x01,
    /// 0x04: Ed25519 over a time and the note's text, C2SP `tlog-cosignature`. The keys of witnesses.
    Cosignature = 0x04,
}

/// Why a text or bytes are not a key or a note, or why a signature does not hold. No text of a secret key is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not `name+id+base64`.
    #[error("the key is not of the form name+id+base64")]
    KeyForm,
    /// The key's name is empty, too long, or has a space, a plus or a control character.
    #[error(
        "the key's name is not 1 to {KEY_NAME_BYTES_MAX} bytes without spaces, plus signs and control characters"
    )]
    KeyName,
    /// The key's type is none of [`KeyType`].
    #[error("the key's type is neither Ed25519 (0x01) nor cosignature (0x04)")]
    KeyType,
    /// The key is not an Ed25519 key: of another length, no point of the curve, or of small order.
    #[error("the key is not an Ed25519 key")]
    KeyMaterial,
    /// The id in the key's text is not that of its name and key.
    #[error("the key's id does not fit its name and key: the text was altered or cut")]
    KeyId,
    /// The note is longer than [`NOTE_BYTES_MAX`].
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// The note is not UTF-8, or has a control character other than newline.
    #[error("the note is not UTF-8 text without control characters")]
    Characters,
    /// The text does not end in a newline.
    #[error("the note's text does not end in a newline")]
    Text,
    /// There is no blank line followed by signature lines, each ended by a newline.
    #[error("the note does not end in a blank line and signature lines")]
    Form,
    /// A line after the blank line is not a signature line.
    #[error("line {0} of the note's signatures is not a signature line")]
    Line(usize),
    /// There are more than [`SIGNATURES_MAX`] lines.
    #[error("the note has more than {SIGNATURES_MAX} signature lines")]
    TooManySignatures,
    /// A signature of a known key does not hold.
    #[error("the signature of {0} does not verify")]
    BadSignature(KeyLabel),
}

/// A key's name and id, as errors and reports show them: `name+id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLabel {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub id: KeyId,
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.name, hex::encode(self.id))
    }
}

/// Whether a signature line may bear this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c < ' ' || c == '+')
}

fn check_key_name(name: &str) -> Result<(), NoteError> {
    if is_name(name) && name.len() <= KEY_NAME_BYTES_MAX { Ok(()) } else { Err(NoteError::KeyName) }
}

/// The id of a key: the first four bytes of SHA-256 over name, newline, type and public key.
fn key_id(name: &str, key_type: KeyType, public: &[u8; 32]) -> KeyId {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', key_type as u8])
        .chain_update(public)
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Takes a key's text apart: name, id, and the bytes behind its base64 (type and key).
fn split_key(text: &str) -> Result<(&str, KeyId, Zeroizing<Vec<u8>>), NoteError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id_text), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::KeyForm);
    };
    check_key_name(name)?;
    let mut id = KeyId::default();
    hex::decode_to_slice(id_text, &mut id).map_err(|_| NoteError::KeyForm)?;
    if hex::encode(id) != id_text {
        return Err(NoteError::KeyForm);
    }
    let bytes = from_base64(bytes).ok_or(NoteError::KeyForm)?;
    Ok((name, id, Zeroizing::new(bytes)))
}

/// A public key that verifies signature lines: a C2SP vkey, `name+id+base64(type || public key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    key_type: KeyType,
    public: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// A key of this name, type and public key.
    pub fn new(name: &str, key_type: KeyType, public: &[u8; 32]) -> Result<Self, NoteError> {
        check_key_name(name)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| NoteError::KeyMaterial)?;
        if key.is_weak() {
            return Err(NoteError::KeyMaterial);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, key_type, public), key_type, public: key })
    }

    /// The name that its signature lines bear.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that its signatures begin with.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The 32 bytes of the Ed25519 public key.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8; 32] {
        self.public.as_bytes()
    }

    /// Name and id.
    #[must_use]
    pub fn label(&self) -> KeyLabel {
        KeyLabel { name: self.name.clone(), id: self.id }
    }

    /// Whether a line says that it is of this key.
    #[must_use]
    pub fn is_named_by(&self, line: &NoteSignature) -> bool {
        line.name == self.name && line.key_id == self.id
    }

    /// Checks a plain Ed25519 signature over `message`, which is no note: the caller separates the domains.
    #[must_use]
    pub fn verify_message(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.public.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    /// Checks one signature line over a note's text. Of a cosignature, returns its time in POSIX seconds.
    pub fn verify(&self, text: &str, line: &NoteSignature) -> Result<Option<u64>, NoteError> {
        let bad = || NoteError::BadSignature(self.label());
        if !self.is_named_by(line) {
            return Err(bad());
        }
        match self.key_type {
            KeyType::Ed25519 => {
                let signature = line.signature.as_slice().try_into().map_err(|_| bad())?;
                if self.verify_message(text.as_bytes(), signature) { Ok(None) } else { Err(bad()) }
            }
            KeyType::Cosignature => {
                let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(bad)?;
                let signature = signature.try_into().map_err(|_| bad())?;
                let time = u64::from_be_bytes(*time);
                let message = cosigned_message(time, text);
                if time <= COSIGNATURE_TIME_MAX && self.verify_message(message.as_bytes(), signature) {
                    Ok(Some(time))
                } else {
                    Err(bad())
                }
            }
        }
    }
}

/// The latest time that a cosignature may bear, in POSIX seconds.
const COSIGNATURE_TIME_MAX: u64 = i64::MAX as u64;

/// What a witness signs: C2SP `tlog-cosignature`, the Ed25519 signed message.
fn cosigned_message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.key_type as u8], self.public.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), base64(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, bytes) = split_key(text)?;
        let (key_type, public) = bytes.split_first().ok_or(NoteError::KeyForm)?;
        let key_type = match key_type {
            0x01 => KeyType::Ed25519,
            0x04 => KeyType::Cosignature,
            _ => return Err(NoteError::KeyType),
        };
        let public = public.try_into().map_err(|_| NoteError::KeyMaterial)?;
        let key = Self::new(name, key_type, public)?;
        if key.id == id { Ok(key) } else { Err(NoteError::KeyId) }
    }
}

/// A secret Ed25519 key of a log, wiped from memory when it is dropped.
///
/// Its text is `PRIVATE+KEY+name+id+base64(0x01 || seed)`, as the Go implementation writes it.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl SigningKey {
    /// The key of this name and this RFC 8032 secret. A new key is made in [`keys`](crate::keys), where chance is allowed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, KeyType::Ed25519, secret.verifying_key().as_bytes())?;
        Ok(Self { secret, verifier })
    }

    /// Reads the secret key's text.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let (name, id, bytes) = split_key(text.strip_prefix(SECRET_PREFIX).ok_or(NoteError::KeyForm)?)?;
        let (key_type, seed) = bytes.split_first().ok_or(NoteError::KeyForm)?;
        if *key_type != KeyType::Ed25519 as u8 {
            return Err(NoteError::KeyType);
        }
        let seed = seed.try_into().map_err(|_| NoteError::KeyMaterial)?;
        let key = Self::from_seed(name, seed)?;
        if key.verifier.id == id { Ok(key) } else { Err(NoteError::KeyId) }
    }

    /// Writes the secret key's text, which is wiped when it is dropped.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([KeyType::Ed25519 as u8; 33]);
        bytes[1..].copy_from_slice(self.secret.as_bytes());
        let secret = Zeroizing::new(base64(*bytes));
        let id = hex::encode(self.verifier.id);
        Zeroizing::new([SECRET_PREFIX, &self.verifier.name, "+", &id, "+", &secret].concat())
    }

    /// The public half, to be handed out.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a note's text.
    #[must_use]
    pub fn sign(&self, text: &str) -> NoteSignature {
        let signature = self.sign_message(text.as_bytes()).to_vec();
        NoteSignature { name: self.verifier.name.clone(), key_id: self.verifier.id, signature }
    }

    /// Signs bytes that are no note: the caller separates the domains.
    #[must_use]
    pub fn sign_message(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier.label())
    }
}

/// A signature line: whose it says it is, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: KeyId,
    signature: Vec<u8>,
}

impl NoteSignature {
    /// Reads a line, without its newline.
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        let bytes = from_base64(encoded)?;
        let (key_id, signature) = bytes.split_first_chunk::<KEY_ID_BYTES>()?;
        if !is_name(name) || signature.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }

    /// The key that it says it is of.
    #[must_use]
    pub fn label(&self) -> KeyLabel {
        KeyLabel { name: self.name.clone(), id: self.key_id }
    }

    /// The signature without the key id.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        write!(f, "{LINE_START}{} {}", self.name, base64(bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        Self::parse(line).ok_or(NoteError::Line(1))
    }
}

/// A text with at least one signature line. [`fmt::Display`] writes the bytes that [`SignedNote::parse`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Signs a text, which ends in a newline and has no other control character.
    pub fn sign(text: String, key: &SigningKey) -> Result<Self, NoteError> {
        if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Characters);
        }
        if !text.ends_with('\n') {
            return Err(NoteError::Text);
        }
        let signatures = vec![key.sign(&text)];
        let note = Self { text, signatures };
        note.check_limits()?;
        Ok(note)
    }

    /// Reads a note. Nobody's signature is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        if bytes.iter().any(|byte| *byte < b' ' && *byte != b'\n') {
            return Err(NoteError::Characters);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        // The text may have empty lines of its own: the last one separates.
        let (before, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
        let mut signatures = Vec::new();
        for (index, line) in lines.split('\n').enumerate() {
            if index == SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line).ok_or(NoteError::Line(index + 1))?);
        }
        Ok(Self { text: format!("{before}\n"), signatures })
    }

    /// Adds a line, of a witness or of another key of the log. A refused line leaves the note as it was.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        self.signatures.push(signature);
        self.check_limits().inspect_err(|_| {
            self.signatures.pop();
        })
    }

    fn check_limits(&self) -> Result<(), NoteError> {
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        if self.to_string().len() > NOTE_BYTES_MAX { Err(NoteError::TooLong) } else { Ok(()) }
    }

    /// What was signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines, in order; at least one. None of them is verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Whether the note has a line of this key. A line that says it is of this key and does not verify is an error,
    /// even beside another that does.
    pub fn is_signed_by(&self, key: &VerifierKey) -> Result<bool, NoteError> {
        let mut signed = false;
        for line in self.signatures.iter().filter(|line| key.is_named_by(line)) {
            key.verify(&self.text, line)?;
            signed = true;
        }
        Ok(signed)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
pub(super) mod vectors {
    //! Keys and notes that others have published.

    /// Of `golang.org/x/mod/sumdb/note`.
    pub const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    pub const PETER_SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    pub const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
    pub const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    pub const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    pub const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    /// A checkpoint of a staging log of Certificate Transparency, with a line of type 5 and four witnesses, and the key
    /// of one witness.
    pub const WITNESSED: &str = "arche2025h1.staging.ct.transparency.dev\n\
        1432088532\n\
        U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\
        \n\
        — arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n\
        — arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n\
        — transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n\
        — witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n\
        — remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n\
        — witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";
    pub const WITNESSED_LOG: &str =
        "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
    pub const WITNESS: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
}

#[cfg(test)]
mod tests {
    use super::vectors::{ENOCH, ENOCH_LINE, PETER, PETER_LINE, PETER_SECRET, TEXT, WITNESS, WITNESSED};
    use super::*;

    fn key(text: &str) -> VerifierKey {
        text.parse().unwrap()
    }

    fn parse(note: &str) -> Result<SignedNote, NoteError> {
        SignedNote::parse(note.as_bytes())
    }

    fn published() -> String {
        format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}")
    }

    /// Every text that differs from this one in one byte, being the next or the previous ASCII character or having its
    /// lowest bit or its case flipped.
    fn mutations(text: &str) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..text.len()).flat_map(move |at| {
            let byte = text.as_bytes()[at];
            [byte.wrapping_add(1), byte.wrapping_sub(1), byte ^ 1, byte ^ 0x20, byte ^ 0x80].into_iter().map(
                move |other| {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = other;
                    (at, bytes)
                },
            )
        })
    }

    #[test]
    fn published_keys_are_read_and_written_as_they_were() {
        for text in [
            PETER,
            ENOCH,
            WITNESS,
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
            "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        ] {
            assert_eq!(key(text).to_string(), text);
        }
        assert_eq!(key(PETER).key_type(), KeyType::Ed25519);
        assert_eq!(key(WITNESS).key_type(), KeyType::Cosignature);
        assert_eq!(key(PETER).name(), "PeterNeumann");
        assert_eq!(key(PETER).id(), [0xc7, 0x4f, 0x20, 0xa3]);
        assert_eq!(key(PETER).label().to_string(), "PeterNeumann+c74f20a3");
        let secret = SigningKey::parse(PETER_SECRET).unwrap();
        assert_eq!(*secret.verifier_key(), key(PETER));
        assert_eq!(*secret.to_text(), PETER_SECRET);
    }

    #[test]
    fn a_published_note_is_signed_by_both_and_written_as_it_was() {
        let note = parse(&published()).unwrap();
        assert_eq!(note.text(), TEXT);
        assert_eq!(note.to_string(), published());
        assert_eq!(note.is_signed_by(&key(PETER)), Ok(true));
        assert_eq!(note.is_signed_by(&key(ENOCH)), Ok(true));
        let stranger = SigningKey::generate("PeterNeumann").unwrap();
        assert_eq!(note.is_signed_by(stranger.verifier_key()), Ok(false));

        // The specification's own example.
        let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        let example = key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
        assert_eq!(parse(note).unwrap().is_signed_by(&example), Ok(true));
    }

    #[test]
    fn signing_gives_the_published_note() {
        let secret = SigningKey::parse(PETER_SECRET).unwrap();
        let mut note = SignedNote::sign(TEXT.to_owned(), &secret).unwrap();
        note.add_signature(ENOCH_LINE.trim_end().parse().unwrap()).unwrap();
        assert_eq!(note.to_string(), published());
    }

    #[test]
    fn a_published_cosignature_holds_for_its_time_and_text() {
        let note = parse(WITNESSED).unwrap();
        let witness = key(WITNESS);
        assert_eq!(note.signatures().len(), 6);
        assert_eq!(note.is_signed_by(&witness), Ok(true));
        let line = &note.signatures()[4];
        assert_eq!(witness.verify(note.text(), line), Ok(Some(0x6a12_2120)));

        let bad = Err(NoteError::BadSignature(witness.label()));
        assert_eq!(witness.verify(&note.text().replace("1432088532", "1432088533"), line), bad);
        for at in 0..line.signature().len() {
            let mut line = line.clone();
            line.signature[at] ^= 1;
            assert_eq!(witness.verify(note.text(), &line), bad, "byte {at}");
        }
        for length in [0, 7, 8, 71, 73] {
            let mut line = line.clone();
            line.signature.resize(length, 0);
            assert_eq!(witness.verify(note.text(), &line), bad, "{length} bytes");
        }
    }

    #[test]
    fn a_cosignature_is_no_signature_of_the_log_and_the_other_way_round() {
        // The same secret under both types: domain separation is what keeps the two apart.
        let log = SigningKey::from_seed("one", &[7; 32]).unwrap();
        let witness =
            VerifierKey::new("one", KeyType::Cosignature, log.verifier_key().public_bytes()).unwrap();
        assert_ne!(witness.id(), log.verifier_key().id());
        let mut line = log.sign("text\n");
        assert_eq!(witness.verify("text\n", &line), Err(NoteError::BadSignature(witness.label())));

        let cosigned = |time: u64, claimed: u64| {
            let signature = log.sign_message(cosigned_message(time, "text\n").as_bytes());
            let signature = [claimed.to_be_bytes().as_slice(), &signature].concat();
            NoteSignature { name: "one".to_owned(), key_id: witness.id(), signature }
        };
        assert_eq!(witness.verify("text\n", &cosigned(7, 7)), Ok(Some(7)));
        assert_eq!(witness.verify("text\n", &cosigned(7, 8)), Err(NoteError::BadSignature(witness.label())));
        let last = i64::MAX as u64;
        assert_eq!(witness.verify("text\n", &cosigned(last, last)), Ok(Some(last)));
        assert!(witness.verify("text\n", &cosigned(last + 1, last + 1)).is_err());
        line = cosigned(7, 7);
        line.key_id = log.verifier_key().id();
        assert!(log.verifier_key().verify("text\n", &line).is_err());
    }

    #[test]
    fn no_part_of_a_key_and_no_altered_key_is_a_key() {
        for text in [PETER, WITNESS] {
            for (at, bytes) in mutations(text) {
                let read = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<VerifierKey>().ok());
                assert_eq!(read, None, "byte {at} of {text}");
            }
            for (start, end) in (0..=text.len()).flat_map(|end| (0..end).map(move |start| (start, end))) {
                assert!((start, end) == (0, text.len()) || text[start..end].parse::<VerifierKey>().is_err());
            }
        }
        for (at, bytes) in mutations(PETER_SECRET) {
            let read = std::str::from_utf8(&bytes).is_ok_and(|text| SigningKey::parse(text).is_ok());
            assert!(!read, "byte {at}");
        }
        for end in 0..PETER_SECRET.len() {
            assert!(SigningKey::parse(&PETER_SECRET[..end]).is_err());
        }
    }

    #[test]
    fn a_refused_key_says_what_is_wrong_with_it() {
        let refused = [
            ("PeterNeumann", NoteError::KeyForm),
            ("PeterNeumann+c74f20a3", NoteError::KeyForm),
            ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NoteError::KeyForm),
            ("PeterNeumann+c74f20a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NoteError::KeyForm),
            ("PeterNeumann+c74f20a3+!", NoteError::KeyForm),
            ("PeterNeumann+c74f20a3+", NoteError::KeyForm),
            ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NoteError::KeyName),
            ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NoteError::KeyName),
            (
                "Peter\u{2003}Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                NoteError::KeyName,
            ),
            // Of x/mod/sumdb/note: another length and another type, each with the id adjusted.
            (
                "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
                NoteError::KeyForm,
            ),
            ("PeterNeumann+c74f20a3+AQ==", NoteError::KeyMaterial),
            ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NoteError::KeyType),
            ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NoteError::KeyId),
        ];
        for (text, error) in refused {
            assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
        }
        // The point of order 1: every signature of it would be forged.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(VerifierKey::new("weak", KeyType::Ed25519, &identity), Err(NoteError::KeyMaterial));
        let named = |length| SigningKey::from_seed(&"n".repeat(length), &[1; 32]);
        assert!(named(KEY_NAME_BYTES_MAX - 1).is_ok());
        assert!(named(KEY_NAME_BYTES_MAX).is_ok());
        assert_eq!(named(KEY_NAME_BYTES_MAX + 1).err(), Some(NoteError::KeyName));
        assert_eq!(named(0).err(), Some(NoteError::KeyName));
    }

    #[test]
    fn a_secret_key_shows_its_name_only() {
        let secret = SigningKey::parse(PETER_SECRET).unwrap();
        assert_eq!(format!("{secret:?}"), "SigningKey(PeterNeumann+c74f20a3)");
        let other = SigningKey::parse(&PETER_SECRET.replace("AYEK", "AYEL")).err().unwrap();
        assert_eq!(other, NoteError::KeyId);
        assert!(!format!("{other} {other:?}").contains("FALVFGy"));
        let generated = SigningKey::generate("a").unwrap();
        assert_eq!(SigningKey::parse(&generated.to_text()).unwrap().verifier_key(), generated.verifier_key());
        assert_ne!(generated.verifier_key(), SigningKey::generate("a").unwrap().verifier_key());
    }

    #[test]
    fn what_is_not_a_note_is_refused_for_what_is_wrong() {
        let line = PETER_LINE;
        let refused = [
            (String::new(), NoteError::Form),
            ("\n".to_owned(), NoteError::Form),
            ("\n\n".to_owned(), NoteError::Form),
            (TEXT.to_owned(), NoteError::Form),
            (format!("{TEXT}\n"), NoteError::Form),
            (format!("{TEXT}{line}"), NoteError::Form),
            (format!("\n{line}"), NoteError::Form),
            (format!("{TEXT}\n{}", line.trim_end()), NoteError::Form),
            (format!("{TEXT}\n{line}\n"), NoteError::Form),
            (format!("{TEXT}\n\n"), NoteError::Form),
            (format!("\u{1}{TEXT}\n{line}"), NoteError::Characters),
            (format!("{TEXT}\n{}", line.replace('\n', "\r\n")), NoteError::Characters),
            (format!("a\tb\n\n{line}"), NoteError::Characters),
            (format!("{TEXT}\n{line}Unexpected line.\n"), NoteError::Line(2)),
            (format!("{TEXT}\n{}", line.replace("— ", "—")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace('—', "-")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace("— ", "—  ")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace("PeterNeumann", "Bad Name")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace("PeterNeumann", "Bad+Name")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace("PeterNeumann", "Bad\u{a0}Name")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace("PeterNeumann", "")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace('=', "")), NoteError::Line(1)),
            (format!("{TEXT}\n{}", line.replace("=\n", "= \n")), NoteError::Line(1)),
            // A key id and nothing after it; less than a key id.
            (format!("{TEXT}\n— a x08gow==\n"), NoteError::Line(1)),
            (format!("{TEXT}\n— a x08g\n"), NoteError::Line(1)),
            (format!("{TEXT}\n— a \n"), NoteError::Line(1)),
            (format!("{TEXT}\n— a\n"), NoteError::Line(1)),
        ];
        for (note, error) in refused {
            assert_eq!(parse(&note), Err(error), "{note:?}");
        }
        let not_utf8 = [b"\xff", published().as_bytes()].concat();
        assert_eq!(SignedNote::parse(&not_utf8), Err(NoteError::Characters));
        // One byte of signature is enough for a line of an unknown type.
        assert!(parse(&format!("{TEXT}\n— a x08gowA=\n")).is_ok());
    }

    #[test]
    fn the_last_empty_line_separates_and_a_text_may_have_others() {
        for text in ["\n", "a\n\n", "a\n\nb\n", "\n\na\n", "— a x08gowA=\n", "a\n\n— a x08gowA=\n"] {
            let note = parse(&format!("{text}\n{PETER_LINE}")).unwrap();
            assert_eq!(note.text(), text);
            assert_eq!(note.signatures().len(), 1);
            let key = SigningKey::generate("k").unwrap();
            let signed = SignedNote::sign(text.to_owned(), &key).unwrap();
            assert_eq!(parse(&signed.to_string()), Ok(signed));
        }
    }

    #[test]
    fn a_text_that_no_note_can_have_is_not_signed() {
        let key = SigningKey::generate("k").unwrap();
        let sign = |text: &str| SignedNote::sign(text.to_owned(), &key).err();
        assert_eq!(sign(""), Some(NoteError::Text));
        assert_eq!(sign("no newline"), Some(NoteError::Text));
        assert_eq!(sign("a\tb\n"), Some(NoteError::Characters));
        assert_eq!(sign("a\r\n"), Some(NoteError::Characters));
    }

    #[test]
    fn the_number_of_lines_and_the_length_have_a_limit() {
        let repeated = |count| format!("{TEXT}\n{}", PETER_LINE.repeat(count));
        for count in [1, 16, SIGNATURES_MAX - 1, SIGNATURES_MAX] {
            assert_eq!(parse(&repeated(count)).unwrap().signatures().len(), count);
        }
        assert_eq!(parse(&repeated(SIGNATURES_MAX + 1)), Err(NoteError::TooManySignatures));
        let mut full = parse(&repeated(SIGNATURES_MAX - 1)).unwrap();
        let line = full.signatures()[0].clone();
        full.add_signature(line.clone()).unwrap();
        let before = full.clone();
        assert_eq!(full.add_signature(line.clone()), Err(NoteError::TooManySignatures));
        assert_eq!(full, before);

        let rest = PETER_LINE.len() + 2;
        let sized = |size: usize| format!("{}\n\n{PETER_LINE}", "x".repeat(size - rest));
        let secret = SigningKey::parse(PETER_SECRET).unwrap();
        let signed = |size: usize| SignedNote::sign(format!("{}\n", "x".repeat(size - rest)), &secret);
        for size in [NOTE_BYTES_MAX - 1, NOTE_BYTES_MAX] {
            assert!(parse(&sized(size)).is_ok());
            assert_eq!(signed(size).unwrap().to_string().len(), size);
        }
        assert_eq!(parse(&sized(NOTE_BYTES_MAX + 1)), Err(NoteError::TooLong));
        assert_eq!(signed(NOTE_BYTES_MAX + 1), Err(NoteError::TooLong));
        let mut note = signed(NOTE_BYTES_MAX - PETER_LINE.len() + 1).unwrap();
        assert_eq!(note.add_signature(line.clone()), Err(NoteError::TooLong));
        let mut note = signed(NOTE_BYTES_MAX - PETER_LINE.len()).unwrap();
        assert_eq!(note.add_signature(line), Ok(()));
    }

    #[test]
    fn a_bad_line_of_a_known_key_spoils_the_note_even_beside_a_good_one() {
        let bad_line = PETER_LINE.replace("x08go/ZJ", "x08go/ZK");
        let peter = key(PETER);
        let bad = Err(NoteError::BadSignature(peter.label()));
        for lines in [
            bad_line.clone(),
            format!("{PETER_LINE}{bad_line}"),
            format!("{bad_line}{PETER_LINE}"),
            // Of x/mod/sumdb/note: a signature that is too long.
            format!("{}ABCD{}", &PETER_LINE[..60], &PETER_LINE[60..]),
        ] {
            let note = parse(&format!("{TEXT}\n{lines}")).unwrap();
            assert_eq!(note.is_signed_by(&peter), bad, "{lines}");
            assert_eq!(note.is_signed_by(&key(ENOCH)), Ok(false));
        }
        // The same name with another id, and another name with the same id, are other keys.
        for lines in [PETER_LINE.replace("x08go", "x08gp"), PETER_LINE.replace("PeterNeumann", "Peter")] {
            assert_eq!(parse(&format!("{TEXT}\n{lines}")).unwrap().is_signed_by(&peter), Ok(false));
        }
    }

    #[test]
    fn a_note_altered_in_one_byte_is_no_note_or_not_signed() {
        let note = format!("{TEXT}\n{PETER_LINE}");
        for (at, bytes) in mutations(&note) {
            let signed = SignedNote::parse(&bytes).and_then(|note| note.is_signed_by(&key(PETER)));
            assert_ne!(signed, Ok(true), "byte {at}");
        }
    }
}
