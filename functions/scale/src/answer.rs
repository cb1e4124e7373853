//! What was done, as the caller is told.
//!
//! | `done` | members |
//! | --- | --- |
//! | `out` | `from`, `to`: how many nodes there were, and were asked for |
//! | `back` | `nodes`, how many there are; `node` and `endpoint` of the one that was taken back into the ring |
//! | `in` | `from`, `to`; `node`, its number, and `endpoint`; `epoch` of the ring without it, `copied_keys` |
//! | `nothing` | `why`: `changing`, `at-most`, `at-least`, `cool-down`, `no-room` or `ignored`; `detail`, a sentence; `nodes`, where the cluster was asked; `again_in_secs` for a cool-down |

use larder_lambda::batch::ItemFailure;
use serde::Serialize;

use crate::ask::Ignored;
use crate::plan::Refusal;

/// What was done for one thing that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "done", rename_all = "kebab-case")]
pub enum Answer {
    /// A node was asked for.
    Out {
        /// How many there were.
        from: u32,
        /// How many there will be.
        to: u32,
    },
    /// A node that an earlier run left out of the ring is back in it.
    Back {
        /// How many there are.
        nodes: u32,
        /// Its number.
        node: String,
        /// Its name and port.
        endpoint: String,
    },
    /// A node was left out of the ring and is being taken away.
    In {
        /// How many there were.
        from: u32,
        /// How many are left.
        to: u32,
        /// Its number.
        node: String,
        /// Its name and port.
        endpoint: String,
        /// The epoch of the ring without it.
        epoch: u64,
        /// How many keys were copied to the others.
        copied_keys: u64,
    },
    /// Nothing, and why.
    Nothing {
        /// The reason, in a word.
        why: &'static str,
        /// The reason, in a sentence.
        detail: String,
        /// How many nodes there are, where the cluster was asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<u32>,
        /// When to ask again, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        again_in_secs: Option<u64>,
    },
}

impl Answer {
    /// Nothing was done to a cluster of `nodes` nodes.
    pub fn refused(refusal: &Refusal, nodes: u32) -> Self {
        let (why, again_in_secs) = match refusal {
            Refusal::Changing(_) => ("changing", None),
            Refusal::AtMost(_) => ("at-most", None),
            Refusal::AtLeast(_) => ("at-least", None),
            Refusal::CoolDown { again_in, .. } => ("cool-down", Some(again_in.as_secs())),
            Refusal::NoRoom(_) => ("no-room", None),
        };
        Self::Nothing { why, detail: refusal.to_string(), nodes: Some(nodes), again_in_secs }
    }

    /// Nothing was asked for.
    pub fn ignored(ignored: &Ignored) -> Self {
        Self::Nothing { why: "ignored", detail: ignored.to_string(), nodes: None, again_in_secs: None }
    }
}

/// One answer as it is; those to several records in a list; those to a batch of SQS beside the messages that are not
/// done.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answers {
    /// To a call, or to one record.
    One(Answer),
    /// To several records, in their order.
    Many(Vec<Answer>),
    /// To a batch of SQS.
    Batch {
        /// What was done, in the order of the messages.
        answers: Vec<Answer>,
        /// The messages that SQS must keep.
        #[serde(rename = "batchItemFailures")]
        failures: Vec<ItemFailure>,
    },
}

impl From<Vec<Answer>> for Answers {
    fn from(mut answers: Vec<Answer>) -> Self {
        match answers.pop() {
            Some(only) if answers.is_empty() => Self::One(only),
            last => Self::Many(answers.into_iter().chain(last).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(answer: Answer, expected: serde_json::Value) {
        assert_eq!(serde_json::to_value(Answers::from(vec![answer])).unwrap(), expected);
    }

    #[test]
    fn an_answer_says_what_was_done() {
        check(Answer::Out { from: 3, to: 4 }, json!({ "done": "out", "from": 3, "to": 4 }));
        check(
            Answer::In {
                from: 4,
                to: 3,
                node: "0004".to_owned(),
                endpoint: "a:11211".to_owned(),
                epoch: 7,
                copied_keys: 12,
            },
            json!({ "done": "in", "from": 4, "to": 3, "node": "0004", "endpoint": "a:11211", "epoch": 7, "copied_keys": 12 }),
        );
    }

    #[test]
    fn an_answer_says_why_nothing_was_done() {
        let refusal =
            Refusal::CoolDown { since: Duration::from_secs(40), again_in: Duration::from_secs(560) };
        check(
            Answer::refused(&refusal, 3),
            json!({
                "done": "nothing", "why": "cool-down", "nodes": 3, "again_in_secs": 560,
                "detail": "the last change was 40s ago, the next may be made in 560s",
            }),
        );
        check(
            Answer::ignored(&Ignored::NoAlarm),
            json!({ "done": "nothing", "why": "ignored", "detail": "the message is not that of an alarm" }),
        );
    }

    #[test]
    fn several_answers_keep_their_order() {
        let answers = [(1, 2), (2, 3)].map(|(from, to)| Answer::Out { from, to }).to_vec();
        assert_eq!(Answers::from(answers.clone()), Answers::Many(answers));
        assert_eq!(Answers::from(Vec::new()), Answers::Many(Vec::new()));
    }
}
