//! Reads records and lists through the cache, for API Gateway HTTP APIs and function URLs.
//!
//! ```text
//!  event ──► ask ──► Origin::id, Key::compose ──► Cache::get_or_load ──► answer ──► HTTP
//!             │                                        │ on a miss
//!             └─► refusal                              └─► Origin::load_many, once for all misses
//! ```
//!
//! `GET /records/{table}/{id}` answers one record, `GET /records/{table}?ids=1,2,3` up to [`ask::MAX_IDS`] of them.
//! Where lists are configured, `GET /lists/{name}` answers one of them ([`lists`]).
//! What stands in the headers and the body is told in [`answer`], what is refused and how in [`refusal`], and what the
//! function is told by its environment in [`settings`].
//!
//! | | status |
//! | --- | --- |
//! | the record, a batch (a record that does not exist is `null`), or a list | 200 |
//! | unknown table, bad id, no ids or too many; a `min-version` that is no version, of many records, or of a table that has none | 400 |
//! | a list that the caller has already, by `if-none-match` | 304 |
//! | no such record (remembered by the cache), no such list, no such path | 404 |
//! | any method but GET and HEAD | 405 |
//! | a batch or a list that is too large for one answer | 413 |
//! | tables and lists that do not fit the origin's schema | 500 |
//! | a record or a list that is not cached while the origin does not answer; a version that the origin does not have yet | 503, `retry-after` |
//!
//! The cache never fails a read: without it a request is answered from the origin, `x-cache: bypass`. A batch that
//! needs an origin out of reach is refused whole, because a place left empty would read as "no such record".

pub mod answer;
mod app;
pub mod ask;
mod handle;
mod hottest;
pub mod lists;
pub mod metrics;
pub mod refusal;
pub mod settings;

pub use app::{App, Source};
pub use handle::{Handled, Work, handle};
pub use hottest::HottestKeys;
