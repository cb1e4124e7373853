//! Cache-aside on real memcached processes, one file for each thing that it promises.
//!
//! Every environment of a function is played by a [`Cache`](larder_cache::Cache) of its own. What the cache holds is
//! put there and looked at by bytes on a plain socket, so that a mistake of our codec cannot hide.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod batch;
mod environments;
mod faults;
mod foreign;
mod grace;
mod interleavings;
mod limits;
mod lists;
mod near;
mod nested;
mod one_key;
mod outage;
mod second_place;
mod stale;
mod support;
mod tags;
mod takeover;
mod uncacheable;
mod values;
mod write_through;
