//! A store that fails when it is told to, around a real one.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use roaring::RoaringBitmap;
use social_wallet::domain::{BatchId, Bic, Bin, BookId, WalletId};
use social_wallet::ledger::account::SystemAccount;
use social_wallet::ledger::batch::Batch;
use social_wallet::ledger::books::{Paid, PayOut, SystemHead};
use social_wallet::ledger::choice::{Chosen, NewChoice};
use social_wallet::ledger::effects::{LogChange, SystemEntry};
use social_wallet::ledger::order::RuleTable;
use social_wallet::ledger::payment::{Audience, Authorisation, CashReference, Counted, Payment, UsageEntry};
use social_wallet::ledger::registry::RegistryChange;
use social_wallet::ledger::signed::{Evidence, Nonce};
use social_wallet::ledger::wallet::{Benefit, Lot, LotMovement, Wallet, WalletEntry};
use social_wallet::store::holders::Holders;
use social_wallet::store::orders::{OrderRow, OrderSums, Orders};
use social_wallet::store::payments::Payments;
use social_wallet::store::projections::{BatchEntryRow, PayOutRow, Projections};
use social_wallet::store::{
    BatchTimes, Bundle, ChunkRow, Commit, CommitError, FixedCheckpoint, Head, Locked, ProgrammeRow,
    PublishedCheckpoint, Standing, StatementRange, Store, StoreError, Tile,
};
use tokio::sync::RwLock;

use super::Dice;

/// What becomes of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is made, and said to be.
    Made,
    /// It is made, and nobody is told.
    UnknownMade,
    /// It is not made, and nobody is told.
    UnknownLost,
    /// It is not made, and said not to be.
    Failed,
    /// It is said that another writer came first.
    Stale,
    /// It is made, and what made it panics.
    PanicMade,
    /// It is not made, and what was to make it panics.
    PanicLost,
}

const FATES: [Fate; 4] = [Fate::UnknownMade, Fate::UnknownLost, Fate::Failed, Fate::Stale];

#[derive(Default)]
struct Plan {
    next: VecDeque<Fate>,
    /// Then: of so many commits one fails in some way.
    one_in: Option<(u64, Dice)>,
    seen: Vec<Fate>,
}

impl Plan {
    fn fate(&mut self) -> Fate {
        let chance = |one_in: u64, dice: &mut Dice| match dice.roll(one_in) {
            0 => FATES[usize::try_from(dice.roll(4)).unwrap()],
            _ => Fate::Made,
        };
        let fate = self.next.pop_front().unwrap_or_else(|| match &mut self.one_in {
            Some((one_in, dice)) => chance(*one_in, dice),
            None => Fate::Made,
        });
        self.seen.push(fate);
        fate
    }
}

type Interlude = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The store.
pub struct Faulty {
    inner: std::sync::RwLock<Arc<dyn Store>>,
    plan: Arc<Mutex<Plan>>,
    /// How many commits have come to the gate.
    arrived: AtomicU64,
    /// Commits wait while this is held.
    pub gate: RwLock<()>,
    /// Happens once, before the next read of the tree's right edge.
    before_frontier: Mutex<Option<Interlude>>,
    /// What becomes of the next checkpoint that is fixed, and of the next that is published.
    pub next_fix: Mutex<Option<Crash>>,
    pub next_publish: Mutex<Option<Crash>>,
    /// What becomes of the next reading of the system accounts, which only reports ask for.
    pub next_report: Mutex<Option<StoreError>>,
    /// What becomes of the next reading of where ids lead.
    pub next_leads: Mutex<Option<StoreError>>,
    /// Tiles that were asked for.
    pub tiles_read: AtomicU64,
    /// How often it was asked what is bound and spent.
    pub standing_read: AtomicU64,
    /// How often it was asked what holders have chosen, or where ids lead.
    pub holders_read: AtomicU64,
}

/// A write is where it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// It is not made.
    Before,
    /// It is made, and nobody is told.
    After,
}

impl Faulty {
    pub fn around(inner: Arc<dyn Store>) -> Arc<Self> {
        let plan = Arc::default();
        Arc::new(Self {
            inner: std::sync::RwLock::new(inner),
            plan,
            arrived: AtomicU64::new(0),
            gate: RwLock::new(()),
            before_frontier: Mutex::new(None),
            next_fix: Mutex::new(None),
            next_publish: Mutex::new(None),
            next_report: Mutex::new(None),
            next_leads: Mutex::new(None),
            tiles_read: AtomicU64::new(0),
            standing_read: AtomicU64::new(0),
            holders_read: AtomicU64::new(0),
        })
    }

    fn inner(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner.read().unwrap())
    }

    /// From now on the answers are another store's.
    pub fn fail_over_to(&self, other: Arc<dyn Store>) {
        *self.inner.write().unwrap() = other;
    }

    /// The fates of the next commits; those after them are made.
    pub fn next(&self, fates: &[Fate]) {
        self.plan.lock().unwrap().next.extend(fates);
    }

    /// From now on one of so many commits fails in a random way.
    pub fn one_in(&self, commits: u64, seed: u64) {
        self.plan.lock().unwrap().one_in = Some((commits, Dice(seed)));
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        let mut plan = self.plan.lock().unwrap();
        plan.one_in = None;
        plan.next.clear();
    }

    /// How many commits have come to the gate.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// What became of all commits so far.
    pub fn seen(&self) -> Vec<Fate> {
        self.plan.lock().unwrap().seen.clone()
    }

    pub fn before_frontier<F>(&self, interlude: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.before_frontier.lock().unwrap() = Some(Box::new(move || Box::pin(interlude())));
    }
}

fn injected() -> StoreError {
    StoreError::Schema("injected".into())
}

async fn meet_checkpoint<C>(fate: Option<Crash>, write: C) -> Result<bool, StoreError>
where
    C: Future<Output = Result<bool, StoreError>>,
{
    match fate {
        None => write.await,
        Some(Crash::Before) => Err(injected()),
        Some(Crash::After) => {
            write.await?;
            Err(injected())
        }
    }
}

async fn meet<C>(fate: Fate, commit: C) -> Result<(), CommitError>
where
    C: Future<Output = Result<(), CommitError>>,
{
    match fate {
        Fate::Made => commit.await,
        Fate::UnknownMade => {
            commit.await?;
            Err(CommitError::Unknown(injected()))
        }
        Fate::UnknownLost => Err(CommitError::Unknown(injected())),
        Fate::Failed => Err(CommitError::Failed(injected())),
        Fate::Stale => Err(CommitError::Stale),
        Fate::PanicMade => {
            commit.await?;
            panic!("injected")
        }
        Fate::PanicLost => panic!("injected"),
    }
}

struct FaultyLocked {
    inner: Box<dyn Locked>,
    plan: Arc<Mutex<Plan>>,
}

#[async_trait]
impl Locked for FaultyLocked {
    fn head(&self) -> Head {
        self.inner.head()
    }

    async fn commit(self: Box<Self>, commit: &Commit) -> Result<(), CommitError> {
        let fate = self.plan.lock().unwrap().fate();
        meet(fate, self.inner.commit(commit)).await
    }
}

/// Methods that the real store answers.
macro_rules! delegated {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Faulty {
            fn name(&self) -> &'static str {
                self.inner().name()
            }

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.inner().$name($($argument),*).await
            })*

            async fn frontier(&self) -> Result<Vec<u8>, StoreError> {
                let interlude = self.before_frontier.lock().unwrap().take();
                if let Some(interlude) = interlude {
                    interlude().await;
                }
                self.inner().frontier().await
            }

            async fn standing(&self, ids: &[[u8; 16]], nonces: &[Nonce]) -> Result<Option<Standing>, StoreError> {
                self.standing_read.fetch_add(1, Ordering::Relaxed);
                self.inner().standing(ids, nonces).await
            }

            async fn tile(&self, level: u8, index: u64) -> Result<Option<Tile>, StoreError> {
                self.tiles_read.fetch_add(1, Ordering::Relaxed);
                self.inner().tile(level, index).await
            }

            async fn tiles(&self, level: u8, index: u64, limit: u32) -> Result<Vec<Tile>, StoreError> {
                self.tiles_read.fetch_add(limit.into(), Ordering::Relaxed);
                self.inner().tiles(level, index, limit).await
            }

            async fn system_at(&self, at: i64) -> Result<Vec<(SystemAccount, SystemEntry)>, StoreError> {
                let failure = self.next_report.lock().unwrap().take();
                match failure {
                    None => self.inner().system_at(at).await,
                    Some(failure) => Err(failure),
                }
            }

            async fn fix_checkpoint(&self, checkpoint: &FixedCheckpoint) -> Result<bool, StoreError> {
                let fate = self.next_fix.lock().unwrap().take();
                meet_checkpoint(fate, self.inner().fix_checkpoint(checkpoint)).await
            }

            async fn publish_checkpoint(&self, checkpoint: &PublishedCheckpoint) -> Result<bool, StoreError> {
                let fate = self.next_publish.lock().unwrap().take();
                meet_checkpoint(fate, self.inner().publish_checkpoint(checkpoint)).await
            }

            async fn commit(&self, commit: &Commit) -> Result<(), CommitError> {
                self.arrived.fetch_add(1, Ordering::Relaxed);
                let _open = self.gate.read().await;
                let fate = self.plan.lock().unwrap().fate();
                meet(fate, self.inner().commit(commit)).await
            }

            async fn lock(&self) -> Result<Box<dyn Locked>, StoreError> {
                let inner = self.inner().lock().await?;
                Ok(Box::new(FaultyLocked { inner, plan: Arc::clone(&self.plan) }))
            }
        }
    };
}

delegated! {
    fn head() -> Option<Head>;
    fn create_book(book: BookId) -> ();
    fn programmes() -> Vec<ProgrammeRow>;
    fn system_accounts() -> Vec<SystemHead>;
    fn wallets(ids: &[WalletId]) -> Vec<(WalletId, Wallet)>;
    fn benefits(benefits: &[Benefit]) -> Vec<(Benefit, RoaringBitmap)>;
    fn paid(keys: &[(u32, Benefit)]) -> Vec<((u32, Benefit), Paid)>;
    fn lots(keys: &[(u32, u32, u32)]) -> Vec<(u32, Lot)>;
    fn lots_of_benefits(keys: &[(u32, Benefit)]) -> Vec<(u32, Lot)>;
    fn pay_outs(entries: &[u64]) -> Vec<(u64, PayOut)>;
    fn instructions(ids: &[[u8; 16]]) -> Vec<([u8; 16], u64)>;
    fn spend(nonces: &[Nonce]) -> Vec<[u8; 16]>;
    fn forget_nonces(before: i64, at_most: u32) -> u64;
    fn evidence(entry: u64) -> Option<Evidence>;
    fn batches(ids: &[BatchId]) -> Vec<Batch>;
    fn chunks(batch: u32, first: u64, last: u64) -> Vec<ChunkRow>;
    fn batch_times(batch: u32) -> BatchTimes;
    fn leaves(entries: &[u64]) -> Vec<(u64, Vec<u8>)>;
    fn bundles(entry: u64, limit: u32) -> Vec<Bundle>;
    fn frontier_at(size: u64) -> Option<Vec<u8>>;
    fn log_changes() -> Vec<LogChange>;
    fn registry_changes() -> Vec<RegistryChange>;
    fn registry_seq() -> Option<u64>;
    fn fixed_checkpoint() -> Option<FixedCheckpoint>;
    fn published_checkpoint() -> Option<PublishedCheckpoint>;
    fn wallet_at(account: u32, at: i64) -> Option<Wallet>;
    fn statement(account: u32, range: StatementRange) -> Vec<WalletEntry>;
    fn sealed_iin(account: u32) -> Option<Vec<u8>>;
    fn wallet_entries(after: (u32, u32), limit: u32) -> Vec<WalletEntry>;
    fn lot_movements(after: (u32, u32, u32), limit: u32) -> Vec<LotMovement>;
    fn system_entries(after: (u32, u64), limit: u32) -> Vec<SystemEntry>;
    fn wallet_ids(after: u32, limit: u32) -> Vec<(u32, WalletId, u64)>;
    fn is_committed(commit: &Commit) -> bool;
}

/// Methods of another trait that the real store answers.
macro_rules! all_delegated {
    ($trait:ty, $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $trait for Faulty {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.inner().$name($($argument),*).await
            })*
        }
    };
}

all_delegated! {
    Payments,
    fn authorisations(entries: &[u64]) -> Vec<Authorisation>;
    fn payments(entries: &[u64]) -> Vec<Payment>;
    fn cash_outs(references: &[CashReference]) -> Vec<(CashReference, u64)>;
    fn usage(counted: &[Counted]) -> Vec<UsageEntry>;
    fn sealed_destinations(entries: &[u64]) -> Vec<(u64, Vec<u8>)>;
    fn transfers_of_bank(bank: Bic, only_held: bool, after: u64, limit: u32) -> Vec<u64>;
    fn expired_cash(before: i64, after: (i64, u64), limit: u32) -> Vec<(i64, u64)>;
    fn events(audience: Audience, after: u64, limit: u32) -> Vec<u64>;
    fn payment_digests() -> Vec<(&'static str, u64, u64)>;
}

#[async_trait]
impl Holders for Faulty {
    async fn choices(&self, accounts: &[u32]) -> Result<Vec<(u32, u32, Chosen)>, StoreError> {
        self.holders_read.fetch_add(1, Ordering::Relaxed);
        self.inner().choices(accounts).await
    }

    async fn choice_history(
        &self,
        account: u32,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<Vec<NewChoice>, StoreError> {
        self.inner().choice_history(account, after, limit).await
    }

    async fn has_leads(&self) -> Result<bool, StoreError> {
        self.inner().has_leads().await
    }

    async fn leads(&self, ids: &[WalletId]) -> Result<Vec<(WalletId, WalletId)>, StoreError> {
        self.holders_read.fetch_add(1, Ordering::Relaxed);
        let failure = self.next_leads.lock().unwrap().take();
        match failure {
            None => self.inner().leads(ids).await,
            Some(failure) => Err(failure),
        }
    }

    async fn holder_digests(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError> {
        self.inner().holder_digests().await
    }
}

all_delegated! {
    Orders,
    fn newest_rules() -> Option<(u64, RuleTable)>;
    fn rules(entry: u64) -> Option<RuleTable>;
    fn orders(entries: &[u64]) -> Vec<OrderRow>;
    fn orders_by_tag(tags: &[[u8; 32]]) -> Vec<OrderRow>;
    fn collected(debts: &[(u32, [u8; 32])]) -> Vec<(u32, [u8; 32], i64)>;
    fn standing_until(accounts: &[u32]) -> Vec<OrderRow>;
    fn expired_orders(freezes: bool, before: i64, after: (i64, u64), limit: u32) -> Vec<(i64, u64)>;
    fn orders_of_issuer(issuer: Bin, after: u64, limit: u32) -> Vec<OrderRow>;
    fn orders_against(account: u32, after: u64, limit: u32) -> Vec<OrderRow>;
    fn orders_between(from: i32, to: i32, after: u64, limit: u32) -> Vec<OrderRow>;
    fn orders_that_took(from: i32, to: i32, after: u64, limit: u32) -> Vec<OrderRow>;
    fn order_sums(from: i32, to: i32) -> Vec<OrderSums>;
    fn sealed_orders(entries: &[u64]) -> Vec<(u64, Vec<u8>)>;
    fn order_digests() -> Vec<(&'static str, u64, u64)>;
}

// What only an audit reads.
all_delegated! {
    Projections,
    fn instruction_rows(after: &[u8], limit: u32) -> Vec<([u8; 16], u64)>;
    fn person_tag_rows(after: &[u8], limit: u32) -> Vec<([u8; 32], u32)>;
    fn pay_out_rows(after: (u64, u32), limit: u32) -> Vec<PayOutRow>;
    fn tile_rows(after: Option<(u8, u64)>, limit: u32) -> Vec<Tile>;
    fn batch_entry_rows(after: (u32, u32), limit: u32) -> Vec<BatchEntryRow>;
    fn benefit_keys() -> Vec<Benefit>;
}
