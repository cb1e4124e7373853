//! Asking name servers for the addresses of a name: in the caller, so that nothing waits on when the caller leaves.
//!
//! The system's resolver (`getaddrinfo`) blocks a thread for as long as its own times say, 5 to 30 seconds, and whoever
//! ends a process waits for that thread. So name servers are asked directly.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::{Family, Question, Reply};
use crate::race::first_of;
use crate::resolv_conf::ResolvConf;

/// The addresses of a name, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    /// How long they are good by what the server says.
    pub(crate) good_for: Duration,
}

/// The addresses of `host` by the servers of `conf`; the caller bounds the time.
///
/// A question that a server leaves unanswered goes to the next one, or to the same again, after [`FIRST_PAUSE`], then
/// after twice that, and so on; the answer to any of them counts. What is no name with a suffix is passed over. A name that
/// no server can find out ends the search: behind the next suffix there may be another cluster.
pub(crate) async fn look_up(conf: &ResolvConf, host: &str) -> io::Result<Found> {
    for name in conf.names(host).iter().filter(|name| is_name(name) || *name == host) {
        let servers = conf.servers.iter().copied().cycle().take(MOST_QUESTIONS.max(conf.servers.len()));
        let attempts = servers.map(|server| ask(server, name));
        let pauses = (0..MOST_QUESTIONS as u32).map(|number| FIRST_PAUSE * 2u32.pow(number));
        if let Some(found) = first_of(attempts, pauses).await.transpose()?.flatten() {
            return Ok(found);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Whether a question can be asked for `name`.
fn is_name(name: &str) -> bool {
    Question::new(0, name, Family::V4).is_some()
}

/// Asks one server for both kinds of addresses; `None` where the name has none.
async fn ask(server: SocketAddr, name: &str) -> io::Result<Option<Found>> {
    let question = |family| Question::new(fastrand::u16(..), name, family).ok_or(io::ErrorKind::InvalidInput);
    let questions = [question(Family::V6)?, question(Family::V4)?];
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    for question in &questions {
        socket.send(question.message()).await?;
    }
    let mut replies = [None, None];
    let mut datagram = [0; MOST_DATAGRAM_BYTES];
    for _ in 0..MOST_DATAGRAMS {
        let received = socket.recv(&mut datagram);
        let len = if replies.iter().any(|reply| is_found(reply) || *reply == Some(Reply::Truncated)) {
            // One family is enough, if the other takes longer.
            match timeout(OTHER_FAMILY, received).await {
                Ok(len) => len?,
                Err(_) => break,
            }
        } else {
            received.await?
        };
        for (question, reply) in questions.iter().zip(&mut replies) {
            if let Some(told) = question.reply(&datagram[..len]) {
                *reply = Some(told);
            }
        }
        if replies.iter().all(Option::is_some) {
            break;
        }
    }
    for (number, question) in questions.iter().enumerate() {
        if replies[number] != Some(Reply::Truncated) {
            continue;
        }
        let asked = ask_over_tcp(server, question);
        if replies.iter().any(is_found) {
            // One family is enough here as well: TCP may be shut off on the way.
            let told = timeout(OTHER_FAMILY, asked).await;
            replies[number] = told.ok().and_then(Result::ok).or(Some(Reply::Truncated));
        } else {
            replies[number] = Some(asked.await?);
        }
    }
    together(replies)
}

/// Asks `question` over TCP, for an answer that is too long for a datagram.
async fn ask_over_tcp(server: SocketAddr, question: &Question) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let message = question.message();
    // RFC 1035, section 4.2.2: the length goes before it.
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat()).await?;
    let mut reply = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut reply).await?;
    question
        .reply(&reply)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no reply to what was asked"))
}

fn is_found(reply: &Option<Reply>) -> bool {
    matches!(reply, Some(Reply::Addresses(..)))
}

/// What the replies to both questions come to; `None` where the name has no address.
fn together(replies: [Option<Reply>; 2]) -> io::Result<Option<Found>> {
    let (mut addresses, mut ttl, mut failure) = (Vec::new(), u32::MAX, None);
    for reply in replies {
        match reply {
            Some(Reply::Addresses(found, good_for)) => {
                addresses.extend(found);
                ttl = ttl.min(good_for);
            }
            Some(Reply::Nothing) => {}
            Some(Reply::Failed(code)) => failure = Some(format!("the name server failed with code {code}")),
            Some(Reply::Truncated) | None => failure = Some("the name server has not answered".to_owned()),
        }
    }
    match failure {
        _ if !addresses.is_empty() => {
            Ok(Some(Found { addresses, good_for: Duration::from_secs(ttl.into()) }))
        }
        Some(failure) => Err(io::Error::other(failure)),
        None => Ok(None),
    }
}

/// When a question is asked again that has not been answered: much later than a server takes that knows the name.
const FIRST_PAUSE: Duration = Duration::from_millis(80);
/// How often a name is asked for, with few servers.
const MOST_QUESTIONS: usize = 4;
/// How long the addresses of one family wait for those of the other: RFC 8305, section 3.
const OTHER_FAMILY: Duration = Duration::from_millis(50);
/// Datagrams that are read from one socket, whatever they say.
const MOST_DATAGRAMS: usize = 32;
/// Without EDNS a server is to send 512 bytes at most; some, as those of containers, pass on whatever they get.
const MOST_DATAGRAM_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_family_are_enough_and_a_failure_counts_without_any() {
        let addresses = || Some(Reply::Addresses(vec![Ipv4Addr::LOCALHOST.into()], 5));
        for (replies, expected) in [
            ([addresses(), Some(Reply::Nothing)], Ok(Some(5))),
            ([None, addresses()], Ok(Some(5))),
            ([Some(Reply::Failed(2)), addresses()], Ok(Some(5))),
            ([Some(Reply::Nothing), Some(Reply::Nothing)], Ok(None)),
            ([Some(Reply::Nothing), Some(Reply::Failed(2))], Err(())),
            ([Some(Reply::Nothing), None], Err(())),
        ] {
            let told = format!("{replies:?}");
            let found = together(replies).map(|found| Some(found?.good_for.as_secs())).map_err(drop);
            assert_eq!(found, expected, "{told}");
        }
    }
}
