//! The expressions of the template, evaluated as CloudFormation does: those that its rules and conditions use, and the
//! choices that resources make by them.

use std::collections::BTreeMap;

use crate::sam::{TEMPLATE, below};

/// A deployment: the template's parameters, each with its default unless told otherwise.
pub(crate) struct Deployment(BTreeMap<String, String>);

/// What an expression comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Text(String),
    Bool(bool),
    /// `AWS::NoValue`: what it stands for is left out.
    Nothing,
}

impl Deployment {
    /// With `given` in the place of defaults. What has no default is some text.
    pub(crate) fn new(given: &[(&str, &str)]) -> Self {
        let names = below(&["Parameters"])
            .into_iter()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let mut parameters: BTreeMap<String, String> = names
            .map(|line| line.trim().trim_end_matches(':'))
            .map(|name| (name.to_owned(), default(name).unwrap_or("some-value").to_owned()))
            .collect();
        for (name, value) in given {
            let known = parameters.get_mut(*name).unwrap_or_else(|| panic!("no parameter {name}"));
            (*value).clone_into(known);
        }
        Self(parameters)
    }

    /// The names of the rules that refuse it, each with what its first broken assertion says.
    pub(crate) fn refusals(&self) -> Vec<(&'static str, String)> {
        let rules =
            below(&["Rules"]).into_iter().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        rules.filter_map(|line| self.refusal(line.trim().trim_end_matches(':'))).collect()
    }

    fn refusal(&self, rule: &'static str) -> Option<(&'static str, String)> {
        let text = folded(&below(&["Rules", rule]));
        let (_, rest) = text.split_once("RuleCondition: ").expect("a condition");
        let (condition, assertions) = rest.split_once(" Assertions:").expect("assertions");
        if self.eval(condition) == Outcome::Bool(false) {
            return None;
        }
        let broken = assertions.split("- Assert: ").skip(1).find_map(|assertion| {
            let (assert, description) = assertion.split_once(" AssertDescription: ").expect("a description");
            let is_broken = self.eval(assert) == Outcome::Bool(false);
            is_broken.then(|| description.trim_start_matches(">- ").trim().to_owned())
        });
        broken.map(|description| (rule, description))
    }

    /// Whether the condition `name` holds.
    pub(crate) fn condition(&self, name: &str) -> bool {
        let expression = below(&["Conditions"])
            .into_iter()
            .find_map(|line| line.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")));
        match self.eval(expression.unwrap_or_else(|| panic!("no condition {name}"))) {
            Outcome::Bool(holds) => holds,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// What `expression` comes to; an alias is what its anchor names.
    pub(crate) fn eval(&self, expression: &str) -> Outcome {
        let (outcome, rest) = self.read(expression.trim());
        assert!(rest.trim().is_empty(), "{rest:?} is left of {expression:?}");
        outcome
    }

    /// Reads one expression off the front of `text`; what is left of it, too.
    fn read<'a>(&self, text: &'a str) -> (Outcome, &'a str) {
        let text = text.trim_start();
        if let Some(alias) = text.strip_prefix('*') {
            let end = alias.find([',', ']']).unwrap_or(alias.len());
            return (self.eval(anchored(&alias[..end])), &alias[end..]);
        }
        let Some(call) = text.strip_prefix('!') else {
            let quoted = text.strip_prefix('"').map(|text| text.find('"').expect("its other quote") + 2);
            let end = quoted.unwrap_or_else(|| word_end(text));
            return (Outcome::Text(text[..end].trim_matches('"').to_owned()), &text[end..]);
        };
        let (function, rest) = call.split_once(' ').expect("an argument");
        if !rest.starts_with('[') {
            let end = word_end(rest);
            return (self.apply_to_name(function, &rest[..end]), &rest[end..]);
        }
        let (mut arguments, mut rest) = (Vec::new(), &rest[1..]);
        loop {
            let (argument, left) = self.read(rest);
            arguments.push(argument);
            rest = left.trim_start();
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("]", more) => return (self.apply(function, &arguments), more),
                _ => panic!("{rest:?} in {text:?}"),
            }
        }
    }

    fn apply_to_name(&self, function: &str, name: &str) -> Outcome {
        match (function, name) {
            ("Ref", "AWS::NoValue") => Outcome::Nothing,
            ("Ref", name) => {
                Outcome::Text(self.0.get(name).map_or_else(|| format!("the {name}"), Clone::clone))
            }
            ("Condition", name) => Outcome::Bool(self.condition(name)),
            ("Sub", text) => Outcome::Text(self.substituted(text.trim_matches('"'))),
            other => panic!("{other:?} is not known here"),
        }
    }

    fn apply(&self, function: &str, arguments: &[Outcome]) -> Outcome {
        let holds = |outcome: &Outcome| *outcome == Outcome::Bool(true);
        match (function, arguments) {
            ("Equals", [one, other]) => Outcome::Bool(one == other),
            ("Not", [one]) => Outcome::Bool(!holds(one)),
            ("And", all) => Outcome::Bool(all.iter().all(holds)),
            ("Or", all) => Outcome::Bool(all.iter().any(holds)),
            ("If", [Outcome::Text(name), yes, no]) => if self.condition(name) { yes } else { no }.clone(),
            ("FindInMap", [Outcome::Text(map), Outcome::Text(row), Outcome::Text(key)]) => {
                let line = below(&["Mappings", map])
                    .into_iter()
                    .find(|line| line.trim().starts_with(&format!("{row}:")));
                let line = line.unwrap_or_else(|| panic!("no {row} in {map}"));
                let (_, value) = line.split_once(&format!("{key}: ")).expect("the key");
                Outcome::Text(value.trim_end_matches([' ', '}']).to_owned())
            }
            other => panic!("{other:?} is not known here"),
        }
    }

    fn substituted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        text.replace("${AWS::Region}", "eu-west-1")
    }
}

/// Lines as one text: a list of arguments over several lines (`!If` and `- …`) as one in brackets.
pub(crate) fn folded(lines: &[&str]) -> String {
    let lines = lines.iter().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn default(parameter: &str) -> Option<&'static str> {
    let lines = below(&["Parameters", parameter]);
    lines
        .into_iter()
        .find_map(|line| line.trim().strip_prefix("Default: "))
        .map(|value| value.trim_matches('"'))
}

/// What stands behind the anchor `name`.
fn anchored(name: &str) -> &'static str {
    let anchor = format!("&{name} ");
    TEMPLATE.lines().find_map(|line| line.split_once(&anchor)).map(|(_, text)| text).expect("an anchor")
}

fn word_end(text: &str) -> usize {
    text.find([',', ']']).unwrap_or(text.len())
}
