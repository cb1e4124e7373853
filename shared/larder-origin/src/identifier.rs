//! The name of a table or a column, as the configuration may write it.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A table's or column's name: 1 to 63 of `a` to `z`, `A` to `Z`, `0` to `9` and `_`, no digit first.
///
/// Narrower than SQL, so that a name means the same in a URL, a cache key and on every database. Upper and
/// lower case differ. It still has to be in the schema, and is quoted wherever it is used.
///
/// ```
/// use larder_origin::Identifier;
///
/// assert_eq!(Identifier::new("flights")?.as_str(), "flights");
/// assert!(Identifier::new("flights; DROP TABLE flights").is_err());
/// # Ok::<(), larder_origin::InvalidIdentifier>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Identifier(Box<str>);

impl Identifier {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] if it is anything but the characters above.
    pub fn new(text: &str) -> Result<Self, InvalidIdentifier> {
        if !(1..=MAX_IDENTIFIER_LEN).contains(&text.len()) {
            return Err(InvalidIdentifier::Length(text.len()));
        }
        let fits =
            |(at, b): (usize, u8)| b.is_ascii_alphabetic() || b == b'_' || (at > 0 && b.is_ascii_digit());
        match text.bytes().enumerate().position(|byte| !fits(byte)) {
            Some(at) => Err(InvalidIdentifier::Character { at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Identifier {
    type Err = InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for Identifier {
    type Error = InvalidIdentifier;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A map by table is asked with the name in a request.
impl Borrow<str> for Identifier {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a name of a table or a column was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIdentifier {
    /// Empty or too long; the length in bytes.
    #[error("a name has 1 to {MAX_IDENTIFIER_LEN} characters, not {0}")]
    Length(usize),
    /// Neither letter, digit nor underscore, or a digit in front.
    #[error("a name has letters, digits and underscores and no digit in front; see byte {at}")]
    Character {
        /// The character's place, in bytes from 0.
        at: usize,
    },
}

/// Longest name, in bytes: PostgreSQL's limit, the lowest of the databases (`NAMEDATALEN` less one).
pub const MAX_IDENTIFIER_LEN: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_underscores_make_a_name() {
        for name in ["flights", "_", "Top10", "a1_b2"] {
            check(name, Ok(name));
        }
    }

    #[test]
    fn a_digit_in_front_is_refused() {
        check("1st", Err(InvalidIdentifier::Character { at: 0 }));
    }

    #[test]
    fn quotes_blanks_and_dots_are_refused() {
        for name in ["ab\"c", "ab c", "ab.c", "ab;c", "ab`c", "ab\0c", "ab-c", "abéc"] {
            check(name, Err(InvalidIdentifier::Character { at: 2 }));
        }
    }

    #[test]
    fn a_name_has_1_to_63_bytes() {
        check("", Err(InvalidIdentifier::Length(0)));
        check(&"a".repeat(63), Ok(&"a".repeat(63)));
        check(&"a".repeat(64), Err(InvalidIdentifier::Length(64)));
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, InvalidIdentifier>) {
        let actual = Identifier::new(text);
        assert_eq!(actual.as_ref().map(Identifier::as_str), expected.as_ref().map(|name| *name), "{text:?}");
    }
}
