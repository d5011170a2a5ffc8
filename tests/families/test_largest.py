"""A size that a network does not make is one line, with how large it may be where that is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import scheduler
from tiny_all import EXAMPLES

import mediagen
from mediagen.core import denoiser

pytest.importorskip("diffusers")

LARGEST = {  # latents along each axis
    "Wan 2.1": (32, 64, 64),
    "SD3": (48, 48),
    "AnimateDiff": (32, None, None),
    "CogVideoX 1.5": (None, 4, 4),
    "CogVideoX 2B": (None, None, None),
    "Stable Diffusion 1": (None, None),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_is_made_and_no_larger(name: str, tmp_path: Path) -> None:
    """The network itself runs at its bound, and fails one patch beyond it where ours is refused."""
    pipe = mediagen.load(EXAMPLES[name][0](tmp_path))
    assert pipe.model.largest == LARGEST[name]
    for axis, most in enumerate(pipe.model.largest):
        if most is not None:
            sides = [
                4 if other == axis or bound is None else min(bound, 4) for other, bound in enumerate(LARGEST[name])
            ]
            for side in (most, most + 2):
                sides[axis] = side
                assert runs(pipe, sides) == (side == most), sides


@torch.no_grad()
def runs(pipe: Any, grid: Sequence[int]) -> bool:
    """Whether the network makes something of zeros."""
    told = pipe.asked(pipe.job("a", size=16)).prompts[0][0]
    try:
        pipe.model.denoiser.output(torch.zeros(1, pipe.model.spec.channels, *grid), 0.5, told)
    except (RuntimeError, ValueError):
        return False
    return True


def test_one_line(tmp_path: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the commands, of a job that is looked at, and of a plan; what windows see is what counts."""
    folder = tiny.wan(tmp_path / "wan", scheduler("UniPCMultistepScheduler", **tiny.FLOWING))
    said = f"832 pixels high are more than the network of {folder} has positions for, which is 256"
    told = ("--size", "480x832", "--seconds", "0.5")
    plain = ("video", "a cat", "--model", str(folder), "--steps", "1", "-o", "a.mkv")
    capsys.readouterr()
    for arguments in ((*plain, *told), ("plan", str(folder), *told)):
        assert command(*arguments) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert said in line and not Path("a.mkv").exists()
    pipe = mediagen.load(folder)
    with pytest.raises(ValueError, match=said):
        pipe.check(pipe.job("a cat", size=(480, 832)))
    job = pipe.job("a cat", size=(32, 272), seconds=0.5, window=(9, 32, 256), steps=1)
    pipe.check(job)
    assert pipe.run(job)[0].frames.shape[1:3] == (272, 32)


def test_what_a_network_runs_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, capsys: Any) -> None:
    """Where its bound is not known: its own first line, and the size. Of memory and of our own models as before."""

    def fails(error: Exception) -> None:
        def output(*_: Any) -> None:
            raise error

        monkeypatch.setattr(denoiser.Denoiser, "forward", output)

    folder = tiny.sd(tmp_path, scheduler("DDIMScheduler", **tiny.DDIM))
    plain = ("image", "a cat", "--steps", "1", "--size", "32", "--model")
    capsys.readouterr()
    fails(RuntimeError("shapes (3) and (4) differ\nat some place"))
    assert command(*plain, str(folder)) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    said = "mediagen: the walk of {} failed: {} (making 32x32, latents 16x16)"
    assert line == said.format(folder, "RuntimeError: shapes (3) and (4) differ")
    with pytest.raises(RuntimeError, match="shapes"):
        command("image", "a cat", "--steps", "1", "--size", "64")
    fails(AssertionError())
    assert command(*plain, str(folder)) == 2
    assert capsys.readouterr().err.strip() == said.format(folder, "AssertionError")
    fails(torch.OutOfMemoryError("CUDA out of memory"))
    assert command(*plain, str(folder)) == 2 and "there is not enough memory" in capsys.readouterr().err
