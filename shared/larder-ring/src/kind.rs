//! The rings by name, and who agrees with whom.

use std::fmt;
use std::str::FromStr;

/// A way of deciding which node owns a key: a client library in one set-up.
///
/// Its name is the library and the set-up, joined by hyphens; [`Display`](fmt::Display) writes it, [`FromStr`] reads
/// it and the aliases below.
///
/// # Who agrees with whom
///
/// | if the other client is | take |
/// | --- | --- |
/// | php-memcached with `OPT_LIBKETAMA_COMPATIBLE`; pylibmc with `ketama_weighted`; twemproxy with `hash: md5`; uhashring's ketama (but for a few sizes) | [`LibmemcachedKetamaWeighted`](Self::LibmemcachedKetamaWeighted) |
/// | node-memcached | [`NodeMemcachedKetama`](Self::NodeMemcachedKetama); the default agrees but for some sizes (7, 14, 25, 28, 47, 49 …) |
/// | sessions of php-memcached 3; pylibmc with `ketama`, and Django over it | [`LibmemcachedKetama`](Self::LibmemcachedKetama) |
/// | plain php-memcached or pylibmc, nothing set | [`LibmemcachedDefault`](Self::LibmemcachedDefault) |
/// | ElastiCache client for PHP (its libmemcached 1.0.18 decides the same) | the libmemcached ring of the same setting, over DNS names |
/// | spymemcached, `KetamaConnectionFactory` | [`SpymemcachedKetamaSpymemcachedFormat`](Self::SpymemcachedKetamaSpymemcachedFormat) |
/// | spymemcached, node key format `LIBMEMCACHED` | [`SpymemcachedKetamaLibmemcachedFormat`](Self::SpymemcachedKetamaLibmemcachedFormat); the default agrees at most sizes |
/// | spymemcached or ElastiCache client for Java, nothing set | [`SpymemcachedArrayModNative`](Self::SpymemcachedArrayModNative) |
/// | ElastiCache client for Java, `Locator.CONSISTENT`, discovery: 1.2.0 and later | [`AwsJavaKetamaDynamicIpOnly`](Self::AwsJavaKetamaDynamicIpOnly) |
/// | the same up to 1.1.3 | [`SpymemcachedKetamaIpOnly`](Self::SpymemcachedKetamaIpOnly) |
/// | dalli (Rails) | [`DalliRing`](Self::DalliRing) |
/// | pymemcache `HashClient`, Django's pymemcache back end | [`PymemcacheRendezvousHost`](Self::PymemcacheRendezvousHost) |
/// | pymemcache's ElastiCache extension | [`PymemcacheAwsExtRendezvousIp`](Self::PymemcacheAwsExtRendezvousIp) |
/// | twemproxy, `distribution: ketama`, no hash set | [`TwemproxyKetamaFnv1a64Default`](Self::TwemproxyKetamaFnv1a64Default) |
///
/// Any two of the families agree on one key in n, which is chance. For a fleet of Larder alone keep the default: it
/// follows names, and a replaced node keeps its name while its address changes.
///
/// # What differs
///
/// - **Node names.** Some rings hash the host name (port 11211 left out), some always with port, some the address.
/// - **Shares.** A node gets points by its weight. libmemcached, twemproxy and spymemcached (if any weight is given)
///   compute the share in 32-bit floats, which costs every node four points at 25, 47, 50, 55 … equal nodes;
///   node-memcached in 64-bit floats, which costs them at 7, 14, 28, 49 …
/// - **Equal points.** The node listed first wins in libmemcached and node-memcached, the one listed last in
///   spymemcached and dalli, the one with the shorter, then smaller name in twemproxy. An equal score in pymemcache
///   goes to the larger name.
/// - **Weight 0** counts as 1 in libmemcached and node-memcached, owns nothing in spymemcached, the ElastiCache client
///   for Java and dalli, and is refused by twemproxy. Modulo and rendezvous rings know no weights.
/// - **Keys that are not ASCII.** Rings that hash bytes take them as they are; one-at-a-time and fnv1a add them signed,
///   as on x86. Java's string hash and pymemcache count characters, so the key is read as UTF-8, and each broken
///   sequence counts as U+FFFD.
/// - **A node listed twice** is refused by twemproxy; elsewhere it counts twice, and the rule for equal points decides.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum RingKind {
    /// libmemcached 1.1, `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`: MD5 keys, four points from each MD5 of `NAME-i`, 160
    /// points for an average node. Alias `ketama`.
    #[default]
    LibmemcachedKetamaWeighted,
    /// libmemcached 1.1, `MEMCACHED_BEHAVIOR_KETAMA`: one-at-a-time for keys and for 100 points a node, no weights.
    ///
    /// A trap of the library is kept: a server added with a weight above 1, after the behaviour was set, turns the
    /// points of all nodes into those of `ketama_weighted`, while keys stay one-at-a-time. pylibmc sets the behaviours
    /// given to its constructor first, so the trap holds; where the behaviour is set later (`client.behaviors = …`)
    /// the library forgets the weights: give all nodes weight 1 to agree with that.
    LibmemcachedKetama,
    /// libmemcached 1.1, nothing set: one-at-a-time of the key modulo the number of nodes, in list order.
    LibmemcachedDefault,
    /// spymemcached 2.12, `KetamaNodeLocator`, MD5, names `HOST[:PORT]`.
    ///
    /// Weights count as given if any differs from 1; then the shares are libmemcached's, else 160 points a node.
    SpymemcachedKetamaLibmemcachedFormat,
    /// spymemcached 2.12, `KetamaNodeLocator`, MD5, names as Java prints a resolved address: `HOST/IP:PORT`, or
    /// `IP:PORT` where the host is given as an address. Needs IPs. IPv6 as on Java 14 and later, in brackets.
    SpymemcachedKetamaSpymemcachedFormat,
    /// The same where addresses carry no host name: `IP:PORT`. The ElastiCache client for Java up to 1.1.3. Needs IPs.
    SpymemcachedKetamaIpOnly,
    /// spymemcached 2.12, nothing set: Java's `String.hashCode` of the key modulo the number of nodes, in list order.
    SpymemcachedArrayModNative,
    /// ElastiCache client for Java since 1.2.0, `Locator.CONSISTENT` in dynamic mode: as
    /// [`SpymemcachedKetamaIpOnly`](Self::SpymemcachedKetamaIpOnly), with SHA-384 in the place of MD5. Needs IPs.
    ///
    /// That client remembers the first address of a node until its process ends. After a node was replaced, processes
    /// started before and after disagree with each other; this ring agrees with those started after.
    AwsJavaKetamaDynamicIpOnly,
    /// dalli 3 to 5: points are the first half-words of SHA-1 of `HOST:PORT:i`, keys CRC-32, and a key belongs to the
    /// nearest point at or *below* it.
    DalliRing,
    /// pymemcache 4 `HashClient`: the node of the highest MurmurHash3 of `HOST:PORT-KEY`. Keys as `str`.
    PymemcacheRendezvousHost,
    /// pymemcache's ElastiCache extension, `use_vpc=True`: the same over `IP:PORT`. Needs IPs.
    PymemcacheAwsExtRendezvousIp,
    /// twemproxy 0.5 with the defaults of a pool: libmemcached's weighted points, keys by a 32-bit fnv1a.
    TwemproxyKetamaFnv1a64Default,
    /// node-memcached 2.2 over hashring 3.2: libmemcached's weighted points with shares in 64-bit floats. Alias
    /// `node-memcached`.
    NodeMemcachedKetama,
}

impl RingKind {
    /// All kinds, the default first.
    pub const ALL: [Self; 13] = [
        Self::LibmemcachedKetamaWeighted,
        Self::LibmemcachedKetama,
        Self::LibmemcachedDefault,
        Self::SpymemcachedKetamaLibmemcachedFormat,
        Self::SpymemcachedKetamaSpymemcachedFormat,
        Self::SpymemcachedKetamaIpOnly,
        Self::SpymemcachedArrayModNative,
        Self::AwsJavaKetamaDynamicIpOnly,
        Self::DalliRing,
        Self::PymemcacheRendezvousHost,
        Self::PymemcacheAwsExtRendezvousIp,
        Self::TwemproxyKetamaFnv1a64Default,
        Self::NodeMemcachedKetama,
    ];

    /// The name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LibmemcachedKetamaWeighted => "libmemcached-ketama-weighted",
            Self::LibmemcachedKetama => "libmemcached-ketama",
            Self::LibmemcachedDefault => "libmemcached-default",
            Self::SpymemcachedKetamaLibmemcachedFormat => "spymemcached-ketama-libmemcached-format",
            Self::SpymemcachedKetamaSpymemcachedFormat => "spymemcached-ketama-spymemcached-format",
            Self::SpymemcachedKetamaIpOnly => "spymemcached-ketama-ip-only",
            Self::SpymemcachedArrayModNative => "spymemcached-array-mod-native",
            Self::AwsJavaKetamaDynamicIpOnly => "aws-java-ketama-dynamic-ip-only",
            Self::DalliRing => "dalli-ring",
            Self::PymemcacheRendezvousHost => "pymemcache-rendezvous-host",
            Self::PymemcacheAwsExtRendezvousIp => "pymemcache-aws-ext-rendezvous-ip",
            Self::TwemproxyKetamaFnv1a64Default => "twemproxy-ketama-fnv1a-64-default",
            Self::NodeMemcachedKetama => "node-memcached-ketama",
        }
    }

    /// Whether every node must have its IP: either said, or given as the host.
    pub fn needs_ip(self) -> bool {
        matches!(
            self,
            Self::SpymemcachedKetamaSpymemcachedFormat
                | Self::SpymemcachedKetamaIpOnly
                | Self::AwsJavaKetamaDynamicIpOnly
                | Self::PymemcacheAwsExtRendezvousIp
        )
    }
}

impl fmt::Display for RingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RingKind {
    type Err = UnknownRing;

    fn from_str(name: &str) -> Result<Self, UnknownRing> {
        match name {
            "ketama" => Ok(Self::LibmemcachedKetamaWeighted),
            "node-memcached" => Ok(Self::NodeMemcachedKetama),
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| UnknownRing { name: name.to_owned() }),
        }
    }
}

/// No ring has this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no ring is called `{name}`; take one of: ketama, {}", RingKind::ALL.map(RingKind::name).join(", "))]
pub struct UnknownRing {
    /// The name that was given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_its_ring() {
        for kind in RingKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }

    #[test]
    fn ketama_alone_is_the_default() {
        assert_eq!("ketama".parse(), Ok(RingKind::default()));
        assert_eq!("node-memcached".parse(), Ok(RingKind::NodeMemcachedKetama));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "consistent".parse::<RingKind>().unwrap_err().to_string();
        assert!(error.contains("`consistent`"), "{error}");
        assert!(error.contains("libmemcached-ketama-weighted, libmemcached-ketama,"), "{error}");
    }
}
