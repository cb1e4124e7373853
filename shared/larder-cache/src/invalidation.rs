//! Forgetting keys, so that what fails can be written down and repeated.
//!
//! On Lambda a retry in memory is worth nothing: between invocations nothing runs, and the environment may never be
//! thawed. So an invalidation that fails becomes a message of a durable queue, and is repeated from there until it is
//! done.
//!
//! **Twice does no harm.** A hard one that comes again removes what has been loaded since, which costs a load. A soft
//! one that comes late may meet a value that is newer than the event: it is served as stale until its refresh, which
//! costs one, too. Nothing older than the event can come back in between: both void the leases that are under way, and
//! where there is no item there is none to void, because a fill needs the stub that its lease left.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use larder_client::{Cluster, Error, InvalidKey, InvalidTtl, Key, Ttl};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

use crate::Cache;
use crate::{copies, tags};

/// What has to be forgotten.
///
/// ```
/// use larder_cache::{Forget, Invalidation};
/// use larder_client::{Key, Ttl};
///
/// let keys = vec![Key::compose(["flights", "17"])?];
/// let invalidation = Invalidation { keys, how: Forget::Soft(Ttl::from_secs(30)?) };
/// let text = r#"{"larder":"invalidation","version":1,"keys":["flights:17"],"soft_secs":30}"#;
/// assert_eq!(invalidation.encode(), text);
/// assert_eq!(Invalidation::decode(text)?, invalidation);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// As a value of serde it is the same without name and version, as it is written by hand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalidation {
    /// The keys.
    pub keys: Vec<Key>,
    /// For all of them.
    pub how: Forget,
}

/// How a key is forgotten.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forget {
    /// Nobody gets the value any more (`md`).
    Hard,
    /// It lives on as stale for so long, for readers whose policy takes stale values, while one of them refreshes it
    /// (`md I T<ttl>`).
    Soft(Ttl),
}

/// What became of an invalidation.
#[derive(Clone, Debug, Default)]
pub struct Invalidated {
    /// How many keys are forgotten, those that nobody held included.
    pub done: usize,
    /// The keys that are left; `None` where all is done. Also those of which it is not known.
    pub left: Option<Invalidation>,
    /// Why keys are left: each reason once, and [`MOST_ERRORS`] at most. None for those that the deadline left untried.
    pub errors: Vec<Error>,
}

impl Invalidation {
    /// The most bytes of a message.
    ///
    /// SQS took no more until 2025, and takes 1 MiB since. Source: "Amazon SQS message quotas" in the SQS developer
    /// guide.
    pub const MAX_BYTES: usize = 256 << 10;
    /// The most keys of a part that [`split`](Self::split) makes: as many as are never over
    /// [`MAX_BYTES`](Self::MAX_BYTES), however long, and few enough to be forgotten in one go, so that a message is
    /// rarely begun anew because its time was over.
    pub const MAX_PART_KEYS: usize = 500;

    /// As a message of a queue: JSON with a name and a version, in characters that SQS takes.
    ///
    /// A key is readable where it is such text, otherwise an object with its bytes in base64. May be longer than
    /// [`MAX_BYTES`](Self::MAX_BYTES) unless it is one of the parts of [`split`](Self::split).
    pub fn encode(&self) -> String {
        let Written { keys, soft_secs } = Written::of(self);
        let message = Message { larder: NAME, version: VERSION, keys, soft_secs };
        serde_json::to_string(&message).expect("texts and numbers are always JSON")
    }

    /// Reads a message. At most [`MAX_BYTES`](Self::MAX_BYTES) are looked at.
    pub fn decode(text: &str) -> Result<Self, MalformedInvalidation> {
        if text.len() > Self::MAX_BYTES {
            return Err(MalformedInvalidation::Long(text.len()));
        }
        let head: Head<'_> = serde_json::from_str(text).map_err(json)?;
        match (head.larder.as_deref(), head.version) {
            (Some(NAME), Some(VERSION)) => {}
            (Some(NAME), Some(other)) => return Err(MalformedInvalidation::Version(other)),
            _ => return Err(MalformedInvalidation::Name),
        }
        let Message { keys, soft_secs, .. } = serde_json::from_str(text).map_err(json)?;
        Written { keys, soft_secs }.read()
    }

    /// The same in parts, in order, each of which is a message that a queue takes: one for most, none without keys.
    pub fn split(&self) -> Vec<Self> {
        let parts = self.keys.chunks(Self::MAX_PART_KEYS);
        parts.map(|keys| Self { keys: keys.to_vec(), how: self.how }).collect()
    }

    /// Has `cluster` forget the keys, many side by side, by `deadline`.
    ///
    /// A key that nobody holds is done. A hot one is done when all copies have heard that `cluster` knows of: whoever
    /// repeats it looks for himself. While the ring changes, both owners of a key that moves have heard of it, or the
    /// key is left. A failed node leaves its own keys alone. If the future is dropped, any of the keys may be
    /// forgotten.
    pub async fn run(&self, cluster: &Cluster, deadline: Instant) -> Invalidated {
        let cluster = cluster.until(deadline);
        let mut invalidated = Invalidated::default();
        let mut left = Vec::new();
        for keys in self.keys.chunks(AT_ONCE) {
            // No node is blamed for what had no time to begin with.
            if Instant::now() >= deadline {
                left.extend_from_slice(keys);
                continue;
            }
            let forgotten = keys.iter().map(|key| copies::forget(&cluster, key, 0, self.how));
            let forgotten = join_all(forgotten).await;
            for (key, forgotten) in keys.iter().zip(forgotten) {
                match forgotten {
                    Ok(()) => invalidated.done += 1,
                    Err(error) => {
                        left.push(key.clone());
                        note(&mut invalidated.errors, error);
                    }
                }
            }
        }
        invalidated.left = (!left.is_empty()).then_some(Self { keys: left, how: self.how });
        invalidated
    }
}

impl Cache {
    /// Has the nodes forget what `invalidation` names, by `deadline`; see [`Invalidation::run`].
    ///
    /// Call it after the origin has committed. What is [`left`](Invalidated::left) belongs into a durable queue.
    pub async fn invalidate(&self, invalidation: &Invalidation, deadline: Instant) -> Invalidated {
        let keys = invalidation.keys.iter();
        let _kept_away: Vec<_> = keys.map(|key| self.near.keep_away(key)).collect();
        invalidation.run(self.cluster(), deadline).await
    }
}

/// Keeps `error` unless the same is known.
fn note(errors: &mut Vec<Error>, error: Error) {
    let node = |error: &Error| match error {
        Error::Node { node, .. } => Some(node.clone()),
        _ => None,
    };
    // Many calls to one node fail in words of their own, such as how long it is left alone yet.
    let is_known = errors.iter().any(|known| node(known) == node(&error));
    if errors.len() < MOST_ERRORS && !is_known {
        errors.push(error);
    }
}

/// A message that is no invalidation. It names no part of it: keys may say more than a log should.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedInvalidation {
    /// More bytes than a queue takes.
    #[error("the message has {0} bytes, more than {max}", max = Invalidation::MAX_BYTES)]
    Long(usize),
    /// Not JSON, or not with the members of an invalidation.
    #[error("the message is not the JSON of an invalidation: line {line}, column {column}")]
    Json {
        /// Where reading ended, from 1; 0 where a value as a whole does not do.
        line: usize,
        /// The same, within its line.
        column: usize,
    },
    /// JSON of something else.
    #[error("the message does not say that it is an invalidation")]
    Name,
    /// Written by a later release.
    #[error("version {0} of the message is not known here")]
    Version(u64),
    /// Nothing to forget.
    #[error("there are no keys")]
    NoKeys,
    /// A key that no node takes.
    #[error("key {at} is no key: {source}")]
    Key {
        /// Its place, from 1.
        at: usize,
        /// What is wrong.
        source: InvalidKey,
    },
    /// A key of Larder's own, such as that of the ring document: whoever forgot it would take the ring from the fleet.
    #[error("key {at} is one of larder's own")]
    Reserved {
        /// Its place, from 1.
        at: usize,
    },
    /// A key whose bytes are not base64.
    #[error("key {at} is not base64")]
    Base64 {
        /// Its place, from 1.
        at: usize,
    },
    /// A time that memcached cannot count.
    #[error("soft_secs does not do: {0}")]
    Ttl(InvalidTtl),
}

fn json(error: serde_json::Error) -> MalformedInvalidation {
    // Its own message may repeat a value.
    MalformedInvalidation::Json { line: error.line(), column: error.column() }
}

impl Serialize for Invalidation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Invalidation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.read().map_err(serde::de::Error::custom)
    }
}

/// What says whether the rest can be read.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    larder: Option<Cow<'a, str>>,
    version: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    larder: &'a str,
    version: u64,
    #[serde(borrow)]
    keys: Vec<WrittenKey<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    soft_secs: Option<u64>,
}

/// A member that is not known is refused: a misspelt `soft_secs` would forget for good.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    keys: Vec<WrittenKey<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    soft_secs: Option<u64>,
}

impl<'a> Written<'a> {
    fn of(Invalidation { keys, how }: &'a Invalidation) -> Self {
        let soft_secs = match how {
            Forget::Hard => None,
            Forget::Soft(ttl) => Some(ttl.as_secs().into()),
        };
        Self { keys: keys.iter().map(WrittenKey::of).collect(), soft_secs }
    }

    fn read(self) -> Result<Invalidation, MalformedInvalidation> {
        if self.keys.is_empty() {
            return Err(MalformedInvalidation::NoKeys);
        }
        let how = match self.soft_secs.map(Ttl::from_secs) {
            None => Forget::Hard,
            Some(ttl) => Forget::Soft(ttl.map_err(MalformedInvalidation::Ttl)?),
        };
        let keys = self.keys.into_iter().zip(1..).map(|(key, at)| key.read(at));
        Ok(Invalidation { keys: keys.collect::<Result<_, _>>()?, how })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum WrittenKey<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Bytes(Base64),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Base64 {
    base64: String,
}

impl<'a> WrittenKey<'a> {
    fn of(key: &'a Key) -> Self {
        match std::str::from_utf8(key.as_bytes()) {
            Ok(text) if text.chars().all(is_taken_by_sqs) => Self::Text(text.into()),
            _ => Self::Bytes(Base64 { base64: STANDARD.encode(key) }),
        }
    }

    fn read(self, at: usize) -> Result<Key, MalformedInvalidation> {
        let key = match self {
            Self::Text(text) => Key::new(text.as_bytes()),
            Self::Bytes(Base64 { base64 }) => {
                Key::new(&STANDARD.decode(base64).map_err(|_| MalformedInvalidation::Base64 { at })?)
            }
        };
        match key {
            Ok(key) if is_reserved(&key) => Err(MalformedInvalidation::Reserved { at }),
            key => key.map_err(|source| MalformedInvalidation::Key { at, source }),
        }
    }
}

/// Whether `key` is one of Larder's own that no invalidation may name: all but [tags](crate::Tag).
fn is_reserved(key: &Key) -> bool {
    key.as_bytes().starts_with(OUR_OWN) && !key.as_bytes().starts_with(tags::PREFIX)
}

/// Whether a message of SQS may hold `char`, of those that a key may hold: it refuses those that XML does.
///
/// Source: "SendMessage" in the Amazon SQS API reference.
fn is_taken_by_sqs(char: char) -> bool {
    !matches!(char, '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The most reasons that are kept of one invalidation: for a log, that will do.
pub const MOST_ERRORS: usize = 8;

/// Keys that are forgotten side by side at most; over one connection a node, so a round trip is shared by many.
const AT_ONCE: usize = 100;

/// How Larder's own keys begin.
const OUR_OWN: &[u8] = b"larder~";

const NAME: &str = "invalidation";
const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: MalformedInvalidation) {
        assert_eq!(Invalidation::decode(text), Err(expected), "{text}");
    }

    fn hard(keys: &[&[u8]]) -> Invalidation {
        Invalidation { keys: keys.iter().map(|key| Key::new(key).unwrap()).collect(), how: Forget::Hard }
    }

    #[test]
    fn a_key_is_readable_where_it_is_text_that_sqs_takes_and_base64_elsewhere() {
        let keys: [&[u8]; 5] = [b"a\"b\\", "größe".as_bytes(), b"\xff", "\u{fffe}".as_bytes(), b"{}"];
        let invalidation = hard(&keys);
        let text = r#"{"larder":"invalidation","version":1,"keys":["a\"b\\","größe",{"base64":"/w=="},{"base64":"77++"},"{}"]}"#;
        assert_eq!(invalidation.encode(), text);
        assert_eq!(Invalidation::decode(text), Ok(invalidation));
    }

    #[test]
    fn what_is_no_invalidation_is_told_by_what_is_wrong() {
        use MalformedInvalidation::{Base64, Json, Long, Name, NoKeys, Reserved, Version};
        let with = |rest: &str| format!(r#"{{"larder":"invalidation","version":1,{rest}}}"#);
        check("", Json { line: 1, column: 0 });
        check("{", Json { line: 1, column: 1 });
        check("[]", Json { line: 1, column: 2 });
        check("{}", Name);
        check(r#"{"larder":"invitation","version":1,"keys":["a"]}"#, Name);
        check(r#"{"larder":"invalidation","version":2,"names":["a"]}"#, Version(2));
        check(&with(r#""keys":[]"#), NoKeys);
        check(&with(r#""keys":["a",{"base64":"?"}]"#), Base64 { at: 2 });
        check(&" ".repeat(Invalidation::MAX_BYTES + 1), Long(Invalidation::MAX_BYTES + 1));
        for bad in ["a b", "", "AmazonElastiCache:cluster"] {
            let text = with(&format!(r#""keys":["a","{bad}"]"#));
            let source = Key::new(bad.as_bytes()).unwrap_err();
            check(&text, MalformedInvalidation::Key { at: 2, source });
        }
        check(&with(r#""keys":["a","larder~ring"]"#), Reserved { at: 2 });
        assert!(Invalidation::decode(&with(r#""keys":["larder~tag~flights"]"#)).is_ok());
        for bad in [r#""keys":["a"],"soft_sec":30"#, r#""keys":"a""#, r#""keys":[1]"#, r#""soft_secs":30"#] {
            let text = with(bad);
            assert!(matches!(Invalidation::decode(&text), Err(Json { .. })), "{text}");
        }
        let wrong = Ttl::from_secs(1).unwrap_err();
        check(&with(r#""keys":["a"],"soft_secs":1"#), MalformedInvalidation::Ttl(wrong));
    }

    #[test]
    fn no_error_repeats_what_the_message_holds() {
        for text in [
            r#"{"larder":"invalidation","version":1,"keys":["s3cret key"]}"#,
            r#"{"larder":"invalidation","version":1,"keys":{"s3cret":1}}"#,
            r#"{"larder":"invalidation","version":1,"keys":["a"],"s3cret":1}"#,
            r#"{"larder":"s3cret"}"#,
            "s3cret",
        ] {
            let error = Invalidation::decode(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn an_invalidation_by_hand_has_neither_name_nor_version() {
        let read = |text| serde_json::from_str::<Invalidation>(text);
        let soft = Invalidation { how: Forget::Soft(Ttl::clamped(30)), ..hard(&[b"flights:17"]) };
        let text = r#"{"keys":["flights:17"],"soft_secs":30}"#;
        assert_eq!(read(text).unwrap(), soft);
        assert_eq!(serde_json::to_string(&soft).unwrap(), text);
        assert_eq!(read(r#"{"keys":["a"],"soft_secs":null}"#).unwrap(), hard(&[b"a"]));
        assert!(read(r#"{"keys":["a"],"soft":30}"#).is_err());
    }

    #[test]
    fn the_longest_keys_are_split_into_messages_that_a_queue_takes() {
        // Twice as long where every byte is escaped, by a third and a few where it is base64.
        for byte in [b'"', 0xff] {
            let keys = vec![Key::new(&[byte; Key::MAX_LEN]).unwrap(); 3_000];
            let parts = Invalidation { keys: keys.clone(), how: Forget::Soft(Ttl::MAX) }.split();
            assert!(parts.iter().all(|part| part.encode().len() <= Invalidation::MAX_BYTES));
            assert!(parts.iter().all(|part| part.keys.len() <= Invalidation::MAX_PART_KEYS));
            assert_eq!(parts.into_iter().flat_map(|part| part.keys).collect::<Vec<_>>(), keys);
        }
        assert!(hard(&[]).split().is_empty());
    }

    fn key() -> impl Strategy<Value = Key> {
        let bytes = prop::collection::vec(0x21..=0xff_u8, 1..=Key::MAX_LEN);
        let text = "\\PC{1,60}";
        let keys = prop_oneof![bytes, text.prop_map(String::into_bytes)];
        keys.prop_filter_map("no key", |bytes| Key::new(&bytes).ok())
    }

    fn invalidation() -> impl Strategy<Value = Invalidation> {
        let how = prop_oneof![
            Just(Forget::Hard),
            (2..=2_592_000_u64).prop_map(|secs| Forget::Soft(Ttl::clamped(secs)))
        ];
        (prop::collection::vec(key(), 1..40), how).prop_map(|(keys, how)| Invalidation { keys, how })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(invalidation in invalidation()) {
            let text = invalidation.encode();
            prop_assert!(text.chars().all(is_taken_by_sqs));
            prop_assert_eq!(Invalidation::decode(&text).unwrap(), invalidation.clone());
            let by_hand = serde_json::to_value(&invalidation).unwrap();
            prop_assert_eq!(serde_json::from_value::<Invalidation>(by_hand).unwrap(), invalidation);
        }

        #[test]
        fn the_parts_are_the_whole_and_never_over_a_bound(invalidation in invalidation(), times in 1_usize..100) {
            let keys: Vec<_> = std::iter::repeat_n(invalidation.keys, times).flatten().collect();
            let parts = Invalidation { keys: keys.clone(), how: invalidation.how }.split();
            for part in &parts {
                prop_assert!(part.encode().len() <= Invalidation::MAX_BYTES);
                prop_assert!((1..=Invalidation::MAX_PART_KEYS).contains(&part.keys.len()));
                prop_assert_eq!(part.how, invalidation.how);
            }
            prop_assert_eq!(parts.into_iter().flat_map(|part| part.keys).collect::<Vec<_>>(), keys);
        }

        #[test]
        fn no_text_makes_decoding_panic(text in "\\PC*") {
            _ = Invalidation::decode(&text);
        }
    }
}
