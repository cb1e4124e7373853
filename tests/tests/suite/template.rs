//! The template as a whole: what no function's own test can tell.

use crate::sam::{TEMPLATE, below};

/// A function that cannot start measures nothing: Lambda alone counts it.
#[test]
fn every_function_that_fails_or_cannot_start_is_told_of() {
    let functions = resources("AWS::Serverless::Function");
    assert_eq!(functions.len(), 6, "{functions:?}");
    let alarms = resources("AWS::CloudWatch::Alarm");
    for function in functions.iter().filter(|function| **function != "Invalidate") {
        let is_of_it = |alarm: &&&str| {
            let lines = below(&["Resources", alarm, "Properties"]);
            let has = |text: &str| lines.iter().any(|line| line.trim() == text);
            let dimensions = format!("Dimensions: [{{ Name: FunctionName, Value: !Ref {function} }}]");
            has("Namespace: AWS/Lambda") && has("MetricName: Errors") && has(&dimensions)
        };
        let alarm = alarms.iter().find(is_of_it).unwrap_or_else(|| panic!("nobody hears of {function}"));
        assert_eq!(value(alarm, "Condition"), value(function, "Condition"), "{alarm}");
    }
    // What it does not do stays in its queue, whose age is told.
    assert!(alarms.contains(&"InvalidationsOld"), "{alarms:?}");
}

#[test]
fn rights_at_the_origin_are_those_of_the_function_that_needs_them() {
    for role in resources("AWS::IAM::Role") {
        let given = policies(role);
        let is_given =
            |parameter: &str| given.is_some_and(|text| text.contains(&format!("!Ref {parameter}]")));
        let reads = ["ReadRole", "TopNRole"].contains(&role);
        assert_eq!(is_given("OriginPolicyArn"), reads, "{role}: {given:?}");
        assert_eq!(is_given("OriginWritePolicyArn"), role == "WriteRole", "{role}: {given:?}");
    }
}

#[test]
fn a_function_that_is_told_of_the_files_of_a_layer_has_it() {
    let unpacked =
        TEMPLATE.matches("Layers: !If [HasLayer, [!Ref OriginLayerArn], !Ref AWS::NoValue]").count();
    let told = TEMPLATE.matches("LARDER_LISTS_FILE: !Ref ListsFile").count();
    assert_eq!((unpacked, told), (3, 3), "who is told of the file has the layer that holds it");
}

/// The names of the resources of a type, in the order of the template.
fn resources(kind: &str) -> Vec<&'static str> {
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
    let names = below(&["Resources"]).into_iter().filter(is_name);
    let names = names.map(|line| line.trim().trim_end_matches(':'));
    names.filter(|name| value(name, "Type") == Some(kind)).collect()
}

/// What stands behind `key` of a resource itself.
fn value(resource: &str, key: &str) -> Option<&'static str> {
    let lines = below(&["Resources", resource]);
    lines.into_iter().find_map(|line| line.strip_prefix("    ")?.strip_prefix(key)?.strip_prefix(": "))
}

/// The managed policies of a role, as its text has them or that of the anchor that it names.
fn policies(role: &str) -> Option<&'static str> {
    let lines = below(&["Resources", role, "Properties"]);
    let text = lines.into_iter().find_map(|line| line.trim().strip_prefix("ManagedPolicyArns: "))?;
    match text.strip_prefix('*') {
        Some(anchor) => {
            TEMPLATE.lines().find_map(|line| line.split_once(&format!("&{anchor} "))).map(|(_, text)| text)
        }
        None => Some(text),
    }
}
