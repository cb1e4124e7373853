//! One measured window: what was done in it, how long each took, and what it cost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::Serialize;

use crate::allocations::Allocations;
use crate::histogram::Histogram;
use crate::protocol::Window;

/// A window under way.
pub(crate) struct Meter {
    latencies: Histogram,
    /// Operations that may still begin, where their number is what ends the window.
    left: Option<u64>,
    errors: u64,
    start: Instant,
    end: Instant,
    usage: Usage,
    allocations: Allocations,
}

impl Meter {
    /// Begins a window of the length that `window` says.
    pub(crate) fn start(window: &Window) -> Result<Self> {
        let latencies = Histogram::new();
        let (left, length) = match window {
            Window::Lasts(length) => (None, *length),
            Window::Operations(count) => (Some(*count), Duration::ZERO),
        };
        let usage = usage()?;
        let allocations = Allocations::so_far();
        let start = Instant::now();
        Ok(Self { latencies, left, errors: 0, start, end: start + length, usage, allocations })
    }

    /// When the window began, which is when its first operation does.
    pub(crate) fn started(&self) -> Instant {
        self.start
    }

    /// Whether another operation may begin at the moment `now`; it counts as begun.
    #[inline]
    pub(crate) fn may_begin(&mut self, now: Instant) -> bool {
        match &mut self.left {
            None => now < self.end,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Records an operation that began at `begun` and ends now; answers now, when the next one begins. One look at the
    /// clock for each operation.
    #[inline]
    pub(crate) fn record(&mut self, begun: Instant, is_good: bool) -> Instant {
        let now = Instant::now();
        self.latencies.add(now - begun);
        self.errors += u64::from(!is_good);
        now
    }

    /// Ends the window, in which every operation was made of `items_each` items.
    pub(crate) fn finish(self, items_each: usize) -> Result<Summary> {
        let ops = self.latencies.count();
        self.finish_with(ops, ops * items_each as u64)
    }

    /// Ends the window of `ops` operations on `items` items, timed as a whole.
    pub(crate) fn finish_with(self, ops: u64, items: u64) -> Result<Summary> {
        let seconds = self.start.elapsed().as_secs_f64();
        let usage = usage()?;
        let allocations = Allocations::so_far();
        Ok(Summary {
            ops,
            items,
            seconds,
            p50_us: self.latencies.quantile_us(0.5),
            p99_us: self.latencies.quantile_us(0.99),
            p999_us: self.latencies.quantile_us(0.999),
            cpu_user: seconds_between(self.usage.user_time(), usage.user_time()),
            cpu_sys: seconds_between(self.usage.system_time(), usage.system_time()),
            maxrss_kb: maxrss_kb(),
            allocs: allocations.count - self.allocations.count,
            alloc_bytes: allocations.bytes - self.allocations.bytes,
            errors: self.errors,
        })
    }

    /// Counts operations that failed beside those recorded.
    pub(crate) fn add_errors(&mut self, count: usize) {
        self.errors += count as u64;
    }
}

/// What was measured, by the names of the protocol. CPU seconds and allocations are those of the window.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    ops: u64,
    /// What a rate is made of.
    items: u64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    cpu_user: f64,
    cpu_sys: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    maxrss_kb: Option<u64>,
    allocs: u64,
    alloc_bytes: u64,
    errors: u64,
}

fn usage() -> Result<Usage> {
    getrusage(UsageWho::RUSAGE_SELF).context("the system does not tell what was used")
}

fn seconds_between(earlier: TimeVal, later: TimeVal) -> f64 {
    let taken = later - earlier;
    taken.tv_sec() as f64 + taken.tv_usec() as f64 * 1e-6
}

/// The most memory the program has held, where the system has `/proc`. What `getrusage` says of it includes the
/// process that started this one.
fn maxrss_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
