//! A chunk: up to 8,192 lines in one request body, read whole before any of its lines moves.

use super::fault::{ChunkFault, LineFaultCode};
use super::line::{LineKind, ParsedLine};
use super::object;
use super::row::{self, Layout};

/// Lines in a chunk, at most; a CSV header is not counted.
pub const LINES_PER_CHUNK_MAX: usize = 8_192;

/// Bytes in a chunk, at most, a CSV header included.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes in a line, at most, without its line feed but with a carriage return before it.
pub const LINE_BYTES_MAX: usize = 4_096;

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How the lines of a chunk are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// One JSON object per line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
}

impl Encoding {
    /// From the value of a `Content-Type` header; `None` for another type or a character set other than UTF-8.
    #[must_use]
    pub fn from_content_type(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let encoding = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/x-ndjson" => Self::Ndjson,
            "text/csv" => Self::Csv,
            _ => return None,
        };
        let mut parameters = parts.map(str::to_ascii_lowercase);
        let utf8 = |parameter: String| {
            parameter.strip_prefix("charset=").is_none_or(|charset| charset.trim_matches('"') == "utf-8")
        };
        parameters.all(utf8).then_some(encoding)
    }

    /// The value of a `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

/// Reads a chunk into one item per line, in order.
///
/// A final line break ends the last line and begins no other. A UTF-8 byte order mark is skipped. Nothing is
/// allocated per line, but for the reason of a reversal and for texts with quotes or escapes.
pub fn parse_chunk(kind: LineKind, encoding: Encoding, body: &[u8]) -> Result<Vec<ParsedLine>, ChunkFault> {
    if body.len() > CHUNK_BYTES_MAX {
        return Err(ChunkFault::TooLarge);
    }
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    match encoding {
        Encoding::Ndjson => parse_lines(body, |line| object::parse(kind, line)),
        Encoding::Csv => {
            let (header, lines) = cut_line(body).ok_or(ChunkFault::Empty)?;
            let header = without_carriage_return(header);
            let layout = Layout::of(kind, header).ok_or(match header {
                [b'0'..=b'9', ..] => ChunkFault::MissingHeader,
                _ => ChunkFault::UnknownHeader,
            })?;
            parse_lines(lines, |line| row::parse(layout, line))
        }
    }
}

fn parse_lines(body: &[u8], parse: impl Fn(&[u8]) -> ParsedLine) -> Result<Vec<ParsedLine>, ChunkFault> {
    each_line(body, |line| line.map_or_else(ParsedLine::refused, &parse))
}

/// Cuts a body into lines and reads each, or is told why it cannot be read as a line.
pub(crate) fn each_line<T>(
    body: &[u8],
    read: impl Fn(Result<&[u8], LineFaultCode>) -> T,
) -> Result<Vec<T>, ChunkFault> {
    // One look at the whole chunk spares almost every chunk a look at each line.
    let all_utf8 = std::str::from_utf8(body).is_ok();
    let mut lines = Vec::with_capacity(LINES_PER_CHUNK_MAX.min(body.len() / 32 + 1));
    let mut rest = body;
    while let Some((line, after)) = cut_line(rest) {
        if lines.len() == LINES_PER_CHUNK_MAX {
            return Err(ChunkFault::TooManyLines);
        }
        lines.push(read(if line.len() > LINE_BYTES_MAX {
            Err(LineFaultCode::LineTooLong)
        } else if !all_utf8 && std::str::from_utf8(line).is_err() {
            Err(LineFaultCode::LineNotUtf8)
        } else {
            Ok(without_carriage_return(line))
        }));
        rest = after;
    }
    if lines.is_empty() { Err(ChunkFault::Empty) } else { Ok(lines) }
}

/// The lines of a body after its one header, if it is CSV.
pub(crate) fn below_header<'a>(
    encoding: Encoding,
    body: &'a [u8],
    header: &str,
) -> Result<&'a [u8], ChunkFault> {
    if body.len() > CHUNK_BYTES_MAX {
        return Err(ChunkFault::TooLarge);
    }
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if encoding == Encoding::Ndjson {
        return Ok(body);
    }
    let (first, lines) = cut_line(body).ok_or(ChunkFault::Empty)?;
    match without_carriage_return(first) {
        first if first == header.as_bytes() => Ok(lines),
        _ => Err(ChunkFault::UnknownHeader),
    }
}

/// The first line without its line feed, and what follows; `None` at the end.
fn cut_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some((&text[..end], &text[end + 1..])),
        None => Some((text, &[])),
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fault::LineFault;
    use super::super::line::Line;
    use super::*;
    use crate::domain::Amount;

    const HEADER: &str = "iin,programme,period,part,amount,currency\n";
    const GOOD: &str = "830717350867,ASP,2026-11,1,12345.67,KZT";

    fn csv(lines: &str) -> Vec<ParsedLine> {
        parse_chunk(LineKind::Accrual, Encoding::Csv, format!("{HEADER}{lines}").as_bytes()).unwrap()
    }

    fn ndjson(line: &str) -> ParsedLine {
        let mut lines = parse_chunk(LineKind::Accrual, Encoding::Ndjson, line.as_bytes()).unwrap();
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    fn fault(line: &ParsedLine) -> (&'static str, &'static str) {
        let LineFault { code, field } = *line.line.as_ref().unwrap_err();
        (code.code(), field.name())
    }

    fn fault_of(line: &str) -> (&'static str, &'static str) {
        let lines = csv(line);
        assert_eq!(lines.len(), 1);
        fault(&lines[0])
    }

    #[test]
    fn a_good_csv_line_and_a_good_json_line_are_the_same_line() {
        let from_csv = csv(GOOD).remove(0);
        let Ok(Line::Accrual(line)) = &from_csv.line else { panic!("refused: {from_csv:?}") };
        assert_eq!(line.iin.expose(), "830717350867");
        assert_eq!(line.programme.as_str(), "ASP");
        assert_eq!(line.period.to_string(), "2026-11");
        assert_eq!(line.part.get(), 1);
        assert_eq!(line.amount.to_string(), "12345.67");
        assert_eq!(from_csv.amount, Amount::from_tiyn(1_234_567));

        let json = r#"{"iin":"830717350867","programme":"ASP","period":"2026-11","part":1,"amount":"12345.67","currency":"KZT"}"#;
        assert_eq!(ndjson(json), from_csv);
        let short =
            r#" { "amount":"12345.67", "period":"2026-11","programme":"\u0041SP","iin":"830717350867"} "#;
        assert_eq!(ndjson(short), from_csv);
        assert_eq!(csv("830717350867,ASP,2026-11,,12345.67,").remove(0), from_csv);
        assert_eq!(csv("\"830717350867\",ASP,\"2026-11\",1,\"12345.67\",KZT").remove(0), from_csv);
    }

    #[test]
    fn a_bulk_file_of_mifos_payment_hub_is_taken_as_it_is() {
        let body = format!(
            "{}\n0,req-1,closedloop,BIN,940140000385,IIN,830717350867,12345.67,KZT,\"child, second\",ASP,2026-11,wallet,,\n\
             1,req-2,closedloop,BIN,940140000385,MSISDN,77010000000,5,KZT,,ASP,2026-11,wallet,,\n\
             2,req-3,closedloop,BIN,940140000385,,830717350867,5,KZT,,ASP,2026-11,wallet,,\n",
            Layout::MifosBulk.header()
        );
        let lines = parse_chunk(LineKind::Accrual, Encoding::Csv, body.as_bytes()).unwrap();
        assert_eq!(lines[0], csv(GOOD)[0]);
        assert_eq!(fault(&lines[1]), ("payee_type_unsupported", "payee_identifier_type"));
        assert_eq!(lines[1].amount, Amount::from_tiyn(500));
        assert_eq!(fault(&lines[2]), ("field_missing", "payee_identifier_type"));
        assert_eq!(
            parse_chunk(LineKind::Reversal, Encoding::Csv, body.as_bytes()),
            Err(ChunkFault::UnknownHeader)
        );
    }

    #[test]
    fn reversals_and_openings_have_their_own_columns() {
        let body =
            b"iin,programme,period,part,reason\r\n830717350867,ASP,2026-11,2,\"paid twice, act 7\"\r\n\
                     830717350867,ASP,once,1, untrimmed\r\n830717350867,ASP,once,1,\r\n\
                     830717350867,ASP,once,1,not 871008401427\r\n";
        let lines = parse_chunk(LineKind::Reversal, Encoding::Csv, body).unwrap();
        let Ok(Line::Reversal(line)) = &lines[0].line else { panic!("refused: {lines:?}") };
        assert_eq!(line.reason.as_str(), "paid twice, act 7");
        assert_eq!(line.part.get(), 2);
        assert_eq!(fault(&lines[1]), ("reason_malformed", "reason"));
        assert_eq!(fault(&lines[2]), ("field_missing", "reason"));
        assert_eq!(fault(&lines[3]), ("reason_has_number", "reason"));

        let json = br#"{"iin":"830717350867","programme":"ASP","period":"2026-11","part":2,"reason":"paid twice, act 7"}"#;
        assert_eq!(parse_chunk(LineKind::Reversal, Encoding::Ndjson, json).unwrap()[0], lines[0]);

        let lines =
            parse_chunk(LineKind::WalletOpening, Encoding::Csv, b"iin\n830717350867\n\n830717350867,1\n")
                .unwrap();
        assert!(matches!(lines[0].line, Ok(Line::Opening(_))));
        assert_eq!(fault(&lines[1]), ("malformed_line", "line"));
        assert_eq!(fault(&lines[2]), ("malformed_line", "line"));
        let json = br#"{"iin":"830717350867"}"#;
        assert_eq!(parse_chunk(LineKind::WalletOpening, Encoding::Ndjson, json).unwrap()[0], lines[0]);
    }

    #[test]
    fn each_field_has_its_faults() {
        for (line, expected) in [
            (",ASP,2026-11,1,5,KZT", ("field_missing", "iin")),
            ("83071735086,ASP,2026-11,1,5,KZT", ("iin_malformed", "iin")),
            ("830717350860,ASP,2026-11,1,5,KZT", ("iin_check_digit", "iin")),
            ("830717350867,,2026-11,1,5,KZT", ("field_missing", "programme")),
            ("830717350867,asp,2026-11,1,5,KZT", ("programme_malformed", "programme")),
            ("830717350867,ASP,,1,5,KZT", ("field_missing", "period")),
            ("830717350867,ASP,11.2026,1,5,KZT", ("period_malformed", "period")),
            ("830717350867,ASP,2026-11,0,5,KZT", ("part_out_of_range", "part")),
            ("830717350867,ASP,2026-11,1,,KZT", ("field_missing", "amount")),
            ("830717350867,ASP,2026-11,1,5e3,KZT", ("amount_malformed", "amount")),
            ("830717350867,ASP,2026-11,1,5.001,KZT", ("amount_scale", "amount")),
            ("830717350867,ASP,2026-11,1,0.00,KZT", ("amount_zero", "amount")),
            ("830717350867,ASP,2026-11,1,-5,KZT", ("amount_negative", "amount")),
            ("830717350867,ASP,2026-11,1,1000000000000,KZT", ("amount_too_large", "amount")),
            ("830717350867,ASP,2026-11,1,5,USD", ("currency_unsupported", "currency")),
            ("830717350867,ASP,2026-11,1,5", ("malformed_line", "line")),
            ("830717350867,ASP,2026-11,1,5,KZT,", ("malformed_line", "line")),
            ("830717350867,ASP,2026-11,1,\"5,KZT", ("malformed_line", "line")),
            ("\"iin", ("malformed_line", "line")),
            ("\n", ("malformed_line", "line")),
        ] {
            assert_eq!(fault_of(line), expected, "{line}");
        }
    }

    #[test]
    fn json_lines_are_objects_with_known_fields_of_the_right_type_once_each() {
        let with = |field: &str| {
            ndjson(&format!(r#"{{"iin":"830717350867","programme":"ASP","period":"2026-11",{field}}}"#))
        };
        assert!(with(r#""amount":"5""#).line.is_ok());
        for (field, expected) in [
            (r#""amount":5"#, ("malformed_line", "line")),
            (r#""amount":null"#, ("malformed_line", "line")),
            (r#""amount":"5","amount":"6""#, ("malformed_line", "line")),
            (r#""amount":"5","note":"x""#, ("malformed_line", "line")),
            (r#""amount":"5","part":"1""#, ("malformed_line", "line")),
            (r#""amount":"5","part":1.0"#, ("malformed_line", "line")),
            (r#""amount":"5""#.trim_end_matches('"'), ("malformed_line", "line")),
            (r#""amount":"5","part":0"#, ("part_out_of_range", "part")),
            (r#""amount":"5","part":-1"#, ("part_out_of_range", "part")),
            (r#""amount":"5","part":1000"#, ("part_out_of_range", "part")),
            (r#""amount":"5","part":65537"#, ("part_out_of_range", "part")),
            (r#""amount":"5","currency":"USD""#, ("currency_unsupported", "currency")),
            (r#""currency":"KZT""#, ("field_missing", "amount")),
        ] {
            assert_eq!(fault(&with(field)), expected, "{field}");
        }
        for line in
            ["[]", r#"["830717350867","ASP","2026-11",1,"5","KZT"]"#, "null", "{}{}", "\"\"", "{", "\n"]
        {
            assert_eq!(fault(&ndjson(line)), ("malformed_line", "line"), "{line}");
        }
        assert_eq!(fault(&ndjson("{}")), ("field_missing", "iin"));
    }

    #[test]
    fn the_first_fault_in_the_documented_order_wins_and_a_readable_amount_is_counted() {
        let line = csv("1,asp,x,0,12345.67,USD").remove(0);
        assert_eq!(fault(&line), ("iin_malformed", "iin"));
        assert_eq!(line.amount, Amount::from_tiyn(1_234_567));
        assert_eq!(csv("1,asp,x,0,0,USD").remove(0).amount, None);
        assert_eq!(csv("1,asp,x,0,5").remove(0).amount, None);
    }

    #[test]
    fn a_bad_line_never_stops_a_good_one() {
        let body = [
            HEADER.as_bytes(),
            GOOD.as_bytes(),
            b"\n\xff\xfe,ASP,2026-11,1,5,KZT\n",
            &[b'x'; LINE_BYTES_MAX + 1],
            b"\n\"open\n\r\n",
            GOOD.as_bytes(),
        ]
        .concat();
        let lines = parse_chunk(LineKind::Accrual, Encoding::Csv, &body).unwrap();
        let codes: Vec<_> =
            lines.iter().map(|line| line.line.as_ref().map_err(|fault| fault.code.code()).err()).collect();
        let expected = [
            None,
            Some("line_not_utf8"),
            Some("line_too_long"),
            Some("malformed_line"),
            Some("malformed_line"),
            None,
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_quoted_line_break_spoils_the_two_halves_and_nothing_else() {
        let lines = csv(&format!("{GOOD}\n\"830717350867\n\",ASP,2026-11,1,5,KZT\n{GOOD}"));
        assert_eq!(lines.len(), 4);
        assert!(lines[0].line.is_ok() && lines[3].line.is_ok());
        assert_eq!(fault(&lines[1]), ("malformed_line", "line"));
        assert_eq!(fault(&lines[2]), ("malformed_line", "line"));
    }

    #[test]
    fn a_line_may_have_exactly_the_limit() {
        let fits = format!("iin,programme,period,part,reason\n{}", "x".repeat(LINE_BYTES_MAX));
        let lines = parse_chunk(LineKind::Reversal, Encoding::Csv, fits.as_bytes()).unwrap();
        assert_eq!(fault(&lines[0]), ("malformed_line", "line"));
        let lines = parse_chunk(LineKind::Reversal, Encoding::Csv, format!("{fits}x").as_bytes()).unwrap();
        assert_eq!(fault(&lines[0]), ("line_too_long", "line"));
        // A carriage return is one of its bytes.
        let header = "iin,programme,period,part,reason\r\n";
        for (length, code) in [(LINE_BYTES_MAX - 1, "malformed_line"), (LINE_BYTES_MAX, "line_too_long")] {
            let body = format!("{header}{}\r\n", "x".repeat(length));
            let lines = parse_chunk(LineKind::Reversal, Encoding::Csv, body.as_bytes()).unwrap();
            assert_eq!((lines.len(), fault(&lines[0])), (1, (code, "line")), "{length}");
        }
    }

    #[test]
    fn line_breaks_of_both_kinds_a_byte_order_mark_and_a_missing_last_break_are_fine() {
        let unix = csv(&format!("{GOOD}\n{GOOD}\n"));
        let windows = format!("\u{feff}{HEADER}{GOOD}\n{GOOD}").replace('\n', "\r\n");
        assert_eq!(parse_chunk(LineKind::Accrual, Encoding::Csv, windows.as_bytes()).unwrap(), unix);
    }

    #[test]
    fn chunks_beyond_a_limit_or_without_lines_or_header_are_refused_whole() {
        let parse =
            |body: &[u8]| parse_chunk(LineKind::Accrual, Encoding::Csv, body).map(|lines| lines.len());
        assert_eq!(parse(b""), Err(ChunkFault::Empty));
        assert_eq!(parse(HEADER.as_bytes()), Err(ChunkFault::Empty));
        assert_eq!(parse(GOOD.as_bytes()), Err(ChunkFault::MissingHeader));
        assert_eq!(parse(b"iin,amount\n"), Err(ChunkFault::UnknownHeader));
        assert_eq!(parse(b"\n"), Err(ChunkFault::UnknownHeader));
        let lines = |count| format!("{HEADER}{}", "x\n".repeat(count));
        assert_eq!(parse(lines(LINES_PER_CHUNK_MAX).as_bytes()), Ok(LINES_PER_CHUNK_MAX));
        assert_eq!(parse(lines(LINES_PER_CHUNK_MAX + 1).as_bytes()), Err(ChunkFault::TooManyLines));
        let mut large = HEADER.as_bytes().to_vec();
        large.resize(CHUNK_BYTES_MAX, b'x');
        assert_eq!(parse(&large), Ok(1));
        large.push(b'x');
        assert_eq!(parse(&large), Err(ChunkFault::TooLarge));
        assert_eq!(parse_chunk(LineKind::Accrual, Encoding::Ndjson, b""), Err(ChunkFault::Empty));
    }

    #[test]
    fn the_encoding_comes_from_the_content_type() {
        for (value, encoding) in [
            ("text/csv", Some(Encoding::Csv)),
            ("Text/CSV; charset=UTF-8; header=present", Some(Encoding::Csv)),
            ("application/x-ndjson;charset=\"utf-8\"", Some(Encoding::Ndjson)),
            ("text/csv; charset=windows-1251", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Encoding::from_content_type(value), encoding, "{value}");
        }
        for encoding in [Encoding::Csv, Encoding::Ndjson] {
            assert_eq!(Encoding::from_content_type(encoding.content_type()), Some(encoding));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_item_per_line_break_and_never_a_panic(body in prop::collection::vec(any::<u8>(), 1..400)) {
            let expected = body.split_inclusive(|byte| *byte == b'\n').count();
            for kind in [LineKind::Accrual, LineKind::Reversal, LineKind::WalletOpening] {
                let lines = parse_chunk(kind, Encoding::Ndjson, &body).unwrap();
                prop_assert_eq!(lines.len(), expected);
            }
            let lines = parse_chunk(LineKind::Accrual, Encoding::Csv, &[HEADER.as_bytes(), &body].concat()).unwrap();
            prop_assert_eq!(lines.len(), expected);
        }
    }
}
