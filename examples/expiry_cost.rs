//! What it costs a payday that cash-outs run out beside it: `cargo run --release --example expiry_cost -- DIR [LINES] [CODES]`.
//!
//! One payroll a month into the same wallets, straight into the writer: a month alone, a month while the codes run out, a month
//! alone. DIR is a new directory for a book in SQLite. The codes stand for 15 minutes: the writer is started again with a clock that
//! is 16 ahead.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use social_wallet::domain::{Amount, BankReference, BatchId, Bin, ClientId, Money, Period, WalletId};
use social_wallet::keys::BookKeys;
use social_wallet::ledger::batch_rules::{Chunk, ChunkLine};
use social_wallet::ledger::payment::{CashReference, Consent, ConsentMethod, Limits, Purpose, Terms};
use social_wallet::ledger::record::{Actor, BatchDeclaration, ProgrammeSpec};
use social_wallet::payroll::{
    BadShares, ChunkReader, GeneratorConfig, Line, LineKind, OutputFormat, catalogue, parse_chunk,
};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::{self, Clock};
use social_wallet::sequencer::command::{Command, Outcome, PaymentCommand};
use social_wallet::sequencer::expiry::Expiry;
use social_wallet::store::Store;
use social_wallet::store::sqlite::SqliteStore;

type Failed = Box<dyn Error>;

const IN_FLIGHT: usize = 4;
const CODES_OF_A_WALLET: usize = 20; // a day allows no more
const AHEAD: i64 = 16 * 60_000;
const WALLETS_IN_MEMORY: usize = 3_500_000;

fn later() -> i64 {
    clock::now() + AHEAD
}

struct Room {
    keys: Arc<BookKeys>,
    payer: Bin,
    lines: u64,
}

impl Room {
    fn actor() -> Actor {
        let client = ClientId::parse("bench").expect("a client id");
        Actor { client, request: [1; 32], line: None, instruction: None }
    }

    fn id_of(&self, line: &Line) -> WalletId {
        self.keys.wallet_id(match line {
            Line::Accrual(line) => &line.iin,
            Line::Reversal(line) => &line.iin,
            Line::Opening(line) => &line.iin,
        })
    }

    /// The chunks of a month's payroll, and what a batch of them declares.
    fn payroll(&self, month: u8, batch: BatchId) -> Result<(BatchDeclaration, Vec<Chunk>), Failed> {
        let period = Period::Month { year: 2026, month };
        let config = GeneratorConfig {
            lines: self.lines,
            seed: 1,
            period,
            shuffle: month > 1,
            bad: BadShares::default(),
            format: OutputFormat::Csv,
        };
        let mut file = Vec::new();
        config.write_to(&mut file)?;
        let mut reader = ChunkReader::new(file.as_slice())?;
        let encoding = reader.encoding();
        let (mut chunks, mut first_line, mut total) = (Vec::new(), 1, 0);
        while let Some(chunk) = reader.next_chunk()? {
            let digest = Sha256::digest(&chunk.body).into();
            let parsed = parse_chunk(LineKind::Accrual, encoding, &chunk.body)?;
            total += parsed.iter().filter_map(|line| line.amount).map(Amount::tiyn).sum::<i64>();
            let lines: Vec<ChunkLine> = parsed
                .into_iter()
                .map(|parsed| ChunkLine {
                    wallet: parsed.line.as_ref().ok().map(|line| self.id_of(line)),
                    parsed,
                })
                .collect();
            let next = first_line + lines.len() as u64;
            chunks.push(Chunk { batch, first_line, digest, lines });
            first_line = next;
        }
        let declaration = BatchDeclaration {
            batch,
            kind: LineKind::Accrual,
            payer: self.payer,
            programmes: catalogue().iter().map(|programme| programme.code).collect(),
            periods: vec![period, Period::Once],
            lines: self.lines,
            total: Money::from_tiyn(total).ok_or("a total below what there is")?,
            not_before: None,
            release_required: false,
        };
        Ok((declaration, chunks))
    }
}

async fn submit(sequencer: &Sequencer, command: Command) -> Result<Outcome, Failed> {
    Ok(sequencer.submit(command, Room::actor()).await?)
}

async fn furnish(room: &Room, sequencer: &Sequencer) -> Result<(), Failed> {
    for known in catalogue() {
        let spec = ProgrammeSpec {
            code: known.code,
            names: known.names.clone(),
            payer: room.payer,
            legal_basis: known.legal_basis.clone(),
            class: known.class,
            knp: known.knp,
            kbe: known.kbe,
            iso_purpose: known.iso_purpose,
        };
        submit(sequencer, Command::RegisterProgramme(Box::new(spec))).await?;
        let bank_reference = BankReference::parse(known.code.as_str())?;
        submit(sequencer, Command::Fund { programme: known.code, amount: Amount::MAX, bank_reference })
            .await?;
    }
    Ok(())
}

/// Pays a month; how long it took, and the wallets.
async fn pay(
    room: &Room,
    sequencer: &Sequencer,
    month: u8,
) -> Result<(Duration, BTreeSet<WalletId>), Failed> {
    let (declaration, chunks) = room.payroll(month, BatchId::from_uuid(uuid::Uuid::new_v4()))?;
    let wallets = chunks.iter().flat_map(|chunk| &chunk.lines).filter_map(|line| line.wallet).collect();
    submit(sequencer, Command::OpenBatch(Box::new(declaration))).await?;
    let begun = Instant::now();
    stream::iter(chunks)
        .map(|chunk| submit(sequencer, Command::Chunk(Box::new(chunk))))
        .buffered(IN_FLIGHT)
        .try_for_each(|outcome| async move {
            match outcome {
                Outcome::Chunk(chunk) if chunk.entry.is_some() => Ok(()),
                _ => Err("a chunk was not taken".into()),
            }
        })
        .await?;
    Ok((begun.elapsed(), wallets))
}

/// Makes cash-outs of one tenge, twenty a wallet.
async fn make_codes(sequencer: &Sequencer, wallets: &[WalletId]) -> Result<usize, Failed> {
    let one = Amount::parse(b"1.00")?;
    let given = stream::iter(wallets.iter().copied())
        .map(|wallet| async move {
            let terms = Terms {
                purpose: Purpose::Cash {},
                ceiling: Amount::parse(b"100.00")?,
                standing: true,
                expires: clock::now() + 3_600_000,
            };
            let evidence = Sha256::digest(wallet.uuid().as_bytes()).into();
            let consent = Consent { method: ConsentMethod::Session, evidence, at: clock::now() };
            let command =
                PaymentCommand::Authorise { wallet, terms, consent, sealed_destination: Vec::new() };
            match submit(sequencer, Command::Payment(command)).await? {
                Outcome::Entry(entry) => Ok::<u64, Failed>(entry.seq),
                _ => Err("another outcome than an entry".into()),
            }
        })
        .buffered(512)
        .try_collect::<Vec<u64>>()
        .await?;
    let codes = given.iter().flat_map(|given| (0..CODES_OF_A_WALLET).map(move |number| (*given, number)));
    let made = stream::iter(codes)
        .map(|(authorisation, number)| async move {
            let mut reference = [0; 10];
            reference[..8].copy_from_slice(&authorisation.to_be_bytes());
            reference[9] = u8::try_from(number)?;
            let reference = CashReference::from_bytes(reference);
            let command = PaymentCommand::CreateCash {
                authorisation,
                amount: one,
                reference,
                secret: [1; 32],
                minutes: 15,
            };
            submit(sequencer, Command::Payment(command)).await
        })
        .buffered(512)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(made.len())
}

async fn start(store: &Arc<dyn Store>, keys: &Arc<BookKeys>, now: fn() -> i64) -> Result<Sequencer, Failed> {
    let started = Sequencer::start(store.clone(), keys.clone(), Clock::with(now), WALLETS_IN_MEMORY).await?;
    Ok(started.0)
}

async fn open_codes(store: &Arc<dyn Store>) -> Result<usize, Failed> {
    let (mut from, mut open) = ((0, 0), 0);
    loop {
        let some = store.expired_cash(i64::MAX, from, 10_000).await?;
        let Some(last) = some.last() else { return Ok(open) };
        (from, open) = (*last, open + some.len());
    }
}

async fn measure(directory: &Path, lines: u64, codes: usize) -> Result<(), Failed> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&directory.join("book.sqlite")).await?);
    let keys = Arc::new(BookKeys::create(&directory.join("keys.json"))?);
    store.create_book(keys.book()).await?;
    let room = Room { keys: keys.clone(), payer: Bin::parse(b"940140000385")?, lines };
    let sequencer = start(&store, &keys, clock::now).await?;
    furnish(&room, &sequencer).await?;
    let (_, wallets) = pay(&room, &sequencer, 1).await?;
    let wallets: Vec<WalletId> = wallets.into_iter().take(codes.div_ceil(CODES_OF_A_WALLET)).collect();
    assert!(Limits::DEFAULT.wallet_day_count as usize >= CODES_OF_A_WALLET, "a day lets them be made");
    let made = make_codes(&sequencer, &wallets).await?;
    println!("{made} codes in {} wallets", wallets.len());
    pay(&room, &sequencer, 2).await?; // heads of all wallets are in memory, the file is warm
    let (before, _) = pay(&room, &sequencer, 3).await?;
    drop(sequencer);

    let sequencer = start(&store, &keys, later).await?;
    pay(&room, &sequencer, 4).await?;
    let expiring = tokio::spawn(Expiry::new(store.clone(), sequencer.clone(), later).run());
    while open_codes(&store).await? == made {
        tokio::task::yield_now().await;
    }
    let (beside, _) = pay(&room, &sequencer, 5).await?;
    let left = open_codes(&store).await?;
    let begun = Instant::now();
    while open_codes(&store).await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rest = begun.elapsed();
    expiring.abort();
    let (after, _) = pay(&room, &sequencer, 6).await?;
    #[allow(clippy::cast_precision_loss)] // far fewer lines than 2⁵³
    let per_second = |took: Duration| lines as f64 / took.as_secs_f64();
    println!("alone: {:.0} and {:.0} lines/s", per_second(before), per_second(after));
    println!(
        "while codes run out: {:.0} lines/s; {} of {made} codes had ended by then",
        per_second(beside),
        made - left
    );
    println!("the other {left} in {:.1} s", rest.as_secs_f64());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        return Err("this is a debug build: use `cargo run --release`".into());
    }
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name a new directory")?);
    let lines = arguments.next().map_or(Ok(400_000), |text| text.parse())?;
    let codes = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    std::fs::create_dir(&directory)?;
    measure(&directory, lines, codes).await
}
