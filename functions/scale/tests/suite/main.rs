//! All tests of `scale` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "../../../../shared/larder-control/tests/suite/support/mod.rs"]
mod api;
mod elasticache;
mod events;
#[path = "../../../read/tests/suite/support/function.rs"]
mod function;
mod local;
mod process;
mod ring;
#[path = "../../../read/tests/suite/support/runtime_api.rs"]
mod runtime_api;
#[path = "../../../read/tests/suite/support/template.rs"]
mod sam;
mod support;
mod template;
#[path = "../../../ring-refresh/tests/suite/support/told.rs"]
mod told;
#[path = "../../../ring-refresh/tests/suite/support/wire.rs"]
mod wire;
