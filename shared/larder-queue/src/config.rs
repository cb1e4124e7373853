//! A queue by its URL.

use std::path::PathBuf;

/// Which queue is meant.
///
/// ```
/// use larder_queue::QueueConfig;
///
/// let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/invalidations";
/// let QueueConfig::Sqs { region, endpoint, .. } = QueueConfig::from_url(url)? else { panic!() };
/// assert_eq!((region.as_deref(), endpoint.as_str()), (Some("eu-west-1"), "https://sqs.eu-west-1.amazonaws.com"));
/// assert_eq!(QueueConfig::from_url("file:queue")?, QueueConfig::File("queue".into()));
/// # Ok::<(), larder_queue::InvalidQueueUrl>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum QueueConfig {
    /// A standard queue of SQS.
    Sqs {
        /// The queue's URL, whole.
        url: String,
        /// Scheme, name and port of it: where the queue is asked.
        endpoint: String,
        /// The region, where the name tells it: an interface endpoint's may, an emulator's does not.
        region: Option<String>,
    },
    /// A directory on the own machine.
    File(PathBuf),
}

impl QueueConfig {
    /// Reads `https://sqs.<region>.amazonaws.com/<account>/<name>`, or `file:<path of a directory>`.
    ///
    /// Other names than Amazon's are taken, with `http` as well: an emulator on the own machine.
    pub fn from_url(url: &str) -> Result<Self, InvalidQueueUrl> {
        if let Some(path) = url.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(InvalidQueueUrl::NoPath) } else { Ok(Self::File(path.into())) };
        }
        let (scheme, rest) = url.split_once("://").ok_or(InvalidQueueUrl::Scheme)?;
        let (authority, path) = rest.split_once('/').ok_or(InvalidQueueUrl::NoQueue)?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        match scheme {
            "http" if is_of_amazon(host) => return Err(InvalidQueueUrl::NotSecret),
            "https" | "http" => {}
            _ => return Err(InvalidQueueUrl::Scheme),
        }
        if authority.contains('@') || host.is_empty() {
            return Err(InvalidQueueUrl::Host);
        }
        let name = match path.split_once('/') {
            Some((account, name)) if is_account(account) && is_name(name) => name,
            _ => return Err(InvalidQueueUrl::NoQueue),
        };
        if name.ends_with(".fifo") {
            return Err(InvalidQueueUrl::Fifo);
        }
        Ok(Self::Sqs {
            url: url.to_owned(),
            endpoint: format!("{scheme}://{authority}"),
            region: region(host),
        })
    }
}

/// A URL that names no queue. It is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidQueueUrl {
    /// Neither of the two kinds.
    #[error("is neither https://sqs.<region>.amazonaws.com/<account>/<name> nor file:<directory>")]
    Scheme,
    /// SQS of Amazon without TLS.
    #[error("has http where it must be https")]
    NotSecret,
    /// No name of a machine, or a password before it.
    #[error("has no name of a machine between // and /")]
    Host,
    /// The path is not that of a queue.
    #[error("does not end with /<account>/<name> of a queue")]
    NoQueue,
    /// The messages of such a queue have groups and an order, of which invalidations know nothing.
    #[error("is that of a FIFO queue, where a standard one is needed")]
    Fifo,
    /// `file:` alone.
    #[error("has no directory behind file:")]
    NoPath,
}

fn is_of_amazon(host: &str) -> bool {
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Source: "Amazon SQS standard queue quotas" in the SQS developer guide.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix(".fifo").unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && text.len() <= 80 && name.bytes().all(is_plain)
}

/// The label behind `sqs`, as in `sqs.eu-west-1.amazonaws.com` and `vpce-1a-2b.sqs.eu-west-1.vpce.amazonaws.com`.
fn region(host: &str) -> Option<String> {
    if !is_of_amazon(host) {
        return None;
    }
    let mut labels = host.split('.').skip_while(|label| !["sqs", "sqs-fips"].contains(label));
    labels.next()?;
    labels.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_sqs(url: &str, endpoint: &str, region: Option<&str>) {
        let (url, endpoint, region) = (url.to_owned(), endpoint.to_owned(), region.map(str::to_owned));
        assert_eq!(QueueConfig::from_url(&url.clone()), Ok(QueueConfig::Sqs { url, endpoint, region }));
    }

    #[track_caller]
    fn check_wrong(url: &str, expected: InvalidQueueUrl) {
        assert_eq!(QueueConfig::from_url(url), Err(expected), "{url}");
    }

    #[test]
    fn a_queue_of_sqs_is_asked_where_its_url_says() {
        for (host, region) in [
            ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
            ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ] {
            let url = format!("https://{host}/123456789012/stack-Invalidations-1A_b");
            check_sqs(&url, &format!("https://{host}"), Some(region));
        }
        check_sqs("http://127.0.0.1:4566/000000000000/q", "http://127.0.0.1:4566", None);
        check_sqs("http://localhost:4566/000000000000/q", "http://localhost:4566", None);
    }

    #[test]
    fn a_directory_is_a_path_absolute_or_not() {
        for (url, path) in [("file:a/b", "a/b"), ("file:/a/b", "/a/b"), ("file:///a/b", "/a/b")] {
            assert_eq!(QueueConfig::from_url(url), Ok(QueueConfig::File(path.into())), "{url}");
        }
    }

    #[test]
    fn what_names_no_queue_is_told_by_what_is_wrong() {
        check_wrong("", InvalidQueueUrl::Scheme);
        check_wrong("invalidations", InvalidQueueUrl::Scheme);
        check_wrong("arn:aws:sqs:eu-west-1:123456789012:q", InvalidQueueUrl::Scheme);
        check_wrong("ftp://sqs.eu-west-1.amazonaws.com/123456789012/q", InvalidQueueUrl::Scheme);
        check_wrong("http://sqs.eu-west-1.amazonaws.com/123456789012/q", InvalidQueueUrl::NotSecret);
        check_wrong("http://sqs.eu-west-1.amazonaws.com:80/123456789012/q", InvalidQueueUrl::NotSecret);
        check_wrong("https:///123456789012/q", InvalidQueueUrl::Host);
        check_wrong("https://u:s3cret@host/123456789012/q", InvalidQueueUrl::Host);
        check_wrong("https://sqs.eu-west-1.amazonaws.com", InvalidQueueUrl::NoQueue);
        check_wrong("https://sqs.eu-west-1.amazonaws.com/q", InvalidQueueUrl::NoQueue);
        check_wrong("https://sqs.eu-west-1.amazonaws.com/123456789012/", InvalidQueueUrl::NoQueue);
        check_wrong("https://sqs.eu-west-1.amazonaws.com/123456789012/q?a=b", InvalidQueueUrl::NoQueue);
        check_wrong("https://sqs.eu-west-1.amazonaws.com/123456789012/q.fifo", InvalidQueueUrl::Fifo);
        check_wrong("file:", InvalidQueueUrl::NoPath);
        check_wrong("file://", InvalidQueueUrl::NoPath);
    }
}
