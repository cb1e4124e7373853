//! A value that is bound to a statement.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::number::Decimal;

/// A value as JSON writes it without brackets: what a column takes, and what a list's parameter is.
///
/// In JSON it is that value itself: `null`, `true`, `7`, `0.5`, `"JFK"`. Every number keeps its value: one that neither
/// an integer of 64 bits nor a real of 64 bits holds exactly is a [`Decimal`].
///
/// ```
/// use larder_origin::{Decimal, Scalar};
///
/// let read = |text| serde_json::from_str::<Vec<Scalar>>(text);
/// assert_eq!(read(r#"[7, "JFK"]"#)?, [Scalar::Integer(7), Scalar::Text("JFK".into())]);
/// let beyond = Decimal::new("18446744073709551615").map(Scalar::Number);
/// assert_eq!(read("[18446744073709551615]")?.pop(), beyond);
/// assert!(read("[[7]]").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of 64 bits with sign.
    Integer(i64),
    /// A real: its shortest digits are the number.
    Real(f64),
    /// A number with more digits than the two before hold.
    Number(Decimal),
    /// Text.
    Text(String),
}

impl Scalar {
    /// The number that this is, in the one form that it has.
    #[must_use]
    pub fn as_number(&self) -> Option<Decimal> {
        match self {
            Self::Integer(number) => Decimal::new(&number.to_string()),
            Self::Real(number) => digits(*number),
            Self::Number(number) => Some(number.clone()),
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// The value of `json`, which is one whole value.
    fn of_json(json: &str) -> Option<Self> {
        match json.bytes().next()? {
            b'n' => Some(Self::Null),
            b't' => Some(Self::Bool(true)),
            b'f' => Some(Self::Bool(false)),
            b'"' => serde_json::from_str(json).ok().map(Self::Text),
            b'-' | b'0'..=b'9' => Self::of_number(json),
            _ => None,
        }
    }

    fn of_number(json: &str) -> Option<Self> {
        // No integer has a zero with a sign.
        if let Some(number) = json.parse().ok().filter(|_| json != "-0") {
            return Some(Self::Integer(number));
        }
        let number = Decimal::new(json)?;
        let real: Option<f64> = json.parse().ok();
        match real.filter(|real| digits(*real).as_ref() == Some(&number)) {
            Some(real) => Some(Self::Real(real)),
            None => Some(Self::Number(number)),
        }
    }
}

/// A real by its own digits: the fewest that no other real has. `None` for what is no number.
fn digits(real: f64) -> Option<Decimal> {
    Decimal::new(&format!("{real:e}"))
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::of_json(json.get())
            .ok_or_else(|| D::Error::custom("expected null, true, false, a number or a text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_holds_it_exactly() {
        for (json, expected) in [
            ("7", Scalar::Integer(7)),
            ("-9223372036854775808", Scalar::Integer(i64::MIN)),
            ("9223372036854775807", Scalar::Integer(i64::MAX)),
            ("5.0", Scalar::Real(5.0)),
            ("1e308", Scalar::Real(1e308)),
            ("6.02e+23", Scalar::Real(6.02e23)),
            ("1.7976931348623157e308", Scalar::Real(f64::MAX)),
            ("5e-324", Scalar::Real(5e-324)),
            ("9223372036854775808", number("9223372036854775808")),
            ("18446744073709551615", number("18446744073709551615")),
            ("1e309", number("1e309")),
            ("1e-400", number("1e-400")),
            ("0.12345678901234567890123456789012345678", number("0.12345678901234567890123456789012345678")),
            ("12345678901234567890123456789012345678", number("12345678901234567890123456789012345678")),
        ] {
            assert_eq!(serde_json::from_str::<Scalar>(json).unwrap(), expected, "{json}");
            assert_eq!(serde_json::from_str::<Scalar>(&format!(" {json} ")).unwrap(), expected, "{json}");
        }
        for zero in ["-0", "-0.0"] {
            let Scalar::Real(real) = serde_json::from_str(zero).unwrap() else { panic!("{zero}") };
            assert!(real == 0.0 && real.is_sign_negative(), "{zero}");
        }
    }

    #[test]
    fn every_real_that_is_written_is_read_as_that_real() {
        for real in [0.1, 0.1 + 0.2, 1.0 / 3.0, -1e300, 2_f64.powi(63), f64::MIN_POSITIVE, 1e22, 1e23] {
            let json = serde_json::to_string(&real).unwrap();
            assert_eq!(serde_json::from_str::<Scalar>(&json).unwrap(), Scalar::Real(real), "{json}");
        }
    }

    #[test]
    fn a_text_is_read_with_its_escapes_and_what_is_no_plain_value_is_refused() {
        let text = serde_json::from_str::<Scalar>(r#""a\"\u00e9\n""#).unwrap();
        assert_eq!(text, Scalar::Text("a\"é\n".into()));
        for json in ["[]", "{}", "[7]", r#""\ud800""#, "07", "1e", "nul", ""] {
            assert!(serde_json::from_str::<Scalar>(json).is_err(), "{json}");
        }
    }

    fn number(digits: &str) -> Scalar {
        Scalar::Number(Decimal::new(digits).unwrap())
    }
}
