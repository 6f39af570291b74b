//! `/v1/entries/{n}` and `/v1/book`.

use serde_json::Value;
use social_wallet::log::merkle::leaf_hash;

use super::{Service, accrual, in_both_rooms, line, reversal};
use crate::store::Place;

in_both_rooms! {
    an_entry_is_shown_as_it_stands_in_the_journal_without_who_asked_and_without_its_blind,
    an_entry_that_is_not_there_is_unknown,
}

async fn an_entry_is_shown_as_it_stands_in_the_journal_without_who_asked_and_without_its_blind(
    place: &Place,
) {
    let service = Service::start(place).await;
    service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    service.write("/v1/reversals", &reversal(1)).await.expect(201);
    let batch = service.open(1, "5.00").await;
    service.chunk(&batch, 1, &line(2, "5.00")).await.expect(200);
    service.step(&batch, "close", "anonymous").await.expect(200);
    let leaves = service.leaves().await;
    let book = service.get("/v1/book").await.expect(200);
    assert_eq!(book["size"], leaves.len());
    for (number, bytes) in leaves.iter().enumerate() {
        let mut leaf: Value = serde_json::from_str(bytes).unwrap();
        for internal in ["actor", "blind", "book", "seq", "v"] {
            assert!(leaf.as_object_mut().unwrap().remove(internal).is_some());
        }
        leaf["entry"] = number.into();
        leaf["leaf_hash"] = hex::encode(leaf_hash(bytes.as_bytes())).into();
        leaf["receipt"] = format!("/v1/entries/{number}/receipt").into();
        assert_eq!(service.get(&format!("/v1/entries/{number}")).await.expect(200), leaf);
    }
    service.close().await;
}

async fn an_entry_that_is_not_there_is_unknown(place: &Place) {
    let service = Service::on_new_book(place).await;
    for number in ["1", "9223372036854775807", "9223372036854775808", "18446744073709551615"] {
        service.get(&format!("/v1/entries/{number}")).await.refused(404, "entry_unknown", None);
    }
    for number in ["-1", "x", "18446744073709551616", "0x1"] {
        service.get(&format!("/v1/entries/{number}")).await.refused(400, "field_malformed", Some("entry"));
    }
    service.close().await;
}
