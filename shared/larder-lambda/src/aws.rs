//! What Lambda tells of AWS: the region, and the rights that requests are signed with.
//!
//! A function asks for it when a setting says that it needs a service; what is missing then is a fault, as with any
//! other setting.

use std::fmt;

use crate::settings::{Reader, Setting, Variables};

/// What requests are signed with. Does not show its secrets.
#[derive(Clone)]
pub struct Credentials {
    /// The id of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The session that the key is valid in, for a role's key.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// The function's rights; what is missing is noted by `reader`.
pub fn credentials(reader: &mut Reader<'_>, variables: &Variables) -> Option<Credentials> {
    let access_key_id = of_lambda(reader, variables, ACCESS_KEY_ID);
    let secret_access_key = of_lambda(reader, variables, SECRET_ACCESS_KEY);
    Some(Credentials {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token: variables.text("AWS_SESSION_TOKEN").map(str::to_owned),
    })
}

/// The function's region; that it is missing is noted by `reader`.
pub fn region(reader: &mut Reader<'_>, variables: &Variables) -> Option<String> {
    of_lambda(reader, variables, REGION)
}

/// Where `service`, as the SDKs call it in capitals, is to be asked instead of the region's own endpoint.
pub fn endpoint(variables: &Variables, service: &str) -> Option<String> {
    let own = variables.text(&format!("AWS_ENDPOINT_URL_{service}"));
    own.or_else(|| variables.text("AWS_ENDPOINT_URL")).map(str::to_owned)
}

fn of_lambda(reader: &mut Reader<'_>, variables: &Variables, setting: Setting) -> Option<String> {
    let value = variables.text(setting.name).map(str::to_owned);
    if value.is_none() {
        reader.fault(setting, "is missing; Lambda sets it");
    }
    value
}

const REGION: Setting = Setting { name: "AWS_REGION", example: "eu-west-1" };
const ACCESS_KEY_ID: Setting = Setting { name: "AWS_ACCESS_KEY_ID", example: "ASIAEXAMPLE" };
const SECRET_ACCESS_KEY: Setting = Setting { name: "AWS_SECRET_ACCESS_KEY", example: "a secret" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lambda_has_not_set_is_named() {
        let variables = Variables::default();
        let mut reader = Reader::new(&variables);
        assert!(credentials(&mut reader, &variables).is_none() && region(&mut reader, &variables).is_none());
        let faults = reader.finish("LARDER_", || None::<()>).unwrap_err().faults;
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]);
    }

    #[test]
    fn a_services_own_endpoint_goes_before_the_one_of_all() {
        let all = [("AWS_ENDPOINT_URL", "http://all"), ("AWS_ENDPOINT_URL_SQS", "http://sqs")];
        let variables = Variables::from_iter(all);
        assert_eq!(endpoint(&variables, "SQS").as_deref(), Some("http://sqs"));
        assert_eq!(endpoint(&variables, "DYNAMODB").as_deref(), Some("http://all"));
        assert_eq!(endpoint(&Variables::default(), "SQS"), None);
    }

    #[test]
    fn no_secret_is_shown() {
        let variables = Variables::from_iter([
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
            ("AWS_SESSION_TOKEN", "s3cret"),
        ]);
        let credentials = credentials(&mut Reader::new(&variables), &variables).unwrap();
        assert!(!format!("{credentials:?}").contains("s3cret"));
        assert_eq!(credentials.session_token.as_deref(), Some("s3cret"));
    }
}
