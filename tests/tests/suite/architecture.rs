//! The house is built as ARCHITECTURE.md says: its two tables are held against manifests, lock file and sources.
//!
//! The tables are the only list; nothing is repeated here, so a plan that rots fails.

mod house;
mod plan;
mod source;

use std::collections::BTreeSet;

use house::{House, Package};
use plan::{Allowed, Plan};

#[test]
fn every_crate_has_a_row_and_every_row_a_crate() {
    let (house, plan) = (House::read(), Plan::read());
    let built: BTreeSet<_> = house.packages.iter().map(|package| package.path.as_str()).collect();
    let planned: BTreeSet<_> = plan.walls.iter().map(|wall| wall.path.as_str()).collect();
    assert_eq!(built, planned);
}

#[test]
fn every_word_that_is_kept_out_is_explained() {
    let plan = Plan::read();
    let used: BTreeSet<_> = plan.walls.iter().flat_map(|wall| &wall.keeps_out).collect();
    assert_eq!(used, plan.kept_out.keys().collect());
    for (word, kept_out) in &plan.kept_out {
        assert!(!(kept_out.dependencies.is_empty() && kept_out.words.is_empty()), "{word} keeps nothing out");
    }
}

#[test]
fn no_arrow_points_where_the_plan_does_not() {
    let (house, plan) = (House::read(), Plan::read());
    assert_none(house.packages.iter().flat_map(|package| unlisted_arrows(&house, &plan, package)));
}

#[test]
fn what_a_wall_keeps_out_comes_in_by_no_dependency() {
    let (house, plan) = (House::read(), Plan::read());
    assert_none(house.packages.iter().flat_map(|package| forbidden_dependencies(&house, &plan, package)));
}

#[test]
fn what_a_wall_keeps_out_stands_in_no_source() {
    let (house, plan) = (House::read(), Plan::read());
    let walled = house.packages.iter().filter(|package| !plan.wall(package).keeps_out.is_empty());
    assert_none(walled.flat_map(|package| {
        let sources = source::read(&package.path);
        assert!(!sources.is_empty(), "{} has no sources", package.path);
        forbidden_words(&plan, package, &sources)
    }));
}

#[test]
fn an_arrow_that_is_not_listed_is_seen() {
    let (house, plan) = small_house();
    let [low, high, _] = &house.packages[..] else { panic!("three packages") };
    assert_eq!(unlisted_arrows(&house, &plan, low), ["shared/low -> shared/high"]);
    assert!(unlisted_arrows(&house, &plan, high).is_empty());
}

#[test]
fn an_arrow_of_the_tests_alone_is_seen_too() {
    let (house, plan) = small_house();
    assert_eq!(unlisted_arrows(&house, &plan, &house.packages[2]), ["shared/top -> shared/high (in tests)"]);
}

#[test]
fn a_dependency_of_a_dependency_is_seen() {
    let (house, plan) = small_house();
    assert_eq!(
        forbidden_dependencies(&house, &plan, &house.packages[1]),
        ["shared/high keeps out runtime, and depends on tokio"]
    );
}

#[test]
fn a_word_is_seen_but_in_comments_and_tests() {
    let (house, plan) = small_house();
    let text = "// tokio::spawn(x) is not for us.\n#[cfg(test)]\nuse x;\nfn f() { spawn(x) }\n#[cfg(test)]\nmod tests {\nspawn(y)";
    let sources = [source::Source::new("src/lib.rs", text)];
    assert_eq!(
        forbidden_words(&plan, &house.packages[1], &sources),
        ["src/lib.rs:4: spawn( stands where shared/high keeps out runtime"]
    );
}

/// The arrows of `package` that its row does not allow.
fn unlisted_arrows(house: &House, plan: &Plan, package: &Package) -> Vec<String> {
    let wall = plan.wall(package);
    let arrow = |name: &String, note| {
        let to = house.package(name)?;
        let is_listed = match &wall.may_use {
            Allowed::Any => true,
            Allowed::AnyShared(names) => to.path.starts_with("shared/") || names.contains(name),
            Allowed::Only(names) => names.contains(name),
        };
        (!is_listed).then(|| format!("{} -> {}{note}", package.path, to.path))
    };
    let is_of_tests = |name: &&String| *name != FOR_ANY_TEST && *name != &package.name;
    let in_tests = package.dev_dependencies.iter().filter(is_of_tests);
    let arrows = package.dependencies.iter().filter_map(|name| arrow(name, ""));
    arrows.chain(in_tests.filter_map(|name| arrow(name, " (in tests)"))).collect()
}

/// What `package` depends on, however far down, and keeps out.
fn forbidden_dependencies(house: &House, plan: &Plan, package: &Package) -> Vec<String> {
    let reached = house.reached_by(package);
    let kept_out = plan.kept_out_by(plan.wall(package));
    let found = kept_out.flat_map(|(word, kept_out)| {
        let is_forbidden =
            |name: &&String| kept_out.dependencies.iter().any(|pattern| matches(pattern, name));
        let say = move |name| format!("{} keeps out {word}, and depends on {name}", package.path);
        reached.iter().filter(is_forbidden).map(say).collect::<Vec<_>>()
    });
    found.collect()
}

/// Where in `sources` a word stands that `package` keeps out.
fn forbidden_words(plan: &Plan, package: &Package, sources: &[source::Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (word, kept_out) in plan.kept_out_by(plan.wall(package)) {
        for source in sources {
            for (number, line) in source.lines_of_code() {
                let words = kept_out.words.iter().filter(|forbidden| line.contains(forbidden.as_str()));
                found.extend(words.map(|forbidden| {
                    let (at, path) = (&source.path, &package.path);
                    format!("{at}:{number}: {forbidden} stands where {path} keeps out {word}")
                }));
            }
        }
    }
    found
}

/// Whether `pattern`, which may end with `*`, means the crate `name`.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[track_caller]
fn assert_none(violations: impl Iterator<Item = String>) {
    let violations: Vec<_> = violations.collect();
    assert!(violations.is_empty(), "ARCHITECTURE.md does not have it so:\n{}", violations.join("\n"));
}

/// `low`, which points up; `high`, which reaches a runtime by another crate; `top`, whose tests use what they must not.
fn small_house() -> (House, Plan) {
    let package = |name: &str, dependencies: &[&str], dev_dependencies: &[&str]| Package {
        name: name.into(),
        path: format!("shared/{name}"),
        dependencies: dependencies.iter().map(|name| (*name).into()).collect(),
        dev_dependencies: dev_dependencies.iter().map(|name| (*name).into()).collect(),
    };
    let house = House {
        packages: vec![
            package("low", &["high"], &[]),
            package("high", &["low", "side-door"], &["larder-local"]),
            package("top", &["low"], &["high"]),
        ],
        locked: [("side-door".to_owned(), ["tokio".to_owned()].into())].into(),
    };
    let plan = Plan::parse(
        "| crate | holds | keeps out | may use of ours |\n\
         | --- | --- | --- | --- |\n\
         | `shared/low` | | – | – |\n\
         | `shared/high` | | runtime | `low` |\n\
         | `shared/top` | | – | `low` |\n\
         \n\
         | what is kept out | as a dependency, however far down | as a word in the sources |\n\
         | --- | --- | --- |\n\
         | runtime | `tokio` | `spawn(` |\n",
    );
    (house, plan)
}

/// A real cluster to test against; it uses nothing of ours, so it may be used from everywhere.
const FOR_ANY_TEST: &str = "larder-local";
