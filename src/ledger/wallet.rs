//! A wallet's head, its entries and its lots.

use crate::domain::{FundClass, Part, Period, WalletId};

/// Where a wallet stands in its life.
///
/// A wallet is *provisioned* by the first accrual (or by an opening) and becomes *active* at the holder's first
/// authenticated act. The later states exist in the stored shape so that no migration is needed for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WalletState {
    /// Receives; the holder has not acted yet.
    Provisioned,
    /// The holder has acted.
    Active,
    /// Outflow is stopped; accruals still land.
    Blocked,
    /// The holder has died: later accruals are refused.
    Deceased,
    /// Closed at zero balance.
    Closed,
}

impl WalletState {
    /// The stored code.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Provisioned => 1,
            Self::Active => 2,
            Self::Blocked => 3,
            Self::Deceased => 4,
            Self::Closed => 5,
        }
    }

    /// Reads the stored code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            1 => Self::Provisioned,
            2 => Self::Active,
            3 => Self::Blocked,
            4 => Self::Deceased,
            5 => Self::Closed,
            _ => return None,
        })
    }

    /// The name in the API and the journal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Active => "active",
            Self::Blocked => "blocked",
            Self::Deceased => "deceased",
            Self::Closed => "closed",
        }
    }
}

/// The head of a wallet: the state after its newest entry. All sums are tiyn.
///
/// `0 ≤ held ≤ posted`, `general_held ≤ general ≤ posted`, `general_held ≤ held`. A wallet without an entry has version 0
/// and zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wallet {
    /// The dense internal number, the key of everything stored about the wallet.
    pub account: u32,
    /// The version of the newest entry; 0 before the first.
    pub version: u32,
    /// What the wallet holds.
    pub posted: i64,
    /// Of `posted`: what is held for payouts under way.
    pub held: i64,
    /// Of `posted`: what no shield protects.
    pub general: i64,
    /// Of `held`: what is held of general lots.
    pub general_held: i64,
    /// The version of the oldest lot with money left; 0 if there is none.
    pub first_open_lot: u32,
    /// Where the wallet stands in its life.
    pub state: WalletState,
    /// Whether the holder has chosen a destination other than the wallet.
    pub choice: bool,
    /// Whether a freeze stands: nothing new leaves the wallet until it ends.
    pub frozen: bool,
}

impl Wallet {
    /// A wallet that has just been opened.
    #[must_use]
    pub fn opened(account: u32) -> Self {
        Self {
            account,
            version: 0,
            posted: 0,
            held: 0,
            general: 0,
            general_held: 0,
            first_open_lot: 0,
            state: WalletState::Provisioned,
            choice: false,
            frozen: false,
        }
    }

    /// Whether the sums stand in the order that the schema demands too.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        0 <= self.general_held
            && self.general_held <= self.general
            && self.general <= self.posted
            && self.general_held <= self.held
            && self.held <= self.posted
            && self.held - self.general_held <= self.posted - self.general
            && self.first_open_lot <= self.version
            && (self.posted > 0) == (self.first_open_lot > 0)
    }
}

/// What a wallet's entry did.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// A benefit arrived: a lot.
    Accrual,
    /// The payer took back what was left of an accrual.
    Reversal,
    /// Money left to a bank, lot by lot.
    PayOut,
    /// Money came back from a bank, to the lots it had left.
    Return,
    /// Money was held for a payment, lot by lot. Nothing was posted.
    Hold,
    /// Held money is free again. Nothing was posted.
    Release,
    /// The wallet's state changed. Nothing was posted.
    State,
    /// General money was taken for an authority, lot by lot.
    Levy,
    /// General money was held for an authority, lot by lot. Nothing was posted.
    Arrest,
    /// The holder chose a destination. Nothing was posted.
    Choice,
    /// A lot came from a wallet that was merged into this one, with what is left of it.
    MovedIn,
    /// All lots went to the wallet that this one was merged into, and it is closed.
    MovedOut,
}

impl EntryKind {
    /// The stored code.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Accrual => 1,
            Self::Reversal => 2,
            Self::PayOut => 3,
            Self::Return => 4,
            Self::Hold => 5,
            Self::Release => 6,
            Self::State => 7,
            Self::Levy => 8,
            Self::Arrest => 9,
            Self::Choice => 10,
            Self::MovedIn => 11,
            Self::MovedOut => 12,
        }
    }

    /// Reads the stored code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            1 => Self::Accrual,
            2 => Self::Reversal,
            3 => Self::PayOut,
            4 => Self::Return,
            5 => Self::Hold,
            6 => Self::Release,
            7 => Self::State,
            8 => Self::Levy,
            9 => Self::Arrest,
            10 => Self::Choice,
            11 => Self::MovedIn,
            12 => Self::MovedOut,
            _ => return None,
        })
    }

    /// The name in a statement.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accrual => "accrual",
            Self::Reversal => "reversal",
            Self::PayOut => "pay_out",
            Self::Return => "return",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::State => "state",
            Self::Levy => "levy",
            Self::Arrest => "arrest",
            Self::Choice => "choice",
            Self::MovedIn => "moved_in",
            Self::MovedOut => "moved_out",
        }
    }
}

/// One row of a wallet's sub-ledger: what moved, and the head after it. It is at once the statement line, the lot (for a
/// credit of a benefit) and, being the newest, the account's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalletEntry {
    /// The journal entry (log index) that made it.
    pub seq: u64,
    /// Commit time, UTC milliseconds.
    pub at: i64,
    /// What happened.
    pub kind: EntryKind,
    /// Change of `posted`, tiyn, signed.
    pub amount: i64,
    /// The benefit, for an accrual, its reversal, or a lot that was moved in.
    pub benefit: Option<Benefit>,
    /// For an accrual: the class of its lot. The programme's class may change later; the lot's does not.
    pub class: Option<FundClass>,
    /// The earlier journal entry that it undoes: the accrual of a reversal, the pay-out of a return. Of a lot that was moved in:
    /// the accrual that made it.
    pub refers: Option<u64>,
    /// The head after this entry.
    pub after: Wallet,
}

/// A benefit key less the person: which programme's money, for which period, which part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Benefit {
    /// The programme's internal number.
    pub programme: u32,
    /// The period paid for.
    pub period: Period,
    /// The distinct entitlement within the period.
    pub part: Part,
}

/// The money of one credit, as far as it is left. Tiyn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lot {
    /// The wallet's version of the credit: the lot's number within its wallet.
    pub version: u32,
    /// The journal entry of the credit: the lot's public number.
    pub seq: u64,
    /// Which benefit's money it is.
    pub benefit: Benefit,
    /// Protected or general; follows the money.
    pub class: FundClass,
    /// What the credit brought.
    pub amount: i64,
    /// What is left of it, held money included.
    pub remaining: i64,
    /// Of `remaining`: what is held for payouts under way.
    pub held: i64,
    /// What the payer has taken back of it.
    pub reversed: i64,
    /// How many movements the lot has had.
    pub movements: u32,
}

impl Lot {
    /// What may be spent of it now.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.remaining - self.held
    }
}

/// A change of one lot, with the lot after it. Written only when money leaves, is held, is released or comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LotMovement {
    /// The wallet's internal number.
    pub account: u32,
    /// The lot (its credit's version).
    pub lot: u32,
    /// 1, 2, 3 … within the lot.
    pub movement: u32,
    /// The wallet's version that moved it.
    pub version: u32,
    /// Change of `remaining`, signed.
    pub amount: i64,
    /// The lot's remaining money after it.
    pub remaining: i64,
    /// The lot's held money after it.
    pub held: i64,
    /// What the payer has taken back of the lot after it.
    pub reversed: i64,
}

/// A wallet that a commit opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewWallet {
    /// The dense internal number.
    pub account: u32,
    /// The public id.
    pub id: WalletId,
    /// The journal entry of the opening.
    pub seq: u64,
    /// The person's number, encrypted. Kept apart from everything that is never erased.
    pub sealed_iin: Vec<u8>,
    /// The person's tag in the log.
    pub tag: [u8; 32],
}
