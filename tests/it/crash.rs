//! Invariant 6 with real processes: the service, or its database, is killed in the middle of a payday, at moments that come
//! from the progress of the payday and a seed; nothing acknowledged is lost, nothing is paid twice, and the payday ends as
//! one without interruptions does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use social_wallet::client::{BatchRequest, Client, Judged, Summary, Upload, UploadError, VerdictKind};
use social_wallet::domain::{BatchId, Period};
use social_wallet::payroll::{BadShares, GeneratorConfig, LineKind, OutputFormat, survey};
use tokio::process::{Child, Command};

use crate::crew::Crew;
use crate::sequencer::Dice;
use crate::store::Place;

const LINES: u64 = 20_000;
const CHUNK: usize = 500;
const KILLS: usize = 5;

/// Where the book is.
#[derive(Clone)]
pub struct Home {
    pub data: PathBuf,
    pub database: Option<(String, String)>,
}

impl Home {
    /// Of the book in a place, whose files are below a directory.
    pub fn of(place: &Place, directory: &Path) -> Self {
        let database = match place {
            Place::Sqlite { .. } => None,
            Place::Postgres { owner_url, schema } => Some((owner_url.clone(), schema.clone())),
        };
        Self { data: directory.join("data"), database }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
        command.args(arguments).arg("--data-dir").arg(&self.data).stdin(Stdio::null()).kill_on_drop(true);
        command.env_remove("SOCIAL_WALLET_SERVER").env_remove("SOCIAL_WALLET_DATABASE_URL");
        command.env("RUST_LOG", "error");
        if let Some((url, schema)) = &self.database {
            command.args(["--schema", schema]).env("SOCIAL_WALLET_DATABASE_URL", url);
        }
        command
    }
}

pub struct Service {
    home: Home,
    pub child: Child,
    pub url: String,
}

impl Service {
    /// A service on a new book.
    pub async fn begin(home: &Home) -> Self {
        Self::begin_at(home, "127.0.0.1:0").await
    }

    async fn begin_at(home: &Home, listen: &str) -> Self {
        Crew::bootstrap(&home.data, home.command(&["bootstrap", "--trial"])).await;
        Self::start(home, listen).await
    }

    pub async fn start(home: &Home, listen: &str) -> Self {
        let mut command = home.command(&["serve", "--listen", listen]);
        let (child, url) = crate::serve(command.stderr(Stdio::null())).await;
        Self { home: home.clone(), child, url }
    }

    /// SIGKILL, then the same again on the same data at the same address.
    async fn kill_and_restart(&mut self) {
        self.child.kill().await.unwrap();
        let listen = self.url.trim_start_matches("http://").to_owned();
        *self = Self::start(&self.home.clone(), &listen).await;
    }

    pub fn client(&self, name: &str) -> Client {
        Crew::of(&self.home.data).client(name, &self.url)
    }
}

/// What a payday came to.
#[derive(PartialEq, Debug)]
pub struct Verdicts {
    accepted: usize,
    refused: BTreeMap<String, u64>,
    batch: [String; 5],
    trial_balance: Value,
}

fn payroll(directory: &Path) -> (PathBuf, social_wallet::payroll::Summary) {
    let bad = BadShares {
        malformed: 0.01,
        iin_check_digit: 0.01,
        duplicate: 0.04,
        amount_zero: 0.01,
        ..BadShares::default()
    };
    let period = Period::parse(b"2026-09").unwrap();
    let format = OutputFormat::Csv;
    let config = GeneratorConfig { lines: LINES, seed: 3, period, shuffle: true, bad, format };
    let path = directory.join("payroll.csv");
    let summary = config.write_to(std::fs::File::create(&path).unwrap()).unwrap();
    (path, summary)
}

/// Pays a payroll. `interrupt` is told the number of every chunk that was acknowledged.
pub async fn payday(
    service: &mut Service,
    directory: &Path,
    mut interrupt: impl AsyncFnMut(&mut Service, u64),
) -> Verdicts {
    let (file, payroll) = payroll(directory);
    let (client, auditor) = (service.client("payer"), service.client("auditor"));
    let crew = Crew::of(&service.home.data);
    let catalogue = Command::new(env!("CARGO_BIN_EXE_social-wallet"))
        .args(["programme", "register-catalogue", "--client-key", &crew.key("operator-1")])
        .env("SOCIAL_WALLET_SERVER", &service.url)
        .stdout(Stdio::null())
        .status();
    assert!(catalogue.await.unwrap().success());
    for (code, paid) in &payroll.programmes {
        let amount = paid.sum.to_string();
        crew.fund(&service.url, *code, &amount, &format!("for-{code}")).await;
    }
    let surveyed = survey(&file, LineKind::Accrual).unwrap();
    let batch = BatchId::parse("00000000-0000-4000-8000-000000000001").unwrap();
    let payer = client.programmes().await.unwrap()[0]["payer"].as_str().unwrap().to_owned();
    let request = BatchRequest {
        kind: "accrual",
        payer,
        programmes: payroll.programmes.keys().map(ToString::to_string).collect(),
        periods: surveyed.periods.iter().map(ToString::to_string).collect(),
        lines: surveyed.lines,
        total: surveyed.total.to_string(),
        not_before: None,
        release_required: false,
        validate_only: false,
    };
    client.open_batch(batch, &request).await.unwrap();
    let upload = Upload {
        client: client.clone(),
        batch,
        kind: LineKind::Accrual,
        path: file,
        lines: surveyed.lines,
        missing: vec![(1, surveyed.lines)],
        chunk_lines: CHUNK,
        in_flight: 4,
    };
    let (told, mut chunks) = tokio::sync::mpsc::unbounded_channel();
    let sending = tokio::spawn(upload.run(move |piece: Judged| -> Result<(), UploadError> {
        told.send(piece).expect("the test listens to the end");
        Ok(())
    }));
    let (mut summary, mut acknowledged, mut number) = (Summary::default(), BTreeMap::new(), 0);
    while let Some(piece) = chunks.recv().await {
        summary.add(&piece.verdicts, &piece.amounts);
        for line in piece.verdicts.iter().filter(|line| line.verdict != VerdictKind::Refused) {
            acknowledged.insert(line.line, line.entry.unwrap());
        }
        number += 1;
        interrupt(service, number).await;
    }
    sending.await.unwrap().unwrap();
    let closed = client.close_batch(batch).await.unwrap();
    assert_eq!(closed["state"], "completed");

    // Everything acknowledged is there, under the same entry, and each entry once.
    let (mut found, mut refused) = (BTreeMap::new(), BTreeMap::new());
    let mut after = 0;
    while after < LINES {
        let page = client.verdicts(batch, after, 8_192).await.unwrap();
        after += page.lines();
        for line in page.iter() {
            if line.verdict == VerdictKind::Refused {
                *refused.entry(line.code.to_owned()).or_default() += 1;
            } else {
                found.insert(line.line, line.entry.unwrap());
            }
        }
    }
    assert_eq!(acknowledged, found, "what was acknowledged is what is in the book");
    assert_eq!(found.values().collect::<BTreeSet<_>>().len(), found.len(), "no entry pays two lines");
    assert_eq!(summary.lines(), LINES);
    let figure = |name: &str| closed.pointer(name).map(ToString::to_string).unwrap_or_default();
    let names =
        ["/received/lines", "/received/total", "/accepted/lines", "/accepted/total", "/refused/lines"];
    let mut trial_balance = auditor.trial_balance(None).await.unwrap();
    assert_eq!(trial_balance["balanced"], true);
    trial_balance["at"].take();
    for account in trial_balance["accounts"].as_array_mut().unwrap() {
        account["as_of_entry"].take();
    }
    Verdicts { accepted: found.len(), refused, batch: names.map(figure), trial_balance }
}

/// A payday without interruptions.
async fn undisturbed() -> Verdicts {
    let directory = tempfile::tempdir().unwrap();
    let home = Home { data: directory.path().join("data"), database: None };
    let mut service = Service::begin(&home).await;
    let verdicts = payday(&mut service, directory.path(), async |_: &mut Service, _| {}).await;
    assert!(verdicts.refused["benefit_already_paid"] > 100 && verdicts.accepted as u64 > LINES / 2);
    verdicts
}

async fn replays(mut service: Service) {
    service.child.kill().await.unwrap();
    let output = service.home.command(&["replay", "--json"]).stderr(Stdio::null()).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["matches"], true, "{report}");
    assert!(output.status.success());
}

/// An address that is free, also a while after whoever listened there was killed: its port is below those that the system
/// gives to whoever asks for any.
fn address_to_return_to() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 500) as u16 * 20 + NEXT.fetch_add(4, Ordering::Relaxed);
    let free = (first..32_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    format!("127.0.0.1:{}", free.unwrap())
}

/// After which acknowledged chunks to strike.
fn moments(seed: u64) -> BTreeSet<u64> {
    let mut dice = Dice(seed);
    let mut moments = BTreeSet::new();
    while moments.len() < KILLS {
        moments.insert(1 + dice.roll(LINES / CHUNK as u64 - 2));
    }
    moments
}

async fn survives_kills(home: Home, directory: &Path, seed: u64) {
    let mut service = Service::begin_at(&home, &address_to_return_to()).await;
    let moments = moments(seed);
    let verdicts = payday(&mut service, directory, async |service: &mut Service, chunk| {
        if moments.contains(&chunk) {
            service.kill_and_restart().await;
        }
    });
    let verdicts = verdicts.await;
    assert_eq!(verdicts, undisturbed().await);
    replays(service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_6_a_service_on_sqlite_killed_five_times_during_a_payday_loses_nothing_and_pays_nothing_twice()
 {
    let directory = tempfile::tempdir().unwrap();
    let home = Home { data: directory.path().join("data"), database: None };
    survives_kills(home, directory.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_6_a_service_on_postgresql_killed_five_times_during_a_payday_loses_nothing_and_pays_nothing_twice()
 {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::postgres().await;
    survives_kills(Home::of(&place, directory.path()), directory.path(), 2).await;
    place.remove().await;
}

/// A PostgreSQL of one's own, that can be killed.
struct Cluster {
    directory: tempfile::TempDir,
}

impl Cluster {
    async fn script(&self, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres.sh");
        let mut command = Command::new(script);
        let output = command.args(arguments).arg("--dir").arg(self.directory.path()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn start() -> Self {
        let cluster = Self { directory: tempfile::tempdir().unwrap() };
        cluster.script(&["start"]).await;
        cluster
    }

    async fn kill(&self) {
        let status = self.script(&["status"]).await;
        let pid = status.lines().find_map(|line| line.strip_prefix("pid=")).unwrap();
        assert!(Command::new("kill").args(["-9", pid]).status().await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_6_a_postgresql_killed_during_a_payday_is_found_again_by_the_service_itself() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::start().await;
    let database = Some((cluster.script(&["url"]).await, "social_wallet".to_owned()));
    let home = Home { data: directory.path().join("data"), database };
    let mut service = Service::begin(&home).await;
    let verdicts = payday(&mut service, directory.path(), async |_: &mut Service, chunk| {
        if chunk == 9 || chunk == 23 {
            cluster.kill().await;
            cluster.script(&["start"]).await;
        }
    });
    let verdicts = verdicts.await;
    assert_eq!(verdicts, undisturbed().await);
    replays(service).await;
    cluster.script(&["destroy"]).await;
}
