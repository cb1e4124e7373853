//! The publisher against a local cluster of real nodes that come, go, are replaced and fail.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod changes;
mod check_interval;
mod copies;
mod copy_interleavings;
mod documents;
mod failures;
mod fleet;
mod house;
mod interleavings;
mod lists;
mod lost_document;
mod places;
mod retire;
mod runs;
mod support;
mod warming;
mod witness;
mod writing;
