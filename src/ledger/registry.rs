//! Who may call: clients with their keys, and what two operators have to agree on. Few, so that they are kept whole.
//!
//! A [`Change`] is at once what the journal's entry says, what the store keeps of it, and what the registry is folded
//! from: after a restart it is the same registry.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::domain::{
    Amount, BankReference, Bic, Bin, Client, ClientId, FundClass, Issuer, KeyId, ProgrammeCode, PublicKey,
    Reason, Role, Scope, WalletId,
};

use super::order::{OrderRecord, RuleTable};
use super::payment::{Document, Limits};
use super::person::PersonRecord;
use super::record::Record;

/// The first operators of a book are at least so many: what one asks for, another approves.
pub const OPERATORS_MIN: usize = 2;

/// Operators that a book can be bootstrapped with, at most.
pub const OPERATORS_MAX: usize = 16;

/// Keys of one client that are not revoked, at most: enough for several machines that rotate theirs.
pub const KEYS_MAX: usize = 16;

/// How long a request for an approval stands, milliseconds: three days.
pub const APPROVAL_LIFETIME: i64 = 3 * 24 * 60 * 60 * 1_000;

/// An operator that a book begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founder {
    /// Its id.
    pub client: ClientId,
    /// Its first key.
    pub public_key: PublicKey,
}

/// What one operator asks for and another must approve.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proposal {
    /// Register a client.
    RegisterClient {
        /// Its id.
        client: ClientId,
        /// Its role.
        role: Role,
        /// Of a payer and an authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bin: Option<Bin>,
        /// Of a bank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bic: Option<Bic>,
        /// Of an authority: what it is in law.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<Issuer>,
    },
    /// Give a client a further key.
    AddKey {
        /// Whose.
        client: ClientId,
        /// The key.
        public_key: PublicKey,
    },
    /// Change the class of a programme's money from now on.
    ChangeClass {
        /// Which.
        programme: ProgrammeCode,
        /// From now on.
        class: FundClass,
    },
    /// Place the treasury's money for a programme.
    Fund {
        /// For which.
        programme: ProgrammeCode,
        /// How much.
        amount: Amount,
        /// The bank payment that brought it.
        bank_reference: BankReference,
    },
    /// Hold payments to other limits from now on.
    SetLimits {
        /// Which.
        limits: Limits,
    },
    /// Decide orders by other rules from now on.
    SetRules {
        /// Which.
        rules: Box<RuleTable>,
    },
    /// Merge a wallet into another of the same person.
    MergeWallets {
        /// The wallet that stays.
        wallet: WalletId,
        /// The wallet that is merged into it.
        merged: WalletId,
        /// By what.
        document: Document,
    },
    /// Add a further number of a person. Whoever approves gives the number again.
    AddNumber {
        /// The person's wallet.
        wallet: WalletId,
        /// The id of a wallet that the number makes.
        leads: WalletId,
        /// The number's tag.
        #[serde(with = "hexadecimal")]
        person: [u8; 32],
        /// By what.
        document: Document,
    },
}

impl Proposal {
    /// SHA-256 of the proposal as canonical JSON: what an approval names, so that nobody approves another thing than
    /// was shown.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let value = serde_json::to_value(self).expect("texts are JSON");
        Sha256::digest(value.to_string()).into()
    }

    /// The record that carries it out; of a merging, with what it moves left out.
    #[must_use]
    pub fn record(&self) -> Record {
        match self.clone() {
            Self::RegisterClient { client, role, bin, bic, issuer } => {
                Change::ClientRegistered { client, role, bin, bic, issuer }.into()
            }
            Self::AddKey { client, public_key } => {
                Change::ClientKeyAdded { client, key: KeyId::of(client, &public_key), public_key }.into()
            }
            Self::ChangeClass { programme, class } => Record::ProgrammeClassChanged { programme, class },
            Self::Fund { programme, amount, bank_reference } => {
                Record::ProgrammeFunded { programme, amount, bank_reference }
            }
            Self::SetLimits { limits } => Change::LimitsSet { limits }.into(),
            Self::SetRules { rules } => OrderRecord::RulesSet { rules }.into(),
            Self::MergeWallets { wallet, merged, document } => {
                let (shares, collisions) = (Vec::new(), Vec::new());
                PersonRecord::WalletsMerged { wallet, merged, document, shares, collisions }.into()
            }
            Self::AddNumber { wallet, leads, person, document } => {
                PersonRecord::NumberAdded { wallet, leads, person, document }.into()
            }
        }
    }

    /// Whether a record is the one that carries it out. What a merging moves follows from the books, and is not agreed on.
    #[must_use]
    pub fn is_carried_out_by(&self, record: &Record) -> bool {
        match (self, record) {
            (Self::MergeWallets { wallet, merged, document }, Record::Person(told)) => match &**told {
                PersonRecord::WalletsMerged { wallet: kept, merged: gone, document: by, .. } => {
                    (kept, gone, by) == (wallet, merged, document)
                }
                PersonRecord::NumberAdded { .. } => false,
            },
            _ => self.record() == *record,
        }
    }
}

/// How a request for an approval ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalOutcome {
    /// Another operator approved, and it was carried out.
    Given,
    /// Another operator refused.
    Refused,
    /// Who asked took it back.
    Withdrawn,
}

/// One thing that happened to the registry, as its entry says it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// The book got its first operators. Once.
    OperatorsBootstrapped {
        /// At least two.
        operators: Vec<Founder>,
    },
    /// A client was registered, without a key yet.
    ClientRegistered {
        /// Its id.
        client: ClientId,
        /// Its role.
        role: Role,
        /// Of a payer and an authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bin: Option<Bin>,
        /// Of a bank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bic: Option<Bic>,
        /// Of an authority: what it is in law.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<Issuer>,
    },
    /// A client got a key.
    ClientKeyAdded {
        /// Whose.
        client: ClientId,
        /// The key's name.
        key: KeyId,
        /// The key.
        public_key: PublicKey,
    },
    /// A key was revoked: nothing signed with it is accepted after this entry.
    ClientKeyRevoked {
        /// The key's name.
        key: KeyId,
    },
    /// A client was suspended: nothing of it is accepted after this entry.
    ClientSuspended {
        /// Which.
        client: ClientId,
        /// Why.
        reason: Reason,
    },
    /// A suspended client was let in again.
    ClientReinstated {
        /// Which.
        client: ClientId,
        /// Why.
        reason: Reason,
    },
    /// An operator asked for what needs two. The request is named by this entry's number.
    ApprovalRequested {
        /// For what.
        proposal: Proposal,
        /// SHA-256 of the proposal.
        #[serde(with = "hexadecimal")]
        digest: [u8; 32],
        /// Until when it can be approved, UTC milliseconds.
        #[serde(with = "moment")]
        expires: i64,
    },
    /// Another operator approved: the next entry carries it out.
    ApprovalGiven {
        /// The request's entry.
        approval: u64,
        /// SHA-256 of the proposal.
        #[serde(with = "hexadecimal")]
        digest: [u8; 32],
    },
    /// The request was refused by another operator, or withdrawn by who asked.
    ApprovalClosed {
        /// The request's entry.
        approval: u64,
        /// Which of the two.
        outcome: ApprovalOutcome,
        /// Why.
        reason: Reason,
    },
    /// Payments are held to other limits from this entry on.
    LimitsSet {
        /// Which.
        limits: Limits,
    },
}

impl From<Change> for Record {
    fn from(change: Change) -> Self {
        Self::Registry(Box::new(change))
    }
}

impl Change {
    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OperatorsBootstrapped { .. } => "operators_bootstrapped",
            Self::ClientRegistered { .. } => "client_registered",
            Self::ClientKeyAdded { .. } => "client_key_added",
            Self::ClientKeyRevoked { .. } => "client_key_revoked",
            Self::ClientSuspended { .. } => "client_suspended",
            Self::ClientReinstated { .. } => "client_reinstated",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalGiven { .. } => "approval_given",
            Self::ApprovalClosed { .. } => "approval_closed",
            Self::LimitsSet { .. } => "limits_set",
        }
    }

    /// The members of its leaf.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut map)) => {
                map.remove("kind");
                map
            }
            _ => unreachable!("a tagged struct of texts and numbers is a JSON object"),
        }
    }
}

/// A change with its entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryChange {
    /// The entry.
    pub seq: u64,
    /// Whose request it was.
    pub by: ClientId,
    /// What it says.
    pub change: Change,
}

/// A key of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Its name.
    pub id: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// The entry that added it.
    pub added: u64,
    /// The entry that revoked it.
    pub revoked: Option<u64>,
}

/// A client with its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The client.
    pub client: Client,
    /// The entry that registered it.
    pub seq: u64,
    /// Its keys, revoked ones too, in the order in which they came.
    pub keys: Vec<Key>,
}

impl Registered {
    /// Its keys that are not revoked.
    pub fn live_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.revoked.is_none())
    }

    fn is_operator_with_key(&self) -> bool {
        self.client.role == Role::Operator && self.live_keys().next().is_some()
    }
}

/// A request for an approval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    /// Its entry, by which it is named.
    pub seq: u64,
    /// Who asked.
    pub by: ClientId,
    /// For what.
    pub proposal: Proposal,
    /// SHA-256 of the proposal.
    pub digest: [u8; 32],
    /// Until when it can be approved, UTC milliseconds.
    pub expires: i64,
    /// How it ended, by which entry, by whom.
    pub end: Option<(ApprovalOutcome, u64, ClientId)>,
}

/// The registry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registry {
    clients: BTreeMap<ClientId, Registered>,
    /// Whose each key is, also of revoked ones: a key is never registered twice.
    owners: HashMap<PublicKey, ClientId>,
    approvals: BTreeMap<u64, Approval>,
    newest: Option<u64>,
    limits: Option<Limits>,
    /// What was approved by the entry before, and by whom: the next entry carries it out.
    pub(super) approved: Option<(ClientId, Proposal)>,
}

impl Registry {
    /// The registry that these changes make, in order.
    #[must_use]
    pub fn of(changes: &[RegistryChange]) -> Self {
        let mut registry = Self::default();
        for change in changes {
            registry.apply(change);
        }
        registry
    }

    /// Applies a change that the rules have let through.
    pub fn apply(&mut self, RegistryChange { seq, by, change }: &RegistryChange) {
        self.newest = Some(*seq);
        match change {
            Change::OperatorsBootstrapped { operators } => {
                for Founder { client, public_key } in operators {
                    self.insert(*seq, *client, Role::Operator, Scope::Book);
                    self.insert_key(*seq, *client, *public_key);
                }
            }
            Change::ClientRegistered { client, role, bin, bic, issuer } => {
                if let Ok(scope) = Scope::of(*role, *bin, *bic, *issuer) {
                    self.insert(*seq, *client, *role, scope);
                }
            }
            Change::ClientKeyAdded { client, public_key, .. } => {
                self.insert_key(*seq, *client, *public_key);
            }
            Change::ClientKeyRevoked { key: id } => {
                let keys = self.clients.get_mut(&id.client()).map(|known| &mut known.keys);
                if let Some(key) = keys.into_iter().flatten().find(|key| key.id == *id) {
                    key.revoked = Some(*seq);
                }
            }
            Change::ClientSuspended { client, .. } => self.set_suspended(*client, true),
            Change::ClientReinstated { client, .. } => self.set_suspended(*client, false),
            Change::ApprovalRequested { proposal, digest, expires } => {
                let approval = Approval {
                    seq: *seq,
                    by: *by,
                    proposal: proposal.clone(),
                    digest: *digest,
                    expires: *expires,
                    end: None,
                };
                self.approvals.insert(*seq, approval);
            }
            Change::ApprovalGiven { approval, .. } => {
                self.end(*approval, (ApprovalOutcome::Given, *seq, *by));
            }
            Change::ApprovalClosed { approval, outcome, .. } => self.end(*approval, (*outcome, *seq, *by)),
            Change::LimitsSet { limits } => self.limits = Some(*limits),
        }
    }

    fn insert(&mut self, seq: u64, id: ClientId, role: Role, scope: Scope) {
        let client = Client { id, role, scope, suspended: false };
        self.clients.insert(id, Registered { client, seq, keys: Vec::new() });
    }

    fn insert_key(&mut self, added: u64, client: ClientId, public_key: PublicKey) {
        if let Some(known) = self.clients.get_mut(&client) {
            known.keys.push(Key { id: KeyId::of(client, &public_key), public_key, added, revoked: None });
            self.owners.insert(public_key, client);
        }
    }

    fn set_suspended(&mut self, client: ClientId, suspended: bool) {
        if let Some(known) = self.clients.get_mut(&client) {
            known.client.suspended = suspended;
        }
    }

    fn end(&mut self, approval: u64, end: (ApprovalOutcome, u64, ClientId)) {
        if let Some(approval) = self.approvals.get_mut(&approval) {
            approval.end = Some(end);
        }
    }

    /// Whether nobody is registered yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// The entry of the newest change.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// What payments are held to.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits.unwrap_or(Limits::DEFAULT)
    }

    /// All clients, by id.
    pub fn clients(&self) -> impl Iterator<Item = &Registered> {
        self.clients.values()
    }

    /// A client.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<&Registered> {
        self.clients.get(&id)
    }

    /// A key by its name, with its client, whether it is revoked or not.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<(&Client, &Key)> {
        let known = self.clients.get(&id.client())?;
        known.keys.iter().find(|key| key.id == *id).map(|key| (&known.client, key))
    }

    /// Whose a public key is, or was before it was revoked.
    #[must_use]
    pub fn owner(&self, key: &PublicKey) -> Option<ClientId> {
        self.owners.get(key).copied()
    }

    /// All requests for an approval, by entry.
    pub fn approvals(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.values()
    }

    /// A request for an approval, by its entry.
    #[must_use]
    pub fn approval(&self, seq: u64) -> Option<&Approval> {
        self.approvals.get(&seq)
    }

    /// What the entry before has approved, and the next one must carry out.
    #[must_use]
    pub fn approved(&self) -> Option<&Proposal> {
        self.approved.as_ref().map(|(_, proposal)| proposal)
    }

    /// Operators with a key that is not revoked, beside this one; suspended ones are counted if `suspended` says so.
    pub(super) fn other_operators(&self, than: ClientId, suspended: bool) -> usize {
        let others = self.clients.values().filter(|known| known.client.id != than);
        others.filter(|known| known.is_operator_with_key() && (suspended || !known.client.suspended)).count()
    }
}

/// 32 bytes as hexadecimal digits.
pub(super) mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::ledger) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| D::Error::custom("not 64 hexadecimal digits"))?;
        Ok(bytes)
    }
}

/// UTC milliseconds as RFC 3339 text.
pub(super) mod moment {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::domain::time::{parse_rfc3339, rfc3339};

    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
    pub(in crate::ledger) fn serialize<S: Serializer>(at: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 moment"))
    }
}
