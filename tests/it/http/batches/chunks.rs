//! `/v1/batches/{id}/chunks/{first_line}`: whole chunks.

use std::fmt::Write as _;

use serde_json::json;
use social_wallet::payroll::{CHUNK_BYTES_MAX, LINES_PER_CHUNK_MAX};

use super::super::{
    HEADER, MIFOS_HEADER, PAYER, Service, declaration, fresh, iin, in_both_rooms, line, lines, named_entries,
    verdicts, with,
};
use crate::store::Place;

in_both_rooms! {
    a_chunk_is_taken_as_csv_as_ndjson_and_as_the_bulk_file_of_mifos,
    invariant_7_the_same_chunk_again_moves_nothing,
    invariant_7_the_same_lines_cut_otherwise_move_nothing,
    no_more_lines_are_taken_than_declared,
    no_more_money_is_taken_than_declared,
    a_chunk_has_at_most_8192_lines,
    a_chunk_has_at_most_four_mebibytes,
    a_chunk_without_lines_or_with_another_header_is_refused_whole,
    a_chunk_of_another_content_type_is_refused,
    chunks_in_flight_in_any_order_add_up,
    invariant_7_the_same_chunk_eight_times_at_once_is_taken_once,
    reversals_come_in_batches_too,
    openings_come_in_batches_too,
}

async fn a_chunk_is_taken_as_csv_as_ndjson_and_as_the_bulk_file_of_mifos(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(6, "60.60").await;
    let size = service.size().await;
    let answer = service.chunk(&id, 1, &lines(1..3, "10.10")).await.expect(200);
    assert_eq!(
        answer,
        json!({"batch": id, "first_line": 1, "lines": 2, "entry": size + 4, "state": "open",
            "counts": {"accepted": 2, "already_accepted": 0, "refused": 0}, "advice": {},
            "verdicts": [{"line": 1, "verdict": "accepted", "entry": size + 1},
                {"line": 2, "verdict": "accepted", "entry": size + 3}]})
    );
    let json_line = |person| {
        format!(r#"{{"iin":"{}","programme":"ASP","period":"2026-11","amount":"10.1"}}"#, iin(person)) + "\n"
    };
    let text = json_line(3) + &json_line(4);
    let answer = service.chunk_as(&id, 3, "application/x-ndjson", text).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted"; 2]);
    let mut text = MIFOS_HEADER.to_owned();
    for person in 5..7 {
        let number = iin(person);
        writeln!(text, "{person},r,closedloop,BIN,{PAYER},IIN,{number},10.1,KZT,a note,ASP,2026-11,wallet,,")
            .unwrap();
    }
    let answer = service.chunk_as(&id, 5, "text/csv; charset=UTF-8", text).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted"; 2]);
    for person in 1..7 {
        assert_eq!(service.wallet_of(person).await["balance"], "10.10", "unknown people have got a wallet");
    }
    let chunk: serde_json::Value = serde_json::from_str(service.leaves().await.last().unwrap()).unwrap();
    assert_eq!((&chunk["kind"], &chunk["received_total"]), (&json!("chunk_received"), &json!("60.60")));
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    service.close().await;
}

async fn invariant_7_the_same_chunk_again_moves_nothing(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(4, "4.00").await;
    let text = format!("{}{}", lines(1..4, "1.00"), line(4, "0.00"));
    let first = service.chunk(&id, 1, &text).await.expect(200);
    let (size, batch) = (service.size().await, service.batch(&id).await);
    assert_eq!(first["entry"], size - 1);
    let check = |again: &serde_json::Value| {
        let [yes, no] = ["already_accepted", "amount_zero:amount"];
        assert_eq!(verdicts(again), [yes, yes, yes, no]);
        assert_eq!((named_entries(again), &again["entry"]), (named_entries(&first), &json!(null)));
        assert_eq!(again["counts"], json!({"accepted": 0, "already_accepted": 3, "refused": 1}));
        assert_eq!(again["advice"].as_object().unwrap().len(), 1, "what to do is told once a code: {again}");
    };
    check(&service.chunk(&id, 1, &text).await.expect(200));
    assert_eq!((service.size().await, service.batch(&id).await), (size, batch.clone()));
    let service = service.restart(place, super::super::second_day).await;
    check(&service.chunk(&id, 1, &text).await.expect(200));
    assert_eq!((service.size().await, service.batch(&id).await), (size, batch));
    service.close().await;
}

async fn invariant_7_the_same_lines_cut_otherwise_move_nothing(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(9, "9.00").await;
    let mut entries = Vec::new();
    for first in [1, 4, 7] {
        let answer = service.chunk(&id, first.into(), &lines(first..first + 3, "1.00")).await.expect(200);
        entries.extend(named_entries(&answer));
    }
    let (size, batch) = (service.size().await, service.batch(&id).await);
    for (first, last) in [(1, 9), (2, 5), (3, 4), (5, 9), (9, 9)] {
        let again = service.chunk(&id, first.into(), &lines(first..last + 1, "1.00")).await.expect(200);
        assert_eq!(verdicts(&again), vec!["already_accepted"; (last - first + 1) as usize]);
        assert_eq!(named_entries(&again), entries[first as usize - 1..last as usize]);
        // In another encoding, too.
        let text: String = (first..=last)
            .map(|person| {
                format!(
                    r#"{{"iin":"{}","programme":"ASP","period":"2026-11","part":1,"amount":"1"}}"#,
                    iin(person)
                ) + "\n"
            })
            .collect();
        let again = service.chunk_as(&id, first.into(), "application/x-ndjson", text).await.expect(200);
        assert_eq!(named_entries(&again), entries[first as usize - 1..last as usize]);
    }
    assert_eq!((service.size().await, service.batch(&id).await), (size, batch));
    service.close().await;
}

async fn no_more_lines_are_taken_than_declared(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(4, "100.00").await;
    let (size, batch) = (service.size().await, service.batch(&id).await);
    for (first, count) in [(1, 5), (4, 2), (5, 1), (40_000_000, 1)] {
        let refused = service.chunk(&id, first, &lines(1..1 + count, "1.00")).await;
        refused.refused(422, "declared_lines_exceeded", Some("first_line"));
    }
    for first in ["0", "40000001", "-1", "x", "18446744073709551615"] {
        let path = format!("/v1/batches/{id}/chunks/{first}");
        let request = service.request("PUT", &path).header("Content-Type", "text/csv");
        let refused = service.send(request.body(format!("{HEADER}{}", line(1, "1.00")))).await;
        refused.refused(400, "field_malformed", Some("first_line"));
    }
    assert_eq!((service.size().await, service.batch(&id).await), (size, batch), "nothing was recorded");
    assert_eq!(service.chunk(&id, 1, &lines(1..4, "1.00")).await.expect(200)["counts"]["accepted"], 3);
    assert_eq!(service.chunk(&id, 4, &lines(4..5, "1.00")).await.expect(200)["counts"]["accepted"], 1);
    service.close().await;
}

async fn no_more_money_is_taken_than_declared(place: &Place) {
    let service = Service::start(place).await;
    for (last, taken) in [("3.99", true), ("4.00", true), ("4.01", false)] {
        let id = fresh();
        let period = format!("20{}-01", 20 + last[3..].parse::<u32>().unwrap());
        let body = with(declaration(4, "10.00"), "periods", json!([period]));
        service.put_batch(&id, &body).await.expect(201);
        let pay = |person, amount: &str| line(person, amount).replace("2026-11", &period);
        service.chunk(&id, 1, &format!("{}{}", pay(1, "1.00"), pay(2, "5.00"))).await.expect(200);
        let (size, batch) = (service.size().await, service.batch(&id).await);
        // A refused line counts, since its amount can be read.
        let text = format!("{}{}", pay(1, "0.00"), pay(9, last).replace("ASP", "NONE"));
        let answer = service.chunk(&id, 3, &text).await;
        if taken {
            assert_eq!(
                verdicts(&answer.expect(200)),
                ["amount_zero:amount", "programme_not_declared:programme"]
            );
            let totals = service.batch(&id).await;
            assert_eq!(totals["accepted"], json!({"lines": 2, "total": "6.00"}));
            assert_eq!(totals["refused"], json!({"lines": 2}));
            let difference = if last == "3.99" { "0.01" } else { "0.00" };
            assert_eq!(totals["difference"], json!({"lines": 0, "total": difference}));
        } else {
            let refused = answer.refused(422, "declared_total_exceeded", Some("amount"));
            assert_eq!(refused["detail"], "declared 10.00 KZT, received with this chunk 10.01 KZT");
            assert_eq!((service.size().await, service.batch(&id).await), (size, batch));
        }
    }
    service.close().await;
}

async fn a_chunk_has_at_most_8192_lines(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(100_000, "200000.00").await;
    // Good lines at both ends, and between them lines that cost nothing.
    let of = |count: usize, person| {
        let between = format!("{},NONE,2026-11,1,1.00,KZT\n", iin(9)).repeat(count - 2);
        format!("{}{between}{}", line(person, "1.00"), line(person + 1, "1.00"))
    };
    let size = service.size().await;
    let refused = service.chunk(&id, 1, &of(LINES_PER_CHUNK_MAX + 1, 1)).await;
    refused.refused(413, "chunk_too_many_lines", None);
    assert_eq!(service.size().await, size);
    for (first, count, person) in [(1, LINES_PER_CHUNK_MAX, 1), (8_193, LINES_PER_CHUNK_MAX - 1, 3)] {
        let answer = service.chunk(&id, first, &of(count, person)).await.expect(200);
        assert_eq!((&answer["counts"]["accepted"], &answer["lines"]), (&json!(2), &json!(count)));
    }
    let page = service.get(&format!("/v1/batches/{id}/verdicts?after_line=8190&limit=4")).await.expect(200);
    let other = "programme_not_declared:programme";
    assert_eq!(verdicts(&page), [other, "accepted", "accepted", other], "over the seam of two chunks");
    service.close().await;
}

async fn a_chunk_has_at_most_four_mebibytes(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(8_192, "10.00").await;
    // Filled up with lines of 4,097 bytes, which are too long.
    let filled = |bytes: usize| {
        let mut text = format!("{HEADER}{}", line(1, "1.00")).into_bytes();
        while bytes - text.len() > 4_097 {
            text.extend([b'x'; 4_097]);
            text.push(b'\n');
        }
        text.resize(bytes, b'y');
        text
    };
    let batch = service.batch(&id).await;
    let refused = service.chunk_as(&id, 1, "text/csv", filled(CHUNK_BYTES_MAX + 1)).await;
    assert_eq!(refused.refused(413, "chunk_too_large", None)["limit"], CHUNK_BYTES_MAX);
    assert_eq!(service.batch(&id).await, batch);
    for bytes in [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX - 1] {
        let answer = service.chunk_as(&id, 1, "text/csv", filled(bytes)).await.expect(200);
        let verdicts = verdicts(&answer);
        assert!(matches!(verdicts[0].as_str(), "accepted" | "already_accepted"), "{}", verdicts[0]);
        assert_eq!(verdicts[1], "line_too_long:line");
    }
    service.close().await;
}

async fn a_chunk_without_lines_or_with_another_header_is_refused_whole(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(2, "2.00").await;
    let good = line(1, "1.00");
    let size = service.size().await;
    for (kind, text, code) in [
        ("text/csv", String::new(), "chunk_empty"),
        ("text/csv", HEADER.to_owned(), "chunk_empty"),
        ("application/x-ndjson", String::new(), "chunk_empty"),
        ("text/csv", good.clone(), "chunk_header_missing"),
        ("text/csv", format!("iin,programme\n{good}"), "chunk_header_unknown"),
        ("text/csv", format!("IIN{}{good}", &HEADER[3..]), "chunk_header_unknown"),
        ("text/csv", format!("iin,programme,period,part,reason\n{good}"), "chunk_header_unknown"),
        ("text/csv", format!("\n{HEADER}{good}"), "chunk_header_unknown"),
    ] {
        let refused = service.chunk_as(&id, 1, kind, text).await;
        refused.refused(400, code, None);
    }
    assert_eq!(service.size().await, size);
    let marked = format!("\u{feff}{}\r\n{}\r\n", HEADER.trim_end(), good.trim_end());
    assert_eq!(verdicts(&service.chunk_as(&id, 1, "text/csv", marked).await.expect(200)), ["accepted"]);
    service.close().await;
}

async fn a_chunk_of_another_content_type_is_refused(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(1, "1.00").await;
    for kind in
        ["application/json", "text/plain", "text/csv; charset=windows-1251", "multipart/form-data", "x"]
    {
        let refused = service.chunk_as(&id, 1, kind, format!("{HEADER}{}", line(1, "1.00"))).await;
        refused.refused(415, "content_type_unsupported", None);
    }
    let none = service.request("PUT", &format!("/v1/batches/{id}/chunks/1")).body(Vec::from(HEADER));
    service.send(none).await.refused(415, "content_type_unsupported", None);
    service.close().await;
}

async fn chunks_in_flight_in_any_order_add_up(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(8 * 300, "2400.00").await;
    let texts: Vec<(u64, String)> = (0..8)
        .map(|chunk| (u64::from(chunk) * 300 + 1, lines(chunk * 300..(chunk + 1) * 300, "1.00")))
        .collect();
    let sent =
        [5, 0, 7, 2, 1, 6, 3, 4].map(|chunk: usize| service.chunk(&id, texts[chunk].0, &texts[chunk].1));
    for answer in futures::future::join_all(sent).await {
        let answer = answer.expect(200);
        assert_eq!(answer["counts"]["accepted"], 300);
        assert!(named_entries(&answer).windows(2).all(|pair| pair[0] < pair[1]));
    }
    let batch = service.batch(&id).await;
    for sum in ["received", "accepted", "declared"] {
        assert_eq!(batch[sum], json!({"lines": 2_400, "total": "2400.00"}));
    }
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    let book = service.get("/v1/book").await.expect(200);
    assert_eq!(book["wallets"], 2_400);
    service.close().await;
}

async fn invariant_7_the_same_chunk_eight_times_at_once_is_taken_once(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(300, "300.00").await;
    let text = lines(0..300, "1.00");
    let answers = futures::future::join_all((0..8).map(|_| service.chunk(&id, 1, &text))).await;
    let answers: Vec<_> = answers.iter().map(|answer| answer.expect(200)).collect();
    assert_eq!(answers.iter().filter(|answer| answer["counts"]["accepted"] == 300).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer["counts"]["already_accepted"] == 300).count(), 7);
    for answer in &answers {
        assert_eq!(named_entries(answer), named_entries(&answers[0]));
    }
    assert_eq!(service.batch(&id).await["accepted"], json!({"lines": 300, "total": "300.00"}));
    service.close().await;
}

async fn reversals_come_in_batches_too(place: &Place) {
    let service = Service::start(place).await;
    let paid = service.open(3, "6.00").await;
    let answer = service.chunk(&paid, 1, &lines(1..4, "2.00")).await.expect(200);
    let lots = named_entries(&answer);
    let id = fresh();
    let body = with(with(declaration(6, "0.00"), "kind", json!("reversal")), "total", json!("0.00"));
    service.put_batch(&id, &body).await.expect(201);
    let back = |person, period: &str, reason: &str| format!("{},ASP,{period},1,{reason}\n", iin(person));
    let header = "iin,programme,period,part,reason\n";
    let text = [
        back(1, "2026-11", "\"paid twice, act 7\""),
        back(1, "2026-11", "again"),
        back(4, "2026-11", "never paid"),
        back(2, "2026-10", "undeclared"),
        back(2, "2026-11", ""),
        back(3, "2026-11", "an error"),
    ];
    let text = format!("{header}{}", text.concat());
    let answer = service.chunk_as(&id, 1, "text/csv", text.clone()).await.expect(200);
    let refused = |text: &str| text.to_owned();
    assert_eq!(
        verdicts(&answer),
        [
            refused("accepted"),
            refused("nothing_to_reverse:period"),
            refused("accrual_not_found:iin"),
            refused("period_not_declared:period"),
            refused("field_missing:reason"),
            refused("accepted")
        ]
    );
    assert_eq!(named_entries(&answer)[1], lots[0]);
    let entry = service.get(&format!("/v1/entries/{}", named_entries(&answer)[0].unwrap())).await.expect(200);
    assert_eq!((&entry["kind"], &entry["batch"]), (&json!("reversal"), &json!(id)));
    assert_eq!((&entry["uncollected"], &entry["reason"]), (&json!("0.00"), &json!("paid twice, act 7")));
    let size = service.size().await;
    let again = service.chunk_as(&id, 1, "text/csv", text).await.expect(200);
    assert_eq!(again["counts"], json!({"accepted": 0, "already_accepted": 2, "refused": 4}));
    assert_eq!(service.size().await, size);
    let conflict = format!("{header}{}", back(1, "2026-11", "another reason"));
    let conflict = service.chunk_as(&id, 1, "text/csv", conflict).await.expect(200);
    assert_eq!(verdicts(&conflict), ["line_conflict:reason"]);
    let totals = service.batch(&id).await;
    assert_eq!(totals["accepted"], json!({"lines": 2, "total": "4.00"}));
    assert_eq!(totals["received"], json!({"lines": 6, "total": "0.00"}));
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    for (person, balance) in [(1, "0.00"), (2, "2.00"), (3, "0.00")] {
        assert_eq!(service.wallet_of(person).await["balance"], balance);
    }
    service.close().await;
}

async fn openings_come_in_batches_too(place: &Place) {
    let service = Service::start(place).await;
    service.write("/v1/wallets", &json!({"iin": iin(2)})).await.expect(201);
    let id = fresh();
    let body =
        json!({"kind": "wallet_opening", "payer": PAYER, "lines": 4, "total": "0.00", "currency": "KZT"});
    service.put_batch(&id, &body).await.expect(201);
    let text = format!("iin\n{}\n{}\n{}\n", iin(1), iin(2), iin(1));
    let answer = service.chunk_as(&id, 1, "text/csv", text.clone()).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted", "wallet_exists:iin", "wallet_exists:iin"]);
    let json_line = format!("{{\"iin\":\"{}\"}}\n", iin(3));
    let answer = service.chunk_as(&id, 4, "application/x-ndjson", json_line).await.expect(200);
    assert_eq!(verdicts(&answer), ["accepted"]);
    let again = service.chunk_as(&id, 1, "text/csv", text).await.expect(200);
    assert_eq!(verdicts(&again), ["already_accepted", "wallet_exists:iin", "wallet_exists:iin"]);
    let other = service.chunk_as(&id, 1, "text/csv", format!("iin\n{}\n", iin(4))).await.expect(200);
    assert_eq!(verdicts(&other), ["line_conflict:iin"]);
    assert_eq!(service.wallet_of(3).await["balance"], "0.00");
    assert_eq!(service.get("/v1/book").await.expect(200)["wallets"], 3);
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    service.close().await;
}
