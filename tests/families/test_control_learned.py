"""A control network is learned for a published checkpoint, by the loss that it was made with, and loads everywhere."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import mediagen
from mediagen import control_training
from mediagen.families import _control_training
from mediagen.modalities.image import Image
from mediagen.training.run_control import ControlRecipe
from mediagen.training.trainer import Schedule, place

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("accelerate")
pytest.importorskip("cv2")
SIDE = 2 * tiny.SAMPLE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(4):
        Image(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a red cat\n")
    return folder


def recipe(model: Path, data: Path, steps: int) -> ControlRecipe:
    plan = Schedule(steps=steps, lr=1e-2, warmup=1, ema=0.5, precision="no", log_every=0, checkpoint_every=2)
    shape = {"size": SIDE, "batch": 2, "hint": "luminance", "dropout": 0.0, "density": {"name": "Uniform"}}
    return ControlRecipe(model=str(model), data=str(data), schedule=plan, **shape)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_it_is_learned_and_used(name: str, data: Path, tmp_path: Path) -> None:
    folder = getattr(tiny, name)(tmp_path / name, tiny.scheduler("DDIMScheduler", **tiny.DDIM))
    before = (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    straight = [p.losses for p in control_training.run(recipe(folder, data, 4), tmp_path / "straight")]
    halves = []
    for _ in range(2):
        for progress in control_training.run(recipe(folder, data, 4), tmp_path / "halves"):
            halves.append(progress.losses)
            if len(halves) == 2:
                break
    assert straight == halves  # to the last bit
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    diffusers.ControlNetModel.from_pretrained(tmp_path / "straight", local_files_only=True)
    pipe = mediagen.load(folder)
    asked = (tmp_path / "straight", data / "0.png")
    made = [pipe.generate("a red cat", steps=2, seed=0, size=SIDE, control=each) for each in (None, asked)]
    assert made[0].sha256 != made[1].sha256


def test_a_new_one_has_the_checkpoints_own_loss(data: Path, tmp_path: Path) -> None:
    """It adds nothing, so that the loss is that of the U-Net alone at its own noise levels."""
    folder = tiny.sd(tmp_path / "sd", tiny.scheduler("DDIMScheduler", **tiny.DDIM))
    seen = {}

    def unet(sample: torch.Tensor, timestep: torch.Tensor, **told: torch.Tensor) -> tuple[torch.Tensor]:
        seen.update(x=sample.detach(), t=timestep, y=plain(sample, timestep, **told)[0])
        return (seen["y"],)

    model = _control_training.published.load(folder)
    reader = model.adapts.control
    plain = reader.denoiser.forward
    reader.denoiser.forward = unet
    network = _control_training.fresh(reader.denoiser, model.spec.stride[0])
    control = _control_training.ControlNet(path="", hash="", network=network, kind=reader.kinds[0], net=reader.net)
    loss = _control_training.loss_of(recipe(folder, data, 1), model, control, place())(0)["loss"]
    reader.denoiser.forward = plain
    text = model.text(["a red cat", "a red cat"])["text"]
    with torch.no_grad():
        y = reader.denoiser(seen["x"], seen["t"], encoder_hidden_states=text, return_dict=False)[0]
    assert torch.equal(y, seen["y"].detach())
    loss.backward()
    assert loss.detach() > 0 and all(p.grad is None for p in reader.denoiser.parameters())
    assert any(float(p.grad.abs().max()) > 0 for p in network.controlnet_mid_block.parameters())


def test_what_it_cannot_be_learned_for(data: Path, tmp_path: Path) -> None:
    folder = tiny.flux(tmp_path / "flux", tiny.scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))
    with pytest.raises(ValueError, match=r"are learned for Stable Diffusion and SDXL, and .* is neither"):
        next(control_training.run(recipe(folder, data, 1), tmp_path / "out"))
