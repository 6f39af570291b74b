//! The desk: reads what a batch of commands touches, decides the commands in memory, seals the entries into leaves.
//!
//! It holds the books as they will be when everything decided so far is committed. The sequencer commits what the desk
//! prepares; a rehearsal never does. Between reading and committing nothing waits for the store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::domain::time::{Stamp, parse_rfc3339};
use crate::domain::{BatchId, ClientId, OrderKind, WalletId};
use crate::keys::BookKeys;
use crate::ledger::batch::{BatchState, LineVerdict, VERDICT_BYTES, Verdict};
use crate::ledger::batch_rules::Chunk;
use crate::ledger::books::{
    Books, Bound, Fault, Paid, Prior, bank_reference_id, consent_id, levy_settlement_id, settlement_id,
};
use crate::ledger::cash_rules::{SYSTEM, Tried};
use crate::ledger::effects::Effects;
use crate::ledger::order::{Known, Order, OrderRecord, Outcome as OrderOutcome};
use crate::ledger::order_rules::Intake;
use crate::ledger::payment::{CashReference, Counted, Payment, PaymentState, ReleaseCause};
use crate::ledger::payment_rules::{Answered, Party};
use crate::ledger::record::{Actor, Record};
use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::ledger::registry::Proposal;
use crate::ledger::rules::{Entry, Person};
use crate::ledger::signed::{Evidence, Nonce, SignedRequest};
use crate::ledger::wallet::{Benefit, EntryKind, Lot, Wallet, WalletState};
use crate::log::leaf::{Leaf, LeafWriter};
use crate::log::merkle::{Hash, leaf_hash};
use crate::log::tile::{BundleEntries, RightEdge, TILE_WIDTH, write_bundle_entry};
use crate::payroll::{Line, LineKind};
use crate::store::orders::OrderRow;
use crate::store::{Bundle, Commit, Head, Standing, Store, StoreError, Tile};

use super::command::{
    Command, CommandError, EntryView, ORDERS_MAX, OrderCommand, Outcome, PaymentCommand, RegistryCommand,
};
use super::edge::{EdgeError, edge_at, read_frontier};
use super::holder::{Choosing, HolderCommand, Touched};

/// Orders against a wallet that are read at once.
const ORDERS_READ: u32 = 1_000;

/// How many entries of another writer are followed one by one; beyond it everything is forgotten and read again.
pub const TAIL_MAX: u64 = 50_000;

/// How often the head and the tree's edge are read while other writers commit between the two reads.
const EDGE_ATTEMPTS_MAX: u32 = 100;

/// Memory of benefits' bitmaps: how many are kept before the ones not in use are forgotten.
const BENEFITS_MAX: usize = 512;

/// Bytes that are set aside for a leaf. (One that is longer is not cut.)
const LEAF_BYTES: usize = 640;

/// Lines that a rehearsal remembers to have paid.
const REHEARSED_MAX: usize = 1_000_000;

/// What a rehearsal has decided and the store will never hold.
#[derive(Default)]
struct Rehearsed {
    paid: HashMap<(u32, Benefit), Paid>,
    lots: HashMap<u32, BTreeMap<u32, Lot>>,
}

/// Why a batch of commands cannot be decided.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The books did not hold what a rule needs: a mistake of this program. Nothing was decided.
    #[error("the books did not hold {0}")]
    Unread(&'static str),
    /// The journal holds bytes that are not a leaf.
    #[error("entry {0} of the journal cannot be read")]
    Journal(u64),
    /// The log's tree and its stored right edge do not fit.
    #[error(transparent)]
    Edge(#[from] EdgeError),
}

impl From<Fault> for DeskError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unread(what) => Self::Unread(what),
            Fault::Refused(_) | Fault::Told(_) => Self::Unread("a refusal that was not answered"),
        }
    }
}

/// A command and who asked for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// What.
    pub command: Command,
    /// Who.
    pub actor: Actor,
    /// What was signed; `None` for a command of this process.
    pub signed: Option<Box<SignedRequest>>,
}

impl Request {
    fn nonce(&self) -> Option<Nonce> {
        self.signed.as_ref().map(|signed| signed.nonce)
    }
}

/// What became of a batch of commands: the commit that carries it and the answers that are true once it is in.
pub struct Prepared {
    /// The commit; `None` if there is nothing to write.
    pub commit: Option<Commit>,
    /// The nonces of the commands, if there is no commit to carry them.
    pub nonces: Vec<Nonce>,
    /// An answer for each command, in order. [`write_out`] completes them.
    pub answers: Vec<Result<Outcome, CommandError>>,
}

/// Writes out what the answers show of the commit's entries. It is apart from deciding, because it can be done while the commit
/// is under way.
pub fn write_out(answers: &mut [Result<Outcome, CommandError>], commit: &Commit) {
    for answer in answers {
        let Ok(Outcome::Entry(entry)) = answer else { continue };
        if entry.is_unwritten() {
            let place =
                entry.seq.checked_sub(commit.before.size).and_then(|place| usize::try_from(place).ok());
            let made = place.and_then(|place| commit.effects.records.get(place));
            match made {
                Some((record, _)) => {
                    *entry =
                        EntryView { leaf_hash: entry.leaf_hash, ..view(entry.seq, record, commit.stamp) };
                }
                None => *answer = Err(CommandError::Unavailable("an entry is not in its commit".into())),
            }
        }
    }
}

/// The desk.
pub struct Desk {
    store: Arc<dyn Store>,
    keys: Arc<BookKeys>,
    books: Books,
    head: Head,
    edge: RightEdge,
    leaves: LeafWriter,
    rehearsed: Option<Rehearsed>,
    /// Which of the nonces that were asked for are spent.
    spent: HashSet<[u8; 16]>,
    /// Whether the commands were taken on trust: nobody was asked whether they are bound or their nonces spent.
    trusting: bool,
}

impl Desk {
    /// Reads the head of the book and what every batch needs. `wallets_max` bounds the memory of wallets' heads.
    pub async fn open(
        store: Arc<dyn Store>,
        keys: Arc<BookKeys>,
        wallets_max: usize,
    ) -> Result<Self, DeskError> {
        let leaves = LeafWriter::new(keys.book(), keys.blind());
        let books = Books::empty(wallets_max, false);
        let (head, edge) = read_edge(&*store).await?;
        let mut desk = Self {
            store,
            keys,
            books,
            head,
            edge,
            leaves,
            rehearsed: None,
            spent: HashSet::new(),
            trusting: false,
        };
        desk.read_small().await?;
        desk.take_head(head);
        Ok(desk)
    }

    /// Keeps in mind what was decided, for a rehearsal: what later commands touch is read from a store that will never have
    /// it. Of more than [`REHEARSED_MAX`] benefits paid it is only known that they were.
    pub fn remember(&mut self, effects: &Effects) {
        let rehearsed = self.rehearsed.get_or_insert_default();
        for row in effects.entries.iter().filter(|row| row.kind == EntryKind::Accrual) {
            if let Some(benefit) = row.benefit
                && rehearsed.paid.len() < REHEARSED_MAX
            {
                let paid = Paid { seq: row.seq, amount: row.amount };
                rehearsed.paid.insert((row.after.account, benefit), paid);
            }
        }
        for movement in &effects.movements {
            let lots = self.books.lots.get(&movement.account);
            if let Some(lot) = lots.and_then(|lots| lots.get(&movement.lot)) {
                rehearsed.lots.entry(movement.account).or_default().insert(movement.lot, *lot);
            }
        }
    }

    /// The head that the next commit builds on.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The right edge of the log's tree at that head.
    #[must_use]
    pub fn edge(&self) -> &RightEdge {
        &self.edge
    }

    /// The books.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    fn take_head(&mut self, head: Head) {
        self.head = head;
        self.books.size = head.size;
        self.books.wallet_count = head.wallet_count;
        self.books.batch_count = head.batch_count;
    }

    async fn read_small(&mut self) -> Result<(), DeskError> {
        let accounts = self.store.system_accounts().await?;
        let programmes = self.store.programmes().await?;
        let changes = self.store.log_changes().await?;
        let registry = self.store.registry_changes().await?;
        self.books.leads = self.books.leads || self.store.has_leads().await?;
        self.books.forget_small();
        self.books.load_log(&changes);
        self.books.load_registry(&registry);
        self.books.orders.rules = self.store.newest_rules().await?;
        for head in accounts {
            self.books.load_system(head);
        }
        for row in programmes {
            self.books.load_programme(row.number, row.seq, row.spec)?;
        }
        Ok(())
    }

    /// Forgets what a record has touched, so that it is read again.
    fn forget(&mut self, record: &Record) {
        let benefit = |books: &Books, programme, period, part| {
            books.programme(programme).map(|programme| Benefit { programme: programme.number, period, part })
        };
        match record {
            Record::Accrued { wallet, programme, period, part, .. } => {
                self.books.wallets.forget(*wallet);
                if let Some(benefit) = benefit(&self.books, *programme, *period, *part) {
                    self.books.benefits.remove(&benefit);
                }
            }
            Record::WalletOpened { wallet, .. }
            | Record::Reversed { wallet, .. }
            | Record::PaidOut { wallet, .. }
            | Record::Returned { wallet, .. } => self.books.wallets.forget(*wallet),
            Record::Payment(record) => {
                if let Some(wallet) = record.wallet() {
                    self.books.wallets.forget(wallet);
                }
            }
            Record::State(record) => self.books.wallets.forget(record.wallet()),
            Record::Choice(record) => self.books.wallets.forget(record.wallet()),
            Record::Person(record) => {
                for wallet in record.wallets() {
                    self.books.wallets.forget(wallet);
                }
                // A merging pays its wallet whatever the other was paid. It is rare.
                self.books.benefits.clear();
            }
            Record::Order(record) => {
                if let Some(wallet) = record.wallet() {
                    self.books.wallets.forget(wallet);
                }
            }
            _ => {} // programmes, system accounts, batches and rules are all read again
        }
    }

    /// Forgets what decided commands have touched that will not be committed as they were.
    pub fn discard(&mut self, effects: &Effects) {
        for (record, _) in &effects.records {
            self.forget(record);
        }
    }

    /// Comes up to the store's head after another writer's commits, or after commits of ours were discarded.
    /// `confirmed` is the last head, with its edge, that is known to be in the store.
    pub async fn catch_up(&mut self, confirmed: Head, edge: RightEdge) -> Result<(), DeskError> {
        let mut head =
            self.store.head().await?.ok_or_else(|| StoreError::Schema("the book is gone".into()))?;
        self.edge = edge;
        self.books.forget_lookups();
        let news = head.size.checked_sub(confirmed.size).ok_or_else(|| {
            StoreError::Schema(
                "the store is shorter than what was committed to it: it was restored or has failed over"
                    .into(),
            )
        })?;
        if news > TAIL_MAX {
            self.books.wallets.clear();
            self.books.benefits.clear();
            (head, self.edge) = read_edge(&*self.store).await?;
        } else {
            let mut next = confirmed.size;
            while next < head.size {
                let bundles = self.store.bundles(next, 64).await?;
                let before = next;
                for bundle in bundles {
                    for (entry, leaf) in (bundle.first..).zip(BundleEntries::new(&bundle.bytes)) {
                        let leaf = leaf.map_err(|_| DeskError::Journal(entry))?;
                        if (next..head.size).contains(&entry) {
                            let record = Leaf::read(leaf).and_then(|leaf| leaf.record());
                            self.forget(&record.map_err(|_| DeskError::Journal(entry))?);
                            // Full tiles of another writer's commit are in the store already.
                            drop(self.edge.append([leaf_hash(leaf)]));
                            next = entry + 1;
                        }
                    }
                }
                if next == before {
                    return Err(DeskError::Journal(next));
                }
            }
        }
        self.read_small().await?;
        self.take_head(head);
        Ok(())
    }

    /// Whether a command reads nothing but wallets' heads and benefits' bitmaps, which the desk keeps true while a commit
    /// is under way. Others are read when nothing is.
    #[must_use]
    pub fn can_overtake(&self, command: &Command) -> bool {
        match command {
            Command::Chunk(chunk) => self.books.batches.get(&chunk.batch).is_some_and(|batch| {
                batch.declaration.kind != LineKind::Reversal
                    && !batch.received.overlaps(chunk.first_line, chunk.lines.len() as u64)
            }),
            _ => false,
        }
    }

    /// Takes commands on trust, if the desk knows all that they touch: then nothing is read. The desk knows it as it is at its
    /// head, which the commit is fenced by; that no instruction is bound to another entry and no nonce is spent is held by
    /// the keys of the commit's own rows. So what is accepted is right or not committed; what is refused must be asked about
    /// before it is answered. Call it only when nothing is being committed.
    pub fn take_on_trust(&mut self, requests: &[Request]) -> bool {
        if self.rehearsed.is_some() {
            return false;
        }
        for request in requests {
            let Command::Accrue { accrual, .. } = &request.command else { return false };
            let Some(programme) = self.books.programme(accrual.programme) else { return false };
            let benefit = Benefit { programme: programme.number, period: accrual.period, part: accrual.part };
            let Some(wallet) = self.books.wallets.get(accrual.wallet) else { return false };
            let Some(paid) = self.books.benefits.get(&benefit) else { return false };
            if wallet.is_some_and(|wallet| wallet.choice || paid.contains(wallet.account)) {
                return false;
            }
        }
        self.books.forget_lookups();
        self.spent.clear();
        self.books
            .instructions
            .extend(requests.iter().filter_map(|request| Some((request.actor.instruction?, None))));
        self.trusting = true;
        true
    }

    /// Reads what the commands touch, and last of all the store's head, which it answers. `settled`: no commit is under way.
    /// `None`: something must be read that a commit under way may be changing; come again when it is settled.
    pub async fn read(&mut self, requests: &[Request], settled: bool) -> Result<Option<Head>, DeskError> {
        self.trusting = false;
        self.books.orders.ending.clear();
        if settled {
            self.books.forget_lookups();
            self.read_batches(requests).await?;
            self.read_payments(requests).await?;
            self.read_orders(requests).await?;
        }
        let wanted = Wanted::of(requests, &self.books);
        let named = wanted.named;
        self.read_wallets(wanted.wallets).await?;
        self.read_benefits(wanted.benefits, settled).await?;
        let mut paid: HashSet<(u32, Benefit)> = HashSet::new();
        let mut choosing = Choosing::default();
        for (wallet, benefit) in wanted.accruals {
            let Some(Some(head)) = self.books.wallets.get(wallet) else { continue };
            if head.choice && choosing.0.insert(head.account) {
                choosing.1.push(head);
            }
            if self.books.benefits.get(&benefit).is_some_and(|accounts| accounts.contains(head.account)) {
                paid.insert((head.account, benefit));
            }
        }
        // What a choice sends on is counted against limits, which a commit under way may be changing.
        if !settled && !choosing.0.is_empty() {
            return Ok(None);
        }
        if !paid.is_empty() {
            if !settled {
                return Ok(None);
            }
            let paid: Vec<_> = paid.into_iter().collect();
            for (key, entry) in self.store.paid(&paid).await? {
                // Where two wallets were both paid and merged, the first is named.
                self.books.paid.entry(key).or_insert(entry);
            }
            if let Some(rehearsed) = &self.rehearsed {
                let forgotten = Paid { seq: self.head.size - 1, amount: 0 };
                for key in &paid {
                    let known = rehearsed.paid.get(key).copied().unwrap_or(forgotten);
                    self.books.paid.entry(*key).or_insert(known);
                }
            }
        }
        if settled {
            self.read_ending(named, &choosing).await?;
            self.read_debts(requests).await?;
            self.read_lots(requests).await?;
            for request in requests {
                let touched = Touched::of(&request.command, self.books.registry());
                let Some(touched) = touched else { continue };
                choosing.add(&mut self.books, &touched);
                self.read_merge(&touched).await?;
            }
            self.read_choices(&choosing).await?;
            self.read_usage(requests, &choosing).await?;
            for request in requests {
                if let Command::Chunk(chunk) = &request.command {
                    self.read_prior(chunk).await?;
                }
            }
        }
        self.read_standing(requests, settled).await.map(Some)
    }

    async fn read_batches(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let unknown = |id: &BatchId| !self.books.batches.contains_key(id);
        let ids: BTreeSet<BatchId> =
            requests.iter().filter_map(|request| batch_of(&request.command)).filter(unknown).collect();
        if !ids.is_empty() {
            let ids: Vec<_> = ids.into_iter().collect();
            for batch in self.store.batches(&ids).await? {
                self.books.batches.insert(batch.declaration.batch, batch);
            }
        }
        Ok(())
    }

    /// The authorisations and payments that commands name.
    async fn read_payments(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let commands = || requests.iter().filter_map(payment_of);
        let mut authorisations: BTreeSet<u64> = BTreeSet::new();
        let mut payments: BTreeSet<u64> = BTreeSet::new();
        let references: BTreeSet<CashReference> = commands().filter_map(PaymentCommand::reference).collect();
        for command in commands() {
            match command {
                PaymentCommand::Revoke { authorisation, .. }
                | PaymentCommand::Transfer { authorisation, .. }
                | PaymentCommand::CreateCash { authorisation, .. } => {
                    authorisations.insert(*authorisation);
                }
                PaymentCommand::Answer { answers, .. } => {
                    payments.extend(answers.iter().map(|(transfer, ..)| *transfer));
                }
                PaymentCommand::ExpireCash(entries) => payments.extend(entries),
                _ => {}
            }
        }
        authorisations.extend(requests.iter().filter_map(|request| request.command.authorisation()));
        let references: Vec<_> = references.into_iter().collect();
        for (reference, cash) in self.store.cash_outs(&references).await? {
            self.books.cash.insert(reference, cash);
            payments.insert(cash);
        }
        let authorisations: Vec<_> = authorisations.into_iter().collect();
        for known in self.store.authorisations(&authorisations).await? {
            self.books.authorisations.insert(known.seq, known);
        }
        let payments: Vec<_> = payments.into_iter().collect();
        for known in self.store.payments(&payments).await? {
            self.books.payments.insert(known.seq, known);
        }
        Ok(())
    }

    /// What holders have chosen, with the authorisations that they chose.
    async fn read_choices(&mut self, choosing: &Choosing) -> Result<(), DeskError> {
        if choosing.0.is_empty() {
            return Ok(());
        }
        let accounts: Vec<u32> = choosing.0.iter().copied().collect();
        for account in &accounts {
            self.books.choices.entry(*account).or_default();
        }
        let mut named: BTreeSet<u64> = BTreeSet::new();
        for (account, programme, chosen) in self.store.choices(&accounts).await? {
            named.extend(chosen.authorisation);
            self.books.choices.entry(account).or_default().insert(programme, chosen);
        }
        let unread: Vec<u64> =
            named.into_iter().filter(|seq| !self.books.authorisations.contains_key(seq)).collect();
        let found = self.store.authorisations(&unread).await?;
        // An authorisation may have been given to a wallet that was merged since.
        self.read_wallets(found.iter().map(|known| known.wallet).collect()).await?;
        self.books.authorisations.extend(found.into_iter().map(|known| (known.seq, known)));
        Ok(())
    }

    /// Everything that a wallet ever was paid, which is to be merged, and what of it the other was paid too.
    async fn read_merge(&mut self, touched: &Touched) -> Result<(), DeskError> {
        let Some((wallet, merged)) = touched.merges else { return Ok(()) };
        let heads = (self.books.wallets.get(wallet), self.books.wallets.get(merged));
        let (Some(Some(kept)), Some(Some(gone))) = heads else { return Ok(()) };
        self.books.lots.entry(gone.account).or_default();
        self.books.lots.entry(kept.account).or_default();
        let mut benefits: BTreeSet<Benefit> = BTreeSet::new();
        if gone.version > 0 {
            for (account, lot) in self.store.lots(&[(gone.account, 1, gone.version)]).await? {
                benefits.insert(lot.benefit);
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        let (mut after, mut standing) = (0, BTreeSet::new());
        loop {
            let rows = self.store.orders_against(gone.account, after, ORDERS_READ).await?;
            let stands = |row: &&OrderRow| row.outcome == OrderOutcome::Held && row.ended.is_none();
            standing.extend(rows.iter().filter(stands).map(|row| row.seq));
            match rows.last() {
                Some(last) if rows.len() == ORDERS_READ as usize => after = last.seq,
                _ => break,
            }
        }
        self.books.orders.standing.insert(gone.account, standing);
        self.read_benefits(benefits.clone(), true).await?;
        let keys: Vec<_> = benefits.into_iter().map(|benefit| (kept.account, benefit)).collect();
        if !keys.is_empty() {
            for (account, lot) in self.store.lots_of_benefits(&keys).await? {
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        Ok(())
    }

    /// The orders that commands bring or name, and those that they name in turn.
    async fn read_orders(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let mut tags: BTreeSet<[u8; 32]> = BTreeSet::new();
        let mut entries: BTreeSet<u64> = BTreeSet::new();
        for request in requests {
            match &request.command {
                Command::Order(OrderCommand::Decide(orders)) => {
                    tags.extend(orders.iter().map(Intake::tag));
                    for order in orders.iter().filter_map(|intake| intake.said.as_ref().ok()) {
                        tags.extend(order.lifts);
                    }
                }
                Command::Order(OrderCommand::Expire(orders)) => entries.extend(orders),
                _ => {}
            }
        }
        let tags: Vec<[u8; 32]> = tags.into_iter().collect();
        let entries: Vec<u64> = entries.into_iter().collect();
        let mut rows = self.store.orders_by_tag(&tags).await?;
        rows.extend(self.store.orders(&entries).await?);
        rows.retain(|row| row.outcome != OrderOutcome::Malformed);
        self.books.orders.by_tag.extend(tags.into_iter().map(|tag| (tag, None)));
        self.know_orders(rows).await
    }

    /// Keeps orders, with what their entries say.
    async fn know_orders(&mut self, rows: Vec<OrderRow>) -> Result<(), DeskError> {
        if rows.is_empty() {
            return Ok(());
        }
        let entries: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        let mut decisions = HashMap::with_capacity(rows.len());
        for (seq, bytes) in self.store.leaves(&entries).await? {
            match Leaf::read(&bytes).and_then(|leaf| leaf.record()) {
                Ok(Record::Order(record)) => {
                    if let OrderRecord::Decided(decision) = *record {
                        decisions.insert(seq, *decision);
                    }
                }
                _ => return Err(DeskError::Journal(seq)),
            }
        }
        for row in rows {
            let OrderRow { seq, tag, account, drawn, ended, .. } = row;
            let decision = decisions.remove(&seq).ok_or(DeskError::Journal(seq))?;
            let orders = &mut self.books.orders;
            orders.by_tag.insert(tag, Some(seq));
            orders.known.insert(seq, Known { seq, decision, account, drawn, ended });
        }
        Ok(())
    }

    /// What was taken for the tax debts that orders name, of their debtors' wallets.
    async fn read_debts(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let mut debts: BTreeSet<(u32, [u8; 32])> = BTreeSet::new();
        for request in requests {
            let Command::Order(OrderCommand::Decide(orders)) = &request.command else { continue };
            for intake in orders {
                let Some(debt) = intake.said.as_ref().ok().and_then(|order| order.debt) else { continue };
                self.books.orders.debts.insert(debt.tag);
                if let Some(Some(wallet)) = intake.wallet.and_then(|id| self.books.wallets.get(id)) {
                    debts.insert((wallet.account, debt.tag));
                }
            }
        }
        let debts: Vec<_> = debts.into_iter().collect();
        for (account, debt, taken) in self.store.collected(&debts).await? {
            self.books.orders.collect(account, debt, taken);
        }
        Ok(())
    }

    /// The orders that stand on wallets, and whose time ends: those whose time is over end before anything else is decided. Most
    /// wallets are not frozen and have nothing general that is held, and none stands on them.
    async fn read_ending(&mut self, named: Vec<WalletId>, choosing: &Choosing) -> Result<(), DeskError> {
        let mut accounts: Vec<u32> = Vec::new();
        let mut look = |orders: &mut crate::ledger::order_rules::Orders, wallet: Wallet| {
            orders.freezes.insert(wallet.account, BTreeSet::new());
            orders.ending.insert(wallet.account, BTreeMap::new());
            if wallet.frozen || wallet.general_held > 0 {
                accounts.push(wallet.account);
            }
        };
        for id in named {
            if let Some(Some(wallet)) = self.books.wallets.get(id) {
                look(&mut self.books.orders, wallet);
            }
        }
        for wallet in &choosing.1 {
            look(&mut self.books.orders, *wallet);
        }
        // Nothing that a rehearsal ends would stay so.
        if accounts.is_empty() || self.rehearsed.is_some() {
            return Ok(());
        }
        accounts.sort_unstable();
        accounts.dedup();
        let rows = self.store.standing_until(&accounts).await?;
        for row in &rows {
            let orders = &mut self.books.orders;
            if row.kind == Some(OrderKind::Freeze) {
                orders.freezes.entry(row.account).or_default().insert(row.seq);
            }
            orders.ending.entry(row.account).or_default().extend(row.expires.map(|end| (row.seq, end)));
        }
        self.know_orders(rows).await
    }

    /// What was counted lately of what commands will count.
    async fn read_usage(&mut self, requests: &[Request], choosing: &Choosing) -> Result<(), DeskError> {
        let mut counted: BTreeSet<Counted> = BTreeSet::new();
        for account in &choosing.0 {
            counted.extend([Counted::Wallet(*account), Counted::WalletCash(*account)]);
        }
        let sends_on = |request: &&Request| holder_of(request).is_some_and(|it| it.authorisation().is_some());
        let channels = requests.iter().filter(sends_on).map(|request| request.actor.client);
        counted.extend(channels.map(Counted::Choices));
        for command in requests.iter().filter_map(payment_of) {
            match command {
                PaymentCommand::Transfer { authorisation, .. }
                | PaymentCommand::CreateCash { authorisation, .. } => {
                    let Some(known) = self.books.authorisations.get(authorisation).copied() else { continue };
                    let Some(Some(wallet)) = self.books.wallets.get(known.wallet) else { continue };
                    let account = wallet.account;
                    counted.extend([Counted::Wallet(account), Counted::WalletCash(account)]);
                    counted.insert(Counted::Channel(known.channel));
                }
                PaymentCommand::Redeem { bank, terminal, .. } => {
                    let terminal = Counted::TriesOfTerminal(*bank, terminal.clone());
                    counted.extend([terminal, Counted::TriesOfBank(*bank), Counted::Tries]);
                }
                _ => {}
            }
        }
        let counted: Vec<Counted> = counted.into_iter().collect();
        let mut found: HashMap<String, _> = HashMap::new();
        for row in self.store.usage(&counted).await? {
            found.insert(row.counted.clone(), row);
        }
        for counted in counted {
            let newest = found.remove(&counted.to_string());
            self.books.usage.insert(counted, newest);
        }
        Ok(())
    }

    /// Which instructions are bound, which nonces are spent, and the store's head, in one read. A command that may overtake
    /// a commit binds no instruction.
    async fn read_standing(&mut self, requests: &[Request], settled: bool) -> Result<Head, DeskError> {
        let mut ids: BTreeSet<[u8; 16]> = BTreeSet::new();
        for request in requests.iter().filter(|_| settled) {
            ids.extend(request.actor.instruction);
            ids.extend(self.reference_of(request));
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let nonces: Vec<Nonce> = requests.iter().filter_map(Request::nonce).collect();
        let standing = self.store.standing(&ids, &nonces).await?;
        let Standing { head, bound, spent } =
            standing.ok_or_else(|| StoreError::Schema("the book is gone".into()))?;
        self.spent = spent.into_iter().collect();
        for id in ids {
            self.books.instructions.insert(id, None);
        }
        let entries: Vec<u64> = bound.iter().map(|(_, seq)| *seq).collect();
        let leaves = self.read_leaves(&entries).await?;
        for (id, seq) in bound {
            let (content, hash) = leaves.get(&seq).cloned().ok_or(DeskError::Journal(seq))?;
            let kind = content.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let bound = Bound { seq, kind, content, leaf_hash: Some(hash) };
            self.books.instructions.insert(id, Some(bound));
        }
        Ok(head)
    }

    /// The id, other than its instruction's, that a command would bind: of a bank reference, or of a consent.
    fn reference_of(&self, request: &Request) -> Option<[u8; 16]> {
        let proposal = match &request.command {
            Command::Payment(PaymentCommand::Authorise { consent, .. })
            | Command::Holder(HolderCommand::Choose { consent, .. }) => {
                return Some(consent_id(request.actor.client, &consent.evidence));
            }
            Command::Fund { bank_reference, .. } => return Some(bank_reference_id(bank_reference)),
            Command::Payment(PaymentCommand::SettleClearing { bank, direction, bank_reference, .. }) => {
                return Some(settlement_id(*bank, *direction, bank_reference));
            }
            Command::Order(OrderCommand::SettleLevy { authority, bank_reference, .. }) => {
                return Some(levy_settlement_id(*authority, bank_reference));
            }
            Command::Registry(RegistryCommand::RequestApproval(proposal)) => proposal,
            Command::Registry(RegistryCommand::GiveApproval { approval, .. }) => {
                &self.books.registry().approval(*approval)?.proposal
            }
            _ => return None,
        };
        match proposal {
            Proposal::Fund { bank_reference, .. } => Some(bank_reference_id(bank_reference)),
            _ => None,
        }
    }

    /// The members of leaves, and their hashes.
    async fn read_leaves(
        &self,
        entries: &[u64],
    ) -> Result<HashMap<u64, (Map<String, Value>, Hash)>, DeskError> {
        if entries.is_empty() {
            return Ok(HashMap::new());
        }
        let mut leaves = HashMap::with_capacity(entries.len());
        for (seq, bytes) in self.store.leaves(entries).await? {
            let members = serde_json::from_slice(&bytes).map_err(|_| DeskError::Journal(seq))?;
            leaves.insert(seq, (members, leaf_hash(&bytes)));
        }
        Ok(leaves)
    }

    async fn read_wallets(&mut self, mut wanted: Vec<WalletId>) -> Result<(), DeskError> {
        loop {
            let mut unknown: Vec<WalletId> =
                wanted.into_iter().filter_map(|id| self.books.wallets.missing(id)).collect();
            unknown.sort_unstable();
            unknown.dedup();
            if unknown.is_empty() {
                return Ok(());
            }
            let found = self.store.wallets(&unknown).await?;
            let leads = if self.books.leads {
                // Where no wallet is, or a closed one, the id may lead to another.
                let open = found.iter().filter(|(_, wallet)| wallet.state != WalletState::Closed);
                let open: HashSet<WalletId> = open.map(|(id, _)| *id).collect();
                let others: Vec<WalletId> = unknown.iter().copied().filter(|id| !open.contains(id)).collect();
                self.store.leads(&others).await?
            } else {
                Vec::new()
            };
            // Nothing is remembered before all of it is read: half of it would tell of a wallet that is none any more.
            for id in unknown {
                self.books.wallets.put(id, None);
            }
            for (id, wallet) in found {
                self.books.wallets.put(id, Some(wallet));
            }
            for (id, to) in &leads {
                self.books.wallets.lead(*id, *to);
            }
            wanted = leads.into_iter().map(|(_, to)| to).collect();
        }
    }

    async fn read_benefits(&mut self, wanted: BTreeSet<Benefit>, settled: bool) -> Result<(), DeskError> {
        if settled && self.books.benefits.len() > BENEFITS_MAX {
            self.books.benefits.retain(|benefit, _| wanted.contains(benefit));
        }
        let unknown: Vec<Benefit> =
            wanted.into_iter().filter(|benefit| !self.books.benefits.contains_key(benefit)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let found = self.store.benefits(&unknown).await?;
        for benefit in unknown {
            self.books.benefits.insert(benefit, roaring::RoaringBitmap::new());
        }
        self.books.benefits.extend(found);
        Ok(())
    }

    /// Whether lots of the wallet are looked at for an order. Most wallets have no free general money, and none are; but other
    /// commands of the batch may bring some.
    fn order_needs_lots(&mut self, order: &Order, wallet: WalletId) -> bool {
        let known = self.books.wallets.get(wallet).flatten();
        let is_bare = known.is_none_or(|known| known.general == known.general_held);
        !is_bare || order.lifts.is_some() || order.overpaid.is_some()
    }

    /// The wallets that others are to be merged into.
    fn merged_into(&self, requests: &[Request]) -> BTreeSet<WalletId> {
        let touched = requests.iter().filter_map(|it| Touched::of(&it.command, self.books.registry()));
        touched.filter_map(|touched| touched.merges).map(|(wallet, _)| wallet).collect()
    }

    async fn read_lots(&mut self, requests: &[Request]) -> Result<(), DeskError> {
        let mut wallets = self.merged_into(requests);
        let mut benefits: Vec<(WalletId, Benefit)> = Vec::new();
        let mut pay_outs: BTreeSet<u64> = BTreeSet::new();
        let benefit_of = |books: &Books, programme, period, part| {
            books.programme(programme).map(|programme| Benefit { programme: programme.number, period, part })
        };
        let others = requests.iter().any(|request| !matches!(request.command, Command::Order(_)));
        for request in requests {
            match &request.command {
                Command::Reverse { reversal, .. } => {
                    wallets.insert(reversal.wallet);
                    let benefit = benefit_of(&self.books, reversal.programme, reversal.period, reversal.part);
                    benefits.extend(benefit.map(|benefit| (reversal.wallet, benefit)));
                }
                Command::Chunk(chunk) => {
                    for line in &chunk.lines {
                        if let (Some(wallet), Ok(Line::Reversal(read))) = (line.wallet, &line.parsed.line) {
                            wallets.insert(wallet);
                            let benefit = benefit_of(&self.books, read.programme, read.period, read.part);
                            benefits.extend(benefit.map(|benefit| (wallet, benefit)));
                        }
                    }
                }
                Command::PayOut { wallet, .. } => {
                    wallets.insert(*wallet);
                }
                Command::Return { pay_out, .. } => {
                    pay_outs.insert(*pay_out);
                }
                Command::Order(OrderCommand::Decide(orders)) => {
                    for (order, wallet) in
                        orders.iter().filter_map(|intake| Some((intake.said.as_ref().ok()?, intake.wallet?)))
                    {
                        if others || self.order_needs_lots(order, wallet) {
                            wallets.insert(wallet);
                        }
                        let paid = order
                            .overpaid
                            .and_then(|paid| benefit_of(&self.books, paid.programme, paid.period, paid.part));
                        benefits.extend(paid.map(|benefit| (wallet, benefit)));
                    }
                }
                _ => {}
            }
        }
        // What an order holds is open.
        wallets.extend(self.books.orders.known.values().filter_map(|known| known.decision.wallet));
        let mut from: HashMap<WalletId, u32> = HashMap::new();
        for known in self.books.payments.values() {
            let first = first_drawn(known, self.books.wallets.led(known.wallet).is_some());
            let lowest = from.entry(known.wallet).or_insert(u32::MAX);
            *lowest = first.min(*lowest);
            wallets.insert(known.wallet);
        }
        wallets.extend(self.books.authorisations.values().map(|known| known.wallet));
        if !pay_outs.is_empty() {
            let entries: Vec<u64> = pay_outs.into_iter().collect();
            let found = self.store.pay_outs(&entries).await?;
            self.read_wallets(found.iter().map(|(_, pay_out)| pay_out.wallet).collect()).await?;
            for (entry, pay_out) in found {
                let first = pay_out.shares.iter().map(|share| share.lot).min().unwrap_or(u32::MAX);
                let lowest = from.entry(pay_out.wallet).or_insert(u32::MAX);
                *lowest = first.min(*lowest);
                wallets.insert(pay_out.wallet);
                self.books.pay_outs.insert(entry, pay_out);
            }
        }
        let mut open = Vec::new();
        for id in wallets {
            let Some(Some(wallet)) = self.books.wallets.get(id) else { continue };
            self.books.lots.entry(wallet.account).or_default();
            let first = if wallet.first_open_lot == 0 { wallet.version + 1 } else { wallet.first_open_lot };
            let first = first.min(from.get(&id).copied().unwrap_or(u32::MAX));
            if first <= wallet.version {
                open.push((wallet.account, first, wallet.version));
            }
        }
        if !open.is_empty() {
            for (account, lot) in self.store.lots(&open).await? {
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        let named: Vec<(u32, Benefit)> = benefits
            .into_iter()
            .filter_map(|(wallet, benefit)| Some((self.books.wallets.get(wallet)??.account, benefit)))
            .collect();
        if !named.is_empty() {
            for (account, lot) in self.store.lots_of_benefits(&named).await? {
                self.books.lots.entry(account).or_default().insert(lot.version, lot);
            }
        }
        if let Some(rehearsed) = &self.rehearsed {
            for (account, lots) in &mut self.books.lots {
                lots.extend(
                    rehearsed.lots.get(account).into_iter().flatten().map(|(version, lot)| (*version, *lot)),
                );
            }
        }
        Ok(())
    }

    /// Reads the earlier verdicts of lines that come again, and what was accepted then.
    async fn read_prior(&mut self, chunk: &Chunk) -> Result<(), DeskError> {
        let lines = chunk.lines.len() as u64;
        let Some(batch) = self.books.batches.get(&chunk.batch) else { return Ok(()) };
        if !batch.received.overlaps(chunk.first_line, lines) {
            return Ok(());
        }
        let last = chunk.first_line + lines - 1;
        let rows = self.store.chunks(batch.number, chunk.first_line, last).await?;
        let mut priors: HashMap<u64, Prior> = HashMap::new();
        for row in rows {
            for (line, bytes) in (row.first_line..).zip(row.verdicts.chunks(VERDICT_BYTES)) {
                if (chunk.first_line..=last).contains(&line) {
                    let verdict = LineVerdict::load(bytes).ok_or(StoreError::Inconsistent {
                        table: "batch_entry",
                        column: "verdicts",
                        found: format!("line {line}"),
                    })?;
                    let from = (row.digest, row.first_line);
                    let origin = match (priors.get(&line), verdict.verdict) {
                        // A later row may carry the line's verdict over from the chunk that made it.
                        (Some(before), Verdict::Accepted { .. })
                            if before.line.verdict == verdict.verdict =>
                        {
                            before.chunk
                        }
                        _ => from,
                    };
                    priors.insert(line, Prior { line: verdict, chunk: origin, content: None });
                }
            }
        }
        let same = (chunk.digest, chunk.first_line);
        let other = |prior: &Prior| match prior.line.verdict {
            Verdict::Accepted { entry } if prior.chunk != same => Some(entry),
            _ => None,
        };
        let entries: Vec<u64> = priors.values().filter_map(other).collect();
        let leaves = self.read_leaves(&entries).await?;
        for (line, mut prior) in priors {
            prior.content =
                other(&prior).and_then(|entry| leaves.get(&entry)).map(|(members, _)| members.clone());
            self.books.prior.insert((chunk.batch, line), prior);
        }
        Ok(())
    }

    /// Decides the commands one by one and seals what they made. On an error the books are not to be trusted: discard and
    /// catch up.
    pub fn decide(
        &mut self,
        requests: &[Request],
        stamp: Stamp,
    ) -> Result<Prepared, (DeskError, Box<Effects>)> {
        let mut fx = Effects::default();
        let mut answers = Vec::with_capacity(requests.len());
        let (mut nonces, mut evidence) = (Vec::new(), Vec::new());
        if let Err(fault) = self.end_what_is_over(&mut fx, stamp) {
            return Err((fault.into(), Box::new(fx)));
        }
        for request in requests {
            let turned_away = self.turned_away(request);
            // A revoked key never comes back; a suspended client does, and must not find its refused requests carried out.
            if let Some(CommandError::KeyRevoked) = turned_away {
                answers.push(Err(CommandError::KeyRevoked));
                continue;
            }
            if let Some(nonce) = request.nonce() {
                if !self.spent.insert(nonce.id) {
                    answers.push(Err(CommandError::NonceUsed));
                    continue;
                }
                nonces.push(nonce);
            }
            let before = self.books.size;
            let decided = match turned_away {
                Some(error) => Ok(Err(error)),
                None => self.decide_one(&mut fx, request, stamp),
            };
            match decided {
                Ok(answer) => answers.push(answer),
                Err(fault) => return Err((fault.into(), Box::new(fx))),
            }
            if self.trusting && matches!(answers.last(), Some(Err(_))) && request.signed.is_some() {
                nonces.pop(); // it comes again
            }
            let made = u32::try_from(self.books.size - before).expect("a commit has few entries");
            // What was signed of a wrong code is not kept: it would tell how near the guess was while others can be made.
            let told = matches!(answers.last(), Some(Err(_)));
            if let (Some(signed), 1.., false) = (&request.signed, made, told) {
                evidence.push(Evidence::of(signed, before, made));
            }
        }
        if fx.is_empty() {
            return Ok(Prepared { commit: None, nonces, answers });
        }
        self.books.finish(&mut fx, stamp);
        let first = self.head.size;
        let (mut commit, hashes) = self.seal(fx, stamp);
        (commit.nonces, commit.evidence) = (nonces, evidence);
        self.head = commit.after;
        for answer in &mut answers {
            // What was bound before has its hash already: its leaf was read.
            let put = |seq: Option<u64>, hash: &mut Option<Hash>| {
                let place = seq.and_then(|seq| usize::try_from(seq.checked_sub(first)?).ok());
                *hash = hash.or(place.and_then(|place| hashes.get(place).copied()));
            };
            match answer {
                // Of an entry that was repeated its members are not known here: whoever shows it reads its leaf.
                Ok(Outcome::Entry(entry)) if entry.replayed && entry.members.is_empty() => {}
                Ok(Outcome::Entry(entry)) => put(Some(entry.seq), &mut entry.leaf_hash),
                Ok(Outcome::Chunk(chunk)) => put(chunk.entry, &mut chunk.leaf_hash),
                Ok(Outcome::Answers(answers)) => {
                    for entry in answers.iter_mut().flatten().filter(|entry| !entry.members.is_empty()) {
                        put(Some(entry.seq), &mut entry.leaf_hash);
                    }
                }
                Err(_) => {}
            }
        }
        Ok(Prepared { commit: Some(commit), nonces: Vec::new(), answers })
    }

    /// Ends the orders whose time is over on the wallets that the commands are about.
    fn end_what_is_over(&mut self, fx: &mut Effects, stamp: Stamp) -> Result<(), Fault> {
        let client = ClientId::parse(SYSTEM).expect("a client id of the documented form");
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        for order in self.books.orders.over(stamp.at) {
            self.books.expire_order(Entry { fx: &mut *fx, stamp, actor }, order)?;
        }
        Ok(())
    }

    /// Why a signed command comes too late: between the door and here its key was revoked, or its client suspended, perhaps by
    /// another replica. The books are those of the head that the commit is fenced by.
    fn turned_away(&self, request: &Request) -> Option<CommandError> {
        let signed = request.signed.as_ref()?;
        let registry = self.books.registry();
        if registry.is_empty() {
            return None;
        }
        match registry.key(&signed.key) {
            Some((client, key)) if key.revoked.is_none() => {
                client.suspended.then_some(CommandError::ClientSuspended)
            }
            _ => Some(CommandError::KeyRevoked),
        }
    }

    fn decide_one(
        &mut self,
        fx: &mut Effects,
        request: &Request,
        stamp: Stamp,
    ) -> Result<Result<Outcome, CommandError>, Fault> {
        let actor = request.actor;
        if let Some(id) = actor.instruction {
            let known =
                self.books.instructions.get(&id).ok_or(Fault::Unread("whether an instruction is bound"))?;
            if let Some(bound) = known {
                let bound = &bound.clone();
                let differs = self.differs(&request.command, bound);
                let differs = differs.or_else(|| self.other_payer(&request.command));
                let differs = differs.or_else(|| self.other_cash(&request.command, bound, stamp));
                if differs.is_none()
                    && let Some(ended) = self.reservation_ended(&request.command)
                {
                    return Ok(Err(CommandError::Refused(ended)));
                }
                return Ok(repeat(differs, bound, stamp));
            }
        }
        // Nobody has been told yet of what this batch makes, and what goes with it was not read.
        if request.command.authorisation().is_some_and(|authorisation| authorisation >= self.head.size) {
            let refusal = Refusal::of(RefusalCode::AuthorisationUnknown, "authorisation");
            return Ok(Err(CommandError::Refused(refusal)));
        }
        match self.run(Entry { fx, stamp, actor }, &request.command) {
            Ok(Some(outcome)) => Ok(Ok(outcome)),
            Ok(None) if fx.records.is_empty() => Err(Fault::Unread("the entry that a command made")),
            Ok(None) => Ok(Ok(Outcome::Entry(EntryView::unwritten(self.books.size - 1)))),
            Err(Fault::Refused(refusal) | Fault::Told(refusal)) => Ok(Err(CommandError::Refused(refusal))),
            Err(fault) => Err(fault),
        }
    }

    /// The field in which a command differs from the one that made an entry. The wallet is the same if the command's number leads,
    /// or has led, to it.
    fn differs(&mut self, command: &Command, bound: &Bound) -> Option<&'static str> {
        let named = bound.content.get("wallet").and_then(Value::as_str);
        if let (Some(wallet), Some(named)) = (command.wallet(), named)
            && self.books.has_led(wallet, named)
        {
            let mut content = bound.content.clone();
            content.insert("wallet".into(), json!(wallet.to_string()));
            return command.differs(&Bound { content, ..bound.clone() });
        }
        command.differs(bound)
    }

    /// `payer`, if a command that made an entry cannot have named this one: the entry does not repeat the payer, since
    /// only the programme's own is ever accepted.
    fn other_payer(&self, command: &Command) -> Option<&'static str> {
        let (programme, payer) = match command {
            Command::Accrue { accrual, payer, .. } => (accrual.programme, payer),
            Command::Reverse { reversal, payer } => (reversal.programme, payer),
            _ => return None,
        };
        self.books.programme(programme).is_some_and(|known| known.spec.payer != *payer).then_some("payer")
    }

    /// The field in which a command about a cash-out is not the one that an entry answers: it is about another, or has another
    /// code.
    fn other_cash(&self, command: &Command, bound: &Bound, stamp: Stamp) -> Option<&'static str> {
        let Command::Payment(command) = command else { return None };
        if let PaymentCommand::CreateCash { minutes, .. } = command {
            let moment = |name: &str| parse_rfc3339(bound.content.get(name)?.as_str()?);
            // Bound by a command of this same batch: its leaf is not written yet.
            let made = moment("at").unwrap_or(stamp.at);
            let same = moment("expires") == Some(made + i64::from(*minutes) * 60_000);
            return (!same).then_some("minutes");
        }
        let reference = command.reference()?;
        let cash = self.books.cash.get(&reference);
        if cash.is_none_or(|cash| bound.member("cash") != json!(cash)) {
            return Some("reference");
        }
        match command {
            PaymentCommand::Redeem { attempt, .. } if !self.books.is_code_of(reference, attempt) => {
                Some("code")
            }
            _ => None,
        }
    }

    /// Why a redemption that comes again is not answered as it was: "reserved" lets an agent pay out, and what it reserved has been
    /// paid out, or may have been, or is free again.
    fn reservation_ended(&self, command: &Command) -> Option<Refusal> {
        let Command::Payment(PaymentCommand::Redeem { reference, .. }) = command else { return None };
        let known = self.books.payments.get(self.books.cash.get(reference)?)?;
        let head = known.head();
        let code = match head.state {
            PaymentState::Sent => return None,
            PaymentState::Unknown => RefusalCode::CashReserved,
            _ => RefusalCode::CashEnded,
        };
        Some(Refusal::of(code, "reference").by(head.seq))
    }

    /// Runs a command. `None`: its outcome is the last record.
    fn run(&mut self, entry: Entry<'_>, command: &Command) -> Result<Option<Outcome>, Fault> {
        let keys = Arc::clone(&self.keys);
        let books = &mut self.books;
        match command {
            Command::RegisterProgramme(spec) => {
                books.register_programme(entry, (**spec).clone())?;
            }
            Command::Fund { programme, amount, bank_reference } => {
                books.fund(entry, *programme, *amount, bank_reference.clone())?;
            }
            Command::OpenWallet { iin, wallet } => {
                let person = Person { tag: keys.tag(iin), sealed_iin: keys.seal(iin, *wallet) };
                books.open_wallet(entry, *wallet, person)?;
            }
            Command::Accrue { accrual, iin, payer } => {
                let person = || Person { tag: keys.tag(iin), sealed_iin: keys.seal(iin, accrual.wallet) };
                // What the holder's choice made of it comes after it; the answer is the accrual.
                let seq = books.accrue(entry, accrual, Some(*payer), None, Some(&person))?;
                return Ok(Some(Outcome::Entry(EntryView::unwritten(seq))));
            }
            Command::Reverse { reversal, payer } => {
                books.reverse(entry, reversal, Some(*payer), None)?;
            }
            Command::PayOut { wallet, bank, amount } => {
                books.pay_out(entry, *wallet, *bank, *amount)?;
            }
            Command::Return { pay_out, amount } => {
                books.return_credit(entry, *pay_out, *amount)?;
            }
            Command::OpenBatch(declaration) => {
                if let Some(batch) = books.batches.get(&declaration.batch) {
                    let differs = declaration_differs(&batch.declaration, declaration);
                    let differs = differs.or((batch.client != entry.actor.client).then_some("client"));
                    if let Some(field) = differs {
                        return Err(Refusal::of(RefusalCode::InstructionConflict, field).into());
                    }
                    let members = Map::from_iter([("batch".into(), json!(declaration.batch.to_string()))]);
                    return Ok(Some(Outcome::Entry(EntryView {
                        seq: 0,
                        replayed: true,
                        leaf_hash: None,
                        members,
                    })));
                }
                books.open_batch(entry, (**declaration).clone())?;
            }
            Command::ReleaseBatch(id) => {
                books.release_batch(entry, *id)?;
            }
            Command::CloseBatch(id) => {
                books.close_batch(entry, *id)?;
            }
            Command::CancelBatch(id) => {
                books.cancel_batch(entry, *id)?;
            }
            Command::Chunk(chunk) => {
                // The journal knows a chunk by the digest of its bytes: that is its request.
                let actor = Actor { request: chunk.digest, ..entry.actor };
                let entry = Entry { actor, ..entry };
                return Ok(Some(Outcome::Chunk(books.receive_chunk(entry, chunk, &*keys)?)));
            }
            Command::DeclareOrigin { origin, lost } => {
                books.declare_origin(entry, origin.clone(), lost.clone())?;
            }
            Command::RotateLogKey { old, new, signature } => {
                books.rotate_log_key(entry, old.clone(), new.clone(), signature.clone())?;
            }
            Command::Registry(command) => return run_registry(books, entry, command, &keys),
            Command::Payment(command) => return run_payment(books, entry, command, self.head.size),
            Command::Holder(command) => command.run(books, entry, &keys)?,
            Command::Order(command) => return run_orders(books, entry, command),
            Command::ChangeState(record) => {
                books.change_state(entry, (**record).clone())?;
            }
        }
        Ok(None)
    }

    /// Decides the first entry of a new book.
    pub fn open_book(&mut self, stamp: Stamp) -> Commit {
        let client = ClientId::parse("system").expect("a client id of the documented form");
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        let mut fx = Effects::default();
        self.books.open_book(Entry { fx: &mut fx, stamp, actor });
        self.books.finish(&mut fx, stamp);
        let (commit, _) = self.seal(fx, stamp);
        self.head = commit.after;
        commit
    }

    /// Writes the leaves, grows the tree, and makes the commit. Beside it, the hashes of the leaves.
    fn seal(&mut self, effects: Effects, stamp: Stamp) -> (Commit, Vec<Hash>) {
        self.leaves.stamp(stamp);
        let before = self.head;
        let mut bundles: Vec<Bundle> = Vec::with_capacity(effects.records.len() / TILE_WIDTH + 2);
        let mut hashes = Vec::with_capacity(effects.records.len());
        let mut leaf = Vec::with_capacity(1024);
        for (seq, (record, actor)) in (before.size..).zip(&effects.records) {
            leaf.clear();
            self.leaves.write(&mut leaf, seq, record, actor);
            hashes.push(leaf_hash(&leaf));
            if seq.is_multiple_of(TILE_WIDTH as u64) || bundles.is_empty() {
                let left = effects.records.len() - hashes.len() + 1;
                let bytes = Vec::with_capacity(left.min(TILE_WIDTH) * LEAF_BYTES);
                bundles.push(Bundle { first: seq, count: 0, bytes });
            }
            let bundle = bundles.last_mut().expect("one was pushed for the first leaf");
            bundle.count += 1;
            write_bundle_entry(&mut bundle.bytes, &leaf)
                .expect("a leaf is far below 65,535 bytes: every text in it has a limit");
        }
        let full = self.edge.append(hashes.iter().copied());
        let tile = |tile: crate::log::tile::FullTile| Tile {
            level: tile.id.level,
            index: tile.id.index,
            hashes: tile.hashes.to_vec(),
        };
        let after = Head {
            book: before.book,
            size: self.books.size,
            wallet_count: self.books.wallet_count,
            batch_count: self.books.batch_count,
            at: stamp.at,
            nonce: rand::random(),
        };
        let frontier = self.edge.frontier().to_bytes();
        let commit = Commit {
            before,
            after,
            stamp,
            bundles,
            tiles: full.into_iter().map(tile).collect(),
            frontier,
            effects,
            nonces: Vec::new(),
            evidence: Vec::new(),
        };
        (commit, hashes)
    }
}

/// Runs a command of the registry. `None`: its outcome is the last record.
fn run_registry(
    books: &mut Books,
    entry: Entry<'_>,
    command: &RegistryCommand,
    keys: &BookKeys,
) -> Result<Option<Outcome>, Fault> {
    match command {
        RegistryCommand::Bootstrap(operators) => books.bootstrap(entry, operators.clone())?,
        RegistryCommand::Register { client, role, scope } => {
            books.register_client(entry, *client, *role, *scope)?
        }
        RegistryCommand::AddKey { client, public_key } => books.add_key(entry, *client, *public_key)?,
        RegistryCommand::RevokeKey(key) => books.revoke_key(entry, *key)?,
        RegistryCommand::SetSuspended { client, suspended, reason } => {
            books.set_suspended(entry, *client, *suspended, reason.clone())?
        }
        RegistryCommand::RequestApproval(proposal) => books.request_approval(entry, proposal.clone())?,
        RegistryCommand::GiveApproval { approval, digest, iin } => {
            let asked = books.registry().approval(*approval).map(|asked| &asked.proposal);
            let sealed = match (asked, iin) {
                // Whoever approves a number has it before him: the journal has no more than its tag.
                (Some(Proposal::AddNumber { leads, person, .. }), iin) => match iin {
                    Some(iin) if keys.tag(iin) == *person && keys.wallet_id(iin) == *leads => {
                        keys.seal(iin, *leads)
                    }
                    _ => return Err(Refusal::of(RefusalCode::ApprovalDigestMismatch, "iin").into()),
                },
                (_, Some(_)) => return Err(Refusal::of(RefusalCode::ApprovalDigestMismatch, "iin").into()),
                (_, None) => Vec::new(),
            };
            let Entry { fx, stamp, actor } = entry;
            let seq = books.size;
            let proposal = books.give_approval(Entry { fx, stamp, actor }, *approval, *digest)?;
            let (given, _) = fx.records.last().ok_or(Fault::Unread("the entry that a command made"))?;
            let answer = view(seq, given, stamp);
            // The instruction is bound to the approval: it names what was approved.
            let actor = Actor { instruction: None, ..actor };
            books.carry_out(Entry { fx, stamp, actor }, proposal, sealed)?;
            return Ok(Some(Outcome::Entry(answer)));
        }
        RegistryCommand::CloseApproval { approval, reason } => {
            books.close_approval(entry, *approval, reason.clone())?
        }
    };
    Ok(None)
}

/// Runs a command about orders. `None`: its outcome is the last record.
fn run_orders(books: &mut Books, entry: Entry<'_>, command: &OrderCommand) -> Result<Option<Outcome>, Fault> {
    let Entry { fx, stamp, actor } = entry;
    match command {
        OrderCommand::Decide(orders) => {
            if orders.len() > ORDERS_MAX {
                return Err(Fault::Unread("so many orders at once"));
            }
            let mut told: Vec<Option<Result<EntryView, Refusal>>> = vec![None; orders.len()];
            for place in books.precedence(orders) {
                let intake = orders[place].clone();
                let actor = Actor { line: intake.line, instruction: None, ..actor };
                let answer = match books.decide_order(Entry { fx: &mut *fx, stamp, actor }, intake) {
                    Ok(Answered::Made(seq)) => {
                        let made = fx.records.last().ok_or(Fault::Unread("the entry of an order"))?;
                        Ok(view(seq, &made.0, stamp))
                    }
                    Ok(Answered::Repeated(seq)) => Ok(EntryView::repeated(seq)),
                    Err(Fault::Refused(refusal)) => Err(refusal),
                    Err(fault) => return Err(fault),
                };
                told[place] = Some(answer);
            }
            Ok(Some(Outcome::Answers(told.into_iter().flatten().collect())))
        }
        OrderCommand::Expire(entries) => {
            for order in entries {
                match books.expire_order(Entry { fx: &mut *fx, stamp, actor }, *order) {
                    Ok(_) | Err(Fault::Refused(_)) => {} // another replica, or its issuer, came first
                    Err(fault) => return Err(fault),
                }
            }
            Ok(Some(Outcome::Answers(Vec::new())))
        }
        OrderCommand::SettleLevy { authority, amount, bank_reference } => {
            books.settle_levy(Entry { fx, stamp, actor }, *authority, *amount, bank_reference.clone())?;
            Ok(None)
        }
    }
}

fn payment_of(request: &Request) -> Option<&PaymentCommand> {
    match &request.command {
        Command::Payment(command) => Some(command),
        _ => None,
    }
}

/// The first lot, by its version, that a payment may have drawn. Where lots were moved to from a merged wallet, their versions there
/// are not known.
fn first_drawn(known: &Payment, is_moved: bool) -> u32 {
    known.drawn.iter().map(|drawn| if is_moved { 1 } else { drawn.0 }).min().unwrap_or(u32::MAX)
}

fn holder_of(request: &Request) -> Option<&HolderCommand> {
    match &request.command {
        Command::Holder(command) => Some(command),
        _ => None,
    }
}

/// Runs a command about money on its way out; entries below `told_below` are those that somebody may have been told of. `None`: its outcome
/// is the last record.
fn run_payment(
    books: &mut Books,
    entry: Entry<'_>,
    command: &PaymentCommand,
    told_below: u64,
) -> Result<Option<Outcome>, Fault> {
    let repeated = |seq| Ok(Some(Outcome::Entry(EntryView::repeated(seq))));
    match command {
        PaymentCommand::Authorise { wallet, terms, consent, sealed_destination } => {
            books.authorise(entry, *wallet, *terms, *consent, sealed_destination.clone())?;
        }
        PaymentCommand::Revoke { by, authorisation, reason } => {
            books.revoke_authorisation(entry, *by, *authorisation, reason.clone())?;
        }
        PaymentCommand::Transfer { by, authorisation, amount } => {
            books.request_transfer(entry, *by, *authorisation, *amount)?;
        }
        PaymentCommand::Answer { by, answers } => {
            let Entry { fx, stamp, actor } = entry;
            let mut told = Vec::with_capacity(answers.len());
            for (transfer, answer, document) in answers {
                if *transfer >= told_below {
                    // Guessed: what this batch makes was not read with what goes with it.
                    told.push(Err(Refusal::of(RefusalCode::TransferUnknown, "transfer")));
                    continue;
                }
                let entry = Entry { fx: &mut *fx, stamp, actor };
                told.push(match books.answer_transfer(entry, *by, *transfer, answer, document.clone()) {
                    Ok(Answered::Made(seq)) => {
                        let made = fx.records.last().ok_or(Fault::Unread("the entry that an answer made"))?;
                        Ok(view(seq, &made.0, stamp))
                    }
                    Ok(Answered::Repeated(seq)) => Ok(EntryView::repeated(seq)),
                    Err(Fault::Refused(refusal)) => Err(refusal),
                    Err(fault) => return Err(fault),
                });
            }
            return Ok(Some(Outcome::Answers(told)));
        }
        PaymentCommand::CreateCash { authorisation, amount, reference, secret, minutes } => {
            let expires = entry.stamp.at + i64::from(*minutes) * 60_000;
            books.create_cash(entry, *authorisation, *amount, *reference, *secret, expires)?;
        }
        PaymentCommand::Redeem { bank, reference, attempt, terminal } => {
            if let Tried::Wrong(seq) =
                books.redeem_cash(entry, *bank, *reference, attempt, terminal.clone())?
            {
                // The entry stands: what is refused is the request.
                return Err(Fault::Told(Refusal::of(RefusalCode::CashCodeWrong, "code").by(seq)));
            }
        }
        PaymentCommand::Finish { by, reference, dispensed, document } => {
            match books.finish_cash(entry, *by, *reference, *dispensed, document.clone())? {
                Answered::Made(_) => {}
                Answered::Repeated(seq) => return repeated(seq),
            }
        }
        PaymentCommand::CancelCash(reference) => {
            let cash = books.cash.get(reference).copied();
            let cash = cash.ok_or_else(|| Refusal::of(RefusalCode::CashUnknown, "reference"))?;
            books.release_cash(entry, Party::Channel, cash, ReleaseCause::Cancelled)?;
        }
        PaymentCommand::ExpireCash(entries) => {
            let Entry { fx, stamp, actor } = entry;
            for cash in entries {
                let entry = Entry { fx: &mut *fx, stamp, actor };
                match books.release_cash(entry, Party::System, *cash, ReleaseCause::Expired) {
                    Ok(_) | Err(Fault::Refused(_)) => {} // another replica, or an agent, came first
                    Err(fault) => return Err(fault),
                }
            }
            return Ok(Some(Outcome::Answers(Vec::new())));
        }
        PaymentCommand::SettleClearing { bank, owed, direction, amount, bank_reference } => {
            books.settle_clearing(entry, *bank, *owed, *direction, *amount, bank_reference.clone())?;
        }
    }
    Ok(None)
}

/// The head and the right edge of the log's tree at it.
async fn read_edge(store: &dyn Store) -> Result<(Head, RightEdge), DeskError> {
    let mut attempts = 0;
    let (head, frontier) = loop {
        let head =
            store.head().await?.ok_or_else(|| StoreError::Schema("no book has been created".into()))?;
        let frontier = read_frontier(&store.frontier().await?)?;
        // Another writer's commit may have come in between the two reads.
        if frontier.size() == head.size {
            break (head, frontier);
        }
        attempts += 1;
        if attempts == EDGE_ATTEMPTS_MAX {
            return Err(EdgeError::Broken("its size is not the head's".into()).into());
        }
    };
    let edge = edge_at(store, frontier, &RightEdge::empty()).await?;
    Ok((head, edge))
}

/// The same instruction again: the first answer, or a conflict.
fn repeat(differs: Option<&'static str>, bound: &Bound, stamp: Stamp) -> Result<Outcome, CommandError> {
    if let Some(field) = differs {
        return Err(CommandError::Refused(
            Refusal::of(RefusalCode::InstructionConflict, field).by(bound.seq),
        ));
    }
    let mut members = bound.content.clone();
    if !members.contains_key("at") {
        // Bound by a command of this same batch: its leaf is not written yet.
        add_common(&mut members, &bound.kind, stamp);
    }
    let view = EntryView::of_leaf(bound.seq, members, true);
    Ok(Outcome::Entry(EntryView { leaf_hash: bound.leaf_hash, ..view }))
}

fn view(seq: u64, record: &Record, stamp: Stamp) -> EntryView {
    let mut members = record.members();
    add_common(&mut members, record.kind(), stamp);
    EntryView::of_leaf(seq, members, false)
}

fn add_common(members: &mut Map<String, Value>, kind: &str, stamp: Stamp) {
    members.insert("kind".into(), json!(kind));
    members.insert("at".into(), json!(stamp.at_text()));
    members.insert("date".into(), json!(stamp.date_text()));
    members.insert("currency".into(), json!("KZT"));
}

fn batch_of(command: &Command) -> Option<BatchId> {
    match command {
        Command::OpenBatch(declaration) => Some(declaration.batch),
        Command::ReleaseBatch(id) | Command::CloseBatch(id) | Command::CancelBatch(id) => Some(*id),
        Command::Chunk(chunk) => Some(chunk.batch),
        _ => None,
    }
}

fn declaration_differs(
    opened: &crate::ledger::record::BatchDeclaration,
    asked: &crate::ledger::record::BatchDeclaration,
) -> Option<&'static str> {
    [
        (opened.kind != asked.kind, "kind"),
        (opened.payer != asked.payer, "payer"),
        (opened.programmes != asked.programmes, "programmes"),
        (opened.periods != asked.periods, "periods"),
        (opened.lines != asked.lines, "lines"),
        (opened.total != asked.total, "total"),
        (opened.not_before != asked.not_before, "not_before"),
        (opened.release_required != asked.release_required, "release_required"),
    ]
    .into_iter()
    .find_map(|(differs, field)| differs.then_some(field))
}

/// Whether a batch in this state needs nothing more to be what a repeated request asks for.
#[must_use]
pub fn is_already(state: BatchState, command: &Command) -> bool {
    match command {
        Command::ReleaseBatch(_) => !matches!(state, BatchState::AwaitingRelease | BatchState::Cancelled),
        Command::CloseBatch(_) => state == BatchState::Completed,
        Command::CancelBatch(_) => state == BatchState::Cancelled,
        _ => false,
    }
}

/// What a batch of commands names.
struct Wanted {
    wallets: Vec<WalletId>,
    /// Those of them that commands are about which credit nothing.
    named: Vec<WalletId>,
    benefits: BTreeSet<Benefit>,
    accruals: Vec<(WalletId, Benefit)>,
}

impl Wanted {
    fn of(requests: &[Request], books: &Books) -> Self {
        let mut wanted =
            Self { wallets: Vec::new(), named: Vec::new(), benefits: BTreeSet::new(), accruals: Vec::new() };
        for request in requests {
            match &request.command {
                Command::Chunk(chunk) => {
                    for line in &chunk.lines {
                        let Some(wallet) = line.wallet else { continue };
                        wanted.wallets.push(wallet);
                        if let Ok(Line::Accrual(read)) = &line.parsed.line {
                            wanted.accrual(books, wallet, read.programme, read.period, read.part);
                        }
                    }
                }
                Command::Accrue { accrual, .. } => {
                    wanted.wallets.push(accrual.wallet);
                    wanted.accrual(books, accrual.wallet, accrual.programme, accrual.period, accrual.part);
                }
                Command::Reverse { reversal, .. } => wanted.named.push(reversal.wallet),
                Command::OpenWallet { wallet, .. }
                | Command::PayOut { wallet, .. }
                | Command::Payment(PaymentCommand::Authorise { wallet, .. }) => wanted.named.push(*wallet),
                Command::ChangeState(record) => wanted.named.push(record.wallet()),
                Command::Holder(_) | Command::Registry(_) => {
                    let touched = Touched::of(&request.command, books.registry());
                    wanted.named.extend(touched.into_iter().flat_map(|touched| touched.wallets));
                }
                Command::Order(OrderCommand::Decide(orders)) => {
                    wanted.named.extend(orders.iter().filter_map(|intake| intake.wallet));
                }
                _ => {}
            }
        }
        // Those of the authorisations and payments that commands name.
        wanted.named.extend(books.authorisations.values().map(|known| known.wallet));
        wanted.named.extend(books.payments.values().map(|known| known.wallet));
        wanted.named.extend(books.orders.known.values().filter_map(|known| known.decision.wallet));
        wanted.wallets.extend(&wanted.named);
        wanted
    }

    fn accrual(
        &mut self,
        books: &Books,
        wallet: WalletId,
        programme: crate::domain::ProgrammeCode,
        period: crate::domain::Period,
        part: crate::domain::Part,
    ) {
        if let Some(programme) = books.programme(programme) {
            let benefit = Benefit { programme: programme.number, period, part };
            // Most lines of a payroll name the benefit of the line before.
            if self.accruals.last().is_none_or(|(_, last)| *last != benefit) {
                self.benefits.insert(benefit);
            }
            self.accruals.push((wallet, benefit));
        }
    }
}
