//! All tests of `larder-queue` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod file;
mod sqs;
mod support;
