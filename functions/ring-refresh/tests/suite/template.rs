//! The template and the function agree on what the function is told.

use std::time::Duration;

use crate::sam::{Parameter, alarmed, below, timeout, told, told_otherwise};
use larder_cache::WarmUp;
use larder_lambda::settings::{InvalidSettings, Variables};
use larder_ring_refresh::settings::Settings;

#[test]
fn a_deployer_who_changes_nothing_gets_the_defaults_of_the_function() {
    let settings = read(told("RingRefresh", &GIVEN, Parameter::default)).unwrap();
    assert_eq!(settings.warm_up, WarmUp::default());
    assert!(settings.control.is_some());
}

#[test]
fn the_function_takes_whatever_the_template_takes() {
    for variables in [
        told("RingRefresh", &GIVEN, Parameter::least),
        told("RingRefresh", &GIVEN, Parameter::most),
        told("RingRefresh", &WITHOUT_API, Parameter::default),
    ]
    .into_iter()
    .chain(told_otherwise("RingRefresh", &GIVEN))
    {
        if let Err(wrong) = read(variables.clone()) {
            panic!("{wrong}: {variables:?}");
        }
    }
}

/// A run that ends in the middle of a warm-up leaves it to the next one, which begins it anew.
#[test]
fn the_longest_warm_up_fits_into_one_run() {
    for choose in [Parameter::default, Parameter::most] {
        let settings = read(told("RingRefresh", &GIVEN, choose)).unwrap();
        let needed = settings.cluster.settle_time() + settings.warm_up.most;
        assert!(needed + SPARE < timeout("RingRefresh"), "{needed:?}");
    }
}

#[test]
fn the_alarms_look_at_what_the_function_measures() {
    let metrics = include_str!("../../src/metrics.rs");
    let alarmed = alarmed("RingRefresh");
    assert_eq!(alarmed, ["Unfinished", "Alarms", "InactiveTopics"]);
    for name in alarmed {
        assert!(metrics.contains(&format!("(\"{name}\", ")), "{name}");
    }
}

/// The filter of the subscription knows the events by their keys; all that change nodes or ask for a person are let
/// through, and nothing else is asked for that no notice has.
#[test]
fn the_subscription_lets_through_what_the_function_acts_on() {
    let filter = below(&["Resources", "RingRefresh", "Properties", "Events", "Notice", "Properties"]);
    let keys = filter.iter().filter_map(|line| line.trim().strip_prefix("- ElastiCache:")?.split(':').next());
    let keys: Vec<_> = keys.collect();
    let effect = |key: &&str| {
        let message = format!(r#"{{"ElastiCache:{key}":"larder"}}"#);
        larder_discovery::Notice::parse(&message).unwrap().event.effect()
    };
    let is_acted_on = |key: &&str| effect(key) != larder_discovery::Effect::Log;
    assert_eq!(keys.iter().copied().filter(is_acted_on).collect::<Vec<_>>(), keys);
    assert_eq!(keys.len(), 11, "{keys:?}");
}

/// For all that takes only moments.
const SPARE: Duration = Duration::from_secs(20);

/// What the template makes out of more than a parameter.
const GIVEN: [(&str, &str); 3] = [
    ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
    ("LARDER_CLUSTER_NAME", "larder-cachecluster-1abc"),
    ("LARDER_ELASTICACHE_API", "on"),
];

const WITHOUT_API: [(&str, &str); 3] = [GIVEN[0], GIVEN[1], ("LARDER_ELASTICACHE_API", "off")];

/// With what Lambda itself tells.
fn read(variables: Vec<(String, String)>) -> Result<Settings, InvalidSettings> {
    let of_lambda =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let of_lambda = of_lambda.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Settings::read(&variables.into_iter().chain(of_lambda).collect::<Variables>())
}
