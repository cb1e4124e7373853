//! The address of a PostgreSQL server, with what stands behind its `?`.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::Misconfigured;
use crate::server::Address;

/// Where a server is, and how it is entered.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    pub(super) application_name: Option<String>,
    pub(super) tls: TlsMode,
    pub(super) files: TlsFiles,
}

/// `sslmode`, by libpq's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TlsMode {
    /// `disable` and `allow`: in the clear.
    Off,
    /// `prefer`: TLS where the server has it; the certificate is not checked.
    Prefer,
    /// `require`: TLS; the certificate is not checked.
    Require,
    /// `verify-ca`: an authority that is trusted has signed the certificate.
    VerifyCa,
    /// `verify-full`: and it names the host.
    VerifyFull,
}

/// Files of certificates, in PEM.
#[derive(Default)]
pub(super) struct TlsFiles {
    /// Authorities beside the system's.
    pub(super) authorities: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Target {
    /// Reads `postgres://user:password@host:port/database?setting=value`.
    pub(super) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        let url = ADDRESS.read(url)?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let mut target = Self {
            host: decoded(host)?,
            port: url.port().unwrap_or(DEFAULT_PORT),
            user: decoded(url.username())?,
            password: decoded(url.password().unwrap_or_default())?,
            database: decoded(url.path().trim_matches('/'))?,
            application_name: None,
            tls: TlsMode::Prefer,
            files: TlsFiles::default(),
        };
        target.set_all(&url)?;
        let has_pair = target.files.certificate.is_some() == target.files.key.is_some();
        if has_pair { Ok(target) } else { Err(ADDRESS.bad_setting()) }
    }

    fn set_all(&mut self, url: &Url) -> Result<(), Misconfigured> {
        for (name, value) in url.query_pairs() {
            match &*name {
                "sslmode" => self.tls = tls_mode(&value).ok_or_else(|| ADDRESS.bad_setting())?,
                "sslrootcert" => self.files.authorities = Some(value.as_ref().into()),
                "sslcert" => self.files.certificate = Some(value.as_ref().into()),
                "sslkey" => self.files.key = Some(value.as_ref().into()),
                "application_name" if !value.contains('\0') => {
                    self.application_name = Some(value.into_owned());
                }
                // No statement outlives its call, so there is nothing to keep; the setting is taken for old addresses.
                "statement-cache-capacity" if value.parse::<usize>().is_ok() => {}
                _ => return Err(ADDRESS.bad_setting()),
            }
        }
        Ok(())
    }
}

fn tls_mode(word: &str) -> Option<TlsMode> {
    Some(match word.to_ascii_lowercase().as_str() {
        "disable" | "allow" => TlsMode::Off,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => return None,
    })
}

/// A part of an address without its percent signs.
fn decoded(part: &str) -> Result<String, Misconfigured> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| ADDRESS.bad_setting())?;
    if text.contains('\0') { Err(ADDRESS.bad_setting()) } else { Ok(text.into_owned()) }
}

const ADDRESS: Address = Address {
    database: "PostgreSQL server",
    settings: &[
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "application_name",
        "statement-cache-capacity",
    ],
};

/// The port where the address names none.
const DEFAULT_PORT: u16 = 5432;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_address_are_decoded() {
        let url = "postgres://u%40x:p%2F%3A@[::1]:6/d%20b?sslmode=VERIFY-FULL&application_name=a+b";
        let target = Target::from_url(url).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 6));
        assert_eq!((target.user.as_str(), target.password.as_str()), ("u@x", "p/:"));
        assert_eq!((target.database.as_str(), target.tls), ("d b", TlsMode::VerifyFull));
        assert_eq!(target.application_name.as_deref(), Some("a b"));
        let plain = Target::from_url("postgresql://u@h/d").unwrap();
        assert_eq!((plain.port, plain.password.as_str(), plain.tls), (5432, "", TlsMode::Prefer));
    }

    #[test]
    fn a_setting_with_a_value_that_it_cannot_have_is_refused() {
        for setting in
            ["sslmode=maybe", "statement-cache-capacity=x", "sslcert=/a.pem", "application_name=%00"]
        {
            assert!(Target::from_url(&format!("postgres://u:p@h/d?{setting}")).is_err(), "{setting}");
        }
    }
}
