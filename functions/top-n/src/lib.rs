//! Refreshes lists on a schedule, so that no reader ever waits for a ranking.
//!
//! ```text
//!  schedule ─┐            ┌─ which are due, the most overdue first: Cache::list_ages
//!            ├─▶ ask ─▶ plan
//!  {"list"} ─┘            └─ one after the other, while there is time:
//!                              Cache::refresh_list ─▶ Origin::list, once of all who try
//! ```
//!
//! | event | what it asks for |
//! | --- | --- |
//! | a rule of EventBridge, or EventBridge Scheduler without an input of its own, or `{}` | all lists that are due: not refreshed within their period, less a tenth of it |
//! | `{"list": "busiest-routes"}`, `{"lists": ["…", "…"]}`: an input of the schedule, or by hand | these lists, unless they were refreshed within half of their period: the same event may come twice |
//! | the same with `"force": true` | these lists, however young they are |
//! | one of these by SNS or SQS, or in another envelope ([`envelope`](larder_lambda::envelope)) | the same |
//!
//! A run stops in time, and says what is left; that is still due at the next. The answer says what became of each list
//! ([`answer`]). A list that could not be refreshed is a metric, [`Failed`](metrics), and stays as it was: the next run
//! tries it again. The invocation itself fails ([`Failure`]) only where something failed and nothing else was done:
//! where one list of many fails, another try would only repeat what is due anyway. Of a batch of SQS such a message,
//! and one that cannot be read, is reported by its id instead. Lambda then makes as many tries as the template allows,
//! which is one, and the event is not kept: the next one comes a minute later, and what was due is due yet.

pub mod answer;
mod app;
pub mod ask;
mod failure;
mod handle;
pub mod metrics;
pub mod settings;

pub use app::{App, Source};
pub use failure::Failure;
pub use handle::{Handled, LEAST_TIME, Work, handle};
