"""The table of families says what was run, and has all that there is."""

import pytest
import table
from table import Cell, row

pytest.importorskip("diffusers")


def cells(**refused: str) -> list[Cell]:
    """Two tasks by two solvers by two methods; those named in `refused` with their reason."""
    names = [(task, solver, method) for task in ("a", "b") for solver in ("s", "r") for method in ("m", "n")]
    return [
        Cell(task=t, solver=s, method=m, reason=refused.get(t) or refused.get(s) or refused.get(m) or "")
        for t, s, m in names
    ]


def test_rows() -> None:
    """A task that is refused is not held against the solvers; reasons are notes, each one once."""
    notes: list[str] = []
    assert row("x", cells(), notes) == ["x", "all 2", "all 2", "yes", "yes"] and notes == []
    assert row("y", cells(b="no such thing"), notes) == ["y", "all 2", "all 2", "yes", "no (1)"]
    assert row("z", cells(b="no such thing", r="too wild"), notes) == [
        "z",
        "1 of 2; not r (2)",
        "all 2",
        "yes",
        "no (1)",
    ]
    assert notes == ["no such thing", "too wild"]
    odd = [*cells()[:-1], Cell(task="b", solver="r", method="n", reason="only here")]
    assert row("w", odd, notes)[1:] == ["all 2", "all 2", "yes", "yes"]
    assert notes[2] == "w, b with r and n: only here"


@pytest.mark.slow  # every solver and every guidance method, some 20 s
def test_a_checkpoint_is_run() -> None:
    made = table.tables(["DeepFloyd IF, second stage"])
    [head, _, line, *_] = made.splitlines()
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert cells["upscale"] == "yes" and cells["generate"].startswith("no") and cells["solvers"].startswith("all")
    assert "makes a picture larger: upscale(picture, prompt) alone" in made


@pytest.mark.slow
def test_every_class_has_an_example() -> None:
    assert table.lacking() == []
