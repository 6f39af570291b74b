//! Requests that are made and signed before the clock runs, and the clients that send them.
//!
//! Client and service share the machine: what a client does while the clock runs, the service cannot do. So signing is over by
//! then, and a client is one connection of hyper's, all of them on one thread.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, to_bytes};
use http::StatusCode;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::machine::Latencies;
use crate::cli::error::CliError;
use crate::client::ReadyRequest;

/// Seconds that a run may take: signatures live 300, and the first are made some seconds before it begins.
pub(super) const SECONDS_MAX: u64 = 240;

/// Requests that are made for a run at most: signing more would use up the first ones' life, and the memory.
pub(super) const REQUESTS_MAX: usize = 200_000;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 1 << 20;

/// Makes a request of each of these, on all cores.
pub(super) fn made<T: Sync>(of: &[T], make: impl Fn(&T) -> ReadyRequest + Sync) -> Vec<ReadyRequest> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        let make = &make;
        let parts: Vec<_> = of
            .chunks(of.len().div_ceil(threads).max(1))
            .map(|part| scope.spawn(move || part.iter().map(make).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("making a request does not panic")).collect()
    })
}

/// Sends requests by so many clients at once, each one after the other, until the time is over or all are sent. Every one
/// must be answered 201, or the figure would be of something else.
pub(super) async fn drive(
    address: &str,
    requests: Vec<ReadyRequest>,
    clients: u32,
    until: Instant,
) -> Result<Latencies, CliError> {
    let host = address.strip_prefix("http://").unwrap_or(address).to_owned();
    let driven = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(host, requests, clients, until))
    });
    driven.await.expect("a client of the benchmark does not panic")
}

async fn all(
    host: String,
    requests: Vec<ReadyRequest>,
    clients: u32,
    until: Instant,
) -> Result<Latencies, CliError> {
    let requests = Arc::new(Mutex::new(requests.into_iter()));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (host, requests) = (host.clone(), Arc::clone(&requests));
        let next = move || requests.lock().unwrap_or_else(PoisonError::into_inner).next();
        tasks.spawn(async move { one(&host, next, until).await });
    }
    let mut all = Latencies::default();
    while let Some(task) = tasks.join_next().await {
        all.append(task.expect("a client of the benchmark does not panic")?);
    }
    Ok(all)
}

async fn one(
    host: &str,
    next: impl Fn() -> Option<ReadyRequest>,
    until: Instant,
) -> Result<Latencies, CliError> {
    let lost = |error: hyper::Error| CliError::Child(format!("the service ended a connection: {error}."));
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    tokio::spawn(connection);
    let mut latencies = Latencies::default();
    while Instant::now() < until {
        let Some(request) = next() else { break };
        let asked = Instant::now();
        sender.ready().await.map_err(lost)?;
        let (head, body) = sender.send_request(request).await.map_err(lost)?.into_parts();
        let body = to_bytes(Body::new(body), ANSWER_MAX).await;
        let body = body.map_err(|error| CliError::Child(format!("an answer broke off: {error}.")))?;
        latencies.add(asked.elapsed());
        if head.status != StatusCode::CREATED {
            let said = String::from_utf8_lossy(&body);
            return Err(CliError::Child(format!("the service answered {}: {said}", head.status)));
        }
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use serde_json::json;

    use super::*;
    use crate::client::Client;

    const REQUESTS: usize = 40;

    /// Sends requests to a service that answers all with this status. What came of it, and the keys that it was sent.
    async fn driven(status: StatusCode) -> (Result<Latencies, CliError>, Vec<String>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keys = Arc::clone(&seen);
        let answer = move |headers: HeaderMap, body: String| async move {
            assert!(body.contains("\"amount\":\"1.00\"") && headers.contains_key("host"));
            keys.lock().unwrap().push(headers["idempotency-key"].to_str().unwrap().to_owned());
            (status, "said")
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            axum::serve(listener, Router::new().route("/v1/transfers", post(answer))).await
        });
        let requests = made(&[(); REQUESTS], |()| {
            client.transfer_request(&json!({"amount": "1.00"}), &Client::fresh_key())
        });
        let until = Instant::now() + Duration::from_mins(1);
        let outcome = drive(client.address(), requests, 3, until).await;
        let seen = seen.lock().unwrap().clone();
        (outcome, seen)
    }

    #[tokio::test]
    async fn every_request_is_sent_once() {
        let (outcome, keys) = driven(StatusCode::CREATED).await;
        assert_eq!(outcome.unwrap().count(), REQUESTS as u64);
        assert_eq!(keys.len(), REQUESTS);
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), REQUESTS);
    }

    #[tokio::test]
    async fn another_answer_than_created_is_no_figure() {
        for status in [StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE] {
            let told = driven(status).await.0.unwrap_err().to_string();
            assert!(told.contains(status.as_str()) && told.contains("said"), "{told}");
        }
    }
}
