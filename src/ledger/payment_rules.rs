//! Authorisations of holders, and the life of transfers.
//!
//! | record | who may | refused when |
//! |---|---|---|
//! | `authorisation_given` | a channel | the wallet is unknown or stopped; the consent is older than a day, or was used; it would stand for more than 366 days |
//! | `authorisation_revoked` | its channel, an operator | it is revoked |
//! | `transfer_requested` | the authorisation's channel, or the bank that it names | it is revoked, over, used or would be exceeded; its channel is suspended; the wallet is stopped; a day's limit would be passed; the free money does not suffice |
//! | `transfer_sent`, `transfer_unknown`, `transfer_settled`, `transfer_returned` | the transfer's bank; an operator with a document while money is held | see below |
//! | `clearing_settled` | an operator | the reference was used; less is owed than is paid |
//!
//! A transfer's states and what a bank's answer makes of each. `=`: no entry; the earlier one is the answer.
//!
//! | | `sent` | `unknown` | `settled` | `returned` |
//! |---|---|---|---|---|
//! | requested, sent, unknown | sent, once; then `=` | unknown, once; then `=` | settled | the hold is released, in full or in part |
//! | settled | `=` | refused | `=` | posted back, in full or in part |
//! | returned | `=` if it was sent | refused | `=` if it was settled | `=` for the same reference, else refused |
//!
//! So every change is made at most once, and messages may come late, twice and in any order. No rule looks at a clock to end a
//! transfer (invariant 12). Money goes back to the very lots that it left, last drawn first (invariant 13).

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use crate::domain::{Amount, BankReference, Bic, ClientId, Reason, Role, Scope, WalletId};

use super::account::SystemAccount;
use super::books::{Books, Bound, Fault, Programme, Ruling, SUM_MAX, consent_id, settlement_id};
use super::effects::Effects;
use super::payment::{
    AUTHORISATION_LIFETIME_MAX, Audience, Authorisation, AuthorisationEntry, CONSENT_AGE_MAX, Consent,
    Counted, Direction, Document, Drawn, LOTS_MAX, NewAuthorisation, NewPayment, Owed, Payment, PaymentEntry,
    PaymentKind, PaymentRecord, PaymentState, Portion, Purpose, RETURNS_MAX, ReturnedFrom, Terms, UsageEntry,
};
use super::record::{Actor, LotShare};
use super::refusal::{Refusal, RefusalCode as Code};
use super::rules::{Entry, Move, refuse, share};
use super::wallet::{EntryKind, Lot, Wallet, WalletEntry, WalletState};

/// Milliseconds by which a channel's clock may run before the ledger's.
const CONSENT_AHEAD_MAX: i64 = 30_000;

/// Which party a client speaks as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// A channel, for a holder.
    Channel,
    /// A bank.
    Bank(Bic),
    /// An operator.
    Operator,
    /// The service itself, which ends what is over.
    System,
}

/// What a bank answers about a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It has it.
    Sent,
    /// It does not know.
    Unknown,
    /// The holder has the money.
    Settled,
    /// It comes back.
    Returned {
        /// How much; all that can, if it does not say.
        amount: Option<Amount>,
        /// The bank's reference of this return.
        reference: BankReference,
        /// Why.
        reason: Reason,
    },
}

impl Answer {
    /// Its name in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Settled => "settled",
            Self::Returned { .. } => "returned",
        }
    }
}

/// What an answer made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// A new entry.
    Made(u64),
    /// Nothing: the entry named had said it.
    Repeated(u64),
}

/// What a payment is made of: what is held, of which lots.
pub(super) struct Drawing {
    /// The wallet, by the id that it has now.
    pub(super) id: WalletId,
    pub(super) before: Wallet,
    pub(super) authorisation: Authorisation,
    lots: Vec<(Lot, i64)>,
    pub(super) shares: Vec<LotShare>,
    pub(super) split: Vec<Portion>,
}

/// How a payment comes about, and so what it is held to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Somebody asks for a transfer.
    Transfer,
    /// Somebody asks for cash.
    Cash,
    /// A choice sends a benefit on. It is as large as the benefit, so what its channel may move in a day is not used up by it.
    SentOn,
}

impl Books {
    /// Whether a client may speak as a party. A book without clients takes everybody at his word.
    pub(super) fn check_party(&self, actor: &Actor, party: Party) -> Ruling<()> {
        if self.registry.is_empty() || party == Party::System {
            return Ok(());
        }
        let entitled = self.registry.client(actor.client).is_some_and(|known| {
            let client = known.client;
            !client.suspended
                && match party {
                    Party::Channel => client.role == Role::Channel,
                    Party::Bank(bank) => client.scope == Scope::Bank(bank),
                    Party::Operator => client.role == Role::Operator,
                    Party::System => true,
                }
        });
        if entitled { Ok(()) } else { refuse(Code::ClientNotEntitled, "client") }
    }

    /// A holder authorises payments. The sealed destination is kept beside the journal.
    pub fn authorise(
        &mut self,
        entry: Entry<'_>,
        id: WalletId,
        terms: Terms,
        consent: Consent,
        sealed_destination: Vec<u8>,
    ) -> Ruling<u64> {
        let Some((found, before)) = self.find_wallet(id)? else {
            return refuse(Code::WalletUnknown, "wallet");
        };
        self.check_party(&entry.actor, Party::Channel)?;
        if found != id {
            // What is sealed is bound to the wallet's id.
            return refuse(Code::WalletMerged, "wallet");
        }
        let now = entry.stamp.at;
        let asked = self.check_consent(&entry, &consent)?;
        if terms.expires <= now || terms.expires > now + AUTHORISATION_LIFETIME_MAX {
            return refuse(Code::AuthorisationTooLong, "expires");
        }
        self.may_pay_out(&before, now)?;
        let activates = before.state == WalletState::Provisioned;
        let Entry { fx, stamp, actor } = entry;
        let Terms { purpose, ceiling, standing, expires } = terms;
        let record = PaymentRecord::AuthorisationGiven {
            wallet: id,
            purpose,
            ceiling,
            standing,
            expires,
            consent,
            activates,
        };
        let seq = self.write(fx, record.into(), actor);
        if activates {
            let after = Wallet { version: before.version + 1, state: WalletState::Active, ..before };
            self.post_unmoved(fx, id, seq, stamp, after);
        }
        self.bind(fx, asked, seq);
        let channel = actor.client;
        let account = before.account;
        fx.authorisations.push(NewAuthorisation { seq, account, channel, terms, sealed_destination });
        let made = Authorisation { seq, wallet: id, channel, terms, version: 0, used: 0, revoked: false };
        self.put_authorisation(fx, seq, made);
        tell(fx, seq, channel, terms.bank());
        Ok(seq)
    }

    /// Whether what shows a holder's consent may be used now, and the id that it will be bound under.
    pub(super) fn check_consent(&self, entry: &Entry<'_>, consent: &Consent) -> Ruling<[u8; 16]> {
        let now = entry.stamp.at;
        if !(now - CONSENT_AGE_MAX..=now + CONSENT_AHEAD_MAX).contains(&consent.at) {
            return refuse(Code::ConsentOutsideWindow, "consent");
        }
        let asked = consent_id(entry.actor.client, &consent.evidence);
        match self.bound_to(&asked)? {
            Some(seq) => Err(Refusal::of(Code::ConsentUsed, "consent").by(seq).into()),
            None => Ok(asked),
        }
    }

    fn put_authorisation(&mut self, fx: &mut Effects, seq: u64, changed: Authorisation) {
        let version = changed.version + 1;
        let Authorisation { seq: authorisation, used, revoked, .. } = changed;
        fx.authorisation_entries.push(AuthorisationEntry { authorisation, version, seq, used, revoked });
        self.authorisations.insert(authorisation, Authorisation { version, ..changed });
    }

    /// Takes an authorisation back. What was requested under it goes on.
    pub fn revoke_authorisation(
        &mut self,
        entry: Entry<'_>,
        by: Party,
        authorisation: u64,
        reason: Reason,
    ) -> Ruling<u64> {
        let known = self.authorisations.get(&authorisation).copied();
        let own = |known: &Authorisation| by == Party::Operator || known.channel == entry.actor.client;
        let Some(known) = known.filter(own) else {
            return refuse(Code::AuthorisationUnknown, "authorisation");
        };
        self.check_party(&entry.actor, by)?;
        if known.revoked {
            return refuse(Code::AuthorisationRevoked, "authorisation");
        }
        let wallet = self.canonical(known.wallet)?;
        let record = PaymentRecord::AuthorisationRevoked { wallet, authorisation, reason };
        let seq = self.write(entry.fx, record.into(), entry.actor);
        self.put_authorisation(entry.fx, seq, Authorisation { revoked: true, ..known });
        tell(entry.fx, seq, known.channel, known.terms.bank());
        Ok(seq)
    }

    /// Whether new money may leave a wallet now.
    pub(super) fn may_pay_out(&self, wallet: &Wallet, now: i64) -> Ruling<()> {
        self.check_ended(wallet, now)?;
        if wallet.frozen {
            return refuse(Code::OutflowBlocked, "wallet");
        }
        match wallet.state {
            WalletState::Provisioned | WalletState::Active => Ok(()),
            WalletState::Blocked => refuse(Code::OutflowBlocked, "wallet"),
            WalletState::Deceased => refuse(Code::WalletDeceased, "wallet"),
            WalletState::Closed => refuse(Code::WalletClosed, "wallet"),
        }
    }

    /// Whether a payment may be made under an authorisation, and what it would take.
    pub(super) fn check_payment(
        &mut self,
        entry: &Entry<'_>,
        by: Party,
        authorisation: u64,
        amount: Amount,
        for_cash: bool,
    ) -> Ruling<Drawing> {
        let may = |known: &Authorisation| match by {
            Party::Channel => known.channel == entry.actor.client,
            Party::Bank(bank) => known.terms.bank() == Some(bank),
            Party::Operator | Party::System => false,
        };
        // Somebody else's is as unknown as none.
        let Some(known) = self.authorisations.get(&authorisation).copied().filter(may) else {
            return refuse(Code::AuthorisationUnknown, "authorisation");
        };
        self.check_party(&entry.actor, by)?;
        if for_cash != matches!(known.terms.purpose, Purpose::Cash {}) {
            return refuse(Code::AuthorisationMismatch, "authorisation");
        }
        let way = if for_cash { Way::Cash } else { Way::Transfer };
        let (id, before) = self.check_authorised(entry.stamp, &known, amount, way)?;
        let lots = self.draw(before.account, amount)?;
        if lots.len() > LOTS_MAX {
            let within: i64 = lots[..LOTS_MAX].iter().map(|(_, taken)| taken).sum();
            return Err(Refusal::of(Code::LotsTooMany, "amount").with(left_of(within)).into());
        }
        let shares = lots.iter().map(|(lot, taken)| share(lot, *taken)).collect();
        let split = self.split(&lots);
        Ok(Drawing { id, before, authorisation: known, lots, shares, split })
    }

    /// Whether an authorisation covers a payment now, and the wallet that it would leave.
    pub(super) fn check_authorised(
        &mut self,
        stamp: crate::domain::time::Stamp,
        known: &Authorisation,
        amount: Amount,
        way: Way,
    ) -> Ruling<(WalletId, Wallet)> {
        if known.revoked {
            return refuse(Code::AuthorisationRevoked, "authorisation");
        }
        if stamp.at > known.terms.expires {
            return refuse(Code::AuthorisationExpired, "authorisation");
        }
        if self.registry.client(known.channel).is_some_and(|channel| channel.client.suspended) {
            return refuse(Code::ChannelStopped, "authorisation");
        }
        if known.used > 0 && !known.terms.standing {
            return refuse(Code::AuthorisationUsed, "authorisation");
        }
        let left = known.terms.ceiling.tiyn() - known.used;
        if amount.tiyn() > left {
            return Err(Refusal::of(Code::AuthorisationExceeded, "amount").with(left_of(left)).into());
        }
        let found = self.find_wallet(known.wallet)?;
        let (id, before) = found.ok_or(Fault::Unread("the wallet of an authorisation"))?;
        self.may_pay_out(&before, stamp.at)?;
        self.check_limits_of_day(stamp, &before, known.channel, amount, way)?;
        if before.posted - before.held < amount.tiyn() {
            return refuse(Code::BalanceInsufficient, "amount");
        }
        Ok((id, before))
    }

    fn check_limits_of_day(
        &self,
        stamp: crate::domain::time::Stamp,
        wallet: &Wallet,
        channel: ClientId,
        amount: Amount,
        way: Way,
    ) -> Ruling<()> {
        let limits = self.registry.limits();
        let beyond = |counted: Counted, sum: i64, count: u32| {
            let (so_often, so_much) = self.used(&counted, stamp.date)?;
            Ok::<bool, Fault>(so_often >= count || so_much.saturating_add(amount.tiyn()) > sum)
        };
        let account = wallet.account;
        if beyond(Counted::Wallet(account), limits.wallet_day_amount.tiyn(), limits.wallet_day_count)? {
            return refuse(Code::WalletLimitExceeded, "amount");
        }
        let for_cash = way == Way::Cash;
        let too_large = for_cash && amount.tiyn() > limits.cash_amount.tiyn();
        if too_large
            || for_cash && beyond(Counted::WalletCash(account), limits.cash_day_amount.tiyn(), u32::MAX)?
        {
            return refuse(Code::CashLimitExceeded, "amount");
        }
        if way != Way::SentOn
            && beyond(Counted::Channel(channel), limits.channel_day_amount.tiyn(), limits.channel_day_count)?
        {
            return refuse(Code::ChannelLimitExceeded, "amount");
        }
        Ok(())
    }

    /// How often, and how much in all, was counted on a day.
    pub(super) fn used(&self, counted: &Counted, date: i32) -> Ruling<(u32, i64)> {
        let newest = match self.usage.get(counted) {
            Some(newest) => newest.as_ref(),
            None if self.whole.is_some() => None,
            None => return Err(Fault::Unread("what was counted on the day")),
        };
        Ok(newest.filter(|row| row.date == date).map_or((0, 0), |row| (row.version, row.amount)))
    }

    pub(super) fn count(
        &mut self,
        fx: &mut Effects,
        seq: u64,
        date: i32,
        counted: Counted,
        amount: i64,
    ) -> Ruling<()> {
        let (so_often, so_much) = self.used(&counted, date)?;
        let (version, amount) = (so_often + 1, so_much + amount);
        let row = UsageEntry { counted: counted.to_string(), date, version, seq, amount };
        fx.usage.push(row.clone());
        self.usage.insert(counted, Some(row));
        Ok(())
    }

    /// What money lots are, by programme and class, in the order in which they are drawn.
    pub(super) fn split(&self, lots: &[(Lot, i64)]) -> Vec<Portion> {
        let mut split: Vec<Portion> = Vec::new();
        for (lot, taken) in lots {
            let Programme { ref spec, .. } = self.programmes[lot.benefit.programme as usize - 1];
            let (programme, class) = (spec.code, lot.class);
            let known = split.iter_mut().find(|part| (part.programme, part.class) == (programme, class));
            let sum = known.as_ref().map_or(0, |part| part.amount.tiyn()) + taken;
            let amount = Amount::from_tiyn(sum).expect("a part of an amount that is above zero");
            match known {
                Some(part) => part.amount = amount,
                None => split.push(Portion { programme, class, amount }),
            }
        }
        split
    }

    /// Holds what was drawn, counts it, and keeps the payment. The record is written.
    pub(super) fn hold(
        &mut self,
        fx: &mut Effects,
        stamp: crate::domain::time::Stamp,
        seq: u64,
        drawing: &Drawing,
        kind: PaymentKind,
    ) -> Ruling<()> {
        let Drawing { id, before, authorisation, lots, .. } = drawing;
        let moves: Vec<Move> =
            lots.iter().map(|(lot, taken)| Move { lot: *lot, amount: 0, held: *taken }).collect();
        let after = self.move_lots(fx, *before, &moves);
        let row = moneyless(seq, stamp.at, EntryKind::Hold, None, after);
        self.post_entry(fx, *id, row);
        let drawn: Vec<Drawn> = lots.iter().map(|(lot, taken)| Drawn(lot.version, *taken, lot.seq)).collect();
        let amount = drawn.iter().map(|drawn| drawn.1).sum();
        self.count(fx, seq, stamp.date, Counted::Channel(authorisation.channel), amount)?;
        self.keep_payment(fx, stamp, seq, (*id, before.account), authorisation, kind, drawn)
    }

    /// Counts a payment whose money is held for its wallet, and keeps it. `wallet`: its id and its internal number.
    #[allow(clippy::too_many_arguments)] // what a payment is made of
    pub(super) fn keep_payment(
        &mut self,
        fx: &mut Effects,
        stamp: crate::domain::time::Stamp,
        seq: u64,
        (wallet, account): (WalletId, u32),
        authorisation: &Authorisation,
        kind: PaymentKind,
        drawn: Vec<Drawn>,
    ) -> Ruling<()> {
        let amount: i64 = drawn.iter().map(|drawn| drawn.1).sum();
        self.count(fx, seq, stamp.date, Counted::Wallet(account), amount)?;
        if matches!(kind, PaymentKind::Cash { .. }) {
            self.count(fx, seq, stamp.date, Counted::WalletCash(account), amount)?;
        }
        let used = authorisation.used + amount;
        self.put_authorisation(fx, seq, Authorisation { used, ..*authorisation });
        fx.payments.push(NewPayment {
            seq,
            account,
            authorisation: authorisation.seq,
            kind,
            amount,
            drawn: drawn.clone(),
        });
        let made = PaymentEntry {
            payment: seq,
            version: 1,
            seq,
            at: stamp.at,
            state: PaymentState::Open,
            released: 0,
            settled: 0,
            returned: 0,
            tries: 0,
            agent: None,
            reference: None,
        };
        fx.payment_entries.push(made.clone());
        let payment = Payment {
            seq,
            wallet,
            authorisation: authorisation.seq,
            channel: authorisation.channel,
            kind,
            amount,
            drawn,
            history: vec![made],
        };
        self.payments.insert(seq, payment);
        Ok(())
    }

    /// Requests a transfer under a holder's authorisation: its money is held.
    pub fn request_transfer(
        &mut self,
        entry: Entry<'_>,
        by: Party,
        authorisation: u64,
        amount: Amount,
    ) -> Ruling<u64> {
        let drawing = self.check_payment(&entry, by, authorisation, amount, false)?;
        let Some(bank) = drawing.authorisation.terms.bank() else {
            return refuse(Code::AuthorisationMismatch, "authorisation");
        };
        let Entry { fx, stamp, actor } = entry;
        let record = PaymentRecord::TransferRequested {
            wallet: drawing.id,
            authorisation,
            bank,
            amount,
            accrual: None,
            shares: drawing.shares.clone(),
            split: drawing.split.clone(),
        };
        let seq = self.write(fx, record.into(), actor);
        self.hold(fx, stamp, seq, &drawing, PaymentKind::Transfer { bank })?;
        tell(fx, seq, drawing.authorisation.channel, Some(bank));
        Ok(seq)
    }

    /// Takes an answer about a transfer: the bank's, or an operator's with a document.
    pub fn answer_transfer(
        &mut self,
        entry: Entry<'_>,
        by: Party,
        transfer: u64,
        answer: &Answer,
        document: Option<Document>,
    ) -> Ruling<Answered> {
        let bank_of = |payment: &Payment| match payment.kind {
            PaymentKind::Transfer { bank } => Some(bank),
            PaymentKind::Cash { .. } => None,
        };
        let may = |bank: Bic| by == Party::Bank(bank) || by == Party::Operator;
        let known = self.payments.get(&transfer);
        let Some((known, bank)) =
            known.and_then(|known| Some((known, bank_of(known)?))).filter(|(_, bank)| may(*bank))
        else {
            return refuse(Code::TransferUnknown, "transfer");
        };
        self.check_party(&entry.actor, by)?;
        let head = known.head().clone();
        if (by == Party::Operator) != document.is_some() {
            return refuse(Code::DocumentRequired, "document");
        }
        let ended = || Err(Refusal::of(Code::TransferEnded, "transfer").by(head.seq).into());
        if by == Party::Operator && !head.state.is_held() {
            return ended();
        }
        let made =
            |state: PaymentState| known.history.iter().find(|row| row.state == state).map(|row| row.seq);
        match answer {
            Answer::Sent => match made(PaymentState::Sent) {
                Some(seq) => Ok(Answered::Repeated(seq)),
                None if head.state.is_held() => {
                    self.step(entry, transfer, bank, PaymentState::Sent, document)
                }
                None => made(PaymentState::Settled).map_or_else(ended, |seq| Ok(Answered::Repeated(seq))),
            },
            Answer::Unknown if !head.state.is_held() => ended(),
            Answer::Unknown => match made(PaymentState::Unknown) {
                Some(seq) => Ok(Answered::Repeated(seq)),
                None => self.step(entry, transfer, bank, PaymentState::Unknown, document),
            },
            Answer::Settled => match made(PaymentState::Settled) {
                Some(seq) => Ok(Answered::Repeated(seq)),
                None if head.state.is_held() => {
                    self.settle_transfer(entry, transfer, bank, document).map(Answered::Made)
                }
                None => ended(),
            },
            Answer::Returned { amount, reference, reason } => {
                let before = known.history.iter().find(|row| row.reference.as_ref() == Some(reference));
                if let Some(row) = before {
                    let came = came_back(known, row);
                    return if amount.is_none_or(|amount| amount.tiyn() == came) {
                        Ok(Answered::Repeated(row.seq))
                    } else {
                        Err(Refusal::of(Code::ReturnConflict, "amount").by(row.seq).into())
                    };
                }
                let Some(most) = Amount::from_tiyn(known.returnable()) else { return ended() };
                let amount = amount.unwrap_or(most);
                if amount > most {
                    let refusal = Refusal::of(Code::ReturnExceedsPayOut, "amount").by(head.seq);
                    return Err(refusal.with(left_of(most.tiyn())).into());
                }
                if known.history.iter().filter(|row| row.reference.is_some()).count() >= RETURNS_MAX {
                    return refuse(Code::ReturnsTooMany, "reference");
                }
                let part = Part { amount, reference: reference.clone(), reason: reason.clone() };
                self.return_transfer(entry, transfer, bank, part, document).map(Answered::Made)
            }
        }
    }

    /// A transfer that moves no money: sent, or unknown.
    fn step(
        &mut self,
        entry: Entry<'_>,
        transfer: u64,
        bank: Bic,
        state: PaymentState,
        document: Option<Document>,
    ) -> Ruling<Answered> {
        let Entry { fx, stamp, actor } = entry;
        let known = self.payments.get(&transfer).ok_or(Fault::Unread("a transfer"))?;
        let (wallet, channel) = (known.wallet, known.channel);
        let wallet = self.canonical(wallet)?;
        let record = match state {
            PaymentState::Sent => PaymentRecord::TransferSent { wallet, transfer, bank, document },
            _ => PaymentRecord::TransferUnknown { wallet, transfer, bank, document },
        };
        let seq = self.write(fx, record.into(), actor);
        self.advance(fx, transfer, seq, stamp.at, |head| head.state = state);
        tell(fx, seq, channel, Some(bank));
        Ok(Answered::Made(seq))
    }

    /// Writes what became of a payment.
    pub(super) fn advance(
        &mut self,
        fx: &mut Effects,
        payment: u64,
        seq: u64,
        at: i64,
        change: impl FnOnce(&mut PaymentEntry),
    ) {
        let known = self.payments.get_mut(&payment).expect("looked up before");
        let before = known.head().clone();
        let mut row = PaymentEntry { version: before.version + 1, seq, at, reference: None, ..before };
        change(&mut row);
        known.history.push(row.clone());
        fx.payment_entries.push(row);
    }

    /// The wallet and the lots of pieces of a payment.
    pub(super) fn pieces(&mut self, id: WalletId, drawn: &[Drawn]) -> Ruling<(Wallet, Vec<(Lot, i64)>)> {
        let wallet = self.wallet(id)?.ok_or(Fault::Unread("the wallet of a payment"))?;
        let lots = self.lots_of(wallet.account)?;
        // By the entry that made it: the same lot, whichever wallet it was moved to since.
        let find = |Drawn(_, amount, made): &Drawn| {
            let lot = lots.iter().find(|lot| lot.seq == *made);
            lot.map(|lot| (*lot, *amount)).ok_or(Fault::Unread("a lot of a payment"))
        };
        let pieces = drawn.iter().map(find).collect::<Ruling<_>>()?;
        Ok((wallet, pieces))
    }

    /// What is held leaves the wallet: Dr wallet, Cr what is owed to the bank. Answers what left, tiyn.
    pub(super) fn post_out(
        &mut self,
        entry: Entry<'_>,
        payment: u64,
        account: SystemAccount,
        record: impl FnOnce(Vec<LotShare>) -> PaymentRecord,
    ) -> Ruling<u64> {
        let known = self.payments.get(&payment).ok_or(Fault::Unread("a payment"))?;
        let mut drawn = known.back(0, known.amount - known.head().released);
        drawn.reverse(); // in the order in which it was drawn
        let wallet = known.wallet;
        let id = self.canonical(wallet)?;
        let (before, lots) = self.pieces(id, &drawn)?;
        let amount: i64 = lots.iter().map(|(_, out)| out).sum();
        let Entry { fx, stamp, actor } = entry;
        let place = self.system_place(fx, account);
        if self.system[place].credits > SUM_MAX - amount {
            return refuse(Code::SumTooLarge, "amount");
        }
        let shares = lots.iter().map(|(lot, out)| share(lot, *out)).collect();
        let seq = self.write(fx, record(shares).into(), actor);
        self.move_system(place, seq, amount);
        let moves: Vec<Move> =
            lots.iter().map(|(lot, out)| Move { lot: *lot, amount: -out, held: -out }).collect();
        self.move_controls(fx, seq, &moves);
        let after = self.move_lots(fx, before, &moves);
        let row = WalletEntry {
            amount: -amount,
            ..moneyless(seq, stamp.at, EntryKind::PayOut, Some(payment), after)
        };
        self.post_entry(fx, id, row);
        self.advance(fx, payment, seq, stamp.at, |head| {
            head.state = PaymentState::Settled;
            head.settled = amount;
        });
        Ok(seq)
    }

    /// What is held is free again. The record is written.
    pub(super) fn release(
        &mut self,
        fx: &mut Effects,
        at: i64,
        seq: u64,
        payment: u64,
        before: Wallet,
        lots: &[(Lot, i64)],
    ) -> Ruling<()> {
        let id = self.payments.get(&payment).ok_or(Fault::Unread("a payment"))?.wallet;
        let id = self.canonical(id)?;
        let moves: Vec<Move> =
            lots.iter().map(|(lot, back)| Move { lot: *lot, amount: 0, held: -back }).collect();
        let after = self.move_lots(fx, before, &moves);
        self.post_entry(fx, id, moneyless(seq, at, EntryKind::Release, Some(payment), after));
        Ok(())
    }

    fn settle_transfer(
        &mut self,
        entry: Entry<'_>,
        transfer: u64,
        bank: Bic,
        document: Option<Document>,
    ) -> Ruling<u64> {
        let Entry { fx, stamp, actor } = entry;
        let known = self.payments.get(&transfer).ok_or(Fault::Unread("a transfer"))?;
        let (wallet, channel) = (known.wallet, known.channel);
        let wallet = self.canonical(wallet)?;
        let clearing = SystemAccount::Clearing(bank);
        let entry = Entry { fx: &mut *fx, stamp, actor };
        let seq = self.post_out(entry, transfer, clearing, |shares| PaymentRecord::TransferSettled {
            wallet,
            transfer,
            bank,
            shares,
            document,
        })?;
        tell(fx, seq, channel, Some(bank));
        Ok(seq)
    }

    fn return_transfer(
        &mut self,
        entry: Entry<'_>,
        transfer: u64,
        bank: Bic,
        part: Part,
        document: Option<Document>,
    ) -> Ruling<u64> {
        let Part { amount, reference, reason } = part;
        let coming = amount.tiyn();
        let known = self.payments.get(&transfer).ok_or(Fault::Unread("a transfer"))?;
        let (wallet, channel, last) = (known.wallet, known.channel, known.head().clone());
        let held = last.state.is_held();
        let end = if held { known.amount - last.released } else { last.settled - last.returned };
        let drawn = known.back(end - coming, end);
        let all = end == coming;
        let wallet = self.canonical(wallet)?;
        let (before, lots) = self.pieces(wallet, &drawn)?;
        let Entry { fx, stamp, actor } = entry;
        // What was settled has opened the account.
        let clearing =
            self.system_by_account.get(&SystemAccount::Clearing(bank)).copied().unwrap_or_default();
        let owed = self.system[clearing].balance();
        if !held && owed < coming {
            return Err(Refusal::of(Code::ClearingInsufficient, "amount").with(left_of(owed)).into());
        }
        let record = PaymentRecord::TransferReturned {
            wallet,
            transfer,
            bank,
            amount,
            reference: reference.clone(),
            reason,
            from: if held { ReturnedFrom::Hold } else { ReturnedFrom::Clearing },
            shares: lots.iter().map(|(lot, coming)| share(lot, *coming)).collect(),
            document,
        };
        let seq = self.write(fx, record.into(), actor);
        if held {
            self.release(fx, stamp.at, seq, transfer, before, &lots)?;
        } else {
            self.move_system(clearing, seq, -coming);
            let moves: Vec<Move> =
                lots.iter().map(|(lot, coming)| Move { lot: *lot, amount: *coming, held: 0 }).collect();
            self.move_controls(fx, seq, &moves);
            let after = self.move_lots(fx, before, &moves);
            let row = WalletEntry {
                amount: coming,
                ..moneyless(seq, stamp.at, EntryKind::Return, Some(transfer), after)
            };
            self.post_entry(fx, wallet, row);
        }
        self.advance(fx, transfer, seq, stamp.at, |row| {
            if held {
                row.released += coming;
            } else {
                row.returned += coming;
            }
            row.state = if all { PaymentState::Returned } else { row.state };
            row.reference = Some(reference);
        });
        tell(fx, seq, channel, Some(bank));
        Ok(seq)
    }

    /// Books what moved between banks: Dr clearing (or cash), Cr backing, or the other way round.
    pub fn settle_clearing(
        &mut self,
        entry: Entry<'_>,
        bank: Bic,
        owed: Owed,
        direction: Direction,
        amount: Amount,
        bank_reference: BankReference,
    ) -> Ruling<u64> {
        if !self.registry.is_empty() {
            self.need_operator(&entry.actor)?;
        }
        let reference = settlement_id(bank, direction, &bank_reference);
        if let Some(seq) = self.bound_to(&reference)? {
            return Err(Refusal::of(Code::BankReferenceUsed, "bank_reference").by(seq).into());
        }
        let account_of = |books: &Self, account| {
            books.system_by_account.get(&account).map(|place| &books.system[*place]).cloned()
        };
        let balance = account_of(self, owed.account(bank)).map_or(0, |head| head.balance());
        if direction == Direction::Paid && balance < amount.tiyn() {
            return Err(Refusal::of(Code::ClearingInsufficient, "amount").with(left_of(balance)).into());
        }
        let backing = account_of(self, SystemAccount::Backing).map_or(0, |head| head.debits);
        if direction == Direction::Received && backing > SUM_MAX - amount.tiyn() {
            return refuse(Code::SumTooLarge, "amount");
        }
        let Entry { fx, actor, .. } = entry;
        let account = self.system_place(fx, owed.account(bank));
        let backing = self.system_place(fx, SystemAccount::Backing);
        let record = PaymentRecord::ClearingSettled { bank, direction, owed, amount, bank_reference };
        let seq = self.write(fx, record.into(), actor);
        self.bind(fx, reference, seq);
        let moved = if direction == Direction::Paid { -amount.tiyn() } else { amount.tiyn() };
        self.move_system(account, seq, moved);
        self.move_system(backing, seq, -moved);
        fx.events.push((Audience::Bank(bank), seq));
        Ok(seq)
    }

    /// Binds an id other than an instruction's to an entry for ever.
    pub(super) fn bind(&mut self, fx: &mut Effects, id: [u8; 16], seq: u64) {
        fx.instructions.push((id, seq));
        if let Some(whole) = &mut self.whole {
            whole.bound.insert(id, seq);
        } else {
            let content = serde_json::Map::new();
            self.instructions.insert(id, Some(Bound { seq, kind: String::new(), content, leaf_hash: None }));
        }
    }
}

/// A return of a transfer.
struct Part {
    amount: Amount,
    reference: BankReference,
    reason: Reason,
}

/// What a return brought back: its row less the one before it.
fn came_back(payment: &Payment, row: &PaymentEntry) -> i64 {
    let before = payment.history.iter().rev().find(|before| before.version < row.version);
    let back = |row: &PaymentEntry| row.released + row.returned;
    back(row) - before.map_or(0, back)
}

/// An entry of a wallet that changes what is held, or nothing.
pub(super) fn moneyless(
    seq: u64,
    at: i64,
    kind: EntryKind,
    refers: Option<u64>,
    after: Wallet,
) -> WalletEntry {
    WalletEntry { seq, at, kind, amount: 0, benefit: None, class: None, refers, after }
}

/// Who is told of an entry.
pub(super) fn tell(fx: &mut Effects, seq: u64, channel: ClientId, bank: Option<Bic>) {
    fx.events.push((Audience::Channel(channel), seq));
    fx.events.extend(bank.map(|bank| (Audience::Bank(bank), seq)));
}

pub(super) fn left_of(tiyn: i64) -> String {
    let money = crate::domain::Money::from_tiyn(tiyn).unwrap_or(crate::domain::Money::ZERO);
    format!("{money} KZT left")
}
