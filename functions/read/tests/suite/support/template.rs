//! What the template tells a function, read from its text: keys stand on lines of their own, further in than what they
//! belong to.

#![allow(dead_code, reason = "each test file uses some of it")]
use std::time::Duration;

/// The whole template.
pub(crate) const TEMPLATE: &str = include_str!("../../../../../template.yaml");

/// A parameter of the template.
pub(crate) struct Parameter(Vec<&'static str>);

impl Parameter {
    fn named(name: &str) -> Self {
        Self(below(&["Parameters", name]))
    }

    /// What it is for a deployer who leaves it out.
    pub(crate) fn default(&self) -> &'static str {
        self.value("Default").expect("a default")
    }

    /// The least that the template takes.
    pub(crate) fn least(&self) -> &'static str {
        self.value("MinValue").unwrap_or_else(|| self.default())
    }

    /// The most that the template takes.
    pub(crate) fn most(&self) -> &'static str {
        self.value("MaxValue").unwrap_or_else(|| self.default())
    }

    /// The values that it has to be one of, where it has to.
    pub(crate) fn allowed(&self) -> Vec<&'static str> {
        match self.value("AllowedValues") {
            None => Vec::new(),
            Some("") => {
                let list = lines_below(&self.0, "AllowedValues");
                list.into_iter().filter_map(|line| line.trim().strip_prefix("- ")).collect()
            }
            Some(list) => list.trim_matches(['[', ']']).split(", ").map(unquoted).collect(),
        }
    }

    fn value(&self, key: &str) -> Option<&'static str> {
        self.0.iter().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':')).map(unquoted)
    }
}

/// The variables that `function` is told, those that all functions are told first.
///
/// One that is a parameter has the value that `choose` finds for it. What the template makes out of more than that
/// stands in `given`, all of which has to be told.
pub(crate) fn told(
    function: &str,
    given: &[(&str, &str)],
    choose: impl Fn(&Parameter) -> &'static str,
) -> Vec<(String, String)> {
    let written = written(function);
    for (name, _) in given {
        assert!(written.iter().any(|(told, _)| told == name), "{function} is not told {name}");
    }
    let value = |(name, expression): (&str, &str)| {
        let given = given.iter().find_map(|(known, value)| (*known == name).then_some(*value));
        let value = given.unwrap_or_else(|| match expression.strip_prefix("!Ref ") {
            Some(parameter) => choose(&Parameter::named(parameter)),
            None if expression.starts_with(['!', '*', '&']) => panic!("what is {name} of {function}?"),
            None => unquoted(expression),
        });
        (name.to_owned(), value.to_owned())
    };
    written.into_iter().map(value).collect()
}

/// Every way in which one variable of `function` has another of the values that its parameter may have, the others
/// their defaults.
pub(crate) fn told_otherwise(function: &str, given: &[(&str, &str)]) -> Vec<Vec<(String, String)>> {
    let mut ways = Vec::new();
    for (name, expression) in written(function) {
        let Some(parameter) = expression.strip_prefix("!Ref ") else { continue };
        if given.iter().any(|(known, _)| *known == name) {
            continue;
        }
        for value in Parameter::named(parameter).allowed() {
            let mut variables = told(function, given, Parameter::default);
            let one = variables.iter_mut().find(|(told, _)| told == name).unwrap();
            value.clone_into(&mut one.1);
            ways.push(variables);
        }
    }
    ways
}

/// The metrics of `function` that alarms look at.
pub(crate) fn alarmed(function: &str) -> Vec<&'static str> {
    let metrics = TEMPLATE.split("Namespace: Larder\n").skip(1).filter_map(|text| {
        let (name, rest) = text.split_once("MetricName: ")?.1.split_once('\n')?;
        let (_, whose) = rest.split_once("Name: function_name, Value: !Ref ")?;
        Some((name, whose.split([' ', '}']).next()?))
    });
    metrics.filter(|(_, whose)| *whose == function).map(|(name, _)| name).collect()
}

/// How long Lambda lets `function` run.
pub(crate) fn timeout(function: &str) -> Duration {
    let properties = below(&["Resources", function, "Properties"]);
    let secs = properties.iter().find_map(|line| line.trim().strip_prefix("Timeout: ")).expect("a timeout");
    Duration::from_secs(secs.parse().unwrap())
}

/// The lines below the keys of `path`, one below the other.
pub(crate) fn below(path: &[&str]) -> Vec<&'static str> {
    let whole: Vec<&'static str> = TEMPLATE.lines().collect();
    path.iter().fold(whole, |lines, key| lines_below(&lines, key))
}

/// The lines below `key`, which stands as far out as any of `lines`.
fn lines_below(lines: &[&'static str], key: &str) -> Vec<&'static str> {
    let outermost = lines.iter().filter(|line| is_content(line)).map(|line| depth(line)).min();
    let is_key = |line: &&str| {
        Some(depth(line)) == outermost
            && line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))
    };
    let at = lines.iter().position(is_key).unwrap_or_else(|| panic!("no {key} there"));
    let rest = lines[at + 1..].iter().copied();
    rest.take_while(|line| !is_content(line) || Some(depth(line)) > outermost).collect()
}

/// The variables of `function` and what stands behind their names; nothing where that goes on on the next line.
fn written(function: &str) -> Vec<(&'static str, &'static str)> {
    let of_all = below(&["Globals", "Function", "Environment", "Variables"]);
    let own = below(&["Resources", function, "Properties", "Environment", "Variables"]);
    let mut written = Vec::new();
    for lines in [of_all, own] {
        let outermost = lines.iter().filter(|line| is_content(line)).map(|line| depth(line)).min();
        let outer = lines.iter().filter(|line| is_content(line) && Some(depth(line)) == outermost);
        written.extend(outer.map(|line| line.trim().split_once(": ").expect("a name and what it is")));
    }
    written
}

fn is_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with('#')
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}
