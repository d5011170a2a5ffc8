"""A sample over two processes is that of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from tiny import scheduler

import mediagen
from mediagen.families import _parallel, _ring

pytest.importorskip("diffusers")

SCRIPT = """
import sys, numpy, torch
torch.accelerator.device_count = lambda: 1  # diffusers asks for it, and a CPU has none
import mediagen
folder, way, out = sys.argv[1:]
pipe = mediagen.load(folder, parallel=way)
clip = {"seconds": 5 / 16} if pipe.model.modality == "video" else {}
made = pipe.generate("a cat", size=16, steps=3, seed=0, **clip)
if torch.distributed.get_rank() == 0:
    numpy.save(out, made.frames if clip else made.pixels)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("family, way", [("flux", "ulysses"), ("flux", "ring"), ("wan", "ulysses")])
def test_two_processes_make_what_one_does(family: str, way: str, tmp_path: Path) -> None:
    plans = {"flux": ("FlowMatchEulerDiscreteScheduler", tiny.FLUX), "wan": ("UniPCMultistepScheduler", tiny.FLOWING)}
    folder = getattr(tiny, family)(tmp_path / family, scheduler(plans[family][0], **plans[family][1]))
    (tmp_path / "both.py").write_text(SCRIPT)
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    asked = [str(tmp_path / "both.py"), str(folder), way, str(tmp_path / "made.npy")]
    place = str(Path(mediagen.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": place, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*run, *asked], env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    clip = {"seconds": 5 / 16} if family == "wan" else {}
    made = mediagen.load(folder).generate("a cat", size=16, steps=3, seed=0, **clip)
    alone = (made.frames if clip else made.pixels).astype(int)
    assert abs(np.load(tmp_path / "made.npy").astype(int) - alone).max() <= 1


def test_turns_of_a_ring_add_up_to_the_whole() -> None:
    """Attention to halves of the keys, each weighted by its sum, is attention to all of them."""
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, length, 3, 8, generator=g) for length in (5, 6, 6))
    whole, sums = _ring.attend(q, k, v)
    expected = torch.nn.functional.scaled_dot_product_attention(*(each.transpose(1, 2) for each in (q, k, v)))
    assert torch.allclose(whole, expected.transpose(1, 2), atol=1e-6)
    turns = [_ring.attend(q, k[:, part], v[:, part]) for part in (slice(0, 4), slice(4, 6))]
    logs = torch.stack([each for _, each in turns])
    weights = logs.softmax(0)[..., None]
    assert torch.allclose(sum(w * out for w, (out, _) in zip(weights, turns, strict=True)), whole, atol=1e-6)
    assert torch.allclose(logs.logsumexp(0), sums, atol=1e-6)


def test_diffusers_attention_tells_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models import attention_dispatch

    before = attention_dispatch._native_attention_forward_op
    monkeypatch.setattr(attention_dispatch, "_native_attention_forward_op", before)
    q = torch.randn(1, 4, 2, 8, generator=torch.Generator().manual_seed(0))
    asked = [None, q, q, q, None, 0.0, False, 0.3, False]
    with pytest.raises(ValueError, match="does not support return_lse"):
        before(*asked, True, _save_ctx=False)
    _ring.told()
    _ring.told()
    after = attention_dispatch._native_attention_forward_op
    out, sums = after(*asked, True, _save_ctx=False)
    assert torch.allclose(out, before(*asked, False, _save_ctx=False), atol=1e-6) and sums.shape == (1, 4, 2)
    assert torch.equal(after(*asked, False, _save_ctx=False), before(*asked, False, _save_ctx=False))
    with pytest.raises(ValueError, match="cannot be split by a ring: parallel='ulysses'"):
        after(*asked[:4], torch.ones(4, 4), *asked[5:], True, _save_ctx=False)


def test_what_cannot_be_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.flux(tmp_path / "flux", scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))
    with pytest.raises(ValueError, match="parallel is 'rings'; it must be one of ulysses, ring"):
        mediagen.load(folder, parallel="rings")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match="parallel needs several processes: torchrun"):
        mediagen.load(folder, parallel="ring")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="'ring' on GPUs needs attention that tells how large its sums are"):
        _parallel.split([], "ring")
