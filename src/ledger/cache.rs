//! A bounded memory of wallets' heads.
//!
//! Two generations: what is used goes to the young one; when that is full it becomes the old one and what was old is
//! forgotten. So whatever was used since the last turn is still there, and a payday of any size runs in bounded memory. A
//! wallet that is known *not* to exist is remembered too.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::domain::WalletId;

use super::wallet::Wallet;

/// Wallet ids are the output of a keyed hash: any 64 bits of one are as good as a hash of it.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The first bytes name the book and the version: the same for all ids. The last eight differ.
        for chunk in bytes.rchunks(8).take(1) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // The multiplication spreads the random low bits over the variant's fixed high ones.
            self.0 = u64::from_be_bytes(word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_usize(&mut self, _: usize) {} // the length prefix of a byte slice: always 16
}

type Generation = HashMap<WalletId, Option<Wallet>, BuildHasherDefault<IdHasher>>;

/// The memory. `None` as a value: there is no such wallet.
#[derive(Default)]
pub struct WalletCache {
    young: Generation,
    old: Generation,
    half: usize,
}

impl WalletCache {
    /// A memory of at most `wallets` heads.
    #[must_use]
    pub fn bounded(wallets: usize) -> Self {
        Self { half: (wallets / 2).max(1), ..Self::default() }
    }

    /// What is known of a wallet. `None`: nothing.
    pub fn get(&mut self, id: WalletId) -> Option<Option<Wallet>> {
        if let Some(known) = self.young.get(&id) {
            return Some(*known);
        }
        let known = self.old.remove(&id)?;
        self.put(id, known);
        Some(known)
    }

    /// Remembers a wallet.
    pub fn put(&mut self, id: WalletId, known: Option<Wallet>) {
        if self.young.len() >= self.half && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, known);
    }

    /// Forgets a wallet.
    pub fn forget(&mut self, id: WalletId) {
        self.young.remove(&id);
        self.old.remove(&id);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Every wallet known, in no order. Complete only for books that hold everything.
    pub fn known(&self) -> impl Iterator<Item = (WalletId, Wallet)> {
        self.young.iter().chain(&self.old).filter_map(|(id, known)| known.map(|wallet| (*id, wallet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> WalletId {
        WalletId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn what_was_used_lately_is_kept_and_the_rest_is_forgotten() {
        let mut cache = WalletCache::bounded(8);
        for n in 0..100u32 {
            cache.put(id(n.into()), Some(Wallet::opened(n)));
            assert_eq!(cache.get(id(0)), Some(Some(Wallet::opened(0))), "used at every step");
        }
        assert!(cache.known().count() <= 8);
        assert_eq!(cache.get(id(50)), None);
        cache.put(id(7), None);
        assert_eq!(cache.get(id(7)), Some(None), "known not to exist");
        cache.forget(id(7));
        assert_eq!(cache.get(id(7)), None);
    }
}
