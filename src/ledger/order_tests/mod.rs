//! Orders against wallets: every row of the rules, their limits, their arithmetic, and random histories, each replayed entry by
//! entry from the leaves that it would leave behind.

mod example;
mod histories;
mod holding;
mod intake;
mod limits;
mod merging;
mod taking;

use std::collections::BTreeMap;

use super::account::SystemAccount;
use super::books::{Books, Fault};
use super::effects::Effects;
use super::order::{Decision, Mode, Order, OrderRecord, Outcome, Overpaid, RuleTable, TaxDebt};
use super::order_rules::Intake;
use super::payment::{Consent, ConsentMethod, Purpose, Terms};
use super::payment_rules::{Answered, Party};
use super::record::{Actor, ProgrammeSpec, Record};
use super::refusal::RefusalCode as Code;
use super::registry::{Founder, Proposal};
use super::replay::Replay;
use super::rules::{Accrual, Entry, Person};
use super::wallet::Wallet;
use crate::domain::time::Stamp;
use crate::domain::{
    Amount, BankReference, Bic, Bin, ClientId, DestinationForm, FundClass, Issuer, LastFour, LegalBasis,
    Names, OrderKind, Part, Period, ProgrammeCode, PublicKey, Role, Scope, Text, WalletId,
};

const START: i64 = 1_795_294_280_123;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Clients that issue orders, and what each is in law.
const ISSUERS: [(&str, Issuer); 7] = [
    ("bailiff", Issuer::Bailiff),
    ("tax", Issuer::TaxAuthority),
    ("bank-claims", Issuer::Bank),
    ("collector", Issuer::Creditor),
    ("ministry", Issuer::PayingBody),
    ("police", Issuer::Investigator),
    ("bailiff-2", Issuer::Bailiff),
];

/// Programmes: the first two are protected, the others general.
const PROGRAMMES: [&str; 4] = ["ASP", "BIRTH", "BONUS", "WAGES"];

/// The programmes' payer, which is the ministry.
const PAYER: &[u8] = b"940140000385";

fn bin(place: usize) -> Bin {
    if ISSUERS[place].1 == Issuer::PayingBody {
        return Bin::parse(PAYER).unwrap();
    }
    // The numbers of BINs follow the rule of IINs.
    let prefix = |serial: u8| [9, 6, 1, 1, 4, 1, 0, 0, 0, u8::try_from(place).unwrap(), serial];
    let number = (0..10).find_map(|serial| crate::domain::Iin::from_prefix(prefix(serial))).unwrap();
    Bin::parse(number.expose().as_bytes()).unwrap()
}

fn id(person: u8) -> WalletId {
    WalletId::from_uuid(uuid::Uuid::from_u128(u128::from(person) + 1))
}

fn amount(tiyn: i64) -> Amount {
    Amount::from_tiyn(tiyn).unwrap()
}

fn code(programme: usize) -> ProgrammeCode {
    ProgrammeCode::parse(PROGRAMMES[programme].as_bytes()).unwrap()
}

fn period(number: u8) -> Period {
    Period::parse(format!("2026-{:02}", number + 1).as_bytes()).unwrap()
}

fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

/// The tag of an issuer's document.
fn tag(by: &str, number: u8) -> [u8; 32] {
    let place = ISSUERS.iter().position(|(name, _)| *name == by).unwrap();
    let mut tag = [0xAA; 32];
    (tag[0], tag[1]) = (u8::try_from(place).unwrap(), number);
    tag
}

/// An order that asks for nothing yet.
fn order(by: &str, number: u8, kind: OrderKind, person: u8) -> Order {
    Order {
        order: tag(by, number),
        order_kind: kind,
        debtor: [person; 32],
        enforcement_document: [1; 32],
        purpose: [2; 32],
        amount: None,
        expires: None,
        debt: None,
        overpaid: None,
        lifts: None,
    }
}

impl Order {
    fn of(self, tiyn: i64) -> Self {
        Self { amount: Some(amount(tiyn)), ..self }
    }

    fn until(self, at: i64) -> Self {
        Self { expires: Some(at), ..self }
    }

    fn for_debt(self, number: u8, met_elsewhere: bool) -> Self {
        Self { debt: Some(TaxDebt { tag: [number; 32], met_elsewhere }), ..self }
    }

    fn of_accrual(self, programme: usize, number: u8) -> Self {
        Self {
            overpaid: Some(Overpaid {
                programme: code(programme),
                period: period(number),
                part: Part::FIRST,
            }),
            ..self
        }
    }

    fn lifting(self, by: &str, number: u8) -> Self {
        Self { lifts: Some(tag(by, number)), ..self }
    }
}

fn intake(said: Order) -> Intake {
    let wallet = Some(id(said.debtor[0]));
    Intake { said: Ok(said), wallet, sealed: vec![1, 2, 3], line: None }
}

/// Books with clients that hold everything, a clock, and a replay that must let through whatever the rules did.
struct World {
    books: Books,
    replay: Replay,
    at: i64,
    /// What the last command wrote.
    written: Vec<Record>,
    /// Bytes of the longest leaf so far.
    longest_leaf: usize,
}

impl World {
    /// A book whose wallets are containers: nothing in it is general.
    fn container() -> Self {
        let mut world = Self {
            books: Books::whole(),
            replay: Replay::default(),
            at: START,
            written: Vec::new(),
            longest_leaf: 0,
        };
        let open = |books: &mut Books, entry: Entry<'_>| {
            books.open_book(entry);
            Ok(())
        };
        world.run("setup", open).unwrap();
        let key = |number: u8| {
            let secret = ed25519_dalek::SigningKey::from_bytes(&[number; 32]);
            PublicKey::from_bytes(secret.verifying_key().to_bytes()).unwrap()
        };
        let operators = [("a", 1), ("b", 2)]
            .map(|(name, number)| Founder { client: client(name), public_key: key(number) });
        world.run("setup", |books, entry| books.bootstrap(entry, operators.to_vec())).unwrap();
        for (place, (name, issuer)) in ISSUERS.into_iter().enumerate() {
            let (role, bin, issuer) = (Role::Authority, Some(bin(place)), Some(issuer));
            world
                .agree(Proposal::RegisterClient { client: client(name), role, bin, bic: None, issuer })
                .unwrap();
        }
        let egov = |books: &mut Books, entry: Entry<'_>| {
            books.register_client(entry, client("egov"), Role::Channel, Scope::Book)
        };
        world.run("a", egov).unwrap();
        let halyk = Scope::Bank(Bic::parse(b"HSBKKZKX").unwrap());
        world
            .run("a", |books, entry| books.register_client(entry, client("halyk"), Role::Bank, halyk))
            .unwrap();
        for programme in 0..2 {
            world.register(programme, FundClass::Protected).unwrap();
        }
        world
    }

    /// A book in which money may be general, as its rules say.
    fn mixed() -> Self {
        let mut world = Self::container();
        world.set_rules(RuleTable { mode: Mode::Mixed, ..RuleTable::shipped() }).unwrap();
        for programme in 2..4 {
            world.register(programme, FundClass::General).unwrap();
        }
        world
    }

    fn run<T>(
        &mut self,
        by: &str,
        rule: impl FnOnce(&mut Books, Entry<'_>) -> Result<T, Fault>,
    ) -> Result<T, Code> {
        let actor = Actor { client: client(by), request: [0; 32], line: None, instruction: None };
        let stamp = Stamp::of(self.at).unwrap();
        let mut fx = Effects::default();
        let size = self.books.size;
        let outcome = rule(&mut self.books, Entry { fx: &mut fx, stamp, actor });
        assert_eq!(self.books.size - size, fx.records.len() as u64);
        let mut again = Effects::default();
        for (record, actor) in fx.records.clone() {
            let book = crate::domain::BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap();
            let mut writer = crate::log::leaf::LeafWriter::new(book, &[9; 32]);
            writer.stamp(stamp);
            let mut leaf = Vec::new();
            writer.write(&mut leaf, self.replay.books.size, &record, &actor);
            self.longest_leaf = self.longest_leaf.max(leaf.len());
            let read = crate::log::leaf::Leaf::read(&leaf).unwrap();
            assert_eq!(read.record().unwrap(), record, "a leaf tells the record");
            // Invariant 14: the decision is made again of what the leaf tells, and of nothing else.
            self.replay.apply(&mut again, stamp, read.actor().unwrap(), read.record().unwrap()).unwrap();
        }
        self.replay.finish().unwrap();
        for row in &mut fx.orders {
            row.sealed.clear(); // it is beside the journal, and no replay has it
        }
        for row in &mut fx.authorisations {
            row.sealed_destination.clear();
        }
        assert_eq!(fx, again, "invariant 10: a replay writes the same rows");
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

    /// What two operators do.
    fn agree(&mut self, proposal: Proposal) -> Result<u64, Code> {
        let digest = proposal.digest();
        let approval = self.run("a", |books, entry| books.request_approval(entry, proposal))?;
        self.run("b", |books, Entry { fx, stamp, actor }| {
            let proposal = books.give_approval(Entry { fx, stamp, actor }, approval, digest)?;
            books.carry_out(Entry { fx, stamp, actor }, proposal, Vec::new())
        })
    }

    fn set_rules(&mut self, rules: RuleTable) -> Result<u64, Code> {
        self.agree(Proposal::SetRules { rules: Box::new(rules) })
    }

    fn register(&mut self, programme: usize, class: FundClass) -> Result<u64, Code> {
        let name = |text| Text::parse(text).unwrap();
        let spec = ProgrammeSpec {
            code: code(programme),
            names: Names { kk: name("А"), ru: name("А"), en: name("A") },
            payer: Bin::parse(PAYER).unwrap(),
            legal_basis: LegalBasis::parse("law").unwrap(),
            class,
            knp: None,
            kbe: None,
            iso_purpose: None,
        };
        self.run("ministry", |books, entry| books.register_programme(entry, spec))?;
        let bank_reference = BankReference::parse(&format!("placed {programme}")).unwrap();
        let (programme, amount) = (code(programme), amount(100_000_000_000));
        self.agree(Proposal::Fund { programme, amount, bank_reference })
    }

    /// Pays a benefit, opening the wallet first.
    fn accrue(&mut self, person: u8, programme: usize, number: u8, tiyn: i64) -> Result<u64, Code> {
        self.accrue_part(person, programme, number, 1, tiyn)
    }

    fn accrue_part(
        &mut self,
        person: u8,
        programme: usize,
        number: u8,
        part: u16,
        tiyn: i64,
    ) -> Result<u64, Code> {
        if self.books.wallet(id(person)).unwrap().is_none() {
            let opened = Person { tag: [person; 32], sealed_iin: Vec::new() };
            self.run("pipeline", |books, entry| books.open_wallet(entry, id(person), opened)).unwrap();
        }
        let accrual = Accrual {
            wallet: id(person),
            programme: code(programme),
            period: period(number),
            part: Part::new(part).unwrap(),
            amount: amount(tiyn),
        };
        self.run("pipeline", |books, entry| books.accrue(entry, &accrual, None, None, None))
    }

    /// Hands an order in.
    fn send(&mut self, by: &str, said: Order) -> Result<Answered, Code> {
        self.run(by, |books, entry| books.decide_order(entry, intake(said)))
    }

    /// Hands a new order in; what becomes of it.
    fn decide(&mut self, by: &str, said: Order) -> Decision {
        let answered = self.send(by, said).unwrap();
        assert!(matches!(answered, Answered::Made(_)), "{answered:?}");
        match self.written.last() {
            Some(Record::Order(record)) => match record.as_ref() {
                OrderRecord::Decided(decision) => (**decision).clone(),
                other => panic!("no decision: {other:?}"),
            },
            other => panic!("no order: {other:?}"),
        }
    }

    fn outcome(&mut self, by: &str, said: Order) -> Outcome {
        self.decide(by, said).outcome
    }

    fn expire(&mut self, order: u64) -> Result<u64, Code> {
        self.run("system", |books, entry| books.expire_order(entry, order))
    }

    /// Requests a transfer that its holder has authorised: its money is held.
    fn transfer(&mut self, person: u8, tiyn: i64) -> Result<u64, Code> {
        let mut evidence = [7; 32];
        evidence[..8].copy_from_slice(&self.books.size.to_be_bytes());
        let purpose = Purpose::Transfer {
            bank: Bic::parse(b"HSBKKZKX").unwrap(),
            form: DestinationForm::Card,
            last_four: LastFour::parse("4242").unwrap(),
            destination: [1; 32],
        };
        let (at, expires) = (self.at, self.at + 60 * MINUTE);
        let consent = Consent { method: ConsentMethod::SmsCode, evidence, at };
        let terms = Terms { purpose, ceiling: amount(tiyn), standing: false, expires };
        let authorisation =
            self.run("egov", |books, entry| books.authorise(entry, id(person), terms, consent, vec![1]))?;
        self.run("egov", |books, entry| {
            books.request_transfer(entry, Party::Channel, authorisation, amount(tiyn))
        })
    }

    fn wallet(&mut self, person: u8) -> Wallet {
        self.books.wallet(id(person)).unwrap().unwrap()
    }

    /// What a wallet holds of protected money, and what of it is held.
    fn protected(&mut self, person: u8) -> (i64, i64) {
        let Some(wallet) = self.books.wallet(id(person)).unwrap() else { return (0, 0) };
        (wallet.posted - wallet.general, wallet.held - wallet.general_held)
    }

    fn levied(&self, place: usize) -> i64 {
        self.balance(SystemAccount::Levy(bin(place)))
    }

    fn balance(&self, account: SystemAccount) -> i64 {
        let head = self.books.system_accounts().iter().find(|head| head.account == account);
        head.map_or(0, super::books::SystemHead::balance)
    }

    /// Invariants 1 and 2, and that what is held is held by payments and by orders that stand.
    fn check(&mut self) {
        let heads = self.books.system_accounts().iter().filter(|head| !head.account.is_memorandum());
        assert_eq!(heads.map(super::books::SystemHead::balance).sum::<i64>(), 0, "invariant 1");
        let mut holds: BTreeMap<WalletId, i64> = BTreeMap::new();
        for payment in self.books.payments.values() {
            *holds.entry(payment.wallet).or_default() += payment.held();
        }
        let mut frozen: BTreeMap<WalletId, bool> = BTreeMap::new();
        for known in self.books.orders.known.values().filter(|known| known.stands()) {
            let wallet = known.decision.wallet.unwrap();
            *holds.entry(wallet).or_default() += known.drawn.iter().map(|drawn| drawn.1).sum::<i64>();
            *frozen.entry(wallet).or_default() |= known.decision.said.order_kind == OrderKind::Freeze;
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
            let general = lots.iter().filter(|lot| lot.class == FundClass::General);
            assert_eq!(general.map(|lot| lot.remaining).sum::<i64>(), wallet.general);
            assert_eq!(lots.iter().map(|lot| lot.held).sum::<i64>(), wallet.held);
            assert_eq!(wallet.held, holds.get(&id).copied().unwrap_or(0), "what is held, somebody holds");
            assert_eq!(
                wallet.frozen,
                frozen.get(&id).copied().unwrap_or(false),
                "who is frozen, a freeze stands on"
            );
        }
    }
}
