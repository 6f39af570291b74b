//! Books that hold everything, packed: a national book is replayed on an auditor's machine.
//!
//! Wallets are numbered densely, so a wallet is a place in a list; a lot is 32 bytes in one list for all wallets, and what
//! few lots have moved is kept beside it. A lot stays for ever once money of it has left: it can come back.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use crate::domain::{FundClass, WalletId};

use super::cache::IdHasher;
use super::wallet::{Benefit, Lot, Wallet, WalletState};

/// Everything that grows with the book.
#[derive(Default)]
pub(super) struct Whole {
    pub(super) wallets: Wallets,
    pub(super) lots: Lots,
    /// Instruction ids and bank references, with the entry that each is bound to.
    pub(super) bound: HashMap<[u8; 16], u64>,
    /// Benefits whose bitmaps are kept elsewhere: to be brought back before a rule may ask for them.
    pub(super) shelved: HashSet<Benefit>,
}

/// All wallets, by id and by number.
#[derive(Default)]
pub(super) struct Wallets {
    numbers: HashMap<WalletId, u32, BuildHasherDefault<IdHasher>>,
    /// The wallet of number n is at n - 1.
    heads: Vec<Wallet>,
    /// Ids that lead to another: of new numbers, and of wallets that were merged.
    led: HashMap<WalletId, WalletId>,
}

impl Wallets {
    /// The wallet that was opened under an id.
    pub(super) fn own(&self, id: WalletId) -> Option<Wallet> {
        self.numbers.get(&id).map(|number| self.heads[*number as usize - 1])
    }

    /// The wallet that an id leads to, with the id that it has now.
    pub(super) fn find(&self, mut id: WalletId) -> Option<(WalletId, Wallet)> {
        loop {
            match self.own(id) {
                Some(wallet) if wallet.state != WalletState::Closed => return Some((id, wallet)),
                own => match self.led(id) {
                    Some(to) => id = to,
                    None => return own.map(|wallet| (id, wallet)),
                },
            }
        }
    }

    pub(super) fn led(&self, id: WalletId) -> Option<WalletId> {
        self.led.get(&id).copied()
    }

    pub(super) fn lead(&mut self, id: WalletId, to: WalletId) {
        self.led.insert(id, to);
    }

    /// Keeps a wallet: a new one must have the next number.
    pub(super) fn put(&mut self, id: WalletId, wallet: Wallet) {
        let place = wallet.account as usize - 1;
        if let Some(head) = self.heads.get_mut(place) {
            *head = wallet;
        } else {
            assert_eq!(place, self.heads.len(), "wallets are numbered densely");
            self.heads.push(wallet);
            self.numbers.insert(id, wallet.account);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WalletId, Wallet)> {
        self.numbers.iter().map(|(id, number)| (*id, self.heads[*number as usize - 1]))
    }
}

/// All lots that there ever were.
#[derive(Default)]
pub(super) struct Lots {
    /// By wallet number: the place of its newest lot, from 1; 0 for none.
    newest: Vec<u32>,
    packed: Vec<Packed>,
    moved: Vec<Moved>,
    /// What the money is, for the lots that share it.
    kinds: Vec<(Benefit, FundClass)>,
    kind_of: HashMap<(Benefit, FundClass), u32>,
}

/// A lot, as it was credited.
struct Packed {
    seq: u64,
    amount: i64,
    version: u32,
    kind: u32,
    /// The place of the same wallet's lot before this one, from 1; 0 for none.
    before: u32,
    /// Where it is told how the lot has moved, from 1; 0 if it has not.
    moved: u32,
}

struct Moved {
    remaining: i64,
    held: i64,
    reversed: i64,
    movements: u32,
}

/// A place in a list, from 1.
fn next_place<T>(list: &[T]) -> u32 {
    u32::try_from(list.len() + 1).expect("lots are counted in 32 bits: 128 GiB of them")
}

impl Lots {
    /// The lots of a wallet, oldest first.
    pub(super) fn of(&self, account: u32) -> Vec<Lot> {
        let mut lots: Vec<Lot> = self.places(account).map(|place| self.unpack(place)).collect();
        lots.reverse();
        lots
    }

    /// Keeps a lot: a new one, which is the newest of its wallet, or one that has moved.
    pub(super) fn put(&mut self, account: u32, lot: Lot) {
        let newest = self.newest.get(account as usize).copied().unwrap_or(0);
        let is_new = newest == 0 || self.packed[newest as usize - 1].version < lot.version;
        let place = if is_new {
            self.add(account, newest, &lot)
        } else {
            self.places(account)
                .find(|place| self.packed[*place].version == lot.version)
                .expect("a lot that moves was credited before")
        };
        if lot.movements > 0 || lot.remaining != lot.amount {
            let moved = Moved {
                remaining: lot.remaining,
                held: lot.held,
                reversed: lot.reversed,
                movements: lot.movements,
            };
            if self.packed[place].moved == 0 {
                self.packed[place].moved = next_place(&self.moved);
                self.moved.push(moved);
            } else {
                let at = self.packed[place].moved as usize - 1;
                self.moved[at] = moved;
            }
        }
    }

    fn add(&mut self, account: u32, before: u32, lot: &Lot) -> usize {
        let money = (lot.benefit, lot.class);
        // A payday pays one benefit to many: the kind is most often the newest.
        let kind = match self.kinds.last() {
            Some(last) if *last == money => self.kinds.len() - 1,
            _ => {
                let next = u32::try_from(self.kinds.len()).expect("benefits are counted in thousands");
                let kind = *self.kind_of.entry(money).or_insert(next);
                if kind == next {
                    self.kinds.push(money);
                }
                kind as usize
            }
        };
        let kind = u32::try_from(kind).expect("benefits are counted in thousands");
        let place = next_place(&self.packed);
        self.packed.push(Packed {
            seq: lot.seq,
            amount: lot.amount,
            version: lot.version,
            kind,
            before,
            moved: 0,
        });
        let account = account as usize;
        if self.newest.len() <= account {
            self.newest.resize(account + 1, 0);
        }
        self.newest[account] = place;
        place as usize - 1
    }

    /// The places of a wallet's lots, from 0, newest first.
    fn places(&self, account: u32) -> impl Iterator<Item = usize> {
        let newest = self.newest.get(account as usize).copied().unwrap_or(0);
        std::iter::successors(newest.checked_sub(1), |place| {
            self.packed[*place as usize].before.checked_sub(1)
        })
        .map(|place| place as usize)
    }

    fn unpack(&self, place: usize) -> Lot {
        let Packed { seq, amount, version, kind, moved, .. } = self.packed[place];
        let (benefit, class) = self.kinds[kind as usize];
        let lot = Lot {
            version,
            seq,
            benefit,
            class,
            amount,
            remaining: amount,
            held: 0,
            reversed: 0,
            movements: 0,
        };
        match moved.checked_sub(1) {
            None => lot,
            Some(at) => {
                let Moved { remaining, held, reversed, movements } = self.moved[at as usize];
                Lot { remaining, held, reversed, movements, ..lot }
            }
        }
    }

    /// How many lots there are, and how many of them have moved.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.packed.len(), self.moved.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Part, Period};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn lot(version: u32, part: u16, amount: i64) -> Lot {
        let benefit = Benefit { programme: 1, period: Period::Once, part: Part::new(part).unwrap() };
        let class = if part.is_multiple_of(2) { FundClass::General } else { FundClass::Protected };
        let (seq, remaining) = (u64::from(version) * 1_000 + u64::from(part), amount);
        Lot { version, seq, benefit, class, amount, remaining, held: 0, reversed: 0, movements: 0 }
    }

    proptest! {
        /// Packed lots are the lots that were put, whatever moved in between.
        #[test]
        fn packed_lots_are_the_lots_that_were_put(
            steps in prop::collection::vec((1u32..5, 1u16..4, 1i64..1_000, any::<bool>()), 1..80),
        ) {
            let (mut packed, mut model) = (Lots::default(), BTreeMap::<u32, BTreeMap<u32, Lot>>::new());
            for (account, part, amount, moves) in steps {
                let lots = model.entry(account).or_default();
                let newest = lots.last_key_value().map_or(0, |(version, _)| *version);
                let lot = if moves && newest > 0 {
                    let (_, old) = lots.iter().nth(usize::from(part) % lots.len()).unwrap();
                    let (movements, reversed) = (old.movements + 1, old.reversed + 1);
                    Lot { remaining: old.remaining - amount, movements, reversed, held: amount, ..*old }
                } else {
                    lot(newest + u32::from(part), part, amount)
                };
                lots.insert(lot.version, lot);
                packed.put(account, lot);
                for account in 0..6 {
                    let expected = model.get(&account).map(|lots| lots.values().copied().collect());
                    prop_assert_eq!(packed.of(account), expected.unwrap_or(Vec::new()));
                }
            }
        }
    }

    #[test]
    fn a_lot_is_kept_in_32_bytes_and_a_wallet_in_48() {
        assert_eq!((size_of::<Packed>(), size_of::<Moved>(), size_of::<Wallet>()), (32, 32, 48));
    }
}
