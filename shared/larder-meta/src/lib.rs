//! The memcached meta protocol as bytes: keys, requests, replies, incremental decoding.
