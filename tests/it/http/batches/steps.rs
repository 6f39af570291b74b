//! `/v1/batches/{id}/release`, `/close`, `/cancel`.

use serde_json::json;

use super::super::{Service, declaration, fresh, in_both_rooms, line, lines, with};
use crate::store::Place;

in_both_rooms! {
    a_batch_that_needs_a_release_takes_no_lines_before_a_second_person_gives_it,
    a_batch_takes_no_lines_before_its_time,
    a_complete_batch_is_closed_once,
    an_incomplete_batch_says_what_is_missing_and_is_completed_later,
    a_wrong_total_leaves_a_batch_incomplete,
    a_cancelled_batch_takes_no_more_and_gives_nothing_back,
    a_batch_is_its_clients_own,
    a_step_takes_no_content,
}

async fn a_batch_that_needs_a_release_takes_no_lines_before_a_second_person_gives_it(place: &Place) {
    let service = Service::start(place).await;
    let id = fresh();
    let body = with(declaration(1, "1.00"), "release_required", json!(true));
    assert_eq!(service.put_batch(&id, &body).await.expect(201)["state"], "awaiting_release");
    let too_early = service.chunk(&id, 1, &line(1, "1.00")).await;
    too_early.refused(409, "batch_not_released", Some("batch"));
    service.step(&id, "close", "anonymous").await.refused(409, "batch_not_released", Some("batch"));
    let oneself = service.step(&id, "release", "anonymous").await;
    oneself.refused(403, "batch_self_release", Some("client"));
    assert_eq!(service.batch(&id).await["state"], "awaiting_release");
    let released = service.step(&id, "release", "second").await.expect(200);
    assert_eq!(released["state"], "open");
    let size = service.size().await;
    assert_eq!(service.step(&id, "release", "second").await.expect(200), released);
    assert_eq!(service.size().await, size, "a release is made once");
    service.chunk(&id, 1, &line(1, "1.00")).await.expect(200);
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    // A batch waiting for its release can be cancelled, and is then released no more.
    let id = fresh();
    service.put_batch(&id, &body).await.expect(201);
    assert_eq!(service.step(&id, "cancel", "anonymous").await.expect(200)["state"], "cancelled");
    service.step(&id, "release", "second").await.refused(409, "batch_closed", Some("batch"));
    service.close().await;
}

async fn a_batch_takes_no_lines_before_its_time(place: &Place) {
    let service = Service::start(place).await;
    let id = fresh();
    let body = with(declaration(1, "1.00"), "not_before", json!("2026-11-22T00:00:00+05:00"));
    assert_eq!(service.put_batch(&id, &body).await.expect(201)["not_before"], "2026-11-21T19:00:00.000Z");
    let refused = service.chunk(&id, 1, &line(1, "1.00")).await;
    let refused = refused.refused(409, "batch_not_started", Some("not_before"));
    assert_eq!(refused["detail"], "2026-11-21T19:00:00.000Z");
    let service = service.restart(place, super::super::second_day).await;
    assert_eq!(service.chunk(&id, 1, &line(1, "1.00")).await.expect(200)["counts"]["accepted"], 1);
    service.close().await;
}

async fn a_complete_batch_is_closed_once(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(3, "3.00").await;
    service.chunk(&id, 1, &lines(0..3, "1.00")).await.expect(200);
    let closed = service.step(&id, "close", "anonymous").await.expect(200);
    assert_eq!((&closed["state"], &closed["missing"]), (&json!("completed"), &json!([])));
    assert_eq!(closed["difference"], json!({"lines": 0, "total": "0.00"}));
    let size = service.size().await;
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200), closed);
    assert_eq!(service.size().await, size);
    service.step(&id, "cancel", "anonymous").await.refused(409, "batch_closed", Some("batch"));
    service.chunk(&id, 1, &lines(0..3, "1.00")).await.refused(409, "batch_closed", Some("batch"));
    assert_eq!(service.size().await, size);
    service.close().await;
}

async fn an_incomplete_batch_says_what_is_missing_and_is_completed_later(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(5, "5.00").await;
    service.chunk(&id, 2, &lines(2..4, "1.00")).await.expect(200);
    let closed = service.step(&id, "close", "anonymous").await.expect(200);
    assert_eq!(closed["state"], "incomplete");
    assert_eq!(closed["difference"], json!({"lines": 3, "total": "3.00"}));
    assert_eq!(closed["missing"], json!([[1, 1], [4, 5]]));
    service.chunk(&id, 4, &lines(4..6, "1.00")).await.expect(200);
    service.chunk(&id, 1, &lines(1..2, "1.00")).await.expect(200);
    assert_eq!(service.batch(&id).await["state"], "incomplete", "until it is closed again");
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "completed");
    // Nothing at all received is incomplete too.
    let id = service.open(1, "1.00").await;
    assert_eq!(service.step(&id, "close", "anonymous").await.expect(200)["state"], "incomplete");
    service.close().await;
}

async fn a_wrong_total_leaves_a_batch_incomplete(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(2, "2.01").await;
    service.chunk(&id, 1, &lines(1..3, "1.00")).await.expect(200);
    let closed = service.step(&id, "close", "anonymous").await.expect(200);
    assert_eq!((&closed["state"], &closed["missing"]), (&json!("incomplete"), &json!([])));
    assert_eq!(closed["difference"], json!({"lines": 0, "total": "0.01"}));
    assert_eq!(service.step(&id, "cancel", "anonymous").await.expect(200)["state"], "cancelled");
    service.close().await;
}

async fn a_cancelled_batch_takes_no_more_and_gives_nothing_back(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(2, "2.00").await;
    service.chunk(&id, 1, &line(1, "1.00")).await.expect(200);
    let cancelled = service.step(&id, "cancel", "anonymous").await.expect(200);
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancelled["accepted"], json!({"lines": 1, "total": "1.00"}));
    let size = service.size().await;
    assert_eq!(service.step(&id, "cancel", "anonymous").await.expect(200), cancelled);
    for step in ["close", "release"] {
        service.step(&id, step, "anonymous").await.refused(409, "batch_closed", Some("batch"));
    }
    service.chunk(&id, 2, &line(2, "1.00")).await.refused(409, "batch_closed", Some("batch"));
    assert_eq!(service.put_batch(&id, &declaration(2, "2.00")).await.expect(200), cancelled);
    assert_eq!(service.size().await, size);
    assert_eq!(service.wallet_of(1).await["balance"], "1.00");
    service.close().await;
}

async fn a_batch_is_its_clients_own(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(1, "1.00").await;
    let size = service.size().await;
    let chunk = service.request("PUT", &format!("/v1/batches/{id}/chunks/1"));
    let chunk = chunk.header("Content-Type", "text/csv").header("Social-Wallet-Client", "other");
    let refused = service.send(chunk.body(format!("{}{}", super::super::HEADER, line(1, "1.00")))).await;
    refused.refused(403, "batch_not_yours", Some("client"));
    for step in ["close", "cancel"] {
        service.step(&id, step, "other").await.refused(403, "batch_not_yours", Some("client"));
    }
    // Nor is it told what became of it by repeating a step.
    service.step(&id, "cancel", "anonymous").await.expect(200);
    service.step(&id, "cancel", "other").await.refused(403, "batch_not_yours", Some("client"));
    assert_eq!(service.size().await, size + 1);
    service.close().await;
}

async fn a_step_takes_no_content(place: &Place) {
    let service = Service::start(place).await;
    let id = service.open(1, "1.00").await;
    let path = format!("/v1/batches/{id}/close");
    let send = |body: &'static str| service.send(service.request("POST", &path).body(body));
    send(r#"{"force": true}"#).await.refused(400, "field_unknown", None);
    send("yes").await.refused(400, "body_malformed", None);
    assert_eq!(service.batch(&id).await["state"], "open");
    send("{}").await.expect(200);
    service.close().await;
}
