//! The hash functions that the libraries apply to keys and node names, bit for bit as they wrote them.
//!
//! SHA-1, SHA-384 and CRC-32 come from crates; the others are here, because the libraries' versions differ from the
//! textbook (signed bytes, truncated constants, text read as characters) or because MD5 is wanted many at a time.

pub(crate) mod fnv1a;
pub(crate) mod java;
pub(crate) mod md5;
pub(crate) mod murmur3;
pub(crate) mod one_at_a_time;
