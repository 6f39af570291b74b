//! Figures as people read them: digits in groups of three, amounts with two decimals, rates and times in words.

use std::time::Duration;

/// `1234567` as `1 234 567`.
#[must_use]
pub fn count(number: u64) -> String {
    group(&number.to_string())
}

/// An amount as the service writes it (`"1234567.80"`) as `1 234 567.80`. Anything else is left as it is.
#[must_use]
pub fn amount(text: &str) -> String {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    match unsigned.split_once('.') {
        Some((tenge, tiyn)) if is_digits(tenge) && is_digits(tiyn) => {
            format!("{sign}{}.{tiyn}", group(tenge))
        }
        None if is_digits(unsigned) => format!("{sign}{}", group(unsigned)),
        _ => text.to_owned(),
    }
}

/// Tiyn as tenge: `123456780` as `1 234 567.80`.
#[must_use]
pub fn tiyn(tiyn: i64) -> String {
    let sign = if tiyn < 0 { "-" } else { "" };
    let absolute = tiyn.unsigned_abs();
    format!("{sign}{}.{:02}", group(&(absolute / 100).to_string()), absolute % 100)
}

/// Lines per second, to three figures above a thousand: `61 200 lines/s`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    format!("{} lines/s", count(rounded(per_second)))
}

/// A whole number that pretends to no precision that it does not have.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rounded, and bounded below by zero
pub fn rounded(value: f64) -> u64 {
    let value = value.max(0.0).round() as u64;
    let digits = value.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.pow(digits.saturating_sub(2));
    (value + unit / 2) / unit * unit
}

/// So many things in so long, as a rate; 0 if it took no time at all.
#[must_use]
#[allow(clippy::cast_precision_loss)] // counts of lines are far below 2^52
pub fn per_second(things: u64, took: Duration) -> f64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { things as f64 / seconds } else { 0.0 }
}

/// `0.8 s`, `12 s`, `3 min 5 s`.
#[must_use]
pub fn duration(took: Duration) -> String {
    match took.as_secs() {
        0..=9 => format!("{:.1} s", took.as_secs_f64()),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// `1 line`, `2 lines`, `8 192 lines`.
#[must_use]
pub fn lines(number: u64) -> String {
    if number == 1 { "1 line".to_owned() } else { format!("{} lines", count(number)) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn group(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(amount("1234567.80"), "1 234 567.80");
        assert_eq!(amount("-1234.00"), "-1 234.00");
        assert_eq!(amount("none"), "none");
        assert_eq!(tiyn(123_456_780), "1 234 567.80");
        assert_eq!(tiyn(-5), "-0.05");
    }

    #[test]
    fn rates_have_three_figures() {
        assert_eq!(rate(61_234.5), "61 200 lines/s");
        assert_eq!(rate(999.6), "1 000 lines/s");
        assert_eq!(rate(12.4), "12 lines/s");
        assert_eq!(rate(0.0), "0 lines/s");
        assert_eq!(rate(f64::NAN), "0 lines/s");
    }

    #[test]
    fn times_are_as_long_as_they_are_worth() {
        assert_eq!(duration(Duration::from_millis(840)), "0.8 s");
        assert_eq!(duration(Duration::from_secs(75)), "75 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
        assert!((per_second(100, Duration::from_secs(2)) - 50.0).abs() < f64::EPSILON);
    }
}
