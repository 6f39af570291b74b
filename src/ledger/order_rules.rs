//! How orders are decided: at once, at one position of the journal, by rules that are data.
//!
//! An authority sends an order. It is looked at in this order, and the first that applies decides:
//!
//! | looked at | outcome |
//! |---|---|
//! | its document (issuer, number, date) was decided | the same order: the same decision; another: `order_conflict`, and no entry |
//! | it lacks what its kind needs, or has what its kind has not | `malformed` |
//! | its issuer may not give such orders | `unauthorised_issuer` |
//! | it says that its tax debt was met elsewhere | `returned_duplicate` |
//! | the debtor has no wallet | `no_wallet` |
//! | as much as the debt was taken of this wallet for a tax debt of the same date, amount and type | `returned_duplicate` |
//! | it names an order that its issuer has not given on this wallet, or that has ended or is over; or an accrual that was not paid | `malformed` |
//! | the money | below |
//!
//! | kind | reaches | outcome |
//! |---|---|---|
//! | collection, payment demand, set-off, fee, alimony | takes min(what is asked, what is left of its tax debt, free general money as far as the rows let it); of a frozen wallet only what its own arrest held | `executed`, `partial`, or `refused_protected` if nothing |
//! | arrest, suspension | holds the same, all of it if no amount is asked | `held`, or `refused_protected` if nothing |
//! | freeze | holds all free general money; nothing leaves the wallet until it ends, accruals land | `held` |
//! | overpayment recovery | takes back min(what is asked, the unspent free rest of that accrual), to the programme's funding | `executed`, `partial`, or `refused_protected` |
//! | lift | ends the order that it names: what that held is free again | `executed` |
//!
//! An order that takes may name an arrest of its issuer: that is ended first, and what it held is free for this one. What is held
//! already, for payments and for other orders, ranks first. No order has an effect on money that comes later, but for a freeze,
//! which lets nothing out. What is free is taken first in, first out. Of the orders of one request those of the kinds that come
//! first in the table's precedence are decided first.
//!
//! What is over does not count: where an order's time is over, its end is written before anything is decided that it would hold up.
//!
//! The row that refuses protected money is named where less was reached than was asked, whatever there is in the wallet; a row
//! about general money, where it let such money go or kept it.
//!
//! No row of a table can allow anything on protected money, so that no table can be set that reaches it; and the code that pays an
//! authority takes [`Reached`], which only general lots make.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::time::Stamp;
use crate::domain::{
    Amount, BankReference, Bin, ClientId, Day, FundClass, Issuer, Money, OrderKind, Reach, Role, Scope,
    WalletId,
};

use super::account::SystemAccount;
use super::books::{Books, Fault, Programme, Ruling, SUM_MAX, levy_settlement_id};
use super::cash_rules::SYSTEM;
use super::effects::Effects;
use super::levy::{GeneralLot, Reached};
use super::order::{
    Decision, Effect, Known, MalformedField, Mode, NewOrder, ORDER_LIFETIME_MAX, ORDER_LOTS_MAX, Order,
    OrderEnd, OrderRecord, Outcome, RULES_BYTES_MAX, RULES_MAX, RuleTable,
};
use super::payment::{Audience, Drawn};
use super::payment_rules::{Answered, left_of, moneyless};
use super::record::Actor;
use super::refusal::{Refusal, RefusalCode as Code};
use super::registry::Proposal;
use super::rules::{Entry, Move, refuse, share};
use super::wallet::{Benefit, EntryKind, Lot, Wallet, WalletEntry};

/// An order as it comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intake {
    /// What it says, or its tag and the field that cannot be read.
    pub said: Result<Order, ([u8; 32], MalformedField)>,
    /// The wallet that the debtor's number means, whether there is one or not.
    pub wallet: Option<WalletId>,
    /// What is written in it, encrypted.
    pub sealed: Vec<u8>,
    /// Its line, if it came with others.
    pub line: Option<u64>,
}

impl Intake {
    /// The tag that it is known by.
    #[must_use]
    pub fn tag(&self) -> &[u8; 32] {
        match &self.said {
            Ok(order) => &order.order,
            Err((tag, _)) => tag,
        }
    }
}

/// The rules in force, and the orders that the books hold.
#[derive(Default)]
pub struct Orders {
    /// The rule table in force, with its entry; none before the first order.
    pub rules: Option<(u64, RuleTable)>,
    /// Orders by entry.
    pub known: BTreeMap<u64, Known>,
    /// Orders by tag, where the books do not hold all; `None`: known not to have been decided.
    pub by_tag: std::collections::HashMap<[u8; 32], Option<u64>>,
    /// What was taken for tax debts, tiyn, by wallet and the debt's tag; of merged wallets, for the one that stays.
    pub collected: BTreeMap<u32, BTreeMap<[u8; 32], i64>>,
    /// Tax debts of which it is known what was taken for them, where the books do not hold all.
    pub debts: BTreeSet<[u8; 32]>,
    /// Freezes that stand, by wallet.
    pub freezes: std::collections::HashMap<u32, BTreeSet<u64>>,
    /// Orders that stand and whose time ends, by wallet, with when it does (UTC milliseconds).
    pub ending: BTreeMap<u32, BTreeMap<u64, i64>>,
    /// Orders that stand on a wallet that is to be merged, where the books do not hold all.
    pub standing: std::collections::HashMap<u32, BTreeSet<u64>>,
}

impl Orders {
    /// Forgets what was looked up for one batch of commands.
    pub fn forget(&mut self) {
        self.known.clear();
        self.by_tag.clear();
        self.collected.clear();
        self.debts.clear();
        self.freezes.clear();
        self.ending.clear();
        self.standing.clear();
    }

    /// Orders that stand and whose time is over, by entry.
    #[must_use]
    pub fn over(&self, now: i64) -> BTreeSet<u64> {
        let all = self.ending.values().flatten();
        all.filter(|(_, end)| **end < now).map(|(order, _)| *order).collect()
    }

    /// Counts what was taken for a tax debt.
    pub fn collect(&mut self, account: u32, debt: [u8; 32], taken: i64) {
        *self.collected.entry(account).or_default().entry(debt).or_default() += taken;
    }

    /// What was taken for tax debts of a merged wallet counts for the one that stays: they are one person's.
    pub(super) fn merge(&mut self, account: u32, gone: u32) {
        for (debt, taken) in self.collected.remove(&gone).unwrap_or_default() {
            self.collect(account, debt, taken);
        }
    }
}

impl Order {
    /// The first field that its kind lacks or must not have.
    fn fault(&self, issuer: Issuer, now: i64) -> Option<MalformedField> {
        use MalformedField as Field;
        let kind = self.order_kind;
        let reach = kind.reach();
        let amount_wrong = match reach {
            Reach::Takes | Reach::Recovers => self.amount.is_none(),
            Reach::Holds => kind == OrderKind::Freeze && self.amount.is_some(),
            Reach::Lifts => self.amount.is_some(),
        };
        let expires_wrong = match self.expires {
            None => kind == OrderKind::Freeze,
            Some(end) => reach != Reach::Holds || !(now + 1..=now + ORDER_LIFETIME_MAX).contains(&end),
        };
        let is_tax = issuer == Issuer::TaxAuthority && kind == OrderKind::Collection;
        let lifts_wrong = match reach {
            Reach::Lifts => self.lifts.is_none(),
            Reach::Takes => false,
            Reach::Holds | Reach::Recovers => self.lifts.is_some(),
        };
        [
            (amount_wrong, Field::Amount),
            (expires_wrong, Field::Expires),
            (is_tax != self.debt.is_some(), Field::TaxDebt),
            ((reach == Reach::Recovers) != self.overpaid.is_some(), Field::Overpaid),
            (lifts_wrong, Field::Lifts),
        ]
        .into_iter()
        .find_map(|(wrong, field)| wrong.then_some(field))
    }
}

impl RuleTable {
    /// What is wrong with a table: the member, and why.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let bytes = serde_json::to_string(self).map_or(usize::MAX, |text| text.len());
        if self.rules.len() > RULES_MAX || bytes > RULES_BYTES_MAX {
            return Some(("rules", format!("at most {RULES_MAX} rows and {RULES_BYTES_MAX} bytes of JSON")));
        }
        for (place, rule) in self.rules.iter().enumerate() {
            let wrong = if !matches!(rule.order.reach(), Reach::Takes | Reach::Holds) {
                "is about a kind of order that no row decides"
            } else if rule.class == FundClass::Protected && rule.effect != Effect::Refuse {
                "would let an order reach protected money"
            } else if rule.cap_percent.is_some_and(|cap| !(1..=100).contains(&cap))
                || rule.cap_percent.is_some() && rule.effect == Effect::Refuse
            {
                "has a cap that is not 1 to 100 per cent of what it allows"
            } else if rule.valid_to.is_some_and(|end| end < rule.valid_from) {
                "ends before it begins"
            } else if self.rules[..place].iter().any(|before| {
                (before.order, before.class, before.programme) == (rule.order, rule.class, rule.programme)
                    && before.valid_to.is_none_or(|end| rule.valid_from <= end)
                    && rule.valid_to.is_none_or(|end| before.valid_from <= end)
            }) {
                "is about what an earlier row is about, on the same day"
            } else {
                continue;
            };
            return Some(("rules", format!("row {place} {wrong}")));
        }
        for known in &self.competences {
            let other = known.orders.iter().find(|kind| match kind {
                OrderKind::Freeze => known.issuer != Issuer::Investigator,
                OrderKind::SetOff | OrderKind::Fee => known.issuer != Issuer::Bank,
                _ => false,
            });
            if let Some(kind) = other {
                return Some((
                    "competences",
                    format!("a {kind} is not what a {} orders", known.issuer.as_str()),
                ));
            }
        }
        let issuers: BTreeSet<Issuer> = self.competences.iter().map(|known| known.issuer).collect();
        if issuers.len() < self.competences.len() {
            return Some(("competences", "an issuer comes twice".into()));
        }
        let ranked: BTreeSet<OrderKind> = self.precedence.iter().copied().collect();
        if ranked.len() < self.precedence.len() {
            return Some(("precedence", "a kind comes twice".into()));
        }
        None
    }
}

/// What is decided about one order.
struct Judged {
    outcome: Outcome,
    /// Of one that is malformed: the field that cannot be right.
    field: Option<MalformedField>,
    /// The debtor's wallet, as it was.
    wallet: Option<(WalletId, Wallet)>,
    rows: BTreeSet<u8>,
    /// What is taken or held for the authority.
    reached: Reached,
    /// What goes back to the programme that paid it.
    recovered: Option<(Lot, i64)>,
    /// What the order that is ended had held.
    released: Vec<(Lot, i64)>,
    ended: Option<u64>,
    /// Whether the wallet is frozen after it, if that may change.
    frozen: Option<bool>,
}

impl Judged {
    /// An order that moves nothing.
    fn unmoved(outcome: Outcome, wallet: Option<(WalletId, Wallet)>) -> Self {
        Self {
            outcome,
            field: None,
            wallet,
            rows: BTreeSet::new(),
            reached: Reached::default(),
            recovered: None,
            released: Vec::new(),
            ended: None,
            frozen: None,
        }
    }

    /// An order with a field that cannot be right.
    fn malformed(field: MalformedField, wallet: Option<(WalletId, Wallet)>) -> Self {
        Self { field: Some(field), ..Self::unmoved(Outcome::Malformed, wallet) }
    }
}

impl Books {
    /// What money there may be in the book.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.orders.rules.as_ref().map_or(Mode::Container, |(_, table)| table.mode)
    }

    /// Whether a programme may be general. A book without clients is one that is being set up.
    pub(super) fn check_general(&self, class: FundClass) -> Ruling<()> {
        if class == FundClass::General && self.mode() == Mode::Container && !self.registry.is_empty() {
            return refuse(Code::GeneralNotAllowed, "class");
        }
        Ok(())
    }

    fn check_table(&self, table: &RuleTable) -> Ruling<()> {
        if let Some((field, why)) = table.fault() {
            return Err(Refusal::of(Code::RulesUnsound, field).with(why).into());
        }
        if table.rules.iter().filter_map(|rule| rule.programme).any(|code| self.programme(code).is_none()) {
            return refuse(Code::ProgrammeUnknown, "rules");
        }
        Ok(())
    }

    /// Whether a table may come into force.
    pub(super) fn check_rules(&self, table: &RuleTable) -> Ruling<()> {
        self.check_table(table)?;
        let general = |programme: &Programme| programme.spec.class == FundClass::General;
        if table.mode == Mode::Container && !self.registry.is_empty() && self.programmes().iter().any(general)
        {
            return refuse(Code::GeneralNotAllowed, "mode");
        }
        if self.orders.rules.as_ref().is_some_and(|(_, current)| current == table) {
            return refuse(Code::RulesUnchanged, "rules");
        }
        Ok(())
    }

    /// Sets the rules that orders are decided by from now on. Two operators must agree, where there are any.
    pub fn set_rules(&mut self, entry: Entry<'_>, table: RuleTable) -> Ruling<u64> {
        self.check_rules(&table)?;
        self.need_approval(&entry.actor, &Proposal::SetRules { rules: Box::new(table.clone()) })?;
        Ok(self.put_rules(entry, table))
    }

    /// Brings the first table into force: the service's own act, when the first order comes. It is the shipped one and no other,
    /// so that it takes nobody's approval.
    pub fn set_first_rules(&mut self, entry: Entry<'_>, table: RuleTable) -> Ruling<u64> {
        if self.orders.rules.is_some() || table != RuleTable::shipped() {
            return refuse(Code::ApprovalRequired, "approval");
        }
        self.check_table(&table)?;
        Ok(self.put_rules(entry, table))
    }

    fn put_rules(&mut self, entry: Entry<'_>, table: RuleTable) -> u64 {
        let record = OrderRecord::RulesSet { rules: Box::new(table.clone()) };
        let seq = self.write(entry.fx, record.into(), entry.actor);
        entry.fx.rule_tables.push((seq, table.clone()));
        self.orders.rules = Some((seq, table));
        seq
    }

    /// Who issues what a client sends.
    fn issuer(&self, actor: &Actor) -> Ruling<(Bin, Issuer)> {
        match self.registry.client(actor.client).map(|known| known.client) {
            Some(client) if client.role == Role::Authority && !client.suspended => match client.scope {
                Scope::Authority(bin, issuer) => Ok((bin, issuer)),
                _ => refuse(Code::ClientNotEntitled, "client"),
            },
            _ => refuse(Code::ClientNotEntitled, "client"),
        }
    }

    fn order_of(&self, tag: &[u8; 32]) -> Ruling<Option<u64>> {
        match self.orders.by_tag.get(tag) {
            Some(known) => Ok(*known),
            None if self.whole.is_some() => Ok(None),
            None => Err(Fault::Unread("whether an order was decided")),
        }
    }

    /// What was taken of a wallet for a tax debt, tiyn.
    fn collected(&self, account: u32, debt: &[u8; 32]) -> Ruling<i64> {
        if self.whole.is_none() && !self.orders.debts.contains(debt) {
            return Err(Fault::Unread("what was taken for a tax debt"));
        }
        Ok(self.orders.collected.get(&account).and_then(|debts| debts.get(debt)).copied().unwrap_or(0))
    }

    /// That no order stands on a wallet whose time is over: it would hold what is free. Its end is written first.
    pub(super) fn check_ended(&self, wallet: &Wallet, now: i64) -> Ruling<()> {
        if !wallet.frozen && wallet.general_held == 0 {
            return Ok(()); // nothing stands on it
        }
        match self.orders.ending.get(&wallet.account) {
            Some(ending) if ending.values().any(|end| *end < now) => {
                Err(Fault::Unread("the end of an order whose time is over"))
            }
            None if self.whole.is_none() => Err(Fault::Unread("the orders that stand on a wallet")),
            _ => Ok(()),
        }
    }

    /// Decides an order.
    pub fn decide_order(&mut self, entry: Entry<'_>, intake: Intake) -> Ruling<Answered> {
        let (issuer, issuer_kind) = self.issuer(&entry.actor)?;
        if let Some(seq) = self.order_of(intake.tag())? {
            let known = self.orders.known.get(&seq).ok_or(Fault::Unread("an order"))?;
            let field = match &intake.said {
                Ok(order) => known.decision.said.differs(order),
                Err((_, field)) => Some(field.as_str()),
            };
            return match field {
                Some(field) => Err(Refusal::of(Code::OrderConflict, field).by(seq).into()),
                None => Ok(Answered::Repeated(seq)),
            };
        }
        let Entry { fx, stamp, actor } = entry;
        if self.orders.rules.is_none() {
            let client = ClientId::parse(SYSTEM).expect("a client id of the documented form");
            let system = Actor { client, request: [0; 32], line: None, instruction: None };
            // It stands before what is decided by it, whatever that is.
            self.set_first_rules(Entry { fx, stamp, actor: system }, RuleTable::shipped())?;
        }
        let entry = Entry { fx, stamp, actor };
        let order = match intake.said {
            Ok(order) => order,
            Err((tag, field)) => {
                return Ok(Answered::Made(self.note_malformed(entry, tag, field, intake.sealed)?));
            }
        };
        let judged = match order.fault(issuer_kind, entry.stamp.at) {
            Some(field) => Judged::malformed(field, None),
            None => self.judge(entry.stamp, &order, issuer, issuer_kind, intake.wallet)?,
        };
        let rules = self.orders.rules.as_ref().map_or(0, |(seq, _)| *seq);
        let decision = decision_of(order, (issuer, issuer_kind), rules, &judged);
        Ok(Answered::Made(self.carry_out_order(entry, decision, judged, intake.sealed)))
    }

    /// Notes that an order could not be read. Its document is not bound by it.
    pub fn note_malformed(
        &mut self,
        entry: Entry<'_>,
        order: [u8; 32],
        field: MalformedField,
        sealed: Vec<u8>,
    ) -> Ruling<u64> {
        let (issuer, issuer_kind) = self.issuer(&entry.actor)?;
        let record = OrderRecord::Malformed { order, issuer, issuer_kind, field };
        let Entry { fx, stamp, actor } = entry;
        let seq = self.write(fx, record.clone().into(), actor);
        let (date, client) = (stamp.date, actor.client);
        fx.orders.push(NewOrder { seq, date, client, account: 0, drawn: Vec::new(), record, sealed });
        Ok(seq)
    }

    /// What becomes of an order. The rows of the table in the module's description stand here one below the other.
    fn judge(
        &mut self,
        stamp: Stamp,
        order: &Order,
        issuer: Bin,
        issuer_kind: Issuer,
        wallet: Option<WalletId>,
    ) -> Ruling<Judged> {
        let kind = order.order_kind;
        let day = Day::parse(&stamp.date_text()).map_err(|_| Fault::Unread("a business day"))?;
        let table = self.orders.rules.as_ref().map(|(_, table)| table).ok_or(Fault::Unread("rules"))?;
        if !table.may(issuer_kind, kind) {
            return Ok(Judged::unmoved(Outcome::UnauthorisedIssuer, None));
        }
        let overpaid = match order.overpaid {
            None => None,
            Some(overpaid) => match self.programme(overpaid.programme) {
                None => return Ok(Judged::malformed(MalformedField::Overpaid, None)),
                Some(programme) if programme.spec.payer != issuer => {
                    return Ok(Judged::unmoved(Outcome::UnauthorisedIssuer, None));
                }
                Some(programme) => {
                    let (period, part) = (overpaid.period, overpaid.part);
                    Some(Benefit { programme: programme.number, period, part })
                }
            },
        };
        let id = wallet.ok_or(Fault::Unread("the debtor's wallet"))?;
        let known = self.find_wallet(id)?;
        if order.debt.is_some_and(|debt| debt.met_elsewhere) {
            return Ok(Judged::unmoved(Outcome::ReturnedDuplicate, known));
        }
        let Some((_, before)) = known else { return Ok(Judged::unmoved(Outcome::NoWallet, None)) };
        self.check_ended(&before, stamp.at)?;
        let asked = order.amount.map_or(0, Amount::tiyn);
        let mut due = asked;
        if let Some(debt) = order.debt {
            // All orders for one debt ask for all of it: what is left is less by what was taken.
            due -= self.collected(before.account, &debt.tag)?;
            if due <= 0 {
                return Ok(Judged::unmoved(Outcome::ReturnedDuplicate, known));
            }
        }
        let mut judged = Judged::unmoved(Outcome::Executed, known);
        // Most wallets have nothing general: nothing of them is looked at.
        let is_bare = before.general == before.general_held && order.lifts.is_none() && overpaid.is_none();
        let mut lots = if is_bare { Vec::new() } else { self.lots_of(before.account)? };
        if let Some(tag) = &order.lifts {
            let known = match self.order_of(tag)? {
                Some(seq) => Some(self.orders.known.get(&seq).ok_or(Fault::Unread("an order"))?),
                None => None,
            };
            // The tag holds the issuer: nobody names another's order.
            let Some(known) = known.filter(|known| {
                // It is not over: nothing on this wallet is.
                known.stands() && known.account == before.account && known.decision.issuer == issuer
            }) else {
                return Ok(Judged::malformed(MalformedField::Lifts, judged.wallet));
            };
            judged.ended = Some(known.seq);
            for Drawn(version, held, _) in &known.drawn {
                let lot = lots.iter_mut().find(|lot| lot.version == *version);
                let lot = lot.ok_or(Fault::Unread("a lot of an order"))?;
                judged.released.push((*lot, *held));
                lot.held -= held;
            }
            if known.decision.said.order_kind == OrderKind::Freeze {
                judged.frozen = Some(self.is_frozen_beside(before.account, known.seq)?);
            }
        }
        judged.outcome = match kind.reach() {
            Reach::Lifts => Outcome::Executed,
            Reach::Recovers => {
                let Some(lot) = overpaid.and_then(|benefit| paid_lot(&lots, benefit)) else {
                    return Ok(Judged::malformed(MalformedField::Overpaid, judged.wallet));
                };
                let taken = asked.min(lot.available());
                judged.recovered = (taken > 0).then_some((lot, taken));
                outcome_of(asked, taken)
            }
            Reach::Takes => {
                if judged.frozen.unwrap_or(before.frozen) {
                    leave_what_is_frozen(&mut lots, &judged.released);
                }
                self.reach(&lots, kind, day, Some(due), &mut judged);
                outcome_of(asked, judged.reached.sum())
            }
            Reach::Holds => {
                self.reach(&lots, kind, day, order.amount.map(Amount::tiyn), &mut judged);
                if kind == OrderKind::Freeze {
                    judged.frozen = Some(true);
                }
                if judged.reached.is_empty() && kind != OrderKind::Freeze {
                    Outcome::RefusedProtected
                } else {
                    Outcome::Held
                }
            }
        };
        // A levy that would pass what an account can hold is the levy of an authority that was never paid.
        if kind.reach() == Reach::Takes && self.levied(issuer) > SUM_MAX - judged.reached.sum() {
            return refuse(Code::SumTooLarge, "amount");
        }
        Ok(judged)
    }

    fn levied(&self, issuer: Bin) -> i64 {
        let place = self.system_by_account.get(&SystemAccount::Levy(issuer));
        place.map_or(0, |place| self.system[*place].credits)
    }

    /// Whether another freeze of a wallet stands.
    fn is_frozen_beside(&self, account: u32, order: u64) -> Ruling<bool> {
        match self.orders.freezes.get(&account) {
            Some(standing) => Ok(standing.iter().any(|other| *other != order)),
            None if self.whole.is_some() => Ok(false),
            None => Err(Fault::Unread("the freezes of a wallet")),
        }
    }

    /// Reaches for general money, first in first out: each row of the table lets so much of the free money that it is about go. All
    /// that it lets go, if no amount is asked.
    fn reach(&self, lots: &[Lot], kind: OrderKind, day: Day, asked: Option<i64>, judged: &mut Judged) {
        let Some((_, table)) = &self.orders.rules else { return };
        let row_of = |class, programme| table.row(kind, class, programme, day);
        let free = lots.iter().filter(|lot| lot.available() > 0).filter_map(|lot| GeneralLot::of(*lot));
        let free: Vec<(GeneralLot, Option<usize>)> = free
            .map(|lot| {
                let programme = &self.programmes[lot.lot().benefit.programme as usize - 1];
                (lot, row_of(FundClass::General, Some(programme.spec.code)))
            })
            .collect();
        let mut left: BTreeMap<usize, i64> = BTreeMap::new();
        for (lot, row) in &free {
            let Some(row) = row else { continue };
            *left.entry(*row).or_default() += lot.lot().available();
        }
        for (row, sum) in &mut left {
            *sum = match table.rules[*row] {
                ref rule if rule.effect == Effect::Refuse => 0,
                ref rule => rule.cap_percent.map_or(*sum, |cap| percent(*sum, cap)),
            };
        }
        let mut wanted = asked.unwrap_or(i64::MAX);
        for (lot, row) in free {
            if wanted == 0 || judged.reached.len() == ORDER_LOTS_MAX {
                break;
            }
            let Some(row) = row else { continue };
            let Some(allowed) = left.get_mut(&row) else { continue };
            // It decides about this lot, whether it lets it go or not.
            judged.rows.extend(u8::try_from(row));
            let taken = wanted.min(lot.lot().available()).min(*allowed);
            if taken > 0 {
                judged.reached.add(lot, taken);
                wanted -= taken;
                *allowed -= taken;
            }
        }
        // What refuses protected money is told to everybody alike who got less than was asked: it tells nothing of what is in the
        // wallet. A freeze asks for no money, and none is refused.
        let refuses = match asked {
            Some(_) => wanted > 0,
            None => judged.reached.is_empty() && kind != OrderKind::Freeze,
        };
        if refuses {
            judged.rows.extend(row_of(FundClass::Protected, None).and_then(|row| u8::try_from(row).ok()));
        }
    }

    /// Writes a decision, and moves what it moves.
    fn carry_out_order(
        &mut self,
        entry: Entry<'_>,
        decision: Decision,
        judged: Judged,
        sealed: Vec<u8>,
    ) -> u64 {
        let Entry { fx, stamp, actor } = entry;
        let wallet = judged.wallet;
        let reach = decision.said.order_kind.reach();
        let record = OrderRecord::Decided(Box::new(decision.clone()));
        let levy = (reach == Reach::Takes && !judged.reached.is_empty())
            .then(|| self.system_place(fx, SystemAccount::Levy(decision.issuer)));
        let seq = self.write(fx, record.clone().into(), actor);
        let account = wallet.as_ref().map_or(0, |(_, wallet)| wallet.account);
        let mut drawn = Vec::new();
        if let Some((id, before)) = wallet {
            if let Some(place) = levy {
                self.pay_levy(fx, seq, place, &judged.reached);
            }
            if reach == Reach::Holds {
                drawn =
                    judged.reached.pieces().map(|(lot, held)| Drawn(lot.version, held, lot.seq)).collect();
            }
            self.move_for_order(fx, stamp.at, seq, (id, before), reach, &judged);
            if decision.binds() {
                fx.events.push((Audience::Holders, seq));
            }
        }
        let (date, client) = (stamp.date, actor.client);
        let made = NewOrder { seq, date, client, account, drawn: drawn.clone(), record, sealed };
        fx.orders.push(made);
        if !decision.binds() {
            return seq;
        }
        if let Some(order) = judged.ended {
            self.end_order(fx, order, seq);
        }
        if let Some(debt) = &decision.said.debt
            && decision.taken > Money::ZERO
        {
            self.orders.collect(account, debt.tag, decision.taken.tiyn());
        }
        self.orders.by_tag.insert(decision.said.order, Some(seq));
        let known = Known { seq, decision, account, drawn, ended: None };
        if known.stands() {
            if known.decision.said.order_kind == OrderKind::Freeze {
                self.orders.freezes.entry(account).or_default().insert(seq);
            }
            let ending = self.orders.ending.entry(account).or_default();
            ending.extend(known.decision.said.expires.map(|end| (seq, end)));
        }
        self.orders.known.insert(seq, known);
        seq
    }

    /// Pays an authority: Dr wallet, Cr levy. It takes what general lots make, and nothing else.
    fn pay_levy(&mut self, fx: &mut Effects, seq: u64, levy: usize, reached: &Reached) {
        self.move_system(levy, seq, reached.sum());
        let moves: Vec<Move> =
            reached.pieces().map(|(lot, taken)| Move { lot: *lot, amount: -taken, held: 0 }).collect();
        self.move_controls(fx, seq, &moves);
    }

    /// Moves the lots and the head of a wallet as an order was decided.
    fn move_for_order(
        &mut self,
        fx: &mut Effects,
        at: i64,
        seq: u64,
        (id, before): (WalletId, Wallet),
        reach: Reach,
        judged: &Judged,
    ) {
        let mut moves: BTreeMap<u32, Move> = BTreeMap::new();
        for (lot, held) in &judged.released {
            moves.insert(lot.version, Move { lot: *lot, amount: 0, held: -held });
        }
        for (lot, amount) in judged.reached.pieces() {
            let one = moves.entry(lot.version).or_insert(Move { lot: *lot, amount: 0, held: 0 });
            match reach {
                Reach::Holds => one.held += amount,
                _ => one.amount -= amount,
            }
        }
        if let Some((lot, taken)) = judged.recovered {
            let programme = &self.programmes[lot.benefit.programme as usize - 1];
            let (funding, wallets) = (programme.funding, programme.wallets);
            self.move_system(wallets, seq, -taken);
            self.move_system(funding, seq, taken);
            let lot = Lot { reversed: lot.reversed + taken, ..lot };
            moves.insert(lot.version, Move { lot, amount: -taken, held: 0 });
        }
        let frozen = judged.frozen.unwrap_or(before.frozen);
        if moves.is_empty() && frozen == before.frozen {
            return;
        }
        let moves: Vec<Move> = moves.into_values().collect();
        let amount: i64 = moves.iter().map(|one| one.amount).sum();
        let wallet = if moves.is_empty() {
            Wallet { version: before.version + 1, ..before }
        } else {
            self.move_lots(fx, before, &moves)
        };
        let after = Wallet { frozen, ..wallet };
        let row = match (&judged.recovered, reach) {
            (Some((lot, _)), _) => WalletEntry {
                amount,
                benefit: Some(lot.benefit),
                ..moneyless(seq, at, EntryKind::Reversal, Some(lot.seq), after)
            },
            (None, Reach::Takes) if amount != 0 => {
                WalletEntry { amount, ..moneyless(seq, at, EntryKind::Levy, None, after) }
            }
            (None, Reach::Holds) if !moves.is_empty() => moneyless(seq, at, EntryKind::Arrest, None, after),
            _ if moves.is_empty() => moneyless(seq, at, EntryKind::State, None, after),
            _ => moneyless(seq, at, EntryKind::Release, judged.ended, after),
        };
        self.post_entry(fx, id, row);
    }

    fn end_order(&mut self, fx: &mut Effects, order: u64, seq: u64) {
        let orders = &mut self.orders;
        if let Some(known) = orders.known.get_mut(&order) {
            known.ended = Some(seq);
            for standing in [&mut orders.freezes, &mut orders.standing] {
                standing.get_mut(&known.account).map(|standing| standing.remove(&order));
            }
            orders.ending.get_mut(&known.account).map(|ending| ending.remove(&order));
        }
        fx.order_ends.push(OrderEnd { order, seq });
    }

    /// Ends an arrest, a suspension or a freeze whose time is over. Only the service itself does.
    pub fn expire_order(&mut self, entry: Entry<'_>, order: u64) -> Ruling<u64> {
        if !self.registry.is_empty() && entry.actor.client.as_str() != SYSTEM {
            return refuse(Code::ClientNotEntitled, "client");
        }
        let Some(known) = self.orders.known.get(&order).filter(|known| known.stands()) else {
            return refuse(Code::OrderUnknown, "order");
        };
        if known.decision.said.expires.is_none_or(|end| entry.stamp.at <= end) {
            return refuse(Code::OrderUnknown, "order");
        }
        let (id, account, drawn) = (known.decision.wallet, known.account, known.drawn.clone());
        let is_freeze = known.decision.said.order_kind == OrderKind::Freeze;
        let id = id.ok_or(Fault::Unread("the wallet of an order"))?;
        let (before, released) = self.pieces(id, &drawn)?;
        let frozen = if is_freeze { Some(self.is_frozen_beside(account, order)?) } else { None };
        let Entry { fx, stamp, actor } = entry;
        let shares = released.iter().map(|(lot, held)| share(lot, *held)).collect();
        let seq = self.write(fx, OrderRecord::Expired { wallet: id, order, shares }.into(), actor);
        let judged =
            Judged { released, ended: Some(order), frozen, ..Judged::unmoved(Outcome::Executed, None) };
        self.move_for_order(fx, stamp.at, seq, (id, before), Reach::Lifts, &judged);
        self.end_order(fx, order, seq);
        fx.events.push((Audience::Holders, seq));
        Ok(seq)
    }

    /// Books what was paid to an authority: Dr levy, Cr backing.
    pub fn settle_levy(
        &mut self,
        entry: Entry<'_>,
        authority: Bin,
        amount: Amount,
        bank_reference: BankReference,
    ) -> Ruling<u64> {
        if !self.registry.is_empty() {
            self.need_operator(&entry.actor)?;
        }
        let reference = levy_settlement_id(authority, &bank_reference);
        if let Some(seq) = self.bound_to(&reference)? {
            return Err(Refusal::of(Code::BankReferenceUsed, "bank_reference").by(seq).into());
        }
        let known = self.system_by_account.get(&SystemAccount::Levy(authority)).copied();
        let owed = known.map_or(0, |place| self.system[place].balance());
        let Some(levy) = known.filter(|_| owed >= amount.tiyn()) else {
            return Err(Refusal::of(Code::LevyInsufficient, "amount").with(left_of(owed)).into());
        };
        let Entry { fx, actor, .. } = entry;
        let backing = self.system_place(fx, SystemAccount::Backing);
        let record = OrderRecord::LevySettled { authority, amount, bank_reference };
        let seq = self.write(fx, record.into(), actor);
        self.bind(fx, reference, seq);
        self.move_system(levy, seq, -amount.tiyn());
        self.move_system(backing, seq, amount.tiyn());
        Ok(seq)
    }

    /// The order in which orders that arrive together are decided: by the table's precedence, and of one kind as they came.
    #[must_use]
    pub fn precedence(&self, orders: &[Intake]) -> Vec<usize> {
        let shipped;
        let table = if let Some((_, table)) = &self.orders.rules {
            table
        } else {
            shipped = RuleTable::shipped();
            &shipped
        };
        let mut places: Vec<usize> = (0..orders.len()).collect();
        places.sort_by_key(|place| {
            orders[*place].said.as_ref().map_or(usize::MAX, |order| table.rank(order.order_kind))
        });
        places
    }
}

/// So many per cent of a sum, rounded down to a tiyn.
fn percent(sum: i64, cap: u8) -> i64 {
    let exact = i128::from(sum) * i128::from(cap) / 100;
    i64::try_from(exact).expect("a part of a sum is no more than the sum")
}

/// The lot that a benefit was paid into. Where two wallets that were both paid became one there are two: the first that has something
/// left.
pub(super) fn paid_lot(lots: &[Lot], benefit: Benefit) -> Option<Lot> {
    let mut of_benefit = lots.iter().filter(|lot| lot.benefit == benefit);
    let first = of_benefit.clone().next();
    of_benefit.find(|lot| lot.available() > 0).or(first).copied()
}

/// Of a frozen wallet nothing is free for an order that takes but what its own arrest held.
fn leave_what_is_frozen(lots: &mut [Lot], released: &[(Lot, i64)]) {
    for lot in lots {
        let own = released.iter().find(|(held, _)| held.version == lot.version).map_or(0, |(_, held)| *held);
        lot.held += lot.available() - own.min(lot.available());
    }
}

fn outcome_of(asked: i64, taken: i64) -> Outcome {
    if taken == 0 {
        Outcome::RefusedProtected
    } else if taken < asked {
        Outcome::Partial
    } else {
        Outcome::Executed
    }
}

fn decision_of(said: Order, (issuer, issuer_kind): (Bin, Issuer), rules: u64, judged: &Judged) -> Decision {
    let money = |tiyn: i64| Money::from_tiyn(tiyn).expect("a part of what a wallet holds");
    let reach = said.order_kind.reach();
    let recovered = judged.recovered.as_ref();
    let reached = judged.reached.sum();
    let taken = if reach == Reach::Takes { reached } else { recovered.map_or(0, |(_, taken)| *taken) };
    let held = if reach == Reach::Holds { reached } else { 0 };
    let refused = said.amount.map_or(0, |asked| asked.tiyn() - taken - held);
    let shares = judged.reached.pieces().map(|(lot, amount)| share(lot, amount));
    let shares = shares.chain(recovered.map(|(lot, amount)| share(lot, *amount))).collect();
    Decision {
        said,
        issuer,
        issuer_kind,
        wallet: judged.wallet.map(|(id, _)| id),
        rules,
        outcome: judged.outcome,
        field: judged.field,
        rows: judged.rows.iter().copied().collect(),
        taken: money(taken),
        held: money(held),
        refused: money(refused),
        shares,
        released: judged.released.iter().map(|(lot, held)| share(lot, *held)).collect(),
        lifted: judged.ended,
    }
}
