//! Orders against wallets: `/v1/orders`, `/v1/rules`, `/v1/reports/orders`, what authorities are paid, and what holders are told.

use serde_json::{Value, json};
use social_wallet::ledger::order::RuleTable;
use social_wallet::orders::file::{HEADER, ORDERS_PER_FILE_MAX};
use social_wallet::payroll::CHUNK_BYTES_MAX;

use super::payments::{credit, end, furnished, get, post};
use super::signed::{send, send_changed, signed, signer};
use super::{Answer, PAYER, Service, fresh, iin, in_both_rooms, programme, with, without};
use crate::store::Place;

in_both_rooms!(
    an_order_is_decided_at_once_and_is_what_it_was,
    an_order_that_cannot_be_read_is_decided_as_malformed_and_binds_nothing,
    a_file_of_orders_has_a_verdict_a_line,
    a_file_is_read_within_its_limits,
    an_authority_sees_its_own_orders_and_no_other,
    in_mixed_mode_general_money_is_taken_and_held_and_nothing_protected,
    a_report_ties_over_more_decisions_than_are_looked_at_at_once,
    a_tax_debt_is_met_once,
    holders_are_told_through_every_channel_and_never_of_a_balance,
    rules_are_set_by_two_operators_and_never_reach_protected_money,
);

/// A collection of 50,000 tenge of somebody, by this document.
pub fn order(number: &str, person: u32) -> Value {
    json!({"number": number, "date": "2026-11-20", "kind": "collection", "iin": iin(person), "amount": "50000.00",
        "currency": "KZT", "enforcement_document": format!("Writ 2-1187 against {}", iin(person)),
        "purpose": format!("Debt of {}", iin(person))})
}

pub async fn decide(service: &Service, by: &str, body: &Value) -> Answer {
    post(service, by, "/v1/orders", body).await
}

/// What two operators agree on.
async fn agree(service: &Service, proposal: &Value) -> Answer {
    let asked = post(service, "operator", "/v1/approvals", proposal).await.expect(201);
    let path = format!("/v1/approvals/{}/approve", asked["entry"]);
    post(service, "operator-2", &path, &json!({"digest": asked["digest"]})).await
}

/// Registers an authority with a key.
pub async fn authority(service: &Service, name: &str, bin: &str, issuer: &str) {
    let client =
        json!({"kind": "register_client", "client": name, "role": "authority", "bin": bin, "issuer": issuer});
    agree(service, &client).await.expect(201);
    agree(service, &json!({"kind": "add_key", "client": name, "public_key": signer(name).public_key()}))
        .await
        .expect(201);
}

/// Lets programmes be general.
pub async fn mixed(service: &Service) {
    let table = with(json!(RuleTable::shipped()), "mode", json!("mixed"));
    agree(service, &json!({"kind": "set_rules", "rules": table})).await.expect(201);
}

/// Meets every refusal that orders and their rules can be answered with; leaves the book mixed.
pub async fn provoke(service: &Service) {
    decide(service, "authority", &order("1", 1)).await.expect(201);
    decide(service, "authority", &with(order("1", 1), "amount", json!("1.00"))).await;
    send(service, "authority", ("GET", "/v1/orders/999999", "")).await;
    let levy = json!({"owed": "levy", "authority": PAYER, "direction": "paid", "amount": "1.00", "currency": "KZT",
        "bank_reference": "LEVY"});
    post(service, "operator", "/v1/settlements", &levy).await;
    post(service, "operator", "/v1/programmes", &with(programme("WAGE"), "class", json!("general"))).await;
    let shipped = json!(RuleTable::shipped());
    let mut opened = shipped.clone();
    opened["rules"][0]["effect"] = json!("allow");
    for rules in [shipped, opened] {
        post(service, "operator", "/v1/approvals", &json!({"kind": "set_rules", "rules": rules})).await;
    }
    mixed(service).await;
}

/// Lets money be general: a programme WAGE, and 300 tenge of it on the wallet of person 1.
pub async fn with_general_money(service: &Service) {
    mixed(service).await;
    let wage = with(programme("WAGE"), "class", json!("general"));
    post(service, "operator", "/v1/programmes", &wage).await.expect(201);
    let funding = json!({"kind": "fund", "programme": "WAGE", "amount": "1000.00", "currency": "KZT", "bank_reference": fresh()});
    agree(service, &funding).await.expect(201);
    let accrual = with(super::accrual(1, "300.00"), "programme", json!("WAGE"));
    post(service, "payer", "/v1/accruals", &accrual).await.expect(201);
}

fn figures(decision: &Value) -> [&str; 4] {
    ["outcome", "taken", "held", "refused"].map(|name| decision[name].as_str().unwrap_or_default())
}

async fn an_order_is_decided_at_once_and_is_what_it_was(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let made = decide(&service, "authority", &order("7", 1)).await;
    let decision = made.expect(201);
    assert_eq!(made.header("idempotency-replayed"), None);
    assert_eq!(figures(&decision), ["refused_protected", "0.00", "0.00", "50000.00"]);
    assert_eq!((&decision["issuer"], &decision["issuer_kind"]), (&json!(PAYER), &json!("bailiff")));
    assert_eq!(decision["wallet"], json!(wallet));
    let entry = &decision["entry"];
    assert_eq!(decision["document"], format!("/v1/orders/{entry}/document"));

    let again = decide(&service, "authority", &order("7", 1)).await;
    assert_eq!((&again.expect(201)["entry"], again.header("idempotency-replayed")), (entry, Some("true")));
    for (field, other) in [
        ("kind", json!("alimony")),
        ("iin", json!(iin(2))),
        ("amount", json!("50000.01")),
        ("enforcement_document", json!("Writ 2-1188")),
        ("purpose", json!("another")),
    ] {
        let changed = decide(&service, "authority", &with(order("7", 1), field, other)).await;
        assert_eq!(&changed.refused(409, "order_conflict", Some(field))["entry"], entry);
    }
    let nobody = decide(&service, "authority", &order("8", 2)).await.expect(201);
    assert_eq!((&nobody["outcome"], nobody.get("wallet")), (&json!("no_wallet"), None));
    let other_kind = with(without(order("9", 1), "amount"), "kind", json!("suspension"));
    let unauthorised = decide(&service, "authority", &other_kind).await.expect(201);
    assert_eq!(unauthorised["outcome"], "unauthorised_issuer");
    // The debtor's number is in no leaf, though it stands in every text that was sent: `end` looks.
    let key = post(&service, "authority", "/v1/orders", &order("10", 1)).await;
    key.expect(201);
    let (mut headers, request) = signed(
        &service,
        "authority",
        ("POST", "/v1/orders", &order("11", 1).to_string()),
        &fresh(),
        &fresh(),
    );
    headers.remove("idempotency-key");
    assert_eq!(service.send(request.headers(headers)).await.status, 401, "every write is named");
    end(service).await;
}

async fn an_order_that_cannot_be_read_is_decided_as_malformed_and_binds_nothing(place: &Place) {
    let (service, _) = furnished(place).await;
    for (field, bad, told) in [
        ("kind", json!("seize"), "kind"),
        ("iin", json!("990101300000"), "iin"),
        ("amount", json!("0"), "amount"),
        ("currency", json!("USD"), "currency"),
        ("purpose", json!(""), "purpose"),
        ("issuer", json!(PAYER), "unknown"),
    ] {
        let answer = decide(&service, "authority", &with(order("7", 1), field, bad)).await.expect(201);
        assert_eq!((&answer["kind"], &answer["field"]), (&json!("order_malformed"), &json!(told)));
        let shown = get(&service, "authority", &format!("/v1/orders/{}", answer["entry"])).await;
        assert_eq!(
            (&shown["outcome"], &shown["number"], &shown["kind"]),
            (&json!("malformed"), &json!("7"), &Value::Null)
        );
    }
    // It can be read, and cannot be right: a collection has an amount.
    let answer = decide(&service, "authority", &without(order("7", 1), "amount")).await.expect(201);
    assert_eq!((&answer["outcome"], &answer["field"]), (&json!("malformed"), &json!("amount")));
    let shown = get(&service, "authority", &format!("/v1/orders/{}", answer["entry"])).await;
    assert_eq!((&shown["outcome"], &shown["field"]), (&json!("malformed"), &json!("amount")));
    assert_eq!(
        decide(&service, "authority", &order("7", 1)).await.expect(201)["outcome"],
        "refused_protected"
    );

    let size = service.size().await;
    for (field, bad, code) in [
        ("number", json!(null), "field_missing"),
        ("number", json!(7), "field_malformed"),
        ("date", json!(null), "field_missing"),
        ("date", json!("20.11.2026"), "field_malformed"),
    ] {
        decide(&service, "authority", &with(order("7", 1), field, bad)).await.refused(400, code, Some(field));
    }
    let twice = order("7", 1).to_string().replacen('{', "{\"number\":\"8\",", 1);
    send(&service, "authority", ("POST", "/v1/orders", &twice)).await.refused(400, "body_malformed", None);
    assert_eq!(service.size().await, size, "what has no name makes no entry");
    end(service).await;
}

fn row(number: &str, person: u32, amount: &str) -> String {
    format!(
        "{number},2026-11-20,collection,{},{amount},KZT,\"Writ, 2\",Debt of {},,,,,,,,\n",
        iin(person),
        iin(person)
    )
}

async fn a_file_of_orders_has_a_verdict_a_line(place: &Place) {
    let (service, _) = furnished(place).await;
    let first = decide(&service, "authority", &order("7", 1)).await.expect(201)["entry"].clone();
    let mut lines =
        [row("1", 1, "5.00"), row("2", 2, "5.00"), row("", 1, "5.00"), row("7", 1, "5.00")].concat();
    lines += &row("3", 1, "x");
    lines += &row("1", 1, "5.00");
    lines += "a,b\n";
    let file = format!("{HEADER}\n{lines}");
    let sent = send(&service, "authority", ("POST", "/v1/orders/file", &file)).await.expect(200);
    let told: Vec<String> = sent["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            [text("verdict"), text("outcome"), text("code"), text("field")].join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "decided refused_protected  ",
            "decided no_wallet  ",
            "refused  field_missing number",
            "refused  order_conflict kind",
            "decided malformed  amount",
            "already_decided refused_protected  ",
            "refused  malformed_line line",
        ]
        .map(|line| line.replace("order_conflict kind", "order_conflict amount"))
    );
    assert_eq!(sent["verdicts"][3]["entry"], first);
    assert_eq!(sent["verdicts"][5]["entry"], sent["verdicts"][0]["entry"]);
    assert_eq!(sent["counts"], json!({"decided": 3, "already_decided": 1, "refused": 3}));
    let codes: std::collections::BTreeSet<&str> =
        sent["verdicts"].as_array().unwrap().iter().filter_map(|line| line["code"].as_str()).collect();
    let advised: std::collections::BTreeSet<&str> =
        sent["advice"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(advised, codes, "what to do is said of every code");

    // Sent again, as CSV: each is what it was; what was malformed is read again, and told again.
    let again = send_changed(&service, "authority", ("POST", "/v1/orders/file", &file), |headers, _| {
        headers.insert("accept", "text/csv".parse().unwrap());
    })
    .await;
    assert_eq!(again.header("content-type"), Some("text/csv; charset=utf-8"));
    let rows: Vec<&str> = again.body.lines().collect();
    assert_eq!(rows[0], "line,verdict,entry,outcome,taken,held,refused,code,field");
    let entry = &sent["verdicts"][0]["entry"];
    assert_eq!(rows[1], format!("1,already_decided,{entry},refused_protected,0.00,0.00,5.00,,"));
    assert_eq!(rows[3], "3,refused,,,,,,field_missing,number");
    assert_eq!(rows[4], format!("4,refused,{first},,,,,order_conflict,amount"));
    assert!(rows[5].starts_with("5,decided,") && rows[5].ends_with(",malformed,,,,,amount"), "{}", rows[5]);
    assert_eq!(rows.len(), 8);

    // A file without any order that can be named writes nothing.
    let size = service.size().await;
    let nothing = format!("{HEADER}\na,b\n");
    let sent = send(&service, "authority", ("POST", "/v1/orders/file", &nothing)).await.expect(200);
    assert_eq!((&sent["counts"]["refused"], service.size().await), (&json!(1), size));
    end(service).await;
}

async fn a_file_is_read_within_its_limits(place: &Place) {
    let (service, _) = furnished(place).await;
    let post = async |body: &str| send(&service, "authority", ("POST", "/v1/orders/file", body)).await;
    for (lines, status) in [(ORDERS_PER_FILE_MAX, 200), (ORDERS_PER_FILE_MAX + 1, 413)] {
        let answer = post(&format!("{HEADER}\n{}", "x\n".repeat(lines))).await;
        assert_eq!(answer.status, status, "{lines}");
    }
    let mut large = format!("{HEADER}\n");
    large.push_str(&"x".repeat(CHUNK_BYTES_MAX - large.len()));
    post(&large).await.expect(200);
    post(&(large + "x")).await.refused(413, "chunk_too_large", None);
    post(HEADER).await.refused(400, "chunk_empty", None);
    post(&row("1", 1, "5.00")).await.refused(400, "chunk_header_unknown", None);
    for (by, status) in [("payer", 403), ("channel", 403), ("operator", 403), ("bank", 403)] {
        let answer = send(&service, by, ("POST", "/v1/orders/file", HEADER)).await;
        assert_eq!(answer.status, status, "{by}");
    }
    service.stop().await;
}

async fn an_authority_sees_its_own_orders_and_no_other(place: &Place) {
    let (service, _) = furnished(place).await;
    authority(&service, "collector", "961141000023", "creditor").await;
    let mut entries = Vec::new();
    for number in ["1", "2", "3"] {
        entries.push(
            decide(&service, "authority", &order(number, 1)).await.expect(201)["entry"].as_u64().unwrap(),
        );
    }
    let demand = with(order("1", 1), "kind", json!("payment_demand"));
    let theirs = decide(&service, "collector", &demand).await.expect(201);
    assert_eq!(theirs["outcome"], "refused_protected", "the number is another's, and another order");
    let shown = get(&service, "authority", &format!("/v1/orders/{}", entries[0])).await;
    for (name, value) in [
        ("state", "decided"),
        ("issuer", PAYER),
        ("issuer_kind", "bailiff"),
        ("number", "1"),
        ("date", "2026-11-20"),
        ("kind", "collection"),
        ("debtor", &iin(1)[8..]),
        ("asked", "50000.00"),
        ("taken", "0.00"),
        ("refused", "50000.00"),
        ("outcome", "refused_protected"),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    for by in ["auditor", "operator"] {
        assert_eq!(get(&service, by, &format!("/v1/orders/{}", entries[0])).await["number"], "1");
    }
    for path in ["", "/document"] {
        let path = format!("/v1/orders/{}{path}", entries[0]);
        for by in ["collector", "payer", "bank", "channel"] {
            send(&service, by, ("GET", &path, "")).await.refused(404, "order_unknown", None);
        }
        send(&service, "authority", ("GET", &path.replace(&entries[0].to_string(), "999999"), ""))
            .await
            .refused(404, "order_unknown", None);
        send(&service, "authority", ("GET", &path.replace(&entries[0].to_string(), "x"), "")).await.refused(
            404,
            "order_unknown",
            None,
        );
    }
    let listed = async |query: &str| {
        let page = get(&service, "authority", &format!("/v1/orders{query}")).await;
        let numbers: Vec<u64> =
            page["orders"].as_array().unwrap().iter().map(|it| it["order"].as_u64().unwrap()).collect();
        (numbers, page["next"].as_u64())
    };
    assert_eq!(listed("").await, (entries.clone(), None));
    assert_eq!(listed("?limit=2").await, (entries[..2].to_vec(), Some(entries[1])));
    assert_eq!(listed(&format!("?limit=2&after={}", entries[1])).await, (entries[2..].to_vec(), None));
    assert_eq!(listed("?state=standing").await, (Vec::new(), None));
    for (query, field) in
        [("?state=open", "state"), ("?limit=0", "limit"), ("?limit=1001", "limit"), ("?after=x", "after")]
    {
        send(&service, "authority", ("GET", &format!("/v1/orders{query}"), "")).await.refused(
            400,
            "field_malformed",
            Some(field),
        );
    }
    send(&service, "auditor", ("GET", "/v1/orders", "")).await.refused(403, "role_forbidden", None);
    end(service).await;
}

async fn in_mixed_mode_general_money_is_taken_and_held_and_nothing_protected(place: &Place) {
    let (service, wallet) = furnished(place).await;
    with_general_money(&service).await;
    let balance = async || {
        let shown = get(&service, "channel", &format!("/v1/wallets/{wallet}")).await;
        [shown["balance"].clone(), shown["held"].clone()]
    };
    let arrest = with(with(order("A", 1), "kind", json!("arrest")), "amount", json!("100.00"));
    let held = decide(&service, "authority", &arrest).await.expect(201);
    assert_eq!(figures(&held), ["held", "0.00", "100.00", "0.00"]);
    assert_eq!(balance().await, ["1300.00", "100.00"]);
    let standing = get(&service, "authority", "/v1/orders?state=standing").await;
    assert_eq!(standing["orders"][0]["order"], held["entry"]);

    let taken =
        decide(&service, "authority", &with(order("C", 1), "amount", json!("250.00"))).await.expect(201);
    assert_eq!(figures(&taken), ["partial", "200.00", "0.00", "50.00"]);
    assert_eq!(balance().await, ["1100.00", "100.00"]);

    let lift = json!({"number": "L", "date": "2026-11-21", "kind": "lift", "iin": iin(1), "enforcement_document": "Act 9",
        "purpose": "The debt is paid", "lifts": {"number": "A", "date": "2026-11-20"}});
    let lifted = decide(&service, "authority", &lift).await.expect(201);
    assert_eq!((&lifted["outcome"], &lifted["lifted"]), (&json!("executed"), &held["entry"]));
    assert_eq!(balance().await, ["1100.00", "0.00"]);
    let ended = get(&service, "authority", &format!("/v1/orders/{}", held["entry"])).await;
    assert_eq!((&ended["state"], &ended["ended_by_entry"]), (&json!("ended"), &lifted["entry"]));

    let all =
        decide(&service, "authority", &with(order("D", 1), "amount", json!("100.00"))).await.expect(201);
    assert_eq!(figures(&all), ["executed", "100.00", "0.00", "0.00"]);
    let none = decide(&service, "authority", &order("E", 1)).await.expect(201);
    assert_eq!(figures(&none), ["refused_protected", "0.00", "0.00", "50000.00"]);
    assert_eq!(balance().await, ["1000.00", "0.00"], "what is protected is untouched");

    // What was taken is paid to the authority, once, and no more than it.
    let pay = |amount: &str, reference: &str| {
        json!({"owed": "levy", "authority": PAYER, "direction": "paid", "amount": amount, "currency": "KZT",
            "bank_reference": reference})
    };
    let settle = async |body: &Value| post(&service, "operator", "/v1/settlements", body).await;
    settle(&pay("300.01", "R1")).await.refused(422, "levy_insufficient", Some("amount"));
    assert_eq!(settle(&pay("300.00", "R1")).await.expect(201)["kind"], "levy_settled");
    settle(&pay("1.00", "R1")).await.refused(422, "bank_reference_used", Some("bank_reference"));
    settle(&with(pay("1.00", "R2"), "direction", json!("received"))).await.refused(
        400,
        "field_malformed",
        Some("direction"),
    );
    settle(&with(pay("1.00", "R2"), "bank", json!("CASPKZKA"))).await.refused(400, "field_unknown", None);
    settle(&without(pay("1.00", "R2"), "authority")).await.refused(400, "field_missing", Some("authority"));

    let report = get(&service, "auditor", "/v1/reports/orders?from=2026-11-21&to=2026-11-21").await;
    assert_eq!(
        report["totals"],
        json!({"orders": 5, "asked": "50450.00", "taken": "300.00", "held": "100.00",
        "recovered": "0.00", "not_reached": "50050.00"})
    );
    assert_eq!(
        report["proof"],
        json!({"decisions_that_took": 2, "taken_from_protected": "0.00",
        "taken_from_general": "300.00", "credited_to_authorities": "300.00", "ties": true})
    );
    let outcomes: Vec<&str> =
        report["orders"].as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["held", "executed", "partial", "refused_protected", "executed"]);
    let before = get(&service, "operator", "/v1/reports/orders?from=2026-11-01&to=2026-11-20").await;
    assert_eq!((&before["totals"]["orders"], &before["proof"]["ties"]), (&json!(0), &json!(true)));
    for (query, code, field) in [
        ("?from=2026-11-21", "field_missing", "to"),
        ("?from=2026-11-22&to=2026-11-21", "field_malformed", "to"),
        ("?from=x&to=2026-11-21", "field_malformed", "from"),
    ] {
        send(&service, "auditor", ("GET", &format!("/v1/reports/orders{query}"), "")).await.refused(
            400,
            code,
            Some(field),
        );
    }
    send(&service, "authority", ("GET", "/v1/reports/orders?from=2026-11-21&to=2026-11-21", ""))
        .await
        .refused(403, "role_forbidden", None);
    end(service).await;
}

async fn a_report_ties_over_more_decisions_than_are_looked_at_at_once(place: &Place) {
    let (service, _) = furnished(place).await;
    with_general_money(&service).await;
    let mut sent = 0;
    // They are looked at a hundred at a time.
    for all in [99, 100, 101, 250] {
        let lines: String = (sent..all).map(|number| row(&number.to_string(), 1, "1.00")).collect();
        let file = format!("{HEADER}\n{lines}");
        let told = send(&service, "authority", ("POST", "/v1/orders/file", &file)).await.expect(200);
        assert_eq!(told["counts"]["decided"], all - sent);
        sent = all;
        let report = get(&service, "auditor", "/v1/reports/orders?from=2026-11-21&to=2026-11-21").await;
        let taken = format!("{all}.00");
        assert_eq!(
            report["proof"],
            json!({"decisions_that_took": all, "taken_from_protected": "0.00",
                "taken_from_general": taken, "credited_to_authorities": taken, "ties": true})
        );
    }
    end(service).await;
}

async fn a_tax_debt_is_met_once(place: &Place) {
    let (service, _) = furnished(place).await;
    with_general_money(&service).await;
    authority(&service, "tax", "961141000023", "tax_authority").await;
    let debt = |number: &str, elsewhere: bool| {
        let order = with(order(number, 1), "amount", json!("120.00"));
        with(order, "tax_debt", json!({"type": "101202", "met_elsewhere": elsewhere}))
    };
    let met = decide(&service, "tax", &debt("T1", false)).await.expect(201);
    assert_eq!(figures(&met), ["executed", "120.00", "0.00", "0.00"]);
    let again = decide(&service, "tax", &debt("T2", false)).await.expect(201);
    assert_eq!(figures(&again), ["returned_duplicate", "0.00", "0.00", "120.00"]);
    let other = with(debt("T3", true), "tax_debt", json!({"type": "101203", "met_elsewhere": true}));
    assert_eq!(decide(&service, "tax", &other).await.expect(201)["outcome"], "returned_duplicate");
    let missing = decide(&service, "tax", &order("T4", 1)).await.expect(201);
    assert_eq!((&missing["outcome"], &missing["field"]), (&json!("malformed"), &json!("tax_debt")));
    end(service).await;
}

async fn holders_are_told_through_every_channel_and_never_of_a_balance(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let decided = decide(&service, "authority", &order("0427/2026", 1)).await.expect(201);
    decide(&service, "authority", &order("8", 2)).await.expect(201); // no wallet: nobody to tell
    let freeze = json!({"number": "F", "date": "2026-11-20", "kind": "freeze", "iin": iin(1), "enforcement_document": "Act",
        "purpose": "Inquiry", "expires": "2026-12-01T00:00:00Z"});
    authority(&service, "police", "961141000023", "investigator").await;
    let frozen = decide(&service, "police", &freeze).await.expect(201);
    assert_eq!(figures(&frozen), ["held", "0.00", "0.00", "0.00"]);
    assert_eq!(frozen["rows"], json!([]), "what refuses protected money decides nothing here");
    for by in ["channel", "auditor", "operator"] {
        assert_eq!(get(&service, by, &format!("/v1/wallets/{wallet}")).await["frozen"], true, "{by}");
        let path = format!("/v1/wallets/{wallet}/balance?at=2026-11-01");
        assert_eq!(get(&service, by, &path).await["frozen"], false, "it was not then");
    }
    let told = get(&service, "channel", "/v1/events").await;
    let events: Vec<&Value> = told["events"].as_array().unwrap().iter().collect();
    assert_eq!(events.len(), 2, "{told}");
    assert_eq!(events[0]["type"], "kz.social-wallet.order_decided");
    assert_eq!(
        (&events[0]["id"], &events[0]["data"]["wallet"]),
        (&json!(decided["entry"].to_string()), &json!(wallet))
    );
    for (event, parts) in
        [(0, vec!["0427/2026", "2026-11-20", PAYER, "50000.00 KZT"]), (1, vec!["F", "961141000023"])]
    {
        for language in ["kk", "ru", "en"] {
            let text = events[event]["data"]["notice"][language].as_str().unwrap();
            let entry = events[event]["id"].as_str().unwrap();
            for part in parts.iter().chain([&entry]) {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(!text.contains("1000.00") && !text.contains('{'), "{text}");
        }
    }
    super::no_iin(&told.to_string());
    let text = events[0]["data"]["notice"]["en"].as_str().unwrap();
    assert!(
        text.starts_with(
            "bailiff (BIN 940140000385) demanded 50000.00 KZT from you by document No. 0427/2026"
        ),
        "{text}"
    );
    assert!(text.contains("article 58(2)(1)") && text.contains("Nothing was taken"), "{text}");
    let text = events[1]["data"]["notice"]["en"].as_str().unwrap();
    assert!(text.contains("by the rules of this ledger") && !text.contains("article"), "{text}");
    assert_eq!(told["next"], frozen["entry"]);
    let rest = get(&service, "channel", &format!("/v1/events?after={}", decided["entry"])).await;
    assert_eq!((rest["events"].as_array().unwrap().len(), &rest["events"][0]), (1, events[1]));
    let bank = get(&service, "bank", "/v1/events").await;
    assert_eq!(bank["events"], json!([]), "a bank is told of its own");
    end(service).await;
}

async fn rules_are_set_by_two_operators_and_never_reach_protected_money(place: &Place) {
    let (service, _) = furnished(place).await;
    let shipped = json!(RuleTable::shipped());
    assert_eq!(get(&service, "authority", "/v1/rules").await, json!({"entry": null, "rules": shipped}));
    let decided = decide(&service, "authority", &order("1", 1)).await.expect(201);
    let shown = get(&service, "auditor", "/v1/rules").await;
    assert_eq!((&shown["entry"], &shown["rules"]), (&decided["rules"], &shipped));
    let ask = async |rules: &Value| {
        post(&service, "operator", "/v1/approvals", &json!({"kind": "set_rules", "rules": rules})).await
    };
    let mut opened = shipped.clone();
    opened["rules"][0]["effect"] = json!("allow");
    ask(&opened).await.refused(422, "rules_unsound", Some("rules"));
    ask(&shipped).await.refused(409, "rules_unchanged", Some("rules"));
    for bad in [json!("x"), json!({}), with(shipped.clone(), "more", json!(1))] {
        ask(&bad).await.refused(400, "field_malformed", Some("rules"));
    }
    let mut capped = shipped.clone();
    capped["mode"] = json!("mixed");
    capped["rules"][8]["cap_percent"] = json!(50);
    let given = agree(&service, &json!({"kind": "set_rules", "rules": capped})).await;
    given.expect(201);
    let shown = get(&service, "operator", "/v1/rules").await;
    assert_eq!(shown["rules"], capped);
    assert!(shown["entry"].as_u64() > decided["rules"].as_u64());
    credit(&service, 2, "10.00").await;
    assert_eq!(decide(&service, "authority", &order("2", 2)).await.expect(201)["rules"], shown["entry"]);
    end(service).await;
}
