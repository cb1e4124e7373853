//! Keys, one a line, as they come.

use anyhow::bail;
use std::io::{ErrorKind, Read};

/// Hands the lines of `input` to `each`, as many at once as have arrived, without their ends (LF or CRLF).
///
/// An empty line is an empty key: the n-th answer belongs to the n-th line. Bounds: one line has at most [`MAX_LINE`]
/// bytes, and about [`CHUNK`] bytes are held.
pub(crate) fn for_each_batch(
    mut input: impl Read,
    mut each: impl FnMut(&[&[u8]]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut held = Vec::new();
    loop {
        let len = held.len();
        if len > MAX_LINE {
            bail!("a line of more than {MAX_LINE} bytes is no key: give one key a line");
        }
        held.resize(len + CHUNK, 0);
        let read = match input.read(&mut held[len..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                held.truncate(len);
                continue;
            }
            read => read?,
        };
        held.truncate(len + read);
        if read == 0 {
            return if held.is_empty() { Ok(()) } else { each(&[without_cr(&held)]) };
        }
        if let Some(end) = memchr::memrchr(b'\n', &held[len..]).map(|at| len + at) {
            each(&split(&held[..end]))?;
            held.drain(..=end);
        }
    }
}

fn split(lines: &[u8]) -> Vec<&[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', lines).chain([lines.len()]);
    ends.map(|end| without_cr(&lines[std::mem::replace(&mut start, end + 1)..end])).collect()
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

const CHUNK: usize = 256 * 1024;
const MAX_LINE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_end_in_lf_or_crlf_and_the_last_one_in_nothing() {
        check("a\nb\r\nc", &["a", "b", "c"]);
        check("a\n", &["a"]);
        check("", &[]);
    }

    #[test]
    fn an_empty_line_is_an_empty_key() {
        check("\n\na\n\n", &["", "", "a", ""]);
    }

    #[test]
    fn a_line_may_be_longer_than_what_is_read_at_once() {
        let long = "x".repeat(CHUNK + 1);
        check(&format!("a\n{long}\nb\n"), &["a", &long, "b"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = std::io::repeat(b'x');
        for_each_batch(endless, |_| Ok(())).unwrap_err();
    }

    /// Reads `input` at once, then byte by byte.
    #[track_caller]
    fn check(input: &str, expected: &[&str]) {
        assert_eq!(collect(input.as_bytes()), expected);
        if input.len() < 100 {
            assert_eq!(collect(Trickle(input.as_bytes())), expected);
        }
    }

    fn collect(input: impl Read) -> Vec<String> {
        let mut lines = Vec::new();
        for_each_batch(input, |batch| {
            lines.extend(batch.iter().map(|line| String::from_utf8(line.to_vec()).unwrap()));
            Ok(())
        })
        .unwrap();
        lines
    }

    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let len = self.0.len().min(1);
            self.0.read(&mut out[..len])
        }
    }
}
