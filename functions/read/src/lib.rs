//! A cache-aside read for API Gateway HTTP APIs and function URLs.

pub mod ask;
pub mod refusal;
pub mod settings;
