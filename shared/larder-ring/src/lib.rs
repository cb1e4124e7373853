//! Which node owns a key: the rings of libmemcached, spymemcached and others, byte for byte.
