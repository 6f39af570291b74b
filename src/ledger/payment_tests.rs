//! Random lives of transfers and cash-outs against a small obvious model, and their replay.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::account::SystemAccount;
use super::books::{Books, Fault};
use super::cash_rules::{Dispensed, Tried};
use super::effects::Effects;
use super::payment::{
    CASH_TRIES_MAX, CashReference, Consent, ConsentMethod, Direction, Document, LOTS_MAX, Limits, Owed,
    PaymentState, Purpose, RETURNS_MAX, ReleaseCause, Terminal, Terms,
};
use super::payment_rules::{Answer, Answered, Party};
use super::record::{Actor, ProgrammeSpec, Record};
use super::refusal::RefusalCode as Code;
use super::replay::Replay;
use super::rules::{Accrual, Entry, Person, Reversal};
use super::state::StateRecord;
use super::wallet::WalletState;
use crate::domain::time::Stamp;
use crate::domain::{
    Amount, BankReference, Bic, Bin, ClientId, DestinationForm, FundClass, LastFour, LegalBasis, Names, Part,
    Period, ProgrammeCode, Reason, Text, WalletId,
};

const START: i64 = 1_795_294_280_123;
pub(super) const MINUTE: i64 = 60_000;

pub(super) fn bank(number: u8) -> Bic {
    Bic::parse([b"CASPKZKA", b"HSBKKZKX"][usize::from(number % 2)]).unwrap()
}

pub(super) fn id(person: u8) -> WalletId {
    WalletId::from_uuid(uuid::Uuid::from_u128(u128::from(person) + 1))
}

pub(super) fn amount(tiyn: i64) -> Amount {
    Amount::from_tiyn(tiyn).unwrap()
}

pub(super) fn code(programme: usize) -> ProgrammeCode {
    ProgrammeCode::parse([&b"GENERAL"[..], b"ASP", b"BIRTH"][programme]).unwrap()
}

pub(super) fn document() -> Document {
    Document::parse("act 7 of 2026-11-21").unwrap()
}

pub(super) fn terminal() -> Terminal {
    Terminal::parse("ATM-1").unwrap()
}

pub(super) fn reason() -> Reason {
    Reason::parse("card closed").unwrap()
}

pub(super) fn reference(number: u64) -> CashReference {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    CashReference::from_bytes(bytes)
}

/// Books that hold everything, a clock, and a replay that must let through whatever the rules did, entry by entry.
pub(super) struct World {
    pub(super) books: Books,
    pub(super) replay: Replay,
    pub(super) at: i64,
    /// What the last command wrote.
    pub(super) written: Vec<Record>,
    /// Bytes of the longest leaf so far.
    pub(super) longest_leaf: usize,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            books: Books::whole(),
            replay: Replay::default(),
            at: START,
            written: Vec::new(),
            longest_leaf: 0,
        };
        world
            .run("setup", |books, entry| {
                books.open_book(entry);
                Ok(())
            })
            .unwrap();
        for programme in 0..3 {
            let name = |text| Text::parse(text).unwrap();
            let spec = ProgrammeSpec {
                code: code(programme),
                names: Names { kk: name("А"), ru: name("А"), en: name("A") },
                payer: Bin::parse(b"940140000385").unwrap(),
                legal_basis: LegalBasis::parse("law").unwrap(),
                class: if programme == 0 { FundClass::General } else { FundClass::Protected },
                knp: None,
                kbe: None,
                iso_purpose: None,
            };
            world.run("setup", |books, entry| books.register_programme(entry, spec)).unwrap();
            let placed = BankReference::parse(&format!("placed {programme}")).unwrap();
            world
                .run("setup", |books, entry| {
                    books.fund(entry, code(programme), amount(100_000_000_000), placed)
                })
                .unwrap();
        }
        world
    }

    pub(super) fn run<T>(
        &mut self,
        by: &str,
        rule: impl FnOnce(&mut Books, Entry<'_>) -> Result<T, Fault>,
    ) -> Result<T, Code> {
        let client = ClientId::parse(by).unwrap();
        let actor = Actor { client, request: [0; 32], line: None, instruction: None };
        let stamp = Stamp::of(self.at).unwrap();
        let mut fx = Effects::default();
        let size = self.books.size;
        let outcome = rule(&mut self.books, Entry { fx: &mut fx, stamp, actor });
        assert_eq!(self.books.size - size, fx.records.len() as u64);
        let mut again = Effects::default();
        for (record, actor) in fx.records.clone() {
            // What is written is what a leaf tells.
            let mut writer = crate::log::leaf::LeafWriter::new(
                crate::domain::BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap(),
                &[9; 32],
            );
            writer.stamp(stamp);
            let mut leaf = Vec::new();
            writer.write(&mut leaf, self.replay.books.size, &record, &actor);
            self.longest_leaf = self.longest_leaf.max(leaf.len());
            let read = crate::log::leaf::Leaf::read(&leaf).unwrap().record().unwrap();
            assert_eq!(read, record, "a leaf tells the record");
            self.replay.apply(&mut again, stamp, actor, read).unwrap();
        }
        self.replay.finish().unwrap();
        // Invariant 10. What is beside the journal no replay has: destinations, the bytes of chunks and the lines of verdicts.
        for row in &mut fx.authorisations {
            row.sealed_destination.clear();
        }
        for row in &mut fx.batch_entries {
            row.digest = vec![0; row.digest.len()];
            row.verdicts.clear();
        }
        assert_eq!(fx, again, "a replay writes the same rows");
        self.written = fx.records.iter().map(|(record, _)| record.clone()).collect();
        match outcome {
            Ok(value) => Ok(value),
            Err(Fault::Refused(refusal)) => {
                assert!(fx.is_empty(), "a refusal writes nothing");
                Err(refusal.code)
            }
            Err(fault) => panic!("{fault:?}"),
        }
    }

    pub(super) fn accrue(
        &mut self,
        person: u8,
        programme: usize,
        period: u8,
        tiyn: i64,
    ) -> Result<u64, Code> {
        let accrual = Accrual {
            wallet: id(person),
            programme: code(programme),
            period: Period::parse(format!("2026-{:02}", period + 1).as_bytes()).unwrap(),
            part: Part::FIRST,
            amount: amount(tiyn),
        };
        if self.books.wallet(id(person)).unwrap().is_none() {
            let opened = Person { tag: [person; 32], sealed_iin: Vec::new() };
            self.run("pipeline", |books, entry| books.open_wallet(entry, id(person), opened)).unwrap();
        }
        self.run("pipeline", |books, entry| books.accrue(entry, &accrual, None, None, None))
    }

    /// What no consent has shown yet.
    pub(super) fn evidence(&self) -> [u8; 32] {
        let mut evidence = [7; 32];
        evidence[..8].copy_from_slice(&self.books.size.to_be_bytes());
        evidence
    }

    pub(super) fn authorise(
        &mut self,
        person: u8,
        cash: bool,
        to: u8,
        ceiling: i64,
        standing: bool,
    ) -> Result<u64, Code> {
        let last_four = LastFour::parse("4242").unwrap();
        let purpose = if cash {
            Purpose::Cash {}
        } else {
            Purpose::Transfer {
                bank: bank(to),
                form: DestinationForm::Card,
                last_four,
                destination: [to; 32],
            }
        };
        let (at, expires) = (self.at, self.at + 60 * MINUTE);
        let consent = Consent { method: ConsentMethod::SmsCode, evidence: self.evidence(), at };
        let terms = Terms { purpose, ceiling: amount(ceiling), standing, expires };
        self.run("egov", |books, entry| books.authorise(entry, id(person), terms, consent, vec![1]))
    }

    pub(super) fn transfer(&mut self, authorisation: u64, tiyn: i64) -> Result<u64, Code> {
        self.run("egov", |books, entry| {
            books.request_transfer(entry, Party::Channel, authorisation, amount(tiyn))
        })
    }

    pub(super) fn answer(&mut self, transfer: u64, answer: &Answer) -> Result<Answered, Code> {
        let of = self.books.payments.get(&transfer).and_then(super::payment::Payment::bank);
        let by = Party::Bank(of.unwrap_or(bank(0)));
        self.run("bank", |books, entry| books.answer_transfer(entry, by, transfer, answer, None))
    }

    pub(super) fn cash(&mut self, authorisation: u64, tiyn: i64, number: u64) -> Result<u64, Code> {
        let expires = self.at + 30 * MINUTE;
        self.run("egov", |books, entry| {
            books.create_cash(entry, authorisation, amount(tiyn), reference(number), [1; 32], expires)
        })
    }

    pub(super) fn redeem(&mut self, by: u8, number: u64, right: bool) -> Result<Tried, Code> {
        let attempt = [u8::from(right); 32];
        self.run("bank", |books, entry| {
            books.redeem_cash(entry, bank(by), reference(number), &attempt, terminal())
        })
    }

    pub(super) fn finish(&mut self, by: u8, number: u64, dispensed: Dispensed) -> Result<Answered, Code> {
        self.run("bank", |books, entry| {
            books.finish_cash(entry, Party::Bank(bank(by)), reference(number), dispensed, None)
        })
    }

    pub(super) fn lots(&self, person: u8) -> Vec<(i64, i64)> {
        let known = self.books.known_wallets().find(|(known, _)| *known == id(person));
        let account = known.map_or(0, |(_, wallet)| wallet.account);
        let lots = self.books.lots_of(account).unwrap();
        lots.iter().map(|lot| (lot.remaining, lot.held)).collect()
    }

    pub(super) fn balance(&self, account: SystemAccount) -> i64 {
        let head = self.books.system_accounts().iter().find(|head| head.account == account);
        head.map_or(0, super::books::SystemHead::balance)
    }

    /// Invariants 1, 2 and 13, for the books as they are.
    pub(super) fn check(&mut self) {
        let heads = self.books.system_accounts();
        let sum: i64 = heads
            .iter()
            .filter(|head| !head.account.is_memorandum())
            .map(super::books::SystemHead::balance)
            .sum();
        assert_eq!(sum, 0, "invariant 1: the books sum to zero");
        let mut holds: BTreeMap<WalletId, i64> = BTreeMap::new();
        let payments: Vec<_> = self.books.payments.values().cloned().collect();
        for payment in payments {
            // A payment stays with the wallet that it left; where that was merged, the money is in the other.
            let (home, _) = self.books.find_wallet(payment.wallet).unwrap().unwrap();
            *holds.entry(home).or_default() += payment.held();
            let head = payment.head();
            assert!(head.released + head.settled <= payment.amount && head.returned <= head.settled);
        }
        let wallets: Vec<_> = self.books.known_wallets().collect();
        for (id, wallet) in wallets {
            assert!(wallet.is_sound(), "invariant 2");
            let lots = self.books.lots_of(wallet.account).unwrap();
            assert_eq!(
                lots.iter().map(|lot| lot.remaining).sum::<i64>(),
                wallet.posted,
                "lots are the balance"
            );
            assert_eq!(lots.iter().map(|lot| lot.held).sum::<i64>(), wallet.held);
            assert_eq!(wallet.held, holds.get(&id).copied().unwrap_or(0), "what is held, payments hold");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Accrue { person: u8, programme: usize, period: u8, tiyn: i64 },
    Authorise { person: u8, cash: bool, to: u8, ceiling: i64, standing: bool },
    Revoke(usize),
    Transfer { authorisation: usize, tiyn: i64 },
    Answer { transfer: usize, what: u8, tiyn: i64, reference: u8 },
    Cash { authorisation: usize, tiyn: i64 },
    Redeem { cash: usize, by: u8, right: bool },
    Finish { cash: usize, by: u8, what: u8 },
    End { cash: usize, expired: bool },
    Reverse { person: u8, programme: usize, period: u8 },
    State { person: u8, what: u8 },
    Settle { to: u8, cash: bool, tiyn: i64, reference: u8 },
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let (person, place, tiyn) = (0u8..2, 0usize..12, 1i64..400);
    prop_oneof![
        4 => (person.clone(), 0usize..3, 0u8..6, 1i64..500)
            .prop_map(|(person, programme, period, tiyn)| Step::Accrue { person, programme, period, tiyn }),
        4 => (person.clone(), any::<bool>(), 0u8..2, 1i64..800, any::<bool>())
            .prop_map(|(person, cash, to, ceiling, standing)| Step::Authorise { person, cash, to, ceiling, standing }),
        1 => place.clone().prop_map(Step::Revoke),
        5 => (place.clone(), tiyn.clone()).prop_map(|(authorisation, tiyn)| Step::Transfer { authorisation, tiyn }),
        8 => (place.clone(), 0u8..5, tiyn.clone(), 0u8..4)
            .prop_map(|(transfer, what, tiyn, reference)| Step::Answer { transfer, what, tiyn, reference }),
        4 => (place.clone(), tiyn.clone()).prop_map(|(authorisation, tiyn)| Step::Cash { authorisation, tiyn }),
        6 => (place.clone(), 0u8..2, prop::bool::weighted(0.3)).prop_map(|(cash, by, right)| Step::Redeem { cash, by, right }),
        4 => (place.clone(), 0u8..2, 0u8..3).prop_map(|(cash, by, what)| Step::Finish { cash, by, what }),
        2 => (place, any::<bool>()).prop_map(|(cash, expired)| Step::End { cash, expired }),
        1 => (person.clone(), 0usize..3, 0u8..6)
            .prop_map(|(person, programme, period)| Step::Reverse { person, programme, period }),
        1 => (person, 0u8..5).prop_map(|(person, what)| Step::State { person, what }),
        2 => (0u8..2, any::<bool>(), tiyn, 0u8..6)
            .prop_map(|(to, cash, tiyn, reference)| Step::Settle { to, cash, tiyn, reference }),
        1 => (1i64..40).prop_map(Step::Wait),
    ]
}

/// What a payment is to the model: pieces of lots, each somewhere.
struct Paid {
    person: u8,
    to: u8,
    /// (lot, held, gone)
    pieces: Vec<(usize, i64, i64)>,
    state: PaymentState,
    said: Vec<PaymentState>,
    returns: BTreeMap<u8, i64>,
    tries: u8,
    agent: Option<u8>,
    expires: i64,
}

impl Paid {
    fn held(&self) -> i64 {
        self.pieces.iter().map(|piece| piece.1).sum()
    }

    fn gone(&self) -> i64 {
        self.pieces.iter().map(|piece| piece.2).sum()
    }
}

#[allow(clippy::struct_excessive_bools)] // what it was given for, and what became of it
struct Promise {
    person: u8,
    cash: bool,
    to: u8,
    left: i64,
    standing: bool,
    used: bool,
    revoked: bool,
    expires: i64,
}

/// One lot: (general, key, left, held).
type ModelLot = (bool, (usize, u8), i64, i64);

#[derive(Default)]
struct Model {
    lots: BTreeMap<u8, Vec<ModelLot>>,
    states: BTreeMap<u8, Option<WalletState>>,
    promises: Vec<Promise>,
    transfers: Vec<Paid>,
    cash: Vec<Paid>,
    owed: BTreeMap<(bool, u8), i64>,
    references: Vec<u8>,
}

impl Model {
    fn stopped(&self, person: u8) -> Option<Code> {
        match self.states.get(&person).copied().flatten() {
            Some(WalletState::Blocked) => Some(Code::OutflowBlocked),
            Some(WalletState::Deceased) => Some(Code::WalletDeceased),
            Some(WalletState::Closed) => Some(Code::WalletClosed),
            _ => None,
        }
    }

    fn draw(&mut self, at: i64, authorisation: usize, tiyn: i64, cash: bool) -> Result<Paid, Code> {
        let promise = self.promises.get(authorisation).ok_or(Code::AuthorisationUnknown)?;
        if promise.cash != cash {
            return Err(Code::AuthorisationMismatch);
        }
        if promise.revoked {
            return Err(Code::AuthorisationRevoked);
        }
        if at > promise.expires {
            return Err(Code::AuthorisationExpired);
        }
        if promise.used && !promise.standing {
            return Err(Code::AuthorisationUsed);
        }
        if tiyn > promise.left {
            return Err(Code::AuthorisationExceeded);
        }
        let (person, to) = (promise.person, promise.to);
        if let Some(code) = self.stopped(person) {
            return Err(code);
        }
        let lots = self.lots.get_mut(&person).unwrap();
        if lots.iter().map(|lot| lot.2 - lot.3).sum::<i64>() < tiyn {
            return Err(Code::BalanceInsufficient);
        }
        let mut wanted = tiyn;
        let mut pieces = Vec::new();
        for general in [true, false] {
            for (place, lot) in lots.iter_mut().enumerate().filter(|(_, lot)| lot.0 == general) {
                let taken = wanted.min(lot.2 - lot.3);
                if taken > 0 {
                    lot.3 += taken;
                    wanted -= taken;
                    pieces.push((place, taken, 0));
                }
            }
        }
        let promise = &mut self.promises[authorisation];
        promise.left -= tiyn;
        promise.used = true;
        Ok(Paid {
            person,
            to,
            pieces,
            state: PaymentState::Open,
            said: vec![PaymentState::Open],
            returns: BTreeMap::new(),
            tries: 0,
            agent: None,
            expires: at + 30 * MINUTE,
        })
    }

    /// All that is held leaves.
    fn leave(lots: &mut [ModelLot], paid: &mut Paid) -> i64 {
        let mut sum = 0;
        for (place, held, gone) in &mut paid.pieces {
            lots[*place].2 -= *held;
            lots[*place].3 -= *held;
            sum += *held;
            *gone += std::mem::take(held);
        }
        paid.state = PaymentState::Settled;
        paid.said.push(PaymentState::Settled);
        sum
    }

    /// So much of what is held is free again, last drawn first.
    fn free(lots: &mut [ModelLot], paid: &mut Paid, tiyn: i64) {
        let mut wanted = tiyn;
        for (place, held, _) in paid.pieces.iter_mut().rev() {
            let back = wanted.min(*held);
            lots[*place].3 -= back;
            *held -= back;
            wanted -= back;
        }
        if paid.held() == 0 {
            paid.state = PaymentState::Returned;
        }
    }

    #[allow(clippy::match_same_arms)] // the table of `specs/ledger.md`, cell by cell
    fn answer(&mut self, transfer: usize, what: u8, tiyn: i64, reference: u8) -> Result<bool, Code> {
        use PaymentState::{Open, Returned, Sent, Settled, Unknown};
        let paid = self.transfers.get_mut(transfer).ok_or(Code::TransferUnknown)?;
        let lots = self.lots.get_mut(&paid.person).unwrap();
        let over = Err(Code::TransferEnded);
        match (what, paid.state) {
            (0, _) if paid.said.contains(&Sent) => Ok(false),
            (0, Open | Unknown) => {
                paid.state = Sent;
                paid.said.push(Sent);
                Ok(true)
            }
            (0, _) => {
                if paid.said.contains(&Settled) {
                    Ok(false)
                } else {
                    over
                }
            }
            (1, Open | Sent | Unknown) if paid.said.contains(&Unknown) => Ok(false),
            (1, Open | Sent) => {
                paid.state = Unknown;
                paid.said.push(Unknown);
                Ok(true)
            }
            (1, Settled | Returned) | (2, Returned) if what == 1 || !paid.said.contains(&Settled) => over,
            (2, Settled | Returned) => Ok(false),
            (2, _) => {
                let sum = Self::leave(lots, paid);
                *self.owed.entry((false, paid.to)).or_default() += sum;
                Ok(true)
            }
            (_, state) => {
                let all = what == 4; // the bank does not say how much
                if let Some(before) = paid.returns.get(&reference) {
                    return if all || *before == tiyn { Ok(false) } else { Err(Code::ReturnConflict) };
                }
                let most = if state.is_held() { paid.held() } else { paid.gone() };
                let back = if all { most } else { tiyn };
                if most == 0 {
                    return over;
                }
                if back > most {
                    return Err(Code::ReturnExceedsPayOut);
                }
                if state.is_held() {
                    Self::free(lots, paid, back);
                } else {
                    let owed = self.owed.entry((false, paid.to)).or_default();
                    if *owed < back {
                        return Err(Code::ClearingInsufficient);
                    }
                    *owed -= back;
                    let mut wanted = back;
                    for (place, _, gone) in paid.pieces.iter_mut().rev() {
                        let piece = wanted.min(*gone);
                        lots[*place].2 += piece;
                        *gone -= piece;
                        wanted -= piece;
                    }
                    if paid.gone() == 0 {
                        paid.state = Returned;
                    }
                }
                paid.returns.insert(reference, back);
                Ok(true)
            }
        }
    }

    fn redeem(&mut self, at: i64, cash: usize, by: u8, right: bool) -> Result<bool, Code> {
        let person = self.cash.get(cash).ok_or(Code::CashUnknown)?.person;
        let stopped = self.stopped(person).is_some();
        let paid = &mut self.cash[cash];
        match paid.state {
            PaymentState::Sent | PaymentState::Unknown => return Err(Code::CashReserved),
            PaymentState::Open if at <= paid.expires && !stopped => {}
            _ => return Err(Code::CashEnded),
        }
        if right {
            paid.state = PaymentState::Sent;
            paid.agent = Some(by);
        } else {
            paid.tries += 1;
            if paid.tries == CASH_TRIES_MAX {
                let held = paid.held();
                Self::free(self.lots.get_mut(&person).unwrap(), paid, held);
            }
        }
        Ok(right)
    }

    fn finish(&mut self, cash: usize, by: u8, what: u8) -> Result<bool, Code> {
        let paid = self.cash.get_mut(cash).ok_or(Code::CashUnknown)?;
        if paid.agent != Some(by) {
            return Err(Code::CashUnknown);
        }
        let asked = [PaymentState::Settled, PaymentState::Returned, PaymentState::Unknown][usize::from(what)];
        if paid.state == asked {
            return Ok(false);
        }
        if !paid.state.is_held() {
            return Err(Code::CashEnded);
        }
        let lots = self.lots.get_mut(&paid.person).unwrap();
        match what {
            0 => {
                let sum = Self::leave(lots, paid);
                *self.owed.entry((true, by)).or_default() += sum;
            }
            1 => {
                let held = paid.held();
                Self::free(lots, paid, held);
            }
            _ => paid.state = PaymentState::Unknown,
        }
        Ok(true)
    }

    fn end(&mut self, at: i64, cash: usize, expired: bool) -> Result<bool, Code> {
        let paid = self.cash.get_mut(cash).ok_or(Code::CashUnknown)?;
        match paid.state {
            PaymentState::Open if expired && at <= paid.expires => Err(Code::CashLifetimeOutOfRange),
            PaymentState::Open => {
                let held = paid.held();
                Self::free(self.lots.get_mut(&paid.person).unwrap(), paid, held);
                Ok(true)
            }
            PaymentState::Sent | PaymentState::Unknown => Err(Code::CashReserved),
            PaymentState::Settled | PaymentState::Returned => Err(Code::CashEnded),
        }
    }
}

/// What a step made: whether there is a new entry.
#[allow(clippy::too_many_lines)] // one arm a step, real and model side by side
fn both(
    world: &mut World,
    model: &mut Model,
    made: &mut Made,
    step: &Step,
) -> (Result<bool, Code>, Result<bool, Code>) {
    let at = world.at;
    let new = |answered: Answered| matches!(answered, Answered::Made(_));
    let named = |entries: &[u64], place: usize| entries.get(place).copied().unwrap_or(0);
    match *step {
        Step::Wait(minutes) => {
            world.at += minutes * MINUTE;
            (Ok(true), Ok(true))
        }
        Step::Accrue { person, programme, period, tiyn } => {
            let real = world.accrue(person, programme, period, tiyn).map(|_| true);
            model.states.entry(person).or_default();
            let lots = model.lots.entry(person).or_default();
            let expected = match model.states[&person] {
                Some(WalletState::Deceased) => Err(Code::WalletDeceased),
                Some(WalletState::Closed) => Err(Code::WalletClosed),
                _ if lots.iter().any(|lot| lot.1 == (programme, period)) => Err(Code::BenefitAlreadyPaid),
                _ => {
                    lots.push((programme == 0, (programme, period), tiyn, 0));
                    Ok(true)
                }
            };
            (real, expected)
        }
        Step::Authorise { person, cash, to, ceiling, standing } => {
            let real = world.authorise(person, cash, to, ceiling, standing);
            made.authorisations.extend(real.ok());
            let expected = if !model.lots.contains_key(&person) {
                Err(Code::WalletUnknown)
            } else if let Some(code) = model.stopped(person) {
                Err(code)
            } else {
                let expires = at + 60 * MINUTE;
                let (left, used, revoked) = (ceiling, false, false);
                model.promises.push(Promise { person, cash, to, left, standing, used, revoked, expires });
                Ok(true)
            };
            (real.map(|_| true), expected)
        }
        Step::Revoke(place) => {
            let authorisation = named(&made.authorisations, place);
            let real = world.run("egov", |books, entry| {
                books.revoke_authorisation(entry, Party::Channel, authorisation, reason())
            });
            let expected = match model.promises.get_mut(place) {
                None => Err(Code::AuthorisationUnknown),
                Some(promise) if promise.revoked => Err(Code::AuthorisationRevoked),
                Some(promise) => {
                    promise.revoked = true;
                    Ok(true)
                }
            };
            (real.map(|_| true), expected)
        }
        Step::Transfer { authorisation, tiyn } => {
            let real = world.transfer(named(&made.authorisations, authorisation), tiyn);
            made.transfers.extend(real.ok());
            let expected = model.draw(at, authorisation, tiyn, false);
            (real.map(|_| true), expected.map(|paid| model.transfers.push(paid)).map(|()| true))
        }
        Step::Answer { transfer, what, tiyn, reference } => {
            let all = what == 4;
            let answer = match what {
                0 => Answer::Sent,
                1 => Answer::Unknown,
                2 => Answer::Settled,
                _ => Answer::Returned {
                    amount: (!all).then(|| amount(tiyn)),
                    reference: BankReference::parse(&format!("R-{reference}")).unwrap(),
                    reason: reason(),
                },
            };
            let real = world.answer(named(&made.transfers, transfer), &answer);
            (real.map(new), model.answer(transfer, what, tiyn, reference))
        }
        Step::Cash { authorisation, tiyn } => {
            let number = made.cash.len() as u64;
            let real = world.cash(named(&made.authorisations, authorisation), tiyn, number);
            made.cash.extend(real.ok());
            let expected = model.draw(at, authorisation, tiyn, true);
            (real.map(|_| true), expected.map(|paid| model.cash.push(paid)).map(|()| true))
        }
        Step::Redeem { cash, by, right } => {
            let real = world.redeem(by, cash as u64, right);
            (real.map(|tried| matches!(tried, Tried::Reserved(_))), model.redeem(at, cash, by, right))
        }
        Step::Finish { cash, by, what } => {
            let dispensed = [Dispensed::Captured, Dispensed::Reversed, Dispensed::Unknown][usize::from(what)];
            (world.finish(by, cash as u64, dispensed).map(new), model.finish(cash, by, what))
        }
        Step::End { cash, expired } => {
            let (by, cause) = if expired {
                (Party::System, ReleaseCause::Expired)
            } else {
                (Party::Channel, ReleaseCause::Cancelled)
            };
            let entry_of = named(&made.cash, cash);
            let client = if expired { "system" } else { "egov" };
            let real = world.run(client, |books, entry| books.release_cash(entry, by, entry_of, cause));
            (real.map(|_| true), model.end(at, cash, expired))
        }
        Step::Reverse { person, programme, period } => {
            let reversal = Reversal {
                wallet: id(person),
                programme: code(programme),
                period: Period::parse(format!("2026-{:02}", period + 1).as_bytes()).unwrap(),
                part: Part::FIRST,
                reason: reason(),
            };
            let real = world.run("pipeline", |books, entry| books.reverse(entry, &reversal, None, None));
            let lots = model.lots.get_mut(&person).into_iter().flatten();
            let expected = match lots.into_iter().find(|lot| lot.1 == (programme, period)) {
                None => Err(Code::AccrualNotFound),
                Some(lot) if lot.2 == lot.3 => Err(Code::NothingToReverse),
                Some(lot) => {
                    lot.2 = lot.3; // what is held stays
                    Ok(true)
                }
            };
            (real.map(|_| true), expected)
        }
        Step::State { person, what } => {
            let (wallet, document) = (id(person), document());
            let record = match what {
                0 => StateRecord::WalletBlocked { wallet, document },
                1 => StateRecord::WalletUnblocked { wallet, document },
                2 => StateRecord::WalletDeceased { wallet, document, died: "2026-11-20".into() },
                3 => StateRecord::WalletClosed { wallet, document },
                _ => StateRecord::WalletReopened { wallet, document },
            };
            let real = world.run("operator", |books, entry| books.change_state(entry, record));
            let expected = match model.states.get(&person).copied() {
                None => Err(Code::WalletUnknown),
                Some(state) => {
                    use WalletState::{Blocked, Closed, Deceased};
                    let posted: i64 = model.lots[&person].iter().map(|lot| lot.2).sum();
                    let next = match (what, state) {
                        (4, Some(Closed)) => Ok(Some(Blocked)),
                        (4, _) | (_, Some(Closed)) | (0, Some(Blocked)) | (2, Some(Deceased)) => {
                            Err(Code::WalletStateUnchanged)
                        }
                        (0, _) => Ok(Some(Blocked)),
                        (1, Some(Blocked)) => Ok(None),
                        (1, _) => Err(Code::WalletStateUnchanged),
                        (2, _) => Ok(Some(Deceased)),
                        _ if posted > 0 => Err(Code::WalletNotEmpty),
                        _ => Ok(Some(Closed)),
                    };
                    next.map(|next| {
                        model.states.insert(person, next);
                        true
                    })
                }
            };
            (real.map(|_| true), expected)
        }
        Step::Settle { to, cash, tiyn, reference } => {
            let named = BankReference::parse(&format!("N-{reference}")).unwrap();
            let owed = if cash { Owed::Cash } else { Owed::Clearing };
            let real = world.run("operator", |books, entry| {
                books.settle_clearing(entry, bank(to), owed, Direction::Paid, amount(tiyn), named)
            });
            let sum = model.owed.entry((cash, to)).or_default();
            let expected = if model.references.contains(&reference) {
                Err(Code::BankReferenceUsed)
            } else if *sum < tiyn {
                Err(Code::ClearingInsufficient)
            } else {
                *sum -= tiyn;
                model.references.push(reference);
                Ok(true)
            };
            (real.map(|_| true), expected)
        }
    }
}

/// Entries that were made, in order.
#[derive(Default)]
struct Made {
    authorisations: Vec<u64>,
    transfers: Vec<u64>,
    cash: Vec<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Invariants 1, 2, 10, 12 and 13: whatever is requested, answered, repeated or late, the rules do what the model does: no
    /// tiyn is made, lost, or moved between lots that it did not leave, and every entry replays.
    #[test]
    fn invariants_1_2_10_12_13_lives_of_payments_match_the_model(steps in prop::collection::vec(step(), 1..90)) {
        let (mut world, mut model, mut made) = (World::new(), Model::default(), Made::default());
        for step in &steps {
            let (real, expected) = both(&mut world, &mut model, &mut made, step);
            prop_assert_eq!(real, expected, "{:?}", step);
            world.check();
            for person in 0..2 {
                let lots: Vec<_> = model.lots.get(&person).into_iter().flatten().map(|lot| (lot.2, lot.3)).collect();
                prop_assert_eq!(world.lots(person), lots, "{:?}", step);
            }
            for to in 0..2 {
                let owed = |cash| model.owed.get(&(cash, to)).copied().unwrap_or(0);
                prop_assert_eq!(world.balance(SystemAccount::Clearing(bank(to))), owed(false));
                prop_assert_eq!(world.balance(SystemAccount::Cash(bank(to))), owed(true));
            }
        }
    }
}

/// A world with one person who has 300 general and 1,000 protected tiyn, and an authorisation of 1,000 to bank 0.
fn ready() -> (World, u64) {
    let mut world = World::new();
    world.accrue(0, 1, 0, 1_000).unwrap();
    world.accrue(0, 0, 0, 300).unwrap();
    let authorisation = world.authorise(0, false, 0, 1_000, true).unwrap();
    (world, authorisation)
}

#[test]
fn invariant_12_no_time_ends_a_transfer_or_what_an_agent_has_reserved() {
    let (mut world, authorisation) = ready();
    let transfer = world.transfer(authorisation, 500).unwrap();
    world.answer(transfer, &Answer::Unknown).unwrap();
    let promise = world.authorise(0, true, 0, 100, false).unwrap();
    let cash = world.cash(promise, 100, 1).unwrap();
    world.redeem(1, 1, true).unwrap();
    world.at += 400 * 24 * 60 * MINUTE;
    let ended = world
        .run("system", |books, entry| books.release_cash(entry, Party::System, cash, ReleaseCause::Expired));
    assert_eq!(ended, Err(Code::CashReserved));
    assert_eq!(world.lots(0), [(1_000, 300), (300, 300)], "both are held for ever");
    // An operator ends either, with a document and not without.
    let by = Party::Operator;
    let settle = |world: &mut World, document: Option<Document>| {
        world.run("operator", |books, entry| {
            books.answer_transfer(entry, by, transfer, &Answer::Settled, document)
        })
    };
    assert_eq!(settle(&mut world, None), Err(Code::DocumentRequired));
    settle(&mut world, Some(document())).unwrap();
    let finish = |world: &mut World, document: Option<Document>| {
        world.run("operator", |books, entry| {
            books.finish_cash(entry, by, reference(1), Dispensed::Reversed, document)
        })
    };
    assert_eq!(finish(&mut world, None), Err(Code::DocumentRequired));
    finish(&mut world, Some(document())).unwrap();
    assert_eq!(world.lots(0), [(800, 0), (0, 0)]);
    world.check();
}

#[test]
fn invariant_13_what_comes_back_goes_to_the_lots_that_it_left_protected_money_first() {
    let (mut world, authorisation) = ready();
    let transfer = world.transfer(authorisation, 500).unwrap();
    assert_eq!(world.lots(0), [(1_000, 200), (300, 300)], "general first, then the oldest protected lot");
    let part = |tiyn, number: u8| Answer::Returned {
        amount: Some(amount(tiyn)),
        reference: BankReference::parse(&format!("R-{number}")).unwrap(),
        reason: reason(),
    };
    world.answer(transfer, &part(250, 1)).unwrap();
    assert_eq!(world.lots(0), [(1_000, 0), (300, 250)]);
    world.answer(transfer, &Answer::Settled).unwrap();
    assert_eq!(world.lots(0), [(1_000, 0), (50, 0)]);
    world.answer(transfer, &part(100, 2)).unwrap();
    assert_eq!(world.lots(0), [(1_000, 0), (150, 0)]);
    assert_eq!(world.answer(transfer, &part(151, 3)), Err(Code::ReturnExceedsPayOut));
    world.answer(transfer, &part(150, 3)).unwrap();
    assert_eq!(world.lots(0), [(1_000, 0), (300, 0)]);
    assert_eq!(world.answer(transfer, &part(1, 4)), Err(Code::TransferEnded));
}

#[test]
fn a_consent_is_for_one_authorisation() {
    let (mut world, _) = ready();
    let (at, expires) = (world.at, world.at + MINUTE);
    let consent = Consent { method: ConsentMethod::SmsCode, evidence: [9; 32], at };
    let terms = Terms { purpose: Purpose::Cash {}, ceiling: amount(1), standing: false, expires };
    let give = |world: &mut World, by: &str| {
        world.run(by, |books, entry| books.authorise(entry, id(0), terms, consent, Vec::new()))
    };
    give(&mut world, "egov").unwrap();
    assert_eq!(give(&mut world, "egov"), Err(Code::ConsentUsed));
    give(&mut world, "1414").unwrap();
}

#[test]
fn what_was_said_is_answered_with_its_own_entry_and_said_once() {
    let (mut world, authorisation) = ready();
    let transfer = world.transfer(authorisation, 500).unwrap();
    let sent = world.answer(transfer, &Answer::Sent).unwrap();
    let Answered::Made(sent) = sent else { panic!("new") };
    let part = Answer::Returned {
        amount: Some(amount(100)),
        reference: BankReference::parse("R-1").unwrap(),
        reason: reason(),
    };
    world.answer(transfer, &part).unwrap();
    assert_eq!(world.answer(transfer, &Answer::Sent), Ok(Answered::Repeated(sent)), "not the return's");
    let Ok(Answered::Made(unknown)) = world.answer(transfer, &Answer::Unknown) else { panic!("new") };
    for _ in 0..3 {
        assert_eq!(world.answer(transfer, &Answer::Sent), Ok(Answered::Repeated(sent)));
        assert_eq!(world.answer(transfer, &Answer::Unknown), Ok(Answered::Repeated(unknown)));
    }
    let Ok(Answered::Made(settled)) = world.answer(transfer, &Answer::Settled) else { panic!("new") };
    let back = Answer::Returned {
        amount: Some(amount(50)),
        reference: BankReference::parse("R-2").unwrap(),
        reason: reason(),
    };
    world.answer(transfer, &back).unwrap();
    assert_eq!(world.answer(transfer, &Answer::Settled), Ok(Answered::Repeated(settled)));
}

#[test]
fn a_payment_takes_money_of_as_many_accruals_as_a_leaf_has_room_for() {
    let mut world = World::new();
    let opened = Person { tag: [0; 32], sealed_iin: Vec::new() };
    world.run("pipeline", |books, entry| books.open_wallet(entry, id(0), opened)).unwrap();
    let accrue = |world: &mut World, parts: std::ops::Range<u16>| {
        for number in parts {
            let (period, part) = (Period::Once, Part::new(number).unwrap());
            let accrual = Accrual { wallet: id(0), programme: code(1), period, part, amount: amount(2) };
            world.run("pipeline", |books, entry| books.accrue(entry, &accrual, None, None, None)).unwrap();
        }
    };
    accrue(&mut world, 1..301);
    let most = i64::try_from(LOTS_MAX).unwrap() * 2;
    let authorisation = world.authorise(0, false, 0, 10_000, true).unwrap();
    assert_eq!(world.transfer(authorisation, most + 1), Err(Code::LotsTooMany));
    let transfer = world.transfer(authorisation, most).unwrap();
    world.answer(transfer, &Answer::Settled).unwrap();
    let back = Answer::Returned {
        amount: None,
        reference: BankReference::parse(&"ж".repeat(64)).unwrap(),
        reason: Reason::parse(&"ж".repeat(300)).unwrap(),
    };
    world.answer(transfer, &back).unwrap();
    assert!(world.longest_leaf < 65_535 / 2, "a leaf has room: {}", world.longest_leaf);
    world.transfer(authorisation, most - 1).unwrap();
}

#[test]
fn a_transfer_comes_back_in_as_many_parts_as_may_be_and_what_was_said_is_answered_beyond() {
    let (mut world, authorisation) = ready();
    let transfer = world.transfer(authorisation, 500).unwrap();
    world.answer(transfer, &Answer::Settled).unwrap();
    let part = |number: usize| Answer::Returned {
        amount: Some(amount(1)),
        reference: BankReference::parse(&format!("R-{number}")).unwrap(),
        reason: reason(),
    };
    for number in 1..=RETURNS_MAX {
        assert!(matches!(world.answer(transfer, &part(number)), Ok(Answered::Made(_))), "{number}");
    }
    assert_eq!(world.answer(transfer, &part(RETURNS_MAX + 1)), Err(Code::ReturnsTooMany));
    assert!(matches!(world.answer(transfer, &part(RETURNS_MAX)), Ok(Answered::Repeated(_))));
    world.check();
}

#[test]
fn a_transfer_says_what_money_it_takes_by_programme_and_class() {
    let (mut world, authorisation) = ready();
    world.accrue(0, 2, 0, 50).unwrap();
    world.accrue(0, 1, 1, 40).unwrap();
    // 300 general, 1,000 and 40 of ASP, 50 of BIRTH; the newest lot is not reached.
    let other = world.authorise(0, false, 0, 10_000, false).unwrap();
    world.transfer(other, 1_380).unwrap();
    let Some(Record::Payment(record)) = world.written.last() else { panic!("a payment") };
    let super::payment::PaymentRecord::TransferRequested { split, shares, .. } = &**record else {
        panic!("a request")
    };
    let portions: Vec<_> =
        split.iter().map(|part| (part.programme, part.class, part.amount.tiyn())).collect();
    let (general, protected) = (FundClass::General, FundClass::Protected);
    assert_eq!(portions, [(code(0), general, 300), (code(1), protected, 1_030), (code(2), protected, 50)]);
    assert_eq!(shares.iter().map(|share| share.amount.tiyn()).collect::<Vec<_>>(), [300, 1_000, 50, 30]);
    assert_eq!(world.transfer(authorisation, 11), Err(Code::BalanceInsufficient), "10 are not held");
    world.transfer(authorisation, 10).unwrap();
}

#[test]
fn what_is_owed_is_settled_once_under_a_reference_and_covers_what_comes_back() {
    let (mut world, authorisation) = ready();
    let transfer = world.transfer(authorisation, 500).unwrap();
    world.answer(transfer, &Answer::Settled).unwrap();
    let settle = |world: &mut World, direction, tiyn, named: &str| {
        let named = BankReference::parse(named).unwrap();
        world.run("operator", |books, entry| {
            books.settle_clearing(entry, bank(0), Owed::Clearing, direction, amount(tiyn), named)
        })
    };
    assert_eq!(settle(&mut world, Direction::Paid, 501, "N-1"), Err(Code::ClearingInsufficient));
    settle(&mut world, Direction::Paid, 400, "N-1").unwrap();
    assert_eq!(settle(&mut world, Direction::Paid, 1, "N-1"), Err(Code::BankReferenceUsed));
    let back = |tiyn, reference: &str| Answer::Returned {
        amount: Some(amount(tiyn)),
        reference: BankReference::parse(reference).unwrap(),
        reason: reason(),
    };
    assert_eq!(world.answer(transfer, &back(101, "R-1")), Err(Code::ClearingInsufficient), "100 are owed");
    world.answer(transfer, &back(100, "R-1")).unwrap();
    settle(&mut world, Direction::Received, 400, "N-2").unwrap();
    world.answer(transfer, &back(400, "R-2")).unwrap();
    assert_eq!(world.balance(SystemAccount::Clearing(bank(0))), 0);
    world.check();
}

#[test]
fn the_fifth_wrong_code_releases_once_and_the_right_one_comes_too_late() {
    let (mut world, _) = ready();
    let promise = world.authorise(0, true, 0, 100, false).unwrap();
    world.cash(promise, 100, 1).unwrap();
    for tried in 1..=CASH_TRIES_MAX {
        assert!(matches!(world.redeem(0, 1, false), Ok(Tried::Wrong(_))), "{tried}");
        let held: i64 = world.lots(0).iter().map(|lot| lot.1).sum();
        assert_eq!(held, if tried < CASH_TRIES_MAX { 100 } else { 0 }, "{tried}");
    }
    assert_eq!(world.redeem(0, 1, true), Err(Code::CashEnded));
    assert_eq!(world.redeem(0, 1, false), Err(Code::CashEnded));
}

#[test]
fn a_limit_of_the_day_lets_through_what_is_at_it_and_begins_anew_with_the_next_day() {
    let limits = Limits {
        wallet_day_amount: crate::domain::Money::from_tiyn(600).unwrap(),
        wallet_day_count: 3,
        channel_day_amount: crate::domain::Money::from_tiyn(700).unwrap(),
        cash_amount: crate::domain::Money::from_tiyn(100).unwrap(),
        cash_day_amount: crate::domain::Money::from_tiyn(150).unwrap(),
        tries_terminal_day: 2,
        ..Limits::DEFAULT
    };
    let (mut world, authorisation) = ready();
    world.accrue(1, 1, 0, 1_000).unwrap();
    world.run("operator", |books, entry| books.set_limits(entry, limits)).unwrap();
    assert_eq!(world.transfer(authorisation, 601), Err(Code::WalletLimitExceeded));
    world.transfer(authorisation, 399).unwrap();
    assert_eq!(world.transfer(authorisation, 202), Err(Code::WalletLimitExceeded), "limit + 1");
    world.transfer(authorisation, 200).unwrap();
    world.transfer(authorisation, 1).unwrap();
    let other = world.authorise(1, false, 1, 1_000, true).unwrap();
    assert_eq!(world.transfer(other, 101), Err(Code::ChannelLimitExceeded), "limit + 1");
    world.transfer(other, 99).unwrap();
    world.transfer(other, 1).unwrap();
    assert_eq!(world.transfer(other, 1), Err(Code::ChannelLimitExceeded));
    world.at += 24 * 60 * MINUTE;
    let cash = |world: &mut World, tiyn, number| {
        let promise = world.authorise(1, true, 0, 1_000, false).unwrap();
        world.cash(promise, tiyn, number)
    };
    assert_eq!(cash(&mut world, 101, 1), Err(Code::CashLimitExceeded));
    cash(&mut world, 100, 1).unwrap();
    assert_eq!(cash(&mut world, 51, 2), Err(Code::CashLimitExceeded));
    cash(&mut world, 50, 2).unwrap();
    assert_eq!(cash(&mut world, 1, 3), Err(Code::CashLimitExceeded));
    world.redeem(0, 1, false).unwrap();
    world.redeem(0, 2, false).unwrap();
    assert_eq!(world.redeem(0, 1, true), Err(Code::CashTriesExceeded), "also the right code");
    // The number of payments of a wallet.
    world.at += 24 * 60 * MINUTE;
    let again = world.authorise(0, false, 0, 100, true).unwrap();
    for _ in 0..3 {
        world.transfer(again, 1).unwrap();
    }
    assert_eq!(world.transfer(again, 1), Err(Code::WalletLimitExceeded));
}

#[test]
fn an_authorisation_is_for_whom_it_names_and_for_as_long_as_it_says() {
    let (mut world, authorisation) = ready();
    let by = |world: &mut World, client: &str, by: Party| {
        world.run(client, |books, entry| books.request_transfer(entry, by, authorisation, amount(1)))
    };
    assert_eq!(by(&mut world, "bank", Party::Bank(bank(1))), Err(Code::AuthorisationUnknown), "another bank");
    assert_eq!(by(&mut world, "1414", Party::Channel), Err(Code::AuthorisationUnknown), "another channel");
    assert_eq!(by(&mut world, "operator", Party::Operator), Err(Code::AuthorisationUnknown));
    by(&mut world, "bank", Party::Bank(bank(0))).unwrap();
    world.at += 60 * MINUTE;
    by(&mut world, "egov", Party::Channel).unwrap();
    world.at += 1;
    assert_eq!(by(&mut world, "egov", Party::Channel), Err(Code::AuthorisationExpired));
    let wallet = world.books.wallet(id(0)).unwrap().unwrap();
    assert_eq!(wallet.state, WalletState::Active, "the holder's first act");
}

#[test]
fn a_cash_out_stands_for_15_to_60_minutes_and_a_consent_for_a_day() {
    let (mut world, _) = ready();
    let promise = world.authorise(0, true, 0, 1_000, true).unwrap();
    for (minutes, extra, expected) in
        [(15, -1, false), (15, 0, true), (15, 1, true), (60, -1, true), (60, 0, true), (60, 1, false)]
    {
        let expires = world.at + minutes * MINUTE + extra;
        let number = u64::try_from(minutes * 10 + extra).unwrap();
        let made = world.run("egov", |books, entry| {
            books.create_cash(entry, promise, amount(1), reference(number), [1; 32], expires)
        });
        assert_eq!(made.is_ok(), expected, "{minutes} minutes and {extra} ms: {made:?}");
    }
    let day = 24 * 60 * MINUTE;
    for (age, lifetime, expected) in [
        (day, 1, Ok(())),
        (day + 1, 1, Err(Code::ConsentOutsideWindow)),
        (-30_000, 1, Ok(())),
        (-30_001, 1, Err(Code::ConsentOutsideWindow)),
        (0, 0, Err(Code::AuthorisationTooLong)),
        (0, 366 * day, Ok(())),
        (0, 366 * day + 1, Err(Code::AuthorisationTooLong)),
    ] {
        let evidence = world.evidence();
        let consent = Consent { method: ConsentMethod::Session, evidence, at: world.at - age };
        let terms = Terms {
            purpose: Purpose::Cash {},
            ceiling: amount(1),
            standing: false,
            expires: world.at + lifetime,
        };
        let given =
            world.run("egov", |books, entry| books.authorise(entry, id(0), terms, consent, Vec::new()));
        assert_eq!(given.map(drop), expected, "{age} {lifetime}");
    }
}
