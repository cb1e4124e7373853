//! Write-through of a key that moves to another owner.

use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Cache, Loaded, OriginGuard, Policy, Written};
use larder_client::Ttl;
use larder_local::LocalCluster;
use larder_ring::Phase;

use crate::support::*;

#[tokio::test]
async fn a_newer_value_at_one_owner_does_not_leave_an_older_one_at_the_other() {
    let (local, document) = growing(2, Phase::Leaving).await;
    let key = moving_key(&document, 1, 3);
    let policy = Policy { grace: Duration::ZERO, ..Policy::fresh_for(Ttl::clamped(600)) };
    let (reader, writer) = (environment(&local), environment(&local));
    let load = || async { Ok::<_, ()>(Some(Loaded::raw("of 9").of_version(9))) };
    let (answer, counts) = reader.get_or_load(&key, &policy, soon(), load).await;
    assert_eq!((answer.unwrap().value, counts.fills), (Some(Bytes::from("of 9")), 1));
    // Where readers look that do not know the phase yet.
    let before = &local.nodes()[0];
    assert_eq!(ask(before.endpoint, format!("ms {key} 3 F1 T600\r\nold\r\n").as_bytes()).await, "HD");

    let intent = writer.intend(&key, &policy, soon()).await;
    let written = writer.written(intent, &Loaded::raw("of 5").of_version(5), &policy, soon()).await;
    assert_eq!(written.unwrap(), Written::Forgotten);
    for node in local.nodes() {
        assert_eq!(ask(node.endpoint, format!("mg {key}\r\n").as_bytes()).await, "EN", "{}", node.name);
    }
}

fn environment(local: &LocalCluster) -> Cache {
    Cache::new(client(local), OriginGuard::new(4))
}
