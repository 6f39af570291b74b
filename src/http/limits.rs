//! What the service takes, at most. `docs/operations.md` says the same to operators.
//!
//! A connection: see [`server`](super::server). A request: its head and how many at once, here; its body, where it is read.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::catalogue::Code;
use super::problem::{Problem, busy};
use crate::domain::ClientId;

/// Connections that are open at once, if nothing else is said. Others wait to be accepted.
pub const CONNECTIONS: usize = 1_024;

/// The fewest and the most that may be said.
pub const CONNECTIONS_RANGE: std::ops::RangeInclusive<i64> = 1..=65_536;

/// Connections to the figures at once.
pub const METRICS_CONNECTIONS: usize = 16;

/// How long a client may take to send the head of its next request: also how long a connection may be idle.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a client may take to agree on TLS.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer.
pub const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of a request's head: the request line, and each field with its name, a colon, a blank and a line's end.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Fields of a request's head.
pub const HEAD_FIELDS_MAX: usize = 64;

/// Bytes of a connection that are read ahead. A head that does not fit, or has more fields than hyper's 100, is answered with a
/// bare 431.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Requests that are worked on at once, those for `/health/…` not counted.
pub const REQUESTS_AT_ONCE_MAX: usize = 512;

/// Bytes that the body of a single command may have.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Chunks that may be in memory at once.
pub const CHUNKS_IN_FLIGHT_MAX: usize = 16;

/// Chunks of one client that may be in memory at once: the places that are left are for others.
pub const CHUNKS_OF_A_CLIENT_MAX: usize = 8;

/// How long a client may take to send a body.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of a body that are thrown away before the connection is broken.
pub const DISCARDED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How long a request may take in all.
pub const REQUEST_TIME_MAX: Duration = Duration::from_mins(2);

/// How long requests that are under way may take to end when the service stops.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(150);

/// The places for chunks in memory, by who holds them.
#[derive(Default)]
pub(super) struct ChunkPlaces(Mutex<HashMap<ClientId, usize>>);

/// A place for one chunk, until it is dropped.
pub(super) struct ChunkPlace<'a> {
    places: &'a ChunkPlaces,
    client: ClientId,
}

impl ChunkPlaces {
    /// A place for a chunk of a client; `None`: all are taken, or all that one client may have.
    pub fn take(&self, client: ClientId) -> Option<ChunkPlace<'_>> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&client).copied().unwrap_or(0);
        if all >= CHUNKS_IN_FLIGHT_MAX || own >= CHUNKS_OF_A_CLIENT_MAX {
            return None;
        }
        taken.insert(client, own + 1);
        Some(ChunkPlace { places: self, client })
    }
}

impl Drop for ChunkPlace<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.client)),
        }
    }
}

/// Holds every request to the limits of its head, and all together to their number.
pub(super) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(REQUESTS_AT_ONCE_MAX))
    }
}

impl Gate {
    /// Lets a request in for as long as it is worked on. Whoever asks whether the service lives is told so also when it is full,
    /// and takes no place.
    pub fn admit(&self, request: &Request) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if let Some(problem) = head_too_large(request) {
            return Err(problem);
        }
        if is_health(request) {
            return Ok(None);
        }
        self.0.try_acquire().map(Some).map_err(|_| busy())
    }
}

fn is_health(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str().starts_with("/health/"))
}

/// 431, if the head is larger than it may be.
fn head_too_large(request: &Request) -> Option<Problem> {
    let fields = request.headers();
    if head_bytes(request) <= HEAD_BYTES_MAX && fields.len() <= HEAD_FIELDS_MAX {
        return None;
    }
    let detail = format!(
        "The request's head has more than {HEAD_BYTES_MAX} bytes or {HEAD_FIELDS_MAX} fields. Nothing was done."
    );
    Some(Problem::new(Code::HeadTooLarge, detail).with("limit", json!(HEAD_BYTES_MAX)))
}

/// What the head takes on the wire, written without what may be left out.
fn head_bytes(request: &Request) -> usize {
    const LINE: usize = "  HTTP/1.1\r\n".len();
    const FIELD: usize = ": \r\n".len();
    const END: usize = "\r\n".len();
    let target = request.uri().path_and_query().map_or(1, |target| target.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    request.method().as_str().len() + target + LINE + fields.sum::<usize>() + END
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::{Next, from_fn};
    use axum::response::{IntoResponse as _, Response};
    use axum::routing::get;
    use futures::future::join_all;
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;

    fn layered(router: Router) -> Router {
        let gate = Arc::new(Gate::default());
        router.layer(from_fn(move |request: Request, next: Next| {
            let gate = Arc::clone(&gate);
            async move {
                match gate.admit(&request) {
                    Ok(_place) => next.run(request).await,
                    Err(problem) => problem.into_response(),
                }
            }
        }))
    }

    fn request(path: &str) -> Request {
        Request::builder().uri(path).body(Body::empty()).unwrap()
    }

    #[test]
    fn a_client_has_eight_places_for_chunks_and_all_together_sixteen() {
        let places = ChunkPlaces::default();
        let [one, other, third] = ["one", "other", "third"].map(|name| ClientId::parse(name).unwrap());
        let take = |client, count| (0..count).map_while(|_| places.take(client)).collect::<Vec<_>>();
        let mut own = take(one, 100);
        assert_eq!(own.len(), CHUNKS_OF_A_CLIENT_MAX, "one client leaves places for others");
        let others = take(other, 7);
        assert_eq!(others.len(), 7);
        let last = places.take(third);
        assert!(last.is_some(), "the sixteenth");
        assert!(places.take(third).is_none(), "the seventeenth");
        assert!(places.take(other).is_none(), "though it has only seven");
        own.pop();
        assert!(places.take(one).is_some(), "a place that is given back is free at once");
        drop((own, others, last));
        assert!(places.0.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[test]
    fn the_operators_page_says_what_the_limits_are() {
        let page = include_str!("../../docs/operations.md");
        let row = |beginning: &str, said: &[String]| {
            let row =
                page.lines().find(|line| line.starts_with(&format!("| {beginning}"))).unwrap_or_default();
            for said in said {
                assert!(row.contains(said), "{beginning}: {said} is not in {row:?}");
            }
        };
        let kib = |bytes: usize| format!("{} KiB", bytes / 1_024);
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        let [most, said] = [*CONNECTIONS_RANGE.end(), i64::try_from(CONNECTIONS).unwrap()]
            .map(|count| format!("{},{:03}", count / 1_000, count % 1_000));
        row(
            "connections at once",
            &[said, format!("1 to {most}"), format!("{METRICS_CONNECTIONS} to the figures")],
        );
        row("a TLS handshake", &[seconds(HANDSHAKE_TIME_MAX)]);
        row("the head of the next request", &[seconds(HEAD_TIME_MAX)]);
        let head = [kib(HEAD_BYTES_MAX), format!("{HEAD_FIELDS_MAX} fields"), kib(BUFFER_BYTES_MAX)];
        row("a request's head", &head);
        row("requests at once", &[REQUESTS_AT_ONCE_MAX.to_string()]);
        let places = [format!("{CHUNKS_IN_FLIGHT_MAX}, of one client {CHUNKS_OF_A_CLIENT_MAX}")];
        row("chunks and order files in memory", &places);
        let discarded = format!("{} MiB", DISCARDED_BYTES_MAX / 1_024 / 1_024);
        row("a body", &[kib(BODY_BYTES_MAX), seconds(BODY_TIME_MAX), discarded]);
        row("a request |", &[format!("{} minutes", REQUEST_TIME_MAX.as_secs() / 60)]);
        row("an answer of which nothing", &[seconds(STALL_TIME_MAX)]);
        row("stopping", &[seconds(STOP_TIME_MAX)]);
    }

    #[tokio::test]
    async fn as_many_requests_are_worked_on_as_the_limit_says_and_health_is_told_all_the_same() {
        for (sent, refused) in
            [(REQUESTS_AT_ONCE_MAX - 1, 0), (REQUESTS_AT_ONCE_MAX, 0), (REQUESTS_AT_ONCE_MAX + 1, 1)]
        {
            let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
            let (told, waited) = (Arc::clone(&begun), Arc::clone(&go_on));
            let slow = move || async move {
                let going_on = waited.notified();
                told.add_permits(1);
                going_on.await;
            };
            let router = Router::new().route("/slow", get(slow)).route("/health/live", get(|| async {}));
            let router: Router = layered(router);
            let requests = join_all((0..sent).map(|_| router.clone().oneshot(request("/slow"))));
            let release = async {
                let all = u32::try_from(sent - refused).unwrap();
                drop(begun.acquire_many(all).await.unwrap());
                let health = router.clone().oneshot(request("/health/live")).await.unwrap();
                assert_eq!(health.status(), StatusCode::OK);
                go_on.notify_waiters();
            };
            let (answers, ()) = tokio::join!(requests, release);
            let answers: Vec<Response> = answers.into_iter().map(Result::unwrap).collect();
            let full = answers.iter().filter(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE);
            let full: Vec<_> = full.map(|answer| answer.headers()["retry-after"].clone()).collect();
            assert_eq!(full, vec!["1"; refused], "{sent}");
            let after = router.oneshot(request("/nowhere")).await.unwrap();
            assert_eq!(after.status(), StatusCode::NOT_FOUND, "places are given back");
        }
    }

    #[tokio::test]
    async fn a_head_has_so_many_fields_and_no_more() {
        for (fields, status) in
            [(HEAD_FIELDS_MAX - 1, 200), (HEAD_FIELDS_MAX, 200), (HEAD_FIELDS_MAX + 1, 431)]
        {
            let router: Router = layered(Router::new().route("/", get(|| async {})));
            let mut request = request("/");
            for number in 0..fields {
                request.headers_mut().append("x", number.into());
            }
            assert_eq!(router.oneshot(request).await.unwrap().status(), status, "{fields}");
        }
    }
}
