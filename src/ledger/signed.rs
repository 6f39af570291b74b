//! What is kept of a signed request beside the entries that it made: its nonce, so that it is never taken twice, and the
//! evidence, so that an auditor can hold every entry against what its client signed. No rule reads either.

use std::sync::Arc;

use bytes::{Buf, BufMut};

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

    /// Adds it to what a commit keeps of its requests. All numbers are big-endian: the first entry (8 bytes), how many (4), the key's id
    /// after its length (1), the signature (64), and what is sealed after its length (4).
    pub fn write(&self, out: &mut Vec<u8>) {
        let key = self.key.as_str().as_bytes();
        out.put_u64(self.seq);
        out.put_u32(self.entries);
        out.put_u8(u8::try_from(key.len()).expect("a key's id has at most 49 characters"));
        out.put_slice(key);
        out.put_slice(&self.signature);
        out.put_u32(u32::try_from(self.sealed.len()).expect("a request is far smaller than 4 GiB"));
        out.put_slice(&self.sealed);
    }

    /// The evidence of an entry among what its commit keeps. `Err`: nothing that [`Self::write`] wrote.
    pub fn find(mut kept: &[u8], entry: u64) -> Result<Option<Self>, Malformed> {
        while !kept.is_empty() {
            let evidence = Self::read(&mut kept).ok_or(Malformed)?;
            if evidence.covers(entry) {
                return Ok(Some(evidence));
            }
        }
        Ok(None)
    }

    fn read(kept: &mut &[u8]) -> Option<Self> {
        let seq = kept.try_get_u64().ok()?;
        let entries = kept.try_get_u32().ok()?;
        let key = kept.try_get_u8().ok()?;
        let key = kept.split_off(..key.into())?;
        let signature = *kept.split_off(..64)?.first_chunk()?;
        let sealed = usize::try_from(kept.try_get_u32().ok()?).ok()?;
        let sealed = kept.split_off(..sealed)?;
        let key = KeyId::parse(str::from_utf8(key).ok()?).ok()?;
        Some(Self { seq, entries, key, signature, sealed: sealed.into() })
    }
}

/// What a commit keeps of its requests cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(seq: u64, entries: u32, client: &str, sealed: &[u8]) -> Evidence {
        let key = KeyId::parse(&format!("{client}:0123456789abcdef")).unwrap();
        Evidence { seq, entries, key, signature: [u8::try_from(seq).unwrap(); 64], sealed: sealed.into() }
    }

    #[test]
    fn the_evidence_of_an_entry_is_found_among_that_of_its_commit() {
        let all = [
            evidence(3, 1, "a", b""),
            evidence(4, 2, &"b".repeat(32), &[7; 300]),
            // The entry 6 was made by nobody's request.
            evidence(7, 1, "ministry", b"sealed"),
        ];
        let mut kept = Vec::new();
        for one in &all {
            one.write(&mut kept);
        }
        let found = |entry: u64| Evidence::find(&kept, entry).unwrap();
        assert_eq!([2, 6, 8].map(found), [None, None, None]);
        assert_eq!([3, 4, 5, 7].map(|entry| found(entry).unwrap()), [0, 1, 1, 2].map(|at| all[at].clone()));
        assert_eq!(Evidence::find(&[], 3), Ok(None), "a commit without signed requests");
    }

    #[test]
    fn what_is_cut_or_names_no_key_is_malformed() {
        let mut kept = Vec::new();
        evidence(3, 1, "ministry", b"sealed").write(&mut kept);
        for length in 1..kept.len() {
            assert_eq!(Evidence::find(&kept[..length], 4), Err(Malformed), "{length}");
        }
        let longer = [kept.as_slice(), &[0]].concat();
        assert_eq!(Evidence::find(&longer, 4), Err(Malformed));
        kept[13] = b'!';
        assert_eq!(Evidence::find(&kept, 3), Err(Malformed));
    }
}
