//! A person whose number was replaced: the new number leads to the same wallet, and two wallets of one person become one.
//!
//! | record | who may | refused when |
//! |---|---|---|
//! | `number_added` | two operators, with a document | the wallet is unknown or closed; the number leads to it already, or has a wallet |
//! | `wallets_merged` | two operators, with a document | a wallet is unknown, closed or merged; the holder of one has died and the other's has not; an order stands on the merged one; the merged one has had more than 256 accruals |
//!
//! A wallet's id is made of a number, so the id that the new number makes is not opened: it *leads* to the old number's wallet,
//! and whoever looks a wallet up by either finds that. A benefit is paid to a wallet, so it is paid once under all numbers.
//!
//! Merging moves every lot of one wallet into the other, posting by posting: with what is left of it, what is held of it
//! and what was taken back of it, under the name that it has (its accrual's entry). So payments under way and authorisations need not
//! be touched: they name lots by that name and the wallet by an id that leads to where the lots are. Whoever was paid
//! a benefit in the merged wallet is paid it in the other; where both were, the entry says so, and both lots stay: which of the two
//! was wrong is not this ledger's to say, and their payer can reverse. The merged wallet is closed, keeps its entries, and leads on.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{FundClass, WalletId};

use super::account::Account;
use super::books::{Books, Fault, Ruling};
use super::choice::{Chosen, NewChoice, sends_on};
use super::effects::Effects;
use super::payment::{Counted, Document, UsageEntry};
use super::record::{Actor, LotShare, Record};
use super::refusal::{Refusal, RefusalCode as Code};
use super::registry::Proposal;
use super::registry::hexadecimal;
use super::rules::{Entry, Person, refuse, share};
use super::wallet::{EntryKind, Lot, LotMovement, Wallet, WalletEntry, WalletState};

/// Accruals that a wallet may have had, at most, to be merged into another: the entry names each that has money left, or whose
/// benefit was paid twice, and a leaf of the log has a size.
pub const MERGED_LOTS_MAX: usize = 256;

/// A benefit that was paid to both wallets: the two accruals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collision {
    /// The accrual of the wallet that stays.
    pub kept: u64,
    /// The accrual of the wallet that was merged into it.
    pub moved: u64,
}

/// What became of a person's numbers and wallets, as its entry says it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PersonRecord {
    /// A further number leads to a person's wallet.
    NumberAdded {
        /// The wallet.
        wallet: WalletId,
        /// The id of a wallet that the number makes.
        leads: WalletId,
        /// The number's tag.
        #[serde(with = "hexadecimal")]
        person: [u8; 32],
        /// By what.
        document: Document,
    },
    /// Two wallets of one person became one: Dr the merged wallet, Cr the other, lot by lot.
    WalletsMerged {
        /// The wallet that stays.
        wallet: WalletId,
        /// The wallet that was merged into it.
        merged: WalletId,
        /// By what.
        document: Document,
        /// What is left of the merged wallet's lots, in the order in which they were credited.
        shares: Vec<LotShare>,
        /// Benefits that were paid to both.
        collisions: Vec<Collision>,
    },
}

impl From<PersonRecord> for Record {
    fn from(record: PersonRecord) -> Self {
        Self::Person(Box::new(record))
    }
}

impl PersonRecord {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 2] = ["number_added", "wallets_merged"];

    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NumberAdded { .. } => Self::KINDS[0],
            Self::WalletsMerged { .. } => Self::KINDS[1],
        }
    }

    /// The wallet that it is about, and the id that leads to it from then on.
    #[must_use]
    pub fn wallets(&self) -> [WalletId; 2] {
        match self {
            Self::NumberAdded { wallet, leads, .. } => [*wallet, *leads],
            Self::WalletsMerged { wallet, merged, .. } => [*wallet, *merged],
        }
    }

    /// The members of its leaf. Where money is posted, `postings` stands in the place of `shares`.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut map)) = serde_json::to_value(self) else {
            unreachable!("a tagged struct of texts and numbers is a JSON object")
        };
        map.remove("kind");
        if let Self::WalletsMerged { wallet, merged, shares, .. } = self {
            let (debit, credit) =
                (Account::Wallet(*merged).to_string(), Account::Wallet(*wallet).to_string());
            let posting = |share: &LotShare| json!({"amount": share.amount, "credit": credit, "debit": debit, "lot": share.lot});
            map.remove("shares");
            if !shares.is_empty() {
                map.insert("postings".into(), shares.iter().map(posting).collect());
            }
        }
        map
    }

    /// The record that a leaf's own members tell: those that [`PersonRecord::members`] writes.
    pub fn of_members(kind: &str, mut map: Map<String, Value>) -> Result<Self, serde_json::Error> {
        map.insert("kind".into(), json!(kind));
        if kind == Self::KINDS[1] {
            let share = |posting: &Value| json!({"lot": posting["lot"], "amount": posting["amount"]});
            let shares = match map.remove("postings") {
                Some(Value::Array(postings)) => postings.iter().map(share).collect(),
                _ => Vec::new(),
            };
            map.insert("shares".into(), Value::Array(shares));
        }
        serde_json::from_value(Value::Object(map))
    }
}

/// An id that leads to another wallet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewLead {
    /// The entry that made it so.
    pub seq: u64,
    /// The id.
    pub id: WalletId,
    /// The wallet that it leads to, by the id that it had then.
    pub to: WalletId,
    /// That wallet's internal number.
    pub account: u32,
    /// The number that makes the id, if it was added: its tag, and the number, encrypted.
    pub number: Option<Person>,
}

/// A lot that came from a merged wallet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MovedLot {
    /// The entry that moved it.
    pub seq: u64,
    /// The internal number of the wallet that it came to.
    pub account: u32,
    /// Its version there.
    pub lot: u32,
    /// What its accrual credited, tiyn: more than what is left may come back to it.
    pub credited: i64,
}

/// What a merging moves.
pub(super) struct Merging {
    /// The wallet that stays, by the id that it has now.
    id: WalletId,
    kept: Wallet,
    gone: Wallet,
    /// The state of both as one.
    state: WalletState,
    /// All lots of the merged wallet.
    lots: Vec<Lot>,
    collisions: Vec<Collision>,
}

impl Books {
    /// Adds a further number of a person: the id that it makes leads to the person's wallet from now on.
    pub fn add_number(
        &mut self,
        entry: Entry<'_>,
        wallet: WalletId,
        leads: WalletId,
        person: Person,
        document: Document,
    ) -> Ruling<u64> {
        self.need_operator_for(wallet, &entry.actor)?;
        let (id, before) = self.check_number(wallet, leads)?;
        if !self.registry.is_empty() {
            let (tag, document) = (person.tag, document.clone());
            let proposal = Proposal::AddNumber { wallet, leads, person: tag, document };
            self.need_approval(&entry.actor, &proposal)?;
        }
        let record = PersonRecord::NumberAdded { wallet: id, leads, person: person.tag, document };
        let seq = self.write(entry.fx, record.into(), entry.actor);
        self.lead(leads, id);
        let (to, account, number) = (id, before.account, Some(person));
        entry.fx.leads.push(NewLead { seq, id: leads, to, account, number });
        Ok(seq)
    }

    /// Whether a number may lead to a wallet; the wallet.
    pub(super) fn check_number(&mut self, wallet: WalletId, leads: WalletId) -> Ruling<(WalletId, Wallet)> {
        let (id, before) = self.named(wallet)?;
        match self.find_wallet(leads)? {
            Some((known, _)) if known == id => return refuse(Code::NumberKnown, "iin"),
            Some(_) => return refuse(Code::NumberHasWallet, "iin"),
            None => {}
        }
        if before.state == WalletState::Closed {
            return refuse(Code::WalletClosed, "wallet");
        }
        Ok((id, before))
    }

    /// The wallet that a command about a person names, by the id that it has now. Where two must agree, they name it by that id:
    /// what they agree on is what the journal says.
    fn named(&mut self, wallet: WalletId) -> Ruling<(WalletId, Wallet)> {
        match self.find_wallet(wallet)? {
            None => refuse(Code::WalletUnknown, "wallet"),
            Some((id, _)) if id != wallet && !self.registry.is_empty() => {
                refuse(Code::WalletMerged, "wallet")
            }
            Some(found) => Ok(found),
        }
    }

    /// Only an operator, where there are any; but first of all the wallet must be there.
    fn need_operator_for(&mut self, wallet: WalletId, actor: &Actor) -> Ruling<()> {
        self.named(wallet)?;
        if self.registry.is_empty() { Ok(()) } else { self.need_operator(actor) }
    }

    /// Merges a wallet into another of the same person.
    pub fn merge(
        &mut self,
        entry: Entry<'_>,
        wallet: WalletId,
        merged: WalletId,
        document: Document,
    ) -> Ruling<u64> {
        self.need_operator_for(wallet, &entry.actor)?;
        let Merging { id, kept, gone, state, lots, collisions } = self.check_merge(wallet, merged)?;
        self.check_ended(&gone, entry.stamp.at)?;
        if !self.registry.is_empty() {
            let proposal = Proposal::MergeWallets { wallet, merged, document: document.clone() };
            self.need_approval(&entry.actor, &proposal)?;
        }
        self.orders.merge(kept.account, gone.account);
        let Entry { fx, stamp, actor } = entry;
        let left = |lot: &&Lot| lot.remaining > 0;
        let shares = lots.iter().filter(left).map(|lot| share(lot, lot.remaining)).collect();
        let record = PersonRecord::WalletsMerged { wallet: id, merged, document, shares, collisions };
        let seq = self.write(fx, record.into(), actor);
        let choice = self.merge_choices(fx, seq, kept.account, gone.account)?;
        self.merge_usage(fx, seq, stamp.date, kept.account, gone.account)?;

        self.move_out(fx, (seq, stamp.at), merged, gone, &lots);
        let mut after = Wallet { state, choice, ..kept };
        for lot in &lots {
            after = self.move_in(fx, (seq, stamp.at), id, after, lot);
        }
        if lots.is_empty() {
            let after = Wallet { version: after.version + 1, ..after };
            self.post_unmoved(fx, id, seq, stamp, after);
        }
        self.lead(merged, id);
        fx.leads.push(NewLead { seq, id: merged, to: id, account: kept.account, number: None });
        Ok(seq)
    }

    /// Whether a wallet may be merged into another, and what that moves.
    pub(super) fn check_merge(&mut self, wallet: WalletId, merged: WalletId) -> Ruling<Merging> {
        let (id, kept) = self.named(wallet)?;
        let Some((found, gone)) = self.find_wallet(merged)? else {
            return refuse(Code::WalletUnknown, "merged");
        };
        if found != merged || found == id {
            return refuse(Code::WalletMerged, "merged");
        }
        let state = state_of_both(kept.state, gone.state)?;
        if self.is_under_orders(gone.account)? {
            return refuse(Code::OutflowBlocked, "merged");
        }
        let lots = self.lots_of(gone.account)?;
        if lots.len() > MERGED_LOTS_MAX {
            return Err(Refusal::of(Code::MergeTooLarge, "merged").with(lots.len().to_string()).into());
        }
        let collisions = self.collisions(kept.account, &lots)?;
        Ok(Merging { id, kept, gone, state, lots, collisions })
    }

    /// Whether an order stands on a wallet: what it holds, it holds there.
    fn is_under_orders(&self, account: u32) -> Ruling<bool> {
        match self.orders.standing.get(&account) {
            Some(standing) => Ok(!standing.is_empty()),
            None if self.whole.is_some() => {
                Ok(self.orders.known.values().any(|known| known.account == account && known.stands()))
            }
            None => Err(Fault::Unread("the orders that stand on a wallet")),
        }
    }

    /// Benefits of lots that a wallet was paid too.
    fn collisions(&self, account: u32, lots: &[Lot]) -> Ruling<Vec<Collision>> {
        let mut collisions = Vec::new();
        let own = self.lots_of(account)?;
        for lot in lots {
            if self.is_paid(lot.benefit, account)? {
                let first = own.iter().find(|known| known.benefit == lot.benefit);
                let kept = first.ok_or(Fault::Unread("the accrual that paid a benefit"))?.seq;
                collisions.push(Collision { kept, moved: lot.seq });
            }
        }
        Ok(collisions)
    }

    /// What the merged wallet's holder chose holds where the other's has chosen nothing. Whether any choice sends benefits on.
    fn merge_choices(&mut self, fx: &mut Effects, seq: u64, account: u32, gone: u32) -> Ruling<bool> {
        let mut choices = self.choices_of(account)?;
        for (programme, Chosen { authorisation, .. }) in self.choices_of(gone)? {
            choices.entry(programme).or_insert_with(|| {
                fx.choices.push(NewChoice { seq, account, programme, authorisation });
                Chosen { seq, authorisation }
            });
        }
        let sends_on = sends_on(&choices);
        self.choices.insert(account, choices);
        Ok(sends_on)
    }

    /// What left the merged wallet today counts for the other: a merging gives no second day's limit.
    fn merge_usage(&mut self, fx: &mut Effects, seq: u64, date: i32, account: u32, gone: u32) -> Ruling<()> {
        for of in [Counted::Wallet, Counted::WalletCash] {
            let (so_often, so_much) = self.used(&of(gone), date)?;
            if so_often > 0 {
                let counted = of(account);
                let (version, amount) = self.used(&counted, date)?;
                let (version, amount) = (version + so_often, amount + so_much);
                let row = UsageEntry { counted: counted.to_string(), date, version, seq, amount };
                fx.usage.push(row.clone());
                self.usage.insert(counted, Some(row));
            }
        }
        Ok(())
    }

    /// Takes everything out of a merged wallet and closes it.
    fn move_out(
        &mut self,
        fx: &mut Effects,
        (seq, at): (u64, i64),
        id: WalletId,
        before: Wallet,
        lots: &[Lot],
    ) {
        let version = before.version + 1;
        for lot in lots.iter().filter(|lot| lot.remaining > 0) {
            let empty = Lot { remaining: 0, held: 0, movements: lot.movements + 1, ..*lot };
            self.put_lot(before.account, empty);
            fx.movements.push(LotMovement {
                account: before.account,
                lot: lot.version,
                movement: empty.movements,
                version,
                amount: -lot.remaining,
                remaining: 0,
                held: 0,
                reversed: lot.reversed,
            });
        }
        let state = WalletState::Closed;
        let after = Wallet { version, state, ..Wallet::opened(before.account) };
        let (kind, amount) = (EntryKind::MovedOut, -before.posted);
        let row = WalletEntry { seq, at, kind, amount, benefit: None, class: None, refers: None, after };
        self.post_entry(fx, id, row);
    }

    /// Puts a lot of a merged wallet, as it was there, into the other; the head after it.
    fn move_in(
        &mut self,
        fx: &mut Effects,
        (seq, at): (u64, i64),
        id: WalletId,
        before: Wallet,
        lot: &Lot,
    ) -> Wallet {
        let (account, version) = (before.account, before.version + 1);
        let of_general = |tiyn: i64| if lot.class == FundClass::General { tiyn } else { 0 };
        let opens = before.first_open_lot == 0 && lot.remaining > 0;
        let after = Wallet {
            version,
            posted: before.posted + lot.remaining,
            held: before.held + lot.held,
            general: before.general + of_general(lot.remaining),
            general_held: before.general_held + of_general(lot.held),
            first_open_lot: if opens { version } else { before.first_open_lot },
            ..before
        };
        let moved = Lot { version, movements: 1, ..*lot };
        self.put_lot(account, moved);
        fx.moved_lots.push(MovedLot { seq, account, lot: version, credited: lot.amount });
        fx.movements.push(LotMovement {
            account,
            lot: version,
            movement: 1,
            version,
            amount: lot.remaining,
            remaining: lot.remaining,
            held: lot.held,
            reversed: lot.reversed,
        });
        if self.benefits.entry(lot.benefit).or_default().insert(account) {
            fx.benefits.entry(lot.benefit).or_default().push(account);
        }
        let (kind, benefit, class) = (EntryKind::MovedIn, Some(lot.benefit), Some(lot.class));
        let (amount, refers) = (lot.remaining, Some(lot.seq));
        self.post_entry(fx, id, WalletEntry { seq, at, kind, amount, benefit, class, refers, after });
        after
    }
}

/// The state of a wallet that two have become: the one that lets less out. The dead and the living are not merged.
fn state_of_both(kept: WalletState, gone: WalletState) -> Ruling<WalletState> {
    use WalletState::{Active, Blocked, Closed, Deceased, Provisioned};
    match (kept, gone) {
        (Closed, _) => refuse(Code::WalletClosed, "wallet"),
        (_, Closed) => refuse(Code::WalletClosed, "merged"),
        (Deceased, Deceased) => Ok(Deceased),
        (Deceased, _) => refuse(Code::WalletDeceased, "wallet"),
        (_, Deceased) => refuse(Code::WalletDeceased, "merged"),
        (Blocked, _) | (_, Blocked) => Ok(Blocked),
        (Active, _) | (_, Active) => Ok(Active),
        (Provisioned, Provisioned) => Ok(Provisioned),
    }
}
