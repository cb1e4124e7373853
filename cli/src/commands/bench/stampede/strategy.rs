//! The ways to keep one hot key in a cache that are measured side by side.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::str::FromStr;

/// A way to keep one hot key in a cache.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Strategy {
    /// Whoever misses loads and stores.
    Naive,
    /// Whoever misses tries to add a lock of ten seconds; the others look every 50 ms whether the value has come, for
    /// four seconds.
    Lock,
    /// Leases alone: nothing is kept after its time or refreshed before it ends, the others wait for four seconds, and
    /// a winner who dies is noticed when its lease ends, after ten.
    Lease,
    /// The function as it is, with its defaults.
    Larder,
}

impl Strategy {
    pub(crate) const ALL: [Self; 4] = [Self::Naive, Self::Lock, Self::Lease, Self::Larder];

    /// The variables of the function that say how records are cached, which are fresh for `ttl_secs`; `larder_options`
    /// are for [`Larder`](Self::Larder) alone.
    ///
    /// With [`Lease`](Self::Lease) a winner counts as dead after 10 s, which the lease outlives: as if it ended then
    /// and nobody took over. A handler waits for half of its time at most, so that has to be 8 s.
    pub(crate) fn variables(self, ttl_secs: u64, larder_options: Option<&str>) -> Vec<(String, String)> {
        let options = match (self, larder_options) {
            (Self::Lease, _) => ":grace=0:early=0:jitter=0:lease=12:load-ms=10000:wait-ms=4000".to_owned(),
            (Self::Larder, Some(options)) => format!(":{options}"),
            (Self::Naive | Self::Lock | Self::Larder, _) => String::new(),
        };
        let tables = ("LARDER_TABLES".to_owned(), format!("{TABLE}:id:ttl={ttl_secs}{options}"));
        let timeout = (self == Self::Lease).then(|| ("LARDER_TIMEOUT_MS".to_owned(), "8000".to_owned()));
        [tables].into_iter().chain(timeout).collect()
    }
}

impl Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Naive => "naive",
            Self::Lock => "lock",
            Self::Lease => "lease",
            Self::Larder => "larder",
        })
    }
}

/// Strategies to measure one after another.
#[derive(Clone, Debug)]
pub(crate) struct Strategies(pub(crate) Vec<Strategy>);

impl FromStr for Strategies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(Strategy::ALL.into()));
        }
        let mut strategies = Vec::new();
        for name in text.split(',') {
            let wrong =
                |what| format!("{what}; there are naive, lock, lease, larder, joined by commas, and all");
            let strategy = <Strategy as ValueEnum>::from_str(name, false).map_err(wrong)?;
            if strategies.contains(&strategy) {
                return Err(wrong(format!("{strategy} stands there twice")));
            }
            strategies.push(strategy);
        }
        Ok(Self(strategies))
    }
}

/// The table that the function serves.
pub(crate) const TABLE: &str = "flights";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_named_once_each() {
        let named = |text: &str| text.parse::<Strategies>().map(|strategies| strategies.0);
        assert_eq!(named("all"), Ok(Strategy::ALL.to_vec()));
        assert_eq!(named("larder,naive"), Ok(vec![Strategy::Larder, Strategy::Naive]));
        for wrong in ["", "larder,", "larder,larder", "xfetch", "all,naive"] {
            assert!(named(wrong).is_err_and(|what| what.contains("lease, larder")), "{wrong}");
        }
        for strategy in Strategy::ALL {
            assert_eq!(named(&strategy.to_string()), Ok(vec![strategy]));
        }
    }
}
