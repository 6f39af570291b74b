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

type Generation = HashMap<WalletId, Known, BuildHasherDefault<IdHasher>>;

/// What is known of an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// There is no such wallet.
    Absent,
    /// A wallet, with its head.
    Here(Wallet),
    /// It stands for another wallet: of a person's new number, or merged into it.
    Led(WalletId),
}

/// The memory.
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

    /// What is known of a wallet, under any id that leads to it. `None`: nothing.
    pub fn get(&mut self, id: WalletId) -> Option<Option<Wallet>> {
        Some(self.find(id)?.map(|(_, wallet)| wallet))
    }

    /// What is known of a wallet, with the id that it has now.
    pub fn find(&mut self, mut id: WalletId) -> Option<Option<(WalletId, Wallet)>> {
        loop {
            match self.look(id)? {
                Known::Absent => return Some(None),
                Known::Here(wallet) => return Some(Some((id, wallet))),
                Known::Led(to) => id = to,
            }
        }
    }

    /// Of which id nothing is known, on the way from this one; `None`: all is known.
    pub fn missing(&mut self, mut id: WalletId) -> Option<WalletId> {
        while let Some(known) = self.look(id) {
            let Known::Led(to) = known else { return None };
            id = to;
        }
        Some(id)
    }

    /// The id that this one leads to directly, if it is known to lead anywhere.
    pub fn led(&mut self, id: WalletId) -> Option<WalletId> {
        match self.look(id) {
            Some(Known::Led(to)) => Some(to),
            _ => None,
        }
    }

    fn look(&mut self, id: WalletId) -> Option<Known> {
        if let Some(known) = self.young.get(&id) {
            return Some(*known);
        }
        let known = self.old.remove(&id)?;
        self.keep(id, known);
        Some(known)
    }

    /// Remembers a wallet.
    pub fn put(&mut self, id: WalletId, known: Option<Wallet>) {
        self.keep(id, known.map_or(Known::Absent, Known::Here));
    }

    /// Remembers that an id leads to another.
    pub fn lead(&mut self, id: WalletId, to: WalletId) {
        self.keep(id, Known::Led(to));
    }

    fn keep(&mut self, id: WalletId, known: Known) {
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
        self.young.iter().chain(&self.old).filter_map(|(id, known)| match known {
            Known::Here(wallet) => Some((*id, *wallet)),
            Known::Absent | Known::Led(_) => None,
        })
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

    #[test]
    fn an_id_leads_to_a_wallet_as_far_as_the_way_is_known() {
        let mut cache = WalletCache::bounded(8);
        cache.lead(id(1), id(2));
        assert_eq!((cache.get(id(1)), cache.missing(id(1))), (None, Some(id(2))));
        cache.lead(id(2), id(3));
        cache.put(id(3), Some(Wallet::opened(3)));
        assert_eq!(cache.find(id(1)), Some(Some((id(3), Wallet::opened(3)))));
        assert_eq!((cache.missing(id(1)), cache.led(id(1)), cache.led(id(3))), (None, Some(id(2)), None));
        assert_eq!(cache.known().count(), 1, "a wallet is known once");
        assert_eq!(size_of::<Known>(), size_of::<Wallet>(), "a head takes no more room for it");
    }
}
