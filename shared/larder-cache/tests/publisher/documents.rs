//! What the nodes hold: nothing, nonsense, what is old, and what is too new.

use larder_cache::PublishError;
use larder_local::NodeId;
use larder_ring::{Epoch, Phase, RingDocument};

use crate::support::*;

#[tokio::test]
async fn what_cannot_be_read_is_replaced_by_what_other_nodes_hold() {
    let (local, document) = settled(3).await;
    for (id, bytes) in [(1, &b"{}"[..]), (2, &[0xff; 100])] {
        place_bytes(&local, NodeId(id), bytes, 7).await;
    }
    check(&finish(&publisher(&local)).await, &[], "123");
    all_hold(&document, &held(&local).await);
}

#[tokio::test]
async fn where_no_node_holds_a_document_that_can_be_read_there_is_a_first_one() {
    let local = start(2).await;
    place_bytes(&local, NodeId(1), b"nonsense", 7).await;
    let begun = now_ms() / 1000;
    let report = finish(&publisher(&local)).await;
    check(&report, &[Phase::Active], "12");
    let document = report.document.unwrap();
    assert!(document.epoch >= Epoch::first(begun) && document.epoch <= Epoch::first(now_ms() / 1000));
    all_hold(&document, &held(&local).await);
}

#[tokio::test]
async fn a_document_of_a_later_format_is_left_alone_and_so_are_the_others() {
    let (local, document) = settled(3).await;
    let later = br#"{"larder_ring":2,"epoch":1764096015,"shards":[]}"#;
    place_bytes(&local, NodeId(2), later, 7).await;
    local.add_node().await.unwrap();
    let run = publisher(&local).reconcile(soon()).await;
    assert!(matches!(run, Err(PublishError::Format(2))), "{run:?}");
    let found = publisher(&local).document(soon()).await;
    assert!(matches!(found, Err(PublishError::Format(2))), "{found:?}");
    assert_eq!(ask(endpoint(&local, NodeId(2)), b"mg larder~ring f s\r\n").await, "HD f7 s48");
    assert_eq!(held(&local).await[0].1, Some(document));
    assert_eq!(held(&local).await[3].1, None);
}

#[tokio::test]
async fn of_two_documents_under_one_epoch_the_later_one_is_put_on_all_nodes_and_taken_by_all() {
    let (local, one) = settled(3).await;
    let environment = client(&local);
    look(&environment).await;
    let two = RingDocument { time_ms: one.time_ms + 1, ..one.clone() };
    place_on(&local, local.nodes()[1].clone(), &two).await;

    let (first, second) = (publisher(&local), publisher(&local));
    let (first, second) = tokio::join!(finish(&first), finish(&second));
    assert_eq!([first.published, second.published].concat(), []);
    assert_eq!((first.document.as_ref(), second.document.as_ref()), (Some(&two), Some(&two)));
    all_hold(&two, &held(&local).await);
    until("the environment takes it", || async {
        look(&environment).await;
        environment.ring_document().await.unwrap().as_ref() == Some(&two)
    })
    .await;
}

#[tokio::test]
async fn a_node_with_an_old_document_gets_the_one_in_force() {
    let (local, old) = settled(3).await;
    let new = RingDocument { epoch: old.epoch.next(), ..old.clone() };
    for id in [1, 3] {
        // The newest is on one node alone: a run has ended after its first store.
        place(&local, &old).await;
        place_on(&local, local.nodes()[id - 1].clone(), &new).await;
        check(&finish(&publisher(&local)).await, &[], "123");
        all_hold(&new, &held(&local).await);
    }
}

#[tokio::test]
async fn a_fleet_that_lost_all_documents_goes_on_above_what_its_environments_remember() {
    let (local, document) = settled(2).await;
    let environment = client(&local);
    look(&environment).await;
    reboot_all(&local).await;
    look(&environment).await;
    assert_eq!(
        environment.ring_document().await.unwrap().as_ref(),
        Some(&document),
        "it keeps what it knows"
    );

    let report = finish(&publisher(&local)).await;
    check(&report, &[Phase::Active], "12");
    until("the environment follows", || async {
        look(&environment).await;
        environment.ring_document().await.unwrap() == report.document
    })
    .await;
}

#[tokio::test]
async fn a_publisher_that_remembers_the_last_document_puts_it_back() {
    // In the middle of a change, and under an epoch ahead of the clock: a first document would be older than what the
    // environments remember, and they would never go by it.
    let (local, document) = growing(2, Phase::Warming).await;
    let ahead = Epoch::new((now_ms() / 1000 + 1000) | 2).unwrap();
    let document = RingDocument { epoch: ahead, history: document.history[..1].to_vec(), ..document };
    place(&local, &document).await;
    let publisher = publisher(&local);
    assert_eq!(publisher.document(soon()).await.unwrap().as_ref(), Some(&document));
    reboot_all(&local).await;

    let report = finish(&publisher).await;
    check(&report, &STEPS[2..], "123");
    assert_eq!(report.published[0].epoch, ahead.next());
}

#[tokio::test]
async fn a_document_lives_for_thirty_days_and_is_published_anew_after_ten() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let (local, document) = settled(2).await;
    for (age_ms, published) in [(10 * DAY_MS - 60_000, &[][..]), (10 * DAY_MS + 1, &[Phase::Active])] {
        let document = RingDocument { time_ms: now_ms() - age_ms, ..document.clone() };
        place(&local, &document).await;
        let report = finish(&publisher(&local)).await;
        check(&report, published, "12");
        let now = report.document.unwrap();
        assert_eq!((&now.nodes, &now.history), (&document.nodes, &document.history));
        all_hold(&now, &held(&local).await);
    }
    let left = ask(endpoint(&local, NodeId(2)), b"mg larder~ring t\r\n").await;
    let left: u64 = left.strip_prefix("HD t").unwrap().parse().unwrap();
    assert!((30 * 24 * 3600 - 10..=30 * 24 * 3600).contains(&left), "{left} s");
}
