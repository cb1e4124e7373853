//! The template and the function agree on what the function is told.

use crate::sam::{Parameter, alarmed, told, told_otherwise};
use larder_lambda::settings::{InvalidSettings, Variables};
use larder_write::settings::Settings;

#[test]
fn the_function_takes_what_the_template_tells_it() {
    let choices: [fn(&Parameter) -> &'static str; 3] =
        [Parameter::default, Parameter::least, Parameter::most];
    for choose in choices {
        let settings = read(told("Write", &GIVEN, choose)).unwrap();
        assert!(settings.queue.is_some(), "what the cache could not be told has a place to go");
    }
}

#[test]
fn the_function_takes_every_choice_that_the_template_offers() {
    for variables in told_otherwise("Write", &GIVEN) {
        if let Err(wrong) = read(variables.clone()) {
            panic!("{wrong}: {variables:?}");
        }
    }
}

#[test]
fn the_alarms_look_at_what_the_function_measures() {
    let metrics = include_str!("../../src/metrics.rs");
    assert_eq!(alarmed("Write"), ["Errors", "Unforgotten"]);
    for name in alarmed("Write") {
        assert!(metrics.contains(&format!("\"{name}\"")), "{name}");
    }
}

fn read(variables: Vec<(String, String)>) -> Result<Settings, InvalidSettings> {
    // What Lambda sets.
    let lambda =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let lambda = lambda.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Settings::read(&Variables::from_iter(variables.into_iter().chain(lambda)))
}

/// What the template makes out of more than a parameter.
const GIVEN: [(&str, &str); 3] = [
    ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
    ("LARDER_ORIGIN_URL", "postgres://u:p@db.local/d"),
    ("LARDER_INVALIDATION_QUEUE", "https://sqs.eu-west-1.amazonaws.com/123456789012/invalidations"),
];
