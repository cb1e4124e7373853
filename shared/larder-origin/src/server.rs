//! The address of a database server, checked before a driver reads it.

use url::Url;

use crate::error::Misconfigured;

/// What an address of a kind of server may have.
pub(crate) struct Address {
    /// The kind, with its article left out.
    pub(crate) database: &'static str,
    /// The settings behind a `?` that the driver knows. It would log any other one with its value.
    pub(crate) settings: &'static [&'static str],
}

impl Address {
    /// Reads `url`, which has to name a host, a user and a database: drivers take what is missing from the environment
    /// and from files, and this crate does not.
    pub(crate) fn read(&self, url: &str) -> Result<Url, Misconfigured> {
        let fault = |fault| Misconfigured::ServerUrl { database: self.database, fault };
        let url = Url::parse(url)
            .map_err(|_| fault("it cannot be read; is every special character percent-encoded?"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(fault("it names no host"));
        }
        if url.username().is_empty() {
            return Err(fault("it names no user"));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(fault("it names no database"));
        }
        match url.query_pairs().all(|(name, _)| self.settings.contains(&&*name)) {
            true => Ok(url),
            false => Err(fault("it has a setting that is not known")),
        }
    }

    /// What is said where a value of a setting is none.
    pub(crate) fn bad_setting(&self) -> Misconfigured {
        Misconfigured::ServerUrl {
            database: self.database,
            fault: "a setting has a value that it cannot have",
        }
    }
}

/// Whether `url` has the setting `name`.
pub(crate) fn has_setting(url: &Url, name: &str) -> bool {
    url.query_pairs().any(|(setting, _)| setting == name)
}
