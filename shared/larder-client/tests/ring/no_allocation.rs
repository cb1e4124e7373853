//! What the ring costs a read in quiet times: no memory, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use larder_client::{Cluster, Config, Endpoint, ReadOptions};
use larder_ring::{Phase, RingDocument, RingNode};

use crate::fleet::{NEVER, NOW_MS, listed, reply, stamped};
use crate::support::endpoint::ConfigEndpoint;
use crate::support::key;
use crate::support::memcached::Memcached;

#[tokio::test]
async fn reads_allocate_nothing_whether_an_item_is_of_this_epoch_or_of_an_older_one() {
    let node = Memcached::start();
    let first =
        RingDocument::first(vec![RingNode::new(node.address.ip().to_string(), node.address.port())], NOW_MS);
    let last = RingDocument { epoch: first.epoch.next(), ..first.clone() };
    assert_eq!(last.phase, Phase::Active);
    let endpoint = ConfigEndpoint::listing(&format!("1\n{}\n", listed(node.address))).await;
    endpoint.answer_document(&reply(&last));
    let (json, epoch) = (String::from_utf8(last.encode()).unwrap(), last.client_flags());
    node.ask(&format!("set {} {epoch} 0 {}\r\n{json}", RingDocument::RING_KEY, json.len()));
    let (host, port) = (endpoint.address.ip().to_string(), endpoint.address.port());
    let config = Config::new(Endpoint::Configuration { host, port });
    let config =
        Config { ring_check_interval: NEVER, discovery_interval: NEVER, look_after_idle: NEVER, ..config };
    let cluster = Cluster::new(config).unwrap();
    for (name, client_flags) in [("new", stamped(&last, 1)), ("old", stamped(&first, 1)), ("unstamped", 1)] {
        let key = key(name);
        node.ask(&format!("set {key} {client_flags} 0 1\r\nv"));
        for _ in 0..WARM_UP {
            assert!(cluster.read(&key, ReadOptions::default()).await.unwrap().item.is_some());
        }
        let before = COUNT.get();
        for _ in 0..COUNTED {
            assert!(cluster.get(&key).await.unwrap().is_some());
            assert!(cluster.read(&key, ReadOptions::default()).await.unwrap().item.is_some());
        }
        assert_eq!(COUNT.get() - before, 0, "{name}");
    }
    let before = COUNT.get();
    drop(vec![1_u8]);
    assert!(COUNT.get() > before, "the counter counts");
}

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged; counting touches only a thread-local cell that
// needs no allocation itself.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: usize = 50;
const COUNTED: usize = 200;
