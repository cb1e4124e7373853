//! What only servers have: types, connections that die at rest, commits that nobody answers.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use larder_origin::{
    Change, ListQuery, Misconfigured, Origin, OriginError, Outage, PoolConfig, Rejected, Scalar, WriteOptions,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use place::{Kind, Place, fields, no_hurry, parsed, put, read, tables, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn each_type_of_postgresql_has_its_json() {
    let place = Place::empty(Kind::Postgres).await;
    place
        .run(
            r#"SET TIME ZONE 'America/New_York'; SET DateStyle = 'German';
               CREATE TYPE mood AS ENUM ('sad', 'ok');
               CREATE DOMAIN short AS varchar(3);
               CREATE TABLE t (id uuid PRIMARY KEY, b bool, i2 smallint, i8 bigint, f4 real, f8 double precision,
                   inf double precision, n numeric(12,3), c char(5), v varchar(9), bytes bytea, d date, tm time,
                   ts timestamp, tz timestamptz, j json, jb jsonb, e mood, a int[], iv interval, ip inet,
                   dom short, nul int, forever timestamptz, g int GENERATED ALWAYS AS (i2 + 1) STORED);
               INSERT INTO t VALUES ('0e37df36-f698-11e6-8dd4-cb9ced3df976', true, -7, 9223372036854775807, 0.1, 5,
                   'Infinity', 12.5, 'ab', 'O''Hare', '\xfffe0001', '2013-01-31', '10:05:09.25',
                   '2013-01-31 10:05:09', '2013-01-31 05:05:09.5-05', '{"b": 1.50, "a": [1]}', '{"a": 1}', 'ok',
                   '{1,2}', '1 day 02:00', '10.0.0.1', 'abc', NULL, 'infinity')"#,
        )
        .await;
    let origin = Origin::new(&place.url, "t:id".parse().unwrap()).unwrap().writable();
    let id = "0e37df36-f698-11e6-8dd4-cb9ced3df976";
    let record = read(&origin, "t", id).await.unwrap();
    assert_eq!(
        record,
        json!({
            "id": id, "b": true, "i2": -7, "i8": i64::MAX, "f4": 0.1, "f8": 5.0, "inf": null, "n": "12.500",
            "c": "ab", "v": "O'Hare", "bytes": "//4AAQ==", "d": "2013-01-31", "tm": "10:05:09.25",
            "ts": "2013-01-31T10:05:09", "tz": "2013-01-31T10:05:09.5Z", "j": {"b": 1.50, "a": [1]}, "jb": {"a": 1},
            "e": "ok", "a": "{1,2}", "iv": "1 day 02:00:00", "ip": "10.0.0.1/32", "dom": "abc", "nul": null,
            "forever": "infinity", "g": -6
        })
    );

    // What was read may be written, but for JSON, which is written as its text.
    let mut body = record.clone();
    let columns = body.as_object_mut().unwrap();
    columns["j"] = json!(r#"{"b": 1.50, "a": [1]}"#);
    columns["jb"] = json!(r#"{"a": 1}"#);
    columns["inf"] = json!("Infinity");
    put(&origin, "t", id, &body.to_string()).await.unwrap();
    assert_eq!(read(&origin, "t", id).await.unwrap(), record);

    let upper = origin.id("t", &id.to_uppercase());
    assert!(matches!(upper, Err(OriginError::BadId(_))), "{upper:?}");
    for (body, expected) in [
        (r#"{"n": "much"}"#, Rejected::Value),
        (r#"{"e": "glad"}"#, Rejected::Value),
        (r#"{"j": "{"}"#, Rejected::Value),
        (r#"{"v": "a\u0000"}"#, Rejected::Value),
        (r#"{"i2": 40000}"#, Rejected::Value),
    ] {
        let refused = put(&origin, "t", id, body).await;
        assert!(
            matches!(refused, Err(OriginError::Rejected(told)) if told == expected),
            "{body}: {refused:?}"
        );
    }

    let list = |statement: &str| ListQuery::Sql { statement: statement.into(), parameters: Vec::new() };
    let rows = origin.list(&list("SELECT n, tz, e, a::text AS a FROM t"), 5, no_hurry()).await.unwrap();
    assert_eq!(
        parsed(&rows[0]),
        json!({"n": "12.500", "tz": "2013-01-31T10:05:09.5Z", "e": "ok", "a": "{1,2}"})
    );
    let refused = origin.list(&list("SELECT n, a FROM t"), 5, no_hurry()).await;
    let expected = Misconfigured::ListColumn { place: 2 };
    assert!(matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected), "{refused:?}");
}

#[tokio::test]
async fn a_date_of_any_year_can_be_written_back() {
    let place = Place::empty(Kind::Postgres).await;
    place
        .run(
            "CREATE TABLE t (id bigint PRIMARY KEY, d date, ts timestamp, tz timestamptz);
             INSERT INTO t VALUES
                 (1, '0044-03-15 BC', '0044-03-15 10:05:09.5 BC', '0044-03-15 10:05:09+00 BC'),
                 (2, '0001-12-31 BC', '0001-12-31 23:59:59 BC', '0001-12-31 23:59:59+00 BC'),
                 (3, '4713-01-01 BC', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC'),
                 (4, '10000-01-01', '10000-01-01 00:00:00', '294276-12-31 23:59:59+00'),
                 (5, '5874897-12-31', '294276-12-31 23:59:59.999999', '10000-01-01 00:00:00+00'),
                 (6, 'infinity', '-infinity', 'infinity'),
                 (7, '0001-01-01', '0001-01-01 00:00:00', '9999-12-31 23:59:59+00')",
        )
        .await;
    let origin = Origin::new(&place.url, "t:id".parse().unwrap()).unwrap().writable();
    let first = read(&origin, "t", "1").await.unwrap();
    assert_eq!(
        first,
        json!({"id": 1, "d": "-0043-03-15", "ts": "-0043-03-15T10:05:09.5", "tz": "-0043-03-15T10:05:09Z"})
    );
    assert_eq!(read(&origin, "t", "2").await.unwrap()["d"], "0000-12-31");
    assert_eq!(read(&origin, "t", "4").await.unwrap()["d"], "+10000-01-01");
    for id in 1..=7 {
        let id = id.to_string();
        let shown = read(&origin, "t", &id).await.unwrap();
        put(&origin, "t", &id, "{}").await.unwrap();
        put(&origin, "t", &id, &shown.to_string()).await.unwrap();
        assert_eq!(read(&origin, "t", &id).await.unwrap(), shown);
    }
    let same = ListQuery::Sql {
        statement: "SELECT id FROM t WHERE d = '0044-03-15 BC' AND tz = '0044-03-15 10:05:09+00 BC'".into(),
        parameters: Vec::new(),
    };
    assert_eq!(origin.list(&same, 9, no_hurry()).await.unwrap().len(), 1);
    let refused = put(&origin, "t", "1", r#"{"d": "-9999-01-01"}"#).await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Value))), "{refused:?}");
}

#[tokio::test]
async fn a_column_that_the_database_counts_may_stand_in_a_put() {
    let place = Place::empty(Kind::Postgres).await;
    place
        .run(
            "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n text,
                 always bigint GENERATED ALWAYS AS IDENTITY (START 100),
                 by_default bigint GENERATED BY DEFAULT AS IDENTITY (START 100));
             INSERT INTO t (n) VALUES ('a')",
        )
        .await;
    let origin = Origin::new(&place.url, "t:id".parse().unwrap()).unwrap().writable();
    let shown = json!({"id": 1, "n": "a", "always": 100, "by_default": 100});
    assert_eq!(read(&origin, "t", "1").await.unwrap(), shown);
    put(&origin, "t", "1", &shown.to_string()).await.unwrap();
    assert_eq!(read(&origin, "t", "1").await.unwrap(), shown);
    put(&origin, "t", "1", r#"{"n": "b", "by_default": 7}"#).await.unwrap();
    let expected = json!({"id": 1, "n": "b", "always": 100, "by_default": 7});
    assert_eq!(read(&origin, "t", "1").await.unwrap(), expected);
    let made = put(&origin, "t", "9", &expected.to_string().replace("\"id\":1", "\"id\":9")).await.unwrap();
    assert_eq!(parsed(&made.record.unwrap())["always"], 101);
}

#[tokio::test]
async fn each_type_of_mysql_has_its_json() {
    let place = Place::empty(Kind::MySql).await;
    place
        .run(
            r#"SET time_zone = '-05:00';
               CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_bin PRIMARY KEY, b BOOLEAN, b2 BOOLEAN, i1 TINYINT,
                   i8 BIGINT, u8 BIGINT UNSIGNED, f4 FLOAT, f8 DOUBLE, n DECIMAL(12,3), c CHAR(5), tx TEXT,
                   bytes BLOB, vb VARBINARY(9), d DATE, tm TIME, dt DATETIME(3), ts TIMESTAMP NULL, y YEAR, j JSON,
                   e ENUM('sad', 'ok'), s SET('x', 'y'), bi BIT(8), nul INT, g INT AS (i1 + 1) STORED);
               INSERT INTO t VALUES ('a', true, 2, -7, 9223372036854775807, 18446744073709551615, 0.1, 5, 12.5, 'ab',
                   'O''Hare', x'fffe0001', x'00', '2013-01-31', '-26:03:04', '2013-01-31 10:05:09.250',
                   '2013-01-31 05:05:09', 2013, '{"a": 1}', 'ok', 'x,y', b'101', NULL, DEFAULT)"#,
        )
        .await;
    let origin = Origin::new(&place.url, "t:id".parse().unwrap()).unwrap().writable();
    let record = read(&origin, "t", "a").await.unwrap();
    assert_eq!(
        record,
        json!({
            "id": "a", "b": true, "b2": 2, "i1": -7, "i8": i64::MAX, "u8": u64::MAX, "f4": 0.1, "f8": 5.0,
            "n": "12.500", "c": "ab", "tx": "O'Hare", "bytes": "//4AAQ==", "vb": "AA==", "d": "2013-01-31",
            "tm": "-26:03:04", "dt": "2013-01-31T10:05:09.25", "ts": "2013-01-31T10:05:09Z", "y": 2013,
            "j": "{\"a\": 1}", "e": "ok", "s": "x,y", "bi": "BQ==", "nul": null, "g": -6
        })
    );
    let mut body = record.clone();
    let columns = body.as_object_mut().unwrap();
    columns.remove("u8");
    let mut expected = record.clone();
    expected["u8"] = json!(null);
    put(&origin, "t", "a", &body.to_string()).await.unwrap();
    assert_eq!(read(&origin, "t", "a").await.unwrap(), expected);
    for body in [
        r#"{"n": "much"}"#,
        r#"{"e": "glad"}"#,
        r#"{"i1": 400}"#,
        r#"{"d": "2013-02-31"}"#,
        r#"{"c": "too long"}"#,
    ] {
        let refused = put(&origin, "t", "a", body).await;
        assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Value))), "{body}: {refused:?}");
    }
}

#[tokio::test]
async fn what_a_trigger_or_a_policy_refuses_is_the_callers_affair() {
    let raised = |code: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$;
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON flights FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    };
    let signalled = |number: &str| {
        format!(
            "DROP TRIGGER IF EXISTS refuse;
             CREATE TRIGGER refuse BEFORE INSERT ON flights FOR EACH ROW SIGNAL SQLSTATE '45000' {number}"
        )
    };
    let (postgres, maria) = (Place::new(Kind::Postgres).await, Place::new(Kind::MySql).await);
    for (place, refusing) in [
        (&postgres, raised("P0001")),
        (&postgres, raised("P0002")),
        (&postgres, raised("45000")),
        (&maria, signalled("")),
        (&maria, signalled("SET MYSQL_ERRNO = 30001")),
    ] {
        place.run(&refusing).await;
        let refused = put(&place.origin(), "flights", "7", "{}").await;
        assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Check))), "{refusing}: {refused:?}");
    }

    let clerk = format!("clerk_{}", std::process::id());
    postgres
        .run(&format!(
            "DROP TRIGGER refuse ON flights; INSERT INTO flights (id, version) VALUES (7, 1);
             ALTER TABLE flights ENABLE ROW LEVEL SECURITY; CREATE POLICY near ON flights USING (distance IS NULL);
             CREATE ROLE {clerk} LOGIN PASSWORD '{}'; GRANT ALL ON flights TO {clerk}",
            server::PASSWORD
        ))
        .await;
    let origin = postgres.origin_of_url(&postgres.url.replace("//larder:", &format!("//{clerk}:")));
    for id in ["7", "8"] {
        let refused = put(&origin, "flights", id, r#"{"distance": 5}"#).await;
        assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Check))), "{id}: {refused:?}");
    }
    postgres.run(&format!("DROP OWNED BY {clerk}; DROP ROLE {clerk}")).await;
}

#[tokio::test]
async fn a_connection_that_was_ended_at_rest_is_replaced_unseen() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let place = Place::new(kind).await;
        let proxy = Proxy::before(&place).await;
        // Too young to be asked for a sign of life: the call itself finds out.
        for check_after in [Duration::from_secs(3600), Duration::ZERO] {
            let origin = proxy.origin(&place, PoolConfig { check_after, ..PoolConfig::default() });
            put(&origin, "flights", "7", "{}").await.unwrap();
            proxy.cut().await;
            assert!(read(&origin, "flights", "7").await.is_some());
            proxy.cut().await;
            let version = put(&origin, "flights", "7", "{}").await.unwrap();
            proxy.cut().await;
            let query =
                ListQuery::Sql { statement: "SELECT version FROM flights".into(), parameters: vec![] };
            let rows = origin.list(&query, 1, no_hurry()).await.unwrap();
            assert_eq!(parsed(&rows[0])["version"], version.version.unwrap());
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_silent_after_a_rest_costs_a_bounded_time() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let place = Place::new(kind).await;
        let proxy = Proxy::before(&place).await;
        let config = PoolConfig { check_after: Duration::ZERO, ..PoolConfig::default() };
        let origin = proxy.origin(&place, config.clone());
        put(&origin, "flights", "7", "{}").await.unwrap();
        // The old connection hears nothing any more; a new one is answered.
        proxy.silence().await;
        let asked = Instant::now();
        assert!(read(&origin, "flights", "7").await.is_some());
        assert!(asked.elapsed() >= config.check_timeout && asked.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_an_outage_before_a_far_deadline() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for url in [server::postgres_url(port, "x"), server::mariadb_url(port, "x")] {
        let config = PoolConfig { connect_timeout: Duration::from_millis(100), ..PoolConfig::default() };
        let origin = Origin::new(&url, tables()).unwrap().with_pool(config);
        let id = origin.id("flights", "7").unwrap();
        let answer = origin.load("flights", &id, no_hurry()).await;
        assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
        let answer = origin.load("flights", &id, Instant::now() + Duration::from_millis(20)).await;
        assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Deadline))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_commit_that_nobody_answers_is_an_unknown_write() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let place = Place::new(kind).await;
        let proxy = Proxy::before(&place).await;
        for (mode, wait) in [(CUT_AFTER_COMMIT, 60), (SILENT_AFTER_COMMIT, 2)] {
            let origin = proxy.origin(&place, PoolConfig::default());
            put(&origin, "flights", "7", r#"{"distance": 0}"#).await.unwrap();
            proxy.set(mode);
            let id = origin.id("flights", "7").unwrap();
            let change = Change::Put(fields(r#"{"distance": 1}"#));
            let deadline = Instant::now() + Duration::from_secs(wait);
            let answer = origin.write("flights", &id, &change, WriteOptions::default(), deadline).await;
            assert!(
                matches!(answer, Err(OriginError::Unavailable(Outage::Unknown(_)))),
                "{kind:?}: {answer:?}"
            );
            proxy.set(FORWARD);
            // It has happened here, and the next call has a connection of its own.
            assert_eq!(read(&origin, "flights", "7").await.unwrap()["distance"], 1);
        }
    }
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_is_waited_for_until_the_deadline() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let place = Place::new(kind).await;
        let origin = place.origin();
        put(&origin, "flights", "7", "{}").await.unwrap();
        let holder = place.hold("SELECT * FROM flights WHERE id = 7 FOR UPDATE").await;
        let id = origin.id("flights", "7").unwrap();
        let (change, soon) = (Change::Delete, Instant::now() + Duration::from_millis(100));
        let answer = origin.write("flights", &id, &change, WriteOptions::default(), soon).await;
        assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Deadline))), "{answer:?}");
        holder.let_go().await;
        assert!(write(&origin, "flights", "7", Change::Delete, WriteOptions::default()).await.is_ok());
    }
}

#[tokio::test]
async fn a_statement_ends_on_the_server_though_nobody_waits_any_more() {
    for (kind, sleep) in
        [(Kind::Postgres, "SELECT pg_sleep(60)::text AS n"), (Kind::MySql, "SELECT sleep(60) AS n")]
    {
        let place = Place::new(kind).await;
        let config = PoolConfig { statement_timeout: Duration::from_secs(1), ..PoolConfig::default() };
        let origin = place.read_only().with_pool(config);
        let query = ListQuery::Sql { statement: sleep.into(), parameters: Vec::new() };
        let asked = Instant::now();
        let answer = origin.list(&query, 1, no_hurry()).await;
        assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{kind:?}");
        assert!(read(&origin, "flights", "7").await.is_none(), "the connection is of further use");
    }
}

#[tokio::test]
async fn parameters_of_a_list_may_be_of_every_kind() {
    let place = Place::empty(Kind::Postgres).await;
    let origin = Origin::new(&place.url, "t:id".parse().unwrap()).unwrap();
    let query = ListQuery::Sql {
        statement: "SELECT $1::int AS a, $2 AS b, $3 AS c, $4 AS d, $5 AS e, $6::date AS f".into(),
        parameters: vec![
            Scalar::Integer(1),
            Scalar::Real(0.5),
            Scalar::Bool(true),
            Scalar::Text("x".into()),
            Scalar::Null,
            Scalar::Text("2013-01-31".into()),
        ],
    };
    let rows = origin.list(&query, 1, no_hurry()).await.unwrap();
    assert_eq!(
        parsed(&rows[0]),
        json!({"a": 1, "b": 0.5, "c": true, "d": "x", "e": null, "f": "2013-01-31"})
    );
}

#[test]
fn an_address_names_host_user_and_database_and_no_unknown_setting() {
    for url in [
        "postgres://host/db",
        "postgres://user:hunter2@host",
        "postgres:user:hunter2@/db",
        "postgresql://user:hunter2@host/db?sslmode=hunter2",
        "postgres://user:hunter2@host/db?password=hunter2",
        "mysql://user:hunter2@host:port/db",
        "mariadb://user:hunter2@host/db?socket=/hunter2",
        "mysql://:hunter2@host/db",
    ] {
        let refused = Origin::new(url, tables()).unwrap_err();
        assert!(matches!(refused, Misconfigured::ServerUrl { .. }), "{url}: {refused:?}");
        assert!(!format!("{refused:?} {refused}").contains("hunter2"), "{refused}");
    }
    for url in [
        "postgres://user:hunter2@host/db?sslmode=verify-full&sslrootcert=/etc/rds.pem",
        "postgresql://user@host:1/db",
        "mysql://user:hunter2@host/db?ssl-mode=VERIFY_IDENTITY&ssl-ca=/etc/rds.pem",
        "mariadb://user:hunter2@host/db",
    ] {
        let origin = Origin::new(url, tables()).unwrap();
        assert!(!format!("{origin:?}").contains("hunter2"));
    }
}

/// What stands between an origin and its server.
struct Proxy {
    port: u16,
    mode: Arc<Mode>,
}

struct Mode {
    now: AtomicU8,
    changed: tokio::sync::watch::Sender<u8>,
    /// How many connections hear nothing any more.
    silenced: AtomicU8,
}

/// Everything goes through.
const FORWARD: u8 = 0;
/// Connections that there are end.
const CUT: u8 = 1;
/// Connections that there are hear nothing any more.
const SILENT: u8 = 2;
/// A commit goes through, and the connection ends before it is answered.
const CUT_AFTER_COMMIT: u8 = 4;
/// A commit goes through, and nothing after it.
const SILENT_AFTER_COMMIT: u8 = 5;

impl Proxy {
    async fn before(place: &Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = port_of(&place.url);
        let mode = Arc::new(Mode {
            now: AtomicU8::new(FORWARD),
            changed: tokio::sync::watch::Sender::new(FORWARD),
            silenced: AtomicU8::new(0),
        });
        let shared = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&shared), shared.changed.subscribe()));
            }
        });
        Self { port, mode }
    }

    /// Ends all connections, without the origin being asked.
    async fn cut(&self) {
        self.set(CUT);
        while self.mode.changed.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
        self.set(FORWARD);
    }

    /// From here on all connections that there are hear nothing, and new ones are answered.
    async fn silence(&self) {
        self.set(SILENT);
        while self.mode.silenced.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        self.set(FORWARD);
    }

    fn set(&self, mode: u8) {
        self.mode.now.store(mode, Ordering::SeqCst);
        self.mode.changed.send_replace(mode);
    }

    fn origin(&self, place: &Place, config: PoolConfig) -> Origin {
        let url = place.url.replace(&format!(":{}/", port_of(&place.url)), &format!(":{}/", self.port));
        // In the clear, so that a commit can be seen as it passes.
        let off = if place.kind == Kind::Postgres { "sslmode=disable" } else { "ssl-mode=DISABLED" };
        Origin::new(&format!("{url}?{off}"), tables()).unwrap().writable().with_pool(config)
    }
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap()
}

/// Whether the statement is in `bytes`, and not a word that begins with it.
fn is_commit(bytes: &[u8]) -> bool {
    let found = bytes.windows(6).position(|word| word == b"COMMIT");
    found.is_some_and(|at| bytes.get(at + 6) != Some(&b'T'))
}

/// Carries bytes both ways as the mode says.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mode: Arc<Mode>,
    mut changes: tokio::sync::watch::Receiver<u8>,
) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut has_committed = false;
    loop {
        tokio::select! {
            biased;
            changed = changes.changed() => {
                if changed.is_err() { return }
                let mode_now = *changes.borrow_and_update();
                if mode_now == CUT { return }
                if mode_now == SILENT {
                    mode.silenced.fetch_add(1, Ordering::SeqCst);
                    return std::future::pending().await;
                }
            }
            read = client.read(&mut up) => {
                let Ok(len @ 1..) = read else { return };
                let is_commit = is_commit(&up[..len]);
                if server.write_all(&up[..len]).await.is_err() { return }
                has_committed |= is_commit;
            }
            read = server.read(&mut down) => {
                let Ok(len @ 1..) = read else { return };
                match mode.now.load(Ordering::SeqCst) {
                    CUT_AFTER_COMMIT if has_committed => return,
                    SILENT_AFTER_COMMIT if has_committed => return std::future::pending().await,
                    _ => {}
                }
                if client.write_all(&down[..len]).await.is_err() { return }
                has_committed = false;
            }
        }
    }
}
