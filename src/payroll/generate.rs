//! Reproducible payrolls for trials, demonstrations and measurements.
//!
//! Nothing here is drawn in sequence: person `i`, the place `p` of a line and its fault are functions of the seed, so a
//! file of any size is written in constant memory, and the same seed pays the same people from the same programmes
//! whatever the period. `ChaCha8` of the seed gives one key per question ("who is person i", "in which order this
//! period", …); a mixing function of 64 bits answers it for each number. The people are invented: distinct numbers of
//! a plausible shape and with right check digits, of whoever may bear them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::catalogue::{Programme, catalogue};
use super::row::Layout;
use crate::domain::{Amount, Iin, Money, Period, ProgrammeCode};

/// Days of birth that are drawn from: 1 January 1930 to 31 December 2009.
const DAYS: u64 = 29_220;
/// Numbers per day: two values of the seventh digit and three free digits. The eleventh is chosen so that a check
/// digit exists.
const PEOPLE_PER_DAY: u64 = 2_000;

/// How many distinct people there are to be paid.
pub const PEOPLE_MAX: u64 = DAYS * PEOPLE_PER_DAY;

/// What kind of file to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Our own columns.
    #[default]
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// The bulk file of Mifos Payment Hub.
    Mifos,
}

/// A way for a generated line to be bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BadKind {
    /// Cut off in the middle.
    Malformed,
    /// The last digit of the number is wrong.
    IinCheckDigit,
    /// A well-formed code that no programme has.
    UnknownProgramme,
    /// An amount of zero.
    AmountZero,
    /// An amount below zero.
    AmountNegative,
    /// An amount with three decimals.
    AmountScale,
    /// An earlier good line over again.
    Duplicate,
}

impl BadKind {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::IinCheckDigit,
        Self::UnknownProgramme,
        Self::AmountZero,
        Self::AmountNegative,
        Self::AmountScale,
        Self::Duplicate,
    ];
}

/// The share of the lines, from 0 to 1, that is bad in each way; together at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BadShares {
    /// Of [`BadKind::Malformed`].
    pub malformed: f64,
    /// Of [`BadKind::IinCheckDigit`].
    pub iin_check_digit: f64,
    /// Of [`BadKind::UnknownProgramme`].
    pub unknown_programme: f64,
    /// Of [`BadKind::AmountZero`].
    pub amount_zero: f64,
    /// Of [`BadKind::AmountNegative`].
    pub amount_negative: f64,
    /// Of [`BadKind::AmountScale`].
    pub amount_scale: f64,
    /// Of [`BadKind::Duplicate`].
    pub duplicate: f64,
}

impl BadShares {
    /// In the order of [`BadKind::ALL`].
    const fn in_order(&self) -> [f64; 7] {
        [
            self.malformed,
            self.iin_check_digit,
            self.unknown_programme,
            self.amount_zero,
            self.amount_negative,
            self.amount_scale,
            self.duplicate,
        ]
    }
}

/// A payroll to be written. The same configuration gives the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorConfig {
    /// Lines of data, good and bad: one per person, so at most [`PEOPLE_MAX`].
    pub lines: u64,
    /// Who is paid from which programme. The period has no part in it.
    pub seed: u64,
    /// What every line is for.
    pub period: Period,
    /// Whether the people come in an order of this seed and period, instead of that of their places in the seed.
    pub shuffle: bool,
    /// Which of the lines are bad. A bad line takes the place of a person's good one.
    pub bad: BadShares,
    /// How the file is written.
    pub format: OutputFormat,
}

/// What a programme pays in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgrammeSum {
    /// Good lines.
    pub count: u64,
    /// The sum of their amounts.
    pub sum: Money,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Lines of data, good and bad.
    pub lines: u64,
    /// The sum of every readable amount, of good lines and of bad ones: the total that a survey of the file finds.
    pub total: Money,
    /// The good lines, by programme. Their sums are what the payroll pays when every programme has the funds.
    pub programmes: BTreeMap<ProgrammeCode, ProgrammeSum>,
    /// The bad lines, by kind.
    pub bad: BTreeMap<BadKind, u64>,
}

impl GeneratorConfig {
    /// Writes the file, in pieces of some 64 KiB.
    ///
    /// Fails with `InvalidInput` for more lines than there are people and for shares below 0 or above 1 together.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<Summary> {
        const BUFFER_BYTES: usize = 64 * 1024;
        let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        if self.lines > PEOPLE_MAX {
            return invalid("there are not that many people to generate");
        }
        let shares = self.bad.in_order();
        if !shares.iter().all(|share| (0.0..=1.0).contains(share)) || shares.iter().sum::<f64>() > 1.0 + 1e-9
        {
            return invalid("the shares of bad lines are not between 0 and 1, or more than 1 together");
        }
        let generator = Generator::new(self);
        let mut summary = Summary::default();
        let mut last_good = None;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + 1_024);
        match self.format {
            OutputFormat::Csv => header(&mut buffer, Layout::Accrual),
            OutputFormat::Mifos => header(&mut buffer, Layout::MifosBulk),
            OutputFormat::Ndjson => {}
        }
        for place in 0..self.lines {
            let (person, bad) = match (generator.bad_at(place), last_good) {
                (None, _) | (Some(BadKind::Duplicate), None) => (generator.person_at(place), None),
                (Some(BadKind::Duplicate), Some(last)) => {
                    let earlier = generator.good_place_before(place).unwrap_or(last);
                    (generator.person_at(earlier), Some(BadKind::Duplicate))
                }
                (bad, _) => (generator.person_at(place), bad),
            };
            if bad.is_none() {
                last_good = Some(place);
            }
            summary.count(&person, bad);
            generator.line(&mut buffer, place, &person, bad);
            if buffer.len() >= BUFFER_BYTES {
                out.write_all(&buffer)?;
                buffer.clear();
            }
        }
        out.write_all(&buffer)?;
        out.flush()?;
        Ok(summary)
    }
}

impl Summary {
    fn count(&mut self, person: &Person, bad: Option<BadKind>) {
        const BOUND: &str = "58 million people at less than a million tenge each are far below 2^63 tiyn";
        self.lines += 1;
        let amount = person.amount.money();
        match bad {
            None => {
                let of_programme = self.programmes.entry(person.programme.code).or_default();
                of_programme.count += 1;
                of_programme.sum = of_programme.sum.checked_add(amount).expect(BOUND);
            }
            Some(kind) => *self.bad.entry(kind).or_default() += 1,
        }
        let readable = match bad {
            None | Some(BadKind::IinCheckDigit | BadKind::UnknownProgramme | BadKind::Duplicate) => true,
            Some(
                BadKind::Malformed | BadKind::AmountZero | BadKind::AmountNegative | BadKind::AmountScale,
            ) => false,
        };
        if readable {
            self.total = self.total.checked_add(amount).expect(BOUND);
        }
    }
}

fn header(out: &mut Vec<u8>, layout: Layout) {
    out.extend_from_slice(layout.header().as_bytes());
    out.push(b'\n');
}

/// Someone to be paid.
struct Person {
    iin: Iin,
    programme: &'static Programme,
    amount: Amount,
}

/// The answers to the questions of a configuration.
struct Generator<'a> {
    config: &'a GeneratorConfig,
    /// Person to number.
    people: Permutation,
    /// Place in the file to person.
    order: Option<Permutation>,
    person_key: u64,
    bad_key: u64,
    /// Bounds on a draw of 64 bits, in the order of [`BadKind::ALL`].
    bad_below: [f64; 7],
    /// The running sums of the programmes' weights.
    weights: Vec<(u64, &'static Programme)>,
}

impl<'a> Generator<'a> {
    fn new(config: &'a GeneratorConfig) -> Self {
        // One stream of the seed for what stays, and one per period for what changes from payday to payday.
        let mut lasting = ChaCha8Rng::seed_from_u64(config.seed);
        let mut passing = ChaCha8Rng::seed_from_u64(config.seed);
        passing.set_stream(1 + u64::from(config.period.code().unsigned_abs()));
        let mut sum = 0.0;
        let bad_below = config.bad.in_order().map(|share| {
            sum += share;
            sum
        });
        let mut weight = 0;
        let weights = catalogue()
            .iter()
            .map(|programme| {
                weight += u64::from(programme.weight);
                (weight, programme)
            })
            .collect();
        Self {
            config,
            people: Permutation::new(PEOPLE_MAX, &mut lasting),
            person_key: lasting.next_u64(),
            order: config.shuffle.then(|| Permutation::new(config.lines, &mut passing)),
            bad_key: passing.next_u64(),
            bad_below,
            weights,
        }
    }

    fn person_at(&self, place: u64) -> Person {
        let index = self.order.as_ref().map_or(place, |order| order.of(place));
        let draw = mix(self.person_key ^ index);
        let total = self.weights.last().map_or(1, |(sum, _)| *sum);
        let ticket = draw % total;
        let programme = self.weights[self.weights.partition_point(|(sum, _)| *sum <= ticket)].1;
        let (least, most) = (programme.amount_min.tiyn(), programme.amount_max.tiyn());
        let range = u64::try_from(most - least).expect("a test holds that the least is below the most") + 1;
        let extra = i64::try_from(mix(draw) % range).expect("below the range of an amount");
        Person {
            iin: iin(self.people.of(index), mix(draw ^ 1)),
            programme,
            amount: Amount::from_tiyn(least + extra).expect("between two amounts"),
        }
    }

    fn bad_at(&self, place: u64) -> Option<BadKind> {
        let share = fraction(mix(self.bad_key ^ place));
        BadKind::ALL.into_iter().zip(self.bad_below).find(|(_, below)| share < *below).map(|(kind, _)| kind)
    }

    /// Some earlier place with a good line, if a few draws find one.
    fn good_place_before(&self, place: u64) -> Option<u64> {
        (1..=8)
            .map(|draw| mix(mix(self.bad_key ^ place).wrapping_add(draw)) % place)
            .find(|earlier| self.bad_at(*earlier).is_none())
    }

    fn line(&self, out: &mut Vec<u8>, place: u64, person: &Person, bad: Option<BadKind>) {
        let start = out.len();
        match self.config.format {
            OutputFormat::Csv => {
                write_iin(out, person, bad);
                out.push(b',');
                write_programme(out, person, bad);
                out.push(b',');
                write_period(out, self.config.period);
                out.extend_from_slice(b",1,");
                write_amount(out, person, bad);
                out.extend_from_slice(b",KZT");
            }
            OutputFormat::Ndjson => {
                out.extend_from_slice(b"{\"iin\":\"");
                write_iin(out, person, bad);
                out.extend_from_slice(b"\",\"programme\":\"");
                write_programme(out, person, bad);
                out.extend_from_slice(b"\",\"period\":\"");
                write_period(out, self.config.period);
                out.extend_from_slice(b"\",\"part\":1,\"amount\":\"");
                write_amount(out, person, bad);
                out.extend_from_slice(b"\",\"currency\":\"KZT\"}");
            }
            OutputFormat::Mifos => {
                let mut number = itoa::Buffer::new();
                out.extend_from_slice(number.format(place).as_bytes());
                out.extend_from_slice(b",req-");
                out.extend_from_slice(number.format(place).as_bytes());
                out.extend_from_slice(b",closedloop,BIN,");
                out.extend_from_slice(person.programme.payer_bin.as_str().as_bytes());
                out.extend_from_slice(b",IIN,");
                write_iin(out, person, bad);
                out.push(b',');
                write_amount(out, person, bad);
                out.extend_from_slice(b",KZT,,");
                write_programme(out, person, bad);
                out.push(b',');
                write_period(out, self.config.period);
                out.extend_from_slice(b",wallet,,");
            }
        }
        if bad == Some(BadKind::Malformed) {
            // Too early for any format to have all its columns or its closing brace.
            out.truncate(start + 16);
        }
        out.push(b'\n');
    }
}

fn write_iin(out: &mut Vec<u8>, person: &Person, bad: Option<BadKind>) {
    out.extend_from_slice(person.iin.expose().as_bytes());
    if bad == Some(BadKind::IinCheckDigit)
        && let Some(last) = out.last_mut()
    {
        *last = if *last == b'9' { b'0' } else { *last + 1 };
    }
}

fn write_programme(out: &mut Vec<u8>, person: &Person, bad: Option<BadKind>) {
    let code =
        if bad == Some(BadKind::UnknownProgramme) { "NO_SUCH" } else { person.programme.code.as_str() };
    out.extend_from_slice(code.as_bytes());
}

fn write_period(out: &mut Vec<u8>, period: Period) {
    write!(out, "{period}").expect("writing to memory does not fail");
}

fn write_amount(out: &mut Vec<u8>, person: &Person, bad: Option<BadKind>) {
    match bad {
        Some(BadKind::AmountZero) => out.extend_from_slice(b"0.00"),
        Some(BadKind::AmountNegative) => {
            out.push(b'-');
            person.amount.money().write_to(out);
        }
        Some(BadKind::AmountScale) => {
            person.amount.money().write_to(out);
            out.push(b'5');
        }
        _ => person.amount.money().write_to(out),
    }
}

/// The number of one of [`PEOPLE_MAX`] people: the day of birth, the century and sex, three digits of the person, and
/// an eleventh digit for which there is a check digit. That digit has the weight 11 ≡ 0 in the first sum and 2 in the
/// second, so at most one of its ten values has none.
fn iin(person: u64, draw: u64) -> Iin {
    let (day, rest) = (person / PEOPLE_PER_DAY, person % PEOPLE_PER_DAY);
    let (second_sex, serial) = (rest / 1_000, rest % 1_000);
    let (year, month, day) = civil(day);
    let century_and_sex = if year < 2000 { 3 } else { 5 } + second_sex;
    let digit = |number: u64| u8::try_from(number % 10).expect("below ten");
    (0..2)
        .find_map(|attempt| {
            Iin::from_prefix([
                digit(year / 10),
                digit(year),
                digit(month / 10),
                digit(month),
                digit(day / 10),
                digit(day),
                digit(century_and_sex),
                digit(serial / 100),
                digit(serial / 10),
                digit(serial),
                digit(draw % 10 + attempt),
            ])
        })
        .expect("of two values of the eleventh digit one has a check digit")
}

/// Year, month and day of the month, for days from 1 January 1930. In these years every fourth is a leap year.
fn civil(day: u64) -> (u64, u64, u64) {
    // Four years at a time from 1928, which is a leap year.
    let days = day + 366 + 365;
    let (cycle, mut left) = (days / 1_461, days % 1_461);
    let mut year = 1928 + cycle * 4;
    let mut length = 366;
    while left >= length {
        left -= length;
        year += 1;
        length = 365;
    }
    let february = if length == 366 { 29 } else { 28 };
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    (year, month, left + 1)
}

/// A pseudo-random permutation of 0..size as a function: a Feistel network over pairs of digits of a base near the
/// root of the size, walked on until it comes to rest inside.
struct Permutation {
    size: u64,
    base: u64,
    keys: [u64; 4],
}

impl Permutation {
    fn new(size: u64, keys: &mut impl Rng) -> Self {
        let root = size.isqrt();
        let base = if root * root < size { root + 1 } else { root };
        Self { size, base, keys: std::array::from_fn(|_| keys.next_u64()) }
    }

    /// The place of `index`, which is below the size.
    fn of(&self, index: u64) -> u64 {
        let mut place = self.walk(index);
        // The network permutes 0..base², so whoever starts inside comes back inside.
        while place >= self.size {
            place = self.walk(place);
        }
        place
    }

    fn walk(&self, place: u64) -> u64 {
        let (mut left, mut right) = (place / self.base, place % self.base);
        for key in self.keys {
            (left, right) = (right, (left + mix(key ^ right) % self.base) % self.base);
        }
        left * self.base + right
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, 2014): a bijection of 64 bits that mixes them well.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A draw of 64 bits as a number from 0 up to 1, exactly.
fn fraction(draw: u64) -> f64 {
    let high = u32::try_from(draw >> 32).expect("the upper half of 64 bits");
    f64::from(high) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::super::chunk::{Encoding, parse_chunk};
    use super::super::line::{AccrualLine, Line, LineKind};
    use super::*;

    fn config(lines: u64) -> GeneratorConfig {
        GeneratorConfig {
            lines,
            seed: 7,
            period: Period::parse(b"2026-11").unwrap(),
            shuffle: true,
            bad: BadShares::default(),
            format: OutputFormat::Csv,
        }
    }

    fn written(config: &GeneratorConfig) -> (Vec<u8>, Summary) {
        let mut file = Vec::new();
        let summary = config.write_to(&mut file).unwrap();
        (file, summary)
    }

    fn parsed(config: &GeneratorConfig) -> Vec<Result<AccrualLine, &'static str>> {
        let encoding = if config.format == OutputFormat::Ndjson { Encoding::Ndjson } else { Encoding::Csv };
        parse_chunk(LineKind::Accrual, encoding, &written(config).0)
            .unwrap()
            .into_iter()
            .map(|parsed| match parsed.line {
                Ok(Line::Accrual(line)) => Ok(line),
                Ok(other) => panic!("not an accrual: {other:?}"),
                Err(fault) => Err(fault.code.code()),
            })
            .collect()
    }

    #[test]
    fn every_format_says_the_same_and_every_person_comes_once() {
        let [csv, ndjson, mifos] = [OutputFormat::Csv, OutputFormat::Ndjson, OutputFormat::Mifos]
            .map(|format| parsed(&GeneratorConfig { format, ..config(5_000) }));
        assert_eq!(csv, ndjson);
        assert_eq!(csv, mifos);
        let people: HashSet<Iin> = csv.iter().map(|line| line.unwrap().iin).collect();
        assert_eq!(people.len(), 5_000);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_other_people() {
        assert_eq!(written(&config(1_000)), written(&config(1_000)));
        let people = |seed| -> BTreeSet<Iin> {
            parsed(&GeneratorConfig { seed, ..config(1_000) }).iter().map(|line| line.unwrap().iin).collect()
        };
        assert!(people(7).is_disjoint(&people(8)));
    }

    #[test]
    fn the_next_payday_pays_the_same_people_from_the_same_programmes_in_another_order() {
        let november = parsed(&config(2_000));
        let december =
            parsed(&GeneratorConfig { period: Period::parse(b"2026-12").unwrap(), ..config(2_000) });
        let who = |lines: &[Result<AccrualLine, &str>]| -> Vec<_> {
            lines
                .iter()
                .map(|line| line.unwrap())
                .map(|line| (line.iin, line.programme, line.amount))
                .collect()
        };
        let (mut first, mut second) = (who(&november), who(&december));
        assert_ne!(first, second);
        first.sort();
        second.sort();
        assert_eq!(first, second);
    }

    #[test]
    fn a_longer_file_begins_with_the_same_people() {
        let unshuffled = |lines| parsed(&GeneratorConfig { shuffle: false, ..config(lines) });
        assert_eq!(unshuffled(100), unshuffled(1_000)[..100]);
    }

    #[test]
    fn bad_lines_are_bad_in_the_way_that_was_asked_for_and_the_summary_counts_them() {
        let bad = BadShares {
            malformed: 0.05,
            iin_check_digit: 0.05,
            unknown_programme: 0.05,
            amount_zero: 0.05,
            amount_negative: 0.05,
            amount_scale: 0.05,
            duplicate: 0.05,
        };
        for format in [OutputFormat::Csv, OutputFormat::Ndjson, OutputFormat::Mifos] {
            let config = GeneratorConfig { bad, format, ..config(8_000) };
            let (file, summary) = written(&config);
            let encoding = if format == OutputFormat::Ndjson { Encoding::Ndjson } else { Encoding::Csv };
            let lines = parse_chunk(LineKind::Accrual, encoding, &file).unwrap();
            assert_eq!(summary.lines, 8_000);
            let received =
                lines.iter().filter_map(|line| line.amount).fold(0, |sum, amount| sum + amount.tiyn());
            assert_eq!(summary.total.tiyn(), received);

            let mut found: BTreeMap<BadKind, u64> = BTreeMap::new();
            let mut keys = HashSet::new();
            let mut programmes: BTreeMap<ProgrammeCode, ProgrammeSum> = BTreeMap::new();
            for line in lines {
                let kind = match line.line.map_err(|fault| fault.code.code()) {
                    Ok(Line::Accrual(line)) if line.programme.as_str() == "NO_SUCH" => {
                        BadKind::UnknownProgramme
                    }
                    Ok(Line::Accrual(line))
                        if keys.insert((line.iin, line.programme, line.period, line.part)) =>
                    {
                        let of_programme = programmes.entry(line.programme).or_default();
                        of_programme.count += 1;
                        of_programme.sum = of_programme.sum.checked_add(line.amount.money()).unwrap();
                        continue;
                    }
                    Ok(_) => BadKind::Duplicate,
                    Err("malformed_line") => BadKind::Malformed,
                    Err("iin_check_digit") => BadKind::IinCheckDigit,
                    Err("amount_zero") => BadKind::AmountZero,
                    Err("amount_negative") => BadKind::AmountNegative,
                    Err("amount_scale") => BadKind::AmountScale,
                    Err(other) => panic!("nobody asked for {other}"),
                };
                *found.entry(kind).or_default() += 1;
            }
            assert_eq!(found, summary.bad);
            assert_eq!(programmes, summary.programmes);
            assert_eq!(found.len(), 7);
            assert!(found.values().all(|count| (300..500).contains(count)), "{found:?}");
        }
    }

    #[test]
    fn every_programme_is_paid_within_its_range() {
        let lines = parsed(&config(8_000));
        for programme in catalogue() {
            let of_programme: Vec<_> = lines
                .iter()
                .map(|line| line.unwrap())
                .filter(|line| line.programme == programme.code)
                .collect();
            assert!(!of_programme.is_empty(), "{}", programme.code);
            let range = programme.amount_min..=programme.amount_max;
            assert!(of_programme.iter().all(|line| range.contains(&line.amount)));
        }
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let shares = |malformed, duplicate| BadShares { malformed, duplicate, ..BadShares::default() };
        for config in [
            config(PEOPLE_MAX + 1),
            GeneratorConfig { bad: shares(0.6, 0.6), ..config(1) },
            GeneratorConfig { bad: shares(-0.1, 0.0), ..config(1) },
            GeneratorConfig { bad: shares(f64::NAN, 0.0), ..config(1) },
        ] {
            assert_eq!(config.write_to(io::sink()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(config(0).write_to(io::sink()).unwrap(), Summary::default());
    }

    #[test]
    fn a_file_of_nothing_but_duplicates_still_has_one_line_to_repeat() {
        let bad = BadShares { duplicate: 1.0, ..BadShares::default() };
        let summary = GeneratorConfig { bad, ..config(50) }.write_to(io::sink()).unwrap();
        assert_eq!(summary.bad[&BadKind::Duplicate], 49);
    }

    #[test]
    fn days_are_counted_by_the_calendar() {
        assert_eq!(civil(0), (1930, 1, 1));
        assert_eq!(civil(58), (1930, 2, 28));
        assert_eq!(civil(59), (1930, 3, 1));
        assert_eq!(civil(2 * 365 + 59), (1932, 2, 29));
        assert_eq!(civil(DAYS - 1), (2009, 12, 31));
        let dates: BTreeSet<_> = (0..DAYS).map(civil).collect();
        assert_eq!(dates.len() as u64, DAYS);
    }

    proptest! {
        #[test]
        fn a_permutation_reaches_every_place_once(size in 1_u64..3_000, seed in any::<u64>()) {
            let permutation = Permutation::new(size, &mut ChaCha8Rng::seed_from_u64(seed));
            let places: BTreeSet<u64> = (0..size).map(|index| permutation.of(index)).collect();
            prop_assert_eq!(places, (0..size).collect());
        }

        #[test]
        fn distinct_people_have_distinct_numbers(first in 0..PEOPLE_MAX, second in 0..PEOPLE_MAX, draws in any::<[u64; 2]>()) {
            prop_assume!(first != second);
            prop_assert_ne!(iin(first, draws[0]), iin(second, draws[1]));
        }
    }
}
