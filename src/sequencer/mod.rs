//! The one writer.
//!
//! ```text
//! submit ─► queue (bounded) ─► gather ─► read ─► decide ─► seal ─► commit ─► answer
//!                                 ▲                                  │
//!                                 └── the next batch, meanwhile ─────┘
//! ```
//!
//! | phase | where | what bounds it |
//! |---|---|---|
//! | queue | memory | [`QUEUE_MAX`] commands; beyond it `Busy` |
//! | gather | memory | [`BATCH_WEIGHT_MAX`] lines; while one commit runs, the next batch gathers |
//! | read | store, a fixed number of array reads; none if the desk knows all | what the batch names and the desk does not know |
//! | decide, seal | memory | the batch |
//! | commit | store, a fixed number of set-based statements | the batch |
//!
//! *Order.* Commands are decided in the order in which they were taken from the queue, and a batch gives exactly the journal
//! that its commands would give one by one. A refused command never spoils its neighbours.
//!
//! *Durable before answered.* No answer leaves before the commit that carries it is in, and none before the commit before
//! it: batch N+1 is decided on the books as they are after N while N is being committed, and waits for N. If N fails, both
//! are discarded and decided again.
//!
//! *Several writers on one store.* The head of the log is the fence: a commit decided on another head than the store's is
//! stale and writes nothing. Then the sequencer takes the head's lock first, comes up to date, and decides under the lock, so
//! that it always gets on.
//!
//! *On trust.* A batch of accruals whose wallets and benefits the desk knows is decided without a read, as if no instruction
//! were bound and no nonce spent: the unique keys of the commit's rows hold that. If one does not hold, the commit fails and its
//! commands are asked about like any others; and so is every command that would be refused, before anybody hears of it. It is then
//! decided after those that it came with: the journal is that of the same commands in that order. One client's mistakes can
//! make its neighbours' batches be read for a while, and nothing worse.
//!
//! *Unknown outcomes.* If the connection is lost during a commit, the head's lock is taken on a new connection and the
//! commit looked up by its nonce, before anybody is answered.

pub mod clock;
pub mod command;
pub mod desk;
pub mod edge;
pub mod expiry;
pub mod figures;
pub mod holder;
pub mod rehearsal;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::domain::time::Stamp;
use crate::keys::BookKeys;
use crate::ledger::record::Actor;
use crate::ledger::signed::{Nonce, SignedRequest};
use crate::log::tile::RightEdge;
use crate::store::{Commit, CommitError, Head, Store, StoreError};

use clock::Clock;
use command::{Command, CommandError, Outcome, Submission};
use desk::{Desk, DeskError, Prepared, Request};
use figures::Figures;

/// Commands that may wait.
pub const QUEUE_MAX: usize = 4_096;

/// Lines that one commit may carry, as long as it carries more than one command: three full chunks. Lines come in random order, and an
/// embedded store writes a page of its index for nearly each of them: the more of them a commit has, the more lie on the same page.
pub const BATCH_WEIGHT_MAX: usize = 24_576;

/// Lines that a batch must have to be decided while another is being committed; a smaller one gathers on.
pub const OVERTAKE_WEIGHT_MIN: usize = 2_048;

/// How long a nonce is kept after it has expired, in seconds of the book's own time: no replica's clock is so far behind.
const NONCE_KEPT: i64 = 300;

/// How often expired nonces are forgotten, in seconds.
const FORGET_INTERVAL: i64 = 60;

/// Nonces that are forgotten at once: commits get their turn between.
const FORGOTTEN_AT_ONCE: u32 = 500;

/// Batches that are asked about after one was taken on trust in vain.
const DISTRUST: u32 = 64;

/// How often a command is tried when commits fail, before it is answered that the ledger cannot write.
const ATTEMPTS_MAX: u8 = 3;

/// How long a store that does not answer is waited for before everybody waiting is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where commands are handed in.
#[derive(Clone)]
pub struct Sequencer {
    queue: mpsc::Sender<Submission>,
    writable: Arc<AtomicBool>,
    durable: watch::Receiver<u64>,
    figures: Figures,
    registry: watch::Receiver<Option<u64>>,
}

impl Sequencer {
    /// Starts the writer. The task ends when every handle has been dropped and all that was handed in is answered.
    /// `wallets_max` bounds the memory of wallets' heads.
    pub async fn start(
        store: Arc<dyn Store>,
        keys: Arc<BookKeys>,
        clock: Clock,
        wallets_max: usize,
    ) -> Result<(Self, JoinHandle<()>), DeskError> {
        let desk = Desk::open(Arc::clone(&store), Arc::clone(&keys), wallets_max).await?;
        let (queue, commands) = mpsc::channel(QUEUE_MAX);
        let writable = Arc::new(AtomicBool::new(true));
        let confirmed = (desk.head(), desk.edge().clone());
        let left = confirmed.0;
        let (tell_durable, durable) = watch::channel(confirmed.0.size);
        let figures = Figures::default();
        let (tell_registry, registry) = watch::channel(desk.books().registry().newest());
        let mut writer = Writer {
            store,
            desk,
            clock,
            commands,
            pending: VecDeque::new(),
            flight: None,
            confirmed,
            careful: 0,
            distrust: 0,
            contended: false,
            left,
            writable: Arc::clone(&writable),
            durable: tell_durable,
            figures: figures.clone(),
            registry: tell_registry,
            forgotten: 0,
        };
        writer.open_book().await?;
        let task = tokio::spawn(writer.run());
        Ok((Self { queue, writable, durable, figures, registry }, task))
    }

    /// Hands a command of this process in and waits for its outcome.
    pub async fn submit(&self, command: Command, actor: Actor) -> Result<Outcome, CommandError> {
        self.submit_signed(command, actor, None).await
    }

    /// Hands in the command of a request with what was signed, and waits for its outcome.
    pub async fn submit_signed(
        &self,
        command: Command,
        actor: Actor,
        signed: Option<Box<SignedRequest>>,
    ) -> Result<Outcome, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Submission { command, actor, signed, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Busy,
            mpsc::error::TrySendError::Closed(_) => {
                CommandError::Unavailable("the writer has stopped".into())
            }
        })?;
        answer.await.unwrap_or_else(|_| Err(CommandError::Unavailable("the writer has stopped".into())))
    }

    /// Whether the last attempt to write reached the store.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed) && !self.queue.is_closed()
    }

    /// How many entries are durable: told after every commit of this writer.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }

    /// What the writer tells of itself.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The newest change of who may call that this writer has seen, its own and others'.
    #[must_use]
    pub fn registry(&self) -> watch::Receiver<Option<u64>> {
        self.registry.clone()
    }

    /// Commands that wait.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        QUEUE_MAX - self.queue.capacity()
    }
}

type Reply = oneshot::Sender<Result<Outcome, CommandError>>;

/// A command that waits to be decided.
struct Waiting {
    request: Request,
    reply: Reply,
    attempts: u8,
    /// Whether it was taken on trust in vain: it is asked about.
    asked: bool,
}

/// Decided commands with their answers, which are true once the commit is in.
struct Work {
    waiting: Vec<Waiting>,
    answers: Vec<Result<Outcome, CommandError>>,
}

impl Work {
    /// Answers what a commit carried that is in.
    fn answer(mut self, commit: &Commit) {
        desk::write_out(&mut self.answers, commit);
        self.send();
    }

    fn send(self) {
        for (waiting, answer) in self.waiting.into_iter().zip(self.answers) {
            // Whoever asked may have gone; the entry stands all the same.
            let _gone = waiting.reply.send(answer);
        }
    }

    /// Takes out the commands that were refused on trust: they have changed nothing, and are to be asked about.
    fn take_refused(&mut self) -> Vec<Waiting> {
        let decided = std::mem::take(&mut self.waiting).into_iter().zip(std::mem::take(&mut self.answers));
        let mut refused = Vec::new();
        for (waiting, answer) in decided {
            if answer.is_err() {
                refused.push(Waiting { asked: true, ..waiting });
            } else {
                self.waiting.push(waiting);
                self.answers.push(answer);
            }
        }
        refused
    }
}

/// A commit under way.
struct Flight {
    work: Work,
    commit: Arc<Commit>,
    edge: RightEdge,
    trusted: bool,
    course: Course,
}

/// Who sees to a commit under way.
enum Course {
    /// The writer, as long as it has nothing else to do: no other task has to be woken.
    Here(BoxFuture<'static, Result<(), CommitError>>),
    /// A task of its own, while the writer decides the next batch.
    Apart(JoinHandle<Result<(), CommitError>>),
}

impl Course {
    fn part(self) -> Self {
        match self {
            Self::Here(commit) => Self::Apart(tokio::spawn(commit)),
            Self::Apart(_) => self,
        }
    }

    /// Waits for its end. It may be waited for again if the wait was broken off.
    async fn end(&mut self) -> Result<(), CommitError> {
        match self {
            Self::Here(commit) => commit.await,
            Self::Apart(task) => task.await.unwrap_or_else(|error| {
                Err(CommitError::Unknown(StoreError::Schema(format!("the commit task ended: {error}"))))
            }),
        }
    }
}

/// A commit whose panic is an unknown outcome like any other.
async fn without_panic(commit: impl Future<Output = Result<(), CommitError>>) -> Result<(), CommitError> {
    let ended = AssertUnwindSafe(commit).catch_unwind().await;
    ended.unwrap_or_else(|_| Err(CommitError::Unknown(StoreError::Schema("the commit panicked".into()))))
}

struct Writer {
    store: Arc<dyn Store>,
    desk: Desk,
    clock: Clock,
    commands: mpsc::Receiver<Submission>,
    pending: VecDeque<Waiting>,
    flight: Option<Flight>,
    /// The last head known to be in the store, with the tree's edge at it.
    confirmed: (Head, RightEdge),
    /// How many of the pending commands are to be tried alone, because they failed together.
    careful: usize,
    /// How many batches are asked about, whatever the desk knows.
    distrust: u32,
    /// Whether another writer got in between: batches take the lock first, until one finds the head where this writer left it.
    contended: bool,
    /// The head that this writer's last commit left, or that it found under the lock since.
    left: Head,
    writable: Arc<AtomicBool>,
    durable: watch::Sender<u64>,
    figures: Figures,
    registry: watch::Sender<Option<u64>>,
    /// Nonces that expired before this second are forgotten.
    forgotten: i64,
}

/// A batch that has been decided and not yet sent off.
struct Next {
    work: Work,
    /// `None` if it makes no entry.
    commit: Option<Arc<Commit>>,
    /// The nonces that no commit carries.
    nonces: Vec<Nonce>,
    /// Whether it was taken on trust.
    trusted: bool,
}

/// What became of preparing a batch.
enum Preparation {
    Ready(Next),
    /// Something must be read that the commit under way may be changing.
    Unsettled(Vec<Waiting>),
    /// Another writer has moved the head: what was read may be newer than what the desk holds.
    Behind(Vec<Waiting>),
    /// It could not be decided; the desk must catch up.
    Failed(Vec<Waiting>, DeskError),
}

impl Writer {
    /// Writes the first entry of a new book.
    async fn open_book(&mut self) -> Result<(), DeskError> {
        if self.desk.head().size > 0 {
            return Ok(());
        }
        let stamp = self.stamp().map_err(|error| StoreError::Schema(error.to_string()))?;
        let commit = self.desk.open_book(stamp);
        match self.store.commit(&commit).await {
            Ok(()) => self.confirm(&commit, self.desk.edge().clone()),
            Err(CommitError::Stale) => {
                // Another replica has opened the book just now.
                self.desk.catch_up(self.confirmed.0, self.confirmed.1.clone()).await?;
                self.confirmed = (self.desk.head(), self.desk.edge().clone());
            }
            Err(CommitError::Failed(error) | CommitError::Unknown(error)) => return Err(error.into()),
        }
        Ok(())
    }

    async fn run(mut self) {
        loop {
            if self.pending.is_empty() && !self.wait().await {
                return;
            }
            self.drain();
            if self.contended && self.flight.is_none() {
                self.contend().await;
                continue;
            }
            let settled = self.flight.is_none();
            let (batch, weight) = self.take(settled);
            if batch.is_empty() || (!settled && weight < OVERTAKE_WEIGHT_MIN) {
                self.put_back(batch);
                self.wait().await;
                continue;
            }
            if let Some(flight) = self.flight.take() {
                self.flight = Some(Flight { course: flight.course.part(), ..flight });
            }
            match self.prepare(batch, settled).await {
                Preparation::Ready(next) => self.advance(next).await,
                Preparation::Unsettled(batch) => {
                    self.put_back(batch);
                    self.land(None).await;
                }
                Preparation::Behind(batch) => {
                    self.put_back(batch);
                    self.land(None).await;
                    self.contended = true;
                }
                Preparation::Failed(batch, error) => {
                    // What is under way was decided before and is not at fault.
                    if self.flight.is_some() {
                        self.put_back(batch);
                        self.land(None).await;
                        self.catch_up().await;
                    } else {
                        self.fail(batch, &error.to_string()).await;
                    }
                }
            }
        }
    }

    /// Waits for a command, or for the commit under way: until it is in, or lines have come that are worth deciding meanwhile.
    /// Answers false when there will be nothing more to do.
    async fn wait(&mut self) -> bool {
        let Some(mut flight) = self.flight.take() else {
            let Some(command) = self.commands.recv().await else { return false };
            self.pending.push_back(waiting(command));
            return true;
        };
        let end = loop {
            let end = tokio::select! {
                biased;
                end = flight.course.end() => Some(end),
                command = self.commands.recv(), if self.pending.len() < QUEUE_MAX
                    && (!self.commands.is_closed() || !self.commands.is_empty()) => {
                    self.pending.extend(command.map(waiting));
                    None
                }
            };
            self.drain();
            let weight =
                || self.pending.iter().map(|waiting| waiting.request.command.weight()).sum::<usize>();
            if end.is_some() || weight() >= OVERTAKE_WEIGHT_MIN {
                break end;
            }
        };
        self.flight = Some(flight);
        if let Some(end) = end {
            self.landed(end, None).await;
        }
        true
    }

    fn drain(&mut self) {
        while self.pending.len() < QUEUE_MAX {
            let Ok(command) = self.commands.try_recv() else { break };
            self.pending.push_back(waiting(command));
        }
    }

    /// Takes the next batch off the front. While a commit is under way only commands that need not wait for it.
    fn take(&mut self, settled: bool) -> (Vec<Waiting>, usize) {
        let mut batch = Vec::new();
        let mut weight = 0;
        while let Some(next) = self.pending.front() {
            let heavier = weight + next.request.command.weight();
            let alone = |waiting: &Waiting| waiting.request.command.moves_wallets();
            let full = !batch.is_empty()
                && (heavier > BATCH_WEIGHT_MAX
                    || self.careful > 0
                    || alone(next)
                    || batch.last().is_some_and(alone));
            let may_overtake = self.careful == 0 && self.desk.can_overtake(&next.request.command);
            if full || !(settled || may_overtake) {
                break;
            }
            weight = heavier;
            batch.extend(self.pending.pop_front());
        }
        if settled && self.careful > 0 {
            self.careful -= batch.len().min(self.careful);
        }
        (batch, weight)
    }

    fn put_back(&mut self, batch: Vec<Waiting>) {
        for waiting in batch.into_iter().rev() {
            self.pending.push_front(waiting);
        }
    }

    fn stamp(&self) -> Result<Stamp, clock::ClockError> {
        let at = self.clock.stamp(self.desk.head().at)?;
        Stamp::of(at).ok_or(clock::ClockError::Jumped)
    }

    async fn prepare(&mut self, batch: Vec<Waiting>, settled: bool) -> Preparation {
        let may_trust = settled && self.distrust == 0 && batch.iter().all(|waiting| !waiting.asked);
        self.distrust = self.distrust.saturating_sub(1);
        let (requests, rest): (Vec<Request>, Vec<(Reply, u8, bool)>) = batch
            .into_iter()
            .map(|waiting| (waiting.request, (waiting.reply, waiting.attempts, waiting.asked)))
            .unzip();
        let join = |requests: Vec<Request>| {
            let rest = requests.into_iter().zip(rest);
            rest.map(|(request, (reply, attempts, asked))| Waiting { request, reply, attempts, asked })
                .collect::<Vec<_>>()
        };
        let trusted = may_trust && self.desk.take_on_trust(&requests);
        if !trusted {
            match self.desk.read(&requests, settled).await {
                // The desk's head is the store's, or will be once the commit under way is in: no other writer was there
                // before the last read, so all that was read fits together, and a refusal is as current as an entry.
                Ok(Some(head)) if head == self.desk.head() || head == self.confirmed.0 => {}
                Ok(Some(_)) => return Preparation::Behind(join(requests)),
                Ok(None) => return Preparation::Unsettled(join(requests)),
                Err(error) => return Preparation::Failed(join(requests), error),
            }
        }
        let stamp = match self.stamp() {
            Ok(stamp) => stamp,
            Err(error) => {
                let answers =
                    requests.iter().map(|_| Err(CommandError::Unavailable(error.to_string()))).collect();
                tracing::error!(%error, "no writes");
                let work = Work { waiting: join(requests), answers };
                return Preparation::Ready(Next { work, commit: None, nonces: Vec::new(), trusted: false });
            }
        };
        let weight: usize = requests.iter().map(|request| request.command.weight()).sum();
        let decided = if weight < OVERTAKE_WEIGHT_MIN {
            self.desk.decide(&requests, stamp)
        } else {
            // It takes tens of milliseconds of this thread: others take its other tasks, which is not worth it for less.
            tokio::task::block_in_place(|| self.desk.decide(&requests, stamp))
        };
        match decided {
            Ok(prepared) => {
                let Prepared { commit, nonces, answers } = prepared;
                let mut work = Work { waiting: join(requests), answers };
                if trusted {
                    self.put_back(work.take_refused());
                }
                Preparation::Ready(Next { work, commit: commit.map(Arc::new), nonces, trusted })
            }
            Err((error, effects)) => {
                self.desk.discard(&effects);
                Preparation::Failed(join(requests), error)
            }
        }
    }

    /// Waits for the commit under way, then sends the next one off.
    async fn advance(&mut self, next: Next) {
        let Some(Next { mut work, commit, nonces, trusted }) = self.land(Some(next)).await else { return };
        let Some(commit) = commit else { return self.answer_without_commit(work, &nonces).await };
        let (store, carried, figures) = (Arc::clone(&self.store), Arc::clone(&commit), self.figures.clone());
        let sent = async move { figures.timed(without_panic(store.commit(&carried))).await };
        let mut sent = sent.boxed();
        // It is on its way before anything else is done.
        let end = poll_fn(|context| Poll::Ready(sent.poll_unpin(context))).await;
        let edge = self.desk.edge().clone();
        desk::write_out(&mut work.answers, &commit);
        let course = match end {
            Poll::Ready(end) => futures::future::ready(end).boxed(),
            Poll::Pending => sent,
        };
        self.flight = Some(Flight { work, commit, edge, trusted, course: Course::Here(course) });
    }

    /// Answers commands that made no entry, once the nonces of their signatures are spent: what was refused today must not
    /// be sent again by somebody else tomorrow.
    async fn answer_without_commit(&mut self, mut work: Work, nonces: &[Nonce]) {
        if nonces.is_empty() {
            return work.send();
        }
        let spent = self.store.spend(nonces).await;
        if let Err(error) = &spent {
            tracing::error!(%error, "nonces cannot be spent");
        }
        for (waiting, answer) in work.waiting.iter().zip(&mut work.answers) {
            let Some(signed) = &waiting.request.signed else { continue };
            if let Err(CommandError::KeyRevoked) = answer {
                continue; // its nonce was not asked for
            }
            match &spent {
                Ok(spent) if spent.contains(&signed.nonce.id) => {}
                Ok(_) => *answer = Err(CommandError::NonceUsed),
                Err(_) => *answer = Err(CommandError::Unavailable("the database does not answer".into())),
            }
        }
        work.send();
    }

    /// Waits for the commit under way, if any. `next` was decided on top of it: it comes back if the commit is in, and is
    /// discarded and put back in the queue if it is not.
    async fn land(&mut self, next: Option<Next>) -> Option<Next> {
        let Some(flight) = &mut self.flight else { return next };
        let end = flight.course.end().await;
        self.landed(end, next).await
    }

    async fn landed(&mut self, result: Result<(), CommitError>, next: Option<Next>) -> Option<Next> {
        let flight = self.flight.take()?;
        match result {
            Ok(()) => {
                self.figures.committed(flight.work.waiting.len(), flight.commit.effects.records.len());
                self.confirm(&flight.commit, flight.edge);
                flight.work.answer(&flight.commit);
                next
            }
            Err(error) => {
                if let Some(Next { work, commit, .. }) = next {
                    if let Some(commit) = commit {
                        self.desk.discard(&commit.effects);
                    }
                    self.put_back(work.waiting);
                }
                match error {
                    CommitError::Failed(error) if flight.trusted => {
                        self.ask_about(flight.work, &flight.commit, &error).await;
                    }
                    error => self.recover(flight.work, &flight.commit, error).await,
                }
                None
            }
        }
    }

    fn confirm(&mut self, commit: &Commit, edge: RightEdge) {
        self.confirmed = (commit.after, edge);
        self.left = commit.after;
        self.durable.send_replace(commit.after.size);
        self.tell_registry();
        self.writable.store(true, Ordering::Relaxed);
        self.forget_nonces(commit);
    }

    /// Forgets expired nonces now and then, beside the commits.
    fn forget_nonces(&mut self, commit: &Commit) {
        let before = commit.after.at.div_euclid(1_000) - NONCE_KEPT;
        if commit.nonces.is_empty() || before < self.forgotten + FORGET_INTERVAL {
            return;
        }
        self.forgotten = before;
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            loop {
                match store.forget_nonces(before, FORGOTTEN_AT_ONCE).await {
                    Ok(forgotten) if forgotten < u64::from(FORGOTTEN_AT_ONCE) => return,
                    Ok(_) => {}
                    Err(error) => return tracing::warn!(%error, "expired nonces are kept for now"),
                }
            }
        });
    }

    /// Before anybody is answered: whoever is told of a revocation finds it in force. (The books may be a commit ahead: then
    /// who asks finds nothing new yet, and asks again.)
    fn tell_registry(&self) {
        self.registry.send_replace(self.desk.books().registry().newest());
    }

    /// What was taken on trust did not hold: most likely an instruction is bound to another entry, or a nonce is spent. The same
    /// commands again, and this time the store is asked.
    async fn ask_about(&mut self, work: Work, commit: &Commit, error: &StoreError) {
        tracing::info!(%error, commands = work.waiting.len(), "a batch taken on trust is asked about");
        self.distrust = DISTRUST;
        self.desk.discard(&commit.effects);
        let waiting = work.waiting.into_iter().map(|waiting| Waiting { asked: true, ..waiting });
        self.put_back(waiting.collect());
        self.catch_up().await;
    }

    /// A commit failed, or its outcome is unknown: find out, answer or put back, and come up to the store's head.
    async fn recover(&mut self, work: Work, commit: &Commit, error: CommitError) {
        self.figures.commits_failed.inc();
        tracing::warn!(%error, entries = commit.effects.records.len(), "a commit did not go through");
        let committed = match error {
            CommitError::Unknown(_) => self.find_out(commit).await,
            CommitError::Stale | CommitError::Failed(_) => Some(false),
        };
        if committed == Some(true) {
            self.figures.committed(work.waiting.len(), commit.effects.records.len());
            work.answer(commit);
            return self.catch_up().await;
        }
        self.desk.discard(&commit.effects);
        match (committed, error) {
            (Some(_), CommitError::Stale) => {
                self.put_back(work.waiting);
                self.contended = true;
                self.catch_up().await;
            }
            (Some(_), error) => self.fail(work.waiting, &error.to_string()).await,
            (None, _) => {
                for waiting in work.waiting {
                    let told =
                        CommandError::Unavailable("the outcome is not known yet; send the same again".into());
                    let _gone = waiting.reply.send(Err(told));
                }
                self.catch_up().await;
            }
        }
    }

    /// Whether a commit of unknown outcome is in; `None`: the store does not say within the patience.
    async fn find_out(&mut self, commit: &Commit) -> Option<bool> {
        let mut pause = Pause::default();
        loop {
            match self.store.is_committed(commit).await {
                Ok(committed) => return Some(committed),
                Err(error) => tracing::warn!(%error, "the outcome of a commit is unknown"),
            }
            if pause.is_over() {
                return None;
            }
            pause.wait().await;
        }
    }

    /// Commands could not be decided or committed together: each is tried alone, so that one bad command spoils no other.
    async fn fail(&mut self, batch: Vec<Waiting>, error: &str) {
        tracing::error!(error, commands = batch.len(), "a batch failed");
        let alone = batch.len() == 1;
        let mut again = Vec::with_capacity(batch.len());
        for mut waiting in batch {
            waiting.attempts += 1;
            if alone && waiting.attempts >= ATTEMPTS_MAX {
                let told = CommandError::Unavailable("an internal error; the operator's log has it".into());
                let _gone = waiting.reply.send(Err(told));
            } else {
                again.push(waiting);
            }
        }
        self.careful += if alone { 0 } else { again.len() };
        self.put_back(again);
        self.catch_up().await;
    }

    /// Comes up to the store's head. Waits for a store that does not answer; whoever waits longer than the patience is told.
    async fn catch_up(&mut self) {
        let mut pause = Pause::default();
        loop {
            let (head, edge) = self.confirmed.clone();
            match self.desk.catch_up(head, edge).await {
                Ok(()) => {
                    self.confirmed = (self.desk.head(), self.desk.edge().clone());
                    self.tell_registry();
                    self.writable.store(true, Ordering::Relaxed);
                    return;
                }
                Err(error) => tracing::error!(%error, "the store does not let the ledger go on"),
            }
            self.writable.store(false, Ordering::Relaxed);
            if pause.is_over() {
                self.drain();
                for waiting in self.pending.drain(..) {
                    let told = CommandError::Unavailable("the database does not answer".into());
                    let _gone = waiting.reply.send(Err(told));
                }
                self.careful = 0;
                if self.commands.is_closed() {
                    return;
                }
            }
            pause.wait().await;
        }
    }

    /// One batch under the head's lock, because another writer got in between: this one cannot be overtaken.
    async fn contend(&mut self) {
        self.contended = false;
        let locked = match self.store.lock().await {
            Ok(locked) => locked,
            Err(error) => {
                tracing::warn!(%error, "the head cannot be locked");
                return self.catch_up().await;
            }
        };
        // As long as others get in between, every commit would be decided in vain once.
        self.contended = locked.head() != self.left;
        self.left = locked.head();
        let (head, edge) = self.confirmed.clone();
        if let Err(error) = self.desk.catch_up(head, edge).await {
            tracing::warn!(%error, "the desk cannot catch up under the lock");
            drop(locked);
            return self.catch_up().await;
        }
        self.confirmed = (self.desk.head(), self.desk.edge().clone());
        self.tell_registry();
        self.drain();
        let (batch, _) = self.take(true);
        if batch.is_empty() {
            return;
        }
        match self.prepare(batch, true).await {
            Preparation::Ready(Next { work, commit: None, nonces, .. }) => {
                drop(locked);
                self.answer_without_commit(work, &nonces).await;
            }
            Preparation::Ready(Next { work, commit: Some(commit), trusted, .. }) => {
                match self.figures.timed(without_panic(locked.commit(&commit))).await {
                    Ok(()) => {
                        self.figures.committed(work.waiting.len(), commit.effects.records.len());
                        self.confirm(&commit, self.desk.edge().clone());
                        work.answer(&commit);
                    }
                    Err(CommitError::Failed(error)) if trusted => {
                        self.ask_about(work, &commit, &error).await;
                    }
                    Err(error) => self.recover(work, &commit, error).await,
                }
            }
            Preparation::Unsettled(batch) | Preparation::Behind(batch) => self.put_back(batch),
            Preparation::Failed(batch, error) => {
                drop(locked);
                self.fail(batch, &error.to_string()).await;
            }
        }
    }
}

/// Growing pauses between attempts to reach a store, up to the patience.
struct Pause {
    since: Instant,
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { since: Instant::now(), next: Duration::from_millis(20) }
    }
}

impl Pause {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= PATIENCE
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_secs(1));
    }
}

fn waiting(submission: Submission) -> Waiting {
    let Submission { command, actor, signed, reply } = submission;
    Waiting { request: Request { command, actor, signed }, reply, attempts: 0, asked: false }
}
