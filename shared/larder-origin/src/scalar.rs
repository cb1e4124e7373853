//! A value that is bound to a statement.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A value as JSON writes it without brackets: what a column takes, and what a list's parameter is.
///
/// In JSON it is that value itself: `null`, `true`, `7`, `0.5`, `"JFK"`. A number without fraction and exponent is an
/// integer of 64 bits with sign; one beyond is refused, rather than rounded.
///
/// ```
/// use larder_origin::Scalar;
///
/// let read = |text| serde_json::from_str::<Vec<Scalar>>(text);
/// assert_eq!(read(r#"[7, "JFK"]"#)?, [Scalar::Integer(7), Scalar::Text("JFK".into())]);
/// assert!(read("[[7]]").is_err() && read("[9223372036854775808]").is_err());
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
    /// A real.
    Real(f64),
    /// Text.
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, true, false, a number or a text")
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
        i64::try_from(value).map(Scalar::Integer).map_err(|_| E::custom("an integer has 64 bits with sign"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
        // What JSON writes as an integer of more than 64 bits comes here, too.
        if value.fract() == 0.0 && value.abs() >= WHOLE_FROM {
            return Err(E::custom("a whole number has 64 bits with sign"));
        }
        Ok(Scalar::Real(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(value))
    }
}

/// 2^63. Every real from here on is whole.
const WHOLE_FROM: f64 = 9_223_372_036_854_775_808.0;
