//! What the program is told by variables, and the line it answers.
//!
//! | variable | meaning | default |
//! | --- | --- | --- |
//! | `WORKLOAD` | `W1`, `W1L`, `W2`, `W3`, `W4`, `W5`, `W5C`, `W6`, `W6B` or `W7`: see [`Workload`] | required |
//! | `PEER_NODES` | `host:port,…` | required |
//! | `SECONDS` | length of the window | 1 |
//! | `OPS` | where set: do exactly this many operations instead (`W4`: items) | |
//! | `VALUE_SIZE` | bytes of every value | 100 |
//! | `KEYS`, `KEY_PREFIX` | key `i` is the prefix and `i` as 8 digits, `0 <= i < KEYS` | 10000, `bench:item:` |
//! | `BATCH` | keys per multi-get | 100 |
//! | `CONCURRENCY` | tasks of `W3` | 64 |
//! | `ITEMS` | items of `W4` | 200000 |
//! | `CONFIG_NODE` | `W7`: `host:port` that answers `config get cluster`; empty: use `PEER_NODES` | |
//!
//! The answer is one line of JSON, a [`Summary`](crate::meter::Summary).

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use larder_client::{Endpoint, Key};
use larder_ring::RingNode;

/// What the program is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) workload: Workload,
    pub(crate) nodes: Vec<RingNode>,
    pub(crate) config_node: Option<Endpoint>,
    pub(crate) window: Window,
    pub(crate) value_len: usize,
    pub(crate) keys: NonZeroUsize,
    pub(crate) key_prefix: String,
    pub(crate) batch: NonZeroUsize,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) items: NonZeroUsize,
}

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Workload {
    /// `W1`: one get after the other.
    Get,
    /// `W1L`: the same through a cache-aside read that finds its value.
    GetOrLoad,
    /// `W2`: one multi-get after the other.
    GetMany,
    /// `W3`: many tasks at once on one client, nine gets to a set.
    Crowd,
    /// `W4`: many items, stored and confirmed.
    SetMany,
    /// `W6`: owners of keys on a ring of 20 nodes.
    Owners,
    /// `W6B`: making that ring.
    RingBuilding,
    /// `W7`: a new client, one get, and its end.
    Fresh,
    /// `W5`: the keys of a node, listed.
    List,
    /// `W5C`: a node, copied into another.
    Copy,
}

/// When the window ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Window {
    Lasts(Duration),
    Operations(u64),
}

impl Settings {
    /// Reads the settings from `variable`, which gives the value of a variable where it is set.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let needed = |name| set(name).with_context(|| format!("{name} is not set"));
        let number = |name, default| match set(name) {
            Some(text) => parsed(name, &text),
            None => Ok(default),
        };
        let count =
            |name, default| NonZeroUsize::new(number(name, default)?).with_context(|| format!("{name} is 0"));
        Ok(Self {
            workload: parsed("WORKLOAD", &needed("WORKLOAD")?)?,
            nodes: needed("PEER_NODES")?
                .split(',')
                .map(|text| parsed("PEER_NODES", text))
                .collect::<Result<_>>()?,
            config_node: set("CONFIG_NODE").map(|text| parsed("CONFIG_NODE", &text)).transpose()?,
            window: match set("OPS") {
                Some(text) => Window::Operations(parsed("OPS", &text)?),
                None => Window::Lasts(seconds(&set("SECONDS").unwrap_or_else(|| "1".into()))?),
            },
            value_len: number("VALUE_SIZE", 100)?,
            keys: count("KEYS", 10_000)?,
            key_prefix: set("KEY_PREFIX").unwrap_or_else(|| "bench:item:".into()),
            batch: count("BATCH", 100)?,
            concurrency: count("CONCURRENCY", 64)?,
            items: count("ITEMS", 200_000)?,
        })
    }

    /// The key of number `index`.
    pub(crate) fn key(&self, index: usize) -> Result<Key> {
        Ok(Key::new(format!("{}{index:08}", self.key_prefix).as_bytes())?)
    }

    /// The keys of all numbers up to `count`.
    pub(crate) fn keys(&self, count: usize) -> Result<Vec<Key>> {
        (0..count).map(|index| self.key(index)).collect()
    }
}

impl FromStr for Workload {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "W1" => Self::Get,
            "W1L" => Self::GetOrLoad,
            "W2" => Self::GetMany,
            "W3" => Self::Crowd,
            "W4" => Self::SetMany,
            "W5" => Self::List,
            "W5C" => Self::Copy,
            "W6" => Self::Owners,
            "W6B" => Self::RingBuilding,
            "W7" => Self::Fresh,
            _ => bail!("no such workload"),
        })
    }
}

fn seconds(text: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(parsed("SECONDS", text)?).with_context(|| format!("SECONDS is `{text}`"))
}

fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T> {
    text.trim().parse().map_err(|error| anyhow!("{name} is `{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings = settings(&[("WORKLOAD", "W2"), ("PEER_NODES", "127.0.0.1:1,127.0.0.1:2")]).unwrap();
        assert_eq!(settings.workload, Workload::GetMany);
        assert_eq!(settings.nodes, ["127.0.0.1:1", "127.0.0.1:2"].map(|node| node.parse().unwrap()));
        assert_eq!((settings.batch.get(), settings.keys.get()), (100, 10_000));
        assert_eq!(settings.window, Window::Lasts(Duration::from_secs(1)));
        assert_eq!(settings.key(7).unwrap().as_bytes(), b"bench:item:00000007");
    }

    #[test]
    fn a_number_of_operations_goes_before_seconds() {
        let said = [("WORKLOAD", "W7"), ("PEER_NODES", "a:1"), ("SECONDS", "0.5"), ("OPS", "50")];
        assert_eq!(settings(&said).unwrap().window, Window::Operations(50));
        assert_eq!(settings(&said[..3]).unwrap().window, Window::Lasts(Duration::from_millis(500)));
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let said = [("WORKLOAD", "W7"), ("PEER_NODES", "a:1"), ("CONFIG_NODE", ""), ("OPS", "")];
        assert_eq!(settings(&said).unwrap().config_node, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = [("WORKLOAD", "W1"), ("PEER_NODES", "a:1")];
        for wrong in [
            ("WORKLOAD", ""),
            ("WORKLOAD", "W8"),
            ("PEER_NODES", ""),
            ("PEER_NODES", "a:1,,b:1"),
            ("CONFIG_NODE", "nowhere"),
            ("SECONDS", "-1"),
            ("BATCH", "0"),
            ("OPS", "many"),
        ] {
            let said: Vec<_> =
                good.iter().filter(|(name, _)| *name != wrong.0).chain([&wrong]).copied().collect();
            let error = settings(&said).unwrap_err().to_string();
            assert!(error.contains(wrong.0), "{wrong:?}: {error}");
        }
    }

    fn settings(said: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| {
            said.iter().find(|(said, _)| *said == name).map(|(_, value)| (*value).to_owned())
        })
    }
}
