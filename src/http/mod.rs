//! The HTTP interface: `specs/http.md`, one file per resource.
//!
//! A handler reads a request into a typed command, hands it to the sequencer, and shows the outcome; or it reads the store.
//! It decides nothing. Past this room there is no raw text.
//!
//! [`access`] is the table of routes and of whom they are for, [`door`] holds requests to it. An [`App`] without a door takes
//! its clients at their word: it is for whoever embeds it and has let them in already. `serve` always has one.

pub mod access;
pub mod authorisations;
pub mod batches;
pub mod body;
pub mod cash;
pub mod catalogue;
pub mod clients;
pub mod decisions;
pub mod door;
pub mod events;
pub mod evidence;
pub mod extract;
pub mod health;
pub mod holders;
pub mod instructions;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod openapi;
pub mod order_report;
pub mod orders;
pub mod problem;
pub mod programmes;
pub mod proofs;
pub mod rate;
pub mod receipts;
pub mod reports;
pub mod rules;
pub mod server;
pub mod statements;
pub mod trace;
pub mod transfers;
pub mod wallets;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use governor::clock::DefaultClock;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::domain::{BatchId, Bin, IdempotencyKey};
use crate::keys::BookKeys;
use crate::ledger::record::Actor;
use crate::ledger::signed::SignedRequest;
use crate::log::merkle::{Hash, leaf_hash};
use crate::payroll::LineKind;
use crate::publisher::tree::Published;
use crate::sequencer::Sequencer;
use crate::sequencer::command::{Command, CommandError, EntryView, Outcome, instruction_id};
use crate::sequencer::rehearsal::Rehearsals;
use crate::store::Store;

use catalogue::Code;
use door::{Caller, Door};
pub(crate) use limits::BODY_BYTES_MAX;
use limits::{BODY_TIME_MAX, ChunkPlaces, DISCARDED_BYTES_MAX, Gate, REQUEST_TIME_MAX};
use metrics::Metrics;
use problem::Problem;
use rate::Rate;
use server::Terms;

/// What every handler works with.
pub struct App {
    /// The book's store, for reads.
    pub store: Arc<dyn Store>,
    /// The book's keys.
    pub keys: Arc<BookKeys>,
    /// The one writer.
    pub sequencer: Sequencer,
    /// Batches that are only validated.
    pub rehearsals: Rehearsals,
    /// The newest published checkpoint.
    pub published: watch::Receiver<Option<Arc<Published>>>,
    /// What is counted.
    pub metrics: Metrics,
    /// How many requests a client may send.
    pub(crate) rate: Rate,
    /// Places for requests that are worked on.
    gate: Gate,
    /// Places for chunks in memory.
    chunks: ChunkPlaces,
    /// What the lines of a batch are, and whose, by batch: read once.
    pub(crate) kinds: Mutex<HashMap<BatchId, (LineKind, Bin)>>,
    /// What holds requests to their signatures; `None` takes clients at their word.
    pub(crate) door: Option<Door>,
}

impl App {
    /// The state of a service, in which a client may send so many requests a second. Without a door its clients are taken at
    /// their word.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<BookKeys>,
        sequencer: Sequencer,
        published: watch::Receiver<Option<Arc<Published>>>,
        requests_per_second: NonZeroU32,
        door: Option<Door>,
    ) -> Arc<Self> {
        let rehearsals = Rehearsals::new(Arc::clone(&store), Arc::clone(&keys));
        let metrics = Metrics::new(sequencer.figures());
        Arc::new(Self {
            store,
            keys,
            sequencer,
            rehearsals,
            published,
            metrics,
            rate: Rate::new(requests_per_second, DefaultClock::default()),
            gate: Gate::default(),
            chunks: ChunkPlaces::default(),
            kinds: Mutex::new(HashMap::new()),
            door,
        })
    }

    /// Hands a command in with what was signed.
    async fn submit(&self, command: Command, asked: Asked) -> Result<Outcome, CommandError> {
        self.sequencer.submit_signed(command, asked.actor, asked.signed).await
    }

    /// Spends the nonce of a write that the writer never sees, because it is refused before, or only rehearsed: nobody else shall
    /// send it again when it would be taken.
    async fn spend(&self, signed: Option<&SignedRequest>) -> Result<(), Problem> {
        let Some(signed) = signed else { return Ok(()) };
        if self.store.spend(&[signed.nonce]).await?.is_empty() {
            return Err(CommandError::NonceUsed.into());
        }
        Ok(())
    }

    /// Hands a single instruction in.
    async fn instruct(&self, command: Command, asked: Asked) -> Result<EntryView, Problem> {
        match self.submit(command, asked).await? {
            Outcome::Entry(entry) => self.told(entry).await,
            Outcome::Answers(mut answers) if answers.len() == 1 => match answers.remove(0) {
                Ok(entry) => self.told(entry).await,
                Err(refusal) => Err(refusal.into()),
            },
            Outcome::Chunk(_) | Outcome::Answers(_) => {
                Err(Problem::internal(&"another outcome than a single instruction's"))
            }
        }
    }

    /// An entry with its members, which are read if it was made by an earlier request.
    async fn told(&self, entry: EntryView) -> Result<EntryView, Problem> {
        if !entry.members.is_empty() {
            return Ok(entry);
        }
        let seq = entry.seq;
        let (_, leaf) =
            self.store.leaves(&[seq]).await?.pop().ok_or_else(|| Problem::internal(&"an entry is gone"))?;
        let members = serde_json::from_slice(&leaf).map_err(|error| Problem::internal(&error))?;
        Ok(EntryView { leaf_hash: Some(leaf_hash(&leaf)), ..EntryView::of_leaf(seq, members, true) })
    }
}

/// The routes, from the table of operations.
pub fn router(app: Arc<App>) -> Router {
    let routes = openapi::operations::OPERATIONS.iter().fold(Router::new(), |router, operation| {
        let layer = from_fn_with_state((Arc::clone(&app), access::of(operation)), door::enter);
        router.route(operation.path, (operation.route)().route_layer(layer))
    });
    routes
        .fallback(|| async { Problem::new(Code::PathUnknown, "There is nothing at this path.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "The path knows other methods.")
        })
        .layer(from_fn_with_state(Arc::clone(&app), attend))
        .with_state(app)
}

/// What every request goes through: it has a trace and its line in the log, is counted, is held to the limits of its head and of
/// how many there are at once, and ends in time. One layer for all: for each one the rest of the way is copied for every request.
async fn attend(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unknown", MatchedPath::as_str); // as the router has it: ids stay out
    let started = Instant::now();
    trace::traced(path, request, async |request| {
        let response = match app.gate.admit(&request) {
            Ok(_place) => within(REQUEST_TIME_MAX, next.run(request)).await,
            Err(problem) => problem.into_response(),
        };
        app.metrics.count(path, &response, started.elapsed());
        response
    })
    .await
}

/// The answer, or that it did not come in time.
async fn within(time: Duration, answer: impl Future<Output = Response>) -> Response {
    let answered = tokio::time::timeout(time, answer).await;
    answered.unwrap_or_else(|_| Problem::of(Code::RequestTimeout).into_response())
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Anybody could listen in.
    #[error(
        "{0} is not a loopback address, and what is sent there in plain HTTP can be read on its way: name a certificate with --tls-certificate and --tls-key, or listen on 127.0.0.1 or [::1], or say with --behind-tls and --public-url that a proxy ends TLS in front of it"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Whether anybody may listen at this address: at a loopback address, or if TLS is spoken there, or in front of it.
pub fn may_listen(address: SocketAddr, tls: bool) -> Result<(), ServeError> {
    if address.ip().is_loopback() || tls { Ok(()) } else { Err(ServeError::NotLoopback(address)) }
}

/// Binds an address, if [`may_listen`] lets it.
pub async fn listen(address: SocketAddr, tls: bool) -> Result<tokio::net::TcpListener, ServeError> {
    may_listen(address, tls)?;
    tokio::net::TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))
}

/// Serves until `stop` resolves; what is under way then is finished.
pub async fn serve(
    listener: tokio::net::TcpListener,
    app: Arc<App>,
    terms: Terms,
    stop: impl Future<Output = ()>,
) {
    server::serve(listener, router(app), terms, stop).await;
}

/// Reads a body of at most `limit` bytes, in at most [`BODY_TIME_MAX`]. What is sent beyond it is thrown away as it comes,
/// up to [`DISCARDED_BYTES_MAX`]: a client that is still sending reads no answer, only a broken connection. The body of a
/// signed request is the one that was signed.
pub(crate) async fn read_body(request: Request, limit: usize) -> Result<Bytes, Problem> {
    read_body_within(BODY_TIME_MAX, request, limit).await
}

async fn read_body_within(time: Duration, request: Request, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("The body has more than {limit} bytes. Nothing was done.");
        Problem::new(Code::BodyTooLarge, detail).with("limit", json!(limit))
    };
    let admission = door::admission(&request);
    let headers = request.headers();
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared_too_large =
        declared.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit as u64);
    if declared_too_large && headers.contains_key(header::EXPECT) {
        return Err(too_large()); // it has not begun to send
    }
    let read = async {
        let mut frames = request.into_body().into_data_stream();
        let (mut bytes, mut received) = (Vec::new(), 0usize);
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|_| {
                let detail = "The body did not arrive whole. Nothing was done; send it again.";
                Problem::new(Code::BodyIncomplete, detail)
            })?;
            received = received.saturating_add(frame.len());
            if received > DISCARDED_BYTES_MAX {
                break;
            } else if declared_too_large || received > limit {
                bytes = Vec::new();
            } else {
                bytes.extend_from_slice(&frame);
            }
        }
        if declared_too_large || received > limit { Err(too_large()) } else { Ok(Bytes::from(bytes)) }
    };
    let read = tokio::time::timeout(time, read).await.unwrap_or_else(|_| {
        let detail = format!("The body did not arrive within {} seconds. Nothing was done.", time.as_secs());
        Err(Problem::new(Code::BodyTooSlow, detail))
    });
    let bytes = read?;
    if let Some(admission) = admission {
        let digest = Sha256::digest(&bytes).into();
        admission.signed.check_body(&digest, bytes.len()).map_err(door::body_refused)?;
    }
    Ok(bytes)
}

/// Who asks for a write, and what was signed.
pub(crate) struct Asked {
    actor: Actor,
    signed: Option<Box<SignedRequest>>,
}

/// Who asks for a write that names what it makes, and so needs no idempotency key.
pub(crate) fn asking(app: &App, caller: &Caller, body: &[u8]) -> Asked {
    let request = caller.request_digest(body);
    let actor = Actor { client: caller.client, request, line: None, instruction: None };
    Asked { actor, signed: caller.signed_request(&app.keys, body) }
}

/// Who asks for a single instruction, with the id that binds it.
pub(crate) fn instructing(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Asked, Problem> {
    let instruction = Some(instruction_of(caller, headers)?);
    let Asked { actor, signed } = asking(app, caller, body);
    Ok(Asked { actor: Actor { instruction, ..actor }, signed })
}

/// The id that binds a request for ever, from its one `Idempotency-Key`.
pub(crate) fn instruction_of(caller: &Caller, headers: &HeaderMap) -> Result<[u8; 16], Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        let detail =
            "Every write carries one Idempotency-Key: the same key, sent again, moves nothing twice.";
        return Err(Problem::malformed(Code::IdempotencyKeyMissing, "Idempotency-Key", detail));
    };
    let key = key.to_str().ok().and_then(|key| IdempotencyKey::parse(key).ok()).ok_or_else(|| {
        let detail = "An Idempotency-Key has 1 to 64 visible ASCII characters other than \" and \\.";
        Problem::malformed(Code::IdempotencyKeyMalformed, "Idempotency-Key", detail)
    })?;
    Ok(instruction_id(caller.client, &key))
}

/// The answer to a write: its entry.
pub(crate) fn entry_answer(entry: EntryView) -> Response {
    let replayed = entry.replayed;
    let mut response = (StatusCode::CREATED, axum::Json(entry_members(entry))).into_response();
    if replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// An entry's members, with the hash of its leaf and where its receipt is.
pub(crate) fn entry_members(entry: EntryView) -> Map<String, Value> {
    let mut members = entry.members;
    put_proof(&mut members, entry.seq, entry.leaf_hash);
    members
}

/// Adds the hash of an entry's leaf and where its receipt is, if the entry is in the log.
pub(crate) fn put_proof(members: &mut Map<String, Value>, entry: u64, leaf_hash: Option<Hash>) {
    if let Some(hash) = leaf_hash {
        members.insert("leaf_hash".into(), json!(hex::encode(hash)));
        members.insert("receipt".into(), json!(receipts::url(entry)));
    }
}

/// A command's refusal, if that is what it is.
pub(crate) fn refusal(error: &CommandError) -> Option<crate::ledger::refusal::RefusalCode> {
    match error {
        CommandError::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// Holds a document to what it is written from. With `SOCIAL_WALLET_WRITE_DOCUMENTS` set, writes it.
#[cfg(test)]
#[track_caller]
fn document_is_current(path: &str, text: &str) {
    if std::env::var_os("SOCIAL_WALLET_WRITE_DOCUMENTS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == text,
        "{path} is not what the code says: run SOCIAL_WALLET_WRITE_DOCUMENTS=1 cargo test --lib document, and read the diff"
    );
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::stream;

    use super::*;

    /// What becomes of a body of these pieces, of which ten bytes are taken.
    async fn read(
        pieces: impl futures::Stream<Item = Result<&'static str, &'static str>> + Send + 'static,
        time: Duration,
    ) -> Result<Bytes, Code> {
        let request = Request::new(Body::from_stream(pieces));
        read_body_within(time, request, 10).await.map_err(|problem| problem.code())
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_it_is_said_what_is_wrong_with_it() {
        for (pieces, expected) in [
            (vec![], Ok(Bytes::new())),
            (vec![Ok("12345"), Ok("6789")], Ok(Bytes::from("123456789"))),
            (vec![Ok("12345"), Ok("67890")], Ok(Bytes::from("1234567890"))),
            (vec![Ok("12345"), Ok("678901")], Err(Code::BodyTooLarge)),
            (vec![Ok("12345"), Err("the connection broke")], Err(Code::BodyIncomplete)),
        ] {
            assert_eq!(read(stream::iter(pieces), BODY_TIME_MAX).await, expected);
        }
        let stalled = stream::iter([Ok("12345")]).chain(stream::pending());
        assert_eq!(read(stalled, Duration::ZERO).await, Err(Code::BodyTooSlow));
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_a_problem() {
        let answer = within(Duration::ZERO, std::future::pending()).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
