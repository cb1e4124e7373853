//! All tests of `larder-control` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod elasticache;
mod local;
mod support;
