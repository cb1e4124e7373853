//! A record of what an environment read most, which any client of the node may have written.
#![no_main]

use std::cmp::Reverse;
use std::collections::HashSet;

use larder_cache::{Catalogue, Counted, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::decode(bytes) else { return };
    let mut keys = record.keys().to_vec();
    assert!(keys.iter().all(|(key, count)| *count > 0 && !key.as_bytes().starts_with(b"larder~")));

    let counted = |(key, count): &(_, u64)| Counted { key: Clone::clone(key), count: *count, error: 0 };
    let counted: Vec<Counted> = keys.iter().map(counted).collect();
    let again = Record::decode(&Record::encode(&counted, record.time_secs(), Record::MAX_LEN));
    keys.sort_by_key(|(_, count)| Reverse(*count));
    assert_eq!(again.as_ref().map(Record::keys), Ok(&keys[..]));

    let different: HashSet<_> = keys.iter().map(|(key, _)| key).collect();
    let catalogue = Catalogue::merge([record], u64::MAX, Catalogue::MOST_KEYS);
    assert_eq!(catalogue.keys().len(), different.len());
});
