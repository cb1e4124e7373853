//! The template and the function agree on what the function is told.

use std::collections::BTreeSet;

use larder_lambda::settings::Variables;
use larder_read::settings::Settings;
use larder_ring::RingKind;

const TEMPLATE: &str = include_str!("../../../template.yaml");

#[test]
fn the_function_knows_every_variable_of_the_template() {
    let values = |name: &str| match name {
        "LARDER_CONFIG_ENDPOINT" => "cache.local:11211".to_owned(),
        "LARDER_TLS" => default_of("CacheTls"),
        "LARDER_RING" => default_of("Ring"),
        "LARDER_DISCOVERY_INTERVAL_SECS" => default_of("DiscoveryIntervalSecs"),
        "LARDER_ORIGIN_URL" => default_of("OriginUrl"),
        "LARDER_TABLES" => default_of("Tables"),
        "LARDER_TTL_SECS" => default_of("TtlSecs"),
        "LARDER_NEGATIVE_TTL_SECS" => default_of("NegativeTtlSecs"),
        other => panic!("{other} is not known to this test"),
    };
    let names: BTreeSet<_> = TEMPLATE.split_whitespace().filter_map(|word| word.strip_suffix(':')).collect();
    let names = names.into_iter().filter(|name| name.starts_with("LARDER_"));
    let variables: Variables = names.map(|name| (name, values(name))).collect();
    let settings = Settings::read(&variables).unwrap();
    assert_eq!(settings.policies.len(), 4);
}

#[test]
fn the_template_offers_every_ring() {
    let (_, rings) = TEMPLATE.split_once("  Ring:").unwrap();
    let (_, rings) = rings.split_once("AllowedValues:\n").unwrap();
    let rings: Vec<_> = rings.lines().map_while(|line| line.trim().strip_prefix("- ")).collect();
    assert_eq!(rings, RingKind::ALL.map(RingKind::name));
}

#[test]
fn the_template_charts_what_the_function_measures() {
    let metrics = include_str!("../src/metrics.rs");
    for line in
        TEMPLATE.lines().filter(|line| line.contains("Namespace: Larder") || line.contains("NAMESPACE"))
    {
        assert!(line.ends_with(" Larder"), "{line}");
    }
    for name in ["Bypass", "Hits", "Misses", "Stale"] {
        assert!(TEMPLATE.contains(&format!("MetricName: {name}\n")), "{name}");
        assert!(metrics.contains(&format!("(\"{name}\", counts.")), "{name}");
    }
}

/// The default of a parameter.
fn default_of(parameter: &str) -> String {
    let (_, text) = TEMPLATE.split_once(&format!("\n  {parameter}:\n")).expect("a parameter");
    let default = text.lines().find_map(|line| line.trim().strip_prefix("Default: ")).expect("a default");
    default.trim_matches('"').to_owned()
}
