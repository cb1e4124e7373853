//! Caching patterns for a fleet: cache-aside and write-through with leases, tags, invalidations that are repeated, lists
//! on a schedule, hot keys, and the ring that all go by, published.
//!
//! On Lambda a lock in memory stops nobody: a thousand environments miss the same key at once. So the node itself
//! says who loads: of all who miss, one wins a lease, the others wait a moment for its value. A cache that fails
//! never fails a read; it ends at the origin, behind a guard.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use larder_cache::{Cache, Loaded, OriginGuard, Policy};
//! use larder_client::{Cluster, Config, Key, Ttl};
//! use tokio::time::{Duration, Instant};
//!
//! let cluster = Cluster::new(Config::new("my-cluster.cfg.use1.cache.amazonaws.com:11211".parse()?))?;
//! let cache = Cache::new(cluster, OriginGuard::new(4));
//! let policy = Policy::fresh_for(Ttl::from_secs(300)?);
//!
//! let keys = [Key::compose(["flights", "17"])?, Key::compose(["flights", "18"])?];
//! let deadline = Instant::now() + Duration::from_secs(1);
//! let batch = cache.get_or_load_many(&keys, &policy, deadline, |missing| async move {
//!     // One call to the origin for all that is missing, in the order of `missing`.
//!     Ok::<_, std::io::Error>(missing.iter().map(|index| Some(Loaded::raw(format!("flight {index}")))).collect())
//! });
//! for answer in batch.await.answers {
//!     println!("{:?}", answer?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `cache_aside.rs` | [`Cache`]: read, load what is missing once, fill |
//! | `reading.rs` | what the cache says of keys: copies, tags, sampling, near values |
//! | `work.rs`, `rivals.rs`, `flights.rs` | what is to be done about each key; who holds leases for too long; loads under way here |
//! | `uncacheable.rs` | values that are too long for an item |
//! | `tags.rs`, `standing.rs` | [`Tag`]: what is forgotten together; the numbers of tags, at two places |
//! | `write_through.rs` | [`Intent`], [`Written`]: what the origin has now, the cache has, too, or nothing |
//! | `timed_list.rs`, `lists.rs` | [`TimedList`]: a list that is refreshed on a schedule, by one of all who try |
//! | `policy.rs` | [`Policy`]: how long, how patient; TTL jitter |
//! | `answer.rs` | [`Answer`], [`Outcome`], [`LoadError`], [`LoadFault`], [`Counts`] |
//! | `guard.rs` | [`OriginGuard`]: a bound on calls to the origin |
//! | `value.rs`, `packed.rs`, `format.rs` | [`Loaded`]: a value; how it is stored, and what its client flags mean |
//! | `invalidation.rs` | [`Invalidation`]: forgetting keys, as something that can be written down and repeated |
//! | `doll.rs` | [`doll_key`]: the key of a parent that holds its children's versions |
//! | `sketch.rs`, `least.rs` | [`Sketch`]: the keys that come most often, in a fixed space |
//! | `copies.rs` | keys of which several nodes have copies: which one is read, and that all hear of every write |
//! | `near.rs` | what is read most, kept in memory for a moment |
//! | `sampler.rs` | [`Sampler`]: which reads are counted, and when that is told |
//! | `publisher.rs`, `run.rs`, `warm.rs` | [`Publisher`]: from the ring that the fleet has to the one that it should have; [`Warmer`] |
//! | `record.rs`, `catalogue.rs` | [`Record`], [`Catalogue`]: what an environment read most, and what the fleet did |

mod answer;
mod cache_aside;
mod catalogue;
mod copies;
mod doll;
mod flights;
mod format;
mod guard;
mod invalidation;
mod least;
mod lists;
mod near;
mod packed;
mod policy;
mod publisher;
mod reading;
mod record;
mod rivals;
mod run;
mod sampler;
mod sketch;
mod standing;
mod survey;
mod tags;
mod timed_list;
mod uncacheable;
mod value;
mod warm;
mod work;
mod write_through;

pub use answer::{Answer, Batch, Counts, LoadError, LoadFault, Outcome};
pub use cache_aside::Cache;
pub use catalogue::{Catalogue, KeyLoad};
pub use doll::doll_key;
pub use guard::OriginGuard;
pub use invalidation::{Forget, Invalidated, Invalidation, MOST_ERRORS, MalformedInvalidation};
pub use lists::{RefreshError, Refreshed};
pub use policy::{InvalidPolicy, Policy, key_hash, schema};
pub use publisher::{PublishError, Published, Publisher, Report, Unfinished};
pub use record::{MalformedLine, MalformedRecord, Record, record_key};
pub use sampler::{Sampler, Sampling};
pub use sketch::{Counted, Sketch};
pub use tags::Tag;
pub use timed_list::{InvalidTimedList, ListAnswer, ListDigest, ListItems, TimedList};
pub use value::Loaded;
pub use warm::{WarmUp, Warmed, Warmer};
pub use write_through::{Intent, Written};
