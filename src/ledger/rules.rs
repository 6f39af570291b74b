//! The rules: each checks a command against the books and either refuses it, changing nothing, or writes its records and
//! changes the books. Replay runs the same rules over the journal, so there is one place that knows them.
//!
//! Order of precedence, for all rules: what the command names (programme, batch, wallet) before who may do it, before the
//! wallet's state, before what was done already, before money.

#![allow(clippy::needless_pass_by_value)] // an `Entry` is used up by the rule that writes it

use crate::domain::time::Stamp;
use crate::domain::{
    Amount, BankReference, Bic, Bin, FundClass, Money, Part, Period, ProgrammeCode, Reason, WalletId,
};

use super::account::SystemAccount;
use super::books::{
    Books, Fault, NUMBERS_MAX, Paid, PayOut, PayOutShare, Programme, Ruling, SUM_MAX, bank_reference_id,
};
use super::effects::{Effects, NewProgramme};
use super::order_rules::paid_lot;
use super::record::{Actor, LotShare, ProgrammeSpec, Record};
use super::refusal::{Refusal, RefusalCode as Code};
use super::registry::Proposal;
use super::wallet::{Benefit, EntryKind, Lot, LotMovement, NewWallet, Wallet, WalletEntry, WalletState};

/// A person for whom a wallet is opened: the tag that the log knows and the number, encrypted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The tag.
    pub tag: [u8; 32],
    /// The number, encrypted under the book's key.
    pub sealed_iin: Vec<u8>,
}

/// Where a command writes, and under what stamp and name.
pub struct Entry<'a> {
    /// What the commit writes.
    pub fx: &'a mut Effects,
    /// The moment of the commit.
    pub stamp: Stamp,
    /// Who asked.
    pub actor: Actor,
}

/// An accrual: credit a person's wallet with a benefit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accrual {
    /// To whom.
    pub wallet: WalletId,
    /// Of which programme.
    pub programme: ProgrammeCode,
    /// For which period.
    pub period: Period,
    /// Which entitlement within the period.
    pub part: Part,
    /// How much.
    pub amount: Amount,
}

/// A reversal: take back what is left of an accrual.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reversal {
    /// From whom.
    pub wallet: WalletId,
    /// Of which programme.
    pub programme: ProgrammeCode,
    /// For which period.
    pub period: Period,
    /// Which entitlement within the period.
    pub part: Part,
    /// Why.
    pub reason: Reason,
}

/// What an entry does to one lot: changes of what remains and of what is held, tiyn, signed.
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub(super) lot: Lot,
    pub(super) amount: i64,
    pub(super) held: i64,
}

impl Move {
    fn posted(lot: Lot, amount: i64) -> Self {
        Self { lot, amount, held: 0 }
    }
}

pub(super) fn refuse<T>(code: Code, field: &'static str) -> Ruling<T> {
    Err(Refusal::of(code, field).into())
}

pub(super) fn share(lot: &Lot, amount: i64) -> LotShare {
    let amount =
        Amount::from_tiyn(amount).expect("a share is a positive part of a lot, and a lot is an amount");
    LotShare { lot: lot.seq, amount }
}

impl Books {
    /// Opens the book: its first entry and the account that stands behind everything.
    pub fn open_book(&mut self, entry: Entry<'_>) {
        self.write(entry.fx, Record::BookOpened, entry.actor);
        self.system_place(entry.fx, SystemAccount::Backing);
    }

    /// Registers a programme.
    pub fn register_programme(&mut self, entry: Entry<'_>, spec: ProgrammeSpec) -> Ruling<u64> {
        if let Some(known) = self.programme(spec.code) {
            return Err(Refusal::of(Code::ProgrammeExists, "programme").by(known.seq).into());
        }
        self.check_general(spec.class)?;
        let fx = entry.fx;
        let funding = self.system_place(fx, SystemAccount::Funding(spec.code));
        let wallets = self.system_place(fx, SystemAccount::Wallets(spec.code));
        let seq = self.write(fx, Record::ProgrammeRegistered(Box::new(spec.clone())), entry.actor);
        let number = u32::try_from(self.programmes.len() + 1).expect("programmes are counted in hundreds");
        self.programme_by_code.insert(spec.code, self.programmes.len());
        self.programmes.push(Programme { number, seq, spec: spec.clone(), funding, wallets });
        fx.programmes.push(NewProgramme { number, seq, spec });
        Ok(seq)
    }

    /// Whether a programme can be funded: its funding account, and the id that its bank reference will be bound under.
    pub(super) fn check_fund(
        &self,
        programme: ProgrammeCode,
        amount: Amount,
        bank_reference: &BankReference,
    ) -> Ruling<(usize, [u8; 16])> {
        let Some(place) = self.programme(programme).map(|programme| programme.funding) else {
            return refuse(Code::ProgrammeUnknown, "programme");
        };
        let reference = bank_reference_id(bank_reference);
        if let Some(seq) = self.bound_to(&reference)? {
            return Err(Refusal::of(Code::BankReferenceUsed, "bank_reference").by(seq).into());
        }
        let backing = self.system_by_account.get(&SystemAccount::Backing).map(|place| &self.system[*place]);
        if backing.is_some_and(|backing| backing.debits > SUM_MAX - amount.tiyn()) {
            return refuse(Code::SumTooLarge, "amount");
        }
        Ok((place, reference))
    }

    /// Places the treasury's money for a programme: Dr backing, Cr funding. Two operators must agree, where there are any.
    pub fn fund(
        &mut self,
        entry: Entry<'_>,
        programme: ProgrammeCode,
        amount: Amount,
        bank_reference: BankReference,
    ) -> Ruling<u64> {
        let (place, reference) = self.check_fund(programme, amount, &bank_reference)?;
        let proposal = Proposal::Fund { programme, amount, bank_reference: bank_reference.clone() };
        self.need_approval(&entry.actor, &proposal)?;
        let backing = self.system_place(entry.fx, SystemAccount::Backing);
        let record = Record::ProgrammeFunded { programme, amount, bank_reference };
        let seq = self.write(entry.fx, record, entry.actor);
        self.bind(entry.fx, reference, seq);
        self.move_system(backing, seq, -amount.tiyn());
        self.move_system(place, seq, amount.tiyn());
        Ok(seq)
    }

    /// Opens a wallet for a person.
    pub fn open_wallet(&mut self, entry: Entry<'_>, id: WalletId, person: Person) -> Ruling<u64> {
        if self.wallet(id)?.is_some() {
            return refuse(Code::WalletExists, "iin");
        }
        if self.wallet_count >= NUMBERS_MAX {
            return refuse(Code::BookFull, "iin");
        }
        self.wallet_count += 1;
        let account = self.wallet_count;
        let record = Record::WalletOpened { wallet: id, person: person.tag };
        let seq = self.write(entry.fx, record, entry.actor);
        self.put_wallet(id, Wallet::opened(account));
        entry.fx.wallets.push(NewWallet { account, id, seq, sealed_iin: person.sealed_iin, tag: person.tag });
        Ok(seq)
    }

    /// Credits a benefit: Dr funding, Cr wallet. A wallet that does not exist is opened for `person()` if that is given.
    /// `payer` is checked against the programme's, where it is given. What the holder's choice makes of it, the caller sees to.
    pub(super) fn credit(
        &mut self,
        entry: Entry<'_>,
        accrual: &Accrual,
        payer: Option<Bin>,
        batch: Option<crate::domain::BatchId>,
        person: Option<&dyn Fn() -> Person>,
    ) -> Ruling<u64> {
        let Some(&index) = self.programme_by_code.get(&accrual.programme) else {
            return refuse(Code::ProgrammeUnknown, "programme");
        };
        let Programme { number, funding, wallets, ref spec, .. } = self.programmes[index];
        let class = spec.class;
        if payer.is_some_and(|payer| payer != spec.payer) {
            return refuse(Code::PayerMismatch, "programme");
        }
        let found = self.find_wallet(accrual.wallet)?;
        let (id, known) = (found.map_or(accrual.wallet, |(id, _)| id), found.map(|(_, wallet)| wallet));
        if let Some(wallet) = known {
            match wallet.state {
                WalletState::Deceased => return refuse(Code::WalletDeceased, "iin"),
                WalletState::Closed => return refuse(Code::WalletClosed, "iin"),
                WalletState::Provisioned | WalletState::Active | WalletState::Blocked => {}
            }
        }
        let benefit = Benefit { programme: number, period: accrual.period, part: accrual.part };
        let amount = accrual.amount.tiyn();
        if let Some(wallet) = known
            && self.is_paid(benefit, wallet.account)?
        {
            return Err(self.already_paid(entry.fx, wallet.account, benefit, amount)?.into());
        }
        if self.system[funding].balance() < amount {
            let left = Money::from_tiyn(self.system[funding].balance()).unwrap_or(Money::ZERO);
            return Err(Refusal::of(Code::FundingInsufficient, "amount")
                .with(format!("{left} KZT left"))
                .into());
        }
        let Entry { fx, stamp, actor } = entry;
        let before = if let Some(wallet) = known {
            wallet
        } else {
            let Some(person) = person else { return refuse(Code::WalletUnknown, "iin") };
            self.open_wallet(Entry { fx, stamp, actor }, id, person())?;
            Wallet::opened(self.wallet_count)
        };

        let Accrual { programme, period, part, amount: exact, .. } = *accrual;
        let record = Record::Accrued { wallet: id, programme, period, part, amount: exact, class, batch };
        let seq = self.write(fx, record, actor);
        self.move_system(funding, seq, -amount);
        self.move_system(wallets, seq, amount);
        let newly = self.benefits.entry(benefit).or_default().insert(before.account);
        assert!(newly, "a benefit key is paid once: checked above");
        fx.benefits.entry(benefit).or_default().push(before.account);

        let version = before.version + 1;
        let after = Wallet {
            version,
            posted: before.posted + amount,
            general: before.general + if class == FundClass::General { amount } else { 0 },
            first_open_lot: if before.first_open_lot == 0 { version } else { before.first_open_lot },
            ..before
        };
        let kind = EntryKind::Accrual;
        let (benefit_of, refers) = (Some(benefit), None);
        let row = WalletEntry {
            seq,
            at: stamp.at,
            kind,
            amount,
            benefit: benefit_of,
            class: Some(class),
            refers,
            after,
        };
        self.post_entry(fx, id, row);
        let lot = Lot {
            version,
            seq,
            benefit,
            class,
            amount,
            remaining: amount,
            held: 0,
            reversed: 0,
            movements: 0,
        };
        if self.whole.is_some() || self.lots.contains_key(&after.account) {
            self.put_lot(after.account, lot);
        }
        if after.choice {
            self.note_due(id, &after, lot, actor)?;
        }
        Ok(seq)
    }

    pub(super) fn is_paid(&self, benefit: Benefit, account: u32) -> Ruling<bool> {
        match self.benefits.get(&benefit) {
            Some(paid) => Ok(paid.contains(account)),
            None if self.whole.is_some() && !self.is_shelved(&benefit) => Ok(false),
            None => Err(Fault::Unread("who was paid a benefit")),
        }
    }

    /// The refusal of a benefit paid already: names the entry that paid it and the field that differs.
    fn already_paid(&self, fx: &Effects, account: u32, benefit: Benefit, amount: i64) -> Ruling<Refusal> {
        let paid = self.paid.get(&(account, benefit)).copied().or_else(|| {
            let made = |row: &&WalletEntry| row.after.account == account && row.benefit == Some(benefit);
            let accrual = fx.entries.iter().filter(|row| row.kind == EntryKind::Accrual).find(made);
            accrual.map(|row| Paid { seq: row.seq, amount: row.amount }).or_else(|| {
                let lots = self.lots_of(account).ok()?;
                let lot = lots.iter().find(|lot| lot.benefit == benefit)?;
                Some(Paid { seq: lot.seq, amount: lot.amount })
            })
        });
        let Paid { seq, amount: before } = paid.ok_or(Fault::Unread("the entry that paid a benefit"))?;
        // The same amount under the same key differs only in where it came from.
        let field = if before == amount { "line" } else { "amount" };
        Ok(Refusal::of(Code::BenefitAlreadyPaid, field).by(seq))
    }

    /// Takes back what is left of an accrual: Dr wallet, Cr funding. Money that is held stays.
    pub fn reverse(
        &mut self,
        entry: Entry<'_>,
        reversal: &Reversal,
        payer: Option<Bin>,
        batch: Option<crate::domain::BatchId>,
    ) -> Ruling<u64> {
        let Some(&index) = self.programme_by_code.get(&reversal.programme) else {
            return refuse(Code::ProgrammeUnknown, "programme");
        };
        let Programme { number, funding, wallets, ref spec, .. } = self.programmes[index];
        if payer.is_some_and(|payer| payer != spec.payer) {
            return refuse(Code::PayerMismatch, "programme");
        }
        let Some((id, before)) = self.find_wallet(reversal.wallet)? else {
            return refuse(Code::AccrualNotFound, "iin");
        };
        let benefit = Benefit { programme: number, period: reversal.period, part: reversal.part };
        let lots = self.lots_of(before.account)?;
        let Some(lot) = paid_lot(&lots, benefit) else {
            return refuse(Code::AccrualNotFound, "period");
        };
        let taken = lot.available();
        if taken == 0 {
            return Err(Refusal::of(Code::NothingToReverse, "period").by(lot.seq).into());
        }
        let uncollected = Money::from_tiyn(lot.amount - lot.reversed - taken)
            .expect("what is left of a lot and what was reversed of it are together no more than the lot");
        let Reversal { programme, period, part, ref reason, .. } = *reversal;
        let record = Record::Reversed {
            wallet: id,
            programme,
            period,
            part,
            share: share(&lot, taken),
            uncollected,
            reason: reason.clone(),
            batch,
        };
        let Entry { fx, stamp, actor } = entry;
        let seq = self.write(fx, record, actor);
        self.move_system(wallets, seq, -taken);
        self.move_system(funding, seq, taken);
        let moved = Lot { reversed: lot.reversed + taken, ..lot };
        let after = self.move_lots(fx, before, &[Move::posted(moved, -taken)]);
        let kind = EntryKind::Reversal;
        let refers = Some(lot.seq);
        let row = WalletEntry {
            seq,
            at: stamp.at,
            kind,
            amount: -taken,
            benefit: Some(benefit),
            class: None,
            refers,
            after,
        };
        self.post_entry(fx, id, row);
        Ok(seq)
    }

    /// Pays out to a bank: Dr wallet, Cr clearing. General lots first, then protected ones, each first in first out: the
    /// lowest-intermediate-balance presumption, which favours the holder.
    pub fn pay_out(&mut self, entry: Entry<'_>, id: WalletId, bank: Bic, amount: Amount) -> Ruling<u64> {
        let Some((id, before)) = self.find_wallet(id)? else {
            return refuse(Code::WalletUnknown, "wallet");
        };
        self.need_nobody()?;
        if before.frozen || !matches!(before.state, WalletState::Provisioned | WalletState::Active) {
            return refuse(Code::OutflowBlocked, "wallet");
        }
        if before.posted - before.held < amount.tiyn() {
            return refuse(Code::BalanceInsufficient, "amount");
        }
        let drawn = self.draw(before.account, amount)?;
        let shares = drawn.iter().map(|(lot, taken)| share(lot, *taken)).collect();
        let moves: Vec<Move> = drawn.iter().map(|(lot, taken)| Move::posted(*lot, -taken)).collect();
        let Entry { fx, stamp, actor } = entry;
        let clearing = self.system_place(fx, SystemAccount::Clearing(bank));
        let seq = self.write(fx, Record::PaidOut { wallet: id, bank, shares }, actor);
        self.move_system(clearing, seq, amount.tiyn());
        self.move_controls(fx, seq, &moves);
        let after = self.move_lots(fx, before, &moves);
        let kind = EntryKind::PayOut;
        let row = WalletEntry {
            seq,
            at: stamp.at,
            kind,
            amount: -amount.tiyn(),
            benefit: None,
            class: None,
            refers: None,
            after,
        };
        self.post_entry(fx, id, row);
        let shares =
            drawn.iter().map(|(lot, taken)| PayOutShare { lot: lot.version, amount: *taken, returned: 0 });
        self.pay_outs.insert(seq, PayOut { wallet: id, bank, shares: shares.collect() });
        Ok(seq)
    }

    /// Credits what a bank returns of a pay-out: Dr clearing, Cr wallet. Class follows money: it goes to the lots it had
    /// left, last drawn first, so that protected money is made whole before general money. Lands in any state.
    pub fn return_credit(&mut self, entry: Entry<'_>, pay_out: u64, amount: Amount) -> Ruling<u64> {
        let Some(made) = self.pay_outs.get(&pay_out).cloned() else {
            return refuse(Code::PayOutNotFound, "pay_out");
        };
        self.need_nobody()?;
        let out: i64 = made.shares.iter().map(|share| share.amount - share.returned).sum();
        if out < amount.tiyn() {
            return Err(Refusal::of(Code::ReturnExceedsPayOut, "amount").by(pay_out).into());
        }
        let (id, before) = self.find_wallet(made.wallet)?.ok_or(Fault::Unread("the wallet of a pay-out"))?;
        if id != made.wallet {
            // Only a book without clients pays out like this, and its lots are named within their wallet.
            return Err(Refusal::of(Code::WalletMerged, "pay_out").by(pay_out).into());
        }
        let lots = self.lots_of(before.account)?;
        let mut wanted = amount.tiyn();
        let mut moves = Vec::new();
        let mut returned = made.shares.clone();
        for part in returned.iter_mut().rev() {
            let back = wanted.min(part.amount - part.returned);
            if back > 0 {
                let lot = lots.iter().find(|lot| lot.version == part.lot);
                moves.push(Move::posted(*lot.ok_or(Fault::Unread("a lot of a pay-out"))?, back));
                part.returned += back;
                wanted -= back;
            }
        }
        let shares = moves.iter().map(|moved| share(&moved.lot, moved.amount)).collect();
        let Entry { fx, stamp, actor } = entry;
        let clearing = self.system_place(fx, SystemAccount::Clearing(made.bank));
        let seq = self.write(fx, Record::Returned { wallet: id, bank: made.bank, pay_out, shares }, actor);
        self.move_system(clearing, seq, -amount.tiyn());
        self.move_controls(fx, seq, &moves);
        let after = self.move_lots(fx, before, &moves);
        let (kind, refers) = (EntryKind::Return, Some(pay_out));
        let row = WalletEntry {
            seq,
            at: stamp.at,
            kind,
            amount: amount.tiyn(),
            benefit: None,
            class: None,
            refers,
            after,
        };
        self.post_entry(fx, id, row);
        self.pay_outs.insert(pay_out, PayOut { shares: returned, ..made });
        Ok(seq)
    }

    /// Only in a book without clients: where there are any, money leaves by a holder's authorisation.
    fn need_nobody(&self) -> Ruling<()> {
        if self.registry.is_empty() { Ok(()) } else { refuse(Code::ClientNotEntitled, "client") }
    }

    /// What an amount is drawn from: general lots first, then protected ones, each first in first out. What is held stays.
    pub(super) fn draw(&self, account: u32, amount: Amount) -> Ruling<Vec<(Lot, i64)>> {
        let lots = self.lots_of(account)?;
        let of_class = |class| lots.iter().filter(move |lot| lot.class == class && lot.available() > 0);
        let mut wanted = amount.tiyn();
        let mut drawn = Vec::new();
        for lot in of_class(FundClass::General).chain(of_class(FundClass::Protected)) {
            let taken = wanted.min(lot.available());
            if taken > 0 {
                drawn.push((*lot, taken));
                wanted -= taken;
            }
        }
        if wanted > 0 { Err(Fault::Unread("all open lots of a wallet")) } else { Ok(drawn) }
    }

    /// Moves the control account of each lot's programme, and its memorandum of what was spent, with the lots.
    pub(super) fn move_controls(&mut self, fx: &mut Effects, seq: u64, moves: &[Move]) {
        for Move { lot, amount, .. } in moves {
            let Programme { wallets, ref spec, .. } = self.programmes[lot.benefit.programme as usize - 1];
            let spent = SystemAccount::Spent(spec.code);
            self.move_system(wallets, seq, *amount);
            let spent = self.system_place(fx, spent);
            self.move_system(spent, seq, -amount);
        }
    }

    /// Moves and holds money on lots of one wallet, in the entry that follows `before`; the head after it.
    pub(super) fn move_lots(&mut self, fx: &mut Effects, before: Wallet, moves: &[Move]) -> Wallet {
        let version = before.version + 1;
        let mut after = Wallet { version, ..before };
        for Move { lot: was, amount, held } in moves {
            let lot = Lot {
                remaining: was.remaining + amount,
                held: was.held + held,
                movements: was.movements + 1,
                ..*was
            };
            assert!(
                0 <= lot.held && lot.held <= lot.remaining && lot.remaining <= lot.amount - lot.reversed,
                "a lot keeps within what was credited"
            );
            self.put_lot(before.account, lot);
            after.posted += amount;
            after.held += held;
            if lot.class == FundClass::General {
                after.general += amount;
                after.general_held += held;
            }
            fx.movements.push(LotMovement {
                account: before.account,
                lot: lot.version,
                movement: lot.movements,
                version,
                amount: *amount,
                remaining: lot.remaining,
                held: lot.held,
                reversed: lot.reversed,
            });
        }
        let lots = self.lots_of(before.account).expect("the lots that were moved are there");
        after.first_open_lot = lots.iter().find(|lot| lot.remaining > 0).map_or(0, |lot| lot.version);
        after
    }

    /// Posts a wallet's entry and moves its head.
    pub(super) fn post_entry(&mut self, fx: &mut Effects, id: WalletId, row: WalletEntry) {
        assert!(row.after.is_sound(), "no wallet goes negative, and held and general money stay within it");
        self.put_wallet(id, row.after);
        fx.entries.push(row);
    }
}
