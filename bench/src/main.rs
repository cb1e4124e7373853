//! Drives larder-client for side-by-side measurements.

fn main() {}
