//! The house as it is built: the manifests of the workspace and its lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// What the manifests and the lock file say.
pub(crate) struct House {
    pub(crate) packages: Vec<Package>,
    /// What each crate of others depends on, all of its versions together.
    pub(crate) locked: BTreeMap<String, BTreeSet<String>>,
}

/// A package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, from the root.
    pub(crate) path: String,
    /// The names of all it depends on, to build it or to be built with it.
    pub(crate) dependencies: BTreeSet<String>,
    /// The names of what its tests depend on besides.
    pub(crate) dev_dependencies: BTreeSet<String>,
}

impl House {
    pub(crate) fn read() -> Self {
        let workspace = table(&root().join("Cargo.toml"));
        let members = workspace["workspace"]["members"].as_array().unwrap().iter();
        let paths = members.flat_map(|member| member_paths(member.as_str().unwrap()));
        let lock = table(&root().join("Cargo.lock"));
        let mut locked: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for package in lock["package"].as_array().unwrap() {
            let name = package["name"].as_str().unwrap().to_owned();
            let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
            // `name`, or `name version` where there are several.
            let names = dependencies.map(|line| line.as_str().unwrap().split(' ').next().unwrap().to_owned());
            locked.entry(name).or_default().extend(names);
        }
        Self { packages: paths.map(Package::read).collect(), locked }
    }

    /// Our package of this name, if it is one of ours.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The names of all crates that `package` depends on, however far down, not counting tests.
    pub(crate) fn reached_by(&self, package: &Package) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut to_visit: Vec<&String> = package.dependencies.iter().collect();
        while let Some(name) = to_visit.pop() {
            if reached.insert(name.clone()) {
                // The lock file counts what tests use, too, so our own manifests come first.
                let next = self.package(name).map(|package| &package.dependencies);
                to_visit.extend(next.or_else(|| self.locked.get(name)).into_iter().flatten());
            }
        }
        reached
    }
}

impl Package {
    fn read(path: String) -> Self {
        let manifest = table(&root().join(&path).join("Cargo.toml"));
        let named = |sections: &[&str]| {
            let targets =
                manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
            let tables = targets.filter_map(Value::as_table).chain([&manifest]);
            let found = tables
                .flat_map(|table| sections.iter().filter_map(|section| table.get(*section)?.as_table()));
            found.flatten().map(|(name, dependency)| real_name(name, dependency)).collect()
        };
        Self {
            name: manifest["package"]["name"].as_str().unwrap().to_owned(),
            dependencies: named(&["dependencies", "build-dependencies"]),
            dev_dependencies: named(&["dev-dependencies"]),
            path,
        }
    }
}

/// The name of the crate, which a manifest may call something else.
fn real_name(name: &str, dependency: &Value) -> String {
    dependency.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
}

/// The folders that `member` means, which may end with `/*`.
fn member_paths(member: &str) -> Vec<String> {
    let Some(parent) = member.strip_suffix("/*") else { return vec![member.to_owned()] };
    let folders = fs::read_dir(root().join(parent)).unwrap().map(Result::unwrap);
    let crates = folders.filter(|folder| folder.path().join("Cargo.toml").exists());
    crates.map(|folder| format!("{parent}/{}", folder.file_name().to_string_lossy())).collect()
}

fn table(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap()
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
