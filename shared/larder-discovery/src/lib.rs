//! What ElastiCache says about its nodes: the configuration payload and its changes.
