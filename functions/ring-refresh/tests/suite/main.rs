//! All tests of `ring-refresh` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "../../../../shared/larder-control/tests/suite/support/mod.rs"]
mod api;
mod changes;
mod compare;
mod events;
#[path = "../../../read/tests/suite/support/function.rs"]
mod function;
#[path = "support/postbox.rs"]
mod postbox;
mod process;
#[path = "../../../read/tests/suite/support/runtime_api.rs"]
mod runtime_api;
#[path = "../../../read/tests/suite/support/template.rs"]
mod sam;
mod support;
mod template;
#[path = "support/told.rs"]
mod told;
