//! What the README says can be told from the sources.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_settings_are_those_of_the_function() {
    let own = read("functions/read/src/settings.rs");
    let of_records = read("shared/larder-records/src/lib.rs");
    let rows = |text: &str, start: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("//! "));
        lines.filter(|line| line.starts_with(start)).map(without_links).collect::<Vec<_>>()
    };
    let rows = [rows(&own, "|"), rows(&of_records, "| `LARDER_")].concat();
    assert!(rows.len() > 30, "the settings have lost a table");
    let readme = read("README.md");
    for row in rows {
        assert!(readme.lines().any(|line| line == row), "README.md lacks this row, or has another:\n{row}");
    }
}

#[test]
fn the_client_in_ten_lines_is_the_one_that_its_own_documentation_compiles() {
    let documented = read("shared/larder-client/src/lib.rs");
    let compiled: Vec<_> =
        documented.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let readme = read("README.md");
    let shown = readme.split_once("```rust\n").unwrap().1.split_once("```").unwrap().0;
    assert!(shown.lines().count() > 5);
    for line in shown.lines() {
        assert!(compiled.contains(&line.trim()), "README.md shows what is compiled nowhere:\n{line}");
    }
}

#[test]
fn every_file_that_is_named_exists() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = read(document);
        let quoted = text.split('`').skip(1).step_by(2);
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let paths = quoted.chain(linked).filter(|word| is_path(word));
        let missing: Vec<_> = paths.filter(|path| !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{document} names {missing:?}");
    }
}

/// Whether `word` names a file or folder from the root of the workspace.
fn is_path(word: &str) -> bool {
    let is_from_root = FOLDERS.iter().any(|folder| word.starts_with(folder)) || word.ends_with(".md");
    is_from_root && !word.contains([' ', '*', '{'])
}

/// `` `x` `` of `` [`x`] ``, which only the documentation of the code can follow.
fn without_links(row: &str) -> String {
    row.replace("[`", "`").replace("`]", "`")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const FOLDERS: [&str; 7] = ["shared/", "functions/", "events/", "tests/", "tools/", "data/", "fuzz/"];
