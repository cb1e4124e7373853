//! What a node may do to us, byte by byte: cut, slow, broken and hostile replies, and connections that die at rest.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use larder_client::{Claim, Cluster, Error, Fill, Item, Key, NodeError, Read, ReadOptions, Stored};
use support::script::{GREETING, Script, Signal, Step, exchange, expect, guarded_opening, opening, send};
use support::{MINUTE, PATIENCE, fault, item, key, keys, pass, text};
use tokio::time::{Instant, timeout};

// Replies cut short.

#[tokio::test]
async fn a_reply_cut_at_any_byte_is_a_lost_connection_and_never_a_miss() {
    for call in Call::ALL {
        let reply = call.reply();
        for cut in 0..reply.len() {
            let steps = [&call.opening()[..], &[expect(call.request()), send(&reply[..cut]), Step::Close]];
            let script = Script::start([steps.concat()]).await;
            let cluster = script.cluster();
            match fault(call.make(&cluster).await) {
                NodeError::Lost { replied, .. } => assert_eq!(replied, cut > 0, "{call:?} cut at {cut}"),
                other => panic!("{call:?} cut at {cut}: {other:?}"),
            }
            script.finish(cluster).await;
        }
    }
}

#[tokio::test]
async fn a_greeting_cut_at_any_byte_is_a_lost_connection() {
    for cut in 0..GREETING.len() {
        let steps = vec![expect(format!("version\r\n{GET_K}")), send(&GREETING[..cut]), Step::Close];
        let script = Script::start([steps]).await;
        let cluster = script.cluster();
        let lost = fault(cluster.get(&key("k")).await);
        assert!(matches!(lost, NodeError::Lost { .. }), "cut at {cut}: {lost:?}");
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn a_reply_that_comes_byte_by_byte_is_the_same_reply() {
    for call in Call::ALL {
        let steps = [&call.opening()[..], &[expect(call.request()), Step::Drip(call.reply().into())]];
        let script = Script::start([steps.concat()]).await;
        let cluster = script.cluster();
        call.make(&cluster).await.unwrap_or_else(|error| panic!("{call:?}: {error:?}"));
        script.finish(cluster).await;
    }
}

// Connections that die at rest.

#[tokio::test]
async fn a_close_between_two_requests_costs_a_repeatable_one_a_retry_and_any_other_an_error() {
    for (call, end) in Call::ALL.into_iter().flat_map(|call| [(call, Step::Close), (call, Step::Reset)]) {
        let gone = Signal::default();
        let steps = [call.whole(), vec![end, Step::Tell(gone.clone())]].concat();
        let script = match call.is_repeatable() {
            true => Script::start([steps, call.whole()]).await,
            false => Script::start([steps]).await,
        };
        let cluster = script.cluster();
        call.make(&cluster).await.unwrap();
        gone.notified().await;
        let second = call.make(&cluster).await;
        if call.is_repeatable() {
            second.unwrap_or_else(|error| panic!("{call:?}: {error:?}"));
        } else {
            let lost = fault(second);
            assert!(matches!(lost, NodeError::Lost { replied: false, .. }), "{call:?}: {lost:?}");
        }
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn a_close_is_seen_before_use_after_a_rest_so_that_every_request_succeeds() {
    for (call, end) in Call::ALL.into_iter().flat_map(|call| [(call, Step::Close), (call, Step::Reset)]) {
        let gone = Signal::default();
        let steps = [call.whole(), vec![end, Step::Tell(gone.clone())]].concat();
        let script = Script::start([steps, call.whole()]).await;
        let cluster = script.cluster();
        call.make(&cluster).await.unwrap();
        gone.notified().await;
        pass(A_REST).await;
        call.make(&cluster).await.unwrap_or_else(|error| panic!("{call:?}: {error:?}"));
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_a_connection_at_rest() {
    let sent = Signal::default();
    let steps = [call_k("1"), vec![send("VALUE k 0 1\r\nX\r\nEND\r\n"), Step::Tell(sent.clone())]].concat();
    let script = Script::start([steps, call_k("2")]).await;
    let cluster = script.cluster();
    check_k(&cluster, "1").await;
    sent.notified().await;
    pass(A_REST).await;
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_is_not_taken_for_the_next_one() {
    let (answered, sent) = (Signal::default(), Signal::default());
    let stray = vec![Step::Await(answered.clone()), send("VA 1 f0\r\nX\r\n"), Step::Tell(sent.clone())];
    let script = Script::start([[call_k("1"), stray].concat(), call_k("2")]).await;
    let cluster = script.cluster();
    check_k(&cluster, "1").await;
    answered.notify_one();
    sent.notified().await;
    // The runtime hears of what came when it looks, which it does here.
    tokio::task::yield_now().await;
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_retry_is_made_once() {
    let gone = Signal::default();
    let script = Script::start([
        [call_k("1"), vec![Step::Close, Step::Tell(gone.clone())]].concat(),
        [&opening()[..], &[expect(GET_K), Step::Close]].concat(),
    ])
    .await;
    let cluster = script.cluster();
    cluster.get(&key("k")).await.unwrap();
    gone.notified().await;
    let lost = fault(cluster.get(&key("k")).await);
    assert!(matches!(lost, NodeError::Lost { replied: false, .. }), "{lost:?}");
    script.finish(cluster).await;
}

#[tokio::test]
async fn nothing_is_retried_after_a_byte_of_the_reply() {
    let more = [expect(GET_K), send("V"), Step::Close];
    let script = Script::start([[&call_k("1")[..], &more].concat()]).await;
    let cluster = script.cluster();
    cluster.get(&key("k")).await.unwrap();
    let lost = fault(cluster.get(&key("k")).await);
    assert!(matches!(lost, NodeError::Lost { replied: true, .. }), "{lost:?}");
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_fresh_connection_that_is_closed_is_not_tried_again() {
    let script = Script::start([vec![expect(format!("version\r\n{GET_K}")), Step::Close]]).await;
    let cluster = script.cluster();
    let lost = fault(cluster.get(&key("k")).await);
    assert!(matches!(lost, NodeError::Lost { replied: false, .. }), "{lost:?}");
    script.finish(cluster).await;
}

#[tokio::test]
async fn silence_after_a_rest_leaves_half_of_the_time_for_a_fresh_connection() {
    let silence = [expect(GET_K), Step::ExpectEnd];
    let script = Script::start([[&call_k("1")[..], &silence].concat(), call_k("2")]).await;
    let cluster = script.cluster_with(|config| config.timeout = Duration::from_secs(2));
    check_k(&cluster, "1").await;
    pass(A_REST).await;
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn silence_after_a_rest_does_not_make_a_set_go_twice() {
    let set = "ms k 1 T60 F1\r\nv\r\n";
    let steps = [&guarded_opening()[..], &exchange(set, "HD\r\n"), &[expect(set), Step::ExpectEnd]].concat();
    let script = Script::start([steps]).await;
    let cluster = script.cluster_with(|config| config.timeout = A_MOMENT);
    cluster.set(item(&key("k"), "v")).await.unwrap();
    pass(A_REST).await;
    let late = fault(cluster.set(item(&key("k"), "v")).await);
    assert!(matches!(late, NodeError::Deadline), "{late:?}");
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_connection_idle_for_too_long_is_not_used_even_if_it_looks_alive() {
    let script = Script::start([call_k("1"), call_k("2")]).await;
    let cluster = script.cluster();
    check_k(&cluster, "1").await;
    pass(Duration::from_secs(61)).await;
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_connection_at_rest_that_is_alive_is_used_again() {
    let script = Script::start([[call_k("1"), exchange(GET_K, &value_k("2")).to_vec()].concat()]).await;
    let cluster = script.cluster();
    check_k(&cluster, "1").await;
    pass(Duration::from_secs(59)).await;
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

// Slow replies, and callers who leave.

#[tokio::test]
async fn a_slow_reply_ends_at_the_deadline_and_is_not_taken_for_the_next_one() {
    let go = Signal::default();
    let slow = [expect(GET_K), Step::Await(go.clone()), send(value_k("1"))];
    let script = Script::start([[&opening()[..], &slow].concat(), call_k("2")]).await;
    let cluster = script.cluster();
    let late = fault(cluster.until(Instant::now() + A_MOMENT).get(&key("k")).await);
    assert!(matches!(late, NodeError::Deadline), "{late:?}");
    go.notify_one();
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn half_a_reply_at_the_deadline_is_not_taken_for_the_next_one() {
    let go = Signal::default();
    let reply = value_k("1");
    for cut in 1..reply.len() {
        let (start, rest) = reply.split_at(cut);
        let slow = [expect(GET_K), send(start), Step::Await(go.clone()), send(rest)];
        let script = Script::start([[&opening()[..], &slow].concat(), call_k("2")]).await;
        let cluster = script.cluster();
        let late = fault(cluster.until(Instant::now() + A_BLINK).get(&key("k")).await);
        assert!(matches!(late, NodeError::Deadline), "{late:?}");
        go.notify_one();
        check_k(&cluster, "2").await;
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn a_dropped_call_that_was_alone_closes_its_connection_at_once() {
    let (asked, gone) = (Signal::default(), Signal::default());
    let tell = [expect(GET_K), Step::Tell(asked.clone()), Step::ExpectEnd, Step::Tell(gone.clone())];
    let script = Script::start([[&opening()[..], &tell].concat(), call_k("2")]).await;
    let cluster = script.cluster();
    let call = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.get(&key("k")).await }
    });
    asked.notified().await;
    call.abort();
    timeout(PATIENCE, gone.notified()).await.expect("the node should see the end");
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

/// Of four calls under way some are dropped, before or in the middle of the replies; the others get their own.
#[tokio::test]
async fn calls_dropped_among_others_take_nothing_from_them() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let replies = NAMES.map(|name| format!("VA 1 f1\r\n{name}\r\n")).concat();
    // The last one stays, so that the connection does.
    for (dropped, cut) in (0..8_u8).flat_map(|dropped| [0, 5, 12, 14, 24, 30, 40].map(|cut| (dropped, cut))) {
        let (asked, go) = (Signal::default(), Signal::default());
        let (start, rest) = replies.split_at(cut);
        let steps = [
            expect(NAMES.map(|name| GET_K.replace('k', name)).concat()),
            send(start),
            Step::Tell(asked.clone()),
            Step::Await(go.clone()),
            send(rest),
            expect(GET_K),
            send(value_k("1")),
        ];
        let script = Script::start([[&opening()[..], &steps].concat()]).await;
        let cluster = script.cluster();
        let calls = NAMES.map(|name| {
            let cluster = cluster.clone();
            tokio::spawn(async move { text(cluster.get(&key(name)).await) })
        });
        asked.notified().await;
        let is_dropped = |at: usize| dropped & (1 << at) != 0;
        (0..4).filter(|at| is_dropped(*at)).for_each(|at| calls[at].abort());
        go.notify_one();
        for (at, call) in calls.into_iter().enumerate() {
            match call.await {
                Ok(found) => assert_eq!(found.unwrap(), NAMES[at], "dropped {dropped:b}, cut {cut}"),
                Err(_) => assert!(is_dropped(at), "dropped {dropped:b}, cut {cut}"),
            }
        }
        check_k(&cluster, "1").await;
        script.finish(cluster).await;
    }
}

// Replies that break the protocol.

#[tokio::test]
async fn a_broken_reply_is_an_error_at_once_and_its_connection_is_not_used_again() {
    let endless = "x".repeat(5000);
    let too_long = format!("VA 1048577 f1\r\n{}xyz", "v".repeat(1 << 20));
    for broken in [
        "HD\r\n",
        "NS\r\n",
        "MN\r\n",
        "END\r\n",
        "STORED\r\n",
        "VA\r\n",
        "VA x f1\r\n",
        "VA -1 f1\r\n",
        "VA 1 fx\r\nx\r\n",
        "VA 1 f4294967296\r\nx\r\n",
        "VA 1 f1\r\nxyz\r\n",
        &too_long,
        "VA 134217729 f1\r\n",
        "VA 18446744073709551615 f1\r\n",
        "VA 99999999999999999999 f1\r\n",
        "VALUE k 1 1\r\nx\r\nEND\r\n",
        "\r\n",
        "\0\0\0\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        &endless,
    ] {
        check_broken(GET_K, broken, async |cluster, key| cluster.get(&key).await).await;
    }
}

#[tokio::test]
async fn a_broken_classic_reply_is_an_error_at_once_and_its_connection_is_not_used_again() {
    let endless = format!("VALUE k 1 {}", "1".repeat(5000));
    for broken in [
        "VALUE other 1 1\r\nx\r\nEND\r\n",
        "VALUE k 1 1\r\nx\r\nVALUE k 1 1\r\ny\r\nEND\r\n",
        "VALUE k 1 1\r\nxyz\r\nEND\r\n",
        "VALUE k 1 -1\r\n",
        "VALUE k 1 x\r\n",
        "VALUE k 1\r\n",
        "VALUE k 1 134217729\r\n",
        "VALUE k 1 18446744073709551615\r\n",
        "VALUE k 1 99999999999999999999\r\n",
        "VALUE k 4294967296 1\r\nx\r\nEND\r\n",
        "STAT pid 1\r\nEND\r\n",
        "CONFIG cluster 0 1\r\nx\r\nEND\r\n",
        "VERSION 1.6.22\r\nEND\r\n",
        "EN\r\n",
        "STORED\r\n",
        "\r\n",
        &endless,
    ] {
        check_broken(GET_MANY_K, broken, async |cluster, key| cluster.get_many(&[key]).await.remove(0)).await;
    }
}

/// Makes `call`, which sends `request` and gets a broken reply on a connection that stays open.
async fn check_broken(
    request: &str,
    broken: &str,
    call: impl AsyncFn(&Cluster, Key) -> Result<Option<Item>, Error>,
) {
    let steps = [&opening()[..], &exchange(request, broken), &[Step::ExpectEnd]].concat();
    let script = Script::start([steps, call_k("2")]).await;
    let cluster = script.cluster_with(|config| config.mark_down = Duration::ZERO);
    let error = fault(timeout(PATIENCE / 2, call(&cluster, key("k"))).await.expect("an error at once"));
    assert!(matches!(error, NodeError::Protocol(_)), "{broken:.50}: {error:?}");
    check_k(&cluster, "2").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_fill_that_is_not_answered_as_one_ends_the_connection() {
    let fill = "ms k 1 T60 F65537 C7\r\nv\r\n";
    let lease = exchange("mg k N60 t c f v\r\n", "VA 0 t60 c7 f0 W\r\n\r\n");
    let steps = [opening(), lease, exchange(fill, "EN\r\n")].concat();
    let script = Script::start([[&steps[..], &[Step::ExpectEnd]].concat(), call_k("2")]).await;
    let cluster = script.cluster();
    let options = ReadOptions { lease_for: Some(MINUTE), ..ReadOptions::default() };
    let Claim::Won(lease) = cluster.read(&key("k"), options).await.unwrap().claim else {
        panic!("it should be won")
    };
    let error = fault(cluster.fill(item(&key("k"), "v"), &lease).await);
    assert!(matches!(error, NodeError::Protocol(_)), "{error:?}");
    assert_eq!(cluster.fill(item(&key("k"), "v"), &lease).await.unwrap(), Stored::Refused);
    check_k(&cluster, "2").await;
    drop(lease);
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_lease_whose_end_is_not_answered_as_one_ends_the_connection() {
    for (flag, request) in [('Z', "take over"), ('W', "release"), ('W', "give back")] {
        let lease = exchange("mg k N60 t c f v\r\n", &format!("VA 0 t60 c7 f0 {flag}\r\n\r\n"));
        let steps = [opening(), lease, exchange("ms k 0 T-1 C7\r\n\r\n", "EN\r\n")].concat();
        let script = Script::start([[&steps[..], &[Step::ExpectEnd]].concat(), call_k("2")]).await;
        let cluster = script.cluster();
        let options = ReadOptions { lease_for: Some(MINUTE), ..ReadOptions::default() };
        let (key, read) = (key("k"), cluster.read(&key("k"), options).await.unwrap());
        let error = match (request, &read.claim) {
            ("take over", _) => fault(cluster.take_over(&key, &read).await),
            ("release", _) => fault(cluster.release(&key, &read).await),
            (_, Claim::Won(lease)) => fault(cluster.give_back(&key, lease).await),
            _ => panic!("it should be won"),
        };
        assert!(matches!(error, NodeError::Protocol(_)), "{request}: {error:?}");
        check_k(&cluster, "2").await;
        drop(read);
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn more_than_was_asked_for_ends_the_connection_after_its_answer() {
    for more in ["EN\r\n", "HD\r\n", "VA 1 f1\r\nX\r\n", "x"] {
        let steps = [&opening()[..], &exchange(GET_K, &(value_k("1") + more)), &[Step::ExpectEnd]].concat();
        let script = Script::start([steps, call_k("2")]).await;
        let cluster = script.cluster();
        check_k(&cluster, "1").await;
        check_k(&cluster, "2").await;
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn an_answer_without_end_is_an_error_and_not_a_growing_heap() {
    for (call, flood) in
        [(Call::GetMany, "VALUE k 1 1\r\nx\r\n"), (Call::SetMany, "NS O0\r\n"), (Call::Stats, "STAT a 1\r\n")]
    {
        let flood = [expect(call.request()), Step::Flood(flood.repeat(1000).into())];
        let script = Script::start([[&call.opening()[..], &flood].concat()]).await;
        let cluster = script.cluster();
        let error = fault(call.make(&cluster).await);
        assert!(matches!(error, NodeError::Protocol(_)), "{call:?}: {error:?}");
        script.finish(cluster).await;
    }
}

// Refusals.

#[tokio::test]
async fn a_refused_read_is_an_error_and_the_connection_goes_on() {
    for refusal in ["SERVER_ERROR out of memory writing get response", "ERROR", "CLIENT_ERROR no"] {
        let steps = [&opening()[..], &exchange(GET_K, &format!("{refusal}\r\n"))].concat();
        let script = Script::start([[steps, exchange(GET_K, &value_k("2")).to_vec()].concat()]).await;
        let cluster = script.cluster();
        let refused = fault(cluster.get(&key("k")).await);
        assert!(matches!(refused, NodeError::Refused(_)), "{refused:?}");
        check_k(&cluster, "2").await;
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn a_node_out_of_memory_fails_one_request_of_a_pipeline() {
    let request = "mg a t c f v\r\nmg b t c f v\r\nmg c t c f v\r\n";
    let reply = "VA 1 t1 c1 f1\r\n1\r\nSERVER_ERROR out of memory\r\nVA 1 t1 c1 f1\r\n3\r\n";
    let script = Script::start([[opening(), exchange(request, reply)].concat()]).await;
    let cluster = script.cluster();
    let mut reads = cluster.read_many(&keys(["a", "b", "c"]), ReadOptions::default()).await.into_iter();
    assert_eq!(text(reads.next().unwrap().map(|read| read.item)).unwrap(), "1");
    assert!(matches!(fault(reads.next().unwrap()), NodeError::Refused(_)));
    assert_eq!(text(reads.next().unwrap().map(|read| read.item)).unwrap(), "3");
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_refused_store_keeps_the_connection_only_if_the_node_has_swallowed_the_data() {
    let set = "ms k 1 T60 F1\r\nv\r\n";
    for (refusal, is_sound) in [
        ("SERVER_ERROR object too large for cache\r\n", true),
        ("SERVER_ERROR out of memory storing object\r\n", true),
        ("CLIENT_ERROR bad data chunk\r\n", false),
        ("CLIENT_ERROR bad command line format\r\nERROR\r\n", false),
        ("ERROR\r\n", false),
    ] {
        let refused = [guarded_opening(), exchange(set, refusal)].concat();
        let script = match is_sound {
            true => Script::start([[refused, exchange(set, "HD\r\n").to_vec()].concat()]).await,
            false => {
                let fresh = [guarded_opening(), exchange(set, "HD\r\n")].concat();
                Script::start([[refused, vec![Step::ExpectEnd]].concat(), fresh]).await
            }
        };
        let cluster = script.cluster();
        let error = fault(cluster.set(item(&key("k"), "v")).await);
        assert!(matches!(error, NodeError::Refused(_)), "{refusal}: {error:?}");
        cluster.set(item(&key("k"), "v")).await.unwrap();
        script.finish(cluster).await;
    }
}

#[tokio::test]
async fn a_refusal_in_a_batch_of_stores_is_told_of_the_item_that_it_is_for() {
    let batch = "ms a 1 T60 F1 q\r\n1\r\nms b 1 T60 F1 q\r\n2\r\nmn\r\n";
    let reply = "SERVER_ERROR out of memory storing object\r\nMN\r\n";
    // It does not say which of them: each is stored once more, by itself.
    let first = exchange("ms a 1 T60 F1 q\r\n1\r\nmn\r\n", "MN\r\n");
    let second = exchange("ms b 1 T60 F1 q\r\n2\r\nmn\r\n", reply);
    let steps =
        [guarded_opening(), exchange(batch, reply), first, second, exchange(GET_K, &value_k("1"))].concat();
    let script = Script::start([steps]).await;
    let cluster = script.cluster();
    let [a, b] = keys(["a", "b"]);
    let failures = cluster.set_many(&[item(&a, "1"), item(&b, "2")]).await;
    assert_eq!(failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [1]);
    check_k(&cluster, "1").await;
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_node_with_too_many_connections_is_told_in_its_own_words() {
    let full = [expect("version\r\n"), send("ERROR Too many open connections\r\n"), Step::Close];
    let script = Script::start([full.to_vec()]).await;
    let cluster = script.cluster();
    let error = fault(cluster.get(&key("k")).await);
    assert!(matches!(error, NodeError::Protocol(_)), "{error:?}");
    assert!(format!("{error:?}").contains("Too many open connections"), "{error:?}");
    script.finish(cluster).await;
}

// Engines.

#[tokio::test]
async fn an_engine_that_is_too_old_is_named_and_never_sees_data() {
    for version in ["1.4.5", "1.5.16", "1.6.6", "1.6.11"] {
        for (call, request) in
            Call::ALL.map(|call| (call, if call.has_data() { "mn\r\n" } else { call.request() }))
        {
            let steps = vec![
                expect(format!("version\r\n{request}")),
                send(format!("VERSION {version}\r\n")),
                Step::ExpectEnd,
            ];
            let script = Script::start([steps]).await;
            let cluster = script.cluster();
            let error = fault(call.make(&cluster).await);
            assert!(matches!(error, NodeError::UnsupportedEngine(_)), "{call:?}: {error:?}");
            assert!(error.to_string().contains(version), "{error}");
            script.finish(cluster).await;
        }
    }
}

/// Blanks behind `HD` and `NF`, two before a flag, a miss that echoes nothing, numbers with blanks behind them.
#[tokio::test]
async fn the_dialect_of_1_6_12_is_understood() {
    let steps = [
        [expect("version\r\nmn\r\n"), send("VERSION 1.6.12\r\nMN\r\n")],
        exchange("ms k 1 T60 F1 MR\r\nv\r\n", "NS \r\n"),
        exchange("ms k 1 T60 F1\r\nv\r\n", "HD \r\n"),
        exchange("md k\r\n", "HD \r\n"),
        exchange("md k\r\n", "NF \r\n"),
        exchange("md k I T60\r\n", "HD \r\n"),
        exchange("mg k t c f v\r\n", "EN\r\n"),
        exchange("mg k T60\r\n", "HD \r\n"),
        exchange("ma k D1 v\r\n", "NF \r\n"),
        exchange("ma k D1 MD v\r\n", "VA 2\r\n9 \r\n"),
        exchange("mg k N60 t c f v\r\n", "VA 0 t60 c7 f0 W\r\n\r\n"),
        exchange("ms k 1 T60 F65537 C7 q O0\r\nv\r\nmn\r\n", "NF  O0\r\nMN\r\n"),
    ];
    let script = Script::start([steps.concat()]).await;
    let (cluster, key) = (script.cluster(), key("k"));
    assert_eq!(cluster.replace(item(&key, "v")).await.unwrap(), Stored::Refused);
    cluster.set(item(&key, "v")).await.unwrap();
    assert!(cluster.delete(&key).await.unwrap());
    assert!(!cluster.delete(&key).await.unwrap());
    assert!(cluster.mark_stale(&key, MINUTE).await.unwrap());
    assert_eq!(cluster.read(&key, ReadOptions::default()).await.unwrap().item, None);
    assert!(cluster.touch(&key, MINUTE).await.unwrap());
    assert_eq!(cluster.increment(&key, 1, None).await.unwrap(), None);
    assert_eq!(cluster.decrement(&key, 1, None).await.unwrap(), Some(9));
    let options = ReadOptions { lease_for: Some(MINUTE), ..ReadOptions::default() };
    let Claim::Won(lease) = cluster.read(&key, options).await.unwrap().claim else {
        panic!("it should be won")
    };
    let filled = cluster.fill_many(&[Fill { item: item(&key, "v"), lease: &lease }]).await.remove(0);
    assert_eq!(filled.unwrap(), Stored::Missing);
    drop(lease);
    script.finish(cluster).await;
}

/// A call, what it sends, and what a node answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Call {
    Get,
    GetMany,
    Read,
    ReadMany,
    Set,
    SetMany,
    Add,
    Delete,
    Touch,
    Increment,
    Stats,
}

impl Call {
    const ALL: [Self; 11] = [
        Self::Get,
        Self::GetMany,
        Self::Read,
        Self::ReadMany,
        Self::Set,
        Self::SetMany,
        Self::Add,
        Self::Delete,
        Self::Touch,
        Self::Increment,
        Self::Stats,
    ];

    fn request(self) -> &'static str {
        match self {
            Self::Get => GET_K,
            Self::GetMany => "get k l m\r\n",
            Self::Read => "mg k t c f v\r\n",
            Self::ReadMany => "mg k t c f v\r\nmg l t c f v\r\n",
            Self::Set => "ms k 1 T60 F1\r\nv\r\n",
            Self::SetMany => "ms k 1 T60 F1 q\r\nv\r\nms l 1 T60 F1 q\r\nv\r\nmn\r\n",
            Self::Add => "ms k 1 T60 F1 ME\r\nv\r\n",
            Self::Delete => "md k\r\n",
            Self::Touch => "mg k T60\r\n",
            Self::Increment => "ma k D1 v\r\n",
            Self::Stats => "stats\r\n",
        }
    }

    fn reply(self) -> &'static str {
        match self {
            Self::Get => "VA 3 f1\r\nabc\r\n",
            Self::GetMany => "VALUE k 1 3\r\nabc\r\nVALUE m 1 5\r\nEND\r\n\r\nEND\r\n",
            Self::Read => "VA 3 t60 c7 f1\r\nabc\r\n",
            Self::ReadMany => "VA 3 t60 c7 f1\r\nabc\r\nEN\r\n",
            Self::Set | Self::Delete | Self::Touch => "HD\r\n",
            Self::SetMany => "MN\r\n",
            Self::Add => "NS\r\n",
            Self::Increment => "VA 2\r\n10\r\n",
            Self::Stats => "STAT pid 1\r\nSTAT version 1.6.22\r\nEND\r\n",
        }
    }

    /// Whether a node that misreads it may take its data for commands.
    fn has_data(self) -> bool {
        matches!(self, Self::Set | Self::SetMany | Self::Add)
    }

    /// Whether it does no harm to send it twice.
    fn is_repeatable(self) -> bool {
        !self.has_data() && self != Self::Increment
    }

    /// How a connection begins whose first request it is.
    fn opening(self) -> [Step; 2] {
        if self.has_data() { guarded_opening() } else { opening() }
    }

    /// A connection that begins with it and goes well so far.
    fn whole(self) -> Vec<Step> {
        [self.opening(), exchange(self.request(), self.reply())].concat()
    }

    /// Makes the call, and compares what it answers with what was replied.
    async fn make(self, cluster: &Cluster) -> Result<(), Error> {
        let [k, l, m] = keys(["k", "l", "m"]);
        let found = |item: Option<Item>| item.map(|item| item.value);
        let abc = Some(Bytes::from("abc"));
        match self {
            Self::Get => assert_eq!(found(cluster.get(&k).await?), abc),
            Self::GetMany => {
                let hits = [abc, None, Some(Bytes::from("END\r\n"))];
                for (item, hit) in cluster.get_many(&[k, l, m]).await.into_iter().zip(hits) {
                    assert_eq!(found(item?), hit);
                }
            }
            Self::Read => {
                assert_eq!(found(cluster.read(&k, ReadOptions::default()).await?.item), abc);
            }
            Self::ReadMany => {
                let reads = cluster.read_many(&[k, l], ReadOptions::default()).await;
                // What came whole before a cut is good; the call as a whole is not.
                let reads: Vec<Read> = reads.into_iter().collect::<Result<_, _>>()?;
                assert_eq!(reads.into_iter().map(|read| found(read.item)).collect::<Vec<_>>(), [abc, None]);
            }
            Self::Set => cluster.set(item(&k, "v")).await?,
            Self::SetMany => {
                let failures = cluster.set_many(&[item(&k, "v"), item(&l, "v")]).await;
                assert!(failures.is_empty() || failures.len() == 2, "{failures:?}");
                failures.into_iter().try_for_each(|failure| Err(failure.error))?;
            }
            Self::Add => assert_eq!(cluster.add(item(&k, "v")).await?, Stored::Refused),
            Self::Delete => assert!(cluster.delete(&k).await?),
            Self::Touch => assert!(cluster.touch(&k, MINUTE).await?),
            Self::Increment => assert_eq!(cluster.increment(&k, 1, None).await?, Some(10)),
            Self::Stats => {
                let told = cluster.stats(None).await?.remove(0).stats?;
                assert_eq!(told[1], ("version".to_owned(), "1.6.22".to_owned()));
            }
        }
        Ok(())
    }
}

/// A connection on which `value` is read under `k`.
fn call_k(value: &str) -> Vec<Step> {
    [opening(), exchange(GET_K, &value_k(value))].concat()
}

async fn check_k(cluster: &Cluster, expected: &str) {
    assert_eq!(text(cluster.get(&key("k")).await).as_deref(), Some(expected));
}

fn value_k(value: &str) -> String {
    format!("VA {} f1\r\n{value}\r\n", value.len())
}

/// What `get` of `k` sends.
const GET_K: &str = "mg k f v\r\n";
/// What `get_many` of `k` sends.
const GET_MANY_K: &str = "get k\r\n";
/// Long enough for a connection to be looked at before its next use, not so long that it is given up.
const A_REST: Duration = Duration::from_secs(3);
/// A deadline that is meant to pass.
const A_MOMENT: Duration = Duration::from_millis(200);
const A_BLINK: Duration = Duration::from_millis(20);
