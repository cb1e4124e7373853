//! What the function holds from one invocation to the next.

use std::sync::Mutex;
use std::time::SystemTime;

use larder_control::ControlPlane;

use crate::ask::Alarms;
use crate::plan::Bounds;

/// The control plane, the ring, and what they may be asked.
#[derive(Debug)]
pub struct App<R> {
    /// Where nodes are asked for and taken away.
    pub control: ControlPlane,
    /// Where a node is left out before it goes.
    pub ring: R,
    /// Which alarms ask for what.
    pub alarms: Alarms,
    /// Within what the cluster is changed.
    pub bounds: Bounds,
    /// When this environment last changed something: the ring knows of a new node only when the notice of it came.
    last_change: Mutex<Option<SystemTime>>,
}

impl<R> App<R> {
    /// An app that has changed nothing yet.
    pub fn new(control: ControlPlane, ring: R, alarms: Alarms, bounds: Bounds) -> Self {
        Self { control, ring, alarms, bounds, last_change: Mutex::default() }
    }

    /// When this environment last changed something, if it did.
    pub fn last_change(&self) -> Option<SystemTime> {
        *self.last_change.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Notes that it changed something at `now`.
    pub(crate) fn note_change(&self, now: SystemTime) {
        *self.last_change.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(now);
    }
}
