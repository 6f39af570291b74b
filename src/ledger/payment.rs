//! Money on its way out of wallets: what holders authorise, and what becomes of each transfer and each cash-out.
//!
//! A [`PaymentRecord`] is what the journal says. An [`Authorisation`] and a [`Payment`] are what the rules know of one, folded
//! from its entries. Both are named by the entry that made them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{
    Amount, BankReference, Bic, ClientId, DestinationForm, FundClass, LastFour, Money, ProgrammeCode, Reason,
    Text, WalletId,
};

use super::account::{Account, SystemAccount};
use super::record::{LotShare, Record};
use super::registry::{hexadecimal, moment};

/// Wrong codes after which a cash-out is released.
pub const CASH_TRIES_MAX: u8 = 5;

/// Lots that one payment takes, at most: its entries name each of them, and a leaf of the log has a size.
pub const LOTS_MAX: usize = 256;

/// How long a cash-out may stand, milliseconds: at least a quarter of an hour, at most an hour.
pub const CASH_LIFETIME: std::ops::RangeInclusive<i64> = 15 * 60_000..=60 * 60_000;

/// How long a holder's authorisation may stand, milliseconds: 366 days.
pub const AUTHORISATION_LIFETIME_MAX: i64 = 366 * 24 * 60 * 60 * 1_000;

/// How old a holder's consent may be when it is acted on, milliseconds: a day.
pub const CONSENT_AGE_MAX: i64 = 24 * 60 * 60 * 1_000;

/// Parts in which a transfer may come back, at most.
pub const RETURNS_MAX: usize = 100;

/// A terminal of an agent: 1 to 32 characters, as its bank names it.
pub type Terminal = Text<32>;

/// What shows that something was decided outside: number, date and name of a document.
pub type Document = Text<300>;

/// What a holder lets be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case", deny_unknown_fields)]
pub enum Purpose {
    /// Transfers to one destination, which this bank may start too.
    Transfer {
        /// The bank.
        bank: Bic,
        /// What kind the destination is.
        form: DestinationForm,
        /// What the holder knows it by.
        last_four: LastFour,
        /// A keyed tag of it: the same destination has the same tag. The destination itself is kept beside the log.
        #[serde(with = "hexadecimal")]
        destination: [u8; 32],
    },
    /// Cash.
    Cash {},
}

/// How a holder was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentMethod {
    /// A code sent to the holder's telephone.
    SmsCode,
    /// A session that the holder is signed in to.
    Session,
    /// The holder's digital signature.
    DigitalSignature,
}

impl ConsentMethod {
    /// All.
    pub const ALL: [Self; 3] = [Self::SmsCode, Self::Session, Self::DigitalSignature];

    /// The name in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SmsCode => "sms_code",
            Self::Session => "session",
            Self::DigitalSignature => "digital_signature",
        }
    }
}

/// What shows that the holder was asked. The channel keeps what was hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// How.
    pub method: ConsentMethod,
    /// SHA-256 of the session's record, the message, or the signed document.
    #[serde(with = "hexadecimal")]
    pub evidence: [u8; 32],
    /// When, UTC milliseconds.
    #[serde(with = "moment")]
    pub at: i64,
}

/// What money a payment takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portion {
    /// Of which programme.
    pub programme: ProgrammeCode,
    /// Whether it is shielded while it is in the wallet.
    pub class: FundClass,
    /// How much.
    pub amount: Amount,
}

/// Where money goes back from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnedFrom {
    /// It had not left the wallet: the hold is released.
    Hold,
    /// It had left: Dr clearing, Cr wallet.
    Clearing,
}

/// Why a cash-out was released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCause {
    /// Nobody came for it in time.
    Expired,
    /// The channel took it back.
    Cancelled,
    /// The agent did not pay it out.
    Reversed,
}

/// What is owed to a bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// For transfers.
    Clearing,
    /// For cash that its agents have paid out.
    Cash,
}

/// Which way money moved between banks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the bank: what was owed to it is settled.
    Paid,
    /// From the bank, which returns more than is owed to it.
    Received,
}

impl Owed {
    /// The account.
    #[must_use]
    pub fn account(self, bank: Bic) -> SystemAccount {
        match self {
            Self::Clearing => SystemAccount::Clearing(bank),
            Self::Cash => SystemAccount::Cash(bank),
        }
    }
}

/// One thing that happened to money on its way out, as its entry says it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PaymentRecord {
    /// A holder authorised payments through a channel. The holder's first act makes the wallet active.
    AuthorisationGiven {
        /// From which wallet.
        wallet: WalletId,
        /// For what.
        purpose: Purpose,
        /// At most so much in all.
        ceiling: Amount,
        /// Whether it may be used more than once.
        standing: bool,
        /// Until when, UTC milliseconds.
        #[serde(with = "moment")]
        expires: i64,
        /// What shows that the holder was asked.
        consent: Consent,
        /// Whether the wallet became active by it.
        activates: bool,
    },
    /// An authorisation was taken back.
    AuthorisationRevoked {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        authorisation: u64,
        /// Why.
        reason: Reason,
    },
    /// A transfer was requested: its money is held.
    TransferRequested {
        /// From which wallet.
        wallet: WalletId,
        /// Under which authorisation.
        authorisation: u64,
        /// To which bank.
        bank: Bic,
        /// How much.
        amount: Amount,
        /// The accrual that the holder's choice sends on: the entry before this one. `None`: somebody asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accrual: Option<u64>,
        /// What is held of which lots.
        shares: Vec<LotShare>,
        /// What money it is, by programme and class: what goes to the bank with it.
        split: Vec<Portion>,
    },
    /// The bank has it.
    TransferSent {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        transfer: u64,
        /// Which bank's.
        bank: Bic,
        /// What an operator had before him who answered for the bank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// Nobody knows what became of it. No timer ever ends that.
    TransferUnknown {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        transfer: u64,
        /// Which bank's.
        bank: Bic,
        /// What an operator had before him who answered for the bank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// The holder has it: Dr wallet, Cr clearing, lot by lot.
    TransferSettled {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        transfer: u64,
        /// Which bank's.
        bank: Bic,
        /// How much of which lots.
        shares: Vec<LotShare>,
        /// What an operator had before him who answered for the bank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// It came back, in full or in part, to the lots it had left.
    TransferReturned {
        /// To which wallet.
        wallet: WalletId,
        /// Which: its entry.
        transfer: u64,
        /// Which bank's.
        bank: Bic,
        /// How much.
        amount: Amount,
        /// The bank's reference of this return.
        reference: BankReference,
        /// Why.
        reason: Reason,
        /// From where.
        from: ReturnedFrom,
        /// How much to which lots, last drawn first.
        shares: Vec<LotShare>,
        /// What an operator had before him who answered for the bank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// Cash can be had with a code: its money is held.
    CashCreated {
        /// From which wallet.
        wallet: WalletId,
        /// Under which authorisation.
        authorisation: u64,
        /// How much.
        amount: Amount,
        /// The public reference.
        reference: CashReference,
        /// A keyed hash of reference and code.
        #[serde(with = "hexadecimal")]
        secret: [u8; 32],
        /// Until when, UTC milliseconds.
        #[serde(with = "moment")]
        expires: i64,
        /// What is held of which lots.
        shares: Vec<LotShare>,
        /// What money it is, by programme and class.
        split: Vec<Portion>,
    },
    /// A wrong code was tried. The last one that is allowed releases the money.
    CashTried {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        cash: u64,
        /// Whose agent asked.
        bank: Bic,
        /// Where.
        terminal: Terminal,
        /// How many wrong codes there have been.
        tries: u8,
        /// What is released to which lots.
        shares: Vec<LotShare>,
    },
    /// The right code was given: the agent is about to pay it out.
    CashReserved {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        cash: u64,
        /// How much.
        amount: Amount,
        /// Whose agent.
        bank: Bic,
        /// Where.
        terminal: Terminal,
    },
    /// Nobody knows whether it was paid out. No timer ever ends that.
    CashUnknown {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        cash: u64,
        /// Whose agent.
        bank: Bic,
        /// What an operator had before him who answered for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// It was paid out: Dr wallet, Cr cash, lot by lot.
    CashCaptured {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        cash: u64,
        /// Whose agent.
        bank: Bic,
        /// How much of which lots.
        shares: Vec<LotShare>,
        /// What an operator had before him who answered for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// It was not paid out: the money is free again.
    CashReleased {
        /// To which wallet.
        wallet: WalletId,
        /// Which: its entry.
        cash: u64,
        /// Why.
        cause: ReleaseCause,
        /// What is released to which lots.
        shares: Vec<LotShare>,
        /// What an operator had before him who answered for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Document>,
    },
    /// Money moved between banks. Paid to the bank: Dr clearing or cash, Cr backing; received from it, the other way round.
    ClearingSettled {
        /// Which bank.
        bank: Bic,
        /// Which way.
        direction: Direction,
        /// For what.
        owed: Owed,
        /// How much.
        amount: Amount,
        /// The payment between the banks.
        bank_reference: BankReference,
    },
}

impl From<PaymentRecord> for Record {
    fn from(record: PaymentRecord) -> Self {
        Self::Payment(Box::new(record))
    }
}

impl PaymentRecord {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 14] = [
        "authorisation_given",
        "authorisation_revoked",
        "transfer_requested",
        "transfer_sent",
        "transfer_unknown",
        "transfer_settled",
        "transfer_returned",
        "cash_created",
        "cash_tried",
        "cash_reserved",
        "cash_unknown",
        "cash_captured",
        "cash_released",
        "clearing_settled",
    ];

    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let place = match self {
            Self::AuthorisationGiven { .. } => 0,
            Self::AuthorisationRevoked { .. } => 1,
            Self::TransferRequested { .. } => 2,
            Self::TransferSent { .. } => 3,
            Self::TransferUnknown { .. } => 4,
            Self::TransferSettled { .. } => 5,
            Self::TransferReturned { .. } => 6,
            Self::CashCreated { .. } => 7,
            Self::CashTried { .. } => 8,
            Self::CashReserved { .. } => 9,
            Self::CashUnknown { .. } => 10,
            Self::CashCaptured { .. } => 11,
            Self::CashReleased { .. } => 12,
            Self::ClearingSettled { .. } => 13,
        };
        Self::KINDS[place]
    }

    /// The wallet that it is about.
    #[must_use]
    pub fn wallet(&self) -> Option<WalletId> {
        match self {
            Self::AuthorisationGiven { wallet, .. }
            | Self::AuthorisationRevoked { wallet, .. }
            | Self::TransferRequested { wallet, .. }
            | Self::TransferSent { wallet, .. }
            | Self::TransferUnknown { wallet, .. }
            | Self::TransferSettled { wallet, .. }
            | Self::TransferReturned { wallet, .. }
            | Self::CashCreated { wallet, .. }
            | Self::CashTried { wallet, .. }
            | Self::CashReserved { wallet, .. }
            | Self::CashUnknown { wallet, .. }
            | Self::CashCaptured { wallet, .. }
            | Self::CashReleased { wallet, .. } => Some(*wallet),
            Self::ClearingSettled { .. } => None,
        }
    }

    /// The members of its leaf. Where money is posted, `postings` stands in the place of `shares`.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut map)) = serde_json::to_value(self) else {
            unreachable!("a tagged struct of texts and numbers is a JSON object")
        };
        map.remove("kind");
        if let Some((debit, credit)) = self.posted_between() {
            let posting = |amount: &Value, lot: Option<&Value>| {
                let mut posting = Map::new();
                posting.insert("amount".into(), amount.clone());
                posting.insert("credit".into(), json!(credit.to_string()));
                posting.insert("debit".into(), json!(debit.to_string()));
                posting.extend(lot.map(|lot| ("lot".to_owned(), lot.clone())));
                Value::Object(posting)
            };
            let postings = match map.remove("shares") {
                Some(Value::Array(shares)) => {
                    shares.iter().map(|share| posting(&share["amount"], Some(&share["lot"]))).collect()
                }
                _ => vec![posting(&map["amount"], None)],
            };
            map.insert("postings".into(), Value::Array(postings));
        }
        map
    }

    /// The record that a leaf's own members tell: those that [`PaymentRecord::members`] writes.
    pub fn of_members(kind: &str, mut map: Map<String, Value>) -> Result<Self, serde_json::Error> {
        map.insert("kind".into(), json!(kind));
        if let Some(Value::Array(postings)) = map.remove("postings")
            && kind != "clearing_settled"
        {
            let share = |posting: &Value| json!({"lot": posting["lot"], "amount": posting["amount"]});
            map.insert("shares".into(), postings.iter().map(share).collect());
        }
        serde_json::from_value(Value::Object(map))
    }

    /// The accounts between which money is posted: debit and credit.
    fn posted_between(&self) -> Option<(Account, Account)> {
        let clearing = |bank: &Bic| Account::System(SystemAccount::Clearing(*bank));
        match self {
            Self::TransferSettled { wallet, bank, .. } => Some((Account::Wallet(*wallet), clearing(bank))),
            Self::TransferReturned { wallet, bank, from: ReturnedFrom::Clearing, .. } => {
                Some((clearing(bank), Account::Wallet(*wallet)))
            }
            Self::CashCaptured { wallet, bank, .. } => {
                Some((Account::Wallet(*wallet), Account::System(SystemAccount::Cash(*bank))))
            }
            Self::ClearingSettled { bank, owed, direction, .. } => {
                let (account, backing) =
                    (Account::System(owed.account(*bank)), Account::System(SystemAccount::Backing));
                Some(match direction {
                    Direction::Paid => (account, backing),
                    Direction::Received => (backing, account),
                })
            }
            _ => None,
        }
    }
}

/// The public reference of a cash-out: 16 characters of Crockford's base 32, 80 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CashReference([u8; 10]);

/// Crockford's digits: no I, L, O and U.
const BASE_32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl CashReference {
    /// The reference of these random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 10]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// Reads the 16 characters, its only spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 {
            return None;
        }
        let mut number = 0u128;
        for byte in text.bytes() {
            let digit = BASE_32.iter().position(|digit| *digit == byte)?;
            number = number << 5 | digit as u128;
        }
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&number.to_be_bytes()[6..]);
        Some(Self(bytes))
    }
}

impl std::fmt::Display for CashReference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut number = [0; 16];
        number[6..].copy_from_slice(&self.0);
        let number = u128::from_be_bytes(number);
        for place in (0..16).rev() {
            let digit = BASE_32[(number >> (5 * place) & 31) as usize];
            write!(formatter, "{}", char::from(digit))?;
        }
        Ok(())
    }
}

impl Serialize for CashReference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CashReference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a reference of a cash-out"))
    }
}

/// What the books know of a holder's authorisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Authorisation {
    /// Its entry.
    pub seq: u64,
    /// From which wallet.
    pub wallet: WalletId,
    /// The channel that the holder gave it to.
    pub channel: ClientId,
    /// What it lets be done.
    pub terms: Terms,
    /// How many entries it has had.
    pub version: u32,
    /// Σ of the payments made under it, tiyn. What comes back is not given back to it.
    pub used: i64,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// What an authorisation lets be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// For what.
    pub purpose: Purpose,
    /// At most so much in all.
    pub ceiling: Amount,
    /// Whether it may be used more than once.
    pub standing: bool,
    /// Until when, UTC milliseconds.
    #[serde(with = "moment")]
    pub expires: i64,
}

impl Terms {
    /// The bank that may use it.
    #[must_use]
    pub fn bank(&self) -> Option<Bic> {
        match self.purpose {
            Purpose::Transfer { bank, .. } => Some(bank),
            Purpose::Cash {} => None,
        }
    }
}

/// An authorisation as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAuthorisation {
    /// Its entry.
    pub seq: u64,
    /// The wallet's internal number.
    pub account: u32,
    /// Whose.
    pub channel: ClientId,
    /// What it lets be done.
    pub terms: Terms,
    /// The destination, encrypted; empty for cash.
    pub sealed_destination: Vec<u8>,
}

/// What became of an authorisation: a row for each entry about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AuthorisationEntry {
    /// Which.
    pub authorisation: u64,
    /// 1, 2, 3 …
    pub version: u32,
    /// The journal entry.
    pub seq: u64,
    /// Σ of the payments made under it after this entry, tiyn.
    pub used: i64,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// What a payment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PaymentKind {
    /// A transfer.
    Transfer {
        /// To which bank.
        bank: Bic,
    },
    /// A cash-out.
    Cash {
        /// The public reference.
        reference: CashReference,
        /// A keyed hash of reference and code.
        #[serde(with = "hexadecimal")]
        secret: [u8; 32],
        /// Until when, UTC milliseconds.
        #[serde(with = "moment")]
        expires: i64,
    },
}

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PaymentState {
    /// Requested or created: its money is held.
    Open,
    /// With the bank or the agent: its money is held.
    Sent,
    /// Nobody knows: its money is held, until the bank answers or an operator with evidence.
    Unknown,
    /// Paid: its money has left the wallet, some of it may have come back.
    Settled,
    /// All of it is back.
    Returned,
}

impl PaymentState {
    /// All.
    pub const ALL: [Self; 5] = [Self::Open, Self::Sent, Self::Unknown, Self::Settled, Self::Returned];

    /// The stored code.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Open => 1,
            Self::Sent => 2,
            Self::Unknown => 3,
            Self::Settled => 4,
            Self::Returned => 5,
        }
    }

    /// Reads the stored code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether its money is held.
    #[must_use]
    pub fn is_held(self) -> bool {
        matches!(self, Self::Open | Self::Sent | Self::Unknown)
    }

    /// The name of a transfer's state in the API.
    #[must_use]
    pub fn of_transfer(self) -> &'static str {
        match self {
            Self::Open => "requested",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Settled => "settled",
            Self::Returned => "returned",
        }
    }

    /// The name of a cash-out's state in the API.
    #[must_use]
    pub fn of_cash(self) -> &'static str {
        match self {
            Self::Open => "created",
            Self::Sent => "reserved",
            Self::Unknown => "unknown",
            Self::Settled => "captured",
            Self::Returned => "released",
        }
    }
}

/// A payment's share of one lot, in the order in which lots were drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drawn(
    /// The lot's version in its wallet.
    pub u32,
    /// How much, tiyn.
    pub i64,
    /// The entry that made the lot: its name in any wallet that it is moved to.
    pub u64,
);

/// What the books know of a transfer or a cash-out. Sums in tiyn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// Its entry.
    pub seq: u64,
    /// From which wallet.
    pub wallet: WalletId,
    /// Under which authorisation.
    pub authorisation: u64,
    /// The channel of that authorisation, which is told what becomes of it.
    pub channel: ClientId,
    /// What it is.
    pub kind: PaymentKind,
    /// How much.
    pub amount: i64,
    /// Of which lots, in the order in which they were drawn.
    pub drawn: Vec<Drawn>,
    /// What has happened to it, oldest first: at least that it was made.
    pub history: Vec<PaymentEntry>,
}

/// What became of a payment: a row for each entry about it, with its sums after it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PaymentEntry {
    /// Which.
    pub payment: u64,
    /// 1, 2, 3 …
    pub version: u32,
    /// The journal entry.
    pub seq: u64,
    /// Commit time, UTC milliseconds.
    pub at: i64,
    /// Where it stands after it.
    pub state: PaymentState,
    /// What went back before it left the wallet.
    pub released: i64,
    /// What left the wallet.
    pub settled: i64,
    /// What came back after it had left.
    pub returned: i64,
    /// Wrong codes of a cash-out.
    pub tries: u8,
    /// Whose agent has reserved a cash-out.
    pub agent: Option<Bic>,
    /// The bank's reference of a return.
    pub reference: Option<BankReference>,
}

impl Payment {
    /// Where it stands now.
    ///
    /// # Panics
    /// If it has no history: whoever reads or makes one gives it the entry that made it.
    #[must_use]
    pub fn head(&self) -> &PaymentEntry {
        self.history.last().expect("a payment begins with an entry")
    }

    /// What is held of it, tiyn.
    #[must_use]
    pub fn held(&self) -> i64 {
        let head = self.head();
        if head.state.is_held() { self.amount - head.released } else { 0 }
    }

    /// What can still come back of it, tiyn.
    #[must_use]
    pub fn returnable(&self) -> i64 {
        let head = self.head();
        if head.state.is_held() { self.held() } else { head.settled - head.returned }
    }

    /// The bank that it is with.
    #[must_use]
    pub fn bank(&self) -> Option<Bic> {
        match self.kind {
            PaymentKind::Transfer { bank } => Some(bank),
            PaymentKind::Cash { .. } => self.head().agent,
        }
    }

    /// The last tiyn from `to` downwards to `from`, counted in the order of drawing: pieces of lots, last drawn first.
    #[must_use]
    pub fn back(&self, from: i64, to: i64) -> Vec<Drawn> {
        let mut pieces = Vec::new();
        let mut begins = 0;
        for Drawn(lot, amount, made) in &self.drawn {
            let ends = begins + amount;
            let piece = ends.min(to) - begins.max(from);
            if piece > 0 {
                pieces.push(Drawn(*lot, piece, *made));
            }
            begins = ends;
        }
        pieces.reverse();
        pieces
    }
}

/// A payment as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPayment {
    /// Its entry.
    pub seq: u64,
    /// The wallet's internal number.
    pub account: u32,
    /// Under which authorisation.
    pub authorisation: u64,
    /// What it is.
    pub kind: PaymentKind,
    /// How much, tiyn.
    pub amount: i64,
    /// Of which lots.
    pub drawn: Vec<Drawn>,
}

/// Whose use of something is counted by business day.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Counted {
    /// Payments out of a wallet, by its internal number.
    Wallet(u32),
    /// Of those, cash.
    WalletCash(u32),
    /// Payments through a channel, but for those that choices started.
    Channel(ClientId),
    /// Choices through a channel that send benefits on.
    Choices(ClientId),
    /// Wrong codes from the agents of a bank.
    TriesOfBank(Bic),
    /// Wrong codes from one terminal.
    TriesOfTerminal(Bic, Terminal),
    /// All wrong codes.
    Tries,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wallet(account) => write!(formatter, "wallet:{account}"),
            Self::WalletCash(account) => write!(formatter, "cash:{account}"),
            Self::Channel(channel) => write!(formatter, "channel:{channel}"),
            Self::Choices(channel) => write!(formatter, "choices:{channel}"),
            Self::TriesOfBank(bank) => write!(formatter, "tries:{bank}"),
            Self::TriesOfTerminal(bank, terminal) => write!(formatter, "tries:{bank}:{terminal}"),
            Self::Tries => formatter.write_str("tries"),
        }
    }
}

/// What was counted on a business day: a row for each time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UsageEntry {
    /// Whose, as [`Counted`] is written.
    pub counted: String,
    /// The business day as `YYYYMMDD`.
    pub date: i32,
    /// 1, 2, 3 … within the day: how often.
    pub version: u32,
    /// The journal entry.
    pub seq: u64,
    /// Σ of the day, tiyn.
    pub amount: i64,
}

/// What payments are held to. Anything that they forbid waits for the next business day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Σ of the payments out of one wallet on a business day.
    pub wallet_day_amount: Money,
    /// Their number.
    pub wallet_day_count: u32,
    /// Σ of the payments through one channel on a business day, but for those that choices started.
    pub channel_day_amount: Money,
    /// Their number.
    pub channel_day_count: u32,
    /// Choices through one channel, on a business day, that send benefits on.
    pub channel_day_choices: u32,
    /// The largest cash-out.
    pub cash_amount: Money,
    /// Σ of the cash-outs of one wallet on a business day.
    pub cash_day_amount: Money,
    /// Wrong codes from one terminal on a business day.
    pub tries_terminal_day: u32,
    /// Wrong codes from the agents of one bank on a business day.
    pub tries_bank_day: u32,
    /// Wrong codes from everywhere on a business day.
    pub tries_day: u32,
}

impl Limits {
    /// Until two operators have agreed on others. They are ours, not a ministry's: large enough for a family's month, small
    /// enough that a stolen key does not empty the country's wallets in a night.
    pub const DEFAULT: Self = Self {
        wallet_day_amount: tenge(1_000_000),
        wallet_day_count: 20,
        channel_day_amount: tenge(10_000_000_000),
        channel_day_count: 500_000,
        channel_day_choices: 50_000,
        cash_amount: tenge(200_000),
        cash_day_amount: tenge(400_000),
        tries_terminal_day: 20,
        tries_bank_day: 1_000,
        tries_day: 10_000,
    };
}

const fn tenge(tenge: i64) -> Money {
    match Money::from_tiyn(tenge * 100) {
        Some(money) => money,
        None => Money::ZERO,
    }
}

/// Who is told of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Audience {
    /// A bank.
    Bank(Bic),
    /// A channel.
    Channel(ClientId),
    /// Every channel: whoever reaches a holder tells the holder.
    Holders,
}

impl std::fmt::Display for Audience {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bank(bank) => write!(formatter, "bank:{bank}"),
            Self::Channel(channel) => write!(formatter, "channel:{channel}"),
            Self::Holders => formatter.write_str("holders"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reference_is_read_back(bytes in any::<[u8; 10]>()) {
            let reference = CashReference::from_bytes(bytes);
            prop_assert_eq!(CashReference::parse(&reference.to_string()), Some(reference));
            prop_assert_eq!(CashReference::parse(&reference.to_string().to_lowercase()).is_some(),
                !reference.to_string().bytes().any(|byte| byte.is_ascii_alphabetic()));
        }
    }

    #[test]
    fn a_reference_has_one_spelling() {
        for text in [
            "",
            "0000000000000000",
            "ZZZZZZZZZZZZZZZZ",
            "000000000000000",
            "0000-0000-0000-00",
            "OOOOOOOOOOOOOOOO",
        ] {
            let read = CashReference::parse(text).map(|reference| reference.to_string());
            assert_eq!(read.is_some(), text.len() == 16 && !text.contains(['O', '-']), "{text}");
            assert!(read.is_none_or(|read| read == text));
        }
    }
}
