//! The plan: the two tables of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::house::{Package, root};

/// What ARCHITECTURE.md says.
pub(crate) struct Plan {
    pub(crate) walls: Vec<Wall>,
    /// What a word in the column "keeps out" means.
    pub(crate) kept_out: BTreeMap<String, KeptOut>,
}

/// A row of the table of crates.
pub(crate) struct Wall {
    /// The crate's folder, from the root.
    pub(crate) path: String,
    pub(crate) keeps_out: Vec<String>,
    pub(crate) may_use: Allowed,
}

/// Which of our crates a crate may use.
pub(crate) enum Allowed {
    Any,
    /// Any shared one, and these.
    AnyShared(BTreeSet<String>),
    Only(BTreeSet<String>),
}

/// A row of the table of what is kept out.
pub(crate) struct KeptOut {
    /// Names of crates; one that ends with `*` means all that begin so.
    pub(crate) dependencies: Vec<String>,
    pub(crate) words: Vec<String>,
}

impl Plan {
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let wall = |[path, _, keeps_out, may_use]: [&str; 4]| Wall {
            path: only(quoted(path)),
            keeps_out: keeps_out
                .split(',')
                .map(|word| word.trim().to_owned())
                .filter(|word| word != NOTHING)
                .collect(),
            may_use: match may_use {
                "any" => Allowed::Any,
                names if names.starts_with("any shared") => {
                    Allowed::AnyShared(quoted(names).into_iter().collect())
                }
                names => Allowed::Only(quoted(names).into_iter().collect()),
            },
        };
        let kept_out = |[word, dependencies, words]: [&str; 3]| {
            (word.to_owned(), KeptOut { dependencies: quoted(dependencies), words: quoted(words) })
        };
        Self {
            walls: rows(text, CRATES).map(wall).collect(),
            kept_out: rows(text, KEPT_OUT).map(kept_out).collect(),
        }
    }

    /// The row of a package; there is one for each.
    pub(crate) fn wall(&self, package: &Package) -> &Wall {
        let wall = self.walls.iter().find(|wall| wall.path == package.path);
        wall.unwrap_or_else(|| panic!("{} has no row in ARCHITECTURE.md", package.path))
    }

    /// What `wall` keeps out, word by word.
    pub(crate) fn kept_out_by<'p>(
        &'p self,
        wall: &'p Wall,
    ) -> impl Iterator<Item = (&'p String, &'p KeptOut)> {
        wall.keeps_out.iter().filter_map(|word| self.kept_out.get_key_value(word))
    }
}

/// The rows of the one table in `text` whose first line is `head`.
fn rows<'t, const COLUMNS: usize>(text: &'t str, head: &str) -> impl Iterator<Item = [&'t str; COLUMNS]> {
    let mut lines = text.lines().skip_while(move |line| *line != head);
    assert!(lines.next().is_some() && lines.next().is_some(), "ARCHITECTURE.md has no table {head}");
    lines.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("not {COLUMNS} columns: {line}"))
    })
}

/// What stands in `` ` `` in a cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn only(names: Vec<String>) -> String {
    let [name] = names.try_into().expect("a row begins with one name");
    name
}

const CRATES: &str = "| crate | holds | keeps out | may use of ours |";
const KEPT_OUT: &str = "| what is kept out | as a dependency, however far down | as a word in the sources |";
const NOTHING: &str = "–";
