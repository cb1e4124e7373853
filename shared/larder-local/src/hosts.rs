//! The hosts file: the names of a cluster for those who do not ask a resolver.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

/// Writes `names` to `path` as lines of `IP name`, the format of `/etc/hosts`.
///
/// A reader sees the old file or the new one, never a part: the new one is written beside it and takes its name at
/// once.
pub(crate) fn write(path: &Path, names: &[(String, IpAddr)]) -> io::Result<()> {
    let lines: String = names.iter().map(|(name, ip)| format!("{ip} {name}\n")).collect();
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(lines.as_bytes())?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_an_address_and_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let ip = IpAddr::from([127, 0, 0, 2]);
        write(&path, &[("a.internal".into(), ip)]).unwrap();
        write(&path, &[("a.internal".into(), ip), ("b.internal".into(), ip)]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "127.0.0.2 a.internal\n127.0.0.2 b.internal\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
