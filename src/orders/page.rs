//! The decision as a page to print: one file, which loads nothing and runs nothing, in Kazakh and Russian, or in one language.
//!
//! It carries the document that it shows (`proof`, base64 of the JSON without the debtor's opening), so that the page can be checked
//! like the JSON: whoever checks it writes it again from what it carries, and compares.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::words::{DECISION, Language, Words};

/// What is shown, in this order, where there is anything to show.
pub(super) const LABELS: [&str; 22] = [
    "outcome",
    "issuer",
    "number",
    "order_date",
    "order_kind",
    "debtor",
    "enforcement_document",
    "purpose",
    "asked",
    "taken",
    "held",
    "refused",
    "expires",
    "field",
    "lifted",
    "basis",
    "rules",
    "at",
    "entry",
    "leaf_hash",
    "receipt",
    "proof",
];

const HEAD: &str = "<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><style>\
@page{size:A4;margin:18mm}body{font:11pt/1.4 'Times New Roman',Tinos,serif;max-width:180mm;margin:1rem auto;padding:0 1rem;color:#000;background:#fff}\
h1{font-size:15pt;margin:.2rem 0}p{margin:.4rem 0}table{border-collapse:collapse;width:100%}\
th,td{border:.5pt solid #777;padding:1.2mm 2mm;text-align:left;vertical-align:top}th{width:36%;font-weight:400;color:#333}\
td{overflow-wrap:anywhere}#outcome{font-weight:700}pre{font:8pt/1.3 'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:0}\
tr{break-inside:avoid}#proof pre{font-size:6pt}@media print{tr.proof{display:none}body{margin:0;padding:0}}\
</style>";

/// The languages of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Languages {
    /// Kazakh and Russian, one under the other.
    Both,
    /// One.
    One(Language),
}

impl Languages {
    /// All pages that there are of one document.
    pub(super) const ALL: [Self; 4] =
        [Self::Both, Self::One(Language::Kazakh), Self::One(Language::Russian), Self::One(Language::English)];

    pub(super) fn list(self) -> Vec<Language> {
        match self {
            Self::Both => vec![Language::Kazakh, Language::Russian],
            Self::One(language) => vec![language],
        }
    }
}

/// The page of a document, as [`document`](super::document::document) makes one.
#[must_use]
pub fn page(document: &Value, languages: Languages) -> String {
    let list = languages.list();
    let first = list.first().map_or("kk", |language| language.as_str());
    let said = |words: &Words, between: &str| {
        let texts: Vec<String> = list.iter().map(|language| escaped(words.in_language(*language))).collect();
        texts.join(between)
    };
    let title = said(&DECISION.title, " / ");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{first}\"><head>{HEAD}<title>{title}</title></head>\n<body>\n"
    );
    line(&mut page, format_args!("<p>{}</p>\n<h1>{title}</h1>\n<table>", said(&DECISION.ledger, " / ")));
    for name in LABELS {
        let Some(cell) = cell(document, name, &list) else { continue };
        let label = said(DECISION.label(name), "<br>");
        let class = if name == "proof" { " class=\"proof\"" } else { "" };
        line(&mut page, format_args!("<tr{class}><th>{label}</th><td id=\"{name}\">{cell}</td></tr>"));
    }
    line(&mut page, format_args!("</table>\n<p>{}</p>\n</body></html>", said(&DECISION.check, "<br>")));
    page
}

fn line(page: &mut String, text: std::fmt::Arguments) {
    writeln!(page, "{text}").expect("writing to a string does not fail");
}

/// What a cell shows, as HTML; `None`: there is nothing to show.
pub(super) fn cell(document: &Value, name: &str, languages: &[Language]) -> Option<String> {
    let in_words = |words: &Value| {
        let texts = languages.iter().filter_map(|language| words[language.as_str()].as_str());
        let texts: Vec<String> = texts.map(escaped).collect();
        (!texts.is_empty()).then(|| texts.join("<br>"))
    };
    let plain = |value: &Value| match value {
        Value::String(text) => Some(escaped(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match name {
        "outcome" => in_words(&document["outcome_words"]),
        "order_kind" => in_words(&document["order_words"]),
        "issuer" => {
            let bin = plain(&document["issuer"]["bin"])?;
            Some(format!("{bin}<br>{}", in_words(&document["issuer"]["words"])?))
        }
        "debtor" => plain(&document["debtor"]).map(|digits| format!("•••• •••• {digits}")),
        "asked" | "taken" | "held" | "refused" => plain(&document[name]).map(|sum| format!("{sum} KZT")),
        "basis" => {
            let rows = document["basis"].as_array()?.iter();
            let mut rows: Vec<String> = rows.filter_map(|row| in_words(&row["legal_basis"])).collect();
            rows.dedup();
            rows.extend(in_words(&document["basis_words"]));
            (!rows.is_empty()).then(|| rows.join("<br>"))
        }
        "receipt" => plain(&document["proof"]["receipt"]).map(|text| format!("<pre>{text}</pre>")),
        "proof" => Some(format!("<pre>{}</pre>", carried(document))),
        name => plain(&document[name]),
    }
}

/// The document that a page carries, in lines that a printer takes.
fn carried(document: &Value) -> String {
    let mut document = document.clone();
    if let Some(openings) = document["proof"]["openings"].as_object_mut() {
        openings.remove("debtor");
    }
    let text = BASE64.encode(document.to_string());
    let mut lines = String::with_capacity(text.len() + text.len() / 100 + 1);
    for (at, letter) in text.char_indices() {
        if at > 0 && at.is_multiple_of(100) {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines
}

/// The document that a page carries; `None`: it carries none.
pub(super) fn carried_by(page: &str) -> Option<Vec<u8>> {
    let (_, after) = page.split_once("<td id=\"proof\"><pre>")?;
    let (text, _) = after.split_once("</pre>")?;
    BASE64.decode(text.replace('\n', "")).ok()
}

/// What a page shows in a cell.
pub(super) fn shown_by<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = page.split_once(&format!("<td id=\"{name}\">"))?;
    after.split_once("</td>").map(|(cell, _)| cell)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
