//! The HTTP interface, asked over real sockets, on both stores. Files are laid out as the paths are.
//!
//! Every test ends with [`Service::close`], which holds the whole book to the invariants: the audit finds projections and
//! journal the same (10), the books balance and tie out (1), and no person's number stands in the journal or in anything
//! that was answered (11).

mod accruals;
mod approvals;
mod batches;
mod documented;
mod door;
mod edges;
mod entries;
mod evidence;
mod failing;
mod holders;
mod log;
mod nonces;
mod operations;
mod order_documents;
mod orders;
mod payments;
mod privacy;
mod problems;
mod programmes;
mod reports;
mod reversals;
mod robustness;
mod signed;
mod wallets;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use social_wallet::domain::{Amount, Bic, BookId, ClientId, Iin, WalletId};
use social_wallet::http::server::Terms;
use social_wallet::http::{App, rate};
use social_wallet::keys::BookKeys;
use social_wallet::ledger::record::Actor;
use social_wallet::log::origin::key_name;
use social_wallet::log::tile::BundleEntries;
use social_wallet::publisher::file::CheckpointFile;
use social_wallet::publisher::key::LogKeyFile;
use social_wallet::publisher::{PublishError, Publisher};
use social_wallet::sequencer::Sequencer;
use social_wallet::sequencer::clock::Clock;
use social_wallet::sequencer::command::Command;
use social_wallet::store::Store;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::store::Place;
pub(crate) use crate::store::in_both_rooms;

/// The payer of the programmes.
pub const PAYER: &str = "940140000385";

/// A number with a right check digit that pays nothing.
pub const OTHER_PAYER: &str = "123456789013";

/// The first line of a chunk of accruals.
pub const HEADER: &str = "iin,programme,period,part,amount,currency\n";

/// The first line of the bulk file of Mifos Payment Hub.
pub const MIFOS_HEADER: &str = "id,request_id,payment_mode,payer_identifier_type,payer_identifier,\
    payee_identifier_type,payee_identifier,amount,currency,note,program_shortcode,cycle,payee_dfsp_id,batch_id,\
    account_number\n";

/// Noon of 21 November 2026 in Almaty.
const NOON: i64 = 1_795_244_400_000;

const DAY: i64 = 86_400_000;

/// A clock that is one millisecond on whenever it is asked, so that no two commits have one time.
fn ticks() -> i64 {
    static TICK: AtomicI64 = AtomicI64::new(0);
    TICK.fetch_add(1, Ordering::Relaxed)
}

/// The clock of a book's first day.
pub fn first_day() -> i64 {
    NOON + ticks()
}

/// The clock of the day after.
pub fn second_day() -> i64 {
    NOON + DAY + ticks()
}

/// The number of a made-up person. All begin with 9912, so that they can be found wherever they should not be.
pub fn iin(person: u32) -> String {
    assert!(person < 1_000_000);
    (0..10u8)
        .find_map(|digit| {
            let mut prefix = [9, 9, 1, 2, digit, 0, 0, 0, 0, 0, 0];
            for (place, text) in prefix[5..].iter_mut().zip(format!("{person:06}").bytes()) {
                *place = text - b'0';
            }
            Iin::from_prefix(prefix)
        })
        .unwrap()
        .expose()
        .to_owned()
}

/// That number with a wrong check digit.
pub fn mistyped_iin(person: u32) -> String {
    let mut digits = iin(person).into_bytes();
    digits[11] = b'0' + (digits[11] - b'0' + 1) % 10;
    String::from_utf8(digits).unwrap()
}

/// An amount in tiyn as the API writes it.
pub fn tenge(tiyn: i64) -> String {
    let sign = if tiyn < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", tiyn.abs() / 100, tiyn.abs() % 100)
}

/// An amount of the API in tiyn.
pub fn tiyn(amount: &Value) -> i64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// A key that was never used.
pub fn fresh() -> String {
    Uuid::new_v4().to_string()
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub method: String,
    pub path: String,
    /// What the request carried, if it is text.
    pub sent: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// A refusal with this status, code and field: problem details as documented.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str, field: Option<&str>) -> Value {
        let body = self.json();
        let found = (self.status, body["code"].as_str(), body["field"].as_str());
        assert_eq!(found, (status, Some(code), field), "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["type"], format!("urn:social-wallet:problem:{code}"));
        assert_eq!(body["status"], status);
        assert!(!body["title"].as_str().unwrap().is_empty());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        body
    }
}

/// A running service on a place of its own.
pub struct Service {
    pub url: String,
    /// Where the figures are.
    pub metrics: String,
    pub store: Arc<dyn Store>,
    now: fn() -> i64,
    http: reqwest::Client,
    answers: Mutex<Vec<Answer>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    writer: JoinHandle<()>,
    publishing: JoinHandle<Result<(), PublishError>>,
    /// Holds the log's key and the checkpoint that is kept outside the store.
    pub outside: Arc<TempDir>,
}

fn keys() -> Arc<BookKeys> {
    Arc::new(BookKeys::new(BookId::from_uuid(Uuid::from_u128(0xB00C)), [1; 32], [2; 32], [3; 32], [4; 32]))
}

impl Service {
    /// A service on a new book without programmes.
    pub async fn on_new_book(place: &Place) -> Self {
        place.open().await.create_book(keys().book()).await.unwrap();
        Self::on(place, first_day).await
    }

    /// A service on a new book with programme ASP, funded with a million tenge.
    pub async fn start(place: &Place) -> Self {
        let service = Self::on_new_book(place).await;
        service.register("ASP").await;
        service.fund("ASP", "1000000.00").await;
        service
    }

    /// A service on the book that is there, of which nothing was signed.
    pub async fn on(place: &Place, now: fn() -> i64) -> Self {
        Self::beside(place, now, Arc::new(tempfile::tempdir().unwrap())).await
    }

    async fn beside(place: &Place, now: fn() -> i64, outside: Arc<TempDir>) -> Self {
        Self::over(place.open().await, now, outside, rate::REQUESTS_PER_SECOND, true).await
    }

    /// A service on a new book with a client of each role (see [`signed`]), which asks for signatures.
    async fn guarded(place: &Place) -> Self {
        place.open().await.create_book(keys().book()).await.unwrap();
        Self::guarded_beside(place, Arc::new(tempfile::tempdir().unwrap())).await
    }

    async fn guarded_beside(place: &Place, outside: Arc<TempDir>) -> Self {
        Self::with(place.open().await, first_day, outside, rate::REQUESTS_PER_SECOND, true, true).await
    }

    /// A service over a store, whose clients may send so many requests a second. If it does not sign, the log has no
    /// checkpoint.
    pub async fn over(
        store: Arc<dyn Store>,
        now: fn() -> i64,
        outside: Arc<TempDir>,
        requests_per_second: NonZeroU32,
        signs: bool,
    ) -> Self {
        Self::with(store, now, outside, requests_per_second, signs, false).await
    }

    async fn with(
        store: Arc<dyn Store>,
        now: fn() -> i64,
        outside: Arc<TempDir>,
        requests_per_second: NonZeroU32,
        signs: bool,
        guarded: bool,
    ) -> Self {
        let keys = keys();
        let clock = Clock::with(now);
        let (sequencer, writer) =
            Sequencer::start(Arc::clone(&store), Arc::clone(&keys), clock, 100_000).await.unwrap();
        let log_key = outside.path().join("log.key");
        let log_key = match LogKeyFile::load(&log_key) {
            Ok(file) => file,
            Err(_) => LogKeyFile::create(&log_key, &key_name(keys.book())).unwrap(),
        };
        let kept = Box::new(CheckpointFile(outside.path().join("checkpoint")));
        let door = if guarded { Some(signed::door(&store, &sequencer).await) } else { None };
        let (published, publishing) = if signs {
            let publisher =
                Publisher::open(Arc::clone(&store), keys.book(), log_key, kept, now).await.unwrap();
            (publisher.published(), tokio::spawn(publisher.run(sequencer.durable())))
        } else {
            (watch::channel(None).1, tokio::spawn(async { Ok(()) }))
        };
        let app = App::new(Arc::clone(&store), keys, sequencer.clone(), published, requests_per_second, door);
        drop(sequencer);
        let listener = social_wallet::http::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let figures = social_wallet::http::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let metrics = format!("http://{}/metrics", figures.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let (tell_served, told) = oneshot::channel::<()>();
        let stop_figures = async { drop(told.await) };
        let watched =
            tokio::spawn(social_wallet::http::metrics::serve(figures, Arc::clone(&app), stop_figures));
        let served = tokio::spawn(async move {
            social_wallet::http::serve(listener, app, Terms::default(), async { _ = stopped.await }).await;
            drop(tell_served);
            watched.await.unwrap();
        });
        let http = crate::web();
        Self {
            url,
            metrics,
            store,
            now,
            http,
            answers: Mutex::default(),
            stop,
            served,
            writer,
            publishing,
            outside,
        }
    }

    /// Stops it, as SIGTERM does.
    async fn stop(self) {
        let Self { stop, served, writer, publishing, http, .. } = self;
        drop(http); // its idle connections would be waited for
        stop.send(()).unwrap();
        served.await.unwrap();
        writer.await.unwrap();
        publishing.await.unwrap().unwrap();
    }

    /// Stops it and starts another on the same book.
    pub async fn restart(self, place: &Place, now: fn() -> i64) -> Self {
        let outside = Arc::clone(&self.outside);
        self.stop().await;
        Self::beside(place, now, outside).await
    }

    /// Holds the book to the invariants and stops the service.
    pub async fn close(self) {
        let audited = social_wallet::audit::audit(Arc::clone(&self.store), |_| {}).await.unwrap();
        assert!(audited.matches(), "invariant 10: {:?}", audited.findings);
        self.ties().await;
        let leaves = self.leaves().await;
        for answer in self.answers.lock().unwrap().iter() {
            no_iin(&answer.body);
            documented::is_documented(answer);
            for (_, value) in &answer.headers {
                no_iin(value);
            }
        }
        for leaf in &leaves {
            no_iin(leaf);
        }
        self.stop().await;
    }

    /// Invariant 1: the trial balance balances, and every programme's money is somewhere.
    pub async fn ties(&self) {
        let balance = self.get("/v1/reports/trial-balance").await.expect(200);
        assert_eq!(balance["balanced"], true, "{balance}");
        assert_eq!(balance["total_debit"], balance["total_credit"]);
        for row in self.get("/v1/reports/programmes").await.expect(200)["programmes"].as_array().unwrap() {
            assert_eq!(row["ties"], true, "{row}");
        }
    }

    /// The journal.
    pub async fn leaves(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        loop {
            let bundles = self.store.bundles(leaves.len() as u64, 64).await.unwrap();
            let before = leaves.len();
            for bundle in bundles {
                for (seq, leaf) in (bundle.first..).zip(BundleEntries::new(&bundle.bytes)) {
                    if seq == leaves.len() as u64 {
                        leaves.push(String::from_utf8(leaf.unwrap().to_vec()).unwrap());
                    }
                }
            }
            if leaves.len() == before {
                return leaves;
            }
        }
    }

    /// How many entries the journal has.
    pub async fn size(&self) -> u64 {
        self.store.head().await.unwrap().unwrap().size
    }

    /// Pays out: pay-outs have no request of their own yet.
    pub async fn pay_out(&self, place: &Place, wallet: WalletId, bank: Bic, amount: Amount) {
        self.command_beside(place, "bank", Command::PayOut { wallet, bank, amount }).await;
    }

    /// Does beside the service, as another replica would, what has no request of its own yet.
    pub async fn command_beside(&self, place: &Place, client: &str, command: Command) {
        let started = Sequencer::start(place.open().await, keys(), Clock::with(self.now), 10).await;
        let (sequencer, writer) = started.unwrap();
        let client = ClientId::parse(client).unwrap();
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        sequencer.submit(command, actor).await.unwrap();
        drop(sequencer);
        writer.await.unwrap();
    }

    // Requests. What is answered is kept for the end.

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url))
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = self.try_send(request).await.unwrap();
        self.answers.lock().unwrap().push(answer.clone());
        answer
    }

    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let request = request.build()?;
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let sent = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        let sent = String::from_utf8_lossy(sent).into_owned();
        let response = self.http.execute(request).await?;
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Answer {
            method,
            path,
            sent,
            status: response.status().as_u16(),
            headers,
            body: response.text().await?,
        })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// What waits for a checkpoint: asked again while it is pending.
    pub async fn get_covered(&self, path: &str) -> Answer {
        self.send_covered(self.request("GET", path)).await
    }

    pub async fn send_covered(&self, request: RequestBuilder) -> Answer {
        let asked = async || {
            let answer = self.send(request.try_clone().unwrap()).await;
            (answer.status != 202).then_some(answer)
        };
        crate::until("a checkpoint", asked).await
    }

    /// A write under a key, sent again while the service asks for that.
    pub async fn post_patiently(&self, path: &str, key: &str, body: &Value) -> Answer {
        let asked = async || {
            let answer = self.post(path, key, body).await;
            (answer.status != 503).then_some(answer)
        };
        crate::until("a writer", asked).await
    }

    /// A write under a key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request("POST", path).header("Idempotency-Key", key);
        self.send(request.header("Content-Type", "application/json").body(body.to_string())).await
    }

    /// A write under a key that was never used.
    pub async fn write(&self, path: &str, body: &Value) -> Answer {
        self.post(path, &fresh(), body).await
    }

    pub async fn register(&self, code: &str) -> Value {
        self.write("/v1/programmes", &programme(code)).await.expect(201)
    }

    pub async fn fund(&self, code: &str, amount: &str) -> Value {
        let body = json!({"amount": amount, "currency": "KZT", "bank_reference": fresh()});
        self.write(&format!("/v1/programmes/{code}/fundings"), &body).await.expect(201)
    }

    /// The wallet of a person.
    pub async fn wallet_of(&self, person: u32) -> Value {
        let body = json!({"iin": iin(person)}).to_string();
        self.send(self.request("POST", "/v1/wallets/lookup").body(body)).await.expect(200)
    }

    // Batches.

    pub async fn put_batch(&self, id: &str, body: &Value) -> Answer {
        self.send(self.request("PUT", &format!("/v1/batches/{id}")).body(body.to_string())).await
    }

    /// Opens a batch of accruals of ASP for 2026-11; gives its id.
    pub async fn open(&self, lines: u64, total: &str) -> String {
        let id = fresh();
        self.put_batch(&id, &declaration(lines, total)).await.expect(201);
        id
    }

    /// A chunk of CSV lines, without the header, judged in JSON.
    pub async fn chunk(&self, id: &str, first: u64, lines: &str) -> Answer {
        self.chunk_as(id, first, "text/csv", format!("{HEADER}{lines}")).await
    }

    pub async fn chunk_as(&self, id: &str, first: u64, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request("PUT", &format!("/v1/batches/{id}/chunks/{first}"));
        self.send(request.header("Content-Type", kind).body(body)).await
    }

    pub async fn batch(&self, id: &str) -> Value {
        self.get(&format!("/v1/batches/{id}")).await.expect(200)
    }

    /// Takes a step (`release`, `close`, `cancel`) as a client.
    pub async fn step(&self, id: &str, step: &str, client: &str) -> Answer {
        let request = self.request("POST", &format!("/v1/batches/{id}/{step}"));
        self.send(request.header("Social-Wallet-Client", client)).await
    }
}

/// Invariant 11: no made-up person's number stands in a text.
#[track_caller]
fn no_iin(text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find("9912") {
        let found = rest.as_bytes();
        let alone = |place: Option<usize>| {
            place.and_then(|place| found.get(place)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
        };
        let number = found.get(at..at + 12).is_some_and(|number| Iin::parse(number).is_ok());
        let whole = alone(at.checked_sub(1)) && alone(Some(at + 12));
        assert!(!(number && whole), "invariant 11: a person's number in {text}");
        rest = &rest[at + 4..];
    }
}

/// The body that registers a programme.
pub fn programme(code: &str) -> Value {
    json!({"code": code, "names": {"kk": "Атаулы көмек", "ru": "Адресная помощь", "en": "Targeted assistance"},
        "payer": PAYER, "legal_basis": "Social Code, art. 120", "class": "protected", "knp": "026", "kbe": "19",
        "iso_purpose": "SSBE"})
}

/// The body of a single accrual of ASP for 2026-11.
pub fn accrual(person: u32, amount: &str) -> Value {
    json!({"payer": PAYER, "iin": iin(person), "programme": "ASP", "period": "2026-11", "part": 1,
        "amount": amount, "currency": "KZT"})
}

/// The body of a single reversal of that accrual.
pub fn reversal(person: u32) -> Value {
    json!({"payer": PAYER, "iin": iin(person), "programme": "ASP", "period": "2026-11", "part": 1,
        "reason": "paid in error"})
}

/// The body that opens a batch of accruals of ASP for 2026-11.
pub fn declaration(lines: u64, total: &str) -> Value {
    json!({"kind": "accrual", "payer": PAYER, "programmes": ["ASP"], "periods": ["2026-11"], "lines": lines,
        "total": total, "currency": "KZT"})
}

/// A CSV line of such a batch.
pub fn line(person: u32, amount: &str) -> String {
    format!("{},ASP,2026-11,1,{amount},KZT\n", iin(person))
}

/// CSV lines for these people, each of one amount.
pub fn lines(people: std::ops::Range<u32>, amount: &str) -> String {
    people.map(|person| line(person, amount)).collect()
}

/// The JSON with one member changed.
pub fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

/// The JSON without a member.
pub fn without(mut body: Value, member: &str) -> Value {
    body.as_object_mut().unwrap().remove(member).unwrap();
    body
}

/// The verdicts of an answer, each as `verdict` or `code:field`.
pub fn verdicts(answer: &Value) -> Vec<String> {
    let text = |verdict: &Value| match verdict["verdict"].as_str().unwrap() {
        "refused" => {
            assert_eq!(verdict["final"], false);
            format!("{}:{}", verdict["code"].as_str().unwrap(), verdict["field"].as_str().unwrap_or("-"))
        }
        other => other.to_owned(),
    };
    answer["verdicts"].as_array().unwrap().iter().map(text).collect()
}

/// The entries that the verdicts of an answer name.
pub fn named_entries(answer: &Value) -> Vec<Option<u64>> {
    answer["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["entry"].as_u64()).collect()
}
