//! One HTTP POST to a function on this machine or near it.
//!
//! Written by hand because the task is this small: one request on one connection, no redirect, no TLS, and of the reply
//! only the status counts. An HTTP client would be the largest dependency of this crate.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The address at which a function takes events, such as
/// `http://127.0.0.1:9000/2015-03-31/functions/ring-refresh/invocations`.
///
/// ```
/// use larder_local::FunctionUrl;
/// assert!("http://127.0.0.1:9000/2015-03-31/functions/read/invocations".parse::<FunctionUrl>().is_ok());
/// assert!("https://example.com/".parse::<FunctionUrl>().is_err());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FunctionUrl {
    /// `host:port`, as in the `Host` header.
    authority: String,
    /// The path, its slash and the query included.
    path: String,
}

impl FromStr for FunctionUrl {
    type Err = InvalidFunctionUrl;

    fn from_str(text: &str) -> Result<Self, InvalidFunctionUrl> {
        let rest = text.strip_prefix("http://").ok_or(InvalidFunctionUrl)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty()
            || text.bytes().any(|byte| byte <= b' ' || byte >= 0x7f)
            || text.contains(['@', '#'])
        {
            return Err(InvalidFunctionUrl);
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { authority: authority.into(), path: path.into() })
    }
}

impl fmt::Display for FunctionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl FunctionUrl {
    /// The authority with the port that HTTP means where none is written.
    fn address(&self) -> String {
        let host_end = self.authority.rfind(']').map_or(0, |at| at + 1);
        if self.authority[host_end..].contains(':') {
            self.authority.clone()
        } else {
            format!("{}:80", self.authority)
        }
    }
}

/// A text that is no address of a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a function's address looks like http://127.0.0.1:9000/2015-03-31/functions/NAME/invocations")]
pub struct InvalidFunctionUrl;

/// Posts `body`, which is JSON, and returns the status of the reply.
///
/// Bounds: [`TIMEOUT`] for the whole exchange, [`MAX_REPLY`] bytes of reply.
pub(crate) async fn post(url: &FunctionUrl, body: &[u8]) -> io::Result<u16> {
    timeout(TIMEOUT, exchange(url, body)).await?
}

async fn exchange(url: &FunctionUrl, body: &[u8]) -> io::Result<u16> {
    let mut stream = TcpStream::connect(url.address()).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        url.path,
        url.authority,
        body.len(),
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    let mut reply = Vec::new();
    stream.take(MAX_REPLY).read_to_end(&mut reply).await?;
    status(&reply).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the reply is not HTTP"))
}

/// The status in `HTTP/1.1 200 OK`.
fn status(reply: &[u8]) -> Option<u16> {
    let code = reply.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    str::from_utf8(code).ok()?.parse().ok()
}

/// A function under `cargo lambda watch` is compiled before its first answer.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What Lambda answers to an invocation at most.
const MAX_REPLY: u64 = 6 * 1024 * 1024 + 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_path_and_gets_a_port() {
        check("http://127.0.0.1:9000/a/b?c", "127.0.0.1:9000", "/a/b?c");
        check("http://localhost", "localhost:80", "/");
        check("http://[::1]/x", "[::1]:80", "/x");
        check("http://[::1]:9000/x", "[::1]:9000", "/x");
    }

    #[test]
    fn an_address_that_could_break_the_request_is_refused() {
        for text in
            ["", "http://", "https://a/", "http:///x", "http://a/ b", "http://a/\r\nx: y", "http://u@a/"]
        {
            assert_eq!(text.parse::<FunctionUrl>(), Err(InvalidFunctionUrl), "{text:?}");
        }
    }

    #[test]
    fn a_reply_without_a_status_is_no_answer() {
        assert_eq!(status(b"HTTP/1.1 202 Accepted\r\n\r\n"), Some(202));
        for reply in [&b""[..], b"HTTP/1.1", b"HTTP/1.1 20", b"ERROR\r\n", b"HTTP/1.1 abc\r\n"] {
            assert_eq!(status(reply), None, "{}", reply.escape_ascii());
        }
    }

    #[track_caller]
    fn check(text: &str, address: &str, path: &str) {
        let url: FunctionUrl = text.parse().unwrap();
        assert_eq!((url.address().as_str(), url.path.as_str()), (address, path));
    }
}
