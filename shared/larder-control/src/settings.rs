//! Which control plane a function is told to use.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CLUSTER_NAME` | the cluster's name, its id in ElastiCache's API | required without `LARDER_CONTROL_SOCKET` | 1 to 50 letters, digits and hyphens |
//! | `LARDER_CONTROL_SOCKET` | instead of the API: the control socket of a cluster on the own machine, `control.sock` in its directory | none | |
//! | `LARDER_API_TIMEOUT_MS` | how long one call of the API may take, in milliseconds | 5000 | 100 to 60000 |
//! | `AWS_REGION` | the cluster's region, set by Lambda | required with `LARDER_CLUSTER_NAME` | |
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | the function's rights, set by Lambda | required with `LARDER_CLUSTER_NAME`, but for the token | |
//! | `AWS_ENDPOINT_URL_ELASTICACHE`, `AWS_ENDPOINT_URL` | asked instead of the region's own endpoint | none | |
//!
//! A function reads them along with its own:
//!
//! ```
//! use larder_lambda::settings::{Reader, Variables};
//!
//! let variables = Variables::from_iter([("LARDER_CONTROL_SOCKET", "/run/larder/control.sock")]);
//! let mut reader = Reader::new(&variables);
//! let control = larder_control::settings::required_control_plane(&mut reader, &variables);
//! assert!(reader.finish("LARDER_", || control).is_ok());
//! ```

use std::time::Duration;

use larder_lambda::aws;
use larder_lambda::settings::{Reader, Setting, Variables, millis, text};

use crate::{ApiConfig, ControlPlane, ElastiCache, Local};

/// The cluster's name, without which there is a fault.
pub fn cluster_name(reader: &mut Reader<'_>) -> Option<String> {
    reader.required(CLUSTER_NAME, checked_name)
}

/// The control plane of the cluster `name`: that of ElastiCache, or of a cluster on the own machine where its socket is
/// told. `None` means that there is neither a name nor a socket, or that a fault was noted.
///
/// `variables` are those that `reader` reads; what Lambda sets is looked up there. Connects to nothing.
pub fn control_plane(
    reader: &mut Reader<'_>,
    variables: &Variables,
    name: Option<&str>,
) -> Option<ControlPlane> {
    let socket = reader.optional(CONTROL_SOCKET, text);
    let timeout = reader.or(API_TIMEOUT, Duration::from_secs(5), millis(100..=60_000));
    match (socket, name) {
        (Some(socket), _) => Some(ControlPlane::Local(Local::new(socket))),
        (None, Some(name)) => api(reader, variables, name.to_owned(), timeout),
        (None, None) => None,
    }
}

/// The same for a function that cannot do without: that there is neither a name nor a socket is a fault.
pub fn required_control_plane(reader: &mut Reader<'_>, variables: &Variables) -> Option<ControlPlane> {
    let name = match reader.is_set(CONTROL_SOCKET) {
        true => reader.optional(CLUSTER_NAME, checked_name),
        false => cluster_name(reader),
    };
    control_plane(reader, variables, name.as_deref())
}

fn api(
    reader: &mut Reader<'_>,
    variables: &Variables,
    cluster_id: String,
    timeout: Duration,
) -> Option<ControlPlane> {
    let region = aws::region(reader, variables);
    let credentials = aws::credentials(reader, variables);
    let config = ApiConfig::new(cluster_id, region?, credentials?);
    Some(ControlPlane::ElastiCache(ElastiCache::new(ApiConfig {
        endpoint_url: aws::endpoint(variables, "ELASTICACHE"),
        connect_timeout: config.connect_timeout.min(timeout),
        timeout,
        ..config
    })))
}

fn checked_name(value: &str) -> Result<String, String> {
    let fits = (1..=MAX_CLUSTER_NAME_LEN).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let wrong = || format!("is not 1 to {MAX_CLUSTER_NAME_LEN} letters, digits and hyphens");
    fits.then(|| value.to_owned()).ok_or_else(wrong)
}

const MAX_CLUSTER_NAME_LEN: usize = 50;

const CLUSTER_NAME: Setting = Setting { name: "LARDER_CLUSTER_NAME", example: "my-cluster" };
const CONTROL_SOCKET: Setting =
    Setting { name: "LARDER_CONTROL_SOCKET", example: "/run/larder/control.sock" };
const API_TIMEOUT: Setting = Setting { name: "LARDER_API_TIMEOUT_MS", example: "5000" };

#[cfg(test)]
mod tests {
    use larder_lambda::settings::InvalidSettings;

    use super::*;

    const OF_LAMBDA: [(&str, &str); 3] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
    ];

    fn read(pairs: &[(&str, &str)]) -> Result<ControlPlane, InvalidSettings> {
        let variables = pairs.iter().copied().collect();
        let mut reader = Reader::new(&variables);
        let control = required_control_plane(&mut reader, &variables);
        reader.finish("LARDER_", || control)
    }

    fn read_on_lambda(pairs: &[(&str, &str)]) -> Result<ControlPlane, InvalidSettings> {
        read(&[&OF_LAMBDA, pairs].concat())
    }

    #[track_caller]
    fn check_fault(read: Result<ControlPlane, InvalidSettings>, expected: &str) {
        let error = read.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_cluster_of_elasticache_needs_its_id_and_what_lambda_sets() {
        let ControlPlane::ElastiCache(api) = read_on_lambda(&[("LARDER_CLUSTER_NAME", "air")]).unwrap()
        else {
            panic!("no cluster of ElastiCache")
        };
        let shown = format!("{api:?}");
        for told in ["\"air\"", "eu-west-1", "endpoint_url: None", "timeout: 5s", "connect_timeout: 1s"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        check_fault(read(&[("LARDER_CLUSTER_NAME", "air")]), "AWS_REGION is missing; Lambda sets it");
        check_fault(read(&OF_LAMBDA), "LARDER_CLUSTER_NAME is missing");
    }

    #[test]
    fn the_endpoint_and_the_time_can_be_told() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        let own = ("AWS_ENDPOINT_URL_ELASTICACHE", "http://127.0.0.1:2");
        let id = ("LARDER_CLUSTER_NAME", "air");
        for (told, expected) in [(&[id, endpoint][..], "127.0.0.1:1"), (&[id, endpoint, own], "127.0.0.1:2")]
        {
            let shown = format!("{:?}", read_on_lambda(told).unwrap());
            assert!(shown.contains(expected), "{shown}");
        }
        let shown = format!("{:?}", read_on_lambda(&[id, ("LARDER_API_TIMEOUT_MS", "400")]).unwrap());
        assert!(shown.contains("connect_timeout: 400ms, timeout: 400ms"), "{shown}");
        check_fault(read_on_lambda(&[id, ("LARDER_API_TIMEOUT_MS", "99")]), "LARDER_API_TIMEOUT_MS");
    }

    #[test]
    fn a_local_cluster_stands_in_for_it() {
        let socket = ("LARDER_CONTROL_SOCKET", "/run/larder/control.sock");
        assert!(matches!(read(&[socket]), Ok(ControlPlane::Local(_))));
        assert!(matches!(read(&[socket, ("LARDER_CLUSTER_NAME", "air")]), Ok(ControlPlane::Local(_))));
    }

    #[test]
    fn a_function_may_do_without() {
        let variables = Variables::default();
        let mut reader = Reader::new(&variables);
        assert!(control_plane(&mut reader, &variables, None).is_none());
        assert!(reader.finish("LARDER_", || Some(())).is_ok());
    }

    #[test]
    fn an_id_that_no_cluster_can_have_is_refused() {
        for id in ["my cluster", "a/b", &"a".repeat(51)] {
            check_fault(read_on_lambda(&[("LARDER_CLUSTER_NAME", id)]), "is not 1 to 50 letters");
        }
    }
}
