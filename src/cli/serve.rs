//! `serve`: the service.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use serde_json::json;
use tokio::sync::oneshot;

use crate::directory::Directory;
use crate::http::door::{Door, PublicUrl};
use crate::http::limits::{CONNECTIONS, CONNECTIONS_RANGE};
use crate::http::rate::REQUESTS_PER_SECOND;
use crate::http::server::Terms;
use crate::http::{self, App};
use crate::publisher::Publisher;
use crate::sequencer::Sequencer;
use crate::sequencer::clock::{self, Clock};
use crate::sequencer::expiry::Expiry;
use crate::tls;

use super::place::PlaceArgs;
use super::{CliError, Global, Outcome, serve_check};

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The address to listen on. Other machines reach it by TLS only: see --tls-certificate and --behind-tls
    #[arg(long, value_name = "ADDRESS", env = "SOCIAL_WALLET_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The address that clients know the service by, which they sign: a scheme and a host, and a port if it is not the
    /// scheme's own [default: the address it listens on]
    #[arg(long, value_name = "URL", env = "SOCIAL_WALLET_PUBLIC_URL", value_parser = PublicUrl::parse)]
    public_url: Option<PublicUrl>,
    /// Listen on an address that is not this machine's own: a proxy in front of it ends TLS, and nobody else reaches it
    #[arg(
        long,
        env = "SOCIAL_WALLET_BEHIND_TLS",
        value_name = "true|false",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = BoolishValueParser::new()
    )]
    pub behind_tls: bool,
    /// Speak TLS, with the certificate in this file and those between it and its authority, in PEM. A renewed one is
    /// picked up within a minute
    #[arg(long, value_name = "FILE", env = "SOCIAL_WALLET_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM, in a file that only its owner may read
    #[arg(long, value_name = "FILE", env = "SOCIAL_WALLET_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Connections that are open at once, 1 to 65536; others wait to be accepted
    #[arg(long, value_name = "COUNT", env = "SOCIAL_WALLET_CONNECTIONS", default_value_t = CONNECTIONS as u32, value_parser = clap::value_parser!(u32).range(CONNECTIONS_RANGE))]
    pub connections: u32,
    /// Serve /metrics, for Prometheus, on this address of its own; it is for operators, and nobody is asked who they are
    #[arg(long, value_name = "ADDRESS", env = "SOCIAL_WALLET_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Requests a second that one client may send
    #[arg(long, value_name = "COUNT", env = "SOCIAL_WALLET_REQUESTS_PER_SECOND", default_value_t = REQUESTS_PER_SECOND)]
    pub requests_per_second: NonZeroU32,
    /// Wallets whose heads are kept in memory, about 80 bytes each. Two paydays in a row read no head from the database if
    /// this is twice the number of their wallets: 100000 to 100000000
    #[arg(long, value_name = "COUNT", env = "SOCIAL_WALLET_WALLETS_IN_MEMORY", default_value_t = 3_500_000, value_parser = clap::value_parser!(u32).range(100_000..=100_000_000))]
    pub wallets_in_memory: u32,
    /// Hold everything that is needed to serve against what is said here, tell it, and neither serve nor write
    #[arg(long)]
    check: bool,
}

/// How the service is reached.
pub struct Reached {
    /// The scheme that its addresses begin with.
    pub scheme: &'static str,
    /// What it speaks TLS with, if it does.
    pub files: Option<tls::Files>,
    /// What clients sign, if it is not the address it listens on.
    pub public_url: Option<PublicUrl>,
}

impl ServeArgs {
    /// How the service is to be reached, if what is said fits together.
    fn reached(&self) -> Result<Reached, CliError> {
        let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
        let files = match (self.tls_certificate.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => Some(tls::Files { certificate, key }),
            (None, None) => None,
            _ => return usage("--tls-certificate and --tls-key go together: name both files, or none"),
        };
        if files.is_some() && self.behind_tls {
            return usage(
                "--behind-tls says that a proxy ends TLS, and --tls-certificate that this service does: choose one",
            );
        }
        if self.behind_tls && self.public_url.is_none() {
            return usage(
                "--behind-tls needs --public-url: the address that clients know the proxy by, and sign",
            );
        }
        if self.listen.ip().is_unspecified() && self.public_url.is_none() {
            return usage(
                "no client knows the service by the address that it listens on: name the one that they sign with --public-url",
            );
        }
        let scheme = if files.is_some() { "https" } else { "http" };
        Ok(Reached { scheme, files, public_url: self.public_url.clone() })
    }
}

/// Serves until it is told to stop, by SIGTERM or Ctrl-C; what it has acknowledged is finished first.
pub async fn run(global: &Global, args: ServeArgs) -> Result<Outcome, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Service(error.to_string());
    let reached = args.reached()?;
    if args.check {
        return serve_check::run(global, &args, reached).await;
    }
    let Reached { scheme, files, public_url } = reached;
    let opened = files.map(tls::Files::open).transpose().map_err(|error| failed(&error))?;
    let (tls, renewal) = opened.unzip();
    let safe = args.behind_tls || tls.is_some();
    let listener = http::listen(args.listen, safe).await.map_err(|error| failed(&error))?;
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
        let url = format!("{scheme}://{address}");
        let line = json!({"listening": url, "metrics": figures, "store": store.name(), "book": keys.book()});
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "listening on {scheme}://{address}")?;
        if let Some(url) = figures {
            writeln!(out, "figures at {url}")?;
        }
    }
    out.flush()?;
    drop(out);
    let public_url = public_url.unwrap_or_else(|| PublicUrl::of(scheme, address));
    tracing::info!(store = store.name(), book = %keys.book(), %public_url, "serving");
    if nobody {
        tracing::warn!("nobody can sign a request yet: run `social-wallet bootstrap` on this book");
    }
    let door = Door { directory, public_url, now: clock::now };
    let expiring = tokio::spawn(Expiry::new(store.clone(), sequencer.clone(), clock::now).run());
    let app = App::new(store, keys, sequencer, shown, args.requests_per_second, Some(door));
    let (tell_served, served) = oneshot::channel::<()>();
    let watched = metrics.map(|listener| {
        let stop = async { drop(served.await) };
        tokio::spawn(http::metrics::serve(listener, Arc::clone(&app), stop))
    });
    let stop = async {
        tokio::select! { () = stopped() => {}, _ = stuck => tracing::error!("the log cannot be signed: stopping") }
    };
    let renewing = renewal.map(|renewal| tokio::spawn(renewal.run(tls::RENEWAL_LOOK_EVERY)));
    let terms = Terms { connections: args.connections as usize, tls, ..Terms::default() };
    http::serve(listener, app, terms, stop).await;
    expiring.abort(); // it holds a handle of the writer
    drop(tell_served);
    for ending in [watched, renewing].into_iter().flatten() {
        ending.await.map_err(|error| failed(&error))?;
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
