"""What a checkpoint needs is counted before it is loaded: against the modules themselves, and published numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_clips as clips
import torch
from real import REAL
from tiny import scheduler

import mediagen
from mediagen import counting, planning
from mediagen.counting import count

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("PNDMScheduler", **tiny.PNDM))


def without_weights(folder: Path) -> Path:
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    return folder


def test_parameters_and_activations_are_those_of_the_loaded_model(folder: Path) -> None:
    """The peak found without numbers is that of the same operations on real ones."""
    made, pipe = mediagen.plan(folder, dtype="float32"), mediagen.load(folder)
    unet, vae = pipe.model.denoiser.net.network, pipe.model.autoencoder.vae
    found = {part.name: part.parameters for part in made.parts}
    assert found["unet"] == sum(p.numel() for p in unet.parameters())
    assert found["vae"] == sum(p.numel() for p in vae.parameters()) and set(found) == {"unet", "vae", "text_encoder"}
    job = pipe.job("a")
    asked = pipe.asked(job)
    cond = {"text": torch.cat([asked.prompts[0][0]["text"], asked.null["text"]])}
    step = count(lambda: pipe.model.denoiser.output(torch.zeros(2, 4, *job.grid), 0.9, cond))
    decoding = count(lambda: pipe.model.autoencoder.decode(torch.zeros(1, 4, *job.grid)))
    assert made.batch == 2 and made.step.flops == step.flops > 0 and made.decoding.flops == decoding.flops > 0
    assert made.step.peak == pytest.approx(step.peak, rel=0.02)
    assert made.decoding.peak == pytest.approx(decoding.peak, rel=0.02)


def numbers(made: planning.Plan) -> list[tuple[int, int]]:
    return [(each.peak, each.flops) for each in (made.step, made.decoding, made.tiled) if each]


def test_an_operation_is_run_once_and_counted_each_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of running each one, and of looking after each for what nobody holds any more."""
    quick, add = numbers(mediagen.plan(folder, size=128)), counting.Count.add

    def looked_after(self: counting.Count, made: list[torch.Tensor]) -> None:
        self.told = self.peak + 1
        add(self, made)

    monkeypatch.setattr(counting.Count, "add", looked_after)
    monkeypatch.setattr(counting, "_answer", lambda *_: None)
    assert numbers(mediagen.plan(folder, size=128)) == quick


def masked(x: torch.Tensor) -> torch.Tensor:
    """Row by row, as an autoencoder of diffusers does it."""
    made = torch.full_like(x, 1.0)
    for row in range(len(x)):
        made[row, : row + 1] = 0
    return made


def test_views_and_what_is_written_in_place_are_not_new() -> None:
    """Nor is what was there before; what is made twice is two."""

    def held(function: Callable[[torch.Tensor], Any]) -> list[int]:
        """In float32 numbers, on the CPU and without numbers, the second time too."""
        places = (torch.zeros(4, 8), torch.zeros(4, 8, device="meta"))
        return [count(lambda x=x: (function(x), function(x))[1:]).peak // 4 for x in places]

    assert held(lambda x: x.t()[1:].reshape(-1)) == [28 * 2] * 2  # turned, cut and copied
    assert held(lambda x: x.add_(1).mul_(2)) == [0, 0]
    assert held(lambda x: x + 1) == [64, 64] and held(lambda x: [x + 1, x + 1]) == [128, 128]
    assert held(masked) == [64, 64]
    assert held(lambda x: (x + 1).split(2)) == [64, 64] and held(lambda x: x @ x.t()) == [32, 32]


def test_what_is_held_grows_with_the_picture(folder: Path) -> None:
    one, four = mediagen.plan(folder), mediagen.plan(folder, size=32)
    assert four.decoding.peak == pytest.approx(4 * one.decoding.peak, rel=0.1)
    assert four.decoding.flops > 3.9 * one.decoding.flops and four.parameters == one.parameters
    assert mediagen.plan(folder, dtype="float32").step.peak == pytest.approx(2 * one.step.peak, rel=0.1)


def test_stable_diffusion_without_its_weights(tmp_path: Path) -> None:
    """Parameters as published; operations of a step as they were measured elsewhere: 1.61 TFLOP at 512x512."""
    facts = REAL["Stable Diffusion 1"]
    made = mediagen.plan(facts.folder(tmp_path), size=512)
    assert {part.name: part.parameters for part in made.parts} == facts.parameters
    assert made.step.flops == pytest.approx(1.61e12, rel=0.02)
    assert made.weights("float32") == 4 * made.parameters == 2 * made.weights("bfloat16")
    needs = made.needs()
    assert list(needs) == ["whole", "model", "group", "sequential"] and sorted(needs.values(), reverse=True) == [
        *needs.values()
    ]
    assert made.advice(3 * 10**9) == "it fits as it is" and "offload='model'" in made.advice(needs["model"] + 1)
    assert made.advice(10**8).startswith("it does not fit: the least is")
    text = "\n".join(made.lines({"a device": 3 * 10**9}))
    assert "859.52 M" in text and "3.44 GB" in text and "a device: 3.00 GB free: it fits as it is" in text


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux", "pixart", "wan", "ltx"])
def test_families(family: str, tmp_path: Path) -> None:
    plans = {"wan": ("UniPCMultistepScheduler", tiny.FLOWING), "sdxl": ("EulerDiscreteScheduler", tiny.LEADING)}
    plans |= {"pixart": ("DPMSolverMultistepScheduler", {"num_train_timesteps": 1000})}
    name, options = plans.get(family, ("FlowMatchEulerDiscreteScheduler", tiny.LTX))
    folder = without_weights(getattr(tiny, family)(tmp_path, scheduler(name, **options)))
    clip = {"seconds": 5 / 16} if family in ("wan", "ltx") else {}
    made = mediagen.plan(folder, size=16, **clip)
    assert (
        made.step.flops > 0
        and made.decoding.peak > 0
        and made.denoiser == ["transformer" if clip else made.denoiser[0]]
    )


def test_a_long_clip_is_seen_in_windows(tmp_path: Path) -> None:
    """As its walk sees it: a step holds what one window does, and computes all of them. What of the condition has a
    place is cut with it."""
    folder = without_weights(clips.svd(tmp_path, scheduler("EulerDiscreteScheduler", **clips.SVD)))
    one, long = (mediagen.plan(folder, size=16, seconds=seconds) for seconds in (9 / 7, 36 / 7))
    assert long.asked.endswith("latents 4x36x8x8, seen in 7 windows of 9x8x8") and "windows" not in one.asked
    assert long.step.flops == 7 * one.step.flops and long.step.peak == pytest.approx(one.step.peak, rel=0.02)
    assert long.decoding.peak > 3 * one.decoding.peak
    assert mediagen.plan("mini-audio", seconds=30).asked.endswith("latents 128x323, seen in 5 windows of 108")


def test_a_clip_that_goes_on_is_counted_by_its_first_window(tmp_path: Path) -> None:
    """Which begins with its picture; what it goes on from costs as much."""
    plan = scheduler("FlowMatchEulerDiscreteScheduler", **clips.HUNYUAN)
    folder = without_weights(clips.hunyuan_video_i2v(tmp_path, plan))
    one, long = (mediagen.plan(folder, size=16, seconds=seconds) for seconds in (None, 10))
    assert long.asked == "16x16, 10 s, latents 4x33x4x4, made in 3 windows that go on from one another"
    assert one.asked == "16x16, 5.375 s, latents 4x33x4x4" and numbers(one) == numbers(long)


def test_a_shipped_model() -> None:
    made = mediagen.plan("mini-image", size=256)
    model = mediagen.load("mini-image").model
    assert made.parts[0].parameters == sum(p.numel() for p in model.denoiser.parameters())
    assert made.tiled is None and made.decoding.flops > 0
    wide = mediagen.plan("mini-image", size=2048)
    assert wide.tiled.peak < wide.decoding.peak / 4 and wide.needs(tiled=True)["whole"] < wide.needs()["whole"]


def test_what_cannot_be_planned(folder: Path) -> None:
    with pytest.raises(ValueError, match="dtype is 'int3'; it must be one of float32"):
        mediagen.plan(folder, dtype="int3")
    with pytest.raises(ValueError, match="size 15x15 must be multiples of 2"):
        mediagen.plan(folder, size=15)
    with pytest.raises(ValueError, match="unknown model 'nothing'"):
        mediagen.plan("nothing")
    assert planning.memory()["cpu"] > 10**8
