"""The chapter in which everybody reads one flight, and those who load it die."""

from __future__ import annotations

import json

from shell import LARDER, run

TOLD = {
    "naive": "all load what they miss",
    "lock": "a lock in the cache",
    "larder": "Larder",
}
"""The strategies, in their order, and what a row calls them."""
ENVIRONMENTS, RATE, TTL_SECS, ORIGIN_MS, DIE_PERCENT, SECS = 10, 200, 3, 250, 30, 12
LOAD_MS = 1000
"""How long a load may take before whoever loads counts as dead."""
MOST_SECS = 180
"""How long all of it may take."""
WIDTHS = (24, 18, 14, 9, 10, 6)


def tell_of_a_stampede(seed: int) -> bool:
    """Has one hot key expire again and again, and prints what that cost; answers whether Larder kept its word."""
    print(
        f"\nOne flight is read {RATE} times a second by {ENVIRONMENTS} processes, and is fresh for {TTL_SECS} s. The database takes"
        f" {ORIGIN_MS} ms, and\n{DIE_PERCENT} % of those who ask it are killed before they have an answer. Larder takes whoever is silent for"
        f"\n{LOAD_MS / 1000:.0f} s for dead. Takes 40 seconds.\n",
        flush=True,
    )
    sizes = ("--environments", str(ENVIRONMENTS), "--rate", str(RATE), "--ttl", str(TTL_SECS))
    faults = ("--origin-ms", str(ORIGIN_MS), "--die", str(DIE_PERCENT), "--seconds", str(SECS), "--seed", str(seed))
    bench = ("bench", "stampede", *sizes, *faults, "--strategy", ",".join(TOLD), "--options", f"load-ms={LOAD_MS}")
    report = json.loads(run(LARDER, *bench, most_secs=MOST_SECS, may_find_faults=True))
    print()
    print_row("", "database calls/TTL", "most at once", "slowest", "deaths", "errors")
    print_row(*("-" * width for width in WIDTHS))
    for strategy, name in TOLD.items():
        print_row(name, *cells_of(report[strategy]))
    larder, naive = report["larder"], report["naive"]
    # How many load at once a busy machine may change, on which the cache does not answer in time.
    return larder["origin_calls"] < naive["origin_calls"] and not larder["errors"]


def cells_of(figures: dict) -> list[str]:
    """What a row says of a strategy."""
    return [
        f"{figures['origin_calls_per_ttl']:.1f}",
        str(figures["max_concurrent_loads"]),
        f"{figures['max_ms']:,.0f} ms",
        str(figures["deaths"]),
        str(figures["errors"]),
    ]


def print_row(*cells: str) -> None:
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip())
