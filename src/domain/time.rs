//! Time as the ledger tells it: UTC milliseconds inside, RFC 3339 text outside, and the business date in Asia/Almaty.
//!
//! The zone's rules come from the time-zone data built into the program, not from the machine: Kazakhstan moved to one
//! zone (UTC+5) on 1 March 2024, and a machine with older data would book the evening's payments on the wrong day.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// The zone of the business date.
pub const BUSINESS_TIME_ZONE: &str = "Asia/Almaty";

/// The moment of a commit, and the day it is booked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// UTC milliseconds since 1970.
    pub at: i64,
    /// The business date as `YYYYMMDD`.
    pub date: i32,
}

impl Stamp {
    /// The stamp of a moment. `None` outside the years 1970 to 9999.
    #[must_use]
    pub fn of(at: i64) -> Option<Self> {
        let timestamp = Timestamp::from_millisecond(at).ok().filter(|_| at >= 0)?;
        let date = timestamp.to_zoned(zone()).date();
        Some(Self { at, date: date_code(date) })
    }

    /// The moment as RFC 3339 text with milliseconds, UTC: `2026-11-21T20:51:20.123Z`.
    #[must_use]
    pub fn at_text(&self) -> String {
        rfc3339(self.at)
    }

    /// The business date as `YYYY-MM-DD`.
    #[must_use]
    pub fn date_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.date / 10_000, self.date / 100 % 100, self.date % 100)
    }
}

fn zone() -> TimeZone {
    TimeZone::get(BUSINESS_TIME_ZONE).expect("the bundled time-zone data holds Asia/Almaty")
}

fn date_code(date: Date) -> i32 {
    i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day())
}

/// RFC 3339 text with milliseconds, UTC.
#[must_use]
pub fn rfc3339(at: i64) -> String {
    Timestamp::from_millisecond(at)
        .map_or_else(|_| "9999-12-31T23:59:59.999Z".to_owned(), |timestamp| format!("{timestamp:.3}"))
}

/// Reads an RFC 3339 moment with an offset. UTC milliseconds; `None` if it is not one, or is before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond).filter(|at| *at >= 0)
}

/// The last millisecond of a business day given as `YYYY-MM-DD`.
#[must_use]
pub fn end_of_business_day(text: &str) -> Option<i64> {
    day(text)?.tomorrow().ok()?.to_zoned(zone()).ok().map(|next| next.timestamp().as_millisecond() - 1)
}

/// The first millisecond of a business day given as `YYYY-MM-DD`.
#[must_use]
pub fn start_of_business_day(text: &str) -> Option<i64> {
    day(text)?.to_zoned(zone()).ok().map(|start| start.timestamp().as_millisecond())
}

fn day(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse::<Date>().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_milliseconds_and_read_back() {
        let at = parse_rfc3339("2026-11-21T20:51:20.123Z").unwrap();
        assert_eq!(rfc3339(at), "2026-11-21T20:51:20.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("2026-11-22T01:51:20.123+05:00"), Some(at));
        assert_eq!(parse_rfc3339("2026-11-21"), None);
    }

    #[test]
    fn the_business_day_turns_at_19_utc_since_march_2024_and_at_18_utc_before() {
        let date = |text: &str| Stamp::of(parse_rfc3339(text).unwrap()).unwrap().date;
        assert_eq!(date("2026-11-21T18:59:59.999Z"), 20_261_121);
        assert_eq!(date("2026-11-21T19:00:00.000Z"), 20_261_122);
        assert_eq!(date("2023-11-21T18:00:00.000Z"), 20_231_122);
    }

    #[test]
    fn a_business_day_runs_from_its_first_to_its_last_millisecond() {
        assert_eq!(start_of_business_day("2026-11-22"), parse_rfc3339("2026-11-21T19:00:00Z"));
        assert_eq!(end_of_business_day("2026-11-22"), parse_rfc3339("2026-11-22T18:59:59.999Z"));
        assert_eq!(end_of_business_day("2026-13-01"), None);
        assert_eq!(end_of_business_day("today"), None);
    }
}
