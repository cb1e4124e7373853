//! An origin that notes how it is used, and answers when it is told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use larder_cache::LoadFault;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::PATIENCE;

/// An origin. Every method that answers [`Loaded`] is one call to it.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The indices of every call.
    calls: Mutex<Vec<Vec<usize>>>,
    begun: watch::Sender<usize>,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
    gate: Semaphore,
}

/// What the origin says when it fails.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Broken;

/// The origin itself is out of order.
impl LoadFault for Broken {
    fn is_outage(&self) -> bool {
        true
    }
}

/// What an environment says that cannot reach the origin.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Unreachable;

impl LoadFault for Unreachable {
    fn is_outage(&self) -> bool {
        false
    }
}

type Loaded<T> = Result<T, Broken>;

impl Origin {
    /// One that answers at once.
    pub(crate) fn new() -> Self {
        let origin = Self::shut();
        origin.open();
        origin
    }

    /// One that lets everyone wait until it is opened.
    pub(crate) fn shut() -> Self {
        Self {
            calls: Mutex::default(),
            begun: watch::Sender::new(0),
            under_way: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        }
    }

    /// Answers `text`.
    pub(crate) async fn value(&self, text: &str) -> Loaded<Option<Bytes>> {
        self.call(vec![0]).await;
        Ok(Some(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Says that there is no such record.
    pub(crate) async fn no_record(&self) -> Loaded<Option<Bytes>> {
        self.call(vec![0]).await;
        Ok(None)
    }

    /// Answers `text` and the index, for every index.
    pub(crate) async fn values(&self, text: &str, indices: Vec<usize>) -> Loaded<Vec<Option<Bytes>>> {
        self.call(indices.clone()).await;
        Ok(indices.into_iter().map(|index| Some(format!("{text} {index}").into())).collect())
    }

    /// Answers a value with all that the origin says of it.
    pub(crate) async fn loaded(&self, loaded: larder_cache::Loaded) -> Loaded<Option<larder_cache::Loaded>> {
        self.call(vec![0]).await;
        Ok(Some(loaded))
    }

    /// Fails.
    pub(crate) async fn failure(&self) -> Loaded<Option<Bytes>> {
        self.call(vec![0]).await;
        Err(Broken)
    }

    /// Fails for all of them.
    pub(crate) async fn failures(&self, indices: Vec<usize>) -> Loaded<Vec<Option<Bytes>>> {
        self.call(indices).await;
        Err(Broken)
    }

    async fn call(&self, indices: Vec<usize>) {
        let _call = Call::begin(self);
        self.calls.lock().unwrap().push(indices);
        self.begun.send_modify(|begun| *begun += 1);
        drop(self.gate.acquire().await.unwrap());
        // So that two calls that may be under way at once are.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets everyone through from now on.
    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until `count` calls have begun.
    pub(crate) async fn begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        let begun = timeout(PATIENCE, begun.wait_for(|begun| *begun >= count)).await;
        begun.expect("the origin is called").expect("the origin is there");
    }

    /// The indices that were asked for, call by call.
    pub(crate) fn calls(&self) -> Vec<Vec<usize>> {
        self.calls.lock().unwrap().clone()
    }

    /// How many calls were under way at once at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

/// A call that is under way, until it ends or is dropped.
struct Call<'a>(&'a Origin);

impl<'a> Call<'a> {
    fn begin(origin: &'a Origin) -> Self {
        let under_way = origin.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        origin.most_at_once.fetch_max(under_way, Ordering::SeqCst);
        Self(origin)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}
