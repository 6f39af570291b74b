//! The desk: reads what a batch of commands touches, decides the commands in memory, seals the entries into leaves.
//!
//! It holds the books as they will be when everything decided so far is committed. The sequencer commits what the desk
//! prepares; a rehearsal never does. Between reading and committing nothing waits for the store.
//!
//! | File        | Holds |
//! |-------------|-------|
//! | `mod.rs`    | what it knows, and how it comes up to the store's head |
//! | `read.rs`   | what a batch touches, and reading it |
//! | `decide.rs` | one command after the other; those that come again |
//! | `run.rs`    | which rule a command is decided by |
//! | `seal.rs`   | leaves, the tree, the commit |

mod decide;
mod read;
mod run;
mod seal;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::domain::time::Stamp;
use crate::keys::BookKeys;
use crate::ledger::batch::BatchState;
use crate::ledger::books::{Books, Fault, Paid};
use crate::ledger::effects::Effects;
use crate::ledger::record::{Actor, Record};
use crate::ledger::signed::{Nonce, SignedRequest};
use crate::ledger::wallet::{Benefit, EntryKind, Lot};
use crate::log::leaf::{Leaf, LeafWriter};
use crate::log::merkle::leaf_hash;
use crate::log::tile::{BundleEntries, RightEdge};
use crate::payroll::LineKind;
use crate::store::{Commit, Head, Store, StoreError};

use super::command::{Command, CommandError, EntryView, Outcome};
use super::edge::{EdgeError, edge_at, read_frontier};

/// How many entries of another writer are followed one by one; beyond it everything is forgotten and read again.
pub const TAIL_MAX: u64 = 50_000;

/// How often the head and the tree's edge are read while other writers commit between the two reads.
const EDGE_ATTEMPTS_MAX: u32 = 100;

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
