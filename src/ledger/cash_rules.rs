//! The life of a cash-out.
//!
//! | record | who may | refused when |
//! |---|---|---|
//! | `cash_created` | the authorisation's channel | as a transfer; more than the limits of cash; it would stand for less than 15 or more than 60 minutes |
//! | `cash_tried` | a bank, for its agent: a wrong code | as the right one: then no code can be tried. The fifth releases the money |
//! | `cash_reserved` | a bank, for its agent: the right code | it is over, released, reserved or paid; the wallet or the channel is stopped; too many wrong codes today |
//! | `cash_captured`, `cash_unknown`, `cash_released` (reversed) | the agent's bank; an operator with a document | it is not reserved |
//! | `cash_released` (cancelled) | the channel | it is reserved, or has ended |
//! | `cash_released` (expired) | the service | its time is not over; it is reserved, or has ended |
//!
//! Time and wrong codes release only what no agent has reserved. From then on only the agent's answer, or an operator with
//! evidence, ends it (invariant 12).

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use subtle::ConstantTimeEq as _;

use crate::domain::{Amount, Bic};

use super::account::SystemAccount;
use super::books::{Books, Fault, Ruling};
use super::payment::{
    CASH_LIFETIME, CASH_TRIES_MAX, CashReference, Counted, Document, Payment, PaymentEntry, PaymentKind,
    PaymentRecord, PaymentState, ReleaseCause, Terminal,
};
use super::payment_rules::{Answered, Party, tell};
use super::record::Actor;
use super::refusal::{Refusal, RefusalCode as Code};
use super::rules::{Entry, refuse, share};

/// The name under which the service itself acts.
pub const SYSTEM: &str = "system";

/// What an agent says of a reserved cash-out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dispensed {
    /// It was paid out.
    Captured,
    /// It was not.
    Reversed,
    /// It does not know.
    Unknown,
}

/// What trying a code made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// The right one: reserved by this entry.
    Reserved(u64),
    /// A wrong one, counted by this entry.
    Wrong(u64),
}

impl Books {
    /// Makes a cash-out under a holder's authorisation: its money is held.
    pub fn create_cash(
        &mut self,
        entry: Entry<'_>,
        authorisation: u64,
        amount: Amount,
        reference: CashReference,
        secret: [u8; 32],
        expires: i64,
    ) -> Ruling<u64> {
        if !CASH_LIFETIME.contains(&(expires - entry.stamp.at)) {
            return refuse(Code::CashLifetimeOutOfRange, "minutes");
        }
        let drawing = self.check_payment(&entry, Party::Channel, authorisation, amount, true)?;
        if self.cash.contains_key(&reference) {
            return Err(Fault::Unread("a reference that nobody has"));
        }
        let Entry { fx, stamp, actor } = entry;
        let record = PaymentRecord::CashCreated {
            wallet: drawing.id,
            authorisation,
            amount,
            reference,
            secret,
            expires,
            shares: drawing.shares.clone(),
            split: drawing.split.clone(),
        };
        let seq = self.write(fx, record.into(), actor);
        self.hold(fx, stamp, seq, &drawing, PaymentKind::Cash { reference, secret, expires })?;
        self.cash.insert(reference, seq);
        tell(fx, seq, drawing.authorisation.channel, None);
        Ok(seq)
    }

    fn cash_out(&self, cash: u64) -> Ruling<(&Payment, [u8; 32], i64)> {
        match self.payments.get(&cash).map(|known| (known, known.kind)) {
            Some((known, PaymentKind::Cash { secret, expires, .. })) => Ok((known, secret, expires)),
            _ => refuse(Code::CashUnknown, "reference"),
        }
    }

    /// Whether a code may be tried: the cash-out stands and is not over, and there were not too many wrong codes today.
    fn check_try(&mut self, entry: &Entry<'_>, bank: Bic, cash: u64, terminal: &Terminal) -> Ruling<()> {
        let (known, _, expires) = self.cash_out(cash)?;
        let (head, wallet, channel) = (known.head().clone(), known.wallet, known.channel);
        self.check_party(&entry.actor, Party::Bank(bank))?;
        if matches!(head.state, PaymentState::Sent | PaymentState::Unknown) {
            return Err(Refusal::of(Code::CashReserved, "reference").by(head.seq).into());
        }
        let before = self.wallet(wallet)?.ok_or(Fault::Unread("the wallet of a payment"))?;
        let stopped = self.registry.client(channel).is_some_and(|channel| channel.client.suspended);
        // Why a wallet lets nothing out is no business of an agent.
        let stopped = match self.may_pay_out(&before, entry.stamp.at) {
            Ok(()) => stopped,
            Err(Fault::Unread(what)) => return Err(Fault::Unread(what)),
            Err(Fault::Refused(_) | Fault::Told(_)) => true,
        };
        if head.state != PaymentState::Open || entry.stamp.at > expires || stopped {
            return Err(Refusal::of(Code::CashEnded, "reference").by(head.seq).into());
        }
        let limits = self.registry.limits();
        let counted = [
            (Counted::TriesOfTerminal(bank, terminal.clone()), limits.tries_terminal_day),
            (Counted::TriesOfBank(bank), limits.tries_bank_day),
            (Counted::Tries, limits.tries_day),
        ];
        for (counted, limit) in counted {
            if self.used(&counted, entry.stamp.date)?.0 >= limit {
                return refuse(Code::CashTriesExceeded, "terminal");
            }
        }
        Ok(())
    }

    /// Tries a code, as a keyed hash of reference and code. The comparison takes the same time whatever differs.
    pub fn redeem_cash(
        &mut self,
        entry: Entry<'_>,
        bank: Bic,
        reference: CashReference,
        attempt: &[u8; 32],
        terminal: Terminal,
    ) -> Ruling<Tried> {
        let Some(cash) = self.cash.get(&reference).copied() else {
            return refuse(Code::CashUnknown, "reference");
        };
        if self.is_code_of(reference, attempt) {
            return self.reserve_cash(entry, bank, cash, terminal).map(Tried::Reserved);
        }
        // A wrong code binds no instruction: each one is counted, also under a key that comes again.
        let Entry { fx, stamp, actor } = entry;
        let entry = Entry { fx, stamp, actor: Actor { instruction: None, ..actor } };
        self.count_wrong_code(entry, bank, cash, terminal).map(Tried::Wrong)
    }

    /// Whether a keyed hash is that of a cash-out's reference and code.
    #[must_use]
    pub fn is_code_of(&self, reference: CashReference, attempt: &[u8; 32]) -> bool {
        let known = self.cash.get(&reference).and_then(|cash| self.cash_out(*cash).ok());
        known.is_some_and(|(_, secret, _)| secret.ct_eq(attempt).into())
    }

    /// The right code: the agent is about to pay it out.
    pub fn reserve_cash(
        &mut self,
        entry: Entry<'_>,
        bank: Bic,
        cash: u64,
        terminal: Terminal,
    ) -> Ruling<u64> {
        self.check_try(&entry, bank, cash, &terminal)?;
        let (known, ..) = self.cash_out(cash)?;
        let (wallet, channel, tiyn) = (known.wallet, known.channel, known.amount);
        let wallet = self.canonical(wallet)?;
        let amount = Amount::from_tiyn(tiyn).ok_or(Fault::Unread("the amount of a cash-out"))?;
        let Entry { fx, stamp, actor } = entry;
        let record = PaymentRecord::CashReserved { wallet, cash, amount, bank, terminal };
        let seq = self.write(fx, record.into(), actor);
        self.advance(fx, cash, seq, stamp.at, |head| {
            head.state = PaymentState::Sent;
            head.agent = Some(bank);
        });
        tell(fx, seq, channel, Some(bank));
        Ok(seq)
    }

    /// A wrong code. The last one that is allowed releases the money.
    pub fn count_wrong_code(
        &mut self,
        entry: Entry<'_>,
        bank: Bic,
        cash: u64,
        terminal: Terminal,
    ) -> Ruling<u64> {
        self.check_try(&entry, bank, cash, &terminal)?;
        let (known, ..) = self.cash_out(cash)?;
        let (wallet, channel, tries) = (known.wallet, known.channel, known.head().tries + 1);
        let locked = tries >= CASH_TRIES_MAX;
        let held = if locked { known.held() } else { 0 };
        let drawn = known.back(0, held);
        let wallet = self.canonical(wallet)?;
        let (before, lots) = self.pieces(wallet, &drawn)?;
        let Entry { fx, stamp, actor } = entry;
        let shares = lots.iter().map(|(lot, back)| share(lot, *back)).collect();
        let record =
            PaymentRecord::CashTried { wallet, cash, bank, terminal: terminal.clone(), tries, shares };
        let seq = self.write(fx, record.into(), actor);
        if locked {
            self.release(fx, stamp.at, seq, cash, before, &lots)?;
        }
        self.advance(fx, cash, seq, stamp.at, |head| {
            head.tries = tries;
            if locked {
                end(head, held);
            }
        });
        for counted in [Counted::TriesOfTerminal(bank, terminal), Counted::TriesOfBank(bank), Counted::Tries]
        {
            self.count(fx, seq, stamp.date, counted, 0)?;
        }
        tell(fx, seq, channel, None);
        Ok(seq)
    }

    /// Takes what an agent says of a reserved cash-out: its bank's word, or an operator's with a document.
    pub fn finish_cash(
        &mut self,
        entry: Entry<'_>,
        by: Party,
        reference: CashReference,
        dispensed: Dispensed,
        document: Option<Document>,
    ) -> Ruling<Answered> {
        let Some(cash) = self.cash.get(&reference).copied() else {
            return refuse(Code::CashUnknown, "reference");
        };
        let (known, ..) = self.cash_out(cash)?;
        let head = known.head().clone();
        let (wallet, channel) = (known.wallet, known.channel);
        let wallet = self.canonical(wallet)?;
        let Some(bank) = head.agent.filter(|agent| by == Party::Bank(*agent) || by == Party::Operator) else {
            let code = if by == Party::Operator { Code::CashNotReserved } else { Code::CashUnknown };
            return refuse(code, "reference");
        };
        self.check_party(&entry.actor, by)?;
        if (by == Party::Operator) != document.is_some() {
            return refuse(Code::DocumentRequired, "document");
        }
        let asked = match dispensed {
            Dispensed::Captured => PaymentState::Settled,
            Dispensed::Reversed => PaymentState::Returned,
            Dispensed::Unknown => PaymentState::Unknown,
        };
        if head.state == asked {
            return Ok(Answered::Repeated(head.seq));
        }
        if !head.state.is_held() {
            return Err(Refusal::of(Code::CashEnded, "reference").by(head.seq).into());
        }
        let Entry { fx, stamp, actor } = entry;
        let seq =
            match dispensed {
                Dispensed::Captured => {
                    let entry = Entry { fx: &mut *fx, stamp, actor };
                    self.post_out(entry, cash, SystemAccount::Cash(bank), |shares| {
                        PaymentRecord::CashCaptured { wallet, cash, bank, shares, document }
                    })?
                }
                Dispensed::Unknown => {
                    let record = PaymentRecord::CashUnknown { wallet, cash, bank, document };
                    let seq = self.write(fx, record.into(), actor);
                    self.advance(fx, cash, seq, stamp.at, |head| head.state = PaymentState::Unknown);
                    seq
                }
                Dispensed::Reversed => {
                    let entry = Entry { fx: &mut *fx, stamp, actor };
                    self.end_cash(entry, cash, ReleaseCause::Reversed, document)?
                }
            };
        tell(fx, seq, channel, Some(bank));
        Ok(Answered::Made(seq))
    }

    /// Takes a cash-out back before an agent has reserved it: the channel's word, or the end of its time.
    pub fn release_cash(
        &mut self,
        entry: Entry<'_>,
        by: Party,
        cash: u64,
        cause: ReleaseCause,
    ) -> Ruling<u64> {
        let (known, _, expires) = self.cash_out(cash)?;
        if by == Party::Channel && known.channel != entry.actor.client {
            return refuse(Code::CashUnknown, "reference");
        }
        let (head, channel) = (known.head().clone(), known.channel);
        self.check_party(&entry.actor, by)?;
        let itself = entry.actor.client.as_str() == SYSTEM && entry.actor.instruction.is_none();
        if (by == Party::System) != itself {
            return refuse(Code::ClientNotEntitled, "client");
        }
        match head.state {
            PaymentState::Open if cause != ReleaseCause::Expired || entry.stamp.at > expires => {}
            PaymentState::Open => return refuse(Code::CashLifetimeOutOfRange, "reference"),
            PaymentState::Sent | PaymentState::Unknown => {
                return Err(Refusal::of(Code::CashReserved, "reference").by(head.seq).into());
            }
            PaymentState::Settled | PaymentState::Returned => {
                return Err(Refusal::of(Code::CashEnded, "reference").by(head.seq).into());
            }
        }
        let Entry { fx, stamp, actor } = entry;
        let seq = self.end_cash(Entry { fx: &mut *fx, stamp, actor }, cash, cause, None)?;
        tell(fx, seq, channel, None);
        Ok(seq)
    }

    fn end_cash(
        &mut self,
        entry: Entry<'_>,
        cash: u64,
        cause: ReleaseCause,
        document: Option<Document>,
    ) -> Ruling<u64> {
        let (known, ..) = self.cash_out(cash)?;
        let (wallet, held) = (known.wallet, known.held());
        let drawn = known.back(0, held);
        let wallet = self.canonical(wallet)?;
        let (before, lots) = self.pieces(wallet, &drawn)?;
        let Entry { fx, stamp, actor } = entry;
        let shares = lots.iter().map(|(lot, back)| share(lot, *back)).collect();
        let record = PaymentRecord::CashReleased { wallet, cash, cause, shares, document };
        let seq = self.write(fx, record.into(), actor);
        self.release(fx, stamp.at, seq, cash, before, &lots)?;
        self.advance(fx, cash, seq, stamp.at, |head| end(head, held));
        Ok(seq)
    }
}

fn end(head: &mut PaymentEntry, released: i64) {
    head.state = PaymentState::Returned;
    head.released = released;
}
