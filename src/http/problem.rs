//! Refusals on the wire: RFC 9457 problem details with a stable code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::ledger::refusal::{Refusal, RefusalCode};
use crate::sequencer::command::CommandError;
use crate::store::StoreError;

/// A refusal on its way to the client. Says nothing of a person and nothing of the inside.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    retry_after: Option<u32>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Problem {
    /// A problem with a code and a sentence.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            members: Map::new(),
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn malformed(code: &'static str, field: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail).with("field", json!(field))
    }

    /// 404.
    #[must_use]
    pub fn unknown(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 500: the operator's log has the rest under the trace.
    #[must_use]
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        let trace = uuid::Uuid::new_v4().to_string();
        tracing::error!(%trace, %error, "internal error");
        let detail =
            "The service failed. Give the trace to its operator; the same request may be sent again.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).with("trace", json!(trace))
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
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// The status that goes with a rule's refusal.
#[must_use]
pub fn status_of(code: RefusalCode) -> StatusCode {
    use RefusalCode as Code;
    match code {
        Code::WalletUnknown
        | Code::BatchUnknown
        | Code::ClientUnknown
        | Code::KeyUnknown
        | Code::ApprovalUnknown => StatusCode::NOT_FOUND,
        Code::BatchNotYours
        | Code::BatchSelfRelease
        | Code::OperatorRequired
        | Code::ApprovalRequired
        | Code::ApprovalSelf => StatusCode::FORBIDDEN,
        Code::ProgrammeExists
        | Code::WalletExists
        | Code::BatchClosed
        | Code::BatchNotStarted
        | Code::BatchNotReleased
        | Code::BatchReleasedAlready
        | Code::ClientExists
        | Code::KeyExists
        | Code::KeyRevoked
        | Code::ClientStateUnchanged
        | Code::BookBootstrapped
        | Code::ApprovalEnded
        | Code::ApprovalExpired
        | Code::ClassUnchanged => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code;
        let detail = refusal.detail.clone().unwrap_or_else(|| code.advice().to_owned());
        let mut problem = Self::new(status_of(code), code.name(), detail)
            .with("advice", json!(code.advice()))
            .with("final", json!(false));
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
            CommandError::NonceUsed => Self::new(
                StatusCode::UNAUTHORIZED,
                "signature_nonce_used",
                "The nonce of this signature was used before: sign the request anew. Nothing was done now.",
            )
            .with("field", json!("nonce")),
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::Busy => busy(),
            CommandError::Unavailable(why) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", format!("The ledger cannot write now: {why}."))
                    .with("advice", json!("Send the same request again: what was carried out is answered again, and moves nothing twice."))
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
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "database_unavailable",
                    "The database does not answer.",
                )
                .retry_after(2)
            }
        }
    }
}

/// 503: as much is under way as the service takes.
#[must_use]
pub fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The service has as much to do as it takes.")
        .retry_after(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut members = self.members;
        members.insert("type".into(), json!(format!("urn:social-wallet:problem:{}", self.code)));
        members.insert("title".into(), json!(self.code.replace('_', " ")));
        members.insert("status".into(), json!(self.status.as_u16()));
        members.insert("code".into(), json!(self.code));
        members.insert("detail".into(), json!(self.detail));
        let mut response = (self.status, Json(Value::Object(members))).into_response();
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
