//! Payroll files of any size, read once and in bounded memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::chunk::{
    BYTE_ORDER_MARK, CHUNK_BYTES_MAX, Encoding, LINE_BYTES_MAX, LINES_PER_CHUNK_MAX, parse_chunk,
};
use super::line::{Line, LineKind};
use crate::domain::{Money, Period, ProgrammeCode};

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A piece of a file, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The number of its first line in the file: 1 is the first line of data, a CSV header is not counted.
    pub first_line: u64,
    /// How many lines of data it has, at least 1.
    pub lines: u32,
    /// The header line, for CSV, and the lines, each with its line feed.
    pub body: Vec<u8>,
}

/// Cuts a payroll file into chunks that a server takes.
///
/// It cuts at line feeds and looks at nothing else: bad UTF-8 and bad lines pass as they are, for the server to
/// refuse one by one. A line of more than [`LINE_BYTES_MAX`] bytes is cut to one byte more than that, and the rest of
/// it is skipped, not buffered: the server still sees exactly one line there, still too long, and refuses it.
///
/// A file whose first byte, after an optional byte order mark, is `{` is NDJSON; any other is CSV.
#[derive(Debug)]
pub struct ChunkReader<R> {
    input: R,
    encoding: Encoding,
    /// With its line feed; empty for NDJSON.
    header: Vec<u8>,
    lines_max: u32,
    /// The number of the next line to be given.
    next_line: u64,
    /// A line that was read and did not fit into the chunk before, with its line feed; or empty.
    pending: Vec<u8>,
}

impl ChunkReader<BufReader<File>> {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(BufReader::with_capacity(READ_BUFFER_BYTES, File::open(path)?))
    }
}

impl<R: BufRead> ChunkReader<R> {
    /// Reads the header, if there is one. The buffer of `input` must hold three bytes at least.
    pub fn new(mut input: R) -> io::Result<Self> {
        if input.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            input.consume(BYTE_ORDER_MARK.len());
        }
        let encoding =
            if input.fill_buf()?.first() == Some(&b'{') { Encoding::Ndjson } else { Encoding::Csv };
        let mut header = Vec::new();
        if encoding == Encoding::Csv {
            read_line(&mut input, &mut header)?;
        }
        let lines_max = u32::try_from(LINES_PER_CHUNK_MAX).expect("the limit is a small constant");
        Ok(Self { input, encoding, header, lines_max, next_line: 1, pending: Vec::new() })
    }

    /// Makes the chunks smaller: 1 to [`LINES_PER_CHUNK_MAX`] lines; other numbers are moved to the nearest of these.
    #[must_use]
    pub fn with_lines_max(mut self, lines_max: usize) -> Self {
        self.lines_max =
            u32::try_from(lines_max.clamp(1, LINES_PER_CHUNK_MAX)).expect("clamped to a small constant");
        self
    }

    /// How the file is written.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The header line of a CSV file, without its line break.
    #[must_use]
    pub fn header(&self) -> Option<&[u8]> {
        let line = self.header.strip_suffix(b"\n")?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Goes forward so that the next chunk begins with this line. Beyond the end there are no more chunks. The lines
    /// between are passed over without being kept.
    ///
    /// Fails with `InvalidInput` for a line that has been given already.
    pub fn skip_to(&mut self, first_line: u64) -> io::Result<()> {
        if first_line < self.next_line {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a chunk reader does not go back"));
        }
        if first_line > self.next_line && !self.pending.is_empty() {
            self.pending.clear();
            self.next_line += 1;
        }
        while self.next_line < first_line && self.input.skip_until(b'\n')? > 0 {
            self.next_line += 1;
        }
        Ok(())
    }

    /// The next chunk, or `None` at the end of the file.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut body = self.header.clone();
        let mut lines = 0;
        if !self.pending.is_empty() {
            body.append(&mut self.pending);
            lines = 1;
        }
        while lines < self.lines_max {
            let before = body.len();
            if !read_line(&mut self.input, &mut body)? {
                break;
            }
            if body.len() > CHUNK_BYTES_MAX {
                self.pending = body.split_off(before);
                break;
            }
            lines += 1;
        }
        if lines == 0 {
            return Ok(None);
        }
        let first_line = self.next_line;
        self.next_line += u64::from(lines);
        Ok(Some(Chunk { first_line, lines, body }))
    }
}

impl<R: BufRead> Iterator for ChunkReader<R> {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_chunk().transpose()
    }
}

/// Appends the next line, cut to one byte more than a line may have, and a line feed; `false` at the end.
fn read_line(input: &mut impl BufRead, out: &mut Vec<u8>) -> io::Result<bool> {
    let limit = LINE_BYTES_MAX + 1;
    let taken = input.take(limit as u64).read_until(b'\n', out)?;
    if taken == 0 {
        return Ok(false);
    }
    if out.last() != Some(&b'\n') {
        if taken == limit {
            input.skip_until(b'\n')?;
        }
        out.push(b'\n');
    }
    Ok(true)
}

/// What a payroll file holds, to be declared to the server before the first chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSurvey {
    /// Lines of data, good and bad.
    pub lines: u64,
    /// The sum of every readable amount, of good lines and of bad ones.
    pub total: Money,
    /// The programmes of the good lines.
    pub programmes: BTreeSet<ProgrammeCode>,
    /// The periods of the good lines.
    pub periods: BTreeSet<Period>,
    /// SHA-256 of the whole file, byte for byte.
    pub digest: [u8; 32],
    /// How the file is written.
    pub encoding: Encoding,
    /// The header line of a CSV file, without its line break.
    pub header: Option<Vec<u8>>,
}

/// Reads a file from end to end, with the parser that the server uses.
///
/// Fails with `InvalidData` when the header is none of those of the kind, and when the total passes 2⁶³ − 1 tiyn.
pub fn survey(path: &Path, kind: LineKind) -> io::Result<FileSurvey> {
    survey_of(File::open(path)?, kind)
}

fn survey_of(input: impl Read, kind: LineKind) -> io::Result<FileSurvey> {
    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let hashing = Hashing { input, digest: Sha256::new() };
    let mut chunks = ChunkReader::new(BufReader::with_capacity(READ_BUFFER_BYTES, hashing))?;
    let (mut lines, mut total) = (0, Money::ZERO);
    let (mut programmes, mut periods) = (BTreeSet::new(), BTreeSet::new());
    while let Some(chunk) = chunks.next_chunk()? {
        lines += u64::from(chunk.lines);
        for parsed in parse_chunk(kind, chunks.encoding, &chunk.body).map_err(|fault| invalid(&fault))? {
            if let Some(amount) = parsed.amount {
                total = total.checked_add(amount.money()).ok_or_else(|| {
                    invalid(&"the amounts of the file add up to more than the ledger can hold")
                })?;
            }
            let (programme, period) = match &parsed.line {
                Ok(Line::Accrual(line)) => (line.programme, line.period),
                Ok(Line::Reversal(line)) => (line.programme, line.period),
                Ok(Line::Opening(_)) | Err(_) => continue,
            };
            programmes.insert(programme);
            periods.insert(period);
        }
    }
    let (encoding, header) = (chunks.encoding, chunks.header().map(<[u8]>::to_vec));
    // No chunk is left, so every byte of the input went through the digest.
    let digest = chunks.input.into_inner().digest.finalize().into();
    Ok(FileSurvey { lines, total, programmes, periods, digest, encoding, header })
}

/// Passes bytes on and hashes them on the way.
struct Hashing<R> {
    input: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "iin,programme,period,part,amount,currency\n";

    fn chunks(file: &[u8], lines_max: usize) -> Vec<Chunk> {
        ChunkReader::new(file).unwrap().with_lines_max(lines_max).map(Result::unwrap).collect()
    }

    #[test]
    fn every_csv_chunk_has_the_header_and_numbers_its_lines_from_one() {
        let file = format!("{HEADER}a\nb\nc\nd\ne");
        let chunks = chunks(file.as_bytes(), 2);
        let bodies: Vec<_> =
            chunks.iter().map(|chunk| String::from_utf8(chunk.body.clone()).unwrap()).collect();
        assert_eq!(bodies, [format!("{HEADER}a\nb\n"), format!("{HEADER}c\nd\n"), format!("{HEADER}e\n")]);
        let places: Vec<_> = chunks.iter().map(|chunk| (chunk.first_line, chunk.lines)).collect();
        assert_eq!(places, [(1, 2), (3, 2), (5, 1)]);
    }

    #[test]
    fn ndjson_is_told_by_its_first_byte_and_has_no_header() {
        let reader = ChunkReader::new(&b"\xef\xbb\xbf{\"iin\":1}\n{}\n"[..]).unwrap();
        assert_eq!(reader.encoding(), Encoding::Ndjson);
        assert_eq!(reader.header(), None);
        let chunks: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(chunks, [Chunk { first_line: 1, lines: 2, body: b"{\"iin\":1}\n{}\n".to_vec() }]);
    }

    #[test]
    fn an_empty_file_and_a_lone_header_have_no_chunks() {
        assert_eq!(chunks(b"", 10), []);
        assert_eq!(chunks(HEADER.as_bytes(), 10), []);
    }

    #[test]
    fn skipping_leads_to_the_same_chunk_that_reading_does() {
        let file =
            format!("{HEADER}{}", (1..=100).map(|line| line.to_string()).collect::<Vec<_>>().join("\n"));
        let all = chunks(file.as_bytes(), 7);
        for chunk in &all {
            let mut reader = ChunkReader::new(file.as_bytes()).unwrap().with_lines_max(7);
            reader.skip_to(chunk.first_line).unwrap();
            assert_eq!(reader.next_chunk().unwrap().as_ref(), Some(chunk));
            assert_eq!(reader.skip_to(chunk.first_line).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        let mut reader = ChunkReader::new(file.as_bytes()).unwrap();
        reader.skip_to(101).unwrap();
        assert_eq!(reader.next_chunk().unwrap(), None);
    }

    #[test]
    fn skipping_counts_a_line_that_waits_for_the_next_chunk() {
        let file = format!("{HEADER}{}", format!("{}\n", "x".repeat(LINE_BYTES_MAX)).repeat(3_000));
        let mut reader = ChunkReader::new(file.as_bytes()).unwrap();
        let first = reader.next_chunk().unwrap().unwrap();
        assert!(!reader.pending.is_empty());
        let next = u64::from(first.lines) + 1;
        reader.skip_to(next + 1).unwrap();
        assert_eq!(reader.next_chunk().unwrap().unwrap().first_line, next + 1);
        let total: u64 = chunks(file.as_bytes(), usize::MAX).iter().map(|chunk| u64::from(chunk.lines)).sum();
        assert_eq!(total, 3_000);
    }

    #[test]
    fn an_endless_line_is_not_buffered_and_still_counts_as_one_line_that_is_too_long() {
        let endless = io::repeat(b'x').take(100_000_000);
        let input = HEADER.as_bytes().chain(endless).chain(&b"\nnext\n"[..]);
        let mut reader = ChunkReader::new(BufReader::new(input)).unwrap();
        let chunk = reader.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.lines, 2);
        assert_eq!(chunk.body.len(), HEADER.len() + LINE_BYTES_MAX + 2 + "next\n".len());
        let codes: Vec<_> = parse_chunk(LineKind::Accrual, Encoding::Csv, &chunk.body)
            .unwrap()
            .iter()
            .map(|line| line.line.as_ref().unwrap_err().code.code())
            .collect();
        assert_eq!(codes, ["line_too_long", "malformed_line"]);
    }

    #[test]
    fn a_survey_counts_sums_and_hashes_the_whole_file() {
        let file = format!(
            "{HEADER}830717350867,ASP,2026-11,1,5,KZT\n830717350860,PENSION,2026-12,1,0.50,KZT\nbad\n\
             760212350620,ALQA,once,1,1.25,KZT"
        );
        let survey = survey_of(file.as_bytes(), LineKind::Accrual).unwrap();
        assert_eq!(survey.lines, 4);
        assert_eq!(survey.total.to_string(), "6.75");
        assert_eq!(survey.programmes.iter().map(ProgrammeCode::as_str).collect::<Vec<_>>(), ["ALQA", "ASP"]);
        assert_eq!(survey.periods.len(), 2);
        assert_eq!(survey.digest, <[u8; 32]>::from(Sha256::digest(&file)));
        assert_eq!(survey.encoding, Encoding::Csv);
        assert_eq!(survey.header.as_deref(), Some(HEADER.trim_end().as_bytes()));
    }

    #[test]
    fn a_survey_refuses_a_file_of_another_kind_and_a_total_beyond_the_ledger() {
        let file = format!("{HEADER}830717350867,ASP,2026-11,1,5,KZT\n");
        let error = survey_of(file.as_bytes(), LineKind::Reversal).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let line = "830717350867,ASP,2026-11,1,999999999999.99,KZT\n";
        let file = HEADER.as_bytes().chain(io::Cursor::new(line.repeat(100_000)));
        let error = survey_of(file, LineKind::Accrual).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn chunks_put_together_are_the_lines_of_the_file(
            lines in prop::collection::vec("[a-z\r]{0,9}\n", 0..60), lines_max in 1_usize..20
        ) {
            let data = lines.concat();
            let file = format!("{HEADER}{data}");
            let chunks = chunks(file.as_bytes(), lines_max);
            let together: Vec<u8> =
                chunks.iter().flat_map(|chunk| chunk.body[HEADER.len()..].iter().copied()).collect();
            prop_assert_eq!(together, data.into_bytes());
            let mut next = 1;
            for chunk in chunks {
                prop_assert_eq!(chunk.first_line, next);
                prop_assert!(chunk.lines as usize <= lines_max);
                let parsed = parse_chunk(LineKind::Accrual, Encoding::Csv, &chunk.body).unwrap();
                prop_assert_eq!(parsed.len(), chunk.lines as usize);
                next += u64::from(chunk.lines);
            }
            prop_assert_eq!(next, lines.len() as u64 + 1);
        }
    }
}
