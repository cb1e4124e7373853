//! What the template refuses, and what it makes of its parameters, evaluated as CloudFormation does.

use crate::expression::{Deployment, Outcome, folded};
use crate::sam::below;

#[test]
fn a_deployment_with_defaults_is_refused_and_told_what_to_give() {
    let refusals = Deployment::new(&[]).refusals();
    let [(rule, description)] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!(*rule, "FileComesWithALayer");
    for parameter in ["OriginLayerArn", "Origin=postgres"] {
        assert!(description.contains(parameter), "{description}");
    }
}

#[test]
fn what_answers_503_or_cannot_start_is_refused_before_it_is_deployed() {
    let all = [EVERY_FILE, EVERY_SERVER, DYNAMODB];
    for (given, expected) in [
        (all[0].to_vec(), vec![]),
        (all[1].to_vec(), vec![]),
        (all[2].to_vec(), vec![]),
        (without(EVERY_FILE, "OriginLayerArn"), vec!["FileComesWithALayer", "ListsComeWithALayer"]),
        (with(EVERY_FILE, ("OriginUrl", URL)), vec!["FileComesWithALayer"]),
        (with(EVERY_FILE, ("Writing", "on")), vec!["WritersHaveADatabase"]),
        (with(EVERY_FILE, ("OriginSecurityGroupId", "sg-01234567")), vec!["OnlyAServerHasASecurityGroup"]),
        (without(EVERY_SERVER, "OriginUrl"), vec!["ServerIsNamed"]),
        (with(without(EVERY_SERVER, "OriginUrl").as_slice(), ("Origin", "mysql")), vec!["ServerIsNamed"]),
        (with(EVERY_SERVER, ("Authorization", "NONE")), vec!["WritersAreKnown"]),
        (with(EVERY_SERVER, ("OriginPolicyArn", ARN)), vec!["WriterHasRightsOfItsOwn"]),
        (without(DYNAMODB, "OriginPolicyArn"), vec!["DynamodbAsksForRights"]),
        (without(DYNAMODB, "OriginWritePolicyArn"), vec!["WriterHasRightsOfItsOwn"]),
        (without(DYNAMODB, "Writing"), vec!["RightsToWriteHaveAWriter"]),
        (with(EVERY_FILE, ("ClusterName", "mine")), vec!["OwnClusterIsWhole"]),
        (with(EVERY_FILE, ("CacheSecurityGroupId", "sg-01234567")), vec!["OwnClusterIsWhole"]),
        (with(EVERY_FILE, ("Scaling", "on")), vec!["ScalingAsksElastiCache"]),
    ] {
        let refusals: Vec<_> = Deployment::new(&given).refusals().into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(refusals, expected, "{given:?}");
    }
}

/// CloudFormation shows nothing but this text.
#[test]
fn every_assertion_names_a_parameter_to_give() {
    let text = folded(&below(&["Rules"]));
    let assertions: Vec<_> = text.split("AssertDescription: ").skip(1).collect();
    assert!(assertions.len() >= 14, "{}", assertions.len());
    let parameters =
        below(&["Parameters"]).into_iter().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let parameters: Vec<_> = parameters.map(|line| line.trim().trim_end_matches(':')).collect();
    for assertion in assertions {
        assert!(parameters.iter().any(|name| assertion.contains(name)), "{assertion}");
    }
}

#[test]
fn the_functions_reach_the_port_of_the_origin() {
    for (given, port) in [
        (vec![("Origin", "sqlite")], None),
        (vec![("Origin", "postgres")], Some("5432")),
        (vec![("Origin", "mysql")], Some("3306")),
        (vec![("Origin", "dynamodb")], Some("443")),
        (vec![("Origin", "postgres"), ("OriginPort", "6432")], Some("6432")),
        (vec![("Origin", "dynamodb"), ("OriginPort", "8000")], Some("8000")),
    ] {
        let deployment = Deployment::new(&given);
        assert_eq!(deployment.condition("HasOriginInNetwork"), port.is_some(), "{given:?}");
        for (resource, key) in [("FunctionSecurityGroup", "FromPort"), ("IngressOfDatabase", "ToPort")] {
            let expression = value_below(resource, key);
            let expected = Outcome::Text(port.unwrap_or("0").to_owned());
            assert_eq!(deployment.eval(&expression), expected, "{resource}: {given:?}");
        }
    }
}

#[test]
fn the_functions_are_told_of_the_origin_that_was_chosen() {
    let expression = {
        let text = folded(&below(&[
            "Resources",
            "Read",
            "Properties",
            "Environment",
            "Variables",
            "LARDER_ORIGIN_URL",
        ]));
        let arguments: Vec<_> =
            text.split("- ").map(str::trim).filter(|argument| !argument.is_empty()).collect();
        format!("!If [{}]", arguments.join(", "))
    };
    for (given, expected) in [
        (EVERY_FILE.to_vec(), "sqlite:/opt/flights.db"),
        (with(EVERY_FILE, ("OriginFile", "/opt/air.db")), "sqlite:/opt/air.db"),
        (EVERY_SERVER.to_vec(), URL),
        (DYNAMODB.to_vec(), "dynamodb:eu-west-1"),
        (with(DYNAMODB, ("OriginUrl", "dynamodb:us-east-1")), "dynamodb:us-east-1"),
    ] {
        let told = Deployment::new(&given).eval(&expression);
        assert_eq!(told, Outcome::Text(expected.to_owned()), "{given:?}");
    }
    let told = crate::sam::TEMPLATE.matches("LARDER_ORIGIN_URL: *origin-url").count();
    assert_eq!(told, 2, "write and top-n are told the same as read");
}

/// An account of a low quota cannot reserve any.
#[test]
fn concurrency_is_reserved_only_where_that_is_asked_for() {
    for (given, expected) in
        [(vec![], Outcome::Nothing), (vec![("ReserveConcurrency", "on")], Outcome::Text("1".to_owned()))]
    {
        for function in ["RingRefresh", "Scale"] {
            let expression = value_below(function, "ReservedConcurrentExecutions");
            assert_eq!(Deployment::new(&given).eval(&expression), expected, "{function}: {given:?}");
        }
    }
}

/// CloudFormation refuses it in the variables of a function.
#[test]
fn no_secure_string_is_taken_for_the_url_of_the_origin() {
    let lines = below(&["Parameters", "OriginUrl"]);
    let pattern = lines.iter().find_map(|line| line.trim().strip_prefix("AllowedPattern: ")).unwrap();
    assert!(pattern.contains("(secretsmanager|ssm)") && !pattern.contains("ssm-secure"), "{pattern}");
    assert!(!pattern.contains("sqlite"), "a file is OriginFile: {pattern}");
}

#[test]
fn whoever_calls_the_api_is_told_of_by_an_alarm_and_an_address() {
    for (alarm, namespace, metric) in [
        ("OriginFails", "Larder", "Errors"),
        ("WritesFail", "Larder", "Errors"),
        ("ApiFails", "AWS/ApiGateway", "5xx"),
    ] {
        assert_eq!(value_below(alarm, "Namespace"), namespace, "{alarm}");
        assert_eq!(value_below(alarm, "MetricName"), metric, "{alarm}");
    }
    assert_eq!(value_of(&["Outputs", "ListsUrl"], "Condition"), "HasLists");
    assert!(value_of(&["Outputs", "ListsUrl"], "Value").ends_with("/lists"));
    assert!(value_of(&["Outputs", "RecordsUrl"], "Value").ends_with("/records"));
}

/// A file, with everything that goes with one.
const EVERY_FILE: &[(&str, &str)] = &[("OriginLayerArn", ARN), ("ListsFile", "/opt/lists.json")];
/// A server, with everything that goes with one.
const EVERY_SERVER: &[(&str, &str)] = &[
    ("Origin", "postgres"),
    ("OriginUrl", URL),
    ("OriginSecurityGroupId", "sg-01234567"),
    ("Writing", "on"),
    ("Scaling", "on"),
    ("ElastiCacheApi", "endpoint"),
];
const DYNAMODB: &[(&str, &str)] =
    &[("Origin", "dynamodb"), ("OriginPolicyArn", ARN), ("Writing", "on"), ("OriginWritePolicyArn", ARN)];
const URL: &str = "postgres://larder:secret@db.local/air?sslmode=verify-full";
const ARN: &str = "arn";

fn with<'a>(given: &[(&'a str, &'a str)], more: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    without(given, more.0).into_iter().chain([more]).collect()
}

fn without<'a>(given: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    given.iter().copied().filter(|(given, _)| *given != name).collect()
}

/// What stands behind the last `key` of the properties of a resource.
fn value_below(resource: &str, key: &str) -> String {
    value_of(&["Resources", resource, "Properties"], key)
}

fn value_of(path: &[&str], key: &str) -> String {
    let lines = below(path);
    let mut values = lines.iter().rev().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    let value = values.next().unwrap_or_else(|| panic!("no {key} below {path:?}"));
    // An anchor is a name for what follows.
    value
        .strip_prefix('&')
        .and_then(|value| value.split_once(' '))
        .map_or(value, |(_, value)| value)
        .to_owned()
}
