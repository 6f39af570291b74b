//! `/v1/reports/trial-balance` and `/v1/reports/programmes`.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use social_wallet::domain::{Amount, Bic, WalletId};

use super::{Service, accrual, iin, in_both_rooms, reversal, second_day, tenge, tiyn, with};
use crate::store::Place;

in_both_rooms! {
    an_empty_book_balances,
    invariant_1_after_any_history_the_books_balanced_at_every_commit_and_every_programme_ties,
}

async fn an_empty_book_balances(place: &Place) {
    let service = Service::on_new_book(place).await;
    let report = service.get("/v1/reports/trial-balance").await.expect(200);
    assert_eq!((&report["total_debit"], &report["balanced"]), (&json!("0.00"), &json!(true)));
    let report = service.get("/v1/reports/trial-balance?at=1970-01-01T00:00:00Z").await.expect(200);
    assert_eq!((&report["accounts"], &report["balanced"]), (&json!([]), &json!(true)));
    let report = service.get("/v1/reports/programmes").await.expect(200);
    assert_eq!(report["programmes"], json!([]));
    service.close().await;
}

async fn invariant_1_after_any_history_the_books_balanced_at_every_commit_and_every_programme_ties(
    place: &Place,
) {
    const PROGRAMMES: [&str; 3] = ["ASP", "BIRTH", "GRANT"];
    let mut random = ChaCha8Rng::seed_from_u64(20_261_121);
    let mut service = Service::on_new_book(place).await;
    for (code, class) in PROGRAMMES.into_iter().zip(["protected", "protected", "general"]) {
        let body = with(super::programme(code), "class", json!(class));
        service.write("/v1/programmes", &body).await.expect(201);
    }
    let mut expected: BTreeMap<&str, [i64; 4]> = PROGRAMMES.map(|code| (code, [0; 4])).into();
    let mut refused = 0;
    for step in 0..120 {
        if step == 60 {
            service = service.restart(place, second_day).await;
        }
        let code = PROGRAMMES[random.random_range(0..3)];
        let (person, part) = (random.random_range(0..6), random.random_range(1..4));
        let sums = expected.get_mut(code).unwrap();
        let of = |body: Value| with(with(body, "programme", json!(code)), "part", json!(part));
        match random.random_range(0..10) {
            0..2 => {
                let amount = random.random_range(1..20_000);
                service.fund(code, &tenge(amount)).await;
                sums[0] += amount;
            }
            2..7 => {
                let amount = random.random_range(1..5_000);
                let answer = service.write("/v1/accruals", &of(accrual(person, &tenge(amount)))).await;
                if answer.status == 201 { sums[1] += amount } else { refused += 1 }
            }
            7..9 => {
                let answer = service.write("/v1/reversals", &of(reversal(person))).await;
                if answer.status == 201 {
                    sums[2] += tiyn(&answer.json()["postings"][0]["amount"]);
                } else {
                    refused += 1;
                }
            }
            _ => {
                let body = json!({"iin": iin(person)}).to_string();
                let wallet = service.send(service.request("POST", "/v1/wallets/lookup").body(body)).await;
                if wallet.status == 200 && tiyn(&wallet.json()["balance"]) > 1 {
                    let half = Amount::from_tiyn(tiyn(&wallet.json()["balance"]) / 2).unwrap();
                    let id = WalletId::parse(wallet.json()["wallet"].as_str().unwrap()).unwrap();
                    service.pay_out(place, id, Bic::parse(b"CASPKZKA").unwrap(), half).await;
                }
            }
        }
    }
    assert!(refused > 5, "refusals belong to a history");
    let mut moments: Vec<String> = service
        .leaves()
        .await
        .iter()
        .map(|leaf| serde_json::from_str::<Value>(leaf).unwrap()["at"].as_str().unwrap().to_owned())
        .collect();
    moments.extend(["2026-11-20", "2026-11-21", "2026-11-22"].map(Into::into));
    moments.dedup();
    let mut last_funded = 0;
    for moment in &moments {
        let report = service.get(&format!("/v1/reports/trial-balance?at={moment}")).await.expect(200);
        assert_eq!(report["balanced"], true, "at {moment}: {report}");
        let sum = |side: &str| {
            report["accounts"].as_array().unwrap().iter().map(|row| tiyn(&row[side])).sum::<i64>()
        };
        assert_eq!(
            (tenge(sum("debit")), tenge(sum("credit"))),
            (
                report["total_debit"].as_str().unwrap().to_owned(),
                report["total_credit"].as_str().unwrap().to_owned()
            )
        );
        let report = service.get(&format!("/v1/reports/programmes?at={moment}")).await.expect(200);
        let rows = report["programmes"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["ties"] == true), "at {moment}: {report}");
        let funded = rows.iter().map(|row| tiyn(&row["funded"])).sum();
        assert!(moment.len() == 10 || funded >= last_funded, "what was funded never shrinks");
        last_funded = funded;
    }
    assert!(moments.len() > 60, "one moment a commit");
    let report = service.get("/v1/reports/programmes").await.expect(200);
    for row in report["programmes"].as_array().unwrap() {
        let sums = expected[row["programme"].as_str().unwrap()];
        for (name, sum) in ["funded", "accrued", "reversed"].into_iter().zip(sums) {
            assert_eq!(row[name], tenge(sum), "{row}");
        }
    }
    service.close().await;
}
