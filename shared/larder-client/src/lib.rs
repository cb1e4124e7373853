//! A discovery-aware Memcached client made for AWS Lambda.
