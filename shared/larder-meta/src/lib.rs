//! The memcached protocol as bytes: what a client sends and what a node answers.
//!
//! Nothing here touches a socket, a runtime, a clock or the environment. A request appends its bytes to a
//! buffer; a decoder takes one reply off the front of a buffer, or says that it needs more:
//!
//! ```
//! use bytes::BytesMut;
//! use larder_meta::{Decoded, Key, Limits, MetaGet, Reply, decode};
//!
//! let mut out = BytesMut::new();
//! let key = Key::new(b"flights:17")?;
//! MetaGet { value: true, client_flags: true, ..MetaGet::default() }.encode(&key, &mut out);
//! assert_eq!(&out[..], b"mg flights:17 f v\r\n");
//!
//! let mut received = BytesMut::from(&b"VA 5 f0\r\nhel"[..]);
//! assert_eq!(decode(&mut received, &Limits::default())?, Decoded::NeedMore { missing: 4 });
//!
//! received.extend_from_slice(b"lo\r\n");
//! let Decoded::Reply(Reply::Value(value, _)) = decode(&mut received, &Limits::default())? else { panic!() };
//! assert_eq!(&value[..], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `key.rs` | [`Key`]: checked, composed, shortened |
//! | `ttl.rs` | [`Ttl`]: 2 seconds to 30 days |
//! | `request.rs` | [`MetaGet`], [`MetaSet`], [`MetaDelete`], [`MetaArithmetic`], and the classic commands we need |
//! | `reply.rs` | [`Reply`] and its [`ReplyFlags`]: one answer of the meta protocol |
//! | `text.rs` | [`Text`]: one line of a classic answer (`VALUE`, `STAT`, `CONFIG`, `VERSION`, `END`) |
//! | `dump.rs` | [`Dumped`]: one line of a node's list of keys |
//! | `frame.rs` | lines, lengths and limits, shared by both decoders |
//! | `skip.rs` | [`TooLong`], [`Skip`]: a value over the limit, thrown away as it comes |
//! | `version.rs` | [`Version`]: which engines we speak to |

mod dump;
mod frame;
mod key;
mod reply;
mod request;
mod skip;
mod text;
mod ttl;
mod version;

pub use dump::{DUMP_KEYS, Dumped, decode_dump};
pub use frame::{Decoded, Limits, ProtocolError, Refusal};
pub use key::{InvalidKey, Key};
pub use reply::{Reply, ReplyFlags, decode};
pub use request::{
    Arithmetic, CONFIG_GET, CONFIG_GET_OLD, MetaArithmetic, MetaDelete, MetaExpire, MetaGet, MetaSet, NOOP,
    SetMode, VERSION, encode_get_many, encode_stats,
};
pub use skip::{MOST_PIECE_BYTES, MOST_SKIPPED_BYTES, Skip, TooLong};
pub use text::{Text, decode_text};
pub use ttl::{InvalidTtl, Ttl};
pub use version::Version;
