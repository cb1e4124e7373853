//! Questions for the addresses of a name, and what a name server answers, as bytes.
//!
//! Source: RFC 1035, section 4; RFC 3596 for `AAAA`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// One question, as it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Question {
    id: u16,
    family: Family,
    message: Vec<u8>,
}

/// What a name server says to a question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    /// These addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// The name has no address of this family, or there is no such name.
    Nothing,
    /// The answer is too long for a datagram: it is to be asked for over TCP.
    Truncated,
    /// The server could not find out, or does not want to, with this code.
    Failed(u8),
}

impl Question {
    /// Asks for the addresses of `name`, which stands without a dot at its end; `None` where that can be no name.
    pub(crate) fn new(id: u16, name: &str, family: Family) -> Option<Self> {
        if name.is_empty() || name.len() > MOST_NAME_LEN {
            return None;
        }
        let mut message = Vec::with_capacity(HEADER_LEN + name.len() + 6);
        message.extend(id.to_be_bytes());
        message.extend(RECURSION_DESIRED.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.split('.') {
            let len = u8::try_from(label.len()).ok().filter(|len| (1..=MOST_LABEL_LEN).contains(len))?;
            message.push(len);
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(family.code().to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        Some(Self { id, family, message })
    }

    /// The bytes to send.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// What `message` says to this question; `None` where it is no reply to it, or is malformed: to be waited past.
    pub(crate) fn reply(&self, message: &[u8]) -> Option<Reply> {
        let header = message.get(..HEADER_LEN)?;
        let flags = be16(header, 2)?;
        if be16(header, 0)? != self.id || flags & RESPONSE == 0 || !self.is_echoed(message) {
            return None;
        }
        match (flags & 0xf) as u8 {
            NO_ERROR if flags & TRUNCATED != 0 => Some(Reply::Truncated),
            NO_ERROR => self.addresses(message, be16(header, 6)?),
            NO_SUCH_NAME => Some(Reply::Nothing),
            code => Some(Reply::Failed(code)),
        }
    }

    /// Whether `message` repeats the one question; a server may answer in capitals.
    fn is_echoed(&self, message: &[u8]) -> bool {
        let asked = &self.message[HEADER_LEN..];
        let echoed = message.get(HEADER_LEN..self.message.len());
        be16(message, 4) == Some(1) && echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(asked))
    }

    /// The addresses among the first `count` records behind the question, which lead to them by other names.
    fn addresses(&self, message: &[u8], count: u16) -> Option<Reply> {
        let (mut at, mut addresses, mut least_ttl) = (self.message.len(), Vec::new(), u32::MAX);
        for _ in 0..count {
            at = name_end(message, at)?;
            let record = message.get(at..at + RECORD_HEAD_LEN)?;
            let len = usize::from(be16(record, 8)?);
            let data = message.get(at + RECORD_HEAD_LEN..at + RECORD_HEAD_LEN + len)?;
            at += RECORD_HEAD_LEN + len;
            let ttl = u32::from_be_bytes(record.get(4..8)?.try_into().ok()?);
            if be16(record, 0)? == self.family.code() && addresses.len() < MOST_ADDRESSES {
                addresses.push(self.family.address(data)?);
            }
            least_ttl = least_ttl.min(ttl);
        }
        Some(if addresses.is_empty() { Reply::Nothing } else { Reply::Addresses(addresses, least_ttl) })
    }
}

impl Family {
    /// The type of its records.
    fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::V4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
            Self::V6 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }
}

/// Where the name ends that begins at `at`: behind its last label, or behind a pointer to the rest.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MOST_LABELS {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=MOST_LABEL_LEN => at += 1 + usize::from(len),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

const HEADER_LEN: usize = 12;
/// Type, class, TTL and the length of the data.
const RECORD_HEAD_LEN: usize = 10;
const RESPONSE: u16 = 1 << 15;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const INTERNET: u16 = 1;
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;
const MOST_LABEL_LEN: u8 = 63;
const MOST_LABELS: usize = 128;
/// Without the dot at the end, so that it takes 255 bytes on the wire.
const MOST_NAME_LEN: usize = 253;
/// More addresses of one name are left aside: nobody has the time to try them.
pub(crate) const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_labels_and_its_type() {
        let question = Question::new(0x1234, "ab.c", Family::V6).unwrap();
        assert_eq!(question.message(), b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x02ab\x01c\0\0\x1c\0\x01");
    }

    #[test]
    fn what_can_be_no_name_is_not_asked_for() {
        let long = "a".repeat(64);
        let many = "a.".repeat(126) + "ab";
        for bad in ["", ".", "a.", ".a", "a..b", &long, &many] {
            assert_eq!(Question::new(1, bad, Family::V4), None, "{bad}");
        }
        assert!(Question::new(1, &"a".repeat(63), Family::V4).is_some());
        assert!(Question::new(1, &("a.".repeat(126) + "a"), Family::V4).is_some());
    }

    #[test]
    fn addresses_are_read_behind_other_names_with_their_least_ttl() {
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x05\0\x02\xc0\x0c";
        let address = b"\x01x\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";
        let reply = [&head(0x8180, 2), &alias[..], &address[..]].concat();
        assert_eq!(asked().reply(&reply), Some(Reply::Addresses(vec!["10.0.0.7".parse().unwrap()], 5)));
    }

    #[test]
    fn a_reply_without_an_address_of_the_family_is_nothing() {
        let v6 = [b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10".to_vec(), vec![1; 16]].concat();
        assert_eq!(asked().reply(&[head(0x8180, 1), v6].concat()), Some(Reply::Nothing));
        assert_eq!(asked().reply(&head(0x8180, 0)), Some(Reply::Nothing));
        assert_eq!(asked().reply(&head(0x8183, 0)), Some(Reply::Nothing));
    }

    #[test]
    fn a_refusal_and_a_reply_cut_short_are_told() {
        assert_eq!(asked().reply(&head(0x8182, 0)), Some(Reply::Failed(2)));
        assert_eq!(asked().reply(&head(0x8185, 0)), Some(Reply::Failed(5)));
        assert_eq!(asked().reply(&head(0x8380, 0)), Some(Reply::Truncated));
    }

    #[test]
    fn what_answers_another_question_is_no_reply() {
        let mut other_id = head(0x8180, 0);
        other_id[1] = 9;
        let mut other_name = head(0x8180, 0);
        other_name[13] = b'z';
        for other in [other_id, other_name, head(0x0100, 0), Vec::new(), vec![0; 12]] {
            assert_eq!(asked().reply(&other), None, "{other:?}");
        }
        let mut capitals = head(0x8180, 0);
        capitals[13] = b'A';
        assert_eq!(asked().reply(&capitals), Some(Reply::Nothing));
    }

    #[test]
    fn a_reply_that_is_cut_or_lies_is_none_and_never_a_panic() {
        let address = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";
        let whole = [head(0x8180, 1), address.to_vec()].concat();
        for cut in 0..whole.len() {
            assert_eq!(asked().reply(&whole[..cut]), None, "cut at {cut}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = asked().reply(&bytes);
        }
    }

    fn asked() -> Question {
        Question::new(7, "ab.c", Family::V4).unwrap()
    }

    /// The head of a reply to [`asked`] with these flags and so many records, and the question.
    fn head(flags: u16, records: u16) -> Vec<u8> {
        let mut message = asked().message().to_vec();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&records.to_be_bytes());
        message
    }
}
