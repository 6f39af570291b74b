//! A signed write is taken once: after a refusal too, after a restart, and by another replica.

use std::sync::Arc;

use futures::future::join_all;

use super::signed::{send, signed};
use super::{Service, accrual, declaration, fresh, in_both_rooms, lines, programme};
use crate::store::Place;

in_both_rooms!(
    a_signed_write_is_taken_once_whatever_it_was_answered,
    a_replay_is_refused_after_a_restart_and_by_another_replica,
    of_sixteen_replays_at_once_one_is_taken,
    reads_and_other_clients_are_not_in_the_way,
);

const NONCE: &str = "0123456789abcdef";

async fn a_signed_write_is_taken_once_whatever_it_was_answered(place: &Place) {
    let service = Service::guarded(place).await;
    // An entry, the same instruction again under a new signature, and a refusal.
    let body = programme("ASP").to_string();
    let request = ("POST", "/v1/programmes", body.as_str());
    let same = fresh();
    for (nonce, key, status) in [(fresh(), &same, 201), (fresh(), &same, 201), (fresh(), &fresh(), 409)] {
        let (headers, builder) = signed(&service, "operator", request, key, &nonce);
        let again = builder.try_clone().unwrap();
        assert_eq!(service.send(builder.headers(headers.clone())).await.status, status);
        let size = service.size().await;
        let replay = service.send(again.headers(headers)).await;
        replay.refused(401, "signature_nonce_used", Some("nonce"));
        assert_eq!(service.size().await, size);
    }
    // Another instruction under a nonce that was used: its key's owner has made a mistake, and is told.
    let (first, second) = (programme("FIRST").to_string(), programme("SECOND").to_string());
    for (body, status) in [(&first, 201), (&second, 401)] {
        let request = ("POST", "/v1/programmes", body.as_str());
        let (headers, builder) = signed(&service, "operator", request, &fresh(), "one-nonce-for-two");
        assert_eq!(service.send(builder.headers(headers)).await.status, status);
    }
    // What was refused for lack of money is not paid later by somebody who kept the request.
    let accrual = accrual(1, "1.00").to_string();
    let (headers, builder) = signed(&service, "payer", ("POST", "/v1/accruals", &accrual), &fresh(), NONCE);
    let again = builder.try_clone().unwrap();
    let refused = service.send(builder.headers(headers.clone())).await;
    refused.refused(422, "funding_insufficient", Some("amount"));
    service.send(again.headers(headers)).await.refused(401, "signature_nonce_used", Some("nonce"));
    // What was sent before its batch was there is not taken by somebody who kept it when the batch is.
    let batch = format!("/v1/batches/{}", fresh());
    let early = format!("{}{}", super::HEADER, lines(1..2, "0.50"));
    let (path, close) = (format!("{batch}/chunks/1"), format!("{batch}/close"));
    let mut kept = Vec::new();
    for request in [("PUT", path.as_str(), early.as_str()), ("POST", close.as_str(), "")] {
        let (headers, builder) = signed(&service, "payer", request, "", &fresh());
        kept.push((headers.clone(), builder.try_clone().unwrap()));
        assert_eq!(service.send(builder.headers(headers)).await.status, 404);
    }
    // A chunk of a batch.
    send(&service, "payer", ("PUT", &batch, &declaration(1, "1.00").to_string())).await.expect(201);
    for (headers, builder) in kept {
        let replay = service.send(builder.headers(headers)).await;
        replay.refused(401, "signature_nonce_used", Some("nonce"));
    }
    let chunk = format!("{}{}", super::HEADER, lines(1..2, "1.00"));
    let (headers, builder) = signed(&service, "payer", ("PUT", &path, &chunk), "", &fresh());
    let again = builder.try_clone().unwrap();
    assert_eq!(service.send(builder.headers(headers.clone())).await.status, 200);
    service.send(again.headers(headers)).await.refused(401, "signature_nonce_used", Some("nonce"));
    service.stop().await;
}

async fn a_replay_is_refused_after_a_restart_and_by_another_replica(place: &Place) {
    let service = Service::guarded(place).await;
    let body = programme("ASP").to_string();
    let request = ("POST", "/v1/programmes", body.as_str());
    let (first, nonce) = (fresh(), fresh());
    let (headers, builder) = signed(&service, "operator", request, &first, &nonce);
    service.send(builder.headers(headers)).await.expect(201);
    let (outside, refusal) = (Arc::clone(&service.outside), fresh());
    let (headers, builder) = signed(&service, "operator", request, &fresh(), &refusal);
    service.send(builder.headers(headers)).await.refused(409, "programme_exists", Some("programme"));
    service.stop().await;
    let beside = Arc::new(tempfile::tempdir().unwrap());
    std::fs::copy(outside.path().join("log.key"), beside.path().join("log.key")).unwrap();
    let restarted = Service::guarded_beside(place, outside).await;
    let replica = Service::guarded_beside(place, beside).await;
    for service in [&restarted, &replica] {
        for (nonce, key) in [(&nonce, &first), (&refusal, &fresh())] {
            let (headers, builder) = signed(service, "operator", request, key, nonce);
            let replay = service.send(builder.headers(headers)).await;
            replay.refused(401, "signature_nonce_used", Some("nonce"));
        }
    }
    // The other way round: what the replica took, this one refuses.
    let (headers, builder) = signed(&replica, "operator", request, &fresh(), NONCE);
    replica.send(builder.headers(headers)).await.refused(409, "programme_exists", Some("programme"));
    let (headers, builder) = signed(&restarted, "operator", request, &fresh(), NONCE);
    let replay = restarted.send(builder.headers(headers)).await;
    replay.refused(401, "signature_nonce_used", Some("nonce"));
    replica.stop().await;
    restarted.stop().await;
}

async fn of_sixteen_replays_at_once_one_is_taken(place: &Place) {
    let service = Service::guarded(place).await;
    let beside = Arc::new(tempfile::tempdir().unwrap());
    std::fs::copy(service.outside.path().join("log.key"), beside.path().join("log.key")).unwrap();
    let replica = Service::guarded_beside(place, beside).await;
    // Entries, and refusals, which make none.
    for (round, (code, status)) in [("ASP", 201), ("ASP", 409)].into_iter().enumerate() {
        let body = programme(code).to_string();
        let key = fresh();
        let nonce = format!("{NONCE}{round}");
        let sends = (0..16).map(|number| {
            let service = if number % 2 == 0 { &service } else { &replica };
            let request = ("POST", "/v1/programmes", body.as_str());
            let (headers, builder) = signed(service, "operator", request, &key, &nonce);
            service.send(builder.headers(headers))
        });
        let answers = join_all(sends).await;
        let taken: Vec<_> = answers.iter().filter(|answer| answer.status != 401).collect();
        assert_eq!(taken.len(), 1, "{answers:?}");
        assert_eq!(taken[0].status, status);
        for answer in answers.iter().filter(|answer| answer.status == 401) {
            answer.refused(401, "signature_nonce_used", Some("nonce"));
        }
    }
    let programmes = send(&service, "auditor", ("GET", "/v1/programmes", "")).await.expect(200);
    assert_eq!(programmes["programmes"].as_array().unwrap().len(), 1);
    replica.stop().await;
    service.stop().await;
}

async fn reads_and_other_clients_are_not_in_the_way(place: &Place) {
    let service = Service::guarded(place).await;
    for _ in 0..2 {
        // A read that is seen again tells who repeats it nothing that it did not tell before; nothing is kept of it.
        let (headers, builder) = signed(&service, "auditor", ("GET", "/v1/programmes", ""), "", NONCE);
        service.send(builder.headers(headers)).await.expect(200);
    }
    for (name, code) in [("operator", "ASP"), ("operator-2", "BIRTH")] {
        let body = programme(code).to_string();
        let request = ("POST", "/v1/programmes", body.as_str());
        let (headers, builder) = signed(&service, name, request, &fresh(), NONCE);
        service.send(builder.headers(headers)).await.expect(201);
    }
    service.stop().await;
}
