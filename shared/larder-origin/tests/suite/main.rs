//! All tests of `larder-origin` from outside, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod authority;
mod blame;
mod contract;
mod dynamodb;
mod failover;
#[path = "support/flights.rs"]
mod flight_table;
mod flights;
#[path = "support/forward.rs"]
mod forward;
mod migration;
mod outage;
#[path = "support/place.rs"]
mod place;
mod pooler;
mod postgres_tls;
mod schema;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/server.rs"]
mod server;
mod servers;
mod spelling;
mod statements;
#[path = "support/tables.rs"]
mod tables;
