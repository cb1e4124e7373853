//! The stream of requests of one connection, read only as far as needed to find the questions for the configuration.

use crate::config::Question;

/// Follows the requests of one connection: which bytes are command lines, which are data blocks.
///
/// A data block is never looked into, so a value may hold `config get cluster\r\n`. Lines and blocks are told apart by
/// the text protocol alone (`doc/protocol.txt`, "Storage commands" and "Meta Set"); everything that is no question is
/// passed on as it came, right or wrong, and memcached judges it.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    place: Place,
}

/// What stands in front of the bytes that a client sent.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Scan {
    /// So many bytes from the start are for memcached.
    pub(crate) pass: usize,
    /// The question that follows them, and the length of its line.
    pub(crate) question: Option<(Question, usize)>,
}

/// Where in the stream the next byte stands.
#[derive(Debug, Default, Eq, PartialEq)]
enum Place {
    /// At the first byte of the connection, which tells the binary protocol from text.
    #[default]
    Start,
    /// At the start of a command line.
    Line,
    /// Inside a command line too long to hold anything of interest.
    LongLine,
    /// Inside a data block, so many bytes before its end.
    Data(u64),
    /// Anywhere in a connection that speaks the binary protocol.
    Binary,
}

impl Requests {
    /// Reads on in `bytes`: all that was sent and neither passed nor answered yet.
    ///
    /// The caller takes the passed bytes, and the question if there is one, from the front before the next call. What
    /// remains after a scan without a question is the start of a line, at most [`MAX_LINE`] bytes.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut pass = 0;
        while pass < bytes.len() {
            let rest = &bytes[pass..];
            match self.place {
                Place::Start if rest[0] == BINARY_MAGIC => self.place = Place::Binary,
                Place::Start => self.place = Place::Line,
                Place::Binary => return Scan { pass: bytes.len(), question: None },
                Place::Data(left) => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    pass += taken;
                    self.place = match left - taken as u64 {
                        0 => Place::Line,
                        left => Place::Data(left),
                    };
                }
                Place::LongLine => match end_of_line(rest) {
                    Some(end) => {
                        pass += end;
                        self.place = Place::Line;
                    }
                    None => return Scan { pass: bytes.len(), question: None },
                },
                Place::Line => match end_of_line(&rest[..rest.len().min(MAX_LINE)]) {
                    Some(end) => match meaning(&rest[..end]) {
                        Meaning::Question(question) => return Scan { pass, question: Some((question, end)) },
                        Meaning::Data(len) => {
                            pass += end;
                            self.place = Place::Data(len);
                        }
                        Meaning::Other => pass += end,
                    },
                    None if rest.len() < MAX_LINE => break,
                    None => self.place = Place::LongLine,
                },
            }
        }
        Scan { pass, question: None }
    }
}

/// What a command line asks for, as far as it matters here.
enum Meaning {
    Question(Question),
    /// A data block of this length follows, its CRLF included.
    Data(u64),
    Other,
}

fn meaning(line: &[u8]) -> Meaning {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    match words.next() {
        Some(b"config") => config(words),
        Some(b"get") => match (words.next(), words.next()) {
            (Some(b"AmazonElastiCache:cluster"), None) => Meaning::Question(Question::GetOldKey),
            _ => Meaning::Other,
        },
        Some(b"ms") => data(words.nth(1)),
        Some(b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas") => data(words.nth(3)),
        _ => Meaning::Other,
    }
}

fn config<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Meaning {
    match (words.next(), words.next(), words.next()) {
        (Some(b"get"), Some(b"cluster"), None) => Meaning::Question(Question::ConfigGetCluster),
        (Some(b"get"), Some(_), None) => Meaning::Question(Question::ConfigGetOther),
        _ => Meaning::Other,
    }
}

/// A length that is no number has no block: memcached refuses the line and takes what follows as commands.
fn data(len: Option<&[u8]>) -> Meaning {
    let len = len.and_then(|word| str::from_utf8(word).ok()).and_then(|word| word.parse::<u32>().ok());
    len.map_or(Meaning::Other, |len| Meaning::Data(u64::from(len) + CRLF_LEN))
}

/// The length of the first line with its LF; memcached takes a bare LF as an end too.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

/// memcached ends a connection that sends a longer line, unless it is a `get` of many keys (`try_read_command_ascii`).
pub(crate) const MAX_LINE: usize = 2048;

const CRLF_LEN: u64 = 2;
const BINARY_MAGIC: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_found_between_commands() {
        check(b"mg a v\r\nconfig get cluster\r\nmg b v\r\n", &["mg a v\r\n", "?cluster", "mg b v\r\n"]);
    }

    #[test]
    fn a_question_may_end_in_a_bare_line_feed_or_hold_more_blanks() {
        check(b"config get cluster\n", &["?cluster"]);
        check(b"config  get cluster \r\n", &["?cluster"]);
    }

    #[test]
    fn the_old_key_is_a_question_only_alone() {
        check(b"get AmazonElastiCache:cluster\r\n", &["?old"]);
        check(b"get AmazonElastiCache:cluster a\r\n", &["get AmazonElastiCache:cluster a\r\n"]);
    }

    #[test]
    fn another_configuration_is_a_question_and_another_verb_is_not() {
        check(b"config get endpoint\r\n", &["?other"]);
        check(b"config set cluster 1\r\n", &["config set cluster 1\r\n"]);
        check(b"config\r\nconfigure get cluster\r\n", &["config\r\nconfigure get cluster\r\n"]);
    }

    #[test]
    fn a_value_that_looks_like_a_question_is_a_value() {
        for line in ["set k 0 0 20", "cas k 0 0 20 7 noreply", "append k 0 0 20", "ms k 20", "ms k 20 T60 c"]
        {
            let set = format!("{line}\r\nconfig get cluster\r\n\r\n");
            check(format!("{set}config get cluster\r\n").as_bytes(), &[&set, "?cluster"]);
        }
    }

    #[test]
    fn a_value_may_be_empty() {
        check(b"ms k 0\r\n\r\nconfig get cluster\r\n", &["ms k 0\r\n\r\n", "?cluster"]);
    }

    #[test]
    fn a_length_that_is_no_number_has_no_value() {
        let line = "set k 0 0 -1\r\n";
        check(b"set k 0 0 -1\r\nconfig get cluster\r\n", &[line, "?cluster"]);
        check(b"ms k\r\nconfig get cluster\r\n", &["ms k\r\n", "?cluster"]);
    }

    #[test]
    fn a_long_line_is_passed_on_and_is_no_question() {
        let line = format!("get {}\r\n", "key ".repeat(700));
        let tail = format!("{}config get cluster\r\n", " ".repeat(3_000));
        check(format!("{line}config get cluster\r\n{tail}").as_bytes(), &[&line, "?cluster", &tail]);
    }

    #[test]
    fn the_binary_protocol_is_passed_on_unread() {
        check(b"\x80config get cluster\r\n", &["\u{80}config get cluster\r\n"]);
    }

    /// Scans `wire` whole, then cut at every byte: what comes out is the same.
    #[track_caller]
    fn check(wire: &[u8], expected: &[&str]) {
        let expected: Vec<Vec<u8>> =
            expected.iter().map(|part| part.chars().map(|c| u8::try_from(c).unwrap()).collect()).collect();
        assert_eq!(scan_all(&[wire]), expected, "wire: {}", wire.escape_ascii());
        for cut in 0..wire.len() {
            let (a, b) = wire.split_at(cut);
            assert_eq!(scan_all(&[a, b]), expected, "cut at {cut}: {}", wire.escape_ascii());
        }
    }

    fn scan_all(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut requests, mut pending, mut out) = (Requests::default(), Vec::new(), vec![Vec::new()]);
        for part in parts {
            pending.extend_from_slice(part);
            loop {
                let scan = requests.scan(&pending);
                out.last_mut().unwrap().extend(pending.drain(..scan.pass));
                let Some((question, len)) = scan.question else { break };
                pending.drain(..len);
                out.push(question_name(question).into());
                out.push(Vec::new());
            }
        }
        assert!(pending.is_empty(), "left over: {}", pending.escape_ascii());
        out.retain(|part| !part.is_empty());
        out
    }

    fn question_name(question: Question) -> &'static str {
        match question {
            Question::ConfigGetCluster => "?cluster",
            Question::GetOldKey => "?old",
            Question::ConfigGetOther => "?other",
        }
    }
}
