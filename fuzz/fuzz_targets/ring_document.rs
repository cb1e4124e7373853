//! A ring document, as a node may hold it.
#![no_main]

use larder_fuzz::ring_document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| ring_document::check(json));
