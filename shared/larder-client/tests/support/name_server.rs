//! A name server on the loopback, over UDP and TCP, that answers as the test wants.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// A name server, and a file that names it. It ends with its owner.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Told>>,
    dir: TempDir,
    tasks: [AbortHandle; 2],
}

struct Told {
    names: HashMap<String, Vec<IpAddr>>,
    manner: Manner,
    failing: Option<String>,
    questions: usize,
}

/// How questions are answered that come by UDP.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// At once.
    Well,
    /// At once, but for the next so many, which are lost.
    Losing(usize),
    /// Not at all.
    Silent,
    /// So much later.
    Late(Duration),
    /// By a failure (`SERVFAIL`).
    Failing,
    /// By asking to come by TCP.
    ByTcp,
    /// Well, but for IPv6, which is asked to come by TCP, where nothing is said or the connection is ended.
    V6ByTcp { is_tcp_silent: bool },
    /// By asking to come by TCP for IPv4, and not at all for IPv6.
    V4ByTcp,
}

impl NameServer {
    pub(crate) async fn start(names: &[(&str, &[IpAddr])]) -> Self {
        // A port that is free for both.
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = udp.local_addr().unwrap();
        let names = names.iter().map(|(name, ips)| ((*name).to_owned(), ips.to_vec())).collect();
        let told = Arc::new(Mutex::new(Told { names, manner: Manner::Well, failing: None, questions: 0 }));
        let tasks = [
            tokio::spawn(serve_udp(Arc::new(udp), told.clone())).abort_handle(),
            tokio::spawn(serve_tcp(tcp, told.clone())).abort_handle(),
        ];
        let server = Self { address, told, dir: TempDir::new().unwrap(), tasks };
        std::fs::write(server.resolv_conf(), format!("nameserver [127.0.0.1]:{}\n", address.port())).unwrap();
        server
    }

    /// A file that names this server.
    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.dir.path().join("resolv.conf")
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, manner: Manner) {
        self.told().manner = manner;
    }

    /// Gives `name` other addresses from now on.
    pub(crate) fn rename(&self, name: &str, ips: &[IpAddr]) {
        self.told().names.insert(name.to_owned(), ips.to_vec());
    }

    /// Fails for `name` from now on.
    pub(crate) fn fail(&self, name: &str) {
        self.told().failing = Some(name.to_owned());
    }

    /// How many questions came by UDP so far.
    pub(crate) fn questions(&self) -> usize {
        self.told().questions
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, told: Arc<Mutex<Told>>) {
    let mut question = [0; 512];
    while let Ok((len, from)) = socket.recv_from(&mut question).await {
        let (reply, pause) = {
            let mut told = lock(&told);
            told.questions += 1;
            let well = reply_to(&question[..len], &told.names);
            let (name, kind) = asked(&question[..len]);
            match told.manner {
                _ if told.failing == Some(name) => (failure(&question[..len]), Duration::ZERO),
                Manner::V6ByTcp { .. } if kind == 28 => (cut_short(&question[..len]), Duration::ZERO),
                Manner::V6ByTcp { .. } => (well, Duration::ZERO),
                Manner::V4ByTcp if kind == 28 => continue,
                Manner::V4ByTcp => (cut_short(&question[..len]), Duration::ZERO),
                Manner::Well => (well, Duration::ZERO),
                Manner::Losing(0) => (well, Duration::ZERO),
                Manner::Losing(more) => {
                    told.manner = Manner::Losing(more - 1);
                    continue;
                }
                Manner::Silent => continue,
                Manner::Late(pause) => (well, pause),
                Manner::Failing => (failure(&question[..len]), Duration::ZERO),
                Manner::ByTcp => (cut_short(&question[..len]), Duration::ZERO),
            }
        };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            sleep(pause).await;
            // Whoever asked may have left.
            let _ = socket.send_to(&reply, from).await;
        });
    }
}

async fn serve_tcp(listener: TcpListener, told: Arc<Mutex<Told>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            let manner = lock(&told).manner;
            if let Manner::V6ByTcp { is_tcp_silent } = manner {
                if is_tcp_silent {
                    std::future::pending::<()>().await;
                }
                return;
            }
            let mut question = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut question).await.unwrap();
            let reply = reply_to(&question, &lock(&told).names);
            stream.write_all(&(reply.len() as u16).to_be_bytes()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        });
    }
}

/// The reply to a question for A (1) or AAAA (28): the addresses of its family, or that there is no such name.
fn reply_to(question: &[u8], names: &HashMap<String, Vec<IpAddr>>) -> Vec<u8> {
    let (name, kind) = asked(question);
    let Some(ips) = names.get(&name) else { return reply(question, 0x8183, &[]) };
    let records = ips.iter().filter_map(|ip| match (kind, ip) {
        (1, IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
        (28, IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
        _ => None,
    });
    reply(question, 0x8180, &records.collect::<Vec<_>>())
}

fn failure(question: &[u8]) -> Vec<u8> {
    reply(question, 0x8182, &[])
}

fn cut_short(question: &[u8]) -> Vec<u8> {
    reply(question, 0x8380, &[])
}

fn reply(question: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let (_, kind) = asked(question);
    let mut reply = question.to_vec();
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for record in records {
        // The name of the question, class IN, a minute.
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 60]);
        reply.extend((record.len() as u16).to_be_bytes());
        reply.extend(record);
    }
    reply
}

/// The name and the type that are asked for.
fn asked(question: &[u8]) -> (String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let len = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..=at + len]).into_owned());
        at += 1 + len;
    }
    (labels.join("."), u16::from_be_bytes([question[at + 1], question[at + 2]]))
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
