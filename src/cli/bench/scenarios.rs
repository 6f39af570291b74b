//! What the clients of a benchmark do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::machine::Latencies;
use super::{Bench, Measured, load, note};
use crate::cli::child::Server;
use crate::cli::crew::Crew;
use crate::cli::error::CliError;
use crate::cli::payday::{self, Order};
use crate::cli::programme::{DEFAULT_PAYER, parse_payer, register_catalogue};
use crate::cli::{figures, generate, wallet};
use crate::client::{AccrualRequest, Client, ReadyRequest, StatementQuery};
use crate::domain::time::rfc3339;
use crate::domain::{Money, Period, WalletId};
use crate::ledger::payment::Limits;
use crate::payroll::{
    AccrualLine, BadShares, ChunkReader, GeneratorConfig, Line, LineKind, OutputFormat, catalogue,
    parse_chunk,
};
use crate::sequencer::clock;

/// Funds enough for any payroll that fits a benchmark: the largest amount there is, for every programme, so often.
const FUNDINGS: u32 = 4;
const FUNDING: &str = "999999999999.00";
/// Wallets that single requests go to, at most: their lines are kept in memory.
const WALLETS_MAX: u64 = 200_000;
/// Wallets that are read.
const READ_WALLETS: usize = 2_000;
/// Nothing on two cores answers so many.
const REQUESTS_PER_SECOND_MAX: usize = 20_000;
const READERS: u32 = 16;
const WRITERS: u32 = 4;

/// The month that is paid first; those after it follow.
const FIRST_YEAR: u16 = 2026;

fn month(number: u8) -> Period {
    Period::Month { year: FIRST_YEAR, month: number }
}

impl Bench {
    /// A payroll into new wallets, and the next one into the same.
    pub(super) async fn paydays(&mut self, server: &Server) -> Result<Vec<Value>, CliError> {
        let crew = crew(server);
        prepare(&crew).await?;
        let client = crew.client("payer")?;
        let mut results = Vec::new();
        for (scenario, number) in [("payday-new", 1), ("payday-next", 2)] {
            let lines = self.args.lines;
            let file = self.payroll(lines, number, number > 1).await?;
            note(&format!("{scenario}, {}", figures::lines(lines)));
            let (paid, latencies, measured) = self.pay(server, &client, &file).await?;
            let per_s = figures::per_second(lines, paid);
            let clients = self.args.in_flight.into();
            results.push(self.result(scenario, clients, lines, per_s, latencies, &measured));
        }
        Ok(results)
    }

    /// Single accruals by more and more clients at once, to wallets that exist.
    pub(super) async fn singles(&mut self, server: &Server) -> Result<Vec<Value>, CliError> {
        let crew = crew(server);
        let client = crew.client("payer")?;
        let wallets = self.open_wallets(server, &crew, &client).await?;
        let mut results = Vec::new();
        for (run, clients) in (2..=12).zip(self.args.clients.clone()) {
            let lines = self.people(wallets, run).await?;
            let requests = accruals(&client, &lines[..lines.len().min(self.requests_max())]);
            results.push(self.load("single", server, &client, requests, clients).await?);
        }
        Ok(results)
    }

    /// Transfers requested by more and more clients of a bank at once, each under a holder's standing authorisation.
    pub(super) async fn transfers(&mut self, server: &Server) -> Result<Vec<Value>, CliError> {
        let crew = crew(server);
        let client = crew.client("payer")?;
        let wallets = self.open_wallets(server, &crew, &client).await?;
        let people = self.people(wallets, 2).await?;
        note(&format!("authorising payments out of {READ_WALLETS} wallets"));
        lift_limits(&crew).await?;
        let allowed = authorise(&crew.client("channel")?, &people).await?;
        let bank = crew.client("bank")?;
        let mut results = Vec::new();
        for clients in self.args.clients.clone() {
            let requests = transfers(&bank, &allowed, self.requests_max());
            results.push(self.load("transfers", server, &bank, requests, clients).await?);
        }
        Ok(results)
    }

    /// Balances and statements, while others accrue.
    pub(super) async fn reads(&mut self, server: &Server) -> Result<Vec<Value>, CliError> {
        let crew = crew(server);
        let (client, auditor) = (crew.client("payer")?, crew.client("auditor")?);
        let wallets = self.open_wallets(server, &crew, &client).await?;
        let people = self.people(wallets, 2).await?;
        let mut ids = Vec::with_capacity(READ_WALLETS);
        for line in people.iter().take(READ_WALLETS) {
            ids.push(wallet::id_of(&auditor.lookup_wallet(&line.iin).await?, auditor.address())?);
        }
        let requests = accruals(&client, &people[..people.len().min(self.requests_max())]);
        note(&format!("reads, {READERS} readers, {WRITERS} writers, {} s", self.args.seconds));
        let before = self.before(server).await?;
        let begun = Instant::now();
        let until = begun + self.time();
        let (latencies, written) = tokio::try_join!(
            read(&auditor, Arc::new(ids), until),
            load::drive(client.address(), requests, WRITERS, until)
        )?;
        let took = begun.elapsed();
        let measured = self.after(server, &before).await?;
        let (reads, writes) = (latencies.count(), written.count());
        let per_s = figures::per_second(reads, took);
        let mut result = self.result("reads", READERS, writes, per_s, latencies, &measured);
        // Too few accruals, among too much else, to say what one of them takes.
        result["bytes_per_accrual"] = Value::Null;
        result["writes_per_s"] = json!(figures::rounded(figures::per_second(writes, took)));
        Ok(vec![result])
    }

    /// Sends requests by so many clients at once until the time is over, or all are sent.
    async fn load(
        &mut self,
        scenario: &str,
        server: &Server,
        client: &Client,
        requests: Vec<ReadyRequest>,
        clients: u32,
    ) -> Result<Value, CliError> {
        note(&format!("{scenario}, {clients} clients, {} s", self.args.seconds));
        let before = self.before(server).await?;
        let begun = Instant::now();
        let latencies = load::drive(client.address(), requests, clients, begun + self.time()).await?;
        let (count, took) = (latencies.count(), begun.elapsed());
        let measured = self.after(server, &before).await?;
        let per_s = figures::per_second(count, took);
        Ok(self.result(scenario, clients, count, per_s, latencies, &measured))
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    /// Requests that are made for a run: more than it can send, unless it is a long one, which then ends when all are sent.
    fn requests_max(&self) -> usize {
        let seconds = usize::try_from(self.args.seconds).expect("minutes");
        (seconds * REQUESTS_PER_SECOND_MAX).min(load::REQUESTS_MAX)
    }

    pub(super) fn result(
        &self,
        scenario: &str,
        clients: u32,
        lines: u64,
        per_s: f64,
        mut latencies: Latencies,
        measured: &Measured,
    ) -> Value {
        json!({
            "scenario": scenario,
            "store": self.store_name(),
            "clients": clients,
            "lines": lines,
            "per_s": figures::rounded(per_s),
            "p50_ms": latencies.percentile(50),
            "p99_ms": latencies.percentile(99),
            "peak_rss_mib": measured.peak_rss_mib,
            "bytes_per_accrual": measured.bytes.checked_div(lines),
            "cpu_s_server": measured.cpu_s_server,
            "cpu_s_database": measured.cpu_s_database,
        })
    }

    /// Writes a payroll of the benchmark's people.
    async fn payroll(&self, lines: u64, number: u8, shuffle: bool) -> Result<PathBuf, CliError> {
        let path = self.files.path().join(format!("payroll-{number}.csv"));
        let config = GeneratorConfig {
            lines,
            seed: 1,
            period: month(number),
            shuffle,
            bad: BadShares::default(),
            format: OutputFormat::Csv,
        };
        let to = path.clone();
        let written = tokio::task::spawn_blocking(move || generate::write_file(&config, &to, None));
        written.await.expect("generating does not panic")?;
        Ok(path)
    }

    /// Pays a file; every line must be accepted, or the figure would be of something else.
    async fn pay(
        &mut self,
        server: &Server,
        client: &Client,
        file: &std::path::Path,
    ) -> Result<(Duration, Latencies, Measured), CliError> {
        let order = Order { in_flight: self.args.in_flight.into(), ..Order::of(file) };
        let survey = payday::look(file, LineKind::Accrual).await?;
        let opened = payday::open(client, &order, &survey).await?;
        let before = self.before(server).await?;
        let mut latencies = Latencies::default();
        let paid = payday::send(client, &order, &survey, &opened, |piece| latencies.add(piece.took)).await?;
        let measured = self.after(server, &before).await?;
        if paid.is_whole() {
            Ok((paid.took, latencies, measured))
        } else {
            Err(CliError::Child(format!(
                "lines were refused that should not be: {:?}.",
                paid.summary.refused
            )))
        }
    }

    /// Opens wallets by a first payroll, which is not measured.
    pub(super) async fn open_wallets(
        &mut self,
        server: &Server,
        crew: &Crew,
        client: &Client,
    ) -> Result<u64, CliError> {
        prepare(crew).await?;
        let wallets = self.args.lines.min(WALLETS_MAX);
        let file = self.payroll(wallets, 1, false).await?;
        note(&format!("opening {} wallets", figures::count(wallets)));
        self.pay(server, client, &file).await?;
        Ok(wallets)
    }

    /// The accruals of a month to these wallets, in random order.
    pub(super) async fn people(&self, wallets: u64, number: u8) -> Result<Vec<AccrualLine>, CliError> {
        let file = self.payroll(wallets, number, true).await?;
        let mut lines = Vec::new();
        let failed = CliError::file(&file);
        let read = || -> std::io::Result<()> {
            for chunk in ChunkReader::open(&file)? {
                let parsed = parse_chunk(LineKind::Accrual, crate::payroll::Encoding::Csv, &chunk?.body);
                for line in parsed.map_err(std::io::Error::other)? {
                    if let Ok(Line::Accrual(line)) = line.line {
                        lines.push(line);
                    }
                }
            }
            Ok(())
        };
        let mut read = read;
        read().map_err(failed)?;
        Ok(lines)
    }
}

pub(super) fn crew(server: &Server) -> Crew {
    Crew::of(server.data_dir(), &server.url, Duration::ZERO)
}

/// Registers and funds the programmes.
async fn prepare(crew: &Crew) -> Result<(), CliError> {
    let payer = parse_payer(DEFAULT_PAYER).expect("a test of the demonstration reads it");
    register_catalogue(&crew.client("operator-1")?, payer).await?;
    for programme in catalogue() {
        for number in 1..=FUNDINGS {
            let reference = format!("BENCH-{}-{number}", programme.code);
            crew.fund(programme.code, FUNDING, &reference).await?;
        }
    }
    Ok(())
}

/// The requests of so many accruals, signed.
fn accruals(client: &Client, lines: &[AccrualLine]) -> Vec<ReadyRequest> {
    load::made(lines, |line| {
        let (programme, period, amount) =
            (line.programme.to_string(), line.period.to_string(), line.amount.to_string());
        let accrual = AccrualRequest {
            payer: DEFAULT_PAYER,
            iin: &line.iin,
            programme: &programme,
            period: &period,
            part: line.part.get(),
            amount: &amount,
        };
        client.accrual_request(&accrual, &Client::fresh_key())
    })
}

/// Lets a wallet and a channel pay out as often as the benchmark asks. It takes two operators, like anywhere.
async fn lift_limits(crew: &Crew) -> Result<(), CliError> {
    let most = Money::from_tiyn(i64::MAX / 4).expect("above zero");
    let limits = Limits {
        wallet_day_amount: most,
        wallet_day_count: u32::MAX,
        channel_day_amount: most,
        channel_day_count: u32::MAX,
        channel_day_choices: u32::MAX,
        ..Limits::DEFAULT
    };
    let proposal = json!({"kind": "set_limits", "limits": limits});
    let asked = crew.client("operator-1")?.request_approval(&proposal, &Client::fresh_key()).await?.value;
    let (entry, digest) = (asked["entry"].as_u64().unwrap_or_default(), asked["digest"].as_str());
    crew.client("operator-2")?.approve(entry, digest.unwrap_or_default(), None, &Client::fresh_key()).await?;
    Ok(())
}

/// Standing authorisations of the first people of a payroll, addressed to the bank of a trial.
async fn authorise(channel: &Client, people: &[AccrualLine]) -> Result<Vec<u64>, CliError> {
    let now = clock::now();
    let (at, expires) = (rfc3339(now), rfc3339(now + 24 * 3_600_000));
    let mut tasks = JoinSet::new();
    for some in people[..people.len().min(READ_WALLETS)].chunks(READ_WALLETS / 16) {
        let (channel, some) = (channel.clone(), some.to_vec());
        let (at, expires) = (at.clone(), expires.clone());
        tasks.spawn(async move {
            let mut entries = Vec::new();
            for line in &some {
                let known = channel.lookup_wallet(&line.iin).await?;
                let body = json!({"wallet": known["wallet"], "for": "transfer", "bank": "CASPKZKA",
                    "card": {"token": "bench-card", "last_four": "4242"}, "amount": "999999999.00", "currency": "KZT",
                    "standing": true, "expires": expires,
                    "consent": {"method": "session", "evidence": hex::encode(rand::random::<[u8; 32]>()), "at": at}});
                let given = channel.authorise(&body, &Client::fresh_key()).await?.value;
                entries.extend(given["entry"].as_u64());
            }
            Ok::<_, CliError>(entries)
        });
    }
    let mut all = Vec::new();
    while let Some(task) = tasks.join_next().await {
        all.append(&mut task.expect("a client of the benchmark does not panic")?);
    }
    Ok(all)
}

/// The requests of so many transfers of one tenge, wallet by wallet, signed.
fn transfers(bank: &Client, allowed: &[u64], count: usize) -> Vec<ReadyRequest> {
    let entries: Vec<u64> = allowed.iter().copied().cycle().take(count).collect();
    load::made(&entries, |entry| {
        let body = json!({"authorisation": entry, "amount": "1.00", "currency": "KZT"});
        bank.transfer_request(&body, &Client::fresh_key())
    })
}

/// Reads balances and statements in turn, until the time is over.
async fn read(client: &Client, ids: Arc<Vec<WalletId>>, until: Instant) -> Result<Latencies, CliError> {
    let mut tasks = JoinSet::new();
    for reader in 0..READERS as usize {
        let (client, ids) = (client.clone(), Arc::clone(&ids));
        tasks.spawn(async move {
            let mut latencies = Latencies::default();
            // Readers begin far from each other, so that they do not read the same wallet at the same time.
            let begin = reader * ids.len() / READERS as usize;
            for (index, id) in ids.iter().cycle().skip(begin).enumerate() {
                if Instant::now() >= until {
                    break;
                }
                let asked = Instant::now();
                if index % 2 == 0 {
                    client.wallet(*id).await?;
                } else {
                    client.statement(*id, &StatementQuery::default()).await?;
                }
                latencies.add(asked.elapsed());
            }
            Ok::<_, CliError>(latencies)
        });
    }
    gather(tasks).await
}

async fn gather(mut tasks: JoinSet<Result<Latencies, CliError>>) -> Result<Latencies, CliError> {
    let mut all = Latencies::default();
    while let Some(task) = tasks.join_next().await {
        all.append(task.expect("a client of the benchmark does not panic")?);
    }
    Ok(all)
}
