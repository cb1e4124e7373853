//! The byte stream to a node: TCP, or TLS over it.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// An open stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the peer has closed the stream, or sent what nobody asked for. Asks the socket itself: after a
    /// thaw the runtime has not heard of it yet.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self {
            Self::Tcp(tcp) => {
                let mut byte = [std::mem::MaybeUninit::uninit()];
                let nothing = SockRef::from(&*tcp).peek(&mut byte);
                !nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(tls) => is_tls_closed(tls).unwrap_or(true),
        }
    }

    /// The address that it leads to.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        Some(self.tcp().peer_addr().ok()?.ip())
    }

    /// Ends the stream at once, also for the peer, although the descriptor lives on for a while.
    pub(crate) fn shut_down(&self) {
        // It may have ended by itself.
        let _ = SockRef::from(self.tcp()).shutdown(Shutdown::Both);
    }

    /// Appends to `buffer` what the runtime has heard of already, without waiting; answers how many bytes. Says
    /// nothing of TLS, where session tickets come unasked.
    pub(crate) fn read_at_hand(&mut self, buffer: &mut BytesMut) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.try_read_buf(buffer).unwrap_or(0),
            Self::Tls(_) => 0,
        }
    }

    /// Appends what has come to `buffer`. Ready with 0 at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => poll_future(cx, tcp.read_buf(buffer)),
            Self::Tls(tls) => poll_future(cx, tls.read_buf(buffer)),
        }
    }

    /// Sends the front of `bytes`; answers how many. TLS is flushed as it goes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    /// Sends what TLS holds back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// Takes in what lies unread: session tickets mean nothing, the alert that announces the end does.
fn is_tls_closed(tls: &mut TlsStream<TcpStream>) -> io::Result<bool> {
    let (tcp, session) = tls.get_mut();
    let mut bytes = [0; 4 << 10];
    for _ in 0..MOST_LOOKS {
        let len = match (&*SockRef::from(&*tcp)).read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Ok(0) => return Ok(true),
            read => read?,
        };
        let mut unread = &bytes[..len];
        while !unread.is_empty() {
            session.read_tls(&mut unread)?;
            let state = session.process_new_packets().map_err(io::Error::other)?;
            if state.peer_has_closed() || state.plaintext_bytes_to_read() > 0 {
                return Ok(true);
            }
        }
    }
    Ok(true)
}

/// Polls a future that holds no state between polls, such as one read.
fn poll_future<T>(cx: &mut Context<'_>, future: impl Future<Output = T>) -> Poll<T> {
    std::pin::pin!(future).poll(cx)
}

/// Who has more to say than this after a rest, a few kilobytes each time, says what nobody asked for.
const MOST_LOOKS: usize = 8;
