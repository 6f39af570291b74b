//! `/v1/wallets`, its look-up, `/v1/wallets/{id}`, its balance and its statement.

use serde_json::{Value, json};
use social_wallet::domain::time::{end_of_business_day, parse_rfc3339, rfc3339, start_of_business_day};

use super::{
    HEADER, Service, accrual, declaration, fresh, iin, in_both_rooms, mistyped_iin, second_day, tenge, tiyn,
    with,
};
use crate::store::Place;

in_both_rooms! {
    invariant_3_a_person_has_one_wallet,
    a_wallet_that_is_not_there_is_unknown,
    a_wallet_shows_its_money_by_programme,
    a_balance_is_told_as_of_any_time_and_business_day,
    pages_of_every_size_join_to_the_whole_statement,
    what_a_statement_opens_with_and_its_entries_add_up_to_what_it_closes_with,
    a_page_has_at_most_a_thousand_entries,
    parameters_that_mean_nothing_are_refused,
}

async fn invariant_3_a_person_has_one_wallet(place: &Place) {
    let service = Service::on_new_book(place).await;
    let body = json!({"iin": iin(1)});
    let opened = service.post("/v1/wallets", "key", &body).await;
    let entry = opened.expect(201);
    assert_eq!((&entry["kind"], &entry["entry"]), (&json!("wallet_opened"), &json!(1)));
    let again = service.post("/v1/wallets", "key", &body).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (entry.clone(), Some("true")));
    let other = service.post("/v1/wallets", "key", &json!({"iin": iin(2)})).await;
    other.refused(422, "instruction_conflict", Some("iin"));
    let wallet = service.write("/v1/wallets", &body).await.expect(200);
    assert_eq!((&wallet["wallet"], &wallet["balance"]), (&entry["wallet"], &json!("0.00")));
    assert_eq!(wallet, service.wallet_of(1).await);
    // Sixteen at once, under sixteen keys.
    let body = json!({"iin": iin(3)});
    let answers = futures::future::join_all((0..16).map(|_| service.write("/v1/wallets", &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201));
        assert_eq!(answer.json()["wallet"], answers[0].json()["wallet"]);
    }
    assert_eq!(service.size().await, 3);
    assert_eq!(service.get("/v1/book").await.expect(200)["wallets"], 2);
    service.close().await;
}

async fn a_wallet_that_is_not_there_is_unknown(place: &Place) {
    let service = Service::on_new_book(place).await;
    let lookup =
        |body: Value| service.send(service.request("POST", "/v1/wallets/lookup").body(body.to_string()));
    lookup(json!({"iin": iin(1)})).await.refused(404, "wallet_unknown", None);
    for (bad, code) in [(mistyped_iin(1), "iin_check_digit"), (iin(1)[..11].into(), "iin_malformed")] {
        lookup(json!({"iin": bad})).await.refused(400, code, Some("iin"));
        service.write("/v1/wallets", &json!({"iin": bad})).await.refused(400, code, Some("iin"));
    }
    lookup(json!({})).await.refused(400, "field_missing", Some("iin"));
    lookup(json!({"iin": 991_200_000_000_u64})).await.refused(400, "field_malformed", Some("iin"));
    lookup(json!({"iin": iin(1), "name": "A"})).await.refused(400, "field_unknown", None);
    for id in [fresh(), "x".into(), fresh().to_uppercase(), iin(1)] {
        for path in ["", "/balance", "/statement", "/balance?at=2026-11-21"] {
            service.get(&format!("/v1/wallets/{id}{path}")).await.refused(404, "wallet_unknown", None);
        }
    }
    assert_eq!(service.size().await, 1);
    service.close().await;
}

async fn a_wallet_shows_its_money_by_programme(place: &Place) {
    let service = Service::start(place).await;
    let general = with(super::programme("GRANT"), "class", json!("general"));
    service.write("/v1/programmes", &general).await.expect(201);
    service.fund("GRANT", "1000.00").await;
    for (programme, part, amount) in [("ASP", 1, "10.50"), ("GRANT", 1, "100.00"), ("ASP", 2, "0.01")] {
        let body = with(with(accrual(1, amount), "programme", json!(programme)), "part", json!(part));
        service.write("/v1/accruals", &body).await.expect(201);
    }
    let wallet = service.wallet_of(1).await;
    let id = wallet["wallet"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/v1/wallets/{id}")).await.expect(200), wallet);
    assert_eq!(service.get(&format!("/v1/wallets/{id}/balance")).await.expect(200), wallet);
    assert_eq!(
        wallet,
        json!({"wallet": id, "state": "provisioned", "frozen": false, "currency": "KZT", "balance": "110.51", "held": "0.00",
            "available": "110.51", "version": 3, "at": null, "by_programme": [
                {"programme": "ASP", "class": "protected", "amount": "10.51", "held": "0.00"},
                {"programme": "GRANT", "class": "general", "amount": "100.00", "held": "0.00"}]})
    );
    let listed = service.get("/v1/programmes/ASP").await.expect(200);
    assert_eq!((&listed["funding"], &listed["in_wallets"]), (&json!("999989.49"), &json!("10.51")));
    service.close().await;
}

/// Three accruals on the first day, a reversal and two accruals on the second; gives the wallet's id and its entries.
async fn two_days(place: &Place) -> (Service, String, Vec<Value>) {
    let service = Service::start(place).await;
    let pay = async |service: &Service, part: u32, amount: &str| {
        let body = with(accrual(1, amount), "part", json!(part));
        service.write("/v1/accruals", &body).await.expect(201)
    };
    let mut entries = vec![
        pay(&service, 1, "10.00").await,
        pay(&service, 2, "20.00").await,
        pay(&service, 3, "0.05").await,
    ];
    let service = service.restart(place, second_day).await;
    let body = with(super::reversal(1), "part", json!(2));
    entries.push(service.write("/v1/reversals", &body).await.expect(201));
    entries.push(pay(&service, 4, "5.00").await);
    entries.push(pay(&service, 5, "7.00").await);
    let id = entries[0]["wallet"].as_str().unwrap().to_owned();
    (service, id, entries)
}

/// A millisecond before a time.
fn before(at: &Value) -> String {
    rfc3339(parse_rfc3339(at.as_str().unwrap()).unwrap() - 1)
}

async fn a_balance_is_told_as_of_any_time_and_business_day(place: &Place) {
    let (service, id, entries) = two_days(place).await;
    let at = async |text: &str| {
        let wallet = service.get(&format!("/v1/wallets/{id}/balance?at={text}")).await.expect(200);
        let sum: i64 =
            wallet["by_programme"].as_array().unwrap().iter().map(|row| tiyn(&row["amount"])).sum();
        assert_eq!(tenge(sum), wallet["balance"], "lots and balance are of one time");
        wallet["balance"].as_str().unwrap().to_owned()
    };
    let after = ["10.00", "30.00", "30.05", "10.05", "15.05", "22.05"];
    let mut previous = "0.00";
    for (entry, balance) in entries.iter().zip(after) {
        assert_eq!(at(&before(&entry["at"])).await, previous);
        assert_eq!(at(entry["at"].as_str().unwrap()).await, balance);
        previous = balance;
    }
    assert_eq!(at("1970-01-01T00:00:00Z").await, "0.00");
    assert_eq!(at("2026-11-20").await, "0.00");
    assert_eq!(at("2026-11-21").await, "30.05");
    assert_eq!(at("2026-11-21T23:59:59.999%2B05:00").await, "30.05");
    assert_eq!(at("2026-11-22").await, "22.05");
    assert_eq!(at("9999-12-30").await, "22.05");
    service.close().await;
}

/// All entries of a statement, page by page.
async fn paged(service: &Service, id: &str, range: &str, limit: usize) -> Vec<Value> {
    let mut entries: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = service.get(&format!("/v1/wallets/{id}/statement?limit={limit}{range}{after}")).await;
        let page = page.expect(200);
        let some = page["entries"].as_array().unwrap();
        assert!(some.len() <= limit);
        entries.extend(some.iter().cloned());
        match page["next"].as_str() {
            Some(next) => {
                assert_eq!(some.len(), limit, "a page that is not the last is full");
                after = format!("&after={next}");
            }
            None => return entries,
        }
    }
}

async fn pages_of_every_size_join_to_the_whole_statement(place: &Place) {
    let (service, id, entries) = two_days(place).await;
    let whole = paged(&service, &id, "", 100).await;
    assert_eq!(whole.len(), 6);
    for (row, entry) in whole.iter().zip(&entries) {
        for name in ["entry", "at", "kind", "programme", "period", "part"] {
            assert_eq!(row[name], entry[name], "{name}");
        }
    }
    assert_eq!(whole[3]["amount"], "-20.00");
    assert_eq!(whole[3]["refers"], whole[1]["entry"], "a reversal names what it takes back");
    for limit in 1..=7 {
        assert_eq!(paged(&service, &id, "", limit).await, whole);
        assert_eq!(paged(&service, &id, "&from=2026-11-22", limit).await, whole[3..]);
        assert_eq!(paged(&service, &id, "&to=2026-11-21", limit).await, whole[..3]);
    }
    service.close().await;
}

async fn what_a_statement_opens_with_and_its_entries_add_up_to_what_it_closes_with(place: &Place) {
    let (service, id, entries) = two_days(place).await;
    let mut moments: Vec<String> =
        ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"].map(Into::into).into();
    for entry in &entries {
        moments.push(entry["at"].as_str().unwrap().to_owned());
        moments.push(before(&entry["at"]));
    }
    let first = |text: &String| start_of_business_day(text).or_else(|| parse_rfc3339(text)).unwrap();
    let last = |text: &String| end_of_business_day(text).or_else(|| parse_rfc3339(text)).unwrap();
    let moments: Vec<Option<&String>> = std::iter::once(None).chain(moments.iter().map(Some)).collect();
    let (mut some, mut none) = (0, 0);
    for (from, to) in moments.iter().flat_map(|from| moments.iter().map(move |to| (*from, *to))) {
        if from.zip(to).is_some_and(|(from, to)| first(from) > last(to)) {
            continue; // nothing lies between an end and a beginning
        }
        let range =
            from.map(|from| format!("&from={from}")).into_iter().chain(to.map(|to| format!("&to={to}")));
        let range: String = range.collect();
        let page = service.get(&format!("/v1/wallets/{id}/statement?limit=1000{range}")).await.expect(200);
        let rows = page["entries"].as_array().unwrap();
        let (opening, closing) = (tiyn(&page["opening_balance"]), tiyn(&page["closing_balance"]));
        none += i32::from(rows.is_empty());
        some += 1;
        let mut balance = opening;
        for row in rows {
            balance += tiyn(&row["amount"]);
            assert_eq!(tiyn(&row["balance"]), balance, "{range}");
        }
        assert_eq!(balance, closing, "{range}");
    }
    assert!(some > 60 && none > 5, "{some} {none}");
    service.close().await;
}

async fn a_page_has_at_most_a_thousand_entries(place: &Place) {
    let service = Service::start(place).await;
    let id = fresh();
    let opening = with(declaration(1_001, "10.01"), "periods", json!(["2026-10", "2026-11"]));
    service.put_batch(&id, &opening).await.expect(201);
    let line = |number: u32| format!("{},ASP,2026-1{},{},0.01,KZT\n", iin(1), number / 999, number % 999 + 1);
    let lines: String = (0..1_001).map(line).collect();
    let answer = service.chunk_as(&id, 1, "text/csv", format!("{HEADER}{lines}")).await.expect(200);
    assert_eq!(answer["counts"]["accepted"], 1_001);
    let wallet = service.wallet_of(1).await["wallet"].as_str().unwrap().to_owned();
    let path = format!("/v1/wallets/{wallet}/statement");
    let page = async |query: &str| {
        let page = service.get(&format!("{path}{query}")).await.expect(200);
        (page["entries"].as_array().unwrap().len(), page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(page("").await.0, 100);
    assert_eq!(page("?limit=1").await.0, 1);
    let (entries, next) = page("?limit=1000").await;
    assert_eq!(entries, 1_000);
    assert_eq!(page(&format!("?limit=1000&after={}", next.unwrap())).await, (1, None));
    for limit in ["0", "1001", "-1", "1.0", "x", "", "99999999999"] {
        let refused = service.get(&format!("{path}?limit={limit}")).await;
        refused.refused(400, "field_malformed", Some("limit"));
    }
    assert_eq!(paged(&service, &wallet, "", 7).await, paged(&service, &wallet, "", 1_000).await);
    service.close().await;
}

async fn parameters_that_mean_nothing_are_refused(place: &Place) {
    let service = Service::on_new_book(place).await;
    let entry = service.write("/v1/wallets", &json!({"iin": iin(1)})).await.expect(201);
    let path = format!("/v1/wallets/{}", entry["wallet"].as_str().unwrap());
    for after in ["", "x", "1", "0000000g", "000000001"] {
        let refused = service.get(&format!("{path}/statement?after={after}")).await;
        refused.refused(400, "cursor_malformed", Some("after"));
    }
    for moment in ["", "yesterday", "2026-11-31", "2026-11-21T10:00:00", "1969-12-31T00:00:00Z", "1795244400"]
    {
        for (what, name) in [("balance", "at"), ("statement", "from"), ("statement", "to")] {
            let refused = service.get(&format!("{path}/{what}?{name}={moment}")).await;
            refused.refused(400, "field_malformed", Some(name));
        }
        for report in ["trial-balance", "programmes"] {
            let refused = service.get(&format!("/v1/reports/{report}?at={moment}")).await;
            refused.refused(400, "field_malformed", Some("at"));
        }
    }
    for query in ["balance?to=2026-11-21", "statement?limits=1", "statement?From=2026-11-21"] {
        service.get(&format!("{path}/{query}")).await.refused(400, "parameter_unknown", None);
    }
    service.get("/v1/reports/programmes?programme=ASP").await.refused(400, "parameter_unknown", None);
    let empty = service.get(&format!("{path}/statement")).await.expect(200);
    assert_eq!(empty["entries"], json!([]));
    assert_eq!((&empty["opening_balance"], &empty["closing_balance"]), (&json!("0.00"), &json!("0.00")));
    service.close().await;
}
