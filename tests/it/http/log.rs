//! `/log/…`, `/v1/log/…` and receipts: what anybody needs to verify the log without the service.

use serde_json::{Value, json};
use social_wallet::log::checkpoint::{Checkpoint, Policy};
use social_wallet::log::merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use social_wallet::log::note::SigningKey;
use social_wallet::log::receipt::Receipt;
use social_wallet::log::tile::{BundleEntries, RightEdge};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Answer, Service, accrual, fresh, in_both_rooms, line, lines, reversal};
use crate::store::Place;

in_both_rooms! {
    invariant_9_the_log_is_served_as_tiles_of_the_published_checkpoint_and_nothing_beyond,
    every_entry_has_a_receipt_that_holds_offline_by_number_and_by_key,
    every_write_is_answered_with_its_entry_leaf_hash_and_receipt,
    proofs_of_all_sizes_hold_and_what_is_not_there_is_refused,
    a_receipt_that_no_checkpoint_covers_yet_is_asked_for_again,
}

pub fn policy(service: &Service) -> Policy {
    let text = std::fs::read_to_string(service.outside.path().join("log.key")).unwrap();
    Policy::of_log(SigningKey::parse(text.trim()).unwrap().verifier_key().clone())
}

async fn bytes(service: &Service, path: &str) -> (u16, Vec<u8>) {
    let response = service.request("GET", path).send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

/// A checkpoint that covers everything.
async fn covered(service: &Service) -> Checkpoint {
    let last = service.size().await - 1;
    service.get_covered(&format!("/v1/entries/{last}/receipt")).await;
    let answer = service.get("/log/checkpoint").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let (checkpoint, _) = policy(service).open(answer.body.as_bytes()).unwrap();
    assert_eq!(checkpoint.size, last + 1);
    checkpoint
}

async fn payday(service: &Service, people: u32) {
    let id = service.open(people.into(), &format!("{people}.00")).await;
    service.chunk(&id, 1, &lines(0..people, "1.00")).await.expect(200);
}

async fn invariant_9_the_log_is_served_as_tiles_of_the_published_checkpoint_and_nothing_beyond(
    place: &Place,
) {
    let service = Service::start(place).await;
    payday(&service, 300).await;
    let checkpoint = covered(&service).await;
    let leaves = service.leaves().await;
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect();
    let mut edge = RightEdge::empty();
    let full = edge.append(hashes.iter().copied());
    assert_eq!((edge.size(), edge.root()), (checkpoint.size, checkpoint.root));
    let width = checkpoint.size as usize % 256;
    assert!(full.len() == 2 && width > 2);
    let mut paths = vec![
        ("tile/0/000".to_owned(), full[0].hashes.to_vec()),
        ("tile/0/001".to_owned(), full[1].hashes.to_vec()),
        (format!("tile/0/002.p/{width}"), edge.partial_tile(0).as_flattened().to_vec()),
        ("tile/0/002.p/1".to_owned(), edge.partial_tile(0)[0].to_vec()),
        ("tile/0/000.p/7".to_owned(), full[0].hashes[..7 * 32].to_vec()),
        ("tile/1/000.p/2".to_owned(), edge.partial_tile(1).as_flattened().to_vec()),
        ("tile/1/000.p/1".to_owned(), edge.partial_tile(1)[0].to_vec()),
    ];
    for (path, expected) in paths.drain(..) {
        let answer = service.get(&format!("/log/{path}")).await;
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(bytes(&service, &format!("/log/{path}")).await, (200, expected), "{path}");
    }
    for (path, range) in [
        ("tile/entries/000".to_owned(), 0..256),
        (format!("tile/entries/002.p/{width}"), 512..512 + width),
        ("tile/entries/001.p/9".to_owned(), 256..265),
    ] {
        let (status, bundle) = bytes(&service, &format!("/log/{path}")).await;
        let read: Vec<_> = BundleEntries::new(&bundle)
            .map(|leaf| String::from_utf8(leaf.unwrap().to_vec()).unwrap())
            .collect();
        assert_eq!((status, read), (200, leaves[range].to_vec()), "{path}");
    }
    let beyond = [
        format!("tile/0/002.p/{}", width + 1),
        format!("tile/entries/002.p/{}", width + 1),
        "tile/0/002".into(),
        "tile/entries/002".into(),
        "tile/0/003.p/1".into(),
        "tile/1/000".into(),
        "tile/1/000.p/3".into(),
        "tile/2/000.p/1".into(),
        "tile/63/000".into(),
        "tile/0/x018/x446/x744/x073/x709/x551/615".into(),
        // Not the canonical path of anything.
        "tile/0/0".into(),
        "tile/00/000".into(),
        "tile/0/000.p/256".into(),
        "tile/0/000.p/0".into(),
        "tile/entries/x000".into(),
        "tile/0/000%2Ep/1x".into(),
    ];
    for path in beyond {
        service.get(&format!("/log/{path}")).await.refused(404, "tile_unknown", None);
    }
    service.get("/log/tile").await.refused(404, "path_unknown", None);
    service.close().await;
}

async fn every_entry_has_a_receipt_that_holds_offline_by_number_and_by_key(place: &Place) {
    let service = Service::start(place).await;
    let key = fresh();
    let entry = service.post("/v1/accruals", &key, &accrual(1, "10.00")).await.expect(201);
    service.write("/v1/reversals", &reversal(1)).await.expect(201);
    let policy = policy(&service);
    let leaves = service.leaves().await;
    for (number, leaf) in leaves.iter().enumerate() {
        let answer = service.get_covered(&format!("/v1/entries/{number}/receipt")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
        let receipt = Receipt::parse(answer.body.as_bytes()).unwrap();
        assert_eq!(receipt.index, number as u64);
        receipt.verify(&leaf_hash(leaf.as_bytes()), &policy).unwrap();
        assert!(receipt.verify(&[1; 32], &policy).is_err());
    }
    let asked = |key: &str, client: &str| {
        let request = service.request("GET", "/v1/receipt").header("Idempotency-Key", key);
        request.header("Social-Wallet-Client", client).header("Accept", "application/json")
    };
    let answer = service.send_covered(asked(&key, "anonymous")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let receipt = Receipt::from_json(answer.body.as_bytes()).unwrap();
    assert_eq!(receipt.index, entry["entry"].as_u64().unwrap());
    let hash: Hash = hex::decode(entry["leaf_hash"].as_str().unwrap()).unwrap().try_into().unwrap();
    receipt.verify(&hash, &policy).unwrap();
    for (key, client) in [(fresh().as_str(), "anonymous"), (&key, "another")] {
        service.send(asked(key, client)).await.refused(404, "instruction_unknown", None);
    }
    service.get("/v1/receipt").await.refused(400, "idempotency_key_missing", Some("Idempotency-Key"));
    let beyond = leaves.len();
    for number in [beyond.to_string(), u64::MAX.to_string()] {
        service.get(&format!("/v1/entries/{number}/receipt")).await.refused(404, "entry_unknown", None);
    }
    service.get("/v1/entries/x/receipt").await.refused(400, "field_malformed", Some("entry"));
    service.close().await;
}

async fn every_write_is_answered_with_its_entry_leaf_hash_and_receipt(place: &Place) {
    let service = Service::on_new_book(place).await;
    let mut made: Vec<(u64, String, String)> = Vec::new();
    let of = |body: &Value| {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (body["entry"].as_u64().unwrap(), text("leaf_hash"), text("receipt"))
    };
    let of_headers = |answer: &Answer| {
        let text = |name: &str| answer.header(&format!("social-wallet-{name}")).unwrap().to_owned();
        (text("entry").parse().unwrap(), text("leaf-hash"), text("receipt"))
    };
    made.push(of(&service.register("ASP").await));
    made.push(of(&service.fund("ASP", "1000.00").await));
    for key in ["first", "second"] {
        let person = u32::from(key == "first");
        for _ in 0..2 {
            // The second answer is the first again, from the stored leaf.
            made.push(of(&service.post("/v1/accruals", key, &accrual(person, "10.00")).await.expect(201)));
        }
    }
    made.push(of(&service.write("/v1/reversals", &reversal(1)).await.expect(201)));
    made.push(of(&service.write("/v1/wallets", &json!({"iin": super::iin(7)})).await.expect(201)));
    let id = fresh();
    let opened = service.put_batch(&id, &super::declaration(1, "1.00")).await;
    made.push(of_headers(&opened));
    made.push(of_headers(&service.chunk(&id, 1, &line(9, "1.00")).await));
    made.push(of_headers(&service.step(&id, "close", "anonymous").await));
    // What makes no entry names none.
    for answer in [
        service.put_batch(&id, &super::declaration(1, "1.00")).await,
        service.step(&id, "close", "anonymous").await,
    ] {
        assert_eq!((answer.status, answer.header("social-wallet-entry")), (200, None));
    }
    let leaves = service.leaves().await;
    for (entry, hash, receipt) in made {
        let leaf = &leaves[entry as usize];
        assert_eq!(hash, hex::encode(leaf_hash(leaf.as_bytes())), "entry {entry}");
        let receipt = Receipt::parse(service.get_covered(&receipt).await.body.as_bytes()).unwrap();
        assert_eq!(receipt.index, entry);
    }
    service.close().await;
}

fn hashes(answer: &Value) -> Vec<Hash> {
    let hash = |text: &Value| BASE64.decode(text.as_str().unwrap()).unwrap().try_into().unwrap();
    answer["proof"].as_array().unwrap().iter().map(hash).collect()
}

async fn proofs_of_all_sizes_hold_and_what_is_not_there_is_refused(place: &Place) {
    let service = Service::start(place).await;
    payday(&service, 140).await;
    let checkpoint = covered(&service).await;
    let size = checkpoint.size;
    let leaves: Vec<Hash> = service.leaves().await.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect();
    let root = |size: u64| {
        let mut edge = RightEdge::empty();
        drop(edge.append(leaves[..size as usize].iter().copied()));
        edge.root()
    };
    for (entry, of) in [(0, 1), (0, size), (5, 100), (256, 257), (255, 256), (size - 1, size), (17, size - 3)]
    {
        let answer = service.get(&format!("/v1/log/inclusion?entry={entry}&size={of}")).await.expect(200);
        verify_inclusion(&leaves[entry as usize], entry, of, &hashes(&answer), &root(of)).unwrap();
    }
    for (old, new) in [(1, size), (0, size), (size, size), (4, 9), (256, 257), (100, 256), (255, size)] {
        let answer = service.get(&format!("/v1/log/consistency?old={old}&new={new}")).await.expect(200);
        verify_consistency(old, &root(old), new, &root(new), &hashes(&answer)).unwrap();
    }
    let newest = service.get("/v1/log/inclusion?entry=3").await.expect(200);
    assert_eq!(newest["size"], size);
    assert_eq!(service.get("/v1/log/consistency?old=3").await.expect(200)["new"], size);
    let beyond = size + 1;
    service.get(&format!("/v1/log/inclusion?entry=0&size={beyond}")).await.refused(404, "size_unknown", None);
    service.get(&format!("/v1/log/consistency?old=1&new={beyond}")).await.refused(404, "size_unknown", None);
    service.get("/v1/log/inclusion?entry=9&size=9").await.refused(404, "entry_unknown", None);
    service.get("/v1/log/consistency?old=9&new=8").await.refused(400, "field_malformed", Some("old"));
    for (query, field) in [
        ("inclusion", "entry"),
        ("inclusion?entry=x", "entry"),
        ("inclusion?entry=1&size=-1", "size"),
        ("consistency", "old"),
        ("consistency?old=1&new=x", "new"),
    ] {
        service.get(&format!("/v1/log/{query}")).await.refused(400, "field_malformed", Some(field));
    }
    service.close().await;
}

/// The checkpoint file cannot be written: nothing is published, and nothing is lost.
async fn a_receipt_that_no_checkpoint_covers_yet_is_asked_for_again(place: &Place) {
    let service = Service::start(place).await;
    let before = covered(&service).await;
    let (outside, moved) = (service.outside.path().to_owned(), tempfile::tempdir().unwrap());
    let moved = moved.path().join("moved");
    std::fs::rename(&outside, &moved).unwrap();
    let entry = service.write("/v1/accruals", &accrual(1, "10.00")).await.expect(201);
    let url = entry["receipt"].as_str().unwrap();
    let answer = service.get(url).await;
    assert_eq!(answer.expect(202), json!({"entry": entry["entry"], "status": "pending", "receipt": url}));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let health = service.get("/health/ready").await.expect(200);
    assert_eq!(health["log"]["checkpoint"], before.size);
    assert_eq!(health["log"]["unsigned_entries"], 2);
    std::fs::rename(&moved, &outside).unwrap();
    Receipt::parse(service.get_covered(url).await.body.as_bytes()).unwrap();
    assert_eq!(service.get("/health/ready").await.expect(200)["log"]["unsigned_entries"], 0);
    service.close().await;
}
