//! A local ElastiCache: real memcached processes behind a configuration endpoint.
