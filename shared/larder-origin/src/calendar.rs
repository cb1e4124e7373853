//! Days and times as text: the parts of RFC 3339, and what PostgreSQL reads of them.

use std::fmt::Write as _;

/// `2013-01-01` for the day that is `days` after 1970-01-01. A year beyond four digits has a sign.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// `10:00:00`, with up to six digits of a fraction where there is one.
pub(crate) fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        write!(text, ".{}", digits.trim_end_matches('0')).expect("a String takes every byte");
    }
    text
}

/// A date, or what begins with one, as PostgreSQL reads it: a year before 1 counts from 1 BC, and one beyond four digits
/// has no sign. `None` for one that needs no change.
pub(crate) fn to_postgres(text: &str) -> Option<String> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (0, text),
    };
    let (digits, behind) = rest.split_at(rest.find('-')?);
    let is_year = (4..=MAX_YEAR_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let year: i32 = if is_year { digits.parse().ok()? } else { return None };
    match (sign, year) {
        (-1, _) | (_, 0) => Some(format!("{:04}{behind} BC", year + 1)),
        (1, _) => Some(format!("{year:04}{behind}")),
        _ => None,
    }
}

/// PostgreSQL's last year is 5874897.
const MAX_YEAR_DIGITS: usize = 7;

/// Microseconds of a day.
pub(crate) const MICROS_A_DAY: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970_in_both_directions() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (15_706, "2013-01-01"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (-719_528, "0000-01-01"),
            (-719_529, "-0001-12-31"),
        ] {
            assert_eq!(date(days), text, "{days}");
        }
    }

    #[test]
    fn a_year_before_1_is_one_before_christ() {
        for (text, expected) in [
            ("0000-01-01", Some("0001-01-01 BC")),
            ("-0043-03-15", Some("0044-03-15 BC")),
            ("-0043-03-15T10:00:00Z", Some("0044-03-15T10:00:00Z BC")),
            ("-4712-01-01", Some("4713-01-01 BC")),
            ("+10000-01-01T00:00:00", Some("10000-01-01T00:00:00")),
            ("2013-01-01", None),
            ("0044-03-15 BC", None),
            ("-infinity", None),
            ("infinity", None),
            ("-", None),
            ("", None),
            ("-12345678-01-01", None),
            ("-43-03-15", None),
            ("é-", None),
        ] {
            assert_eq!(to_postgres(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_fraction_has_the_digits_that_it_needs() {
        for (micros, text) in [
            (0, "00:00:00"),
            (1, "00:00:00.000001"),
            (MICROS_A_DAY - 500_000, "23:59:59.5"),
            (36_000_000_000, "10:00:00"),
            (MICROS_A_DAY, "24:00:00"),
        ] {
            assert_eq!(time(micros), text, "{micros}");
        }
    }
}
