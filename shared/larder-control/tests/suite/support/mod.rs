//! ElastiCache's API on the loopback: takes signed forms over HTTP, answers the XML it was given, and remembers both.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// The API, listening on a port of its own. Its threads end with their connections, the last with the process.
pub(crate) struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    replies: BTreeMap<&'static str, VecDeque<Reply>>,
    requests: Vec<Request>,
    open: usize,
}

/// A request as it came: the fields of its form, and its signature.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) authorization: String,
}

impl Request {
    /// The field `name`; nothing if it was not sent.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// What is answered to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Http(u16, String),
    /// Nothing, for as long as the caller waits.
    Silence,
    /// The end of the connection.
    Hangup,
}

impl FakeApi {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&served);
                thread::spawn(move || {
                    state.lock().unwrap().open += 1;
                    // A caller that goes away is none of ours.
                    _ = serve(stream, &state);
                    state.lock().unwrap().open -= 1;
                });
            }
        });
        Self { address, state }
    }

    /// What `AWS_ENDPOINT_URL` says.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the requests of `action` with `replies`, one after the other, the last one again and again.
    pub(crate) fn answer(&self, action: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.state().replies.insert(action, replies.into_iter().collect());
    }

    /// The requests of `action` so far.
    pub(crate) fn requests(&self, action: &str) -> Vec<Request> {
        let state = self.state();
        state.requests.iter().filter(|request| request.field("Action") == action).cloned().collect()
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.state().open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = read(&mut reader)?;
        let reply = reply(&mut state.lock().unwrap(), request);
        match reply {
            Reply::Http(status, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                writer.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
            }
            Reply::Silence => drop(reader.read(&mut [0])?),
            Reply::Hangup => return Ok(()),
        }
    }
}

fn reply(state: &mut State, request: Request) -> Reply {
    let action = request.field("Action").to_owned();
    state.requests.push(request);
    let replies =
        state.replies.get_mut(action.as_str()).unwrap_or_else(|| panic!("{action} is not expected"));
    if replies.len() > 1 {
        return replies.pop_front().unwrap();
    }
    replies[0].clone()
}

fn read(reader: &mut impl BufRead) -> io::Result<Request> {
    let (mut len, mut authorization) = (0, String::new());
    for number in 0.. {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(": ") {
            None if number == 0 => assert_eq!(line, "POST / HTTP/1.1\r\n"),
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.parse().unwrap()
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.clone_into(&mut authorization)
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.replace("%3A", ":"))).collect();
    Ok(Request { fields, authorization })
}

/// An error as ElastiCache writes it.
pub(crate) fn error(status: u16, code: &str) -> Reply {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    Reply::Http(
        status,
        format!(
            "<ErrorResponse xmlns=\"{XMLNS}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
             <Message>told with {code}</Message></Error><RequestId>58d0</RequestId></ErrorResponse>"
        ),
    )
}

/// The answer to `action` with `result` in it.
pub(crate) fn answer(action: &str, result: &str) -> Reply {
    Reply::Http(
        200,
        format!(
            "<{action}Response xmlns=\"{XMLNS}\"><{action}Result>{result}</{action}Result>\
             <ResponseMetadata><RequestId>58d0</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

/// A cluster of memcached nodes, as `DescribeCacheClusters` tells of it.
#[derive(Clone, Copy)]
pub(crate) struct Cluster {
    pub(crate) status: &'static str,
    pub(crate) nodes: &'static [&'static str],
    /// The inside of `PendingModifiedValues`.
    pub(crate) pending: &'static str,
}

impl Cluster {
    /// The answer that tells of it alone.
    pub(crate) fn answer(&self) -> Reply {
        let nodes: String = self.nodes.iter().map(|id| node(id)).collect();
        let (status, count, pending) = (self.status, self.nodes.len(), self.pending);
        answer(
            "DescribeCacheClusters",
            &format!(
                "<CacheClusters><CacheCluster>\
                 <CacheClusterId>air</CacheClusterId>\
                 <ConfigurationEndpoint><Port>11211</Port><Address>air.x1.cfg.euw1.cache.amazonaws.com</Address></ConfigurationEndpoint>\
                 <CacheNodeType>cache.t4g.small</CacheNodeType>\
                 <Engine>memcached</Engine>\
                 <EngineVersion>1.6.22</EngineVersion>\
                 <CacheClusterStatus>{status}</CacheClusterStatus>\
                 <NumCacheNodes>{count}</NumCacheNodes>\
                 <PendingModifiedValues>{pending}</PendingModifiedValues>\
                 <NotificationConfiguration><TopicArn>arn:aws:sns:eu-west-1:123456789012:air</TopicArn>\
                 <TopicStatus>active</TopicStatus></NotificationConfiguration>\
                 <CacheNodes>{nodes}</CacheNodes>\
                 <TransitEncryptionEnabled>true</TransitEncryptionEnabled>\
                 </CacheCluster></CacheClusters>"
            ),
        )
    }
}

fn node(id: &str) -> String {
    format!(
        "<CacheNode><CacheNodeId>{id}</CacheNodeId><CacheNodeStatus>available</CacheNodeStatus>\
         <Endpoint><Port>11211</Port><Address>air.x1.{id}.euw1.cache.amazonaws.com</Address></Endpoint>\
         <ParameterGroupStatus>in-sync</ParameterGroupStatus></CacheNode>"
    )
}

const XMLNS: &str = "http://elasticache.amazonaws.com/doc/2015-02-02/";
