//! Requests that are made and signed before the clock runs, and the clients that send them.
//!
//! Client and service share the machine: what a client does while the clock runs, the service cannot do. So signing is over by
//! then, a request is the bytes that are sent, a client is one connection, and all of them are on one thread.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::machine::Latencies;
use crate::cli::error::CliError;
use crate::client::ReadyRequest;

/// Seconds that a run may take: signatures live 300, and the first are made some seconds before it begins.
pub(super) const SECONDS_MAX: u64 = 240;

/// Requests that are made for a run at most: signing more would use up the first ones' life, and the memory.
pub(super) const REQUESTS_MAX: usize = 200_000;

/// The status of what was done.
const CREATED: u16 = 201;

/// Bytes of an answer at most, with its head.
const ANSWER_MAX: usize = 1 << 20;

/// Fields of an answer's head at most.
const FIELDS_MAX: usize = 32;

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
    let lost = |error: io::Error| CliError::Child(format!("the service ended a connection: {error}."));
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, received: Vec::with_capacity(8_192) };
    let mut latencies = Latencies::default();
    while Instant::now() < until {
        let Some(request) = next() else { break };
        let asked = Instant::now();
        let (status, body) = connection.exchange(&request).await.map_err(lost)?;
        latencies.add(asked.elapsed());
        if status != CREATED {
            let said = String::from_utf8_lossy(body);
            return Err(CliError::Child(format!("the service answered {status}: {said}")));
        }
    }
    Ok(latencies)
}

/// A connection with nothing under way.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Sends a request, and reads its answer: the status, and the body.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            if let Some((status, head, length)) = answer_head(&self.received)?
                && self.received.len() - head >= length
            {
                return Ok((status, &self.received[head..head + length]));
            }
            if self.received.len() > ANSWER_MAX {
                return Err(io::Error::other("an answer is too long"));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The status of an answer, the length of its head and that of its body, once the whole head is there.
fn answer_head(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|field| str::from_utf8(field.value).ok()?.parse().ok());
    let length = length.ok_or_else(|| io::Error::other("an answer does not say how long it is"))?;
    Ok(Some((head.code.expect("a whole head has a status"), end, length)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
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

    /// What a client makes of an answer that comes in these pieces.
    async fn exchanged(pieces: Vec<Vec<u8>>) -> io::Result<(u16, Vec<u8>)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let answering = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let asked = &mut [0; 8];
            stream.read_exact(asked).await.unwrap();
            for piece in pieces {
                stream.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            asked.to_vec()
        };
        let mut connection = Connection { stream, received: Vec::new() };
        let (asked, answer) = tokio::join!(answering, connection.exchange(b"request\n"));
        assert_eq!(asked, b"request\n");
        answer.map(|(status, body)| (status, body.to_vec()))
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_however_it_comes() {
        let answer = b"HTTP/1.1 201 Created\r\nx: y\r\nContent-Length: 12\r\n\r\n\r\n\r\nthe body";
        for pieces in 1..=answer.len() {
            let pieces = answer.chunks(answer.len().div_ceil(pieces)).map(<[u8]>::to_vec).collect();
            let expected = (CREATED, b"\r\n\r\nthe body".to_vec());
            assert_eq!(exchanged(pieces).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_said() {
        for (bytes, told) in [
            ("", "unexpected end of file"),
            ("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n1", "unexpected end of file"),
            ("HTTP/1.1 201 Created\r\n\r\n", "how long it is"),
            ("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "how long it is"),
            ("220 smtp.example.kz ESMTP\r\n\r\n", "invalid HTTP version"),
        ] {
            let error = exchanged(vec![bytes.into()]).await.unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let mut long =
            format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", 2 * ANSWER_MAX).into_bytes();
        long.resize(ANSWER_MAX + 1, b'x');
        assert!(exchanged(vec![long]).await.unwrap_err().to_string().contains("too long"));
    }
}
