//! All tests of `read` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod events;
#[path = "../../../../shared/larder-origin/tests/support/flights.rs"]
mod flight_table;
#[path = "support/function.rs"]
mod function;
mod lists;
mod process;
mod read;
#[path = "support/runtime_api.rs"]
mod runtime_api;
#[path = "support/template.rs"]
mod sam;
mod support;
mod template;
