//! Logs whose own key signs what the rules do not allow: every hash and signature is right, and the replay finds the entry.

use serde_json::{Map, Value, json};
use social_wallet::verify::Finding;

use super::{Log, checkpoint_of, first, key, leaves, members, rewrite};

/// What is found after one entry was changed.
async fn after(place: usize, change: impl FnOnce(&mut Map<String, Value>)) -> Finding {
    let mut leaves = leaves().await;
    rewrite(&mut leaves[place], change);
    let finding = Log::of(&leaves).await.finding();
    assert_eq!(finding.entry, Some(place as u64), "{finding}");
    finding
}

#[allow(clippy::needless_pass_by_value)] // a finding is used up by what is asked of it
fn says(finding: Finding, expected: &str, found: &str) {
    assert!(finding.expected.contains(expected) && finding.found.contains(found), "{finding}");
}

fn set(name: &str, value: impl Into<Value>) -> impl FnOnce(&mut Map<String, Value>) {
    let (name, value) = (name.to_owned(), value.into());
    move |map| drop(map.insert(name, value))
}

/// Puts an entry in after another, and numbers what follows again, with every name of an entry in it.
fn insert(leaves: &mut Vec<Vec<u8>>, place: usize, mut leaf: Vec<u8>) {
    rewrite(&mut leaf, set("seq", place as u64));
    leaves.insert(place, leaf);
    for leaf in &mut leaves[place + 1..] {
        rewrite(leaf, |map| {
            let moved = |value: &mut Value| {
                if let Some(entry) = value.as_u64().filter(|entry| *entry >= place as u64) {
                    *value = json!(entry + 1);
                }
            };
            moved(&mut map["seq"]);
            map.get_mut("pay_out").into_iter().for_each(moved);
            for posting in map.get_mut("postings").and_then(Value::as_array_mut).into_iter().flatten() {
                posting.get_mut("lot").into_iter().for_each(moved);
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_4_protected_money_that_is_marked_general_is_named() {
    let leaves = leaves().await;
    let accrual = first(&leaves, "accrual", |map| map["class"] == "protected");
    says(after(accrual, set("class", "general")).await, "class \"protected\"", "class \"general\"");
    let accrual = first(&leaves, "accrual", |map| map["class"] == "general");
    says(after(accrual, set("class", "protected")).await, "class \"general\"", "class \"protected\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariants_4_and_13_money_that_leaves_or_comes_back_to_another_lot_is_named() {
    let leaves = leaves().await;
    for kind in ["pay_out", "return"] {
        let place = first(&leaves, kind, |_| true);
        let lot = first(&leaves, "accrual", |map| map["wallet"] != members(&leaves[place])["wallet"]);
        let finding = after(place, |map| map["postings"][0]["lot"] = json!(lot)).await;
        says(finding, "postings", &format!("\"lot\":{lot}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_8_a_benefit_that_is_paid_twice_is_named_with_the_entry_that_paid_it() {
    let mut leaves = leaves().await;
    let paid = first(&leaves, "accrual", |map| !map.contains_key("batch"));
    let mut again = leaves[paid].clone();
    rewrite(&mut again, |map| {
        map.insert("actor".into(), json!({"client": "ministry", "request": "00".repeat(32)}));
        map.insert("at".into(), members(&leaves[paid + 1])["at"].clone());
    });
    insert(&mut leaves, paid + 1, again);
    for bitmap_bytes_max in [u64::MAX, 0] {
        let mut log = Log::of(&leaves).await;
        log.bitmap_bytes_max = bitmap_bytes_max;
        let finding = log.finding();
        assert_eq!(finding.entry, Some(paid as u64 + 1), "{finding}");
        assert!(finding.found.contains(&format!("(entry {paid})")), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_3_a_second_wallet_for_a_persons_tag_is_named() {
    let leaves = leaves().await;
    let opened = first(&leaves, "wallet_opened", |_| true);
    let tag = members(&leaves[opened])["person"].clone();
    let second = first(&leaves, "wallet_opened", |map| map["person"] != tag);
    says(after(second, set("person", tag)).await, "one wallet for a person's tag", "earlier entry");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_2_an_accrual_beyond_its_funding_is_named() {
    let leaves = leaves().await;
    let accrual = first(&leaves, "accrual", |_| true);
    let finding = after(accrual, |map| map["postings"][0]["amount"] = json!("999999999999.99")).await;
    says(finding, "an entry that the rules allow", "funding_insufficient");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_1_a_posting_on_another_account_is_named() {
    let leaves = leaves().await;
    let accrual = first(&leaves, "accrual", |map| map["programme"] == "ASP");
    let finding = after(accrual, |map| map["postings"][0]["debit"] = json!("funding:BONUS")).await;
    says(finding, "a leaf of this book", "postings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_the_batch_did_not_declare_or_did_not_count_is_named() {
    let leaves = leaves().await;
    let line = first(&leaves, "accrual", |map| map.contains_key("batch"));
    says(after(line, |map| map["actor"]["line"] = json!(100_000)).await, "a line from 1 to 300", "100000");
    says(after(line, |map| map["actor"]["client"] = json!("other")).await, "whose batch it is", "other");
    says(after(line, set("period", "2026-07")).await, "that its batch declared", "2026-07");
    let chunk = first(&leaves, "chunk_received", |_| true);
    let lines = members(&leaves[chunk])["accepted_lines"].as_u64().unwrap();
    let finding = after(chunk, |map| {
        map["accepted_lines"] = json!(lines - 1);
        map["refused_lines"] = json!(map["refused_lines"].as_u64().unwrap() + 1);
    });
    says(finding.await, &format!("{lines} lines"), &format!("{} lines", lines - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_7_an_instruction_that_makes_a_second_entry_is_named() {
    let leaves = leaves().await;
    let first_opened = first(&leaves, "wallet_opened", |map| map["actor"].get("line").is_none());
    let mut forged = leaves.clone();
    let id = "0c".repeat(16);
    rewrite(&mut forged[first_opened], |map| map["actor"]["instruction"] = json!(id));
    let again = first(&leaves, "pay_out", |_| true);
    rewrite(&mut forged[again], |map| map["actor"]["instruction"] = json!(id));
    let finding = Log::of(&forged).await.finding();
    assert_eq!(finding.entry, Some(again as u64), "{finding}");
    assert!(finding.found.contains(&format!("entry {first_opened}")), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_does_not_run_backwards_and_entries_are_numbered_without_a_gap() {
    let mut leaves = leaves().await;
    let place = first(&leaves, "wallet_opened", |_| true);
    let mut earlier = leaves.clone();
    rewrite(&mut earlier[place], |map| {
        map.insert("at".into(), json!("2020-01-01T00:00:00.000Z"));
        map.insert("date".into(), json!("2020-01-01"));
    });
    let finding = Log::of(&earlier).await.finding();
    assert_eq!(finding.entry, Some(place as u64));
    assert!(finding.expected.contains("a time not before"), "{finding}");

    leaves.remove(place);
    let finding = Log::of(&leaves).await.finding();
    assert_eq!(finding.entry, Some(place as u64));
    assert!(finding.expected.contains(&format!("seq {place}")), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_say_the_same_in_another_way_are_named() {
    let leaves = leaves().await;
    for (kind, from, to) in [
        ("accrual", "\"part\":1", "\"part\": 1"),
        ("accrual", "\"kind\"", "\"payer\":\"940140000385\",\"kind\""),
        ("pay_out", "\"v\":1", "\"v\":1,\"uncollected\":\"0.00\""),
    ] {
        let place = first(&leaves, kind, |_| true);
        let mut forged = leaves.clone();
        let text = String::from_utf8(forged[place].clone()).unwrap();
        assert!(text.contains(from));
        forged[place] = text.replace(from, to).into_bytes();
        let finding = Log::of(&forged).await.finding();
        assert_eq!(finding.entry, Some(place as u64));
        assert!(finding.found.contains("canonical form"), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inserted_entry_that_breaks_no_rule_is_found_by_who_kept_a_checkpoint() {
    let mut forged = leaves().await;
    let kept = checkpoint_of(&forged, 600, 1, &key());
    let place = first(&forged, "wallet_opened", |_| true);
    let mut another = forged[place].clone();
    rewrite(&mut another, |map| {
        map.insert("person".into(), json!("ee".repeat(32)));
        map.insert("wallet".into(), json!("6f968d5c-95f5-8f3b-9e2c-2f6d3a1b4c5d"));
        map.insert("actor".into(), json!({"client": "ministry", "request": "00".repeat(32)}));
    });
    insert(&mut forged, place, another);
    assert_eq!(Log::of(&forged).await.verify().finding, None, "nothing in it is wrong");
    let finding = Log::of(&forged).await.keeping(kept).finding();
    assert_eq!(finding.place, "kept-0");
}
