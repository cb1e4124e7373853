//! What became of each list, as the caller is told.
//!
//! ```json
//! {"lists": [{"list": "busiest-routes", "done": "refreshed", "rows": 10}, {"list": "worst-delays", "done": "left"}]}
//! ```
//!
//! | `done` | what it means |
//! | --- | --- |
//! | `refreshed` | the list is new; `rows` |
//! | `unchanged` | its rows are the same: it was touched; `rows` |
//! | `not-due` | it is too young; `age_secs` |
//! | `under-way` | somebody else is at work on it |
//! | `overtaken` | somebody else has stored, touched or forgotten it meanwhile; what was loaded was thrown away |
//! | `failed` | it stays as it was; `error` |
//! | `left` | there was no time for it, or its key is just moving to another node; it is still due |

use larder_lambda::batch::ItemFailure;
use serde::Serialize;

/// What became of all lists that a run looked after, in the order in which it did. Of a schedule those that are not due
/// are not named.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Answer {
    /// One for each list.
    pub lists: Vec<ListDone>,
    /// For a batch of SQS: the messages that are not done, which SQS keeps; absent for every other event.
    #[serde(rename = "batchItemFailures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<ItemFailure>>,
}

/// What became of one list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ListDone {
    /// Its name.
    pub list: String,
    /// What became of it.
    #[serde(flatten)]
    pub done: Done,
}

/// What became of a list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "done", rename_all = "kebab-case")]
pub enum Done {
    /// It is new.
    Refreshed {
        /// How many rows it has.
        rows: u32,
    },
    /// Its rows are the same.
    Unchanged {
        /// How many rows it has.
        rows: u32,
    },
    /// It is too young.
    NotDue {
        /// How old it is, in seconds.
        age_secs: u64,
    },
    /// Somebody else is at work on it.
    UnderWay,
    /// Somebody else was quicker.
    Overtaken,
    /// It stays as it was.
    Failed {
        /// Why.
        error: String,
    },
    /// There was no time for it, or its key is just moving to another node.
    Left,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_says_what_became_of_each_list() {
        let all = [
            (Done::Refreshed { rows: 10 }, json!({ "list": "a", "done": "refreshed", "rows": 10 })),
            (Done::Unchanged { rows: 0 }, json!({ "list": "a", "done": "unchanged", "rows": 0 })),
            (Done::NotDue { age_secs: 7 }, json!({ "list": "a", "done": "not-due", "age_secs": 7 })),
            (Done::UnderWay, json!({ "list": "a", "done": "under-way" })),
            (Done::Overtaken, json!({ "list": "a", "done": "overtaken" })),
            (Done::Failed { error: "x".to_owned() }, json!({ "list": "a", "done": "failed", "error": "x" })),
            (Done::Left, json!({ "list": "a", "done": "left" })),
        ];
        let (lists, expected): (Vec<_>, Vec<_>) =
            all.into_iter().map(|(done, json)| (ListDone { list: "a".to_owned(), done }, json)).unzip();
        assert_eq!(
            serde_json::to_value(Answer { lists, failures: None }).unwrap(),
            json!({ "lists": expected })
        );
    }
}
