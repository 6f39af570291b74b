//! Invariant 11: no person's number in the log, in a URL, in an error or in any other answer.

use serde_json::json;

use super::{
    HEADER, MIFOS_HEADER, PAYER, Service, accrual, declaration, fresh, iin, in_both_rooms, line,
    mistyped_iin, reversal, with,
};
use crate::store::Place;

in_both_rooms! {
    invariant_11_no_persons_number_stands_in_the_journal_or_in_any_answer,
}

#[allow(clippy::too_many_lines)] // every request there is
async fn invariant_11_no_persons_number_stands_in_the_journal_or_in_any_answer(place: &Place) {
    let service = Service::start(place).await;
    let (good, bad) = (iin(1), mistyped_iin(2));
    let long = format!("{good}1");
    let numbers = [good.as_str(), bad.as_str(), long.as_str(), &good[..11]];
    // Writes and reads about a person, well and badly made.
    for number in numbers {
        let of = |body| with(body, "iin", json!(number));
        service.write("/v1/wallets", &json!({"iin": number})).await;
        service
            .send(service.request("POST", "/v1/wallets/lookup").body(json!({"iin": number}).to_string()))
            .await;
        service.write("/v1/accruals", &of(accrual(1, "1.00"))).await;
        service.write("/v1/accruals", &of(accrual(1, "1.00"))).await;
        service.write("/v1/accruals", &of(accrual(1, "9999999.00"))).await;
        service.write("/v1/reversals", &of(reversal(1))).await;
        service.write("/v1/reversals", &of(reversal(1))).await;
        // In places where it does not belong.
        for field in ["payer", "programme", "period", "part", "amount", "currency", "iin", "colour"] {
            service.write("/v1/accruals", &with(accrual(1, "1.00"), field, json!(number))).await;
            service.write("/v1/accruals", &with(accrual(1, "1.00"), field, json!([number]))).await;
        }
        for field in
            ["kind", "payer", "programmes", "periods", "lines", "currency", "not_before", "validate_only"]
        {
            service.put_batch(&fresh(), &with(declaration(1, "1.00"), field, json!(number))).await;
            service.put_batch(&fresh(), &with(declaration(1, "1.00"), field, json!([number]))).await;
        }
        for body in [format!("{{\"{number}\": 1}}"), number.to_owned(), format!("{{\"iin\": {number}")] {
            let request = service.request("POST", "/v1/wallets").header("Idempotency-Key", fresh());
            service.send(request.body(body)).await;
        }
        for path in [
            format!("/v1/wallets/{number}"),
            format!("/v1/{number}"),
            format!("/v1/programmes/{number}"),
            format!("/v1/entries/{number}"),
            format!("/v1/batches/{number}"),
            format!("/v1/batches/{number}/verdicts?after_line={number}"),
            format!("/v1/reports/trial-balance?at={number}"),
            format!("/v1/reports/trial-balance?{number}=1"),
            format!("/v1/wallets/%ff{number}"),
            format!("/v1/entries/{number}/receipt"),
            format!("/log/tile/0/{number}"),
            format!("/log/tile/entries/{number}"),
            format!("/log/{number}"),
            format!("/v1/log/inclusion?entry={number}"),
            format!("/v1/log/inclusion?{number}=1"),
            format!("/v1/log/consistency?old={number}&new={number}"),
            format!("/v1/wallets/{}/statement?after={number}", fresh()),
        ] {
            service.get(&path).await;
            service.send(service.request("DELETE", &path)).await;
        }
        for header in ["Idempotency-Key", "Social-Wallet-Client", "Accept", "Content-Type"] {
            let request =
                service.request("POST", "/v1/accruals").header(header, format!("{number} {number}"));
            service.send(request.body(accrual(1, "1.00").to_string())).await;
        }
        let request = service.request("GET", "/v1/receipt").header("Idempotency-Key", number);
        service.send(request).await;
        service.post("/v1/accruals", number, &accrual(3, "1.00")).await;
        service.post("/v1/accruals", number, &accrual(4, "1.00")).await;
    }
    // Batches of every kind and encoding.
    let csv: String = numbers
        .iter()
        .flat_map(|number| {
            [
                format!("{number},ASP,2026-11,2,1.00,KZT\n"),
                format!("{number},{number},2026-11,2,1.00,KZT\n"),
                format!("{good},ASP,{number},2,1.00,KZT\n"),
                format!("{good},ASP,2026-11,{number},1.00,KZT\n"),
                format!("{good},ASP,2026-11,2,{number},KZT\n"),
                format!("{good},ASP,2026-11,2,1.00,{number}\n"),
                format!("{number}\n"),
                format!("\"{number}\n"),
            ]
        })
        .collect();
    let id = service.open(100, "999999999999999.00").await;
    for accept in ["application/json", "text/csv"] {
        for text in [
            format!("{HEADER}{csv}"),
            csv.clone(),
            format!("iin,{good}\n{csv}"),
            format!("{MIFOS_HEADER}{csv}"),
        ] {
            let request =
                service.request("PUT", &format!("/v1/batches/{id}/chunks/1")).header("Accept", accept);
            service.send(request.header("Content-Type", "text/csv").body(text)).await;
        }
        let request = service.request("GET", &format!("/v1/batches/{id}/verdicts")).header("Accept", accept);
        service.send(request).await;
    }
    service.chunk_as(&id, 1, &format!("text/{good}"), csv).await.refused(
        415,
        "content_type_unsupported",
        None,
    );
    let ndjson: String = numbers
        .iter()
        .flat_map(|number| {
            [
                format!("{{\"iin\":\"{number}\",\"programme\":\"ASP\",\"period\":\"2026-11\",\"part\":3,\"amount\":\"1\"}}\n"),
                format!("{{\"iin\":\"{number}\",\"{number}\":1}}\n"),
                format!("{{\"iin\":{number}}}\n"),
            ]
        })
        .collect();
    service.chunk_as(&id, 50, "application/x-ndjson", ndjson).await.expect(200);
    service.chunk(&id, 1, &line(7, "1.00")).await.expect(200);
    for (kind, header) in [("reversal", "iin,programme,period,part,reason"), ("wallet_opening", "iin")] {
        let id = fresh();
        let mut body = with(with(declaration(9, "0.00"), "kind", json!(kind)), "payer", json!(PAYER));
        if kind == "wallet_opening" {
            (body["programmes"], body["periods"]) = (json!([]), json!([]));
        }
        service.put_batch(&id, &body).await.expect(201);
        let tail = if kind == "reversal" { ",ASP,2026-11,2,an error" } else { "" };
        let lines = numbers.map(|number| format!("{number}{tail}")).join("\n");
        service.chunk_as(&id, 1, "text/csv", format!("{header}\n{lines}")).await.expect(200);
        service.step(&id, "close", "anonymous").await.expect(200);
    }
    // Everything that can be read.
    let leaves = service.leaves().await;
    for number in 0..leaves.len() {
        service.get(&format!("/v1/entries/{number}")).await.expect(200);
        assert_eq!(service.get_covered(&format!("/v1/entries/{number}/receipt")).await.status, 200);
    }
    for path in [
        "/log/checkpoint",
        "/log/tile/0/000.p/9",
        "/log/tile/entries/000.p/9",
        "/v1/log/inclusion?entry=1",
        "/v1/log/consistency?old=1",
        "/health/ready",
    ] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    let wallet = service.wallet_of(1).await["wallet"].as_str().unwrap().to_owned();
    for path in ["/v1/programmes", "/v1/reports/programmes", "/v1/reports/trial-balance", "/v1/book"] {
        service.get(path).await.expect(200);
    }
    for what in ["", "/balance", "/statement"] {
        service.get(&format!("/v1/wallets/{wallet}{what}")).await.expect(200);
    }
    let answers = service.answers.lock().unwrap().clone();
    let statuses: std::collections::BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(
        [200, 201, 400, 404, 405, 415, 422].iter().all(|status| statuses.contains(status)),
        "{statuses:?}"
    );
    assert!(!statuses.contains(&500), "{statuses:?}");
    for number in [good.as_str(), bad.as_str(), &good[..11], &iin(3), &iin(4), &iin(7)] {
        for answer in &answers {
            assert!(!answer.body.contains(number), "{answer:?}");
            assert!(
                !answer.headers.iter().any(|(name, value)| name.contains(number) || value.contains(number))
            );
        }
        assert!(!leaves.iter().any(|leaf| leaf.contains(number)));
    }
    service.close().await;
}
