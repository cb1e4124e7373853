//! MiniStack, an emulator of AWS that runs as a process of its own, and calls of its SQS past our own code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The emulator; it ends with the test.
pub(crate) struct Emulator {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Emulator {
    /// Starts it on a port of its own and waits until it answers.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/emulator/bin/ministack");
        let mut command = Command::new(&program);
        command.current_dir(&directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).env("PERSIST_STATE", "0");
        command.env("TMPDIR", directory.path()).env("MINISTACK_REGION", REGION);
        let child = command.spawn();
        let child =
            child.unwrap_or_else(|wrong| panic!("tools/prepare emulator: {}: {wrong}", program.display()));
        let mut emulator = Self { child, port, _directory: directory };
        emulator.wait_until_it_answers();
        emulator
    }

    /// Makes a queue; its URL.
    pub(crate) fn create_queue(&self, name: &str) -> String {
        self.call("CreateQueue", &json!({ "QueueName": name }));
        self.url_of(name)
    }

    /// The URL that a queue called `name` has, if there is one.
    pub(crate) fn url_of(&self, name: &str) -> String {
        format!("{}/000000000000/{name}", self.endpoint())
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bodies of all messages that wait in the queue at `url`.
    pub(crate) fn drain(&self, url: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let asked = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 600 });
            let answer = self.call("ReceiveMessage", &asked);
            let Some(messages) = answer["Messages"].as_array().filter(|messages| !messages.is_empty()) else {
                return bodies;
            };
            bodies.extend(messages.iter().map(|message| message["Body"].as_str().unwrap().to_owned()));
        }
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert_eq!(self.child.try_wait().unwrap(), None, "the emulator did not start");
            assert!(Instant::now() < deadline, "the emulator does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn call(&self, action: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=nobody/20260131/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0\r\n\
             content-type: application/x-amz-json-1.0\r\nx-amz-target: AmazonSQS.{action}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{action}: {reply}");
        // In one piece or in chunks, the object stands between its braces.
        let (from, to) = (body.find('{').unwrap(), body.rfind('}').unwrap());
        serde_json::from_str(&body[from..=to]).unwrap_or_else(|wrong| panic!("{action}: {wrong}: {reply}"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A server that gives each call, on a connection of its own, the next of its answers, and then no more.
pub(crate) struct Script {
    port: u16,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Script {
    pub(crate) fn start<'a>(answers: impl IntoIterator<Item = &'a str>) -> Self {
        let answers: Vec<_> = answers.into_iter().map(str::to_owned).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bodies);
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                heard.lock().unwrap().push(read_body(&stream));
                let head =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n";
                stream
                    .write_all(format!("{head}content-length: {}\r\n\r\n{answer}", answer.len()).as_bytes())
                    .unwrap();
            }
        });
        Self { port, bodies }
    }

    pub(crate) fn queue_url(&self) -> String {
        format!("http://127.0.0.1:{}/000000000000/q", self.port)
    }

    /// What was asked so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

fn read_body(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut len = 0;
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) const REGION: &str = "eu-west-1";
