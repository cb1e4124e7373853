//! Numbers of any size, all digits kept.

use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;

/// A decimal number in the one form in which it is written here.
///
/// The digits are those of the value: no plus sign, no leading zero, no trailing zero behind the point. A number whose
/// plain form is longer than [`MAX_PLAIN_LEN`] has an exponent, such as `1.5E100`. Both forms are JSON.
///
/// ```
/// use larder_origin::Decimal;
///
/// let form = |text| Decimal::new(text).map(|number| number.to_string());
/// assert_eq!(form("18446744073709551615").as_deref(), Some("18446744073709551615"));
/// assert_eq!(form("6.02e+23").as_deref(), Some("602000000000000000000000"));
/// assert_eq!(form("0.10").as_deref(), Some("0.1"));
/// assert_eq!(form("1e100").as_deref(), Some("1E100"));
/// assert_eq!(form("ten"), None);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// Takes `text`: digits with a sign, a point and an exponent, each where there is one.
    ///
    /// `None` for any other text, and for an exponent that has more than 64 bits.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Parts::of(text).map(|parts| Self(parts.write().into()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number without an exponent, as DynamoDB writes every number that it has; with one where that is far longer.
    #[cfg_attr(not(feature = "dynamodb"), expect(dead_code, reason = "only DynamoDB takes it"))]
    pub(crate) fn to_plain(&self) -> String {
        let parts = Parts::of(&self.0);
        let plain = parts.and_then(|parts| Some(format!("{}{}", parts.sign(), parts.plain()?)));
        plain.unwrap_or_else(|| self.to_string())
    }

    /// Whether it is no whole number.
    pub(crate) fn has_fraction(&self) -> bool {
        Parts::of(&self.0).is_some_and(|parts| parts.exponent < 0)
    }

    /// Whether DynamoDB has the number: by its digits, and by the power of ten of the first one.
    ///
    /// Source: "Supported data types and naming rules in Amazon DynamoDB", Number.
    pub(crate) fn is_in_dynamodb(&self) -> bool {
        Parts::of(&self.0).is_some_and(|parts| {
            parts.digits.len() <= DYNAMODB_DIGITS && DYNAMODB_MAGNITUDES.contains(&parts.magnitude())
        })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number as its digits times a power of ten.
struct Parts {
    is_negative: bool,
    /// Neither the first nor the last one is a zero; none at all for zero.
    digits: String,
    /// The power of ten of the last digit.
    exponent: i64,
}

impl Parts {
    fn of(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let trailing = i64::try_from(all.len() - digits.len()).ok()?;
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(trailing)?;
        // The power of the first digit has to be a number of 64 bits, too.
        exponent.checked_add(i64::try_from(digits.len()).ok()?)?;
        Some(Self { is_negative, digits, exponent })
    }

    /// The power of ten of the first digit.
    fn magnitude(&self) -> i64 {
        match self.digits.len() {
            0 => 0,
            len => self.exponent + len as i64 - 1,
        }
    }

    fn sign(&self) -> &'static str {
        if self.is_negative { "-" } else { "" }
    }

    fn write(&self) -> String {
        let (sign, plain) = (self.sign(), self.plain());
        match plain.filter(|plain| sign.len() + plain.len() <= MAX_PLAIN_LEN) {
            Some(plain) => format!("{sign}{plain}"),
            None => {
                let (first, rest) = self.digits.split_at(1);
                let point = if rest.is_empty() { "" } else { "." };
                format!("{sign}{first}{point}{rest}E{}", self.magnitude())
            }
        }
    }

    /// The digits without an exponent and a sign, unless that is far too long.
    fn plain(&self) -> Option<String> {
        let digits = &self.digits;
        if digits.is_empty() {
            return Some("0".to_owned());
        }
        let zeros = usize::try_from(self.exponent.unsigned_abs()).ok().filter(|zeros| *zeros <= MAX_ZEROS)?;
        let mut text = String::new();
        if self.exponent >= 0 {
            write!(text, "{digits}{:0<zeros$}", "").ok()?;
        } else if let Some(point) = digits.len().checked_sub(zeros).filter(|point| *point > 0) {
            write!(text, "{}.{}", &digits[..point], &digits[point..]).ok()?;
        } else {
            write!(text, "0.{digits:0>zeros$}").ok()?;
        }
        Some(text)
    }
}

/// Longest plain form of a number, in bytes: what an id has room for.
pub const MAX_PLAIN_LEN: usize = crate::id::MAX_ID_LEN;

/// Most digits of a number in DynamoDB.
const DYNAMODB_DIGITS: usize = 38;

/// The powers of ten that the first digit of a number in DynamoDB may stand for.
const DYNAMODB_MAGNITUDES: RangeInclusive<i64> = -130..=125;

/// With more zeros or decimals than this there is no plain form: more than any number of DynamoDB has.
const MAX_ZEROS: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for (form, texts) in [
            ("0", &["0", "-0", "+0", "000", "0.000", "0e9", "-0E-9", ".0", "0."][..]),
            ("7", &["7", "+7", "007", "7.0", "0.7e1", "70e-1", "7."]),
            ("-7.5", &["-7.5", "-07.50", "-75e-1", "-.75E+1"]),
            ("1000", &["1e3", "1E+03", "1000.0"]),
            ("0.001", &["1e-3", ".001", "0.0010"]),
            ("18446744073709551616", &["18446744073709551616", "1.8446744073709551616e19"]),
            ("1E100", &["1e100", "10E99", "0.1e101"]),
            ("-1.5E-100", &["-1.5e-100", "-15e-101"]),
        ] {
            for text in texts {
                check(text, Some(form));
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "+", ".", "e1", "1e", "1e+", "1.2.3", "0x7", "٧", "1e99999999999999999999"] {
            check(text, None);
        }
        for text in ["NaN", "Infinity", " 7", "7 ", "--7", "1_000", "1e1.5"] {
            check(text, None);
        }
    }

    #[test]
    fn a_form_is_as_long_as_an_id_may_be_and_has_an_exponent_beyond() {
        let plain = format!("1{}", "0".repeat(MAX_PLAIN_LEN - 1));
        check("1e63", Some(&plain));
        check("1e64", Some("1E64"));
        check("-1e63", Some("-1E63"));
        check("1e-62", Some(&format!("0.{}1", "0".repeat(61))));
        check("1e-63", Some("1E-63"));
    }

    #[test]
    fn dynamodb_has_numbers_of_38_digits_within_bounds() {
        let digits = "9".repeat(38);
        for text in ["0", "-7", &digits, &format!("0.{digits}"), &format!("{digits}000"), "9.9e125", "1e-130"]
        {
            assert!(Decimal::new(text).unwrap().is_in_dynamodb(), "{text}");
        }
        for text in [&format!("{digits}9"), &format!("1.{digits}"), "1e126", "-1e126", "9.9e-131"] {
            assert!(!Decimal::new(text).unwrap().is_in_dynamodb(), "{text}");
        }
    }

    #[test]
    fn a_number_of_dynamodb_has_a_plain_form() {
        for (text, plain) in [
            ("-1.5", "-1.5".to_owned()),
            ("-1e125", format!("-1{}", "0".repeat(125))),
            ("1e-130", format!("0.{}1", "0".repeat(129))),
            ("1.2e-130", format!("0.{}12", "0".repeat(129))),
            ("1e300", "1E300".to_owned()),
        ] {
            assert_eq!(Decimal::new(text).unwrap().to_plain(), plain);
        }
    }

    proptest! {
        #[test]
        fn a_form_is_its_own_form_and_json(text in "-?[0-9]{1,70}(\\.[0-9]{1,70})?(e-?[0-9]{1,4})?") {
            let number = Decimal::new(&text).unwrap();
            prop_assert_eq!(Decimal::new(number.as_str()), Some(number.clone()));
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(number.as_str()).is_ok());
        }

        #[test]
        fn a_form_is_the_same_real(real: f64) {
            prop_assume!(real.is_finite());
            let number = Decimal::new(&format!("{real:?}")).unwrap();
            prop_assert_eq!(number.as_str().parse::<f64>().unwrap(), real);
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let actual = Decimal::new(text);
        assert_eq!(actual.as_ref().map(Decimal::as_str), expected, "{text:?}");
    }
}
