//! Batches that are only validated.

use serde_json::json;

use super::super::{
    Service, declaration, fresh, iin, in_both_rooms, line, lines, mistyped_iin, verdicts, with,
};
use crate::store::Place;

in_both_rooms! {
    a_batch_that_is_only_validated_gives_the_verdicts_of_the_real_one_and_posts_nothing,
    reversals_and_openings_are_validated_too,
    each_line_is_validated_once,
    a_batch_that_is_only_validated_never_stands_in_the_way_of_a_real_one,
    so_many_are_validated_at_once_and_no_more,
}

async fn a_batch_that_is_only_validated_gives_the_verdicts_of_the_real_one_and_posts_nothing(place: &Place) {
    let service = Service::on_new_book(place).await;
    service.register("ASP").await;
    service.fund("ASP", "100.00").await;
    service.write("/v1/accruals", &super::super::accrual(9, "7.00")).await.expect(201);
    let chunks = [
        format!("{}{}{}", line(1, "10.00"), line(1, "10.00"), line(9, "7.00")),
        format!("{}{}", line(2, "60.00"), line(3, "60.00")),
        format!("{},ASP,2026-11,1,1.00,KZT\n{}{}", mistyped_iin(4), line(2, "60.01"), line(5, "3.00")),
    ];
    let opening = declaration(8, "300.00");
    let before = (service.size().await, service.get("/v1/book").await.expect(200));
    let rehearsal = fresh();
    let opened = service.put_batch(&rehearsal, &with(opening.clone(), "validate_only", json!(true))).await;
    assert_eq!(opened.expect(201)["validate_only"], true);
    let real = fresh();
    let judge = async |id: &str| {
        let mut all = Vec::new();
        for (first, text) in [1, 4, 6].into_iter().zip(&chunks) {
            all.extend(verdicts(&service.chunk(id, first, text).await.expect(200)));
        }
        let closed = service.step(id, "close", "anonymous").await.expect(200);
        let sums = ["state", "received", "accepted", "refused", "difference", "missing"]
            .map(|name| closed[name].clone());
        (all, sums)
    };
    let rehearsed = judge(&rehearsal).await;
    assert_eq!(
        (service.size().await, service.get("/v1/book").await.expect(200)),
        before,
        "nothing was posted"
    );
    service.put_batch(&real, &opening).await.expect(201);
    assert_eq!(judge(&real).await, rehearsed);
    assert_eq!(
        rehearsed.0,
        [
            "accepted",
            "benefit_already_paid:line",
            "benefit_already_paid:line",
            "accepted",
            "funding_insufficient:amount",
            "iin_check_digit:iin",
            "benefit_already_paid:amount",
            "accepted"
        ]
    );
    service.close().await;
}

async fn reversals_and_openings_are_validated_too(place: &Place) {
    let service = Service::start(place).await;
    for person in 1..4 {
        service.write("/v1/accruals", &super::super::accrual(person, "7.00")).await.expect(201);
    }
    let reversals = with(declaration(4, "0.00"), "kind", json!("reversal"));
    let openings = json!({"kind": "wallet_opening", "payer": super::super::PAYER, "lines": 4, "total": "0.00",
        "currency": "KZT"});
    let back = |person| format!("iin,programme,period,part,reason\n{},ASP,2026-11,1,error\n", iin(person));
    let open = |person| format!("iin\n{}\n", iin(person));
    for (body, texts) in [(reversals, [1, 2, 1, 5].map(back)), (openings, [5, 1, 5, 6].map(open))] {
        let before = service.size().await;
        let [rehearsal, real] = [fresh(), fresh()];
        let rehearse = with(body.clone(), "validate_only", json!(true));
        service.put_batch(&rehearsal, &rehearse).await.expect(201);
        let judge = async |id: &str| {
            let mut all = Vec::new();
            for (first, text) in (1..).zip(&texts) {
                let answer = service.chunk_as(id, first, "text/csv", text.clone()).await.expect(200);
                all.extend(verdicts(&answer));
            }
            (all, service.batch(id).await["accepted"].clone())
        };
        let rehearsed = judge(&rehearsal).await;
        assert_eq!(service.size().await, before);
        service.put_batch(&real, &body).await.expect(201);
        assert_eq!(judge(&real).await, rehearsed);
        assert_eq!(rehearsed.1["lines"], 2);
        service.step(&rehearsal, "cancel", "anonymous").await.expect(200);
    }
    service.close().await;
}

async fn each_line_is_validated_once(place: &Place) {
    let service = Service::start(place).await;
    let id = fresh();
    let body = with(declaration(4, "4.00"), "validate_only", json!(true));
    service.put_batch(&id, &body).await.expect(201);
    assert_eq!(service.put_batch(&id, &body).await.expect(200)["state"], "open");
    service.chunk(&id, 1, &lines(1..3, "1.00")).await.expect(200);
    service.chunk(&id, 2, &lines(2..4, "1.00")).await.refused(409, "line_validated_already", None);
    service.get(&format!("/v1/batches/{id}/verdicts")).await.refused(409, "verdicts_not_kept", None);
    let refused = service.chunk(&id, 3, &lines(3..6, "1.00")).await;
    refused.refused(422, "declared_lines_exceeded", Some("first_line"));
    let refused = service.chunk(&id, 3, &lines(3..5, "1.01")).await;
    refused.refused(422, "declared_total_exceeded", Some("amount"));
    let refused = service.put_batch(&id, &with(body, "lines", json!(5))).await;
    refused.refused(422, "instruction_conflict", Some("lines"));
    // It lives in the memory of its service.
    let service = service.restart(place, super::super::first_day).await;
    service.get(&format!("/v1/batches/{id}")).await.refused(404, "batch_unknown", None);
    service.close().await;
}

async fn a_batch_that_is_only_validated_never_stands_in_the_way_of_a_real_one(place: &Place) {
    let service = Service::start(place).await;
    let body = declaration(1, "1.00");
    let rehearse = with(body.clone(), "validate_only", json!(true));
    // A real batch stays real, whoever asks.
    let real = service.open(1, "1.00").await;
    let refused = service.put_batch(&real, &rehearse).await;
    refused.refused(422, "instruction_conflict", Some("validate_only"));
    let request = service.request("PUT", &format!("/v1/batches/{real}"));
    let request = request.header("Social-Wallet-Client", "other").body(rehearse.to_string());
    let refused = service.send(request).await.json();
    assert_eq!(refused["code"], "instruction_conflict");
    assert_eq!(service.batch(&real).await["validate_only"], false);
    service.chunk(&real, 1, &line(1, "1.00")).await.expect(200);
    assert_eq!(service.wallet_of(1).await["balance"], "1.00");
    // The real batch may come under the id of its rehearsal, and be of another kind.
    let id = fresh();
    service.put_batch(&id, &rehearse).await.expect(201);
    service.chunk(&id, 1, &line(2, "1.00")).await.expect(200);
    let openings = json!({"kind": "wallet_opening", "payer": super::super::PAYER, "lines": 1, "total": "0.00",
        "currency": "KZT"});
    let opened = service.put_batch(&id, &openings).await.expect(201);
    assert_eq!((&opened["validate_only"], &opened["received"]["lines"]), (&json!(false), &json!(0)));
    let answer = service.chunk_as(&id, 1, "text/csv", format!("iin\n{}\n", iin(2))).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted"]);
    assert_eq!(service.wallet_of(2).await["balance"], "0.00");
    service.close().await;
}

async fn so_many_are_validated_at_once_and_no_more(place: &Place) {
    let service = Service::start(place).await;
    let rehearse = with(declaration(1, "1.00"), "validate_only", json!(true));
    // One that is refused is not kept.
    let refused = service.put_batch(&fresh(), &with(rehearse.clone(), "programmes", json!(["NONE"]))).await;
    refused.refused(422, "programme_unknown", Some("programmes"));
    let [first, second, third] = [fresh(), fresh(), fresh()];
    for id in [&first, &second] {
        service.put_batch(id, &rehearse).await.expect(201);
    }
    let full = service.put_batch(&third, &rehearse).await;
    full.refused(503, "busy", None);
    assert_eq!(full.header("retry-after"), Some("1"));
    // One that is cancelled, or completed, leaves its place to the next, and is told as it ended.
    service.step(&first, "cancel", "anonymous").await.expect(200);
    service.put_batch(&third, &rehearse).await.expect(201);
    service.put_batch(&fresh(), &rehearse).await.refused(503, "busy", None);
    service.chunk(&third, 1, &lines(1..2, "1.00")).await.expect(200);
    for _ in 0..2 {
        assert_eq!(service.step(&third, "close", "anonymous").await.expect(200)["state"], "completed");
    }
    service.put_batch(&fresh(), &rehearse).await.expect(201);
    service.chunk(&first, 1, &lines(1..2, "1.00")).await.refused(409, "batch_closed", Some("batch"));
    for (id, state) in [(&first, "cancelled"), (&third, "completed")] {
        assert_eq!(service.get(&format!("/v1/batches/{id}")).await.expect(200)["state"], state);
    }
    service.close().await;
}
