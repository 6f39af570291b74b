//! W3C trace context: every request has a trace id, the caller's if it sends a `traceparent`, else one of our own. It stands
//! in every line that the request logs, and in the answer of a 500.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use tracing::Instrument as _;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The header of W3C trace context, in requests and in answers.
pub const HEADER: &str = "traceparent";

/// The ids of a request: version 00 of W3C trace context. Neither is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    trace: u128,
    /// Ours, below the caller's.
    span: u64,
    flags: u8,
}

impl TraceContext {
    /// Goes on with the caller's trace, or begins one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut parents = headers.get_all(HEADER).iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(parent), None) => parent.to_str().ok().and_then(read),
            _ => None, // several are none, as the standard has it
        };
        let (trace, flags) = parent.unwrap_or_else(|| (rand::random::<u128>().max(1), 0));
        Self { trace, span: rand::random::<u64>().max(1), flags }
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The header's value that names our span.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags);
        HeaderValue::try_from(text).expect("hexadecimal digits and hyphens are visible ASCII")
    }
}

/// Reads a `traceparent`: the trace id and the flags that version 00 knows. A later version may say more behind them.
fn read(text: &str) -> Option<(u128, u8)> {
    let lower_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = (version.len(), trace.len(), parent.len(), flags.len()) == (2, 32, 16, 2);
    let whole = version != "00" || parts.next().is_none();
    if version == "ff" || !lengths || !whole || ![version, trace, parent, flags].into_iter().all(lower_hex) {
        return None;
    }
    let (trace, parent) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(parent, 16).ok()?);
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    (trace != 0 && parent != 0).then_some((trace, sampled))
}

/// The trace id of the request that is being answered; a new one outside of requests.
#[must_use]
pub fn current_id() -> String {
    let current = CURRENT.try_with(|context| *context);
    current.unwrap_or_else(|_| TraceContext::of(&HeaderMap::new())).trace_id()
}

/// Answers a request within its trace, and logs one line about it. The path is the router's: ids stay out.
pub async fn traced(path: &str, request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
    let context = TraceContext::of(request.headers());
    let span = tracing::info_span!("request", trace = context.trace_id(), method = %method(&request), path);
    let started = std::time::Instant::now();
    let answering = async {
        let response = answer(request).await;
        let milliseconds = started.elapsed().as_millis();
        tracing::debug!(status = response.status().as_u16(), milliseconds, "answered");
        response
    };
    let mut response = CURRENT.scope(context, answering.instrument(span)).await;
    response.headers_mut().insert(HEADER, context.header());
    response
}

/// A method of our table, or `other`: any text can be a method.
fn method(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::{Next, from_fn};
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;
    use crate::http::problem::Problem;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// What is logged, as lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_500_says_nothing_of_the_inside_and_the_log_has_it_under_the_trace_returned() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let failing = || async { Problem::internal(&"the inside") };
        let router =
            Router::new().route("/x/{id}", get(failing)).layer(from_fn(|request: Request, next: Next| {
                traced("/x/{id}", request, |request| next.run(request))
            }));
        let request =
            Request::builder().uri("/x/990101").header(HEADER, format!("00-{TRACE}-b7ad6b7169203331-01"));
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 500);
        let header = response.headers()[HEADER].to_str().unwrap().to_owned();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&body["code"], &body["trace"]), (&json!("internal_error"), &json!(TRACE)));
        assert!(header.contains(TRACE) && !body.to_string().contains("inside"), "{body}");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let logged: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [line] = &logged[..] else { panic!("{text}") };
        assert_eq!((&line["error"], &line["trace"]), (&json!("the inside"), &json!(TRACE)));
        let span = json!({"trace": TRACE, "method": "GET", "path": "/x/{id}", "name": "request"});
        assert_eq!(line["span"], span);
        assert!(!text.contains("990101"), "{text}");
    }

    fn with(values: &[&str]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of(&headers)
    }

    #[test]
    fn a_callers_trace_goes_on_under_a_span_of_our_own() {
        for (flags, kept) in [("00", "00"), ("01", "01"), ("ff", "01")] {
            let context = with(&[&format!("00-{TRACE}-b7ad6b7169203331-{flags}")]);
            assert_eq!(context.trace_id(), TRACE);
            let header = context.header().to_str().unwrap().to_owned();
            assert!(
                header.starts_with(&format!("00-{TRACE}-")) && header.ends_with(&format!("-{kept}")),
                "{header}"
            );
            assert!(!header.contains("b7ad6b7169203331") && read(&header).is_some());
        }
        let later = with(&[&format!("01-{TRACE}-b7ad6b7169203331-01-more")]);
        assert_eq!(later.trace_id(), TRACE);
    }

    #[test]
    fn what_is_not_a_traceparent_begins_a_trace() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let orphan = format!("00-{TRACE}-{}-01", "0".repeat(16));
        let (upper, more) = (good.to_uppercase(), format!("{good}-more"));
        let (forbidden, short) = (good.replacen("00", "ff", 1), &good[..good.len() - 1]);
        for bad in ["", "x", &zero, &orphan, &upper, &more, &forbidden, short] {
            let context = with(&[bad]);
            assert_ne!(context.trace_id(), TRACE, "{bad}");
            assert!(read(context.header().to_str().unwrap()).is_some());
        }
        assert_ne!(with(&[&good, &good]).trace_id(), TRACE, "two are none");
    }
}
