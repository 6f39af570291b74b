//! Commands: what may be asked of the ledger, parsed and typed, and what is answered.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::holder::HolderCommand;
use crate::domain::{
    Amount, BankReference, BatchId, Bic, Bin, ClientId, IdempotencyKey, Iin, KeyId, ProgrammeCode, PublicKey,
    Reason, Role, Scope, WalletId,
};
use crate::ledger::batch_rules::{Chunk, ChunkOutcome};
use crate::ledger::books::Bound;
use crate::ledger::cash_rules::Dispensed;
use crate::ledger::order_rules::Intake;
use crate::ledger::payment::{CashReference, Consent, Direction, Document, Owed, Terminal, Terms};
use crate::ledger::payment_rules::{Answer, Party};
use crate::ledger::record::{Actor, BatchDeclaration, LostCheckpoint, ProgrammeSpec, Record};
use crate::ledger::refusal::Refusal;
use crate::ledger::registry::{Founder, Proposal};
use crate::ledger::rules::{Accrual, Reversal};
use crate::ledger::signed::SignedRequest;
use crate::ledger::state::StateRecord;
use crate::log::merkle::Hash;

/// Something asked of the ledger.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Register a programme.
    RegisterProgramme(Box<ProgrammeSpec>),
    /// Place the treasury's money for a programme.
    Fund {
        /// For which.
        programme: ProgrammeCode,
        /// How much.
        amount: Amount,
        /// The bank payment that brought it.
        bank_reference: BankReference,
    },
    /// Open a wallet.
    OpenWallet {
        /// For whom.
        iin: Iin,
        /// The wallet that the number means.
        wallet: WalletId,
    },
    /// Credit one benefit.
    Accrue {
        /// What to credit.
        accrual: Accrual,
        /// To whom, in case the wallet is new.
        iin: Iin,
        /// Who pays.
        payer: Bin,
    },
    /// Take back what is left of one accrual.
    Reverse {
        /// What to take back.
        reversal: Reversal,
        /// Who pays.
        payer: Bin,
    },
    /// Pay out to a bank.
    PayOut {
        /// From which wallet.
        wallet: WalletId,
        /// To which bank.
        bank: Bic,
        /// How much.
        amount: Amount,
    },
    /// Credit what a bank returns of a pay-out.
    Return {
        /// The pay-out's entry.
        pay_out: u64,
        /// How much.
        amount: Amount,
    },
    /// Open a batch.
    OpenBatch(Box<BatchDeclaration>),
    /// Release a batch.
    ReleaseBatch(BatchId),
    /// Close a batch.
    CloseBatch(BatchId),
    /// Cancel a batch.
    CancelBatch(BatchId),
    /// Receive a chunk of a batch.
    Chunk(Box<Chunk>),
    /// Declare the origin that the log goes on under after a loss.
    DeclareOrigin {
        /// The new origin.
        origin: String,
        /// What was lost.
        lost: Box<LostCheckpoint>,
    },
    /// Replace the log's key.
    RotateLogKey {
        /// The key so far, as a vkey.
        old: String,
        /// The key from now on, as a vkey.
        new: String,
        /// The old key's signature over the rotation's statement.
        signature: Box<[u8; 64]>,
    },
    /// Change who may call, or do what takes two operators.
    Registry(RegistryCommand),
    /// Take money out of wallets, or say what became of it.
    Payment(PaymentCommand),
    /// Change a wallet's state.
    ChangeState(Box<StateRecord>),
    /// Choose where benefits go; add a person's number; merge two wallets of a person.
    Holder(HolderCommand),
    /// Decide orders against wallets, or say what became of them.
    Order(OrderCommand),
}

/// Something asked about orders against wallets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderCommand {
    /// Decide orders, at most [`ORDERS_MAX`], all of the client that asks: each is answered, in the order in which they stand here, by
    /// [`Outcome::Answers`]. They are decided by the precedence of their kinds, and of one kind in this order. It binds no
    /// instruction: an order's document does.
    Decide(Vec<Intake>),
    /// End orders whose time is over, by entry. What is not over, or has ended, is left alone.
    Expire(Vec<u64>),
    /// Book what was paid to an authority.
    SettleLevy {
        /// Which.
        authority: Bin,
        /// How much.
        amount: Amount,
        /// The payment that did it.
        bank_reference: BankReference,
    },
}

/// Orders that one command may bring.
pub const ORDERS_MAX: usize = 4_096;

/// Something asked about money on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PaymentCommand {
    /// A holder authorises payments.
    Authorise {
        /// From which wallet.
        wallet: WalletId,
        /// What it lets be done.
        terms: Terms,
        /// What shows that the holder was asked.
        consent: Consent,
        /// The destination, encrypted; empty for cash.
        sealed_destination: Vec<u8>,
    },
    /// Take an authorisation back.
    Revoke {
        /// Who speaks.
        by: Party,
        /// Its entry.
        authorisation: u64,
        /// Why.
        reason: Reason,
    },
    /// Request a transfer.
    Transfer {
        /// Who speaks.
        by: Party,
        /// Under which authorisation.
        authorisation: u64,
        /// How much.
        amount: Amount,
    },
    /// Take answers about transfers.
    Answer {
        /// Who speaks.
        by: Party,
        /// Each with its transfer's entry and the document of an operator.
        answers: Vec<(u64, Answer, Option<Document>)>,
    },
    /// Make a cash-out.
    CreateCash {
        /// Under which authorisation.
        authorisation: u64,
        /// How much.
        amount: Amount,
        /// The public reference.
        reference: CashReference,
        /// A keyed hash of reference and code.
        secret: [u8; 32],
        /// For how long, minutes.
        minutes: u32,
    },
    /// Try a code.
    Redeem {
        /// Whose agent.
        bank: Bic,
        /// Which cash-out.
        reference: CashReference,
        /// A keyed hash of reference and what was given as the code.
        attempt: [u8; 32],
        /// Where.
        terminal: Terminal,
    },
    /// Say what became of a reserved cash-out.
    Finish {
        /// Who speaks.
        by: Party,
        /// Which cash-out.
        reference: CashReference,
        /// What became of it.
        dispensed: Dispensed,
        /// The document of an operator.
        document: Option<Document>,
    },
    /// Take a cash-out back.
    CancelCash(CashReference),
    /// Release cash-outs whose time is over, by entry. What is not over any more is left alone.
    ExpireCash(Vec<u64>),
    /// Book what moved between banks.
    SettleClearing {
        /// Which bank.
        bank: Bic,
        /// For what.
        owed: Owed,
        /// Which way.
        direction: Direction,
        /// How much.
        amount: Amount,
        /// The payment between the banks.
        bank_reference: BankReference,
    },
}

impl PaymentCommand {
    /// The kind of the entry that it makes, and the members that it determines: (field, member, value). `None`: it binds no
    /// instruction.
    fn determines(&self) -> Option<(&'static str, Vec<Determined>)> {
        let text = |name: &'static str, value: String| (name, name, json!(value));
        let number = |name: &'static str, value: u64| (name, name, json!(value));
        let document = |document: &Option<Document>| ("document", "document", json!(document));
        Some(match self {
            Self::Authorise { wallet, terms, consent, .. } => (
                "authorisation_given",
                vec![
                    text("wallet", wallet.to_string()),
                    ("purpose", "purpose", json!(terms.purpose)),
                    ("amount", "ceiling", json!(terms.ceiling)),
                    ("standing", "standing", json!(terms.standing)),
                    text("expires", crate::domain::time::rfc3339(terms.expires)),
                    ("consent", "consent", json!(consent)),
                ],
            ),
            Self::Revoke { authorisation, reason, .. } => (
                "authorisation_revoked",
                vec![number("authorisation", *authorisation), text("reason", reason.to_string())],
            ),
            Self::Transfer { authorisation, amount, .. } => (
                "transfer_requested",
                vec![number("authorisation", *authorisation), ("amount", "amount", json!(amount))],
            ),
            Self::Answer { answers, .. } => {
                let [(transfer, answer, with)] = answers.as_slice() else { return None };
                let mut members = vec![number("transfer", *transfer), document(with)];
                let kind = match answer {
                    Answer::Sent => "transfer_sent",
                    Answer::Unknown => "transfer_unknown",
                    Answer::Settled => "transfer_settled",
                    Answer::Returned { amount, reference, reason } => {
                        members.push(text("reference", reference.to_string()));
                        members.push(text("reason", reason.to_string()));
                        members.extend(amount.map(|amount| text("amount", amount.to_string())));
                        "transfer_returned"
                    }
                };
                (kind, members)
            }
            Self::CreateCash { authorisation, amount, .. } => (
                "cash_created",
                vec![number("authorisation", *authorisation), ("amount", "amount", json!(amount))],
            ),
            Self::Redeem { bank, terminal, .. } => (
                "cash_reserved",
                vec![("bank", "agent", json!(bank)), text("terminal", terminal.to_string())],
            ),
            Self::Finish { dispensed, document: with, .. } => {
                let kind = match dispensed {
                    Dispensed::Captured => "cash_captured",
                    Dispensed::Reversed => "cash_released",
                    Dispensed::Unknown => "cash_unknown",
                };
                (kind, vec![document(with)])
            }
            Self::CancelCash(_) => ("cash_released", Vec::new()),
            Self::ExpireCash(_) => return None,
            Self::SettleClearing { bank, owed, direction, amount, bank_reference } => (
                "clearing_settled",
                vec![
                    ("bank", "agent", json!(bank)),
                    ("owed", "owed", json!(owed)),
                    ("direction", "direction", json!(direction)),
                    text("amount", amount.to_string()),
                    text("bank_reference", bank_reference.to_string()),
                ],
            ),
        })
    }

    /// The cash-out that it names.
    #[must_use]
    pub fn reference(&self) -> Option<CashReference> {
        match self {
            Self::Redeem { reference, .. } | Self::Finish { reference, .. } | Self::CancelCash(reference) => {
                Some(*reference)
            }
            _ => None,
        }
    }
}

/// Something asked of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryCommand {
    /// Give a new book its operators.
    Bootstrap(Vec<Founder>),
    /// Register a client.
    Register {
        /// Its id.
        client: ClientId,
        /// Its role.
        role: Role,
        /// What it may touch.
        scope: Scope,
    },
    /// Give a client a further key.
    AddKey {
        /// Whose.
        client: ClientId,
        /// The key.
        public_key: PublicKey,
    },
    /// Revoke a key.
    RevokeKey(KeyId),
    /// Suspend a client, or let it in again.
    SetSuspended {
        /// Which.
        client: ClientId,
        /// Which of the two.
        suspended: bool,
        /// Why.
        reason: Reason,
    },
    /// Ask another operator to approve.
    RequestApproval(Proposal),
    /// Approve what another operator asked for, and carry it out.
    GiveApproval {
        /// The request's entry.
        approval: u64,
        /// SHA-256 of what was asked for.
        digest: [u8; 32],
        /// The number that is to be added, if that is what was asked for: who approves gives it again.
        iin: Option<Iin>,
    },
    /// Refuse a request, or take back one's own.
    CloseApproval {
        /// The request's entry.
        approval: u64,
        /// Why.
        reason: Reason,
    },
}

impl RegistryCommand {
    /// The kind of the entry that it makes, and the members that it determines: (field, member, value).
    fn determines(&self) -> (&'static str, Vec<Determined>) {
        let text = |name: &'static str, value: String| (name, name, json!(value));
        match self {
            Self::Bootstrap(operators) => {
                ("operators_bootstrapped", vec![("operators", "operators", json!(operators))])
            }
            Self::Register { client, role, scope } => {
                let client = text("client", client.to_string());
                let bin = ("bin", "bin", json!(scope.bin()));
                let bic = ("bic", "bic", json!(scope.bic()));
                let issuer = ("issuer", "issuer", json!(scope.issuer()));
                ("client_registered", vec![client, text("role", role.to_string()), bin, bic, issuer])
            }
            Self::AddKey { client, public_key } => {
                let key = text("public_key", public_key.to_string());
                ("client_key_added", vec![text("client", client.to_string()), key])
            }
            Self::RevokeKey(key) => ("client_key_revoked", vec![text("key", key.to_string())]),
            Self::SetSuspended { client, suspended, reason } => {
                let kind = if *suspended { "client_suspended" } else { "client_reinstated" };
                (kind, vec![text("client", client.to_string()), text("reason", reason.to_string())])
            }
            Self::RequestApproval(proposal) => {
                ("approval_requested", vec![("proposal", "digest", json!(hex::encode(proposal.digest())))])
            }
            Self::GiveApproval { approval, digest, .. } => {
                let approval = ("approval", "approval", json!(approval));
                ("approval_given", vec![approval, text("digest", hex::encode(digest))])
            }
            Self::CloseApproval { approval, reason } => {
                let approval = ("approval", "approval", json!(approval));
                ("approval_closed", vec![approval, text("reason", reason.to_string())])
            }
        }
    }
}

/// A field of a command, the member of its entry, and the member's value.
pub(super) type Determined = (&'static str, &'static str, Value);

/// What a command made.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// A journal entry.
    Entry(EntryView),
    /// Verdicts on a chunk's lines.
    Chunk(ChunkOutcome),
    /// An entry for each answer about a transfer, or for each order, or why there is none.
    Answers(Vec<Result<EntryView, Refusal>>),
}

/// A journal entry as the API shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct EntryView {
    /// Its number.
    pub seq: u64,
    /// Whether it was made by an earlier request with the same key.
    pub replayed: bool,
    /// The hash of its leaf; `None` for an entry that is only rehearsed.
    pub leaf_hash: Option<Hash>,
    /// Its members, without those that only the log needs.
    pub members: Map<String, Value>,
}

impl EntryView {
    /// The view of a leaf's members, without its hash.
    #[must_use]
    pub fn of_leaf(seq: u64, mut members: Map<String, Value>, replayed: bool) -> Self {
        for internal in ["actor", "blind", "book", "seq", "v"] {
            members.remove(internal);
        }
        members.insert("entry".into(), json!(seq));
        Self { seq, replayed, leaf_hash: None, members }
    }

    /// An entry that was made just now, whose members are still to be written out.
    #[must_use]
    pub fn unwritten(seq: u64) -> Self {
        Self { seq, replayed: false, leaf_hash: None, members: Map::new() }
    }

    /// Whether its members are still to be written out.
    #[must_use]
    pub fn is_unwritten(&self) -> bool {
        !self.replayed && self.members.is_empty()
    }

    /// An entry that an earlier request made, of which no more is known here than its number.
    #[must_use]
    pub fn repeated(seq: u64) -> Self {
        Self { seq, replayed: true, leaf_hash: None, members: Map::new() }
    }
}

/// Why a command has no outcome.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// A rule refused it. Nothing was bound.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The nonce of its signature was used before. Nothing was done, and nothing is told of what was done then.
    #[error("the signature's nonce was used before")]
    NonceUsed,
    /// The key of its signature was revoked by an entry that stands before it. Nothing was done.
    #[error("the signature's key is revoked")]
    KeyRevoked,
    /// Its client was suspended by an entry that stands before it. Nothing was done.
    #[error("the client is suspended")]
    ClientSuspended,
    /// The queue is full: come again.
    #[error("the service has as much to do as it takes")]
    Busy,
    /// The ledger cannot write now. Whether the command was carried out may be unknown: the same command, sent again,
    /// tells.
    #[error("the ledger cannot write now: {0}")]
    Unavailable(String),
}

/// The id that binds an instruction for ever: a hash of client and key, since a key may hold anything.
#[must_use]
pub fn instruction_id(client: ClientId, key: &IdempotencyKey) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"social-wallet/instruction/v1\0");
    hash.update(client.as_str().as_bytes());
    hash.update([0]);
    hash.update(key.as_str().as_bytes());
    let full: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&full[..16]);
    id
}

impl Command {
    /// How many lines the command counts for when batches are gathered.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.lines.len(),
            Self::Payment(PaymentCommand::Answer { answers, .. }) => answers.len().max(1),
            Self::Payment(PaymentCommand::ExpireCash(entries))
            | Self::Order(OrderCommand::Expire(entries)) => entries.len().max(1),
            Self::Order(OrderCommand::Decide(orders)) => orders.len().max(1),
            _ => 1,
        }
    }

    /// The field in which this command differs from the one that a key is bound to; `None`: it is the same.
    #[must_use]
    pub fn differs(&self, bound: &Bound) -> Option<&'static str> {
        let text = |name: &'static str, value: String| (name, name, json!(value));
        let (kind, fields) = match self {
            Self::RegisterProgramme(spec) => {
                let members = Record::ProgrammeRegistered(spec.clone()).members();
                let names =
                    ["programme", "names", "payer", "legal_basis", "class", "knp", "kbe", "iso_purpose"];
                let field = |name: &'static str| {
                    let shown = if name == "programme" { "code" } else { name };
                    (shown, name, members.get(name).cloned().unwrap_or(Value::Null))
                };
                ("programme_registered", names.map(field).to_vec())
            }
            Self::Fund { programme, amount, bank_reference } => (
                "programme_funded",
                vec![
                    text("programme", programme.to_string()),
                    text("amount", amount.to_string()),
                    text("bank_reference", bank_reference.as_str().to_owned()),
                ],
            ),
            Self::OpenWallet { wallet, .. } => {
                ("wallet_opened", vec![("iin", "wallet", json!(wallet.to_string()))])
            }
            Self::Accrue { accrual, .. } => (
                "accrual",
                vec![
                    ("iin", "wallet", json!(accrual.wallet.to_string())),
                    text("programme", accrual.programme.to_string()),
                    text("period", accrual.period.to_string()),
                    ("part", "part", json!(accrual.part.get())),
                    text("amount", accrual.amount.to_string()),
                ],
            ),
            Self::Reverse { reversal, .. } => (
                "reversal",
                vec![
                    ("iin", "wallet", json!(reversal.wallet.to_string())),
                    text("programme", reversal.programme.to_string()),
                    text("period", reversal.period.to_string()),
                    ("part", "part", json!(reversal.part.get())),
                    text("reason", reversal.reason.as_str().to_owned()),
                ],
            ),
            Self::PayOut { wallet, bank, amount } => (
                "pay_out",
                vec![
                    text("wallet", wallet.to_string()),
                    text("bank", bank.to_string()),
                    text("amount", amount.to_string()),
                ],
            ),
            Self::Return { pay_out, amount } => {
                ("return", vec![("pay_out", "pay_out", json!(pay_out)), text("amount", amount.to_string())])
            }
            Self::Registry(command) => command.determines(),
            Self::Holder(command) => command.determines(),
            Self::Payment(command) => match command.determines() {
                Some(determined) => determined,
                None => return Some("path"),
            },
            Self::ChangeState(record) => {
                let members = record.members();
                let field =
                    |name: &'static str| (name, name, members.get(name).cloned().unwrap_or(Value::Null));
                (record.kind(), ["wallet", "document", "died"].map(field).to_vec())
            }
            Self::Order(OrderCommand::SettleLevy { authority, amount, bank_reference }) => (
                "levy_settled",
                vec![
                    text("authority", authority.to_string()),
                    text("amount", amount.to_string()),
                    text("bank_reference", bank_reference.to_string()),
                ],
            ),
            Self::Order(OrderCommand::Decide(_) | OrderCommand::Expire(_))
            | Self::OpenBatch(_)
            | Self::ReleaseBatch(_)
            | Self::CloseBatch(_)
            | Self::CancelBatch(_)
            | Self::Chunk(_)
            | Self::DeclareOrigin { .. }
            | Self::RotateLogKey { .. } => return Some("path"),
        };
        if bound.kind != kind {
            return Some("path");
        }
        fields.into_iter().find(|(_, member, value)| bound.member(member) != *value).map(|(shown, ..)| shown)
    }
}

/// A command on its way through the sequencer.
pub struct Submission {
    /// What is asked.
    pub command: Command,
    /// By whom.
    pub actor: Actor,
    /// What was signed; `None` for a command of this process.
    pub signed: Option<Box<SignedRequest>>,
    /// Where the answer goes.
    pub reply: tokio::sync::oneshot::Sender<Result<Outcome, CommandError>>,
}
