//! A discovery-aware Memcached client made for AWS Lambda.

mod answer;
mod batch;
mod cluster;
mod config;
mod connect;
mod connection;
mod discover;
mod error;
mod fleet;
mod health;
mod item;
mod lease;
mod moment;
mod node;
mod refresh;
mod requests;
mod resolve;
mod schedule;
mod stream;

pub use batch::{Failure, Fill, MOST_PIECE_BYTES};
pub use cluster::{Cluster, NodeStats};
pub use config::{Config, Endpoint, Tls};
pub use error::{ConfigError, DiscoveryError, Error, NodeError};
pub use item::{Cas, Item, NewItem, Stored};
pub use larder_meta::{InvalidKey, InvalidTtl, Key, Ttl};
pub use lease::{Claim, Lease, Read, ReadOptions};
pub use moment::Moment;
