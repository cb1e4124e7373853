//! The text of a notice, as SNS hands it on.
#![no_main]

use larder_fuzz::notice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| notice::check(text));
