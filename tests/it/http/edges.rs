//! The stated limits of requests, each at its edge: one less, as many, and one more.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use social_wallet::http::events::EVENTS_LIMIT_MAX;
use social_wallet::http::limits::BODY_BYTES_MAX;
use social_wallet::http::orders::ORDERS_LIMIT_MAX;
use social_wallet::http::statements::{ITEMS_BYTES_MAX, MOVEMENTS_LIMIT_MAX};
use social_wallet::http::transfers::{ANSWERS_BYTES_MAX, QUEUE_LIMIT_MAX};

use super::payments::{authorisation, authorise, end, furnished, payment, post};
use super::signed::send;
use super::{Service, accrual, in_both_rooms, line};
use crate::store::{Place, in_place};

in_both_rooms!(a_body_has_at_most_so_many_bytes, a_page_has_at_most_so_many_rows,);

/// The JSON, filled up with blanks.
fn filled(body: &Value, bytes: usize) -> String {
    let mut text = body.to_string();
    assert!(text.len() <= bytes);
    text.push_str(&" ".repeat(bytes - text.len()));
    text
}

async fn a_body_has_at_most_so_many_bytes(place: &Place) {
    let (service, wallet) = furnished(place).await;
    let given = authorise(&service, &authorisation(&wallet, "transfer", "100.00", true)).await;
    let transfer =
        post(&service, "bank", "/v1/transfers", &payment(given, "1.00")).await.expect(201)["entry"].clone();
    let answers = json!({"answers": [{"transfer": transfer, "answer": "sent"}]});
    let own = json!({"date": "2026-11-21", "owed": "clearing", "currency": "KZT", "items": []});
    for (by, path, limit, body, status) in [
        ("channel", "/v1/wallets/lookup", BODY_BYTES_MAX, json!({"iin": super::iin(1)}), 200),
        ("payer", "/v1/accruals", BODY_BYTES_MAX, accrual(2, "1.00"), 201),
        ("bank", "/v1/transfers/answers", ANSWERS_BYTES_MAX, answers, 200),
        ("bank", "/v1/banks/CASPKZKA/statement/compare", ITEMS_BYTES_MAX, own, 200),
    ] {
        let told = async |bytes: usize| send(&service, by, ("POST", path, &filled(&body, bytes))).await;
        let size = service.size().await;
        told(limit + 1).await.refused(413, "body_too_large", None);
        assert_eq!(service.size().await, size, "nothing was done");
        told(limit).await.expect(status);
        let least = told(limit - 1).await;
        if path == "/v1/accruals" {
            least.refused(422, "benefit_already_paid", Some("line"));
        } else {
            least.expect(status);
        }
    }
    end(service).await;
}

async fn a_page_has_at_most_so_many_rows(place: &Place) {
    let (service, _) = furnished(place).await;
    for (by, path, limit) in [
        ("bank", "/v1/events?", EVENTS_LIMIT_MAX),
        ("authority", "/v1/orders?", ORDERS_LIMIT_MAX),
        ("bank", "/v1/transfers?", QUEUE_LIMIT_MAX),
        ("bank", "/v1/banks/CASPKZKA/statement?date=2026-11-21&", MOVEMENTS_LIMIT_MAX),
    ] {
        for (rows, fits) in [(0, false), (1, true), (limit - 1, true), (limit, true), (limit + 1, false)] {
            let answer = send(&service, by, ("GET", &format!("{path}limit={rows}"), "")).await;
            if fits {
                answer.expect(200);
            } else {
                answer.refused(400, "field_malformed", Some("limit"));
            }
        }
    }
    end(service).await;
}

/// A batch tells the first thousand gaps of it, and more when they are filled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_tells_at_most_a_thousand_gaps() {
    in_place(Place::sqlite(), |place| Box::pin(gaps_are_told(place))).await;
}

async fn gaps_are_told(place: &Place) {
    const GAPS: u64 = 1_000;
    let service = Service::start(place).await;
    let id = service.open(4_000, "4000.00").await;
    // Every second line: before each a gap, and one after the last.
    let send = async |lines: Vec<u64>| {
        let sent = lines.into_iter().map(|number| {
            let (service, id) = (&service, &id);
            async move { service.chunk(id, number, &line(number as u32, "1.00")).await.expect(200) }
        });
        assert!(stream::iter(sent).buffer_unordered(8).count().await > 0);
    };
    let told = async || {
        let missing = service.batch(&id).await["missing"].as_array().unwrap().clone();
        (missing.len() as u64, missing.last().unwrap().clone())
    };
    send((1..GAPS - 1).map(|gap| gap * 2).collect()).await;
    let range = |first: u64, last: u64| json!([first, last]);
    assert_eq!(told().await, (GAPS - 1, range(GAPS * 2 - 3, 4_000)));
    send(vec![GAPS * 2 - 2]).await;
    assert_eq!(told().await, (GAPS, range(GAPS * 2 - 1, 4_000)));
    send(vec![GAPS * 2]).await;
    assert_eq!(told().await, (GAPS, range(GAPS * 2 - 1, GAPS * 2 - 1)), "the last gap is not told");
    send(vec![1]).await;
    assert_eq!(told().await, (GAPS, range(GAPS * 2 + 1, 4_000)), "and is, when another is filled");
    service.close().await;
}
