//! The template and the function agree on what the function is told.

use crate::sam::{Parameter, TEMPLATE, alarmed, below, told, told_otherwise};
use larder_lambda::settings::{InvalidSettings, Variables};
use larder_read::settings::Settings;
use larder_ring::RingKind;

#[test]
fn the_function_takes_what_the_template_tells_it() {
    let choices: [fn(&Parameter) -> &'static str; 3] =
        [Parameter::default, Parameter::least, Parameter::most];
    for choose in choices {
        let settings = read(told("Read", &GIVEN, choose)).unwrap();
        assert_eq!(settings.records.tables().count(), 4);
    }
}

#[test]
fn the_function_takes_every_choice_that_the_template_offers() {
    let ways = told_otherwise("Read", &GIVEN);
    assert!(ways.len() >= RingKind::ALL.len() + 2, "{} ways", ways.len());
    for variables in ways {
        if let Err(wrong) = read(variables.clone()) {
            panic!("{wrong}: {variables:?}");
        }
    }
}

#[test]
fn a_variable_that_only_the_template_knows_is_seen() {
    let mut variables = told("Read", &GIVEN, Parameter::default);
    variables.push(("LARDER_TABELS".to_owned(), String::new()));
    assert!(read(variables).is_err());
}

#[test]
fn the_template_offers_every_ring() {
    let rings = below(&["Parameters", "Ring", "AllowedValues"]);
    let rings: Vec<_> = rings.iter().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    assert_eq!(rings, RingKind::ALL.map(RingKind::name));
}

#[test]
fn the_alarms_look_at_what_the_function_measures() {
    let metrics = include_str!("../../src/metrics.rs");
    for line in
        TEMPLATE.lines().filter(|line| line.contains("Namespace: Larder") || line.contains("NAMESPACE"))
    {
        assert!(line.ends_with(" Larder"), "{line}");
    }
    assert_eq!(alarmed("Read"), ["Errors", "Bypass", "Hits", "Misses", "Stale"]);
    for name in alarmed("Read") {
        assert!(metrics.contains(&format!("(\"{name}\", counts.")), "{name}");
    }
}

/// What the template makes out of more than a parameter.
const GIVEN: [(&str, &str); 2] =
    [("LARDER_CONFIG_ENDPOINT", "cache.local:11211"), ("LARDER_ORIGIN_URL", "sqlite:/opt/flights.db")];

fn read(variables: Vec<(String, String)>) -> Result<Settings, InvalidSettings> {
    Settings::read(&variables.into_iter().collect::<Variables>())
}
