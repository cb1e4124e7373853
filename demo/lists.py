"""The chapter in which lists are kept, and read in a millisecond."""

from __future__ import annotations

import json

from function import Answer, Function
from shell import ROOT

LISTS = ROOT / "demo" / "lists.json"
WIDTHS = (46, 6, 8, 60)


def tell_of_lists(settings: dict[str, str]) -> bool:
    """Has lists computed on a schedule, and reads them; answers whether it came out. `settings` are those of a function."""
    print(
        f"\nRankings over all flights, as {LISTS.name} describes them, are computed by the function `top-n` on a schedule, each by one"
        "\nenvironment, and stored whole. The function `read` finds them; it never computes one that is there.\n"
    )
    settings = {**settings, "LARDER_LISTS_FILE": str(LISTS)}
    with Function("top-n", **settings) as top_n, Function("read", **settings) as read:
        return tell(top_n, read)


def tell(top_n: Function, read: Function) -> bool:
    names = [entry["name"] for entry in json.loads(LISTS.read_text())]
    refreshed = top_n.invoke_file(str(ROOT / "events" / "top-n" / "schedule-rule.json"))
    print(f"EventBridge wakes `top-n`: {told(refreshed)}.\n")
    print_row("what is read", "status", "cache", "the first of the list")
    print_row(*("-" * width for width in WIDTHS))
    answers = [read.get(f"/lists/{name}") for name in names]
    for name, answer in zip(names, answers):
        print_row(f"GET /lists/{name}", str(answer.status), answer.cache, first_of(answer))
    tag = answers[0].headers.get("etag", "")
    unchanged = read.get(f"/lists/{names[0]}", if_none_match=tag)
    print_row("the same again, if it has changed", str(unchanged.status), unchanged.cache, "-")
    unknown = read.get("/lists/unheard-of")
    print_row("GET /lists/unheard-of", str(unknown.status), "-", "-")
    again = top_n.invoke_file(str(ROOT / "events" / "top-n" / "schedule-rule.json"))
    print(f"\nEventBridge wakes it once more: {told(again)}.")
    are_hits = all((answer.status, answer.cache) == (200, "hit") for answer in answers)
    return are_hits and (unchanged.status, unknown.status) == (304, 404)


def told(refreshed: dict) -> str:
    """What a run of `top-n` has done."""
    lists = [f"{entry['list']} {entry['done']}, {entry.get('rows', 0)} rows" for entry in refreshed["lists"]]
    return "; ".join(lists) or "nothing is due"


def first_of(answer: Answer) -> str:
    items = json.loads(answer.body).get("items") or ["-"]
    return ", ".join(f"{name} {value}" for name, value in items[0].items())


def print_row(*cells: str) -> None:
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip(), flush=True)
