//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_LISTS` or `LARDER_LISTS_FILE` | the lists | required | see [`larder_records`] |
//! | `LARDER_ORIGIN_URL`, `LARDER_TABLES`, `LARDER_KEY_PREFIX` and others | where rows live, and under which keys: the same as for `read` | required | see [`larder_records`] |
//! | `LARDER_CONFIG_ENDPOINT` or `LARDER_NODES`, and others | the cluster | required | as for `read` |
//! | `LARDER_TIMEOUT_MS` | how long an invocation may take in all, in milliseconds; what Lambda leaves may be less | 55000 | 1000 to 890000, 4 s more than the slowest query may take |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::time::Duration;

use larder_client::Cluster;
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{InvalidSettings, Reader, Setting, Variables, millis};
use larder_origin::Origin;
use larder_records::Lists;

/// The settings, all of them checked and none of them acted upon: nothing is connected yet.
#[derive(Debug)]
pub struct Settings {
    /// The nodes.
    pub cluster: Cluster,
    /// Where rows live. It does not show its address, which may hold a password.
    pub origin: Origin,
    /// Which lists there are, one at least.
    pub lists: Lists,
    /// How long an invocation may take.
    pub time_limit: TimeLimit,
}

impl Settings {
    /// Reads `variables`; what is missing, wrong or misspelt is named in one error.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(variables);
        let cluster = cluster::read(&mut reader);
        let records = larder_records::read(&mut reader, variables);
        let lists = larder_records::read_lists(&mut reader, records.as_ref().map(|(_, records)| records));
        let timeout = reader.or(TIMEOUT, Duration::from_secs(55), millis(1_000..=890_000));
        if let Some(lists) = &lists {
            check(&mut reader, lists, timeout);
        }
        reader.finish("LARDER_", || {
            let (origin, _) = records?;
            Some(Self { cluster: cluster?, origin, lists: lists?, time_limit: TimeLimit::new(timeout) })
        })
    }
}

/// There is something to do, and the time to do it.
fn check(reader: &mut Reader<'_>, lists: &Lists, timeout: Duration) {
    if lists.is_empty() {
        reader.fault(LISTS, "is missing, and LARDER_LISTS_FILE, too");
    }
    let slowest = lists.iter().map(|list| list.timed().load_for()).max().unwrap_or_default();
    if slowest + BESIDE_A_QUERY > timeout {
        reader.fault(
            TIMEOUT,
            format_args!(
                "is less than {:?}: what the slowest list may take and 4 s",
                slowest + BESIDE_A_QUERY
            ),
        );
    }
}

/// What is needed beside a query, so that one that is cut off has had all of its own time.
const BESIDE_A_QUERY: Duration = Duration::from_secs(4);

const LISTS: Setting = Setting {
    name: "LARDER_LISTS",
    example: r#"[{"name":"top-routes","query":{"sql":{"statement":"SELECT …"}},"n":10,"period_secs":300}]"#,
};
const TIMEOUT: Setting = Setting { name: "LARDER_TIMEOUT_MS", example: "55000" };

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        r#"[{"name":"a","query":{"sql":{"statement":"SELECT s3cret"}},"n":1,"period_secs":60}]"#;
    const LEAST: [(&str, &str); 4] = [
        ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
        ("LARDER_ORIGIN_URL", "sqlite:s3cret.db"),
        ("LARDER_TABLES", "flights:id"),
        ("LARDER_LISTS", LIST),
    ];

    /// The settings of [`LEAST`] with `more` in front of it or in its place.
    fn read(more: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        Settings::read(&LEAST.iter().chain(more).copied().collect())
    }

    #[track_caller]
    fn check_fault(more: &[(&str, &str)], name: &str, what: &str) {
        let error = read(more).unwrap_err();
        let found = error.faults.iter().any(|fault| fault.name == name && fault.what.contains(what));
        assert!(found && error.faults.len() == 1, "{more:?} gave {:?}", error.faults);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn four_variables_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.lists.iter().count(), 1);
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(55));
        assert!(!format!("{:?}", settings.origin).contains("s3cret"));
    }

    #[test]
    fn there_is_a_list_and_the_time_for_its_query() {
        check_fault(&[("LARDER_LISTS", "")], "LARDER_LISTS", "is missing");
        check_fault(&[("LARDER_TIMEOUT_MS", "13999")], "LARDER_TIMEOUT_MS", "is less than 14s");
        assert!(read(&[("LARDER_TIMEOUT_MS", "14000")]).is_ok());
        for wrong in ["999", "890001"] {
            check_fault(&[("LARDER_TIMEOUT_MS", wrong)], "LARDER_TIMEOUT_MS", "is not a whole number");
        }
    }

    #[test]
    fn all_that_is_wrong_is_named_in_one_error_and_no_value_is_repeated() {
        let variables = [
            ("LARDER_ORIGIN_URL", "sqlite:s3cret"),
            ("LARDER_LISTS", r#"[{"s3cret":1}]"#),
            ("LARDER_LIST", "s3cret"),
        ];
        let error = Settings::read(&variables.into_iter().collect()).unwrap_err();
        let mut names: Vec<_> = error.faults.iter().map(|fault| fault.name.as_str()).collect();
        names.dedup();
        assert_eq!(names, ["LARDER_CONFIG_ENDPOINT", "LARDER_TABLES", "LARDER_LISTS", "LARDER_LIST"]);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
