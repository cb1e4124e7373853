//! The number of a node.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A node's number, written with four digits as ElastiCache writes it: `0001`.
///
/// Numbers go up from 1 and are not given twice.
///
/// ```
/// use larder_local::NodeId;
/// assert_eq!("2".parse(), Ok(NodeId(2)));
/// assert_eq!("larder.local.0002.cache.internal".parse(), Ok(NodeId(2)));
/// assert_eq!(NodeId(2).to_string(), "0002");
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// Takes `0002`, `2` or the whole name of a node.
impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let number = text.split('.').find(|label| is_number(label)).ok_or(InvalidNodeId)?;
        number.parse().map(Self).map_err(|_| InvalidNodeId)
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidNodeId;

    fn try_from(text: String) -> Result<Self, InvalidNodeId> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

/// A text that names no node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a node is named by its number, such as 0002, or by its whole name")]
pub struct InvalidNodeId;

fn is_number(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_number_names_no_node() {
        for text in ["", "larder", "-1", "70000", "+2", "larder.local.cfg.cache.internal"] {
            assert_eq!(text.parse::<NodeId>(), Err(InvalidNodeId), "{text:?}");
        }
    }
}
