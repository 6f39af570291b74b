//! The pure ledger: what one accrual costs in rules, leaf and replay, without a store or HTTP. One core.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use social_wallet::domain::time::Stamp;
use social_wallet::domain::{
    Amount, BankReference, Bin, BookId, ClientId, FundClass, LegalBasis, Names, Part, Period, ProgrammeCode,
    Text, WalletId,
};
use social_wallet::ledger::books::Books;
use social_wallet::ledger::effects::Effects;
use social_wallet::ledger::record::{Actor, ProgrammeSpec};
use social_wallet::ledger::replay::Replay;
use social_wallet::ledger::rules::{Accrual, Entry, Person};
use social_wallet::log::leaf::{Leaf, LeafWriter};
use social_wallet::log::merkle::leaf_hash;

const LINES: u32 = 10_000;

fn actor() -> Actor {
    let client = ClientId::parse("bench").expect("a client id");
    Actor { client, request: [7; 32], line: Some(1), instruction: None }
}

fn stamp() -> Stamp {
    Stamp::of(1_795_294_280_123).expect("a moment in 2026")
}

fn accrual(person: u32, month: u8) -> Accrual {
    // The odd factor walks the people in an order that is not that of their numbers.
    let person = person.wrapping_mul(7_919) % LINES;
    Accrual {
        wallet: WalletId::from_uuid(uuid::Uuid::from_u128(
            u128::from(person).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C),
        )),
        programme: ProgrammeCode::parse(b"ASP").expect("a code"),
        period: Period::month(2026, month).expect("a month"),
        part: Part::FIRST,
        amount: Amount::parse(b"78798.00").expect("an amount"),
    }
}

fn entry(fx: &mut Effects) -> Entry<'_> {
    Entry { fx, stamp: stamp(), actor: actor() }
}

fn opened() -> (Books, Effects) {
    let (mut books, mut fx) = (Books::whole(), Effects::default());
    let name = Text::parse("ASP").expect("a name");
    let spec = ProgrammeSpec {
        code: ProgrammeCode::parse(b"ASP").expect("a code"),
        names: Names { kk: name.clone(), ru: name.clone(), en: name },
        payer: Bin::parse(b"940140000385").expect("a BIN"),
        legal_basis: LegalBasis::parse("Social Code").expect("a text"),
        class: FundClass::Protected,
        knp: None,
        kbe: None,
        iso_purpose: None,
    };
    books.open_book(entry(&mut fx));
    books.register_programme(entry(&mut fx), spec).expect("the first of its code");
    let reference = BankReference::parse("1").expect("a reference");
    books
        .fund(entry(&mut fx), ProgrammeCode::parse(b"ASP").expect("a code"), Amount::MAX, reference)
        .expect("funded");
    pay(&mut books, &mut fx, 1);
    (books, fx)
}

fn pay(books: &mut Books, fx: &mut Effects, month: u8) {
    let person = || Person { tag: [1; 32], sealed_iin: vec![0; 28] };
    for line in 0..LINES {
        books
            .accrue(entry(fx), &accrual(line, month), None, None, Some(&person))
            .expect("each person once a month");
    }
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(LINES.into()));
    group.bench_function("accrue into existing wallets", |bencher| {
        bencher.iter_batched(
            opened,
            |(mut books, _)| {
                let mut fx = Effects::default();
                pay(&mut books, &mut fx, 2);
                black_box(fx.entries.len())
            },
            BatchSize::LargeInput,
        );
    });
    let (_, fx) = opened();
    let book = BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").expect("a UUID");
    let mut writer = LeafWriter::new(book, &[3; 32]);
    writer.stamp(stamp());
    let accruals = &fx.records[fx.records.len() - LINES as usize..];
    group.bench_function("write and hash leaves", |bencher| {
        bencher.iter(|| {
            let mut leaf = Vec::with_capacity(1_024);
            let mut last = [0; 32];
            for (seq, (record, actor)) in (0u64..).zip(accruals) {
                leaf.clear();
                writer.write(&mut leaf, seq, record, actor);
                last = leaf_hash(&leaf);
            }
            black_box(last)
        });
    });
    let leaves: Vec<Vec<u8>> = (0u64..)
        .zip(&fx.records)
        .map(|(seq, (record, actor))| {
            let mut leaf = Vec::new();
            writer.write(&mut leaf, seq, record, actor);
            leaf
        })
        .collect();
    group.throughput(Throughput::Elements(leaves.len() as u64));
    group.bench_function("read leaves and replay them", |bencher| {
        bencher.iter(|| {
            let mut replay = Replay::default();
            for leaf in &leaves {
                let leaf = Leaf::read(leaf).expect("a leaf");
                let mut fx = Effects::default();
                let record = leaf.record().expect("a record");
                let stamp = leaf.stamp().expect("a stamp");
                replay.apply(&mut fx, stamp, leaf.actor().expect("an actor"), record).expect("it replays");
            }
            black_box(replay.books.size)
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
