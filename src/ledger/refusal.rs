//! Why a command was not carried out: typed, with a stable code, the field at fault and the entry that stands in the way.

use std::fmt;

/// The stable codes of the ledger's refusals. The numbers are stored with a bulk line's verdict and never reused; below
/// 64 are the faults of reading a line (`payroll::LineFaultCode`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum RefusalCode {
    /// No programme is registered under this code.
    ProgrammeUnknown = 64,
    /// A programme is registered under this code already.
    ProgrammeExists = 65,
    /// The batch did not declare this programme.
    ProgrammeNotDeclared = 66,
    /// The batch did not declare this period.
    PeriodNotDeclared = 67,
    /// The programme is paid by another payer.
    PayerMismatch = 68,
    /// The benefit key (programme, period, person, part) has been paid; `entry` paid it.
    BenefitAlreadyPaid = 69,
    /// The programme's funding does not cover the amount.
    FundingInsufficient = 70,
    /// The line was accepted before with other content; `field` differs from `entry`.
    LineConflict = 71,
    /// The holder has died.
    WalletDeceased = 72,
    /// The wallet is closed.
    WalletClosed = 73,
    /// Nothing was paid under this benefit key.
    AccrualNotFound = 74,
    /// Nothing is left of the accrual: it was spent, or taken back before.
    NothingToReverse = 75,
    /// No such wallet.
    WalletUnknown = 76,
    /// The wallet's free money does not cover the amount.
    BalanceInsufficient = 77,
    /// The wallet's outflow is stopped.
    OutflowBlocked = 78,
    /// More would come back than went out.
    ReturnExceedsPayOut = 79,
    /// The entry named is not a pay-out.
    PayOutNotFound = 80,
    /// No such batch.
    BatchUnknown = 81,
    /// The batch is completed or cancelled.
    BatchClosed = 83,
    /// The batch's `not_before` has not come.
    BatchNotStarted = 84,
    /// The batch waits for its release by a second person.
    BatchNotReleased = 85,
    /// The batch must be released by someone other than who opened it.
    BatchSelfRelease = 86,
    /// The chunk reaches beyond the declared number of lines.
    DeclaredLinesExceeded = 87,
    /// The chunk takes the received total beyond the declared total.
    DeclaredTotalExceeded = 88,
    /// The batch belongs to another client.
    BatchNotYours = 89,
    /// The instruction id made an entry with other content; `field` differs from `entry`.
    InstructionConflict = 90,
    /// A sum would pass the largest amount that the ledger can hold.
    SumTooLarge = 91,
    /// The bank reference has funded a programme before; `entry` did.
    BankReferenceUsed = 92,
    /// The book has as many wallets as it can number.
    BookFull = 93,
    /// The batch needs no release, or has it.
    BatchReleasedAlready = 94,
    /// The person has a wallet.
    WalletExists = 95,
    /// The origin declared is not the one that follows the lost checkpoint's, or that one is older than the log's.
    OriginOutOfOrder = 96,
    /// The key to be replaced is not the log's, or the new one has not its name.
    LogKeyNotCurrent = 97,
    /// No such client.
    ClientUnknown = 98,
    /// A client has this id already.
    ClientExists = 99,
    /// The scope does not fit the role.
    ScopeMismatch = 100,
    /// Only an operator that is registered and not suspended may do this.
    OperatorRequired = 101,
    /// No such key.
    KeyUnknown = 102,
    /// The key is, or was, registered.
    KeyExists = 103,
    /// The key is revoked; `entry` revoked it.
    KeyRevoked = 104,
    /// The client has as many keys as it may.
    KeysTooMany = 105,
    /// The client is suspended already, or is not.
    ClientStateUnchanged = 106,
    /// Too few operators would be left, or an operator acts on itself.
    OperatorsTooFew = 107,
    /// The book has its operators; `entry` registered them.
    BookBootstrapped = 108,
    /// This takes two operators.
    ApprovalRequired = 109,
    /// No such request for an approval.
    ApprovalUnknown = 110,
    /// The request was approved, refused or withdrawn; `entry` ended it.
    ApprovalEnded = 111,
    /// The request was not approved in time.
    ApprovalExpired = 112,
    /// The approval must come from another operator than the request.
    ApprovalSelf = 113,
    /// The digest is not that of what is asked for.
    ApprovalDigestMismatch = 114,
    /// The programme has this class.
    ClassUnchanged = 115,
    /// No such authorisation, or none that this client may use.
    AuthorisationUnknown = 116,
    /// The authorisation is for something else.
    AuthorisationMismatch = 117,
    /// The authorisation was taken back; `entry` did.
    AuthorisationRevoked = 118,
    /// The authorisation's time is over.
    AuthorisationExpired = 119,
    /// The authorisation was for one payment, which was made.
    AuthorisationUsed = 120,
    /// The payments under the authorisation would pass what the holder allowed.
    AuthorisationExceeded = 121,
    /// The time of the authorisation is over already, or is longer than is allowed.
    AuthorisationTooLong = 122,
    /// The holder's consent is too old, or lies in the future.
    ConsentOutsideWindow = 123,
    /// The channel that the holder gave the authorisation to is suspended.
    ChannelStopped = 124,
    /// The client is not, or no longer, one that may do this.
    ClientNotEntitled = 125,
    /// The payments out of the wallet would pass the day's limit.
    WalletLimitExceeded = 126,
    /// The payments, or the choices that send benefits on, through the channel would pass the day's limit.
    ChannelLimitExceeded = 127,
    /// The cash-out, or those of the day, would pass the limit.
    CashLimitExceeded = 128,
    /// No such transfer, or not one of yours.
    TransferUnknown = 129,
    /// The transfer has come to an end that does not go with the answer; `entry` ended it.
    TransferEnded = 130,
    /// The reference named another return of this transfer; `field` differs from `entry`.
    ReturnConflict = 131,
    /// The transfer has come back in as many parts as it may.
    ReturnsTooMany = 132,
    /// Less is owed to the bank than this would take.
    ClearingInsufficient = 133,
    /// No such cash-out, or not one of yours.
    CashUnknown = 134,
    /// The code is wrong; `entry` counted it.
    CashCodeWrong = 135,
    /// The cash-out has expired, was released or was paid; nothing more can be done with it.
    CashEnded = 136,
    /// The cash-out is with an agent: only the agent's answer, or an operator with evidence, ends it.
    CashReserved = 137,
    /// The cash-out is not with an agent.
    CashNotReserved = 138,
    /// Too many wrong codes today: from the terminal, from the bank's agents, or in all.
    CashTriesExceeded = 139,
    /// The cash-out would stand for less than 15 or more than 60 minutes.
    CashLifetimeOutOfRange = 140,
    /// Whoever answers for a bank, or stops a wallet, names the document that he has.
    DocumentRequired = 141,
    /// The wallet is in this state already, or cannot go to it from the one that it is in.
    WalletStateUnchanged = 142,
    /// The wallet holds money.
    WalletNotEmpty = 143,
    /// The limits are these.
    LimitsUnchanged = 144,
    /// The payment would take money of more than 256 accruals.
    LotsTooMany = 145,
    /// What shows the holder's consent was given for another authorisation; `entry` gave it.
    ConsentUsed = 146,
    /// The book takes benefits only: nothing may be general in it.
    GeneralNotAllowed = 160,
    /// The rule table cannot come into force; the detail says why.
    RulesUnsound = 161,
    /// The rules are these.
    RulesUnchanged = 162,
    /// Another order was decided under this issuer, number and date; `field` differs from `entry`.
    OrderConflict = 163,
    /// No such order, or not one of yours, or it does not stand any more.
    OrderUnknown = 164,
    /// Less was taken for the authority than this would pay.
    LevyInsufficient = 165,
    /// This is chosen already; `entry` chose it.
    ChoiceUnchanged = 180,
    /// The number leads to this wallet already.
    NumberKnown = 181,
    /// The number has a wallet of its own.
    NumberHasWallet = 182,
    /// The wallet was merged into another.
    WalletMerged = 183,
    /// The wallet that would be merged has had more accruals than one entry can move.
    MergeTooLarge = 184,
}

impl RefusalCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 93] = [
        Self::ProgrammeUnknown,
        Self::ProgrammeExists,
        Self::ProgrammeNotDeclared,
        Self::PeriodNotDeclared,
        Self::PayerMismatch,
        Self::BenefitAlreadyPaid,
        Self::FundingInsufficient,
        Self::LineConflict,
        Self::WalletDeceased,
        Self::WalletClosed,
        Self::AccrualNotFound,
        Self::NothingToReverse,
        Self::WalletUnknown,
        Self::BalanceInsufficient,
        Self::OutflowBlocked,
        Self::ReturnExceedsPayOut,
        Self::PayOutNotFound,
        Self::BatchUnknown,
        Self::BatchClosed,
        Self::BatchNotStarted,
        Self::BatchNotReleased,
        Self::BatchSelfRelease,
        Self::DeclaredLinesExceeded,
        Self::DeclaredTotalExceeded,
        Self::BatchNotYours,
        Self::InstructionConflict,
        Self::SumTooLarge,
        Self::BankReferenceUsed,
        Self::BookFull,
        Self::BatchReleasedAlready,
        Self::WalletExists,
        Self::OriginOutOfOrder,
        Self::LogKeyNotCurrent,
        Self::ClientUnknown,
        Self::ClientExists,
        Self::ScopeMismatch,
        Self::OperatorRequired,
        Self::KeyUnknown,
        Self::KeyExists,
        Self::KeyRevoked,
        Self::KeysTooMany,
        Self::ClientStateUnchanged,
        Self::OperatorsTooFew,
        Self::BookBootstrapped,
        Self::ApprovalRequired,
        Self::ApprovalUnknown,
        Self::ApprovalEnded,
        Self::ApprovalExpired,
        Self::ApprovalSelf,
        Self::ApprovalDigestMismatch,
        Self::ClassUnchanged,
        Self::AuthorisationUnknown,
        Self::AuthorisationMismatch,
        Self::AuthorisationRevoked,
        Self::AuthorisationExpired,
        Self::AuthorisationUsed,
        Self::AuthorisationExceeded,
        Self::AuthorisationTooLong,
        Self::ConsentOutsideWindow,
        Self::ChannelStopped,
        Self::ClientNotEntitled,
        Self::WalletLimitExceeded,
        Self::ChannelLimitExceeded,
        Self::CashLimitExceeded,
        Self::TransferUnknown,
        Self::TransferEnded,
        Self::ReturnConflict,
        Self::ReturnsTooMany,
        Self::ClearingInsufficient,
        Self::CashUnknown,
        Self::CashCodeWrong,
        Self::CashEnded,
        Self::CashReserved,
        Self::CashNotReserved,
        Self::CashTriesExceeded,
        Self::CashLifetimeOutOfRange,
        Self::DocumentRequired,
        Self::WalletStateUnchanged,
        Self::WalletNotEmpty,
        Self::LimitsUnchanged,
        Self::LotsTooMany,
        Self::ConsentUsed,
        Self::GeneralNotAllowed,
        Self::RulesUnsound,
        Self::RulesUnchanged,
        Self::OrderConflict,
        Self::OrderUnknown,
        Self::LevyInsufficient,
        Self::ChoiceUnchanged,
        Self::NumberKnown,
        Self::NumberHasWallet,
        Self::WalletMerged,
        Self::MergeTooLarge,
    ];

    /// The stored number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Reads the stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The code as the API gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.text().0
    }

    /// What to do about it, one sentence for whoever sent the command.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.text().1
    }

    #[allow(clippy::too_many_lines)] // one arm a code, each a plain pair
    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::ProgrammeUnknown => {
                ("programme_unknown", "Register the programme first, or correct the programme code.")
            }
            Self::ProgrammeExists => {
                ("programme_exists", "Use the registered programme, or register yours under another code.")
            }
            Self::ProgrammeNotDeclared => (
                "programme_not_declared",
                "Send the line in a batch that declares its programme, or correct the programme code.",
            ),
            Self::PeriodNotDeclared => (
                "period_not_declared",
                "Send the line in a batch that declares its period, or correct the period.",
            ),
            Self::PayerMismatch => (
                "payer_mismatch",
                "Only the payer of the programme may do this; correct the payer or the programme.",
            ),
            Self::BenefitAlreadyPaid => (
                "benefit_already_paid",
                "The entry named paid this benefit. If this is a distinct entitlement, send it under another part.",
            ),
            Self::FundingInsufficient => {
                ("funding_insufficient", "Fund the programme, then send the line again; nothing was bound.")
            }
            Self::LineConflict => (
                "line_conflict",
                "The line was accepted with other content. Send the original line, or the new one under a new line number.",
            ),
            Self::WalletDeceased => ("wallet_deceased", "The holder has died; nothing can be credited."),
            Self::WalletClosed => ("wallet_closed", "The wallet is closed; nothing can move on it."),
            Self::AccrualNotFound => (
                "accrual_not_found",
                "Nothing was paid to this person under this programme, period and part; correct the key.",
            ),
            Self::NothingToReverse => (
                "nothing_to_reverse",
                "Nothing is left of the accrual; the rest has to be recovered elsewhere.",
            ),
            Self::WalletUnknown => {
                ("wallet_unknown", "Open a wallet for the person, or correct the wallet id.")
            }
            Self::BalanceInsufficient => {
                ("balance_insufficient", "Ask for no more than the wallet's free money.")
            }
            Self::OutflowBlocked => ("outflow_blocked", "The wallet's outflow is stopped; see its state."),
            Self::ReturnExceedsPayOut => {
                ("return_exceeds_pay_out", "Return no more than went out and has not come back.")
            }
            Self::PayOutNotFound => ("pay_out_not_found", "Name the entry of the pay-out that comes back."),
            Self::BatchUnknown => ("batch_unknown", "Open the batch first, or correct its id."),
            Self::BatchClosed => ("batch_closed", "The batch takes no more; open another."),
            Self::BatchNotStarted => ("batch_not_started", "Send again at or after the batch's not_before."),
            Self::BatchNotReleased => ("batch_not_released", "Have a second person release the batch first."),
            Self::BatchSelfRelease => {
                ("batch_self_release", "The release must come from someone other than who opened the batch.")
            }
            Self::DeclaredLinesExceeded => (
                "declared_lines_exceeded",
                "The chunk was refused whole. Send no more lines than declared; open another batch for the rest.",
            ),
            Self::DeclaredTotalExceeded => (
                "declared_total_exceeded",
                "The chunk was refused whole. Correct the amounts, or open another batch with the right total.",
            ),
            Self::BatchNotYours => ("batch_not_yours", "Only the client that opened the batch may do this."),
            Self::InstructionConflict => (
                "instruction_conflict",
                "The key was used for other content. Send the original content, or the new one under a new key.",
            ),
            Self::SumTooLarge => ("sum_too_large", "A sum would pass the largest amount the ledger holds."),
            Self::BankReferenceUsed => (
                "bank_reference_used",
                "The entry named brought this bank payment in. Give the reference of the new payment.",
            ),
            Self::BookFull => (
                "book_full",
                "The book has as many wallets or batches as it can number, 2,147,483,647; open another book.",
            ),
            Self::WalletExists => {
                ("wallet_exists", "The person has a wallet already; there is nothing to do.")
            }
            Self::BatchReleasedAlready => {
                ("batch_released_already", "The batch needs no release; send its lines.")
            }
            Self::OriginOutOfOrder => (
                "origin_out_of_order",
                "Declare the origin that follows the lost checkpoint's, of the newest checkpoint that is kept anywhere.",
            ),
            Self::LogKeyNotCurrent => {
                ("log_key_not_current", "Replace the key that signs the log now, by one of the same name.")
            }
            Self::ClientUnknown => ("client_unknown", "Register the client first, or correct its id."),
            Self::ClientExists => {
                ("client_exists", "Use the registered client, or register yours under another id.")
            }
            Self::ScopeMismatch => (
                "scope_mismatch",
                "Give a payer and an authority their bin, a bank its bic, and others neither.",
            ),
            Self::OperatorRequired => ("operator_required", "Have an operator send it."),
            Self::KeyUnknown => ("key_unknown", "Correct the key's name."),
            Self::KeyExists => ("key_exists", "Make a new key: none is ever registered twice."),
            Self::KeyRevoked => ("key_revoked", "Sign with a key of the client that is not revoked."),
            Self::KeysTooMany => ("keys_too_many", "Revoke a key of the client first."),
            Self::ClientStateUnchanged => ("client_state_unchanged", "There is nothing to do."),
            Self::OperatorsTooFew => {
                ("operators_too_few", "Register another operator first, or have another operator do it.")
            }
            Self::BookBootstrapped => {
                ("book_bootstrapped", "Register further operators by an approval of two.")
            }
            Self::ApprovalRequired => {
                ("approval_required", "Request an approval, and have another operator give it.")
            }
            Self::ApprovalUnknown => ("approval_unknown", "Name the entry that requested the approval."),
            Self::ApprovalEnded => ("approval_ended", "Request the approval anew."),
            Self::ApprovalExpired => ("approval_expired", "Request the approval anew."),
            Self::ApprovalSelf => ("approval_self", "Have another operator approve it."),
            Self::ApprovalDigestMismatch => {
                ("approval_digest_mismatch", "Read what is asked for again, and approve its digest.")
            }
            Self::ClassUnchanged => ("class_unchanged", "There is nothing to do."),
            Self::AuthorisationUnknown => (
                "authorisation_unknown",
                "Name the entry of an authorisation that the holder gave to you or for you.",
            ),
            Self::AuthorisationMismatch => {
                ("authorisation_mismatch", "Have the holder authorise this kind of payment.")
            }
            Self::AuthorisationRevoked => ("authorisation_revoked", "Have the holder authorise it anew."),
            Self::AuthorisationExpired => ("authorisation_expired", "Have the holder authorise it anew."),
            Self::AuthorisationUsed => ("authorisation_used", "Have the holder authorise another payment."),
            Self::AuthorisationExceeded => ("authorisation_exceeded", "Ask for no more than is left of it."),
            Self::AuthorisationTooLong => {
                ("authorisation_too_long", "Let it end in the future, at most 366 days from now.")
            }
            Self::ConsentOutsideWindow => {
                ("consent_outside_window", "Ask the holder now: a consent counts for a day.")
            }
            Self::ChannelStopped => ("channel_stopped", "Wait until an operator has reinstated the channel."),
            Self::ClientNotEntitled => {
                ("client_not_entitled", "Have it done by the party that the request is for.")
            }
            Self::WalletLimitExceeded => {
                ("wallet_limit_exceeded", "Ask for less, or on the next business day.")
            }
            Self::ChannelLimitExceeded => (
                "channel_limit_exceeded",
                "Wait for the next business day, or have two operators agree on another limit.",
            ),
            Self::CashLimitExceeded => ("cash_limit_exceeded", "Ask for less, or on the next business day."),
            Self::TransferUnknown => ("transfer_unknown", "Name the entry that requested the transfer."),
            Self::TransferEnded => (
                "transfer_ended",
                "Read the transfer; if the bank knows better, send what it has as a return.",
            ),
            Self::ReturnConflict => ("return_conflict", "Give each return a reference of its own."),
            Self::ReturnsTooMany => ("returns_too_many", "Return the rest in one."),
            Self::ClearingInsufficient => {
                ("clearing_insufficient", "Book what moved between the banks first.")
            }
            Self::CashUnknown => ("cash_unknown", "Correct the reference."),
            Self::CashCodeWrong => ("cash_code_wrong", "Ask the holder for the code again."),
            Self::CashEnded => ("cash_ended", "Have the holder make another."),
            Self::CashReserved => ("cash_reserved", "Wait for the agent's answer."),
            Self::CashNotReserved => ("cash_not_reserved", "Redeem it with its code first."),
            Self::CashTriesExceeded => (
                "cash_tries_exceeded",
                "Wait for the next business day, or have two operators agree on another limit.",
            ),
            Self::CashLifetimeOutOfRange => {
                ("cash_lifetime_out_of_range", "Let it stand for 15 to 60 minutes.")
            }
            Self::DocumentRequired => ("document_required", "Name the document."),
            Self::WalletStateUnchanged => ("wallet_state_unchanged", "Read the wallet's state."),
            Self::WalletNotEmpty => ("wallet_not_empty", "Close it when nothing is left on it."),
            Self::LimitsUnchanged => ("limits_unchanged", "There is nothing to do."),
            Self::GeneralNotAllowed => {
                ("general_not_allowed", "Have two operators set rules of the mode mixed first.")
            }
            Self::RulesUnsound => ("rules_unsound", "Correct what the detail names."),
            Self::RulesUnchanged => ("rules_unchanged", "There is nothing to do."),
            Self::OrderConflict => {
                ("order_conflict", "Send the order as it was, or the new one under a number of its own.")
            }
            Self::OrderUnknown => ("order_unknown", "Name the entry of the decision."),
            Self::LevyInsufficient => ("levy_insufficient", "Pay no more than the detail says."),
            Self::ConsentUsed => ("consent_used", "Ask the holder again, for this authorisation."),
            Self::ChoiceUnchanged => ("choice_unchanged", "There is nothing to do."),
            Self::NumberKnown => ("number_known", "There is nothing to do."),
            Self::NumberHasWallet => ("number_has_wallet", "Merge the two wallets."),
            Self::WalletMerged => ("wallet_merged", "Name the wallet that it was merged into."),
            Self::MergeTooLarge => (
                "merge_too_large",
                "Merge the other way round: into the wallet with more accruals, the one with at most 256.",
            ),
            Self::LotsTooMany => {
                ("lots_too_many", "Ask for no more than the detail says, and then for the rest.")
            }
        }
    }
}

/// A command that was not carried out. It binds nothing: the same command may be sent again and is decided anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// The field of the command at fault.
    pub field: Option<&'static str>,
    /// The journal entry that stands in the way.
    pub entry: Option<u64>,
    /// Figures that explain it. Never a person's data.
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal with a code and the field at fault.
    #[must_use]
    pub fn of(code: RefusalCode, field: &'static str) -> Self {
        Self { code, field: Some(field), entry: None, detail: None }
    }

    /// Names the entry that stands in the way.
    #[must_use]
    pub fn by(mut self, entry: u64) -> Self {
        self.entry = Some(entry);
        self
    }

    /// Adds figures.
    #[must_use]
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.name())?;
        if let Some(field) = self.field {
            write!(f, " (field {field})")?;
        }
        if let Some(entry) = self.entry {
            write!(f, " (entry {entry})")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_number_and_name_and_is_read_back() {
        let mut names = std::collections::BTreeSet::new();
        for code in RefusalCode::ALL {
            assert_eq!(RefusalCode::from_number(code.number()), Some(code));
            assert!(names.insert(code.name()), "{} is used twice", code.name());
            assert!(code.number() >= 64 && code.advice().ends_with('.'));
        }
    }
}
