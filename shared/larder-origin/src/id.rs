//! What a request names a row by.

use std::fmt;

use crate::number::Decimal;

/// A row's id as a request writes it: 1 to 64 characters, none of them a control character.
///
/// One row has one id. An integer is written as the database prints it, and a text id only finds the row whose
/// key is that very text, whatever the column's collation. So `007` is never another name, and another cache
/// key, for `7`.
///
/// Made by [`Origin::id`](crate::Origin::id).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id(Box<str>);

impl Id {
    /// The id as text: fit for a cache key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes `text` as an id of a kind that is not known yet.
    pub(crate) fn new(text: &str) -> Result<Self, BadId> {
        if text.is_empty() {
            return Err(BadId::Empty);
        }
        // Bytes first, so that a huge text is not counted to its end.
        if text.len() > MAX_ID_LEN * MAX_CHAR_LEN || text.chars().count() > MAX_ID_LEN {
            return Err(BadId::TooLong);
        }
        match text.find(char::is_control) {
            Some(at) => Err(BadId::Control { at }),
            None => Ok(Self(text.into())),
        }
    }

    /// This id as the value to bind for a key of `kind`.
    pub(crate) fn to_key(&self, kind: IdKind) -> Result<Key<'_>, BadId> {
        match kind {
            IdKind::Text => Ok(Key::Text(&self.0)),
            IdKind::Integer => self.integer().map(Key::Integer),
            IdKind::Unsigned => match self.0.parse() {
                Ok(number) => self.canonical(number).map(Key::Unsigned),
                // One below 0 is no row, as any other that the column cannot hold.
                Err(_) => self.integer().map(Key::Integer),
            },
            IdKind::Number => {
                let number =
                    Decimal::new(&self.0).filter(Decimal::is_in_dynamodb).ok_or(BadId::NotANumber)?;
                if number.as_str() == &*self.0 { Ok(Key::Number(&self.0)) } else { Err(BadId::NotCanonical) }
            }
            IdKind::Uuid => match is_canonical_uuid(&self.0) {
                true => Ok(Key::Text(&self.0)),
                false => Err(BadId::NotAUuid),
            },
        }
    }

    fn integer(&self) -> Result<i64, BadId> {
        let number: i64 = self.0.parse().map_err(|_| BadId::NotAnInteger)?;
        self.canonical(number)
    }

    /// `number`, if the id is the way to write it.
    fn canonical<N: fmt::Display>(&self, number: N) -> Result<N, BadId> {
        if number.to_string() == *self.0 { Ok(number) } else { Err(BadId::NotCanonical) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the key column of a table holds, as its schema says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdKind {
    /// Integers of 64 bits with sign.
    Integer,
    /// Integers of 64 bits without sign: MySQL's `bigint unsigned`.
    Unsigned,
    /// Decimal numbers as DynamoDB has them, in the form of a [`Decimal`].
    Number,
    /// Text.
    Text,
    /// UUIDs, written as 32 hexadecimal digits in small letters and four hyphens.
    Uuid,
}

/// Whether `text` is a UUID as databases print it.
fn is_canonical_uuid(text: &str) -> bool {
    let is_hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| match is_hyphen(at) {
        true => byte == b'-',
        false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// An id as a value to bind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key<'a> {
    Integer(i64),
    Unsigned(u64),
    /// The form of a [`Decimal`].
    Number(&'a str),
    Text(&'a str),
}

/// Why a text is no id; the caller's fault, and worded for the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadId {
    /// Nothing there.
    #[error("an id is not empty")]
    Empty,
    /// More characters than an id has.
    #[error("an id has at most {MAX_ID_LEN} characters")]
    TooLong,
    /// A control character in it.
    #[error("an id has no control characters; see byte {at}")]
    Control {
        /// The character's place, in bytes from 0.
        at: usize,
    },
    /// The table is keyed by integers and this is none.
    #[error("the ids of this table are integers of 64 bits")]
    NotAnInteger,
    /// The table is keyed by numbers and this is none, or one that no key can be.
    #[error("the ids of this table are numbers of up to 38 digits")]
    NotANumber,
    /// A number in disguise.
    #[error(
        "a number as id is written without plus sign and without zeros that say nothing, as a read shows it"
    )]
    NotCanonical,
    /// The table is keyed by UUIDs and this is none, or one in disguise.
    #[error("the ids of this table are UUIDs in small letters, with hyphens")]
    NotAUuid,
}

impl BadId {
    /// Whether the id is well-formed, and only the table's kind of key rules it out: it is then the id of no row.
    #[must_use]
    pub fn is_of_another_kind(self) -> bool {
        matches!(self, Self::NotAnInteger | Self::NotANumber | Self::NotCanonical | Self::NotAUuid)
    }
}

/// Longest id, in characters.
pub const MAX_ID_LEN: usize = 64;

/// Most bytes of a character in UTF-8.
const MAX_CHAR_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_integer_id_is_the_number_as_printed() {
        for (text, number) in [
            ("7", 7),
            ("0", 0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            check(IdKind::Integer, text, Ok(Key::Integer(number)));
        }
    }

    #[test]
    fn an_integer_in_disguise_is_refused() {
        for text in ["007", "+7", "-0", "00", "-07"] {
            check(IdKind::Integer, text, Err(BadId::NotCanonical));
        }
    }

    #[test]
    fn an_integer_id_that_is_no_integer_is_refused() {
        for text in ["abc", " 7", "7 ", "1.0", "1e3", "0x7", "٧", "9223372036854775808", "1 OR 1=1"] {
            check(IdKind::Integer, text, Err(BadId::NotAnInteger));
        }
    }

    #[test]
    fn an_unsigned_id_goes_to_2_to_the_64th() {
        for (text, expected) in [
            ("0", Ok(Key::Unsigned(0))),
            ("9223372036854775808", Ok(Key::Unsigned(1 << 63))),
            ("18446744073709551615", Ok(Key::Unsigned(u64::MAX))),
            ("-1", Ok(Key::Integer(-1))),
            ("18446744073709551616", Err(BadId::NotAnInteger)),
            ("1.5", Err(BadId::NotAnInteger)),
            ("", Err(BadId::Empty)),
            ("+1", Err(BadId::NotCanonical)),
            ("018446744073709551615", Err(BadId::NotCanonical)),
        ] {
            check(IdKind::Unsigned, text, expected);
        }
    }

    #[test]
    fn a_number_id_is_a_number_of_dynamodb_in_its_one_form() {
        let digits = "9".repeat(38);
        for text in ["7", "-1", "1.5", "18446744073709551616", "1E125", "1E-130", "-1.5E-100", &digits] {
            check(IdKind::Number, text, Ok(Key::Number(text)));
        }
        for text in ["007", "7.0", "1e3", "1E3", "-0", "1e125", ".5"] {
            check(IdKind::Number, text, Err(BadId::NotCanonical));
        }
        for text in ["abc", "1E126", "1E-131", &format!("{digits}9"), "NaN", "1 OR 1=1"] {
            check(IdKind::Number, text, Err(BadId::NotANumber));
        }
    }

    #[test]
    fn a_uuid_has_one_way_to_be_written() {
        let id = "0e37df36-f698-11e6-8dd4-cb9ced3df976";
        check(IdKind::Uuid, id, Ok(Key::Text(id)));
        for text in [
            "0E37DF36-F698-11E6-8DD4-CB9CED3DF976",
            "0e37df36f69811e68dd4cb9ced3df976",
            "{0e37df36-f698-11e6-8dd4-cb9ced3df976}",
            "0e37df36-f698-11e6-8dd4-cb9ced3df97g",
            "0e37df36-f698-11e6-8dd4-cb9ced3df97",
            "7",
        ] {
            check(IdKind::Uuid, text, Err(BadId::NotAUuid));
        }
    }

    #[test]
    fn a_text_id_is_taken_as_it_is() {
        for text in ["JFK", "007", " a b ", "O'Hare", "\"; DROP TABLE flights; --", "Zürich", "%_"] {
            check(IdKind::Text, text, Ok(Key::Text(text)));
        }
    }

    #[test]
    fn an_empty_id_is_refused() {
        check(IdKind::Text, "", Err(BadId::Empty));
    }

    #[test]
    fn an_id_has_at_most_64_characters_of_any_width() {
        for longest in ["a".repeat(64), "é".repeat(64), "🛫".repeat(64)] {
            check(IdKind::Text, &longest, Ok(Key::Text(&longest)));
            check(IdKind::Text, &format!("{longest}a"), Err(BadId::TooLong));
        }
    }

    #[test]
    fn a_control_character_is_refused() {
        for text in ["a\0", "a\n", "a\x7f", "a\u{85}"] {
            check(IdKind::Text, text, Err(BadId::Control { at: 1 }));
        }
    }

    proptest! {
        #[test]
        fn two_ids_of_one_table_never_name_one_key(
            a in "[-+0-9.E]{1,6}",
            b in "[-+0-9.E]{1,6}",
            kind in prop::sample::select(&[IdKind::Text, IdKind::Integer, IdKind::Unsigned, IdKind::Number][..]),
        ) {
            let (a, b) = (Id::new(&a).unwrap(), Id::new(&b).unwrap());
            if let (Ok(key_a), Ok(key_b)) = (a.to_key(kind), b.to_key(kind)) {
                prop_assert_eq!(a == b, key_a == key_b);
            }
        }
    }

    #[track_caller]
    fn check(kind: IdKind, text: &str, expected: Result<Key<'_>, BadId>) {
        let id = Id::new(text);
        let actual = id.as_ref().map_err(|bad| *bad).and_then(|id| id.to_key(kind));
        assert_eq!(actual, expected, "{text:?}");
    }
}
