"""Blocks that torch.compile has really compiled give what they gave before, and are compiled once for all of them."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch._dynamo.utils import counters

import mediagen

pytest.importorskip("diffusers")

BUILT = {
    "sd": (tiny.sd, "DDIMScheduler", tiny.DDIM),
    "flux": (tiny.flux, "FlowMatchEulerDiscreteScheduler", tiny.FLUX),
}


@torch.no_grad()
def latents(pipe: Any, steps: int) -> torch.Tensor:
    job = pipe.job("a red cat", size=2 * tiny.SAMPLE, steps=steps, seed=3)
    *_, last = pipe.walk(job, pipe.asked(job))
    return last.x


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_compiled_blocks(name: str, tmp_path: Path) -> None:
    """Within 1e-4 at two step counts, the second of which compiles nothing more."""
    build, plan, settings = BUILT[name]
    folder = build(tmp_path, tiny.scheduler(plan, **settings))
    plain = mediagen.load(folder)
    torch._dynamo.reset()
    counters.clear()
    pipe, graphs = mediagen.load(folder, compiled=True), []
    for steps in (2, 3):
        one, two = latents(plain, steps), latents(pipe, steps)
        assert float((one - two).norm() / one.norm()) < 1e-4
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0 and graphs[1] == graphs[0]
