//! `/v1/reversals`.

use serde_json::json;
use social_wallet::domain::{Amount, Bic, WalletId};

use super::{OTHER_PAYER, Service, accrual, iin, in_both_rooms, mistyped_iin, reversal, with, without};
use crate::store::Place;

in_both_rooms! {
    a_reversal_takes_back_what_is_left_and_gives_it_to_the_programme,
    invariant_7_the_same_key_takes_back_once_and_other_content_is_refused_by_field,
    what_was_spent_is_reported_as_uncollected,
    every_refusal_names_its_code_and_field,
}

async fn a_reversal_takes_back_what_is_left_and_gives_it_to_the_programme(place: &Place) {
    let service = Service::start(place).await;
    let paid = service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    service.write("/v1/accruals", &with(accrual(1, "7.00"), "part", json!(2))).await.expect(201);
    let entry = service.write("/v1/reversals", &reversal(1)).await.expect(201);
    let debit = format!("wallet:{}", paid["wallet"].as_str().unwrap());
    assert_eq!(
        entry["postings"],
        json!([{"amount": "10.00", "credit": "funding:ASP", "debit": debit, "lot": paid["entry"]}])
    );
    assert_eq!((&entry["uncollected"], &entry["reason"]), (&json!("0.00"), &json!("paid in error")));
    assert_eq!(service.wallet_of(1).await["balance"], "7.00", "no other money is touched");
    assert_eq!(service.get("/v1/programmes/ASP").await.expect(200)["funding"], "999993.00");
    let again = service.write("/v1/reversals", &reversal(1)).await;
    assert_eq!(again.refused(422, "nothing_to_reverse", Some("period"))["entry"], paid["entry"]);
    service.close().await;
}

async fn invariant_7_the_same_key_takes_back_once_and_other_content_is_refused_by_field(place: &Place) {
    let service = Service::start(place).await;
    service.register("BIRTH").await;
    service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    let first = service.post("/v1/reversals", "key", &reversal(1)).await;
    let again = service.post("/v1/reversals", "key", &without(reversal(1), "part")).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first.expect(201), Some("true")));
    for (field, other) in [
        ("payer", json!(OTHER_PAYER)),
        ("iin", json!(iin(2))),
        ("programme", json!("BIRTH")),
        ("period", json!("once")),
        ("part", json!(2)),
        ("reason", json!("another")),
    ] {
        let refused = service.post("/v1/reversals", "key", &with(reversal(1), field, other)).await;
        let refused = refused.refused(422, "instruction_conflict", Some(field));
        assert_eq!(refused["entry"], first.json()["entry"]);
    }
    assert_eq!(service.wallet_of(1).await["version"], 2);
    service.close().await;
}

/// Pay-outs have no request of their own yet: this one is posted beside the service, which must notice.
async fn what_was_spent_is_reported_as_uncollected(place: &Place) {
    let service = Service::start(place).await;
    let paid = service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    service.write("/v1/accruals", &with(accrual(1, "5.00"), "part", json!(2))).await.expect(201);
    let wallet = WalletId::parse(paid["wallet"].as_str().unwrap()).unwrap();
    service.pay_out(place, wallet, Bic::parse(b"CASPKZKA").unwrap(), Amount::from_tiyn(1_150).unwrap()).await;
    assert_eq!(service.wallet_of(1).await["balance"], "3.50");
    let all = service.write("/v1/reversals", &reversal(1)).await;
    assert_eq!(all.refused(422, "nothing_to_reverse", Some("period"))["entry"], paid["entry"]);
    let some = service.write("/v1/reversals", &with(reversal(1), "part", json!(2))).await.expect(201);
    assert_eq!((&some["uncollected"], &some["postings"][0]["amount"]), (&json!("1.50"), &json!("3.50")));
    assert_eq!(service.wallet_of(1).await["balance"], "0.00");
    let rows = service.get("/v1/reports/programmes").await.expect(200);
    assert_eq!(
        rows["programmes"][0],
        json!({"programme": "ASP", "funded": "1000000.00", "accrued": "15.00", "reversed": "3.50",
            "funding_left": "999988.50", "in_wallets": "0.00", "paid_out": "11.50", "returned": "0.00", "ties": true})
    );
    service.close().await;
}

async fn every_refusal_names_its_code_and_field(place: &Place) {
    let service = Service::start(place).await;
    service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    let size = service.size().await;
    for (field, bad, status, code) in [
        ("payer", json!("x"), 400, "field_malformed"),
        ("payer", json!(OTHER_PAYER), 422, "payer_mismatch"),
        ("iin", json!(mistyped_iin(1)), 400, "iin_check_digit"),
        ("iin", json!("1"), 400, "iin_malformed"),
        ("iin", json!(iin(2)), 422, "accrual_not_found"),
        ("programme", json!("a"), 400, "field_malformed"),
        ("programme", json!("NONE"), 422, "programme_unknown"),
        ("period", json!("2026-1"), 400, "field_malformed"),
        ("period", json!("2026-10"), 422, "accrual_not_found"),
        ("part", json!(0), 400, "part_out_of_range"),
        ("reason", json!(""), 400, "field_malformed"),
        ("reason", json!(" x"), 400, "field_malformed"),
        ("reason", json!("a\nb"), 400, "field_malformed"),
        ("reason", json!("x".repeat(301)), 400, "field_malformed"),
    ] {
        let refused = service.write("/v1/reversals", &with(reversal(1), field, bad)).await;
        refused.refused(status, code, Some(if code == "payer_mismatch" { "programme" } else { field }));
    }
    let other_part = service.write("/v1/reversals", &with(reversal(1), "part", json!(2))).await;
    other_part.refused(422, "accrual_not_found", Some("period"));
    for field in ["payer", "iin", "programme", "period", "reason"] {
        let refused = service.write("/v1/reversals", &without(reversal(1), field)).await;
        refused.refused(400, "field_missing", Some(field));
    }
    let unknown = service.write("/v1/reversals", &with(reversal(1), "amount", json!("1.00"))).await;
    unknown.refused(400, "field_unknown", None);
    assert_eq!(service.size().await, size);
    let longest = with(reversal(1), "reason", json!("ж".repeat(300)));
    service.write("/v1/reversals", &longest).await.expect(201);
    service.close().await;
}
