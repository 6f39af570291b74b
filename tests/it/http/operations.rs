//! What operators see: traces, figures, and the rate of requests.

use serde_json::json;

use super::{Service, accrual, in_both_rooms, mistyped_iin, with};
use crate::store::Place;

in_both_rooms! {
    a_callers_trace_comes_back_and_others_get_one,
    the_figures_count_what_happened_and_name_nobody,
    the_rate_is_told_below_v1_only,
}

async fn a_callers_trace_comes_back_and_others_get_one(place: &Place) {
    let service = Service::on_new_book(place).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let answer = service.send(service.request("GET", "/v1/book").header("traceparent", &parent)).await;
    let header = answer.header("traceparent").unwrap();
    assert!(header.starts_with(&format!("00-{trace}-")) && header != parent, "{header}");
    let (first, second) = (service.get("/v1/book").await, service.get("/nothing").await);
    assert_ne!(first.header("traceparent").unwrap()[3..35], second.header("traceparent").unwrap()[3..35]);
    service.close().await;
}

async fn the_figures_count_what_happened_and_name_nobody(place: &Place) {
    let service = Service::start(place).await;
    for person in 1..4 {
        service.write("/v1/accruals", &accrual(person, "1.00")).await.expect(201);
    }
    service.write("/v1/accruals", &accrual(1, "1.00")).await.refused(
        422,
        "benefit_already_paid",
        Some("line"),
    );
    let mistyped = with(accrual(1, "1.00"), "iin", json!(mistyped_iin(1)));
    service.write("/v1/accruals", &mistyped).await.refused(400, "iin_check_digit", Some("iin"));
    service.get("/v1/9912").await.refused(404, "path_unknown", None);
    let answer =
        reqwest::Client::builder().no_proxy().build().unwrap().get(&service.metrics).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    let size = service.size().await;
    for line in [
        "social_wallet_requests_total{path=\"/v1/accruals\",status=\"201\"} 3".to_owned(),
        "social_wallet_requests_total{path=\"unknown\",status=\"404\"} 1".to_owned(),
        "social_wallet_refusals_total{code=\"benefit_already_paid\"} 1".to_owned(),
        "social_wallet_refusals_total{code=\"iin_check_digit\"} 1".to_owned(),
        "social_wallet_queue_depth 0".to_owned(),
        format!("social_wallet_journal_entries {size}"),
        "social_wallet_commit_seconds_count 5".to_owned(),
        "social_wallet_commit_commands_sum 5.0".to_owned(),
        "social_wallet_commits_failed_total 0".to_owned(),
    ] {
        assert!(text.lines().any(|known| known == line), "no {line} in {text}");
    }
    for name in ["social_wallet_checkpoint_age_seconds ", "social_wallet_seal_lag_entries "] {
        assert!(text.contains(&format!("\n{name}")), "{text}");
    }
    assert!(!text.contains("9912"), "paths are told as the router has them: {text}");
    service.get("/metrics").await.refused(404, "path_unknown", None);
    service.close().await;
}

async fn the_rate_is_told_below_v1_only(place: &Place) {
    let service = Service::on_new_book(place).await;
    let answer = service.get("/v1/book").await;
    assert_eq!(answer.header("ratelimit-policy"), Some("\"client\";q=20000;w=1"));
    assert!(answer.header("ratelimit").unwrap().starts_with("\"client\";r="));
    assert_eq!(service.get("/health/live").await.header("ratelimit"), None);
    service.close().await;
}
