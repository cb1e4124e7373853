//! What the model remembers between two steps.

use crate::documents::{DocumentId, NAMES, NodeId, Nodes};

/// The whole world.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    /// Which of the scenario's lists discovery tells.
    pub(crate) list: u8,
    pub(crate) nodes: [Node; NAMES.len()],
    pub(crate) publishers: [Publisher; 2],
    pub(crate) copy: Copy,
    pub(crate) clients: [Client; 2],
    pub(crate) write: Write,
    /// How often nodes may still restart.
    pub(crate) restarts: u8,
    /// How often a node may still drop its document.
    pub(crate) drops: u8,
    /// A read that began after the write had ended was answered with what was there before.
    pub(crate) has_read_stale: bool,
    /// A node or a client took a document for one that it follows.
    pub(crate) has_gone_back: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Node {
    pub(crate) is_alive: bool,
    pub(crate) document: Option<DocumentId>,
    pub(crate) item: Item,
    /// Who knows the CAS token of the item and may store by it, a bit each: the clients, then the publisher.
    pub(crate) tokens: u8,
}

/// What a node holds under the key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Item {
    Nothing,
    /// A lease: an empty item that somebody is to fill.
    Lease,
    Value {
        value: Value,
        stamp: u8,
    },
}

/// The value under the key, from before the one write of the model or from after it.
///
/// One write is enough. Take a read that is wrong, for a write had ended before it began: of all other writes only the
/// removals matter to it, and a node may lose its item at any time without a write.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Value {
    Old,
    New,
}

/// How far the one write is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Write {
    ToCome,
    Committed,
    Ended,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Client {
    /// The document that it goes by.
    pub(crate) view: DocumentId,
    /// Whether it has looked at the document within the interval. The publisher waits for those who have; who has not
    /// must look at it in the next operation.
    pub(crate) is_fresh: bool,
    pub(crate) doing: Doing,
}

/// How far a client is in its operation, which goes by the view that it began with.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Doing {
    Nothing,
    /// A read, before it asks the owner. `least` is what it must not fall behind.
    Asking {
        least: Value,
        must_check: bool,
    },
    /// A read that missed at the next owner, before it asks the present one.
    AskingPresent {
        least: Value,
    },
    /// A read that missed, before it loads from the origin.
    Loading,
    /// A read that has its answer, before it stores it for others.
    Filling {
        value: Value,
        is_copy: bool,
    },
    /// The write, after its commit, before this step of its removals.
    Removing {
        step: u8,
    },
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Publisher {
    Down,
    /// It publishes a document; when all nodes have it `is_stored`, and it waits until everyone has had to look.
    Up {
        document: DocumentId,
        is_stored: bool,
        /// The nodes where it knows the CAS token of the document, where there is another publisher.
        tokens: Nodes,
        /// The nodes where it has found none, and may add one as long as there is none.
        empty: Nodes,
    },
}

/// The publisher's own copy from the present owner to the next one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Copy {
    Idle,
    /// It has asked the next owner for a lease.
    Leased {
        document: DocumentId,
    },
    /// It has read this from the present owner.
    Read {
        document: DocumentId,
        value: Value,
    },
}

impl Node {
    /// Removes the item, if there is one. Leases end, for no token is that of an item that is stored later.
    pub(crate) fn remove_item(&mut self) {
        if self.item != Item::Nothing {
            (self.item, self.tokens) = (Item::Nothing, 0);
        }
    }

    /// Stores a value. All tokens are those of what was there before.
    pub(crate) fn store(&mut self, value: Value, stamp: u8) {
        (self.item, self.tokens) = (Item::Value { value, stamp }, 0);
    }

    /// Asks for a lease: where there is nothing, an empty item is made, and `who` may fill it.
    pub(crate) fn lease(&mut self, who: u8) {
        if self.item == Item::Nothing {
            self.item = Item::Lease;
            self.take_token(who);
        }
    }

    pub(crate) fn take_token(&mut self, who: u8) {
        self.tokens |= 1 << who;
    }

    pub(crate) fn drop_token(&mut self, who: u8) {
        self.tokens &= !(1 << who);
    }

    /// Whether `who` may store by the token that it knows.
    pub(crate) fn has_token(&self, who: u8) -> bool {
        self.item != Item::Nothing && self.tokens & (1 << who) != 0
    }
}

impl State {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[usize::from(id)]
    }

    /// What a load from the origin answers now.
    pub(crate) fn origin(&self) -> Value {
        if self.write == Write::ToCome { Value::Old } else { Value::New }
    }

    /// What a read that begins now must not fall behind.
    pub(crate) fn least(&self) -> Value {
        if self.write == Write::Ended { Value::New } else { Value::Old }
    }

    /// The same state with the clients in an order that follows from what they do: they are alike, and two states that
    /// differ in their order alone are one.
    pub(crate) fn with_clients_in_order(mut self) -> Self {
        let rank = |who: usize| {
            let tokens = self.nodes.map(|node| node.tokens >> who & 1);
            (self.clients[who], tokens)
        };
        if rank(1) < rank(0) {
            self.clients.swap(0, 1);
            for node in &mut self.nodes {
                node.tokens = node.tokens & !0b11 | (node.tokens & 1) << 1 | node.tokens >> 1 & 1;
            }
        }
        self
    }

    /// The document of a node is another one now, or none: no publisher knows its token.
    pub(crate) fn forget_document_token(&mut self, id: NodeId) {
        for publisher in &mut self.publishers {
            if let Publisher::Up { tokens, .. } = publisher {
                *tokens &= !(1 << id);
            }
        }
    }

    /// `who` holds no lease any more.
    pub(crate) fn drop_tokens(&mut self, who: u8) {
        self.nodes.iter_mut().for_each(|node| node.drop_token(who));
    }
}

/// The publisher among those who hold tokens; clients go by their number.
pub(crate) const COPIER: u8 = 2;
