//! Leaf v1: the exact bytes of a journal entry.
//!
//! A leaf is one JSON object in the canonical form of RFC 8785 (JCS): members sorted, no white space, integers below 2⁵³.
//! Its bytes are written once, stored, hashed and never encoded again. `specs/ledger.md` describes every member.
//!
//! The accrual is written by hand, member by member in sorted order, because a payday writes millions of them; every
//! other kind goes through `serde_json`, whose maps are sorted and whose strings and integers have the canonical form. A
//! test holds both against an independent JCS writer.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::domain::BookId;
use crate::domain::time::Stamp;
use crate::ledger::choice::ChoiceRecord;
use crate::ledger::order::OrderRecord;
use crate::ledger::payment::{Limits, PaymentRecord};
use crate::ledger::person::PersonRecord;
use crate::ledger::record::{Actor, Record};
use crate::ledger::registry::{Founder, Proposal};
use crate::ledger::state::StateRecord;

/// The version that every leaf names.
pub const LEAF_VERSION: u64 = 1;

/// Writes the leaves of one commit.
pub struct LeafWriter {
    blind: Hmac<Sha256>,
    frame: Frame,
}

/// What the leaves of one commit have in common.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) book: String,
    pub(super) at: String,
    pub(super) date: String,
}

/// An entry's blind as its leaf has it: 32 hexadecimal digits.
pub(super) type BlindText = [u8; 32];

impl LeafWriter {
    /// For a book, with the key of its blinds.
    #[must_use]
    pub fn new(book: BookId, blind_key: &[u8; 32]) -> Self {
        let blind = Hmac::<Sha256>::new_from_slice(blind_key).expect("HMAC takes a key of any length");
        Self { blind, frame: Frame { book: book.to_string(), ..Frame::default() } }
    }

    /// Sets the moment of the commit.
    pub fn stamp(&mut self, stamp: Stamp) {
        self.frame.at = stamp.at_text();
        self.frame.date = stamp.date_text();
    }

    /// The blind of an entry: 128 bits of HMAC-SHA-256 over its number, so that a published hash confirms no guess.
    fn blind(&self, seq: u64) -> BlindText {
        let mut mac = self.blind.clone();
        mac.update(&seq.to_be_bytes());
        let full = mac.finalize().into_bytes();
        let mut text = [0; 32];
        hex::encode_to_slice(&full[..16], &mut text).expect("16 bytes are 32 digits");
        text
    }

    /// Appends the leaf of a record to `out`.
    pub fn write(&self, out: &mut Vec<u8>, seq: u64, record: &Record, actor: &Actor) {
        self.frame.write(out, seq, &self.blind(seq), record, actor);
    }
}

impl Frame {
    /// Appends the leaf of a record to `out`.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        blind: &BlindText,
        record: &Record,
        actor: &Actor,
    ) {
        if let Record::Accrued { .. } = record {
            self.write_accrual(out, seq, blind, record, actor);
            return;
        }
        let mut map = record.members();
        map.insert("actor".into(), actor_members(actor));
        map.insert("at".into(), Value::String(self.at.clone()));
        map.insert("blind".into(), Value::String(String::from_utf8_lossy(blind).into_owned()));
        map.insert("book".into(), Value::String(self.book.clone()));
        map.insert("currency".into(), json!("KZT"));
        map.insert("date".into(), Value::String(self.date.clone()));
        map.insert("kind".into(), json!(record.kind()));
        map.insert("seq".into(), json!(seq));
        map.insert("v".into(), json!(LEAF_VERSION));
        serde_json::to_writer(out, &Value::Object(map))
            .expect("writing to memory does not fail, and the map is JSON");
    }

    fn write_accrual(&self, out: &mut Vec<u8>, seq: u64, blind: &BlindText, record: &Record, actor: &Actor) {
        let Record::Accrued { wallet, programme, period, part, amount, class, batch } = record else {
            return;
        };
        let mut integers = itoa::Buffer::new();
        let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
        let mut digest = [0; 64];
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(br#"{"actor":{"#);
        hex::encode_to_slice(actor.request, &mut digest).expect("32 bytes are 64 digits");
        if let Some(line) = actor.line {
            put(br#""chunk":""#);
            put(&digest);
            put(br#"","client":""#);
            put(actor.client.as_str().as_bytes());
            put(br#"","line":"#);
            put(integers.format(line).as_bytes());
        } else {
            put(br#""client":""#);
            put(actor.client.as_str().as_bytes());
            put(b"\"");
            if let Some(instruction) = actor.instruction {
                let mut text = [0; 32];
                hex::encode_to_slice(instruction, &mut text).expect("16 bytes are 32 digits");
                put(br#","instruction":""#);
                put(&text);
                put(b"\"");
            }
            put(br#","request":""#);
            put(&digest);
            put(b"\"");
        }
        put(br#"},"at":""#);
        put(self.at.as_bytes());
        if let Some(batch) = batch {
            put(br#"","batch":""#);
            put(batch.uuid().hyphenated().encode_lower(&mut uuid).as_bytes());
        }
        put(br#"","blind":""#);
        put(blind);
        put(br#"","book":""#);
        put(self.book.as_bytes());
        put(br#"","class":""#);
        put(class.as_str().as_bytes());
        put(br#"","currency":"KZT","date":""#);
        put(self.date.as_bytes());
        put(br#"","kind":"accrual","part":"#);
        put(integers.format(part.get()).as_bytes());
        put(br#","period":""#);
        let code = period.code();
        if code == 0 {
            put(b"once");
        } else {
            let digits = integers.format(code).as_bytes();
            put(&digits[..4]);
            put(b"-");
            put(&digits[4..]);
        }
        put(br#"","postings":[{"amount":""#);
        amount.money().write_to(out);
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(br#"","credit":"wallet:"#);
        let wallet = wallet.uuid().hyphenated().encode_lower(&mut uuid);
        put(wallet.as_bytes());
        put(br#"","debit":"funding:"#);
        put(programme.as_str().as_bytes());
        put(br#""}],"programme":""#);
        put(programme.as_str().as_bytes());
        put(br#"","seq":"#);
        put(integers.format(seq).as_bytes());
        put(br#","v":1,"wallet":""#);
        put(wallet.as_bytes());
        put(br#""}"#);
    }
}

fn actor_members(actor: &Actor) -> Value {
    let mut map = Map::new();
    map.insert("client".into(), json!(actor.client.as_str()));
    let digest = Value::String(hex::encode(actor.request));
    if let Some(line) = actor.line {
        map.insert("chunk".into(), digest);
        map.insert("line".into(), json!(line));
    } else {
        map.insert("request".into(), digest);
        if let Some(instruction) = actor.instruction {
            map.insert("instruction".into(), Value::String(hex::encode(instruction)));
        }
    }
    Value::Object(map)
}

/// A leaf as it is read back. Borrowed from the stored bytes.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the members are described in specs/ledger.md
pub struct Leaf<'a> {
    #[serde(borrow)]
    pub actor: LeafActor<'a>,
    pub at: &'a str,
    pub blind: &'a str,
    pub book: &'a str,
    pub currency: &'a str,
    pub date: &'a str,
    pub kind: &'a str,
    pub seq: u64,
    pub v: u64,
    pub accepted_lines: Option<u64>,
    pub accepted_total: Option<&'a str>,
    pub approval: Option<u64>,
    pub bank: Option<&'a str>,
    #[serde(borrow)]
    pub bank_reference: Option<Cow<'a, str>>,
    pub batch: Option<&'a str>,
    pub batch_kind: Option<&'a str>,
    pub bic: Option<&'a str>,
    pub bin: Option<&'a str>,
    pub business_time_zone: Option<&'a str>,
    pub class: Option<&'a str>,
    pub client: Option<&'a str>,
    pub digest: Option<&'a str>,
    pub expires: Option<&'a str>,
    pub first_line: Option<u64>,
    pub iso_purpose: Option<&'a str>,
    pub issuer: Option<&'a str>,
    pub kbe: Option<&'a str>,
    pub key: Option<&'a str>,
    pub knp: Option<&'a str>,
    #[serde(borrow)]
    pub legal_basis: Option<Cow<'a, str>>,
    pub limits: Option<Limits>,
    pub lines: Option<u64>,
    pub lost_note: Option<&'a str>,
    pub lost_origin: Option<&'a str>,
    pub lost_root: Option<&'a str>,
    pub lost_size: Option<u64>,
    pub names: Option<crate::domain::Names>,
    pub new_key: Option<&'a str>,
    pub not_before: Option<&'a str>,
    pub old_key: Option<&'a str>,
    pub operators: Option<Vec<Founder>>,
    pub origin: Option<&'a str>,
    pub outcome: Option<&'a str>,
    pub part: Option<u16>,
    pub pay_out: Option<u64>,
    pub payer: Option<&'a str>,
    pub period: Option<&'a str>,
    #[serde(default)]
    pub periods: Vec<&'a str>,
    pub person: Option<&'a str>,
    #[serde(default, borrow)]
    pub postings: Vec<LeafPosting<'a>>,
    pub programme: Option<&'a str>,
    #[serde(default)]
    pub programmes: Vec<&'a str>,
    pub proposal: Option<Proposal>,
    pub public_key: Option<&'a str>,
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    pub received_lines: Option<u64>,
    pub received_total: Option<&'a str>,
    pub refused_lines: Option<u64>,
    pub release_required: Option<bool>,
    pub role: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub total: Option<&'a str>,
    pub uncollected: Option<&'a str>,
    pub verdicts: Option<&'a str>,
    pub wallet: Option<&'a str>,
    /// The members of a kind that reads its own.
    #[serde(skip)]
    pub own: Option<Map<String, Value>>,
}

/// What every leaf has, and the members that its kind reads itself.
#[derive(Deserialize)]
struct Common<'a> {
    #[serde(borrow)]
    actor: LeafActor<'a>,
    at: &'a str,
    blind: &'a str,
    book: &'a str,
    currency: &'a str,
    date: &'a str,
    kind: &'a str,
    seq: u64,
    v: u64,
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    kind: &'a str,
}

/// Who asked, as a leaf names it.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the members are described in specs/ledger.md
pub struct LeafActor<'a> {
    pub client: &'a str,
    pub request: Option<&'a str>,
    pub chunk: Option<&'a str>,
    pub line: Option<u64>,
    pub instruction: Option<&'a str>,
}

/// A posting as a leaf names it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the members are described in specs/ledger.md
pub struct LeafPosting<'a> {
    pub amount: &'a str,
    pub credit: &'a str,
    pub debit: &'a str,
    pub lot: Option<u64>,
}

/// Why bytes are not a leaf. Holds nothing of the bytes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LeafError {
    /// Not a JSON object of a leaf's members.
    #[error("the entry is not a leaf: at byte {0}")]
    Json(usize),
    /// A member is missing, or is not what its name says.
    #[error("the leaf's member {0} is missing or malformed")]
    Member(&'static str),
    /// The kind is not one of leaf v1.
    #[error("the leaf's kind is unknown")]
    Kind,
    /// Another version.
    #[error("the leaf's version is not 1")]
    Version,
    /// The bytes are not the one way to write what they say.
    #[error("the leaf is not in canonical form, or has members that its kind does not have: at byte {0}")]
    NotCanonical(usize),
}

impl<'a> Leaf<'a> {
    /// Reads a leaf.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LeafError> {
        let json = |error: serde_json::Error| LeafError::Json(error.column());
        let Kind { kind } = serde_json::from_slice(bytes).map_err(json)?;
        let reads_its_own = [
            PaymentRecord::KINDS.as_slice(),
            &StateRecord::KINDS,
            &OrderRecord::KINDS,
            &ChoiceRecord::KINDS,
            &PersonRecord::KINDS,
        ];
        let leaf = if reads_its_own.iter().any(|kinds| kinds.contains(&kind)) {
            let Common { actor, at, blind, book, currency, date, kind, seq, v, own } =
                serde_json::from_slice(bytes).map_err(json)?;
            Self { actor, at, blind, book, currency, date, kind, seq, v, own: Some(own), ..Self::default() }
        } else {
            serde_json::from_slice(bytes).map_err(json)?
        };
        if leaf.v == LEAF_VERSION { Ok(leaf) } else { Err(LeafError::Version) }
    }

    /// The commit's moment.
    pub fn stamp(&self) -> Result<Stamp, LeafError> {
        crate::domain::time::parse_rfc3339(self.at)
            .and_then(Stamp::of)
            .filter(|stamp| stamp.date_text() == self.date)
            .ok_or(LeafError::Member("at"))
    }

    /// Who asked.
    pub fn actor(&self) -> Result<Actor, LeafError> {
        let digest = self.actor.chunk.or(self.actor.request).ok_or(LeafError::Member("actor.request"))?;
        let mut request = [0; 32];
        hex::decode_to_slice(digest, &mut request).map_err(|_| LeafError::Member("actor.request"))?;
        let instruction = self.actor.instruction.map(|text| {
            let mut id = [0; 16];
            hex::decode_to_slice(text, &mut id)
                .map(|()| id)
                .map_err(|_| LeafError::Member("actor.instruction"))
        });
        let client = crate::domain::ClientId::parse(self.actor.client)
            .map_err(|_| LeafError::Member("actor.client"))?;
        Ok(Actor { client, request, line: self.actor.line, instruction: instruction.transpose()? })
    }
}

mod read {
    //! From a leaf back to the record that it tells.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use serde_json::{Map, Value};

    use super::{Leaf, LeafError, LeafPosting};
    use crate::domain::time::parse_rfc3339;
    use crate::domain::{
        Amount, BankReference, BatchId, Bic, Bin, ClientId, FundClass, IsoPurpose, Issuer, Kbe, KeyId, Knp,
        LegalBasis, Money, Part, Period, ProgrammeCode, PublicKey, Reason, Role, WalletId,
    };
    use crate::ledger::account::{Account, SystemAccount};
    use crate::ledger::choice::ChoiceRecord;
    use crate::ledger::order::OrderRecord;
    use crate::ledger::payment::PaymentRecord;
    use crate::ledger::person::PersonRecord;
    use crate::ledger::record::{
        BatchDeclaration, BatchTotals, LostCheckpoint, LotShare, ProgrammeSpec, Record,
    };
    use crate::ledger::registry::{ApprovalOutcome, Change};
    use crate::ledger::state::StateRecord;
    use crate::payroll::LineKind;

    fn member<T, E>(name: &'static str, read: Result<T, E>) -> Result<T, LeafError> {
        read.map_err(|_| LeafError::Member(name))
    }

    fn digest(name: &'static str, text: Option<&str>) -> Result<[u8; 32], LeafError> {
        let mut bytes = [0; 32];
        member(name, hex::decode_to_slice(text.unwrap_or_default(), &mut bytes))?;
        Ok(bytes)
    }

    impl Leaf<'_> {
        fn wallet(&self) -> Result<WalletId, LeafError> {
            member("wallet", WalletId::parse(self.wallet.unwrap_or_default()))
        }

        fn programme(&self) -> Result<ProgrammeCode, LeafError> {
            member("programme", ProgrammeCode::parse(self.programme.unwrap_or_default().as_bytes()))
        }

        fn period(&self) -> Result<Period, LeafError> {
            member("period", Period::parse(self.period.unwrap_or_default().as_bytes()))
        }

        fn part(&self) -> Result<Part, LeafError> {
            self.part.and_then(Part::new).ok_or(LeafError::Member("part"))
        }

        fn batch_id(&self) -> Result<BatchId, LeafError> {
            member("batch", BatchId::parse(self.batch.unwrap_or_default()))
        }

        fn batch_if_any(&self) -> Result<Option<BatchId>, LeafError> {
            self.batch.map(|text| member("batch", BatchId::parse(text))).transpose()
        }

        fn class(&self) -> Result<FundClass, LeafError> {
            member("class", FundClass::parse(self.class.unwrap_or_default().as_bytes()))
        }

        fn reason(&self) -> Result<Reason, LeafError> {
            member("reason", Reason::parse(self.reason.as_deref().unwrap_or_default()))
        }

        fn money(name: &'static str, text: Option<&str>) -> Result<Money, LeafError> {
            member(name, Money::parse(text.unwrap_or_default().as_bytes()))
        }

        fn totals(&self) -> Result<BatchTotals, LeafError> {
            let totals = BatchTotals {
                received_lines: self.received_lines.ok_or(LeafError::Member("received_lines"))?,
                received_total: Self::money("received_total", self.received_total)?.tiyn(),
                accepted_lines: self.accepted_lines.ok_or(LeafError::Member("accepted_lines"))?,
                accepted_total: Self::money("accepted_total", self.accepted_total)?.tiyn(),
            };
            let refused = totals.received_lines.checked_sub(totals.accepted_lines);
            if refused.is_none() || refused != self.refused_lines {
                return Err(LeafError::Member("refused_lines"));
            }
            Ok(totals)
        }

        /// One posting between exactly these accounts.
        fn single(&self, debit: Account, credit: Account) -> Result<&LeafPosting<'_>, LeafError> {
            match self.postings.as_slice() {
                [posting] if posting.is_between(debit, credit) => Ok(posting),
                _ => Err(LeafError::Member("postings")),
            }
        }

        fn amount(posting: &LeafPosting<'_>) -> Result<Amount, LeafError> {
            member("postings.amount", Amount::parse(posting.amount.as_bytes()))
        }

        fn share(posting: &LeafPosting<'_>) -> Result<LotShare, LeafError> {
            let lot = posting.lot.ok_or(LeafError::Member("postings.lot"))?;
            Ok(LotShare { lot, amount: Self::amount(posting)? })
        }

        /// Postings lot by lot between a wallet and a bank's clearing account, which they name.
        fn shares(&self, wallet: WalletId, out: bool) -> Result<(Bic, Vec<LotShare>), LeafError> {
            let first = self.postings.first().ok_or(LeafError::Member("postings"))?;
            let named = Account::parse(if out { first.credit } else { first.debit });
            let Some(Account::System(SystemAccount::Clearing(bank))) = named else {
                return Err(LeafError::Member("postings"));
            };
            let (wallet, clearing) =
                (Account::Wallet(wallet), Account::System(SystemAccount::Clearing(bank)));
            let (debit, credit) = if out { (wallet, clearing) } else { (clearing, wallet) };
            let read = |posting: &LeafPosting<'_>| {
                if posting.is_between(debit, credit) {
                    Self::share(posting)
                } else {
                    Err(LeafError::Member("postings"))
                }
            };
            Ok((bank, self.postings.iter().map(read).collect::<Result<_, _>>()?))
        }

        /// The record.
        #[allow(clippy::too_many_lines)] // one arm a kind, each a plain list: read top to bottom
        pub fn record(&self) -> Result<Record, LeafError> {
            if let Some(own) = &self.own {
                return self.own_record(own.clone());
            }
            Ok(match self.kind {
                "accrual" => {
                    let (wallet, programme) = (self.wallet()?, self.programme()?);
                    let debit = Account::System(SystemAccount::Funding(programme));
                    Record::Accrued {
                        wallet,
                        programme,
                        period: self.period()?,
                        part: self.part()?,
                        amount: Self::amount(self.single(debit, Account::Wallet(wallet))?)?,
                        class: self.class()?,
                        batch: self.batch_if_any()?,
                    }
                }
                "wallet_opened" => {
                    Record::WalletOpened { wallet: self.wallet()?, person: digest("person", self.person)? }
                }
                "chunk_received" => Record::ChunkReceived {
                    batch: self.batch_id()?,
                    first_line: self.first_line.ok_or(LeafError::Member("first_line"))?,
                    lines: self
                        .lines
                        .and_then(|lines| lines.try_into().ok())
                        .ok_or(LeafError::Member("lines"))?,
                    verdicts: digest("verdicts", self.verdicts)?,
                    totals: self.totals()?,
                },
                "reversal" => {
                    let (wallet, programme) = (self.wallet()?, self.programme()?);
                    let credit = Account::System(SystemAccount::Funding(programme));
                    Record::Reversed {
                        wallet,
                        programme,
                        period: self.period()?,
                        part: self.part()?,
                        share: Self::share(self.single(Account::Wallet(wallet), credit)?)?,
                        uncollected: Self::money("uncollected", self.uncollected)?,
                        reason: self.reason()?,
                        batch: self.batch_if_any()?,
                    }
                }
                "pay_out" => {
                    let wallet = self.wallet()?;
                    let (bank, shares) = self.shares(wallet, true)?;
                    Record::PaidOut { wallet, bank, shares }
                }
                "return" => {
                    let wallet = self.wallet()?;
                    let (bank, shares) = self.shares(wallet, false)?;
                    let pay_out = self.pay_out.ok_or(LeafError::Member("pay_out"))?;
                    Record::Returned { wallet, bank, pay_out, shares }
                }
                "programme_funded" => {
                    let programme = self.programme()?;
                    let credit = Account::System(SystemAccount::Funding(programme));
                    let posting = self.single(Account::System(SystemAccount::Backing), credit)?;
                    let reference = self.bank_reference.as_deref().unwrap_or_default();
                    Record::ProgrammeFunded {
                        programme,
                        amount: Self::amount(posting)?,
                        bank_reference: member("bank_reference", BankReference::parse(reference))?,
                    }
                }
                "programme_registered" => {
                    let code = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
                    Record::ProgrammeRegistered(Box::new(ProgrammeSpec {
                        code: self.programme()?,
                        names: self.names.clone().ok_or(LeafError::Member("names"))?,
                        payer: member("payer", Bin::parse(&code(self.payer)))?,
                        legal_basis: member(
                            "legal_basis",
                            LegalBasis::parse(self.legal_basis.as_deref().unwrap_or_default()),
                        )?,
                        class: self.class()?,
                        knp: self.knp.map(|text| member("knp", Knp::parse(text.as_bytes()))).transpose()?,
                        kbe: self.kbe.map(|text| member("kbe", Kbe::parse(text.as_bytes()))).transpose()?,
                        iso_purpose: self
                            .iso_purpose
                            .map(|text| member("iso_purpose", IsoPurpose::parse(text.as_bytes())))
                            .transpose()?,
                    }))
                }
                "batch_opened" => Record::BatchOpened(Box::new(self.declaration()?)),
                "batch_released" => Record::BatchReleased { batch: self.batch_id()? },
                "batch_closed" => Record::BatchClosed {
                    batch: self.batch_id()?,
                    completed: match self.outcome {
                        Some("completed") => true,
                        Some("incomplete") => false,
                        _ => return Err(LeafError::Member("outcome")),
                    },
                    totals: self.totals()?,
                },
                "batch_cancelled" => {
                    Record::BatchCancelled { batch: self.batch_id()?, totals: self.totals()? }
                }
                "origin_declared" => Record::OriginDeclared {
                    origin: self.origin.ok_or(LeafError::Member("origin"))?.to_owned(),
                    lost: Box::new(LostCheckpoint {
                        origin: self.lost_origin.ok_or(LeafError::Member("lost_origin"))?.to_owned(),
                        size: self.lost_size.ok_or(LeafError::Member("lost_size"))?,
                        root: digest("lost_root", self.lost_root)?,
                        note_sha256: digest("lost_note", self.lost_note)?,
                    }),
                },
                "log_key_rotated" => {
                    let signature = member("signature", BASE64.decode(self.signature.unwrap_or_default()))?;
                    Record::LogKeyRotated {
                        old: self.old_key.ok_or(LeafError::Member("old_key"))?.to_owned(),
                        new: self.new_key.ok_or(LeafError::Member("new_key"))?.to_owned(),
                        signature: Box::new(member("signature", signature.try_into())?),
                    }
                }
                "book_opened" => Record::BookOpened,
                "programme_class_changed" => {
                    Record::ProgrammeClassChanged { programme: self.programme()?, class: self.class()? }
                }
                _ => self.change()?.into(),
            })
        }

        /// The record of a kind that reads its own members.
        fn own_record(&self, mut own: Map<String, Value>) -> Result<Record, LeafError> {
            let of_its_kind = |_: serde_json::Error| LeafError::Member("of its kind");
            if PaymentRecord::KINDS.contains(&self.kind) {
                return Ok(PaymentRecord::of_members(self.kind, own).map_err(of_its_kind)?.into());
            }
            if PersonRecord::KINDS.contains(&self.kind) {
                return Ok(PersonRecord::of_members(self.kind, own).map_err(of_its_kind)?.into());
            }
            if OrderRecord::KINDS.contains(&self.kind) {
                return Ok(OrderRecord::of_members(self.kind, own).map_err(of_its_kind)?.into());
            }
            own.insert("kind".into(), Value::String(self.kind.to_owned()));
            if ChoiceRecord::KINDS.contains(&self.kind) {
                let record: ChoiceRecord = serde_json::from_value(Value::Object(own)).map_err(of_its_kind)?;
                return Ok(record.into());
            }
            let record: StateRecord = serde_json::from_value(Value::Object(own)).map_err(of_its_kind)?;
            Ok(record.into())
        }

        /// What the leaf says of who may call.
        fn change(&self) -> Result<Change, LeafError> {
            Ok(match self.kind {
                "operators_bootstrapped" => Change::OperatorsBootstrapped {
                    operators: self.operators.clone().ok_or(LeafError::Member("operators"))?,
                },
                "client_registered" => Change::ClientRegistered {
                    client: self.client()?,
                    role: member("role", Role::parse(self.role.unwrap_or_default()))?,
                    bin: self.bin.map(|text| member("bin", Bin::parse(text.as_bytes()))).transpose()?,
                    bic: self.bic.map(|text| member("bic", Bic::parse(text.as_bytes()))).transpose()?,
                    issuer: self.issuer.map(|text| member("issuer", Issuer::parse(text))).transpose()?,
                },
                "client_key_added" => Change::ClientKeyAdded {
                    client: self.client()?,
                    key: self.key()?,
                    public_key: member("public_key", PublicKey::parse(self.public_key.unwrap_or_default()))?,
                },
                "client_key_revoked" => Change::ClientKeyRevoked { key: self.key()? },
                "client_suspended" => {
                    Change::ClientSuspended { client: self.client()?, reason: self.reason()? }
                }
                "client_reinstated" => {
                    Change::ClientReinstated { client: self.client()?, reason: self.reason()? }
                }
                "approval_requested" => Change::ApprovalRequested {
                    proposal: self.proposal.clone().ok_or(LeafError::Member("proposal"))?,
                    digest: digest("digest", self.digest)?,
                    expires: parse_rfc3339(self.expires.unwrap_or_default())
                        .ok_or(LeafError::Member("expires"))?,
                },
                "approval_given" => Change::ApprovalGiven {
                    approval: self.approval()?,
                    digest: digest("digest", self.digest)?,
                },
                "approval_closed" => Change::ApprovalClosed {
                    approval: self.approval()?,
                    outcome: match self.outcome {
                        Some("refused") => ApprovalOutcome::Refused,
                        Some("withdrawn") => ApprovalOutcome::Withdrawn,
                        _ => return Err(LeafError::Member("outcome")),
                    },
                    reason: self.reason()?,
                },
                "limits_set" => Change::LimitsSet { limits: self.limits.ok_or(LeafError::Member("limits"))? },
                _ => return Err(LeafError::Kind),
            })
        }

        fn client(&self) -> Result<ClientId, LeafError> {
            member("client", ClientId::parse(self.client.unwrap_or_default()))
        }

        fn key(&self) -> Result<KeyId, LeafError> {
            member("key", KeyId::parse(self.key.unwrap_or_default()))
        }

        fn approval(&self) -> Result<u64, LeafError> {
            self.approval.ok_or(LeafError::Member("approval"))
        }

        fn declaration(&self) -> Result<BatchDeclaration, LeafError> {
            let not_before = self
                .not_before
                .map(|text| crate::domain::time::parse_rfc3339(text).ok_or(LeafError::Member("not_before")));
            Ok(BatchDeclaration {
                batch: self.batch_id()?,
                kind: LineKind::from_name(self.batch_kind.unwrap_or_default())
                    .ok_or(LeafError::Member("batch_kind"))?,
                payer: member("payer", Bin::parse(self.payer.unwrap_or_default().as_bytes()))?,
                programmes: self
                    .programmes
                    .iter()
                    .map(|text| member("programmes", ProgrammeCode::parse(text.as_bytes())))
                    .collect::<Result<_, _>>()?,
                periods: self
                    .periods
                    .iter()
                    .map(|text| member("periods", Period::parse(text.as_bytes())))
                    .collect::<Result<_, _>>()?,
                lines: self.lines.ok_or(LeafError::Member("lines"))?,
                total: Self::money("total", self.total)?,
                not_before: not_before.transpose()?,
                release_required: self.release_required.ok_or(LeafError::Member("release_required"))?,
            })
        }
    }

    impl LeafPosting<'_> {
        fn is_between(&self, debit: Account, credit: Account) -> bool {
            Account::parse(self.debit) == Some(debit) && Account::parse(self.credit) == Some(credit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Amount, BankReference, BatchId, Bic, Bin, ClientId, FundClass, IsoPurpose, Kbe, KeyId, Knp,
        LegalBasis, Money, Names, Part, Period, ProgrammeCode, PublicKey, Reason, Role, Text, WalletId,
    };
    use crate::ledger::record::{BatchDeclaration, BatchTotals, LostCheckpoint, LotShare, ProgrammeSpec};
    use crate::ledger::registry::{ApprovalOutcome, Change};
    use crate::payroll::LineKind;

    fn writer() -> LeafWriter {
        let mut writer =
            LeafWriter::new(BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap(), &[9; 32]);
        writer.stamp(Stamp::of(1_795_294_280_123).unwrap());
        writer
    }

    fn bulk() -> Actor {
        let client = ClientId::parse("pipeline").unwrap();
        Actor { client, request: [0xab; 32], line: Some(17), instruction: None }
    }

    fn single() -> Actor {
        Actor { line: None, instruction: Some([0x0c; 16]), ..bulk() }
    }

    fn wallet() -> WalletId {
        WalletId::parse("6f968d5c-95f5-8f3b-9e2c-2f6d3a1b4c5d").unwrap()
    }

    fn batch() -> BatchId {
        BatchId::parse("0e2b6c1a-7d0f-8a43-8f0e-1c2d3e4f5a6b").unwrap()
    }

    fn accrual(period: &str, amount: &str, batch: Option<BatchId>) -> Record {
        Record::Accrued {
            wallet: wallet(),
            programme: ProgrammeCode::parse(b"ASP").unwrap(),
            period: Period::parse(period.as_bytes()).unwrap(),
            part: Part::new(999).unwrap(),
            amount: Amount::parse(amount.as_bytes()).unwrap(),
            class: FundClass::Protected,
            batch,
        }
    }

    /// One of every kind, with awkward text where text may be.
    fn records() -> Vec<Record> {
        let programme = ProgrammeCode::parse(b"ASP").unwrap();
        let shares = vec![
            LotShare { lot: 5, amount: Amount::parse(b"1.05").unwrap() },
            LotShare { lot: 9, amount: Amount::parse(b"200").unwrap() },
        ];
        let totals = BatchTotals {
            received_lines: 9,
            received_total: 12_345,
            accepted_lines: 7,
            accepted_total: 12_000,
        };
        let bank = Bic::parse(b"CASPKZKA").unwrap();
        let reason = Reason::parse("төленді \u{2028} «екі рет» \"\\/ é").unwrap();
        vec![
            Record::BookOpened,
            Record::ProgrammeRegistered(Box::new(ProgrammeSpec {
                code: programme,
                names: Names {
                    kk: Text::parse("Атаулы әлеуметтік көмек").unwrap(),
                    ru: Text::parse("Адресная \"социальная\" помощь").unwrap(),
                    en: Text::parse("Targeted social assistance").unwrap(),
                },
                payer: Bin::parse(b"940140000385").unwrap(),
                legal_basis: LegalBasis::parse("Social Code, art. 1 \\ 2").unwrap(),
                class: FundClass::General,
                knp: Some(Knp::parse(b"038").unwrap()),
                kbe: Some(Kbe::parse(b"19").unwrap()),
                iso_purpose: Some(IsoPurpose::parse(b"SSBE").unwrap()),
            })),
            Record::ProgrammeFunded {
                programme,
                amount: Amount::MAX,
                bank_reference: BankReference::parse("MF/2026-11 №7").unwrap(),
            },
            Record::WalletOpened { wallet: wallet(), person: [0xcd; 32] },
            accrual("2026-11", "12345.67", Some(batch())),
            accrual("once", "0.01", None),
            Record::Reversed {
                wallet: wallet(),
                programme,
                period: Period::Once,
                part: Part::FIRST,
                share: shares[0],
                uncollected: Money::ZERO,
                reason,
                batch: Some(batch()),
            },
            Record::PaidOut { wallet: wallet(), bank, shares: shares.clone() },
            Record::Returned { wallet: wallet(), bank, pay_out: 77, shares },
            Record::BatchOpened(Box::new(BatchDeclaration {
                batch: batch(),
                kind: LineKind::WalletOpening,
                payer: Bin::parse(b"940140000385").unwrap(),
                programmes: vec![programme],
                periods: vec![Period::Once, Period::parse(b"2026-11").unwrap()],
                lines: 10,
                total: Money::from_tiyn(1_000).unwrap(),
                not_before: Some(1_795_294_280_000),
                release_required: true,
            })),
            Record::BatchReleased { batch: batch() },
            Record::ChunkReceived { batch: batch(), first_line: 1, lines: 9, verdicts: [0xef; 32], totals },
            Record::BatchClosed { batch: batch(), completed: true, totals },
            Record::BatchClosed { batch: batch(), completed: false, totals },
            Record::BatchCancelled { batch: batch(), totals },
            Record::OriginDeclared {
                origin: "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc964ff/2".into(),
                lost: Box::new(LostCheckpoint {
                    origin: "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc964ff".into(),
                    size: 12_345,
                    root: [0x1f; 32],
                    note_sha256: [0x2e; 32],
                }),
            },
            Record::LogKeyRotated {
                old: "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc964ff+530a1e8c+AbCd/+==".into(),
                new: "social-wallet/6f9619ff-8b86-4d01-b42d-00cf4fc964ff+0d0a1e8c+AbCe/+==".into(),
                signature: Box::new([0xfb; 64]),
            },
            Record::ProgrammeClassChanged { programme, class: FundClass::General },
        ]
        .into_iter()
        .chain(changes().into_iter().map(Record::from))
        .collect()
    }

    /// One of every kind that says who may call.
    fn changes() -> Vec<Change> {
        let key = |text| PublicKey::parse(text).unwrap();
        let public_key = key("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let other = key("PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=");
        let client = ClientId::parse("op-1").unwrap();
        let bin = Bin::parse(b"940140000385").unwrap();
        let bic = Bic::parse(b"CASPKZKA").unwrap();
        let reason = Reason::parse("кілт жоғалды \"бүгін\"").unwrap();
        let programme = ProgrammeCode::parse(b"ASP").unwrap();
        let proposals = [
            Proposal::RegisterClient {
                client,
                role: Role::Authority,
                bin: Some(bin),
                bic: None,
                issuer: Some(crate::domain::Issuer::Bailiff),
            },
            Proposal::AddKey { client, public_key },
            Proposal::ChangeClass { programme, class: FundClass::Protected },
            Proposal::Fund {
                programme,
                amount: Amount::MAX,
                bank_reference: BankReference::parse("MF/2026-11 \"№7\"").unwrap(),
            },
            Proposal::MergeWallets {
                wallet: WalletId::from_uuid(uuid::Uuid::from_u128(1)),
                merged: WalletId::from_uuid(uuid::Uuid::from_u128(2)),
                document: crate::domain::Text::parse("act \"7\"").unwrap(),
            },
            Proposal::AddNumber {
                wallet: WalletId::from_uuid(uuid::Uuid::from_u128(1)),
                leads: WalletId::from_uuid(uuid::Uuid::from_u128(3)),
                person: [7; 32],
                document: crate::domain::Text::parse("certificate 12").unwrap(),
            },
        ];
        let requested = proposals.into_iter().map(|proposal| Change::ApprovalRequested {
            digest: proposal.digest(),
            proposal,
            expires: 1_795_294_280_123,
        });
        let closed = [ApprovalOutcome::Refused, ApprovalOutcome::Withdrawn];
        let closed =
            closed.map(|outcome| Change::ApprovalClosed { approval: 7, outcome, reason: reason.clone() });
        let operators = vec![
            Founder { client, public_key },
            Founder { client: ClientId::parse("op-2").unwrap(), public_key: other },
        ];
        let mut changes = vec![
            Change::OperatorsBootstrapped { operators },
            Change::ClientRegistered { client, role: Role::Operator, bin: None, bic: None, issuer: None },
            Change::ClientRegistered { client, role: Role::Payer, bin: Some(bin), bic: None, issuer: None },
            Change::ClientRegistered { client, role: Role::Bank, bin: None, bic: Some(bic), issuer: None },
            Change::ClientKeyAdded { client, key: KeyId::of(client, &public_key), public_key },
            Change::ClientKeyRevoked { key: KeyId::of(client, &public_key) },
            Change::ClientSuspended { client, reason: reason.clone() },
            Change::ClientReinstated { client, reason: reason.clone() },
            Change::ApprovalGiven { approval: 1 << 40, digest: [0x4d; 32] },
        ];
        changes.extend(requested);
        changes.extend(closed);
        changes
    }

    #[test]
    fn every_leaf_is_canonical_json_and_reads_back_as_its_record() {
        for (seq, record) in (0u64..).zip(records()) {
            for actor in [bulk(), single()] {
                let mut bytes = Vec::new();
                writer().write(&mut bytes, seq, &record, &actor);
                let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                let canonical = serde_jcs::to_vec(&value).unwrap();
                assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&canonical));
                let leaf = Leaf::read(&bytes).unwrap();
                assert_eq!((leaf.seq, leaf.v, leaf.currency), (seq, 1, "KZT"));
                assert_eq!(leaf.stamp().unwrap().at, 1_795_294_280_123);
                assert_eq!(leaf.actor().unwrap(), actor);
                assert_eq!(leaf.record().unwrap(), record);
            }
        }
    }

    #[test]
    fn the_accrual_written_by_hand_is_what_the_general_writer_writes() {
        for record in [accrual("2026-11", "12345.67", Some(batch())), accrual("once", "0.10", None)] {
            for actor in [bulk(), single(), Actor { instruction: None, ..single() }] {
                let mut bytes = Vec::new();
                writer().write(&mut bytes, 1_234_567, &record, &actor);
                let mut map: serde_json::Map<_, _> = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(map.remove("actor"), Some(actor_members(&actor)));
                for common in ["at", "blind", "book", "currency", "date", "kind", "seq", "v"] {
                    assert!(map.remove(common).is_some(), "{common} is in every leaf");
                }
                assert_eq!(map, record.members());
            }
        }
    }

    #[test]
    fn blinds_differ_by_entry_and_by_key() {
        let other = LeafWriter::new(BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap(), &[8; 32]);
        assert_ne!(writer().blind(1), writer().blind(2));
        assert_ne!(writer().blind(1), other.blind(1));
    }

    #[test]
    fn what_is_not_a_leaf_is_refused_without_repeating_it() {
        let mut bytes = Vec::new();
        writer().write(&mut bytes, 3, &accrual("once", "5", None), &single());
        let text = String::from_utf8(bytes).unwrap();
        let read = |text: &str| Leaf::read(text.as_bytes()).and_then(|leaf| leaf.record()).unwrap_err();
        assert!(matches!(read("{}"), LeafError::Json(_)));
        assert_eq!(read(&text.replace("\"v\":1", "\"v\":2")), LeafError::Version);
        assert_eq!(read(&text.replace("\"kind\":\"accrual\"", "\"kind\":\"gift\"")), LeafError::Kind);
        assert_eq!(read(&text.replace("funding:ASP", "funding:BIRTH")), LeafError::Member("postings"));
        assert_eq!(
            read(&text.replace("\"amount\":\"5.00\"", "\"amount\":\"0.00\"")),
            LeafError::Member("postings.amount")
        );
        assert!(matches!(read(&text.replace("\"v\":1", "\"v\":1,\"x\":1")), LeafError::Json(_)));
    }
}
