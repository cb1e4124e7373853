//! Where a node stands, as discovery and the ring document tell, and where it has stood.
//!
//! A replaced node keeps its name and gets another address. Its predecessor may live on, and the name may lead there for
//! a while, where a name server has not heard yet. So an address that the node has left is used for it again only when
//! it is told anew.

use std::net::IpAddr;

use larder_discovery::Node;

/// Where a node stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Site {
    /// Its name, and the address that was told last, if that is one.
    pub(crate) node: Node,
    /// Addresses at which it has stood before, the latest first.
    left: Vec<IpAddr>,
}

/// What is told of the address of one node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Told<'a> {
    /// By the list of nodes.
    pub(crate) listed: Option<&'a str>,
    /// By the ring document.
    pub(crate) recorded: Option<&'a str>,
}

impl Site {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, left: Vec::new() }
    }

    /// Where the node stands by what is told `now`, where `before` was told so far, and by the addresses at which it has
    /// stood in the history of the ring document.
    ///
    /// A list was asked for later than a document that comes with it was published, so its news comes first, unless it
    /// is older than the document's history. What the first document says may be older than a list that came before it:
    /// the address of before is not taken for one that the node has left.
    #[must_use]
    pub(crate) fn followed(&self, before: Told<'_>, now: Told<'_>, history: &[IpAddr]) -> Self {
        let is_past = |ip: &str| address(ip).is_some_and(|ip| history.contains(&ip));
        let listed = now.listed.filter(|ip| before.listed != Some(ip) && !is_past(ip));
        let recorded = now.recorded.filter(|ip| before.recorded != Some(ip));
        let outdated = self.node.ip.as_deref().is_some_and(is_past);
        let told = listed.or(recorded).or(now.recorded.filter(|_| outdated));
        let told = told.filter(|ip| address(ip).is_some() && self.node.ip.as_deref() != Some(ip));
        let is_certain = told.is_some() && (listed.is_some() || before.recorded.is_some());
        let node = Node { ip: told.map(str::to_owned).or_else(|| self.node.ip.clone()), ..self.node.clone() };
        let stands_at = node.ip.as_deref().and_then(address);
        let mut left: Vec<IpAddr> = Vec::new();
        // The latest are kept.
        for ip in self.address().filter(|_| is_certain).iter().chain(history.iter().rev()).chain(&self.left) {
            if Some(*ip) != stands_at && !left.contains(ip) && left.len() < MOST_LEFT {
                left.push(*ip);
            }
        }
        Self { node, left }
    }

    /// Whether it has stood at `ip`, and does no more as far as is known.
    pub(crate) fn has_left(&self, ip: IpAddr) -> bool {
        self.left.contains(&ip)
    }

    /// The address that was told last, however long ago.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.node.ip.as_deref().and_then(address)
    }
}

/// A cluster with TLS may list a name in the place of an address.
fn address(ip: &str) -> Option<IpAddr> {
    ip.parse().ok()
}

/// How many addresses are kept that a node has left.
const MOST_LEFT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stands_where_the_latest_news_says() {
        let (a, b, c) = (Some("10.0.0.1"), Some("10.0.0.2"), Some("10.0.0.3"));
        let told = |listed, recorded| Told { listed, recorded };
        for (stands_at, before, now, history, expected, is_left) in [
            // Nothing new.
            (a, told(a, a), told(a, a), &[][..], a, false),
            (b, told(b, a), told(b, a), &[], b, false),
            (None, told(None, None), told(None, None), &[], None, false),
            (a, told(None, None), told(a, None), &[], a, false),
            (b, told(None, None), told(b, a), &[], b, false),
            // The list.
            (a, told(a, None), told(b, None), &[], b, true),
            (a, told(a, a), told(b, a), &[], b, true),
            (None, told(None, None), told(a, None), &[], a, false),
            (a, told(a, a), told(Some("node.internal"), a), &[], a, false),
            // The document.
            (a, told(a, a), told(a, b), &[a], b, true),
            (a, told(None, a), told(None, b), &[], b, true),
            (a, told(a, None), told(a, b), &[], b, false),
            (a, told(a, None), told(a, b), &[a], b, true),
            // Both.
            (a, told(a, a), told(b, b), &[a], b, true),
            (a, told(a, a), told(c, b), &[a], c, true),
            // A list that has not heard of what the document says.
            (b, told(b, b), told(a, b), &[a], b, false),
            (a, told(None, None), told(a, b), &[a], b, true),
        ] {
            let node = Node { host: "a".into(), port: 1, ip: stands_at.map(str::to_owned) };
            let history: Vec<_> = history.iter().map(|ip| ip.unwrap().parse().unwrap()).collect();
            let site = Site::new(node).followed(before, now, &history);
            let case = format!("{stands_at:?} {before:?} {now:?} {history:?}");
            assert_eq!(site.node.ip.as_deref(), expected, "{case}");
            assert_eq!(stands_at.is_some_and(|ip| site.has_left(ip.parse().unwrap())), is_left, "{case}");
        }
    }

    #[test]
    fn an_address_is_left_until_it_is_told_anew() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut site = Site::new(Node { host: "a".into(), port: 1, ip: Some("10.0.0.1".into()) });
        let listed = |ip: &str, site: &mut Site| {
            let before = site.node.ip.clone();
            let told = |listed| Told { listed, recorded: None };
            *site = site.followed(told(before.as_deref()), told(Some(ip)), &[]);
        };
        listed("10.0.0.2", &mut site);
        assert!(site.has_left(ip("10.0.0.1")) && !site.has_left(ip("10.0.0.2")));
        listed("10.0.0.1", &mut site);
        assert!(site.has_left(ip("10.0.0.2")) && !site.has_left(ip("10.0.0.1")));
        for number in 2..40 {
            listed(&format!("10.0.0.{number}"), &mut site);
            assert!(site.has_left(ip(&format!("10.0.0.{}", number - 1))), "{site:?}");
        }
        assert!(site.left.len() <= MOST_LEFT);
    }
}
