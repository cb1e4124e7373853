"""Tells in tables how flights are read, written and ranked through memcached nodes that the functions find by themselves, what one
hot key costs while those who load it die, and what a change of nodes costs under load.

`make demo` runs it after `tools/prepare compiler memcached lambda`. What it starts it stops, whichever way it ends.
Exit code: 0 if the story came out as told, 1 if not or if it could not be told, 130 after ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import time

from changes import tell_of_changes
from cluster import Cluster, Node
from flights import DATABASE, load_flights
from function import Answer, Function
from lists import tell_of_lists
from shell import Failed, run
from stampede import tell_of_a_stampede
from table import Table, short
from writes import tell_of_writes

INTERVAL_SECS = 5
"""How old the function lets its list of nodes grow; 60 where nobody says otherwise."""
SLACK_SECS = 2
"""What a request on a busy machine may add to that."""
STAMPEDE_SEED = 8
"""One with which some of those who load die."""


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        build()
        with Cluster() as cluster:
            with Function("read", **settings_in_front_of(cluster)) as function:
                is_as_told = tell(cluster, function)
        with Cluster() as cluster:
            is_as_told = tell_of_writes(cluster, settings_in_front_of(cluster)) and is_as_told
            is_as_told = tell_of_lists(settings_in_front_of(cluster)) and is_as_told
        is_as_told = tell_of_a_stampede(STAMPEDE_SEED) and is_as_told
        is_as_told = tell_of_changes("--ring-check-interval-ms", "500", "--warm-secs", "5") and is_as_told
        if not is_as_told:
            raise Failed("the story did not come out as told")
        print("\nEverything is stopped. Read on in README.md; the functions' logs are in target/demo.")
        return 0
    except Failed as failure:
        print(f"\ndemo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted, everything is stopped", file=sys.stderr)
        return 130


def build() -> None:
    """Builds what is run, and loads the flights where that has not been done."""
    print("Building; the first time takes a few minutes.", flush=True)
    # All binaries in one go, as `cargo lambda watch` builds them, so that it finds them built.
    run("cargo", "build", "--quiet", "--bins")
    load_flights()


def settings_in_front_of(cluster: Cluster) -> dict[str, str]:
    """What functions for records are told."""
    return {
        "LARDER_CONFIG_ENDPOINT": cluster.status["config_endpoint"],
        "LARDER_HOSTS_FILE": cluster.status["hosts_file"],
        "LARDER_DISCOVERY_INTERVAL_SECS": str(INTERVAL_SECS),
        "LARDER_ORIGIN_URL": f"sqlite:{DATABASE}",
        "LARDER_TABLES": "flights:id:version=version,airports:faa,airlines:carrier,planes:tailnum",
    }


def tell(cluster: Cluster, function: Function) -> bool:
    """Tells the story; answers whether it came out."""
    print(
        "\nThree memcached nodes with a configuration endpoint, 27,004 flights in SQLite, and the function `read`, which is"
        "\ntold the endpoint and finds the nodes. Each line is an event, sent by `cargo lambda invoke`; ms is the time in"
        "\nthe function, a debug build.\n"
    )
    table = Table()
    first = function.send("one-record")
    table.row("a flight that nobody has asked for, and a cold start", first, 200, "miss")
    owner = next(node for node in cluster.nodes if node.address in first.nodes)
    table.row("the same again", function.send("one-record"), 200, "hit", owner.id)
    table.row("five flights: one known, one twice, one unknown", function.send("batch"), 200, "miss")
    table.row("the same again", function.send("batch"), 200, "hit")
    table.row("an airport that does not exist", function.send("not-found"), 404, "miss")
    table.row("the same again: that there is none is kept, too", function.send("not-found"), 404, "hit")

    print(f"\nNode {owner.id} is killed.")
    cluster.kill(owner)
    table.row("the first flight, which it held: from SQLite", function.send("one-record"), 200, "bypass")
    table.row(f"the five: only what node {owner.id} held from SQLite", function.send("batch"), 200, "bypass")

    print("\nA node is added", end=" ... ", flush=True)
    added = cluster.add_node()
    flight = cluster.flight_on(added)
    answer, secs = ask_until_found(function, flight, added)
    print(f"and found {secs:.1f} s later, in passing. (At most {INTERVAL_SECS} s; sooner if a node has failed.)")
    table.row(f"flight {flight}, which is now on node {added.id}", answer, 200, "miss", added.id)
    table.row("the same again", function.ask_for_flight(flight), 200, "hit", added.id)
    return table.is_as_told


def ask_until_found(function: Function, flight: str, node: Node) -> tuple[Answer, float]:
    """Asks for `flight` until `node` answers; how many seconds that took."""
    started = time.monotonic()
    while True:
        answer = function.ask_for_flight(flight)
        secs = time.monotonic() - started
        if node.address in answer.nodes:
            return answer, secs
        if secs > INTERVAL_SECS + SLACK_SECS:
            raise Failed(f"node {node.id} was not found; node {' '.join(map(short, answer.nodes))} answered")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
