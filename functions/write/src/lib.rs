//! Writes records through the cache, for API Gateway HTTP APIs and function URLs.
//!
//! ```text
//!  event ──► ask ──► Cache::intend ──► Origin::write ──► Cache::written, or forgotten ──► answer ──► HTTP
//!             │                             │             and all that depends on it
//!             └─► refusal ◄─────────────────┘                        │ if a node cannot be told
//!                   nothing was written                              └─► Queue::send ──► functions/invalidate
//! ```
//!
//! `PUT`, `PATCH` and `DELETE /records/{table}/{id}`. A `PUT` has all columns of the row, those that are left out get
//! their default; a `PATCH` has those that change. The body is a JSON object of columns and plain values.
//!
//! | request header | |
//! | --- | --- |
//! | `content-type` | `application/json`, or another type of JSON; needed where there is a body |
//! | `if-match` | `"<version>"`, or the number alone: the row is written only if it has this version |
//! | `idempotency-key` | the name of the write: sent again under it, it does not happen again, for a day at least |
//!
//! What stands in the headers and the body of the answer is told in [`answer`], what is refused and how in [`refusal`],
//! and what the function is told by its environment in [`settings`].
//!
//! | | status |
//! | --- | --- |
//! | the row as it is now | 200, or 201 if a `PUT` has made it |
//! | a row that is gone, or was never there | 204 |
//! | a table, an id, a header or a body that cannot be | 400 |
//! | no row to patch, no such path | 404 |
//! | another method | 405 |
//! | another version than `if-match` says; the present one is told | 412 |
//! | a body that is too long; one that is no JSON | 413, 415 |
//! | what the database, or its schema, does not take; an idempotency key of another write | 422 |
//! | settings that do not fit the origin | 500 |
//! | the origin does not answer: nothing was written (`origin_unavailable`), or that is not known (`unknown_outcome`) | 503, `retry-after` |
//!
//! # What holds when it is answered
//!
//! **The origin first.** The cache is told of nothing that the origin has not committed. What goes wrong afterwards is
//! never an error: the row *is* written, and `x-cache` says what the cache knows of it.
//!
//! **Read your writes.** Where the cache could be told, whoever reads after the answer gets this version or a newer
//! one. Where it could not (`queued`, `unforgotten`), a reader that says `?min-version=` with the `x-record-version` of
//! the answer does. So does one that was refused by 412 and wants to see why.
//!
//! **What depends on the row** is forgotten with it: the records of its parents, before and after the change, and what
//! another version of the functions keeps of them while one is deployed. What was deleted is removed, whatever the
//! policy; what was changed is removed or marked stale, each as the policy of its table says.
//!
//! **Again.** A write that was cut off between the origin and the cache leaves the cache as it was. Sent again, with
//! the same `idempotency-key`, it forgets all that it would have forgotten. Without one it is a new write, which no
//! longer knows which parents there were before the first.

pub mod answer;
mod app;
pub mod ask;
mod depend;
mod handle;
pub mod metrics;
pub mod refusal;
pub mod settings;
mod share;
mod tell;

pub use app::{App, Target};
pub use handle::{Handled, Work, handle};
pub use share::Shares;
pub use tell::Told;
