//! The ring as one call sees it, and what the call learns of it in passing.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use larder_meta::{ProtocolError, Reply};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::fleet::Fleet;
use crate::moment::Moment;
use crate::node::{Node, Request};
use crate::refresh::Shared;
use crate::requests::WithRingCheck;
use crate::{NodeError, answer::Answer};

/// The ring as one call sees it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) fleet: Arc<Fleet>,
    /// When it was taken.
    pub(crate) now: Moment,
    /// By when the call has to end.
    pub(crate) deadline: Instant,
    /// Since when the ring is known to be the one in force; `None` if it never was.
    pub(crate) known_since: Option<Moment>,
    /// Whether the call is to look at the ring document.
    was_to_look: bool,
    /// Whether the next request is to carry the look.
    is_to_look: AtomicBool,
    found: OnceLock<Found>,
    /// A node with an item that was stored under a later document.
    ahead: OnceLock<Arc<Node>>,
}

/// When a call is to look at the ring document, and what is known without.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Whether its first request is to carry a look.
    pub(crate) is_due: bool,
    /// Since when the ring is known to be the one in force; `None` if it never was.
    pub(crate) known_since: Option<Moment>,
}

/// What a look at the ring document told of it.
#[derive(Debug)]
pub(crate) enum Found {
    /// The node holds the document with these client flags.
    Document(Arc<Node>, u32),
    /// The node holds none.
    Nothing(Arc<Node>),
}

impl Look {
    /// None is due, for the ring is known since `moment`.
    pub(crate) fn since(moment: Moment) -> Self {
        Self { is_due: false, known_since: Some(moment) }
    }
}

impl View {
    /// The ring of `fleet` as a call sees it from `now` on, which has to end by `deadline`.
    pub(crate) fn new(fleet: Arc<Fleet>, now: Moment, deadline: Instant, look: Look) -> Self {
        Self {
            fleet,
            now,
            deadline,
            known_since: look.known_since,
            was_to_look: look.is_due,
            is_to_look: look.is_due.into(),
            found: OnceLock::new(),
            ahead: OnceLock::new(),
        }
    }

    /// Whether the call was to look at the ring document.
    pub(crate) fn was_to_look(&self) -> bool {
        self.was_to_look
    }

    /// Whether there is anything to find out: the call is to look at the ring document, or has met an item of a later
    /// one.
    pub(crate) fn has_questions(&self) -> bool {
        self.was_to_look || self.ahead.get().is_some()
    }

    /// Sends `request` to `node`, with a look at the ring document in the same pipeline if this call is to make one
    /// and has not yet, and if the node can confirm what it says.
    pub(crate) async fn ask<R: Request>(
        &self,
        shared: &Shared,
        node: &Arc<Node>,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        if !self.takes_look(node) {
            return node.ask(&shared.common, self.now, self.deadline, request).await;
        }
        // Boxed, for it is rare and large, and would have to be carried along by every request.
        Box::pin(async {
            let with_look = WithRingCheck(request);
            let (answer, connection) = node.ask(&shared.common, self.now, self.deadline, &with_look).await?;
            Ok((self.without_look(node, &connection, answer)?, connection))
        })
        .await
    }

    /// The same on `connection` of `node` and no other, for what is only good there.
    pub(crate) async fn ask_on<R: Request>(
        &self,
        node: &Arc<Node>,
        connection: &Arc<Connection>,
        request: &R,
    ) -> Result<Answer, NodeError> {
        if !self.takes_look(node) {
            return node.ask_on(connection, self.deadline, request).await;
        }
        let answer = node.ask_on(connection, self.deadline, &WithRingCheck(request)).await?;
        self.without_look(node, connection, answer)
    }

    /// Whether the next request, which goes to `node`, is to carry the look; it then counts as made.
    fn takes_look(&self, node: &Node) -> bool {
        self.is_to_look.load(Relaxed) && self.fleet.is_witness(node) && self.is_to_look.swap(false, Relaxed)
    }

    /// Takes the look off an `answer` of `node`.
    fn without_look(
        &self,
        node: &Arc<Node>,
        connection: &Connection,
        answer: Answer,
    ) -> Result<Answer, NodeError> {
        let (answer, reply) = answer.into_parts()?;
        let found = found(node, reply).inspect_err(|error| connection.distrust(error))?;
        // A call looks once.
        let _ = self.found.set(found);
        Ok(answer)
    }

    /// What the look told, if it came back.
    pub(crate) fn found(&self) -> Option<&Found> {
        self.found.get()
    }

    /// Takes note of a `node` with an item that was stored under a later document.
    pub(crate) fn note_ahead(&self, node: &Arc<Node>) {
        // One of them is enough.
        let _ = self.ahead.set(Arc::clone(node));
    }

    /// A node with an item that was stored under a later document, if any was met.
    pub(crate) fn ahead(&self) -> Option<&Arc<Node>> {
        self.ahead.get()
    }
}

fn found(node: &Arc<Node>, reply: Reply) -> Result<Found, NodeError> {
    match reply {
        Reply::Done(flags) => match flags.client_flags {
            Some(client_flags) => Ok(Found::Document(Arc::clone(node), client_flags)),
            None => Ok(Found::Nothing(Arc::clone(node))),
        },
        // A node that does not want to be asked has nothing to say.
        Reply::Miss(_) | Reply::Refused(_) => Ok(Found::Nothing(Arc::clone(node))),
        other => Err(ProtocolError::UnknownReply(format!("{other:.80?}")).into()),
    }
}
