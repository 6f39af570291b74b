//! Reports at any date: the trial balance and the tie-out by programme.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::door::Caller;
use super::extract::Query;
use super::problem::Problem;
use super::wallets::{known_parameters, moment, money};
use crate::domain::time::rfc3339;
use crate::ledger::account::SystemAccount;
use crate::ledger::effects::SystemEntry;

async fn accounts_at(
    app: &App,
    query: &HashMap<String, String>,
) -> Result<(i64, Vec<(SystemAccount, SystemEntry)>), Problem> {
    known_parameters(query, &["at"])?;
    let head = app.store.head().await?.ok_or_else(|| Problem::internal(&"the store has no book"))?;
    let at = query.get("at").map_or(Ok(head.at), |text| moment("at", text, false))?;
    Ok((at, app.store.system_at(at).await?))
}

/// `GET /v1/reports/trial-balance?at=`: every account's balance on its side; the two sides are equal.
pub async fn trial_balance(State(app): State<Arc<App>>, Query(query): Query) -> Result<Json<Value>, Problem> {
    let (at, accounts) = accounts_at(&app, &query).await?;
    let (mut debit, mut credit) = (0i64, 0i64);
    let mut rows = Vec::with_capacity(accounts.len());
    for (account, entry) in accounts.into_iter().filter(|(account, _)| !account.is_memorandum()) {
        let balance = entry.credits - entry.debits;
        let (left, right) = if balance < 0 { (-balance, 0) } else { (0, balance) };
        debit += left;
        credit += right;
        rows.push(json!({
            "account": account.to_string(),
            "kind": account.kind(),
            "debit": money(left),
            "credit": money(right),
            "as_of_entry": entry.seq,
        }));
    }
    Ok(Json(json!({
        "at": rfc3339(at),
        "currency": "KZT",
        "accounts": rows,
        "total_debit": money(debit),
        "total_credit": money(credit),
        "balanced": debit == credit,
    })))
}

/// `GET /v1/reports/programmes?at=`: where each programme's money is.
pub async fn programmes(
    State(app): State<Arc<App>>,
    Query(query): Query,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    let (at, accounts) = accounts_at(&app, &query).await?;
    let heads: HashMap<SystemAccount, (i64, i64)> =
        accounts.into_iter().map(|(account, entry)| (account, (entry.debits, entry.credits))).collect();
    let of = |account| heads.get(&account).copied().unwrap_or((0, 0));
    let mut rows = Vec::new();
    for row in app.store.programmes().await?.into_iter().filter(|row| caller.acts_for(row.spec.payer)) {
        let code = row.spec.code;
        let (funding_debits, funding_credits) = of(SystemAccount::Funding(code));
        let (wallets_debits, wallets_credits) = of(SystemAccount::Wallets(code));
        let (returned, paid_out) = of(SystemAccount::Spent(code));
        let accrued = funding_debits;
        let reversed = wallets_debits - paid_out;
        let funded = funding_credits - reversed;
        let left = funded + reversed - accrued;
        let in_wallets = wallets_credits - wallets_debits;
        let spent = paid_out - returned;
        rows.push(json!({
            "programme": code,
            "funded": money(funded),
            "accrued": money(accrued),
            "reversed": money(reversed),
            "funding_left": money(left),
            "in_wallets": money(in_wallets),
            "paid_out": money(paid_out),
            "returned": money(returned),
            // What was funded is either still to be accrued, in wallets, or has left them.
            "ties": funded == left + in_wallets + spent && accrued == wallets_credits - returned,
        }));
    }
    Ok(Json(json!({"at": rfc3339(at), "currency": "KZT", "programmes": rows})))
}
