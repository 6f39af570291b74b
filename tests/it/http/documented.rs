//! Every answer of these tests is documented: its path, method, status, content type, and the code of a problem.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};
use social_wallet::http::openapi;

use super::{Answer, Service, in_both_rooms};
use crate::store::Place;

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

in_both_rooms! {
    the_description_is_served_and_needs_nothing_else,
}

/// Holds an answer to the document.
#[track_caller]
pub fn is_documented(answer: &Answer) {
    let Answer { method, path, status, .. } = answer;
    let code = || answer.json()["code"].as_str().unwrap_or_default().to_owned();
    let Some(operations) = template(path).map(|template| &DOCUMENT["paths"][template]) else {
        let told = (*status, code());
        assert_eq!(told, (404, "path_unknown".to_owned()), "{method} {path}");
        return;
    };
    let operation = &operations[method.to_lowercase()];
    if operation.is_null() {
        let told = (*status, code());
        assert_eq!(told, (405, "method_not_allowed".to_owned()), "{method} {path}");
        return;
    }
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let media = &operation["responses"][status.to_string()]["content"][kind];
    assert!(!media.is_null(), "{method} {path} answers {status} {kind}, which is not documented");
    let place = format!("{method} {path} {status}");
    if kind == "application/problem+json" {
        let code = code();
        assert!(!media["examples"][&code].is_null(), "{place} {code} is not documented");
    }
    if kind.ends_with("json") {
        conforms(&media["schema"], &answer.json(), &place);
    }
    for (name, _) in &answer.headers {
        let known = &operation["responses"][status.to_string()]["headers"];
        let known = known.as_object().unwrap().keys().any(|known| known.eq_ignore_ascii_case(name));
        assert!(
            known || HTTP.contains(&name.as_str()),
            "{place} has the header {name}, which is not documented"
        );
    }
    let again = matches!(status, 202 | 429 | 503);
    assert_eq!(again, answer.header("retry-after").is_some(), "{place}: when to come again");
    // What was taken is documented too, lest the description forbid what the service allows.
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    // An order that can be named is decided whatever else is wrong with it, and that is said of it.
    let malformed = *status == 201 && answer.json()["kind"] == "order_malformed";
    if *status < 300 && !body.is_null() && !answer.sent.is_empty() && !malformed {
        conforms(body, &serde_json::from_str(&answer.sent).unwrap(), &format!("{place}: the request"));
    }
}

/// Headers that HTTP explains.
const HTTP: [&str; 7] = [
    "content-type",
    "content-length",
    "date",
    "cache-control",
    "connection",
    "content-security-policy",
    "x-content-type-options",
];

/// The documented path that a path is of: one with fewer ids goes first, as the router has it.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let of = |template: &str| {
        if let Some(rest) = path.strip_prefix("/log/tile/") {
            let bundle = rest.strip_prefix("entries/");
            return match template {
                "/log/tile/{path}" => bundle.is_none() && !rest.is_empty(),
                "/log/tile/entries/{path}" => bundle.is_some_and(|rest| !rest.is_empty()),
                _ => false,
            };
        }
        let (parts, known): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        let same =
            |(part, known): (&&str, &&str)| known.starts_with('{') && !part.is_empty() || part == known;
        parts.len() == known.len() && parts.iter().zip(&known).all(same)
    };
    let templates = DOCUMENT["paths"].as_object().unwrap().keys().map(String::as_str);
    templates.filter(|template| of(template)).min_by_key(|template| template.matches('{').count())
}

/// The value is one of the schema's.
#[track_caller]
fn conforms(schema: &Value, value: &Value, place: &str) {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let validator = || {
        let mut schema = schema.clone();
        schema["components"] = json!({"schemas": DOCUMENT["components"]["schemas"]});
        Arc::new(jsonschema::options().should_validate_formats(true).build(&schema).unwrap())
    };
    let validator =
        Arc::clone(VALIDATORS.lock().unwrap().entry(schema.to_string()).or_insert_with(validator));
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{place} is not as documented: {faults:?} in {value}");
}

async fn the_description_is_served_and_needs_nothing_else(place: &Place) {
    let service = Service::on_new_book(place).await;
    assert_eq!(service.get("/openapi.json").await.expect(200), *DOCUMENT);
    let page = service.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    service.close().await;
}
