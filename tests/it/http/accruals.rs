//! `/v1/accruals`.

use serde_json::json;

use super::{
    OTHER_PAYER, Service, accrual, fresh, iin, in_both_rooms, mistyped_iin, reversal, with, without,
};
use crate::store::Place;

in_both_rooms! {
    an_accrual_credits_the_wallet_and_opens_it_if_need_be,
    invariant_7_the_same_key_pays_once_and_other_content_is_refused_by_field,
    invariant_8_a_benefit_is_paid_once_for_ever,
    invariant_2_funding_never_goes_below_zero,
    every_refusal_names_its_code_and_field,
    invariant_8_sixteen_accruals_of_one_benefit_at_once_pay_once,
}

async fn an_accrual_credits_the_wallet_and_opens_it_if_need_be(place: &Place) {
    let service = Service::start(place).await;
    let size = service.size().await;
    let entry = service.write("/v1/accruals", &accrual(1, "12345.6")).await.expect(201);
    assert_eq!(service.size().await, size + 2, "the opening and the accrual");
    assert_eq!(entry["entry"], size + 1);
    let wallet = entry["wallet"].as_str().unwrap();
    let credit = format!("wallet:{wallet}");
    assert_eq!(entry["postings"], json!([{"amount": "12345.60", "credit": credit, "debit": "funding:ASP"}]));
    for (name, value) in
        [("kind", json!("accrual")), ("programme", json!("ASP")), ("period", json!("2026-11"))]
    {
        assert_eq!(entry[name], value);
    }
    assert_eq!((&entry["part"], &entry["class"]), (&json!(1), &json!("protected")));
    assert_eq!(service.get(&format!("/v1/entries/{}", size + 1)).await.expect(200), entry);
    // The part is 1 unless it is said.
    let body = with(without(accrual(2, "1.00"), "part"), "period", json!("once"));
    assert_eq!(service.write("/v1/accruals", &body).await.expect(201)["part"], 1);
    service.close().await;
}

async fn invariant_7_the_same_key_pays_once_and_other_content_is_refused_by_field(place: &Place) {
    let service = Service::start(place).await;
    service.register("BIRTH").await;
    let first = service.post("/v1/accruals", "key", &accrual(1, "10.00")).await;
    let size = service.size().await;
    // The same content in other words.
    for body in [accrual(1, "10"), without(accrual(1, "10.0"), "part")] {
        let again = service.post("/v1/accruals", "key", &body).await;
        assert_eq!(
            (again.expect(201), again.header("idempotency-replayed")),
            (first.expect(201), Some("true"))
        );
    }
    for (field, other) in [
        ("payer", json!(OTHER_PAYER)),
        ("iin", json!(iin(2))),
        ("programme", json!("BIRTH")),
        ("period", json!("2026-12")),
        ("part", json!(2)),
        ("amount", json!("10.01")),
    ] {
        let refused = service.post("/v1/accruals", "key", &with(accrual(1, "10.00"), field, other)).await;
        let refused = refused.refused(422, "instruction_conflict", Some(field));
        assert_eq!(refused["entry"], first.json()["entry"]);
    }
    let elsewhere = service.post("/v1/reversals", "key", &reversal(1)).await;
    elsewhere.refused(422, "instruction_conflict", Some("path"));
    assert_eq!(service.size().await, size);
    assert_eq!(service.wallet_of(1).await["balance"], "10.00");
    service.close().await;
}

async fn invariant_8_a_benefit_is_paid_once_for_ever(place: &Place) {
    let service = Service::start(place).await;
    let entry = service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    let again = async |service: &Service, amount: &str, field: &str| {
        let refused = service.write("/v1/accruals", &accrual(1, amount)).await;
        assert_eq!(refused.refused(422, "benefit_already_paid", Some(field))["entry"], entry["entry"]);
    };
    again(&service, "10.00", "line").await;
    again(&service, "11.00", "amount").await;
    service.write("/v1/reversals", &reversal(1)).await.expect(201);
    again(&service, "10.00", "line").await;
    let service = service.restart(place, super::second_day).await;
    again(&service, "10.00", "line").await;
    // Another entitlement is another part.
    service.write("/v1/accruals", &with(accrual(1, "10.00"), "part", json!(2))).await.expect(201);
    service.close().await;
}

async fn invariant_2_funding_never_goes_below_zero(place: &Place) {
    let service = Service::on_new_book(place).await;
    service.register("ASP").await;
    service.write("/v1/accruals", &accrual(1, "0.01")).await.refused(
        422,
        "funding_insufficient",
        Some("amount"),
    );
    service.fund("ASP", "100.00").await;
    let refused = service.post("/v1/accruals", "key", &accrual(1, "100.01")).await;
    let refused = refused.refused(422, "funding_insufficient", Some("amount"));
    assert_eq!(refused["detail"], "100.00 KZT left");
    assert_eq!(service.get("/v1/book").await.expect(200)["wallets"], 0, "a refused accrual opens no wallet");
    // Forty people of 5.00 at once: twenty are paid.
    let bodies: Vec<_> = (0..40).map(|person| accrual(person, "5.00")).collect();
    let answers = bodies.iter().map(|body| service.write("/v1/accruals", body));
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 20);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(422, "funding_insufficient", Some("amount"));
    }
    assert_eq!(service.get("/v1/programmes/ASP").await.expect(200)["funding"], "0.00");
    service.fund("ASP", "100.01").await;
    let paid = service.post("/v1/accruals", "key", &with(accrual(41, "100.01"), "part", json!(9))).await;
    assert_eq!(
        (paid.status, paid.header("idempotency-replayed")),
        (201, None),
        "a refusal had bound nothing"
    );
    service.close().await;
}

async fn every_refusal_names_its_code_and_field(place: &Place) {
    let service = Service::start(place).await;
    let size = service.size().await;
    for (field, bad, status, code) in [
        ("payer", json!("940140000386"), 400, "field_malformed"),
        ("payer", json!(OTHER_PAYER), 422, "payer_mismatch"),
        ("iin", json!(mistyped_iin(1)), 400, "iin_check_digit"),
        ("iin", json!(&iin(1)[1..]), 400, "iin_malformed"),
        ("iin", json!(["x"]), 400, "field_malformed"),
        ("programme", json!("asp"), 400, "field_malformed"),
        ("programme", json!("NONE"), 422, "programme_unknown"),
        ("period", json!("2026-13"), 400, "field_malformed"),
        ("period", json!("1999-12"), 400, "field_malformed"),
        ("part", json!(0), 400, "part_out_of_range"),
        ("part", json!(1000), 400, "part_out_of_range"),
        ("part", json!(65_537), 400, "part_out_of_range"),
        ("part", json!("1"), 400, "field_malformed"),
        ("part", json!(1.5), 400, "field_malformed"),
        ("part", json!(-1), 400, "field_malformed"),
        ("amount", json!("12,5"), 400, "amount_malformed"),
        ("amount", json!("1e2"), 400, "amount_malformed"),
        ("amount", json!("0"), 400, "amount_zero"),
        ("amount", json!("-1"), 400, "amount_negative"),
        ("amount", json!("0.001"), 400, "amount_scale"),
        ("amount", json!("1000000000000"), 400, "amount_too_large"),
        ("amount", json!(1), 400, "field_malformed"),
        ("amount", json!("1000000.01"), 422, "funding_insufficient"),
        ("currency", json!("kzt"), 400, "currency_unsupported"),
    ] {
        let refused = service.write("/v1/accruals", &with(accrual(1, "10.00"), field, bad)).await;
        let named = if code == "payer_mismatch" { "programme" } else { field };
        let refused = refused.refused(status, code, Some(named));
        if status == 422 {
            assert_eq!(refused["final"], false);
            assert!(refused["advice"].as_str().unwrap().ends_with('.'));
        }
    }
    for field in ["payer", "iin", "programme", "period", "amount", "currency"] {
        let refused = service.write("/v1/accruals", &without(accrual(1, "10.00"), field)).await;
        refused.refused(400, "field_missing", Some(field));
    }
    let unknown = service.write("/v1/accruals", &with(accrual(1, "10.00"), "batch", json!(fresh()))).await;
    unknown.refused(400, "field_unknown", None);
    assert_eq!(service.size().await, size);
    service.close().await;
}

async fn invariant_8_sixteen_accruals_of_one_benefit_at_once_pay_once(place: &Place) {
    let service = Service::start(place).await;
    let body = accrual(1, "10.00");
    let answers = futures::future::join_all((0..16).map(|_| service.write("/v1/accruals", &body))).await;
    let paid: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(paid.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        let refused = answer.refused(422, "benefit_already_paid", Some("line"));
        assert_eq!(refused["entry"], paid[0].json()["entry"]);
    }
    assert_eq!(service.wallet_of(1).await["balance"], "10.00");
    service.close().await;
}
