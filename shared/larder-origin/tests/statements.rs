//! How many statements a connection keeps on a server that counts them.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use larder_origin::{Change, ListQuery, Scalar, WriteOptions};

use place::{Kind, Place, fields, ids, no_hurry, parsed, put, read, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn batches_of_every_length_keep_few_statements() {
    let place = Place::new(Kind::MySql).await;
    let origin = place.origin();
    for id in 1..=100 {
        put(&origin, "flights", &id.to_string(), "{}").await.unwrap();
    }
    place.run("SET GLOBAL max_prepared_stmt_count = 60").await;
    let texts: Vec<String> = (1..=100).map(|id| id.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for len in 1..=100 {
        let records = origin.load_many("flights", &ids(&origin, "flights", &texts[..len]), no_hurry()).await;
        assert_eq!(records.unwrap().iter().flatten().count(), len);
    }
    for number in 0..100_i64 {
        // A text of its own for each: the columns that are named, and what a list asks for.
        let names = ["dest", "note", "gate", "distance", "air_time", "photo", "id"];
        let named = names.iter().enumerate().filter(|(at, _)| number >> at & 1 == 1).map(|(_, name)| *name);
        let body: serde_json::Map<_, _> = named
            .filter(|name| *name != "id")
            .map(|name| (name.to_owned(), serde_json::Value::Null))
            .collect();
        let change = Change::Put(fields(&serde_json::Value::Object(body).to_string()));
        write(&origin, "flights", "7", change, WriteOptions::default()).await.unwrap();
        let statement = format!("SELECT id + {number} AS n FROM flights WHERE id = ?");
        let list = ListQuery::Sql { statement, parameters: vec![Scalar::Integer(7)] };
        let rows = origin.list(&list, 1, no_hurry()).await.unwrap();
        assert_eq!(parsed(&rows[0])["n"], number + 7);
    }
    assert!(kept(&place).await <= 16, "{}", kept(&place).await);

    // A server that takes no more of them: a connection that ends gives its own back.
    place.run("SET GLOBAL max_prepared_stmt_count = 1").await;
    for id in ["1", "2"] {
        assert!(read(&origin, "flights", id).await.is_some());
    }
    place.run("SET GLOBAL max_prepared_stmt_count = 16382").await;
}

/// How many statements the server keeps now, of all connections.
async fn kept(place: &Place) -> i64 {
    use sqlx::{ConnectOptions, Connection, Row};
    let mut connection = place::mysql_options(&place.url).connect().await.unwrap();
    let row = sqlx::raw_sql("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'").fetch_one(&mut connection).await;
    let count = row.unwrap().get::<String, _>(1).parse().unwrap();
    connection.close().await.unwrap();
    count
}
