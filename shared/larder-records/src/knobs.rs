//! How records are cached: what can be set for all tables, and for one.

use std::ops::RangeInclusive;
use std::time::Duration;

use larder_cache::Policy;
use larder_client::Ttl;
use larder_lambda::settings::{Reader, Setting, millis, on_or_off, seconds, whole};

/// What was set of a policy; the rest follows from it, or is as [`Policy::fresh_for`] says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs {
    fresh_for: Option<Ttl>,
    grace: Option<Duration>,
    early: Option<Duration>,
    negative_for: Option<Ttl>,
    /// `Some(None)` for a failure that is not remembered.
    error_for: Option<Option<Ttl>>,
    load_for: Option<Duration>,
    lease_for: Option<Ttl>,
    wait_for: Option<Duration>,
    jitter: Option<f64>,
    stale_on_error: Option<bool>,
    stale_after_invalidate: Option<bool>,
    /// `Some(None)` for values that are never compressed.
    compress_from: Option<Option<usize>>,
    schema: Option<u8>,
    /// `Some(None)` for values that are not kept near.
    near_for: Option<Option<Duration>>,
}

/// One thing that can be set: for all tables, and by its name for one of them.
struct Knob {
    name: &'static str,
    setting: Setting,
    turn: fn(Knobs, &str) -> Result<Knobs, String>,
}

impl Knobs {
    /// What the variables say for all tables. What is wrong is noted by `reader`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut knobs = Self::default();
        for knob in KNOBS {
            let turned = reader.optional(knob.setting, |value| (knob.turn)(knobs.clone(), value));
            knobs = turned.unwrap_or(knobs);
        }
        knobs
    }

    /// The same with what is called `name` set to `value`.
    pub(crate) fn with(self, name: &str, value: &str) -> Result<Self, String> {
        match KNOBS.iter().find(|knob| knob.name == name) {
            Some(knob) => {
                (knob.turn)(self, value).map_err(|what| format!("has an option {} that {what}", knob.name))
            }
            // The name is not repeated: it may be part of something secret that went astray.
            None => Err(format!(
                "has an option that there is not; there are {}, version, namespace, parent",
                names().join(", ")
            )),
        }
    }

    /// The policy of it all.
    pub(crate) fn policy(&self) -> Policy {
        let fresh_for = self.fresh_for.unwrap_or(DEFAULT_TTL);
        let defaults = Policy::fresh_for(fresh_for);
        let load_for = self.load_for.unwrap_or(defaults.load_for);
        let shortest_lease = (load_for + Duration::from_secs(2)).as_secs_f64().ceil() as u64;
        let lease_for = self.lease_for.unwrap_or(defaults.lease_for.max(Ttl::clamped(shortest_lease)));
        Policy {
            grace: self.grace.unwrap_or(defaults.grace),
            early: self.early.unwrap_or(defaults.early),
            negative_for: self.negative_for.unwrap_or(defaults.negative_for),
            error_for: self.error_for.unwrap_or(defaults.error_for),
            load_for,
            lease_for,
            wait_for: self.wait_for.unwrap_or(load_for),
            jitter: self.jitter.unwrap_or(defaults.jitter),
            stale_on_error: self.stale_on_error.unwrap_or(defaults.stale_on_error),
            stale_after_invalidate: self.stale_after_invalidate.unwrap_or(defaults.stale_after_invalidate),
            compress_from: self.compress_from.unwrap_or(defaults.compress_from),
            schema: self.schema.unwrap_or(defaults.schema),
            near_for: self.near_for.unwrap_or(defaults.near_for),
            ..defaults
        }
    }
}

fn names() -> Vec<&'static str> {
    KNOBS.iter().map(|knob| knob.name).collect()
}

fn ttl(value: &str, bounds: RangeInclusive<u64>) -> Result<Ttl, String> {
    whole(bounds)(value).map(Ttl::clamped)
}

/// What memcached can count: 2 seconds to 30 days.
const TTL_SECS: RangeInclusive<u64> = 2..=2_592_000;
const DEFAULT_TTL: Ttl = Ttl::clamped(300);

/// All that can be set.
const KNOBS: &[Knob] = &[
    Knob {
        name: "ttl",
        setting: Setting { name: "LARDER_TTL_SECS", example: "300" },
        turn: |knobs, value| Ok(Knobs { fresh_for: Some(ttl(value, TTL_SECS)?), ..knobs }),
    },
    Knob {
        name: "grace",
        setting: Setting { name: "LARDER_GRACE_SECS", example: "600" },
        turn: |knobs, value| Ok(Knobs { grace: Some(seconds(0..=2_592_000)(value)?), ..knobs }),
    },
    Knob {
        name: "early",
        setting: Setting { name: "LARDER_EARLY_SECS", example: "30" },
        turn: |knobs, value| Ok(Knobs { early: Some(seconds(0..=2_592_000)(value)?), ..knobs }),
    },
    Knob {
        name: "negative",
        setting: Setting { name: "LARDER_NEGATIVE_TTL_SECS", example: "30" },
        turn: |knobs, value| Ok(Knobs { negative_for: Some(ttl(value, 2..=86_400)?), ..knobs }),
    },
    Knob {
        name: "error",
        setting: Setting { name: "LARDER_ERROR_TTL_SECS", example: "2" },
        turn: |knobs, value| {
            let error_for = match whole(0..=60)(value)? {
                0 => None,
                secs => Some(Ttl::from_secs(secs).map_err(|_| "is neither 0 nor 2 to 60")?),
            };
            Ok(Knobs { error_for: Some(error_for), ..knobs })
        },
    },
    Knob {
        name: "load-ms",
        setting: Setting { name: "LARDER_LOAD_MS", example: "2000" },
        turn: |knobs, value| Ok(Knobs { load_for: Some(millis(1..=890_000)(value)?), ..knobs }),
    },
    Knob {
        name: "lease",
        setting: Setting { name: "LARDER_LEASE_SECS", example: "10" },
        turn: |knobs, value| Ok(Knobs { lease_for: Some(ttl(value, 2..=900)?), ..knobs }),
    },
    Knob {
        name: "wait-ms",
        setting: Setting { name: "LARDER_WAIT_MS", example: "2000" },
        turn: |knobs, value| Ok(Knobs { wait_for: Some(millis(0..=60_000)(value)?), ..knobs }),
    },
    Knob {
        name: "jitter",
        setting: Setting { name: "LARDER_TTL_JITTER_PERCENT", example: "15" },
        turn: |knobs, value| Ok(Knobs { jitter: Some(whole(0..=50)(value)? as f64 / 100.0), ..knobs }),
    },
    Knob {
        name: "stale-on-error",
        setting: Setting { name: "LARDER_STALE_ON_ERROR", example: "on" },
        turn: |knobs, value| Ok(Knobs { stale_on_error: Some(on_or_off(value)?), ..knobs }),
    },
    Knob {
        name: "stale-after-invalidate",
        setting: Setting { name: "LARDER_STALE_AFTER_INVALIDATE", example: "off" },
        turn: |knobs, value| Ok(Knobs { stale_after_invalidate: Some(on_or_off(value)?), ..knobs }),
    },
    Knob {
        name: "compress",
        setting: Setting { name: "LARDER_COMPRESS_FROM_BYTES", example: "2048" },
        turn: |knobs, value| {
            let bytes = whole(0..=1 << 20)(value)? as usize;
            Ok(Knobs { compress_from: Some(Some(bytes).filter(|bytes| *bytes > 0)), ..knobs })
        },
    },
    Knob {
        name: "schema",
        setting: Setting { name: "LARDER_SCHEMA", example: "1" },
        turn: |knobs, value| Ok(Knobs { schema: Some(whole(0..=255)(value)? as u8), ..knobs }),
    },
    Knob {
        name: "near",
        setting: Setting { name: "LARDER_NEAR_SECS", example: "1" },
        turn: |knobs, value| {
            let near_for = Some(seconds(0..=3)(value)?).filter(|near_for| !near_for.is_zero());
            Ok(Knobs { near_for: Some(near_for), ..knobs })
        },
    },
];
