//! Reads leaves back and holds their bytes: a leaf is accepted only if it is, byte for byte, what would be written for what
//! it says.
//!
//! A payday is millions of accruals, and openings of wallets: these two are read by hand, in the order in which they are
//! written. Every byte is either compared with what it must be or read by a reader that takes one spelling only, so what is
//! read that way is canonical by construction. On any deviation the general reader decides: it parses, writes what it has
//! understood, and compares. A test holds that both agree on leaves and on leaves with any byte changed.

use serde_json::Value;

use crate::domain::time::{Stamp, parse_rfc3339};
use crate::domain::{Amount, BatchId, BookId, ClientId, FundClass, Part, Period, ProgrammeCode, WalletId};
use crate::ledger::record::{Actor, Record};

use super::leaf::{BlindText, Frame, Leaf, LeafError};

/// The largest integer of a leaf: what a double holds exactly (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// What a leaf says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The entry's number.
    pub seq: u64,
    /// The moment of its commit.
    pub stamp: Stamp,
    /// Who asked.
    pub actor: Actor,
    /// What happened.
    pub record: Record,
}

/// Reads the leaves of one book. It remembers what neighbouring leaves have in common, and nothing else.
pub struct LeafReader {
    frame: Frame,
    stamp: Option<Stamp>,
    client: Option<ClientId>,
    digest: Known<64, [u8; 32]>,
    batch: Known<36, BatchId>,
    programme: Option<ProgrammeCode>,
    written: Vec<u8>,
}

/// A text and what it means, as it was read last.
type Known<const LENGTH: usize, T> = Option<([u8; LENGTH], T)>;

impl LeafReader {
    /// For the leaves of a book.
    #[must_use]
    pub fn new(book: BookId) -> Self {
        let frame = Frame { book: book.to_string(), ..Frame::default() };
        Self {
            frame,
            stamp: None,
            client: None,
            digest: None,
            batch: None,
            programme: None,
            written: Vec::with_capacity(1_024),
        }
    }

    /// Reads a leaf.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Entry, LeafError> {
        match self.read_by_hand(bytes) {
            Some(entry) => Ok(entry),
            None => self.read_generally(bytes),
        }
    }

    /// Reads any leaf: parses it, writes it, and compares.
    fn read_generally(&mut self, bytes: &[u8]) -> Result<Entry, LeafError> {
        let leaf = Leaf::read(bytes)?;
        if leaf.book != self.frame.book {
            return Err(LeafError::Member("book"));
        }
        if leaf.currency != "KZT" {
            return Err(LeafError::Member("currency"));
        }
        let blind: &BlindText = leaf
            .blind
            .as_bytes()
            .try_into()
            .ok()
            .filter(|digits: &&BlindText| digits.iter().all(|digit| nibble(*digit) < 16))
            .ok_or(LeafError::Member("blind"))?;
        let stamp = self.stamp(leaf.at.as_bytes(), leaf.date.as_bytes()).ok_or(LeafError::Member("at"))?;
        let (actor, record) = (leaf.actor()?, leaf.record()?);
        let integers = actor.line.is_none_or(|line| line <= INTEGER_MAX) && leaf.seq <= INTEGER_MAX;
        if !integers || !record.members().values().all(is_exact) {
            return Err(LeafError::Member("an integer beyond 2^53"));
        }
        self.written.clear();
        self.frame.write(&mut self.written, leaf.seq, blind, &record, &actor);
        if self.written != bytes {
            let same = self.written.iter().zip(bytes).take_while(|(written, read)| written == read).count();
            return Err(LeafError::NotCanonical(same));
        }
        Ok(Entry { seq: leaf.seq, stamp, actor, record })
    }

    /// Reads an accrual or the opening of a wallet as they are written; `None`: it is something else.
    fn read_by_hand(&mut self, bytes: &[u8]) -> Option<Entry> {
        let mut rest = Rest(bytes);
        let actor = self.actor(&mut rest)?;
        rest.is(br#"},"at":""#)?;
        let at = rest.text()?;
        let mut batch = None;
        if rest.is(br#"","batch":""#).is_some() {
            batch = Some(self.batch(rest.take()?)?);
        }
        rest.is(br#"","blind":""#)?;
        let blind: &BlindText = rest.take()?;
        if blind.iter().any(|digit| nibble(*digit) > 15) {
            return None;
        }
        rest.is(br#"","book":""#)?;
        rest.is(self.frame.book.as_bytes())?;
        let class = match rest.is(br#"","class":""#) {
            Some(()) => Some(FundClass::parse(rest.text()?).ok()?),
            None => None,
        };
        rest.is(br#"","currency":"KZT","date":""#)?;
        let date = rest.text()?;
        let stamp = self.stamp(at, date)?;
        let (seq, record) = match class {
            Some(class) => self.accrual(&mut rest, class, batch)?,
            None if batch.is_none() => opening(&mut rest)?,
            None => return None,
        };
        rest.0.is_empty().then_some(Entry { seq, stamp, actor, record })
    }

    fn actor(&mut self, rest: &mut Rest<'_>) -> Option<Actor> {
        rest.is(br#"{"actor":{""#)?;
        if rest.is(br#"chunk":""#).is_some() {
            let request = self.digest(rest.take()?)?;
            rest.is(br#"","client":""#)?;
            let client = self.client(rest.text()?)?;
            rest.is(br#"","line":"#)?;
            let line = Some(rest.integer()?);
            return Some(Actor { client, request, line, instruction: None });
        }
        rest.is(br#"client":""#)?;
        let client = self.client(rest.text()?)?;
        let mut instruction = None;
        if rest.is(br#"","instruction":""#).is_some() {
            instruction = Some(bytes_of::<16>(rest.take::<32>()?)?);
        }
        rest.is(br#"","request":""#)?;
        let request = self.digest(rest.take()?)?;
        rest.is(b"\"")?;
        Some(Actor { client, request, line: None, instruction })
    }

    /// What follows the date of an accrual.
    fn accrual(
        &mut self,
        rest: &mut Rest<'_>,
        class: FundClass,
        batch: Option<BatchId>,
    ) -> Option<(u64, Record)> {
        rest.is(br#"","kind":"accrual","part":"#)?;
        let part = Part::parse(rest.digits()).ok()?;
        rest.is(br#","period":""#)?;
        let period = Period::parse(rest.text()?).ok()?;
        rest.is(br#"","postings":[{"amount":""#)?;
        let amount = amount(rest.text()?)?;
        rest.is(br#"","credit":"wallet:"#)?;
        let wallet_text: &[u8; 36] = rest.take()?;
        rest.is(br#"","debit":"funding:"#)?;
        let programme_text = rest.text()?;
        let programme = self.programme(programme_text)?;
        rest.is(br#""}],"programme":""#)?;
        rest.is(programme_text)?;
        rest.is(br#"","seq":"#)?;
        let seq = rest.integer()?;
        rest.is(br#","v":1,"wallet":""#)?;
        rest.is(wallet_text)?;
        rest.is(br#""}"#)?;
        let wallet = WalletId::from_uuid(uuid(wallet_text)?);
        Some((seq, Record::Accrued { wallet, programme, period, part, amount, class, batch }))
    }

    fn stamp(&mut self, at: &[u8], date: &[u8]) -> Option<Stamp> {
        if at != self.frame.at.as_bytes() || date != self.frame.date.as_bytes() {
            let stamp = Stamp::of(parse_rfc3339(str::from_utf8(at).ok()?)?)?;
            let (at_text, date_text) = (stamp.at_text(), stamp.date_text());
            if at != at_text.as_bytes() || date != date_text.as_bytes() {
                return None;
            }
            (self.frame.at, self.frame.date, self.stamp) = (at_text, date_text, Some(stamp));
        }
        self.stamp
    }

    fn client(&mut self, text: &[u8]) -> Option<ClientId> {
        if self.client.is_none_or(|known| known.as_str().as_bytes() != text) {
            self.client = Some(ClientId::parse(str::from_utf8(text).ok()?).ok()?);
        }
        self.client
    }

    fn programme(&mut self, text: &[u8]) -> Option<ProgrammeCode> {
        if self.programme.is_none_or(|known| known.as_str().as_bytes() != text) {
            self.programme = Some(ProgrammeCode::parse(text).ok()?);
        }
        self.programme
    }

    fn digest(&mut self, text: &[u8; 64]) -> Option<[u8; 32]> {
        remembered(&mut self.digest, text, |text| bytes_of(text))
    }

    fn batch(&mut self, text: &[u8; 36]) -> Option<BatchId> {
        remembered(&mut self.batch, text, |text| uuid(text).map(BatchId::from_uuid))
    }
}

/// What follows the date of an opening.
fn opening(rest: &mut Rest<'_>) -> Option<(u64, Record)> {
    rest.is(br#"","kind":"wallet_opened","person":""#)?;
    let person = bytes_of(rest.take::<64>()?)?;
    rest.is(br#"","seq":"#)?;
    let seq = rest.integer()?;
    rest.is(br#","v":1,"wallet":""#)?;
    let wallet = WalletId::from_uuid(uuid(rest.take()?)?);
    rest.is(br#""}"#)?;
    Some((seq, Record::WalletOpened { wallet, person }))
}

/// Neighbouring leaves often have the same text: it is read once.
fn remembered<const LENGTH: usize, T: Copy>(
    known: &mut Known<LENGTH, T>,
    text: &[u8; LENGTH],
    read: impl Fn(&[u8; LENGTH]) -> Option<T>,
) -> Option<T> {
    match known {
        Some((same, meaning)) if same == text => Some(*meaning),
        _ => {
            let meaning = read(text)?;
            *known = Some((*text, meaning));
            Some(meaning)
        }
    }
}

/// Whether all integers of a value are small enough to be exact everywhere.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64().is_some_and(|integer| integer <= INTEGER_MAX),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// An amount with two decimals.
fn amount(text: &[u8]) -> Option<Amount> {
    let has_decimals = text.len() > 3 && text[text.len() - 3] == b'.';
    if has_decimals { Amount::parse(text).ok() } else { None }
}

/// The value of a lower-case hexadecimal digit; above 15: it is none.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0xff,
    }
}

/// By character, the value of a lower-case hexadecimal digit; 0xff: it is none.
const NIBBLES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0;
    while digit < 256 {
        #[allow(clippy::cast_possible_truncation)] // below 256
        let character = digit as u8;
        values[digit] = nibble(character);
        digit += 1;
    }
    values
};

/// Bytes from twice as many lower-case hexadecimal digits.
fn bytes_of<const LENGTH: usize>(digits: &[u8]) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let mut wrong = digits.len() ^ (2 * LENGTH);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        wrong |= usize::from((high | low) & 0xf0);
        *byte = (high << 4) | (low & 0x0f);
    }
    (wrong == 0).then_some(bytes)
}

/// A hyphenated UUID in lower case.
fn uuid(text: &[u8; 36]) -> Option<uuid::Uuid> {
    let mut digits = [0; 32];
    for (group, place) in [(0..8, 0), (9..13, 8), (14..18, 12), (19..23, 16), (24..36, 20)] {
        let length = group.len();
        digits[place..place + length].copy_from_slice(&text[group]);
    }
    let hyphens = [8, 13, 18, 23].iter().all(|place| text[*place] == b'-');
    if hyphens { bytes_of(&digits).map(uuid::Uuid::from_bytes) } else { None }
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Reads exactly these bytes, or nothing.
    fn is(&mut self, bytes: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(bytes)?;
        Some(())
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<&'a [u8; LENGTH]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads up to a quotation mark, which stays. Whoever reads the text refuses one that would need an escape.
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(text)
    }

    fn digits(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits
    }

    /// Reads an integer without leading zeros, below 2^53.
    fn integer(&mut self) -> Option<u64> {
        let digits = self.digits();
        if digits.is_empty() || digits.len() > 16 || (digits.len() > 1 && digits[0] == b'0') {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        (value <= INTEGER_MAX).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::leaf::LeafWriter;
    use super::*;
    use crate::domain::{BankReference, Bic, Money, Reason};
    use crate::ledger::record::{BatchTotals, LotShare};

    fn book() -> BookId {
        BookId::parse("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").unwrap()
    }

    fn wallet() -> WalletId {
        WalletId::parse("6f968d5c-95f5-8f3b-9e2c-2f6d3a1b4c5d").unwrap()
    }

    fn actors() -> [Actor; 3] {
        let client = ClientId::parse("ministry-1").unwrap();
        let line = Actor { client, request: [0xab; 32], line: Some(17), instruction: None };
        let plain = Actor { line: None, ..line };
        [line, plain, Actor { instruction: Some([0x0c; 16]), ..plain }]
    }

    fn accrual(period: &str, tiyn: i64, batch: bool) -> Record {
        Record::Accrued {
            wallet: wallet(),
            programme: ProgrammeCode::parse(b"ASP_2").unwrap(),
            period: Period::parse(period.as_bytes()).unwrap(),
            part: Part::new(12).unwrap(),
            amount: Amount::from_tiyn(tiyn).unwrap(),
            class: if batch { FundClass::General } else { FundClass::Protected },
            batch: batch.then(|| BatchId::parse("0e2b6c1a-7d0f-8a43-8f0e-1c2d3e4f5a6b").unwrap()),
        }
    }

    #[test]
    fn an_integer_of_a_leaf_is_one_that_a_double_holds_exactly() {
        let [mut actor, plain, _] = actors();
        let mut writer = LeafWriter::new(book(), &[9; 32]);
        let stamp = Stamp::of(1_795_294_280_123).unwrap();
        writer.stamp(stamp);
        let mut reader = LeafReader::new(book());
        let mut read = |seq: u64, actor: &Actor| {
            let mut leaf = Vec::new();
            writer.write(&mut leaf, seq, &accrual("2026-11", 1, true), actor);
            reader.read(&leaf).map(|entry| (entry.seq, entry.actor.line))
        };
        for (integer, is_read) in [(INTEGER_MAX - 1, true), (INTEGER_MAX, true), (INTEGER_MAX + 1, false)] {
            actor.line = Some(integer);
            assert_eq!(read(7, &actor).is_ok(), is_read, "line {integer}");
            assert_eq!(read(integer, &plain).is_ok(), is_read, "entry {integer}");
        }
    }

    /// Those that are read by hand, then others.
    fn records() -> (Vec<Record>, Vec<Record>) {
        let by_hand = vec![
            accrual("2026-11", 1_234_567, true),
            accrual("once", 10, false),
            Record::WalletOpened { wallet: wallet(), person: [0xcd; 32] },
        ];
        let programme = ProgrammeCode::parse(b"ASP_2").unwrap();
        let share = LotShare { lot: 5, amount: Amount::parse(b"1.05").unwrap() };
        let totals =
            BatchTotals { received_lines: 9, received_total: 7, accepted_lines: 7, accepted_total: 6 };
        let others = vec![
            Record::BookOpened,
            Record::ProgrammeFunded {
                programme,
                amount: Amount::MAX,
                bank_reference: BankReference::parse("MF \"№7\" \\").unwrap(),
            },
            Record::Reversed {
                wallet: wallet(),
                programme,
                period: Period::Once,
                part: Part::FIRST,
                share,
                uncollected: Money::ZERO,
                reason: Reason::parse("төленді \u{2028} é").unwrap(),
                batch: None,
            },
            Record::PaidOut {
                wallet: wallet(),
                bank: Bic::parse(b"CASPKZKA").unwrap(),
                shares: vec![share, share],
            },
            Record::BatchCancelled {
                batch: BatchId::parse("0e2b6c1a-7d0f-8a43-8f0e-1c2d3e4f5a6b").unwrap(),
                totals,
            },
        ];
        (by_hand, others)
    }

    fn leaf(seq: u64, record: &Record, actor: &Actor) -> Vec<u8> {
        let mut writer = LeafWriter::new(book(), &[9; 32]);
        writer.stamp(Stamp::of(1_795_294_280_123).unwrap());
        let mut bytes = Vec::new();
        writer.write(&mut bytes, seq, record, actor);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_and_what_comes_in_millions_is_read_by_hand() {
        let (by_hand, others) = records();
        let mut reader = LeafReader::new(book());
        for (seq, record) in (0..).zip(by_hand.iter().chain(&others)) {
            for actor in actors() {
                let bytes = leaf(seq, record, &actor);
                let stamp = Stamp::of(1_795_294_280_123).unwrap();
                let entry = Entry { seq, stamp, actor, record: record.clone() };
                assert_eq!(reader.read_generally(&bytes), Ok(entry.clone()));
                let hand = by_hand.contains(record).then_some(entry);
                assert_eq!(reader.read_by_hand(&bytes), hand, "{}", record.kind());
                assert_eq!(LeafReader::new(book()).read_by_hand(&bytes), hand, "with nothing remembered");
            }
        }
    }

    /// What the reading by hand says of bytes, and what the general reader says of them.
    fn both(bytes: &[u8]) -> (Option<Entry>, Option<Entry>) {
        let (mut first, mut second) = (LeafReader::new(book()), LeafReader::new(book()));
        (first.read_by_hand(bytes), second.read_generally(bytes).ok())
    }

    #[test]
    fn both_readers_agree_whatever_byte_of_a_leaf_is_changed_taken_out_or_doubled() {
        let (by_hand, _) = records();
        let mut accepted = 0;
        for (record, actor) in by_hand.iter().zip(actors()) {
            let bytes = leaf(7, record, &actor);
            for place in 0..bytes.len() {
                let changed = br#"0189afAFgZz"'{}[]:,.-+ \/_ue"#.iter().map(|byte| {
                    let mut changed = bytes.clone();
                    changed[place] = *byte;
                    changed
                });
                let mut shorter = bytes.clone();
                shorter.remove(place);
                let mut longer = bytes.clone();
                longer.insert(place, bytes[place]);
                for changed in changed.chain([shorter, longer]) {
                    let (hand, general) = both(&changed);
                    assert_eq!(hand, general, "{}", String::from_utf8_lossy(&changed));
                    accepted += usize::from(hand.is_some());
                }
            }
        }
        assert!(accepted > 1_000, "digits of amounts, numbers and hashes may change: {accepted}");
    }

    #[test]
    fn another_spelling_of_the_same_is_refused() {
        let (by_hand, others) = records();
        let text = |record: &Record| String::from_utf8(leaf(7, record, &actors()[0])).unwrap();
        let refused = |text: &str, from: &str, to: &str| {
            assert!(text.contains(from), "{text} has no {from}");
            LeafReader::new(book()).read(text.replace(from, to).as_bytes()).unwrap_err()
        };
        let accrual = text(&by_hand[0]);
        let not_canonical = |error| assert!(matches!(error, LeafError::NotCanonical(_)), "{error}");
        not_canonical(refused(&accrual, "\"seq\":7", "\"seq\": 7"));
        assert_eq!(refused(&accrual, "12345.67", "12345.670"), LeafError::Member("postings.amount"));
        not_canonical(refused(&accrual, "12345.67", "12345.6"));
        not_canonical(refused(&accrual, "\"kind\"", "\"ki\\u006ed\""));
        not_canonical(refused(&accrual, "abab", "ABAB"));
        // Members of other kinds, which the rules would not look at.
        not_canonical(refused(&accrual, "\"period\"", "\"payer\":\"940140000385\",\"period\""));
        not_canonical(refused(&text(&others[2]), "\"kind\"", "\"first_line\":1,\"kind\""));
        assert_eq!(refused(&accrual, "KZT", "USD"), LeafError::Member("currency"));
        assert_eq!(refused(&accrual, "6f9619ff", "6f9619fe"), LeafError::Member("book"));
        assert_eq!(refused(&accrual, "\"date\":\"2026", "\"date\":\"2025"), LeafError::Member("at"));
        let blind = accrual.split("\"blind\":\"").nth(1).unwrap()[..32].to_owned();
        assert_eq!(refused(&accrual, &blind, &blind[1..]), LeafError::Member("blind"));
        assert_eq!(refused(&accrual, &blind, &format!("G{}", &blind[1..])), LeafError::Member("blind"));
        let beyond = refused(&text(&others[4]), "\"line\":17", "\"line\":9007199254740993");
        assert_eq!(beyond, LeafError::Member("an integer beyond 2^53"));
    }

    proptest! {
        /// Neighbouring leaves share texts; what is remembered of one never shows in another.
        #[test]
        fn leaves_are_read_alike_whatever_was_read_before(
            leaves in prop::collection::vec((0usize..3, 0usize..3, 0u64..3, 1i64..3, any::<bool>()), 1..12),
        ) {
            let (by_hand, _) = records();
            let mut reader = LeafReader::new(book());
            for (record, actor, seq, more, other) in leaves {
                let mut record = by_hand[record].clone();
                let mut actor = actors()[actor];
                if other {
                    actor.client = ClientId::parse("other").unwrap();
                    actor.request = [seq.to_le_bytes()[0]; 32];
                    if let Record::Accrued { programme, amount, .. } = &mut record {
                        *programme = ProgrammeCode::parse(b"B").unwrap();
                        *amount = Amount::from_tiyn(more).unwrap();
                    }
                }
                let mut writer = LeafWriter::new(book(), &[9; 32]);
                let stamp = Stamp::of(1_795_294_280_123 + more).unwrap();
                writer.stamp(stamp);
                let mut bytes = Vec::new();
                writer.write(&mut bytes, seq, &record, &actor);
                prop_assert_eq!(reader.read_by_hand(&bytes), Some(Entry { seq, stamp, actor, record }));
            }
        }
    }
}
