//! Ids of the path and parameters of the query, whose faults are problems as any other.

use std::collections::HashMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::catalogue::Code;
use super::problem::Problem;

/// The ids of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is not UTF-8 names nothing.
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        found.map(|axum::extract::Path(ids)| Self(ids)).map_err(|_| Problem::of(Code::PathUnknown))
    }
}

/// The parameters of the query, none of them twice: two readers must not see two requests.
pub struct Query(pub HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed = || Problem::of(Code::ParameterMalformed);
        let axum::extract::Query(pairs) =
            axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state)
                .await
                .map_err(|_| malformed())?;
        let given = pairs.len();
        let parameters: HashMap<String, String> = pairs.into_iter().collect();
        // Bytes that are no UTF-8 would be read as others.
        let lossy =
            parameters.iter().any(|(name, value)| name.contains('\u{FFFD}') || value.contains('\u{FFFD}'));
        if parameters.len() < given || lossy {
            return Err(malformed());
        }
        Ok(Self(parameters))
    }
}
