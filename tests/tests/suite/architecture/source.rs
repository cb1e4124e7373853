//! Sources, line by line, without comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

use super::house::root;

/// A source file.
pub(crate) struct Source {
    /// Where it is, from the root.
    pub(crate) path: String,
    text: String,
}

/// The sources of the package in the folder `package`, but for its tests, benches and examples.
pub(crate) fn read(package: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join(package).join("src")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source::new(&shown(&path), &text));
            }
        }
    }
    sources
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The lines, from 1, up to the tests at the end of the file, without those that are comments.
    pub(crate) fn lines_of_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = (1..).zip(self.text[..tests].lines());
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn shown(path: &Path) -> String {
    let root: PathBuf = root();
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
