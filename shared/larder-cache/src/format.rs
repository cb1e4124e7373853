//! What the client flags of an item say about its value.

/// The meaning of an item's client flags: bits 0 to 7 format, 8 to 15 schema. The others are the client's, which keeps
/// there under which ring an item was stored.
///
/// The format is never 0, so that neither a lease that nobody filled nor an item of somebody else is taken for a
/// value of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ItemFlags {
    pub(crate) format: Format,
    pub(crate) schema: u8,
}

/// What an item's bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// The value as it is.
    Value = 1,
    /// No bytes: the origin has no such record.
    NotFound = 2,
}

impl ItemFlags {
    pub(crate) fn encode(self) -> u32 {
        self.format as u32 | u32::from(self.schema) << 8
    }

    /// Reads client flags; `None` for a format that is not known here.
    pub(crate) fn decode(client_flags: u32) -> Option<Self> {
        let [format, schema, ..] = client_flags.to_le_bytes();
        let format = [Format::Value, Format::NotFound].into_iter().find(|known| *known as u8 == format)?;
        Some(Self { format, schema })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn flags_that_can_be_read_are_those_that_are_written(client_flags: u32) {
            // Few of all numbers have a known format; make sure of some that do.
            for client_flags in [client_flags, client_flags & !0xff | client_flags & 3] {
                let is_known = (1..=2).contains(&(client_flags & 0xff));
                let decoded = ItemFlags::decode(client_flags);
                prop_assert_eq!(decoded.map(ItemFlags::encode), is_known.then_some(client_flags & 0xffff));
            }
        }
    }

    #[test]
    fn flags_keep_format_and_schema() {
        let flags = ItemFlags { format: Format::NotFound, schema: 0xab };
        assert_eq!(flags.encode(), 0xab02);
        assert_eq!(ItemFlags::decode(flags.encode()), Some(flags));
    }

    #[test]
    fn a_lease_and_an_unknown_format_are_no_value() {
        for client_flags in [0, 3, 0xff, 0xffff_ff00] {
            assert_eq!(ItemFlags::decode(client_flags), None, "{client_flags:#x}");
        }
    }
}
