//! Settings from environment variables: typed, all checked at start, every fault named in one error.
//!
//! A [`Reader`] is asked for each [`Setting`] in turn. It notes what is missing or wrong and goes on, so that a
//! deployer sees the whole list at once. An error never repeats a value, because a value may be a password.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use std::{env, fmt};

/// One setting that a function understands: a variable of its environment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// A value that would be right, shown when the given one is missing or wrong.
    pub example: &'static str,
}

/// The variables of a process with their values, as they stood when this was made.
///
/// A variable with an empty value counts as unset: a template passes a parameter that was left out as `""`.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, Value>);

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    NotUnicode,
}

impl Variables {
    /// Takes the variables of this process.
    pub fn of_process() -> Self {
        let variables = env::vars_os().filter_map(|(name, value)| {
            let value = value.into_string().map_or(Value::NotUnicode, Value::Text);
            Some((name.into_string().ok()?, value))
        });
        Self(variables.collect())
    }

    /// The value of `name`, if it is set, not empty and Unicode.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), Value::Text(value.into()))).collect())
    }
}

/// Reads settings one by one and collects what is wrong with them.
///
/// ```
/// use larder_lambda::settings::{Variables, Reader, Setting, whole};
///
/// const PORT: Setting = Setting { name: "LARDER_PORT", example: "11211" };
/// const RETRIES: Setting = Setting { name: "LARDER_RETRIES", example: "2" };
///
/// let variables = Variables::from_iter([("LARDER_RETRIES", "many"), ("LARDER_PROT", "11211")]);
/// let mut reader = Reader::new(&variables);
/// let port = reader.required(PORT, whole(1..=65_535));
/// let retries = reader.or(RETRIES, 1, whole(0..=5));
/// let faults = reader.finish("LARDER_", || Some((port?, retries))).unwrap_err();
/// assert_eq!(faults.to_string(), "3 settings are wrong: \
///     LARDER_PORT is missing (for example 11211); \
///     LARDER_RETRIES is not a whole number from 0 to 5 (for example 2); \
///     LARDER_PROT is not known here");
/// ```
#[derive(Debug)]
pub struct Reader<'v> {
    variables: &'v Variables,
    asked: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'v> Reader<'v> {
    /// Starts to read `variables`.
    pub fn new(variables: &'v Variables) -> Self {
        Self { variables, asked: Vec::new(), faults: Vec::new() }
    }

    /// Reads a variable that must be set; `None` means that a fault was noted.
    pub fn required<T, E: fmt::Display>(
        &mut self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !self.is_set(setting) {
            self.fault(setting, "is missing");
        }
        self.optional(setting, parse)
    }

    /// Reads a variable that may be unset; `None` means unset, or that a fault was noted.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.asked.push(setting.name);
        match self.variables.0.get(setting.name)? {
            Value::NotUnicode => {
                self.fault(setting, "is not Unicode");
                None
            }
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) => parse(text).map_err(|wrong| self.fault(setting, wrong)).ok(),
        }
    }

    /// Reads a variable that has a default.
    pub fn or<T, E: fmt::Display>(
        &mut self,
        setting: Setting,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        self.optional(setting, parse).unwrap_or(default)
    }

    /// Whether `variable` holds anything at all.
    pub fn is_set(&self, setting: Setting) -> bool {
        match self.variables.0.get(setting.name) {
            None => false,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::NotUnicode) => true,
        }
    }

    /// Notes that `variable` is wrong; `what` goes on from its name ("is not …") and must not repeat its value.
    pub fn fault(&mut self, setting: Setting, what: impl fmt::Display) {
        let example = Some(setting.example);
        self.faults.push(Fault { name: setting.name.to_owned(), what: what.to_string(), example });
    }

    /// Ends the reading: what `build` makes of the values, or everything that was wrong.
    ///
    /// A variable that starts with `prefix` and was never asked for is a fault too: most likely a misspelt name.
    /// `build` may answer `None` only for a value whose fault was noted.
    pub fn finish<T>(
        mut self,
        prefix: &str,
        build: impl FnOnce() -> Option<T>,
    ) -> Result<T, InvalidSettings> {
        let unknown = self.variables.0.keys().filter(|name| name.starts_with(prefix));
        let unknown = unknown.filter(|name| !self.asked.contains(&name.as_str()));
        let unknown =
            unknown.map(|name| Fault { name: name.clone(), what: NOT_KNOWN.to_owned(), example: None });
        let unknown: Vec<_> = unknown.collect();
        self.faults.extend(unknown);

        match build() {
            Some(settings) if self.faults.is_empty() => Ok(settings),
            _ => Err(InvalidSettings { faults: self.faults }),
        }
    }
}

/// Everything that is wrong with the settings, in the order in which they were read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct InvalidSettings {
    /// One for each variable that is missing, wrong or unknown.
    pub faults: Vec<Fault>,
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => f.write_str("1 setting is wrong: ")?,
            many => write!(f, "{many} settings are wrong: ")?,
        }
        for (at, fault) in self.faults.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// What is wrong with one setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The variable's name.
    pub name: String,
    /// What is wrong, going on from the name.
    pub what: String,
    /// A value that would be right; none for a name that is not known.
    pub example: Option<&'static str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.what)?;
        match self.example {
            Some(example) => write!(f, " (for example {example})"),
            None => Ok(()),
        }
    }
}

/// Takes a value as it stands.
pub fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// Takes a whole number within `bounds`, in digits only.
pub fn whole(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |value| {
        let number = value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("is not a whole number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// Takes a whole number of seconds within `bounds`.
pub fn seconds(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    let whole = whole(bounds);
    move |value| whole(value).map(Duration::from_secs)
}

/// Takes a whole number of milliseconds within `bounds`.
pub fn millis(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    let whole = whole(bounds);
    move |value| whole(value).map(Duration::from_millis)
}

/// Takes `on` or `off`.
pub fn on_or_off(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

const NOT_KNOWN: &str = "is not known here";

#[cfg(test)]
mod tests {
    use super::*;

    const URL: Setting = Setting { name: "LARDER_URL", example: "sqlite:records.db" };
    const TTL: Setting = Setting { name: "LARDER_TTL_SECS", example: "300" };

    fn read(pairs: &[(&str, &str)]) -> Result<(String, Duration), InvalidSettings> {
        let variables = Variables::from_iter(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let url = reader.required(URL, text);
        let ttl = reader.or(TTL, Duration::from_secs(300), seconds(2..=600));
        reader.finish("LARDER_", || Some((url?, ttl)))
    }

    #[track_caller]
    fn check_faults(pairs: &[(&str, &str)], expected: &str) {
        assert_eq!(read(pairs).unwrap_err().to_string(), expected, "variables: {pairs:?}");
    }

    #[test]
    fn values_in_bounds_are_taken_and_defaults_stand_in() {
        let given = read(&[("LARDER_URL", "sqlite:a"), ("LARDER_TTL_SECS", "600")]).unwrap();
        assert_eq!(given, ("sqlite:a".to_owned(), Duration::from_secs(600)));
        let defaulted = read(&[("LARDER_URL", "sqlite:a"), ("HOME", "/root")]).unwrap();
        assert_eq!(defaulted.1, Duration::from_secs(300));
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        check_faults(
            &[("LARDER_URL", "")],
            "1 setting is wrong: LARDER_URL is missing (for example sqlite:records.db)",
        );
        assert_eq!(
            read(&[("LARDER_URL", "a"), ("LARDER_TTL_SECS", "")]).unwrap().1,
            Duration::from_secs(300)
        );
    }

    #[test]
    fn every_fault_is_named_in_one_error() {
        check_faults(
            &[("LARDER_TTL_SECS", "1"), ("LARDER_TTL_SEC", "300"), ("OTHER_TTL", "x")],
            "3 settings are wrong: LARDER_URL is missing (for example sqlite:records.db); \
             LARDER_TTL_SECS is not a whole number from 2 to 600 (for example 300); \
             LARDER_TTL_SEC is not known here",
        );
    }

    #[test]
    fn no_error_repeats_a_value() {
        for value in ["s3cret", "-1", "+5", "5.0", " 5", "18446744073709551616", "601"] {
            let error =
                read(&[("LARDER_URL", "postgres://u:s3cret@h/d"), ("LARDER_TTL_SECS", value)]).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
            assert_eq!(error.faults.len(), 1, "value: {value}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_unicode_is_a_fault() {
        let variables = Variables(BTreeMap::from([(URL.name.to_owned(), Value::NotUnicode)]));
        let mut reader = Reader::new(&variables);
        let url = reader.required(URL, text);
        let error = reader.finish("LARDER_", || url).unwrap_err();
        assert_eq!(error.faults[0].what, "is not Unicode");
    }

    #[test]
    fn a_switch_is_on_or_off() {
        assert_eq!(on_or_off("on"), Ok(true));
        assert_eq!(on_or_off("off"), Ok(false));
        assert!(on_or_off("true").is_err());
    }
}
