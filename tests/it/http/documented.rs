//! Every answer of these tests is documented: its path, method, status, content type, and the code of a problem.

use std::sync::LazyLock;

use serde_json::Value;
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
        assert_eq!((*status, code().as_str()), (404, "path_unknown"), "{method} {path}");
        return;
    };
    let operation = &operations[method.to_lowercase()];
    if operation.is_null() {
        assert_eq!((*status, code().as_str()), (405, "method_not_allowed"), "{method} {path}");
        return;
    }
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let media = &operation["responses"][status.to_string()]["content"][kind];
    assert!(!media.is_null(), "{method} {path} answers {status} {kind}, which is not documented");
    if kind == "application/problem+json" {
        let code = code();
        assert!(
            !media["examples"][&code].is_null(),
            "{method} {path} answers {code}, which is not documented"
        );
    } else if kind == "application/json" {
        has_the_members(&media["schema"], &answer.json(), &format!("{method} {path} {status}"));
    }
}

/// The documented path that a path is of: one with fewer ids goes first, as the router has it.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let of = |template: &str| {
        if let Some(rest) = path.strip_prefix("/log/tile/").filter(|_| template == "/log/tile/{path}") {
            return !rest.is_empty();
        }
        let (parts, known): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        let same =
            |(part, known): (&&str, &&str)| known.starts_with('{') && !part.is_empty() || part == known;
        parts.len() == known.len() && parts.iter().zip(&known).all(same)
    };
    let templates = DOCUMENT["paths"].as_object().unwrap().keys().map(String::as_str);
    templates.filter(|template| of(template)).min_by_key(|template| template.matches('{').count())
}

/// The answer's members are those of the schema: none that must be there is absent, and none is there that is not known.
#[track_caller]
fn has_the_members(schema: &Value, value: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(members.contains_key(name.as_str().unwrap()), "{place} has no {name}");
        }
        for (name, value) in members {
            let known = &schema["properties"][name];
            assert!(!known.is_null() || schema["additionalProperties"] != false, "{place} has {name}");
            has_the_members(known, value, &format!("{place}.{name}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        has_the_members(&schema["items"], item, &format!("{place}[]"));
    }
}

async fn the_description_is_served_and_needs_nothing_else(place: &Place) {
    let service = Service::on_new_book(place).await;
    assert_eq!(service.get("/openapi.json").await.expect(200), *DOCUMENT);
    let page = service.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    service.close().await;
}
