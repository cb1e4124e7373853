//! Requests: each appends its bytes to a buffer, in the form that every engine from 1.6.12 on understands.
//!
//! Flags are fields of a plain struct, so a request holds each at most once, and they are always written in the
//! same order: those that change what the others report (`N`, `R`, `T`) first, because a node works through
//! them from left to right (`k t N30` shows the TTL before the change, `N30 t` the one after it).
//!
//! Source: memcached `doc/protocol.txt`, "Meta Commands".

use bytes::{BufMut, BytesMut};

use crate::{Key, Ttl};

/// `mg`: reads an item, and may win the right to fill it.
///
/// Answers: [`Value`](crate::Reply::Value) where `value` is asked, else [`Done`](crate::Reply::Done);
/// [`Miss`](crate::Reply::Miss).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MetaGet {
    /// `N`: on a miss, make an empty item of this TTL and let us win it.
    pub lease_for: Option<Ttl>,
    /// `R`: where less than these seconds remain, let one caller win.
    pub recache_below_secs: Option<u32>,
    /// `T`: set a new TTL.
    pub touch: Option<Ttl>,
    /// `t`: answer the seconds that remain.
    pub ttl: bool,
    /// `c`: answer the CAS token.
    pub cas: bool,
    /// `f`: answer the client flags.
    pub client_flags: bool,
    /// `s`: answer the value's length.
    pub size: bool,
    /// `h`: answer whether the item was read before.
    pub hit_before: bool,
    /// `l`: answer the seconds since it was last read.
    pub last_access: bool,
    /// `u`: leave the item's place in the LRU as it is.
    pub no_bump: bool,
    /// `v`: answer the value.
    pub value: bool,
    /// `q`: say nothing on a miss.
    pub quiet: bool,
    /// `O`: a number to be echoed; engines before 1.6.18 leave it out of a miss.
    pub opaque: Option<u32>,
}

impl MetaGet {
    /// Appends the request for `key` to `out`.
    pub fn encode(&self, key: &Key, out: &mut BytesMut) {
        let mut line = Line::begin(out, b"mg ", key);
        let bare = line.0.len();
        line.number(b'N', self.lease_for.map(Ttl::as_secs));
        line.number(b'R', self.recache_below_secs);
        line.number(b'T', self.touch.map(Ttl::as_secs));
        line.flag(b't', self.ttl);
        line.flag(b'c', self.cas);
        line.flag(b'f', self.client_flags);
        line.flag(b's', self.size);
        line.flag(b'h', self.hit_before);
        line.flag(b'l', self.last_access);
        line.flag(b'u', self.no_bump);
        line.flag(b'v', self.value);
        line.flag(b'q', self.quiet);
        line.number(b'O', self.opaque);
        // 1.6.12 and 1.6.17 refuse an `mg` without a flag.
        let is_bare = line.0.len() == bare;
        line.flag(b's', is_bare);
        out.put_slice(b"\r\n");
    }
}

/// `ms`: stores an item.
///
/// Answers: [`Done`](crate::Reply::Done); [`NotStored`](crate::Reply::NotStored) where the mode does not allow it;
/// with a CAS token also [`Exists`](crate::Reply::Exists) and [`NotFound`](crate::Reply::NotFound).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MetaSet {
    /// `T`: how long the item may live.
    pub ttl: Ttl,
    /// `F`: client flags.
    pub client_flags: u32,
    /// `C`: store only where the item's CAS token is this one.
    pub compare: Option<u64>,
    /// `M`: what has to be there before.
    pub mode: SetMode,
    /// `c`: answer the new CAS token.
    pub cas: bool,
    /// `q`: say nothing when it is stored.
    pub quiet: bool,
    /// `O`: a number to be echoed.
    pub opaque: Option<u32>,
}

/// What has to be there before a value is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SetMode {
    /// Nothing in particular.
    #[default]
    Set,
    /// No item.
    Add,
    /// An item, which is replaced.
    Replace,
    /// An item, to whose end the value goes.
    Append,
    /// An item, before whose start the value goes.
    Prepend,
}

impl MetaSet {
    /// An unconditional set with client flags 0.
    pub const fn new(ttl: Ttl) -> Self {
        Self {
            ttl,
            client_flags: 0,
            compare: None,
            mode: SetMode::Set,
            cas: false,
            quiet: false,
            opaque: None,
        }
    }

    /// Appends the request that stores `value` under `key` to `out`.
    pub fn encode(&self, key: &Key, value: &[u8], out: &mut BytesMut) {
        out.reserve(key.as_bytes().len() + value.len() + MOST_FLAG_BYTES);
        let mut line = Line::begin(out, b"ms ", key);
        line.length(value.len());
        line.number(b'T', Some(self.ttl.as_secs()));
        line.number(b'F', Some(self.client_flags).filter(|flags| *flags != 0));
        line.number(b'C', self.compare);
        line.mode(match self.mode {
            SetMode::Set => None,
            SetMode::Add => Some(b"ME"),
            SetMode::Replace => Some(b"MR"),
            SetMode::Append => Some(b"MA"),
            SetMode::Prepend => Some(b"MP"),
        });
        line.flag(b'c', self.cas);
        line.flag(b'q', self.quiet);
        line.number(b'O', self.opaque);
        out.put_slice(b"\r\n");
        out.put_slice(value);
        out.put_slice(b"\r\n");
    }
}

/// `md`: removes an item, or marks it stale.
///
/// Answers: [`Done`](crate::Reply::Done), [`NotFound`](crate::Reply::NotFound), with a CAS token also
/// [`Exists`](crate::Reply::Exists).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MetaDelete {
    /// `C`: only where the item's CAS token is this one.
    pub compare: Option<u64>,
    /// `I`: do not remove it, mark it stale; the next reader wins it.
    pub stale: bool,
    /// `T`: with `stale`, how long it may live yet; without this, as long as before.
    pub ttl: Option<Ttl>,
    /// `q`: say nothing when it is done.
    pub quiet: bool,
    /// `O`: a number to be echoed.
    pub opaque: Option<u32>,
}

impl MetaDelete {
    /// Appends the request for `key` to `out`.
    pub fn encode(&self, key: &Key, out: &mut BytesMut) {
        let mut line = Line::begin(out, b"md ", key);
        line.flag(b'I', self.stale);
        line.number(b'T', self.ttl.map(Ttl::as_secs));
        line.number(b'C', self.compare);
        line.flag(b'q', self.quiet);
        line.number(b'O', self.opaque);
        out.put_slice(b"\r\n");
    }
}

/// `ms` of an empty item that is over at once: removes an item, provided that it is the one we know.
///
/// What `md` with a CAS token is for, but 1.6.12 answers that by [`Exists`](crate::Reply::Exists) whatever the token
/// is. Answers: [`Done`](crate::Reply::Done), [`NotFound`](crate::Reply::NotFound), [`Exists`](crate::Reply::Exists).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MetaExpire {
    /// `C`: only where the item's CAS token is this one.
    pub compare: u64,
}

impl MetaExpire {
    /// Appends the request for `key` to `out`.
    pub fn encode(&self, key: &Key, out: &mut BytesMut) {
        let mut line = Line::begin(out, b"ms ", key);
        line.length(0);
        line.0.put_slice(b" T-1");
        line.number(b'C', Some(self.compare));
        out.put_slice(b"\r\n\r\n");
    }
}

/// `ma`: counts up or down in a 64-bit number and answers the new one.
///
/// Going down ends at 0, going up wraps at 2^64. Answers: [`Value`](crate::Reply::Value) with decimal digits,
/// [`NotFound`](crate::Reply::NotFound) where nothing is made, [`NotStored`](crate::Reply::NotStored); an item
/// that is no number is an error of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MetaArithmetic {
    /// `M`: up or down.
    pub mode: Arithmetic,
    /// `D`: by how much.
    pub delta: u64,
    /// `N J`: on a miss, make the item with this TTL and this number.
    pub initial: Option<(Ttl, u64)>,
    /// `T`: set a new TTL.
    pub touch: Option<Ttl>,
    /// `O`: a number to be echoed.
    pub opaque: Option<u32>,
}

/// Up or down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arithmetic {
    /// `MI`
    Increment,
    /// `MD`
    Decrement,
}

impl MetaArithmetic {
    /// Appends the request for `key` to `out`.
    pub fn encode(&self, key: &Key, out: &mut BytesMut) {
        let mut line = Line::begin(out, b"ma ", key);
        line.number(b'N', self.initial.map(|(ttl, _)| ttl.as_secs()));
        line.number(b'J', self.initial.map(|(_, number)| number));
        line.number(b'D', Some(self.delta));
        line.number(b'T', self.touch.map(Ttl::as_secs));
        line.mode(match self.mode {
            Arithmetic::Increment => None,
            Arithmetic::Decrement => Some(b"MD"),
        });
        line.flag(b'v', true);
        line.number(b'O', self.opaque);
        out.put_slice(b"\r\n");
    }
}

/// `mn`: answered by [`Noop`](crate::Reply::Noop); closes a batch of quiet requests.
pub const NOOP: &[u8] = b"mn\r\n";
/// Asks for the engine's version, answered by [`Text::Version`](crate::Text::Version).
pub const VERSION: &[u8] = b"version\r\n";
/// Asks ElastiCache (engine 1.4.14 and later) for its nodes.
pub const CONFIG_GET: &[u8] = b"config get cluster\r\n";
/// Asks an older ElastiCache for its nodes.
pub const CONFIG_GET_OLD: &[u8] = b"get AmazonElastiCache:cluster\r\n";

/// Appends a classic `get` for as many of `keys` as one line may hold, and answers how many that was.
///
/// A line ends before 16,384 bytes, the most that 1.6.12 and ElastiCache Serverless take. Half the work for a
/// node of as many `mg`, so it is the way to read many plain values; it cannot tell a lease from an empty value.
/// Answered by [`Text::Value`](crate::Text::Value) for every hit, in the order asked, and
/// [`Text::End`](crate::Text::End).
pub fn encode_get_many<'a>(keys: impl IntoIterator<Item = &'a Key>, out: &mut BytesMut) -> usize {
    let start = out.len();
    let mut count = 0;
    out.put_slice(b"get");
    for key in keys {
        if out.len() - start + 1 + key.as_bytes().len() + 2 > MOST_LINE_BYTES {
            break;
        }
        out.put_u8(b' ');
        out.put_slice(key.as_bytes());
        count += 1;
    }
    out.put_slice(b"\r\n");
    count
}

/// Appends `stats`, or `stats <group>` (`items`, `slabs`, `settings`; none of them on Serverless).
///
/// Answered by [`Text::Stat`](crate::Text::Stat) lines and [`Text::End`](crate::Text::End).
pub fn encode_stats(group: Option<&Key>, out: &mut BytesMut) {
    out.put_slice(b"stats");
    if let Some(group) = group {
        out.put_u8(b' ');
        out.put_slice(group.as_bytes());
    }
    out.put_slice(b"\r\n");
}

/// A request line in the making.
struct Line<'a>(&'a mut BytesMut);

impl<'a> Line<'a> {
    fn begin(out: &'a mut BytesMut, command: &[u8], key: &Key) -> Self {
        out.reserve(command.len() + key.as_bytes().len() + MOST_FLAG_BYTES);
        out.put_slice(command);
        out.put_slice(key.as_bytes());
        Self(out)
    }

    fn length(&mut self, bytes: usize) {
        self.0.put_u8(b' ');
        self.0.put_slice(itoa::Buffer::new().format(bytes).as_bytes());
    }

    fn flag(&mut self, letter: u8, set: bool) {
        if set {
            self.0.put_slice(&[b' ', letter]);
        }
    }

    fn number(&mut self, letter: u8, token: Option<impl itoa::Integer>) {
        if let Some(token) = token {
            self.0.put_slice(&[b' ', letter]);
            self.0.put_slice(itoa::Buffer::new().format(token).as_bytes());
        }
    }

    fn mode(&mut self, mode: Option<&[u8; 2]>) {
        if let Some(mode) = mode {
            self.0.put_u8(b' ');
            self.0.put_slice(mode);
        }
    }
}

/// Room for all flags of one line, so that a line grows its buffer once.
const MOST_FLAG_BYTES: usize = 128;
const MOST_LINE_BYTES: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_writes_its_flags_once_and_the_changing_ones_first() {
        let plain = MetaGet { value: true, ..MetaGet::default() };
        check(|out| plain.encode(&key(), out), b"mg k v\r\n");
        let read = MetaGet {
            lease_for: Some(secs(12)),
            recache_below_secs: Some(0),
            ttl: true,
            cas: true,
            client_flags: true,
            value: true,
            ..MetaGet::default()
        };
        check(|out| read.encode(&key(), out), b"mg k N12 R0 t c f v\r\n");
        let all = MetaGet {
            touch: Some(secs(60)),
            size: true,
            hit_before: true,
            last_access: true,
            no_bump: true,
            quiet: true,
            opaque: Some(u32::MAX),
            ..read
        };
        check(|out| all.encode(&key(), out), b"mg k N12 R0 T60 t c f s h l u v q O4294967295\r\n");
    }

    #[test]
    fn a_get_is_never_bare_because_1_6_12_refuses_that() {
        check(|out| MetaGet::default().encode(&key(), out), b"mg k s\r\n");
    }

    #[test]
    fn a_set_carries_the_length_of_its_value_before_the_flags() {
        let plain = MetaSet::new(secs(60));
        check(|out| plain.encode(&key(), b"a\r\nb", out), b"ms k 4 T60\r\na\r\nb\r\n");
        let fill = MetaSet { client_flags: 1, compare: Some(u64::MAX), cas: true, ..plain };
        check(|out| fill.encode(&key(), b"", out), b"ms k 0 T60 F1 C18446744073709551615 c\r\n\r\n");
        let modes = [SetMode::Add, SetMode::Replace, SetMode::Append, SetMode::Prepend];
        for (mode, letter) in modes.into_iter().zip(["E", "R", "A", "P"]) {
            let set = MetaSet { mode, quiet: true, opaque: Some(7), ..plain };
            check(
                |out| set.encode(&key(), b"v", out),
                format!("ms k 1 T60 M{letter} q O7\r\nv\r\n").as_bytes(),
            );
        }
    }

    #[test]
    fn a_delete_removes_or_marks_stale() {
        check(|out| MetaDelete::default().encode(&key(), out), b"md k\r\n");
        let soft = MetaDelete { stale: true, ttl: Some(secs(30)), ..MetaDelete::default() };
        check(|out| soft.encode(&key(), out), b"md k I T30\r\n");
        let give_back =
            MetaDelete { compare: Some(5), quiet: true, opaque: Some(1), ..MetaDelete::default() };
        check(|out| give_back.encode(&key(), out), b"md k C5 q O1\r\n");
    }

    #[test]
    fn an_expiry_is_a_store_that_is_over_at_once() {
        check(|out| MetaExpire { compare: 5 }.encode(&key(), out), b"ms k 0 T-1 C5\r\n\r\n");
    }

    #[test]
    fn arithmetic_counts_and_may_begin() {
        let up = MetaArithmetic {
            mode: Arithmetic::Increment,
            delta: 3,
            initial: None,
            touch: None,
            opaque: None,
        };
        check(|out| up.encode(&key(), out), b"ma k D3 v\r\n");
        let down = MetaArithmetic {
            mode: Arithmetic::Decrement,
            initial: Some((secs(60), 10)),
            touch: Some(secs(5)),
            opaque: Some(2),
            ..up
        };
        check(|out| down.encode(&key(), out), b"ma k N60 J10 D3 T5 MD v O2\r\n");
    }

    #[test]
    fn a_classic_get_ends_before_16_kib_and_says_how_many_keys_it_holds() {
        let keys: Vec<Key> = (0..100).map(|i| Key::new(format!("{i:0250}").as_bytes()).unwrap()).collect();
        let mut out = BytesMut::new();
        let count = encode_get_many(&keys, &mut out);
        assert_eq!(count, 65);
        assert!(out.len() <= 16_384, "{}", out.len());
        assert_eq!(encode_get_many(&keys[count..], &mut out), 35);
        check(|out| assert_eq!(encode_get_many(&[key(), key()], out), 2), b"get k k\r\n");
    }

    #[test]
    fn stats_may_name_a_group() {
        check(|out| encode_stats(None, out), b"stats\r\n");
        check(|out| encode_stats(Some(&Key::new(b"items").unwrap()), out), b"stats items\r\n");
    }

    fn key() -> Key {
        Key::new(b"k").unwrap()
    }

    fn secs(secs: u64) -> Ttl {
        Ttl::from_secs(secs).unwrap()
    }

    #[track_caller]
    fn check(encode: impl FnOnce(&mut BytesMut), expected: &[u8]) {
        let mut out = BytesMut::new();
        encode(&mut out);
        assert_eq!(out, expected, "wire: {}", out.escape_ascii());
    }
}
