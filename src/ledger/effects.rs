//! What a commit writes: the records of the journal and the rows of the projections, gathered while the rules decide.

use std::collections::BTreeMap;

use crate::domain::FundClass;

use super::account::SystemAccount;
use super::batch::BatchEntry;
use super::choice::NewChoice;
use super::order::{NewOrder, OrderEnd, RuleTable};
use super::payment::{Audience, AuthorisationEntry, NewAuthorisation, NewPayment, PaymentEntry, UsageEntry};
use super::person::{MovedLot, NewLead};
use super::record::{Actor, BatchDeclaration, ProgrammeSpec, Record};
use super::registry::RegistryChange;
use super::wallet::{Benefit, LotMovement, NewWallet, WalletEntry};

/// Benefits whose memory [`Effects::clear`] keeps: a payday pays a few.
const BENEFITS_KEPT_MAX: usize = 8;

/// A row of a system account: one a commit, whatever number of postings touched it. Tiyn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemEntry {
    /// The account's internal number.
    pub account: u32,
    /// 1, 2, 3 … within the account.
    pub version: u64,
    /// The last journal entry of the commit that touched the account.
    pub seq: u64,
    /// Commit time, UTC milliseconds.
    pub at: i64,
    /// Σ debits since the book was opened, this commit included.
    pub debits: i64,
    /// Σ credits since the book was opened, this commit included. The balance is credits − debits.
    pub credits: i64,
}

/// A system account that a commit opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewSystemAccount {
    /// Its internal number.
    pub number: u32,
    /// Which it is.
    pub account: SystemAccount,
}

/// A programme that a commit registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewProgramme {
    /// Its internal number.
    pub number: u32,
    /// The journal entry that registered it.
    pub seq: u64,
    /// What it is.
    pub spec: ProgrammeSpec,
}

/// A programme's class, from an entry on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewClass {
    /// The entry.
    pub seq: u64,
    /// The programme's internal number.
    pub programme: u32,
    /// The class of what it credits from then on.
    pub class: FundClass,
}

/// A batch that a commit opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBatch {
    /// Its internal number.
    pub number: u32,
    /// The journal entry that opened it.
    pub seq: u64,
    /// The client that opened it.
    pub client: crate::domain::ClientId,
    /// What it declared.
    pub declaration: BatchDeclaration,
}

/// What the journal says of its own log, after an entry that changes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogChange {
    /// The entry.
    pub seq: u64,
    /// The generation of the origin from then on.
    pub generation: u32,
    /// The key that this entry replaced, as a vkey.
    pub old_key: Option<String>,
    /// The key from then on, as a vkey; `None` if no rotation has named it yet.
    pub key: Option<String>,
}

/// Everything that one commit adds. Nothing in it changes a row that exists.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Effects {
    /// The journal, in order; the first has the number that the books had as their size before.
    pub records: Vec<(Record, Actor)>,
    /// Wallets opened.
    pub wallets: Vec<NewWallet>,
    /// Wallet entries, in journal order.
    pub entries: Vec<WalletEntry>,
    /// Lot movements, in journal order.
    pub movements: Vec<LotMovement>,
    /// System accounts opened.
    pub system_accounts: Vec<NewSystemAccount>,
    /// System entries, one an account touched.
    pub system_entries: Vec<SystemEntry>,
    /// Programmes registered.
    pub programmes: Vec<NewProgramme>,
    /// Who was paid which benefit: wallets' internal numbers by benefit, in journal order.
    pub benefits: BTreeMap<Benefit, Vec<u32>>,
    /// Instruction ids bound, with their entries.
    pub instructions: Vec<([u8; 16], u64)>,
    /// Batches opened.
    pub batches: Vec<NewBatch>,
    /// Batch entries.
    pub batch_entries: Vec<BatchEntry>,
    /// Changes of the log's origin and key.
    pub log_changes: Vec<LogChange>,
    /// Changes of who may call.
    pub registry: Vec<RegistryChange>,
    /// Changes of programmes' classes.
    pub classes: Vec<NewClass>,
    /// Authorisations given.
    pub authorisations: Vec<NewAuthorisation>,
    /// What became of authorisations, in journal order.
    pub authorisation_entries: Vec<AuthorisationEntry>,
    /// Transfers requested and cash-outs created.
    pub payments: Vec<NewPayment>,
    /// What became of them, in journal order.
    pub payment_entries: Vec<PaymentEntry>,
    /// What was counted by business day.
    pub usage: Vec<UsageEntry>,
    /// Who is told of which entry.
    pub events: Vec<(Audience, u64)>,
    /// Choices of a destination.
    pub choices: Vec<NewChoice>,
    /// Ids that lead to another wallet from now on.
    pub leads: Vec<NewLead>,
    /// Lots that came from a merged wallet.
    pub moved_lots: Vec<MovedLot>,
    /// Rule tables, with the entries from which on they are in force.
    pub rule_tables: Vec<(u64, RuleTable)>,
    /// Orders decided.
    pub orders: Vec<NewOrder>,
    /// Orders that stood, and stand no longer.
    pub order_ends: Vec<OrderEnd>,
}

impl Effects {
    /// Empties it and keeps its memory, for the next entry of a replay. Benefits keep their keys, without wallets.
    pub fn clear(&mut self) {
        let Self {
            records,
            wallets,
            entries,
            movements,
            system_accounts,
            system_entries,
            programmes,
            benefits,
            instructions,
            batches,
            batch_entries,
            log_changes,
            registry,
            classes,
            authorisations,
            authorisation_entries,
            payments,
            payment_entries,
            usage,
            events,
            choices,
            leads,
            moved_lots,
            rule_tables,
            orders,
            order_ends,
        } = self;
        records.clear();
        wallets.clear();
        entries.clear();
        movements.clear();
        system_accounts.clear();
        system_entries.clear();
        programmes.clear();
        instructions.clear();
        batches.clear();
        batch_entries.clear();
        log_changes.clear();
        registry.clear();
        classes.clear();
        authorisations.clear();
        authorisation_entries.clear();
        payments.clear();
        payment_entries.clear();
        usage.clear();
        events.clear();
        choices.clear();
        leads.clear();
        moved_lots.clear();
        rule_tables.clear();
        orders.clear();
        order_ends.clear();
        if benefits.len() > BENEFITS_KEPT_MAX {
            benefits.clear();
        }
        benefits.values_mut().for_each(Vec::clear);
    }

    /// Whether the commit would write nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The journal entry of this commit that bound an instruction.
    #[must_use]
    pub fn instruction(&self, id: &[u8; 16]) -> Option<u64> {
        self.instructions.iter().find(|(bound, _)| bound == id).map(|(_, seq)| *seq)
    }
}
