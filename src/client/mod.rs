//! The HTTP client of the service: what the commands, the demonstration and the benchmark call it with.
//!
//! | File          | Holds |
//! |---------------|-------|
//! | `mod.rs`      | one method for each request of `specs/http.md`, and when a request is repeated |
//! | `key.rs`      | the key that requests are signed with, in its file |
//! | `error.rs`    | why there is no usable answer |
//! | `verdicts.rs` | the verdicts on the lines of a chunk, read without copying |
//! | `orders.rs`   | an authority's side: orders, and the documents of their decisions |
//! | `upload.rs`   | a payroll file, sent in chunks, several in flight, and taken up again where it stopped |
//!
//! Every request of the interface can be repeated safely: reads change nothing, a `PUT` names what it makes, a `POST`
//! that writes carries an `Idempotency-Key`, and releasing, closing or cancelling what is so already changes nothing.
//! So when a connection is lost the client asks again, with the same key, for as long as its patience lasts.
//!
//! Bodies hold people's numbers: none of them is ever logged or repeated in an error.

pub mod bank;
mod error;
pub mod key;
pub mod orders;
mod upload;
mod verdicts;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::{BatchId, ClientId, IdempotencyKey, Iin, KeyId, ProgrammeCode, PublicKey, WalletId};
use crate::payroll::Encoding;
use crate::signature::Signer;
use crate::tls;

pub use error::{ClientError, ProblemDetails};
pub use upload::{Judged, Upload, UploadError};
pub use verdicts::{Refused, RefusedLine, Summary, Tally, VerdictKind, VerdictLine, VerdictList};

const CONNECT_SECONDS_MAX: u64 = 5;
/// A chunk of 8,192 lines is committed in a fraction of a second; a minute means that nothing will come.
const REQUEST_SECONDS_MAX: u64 = 60;
/// A service that answers "full" is alive: it is worth a short wait also for those who would not wait for a dead one.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

const KEY_HEADER: &str = "idempotency-key";
const REPLAYED_HEADER: &str = "idempotency-replayed";

/// Told whenever the client waits before it asks again.
pub type WaitObserver = Arc<dyn Fn(&Wait) + Send + Sync>;

/// A pause before a request is sent again.
#[derive(Debug, Clone)]
pub struct Wait {
    /// Why.
    pub reason: String,
    /// How long ago the request first failed.
    pub since: Duration,
    /// How long it will be tried.
    pub patience: Duration,
}

/// A client of one service, under one name or none. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    patience: Duration,
    observer: Option<WaitObserver>,
    signing: Option<Arc<Signing>>,
}

/// What requests are signed with.
#[derive(Debug)]
pub struct Signing {
    /// Whose key.
    pub signer: Signer,
    /// UTC milliseconds.
    pub clock: fn() -> i64,
}

impl Signing {
    /// Signs a request that has all its other fields, with a nonce that was never used.
    pub fn sign(&self, request: &mut reqwest::Request, body: &[u8]) {
        let (method, uri) = (request.method().clone(), request.url().to_string());
        let nonce = Uuid::new_v4().simple().to_string();
        let created = (self.clock)().div_euclid(1_000);
        self.signer.sign(method.as_str(), &uri, request.headers_mut(), body, created, &nonce);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("base", &self.base.as_str())
            .field("key", &self.signing.as_ref().map(|signing| signing.signer.key_id()))
            .finish_non_exhaustive()
    }
}

/// The answer to a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The journal entry, or the thing that was there already.
    pub value: Value,
    /// Whether this request made it (201).
    pub created: bool,
    /// Whether it is the answer given before to the same `Idempotency-Key`.
    pub replayed: bool,
}

/// A benefit for a person, as `POST /v1/accruals` takes it.
#[derive(Debug, Clone)]
pub struct AccrualRequest<'a> {
    /// The BIN of who pays.
    pub payer: &'a str,
    /// To whom.
    pub iin: &'a Iin,
    /// The programme's code.
    pub programme: &'a str,
    /// `YYYY-MM` or `once`.
    pub period: &'a str,
    /// Which of several entitlements.
    pub part: u16,
    /// In tenge.
    pub amount: &'a str,
}

/// What a batch is opened with.
#[derive(Debug, Clone)]
pub struct BatchRequest {
    /// `accrual`, `reversal` or `wallet_opening`.
    pub kind: &'static str,
    /// The BIN of who pays.
    pub payer: String,
    /// The programmes that its lines may name.
    pub programmes: Vec<String>,
    /// The periods that its lines may name.
    pub periods: Vec<String>,
    /// How many lines will come.
    pub lines: u64,
    /// The sum of all readable amounts, in tenge.
    pub total: String,
    /// RFC 3339: no line moves before.
    pub not_before: Option<String>,
    /// Whether a second person must release it.
    pub release_required: bool,
    /// Whether to give verdicts and post nothing.
    pub validate_only: bool,
}

/// Which part of a statement to give.
#[derive(Debug, Clone, Default)]
pub struct StatementQuery {
    /// A time or a business day.
    pub from: Option<String>,
    /// A time or a business day.
    pub to: Option<String>,
    /// The cursor of the page before.
    pub after: Option<String>,
    /// Entries to give, at most 1,000.
    pub limit: Option<u32>,
}

/// A signed request as it is sent, head and body: once, and within the life of its signature.
pub type ReadyRequest = Box<[u8]>;

/// A request before it is finished for sending.
struct Call<'a> {
    method: Method,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    key: Option<&'a IdempotencyKey>,
    content_type: Option<&'static str>,
    accept: &'static str,
    body: Bytes,
}

impl<'a> Call<'a> {
    fn accrual(accrual: &AccrualRequest<'_>) -> Self {
        let AccrualRequest { payer, iin, programme, period, part, amount } = accrual;
        let body = json!({"payer": payer, "iin": iin.expose(), "programme": programme, "period": period, "part": part,
            "amount": amount, "currency": "KZT"});
        Self::new(Method::POST, &["v1", "accruals"]).json(&body)
    }

    fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            key: None,
            content_type: None,
            accept: "application/json",
            body: Bytes::new(),
        }
    }

    fn json(mut self, body: &Value) -> Self {
        self.content_type = Some("application/json");
        self.body = Bytes::from(body.to_string());
        self
    }

    fn key(mut self, key: &'a IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

/// Any request, for [`Client::call`].
#[derive(Clone)]
pub struct RawRequest {
    /// In upper case.
    pub method: String,
    /// Begins with `/`; with the query, if there is one.
    pub path: String,
    /// The `Idempotency-Key`.
    pub key: Option<IdempotencyKey>,
    /// What the body is; not sent without one.
    pub content_type: String,
    /// What the answer should be.
    pub accept: String,
    /// Empty: there is none.
    pub body: Vec<u8>,
}

/// Its answer, whatever it is.
#[derive(Clone)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// All its fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A whole answer, successful or not.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client of the service at this address (`http://host:port` or `https://host`), whose certificate leads to one of the
    /// system's authorities. It does not connect yet, and it does not wait for a service that is not there; see
    /// [`Client::with_patience`].
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        Self::trusting(base_url, None)
    }

    /// A client of a service whose certificate leads to an authority in this file, if one is named.
    pub fn trusting(base_url: &str, authorities: Option<&Path>) -> Result<Self, ClientError> {
        let address = || ClientError::Address(base_url.to_owned());
        let base = Url::parse(base_url).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(address());
        }
        let http = tls::client(base.as_str(), authorities)?
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .timeout(Duration::from_secs(REQUEST_SECONDS_MAX))
            // People's numbers go to the service and to nobody in between.
            .no_proxy()
            .build()
            .map_err(|_| address())?;
        Ok(Self { http, base, patience: Duration::ZERO, observer: None, signing: None })
    }

    /// Asks again for so long when the service cannot be reached.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Tells somebody of every pause.
    #[must_use]
    pub fn with_observer(mut self, observer: WaitObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Signs every request, as the client that the key belongs to. `clock` gives UTC milliseconds.
    #[must_use]
    pub fn with_signer(mut self, signer: Signer, clock: fn() -> i64) -> Self {
        self.signing = Some(Arc::new(Signing { signer, clock }));
        self
    }

    /// Where the service is.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A new, random `Idempotency-Key`.
    #[must_use]
    pub fn fresh_key() -> IdempotencyKey {
        IdempotencyKey::parse(&Uuid::new_v4().to_string()).expect("a UUID is 36 visible ASCII characters")
    }

    // Programmes.

    /// All programmes.
    pub async fn programmes(&self) -> Result<Vec<Value>, ClientError> {
        let value = self.read(Call::new(Method::GET, &["v1", "programmes"])).await?;
        let list = value.as_array().or_else(|| value.get("programmes")?.as_array());
        list.cloned().ok_or_else(|| self.protocol("the programmes are no list"))
    }

    /// A programme.
    pub async fn programme(&self, code: ProgrammeCode) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "programmes", code.as_str()])).await
    }

    /// Registers a programme. The body has the members of `POST /v1/programmes`.
    pub async fn register_programme(
        &self,
        programme: &Value,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        self.write(Call::new(Method::POST, &["v1", "programmes"]).json(programme).key(key)).await
    }

    /// Asks another operator to approve that money which the treasury has placed for a programme is booked.
    pub async fn fund(
        &self,
        code: ProgrammeCode,
        amount: &str,
        bank_reference: &str,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        let body = json!({"amount": amount, "currency": "KZT", "bank_reference": bank_reference});
        let path = ["v1", "programmes", code.as_str(), "fundings"];
        self.write(Call::new(Method::POST, &path).json(&body).key(key)).await
    }

    // Clients and approvals.

    /// All clients.
    pub async fn clients(&self) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "clients"])).await
    }

    /// Registers a client. The body has the members of `POST /v1/clients`.
    pub async fn register_client(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.write(Call::new(Method::POST, &["v1", "clients"]).json(body).key(key)).await
    }

    /// Gives a client a further key.
    pub async fn add_client_key(
        &self,
        client: ClientId,
        public_key: PublicKey,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        let path = ["v1", "clients", client.as_str(), "keys"];
        self.write(Call::new(Method::POST, &path).json(&json!({"public_key": public_key})).key(key)).await
    }

    /// Revokes a key.
    pub async fn revoke_client_key(&self, id: KeyId, key: &IdempotencyKey) -> Result<Written, ClientError> {
        let client = id.client();
        let path = ["v1", "clients", client.as_str(), "keys", id.as_str(), "revoke"];
        self.write(Call::new(Method::POST, &path).key(key)).await
    }

    /// Suspends a client, or lets it in again.
    pub async fn set_client_suspended(
        &self,
        client: ClientId,
        suspended: bool,
        reason: &str,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        let step = if suspended { "suspend" } else { "reinstate" };
        let path = ["v1", "clients", client.as_str(), step];
        self.write(Call::new(Method::POST, &path).json(&json!({"reason": reason})).key(key)).await
    }

    /// All requests for an approval, newest first.
    pub async fn approvals(&self) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "approvals"])).await
    }

    /// A request for an approval.
    pub async fn approval(&self, entry: u64) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "approvals", &entry.to_string()])).await
    }

    /// Asks another operator to approve. The body is what is asked for, as `POST /v1/approvals` takes it.
    pub async fn request_approval(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.write(Call::new(Method::POST, &["v1", "approvals"]).json(body).key(key)).await
    }

    /// Approves what another operator asked for; `digest` is that of what was shown, `iin` the number that is to be added, if that
    /// was asked for.
    pub async fn approve(
        &self,
        entry: u64,
        digest: &str,
        iin: Option<&Iin>,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        let entry = entry.to_string();
        let path = ["v1", "approvals", entry.as_str(), "approve"];
        let body = match iin {
            Some(iin) => json!({"digest": digest, "iin": iin.expose()}),
            None => json!({"digest": digest}),
        };
        self.write(Call::new(Method::POST, &path).json(&body).key(key)).await
    }

    /// Takes back one's own request, or refuses another operator's.
    pub async fn close_approval(
        &self,
        entry: u64,
        reason: &str,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        let entry = entry.to_string();
        let path = ["v1", "approvals", entry.as_str(), "close"];
        self.write(Call::new(Method::POST, &path).json(&json!({"reason": reason})).key(key)).await
    }

    // Wallets.

    /// Opens a wallet for a person, or finds the one that they have.
    pub async fn open_wallet(&self, iin: &Iin, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.write(Call::new(Method::POST, &["v1", "wallets"]).json(&json!({"iin": iin.expose()})).key(key))
            .await
    }

    /// The wallet of a person.
    pub async fn lookup_wallet(&self, iin: &Iin) -> Result<Value, ClientError> {
        let path = ["v1", "wallets", "lookup"];
        self.read(Call::new(Method::POST, &path).json(&json!({"iin": iin.expose()}))).await
    }

    /// A wallet as it is now.
    pub async fn wallet(&self, id: WalletId) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "wallets", &id.to_string()])).await
    }

    /// A wallet as of a time or the end of a business day; now if none is given.
    pub async fn balance(&self, id: WalletId, at: Option<&str>) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "wallets", &id.to_string(), "balance"]).query("at", at))
            .await
    }

    /// A page of a wallet's statement.
    pub async fn statement(&self, id: WalletId, query: &StatementQuery) -> Result<Value, ClientError> {
        let id = id.to_string();
        let path = ["v1", "wallets", &id, "statement"];
        let call = Call::new(Method::GET, &path)
            .query("from", query.from.as_ref())
            .query("to", query.to.as_ref())
            .query("after", query.after.as_ref())
            .query("limit", query.limit);
        self.read(call).await
    }

    // Single accruals.

    /// Credits a benefit.
    pub async fn accrue(
        &self,
        accrual: &AccrualRequest<'_>,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        self.write(Call::accrual(accrual).key(key)).await
    }

    /// The request of [`Client::accrue`], signed, for a connection of the caller's own.
    #[must_use]
    pub fn accrual_request(&self, accrual: &AccrualRequest<'_>, key: &IdempotencyKey) -> ReadyRequest {
        self.for_connection(&Call::accrual(accrual).key(key))
    }

    /// Takes back what is left of an accrual. The amount is not asked for: it is what is left.
    pub async fn reverse(
        &self,
        accrual: &AccrualRequest<'_>,
        reason: &str,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        let AccrualRequest { payer, iin, programme, period, part, amount: _ } = accrual;
        let body = json!({"payer": payer, "iin": iin.expose(), "programme": programme, "period": period, "part": part,
            "reason": reason});
        self.write(Call::new(Method::POST, &["v1", "reversals"]).json(&body).key(key)).await
    }

    // Batches.

    /// Opens a batch.
    pub async fn open_batch(&self, id: BatchId, batch: &BatchRequest) -> Result<Written, ClientError> {
        let mut body = json!({"kind": batch.kind, "payer": batch.payer, "programmes": batch.programmes,
            "periods": batch.periods, "lines": batch.lines, "total": batch.total, "currency": "KZT"});
        if let Some(not_before) = &batch.not_before {
            body["not_before"] = json!(not_before);
        }
        if batch.release_required {
            body["release_required"] = json!(true);
        }
        if batch.validate_only {
            body["validate_only"] = json!(true);
        }
        self.write(Call::new(Method::PUT, &["v1", "batches", &id.to_string()]).json(&body)).await
    }

    /// A batch; `None` if there is none of this id.
    pub async fn batch(&self, id: BatchId) -> Result<Option<Value>, ClientError> {
        match self.read(Call::new(Method::GET, &["v1", "batches", &id.to_string()])).await {
            Err(error) if error.code() == Some("batch_unknown") => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Sends lines of a batch; gives the verdicts on them.
    pub async fn send_chunk(
        &self,
        id: BatchId,
        first_line: u64,
        encoding: Encoding,
        body: Bytes,
    ) -> Result<VerdictList, ClientError> {
        let (id, first_line) = (id.to_string(), first_line.to_string());
        let path = ["v1", "batches", &id, "chunks", &first_line];
        let mut call = Call::new(Method::PUT, &path);
        call.content_type = Some(encoding.content_type());
        call.accept = "text/csv";
        call.body = body;
        self.verdict_list(call).await
    }

    /// The verdicts given before, on at most `limit` received lines after this one.
    pub async fn verdicts(
        &self,
        id: BatchId,
        after_line: u64,
        limit: u32,
    ) -> Result<VerdictList, ClientError> {
        let id = id.to_string();
        let path = ["v1", "batches", &id, "verdicts"];
        let mut call =
            Call::new(Method::GET, &path).query("after_line", Some(after_line)).query("limit", Some(limit));
        call.accept = "text/csv";
        self.verdict_list(call).await
    }

    /// Releases a batch, as the second person.
    pub async fn release_batch(&self, id: BatchId) -> Result<Value, ClientError> {
        self.step(id, "release").await
    }

    /// Closes a batch: completed if all that was declared has been received.
    pub async fn close_batch(&self, id: BatchId) -> Result<Value, ClientError> {
        self.step(id, "close").await
    }

    /// Cancels a batch: it takes no more lines.
    pub async fn cancel_batch(&self, id: BatchId) -> Result<Value, ClientError> {
        self.step(id, "cancel").await
    }

    async fn step(&self, id: BatchId, step: &str) -> Result<Value, ClientError> {
        self.read(Call::new(Method::POST, &["v1", "batches", &id.to_string(), step])).await
    }

    // Reports and the book.

    /// The trial balance, now or as of a time or the end of a business day.
    pub async fn trial_balance(&self, at: Option<&str>) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "reports", "trial-balance"]).query("at", at)).await
    }

    /// What came in and where it is, by programme.
    pub async fn programmes_report(&self, at: Option<&str>) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "reports", "programmes"]).query("at", at)).await
    }

    /// A journal entry.
    pub async fn entry(&self, number: u64) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "entries", &number.to_string()])).await
    }

    /// The book: its id, its size, where it is kept.
    pub async fn book(&self) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "book"])).await
    }

    /// A file of the log, by its path below `/log/`.
    pub async fn log_file(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let segments: Vec<&str> = std::iter::once("log").chain(path.split('/')).collect();
        let answer = self.send(&Call::new(Method::GET, &segments)).await?;
        Ok(self.accepted(answer)?.body.to_vec())
    }

    /// Whether the service can serve now. Without patience it is asked once, also if it says that it cannot.
    pub async fn ready(&self) -> Result<(), ClientError> {
        let call = Call::new(Method::GET, &["health", "ready"]);
        if !self.patience.is_zero() {
            return self.send(&call).await.map(drop);
        }
        let answer = self.exchange(&call).await;
        let answer = answer.map_err(|reason| self.unreachable(reason))?;
        self.accepted(answer).map(drop)
    }

    // Money out.

    /// `POST /v1/authorisations`: through a channel.
    pub async fn authorise(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.post(&["v1", "authorisations"], body, key).await
    }

    /// `POST /v1/wallets/{id}/choices`: where a holder's benefits go from now on, through a channel.
    pub async fn choose(
        &self,
        wallet: WalletId,
        body: &Value,
        key: &IdempotencyKey,
    ) -> Result<Written, ClientError> {
        self.post(&["v1", "wallets", &wallet.to_string(), "choices"], body, key).await
    }

    /// `POST /v1/transfers`: by a channel, or by the bank that the authorisation names.
    pub async fn request_transfer(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.post(&["v1", "transfers"], body, key).await
    }

    /// The request of [`Client::request_transfer`], signed, for a connection of the caller's own.
    #[must_use]
    pub fn transfer_request(&self, body: &Value, key: &IdempotencyKey) -> ReadyRequest {
        self.for_connection(&Call::new(Method::POST, &["v1", "transfers"]).json(body).key(key))
    }

    /// `GET /v1/transfers/{entry}`.
    pub async fn transfer(&self, entry: u64) -> Result<Value, ClientError> {
        self.read(Call::new(Method::GET, &["v1", "transfers", &entry.to_string()])).await
    }

    /// `POST /v1/transfers/answers`: what a bank says of many transfers.
    pub async fn answer_transfers(&self, answers: &[Value]) -> Result<Value, ClientError> {
        let body = json!({"answers": answers});
        Ok(self.post(&["v1", "transfers", "answers"], &body, &Self::fresh_key()).await?.value)
    }

    /// `POST /v1/cash`: through a channel. The answer has the code, once.
    pub async fn create_cash(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.post(&["v1", "cash"], body, key).await
    }

    /// `POST /v1/cash/redeem`: by a bank, for its agent.
    pub async fn redeem_cash(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.post(&["v1", "cash", "redeem"], body, key).await
    }

    /// `POST /v1/cash/outcomes`: what became of it at the agent's.
    pub async fn finish_cash(&self, body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.post(&["v1", "cash", "outcomes"], body, key).await
    }

    /// `GET /v1/events`: what this client is told after an entry; waits so many seconds for the first.
    pub async fn events(&self, after: u64, wait: u64) -> Result<Value, ClientError> {
        let mut call = Call::new(Method::GET, &["v1", "events"]);
        call.query = vec![("after", after.to_string()), ("wait", wait.to_string())];
        self.read(call).await
    }

    async fn post(&self, path: &[&str], body: &Value, key: &IdempotencyKey) -> Result<Written, ClientError> {
        self.write(Call::new(Method::POST, path).json(body).key(key)).await
    }

    // From a call to an answer.

    async fn read(&self, call: Call<'_>) -> Result<Value, ClientError> {
        let answer = self.send(&call).await?;
        self.value(&answer)
    }

    async fn write(&self, call: Call<'_>) -> Result<Written, ClientError> {
        let answer = self.send(&call).await?;
        Ok(Written {
            value: self.value(&answer)?,
            created: answer.status == StatusCode::CREATED,
            replayed: answer.headers.get(REPLAYED_HEADER).is_some_and(|value| value == "true"),
        })
    }

    async fn verdict_list(&self, call: Call<'_>) -> Result<VerdictList, ClientError> {
        let answer = self.send(&call).await?;
        VerdictList::read(answer.body)
            .ok_or_else(|| self.protocol("the verdicts are not in the form agreed on"))
    }

    fn value(&self, answer: &Answer) -> Result<Value, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|_| self.protocol("the body is not JSON"))
    }

    /// Sends until there is an answer that is final, or patience ends.
    async fn send(&self, call: &Call<'_>) -> Result<Answer, ClientError> {
        let mut failing_since: Option<Instant> = None;
        let mut backoff = BACKOFF_FIRST;
        loop {
            let (error, patience, reason, pause) = match self.exchange(call).await {
                Ok(answer) => match self.accepted(answer) {
                    Err(ClientError::Problem(problem)) if matches!(problem.status, 429 | 503) => {
                        let pause = problem.retry_after.unwrap_or(backoff);
                        let reason = problem.title.clone();
                        (ClientError::Problem(problem), self.patience.max(BUSY_PATIENCE), reason, pause)
                    }
                    outcome => return outcome,
                },
                Err(reason) => (self.unreachable(reason.clone()), self.patience, reason, backoff),
            };
            let since = failing_since.get_or_insert_with(Instant::now).elapsed();
            if since + pause > patience {
                return Err(error);
            }
            if let Some(observer) = &self.observer {
                observer(&Wait { reason, since, patience });
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One attempt. The error is what the network said.
    async fn exchange(&self, call: &Call<'_>) -> Result<Answer, String> {
        let response = self.http.execute(self.finish(call)).await.map_err(|error| network_reason(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| network_reason(&error))?;
        Ok(Answer { status, headers, body })
    }

    /// The one place where a request gets its last headers before it is sent.
    fn finish(&self, call: &Call<'_>) -> reqwest::Request {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("`new` has refused addresses that cannot be a base")
            .pop_if_empty()
            .extend(call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = reqwest::Request::new(call.method.clone(), url);
        let value = |text: &str| HeaderValue::from_str(text).expect("parsed to be visible ASCII");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(call.accept));
        if let Some(content_type) = call.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(key) = call.key {
            headers.insert(KEY_HEADER, value(key.as_str()));
        }
        self.sign(&mut request, &call.body);
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.clone().into());
        }
        request
    }

    /// The request as it goes over a connection (RFC 9112): the target's path, and who it is for in `Host`.
    fn for_connection(&self, call: &Call<'_>) -> ReadyRequest {
        let request = self.finish(call);
        let (method, url) = (request.method(), request.url());
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let (path, query) = (url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default());
        let head = format!(
            "{method} {path}{query} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
            url.authority(),
            body.len()
        );
        let mut bytes = head.into_bytes();
        for (name, value) in request.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes.into()
    }

    /// Every attempt is signed anew: a nonce is used once.
    fn sign(&self, request: &mut reqwest::Request, body: &[u8]) {
        if let Some(signing) = &self.signing {
            signing.sign(request, body);
        }
    }

    /// Sends a request as it is, once, and gives the answer whatever it is.
    pub async fn call(&self, raw: &RawRequest) -> Result<RawAnswer, ClientError> {
        let refused = |what: &str| ClientError::Request(what.to_owned());
        let method =
            Method::from_bytes(raw.method.as_bytes()).map_err(|_| refused("the method is no HTTP method"))?;
        if !raw.path.starts_with('/') {
            return Err(refused("the path does not begin with /"));
        }
        let url = Url::parse(&format!("{}{}", self.address(), raw.path));
        let url = url.map_err(|_| refused("the path cannot stand in a URL"))?;
        let mut request = reqwest::Request::new(method, url);
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| refused("a field is not visible ASCII"));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, value(&raw.accept)?);
        if let Some(key) = &raw.key {
            headers.insert(KEY_HEADER, value(key.as_str())?);
        }
        if !raw.body.is_empty() {
            headers.insert(CONTENT_TYPE, value(&raw.content_type)?);
            *request.body_mut() = Some(raw.body.clone().into());
        }
        self.sign(&mut request, &raw.body);
        let unreachable = |error: reqwest::Error| self.unreachable(network_reason(&error));
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(RawAnswer { status, headers, body: response.bytes().await.map_err(unreachable)? })
    }

    /// The answer, if it is a success.
    fn accepted(&self, answer: Answer) -> Result<Answer, ClientError> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let Ok(mut problem) = serde_json::from_slice::<ProblemDetails>(&answer.body) else {
            return Err(self.protocol(&format!("status {} without a reason", answer.status)));
        };
        problem.status = answer.status.as_u16();
        let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        problem.retry_after = seconds.map(Duration::from_secs);
        Err(ClientError::Problem(Box::new(problem)))
    }

    fn unreachable(&self, reason: String) -> ClientError {
        ClientError::Unreachable { url: self.address().to_owned(), reason }
    }

    fn protocol(&self, what: &str) -> ClientError {
        ClientError::Protocol { url: self.address().to_owned(), what: what.to_owned() }
    }
}

/// The innermost cause, without the URL that reqwest puts around it.
fn network_reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    if text.ends_with("UnknownIssuer") || text.ends_with("BadSignature") {
        return "its certificate is of no authority that is trusted here: name one with --ca-certificate"
            .to_owned();
    }
    // "Connection refused (os error 111)" says the same without its number.
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::{get, post};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn client(address: SocketAddr) -> Client {
        Client::new(&format!("http://{address}")).unwrap()
    }

    fn serve(listener: TcpListener, router: Router) -> SocketAddr {
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn iin() -> Iin {
        Iin::parse(b"830717350867").unwrap()
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_at_once() {
        for url in ["", "here", "ftp://127.0.0.1", "mailto:a@b"] {
            let refused = Client::new(url);
            assert!(matches!(refused, Err(ClientError::Address(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_full_is_asked_again_with_the_same_key() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&seen);
        let answer = move |headers: HeaderMap| async move {
            let mut asked = asked.lock().unwrap();
            asked.push(headers[KEY_HEADER].clone());
            if asked.len() < 3 {
                let problem = r#"{"title":"busy","status":503,"code":"busy"}"#;
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")], problem).into_response()
            } else {
                (StatusCode::CREATED, r#"{"entry":7}"#).into_response()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = serve(listener, Router::new().route("/v1/wallets", post(answer)));
        let key = IdempotencyKey::parse("once-only").unwrap();
        let written = client(address).open_wallet(&iin(), &key).await.unwrap();
        assert!(written.created && !written.replayed && written.value["entry"] == 7);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|key| key == "once-only"));
    }

    #[tokio::test]
    async fn a_refusal_is_told_at_once_and_not_asked_again() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let answer = || async {
            ASKED.fetch_add(1, Ordering::Relaxed);
            let problem = r#"{"title":"wallet unknown","status":404,"code":"wallet_unknown","entry":5}"#;
            (StatusCode::NOT_FOUND, problem)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = serve(listener, Router::new().route("/v1/wallets/lookup", post(answer)));
        let error = client(address).with_patience(BACKOFF_MAX).lookup_wallet(&iin()).await.unwrap_err();
        assert!(error.is_refusal());
        assert_eq!((error.code(), error.status()), (Some("wallet_unknown"), Some(404)));
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_absent_service_is_told_at_once_or_waited_for_as_long_as_patience_lasts() {
        // The port is ours from the beginning, so that nobody else takes it; that we listen comes later.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let impatient = client(address).book().await.unwrap_err();
        assert!(matches!(impatient, ClientError::Unreachable { .. }) && !impatient.is_refusal());

        let waits = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&waits);
        let observer: WaitObserver = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let patient = client(address).with_patience(Duration::from_secs(20)).with_observer(observer);
        let coming = async {
            while waits.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            serve(
                socket.listen(8).unwrap(),
                Router::new().route("/v1/book", get(|| async { r#"{"size":1}"# })),
            );
        };
        let (book, ()) = tokio::join!(patient.book(), coming);
        assert_eq!(book.unwrap()["size"], 1);
    }

    #[tokio::test]
    async fn somebody_else_on_the_port_is_told_from_a_service() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = serve(listener, Router::new().route("/v1/book", get(|| async { "<html>" })));
        let client = client(address);
        assert!(matches!(client.book().await, Err(ClientError::Protocol { .. })));
        assert!(matches!(client.programmes().await, Err(ClientError::Protocol { .. })));
    }
}
