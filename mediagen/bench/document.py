"""Writes the tables of the benches into a document: `python -m mediagen.bench.document docs/benchmarks.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

NAMES = ("image", "audio", "video", "loop")


def put(text: str, name: str, table: str) -> str:
    """`text` with `table` between the markers of `name`. ValueError if the markers are missing."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the document lacks the markers {begin} and {end}")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def row(cells: Sequence[str]) -> str:
    """A line of a markdown table."""
    return f"| {' | '.join(cells)} |"


def refresh(document: Path, names: Sequence[str] = NAMES) -> None:
    """Measure each bench and put its table into the document; each is written as soon as it is there."""
    for name in names:
        table = import_module(f"mediagen.bench.{name}").table()
        document.write_text(put(document.read_text(encoding="utf-8"), name, table), encoding="utf-8")


if __name__ == "__main__":
    refresh(Path(sys.argv[1]), sys.argv[2:] or NAMES)
