//! Logs that decide orders, and whose own key signs other decisions than the rules make. Invariants 4 and 14.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use social_wallet::verify::Finding;
use tokio::sync::OnceCell;

use super::{Log, first, kinds, members, rewrite};
use crate::log::independent::verdict;
use crate::sequencer::orders::{order_of_a_new_book, order_of_everything};
use crate::sequencer::{journal, serve};
use crate::store::Place;

/// The leaves of a book with orders of every outcome.
pub async fn leaves() -> Vec<Vec<u8>> {
    static LEAVES: OnceCell<Vec<Vec<u8>>> = OnceCell::const_new();
    let made = async || {
        let place = Place::sqlite();
        let sequencer = serve(place.open().await).await;
        order_of_everything(&sequencer, place.open().await).await;
        journal(&*place.open().await).await
    };
    LEAVES.get_or_init(made).await.clone()
}

async fn finding_in(leaves: &[Vec<u8>], place: usize) -> Finding {
    let finding = Log::of(leaves).await.finding();
    assert_eq!(finding.entry, Some(place as u64), "{finding}");
    finding
}

/// What is found after one entry was changed.
async fn after(place: usize, change: impl FnOnce(&mut Map<String, Value>)) -> Finding {
    let mut leaves = leaves().await;
    rewrite(&mut leaves[place], change);
    finding_in(&leaves, place).await
}

fn says(finding: &Finding, expected: &str, found: &str) {
    assert!(finding.expected.contains(expected) && finding.found.contains(found), "{finding}");
}

fn decided(leaves: &[Vec<u8>], outcome: &str, fits: impl Fn(&Map<String, Value>) -> bool) -> usize {
    first(leaves, "order_decided", |map| map["outcome"] == outcome && fits(map))
}

/// A lot of protected money of a wallet.
fn protected_lot(leaves: &[Vec<u8>], wallet: &Value) -> usize {
    first(leaves, "accrual", |map| map["class"] == "protected" && map["wallet"] == *wallet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_orders_is_decided_again_and_holds() {
    let leaves = leaves().await;
    let mut log = Log::of(&leaves).await;
    log.bitmap_bytes_max = 0; // what operators agree to merge is asked for when they ask, and when they agree
    assert_eq!(log.verify().finding, None);
    let report = Log::of(&leaves).await.verify();
    assert_eq!(report.finding, None);
    let totals = report.totals.unwrap();
    assert!(totals.levies > 0);
    let orders = report.orders;
    assert_eq!(orders.of_protected, 0);
    let by_kind = |kind: &str| leaves.iter().filter(|leaf| members(leaf)["kind"] == kind).count() as u64;
    assert_eq!(orders.outcomes.values().sum::<u64>(), by_kind("order_decided") + by_kind("order_malformed"));
    let taken = leaves
        .iter()
        .map(|leaf| members(leaf))
        .filter(|map| map["kind"] == "order_decided" && map["order_kind"] != "overpayment_recovery");
    let tiyn =
        |map: Map<String, Value>| map["taken"].as_str().unwrap().replace('.', "").parse::<i128>().unwrap();
    assert_eq!(orders.of_general, taken.map(tiyn).sum::<i128>());
    let behind = totals.wallets + totals.funding + totals.clearing + totals.levies;
    assert_eq!(behind, totals.backing);
    let kinds = kinds(&leaves);
    for kind in ["rules_set", "order_decided", "order_malformed", "order_expired", "levy_settled"] {
        assert!(kinds.contains_key(kind), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_4_a_levy_on_a_protected_lot_is_named() {
    let leaves = leaves().await;
    for (outcome, member) in [("executed", "postings"), ("partial", "postings"), ("held", "shares")] {
        let fits =
            |map: &Map<String, Value>| map.get(member).is_some_and(|shares| shares[0].get("lot").is_some());
        let place = decided(&leaves, outcome, |map| fits(map) && map["order_kind"] != "overpayment_recovery");
        let lot = protected_lot(&leaves, &members(&leaves[place])["wallet"]);
        let finding = after(place, |map| map[member][0]["lot"] = json!(lot)).await;
        says(&finding, member, &format!("\"lot\":{lot}"));
    }
    // One that was refused takes from a protected lot after all: every figure is made to fit.
    let place = decided(&leaves, "refused_protected", |map| map["order_kind"] == "collection");
    let map = members(&leaves[place]);
    let (wallet, asked) = (map["wallet"].clone(), map["amount"].clone());
    let lot = protected_lot(&leaves, &wallet);
    let levy = format!("levy:{}", map["issuer"].as_str().unwrap());
    let wallet = format!("wallet:{}", wallet.as_str().unwrap());
    let finding = after(place, |map| {
        map["outcome"] = json!("executed");
        (map["taken"], map["refused"]) = (asked.clone(), json!("0.00"));
        let posting = json!({"amount": asked, "credit": levy, "debit": wallet, "lot": lot});
        map.insert("postings".into(), json!([posting]));
        map.remove("shares");
    });
    says(&finding.await, "outcome \"refused_protected\"", "outcome \"executed\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_14_a_changed_decision_is_named() {
    let leaves = leaves().await;
    let executed = decided(&leaves, "executed", |map| map["order_kind"] == "collection");
    says(&after(executed, |map| map["outcome"] = json!("partial")).await, "\"executed\"", "\"partial\"");
    says(&after(executed, |map| map["amount"] = json!("0.01")).await, "", "");
    says(&after(executed, |map| map["rows"] = json!([0])).await, "rows", "[0]");
    says(&after(executed, |map| map["rules"] = json!(1)).await, "rules", "rules 1");
    says(&after(executed, |map| map["issuer"] = json!("940140000385")).await, "", "");
    says(&after(executed, |map| map["issuer_kind"] = json!("bank")).await, "issuer_kind", "\"bank\"");
    let refused = decided(&leaves, "refused_protected", |map| map["order_kind"] == "collection");
    let finding = after(refused, |map| {
        map["outcome"] = json!("malformed");
        map.insert("field".into(), json!("amount"));
    });
    says(&finding.await, "", "");
    let unauthorised = decided(&leaves, "unauthorised_issuer", |_| true);
    says(
        &after(unauthorised, |map| map["outcome"] = json!("no_wallet")).await,
        "the wallet that was opened for the debtor's tag",
        "no wallet",
    );
    let malformed = decided(&leaves, "malformed", |_| true);
    says(&after(malformed, |map| map["field"] = json!("purpose")).await, "field", "purpose");
    // The second order for one tax debt is made one for another.
    let duplicate = decided(&leaves, "returned_duplicate", |map| map["debt"]["met_elsewhere"] == false);
    says(
        &after(duplicate, |map| map["debt"]["tag"] = json!("ab".repeat(32))).await,
        "outcome",
        "returned_duplicate",
    );
}

/// The last order for a tax debt of which a part was taken before.
fn rest_of_debt(leaves: &[Vec<u8>]) -> usize {
    decided(leaves, "partial", |map| map.contains_key("debt") && map["taken"] == "400.00")
}

/// Makes it take more than is left of the debt.
fn beyond_debt(map: &mut Map<String, Value>) {
    (map["taken"], map["refused"]) = (json!("500.00"), json!("400.00"));
    map["postings"][0]["amount"] = json!("500.00");
}

/// An order against a frozen wallet, and general money that came after the freeze.
fn against_frozen(leaves: &[Vec<u8>]) -> (usize, usize) {
    let frozen = members(&leaves[decided(leaves, "held", |map| map["order_kind"] == "freeze")]);
    let wallet = frozen["wallet"].clone();
    let place = decided(leaves, "refused_protected", |map| map["wallet"] == wallet);
    (place, first(leaves, "accrual", |map| map["wallet"] == wallet && map["period"] == "2026-08"))
}

/// Makes an order that was refused take all that it asks for of a lot.
fn take(map: &mut Map<String, Value>, lot: usize) {
    let asked = map["amount"].clone();
    let (credit, debit) = (
        format!("levy:{}", map["issuer"].as_str().unwrap()),
        format!("wallet:{}", map["wallet"].as_str().unwrap()),
    );
    (map["outcome"], map["taken"], map["refused"]) = (json!("executed"), asked.clone(), json!("0.00"));
    map.insert("postings".into(), json!([{"amount": asked, "credit": credit, "debit": debit, "lot": lot}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_debt_a_levy_of_a_frozen_wallet_and_orders_out_of_turn_are_named() {
    let leaves = leaves().await;
    says(&after(rest_of_debt(&leaves), beyond_debt).await, "400.00", "500.00");
    let (place, lot) = against_frozen(&leaves);
    says(&after(place, |map| take(map, lot)).await, "outcome \"refused_protected\"", "outcome \"executed\"");
    // Of one kind they stand by their lines.
    let place = leaves.iter().position(|leaf| members(leaf)["actor"].get("line") == Some(&json!(3))).unwrap();
    let finding = after(place, |map| map["actor"]["line"] = json!(1)).await;
    says(&finding, "by the table's precedence", "line 1 after line 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_begins_with_the_rules_that_are_shipped_and_no_others() {
    let place = Place::sqlite();
    let sequencer = serve(place.open().await).await;
    order_of_a_new_book(&sequencer).await;
    let leaves = journal(&*place.open().await).await;
    assert_eq!(Log::of(&leaves).await.verify().finding, None);
    assert_eq!(verdict(&leaves, 1, 1, 1).0, 0);
    let set = first(&leaves, "rules_set", |map| map["actor"]["client"] == "system");
    let mut forged = leaves.clone();
    rewrite(&mut forged[set], |map| map["rules"]["precedence"] = json!([]));
    says(&finding_in(&forged, set).await, "an entry that the rules allow", "approval");
    let (code, said) = verdict(&forged, 1, 1, 1);
    assert!(code == 1 && said.contains("the first rules are not those of rules.json"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debtor_whose_wallet_is_hidden_or_exchanged_is_named() {
    let leaves = leaves().await;
    let refused = decided(&leaves, "refused_protected", |map| map["order_kind"] == "collection");
    let finding = after(refused, |map| {
        map["outcome"] = json!("no_wallet");
        map["rows"] = json!([]);
        map.remove("wallet");
    });
    says(&finding.await, "the wallet that was opened for the debtor's tag", "no wallet");
    let other = first(&leaves, "wallet_opened", |map| map["wallet"] != members(&leaves[refused])["wallet"]);
    let other = members(&leaves[other])["wallet"].clone();
    let finding = after(refused, |map| map["wallet"] = other);
    says(&finding.await, "the wallet that was opened for the debtor's tag", "another wallet");
    let nobody = decided(&leaves, "no_wallet", |_| true);
    let opened = members(&leaves[first(&leaves, "wallet_opened", |_| true)]);
    let finding = after(nobody, |map| map["debtor"] = opened["person"].clone());
    says(&finding.await, "the wallet that was opened for the debtor's tag", "no wallet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_decided_twice_or_ends_early_is_named() {
    let leaves = leaves().await;
    let executed = decided(&leaves, "executed", |map| map["order_kind"] == "collection");
    let tag = members(&leaves[executed])["order"].clone();
    let later = leaves.iter().enumerate().skip(executed + 1).find(|(_, leaf)| {
        let map = members(leaf);
        map["kind"] == "order_decided" && map["outcome"] != "malformed"
    });
    let place = later.unwrap().0;
    says(&after(place, |map| map["order"] = tag).await, "an entry that the rules allow", "order_conflict");

    let ended = first(&leaves, "order_expired", |_| true);
    let order = usize::try_from(members(&leaves[ended])["order"].as_u64().unwrap()).unwrap();
    let mut forged = leaves.clone();
    rewrite(&mut forged[order], |map| map["expires"] = json!("2026-12-01T00:00:00.000Z"));
    says(&finding_in(&forged, ended).await, "an entry that the rules allow", "order_unknown");

    let settled = first(&leaves, "levy_settled", |_| true);
    let finding = after(settled, |map| {
        map["amount"] = json!("999999.00");
        map["postings"][0]["amount"] = json!("999999.00");
    });
    says(&finding.await, "an entry that the rules allow", "levy_insufficient");
}

/// Changes the table that two operators set, wherever it is told: what they asked for, approved, and what came into force.
fn set_other_rules(leaves: &mut [Vec<u8>], change: impl Fn(&mut Value)) -> (usize, usize) {
    let set = first(leaves, "rules_set", |_| true);
    let asked = first(leaves, "approval_requested", |map| map["proposal"]["kind"] == "set_rules");
    rewrite(&mut leaves[set], |map| change(&mut map["rules"]));
    let mut digest = Value::Null;
    rewrite(&mut leaves[asked], |map| {
        change(&mut map["proposal"]["rules"]);
        digest = json!(hex::encode(Sha256::digest(map["proposal"].to_string())));
        map["digest"] = digest.clone();
    });
    rewrite(&mut leaves[set - 1], |map| map["digest"] = digest);
    (asked, set)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_under_other_rules_than_those_of_the_day_are_named() {
    let original = leaves().await;
    // The table that came into force is not the one that was approved.
    let set = first(&original, "rules_set", |_| true);
    let finding = after(set, |map| map["rules"]["precedence"] = json!([])).await;
    says(&finding, "the entry that carries out what the entry before it approved", "rules_set");

    // It is, and refuses what was taken.
    let of_collection = |rules: &mut Value, what: &dyn Fn(&mut Value)| {
        for rule in rules["rules"].as_array_mut().unwrap() {
            if rule["order"] == "collection" {
                what(rule);
            }
        }
    };
    let mut forged = original.clone();
    set_other_rules(&mut forged, |rules| of_collection(rules, &|rule| rule["effect"] = json!("refuse")));
    let taken = decided(&original, "executed", |map| {
        map["order_kind"] == "collection" && map.contains_key("postings")
    });
    says(&finding_in(&forged, taken).await, "outcome \"refused_protected\"", "outcome \"executed\"");

    // It opens protected money: there is no such table.
    let mut forged = original.clone();
    let (asked, _) =
        set_other_rules(&mut forged, |rules| of_collection(rules, &|rule| rule["effect"] = json!("allow")));
    says(
        &finding_in(&forged, asked).await,
        "an entry that the rules allow",
        "would let an order reach protected money",
    );
}

/// What the verifier finds that shares no code with us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariants_4_and_14_who_checks_without_us_finds_it_too() {
    let leaves = leaves().await;
    let (code, said) = verdict(&leaves, 1, 1, 1);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("order_decided"), "{said}");
    let after = |place: usize, expected: &str, change: &dyn Fn(&mut Map<String, Value>)| {
        let mut leaves = leaves.clone();
        rewrite(&mut leaves[place], change);
        let (code, said) = verdict(&leaves, 1, 1, 1);
        assert!(code == 1 && said.contains(expected), "expected {expected:?}, found {said}");
    };
    let money = |map: &Map<String, Value>| map.contains_key("postings");
    let taken = decided(&leaves, "executed", |map| map["order_kind"] == "collection" && money(map));
    let held = decided(&leaves, "held", |map| map["order_kind"] == "arrest");
    let refused = decided(&leaves, "refused_protected", |map| map["order_kind"] == "collection");
    let recovered = decided(&leaves, "executed", |map| map["order_kind"] == "overpayment_recovery");
    let nobody = decided(&leaves, "no_wallet", |_| true);
    let unauthorised = decided(&leaves, "unauthorised_issuer", |_| true);
    let returned = decided(&leaves, "returned_duplicate", |_| true);
    let lifted = first(&leaves, "order_decided", |map| map.contains_key("lifted"));
    let (set, ended) = (first(&leaves, "rules_set", |_| true), first(&leaves, "order_expired", |_| true));
    let settled = first(&leaves, "levy_settled", |_| true);
    let protected = |place: usize| protected_lot(&leaves, &members(&leaves[place])["wallet"]);

    after(taken, "is of protected money", &|map| map["postings"][0]["lot"] = json!(protected(taken)));
    after(held, "is of protected money", &|map| map["shares"][0]["lot"] = json!(protected(held)));
    after(held, "holds no", &|map| {
        map["shares"][0]["amount"] = json!("9999.00");
        (map["held"], map["amount"]) = (json!("9999.00"), json!("9999.00"));
    });
    after(taken, "what was taken and is held is not", &|map| map["taken"] = json!("0.01"));
    after(taken, "are not what was asked", &|map| map["amount"] = json!("9999.00"));
    after(taken, "its outcome is executed, not partial", &|map| map["outcome"] = json!("partial"));
    after(taken, "it is not decided by the rules in force", &|map| map["rules"] = json!(1));
    after(taken, "may not give such orders", &|map| map["issuer_kind"] = json!("paying_body"));
    after(taken, "a posting's credit is levy:", &|map| map["issuer"] = json!("940140000385"));
    let tag = members(&leaves[refused])["order"].clone();
    after(nobody.max(refused), "its document was decided in entry", &|map| map["order"] = tag.clone());
    after(refused, "it is not the debtor's wallet", &|map| drop(map.remove("wallet")));
    let person = members(&leaves[first(&leaves, "wallet_opened", |_| true)])["person"].clone();
    after(nobody, "it is not the debtor's wallet", &|map| map["debtor"] = person.clone());
    after(unauthorised, "it is not the debtor's wallet", &|map| map["outcome"] = json!("no_wallet"));
    after(returned, "its outcome is", &|map| {
        map["debt"] = json!({"tag": "ab".repeat(32), "met_elsewhere": false});
    });
    after(recovered, "is not that of the overpaid benefit", &|map| {
        map["overpaid"]["period"] = json!("2026-09");
    });
    after(recovered, "another payer's money", &|map| map["issuer"] = json!("000000000000"));
    after(lifted, "the order that it ends is not the one", &|map| map["lifts"] = json!("ab".repeat(32)));
    after(lifted, "it does not let go what", &|map| map["released"] = json!([]));
    after(ended, "its time was not over", &|map| map["actor"]["client"] = json!("op-a"));
    after(ended, "it does not let go what", &|map| map["shares"] = json!([]));
    after(settled, "would hold -", &|map| map["postings"][0]["amount"] = json!("999999.00"));
    after(set, "its rules let orders reach protected money", &|map| {
        map["rules"]["rules"][0]["effect"] = json!("allow");
    });
    after(set, "no rule lets it reach lot", &|map| {
        for rule in map["rules"]["rules"].as_array_mut().unwrap() {
            rule["effect"] = json!("refuse");
        }
    });
    after(rest_of_debt(&leaves), "of the tax debt only 400.00 is left", &beyond_debt);
    let (frozen, lot) = against_frozen(&leaves);
    after(frozen, "is of a frozen wallet", &|map| take(map, lot));
    let third = leaves.iter().position(|leaf| members(leaf)["actor"].get("line") == Some(&json!(3))).unwrap();
    after(third, "it is not in its place", &|map| map["actor"]["line"] = json!(1));
    // The arrest of the wallet of a later order was over by then.
    let arrest = decided(&leaves, "held", |map| map["order_kind"] == "arrest" && map.contains_key("expires"));
    after(arrest, "is over, and its end is not written", &|map| {
        map["expires"] = json!("2026-01-01T00:00:00.000Z");
    });
    // What leaves a wallet while it is frozen.
    let freeze = decided(&leaves, "held", |map| map["order_kind"] == "freeze");
    let wallet = members(&leaves[freeze])["wallet"].clone();
    after(freeze + 1, "an order stands against it", &|map| {
        (map["kind"], map["wallet"]) = (json!("cash_created"), wallet.clone());
    });
}
