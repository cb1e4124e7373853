//! Caching patterns for a fleet: cache-aside with leases, negative caching, an origin guard.
