"""The function `read` under `cargo lambda watch`, and requests to it through `cargo lambda invoke`."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from dataclasses import dataclass

from shell import ROOT, WORK, Failed, Process, run

START_SECS = 30
"""How long the runtime may take to be ready."""
ANSWER_SECS = 30
"""How long a request may take, with the start of the function and all that surrounds it."""


@dataclass(frozen=True)
class Answer:
    """What the function answered."""

    status: int
    cache: str
    """Header `x-cache`: where the record came from; for a batch, where the costliest came from."""
    counts: str
    """Header `x-cache-counts`: for a batch, how many came from where."""
    nodes: tuple[str, ...]
    """Header `x-cache-node`: `host:port` of each node that answered."""
    millis: float
    """How long the function took, by its own metrics."""


class Function:
    """The function, told by `settings` what it needs to know. Made by `with`."""

    def __init__(self, **settings: str) -> None:
        self.address = ("--invoke-address", "127.0.0.1", "--invoke-port", str(free_port()))
        watch = ("cargo", "lambda", "watch", "--ignore-changes", "--bin", "read")
        self.process = Process(*watch, *self.address, log="function.log", **settings)
        self.metrics: queue.Queue[dict] = queue.Queue()

    def __enter__(self) -> Function:
        self.process.__enter__()
        try:
            threading.Thread(target=self._read_metrics, daemon=True).start()
            self._wait_until_it_listens()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()

    def send(self, event: str) -> Answer:
        """Sends `events/EVENT.json` and answers what comes back."""
        return self._send_file(str(ROOT / "events" / f"{event}.json"))

    def ask_for_flight(self, id: str) -> Answer:
        """Sends the event `one-record` for another flight."""
        event = json.loads((ROOT / "events" / "one-record.json").read_text())
        path = f"/records/flights/{id}"
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["pathParameters"]["id"] = id
        file = WORK / "another-record.json"
        file.write_text(json.dumps(event))
        return self._send_file(str(file))

    def _send_file(self, file: str) -> Answer:
        invoke = ("cargo", "lambda", "invoke", "read", *self.address, "--data-file", file)
        try:
            answer = json.loads(run(*invoke, most_secs=ANSWER_SECS))
        except Failed as failure:
            raise Failed(f"{failure}; see {self.process.log}") from None
        if "statusCode" not in answer:
            raise Failed(f"the function answered {answer}; see {self.process.log}")
        headers = answer["headers"]
        return Answer(
            status=answer["statusCode"],
            cache=headers.get("x-cache", "-"),
            counts=headers.get("x-cache-counts", ""),
            nodes=tuple(filter(None, headers.get("x-cache-node", "").split(", "))),
            millis=self._next_metrics()["Duration"],
        )

    def _read_metrics(self) -> None:
        """Takes the line of metrics that every request leaves; the rest of what is printed goes to the log."""
        with open(ROOT / self.process.log, "a") as log:
            for line in self.process.child.stdout:
                if line.startswith('{"_aws"'):
                    self.metrics.put(json.loads(line))
                else:
                    log.write(line)
                    log.flush()

    def _next_metrics(self) -> dict:
        try:
            return self.metrics.get(timeout=ANSWER_SECS)
        except queue.Empty:
            raise Failed(f"the function wrote no metrics; see {self.process.log}") from None

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECS
        port = int(self.address[-1])
        while time.monotonic() < deadline and self.process.child.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"`cargo lambda watch` did not start; see {self.process.log}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
