//! All tests of `larder-local` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod changes;
mod control;
mod endpoint;
mod faults;
mod foreign_client;
mod notices;
mod support;
