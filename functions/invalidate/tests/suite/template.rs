//! The template and the function agree on what the function is told, and on what it answers.

use std::time::Duration;

use crate::sam::{Parameter, alarmed, below, timeout, told, told_otherwise};
use larder_invalidate::settings::Settings;
use larder_lambda::settings::Variables;

#[test]
fn the_function_takes_whatever_the_template_takes() {
    let chosen = [Parameter::default, Parameter::least, Parameter::most]
        .map(|choose| told("Invalidate", &GIVEN, choose));
    for variables in chosen.into_iter().chain(told_otherwise("Invalidate", &GIVEN)) {
        if let Err(wrong) = Settings::read(&Variables::from_iter(variables.clone())) {
            panic!("{wrong}: {variables:?}");
        }
    }
}

/// Without it Lambda takes every answer for success.
#[test]
fn the_queue_is_told_which_messages_are_not_done() {
    let source = source();
    assert_eq!(value(&source, "FunctionResponseTypes"), "[ReportBatchItemFailures]");
    assert_eq!(value(&source, "Queue"), "!GetAtt Invalidations.Arn");
}

/// Lambda refuses a queue that hands a message over again while the function still works on it, and advises six times
/// its timeout.
#[test]
fn a_message_is_not_handed_over_again_while_it_is_worked_on() {
    let queue = below(&["Resources", "Invalidations", "Properties"]);
    let visibility = Duration::from_secs(value(&queue, "VisibilityTimeout").parse().unwrap());
    assert!(visibility >= 6 * timeout("Invalidate"), "{visibility:?}");
}

#[test]
fn what_is_given_up_is_kept_and_told() {
    let queue = below(&["Resources", "Invalidations", "Properties"]);
    let redrive = value(&queue, "RedrivePolicy");
    assert!(redrive.contains("!GetAtt InvalidationsGivenUp.Arn"), "{redrive}");
    for (alarm, queue) in
        [("InvalidationsOld", "Invalidations"), ("InvalidationsLost", "InvalidationsGivenUp")]
    {
        let dimensions = value(&below(&["Resources", alarm, "Properties"]), "Dimensions");
        assert!(dimensions.contains(&format!("!GetAtt {queue}.QueueName")), "{alarm}: {dimensions}");
    }
    assert!(
        alarmed("Invalidate").is_empty(),
        "the names of metrics are to be checked here, as for ring-refresh"
    );
}

fn source() -> Vec<&'static str> {
    below(&["Resources", "Invalidate", "Properties", "Events", "Failed", "Properties"])
}

fn value(lines: &[&'static str], key: &str) -> &'static str {
    let of_key = |line: &&'static str| line.trim().strip_prefix(key)?.strip_prefix(':').map(str::trim);
    lines.iter().find_map(of_key).unwrap_or_else(|| panic!("no {key} there: {lines:?}"))
}

/// What the template makes out of more than a parameter.
const GIVEN: [(&str, &str); 1] = [("LARDER_CONFIG_ENDPOINT", "cache.local:11211")];
