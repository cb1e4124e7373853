//! A cache-aside read for API Gateway HTTP APIs and function URLs.

fn main() {}
