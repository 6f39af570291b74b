//! The store alone: how fast decided commits go in. No rules, no hashing, no signatures: only the database's part.
//!
//! ```text
//! cargo bench --bench store -- [--wallets N] [--payrolls N] [sqlite] [postgres]
//! ```
//!
//! A payroll credits every wallet once, in random order, with a leaf of 490 bytes each. PostgreSQL is the one of
//! `SOCIAL_WALLET_TEST_DATABASE_URL`; the SQLite file lies below `target/`, so that it is on a disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use social_wallet::domain::time::Stamp;
use social_wallet::domain::{
    Bin, BookId, FundClass, LegalBasis, Names, Part, Period, ProgrammeCode, Text, WalletId,
};
use social_wallet::ledger::account::SystemAccount;
use social_wallet::ledger::effects::{Effects, NewProgramme, NewSystemAccount, SystemEntry};
use social_wallet::ledger::record::ProgrammeSpec;
use social_wallet::ledger::wallet::{Benefit, EntryKind, NewWallet, Wallet, WalletEntry};
use social_wallet::store::postgres::{PostgresStore, SERVICE_ROLE};
use social_wallet::store::sqlite::SqliteStore;
use social_wallet::store::{Bundle, Commit, Head, Store};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

/// Bytes of a leaf: what an accrual of a payroll has.
const LEAF_BYTES: usize = 490;

/// Single commits whose time is taken.
const SINGLES: usize = 2_000;

fn wallet_id(account: u32) -> WalletId {
    // Ids are a keyed hash: without order.
    let mixed = u64::from(account).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    WalletId::from_uuid(Uuid::from_u64_pair(mixed.rotate_left(32), mixed))
}

/// Decides nothing: makes commits that look like decided ones.
struct Maker {
    head: Head,
    at: i64,
    heads: Vec<Wallet>,
    system: u64,
    credited: i64,
    leaf: Vec<u8>,
    rng: ChaCha8Rng,
}

impl Maker {
    fn new(wallets: u32) -> Self {
        let book = BookId::from_uuid(Uuid::from_u128(7));
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        Self {
            head: Head { book, size: 0, wallet_count: 0, batch_count: 0, at: 0, nonce: [0; 16] },
            at: 1_790_000_000_000,
            heads: (0..=wallets).map(Wallet::opened).collect(),
            system: 0,
            credited: 0,
            leaf: (0..LEAF_BYTES).map(|_| rng.random()).collect(),
            rng,
        }
    }

    fn commit(&mut self, entries: usize, leaf_bytes: usize, effects: Effects) -> Commit {
        let before = self.head;
        let size = before.size + entries as u64;
        let wallet_count = before.wallet_count + u32::try_from(effects.wallets.len()).expect("few wallets");
        self.head = Head { size, wallet_count, at: self.at, nonce: self.rng.random(), ..before };
        let mut bundles: Vec<Bundle> = Vec::new();
        for entry in before.size..size {
            if bundles.is_empty() || entry % 256 == 0 {
                bundles.push(Bundle {
                    first: entry,
                    count: 0,
                    bytes: Vec::with_capacity(256 * (leaf_bytes + 2)),
                });
            }
            let bundle = bundles.last_mut().expect("one was pushed");
            bundle.count += 1;
            bundle
                .bytes
                .extend_from_slice(&u16::try_from(leaf_bytes).expect("a leaf is short").to_be_bytes());
            bundle.bytes.extend_from_slice(&self.leaf[..leaf_bytes]);
        }
        let stamp = Stamp::of(self.at).expect("a moment of our time");
        Commit {
            before,
            after: self.head,
            stamp,
            bundles,
            tiles: Vec::new(),
            frontier: vec![0; 328],
            effects,
            nonces: Vec::new(),
            evidence: Vec::new(),
        }
    }

    fn begin(&mut self) -> Commit {
        let code = ProgrammeCode::parse(b"ASP").expect("a code");
        let name = Text::parse("A benefit").expect("a name");
        let spec = ProgrammeSpec {
            code,
            names: Names { kk: name.clone(), ru: name.clone(), en: name },
            payer: Bin::parse(b"940140000385").expect("a BIN"),
            legal_basis: LegalBasis::parse("Social Code").expect("a law"),
            class: FundClass::Protected,
            knp: None,
            kbe: None,
            iso_purpose: None,
        };
        let accounts = [SystemAccount::Backing, SystemAccount::Funding(code), SystemAccount::Wallets(code)];
        let numbered = (1..).zip(accounts).map(|(number, account)| NewSystemAccount { number, account });
        let effects = Effects {
            programmes: vec![NewProgramme { number: 1, seq: 0, spec }],
            system_accounts: numbered.collect(),
            ..Effects::default()
        };
        self.commit(1, 400, effects)
    }

    fn open(&mut self, accounts: std::ops::Range<u32>) -> Commit {
        let first = self.head.size;
        let wallets: Vec<NewWallet> = (first..)
            .zip(accounts)
            .map(|(seq, account)| {
                let id = wallet_id(account);
                let tag = [id.uuid().into_bytes(), id.uuid().into_bytes()].concat();
                let tag = tag.try_into().expect("twice sixteen is thirty-two");
                NewWallet { account, id, seq, sealed_iin: vec![5; 41], tag }
            })
            .collect();
        self.commit(wallets.len(), 300, Effects { wallets, ..Effects::default() })
    }

    fn accrue(&mut self, accounts: &[u32], benefit: Benefit) -> Commit {
        self.at += 1;
        let mut entries = Vec::with_capacity(accounts.len());
        let amount = 7_879_800;
        for (seq, account) in (self.head.size..).zip(accounts) {
            let head = &mut self.heads[*account as usize];
            head.version += 1;
            head.posted += amount;
            head.first_open_lot = head.first_open_lot.max(1);
            entries.push(WalletEntry {
                seq,
                at: self.at,
                kind: EntryKind::Accrual,
                amount,
                benefit: Some(benefit),
                class: Some(FundClass::Protected),
                refers: None,
                after: *head,
            });
        }
        self.system += 1;
        let moved = amount * i64::try_from(accounts.len()).expect("few");
        self.credited += moved;
        let system = |account: u32, debits: i64, credits: i64| SystemEntry {
            account,
            version: self.system,
            seq: self.head.size,
            at: self.at,
            debits,
            credits,
        };
        let system_entries = vec![system(2, self.credited, i64::MAX), system(3, 0, self.credited)];
        let benefits = BTreeMap::from([(benefit, accounts.to_vec())]);
        let count = accounts.len();
        self.commit(count, LEAF_BYTES, Effects { entries, system_entries, benefits, ..Effects::default() })
    }
}

fn quantile(times: &mut [Duration], of: f64) -> Duration {
    times.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    times[((times.len() - 1) as f64 * of) as usize]
}

#[allow(clippy::cast_precision_loss)] // of figures for people
fn report(store: &str, what: &str, rows: usize, times: &mut [Duration]) {
    let total: Duration = times.iter().sum();
    let rate = rows as f64 / total.as_secs_f64();
    let (half, last) = (quantile(times, 0.5), quantile(times, 0.99));
    println!(
        "{store:9} {what:44} {rate:9.0}/s  p50 {:8.2} ms  p99 {:8.2} ms  ({} commits)",
        half.as_secs_f64() * 1e3,
        last.as_secs_f64() * 1e3,
        times.len()
    );
}

async fn timed(store: &dyn Store, commit: Commit) -> Duration {
    let start = Instant::now();
    store.commit(&commit).await.expect("nobody else writes");
    start.elapsed()
}

async fn measure(store: Arc<dyn Store>, wallets: u32, payrolls: u8) {
    let store = &*store;
    let name = store.name();
    let mut maker = Maker::new(wallets);
    store.create_book(maker.head.book).await.expect("an empty place");
    timed(store, maker.begin()).await;
    let mut times = Vec::new();
    let mut next = 1;
    while next <= wallets {
        let end = (next + 16_384).min(wallets + 1);
        times.push(timed(store, maker.open(next..end)).await);
        next = end;
    }
    report(name, "openings in batches of 16,384", wallets as usize, &mut times);
    let mut order: Vec<u32> = (1..=wallets).collect();
    for payroll in 0..payrolls {
        order.shuffle(&mut maker.rng);
        let period = Period::month(2026, payroll % 12 + 1).expect("a month");
        let part = Part::new(u16::from(payroll / 12) + 1).expect("a part");
        let benefit = Benefit { programme: 1, period, part };
        let batch = if payroll % 2 == 0 { 8_192 } else { 16_384 };
        let mut times = Vec::new();
        for accounts in order.chunks(batch) {
            let commit = maker.accrue(accounts, benefit);
            times.push(timed(store, commit).await);
        }
        let what = format!("payroll {} in batches of {batch}", payroll + 1);
        report(name, &what, order.len(), &mut times);
    }
    let benefit = Benefit { programme: 1, period: Period::Once, part: Part::FIRST };
    let mut times = Vec::new();
    for account in order.iter().take(SINGLES) {
        let mut commit = maker.accrue(&[*account], benefit);
        commit.effects.instructions.push((maker.rng.random(), commit.before.size));
        times.push(timed(store, commit).await);
    }
    report(name, "single accruals", times.len(), &mut times);
    let ids: Vec<WalletId> = order.iter().take(8_192).map(|account| wallet_id(*account)).collect();
    let mut times = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        assert_eq!(store.wallets(&ids).await.expect("a read").len(), ids.len());
        times.push(start.elapsed());
    }
    report(name, "reads of 8,192 wallets with their heads", ids.len() * times.len(), &mut times);
}

async fn sqlite(wallets: u32, payrolls: u8) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target/ can be written");
    let path = directory.path().join("book.sqlite");
    let store = SqliteStore::open(&path).await.expect("a new file");
    measure(Arc::new(store), wallets, payrolls).await;
    let bytes = std::fs::metadata(Path::new(&path)).expect("the file is there").len();
    println!("sqlite    file: {} MiB", bytes >> 20);
}

async fn postgres(wallets: u32, payrolls: u8) {
    let Ok(url) = std::env::var("SOCIAL_WALLET_TEST_DATABASE_URL") else {
        println!("postgres  left out: SOCIAL_WALLET_TEST_DATABASE_URL is not set");
        return;
    };
    let schema = format!("bench_{}", std::process::id());
    PostgresStore::migrate(&url, &schema, SERVICE_ROLE).await.expect("the owner's URL");
    let store = PostgresStore::open(&url, &schema, SERVICE_ROLE).await.expect("just migrated");
    for warning in store.durability_warnings() {
        println!("postgres  NOT DURABLE, so these figures mean nothing: {warning}");
    }
    measure(Arc::new(store), wallets, payrolls).await;
    let mut owner = PgConnection::connect(&url).await.expect("the owner's URL");
    let sql = format!("DROP SCHEMA {schema} CASCADE");
    owner.execute(AssertSqlSafe(sql)).await.expect("its own schema");
}

#[tokio::main]
async fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a benchmark of a debug build says nothing: run `cargo bench --bench store`");
        std::process::exit(2);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u32| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)?.parse().ok()).unwrap_or(default)
    };
    let (wallets, payrolls) = (number("--wallets", 1_000_000), number("--payrolls", 4));
    let payrolls = u8::try_from(payrolls).expect("at most 255 payrolls");
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !named("sqlite") && !named("postgres");
    if all || named("sqlite") {
        sqlite(wallets, payrolls).await;
    }
    if all || named("postgres") {
        postgres(wallets, payrolls).await;
    }
}
