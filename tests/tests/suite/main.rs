//! What no crate can test alone, but for the two long runs, `consistency` and `ring_model`.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod architecture;
mod events;
mod expression;
mod parameter_group;
mod readme;
#[path = "../../../functions/read/tests/suite/support/template.rs"]
mod sam;
mod template;
mod template_choices;
