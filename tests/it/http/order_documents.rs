//! The documents of decisions: checked offline with the log's key alone, and not to be changed in any figure.

use serde_json::{Value, json};
use social_wallet::domain::Iin;
use social_wallet::orders::check::{CheckError, check};
use social_wallet::orders::document::DOCUMENT_BYTES_MAX;

use super::log::policy;
use super::orders::{decide, order, with_general_money};
use super::payments::{end, furnished};
use super::signed::{send, send_changed};
use super::{Service, iin, in_both_rooms, with};
use crate::store::Place;

in_both_rooms!(
    a_document_is_checked_with_the_logs_key_alone,
    no_member_of_a_document_can_be_changed,
    no_cell_of_a_page_can_be_changed,
);

/// The document of a decision, once the log has it.
async fn document(service: &Service, by: &str, entry: &Value, query: &str, accept: &'static str) -> String {
    let path = format!("/v1/orders/{entry}/document{query}");
    let asked = async || {
        let answer = send_changed(service, by, ("GET", &path, ""), |headers, _| {
            headers.insert("accept", accept.parse().unwrap());
        })
        .await;
        assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        (answer.status == 200).then_some(answer.body)
    };
    crate::until("a checkpoint", asked).await
}

async fn json_of(service: &Service, entry: &Value) -> Value {
    serde_json::from_str(&document(service, "authority", entry, "", "application/json").await).unwrap()
}

async fn a_document_is_checked_with_the_logs_key_alone(place: &Place) {
    let (service, _) = furnished(place).await;
    let policy = policy(&service);
    let decided = decide(&service, "authority", &order("0427/2026", 1)).await.expect(201);
    let shown = json_of(&service, &decided["entry"]).await;
    let checked = check(shown.to_string().as_bytes(), &policy, None).unwrap();
    assert_eq!(checked.document, shown);
    assert!(!checked.debtor && !checked.signed_by.is_empty());
    for (name, value) in [
        ("number", json!("0427/2026")),
        ("debtor", json!(iin(1)[8..])),
        ("asked", json!("50000.00")),
        ("taken", json!("0.00")),
        ("refused", json!("50000.00")),
        ("outcome", json!("refused_protected")),
        ("leaf_hash", decided["leaf_hash"].clone()),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert!(shown["basis"][0]["legal_basis"]["ru"].as_str().unwrap().contains("статья 58"));
    for (bytes, fits) in
        [(DOCUMENT_BYTES_MAX - 1, true), (DOCUMENT_BYTES_MAX, true), (DOCUMENT_BYTES_MAX + 1, false)]
    {
        let mut filled = shown.to_string().into_bytes();
        filled.resize(bytes, b' ');
        assert_eq!(check(&filled, &policy, None).is_ok(), fits, "{bytes}");
    }
    // It is about this person, and about no other.
    let text = shown.to_string();
    let person = |number: u32| Iin::parse(iin(number).as_bytes()).unwrap();
    assert!(check(text.as_bytes(), &policy, Some(&person(1))).unwrap().debtor);
    assert_eq!(check(text.as_bytes(), &policy, Some(&person(2))), Err(CheckError::OtherDebtor));

    for query in ["", "?lang=kk", "?lang=ru", "?lang=en"] {
        let page = document(&service, "authority", &decided["entry"], query, "text/html").await;
        let checked = check(page.as_bytes(), &policy, None).unwrap();
        assert_eq!(checked.document["outcome"], "refused_protected");
        for foreign in ["<script", "http://", "https://", "src=", "href=", "@import", "url(", "onload"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("0427/2026") && page.contains("50000.00 KZT"));
        assert!(checked.document["proof"]["openings"].get("debtor").is_none(), "a page is passed on");
        assert_eq!(check(page.as_bytes(), &policy, Some(&person(1))), Err(CheckError::NoDebtorOpening));
        let (kazakh, russian) = (page.contains("Құқықтық негіз"), page.contains("Правовое основание"));
        assert_eq!(
            (kazakh, russian),
            (query.is_empty() || query == "?lang=kk", query.is_empty() || query == "?lang=ru")
        );
    }
    let path = format!("/v1/orders/{}/document?lang=de", decided["entry"]);
    send(&service, "authority", ("GET", &path, "")).await.refused(400, "field_malformed", Some("lang"));

    // Other decisions have documents too.
    for body in
        [order("8", 2), with(order("9", 1), "purpose", json!("")), super::without(order("10", 1), "amount")]
    {
        let decided = decide(&service, "authority", &body).await.expect(201);
        let shown = json_of(&service, &decided["entry"]).await;
        check(shown.to_string().as_bytes(), &policy, None).unwrap();
        let page = document(&service, "authority", &decided["entry"], "", "text/html").await;
        check(page.as_bytes(), &policy, None).unwrap();
    }
    // What no row decides says by which rule of the ledger it was decided.
    for (number, kind) in [("11", "fee"), ("12", "lift")] {
        let body = with(order(number, 1), "kind", json!(kind)); // it may not, and lacks what it lifts
        let decided = decide(&service, "authority", &body).await.expect(201);
        let shown = json_of(&service, &decided["entry"]).await;
        assert_eq!(shown["basis"], json!([]));
        assert!(shown["basis_words"]["ru"].as_str().unwrap().starts_with("по "), "{shown}");
        let page = document(&service, "authority", &decided["entry"], "", "text/html").await;
        assert!(page.contains(shown["basis_words"]["kk"].as_str().unwrap()));
    }
    // Only who gave the order is given what would tell its debtor's number to whoever tries all that there are.
    for (by, is_issuer) in [("authority", true), ("auditor", false), ("operator", false)] {
        let text = document(&service, by, &decided["entry"], "", "application/json").await;
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["proof"]["openings"].get("debtor").is_some(), is_issuer, "{by}");
        check(text.as_bytes(), &policy, None).unwrap();
    }
    // Texts of an issuer are texts on the page.
    let sly = with(order("<script>alert(1)</script>", 1), "purpose", json!("</td><td id=\"taken\">1 & 2"));
    let decided = decide(&service, "authority", &sly).await.expect(201);
    let page = document(&service, "authority", &decided["entry"], "", "text/html").await;
    assert!(!page.contains("<script"));
    check(page.as_bytes(), &policy, None).unwrap();
    end(service).await;
}

/// Every place in a JSON value where something stands.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| places(item, &format!("{at}/{place}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

async fn no_member_of_a_document_can_be_changed(place: &Place) {
    let (service, _) = furnished(place).await;
    with_general_money(&service).await;
    let policy = policy(&service);
    let partial = decide(&service, "authority", &order("7", 1)).await.expect(201);
    assert_eq!((&partial["outcome"], &partial["taken"]), (&json!("partial"), &json!("300.00")));
    let other = decide(&service, "authority", &order("8", 1)).await.expect(201);
    let (shown, other) =
        (json_of(&service, &partial["entry"]).await, json_of(&service, &other["entry"]).await);
    let person = Iin::parse(iin(1).as_bytes()).unwrap();
    check(shown.to_string().as_bytes(), &policy, Some(&person)).unwrap();
    let mut found = Vec::new();
    places(&shown, "", &mut found);
    assert!(found.len() > 40, "{found:?}");
    for at in found {
        let mut changed = shown.clone();
        let member = changed.pointer_mut(&at).unwrap();
        *member = match &*member {
            Value::String(text) if text.is_empty() => json!("x"),
            Value::String(text) => {
                // One character is another of its kind, so that the form stays what it was.
                let last = text.chars().rev().find(char::is_ascii_alphanumeric);
                match last {
                    Some(letter) => {
                        let other = if letter.is_ascii_digit() {
                            if letter == '1' { '2' } else { '1' }
                        } else if letter == 'e' {
                            'f'
                        } else {
                            'e'
                        };
                        let place = text.rfind(letter).unwrap();
                        let mut text = text.clone();
                        text.replace_range(place..place + letter.len_utf8(), &other.to_string());
                        json!(text)
                    }
                    None => json!("x"),
                }
            }
            Value::Number(number) => json!(number.as_u64().unwrap() + 1),
            Value::Null => json!("1.00"),
            other => panic!("{at}: {other}"),
        };
        let told = check(changed.to_string().as_bytes(), &policy, Some(&person));
        assert!(told.is_err(), "{at} can be changed");
        // A figure is named, with what the journal says.
        let figures = [
            "asked",
            "taken",
            "held",
            "refused",
            "outcome",
            "at",
            "date",
            "entry",
            "rules",
            "leaf_hash",
            "order_kind",
        ];
        if let Some(name) = figures.into_iter().find(|name| at == format!("/{name}")) {
            let Err(CheckError::Differs { member, journal, .. }) = told else { panic!("{at}: {told:?}") };
            let expected = shown[name].as_str().map_or_else(|| shown[name].to_string(), str::to_owned);
            assert_eq!((member.as_str(), journal), (name, expected));
        }
    }
    // Nor can one be left out or added, or a part come from another decision.
    for name in shown.as_object().unwrap().keys() {
        let mut changed = shown.clone();
        changed.as_object_mut().unwrap().remove(name);
        assert!(check(changed.to_string().as_bytes(), &policy, None).is_err(), "{name} can be left out");
        if shown[name] != other[name] {
            let changed = with(shown.clone(), name, other[name].clone());
            assert!(
                check(changed.to_string().as_bytes(), &policy, None).is_err(),
                "{name} of another decision"
            );
        }
    }
    let added = with(shown.clone(), "taken_from_protected", json!("1.00"));
    assert!(check(added.to_string().as_bytes(), &policy, None).is_err());
    let mut opened = shown.clone();
    opened["proof"]["openings"]["order"] = other["proof"]["openings"]["order"].clone();
    let told = check(opened.to_string().as_bytes(), &policy, None);
    assert_eq!(told, Err(CheckError::Opening("issuer, number or date")));
    let renamed = with(shown.clone(), "number", json!("6"));
    assert_eq!(
        check(renamed.to_string().as_bytes(), &policy, None),
        Err(CheckError::Opening("issuer, number or date"))
    );
    // Another log's key believes none of it.
    let stranger = social_wallet::log::note::SigningKey::from_seed("log", &[9; 32]).unwrap();
    let stranger = social_wallet::log::checkpoint::Policy::of_log(stranger.verifier_key().clone());
    assert!(matches!(check(shown.to_string().as_bytes(), &stranger, None), Err(CheckError::Receipt { .. })));
    end(service).await;
}

async fn no_cell_of_a_page_can_be_changed(place: &Place) {
    let (service, _) = furnished(place).await;
    let policy = policy(&service);
    let decided = decide(&service, "authority", &order("7", 1)).await.expect(201);
    let page = document(&service, "authority", &decided["entry"], "?lang=en", "text/html").await;
    check(page.as_bytes(), &policy, None).unwrap();
    for (from, to, member) in [
        ("50000.00 KZT</td>", "5000.00 KZT</td>", "asked"),
        ("<td id=\"taken\">0.00", "<td id=\"taken\">9.00", "taken"),
        ("<td id=\"outcome\">Refused", "<td id=\"outcome\">Executed", "outcome"),
        ("<td id=\"number\">7", "<td id=\"number\">8", "number"),
        ("article 58", "article 59", "basis"),
        (&format!("•••• •••• {}", &iin(1)[8..]), "•••• •••• 0001", "debtor"),
    ] {
        assert!(page.contains(from), "{from}");
        let told = check(page.replacen(from, to, 1).as_bytes(), &policy, None);
        let Err(CheckError::Differs { member: named, .. }) = told else { panic!("{from}: {told:?}") };
        assert_eq!(named, member);
    }
    for (from, to) in [
        ("</body>", "<p>Paid in full.</p></body>"),
        ("<h1>", "<h1 hidden>"),
        ("font-weight:700", "display:none"),
        (">Asked<", ">Taken<"),
    ] {
        assert!(page.contains(from), "{from}");
        assert_eq!(
            check(page.replacen(from, to, 1).as_bytes(), &policy, None),
            Err(CheckError::Page),
            "{from}"
        );
    }
    for broken in ["", "x", "<html>", "{}", "[]"] {
        assert_eq!(check(broken.as_bytes(), &policy, None), Err(CheckError::Form), "{broken}");
    }
    end(service).await;
}
