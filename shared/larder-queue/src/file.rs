//! A queue of files, for the own machine.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use larder_cache::{Invalidation, MalformedInvalidation};
use tokio::time::Instant;

use crate::{Queue, QueueError};

/// A directory in which every message is a file: what stands in for SQS on the own machine.
///
/// A message is written under a name that nobody looks at, brought to the disk, and renamed; so it is there whole or
/// not at all, whatever ends the process or the machine. Names are never used twice, so many processes may send and
/// take without knowing of each other. The directory is made by the first message.
///
/// Its calls block while the disk works, which a test and a command can bear and a function under load could not.
#[derive(Clone, Debug)]
pub struct FileQueue {
    directory: PathBuf,
}

/// A message that waits in a [`FileQueue`].
#[derive(Debug)]
pub struct Waiting {
    /// What it says.
    pub invalidation: Result<Invalidation, MalformedInvalidation>,
    path: PathBuf,
}

impl FileQueue {
    /// The queue in `directory`. Looks at nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The messages that wait, oldest first, `most` of them at most. They stay until they are [`Waiting::done`], and
    /// others may take them as well.
    ///
    /// None where there is no directory yet: nobody has sent anything.
    pub fn take(&self, most: usize) -> Result<Vec<Waiting>, QueueError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.retain(|path| is_message(path));
        paths.sort();
        let mut waiting = Vec::new();
        for path in paths.into_iter().take(most) {
            match read(&path) {
                Ok(invalidation) => waiting.push(Waiting { invalidation, path }),
                // Somebody else has done it by now.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(waiting)
    }

    fn write(&self, message: &str) -> io::Result<()> {
        if !self.directory.is_dir() {
            fs::create_dir_all(&self.directory)?;
            sync_directory(self.directory.parent().filter(|parent| !parent.as_os_str().is_empty()))?;
        }
        let name = name();
        let unseen = self.directory.join(format!(".{name}"));
        let written = write_whole(&unseen, message.as_bytes())
            .and_then(|()| fs::rename(&unseen, self.directory.join(format!("{name}{MESSAGE}"))));
        if written.is_err() {
            // Nobody looks at it, but it takes room.
            _ = fs::remove_file(&unseen);
        }
        written?;
        sync_directory(Some(&self.directory))
    }
}

impl Queue for FileQueue {
    async fn send(&self, invalidation: &Invalidation, deadline: Instant) -> Result<(), QueueError> {
        let mut sent = Ok(());
        for part in invalidation.split() {
            if Instant::now() >= deadline {
                return sent.and(Err(QueueError::Deadline));
            }
            // One that cannot be written keeps no other from it.
            sent = sent.and(self.write(&part.encode()).map_err(QueueError::from));
        }
        sent
    }
}

impl Waiting {
    /// Takes the message out of the queue: it is done.
    pub fn done(self) -> Result<(), QueueError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts the message where nobody takes it from, as SQS does with what fails again and again, for a person to look
    /// at; answers where: in `dead-letters` within the queue's directory.
    pub fn set_aside(self) -> Result<PathBuf, QueueError> {
        let (directory, name) = (self.path.parent().unwrap_or(Path::new(".")), self.path.file_name());
        let dead_letters = directory.join("dead-letters");
        fs::create_dir_all(&dead_letters)?;
        let aside = dead_letters.join(name.unwrap_or(OsStr::new("message")));
        match fs::rename(&self.path, &aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(aside),
        }
    }
}

/// Sorted by time, to the millisecond, and nobody else's.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:013}-{:016x}", now.as_millis(), fastrand::u64(..))
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Brings the names in `directory`, the current one unless told, to the disk: they have to outlive the machine, too.
fn sync_directory(directory: Option<&Path>) -> io::Result<()> {
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn is_message(path: &Path) -> bool {
    path.file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.ends_with(MESSAGE) && !name.starts_with('.'))
}

/// The outer error is the directory's fault, the inner one the message's. Reads nothing of what is too long.
fn read(path: &Path) -> io::Result<Result<Invalidation, MalformedInvalidation>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > Invalidation::MAX_BYTES as u64 {
        return Ok(Err(MalformedInvalidation::Long(usize::try_from(len).unwrap_or(usize::MAX))));
    }
    match io::read_to_string(file) {
        Ok(text) => Ok(Invalidation::decode(&text)),
        // JSON is UTF-8.
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Ok(Err(MalformedInvalidation::Json { line: 0, column: 0 }))
        }
        Err(error) => Err(error),
    }
}

/// How the name of a message ends.
const MESSAGE: &str = ".json";
