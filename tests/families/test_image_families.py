"""The further families of pictures through our loop give what diffusers' own pipelines give, from the same noise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_image
import torch
from tiny import scheduler

import mediagen
from mediagen.cascade import ensemble
from mediagen.generators.diffusion import Start
from mediagen.modalities.image import Image

diffusers = pytest.importorskip("diffusers")

PROMPT, SIDE = "a red cat of the dog", 2 * tiny.SAMPLE
Pair = tuple[torch.Tensor, torch.Tensor]


def drawn(seed: int = 11) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(seed: int, side: int = SIDE) -> Image:
    return Image.from_tensor(torch.rand(3, side, side, generator=drawn(seed)) * 2 - 1)


def mask() -> Image:
    """White where it is made anew, with an edge that is not one of latents."""
    white = torch.full((3, SIDE, SIDE), -1.0)
    white[:, 3:13, 5:16] = 1.0
    return Image.from_tensor(white)


def published(folder: Path) -> Any:
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def both(pipe: Any, latents: Any) -> Pair:
    """Latents of diffusers' pipeline, and the picture that it makes of them."""
    return latents, pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample / 2 + 0.5


@torch.no_grad()
def ours(pipe: Any, **options: Any) -> Pair:
    job = pipe.job(PROMPT, **options)
    *_, last = pipe.walk(job, pipe.asked(job), pipe.start(job))
    return last.x, pipe.decode(last.x) / 2 + 0.5


def same(mine: Pair, other: Pair) -> None:
    assert float((mine[0] - other[0]).norm() / other[0].norm()) < 1e-5
    assert float((mine[1].clamp(0, 1) - other[1].clamp(0, 1)).abs().max()) < 1e-4 and float(other[1].std()) > 0.02


def changed(pipe: Any, names: set[str], **options: Any) -> None:
    """Each thing that the network is told or shown changes what is made, far above the tolerance."""
    job = pipe.job(PROMPT, steps=2, **options)
    asked, start = pipe.asked(job), pipe.start(job)
    [(cond, _)] = asked.prompts
    *_, plain = pipe.walk(job, asked, start)
    assert set(cond) == names
    for name, value in cond.items():
        asked.prompts[0] = (cond | {name: (value.roll(1, -1) + 1).to(value.dtype)}, 1.0)
        *_, other = pipe.walk(job, asked, start)
        assert float((other.x - plain.x).norm() / plain.x.norm()) > 1e-3, name


PLANS = {
    "published": lambda: scheduler("PNDMScheduler", **tiny.PNDM),
    "ddim": lambda: scheduler("DDIMScheduler", **tiny.DDIM),
    "euler": lambda: scheduler("EulerDiscreteScheduler", **tiny.LEADING),
    "dpm": lambda: scheduler("DPMSolverMultistepScheduler", **tiny.LEADING),
}
INPAINTING = [(tiny_image.sd_inpaint, "published"), (tiny_image.sd_inpaint, "ddim"), (tiny_image.sd_inpaint, "dpm")]
INPAINTING += [(tiny_image.sdxl_inpaint, plan) for plan in ("euler", "dpm", "ddim")]


@pytest.mark.parametrize("build, plan", INPAINTING, ids=lambda v: v if isinstance(v, str) else v.__name__)
@torch.no_grad()
def test_inpainting(build: Callable[..., Path], plan: str, tmp_path: Path) -> None:
    """From noise at two step counts, and from the noised picture; the generator is drawn from in the same order."""
    folder = build(tmp_path, PLANS[plan]())
    pipe, other = mediagen.load(folder), published(folder)
    asked = {"image": picture(1).pil(), "mask_image": mask().pil(), "height": SIDE, "width": SIDE}
    for steps, strength in ((2, 1.0), (5, 1.0), (8, 0.5)):
        options = {"num_inference_steps": steps, "strength": strength, "guidance_scale": 6.0, "output_type": "latent"}
        if strength < 1 and plan == "published":
            continue  # PNDM lists a time twice, which diffusers counts as a step when it cuts the list
        theirs = other(PROMPT, **asked, **options, generator=drawn()).images
        g = drawn()
        if strength < 1:
            torch.randn(1, 4, 8, 8, generator=g)  # diffusers draws the picture's latents first
            g = torch.randn(1, 4, 8, 8, generator=g)
        options = {"steps": steps, "strength": strength, "guidance": 6.0, "noise": g}
        same(ours(pipe, start=picture(1), mask=mask(), **options), both(other, theirs))
    names = {"text", "shown"} | ({"pooled", "size"} if "xl" in build.__name__ else set())
    changed(pipe, names, start=picture(1), mask=mask(), noise=torch.randn(1, 4, 8, 8, generator=drawn()))


def test_what_inpainting_checkpoints_do_and_refuse(tmp_path: Path) -> None:
    """What is known stays to the pixel; without a mask all is made anew, in windows as well; a loop is refused."""
    pipe = mediagen.load(tiny_image.sd_inpaint(tmp_path / "nine", PLANS["ddim"]()))
    made = pipe.inpaint(picture(1), mask(), "a cat", steps=2, seed=1)
    assert (made.pixels[:3] == picture(1).pixels[:3]).all()
    assert pipe.generate("a cat", steps=2, seed=1, size=24, window=16).size == (24, 24)
    assert pipe.vary(picture(1), "a cat", steps=4, seed=1).sha256 != made.sha256
    with pytest.raises(ValueError, match="is shown what has a place: it makes no loops"):
        pipe.generate("a cat", loop=(-1,))
    with pytest.raises(ValueError, match="does not make pictures larger"):
        pipe.upscale(picture(1))
    four = mediagen.load(tiny_image.sd_inpaint(tmp_path / "four", PLANS["ddim"](), channels=4))
    assert four.model.shown is None and four.inpaint(picture(1), mask(), "a cat", steps=2, seed=1).size == (16, 16)
    with pytest.raises(ValueError, match="its U-Net takes 5 channels, not 4 of latents and 5 that it is shown"):
        mediagen.load(tiny_image.sd_inpaint(tmp_path / "five", PLANS["ddim"](), channels=5))


@pytest.mark.parametrize("plan", ["euler", "ddim", "dpm"])
@torch.no_grad()
def test_refiner(plan: str, tmp_path: Path) -> None:
    """From the noised picture, told how much it is liked; it finishes what a base began."""
    folder = tiny_image.sdxl_refiner(tmp_path / "refiner", PLANS[plan]())
    pipe, other = mediagen.load(folder), published(folder)
    known = torch.randn(1, 4, 8, 8, generator=drawn(1))
    sizes = {"original_size": (SIDE, SIDE), "target_size": (SIDE, SIDE), "output_type": "latent"}
    job = pipe.job(PROMPT, size=SIDE, steps=8, guidance=6.0, noise=torch.randn(1, 4, 8, 8, generator=drawn()))
    for strength in (0.25, 0.5):
        options = {"num_inference_steps": 8, "strength": strength, "guidance_scale": 6.0, "generator": drawn()}
        theirs = other(PROMPT, image=known, **options, **sizes).images
        start = Start(known=known, strength=strength)
        *_, last = pipe.walk(job, pipe.asked(job), start)
        same((last.x, pipe.decode(last.x) / 2 + 0.5), both(other, theirs))
    changed(pipe, {"text", "pooled", "size"}, size=SIDE, noise=torch.randn(1, 4, 8, 8, generator=drawn()))
    asked = pipe.asked(job)
    assert asked.prompts[0][0]["size"][0].tolist() == [16, 16, 0, 0, 6.0] and float(asked.null["size"][0, -1]) == 2.5
    if plan != "dpm":  # diffusers' forgets its past where the refiner begins
        as_one(pipe, other, tiny.sdxl(tmp_path / "base", PLANS[plan]()), sizes)


def as_one(refiner: Any, other: Any, folder: Path, sizes: dict[str, Any]) -> None:
    base, first = mediagen.load(folder), published(folder)
    for steps in (5, 10):
        noise = torch.randn(1, 4, 8, 8, generator=drawn())
        options = {"num_inference_steps": steps, "guidance_scale": 6.0, **sizes}
        begun = first(PROMPT, height=SIDE, width=SIDE, latents=noise, denoising_end=0.6, **options).images
        theirs = other(PROMPT, image=begun, denoising_start=0.6, **options).images
        mine = ours(ensemble(base, refiner, share=0.6), size=SIDE, steps=steps, guidance=6.0, noise=noise)
        same(mine, both(other, theirs))
    both_at_once = ensemble(base, refiner).generate("a cat", negative="a dog", steps=2, seed=1, window=16, size=24)
    assert both_at_once.size == (24, 24) and " + " in both_at_once.metadata
    with pytest.raises(ValueError, match="share must lie between 0 and 1, not 1"):
        ensemble(base, refiner, share=1)


@pytest.mark.parametrize("plan", ["published", "euler", "dpm"])
@torch.no_grad()
def test_upscaler(plan: str, tmp_path: Path) -> None:
    """The noise of the small picture is drawn first, then that of the latents."""
    v = {"prediction_type": "v_prediction"}
    plans = PLANS | {"published": lambda: scheduler("DDIMScheduler", **tiny.DDIM, **v)}
    folder = tiny_image.sd_upscale(tmp_path, plans[plan]())
    pipe, other, small = mediagen.load(folder), published(folder), picture(1, 8)
    for steps, level in ((2, 20), (5, 300)):
        options = {"num_inference_steps": steps, "noise_level": level, "output_type": "latent", "generator": drawn()}
        theirs = other(PROMPT, image=small.pil(), **options).images
        mine = ours(pipe, start=small, steps=steps, strength=level / 1000, noise=drawn())
        same(mine, both(other, theirs))
    changed(pipe, {"text", "shown", "level"}, start=small, noise=drawn())
    made = pipe.upscale(small, "a cat", steps=2, seed=1)
    assert made.size == (16, 16) and '"upscale"' in made.metadata and '"strength": 0.02' in made.metadata
    for refused in (
        lambda: pipe.generate("a cat"),
        lambda: pipe.vary(small, "a cat"),
        lambda: pipe.inpaint(small, small, "a"),
    ):
        with pytest.raises(ValueError, match=r"makes a picture larger: upscale\(picture, prompt\) alone"):
            refused()
    with pytest.raises(ValueError, match=r"strength must be at most 0\.35, not 0\.5"):
        pipe.upscale(small, "a cat", strength=0.5)
    with pytest.raises(ValueError, match="makes a picture 2 times larger: leave out size"):
        pipe.upscale(small, "a cat", size=32)
