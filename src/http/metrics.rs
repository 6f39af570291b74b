//! `/metrics` in the text format of `OpenMetrics`, for Prometheus, on a listener of its own: figures say nothing of a person,
//! but they are not for everybody.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::catalogue::Code;
use super::limits::METRICS_CONNECTIONS;
use super::problem::Problem;
use super::server::{self, Terms};
use crate::sequencer::clock;
use crate::sequencer::figures::Figures;

/// The content type of `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Paths as the router has them, and statuses: never what a client wrote.
type RequestLabels = [(&'static str, String); 2];
type CodeLabel = [(&'static str, &'static str); 1];

/// The figures of a service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    refusals: Family<CodeLabel, Counter>,
    queue_depth: Gauge,
    journal_size: Gauge,
    seal_lag: Gauge,
    checkpoint_age: Gauge,
}

impl Metrics {
    /// Figures from zero, with those of the writer.
    #[must_use]
    pub fn new(writer: &Figures) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("social_wallet"),
            requests: Family::default(),
            request_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            refusals: Family::default(),
            queue_depth: Gauge::default(),
            journal_size: Gauge::default(),
            seal_lag: Gauge::default(),
            checkpoint_age: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered, by path and status", metrics.requests.clone());
        registry.register_with_unit(
            "request",
            "From reading a request's head to its answer",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register("refusals", "Problems answered, by code", metrics.refusals.clone());
        registry.register("queue_depth", "Commands that wait for the writer", metrics.queue_depth.clone());
        registry.register(
            "journal_entries",
            "Entries that this writer knows to be durable",
            metrics.journal_size.clone(),
        );
        registry.register(
            "seal_lag_entries",
            "Durable entries that no published checkpoint covers",
            metrics.seal_lag.clone(),
        );
        registry.register_with_unit(
            "checkpoint_age",
            "Since the newest checkpoint was published; -1 before the first",
            Unit::Seconds,
            metrics.checkpoint_age.clone(),
        );
        registry.register(
            "commit_commands",
            "Commands that a commit carried",
            writer.commit_commands.clone(),
        );
        registry.register("commit_entries", "Entries that a commit wrote", writer.commit_entries.clone());
        registry.register_with_unit(
            "commit",
            "How long the store took over a commit that it says is durable",
            Unit::Seconds,
            writer.commit_seconds.clone(),
        );
        registry.register(
            "commits_failed",
            "Commits that did not go through, or whose outcome had to be found out",
            writer.commits_failed.clone(),
        );
        metrics
    }

    /// Counts a request.
    pub(super) fn count(&self, path: &str, response: &Response, took: Duration) {
        let status = response.status().as_u16().to_string();
        self.requests.get_or_create(&[("path", path.to_owned()), ("status", status)]).inc();
        self.request_seconds.observe(took.as_secs_f64());
        if let Some(code) = response.extensions().get::<Code>() {
            self.refusals.get_or_create(&[("code", code.name())]).inc();
        }
    }

    /// The text, with what is looked up only when somebody asks.
    fn text(&self, app: &App) -> Result<String, std::fmt::Error> {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let durable = *app.sequencer.durable().borrow();
        let published = app.published.borrow().as_ref().map(|published| (published.size(), published.at));
        self.queue_depth.set(whole(app.sequencer.queue_depth() as u64));
        self.journal_size.set(whole(durable));
        self.seal_lag.set(whole(durable.saturating_sub(published.map_or(0, |(size, _)| size))));
        self.checkpoint_age.set(published.map_or(-1, |(_, at)| (clock::now() - at).max(0) / 1_000));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

async fn show(State(app): State<Arc<App>>) -> Response {
    match app.metrics.text(&app) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// Serves `/metrics`, and nothing else, until `stop` resolves.
pub async fn serve(listener: tokio::net::TcpListener, app: Arc<App>, stop: impl Future<Output = ()>) {
    let router = Router::new().route("/metrics", get(show)).with_state(app);
    let terms = Terms { connections: METRICS_CONNECTIONS, ..Terms::default() };
    server::serve(listener, router, terms, stop).await;
}
