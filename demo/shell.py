"""Commands that end, processes that are stopped with all that they started, and what can go wrong with either."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "demo"
"""Where the demonstration keeps its database, its logs and the events that it makes."""
LARDER = str(ROOT / "target" / "debug" / "larder")

STOP_SECS = 5
"""How long a process may take to end in good order before it is killed."""


class Failed(Exception):
    """The demonstration cannot go on; says why, for a person to read."""


def run(*command: str, input: str | None = None, most_secs: float | None = None, may_find_faults: bool = False) -> str:
    """Runs `command` to its end and answers what it printed; what it complains of is seen. One that `may_find_faults` may say so
    by exit code 1, and print what it found."""
    what = " ".join(pathlib.Path(command[0]).name if part is command[0] else part for part in command[:4])
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), input=input, stdout=subprocess.PIPE, text=True, timeout=most_secs
        )
    except FileNotFoundError:
        raise Failed(f"`{what}` cannot be run: `make demo` installs what is missing") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"`{what}` did not end within {most_secs} s") from None
    has_found_faults = may_find_faults and done.returncode == 1 and done.stdout
    if done.returncode != 0 and not has_found_faults:
        raise Failed(f"`{what}` failed")
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    """Our own environment with the tools of this folder on the path. Variables of Larder are left out, so that the
    demonstration is the same everywhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}
    path = f"{ROOT / '.tools' / 'lambda' / 'bin'}{os.pathsep}{own.get('PATH', '')}"
    return {**own, "PATH": path, **more}


class Process:
    """A process in a group of its own, so that ctrl-C reaches only us and we can stop all of it.

    Made by `with`; stopped at the end of the block, whichever way that comes.
    """

    def __init__(self, *command: str, log: str, **settings: str) -> None:
        """`log` names the file in `WORK` for what it complains of."""
        self.command = command
        self.settings = settings
        self.log = (WORK / log).relative_to(ROOT)

    def __enter__(self) -> Process:
        with open(ROOT / self.log, "w") as log:
            self.child = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment(**self.settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        # Another ctrl-C must not leave half of it running.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._signal(signal.SIGTERM)
        try:
            self.child.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self.child.wait()
        signal.signal(signal.SIGINT, before)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.child.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # The whole group has ended; macOS calls that not permitted.


def run_to_log(*command: str, log: str, most_secs: float, **settings: str) -> None:
    """Runs `command`, which says much, to its end, with `settings` in its environment; all that it says goes to the file `log`
    in `WORK`."""
    what = " ".join(pathlib.Path(part).name for part in command[:2])
    try:
        with Process(*command, log=log, **settings) as process:
            said, _ = process.child.communicate(timeout=most_secs)
    except FileNotFoundError:
        raise Failed(f"`{what}` cannot be run: `make` installs what is missing") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"`{what}` did not end within {most_secs} s; see {process.log}") from None
    with open(ROOT / process.log, "a") as file:
        file.write(said)
    if process.child.returncode != 0:
        raise Failed(f"`{what}` failed; see {process.log}")
