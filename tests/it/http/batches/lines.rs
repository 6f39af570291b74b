//! The verdicts on single lines of a chunk.

use serde_json::json;

use super::super::{
    HEADER, MIFOS_HEADER, PAYER, Service, accrual, declaration, fresh, iin, in_both_rooms, line, lines,
    mistyped_iin, named_entries, verdicts, with,
};
use crate::store::Place;

in_both_rooms! {
    every_bad_kind_of_line_is_refused_by_code_and_field_and_stops_no_good_one,
    every_bad_kind_of_json_line_is_refused_by_code_and_field,
    invariant_7_a_line_sent_again_with_other_content_is_refused_by_field,
    a_refused_line_sent_again_corrected_is_accepted_and_the_sums_follow,
    invariant_8_a_benefit_twice_in_one_chunk_is_paid_once,
    invariant_8_a_benefit_paid_by_another_batch_names_the_entry,
    invariant_8_two_batches_at_once_pay_a_benefit_once,
    invariant_2_lines_beyond_the_funding_are_refused_and_accepted_after_funding,
}

async fn every_bad_kind_of_line_is_refused_by_code_and_field_and_stops_no_good_one(place: &Place) {
    let service = Service::start(place).await;
    service.register("BIRTH").await;
    service.write("/v1/accruals", &accrual(99, "10.00")).await.expect(201);
    let good = iin(1);
    let cases: Vec<(Vec<u8>, &str)> = [
        (format!("{},ASP,2026-11,1,5", iin(2)), "malformed_line:line"),
        (format!("{},ASP,2026-11,1,5,KZT,", iin(2)), "malformed_line:line"),
        (format!("{},ASP,2026-11,1,\"5,KZT", iin(2)), "malformed_line:line"),
        (String::new(), "malformed_line:line"),
        ("x".repeat(4_097), "line_too_long:line"),
        (",ASP,2026-11,1,5,KZT".into(), "field_missing:iin"),
        (format!("{},ASP,2026-11,1,5,KZT", &good[1..]), "iin_malformed:iin"),
        (format!("{},ASP,2026-11,1,5,KZT", mistyped_iin(2)), "iin_check_digit:iin"),
        (format!("{good},asp,2026-11,1,5,KZT"), "programme_malformed:programme"),
        (format!("{good},NONE,2026-11,1,5,KZT"), "programme_not_declared:programme"),
        (format!("{good},BIRTH,2026-11,1,5,KZT"), "programme_not_declared:programme"),
        (format!("{good},ASP,11.2026,1,5,KZT"), "period_malformed:period"),
        (format!("{good},ASP,2026-10,1,5,KZT"), "period_not_declared:period"),
        (format!("{good},ASP,once,1,5,KZT"), "period_not_declared:period"),
        (format!("{good},ASP,2026-11,0,5,KZT"), "part_out_of_range:part"),
        (format!("{good},ASP,2026-11,1000,5,KZT"), "part_out_of_range:part"),
        (format!("{good},ASP,2026-11,1,,KZT"), "field_missing:amount"),
        (format!("{good},ASP,2026-11,1,0,KZT"), "amount_zero:amount"),
        (format!("{good},ASP,2026-11,1,-5.00,KZT"), "amount_negative:amount"),
        (format!("{good},ASP,2026-11,1,5.001,KZT"), "amount_scale:amount"),
        (format!("{good},ASP,2026-11,1,5e3,KZT"), "amount_malformed:amount"),
        (format!("{good},ASP,2026-11,1,1000000000000.00,KZT"), "amount_too_large:amount"),
        (format!("{good},ASP,2026-11,1,99999999999999999999999,KZT"), "amount_too_large:amount"),
        (format!("{good},ASP,2026-11,1,5,USD"), "currency_unsupported:currency"),
        (format!("{},ASP,2026-11,1,10.00,KZT", iin(99)), "benefit_already_paid:line"),
        (format!("{},ASP,2026-11,1,10.01,KZT", iin(99)), "benefit_already_paid:amount"),
        (format!("{good},ASP,2026-11,2,1000000.00,KZT"), "funding_insufficient:amount"),
        (format!("{good},ASP,2026-11,1,5,KZT"), "accepted"),
    ]
    .into_iter()
    .map(|(text, verdict)| (text.into_bytes(), verdict))
    .chain([(b"\xcf\xee\xf1\xee\xe1\xe8\xe5,ASP,2026-11,1,5,KZT".to_vec(), "line_not_utf8:line")])
    .collect();
    let count = cases.len() as u64;
    let id = service.open(count, "2000000.00").await;
    let body = [
        HEADER.as_bytes().to_vec(),
        cases.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>().join(&b'\n'),
    ];
    let answer = service.chunk_as(&id, 1, "text/csv", body.concat()).await.expect(200);
    let expected: Vec<_> = cases.iter().map(|(_, verdict)| (*verdict).to_owned()).collect();
    assert_eq!(verdicts(&answer), expected);
    // What counts as received is every amount that can be read.
    let batch = service.batch(&id).await;
    assert_eq!(batch["accepted"], json!({"lines": 1, "total": "5.00"}));
    assert_eq!(batch["received"], json!({"lines": count, "total": "1000085.01"}));
    let stored = service.get(&format!("/v1/batches/{id}/verdicts")).await.expect(200);
    assert_eq!(verdicts(&stored), expected);
    assert_eq!(named_entries(&stored), named_entries(&answer));
    service.close().await;
}

async fn every_bad_kind_of_json_line_is_refused_by_code_and_field(place: &Place) {
    let service = Service::start(place).await;
    let good = format!(r#""iin":"{}","programme":"ASP","period":"2026-11""#, iin(1));
    let cases = [
        ("[]".to_owned(), "malformed_line:line"),
        (format!(r#"{{{good},"amount":5}}"#), "malformed_line:line"),
        (format!(r#"{{{good},"amount":"5","amount":"6"}}"#), "malformed_line:line"),
        (format!(r#"{{{good},"amount":"5","prt":2}}"#), "malformed_line:line"),
        (format!(r#"{{{good},"amount":"5","part":"1"}}"#), "malformed_line:line"),
        (format!(r#"{{{good},"amount":"5","currency":null}}"#), "malformed_line:line"),
        (format!(r#"{{{good},"amount":"5""#), "malformed_line:line"),
        (format!(r#"{{{good},"amount":"5","part":0}}"#), "part_out_of_range:part"),
        (format!(r"{{{good}}}"), "field_missing:amount"),
        (format!(r#"{{{good},"amount":"5"}}"#), "accepted"),
    ];
    let id = service.open(12, "100.00").await;
    let text: Vec<_> = cases.iter().map(|(text, _)| text.as_str()).collect();
    let answer = service.chunk_as(&id, 1, "application/x-ndjson", text.join("\n")).await.expect(200);
    assert_eq!(verdicts(&answer), cases.map(|(_, verdict)| verdict.to_owned()));
    // And the one fault that only the bulk file of Mifos can have.
    let row = format!("1,r,closedloop,BIN,{PAYER},MSISDN,{},5,KZT,,ASP,2026-11,wallet,,\n", iin(3));
    let answer = service.chunk_as(&id, 11, "text/csv", format!("{MIFOS_HEADER}{row}")).await.expect(200);
    assert_eq!(verdicts(&answer), ["payee_type_unsupported:payee_identifier_type"]);
    service.close().await;
}

async fn invariant_7_a_line_sent_again_with_other_content_is_refused_by_field(place: &Place) {
    let service = Service::start(place).await;
    service.register("BIRTH").await;
    let id = fresh();
    let body = with(declaration(3, "30.00"), "programmes", json!(["ASP", "BIRTH"]));
    let body = with(body, "periods", json!(["2026-11", "2026-12"]));
    service.put_batch(&id, &body).await.expect(201);
    let first = service.chunk(&id, 1, &lines(1..3, "10.00")).await.expect(200);
    let (size, batch) = (service.size().await, service.batch(&id).await);
    let good = iin(2);
    for (field, text) in [
        ("iin", line(3, "10.00")),
        ("iin", format!("{},ASP,2026-11,1,10.00,KZT\n", mistyped_iin(2))),
        ("programme", format!("{good},BIRTH,2026-11,1,10.00,KZT\n")),
        ("period", format!("{good},ASP,2026-12,1,10.00,KZT\n")),
        ("part", format!("{good},ASP,2026-11,2,10.00,KZT\n")),
        ("amount", format!("{good},ASP,2026-11,1,10.01,KZT\n")),
        ("amount", format!("{good},ASP,2026-11,1,30.00,KZT\n")),
        ("amount", format!("{good},ASP,2026-11,1,0.00,KZT\n")),
        ("currency", format!("{good},ASP,2026-11,1,10.00,USD\n")),
        ("line", format!("{good},ASP\n")),
    ] {
        let answer = service.chunk(&id, 2, &text).await.expect(200);
        assert_eq!(verdicts(&answer), [format!("line_conflict:{field}")], "{text}");
        assert_eq!((named_entries(&answer)[0], &answer["entry"]), (named_entries(&first)[1], &json!(null)));
    }
    assert_eq!((service.size().await, service.batch(&id).await), (size, batch));
    // Beside a line that brings something new, a conflict is recorded as what it is: a line that stays accepted.
    let answer = service.chunk(&id, 2, &format!("{}{}", line(2, "9.00"), line(3, "10.00"))).await.expect(200);
    assert_eq!(verdicts(&answer), ["line_conflict:amount", "accepted"]);
    let stored = service.get(&format!("/v1/batches/{id}/verdicts")).await.expect(200);
    assert_eq!(verdicts(&stored), ["accepted"; 3]);
    let again = service.chunk(&id, 1, &lines(1..4, "10.00")).await.expect(200);
    assert_eq!(verdicts(&again), ["already_accepted"; 3]);
    let again = service.chunk(&id, 2, &format!("{}{}", line(2, "9.00"), line(3, "10.00"))).await.expect(200);
    assert_eq!(
        verdicts(&again),
        ["line_conflict:amount", "already_accepted"],
        "the chunk that conflicted, again"
    );
    assert_eq!(service.batch(&id).await["accepted"], json!({"lines": 3, "total": "30.00"}));
    service.close().await;
}

async fn a_refused_line_sent_again_corrected_is_accepted_and_the_sums_follow(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(2, "20.00").await;
    let sums = async |received: &str, accepted: u64| {
        let batch = service.batch(&id).await;
        assert_eq!(batch["received"]["total"], received);
        assert_eq!(batch["accepted"]["lines"], accepted);
        assert_eq!(
            batch["refused"]["lines"].as_u64().unwrap() + accepted,
            batch["received"]["lines"].as_u64().unwrap()
        );
    };
    let bad = |amount: &str| format!("{},ASP,2026-11,1,{amount},KZT\n", mistyped_iin(1));
    service.chunk(&id, 1, &format!("{}{}", bad("10.00"), line(2, "5.00"))).await.expect(200);
    sums("15.00", 1).await;
    // Refused again with another amount: the newest content counts.
    let size = service.size().await;
    let answer = service.chunk(&id, 1, &bad("14.00")).await.expect(200);
    assert_eq!(verdicts(&answer), ["iin_check_digit:iin"]);
    assert_eq!(service.size().await, size + 1, "the newest verdict is recorded");
    sums("19.00", 1).await;
    let refused = service.chunk(&id, 1, &bad("15.01")).await;
    refused.refused(422, "declared_total_exceeded", Some("amount"));
    sums("19.00", 1).await;
    service.chunk(&id, 1, &bad("x")).await.expect(200);
    sums("5.00", 1).await;
    let answer = service.chunk(&id, 1, &format!("{}{}", line(1, "15.00"), line(2, "5.00"))).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted", "already_accepted"]);
    sums("20.00", 2).await;
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    service.close().await;
}

async fn invariant_8_a_benefit_twice_in_one_chunk_is_paid_once(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(4, "100.00").await;
    let text = [line(1, "10.00"), line(1, "10.00"), line(1, "11.00"), line(1, "10.00").replace(",1,", ",2,")];
    let answer = service.chunk(&id, 1, &text.concat()).await.expect(200);
    let [line, amount] = ["benefit_already_paid:line", "benefit_already_paid:amount"];
    assert_eq!(verdicts(&answer), ["accepted", line, amount, "accepted"]);
    let entries = named_entries(&answer);
    assert_eq!((entries[1], entries[2]), (entries[0], entries[0]));
    assert_eq!(service.wallet_of(1).await["balance"], "20.00");
    service.close().await;
}

async fn invariant_8_a_benefit_paid_by_another_batch_names_the_entry(place: &Place) {
    let service = Service::start(place).await;
    let [one, two] = [service.open(2, "20.00").await, service.open(2, "21.00").await];
    let paid = service.chunk(&one, 1, &lines(1..3, "10.00")).await.expect(200);
    let text = format!("{}{}", line(1, "10.00"), line(2, "11.00"));
    let answer = service.chunk(&two, 1, &text).await.expect(200);
    assert_eq!(verdicts(&answer), ["benefit_already_paid:line", "benefit_already_paid:amount"]);
    assert_eq!(named_entries(&answer), named_entries(&paid));
    let service = service.restart(place, super::super::second_day).await;
    let answer = service.chunk(&two, 1, &text).await.expect(200);
    assert_eq!(named_entries(&answer), named_entries(&paid));
    assert_eq!(service.wallet_of(1).await["balance"], "10.00");
    service.close().await;
}

async fn invariant_8_two_batches_at_once_pay_a_benefit_once(place: &Place) {
    let service = Service::start(place).await;
    let mut batches = Vec::new();
    for _ in 0..8 {
        batches.push(service.open(400, "400.00").await);
    }
    let text = lines(0..400, "1.00");
    let answers = futures::future::join_all(batches.iter().map(|id| service.chunk(id, 1, &text))).await;
    let answers: Vec<_> = answers.iter().map(|answer| answer.expect(200)).collect();
    let paid = answers.iter().find(|answer| answer["counts"]["accepted"] == 400).unwrap();
    for answer in &answers {
        assert_eq!(named_entries(answer), named_entries(paid), "each names the entries that paid");
    }
    assert_eq!(answers.iter().filter(|answer| answer["counts"]["refused"] == 400).count(), 7);
    assert_eq!(service.get("/v1/programmes/ASP").await.expect(200)["in_wallets"], "400.00");
    service.close().await;
}

async fn invariant_2_lines_beyond_the_funding_are_refused_and_accepted_after_funding(place: &Place) {
    let service = Service::on_new_book(place).await;
    service.register("ASP").await;
    service.fund("ASP", "25.00").await;
    let id = service.open(4, "35.00").await;
    let text = format!("{}{}{}", lines(1..4, "10.00"), "", line(4, "5.00"));
    let answer = service.chunk(&id, 1, &text).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted", "accepted", "funding_insufficient:amount", "accepted"]);
    assert_eq!(service.get("/v1/programmes/ASP").await.expect(200)["funding"], "0.00");
    let first = named_entries(&answer);
    // The same again before the funding: nothing new, and nothing is recorded.
    let size = service.size().await;
    let again = service.chunk(&id, 1, &text).await.expect(200);
    assert_eq!(verdicts(&again)[2], "funding_insufficient:amount");
    assert_eq!(service.size().await, size);
    service.fund("ASP", "10.00").await;
    let answer = service.chunk(&id, 1, &text).await.expect(200);
    let already = "already_accepted";
    assert_eq!(verdicts(&answer), [already, already, "accepted", already]);
    let second = named_entries(&answer);
    assert_eq!((second[0], second[1], second[3]), (first[0], first[1], first[3]));
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    service.close().await;
}
