//! The payload of a configuration, without its frame.
#![no_main]

use larder_fuzz::topology;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| topology::check(payload));
