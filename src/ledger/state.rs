//! The states of a wallet that an operator brings about, with a document.
//!
//! | record | from | refused when |
//! |---|---|---|
//! | `wallet_blocked` | provisioned, active, deceased (the document was wrong) | it is blocked or closed |
//! | `wallet_unblocked` | blocked | it is not blocked |
//! | `wallet_deceased` | provisioned, active, blocked | it is deceased or closed |
//! | `wallet_closed` | any | it is closed; it holds money |
//! | `wallet_reopened` | closed | it is not closed; a merged one leads to the other, which this is then about |
//!
//! An unblocked wallet is provisioned: the holder's next act makes it active, as the first did. A blocked wallet and a deceased
//! person's let no new money out; accruals land in a blocked one, and are refused for a deceased person without using up the
//! benefit. What is held already follows its bank's answer, and what comes back lands, in any state. A reopened wallet is blocked:
//! whether its holder lives is for the operator to say next.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::WalletId;

use super::books::{Books, Ruling};
use super::payment::Document;
use super::record::Record;
use super::refusal::{Refusal, RefusalCode as Code};
use super::rules::{Entry, refuse};
use super::wallet::{EntryKind, Wallet, WalletEntry, WalletState};

/// A change of a wallet's state, as its entry says it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StateRecord {
    /// Outflow is stopped.
    WalletBlocked {
        /// Which.
        wallet: WalletId,
        /// By what.
        document: Document,
    },
    /// Outflow is let go on.
    WalletUnblocked {
        /// Which.
        wallet: WalletId,
        /// By what.
        document: Document,
    },
    /// The holder has died.
    WalletDeceased {
        /// Whose.
        wallet: WalletId,
        /// By what.
        document: Document,
        /// When, as `YYYY-MM-DD`.
        died: String,
    },
    /// The wallet is closed.
    WalletClosed {
        /// Which.
        wallet: WalletId,
        /// By what.
        document: Document,
    },
    /// The wallet was closed, and is blocked from now on: money has come back to it.
    WalletReopened {
        /// Which.
        wallet: WalletId,
        /// By what.
        document: Document,
    },
}

impl From<StateRecord> for Record {
    fn from(record: StateRecord) -> Self {
        Self::State(Box::new(record))
    }
}

impl StateRecord {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 5] =
        ["wallet_blocked", "wallet_unblocked", "wallet_deceased", "wallet_closed", "wallet_reopened"];

    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let place = match self {
            Self::WalletBlocked { .. } => 0,
            Self::WalletUnblocked { .. } => 1,
            Self::WalletDeceased { .. } => 2,
            Self::WalletClosed { .. } => 3,
            Self::WalletReopened { .. } => 4,
        };
        Self::KINDS[place]
    }

    /// The wallet that it is about.
    #[must_use]
    pub fn wallet(&self) -> WalletId {
        match self {
            Self::WalletBlocked { wallet, .. }
            | Self::WalletUnblocked { wallet, .. }
            | Self::WalletDeceased { wallet, .. }
            | Self::WalletClosed { wallet, .. }
            | Self::WalletReopened { wallet, .. } => *wallet,
        }
    }

    /// The same of the wallet by the id that it has now.
    fn of(mut self, id: WalletId) -> Self {
        let (Self::WalletBlocked { wallet, .. }
        | Self::WalletUnblocked { wallet, .. }
        | Self::WalletDeceased { wallet, .. }
        | Self::WalletClosed { wallet, .. }
        | Self::WalletReopened { wallet, .. }) = &mut self;
        *wallet = id;
        self
    }

    /// The members of its leaf.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut map)) => {
                map.remove("kind");
                map
            }
            _ => unreachable!("a tagged struct of texts is a JSON object"),
        }
    }

    /// The state that it leads to, if it can be reached from this one.
    fn leads(&self, from: WalletState) -> Option<WalletState> {
        use WalletState::{Active, Blocked, Closed, Deceased, Provisioned};
        match (self, from) {
            (Self::WalletBlocked { .. }, Provisioned | Active | Deceased)
            | (Self::WalletReopened { .. }, Closed) => Some(Blocked),
            (Self::WalletUnblocked { .. }, Blocked) => Some(Provisioned),
            (Self::WalletDeceased { .. }, Provisioned | Active | Blocked) => Some(Deceased),
            (Self::WalletClosed { .. }, Provisioned | Active | Blocked | Deceased) => Some(Closed),
            _ => None,
        }
    }
}

impl Books {
    /// Changes a wallet's state. Only an operator may, where there are any.
    pub fn change_state(&mut self, entry: Entry<'_>, record: StateRecord) -> Ruling<u64> {
        let Some((id, before)) = self.find_wallet(record.wallet())? else {
            return refuse(Code::WalletUnknown, "wallet");
        };
        let record = record.of(id);
        if !self.registry.is_empty() {
            self.need_operator(&entry.actor)?;
        }
        let Some(state) = record.leads(before.state) else {
            return Err(Refusal::of(Code::WalletStateUnchanged, "state").with(before.state.name()).into());
        };
        if state == WalletState::Closed && before.posted > 0 {
            return refuse(Code::WalletNotEmpty, "wallet");
        }
        if let StateRecord::WalletDeceased { died, .. } = &record
            && crate::domain::time::start_of_business_day(died).is_none_or(|day| day > entry.stamp.at)
        {
            return refuse(Code::DocumentRequired, "died");
        }
        let Entry { fx, stamp, actor } = entry;
        let seq = self.write(fx, record.into(), actor);
        let after = Wallet { version: before.version + 1, state, ..before };
        self.post_unmoved(fx, id, seq, stamp, after);
        Ok(seq)
    }

    /// Posts an entry of a wallet that moves no money.
    pub(super) fn post_unmoved(
        &mut self,
        fx: &mut super::effects::Effects,
        id: WalletId,
        seq: u64,
        stamp: crate::domain::time::Stamp,
        after: Wallet,
    ) {
        let (kind, at) = (EntryKind::State, stamp.at);
        let row = WalletEntry { seq, at, kind, amount: 0, benefit: None, class: None, refers: None, after };
        self.post_entry(fx, id, row);
    }
}
