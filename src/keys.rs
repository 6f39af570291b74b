//! The book's secret keys, and what they make of a person's number.
//!
//! | key | makes | if it is lost | if it is stolen |
//! |---|---|---|---|
//! | `lookup` | the wallet's id from the number | nobody finds a wallet by number | numbers can be guessed from wallet ids |
//! | `tag` | the person's tag in the log | no new wallet can be opened safely | numbers can be guessed from the log |
//! | `seal` | the number, encrypted at rest | numbers cannot be shown again | numbers at rest can be read |
//! | `blind` | the blind of every leaf | the log cannot be continued | published hashes confirm guesses |
//!
//! A Kazakhstani number has fewer than 10⁹ plausible values, so any hash of one without a key could be reversed: hence
//! keys everywhere. They live in one file that nobody but its owner may read, and never in the database or the journal.

mod orders;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use aes_gcm_siv::aead::{Aead, KeyInit as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::domain::{Bic, BookId, Destination, DestinationForm, Iin, WalletId};
use crate::ledger::batch_rules::People;
use crate::ledger::payment::CashReference;
use crate::ledger::rules::Person;
use crate::log::note::{NoteError, SigningKey};

pub use orders::{OrderText, WrittenDebt, WrittenOrder, order_tag_of, order_text_of};

/// Bytes from which on a signed request is compressed: a short one gains less than the making of a compressor takes.
const PACKED_MIN: usize = 1_024;

/// The fastest of Zstandard's usual levels: a payday waits for it.
const PACKED_LEVEL: i32 = 1;

/// What goes before an opening when a person's tag is made, so that it is a hash of nothing else.
const TAG_CONTEXT: &[u8] = b"social-wallet/person/v1";

/// What goes before a destination when its tag is made.
const DESTINATION_CONTEXT: &[u8] = b"social-wallet/destination/v1";

/// What goes before a cash-out's reference and code when they are hashed.
const CASH_CONTEXT: &[u8] = b"social-wallet/cash/v1";

/// What a key file cannot be.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error(
        "the key file {0} can be read by others: run chmod 600 on it, and think about who may have read it"
    )]
    Exposed(String),
    /// It is not a key file.
    #[error("the key file {0} is not a key file of version 1: restore it from its backup")]
    Malformed(String),
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    book: String,
    lookup: String,
    tag: String,
    seal: String,
    blind: String,
}

/// The keys of a book.
pub struct BookKeys {
    book: BookId,
    lookup: Hmac<Sha256>,
    tag: Hmac<Sha256>,
    seal: Aes256GcmSiv,
    blind: [u8; 32],
}

impl BookKeys {
    /// Reads the key file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let failed = |source| KeyError::File { path: name(), source };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
                return Err(KeyError::Exposed(name()));
            }
        }
        let text = zeroize::Zeroizing::new(fs::read(path).map_err(failed)?);
        let file: KeyFile = serde_json::from_slice(&text).map_err(|_| KeyError::Malformed(name()))?;
        Self::from_file(&file).ok_or_else(|| KeyError::Malformed(name()))
    }

    /// Makes new keys for a new book and writes them to a file that must not exist.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let secret = || hex::encode(rand::random::<[u8; 32]>());
        let file = KeyFile {
            version: 1,
            book: uuid::Uuid::new_v4().to_string(),
            lookup: secret(),
            tag: secret(),
            seal: secret(),
            blind: secret(),
        };
        let name = || path.display().to_string();
        let failed = |source| KeyError::File { path: name(), source };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let text = zeroize::Zeroizing::new(
            serde_json::to_vec_pretty(&file).expect("a struct of strings is always written as JSON"),
        );
        let mut out = options.open(path).map_err(failed)?;
        out.write_all(&text).and_then(|()| out.sync_all()).map_err(failed)?;
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            // The file's name must survive a power cut as its bytes do: without the keys the book is unreadable.
            fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        Self::from_file(&file).ok_or_else(|| KeyError::Malformed(name()))
    }

    fn from_file(file: &KeyFile) -> Option<Self> {
        let key = |text: &str| {
            let mut key = [0; 32];
            hex::decode_to_slice(text, &mut key).ok().map(|()| key)
        };
        if file.version != 1 {
            return None;
        }
        let book = BookId::parse(&file.book).ok()?;
        Some(Self::new(book, key(&file.lookup)?, key(&file.tag)?, key(&file.seal)?, key(&file.blind)?))
    }

    /// Keys given as bytes: for tests and vectors.
    #[must_use]
    pub fn new(
        book: BookId,
        mut lookup: [u8; 32],
        mut tag: [u8; 32],
        mut seal: [u8; 32],
        blind: [u8; 32],
    ) -> Self {
        let hmac = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        let keys = Self {
            book,
            lookup: hmac(&lookup),
            tag: hmac(&tag),
            seal: Aes256GcmSiv::new_from_slice(&seal).expect("the key has 32 bytes"),
            blind,
        };
        lookup.zeroize();
        tag.zeroize();
        seal.zeroize();
        keys
    }

    /// The book.
    #[must_use]
    pub fn book(&self) -> BookId {
        self.book
    }

    /// The key of the leaves' blinds.
    #[must_use]
    pub fn blind(&self) -> &[u8; 32] {
        &self.blind
    }

    /// The wallet of a person: a version 8 UUID whose first 16 bits are the book's, and whose others are HMAC-SHA-256 of
    /// the number. One number, one id: so the schema's unique id is one wallet per person.
    #[must_use]
    pub fn wallet_id(&self, iin: &Iin) -> WalletId {
        let mut mac = self.lookup.clone();
        mac.update(iin.expose().as_bytes());
        let full = mac.finalize().into_bytes();
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&self.book.uuid().as_bytes()[..2]);
        bytes[2..].copy_from_slice(&full[..14]);
        WalletId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The opening of a person's tag: who is given it, and the number, can check the tag, and no other tag.
    #[must_use]
    pub fn tag_opening(&self, iin: &Iin) -> [u8; 32] {
        let mut mac = self.tag.clone();
        mac.update(iin.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The person's tag in the log: SHA-256 of a context, the opening and the number.
    #[must_use]
    pub fn tag(&self, iin: &Iin) -> [u8; 32] {
        tag_of(&self.tag_opening(iin), iin)
    }

    /// The number, encrypted and bound to its wallet (AES-256-GCM-SIV, RFC 8452; the nonce is taken from the wallet's id,
    /// which is safe with this cipher: the same number in the same wallet gives the same bytes, and nothing else is told).
    #[must_use]
    pub fn seal(&self, iin: &Iin, wallet: WalletId) -> Vec<u8> {
        let id = wallet.uuid().into_bytes();
        let payload = Payload { msg: iin.expose().as_bytes(), aad: &id };
        let nonce = Nonce::try_from(&id[4..]).expect("12 of 16 bytes");
        self.seal.encrypt(&nonce, payload).expect("12 bytes are far below the cipher's limit")
    }

    /// Decrypts a number. `None`: the bytes were not made by [`Self::seal`] for this wallet with these keys.
    #[must_use]
    pub fn unseal(&self, sealed: &[u8], wallet: WalletId) -> Option<Iin> {
        let id = wallet.uuid().into_bytes();
        let nonce = Nonce::try_from(&id[4..]).expect("12 of 16 bytes");
        let mut plain = self.seal.decrypt(&nonce, Payload { msg: sealed, aad: &id }).ok()?;
        let iin = Iin::parse(&plain).ok();
        plain.zeroize();
        iin
    }
}

impl BookKeys {
    /// What was signed and the body that it was signed for, compressed (Zstandard, RFC 8878) if they are long, and encrypted, bound
    /// to the signature. One signature is of one request, so the cipher's nonce may be taken from it. The base is encrypted
    /// too: idempotency keys and nonces stand in it, and nobody knows what clients put into those.
    #[must_use]
    pub fn seal_request(&self, signature: &[u8; 64], base: &str, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(base.len()).expect("the head of a request is short");
        let whole = [&length.to_be_bytes(), base.as_bytes(), body].concat();
        let is_long = whole.len() >= PACKED_MIN;
        let mut packed = if is_long {
            zstd::bulk::compress(&whole, PACKED_LEVEL).expect("memory to memory, at a level that there is")
        } else {
            whole
        };
        packed.push(is_long.into()); // the last byte says which
        let nonce = Nonce::try_from(&signature[..12]).expect("12 of 64 bytes");
        let payload = Payload { msg: &packed, aad: signature };
        self.seal.encrypt(&nonce, payload).expect("a request is far below the cipher's limit")
    }

    /// That base and that body again. `None`: the bytes were not made by [`Self::seal_request`] for this signature with these keys,
    /// or together they are longer than `limit`.
    #[must_use]
    pub fn unseal_request(
        &self,
        signature: &[u8; 64],
        sealed: &[u8],
        limit: usize,
    ) -> Option<(String, Vec<u8>)> {
        let nonce = Nonce::try_from(&signature[..12]).expect("12 of 64 bytes");
        let mut packed = self.seal.decrypt(&nonce, Payload { msg: sealed, aad: signature }).ok()?;
        let limit = limit + size_of::<u32>();
        let whole = match packed.pop()? {
            0 if packed.len() <= limit => packed,
            1 => zstd::bulk::decompress(&packed, limit).ok()?,
            _ => return None,
        };
        let (length, rest) = whole.split_first_chunk()?;
        let (base, body) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        Some((String::from_utf8(base.to_vec()).ok()?, body.to_vec()))
    }
}

impl BookKeys {
    /// The tag of a destination in the log: the same card or account of the same bank has the same tag.
    #[must_use]
    pub fn destination_tag(&self, bank: Bic, destination: &Destination) -> [u8; 32] {
        self.tagged(DESTINATION_CONTEXT, &[bank.as_str(), destination.form().as_str(), destination.expose()])
    }

    /// A keyed hash of a cash-out's reference and its code: all that is kept of the code.
    #[must_use]
    pub fn cash_secret(&self, reference: CashReference, code: &str) -> [u8; 32] {
        self.tagged(CASH_CONTEXT, &[&reference.to_string(), code])
    }

    /// HMAC-SHA-256 of texts, each after its length, under the key of tags. No person's number begins like a context.
    fn tagged(&self, context: &[u8], parts: &[&str]) -> [u8; 32] {
        let mut mac = self.tag.clone();
        mac.update(context);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// A destination, encrypted and bound to its wallet and its tag (AES-256-GCM-SIV; the nonce is taken from the tag).
    #[must_use]
    pub fn seal_destination(&self, destination: &Destination, wallet: WalletId, tag: &[u8; 32]) -> Vec<u8> {
        let form = destination.form();
        let text = format!("{form} {} {}", destination.last_four(), destination.expose());
        let payload = Payload { msg: text.as_bytes(), aad: &wallet.uuid().into_bytes() };
        let nonce = Nonce::try_from(&tag[..12]).expect("12 of 32 bytes");
        self.seal.encrypt(&nonce, payload).expect("a destination is far below the cipher's limit")
    }

    /// That destination again. `None`: the bytes were not made by [`Self::seal_destination`] for this wallet and tag.
    #[must_use]
    pub fn unseal_destination(&self, sealed: &[u8], wallet: WalletId, tag: &[u8; 32]) -> Option<Destination> {
        let nonce = Nonce::try_from(&tag[..12]).expect("12 of 32 bytes");
        let payload = Payload { msg: sealed, aad: &wallet.uuid().into_bytes() };
        let plain = Zeroizing::new(self.seal.decrypt(&nonce, payload).ok()?);
        let mut parts = std::str::from_utf8(&plain).ok()?.split(' ');
        let (form, last_four, exposed) = (parts.next()?, parts.next()?, parts.next()?);
        match DestinationForm::parse(form).ok()? {
            DestinationForm::Card => Destination::card(exposed, last_four).ok(),
            DestinationForm::Iban => Destination::iban(exposed).ok(),
        }
    }
}

/// The tag that an opening and a number make.
#[must_use]
pub fn tag_of(opening: &[u8; 32], iin: &Iin) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(TAG_CONTEXT);
    hash.update(opening);
    hash.update(iin.expose().as_bytes());
    hash.finalize().into()
}

impl Drop for BookKeys {
    fn drop(&mut self) {
        self.blind.zeroize();
    }
}

impl People for BookKeys {
    fn person(&self, iin: &Iin, wallet: WalletId) -> Person {
        Person { tag: self.tag(iin), sealed_iin: self.seal(iin, wallet) }
    }
}

impl SigningKey {
    /// Makes a new key of the log with this name.
    pub fn generate(name: &str) -> Result<Self, NoteError> {
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        Self::from_seed(name, &seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(fill: u8) -> BookKeys {
        let book = BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap();
        BookKeys::new(book, [fill; 32], [fill + 1; 32], [fill + 2; 32], [fill + 3; 32])
    }

    #[test]
    fn a_wallet_id_names_its_book_and_depends_on_the_number_and_the_key() {
        let [a, b] = [b"830717350867", b"871008401427"].map(|text| Iin::parse(text).unwrap());
        let id = keys(1).wallet_id(&a);
        assert_eq!(id, keys(1).wallet_id(&a));
        assert_ne!(id, keys(1).wallet_id(&b));
        assert_ne!(id, keys(2).wallet_id(&a));
        assert!(id.to_string().starts_with("6f96"), "the book's first 16 bits");
        assert_eq!(id.uuid().get_version_num(), 8);
    }

    #[test]
    fn a_request_is_unsealed_only_for_its_signature_with_its_key_and_within_the_limit() {
        let base = "\"idempotency-key\": 830717350867-2026-11";
        for length in [0, 1, PACKED_MIN - 1, PACKED_MIN, PACKED_MIN + 1, 100_000] {
            let body: Vec<u8> = b"830717350867,ASP,2026-11\n".iter().copied().cycle().take(length).collect();
            let whole = base.len() + length;
            let sealed = keys(1).seal_request(&[7; 64], base, &body);
            assert_eq!(sealed.len() < whole, whole + 4 >= PACKED_MIN, "{length}");
            assert!(!sealed.windows(12).any(|window| window == b"830717350867"));
            let unsealed = Some((base.to_owned(), body));
            assert_eq!(keys(1).unseal_request(&[7; 64], &sealed, whole), unsealed);
            assert_eq!(keys(1).unseal_request(&[8; 64], &sealed, whole), None, "another signature");
            assert_eq!(keys(2).unseal_request(&[7; 64], &sealed, whole), None, "another key");
            assert_eq!(keys(1).unseal_request(&[7; 64], &sealed, whole - 1), None, "longer than the limit");
        }
    }

    #[test]
    fn a_number_is_unsealed_only_for_its_wallet_and_with_its_key() {
        let iin = Iin::parse(b"830717350867").unwrap();
        let (keys, others) = (keys(1), keys(9));
        let id = keys.wallet_id(&iin);
        let sealed = keys.seal(&iin, id);
        assert_eq!(keys.unseal(&sealed, id), Some(iin));
        assert_eq!(keys.unseal(&sealed, WalletId::from_uuid(uuid::Uuid::nil())), None);
        assert_eq!(others.unseal(&sealed, id), None);
        assert!(!sealed.windows(6).any(|window| iin.expose().as_bytes().starts_with(window)));
    }

    #[test]
    fn a_destination_is_unsealed_only_for_its_wallet_and_tag_and_with_its_key() {
        let bank = Bic::parse(b"CASPKZKA").unwrap();
        let (keys, others) = (keys(1), keys(9));
        let wallet = keys.wallet_id(&Iin::parse(b"830717350867").unwrap());
        for destination in [
            Destination::card("tok-8f14e45f", "4242").unwrap(),
            Destination::iban("KZ86125KZT5004100100").unwrap(),
        ] {
            let tag = keys.destination_tag(bank, &destination);
            assert_ne!(tag, keys.destination_tag(Bic::parse(b"HSBKKZKX").unwrap(), &destination));
            assert_ne!(tag, others.destination_tag(bank, &destination));
            let sealed = keys.seal_destination(&destination, wallet, &tag);
            assert_eq!(keys.unseal_destination(&sealed, wallet, &tag), Some(destination));
            assert_eq!(keys.unseal_destination(&sealed, WalletId::from_uuid(uuid::Uuid::nil()), &tag), None);
            assert_eq!(keys.unseal_destination(&sealed, wallet, &[0; 32]), None);
            assert_eq!(others.unseal_destination(&sealed, wallet, &tag), None);
        }
    }

    #[test]
    fn a_codes_hash_depends_on_code_reference_and_key() {
        let [a, b] = [[1; 10], [2; 10]].map(CashReference::from_bytes);
        let hash = keys(1).cash_secret(a, "12345678");
        assert_eq!(hash, keys(1).cash_secret(a, "12345678"));
        for other in [
            keys(1).cash_secret(b, "12345678"),
            keys(1).cash_secret(a, "12345679"),
            keys(9).cash_secret(a, "12345678"),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn an_opening_shows_that_a_tag_is_a_numbers_and_no_other() {
        let [a, b] = [b"830717350867", b"871008401427"].map(|text| Iin::parse(text).unwrap());
        let keys = keys(1);
        assert_eq!(tag_of(&keys.tag_opening(&a), &a), keys.tag(&a));
        assert_ne!(tag_of(&keys.tag_opening(&a), &b), keys.tag(&b));
    }

    #[test]
    fn a_key_file_is_written_once_read_back_and_refused_when_others_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let made = BookKeys::create(&path).unwrap();
        let iin = Iin::parse(b"830717350867").unwrap();
        assert_eq!(BookKeys::load(&path).unwrap().wallet_id(&iin), made.wallet_id(&iin));
        assert!(matches!(BookKeys::create(&path), Err(KeyError::File { .. })), "never overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            for mode in [0o640, 0o604, 0o660] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                assert!(matches!(BookKeys::load(&path), Err(KeyError::Exposed(_))));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(&path, b"{}").unwrap();
        assert!(matches!(BookKeys::load(&path), Err(KeyError::Malformed(_))));
    }
}
