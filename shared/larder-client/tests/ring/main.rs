//! How a cluster goes by the ring document, and what that costs.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod another_epoch;
mod cold_start;
mod direct;
mod fleet;
mod lost_document;
mod no_allocation;
mod passing;
mod return_of_keys;
#[path = "../support/mod.rs"]
mod support;
mod thaw;
mod warming;
mod ways;
mod writing;
