//! A file of keys, one a line.

use crate::commands::lines::for_each_batch;
use anyhow::Context;
use larder_client::Key;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens the file at `path`; `-` is standard input.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") { Ok(Box::new(io::stdin().lock())) } else { Ok(Box::new(File::open(path)?)) }
}

/// Hands the keys of `input` to `each`, in their order, as many at once as have been read; neither empty lines nor the
/// keys under which Larder keeps what is its own, which a list of all keys of a node has, too.
///
/// # Errors
///
/// The first line that is no key, by its number, from 1.
pub(crate) fn for_each_keys(input: impl Read, mut each: impl FnMut(&[Key])) -> anyhow::Result<()> {
    let mut number = 0_u64;
    for_each_batch(input, |lines| {
        let mut keys = Vec::with_capacity(lines.len());
        for line in lines {
            number += 1;
            if !line.is_empty() && !line.starts_with(OUR_OWN) {
                keys.push(Key::new(line).with_context(|| format!("line {number} is no key"))?);
            }
        }
        each(&keys);
        Ok(())
    })
}

const OUR_OWN: &[u8] = b"larder~";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_and_our_own_keys_are_no_keys_of_the_application() {
        assert_eq!(read("a\n\nlarder~ring\r\nb\r\n\r\nlarder\n").unwrap(), ["a", "b", "larder"]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn a_bad_key_is_named_by_its_line() {
        for bad in ["two words", "tab\there", &"k".repeat(251)] {
            let error = read(&format!("a\n\n{bad}\nb\n")).unwrap_err();
            assert_eq!(error.to_string(), "line 3 is no key", "{bad}");
        }
    }

    fn read(text: &str) -> anyhow::Result<Vec<String>> {
        let mut read = Vec::new();
        for_each_keys(text.as_bytes(), |keys| read.extend(keys.iter().map(Key::to_string)))?;
        Ok(read)
    }
}
