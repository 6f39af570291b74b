//! What holders choose, and what becomes of a person's numbers and wallets: the commands, and what is read for them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::domain::{Iin, ProgrammeCode, WalletId};
use crate::keys::BookKeys;
use crate::ledger::books::{Books, Fault};
use crate::ledger::payment::{Consent, Document};
use crate::ledger::registry::{Proposal, Registry};
use crate::ledger::rules::{Entry, Person};
use crate::ledger::wallet::Wallet;

use super::command::{Command, Determined, PaymentCommand, RegistryCommand};

/// Something asked about a holder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderCommand {
    /// Choose where benefits go.
    Choose {
        /// From which wallet.
        wallet: WalletId,
        /// Of which programme; of all, if none is named.
        programme: Option<ProgrammeCode>,
        /// On, under which authorisation; they stay in the wallet, if none is named.
        authorisation: Option<u64>,
        /// What shows that the holder was asked.
        consent: Consent,
    },
    /// Add a further number of a person.
    AddNumber {
        /// The person's wallet.
        wallet: WalletId,
        /// The number.
        iin: Iin,
        /// The id of a wallet that it makes.
        leads: WalletId,
        /// By what.
        document: Document,
    },
    /// Merge a wallet into another of the same person.
    Merge {
        /// The one that stays.
        wallet: WalletId,
        /// The one that is merged into it.
        merged: WalletId,
        /// By what.
        document: Document,
    },
}

impl HolderCommand {
    /// The wallet that its entry names.
    #[must_use]
    pub fn wallet(&self) -> WalletId {
        match self {
            Self::Choose { wallet, .. } | Self::AddNumber { wallet, .. } | Self::Merge { wallet, .. } => {
                *wallet
            }
        }
    }

    /// All wallets that it names.
    #[must_use]
    pub fn wallets(&self) -> Vec<WalletId> {
        match self {
            Self::Choose { wallet, .. } => vec![*wallet],
            Self::AddNumber { wallet, leads: other, .. } | Self::Merge { wallet, merged: other, .. } => {
                vec![*wallet, *other]
            }
        }
    }

    /// The authorisation that it names.
    #[must_use]
    pub fn authorisation(&self) -> Option<u64> {
        match self {
            Self::Choose { authorisation, .. } => *authorisation,
            Self::AddNumber { .. } | Self::Merge { .. } => None,
        }
    }

    /// The kind of the entry that it makes, and the members that it determines: (field, member, value).
    pub(super) fn determines(&self) -> (&'static str, Vec<Determined>) {
        let text = |name: &'static str, value: String| (name, name, json!(value));
        let wallet = text("wallet", self.wallet().to_string());
        match self {
            Self::Choose { programme, authorisation, consent, .. } => (
                "destination_chosen",
                vec![
                    wallet,
                    ("programme", "programme", json!(programme)),
                    ("authorisation", "authorisation", json!(authorisation)),
                    ("consent", "consent", json!(consent)),
                ],
            ),
            Self::AddNumber { leads, document, .. } => (
                "number_added",
                vec![
                    wallet,
                    ("iin", "leads", json!(leads.to_string())),
                    ("document", "document", json!(document)),
                ],
            ),
            Self::Merge { merged, document, .. } => (
                "wallets_merged",
                vec![wallet, text("merged", merged.to_string()), ("document", "document", json!(document))],
            ),
        }
    }

    /// Runs it. Its outcome is the last record.
    pub(super) fn run(&self, books: &mut Books, entry: Entry<'_>, keys: &BookKeys) -> Result<(), Fault> {
        match self {
            Self::Choose { wallet, programme, authorisation, consent } => {
                books.choose(entry, *wallet, *programme, *authorisation, *consent)?;
            }
            Self::AddNumber { wallet, iin, leads, document } => {
                let person = Person { tag: keys.tag(iin), sealed_iin: keys.seal(iin, *leads) };
                books.add_number(entry, *wallet, *leads, person, document.clone())?;
            }
            Self::Merge { wallet, merged, document } => {
                books.merge(entry, *wallet, *merged, document.clone())?;
            }
        }
        Ok(())
    }
}

impl Command {
    /// The wallet that its entry names, if it names one itself.
    #[must_use]
    pub fn wallet(&self) -> Option<WalletId> {
        match self {
            Self::OpenWallet { wallet, .. }
            | Self::PayOut { wallet, .. }
            | Self::Payment(PaymentCommand::Authorise { wallet, .. }) => Some(*wallet),
            Self::Accrue { accrual, .. } => Some(accrual.wallet),
            Self::Reverse { reversal, .. } => Some(reversal.wallet),
            Self::ChangeState(record) => Some(record.wallet()),
            Self::Holder(command) => Some(command.wallet()),
            _ => None,
        }
    }

    /// Whether other commands may reach another wallet by the same id after it. What is read for a batch is read for the wallets that
    /// are there before it, so such a command is decided alone.
    #[must_use]
    pub fn moves_wallets(&self) -> bool {
        match self {
            Self::Holder(HolderCommand::AddNumber { .. } | HolderCommand::Merge { .. })
            | Self::Registry(RegistryCommand::GiveApproval { .. }) => true,
            Self::Registry(RegistryCommand::RequestApproval(proposal)) => Touched::by(proposal).is_some(),
            _ => false,
        }
    }

    /// The entry of an authorisation that must have been answered before it is of use.
    #[must_use]
    pub fn authorisation(&self) -> Option<u64> {
        match self {
            Self::Payment(
                PaymentCommand::Transfer { authorisation, .. }
                | PaymentCommand::CreateCash { authorisation, .. },
            ) => Some(*authorisation),
            Self::Holder(command) => command.authorisation(),
            _ => None,
        }
    }
}

/// What a command about a holder touches, and one that two operators must agree on.
pub(super) struct Touched {
    /// All wallets that it names.
    pub(super) wallets: Vec<WalletId>,
    /// The wallet that stays and the one that is merged into it.
    pub(super) merges: Option<(WalletId, WalletId)>,
}

impl Touched {
    /// What carrying out a proposal touches, if it is about a holder.
    fn by(proposal: &Proposal) -> Option<Self> {
        match proposal {
            Proposal::MergeWallets { wallet, merged, .. } => {
                Some(Self { wallets: vec![*wallet, *merged], merges: Some((*wallet, *merged)) })
            }
            Proposal::AddNumber { wallet, leads, .. } => {
                Some(Self { wallets: vec![*wallet, *leads], merges: None })
            }
            _ => None,
        }
    }

    /// What a command touches, if it is about a holder.
    pub(super) fn of(command: &Command, registry: &Registry) -> Option<Self> {
        match command {
            Command::Holder(command) => {
                let merges = match command {
                    HolderCommand::Merge { wallet, merged, .. } => Some((*wallet, *merged)),
                    _ => None,
                };
                Some(Self { wallets: command.wallets(), merges })
            }
            Command::Registry(RegistryCommand::RequestApproval(proposal)) => Self::by(proposal),
            Command::Registry(RegistryCommand::GiveApproval { approval, .. }) => {
                Self::by(&registry.approval(*approval)?.proposal)
            }
            _ => None,
        }
    }
}

/// Wallets whose choices a batch of commands may ask for, by internal number: of those that send benefits on, those that are
/// paid; and all of which a command may make that so. Beside them, the heads of the former.
#[derive(Default)]
pub(super) struct Choosing(pub(super) BTreeSet<u32>, pub(super) Vec<Wallet>);

impl Choosing {
    /// Adds the wallets that a command chooses for, or merges.
    pub(super) fn add(&mut self, books: &mut Books, touched: &Touched) {
        for id in &touched.wallets {
            if let Some(Some(wallet)) = books.wallets.get(*id) {
                self.0.insert(wallet.account);
            }
        }
    }
}
