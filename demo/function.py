"""A function under `cargo lambda watch`, and requests to it through `cargo lambda invoke`."""

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
    headers: dict[str, str]
    body: str
    millis: float
    """How long the function took, by its own metrics."""

    @property
    def cache(self) -> str:
        """Where the record came from, for a batch where the costliest came from; what became of it, for a write."""
        return self.headers.get("x-cache", "-")

    @property
    def counts(self) -> str:
        """For a batch: how many came from where."""
        return self.headers.get("x-cache-counts", "")

    @property
    def nodes(self) -> tuple[str, ...]:
        """`host:port` of each node that answered."""
        return tuple(filter(None, self.headers.get("x-cache-node", "").split(", ")))

    @property
    def version(self) -> str:
        """The version of the record."""
        return self.headers.get("x-record-version", "")


class Function:
    """The function called `name`, told by `settings` what it needs to know. Made by `with`."""

    def __init__(self, name: str, **settings: str) -> None:
        self.name = name
        self.address = ("--invoke-address", "127.0.0.1", "--invoke-port", str(free_port()))
        watch = ("cargo", "lambda", "watch", "--ignore-changes", "--bin", name)
        self.process = Process(*watch, *self.address, log=f"{name}.log", **settings)
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
        """Sends the request of `events/EVENT.json` and answers what comes back."""
        return self._answer(self.invoke_file(str(ROOT / "events" / f"{event}.json")))

    def ask_for_flight(self, id: str, query: str = "") -> Answer:
        """Sends the event `one-record` for another flight."""
        return self.request("GET", id, query)

    def request(self, method: str, id: str, query: str = "", body: dict | None = None, **headers: str) -> Answer:
        """Sends a request about the flight `id`; an underscore in the name of a header stands for a hyphen."""
        event = json.loads((ROOT / "events" / "one-record.json").read_text())
        event["routeKey"] = event["requestContext"]["routeKey"] = f"{method} /records/{{table}}/{{id}}"
        event["requestContext"]["http"]["method"] = method
        event["rawPath"] = event["requestContext"]["http"]["path"] = f"/records/flights/{id}"
        event["pathParameters"] = {"table": "flights", "id": id}
        event["rawQueryString"] = query
        event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            event["headers"]["content-type"] = "application/json"
            event["body"], event["isBase64Encoded"] = json.dumps(body), False
        return self._answer(self.invoke(event))

    def get(self, path: str, **headers: str) -> Answer:
        """Sends a request for `path`; an underscore in the name of a header stands for a hyphen."""
        event = json.loads((ROOT / "events" / "one-record.json").read_text())
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event.pop("pathParameters")
        event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._answer(self.invoke(event))

    def invoke(self, event: dict) -> dict:
        """Hands `event` over and answers what comes back."""
        file = WORK / f"{self.name}-event.json"
        file.write_text(json.dumps(event))
        return self.invoke_file(str(file))

    def invoke_file(self, file: str) -> dict:
        """Hands the event in `file` over and answers what comes back."""
        invoke = ("cargo", "lambda", "invoke", self.name, *self.address, "--data-file", file)
        try:
            return json.loads(run(*invoke, most_secs=ANSWER_SECS))
        except Failed as failure:
            raise Failed(f"{failure}; see {self.process.log}") from None

    def _answer(self, answer: dict) -> Answer:
        if "statusCode" not in answer:
            raise Failed(f"the function answered {answer}; see {self.process.log}")
        millis = self._next_metrics()["Duration"]
        return Answer(answer["statusCode"], answer["headers"], answer.get("body") or "", millis)

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
