//! `serve`: the service.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::sync::oneshot;

use crate::directory::Directory;
use crate::http::door::{Door, PublicUrl};
use crate::http::rate::REQUESTS_PER_SECOND;
use crate::http::{self, App};
use crate::publisher::Publisher;
use crate::sequencer::Sequencer;
use crate::sequencer::clock::{self, Clock};
use crate::sequencer::expiry::Expiry;

use super::place::PlaceArgs;
use super::{CliError, Global, Outcome};

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The address to listen on. Other machines reach it only through what ends TLS in front of it: see --behind-tls
    #[arg(long, value_name = "ADDRESS", env = "SOCIAL_WALLET_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The address that clients know the service by, which they sign: a scheme and a host, and a port if it is not the
    /// scheme's own [default: the address it listens on]
    #[arg(long, value_name = "URL", env = "SOCIAL_WALLET_PUBLIC_URL", value_parser = PublicUrl::parse)]
    public_url: Option<PublicUrl>,
    /// Listen on an address that is not this machine's own: a proxy in front of it ends TLS, and nobody else reaches it
    #[arg(long, requires = "public_url")]
    behind_tls: bool,
    /// Serve /metrics, for Prometheus, on this address of its own; it is for operators, and nobody is asked who they are
    #[arg(long, value_name = "ADDRESS", env = "SOCIAL_WALLET_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// Requests a second that one client may send
    #[arg(long, value_name = "COUNT", env = "SOCIAL_WALLET_REQUESTS_PER_SECOND", default_value_t = REQUESTS_PER_SECOND)]
    requests_per_second: NonZeroU32,
    /// Wallets whose heads are kept in memory, about 80 bytes each. Two paydays in a row read no head from the database if
    /// this is twice the number of their wallets
    #[arg(long, value_name = "COUNT", default_value_t = 3_500_000, value_parser = clap::value_parser!(u32).range(100_000..=100_000_000))]
    wallets_in_memory: u32,
}

/// Serves until it is told to stop, by SIGTERM or Ctrl-C; what it has acknowledged is finished first.
pub async fn run(global: &Global, args: ServeArgs) -> Result<Outcome, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Service(error.to_string());
    let listener = http::listen(args.listen, args.behind_tls).await.map_err(|error| failed(&error))?;
    let metrics = match args.metrics_listen {
        Some(address) => Some(http::listen(address, false).await.map_err(|error| failed(&error))?),
        None => None,
    };
    let store = args.place.open_store().await?;
    let keys = args.place.open_keys(&*store).await?;
    let log_key = args.place.open_log_key(&*store, keys.book()).await?;
    // Before anything is written: a store that lacks what was signed is not served.
    let publisher =
        Publisher::open(store.clone(), keys.book(), log_key, Box::new(args.place.kept()), clock::now).await;
    let publisher = publisher.map_err(|error| failed(&error))?;
    let wallets_max = args.wallets_in_memory as usize;
    let started = Sequencer::start(store.clone(), keys.clone(), Clock::system(), wallets_max).await;
    let (sequencer, writer) = started.map_err(|error| failed(&error))?;
    let directory = Directory::open(store.clone(), sequencer.registry()).await;
    let directory = directory.map_err(|error| failed(&error))?;
    let nobody = store.registry_seq().await.map_err(|error| failed(&error))?.is_none();
    let shown = publisher.published();
    let durable = sequencer.durable();
    let (tell_stuck, stuck) = oneshot::channel::<()>();
    let publishing = tokio::spawn(async move {
        let outcome = publisher.run(durable).await;
        drop(tell_stuck);
        outcome
    });
    let address = listener.local_addr()?;
    let mut out = io::stdout().lock();
    let figures = match &metrics {
        Some(listener) => Some(format!("http://{}/metrics", listener.local_addr()?)),
        None => None,
    };
    if global.json {
        let url = format!("http://{address}");
        let line = json!({"listening": url, "metrics": figures, "store": store.name(), "book": keys.book()});
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "listening on http://{address}")?;
        if let Some(url) = figures {
            writeln!(out, "figures at {url}")?;
        }
    }
    out.flush()?;
    drop(out);
    let public_url = args.public_url.unwrap_or_else(|| PublicUrl::of(address));
    tracing::info!(store = store.name(), book = %keys.book(), %public_url, "serving");
    if nobody {
        tracing::warn!("nobody can sign a request yet: run `social-wallet bootstrap` on this book");
    }
    let door = Door { directory, public_url, now: clock::now };
    let ending = tokio::spawn(Expiry::new(store.clone(), sequencer.clone(), clock::now).run());
    let app = App::new(store, keys, sequencer, shown, args.requests_per_second, Some(door));
    let (tell_served, served) = oneshot::channel::<()>();
    let watched = metrics.map(|listener| {
        let stop = async { drop(served.await) };
        tokio::spawn(http::metrics::serve(listener, Arc::clone(&app), stop))
    });
    let stop = async {
        tokio::select! { () = stopped() => {}, _ = stuck => tracing::error!("the log cannot be signed: stopping") }
    };
    http::serve(listener, app, stop).await?;
    ending.abort(); // it holds a handle of the writer
    drop(tell_served);
    if let Some(watched) = watched {
        watched.await.map_err(|error| failed(&error))??;
    }
    // All handles are gone with the app: the writer ends when everything handed in is answered.
    writer.await.map_err(|error| failed(&error))?;
    publishing.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    tracing::info!("stopped; everything acknowledged is durable");
    Ok(Outcome::Done)
}

async fn stopped() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C cannot be listened for");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be listened for");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! { () = interrupt => {}, () = terminate => {} }
    tracing::info!("stopping");
}
