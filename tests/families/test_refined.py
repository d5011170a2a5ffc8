"""SDXL and its refiner as one walk, as published (an ensemble of experts): the base stops with noise left, the refiner
goes on from there. From Python, by the command, and replayed."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import controlled
import numpy as np
import pytest
import test_image_prompts as prompts
import tiny
import tiny_image
import torch

import mediagen
from mediagen import ensemble
from mediagen.modalities import image

diffusers = pytest.importorskip("diffusers")

PROMPT, SIDE = "a red cat of the dog", 2 * tiny.SAMPLE
PLANS = {"euler": ("EulerDiscreteScheduler", tiny.LEADING), "ddim": ("DDIMScheduler", tiny.DDIM)}


def checkpoints(folder: Path, plan: str) -> tuple[Path, Path]:
    """The base, and the refiner."""
    name, settings = PLANS[plan]
    base = tiny.sdxl(folder / "base", tiny.scheduler(name, **settings))
    return base, tiny_image.sdxl_refiner(folder / "refiner", tiny.scheduler(name, **settings))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return checkpoints(tmp_path_factory.mktemp("refined"), "euler")


@pytest.fixture
def run(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, command: Callable[..., int]) -> Callable[..., int]:
    """Runs a command with both models at hand, as commands and replays name them."""
    for folder in folders:
        monkeypatch.setitem(mediagen._loaded, str(folder), mediagen.load(folder))
    return command


def noise() -> torch.Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(11))


def theirs(pipes: Any, steps: int, share: float, scales: tuple[float, float], **more: Any) -> torch.Tensor:
    """Latents of diffusers' two pipelines: denoising_end of the one is denoising_start of the other. more: of the
    first."""
    base, refiner = pipes
    options = {"num_inference_steps": steps, "original_size": (SIDE, SIDE), "target_size": (SIDE, SIDE)}
    options |= {"output_type": "latent"}
    begun = {"latents": noise(), "height": SIDE, "width": SIDE, "denoising_end": share, "guidance_scale": scales[0]}
    left = base(PROMPT, **begun, **options, **more).images
    return refiner(PROMPT, image=left, denoising_start=share, guidance_scale=scales[1], **options).images


@pytest.mark.parametrize("plan", PLANS)
@torch.no_grad()
def test_as_published(plan: str, tmp_path: Path) -> None:
    """At the published share of 0.8 and another one, with one scale of guidance and with two."""
    places = checkpoints(tmp_path, plan)
    base, refiner = map(mediagen.load, places)
    kinds = (diffusers.StableDiffusionXLPipeline, diffusers.StableDiffusionXLImg2ImgPipeline)
    pipes = [kind.from_pretrained(place, local_files_only=True) for kind, place in zip(kinds, places, strict=True)]
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
    for steps, share, scales in ((5, 0.8, (5.0, 5.0)), (10, 0.8, (6.0, 3.0)), (10, 0.5, (3.0, 6.0))):
        both = ensemble(base, refiner, share=share)
        job = both.job(PROMPT, size=SIDE, steps=steps, guidance=scales[0], guidance_2=scales[1], noise=noise())
        *_, last = both.walk(job, both.asked(job))
        other = theirs(pipes, steps, share, scales)
        assert float((last.x - other).norm() / other.norm()) < 1e-5
        alone = base.job(PROMPT, size=SIDE, steps=steps, guidance=scales[0], noise=noise())
        *_, unrefined = base.walk(alone, base.asked(alone))
        assert float((unrefined.x - other).norm() / other.norm()) > 1e-3


@torch.no_grad()
def ours(both: Any, **options: Any) -> torch.Tensor:
    job = both.job(PROMPT, size=SIDE, steps=5, guidance=5.0, noise=noise(), **options)
    *_, last = both.walk(job, both.asked(job))
    return last.x


def published(kind: str, folder: Path, **parts: Any) -> Any:
    pipe = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_what_leads_the_base(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A control network and an image prompt, as where diffusers' base has them and its refiner has none."""
    from transformers import CLIPVisionModelWithProjection

    base, refiner = map(mediagen.load, folders)
    both, unet = ensemble(base, refiner), base.model.adapts.parts["unet"]
    plain, second = ours(both), published("StableDiffusionXLImg2ImgPipeline", folders[1])
    led = controlled.drawn(tmp_path / "control", "sdxl", unet, 11)
    network = diffusers.ControlNetModel.from_pretrained(led, local_files_only=True)
    first = published("StableDiffusionXLControlNetPipeline", folders[0], controlnet=network)
    other = theirs((first, second), 5, 0.8, (5.0, 5.0), image=controlled.picture(1))
    mine = ours(both, control=(led, controlled.picture(1)))
    assert controlled.far(mine, other) < 1e-5 < 1e-3 < controlled.far(plain, other)
    (tmp_path / "seen").mkdir()
    file = prompts.adapter(tmp_path / "seen", unet, 21)
    encoder = CLIPVisionModelWithProjection.from_pretrained(file.parent / "image_encoder")
    first = published("StableDiffusionXLPipeline", folders[0], image_encoder=encoder)
    first.load_ip_adapter([str(file.parent)], subfolder="", weight_name=[file.name])
    other = theirs((first, second), 5, 0.8, (5.0, 5.0), ip_adapter_image=[prompts.picture(1)])
    mine = ours(both, image_prompt=(file, prompts.picture(1)))
    assert controlled.far(mine, other) < 1e-5 < 1e-3 < controlled.far(plain, other)
    assert torch.equal(ours(both), plain)


def test_another_model_is_no_refiner(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Stable Diffusion 1 has latents of one shape and noise with SDXL, but of another scale."""
    other = tiny.sd(tmp_path, tiny.scheduler("EulerDiscreteScheduler", **tiny.LEADING))
    config = tmp_path / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.5}))
    with pytest.raises(ValueError, match="are of another scale than those of"):
        ensemble(mediagen.load(folders[0]), mediagen.load(other))


def test_the_command_and_its_replay(run: Callable[..., int], folders: tuple[Path, Path], capsys: Any) -> None:
    """What Python makes; the file says of which two models, and how they shared the walk."""
    base, refiner = map(str, folders)
    shared = ("--model", base, "--refiner", refiner, "--steps", "5", "--seed", "3", "--size", "16")
    made = []
    for number, (share, told) in enumerate(((0.8, ()), (0.5, ("--share", "0.5", "--guidance-2", "3")))):
        assert run("image", "a cat", *shared, *told, "-o", f"{number}.png") == 0
        both = ensemble(mediagen._loaded[base], mediagen._loaded[refiner], share=share)
        second = {"guidance_2": 3.0} if told else {}
        made.append(image.load(f"{number}.png"))
        assert np.array_equal(made[-1].pixels, both.generate("a cat", size=16, steps=5, seed=3, **second).pixels)
        carried = json.loads(made[-1].metadata)["mediagen"]
        assert carried["refined"] == {"base": base, "refiner": refiner, "share": share}
        again = mediagen.replay(f"{number}.png")
        assert again.equal and again.same_model
        assert run("replay", f"{number}.png") == 0
        assert "equal: every pixel is the same" in capsys.readouterr().out
    assert not np.array_equal(made[0].pixels, made[1].pixels)
    alone = mediagen._loaded[base].generate("a cat", size=16, steps=5, seed=3)
    assert alone.sha256 != made[0].sha256 and "refined" not in json.loads(alone.metadata)["mediagen"]


@pytest.mark.slow
def test_the_example(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    script = Path(__file__).parents[2] / "examples" / "stable_diffusion.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), str(folders[0]), "5", str(folders[1])])
    runpy.run_path(str(script), run_name="__main__")
    first, refined = image.load("published.png"), image.load("refined.png")
    assert "made again, pixel for pixel: True" in capsys.readouterr().out
    assert '"refined"' in refined.metadata and not np.array_equal(first.pixels, refined.pixels)


def test_a_refiner_varies_what_is_finished(folders: tuple[Path, Path]) -> None:
    """The other way to refine: a whole picture, anew from its slightly noised self."""
    base, refiner = map(mediagen.load, folders)
    whole = base.generate("a cat", size=16, steps=2, seed=3)
    made = refiner.vary(whole, "a cat", steps=4, strength=0.5, seed=3)
    assert made.sha256 != whole.sha256 and '"vary"' in made.metadata


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--share", "0.5"), "--share needs --refiner"),
        (("--share", "1", "--refiner", "REFINER"), "share must lie between 0 and 1, not 1.0"),
        (("--refiner", "nothing-like-it"), "unknown model 'nothing-like-it'"),
        (
            ("--refiner", "mini-image"),
            "mini-image image latents of 16 channels with a stride of 16x16: they share no walk",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Callable[..., int], folders: tuple[Path, Path], capsys: Any, given: tuple[str, ...], said: str
) -> None:
    base, refiner = map(str, folders)
    capsys.readouterr()
    told = [refiner if text == "REFINER" else text for text in given]
    assert run("image", "a cat", "--model", base, "--steps", "2", *told) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0] and not Path("image.png").exists()
