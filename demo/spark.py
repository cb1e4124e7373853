"""A row of numbers as a line of small bars."""

from __future__ import annotations

from collections.abc import Iterable

BARS = "▁▂▃▄▅▆▇█"


def spark(values: Iterable[float | None], low: float, high: float) -> str:
    """One bar for each value, the lowest from `low` down and the highest from `high` up; a blank where there is none.

    >>> spark([0.0, 0.5, 1.0, None, -3.0, 7.0], low=0.0, high=1.0)
    '▁▅█ ▁█'
    """
    return "".join(" " if value is None else BARS[step(value, low, high)] for value in values)


def step(value: float, low: float, high: float) -> int:
    """The index of the bar that is nearest to `value`."""
    share = (value - low) / (high - low)
    return round(min(max(share, 0.0), 1.0) * (len(BARS) - 1))
