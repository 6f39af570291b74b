//! Sums over the books at the end of a replay.

use crate::domain::ProgrammeCode;
use crate::ledger::account::SystemAccount;
use crate::ledger::books::{Books, SystemHead};

use super::Finding;

/// Where a programme's money is. Tiyn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgrammeTotals {
    /// Which.
    pub programme: ProgrammeCode,
    /// What the treasury has placed.
    pub funded: i64,
    /// What was credited to wallets.
    pub accrued: i64,
    /// What the payer took back.
    pub reversed: i64,
    /// What is placed and not accrued.
    pub funding_left: i64,
    /// What wallets hold.
    pub in_wallets: i64,
    /// What has left wallets and not come back.
    pub paid_out: i64,
}

/// The e-money and what stands behind it. Tiyn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Totals {
    /// By programme, in the order they were registered.
    pub programmes: Vec<ProgrammeTotals>,
    /// What all wallets hold: the e-money in holders' hands.
    pub wallets: i64,
    /// What is placed and not accrued.
    pub funding: i64,
    /// What is owed to banks, for transfers and for cash.
    pub clearing: i64,
    /// What was taken for authorities, of general money alone, and is owed to them.
    pub levies: i64,
    /// The money at the bank.
    pub backing: i64,
}

/// Adds the books up. `Err`: they do not balance.
pub fn of(books: &Books) -> Result<Totals, Finding> {
    let account = |account| books.system_accounts().iter().find(|head| head.account == account);
    let turnover = |of| account(of).map_or((0, 0), |head| (head.debits, head.credits));
    let programmes: Vec<ProgrammeTotals> = books
        .programmes()
        .iter()
        .map(|programme| {
            let code = programme.spec.code;
            let (accrued, placed) = turnover(SystemAccount::Funding(code));
            let (wallets_debits, wallets_credits) = turnover(SystemAccount::Wallets(code));
            let (returned, paid_out) = turnover(SystemAccount::Spent(code));
            let reversed = wallets_debits - paid_out;
            ProgrammeTotals {
                programme: code,
                funded: placed - reversed,
                accrued,
                reversed,
                funding_left: placed - accrued,
                in_wallets: wallets_credits - wallets_debits,
                paid_out: paid_out - returned,
            }
        })
        .collect();
    // Wallets are added up one by one: the programmes' control accounts must say the same.
    let wallets = add(books.known_wallets().map(|(_, wallet)| wallet.posted))?;
    let sum = |wanted: fn(&SystemAccount) -> bool| {
        add(books.system_accounts().iter().filter(|head| wanted(&head.account)).map(SystemHead::balance))
    };
    let totals = Totals {
        wallets,
        funding: sum(|account| matches!(account, SystemAccount::Funding(_)))?,
        clearing: sum(|account| matches!(account, SystemAccount::Clearing(_) | SystemAccount::Cash(_)))?,
        levies: sum(|account| matches!(account, SystemAccount::Levy(_)))?,
        backing: -sum(|account| matches!(account, SystemAccount::Backing))?,
        programmes,
    };
    let controls = add(totals.programmes.iter().map(|programme| programme.in_wallets))?;
    if controls != totals.wallets {
        let expected = format!("{controls} tiyn in wallets: what the programmes' accounts say");
        return Err(Finding::at("journal", expected, format!("{} tiyn", totals.wallets)));
    }
    let behind = add([totals.wallets, totals.funding, totals.clearing, totals.levies].into_iter())?;
    if behind != totals.backing {
        let expected = format!("backing of {behind} tiyn: wallets, funding, clearing and levies");
        return Err(Finding::at("journal", expected, format!("{} tiyn", totals.backing)));
    }
    Ok(totals)
}

fn add(mut amounts: impl Iterator<Item = i64>) -> Result<i64, Finding> {
    let sum = amounts.try_fold(0i64, i64::checked_add);
    sum.ok_or_else(|| Finding::at("journal", "sums within the limits", "a sum beyond them"))
}
