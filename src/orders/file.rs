//! Many orders in a file, CSV or NDJSON, as `specs/order-file.md` describes it. A bad line never stops a good one.

use std::borrow::Cow;

use serde_json::Value;

use super::fields::{DocumentFields, Fields, Member, OverpaidFields, TaxDebtFields, Unnamed, Written};
use crate::domain::strict_json::Strict;
use crate::payroll::{ChunkFault, Encoding, LineFaultCode, below_header, columns, each_line};

/// The header line of a CSV file of orders.
pub const HEADER: &str = "number,date,kind,iin,amount,currency,enforcement_document,purpose,expires,debt_type,met_elsewhere,\
    programme,period,part,lifts_number,lifts_date";

/// Orders in one file, at most: they are decided in one command.
pub const ORDERS_PER_FILE_MAX: usize = 4_096;

/// How many columns it has.
const COLUMNS: usize = 16;

/// Why a line is no order that could be named. It makes no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineRefusal {
    /// It cannot be read as a line.
    Line(LineFaultCode),
    /// It does not say which order it is.
    Unnamed(Unnamed),
}

impl LineRefusal {
    /// The code in the verdict.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Line(fault) => fault.code(),
            Self::Unnamed(Unnamed { missing: true, .. }) => "field_missing",
            Self::Unnamed(Unnamed { missing: false, .. }) => "field_malformed",
        }
    }

    /// The field in the verdict.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Line(_) => "line",
            Self::Unnamed(unnamed) => unnamed.field,
        }
    }
}

/// Reads a file of orders into one item per line, in order.
pub fn parse(encoding: Encoding, body: &[u8]) -> Result<Vec<Result<Written, LineRefusal>>, ChunkFault> {
    let lines = below_header(encoding, body, HEADER)?;
    let read = each_line(lines, |line| {
        let line = line.map_err(LineRefusal::Line)?;
        let fields = match encoding {
            Encoding::Csv => columns(line).map(of_row),
            Encoding::Ndjson => of_object(line),
        };
        let fields = fields.ok_or(LineRefusal::Line(LineFaultCode::MalformedLine))?;
        fields.read().map_err(LineRefusal::Unnamed)
    })?;
    if read.len() > ORDERS_PER_FILE_MAX { Err(ChunkFault::TooManyLines) } else { Ok(read) }
}

fn of_object(line: &[u8]) -> Option<Fields> {
    match serde_json::from_slice::<Strict>(line).ok()?.0 {
        Value::Object(map) => Some(Fields::of_json(map)),
        _ => None,
    }
}

fn of_row(row: [Cow<'_, [u8]>; COLUMNS]) -> Fields {
    // Every line is UTF-8: `each_line` has looked, and a comma or a quote cuts no character.
    let texts = row.map(|field| String::from_utf8_lossy(&field).into_owned());
    let [number, date, kind, iin, amount, currency, document, purpose, expires, rest @ ..] =
        texts.map(|text| if text.is_empty() { Member::Absent } else { Member::Said(text) });
    let [debt_type, met_elsewhere, programme, period, part, lifts_number, lifts_date] = rest;
    let met_elsewhere = met_elsewhere.map(|text| match text.as_str() {
        "true" => Member::Said(true),
        "false" => Member::Said(false),
        _ => Member::Wrong,
    });
    let part = part.map(|text| text.parse().map_or(Member::Wrong, Member::Said));
    let absent = |texts: &[&Member<String>]| texts.iter().all(|text| matches!(text, Member::Absent));
    let no_debt = absent(&[&debt_type]) && matches!(met_elsewhere, Member::Absent);
    let no_accrual = absent(&[&programme, &period]) && matches!(part, Member::Absent);
    let no_order = absent(&[&lifts_number, &lifts_date]);
    let some = |none: bool| if none { Member::Absent } else { Member::Said(()) };
    Fields {
        number,
        date,
        kind,
        iin,
        amount,
        currency,
        expires,
        enforcement_document: document,
        purpose,
        tax_debt: some(no_debt).map(|()| Member::Said(TaxDebtFields { kind: debt_type, met_elsewhere })),
        overpaid: some(no_accrual).map(|()| Member::Said(OverpaidFields { programme, period, part })),
        lifts: some(no_order)
            .map(|()| Member::Said(DocumentFields { number: lifts_number, date: lifts_date })),
        unknown: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::order::MalformedField;
    use crate::payroll::{CHUNK_BYTES_MAX, LINE_BYTES_MAX};

    const FORMAT: &str = include_str!("../../specs/order-file.md");
    const GOOD: &str = "0427/2026,2026-11-20,collection,830717350867,50000.00,KZT,Writ 2-1187/2026,\"Debt, with costs\",,,,,,,,";

    fn csv(lines: &str) -> Vec<Result<Written, LineRefusal>> {
        parse(Encoding::Csv, format!("{HEADER}\n{lines}").as_bytes()).unwrap()
    }

    fn ndjson(line: &str) -> Result<Written, LineRefusal> {
        parse(Encoding::Ndjson, line.as_bytes()).unwrap().remove(0)
    }

    /// `ok`, the field of a malformed order, or the refusal of a line.
    fn told(line: &Result<Written, LineRefusal>) -> String {
        match line {
            Ok(Written { said: Ok(_), .. }) => "ok".to_owned(),
            Ok(Written { said: Err(field), .. }) => format!("malformed:{}", field.as_str()),
            Err(refusal) => format!("{}:{}", refusal.code(), refusal.field()),
        }
    }

    #[test]
    fn a_row_and_an_object_of_the_same_order_are_the_same() {
        let object = r#"{"number":"0427/2026","date":"2026-11-20","kind":"collection","iin":"830717350867","amount":"50000.00",
            "currency":"KZT","enforcement_document":"Writ 2-1187/2026","purpose":"Debt, with costs"}"#
            .replace('\n', "");
        assert!(csv(GOOD).remove(0) == ndjson(&object));
        let row = "1,2026-11-20,collection,830717350867,5.00,KZT,W,P,2026-12-01T00:00:00Z,VAT,true,ASP,2026-11,2,0,2026-01-01";
        let object = r#"{"number":"1","date":"2026-11-20","kind":"collection","iin":"830717350867","amount":"5.00","currency":"KZT",
            "enforcement_document":"W","purpose":"P","expires":"2026-12-01T00:00:00Z",
            "tax_debt":{"type":"VAT","met_elsewhere":true},"overpaid":{"programme":"ASP","period":"2026-11","part":2},
            "lifts":{"number":"0","date":"2026-01-01"}}"#
            .replace('\n', "");
        let (row, object) = (csv(row).remove(0), ndjson(&object));
        assert!(row == object && told(&row) == "ok", "{}", told(&object));
    }

    #[test]
    fn a_line_is_an_order_a_malformed_one_or_nothing_that_could_be_named() {
        for (line, expected) in [
            (GOOD, "ok"),
            ("", "malformed_line:line"),
            ("a,b", "malformed_line:line"),
            ("\"open,2026-11-20,,,,,,,,,,,,,,", "malformed_line:line"),
            (",2026-11-20,arrest,,,,,,,,,,,,,", "field_missing:number"),
            ("7,,arrest,,,,,,,,,,,,,", "field_missing:date"),
            ("7,20.11.2026,arrest,,,,,,,,,,,,,", "field_malformed:date"),
            ("7,2026-11-20,,,,,,,,,,,,,,", "malformed:kind"),
            ("7,2026-11-20,arrest,830717350860,,,W,P,,,,,,,,", "malformed:iin"),
            ("7,2026-11-20,arrest,830717350867,5.00,,W,P,,,,,,,,", "malformed:currency"),
            ("7,2026-11-20,arrest,830717350867,,,W,P,,VAT,yes,,,,,", "malformed:tax_debt"),
            ("7,2026-11-20,arrest,830717350867,,,W,P,,,true,,,,,", "malformed:tax_debt"),
            ("7,2026-11-20,arrest,830717350867,,,W,P,,,,,,2,,", "malformed:overpaid"),
            ("7,2026-11-20,arrest,830717350867,,,W,P,,,,,,,1,", "malformed:lifts"),
            ("7,2026-11-20,arrest,830717350867,,,W,P,,,,,,,,", "ok"),
        ] {
            assert_eq!(told(&csv(&format!("{line}\n"))[0]), expected, "{line}");
        }
        for (line, expected) in [
            ("[]", "malformed_line:line"),
            ("{", "malformed_line:line"),
            (r#"{"number":"1","number":"2","date":"2026-11-20"}"#, "malformed_line:line"),
            ("{}", "field_missing:number"),
            (r#"{"number":"1","date":"2026-11-20","issuer":"x"}"#, "malformed:kind"),
        ] {
            assert_eq!(told(&ndjson(line)), expected, "{line}");
        }
    }

    #[test]
    fn a_bad_line_never_stops_a_good_one() {
        let body = [
            HEADER.as_bytes(),
            b"\n",
            GOOD.as_bytes(),
            b"\n\xff,2026-11-20,,,,,,,,,,,,,,\n",
            &[b'x'; LINE_BYTES_MAX + 1],
            b"\r\n",
            GOOD.as_bytes(),
        ]
        .concat();
        let lines: Vec<_> = parse(Encoding::Csv, &body).unwrap().iter().map(told).collect();
        assert_eq!(lines, ["ok", "line_not_utf8:line", "line_too_long:line", "ok"]);
    }

    #[test]
    fn files_beyond_a_limit_or_without_lines_or_header_are_refused_whole() {
        let count = |body: &[u8]| parse(Encoding::Csv, body).map(|lines| lines.len());
        assert_eq!(count(b""), Err(ChunkFault::Empty));
        assert_eq!(count(HEADER.as_bytes()), Err(ChunkFault::Empty));
        assert_eq!(count(GOOD.as_bytes()), Err(ChunkFault::UnknownHeader));
        for (lines, expected) in [
            (ORDERS_PER_FILE_MAX - 1, Ok(ORDERS_PER_FILE_MAX - 1)),
            (ORDERS_PER_FILE_MAX, Ok(ORDERS_PER_FILE_MAX)),
            (ORDERS_PER_FILE_MAX + 1, Err(ChunkFault::TooManyLines)),
        ] {
            assert_eq!(count(format!("\u{feff}{HEADER}\r\n{}", "x\n".repeat(lines)).as_bytes()), expected);
        }
        let mut large = format!("{HEADER}\n").into_bytes();
        large.resize(CHUNK_BYTES_MAX, b'x');
        assert_eq!(count(&large), Ok(1));
        large.push(b'x');
        assert_eq!(count(&large), Err(ChunkFault::TooLarge));
    }

    #[test]
    fn a_file_is_one_command() {
        assert_eq!(ORDERS_PER_FILE_MAX, crate::sequencer::command::ORDERS_MAX);
        assert!(FORMAT.contains("4,096 lines"));
    }

    #[test]
    fn the_format_description_has_the_header_and_every_member() {
        assert!(FORMAT.contains(&HEADER.replace(' ', "")), "the header");
        for column in HEADER.split(',') {
            assert!(FORMAT.contains(&format!("| `{}` |", column.trim())), "{column}");
        }
        for field in MalformedField::ALL {
            assert!(FORMAT.contains(&format!("`{}`", field.as_str())), "{}", field.as_str());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_item_per_line_break_and_never_a_panic(body in prop::collection::vec(any::<u8>(), 1..400)) {
            let expected = body.split_inclusive(|byte| *byte == b'\n').count();
            let lines = parse(Encoding::Ndjson, &body).map(|lines| lines.len());
            // A byte order mark alone is skipped, and leaves nothing.
            prop_assert!(lines == Ok(expected) || body.starts_with(b"\xef\xbb\xbf"));
            let csv = [HEADER.as_bytes(), b"\n", &body].concat();
            prop_assert_eq!(parse(Encoding::Csv, &csv).unwrap().len(), expected);
        }
    }
}
