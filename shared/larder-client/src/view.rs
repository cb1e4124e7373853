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
    /// Whether the call is to look at the ring document.
    was_to_look: bool,
    /// Whether the next request is to carry the look.
    is_to_look: AtomicBool,
    found: OnceLock<Found>,
}

/// What a look at the ring document, or an item, told of it.
#[derive(Debug)]
pub(crate) enum Found {
    /// The node holds the document whose epoch ends in these bits.
    Document(Arc<Node>, u32),
    /// The node holds none.
    Nothing(Arc<Node>),
    /// The node holds an item that was stored under a later document.
    Later(Arc<Node>),
}

impl View {
    pub(crate) fn new(fleet: Arc<Fleet>, now: Moment, deadline: Instant, is_to_look: bool) -> Self {
        Self {
            fleet,
            now,
            deadline,
            was_to_look: is_to_look,
            is_to_look: is_to_look.into(),
            found: OnceLock::new(),
        }
    }

    /// Whether the call is to look at the ring document, or has found that there is a later one.
    pub(crate) fn was_to_look(&self) -> bool {
        self.was_to_look || self.found.get().is_some()
    }

    /// Sends `request` to `node`, with a look at the ring document in the same pipeline if this call is to make one
    /// and has not yet, and if the node can confirm what it says.
    pub(crate) async fn ask<R: Request>(
        &self,
        shared: &Shared,
        node: &Arc<Node>,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        let is_to_look = self.is_to_look.load(Relaxed)
            && self.fleet.is_read_from(node)
            && self.is_to_look.swap(false, Relaxed);
        if !is_to_look {
            return node.ask(&shared.common, self.now, self.deadline, request).await;
        }
        // Boxed, for it is rare and large, and would have to be carried along by every request.
        Box::pin(async {
            let with_look = WithRingCheck(request);
            let (answer, connection) = node.ask(&shared.common, self.now, self.deadline, &with_look).await?;
            let (answer, reply) = answer.into_parts()?;
            self.note(found(node, reply).inspect_err(|error| connection.distrust(error))?);
            Ok((answer, connection))
        })
        .await
    }

    /// Takes note of what was found. The first that says something stays.
    pub(crate) fn note(&self, found: Found) {
        // A second one changes nothing: one look is enough for a call.
        let _ = self.found.set(found);
    }

    /// What was found, if anything.
    pub(crate) fn found(&self) -> Option<&Found> {
        self.found.get()
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
