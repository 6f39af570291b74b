//! Where holders want benefits to go, a person's further numbers, and wallets that become one: `/v1/wallets/{id}/choices`,
//! `/numbers` and `/merge`.

use serde_json::{Value, json};
use social_wallet::http::holders::CHOICES_LIMIT_MAX;

use super::payments::{authorisation, authorise, credit, end, furnished, get, payment, post};
use super::signed::send;
use super::{Service, accrual, fresh, iin, in_both_rooms, with, without};
use crate::store::Place;

in_both_rooms!(
    an_accrual_under_a_choice_starts_a_transfer_and_what_comes_back_stays,
    a_transfer_that_cannot_start_refuses_no_accrual_and_is_told,
    what_is_chosen_is_read_member_by_member_and_is_the_holders_own,
    a_new_number_leads_to_the_old_numbers_wallet,
    an_operator_merges_two_wallets_and_the_old_one_redirects,
    whoever_lets_shielded_money_be_sent_on_is_told_that_the_shield_ends,
    what_comes_back_to_a_closed_wallet_is_the_holders_again_when_it_is_reopened,
);

const AT: &str = "2026-11-21T06:59:00Z";

fn choice(destination: &str) -> Value {
    let evidence = fresh().replace('-', "").repeat(2);
    json!({"destination": destination, "consent": {"method": "sms_code", "evidence": evidence, "at": AT}})
}

fn onward(authorisation: u64) -> Value {
    with(choice("transfer"), "authorisation", json!(authorisation))
}

async fn accrue(service: &Service, person: u32, part: u16, amount: &str) -> Value {
    let body = with(accrual(person, amount), "part", json!(part));
    post(service, "payer", "/v1/accruals", &body).await.expect(201)
}

async fn shown(service: &Service, wallet: &str) -> (String, String) {
    let shown = get(service, "channel", &format!("/v1/wallets/{wallet}")).await;
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    (text("balance"), text("held"))
}

fn sums(balance: &str, held: &str) -> (String, String) {
    (balance.to_owned(), held.to_owned())
}

/// Has an operator ask for something about a holder, and another approve it, who gives a number again if one is added. The entry
/// that carried it out.
async fn agreed(service: &Service, path: &str, body: &Value) -> Value {
    let asked = post(service, "operator", path, body).await.expect(201);
    assert_eq!(asked["kind"], "approval_requested", "{asked}");
    let given = json!({"digest": asked["digest"]});
    let given = if body["iin"].is_null() { given } else { with(given, "iin", body["iin"].clone()) };
    let approve = format!("/v1/approvals/{}/approve", asked["entry"]);
    let given = post(service, "operator-2", &approve, &given).await.expect(201);
    let done = given["entry"].as_u64().unwrap() + 1;
    get(service, "operator", &format!("/v1/entries/{done}")).await
}

async fn events(service: &Service, by: &str, after: u64) -> Vec<Value> {
    get(service, by, &format!("/v1/events?after={after}")).await["events"].as_array().unwrap().clone()
}

async fn an_accrual_under_a_choice_starts_a_transfer_and_what_comes_back_stays(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "800.00", true)).await;
    let path = format!("/v1/wallets/{wallet}/choices");
    let none = get(&service, "channel", &path).await;
    assert_eq!(none, json!({"wallet": wallet, "current": [], "history": [], "next": null}));
    let made = post(&service, "channel", &path, &onward(given)).await.expect(201);
    assert_eq!((&made["kind"], &made["authorisation"]), (&json!("destination_chosen"), &json!(given)));
    let accrued = accrue(&service, 1, 2, "300.00").await;
    assert_eq!(accrued["kind"], "accrual", "the payer is answered with the accrual and hears of no more");
    assert_eq!(shown(&service, &wallet).await, sums("1300.00", "300.00"));
    let transfer = accrued["entry"].as_u64().unwrap() + 1;
    for by in ["channel", "bank"] {
        let told = events(&service, by, transfer - 1).await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (&told[0]["id"], &told[0]["data"]["accrual"]),
            (&json!(transfer.to_string()), &accrued["entry"])
        );
    }
    let known = get(&service, "bank", &format!("/v1/transfers/{transfer}")).await;
    assert_eq!((&known["state"], &known["amount"]), (&json!("requested"), &json!("300.00")));
    assert_eq!(known["destination"]["card_token"], "tok-8f14e45f", "{known}");
    let answers = format!("/v1/transfers/{transfer}/answers");
    let back = json!({"answer": "returned", "reference": "R-1", "reason": "card closed"});
    let returned = post(&service, "bank", &answers, &back).await.expect(201);
    assert_eq!(shown(&service, &wallet).await, sums("1300.00", "0.00"));
    let told = events(&service, "channel", transfer).await;
    assert_eq!(told.len(), 1, "the channel hears of the return, and nothing is started again");
    assert_eq!(told[0]["id"], returned["entry"].to_string());
    // Back to the wallet.
    let back = post(&service, "channel", &path, &choice("wallet")).await.expect(201);
    accrue(&service, 1, 3, "50.00").await;
    assert_eq!(shown(&service, &wallet).await, sums("1350.00", "0.00"));
    let now = get(&service, "auditor", &path).await;
    let holds =
        json!([{"programme": null, "destination": "wallet", "authorisation": null, "entry": back["entry"]}]);
    assert_eq!(now["current"], holds);
    let history = now["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!((&history[0]["entry"], &history[1]["entry"]), (&made["entry"], &back["entry"]));
    assert_eq!((&history[0]["by"], &history[0]["destination"]), (&json!("channel"), &json!("transfer")));
    assert_eq!(history[0]["consent"], json!({"method": "sms_code", "at": "2026-11-21T06:59:00.000Z"}));
    assert!(history[0]["at"].is_string());
    // Page by page.
    let first = get(&service, "channel", &format!("{path}?limit=1")).await;
    assert_eq!(first["history"].as_array().unwrap()[..], history[..1]);
    let next = format!("{path}?limit=1&after={}", first["next"].as_str().unwrap());
    let second = get(&service, "channel", &next).await;
    assert_eq!((&second["history"][0], &second["next"]), (&history[1], &Value::Null));
    for (query, code, field) in [
        ("after=x", "cursor_malformed", "after"),
        ("limit=0", "field_malformed", "limit"),
        ("colour=red", "parameter_unknown", ""),
    ] {
        let answer = send(&service, "channel", ("GET", &format!("{path}?{query}"), "")).await;
        answer.refused(400, code, Some(field).filter(|field| !field.is_empty()));
    }
    for (limit, status) in
        [(CHOICES_LIMIT_MAX - 1, 200), (CHOICES_LIMIT_MAX, 200), (CHOICES_LIMIT_MAX + 1, 400)]
    {
        let path = format!("{path}?limit={limit}");
        assert_eq!(send(&service, "channel", ("GET", &path, "")).await.status, status, "{limit}");
    }
    end(service).await;
}

async fn a_transfer_that_cannot_start_refuses_no_accrual_and_is_told(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "100.00", true)).await;
    let path = format!("/v1/wallets/{wallet}/choices");
    let body = with(onward(given), "programme", json!("ASP"));
    post(&service, "channel", &path, &body).await.expect(201);
    let told = async |accrued: &Value, reason: &str| {
        let accrual = accrued["entry"].as_u64().unwrap();
        let told = events(&service, "channel", accrual).await;
        let event = told.first().unwrap();
        assert_eq!(event["type"], "kz.social-wallet.transfer_not_started");
        assert_eq!((&event["data"]["reason"], &event["data"]["accrual"]), (&json!(reason), &json!(accrual)));
        assert!(
            events(&service, "bank", accrual).await.is_empty(),
            "no bank is told of what it does not get"
        );
    };
    told(&accrue(&service, 1, 2, "100.01").await, "authorisation_exceeded").await;
    let state = format!("/v1/wallets/{wallet}/state");
    let change = async |state_of: &str| {
        let body = json!({"state": state_of, "document": "order 7-114"});
        post(&service, "operator", &state, &body).await.expect(201);
    };
    change("blocked").await;
    told(&accrue(&service, 1, 3, "1.00").await, "outflow_blocked").await;
    change("unblocked").await;
    let revoke = format!("/v1/authorisations/{given}/revoke");
    post(&service, "channel", &revoke, &json!({"reason": "card lost"})).await.expect(201);
    told(&accrue(&service, 1, 4, "1.00").await, "authorisation_revoked").await;
    assert_eq!(shown(&service, &wallet).await, sums("1102.01", "0.00"));
    end(service).await;
}

async fn what_is_chosen_is_read_member_by_member_and_is_the_holders_own(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let path = format!("/v1/wallets/{wallet}/choices");
    let given = authorise(&service, &authorisation(&wallet, "transfer", "100.00", true)).await;
    let cases = [
        (without(choice("wallet"), "destination"), 400, "field_missing", "destination"),
        (choice("card"), 400, "field_malformed", "destination"),
        (choice("transfer"), 400, "field_missing", "authorisation"),
        (with(choice("wallet"), "authorisation", json!(given)), 400, "field_malformed", "authorisation"),
        (without(choice("wallet"), "consent"), 400, "field_missing", "consent"),
        (with(choice("wallet"), "colour", json!("red")), 400, "field_unknown", ""),
        (with(onward(given), "programme", json!("NONE")), 422, "programme_unknown", "programme"),
        (onward(999), 404, "authorisation_unknown", "authorisation"),
        (choice("wallet"), 409, "choice_unchanged", "destination"),
    ];
    for (body, status, code, field) in cases {
        post(&service, "channel", &path, &body).await.refused(
            status,
            code,
            Some(field).filter(|field| !field.is_empty()),
        );
    }
    let cash = authorise(&service, &authorisation(&wallet, "cash", "100.00", true)).await;
    let once = authorise(&service, &authorisation(&wallet, "transfer", "100.00", false)).await;
    for other in [cash, once] {
        let answer = post(&service, "channel", &path, &onward(other)).await;
        answer.refused(422, "authorisation_mismatch", Some("authorisation"));
    }
    let neighbour = credit(&service, 2, "10.00").await;
    let theirs = authorise(&service, &authorisation(&neighbour, "transfer", "100.00", true)).await;
    let answer = post(&service, "channel", &path, &onward(theirs)).await;
    answer.refused(404, "authorisation_unknown", Some("authorisation"));
    let body = onward(given);
    post(&service, "channel", &path, &body).await.expect(201);
    let other = format!("/v1/wallets/{neighbour}/choices");
    let again = with(onward(theirs), "consent", body["consent"].clone());
    post(&service, "channel", &other, &again).await.refused(409, "consent_used", Some("consent"));
    for by in ["payer", "bank"] {
        let answer = post(&service, by, &path, &onward(given)).await;
        assert!([403, 404].contains(&answer.status), "{by}: {}", answer.status);
    }
    end(service).await;
}

async fn a_new_number_leads_to_the_old_numbers_wallet(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let path = format!("/v1/wallets/{wallet}/numbers");
    let body = json!({"iin": iin(7), "document": "certificate 12"});
    post(&service, "operator", &path, &without(body.clone(), "document")).await.refused(
        400,
        "field_missing",
        Some("document"),
    );
    let channel = post(&service, "channel", &path, &body).await.status;
    assert!([403, 404].contains(&channel), "an operator's business");
    // One operator only asks, and nothing leads anywhere yet.
    let asked = post(&service, "operator", &path, &body).await.expect(201);
    assert_eq!(asked["kind"], "approval_requested");
    let lookup = json!({"iin": iin(7)});
    post(&service, "channel", "/v1/wallets/lookup", &lookup).await.refused(404, "wallet_unknown", None);
    let shown = get(&service, "operator-2", &format!("/v1/approvals/{}", asked["entry"])).await;
    assert_eq!(
        (&shown["proposal"]["kind"], &shown["proposal"]["wallet"]),
        (&json!("add_number"), &json!(wallet))
    );
    let approve = format!("/v1/approvals/{}/approve", asked["entry"]);
    let given = json!({"digest": asked["digest"], "iin": iin(7)});
    post(&service, "operator", &approve, &given).await.refused(403, "approval_self", Some("approval"));
    // Who approves has the number before him: not none, nor another.
    for other in [without(given.clone(), "iin"), with(given.clone(), "iin", json!(iin(8)))] {
        let answer = post(&service, "operator-2", &approve, &other).await;
        answer.refused(422, "approval_digest_mismatch", Some("iin"));
    }
    let given = post(&service, "operator-2", &approve, &given).await.expect(201);
    let done = given["entry"].as_u64().unwrap() + 1;
    let made = get(&service, "operator", &format!("/v1/entries/{done}")).await;
    assert_eq!((&made["kind"], &made["wallet"]), (&json!("number_added"), &json!(wallet)));
    post(&service, "operator", &path, &body).await.refused(409, "number_known", Some("iin"));
    // A number belongs to the approval of a number alone.
    let asked = json!({"kind": "add_number", "wallet": wallet, "iin": iin(9), "document": "certificate 14"});
    post(&service, "operator", "/v1/approvals", &asked).await.expect(201);
    // Under either number it is the same wallet, and a benefit is paid once.
    let paid = with(accrual(7, "1000.00"), "part", json!(1));
    post(&service, "payer", "/v1/accruals", &paid).await.refused(422, "benefit_already_paid", Some("line"));
    accrue(&service, 7, 2, "20.00").await;
    let found = post(&service, "channel", "/v1/wallets/lookup", &json!({"iin": iin(7)})).await.expect(200);
    assert_eq!((&found["wallet"], &found["balance"]), (&json!(wallet), &json!("1020.00")));
    let other = credit(&service, 2, "10.00").await;
    let taken = json!({"iin": iin(2), "document": "certificate 13"});
    post(&service, "operator", &path, &taken).await.refused(409, "number_has_wallet", Some("iin"));
    assert_ne!(other, wallet);
    end(service).await;
}

async fn an_operator_merges_two_wallets_and_the_old_one_redirects(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let old = credit(&service, 2, "300.00").await;
    accrue(&service, 2, 2, "40.00").await;
    let given = authorise(&service, &authorisation(&old, "transfer", "800.00", true)).await;
    post(&service, "channel", &format!("/v1/wallets/{old}/choices"), &onward(given)).await.expect(201);
    let open = post(&service, "channel", "/v1/transfers", &payment(given, "320.00")).await.expect(201);
    let path = format!("/v1/wallets/{wallet}/merge");
    let body = json!({"merged": old, "document": "act 9"});
    let itself = json!({"merged": wallet, "document": "act 9"});
    post(&service, "operator", &path, &itself).await.refused(409, "wallet_merged", Some("merged"));
    let asked = post(&service, "operator", &path, &body).await.expect(201);
    assert_eq!(asked["kind"], "approval_requested");
    let approve = format!("/v1/approvals/{}/approve", asked["entry"]);
    let digest = json!({"digest": asked["digest"]});
    post(&service, "operator", &approve, &digest).await.refused(403, "approval_self", Some("approval"));
    let numbered = with(digest, "iin", json!(iin(2)));
    let answer = post(&service, "operator-2", &approve, &numbered).await;
    answer.refused(422, "approval_digest_mismatch", Some("iin"));
    assert_eq!(shown(&service, &wallet).await, sums("1000.00", "0.00"), "one operator moves nothing");
    let merged = agreed(&service, &path, &body).await;
    assert_eq!(merged["kind"], "wallets_merged");
    assert_eq!(merged["collisions"].as_array().unwrap().len(), 1, "both were paid November: {merged}");
    post(&service, "operator", &path, &body).await.refused(409, "wallet_merged", Some("merged"));
    assert_eq!(shown(&service, &wallet).await, sums("1340.00", "320.00"));
    // The old id and number lead on, and its own history is still to be read.
    let found = get(&service, "channel", &format!("/v1/wallets/{old}")).await;
    assert_eq!((&found["wallet"], &found["balance"]), (&json!(wallet), &json!("1340.00")));
    let own = get(&service, "auditor", &format!("/v1/wallets/{old}/statement?own=true")).await;
    assert_eq!(own["entries"].as_array().unwrap().last().unwrap()["kind"], "moved_out", "{own}");
    // What was under way ends as it would have, and the choice holds here.
    let answers = format!("/v1/transfers/{}/answers", open["entry"]);
    post(&service, "bank", &answers, &json!({"answer": "settled"})).await.expect(201);
    assert_eq!(shown(&service, &wallet).await, sums("1020.00", "0.00"));
    let back = json!({"answer": "returned", "reference": "R-1", "reason": "card closed", "amount": "20.00"});
    post(&service, "bank", &answers, &back).await.expect(201);
    assert_eq!(shown(&service, &wallet).await, sums("1040.00", "0.00"));
    let accrued = accrue(&service, 2, 3, "7.00").await;
    assert_eq!(accrued["wallet"], json!(wallet));
    assert_eq!(shown(&service, &wallet).await, sums("1047.00", "7.00"));
    let transfer = accrued["entry"].as_u64().unwrap() + 1;
    let known = get(&service, "bank", &format!("/v1/transfers/{transfer}")).await;
    assert_eq!(known["destination"]["card_token"], "tok-8f14e45f", "the destination is opened as before");
    let choices = get(&service, "channel", &format!("/v1/wallets/{wallet}/choices")).await;
    assert_eq!(choices["current"][0]["authorisation"], json!(given));
    assert_eq!(choices["history"][0]["merged"], json!(old));
    end(service).await;
}

async fn whoever_lets_shielded_money_be_sent_on_is_told_that_the_shield_ends(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let path = format!("/v1/wallets/{wallet}/choices");
    let give = async |what: &str, standing: bool| {
        let body = authorisation(&wallet, what, "100.00", standing);
        post(&service, "channel", "/v1/authorisations", &body).await.expect(201)
    };
    let is_warned = |entry: &Value| {
        let warning = &entry["warning"];
        assert!(warning.is_null() || !warning["texts"]["kk"].as_str().unwrap().is_empty(), "{warning}");
        warning["code"] == "shield_ends" && warning["amount"].is_null()
    };
    let standing = give("transfer", true).await;
    assert!(is_warned(&standing));
    assert!(!is_warned(&give("transfer", false).await), "the transfer itself will tell");
    assert!(!is_warned(&give("cash", true).await));
    let given = standing["entry"].as_u64().unwrap();
    let of = |programme: &str| with(onward(given), "programme", json!(programme));
    let choose = async |body: Value| post(&service, "channel", &path, &body).await.expect(201);
    assert!(is_warned(&choose(of("ASP")).await));
    assert!(is_warned(&choose(onward(given)).await), "of all programmes some are shielded");
    assert!(!is_warned(&choose(choice("wallet")).await));
    end(service).await;
}

async fn what_comes_back_to_a_closed_wallet_is_the_holders_again_when_it_is_reopened(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "5000.00", true)).await;
    let made = post(&service, "channel", "/v1/transfers", &payment(given, "1000.00")).await.expect(201);
    let answers = format!("/v1/transfers/{}/answers", made["entry"]);
    post(&service, "bank", &answers, &json!({"answer": "settled"})).await.expect(201);
    let state = format!("/v1/wallets/{wallet}/state");
    let change = async |state_of: &str| {
        let body = json!({"state": state_of, "document": "request 7"});
        post(&service, "operator", &state, &body).await
    };
    change("closed").await.expect(201);
    let back = json!({"answer": "returned", "reference": "R-1", "reason": "card closed"});
    post(&service, "bank", &answers, &back).await.expect(201);
    let request = async || post(&service, "channel", "/v1/transfers", &payment(given, "1000.00")).await;
    request().await.refused(422, "wallet_closed", Some("wallet"));
    change("unblocked").await.refused(409, "wallet_state_unchanged", Some("state"));
    change("reopened").await.expect(201);
    request().await.refused(422, "outflow_blocked", Some("wallet"));
    change("unblocked").await.expect(201);
    request().await.expect(201);
    assert_eq!(shown(&service, &wallet).await, sums("1000.00", "1000.00"));
    // A merged wallet is not one that can be reopened: its id leads to the other, which is not closed.
    let old = credit(&service, 2, "5.00").await;
    let merging = json!({"merged": old, "document": "act 9"});
    agreed(&service, &format!("/v1/wallets/{wallet}/merge"), &merging).await;
    let body = json!({"state": "reopened", "document": "request 8"});
    let path = format!("/v1/wallets/{old}/state");
    post(&service, "operator", &path, &body).await.refused(409, "wallet_state_unchanged", Some("state"));
    end(service).await;
}

/// Meets the refusals of this file, for the test that counts them.
pub async fn provoke(service: &Service) {
    let (first, second) = (credit(service, 70, "1.00").await, credit(service, 71, "1.00").await);
    post(service, "channel", &format!("/v1/wallets/{first}/choices"), &choice("wallet")).await;
    let number = |person: u32| json!({"iin": iin(person), "document": "certificate 1"});
    for person in [70, 71] {
        post(service, "operator", &format!("/v1/wallets/{first}/numbers"), &number(person)).await;
    }
    let merging = json!({"merged": second, "document": "act 1"});
    let path = format!("/v1/wallets/{first}/merge");
    agreed(service, &path, &merging).await;
    post(service, "operator", &path, &merging).await;
}
