//! A discovery-aware Memcached client made for AWS Lambda.
//!
//! An environment of a function is frozen between requests and thawed at any later time; thousands exist at once.
//! So nothing runs here between two calls: the list of nodes is asked for in passing when it is due, a connection
//! that rested is looked at before use, and whoever waits for a reply moves the bytes.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use larder_client::{Cluster, Config, Key, NewItem, Ttl};
//! use tokio::time::{Duration, Instant};
//!
//! // Connects to nothing yet; the first call asks the configuration endpoint for the nodes.
//! let cluster = Cluster::new(Config::new("my-cluster.cfg.use1.cache.amazonaws.com:11211".parse()?))?;
//!
//! let key = Key::compose(["flights", "17"])?;
//! cluster.set(NewItem { key: &key, value: b"EWR-IAH", client_flags: 0, ttl: Ttl::from_secs(60)? }).await?;
//!
//! // No later than the invocation allows, whatever has to be resolved, connected or waited for.
//! let soon = cluster.until(Instant::now() + Duration::from_millis(50));
//! if let Some(item) = soon.get(&key).await? {
//!     assert_eq!(&item.value[..], b"EWR-IAH");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! From the outside in, each file alone:
//!
//! | file | holds |
//! | --- | --- |
//! | `cluster.rs` | [`Cluster`] |
//! | `read.rs`, `write.rs`, `batch.rs` | its calls, for one key and for many |
//! | `moving.rs` | reads while the fleet moves to another ring, and of items that were stored under an older one |
//! | `item.rs`, `lease.rs` | what goes in and what comes out; the right to fill a key |
//! | `dump.rs` | the keys of a node, where it lists them: for copies and diagnosis |
//! | `refresh.rs`, `schedule.rs`, `discover.rs` | asking for the list of nodes: how, when, what |
//! | `fleet.rs`, `place.rs` | the nodes in use and the rings over them, replaced whole; where a key is read and written |
//! | `watch.rs`, `view.rs`, `follow.rs` | looking at the ring document in passing: when, and what comes of it |
//! | `direct.rs` | one node by its name: for whoever publishes the ring document |
//! | `node.rs`, `health.rs` | one node: retry, mark-down, connecting once |
//! | `endpoint.rs` | the same mark-down for the configuration endpoint, before it has told any node |
//! | `connection.rs`, `pipeline.rs`, `answer.rs`, `requests.rs` | the pipeline that all share, what goes through it |
//! | `incoming.rs` | what has come, and values over the limit, which are skipped |
//! | `connect.rs`, `race.rs`, `stream.rs` | from a name to an open stream, by the first of its addresses that is ready |
//! | `resolve.rs`, `addresses.rs` | from a name to its addresses, and the order in which they are tried |
//! | `site.rs` | where a node stands and has stood: a replaced one is another machine |
//! | `lookup.rs`, `dns.rs`, `resolv_conf.rs` | name servers: asking them, what is asked and answered, which they are |
//! | `moment.rs` | time across a freeze |
//! | `config.rs`, `error.rs` | what it is told, and what can go wrong |

mod addresses;
mod answer;
mod batch;
mod cluster;
mod config;
mod connect;
mod connection;
mod direct;
mod discover;
mod dns;
mod dump;
mod endpoint;
mod error;
mod fleet;
mod follow;
mod health;
mod incoming;
mod item;
mod lease;
mod lookup;
mod lost;
mod moment;
mod moving;
mod node;
mod pipeline;
mod place;
mod race;
mod read;
mod refresh;
mod remains;
mod requests;
mod resolv_conf;
mod resolve;
mod schedule;
mod site;
mod standalone;
mod stream;
mod view;
mod watch;
mod write;

pub use batch::{Failure, Fill, MOST_PIECE_BYTES};
pub use cluster::{Cluster, NodeStats};
pub use config::{Config, Endpoint, Tls};
pub use direct::{DirectNode, HeldDocument, HeldVersion};
pub use dump::{Dump, DumpedKey};
pub use error::{ConfigError, DiscoveryError, Error, NodeError};
pub use item::{Cas, Item, NewItem, Stored};
pub use larder_meta::{InvalidKey, InvalidTtl, Key, Refusal, TooLong, Ttl};
pub use lease::{Claim, Lease, Read, ReadOptions, Usage};
pub use moving::Copied;
pub use place::Copies;
