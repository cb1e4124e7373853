"""A local cluster, held by `larder local up`."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from dataclasses import dataclass

from shell import LARDER, Failed, Process, run


@dataclass(frozen=True)
class Node:
    """A node as the cluster tells it."""

    id: str
    name: str
    ip: str
    port: int
    pid: int

    @property
    def address(self) -> str:
        """`host:port`, as the function names it."""
        return f"{self.name}:{self.port}"


class Cluster:
    """Three nodes at first. Made by `with`."""

    name = "demo"
    """ElastiCache would say: the cluster's id."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="larder-")
        self.place = ("--name", self.name, "--dir", self.folder.name)
        up = ("local", "up", "--nodes", "3", "--port", "0", "--json")
        self.process = Process(LARDER, *up, *self.place, log="cluster.log")

    def __enter__(self) -> Cluster:
        self.process.__enter__()
        try:
            line = self.process.child.stdout.readline()
            if not line:
                raise Failed(f"the local cluster did not start; see {self.process.log}")
            self.status = json.loads(line)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()
        self.folder.cleanup()

    @property
    def nodes(self) -> list[Node]:
        """The listed nodes, sorted by name."""
        fields = ("id", "name", "ip", "port", "pid")
        return [Node(**{field: node[field] for field in fields}) for node in self.status["nodes"]]

    def kill(self, node: Node) -> None:
        """Kills the memcached of `node`, which stays listed, as on ElastiCache until its replacement is there."""
        os.kill(node.pid, signal.SIGKILL)

    def reboot(self, node: Node) -> None:
        """Has `node` run again, empty."""
        run(LARDER, "local", "reboot-node", node.id, *self.place)
        self.status = json.loads(run(LARDER, "local", "status", "--json", *self.place))

    def owner(self, key: str) -> Node:
        """The node that owns `key`."""
        nodes = [part for node in self.nodes for part in ("--node", node.address)]
        [index] = run(LARDER, "ring", "owners", "--ring", "ketama", *nodes, input=f"{key}\n").split()
        return self.nodes[int(index)]

    def add_node(self) -> Node:
        """Adds a node and answers it."""
        known = {node.id for node in self.nodes}
        run(LARDER, "local", "add-node", *self.place)
        self.status = json.loads(run(LARDER, "local", "status", "--json", *self.place))
        return next(node for node in self.nodes if node.id not in known)

    def flight_on(self, owner: Node) -> str:
        """The id of a flight that `owner` owns now."""
        ids = [str(id) for id in range(1, MOST_IDS)]
        nodes = [part for node in self.nodes for part in ("--node", node.address)]
        keys = "".join(f"flights:{id}\n" for id in ids)
        owners = run(LARDER, "ring", "owners", "--ring", "ketama", *nodes, input=keys).split()
        return next(id for id, index in zip(ids, owners) if self.nodes[int(index)] == owner)


MOST_IDS = 1000
"""Enough for any node to own one of them."""
