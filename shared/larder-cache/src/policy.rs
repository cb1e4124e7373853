//! How a kind of value is cached: plain numbers, checked together.

use std::time::Duration;

use larder_client::{Key, Ttl};

/// How a kind of value is cached.
///
/// ```
/// use larder_cache::Policy;
/// use larder_client::Ttl;
///
/// let flights = Policy { negative_for: Ttl::from_secs(5)?, ..Policy::fresh_for(Ttl::from_secs(300)?) };
/// flights.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long a value is fresh, before jitter.
    pub fresh_for: Ttl,
    /// How long "there is no such record" is believed, before jitter.
    pub negative_for: Ttl,
    /// How long the winner of a lease has to load the value. Others wait or load on their own; what comes later
    /// than this is not stored.
    pub lease_for: Ttl,
    /// How long a loser waits for the winner's value before it loads on its own; also how long a load waits for the
    /// origin's guard.
    pub wait_for: Duration,
    /// The share of a TTL, from 0 to 0.5, that jitter may take, so that what is stored together does not end
    /// together.
    pub jitter: f64,
    /// Whether a value that was marked stale may be answered: while somebody else refreshes it, or where the origin
    /// fails.
    pub stale_while_refreshed: bool,
    /// The shape of the value. A value of another shape is a miss.
    pub schema: u8,
}

impl Policy {
    /// The defaults, for values that are fresh for `ttl`: 30 s for "no such record" at most, leases of 10 s, waits
    /// of 200 ms, jitter of 15 %, stale values answered.
    pub const fn fresh_for(ttl: Ttl) -> Self {
        Self {
            fresh_for: ttl,
            negative_for: if ttl.as_secs() < DEFAULT_NEGATIVE.as_secs() { ttl } else { DEFAULT_NEGATIVE },
            lease_for: Ttl::clamped(10),
            wait_for: Duration::from_millis(200),
            jitter: 0.15,
            stale_while_refreshed: true,
            schema: 0,
        }
    }

    /// Says what is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        if !(0.0..=MOST_JITTER).contains(&self.jitter) {
            return Err(InvalidPolicy::Jitter(self.jitter));
        }
        if self.wait_for >= Duration::from(self.lease_for) {
            return Err(InvalidPolicy::WaitOverLease { wait_for: self.wait_for, lease_for: self.lease_for });
        }
        Ok(())
    }

    /// How long the value under `key` is stored.
    pub(crate) fn value_ttl(&self, key: &Key) -> Ttl {
        shortened(self.fresh_for, self.jitter, key)
    }

    /// How long "there is no such record" is stored under `key`.
    pub(crate) fn negative_ttl(&self, key: &Key) -> Ttl {
        shortened(self.negative_for, self.jitter, key)
    }
}

/// A [`Policy`] that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// Jitter that is no share from 0 to 0.5.
    #[error("jitter is a share of the TTL from 0 to 0.5, not {0}")]
    Jitter(f64),
    /// Losers that wait for longer than a winner has time.
    #[error("a wait of {wait_for:?} is not shorter than the lease of {} s: the winner would be gone", lease_for.as_secs())]
    WaitOverLease {
        /// [`Policy::wait_for`]
        wait_for: Duration,
        /// [`Policy::lease_for`]
        lease_for: Ttl,
    },
}

/// Takes up to the share `jitter` off `ttl`.
///
/// How much is settled by the key alone, so that every environment stores it for as long, and the age of what is
/// found follows from the seconds that it has left.
fn shortened(ttl: Ttl, jitter: f64, key: &Key) -> Ttl {
    let share = fnv1a(key.as_bytes()) as f64 / u64::MAX as f64;
    Ttl::clamped((f64::from(ttl.as_secs()) * (1.0 - jitter * share)).round() as u64)
}

/// FNV-1a, 64 bits, mixed once more for short keys that differ in their end; it must stay as it is, for all
/// environments have to agree.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

const DEFAULT_NEGATIVE: Ttl = Ttl::clamped(30);
const MOST_JITTER: f64 = 0.5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn jitter_takes_its_share_at_most_and_leaves_a_ttl(
            secs in 2u64..=2_592_000,
            jitter in 0.0..=MOST_JITTER,
            id: u64,
        ) {
            let policy = Policy { jitter, ..Policy::fresh_for(Ttl::clamped(secs)) };
            let stored = u64::from(policy.value_ttl(&Key::compose(["k", &id.to_string()]).unwrap()).as_secs());
            let least = ((secs as f64 * (1.0 - jitter)).round() as u64).max(2);
            prop_assert!((least..=secs).contains(&stored), "{stored} s of {secs} s");
        }
    }

    #[test]
    fn jitter_spreads_the_ends_of_what_is_stored_together() {
        let policy = Policy::fresh_for(Ttl::clamped(1000));
        let mut ttls: Vec<u32> = (0..1000)
            .map(|id| policy.value_ttl(&Key::new(format!("flights:{id}").as_bytes()).unwrap()).as_secs())
            .collect();
        ttls.sort_unstable();
        assert!(ttls[0] >= 850 && ttls[999] <= 1000, "{}..{}", ttls[0], ttls[999]);
        for (nth, ttl) in ttls.iter().enumerate().step_by(100) {
            let even = 850.0 + 0.15 * nth as f64;
            assert!(
                (f64::from(*ttl) - even).abs() < 20.0,
                "the {nth}th ends after {ttl} s, evenly it were {even}"
            );
        }
    }

    #[test]
    fn the_same_key_gets_the_same_ttl_everywhere() {
        let policy = Policy::fresh_for(Ttl::clamped(1000));
        assert_eq!(policy.value_ttl(&Key::new(b"flights:17").unwrap()).as_secs(), 903);
    }

    #[test]
    fn without_jitter_a_ttl_stays() {
        let policy = Policy { jitter: 0.0, ..Policy::fresh_for(Ttl::clamped(77)) };
        assert_eq!(policy.value_ttl(&Key::new(b"k").unwrap()).as_secs(), 77);
        assert_eq!(policy.negative_ttl(&Key::new(b"k").unwrap()).as_secs(), 30);
    }

    #[test]
    fn a_policy_that_cannot_work_is_refused_with_its_reason() {
        let good = Policy::fresh_for(Ttl::clamped(60));
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Policy { jitter: 0.6, ..good.clone() }.check(), Err(InvalidPolicy::Jitter(0.6)));
        assert!(Policy { jitter: f64::NAN, ..good.clone() }.check().is_err());
        let wait_for = Duration::from_secs(10);
        let lease_for = good.lease_for;
        assert_eq!(
            Policy { wait_for, ..good }.check(),
            Err(InvalidPolicy::WaitOverLease { wait_for, lease_for })
        );
    }
}
