//! What is in flight on one connection, and in which order the replies come.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use larder_meta::{Limits, ProtocolError, VERSION};

use crate::NodeError;
use crate::answer::{Answer, Awaited, Progress};
use crate::incoming::Incoming;
use crate::moment::Moment;
use crate::stream::Stream;

/// Whether a connection may be used after a while of rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fitness {
    /// In use, or used just now.
    Good,
    /// It has rested, and looks alive; the way to the node may have forgotten it all the same.
    Rested,
    /// Failed, closed by the node, or idle for too long.
    Gone,
}

/// The exchanges that share a connection, and the bytes on their way; see [`connection`](crate::connection).
///
/// Whoever holds it may move the bytes for all.
#[derive(Debug)]
pub(crate) struct Pipeline {
    stream: Stream,
    limits: Limits,
    outgoing: BytesMut,
    incoming: Incoming,
    /// Exchanges in the order of their replies; the front one has the number `first`.
    places: VecDeque<Place>,
    first: u64,
    /// How many of `places` have been answered, wherever their answer is by now.
    decoded: usize,
    /// How many of `places` somebody waits for.
    waiting: usize,
    /// How many answers have not been fetched yet.
    pub(crate) answered: usize,
    /// Who polled the stream last, and so is woken by it, or has been woken to do so.
    driver: Option<u64>,
    /// Who will write `outgoing` once the ready tasks have had their turn.
    writer: Option<u64>,
    pub(crate) failure: Option<NodeError>,
    is_greeted: bool,
    /// When the last request was made.
    last_used: Moment,
    /// When it counts as rested, if none is made until then; told from `last_used` the first time.
    rests_from: Option<Moment>,
}

/// The place of an exchange in the order of replies.
#[derive(Debug)]
struct Place {
    awaited: Awaited,
    has_data: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Somebody waits, or is about to.
    Waiting(Option<Waker>),
    /// The answer is here for the one who waits.
    Settled(Result<Answer, NodeError>),
    /// Nobody waits any more.
    Dropped,
}

impl Pipeline {
    /// Takes an open stream, and asks the version of the engine at its other end along with the first request.
    pub(crate) fn new(stream: Stream, limits: Limits) -> Self {
        let mut outgoing = BytesMut::with_capacity(FIRST_BUFFER_BYTES);
        outgoing.extend_from_slice(VERSION);
        let greeting = Place { awaited: Awaited::Greeting, has_data: false, state: State::Dropped };
        Self {
            stream,
            limits,
            outgoing,
            incoming: Incoming::with_capacity(FIRST_BUFFER_BYTES),
            places: VecDeque::from([greeting]),
            first: 0,
            decoded: 0,
            waiting: 0,
            answered: 0,
            driver: None,
            writer: None,
            failure: None,
            is_greeted: false,
            last_used: Moment::now(),
            rests_from: None,
        }
    }

    /// Whether the engine has told its version.
    pub(crate) fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// The address that it leads to; asks the socket itself.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.stream.peer()
    }

    /// Whether it may be used at the moment `now`; see [`Connection::fitness`](crate::connection::Connection::fitness).
    pub(crate) fn fitness(&mut self, now: Moment, look_after: Duration, most: Duration) -> Fitness {
        if self.failure.is_some() {
            return Fitness::Gone;
        }
        if let Some(error) = self.unasked_bytes() {
            self.fail(error);
            return Fitness::Gone;
        }
        if self.waiting > 0 || !self.has_rested(now, look_after) {
            self.used_at(now, look_after);
            return Fitness::Good;
        }
        if now.since(&self.last_used) <= most && !self.stream.is_closed() {
            self.used_at(now, look_after);
            return Fitness::Rested;
        }
        self.fail(lost(None));
        Fitness::Gone
    }

    /// Gives a request, written by `encode`, its place in the order of replies; `None` if it has ended.
    pub(crate) fn enter(
        &mut self,
        has_data: bool,
        encode: impl FnOnce(&mut BytesMut) -> Awaited,
    ) -> Option<u64> {
        if self.places.len() >= MOST_PLACES {
            self.fail(lost(None));
        }
        if self.failure.is_some() {
            return None;
        }
        let number = self.first + self.places.len() as u64;
        let awaited = encode(&mut self.outgoing);
        self.places.push_back(Place { awaited, has_data, state: State::Waiting(None) });
        self.waiting += 1;
        Some(number)
    }

    /// Whether others wait, or are about to ask more, so that it pays to let them write along.
    pub(crate) fn is_busy(&self) -> bool {
        self.failure.is_none() && self.waiting + self.answered > 1
    }

    /// The error for bytes that came while nothing was asked: they would be taken for the answer to what is asked
    /// next, and every later answer for the one after.
    fn unasked_bytes(&mut self) -> Option<NodeError> {
        let is_at_rest = self.decoded == self.places.len() && self.outgoing.is_empty();
        let has_come = is_at_rest && self.stream.read_at_hand(&mut self.incoming.bytes) > 0;
        has_come.then(|| unasked(&self.incoming.bytes))
    }

    fn used_at(&mut self, now: Moment, look_after: Duration) {
        self.last_used = now;
        self.rests_from = Some(now.plus(look_after));
    }

    fn has_rested(&self, now: Moment, look_after: Duration) -> bool {
        let rests_from = self.rests_from.unwrap_or_else(|| self.last_used.plus(look_after));
        now.has_reached(&rests_from)
    }

    /// Lets the ready tasks append their requests before one of them writes.
    pub(crate) fn write_soon(&mut self, number: u64, cx: &Context<'_>) {
        if self.writer.is_none() {
            self.writer = Some(number);
            cx.waker().wake_by_ref();
        }
        self.wait(number, cx);
    }

    pub(crate) fn is_settled(&self, number: u64) -> bool {
        !matches!(self.place(number), Some(Place { state: State::Waiting(_), .. }))
    }

    /// Writes what is due, then reads and decodes until the answer for `number` is here or nothing comes.
    pub(crate) fn drive(&mut self, number: u64, cx: &mut Context<'_>) {
        self.driver = Some(number);
        // Who is awake need not be woken: it would cost a turn of the runtime.
        if let Some(Place { state: State::Waiting(waker), .. }) = self.place_mut(number) {
            *waker = None;
        }
        if let Err(error) = self.write(cx).and_then(|()| self.read(number, cx)) {
            self.fail(error);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), NodeError> {
        self.writer = None;
        while !self.outgoing.is_empty() {
            match self.stream.poll_write(cx, &self.outgoing) {
                Poll::Ready(Ok(0)) => return Err(lost(None)),
                Poll::Ready(Ok(len)) => self.outgoing.advance(len),
                Poll::Ready(Err(error)) => return Err(lost(Some(error))),
                Poll::Pending => return Ok(()),
            }
        }
        match self.stream.poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(lost(Some(error))),
            _ => Ok(()),
        }
    }

    fn read(&mut self, number: u64, cx: &mut Context<'_>) -> Result<(), NodeError> {
        loop {
            let missing = self.decode()?;
            if self.is_settled(number) {
                return Ok(());
            }
            self.make_room(missing);
            match self.stream.poll_read(cx, &mut self.incoming.bytes) {
                Poll::Ready(Ok(0)) => return Err(lost(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(lost(Some(error))),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Makes room for what is `missing`, in steps that let many small replies come in one read. The decoder has
    /// compared the declared length behind it with the limit.
    fn make_room(&mut self, missing: usize) {
        let incoming = &mut self.incoming.bytes;
        let spare = incoming.capacity() - incoming.len();
        if spare < missing.max(LEAST_READ_BYTES) {
            incoming.reserve(missing.max(FIRST_BUFFER_BYTES));
        }
    }

    /// Decodes what has come and wakes those whose answer is whole; answers how many bytes are missing at least.
    fn decode(&mut self) -> Result<usize, NodeError> {
        while let Some(place) = self.places.get_mut(self.decoded) {
            let answer = match place.awaited.decode(&mut self.incoming, &self.limits)? {
                Progress::NeedMore { missing } => return Ok(missing),
                Progress::Greeted(version) if version.is_supported() => {
                    self.is_greeted = true;
                    None
                }
                Progress::Greeted(version) => return Err(NodeError::UnsupportedEngine(version)),
                Progress::Whole(answer) => Some(answer),
            };
            let at = self.decoded;
            self.decoded += 1;
            if let Some(answer) = answer {
                let is_unsound = place.has_data && answer.may_have_run_data();
                self.settle(at, Ok(answer));
                if is_unsound {
                    return Err(lost(None));
                }
            }
            self.forget_finished();
        }
        if self.incoming.is_empty() { Ok(0) } else { Err(unasked(&self.incoming.bytes)) }
    }

    /// Leaves `result` for the one who waits at the place `at`, if anyone does.
    fn settle(&mut self, at: usize, result: Result<Answer, NodeError>) {
        let Some(place) = self.places.get_mut(at) else { return };
        let State::Waiting(waker) = &mut place.state else { return };
        let waker = waker.take();
        place.state = State::Settled(result);
        self.waiting -= 1;
        self.answered += 1;
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the connection. Whose reply was being read is told why; the others, that it was lost before theirs.
    pub(crate) fn fail(&mut self, error: NodeError) {
        if self.failure.is_some() {
            return;
        }
        // Whatever goes wrong with the version goes wrong for everyone.
        let concerns_all = !self.is_greeted;
        for at in self.decoded..self.places.len() {
            let is_read = at == self.decoded;
            let error = match &error {
                NodeError::Lost { source, .. } => NodeError::Lost {
                    replied: is_read && (!self.incoming.is_empty() || self.places[at].awaited.has_begun()),
                    source: source.clone(),
                },
                error if is_read || concerns_all => error.clone(),
                _ => lost(None),
            };
            self.settle(at, Err(error));
        }
        self.failure = Some(error);
        self.stream.shut_down();
        // Whoever holds a lease may hold this for long yet.
        (self.outgoing, self.incoming) = (BytesMut::new(), Incoming::default());
    }

    /// Hands out what was settled for `number` and gives up its place.
    pub(crate) fn leave(&mut self, number: u64) -> Option<Result<Answer, NodeError>> {
        let place = self.place_mut(number)?;
        if let State::Waiting(_) = place.state {
            return None;
        }
        let State::Settled(result) = std::mem::replace(&mut place.state, State::Dropped) else { return None };
        self.answered -= 1;
        self.forget_finished();
        self.hand_over(number);
        Some(result)
    }

    pub(crate) fn wait(&mut self, number: u64, cx: &Context<'_>) {
        if let Some(Place { state: State::Waiting(waker), .. }) = self.place_mut(number) {
            match waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => *waker = Some(cx.waker().clone()),
            }
        }
    }

    /// Gives up the place of somebody who does not wait any more.
    pub(crate) fn abandon(&mut self, number: u64) {
        let Some(place) = self.place_mut(number) else { return };
        match std::mem::replace(&mut place.state, State::Dropped) {
            State::Waiting(_) => self.waiting -= 1,
            State::Settled(_) => self.answered -= 1,
            State::Dropped => {}
        }
        // Who has an answer to fetch may have more to ask: the data, for one, after the version.
        if self.waiting + self.answered == 0 && self.decoded < self.places.len() {
            self.fail(lost(None));
        }
        self.forget_finished();
        self.hand_over(number);
    }

    /// Wakes another one who waits, if `number` was the one who moves the bytes.
    fn hand_over(&mut self, number: u64) {
        if self.driver != Some(number) && self.writer != Some(number) {
            return;
        }
        self.driver = None;
        self.writer = None;
        let mut next = (self.first..).zip(&mut self.places).skip(self.decoded);
        let woken = next.find_map(|(number, place)| match &mut place.state {
            State::Waiting(waker) => Some((number, waker.take()?)),
            _ => None,
        });
        if let Some((number, waker)) = woken {
            // It may leave before it is polled; then it is for it to wake the next one.
            self.driver = Some(number);
            waker.wake();
        }
    }

    /// Drops the places at the front that nobody needs any more.
    fn forget_finished(&mut self) {
        let is_over = |place: &Place| matches!(place.state, State::Dropped);
        while (self.decoded > 0 || self.failure.is_some()) && self.places.front().is_some_and(is_over) {
            self.places.pop_front();
            self.first += 1;
            self.decoded = self.decoded.saturating_sub(1);
        }
    }

    fn place(&self, number: u64) -> Option<&Place> {
        self.places.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn place_mut(&mut self, number: u64) -> Option<&mut Place> {
        self.places.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

fn lost(source: Option<io::Error>) -> NodeError {
    NodeError::Lost { replied: false, source: source.map(Arc::new) }
}

/// The error for bytes that nobody asked for.
fn unasked(bytes: &[u8]) -> NodeError {
    let line = bytes[..bytes.len().min(MOST_EXCERPT_BYTES)].escape_ascii().to_string();
    ProtocolError::UnknownReply(line).into()
}

/// Room for a few replies; a longer one makes its own.
const FIRST_BUFFER_BYTES: usize = 16 << 10;
/// With less room than this, a read would often bring half a reply.
const LEAST_READ_BYTES: usize = 4 << 10;
const MOST_EXCERPT_BYTES: usize = 80;
/// With so many requests in flight, a node has been silent for long, and memory is not to be spent on it.
const MOST_PLACES: usize = 1 << 16;
