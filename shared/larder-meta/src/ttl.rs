//! Times to live: whole seconds in the range where memcached means them as such.

use std::time::Duration;

/// How long an item may live: 2 seconds to 30 days, in whole seconds.
///
/// memcached counts in seconds of its own clock, so a TTL of 1 may end at once; and above 30 days it takes the
/// number for a date, long past, and the item is gone while the answer says stored.
///
/// Source: memcached `doc/protocol.txt`, "Expiration times".
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ttl(u32);

impl Ttl {
    /// 2 seconds.
    pub const MIN: Self = Self(2);
    /// 30 days.
    pub const MAX: Self = Self(2_592_000);

    /// Takes `secs` seconds.
    ///
    /// ```
    /// use larder_meta::Ttl;
    /// assert!(Ttl::from_secs(1).is_err());
    /// assert_eq!(Ttl::from_secs(60)?.as_secs(), 60);
    /// # Ok::<(), larder_meta::InvalidTtl>(())
    /// ```
    pub const fn from_secs(secs: u64) -> Result<Self, InvalidTtl> {
        if secs < Self::MIN.0 as u64 || secs > Self::MAX.0 as u64 {
            return Err(InvalidTtl(secs));
        }
        Ok(Self(secs as u32))
    }

    /// The TTL nearest to `secs` seconds.
    pub const fn clamped(secs: u64) -> Self {
        match Self::from_secs(secs) {
            Ok(ttl) => ttl,
            Err(_) if secs < Self::MIN.0 as u64 => Self::MIN,
            Err(_) => Self::MAX,
        }
    }

    /// Seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }
}

impl From<Ttl> for Duration {
    fn from(ttl: Ttl) -> Self {
        Self::from_secs(ttl.0.into())
    }
}

/// A number of seconds that is no TTL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a TTL is 2 to 2592000 seconds (30 days), not {0}")]
pub struct InvalidTtl(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_2_seconds_to_30_days() {
        for secs in [0, 1, 2_592_001, u64::MAX] {
            assert_eq!(Ttl::from_secs(secs), Err(InvalidTtl(secs)));
        }
        for secs in [2, 2_592_000] {
            assert_eq!(Ttl::from_secs(secs).map(Ttl::as_secs), Ok(secs as u32));
        }
    }

    #[test]
    fn clamping_gives_the_nearest_ttl() {
        assert_eq!([0, 2, 60, u64::MAX].map(|secs| Ttl::clamped(secs).as_secs()), [2, 2, 60, 2_592_000]);
    }
}
