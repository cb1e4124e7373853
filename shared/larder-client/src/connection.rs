//! One connection, shared by all who talk to its node.
//!
//! Exchanges share it as a pipeline: each appends its request to one buffer and waits for its place in the order
//! of replies. There is no task behind it, because nothing may run between invocations: whoever waits moves the
//! bytes, for itself and for the others. So one request alone costs one write and one read, and sixty-four at
//! once cost little more, since those that are ready together leave in one write and their replies come in one
//! read.
//!
//! ```text
//! outgoing  [mg a v][mg b v][ms c …]      ──> node
//! exchanges  a done   b waits   c waits
//! incoming                    [VA 1 …][VA …]  <── node
//! ```
//!
//! - The last one to poll holds the socket's waker. When it is answered or dropped, another one is woken in its
//!   place.
//! - An exchange that is dropped leaves its place behind; its reply is read and thrown away by whoever comes
//!   next. If nobody else waits, the connection is closed: a half reply is never left for a later request.
//! - Once it has failed, a connection stays failed, and everyone who waits is told.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use larder_meta::Limits;

use crate::NodeError;
use crate::answer::{Answer, Awaited};
use crate::moment::Moment;
use crate::pipeline::{Fitness, Pipeline};
use crate::stream::Stream;

/// A connection to one node. Two connections are never equal, whatever their node.
#[derive(Debug)]
pub(crate) struct Connection {
    /// No other connection of this process has it.
    pub(crate) number: u64,
    pipeline: Mutex<Pipeline>,
}

impl Connection {
    /// Takes an open stream, and asks the version of the engine at its other end along with the first request.
    pub(crate) fn new(stream: Stream, limits: Limits) -> Self {
        Self { number: NUMBERS.fetch_add(1, Relaxed), pipeline: Mutex::new(Pipeline::new(stream, limits)) }
    }

    /// Appends a request to the pipeline, written by `encode`, which tells the answer to wait for; `None` if the
    /// connection has ended, and nothing of it is sent.
    ///
    /// `has_data` says that the request carries a data block, which a node that refuses the request may take for
    /// commands. A dropped future takes nothing from others; see the module.
    pub(crate) fn exchange(
        &self,
        has_data: bool,
        encode: impl FnOnce(&mut BytesMut) -> Awaited,
    ) -> Option<Exchange<'_>> {
        let number = self.lock().enter(has_data, encode)?;
        Some(Exchange { connection: self, number, is_new: true, is_over: false })
    }

    /// Whether the engine has told its version. Before that no data may be sent: an engine that is too old would
    /// run it as commands.
    pub(crate) fn is_greeted(&self) -> bool {
        self.lock().is_greeted()
    }

    /// Whether the connection may be used at the moment `now`. One that has been idle for longer than `look_after`
    /// is asked whether the node has closed it; one idle for longer than `most` is closed.
    pub(crate) fn fitness(&self, now: Moment, look_after: Duration, most: Duration) -> Fitness {
        self.lock().fitness(now, look_after, most)
    }

    /// The address that it leads to; `None` where it has ended.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.lock().peer()
    }

    /// Ends the connection for everyone.
    pub(crate) fn close(&self) {
        self.lock().fail(NodeError::unanswered());
    }

    /// Ends the connection if `error` says that a reply did not answer its request: it may be somebody else's, and
    /// so may all that follow.
    pub(crate) fn distrust(&self, error: &NodeError) {
        if matches!(error, NodeError::Protocol(_)) {
            self.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request on its way, and the wait for its answer.
pub(crate) struct Exchange<'c> {
    connection: &'c Connection,
    number: u64,
    is_new: bool,
    is_over: bool,
}

impl Future for Exchange<'_> {
    type Output = Result<Answer, NodeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut pipeline = this.connection.lock();
        let is_new = std::mem::take(&mut this.is_new);
        if is_new && !pipeline.is_settled(this.number) && pipeline.is_busy() {
            pipeline.write_soon(this.number, cx);
            return Poll::Pending;
        }
        if !pipeline.is_settled(this.number) {
            pipeline.drive(this.number, cx);
        }
        let Some(result) = pipeline.leave(this.number) else {
            pipeline.wait(this.number, cx);
            return Poll::Pending;
        };
        this.is_over = true;
        Poll::Ready(result)
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.lock().abandon(self.number);
        }
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use larder_meta::NOOP;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn an_exchange_that_others_got_the_answer_for_is_ready_at_its_first_poll() {
        let (connection, mut node) = pair().await;
        let mut unpolled = ask(&connection);
        node.write_all(b"VERSION 1.6.22\r\nMN\r\nMN\r\n").await.unwrap();
        ask(&connection).await.unwrap();
        let mut writer = ask(&connection);
        assert!(poll(&mut writer, Waker::noop()).is_pending());
        assert!(poll(&mut unpolled, Waker::noop()).is_ready(), "nobody would wake it again");
    }

    #[tokio::test]
    async fn whoever_is_woken_to_move_the_bytes_and_leaves_instead_wakes_the_next_one() {
        let (connection, _node) = pair().await;
        let woken = [(); 3].map(|()| Arc::new(Woken::default()));
        let mut exchanges = [(); 3].map(|()| ask(&connection));
        for at in [2, 1, 0, 2, 1, 0] {
            assert!(poll(&mut exchanges[at], &woken[at].clone().into()).is_pending());
        }
        let [driver, first, second] = exchanges;
        woken[2].0.store(false, Ordering::SeqCst);
        drop(driver);
        drop(first);
        assert!(woken[2].0.load(Ordering::SeqCst), "the last one would wait for ever");
        drop(second);
    }

    #[tokio::test]
    async fn a_connection_is_closed_when_the_last_one_leaves_who_waits_or_has_an_answer_to_fetch() {
        let (connection, mut node) = pair().await;
        let (answered, mut waiting) = (ask(&connection), ask(&connection));
        node.write_all(b"VERSION 1.6.22\r\nMN\r\n").await.unwrap();
        while connection.lock().answered == 0 {
            assert!(poll(&mut waiting, Waker::noop()).is_pending());
            tokio::task::yield_now().await;
        }
        drop(waiting);
        assert!(connection.lock().failure.is_none());
        drop(answered);
        assert!(connection.lock().failure.is_some());
    }

    #[tokio::test]
    async fn a_connection_that_has_ended_takes_no_request() {
        let (connection, _node) = pair().await;
        drop(ask(&connection));
        assert!(connection.exchange(true, |_| panic!("it would never be sent")).is_none());
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn ask(connection: &Connection) -> Exchange<'_> {
        let encode = |out: &mut BytesMut| {
            out.extend_from_slice(NOOP);
            Awaited::Reply
        };
        connection.exchange(false, encode).unwrap()
    }

    fn poll(exchange: &mut Exchange<'_>, waker: &Waker) -> Poll<Result<Answer, NodeError>> {
        Pin::new(exchange).poll(&mut Context::from_waker(waker))
    }

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Connection::new(Stream::Tcp(stream), Limits::default()), listener.accept().await.unwrap().0)
    }
}
