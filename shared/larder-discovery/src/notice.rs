//! A notice that ElastiCache publishes: what happened, and to which cluster.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use crate::event::{Effect, Event};
use crate::malformed_notice::{MalformedNotice, NoticeFault};

/// What ElastiCache says through SNS when something happens to a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// The id of the cluster, of the replication group or of one of its members, as the notice writes it: 1 to
    /// [`MAX_ID_LEN`] visible ASCII characters. Ask [`is_about`](Notice::is_about) rather than compare.
    pub cluster: String,
    /// Everything else that the notice says, by its keys: texts as they are, other values as JSON. As large as the
    /// notice.
    pub details: BTreeMap<String, String>,
}

impl Notice {
    /// Reads the `Message` of an SNS record.
    ///
    /// Two shapes are read, with their keys in any case and order. Today's has one key that begins with
    /// `ElastiCache:`; what follows up to a blank is the event's name, and its value is the cluster. That of 2015
    /// has the cluster under `SourceIdentifier`, and says no more than that something [`Changed`](Event::Changed).
    /// All other keys are details; of one that stands twice the last counts.
    ///
    /// Reads at most [`MAX_NOTICE_LEN`] bytes, and JSON no deeper than 128 levels.
    ///
    /// # Errors
    /// [`MalformedNotice`] names the fault and repeats how the text begins. A text that names two events, or two
    /// clusters for one, is refused, not mended.
    ///
    /// Source: AWS, *Amazon ElastiCache for Memcached*, "Event Notifications and Amazon SNS"; its edition of 2018
    /// for the older shape, which `DescribeEvents` still returns.
    ///
    /// ```
    /// use larder_discovery::{Effect, Event, Notice};
    ///
    /// let notice = Notice::parse(r#"{"ElastiCache:AddCacheNodeComplete":"larder"}"#)?;
    /// assert_eq!(notice.event, Event::AddCacheNodeComplete);
    /// assert_eq!(notice.effect_on("larder"), Some(Effect::Nodes));
    /// assert_eq!(notice.effect_on("larder-2"), None);
    /// # Ok::<(), larder_discovery::MalformedNotice>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, MalformedNotice> {
        read(text).map_err(|fault| MalformedNotice::new(fault, text))
    }

    /// Whether this is about the cluster or replication group `cluster_name`, or about a member of that group.
    ///
    /// Case is overlooked, as ElastiCache writes all ids in lower case. A member is known by the digits behind the
    /// name: `name-001`, or with its shard `name-0001-001`. A cluster that somebody called so is taken for a
    /// member; that costs one look at the nodes too many.
    #[must_use]
    pub fn is_about(&self, cluster_name: &str) -> bool {
        if cluster_name.is_empty() {
            return false;
        }
        let Some((name, rest)) = self.cluster.split_at_checked(cluster_name.len()) else { return false };
        name.eq_ignore_ascii_case(cluster_name) && (rest.is_empty() || is_member(rest))
    }

    /// What follows for the cluster `cluster_name`; `None` if this is about another.
    ///
    /// The end of a member is a change of the nodes, not the end of the group.
    #[must_use]
    pub fn effect_on(&self, cluster_name: &str) -> Option<Effect> {
        let is_member = !self.cluster.eq_ignore_ascii_case(cluster_name);
        self.is_about(cluster_name).then(|| match self.event.effect() {
            Effect::Gone if is_member => Effect::Nodes,
            effect => effect,
        })
    }
}

fn read(text: &str) -> Result<Notice, NoticeFault> {
    if text.len() > MAX_NOTICE_LEN {
        return Err(NoticeFault::TooLong { len: text.len() });
    }
    let Entries(entries) = serde_json::from_str(text).map_err(|error| fault(&error))?;
    let (mut subjects, mut details): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(key, _)| event_name(key).is_some());
    if subjects.is_empty() {
        (subjects, details) = details.into_iter().partition(|(key, _)| key.eq_ignore_ascii_case(SOURCE));
    }
    // The same said twice is said once.
    subjects.dedup();
    let (key, cluster) = match &subjects[..] {
        [] => return Err(NoticeFault::NoEvent),
        [subject] => subject,
        _ => return Err(NoticeFault::SeveralEvents),
    };
    Ok(Notice {
        event: event(key)?,
        cluster: cluster_id(cluster)?,
        details: details.into_iter().map(|(key, value)| (key, shown(value))).collect(),
    })
}

fn fault(error: &serde_json::Error) -> NoticeFault {
    match error.classify() {
        Category::Data => NoticeFault::NotAnObject,
        _ => NoticeFault::NotJson { line: error.line(), column: error.column() },
    }
}

fn event(key: &str) -> Result<Event, NoticeFault> {
    match event_name(key) {
        None => Ok(Event::Changed),
        Some(name) if is_visible(name, MAX_NAME_LEN) => Ok(Event::from_name(name)),
        Some(_) => Err(NoticeFault::BadName),
    }
}

/// The name in a key that begins with `ElastiCache:`, empty if nothing follows. AWS's table has a reason behind
/// some names, after a blank.
fn event_name(key: &str) -> Option<&str> {
    let (service, name) = key.split_once(':')?;
    service.trim().eq_ignore_ascii_case(SERVICE).then(|| name.split_whitespace().next().unwrap_or_default())
}

fn cluster_id(value: &Value) -> Result<String, NoticeFault> {
    match value.as_str().map(str::trim) {
        Some(id) if is_visible(id, MAX_ID_LEN) => Ok(id.to_owned()),
        _ => Err(NoticeFault::BadCluster),
    }
}

fn is_visible(text: &str, max_len: usize) -> bool {
    (1..=max_len).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether `rest` is what stands behind the name of a replication group in the id of its member: `-001` or
/// `-0001-001`.
fn is_member(rest: &str) -> bool {
    let is_number = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(numbers) = rest.strip_prefix('-') else { return false };
    match numbers.split_once('-') {
        None => is_number(numbers, 3),
        Some((shard, member)) => is_number(shard, 4) && is_number(member, 3),
    }
}

fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// All entries of a JSON object in their order, those with the same key too.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

const SERVICE: &str = "ElastiCache";

/// The key of the cluster in the older shape.
const SOURCE: &str = "SourceIdentifier";

/// Longest notice read, in bytes: what SNS carries at most.
pub const MAX_NOTICE_LEN: usize = 262_144;

/// Longest name of an event taken, in bytes: twice the longest of today.
pub const MAX_NAME_LEN: usize = 100;

/// Longest id of a cluster taken, in bytes: well above the 50 that ElastiCache allows.
pub const MAX_ID_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::malformed_notice::MAX_EXCERPT_LEN;

    #[test]
    fn todays_shape_names_the_event_and_the_cluster() {
        check(
            r#"{"ElastiCache:AddCacheNodeComplete":"larder"}"#,
            Ok((Event::AddCacheNodeComplete, "larder", &[])),
        );
    }

    #[test]
    fn keys_around_the_event_are_details() {
        check(
            r#"{"ElastiCache:FailoverComplete":"g","Cache Cluster ID":"g-001"}"#,
            Ok((Event::Other("FailoverComplete".into()), "g", &[("Cache Cluster ID", "g-001")])),
        );
    }

    #[test]
    fn keys_in_front_of_the_event_are_details_too() {
        check(
            r#"{"Service Update Name":"elasticache-20260608-intel","Replication Group ID":"g","ElastiCache:ServiceUpdateAvailableForNode":"g"}"#,
            Ok((
                Event::ServiceUpdateAvailableForNode,
                "g",
                &[("Replication Group ID", "g"), ("Service Update Name", "elasticache-20260608-intel")],
            )),
        );
    }

    #[test]
    fn the_shape_of_2015_says_that_something_changed() {
        check(
            r#"{"Date":"2015-12-05T01:02:18.336Z","Message":"Cache cluster created","SourceIdentifier":"memcache-ni","SourceType":"cache-cluster"}"#,
            Ok((
                Event::Changed,
                "memcache-ni",
                &[
                    ("Date", "2015-12-05T01:02:18.336Z"),
                    ("Message", "Cache cluster created"),
                    ("SourceType", "cache-cluster"),
                ],
            )),
        );
        check(r#"{"sourceidentifier":"larder"}"#, Ok((Event::Changed, "larder", &[])));
    }

    #[test]
    fn an_event_counts_before_a_source() {
        check(
            r#"{"SourceIdentifier":"other","ElastiCache:CacheNodesRebooted":"larder"}"#,
            Ok((Event::CacheNodesRebooted, "larder", &[("SourceIdentifier", "other")])),
        );
    }

    #[test]
    fn the_case_of_the_key_does_not_matter_and_that_of_the_cluster_is_kept() {
        for key in ["Elasticache:addcachenodecomplete", "ELASTICACHE:ADDCACHENODECOMPLETE"] {
            check(&json!({ key: "Larder" }).to_string(), Ok((Event::AddCacheNodeComplete, "Larder", &[])));
        }
    }

    #[test]
    fn blanks_and_a_reason_around_the_name_are_overlooked() {
        check(
            r#"{"ElastiCache:AddCacheNodeFailed due to insufficient free IP addresses":"larder"}"#,
            Ok((Event::AddCacheNodeFailed, "larder", &[])),
        );
        check(
            r#" { " ElastiCache : CacheNodesRebooted " : " larder " } "#,
            Ok((Event::CacheNodesRebooted, "larder", &[])),
        );
    }

    #[test]
    fn a_name_with_escapes_is_the_same_name() {
        check(
            r#"{"Elasti\u0043ache:CacheNodesRebooted":"\u006carder"}"#,
            Ok((Event::CacheNodesRebooted, "larder", &[])),
        );
    }

    #[test]
    fn an_event_in_nobodys_table_keeps_its_name() {
        check(
            r#"{"ElastiCache:NodeTeleported":"larder"}"#,
            Ok((Event::Other("NodeTeleported".into()), "larder", &[])),
        );
    }

    #[test]
    fn details_that_are_no_text_are_kept_as_json() {
        check(
            r#"{"n":1,"t":[true,null],"o":{"a":"b"},"s":"","ElastiCache:CacheNodesRebooted":"larder"}"#,
            Ok((
                Event::CacheNodesRebooted,
                "larder",
                &[("n", "1"), ("o", r#"{"a":"b"}"#), ("s", ""), ("t", "[true,null]")],
            )),
        );
    }

    #[test]
    fn of_a_detail_told_twice_the_last_counts() {
        check(
            r#"{"Node ID":"0001","ElastiCache:CacheNodesRebooted":"larder","Node ID":"0002"}"#,
            Ok((Event::CacheNodesRebooted, "larder", &[("Node ID", "0002")])),
        );
    }

    #[test]
    fn an_event_told_twice_is_one_event() {
        check(
            r#"{"ElastiCache:CacheNodesRebooted":"larder","n":"1","ElastiCache:CacheNodesRebooted":"larder"}"#,
            Ok((Event::CacheNodesRebooted, "larder", &[("n", "1")])),
        );
    }

    #[test]
    fn two_events_or_two_clusters_are_refused() {
        for text in [
            r#"{"ElastiCache:CacheNodesRebooted":"larder","ElastiCache:CacheNodesRebooted":"pantry"}"#,
            r#"{"ElastiCache:CacheNodesRebooted":"larder","ElastiCache:AddCacheNodeComplete":"larder"}"#,
            r#"{"SourceIdentifier":"larder","SourceIdentifier":"pantry"}"#,
        ] {
            check(text, Err(NoticeFault::SeveralEvents));
        }
    }

    #[test]
    fn json_that_is_no_object_is_refused() {
        for text in
            ["null", "true", "17", r#""ElastiCache:CacheNodesRebooted""#, "[]", r#"[{"ElastiCache:X":"y"}]"#]
        {
            check(text, Err(NoticeFault::NotAnObject));
        }
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_with_its_place() {
        check("", Err(NoticeFault::NotJson { line: 1, column: 0 }));
        check("ElastiCache:CacheNodesRebooted : larder", Err(NoticeFault::NotJson { line: 1, column: 1 }));
        check("{\"ElastiCache:X\":\n'y'}", Err(NoticeFault::NotJson { line: 2, column: 1 }));
        check(r#"{"ElastiCache:X":"y"} {}"#, Err(NoticeFault::NotJson { line: 1, column: 23 }));
    }

    #[test]
    fn a_notice_cut_anywhere_is_refused() {
        let whole = r#"{"Node ID":"0001","ElastiCache:CacheNodesRebooted":"larder"}"#;
        for cut in 0..whole.len() {
            let error = Notice::parse(&whole[..cut]).unwrap_err();
            assert!(matches!(error.fault, NoticeFault::NotJson { .. }), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn an_object_without_an_event_is_refused() {
        for text in [
            "{}",
            r#"{"Message":"Cache cluster created","SourceType":"cache-cluster"}"#,
            r#"{"AlarmName":"larder-high","NewStateValue":"ALARM"}"#,
            r#"{"MyElastiCache:CacheNodesRebooted":"larder"}"#,
            r#"{"ElastiCacheCacheNodesRebooted":"larder"}"#,
            r#"{"Notice":{"ElastiCache:CacheNodesRebooted":"larder"}}"#,
        ] {
            check(text, Err(NoticeFault::NoEvent));
        }
    }

    #[test]
    fn a_name_that_is_no_name_is_refused() {
        for name in ["", " ", "Zurück", "Reboot\\u0000ed"] {
            check(&format!(r#"{{"ElastiCache:{name}":"larder"}}"#), Err(NoticeFault::BadName));
        }
        let longest = "x".repeat(MAX_NAME_LEN);
        check(
            &json!({ format!("ElastiCache:{longest}"): "larder" }).to_string(),
            Ok((Event::Other(longest.clone()), "larder", &[])),
        );
        check(&json!({ format!("ElastiCache:x{longest}"): "larder" }).to_string(), Err(NoticeFault::BadName));
    }

    #[test]
    fn a_cluster_that_is_no_id_is_refused() {
        for cluster in
            ["null", "17", "[\"larder\"]", "{}", "\"\"", "\" \"", "\"lar der\"", "\"a\\u001b\"", "\"ä\""]
        {
            check(
                &format!(r#"{{"ElastiCache:CacheNodesRebooted":{cluster}}}"#),
                Err(NoticeFault::BadCluster),
            );
            check(&format!(r#"{{"SourceIdentifier":{cluster}}}"#), Err(NoticeFault::BadCluster));
        }
        let longest = "x".repeat(MAX_ID_LEN);
        check(
            &json!({ "ElastiCache:CacheNodesRebooted": longest }).to_string(),
            Ok((Event::CacheNodesRebooted, &longest, &[])),
        );
        check(
            &json!({ "ElastiCache:CacheNodesRebooted": format!("x{longest}") }).to_string(),
            Err(NoticeFault::BadCluster),
        );
    }

    #[test]
    fn a_text_longer_than_sns_carries_is_refused() {
        let mut text = r#"{"ElastiCache:CacheNodesRebooted":"larder"}"#.to_owned();
        text.extend(std::iter::repeat_n(' ', MAX_NOTICE_LEN - text.len()));
        check(&text, Ok((Event::CacheNodesRebooted, "larder", &[])));
        text.push(' ');
        check(&text, Err(NoticeFault::TooLong { len: 262_145 }));
    }

    #[test]
    fn a_text_nested_deeper_than_the_stack_is_refused() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let text = format!(
                r#"{{"ElastiCache:CacheNodesRebooted":"larder","deep":{}1{}}}"#,
                open.repeat(40_000),
                close.repeat(40_000)
            );
            let error = Notice::parse(&text).unwrap_err();
            assert!(matches!(error.fault, NoticeFault::NotJson { .. }), "{error}");
            assert!(error.to_string().len() < 1_000, "{error}");
        }
    }

    #[test]
    fn a_text_full_of_keys_is_read() {
        let keys: String = (0..20_000).map(|n| format!(r#""{n}":0,"#)).collect();
        let notice =
            Notice::parse(&format!(r#"{{{keys}"ElastiCache:CacheNodesRebooted":"larder"}}"#)).unwrap();
        assert_eq!((notice.cluster.as_str(), notice.details.len()), ("larder", 20_000));
    }

    #[test]
    fn a_notice_is_about_the_cluster_it_names() {
        check_about("larder", "larder", true);
        check_about("LARDER", "larder", true);
        check_about("larder", "Larder", true);
        check_about("my-cluster-001", "my-cluster-001", true);
        check_about("pantry", "larder", false);
        check_about("larde", "larder", false);
        check_about("larder", "", false);
    }

    #[test]
    fn a_notice_about_a_member_is_about_its_group() {
        check_about("name-001", "name", true);
        check_about("name-0001-005", "name", true);
        check_about("NAME-0001-005", "name", true);
        check_about("my-cluster-2-001", "my-cluster-2", true);
    }

    #[test]
    fn a_name_that_begins_with_another_is_another() {
        for id in [
            "name2",
            "name-2",
            "name-12",
            "name-0001",
            "name-1234-",
            "name-0001-05",
            "name-001-001",
            "name-0001-0001",
            "name-0001-001-001",
            "name-001x",
            "name-+01",
            "name--001",
            "name001",
            "name-",
        ] {
            check_about(id, "name", false);
        }
        check_about("my-cluster-2", "my-cluster", false);
        check_about("my-cluster", "my-cluster-2", false);
        check_about("my-cluster-2-001", "my-cluster", false);
        check_about("name", "name-001", false);
    }

    #[test]
    fn another_cluster_is_not_touched() {
        assert_eq!(notice("DeleteCacheClusterComplete", "larder-2").effect_on("larder"), None);
        assert_eq!(notice("AddCacheNodeComplete", "pantry").effect_on("larder"), None);
    }

    #[test]
    fn the_end_of_a_member_is_not_the_end_of_the_group() {
        let gone = |id| notice("DeleteCacheClusterComplete", id).effect_on("larder");
        assert_eq!(gone("Larder"), Some(Effect::Gone));
        assert_eq!(gone("larder-002"), Some(Effect::Nodes));
        assert_eq!(gone("larder-0001-002"), Some(Effect::Nodes));
        assert_eq!(
            notice("CacheClusterScalingFailed", "larder-002").effect_on("larder"),
            Some(Effect::Alarm)
        );
    }

    #[test]
    fn an_error_says_why_and_how_the_text_begins() {
        let error = Notice::parse("The topic was subscribed.").unwrap_err();
        assert_eq!(error.to_string(), "the notice is no JSON at line 1, column 1: The topic was subscribed.");
    }

    /// Nearly notices: keys and values that matter, a comma or the end missing here and there.
    const NEARLY: &str = concat!(
        r#"\{(("(ElastiCache|elasticache):[A-Za-z ]{0,8}"|"SourceIdentifier"|"\PC{0,4}")"#,
        r#":("larder(-0?001)?"|"\PC{0,4}"|null|1),?){0,3}\}?"#
    );

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in any::<String>()) {
            let _ = Notice::parse(&text);
        }

        #[test]
        fn what_is_taken_keeps_its_promises(text in NEARLY, name in "[a-z-]{0,8}") {
            match Notice::parse(&text) {
                Ok(notice) => {
                    prop_assert!(is_visible(&notice.cluster, MAX_ID_LEN));
                    prop_assert!(is_visible(notice.event.name(), MAX_NAME_LEN));
                    prop_assert!(notice.is_about(&notice.cluster));
                    prop_assert_eq!(notice.effect_on(&name).is_some(), notice.is_about(&name));
                }
                Err(error) => prop_assert!(error.excerpt.chars().count() <= 10 * MAX_EXCERPT_LEN + 1),
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            event in "[A-Z][A-Za-z]{0,40}",
            cluster in "[a-z][a-z0-9-]{0,49}",
            details in proptest::collection::btree_map("[^:]{0,20}", any::<String>(), 0..8),
        ) {
            let mut text = json!(details);
            text[format!("ElastiCache:{event}")] = json!(cluster);
            let read = Notice::parse(&text.to_string()).unwrap();
            prop_assert_eq!(read.event.name().to_ascii_lowercase(), event.to_ascii_lowercase());
            prop_assert_eq!((read.cluster, read.details), (cluster, details));
        }

        #[test]
        fn a_member_is_about_its_group_and_no_other(
            group in "[a-z]([a-z0-9-]{0,20}[a-z])?",
            shard in proptest::option::of(1u16..=500),
            member in 1u16..=500,
            other in "[a-z]{1,3}",
        ) {
            let shard = shard.map_or_else(String::new, |shard| format!("-{shard:04}"));
            let id = format!("{group}{shard}-{member:03}");
            let notice = notice("CacheNodesRebooted", &id);
            prop_assert!(notice.is_about(&group));
            let (longer, shorter) = (format!("{group}{other}"), &group[1..]);
            prop_assert!(!notice.is_about(&longer));
            prop_assert!(!notice.is_about(shorter));
        }
    }

    fn notice(event: &str, cluster: &str) -> Notice {
        Notice::parse(&json!({ format!("ElastiCache:{event}"): cluster }).to_string()).unwrap()
    }

    /// An event, its cluster, and the details in the order of their keys.
    type Expected<'a> = Result<(Event, &'a str, &'a [(&'a str, &'a str)]), NoticeFault>;

    #[track_caller]
    fn check(text: &str, expected: Expected<'_>) {
        let expected = expected.map(|(event, cluster, details)| Notice {
            event,
            cluster: cluster.to_owned(),
            details: details.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        });
        let actual = Notice::parse(text).map_err(|error| error.fault);
        assert_eq!(actual, expected, "text: {}", &text[..text.len().min(200)]);
    }

    #[track_caller]
    fn check_about(id: &str, cluster_name: &str, expected: bool) {
        let notice = notice("CacheNodesRebooted", id);
        assert_eq!(notice.is_about(cluster_name), expected, "{id} and {cluster_name}");
    }
}
