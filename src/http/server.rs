//! Connections: how many are taken, over what, and for how long they may say or read nothing.
//!
//! One loop accepts; each connection is a task of its own. A place is taken before a connection is accepted: when all are
//! taken, others wait in the system's queue. A client that does not finish its handshake, the head of a request or the reading
//! of an answer is let go by its own clock, and keeps nobody else waiting.
//!
//! When the service stops, nobody is accepted any more, idle connections are closed, and what is under way is answered.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::limits;
use crate::tls;

/// How long nothing is accepted when the system has no more descriptors or memory for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// On what terms connections are taken.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How many at once.
    pub connections: usize,
    /// What TLS is spoken with; plain HTTP if there is none.
    pub tls: Option<tls::Current>,
    /// How long a client may take to agree on TLS.
    pub handshake_time: Duration,
    /// How long it may take for the head of its next request.
    pub head_time: Duration,
    /// How long it may take nothing of an answer.
    pub stall_time: Duration,
    /// How long requests may take to end when the service stops.
    pub stop_time: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            tls: None,
            handshake_time: limits::HANDSHAKE_TIME_MAX,
            head_time: limits::HEAD_TIME_MAX,
            stall_time: limits::STALL_TIME_MAX,
            stop_time: limits::STOP_TIME_MAX,
        }
    }
}

/// Serves until `stop` resolves and what was under way then is answered.
pub async fn serve(listener: TcpListener, router: Router, terms: Terms, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(terms.connections));
    let (stopping, going_on) = watch::channel(());
    let mut attended = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            (stream, place) = accept(&listener, &places) => {
                let connection = Connection { terms: terms.clone(), stopped: going_on.clone(), _place: place };
                attended.spawn(connection.attend(stream, router.clone()));
            }
            Some(ended) = attended.join_next() => report(ended),
        }
    }
    drop(listener); // whoever comes now is refused at once, and may ask another replica
    stopping.send_replace(());
    let ended = timeout(terms.stop_time, async {
        while let Some(ended) = attended.join_next().await {
            report(ended);
        }
    });
    if ended.await.is_err() {
        tracing::warn!(connections = attended.len(), "broken off: they did not end in time");
        attended.shutdown().await;
    }
}

/// A handler's panic ends its connection, and is no secret.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// The next connection, when there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // It was gone before it was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// An accepted connection's place and terms.
struct Connection {
    terms: Terms,
    /// Changes when the service stops.
    stopped: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn attend(mut self, stream: TcpStream, router: Router) {
        // Answers are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.terms.stall_time));
        let stream = Box::pin(stream);
        let Some(tls) = &self.terms.tls else { return self.answer(stream, router).await };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let agreed = tokio::select! {
            _ = self.stopped.changed() => return,
            agreed = timeout(self.terms.handshake_time, acceptor.accept(stream)) => agreed,
        };
        match agreed {
            Ok(Ok(stream)) => self.answer(stream, router).await,
            // Strangers who try something: of no interest to anybody unless they are looked for.
            Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
            Err(_) => tracing::debug!("no TLS was agreed on in time"),
        }
    }

    async fn answer(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
        let service = TowerToHyperService::new(router);
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.terms.head_time)
                .max_buf_size(limits::BUFFER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = &mut connection => ended,
            _ = self.stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
