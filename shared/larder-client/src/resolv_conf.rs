//! Which name servers are asked, and for which names, as the system is set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What `resolv.conf(5)` says, as far as it counts here: the times of its `options` do not, for a call has a deadline.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ResolvConf {
    /// The servers to ask, at least one.
    pub(crate) servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with so many dots is looked for as it is before anything is appended.
    ndots: usize,
}

impl ResolvConf {
    /// Reads the lines of such a file. A server may be written `[address]:port`, as on OpenBSD. Where none is named,
    /// the machine's own is asked, as by the C library.
    pub(crate) fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                Some("search") => conf.search = words.take(MOST_SUFFIXES).map(without_dot).collect(),
                Some("domain") => conf.search = words.take(1).map(without_dot).collect(),
                Some("options") => {
                    let ndots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    conf.ndots = ndots.map_or(conf.ndots, |ndots: usize| ndots.min(MOST_NDOTS));
                }
                _ => {}
            }
        }
        conf.servers.truncate(MOST_SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        conf
    }

    /// The names to look for in turn to find `host`; a dot at its end says that there is only one.
    pub(crate) fn names(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let with_suffix = self.search.iter().filter(|suffix| !suffix.is_empty());
        let mut names: Vec<String> = with_suffix.map(|suffix| format!("{host}.{suffix}")).collect();
        let is_whole = host.matches('.').count() >= self.ndots;
        names.insert(if is_whole { 0 } else { names.len() }, host.to_owned());
        names
    }
}

/// A server; none for an address with a zone (`fe80::1%eth0`), which needs the number of an interface.
fn server(word: &str) -> Option<SocketAddr> {
    match word.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, PORT)),
        Err(_) => {
            let (ip, port) = word.strip_prefix('[')?.rsplit_once("]:")?;
            Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
        }
    }
}

fn without_dot(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

const PORT: u16 = 53;
/// As many as the C library asks.
const MOST_SERVERS: usize = 3;
const MOST_SUFFIXES: usize = 6;
const MOST_NDOTS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_line_by_line_and_three_are_asked() {
        check("nameserver 10.0.0.2\n", &["10.0.0.2:53"]);
        check("# x\n nameserver\t10.0.0.2 # y\nnameserver ::1\n", &["10.0.0.2:53", "[::1]:53"]);
        check("nameserver [127.0.0.1]:5353\nnameserver [::1]:54\n", &["127.0.0.1:5353", "[::1]:54"]);
        check("nameserver 1.1.1.1\n".repeat(5).as_str(), &["1.1.1.1:53"; 3]);
        check("", &["127.0.0.1:53"]);
        check("nameserver fe80::1%eth0\nnameserver x\nnameserver\n", &["127.0.0.1:53"]);
    }

    #[test]
    fn a_name_with_enough_dots_is_looked_for_as_it_is_first() {
        names("", "a", &["a"]);
        names("", "a.b.", &["a.b"]);
        names("search x.y z.\n", "a", &["a.x.y", "a.z", "a"]);
        names("search x.y\n", "a.b", &["a.b", "a.b.x.y"]);
        names("domain x.y\noptions timeout:1 ndots:2\n", "a.b", &["a.b.x.y", "a.b"]);
        names("search x\noptions ndots:99\n", &"a.".repeat(15), &[&"a.".repeat(15)[..29]]);
        names("search .\n", "a", &["a"]);
    }

    #[track_caller]
    fn check(text: &str, servers: &[&str]) {
        let read: Vec<String> = ResolvConf::parse(text).servers.iter().map(ToString::to_string).collect();
        assert_eq!(read, servers, "{text:?}");
    }

    #[track_caller]
    fn names(text: &str, host: &str, expected: &[&str]) {
        assert_eq!(ResolvConf::parse(text).names(host), expected, "{text:?} {host}");
    }
}
