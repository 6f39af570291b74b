//! `/v1/batches/{id}`: open and show. What is below it has files of its own.

mod chunks;
mod lines;
mod steps;
mod validate_only;
mod verdicts;

use serde_json::{Value, json};

use super::{OTHER_PAYER, PAYER, Service, declaration, fresh, in_both_rooms, lines, with, without};
use crate::store::Place;

in_both_rooms! {
    a_batch_is_opened_once_and_shown,
    every_malformed_member_of_a_declaration_is_named,
    invariant_7_the_same_id_with_other_content_is_refused_by_field,
    what_a_batch_names_must_be_the_payers_own,
    a_batch_that_is_not_there_is_unknown,
    missing_lines_are_listed_by_range,
}

async fn a_batch_is_opened_once_and_shown(place: &Place) {
    let service = Service::start(place).await;
    let id = fresh();
    let body = declaration(3, "30.00");
    let opened = service.put_batch(&id, &body).await.expect(201);
    assert_eq!(
        opened,
        json!({"batch": id, "kind": "accrual", "state": "open", "payer": PAYER, "programmes": ["ASP"],
            "periods": ["2026-11"], "currency": "KZT", "declared": {"lines": 3, "total": "30.00"},
            "received": {"lines": 0, "total": "0.00"}, "accepted": {"lines": 0, "total": "0.00"},
            "refused": {"lines": 0}, "difference": {"lines": 3, "total": "30.00"}, "missing": [[1, 3]],
            "not_before": null, "release_required": false, "validate_only": false, "opened_by": "anonymous",
            "first_chunk_at": null, "last_chunk_at": null, "lines_per_s": null})
    );
    let size = service.size().await;
    assert_eq!(service.put_batch(&id, &body).await.expect(200), opened);
    assert_eq!(service.batch(&id).await, opened);
    assert_eq!(service.size().await, size);
    let service = service.restart(place, super::second_day).await;
    assert_eq!(service.put_batch(&id, &body).await.expect(200), opened);
    // Sixteen at once: one opens it.
    let id = fresh();
    let answers = futures::future::join_all((0..16).map(|_| service.put_batch(&id, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 15);
    service.close().await;
}

async fn every_malformed_member_of_a_declaration_is_named(place: &Place) {
    let service = Service::start(place).await;
    let size = service.size().await;
    let some = |count: u32, text: &dyn Fn(u32) -> String| json!((0..count).map(text).collect::<Vec<_>>());
    let many = |text: &dyn Fn(u32) -> String| some(101, text);
    for (field, bad, code) in [
        ("kind", json!("accruals"), "field_malformed"),
        ("payer", json!("1"), "field_malformed"),
        ("programmes", json!("ASP"), "field_malformed"),
        ("programmes", json!(["asp"]), "field_malformed"),
        ("programmes", json!([1]), "field_malformed"),
        ("programmes", json!([]), "field_malformed"),
        ("programmes", many(&|number| format!("P{number}")), "field_malformed"),
        ("periods", json!(["2026"]), "field_malformed"),
        ("periods", json!([]), "field_malformed"),
        ("periods", many(&|number| format!("20{:02}-0{}", number / 9, number % 9 + 1)), "field_malformed"),
        ("lines", json!(0), "field_malformed"),
        ("lines", json!(40_000_001), "field_malformed"),
        ("lines", json!(-1), "field_malformed"),
        ("lines", json!(1.5), "field_malformed"),
        ("lines", json!("1"), "field_malformed"),
        ("total", json!("-1.00"), "field_malformed"),
        ("total", json!("1.001"), "field_malformed"),
        ("total", json!("10000000000000000.01"), "amount_too_large"),
        ("currency", json!("USD"), "currency_unsupported"),
        ("not_before", json!("tomorrow"), "field_malformed"),
        ("not_before", json!("2026-11-21"), "field_malformed"),
        ("release_required", json!("yes"), "field_malformed"),
        ("validate_only", json!(1), "field_malformed"),
    ] {
        let refused = service.put_batch(&fresh(), &with(declaration(1, "1.00"), field, bad)).await;
        refused.refused(400, code, Some(field));
    }
    for field in ["kind", "payer", "lines", "total", "currency"] {
        let refused = service.put_batch(&fresh(), &without(declaration(1, "1.00"), field)).await;
        refused.refused(400, "field_missing", Some(field));
    }
    let unknown = with(declaration(1, "1.00"), "note", json!("x"));
    service.put_batch(&fresh(), &unknown).await.refused(400, "field_unknown", None);
    for id in ["1".into(), fresh().to_uppercase(), fresh().replace('-', ""), super::iin(1)] {
        let refused = service.put_batch(&id, &declaration(1, "1.00")).await;
        refused.refused(400, "batch_malformed", Some("batch"));
    }
    // Openings name no programmes and no periods, and only accruals carry amounts.
    let opening = with(declaration(1, "0.00"), "kind", json!("wallet_opening"));
    service.put_batch(&fresh(), &opening).await.refused(400, "field_malformed", Some("programmes"));
    let opening = without(opening, "programmes");
    service.put_batch(&fresh(), &opening).await.refused(400, "field_malformed", Some("periods"));
    let opening = without(opening, "periods");
    service.put_batch(&fresh(), &opening).await.expect(201);
    for kind in [opening, with(declaration(1, "0.00"), "kind", json!("reversal"))] {
        let refused = service.put_batch(&fresh(), &with(kind, "total", json!("0.01"))).await;
        refused.refused(400, "field_malformed", Some("total"));
    }
    // A hundred are read; that the first is not the payer's is another refusal.
    let hundred = some(100, &|number| format!("P{number}"));
    let refused = service.put_batch(&fresh(), &with(declaration(1, "1.00"), "programmes", hundred)).await;
    refused.refused(422, "programme_unknown", Some("programmes"));
    for count in [99, 100] {
        let periods = some(count, &|number| format!("20{:02}-{:02}", 26 + number / 12, number % 12 + 1));
        service.put_batch(&fresh(), &with(declaration(1, "1.00"), "periods", periods)).await.expect(201);
    }
    let most = declaration(40_000_000, "10000000000000000.00");
    service.put_batch(&fresh(), &most).await.expect(201);
    assert_eq!(service.size().await, size + 4);
    service.close().await;
}

async fn invariant_7_the_same_id_with_other_content_is_refused_by_field(place: &Place) {
    let service = Service::start(place).await;
    service.register("BIRTH").await;
    let id = fresh();
    let body = with(declaration(3, "30.00"), "not_before", json!("2026-11-21T00:00:00Z"));
    let opened = service.put_batch(&id, &body).await.expect(201);
    // In other words, the same: lists are sets, and a time is a time in any zone.
    let same = with(body.clone(), "programmes", json!(["ASP", "ASP"]));
    let same = with(same, "not_before", json!("2026-11-21T05:00:00+05:00"));
    assert_eq!(service.put_batch(&id, &with(same, "total", json!("30"))).await.expect(200), opened);
    for (field, other) in [
        ("payer", json!(OTHER_PAYER)),
        ("programmes", json!(["ASP", "BIRTH"])),
        ("periods", json!(["2026-11", "2026-12"])),
        ("lines", json!(4)),
        ("total", json!("30.01")),
        ("not_before", json!("2026-11-21T00:00:00.001Z")),
        ("not_before", Value::Null),
        ("release_required", json!(true)),
        ("validate_only", json!(true)),
    ] {
        let refused = service.put_batch(&id, &with(body.clone(), field, other)).await;
        refused.refused(422, "instruction_conflict", Some(field));
    }
    let other_kind = with(with(body.clone(), "kind", json!("reversal")), "total", json!("0.00"));
    service.put_batch(&id, &other_kind).await.refused(422, "instruction_conflict", Some("kind"));
    let request = service.request("PUT", &format!("/v1/batches/{id}"));
    let request = request.header("Social-Wallet-Client", "other").body(body.to_string());
    service.send(request).await.refused(422, "instruction_conflict", Some("client"));
    assert_eq!(service.batch(&id).await, opened);
    service.close().await;
}

async fn what_a_batch_names_must_be_the_payers_own(place: &Place) {
    let service = Service::start(place).await;
    let other = with(super::programme("BIRTH"), "payer", json!(OTHER_PAYER));
    service.write("/v1/programmes", &other).await.expect(201);
    for (field, value, code, named) in [
        ("programmes", json!(["NONE"]), "programme_unknown", "programmes"),
        ("programmes", json!(["ASP", "BIRTH"]), "payer_mismatch", "payer"),
        ("payer", json!(OTHER_PAYER), "payer_mismatch", "payer"),
    ] {
        let refused = service.put_batch(&fresh(), &with(declaration(1, "1.00"), field, value)).await;
        refused.refused(422, code, Some(named));
    }
    service.close().await;
}

async fn a_batch_that_is_not_there_is_unknown(place: &Place) {
    let service = Service::start(place).await;
    let id = fresh();
    service.get(&format!("/v1/batches/{id}")).await.refused(404, "batch_unknown", None);
    service.get(&format!("/v1/batches/{id}/verdicts")).await.refused(404, "batch_unknown", None);
    service.chunk(&id, 1, &lines(1..2, "1.00")).await.refused(404, "batch_unknown", None);
    for step in ["release", "close", "cancel"] {
        let refused = service.step(&id, step, "anonymous").await;
        refused.refused(404, "batch_unknown", Some("batch"));
        service.step("x", step, "anonymous").await.refused(400, "batch_malformed", Some("batch"));
    }
    service.close().await;
}

async fn missing_lines_are_listed_by_range(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(4_001, "4001.00").await;
    for (first, expected) in
        [(2, json!([[1, 1], [3, 4001]])), (4_001, json!([[1, 1], [3, 4000]])), (1, json!([[3, 4000]]))]
    {
        service.chunk(&id, first.into(), &lines(first..first + 1, "1.00")).await.expect(200);
        assert_eq!(service.batch(&id).await["missing"], expected);
    }
    service.close().await;
}
