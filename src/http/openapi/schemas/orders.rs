//! The schemas of orders, decisions and the rules that they are made by.

use serde_json::{Map, Value, json};

use super::{
    HASH, NOBODY, NUMBER, PERIOD, POSITIVE, PROGRAMME, chosen, list, nullable, object, reference, text,
};
use crate::domain::{Issuer, OrderKind};
use crate::ledger::order::{MalformedField, Outcome, RULES_MAX, RuleTable};
use crate::orders::document::FORM;
use crate::orders::file::HEADER;

const CODES: [&str; 6] = [
    "malformed_line",
    "line_not_utf8",
    "line_too_long",
    "field_missing",
    "field_malformed",
    "order_conflict",
];

fn plain(members: &[(&str, Value)]) -> Value {
    let mut schema = object(members, Value::Null);
    schema.as_object_mut().map(|schema| schema.remove("examples"));
    schema
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn sum() -> Value {
    json!({"type": "string", "pattern": "^-?[0-9]+\\.[0-9]{2}$"})
}

fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    if let Some(names) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        names.push(Value::Null);
    }
    schema
}

fn date() -> Value {
    json!({"type": "string", "format": "date"})
}

fn issuer_kind() -> Value {
    chosen(&Issuer::ALL.map(Issuer::as_str))
}

fn kind() -> Value {
    chosen(&OrderKind::ALL.map(OrderKind::as_str))
}

fn outcome() -> Value {
    chosen(&Outcome::ALL.map(Outcome::as_str))
}

fn words() -> Value {
    let of = || json!({"type": "string", "minLength": 1});
    plain(&[("kk", of()), ("ru", of()), ("en", of())])
}

/// Puts them among the others.
pub(super) fn put_all(mut put: impl FnMut(&str, Value)) {
    put_sent(&mut put);
    put_told(&mut put);
    put_document(&mut put);
    put_rules(&mut put);
    put_report(&mut put);
}

fn put_sent(put: &mut impl FnMut(&str, Value)) {
    let document = || [("number", text(64)), ("date", date())];
    let order = json!({"number": "0427/2026", "date": "2026-11-20", "kind": "collection", "iin": NOBODY, "amount": "50000.00",
        "currency": "KZT", "enforcement_document": "Writ 2-1187/2026 of 2026-10-02", "purpose": "Debt under the writ"});
    let mut new = object(
        &[
            ("number", text(64)),
            ("date", date()),
            ("kind", kind()),
            ("iin", json!({"type": "string", "pattern": NUMBER})),
            ("amount?", json!({"type": ["string", "null"], "pattern": POSITIVE})),
            ("currency?", json!({"enum": ["KZT", null]})),
            ("enforcement_document", text(300)),
            ("purpose", text(500)),
            ("expires?", json!({"type": ["string", "null"], "format": "date-time"})),
            ("tax_debt?", or_null(plain(&[("type", text(32)), ("met_elsewhere?", nullable("boolean"))]))),
            (
                "overpaid?",
                or_null(plain(&[
                    ("programme", json!({"type": "string", "pattern": PROGRAMME})),
                    ("period", json!({"type": "string", "pattern": PERIOD})),
                    ("part?", json!({"type": ["integer", "null"], "minimum": 1, "maximum": 999})),
                ])),
            ),
            ("lifts?", or_null(plain(&document()))),
        ],
        order.clone(),
    );
    new["description"] = json!(
        "order-file.md says which kind needs what. An order whose number and date can be read is decided, \
        whatever else is wrong with it: as malformed"
    );
    put("NewOrder", new);
    let row = format!("0427/2026,2026-11-20,collection,{NOBODY},50000.00,KZT,Writ 2-1187/2026,Debt,,,,,,,,");
    let header = HEADER.replace(' ', "");
    put("CsvOrders", json!({"type": "string", "examples": [format!("{header}\n{row}\n")]}));
    put("JsonOrders", json!({"type": "string", "examples": [format!("{order}\n")]}));
}

fn put_told(put: &mut impl FnMut(&str, Value)) {
    let verdicts = json!([{"line": 1, "verdict": "decided", "entry": 1041, "outcome": "refused_protected", "taken": "0.00",
        "held": "0.00", "refused": "50000.00"},
        {"line": 2, "verdict": "refused", "entry": null, "code": "field_missing", "field": "number", "final": false}]);
    put(
        "OrderVerdicts",
        object(
            &[
                ("lines", count()),
                (
                    "counts",
                    plain(&[("decided", count()), ("already_decided", count()), ("refused", count())]),
                ),
                (
                    "advice",
                    json!({"type": "object", "additionalProperties": {"type": "string"},
                        "description": "What to do about the lines that were refused, by their code"}),
                ),
                (
                    "verdicts",
                    list(plain(&[
                        ("line", count()),
                        ("verdict", chosen(&["decided", "already_decided", "refused"])),
                        ("entry", nullable("integer")),
                        ("outcome?", outcome()),
                        ("taken?", sum()),
                        ("held?", sum()),
                        ("refused?", sum()),
                        // A rule may refuse a line for what no order can say: that its client is none any more, that a sum is too large.
                        ("code?", json!({"type": "string", "pattern": "^[a-z_]+$", "examples": CODES})),
                        ("field?", nullable("string")),
                        ("final?", json!({"const": false})),
                    ])),
                ),
            ],
            json!({"lines": 2, "counts": {"decided": 1, "already_decided": 0, "refused": 1},
                "advice": {"field_missing": crate::payroll::LineFaultCode::FieldMissing.advice()}, "verdicts": verdicts}),
        ),
    );
    put(
        "CsvOrderVerdicts",
        json!({"type": "string", "examples": ["line,verdict,entry,outcome,taken,held,refused,code,field\n\
            1,decided,1041,refused_protected,0.00,0.00,50000.00,,\n2,refused,,,,,,field_missing,number\n"]}),
    );
    let example = json!({"order": 1041, "state": "decided", "at": "2026-11-21T20:51:20.123Z", "issuer": "940140000385",
        "issuer_kind": "bailiff", "number": "0427/2026", "date": "2026-11-20", "kind": "collection", "debtor": "0001",
        "enforcement_document": "Writ 2-1187/2026 of 2026-10-02", "purpose": "Debt under the writ", "currency": "KZT",
        "asked": "50000.00", "taken": "0.00", "held": "0.00", "refused": "50000.00", "outcome": "refused_protected", "field": null,
        "expires": null, "rules": 1040, "lifted": null, "ended_by_entry": null, "document": "/v1/orders/1041/document"});
    put(
        "Order",
        object(
            &[
                ("order", count()),
                ("state", chosen(&["decided", "standing", "ended"])),
                ("at", json!({"type": "string", "format": "date-time"})),
                ("issuer", json!({"type": "string", "pattern": NUMBER})),
                ("issuer_kind", issuer_kind()),
                ("number", text(64)),
                ("date", date()),
                ("kind", or_null(kind())),
                ("debtor", json!({"type": ["string", "null"], "pattern": "^[0-9]{4}$"})),
                ("enforcement_document", nullable("string")),
                ("purpose", nullable("string")),
                ("currency", json!({"const": "KZT"})),
                ("asked", or_null(sum())),
                ("taken", or_null(sum())),
                ("held", or_null(sum())),
                ("refused", or_null(sum())),
                ("outcome", outcome()),
                ("field", or_null(chosen(&MalformedField::ALL.map(MalformedField::as_str)))),
                ("expires", json!({"type": ["string", "null"], "format": "date-time"})),
                ("rules", nullable("integer")),
                ("lifted", nullable("integer")),
                ("ended_by_entry", nullable("integer")),
                ("document", json!({"type": "string"})),
            ],
            example.clone(),
        ),
    );
    put(
        "Orders",
        object(
            &[("orders", list(reference("Order"))), ("next", nullable("integer"))],
            json!({"orders": [example], "next": null}),
        ),
    );
}

fn put_document(put: &mut impl FnMut(&str, Value)) {
    let said = json!({"kk": "Бас тартылды", "ru": "Отказано", "en": "Refused"});
    let bytes = || json!({"type": "string", "contentEncoding": "base64"});
    let digits = || json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let leaf = "eyJhY3RvciI6e319";
    let receipt = "c2sp.org/tlog-proof@v1\nindex 1041\n…";
    put(
        "DecisionDocument",
        object(
            &[
                ("document", json!({"const": FORM})),
                ("book", json!({"type": "string"})),
                ("entry", count()),
                ("at", json!({"type": "string", "format": "date-time"})),
                ("date", date()),
                ("leaf_hash", digits()),
                (
                    "issuer",
                    plain(&[
                        ("bin", json!({"type": "string", "pattern": NUMBER})),
                        ("kind", issuer_kind()),
                        ("words", words()),
                    ]),
                ),
                ("number", text(64)),
                ("order_date", date()),
                ("order_kind", or_null(kind())),
                ("order_words", or_null(words())),
                ("debtor", json!({"type": ["string", "null"], "pattern": "^[0-9]{4}$"})),
                ("enforcement_document", nullable("string")),
                ("purpose", nullable("string")),
                ("currency", json!({"const": "KZT"})),
                ("asked", or_null(sum())),
                ("taken", or_null(sum())),
                ("held", or_null(sum())),
                ("refused", or_null(sum())),
                ("expires", json!({"type": ["string", "null"], "format": "date-time"})),
                ("outcome", outcome()),
                ("outcome_words", words()),
                ("field", or_null(chosen(&MalformedField::ALL.map(MalformedField::as_str)))),
                ("lifted", nullable("integer")),
                ("rules", nullable("integer")),
                (
                    "basis",
                    list(plain(&[
                        ("row", count()),
                        ("class", chosen(&["protected", "general"])),
                        ("programme", nullable("string")),
                        ("effect", chosen(&["refuse", "allow"])),
                        ("cap_percent", nullable("integer")),
                        ("legal_basis", words()),
                    ])),
                ),
                ("basis_words", or_null(words())),
                (
                    "proof",
                    plain(&[
                        ("leaf", bytes()),
                        ("receipt", json!({"type": "string", "description": "C2SP tlog-proof"})),
                        ("rules?", plain(&[("leaf", bytes()), ("receipt", json!({"type": "string"}))])),
                        (
                            "openings",
                            plain(&[
                                ("order", digits()),
                                ("enforcement_document?", digits()),
                                ("purpose?", digits()),
                                ("debtor?", digits()),
                            ]),
                        ),
                    ]),
                ),
            ],
            json!({"document": FORM, "book": "6f1c2d3e-4b5a-4978-8c6d-7e8f9a0b1c2d", "entry": 1041, "at": "2026-11-21T20:51:20.123Z",
                "date": "2026-11-22", "leaf_hash": HASH, "issuer": {"bin": "940140000385", "kind": "bailiff", "words": said},
                "number": "0427/2026", "order_date": "2026-11-20", "order_kind": "collection", "order_words": said, "debtor": "0001",
                "enforcement_document": "Writ 2-1187/2026", "purpose": "Debt", "currency": "KZT", "asked": "50000.00", "taken": "0.00",
                "held": "0.00", "refused": "50000.00", "expires": null, "outcome": "refused_protected", "outcome_words": said,
                "field": null, "lifted": null, "rules": 1040, "basis": [{"row": 0, "class": "protected", "programme": null,
                "effect": "refuse", "cap_percent": null, "legal_basis": said}], "basis_words": null, "proof": {"leaf": leaf, "receipt": receipt,
                "rules": {"leaf": leaf, "receipt": receipt}, "openings": {"order": HASH, "enforcement_document": HASH,
                "purpose": HASH, "debtor": HASH}}}),
        ),
    );
    put(
        "DecisionPage",
        json!({"type": "string", "description": "One page that loads and runs nothing", "examples": ["<!doctype html>"]}),
    );
}

fn put_rules(put: &mut impl FnMut(&str, Value)) {
    let mut example = json!(RuleTable::shipped());
    if let Some(rows) = example["rules"].as_array_mut() {
        rows.truncate(1);
    }
    let name = || text(200);
    put(
        "RuleTable",
        object(
            &[
                ("mode", chosen(&["container", "mixed"])),
                ("competences", list(plain(&[("issuer", issuer_kind()), ("orders", list(kind()))]))),
                ("precedence", list(kind())),
                ("rules", {
                    let mut rows = list(plain(&[
                        ("order", kind()),
                        ("class", chosen(&["protected", "general"])),
                        ("programme?", json!({"type": ["string", "null"], "pattern": PROGRAMME})),
                        ("effect", chosen(&["refuse", "allow"])),
                        ("cap_percent?", json!({"type": ["integer", "null"], "minimum": 1, "maximum": 100})),
                        ("legal_basis", plain(&[("kk", name()), ("ru", name()), ("en", name())])),
                        ("valid_from", date()),
                        ("valid_to?", or_null(date())),
                    ]));
                    rows["maxItems"] = json!(RULES_MAX);
                    rows
                }),
            ],
            example.clone(),
        ),
    );
    put(
        "Rules",
        object(
            &[("entry", nullable("integer")), ("rules", reference("RuleTable"))],
            json!({"entry": 1040, "rules": example}),
        ),
    );
}

fn put_report(put: &mut impl FnMut(&str, Value)) {
    let mut not_reached = sum();
    not_reached["description"] = json!(
        "What orders that take or hold, recoveries aside, asked of wallets and got nothing of: it is protected, is held already, was \
         paid for the same debt before, or is not there"
    );
    put(
        "OrdersReport",
        object(
            &[
                ("from", date()),
                ("to", date()),
                ("currency", json!({"const": "KZT"})),
                (
                    "orders",
                    list(plain(&[
                        ("issuer", json!({"type": "string", "pattern": NUMBER})),
                        ("issuer_kind", issuer_kind()),
                        ("kind", or_null(kind())),
                        ("outcome", outcome()),
                        ("orders", count()),
                        ("asked", sum()),
                        ("taken", sum()),
                        ("held", sum()),
                        ("refused", sum()),
                    ])),
                ),
                (
                    "totals",
                    plain(&[
                        ("orders", count()),
                        ("asked", sum()),
                        ("taken", sum()),
                        ("held", sum()),
                        ("recovered", sum()),
                        ("not_reached", not_reached),
                    ]),
                ),
                (
                    "proof",
                    plain(&[
                        ("decisions_that_took", count()),
                        ("taken_from_protected", sum()),
                        ("taken_from_general", sum()),
                        ("credited_to_authorities", sum()),
                        ("ties", json!({"type": "boolean"})),
                    ]),
                ),
            ],
            json!({"from": "2026-11-01", "to": "2026-11-30", "currency": "KZT", "orders": [{"issuer": "940140000385",
                "issuer_kind": "bailiff", "kind": "collection", "outcome": "refused_protected", "orders": 12, "asked": "600000.00",
                "taken": "0.00", "held": "0.00", "refused": "600000.00"}], "totals": {"orders": 12, "asked": "600000.00",
                "taken": "0.00", "held": "0.00", "recovered": "0.00", "not_reached": "600000.00"}, "proof": {"decisions_that_took": 0,
                "taken_from_protected": "0.00", "taken_from_general": "0.00", "credited_to_authorities": "0.00", "ties": true}}),
        ),
    );
}

/// A settlement is with a bank, or of what was taken for an authority.
pub(super) fn levy_settlement(amount: Value, reference: Value) -> Map<String, Value> {
    let schema = plain(&[
        ("authority", json!({"type": "string", "pattern": NUMBER})),
        ("owed", json!({"const": "levy"})),
        ("direction", json!({"const": "paid"})),
        ("amount", amount),
        ("currency", json!({"const": "KZT"})),
        ("bank_reference", reference),
    ]);
    match schema {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
