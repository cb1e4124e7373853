"""The chapter in which flights change, and nobody reads an old one."""

from __future__ import annotations

import json
import shutil

from cluster import Cluster
from flights import DATABASE
from function import Answer, Function
from shell import LARDER, WORK, run

FLIGHT = "17"
KEY = f"flights:{FLIGHT}"
QUEUE = WORK / "invalidations"
"""Where an invalidation goes that failed; SQS, where there is AWS."""
WIDTHS = (62, 6, 10, 8)


def tell_of_writes(cluster: Cluster, settings: dict[str, str]) -> bool:
    """Changes a flight and reads it; answers whether it came out. `settings` are those of a function in front of `cluster`."""
    print(
        f"\nA flight is changed by the function `write`, in a copy of the database, and read by the function `read`. The cache holds"
        "\nthe versions of rows: what is old is not stored over what is new, and a writer says what it has written.\n"
    )
    database = WORK / "written.db"
    shutil.copyfile(DATABASE, database)
    shutil.rmtree(QUEUE, ignore_errors=True)
    settings = {**settings, "LARDER_ORIGIN_URL": f"sqlite:{database}"}
    with Function("read", **settings) as read, Function(
        "write", **settings, LARDER_INVALIDATION_QUEUE=f"file:{QUEUE}"
    ) as write:
        return tell(cluster, read, write)


def tell(cluster: Cluster, read: Function, write: Function) -> bool:
    table = Table()
    table.row("GET    a flight that nobody has asked for", read.ask_for_flight(FLIGHT), 200, "miss", "1")
    late = {"dep_delay": 99}
    table.row("PATCH  it is late: changed in the database, and in the cache", patch(write, late), 200, "stored", "2")
    table.row("GET    the new one, without asking the database", read.ask_for_flight(FLIGHT), 200, "hit", "2")
    once = patch(write, {"dep_delay": 120}, idempotency_key="demo-1")
    table.row("PATCH  it is later, with an Idempotency-Key", once, 200, "stored", "3")
    again = patch(write, {"dep_delay": 120}, idempotency_key="demo-1")
    table.row("PATCH  the same request again: nothing is done twice", again, 200, "forgotten", "3")
    table.row("PATCH  what has another version by now (If-Match: 1)", patch(write, late, if_match='"1"'), 412, "-")
    table.row("GET    no older than 3 (min-version=3)", read.ask_for_flight(FLIGHT, "min-version=3"), 200, "miss", "3")

    owner = cluster.owner(KEY)
    print(f"\nNode {owner.id}, which has the flight, is killed.")
    cluster.kill(owner)
    queued = patch(write, {"dep_delay": 130})
    table.row("PATCH  the cache cannot be told: to the queue", queued, 200, "queued", "4")
    cluster.reboot(owner)
    endpoint = ("--config-endpoint", cluster.status["config_endpoint"], "--hosts-file", cluster.status["hosts_file"])
    print(f"\nIt is back, and the queue is worked off: {run(LARDER, 'invalidate', '--queue', f'file:{QUEUE}', *endpoint).strip()}")
    table.row("GET    the latest", read.ask_for_flight(FLIGHT), 200, "miss", "4")
    table.row("DELETE it", write.request("DELETE", FLIGHT), 204, "forgotten")
    table.row("GET    what is gone", read.ask_for_flight(FLIGHT), 404, "miss")
    return table.is_as_told


def patch(write: Function, change: dict, **headers: str) -> Answer:
    return write.request("PATCH", FLIGHT, body=change, **headers)


class Table:
    """Prints a row for every request, and keeps in mind whether one was answered otherwise than the story says."""

    def __init__(self) -> None:
        self.is_as_told = True
        print_line("what is asked", "status", "cache", "version", "   ms")
        print_line(*("-" * width for width in WIDTHS), "-" * 5)

    def row(self, what: str, answer: Answer, status: int, cache: str, version: str = "") -> None:
        print_line(what, str(answer.status), answer.cache, answer.version or "-", f"{answer.millis:5.1f}")
        if (answer.status, answer.cache, answer.version) != (status, cache, version):
            self.is_as_told = False
            print(f"^ was to be {status} {cache} {version}: {json.dumps(answer.headers)} {answer.body}")


def print_line(*cells: str) -> None:
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS)]
    print("  ".join([*padded, *cells[len(WIDTHS) :]]).rstrip(), flush=True)
