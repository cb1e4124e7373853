//! The local side, against a real local cluster and its control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use larder_control::{ClusterStatus, ControlError, ControlPlane, Local, Node, NodeId, NodeStatus};
use larder_local::{Control, LocalCluster, Options};
use tempfile::TempDir;

#[tokio::test]
async fn a_local_cluster_is_told_with_its_nodes() {
    let house = House::start(2).await;
    house.nodes.pause_node(larder_local::NodeId(2)).await.unwrap();
    let state = house.with(|control| async move { control.describe().await }).await.unwrap();

    assert_eq!(
        (state.id.as_str(), state.status.clone(), state.node_count),
        ("larder", ClusterStatus::Available, 2)
    );
    let listed = house.nodes.nodes();
    let node = |at: usize, status| Node {
        id: NodeId::new(listed[at].id.to_string()),
        status,
        endpoint: Some((listed[at].name.clone(), listed[at].port)),
    };
    assert_eq!(
        state.nodes,
        [node(0, NodeStatus::Available), node(1, NodeStatus::Other("paused".to_owned()))]
    );
    assert_eq!(state.engine_version, listed[0].version);
    assert!(state.takes_changes() && state.topic.is_none() && !state.has_tls);
}

#[tokio::test]
async fn nodes_are_added_until_there_are_enough_and_no_further() {
    let house = House::start(1).await;
    house.with(|control| async move { control.grow_to(3).await }).await.unwrap();
    assert_eq!(house.ids(), ["0001", "0002", "0003"]);
    house.with(|control| async move { control.grow_to(3).await }).await.unwrap();
    house.with(|control| async move { control.grow_to(2).await }).await.unwrap();
    assert_eq!(house.ids().len(), 3);
}

#[tokio::test]
async fn exactly_the_named_nodes_go() {
    let house = House::start(4).await;
    let ids = ["0003", "0001"].map(NodeId::new);
    house.with(|control| async move { control.remove_nodes(&ids, 2).await }).await.unwrap();
    assert_eq!(house.ids(), ["0002", "0004"]);
}

#[tokio::test]
async fn a_removal_that_does_not_fit_the_nodes_changes_nothing() {
    let house = House::start(3).await;
    for (ids, left) in [(&["0003"][..], 1), (&["0003"], 3), (&["0009"], 2), (&["0003", "0003"], 1)] {
        let ids: Vec<_> = ids.iter().map(|id| NodeId::new(*id)).collect();
        let refused = house.with(|control| async move { control.remove_nodes(&ids, left).await }).await;
        assert!(matches!(refused, Err(ControlError::Refused(_))), "{refused:?}");
    }
    assert_eq!(house.ids().len(), 3);
}

#[tokio::test]
async fn what_the_cluster_refuses_is_told_in_its_own_words() {
    let house = House::start(39).await;
    let refused = house.with(|control| async move { control.grow_to(42).await }).await.unwrap_err();
    let ControlError::NoAnswer(cause) = refused else { panic!("{refused:?}") };
    assert!(cause.to_string().contains("1 to 40 nodes"), "{cause}");
    let refused = house.with(|control| async move { control.grow_to(41).await }).await.unwrap_err();
    assert!(matches!(&refused, ControlError::Refused(why) if why.contains("1 to 40 nodes")), "{refused:?}");
}

#[tokio::test]
async fn without_a_cluster_nothing_was_done_and_the_error_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let control = control(dir.path());
    for error in [control.describe().await.map(drop), control.grow_to(2).await].map(Result::unwrap_err) {
        assert!(matches!(error, ControlError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_or_never_comes_leaves_doubt() {
    for (answer, expected) in
        [("", "NoAnswer"), ("{\"status\":{}}\n", "Malformed"), ("{\"status\":", "Malformed")]
    {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(client.try_clone().unwrap()).read_line(&mut request).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
            request
        });
        let error = control(dir.path()).describe().await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected) && error.leaves_doubt(), "{answer}: {error:?}");
        assert_eq!(server.join().unwrap(), "{\"do\":\"status\"}\n");
    }
}

#[tokio::test]
async fn a_local_cluster_remembers_no_events() {
    let control = control(Path::new("/nowhere"));
    assert_eq!(control.events(Duration::from_secs(60)).await.unwrap(), []);
}

/// A cluster and the directory with its control socket.
struct House {
    nodes: LocalCluster,
    dir: TempDir,
}

impl House {
    async fn start(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { nodes, dir: Some(dir.path().to_owned()), ..Options::default() };
        Self { nodes: LocalCluster::start(options).await.unwrap(), dir }
    }

    /// Has `work` done with a control plane that reaches the cluster.
    async fn with<T, F: Future<Output = T>>(&self, work: impl FnOnce(ControlPlane) -> F) -> T {
        let socket = Control::open(&self.nodes).unwrap();
        tokio::select! {
            never = socket.serve(&self.nodes) => match never {},
            done = work(control(self.dir.path())) => done,
        }
    }

    fn ids(&self) -> Vec<String> {
        self.nodes.nodes().iter().map(|node| node.id.to_string()).collect()
    }
}

fn control(dir: &Path) -> ControlPlane {
    ControlPlane::Local(Local::new(dir.join("control.sock")))
}
