//! `/docs`: the description for people. One page without scripts, which loads nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::operations::{OPERATIONS, Operation, TAGS};

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Social wallet ledger</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
summary{cursor:pointer}code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f4f4f4;color:#222;padding:.7rem;overflow:auto}\
details{border-bottom:1px solid #ccc;padding:.4rem 0}.method{display:inline-block;width:3.5rem;font-weight:700}\
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}\
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8cf}}\
</style></head><body><h1>Social wallet ledger</h1><p>For programs: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>";

/// `GET /docs`.
pub async fn show() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| page(&super::document()));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE.as_str()).into_response()
}

fn page(document: &Value) -> String {
    let mut page = String::from(HEAD);
    for (tag, text) in TAGS {
        write(&mut page, format_args!("<h2>{}</h2><p>{}</p>", escaped(tag), escaped(text)));
        for operation in OPERATIONS.iter().filter(|operation| operation.tag == *tag) {
            show_operation(&mut page, operation, document);
        }
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let (id, text) = (escaped(name), pretty(schema));
        write(
            &mut page,
            format_args!("<details id=\"{id}\"><summary>{id}</summary><pre>{text}</pre></details>"),
        );
    }
    page.push_str("</body></html>\n");
    page
}

fn show_operation(page: &mut String, operation: &Operation, document: &Value) {
    let described = &document["paths"][operation.documented_path()][operation.method];
    let Operation { id, method, summary, .. } = operation;
    let (path, method) = (escaped(&operation.documented_path()), method.to_uppercase());
    write(
        page,
        format_args!(
            "<details id=\"{id}\"><summary><span class=\"method\">{method}</span><code>{path}</code> {}</summary>",
            escaped(summary)
        ),
    );
    page.push_str("<table>");
    for parameter in described["parameters"].as_array().into_iter().flatten() {
        let required = if parameter["required"] == true { "required" } else { "optional" };
        let text = |name: &str| escaped(parameter[name].as_str().unwrap_or(""));
        let (name, place, explained) = (text("name"), text("in"), text("description"));
        write(page, format_args!("<tr><td><code>{name}</code><td>{place}<td>{required}<td>{explained}</tr>"));
    }
    page.push_str("</table>");
    let problems = &document["components"]["examples"];
    show_content(page, "Request", &described["requestBody"]["content"], problems);
    for (status, response) in described["responses"].as_object().into_iter().flatten() {
        let text = escaped(response["description"].as_str().unwrap_or(""));
        show_content(page, &format!("{status} {text}"), &response["content"], problems);
    }
    page.push_str("</details>");
}

/// Content types with their schemas and examples. The heading is HTML already.
fn show_content(page: &mut String, heading: &str, content: &Value, problems: &Value) {
    for (kind, media) in content.as_object().into_iter().flatten() {
        write(page, format_args!("<h4>{heading} <code>{}</code>", escaped(kind)));
        if let Some(name) = media["schema"]["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
            let name = escaped(name);
            write(page, format_args!(" <a href=\"#{name}\">{name}</a>"));
        }
        page.push_str("</h4>");
        if let Some(example) = media.get("example") {
            let text = example.as_str().map_or_else(|| pretty(example), escaped);
            write(page, format_args!("<pre>{text}</pre>"));
        }
        let codes = media["examples"].as_object();
        if codes.is_some() {
            page.push_str("<table>");
        }
        for code in codes.into_iter().flatten().map(|(code, _)| code) {
            let text = |name: &str| escaped(problems[code]["value"][name].as_str().unwrap_or(""));
            let (detail, advice) = (text("detail"), text("advice"));
            write(page, format_args!("<tr><td><code>{}</code><td>{detail} {advice}</tr>", escaped(code)));
        }
        if codes.is_some() {
            page.push_str("</table>");
        }
    }
}

fn write(page: &mut String, text: std::fmt::Arguments) {
    page.write_fmt(text).expect("writing to a string does not fail");
}

fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).expect("a JSON value is written without fail"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_loads_nothing() {
        let page = page(&super::super::document());
        for operation in OPERATIONS {
            assert!(page.contains(&format!("<details id=\"{}\">", operation.id)), "{}", operation.id);
        }
        for foreign in ["<script", "http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("&lt;L&gt;/&lt;N&gt;"), "texts are escaped");
    }
}
