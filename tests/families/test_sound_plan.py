"""What models of sound need is counted without their weights: as of the loaded model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_ace
import tiny_sound
import torch
from tiny import scheduler

import mediagen
from mediagen.counting import count
from mediagen.families import published
from mediagen.pipelines.opening import of

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")


def stable_audio(folder: Path) -> Path:
    return tiny_sound.stable_audio(folder, scheduler("CosineDPMSolverMultistepScheduler", **tiny_sound.COSINE))


def mels(kind: str) -> Callable[[Path], Path]:
    return lambda folder: getattr(tiny_sound, kind)(folder, scheduler("DDIMScheduler", **tiny_sound.DDIM))


MADE = {"stable_audio": stable_audio, "audioldm2": mels("audioldm2"), "musicldm": mels("musicldm")}
FLOW = "FlowMatchEulerDiscreteScheduler"
MADE["ace_step"] = lambda folder: tiny_ace.ace_step(folder, scheduler(FLOW, **tiny_ace.PLAN))


@pytest.mark.parametrize("family", sorted(MADE))
def test_as_of_the_loaded_model(family: str, tmp_path: Path) -> None:
    """The parameters of all parts, and the operations of a step, which may be in windows, and of decoding."""
    folder, length = MADE[family](tmp_path), {"seconds": 0.5}
    model, theirs = published.opened(folder)
    pipe, parts = of(model), {k: v for k, v in theirs.components.items() if isinstance(v, torch.nn.Module)}
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    job = pipe.job("a", steps=1, **length)
    asked = pipe.asked(job)
    rows = 1 if asked.null is None else 2
    z = torch.zeros(1, pipe.model.spec.channels, *job.grid)
    step, decoding = count(lambda: list(pipe.walk(job, asked))), count(lambda: pipe.model.autoencoder.decode(z))
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    made = mediagen.plan(folder, dtype="float32", **length)
    assert {part.name: part.parameters for part in made.parts} == {name: sizes[name] for name in parts}
    assert made.batch == rows and 0 < made.step.flops == pytest.approx(step.flops, rel=5e-3)
    assert made.decoding.flops == decoding.flops > 0
    assert made.decoding.peak == pytest.approx(decoding.peak, rel=0.1)
    assert made.needs()["whole"] > made.weights("float32") and "0.5 s" in made.asked
