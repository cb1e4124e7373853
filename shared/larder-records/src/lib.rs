//! Which tables are served, how each is cached, and under which keys: what the functions for records share.
//!
//! Whoever reads records and whoever writes them has to agree on their keys, and on how long they may be answered. So
//! both read the same settings, here:
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_ORIGIN_URL` | where the records live: `sqlite:path`, `postgres://…`, `mysql://…` or `dynamodb:region`; may hold a password and is never logged | required | |
//! | `LARDER_TABLES` | what is served: `table:key`, each followed by options, `:name=value`; joined by commas | required | 1 to 100 tables |
//! | `LARDER_KEY_PREFIX` | the first part of every key, for a cluster shared with others: `prefix:table:id` | none | 1 to 32 letters, digits, `.`, `_`, `-` |
//! | `LARDER_ORIGIN_LIMIT` | loads that one environment has under way at once; more wait for `LARDER_WAIT_MS` and are then answered 503 | 4 | 1 to 1000 |
//!
//! and, for all tables or as an option of one, how records are cached:
//!
//! | variable | option | what | default | bounds |
//! | --- | --- | --- | --- | --- |
//! | `LARDER_TTL_SECS` | `ttl`, or just a number | how long a record is fresh, in seconds | 300 | 2 to 2592000 |
//! | `LARDER_GRACE_SECS` | `grace` | how long after that it is kept yet, in seconds, to be answered while it is refreshed or where the origin fails; 0 for not at all | as long as it is fresh, an hour at most | 0 to 2592000 |
//! | `LARDER_EARLY_SECS` | `early` | how long before its end one reader refreshes it, in seconds; 0 for not before it ends | a tenth of what it is fresh for, 2 at most | 0 to 2592000 |
//! | `LARDER_NEGATIVE_TTL_SECS` | `negative` | how long "no such record" is remembered, in seconds; it has no grace | 30, and not longer than a record | 2 to 86400 |
//! | `LARDER_ERROR_TTL_SECS` | `error` | how long all environments leave the origin alone after it has failed for a record, in seconds; 0 for not at all; what one environment cannot reach the others still load | 2 | 0, 2 to 60 |
//! | `LARDER_LOAD_MS` | `load-ms` | how long the origin may take for a load, in milliseconds; whoever takes longer is taken for dead | 2000 | 1 to 890000 |
//! | `LARDER_LEASE_SECS` | `lease` | how long one environment keeps the right to load a record that others wait for, in seconds | 10, and 2 more than a load may take | 2 to 900 |
//! | `LARDER_WAIT_MS` | `wait-ms` | how long a request waits for a record that another one loads, in milliseconds | what a load may take | 0 to 60000, less than the lease |
//! | `LARDER_TTL_JITTER_PERCENT` | `jitter` | the share of a time to live that may be cut off, so that what is stored together does not end together, per cent | 15 | 0 to 50 |
//! | `LARDER_STALE_ON_ERROR` | `stale-on-error` | whether a record in its grace is answered where the origin fails | `on` | `on`, `off` |
//! | `LARDER_STALE_AFTER_INVALIDATE` | `stale-after-invalidate` | whether the old record is answered while one that was changed is refreshed; if not, a change removes it | `off` | `on`, `off` |
//! | `LARDER_COMPRESS_FROM_BYTES` | `compress` | from which length on a record is compressed, in bytes; 0 for never | 2048 | 0 to 1048576 |
//! | `LARDER_SCHEMA` | `schema` | the shape of the records, counted up by one where it changes: two versions of a function then keep their records beside each other | 0 | 0 to 255 |
//! | `LARDER_NEAR_SECS` | `near` | how long a record that an environment reads most is answered from its own memory, in seconds: so much longer an old one may be answered there; 0 for not at all, as for tables with `namespace=on` | 0 | 0 to 3 |
//!
//! ```text
//! LARDER_TABLES=flights:id:ttl=300:grace=600:version=version,airports:faa:86400
//! ```
//!
//! The option `version` names the column that counts a row's changes, where a table has one. With `namespace=on` all
//! records of a table are forgotten at once by removing one key, `larder~tag~flights`, or `larder~tag~prefix:flights`
//! where keys have a prefix: each read then reads that key, too, beside its own.
//!
//! The option `parent`, which may stand several times, says whose cached record depends on a row of this one: with
//! `parent=airports.origin` the column `origin` holds the id of a row of `airports`, whose cached record is forgotten
//! where a row is written, and where the column changes, that of the other one, too. The parent has to be one of the
//! tables.
//!
//! ```text
//! LARDER_TABLES=airports:faa,flights:id:version=version:parent=airports.origin:parent=airports.dest
//! ```
//!
//! Lists are refreshed on a schedule, and described in JSON:
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_LISTS` | the lists that are refreshed on a schedule, as JSON: `[{"name": …}, …]` | none | 1 to 100 lists |
//! | `LARDER_LISTS_FILE` | instead: the path of a file that holds them | none | 256 KiB |
//!
//! | member | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `name` | the list's name, in requests and in its key | required | 1 to 64 of `a` to `z`, `0` to `9`, `-`, `_` |
//! | `query` | what gives it its rows, see [`ListQuery`](larder_origin::ListQuery) | required | |
//! | `n` | how many rows it has at most | required | 1 to 1000 |
//! | `period_secs` | how often it is refreshed, in seconds | required | 30 to 604800 |
//! | `load_ms` | how long its query may take, in milliseconds; whoever takes longer is taken for dead | 10000 | 1 to 890000, 3 s less than the period |
//! | `tables` | the tables whose rows it depends on | none | tables that are served |
//! | `on_change` | `keep`: a change of a row leaves it as it is, until its next refresh; `recompute`: a change removes it, and the next reader computes it | `keep` | `recompute` needs `tables` |
//! | `schema` | the shape of its rows, counted up by one where it changes, as `LARDER_SCHEMA` is for records | 0 | 0 to 255 |
//!
//! ```json
//! [{
//!   "name": "busiest-routes",
//!   "query": {"sql": {"statement": "SELECT origin, dest, count(*) AS flights FROM flights GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10"}},
//!   "n": 10,
//!   "period_secs": 300,
//!   "tables": ["flights"]
//! }]
//! ```

mod failure;
mod knobs;
mod lists;
mod records;
mod settings;
mod tables;

pub use failure::LoadFailure;
pub use lists::{List, Lists, MAX_LIST_NAME_LEN, OnChange, read_lists};
pub use records::Records;
pub use settings::{ORIGIN_LIMIT, read, read_origin_limit};
pub use tables::{MAX_PARENTS, Parent, Table};
