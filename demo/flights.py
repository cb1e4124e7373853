"""The flights, as the functions read them."""

from __future__ import annotations

from shell import ROOT, WORK, run

DATABASE = WORK / "flights.db"


def load_flights() -> None:
    """Loads the flights into SQLite, where that has not been done since they, or their tables, changed."""
    WORK.mkdir(parents=True, exist_ok=True)
    data = ROOT / "data" / "flights"
    tables = ROOT / "shared" / "larder-origin" / "tests" / "support" / "flights.rs"
    changed = max(file.stat().st_mtime for file in [*data.iterdir(), tables])
    if not DATABASE.exists() or DATABASE.stat().st_mtime < changed:
        print("Loading the flights into SQLite.", flush=True)
        load = ("run", "--quiet", "-p", "larder-origin", "--example", "load_flights", "--")
        run("cargo", *load, str(data), str(DATABASE))
