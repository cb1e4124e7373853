//! How a kind of value is cached: plain numbers, checked together.

use std::time::Duration;

use larder_client::{Key, Ttl};

use crate::tags::Tag;

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
    /// How long after that a value is kept yet, in whole seconds: to be answered while somebody else refreshes it, or
    /// where the origin fails. Zero for not at all.
    pub grace: Duration,
    /// How long before its end a fresh value is refreshed, by one reader of all, in whole seconds. Zero for not before
    /// it ends.
    pub early: Duration,
    /// How long "there is no such record" is believed, before jitter. It has no grace: then it is a miss.
    pub negative_for: Ttl,
    /// How long nobody asks the origin again for a key for which it has failed, a second less at worst; `None` for not
    /// at all. Errors of one environment are not remembered, see [`LoadFault`](crate::LoadFault).
    pub error_for: Option<Ttl>,
    /// How long a load may take, the wait for the origin's guard included: one that takes longer has failed, and
    /// whoever is silent for longer is dead.
    pub load_for: Duration,
    /// How long a winner keeps its lease at most, at least 2 s longer than the origin may take: else nothing that is
    /// loaded in time could be stored.
    pub lease_for: Ttl,
    /// How long a loser waits for the winner's value before it loads on its own; also how long a load waits for the
    /// origin's guard, which may take half of [`load_for`](Self::load_for) at most. Neither takes more than half of the
    /// time to the caller's deadline.
    pub wait_for: Duration,
    /// The share of a TTL, from 0 to 0.5, that jitter may take, so that what is stored together does not end
    /// together.
    pub jitter: f64,
    /// Whether a value in its grace is answered where the origin fails. If not, the failure is.
    pub stale_on_error: bool,
    /// Whether a value that was invalidated softly is answered: while somebody else refreshes it, and where the origin
    /// fails. If not, it is as if it were missing.
    pub stale_after_invalidate: bool,
    /// From how many bytes on a value is compressed; `None` for never.
    pub compress_from: Option<usize>,
    /// How long a value that this environment reads most is answered from its own memory, 1 to 3 s: so much longer an
    /// old one may be answered here after it was changed elsewhere. `None` for not at all, as for values with
    /// [`tags`](Self::tags), which have to be read in any case. Only with a [`Sampler`](crate::Sampler), which says
    /// what is [hot](crate::Sampler::is_hot).
    pub near_for: Option<Duration>,
    /// What else the value depends on: forgotten, it is a miss. Each costs one more key to read, beside the others.
    /// Other tags need another [`schema`](Self::schema): readers that differ in them throw each other's values away.
    pub tags: Vec<Tag>,
    /// The shape of the value, see [`schema`]. A value of another shape is a miss, and stays as it is.
    pub schema: u8,
}

impl Policy {
    /// The defaults, for values that are fresh for `ttl`.
    ///
    /// Kept for as long again, an hour at most, and refreshed in the last tenth of their freshness, 2 s at most; 30 s
    /// for "no such record" at most, 2 s for a failure; 2 s for a load, as long to wait for it, leases of 10 s; jitter
    /// of 15 %. Stale values are answered, but not where they were invalidated. Compressed from 2 KiB on.
    pub const fn fresh_for(ttl: Ttl) -> Self {
        let secs = ttl.as_secs();
        let most_grace = Ttl::MAX.as_secs() - secs;
        Self {
            fresh_for: ttl,
            grace: Duration::from_secs(least(secs, least(MOST_DEFAULT_GRACE_SECS, most_grace)) as u64),
            early: Duration::from_secs(least(secs / 10, MOST_DEFAULT_EARLY_SECS) as u64),
            negative_for: if secs < DEFAULT_NEGATIVE.as_secs() { ttl } else { DEFAULT_NEGATIVE },
            error_for: Some(Ttl::MIN),
            load_for: Duration::from_secs(2),
            lease_for: Ttl::clamped(10),
            wait_for: Duration::from_secs(2),
            jitter: 0.15,
            stale_on_error: true,
            stale_after_invalidate: false,
            compress_from: Some(2 << 10),
            near_for: None,
            tags: Vec::new(),
            schema: 0,
        }
    }

    /// Says what is wrong with it, if anything is.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`]: the first time, share or number that is out of its bounds, or does not go with the others.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        if !(0.0..=MOST_JITTER).contains(&self.jitter) {
            return Err(InvalidPolicy::Jitter(self.jitter));
        }
        let shortest = self.load_for.saturating_add(LEASE_MARGIN);
        if Duration::from(self.lease_for) < shortest {
            return Err(InvalidPolicy::LeaseUnderLoad { lease_for: self.lease_for, shortest });
        }
        if self.wait_for >= Duration::from(self.lease_for) {
            return Err(InvalidPolicy::WaitOverLease { wait_for: self.wait_for, lease_for: self.lease_for });
        }
        // What jitter leaves of it.
        let fresh_at_least = Duration::from(self.fresh_for).mul_f64(1.0 - self.jitter);
        if self.early >= fresh_at_least {
            return Err(InvalidPolicy::EarlyOverFresh { early: self.early, fresh_at_least });
        }
        let kept = Duration::from(self.fresh_for)
            .max(Duration::from(self.negative_for).saturating_add(self.early))
            .saturating_add(self.grace);
        if kept > Duration::from(Ttl::MAX) {
            return Err(InvalidPolicy::KeptTooLong { kept });
        }
        match self.near_for {
            Some(near_for) if !(LEAST_NEAR..=MOST_NEAR).contains(&near_for) => {
                Err(InvalidPolicy::Near(near_for))
            }
            _ => Ok(()),
        }
    }

    /// How long a value may be answered from memory; `None` where that is not to be.
    pub(crate) fn near(&self) -> Option<Duration> {
        self.near_for.filter(|_| self.tags.is_empty())
    }

    /// How long a value that is invalidated may be answered yet; `None` where it is to be removed.
    pub fn stale_ttl(&self) -> Option<Ttl> {
        let secs = self.grace.as_secs();
        (self.stale_after_invalidate && secs > 0).then(|| Ttl::clamped(secs))
    }

    /// How many seconds before their end items are refreshed, by one reader.
    pub(crate) fn window_secs(&self) -> u64 {
        self.grace.as_secs().saturating_add(self.early.as_secs())
    }

    /// How long a value under `key` is stored that is fresh for its `own` time, or for that of the policy.
    pub(crate) fn value_ttl(&self, key: &Key, own: Option<Ttl>) -> Ttl {
        let fresh = own.unwrap_or_else(|| shortened(self.fresh_for, self.jitter, key));
        lengthened(fresh, self.grace.as_secs())
    }

    /// How long "there is no such record" is stored under `key`: it is refreshed when it has been believed for its
    /// time, not before.
    pub(crate) fn negative_ttl(&self, key: &Key) -> Ttl {
        lengthened(shortened(self.negative_for, self.jitter, key), self.window_secs())
    }

    /// How long "the origin has failed" is stored where it is believed for `ttl`.
    pub(crate) fn failing_ttl(&self, ttl: Ttl) -> Ttl {
        lengthened(ttl, self.window_secs())
    }
}

/// A number for the shape of a value, to be told from others by [`Policy::schema`]: of a text that says what it looks
/// like, or of its version. Two texts have the same number once in 256 times.
///
/// ```
/// use larder_cache::schema;
///
/// const FLIGHT: u8 = schema("flight 2: id, carrier, origin, dest");
/// assert_ne!(FLIGHT, schema("flight 1: id, carrier"));
/// ```
pub const fn schema(text: &str) -> u8 {
    fnv1a(text.as_bytes()) as u8
}

/// A [`Policy`] that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// Jitter that is no share from 0 to 0.5.
    #[error("jitter is a share of the TTL from 0 to 0.5, not {0}")]
    Jitter(f64),
    /// A lease that ends before a load in time can be stored.
    #[error(
        "a lease of {} s is shorter than {shortest:?}: what the origin takes at most and 2 s, else nothing could be stored \
        that took it as long", lease_for.as_secs()
    )]
    LeaseUnderLoad {
        /// [`Policy::lease_for`]
        lease_for: Ttl,
        /// The shortest lease for [`Policy::load_for`].
        shortest: Duration,
    },
    /// Losers that wait for longer than a winner has time.
    #[error("a wait of {wait_for:?} is not shorter than the lease of {} s: the winner would be gone", lease_for.as_secs())]
    WaitOverLease {
        /// [`Policy::wait_for`]
        wait_for: Duration,
        /// [`Policy::lease_for`]
        lease_for: Ttl,
    },
    /// An early refresh that begins before the value is there.
    #[error(
        "a value that is fresh for {fresh_at_least:?} with all jitter taken off cannot be refreshed {early:?} before its end"
    )]
    EarlyOverFresh {
        /// [`Policy::early`]
        early: Duration,
        /// What is left of [`Policy::fresh_for`] when jitter has taken the most.
        fresh_at_least: Duration,
    },
    /// Values that are kept in memory for so short that it is of no use, or for so long that they are too old.
    #[error("values are kept near for 1 to 3 s, not for {0:?}")]
    Near(Duration),
    /// Items that memcached would take for ones that have ended long ago.
    #[error(
        "items would be kept for {kept:?}, with grace and early refresh; memcached keeps them for 30 days at most"
    )]
    KeptTooLong {
        /// The longest time that an item would be kept.
        kept: Duration,
    },
}

const fn least(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}

fn lengthened(ttl: Ttl, secs: u64) -> Ttl {
    Ttl::clamped(u64::from(ttl.as_secs()).saturating_add(secs))
}

/// Takes up to the share `jitter` off `ttl`.
///
/// How much is settled by the key alone, so that every environment stores it for as long, and the age of what is
/// found follows from the seconds that it has left.
fn shortened(ttl: Ttl, jitter: f64, key: &Key) -> Ttl {
    let share = fnv1a(key.as_bytes()) as f64 / u64::MAX as f64;
    Ttl::clamped((f64::from(ttl.as_secs()) * (1.0 - jitter * share)).round() as u64)
}

/// A number for a key, by which it may be named where it should not be told: in a log, say. The same everywhere and for
/// good; whoever can guess the key can check it.
pub fn key_hash(key: &Key) -> u64 {
    fnv1a(key.as_bytes())
}

/// FNV-1a, 64 bits, mixed once more for short keys that differ in their end; it must stay as it is, for all
/// environments have to agree.
pub(crate) const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

const DEFAULT_NEGATIVE: Ttl = Ttl::clamped(30);
const MOST_DEFAULT_GRACE_SECS: u32 = 3600;
/// What a load may take: a key that is read often needs no more, and is refreshed no more often than it has to be.
const MOST_DEFAULT_EARLY_SECS: u32 = 2;
/// What the seconds that a node counts may add to a TTL.
pub(crate) const TTL_SLACK_SECS: u64 = 1;
/// What a fill takes at most, and what memcached may take off a TTL.
const LEASE_MARGIN: Duration = Duration::from_secs(2);
const MOST_JITTER: f64 = 0.5;
const LEAST_NEAR: Duration = Duration::from_secs(1);
const MOST_NEAR: Duration = Duration::from_secs(3);

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
            let key = Key::compose(["k", &id.to_string()]).unwrap();
            let stored = u64::from(shortened(Ttl::clamped(secs), jitter, &key).as_secs());
            let least = ((secs as f64 * (1.0 - jitter)).round() as u64).max(2);
            prop_assert!((least..=secs).contains(&stored), "{stored} s of {secs} s");
        }

        #[test]
        fn the_defaults_do_for_any_ttl(secs in 2u64..=2_592_000) {
            prop_assert_eq!(Policy::fresh_for(Ttl::clamped(secs)).check(), Ok(()));
        }
    }

    #[test]
    fn jitter_spreads_the_ends_of_what_is_stored_together() {
        let policy = without_window(1000);
        let mut ttls: Vec<u32> = (0..1000)
            .map(|id| {
                policy.value_ttl(&Key::new(format!("flights:{id}").as_bytes()).unwrap(), None).as_secs()
            })
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
        assert_eq!(without_window(1000).value_ttl(&Key::new(b"flights:17").unwrap(), None).as_secs(), 903);
    }

    #[test]
    fn an_item_is_stored_for_its_freshness_and_what_is_kept_after_it() {
        let policy = Policy {
            jitter: 0.0,
            grace: Duration::from_secs(40),
            early: Duration::from_secs(7),
            ..Policy::fresh_for(Ttl::clamped(77))
        };
        let key = Key::new(b"k").unwrap();
        assert_eq!(policy.value_ttl(&key, None).as_secs(), 77 + 40);
        assert_eq!(policy.value_ttl(&key, Some(Ttl::clamped(5))).as_secs(), 5 + 40);
        assert_eq!(policy.negative_ttl(&key).as_secs(), 30 + 40 + 7);
        assert_eq!(policy.failing_ttl(Ttl::MIN).as_secs(), 2 + 40 + 7);
        assert_eq!(policy.window_secs(), 47);
    }

    #[test]
    fn a_policy_that_cannot_work_is_refused_with_its_reason() {
        let good = Policy::fresh_for(Ttl::clamped(60));
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Policy { jitter: 0.6, ..good.clone() }.check(), Err(InvalidPolicy::Jitter(0.6)));
        assert!(Policy { jitter: f64::NAN, ..good.clone() }.check().is_err());
        assert!(Policy { load_for: Duration::MAX, ..good.clone() }.check().is_err());
        assert!(Policy { grace: Duration::MAX, ..good.clone() }.check().is_err());
        let (wait_for, lease_for) = (Duration::from_secs(10), good.lease_for);
        let wrong = Policy { wait_for, ..good.clone() }.check();
        assert_eq!(wrong, Err(InvalidPolicy::WaitOverLease { wait_for, lease_for }));

        let wrong = Policy { load_for: Duration::from_millis(8001), ..good.clone() }.check().unwrap_err();
        assert!(matches!(wrong, InvalidPolicy::LeaseUnderLoad { .. }));
        assert!(wrong.to_string().starts_with("a lease of 10 s is shorter than 10.001s"), "{wrong}");
        assert_eq!(Policy { load_for: Duration::from_secs(8), ..good.clone() }.check(), Ok(()));

        for (millis, is_good) in [(999, false), (1000, true), (3000, true), (3001, false)] {
            let near_for = Some(Duration::from_millis(millis));
            assert_eq!(Policy { near_for, ..good.clone() }.check().is_ok(), is_good, "{millis} ms");
        }

        let early = Duration::from_secs(51);
        let wrong = Policy { early, ..good.clone() }.check();
        assert_eq!(wrong, Err(InvalidPolicy::EarlyOverFresh { early, fresh_at_least: early }));
        let grace = Duration::from_secs(2_592_000 - 60);
        assert_eq!(Policy { grace, ..good.clone() }.check(), Ok(()));
        let wrong = Policy { grace: grace + Duration::from_secs(1), ..good }.check();
        assert!(matches!(wrong, Err(InvalidPolicy::KeptTooLong { .. })));
    }

    fn without_window(secs: u64) -> Policy {
        Policy { grace: Duration::ZERO, early: Duration::ZERO, ..Policy::fresh_for(Ttl::clamped(secs)) }
    }
}
