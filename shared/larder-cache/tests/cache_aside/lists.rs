//! Lists: one of all who try refreshes, nothing older overwrites anything newer, and readers never wait for what is
//! there.

use std::time::Duration;

use futures_util::future::join_all;
use larder_cache::{Counts, ListItems, LoadError, Outcome, RefreshError, Refreshed, TimedList};
use larder_client::Config;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::support::{Broken, Memcached, Origin, PATIENCE, cache, config, environment, in_millis, key, late};

const PERIOD: Duration = Duration::from_secs(600);
const NEVER_TOO_YOUNG: Duration = Duration::ZERO;

fn list() -> TimedList {
    TimedList::new(key("l"), PERIOD, Duration::from_secs(55)).unwrap()
}

/// The same list, whose query may take 300 ms.
fn quick_list() -> TimedList {
    TimedList::new(key("l"), PERIOD, Duration::from_millis(300)).unwrap()
}

/// One call to `origin`, and a list of one row.
async fn rows(origin: &Origin, row: &str) -> Result<ListItems, Broken> {
    origin.value(row).await?;
    Ok(ListItems::of([row]))
}

async fn broken(origin: &Origin) -> Result<ListItems, Broken> {
    origin.failure().await?;
    Ok(ListItems::of([""; 0]))
}

/// Refreshes `list` in an environment of its own.
async fn refresh(node: &Memcached, list: &TimedList, row: &str) -> Refreshed {
    let origin = Origin::new();
    environment(&[node]).refresh_list(list, NEVER_TOO_YOUNG, late(), || rows(&origin, row)).await.unwrap()
}

/// What a reader in an environment of its own is answered: outcome, rows, age in seconds. It never asks the origin.
async fn read(node: &Memcached, list: &TimedList) -> (Outcome, String, u64) {
    let (answer, counts) =
        environment(&[node]).read_list(list, late(), || async { Err::<ListItems, _>(Broken) }).await;
    assert_eq!(counts.origin_calls, 0);
    let answer = answer.unwrap();
    (answer.outcome, String::from_utf8(answer.items.to_vec()).unwrap(), answer.age.as_secs())
}

/// Lets the item look as if it had been stored `secs` ago.
fn let_age(node: &Memcached, secs: u64) {
    let left = u64::from(list().ttl().as_secs()) - secs;
    node.check(&format!("mg l T{left}"), "HD\r\n");
}

/// The CAS token of the item, and the seconds that it has left.
fn cas_and_ttl(node: &Memcached) -> (String, u64) {
    let reply = node.ask("mg l c t");
    let flag = |name: char| {
        reply.split_whitespace().find_map(|flag| flag.strip_prefix(name)).unwrap_or_else(|| panic!("{reply}"))
    };
    (flag('c').to_owned(), flag('t').parse().unwrap())
}

/// Waits until the clock shows another second.
async fn another_second() {
    let secs = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = secs();
    while secs() == now {
        sleep(Duration::from_millis(10)).await;
    }
}

const STORED: Refreshed = Refreshed::Stored { count: 1 };
const UNCHANGED: Refreshed = Refreshed::Unchanged { count: 1 };
/// memcached's clock ticks once a second, at any moment.
const TICK: u64 = 2;

#[tokio::test]
async fn a_list_is_one_item_and_is_kept_for_three_periods() {
    let node = Memcached::start();
    assert_eq!(refresh(&node, &list(), r#"{"a":1}"#).await, STORED);
    let (_, ttl) = cas_and_ttl(&node);
    assert!((1800 - TICK..=1800).contains(&ttl), "{ttl}");
    let stored = node.ask_bytes("mg l v");
    assert!(stored.starts_with(b"VA 41\r\n") && stored.ends_with(b"[{\"a\":1}]\r\n"), "{stored:?}");
    let (outcome, rows, age) = read(&node, &list()).await;
    assert_eq!((outcome, rows.as_str()), (Outcome::Hit, r#"[{"a":1}]"#));
    assert!(age <= TICK, "{age}");
}

#[tokio::test]
async fn of_twenty_who_refresh_at_once_one_asks_the_origin() {
    for is_there in [false, true] {
        let (node, origin) = (Memcached::start(), Origin::shut());
        if is_there {
            refresh(&node, &list(), "0").await;
            let_age(&node, 700);
        }
        let caches: Vec<_> = (0..20).map(|_| environment(&[&node])).collect();
        let list = list();
        let all = join_all(caches.iter().map(|cache| {
            // Some come when the first has ended: the same event may come twice.
            cache.refresh_list(&list, PERIOD / 2, late(), || rows(&origin, "1"))
        }));
        let conduct = async {
            origin.begun(1).await;
            node.asked(20).await;
            origin.open();
        };
        let (all, ()) = tokio::join!(all, conduct);
        let stored = all.iter().filter(|refreshed| matches!(refreshed, Ok(STORED))).count();
        let idle = all
            .iter()
            .filter(|refreshed| matches!(refreshed, Ok(Refreshed::UnderWay | Refreshed::NotDue { .. })));
        assert_eq!((stored, idle.count(), origin.calls().len()), (1, 19, 1), "{all:?}");
    }
}

#[tokio::test]
async fn the_same_event_once_more_asks_nobody_and_one_that_insists_does() {
    let (node, origin) = (Memcached::start(), Origin::new());
    refresh(&node, &list(), "1").await;
    let again =
        environment(&[&node]).refresh_list(&list(), PERIOD / 2, late(), || rows(&origin, "2")).await.unwrap();
    assert!(matches!(again, Refreshed::NotDue { age } if age.as_secs() <= TICK), "{again:?}");
    assert_eq!(origin.calls().len(), 0);
    assert_eq!(refresh(&node, &list(), "2").await, STORED);
    assert_eq!(read(&node, &list()).await.1, "[2]");
}

#[tokio::test]
async fn unchanged_rows_leave_the_item_and_its_age_begins_anew() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let_age(&node, 700);
    let (cas, _) = cas_and_ttl(&node);
    let before = node.ask_bytes("mg l v");
    assert_eq!(refresh(&node, &list(), "1").await, UNCHANGED);
    let (cas_after, ttl) = cas_and_ttl(&node);
    assert_eq!((cas_after, node.ask_bytes("mg l v")), (cas, before), "the item is the same");
    assert!(ttl >= 1800 - TICK, "{ttl}");
    assert!(read(&node, &list()).await.2 <= TICK);
}

#[tokio::test]
async fn unchanged_rows_of_a_list_with_another_period_are_stored_with_that_and_keep_their_time() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let value = node.ask_bytes("mg l v");
    another_second().await;
    let longer = TimedList::new(key("l"), 2 * PERIOD, Duration::from_secs(55)).unwrap();
    // Whoever has another period already counts its age by the one that stands in it.
    assert!(read(&node, &longer).await.2 <= TICK);
    assert_eq!(refresh(&node, &longer, "1").await, UNCHANGED);
    let (_, ttl) = cas_and_ttl(&node);
    assert!((3600 - TICK..=3600).contains(&ttl), "{ttl}");
    let now = node.ask_bytes("mg l v");
    assert_eq!(now[..7 + 8], value[..7 + 8], "computed when it was");
    // And so does whoever has not heard of that yet.
    assert!(read(&node, &list()).await.2 <= TICK);
}

#[tokio::test]
async fn a_query_that_fails_leaves_the_old_list_and_the_time_that_it_had_left() {
    let (node, origin) = (Memcached::start(), Origin::new());
    refresh(&node, &list(), "1").await;
    let_age(&node, 700);
    let before = cas_and_ttl(&node);
    let cache = environment(&[&node]);
    let failed = cache.refresh_list(&list(), NEVER_TOO_YOUNG, late(), || broken(&origin)).await;
    assert!(matches!(failed, Err(RefreshError::Load(LoadError::Origin(_)))), "{failed:?}");
    let after = cas_and_ttl(&node);
    assert!(after.0 == before.0 && before.1 - TICK <= after.1 && after.1 <= before.1, "{before:?} {after:?}");
    // The lease is given back: the next may try at once.
    let again = cache.refresh_list(&list(), NEVER_TOO_YOUNG, late(), || broken(&origin)).await;
    assert!(matches!(again, Err(RefreshError::Load(_))), "{again:?}");
    assert_eq!(origin.calls().len(), 2);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_cut_off_and_leaves_the_old_list() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    refresh(&node, &quick_list(), "1").await;
    let cache = environment(&[&node]);
    let slow = cache.refresh_list(&quick_list(), NEVER_TOO_YOUNG, late(), || rows(&origin, "2")).await;
    assert!(matches!(slow, Err(RefreshError::Load(LoadError::Slow(_)))), "{slow:?}");
    let begin = Instant::now();
    let cut = cache.refresh_list(&list(), NEVER_TOO_YOUNG, in_millis(200), || rows(&origin, "2")).await;
    assert!(matches!(cut, Err(RefreshError::Load(LoadError::Deadline))), "{cut:?}");
    assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
    assert_eq!(read(&node, &list()).await.1, "[1]");
}

#[tokio::test]
async fn a_query_that_fails_where_there_is_no_list_leaves_nobody_waiting() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    cache.refresh_list(&list(), NEVER_TOO_YOUNG, late(), || broken(&origin)).await.unwrap_err();
    let (answer, counts) = environment(&[&node]).read_list(&list(), late(), || rows(&origin, "1")).await;
    assert_eq!(answer.unwrap().outcome, Outcome::Miss);
    assert_eq!((counts.waits, counts.origin_calls, counts.fills), (0, 1, 1));
}

#[tokio::test]
async fn a_reader_gets_the_old_list_while_it_is_refreshed() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    refresh(&node, &list(), "1").await;
    let_age(&node, 900);
    let (cache, list) = (environment(&[&node]), list());
    let refreshed = cache.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "2"));
    let conduct = async {
        origin.begun(1).await;
        let during = read(&node, &list).await;
        origin.open();
        during
    };
    let (refreshed, (outcome, rows, age)) = tokio::join!(refreshed, conduct);
    assert_eq!((refreshed.unwrap(), outcome, rows.as_str()), (STORED, Outcome::Hit, "[1]"));
    assert!((900..=900 + TICK).contains(&age), "{age}");
    assert_eq!(read(&node, &list).await.1, "[2]");
}

#[tokio::test]
async fn an_old_list_is_answered_with_its_age_and_called_stale_after_two_periods() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    for (age, outcome) in
        [(600, Outcome::Hit), (1200 - TICK, Outcome::Hit), (1201, Outcome::Stale), (1700, Outcome::Stale)]
    {
        let_age(&node, age);
        let (found, rows, told) = read(&node, &list()).await;
        assert_eq!((found, rows.as_str()), (outcome, "[1]"), "{age}");
        assert!((age..=age + TICK).contains(&told), "{told} for {age}");
    }
}

#[tokio::test]
async fn a_list_that_was_never_there_is_computed_by_one_of_many_readers() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let caches: Vec<_> = (0..20).map(|_| environment(&[&node])).collect();
    let list = list();
    let reads = join_all(caches.iter().map(|cache| cache.read_list(&list, late(), || rows(&origin, "1"))));
    let conduct = async {
        origin.begun(1).await;
        node.asked(20).await;
        origin.open();
    };
    let (reads, ()) = tokio::join!(reads, conduct);
    let mut total = Counts::default();
    for (answer, counts) in reads {
        let answer = answer.unwrap();
        assert_eq!((&answer.items[..], answer.count), (&b"[1]"[..], 1));
        assert!(answer.age.as_secs() <= TICK);
        total.misses += counts.misses;
        total.hits += counts.hits;
    }
    assert_eq!((total.misses, total.hits, origin.calls().len()), (1, 19, 1));
    assert_eq!(read(&node, &list).await.0, Outcome::Hit);
}

#[tokio::test]
async fn a_refresher_leaves_a_list_that_a_reader_computes_to_the_reader_and_readers_wait_for_a_refresher() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let (reader, other, list) = (environment(&[&node]), environment(&[&node]), list());
    let reads = reader.read_list(&list, late(), || rows(&origin, "1"));
    let conduct = async {
        origin.begun(1).await;
        let refreshed = other.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "2")).await;
        origin.open();
        refreshed
    };
    let (_, refreshed) = tokio::join!(reads, conduct);
    assert_eq!(refreshed.unwrap(), Refreshed::UnderWay);

    let (node, origin) = (Memcached::start(), Origin::shut());
    let (reader, other) = (environment(&[&node]), environment(&[&node]));
    let refreshed = other.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "2"));
    let conduct = async {
        origin.begun(1).await;
        let seen = node.gets();
        let reads = reader.read_list(&list, late(), || rows(&origin, "1"));
        let open = async {
            node.asked(seen + 2).await;
            origin.open();
        };
        tokio::join!(reads, open).0
    };
    let (refreshed, (answer, counts)) = tokio::join!(refreshed, conduct);
    assert_eq!((refreshed.unwrap(), &answer.unwrap().items[..]), (STORED, &b"[2]"[..]));
    assert_eq!((counts.origin_calls, origin.calls().len()), (0, 1));
}

/// One run is frozen in its query; its lease ends, and another one does its work.
async fn frozen(node: &Memcached, row: &str, meanwhile: impl AsyncFnOnce()) -> Refreshed {
    let (cache, list) = (environment(&[node]), list());
    let (origin, thawed) = (Origin::new(), Notify::new());
    let run = cache.refresh_list(&list, NEVER_TOO_YOUNG, late(), || async {
        let loaded = rows(&origin, row).await;
        thawed.notified().await;
        loaded
    });
    let conduct = async {
        origin.begun(1).await;
        // As if its time were over.
        node.check("md larder~refresh~l", "HD\r\n");
        meanwhile().await;
        thawed.notify_one();
    };
    tokio::join!(run, conduct).0.unwrap()
}

#[tokio::test]
async fn an_older_run_does_not_overwrite_what_a_newer_one_has_stored() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let newer = async || assert_eq!(refresh(&node, &list(), "3").await, STORED);
    assert_eq!(frozen(&node, "2", newer).await, Refreshed::Overtaken);
    assert_eq!(read(&node, &list()).await.1, "[3]");
}

#[tokio::test]
async fn an_older_run_does_not_overwrite_what_a_newer_one_has_found_unchanged() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let_age(&node, 700);
    let newer = async || assert_eq!(refresh(&node, &list(), "1").await, UNCHANGED);
    assert_eq!(frozen(&node, "2", newer).await, Refreshed::Overtaken);
    assert_eq!(read(&node, &list()).await.1, "[1]");
}

#[tokio::test]
async fn an_older_run_does_not_make_a_newer_list_look_younger() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let newer = async || {
        assert_eq!(refresh(&node, &list(), "3").await, STORED);
        assert_eq!(refresh(&node, &list(), "1").await, STORED);
        let_age(&node, 700);
    };
    assert_eq!(frozen(&node, "1", newer).await, Refreshed::Overtaken);
    assert!(read(&node, &list()).await.2 >= 700);
}

#[tokio::test]
async fn an_older_run_does_not_fill_a_list_that_was_not_there_over_a_newer_one() {
    let node = Memcached::start();
    let newer = async || {
        node.check("md l", "HD\r\n");
        assert_eq!(refresh(&node, &list(), "3").await, STORED);
    };
    assert_eq!(frozen(&node, "2", newer).await, Refreshed::Overtaken);
    assert_eq!(read(&node, &list()).await.1, "[3]");
}

#[tokio::test]
async fn a_list_that_is_forgotten_while_it_is_refreshed_is_computed_once_more() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    refresh(&node, &list(), "1").await;
    let (cache, list) = (environment(&[&node]), list());
    let refreshed = cache.refresh_list(&list, NEVER_TOO_YOUNG, late(), || async {
        let row = if origin.calls().is_empty() { "before the change" } else { "2" };
        rows(&origin, row).await
    });
    let conduct = async {
        origin.begun(1).await;
        node.check("md l", "HD\r\n");
        origin.open();
    };
    let (refreshed, ()) = tokio::join!(refreshed, conduct);
    assert_eq!((refreshed.unwrap(), origin.calls().len()), (STORED, 2));
    assert_eq!(read(&node, &list).await.1, "[2]");
}

#[tokio::test]
async fn a_refresher_who_died_is_replaced_when_its_lease_is_over_before_the_next_run() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    refresh(&node, &quick_list(), "1").await;
    let list = quick_list();
    {
        let dead = environment(&[&node]);
        let dies = dead.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "2"));
        tokio::select! {
            _ = dies => panic!("it dies"),
            () = origin.begun(1) => {}
        }
    }
    let reply = node.ask("mg larder~refresh~l t");
    let left: u64 =
        reply.split_whitespace().find_map(|flag| flag.strip_prefix('t')).unwrap().parse().unwrap();
    assert!(left <= 4 && Duration::from_secs(left) < list.period(), "{reply}");
    let cache = environment(&[&node]);
    origin.open();
    let begin = Instant::now();
    loop {
        match cache.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "3")).await.unwrap() {
            Refreshed::UnderWay => assert!(begin.elapsed() < PATIENCE, "nobody takes its place"),
            refreshed => break assert_eq!(refreshed, STORED),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_list_too_long_for_an_item_is_told_and_the_old_one_stays() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let before = cas_and_ttl(&node).0;
    let small = cache(Config { max_item_len: 1_000, ..config(&[&node]) });
    // Nothing that could be compressed: it is no list of a thousand times the same.
    let long = format!("\"{}\"", (0..600).map(|_| fastrand::alphanumeric()).collect::<String>().repeat(2));
    let long_list = || async { Ok::<_, Broken>(ListItems::of([&long])) };
    let refused = small.refresh_list(&list(), NEVER_TOO_YOUNG, late(), long_list).await;
    assert!(matches!(refused, Err(RefreshError::Cache(_))), "{refused:?}");
    assert_eq!((cas_and_ttl(&node).0, read(&node, &list()).await.1), (before, "[1]".to_owned()));

    // Where there is none, nobody waits for it, and it is answered all the same.
    node.check("md l", "HD\r\n");
    small.refresh_list(&list(), NEVER_TOO_YOUNG, late(), long_list).await.unwrap_err();
    let (answer, counts) = small.read_list(&list(), late(), long_list).await;
    assert_eq!((answer.unwrap().outcome, counts.waits, counts.fills_failed), (Outcome::Miss, 0, 1));
}

#[tokio::test]
async fn a_long_list_is_compressed() {
    let node = Memcached::start();
    let row = format!("\"{}\"", "x".repeat(5_000));
    refresh(&node, &list(), &row).await;
    assert_eq!(read(&node, &list()).await.1, format!("[{row}]"));
    let size: usize = node.ask("mg l s").trim_end().strip_prefix("HD s").unwrap().parse().unwrap();
    assert!(size < 200, "{size}");
}

#[tokio::test]
async fn what_is_no_list_is_answered_to_nobody_and_replaced_by_the_next_refresh() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let flags: u32 = node.ask("mg l f").trim_end().strip_prefix("HD f").unwrap().parse().unwrap();
    let none: [(u32, &[u8]); 3] = [(flags, b"[1]"), (1, b"something else"), (0, b"")];
    for (client_flags, value) in none {
        node.store("l", client_flags, value);
        let origin = Origin::new();
        let (answer, _) = environment(&[&node]).read_list(&list(), late(), || rows(&origin, "2")).await;
        let answer = answer.unwrap();
        assert_eq!((answer.outcome, &answer.items[..]), (Outcome::Miss, &b"[2]"[..]));
        assert_eq!(refresh(&node, &list(), "3").await, STORED);
        assert_eq!(read(&node, &list()).await.1, "[3]");
    }
}

#[tokio::test]
async fn without_its_node_a_list_is_computed_and_a_refresh_says_so_before_it_asks() {
    let (mut node, origin) = (Memcached::start(), Origin::new());
    node.kill();
    let cache = environment(&[&node]);
    let (answer, counts) = cache.read_list(&list(), late(), || rows(&origin, "1")).await;
    assert_eq!((answer.unwrap().outcome, counts.bypasses), (Outcome::Bypass, 1));
    let refused = cache.refresh_list(&list(), NEVER_TOO_YOUNG, late(), || rows(&origin, "1")).await;
    assert!(matches!(refused, Err(RefreshError::Cache(_))), "{refused:?}");
    assert_eq!(origin.calls().len(), 1);
}

#[tokio::test]
async fn a_node_that_restarts_during_the_query_has_the_list_afterwards() {
    let (mut node, origin) = (Memcached::start(), Origin::shut());
    refresh(&node, &list(), "1").await;
    let (cache, list) = (environment(&[&node]), list());
    let refreshed = cache.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "2"));
    let conduct = async {
        origin.begun(1).await;
        node.restart();
        origin.open();
    };
    let (refreshed, ()) = tokio::join!(refreshed, conduct);
    assert_eq!((refreshed.unwrap(), origin.calls().len()), (STORED, 2));
    assert_eq!(read(&node, &list).await.1, "[2]");
}

#[tokio::test]
async fn ages_are_told_for_many_lists_at_once() {
    let node = Memcached::start();
    refresh(&node, &list(), "1").await;
    let_age(&node, 700);
    let other = TimedList::new(key("m"), PERIOD, Duration::from_secs(1)).unwrap();
    let ages = environment(&[&node]).list_ages(&[&other, &list()], late()).await;
    let ages: Vec<_> = ages.into_iter().map(|age| age.unwrap().map(|age| age.as_secs())).collect();
    assert_eq!(ages[0], None);
    assert!((700..=700 + TICK).contains(&ages[1].unwrap()), "{ages:?}");
}

#[tokio::test]
async fn whoever_asks_how_old_a_list_is_takes_no_part_in_who_computes_one_that_is_marked_stale() {
    let (node, origin) = (Memcached::start(), Origin::new());
    refresh(&node, &list(), "old").await;
    node.check("md l I T300", "HD\r\n");
    let ages = environment(&[&node]).list_ages(&[&list()], late()).await;
    assert_eq!(ages.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [None]);
    let (answer, counts) = environment(&[&node]).read_list(&list(), late(), || rows(&origin, "new")).await;
    assert_eq!((answer.unwrap().items.to_vec(), counts.waits), (b"[new]".to_vec(), 0));
}

#[tokio::test]
async fn a_list_that_is_marked_stale_during_its_refresh_is_computed_by_the_next_reader() {
    let (node, origin, next) = (Memcached::start(), Origin::shut(), Origin::new());
    refresh(&node, &list(), "old").await;
    let (cache, list) = (environment(&[&node]), list());
    let refreshes = cache.refresh_list(&list, NEVER_TOO_YOUNG, late(), || rows(&origin, "1"));
    let conduct = async {
        origin.begun(1).await;
        node.check("md l I T300", "HD\r\n");
        origin.open();
    };
    let (refreshed, ()) = tokio::join!(refreshes, conduct);
    assert_eq!(refreshed.unwrap(), Refreshed::Overtaken);
    let (answer, counts) = environment(&[&node]).read_list(&list, late(), || rows(&next, "new")).await;
    assert_eq!((answer.unwrap().items.to_vec(), counts.waits), (b"[new]".to_vec(), 0));
}
