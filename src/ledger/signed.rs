//! What is kept of a signed request beside the entries that it made: its nonce, so that it is never taken twice, and the
//! evidence, so that an auditor can hold every entry against what its client signed. No rule reads either.

use std::sync::Arc;

use crate::domain::KeyId;

/// A nonce that a client has used, as it is kept: until it has expired, since an expired signature is refused anyway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Nonce {
    /// The last second in which its signature holds, since 1970.
    pub expires: i64,
    /// Hash of the key's id and the nonce: nonces of two clients never meet.
    pub id: [u8; 16],
}

/// A request whose signature was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRequest {
    /// Its nonce.
    pub nonce: Nonce,
    /// The key that verified it.
    pub key: KeyId,
    /// The Ed25519 signature over the base.
    pub signature: [u8; 64],
    /// The signature base (RFC 9421, section 2.5: method, address, digest of the body, parameters) and the body, compressed and
    /// encrypted.
    pub sealed: Arc<[u8]>,
}

/// The evidence of entries: what was signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The first entry that the request made.
    pub seq: u64,
    /// How many it made, one after another.
    pub entries: u32,
    /// The key that verified it.
    pub key: KeyId,
    /// The signature.
    pub signature: [u8; 64],
    /// The signature base and the body, compressed and encrypted.
    pub sealed: Arc<[u8]>,
}

impl Evidence {
    /// The evidence of the entries that a request made from `seq` on.
    #[must_use]
    pub fn of(request: &SignedRequest, seq: u64, entries: u32) -> Self {
        let SignedRequest { key, signature, sealed, .. } = request;
        Self { seq, entries, key: *key, signature: *signature, sealed: sealed.clone() }
    }

    /// Whether the request made this entry.
    #[must_use]
    pub fn covers(&self, entry: u64) -> bool {
        entry.checked_sub(self.seq).is_some_and(|place| place < u64::from(self.entries))
    }
}
