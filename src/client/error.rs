//! What can go wrong between a client and the service, said so that whoever reads it knows what to do.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::tls::TlsError;

/// Why a call brought no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service answered with a refusal or a failure of its own.
    #[error("{0}")]
    Problem(Box<ProblemDetails>),
    /// Nobody answered, for as long as the client was told to be patient.
    #[error(
        "no answer from {url} ({reason}). Start it with `social-wallet serve`, or name another with --server."
    )]
    Unreachable {
        /// The service's address.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// Somebody answered, but not in the way of `specs/http.md`.
    #[error("unexpected answer from {url}: {what}. Is this a social-wallet service of this version?")]
    Protocol {
        /// The service's address.
        url: String,
        /// What is wrong with the answer. Never its body, which may hold personal data.
        what: String,
    },
    /// The address is not one that a client can call.
    #[error(
        "`{0}` is no address of a service; give one like https://ledger.example.kz or http://127.0.0.1:8080 with --server."
    )]
    Address(String),
    /// There is nobody to trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The request is not one that can be sent.
    #[error("the request cannot be sent: {0}.")]
    Request(String),
}

impl ClientError {
    /// The code of a refusal, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// The HTTP status of a refusal, if it is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// Whether the service decided against the request, rather than being absent, full or broken.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status) && status != 429)
    }
}

/// A refusal in the form of RFC 9457.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ProblemDetails {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// What happened this time.
    pub detail: Option<String>,
    /// The field at fault.
    pub field: Option<String>,
    /// The journal entry that stands in the way.
    pub entry: Option<u64>,
    /// What to do about it.
    pub advice: Option<String>,
    /// By which the operator finds the failure in the log.
    pub trace: Option<String>,
    /// When to ask again, if the service said so.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl fmt::Display for ProblemDetails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A refusal without particulars has its advice in the place of a detail.
        let detail = self.detail.as_deref().filter(|detail| self.advice.as_deref() != Some(*detail));
        formatter.write_str(detail.unwrap_or(&self.title).trim_end_matches('.'))?;
        write!(formatter, " ({}", self.code)?;
        if let Some(field) = &self.field {
            write!(formatter, ", field {field}")?;
        }
        if let Some(entry) = self.entry {
            write!(formatter, ", entry {entry}")?;
        }
        if let Some(trace) = &self.trace {
            write!(formatter, ", trace {trace}")?;
        }
        formatter.write_str(").")?;
        match &self.advice {
            Some(advice) => write!(formatter, " {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_where_and_what_to_do() {
        let problem: ProblemDetails = serde_json::from_str(
            r#"{"type":"urn:social-wallet:problem:bank_reference_used","title":"Bank reference used","status":409,
                "code":"bank_reference_used","detail":"The reference has funded ASP.","field":"bank_reference",
                "entry":7,"advice":"Give the reference of the new payment.","final":false}"#,
        )
        .unwrap();
        assert_eq!(
            problem.to_string(),
            "The reference has funded ASP (bank_reference_used, field bank_reference, entry 7). \
             Give the reference of the new payment."
        );
        assert!(ClientError::Problem(Box::new(problem)).is_refusal());
    }

    #[test]
    fn advice_is_not_given_twice() {
        let advice = "Open the batch first, or correct its id.".to_owned();
        let title = "batch unknown".to_owned();
        let code = "batch_unknown".to_owned();
        let problem = ProblemDetails {
            code,
            title,
            detail: Some(advice.clone()),
            advice: Some(advice),
            ..ProblemDetails::default()
        };
        assert_eq!(
            problem.to_string(),
            "batch unknown (batch_unknown). Open the batch first, or correct its id."
        );
    }

    #[test]
    fn a_service_that_is_full_has_not_refused() {
        let full = ProblemDetails { status: 429, ..ProblemDetails::default() };
        assert!(!ClientError::Problem(Box::new(full)).is_refusal());
        let broken = ProblemDetails { status: 500, ..ProblemDetails::default() };
        assert!(!ClientError::Problem(Box::new(broken)).is_refusal());
    }
}
