//! A CSV line (RFC 4180), already cut out of its chunk.
//!
//! Almost no line has a quote, so a line without one is cut at its commas and borrows from the chunk. A line with a
//! quote is read by a strict reader: general CSV libraries repair broken quoting silently, and a repaired line may
//! pay another sum to another person than was meant.

use std::borrow::Cow;

use super::fault::LineFaultCode;
use super::line::LineKind;
use super::line::{AccrualFields, KeyFields, PAYEE_TYPE_IIN, ParsedLine, judge_opening, judge_reversal};
use crate::domain::Part;

/// Which columns a CSV chunk has, told by its header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Accrual,
    /// The bulk file of Mifos Payment Hub, taken as it is.
    MifosBulk,
    Reversal,
    Opening,
}

impl Layout {
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Accrual => "iin,programme,period,part,amount,currency",
            Self::MifosBulk => {
                "id,request_id,payment_mode,payer_identifier_type,payer_identifier,payee_identifier_type,\
                 payee_identifier,amount,currency,note,program_shortcode,cycle,payee_dfsp_id,batch_id,account_number"
            }
            Self::Reversal => "iin,programme,period,part,reason",
            Self::Opening => "iin",
        }
    }

    pub(super) fn of(kind: LineKind, header: &[u8]) -> Option<Self> {
        let layouts: &[Self] = match kind {
            LineKind::Accrual => &[Self::Accrual, Self::MifosBulk],
            LineKind::Reversal => &[Self::Reversal],
            LineKind::WalletOpening => &[Self::Opening],
        };
        layouts.iter().copied().find(|layout| layout.header().as_bytes() == header)
    }
}

/// One line, without its line break.
pub(super) fn parse(layout: Layout, line: &[u8]) -> ParsedLine {
    let parsed = if line.is_empty() {
        None
    } else if line.contains(&b'"') {
        unquote(line).and_then(|fields| judge(layout, fields.iter().map(AsRef::as_ref)))
    } else {
        judge(layout, line.split(|byte| *byte == b','))
    };
    parsed.unwrap_or(ParsedLine::refused(LineFaultCode::MalformedLine))
}

/// `None` when the number of columns is wrong. An empty field is an absent one.
fn judge<'a>(layout: Layout, fields: impl Iterator<Item = &'a [u8]>) -> Option<ParsedLine> {
    let some = |text: &'a [u8]| if text.is_empty() { None } else { Some(text) };
    match layout {
        Layout::Accrual => {
            let [iin, programme, period, part, amount, currency] = exactly(fields)?.map(some);
            let key = KeyFields { iin, programme, period, part: part.map(Part::parse) };
            Some(AccrualFields { payee_type: Some(PAYEE_TYPE_IIN), key, amount, currency }.judge())
        }
        Layout::MifosBulk => {
            let [_, _, _, _, _, payee_type, iin, amount, currency, _, programme, period, _, _, _] =
                exactly(fields)?.map(some);
            let key = KeyFields { iin, programme, period, part: None };
            Some(AccrualFields { payee_type, key, amount, currency }.judge())
        }
        Layout::Reversal => {
            let [iin, programme, period, part, reason] = exactly(fields)?.map(some);
            let key = KeyFields { iin, programme, period, part: part.map(Part::parse) };
            Some(judge_reversal(&key, reason))
        }
        Layout::Opening => {
            let [iin] = exactly(fields)?.map(some);
            Some(judge_opening(iin))
        }
    }
}

/// The fields of a line with exactly `COLUMNS` of them; `None` for a fault of the whole line.
pub(crate) fn columns<const COLUMNS: usize>(line: &[u8]) -> Option<[Cow<'_, [u8]>; COLUMNS]> {
    let fields = match line {
        [] => return None,
        line if line.contains(&b'"') => unquote(line)?,
        line => line.split(|byte| *byte == b',').map(Cow::Borrowed).collect(),
    };
    fields.try_into().ok()
}

/// The fields as an array, if there are exactly `COLUMNS`.
fn exactly<'a, const COLUMNS: usize>(
    mut fields: impl Iterator<Item = &'a [u8]>,
) -> Option<[&'a [u8]; COLUMNS]> {
    let mut columns: [&[u8]; COLUMNS] = [&[]; COLUMNS];
    for column in &mut columns {
        *column = fields.next()?;
    }
    if fields.next().is_some() { None } else { Some(columns) }
}

/// The fields of a line that has quotes; `None` when a quote stands in a bare field, is not closed, or is followed by
/// anything but a comma.
fn unquote(line: &[u8]) -> Option<Vec<Cow<'_, [u8]>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest {
            [b'"', quoted @ ..] => quoted_field(quoted)?,
            _ => bare_field(rest)?,
        };
        fields.push(field);
        match after {
            [] => return Some(fields),
            [b',', next @ ..] => rest = next,
            _ => return None,
        }
    }
}

/// Up to the next comma.
fn bare_field(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (field, after) = text.split_at(text.iter().position(|byte| *byte == b',').unwrap_or(text.len()));
    if field.contains(&b'"') { None } else { Some((Cow::Borrowed(field), after)) }
}

/// Up to the closing quote; a doubled quote stands for one.
fn quoted_field(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut field = Cow::Borrowed(&text[..0]);
    let mut rest = text;
    loop {
        let (before, from_quote) = rest.split_at(rest.iter().position(|byte| *byte == b'"')?);
        if field.is_empty() {
            field = Cow::Borrowed(before);
        } else {
            field.to_mut().extend_from_slice(before);
        }
        match from_quote {
            [b'"', b'"', after @ ..] => {
                field.to_mut().push(b'"');
                rest = after;
            }
            [_, after @ ..] => return Some((field, after)),
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Option<Vec<String>> {
        unquote(line.as_bytes()).map(|fields| {
            fields.into_iter().map(|field| String::from_utf8(field.into_owned()).unwrap()).collect()
        })
    }

    #[test]
    fn quoted_fields_may_hold_commas_and_doubled_quotes() {
        assert_eq!(texts(r#""a,b",c"#).unwrap(), ["a,b", "c"]);
        assert_eq!(texts(r#""say ""yes""","",x"#).unwrap(), [r#"say "yes""#, "", "x"]);
        assert_eq!(texts(r#""""""#).unwrap(), [r#"""#]);
        assert_eq!(texts(r#""a","#).unwrap(), ["a", ""]);
    }

    #[test]
    fn broken_quoting_is_never_repaired() {
        for line in
            [r#"""#, r#""a"#, r#"a"b"#, r#"a,"b"c"#, r#""a" ,b"#, r#" "a",b"#, r#""a""#.trim_end_matches('"')]
        {
            assert_eq!(texts(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_a_csv_library_writes_is_read_back(fields in prop::collection::vec("[a-zж\", ]{0,6}", 1..7)) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record(&fields).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(texts(line.trim_end_matches('\n')).unwrap(), fields);
        }

        #[test]
        fn a_line_that_is_taken_is_read_as_a_csv_library_reads_it(line in "[a,\"]{0,12}") {
            if let Some(fields) = texts(&line) {
                let mut reader =
                    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
                let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
                if !line.is_empty() {
                    prop_assert_eq!(records.len(), 1);
                    prop_assert_eq!(records[0].iter().collect::<Vec<_>>(), fields);
                }
            }
        }
    }
}
