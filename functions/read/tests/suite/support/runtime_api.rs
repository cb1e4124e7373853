//! Lambda's side of the runtime interface: hands events to one process and takes its answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The interface, listening on a port of its own.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    events: Sender<Event>,
    replies: Receiver<Reply>,
}

/// An event to be handled.
pub(crate) struct Event {
    pub(crate) request_id: &'static str,
    /// Milliseconds since 1970.
    pub(crate) deadline_ms: u64,
    pub(crate) payload: Value,
}

/// What the process sent back: `response` or `error`, and its body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl RuntimeApi {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ((events, to_hand_out), (taken, replies)) = (channel(), channel());
        let to_hand_out = Arc::new(Mutex::new(to_hand_out));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (to_hand_out, taken) = (Arc::clone(&to_hand_out), taken.clone());
                // A connection ends with the process, or with the test.
                thread::spawn(move || serve(stream, &to_hand_out, &taken));
            }
        });
        Ok(Self { address, events, replies })
    }

    /// What `AWS_LAMBDA_RUNTIME_API` says.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Has `event` handled, within ten seconds.
    pub(crate) fn invoke(&self, event: Event) -> Result<Reply> {
        self.send(event)?;
        self.reply()
    }

    /// Hands `event` to the process when it next asks for one.
    pub(crate) fn send(&self, event: Event) -> Result<()> {
        Ok(self.events.send(event)?)
    }

    /// The next reply, within ten seconds.
    pub(crate) fn reply(&self) -> Result<Reply> {
        self.replies.recv_timeout(Duration::from_secs(10)).context("no reply")
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: TcpStream, events: &Mutex<Receiver<Event>>, replies: &Sender<Reply>) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (line, body) = read_request(&mut reader)?;
        if line.starts_with("GET /2018-06-01/runtime/invocation/next ") {
            let Ok(event) = events.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.recv() else {
                return Ok(());
            };
            writer.write_all(&next(&event))?;
        } else if let Some(path) = line.strip_prefix("POST /2018-06-01/runtime/invocation/") {
            let path = path.split(' ').next().unwrap_or_default().to_owned();
            replies.send(Reply { path, body: serde_json::from_slice(&body)? })?;
            writer.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
        } else {
            bail!("unknown request: {line}");
        }
    }
}

/// The request line, and the body.
fn read_request(reader: &mut impl BufRead) -> Result<(String, Vec<u8>)> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        bail!("closed");
    }
    let mut len = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            len = value.trim().parse()?;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    Ok((first.trim_end().to_owned(), body))
}

fn next(event: &Event) -> Vec<u8> {
    let Event { request_id, deadline_ms, payload } = event;
    let payload = payload.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\n\
         lambda-runtime-aws-request-id: {request_id}\r\n\
         lambda-runtime-deadline-ms: {deadline_ms}\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:123456789012:function:read\r\n\
         lambda-runtime-trace-id: Root=1-5f0b-c6d1;Parent=53ab;Sampled=1\r\n\
         content-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        payload.len()
    );
    [head.into_bytes(), payload.into_bytes()].concat()
}
