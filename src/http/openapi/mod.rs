//! The interface's own description: `OpenAPI` 3.1, written from the table that the router is made of.
//!
//! The bodies are read member by member, so that a refusal can name the one at fault; there are no types to derive a schema
//! from. So the schemas stand in `schemas.rs`, and tests hold every answer of the integration tests to what is documented.

pub mod operations;
pub mod page;
mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::access::{self, Who};
use super::catalogue::{Code, Row};
use operations::{Answer, OPERATIONS, Operation, Place};

const TRACEPARENT: &str = "traceparent";
const RATE_POLICY: &str = "RateLimit-Policy";
const RATE: &str = "RateLimit";
const RETRY_AFTER: &str = "Retry-After";
const WWW_AUTHENTICATE: &str = "WWW-Authenticate";
const ACCEPT_SIGNATURE: &str = "Accept-Signature";

/// How requests are signed, in short.
const SIGNATURE: &str = "HTTP Message Signatures (RFC 9421) with Ed25519, and Content-Digest (RFC 9530), in the profile of http.md: \
    exactly one signature with the tag social-wallet-v1 over @method, @target-uri and those of content-digest, content-type and \
    idempotency-key that the request carries, with created, expires, nonce and keyid.";

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in OPERATIONS {
        paths
            .entry(operation.documented_path())
            .or_default()
            .insert(operation.method.to_owned(), described(operation));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Social wallet ledger",
            "version": "1",
            "summary": "Benefits in, shielded, and provable.",
            "description": "Amounts are strings with two decimals beside `\"currency\": \"KZT\"`. Times are RFC 3339 in UTC, dates are \
                business days in Asia/Almaty. A person's number stands in bodies of requests only. Every refusal is a problem \
                (RFC 9457) of the catalogue in `errors.md`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": operations::TAGS.iter().map(|(name, text)| json!({"name": name, "description": text})).collect::<Vec<_>>(),
        "paths": paths,
        "security": [{"signature": []}],
        "components": {"schemas": schemas::all(), "examples": problems(), "headers": headers(),
            "securitySchemes": {"signature": {"type": "http", "scheme": "signature", "description": SIGNATURE}}},
    })
}

/// The document as it is kept and served.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).expect("a JSON value is written without fail");
    text.push('\n');
    text
});

fn described(operation: &Operation) -> Value {
    let mut members = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": responses(operation),
    });
    match access::of(operation).who {
        Who::Everybody => members["security"] = json!([]),
        Who::Clients(roles) => members["x-roles"] = json!(roles),
    }
    if let Some(body) = &operation.body {
        let content: Map<String, Value> = body
            .kinds
            .iter()
            .map(|(kind, schema)| {
                (
                    (*kind).to_owned(),
                    json!({"schema": schemas::reference(schema), "example": schemas::example(schema)}),
                )
            })
            .collect();
        members["requestBody"] = json!({"required": body.required, "content": content});
    }
    members
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let ids = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let ids = ids.map(|name| {
        let name = name.trim_start_matches('*');
        let (schema, example) = schemas::path_id(operation.path, name);
        json!({"name": name, "in": "path", "required": true, "schema": schema, "example": example})
    });
    let others = operation.parameters.iter().map(|parameter| {
        let place = if parameter.place == Place::Query { "query" } else { "header" };
        json!({
            "name": parameter.name,
            "in": place,
            "required": parameter.required,
            "description": parameter.text,
            "schema": schemas::parameter(parameter.schema),
            "example": schemas::example(parameter.schema),
        })
    });
    ids.chain(others).collect()
}

fn responses(operation: &Operation) -> Map<String, Value> {
    let mut responses = Map::new();
    let limited = operation.is_signed();
    for Answer { status, text, kinds, headers } in operation.answers {
        let content: Map<String, Value> = kinds
            .iter()
            .map(|(kind, schema)| {
                (
                    (*kind).to_owned(),
                    json!({"schema": schemas::reference(schema), "example": schemas::example(schema)}),
                )
            })
            .collect();
        let own = headers.iter().map(|(name, text)| {
            ((*name).to_owned(), json!({"description": text, "schema": {"type": "string"}}))
        });
        let headers: Map<String, Value> = own.chain(common_headers(limited, *status)).collect();
        let response = json!({"description": text, "headers": headers, "content": content});
        responses.insert(status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in operation.codes() {
        by_status.entry(code.row().status).or_default().push(code);
    }
    for (status, codes) in by_status {
        let mut response = refusals(&codes);
        response["headers"] = Value::Object(common_headers(limited, status).collect());
        responses.insert(status.to_string(), response);
    }
    responses
}

/// Headers of many answers, by name.
fn headers() -> Map<String, Value> {
    let text = || json!({"type": "string"});
    [
        (TRACEPARENT, "W3C trace context: the request's trace", text()),
        (RATE_POLICY, "How many requests a client may send", text()),
        (RATE, "How many it still may, and in how many seconds there are more", text()),
        (
            RETRY_AFTER,
            "Seconds after which the same request may be sent again",
            json!({"type": "integer", "minimum": 1}),
        ),
        (WWW_AUTHENTICATE, "That the request must be signed", text()),
        (ACCEPT_SIGNATURE, "How (RFC 9421, section 5)", text()),
    ]
    .into_iter()
    .map(|(name, text, schema)| (name.to_owned(), json!({"description": text, "schema": schema})))
    .collect()
}

/// Those of them that an answer of this status has.
fn common_headers(limited: bool, status: u16) -> impl Iterator<Item = (String, Value)> {
    // A request that is not let in is no client's.
    let rate = [RATE_POLICY, RATE].into_iter().filter(move |_| limited);
    let challenge = [WWW_AUTHENTICATE, ACCEPT_SIGNATURE].into_iter().filter(move |_| status == 401);
    let again = [RETRY_AFTER].into_iter().filter(move |_| matches!(status, 202 | 429 | 503));
    let names = [TRACEPARENT].into_iter().chain(rate).chain(again).chain(challenge);
    names.map(|name| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})))
}

/// An example of each problem, by code.
fn problems() -> Map<String, Value> {
    let documented: BTreeSet<Code> = OPERATIONS.iter().flat_map(Operation::codes).collect();
    let example = |code: &Code| {
        let Row { name, status, title, meaning, advice, .. } = code.row();
        let problem = json!({
            "type": format!("urn:social-wallet:problem:{name}"),
            "title": title,
            "status": status,
            "code": name,
            "detail": meaning,
            "advice": advice,
        });
        (name.to_owned(), json!({"summary": meaning, "value": problem}))
    };
    documented.iter().map(example).collect()
}

/// The problems that one operation answers under one status.
fn refusals(codes: &[Code]) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
    let titles: Vec<&str> = codes.iter().map(|code| code.row().title).collect();
    let examples: Map<String, Value> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!({"$ref": format!("#/components/examples/{name}")})))
        .collect();
    json!({
        "description": titles.join("; "),
        "content": {"application/problem+json": {
            "schema": {
                "allOf": [schemas::reference("Problem")],
                "properties": {"code": {"enum": names}},
            },
            "examples": examples,
        }},
    })
}

/// `GET /openapi.json`.
pub async fn json() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT.as_str())
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/specs/openapi.json");
        crate::http::document_is_current(path, &DOCUMENT);
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document();
        let text = document.to_string();
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is used nowhere");
        }
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not there");
        }
    }

    #[test]
    fn what_a_request_need_not_have_may_be_null() {
        fn look(document: &Value, schema: &Value, place: &str) {
            if let Some(name) = schema["$ref"].as_str() {
                let name = name.trim_start_matches("#/components/schemas/");
                return look(document, &document["components"]["schemas"][name], place);
            }
            for part in
                ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema[name].as_array()).flatten()
            {
                look(document, part, place);
            }
            if schema["items"].is_object() {
                look(document, &schema["items"], place);
            }
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                let place = format!("{place}.{name}");
                let names =
                    |list: &str, one: &Value| member[list].as_array().is_some_and(|all| all.contains(one));
                let may_be_null = names("type", &json!("null")) || names("enum", &Value::Null);
                assert!(required.contains(&name.as_str()) || may_be_null, "{place}");
                look(document, member, &place);
            }
        }
        let document = document();
        let mut bodies = 0;
        for operation in OPERATIONS {
            for (_, media) in described(operation)["requestBody"]["content"].as_object().into_iter().flatten()
            {
                look(&document, &media["schema"], operation.id);
                bodies += 1;
            }
        }
        assert!(bodies > 20, "{bodies}");
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_examples() {
        let mut ids = BTreeSet::new();
        for operation in OPERATIONS {
            assert!(ids.insert(operation.id), "{}", operation.id);
            assert!(operations::TAGS.iter().any(|(name, _)| *name == operation.tag), "{}", operation.tag);
            let described = described(operation);
            for (status, response) in described["responses"].as_object().unwrap() {
                for (kind, media) in response["content"].as_object().unwrap() {
                    let shown = media.get("example").or(media.get("examples"));
                    assert!(shown.is_some_and(|it| !it.is_null()), "{} {status} {kind}", operation.id);
                }
            }
        }
    }

    #[test]
    fn every_example_is_of_its_schema() {
        let document = document();
        let conforms = |schema: &Value, example: &Value, place: &str| {
            let mut schema = schema.clone();
            schema["components"] = json!({"schemas": document["components"]["schemas"]});
            let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            let faults: Vec<String> = validator.iter_errors(example).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{place}: {faults:?}");
        };
        for (name, example) in document["components"]["examples"].as_object().unwrap() {
            conforms(&schemas::reference("Problem"), &example["value"], name);
        }
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let parameters = operation["parameters"].as_array().unwrap().iter();
                let responses = operation["responses"].as_object().unwrap().values();
                let bodies = responses.chain(operation.get("requestBody"));
                let bodies = bodies.flat_map(|body| body["content"].as_object().unwrap().values());
                for described in parameters.chain(bodies) {
                    if let Some(example) = described.get("example") {
                        conforms(&described["schema"], example, path);
                    }
                }
            }
        }
    }

    /// Codes that no request is answered with: the operator's commands and what is not a request yet are refused by them.
    #[test]
    fn every_code_is_documented_for_an_operation_or_a_verdict_or_of_none() {
        let operations = OPERATIONS.iter().flat_map(Operation::codes);
        let documented: BTreeSet<Code> = operations.chain(operations::LINE.iter().copied()).collect();
        let none: BTreeSet<Code> = [
            Code::MethodNotAllowed, // no operation: another method
            Code::PayOutNotFound,
            Code::OriginOutOfOrder,
            Code::LogKeyNotCurrent,
            Code::BookBootstrapped,
        ]
        .into();
        let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
        assert_eq!(all.difference(&documented).copied().collect::<BTreeSet<_>>(), none);
    }
}
