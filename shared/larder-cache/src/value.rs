//! A value as the origin gives it.

use bytes::Bytes;
use larder_client::Ttl;

/// A value that was loaded, and what the origin says of it.
///
/// ```
/// use larder_cache::Loaded;
/// use larder_client::Ttl;
///
/// let flight = Loaded::json(r#"{"id":17,"version":3}"#).of_version(3).fresh_for(Ttl::from_secs(20)?);
/// # Ok::<(), larder_client::InvalidTtl>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// The value.
    pub value: Bytes,
    /// Whether it is JSON: for whoever looks at the item with another tool.
    pub is_json: bool,
    /// The version of its row, which grows with every change; `None` where the row has none.
    pub version: Option<u64>,
    /// How long it is fresh, where that is to be seen from the value; `None` for
    /// [`Policy::fresh_for`](crate::Policy::fresh_for) less jitter. Its age is then not known.
    pub fresh_for: Option<Ttl>,
}

impl Loaded {
    /// Any bytes.
    pub fn raw(value: impl Into<Bytes>) -> Self {
        Self { value: value.into(), is_json: false, version: None, fresh_for: None }
    }

    /// A text in JSON.
    pub fn json(value: impl Into<Bytes>) -> Self {
        Self { is_json: true, ..Self::raw(value) }
    }

    /// The same, of a row of this version.
    #[must_use]
    pub fn of_version(self, version: u64) -> Self {
        Self { version: Some(version), ..self }
    }

    /// The same, fresh for its own time.
    #[must_use]
    pub fn fresh_for(self, ttl: Ttl) -> Self {
        Self { fresh_for: Some(ttl), ..self }
    }
}

impl From<Bytes> for Loaded {
    fn from(value: Bytes) -> Self {
        Self::raw(value)
    }
}
