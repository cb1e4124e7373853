//! The notices of changes, as a function receives them.

use larder_local::{LocalCluster, NodeId, Options};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

#[tokio::test]
async fn every_change_posts_its_notice_in_order() {
    let function = Function::start(200);
    let cluster = cluster(&function).await;
    cluster.add_node().await.unwrap();
    cluster.reboot_node(NodeId(1)).await.unwrap();
    cluster.remove_node(None).await.unwrap();
    function.check(&["AddCacheNodeComplete", "CacheNodesRebooted", "RemoveCacheNodeComplete"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_replacement_is_told_twice() {
    let function = Function::start(200);
    let cluster = cluster(&function).await;
    cluster.replace_node(NodeId(1)).await.unwrap();
    function.check(&["CacheNodeReplaceStarted", "CacheNodeReplaceComplete"]);
}

#[tokio::test]
async fn a_function_that_fails_holds_no_change_up() {
    let function = Function::start(500);
    let cluster = cluster(&function).await;
    cluster.add_node().await.unwrap();
    cluster.remove_node(None).await.unwrap();
    function.check(&["AddCacheNodeComplete", "RemoveCacheNodeComplete"]);
}

#[tokio::test]
async fn the_envelope_has_every_field_that_lambda_gives() {
    let function = Function::start(202);
    let cluster = cluster(&function).await;
    cluster.add_node().await.unwrap();
    let event = function.next();
    let record = &event["Records"][0];
    assert_eq!(record["EventSource"], "aws:sns");
    assert_eq!(record["EventVersion"], "1.0");
    assert!(record["EventSubscriptionArn"].is_string());
    let sns = record["Sns"].as_object().unwrap();
    for field in [
        "Type",
        "MessageId",
        "TopicArn",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertUrl",
        "UnsubscribeUrl",
    ] {
        assert!(sns[field].is_string(), "{field}: {event}");
    }
    assert!(sns["Subject"].is_null() && sns["MessageAttributes"].is_object(), "{event}");
}

async fn cluster(function: &Function) -> LocalCluster {
    let notify = Some(function.url.parse().unwrap());
    LocalCluster::start(Options { nodes: 1, notify, ..Options::default() }).await.unwrap()
}

/// A function's address: takes events, answers each with the same status.
struct Function {
    url: String,
    events: Receiver<Value>,
}

impl Function {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = channel();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut reader = BufReader::new(stream);
                let body = read_post(reader.by_ref());
                let reply = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\n{{}}");
                reader.get_mut().write_all(reply.as_bytes()).unwrap();
                if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { url: format!("http://{address}/2015-03-31/functions/ring-refresh/invocations"), events }
    }

    fn next(&self) -> Value {
        self.events.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    #[track_caller]
    fn check(&self, names: &[&str]) {
        for name in names {
            let event = self.next();
            let message = format!(r#"{{"ElastiCache:{name}":"larder"}}"#);
            assert_eq!(event["Records"][0]["Sns"]["Message"], message);
        }
    }
}

fn read_post(mut reader: impl BufRead) -> Vec<u8> {
    let head: Vec<String> =
        reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    assert_eq!(head[0], "POST /2015-03-31/functions/ring-refresh/invocations HTTP/1.1");
    let len = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; len.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    body
}
