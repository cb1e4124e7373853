//! A session with a PostgreSQL server, or with a pooler before it.
//!
//! A statement has no name and lives for one call: it is parsed, bound, described and run before the one `Sync` behind
//! it. A pooler that gives a server to a transaction gives all of these to the same one, so no call meets the statement
//! of another session, and a call is one round trip.
//!
//! ```text
//! outside a transaction   Parse set_config · Bind · Execute · Parse · Bind · Describe · Execute · Sync
//! within one                                                  Parse · Bind · Describe · Execute · Sync
//! a list                  Parse · Describe · Sync,  then      Parse · Bind · Describe · Execute · Sync
//! ```
//!
//! Source: PostgreSQL, "Message Flow", "Extended Query" and "Pipelining".

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{ErrorResponseBody, Message, RowDescriptionBody};
use postgres_protocol::message::frontend::{self, BindError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::fault::Fault;
use super::value::{Column, PgRow, format_of};
use crate::engine::{Ask, Bind, Fetched};

/// What a session goes over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// An open session. Dropped, it is closed.
pub(crate) struct Session {
    socket: Box<dyn Socket>,
    unread: BytesMut,
    unsent: BytesMut,
    is_in_transaction: bool,
    /// How long a statement may take, in milliseconds.
    limit_ms: String,
}

impl Session {
    pub(super) fn new(socket: Box<dyn Socket>, limit_ms: u128) -> Self {
        let (unread, unsent) = (BytesMut::new(), BytesMut::new());
        Self { socket, unread, unsent, is_in_transaction: false, limit_ms: limit_ms.max(1).to_string() }
    }

    /// Where messages are written that [`send`](Self::send) sends.
    pub(super) fn unsent(&mut self) -> &mut BytesMut {
        &mut self.unsent
    }

    pub(super) async fn send(&mut self) -> sqlx::Result<()> {
        self.socket.write_all(&self.unsent).await?;
        self.unsent.clear();
        Ok(self.socket.flush().await?)
    }

    /// The next message, but for what a server may tell at any time. An error is one only behind
    /// [`in_step`](Self::in_step).
    pub(super) async fn receive(&mut self) -> sqlx::Result<Message> {
        loop {
            match Message::parse(&mut self.unread)? {
                Some(
                    Message::NoticeResponse(_)
                    | Message::ParameterStatus(_)
                    | Message::NotificationResponse(_),
                ) => {}
                Some(Message::ErrorResponse(body)) => return Err(self.in_step(&body).await),
                Some(message) => return Ok(message),
                None => {
                    if self.socket.read_buf(&mut self.unread).await? == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
    }

    /// The error that was told, once the server is ready for the next statement, or has gone.
    async fn in_step(&mut self, body: &ErrorResponseBody) -> sqlx::Error {
        let fault = Fault::read(body);
        if !fault.is_fatal() {
            let ended = Box::pin(self.skip()).await;
            if let Err(error) = ended {
                return error;
            }
        }
        sqlx::Error::Database(Box::new(fault))
    }

    /// Reads up to the point where the server is ready.
    async fn skip(&mut self) -> sqlx::Result<()> {
        loop {
            match Message::parse(&mut self.unread)? {
                Some(Message::ReadyForQuery(body)) => {
                    self.is_in_transaction = body.status() != IDLE;
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    if self.socket.read_buf(&mut self.unread).await? == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
    }

    /// Runs statements without values, in the simple protocol, which a pooler gives to one server, too.
    pub(super) async fn run(&mut self, statements: &str) -> sqlx::Result<()> {
        frontend::query(statements, &mut self.unsent)?;
        self.send().await?;
        loop {
            match self.receive().await? {
                Message::ReadyForQuery(body) => {
                    self.is_in_transaction = body.status() != IDLE;
                    return Ok(());
                }
                Message::CommandComplete(_)
                | Message::EmptyQueryResponse
                | Message::RowDescription(_)
                | Message::DataRow(_) => {}
                _ => return Err(protocol("an answer to another kind of statement")),
            }
        }
    }

    /// Begins a transaction whose statements, waits for locks and rests end by themselves. Set for the transaction
    /// alone: behind a pooler the session is somebody else's afterwards.
    pub(super) async fn begin(&mut self, begin: &str) -> sqlx::Result<()> {
        let limit = &self.limit_ms;
        let limits = format!(
            "{begin}; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}; \
             SET LOCAL idle_in_transaction_session_timeout = {limit}"
        );
        self.run(&limits).await
    }

    /// Runs one statement and takes up to `most` of its rows.
    pub(super) async fn fetch(&mut self, ask: &Ask<'_>) -> sqlx::Result<Fetched<PgRow>> {
        let formats = match ask.is_kept {
            true => vec![BINARY],
            // Whose columns may be of any type.
            false if self.is_in_transaction => self.formats(ask).await?,
            false => vec![BINARY],
        };
        let mut results_before = 0;
        if !self.is_in_transaction {
            let limit = [Bind::Text(self.limit_ms.clone().into())];
            self.write(LIMIT, &limit, &[])?;
            frontend::execute(UNNAMED, 0, &mut self.unsent)?;
            results_before = 1;
        }
        self.write(&ask.statement, ask.binds, &formats)?;
        frontend::describe(PORTAL, UNNAMED, &mut self.unsent)?;
        frontend::execute(UNNAMED, 0, &mut self.unsent)?;
        frontend::sync(&mut self.unsent);
        self.send().await?;
        self.results(ask.most, results_before).await
    }

    async fn results(&mut self, most: usize, mut results_before: u8) -> sqlx::Result<Fetched<PgRow>> {
        let mut columns: Arc<[Column]> = Arc::default();
        let mut fetched = Fetched { rows: Vec::new(), is_whole: true, affected: 0, relation: None };
        loop {
            match self.receive().await? {
                Message::RowDescription(body) => {
                    columns = read_columns(&body)?;
                    fetched.relation = columns.first().map(|column| column.relation);
                }
                Message::DataRow(_) if results_before > 0 => {}
                Message::DataRow(_) if fetched.rows.len() == most => {
                    fetched.is_whole = false;
                    return Ok(fetched);
                }
                Message::DataRow(body) => fetched.rows.push(PgRow::read(&columns, body)?),
                Message::CommandComplete(_) if results_before > 0 => results_before -= 1,
                Message::CommandComplete(body) => fetched.affected = affected(body.tag()?),
                Message::ReadyForQuery(body) => {
                    self.is_in_transaction = body.status() != IDLE;
                    return Ok(fetched);
                }
                Message::ParseComplete
                | Message::BindComplete
                | Message::NoData
                | Message::EmptyQueryResponse => {}
                _ => return Err(protocol("an answer to another kind of statement")),
            }
        }
    }

    /// How each column of a list is to be sent. In two steps, which the transaction keeps on one server.
    async fn formats(&mut self, ask: &Ask<'_>) -> sqlx::Result<Vec<i16>> {
        frontend::parse(UNNAMED, &ask.statement, ask.binds.iter().map(type_of), &mut self.unsent)?;
        frontend::describe(STATEMENT, UNNAMED, &mut self.unsent)?;
        frontend::sync(&mut self.unsent);
        self.send().await?;
        let mut formats = Vec::new();
        loop {
            match self.receive().await? {
                Message::RowDescription(body) => {
                    formats = read_columns(&body)?.iter().map(|column| format_of(column.kind)).collect();
                }
                Message::ReadyForQuery(_) => return Ok(formats),
                Message::ParseComplete | Message::ParameterDescription(_) | Message::NoData => {}
                _ => return Err(protocol("an answer to another kind of statement")),
            }
        }
    }

    /// Writes a statement and its values. All values but bytes go as text, and the type of each is told.
    fn write(&mut self, statement: &str, binds: &[Bind<'_>], formats: &[i16]) -> sqlx::Result<()> {
        frontend::parse(UNNAMED, statement, binds.iter().map(type_of), &mut self.unsent)?;
        let kinds = binds.iter().map(|bind| if matches!(bind, Bind::Bytes(_)) { BINARY } else { TEXT });
        let results = formats.iter().copied();
        let written = frontend::bind(
            UNNAMED,
            UNNAMED,
            kinds,
            binds,
            |bind, buf| Ok(write_value(bind, buf)),
            results,
            &mut self.unsent,
        );
        written.map_err(|error| match error {
            BindError::Conversion(error) => sqlx::Error::Encode(error),
            BindError::Serialization(error) => sqlx::Error::Encode(error.into()),
        })
    }
}

fn write_value(bind: &Bind<'_>, buf: &mut BytesMut) -> IsNull {
    match bind {
        Bind::Null => return IsNull::Yes,
        Bind::Bool(value) => buf.put_slice(if *value { b"true" } else { b"false" }),
        Bind::Integer(value) => buf.put_slice(value.to_string().as_bytes()),
        Bind::Unsigned(value) => buf.put_slice(value.to_string().as_bytes()),
        Bind::Real(value) => buf.put_slice(format!("{value:?}").as_bytes()),
        Bind::Text(value) => buf.put_slice(value.as_bytes()),
        Bind::Bytes(value) => buf.put_slice(value),
    }
    IsNull::No
}

/// Source: PostgreSQL, `src/include/catalog/pg_type.dat`.
fn type_of(bind: &Bind<'_>) -> u32 {
    match bind {
        Bind::Bool(_) => 16,
        Bind::Bytes(_) => 17,
        Bind::Integer(_) => 20,
        Bind::Null | Bind::Text(_) => 25,
        Bind::Real(_) => 701,
        // No integer of PostgreSQL holds it.
        Bind::Unsigned(_) => 1700,
    }
}

fn read_columns(body: &RowDescriptionBody) -> sqlx::Result<Arc<[Column]>> {
    let columns = body.fields().map(|field| {
        let (name, relation, kind) = (field.name().to_owned(), field.table_oid(), field.type_oid());
        Ok(Column { name, relation, kind, is_text: field.format() == TEXT })
    });
    Ok(columns.collect::<Vec<_>>()?.into())
}

/// The count behind `UPDATE 1` or `INSERT 0 1`.
fn affected(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

pub(super) fn protocol(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(what.to_owned())
}

/// Ends a statement on the server though nobody waits any more. For the implicit transaction up to `Sync` alone.
const LIMIT: &str = "SELECT set_config('statement_timeout', $1, true)";

const UNNAMED: &str = "";
const PORTAL: u8 = b'P';
const STATEMENT: u8 = b'S';
const TEXT: i16 = 0;
const BINARY: i16 = 1;

/// The status of a session without a transaction.
const IDLE: u8 = b'I';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_rows_stands_at_the_end_of_a_tag() {
        for (tag, count) in [("UPDATE 2", 2), ("INSERT 0 1", 1), ("SELECT 5", 5), ("BEGIN", 0), ("", 0)] {
            assert_eq!(affected(tag), count, "{tag}");
        }
    }
}
