//! The demonstration's chapter on the shield: three who may order money out of wallets try it, and go away with signed refusals.
//!
//! The documents are taken while the service runs, and held against the log's key when it is gone: nothing else is needed to
//! believe them, and nothing in them can be changed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::child;
use super::crew::Crew;
use super::demo::expect;
use super::error::CliError;
use crate::client::Client;
use crate::client::orders::DocumentForm;
use crate::domain::time::Stamp;
use crate::domain::{Iin, WalletId};
use crate::sequencer::clock;

/// Who tries: the client of `bootstrap --trial`, what he is in words, the kind of his order, and what he asks for.
const THREE: [(&str, &str, &str, &str); 3] = [
    ("bank-claims", "a bank", "set_off", "250000.00"),
    ("collector", "a collector", "payment_demand", "500000.00"),
    ("tax-authority", "a tax authority", "collection", "125000.00"),
];

/// An order that was refused, and its document.
pub struct Refusal {
    /// Who tried.
    pub who: &'static str,
    /// By what kind of order.
    pub kind: &'static str,
    /// How much he asked for.
    pub asked: &'static str,
    /// The document as JSON; a page to print lies beside it.
    pub document: PathBuf,
}

/// Gives three orders against a wallet, and keeps the documents of their refusals in a directory.
pub async fn lay(
    crew: &Crew,
    wallet: WalletId,
    iin: &Iin,
    directory: &Path,
) -> Result<Vec<Refusal>, CliError> {
    std::fs::create_dir_all(directory).map_err(CliError::file(directory))?;
    let auditor = crew.client("auditor")?;
    let before = auditor.wallet(wallet).await?;
    let today = Stamp::of(clock::now()).map_or_else(String::new, |stamp| stamp.date_text());
    let mut refusals = Vec::new();
    for (client, who, kind, asked) in THREE {
        let authority = crew.client(client)?;
        let mut order = json!({"number": "1/2026", "date": today, "kind": kind, "iin": iin.expose(), "amount": asked,
            "currency": "KZT", "enforcement_document": "Contract 17/2024", "purpose": "A debt of the holder"});
        if kind == "collection" {
            order["tax_debt"] = json!({"type": "101202", "met_elsewhere": false});
        }
        let decided = authority.decide_order(&order, &Client::fresh_key()).await?.value;
        expect(decided["outcome"] == "refused_protected", "an order reached protected money")?;
        let entry = decided["entry"].as_u64().unwrap_or_default();
        let document = directory.join(format!("{client}.json"));
        for (path, form) in
            [(document.clone(), DocumentForm::Json), (document.with_extension("html"), DocumentForm::Page)]
        {
            let bytes = authority.decision_document(entry, form, None).await?;
            std::fs::write(&path, &bytes).map_err(CliError::file(&path))?;
        }
        refusals.push(Refusal { who, kind, asked, document });
    }
    let after = auditor.wallet(wallet).await?;
    let is_same = |member: &str| after[member] == before[member];
    expect(is_same("balance") && is_same("held") && is_same("available"), "an order has touched a wallet")?;
    Ok(refusals)
}

/// Holds the documents against the log's key, with no service and no store; and each, with one figure changed, must not stand.
pub async fn verify(refusals: &[Refusal], key: &str) -> Result<(), CliError> {
    for Refusal { asked, document, .. } in refusals {
        for path in [document.clone(), document.with_extension("html")] {
            let (holds, found) = child::verify_decision(&path, key).await?;
            expect(holds && found["matches"] == true, "a decision document does not verify")?;
            let decision = &found["decision"];
            expect(
                decision["taken"] == "0.00" && decision["refused"] == *asked,
                "a refusal has other figures",
            )?;
        }
        let text = std::fs::read(document).map_err(CliError::file(document))?;
        let mut forged: Value = serde_json::from_slice(&text)
            .map_err(|_| CliError::Child("a decision document is not JSON.".to_owned()))?;
        forged["taken"] = json!("1.00");
        let path = document.with_extension("forged");
        std::fs::write(&path, forged.to_string()).map_err(CliError::file(&path))?;
        let (holds, _) = child::verify_decision(&path, key).await?;
        std::fs::remove_file(&path).map_err(CliError::file(&path))?;
        expect(!holds, "a forged decision document verifies")?;
    }
    Ok(())
}
