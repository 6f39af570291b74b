//! An authority's commands, given to real processes: orders one by one and by file, and documents that are checked when the service
//! is gone.

use std::path::Path;

use serde_json::json;
use social_wallet::orders::file::{HEADER, ORDERS_PER_FILE_MAX};
use tokio::process::Command;

use crate::commands::{Home, program};
use crate::crew::Crew;
use crate::http::{accrual, iin, programme};

/// A book with a benefit on the wallet of person 1.
async fn furnished(home: &mut Home) -> (Crew, tokio::process::Child) {
    let mut bootstrap: Command = program();
    bootstrap.args(["bootstrap", "--trial", "--data-dir"]).arg(home.data());
    let crew = Crew::bootstrap(&home.data(), bootstrap).await;
    let service = home.serve().await;
    let operator = crew.key("operator-1");
    let asp = programme("ASP").to_string();
    home.done(&["call", "POST", "/v1/programmes", &asp, "--client-key", &operator]).await;
    let fund = ["fund", "ASP", "1000.00", "--reference", "R1", "--approver-key", &crew.key("operator-2")];
    home.done(&[&fund[..], &["--client-key", &operator]].concat()).await;
    let paid = accrual(1, "700.00").to_string();
    home.done(&["call", "POST", "/v1/accruals", &paid, "--client-key", &crew.key("payer")]).await;
    (crew, service)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_gives_orders_and_checks_their_documents_with_the_logs_key_alone() {
    let mut home = Home::new();
    let (crew, service) = furnished(&mut home).await;
    let collector = crew.key("collector");
    let as_collector = ["--client-key", collector.as_str()];
    let number = home.at("iin");
    std::fs::write(&number, iin(1)).unwrap();
    let give = |amount: &'static str| {
        let order = [
            &["order", "give", "--iin-file", &number, "--number", "7/2026", "--date", "2026-11-20"][..],
            &["--kind", "payment_demand", "--amount", amount, "--enforcement-document", "Contract 7"],
            &["--purpose", "Debt"],
            &as_collector,
        ];
        order.concat()
    };
    let decided = home.done(&give("500.00")).await;
    assert_eq!((&decided["outcome"], &decided["refused"]), (&json!("refused_protected"), &json!("500.00")));
    let again = home.run(&give("500.00")).await;
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.starts_with("refused_protected, as it was decided before"), "{said}");
    assert!(home.refused(&give("600.00"), 1).await.contains("order_conflict"));

    let entry = decided["entry"].to_string();
    let shown = home.done(&[&["order", "show", &entry][..], &as_collector].concat()).await;
    assert_eq!((&shown["number"], &shown["debtor"]), (&json!("7/2026"), &json!(iin(1)[8..])));
    let (page, document) = (home.at("refusal.html"), home.at("refusal.json"));
    for file in [&page, &document] {
        home.done(&[&["order", "document", &entry, "-o", file][..], &as_collector].concat()).await;
    }
    let data = home.data().display().to_string();
    let key = home.run(&["log", "key", "--data-dir", &data]).await.stdout;
    let keys = home.at("keys");
    std::fs::write(&keys, key).unwrap();
    drop(service); // killed: nothing of it is needed any more

    let verify = async |file: &str, more: &[&str]| {
        home.run(&[&["verify", "--json", "--decision", file, "--key-file", &keys][..], more].concat()).await
    };
    let found =
        |output: &std::process::Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    for file in [&page, &document] {
        let output = verify(file, &[]).await;
        let found = found(&output);
        assert!(output.status.success(), "{found}");
        assert_eq!((&found["matches"], &found["decision"]["asked"]), (&json!(true), &json!("500.00")));
    }
    let of_person = verify(&document, &["--iin-file", &number]).await;
    assert_eq!(found(&of_person)["debtor_checked"], json!(true));
    let by_page = verify(&page, &["--iin-file", &number]).await;
    let said = String::from_utf8_lossy(&by_page.stderr).into_owned();
    assert_eq!((by_page.status.code(), said.contains("JSON")), (Some(2), true), "a page cannot tell: {said}");
    for (file, from, to, finding) in [
        (&page, "500.00 KZT", "50.00 KZT", "asked: the document says 50.00 KZT, the journal says 500.00 KZT"),
        (
            &document,
            "\"taken\":\"0.00\"",
            "\"taken\":\"1.00\"",
            "taken: the document says 1.00, the journal says 0.00",
        ),
    ] {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{from}");
        let forged = home.at(Path::new(file).file_name().unwrap().to_str().unwrap()) + ".forged";
        std::fs::write(&forged, text.replacen(from, to, 1)).unwrap();
        let output = verify(&forged, &[]).await;
        assert_eq!((output.status.code(), &found(&output)["finding"]), (Some(1), &json!(finding)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_orders_longer_than_a_request_has_a_verdict_a_line() {
    let mut home = Home::new();
    let (crew, _service) = furnished(&mut home).await;
    let lines = ORDERS_PER_FILE_MAX + 2;
    let mut file = format!("{HEADER}\n");
    for number in 1..lines {
        file += &format!(
            "{number},2026-11-20,payment_demand,{},5.00,KZT,Contract {number},Debt,,,,,,,,\n",
            iin(1)
        );
    }
    file += ",2026-11-20,payment_demand,,,,,,,,,,,,,\n";
    let (orders, verdicts) = (home.at("orders.csv"), home.at("verdicts.csv"));
    std::fs::write(&orders, file).unwrap();
    let collector = crew.key("collector");
    let send = ["order", "send", &orders, "--verdicts", &verdicts, "--json", "--client-key", &collector];
    for before in [false, true] {
        let output = home.run(&send).await;
        assert_eq!(output.status.code(), Some(1), "a line without a decision is told by the exit code");
        let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(sent["said"], json!({"refused_protected": lines - 1, "field_missing": 1}));
        let told = std::fs::read_to_string(&verdicts).unwrap();
        let rows: Vec<&str> = told.lines().collect();
        assert_eq!(rows.len(), lines + 1);
        let verdict = if before { "already_decided" } else { "decided" };
        assert!(rows[lines - 1].starts_with(&format!("{},{verdict},", lines - 1)), "{}", rows[lines - 1]);
        assert_eq!(rows[lines], format!("{lines},refused,,,,,,field_missing,number"));
    }
    let auditor = crew.key("auditor");
    let report = ["report", "orders", "--from", "2026-01-01", "--to", "2099-12-31", "--client-key", &auditor];
    let report = home.done(&report).await;
    assert_eq!(report["orders"][0]["orders"], json!(lines - 1));
    assert_eq!(
        (&report["proof"]["taken_from_protected"], &report["proof"]["ties"]),
        (&json!("0.00"), &json!(true))
    );
}
