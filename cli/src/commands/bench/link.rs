//! How the conductor of a run and its environments speak to each other: over a Unix socket.
//!
//! Each message is its length, four bytes with the highest first, and that many bytes of JSON. Where the stream ends,
//! the other side is gone. An environment begins with its number.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind};
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// The sending end of a link; a clone sends over the same.
#[derive(Debug)]
pub(crate) struct Outbox<M>(mpsc::Sender<M>);

impl<M> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Outbox<M> {
    /// Sends `message` after those before; waits while too many are under way.
    ///
    /// That the other side is gone is told by the receiving end, so it is no error here.
    pub(crate) async fn send(&self, message: M) {
        let _ = self.0.send(message).await;
    }
}

/// The receiving end of a link.
#[derive(Debug)]
pub(crate) struct Inbox(BufReader<OwnedReadHalf>);

impl Inbox {
    /// The next message; `None` at the end of the stream.
    pub(crate) async fn next<M: DeserializeOwned>(&mut self) -> io::Result<Option<M>> {
        receive(&mut self.0).await
    }
}

/// Makes a link of `stream`; needs the runtime that its messages are sent on.
fn open<M: Serialize + Send + Sync + 'static>(stream: UnixStream) -> (Outbox<M>, Inbox) {
    let (from, mut to) = stream.into_split();
    let (outbox, mut queue) = mpsc::channel(MOST_WAITING);
    tokio::spawn(async move {
        let mut out = BufWriter::new(&mut to);
        while let Some(message) = queue.recv().await {
            let sent = send(&mut out, &message).await;
            let flushed = if queue.is_empty() { out.flush().await } else { Ok(()) };
            if sent.and(flushed).is_err() {
                // The other side is gone, which the receiving end tells.
                return;
            }
        }
    });
    (Outbox(outbox), Inbox(BufReader::new(from)))
}

/// Reaches the conductor at `socket`, and says that this is the environment `number`.
pub(crate) async fn connect<M>(socket: &Path, number: usize) -> io::Result<(Outbox<M>, Inbox)>
where
    M: Serialize + Send + Sync + 'static,
{
    let mut stream = UnixStream::connect(socket).await?;
    send(&mut stream, &number).await?;
    Ok(open(stream))
}

/// Waits for an environment; answers which one it is.
pub(crate) async fn accept<M>(listener: &UnixListener) -> io::Result<(usize, Outbox<M>, Inbox)>
where
    M: Serialize + Send + Sync + 'static,
{
    let (mut stream, _) = listener.accept().await?;
    let number = receive(&mut stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
    let (outbox, inbox) = open(stream);
    Ok((number, outbox, inbox))
}

async fn send(out: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let len = u32::try_from(json.len()).ok().filter(|len| *len <= MOST_BYTES);
    out.write_u32(len.ok_or_else(too_long)?).await?;
    out.write_all(&json).await
}

async fn receive<M: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<M>> {
    let len = match from.read_u32().await {
        Ok(len) if len <= MOST_BYTES => len,
        Ok(_) => return Err(too_long()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut json = vec![0; len as usize];
    from.read_exact(&mut json).await?;
    Ok(Some(serde_json::from_slice(&json)?))
}

fn too_long() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a message is too long")
}

/// The longest message: all ids at the begin take a fifth of a megabyte.
const MOST_BYTES: u32 = 8 << 20;
/// Messages that may wait to be sent.
const MOST_WAITING: usize = 1024;

#[cfg(test)]
mod tests {
    use super::super::messages::{Order, Report};
    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_in_their_order_and_then_the_stream_ends() {
        let (here, there) = UnixStream::pair().unwrap();
        let ((outbox, _), (_there, mut inbox)) = (open::<Order>(here), open::<Report>(there));
        for call in 0..2000 {
            outbox.send(Order::Loaded { call, flights: vec![(call as u32, "x".repeat(100))] }).await;
            if call % 500 == 0 {
                // Read a part meanwhile.
                check_loaded(inbox.next().await.unwrap(), call / 500);
            }
        }
        drop(outbox);
        for call in 4..2000 {
            check_loaded(inbox.next().await.unwrap(), call);
        }
        assert!(inbox.next::<Order>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_or_cut_short_is_an_error() {
        for bytes in [&[0xff, 0, 0, 0][..], &[0, 0, 0, 9, b'"'][..], &[0, 0, 0, 1, b'x'][..]] {
            assert!(receive::<Order>(&mut &*bytes).await.is_err(), "{bytes:?}");
        }
    }

    #[track_caller]
    fn check_loaded(order: Option<Order>, expected: u64) {
        let Some(Order::Loaded { call, flights }) = order else { panic!("{order:?}") };
        assert_eq!((call, flights[0].1.len()), (expected, 100));
    }
}
