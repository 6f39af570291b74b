//! Orders against wallets: what the journal says of them, and the rules that they are decided by, which are data.
//!
//! An order is one document: its issuer, its number and its date. The journal knows it by a keyed tag, and its debtor by the
//! person's tag; what is written in it is committed to. Whoever is given the openings can show that a decision is about his
//! document, and nobody else can tell.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{
    Amount, BankReference, Bin, ClientId, Day, FundClass, Issuer, Money, Names, OrderKind, Part, Period,
    ProgrammeCode, Reach, WalletId,
};

use super::account::{Account, SystemAccount};
use super::payment::Drawn;
use super::record::{LotShare, Record};
use super::registry::{hexadecimal, moment};

/// Lots that one order reaches, at most: its entry names each of them, and a leaf of the log has a size.
pub const ORDER_LOTS_MAX: usize = 256;

/// Rows of a rule table, at most.
pub const RULES_MAX: usize = 64;

/// Bytes of a rule table as JSON, at most: it is an entry of the log.
pub const RULES_BYTES_MAX: usize = 24 * 1024;

/// How long a freeze or an arrest may stand, milliseconds: 366 days.
pub const ORDER_LIFETIME_MAX: i64 = 366 * 24 * 60 * 60 * 1_000;

/// Which money there may be in a book.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Only benefits are credited: every wallet is one that the law shields as a whole, and nothing is general.
    Container,
    /// Programmes may be general: their money is reached by orders as the rules say.
    Mixed,
}

/// What an order makes of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it is refused.
    Refuse,
    /// It is taken, or held, by what the order asks for.
    Allow,
}

/// A row of the rule table: what a kind of order makes of a class of money, or of that class's money of one programme.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which orders.
    pub order: OrderKind,
    /// Which money.
    pub class: FundClass,
    /// Of one programme only; such a row goes before the one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeCode>,
    /// What it makes of it.
    pub effect: Effect,
    /// At most so many per cent of the free money that the row is about, rounded down to a tiyn; all of it, if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_percent: Option<u8>,
    /// What it rests on, in Kazakh, Russian and English.
    pub legal_basis: Names,
    /// From which business day on.
    pub valid_from: Day,
    /// Until which, inclusive; without an end if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Day>,
}

impl Rule {
    /// Whether it is in force on a day.
    #[must_use]
    pub fn holds_on(&self, day: Day) -> bool {
        self.valid_from <= day && self.valid_to.is_none_or(|end| day <= end)
    }
}

/// Which orders an issuer may give.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Competence {
    /// Who.
    pub issuer: Issuer,
    /// Which.
    pub orders: Vec<OrderKind>,
}

/// The rules that orders are decided by, from an entry on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTable {
    /// Which money there may be.
    pub mode: Mode,
    /// Who may give which orders.
    pub competences: Vec<Competence>,
    /// In which order those that arrive together are decided: first the kinds named, then all others; of one kind, as they came.
    pub precedence: Vec<OrderKind>,
    /// What each makes of which money. What no row is about is refused.
    pub rules: Vec<Rule>,
}

/// The table that a book begins with, as it is shipped.
const SHIPPED: &str = include_str!("../../specs/rules.json");

impl RuleTable {
    /// The table that a book begins with: everything that is asked of protected money is refused. It is never another one: a
    /// replay holds the first table of a book against it.
    ///
    /// # Panics
    /// Never: a test reads the file that it is made of.
    #[must_use]
    pub fn shipped() -> Self {
        serde_json::from_str(SHIPPED).expect("specs/rules.json is a rule table")
    }

    /// Whether an issuer may give such an order.
    #[must_use]
    pub fn may(&self, issuer: Issuer, kind: OrderKind) -> bool {
        self.competences.iter().any(|known| known.issuer == issuer && known.orders.contains(&kind))
    }

    /// The place of a kind among those that arrive together.
    #[must_use]
    pub fn rank(&self, kind: OrderKind) -> usize {
        self.precedence.iter().position(|ranked| *ranked == kind).unwrap_or(self.precedence.len())
    }

    /// The place of the row that says what an order makes of a class of money, of a programme if one is named, on a day.
    #[must_use]
    pub fn row(
        &self,
        order: OrderKind,
        class: FundClass,
        programme: Option<ProgrammeCode>,
        day: Day,
    ) -> Option<usize> {
        let of = |programme: Option<ProgrammeCode>| {
            self.rules.iter().position(|rule| {
                rule.order == order
                    && rule.class == class
                    && rule.programme == programme
                    && rule.holds_on(day)
            })
        };
        programme.and_then(|code| of(Some(code))).or_else(|| of(None))
    }
}

/// What became of an order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing could be reached: the money is shielded.
    RefusedProtected,
    /// A part was taken.
    Partial,
    /// All that was asked was taken, or the order that was to be lifted is.
    Executed,
    /// General money is held, or the wallet is frozen.
    Held,
    /// It was met before, here or elsewhere: returned unexecuted.
    ReturnedDuplicate,
    /// The person has no wallet.
    NoWallet,
    /// It cannot be read; it binds nothing, and may be sent again under the same number.
    Malformed,
    /// Its issuer may not give such orders.
    UnauthorisedIssuer,
}

impl Outcome {
    /// Reads the name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// All.
    pub const ALL: [Self; 8] = [
        Self::RefusedProtected,
        Self::Partial,
        Self::Executed,
        Self::Held,
        Self::ReturnedDuplicate,
        Self::NoWallet,
        Self::Malformed,
        Self::UnauthorisedIssuer,
    ];

    /// The name in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefusedProtected => "refused_protected",
            Self::Partial => "partial",
            Self::Executed => "executed",
            Self::Held => "held",
            Self::ReturnedDuplicate => "returned_duplicate",
            Self::NoWallet => "no_wallet",
            Self::Malformed => "malformed",
            Self::UnauthorisedIssuer => "unauthorised_issuer",
        }
    }
}

/// The accrual that an overpayment is recovered of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overpaid {
    /// Of which programme.
    pub programme: ProgrammeCode,
    /// For which period.
    pub period: Period,
    /// Which entitlement.
    pub part: Part,
}

/// A tax debt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxDebt {
    /// A keyed tag of date, amount and type: of debts of one wallet it tells which are the same.
    #[serde(with = "hexadecimal")]
    pub tag: [u8; 32],
    /// Whether the order says that it was met elsewhere.
    pub met_elsewhere: bool,
}

/// What an order says, as the rules know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What it is known by: a keyed tag of issuer, number and date.
    #[serde(with = "hexadecimal")]
    pub order: [u8; 32],
    /// What it asks for.
    pub order_kind: OrderKind,
    /// The debtor's tag.
    #[serde(with = "hexadecimal")]
    pub debtor: [u8; 32],
    /// Commits to the enforcement document.
    #[serde(with = "hexadecimal")]
    pub enforcement_document: [u8; 32],
    /// Commits to the purpose.
    #[serde(with = "hexadecimal")]
    pub purpose: [u8; 32],
    /// How much; of an arrest and a suspension, all that there is if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Until when it stands, UTC milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "moment_if_any")]
    pub expires: Option<i64>,
    /// The debt of a tax authority's collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debt: Option<TaxDebt>,
    /// What an overpayment is recovered of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overpaid: Option<Overpaid>,
    /// The issuer's own earlier order that this one lifts, or carries out: the tag of that one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hexadecimal_if_any")]
    pub lifts: Option<[u8; 32]>,
}

impl Order {
    /// The first field in which another order under the same document differs.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<&'static str> {
        [
            (self.order_kind != other.order_kind, "kind"),
            (self.debtor != other.debtor, "iin"),
            (self.amount != other.amount, "amount"),
            (self.enforcement_document != other.enforcement_document, "enforcement_document"),
            (self.purpose != other.purpose, "purpose"),
            (self.expires != other.expires, "expires"),
            (self.debt != other.debt, "tax_debt"),
            (self.overpaid != other.overpaid, "overpaid"),
            (self.lifts != other.lifts, "lifts"),
        ]
        .into_iter()
        .find_map(|(differs, field)| differs.then_some(field))
    }
}

/// A decision on an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was ordered.
    pub said: Order,
    /// Who ordered it.
    pub issuer: Bin,
    /// What he is in law.
    pub issuer_kind: Issuer,
    /// The debtor's wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<WalletId>,
    /// The entry of the rule table that it was decided by.
    pub rules: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Of one that is malformed though it could be read: the first field that cannot be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<MalformedField>,
    /// The rows of that table that decided it: their places, from 0.
    pub rows: Vec<u8>,
    /// What was taken.
    pub taken: Money,
    /// What is held.
    pub held: Money,
    /// Of what was asked: what was neither taken nor is held.
    pub refused: Money,
    /// What was taken, or is held, of which lots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<LotShare>,
    /// What the order that was lifted or carried out had held of which lots, and no longer holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<LotShare>,
    /// The entry of the order that was lifted or carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<u64>,
}

/// One thing that happened to orders, as its entry says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderRecord {
    /// Orders are decided by other rules from this entry on.
    RulesSet {
        /// Which.
        rules: Box<RuleTable>,
    },
    /// An order was decided.
    Decided(Box<Decision>),
    /// An order could not be read. What can be read and cannot be right is decided as malformed, so that it can be decided again.
    Malformed {
        /// The tag that its issuer, number and date have.
        order: [u8; 32],
        /// Who sent it.
        issuer: Bin,
        /// What he is in law.
        issuer_kind: Issuer,
        /// The first field that cannot be read.
        field: MalformedField,
    },
    /// An arrest's or a freeze's time was over: what it held is free again.
    Expired {
        /// From which wallet.
        wallet: WalletId,
        /// Which: its entry.
        order: u64,
        /// What it had held of which lots.
        shares: Vec<LotShare>,
    },
    /// What was taken for an authority was paid to it: Dr levy, Cr backing.
    LevySettled {
        /// Which.
        authority: Bin,
        /// How much.
        amount: Amount,
        /// The payment that did it.
        bank_reference: BankReference,
    },
}

/// A field of an order that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MalformedField {
    /// The kind.
    Kind,
    /// The debtor's number.
    Iin,
    /// The amount: unreadable, missing, or given where there is none.
    Amount,
    /// The currency.
    Currency,
    /// The enforcement document.
    EnforcementDocument,
    /// The purpose.
    Purpose,
    /// The end: unreadable, missing, past, too far, or given where there is none.
    Expires,
    /// The tax debt.
    TaxDebt,
    /// The accrual that was paid too much, or there is no such.
    Overpaid,
    /// The order to be lifted or carried out: unreadable, missing, unknown, or ended.
    Lifts,
    /// A member that orders do not have.
    Unknown,
}

impl MalformedField {
    /// All.
    pub const ALL: [Self; 11] = [
        Self::Kind,
        Self::Iin,
        Self::Amount,
        Self::Currency,
        Self::EnforcementDocument,
        Self::Purpose,
        Self::Expires,
        Self::TaxDebt,
        Self::Overpaid,
        Self::Lifts,
        Self::Unknown,
    ];

    /// The name in the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Iin => "iin",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::EnforcementDocument => "enforcement_document",
            Self::Purpose => "purpose",
            Self::Expires => "expires",
            Self::TaxDebt => "tax_debt",
            Self::Overpaid => "overpaid",
            Self::Lifts => "lifts",
            Self::Unknown => "unknown",
        }
    }
}

impl From<OrderRecord> for Record {
    fn from(record: OrderRecord) -> Self {
        Self::Order(Box::new(record))
    }
}

/// The members of `order_malformed`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Malformed {
    #[serde(with = "hexadecimal")]
    order: [u8; 32],
    issuer: Bin,
    issuer_kind: Issuer,
    field: MalformedField,
}

/// The members of `order_expired`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expired {
    wallet: WalletId,
    order: u64,
    shares: Vec<LotShare>,
}

/// The members of `levy_settled`, beside its posting.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevySettled {
    authority: Bin,
    amount: Amount,
    bank_reference: BankReference,
}

/// The members of `rules_set`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesSet {
    rules: Box<RuleTable>,
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("a struct of texts, numbers and lists is a JSON object"),
    }
}

impl OrderRecord {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 5] =
        ["rules_set", "order_decided", "order_malformed", "order_expired", "levy_settled"];

    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let place = match self {
            Self::RulesSet { .. } => 0,
            Self::Decided(_) => 1,
            Self::Malformed { .. } => 2,
            Self::Expired { .. } => 3,
            Self::LevySettled { .. } => 4,
        };
        Self::KINDS[place]
    }

    /// The wallet that it is about.
    #[must_use]
    pub fn wallet(&self) -> Option<WalletId> {
        match self {
            Self::Decided(decision) => decision.wallet,
            Self::Expired { wallet, .. } => Some(*wallet),
            Self::RulesSet { .. } | Self::Malformed { .. } | Self::LevySettled { .. } => None,
        }
    }

    /// The members of its leaf. What was taken stands as `postings`, what is held as `shares`.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let posting = |debit: Account, credit: Account, amount: Amount, lot: Option<u64>| {
            let mut posting =
                json!({"amount": amount, "credit": credit.to_string(), "debit": debit.to_string()});
            if let (Some(lot), Some(map)) = (lot, posting.as_object_mut()) {
                map.insert("lot".into(), json!(lot));
            }
            posting
        };
        match self {
            Self::RulesSet { rules } => object(&RulesSet { rules: rules.clone() }),
            Self::Malformed { order, issuer, issuer_kind, field } => object(&Malformed {
                order: *order,
                issuer: *issuer,
                issuer_kind: *issuer_kind,
                field: *field,
            }),
            Self::Expired { wallet, order, shares } => {
                object(&Expired { wallet: *wallet, order: *order, shares: shares.clone() })
            }
            Self::LevySettled { authority, amount, bank_reference } => {
                let (authority, bank_reference) = (*authority, bank_reference.clone());
                let mut map = object(&LevySettled { authority, amount: *amount, bank_reference });
                let levy = Account::System(SystemAccount::Levy(authority));
                let backing = Account::System(SystemAccount::Backing);
                map.insert("postings".into(), json!([posting(levy, backing, *amount, None)]));
                map
            }
            Self::Decided(decision) => {
                let mut map = object(decision.as_ref());
                if let Some(Value::Object(said)) = map.remove("said") {
                    map.extend(said);
                }
                if let Some((debit, credit)) = decision.posted_between() {
                    let shares = decision.shares.iter();
                    let postings = shares.map(|share| posting(debit, credit, share.amount, Some(share.lot)));
                    map.remove("shares");
                    map.insert("postings".into(), postings.collect());
                }
                map
            }
        }
    }

    /// The record that a leaf's own members tell: those that [`OrderRecord::members`] writes.
    pub fn of_members(kind: &str, mut map: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let postings = map.remove("postings");
        let whole = |map| Value::Object(map);
        Ok(match kind {
            "rules_set" => {
                let RulesSet { rules } = serde_json::from_value(whole(map))?;
                Self::RulesSet { rules }
            }
            "order_malformed" => {
                let Malformed { order, issuer, issuer_kind, field } = serde_json::from_value(whole(map))?;
                Self::Malformed { order, issuer, issuer_kind, field }
            }
            "order_expired" => {
                let Expired { wallet, order, shares } = serde_json::from_value(whole(map))?;
                Self::Expired { wallet, order, shares }
            }
            "levy_settled" => {
                let LevySettled { authority, amount, bank_reference } = serde_json::from_value(whole(map))?;
                Self::LevySettled { authority, amount, bank_reference }
            }
            _ => {
                if let Some(Value::Array(postings)) = postings {
                    let share = |posting: &Value| json!({"lot": posting["lot"], "amount": posting["amount"]});
                    map.insert("shares".into(), postings.iter().map(share).collect());
                }
                let said = [
                    "order",
                    "order_kind",
                    "debtor",
                    "enforcement_document",
                    "purpose",
                    "amount",
                    "expires",
                    "debt",
                    "overpaid",
                    "lifts",
                ];
                let said: Map<String, Value> =
                    said.iter().filter_map(|name| map.remove_entry(*name)).collect();
                map.insert("said".into(), whole(said));
                Self::Decided(Box::new(serde_json::from_value(whole(map))?))
            }
        })
    }
}

impl Decision {
    /// The accounts between which money was posted: debit and credit.
    #[must_use]
    pub fn posted_between(&self) -> Option<(Account, Account)> {
        if self.taken == Money::ZERO {
            return None;
        }
        let to = match (self.said.order_kind.reach(), &self.said.overpaid) {
            (Reach::Recovers, Some(overpaid)) => SystemAccount::Funding(overpaid.programme),
            _ => SystemAccount::Levy(self.issuer),
        };
        self.wallet.map(|wallet| (Account::Wallet(wallet), Account::System(to)))
    }
}

/// What the books know of an order that was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its entry.
    pub seq: u64,
    /// The decision.
    pub decision: Decision,
    /// The wallet's internal number; 0 if there is no wallet.
    pub account: u32,
    /// What it was given to hold of which lots.
    pub drawn: Vec<Drawn>,
    /// The entry that ended it.
    pub ended: Option<u64>,
}

impl Decision {
    /// Whether its document is used up: what is malformed may be sent again under the same number.
    #[must_use]
    pub fn binds(&self) -> bool {
        self.outcome != Outcome::Malformed
    }

    /// What was asked; 0 if it does not say.
    #[must_use]
    pub fn asked(&self) -> i64 {
        self.said.amount.map_or(0, Amount::tiyn)
    }
}

impl Known {
    /// Whether it holds money, or a wallet, now.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.decision.outcome == Outcome::Held && self.ended.is_none()
    }
}

/// An order as it is kept. What is written in it is encrypted, and kept beside the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewOrder {
    /// Its entry.
    pub seq: u64,
    /// The business day of its decision as `YYYYMMDD`.
    pub date: i32,
    /// The client that sent it.
    pub client: ClientId,
    /// The wallet's internal number; 0 if there is none.
    pub account: u32,
    /// Of which lots what it holds was drawn.
    pub drawn: Vec<Drawn>,
    /// The decision, or the entry of what could not be read.
    pub record: OrderRecord,
    /// What is written in it, encrypted.
    pub sealed: Vec<u8>,
}

/// The end of an order that stood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OrderEnd {
    /// Which: its entry.
    pub order: u64,
    /// The entry that ended it.
    pub seq: u64,
}

/// UTC milliseconds as RFC 3339 text, if any.
mod moment_if_any {
    use super::moment;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option)] // as serde calls it
    pub(super) fn serialize<S: Serializer>(at: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => moment::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Moment(#[serde(with = "moment")] i64);
        Ok(Option::<Moment>::deserialize(deserializer)?.map(|moment| moment.0))
    }
}

/// 32 bytes as hexadecimal digits, if any.
mod hexadecimal_if_any {
    use super::hexadecimal;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option)] // as serde calls it
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => hexadecimal::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Bytes(#[serde(with = "hexadecimal")] [u8; 32]);
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}
