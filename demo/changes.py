"""The chapter in which nodes come and go under load."""

from __future__ import annotations

import json

from shell import LARDER, run
from spark import spark

TOLD = {
    "add": "a node is added",
    "remove": "it is removed",
    "replace": "a node is replaced",
    "kill": "a node is killed",
}
"""The changes, in their order, and what a row calls them."""
SECS = 5
"""How long each change is watched before and after."""
MOST_SECS = 240
"""How long all of it may take."""
DIP = 0.35
"""How far below the steady hit ratio the lowest bar stands."""
WIDTHS = (20, 10, 40, 13, 10, 6)


def tell_of_changes(*options: str) -> bool:
    """Changes nodes under load, and prints a table of what that cost; answers whether nothing went wrong.

    `options` are passed on to `larder bench reconfigure`.
    """
    print(
        "\nFour nodes under the load of eight environments, which read and write the flights and are frozen now and then."
        "\nThe ring is published as the function `ring-refresh` does, and each environment finds that in passing. Each change"
        f"\nis watched for {SECS} s before and after. The killed node is replaced after half of that. Takes a minute.\n",
        flush=True,
    )
    bench = ("bench", "reconfigure", "--change", ",".join(TOLD), "--seconds", str(SECS))
    report = json.loads(run(LARDER, *bench, *options, most_secs=MOST_SECS, may_find_faults=True))
    steady = report["hit_ratio_before"]
    print()
    print_row("", "all follow", "hit ratio", "origin calls", "old values", "errors")
    print_row(*("-" * width for width in WIDTHS))
    for change in report["changes"]:
        print_row(TOLD[change["change"]], *cells_of(change, steady))
    print(
        f"\nHit ratio: a bar for each half second before | after, █ {steady:.0%} and ▁ {steady - DIP:.0%}; "
        "5 % of all operations are writes, and\neach of them makes a miss. Origin calls: before, after. "
        f"Checked were {report['operations']:,} operations."
    )
    wrong = ("stale_reads", "version_regressions", "wrong_reads", "errors", "not_converged")
    return not any(report[field] for field in wrong)


def cells_of(change: dict, steady: float) -> list[str]:
    """What a row says of a change."""
    converged, calls = change["converged_ms"], change["origin_calls"]
    sides = (spark(change["hit_ratio"][side], steady - DIP, steady) for side in ("before", "after"))
    old = change["stale_reads"] + change["version_regressions"] + change["wrong_reads"]
    return [
        "not all" if change["not_converged"] else "-" if converged is None else f"{converged / 1000:.1f} s",
        "|".join(sides),
        f"{calls['before']:,} {calls['after']:,}",
        str(old),
        str(change["errors"]),
    ]


def print_row(*cells: str) -> None:
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip())
