//! What a request names a row by.

use std::fmt;

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
            IdKind::Integer => {
                let number: i64 = self.0.parse().map_err(|_| BadId::NotAnInteger)?;
                if number.to_string() == *self.0 {
                    Ok(Key::Integer(number))
                } else {
                    Err(BadId::NotCanonical)
                }
            }
            IdKind::Uuid => match is_canonical_uuid(&self.0) {
                true => Ok(Key::Text(&self.0)),
                false => Err(BadId::NotAUuid),
            },
        }
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
    /// An integer in disguise.
    #[error("an integer id is written without plus sign and leading zeros")]
    NotCanonical,
    /// The table is keyed by UUIDs and this is none, or one in disguise.
    #[error("the ids of this table are UUIDs in small letters, with hyphens")]
    NotAUuid,
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
        fn two_ids_of_one_table_never_name_one_key(a in "[-+0-9]{1,6}", b in "[-+0-9]{1,6}", text: bool) {
            let kind = if text { IdKind::Text } else { IdKind::Integer };
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
