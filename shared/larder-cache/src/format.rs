//! What the client flags of an item say about its value.

/// The meaning of an item's client flags: bits 0 to 7 format, 8 to 15 schema. The others are the client's, which keeps
/// there under which ring an item was stored.
///
/// | bits of the format | say |
/// | --- | --- |
/// | 0 to 2 | the [`Kind`] |
/// | 3 | the value is compressed, see [`Packed`](crate::packed::Packed) |
/// | 4 | eight bytes stand before it: the version of its row |
/// | 5 | it was stored for a time of its own, so that its age is not known |
/// | 6 | eight bytes stand before all that: how its tags stood |
///
/// The kind is never 0, so that neither a lease that nobody filled nor an item of somebody else is taken for a
/// value of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ItemFlags {
    pub(crate) kind: Kind,
    pub(crate) is_compressed: bool,
    pub(crate) has_version: bool,
    pub(crate) has_own_ttl: bool,
    pub(crate) has_tags: bool,
    pub(crate) schema: u8,
}

/// What an item's bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A value, of which we know no more.
    Raw = 1,
    /// No bytes: the origin has no such record.
    NotFound = 2,
    /// No bytes: the origin has failed a moment ago.
    Failing = 3,
    /// A value in JSON.
    Json = 4,
    /// Eight bytes: the length from which on no value of the key is stored, for its item would be too long.
    Uncacheable = 5,
}

impl Kind {
    /// Whether it says anything of the record, or only whether to ask for it.
    pub(crate) fn is_of_record(self) -> bool {
        matches!(self, Self::Raw | Self::NotFound | Self::Json)
    }
}

impl ItemFlags {
    pub(crate) fn new(kind: Kind, schema: u8) -> Self {
        Self { kind, is_compressed: false, has_version: false, has_own_ttl: false, has_tags: false, schema }
    }

    pub(crate) fn encode(self) -> u32 {
        let mark = |is_set: bool, bit: u32| u32::from(is_set) << bit;
        self.kind as u32
            | mark(self.is_compressed, COMPRESSED)
            | mark(self.has_version, VERSION)
            | mark(self.has_own_ttl, OWN_TTL)
            | mark(self.has_tags, TAGS)
            | u32::from(self.schema) << 8
    }

    /// Reads client flags; `None` for a format that is not known here.
    pub(crate) fn decode(client_flags: u32) -> Option<Self> {
        let [format, schema, ..] = client_flags.to_le_bytes();
        let is_set = |bit: u32| format & 1 << bit != 0;
        let known = [Kind::Raw, Kind::NotFound, Kind::Failing, Kind::Json, Kind::Uncacheable];
        let kind = known.into_iter().find(|kind| *kind as u8 == format & KIND_MASK)?;
        let flags = Self {
            kind,
            is_compressed: is_set(COMPRESSED),
            has_version: is_set(VERSION),
            has_own_ttl: is_set(OWN_TTL),
            has_tags: is_set(TAGS),
            schema,
        };
        (format & UNKNOWN_MASK == 0).then_some(flags)
    }
}

const KIND_MASK: u8 = 0b111;
const COMPRESSED: u32 = 3;
const VERSION: u32 = 4;
const OWN_TTL: u32 = 5;
const TAGS: u32 = 6;
const UNKNOWN_MASK: u8 = 0b1000_0000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn flags_that_can_be_read_are_those_that_are_written(client_flags: u32) {
            let is_known = (1..=5).contains(&(client_flags & 7)) && client_flags & 0x80 == 0;
            let decoded = ItemFlags::decode(client_flags);
            prop_assert_eq!(decoded.map(ItemFlags::encode), is_known.then_some(client_flags & 0xffff));
        }
    }

    #[test]
    fn flags_keep_all_that_they_say() {
        check(ItemFlags::new(Kind::NotFound, 0xab), 0xab02);
        check(ItemFlags { is_compressed: true, ..ItemFlags::new(Kind::Raw, 0) }, 0x09);
        check(ItemFlags { has_version: true, ..ItemFlags::new(Kind::Json, 1) }, 0x114);
        check(ItemFlags { has_own_ttl: true, ..ItemFlags::new(Kind::Json, 0) }, 0x24);
        check(ItemFlags { has_tags: true, ..ItemFlags::new(Kind::NotFound, 0) }, 0x42);
    }

    #[test]
    fn a_lease_and_an_unknown_format_are_no_value() {
        for client_flags in [0, 6, 7, 0x08, 0x40, 0x81, 0xff, 0xffff_ff00] {
            assert_eq!(ItemFlags::decode(client_flags), None, "{client_flags:#x}");
        }
    }

    #[track_caller]
    fn check(flags: ItemFlags, encoded: u32) {
        assert_eq!(flags.encode(), encoded);
        assert_eq!(ItemFlags::decode(encoded), Some(flags));
    }
}
