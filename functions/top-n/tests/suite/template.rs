//! The template and the function agree on what the function is told.

use crate::sam::{Parameter, alarmed, timeout, told};
use larder_lambda::settings::Variables;
use larder_top_n::settings::Settings;

#[test]
fn the_function_takes_what_the_template_tells_it() {
    let choices: [fn(&Parameter) -> &'static str; 3] =
        [Parameter::default, Parameter::least, Parameter::most];
    for choose in choices {
        let settings = Settings::read(&Variables::from_iter(told("TopN", &GIVEN, choose))).unwrap();
        assert_eq!(settings.lists.iter().count(), 4);
        assert!(settings.time_limit.timeout < timeout("TopN"), "it ends by itself");
    }
}

#[test]
fn the_alarm_looks_at_what_the_function_measures() {
    let metrics = include_str!("../../src/metrics.rs");
    assert_eq!(alarmed("TopN"), ["Failed"]);
    assert!(metrics.contains("\"Failed\""));
}

/// What the template makes out of more than a parameter, and a file that is there.
const GIVEN: [(&str, &str); 3] = [
    ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
    ("LARDER_ORIGIN_URL", "sqlite:/opt/flights.db"),
    ("LARDER_LISTS_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/lists.json")),
];
