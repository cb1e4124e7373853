//! Which control plane a function is told to use.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CLUSTER_ID` | the cluster's id in ElastiCache's API | this or `LARDER_CONTROL_SOCKET` | 1 to 50 letters, digits and hyphens |
//! | `LARDER_CONTROL_SOCKET` | instead: the control socket of a cluster on the own machine, `control.sock` in its directory | none | |
//! | `LARDER_API_TIMEOUT_MS` | how long one call of the API may take, in milliseconds | 5000 | 100 to 60000 |
//! | `AWS_REGION` | the cluster's region, set by Lambda | required with `LARDER_CLUSTER_ID` | |
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | the function's rights, set by Lambda | required with `LARDER_CLUSTER_ID`, but for the token | |
//! | `AWS_ENDPOINT_URL_ELASTICACHE`, `AWS_ENDPOINT_URL` | asked instead of the region's own endpoint | none | |
//!
//! A function reads them along with its own:
//!
//! ```
//! use larder_lambda::settings::{Reader, Variables};
//!
//! let variables = Variables::from_iter([("LARDER_CONTROL_SOCKET", "/run/larder/control.sock")]);
//! let mut reader = Reader::new(&variables);
//! let control = larder_control::settings::control_plane(&mut reader, &variables);
//! assert!(reader.finish("LARDER_", || control).is_ok());
//! ```

use std::time::Duration;

use larder_lambda::settings::{Reader, Setting, Variables, millis, text};

use crate::{ApiConfig, ControlPlane, Credentials, ElastiCache, Local};

/// The control plane that `reader` is told of. `None` means that neither variable is set, or that a fault was noted.
///
/// `variables` are those that `reader` reads; what Lambda sets is looked up there. Connects to nothing.
pub fn control_plane(reader: &mut Reader<'_>, variables: &Variables) -> Option<ControlPlane> {
    let socket = reader.optional(CONTROL_SOCKET, text);
    let cluster_id = reader.optional(CLUSTER_ID, cluster_id);
    let timeout = reader.or(API_TIMEOUT, Duration::from_secs(5), millis(100..=60_000));
    match (socket, cluster_id) {
        (Some(socket), None) => Some(ControlPlane::Local(Local::new(socket))),
        (None, Some(id)) => api(reader, variables, id, timeout),
        (None, None) => None,
        (Some(_), Some(_)) => {
            reader.fault(CONTROL_SOCKET, "stands beside LARDER_CLUSTER_ID; leave one out");
            None
        }
    }
}

/// The same for a function that cannot do without: that neither variable is set is a fault.
pub fn required_control_plane(reader: &mut Reader<'_>, variables: &Variables) -> Option<ControlPlane> {
    if !reader.is_set(CLUSTER_ID) && !reader.is_set(CONTROL_SOCKET) {
        reader.fault(CLUSTER_ID, "is missing");
    }
    control_plane(reader, variables)
}

fn api(
    reader: &mut Reader<'_>,
    variables: &Variables,
    cluster_id: String,
    timeout: Duration,
) -> Option<ControlPlane> {
    let mut of_lambda = |setting: Setting| {
        let value = variables.text(setting.name).map(str::to_owned);
        if value.is_none() {
            reader.fault(setting, "is missing; Lambda sets it");
        }
        value
    };
    let region = of_lambda(REGION);
    let access_key_id = of_lambda(ACCESS_KEY_ID);
    let secret_access_key = of_lambda(SECRET_ACCESS_KEY);
    let credentials = Credentials {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token: variables.text("AWS_SESSION_TOKEN").map(str::to_owned),
    };
    let config = ApiConfig::new(cluster_id, region?, credentials);
    let endpoints = ["AWS_ENDPOINT_URL_ELASTICACHE", "AWS_ENDPOINT_URL"];
    Some(ControlPlane::ElastiCache(ElastiCache::new(ApiConfig {
        endpoint_url: endpoints.into_iter().find_map(|name| variables.text(name)).map(str::to_owned),
        connect_timeout: config.connect_timeout.min(timeout),
        timeout,
        ..config
    })))
}

fn cluster_id(value: &str) -> Result<String, String> {
    let fits = (1..=MAX_CLUSTER_ID_LEN).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let wrong = || format!("is not 1 to {MAX_CLUSTER_ID_LEN} letters, digits and hyphens");
    fits.then(|| value.to_owned()).ok_or_else(wrong)
}

const MAX_CLUSTER_ID_LEN: usize = 50;

const CLUSTER_ID: Setting = Setting { name: "LARDER_CLUSTER_ID", example: "my-cluster" };
const CONTROL_SOCKET: Setting =
    Setting { name: "LARDER_CONTROL_SOCKET", example: "/run/larder/control.sock" };
const API_TIMEOUT: Setting = Setting { name: "LARDER_API_TIMEOUT_MS", example: "5000" };
const REGION: Setting = Setting { name: "AWS_REGION", example: "eu-west-1" };
const ACCESS_KEY_ID: Setting = Setting { name: "AWS_ACCESS_KEY_ID", example: "ASIAEXAMPLE" };
const SECRET_ACCESS_KEY: Setting = Setting { name: "AWS_SECRET_ACCESS_KEY", example: "a secret" };

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
        let ControlPlane::ElastiCache(api) = read_on_lambda(&[("LARDER_CLUSTER_ID", "air")]).unwrap() else {
            panic!("no cluster of ElastiCache")
        };
        let shown = format!("{api:?}");
        for told in ["\"air\"", "eu-west-1", "endpoint_url: None", "timeout: 5s", "connect_timeout: 1s"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        check_fault(read(&[("LARDER_CLUSTER_ID", "air")]), "AWS_REGION is missing; Lambda sets it");
        check_fault(read(&OF_LAMBDA), "LARDER_CLUSTER_ID is missing");
    }

    #[test]
    fn the_endpoint_and_the_time_can_be_told() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        let own = ("AWS_ENDPOINT_URL_ELASTICACHE", "http://127.0.0.1:2");
        let id = ("LARDER_CLUSTER_ID", "air");
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
    fn a_local_cluster_stands_in_for_it_but_not_beside_it() {
        let socket = ("LARDER_CONTROL_SOCKET", "/run/larder/control.sock");
        assert!(matches!(read(&[socket]), Ok(ControlPlane::Local(_))));
        check_fault(read_on_lambda(&[socket, ("LARDER_CLUSTER_ID", "air")]), "leave one out");
    }

    #[test]
    fn a_function_may_do_without() {
        let variables = Variables::default();
        let mut reader = Reader::new(&variables);
        assert!(control_plane(&mut reader, &variables).is_none());
        assert!(reader.finish("LARDER_", || Some(())).is_ok());
    }

    #[test]
    fn an_id_that_no_cluster_can_have_is_refused() {
        for id in ["my cluster", "a/b", &"a".repeat(51)] {
            check_fault(read_on_lambda(&[("LARDER_CLUSTER_ID", id)]), "is not 1 to 50 letters");
        }
    }
}
