//! `dynamodb:region?prefix=…&endpoint=…`.

use url::Url;

use crate::error::Misconfigured;

/// Where the tables are.
pub(crate) struct Address {
    /// Such as `eu-west-1`.
    pub(super) region: String,
    /// What stands before the name of every table.
    pub(super) prefix: String,
    /// Asked instead of the region's own endpoint.
    pub(super) endpoint: Option<String>,
}

impl Address {
    pub(super) fn read(url: &str) -> Result<Self, Misconfigured> {
        let fault = |fault| Misconfigured::ServerUrl { database: "region of DynamoDB", fault };
        let url = Url::parse(url).map_err(|_| fault("it cannot be read"))?;
        let region = url.path();
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(fault("it names no region"));
        }
        let mut address = Self { region: region.to_owned(), prefix: String::new(), endpoint: None };
        for (name, value) in url.query_pairs() {
            match &*name {
                "prefix"
                    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) =>
                {
                    address.prefix = value.into_owned();
                }
                "endpoint" if Url::parse(&value).is_ok_and(|endpoint| endpoint.has_host()) => {
                    address.endpoint = Some(value.into_owned());
                }
                "prefix" | "endpoint" => return Err(fault("a setting has a value that it cannot have")),
                _ => return Err(fault("it has a setting that is not known; prefix and endpoint are")),
            }
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_region_with_prefix_and_endpoint() {
        let address = Address::read("dynamodb:eu-west-1?prefix=air-&endpoint=http://127.0.0.1:4566").unwrap();
        assert_eq!((address.region.as_str(), address.prefix.as_str()), ("eu-west-1", "air-"));
        assert_eq!(address.endpoint.as_deref(), Some("http://127.0.0.1:4566"));
        let address = Address::read("dynamodb:eu-west-1").unwrap();
        assert!(address.prefix.is_empty() && address.endpoint.is_none());
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for url in [
            "dynamodb:",
            "dynamodb://user:hunter2@host/x",
            "dynamodb:eu-west-1?secret=hunter2",
            "dynamodb:eu-west-1?endpoint=hunter2",
            "dynamodb:eu-west-1?prefix=hunter2/",
        ] {
            let refused = Address::read(url).err().unwrap();
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
        }
    }
}
