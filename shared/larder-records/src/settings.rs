//! The settings, read and checked; nothing is connected.

use larder_lambda::aws::{self, Credentials};
use larder_lambda::settings::{Reader, Setting, Variables, text, whole};
use larder_origin::{AwsSettings, Origin};

use crate::knobs::Knobs;
use crate::records::Records;
use crate::tables::{Table, origin_tables, parse};

/// Reads where records live, which tables are served, and how; what is missing or wrong is noted by `reader`. Connects
/// to nothing.
///
/// `variables` are those that `reader` reads; what Lambda sets is looked up there where the origin is in AWS.
pub fn read(reader: &mut Reader<'_>, variables: &Variables) -> Option<(Origin, Records)> {
    let url = reader.required(ORIGIN_URL, text);
    let aws =
        url.as_ref().filter(|url| url.starts_with("dynamodb:")).map(|_| aws::credentials(reader, variables));
    let knobs = Knobs::read(reader);
    let tables = reader.required(TABLES, |value| parse(value, &knobs));
    let origin = origin(reader, url, tables.as_deref());
    let key_prefix = reader.optional(KEY_PREFIX, key_prefix);
    let origin = match aws {
        None => origin?,
        Some(credentials) => {
            let Credentials { access_key_id, secret_access_key, session_token } = credentials?;
            origin?.with_aws(AwsSettings::new(access_key_id, secret_access_key, session_token))
        }
    };
    Some((origin, Records::new(tables?, key_prefix)))
}

/// Reads how many loads an environment has under way at once.
pub fn read_origin_limit(reader: &mut Reader<'_>) -> usize {
    reader.or(ORIGIN_LIMIT, 4, whole(1..=1_000)) as usize
}

/// The origin at `url`. The URL is looked at even where `tables` were wrong, so that both are told.
fn origin(reader: &mut Reader<'_>, url: Option<String>, tables: Option<&[Table]>) -> Option<Origin> {
    let known = tables.and_then(|tables| origin_tables(tables).ok());
    let tables = known.or_else(|| "any:id".parse().ok())?;
    Origin::new(&url?, tables)
        .map_err(|wrong| reader.fault(ORIGIN_URL, format_args!("does not do: {wrong}")))
        .ok()
}

fn key_prefix(value: &str) -> Result<String, String> {
    let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let fits = (1..=MAX_KEY_PREFIX_LEN).contains(&value.len());
    let wrong = || format!("is not 1 to {MAX_KEY_PREFIX_LEN} letters, digits, dots, underscores and hyphens");
    (is_plain && fits).then(|| value.to_owned()).ok_or_else(wrong)
}

/// Leaves most of a key's 250 bytes to table and id.
const MAX_KEY_PREFIX_LEN: usize = 32;

const ORIGIN_URL: Setting = Setting { name: "LARDER_ORIGIN_URL", example: "sqlite:/opt/flights.db" };
const TABLES: Setting =
    Setting { name: "LARDER_TABLES", example: "flights:id:version=version,airports:faa:86400" };
const KEY_PREFIX: Setting = Setting { name: "LARDER_KEY_PREFIX", example: "air" };
/// How many loads an environment has under way at once.
pub const ORIGIN_LIMIT: Setting = Setting { name: "LARDER_ORIGIN_LIMIT", example: "4" };

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_cache::Policy;
    use larder_client::Ttl;
    use larder_lambda::settings::InvalidSettings;

    use super::*;

    const LEAST: [(&str, &str); 2] =
        [("LARDER_ORIGIN_URL", "sqlite:s3cret.db"), ("LARDER_TABLES", "flights:id,airports:faa:86400")];

    /// The settings of [`LEAST`] with `more` in its place.
    fn read_all(more: &[(&str, &str)]) -> Result<Records, InvalidSettings> {
        let variables: Variables = LEAST.iter().chain(more).copied().collect();
        let mut reader = Reader::new(&variables);
        let (records, limit) = (read(&mut reader, &variables), read_origin_limit(&mut reader));
        reader.finish("LARDER_", || (limit > 0).then_some(records?.1))
    }

    #[track_caller]
    fn policy(more: &[(&str, &str)], table: &str) -> Policy {
        read_all(more).unwrap().table(table).unwrap().policy.clone()
    }

    #[track_caller]
    fn check_fault(more: &[(&str, &str)], name: &str, what: &str) {
        let error = read_all(more).unwrap_err();
        let found = error.faults.iter().any(|fault| fault.name == name && fault.what.contains(what));
        assert!(found, "{more:?} gave {:?}", error.faults);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn two_variables_are_enough() {
        assert_eq!(policy(&[], "flights"), Policy::fresh_for(Ttl::clamped(300)));
        assert_eq!(policy(&[], "airports"), Policy::fresh_for(Ttl::clamped(86_400)));
        assert_eq!(read_all(&[]).unwrap().table("planes"), None);
    }

    #[test]
    fn every_variable_is_taken_and_an_option_stands_above_it() {
        let all = [
            ("LARDER_TTL_SECS", "60"),
            ("LARDER_GRACE_SECS", "50"),
            ("LARDER_EARLY_SECS", "40"),
            ("LARDER_NEGATIVE_TTL_SECS", "7"),
            ("LARDER_ERROR_TTL_SECS", "0"),
            ("LARDER_LOAD_MS", "1500"),
            ("LARDER_LEASE_SECS", "4"),
            ("LARDER_WAIT_MS", "0"),
            ("LARDER_TTL_JITTER_PERCENT", "0"),
            ("LARDER_STALE_ON_ERROR", "off"),
            ("LARDER_STALE_AFTER_INVALIDATE", "on"),
            ("LARDER_COMPRESS_FROM_BYTES", "0"),
            ("LARDER_SCHEMA", "3"),
            ("LARDER_NEAR_SECS", "2"),
        ];
        let expected = Policy {
            fresh_for: Ttl::clamped(60),
            grace: Duration::from_secs(50),
            early: Duration::from_secs(40),
            negative_for: Ttl::clamped(7),
            error_for: None,
            load_for: Duration::from_millis(1500),
            lease_for: Ttl::clamped(4),
            wait_for: Duration::ZERO,
            jitter: 0.0,
            stale_on_error: false,
            stale_after_invalidate: true,
            compress_from: None,
            near_for: Some(Duration::from_secs(2)),
            tags: Vec::new(),
            schema: 3,
        };
        assert_eq!(policy(&all, "flights"), expected);
        assert_eq!(policy(&all, "airports"), Policy { fresh_for: Ttl::clamped(86_400), ..expected.clone() });
        let entry = "flights:id:ttl=60:grace=50:early=40:negative=7:error=0:load-ms=1500:lease=4:wait-ms=0:jitter=0\
            :stale-on-error=off:stale-after-invalidate=on:compress=0:schema=3:near=2,airports:faa";
        assert_eq!(policy(&[("LARDER_TABLES", entry)], "flights"), expected);
        assert_eq!(policy(&[("LARDER_TABLES", entry)], "airports"), Policy::fresh_for(Ttl::clamped(300)));
    }

    #[test]
    fn a_lease_and_a_wait_follow_from_what_a_load_may_take() {
        let slow = policy(&[("LARDER_LOAD_MS", "20500")], "flights");
        assert_eq!((slow.lease_for.as_secs(), slow.wait_for), (23, Duration::from_millis(20_500)));
        check_fault(
            &[("LARDER_LOAD_MS", "20500"), ("LARDER_LEASE_SECS", "22")],
            "LARDER_TABLES",
            "a lease of 22 s is shorter than 22.5s",
        );
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_TABLES", ["flights", "flights:id;drop"]),
            ("LARDER_TABLES", ["a:id,a:id", ""]),
            ("LARDER_TABLES", ["flights:id:1", "flights:id:s3cret=1"]),
            ("LARDER_TABLES", ["flights:id:ttl=s3cret", "flights:id:early=s3cret"]),
            ("LARDER_TABLES", ["flights:id:error=1", "flights:id:early=300"]),
            ("LARDER_ORIGIN_URL", ["oracle://u:s3cret@h/d", ""]),
            ("LARDER_KEY_PREFIX", ["a:b", "abcdefghijklmnopqrstuvwxyz1234567"]),
            ("LARDER_TTL_SECS", ["1", "2592001"]),
            ("LARDER_GRACE_SECS", ["-1", "2592001"]),
            ("LARDER_EARLY_SECS", ["-1", "2592001"]),
            ("LARDER_NEGATIVE_TTL_SECS", ["1", "86401"]),
            ("LARDER_ERROR_TTL_SECS", ["1", "61"]),
            ("LARDER_LOAD_MS", ["0", "890001"]),
            ("LARDER_LEASE_SECS", ["1", "901"]),
            ("LARDER_WAIT_MS", ["-1", "60001"]),
            ("LARDER_TTL_JITTER_PERCENT", ["51", "0.15"]),
            ("LARDER_STALE_ON_ERROR", ["yes", "1"]),
            ("LARDER_STALE_AFTER_INVALIDATE", ["yes", "1"]),
            ("LARDER_COMPRESS_FROM_BYTES", ["-1", "1048577"]),
            ("LARDER_SCHEMA", ["-1", "256"]),
            ("LARDER_NEAR_SECS", ["4", "0.5"]),
            ("LARDER_ORIGIN_LIMIT", ["0", "1001"]),
        ] {
            for value in values {
                check_fault(&[(name, value)], name, "");
            }
        }
    }

    #[test]
    fn a_table_names_its_parents() {
        let tables = "airports:faa,flights:id:parent=airports.origin:60:parent= airports . dest ,staff:id:parent=staff.boss";
        let records = read_all(&[("LARDER_TABLES", tables)]).unwrap();
        let parents = |table: &str| {
            let parents = records.table(table).unwrap().parents.iter();
            parents.map(|parent| format!("{}.{}", parent.table, parent.column)).collect::<Vec<_>>()
        };
        assert_eq!(parents("flights"), ["airports.origin", "airports.dest"]);
        assert_eq!(parents("staff"), ["staff.boss"]);
        assert!(parents("airports").is_empty());
        assert_eq!(records.table("flights").unwrap().policy.fresh_for, Ttl::clamped(60));
    }

    #[test]
    fn a_parent_is_one_of_the_tables() {
        let check = |table: &str, what| check_fault(&[("LARDER_TABLES", table)], "LARDER_TABLES", what);
        check("a:id,b:id:parent=s3cret.a", "has a parent that is not one of the tables, at place 2");
        check("a:id,b:id:parent=a", "has a parent that is not table.column, at place 2");
        check("a:id:parent=a.", "is not a list of tables: ");
        check("a:id:parent=.x", "is not a list of tables: ");
        check("a:id:parent=a.x;drop", "is not a list of tables: ");
        check(&format!("a:id{}", ":parent=a.x".repeat(9)), "has a table with more than 8 parents");
        let most = format!("a:id{}", ":parent=a.x".repeat(8));
        assert!(read_all(&[("LARDER_TABLES", &most)]).is_ok());
    }

    #[test]
    fn an_origin_in_aws_needs_rights() {
        let url = ("LARDER_ORIGIN_URL", "dynamodb:eu-west-1");
        check_fault(&[url], "AWS_SECRET_ACCESS_KEY", "missing");
    }

    #[test]
    fn what_is_wrong_beside_each_other_is_told_together() {
        let faults = read_all(&[("LARDER_TABLES", "flights"), ("LARDER_ORIGIN_URL", "oracle:x")]);
        let names: Vec<_> = faults.unwrap_err().faults.into_iter().map(|fault| fault.name).collect();
        assert_eq!(names, ["LARDER_TABLES", "LARDER_ORIGIN_URL"]);
    }

    #[test]
    fn the_records_of_a_namespace_have_its_tag() {
        let all = [
            ("LARDER_KEY_PREFIX", "air"),
            ("LARDER_TABLES", "flights:id:namespace=on,airports:faa:namespace=off"),
        ];
        let records = read_all(&all).unwrap();
        let tag = larder_cache::Tag::new(["air", "flights"]);
        assert_eq!(records.table("flights").unwrap().tag(), Some(&tag));
        assert_eq!(records.table("flights").unwrap().policy.tags, [tag]);
        assert_eq!(records.table("airports").unwrap().tag(), None);
        check_fault(&[("LARDER_TABLES", "flights:id:namespace=s3cret")], "LARDER_TABLES", "option namespace");
    }

    #[test]
    fn keys_have_their_prefix_and_their_shape() {
        check_keys(&[], &["flights:7"], &["flights:7", "flights.1:7"]);
        let shaped = [("LARDER_KEY_PREFIX", "air"), ("LARDER_SCHEMA", "2")];
        check_keys(&shaped, &["air:flights.2:7"], &["air:flights.2:7", "air:flights.1:7", "air:flights.3:7"]);
        check_keys(&[("LARDER_SCHEMA", "255")], &["flights.255:7"], &["flights.255:7", "flights.254:7"]);
    }

    #[track_caller]
    fn check_keys(more: &[(&str, &str)], key: &[&str], to_forget: &[&str]) {
        let variables: Variables = LEAST.iter().chain(more).copied().collect();
        let (origin, records) = read(&mut Reader::new(&variables), &variables).unwrap();
        let (table, id) = (records.table("flights").unwrap(), origin.id("flights", "7").unwrap());
        let text = |key: &larder_client::Key| String::from_utf8(key.as_bytes().to_vec()).unwrap();
        assert_eq!([text(&records.key(table, &id).unwrap())], key);
        let keys: Vec<String> = records.keys_to_forget(table, &id).unwrap().iter().map(text).collect();
        assert_eq!(keys, to_forget);
    }

    /// The tables of the front page are what a deployer reads.
    #[test]
    fn the_documentation_names_every_variable_and_every_option() {
        let documentation = include_str!("lib.rs");
        let names =
            [include_str!("knobs.rs"), include_str!("settings.rs").split("mod tests").next().unwrap()];
        let names: std::collections::BTreeSet<_> = names
            .iter()
            .flat_map(|code| code.split("name: \"").skip(1))
            .filter_map(|code| code.split('"').next())
            .collect();
        assert_eq!(names.len(), 2 * 14 + 4);
        for name in names {
            assert!(documentation.contains(&format!("| `{name}`")), "{name}");
        }
    }
}
