"""A sample over two processes is that of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from tiny import scheduler

import mediagen

pytest.importorskip("diffusers")

SCRIPT = """
import sys, numpy, torch
torch.accelerator.device_count = lambda: 1  # diffusers asks for it, and a CPU has none
import mediagen
folder, way, out = sys.argv[1:]
pipe = mediagen.load(folder, parallel=way)
made = pipe.generate("a cat", size=16, steps=3, seed=0)
if torch.distributed.get_rank() == 0:
    numpy.save(out, made.pixels)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ulysses"])
def test_two_processes_make_what_one_does(way: str, tmp_path: Path) -> None:
    folder = tiny.flux(tmp_path / "flux", scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))
    (tmp_path / "both.py").write_text(SCRIPT)
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    asked = [str(tmp_path / "both.py"), str(folder), way, str(tmp_path / "made.npy")]
    place = str(Path(mediagen.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": place, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*run, *asked], env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = mediagen.load(folder).generate("a cat", size=16, steps=3, seed=0).pixels.astype(int)
    assert abs(np.load(tmp_path / "made.npy").astype(int) - alone).max() <= 1


def test_what_cannot_be_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.flux(tmp_path / "flux", scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))
    with pytest.raises(ValueError, match="parallel is 'rings'; it must be one of ulysses, ring"):
        mediagen.load(folder, parallel="rings")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match="parallel needs several processes: torchrun"):
        mediagen.load(folder, parallel="ring")
