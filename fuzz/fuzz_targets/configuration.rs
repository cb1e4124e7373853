//! The way of a configuration: from what the endpoint sends, over its frame, to a topology.
#![no_main]

use larder_fuzz::{decoder, topology};
use larder_meta::Text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    for text in decoder::check(larder_meta::decode_text, stream) {
        if let Text::Config(payload) | Text::Value { value: payload, .. } = text {
            topology::check(&payload);
        }
    }
});
