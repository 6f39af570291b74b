//! `/v1/batches/{id}/verdicts`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{HEADER, Service, in_both_rooms, line, lines, mistyped_iin};
use crate::store::Place;

in_both_rooms! {
    verdicts_are_given_again_later_in_order_and_in_pages,
    verdicts_come_as_csv_when_asked_for,
    parameters_out_of_bounds_are_refused,
}

/// Lines 1 to 12 of 20, sent out of order, with one refused and one sent twice; gives the batch and every verdict.
async fn sent(service: &Service) -> (String, Vec<Value>) {
    let id = service.open(20, "20.00").await;
    let bad = format!("{},ASP,2026-11,1,1.00,KZT\n", mistyped_iin(7));
    let mut all: Vec<Value> = Vec::new();
    for (first, text) in [
        (7, format!("{}{}", bad, lines(8..13, "1.00"))),
        (1, lines(1..5, "1.00")),
        (4, lines(4..7, "1.00")), // line 4 again
    ] {
        let answer = service.chunk(&id, first, &text).await.expect(200);
        all.retain(|known| known["line"] != 4);
        all.extend(answer["verdicts"].as_array().unwrap().iter().cloned());
    }
    all.sort_by_key(|verdict| verdict["line"].as_u64());
    let fourth = all.iter_mut().find(|verdict| verdict["line"] == 4).unwrap();
    assert_eq!(fourth["verdict"], "already_accepted");
    fourth["verdict"] = json!("accepted");
    (id, all)
}

async fn verdicts_are_given_again_later_in_order_and_in_pages(place: &Place) {
    let service = Service::start(place).await;
    let (id, all) = sent(&service).await;
    let whole = service.get(&format!("/v1/batches/{id}/verdicts")).await.expect(200);
    let stored: Vec<Value> = whole["verdicts"].as_array().unwrap().clone();
    for (stored, given) in stored.iter().zip(&all) {
        let mut stored = stored.clone();
        if stored["verdict"] == "already_accepted" {
            stored["verdict"] = json!("accepted");
        }
        assert_eq!(stored, *given);
    }
    assert_eq!((stored.len(), &whole["next_after_line"]), (12, &Value::Null));
    let service = service.restart(place, super::super::second_day).await;
    for limit in 1..=21 {
        let (mut joined, mut after) = (Vec::new(), 0);
        loop {
            let page =
                service.get(&format!("/v1/batches/{id}/verdicts?after_line={after}&limit={limit}")).await;
            let page = page.expect(200);
            joined.extend(page["verdicts"].as_array().unwrap().iter().cloned());
            match page["next_after_line"].as_u64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(joined, stored, "pages of {limit}");
    }
    service.close().await;
}

async fn verdicts_come_as_csv_when_asked_for(place: &Place) {
    let service = Service::start(place).await;
    let (id, all) = sent(&service).await;
    let csv = |request: reqwest::RequestBuilder| service.send(request.header("Accept", "text/csv"));
    let answer = csv(service.request("GET", &format!("/v1/batches/{id}/verdicts"))).await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut expected = "line,verdict,entry,code,field\n".to_owned();
    for verdict in &all {
        match verdict["verdict"].as_str().unwrap() {
            "refused" => expected.push_str("7,refused,,iin_check_digit,iin\n"),
            name => writeln!(expected, "{},{name},{},,", verdict["line"], verdict["entry"]).unwrap(),
        }
    }
    assert_eq!(answer.body, expected);
    let again =
        service.request("PUT", &format!("/v1/batches/{id}/chunks/1")).header("Content-Type", "text/csv");
    let again = csv(again.body(format!("{HEADER}{}{}", line(1, "1.00"), line(2, "2.00")))).await;
    let entries: Vec<u64> = all.iter().take(2).map(|verdict| verdict["entry"].as_u64().unwrap()).collect();
    assert_eq!(
        again.body,
        format!(
            "line,verdict,entry,code,field\n1,already_accepted,{},,\n2,refused,{},line_conflict,amount\n",
            entries[0], entries[1]
        )
    );
    service.close().await;
}

async fn parameters_out_of_bounds_are_refused(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(1, "1.00").await;
    let path = format!("/v1/batches/{id}/verdicts");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=8193", "limit"),
        ("limit=x", "limit"),
        ("after_line=-1", "after_line"),
        ("after_line=40000001", "after_line"),
        ("after_line=99999999999999999999", "after_line"),
    ] {
        service.get(&format!("{path}?{query}")).await.refused(400, "field_malformed", Some(field));
    }
    service.get(&format!("{path}?after=1")).await.refused(400, "parameter_unknown", None);
    let beyond = service.get(&format!("{path}?after_line=40000000&limit=8192")).await.expect(200);
    assert_eq!((&beyond["verdicts"], &beyond["next_after_line"]), (&json!([]), &Value::Null));
    service.close().await;
}
