//! Drives larder-client, and a read of larder-cache, for side-by-side measurements: one workload, one window, one line
//! of JSON.
//!
//! A harness starts this program once per round, between rounds of other clients, and says by variables what to do:
//! see [`protocol`]. Run by hand against a memcached, it measures one client alone:
//!
//! ```text
//! $ WORKLOAD=W1 PEER_NODES=127.0.0.1:11211 SECONDS=2 larder-bench-client
//! {"ops":74219,"items":74219,"seconds":2.000011,"p50_us":25.9,…}
//! ```
//!
//! The keys have to be there; a read that misses counts as an error. Everything runs on one thread, as a small function
//! does.
//!
//! | file | holds |
//! | --- | --- |
//! | `protocol.rs` | what the program is told, and what it answers |
//! | `meter.rs`, `histogram.rs`, `allocations.rs` | one measured window, its latencies, its allocations |
//! | `load.rs` | what the workloads on a cluster share |
//! | `reads.rs`, `crowd.rs`, `writes.rs`, `copies.rs`, `fresh.rs` | the workloads on a cluster |
//! | `rings.rs` | the workloads on a ring alone |

mod allocations;
mod copies;
mod crowd;
mod fresh;
mod histogram;
mod load;
mod meter;
mod protocol;
mod reads;
mod rings;
mod writes;

use std::future::Future;

use anyhow::{Context, Result, bail};

use crate::meter::Summary;
use crate::protocol::{Settings, Workload};
use crate::rings::LookUp;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() -> Result<()> {
    let look_up = look_up(std::env::args().skip(1))?;
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    println!("{}", serde_json::to_string(&run(&settings, look_up)?)?);
    Ok(())
}

fn run(settings: &Settings, look_up: LookUp) -> Result<Summary> {
    match settings.workload {
        Workload::Get => on_one_thread(reads::get(settings)),
        Workload::GetOrLoad => on_one_thread(reads::get_or_load(settings)),
        Workload::GetMany => on_one_thread(reads::get_many(settings)),
        Workload::Crowd => on_one_thread(crowd::crowd(settings)),
        Workload::SetMany => on_one_thread(writes::set_many(settings)),
        Workload::Owners => rings::owners(settings, look_up),
        Workload::RingBuilding => rings::building(settings),
        Workload::Fresh => on_one_thread(fresh::fresh(settings)),
        Workload::List => on_one_thread(copies::list(settings)),
        Workload::Copy => on_one_thread(copies::copy(settings)),
    }
}

fn on_one_thread(work: impl Future<Output = Result<Summary>>) -> Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no runtime")?.block_on(work)
}

fn look_up(arguments: impl Iterator<Item = String>) -> Result<LookUp> {
    match &Vec::from_iter(arguments)[..] {
        [] => Ok(LookUp::Single),
        [only] if only == "--batched" => Ok(LookUp::Batched),
        _ => bail!(
            "the only argument is --batched: look many owners up at once; all else is said by variables"
        ),
    }
}
