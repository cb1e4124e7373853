//! How many connections an environment keeps, and how long.

use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sqlx::mysql::MySqlDatabaseError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::postgres::Fault;

/// The connections of one origin in one environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolConfig {
    /// Most connections open at once. 1 fits an environment that serves one request at a time; thousands of
    /// environments share one database. A SQLite file that is written has as many again for that.
    pub max_connections: NonZeroU32,
    /// A connection older than this is opened anew before use, checked on use. A database file that was
    /// replaced by another is seen this much later at most, because the old file stays readable while it is open.
    /// A schema that was read longer ago is read anew before use, too: what a migration changes without a fault of any
    /// statement, such as a column that it adds, is seen this much later at most.
    pub max_age: Duration,
    /// A connection that has rested for this long, by the clock that says more, is asked for a sign of life before use:
    /// a frozen environment is not told that its connection has ended.
    pub check_after: Duration,
    /// How long that sign may take; then the connection is given up for a new one.
    pub check_timeout: Duration,
    /// How long a new connection may take, TLS and login included.
    pub connect_timeout: Duration,
    /// How long the server works at one statement, waits for a lock, or waits for us within a transaction. The deadline
    /// of a call ends our wait much sooner; this ends what the server does when an environment is frozen or gone. Set
    /// when a connection is opened. SQLite is a part of the function and takes no more from it than a second's wait.
    pub statement_timeout: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_connections: NonZeroU32::MIN,
            max_age: Duration::from_secs(60),
            check_after: Duration::from_secs(1),
            check_timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// What can be asked for a sign of life.
pub(crate) trait Alive: Send {
    /// Waits for an answer to nothing.
    fn ping(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// Connections that rest. No task looks after them: their age is checked when they are used.
pub(crate) struct Pool<C> {
    pub(crate) config: PoolConfig,
    permits: Semaphore,
    resting: Mutex<Vec<Resting<C>>>,
}

struct Resting<C> {
    connection: C,
    opened: Moment,
    since: Moment,
}

impl<C: Alive> Pool<C> {
    pub(crate) fn new(config: PoolConfig) -> Self {
        let most =
            usize::try_from(config.max_connections.get()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { config, permits: Semaphore::new(most), resting: Mutex::default() }
    }

    /// Lends a connection: one that rests, if it is young and alive, or a new one by `open`. Waits for a turn.
    pub(crate) async fn lend(
        &self,
        open: impl Future<Output = sqlx::Result<C>>,
    ) -> sqlx::Result<Lent<'_, C>> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        while let Some(Resting { mut connection, opened, since }) = self.take() {
            let is_alive = opened.elapsed() < self.config.max_age
                && (since.elapsed() < self.config.check_after
                    || matches!(timeout(self.config.check_timeout, connection.ping()).await, Ok(Ok(()))));
            if is_alive {
                return Ok(Lent { pool: self, connection, opened, is_reused: true, _permit: permit });
            }
        }
        let opened = Moment::now();
        let too_long = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let connection = timeout(self.config.connect_timeout, open).await.map_err(|_| too_long())??;
        Ok(Lent { pool: self, connection, opened, is_reused: false, _permit: permit })
    }

    /// Closes all that rest: they lead where the name does not lead any more.
    pub(crate) fn forget(&self) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self) -> Option<Resting<C>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// A connection in use. It rests again if it is given back; dropped, it is closed, because nobody knows what is still
/// under way on it.
pub(crate) struct Lent<'p, C> {
    pool: &'p Pool<C>,
    connection: C,
    opened: Moment,
    is_reused: bool,
    _permit: SemaphorePermit<'p>,
}

impl<C> Lent<'_, C> {
    /// Gives back a connection on which nothing is under way.
    pub(crate) fn give_back(self) {
        let resting = Resting { connection: self.connection, opened: self.opened, since: Moment::now() };
        self.pool.resting.lock().unwrap_or_else(PoisonError::into_inner).push(resting);
    }

    /// Whether it had rested. One that had may have been dead all the time.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }
}

impl<C> Deref for Lent<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for Lent<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

/// Whether an error says that the connection has ended. Servers may say so in words before they hang up.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let is_last_word = error.code().is_some_and(|code| LAST_WORDS.contains(&&*code));
            let mysql = error.try_downcast_ref::<MySqlDatabaseError>();
            is_last_word
                || error.try_downcast_ref::<Fault>().is_some_and(Fault::is_fatal)
                || mysql.is_some_and(|error| error.number() == CONNECTION_KILLED)
        }
        _ => false,
    }
}

/// A moment by both clocks: in a frozen environment one of them may stand still.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The time since, by the clock that says more.
    pub(crate) fn elapsed(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// What a PostgreSQL server says as it ends a connection: shut down, crashed, dropped, idle too long, idle within a
/// transaction for too long; then MySQL's and MariaDB's word for it.
/// Source: PostgreSQL, "Appendix A. PostgreSQL Error Codes"; MySQL, `ER_CLIENT_INTERACTION_TIMEOUT`, by its state.
const LAST_WORDS: [&str; 6] = ["57P01", "57P02", "57P04", "57P05", "25P03", "08S01"];

/// MariaDB's `ER_CONNECTION_KILLED`, whose state is that of a statement which was ended.
const CONNECTION_KILLED: u16 = 1927;
