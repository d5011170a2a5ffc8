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
from mediagen.families import _adapters as adapters
from mediagen.generators.diffusion import Start
from mediagen.modalities.image import Image
from mediagen.pipelines.cascade import Cascade, ensemble

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


def swapped(value: torch.Tensor) -> torch.Tensor:
    masks = not value.is_floating_point() and value.ndim > 1
    return (value == 0).to(value.dtype) if masks else value.roll(1, -1) + 1


def changed(pipe: Any, names: set[str], **options: Any) -> None:
    """Each thing that the network is told or shown changes what is made, far above the tolerance."""
    job = pipe.job(PROMPT, steps=2, **options)
    asked, start = pipe.asked(job), pipe.start(job)
    [(cond, _)] = asked.prompts
    *_, plain = pipe.walk(job, asked, start)
    assert set(cond) - {"asked"} == names  # which of the rows is asked for, no network is told
    for name, value in ((name, cond[name]) for name in names):
        asked.prompts[0] = (cond | {name: swapped(value)}, 1.0)
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
    with pytest.raises(ValueError, match="takes 5 channels, not 4 of latents and 5 that it is shown"):
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


def test_a_command_without_what_is_enlarged(
    command: Callable[..., int], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_image.sd_upscale(tmp_path, PLANS["published"]())
    monkeypatch.setitem(mediagen._loaded, "larger", mediagen.load(folder))
    picture(1, 8).save("small.png")
    for given in ([], ["--from", "small.png", "--mask", "small.png"]):
        capsys.readouterr()
        assert command("image", "a cat", "--model", "larger", *given) == 2
        assert "larger makes a picture larger: give it by --from, and no --mask" in capsys.readouterr().err


SANA = {
    "published": ("DPMSolverMultistepScheduler", tiny.FLOWING),
    "unipc": ("UniPCMultistepScheduler", tiny.FLOWING),
    "euler": ("FlowMatchEulerDiscreteScheduler", tiny.FLOW),
}


@pytest.mark.parametrize("plan", SANA)
@torch.no_grad()
def test_sana(plan: str, tmp_path: Path) -> None:
    """What is asked for is read after an instruction, what is not, plainly."""
    name, settings = SANA[plan]
    folder = tiny_image.sana(tmp_path, scheduler(name, **settings))
    pipe, other, noise = mediagen.load(folder), published(folder), torch.randn(1, 4, 8, 8, generator=drawn())
    other.check_inputs = lambda *_, **__: None  # it has it that sides are multiples of 32, whatever its autoencoder
    size = {"height": SIDE, "width": SIDE, "use_resolution_binning": False, "output_type": "latent"}
    for steps, negative in ((2, ""), (5, "a dog")):
        options = {"num_inference_steps": steps, "negative_prompt": negative, "latents": noise}
        theirs = other(PROMPT, **options, **size).images
        same(ours(pipe, size=SIDE, steps=steps, negative=negative, noise=noise), both(other, theirs))
    changed(pipe, {"text", "text_mask"}, size=SIDE, noise=noise)
    assert pipe.inpaint(picture(1), mask(), "a (red:1.3) cat", steps=2, seed=1).size == (SIDE, SIDE)


IF = {
    "published": ("DDPMScheduler", tiny_image.IF),
    "plain width": ("DDPMScheduler", tiny_image.IF | {"variance_type": "fixed_small", "thresholding": False}),
    "dpm": ("DPMSolverMultistepScheduler", {k: v for k, v in tiny_image.IF.items() if k != "variance_type"}),
}


@pytest.mark.parametrize("plan", IF)
@torch.no_grad()
def test_deepfloyd(plan: str, tmp_path: Path) -> None:
    """Both stages, in pixel space: the width of a step's noise is the network's, the picture is kept in its range.

    Strong guidance of random networks multiplies what rounding differs by, tenfold a step: it is a weak one here."""
    name, settings = IF[plan]
    small = picture(1, 4)
    for second in (False, True):
        folder = tiny_image.deepfloyd(tmp_path / str(second), scheduler(name, **settings), second=second)
        pipe, other = mediagen.load(folder), published(folder)
        given, told = ({"start": small}, {"image": small.pil()}) if second else ({"size": SIDE}, {})
        for steps in (2, 5):
            options = {"num_inference_steps": steps, "generator": drawn(), "output_type": "pt", "guidance_scale": 1.5}
            theirs = other(PROMPT, height=SIDE, width=SIDE, clean_caption=False, **options, **told).images
            mine = ours(pipe, steps=steps, noise=drawn(), guidance=1.5, **given)
            same(mine, (theirs, theirs / 2 + 0.5))
        changed(pipe, {"text", "shown", "level"} if second else {"text"}, noise=drawn(), **given)
    if plan == "published":
        with pytest.raises(ValueError, match="one prompt and the whole picture: for several, ask for eta=0"):
            pipe.upscale(small, [("a cat", 1.0), ("a dog", 1.0)], steps=2)


def test_a_cascade(tmp_path: Path) -> None:
    """Three stages as a list, of which each makes the picture of the one before larger, or finer."""
    plan = scheduler("DDPMScheduler", **tiny_image.IF)
    folders = [tiny_image.deepfloyd(tmp_path / "one", plan)]
    folders += [tiny_image.deepfloyd(tmp_path / "two", plan, second=True)]
    folders += [tiny_image.sd_upscale(tmp_path / "three", scheduler("DDIMScheduler", **tiny.DDIM))]
    stages = Cascade.load(folders)
    made = stages.generate("a cat", seed=3, steps=2, each=[{"size": 8}, {"strength": 0.1}])
    first = mediagen.load(folders[0]).generate("a cat", seed=3, steps=2, size=8)
    next_one = mediagen.load(folders[1]).upscale(first, "a cat", seed=3, steps=2, strength=0.1)
    last = mediagen.load(folders[2]).upscale(next_one, "a cat", seed=3, steps=2)
    assert made.size == (64, 64) and made.sha256 == last.sha256
    whole = stages.generate("a cat", seed=3, steps=2, size=64, each=[{}, {"strength": 0.1}])
    assert whole.sha256 == made.sha256  # each stage its own size, of that of the last one
    assert Cascade(stages=stages.stages[:2]).generate("a cat", steps=1, size=(64, 32)).size == (64, 32)
    with pytest.raises(ValueError, match="size 36x36 must be multiples of 16 from 16 to 4096 pixels a side"):
        stages.generate("a cat", size=36)
    with pytest.raises(ValueError, match="size is 64 and the first stage's 8: say one of them"):
        stages.generate("a cat", size=64, each=[{"size": 8}])
    with pytest.raises(ValueError, match="there are 3 stages, options were given for 4"):
        stages.generate("a cat", each=[{}] * 4)
    with pytest.raises(ValueError, match="a cascade is of one model of pictures or more"):
        Cascade.load([])


def test_a_cascade_that_varies(tmp_path: Path) -> None:
    """A stage that is no model for making pictures larger keeps the size of what it is given."""
    folder = tiny.sd(tmp_path, scheduler("DDIMScheduler", **tiny.DDIM))
    assert Cascade.load([folder, folder]).generate("a cat", seed=3, steps=2, size=(32, 16)).size == (32, 16)


LCM = {"time_cond_proj_dim": 16}
FEW: dict[str, tuple[Callable[..., Path], str, dict[str, Any], dict[str, Any]]] = {
    "lcm": (tiny_image.lcm, "LCMScheduler", tiny.LEADING, {}),
    "lcm of sdxl": (tiny.sdxl, "LCMScheduler", tiny.LEADING, LCM),
    "turbo": (tiny.sd, "EulerDiscreteScheduler", tiny_image.TRAILING, {}),
    "turbo of sdxl": (tiny.sdxl, "EulerAncestralDiscreteScheduler", tiny_image.TRAILING, {}),
}


@pytest.mark.parametrize("name", FEW)
@torch.no_grad()
def test_few_steps(name: str, tmp_path: Path) -> None:
    """What was distilled, in one step and in four: LCM is told its guidance, Turbo has none."""
    build, plan, settings, more = FEW[name]
    folder = build(tmp_path, scheduler(plan, **settings), **more)
    pipe, other = mediagen.load(folder), published(folder)
    scales = {"guidance_scale": 8.5}, {"guidance": 8.5}
    if "turbo" in name:
        scales = {"guidance_scale": 0.0}, {"guidance": 1.0}
    for steps in (1, 4):
        options = {"num_inference_steps": steps, "generator": drawn(), "output_type": "latent"}
        theirs = other(PROMPT, height=SIDE, width=SIDE, **options, **scales[0]).images
        same(ours(pipe, size=SIDE, steps=steps, noise=drawn(), **scales[1]), both(other, theirs))
    assert name != "lcm" or (pipe.model.defaults["steps"], pipe.model.defaults["guidance"]) == (4, 8.5)


@torch.no_grad()
def test_flux_packs_behind_its_autoencoder(tmp_path: Path) -> None:
    """A state's position is a token of two by two latents: of media, of the noise that is drawn, and as it is shown."""
    model = mediagen.load(tiny.flux(tmp_path, tiny.scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))).model
    plain, vae = adapters.picture_vae(model.autoencoder.vae), model.autoencoder
    media = torch.rand(2, 3, 16, 32, generator=drawn()) * 2 - 1
    z = vae.encode(media)
    assert z.shape == (2, 16, 4, 8) and vae.spec.grid((16, 32)) == (4, 8)
    assert torch.equal(vae.pictured(z), plain.encode(media)) and torch.equal(
        vae.decode(z), plain.decode(vae.pictured(z))
    )
    noise = model.drawn(drawn(), None)(0, z)
    assert torch.equal(vae.pictured(noise), torch.randn(2, 4, 8, 16, generator=drawn()))
    assert model.preview(z).shape == (2, 3, 8, 16) and model.defaults["steps"] == 28
    with pytest.raises(ValueError, match=r"\(14, 32\)"):  # half of a token
        vae.encode(media[:, :, :14])


def test_flux_schnell_takes_four_steps(tmp_path: Path) -> None:
    """As it is published for: it is told no guidance, and its schedule is the same at each size."""
    plan = tiny.scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=1.0)
    assert mediagen.load(tiny.flux(tmp_path, plan, guidance=False)).model.defaults["steps"] == 4
