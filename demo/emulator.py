"""AWS on the own machine: MiniStack on a loopback port, which runs a deployed function as a process."""

from __future__ import annotations

import os
import tempfile
import time
import urllib.error
import urllib.request

import boto3

from function import free_port
from shell import ROOT, Failed, Process

REGION = "eu-west-1"
START_SECS = 60
"""How long MiniStack may take to be ready; a second, usually."""


class Emulator:
    """MiniStack, and nothing but it: while this lives, neither we nor what we start can reach anybody's account.

    Made by `with`; gone with all functions that run in it, and all that it wrote, at the end of the block.
    """

    def __init__(self, **settings: str) -> None:
        """`settings` are variables that MiniStack hands on to every function, beside those of the template."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = tempfile.TemporaryDirectory(prefix="larder-emulator-")
        forget_accounts()
        os.environ.update(
            AWS_ENDPOINT_URL=self.url,
            AWS_DEFAULT_REGION=REGION,
            AWS_ACCESS_KEY_ID="nobody",
            AWS_SECRET_ACCESS_KEY="nothing",
            # The files that tell accounts, and the machine that would.
            AWS_CONFIG_FILE=os.devnull,
            AWS_SHARED_CREDENTIALS_FILE=os.devnull,
            AWS_EC2_METADATA_DISABLED="true",
            SAM_CLI_TELEMETRY="0",
            NO_PROXY="127.0.0.1,localhost",
            no_proxy="127.0.0.1,localhost",
        )
        self.process = Process(
            str(ROOT / ".tools" / "emulator" / "bin" / "ministack"),
            log="emulator.log",
            BIND_HOST="127.0.0.1",
            GATEWAY_PORT=str(self.port),
            MINISTACK_REGION=REGION,
            LAMBDA_EXECUTOR="local",
            LAMBDA_STRICT="0",
            PERSIST_STATE="0",
            TMPDIR=self.folder.name,
            **settings,
        )

    def __enter__(self) -> Emulator:
        self.process.__enter__()
        try:
            self._wait_until_it_answers()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()
        self.folder.cleanup()

    def client(self, service: str):
        """A client of `service`, such as `lambda`, as boto3 makes it."""
        return boto3.client(service)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECS
        while time.monotonic() < deadline and self.process.child.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=5).close()
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise Failed(f"MiniStack did not start; see {self.process.log}")


def forget_accounts() -> None:
    """Takes out of our environment what says whose account is meant, and where."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
