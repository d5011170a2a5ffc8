"""Cells of the whole product task x solver x guidance, drawn evenly, of every checkpoint: each works or is refused."""

import random
from itertools import product
from pathlib import Path

import pytest
import table
import torch
from tiny_all import EXAMPLES

from mediagen.core import guidance, solve

pytest.importorskip("diffusers")

DRAWN = 60
TOGETHER = {"several prompts are composed by cfg alone: leave out method and skip_layers"}  # of a task and a method


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
@torch.no_grad()
def test_cells(name: str, tmp_path: Path) -> None:
    """Nothing but a ValueError refuses a cell; what works alone with each of task, solver and method works with all."""
    build, size = EXAMPLES[name]
    pipe = table.loaded(build(tmp_path), size)
    length = {"seconds": size["frames"] / pipe.rate} if "frames" in size else {}
    size = {key: value for key, value in size.items() if key != "frames"} | length
    whole = list(product(table.TASKS[pipe.model.modality], solve.rules(), guidance.methods()))
    found = [table.cell(pipe, size, *names) for names in random.Random(name).sample(whole, DRAWN)]
    worked = [cell for cell in found if not cell.reason]
    assert worked
    works = {axis: {getattr(cell, axis) for cell in worked} for axis in ("task", "solver", "method")}
    odd = [cell for cell in found if cell.reason and all(getattr(cell, axis) in ok for axis, ok in works.items())]
    assert {cell.reason for cell in odd} <= TOGETHER
