//! What requests to AWS are signed with.

use std::fmt;
use std::time::Duration;

/// How an origin in AWS is reached: what the environment of a function says, and whoever reads it hands on.
///
/// It does not show its secrets.
#[derive(Clone)]
pub struct AwsSettings {
    /// The id of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The session that the key is valid in, for a role's key.
    pub session_token: Option<String>,
    /// How long a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// How long one request may take that may be repeated; it is sent twice at most.
    pub attempt_timeout: Duration,
}

impl AwsSettings {
    /// A second to connect, two for a request.
    #[must_use]
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token,
            connect_timeout: Duration::from_secs(1),
            attempt_timeout: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for AwsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSettings").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}
