//! What the service answers when it fails itself, or has enough of a client. [`failures`] is one story of it all, which
//! `problems` hears again for its codes.

use std::num::NonZeroU32;
use std::sync::Arc;

use social_wallet::http::rate::REQUESTS_PER_SECOND;
use social_wallet::store::StoreError;
use tempfile::TempDir;

use super::{Answer, Service, declaration, first_day, fresh, in_both_rooms, keys, programme, with};
use crate::sequencer::faulty::{Fate, Faulty};
use crate::store::Place;
use crate::until;

in_both_rooms! {
    every_failure_is_told_and_the_service_goes_on,
}

async fn every_failure_is_told_and_the_service_goes_on(place: &Place) {
    place.open().await.create_book(keys().book()).await.unwrap();
    failures(place, &Arc::new(tempfile::tempdir().unwrap())).await;
}

/// Every failure that can be had, on a book that nobody else serves, with what is kept outside it. Gives the answers.
pub async fn failures(place: &Place, outside: &Arc<TempDir>) -> Vec<Answer> {
    let mut answers = a_store_that_fails(place, outside).await;
    answers.extend(a_log_without_a_checkpoint(place, outside).await);
    answers.extend(a_client_that_asks_too_often(place, outside).await);
    answers.extend(more_rehearsals_than_may_be(place, outside).await);
    answers
}

async fn ended(service: Service) -> Vec<Answer> {
    let answers = service.answers.lock().unwrap().clone();
    service.close().await;
    answers
}

async fn a_store_that_fails(place: &Place, outside: &Arc<TempDir>) -> Vec<Answer> {
    let store = place.open().await;
    let faulty = Faulty::around(Arc::clone(&store));
    let outside = Arc::clone(outside);
    let service = Service::over(faulty.clone(), first_day, outside, REQUESTS_PER_SECOND, false).await;

    // A defect of ours: nothing of it is told, but where it is to be found.
    *faulty.next_report.lock().unwrap() = Some(StoreError::Schema("injected".into()));
    let answer = service.get("/v1/reports/trial-balance").await;
    let body = answer.refused(500, "internal_error", None);
    assert_eq!(body["trace"], answer.header("traceparent").unwrap()[3..35]);
    assert!(!answer.body.contains("injected"), "{body}");

    // A database that does not answer: it may be well in a moment.
    *faulty.next_report.lock().unwrap() = Some(StoreError::Database(sqlx::Error::PoolTimedOut));
    let answer = service.get("/v1/reports/trial-balance").await;
    answer.refused(503, "database_unavailable", None);
    assert_eq!(answer.header("retry-after"), Some("2"));
    service.get("/v1/reports/trial-balance").await.expect(200);

    // Commits that fail again and again: nothing is bound, and the same is carried out later.
    faulty.next(&[Fate::Failed; 3]);
    let (key, body) = (fresh(), programme(&format!("P{}", service.size().await)));
    let answer = service.post("/v1/programmes", &key, &body).await;
    answer.refused(503, "ledger_unavailable", None);
    assert_eq!(answer.header("retry-after"), Some("2"));
    service.post("/v1/programmes", &key, &body).await.expect(201);

    // A store that has lost what was committed to it: the writer stops and says so, and goes on when it is back.
    let lost = Place::sqlite();
    lost.open().await.create_book(keys().book()).await.unwrap();
    let short = lost.open().await;
    assert!(short.head().await.unwrap().unwrap().size < service.size().await);
    let (key, body) = (fresh(), programme(&format!("P{}", service.size().await)));
    faulty.next(&[Fate::Failed]);
    faulty.fail_over_to(short);
    // Whoever waits for it longer than the writer is patient is told to come again.
    let write = service.post_patiently("/v1/programmes", &key, &body);
    let watch = async {
        let not_writable = async || {
            let ready = service.get("/health/ready").await;
            (ready.status != 200).then_some(ready)
        };
        let ready = until("that it is not ready", not_writable).await;
        ready.refused(503, "not_writable", None);
        assert_eq!(ready.header("retry-after"), Some("2"));
        faulty.fail_over_to(Arc::clone(&store));
    };
    let (write, ()) = futures::future::join(write, watch).await;
    write.expect(201);
    service.get("/health/ready").await.expect(200);
    ended(service).await
}

async fn a_log_without_a_checkpoint(place: &Place, outside: &Arc<TempDir>) -> Vec<Answer> {
    let outside = Arc::clone(outside);
    let service = Service::over(place.open().await, first_day, outside, REQUESTS_PER_SECOND, false).await;
    for path in
        ["/log/checkpoint", "/log/tile/0/000", "/v1/log/inclusion?entry=0", "/v1/log/consistency?old=1"]
    {
        let answer = service.get(path).await;
        answer.refused(503, "checkpoint_pending", None);
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
    }
    ended(service).await
}

/// Another client is still served, and so is what everybody may read. Requests come together: of those that come one by one to
/// a slow machine, each might find its bucket filled again.
async fn a_client_that_asks_too_often(place: &Place, outside: &Arc<TempDir>) -> Vec<Answer> {
    const QUOTA: u32 = 5;
    let outside = Arc::clone(outside);
    let quota = NonZeroU32::new(QUOTA).unwrap();
    let service = Service::over(place.open().await, first_day, outside, quota, true).await;
    let ask = |client: &str| {
        let request = service.request("GET", "/v1/book").header("Social-Wallet-Client", client);
        service.send(request)
    };
    let mut passed = 0;
    let many = async || {
        let answers = futures::future::join_all((0..4 * QUOTA).map(|_| ask("eager"))).await;
        for answer in &answers {
            assert_eq!(answer.header("ratelimit-policy"), Some("\"client\";q=5;w=1"));
            assert!(matches!(answer.status, 200 | 429), "{}", answer.body);
        }
        passed += answers.iter().filter(|answer| answer.status == 200).count();
        answers.into_iter().find(|answer| answer.status == 429)
    };
    let refused = until("a refusal", many).await;
    assert!(passed >= QUOTA as usize, "{passed}");
    refused.refused(429, "rate_limited", None);
    assert_eq!(refused.header("ratelimit"), Some("\"client\";r=0;t=1"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    ask("modest").await.expect(200);
    service.get("/health/live").await.expect(200);
    ended(service).await
}

async fn more_rehearsals_than_may_be(place: &Place, outside: &Arc<TempDir>) -> Vec<Answer> {
    let outside = Arc::clone(outside);
    let service = Service::over(place.open().await, first_day, outside, REQUESTS_PER_SECOND, true).await;
    let body = with(declaration(1, "1.00"), "validate_only", true.into());
    service.write("/v1/programmes", &programme("ASP")).await; // unless it is there
    for _ in 0..social_wallet::sequencer::rehearsal::REHEARSALS_MAX {
        service.put_batch(&fresh(), &body).await.expect(201);
    }
    let answer = service.put_batch(&fresh(), &body).await;
    answer.refused(503, "busy", None);
    assert_eq!(answer.header("retry-after"), Some("1"));
    ended(service).await
}
