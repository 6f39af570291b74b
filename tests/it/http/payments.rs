//! Money out: `/v1/authorisations`, `/v1/transfers`, `/v1/cash`, `/v1/settlements`, `/v1/events`, `/v1/limits`, and the states
//! of wallets.

use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use social_wallet::http::events::WAIT_MAX;
use social_wallet::http::statements::ITEMS_MAX;
use social_wallet::http::transfers::ANSWERS_MAX;
use social_wallet::ledger::payment::Limits;

use super::documented::is_documented;
use super::signed::{send, signed, signer};
use super::{Service, accrual, fresh, iin, in_both_rooms, programme, with, without};
use crate::store::Place;

in_both_rooms!(
    a_transfer_is_requested_answered_settled_and_comes_back,
    a_bank_reaches_only_what_a_holder_has_addressed_to_it,
    a_banks_queue_is_of_full_pages_however_much_has_ended,
    many_answers_are_taken_or_refused_each_by_itself,
    an_authorisation_is_never_overspent_by_64_at_once,
    cash_is_had_with_a_code_that_is_told_once,
    a_redemption_that_comes_again_is_reserved_only_while_its_money_is,
    every_wrong_code_is_counted_also_under_a_key_that_comes_again,
    a_cards_number_is_refused_and_kept_nowhere,
    what_is_asked_for_is_read_member_by_member,
    an_operator_answers_only_with_a_document_and_only_while_money_is_held,
    banks_settle_what_is_owed_and_no_more,
    a_banks_day_opens_moves_and_closes_and_is_held_against_its_own,
    a_large_day_is_compared_in_parts,
    a_day_of_more_movements_than_are_read_at_once_is_shown_and_compared_whole,
    events_are_the_entries_in_order_and_are_waited_for,
    a_wallets_states_stop_what_they_say,
    limits_are_changed_by_two_operators,
);

const AT: &str = "2026-11-21T06:59:00Z"; // a minute before the door's noon
const EXPIRES: &str = "2026-11-22T06:59:00Z";

/// A body of an authorisation.
pub fn authorisation(wallet: &str, what: &str, amount: &str, standing: bool) -> Value {
    let mut body = json!({"wallet": wallet, "for": what, "amount": amount, "currency": "KZT", "standing": standing,
        "expires": EXPIRES, "consent": {"method": "sms_code", "evidence": fresh().replace('-', "").repeat(2), "at": AT}});
    if what == "transfer" {
        body["bank"] = json!("CASPKZKA");
        body["card"] = json!({"token": "tok-8f14e45f", "last_four": "4242"});
    }
    body
}

pub async fn post(service: &Service, by: &str, path: &str, body: &Value) -> super::Answer {
    send(service, by, ("POST", path, &body.to_string())).await
}

pub async fn get(service: &Service, by: &str, path: &str) -> Value {
    send(service, by, ("GET", path, "")).await.expect(200)
}

/// A service with clients, ASP, and a person whose wallet holds 1,000 tenge. The wallet's id.
pub async fn furnished(place: &Place) -> (Service, String) {
    let service = Service::guarded(place).await;
    post(&service, "operator", "/v1/programmes", &programme("ASP")).await.expect(201);
    fund(&service).await;
    let wallet = credit(&service, 1, "1000.00").await;
    (service, wallet)
}

async fn fund(service: &Service) {
    let body = json!({"amount": "100000.00", "currency": "KZT", "bank_reference": fresh()});
    let asked = post(service, "operator", "/v1/programmes/ASP/fundings", &body).await.expect(201);
    let given = json!({"digest": asked["digest"]});
    let path = format!("/v1/approvals/{}/approve", asked["entry"]);
    post(service, "operator-2", &path, &given).await.expect(201);
}

pub async fn credit(service: &Service, person: u32, amount: &str) -> String {
    post(service, "payer", "/v1/accruals", &accrual(person, amount)).await.expect(201);
    let body = json!({"iin": iin(person)});
    let known = post(service, "channel", "/v1/wallets/lookup", &body).await.expect(200);
    known["wallet"].as_str().unwrap().to_owned()
}

/// An authorisation given through the channel; its entry.
pub async fn authorise(service: &Service, body: &Value) -> u64 {
    post(service, "channel", "/v1/authorisations", body).await.expect(201)["entry"].as_u64().unwrap()
}

pub fn payment(authorisation: u64, amount: &str) -> Value {
    json!({"authorisation": authorisation, "amount": amount, "currency": "KZT"})
}

/// Registers a further client with a key.
async fn register(service: &Service, name: &str, body: Value) {
    post(service, "operator", "/v1/clients", &body).await.expect(201);
    let key = json!({"public_key": signer(name).public_key()});
    post(service, "operator", &format!("/v1/clients/{name}/keys"), &key).await.expect(201);
}

/// Ends a test: the audit finds nothing (invariants 1 and 10), everything answered is documented, and neither a person's
/// number (11) nor a destination stands in the journal.
pub async fn end(service: Service) {
    let audited = social_wallet::audit::audit(service.store.clone(), |_| {}).await.unwrap();
    assert!(audited.matches(), "invariant 10: {:?}", audited.findings);
    assert_eq!(audited.debit, audited.credit, "invariant 1");
    for answer in service.answers.lock().unwrap().iter() {
        is_documented(answer);
        super::no_iin(&answer.body);
    }
    for leaf in service.leaves().await {
        super::no_iin(&leaf);
        assert!(!leaf.contains("tok-8f14e45f"), "invariant 11: {leaf}");
    }
    service.stop().await;
}

async fn balance(service: &Service, wallet: &str) -> (String, String) {
    let shown = get(service, "channel", &format!("/v1/wallets/{wallet}")).await;
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    (text("balance"), text("held"))
}

fn sums(balance: &str, held: &str) -> (String, String) {
    (balance.to_owned(), held.to_owned())
}

async fn a_transfer_is_requested_answered_settled_and_comes_back(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let shown = get(&service, "channel", &format!("/v1/wallets/{wallet}")).await;
    assert_eq!(shown["state"], "provisioned");
    let given = authorise(&service, &authorisation(&wallet, "transfer", "800.00", true)).await;
    let shown = get(&service, "channel", &format!("/v1/wallets/{wallet}")).await;
    assert_eq!(shown["state"], "active", "the holder's first act");
    let key = fresh();
    let request = |amount: &str| {
        let body = payment(given, amount).to_string();
        let (headers, request) =
            signed(&service, "channel", ("POST", "/v1/transfers", &body), &key, &fresh());
        service.send(request.headers(headers))
    };
    let made = request("500.00").await;
    let entry = made.expect(201);
    assert_eq!(entry["kind"], "transfer_requested");
    assert_eq!(entry["split"], json!([{"programme": "ASP", "class": "protected", "amount": "500.00"}]));
    assert_eq!(
        (&entry["warning"]["code"], &entry["warning"]["amount"]),
        (&json!("shield_ends"), &json!("500.00"))
    );
    for language in ["kk", "ru", "en"] {
        assert!(!entry["warning"]["texts"][language].as_str().unwrap().is_empty());
    }
    // The same again is the same; anything else under the key is refused, naming the field.
    let again = request("500.00").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201)["entry"], entry["entry"]);
    request("500.01").await.refused(422, "instruction_conflict", Some("amount"));
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "500.00"));

    // The bank's queue has it with its destination, which nobody else sees whole.
    let queue = get(&service, "bank", "/v1/transfers").await;
    assert_eq!(queue["transfers"].as_array().unwrap().len(), 1);
    let path = format!("/v1/transfers/{}", entry["entry"]);
    let marked = json!([{"programme": "ASP", "class": "protected", "amount": "500.00", "knp": "026", "iso_purpose": "SSBE"}]);
    assert_eq!(queue["transfers"][0]["split"], marked, "what money it is, as banks call it");
    let whole = json!({"form": "card", "last_four": "4242", "card_token": "tok-8f14e45f", "iban": null});
    assert_eq!(queue["transfers"][0]["destination"], whole);
    assert_eq!(get(&service, "channel", &path).await["destination"], whole);
    let masked = get(&service, "auditor", &path).await;
    assert_eq!(masked["destination"], with(whole, "card_token", Value::Null));
    assert_eq!((&masked["state"], &masked["held"]), (&json!("requested"), &json!("500.00")));

    let answers = format!("{path}/answers");
    let answer = async |body: Value| post(&service, "bank", &answers, &body).await;
    let sent = answer(json!({"answer": "sent"})).await.expect(201);
    answer(json!({"answer": "unknown"})).await.expect(201);
    let repeated = answer(json!({"answer": "sent"})).await;
    assert_eq!(repeated.header("idempotency-replayed"), Some("true"));
    assert_eq!(repeated.expect(201)["entry"], sent["entry"], "said before, under another key");
    let back = |amount: &str, reference: &str| json!({"answer": "returned", "amount": amount, "reference": reference, "reason": "card closed"});
    answer(back("100.00", "R-1")).await.expect(201);
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "400.00"), "some is free again");
    let settled = answer(json!({"answer": "settled"})).await.expect(201);
    assert_eq!(settled["postings"][0]["credit"], "clearing:CASPKZKA");
    assert_eq!(balance(&service, &wallet).await, sums("600.00", "0.00"));
    assert_eq!(answer(json!({"answer": "settled"})).await.expect(201)["entry"], settled["entry"]);
    assert_eq!(answer(json!({"answer": "sent"})).await.expect(201)["entry"], sent["entry"], "late");
    let late = answer(json!({"answer": "unknown"})).await;
    assert_eq!(late.refused(409, "transfer_ended", Some("transfer"))["entry"], settled["entry"]);
    answer(back("150.00", "R-2")).await.expect(201);
    answer(back("150.01", "R-2")).await.refused(409, "return_conflict", Some("amount"));
    answer(back("250.01", "R-3")).await.refused(422, "return_exceeds_pay_out", Some("amount"));
    answer(without(back("1.00", "R-3"), "amount")).await.expect(201);
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "0.00"), "all of it is back");
    let ended = get(&service, "bank", &path).await;
    assert_eq!((&ended["state"], &ended["returned"]), (&json!("returned"), &json!("500.00")));
    assert_eq!(ended["history"].as_array().unwrap().len(), 7);
    assert_eq!(get(&service, "bank", "/v1/transfers").await["transfers"], json!([]), "nothing is open");
    assert_eq!(get(&service, "bank", "/v1/transfers?state=all").await["transfers"][0], ended);
    let statement = get(&service, "channel", &format!("/v1/wallets/{wallet}/statement")).await;
    let kinds: Vec<&str> =
        statement["entries"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["accrual", "state", "hold", "release", "pay_out", "return", "return"]);
    // What was signed is kept for each.
    let evidence = get(&service, "auditor", &format!("/v1/entries/{}/evidence", settled["entry"])).await;
    assert!(evidence["signature_base"].as_str().unwrap().contains("/answers"));
    end(service).await;
}

async fn a_bank_reaches_only_what_a_holder_has_addressed_to_it(place: &Place) {
    let (service, wallet) = furnished(place).await;
    register(&service, "bank-2", json!({"client": "bank-2", "role": "bank", "bic": "HSBKKZKX"})).await;
    register(&service, "channel-2", json!({"client": "channel-2", "role": "channel"})).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "300.00", true)).await;
    let shown = format!("/v1/authorisations/{given}");
    let body = payment(given, "100.00");
    // No one else's: as unknown as none.
    let absent = post(&service, "bank-2", "/v1/transfers", &payment(999_999, "100.00")).await;
    for other in ["bank-2", "channel-2"] {
        let refused = post(&service, other, "/v1/transfers", &body).await;
        assert_eq!((refused.status, &refused.body), (404, &absent.body), "{other}");
        send(&service, other, ("GET", &shown, "")).await.refused(404, "authorisation_unknown", None);
    }
    assert_eq!(get(&service, "bank", &shown).await["left"], "300.00");
    let made = post(&service, "bank", "/v1/transfers", &body).await.expect(201);
    let path = format!("/v1/transfers/{}", made["entry"]);
    for other in ["bank-2", "channel-2"] {
        send(&service, other, ("GET", &path, "")).await.refused(404, "transfer_unknown", None);
    }
    let settled = json!({"answer": "settled"});
    post(&service, "bank-2", &format!("{path}/answers"), &settled).await.refused(
        404,
        "transfer_unknown",
        Some("transfer"),
    );
    assert_eq!(get(&service, "bank-2", "/v1/transfers?state=all").await["transfers"], json!([]));
    for path in [format!("/v1/wallets/{wallet}"), format!("/v1/wallets/{wallet}/statement")] {
        send(&service, "bank", ("GET", &path, "")).await.refused(404, "wallet_unknown", None);
    }
    // What is left of it, and no more; then it is taken back.
    post(&service, "bank", "/v1/transfers", &payment(given, "200.01")).await.refused(
        422,
        "authorisation_exceeded",
        Some("amount"),
    );
    let reason = json!({"reason": "the holder has changed her mind"});
    post(&service, "channel-2", &format!("{shown}/revoke"), &reason).await.refused(
        404,
        "authorisation_unknown",
        Some("authorisation"),
    );
    post(&service, "channel", &format!("{shown}/revoke"), &reason).await.expect(201);
    post(&service, "bank", "/v1/transfers", &body).await.refused(
        422,
        "authorisation_revoked",
        Some("authorisation"),
    );
    post(&service, "channel", &format!("{shown}/revoke"), &reason).await.refused(
        422,
        "authorisation_revoked",
        Some("authorisation"),
    );
    post(&service, "bank", &format!("{path}/answers"), &settled).await.expect(201);
    // For one payment only; and for what it says.
    let single = authorise(&service, &authorisation(&wallet, "transfer", "300.00", false)).await;
    post(&service, "bank", "/v1/transfers", &payment(single, "1.00")).await.expect(201);
    post(&service, "bank", "/v1/transfers", &payment(single, "1.00")).await.refused(
        422,
        "authorisation_used",
        Some("authorisation"),
    );
    let cash = authorise(&service, &authorisation(&wallet, "cash", "300.00", false)).await;
    post(&service, "channel", "/v1/transfers", &payment(cash, "1.00")).await.refused(
        422,
        "authorisation_mismatch",
        Some("authorisation"),
    );
    // A channel that is stopped takes what was given to it with it: authorisations, and codes that no agent has reserved.
    let for_cash = authorise(&service, &authorisation(&wallet, "cash", "300.00", true)).await;
    let coded = post(&service, "channel", "/v1/cash", &payment(for_cash, "5.00")).await.expect(201);
    let standing = authorise(&service, &authorisation(&wallet, "transfer", "300.00", true)).await;
    let stolen = json!({"reason": "its key was stolen"});
    post(&service, "operator", "/v1/clients/channel/suspend", &stolen).await.expect(201);
    post(&service, "bank", "/v1/transfers", &payment(standing, "1.00")).await.refused(
        422,
        "channel_stopped",
        Some("authorisation"),
    );
    let redemption = json!({"reference": coded["reference"], "code": coded["code"], "terminal": "ATM-1"});
    post(&service, "bank", "/v1/cash/redeem", &redemption).await.refused(
        409,
        "cash_ended",
        Some("reference"),
    );
    end(service).await;
}

async fn a_banks_queue_is_of_full_pages_however_much_has_ended(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "900.00", true)).await;
    let mut open = Vec::new();
    let mut answers = Vec::new();
    for number in 0..19 {
        let made = post(&service, "channel", "/v1/transfers", &payment(given, "1.00")).await.expect(201);
        let transfer = made["entry"].as_u64().unwrap();
        let back = json!({"transfer": transfer, "answer": "returned", "reference": "R", "reason": "closed"});
        match number {
            3 => answers.push(json!({"transfer": transfer, "answer": "unknown"})),
            9 => answers.push(with(back.clone(), "amount", json!("0.50"))),
            17 | 18 => {}
            _ if number % 2 == 0 => answers.push(back),
            _ => answers.push(json!({"transfer": transfer, "answer": "settled"})),
        }
        if [3, 9, 17, 18].contains(&number) {
            open.push(transfer);
        }
    }
    post(&service, "bank", "/v1/transfers/answers", &json!({"answers": answers})).await.expect(200);
    for (limit, pages) in [(1, 4), (2, 2), (3, 2), (4, 1), (5, 1)] {
        let (mut seen, mut after, mut read) = (Vec::new(), json!(0), 0);
        while !after.is_null() {
            let page = get(&service, "bank", &format!("/v1/transfers?limit={limit}&after={after}")).await;
            let transfers = page["transfers"].as_array().unwrap();
            after = page["next"].clone();
            assert!(after.is_null() || transfers.len() == limit, "a page is full, or the last");
            seen.extend(transfers.iter().map(|transfer| transfer["transfer"].as_u64().unwrap()));
            read += 1;
        }
        assert_eq!((&seen, read), (&open, pages), "{limit} a page");
    }
    let all = get(&service, "bank", "/v1/transfers?state=all&limit=18").await;
    assert_eq!(all["transfers"].as_array().unwrap().len(), 18);
    assert_eq!(all["next"], all["transfers"][17]["transfer"]);
    end(service).await;
}

async fn many_answers_are_taken_or_refused_each_by_itself(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "1000.00", true)).await;
    let mut transfers = Vec::new();
    for _ in 0..4 {
        let made = post(&service, "channel", "/v1/transfers", &payment(given, "10.00")).await.expect(201);
        transfers.push(made["entry"].as_u64().unwrap());
    }
    let answers = json!({"answers": [
        {"transfer": transfers[0], "answer": "settled"},
        {"transfer": 999_999, "answer": "settled"},
        {"transfer": transfers[1], "answer": "returned", "reference": "R-1", "reason": "card closed"},
        {"transfer": transfers[0], "answer": "settled"},
        {"transfer": transfers[0], "answer": "unknown"},
        {"transfer": transfers[2], "answer": "sent"},
    ]});
    let told = post(&service, "bank", "/v1/transfers/answers", &answers).await.expect(200);
    let told = told["answers"].as_array().unwrap();
    let what = |told: &Value| match told["code"].as_str() {
        Some(code) => code.to_owned(),
        None => told["replayed"].to_string(),
    };
    let whats: Vec<String> = told.iter().map(what).collect();
    assert_eq!(whats, ["false", "transfer_unknown", "false", "true", "transfer_ended", "false"]);
    assert_eq!(told[0]["entry"], told[3]["entry"]);
    let size = service.size().await;
    let again = post(&service, "bank", "/v1/transfers/answers", &answers).await.expect(200);
    let whats: Vec<String> = again["answers"].as_array().unwrap().iter().map(what).collect();
    assert_eq!(whats, ["true", "transfer_unknown", "true", "true", "transfer_ended", "true"]);
    assert_eq!(service.size().await, size, "nothing is made twice");
    assert_eq!(balance(&service, &wallet).await, sums("990.00", "20.00"));
    // Pages of the queue.
    let first = get(&service, "bank", "/v1/transfers?limit=1").await;
    assert_eq!(
        (&first["transfers"][0]["transfer"], &first["next"]),
        (&json!(transfers[2]), &json!(transfers[2]))
    );
    let rest = get(&service, "bank", &format!("/v1/transfers?limit=1&after={}", transfers[2])).await;
    assert_eq!((&rest["transfers"][0]["transfer"], &rest["next"]), (&json!(transfers[3]), &Value::Null));
    // Limits of the request.
    let item = json!({"transfer": transfers[3], "answer": "sent"});
    for (count, status) in
        [(0, 400), (1, 200), (ANSWERS_MAX - 1, 200), (ANSWERS_MAX, 200), (ANSWERS_MAX + 1, 400)]
    {
        let body = json!({"answers": vec![item.clone(); count]});
        assert_eq!(post(&service, "bank", "/v1/transfers/answers", &body).await.status, status, "{count}");
    }
    let bad = json!({"answers": [item, {"transfer": 1, "answer": "perhaps"}]});
    let refused = post(&service, "bank", "/v1/transfers/answers", &bad).await;
    assert_eq!(refused.refused(400, "field_malformed", Some("answer"))["item"], 1);
    end(service).await;
}

async fn an_authorisation_is_never_overspent_by_64_at_once(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "50.00", true)).await;
    let requests = (0..64).map(|number| {
        let by = if number % 2 == 0 { "bank" } else { "channel" };
        let service = &service;
        async move { post(service, by, "/v1/transfers", &payment(given, "4.00")).await.status }
    });
    let statuses = futures::future::join_all(requests).await;
    let made = statuses.iter().filter(|status| **status == 201).count();
    // The wallet's day allows 20 payments: 12 of 4.00 are within 50.00.
    assert_eq!(made, 12, "{statuses:?}");
    assert_eq!(get(&service, "bank", &format!("/v1/authorisations/{given}")).await["used"], "48.00");
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "48.00"));
    end(service).await;
}

async fn cash_is_had_with_a_code_that_is_told_once(place: &Place) {
    let (service, wallet) = furnished(place).await;
    register(&service, "bank-2", json!({"client": "bank-2", "role": "bank", "bic": "HSBKKZKX"})).await;
    let given = authorise(&service, &authorisation(&wallet, "cash", "500.00", true)).await;
    let key = fresh();
    let create = || {
        let body = payment(given, "200.00").to_string();
        let (headers, request) = signed(&service, "channel", ("POST", "/v1/cash", &body), &key, &fresh());
        service.send(request.headers(headers))
    };
    let made = create().await.expect(201);
    let (reference, code) = (made["reference"].as_str().unwrap(), made["code"].as_str().unwrap());
    assert_eq!((reference.len(), code.len()), (16, 8));
    let again = create().await.expect(201);
    assert_eq!((&again["entry"], &again["code"]), (&made["entry"], &Value::Null), "nobody keeps it");
    let longer = with(payment(given, "200.00"), "minutes", json!(60)).to_string();
    let (headers, request) = signed(&service, "channel", ("POST", "/v1/cash", &longer), &key, &fresh());
    let conflict = service.send(request.headers(headers)).await;
    conflict.refused(422, "instruction_conflict", Some("minutes"));
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "200.00"));
    let redemption = json!({"reference": reference, "code": code, "terminal": "ATM-1"});
    let key = fresh();
    let redeem = |by: &'static str, body: Value, key: String| {
        let body = body.to_string();
        let (headers, request) = signed(&service, by, ("POST", "/v1/cash/redeem", &body), &key, &fresh());
        service.send(request.headers(headers))
    };
    let reserved = redeem("bank", redemption.clone(), key.clone()).await.expect(201);
    assert_eq!((&reserved["kind"], &reserved["amount"]), (&json!("cash_reserved"), &json!("200.00")));
    let again = redeem("bank", redemption.clone(), key.clone()).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // Another machine with the same code does not pay out a second time; nor does a wrong code get the answer.
    redeem("bank", redemption.clone(), fresh()).await.refused(409, "cash_reserved", Some("reference"));
    redeem("bank-2", redemption.clone(), fresh()).await.refused(409, "cash_reserved", Some("reference"));
    let wrong = with(redemption.clone(), "code", json!(another(code)));
    redeem("bank", wrong, key.clone()).await.refused(422, "instruction_conflict", Some("code"));
    let elsewhere = with(redemption, "terminal", json!("ATM-2"));
    redeem("bank", elsewhere, key).await.refused(422, "instruction_conflict", Some("terminal"));
    let outcome = |outcome: &str| json!({"reference": reference, "outcome": outcome});
    let cancel = json!({"reference": reference});
    post(&service, "channel", "/v1/cash/cancel", &cancel).await.refused(
        409,
        "cash_reserved",
        Some("reference"),
    );
    post(&service, "bank-2", "/v1/cash/outcomes", &outcome("captured")).await.refused(
        404,
        "cash_unknown",
        Some("reference"),
    );
    post(&service, "bank", "/v1/cash/outcomes", &outcome("unknown")).await.expect(201);
    let captured = post(&service, "bank", "/v1/cash/outcomes", &outcome("captured")).await.expect(201);
    assert_eq!(captured["postings"][0]["credit"], "cash:CASPKZKA");
    let again = post(&service, "bank", "/v1/cash/outcomes", &outcome("captured")).await.expect(201);
    assert_eq!(again["entry"], captured["entry"]);
    post(&service, "bank", "/v1/cash/outcomes", &outcome("reversed")).await.refused(
        409,
        "cash_ended",
        Some("reference"),
    );
    assert_eq!(balance(&service, &wallet).await, sums("800.00", "0.00"));
    let shown = get(&service, "channel", &format!("/v1/cash/{}", made["entry"])).await;
    assert_eq!((&shown["state"], &shown["agent"]), (&json!("captured"), &json!("CASPKZKA")));

    // Reversed at the agent's; cancelled by the channel.
    let made = post(&service, "channel", "/v1/cash", &payment(given, "100.00")).await.expect(201);
    let body = json!({"reference": made["reference"], "code": made["code"], "terminal": "ATM-1"});
    let outcome = json!({"reference": made["reference"], "outcome": "reversed"});
    let cancel = json!({"reference": made["reference"]});
    let operators = with(outcome.clone(), "document", json!("act 7"));
    post(&service, "operator", "/v1/cash/outcomes", &operators).await.refused(
        409,
        "cash_not_reserved",
        Some("reference"),
    );
    post(&service, "bank-2", "/v1/cash/redeem", &body).await.expect(201);
    post(&service, "bank-2", "/v1/cash/outcomes", &outcome).await.expect(201);
    assert_eq!(balance(&service, &wallet).await, sums("800.00", "0.00"));
    post(&service, "channel", "/v1/cash/cancel", &cancel).await.refused(409, "cash_ended", Some("reference"));
    let made = post(&service, "channel", "/v1/cash", &payment(given, "100.00")).await.expect(201);
    let cancel = json!({"reference": made["reference"]});
    post(&service, "channel", "/v1/cash/cancel", &cancel).await.expect(201);
    assert_eq!(balance(&service, &wallet).await, sums("800.00", "0.00"));
    // No code is written down anywhere: not in the journal, nor in an answer but the first. (What was signed of a reservation has
    // it, encrypted, when it is of no use any more.)
    let told = service.answers.lock().unwrap().iter().filter(|answer| answer.body.contains(code)).count();
    assert_eq!(told, 1);
    assert!(service.leaves().await.iter().all(|leaf| !leaf.contains(&format!("\"{code}\""))));
    end(service).await;
}

async fn a_redemption_that_comes_again_is_reserved_only_while_its_money_is(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "cash", "900.00", true)).await;
    let redeem = |body: &Value, key: &str| {
        let body = body.to_string();
        let (headers, request) = signed(&service, "bank", ("POST", "/v1/cash/redeem", &body), key, &fresh());
        service.send(request.headers(headers))
    };
    for (outcome, by) in [("reversed", "bank"), ("captured", "bank"), ("reversed", "operator")] {
        let made = post(&service, "channel", "/v1/cash", &payment(given, "100.00")).await.expect(201);
        let body = json!({"reference": made["reference"], "code": made["code"], "terminal": "ATM-1"});
        let key = fresh();
        let reserved = redeem(&body, &key).await.expect(201);
        // The answer was lost: it is given again while nothing else is known.
        let again = redeem(&body, &key).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.expect(201)["entry"], reserved["entry"]);
        let told = |outcome: &str| json!({"reference": made["reference"], "outcome": outcome});
        post(&service, "bank", "/v1/cash/outcomes", &told("unknown")).await.expect(201);
        // It may have been paid out: nobody is told to pay out again.
        redeem(&body, &key).await.refused(409, "cash_reserved", Some("reference"));
        // It has ended: whoever hears "reserved" now would pay out what is free again, or was paid.
        let told = match by {
            "operator" => with(told(outcome), "document", json!("act 7")),
            _ => told(outcome),
        };
        let ended = post(&service, by, "/v1/cash/outcomes", &told).await.expect(201);
        for _ in 0..2 {
            let late = redeem(&body, &key).await.refused(409, "cash_ended", Some("reference"));
            assert_eq!(late["entry"], ended["entry"], "{outcome} by {by}");
        }
        let other = with(body, "code", json!(another(made["code"].as_str().unwrap())));
        redeem(&other, &key).await.refused(422, "instruction_conflict", Some("code"));
    }
    assert_eq!(balance(&service, &wallet).await, sums("900.00", "0.00"));
    end(service).await;
}

/// Another code of eight digits.
fn another(code: &str) -> String {
    format!("{:08}", (code.parse::<u32>().unwrap() + 1) % 100_000_000)
}

async fn every_wrong_code_is_counted_also_under_a_key_that_comes_again(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "cash", "500.00", true)).await;
    let made = post(&service, "channel", "/v1/cash", &payment(given, "200.00")).await.expect(201);
    let code = made["code"].as_str().unwrap();
    let key = fresh();
    let path = format!("/v1/cash/{}", made["entry"]);
    for tries in 1..=5u64 {
        let wrong =
            json!({"reference": made["reference"], "code": another(code), "terminal": "ATM-1"}).to_string();
        let (headers, request) =
            signed(&service, "bank", ("POST", "/v1/cash/redeem", &wrong), &key, &fresh());
        let told = service.send(request.headers(headers)).await.refused(422, "cash_code_wrong", Some("code"));
        let entry = told["entry"].as_u64().unwrap();
        assert_eq!(entry + 1, service.size().await, "durable before it is answered");
        // What was tried is told to nobody: neither to the bank, which would see whose it is, nor to an auditor.
        let shown = format!("/v1/entries/{entry}");
        send(&service, "bank", ("GET", &shown, "")).await.refused(404, "entry_unknown", None);
        let evidence = format!("{shown}/evidence");
        send(&service, "auditor", ("GET", &evidence, "")).await.refused(404, "evidence_unknown", None);
        let shown = get(&service, "channel", &path).await;
        assert_eq!(shown["tries"], tries);
        assert_eq!(shown["state"], if tries < 5 { "created" } else { "released" });
    }
    let right = json!({"reference": made["reference"], "code": code, "terminal": "ATM-1"});
    post(&service, "bank", "/v1/cash/redeem", &right).await.refused(409, "cash_ended", Some("reference"));
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "0.00"));
    let unknown = with(right, "reference", json!("0000000000000000"));
    post(&service, "bank", "/v1/cash/redeem", &unknown).await.refused(404, "cash_unknown", Some("reference"));
    end(service).await;
}

async fn a_cards_number_is_refused_and_kept_nowhere(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let body = authorisation(&wallet, "transfer", "10.00", false);
    let size = service.size().await;
    for number in ["4111111111111111", "4111-1111-1111-1111", "tok-378282246310005"] {
        let card = json!({"token": number, "last_four": "1111"});
        let answer = post(&service, "channel", "/v1/authorisations", &with(body.clone(), "card", card)).await;
        answer.refused(400, "card_number_refused", Some("card"));
        assert!(!answer.body.contains("1111111"), "{}", answer.body);
    }
    let kept = json!({"state": "blocked", "document": "card 4111 1111 1111 1111"});
    let state = format!("/v1/wallets/{wallet}/state");
    post(&service, "operator", &state, &kept).await.refused(400, "card_number_refused", Some("document"));
    // Invariant 11: nor is a person's number.
    let kept = json!({"state": "blocked", "document": "court order of 830717350867"});
    post(&service, "operator", &state, &kept).await.refused(400, "person_number_refused", Some("document"));
    assert_eq!(service.size().await, size);
    let account = with(without(body, "card"), "iban", json!("KZ86125KZT5004100100"));
    let given = authorise(&service, &account).await;
    let shown = get(&service, "bank", &format!("/v1/authorisations/{given}")).await;
    assert_eq!((&shown["form"], &shown["last_four"]), (&json!("iban"), &json!("0100")));
    post(&service, "bank", "/v1/transfers", &payment(given, "1.00")).await.expect(201);
    let queue = get(&service, "bank", "/v1/transfers").await;
    assert_eq!(queue["transfers"][0]["destination"]["iban"], "KZ86125KZT5004100100");
    assert!(service.leaves().await.iter().all(|leaf| !leaf.contains("5004100100")), "not in the journal");
    end(service).await;
}

async fn what_is_asked_for_is_read_member_by_member(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let body = authorisation(&wallet, "transfer", "10.00", false);
    let consent = |member: &str, value: Value| with(body["consent"].clone(), member, value);
    for (field, bad, code) in [
        ("wallet", json!("x"), "field_malformed"),
        ("for", json!("love"), "field_malformed"),
        ("bank", json!("x"), "field_malformed"),
        ("card", json!({"token": "short", "last_four": "4242"}), "field_malformed"),
        ("card", json!({"token": "tok-8f14e45f", "last_four": "42424"}), "field_malformed"),
        ("card", json!({"token": "tok-8f14e45f", "last_four": "4242", "number": "1"}), "field_malformed"),
        ("card", Value::Null, "field_missing"),
        ("iban", json!("KZ86125KZT5004100100"), "field_malformed"),
        ("amount", json!("0.00"), "amount_zero"),
        ("currency", json!("USD"), "currency_unsupported"),
        ("standing", json!("yes"), "field_malformed"),
        ("expires", json!("tomorrow"), "field_malformed"),
        ("consent", Value::Null, "field_missing"),
        ("consent", consent("method", json!("nod")), "field_malformed"),
        ("consent", consent("evidence", json!("ab")), "field_malformed"),
        ("consent", consent("at", json!("noon")), "field_malformed"),
    ] {
        let answer = post(&service, "channel", "/v1/authorisations", &with(body.clone(), field, bad)).await;
        answer.refused(400, code, Some(field));
    }
    let old = with(body.clone(), "consent", consent("at", json!("2026-11-20T06:58:00Z")));
    post(&service, "channel", "/v1/authorisations", &old).await.refused(
        422,
        "consent_outside_window",
        Some("consent"),
    );
    let over = with(body.clone(), "expires", json!(AT));
    post(&service, "channel", "/v1/authorisations", &over).await.refused(
        422,
        "authorisation_too_long",
        Some("expires"),
    );
    post(&service, "channel", "/v1/authorisations", &body).await.expect(201);
    post(&service, "channel", "/v1/authorisations", &body).await.refused(
        409,
        "consent_used",
        Some("consent"),
    );
    let nobody = with(body, "wallet", json!(fresh()));
    post(&service, "channel", "/v1/authorisations", &nobody).await.refused(
        404,
        "wallet_unknown",
        Some("wallet"),
    );
    let given = authorise(&service, &authorisation(&wallet, "transfer", "9000.00", true)).await;
    for (body, status, code, field) in [
        (without(payment(given, "1.00"), "authorisation"), 400, "field_missing", "authorisation"),
        (payment(given, "-1.00"), 400, "amount_negative", "amount"),
        (payment(given, "1000.01"), 422, "balance_insufficient", "amount"),
    ] {
        post(&service, "channel", "/v1/transfers", &body).await.refused(status, code, Some(field));
    }
    let made = post(&service, "channel", "/v1/transfers", &payment(given, "1.00")).await.expect(201);
    let path = format!("/v1/transfers/{}/answers", made["entry"]);
    let returned = json!({"answer": "returned", "reference": "R", "reason": "closed"});
    for (body, code, field) in [
        (json!({}), "field_missing", "answer"),
        (json!({"answer": "perhaps"}), "field_malformed", "answer"),
        (without(returned.clone(), "reference"), "field_missing", "reference"),
        (without(returned.clone(), "reason"), "field_missing", "reason"),
        (with(returned, "amount", json!(1)), "field_malformed", "amount"),
    ] {
        post(&service, "bank", &path, &body).await.refused(400, code, Some(field));
    }
    let cash = authorise(&service, &authorisation(&wallet, "cash", "100.00", true)).await;
    for (minutes, status) in [(14, 422), (15, 201), (16, 201), (59, 201), (60, 201), (61, 422)] {
        let body = with(payment(cash, "1.00"), "minutes", json!(minutes));
        assert_eq!(post(&service, "channel", "/v1/cash", &body).await.status, status, "{minutes} minutes");
    }
    for (field, bad) in [("reference", json!("x")), ("code", json!("1234567")), ("terminal", json!(""))] {
        let body = json!({"reference": "0000000000000000", "code": "12345678", "terminal": "ATM-1"});
        let answer = post(&service, "bank", "/v1/cash/redeem", &with(body, field, bad)).await;
        answer.refused(400, "field_malformed", Some(field));
    }
    end(service).await;
}

async fn an_operator_answers_only_with_a_document_and_only_while_money_is_held(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "100.00", true)).await;
    let made = post(&service, "channel", "/v1/transfers", &payment(given, "10.00")).await.expect(201);
    let path = format!("/v1/transfers/{}/answers", made["entry"]);
    let settled = json!({"answer": "settled"});
    let documented = with(settled.clone(), "document", json!("letter 7 of the bank"));
    post(&service, "bank", &path, &json!({"answer": "unknown"})).await.expect(201);
    post(&service, "bank", &path, &documented).await.refused(422, "document_required", Some("document"));
    post(&service, "operator", &path, &settled).await.refused(422, "document_required", Some("document"));
    let done = post(&service, "operator", &path, &documented).await.expect(201);
    assert_eq!(
        (&done["kind"], &done["document"]),
        (&json!("transfer_settled"), &json!("letter 7 of the bank"))
    );
    post(&service, "operator", &path, &documented).await.refused(409, "transfer_ended", Some("transfer"));
    assert_eq!(post(&service, "bank", &path, &settled).await.expect(201)["entry"], done["entry"]);
    end(service).await;
}

async fn banks_settle_what_is_owed_and_no_more(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "100.00", true)).await;
    let made = post(&service, "channel", "/v1/transfers", &payment(given, "100.00")).await.expect(201);
    let path = format!("/v1/transfers/{}/answers", made["entry"]);
    post(&service, "bank", &path, &json!({"answer": "settled"})).await.expect(201);
    let body = |direction: &str, amount: &str, reference: &str| {
        json!({"bank": "CASPKZKA", "owed": "clearing", "direction": direction, "amount": amount, "currency": "KZT",
            "bank_reference": reference})
    };
    let settle = async |body: Value| post(&service, "operator", "/v1/settlements", &body).await;
    settle(body("paid", "100.01", "N-1")).await.refused(422, "clearing_insufficient", Some("amount"));
    settle(body("paid", "100.00", "N-1")).await.expect(201);
    settle(body("paid", "1.00", "N-1")).await.refused(422, "bank_reference_used", Some("bank_reference"));
    // What the bank sends back beyond what is owed to it comes first, then the return.
    let back = json!({"answer": "returned", "reference": "R-1", "reason": "card closed"});
    post(&service, "bank", &path, &back).await.refused(422, "clearing_insufficient", Some("amount"));
    settle(body("received", "100.00", "N-2")).await.expect(201);
    post(&service, "bank", &path, &back).await.expect(201);
    assert_eq!(balance(&service, &wallet).await, sums("1000.00", "0.00"));
    let trial = get(&service, "auditor", "/v1/reports/trial-balance").await;
    assert_eq!(trial["balanced"], true);
    for (field, bad) in [("owed", "love"), ("direction", "up"), ("bank", "x"), ("bank_reference", "")] {
        let answer = settle(with(body("paid", "1.00", "N-3"), field, json!(bad))).await;
        answer.refused(400, "field_malformed", Some(field));
    }
    end(service).await;
}

async fn a_banks_day_opens_moves_and_closes_and_is_held_against_its_own(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "900.00", true)).await;
    let mut transfers = Vec::new();
    for amount in ["100.00", "50.00", "7.00"] {
        let made = post(&service, "channel", "/v1/transfers", &payment(given, amount)).await.expect(201);
        let transfer = made["entry"].as_u64().unwrap();
        let path = format!("/v1/transfers/{transfer}/answers");
        post(&service, "bank", &path, &json!({"answer": "settled"})).await.expect(201);
        transfers.push(transfer);
    }
    let back = json!({"answer": "returned", "amount": "20.00", "reference": "R,1", "reason": "card closed"});
    let path = format!("/v1/transfers/{}/answers", transfers[0]);
    post(&service, "bank", &path, &back).await.expect(201);
    let paid = json!({"bank": "CASPKZKA", "owed": "clearing", "direction": "paid", "amount": "30.00",
        "currency": "KZT", "bank_reference": "N-1"});
    post(&service, "operator", "/v1/settlements", &paid).await.expect(201);
    let day = "/v1/banks/CASPKZKA/statement?date=2026-11-21";
    let shown = get(&service, "bank", day).await;
    assert_eq!((&shown["opening"], &shown["closing"]), (&json!("0.00"), &json!("107.00")));
    let movements = shown["movements"].as_array().unwrap();
    let sum: i64 = movements.iter().map(|row| super::tiyn(&row["amount"])).sum();
    assert_eq!(sum, 10_700, "opening and movements are the closing");
    let items: Vec<(String, String)> = movements
        .iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["amount"].as_str().unwrap().to_owned()))
        .collect();
    let of = |place: usize| transfers[place].to_string();
    let expected = [
        (of(0), "100.00"),
        (of(1), "50.00"),
        (of(2), "7.00"),
        (format!("{}/R,1", of(0)), "-20.00"),
        ("N-1".into(), "-30.00"),
    ];
    assert_eq!(items, expected.map(|(id, amount)| (id, amount.to_owned())));
    // Pages of it, the day after, and CSV.
    let mut after = 0;
    let mut paged = Vec::new();
    loop {
        let page = get(&service, "bank", &format!("{day}&limit=2&after={after}")).await;
        paged.extend(page["movements"].as_array().unwrap().clone());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(&paged, movements);
    let next = get(&service, "auditor", "/v1/banks/CASPKZKA/statement?date=2026-11-22").await;
    assert_eq!((&next["opening"], &next["movements"]), (&json!("107.00"), &json!([])));
    let (mut headers, request) = signed(&service, "bank", ("GET", day, ""), "", &fresh());
    headers.insert("accept", "text/csv".parse().unwrap());
    let csv = service.send(request.headers(headers)).await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines: Vec<&str> = csv.body.lines().collect();
    assert_eq!((lines.len(), lines[0]), (8, "entry,at,kind,id,amount"));
    assert_eq!((lines[1], lines[7]), (",,opening,,0.00", ",,closing,,107.00"));
    assert!(lines[5].ends_with(&format!("transfer_returned,\"{}/R,1\",-20.00", of(0))), "{}", lines[5]);

    // The bank's own: one differs, one is missing on each side, one comes twice.
    let item = |kind: &str, id: &str, amount: &str| json!({"kind": kind, "id": id, "amount": amount});
    let own = json!({"date": "2026-11-21", "owed": "clearing", "currency": "KZT", "items": [
        item("transfer_settled", &of(0), "100.00"),
        item("transfer_settled", &of(1), "50.01"),
        item("transfer_settled", &of(0), "100.00"),
        item("transfer_returned", &format!("{}/R,1", of(0)), "20.00"),
        item("settlement_paid", "N-1", "30.00"),
        item("transfer_settled", "999999", "1.00"),
    ]});
    let path = "/v1/banks/CASPKZKA/statement/compare";
    let told = post(&service, "bank", path, &own).await.expect(200);
    assert_eq!((&told["compared"], &told["agreed"]), (&json!(6), &json!(3)));
    let what =
        |row: &Value| format!("{} {}", row["difference"].as_str().unwrap(), row["id"].as_str().unwrap());
    let whats: Vec<String> = told["differences"].as_array().unwrap().iter().map(what).collect();
    let expected = [
        format!("repeated {}", of(0)),
        format!("amount {}", of(1)),
        format!("missing_at_bank {}", of(2)),
        "missing_here 999999".to_owned(),
    ];
    assert_eq!(whats, expected);
    for (field, bad, code) in [
        ("date", json!("today"), "field_malformed"),
        ("owed", json!("love"), "field_malformed"),
        ("currency", json!("USD"), "currency_unsupported"),
        ("items", json!([1]), "field_malformed"),
        ("items", Value::Null, "field_missing"),
        ("items", json!(vec![1; ITEMS_MAX + 1]), "field_malformed"),
    ] {
        let answer = post(&service, "bank", path, &with(own.clone(), field, bad)).await;
        answer.refused(400, code, Some(field));
    }
    let many: Vec<Value> = (0..ITEMS_MAX).map(|id| item("cash_captured", &id.to_string(), "1.00")).collect();
    let told = post(&service, "bank", path, &with(own, "items", json!(many))).await.expect(200);
    assert_eq!((&told["compared"], &told["agreed"]), (&json!(ITEMS_MAX), &json!(0)));
    for path in ["/v1/banks/HSBKKZKX/statement?date=2026-11-21", "/v1/banks/x/statement?date=2026-11-21"] {
        send(&service, "bank", ("GET", path, "")).await.refused(404, "bank_not_found", None);
    }
    for (query, field) in [("owed=cash", "date"), ("date=x", "date"), ("date=2026-11-21&owed=love", "owed")] {
        let path = format!("/v1/banks/CASPKZKA/statement?{query}");
        assert_eq!(send(&service, "bank", ("GET", &path, "")).await.expect(400)["field"], field);
    }
    end(service).await;
}

async fn a_large_day_is_compared_in_parts(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "900.00", true)).await;
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..6 {
        let made = post(&service, "channel", "/v1/transfers", &payment(given, "10.00")).await.expect(201);
        let path = format!("/v1/transfers/{}/answers", made["entry"]);
        post(&service, "bank", &path, &json!({"answer": "settled"})).await.expect(201);
        ids.push(made["entry"].to_string());
    }
    ids.sort_unstable(); // as bytes: "100" is before "98"
    let item = |id: &str| json!({"kind": "transfer_settled", "id": id, "amount": "10.00"});
    let body = |ids: &[String]| {
        let items: Vec<Value> = ids.iter().map(|id| item(id)).collect();
        json!({"date": "2026-11-21", "owed": "clearing", "currency": "KZT", "items": items})
    };
    let path = "/v1/banks/CASPKZKA/statement/compare";
    let told = |body: Value| {
        let service = &service;
        async move {
            let told = post(service, "bank", path, &body).await.expect(200);
            let what = |row: &Value| {
                format!("{} {}", row["difference"].as_str().unwrap(), row["id"].as_str().unwrap())
            };
            let whats: Vec<String> = told["differences"].as_array().unwrap().iter().map(what).collect();
            (told["agreed"].as_u64().unwrap(), whats)
        }
    };
    // Half a day against a whole one does not agree; the two halves, each for itself, do.
    assert_eq!(told(body(&ids[..3])).await.1.len(), 3);
    let first = with(body(&ids[..3]), "before_id", json!(ids[3]));
    let second = with(body(&ids[3..]), "from_id", json!(ids[3]));
    assert_eq!(told(first).await, (3, vec![]));
    assert_eq!(told(second).await, (3, vec![]));
    // What differs is found in its own part and in no other.
    let lacking = with(body(&ids[..2]), "before_id", json!(ids[3]));
    assert_eq!(told(lacking).await, (2, vec![format!("missing_at_bank {}", ids[2])]));
    let between = with(with(body(&ids[1..3]), "from_id", json!(ids[1])), "before_id", json!(ids[3]));
    assert_eq!(told(between).await, (2, vec![]));
    let strange = with(body(&["0".to_owned()]), "before_id", json!(ids[0]));
    assert_eq!(told(strange).await, (0, vec!["missing_here 0".to_owned()]));
    // An item of another part is not taken for one of this.
    let beyond = with(body(&ids[2..4]), "before_id", json!(ids[3]));
    let refused = post(&service, "bank", path, &beyond).await.refused(400, "field_malformed", Some("items"));
    assert_eq!(refused["item"], 1);
    for (from, before) in [(&ids[1], &ids[1]), (&ids[2], &ids[1])] {
        let none = with(with(body(&[]), "from_id", json!(from)), "before_id", json!(before));
        post(&service, "bank", path, &none).await.refused(400, "field_malformed", Some("before_id"));
    }
    end(service).await;
}

/// What banks are told of is read a thousand entries at a time.
async fn a_day_of_more_movements_than_are_read_at_once_is_shown_and_compared_whole(place: &Place) {
    let (service, _) = furnished(place).await;
    let path = "/v1/banks/CASPKZKA/statement/compare";
    let item =
        |number: usize| json!({"kind": "settlement_received", "id": format!("N-{number}"), "amount": "0.01"});
    let mut made = 0;
    for all in [999, 1_000, 1_001, 2_100] {
        let settle = |number: usize| {
            let body = json!({"bank": "CASPKZKA", "owed": "clearing", "direction": "received", "amount": "0.01",
                "currency": "KZT", "bank_reference": format!("N-{number}")});
            let service = &service;
            async move { post(service, "operator", "/v1/settlements", &body).await.expect(201) }
        };
        stream::iter(made..all).map(settle).buffer_unordered(32).for_each(async |_| ()).await;
        made = all;
        let mut items: Vec<Value> = (0..all).map(item).collect();
        let mut own = json!({"date": "2026-11-21", "owed": "clearing", "currency": "KZT", "items": items});
        let told = post(&service, "bank", path, &own).await.expect(200);
        assert_eq!((&told["agreed"], &told["differences"]), (&json!(all), &json!([])), "{all}");
        items.pop();
        own["items"] = json!(items);
        let told = post(&service, "bank", path, &own).await.expect(200);
        assert_eq!(told["agreed"], all - 1);
        assert_eq!(told["differences"][0]["id"], format!("N-{}", all - 1));
    }
    let day = "/v1/banks/CASPKZKA/statement?date=2026-11-21";
    let shown = get(&service, "bank", &format!("{day}&limit=2100")).await;
    assert_eq!((shown["movements"].as_array().unwrap().len(), &shown["next"]), (2_100, &Value::Null));
    assert_eq!(shown["closing"], "21.00");
    let shown = get(&service, "bank", &format!("{day}&limit=2099")).await;
    assert_eq!(shown["movements"].as_array().unwrap().len(), 2_099);
    let after = shown["next"].as_u64().unwrap();
    let last = get(&service, "bank", &format!("{day}&after={after}")).await;
    assert_eq!((last["movements"].as_array().unwrap().len(), &last["next"]), (1, &Value::Null));
    end(service).await;
}

async fn events_are_the_entries_in_order_and_are_waited_for(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let none = get(&service, "bank", "/v1/events").await;
    assert_eq!(none, json!({"events": [], "next": 0}));
    let given = authorise(&service, &authorisation(&wallet, "transfer", "100.00", true)).await;
    let waiting = get(&service, "bank", "/v1/events?wait=30&limit=1");
    let asked = payment(given, "10.00");
    let made = post(&service, "channel", "/v1/transfers", &asked);
    let (first, made) = tokio::join!(waiting, made);
    let made = made.expect(201);
    assert_eq!(first["events"][0]["id"], given.to_string(), "what there is is not waited for");
    let after = format!("/v1/events?wait=30&after={}", made["entry"]);
    let answers = format!("/v1/transfers/{}/answers", made["entry"]);
    let settled = json!({"answer": "settled"});
    let (second, settled) =
        tokio::join!(get(&service, "channel", &after), post(&service, "bank", &answers, &settled));
    let settled = settled.expect(201);
    assert_eq!(second["events"][0]["id"], settled["entry"].to_string(), "told as soon as it is durable");
    let all = get(&service, "bank", "/v1/events").await;
    let types: Vec<&str> =
        all["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["authorisation_given", "transfer_requested", "transfer_settled"]
            .map(|kind| format!("kz.social-wallet.{kind}"))
    );
    assert_eq!(all["events"][2]["data"]["postings"], settled["postings"], "an event is its entry");
    assert_eq!(all["next"], settled["entry"]);
    assert_eq!(get(&service, "channel", "/v1/events").await["events"], all["events"]);
    for (wait, status) in [(WAIT_MAX - 1, 200), (WAIT_MAX, 200), (WAIT_MAX + 1, 400)] {
        let path = format!("/v1/events?wait={wait}");
        assert_eq!(send(&service, "bank", ("GET", &path, "")).await.status, status, "{wait} s");
    }
    for query in ["after=x", "limit=0", "limit=1001", "wait=-1", "colour=red"] {
        let answer = send(&service, "bank", ("GET", &format!("/v1/events?{query}"), "")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    end(service).await;
}

async fn a_wallets_states_stop_what_they_say(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let path = format!("/v1/wallets/{wallet}/state");
    let change = async |state: &str| {
        let body = json!({"state": state, "document": "order 7-114"});
        post(&service, "operator", &path, &body).await
    };
    let given = authorise(&service, &authorisation(&wallet, "transfer", "1000.00", true)).await;
    let made = post(&service, "channel", "/v1/transfers", &payment(given, "10.00")).await.expect(201);
    let cash = authorise(&service, &authorisation(&wallet, "cash", "1000.00", true)).await;
    let code = post(&service, "channel", "/v1/cash", &payment(cash, "10.00")).await.expect(201);
    let redemption = json!({"reference": code["reference"], "code": code["code"], "terminal": "ATM-1"});
    let request = async || post(&service, "channel", "/v1/transfers", &payment(given, "10.00")).await;
    change("unblocked").await.refused(409, "wallet_state_unchanged", Some("state"));
    change("blocked").await.expect(201);
    change("blocked").await.refused(409, "wallet_state_unchanged", Some("state"));
    request().await.refused(422, "outflow_blocked", Some("wallet"));
    post(&service, "bank", "/v1/cash/redeem", &redemption).await.refused(
        409,
        "cash_ended",
        Some("reference"),
    );
    // Accruals land; what was on its way follows its bank's answer.
    let next = with(accrual(1, "5.00"), "part", json!(2));
    post(&service, "payer", "/v1/accruals", &next).await.expect(201);
    let answers = format!("/v1/transfers/{}/answers", made["entry"]);
    post(&service, "bank", &answers, &json!({"answer": "settled"})).await.expect(201);
    change("unblocked").await.expect(201);
    request().await.expect(201);
    let died = |day: &str| json!({"state": "deceased", "document": "certificate 9", "died": day});
    for (day, status, code) in [("x", 400, "field_malformed"), ("2027-01-01", 422, "document_required")] {
        post(&service, "operator", &path, &died(day)).await.refused(status, code, Some("died"));
    }
    post(&service, "operator", &path, &died("2026-11-20")).await.expect(201);
    request().await.refused(422, "wallet_deceased", Some("wallet"));
    let later = with(accrual(1, "5.00"), "part", json!(3));
    post(&service, "payer", "/v1/accruals", &later).await.refused(422, "wallet_deceased", Some("iin"));
    let back = json!({"answer": "returned", "reference": "R-1", "reason": "card closed"});
    post(&service, "bank", &answers, &back).await.expect(201);
    change("closed").await.refused(422, "wallet_not_empty", Some("wallet"));
    // The refused benefit was not used up: the number was wrong, and it is paid to the person whose it is.
    let empty = credit(&service, 2, "1.00").await;
    let reversal = super::reversal(2);
    post(&service, "payer", "/v1/reversals", &reversal).await.expect(201);
    let body = json!({"state": "closed", "document": "request 5"});
    let of_empty = format!("/v1/wallets/{empty}/state");
    post(&service, "operator", &of_empty, &body).await.expect(201);
    let next = with(accrual(2, "5.00"), "part", json!(2));
    post(&service, "payer", "/v1/accruals", &next).await.refused(422, "wallet_closed", Some("iin"));
    post(&service, "operator", &format!("/v1/wallets/{}/state", fresh()), &body).await.refused(
        404,
        "wallet_unknown",
        Some("wallet"),
    );
    assert_eq!(get(&service, "channel", &format!("/v1/wallets/{empty}")).await["state"], "closed");
    // Reopened, it lets nothing out before an operator has said that its holder may have it.
    let reopened = json!({"state": "reopened", "document": "request 6"});
    post(&service, "operator", &path, &reopened).await.refused(409, "wallet_state_unchanged", Some("state"));
    post(&service, "operator", &of_empty, &without(reopened.clone(), "document")).await.refused(
        400,
        "field_missing",
        Some("document"),
    );
    let opened = post(&service, "operator", &of_empty, &reopened).await.expect(201);
    assert_eq!((&opened["kind"], &opened["document"]), (&json!("wallet_reopened"), &json!("request 6")));
    assert_eq!(get(&service, "channel", &format!("/v1/wallets/{empty}")).await["state"], "blocked");
    post(&service, "payer", "/v1/accruals", &next).await.expect(201);
    end(service).await;
}

async fn limits_are_changed_by_two_operators(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let shown = get(&service, "bank", "/v1/limits").await;
    assert_eq!(shown["limits"], json!(Limits::DEFAULT));
    let others = with(shown["limits"].clone(), "wallet_day_count", json!(2));
    let others = with(others, "tries_terminal_day", json!(1));
    let proposal = json!({"kind": "set_limits", "limits": others});
    let same = json!({"kind": "set_limits", "limits": shown["limits"]});
    post(&service, "operator", "/v1/approvals", &same).await.refused(409, "limits_unchanged", Some("limits"));
    let bad = json!({"kind": "set_limits", "limits": {"wallet_day_count": 2}});
    post(&service, "operator", "/v1/approvals", &bad).await.refused(400, "field_malformed", Some("limits"));
    let asked = post(&service, "operator", "/v1/approvals", &proposal).await.expect(201);
    assert_eq!(get(&service, "bank", "/v1/limits").await, shown, "one is not enough");
    let approve = format!("/v1/approvals/{}/approve", asked["entry"]);
    post(&service, "operator-2", &approve, &json!({"digest": asked["digest"]})).await.expect(201);
    assert_eq!(get(&service, "bank", "/v1/limits").await["limits"], others);
    let given = authorise(&service, &authorisation(&wallet, "cash", "1000.00", true)).await;
    let first = post(&service, "channel", "/v1/cash", &payment(given, "1.00")).await.expect(201);
    post(&service, "channel", "/v1/cash", &payment(given, "1.00")).await.expect(201);
    post(&service, "channel", "/v1/cash", &payment(given, "1.00")).await.refused(
        422,
        "wallet_limit_exceeded",
        Some("amount"),
    );
    let code = first["code"].as_str().unwrap();
    let body = json!({"reference": first["reference"], "code": another(code), "terminal": "ATM-1"});
    post(&service, "bank", "/v1/cash/redeem", &body).await.refused(422, "cash_code_wrong", Some("code"));
    let right = with(body, "code", json!(code));
    post(&service, "bank", "/v1/cash/redeem", &right).await.refused(
        422,
        "cash_tries_exceeded",
        Some("terminal"),
    );
    let elsewhere = with(right, "terminal", json!("ATM-2"));
    post(&service, "bank", "/v1/cash/redeem", &elsewhere).await.expect(201);
    end(service).await;
}

/// Every refusal of these requests that the tests of problems look for.
pub async fn provoke(service: &Service) {
    fund(service).await;
    let wallet = credit(service, 76, "1000.00").await;
    let channel = async |path: &str, body: &Value| post(service, "channel", path, body).await;
    let body = authorisation(&wallet, "transfer", "10.00", false);
    let card = json!({"token": "4111111111111111", "last_four": "1111"});
    channel("/v1/authorisations", &with(body.clone(), "card", card)).await;
    let state = json!({"state": "blocked", "document": "order about 830717350867"});
    post(service, "operator", &format!("/v1/wallets/{wallet}/state"), &state).await;
    channel("/v1/authorisations", &with(body.clone(), "expires", json!(AT))).await;
    let old = with(body["consent"].clone(), "at", json!("2026-11-19T00:00:00Z"));
    channel("/v1/authorisations", &with(body.clone(), "consent", old)).await;
    let single = authorise(service, &body).await;
    channel("/v1/authorisations", &body).await;
    channel("/v1/cash", &payment(single, "1.00")).await;
    channel("/v1/transfers", &payment(single, "10.01")).await;
    channel("/v1/transfers", &payment(999_999, "1.00")).await;
    let made = channel("/v1/transfers", &payment(single, "1.00")).await.expect(201);
    channel("/v1/transfers", &payment(single, "1.00")).await;
    let bank = async |path: &str, body: &Value| post(service, "bank", path, body).await;
    let answers = format!("/v1/transfers/{}/answers", made["entry"]);
    bank("/v1/transfers/999999/answers", &json!({"answer": "sent"})).await;
    let back =
        |amount: &str| json!({"answer": "returned", "amount": amount, "reference": "R", "reason": "closed"});
    bank(&answers, &back("1.01")).await;
    bank(&answers, &with(json!({"answer": "sent"}), "document", json!("letter"))).await;
    bank(&answers, &json!({"answer": "settled"})).await.expect(201);
    bank(&answers, &json!({"answer": "unknown"})).await;
    let settlement = json!({"bank": "CASPKZKA", "owed": "clearing", "direction": "paid", "amount": "2.00",
        "currency": "KZT", "bank_reference": "N-1"});
    post(service, "operator", "/v1/settlements", &settlement).await;
    bank(&answers, &back("0.50")).await.expect(201);
    bank(&answers, &back("0.40")).await;
    let reason = json!({"reason": "changed her mind"});
    let standing = authorise(service, &authorisation(&wallet, "cash", "300000.00", true)).await;
    channel("/v1/cash", &payment(standing, "200000.01")).await;
    channel("/v1/cash", &payment(standing, "5000.00")).await;
    channel("/v1/cash", &with(payment(standing, "1.00"), "minutes", json!(61))).await;
    let made = channel("/v1/cash", &payment(standing, "1.00")).await.expect(201);
    let redemption = json!({"reference": made["reference"], "code": made["code"], "terminal": "T"});
    let wrong = with(redemption.clone(), "code", json!(another(made["code"].as_str().unwrap())));
    bank("/v1/cash/redeem", &wrong).await;
    bank("/v1/cash/redeem", &with(wrong, "reference", json!("0000000000000000"))).await;
    let outcome = json!({"reference": made["reference"], "outcome": "captured"});
    post(service, "operator", "/v1/cash/outcomes", &with(outcome.clone(), "document", json!("act"))).await;
    bank("/v1/cash/redeem", &redemption).await.expect(201);
    bank("/v1/cash/redeem", &redemption).await;
    bank("/v1/cash/outcomes", &outcome).await.expect(201);
    bank("/v1/cash/redeem", &redemption).await;
    let state = format!("/v1/wallets/{wallet}/state");
    let change = |state: &str| json!({"state": state, "document": "order 7", "died": "2026-11-20"});
    let operator = async |body: &Value| post(service, "operator", &state, body).await;
    operator(&without(change("closed"), "died")).await;
    operator(&without(change("unblocked"), "died")).await;
    operator(&without(change("blocked"), "died")).await.expect(201);
    channel("/v1/cash", &payment(standing, "1.00")).await;
    operator(&change("deceased")).await.expect(201);
    channel("/v1/cash", &payment(standing, "1.00")).await;
    let empty = {
        let body = json!({"iin": iin(77)});
        let opened = post(service, "channel", "/v1/wallets", &body).await.expect(201);
        opened["wallet"].as_str().unwrap().to_owned()
    };
    let closed = json!({"state": "closed", "document": "request 5"});
    post(service, "operator", &format!("/v1/wallets/{empty}/state"), &closed).await.expect(201);
    channel("/v1/authorisations", &authorisation(&empty, "cash", "1.00", false)).await;
    channel(&format!("/v1/authorisations/{standing}/revoke"), &reason).await.expect(201);
    channel("/v1/cash", &payment(standing, "1.00")).await;
    let same = json!({"kind": "set_limits", "limits": Limits::DEFAULT});
    post(service, "operator", "/v1/approvals", &same).await;
    send(service, "bank", ("GET", "/v1/banks/x/statement", "")).await;
    // Of the wallet that is blocked and of that of a day with many payments.
    let many = credit(service, 78, "100.00").await;
    let standing = authorise(service, &authorisation(&many, "transfer", "300000.00", true)).await;
    for _ in 0..21 {
        channel("/v1/transfers", &payment(standing, "1.00")).await;
    }
    channel("/v1/transfers", &payment(standing, "100.01")).await;
    let other = credit(service, 79, "10.00").await;
    let standing = authorise(service, &authorisation(&other, "transfer", "300000.00", true)).await;
    channel("/v1/transfers", &payment(standing, "10.01")).await;
}
