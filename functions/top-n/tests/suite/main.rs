//! All tests of `top-n` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod events;
#[path = "../../../../shared/larder-origin/tests/support/flights.rs"]
mod flight_table;
mod flights;
#[path = "../../../read/tests/suite/support/function.rs"]
mod function;
mod process;
mod refresh;
#[path = "../../../read/tests/suite/support/runtime_api.rs"]
mod runtime_api;
#[path = "../../../read/tests/suite/support/template.rs"]
mod sam;
mod support;
mod template;
