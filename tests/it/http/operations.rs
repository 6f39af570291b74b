//! What operators see: traces, figures, and the rate of requests.

use std::process::Stdio;

use serde_json::{Value, json};
use social_wallet::client::RawRequest;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::{Service, accrual, in_both_rooms, mistyped_iin, with};
use crate::crew::Crew;
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
    let answer = crate::web().get(&service.metrics).send().await.unwrap();
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

/// The options of `serve`, as an operator gives them to a real process.
#[tokio::test]
async fn an_operator_chooses_where_the_figures_are_how_lines_are_logged_and_the_rate() {
    let data = tempfile::tempdir().unwrap();
    let serve = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_social-wallet"));
        command.args(arguments).arg("--data-dir").arg(data.path()).kill_on_drop(true).stdin(Stdio::null());
        for name in ["DATABASE_URL", "KEYS", "LOG_KEY", "CHECKPOINT_FILE"] {
            command.env_remove(format!("SOCIAL_WALLET_{name}"));
        }
        command
    };
    let crew = Crew::bootstrap(data.path(), serve(&["bootstrap", "--trial"])).await;
    let mut command = serve(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    command.args(["--requests-per-second", "1", "--log-format", "json"]);
    command.env("RUST_LOG", "info,social_wallet::http=debug").stderr(Stdio::piped());
    let (mut child, [url, figures]) = crate::announced(&mut command, ["listening on ", "figures at "]).await;
    let http = crate::web();
    let auditor = crew.client("auditor", &url);
    let book = RawRequest {
        method: "GET".into(),
        path: "/v1/book".into(),
        key: None,
        content_type: String::new(),
        accept: "application/json".into(),
        body: Vec::new(),
    };
    let mut statuses = Vec::new();
    let asked = async || {
        let answer = auditor.call(&book).await.unwrap();
        assert_eq!(answer.headers["ratelimit-policy"], "\"client\";q=1;w=1");
        statuses.push(answer.status);
        (answer.status == 429).then_some(())
    };
    crate::until("two requests in one second", asked).await;
    let text = http.get(figures).send().await.unwrap().text().await.unwrap();
    let refused = "social_wallet_refusals_total{code=\"rate_limited\"} 1";
    assert!(text.lines().any(|line| line == refused), "{text}");
    child.start_kill().unwrap();
    let mut logged = String::new();
    child.stderr.take().unwrap().read_to_string(&mut logged).await.unwrap();
    let lines: Vec<Value> = logged.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_requests = lines.iter().filter(|line| line["message"] == "answered");
    let answered: Vec<u64> = of_requests.map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(answered, statuses.iter().map(|status| u64::from(*status)).collect::<Vec<_>>(), "{logged}");
    let first = lines.iter().find(|line| line["message"] == "answered").unwrap();
    assert_eq!((&first["span"]["method"], &first["span"]["path"]), (&json!("GET"), &json!("/v1/book")));
    assert_eq!(first["span"]["trace"].as_str().unwrap().len(), 32);
}
