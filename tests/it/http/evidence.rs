//! `/v1/entries/{entry}/evidence`: an auditor holds an entry against what its client signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::signed::{PUBLIC_URL, send, signer};
use super::{HEADER, PAYER, Service, accrual, declaration, fresh, in_both_rooms, lines, programme};
use crate::store::Place;

in_both_rooms!(every_entry_of_a_signed_request_is_held_against_what_was_signed);

/// What an auditor does with the answer, knowing the entry's leaf and the client's key: gives the body.
fn check(evidence: &Value, leaf: &Value, name: &str) -> Vec<u8> {
    let bytes = |member: &str| BASE64.decode(evidence[member].as_str().unwrap()).unwrap();
    let (base, signature, body) =
        (evidence["signature_base"].as_str().unwrap(), bytes("signature"), bytes("body"));
    assert_eq!(evidence["public_key"], signer(name).public_key().to_string());
    let key = VerifyingKey::from_bytes(&bytes("public_key").try_into().unwrap()).unwrap();
    let signature = Signature::from_bytes(&signature.try_into().unwrap());
    key.verify_strict(base.as_bytes(), &signature).unwrap();
    let digest = BASE64.encode(Sha256::digest(&body));
    if !body.is_empty() {
        assert!(base.contains(&format!("\"content-digest\": sha-256=:{digest}:")), "{base}");
    }
    assert!(base.contains(&format!("\"@target-uri\": {PUBLIC_URL}/v1/")));
    let actor = &leaf["actor"];
    let is_chunk = actor["chunk"].is_string() || leaf["kind"] == "chunk_received";
    let committed = if is_chunk {
        Sha256::digest(&body)
    } else {
        Sha256::new().chain_update(base).chain_update(signature.to_bytes()).finalize()
    };
    let request = actor["chunk"].as_str().or(actor["request"].as_str()).unwrap();
    assert_eq!(request, hex::encode(committed), "the entry commits to what was signed");
    assert_eq!(leaf["actor"]["client"], name);
    body
}

async fn every_entry_of_a_signed_request_is_held_against_what_was_signed(place: &Place) {
    let service = Service::guarded(place).await;
    let begun = service.size().await;
    send(&service, "operator", ("POST", "/v1/programmes", &programme("ASP").to_string())).await.expect(201);
    let funding = json!({"amount": "1000.00", "currency": "KZT", "bank_reference": "PP 1"}).to_string();
    let asked =
        send(&service, "operator", ("POST", "/v1/programmes/ASP/fundings", &funding)).await.expect(201);
    let given = json!({"digest": asked["digest"]}).to_string();
    let approve = format!("/v1/approvals/{}/approve", asked["entry"]);
    let approved = send(&service, "operator-2", ("POST", &approve, &given)).await.expect(201);
    let single = accrual(1, "10.00").to_string();
    let accrued = send(&service, "payer", ("POST", "/v1/accruals", &single)).await.expect(201);
    let batch = format!("/v1/batches/{}", fresh());
    send(&service, "payer", ("PUT", &batch, &declaration(300, "300.00").to_string())).await.expect(201);
    let chunk = format!("{HEADER}{}", lines(2..302, "1.00"));
    let answer = send(&service, "payer", ("PUT", &format!("{batch}/chunks/1"), &chunk)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    send(&service, "payer", ("POST", &format!("{batch}/close"), "")).await.expect(200);

    let leaves = service.leaves().await;
    let mut bodies = Vec::new();
    for entry in begun..leaves.len() as u64 {
        let leaf: Value = serde_json::from_str(&leaves[usize::try_from(entry).unwrap()]).unwrap();
        let path = format!("/v1/entries/{entry}/evidence");
        let evidence = send(&service, "auditor", ("GET", &path, "")).await.expect(200);
        let (first, count) =
            (evidence["first_entry"].as_u64().unwrap(), evidence["entries"].as_u64().unwrap());
        assert!((first..first + count).contains(&entry));
        let name = leaf["actor"]["client"].as_str().unwrap().to_owned();
        bodies.push(check(&evidence, &leaf, &name));
    }
    // One approval made two entries, the accrual two with the wallet it opened, the chunk one a line and more.
    let evidence_of = async |entry: &Value| {
        let path = format!("/v1/entries/{entry}/evidence");
        send(&service, "auditor", ("GET", &path, "")).await.expect(200)
    };
    assert_eq!(evidence_of(&approved["entry"]).await["entries"], 2);
    let of_accrual = evidence_of(&accrued["entry"]).await;
    assert_eq!(
        (&of_accrual["entries"], &of_accrual["key"]),
        (&json!(2), &json!(signer("payer").key_id().to_string()))
    );
    assert_eq!(
        bodies.iter().filter(|body| **body == chunk.as_bytes()).count(),
        601,
        "300 openings, 300 accruals, the chunk"
    );
    assert_eq!(bodies.iter().filter(|body| **body == single.as_bytes()).count(), 2);
    // What was not signed has none, and nobody but an auditor is told of any.
    for path in ["/v1/entries/0/evidence", "/v1/entries/999999/evidence"] {
        send(&service, "auditor", ("GET", path, "")).await.refused(404, "evidence_unknown", None);
    }
    let path = format!("/v1/entries/{}/evidence", accrued["entry"]);
    send(&service, "payer", ("GET", &path, "")).await.refused(404, "evidence_unknown", None);
    assert!(
        PAYER.len() == 12 && !of_accrual.to_string().contains("\"iin\""),
        "the body is encoded, not shown"
    );
    service.stop().await;
}
