//! What happened, as the journal tells it: the kinds of entry and what each one says.
//!
//! A record is decided by the rules, applied to the books, and written as a leaf of the log. It carries everything that
//! the books need to be rebuilt, and nothing of a person but the wallet's id and the keyed tag. It depends on the books
//! only through what the rules decided, so that replaying records gives the same books again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{
    Amount, BankReference, BatchId, Bic, Bin, ClientId, FundClass, IsoPurpose, Kbe, Knp, LegalBasis, Money,
    Names, Part, Period, ProgrammeCode, Reason, WalletId,
};
use crate::payroll::LineKind;

use super::account::{Account, SystemAccount};
use super::choice::ChoiceRecord;
use super::order::OrderRecord;
use super::payment::PaymentRecord;
use super::person::PersonRecord;
use super::registry::Change;
use super::state::StateRecord;

/// What a programme is: the data a ministry can change, never code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgrammeSpec {
    /// The programme's code.
    pub code: ProgrammeCode,
    /// Its names in Kazakh, Russian and English.
    pub names: Names,
    /// Who pays it.
    pub payer: Bin,
    /// The law it rests on.
    pub legal_basis: LegalBasis,
    /// Whether its money is shielded.
    pub class: FundClass,
    /// Payment purpose code, where the payer uses one.
    pub knp: Option<Knp>,
    /// Beneficiary code, where the payer uses one.
    pub kbe: Option<Kbe>,
    /// ISO 20022 external purpose code, where there is one.
    pub iso_purpose: Option<IsoPurpose>,
}

/// Who asked, with what request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The client.
    pub client: ClientId,
    /// SHA-256 of the request's body; of the chunk's, for a bulk line.
    pub request: [u8; 32],
    /// The line's number in its batch, for a bulk line.
    pub line: Option<u64>,
    /// Hash of (client, idempotency key), for a single instruction: bound to this entry for ever.
    pub instruction: Option<[u8; 16]>,
}

/// A piece of a posting on a wallet: how much of which lot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LotShare {
    /// The journal entry that made the lot.
    pub lot: u64,
    /// How much.
    pub amount: Amount,
}

/// What a batch declared when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchDeclaration {
    /// The batch's id, chosen by who opens it.
    pub batch: BatchId,
    /// What its lines are.
    pub kind: LineKind,
    /// Who pays (accruals and reversals).
    pub payer: Bin,
    /// The programmes its lines may name, sorted; empty for openings.
    pub programmes: Vec<ProgrammeCode>,
    /// The periods its lines may name, sorted; empty for openings.
    pub periods: Vec<Period>,
    /// How many lines will come.
    pub lines: u64,
    /// Σ of the amounts of all lines, refused ones included; zero where lines have no amount.
    pub total: Money,
    /// No line moves before this time, UTC milliseconds.
    pub not_before: Option<i64>,
    /// Whether a second person must release the batch before any line moves.
    pub release_required: bool,
}

/// What a batch has received and accepted. Counts of lines and sums of tiyn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchTotals {
    /// Lines received, refused ones included.
    pub received_lines: u64,
    /// Σ of the readable amounts of the received lines.
    pub received_total: i64,
    /// Lines accepted.
    pub accepted_lines: u64,
    /// Σ of what the accepted lines moved.
    pub accepted_total: i64,
}

impl BatchTotals {
    /// Lines whose latest verdict is a refusal.
    #[must_use]
    pub fn refused_lines(&self) -> u64 {
        self.received_lines - self.accepted_lines
    }
}

/// A signed checkpoint that the store no longer holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostCheckpoint {
    /// Its origin.
    pub origin: String,
    /// How many entries its tree had.
    pub size: u64,
    /// The root of its tree.
    pub root: [u8; 32],
    /// SHA-256 of the signed note, to the byte.
    pub note_sha256: [u8; 32],
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// The book was opened: always entry 0.
    BookOpened,
    /// A programme was registered.
    ProgrammeRegistered(Box<ProgrammeSpec>),
    /// The treasury placed money for a programme: Dr backing, Cr funding.
    ProgrammeFunded {
        /// For which programme.
        programme: ProgrammeCode,
        /// How much.
        amount: Amount,
        /// The bank payment that brought it.
        bank_reference: BankReference,
    },
    /// A wallet was opened for a person.
    WalletOpened {
        /// The wallet.
        wallet: WalletId,
        /// The person's tag.
        person: [u8; 32],
    },
    /// A benefit was credited: Dr funding, Cr wallet.
    Accrued {
        /// To whom.
        wallet: WalletId,
        /// Of which programme.
        programme: ProgrammeCode,
        /// For which period.
        period: Period,
        /// Which entitlement within the period.
        part: Part,
        /// How much.
        amount: Amount,
        /// Whether it is shielded: the programme's class at this moment.
        class: FundClass,
        /// The batch it came in, if any.
        batch: Option<BatchId>,
    },
    /// The payer took back what was left of an accrual: Dr wallet, Cr funding.
    Reversed {
        /// From whom.
        wallet: WalletId,
        /// Of which programme.
        programme: ProgrammeCode,
        /// For which period.
        period: Period,
        /// Which entitlement within the period.
        part: Part,
        /// How much of which lot.
        share: LotShare,
        /// What could not be taken back because it was gone.
        uncollected: Money,
        /// Why.
        reason: Reason,
        /// The batch it came in, if any.
        batch: Option<BatchId>,
    },
    /// Money left to a bank: Dr wallet, Cr clearing, lot by lot.
    PaidOut {
        /// From whom.
        wallet: WalletId,
        /// To which bank.
        bank: Bic,
        /// How much of which lots.
        shares: Vec<LotShare>,
    },
    /// Money came back from a bank, to the lots it had left: Dr clearing, Cr wallet.
    Returned {
        /// To whom.
        wallet: WalletId,
        /// From which bank.
        bank: Bic,
        /// The entry of the pay-out that comes back.
        pay_out: u64,
        /// How much to which lots.
        shares: Vec<LotShare>,
    },
    /// A batch was opened.
    BatchOpened(Box<BatchDeclaration>),
    /// A second person released a batch.
    BatchReleased {
        /// Which.
        batch: BatchId,
    },
    /// A chunk of a batch was received; its accepted lines are the entries before this one.
    ChunkReceived {
        /// Of which batch.
        batch: BatchId,
        /// The number of its first line.
        first_line: u64,
        /// How many lines it has.
        lines: u32,
        /// SHA-256 of its stored verdicts.
        verdicts: [u8; 32],
        /// The batch after it.
        totals: BatchTotals,
    },
    /// A batch was closed: completed if all declared lines and the declared total were received, else incomplete.
    BatchClosed {
        /// Which.
        batch: BatchId,
        /// Whether it is complete.
        completed: bool,
        /// The batch at this moment.
        totals: BatchTotals,
    },
    /// A batch was cancelled: it takes no more; what was accepted stays.
    BatchCancelled {
        /// Which.
        batch: BatchId,
        /// The batch at this moment.
        totals: BatchTotals,
    },
    /// The store was found without a checkpoint that had been signed, and an operator declared a new origin: checkpoints
    /// of larger trees than this entry's number carry it.
    OriginDeclared {
        /// The new origin.
        origin: String,
        /// What was lost.
        lost: Box<LostCheckpoint>,
    },
    /// The log's key was replaced: checkpoints of larger trees than this entry's number carry a line of the new one.
    LogKeyRotated {
        /// The key so far, as a C2SP vkey.
        old: String,
        /// The key from now on, as a C2SP vkey.
        new: String,
        /// The old key's Ed25519 signature over the statement that names both.
        signature: Box<[u8; 64]>,
    },
    /// The class of what a programme credits was changed. Lots keep theirs.
    ProgrammeClassChanged {
        /// Of which programme.
        programme: ProgrammeCode,
        /// From now on.
        class: FundClass,
    },
    /// Something happened to money on its way out.
    Payment(Box<PaymentRecord>),
    /// A wallet's state was changed by an operator.
    State(Box<StateRecord>),
    /// A holder chose where benefits go, or a choice could not be followed.
    Choice(Box<ChoiceRecord>),
    /// A person's number was replaced, or two wallets of one person were merged.
    Person(Box<PersonRecord>),
    /// Something happened to an order, or to the rules that orders are decided by.
    Order(Box<OrderRecord>),
    /// Who may call was changed, or what takes two was asked for, approved, or given up.
    Registry(Box<Change>),
}

#[allow(clippy::needless_pass_by_value)] // values and references alike
fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

fn posting(debit: Account, credit: Account, amount: Amount, lot: Option<u64>) -> Value {
    let mut map = Map::new();
    map.insert("amount".into(), text(amount));
    map.insert("credit".into(), text(credit));
    map.insert("debit".into(), text(debit));
    if let Some(lot) = lot {
        map.insert("lot".into(), json!(lot));
    }
    Value::Object(map)
}

fn shares(debit: Account, credit: Account, shares: &[LotShare]) -> Value {
    Value::Array(shares.iter().map(|share| posting(debit, credit, share.amount, Some(share.lot))).collect())
}

fn totals_members(map: &mut Map<String, Value>, totals: &BatchTotals) {
    map.insert("received_lines".into(), json!(totals.received_lines));
    map.insert("received_total".into(), text(money(totals.received_total)));
    map.insert("accepted_lines".into(), json!(totals.accepted_lines));
    map.insert("accepted_total".into(), text(money(totals.accepted_total)));
    map.insert("refused_lines".into(), json!(totals.refused_lines()));
}

fn money(tiyn: i64) -> Money {
    Money::from_tiyn(tiyn).expect("sums of a batch are sums of amounts: never negative")
}

impl Record {
    /// The record's name in the journal.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BookOpened => "book_opened",
            Self::ProgrammeRegistered(_) => "programme_registered",
            Self::ProgrammeFunded { .. } => "programme_funded",
            Self::WalletOpened { .. } => "wallet_opened",
            Self::Accrued { .. } => "accrual",
            Self::Reversed { .. } => "reversal",
            Self::PaidOut { .. } => "pay_out",
            Self::Returned { .. } => "return",
            Self::BatchOpened(_) => "batch_opened",
            Self::BatchReleased { .. } => "batch_released",
            Self::ChunkReceived { .. } => "chunk_received",
            Self::BatchClosed { .. } => "batch_closed",
            Self::BatchCancelled { .. } => "batch_cancelled",
            Self::OriginDeclared { .. } => "origin_declared",
            Self::LogKeyRotated { .. } => "log_key_rotated",
            Self::ProgrammeClassChanged { .. } => "programme_class_changed",
            Self::Payment(record) => record.kind(),
            Self::State(record) => record.kind(),
            Self::Choice(record) => record.kind(),
            Self::Person(record) => record.kind(),
            Self::Order(record) => record.kind(),
            Self::Registry(change) => change.kind(),
        }
    }

    /// The members that this kind of record adds to its leaf, beside those that every leaf has.
    #[must_use]
    #[allow(clippy::too_many_lines)] // one arm a kind, each a plain list: read top to bottom
    pub fn members(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        match self {
            Self::BookOpened => {
                put("business_time_zone", text("Asia/Almaty"));
            }
            Self::ProgrammeRegistered(spec) => {
                put("programme", text(spec.code));
                put("names", json!({"kk": spec.names.kk, "ru": spec.names.ru, "en": spec.names.en}));
                put("payer", text(spec.payer));
                put("legal_basis", json!(spec.legal_basis));
                put("class", json!(spec.class));
                if let Some(knp) = &spec.knp {
                    put("knp", json!(knp));
                }
                if let Some(kbe) = &spec.kbe {
                    put("kbe", json!(kbe));
                }
                if let Some(purpose) = &spec.iso_purpose {
                    put("iso_purpose", json!(purpose));
                }
            }
            Self::ProgrammeFunded { programme, amount, bank_reference } => {
                put("programme", text(programme));
                put("bank_reference", json!(bank_reference));
                let credit = Account::System(SystemAccount::Funding(*programme));
                let debit = Account::System(SystemAccount::Backing);
                put("postings", json!([posting(debit, credit, *amount, None)]));
            }
            Self::WalletOpened { wallet, person } => {
                put("wallet", text(wallet));
                put("person", Value::String(hex::encode(person)));
            }
            Self::Accrued { wallet, programme, period, part, amount, class, batch } => {
                put("wallet", text(wallet));
                put("programme", text(programme));
                put("period", text(period));
                put("part", json!(part.get()));
                put("class", json!(class));
                if let Some(batch) = batch {
                    put("batch", text(batch));
                }
                let debit = Account::System(SystemAccount::Funding(*programme));
                put("postings", json!([posting(debit, Account::Wallet(*wallet), *amount, None)]));
            }
            Self::Reversed { wallet, programme, period, part, share, uncollected, reason, batch } => {
                put("wallet", text(wallet));
                put("programme", text(programme));
                put("period", text(period));
                put("part", json!(part.get()));
                put("uncollected", text(uncollected));
                put("reason", json!(reason));
                if let Some(batch) = batch {
                    put("batch", text(batch));
                }
                let credit = Account::System(SystemAccount::Funding(*programme));
                put("postings", shares(Account::Wallet(*wallet), credit, std::slice::from_ref(share)));
            }
            Self::PaidOut { wallet, bank, shares: parts } => {
                put("wallet", text(wallet));
                let credit = Account::System(SystemAccount::Clearing(*bank));
                put("postings", shares(Account::Wallet(*wallet), credit, parts));
            }
            Self::Returned { wallet, bank, pay_out, shares: parts } => {
                put("wallet", text(wallet));
                put("pay_out", json!(pay_out));
                let debit = Account::System(SystemAccount::Clearing(*bank));
                put("postings", shares(debit, Account::Wallet(*wallet), parts));
            }
            Self::BatchOpened(declaration) => {
                put("batch", text(declaration.batch));
                put("batch_kind", json!(declaration.kind));
                put("payer", text(declaration.payer));
                put("programmes", declaration.programmes.iter().map(text).collect());
                put("periods", declaration.periods.iter().map(text).collect());
                put("lines", json!(declaration.lines));
                put("total", text(declaration.total));
                if let Some(not_before) = declaration.not_before {
                    put("not_before", Value::String(crate::domain::time::rfc3339(not_before)));
                }
                put("release_required", json!(declaration.release_required));
            }
            Self::BatchReleased { batch } => put("batch", text(batch)),
            Self::ChunkReceived { batch, first_line, lines, verdicts, totals } => {
                put("batch", text(batch));
                put("first_line", json!(first_line));
                put("lines", json!(lines));
                put("verdicts", Value::String(hex::encode(verdicts)));
                totals_members(&mut map, totals);
            }
            Self::BatchClosed { batch, completed, totals } => {
                put("batch", text(batch));
                put("outcome", text(if *completed { "completed" } else { "incomplete" }));
                totals_members(&mut map, totals);
            }
            Self::BatchCancelled { batch, totals } => {
                put("batch", text(batch));
                totals_members(&mut map, totals);
            }
            Self::OriginDeclared { origin, lost } => {
                put("origin", json!(origin));
                put("lost_origin", json!(lost.origin));
                put("lost_size", json!(lost.size));
                put("lost_root", Value::String(hex::encode(lost.root)));
                put("lost_note", Value::String(hex::encode(lost.note_sha256)));
            }
            Self::LogKeyRotated { old, new, signature } => {
                put("old_key", json!(old));
                put("new_key", json!(new));
                put("signature", Value::String(BASE64.encode(signature.as_slice())));
            }
            Self::ProgrammeClassChanged { programme, class } => {
                put("programme", text(programme));
                put("class", json!(class));
            }
            Self::Payment(record) => map = record.members(),
            Self::State(record) => map = record.members(),
            Self::Choice(record) => map = record.members(),
            Self::Person(record) => map = record.members(),
            Self::Order(record) => map = record.members(),
            Self::Registry(change) => map = change.members(),
        }
        map
    }
}
