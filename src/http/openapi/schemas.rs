//! The schemas of bodies and parameters, each with an example.

mod orders;

use serde_json::{Map, Value, json};

use super::operations::LINE;
use crate::domain::{Issuer, Role};
use crate::http::batches::{DECLARED_MAX, LINES_MAX, VERDICTS_LIMIT_MAX};
use crate::http::events::WAIT_MAX;
use crate::http::statements::{ITEMS_MAX, MOVEMENTS_LIMIT_MAX};
use crate::http::transfers::{ANSWERS_MAX, QUEUE_LIMIT_MAX};
use crate::http::wallets::STATEMENT_LIMIT_MAX;
use crate::ledger::payment::{ConsentMethod, Limits};
use crate::orders::words::Language;
use crate::payroll::LineFaultCode;

const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
const PERIOD: &str = "^(once|2[01][0-9]{2}-(0[1-9]|1[0-2]))$";
const PROGRAMME: &str = "^[A-Z][A-Z0-9_]{0,15}$";
const CLIENT: &str = "^[a-z0-9][a-z0-9._-]{0,31}$";
const KEY: &str = "^[a-z0-9][a-z0-9._-]{0,31}:[0-9a-f]{16}$";
const NUMBER: &str = "^[0-9]{12}$";
const POSITIVE: &str = "^[0-9]{1,12}(\\.[0-9]{1,2})?$";

/// A number with the form and the check digit of a person's that is nobody's: no century has the digit 9.
const NOBODY: &str = "990101900001";
const BATCH: &str = "0f6d1c9e-6a2b-4c55-9d3e-5a7f1b2c3d4e";
const WALLET: &str = "5b2f0c5e-83a1-8b5d-a4f0-6c1d2e3f4a5b";
const HASH: &str = "b4f1c2f7a0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3";

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The schema and an example of an id in a path.
pub(super) fn path_id(path: &str, name: &str) -> (Value, Value) {
    match name {
        "code" => (json!({"type": "string", "pattern": PROGRAMME}), json!("ASP")),
        "entry" => (json!({"type": "integer", "minimum": 0}), json!(1041)),
        "first_line" => (json!({"type": "integer", "minimum": 1, "maximum": LINES_MAX}), json!(1)),
        "bic" => (
            json!({"type": "string", "pattern": "^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$"}),
            json!("CASPKZKA"),
        ),
        "id" if path.contains("clients") => (json!({"type": "string", "pattern": CLIENT}), json!("halyk")),
        "key" => (json!({"type": "string", "pattern": KEY}), json!("halyk:21fe31dfa154a261")),
        "path" => (json!({"type": "string", "minLength": 1}), json!("0/000")),
        _ => {
            let example = if path.contains("batches") { BATCH } else { WALLET };
            (json!({"type": "string", "format": "uuid", "pattern": UUID}), json!(example))
        }
    }
}

/// The schema of a parameter of this name.
pub(super) fn parameter(name: &str) -> Value {
    match name {
        "moment" => json!({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}],
            "description": "RFC 3339, or a business day like 2026-11-22"}),
        "count" => json!({"type": "integer", "minimum": 0}),
        "statement_limit" => json!({"type": "integer", "minimum": 1, "maximum": STATEMENT_LIMIT_MAX}),
        "verdicts_limit" => json!({"type": "integer", "minimum": 1, "maximum": VERDICTS_LIMIT_MAX}),
        "line" => json!({"type": "integer", "minimum": 0, "maximum": LINES_MAX}),
        "queue_state" => json!({"type": "string", "enum": ["open", "all"]}),
        "order_state" => json!({"type": "string", "enum": ["all", "standing"]}),
        "language" => json!({"type": "string", "enum": Language::ALL.map(Language::as_str)}),
        "queue_limit" => json!({"type": "integer", "minimum": 1, "maximum": QUEUE_LIMIT_MAX}),
        "date" => json!({"type": "string", "format": "date"}),
        "owed" => json!({"type": "string", "enum": ["clearing", "cash"]}),
        "statement_page" => json!({"type": "integer", "minimum": 1, "maximum": MOVEMENTS_LIMIT_MAX}),
        "wait" => json!({"type": "integer", "minimum": 0, "maximum": WAIT_MAX}),
        "cursor" => json!({"type": "string", "pattern": "^[0-9a-f]{8}$"}),
        "choice_cursor" => json!({"type": "string", "pattern": "^[0-9]{1,16}-[0-9]{1,9}$"}),
        "own" => json!({"type": "string", "enum": ["true", "false"]}),
        "idempotency_key" => json!({"type": "string", "pattern": "^[!#-\\[\\]-~]{1,64}$"}),
        other => panic!("no parameter schema {other}: a test makes the whole document"),
    }
}

/// An example of a schema of a body or a parameter.
pub(super) fn example(name: &str) -> Value {
    match name {
        "moment" | "date" => json!("2026-11-22"),
        "count" => json!(1041),
        "statement_limit" | "queue_limit" => json!(100),
        "verdicts_limit" | "statement_page" => json!(1000),
        "line" => json!(0),
        "queue_state" => json!("open"),
        "order_state" => json!("all"),
        "language" => json!("kk"),
        "owed" => json!("clearing"),
        "wait" => json!(30),
        "cursor" => json!("00000064"),
        "choice_cursor" => json!("1041-1"),
        "own" => json!("false"),
        "idempotency_key" => json!("8f14e45f-ceea-4a6b-9c1d-2f3a4b5c6d7e"),
        "Binary" => json!("\u{0}"),
        other => all()[other]["examples"][0].clone(),
    }
}

/// An object that has these members and no others; a name that ends in `?` may be absent.
fn object(members: &[(&str, Value)], example: Value) -> Value {
    let named = |name: &str| name.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> =
        members.iter().map(|(name, schema)| (named(name), schema.clone())).collect();
    let required: Vec<&str> =
        members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let mut schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    schema["examples"] = Value::Array(vec![example]);
    schema
}

fn list(items: Value) -> Value {
    let mut schema = json!({"type": "array"});
    schema["items"] = items;
    schema
}

fn nullable(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

/// A member that may be null, which is as if it were absent.
fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn text(max: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": max, "pattern": "^\\S([^\\x00-\\x1f\\x7f-\\x9f]*\\S)?$"})
}

fn chosen(names: &[&str]) -> Value {
    json!({"type": "string", "enum": names})
}

/// What a line may be refused by: what is wrong with it, or a rule.
fn line_codes() -> Vec<&'static str> {
    let faults = LineFaultCode::ALL.iter().map(|fault| fault.code());
    faults.chain(LINE.iter().map(|code| code.name())).collect()
}

/// All schemas of bodies, by name.
#[allow(clippy::too_many_lines)] // a table
pub(super) fn all() -> Map<String, Value> {
    let count = || json!({"type": "integer", "minimum": 0});
    let sum = || json!({"type": "string", "pattern": "^-?[0-9]+\\.[0-9]{2}$"});
    let amount = || json!({"type": "string", "pattern": POSITIVE, "description": "Above zero, at most 999999999999.99"});
    let kzt = || json!({"const": "KZT"});
    let time = || json!({"type": "string", "format": "date-time"});
    let time_or_null = || json!({"type": ["string", "null"], "format": "date-time"});
    let uuid = || json!({"type": "string", "format": "uuid", "pattern": UUID});
    let iin = || json!({"type": "string", "pattern": NUMBER, "description": "A person's number, with its check digit"});
    let bin = || json!({"type": "string", "pattern": NUMBER, "description": "A company's number, with its check digit"});
    let programme = || json!({"type": "string", "pattern": PROGRAMME});
    let period = || json!({"type": "string", "pattern": PERIOD});
    let part = || json!({"type": ["integer", "null"], "minimum": 1, "maximum": 999, "description": "1 if none is given"});
    let class = || chosen(&["protected", "general"]);
    let names = || {
        let of = || text(200);
        json!({"type": "object", "properties": {"kk": of(), "ru": of(), "en": of()}, "required": ["kk", "ru", "en"],
            "additionalProperties": false})
    };
    let digits = |count: u8| json!({"type": ["string", "null"], "pattern": format!("^[0-9]{{{count}}}$")});
    let purpose = || json!({"type": ["string", "null"], "pattern": "^[A-Z0-9]{4}$"});
    let plain = |members: &[(&str, Value)]| {
        let mut schema = object(members, Value::Null);
        schema.as_object_mut().map(|schema| schema.remove("examples"));
        schema
    };
    let lines_total = || plain(&[("lines", count()), ("total", sum())]);
    let proof = || list(json!({"type": "string", "contentEncoding": "base64"}));
    let hash = || json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let verdict = || {
        plain(&[
            ("line", count()),
            ("verdict", chosen(&["accepted", "already_accepted", "refused"])),
            ("entry?", nullable("integer")),
            ("code?", chosen(&line_codes())),
            ("field?", nullable("string")),
            ("final?", json!({"const": false})),
        ])
    };
    let advice = || {
        json!({"type": "object", "propertyNames": chosen(&line_codes()), "additionalProperties": {"type": "string"},
            "description": "What to do about the lines that were refused, by their code"})
    };
    let advice_example = json!({"iin_check_digit": crate::payroll::LineFaultCode::IinCheckDigit.advice()});
    let verdict_examples = json!([{"line": 1, "verdict": "accepted", "entry": 1042},
        {"line": 2, "verdict": "refused", "code": "iin_check_digit", "field": "iin", "entry": null, "final": false}]);
    let names_example = json!({"kk": "Атаулы көмек", "ru": "Адресная помощь", "en": "Targeted assistance"});
    let entry_example = json!({"entry": 1041, "kind": "accrual", "at": "2026-11-21T20:51:20.123Z", "date": "2026-11-22",
        "currency": "KZT", "programme": "ASP", "period": "2026-11", "part": 1, "class": "protected", "wallet": WALLET,
        "postings": [{"debit": "funding:ASP", "credit": format!("wallet:{WALLET}"), "amount": "12345.67"}],
        "leaf_hash": HASH, "receipt": "/v1/entries/1041/receipt"});
    let mut all = Map::new();
    let mut put = |name: &str, schema: Value| all.insert(name.to_owned(), schema);

    // What is sent.
    put(
        "NewProgramme",
        object(
            &[
                ("code", programme()),
                ("names", names()),
                ("payer", bin()),
                ("legal_basis", text(500)),
                ("class", class()),
                ("knp?", digits(3)),
                ("kbe?", digits(2)),
                ("iso_purpose?", purpose()),
            ],
            json!({"code": "ASP", "names": names_example, "payer": "940140000385", "legal_basis": "Social Code, art. 120",
                "class": "protected", "knp": "026", "kbe": "19", "iso_purpose": "SSBE"}),
        ),
    );
    put(
        "Funding",
        object(
            &[("amount", amount()), ("currency", kzt()), ("bank_reference", text(64))],
            json!({"amount": "1000000.00", "currency": "KZT", "bank_reference": "2026-11-22/000417"}),
        ),
    );
    put("Person", object(&[("iin", iin())], json!({"iin": NOBODY})));
    let benefit = [
        ("payer", bin()),
        ("iin", iin()),
        ("programme", programme()),
        ("period", period()),
        ("part?", part()),
    ];
    let mut accrual = benefit.to_vec();
    accrual.extend([("amount", amount()), ("currency", kzt())]);
    put(
        "Accrual",
        object(
            &accrual,
            json!({"payer": "940140000385", "iin": NOBODY, "programme": "ASP", "period": "2026-11", "part": 1,
                "amount": "12345.67", "currency": "KZT"}),
        ),
    );
    let mut reversal = benefit.to_vec();
    reversal.push(("reason", text(300)));
    put(
        "Reversal",
        object(
            &reversal,
            json!({"payer": "940140000385", "iin": NOBODY, "programme": "ASP", "period": "2026-11", "part": 1,
                "reason": "paid in error"}),
        ),
    );
    put(
        "BatchDeclaration",
        object(
            &[
                ("kind", chosen(&["accrual", "reversal", "wallet_opening"])),
                ("payer", bin()),
                (
                    "programmes?",
                    json!({"type": ["array", "null"], "items": programme(), "maxItems": DECLARED_MAX}),
                ),
                ("periods?", json!({"type": ["array", "null"], "items": period(), "maxItems": DECLARED_MAX})),
                ("lines", json!({"type": "integer", "minimum": 1, "maximum": LINES_MAX})),
                (
                    "total",
                    json!({"type": "string", "pattern": "^[0-9]{1,17}(\\.[0-9]{1,2})?$",
                    "description": "At most 10000000000000000.00"}),
                ),
                ("currency", kzt()),
                ("not_before?", time_or_null()),
                ("release_required?", nullable("boolean")),
                ("validate_only?", nullable("boolean")),
            ],
            json!({"kind": "accrual", "payer": "940140000385", "programmes": ["ASP"], "periods": ["2026-11"], "lines": 2,
                "total": "24691.34", "currency": "KZT"}),
        ),
    );
    put("Nothing", object(&[], json!({})));
    let client = || json!({"type": "string", "pattern": CLIENT});
    let role = || chosen(&Role::ALL.map(Role::as_str));
    let bic = || json!({"type": ["string", "null"], "pattern": "^[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?$"});
    let bin_or_null = || json!({"type": ["string", "null"], "pattern": NUMBER});
    let issuer = || {
        let names = Issuer::ALL.iter().map(|issuer| json!(issuer)).chain([Value::Null]);
        json!({"type": ["string", "null"], "enum": names.collect::<Vec<_>>()})
    };
    let public_key = || json!({"type": "string", "pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$", "description": "32 bytes in base64"});
    let key_id = || json!({"type": "string", "pattern": KEY});
    put(
        "NewClient",
        object(
            &[
                ("client", client()),
                ("role", role()),
                ("bin?", bin_or_null()),
                ("bic?", bic()),
                ("issuer?", issuer()),
            ],
            json!({"client": "halyk", "role": "bank", "bic": "HSBKKZKX"}),
        ),
    );
    let an_ed25519_key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    put("NewKey", object(&[("public_key", public_key())], json!({"public_key": an_ed25519_key})));
    put("WithReason", object(&[("reason", text(300))], json!({"reason": "under inquiry"})));
    put("Approving", object(&[("digest", hash()), ("iin?", or_null(iin()))], json!({"digest": HASH})));
    let proposal_example = json!({"kind": "fund", "programme": "ASP", "amount": "1000000.00", "currency": "KZT",
        "bank_reference": "2026-11-22/000417"});
    let mut proposal = json!({"oneOf": [
        plain(&[("kind", json!({"const": "register_client"})), ("client", client()), ("role", role()),
            ("bin?", bin_or_null()), ("bic?", bic()), ("issuer?", issuer())]),
        plain(&[("kind", json!({"const": "add_key"})), ("client", client()), ("public_key", public_key())]),
        plain(&[("kind", json!({"const": "change_class"})), ("programme", programme()), ("class", class())]),
        plain(&[("kind", json!({"const": "fund"})), ("programme", programme()), ("amount", amount()),
            ("currency", kzt()), ("bank_reference", text(64))]),
        plain(&[("kind", json!({"const": "set_limits"})), ("limits", reference("LimitsSet"))]),
        plain(&[("kind", json!({"const": "set_rules"})), ("rules", reference("RuleTable"))]),
        plain(&[("kind", json!({"const": "merge_wallets"})), ("wallet", uuid()), ("merged", uuid()), ("document", text(300))]),
        plain(&[("kind", json!({"const": "add_number"})), ("wallet", uuid()), ("iin", iin()), ("document", text(300))]),
    ]});
    proposal["examples"] = json!([proposal_example]);
    put("Proposal", proposal);
    let bank = || json!({"type": "string", "pattern": "^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$"});
    let consent = plain(&[
        ("method", chosen(&ConsentMethod::ALL.map(ConsentMethod::as_str))),
        ("evidence", hash()),
        ("at", time()),
    ]);
    let last_four = || json!({"type": "string", "pattern": "^[0-9A-Z]{4}$"});
    let card = plain(&[
        ("token", json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"})),
        ("last_four", json!({"type": "string", "pattern": "^[0-9]{4}$"})),
    ]);
    put(
        "NewAuthorisation",
        object(
            &[
                ("wallet", uuid()),
                ("for", chosen(&["transfer", "cash"])),
                ("bank?", or_null(bank())),
                ("card?", or_null(card)),
                ("iban?", json!({"type": ["string", "null"], "pattern": "^KZ[0-9]{5}[A-Z0-9]{13}$"})),
                ("amount", amount()),
                ("currency", kzt()),
                ("standing?", nullable("boolean")),
                ("expires", time()),
                ("consent", consent.clone()),
            ],
            json!({"wallet": WALLET, "for": "transfer", "bank": "CASPKZKA",
                "card": {"token": "tok-8f14e45f", "last_four": "4242"}, "amount": "50000.00", "currency": "KZT",
                "standing": false, "expires": "2026-11-23T20:51:20Z",
                "consent": {"method": "sms_code", "evidence": HASH, "at": "2026-11-22T20:50:00Z"}}),
        ),
    );
    let entry_number = || json!({"type": "integer", "minimum": 0});
    put(
        "NewChoice",
        object(
            &[
                ("programme?", json!({"type": ["string", "null"], "pattern": PROGRAMME})),
                ("destination", chosen(&["wallet", "transfer"])),
                ("authorisation?", json!({"type": ["integer", "null"], "minimum": 0})),
                ("consent", consent.clone()),
            ],
            json!({"programme": "ASP", "destination": "transfer", "authorisation": 1041,
                "consent": {"method": "sms_code", "evidence": HASH, "at": "2026-11-22T20:50:00Z"}}),
        ),
    );
    put(
        "NewNumber",
        object(
            &[("iin", iin()), ("document", text(300))],
            json!({"iin": NOBODY, "document": "civil registry 7-113 of 2026-11-20"}),
        ),
    );
    put(
        "Merging",
        object(
            &[("merged", uuid()), ("document", text(300))],
            json!({"merged": WALLET, "document": "civil registry 7-114 of 2026-11-20"}),
        ),
    );
    put(
        "NewTransfer",
        object(
            &[("authorisation", entry_number()), ("amount", amount()), ("currency", kzt())],
            json!({"authorisation": 1041, "amount": "20000.00", "currency": "KZT"}),
        ),
    );
    let answer = [
        ("answer", chosen(&["sent", "settled", "returned", "unknown"])),
        ("amount?", json!({"type": ["string", "null"], "pattern": POSITIVE})),
        ("reference?", or_null(text(64))),
        ("reason?", or_null(text(300))),
        ("document?", or_null(text(300))),
    ];
    put(
        "Answer",
        object(
            &answer,
            json!({"answer": "returned", "amount": "20000.00", "reference": "R-2026-000417", "reason": "card closed"}),
        ),
    );
    let mut of_one = vec![("transfer", entry_number())];
    of_one.extend(answer);
    let mut answers = list(plain(&of_one));
    answers["minItems"] = json!(1);
    answers["maxItems"] = json!(ANSWERS_MAX);
    put(
        "Answers",
        object(&[("answers", answers)], json!({"answers": [{"transfer": 1042, "answer": "settled"}]})),
    );
    put(
        "NewCash",
        object(
            &[
                ("authorisation", entry_number()),
                ("amount", amount()),
                ("currency", kzt()),
                ("minutes?", json!({"type": ["integer", "null"], "minimum": 15, "maximum": 60})),
            ],
            json!({"authorisation": 1041, "amount": "20000.00", "currency": "KZT", "minutes": 30}),
        ),
    );
    let cash_reference = || json!({"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{16}$"});
    put(
        "CashReference",
        object(&[("reference", cash_reference())], json!({"reference": "4X7K2M9QWD0PBR3T"})),
    );
    put(
        "Redemption",
        object(
            &[
                ("reference", cash_reference()),
                ("code", json!({"type": "string", "pattern": "^[0-9]{8}$"})),
                ("terminal", text(32)),
            ],
            json!({"reference": "4X7K2M9QWD0PBR3T", "code": "00000000", "terminal": "ATM-0042"}),
        ),
    );
    put(
        "CashOutcome",
        object(
            &[
                ("reference", cash_reference()),
                ("outcome", chosen(&["captured", "reversed", "unknown"])),
                ("document?", or_null(text(300))),
            ],
            json!({"reference": "4X7K2M9QWD0PBR3T", "outcome": "captured"}),
        ),
    );
    put(
        "Settlement",
        json!({
            "oneOf": [
                plain(&[
                    ("bank", bank()),
                    ("owed", chosen(&["clearing", "cash"])),
                    ("direction", chosen(&["paid", "received"])),
                    ("amount", amount()),
                    ("currency", kzt()),
                    ("bank_reference", text(64)),
                ]),
                orders::levy_settlement(amount(), text(64)),
            ],
            "examples": [{"bank": "CASPKZKA", "owed": "clearing", "direction": "paid", "amount": "20000.00", "currency": "KZT",
                "bank_reference": "NB-2026-11-22/7"}],
        }),
    );
    put(
        "WalletStateChange",
        object(
            &[
                ("state", chosen(&["blocked", "unblocked", "deceased", "closed", "reopened"])),
                ("document", text(300)),
                ("died?", json!({"type": ["string", "null"], "format": "date"})),
            ],
            json!({"state": "blocked", "document": "court order 7-114 of 2026-11-20"}),
        ),
    );
    let movement_kind = || {
        chosen(&[
            "transfer_settled",
            "transfer_returned",
            "cash_captured",
            "settlement_paid",
            "settlement_received",
        ])
    };
    let mut items = list(plain(&[("kind", movement_kind()), ("id", text(90)), ("amount", amount())]));
    items["maxItems"] = json!(ITEMS_MAX);
    let bound = |what: &str| {
        let mut bound = text(90);
        bound["type"] = json!(["string", "null"]);
        bound["description"] = json!(what);
        bound
    };
    put(
        "OwnStatement",
        object(
            &[
                ("date", json!({"type": "string", "format": "date"})),
                ("owed?", json!({"type": ["string", "null"], "enum": ["clearing", "cash", null]})),
                ("currency", kzt()),
                (
                    "from_id?",
                    bound(
                        "The part of the day that is compared: items whose id, byte by byte, is not before this",
                    ),
                ),
                ("before_id?", bound("… and is before this")),
                ("items", items),
            ],
            json!({"date": "2026-11-22", "owed": "clearing", "currency": "KZT",
                "items": [{"kind": "transfer_settled", "id": "1042", "amount": "20000.00"}]}),
        ),
    );
    let limits_example = json!(Limits::DEFAULT);
    let small = || json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    let money_limit = || json!({"type": "string", "pattern": "^[0-9]{1,17}(\\.[0-9]{1,2})?$"});
    put(
        "LimitsSet",
        object(
            &[
                ("wallet_day_amount", money_limit()),
                ("wallet_day_count", small()),
                ("channel_day_amount", money_limit()),
                ("channel_day_count", small()),
                ("channel_day_choices", small()),
                ("cash_amount", money_limit()),
                ("cash_day_amount", money_limit()),
                ("tries_terminal_day", small()),
                ("tries_bank_day", small()),
                ("tries_day", small()),
            ],
            limits_example.clone(),
        ),
    );
    put(
        "CsvLines",
        json!({"type": "string", "examples": [format!("iin,programme,period,part,amount,currency\n{NOBODY},ASP,2026-11,1,12345.67,KZT\n")]}),
    );
    put(
        "JsonLines",
        json!({"type": "string", "examples": [format!(
            "{{\"iin\":\"{NOBODY}\",\"programme\":\"ASP\",\"period\":\"2026-11\",\"part\":1,\"amount\":\"12345.67\",\"currency\":\"KZT\"}}\n"
        )]}),
    );

    // What is answered.
    let client_example = json!({"client": "halyk", "role": "bank", "bin": null, "bic": "HSBKKZKX", "issuer": null, "suspended": false,
        "entry": 7, "keys": [{"key": "halyk:21fe31dfa154a261", "public_key": an_ed25519_key, "added_by_entry": 8,
        "revoked_by_entry": null}]});
    put(
        "Client",
        object(
            &[
                ("client", client()),
                ("role", role()),
                ("bin", bin_or_null()),
                ("bic", bic()),
                ("issuer", issuer()),
                ("suspended", json!({"type": "boolean"})),
                ("entry", count()),
                (
                    "keys",
                    list(plain(&[
                        ("key", key_id()),
                        ("public_key", public_key()),
                        ("added_by_entry", count()),
                        ("revoked_by_entry", nullable("integer")),
                    ])),
                ),
            ],
            client_example.clone(),
        ),
    );
    put("Clients", object(&[("clients", list(reference("Client")))], json!({"clients": [client_example]})));
    let approval_example = json!({"approval": 21, "state": "open", "requested_by": "anna",
        "proposal": {"kind": "change_class", "programme": "ASP", "class": "general"}, "digest": HASH,
        "expires": "2026-11-25T20:51:20.123Z", "ended_by": null, "ended_by_entry": null});
    put(
        "Approval",
        object(
            &[
                ("approval", count()),
                ("state", chosen(&["open", "given", "refused", "withdrawn", "expired"])),
                ("requested_by", client()),
                ("proposal", json!({"type": "object", "required": ["kind"]})),
                ("digest", hash()),
                ("expires", time()),
                ("ended_by", nullable("string")),
                ("ended_by_entry", nullable("integer")),
            ],
            approval_example.clone(),
        ),
    );
    put(
        "Approvals",
        object(&[("approvals", list(reference("Approval")))], json!({"approvals": [approval_example]})),
    );
    let base64 = || json!({"type": "string", "contentEncoding": "base64"});
    put(
        "Evidence",
        object(
            &[
                ("first_entry", count()),
                ("entries", json!({"type": "integer", "minimum": 1})),
                ("key", key_id()),
                ("public_key", public_key()),
                ("signature_base", json!({"type": "string"})),
                ("signature", base64()),
                ("body", base64()),
            ],
            json!({"first_entry": 1041, "entries": 1, "key": "halyk:21fe31dfa154a261", "public_key": an_ed25519_key,
                "signature_base": "\"@method\": POST\n\"@target-uri\": …/v1/accruals\n…",
                "signature": "w3qQMHl8psJSnG7ZScvu7gCT0TD00viPamkOuWKkJ2lY6i9zibv4BF5wEvfg8O5DupSp7By2x41ewzrE/zP7DQ==",
                "body": "eyJhbW91bnQiOiIxLjAwIn0="}),
        ),
    );
    put(
        "Entry",
        json!({
            "type": "object",
            "description": "A journal entry with the members of its kind, as in the log",
            "properties": {
                "entry": count(), "kind": {"type": "string"}, "at": time(), "date": {"type": "string", "format": "date"},
                "leaf_hash": hash(), "receipt": {"type": "string"},
                "warning": {"type": "object", "description": "What to tell the holder: shielded money leaves its shield, or will. \
                    `amount` is absent where it is not known yet"},
            },
            "required": ["entry", "kind", "at", "date"],
            "examples": [entry_example],
        }),
    );
    let destination = || chosen(&["wallet", "transfer"]);
    let consented = json!({"type": ["object", "null"], "description": "How and when the holder was asked"});
    put(
        "Choices",
        object(
            &[
                ("wallet", uuid()),
                (
                    "current",
                    list(plain(&[
                        ("programme", nullable("string")),
                        ("destination", destination()),
                        ("authorisation", nullable("integer")),
                        ("entry", count()),
                    ])),
                ),
                (
                    "history",
                    list(plain(&[
                        ("entry", count()),
                        ("at", time()),
                        ("by", client()),
                        ("programme", nullable("string")),
                        ("destination", destination()),
                        ("authorisation", nullable("integer")),
                        ("consent", consented),
                        ("merged", nullable("string")),
                    ])),
                ),
                ("next", nullable("string")),
            ],
            json!({"wallet": WALLET,
                "current": [{"programme": "ASP", "destination": "transfer", "authorisation": 1041, "entry": 1042}],
                "history": [{"entry": 1042, "at": "2026-11-22T20:51:20.123Z", "by": "egov", "programme": "ASP",
                    "destination": "transfer", "authorisation": 1041,
                    "consent": {"method": "sms_code", "at": "2026-11-22T20:50:00.000Z"}, "merged": null}],
                "next": null}),
        ),
    );
    put(
        "Authorisation",
        object(
            &[
                ("authorisation", count()),
                ("wallet", uuid()),
                ("channel", client()),
                ("for", chosen(&["transfer", "cash"])),
                ("bank", bic()),
                ("form", nullable("string")),
                ("last_four", nullable("string")),
                ("ceiling", sum()),
                ("used", sum()),
                ("left", sum()),
                ("currency", kzt()),
                ("standing", json!({"type": "boolean"})),
                ("expires", time()),
                ("revoked", json!({"type": "boolean"})),
            ],
            json!({"authorisation": 1041, "wallet": WALLET, "channel": "egov", "for": "transfer", "bank": "CASPKZKA",
                "form": "card", "last_four": "4242", "ceiling": "50000.00", "used": "20000.00", "left": "0.00",
                "currency": "KZT", "standing": false, "expires": "2026-11-23T20:51:20.000Z", "revoked": false}),
        ),
    );
    let split = || {
        list(plain(&[
            ("programme", programme()),
            ("class", class()),
            ("amount", sum()),
            ("knp", digits(3)),
            ("iso_purpose", purpose()),
        ]))
    };
    let warning_shown = json!({"type": ["object", "null"], "description": "What to tell the holder: shielded money leaves its shield"});
    let transfer_example = json!({"transfer": 1042, "state": "sent", "wallet": WALLET, "authorisation": 1041,
        "channel": "egov", "bank": "CASPKZKA",
        "destination": {"form": "card", "last_four": "4242", "card_token": "tok-8f14e45f", "iban": null},
        "currency": "KZT", "amount": "20000.00", "held": "20000.00", "settled": "0.00", "returned": "0.00",
        "split": [{"programme": "ASP", "class": "protected", "amount": "20000.00", "knp": "026", "iso_purpose": "SSBE"}], "warning": null,
        "history": [{"entry": 1042, "at": "2026-11-22T20:51:20.123Z", "state": "requested", "reference": null}]});
    put(
        "Transfer",
        object(
            &[
                ("transfer", count()),
                ("state", chosen(&["requested", "sent", "unknown", "settled", "returned"])),
                ("wallet", uuid()),
                ("authorisation", count()),
                ("channel", client()),
                ("bank", bank()),
                (
                    "destination",
                    plain(&[
                        ("form", chosen(&["card", "iban"])),
                        ("last_four", last_four()),
                        ("card_token", nullable("string")),
                        ("iban", nullable("string")),
                    ]),
                ),
                ("currency", kzt()),
                ("amount", sum()),
                ("held", sum()),
                ("settled", sum()),
                ("returned", sum()),
                ("split", split()),
                ("warning", warning_shown),
                (
                    "history",
                    list(plain(&[
                        ("entry", count()),
                        ("at", time()),
                        ("state", json!({"type": "string"})),
                        ("reference", nullable("string")),
                    ])),
                ),
            ],
            transfer_example.clone(),
        ),
    );
    put(
        "Transfers",
        object(
            &[("transfers", list(reference("Transfer"))), ("next", nullable("integer"))],
            json!({"transfers": [transfer_example], "next": null}),
        ),
    );
    put(
        "AnswersTaken",
        object(
            &[(
                "answers",
                list(plain(&[
                    ("transfer", count()),
                    ("entry?", nullable("integer")),
                    ("replayed?", json!({"type": "boolean"})),
                    ("code?", json!({"type": "string"})),
                    ("field?", nullable("string")),
                    ("advice?", json!({"type": "string"})),
                    ("final?", json!({"const": false})),
                ])),
            )],
            json!({"answers": [{"transfer": 1042, "entry": 1050, "replayed": false}]}),
        ),
    );
    put(
        "Cash",
        object(
            &[
                ("cash", count()),
                ("state", chosen(&["created", "reserved", "unknown", "captured", "released"])),
                ("wallet", uuid()),
                ("authorisation", count()),
                ("channel", client()),
                ("reference", cash_reference()),
                ("currency", kzt()),
                ("amount", sum()),
                ("held", sum()),
                ("expires", time()),
                ("tries", count()),
                ("agent", bic()),
                (
                    "history",
                    list(plain(&[
                        ("entry", count()),
                        ("at", time()),
                        ("state", json!({"type": "string"})),
                        ("tries", count()),
                    ])),
                ),
            ],
            json!({"cash": 1043, "state": "created", "wallet": WALLET, "authorisation": 1041, "channel": "egov",
                "reference": "4X7K2M9QWD0PBR3T", "currency": "KZT", "amount": "20000.00", "held": "20000.00",
                "expires": "2026-11-22T21:21:20.123Z", "tries": 0, "agent": null,
                "history": [{"entry": 1043, "at": "2026-11-22T20:51:20.123Z", "state": "created", "tries": 0}]}),
        ),
    );
    let movement = || {
        plain(&[
            ("entry", count()),
            ("at", time()),
            ("kind", movement_kind()),
            ("id", json!({"type": "string"})),
            ("amount", sum()),
        ])
    };
    put(
        "BankStatement",
        object(
            &[
                ("bank", bank()),
                ("date", json!({"type": "string", "format": "date"})),
                ("owed", chosen(&["clearing", "cash"])),
                ("currency", kzt()),
                ("opening", sum()),
                ("movements", list(movement())),
                ("next", nullable("integer")),
                ("closing", sum()),
            ],
            json!({"bank": "CASPKZKA", "date": "2026-11-22", "owed": "clearing", "currency": "KZT", "opening": "0.00",
                "movements": [{"entry": 1050, "at": "2026-11-22T20:51:20.123Z", "kind": "transfer_settled", "id": "1042",
                "amount": "20000.00"}], "next": null, "closing": "20000.00"}),
        ),
    );
    put(
        "CsvBankStatement",
        json!({"type": "string", "examples": ["entry,at,kind,id,amount\n1050,2026-11-22T20:51:20.123Z,transfer_settled,1042,20000.00\n"]}),
    );
    put(
        "Differences",
        object(
            &[
                ("bank", bank()),
                ("date", json!({"type": "string", "format": "date"})),
                ("owed", chosen(&["clearing", "cash"])),
                ("currency", kzt()),
                ("compared", count()),
                ("agreed", count()),
                (
                    "differences",
                    list(plain(&[
                        ("difference", chosen(&["missing_here", "missing_at_bank", "amount", "repeated"])),
                        ("kind", movement_kind()),
                        ("id", json!({"type": "string"})),
                        ("here", nullable("string")),
                        ("at_bank", nullable("string")),
                        ("entry", nullable("integer")),
                    ])),
                ),
            ],
            json!({"bank": "CASPKZKA", "date": "2026-11-22", "owed": "clearing", "currency": "KZT", "compared": 1,
                "agreed": 0, "differences": [{"difference": "amount", "kind": "transfer_settled", "id": "1042",
                "here": "20000.00", "at_bank": "2000.00", "entry": 1050}]}),
        ),
    );
    let mut event_entry = entry_example.clone();
    event_entry["kind"] = json!("transfer_settled");
    put(
        "Events",
        object(
            &[
                (
                    "events",
                    list(plain(&[
                        ("specversion", json!({"const": "1.0"})),
                        ("id", json!({"type": "string", "pattern": "^[0-9]+$"})),
                        ("source", json!({"type": "string"})),
                        ("type", json!({"type": "string", "pattern": "^kz\\.social-wallet\\.[a-z_]+$"})),
                        ("time", time()),
                        ("datacontenttype", json!({"const": "application/json"})),
                        ("data", reference("Entry")),
                    ])),
                ),
                ("next", count()),
            ],
            json!({"events": [{"specversion": "1.0", "id": "1041",
                "source": "urn:social-wallet:book:6f1c2d3e-4b5a-4978-8c6d-7e8f9a0b1c2d",
                "type": "kz.social-wallet.transfer_settled", "time": "2026-11-21T20:51:20.123Z",
                "datacontenttype": "application/json", "data": event_entry}], "next": 1041}),
        ),
    );
    put(
        "Limits",
        object(
            &[("currency", kzt()), ("limits", reference("LimitsSet"))],
            json!({"currency": "KZT", "limits": limits_example}),
        ),
    );
    let programme_shown = plain(&[
        ("code", programme()),
        ("names", names()),
        ("payer", bin()),
        ("legal_basis", json!({"type": "string"})),
        ("class", class()),
        ("knp", digits(3)),
        ("kbe", digits(2)),
        ("iso_purpose", purpose()),
        ("entry", count()),
        ("currency", kzt()),
        ("funding", sum()),
        ("in_wallets", sum()),
    ]);
    let programme_example = json!({"code": "ASP", "names": names_example, "payer": "940140000385",
        "legal_basis": "Social Code, art. 120", "class": "protected", "knp": "026", "kbe": "19", "iso_purpose": "SSBE",
        "entry": 1, "currency": "KZT", "funding": "987654.33", "in_wallets": "12345.67"});
    let mut shown = programme_shown.clone();
    shown["examples"] = json!([programme_example]);
    put("Programme", shown);
    put(
        "Programmes",
        object(&[("programmes", list(reference("Programme")))], json!({"programmes": [programme_example]})),
    );
    put(
        "Wallet",
        object(
            &[
                ("wallet", uuid()),
                ("state", chosen(&["provisioned", "active", "blocked", "deceased", "closed"])),
                (
                    "frozen",
                    json!({"type": "boolean", "description": "Whether an authority's freeze lets nothing out of it"}),
                ),
                ("currency", kzt()),
                ("balance", sum()),
                ("held", sum()),
                ("available", sum()),
                ("version", count()),
                ("at", time_or_null()),
                (
                    "by_programme",
                    list(plain(&[
                        ("programme", programme()),
                        ("class", class()),
                        ("amount", sum()),
                        ("held", sum()),
                    ])),
                ),
            ],
            json!({"wallet": WALLET, "state": "provisioned", "frozen": false, "currency": "KZT", "balance": "12345.67",
                "held": "0.00", "available": "12345.67", "version": 1, "at": null,
                "by_programme": [{"programme": "ASP", "class": "protected", "amount": "12345.67", "held": "0.00"}]}),
        ),
    );
    put(
        "WalletFound",
        json!({"oneOf": [reference("Wallet"), reference("WalletId")], "examples": [{"wallet": WALLET}]}),
    );
    put("WalletId", object(&[("wallet", uuid())], json!({"wallet": WALLET})));
    put(
        "Statement",
        object(
            &[
                ("wallet", uuid()),
                ("currency", kzt()),
                ("opening_balance", sum()),
                (
                    "entries",
                    list(plain(&[
                        ("version", count()),
                        ("entry", count()),
                        ("at", time()),
                        (
                            "kind",
                            chosen(&[
                                "accrual",
                                "reversal",
                                "pay_out",
                                "return",
                                "hold",
                                "release",
                                "state",
                                "levy",
                                "arrest",
                                "choice",
                                "moved_in",
                                "moved_out",
                            ]),
                        ),
                        ("amount", sum()),
                        ("balance", sum()),
                        ("programme", nullable("string")),
                        ("period", nullable("string")),
                        ("part", nullable("integer")),
                        ("refers", nullable("integer")),
                    ])),
                ),
                ("closing_balance", sum()),
                ("next", nullable("string")),
            ],
            json!({"wallet": WALLET, "currency": "KZT", "opening_balance": "0.00", "entries": [{"version": 1, "entry": 1041,
                "at": "2026-11-21T20:51:20.123Z", "kind": "accrual", "amount": "12345.67", "balance": "12345.67",
                "programme": "ASP", "period": "2026-11", "part": 1, "refers": null}], "closing_balance": "12345.67",
                "next": null}),
        ),
    );
    put(
        "Batch",
        object(
            &[
                ("batch", uuid()),
                ("kind", chosen(&["accrual", "reversal", "wallet_opening"])),
                ("state", chosen(&["awaiting_release", "open", "incomplete", "completed", "cancelled"])),
                ("payer", bin()),
                ("programmes", list(programme())),
                ("periods", list(period())),
                ("currency", kzt()),
                ("declared", lines_total()),
                ("received", lines_total()),
                ("accepted", lines_total()),
                ("refused", plain(&[("lines", count())])),
                ("difference", lines_total()),
                ("missing", list(json!({"type": "array", "items": count(), "minItems": 2, "maxItems": 2}))),
                ("not_before", time_or_null()),
                ("release_required", json!({"type": "boolean"})),
                ("validate_only", json!({"type": "boolean"})),
                ("opened_by", json!({"type": "string"})),
                ("first_chunk_at", time_or_null()),
                ("last_chunk_at", time_or_null()),
                ("lines_per_s", nullable("number")),
            ],
            json!({"batch": BATCH, "kind": "accrual", "state": "open", "payer": "940140000385", "programmes": ["ASP"],
                "periods": ["2026-11"], "currency": "KZT", "declared": {"lines": 2, "total": "24691.34"},
                "received": {"lines": 1, "total": "12345.67"}, "accepted": {"lines": 1, "total": "12345.67"},
                "refused": {"lines": 0}, "difference": {"lines": 1, "total": "12345.67"}, "missing": [[2, 2]],
                "not_before": null, "release_required": false, "validate_only": false, "opened_by": "pipeline",
                "first_chunk_at": "2026-11-21T20:51:20.123Z", "last_chunk_at": "2026-11-21T20:51:20.123Z",
                "lines_per_s": null}),
        ),
    );
    put(
        "ChunkVerdicts",
        object(
            &[
                ("batch", uuid()),
                ("first_line", count()),
                ("lines", count()),
                ("entry", nullable("integer")),
                ("state", chosen(&["awaiting_release", "open", "incomplete", "completed", "cancelled"])),
                (
                    "counts",
                    plain(&[("accepted", count()), ("already_accepted", count()), ("refused", count())]),
                ),
                ("advice", advice()),
                ("verdicts", list(verdict())),
            ],
            json!({"batch": BATCH, "first_line": 1, "lines": 2, "entry": 1043, "state": "open",
                "counts": {"accepted": 1, "already_accepted": 0, "refused": 1},
                "advice": advice_example, "verdicts": verdict_examples}),
        ),
    );
    put(
        "Verdicts",
        object(
            &[
                ("batch", uuid()),
                ("advice", advice()),
                ("verdicts", list(verdict())),
                ("next_after_line", nullable("integer")),
            ],
            json!({"batch": BATCH, "advice": advice_example, "verdicts": verdict_examples, "next_after_line": null}),
        ),
    );
    put(
        "CsvVerdicts",
        json!({"type": "string", "examples": ["line,verdict,entry,code,field\n1,accepted,1042,,\n2,refused,,iin_check_digit,iin\n"]}),
    );
    put(
        "TrialBalance",
        object(
            &[
                ("at", time()),
                ("currency", kzt()),
                (
                    "accounts",
                    list(plain(&[
                        ("account", json!({"type": "string"})),
                        ("kind", json!({"type": "string"})),
                        ("debit", sum()),
                        ("credit", sum()),
                        ("as_of_entry", count()),
                    ])),
                ),
                ("total_debit", sum()),
                ("total_credit", sum()),
                ("balanced", json!({"type": "boolean"})),
            ],
            json!({"at": "2026-11-21T20:51:20.123Z", "currency": "KZT", "accounts": [
                {"account": "backing", "kind": "asset", "debit": "1000000.00", "credit": "0.00", "as_of_entry": 2},
                {"account": "funding:ASP", "kind": "liability", "debit": "0.00", "credit": "1000000.00", "as_of_entry": 2}],
                "total_debit": "1000000.00", "total_credit": "1000000.00", "balanced": true}),
        ),
    );
    put(
        "ProgrammesReport",
        object(
            &[
                ("at", time()),
                ("currency", kzt()),
                (
                    "programmes",
                    list(plain(&[
                        ("programme", programme()),
                        ("funded", sum()),
                        ("accrued", sum()),
                        ("reversed", sum()),
                        ("funding_left", sum()),
                        ("in_wallets", sum()),
                        ("paid_out", sum()),
                        ("returned", sum()),
                        ("ties", json!({"type": "boolean"})),
                    ])),
                ),
            ],
            json!({"at": "2026-11-21T20:51:20.123Z", "currency": "KZT", "programmes": [{"programme": "ASP",
                "funded": "1000000.00", "accrued": "12345.67", "reversed": "0.00", "funding_left": "987654.33",
                "in_wallets": "12345.67", "paid_out": "0.00", "returned": "0.00", "ties": true}]}),
        ),
    );
    put(
        "Book",
        object(
            &[
                ("book", uuid()),
                ("size", count()),
                ("wallets", count()),
                ("batches", count()),
                ("at", time()),
                ("store", json!({"type": "string"})),
            ],
            json!({"book": "6f1c2d3e-4b5a-4978-8c6d-7e8f9a0b1c2d", "size": 1042, "wallets": 517, "batches": 3,
                "at": "2026-11-21T20:51:20.123Z", "store": "sqlite"}),
        ),
    );
    put("Live", object(&[("status", json!({"const": "live"}))], json!({"status": "live"})));
    put(
        "Ready",
        object(
            &[
                ("status", json!({"const": "ready"})),
                ("queue_depth", count()),
                (
                    "log",
                    plain(&[
                        ("checkpoint", count()),
                        ("checkpoint_at", time_or_null()),
                        ("unsigned_entries", count()),
                    ]),
                ),
            ],
            json!({"status": "ready", "queue_depth": 0, "log": {"checkpoint": 1042,
                "checkpoint_at": "2026-11-21T20:51:20.423Z", "unsigned_entries": 0}}),
        ),
    );
    put(
        "InclusionProof",
        object(
            &[("entry", count()), ("size", count()), ("proof", proof())],
            json!({"entry": 0, "size": 2, "proof": ["tPHC96DJ2Of2pbTD0uHwqbjH1uX0o7LB0On4p7bF1OM="]}),
        ),
    );
    put(
        "ConsistencyProof",
        object(
            &[("old", count()), ("new", count()), ("proof", proof())],
            json!({"old": 1, "new": 2, "proof": ["tPHC96DJ2Of2pbTD0uHwqbjH1uX0o7LB0On4p7bF1OM="]}),
        ),
    );
    let note = "social-wallet.example/6f1c2d3e\n2\ntPHC96DJ2Of2pbTD0uHwqbjH1uX0o7LB0On4p7bF1OM=\n\n— social-wallet.example/6f1c2d3e Az3grl…\n";
    put(
        "Receipt",
        object(
            &[
                ("extra?", json!({"type": "string", "contentEncoding": "base64"})),
                ("index", count()),
                ("proof", proof()),
                ("checkpoint", json!({"type": "string"})),
            ],
            json!({"index": 0, "proof": ["tPHC96DJ2Of2pbTD0uHwqbjH1uX0o7LB0On4p7bF1OM="], "checkpoint": note}),
        ),
    );
    put(
        "ReceiptText",
        json!({"type": "string", "description": "C2SP tlog-proof",
            "examples": [format!("c2sp.org/tlog-proof@v1\nindex 0\ntPHC96DJ2Of2pbTD0uHwqbjH1uX0o7LB0On4p7bF1OM=\n\n{note}")]}),
    );
    put(
        "ReceiptPending",
        object(
            &[
                ("entry", count()),
                ("status", json!({"const": "pending"})),
                ("receipt", json!({"type": "string"})),
            ],
            json!({"entry": 1041, "status": "pending", "receipt": "/v1/entries/1041/receipt"}),
        ),
    );
    put("Checkpoint", json!({"type": "string", "description": "C2SP signed note", "examples": [note]}));
    put("Binary", json!({"type": "string", "contentMediaType": "application/octet-stream"}));
    put("Document", json!({"type": "object", "examples": [{"openapi": "3.1.0"}]}));
    put("Page", json!({"type": "string", "examples": ["<!doctype html>"]}));
    orders::put_all(|name, schema| drop(put(name, schema)));
    put(
        "Problem",
        json!({
            "type": "object",
            "description": "RFC 9457; see errors.md",
            "properties": {
                "type": {"type": "string", "pattern": "^urn:social-wallet:problem:[a-z_]+$"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "advice": {"type": "string"},
                "field": {"type": "string"},
                "entry": {"type": "integer"},
                "final": {"const": false},
                "trace": {"type": "string"},
                "limit": {"type": "integer"},
                "line": {"type": "integer"},
                "column": {"type": "integer"},
                "published": {"type": "integer"},
            },
            "required": ["type", "title", "status", "code", "detail", "advice"],
            "additionalProperties": true,
        }),
    );
    all
}
