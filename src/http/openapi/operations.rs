//! The table of operations: what the router is made of, and what is documented.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post, put};

use super::page;
use crate::http::access::{self, Who};
use crate::http::catalogue::Code;
use crate::http::{
    App, authorisations, batches, cash, clients, decisions, events, evidence, health, instructions, log,
    order_report, orders, programmes, proofs, receipts, reports, rules, statements, transfers, wallets,
};

/// An operation: a method on a path.
pub struct Operation {
    /// Its name for programs, in snake case.
    pub id: &'static str,
    /// The method, in lower case.
    pub method: &'static str,
    /// The path as the router takes it.
    pub path: &'static str,
    /// One of [`TAGS`].
    pub tag: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The method's handler.
    pub route: fn() -> MethodRouter<Arc<App>>,
    /// Parameters of the query and the headers; ids in the path document themselves.
    pub parameters: &'static [Parameter],
    /// What the request carries.
    pub body: Option<Body>,
    /// The answers that are no problems.
    pub answers: &'static [Answer],
    /// The problems that only some operations answer, by groups.
    pub problems: &'static [&'static [Code]],
}

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the query.
    Query,
    /// In the headers.
    Header,
}

/// A parameter.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// Whether the request is refused without it.
    pub required: bool,
    /// The name of its schema.
    pub schema: &'static str,
    /// One sentence.
    pub text: &'static str,
}

/// A request's body: content types with their schemas.
pub struct Body {
    /// Whether there must be one.
    pub required: bool,
    /// Content types, each with the name of a schema.
    pub kinds: &'static [(&'static str, &'static str)],
}

/// An answer that is no problem.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// One sentence.
    pub text: &'static str,
    /// Content types, each with the name of a schema.
    pub kinds: &'static [(&'static str, &'static str)],
    /// Headers that say something of the answer.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Operation {
    /// Whether it is for clients only, who sign it, and whose rate is counted and told.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        access::of(self).who != Who::Everybody
    }

    /// All codes with which the operation may be refused.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        let signed = if self.is_signed() { SIGNED } else { &[] };
        let body = if self.body.is_some() { SIGNED_BODY } else { &[] };
        let limited = if self.path.starts_with("/health/") { &[] } else { LIMITED };
        let own = self.problems.iter().copied().flatten();
        let mut codes: Vec<Code> =
            ANY.iter().chain(limited).chain(signed).chain(body).chain(own).copied().collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// The path as `OpenAPI` writes it.
    #[must_use]
    pub fn documented_path(&self) -> String {
        self.path.replace("{*", "{")
    }
}

/// Groups of operations.
pub const TAGS: &[(&str, &str)] = &[
    ("programmes", "Benefit programmes and their money"),
    ("wallets", "The wallets of persons"),
    ("instructions", "Single accruals and reversals, and the journal's entries"),
    ("batches", "Payrolls, sent in chunks"),
    ("payments", "Money out: holders' authorisations, transfers, cash, and what is told of them"),
    ("orders", "Orders against wallets, and the rules that they are decided by"),
    ("reports", "What the books say, at any date"),
    ("clients", "Who may call, and what takes two operators"),
    ("log", "The signed log: checkpoints, tiles, proofs, receipts"),
    ("service", "Health, the book, and this description"),
];

/// What any request may be answered with.
const ANY: &[Code] = &[Code::HeadTooLarge, Code::PathUnknown, Code::RequestTimeout, Code::InternalError];
/// What any request but one for the service's health may be answered with.
const LIMITED: &[Code] = &[Code::Busy];
/// What a client's request may be answered with, whatever it asks.
const SIGNED: &[Code] = &[
    Code::SignatureMissing,
    Code::SignatureFieldRepeated,
    Code::SignatureMalformed,
    Code::SignatureNotSingle,
    Code::SignatureLabelMismatch,
    Code::SignatureComponentMissing,
    Code::SignatureComponentUnknown,
    Code::SignatureComponentRepeated,
    Code::SignatureComponentParameter,
    Code::SignatureParameterMissing,
    Code::SignatureParameterUnknown,
    Code::SignatureTimeMalformed,
    Code::SignatureNonceMalformed,
    Code::SignatureKeyidMalformed,
    Code::SignatureTagWrong,
    Code::SignatureAlgorithmUnsupported,
    Code::SignatureCreatedOutsideWindow,
    Code::SignatureLifetimeOutOfRange,
    Code::SignatureExpired,
    Code::SignatureKeyUnknown,
    Code::SignatureInvalid,
    Code::ContentDigestMalformed,
    Code::ClientSuspended,
    Code::RoleForbidden,
    Code::RateLimited,
    Code::DatabaseUnavailable,
];
const SIGNED_BODY: &[Code] = &[Code::SignatureBodyFieldMissing, Code::ContentDigestMismatch];
const STORE: &[Code] = &[Code::DatabaseUnavailable];
/// A text for people to read, which is kept.
const FREE_TEXT: &[Code] = &[Code::CardNumberRefused, Code::PersonNumberRefused];
const QUERY: &[Code] = &[Code::ParameterUnknown, Code::ParameterMalformed, Code::FieldMalformed];
const BODY: &[Code] = &[
    Code::BodyIncomplete,
    Code::BodyTooSlow,
    Code::BodyTooLarge,
    Code::BodyMalformed,
    Code::FieldMissing,
    Code::FieldMalformed,
    Code::FieldUnknown,
];
/// What an order is read by: what cannot be read of one that can be named is decided as malformed.
const ORDER_BODY: &[Code] = &[
    Code::BodyIncomplete,
    Code::BodyTooSlow,
    Code::BodyTooLarge,
    Code::BodyMalformed,
    Code::FieldMissing,
    Code::FieldMalformed,
];
const KEY: &[Code] = &[Code::IdempotencyKeyMissing, Code::IdempotencyKeyMalformed];
const WRITE: &[Code] = &[
    Code::SignatureNonceUsed,
    Code::Busy,
    Code::LedgerUnavailable,
    Code::DatabaseUnavailable,
    Code::InstructionConflict,
    Code::SumTooLarge,
    Code::BookFull,
];
const IIN: &[Code] = &[Code::IinMalformed, Code::IinCheckDigit];
const AMOUNT: &[Code] = &[
    Code::AmountMalformed,
    Code::AmountScale,
    Code::AmountZero,
    Code::AmountNegative,
    Code::AmountTooLarge,
    Code::CurrencyUnsupported,
];
const BENEFIT: &[Code] = &[Code::PartOutOfRange, Code::ProgrammeUnknown, Code::PayerMismatch];
const WALLET: &[Code] = &[Code::WalletUnknown];
const BATCH: &[Code] = &[Code::BatchMalformed, Code::BatchUnknown];
const STEP: &[Code] = &[
    Code::BatchClosed,
    Code::BatchReleasedAlready,
    Code::BatchNotReleased,
    Code::BatchSelfRelease,
    Code::BatchNotYours,
    Code::BatchNotStarted,
];
/// The rules that a line of a batch may be refused by; what cannot be read of it, `payroll` names.
pub const LINE: &[Code] = &[
    Code::ProgrammeUnknown,
    Code::ProgrammeNotDeclared,
    Code::PeriodNotDeclared,
    Code::PayerMismatch,
    Code::BenefitAlreadyPaid,
    Code::FundingInsufficient,
    Code::LineConflict,
    Code::WalletUnknown,
    Code::WalletExists,
    Code::WalletDeceased,
    Code::WalletClosed,
    Code::AccrualNotFound,
    Code::NothingToReverse,
    Code::SumTooLarge,
    Code::BookFull,
];
/// A wallet that lets no new money out.
const STOPPED: &[Code] = &[Code::OutflowBlocked, Code::WalletDeceased, Code::WalletClosed];
/// What a payment under an authorisation may be refused for.
const PAYMENT: &[Code] = &[
    Code::AuthorisationUnknown,
    Code::AuthorisationMismatch,
    Code::AuthorisationRevoked,
    Code::AuthorisationExpired,
    Code::AuthorisationUsed,
    Code::AuthorisationExceeded,
    Code::ChannelStopped,
    Code::ClientNotEntitled,
    Code::WalletLimitExceeded,
    Code::ChannelLimitExceeded,
    Code::LotsTooMany,
    Code::BalanceInsufficient,
    Code::OutflowBlocked,
    Code::WalletDeceased,
    Code::WalletClosed,
];
const CASH: &[Code] = &[Code::CashUnknown, Code::CashEnded, Code::ClientNotEntitled];
const LOG: &[Code] = &[Code::CheckpointPending, Code::DatabaseUnavailable];

const AT: Parameter = Parameter {
    name: "at",
    place: Place::Query,
    required: false,
    schema: "moment",
    text: "As of this time, or the end of this business day",
};
const IDEMPOTENCY_KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: Place::Header,
    required: true,
    schema: "idempotency_key",
    text: "Names the write: the same key, sent again, moves nothing twice",
};
const SIGNED_OFF: &[Parameter] = &[IDEMPOTENCY_KEY];

const fn query(name: &'static str, required: bool, schema: &'static str, text: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, required, schema, text }
}

const AFTER: Parameter = query("after", false, "count", "What comes after this entry");

const REPLAYED: &[(&str, &str)] =
    &[("Idempotency-Replayed", "`true` if the key was used before: this is the first answer again")];
const MADE: &[(&str, &str)] = &[
    ("Social-Wallet-Entry", "The entry that the write made"),
    ("Social-Wallet-Leaf-Hash", "The hash of its leaf"),
    ("Social-Wallet-Receipt", "Where its receipt is"),
];

const fn json(schema: &'static [(&'static str, &'static str)], text: &'static str) -> Answer {
    Answer { status: 200, text, kinds: schema, headers: &[] }
}

const fn sent(kinds: &'static [(&'static str, &'static str)]) -> Body {
    Body { required: true, kinds }
}

const ENTRY: &[Answer] = &[Answer {
    status: 201,
    text: "The journal entry that was made",
    kinds: &[("application/json", "Entry")],
    headers: REPLAYED,
}];
const CLIENT_STATE: &[Code] = &[Code::ClientStateUnchanged, Code::OperatorsTooFew];
const REGISTRY: &[Code] = &[Code::ClientUnknown, Code::OperatorRequired];
const APPROVAL: &[Code] = &[Code::ApprovalUnknown, Code::ApprovalEnded, Code::OperatorRequired];
/// What an approval may ask for, and be refused for: when it is requested, and when it is given.
const PROPOSAL: &[Code] = &[
    Code::ClientUnknown,
    Code::ClientExists,
    Code::ScopeMismatch,
    Code::KeyExists,
    Code::KeysTooMany,
    Code::ProgrammeUnknown,
    Code::BankReferenceUsed,
    Code::ClassUnchanged,
    Code::LimitsUnchanged,
    Code::GeneralNotAllowed,
    Code::RulesUnsound,
    Code::RulesUnchanged,
    Code::OperatorRequired,
];
const RECEIPT: &[Answer] = &[
    json(
        &[("text/plain", "ReceiptText"), ("application/json", "Receipt")],
        "The receipt, to be checked offline",
    ),
    RECEIPT_PENDING,
];
const RECEIPT_PENDING: Answer = Answer {
    status: 202,
    text: "No checkpoint covers the entry yet",
    kinds: &[("application/json", "ReceiptPending")],
    headers: &[],
};
const BATCH_SHOWN: &[Answer] =
    &[Answer { status: 200, text: "The batch", kinds: &[("application/json", "Batch")], headers: MADE }];
/// A step's body is empty, or an object without members.
const STEP_BODY: Option<Body> = Some(Body { required: false, kinds: &[("application/json", "Nothing")] });

/// All operations.
pub static OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_programmes",
        method: "get",
        path: "/v1/programmes",
        tag: "programmes",
        summary: "All programmes, with what is left to accrue and what is in wallets",
        route: || get(programmes::list),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Programmes")], "The programmes")],
        problems: &[STORE],
    },
    Operation {
        id: "register_programme",
        method: "post",
        path: "/v1/programmes",
        tag: "programmes",
        summary: "Register a programme",
        route: || post(programmes::register),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewProgramme")])),
        answers: ENTRY,
        problems: &[KEY, FREE_TEXT, BODY, WRITE, &[Code::ProgrammeExists, Code::GeneralNotAllowed]],
    },
    Operation {
        id: "show_programme",
        method: "get",
        path: "/v1/programmes/{code}",
        tag: "programmes",
        summary: "A programme",
        route: || get(programmes::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Programme")], "The programme")],
        problems: &[STORE, &[Code::ProgrammeNotFound]],
    },
    Operation {
        id: "fund_programme",
        method: "post",
        path: "/v1/programmes/{code}/fundings",
        tag: "programmes",
        summary: "Ask another operator to approve that money of the treasury is booked for a programme",
        route: || post(programmes::fund),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Funding")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            AMOUNT,
            WRITE,
            &[
                Code::ProgrammeNotFound,
                Code::ProgrammeUnknown,
                Code::BankReferenceUsed,
                Code::ApprovalRequired,
                Code::OperatorRequired,
            ],
        ],
    },
    Operation {
        id: "open_wallet",
        method: "post",
        path: "/v1/wallets",
        tag: "wallets",
        summary: "Open the wallet of a person",
        route: || post(wallets::open),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Person")])),
        answers: &[
            json(
                &[("application/json", "WalletFound")],
                "The wallet that the person has; a payer is told its id only",
            ),
            Answer {
                status: 201,
                text: "The journal entry of the opening",
                kinds: &[("application/json", "Entry")],
                headers: REPLAYED,
            },
        ],
        problems: &[KEY, BODY, IIN, WRITE, WALLET],
    },
    Operation {
        id: "look_up_wallet",
        method: "post",
        path: "/v1/wallets/lookup",
        tag: "wallets",
        summary: "The wallet of a person; a POST, so that the number stays out of URLs",
        route: || post(wallets::lookup),
        parameters: &[],
        body: Some(sent(&[("application/json", "Person")])),
        answers: &[json(&[("application/json", "Wallet")], "The wallet")],
        problems: &[BODY, IIN, STORE, WALLET],
    },
    Operation {
        id: "show_wallet",
        method: "get",
        path: "/v1/wallets/{id}",
        tag: "wallets",
        summary: "A wallet",
        route: || get(wallets::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Wallet")], "The wallet")],
        problems: &[STORE, WALLET],
    },
    Operation {
        id: "wallet_balance",
        method: "get",
        path: "/v1/wallets/{id}/balance",
        tag: "wallets",
        summary: "A wallet as of a time",
        route: || get(wallets::balance),
        parameters: &[AT],
        body: None,
        answers: &[json(&[("application/json", "Wallet")], "The wallet as of then")],
        problems: &[QUERY, STORE, WALLET],
    },
    Operation {
        id: "wallet_statement",
        method: "get",
        path: "/v1/wallets/{id}/statement",
        tag: "wallets",
        summary: "What happened on a wallet, oldest first",
        route: || get(wallets::statement),
        parameters: &[
            query("from", false, "moment", "From this time, or the start of this business day"),
            query("to", false, "moment", "To this time, or the end of this business day"),
            query("after", false, "cursor", "`next` of the page before"),
            query("limit", false, "statement_limit", "Entries on a page; 100 if absent"),
        ],
        body: None,
        answers: &[json(&[("application/json", "Statement")], "A page of the statement")],
        problems: &[QUERY, STORE, WALLET, &[Code::CursorMalformed]],
    },
    Operation {
        id: "accrue",
        method: "post",
        path: "/v1/accruals",
        tag: "instructions",
        summary: "Pay one benefit to one person",
        route: || post(instructions::accrue),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Accrual")])),
        answers: ENTRY,
        problems: &[
            &[Code::PayerNotYours],
            KEY,
            BODY,
            IIN,
            AMOUNT,
            BENEFIT,
            WRITE,
            WALLET,
            &[Code::WalletDeceased, Code::WalletClosed, Code::BenefitAlreadyPaid, Code::FundingInsufficient],
        ],
    },
    Operation {
        id: "reverse",
        method: "post",
        path: "/v1/reversals",
        tag: "instructions",
        summary: "Take back what is left of an accrual; `uncollected` is what was spent",
        route: || post(instructions::reverse),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Reversal")])),
        answers: ENTRY,
        problems: &[
            &[Code::PayerNotYours],
            KEY,
            FREE_TEXT,
            BODY,
            IIN,
            BENEFIT,
            WRITE,
            &[Code::AccrualNotFound, Code::NothingToReverse],
        ],
    },
    Operation {
        id: "show_entry",
        method: "get",
        path: "/v1/entries/{entry}",
        tag: "instructions",
        summary: "A journal entry",
        route: || get(instructions::entry),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Entry")], "The entry")],
        problems: &[STORE, &[Code::FieldMalformed, Code::EntryUnknown]],
    },
    Operation {
        id: "entry_evidence",
        method: "get",
        path: "/v1/entries/{entry}/evidence",
        tag: "instructions",
        summary: "What was signed for an entry, for auditors",
        route: || get(evidence::of_entry),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Evidence")], "The signed request")],
        problems: &[STORE, &[Code::FieldMalformed, Code::EvidenceUnknown]],
    },
    Operation {
        id: "entry_receipt",
        method: "get",
        path: "/v1/entries/{entry}/receipt",
        tag: "log",
        summary: "The receipt of an entry",
        route: || get(receipts::of_entry),
        parameters: &[],
        body: None,
        answers: RECEIPT,
        problems: &[STORE, &[Code::FieldMalformed, Code::EntryUnknown]],
    },
    Operation {
        id: "instruction_receipt",
        method: "get",
        path: "/v1/receipt",
        tag: "log",
        summary: "The receipt of the entry that an instruction made; the key stays out of URLs",
        route: || get(receipts::of_instruction),
        parameters: SIGNED_OFF,
        body: None,
        answers: RECEIPT,
        problems: &[KEY, STORE, &[Code::InstructionUnknown]],
    },
    Operation {
        id: "open_batch",
        method: "put",
        path: "/v1/batches/{id}",
        tag: "batches",
        summary: "Open a batch, of which the totals are declared",
        route: || put(batches::open),
        parameters: &[],
        body: Some(sent(&[("application/json", "BatchDeclaration")])),
        answers: &[
            Answer {
                status: 200,
                text: "It was opened so before",
                kinds: &[("application/json", "Batch")],
                headers: MADE,
            },
            Answer {
                status: 201,
                text: "The batch that was opened",
                kinds: &[("application/json", "Batch")],
                headers: MADE,
            },
        ],
        problems: &[
            &[Code::PayerNotYours],
            BODY,
            WRITE,
            BATCH,
            &[Code::AmountTooLarge, Code::CurrencyUnsupported, Code::ProgrammeUnknown, Code::PayerMismatch],
        ],
    },
    Operation {
        id: "show_batch",
        method: "get",
        path: "/v1/batches/{id}",
        tag: "batches",
        summary: "A batch: what was declared, received, accepted and refused, and what is missing",
        route: || get(batches::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Batch")], "The batch")],
        problems: &[STORE, BATCH],
    },
    Operation {
        id: "release_batch",
        method: "post",
        path: "/v1/batches/{id}/release",
        tag: "batches",
        summary: "Release a batch, as the second person",
        route: || post(batches::release),
        parameters: &[],
        body: STEP_BODY,
        answers: BATCH_SHOWN,
        problems: &[BODY, WRITE, BATCH, STEP],
    },
    Operation {
        id: "close_batch",
        method: "post",
        path: "/v1/batches/{id}/close",
        tag: "batches",
        summary: "Close a batch: completed, or incomplete with the differences",
        route: || post(batches::close),
        parameters: &[],
        body: STEP_BODY,
        answers: BATCH_SHOWN,
        problems: &[BODY, WRITE, BATCH, STEP],
    },
    Operation {
        id: "cancel_batch",
        method: "post",
        path: "/v1/batches/{id}/cancel",
        tag: "batches",
        summary: "Cancel a batch: no more lines; what was accepted stands",
        route: || post(batches::cancel),
        parameters: &[],
        body: STEP_BODY,
        answers: BATCH_SHOWN,
        problems: &[BODY, WRITE, BATCH, STEP],
    },
    Operation {
        id: "send_chunk",
        method: "put",
        path: "/v1/batches/{id}/chunks/{first_line}",
        tag: "batches",
        summary: "Send lines; the answer has a verdict on each. Sent again, what was accepted is not paid twice",
        route: || put(batches::chunk),
        parameters: &[],
        body: Some(sent(&[("text/csv", "CsvLines"), ("application/x-ndjson", "JsonLines")])),
        answers: &[Answer {
            status: 200,
            text: "The verdicts; CSV if the request prefers text/csv",
            kinds: &[("application/json", "ChunkVerdicts"), ("text/csv", "CsvVerdicts")],
            headers: MADE,
        }],
        problems: &[
            WRITE,
            BATCH,
            STEP,
            &[
                Code::ContentTypeUnsupported,
                Code::FieldMalformed,
                Code::BodyIncomplete,
                Code::BodyTooSlow,
                Code::ChunkEmpty,
                Code::ChunkTooLarge,
                Code::ChunkTooManyLines,
                Code::ChunkHeaderMissing,
                Code::ChunkHeaderUnknown,
                Code::DeclaredLinesExceeded,
                Code::DeclaredTotalExceeded,
                Code::LineValidatedAlready,
            ],
        ],
    },
    Operation {
        id: "list_verdicts",
        method: "get",
        path: "/v1/batches/{id}/verdicts",
        tag: "batches",
        summary: "The verdicts again, in the order of lines",
        route: || get(batches::verdicts),
        parameters: &[
            query("after_line", false, "line", "After this line; 0 if absent"),
            query("limit", false, "verdicts_limit", "Lines on a page; 8192 if absent"),
        ],
        body: None,
        answers: &[json(
            &[("application/json", "Verdicts"), ("text/csv", "CsvVerdicts")],
            "A page of verdicts; CSV if the request prefers text/csv",
        )],
        problems: &[QUERY, STORE, BATCH, &[Code::VerdictsNotKept]],
    },
    Operation {
        id: "change_wallet_state",
        method: "post",
        path: "/v1/wallets/{id}/state",
        tag: "wallets",
        summary: "Block, unblock or close a wallet, or say that its holder has died",
        route: || post(wallets::change_state),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "WalletStateChange")])),
        answers: ENTRY,
        problems: &[
            KEY,
            FREE_TEXT,
            BODY,
            WRITE,
            WALLET,
            &[
                Code::WalletStateUnchanged,
                Code::WalletNotEmpty,
                Code::DocumentRequired,
                Code::OperatorRequired,
            ],
        ],
    },
    Operation {
        id: "give_authorisation",
        method: "post",
        path: "/v1/authorisations",
        tag: "payments",
        summary: "A holder authorises transfers to one destination, or cash",
        route: || post(authorisations::give),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewAuthorisation")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            AMOUNT,
            WRITE,
            WALLET,
            STOPPED,
            &[
                Code::CardNumberRefused,
                Code::ConsentOutsideWindow,
                Code::ConsentUsed,
                Code::AuthorisationTooLong,
                Code::ClientNotEntitled,
            ],
        ],
    },
    Operation {
        id: "show_authorisation",
        method: "get",
        path: "/v1/authorisations/{entry}",
        tag: "payments",
        summary: "An authorisation, and what is left of it",
        route: || get(authorisations::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Authorisation")], "The authorisation")],
        problems: &[STORE, &[Code::AuthorisationUnknown]],
    },
    Operation {
        id: "revoke_authorisation",
        method: "post",
        path: "/v1/authorisations/{entry}/revoke",
        tag: "payments",
        summary: "Take an authorisation back; what was requested under it goes on",
        route: || post(authorisations::revoke),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "WithReason")])),
        answers: ENTRY,
        problems: &[
            KEY,
            FREE_TEXT,
            BODY,
            WRITE,
            &[Code::AuthorisationUnknown, Code::AuthorisationRevoked, Code::ClientNotEntitled],
        ],
    },
    Operation {
        id: "request_transfer",
        method: "post",
        path: "/v1/transfers",
        tag: "payments",
        summary: "Request a transfer under a holder's authorisation: its money is held",
        route: || post(transfers::request),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewTransfer")])),
        answers: ENTRY,
        problems: &[KEY, BODY, AMOUNT, WRITE, PAYMENT],
    },
    Operation {
        id: "list_transfers",
        method: "get",
        path: "/v1/transfers",
        tag: "payments",
        summary: "A bank's transfers, oldest first: its work queue",
        route: || get(transfers::list),
        parameters: &[
            query(
                "state",
                false,
                "queue_state",
                "`open`, if it is not said: those whose money is held; or `all`",
            ),
            AFTER,
            query("limit", false, "queue_limit", "How many"),
        ],
        body: None,
        answers: &[json(&[("application/json", "Transfers")], "A page of them")],
        problems: &[QUERY, STORE],
    },
    Operation {
        id: "answer_transfers",
        method: "post",
        path: "/v1/transfers/answers",
        tag: "payments",
        summary: "What a bank says of many transfers, each taken or refused by itself",
        route: || post(transfers::answer_many),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Answers")])),
        answers: &[json(&[("application/json", "AnswersTaken")], "What became of each")],
        problems: &[KEY, FREE_TEXT, BODY, WRITE],
    },
    Operation {
        id: "show_transfer",
        method: "get",
        path: "/v1/transfers/{entry}",
        tag: "payments",
        summary: "A transfer: where it stands, what money it is, where it goes",
        route: || get(transfers::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Transfer")], "The transfer")],
        problems: &[STORE, &[Code::TransferUnknown]],
    },
    Operation {
        id: "answer_transfer",
        method: "post",
        path: "/v1/transfers/{entry}/answers",
        tag: "payments",
        summary: "What a bank says of a transfer: sent, settled, returned, unknown",
        route: || post(transfers::answer),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Answer")])),
        answers: ENTRY,
        problems: &[
            KEY,
            FREE_TEXT,
            BODY,
            WRITE,
            &[
                Code::TransferUnknown,
                Code::TransferEnded,
                Code::ReturnConflict,
                Code::ReturnExceedsPayOut,
                Code::ReturnsTooMany,
                Code::ClearingInsufficient,
                Code::DocumentRequired,
                Code::ClientNotEntitled,
            ],
        ],
    },
    Operation {
        id: "create_cash",
        method: "post",
        path: "/v1/cash",
        tag: "payments",
        summary: "Make a cash-out: its money is held, and its code is told once",
        route: || post(cash::create),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewCash")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            AMOUNT,
            WRITE,
            PAYMENT,
            &[Code::CashLimitExceeded, Code::CashLifetimeOutOfRange],
        ],
    },
    Operation {
        id: "redeem_cash",
        method: "post",
        path: "/v1/cash/redeem",
        tag: "payments",
        summary: "An agent has the code: reserve the cash-out for it",
        route: || post(cash::redeem),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Redemption")])),
        answers: ENTRY,
        problems: &[
            KEY,
            FREE_TEXT,
            BODY,
            WRITE,
            CASH,
            &[Code::CashCodeWrong, Code::CashReserved, Code::CashTriesExceeded],
        ],
    },
    Operation {
        id: "finish_cash",
        method: "post",
        path: "/v1/cash/outcomes",
        tag: "payments",
        summary: "What became of a reserved cash-out: captured, reversed, unknown",
        route: || post(cash::finish),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "CashOutcome")])),
        answers: ENTRY,
        problems: &[KEY, FREE_TEXT, BODY, WRITE, CASH, &[Code::CashNotReserved, Code::DocumentRequired]],
    },
    Operation {
        id: "cancel_cash",
        method: "post",
        path: "/v1/cash/cancel",
        tag: "payments",
        summary: "Take a cash-out back before an agent has it",
        route: || post(cash::cancel),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "CashReference")])),
        answers: ENTRY,
        problems: &[KEY, BODY, WRITE, CASH, &[Code::CashReserved]],
    },
    Operation {
        id: "show_cash",
        method: "get",
        path: "/v1/cash/{entry}",
        tag: "payments",
        summary: "A cash-out, without its code",
        route: || get(cash::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Cash")], "The cash-out")],
        problems: &[STORE, &[Code::CashUnknown]],
    },
    Operation {
        id: "settle_between_banks",
        method: "post",
        path: "/v1/settlements",
        tag: "payments",
        summary: "Book what moved between banks, or was paid to an authority",
        route: || post(transfers::settle),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Settlement")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            AMOUNT,
            WRITE,
            &[
                Code::BankReferenceUsed,
                Code::ClearingInsufficient,
                Code::LevyInsufficient,
                Code::OperatorRequired,
            ],
        ],
    },
    Operation {
        id: "bank_statement",
        method: "get",
        path: "/v1/banks/{bic}/statement",
        tag: "payments",
        summary: "What is owed to a bank: opening, movements and closing of a business day",
        route: || get(statements::show),
        parameters: &[
            query("date", true, "date", "The business day"),
            query("owed", false, "owed", "`clearing`, if it is not said, or `cash`"),
            AFTER,
            query("limit", false, "statement_page", "How many movements"),
        ],
        body: None,
        answers: &[json(
            &[("application/json", "BankStatement"), ("text/csv", "CsvBankStatement")],
            "The statement; CSV if the request prefers text/csv",
        )],
        problems: &[QUERY, STORE, &[Code::BankNotFound, Code::FieldMissing]],
    },
    Operation {
        id: "compare_bank_statement",
        method: "post",
        path: "/v1/banks/{bic}/statement/compare",
        tag: "payments",
        summary: "Hold a bank's own statement of a day against the ledger's, item by item. Nothing is written",
        route: || post(statements::compare),
        parameters: &[],
        body: Some(sent(&[("application/json", "OwnStatement")])),
        answers: &[json(&[("application/json", "Differences")], "Where they differ")],
        problems: &[STORE, BODY, &[Code::BankNotFound, Code::CurrencyUnsupported]],
    },
    Operation {
        id: "events",
        method: "get",
        path: "/v1/events",
        tag: "payments",
        summary: "What a bank or a channel is told, in order, at least once",
        route: || get(events::feed),
        parameters: &[
            AFTER,
            query("limit", false, "queue_limit", "How many"),
            query("wait", false, "wait", "Seconds to wait for an event if there is none"),
        ],
        body: None,
        answers: &[json(&[("application/json", "Events")], "Events after the one named")],
        problems: &[QUERY, STORE],
    },
    Operation {
        id: "show_limits",
        method: "get",
        path: "/v1/limits",
        tag: "payments",
        summary: "What payments are held to",
        route: || get(clients::limits),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Limits")], "The limits")],
        problems: &[STORE],
    },
    Operation {
        id: "decide_order",
        method: "post",
        path: "/v1/orders",
        tag: "orders",
        summary: "An order against a wallet: decided at once. Sent again, it is what it was",
        route: || post(orders::decide),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewOrder")])),
        answers: &[Answer {
            status: 201,
            text: "The entry of the decision; of what cannot be read, `malformed` is the decision",
            kinds: &[("application/json", "Entry")],
            headers: &[(
                "Idempotency-Replayed",
                "`true` if this order was decided before: that decision again",
            )],
        }],
        problems: &[KEY, ORDER_BODY, WRITE, &[Code::OrderConflict, Code::ClientNotEntitled]],
    },
    Operation {
        id: "decide_orders",
        method: "post",
        path: "/v1/orders/file",
        tag: "orders",
        summary: "Many orders, each with a verdict; sent again, each is what it was",
        route: || post(orders::decide_many),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("text/csv", "CsvOrders"), ("application/x-ndjson", "JsonOrders")])),
        answers: &[json(
            &[("application/json", "OrderVerdicts"), ("text/csv", "CsvOrderVerdicts")],
            "The verdicts; CSV if the request prefers text/csv",
        )],
        problems: &[
            KEY,
            WRITE,
            &[
                Code::ContentTypeUnsupported,
                Code::BodyIncomplete,
                Code::BodyTooSlow,
                Code::ChunkEmpty,
                Code::ChunkTooLarge,
                Code::ChunkTooManyLines,
                Code::ChunkHeaderUnknown,
                Code::ClientNotEntitled,
            ],
        ],
    },
    Operation {
        id: "list_orders",
        method: "get",
        path: "/v1/orders",
        tag: "orders",
        summary: "An authority's orders, oldest first",
        route: || get(orders::list),
        parameters: &[
            query(
                "state",
                false,
                "order_state",
                "`all`, if it is not said, or `standing`: those that hold something now",
            ),
            AFTER,
            query("limit", false, "queue_limit", "How many"),
        ],
        body: None,
        answers: &[json(&[("application/json", "Orders")], "A page of them")],
        problems: &[QUERY, STORE],
    },
    Operation {
        id: "show_order",
        method: "get",
        path: "/v1/orders/{entry}",
        tag: "orders",
        summary: "An order: what was asked, and what became of it",
        route: || get(orders::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Order")], "The order")],
        problems: &[STORE, &[Code::OrderUnknown]],
    },
    Operation {
        id: "decision_document",
        method: "get",
        path: "/v1/orders/{entry}/document",
        tag: "orders",
        summary: "The decision with its proof, to be checked offline: JSON, or a page to print",
        route: || get(decisions::show),
        parameters: &[query(
            "lang",
            false,
            "language",
            "The page's language; Kazakh and Russian if it is not said",
        )],
        body: None,
        answers: &[
            json(
                &[("application/json", "DecisionDocument"), ("text/html", "DecisionPage")],
                "The document; a page if the request prefers text/html",
            ),
            RECEIPT_PENDING,
        ],
        problems: &[QUERY, STORE, &[Code::OrderUnknown]],
    },
    Operation {
        id: "show_rules",
        method: "get",
        path: "/v1/rules",
        tag: "orders",
        summary: "The rules that orders are decided by",
        route: || get(rules::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Rules")], "The rules, with the entry that set them")],
        problems: &[STORE],
    },
    Operation {
        id: "orders_report",
        method: "get",
        path: "/v1/reports/orders",
        tag: "reports",
        summary: "What was ordered and what became of it, and that nothing protected was taken",
        route: || get(order_report::orders),
        parameters: &[
            query("from", true, "date", "The first business day"),
            query("to", true, "date", "The last one"),
        ],
        body: None,
        answers: &[json(&[("application/json", "OrdersReport")], "The report")],
        problems: &[QUERY, STORE, &[Code::FieldMissing]],
    },
    Operation {
        id: "list_clients",
        method: "get",
        path: "/v1/clients",
        tag: "clients",
        summary: "All clients, with their keys",
        route: || get(clients::list),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Clients")], "The clients")],
        problems: &[STORE],
    },
    Operation {
        id: "register_client",
        method: "post",
        path: "/v1/clients",
        tag: "clients",
        summary: "Register a client; an operator or an authority takes an approval",
        route: || post(clients::register),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewClient")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            WRITE,
            &[Code::ClientExists, Code::ScopeMismatch, Code::OperatorRequired, Code::ApprovalRequired],
        ],
    },
    Operation {
        id: "show_client",
        method: "get",
        path: "/v1/clients/{id}",
        tag: "clients",
        summary: "A client; each may see itself",
        route: || get(clients::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Client")], "The client")],
        problems: &[STORE, &[Code::ClientUnknown]],
    },
    Operation {
        id: "add_client_key",
        method: "post",
        path: "/v1/clients/{id}/keys",
        tag: "clients",
        summary: "Give a client a further key; for another operator or an authority it takes an approval",
        route: || post(clients::add_key),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "NewKey")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            WRITE,
            REGISTRY,
            &[Code::KeyExists, Code::KeysTooMany, Code::ApprovalRequired],
        ],
    },
    Operation {
        id: "revoke_client_key",
        method: "post",
        path: "/v1/clients/{id}/keys/{key}/revoke",
        tag: "clients",
        summary: "Revoke a key: nothing signed with it is accepted any more",
        route: || post(clients::revoke_key),
        parameters: SIGNED_OFF,
        body: STEP_BODY,
        answers: ENTRY,
        problems: &[KEY, BODY, WRITE, REGISTRY, &[Code::KeyUnknown, Code::KeyRevoked, Code::OperatorsTooFew]],
    },
    Operation {
        id: "suspend_client",
        method: "post",
        path: "/v1/clients/{id}/suspend",
        tag: "clients",
        summary: "Accept nothing of a client for now",
        route: || post(clients::suspend),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "WithReason")])),
        answers: ENTRY,
        problems: &[KEY, FREE_TEXT, BODY, WRITE, REGISTRY, CLIENT_STATE],
    },
    Operation {
        id: "reinstate_client",
        method: "post",
        path: "/v1/clients/{id}/reinstate",
        tag: "clients",
        summary: "Let a suspended client in again",
        route: || post(clients::reinstate),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "WithReason")])),
        answers: ENTRY,
        problems: &[KEY, FREE_TEXT, BODY, WRITE, REGISTRY, CLIENT_STATE],
    },
    Operation {
        id: "list_approvals",
        method: "get",
        path: "/v1/approvals",
        tag: "clients",
        summary: "What operators have asked each other to approve, newest first",
        route: || get(clients::approvals),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Approvals")], "The requests")],
        problems: &[STORE],
    },
    Operation {
        id: "request_approval",
        method: "post",
        path: "/v1/approvals",
        tag: "clients",
        summary: "Ask another operator to approve; it stands for three days",
        route: || post(clients::request_approval),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Proposal")])),
        answers: ENTRY,
        problems: &[KEY, BODY, AMOUNT, WRITE, PROPOSAL],
    },
    Operation {
        id: "show_approval",
        method: "get",
        path: "/v1/approvals/{entry}",
        tag: "clients",
        summary: "A request for an approval",
        route: || get(clients::approval),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Approval")], "The request")],
        problems: &[STORE, &[Code::ApprovalUnknown]],
    },
    Operation {
        id: "give_approval",
        method: "post",
        path: "/v1/approvals/{entry}/approve",
        tag: "clients",
        summary: "Approve what another operator asked for; it is carried out at once",
        route: || post(clients::approve),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "Digest")])),
        answers: ENTRY,
        problems: &[
            KEY,
            BODY,
            WRITE,
            APPROVAL,
            PROPOSAL,
            &[Code::ApprovalExpired, Code::ApprovalSelf, Code::ApprovalDigestMismatch],
        ],
    },
    Operation {
        id: "close_approval",
        method: "post",
        path: "/v1/approvals/{entry}/close",
        tag: "clients",
        summary: "Take back one's own request, or refuse another operator's",
        route: || post(clients::close_approval),
        parameters: SIGNED_OFF,
        body: Some(sent(&[("application/json", "WithReason")])),
        answers: ENTRY,
        problems: &[KEY, FREE_TEXT, BODY, WRITE, APPROVAL],
    },
    Operation {
        id: "trial_balance",
        method: "get",
        path: "/v1/reports/trial-balance",
        tag: "reports",
        summary: "Every account's balance on its side",
        route: || get(reports::trial_balance),
        parameters: &[AT],
        body: None,
        answers: &[json(&[("application/json", "TrialBalance")], "The trial balance")],
        problems: &[QUERY, STORE],
    },
    Operation {
        id: "programmes_report",
        method: "get",
        path: "/v1/reports/programmes",
        tag: "reports",
        summary: "Where each programme's money is",
        route: || get(reports::programmes),
        parameters: &[AT],
        body: None,
        answers: &[json(&[("application/json", "ProgrammesReport")], "The report")],
        problems: &[QUERY, STORE],
    },
    Operation {
        id: "log_checkpoint",
        method: "get",
        path: "/log/checkpoint",
        tag: "log",
        summary: "The newest signed checkpoint",
        route: || get(log::checkpoint),
        parameters: &[],
        body: None,
        answers: &[json(&[("text/plain", "Checkpoint")], "The checkpoint")],
        problems: &[LOG],
    },
    Operation {
        id: "log_tile",
        method: "get",
        path: "/log/tile/{*path}",
        tag: "log",
        summary: "A hash tile <L>/<N>[.p/<W>] of C2SP tlog-tiles",
        route: || get(log::tile),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/octet-stream", "Binary")], "The tile; it never changes")],
        problems: &[LOG, &[Code::TileUnknown]],
    },
    Operation {
        id: "log_entries",
        method: "get",
        path: "/log/tile/entries/{*path}",
        tag: "log",
        summary: "A bundle of entries <N>[.p/<W>] of C2SP tlog-tiles, for auditors",
        route: || get(log::bundle),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/octet-stream", "Binary")], "The entries; they never change")],
        problems: &[LOG, &[Code::TileUnknown]],
    },
    Operation {
        id: "inclusion_proof",
        method: "get",
        path: "/v1/log/inclusion",
        tag: "log",
        summary: "A proof that an entry is in the tree",
        route: || get(proofs::inclusion),
        parameters: &[
            query("entry", true, "count", "The entry"),
            query("size", false, "count", "The tree's size; the published checkpoint's if absent"),
        ],
        body: None,
        answers: &[json(&[("application/json", "InclusionProof")], "The proof, lowest hash first")],
        problems: &[QUERY, LOG, &[Code::EntryUnknown, Code::SizeUnknown]],
    },
    Operation {
        id: "consistency_proof",
        method: "get",
        path: "/v1/log/consistency",
        tag: "log",
        summary: "A proof that one tree starts with another",
        route: || get(proofs::consistency),
        parameters: &[
            query("old", true, "count", "The smaller size"),
            query("new", false, "count", "The larger size; the published checkpoint's if absent"),
        ],
        body: None,
        answers: &[json(&[("application/json", "ConsistencyProof")], "The proof")],
        problems: &[QUERY, LOG, &[Code::SizeUnknown]],
    },
    Operation {
        id: "show_book",
        method: "get",
        path: "/v1/book",
        tag: "service",
        summary: "Which book this is, and how far",
        route: || get(health::book),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Book")], "The book")],
        problems: &[STORE],
    },
    Operation {
        id: "live",
        method: "get",
        path: "/health/live",
        tag: "service",
        summary: "Whether the process answers",
        route: || get(health::live),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Live")], "It does")],
        problems: &[],
    },
    Operation {
        id: "ready",
        method: "get",
        path: "/health/ready",
        tag: "service",
        summary: "Whether the store answers and the ledger can write",
        route: || get(health::ready),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Ready")], "They do")],
        problems: &[STORE, &[Code::NotWritable]],
    },
    Operation {
        id: "openapi",
        method: "get",
        path: "/openapi.json",
        tag: "service",
        summary: "This description",
        route: || get(super::json),
        parameters: &[],
        body: None,
        answers: &[json(&[("application/json", "Document")], "OpenAPI 3.1")],
        problems: &[],
    },
    Operation {
        id: "docs",
        method: "get",
        path: "/docs",
        tag: "service",
        summary: "This description, for people",
        route: || get(page::show),
        parameters: &[],
        body: None,
        answers: &[json(&[("text/html", "Page")], "A page that loads nothing else")],
        problems: &[],
    },
];
