//! What must hold whatever the bytes are; the targets in `fuzz_targets/` feed it.
//!
//! | target | is fed | must hold |
//! | --- | --- | --- |
//! | `meta_reply` | what a node sends | [`decoder::check`] |
//! | `classic_reply` | the same, in the classic protocol | [`decoder::check`] |
//! | `key_list` | a node's list of its keys | [`decoder::check`] |
//! | `configuration` | what a configuration endpoint sends | [`decoder::check`], [`topology::check`] on each payload |
//! | `topology` | a payload without its frame | [`topology::check`] |
//! | `notice` | the text of a message from SNS | [`notice::check`] |
//! | `endpoint` | a setting | an endpoint or a node that is read and written is the same |
//! | `key` | two lists of parts | other parts give another key, and every key is one that a node takes |
//! | `ring` | a ring's number, nodes, keys | every key has an owner, in a batch the same as alone |
//! | `ring_document` | what a node holds as the ring document | [`ring_document::check`] |
//! | `record` | a record of what was read most | its keys are readers' keys, and it is the same when it is written and read |
//!
//! `seeds/` holds inputs to start from: bytes of memcached 1.6.18, of the ElastiCache documentation and of the quirks
//! that broke other clients. What the fuzzer finds on the way goes to `corpus/`, which is not kept.

pub mod decoder;
pub mod notice;
pub mod ring_document;
pub mod topology;
