"""The table that the demonstration prints, and whether it came out as told."""

from __future__ import annotations

from function import Answer

WIDTHS = (54, 6, 25, 14)


class Table:
    """Prints a row for every request, and keeps in mind whether one was answered otherwise than the story says."""

    def __init__(self) -> None:
        self.is_as_told = True
        print_line("what is asked", "status", "cache", "node", "   ms")
        print_line("-" * WIDTHS[0], "-" * 6, "-" * 6, "-" * 14, "-" * 5)

    def row(self, what: str, answer: Answer, status: int, cache: str, node: str | None = None) -> None:
        """A request and its answer, which has to be this one; from `node`, where the story names one."""
        found = f"{answer.cache} ({answer.counts})" if answer.counts else answer.cache
        nodes = " ".join(sorted(short(name) for name in answer.nodes)) or "-"
        print_line(what, str(answer.status), found, nodes, f"{answer.millis:5.1f}")
        if (answer.status, answer.cache) != (status, cache) or node not in (None, nodes):
            self.is_as_told = False
            print(f"^ was to be {status} {cache} {node or ''}")


def short(node: str) -> str:
    """`0002` of `demo.local.0002.cache.internal:11211`."""
    return node.split(".")[2]


def print_line(*cells: str) -> None:
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS)]
    print("  ".join([*padded, *cells[len(WIDTHS) :]]).rstrip(), flush=True)
