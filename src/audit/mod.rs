//! The audit of a store: replays the journal through the rules and holds every projection against the result.
//!
//! It reads the journal once, in order, and each projection once, in its own order. Rows of wallets are compared by a sum of
//! hashes for each wallet, so that memory is proportional to wallets and open lots, not to history.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::domain::BatchId;
use crate::ledger::batch::Batch;
use crate::ledger::effects::{Effects, SystemEntry};
use crate::ledger::replay::Replay;
use crate::ledger::wallet::{LotMovement, Wallet, WalletEntry};
use crate::log::leaf::Leaf;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::tile::BundleEntries;
use crate::store::{Head, Store, StoreError};

/// Findings that a report lists; more are only counted.
pub const FINDINGS_MAX: usize = 20;

const PAGE: u32 = 10_000;

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
    tree: Frontier,
    report: Report,
    /// By wallet number: sums of the hashes of its entries and movements.
    entry_sums: Vec<u64>,
    movement_sums: Vec<u64>,
    system_rows: HashMap<u32, SystemCursor>,
}

fn hash_of(row: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

fn wallet_key(wallet: &Wallet) -> impl Hash + use<> {
    let Wallet { account, version, posted, held, general, general_held, first_open_lot, state, choice } =
        *wallet;
    (account, version, posted, held, general, general_held, first_open_lot, state, choice)
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

fn add(sums: &mut Vec<u64>, account: u32, key: u64) {
    let place = account as usize;
    if sums.len() <= place {
        sums.resize(place + 1, 0);
    }
    sums[place] = sums[place].wrapping_add(key);
}

/// Audits a store. `progress` is told how many entries have been replayed.
pub async fn audit(store: Arc<dyn Store>, mut progress: impl FnMut(u64)) -> Result<Report, StoreError> {
    let Some(head) = store.head().await? else {
        let mut report = Report::default();
        report.find("there is no book in this store".into());
        return Ok(report);
    };
    let mut audit = Audit {
        store,
        head,
        replay: Replay::default(),
        tree: Frontier::empty(),
        report: Report::default(),
        entry_sums: Vec::new(),
        movement_sums: Vec::new(),
        system_rows: HashMap::new(),
    };
    if audit.journal(&mut progress).await? {
        audit.small().await?;
        audit.wallets().await?;
        audit.benefits().await?;
        audit.batches().await?;
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
        if self.store.frontier().await? != self.tree.to_bytes() {
            self.report.find("the stored right edge of the log is not that of its entries".into());
        }
        Ok(true)
    }

    async fn entry(&mut self, seq: u64, bytes: &[u8]) -> Result<Result<(), String>, StoreError> {
        self.tree.push(leaf_hash(bytes));
        let read = || -> Result<_, crate::log::leaf::LeafError> {
            let leaf = Leaf::read(bytes)?;
            if leaf.seq != seq {
                return Err(crate::log::leaf::LeafError::Member("seq"));
            }
            if leaf.book != self.head.book.to_string() {
                return Err(crate::log::leaf::LeafError::Member("book"));
            }
            Ok((leaf.stamp()?, leaf.actor()?, leaf.record()?))
        };
        let (stamp, actor, record) = match read() {
            Ok(read) => read,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut fx = Effects::default();
        if let Err(error) = self.replay.apply(&mut fx, stamp, actor, record) {
            return Ok(Err(format!("expected {}; found {}", error.expected, error.found)));
        }
        for row in &fx.entries {
            add(&mut self.entry_sums, row.after.account, entry_key(row));
        }
        for row in &fx.movements {
            add(&mut self.movement_sums, row.account, movement_key(row));
        }
        self.replay.books.finish(&mut fx, stamp);
        for row in &fx.system_entries {
            if let Some(finding) = self.system_row(row).await? {
                self.report.find(format!("entry {seq}: {finding}"));
            }
        }
        Ok(Ok(()))
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

    /// System accounts and programmes: few, compared whole.
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
        let mut after = 0;
        loop {
            let page = self.store.wallet_ids(after, PAGE).await?;
            let Some((last, ..)) = page.last() else { break };
            after = *last;
            let ids: Vec<_> = page.iter().map(|(_, id, _)| *id).collect();
            let heads: HashMap<_, _> = self.store.wallets(&ids).await?.into_iter().collect();
            for (account, id, _) in &page {
                self.report.wallets += 1;
                let replayed = self.replay.books.wallet(*id).ok().flatten();
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
        let mut sums = vec![0; self.entry_sums.len()];
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
        self.compare_sums("wallet_entry", &sums, &self.entry_sums.clone());
        let mut sums = vec![0; self.movement_sums.len()];
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
        self.compare_sums("lot_movement", &sums, &self.movement_sums.clone());
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
        for (benefit, accounts) in replayed {
            let stored = self.store.benefits(&[*benefit]).await?.pop().map(|(_, accounts)| accounts);
            self.report.rows += 1;
            if stored.as_ref() != Some(accounts) {
                let (programme, period) = (benefit.programme, benefit.period);
                let part = benefit.part;
                let key = format!("programme number {programme}, period {period}, part {part}");
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
        Ok(())
    }
}

/// Where the comparison of a system account's rows stands.
#[derive(Default)]
struct SystemCursor {
    rows: VecDeque<SystemEntry>,
    version: u64,
    ended: bool,
}
