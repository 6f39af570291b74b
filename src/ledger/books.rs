//! The books: the state that the rules read and change.
//!
//! In the service they are a bounded working set over the store: the reader loads what a batch of commands touches before
//! the rules run. In the property tests, the replay and the auditor's verifier they hold everything. The rules cannot tell
//! the difference: what is not loaded is [`Fault::Unread`], never "absent".

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::time::Stamp;
use crate::domain::{Amount, BankReference, BatchId, Bic, Bin, ClientId, Money, ProgrammeCode, WalletId};

use super::account::SystemAccount;
use super::batch::{Batch, LineVerdict};
use super::cache::WalletCache;
use super::choice::{Choices, Due};
use super::effects::{Effects, NewSystemAccount, SystemEntry};
use super::log_rules::LogState;
use super::order_rules::Orders;
use super::payment::{Authorisation, CashReference, Counted, Direction, Payment, UsageEntry};
use super::record::{Actor, ProgrammeSpec, Record};
use super::refusal::Refusal;
use super::registry::Registry;
use super::wallet::{Benefit, Lot, Wallet};
use super::whole::Whole;

/// The largest sum that may come in, and that may go out to a bank or an authority, in all time, tiyn: far above all money
/// there is, far below what `i64` holds, so that no sum of a few can overflow. No wallet and no funding holds more than what
/// came in, so that nobody asks it of them.
pub const SUM_MAX: i64 = 1_000_000_000_000_000_000;

/// The most wallets, and the most batches, of a book: both stores write their numbers as signed integers of 32 bits.
pub const NUMBERS_MAX: u32 = i32::MAX.unsigned_abs();

/// Why a rule stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The command is refused.
    Refused(Refusal),
    /// The command is refused, and that is written: the refusal names the entry.
    Told(Refusal),
    /// The books do not hold what the rule needs: a mistake of the program, never of the command.
    Unread(&'static str),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a rule answers.
pub type Ruling<T> = Result<T, Fault>;

/// A registered programme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Programme {
    /// Its internal number, from 1.
    pub number: u32,
    /// The journal entry that registered it.
    pub seq: u64,
    /// What it is.
    pub spec: ProgrammeSpec,
    /// Its funding account's place among the system accounts.
    pub(super) funding: usize,
    /// Its control account's place among the system accounts.
    pub(super) wallets: usize,
}

/// The head of a system account, with what the commit under way has moved on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemHead {
    /// Its internal number, from 1.
    pub number: u32,
    /// Which it is.
    pub account: SystemAccount,
    /// The version of its newest entry.
    pub version: u64,
    /// Σ debits since the book was opened, tiyn.
    pub debits: i64,
    /// Σ credits since the book was opened, tiyn.
    pub credits: i64,
    touched_by: Option<u64>,
}

impl SystemHead {
    /// A head as the store holds it.
    #[must_use]
    pub fn stored(number: u32, account: SystemAccount, version: u64, debits: i64, credits: i64) -> Self {
        Self { number, account, version, debits, credits, touched_by: None }
    }

    /// Σ credits − Σ debits, tiyn.
    #[must_use]
    pub fn balance(&self) -> i64 {
        self.credits - self.debits
    }
}

/// A pay-out and what has come back of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayOut {
    /// From which wallet.
    pub wallet: WalletId,
    /// To which bank.
    pub bank: Bic,
    /// How much of which lots, in the order they were drawn.
    pub shares: Vec<PayOutShare>,
}

/// A pay-out's share of one lot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayOutShare {
    /// The lot's version in its wallet.
    pub lot: u32,
    /// What went out.
    pub amount: i64,
    /// What has come back.
    pub returned: i64,
}

/// What an instruction id made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The journal entry.
    pub seq: u64,
    /// The entry's kind.
    pub kind: String,
    /// The entry's members.
    pub content: Map<String, Value>,
    /// The hash of its leaf; `None` while the leaf is not written.
    pub leaf_hash: Option<[u8; 32]>,
}

impl Bound {
    /// A member of the entry; `null` if it has none of the name. `amount` is the sum of its postings, unless it is a member of
    /// its own; `bank` whose clearing account they credit; `agent` the member `bank`.
    #[must_use]
    pub fn member(&self, name: &str) -> Value {
        if name == "agent" {
            return self.content.get("bank").cloned().unwrap_or(Value::Null);
        }
        if name == "amount" && !self.content.contains_key(name) {
            let postings = self.content.get("postings").and_then(Value::as_array);
            let amounts = postings.into_iter().flatten().filter_map(|posting| posting["amount"].as_str());
            let sum = amounts.filter_map(|text| Amount::parse(text.as_bytes()).ok()).map(Amount::tiyn).sum();
            return Money::from_tiyn(sum).map_or(Value::Null, |sum| Value::String(sum.to_string()));
        }
        if name == "bank" {
            let credit = self.content.get("postings").and_then(|postings| postings[0]["credit"].as_str());
            let bank = credit.and_then(|account| account.strip_prefix("clearing:"));
            return bank.map_or(Value::Null, |bank| Value::String(bank.to_owned()));
        }
        self.content.get(name).cloned().unwrap_or(Value::Null)
    }
}

/// Who paid a benefit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paid {
    /// The journal entry.
    pub seq: u64,
    /// What it credited, tiyn.
    pub amount: i64,
}

/// A line's earlier verdict, and the content that was accepted then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prior {
    /// The verdict.
    pub line: LineVerdict,
    /// SHA-256 of the chunk that it came in, and that chunk's first line: the same chunk has the same content.
    pub chunk: ([u8; 32], u64),
    /// The accepted entry's members; `None` for a refused line, or where the chunk is the same.
    pub content: Option<Map<String, Value>>,
}

/// The state.
pub struct Books {
    /// How many entries the journal has: the number of the next one.
    pub size: u64,
    /// How many wallets have been opened.
    pub wallet_count: u32,
    /// How many batches have been opened.
    pub batch_count: u32,
    /// What grows with the book, where these books hold everything: what is not there does not exist.
    pub(super) whole: Option<Box<Whole>>,
    pub(super) log: LogState,
    pub(super) registry: Registry,
    pub(super) programmes: Vec<Programme>,
    pub(super) programme_by_code: HashMap<ProgrammeCode, usize>,
    pub(super) system: Vec<SystemHead>,
    pub(super) system_by_account: HashMap<SystemAccount, usize>,
    /// Heads of wallets, where the books do not hold all.
    pub wallets: WalletCache,
    /// Who has been paid which benefit.
    pub benefits: HashMap<Benefit, RoaringBitmap>,
    /// Open lots by wallet, where the books do not hold all; an account that is here has all its open lots here, and
    /// perhaps spent ones.
    pub lots: HashMap<u32, BTreeMap<u32, Lot>>,
    /// Pay-outs, by entry.
    pub pay_outs: HashMap<u64, PayOut>,
    /// Batches.
    pub batches: HashMap<BatchId, Batch>,
    /// Bound instruction ids, where the books do not hold all; `None`: known not to be bound.
    pub instructions: HashMap<[u8; 16], Option<Bound>>,
    /// Entries that paid a benefit, for lines that name one paid already.
    pub paid: HashMap<(u32, Benefit), Paid>,
    /// Earlier verdicts of lines that come again.
    pub prior: HashMap<(BatchId, u64), Prior>,
    /// Holders' authorisations, by entry.
    pub authorisations: HashMap<u64, Authorisation>,
    /// Transfers and cash-outs, by entry.
    pub payments: HashMap<u64, Payment>,
    /// Cash-outs by their public reference.
    pub cash: HashMap<CashReference, u64>,
    /// The newest row of what is counted by business day; `None`: there is none.
    pub usage: HashMap<Counted, Option<UsageEntry>>,
    /// Holders' choices of a destination that hold, by the wallet's internal number.
    pub choices: HashMap<u32, Choices>,
    /// A credit that the next entry sends on.
    pub(super) due: Option<Due>,
    /// Whether any id may lead to another wallet.
    pub leads: bool,
    /// Orders against wallets, and the rules that they are decided by.
    pub orders: Orders,
}

impl Books {
    /// Empty books. `wallets_max` bounds the memory of wallets' heads.
    #[must_use]
    pub fn empty(wallets_max: usize, complete: bool) -> Self {
        Self {
            size: 0,
            wallet_count: 0,
            batch_count: 0,
            whole: complete.then(Box::default),
            log: LogState::default(),
            registry: Registry::default(),
            programmes: Vec::new(),
            programme_by_code: HashMap::new(),
            system: Vec::new(),
            system_by_account: HashMap::new(),
            wallets: WalletCache::bounded(wallets_max),
            benefits: HashMap::new(),
            lots: HashMap::new(),
            pay_outs: HashMap::new(),
            batches: HashMap::new(),
            instructions: HashMap::new(),
            paid: HashMap::new(),
            prior: HashMap::new(),
            authorisations: HashMap::new(),
            payments: HashMap::new(),
            cash: HashMap::new(),
            usage: HashMap::new(),
            choices: HashMap::new(),
            due: None,
            leads: false,
            orders: Orders::default(),
        }
    }

    /// Books that hold everything: for replay and for tests.
    #[must_use]
    pub fn whole() -> Self {
        Self::empty(usize::MAX, true)
    }

    /// Forgets what was looked up for one batch of commands. Call it only when nothing is being committed: what a commit
    /// under way has changed must stay.
    pub fn forget_lookups(&mut self) {
        if self.whole.is_none() {
            self.lots.clear();
            self.pay_outs.clear();
            self.instructions.clear();
            self.paid.clear();
            self.prior.clear();
            self.authorisations.clear();
            self.payments.clear();
            self.cash.clear();
            self.usage.clear();
            self.choices.clear();
            self.orders.forget();
        }
        self.due = None;
    }

    /// A programme by code.
    #[must_use]
    pub fn programme(&self, code: ProgrammeCode) -> Option<&Programme> {
        self.programme_by_code.get(&code).map(|index| &self.programmes[*index])
    }

    /// All programmes, in the order they were registered.
    #[must_use]
    pub fn programmes(&self) -> &[Programme] {
        &self.programmes
    }

    /// All system accounts, in the order they were opened.
    #[must_use]
    pub fn system_accounts(&self) -> &[SystemHead] {
        &self.system
    }

    /// Puts a programme of the store into the books. Its two accounts must be there.
    pub fn load_programme(&mut self, number: u32, seq: u64, spec: ProgrammeSpec) -> Ruling<()> {
        let place = |account| {
            self.system_by_account.get(&account).copied().ok_or(Fault::Unread("a programme's accounts"))
        };
        let funding = place(SystemAccount::Funding(spec.code))?;
        let wallets = place(SystemAccount::Wallets(spec.code))?;
        self.programme_by_code.insert(spec.code, self.programmes.len());
        self.programmes.push(Programme { number, seq, spec, funding, wallets });
        Ok(())
    }

    /// Puts a system account of the store into the books.
    pub fn load_system(&mut self, head: SystemHead) {
        self.system_by_account.insert(head.account, self.system.len());
        self.system.push(head);
    }

    /// Forgets programmes, accounts and batches, to load them again.
    pub fn forget_small(&mut self) {
        self.programmes.clear();
        self.programme_by_code.clear();
        self.system.clear();
        self.system_by_account.clear();
        self.batches.clear();
    }

    /// Writes a record into the journal; its number.
    pub(super) fn write(&mut self, fx: &mut Effects, record: Record, actor: Actor) -> u64 {
        let seq = self.size;
        self.size += 1;
        // What was approved is carried out by the next entry, or not at all.
        self.registry.approved = None;
        if let Some(id) = actor.instruction {
            // An instruction may write several records (a wallet opened on the way); it is bound to its last.
            fx.instructions.retain(|(bound, _)| *bound != id);
            fx.instructions.push((id, seq));
            if let Some(whole) = &mut self.whole {
                whole.bound.insert(id, seq);
            } else {
                let content = record.members();
                let kind = record.kind().to_owned();
                self.instructions.insert(id, Some(Bound { seq, kind, content, leaf_hash: None }));
            }
        }
        fx.records.push((record, actor));
        seq
    }

    /// The place of a system account, opening it if it is new.
    pub(super) fn system_place(&mut self, fx: &mut Effects, account: SystemAccount) -> usize {
        if let Some(place) = self.system_by_account.get(&account) {
            return *place;
        }
        let place = self.system.len();
        let number = u32::try_from(place + 1).expect("system accounts are counted in thousands");
        self.load_system(SystemHead::stored(number, account, 0, 0, 0));
        fx.system_accounts.push(NewSystemAccount { number, account });
        place
    }

    /// Moves money on a system account: `amount` > 0 credits it, < 0 debits it. The caller has checked the sum.
    pub(super) fn move_system(&mut self, place: usize, seq: u64, amount: i64) {
        let head = &mut self.system[place];
        if amount > 0 {
            head.credits += amount;
        } else {
            head.debits -= amount;
        }
        head.touched_by = Some(seq);
    }

    /// What is known of a wallet, under any id that leads to it; `Ok(None)`: it does not exist.
    pub fn wallet(&mut self, id: WalletId) -> Ruling<Option<Wallet>> {
        Ok(self.find_wallet(id)?.map(|(_, wallet)| wallet))
    }

    /// What is known of a wallet, with the id that it has now.
    pub fn find_wallet(&mut self, id: WalletId) -> Ruling<Option<(WalletId, Wallet)>> {
        match &self.whole {
            Some(whole) => Ok(whole.wallets.find(id)),
            None => self.wallets.find(id).ok_or(Fault::Unread("a wallet")),
        }
    }

    /// The id that a wallet which exists has now.
    pub(super) fn canonical(&mut self, id: WalletId) -> Ruling<WalletId> {
        self.find_wallet(id)?.map(|(id, _)| id).ok_or(Fault::Unread("the wallet of what is known"))
    }

    /// The wallet that was opened under an id, whatever became of it, where the books hold everything.
    #[must_use]
    pub fn own_wallet(&self, id: WalletId) -> Option<Wallet> {
        self.whole.as_ref().and_then(|whole| whole.wallets.own(id))
    }

    /// Whether an id leads, or has led, to the wallet that a text names: what was done under it then was done there.
    pub fn has_led(&mut self, id: WalletId, to: &str) -> bool {
        let mut next = Some(id);
        while let Some(id) = next {
            if id.to_string() == to {
                return true;
            }
            next = match &self.whole {
                Some(whole) => whole.wallets.led(id),
                None => self.wallets.led(id),
            };
        }
        false
    }

    pub(super) fn lead(&mut self, id: WalletId, to: WalletId) {
        self.leads = true;
        match &mut self.whole {
            Some(whole) => whole.wallets.lead(id, to),
            None => self.wallets.lead(id, to),
        }
    }

    pub(super) fn put_wallet(&mut self, id: WalletId, wallet: Wallet) {
        match &mut self.whole {
            Some(whole) => whole.wallets.put(id, wallet),
            None => self.wallets.put(id, Some(wallet)),
        }
    }

    /// All wallets that the books hold, in no order.
    #[must_use]
    pub fn known_wallets(&self) -> Box<dyn Iterator<Item = (WalletId, Wallet)> + '_> {
        match &self.whole {
            Some(whole) => Box::new(whole.wallets.iter()),
            None => Box::new(self.wallets.known()),
        }
    }

    /// The lots of a wallet, oldest first.
    pub fn lots_of(&self, account: u32) -> Ruling<Vec<Lot>> {
        match (&self.whole, self.lots.get(&account)) {
            (Some(whole), _) => Ok(whole.lots.of(account)),
            (None, Some(lots)) => Ok(lots.values().copied().collect()),
            (None, None) => Err(Fault::Unread("the lots of a wallet")),
        }
    }

    pub(super) fn put_lot(&mut self, account: u32, lot: Lot) {
        match &mut self.whole {
            Some(whole) => whole.lots.put(account, lot),
            None => drop(self.lots.entry(account).or_default().insert(lot.version, lot)),
        }
    }

    /// The entry that an instruction id or a bank reference is bound to.
    pub fn bound_to(&self, id: &[u8; 16]) -> Ruling<Option<u64>> {
        match (&self.whole, self.instructions.get(id)) {
            (Some(whole), _) => Ok(whole.bound.get(id).copied()),
            (None, Some(known)) => Ok(known.as_ref().map(|bound| bound.seq)),
            (None, None) => Err(Fault::Unread("whether an id is bound")),
        }
    }

    /// All ids that books that hold everything have bound, with their entries, in no order.
    pub fn bound(&self) -> impl Iterator<Item = ([u8; 16], u64)> + '_ {
        self.whole.iter().flat_map(|whole| whole.bound.iter().map(|(id, seq)| (*id, *seq)))
    }

    /// How many lots books that hold everything have, and how many of them have moved.
    #[must_use]
    pub fn lots_count(&self) -> (usize, usize) {
        self.whole.as_ref().map_or((0, 0), |whole| whole.lots.count())
    }

    /// Takes a benefit's bitmap out of books that hold everything, to keep it elsewhere. Until it is brought back with
    /// [`Books::unshelve`], whoever asks for it gets [`Fault::Unread`].
    pub fn shelve(&mut self, benefit: Benefit) -> Option<RoaringBitmap> {
        let whole = self.whole.as_mut()?;
        let accounts = self.benefits.remove(&benefit)?;
        whole.shelved.insert(benefit);
        Some(accounts)
    }

    /// Brings a benefit's bitmap back.
    pub fn unshelve(&mut self, benefit: Benefit, accounts: RoaringBitmap) {
        if let Some(whole) = &mut self.whole
            && whole.shelved.remove(&benefit)
        {
            self.benefits.insert(benefit, accounts);
        }
    }

    /// Whether a benefit's bitmap is kept elsewhere.
    #[must_use]
    pub fn is_shelved(&self, benefit: &Benefit) -> bool {
        self.whole.as_ref().is_some_and(|whole| !whole.shelved.is_empty() && whole.shelved.contains(benefit))
    }

    /// The benefit whose bitmap an accrual will read, if its programme is registered.
    #[must_use]
    pub fn benefit_of(&self, record: &Record) -> Option<Benefit> {
        let Record::Accrued { programme, period, part, .. } = *record else { return None };
        self.programme(programme).map(|programme| Benefit { programme: programme.number, period, part })
    }

    /// The benefits whose bitmaps the merging of a wallet will read, where the books hold everything.
    #[must_use]
    pub fn benefits_of_wallet(&self, id: WalletId) -> Vec<Benefit> {
        let lots = self.own_wallet(id).and_then(|wallet| self.lots_of(wallet.account).ok());
        lots.into_iter().flatten().map(|lot| lot.benefit).collect()
    }

    /// Ends a commit: the rows of the system accounts that it touched.
    pub fn finish(&mut self, fx: &mut Effects, stamp: Stamp) {
        for head in &mut self.system {
            let Some(seq) = head.touched_by.take() else { continue };
            head.version += 1;
            fx.system_entries.push(SystemEntry {
                account: head.number,
                version: head.version,
                seq,
                at: stamp.at,
                debits: head.debits,
                credits: head.credits,
            });
        }
    }
}

/// The id under which a bank reference is bound to the funding that it brought, among the instruction ids.
#[must_use]
pub fn bank_reference_id(reference: &BankReference) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"social-wallet/bank-reference/v1\0");
    hash.update(reference.as_str().as_bytes());
    shortened(hash)
}

/// The id under which the reference of a payment between banks is bound to its entry: each bank names its own.
#[must_use]
pub fn settlement_id(bank: Bic, direction: Direction, reference: &BankReference) -> [u8; 16] {
    let way: &[u8] = match direction {
        Direction::Paid => b"paid",
        Direction::Received => b"received",
    };
    let mut hash = Sha256::new();
    for part in [b"social-wallet/settlement/v1".as_slice(), bank.as_str().as_bytes(), way] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(reference.as_str().as_bytes());
    shortened(hash)
}

/// The id under which the reference of a payment to an authority is bound to its entry.
#[must_use]
pub fn levy_settlement_id(authority: Bin, reference: &BankReference) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"social-wallet/levy-settlement/v1\0");
    hash.update(authority.to_string().as_bytes());
    hash.update([0]);
    hash.update(reference.as_str().as_bytes());
    shortened(hash)
}

/// The id under which what shows a holder's consent is bound to the authorisation that it was for: one consent, one authorisation.
#[must_use]
pub fn consent_id(channel: ClientId, evidence: &[u8; 32]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"social-wallet/consent/v1\0");
    hash.update(channel.as_str().as_bytes());
    hash.update([0]);
    hash.update(evidence);
    shortened(hash)
}

fn shortened(hash: Sha256) -> [u8; 16] {
    let full: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&full[..16]);
    id
}
