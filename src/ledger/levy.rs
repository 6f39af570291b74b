//! Money that an order may reach.
//!
//! An authority is paid, and money is held for it, by [`Reached`] alone, and a piece of it is made of a [`GeneralLot`] alone. Such a
//! lot is made of a lot whose class is general, by a function that looks. So protected money is no argument that the code that
//! pays an authority could be given (invariant 4):
//!
//! ```compile_fail,E0423
//! use social_wallet::ledger::{levy::GeneralLot, wallet::Lot};
//! fn seize(protected: Lot) -> GeneralLot {
//!     GeneralLot(protected) // its field is private: there is no way round the function that looks
//! }
//! ```
//!
//! ```compile_fail,E0308
//! use social_wallet::ledger::{levy::Reached, wallet::Lot};
//! fn seize(reached: &mut Reached, protected: Lot) {
//!     reached.add(protected, 1); // a lot is not a general lot
//! }
//! ```
//!
//! ```
//! use social_wallet::domain::{FundClass, Part, Period};
//! use social_wallet::ledger::{levy::{GeneralLot, Reached}, wallet::{Benefit, Lot}};
//! let benefit = Benefit { programme: 1, period: Period::Once, part: Part::new(1).unwrap() };
//! let lot = |class| Lot { version: 1, seq: 7, benefit, class, amount: 5, remaining: 5, held: 0, reversed: 0, movements: 0 };
//! assert!(GeneralLot::of(lot(FundClass::Protected)).is_none());
//! let mut reached = Reached::default();
//! reached.add(GeneralLot::of(lot(FundClass::General)).unwrap(), 3);
//! assert_eq!(reached.sum(), 3);
//! ```

use crate::domain::FundClass;

use super::wallet::Lot;

/// A lot of money that no shield protects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GeneralLot(Lot);

impl GeneralLot {
    /// The lot, if its class is general. The class is the lot's own: it was set when the money was credited.
    #[must_use]
    pub fn of(lot: Lot) -> Option<Self> {
        match lot.class {
            FundClass::General => Some(Self(lot)),
            FundClass::Protected => None,
        }
    }

    /// The lot.
    #[must_use]
    pub fn lot(&self) -> &Lot {
        &self.0
    }
}

/// What an order reaches: pieces of general lots, in the order in which they are drawn. Tiyn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reached {
    pieces: Vec<(GeneralLot, i64)>,
    sum: i64,
}

impl Reached {
    /// Reaches for more.
    pub fn add(&mut self, lot: GeneralLot, amount: i64) {
        self.pieces.push((lot, amount));
        self.sum += amount;
    }

    /// The pieces.
    pub fn pieces(&self) -> impl Iterator<Item = (&Lot, i64)> {
        self.pieces.iter().map(|(lot, amount)| (lot.lot(), *amount))
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.sum
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}
