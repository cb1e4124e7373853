//! All tests of `cli` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod bench;
mod cluster;
mod hot;
mod invalidate;
mod local;
mod ring;
mod ring_document;
mod support;
mod warm;
