//! The template and the function agree on what the function is told.

use std::time::Duration;

use crate::sam::{Parameter, alarmed, below, timeout, told, told_otherwise};
use larder_cache::WarmUp;
use larder_lambda::settings::{InvalidSettings, Variables};
use larder_scale::RESERVE;
use larder_scale::ask::Alarms;
use larder_scale::settings::Settings;

#[test]
fn a_deployer_who_changes_nothing_gets_bounds_and_alarms() {
    let settings = read(told("Scale", &GIVEN, Parameter::default)).unwrap();
    assert_eq!(settings.warm_up, WarmUp::default());
    assert_eq!((settings.bounds.min_nodes, settings.bounds.max_nodes), (2, 10));
    let (out, r#in) = (Some("too-few".to_owned()), Some("too-many".to_owned()));
    assert_eq!(settings.alarms, Alarms { out, r#in });
}

#[test]
fn the_function_takes_whatever_the_template_takes() {
    for variables in [told("Scale", &GIVEN, Parameter::least), told("Scale", &GIVEN, Parameter::most)]
        .into_iter()
        .chain(told_otherwise("Scale", &GIVEN))
    {
        if let Err(wrong) = read(variables.clone()) {
            panic!("{wrong}: {variables:?}");
        }
    }
}

/// A node that cannot be left out of the ring in one run gets its place back.
#[test]
fn a_node_can_be_left_out_of_the_ring_and_taken_away_in_one_run() {
    for choose in [Parameter::default, Parameter::most] {
        let settings = read(told("Scale", &GIVEN, choose)).unwrap();
        let needed = settings.cluster.settle_time() * WAITS + settings.warm_up.most + RESERVE;
        assert!(needed + SPARE < timeout("Scale"), "{needed:?}");
    }
}

/// The alarms that it is told of speak to the topic that it listens to.
#[test]
fn the_alarms_of_the_function_reach_it() {
    let listens = below(&["Resources", "Scale", "Properties", "Events", "Alarm", "Properties"]);
    assert!(listens.iter().any(|line| line.trim() == "Topic: !Ref ScaleNotices"), "{listens:?}");
    let told = below(&["Resources", "Scale", "Properties", "Environment", "Variables"]);
    for variable in ["LARDER_SCALE_OUT_ALARM: !Ref ", "LARDER_SCALE_IN_ALARM: !Ref "] {
        let alarm = told.iter().find_map(|line| line.trim().strip_prefix(variable)).unwrap();
        let alarm = below(&["Resources", alarm, "Properties"]);
        assert!(alarm.iter().any(|line| line.trim() == "AlarmActions: [!Ref ScaleNotices]"), "{alarm:?}");
    }
    assert!(alarmed("Scale").is_empty(), "the names of metrics are to be checked here, as for ring-refresh");
}

/// Before each of the four documents of a change everyone has to have followed the one before, and in the end the last
/// one: a node that is asked by nobody may go.
const WAITS: u32 = 5;

/// For all that takes only moments.
const SPARE: Duration = Duration::from_secs(20);

/// What the template makes out of more than a parameter.
const GIVEN: [(&str, &str); 4] = [
    ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
    ("LARDER_CLUSTER_NAME", "larder-cachecluster-1abc"),
    ("LARDER_SCALE_OUT_ALARM", "too-few"),
    ("LARDER_SCALE_IN_ALARM", "too-many"),
];

/// With what Lambda itself tells.
fn read(variables: Vec<(String, String)>) -> Result<Settings, InvalidSettings> {
    let of_lambda =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let of_lambda = of_lambda.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Settings::read(&variables.into_iter().chain(of_lambda).collect::<Variables>())
}
