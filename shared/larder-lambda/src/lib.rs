//! What every Larder function shares on Lambda's side, and nothing of what any of them does.
//!
//! | module | gives |
//! | --- | --- |
//! | [`process`] | begin and end of the process |
//! | [`settings`] | typed settings from the environment; every fault named in one error |
//! | [`cluster`] | the cluster that the settings describe |
//! | [`logs`] | JSON lines with Powertools' keys |
//! | [`metrics`] | one embedded-metric line an invocation |
//! | [`chart`] | under which names, and what every function charts |
//! | [`environment`] | what an environment remembers from invocation to invocation; begin and end of each |
//! | [`deadline`] | when the answer must be ready |
//! | [`stopwatch`] | how long something took, however it ended |
//! | [`thaw`] | how long the environment stood still |
//! | [`http`] | request and answer of HTTP APIs and function URLs |
//! | [`envelope`] | the messages in an event, out of the envelopes of SNS, SQS, EventBridge and Lambda destinations |
//! | [`batch`] | the answer to a batch of SQS |
//!
//! Only [`process`], [`settings::Variables::of_process`], [`thaw::Clocks::now`], [`logs::init`],
//! [`metrics::Metrics::print`] and [`environment::Environment::end`] look at the process; all else takes what it needs.
//!
//! ```
//! use std::time::Duration;
//! use larder_lambda::deadline::TimeLimit;
//!
//! // Lambda leaves three seconds, the function allows itself one.
//! let limit = TimeLimit::new(Duration::from_secs(1));
//! assert_eq!(limit.time_left(1_780_000_003_000, 1_780_000_000_000), Duration::from_secs(1));
//! ```

pub mod aws;
pub mod batch;
pub mod chart;
pub mod cluster;
pub mod deadline;
pub mod envelope;
pub mod environment;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod settings;
pub mod stopwatch;
pub mod thaw;
