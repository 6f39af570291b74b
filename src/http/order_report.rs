//! The supervisor's report on orders: who asked for how much, what became of it, and that nothing protected was taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::body::{malformed, missing};
use super::extract::Query;
use super::problem::Problem;
use super::wallets::known_parameters;
use crate::domain::time::{end_of_business_day, start_of_business_day};
use crate::domain::{Day, FundClass, OrderKind};
use crate::ledger::account::SystemAccount;
use crate::ledger::order::{OrderRecord, Outcome};
use crate::ledger::record::{LotShare, Record};
use crate::log::leaf::Leaf;
use crate::store::orders::{OrderSums, date_code};

/// Decisions that are looked at together.
const PAGE: u32 = 100;

/// Tiyn as the API writes amounts: a sum of many may pass what one amount can be.
fn sum(tiyn: i128) -> String {
    let sign = if tiyn < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", tiyn.unsigned_abs() / 100, tiyn.unsigned_abs() % 100)
}

fn day(query: &HashMap<String, String>, name: &'static str) -> Result<Day, Problem> {
    let text = query.get(name).ok_or_else(|| missing(name))?;
    Day::parse(text).map_err(|_| malformed(name))
}

/// Whether money of this kind of order is taken for its issuer. What is paid back to a programme is not.
fn is_levy(kind: Option<OrderKind>) -> bool {
    kind.is_some_and(|kind| kind != OrderKind::OverpaymentRecovery)
}

/// `GET /v1/reports/orders?from=&to=`: business days, both inclusive.
pub async fn orders(State(app): State<Arc<App>>, Query(query): Query) -> Result<Json<Value>, Problem> {
    known_parameters(&query, &["from", "to"])?;
    let (from, to) = (day(&query, "from")?, day(&query, "to")?);
    if to < from {
        return Err(malformed("to"));
    }
    let rows = app.store.order_sums(date_code(from), date_code(to)).await?;
    let total = |of: fn(&OrderSums) -> i128| rows.iter().map(of).sum::<i128>();
    let taken: i128 = rows.iter().filter(|row| is_levy(row.kind)).map(|row| row.taken).sum();
    let recovered: i128 = rows.iter().filter(|row| !is_levy(row.kind)).map(|row| row.taken).sum();
    // Of what the rules looked for money for: not what came to no wallet, or was met before.
    let is_looked_for = |row: &&OrderSums| {
        let outcome = row.outcome;
        let decided = matches!(outcome, Outcome::RefusedProtected | Outcome::Partial | Outcome::Held);
        decided && is_levy(row.kind)
    };
    let not_reached: i128 = rows.iter().filter(is_looked_for).map(|row| row.refused).sum();
    let credited = credited(&app, from, to).await?;
    let Looked { decisions, by_class } = look(&app, from, to).await?;
    let of = |class: FundClass| by_class.get(&class.as_str()).copied().unwrap_or(0);
    let (protected, general) = (of(FundClass::Protected), of(FundClass::General));
    let view = |row: &OrderSums| {
        json!({
            "issuer": row.issuer,
            "issuer_kind": row.issuer_kind,
            "kind": row.kind,
            "outcome": row.outcome,
            "orders": row.orders,
            "asked": sum(row.asked),
            "taken": sum(row.taken),
            "held": sum(row.held),
            "refused": sum(row.refused),
        })
    };
    Ok(Json(json!({
        "from": from,
        "to": to,
        "currency": "KZT",
        "orders": rows.iter().map(view).collect::<Vec<_>>(),
        "totals": {
            "orders": rows.iter().map(|row| row.orders).sum::<u64>(),
            "asked": sum(total(|row| row.asked)),
            "taken": sum(taken),
            "held": sum(total(|row| row.held)),
            "recovered": sum(recovered),
            "not_reached": sum(not_reached),
        },
        "proof": {
            "decisions_that_took": decisions,
            "taken_from_protected": sum(protected),
            "taken_from_general": sum(general),
            "credited_to_authorities": sum(credited),
            "ties": protected == 0 && general == taken && credited == taken,
        },
    })))
}

/// What the accounts of authorities were credited with in the period: nothing but decisions credits them.
async fn credited(app: &App, from: Day, to: Day) -> Result<i128, Problem> {
    let start = start_of_business_day(from.as_str()).ok_or_else(|| malformed("from"))?;
    let end = end_of_business_day(to.as_str()).ok_or_else(|| malformed("to"))?;
    let mut credits = 0;
    for (at, sign) in [(start - 1, -1), (end, 1)] {
        for (account, entry) in app.store.system_at(at).await? {
            if let SystemAccount::Levy(_) = account {
                credits += sign * i128::from(entry.credits);
            }
        }
    }
    Ok(credits)
}

/// What was found by looking at every lot that money was taken from.
struct Looked {
    decisions: u64,
    by_class: BTreeMap<&'static str, i128>,
}

/// Looks at the entry of every decision that took money, and, for each lot that it names, at the entry that made the lot: the log
/// says which class of money it was.
async fn look(app: &App, from: Day, to: Day) -> Result<Looked, Problem> {
    let mut looked = Looked { decisions: 0, by_class: BTreeMap::new() };
    let mut after = 0;
    loop {
        let page = app.store.orders_that_took(date_code(from), date_code(to), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(looked) };
        after = last.seq;
        let entries: Vec<u64> = page.iter().filter(|row| is_levy(row.kind)).map(|row| row.seq).collect();
        looked.decisions += entries.len() as u64;
        let mut shares: Vec<LotShare> = Vec::new();
        for (_, leaf) in app.store.leaves(&entries).await? {
            match record(&leaf)? {
                Record::Order(order) => match *order {
                    OrderRecord::Decided(decision) => shares.extend(decision.shares),
                    _ => return Err(unreadable()),
                },
                _ => return Err(unreadable()),
            }
        }
        let mut lots: Vec<u64> = shares.iter().map(|share| share.lot).collect();
        lots.sort_unstable();
        lots.dedup();
        let mut classes: HashMap<u64, FundClass> = HashMap::new();
        for (seq, leaf) in app.store.leaves(&lots).await? {
            let Record::Accrued { class, .. } = record(&leaf)? else { return Err(unreadable()) };
            classes.insert(seq, class);
        }
        for share in shares {
            let class = classes.get(&share.lot).ok_or_else(unreadable)?;
            *looked.by_class.entry(class.as_str()).or_default() += i128::from(share.amount.tiyn());
        }
    }
}

fn unreadable() -> Problem {
    Problem::internal(&"a decision that took money, or the credit of what it took, is not what it must be")
}

fn record(leaf: &[u8]) -> Result<Record, Problem> {
    Leaf::read(leaf).and_then(|leaf| leaf.record()).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_beyond_one_amount_are_written_out() {
        assert_eq!(sum(0), "0.00");
        assert_eq!(sum(-105), "-1.05");
        assert_eq!(sum(i128::from(i64::MAX) * 10), "922337203685477580.70");
    }
}
