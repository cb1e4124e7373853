//! The list of a node's keys.
#![no_main]

use larder_fuzz::decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    decoder::check(larder_meta::decode_dump, stream);
});
