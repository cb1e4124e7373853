//! All tests of `invalidate` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod events;
mod forget;
#[path = "../../../read/tests/suite/support/function.rs"]
mod function;
mod process;
#[path = "../../../read/tests/suite/support/runtime_api.rs"]
mod runtime_api;
#[path = "../../../read/tests/suite/support/template.rs"]
mod sam;
mod support;
mod template;
