//! The larder command: local cluster, rings, discovery, a quick look at a cluster.

fn main() {}
