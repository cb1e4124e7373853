//! A list of rows, as configuration describes it.

use serde::Deserialize;

use crate::identifier::Identifier;
use crate::scalar::Scalar;

/// What gives a list its rows. It comes from the configuration and never from a request.
///
/// In JSON:
///
/// ```
/// use larder_origin::ListQuery;
///
/// let by_sql = r#"{"sql": {
///     "statement": "SELECT dest, count(*) AS flights FROM flights WHERE origin = ? GROUP BY dest ORDER BY 2 DESC LIMIT 10",
///     "parameters": ["JFK"]
/// }}"#;
/// let by_index = r#"{"index": {
///     "table": "flights", "index": "by-origin", "partition": "JFK", "descending": true
/// }}"#;
/// assert!(matches!(serde_json::from_str(by_sql)?, ListQuery::Sql { .. }));
/// assert!(matches!(serde_json::from_str(by_index)?, ListQuery::Index { .. }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ListQuery {
    /// One statement that reads, in the database's own SQL. Its result is the list: all columns, computed ones
    /// included, under the names that they have there.
    Sql {
        /// The statement. A `LIMIT` of its own saves the database rows that nobody takes, and the connection that they
        /// would have to be thrown away with.
        statement: String,
        /// The values for its places: `?` in SQLite and MySQL, `$1` and so on in PostgreSQL. A place that PostgreSQL
        /// compares with something else than text, bigint, double precision or boolean needs a cast, `$1::date`; a
        /// number that is neither of the two goes as text, and needs `$1::numeric`.
        #[serde(default)]
        parameters: Vec<Scalar>,
    },
    /// A DynamoDB index, in the order of its sort key.
    Index {
        /// The table, which is one of the origin's.
        table: Identifier,
        /// The secondary index.
        index: String,
        /// The value that the index's partition key has in all rows of the list.
        partition: Scalar,
        /// Whether the rows with the highest sort key come first.
        #[serde(default)]
        descending: bool,
    },
}

/// Most rows of one list.
pub const MAX_LIST: usize = 1000;
