"""A LoRA is learned on pictures of one's own: the model stays as it is, and `lora=` takes what was written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trained import resumed_equals_straight

import mediagen
from mediagen.modalities.image import Image
from mediagen.training import run_lora
from mediagen.training.trainer import Schedule

pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(8):
        Image(rng.integers(180, 256, (64, 64, 3), np.uint8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a bright wall\n")
    return folder


def recipe(model: Path, data: Path, steps: int = 6, **options) -> run_lora.LoraRecipe:
    plan = Schedule(steps=steps, lr=5e-3, warmup=1, ema=0.9, precision="no", log_every=0, checkpoint_every=3)
    return run_lora.LoraRecipe(model=str(model), data=str(data), size=64, batch=8, rank=4, schedule=plan, **options)


def test_it_learns_and_is_used(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    before = (tiny_model / "denoiser.safetensors").read_bytes()
    asked = recipe(tiny_model, pictures, steps=60)
    losses = [progress.losses["lora/loss"] for progress in run_lora.run(asked, tmp_path / "bright")]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert (tiny_model / "denoiser.safetensors").read_bytes() == before
    pipe = mediagen.load(tiny_model)
    report = pipe.adapters.lora(tmp_path / "bright")
    linear = [layer for layer in pipe.model.denoiser.net.modules() if isinstance(layer, torch.nn.Linear)]
    assert not report.unmatched and set(report.layers) == set(linear)
    plain, bright = (pipe.generate("a bright wall", seed=0, lora=each) for each in (None, tmp_path / "bright"))
    assert plain.sha256 != bright.sha256


def test_a_run_that_was_stopped(tiny_model: Path, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    import trained

    monkeypatch.setattr(trained.recipes, "run", run_lora.run)
    resumed_equals_straight(recipe(tiny_model, pictures, layers=("query", "key_value")), tmp_path)


def test_what_cannot_be_trained_is_said(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no layer's name ends with to_q; layers are"):
        next(run_lora.run(recipe(tiny_model, pictures, layers=("to_q",)), tmp_path))
    with pytest.raises(ValueError, match="nothing is no shipped model and holds no readable card"):
        next(run_lora.run(recipe(Path("nothing"), pictures), tmp_path))
    with pytest.raises(ValueError, match="rank must be 1 or more and alpha above 0, not 4 and 0"):
        recipe(tiny_model, pictures, alpha=0.0)
