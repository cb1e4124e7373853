//! The directory of a cluster.

use crate::LocalError;
use crate::options::check_name;
use rustix::process::geteuid;
use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A directory held for one cluster: its sockets, logs and hosts file.
///
/// A lock, which the kernel gives back however the holder ends, keeps a second cluster out. What a killed cluster left
/// in it is written over by the next.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    _lock: File,
    _temporary: Option<TempDir>,
}

impl WorkDir {
    /// Takes `dir`, made if missing and closed to other users; `None` makes a fresh one that goes with the value.
    pub(crate) fn take(dir: Option<&Path>) -> Result<Self, LocalError> {
        let (path, temporary) = match dir {
            Some(dir) => (dir.to_owned(), None),
            None => {
                let made = tempfile::Builder::new().prefix("larder-").tempdir();
                let made = made.map_err(|source| LocalError::Dir { path: env::temp_dir(), source })?;
                (made.path().to_owned(), Some(made))
            }
        };
        make_private(&path).map_err(|source| LocalError::Dir { path: path.clone(), source })?;
        if path.as_os_str().as_bytes().len() > MAX_DIR_LEN {
            return Err(LocalError::DirTooLong(path));
        }
        let lock = File::create(path.join("lock"))
            .map_err(|source| LocalError::Dir { path: path.clone(), source })?;
        match lock_soon(&lock) {
            Ok(()) => Ok(Self { path, _lock: lock, _temporary: temporary }),
            Err(TryLockError::WouldBlock) => Err(LocalError::AlreadyRunning(path)),
            Err(TryLockError::Error(source)) => Err(LocalError::Dir { path, source }),
        }
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The directory of the cluster called `name`: under `parent`, or else under the one where this user's clusters are
/// kept, in `XDG_RUNTIME_DIR` or in the directory for temporary files.
///
/// Errors: [`LocalError::Name`] for a name that no cluster can have.
pub fn cluster_dir(parent: Option<&Path>, name: &str) -> Result<PathBuf, LocalError> {
    check_name(name)?;
    Ok(parent.map_or_else(default_parent, Path::to_owned).join(name))
}

fn default_parent() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Path::new(&dir).join("larder"),
        None => env::temp_dir().join(format!("larder-{}", geteuid().as_raw())),
    }
}

/// Takes the lock, with some patience: a process that was being started when the last holder gave it back holds a copy
/// for a moment.
fn lock_soon(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    lock.try_lock()
}

/// Makes `path` for this user alone; one that is there already must be this user's.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if fs::metadata(path)?.uid() != geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the directory is another user's"));
    }
    Ok(())
}

/// A socket's path has at most 104 bytes on macOS and 108 on Linux, its end included; `/0001-65535.sock` is the longest
/// name here.
const MAX_DIR_LEN: usize = 86;

const LOCK_TRIES: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_holds_one_cluster_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a").join("b");
        let first = WorkDir::take(Some(&path)).unwrap();
        assert!(matches!(WorkDir::take(Some(&path)), Err(LocalError::AlreadyRunning(_))));
        drop(first);
        WorkDir::take(Some(&path)).unwrap();
    }

    #[test]
    fn a_cluster_is_found_by_its_name_and_nothing_outside_is() {
        assert_eq!(cluster_dir(Some(Path::new("/run/x")), "a").unwrap(), Path::new("/run/x/a"));
        assert!(matches!(cluster_dir(None, ".."), Err(LocalError::Name(_))));
    }

    #[test]
    fn a_path_without_room_for_a_socket_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("x".repeat(MAX_DIR_LEN));
        assert!(matches!(WorkDir::take(Some(&path)), Err(LocalError::DirTooLong(_))));
    }

    #[test]
    fn a_fresh_directory_goes_with_its_value() {
        let dir = WorkDir::take(None).unwrap();
        let path = dir.join("hosts");
        fs::write(&path, "").unwrap();
        drop(dir);
        assert!(!path.exists());
    }
}
