//! Refusals on the wire: RFC 9457 problem details with a stable code.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::catalogue::{Code, Row};
use crate::ledger::refusal::Refusal;
use crate::sequencer::command::CommandError;
use crate::store::StoreError;

/// A refusal on its way to the client. Says nothing of a person and nothing of the inside.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    members: Map<String, Value>,
    retry_after: Option<u32>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Problem {
    /// A problem of the catalogue, with a sentence about this one.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), members: Map::new(), retry_after: None, headers: Vec::new() }
    }

    /// A problem about which there is no more to say than the catalogue says.
    #[must_use]
    pub fn of(code: Code) -> Self {
        Self::new(code, code.row().meaning)
    }

    /// A problem with a field: a member, a parameter or a header.
    #[must_use]
    pub fn malformed(code: Code, field: &str, detail: impl Into<String>) -> Self {
        Self::new(code, detail).with("field", json!(field))
    }

    /// 500: the operator's log has the rest under the trace.
    #[must_use]
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        let trace = super::trace::current_id();
        tracing::error!(%trace, %error, "internal error");
        let detail =
            "The service failed. Give the trace to its operator; the same request may be sent again.";
        Self::new(Code::InternalError, detail).with("trace", json!(trace))
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Says when to come again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds a field to the answer.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code;
        let detail = refusal.detail.clone().unwrap_or_else(|| code.advice().to_owned());
        let mut problem = Self::new(code.into(), detail).with("final", json!(false));
        if let Some(field) = refusal.field {
            problem = problem.with("field", json!(field));
        }
        if let Some(entry) = refusal.entry {
            problem = problem.with("entry", json!(entry));
        }
        problem
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NonceUsed => Self::of(Code::SignatureNonceUsed)
                .with("field", json!("nonce"))
                .header("www-authenticate", "Signature"),
            CommandError::KeyRevoked => Self::of(Code::SignatureKeyUnknown)
                .with("field", json!("keyid"))
                .header("www-authenticate", "Signature"),
            CommandError::ClientSuspended => Self::of(Code::ClientSuspended),
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::Busy => busy(),
            CommandError::Unavailable(why) => {
                Self::new(Code::LedgerUnavailable, format!("The ledger cannot write now: {why}."))
                    .retry_after(2)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        /// PostgreSQL's classes of connections, resources and an operator's intervention: it may be well in a moment.
        fn passes(error: &dyn sqlx::error::DatabaseError) -> bool {
            error.code().is_some_and(|code| ["08", "53", "57"].iter().any(|class| code.starts_with(class)))
        }
        match error {
            StoreError::Database(sqlx::Error::Database(ref inner)) if !passes(&**inner) => {
                Self::internal(&error)
            }
            StoreError::Inconsistent { .. } | StoreError::Schema(_) => Self::internal(&error),
            StoreError::Database(error) => {
                tracing::error!(%error, "the database does not answer");
                Self::of(Code::DatabaseUnavailable).retry_after(2)
            }
        }
    }
}

/// 503: as much is under way as the service takes.
#[must_use]
pub fn busy() -> Problem {
    Problem::new(Code::Busy, "The service has as much to do as it takes.").retry_after(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Row { name, title, advice, .. } = self.code.row();
        let status = self.code.status();
        let mut members = self.members;
        members.insert("type".into(), json!(format!("urn:social-wallet:problem:{name}")));
        members.insert("title".into(), json!(title));
        members.insert("status".into(), json!(status.as_u16()));
        members.insert("code".into(), json!(name));
        members.insert("detail".into(), json!(self.detail));
        members.insert("advice".into(), json!(advice));
        let mut response = (status, Json(Value::Object(members))).into_response();
        response.extensions_mut().insert(self.code); // to be counted
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
