//! The control socket: the changes that another process asks for.

use crate::support::{check, config_reply};
use larder_local::{AskError, Control, LocalCluster, LocalError, NodeId, Options, Request, Status, ask};
use std::path::{Path, PathBuf};

#[tokio::test]
async fn changes_asked_over_the_socket_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster_in(dir.path()).await;
    let control = Control::open(&cluster).unwrap();
    tokio::select! {
        never = control.serve(&cluster) => match never {},
        () = async {
            let status = asked(dir.path(), Request::AddNode).await.unwrap();
            assert_eq!((status.config_version, status.nodes.len()), (2, 2));
            asked(dir.path(), Request::RebootNode { node: NodeId(2) }).await.unwrap();
            let status = asked(dir.path(), Request::RemoveNode { node: Some(NodeId(1)) }).await.unwrap();
            assert_eq!(status.nodes[0].id, NodeId(2));
            assert_eq!(asked(dir.path(), Request::Status).await.unwrap(), cluster.status());
        } => {}
    }
    check(cluster.config_endpoint(), b"config get cluster\r\n", &config_reply(&cluster, 3));
}

#[tokio::test]
async fn a_change_that_cannot_be_made_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster_in(dir.path()).await;
    let control = Control::open(&cluster).unwrap();
    tokio::select! {
        never = control.serve(&cluster) => match never {},
        error = asked(dir.path(), Request::ReplaceNode { node: NodeId(9) }) => match error {
            Err(AskError::Refused(reason)) => assert!(reason.contains("there is no node 0009"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn without_a_cluster_the_error_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = asked(dir.path(), Request::Status).await.unwrap_err();
    assert!(
        matches!(error, AskError::NoCluster { .. }) && error.to_string().contains("larder local up"),
        "{error}"
    );
}

#[tokio::test]
async fn one_directory_holds_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let first = cluster_in(dir.path()).await;
    let second = LocalCluster::start(options(dir.path())).await;
    assert!(matches!(second, Err(LocalError::AlreadyRunning(_))), "{second:?}");
    drop(first);
    cluster_in(dir.path()).await;
}

async fn cluster_in(dir: &Path) -> LocalCluster {
    LocalCluster::start(options(dir)).await.unwrap()
}

fn options(dir: &Path) -> Options {
    Options { nodes: 1, dir: Some(dir.to_owned()), ..Options::default() }
}

/// Asks on a thread of its own, as another process would.
async fn asked(dir: &Path, request: Request) -> Result<Status, AskError> {
    let dir: PathBuf = dir.to_owned();
    tokio::task::spawn_blocking(move || ask(&dir, &request)).await.unwrap()
}
