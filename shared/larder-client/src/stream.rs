//! The byte stream to a node: TCP, or TLS over it.

use std::io;
use std::net::Shutdown;
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
    pub(crate) fn is_closed(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match SockRef::from(self.tcp()).peek(&mut byte) {
            Ok(0) => true,
            // Session tickets may lie unread on TLS; on TCP nothing may.
            Ok(_) => matches!(self, Self::Tcp(_)),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Ends the stream at once, also for the peer, although the descriptor lives on for a while.
    pub(crate) fn shut_down(&self) {
        // It may have ended by itself.
        let _ = SockRef::from(self.tcp()).shutdown(Shutdown::Both);
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

/// Polls a future that holds no state between polls, such as one read.
fn poll_future<T>(cx: &mut Context<'_>, future: impl Future<Output = T>) -> Poll<T> {
    std::pin::pin!(future).poll(cx)
}
