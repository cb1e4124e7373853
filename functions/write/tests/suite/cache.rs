//! What the cache knows of a write while others read and write, when nodes cannot be told, and when nobody knows
//! whether the write has happened.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{House, check, check_code, get, late, request, send, version};
use anyhow::Result;
use larder_cache::{Loaded, Policy};
use larder_client::{Cluster, Key};
use larder_origin::{Change, Id, Origin, OriginError, Outage, WriteOptions, Written};
use larder_queue::Queue;
use larder_write::Target;
use tokio::sync::Semaphore;
use tokio::time::Duration;

const PATH: &str = "/records/flights/1";
const GATE: &str = r#"{"gate":"Z9"}"#;

/// An origin whose word comes late: the row is committed, and nobody knows until it is `told`.
struct Late {
    origin: Origin,
    committed: Semaphore,
    told: Semaphore,
}

impl Late {
    fn new(origin: Origin) -> Self {
        Self { origin, committed: Semaphore::new(0), told: Semaphore::new(0) }
    }
}

impl Target for Late {
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError> {
        self.origin.id(table, text)
    }

    async fn write(
        &self,
        table: &str,
        id: &Id,
        change: &Change,
        options: WriteOptions<'_>,
        deadline: std::time::Instant,
    ) -> Result<Written, OriginError> {
        let written = self.origin.write(table, id, change, options, deadline).await;
        self.committed.add_permits(1);
        self.told.acquire().await.expect("it stays open").forget();
        written
    }
}

/// An origin that does not say whether it has committed.
struct Silent {
    origin: Origin,
    commits: AtomicBool,
}

impl Target for Silent {
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError> {
        self.origin.id(table, text)
    }

    async fn write(
        &self,
        table: &str,
        id: &Id,
        change: &Change,
        options: WriteOptions<'_>,
        deadline: std::time::Instant,
    ) -> Result<Written, OriginError> {
        if self.commits.load(Ordering::SeqCst) {
            self.origin.write(table, id, change, options, deadline).await?;
        }
        Err(Outage::Unknown(None).into())
    }
}

#[tokio::test]
async fn a_read_during_a_write_gets_the_old_row_and_keeps_nobody_from_the_new_one() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    let writer = house.another_writer(&[])?.map_target(Late::new);
    let write = send(&writer, "PATCH", PATH, &[], GATE);
    let read = async {
        writer.target.committed.acquire().await.expect("it stays open").forget();
        let read = house.get(PATH).await;
        check(&read, 200, "hit");
        assert_eq!(version(&read), 5, "the cache is not told before the origin's word has come");
        check(&house.get(&format!("{PATH}?min-version=6")).await, 200, "miss");
        writer.target.told.add_permits(1);
    };
    let (written, ()) = tokio::join!(write, read);
    check(&written.answer, 200, "newer");
    let read = house.get(PATH).await;
    check(&read, 200, "hit");
    assert_eq!(version(&read), 6);
    Ok(())
}

#[tokio::test]
async fn a_read_of_what_is_not_cached_waits_for_the_write_that_is_under_way() -> Result<()> {
    let house = House::new().await?;
    let client = house.client()?;
    // Connected, and with a view of the ring: from here on the nodes are read by nobody but who is meant to.
    reads(&client).await;
    house.get("/records/flights/2").await;
    let writer = house.another_writer(&[])?.map_target(Late::new);
    let write = send(&writer, "PATCH", PATH, &[], GATE);
    let read = async {
        writer.target.committed.acquire().await.expect("it stays open").forget();
        let before = reads(&client).await;
        let told = async {
            while reads(&client).await == before {
                tokio::task::yield_now().await;
            }
            writer.target.told.add_permits(1);
        };
        let get = request("GET", PATH, &[], "");
        tokio::join!(larder_read::handle(&house.reader, &get, late()), told).0
    };
    let (written, read) = tokio::join!(write, read);
    check(&written.answer, 200, "stored");
    check(&read.answer, 200, "hit");
    assert_eq!((version(&read.answer), read.work.counts.waits), (6, 1));
    Ok(())
}

/// How many reads the nodes have seen, as `client` is told.
async fn reads(client: &Cluster) -> u64 {
    let stats = client.stats(None).await.expect("nodes");
    let reads = stats.iter().map(|node| {
        let stats = node.stats.as_ref().expect("statistics");
        let count = stats.iter().find(|(name, _)| name == "cmd_get").expect("a count");
        count.1.parse::<u64>().expect("a number")
    });
    reads.sum()
}

/// Loads a row by cache-aside, and answers it only when `write` has ended.
async fn load_late(house: &House, loaded: Option<Loaded>, write: impl Future<Output = ()>) -> Result<()> {
    let (begun, end) = (Semaphore::new(0), Semaphore::new(0));
    let load = || async {
        begun.add_permits(1);
        end.acquire().await.expect("it stays open").forget();
        Ok::<_, std::convert::Infallible>(loaded.clone())
    };
    let table = house.reader.records.table("flights").expect("a table");
    let key = house.reader.records.key(table, &house.reader.source.id("flights", "1")?)?;
    let policy = Policy { load_for: Duration::from_secs(5), ..table.policy.clone() };
    let read = house.reader.cache.get_or_load(&key, &policy, late(), load);
    let write = async {
        begun.acquire().await.expect("it stays open").forget();
        write.await;
        end.add_permits(1);
    };
    let ((answer, counts), ()) = tokio::join!(read, write);
    assert!(answer.is_ok());
    assert_eq!(counts.fills, 0, "what was loaded before the write is not stored");
    Ok(())
}

#[tokio::test]
async fn a_reader_who_loaded_the_old_row_before_the_write_does_not_store_it() -> Result<()> {
    let house = House::new().await?;
    let old = Some(Loaded::json(r#"{"id":1,"gate":"B2"}"#).of_version(5));
    let write = async { check(&send(&house.writer, "PATCH", PATH, &[], GATE).await.answer, 200, "stored") };
    load_late(&house, old, write).await?;
    check(&house.get(&format!("{PATH}?min-version=6")).await, 200, "hit");
    Ok(())
}

#[tokio::test]
async fn a_reader_who_loaded_the_row_before_it_was_deleted_does_not_store_it() -> Result<()> {
    let house = House::new().await?;
    let old = Some(Loaded::json(r#"{"id":1,"gate":"B2"}"#).of_version(5));
    let write = async { check(&send(&house.writer, "DELETE", PATH, &[], "").await.answer, 204, "forgotten") };
    load_late(&house, old, write).await?;
    check(&house.get(PATH).await, 404, "miss");
    Ok(())
}

#[tokio::test]
async fn of_two_writers_at_once_the_later_version_stays_whoever_ends_first() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    let first = house.another_writer(&[])?.map_target(Late::new);
    let write = send(&first, "PATCH", PATH, &[], r#"{"gate":"first"}"#);
    let second = async {
        first.target.committed.acquire().await.expect("it stays open").forget();
        check(&send(&house.writer, "PATCH", PATH, &[], r#"{"gate":"second"}"#).await.answer, 200, "stored");
        first.target.told.add_permits(1);
    };
    let (written, ()) = tokio::join!(write, second);
    check(&written.answer, 200, "newer");
    assert_eq!((version(&written.answer), written.work.newer), (6, 1));
    let read = house.get(PATH).await;
    check(&read, 200, "hit");
    assert_eq!(version(&read), 7);
    assert!(read.body.contains("second"), "{read:?}");
    Ok(())
}

#[tokio::test]
async fn without_versions_of_two_writers_at_once_nothing_is_left() -> Result<()> {
    let house = House::new().await?;
    let path = "/records/airports/JFK";
    house.get(path).await;
    let first = house.another_writer(&[])?.map_target(Late::new);
    let write = send(&first, "PATCH", path, &[], r#"{"alt":1}"#);
    let second = async {
        first.target.committed.acquire().await.expect("it stays open").forget();
        check(&send(&house.writer, "PATCH", path, &[], r#"{"alt":2}"#).await.answer, 200, "stored");
        first.target.told.add_permits(1);
    };
    let (written, ()) = tokio::join!(write, second);
    check(&written.answer, 200, "forgotten");
    let read = house.get(path).await;
    check(&read, 200, "miss");
    assert!(read.body.contains(r#""alt":2"#), "{read:?}");
    Ok(())
}

/// The keys of flight 1, and of its parents: in the shape that is served, and in the one beside it.
const ALL: [&str; 6] =
    ["airports.1:EWR", "airports.1:ORD", "airports:EWR", "airports:ORD", "flights.1:1", "flights:1"];

#[tokio::test]
async fn what_the_nodes_cannot_be_told_is_repeated_from_the_queue_until_readers_get_what_is_new() -> Result<()>
{
    let house = House::new().await?;
    for path in [PATH, "/records/airports/EWR", "/records/airports/ORD"] {
        check(&house.get(path).await, 200, "miss");
    }
    let (writer, _hosts) = house.cut_off_writer(&[])?;
    let handled = send(&writer, "PATCH", PATH, &[], GATE).await;
    check(&handled.answer, 200, "queued");
    assert_eq!(version(&handled.answer), 6);
    assert_eq!((handled.work.queued, handled.work.unforgotten, handled.work.stored), (6, 0, 0));
    assert_eq!(house.queued()?, ALL);

    let read = house.get(PATH).await;
    check(&read, 200, "hit");
    assert_eq!(version(&read), 5, "nobody has told the cache");
    house.work_off().await?;
    assert!(house.queued()?.is_empty());
    let read = house.get(PATH).await;
    check(&read, 200, "miss");
    assert_eq!(version(&read), 6);
    check(&house.get("/records/airports/ORD").await, 200, "miss");
    Ok(())
}

#[tokio::test]
async fn whoever_says_which_version_was_written_gets_it_while_the_queue_waits() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    let (writer, _hosts) = house.cut_off_writer(&[])?;
    let written = send(&writer, "PATCH", PATH, &[], GATE).await.answer;
    check(&written, 200, "queued");
    let read = house.get(&format!("{PATH}?min-version={}", version(&written))).await;
    check(&read, 200, "miss");
    assert_eq!(read.body, written.body);
    Ok(())
}

#[tokio::test]
async fn a_delete_that_the_nodes_cannot_be_told_is_queued_to_be_removed() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    let (writer, _hosts) = house.cut_off_writer(&[("LARDER_STALE_AFTER_INVALIDATE", "on")])?;
    check(&send(&writer, "DELETE", PATH, &[], "").await.answer, 204, "queued");
    assert_eq!(house.queued()?, ALL);
    house.work_off().await?;
    assert!(!house.is_kept("flights:1").await?, "what was deleted is not answered as stale");
    check(&house.get(PATH).await, 404, "miss");
    Ok(())
}

#[tokio::test]
async fn a_killed_node_costs_no_write_an_error() -> Result<()> {
    let house = House::new().await?;
    for node in house.nodes.nodes() {
        house.nodes.kill_node(node.id).await?;
    }
    check(&send(&house.writer, "PATCH", PATH, &[], GATE).await.answer, 200, "queued");
    check(&house.put("/records/flights/17", "{}").await, 201, "queued");
    check(&house.get(PATH).await, 200, "bypass");
    Ok(())
}

#[tokio::test]
async fn without_a_queue_that_takes_it_the_answer_says_so() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    std::fs::write(house.path("no-directory"), "")?;
    let url = format!("file:{}", house.path("no-directory"));
    for queue in ["", &url] {
        let (writer, _hosts) = house.cut_off_writer(&[("LARDER_INVALIDATION_QUEUE", queue)])?;
        let handled = send(&writer, "PATCH", PATH, &[], GATE).await;
        check(&handled.answer, 200, "unforgotten");
        assert_eq!((handled.work.queued, handled.work.unforgotten), (0, 6));
    }
    // The cache is told: there is nothing that a queue would be needed for.
    let writer = house.another_writer(&[("LARDER_INVALIDATION_QUEUE", &url)])?;
    check(&send(&writer, "PATCH", PATH, &[], GATE).await.answer, 200, "stored");
    Ok(())
}

#[tokio::test]
async fn what_may_have_been_written_is_forgotten_now_and_once_more_from_the_queue() -> Result<()> {
    for commits in [true, false] {
        let house = House::new().await?;
        for path in [PATH, "/records/airports/EWR", "/records/airports/ORD", "/records/airports/JFK"] {
            check(&house.get(path).await, 200, "miss");
        }
        let writer = house.another_writer(&[])?;
        let writer = writer.map_target(|origin| Silent { origin, commits: commits.into() });
        let handled = send(&writer, "PATCH", PATH, &[], r#"{"dest":"JFK"}"#).await;
        check(&handled.answer, 503, "queued");
        check_code(&handled.answer, 503, "unknown_outcome");
        assert_eq!(handled.answer.headers["retry-after"], "2");
        // What the row was is known from the cache, what it may be from the request.
        let expected = [&["airports.1:JFK", "airports:JFK"], &ALL[..]].concat();
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        expected.sort();
        assert_eq!(house.queued()?, expected);
        let read = house.get(PATH).await;
        check(&read, 200, "miss");
        assert_eq!(version(&read), if commits { 6 } else { 5 });
        check(&house.get("/records/airports/ORD").await, 200, "miss");
        check(&house.get("/records/airports/JFK").await, 200, "miss");
    }
    Ok(())
}

#[tokio::test]
async fn what_may_have_been_deleted_is_forgotten_as_well_and_told_without_a_queue() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    let writer = house.another_writer(&[("LARDER_INVALIDATION_QUEUE", "")])?;
    let writer = writer.map_target(|origin| Silent { origin, commits: true.into() });
    let handled = send(&writer, "DELETE", PATH, &[], "").await;
    check(&handled.answer, 503, "forgotten");
    check(&house.get(PATH).await, 404, "miss");
    Ok(())
}

#[tokio::test]
async fn what_the_queue_repeats_late_harms_nobody_who_has_written_since() -> Result<()> {
    let house = House::new().await?;
    let (writer, _hosts) = house.cut_off_writer(&[])?;
    check(&send(&writer, "PATCH", PATH, &[], GATE).await.answer, 200, "queued");
    let later = send(&house.writer, "PATCH", PATH, &[], r#"{"gate":"later"}"#).await.answer;
    check(&later, 200, "stored");
    house.work_off().await?;
    let read = house.get(PATH).await;
    check(&read, 200, "miss");
    assert_eq!(read.body, later.body);
    Ok(())
}

#[tokio::test]
async fn the_queue_is_left_alone_by_writes_that_the_cache_was_told_of() -> Result<()> {
    let house = House::new().await?;
    let other =
        larder_cache::Invalidation { keys: vec![Key::new(b"other")?], how: larder_cache::Forget::Hard };
    house.queue.send(&other, late()).await?;
    check(&house.put(PATH, "{}").await, 200, "stored");
    assert_eq!(house.queued()?, ["other"]);
    check(&get(&house.reader, PATH).await, 200, "hit");
    Ok(())
}

#[tokio::test]
async fn a_list_that_is_to_be_computed_anew_is_forgotten_with_a_row_of_its_table_and_others_stay()
-> Result<()> {
    let house = House::new().await?;
    let list = |name, on_change| {
        let sql = serde_json::json!({ "statement": "SELECT count(*) AS airports FROM airports" });
        serde_json::json!({ "name": name, "query": { "sql": sql }, "n": 1, "period_secs": 300, "tables": ["airports"],
            "on_change": on_change })
    };
    let lists = serde_json::json!([list("anew", "recompute"), list("on-schedule", "keep")]).to_string();
    let told = [("LARDER_LISTS", lists.as_str())];
    let (writer, reader) = (house.another_writer(&told)?, house.another_reader(&told)?);
    for name in ["anew", "on-schedule"] {
        check(&get(&reader, &format!("/lists/{name}")).await, 200, "miss");
        check(&get(&reader, &format!("/lists/{name}")).await, 200, "hit");
    }
    send(&writer, "PUT", "/records/airports/ZZZ", &[], r#"{"name":"a new one"}"#).await;
    check(&get(&reader, "/lists/anew").await, 200, "miss");
    check(&get(&reader, "/lists/on-schedule").await, 200, "hit");
    Ok(())
}

#[tokio::test]
async fn a_row_that_grows_over_the_limit_of_an_item_leaves_no_older_one() -> Result<()> {
    for has_queue in [true, false] {
        let house = House::new().await?;
        let writer = match has_queue {
            true => house.another_writer(&[])?,
            false => house.writer_without_queue()?,
        };
        check(&house.get(PATH).await, 200, "miss");
        for (column, seed, told) in [("gate", 1, "stored"), ("origin", 2, "forgotten")] {
            let body = serde_json::json!({ column: noise(900 << 10, seed) }).to_string();
            let patched = send(&writer, "PATCH", PATH, &[], &body).await.answer;
            check(&patched, 200, told);
            let read = house.get(PATH).await;
            assert_eq!((read.status_code, version(&read)), (200, version(&patched)), "{column}");
        }
        assert_eq!(house.queued()?, [""; 0], "the cache was told");
    }
    Ok(())
}

/// Characters that do not compress to less than three quarters.
fn noise(len: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric()).take(len).collect()
}
