//! The verdicts on the lines of a chunk, as the service writes them: CSV, one row a line, in order of lines.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The header row of every list of verdicts.
const HEADER: &str = "line,verdict,entry,code,field";

/// Lines that a summary keeps to show for each code.
const LINES_SHOWN_MAX: usize = 3;

/// What was decided on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictKind {
    /// It made its entry.
    Accepted,
    /// It had made its entry before.
    AlreadyAccepted,
    /// It moved nothing.
    Refused,
}

/// The verdict on a line, borrowed from the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictLine<'a> {
    /// The line's number in the batch.
    pub line: u64,
    /// What was decided.
    pub verdict: VerdictKind,
    /// The entry it made, or the entry that stands in its way.
    pub entry: Option<u64>,
    /// Why it was refused; empty otherwise.
    pub code: &'a str,
    /// The field at fault; may be empty.
    pub field: &'a str,
}

/// A list of verdicts, checked to be well formed and in order.
#[derive(Debug, Clone)]
pub struct VerdictList {
    text: Bytes,
    lines: u64,
}

impl VerdictList {
    /// Reads a body; `None` if it is not a list of verdicts in strictly ascending order of lines.
    #[must_use]
    pub fn read(text: Bytes) -> Option<Self> {
        let (mut lines, mut last) = (0, 0);
        let checked = std::str::from_utf8(&text).ok()?;
        for row in rows(checked)? {
            let verdict = read_row(row)?;
            if verdict.line <= last {
                return None;
            }
            last = verdict.line;
            lines += 1;
        }
        Some(Self { text, lines })
    }

    /// How many lines it judges.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether it judges these lines, all of them and no others.
    #[must_use]
    pub fn covers(&self, first_line: u64, lines: u64) -> bool {
        let mut verdicts = self.iter();
        let first = verdicts.next().map(|verdict| verdict.line);
        let last = verdicts.last().map(|verdict| verdict.line).or(first);
        self.lines == lines && first == Some(first_line) && last == Some(first_line + lines - 1)
    }

    /// The verdicts, in order of lines.
    pub fn iter(&self) -> impl Iterator<Item = VerdictLine<'_>> {
        let text = std::str::from_utf8(&self.text).expect("checked when it was read");
        rows(text)
            .expect("checked when it was read")
            .map(|row| read_row(row).expect("checked when it was read"))
    }

    /// The rows as they came, without the header row, each with its line feed.
    #[must_use]
    pub fn rows_text(&self) -> &[u8] {
        let header = self.text.iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |end| end + 1);
        &self.text[header..]
    }

    /// The header row of every list, with its line feed.
    #[must_use]
    pub fn header_text() -> &'static [u8] {
        b"line,verdict,entry,code,field\n"
    }
}

fn rows(text: &str) -> Option<impl Iterator<Item = &str>> {
    let mut rows = text.lines();
    (rows.next() == Some(HEADER)).then_some(rows)
}

fn read_row(row: &str) -> Option<VerdictLine<'_>> {
    let mut cells = row.split(',');
    let line = cells.next()?.parse().ok()?;
    let verdict = match cells.next()? {
        "accepted" => VerdictKind::Accepted,
        "already_accepted" => VerdictKind::AlreadyAccepted,
        "refused" => VerdictKind::Refused,
        _ => return None,
    };
    let entry = match cells.next()? {
        "" => None,
        entry => Some(entry.parse().ok()?),
    };
    let (code, field) = (cells.next()?, cells.next()?);
    cells.next().is_none().then_some(VerdictLine { line, verdict, entry, code, field })
}

/// Lines and what they add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub lines: u64,
    /// The sum of their readable amounts, in tiyn.
    pub sum: i64,
}

impl Tally {
    fn add(&mut self, amount: i64) {
        self.lines += 1;
        self.sum = self.sum.saturating_add(amount);
    }
}

/// A refused line, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number in the file.
    pub line: u64,
    /// The field at fault; may be empty.
    pub field: String,
    /// The entry that stands in the way.
    pub entry: Option<u64>,
}

/// The lines that were refused with one code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many, and what they add up to.
    pub tally: Tally,
    /// The first few.
    pub first: Vec<RefusedLine>,
}

/// What came of a file, or of a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that made their entries.
    pub accepted: Tally,
    /// Lines that had made them before.
    pub already_accepted: Tally,
    /// Lines that moved nothing, by code.
    pub refused: BTreeMap<String, Refused>,
}

impl Summary {
    /// Counts verdicts in, with the amounts of their lines in the same order (0 where a line has no readable one).
    pub fn add(&mut self, verdicts: &VerdictList, amounts: &[i64]) {
        for (verdict, amount) in verdicts.iter().zip(amounts) {
            match verdict.verdict {
                VerdictKind::Accepted => self.accepted.add(*amount),
                VerdictKind::AlreadyAccepted => self.already_accepted.add(*amount),
                VerdictKind::Refused => self.add_refused(&verdict, *amount),
            }
        }
    }

    fn add_refused(&mut self, verdict: &VerdictLine<'_>, amount: i64) {
        // Looked up before it is inserted: a million refused lines must not make a million strings.
        if !self.refused.contains_key(verdict.code) {
            self.refused.insert(verdict.code.to_owned(), Refused::default());
        }
        let Some(refused) = self.refused.get_mut(verdict.code) else { return };
        refused.tally.add(amount);
        if refused.first.len() < LINES_SHOWN_MAX {
            let field = verdict.field.to_owned();
            refused.first.push(RefusedLine { line: verdict.line, field, entry: verdict.entry });
        }
    }

    /// All refused lines together.
    #[must_use]
    pub fn refused_all(&self) -> Tally {
        self.refused.values().fold(Tally::default(), |all, refused| Tally {
            lines: all.lines + refused.tally.lines,
            sum: all.sum.saturating_add(refused.tally.sum),
        })
    }

    /// All lines together.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.accepted.lines + self.already_accepted.lines + self.refused_all().lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "line,verdict,entry,code,field\n7,accepted,1042,,\n8,already_accepted,811,,\n\
                        9,refused,,iin_check_digit,iin\n10,refused,377,benefit_already_paid,amount\n";

    fn list(text: &str) -> Option<VerdictList> {
        VerdictList::read(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_list_is_read_row_by_row_and_given_back_as_it_came() {
        let list = list(LIST).unwrap();
        assert_eq!(list.lines(), 4);
        assert!(list.covers(7, 4) && !list.covers(7, 3) && !list.covers(6, 4));
        let fourth = list.iter().last().unwrap();
        let code = "benefit_already_paid";
        let expected =
            VerdictLine { line: 10, verdict: VerdictKind::Refused, entry: Some(377), code, field: "amount" };
        assert_eq!(fourth, expected);
        let together = [VerdictList::header_text(), list.rows_text()].concat();
        assert_eq!(together, LIST.as_bytes());
    }

    #[test]
    fn what_is_not_a_list_of_verdicts_in_order_is_refused() {
        let header = "line,verdict,entry,code,field\n";
        assert!(list(header).is_some_and(|list| list.lines() == 0));
        for rows in
            ["1,accepted,5,\n", "1,accepted,5,,,\n", "1,paid,5,,\n", "x,accepted,5,,\n", "1,accepted,x,,\n"]
        {
            assert!(list(&format!("{header}{rows}")).is_none(), "{rows}");
        }
        assert!(list(&format!("{header}2,accepted,5,,\n1,accepted,6,,\n")).is_none());
        assert!(list("").is_none());
        assert!(list("<html>").is_none());
    }

    #[test]
    fn a_summary_counts_and_sums_by_verdict_and_by_code() {
        let mut summary = Summary::default();
        summary.add(&list(LIST).unwrap(), &[100, 200, 0, 400]);
        assert_eq!(summary.accepted, Tally { lines: 1, sum: 100 });
        assert_eq!(summary.already_accepted, Tally { lines: 1, sum: 200 });
        assert_eq!(summary.refused["benefit_already_paid"].tally, Tally { lines: 1, sum: 400 });
        assert_eq!(summary.refused_all(), Tally { lines: 2, sum: 400 });
        assert_eq!(summary.lines(), 4);
        assert_eq!(summary.refused["iin_check_digit"].first[0].line, 9);
    }

    #[test]
    fn a_summary_keeps_only_the_first_lines_of_a_code() {
        let rows: Vec<_> = (1..=100).map(|line| format!("{line},refused,,amount_zero,amount\n")).collect();
        let mut summary = Summary::default();
        summary.add(&list(&format!("line,verdict,entry,code,field\n{}", rows.concat())).unwrap(), &[0; 100]);
        let refused = &summary.refused["amount_zero"];
        assert_eq!((refused.tally.lines, refused.first.len()), (100, LINES_SHOWN_MAX));
    }
}
