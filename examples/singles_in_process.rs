//! Single accruals without HTTP and signatures, straight into the writer: `cargo run --release --example singles_in_process -- DIR [URL]`.
//!
//! What another ledger that is called in process is to be held beside. Rules, journal, idempotency ids, log and durable commit are
//! those of the service. 13 programmes pay 5,000 wallets, from 1, 16 and 64 tasks. DIR is a new directory for the book's keys, and
//! for the book in SQLite; URL is PostgreSQL's, of a role that may create the schema `in_process`.

mod common;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{WALLETS_IN_MEMORY, new_store};
use social_wallet::domain::{Amount, BankReference, ClientId, Iin, Part, Period, WalletId};
use social_wallet::keys::BookKeys;
use social_wallet::ledger::record::{Actor, ProgrammeSpec};
use social_wallet::ledger::rules::Accrual;
use social_wallet::payroll::{
    BadShares, ChunkReader, GeneratorConfig, Line, LineKind, OutputFormat, catalogue, parse_chunk,
};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::Clock;
use social_wallet::sequencer::command::Command;
use tokio::task::JoinSet;

type Failed = Box<dyn Error + Send + Sync>;

const WALLETS: usize = 5_000;
const TASKS: [usize; 3] = [1, 16, 64];
const RUN: Duration = Duration::from_secs(5);
const FIRST_YEAR: u16 = 2_000;
const SCHEMA: &str = "in_process";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc; // as `serve` has it

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name a new directory")?);
    let store = new_store(&directory, arguments.next().as_deref(), SCHEMA).await?;
    let keys = BookKeys::create(&directory.join("keys.json"))?;
    store.create_book(keys.book()).await?;
    let (name, keys) = (store.name(), Arc::new(keys));
    let started = Sequencer::start(store, keys.clone(), Clock::system(), WALLETS_IN_MEMORY).await?;
    let (sequencer, writer) = started;
    let people = Arc::new(prepare(&sequencer, &keys).await?);
    let next = Arc::new(AtomicUsize::new(0));
    for tasks in TASKS {
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let (sequencer, people, next) = (sequencer.clone(), people.clone(), next.clone());
            running.spawn(async move {
                let mut done = 0_u32;
                while begun.elapsed() < RUN {
                    let command = accrual(&people, next.fetch_add(1, Ordering::Relaxed))?;
                    sequencer.submit(command, actor()?).await?;
                    done += 1;
                }
                Ok::<_, Failed>(done)
            });
        }
        let mut done = 0;
        while let Some(task) = running.join_next().await {
            done += task??;
        }
        println!("{name}, {tasks} tasks: {:.0}/s", f64::from(done) / begun.elapsed().as_secs_f64());
    }
    drop(sequencer);
    Ok(writer.await?)
}

/// Whose wallets are paid: the wallet of a number, and the number.
type People = Vec<(WalletId, Iin)>;

/// Registers and funds the programmes, and opens the wallets.
async fn prepare(sequencer: &Sequencer, keys: &BookKeys) -> Result<People, Failed> {
    for programme in catalogue() {
        let spec = ProgrammeSpec {
            code: programme.code,
            names: programme.names.clone(),
            payer: programme.payer_bin,
            legal_basis: programme.legal_basis.clone(),
            class: programme.class,
            knp: programme.knp,
            kbe: programme.kbe,
            iso_purpose: programme.iso_purpose,
        };
        sequencer.submit(Command::RegisterProgramme(Box::new(spec)), actor()?).await?;
        let amount = Amount::from_tiyn(99_999_999_999_999).ok_or("an amount")?;
        let bank_reference = BankReference::parse(&format!("IN-PROCESS/{}", programme.code))?;
        let fund = Command::Fund { programme: programme.code, amount, bank_reference };
        sequencer.submit(fund, actor()?).await?;
    }
    let config = GeneratorConfig {
        lines: WALLETS as u64,
        seed: 1,
        period: Period::parse(b"2026-11")?,
        shuffle: true,
        bad: BadShares::default(),
        format: OutputFormat::Csv,
    };
    let mut file = Vec::new();
    config.write_to(&mut file)?;
    let mut people = People::with_capacity(WALLETS);
    let mut reader = ChunkReader::new(file.as_slice())?;
    let encoding = reader.encoding();
    while let Some(chunk) = reader.next_chunk()? {
        for line in parse_chunk(LineKind::Accrual, encoding, &chunk.body)? {
            if let Ok(Line::Accrual(line)) = line.line {
                people.push((keys.wallet_id(&line.iin), line.iin));
            }
        }
    }
    for (wallet, iin) in &people {
        sequencer.submit(Command::OpenWallet { iin: *iin, wallet: *wallet }, actor()?).await?;
    }
    Ok(people)
}

/// The accrual of a number: all people, then the next programme, then the next month.
fn accrual(people: &People, number: usize) -> Result<Command, Failed> {
    let (round, person) = (number / people.len(), number % people.len());
    let (month, programme) = (round / catalogue().len(), &catalogue()[round % catalogue().len()]);
    let year = FIRST_YEAR + u16::try_from(month / 12)?;
    let period = Period::Month { year, month: u8::try_from(month % 12 + 1)? };
    let (wallet, iin) = people[person];
    let amount = Amount::from_tiyn(12_345).ok_or("an amount")?;
    let accrual = Accrual { wallet, programme: programme.code, period, part: Part::FIRST, amount };
    Ok(Command::Accrue { accrual, iin, payer: programme.payer_bin })
}

/// Who asks, with an idempotency id of its own.
fn actor() -> Result<Actor, Failed> {
    let client = ClientId::parse("payer")?;
    Ok(Actor { client, request: [5; 32], line: None, instruction: Some(rand::random()) })
}
