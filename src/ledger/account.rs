//! The chart of accounts.
//!
//! Every posting names one account to debit and one to credit. Wallets are the sub-ledger; all others are *system
//! accounts*, few and hot, which get one entry per commit however many postings touched them. `wallets:P` is the control
//! account of the sub-ledger for programme P: the sum of what all wallets hold of it. It is never named by a posting; it
//! moves with every posting on a wallet, so that a trial balance at any date needs no pass over the wallets.

use std::fmt;

use crate::domain::{Bic, Bin, ProgrammeCode, WalletId};

/// An account as a posting names it. The text form (`wallet:<uuid>`, `funding:<code>`, `backing`, `clearing:<bic>`,
/// `cash:<bic>`, `levy:<bin>`) is what the journal holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Account {
    /// What the issuer owes a holder. Credit-normal.
    Wallet(WalletId),
    /// A system account.
    System(SystemAccount),
}

/// An account that is not a person's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SystemAccount {
    /// The money at the bank that stands behind everything. Debit-normal: its balance here is ≤ 0.
    Backing,
    /// What the treasury has placed for a programme and is not yet accrued. Credit-normal, never negative.
    Funding(ProgrammeCode),
    /// The control account: Σ of what wallets hold of a programme. Credit-normal, never negative.
    Wallets(ProgrammeCode),
    /// A memorandum account: what has left wallets of a programme's money, so that spending is attributed to the
    /// programme whose money it was. It mirrors clearing by programme, and no trial balance adds it up.
    Spent(ProgrammeCode),
    /// Money that left wallets and is owed to a bank until interbank settlement. Credit-normal, never negative.
    Clearing(Bic),
    /// Cash that a bank's agents have paid out to holders and that is owed to it until interbank settlement. Credit-normal,
    /// never negative.
    Cash(Bic),
    /// What was taken for an authority, of general money alone, and is owed to it. Credit-normal, never negative.
    Levy(Bin),
}

impl SystemAccount {
    /// The account's kind, as the trial balance groups it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Backing => "backing",
            Self::Funding(_) => "funding",
            Self::Wallets(_) => "wallets",
            Self::Spent(_) => "spent",
            Self::Clearing(_) => "clearing",
            Self::Cash(_) => "cash",
            Self::Levy(_) => "levy",
        }
    }

    /// Whether a trial balance leaves the account out, because it tells again what other accounts hold.
    #[must_use]
    pub fn is_memorandum(&self) -> bool {
        matches!(self, Self::Spent(_))
    }

    /// Reads the text form back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "backing").then_some(Self::Backing),
            Some(("funding", code)) => ProgrammeCode::parse(code.as_bytes()).ok().map(Self::Funding),
            Some(("wallets", code)) => ProgrammeCode::parse(code.as_bytes()).ok().map(Self::Wallets),
            Some(("spent", code)) => ProgrammeCode::parse(code.as_bytes()).ok().map(Self::Spent),
            Some(("clearing", bic)) => Bic::parse(bic.as_bytes()).ok().map(Self::Clearing),
            Some(("cash", bic)) => Bic::parse(bic.as_bytes()).ok().map(Self::Cash),
            Some(("levy", bin)) => Bin::parse(bin.as_bytes()).ok().map(Self::Levy),
            Some(_) => None,
        }
    }
}

impl Account {
    /// Reads the text form back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("wallet:") {
            Some(id) => WalletId::parse(id).ok().map(Self::Wallet),
            // Control and memorandum accounts are not accounts that a posting may name.
            None => SystemAccount::parse(text)
                .filter(|account| !matches!(account, SystemAccount::Wallets(_) | SystemAccount::Spent(_)))
                .map(Self::System),
        }
    }
}

impl fmt::Display for SystemAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backing => f.write_str("backing"),
            Self::Funding(code) => write!(f, "funding:{code}"),
            Self::Wallets(code) => write!(f, "wallets:{code}"),
            Self::Spent(code) => write!(f, "spent:{code}"),
            Self::Clearing(bic) => write!(f, "clearing:{bic}"),
            Self::Cash(bic) => write!(f, "cash:{bic}"),
            Self::Levy(bin) => write!(f, "levy:{bin}"),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wallet(id) => write!(f, "wallet:{id}"),
            Self::System(account) => account.fmt(f),
        }
    }
}
