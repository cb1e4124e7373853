//! Engine versions: from 1.6.12 on, the meta protocol is the one we speak.

/// The version that a node tells: `VERSION 1.6.22` and the like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version(String);

impl Version {
    /// Takes the text after `VERSION `.
    pub fn new(text: &str) -> Self {
        Self(text.trim_end().to_owned())
    }

    /// Whether larder can speak to it: 1.6.12 or later.
    ///
    /// Before 1.6.10 a set is written in another way, and such a node answers ours with an error and then runs
    /// the value as commands (1.6.6, the oldest 1.6 of ElastiCache). A text that is not three numbers passes: it
    /// is no memcached that we know, and its answers are checked anyway.
    pub fn is_supported(&self) -> bool {
        self.numbers().is_none_or(|numbers| numbers >= OLDEST)
    }

    /// The version as the node wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn numbers(&self) -> Option<[u32; 3]> {
        let mut numbers = [0; 3];
        let mut parts = self.0.splitn(3, '.');
        for number in &mut numbers {
            let part = parts.next()?;
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            *number = part[..digits].parse().ok()?;
        }
        Some(numbers)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

const OLDEST: [u32; 3] = [1, 6, 12];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_before_1_6_12_are_refused() {
        for old in ["1.4.5", "1.5.22", "1.6.6", "1.6.11", "1.6.6_rc1", "0.9.99"] {
            assert!(!Version::new(old).is_supported(), "{old}");
        }
        for good in ["1.6.12", "1.6.17\r", "1.6.22", "1.6.45-beta", "1.10.0", "2.0.0", "serverless", ""] {
            assert!(Version::new(good).is_supported(), "{good}");
        }
    }
}
