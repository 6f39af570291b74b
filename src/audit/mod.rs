//! The audit of a store: replays the journal through the rules and holds every projection against the result.
//!
//! It reads the journal once, in order, and each projection once, in its own order. Rows of wallets are compared by a sum of
//! hashes for each wallet, so that memory is proportional to wallets, lots and bound instructions, not to history.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::domain::BatchId;
use crate::ledger::batch::Batch;
use crate::ledger::effects::{Effects, LogChange, SystemEntry};
use crate::ledger::record::Record;
use crate::ledger::registry::RegistryChange;
use crate::ledger::replay::Replay;
use crate::ledger::wallet::{Benefit, LotMovement, Wallet, WalletEntry};
use crate::log::leaf::LeafError;
use crate::log::merkle::{Hash as TreeHash, leaf_hash};
use crate::log::reader::LeafReader;
use crate::log::tile::{BundleEntries, RightEdge, TileId};
use crate::store::holders;
use crate::store::orders::digests_of as order_digests_of;
use crate::store::payments::digests_of;
use crate::store::projections::{BatchEntryRow, PayOutRow};
use crate::store::{Head, Store, StoreError};

/// Findings that a report lists; more are only counted.
pub const FINDINGS_MAX: usize = 20;

const PAGE: u32 = 10_000;

/// Full tiles, or chunks with their verdicts, on a page: some are large.
const LARGE_PAGE: u32 = 64;

/// What an audit found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Journal entries replayed.
    pub entries: u64,
    /// Wallets compared.
    pub wallets: u64,
    /// Rows of projections compared.
    pub rows: u64,
    /// Σ debit balances, tiyn.
    pub debit: i64,
    /// Σ credit balances, tiyn.
    pub credit: i64,
    /// What does not fit, the first [`FINDINGS_MAX`].
    pub findings: Vec<String>,
    /// How many findings there are in all.
    pub findings_count: u64,
}

impl Report {
    /// Whether everything fits.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.findings_count == 0
    }

    fn find(&mut self, finding: String) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

struct Audit {
    store: Arc<dyn Store>,
    head: Head,
    replay: Replay,
    reader: LeafReader,
    effects: Effects,
    tree: RightEdge,
    /// Sizes and roots that the tree must have had, the largest first.
    roots: Vec<(u64, TreeHash)>,
    report: Report,
    /// What the entries say of the log itself.
    log_changes: Vec<LogChange>,
    /// What they say of who may call.
    registry: Vec<RegistryChange>,
    /// By wallet number: sums of the hashes of its rows, table by table.
    sums: Sums,
    /// Hashes of full tiles, and of entries of batches.
    tiles: BTreeMap<TileId, u64>,
    batch_entries: BTreeMap<(u32, u32), u64>,
    system_rows: HashMap<u32, SystemCursor>,
    /// Sums of the hashes of the rows about payments and orders, and their number, table by table.
    payments: BTreeMap<&'static str, (u64, u64)>,
}

/// By wallet number: sums of the hashes of its rows.
#[derive(Default)]
struct Sums {
    opened: Vec<u64>,
    tags: Vec<u64>,
    entries: Vec<u64>,
    movements: Vec<u64>,
    pay_outs: Vec<u64>,
}

fn hash_of(row: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

fn wallet_key(wallet: &Wallet) -> impl Hash + use<> {
    let Wallet {
        account,
        version,
        posted,
        held,
        general,
        general_held,
        first_open_lot,
        state,
        choice,
        frozen,
    } = *wallet;
    (account, version, posted, held, general, general_held, first_open_lot, state, (choice, frozen))
}

fn entry_key(row: &WalletEntry) -> u64 {
    hash_of(&(
        row.seq,
        row.at,
        row.kind,
        row.amount,
        row.benefit,
        row.class,
        row.refers,
        wallet_key(&row.after),
    ))
}

fn movement_key(row: &LotMovement) -> u64 {
    let LotMovement { account, lot, movement, version, amount, remaining, held, reversed } = *row;
    hash_of(&(account, lot, movement, version, amount, remaining, held, reversed))
}

/// A row of a batch; its verdicts are known by their digest only.
fn batch_entry_key(row: &BatchEntryRow, verdicts: &[u8; 32]) -> u64 {
    let BatchEntryRow { batch, version, seq, at, kind, first_line, lines, state, .. } = *row;
    let totals = &row.totals;
    let received = (totals.received_lines, totals.received_total);
    let accepted = (totals.accepted_lines, totals.accepted_total);
    hash_of(&(
        batch,
        version,
        seq,
        at,
        kind,
        first_line,
        lines,
        state,
        received,
        accepted,
        &row.digest,
        verdicts,
    ))
}

fn verdicts_digest(verdicts: &[u8]) -> [u8; 32] {
    if verdicts.is_empty() { [0; 32] } else { Sha256::digest(verdicts).into() }
}

fn add(sums: &mut Vec<u64>, account: u32, key: u64) {
    let place = account as usize;
    if sums.len() <= place {
        sums.resize(place + 1, 0);
    }
    sums[place] = sums[place].wrapping_add(key);
}

/// Audits a store. `progress` is told how many entries have been replayed.
pub async fn audit(store: Arc<dyn Store>, progress: impl FnMut(u64)) -> Result<Report, StoreError> {
    audit_against(store, Vec::new(), progress).await
}

/// Audits a store whose tree must have had these roots at these sizes: those of checkpoints that somebody holds.
pub async fn audit_against(
    store: Arc<dyn Store>,
    mut roots: Vec<(u64, TreeHash)>,
    mut progress: impl FnMut(u64),
) -> Result<Report, StoreError> {
    let Some(head) = store.head().await? else {
        let mut report = Report::default();
        report.find("there is no book in this store".into());
        return Ok(report);
    };
    roots.sort_unstable_by(|left, right| right.cmp(left));
    let mut audit = Audit {
        store,
        head,
        replay: Replay::default(),
        reader: LeafReader::new(head.book),
        effects: Effects::default(),
        tree: RightEdge::empty(),
        roots,
        report: Report::default(),
        log_changes: Vec::new(),
        registry: Vec::new(),
        sums: Sums::default(),
        tiles: BTreeMap::new(),
        batch_entries: BTreeMap::new(),
        system_rows: HashMap::new(),
        payments: BTreeMap::new(),
    };
    if audit.journal(&mut progress).await? {
        audit.small().await?;
        audit.wallets().await?;
        audit.benefits().await?;
        audit.batches().await?;
        audit.instructions().await?;
        audit.payments().await?;
        audit.tiles().await?;
    }
    Ok(audit.report)
}

impl Audit {
    /// Replays the journal. Answers false if it breaks off, so that nothing can be held against it.
    async fn journal(&mut self, progress: &mut impl FnMut(u64)) -> Result<bool, StoreError> {
        let mut next = 0;
        while next < self.head.size {
            let bundles = self.store.bundles(next, 64).await?;
            let before = next;
            for bundle in bundles {
                if bundle.first + u64::from(bundle.count) <= next {
                    continue; // the last there is: the one that would hold the entry is missing
                }
                if bundle.first != next {
                    self.report
                        .find(format!("entry {next}: the journal has entry {} in its place", bundle.first));
                    return Ok(false);
                }
                for leaf in BundleEntries::new(&bundle.bytes) {
                    let replayed = match leaf {
                        Ok(leaf) => self.entry(next, leaf).await?,
                        Err(error) => Err(error.to_string()),
                    };
                    if let Err(finding) = replayed {
                        self.report.find(format!("entry {next}: {finding}"));
                        return Ok(false);
                    }
                    next += 1;
                }
            }
            if next == before {
                self.report.find(format!(
                    "entry {next}: the journal ends, but its head says {} entries",
                    self.head.size
                ));
                return Ok(false);
            }
            progress(next);
        }
        self.report.entries = next;
        if self.store.frontier().await? != self.tree.frontier().to_bytes() {
            self.report.find("the stored right edge of the log is not that of its entries".into());
        }
        while let Some((size, _)) = self.roots.pop() {
            self.report.find(format!("a checkpoint has {size} entries, the journal only {next}"));
        }
        if let Err(error) = self.replay.finish() {
            self.report.find(error.to_string());
        }
        Ok(true)
    }

    async fn entry(&mut self, seq: u64, bytes: &[u8]) -> Result<Result<(), String>, StoreError> {
        for tile in self.tree.append([leaf_hash(bytes)]) {
            self.tiles.insert(tile.id, hash_of(&tile.hashes.as_slice()));
        }
        while let Some((_, root)) = self.roots.pop_if(|(size, _)| *size == seq + 1) {
            if root != self.tree.root() {
                self.report.find(format!("the root at {} entries is not that of a checkpoint", seq + 1));
            }
        }
        let entry = match self.reader.read(bytes) {
            Ok(entry) if entry.seq == seq => entry,
            Ok(_) => return Ok(Err(LeafError::Member("seq").to_string())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut fx = std::mem::take(&mut self.effects);
        fx.clear();
        if let Err(error) = self.replay.apply(&mut fx, entry.stamp, entry.actor, entry.record) {
            return Ok(Err(format!("expected {}; found {}", error.expected, error.found)));
        }
        self.keep(&fx);
        self.replay.books.finish(&mut fx, entry.stamp);
        for row in &fx.system_entries {
            if let Some(finding) = self.system_row(row).await? {
                self.report.find(format!("entry {seq}: {finding}"));
            }
        }
        self.effects = fx;
        Ok(Ok(()))
    }

    /// Keeps what the rows of an entry must be.
    fn keep(&mut self, fx: &Effects) {
        self.log_changes.extend_from_slice(&fx.log_changes);
        self.registry.extend_from_slice(&fx.registry);
        let of_holders = !fx.choices.is_empty() || !fx.leads.is_empty() || !fx.moved_lots.is_empty();
        if !fx.events.is_empty() || !fx.payment_entries.is_empty() || of_holders {
            for (table, sum, count) in holders::digests_of(fx) {
                let known = self.payments.entry(table).or_default();
                *known = (known.0.wrapping_add(sum), known.1 + count);
            }
            for (table, sum, count) in digests_of(fx) {
                let known = self.payments.entry(table).or_default();
                *known = (known.0.wrapping_add(sum), known.1 + count);
            }
        }
        if !fx.orders.is_empty() || !fx.order_ends.is_empty() || !fx.rule_tables.is_empty() {
            for (table, sum, count) in order_digests_of(fx) {
                let known = self.payments.entry(table).or_default();
                *known = (known.0.wrapping_add(sum), known.1 + count);
            }
        }
        for wallet in &fx.wallets {
            add(&mut self.sums.opened, wallet.account, hash_of(&wallet.seq));
            add(&mut self.sums.tags, wallet.account, hash_of(&wallet.tag));
        }
        for lead in &fx.leads {
            if let Some(number) = &lead.number {
                add(&mut self.sums.tags, lead.account, hash_of(&number.tag));
            }
        }
        for row in &fx.entries {
            add(&mut self.sums.entries, row.after.account, entry_key(row));
        }
        for row in &fx.movements {
            add(&mut self.sums.movements, row.account, movement_key(row));
        }
        let record = fx.records.last().map(|(record, _)| record);
        if let (Some(Record::PaidOut { bank, .. }), Some(entry)) = (record, fx.entries.last()) {
            for (draw, moved) in (1..).zip(&fx.movements) {
                let row = PayOutRow {
                    seq: entry.seq,
                    draw,
                    amount: -moved.amount,
                    account: moved.account,
                    version: moved.version,
                    lot: moved.lot,
                    bank: bank.to_string(),
                };
                add(&mut self.sums.pay_outs, moved.account, hash_of(&row));
            }
        }
        for made in &fx.batch_entries {
            let verdicts = match record {
                Some(Record::ChunkReceived { verdicts, .. }) => *verdicts,
                _ => [0; 32],
            };
            let row = BatchEntryRow {
                batch: made.batch,
                version: made.version,
                seq: made.seq,
                at: made.at,
                kind: made.kind.code(),
                first_line: made.first_line,
                lines: made.lines,
                state: made.state.code(),
                totals: made.totals,
                digest: made.digest.clone(),
                verdicts: Vec::new(),
            };
            self.batch_entries.insert((made.batch, made.version), batch_entry_key(&row, &verdicts));
        }
    }

    /// A stored row of a system account tells the account after the last entry of a commit: it is compared when the replay
    /// is at that entry.
    async fn system_row(&mut self, now: &SystemEntry) -> Result<Option<String>, StoreError> {
        let cursor = self.system_rows.entry(now.account).or_default();
        if cursor.rows.is_empty() && !cursor.ended {
            let mut page = self.store.system_entries((now.account, cursor.version), PAGE).await?;
            page.retain(|row| row.account == now.account);
            cursor.ended = page.is_empty();
            cursor.rows = page.into();
        }
        let Some(row) = cursor.rows.front().filter(|row| row.seq <= now.seq) else { return Ok(None) };
        let fits = row.seq == now.seq
            && row.version == cursor.version + 1
            && (row.at, row.debits, row.credits) == (now.at, now.debits, now.credits);
        let (account, version) = (row.account, row.version);
        cursor.version = version;
        cursor.rows.pop_front();
        self.report.rows += 1;
        Ok((!fits).then(|| format!("system_entry {account} version {version} is not what the replay has")))
    }

    /// System accounts, the log's origins and keys, and programmes: few, compared whole.
    async fn small(&mut self) -> Result<(), StoreError> {
        let stored = self.store.system_accounts().await?;
        let replayed = self.replay.books.system_accounts();
        let sums = |heads: &[crate::ledger::books::SystemHead]| -> Vec<_> {
            heads.iter().map(|head| (head.number, head.account, head.debits, head.credits)).collect()
        };
        if sums(&stored) != sums(replayed) {
            self.report.find("the system accounts are not what the replay has".into());
        }
        for head in replayed.iter().filter(|head| !head.account.is_memorandum()) {
            let balance = head.balance();
            if balance < 0 { self.report.debit -= balance } else { self.report.credit += balance }
        }
        if self.report.debit != self.report.credit {
            self.report.find("debits are not equal to credits".into());
        }
        if self.store.log_changes().await? != self.log_changes {
            self.report.find("log_change: the log's origins and keys are not what the replay has".into());
        }
        if self.store.registry_changes().await? != self.registry {
            self.report.find("registry_change: who may call is not what the replay has".into());
        }
        let stored = self.store.programmes().await?;
        let replayed = self.replay.books.programmes();
        let same = stored.len() == replayed.len()
            && stored.iter().zip(replayed).all(|(row, programme)| {
                (row.number, row.seq, &row.spec) == (programme.number, programme.seq, &programme.spec)
            });
        if !same {
            self.report.find("the programmes are not what the replay has".into());
        }
        Ok(())
    }

    /// Wallets' heads, entries and lot movements.
    async fn wallets(&mut self) -> Result<(), StoreError> {
        let count = self.replay.books.wallet_count;
        if count != self.head.wallet_count {
            self.report
                .find(format!("the head counts {} wallets, the replay {count}", self.head.wallet_count));
        }
        let mut opened = Vec::new();
        let mut after = 0;
        loop {
            let page = self.store.wallet_ids(after, PAGE).await?;
            let Some((last, ..)) = page.last() else { break };
            after = *last;
            let ids: Vec<_> = page.iter().map(|(_, id, _)| *id).collect();
            let heads: HashMap<_, _> = self.store.wallets(&ids).await?.into_iter().collect();
            for (account, id, opened_seq) in &page {
                add(&mut opened, *account, hash_of(opened_seq));
                self.report.wallets += 1;
                let replayed = self.replay.books.own_wallet(*id);
                if replayed.is_none_or(|wallet| wallet.account != *account)
                    || replayed != heads.get(id).copied()
                {
                    self.report.find(format!("wallet {id}: its head is not what the replay has"));
                }
            }
        }
        if self.report.wallets != u64::from(count) {
            self.report.find(format!("there are {} wallets, the replay has {count}", self.report.wallets));
        }
        let replayed = std::mem::take(&mut self.sums);
        self.compare_sums("wallet", &opened, &replayed.opened);
        let mut sums = Vec::new();
        let mut after = Vec::new();
        loop {
            let page = self.store.person_tag_rows(&after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = last.to_vec();
            self.report.rows += page.len() as u64;
            for (tag, account) in &page {
                add(&mut sums, *account, hash_of(tag));
            }
        }
        self.compare_sums("person_tag", &sums, &replayed.tags);
        let mut sums = vec![0; replayed.entries.len()];
        let mut after = (0, 0);
        loop {
            let page = self.store.wallet_entries(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = (last.after.account, last.after.version);
            self.report.rows += page.len() as u64;
            for row in &page {
                add(&mut sums, row.after.account, entry_key(row));
            }
        }
        self.compare_sums("wallet_entry", &sums, &replayed.entries);
        let mut sums = vec![0; replayed.movements.len()];
        let mut after = (0, 0, 0);
        loop {
            let page = self.store.lot_movements(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = (last.account, last.lot, last.movement);
            self.report.rows += page.len() as u64;
            for row in &page {
                add(&mut sums, row.account, movement_key(row));
            }
        }
        self.compare_sums("lot_movement", &sums, &replayed.movements);
        let mut sums = Vec::new();
        let mut after = (0, 0);
        loop {
            let page = self.store.pay_out_rows(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = (last.seq, last.draw);
            self.report.rows += page.len() as u64;
            for row in &page {
                add(&mut sums, row.account, hash_of(row));
            }
        }
        self.compare_sums("pay_out", &sums, &replayed.pay_outs);
        Ok(())
    }

    fn compare_sums(&mut self, table: &str, stored: &[u64], replayed: &[u64]) {
        for account in 0..stored.len().max(replayed.len()) {
            if stored.get(account).unwrap_or(&0) != replayed.get(account).unwrap_or(&0) {
                self.report.find(format!(
                    "{table}: the rows of wallet number {account} are not what the replay has"
                ));
            }
        }
    }

    /// Who has been paid which benefit.
    async fn benefits(&mut self) -> Result<(), StoreError> {
        let replayed: BTreeMap<_, _> = self.replay.books.benefits.iter().collect();
        let surplus: BTreeSet<Benefit> = self.store.benefit_keys().await?.into_iter().collect();
        for benefit in surplus.iter().filter(|benefit| !replayed.contains_key(benefit)) {
            self.report.rows += 1;
            self.report.find(format!("benefit_paid: nobody was ever paid {}", name_of(benefit)));
        }
        for (benefit, accounts) in replayed {
            let stored = self.store.benefits(&[*benefit]).await?.pop().map(|(_, accounts)| accounts);
            self.report.rows += 1;
            if stored.as_ref() != Some(accounts) {
                let key = name_of(benefit);
                self.report.find(format!("benefit_paid: who was paid {key} is not what the replay has"));
            }
        }
        Ok(())
    }

    /// Batches' declarations and heads.
    async fn batches(&mut self) -> Result<(), StoreError> {
        let replayed: BTreeMap<BatchId, Batch> =
            self.replay.books.batches.iter().map(|(id, batch)| (*id, batch.clone())).collect();
        for (id, batch) in replayed {
            self.report.rows += 1;
            if self.store.batches(&[id]).await?.pop() != Some(batch) {
                self.report.find(format!("batch {id} is not what the replay has"));
            }
        }
        let mut after = (0, 0);
        loop {
            let page = self.store.batch_entry_rows(after, LARGE_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = (last.batch, last.version);
            for row in &page {
                self.report.rows += 1;
                let (batch, version) = (row.batch, row.version);
                let key = batch_entry_key(row, &verdicts_digest(&row.verdicts));
                match self.batch_entries.remove(&(batch, version)) {
                    Some(replayed) if replayed == key => {}
                    Some(_) => self.report.find(format!(
                        "batch_entry: batch number {batch}, version {version} (entry {}) is not what the replay has",
                        row.seq
                    )),
                    None => self.report.find(format!(
                        "batch_entry: the replay has no batch number {batch}, version {version}"
                    )),
                }
            }
        }
        for (batch, version) in std::mem::take(&mut self.batch_entries).into_keys() {
            self.report.find(format!("batch_entry: batch number {batch}, version {version} is missing"));
        }
        Ok(())
    }

    /// Which entries instruction ids and bank references are bound to. Ids are hashes: they may be named.
    async fn instructions(&mut self) -> Result<(), StoreError> {
        let mut rows = 0;
        let mut after = Vec::new();
        loop {
            let page = self.store.instruction_rows(&after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = last.to_vec();
            for (id, seq) in &page {
                match self.replay.books.bound_to(id) {
                    Ok(Some(bound)) => {
                        rows += 1;
                        if bound != *seq {
                            self.report.find(format!(
                                "instruction {}: bound to entry {seq}, in the replay to {bound}",
                                hex::encode(id)
                            ));
                        }
                    }
                    _ => self.report.find(format!(
                        "instruction {}: bound to entry {seq}, in the replay to none",
                        hex::encode(id)
                    )),
                }
            }
            self.report.rows += page.len() as u64;
        }
        let mut bound: Vec<_> = self.replay.books.bound().collect();
        if bound.len() == rows {
            return Ok(());
        }
        // Some are missing: which?
        bound.sort_unstable_by_key(|(_, seq)| *seq);
        for some in bound.chunks(PAGE as usize) {
            let ids: Vec<_> = some.iter().map(|(id, _)| *id).collect();
            let stored: BTreeSet<_> =
                self.store.instructions(&ids).await?.into_iter().map(|(id, _)| id).collect();
            for (id, seq) in some.iter().filter(|(id, _)| !stored.contains(id)) {
                self.report.find(format!("instruction {} of entry {seq} is missing", hex::encode(id)));
            }
        }
        Ok(())
    }

    /// Authorisations, payments, what was counted of them, who is told, orders and their rules, what is kept of holders: table by
    /// table.
    async fn payments(&mut self) -> Result<(), StoreError> {
        let mut digests = self.store.payment_digests().await?;
        digests.extend(self.store.order_digests().await?);
        digests.extend(self.store.holder_digests().await?);
        for (table, sum, count) in digests {
            self.report.rows += count;
            let (replayed, rows) = self.payments.get(table).copied().unwrap_or_default();
            if rows != count {
                self.report.find(format!("{table}: {count} rows, in the replay {rows}"));
            } else if replayed != sum {
                self.report.find(format!("{table}: a row is not what the replay has"));
            }
        }
        Ok(())
    }

    /// The full tiles of the log's tree.
    async fn tiles(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.tile_rows(after, LARGE_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.level, last.index));
            for tile in &page {
                self.report.rows += 1;
                let (level, index) = (tile.level, tile.index);
                match self.tiles.remove(&TileId { level, index }) {
                    Some(replayed) if replayed == hash_of(&tile.hashes.as_slice()) => {}
                    Some(_) => self
                        .report
                        .find(format!("tile: level {level}, place {index} is not what the entries hash to")),
                    None => self.report.find(format!("tile: no entries fill level {level}, place {index}")),
                }
            }
        }
        for TileId { level, index } in std::mem::take(&mut self.tiles).into_keys() {
            self.report.find(format!("tile: level {level}, place {index} is missing"));
        }
        Ok(())
    }
}

fn name_of(benefit: &Benefit) -> String {
    let Benefit { programme, period, part } = benefit;
    format!("programme number {programme}, period {period}, part {part}")
}

/// Where the comparison of a system account's rows stands.
#[derive(Default)]
struct SystemCursor {
    rows: VecDeque<SystemEntry>,
    version: u64,
    ended: bool,
}
