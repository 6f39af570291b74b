//! A book written by the real rules, with placeholders for the log's bytes: what a store must keep.

use social_wallet::domain::time::Stamp;
use social_wallet::domain::{
    Amount, BankReference, BatchId, Bic, Bin, BookId, ClientId, DestinationForm, FundClass, Iin, IsoPurpose,
    Kbe, KeyId, Knp, LastFour, LegalBasis, Money, Names, Part, Period, ProgrammeCode, PublicKey, Reason,
    Text, WalletId,
};
use social_wallet::ledger::batch_rules::{Chunk, ChunkLine, People};
use social_wallet::ledger::books::Books;
use social_wallet::ledger::effects::Effects;
use social_wallet::ledger::payment::{
    CashReference, Consent, ConsentMethod, Document, Purpose, Terminal, Terms,
};
use social_wallet::ledger::payment_rules::{Answer as TransferAnswer, Party};
use social_wallet::ledger::record::{Actor, BatchDeclaration, ProgrammeSpec};
use social_wallet::ledger::registry::{Founder, Proposal};
use social_wallet::ledger::rules::{Accrual, Entry, Person, Reversal};
use social_wallet::ledger::signed::{Evidence, Nonce};
use social_wallet::payroll::{AccrualLine, Line, LineKind, ParsedLine};
use social_wallet::store::{Bundle, Commit, FixedCheckpoint, Head, PublishedCheckpoint, Store, Tile};
use uuid::Uuid;

/// The time of the first commit.
pub const START: i64 = 1_790_000_000_000;

/// A book, and everything that was written to it.
pub struct Book {
    pub books: Books,
    pub head: Head,
    pub at: i64,
    pub commits: Vec<Commit>,
    nonces: u128,
}

/// What one commit gathers.
pub struct Draft<'a> {
    pub books: &'a mut Books,
    fx: Effects,
    stamp: Stamp,
}

pub fn book_id() -> BookId {
    BookId::from_uuid(Uuid::from_u128(0xB00C))
}

pub fn wallet_id(person: u32) -> WalletId {
    WalletId::from_uuid(Uuid::from_u128(0x1234_0000_0000_0000_0000 + u128::from(person)))
}

pub fn person(number: u32) -> Person {
    let mut tag = [7; 32];
    tag[..4].copy_from_slice(&number.to_be_bytes());
    Person { tag, sealed_iin: [b"sealed".as_slice(), &number.to_be_bytes()].concat() }
}

pub fn code(text: &str) -> ProgrammeCode {
    ProgrammeCode::parse(text.as_bytes()).unwrap()
}

pub fn month(number: u8) -> Period {
    Period::month(2026, number).unwrap()
}

pub fn amount(tiyn: i64) -> Amount {
    Amount::from_tiyn(tiyn).unwrap()
}

pub fn bank() -> Bic {
    Bic::parse(b"CASPKZKA").unwrap()
}

pub fn batch_id(number: u128) -> BatchId {
    BatchId::from_uuid(Uuid::from_u128(0xBA7C_0000 + number))
}

pub fn spec(text: &str, class: FundClass) -> ProgrammeSpec {
    let name = |language: &str| Text::parse(&format!("{text} ({language})")).unwrap();
    let general = class == FundClass::General;
    ProgrammeSpec {
        code: code(text),
        names: Names { kk: name("қазақша"), ru: name("по-русски"), en: name("in English") },
        payer: Bin::parse(b"940140000385").unwrap(),
        legal_basis: LegalBasis::parse("Social Code, art. 120").unwrap(),
        class,
        knp: general.then(|| Knp::parse(b"026").unwrap()),
        kbe: general.then(|| Kbe::parse(b"19").unwrap()),
        iso_purpose: general.then(|| IsoPurpose::parse(b"SSBE").unwrap()),
    }
}

pub fn client(name: &str) -> ClientId {
    ClientId::parse(name).unwrap()
}

pub fn actor(instruction: Option<u8>) -> Actor {
    let instruction = instruction.map(|number| [number; 16]);
    Actor { client: client("ministry"), request: [5; 32], line: None, instruction }
}

/// The public key of a small secret.
pub fn public_key(number: u8) -> PublicKey {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[number; 32]);
    PublicKey::from_bytes(secret.verifying_key().to_bytes()).unwrap()
}

/// Two operators with the keys 1 and 2.
pub fn founders() -> Vec<Founder> {
    let founder = |(name, number)| Founder { client: client(name), public_key: public_key(number) };
    [("op-a", 1), ("op-b", 2)].map(founder).to_vec()
}

struct Nobody;

impl People for Nobody {
    fn person(&self, _: &Iin, _: WalletId) -> Person {
        person(u32::MAX)
    }
}

impl Draft<'_> {
    fn entry(&mut self, instruction: Option<u8>) -> (&mut Books, Entry<'_>) {
        (self.books, Entry { fx: &mut self.fx, stamp: self.stamp, actor: actor(instruction) })
    }

    /// Runs a rule for a client.
    pub fn run_as<T>(&mut self, name: &str, rule: impl FnOnce(&mut Books, Entry<'_>) -> T) -> T {
        let (books, mut entry) = self.entry(None);
        entry.actor.client = client(name);
        rule(books, entry)
    }

    pub fn open_book(&mut self) {
        let (books, entry) = self.entry(None);
        books.open_book(entry);
    }

    pub fn register(&mut self, text: &str, class: FundClass) {
        let (books, entry) = self.entry(Some(text.as_bytes()[0]));
        books.register_programme(entry, spec(text, class)).unwrap();
    }

    pub fn fund(&mut self, programme: &str, tiyn: i64) {
        let (books, entry) = self.entry(None);
        let reference = BankReference::parse(&format!("ref-{}", books.size)).unwrap();
        books.fund(entry, code(programme), amount(tiyn), reference).unwrap();
    }

    pub fn open(&mut self, number: u32) {
        let (books, entry) = self.entry(None);
        books.open_wallet(entry, wallet_id(number), person(number)).unwrap();
    }

    pub fn accrue(&mut self, number: u32, programme: &str, period: Period, part: u16, tiyn: i64) -> u64 {
        let (books, entry) = self.entry(None);
        let part = Part::new(part).unwrap();
        let wallet = wallet_id(number);
        let accrual = Accrual { wallet, programme: code(programme), period, part, amount: amount(tiyn) };
        books.accrue(entry, &accrual, None, None, Some(&|| person(number))).unwrap()
    }

    pub fn reverse(&mut self, number: u32, programme: &str, period: Period, part: u16) -> u64 {
        let (books, entry) = self.entry(None);
        let (wallet, programme, part) = (wallet_id(number), code(programme), Part::new(part).unwrap());
        let reason = Reason::parse("paid by mistake").unwrap();
        books.reverse(entry, &Reversal { wallet, programme, period, part, reason }, None, None).unwrap()
    }

    pub fn pay_out(&mut self, number: u32, tiyn: i64) -> u64 {
        let (books, entry) = self.entry(None);
        books.pay_out(entry, wallet_id(number), bank(), amount(tiyn)).unwrap()
    }

    /// A holder authorises transfers to a card, or cash.
    pub fn authorise(&mut self, number: u32, cash: bool, tiyn: i64) -> u64 {
        let at = self.stamp.at;
        let (form, last_four) = (DestinationForm::Card, LastFour::parse("4242").unwrap());
        let transfer = Purpose::Transfer { bank: bank(), form, last_four, destination: [6; 32] };
        let purpose = if cash { Purpose::Cash {} } else { transfer };
        let terms = Terms { purpose, ceiling: amount(tiyn), standing: true, expires: at + 3_600_000 };
        let evidence = [u8::from(cash); 32];
        let consent = Consent { method: ConsentMethod::Session, evidence, at };
        let sealed = if cash { Vec::new() } else { vec![9; 40] };
        let (books, entry) = self.entry(None);
        books.authorise(entry, wallet_id(number), terms, consent, sealed).unwrap()
    }

    pub fn transfer(&mut self, authorisation: u64, tiyn: i64) -> u64 {
        let (books, entry) = self.entry(None);
        books.request_transfer(entry, Party::Bank(bank()), authorisation, amount(tiyn)).unwrap()
    }

    pub fn answer(&mut self, transfer: u64, answer: &TransferAnswer) {
        let (books, entry) = self.entry(None);
        books.answer_transfer(entry, Party::Bank(bank()), transfer, answer, None).unwrap();
    }

    pub fn cash(&mut self, authorisation: u64, tiyn: i64, reference: CashReference) -> u64 {
        let expires = self.stamp.at + 1_800_000;
        let (books, entry) = self.entry(None);
        books.create_cash(entry, authorisation, amount(tiyn), reference, [4; 32], expires).unwrap()
    }

    pub fn redeem(&mut self, reference: CashReference, right: bool) {
        let (attempt, terminal) = ([if right { 4 } else { 0 }; 32], Terminal::parse("ATM-1").unwrap());
        let (books, entry) = self.entry(None);
        books.redeem_cash(entry, bank(), reference, &attempt, terminal).unwrap();
    }

    /// A holder chooses where all benefits go: on under an authorisation.
    pub fn choose(&mut self, number: u32, authorisation: u64) {
        let consent = Consent { method: ConsentMethod::Session, evidence: [77; 32], at: self.stamp.at };
        let (books, entry) = self.entry(None);
        books.choose(entry, wallet_id(number), None, Some(authorisation), consent).unwrap();
    }

    /// A further number of a person.
    pub fn add_number(&mut self, number: u32, further: u32) {
        let document = Document::parse("act 1").unwrap();
        let (books, entry) = self.entry(None);
        books.add_number(entry, wallet_id(number), wallet_id(further), person(further), document).unwrap();
    }

    pub fn merge(&mut self, number: u32, merged: u32) {
        let document = Document::parse("act 2").unwrap();
        let (books, entry) = self.entry(None);
        books.merge(entry, wallet_id(number), wallet_id(merged), document).unwrap();
    }

    pub fn rotate_log_key(&mut self) -> u64 {
        let (books, entry) = self.entry(None);
        let key = |number: u32| format!("social-wallet/{}+{number:08x}+AbCd", book_id());
        books.rotate_log_key(entry, key(1), key(2), Box::new([9; 64])).unwrap()
    }

    /// Two operators, who make BONUS protected.
    pub fn bootstrap_and_change_class(&mut self) {
        let proposal = Proposal::ChangeClass { programme: code("BONUS"), class: FundClass::Protected };
        let by = |name| Actor { client: client(name), ..actor(None) };
        let (books, Entry { fx, stamp, actor }) = self.entry(None);
        books.bootstrap(Entry { fx, stamp, actor }, founders()).unwrap();
        let asked = Entry { fx, stamp, actor: by("op-a") };
        let approval = books.request_approval(asked, proposal.clone()).unwrap();
        let given = Entry { fx, stamp, actor: by("op-b") };
        books.give_approval(given, approval, proposal.digest()).unwrap();
        books.carry_out(Entry { fx, stamp, actor: by("op-b") }, proposal, Vec::new()).unwrap();
    }

    pub fn give_back(&mut self, pay_out: u64, tiyn: i64) -> u64 {
        let (books, entry) = self.entry(None);
        books.return_credit(entry, pay_out, amount(tiyn)).unwrap()
    }

    pub fn open_batch(&mut self, number: u128, lines: u64, tiyn: i64, release_required: bool) {
        let declaration = BatchDeclaration {
            batch: batch_id(number),
            kind: LineKind::Accrual,
            payer: Bin::parse(b"940140000385").unwrap(),
            programmes: vec![code("ASP")],
            periods: vec![month(9), Period::Once],
            lines,
            total: Money::from_tiyn(tiyn).unwrap(),
            not_before: release_required.then_some(START),
            release_required,
        };
        let (books, entry) = self.entry(None);
        books.open_batch(entry, declaration).unwrap();
    }

    /// A chunk of accruals to the persons from `first_line` on, in September. Every third line is of a programme that the
    /// batch did not declare, and is refused.
    pub fn chunk(&mut self, number: u128, first_line: u64, lines: u64, tiyn: i64) {
        let line = |person: u64| {
            let programme = code(if person.is_multiple_of(3) { "BONUS" } else { "ASP" });
            let iin = Iin::from_prefix([8, 3, 0, 7, 1, 7, 3, 5, 0, 8, 6]).unwrap();
            let line =
                AccrualLine { iin, programme, period: month(9), part: Part::FIRST, amount: amount(tiyn) };
            let parsed = ParsedLine { line: Ok(Line::Accrual(line)), amount: Some(amount(tiyn)) };
            ChunkLine { parsed, wallet: Some(wallet_id(u32::try_from(person).unwrap())) }
        };
        let lines = (first_line..first_line + lines).map(line).collect();
        let digest = [u8::try_from(first_line % 251).unwrap(); 32];
        let (books, entry) = self.entry(None);
        books
            .receive_chunk(entry, &Chunk { batch: batch_id(number), first_line, digest, lines }, &Nobody)
            .unwrap();
    }

    pub fn close_batch(&mut self, number: u128) {
        let (books, entry) = self.entry(None);
        books.close_batch(entry, batch_id(number)).unwrap();
    }

    pub fn release_batch(&mut self, number: u128) {
        let (books, mut entry) = self.entry(None);
        entry.actor.client = client("second-person");
        books.release_batch(entry, batch_id(number)).unwrap();
    }
}

/// The leaf that stands for an entry.
pub fn leaf(entry: u64) -> Vec<u8> {
    format!("leaf {entry} {}", "x".repeat(usize::try_from(entry % 7).unwrap())).into_bytes()
}

/// A nonce of the commit that made the log this long.
pub fn nonce(size: u64) -> Nonce {
    Nonce { expires: 1_000 + i64::try_from(size).unwrap(), id: (u128::from(size) << 8).to_be_bytes() }
}

/// What was signed for the entries `before .. after`.
pub fn evidence(before: u64, after: u64) -> Vec<Evidence> {
    let entries = u32::try_from(after - before).unwrap();
    let key = KeyId::of(client("ministry"), &public_key(3));
    vec![Evidence { seq: before, entries, key, signature: [7; 64], sealed: before.to_be_bytes().into() }]
}

fn bundles(before: u64, after: u64) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for entry in before..after {
        if bundles.is_empty() || entry % 256 == 0 {
            bundles.push(Bundle { first: entry, count: 0, bytes: Vec::new() });
        }
        let bundle = bundles.last_mut().unwrap();
        let leaf = leaf(entry);
        bundle.count += 1;
        bundle.bytes.extend_from_slice(&u16::try_from(leaf.len()).unwrap().to_be_bytes());
        bundle.bytes.extend_from_slice(&leaf);
    }
    bundles
}

fn tiles(before: u64, after: u64) -> Vec<Tile> {
    let tile = |index: u64| Tile { level: 0, index, hashes: vec![u8::try_from(index % 256).unwrap(); 8_192] };
    (before / 256..after / 256).map(tile).collect()
}

impl Book {
    pub fn new() -> Self {
        let head = Head { book: book_id(), size: 0, wallet_count: 0, batch_count: 0, at: 0, nonce: [0; 16] };
        Self { books: Books::whole(), head, at: START, commits: Vec::new(), nonces: 0 }
    }

    /// A book in a store that has none: opened, with two programmes that have money.
    pub async fn create(store: &dyn Store) -> Self {
        store.create_book(book_id()).await.unwrap();
        let mut book = Self::new();
        book.write(store, |draft| {
            draft.open_book();
            draft.register("ASP", FundClass::Protected);
            draft.register("BONUS", FundClass::General);
            draft.fund("ASP", 1_000_000_000);
            draft.fund("BONUS", 1_000_000_000);
        })
        .await;
        book
    }

    /// The next commit has the time of the last one.
    pub fn stand_still(&mut self) {
        self.at -= 1_000;
    }

    /// Decides a commit; it is not written to any store yet.
    pub fn draft(&mut self, decide: impl FnOnce(&mut Draft<'_>)) -> Commit {
        self.at += 1_000;
        let stamp = Stamp::of(self.at).unwrap();
        let mut draft = Draft { books: &mut self.books, fx: Effects::default(), stamp };
        decide(&mut draft);
        let mut effects = draft.fx;
        self.books.finish(&mut effects, stamp);
        self.nonces += 1;
        let before = self.head;
        self.head = Head {
            size: self.books.size,
            wallet_count: self.books.wallet_count,
            batch_count: self.books.batch_count,
            at: stamp.at,
            nonce: (self.nonces << 64 | u128::from(std::process::id())).to_be_bytes(),
            ..before
        };
        let (size_before, size) = (before.size, self.head.size);
        let mut frontier = size.to_be_bytes().to_vec();
        frontier.extend_from_slice(&[9; 32]);
        let commit = Commit {
            before,
            after: self.head,
            stamp,
            bundles: bundles(size_before, size),
            tiles: tiles(size_before, size),
            frontier,
            effects,
            nonces: vec![nonce(size)],
            evidence: evidence(size_before, size),
        };
        self.commits.push(commit.clone());
        commit
    }

    /// Decides a commit and writes it.
    pub async fn write(&mut self, store: &dyn Store, decide: impl FnOnce(&mut Draft<'_>)) -> Commit {
        let commit = self.draft(decide);
        store.commit(&commit).await.unwrap();
        commit
    }

    /// Fixes and publishes a checkpoint whose root and signature are placeholders.
    pub async fn checkpoint(&mut self, store: &dyn Store, size: u64) {
        let last = store.published_checkpoint().await.unwrap();
        let previous_size = last.map_or(0, |last| last.size);
        let body = format!("log\n{size}\nroot\n").into_bytes();
        let note = [body.as_slice(), b"\n- signature\n"].concat();
        assert!(store.fix_checkpoint(&FixedCheckpoint { size, previous_size, body }).await.unwrap());
        assert!(store.publish_checkpoint(&PublishedCheckpoint { size, at: self.at, note }).await.unwrap());
    }

    /// A book with something of everything: openings, accruals of both classes, reversals, pay-outs and returns, batches
    /// in every state, over several commits, large and small.
    pub async fn full(store: &dyn Store) -> Self {
        let mut book = Self::create(store).await;
        book.write(store, |draft| (1..=40).for_each(|number| draft.open(number))).await;
        book.write(store, |draft| {
            for number in 1..=30 {
                draft.accrue(number, "ASP", month(1), 1, 1_000 + i64::from(number));
                draft.accrue(number, "BONUS", Period::Once, 1, 500);
            }
        })
        .await;
        // Enough entries for the way that large commits go.
        book.write(store, |draft| {
            for number in (1..=600).rev() {
                draft.accrue(number, "ASP", month(2), 2, 2_000);
            }
        })
        .await;
        let mut pay_out = 0;
        book.write(store, |draft| {
            draft.accrue(3, "ASP", month(3), 1, 700);
            pay_out = draft.pay_out(3, 1_800);
            draft.reverse(4, "ASP", month(1), 1);
            draft.pay_out(5, 100);
            draft.reverse(5, "BONUS", Period::Once, 1);
        })
        .await;
        book.write(store, |draft| {
            draft.give_back(pay_out, 900);
        })
        .await;
        book.write(store, |draft| {
            draft.give_back(pay_out, 450);
            draft.pay_out(3, 2_400);
        })
        .await;
        let (mut transfer, mut standing) = (0, 0);
        book.write(store, |draft| {
            let given = draft.authorise(6, false, 2_000);
            standing = given;
            transfer = draft.transfer(given, 600);
            draft.transfer(given, 700);
            let given = draft.authorise(7, true, 1_000);
            draft.cash(given, 300, CashReference::from_bytes([1; 10]));
            draft.cash(given, 100, CashReference::from_bytes([2; 10]));
        })
        .await;
        book.write(store, |draft| {
            draft.answer(transfer, &TransferAnswer::Settled);
            draft.redeem(CashReference::from_bytes([1; 10]), false);
            draft.redeem(CashReference::from_bytes([1; 10]), true);
        })
        .await;
        book.write(store, |draft| {
            let (amount, reason) = (Some(amount(150)), Reason::parse("card closed").unwrap());
            let reference = BankReference::parse("R-1").unwrap();
            draft.answer(transfer, &TransferAnswer::Returned { amount, reference, reason });
        })
        .await;
        // More than is authorised is not sent on.
        book.write(store, |draft| {
            draft.choose(6, standing);
            draft.accrue(6, "BONUS", month(5), 1, 5_000);
        })
        .await;
        book.write(store, |draft| draft.add_number(38, 100_038)).await;
        book.write(store, |draft| draft.merge(39, 40)).await;
        book.write(store, |draft| {
            draft.open_batch(1, 1_000, 1_000_000, false);
            draft.open_batch(2, 10, 100, true);
            draft.open_batch(3, 10, 100, true);
        })
        .await;
        book.write(store, |draft| draft.chunk(1, 1, 200, 10)).await;
        book.write(store, |draft| {
            draft.chunk(1, 301, 100, 10);
            draft.chunk(1, 201, 50, 10);
            draft.release_batch(3);
        })
        .await;
        book.write(store, |draft| draft.close_batch(1)).await;
        let before = book.head.size;
        book.write(store, |draft| {
            draft.rotate_log_key();
            draft.bootstrap_and_change_class();
        })
        .await;
        super::orders::write_orders(&mut book, store).await;
        for size in [before, book.head.size] {
            book.checkpoint(store, size).await;
        }
        book
    }
}
