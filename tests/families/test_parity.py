"""Published checkpoints through our loop give what diffusers' own pipelines give, from the same noise.

Latents within 1e-5 relative, decoded pictures within 1e-4 of 0 .. 1, at two step counts. Measured in float32: 1e-7 to
5e-6 and under 2e-6.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import scheduler

import mediagen
from mediagen.generators.diffusion import Start

diffusers = pytest.importorskip("diffusers")

PROMPT, SIDE = "a red cat of the dog", 2 * tiny.SAMPLE
KARRAS = {"use_karras_sigmas": True}
V = {"prediction_type": "v_prediction"}
ZERO = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
FRAMES = 5  # of clips

CASES: dict[str, tuple[Callable[..., Path], Callable[[], Any]]] = {
    "sd": (tiny.sd, lambda: scheduler("PNDMScheduler", **tiny.PNDM)),
    "sd, v": (partial(tiny.sd, **tiny.SD2), lambda: scheduler("DDIMScheduler", **tiny.DDIM, **V)),
    "sd, v to zero snr": (tiny.sd, lambda: scheduler("DDIMScheduler", **(tiny.DDIM | V | ZERO))),
    "sd, karras": (tiny.sd, lambda: scheduler("DPMSolverMultistepScheduler", **tiny.TABLE, **KARRAS)),
    "sdxl": (tiny.sdxl, lambda: scheduler("EulerDiscreteScheduler", **tiny.LEADING)),
    "sdxl, karras": (tiny.sdxl, lambda: scheduler("EulerDiscreteScheduler", **tiny.LEADING, **KARRAS)),
    "sdxl, dpm": (partial(tiny.sdxl, zeros=False), lambda: scheduler("DPMSolverMultistepScheduler", **tiny.LEADING)),
    "sd3": (tiny.sd3, lambda: scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLOW)),
    "sd3, no t5, dpm": (
        partial(tiny.sd3, third=False),
        lambda: scheduler("DPMSolverMultistepScheduler", **tiny.FLOWING),
    ),
    "flux": (tiny.flux, lambda: scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX)),
    "flux, schnell": (
        partial(tiny.flux, guidance=False),
        lambda: scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=1.0),
    ),
    "pixart": (tiny.pixart, lambda: scheduler("DPMSolverMultistepScheduler", num_train_timesteps=1000)),
    "pixart, alpha": (partial(tiny.pixart, sigma=False), lambda: scheduler("EulerDiscreteScheduler", **tiny.TABLE)),
    "wan": (tiny.wan, lambda: scheduler("UniPCMultistepScheduler", **tiny.FLOWING)),
    "wan, two experts": (partial(tiny.wan, experts=2), lambda: scheduler("UniPCMultistepScheduler", **tiny.FLOWING)),
    "ltx": (tiny.ltx, lambda: scheduler("FlowMatchEulerDiscreteScheduler", **tiny.LTX)),
    "ltx, timed decoder": (
        partial(tiny.ltx, timed=True),
        lambda: scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=1.0),
    ),
    "wan, times per token": (
        partial(tiny.wan, per_token=True),
        lambda: scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=5.0),
    ),
}
SIZED = {"use_dynamic_shifting": True, "time_shift_type": "exponential"}
MORE = {
    "sd, heun": (tiny.sd, lambda: scheduler("HeunDiscreteScheduler", **tiny.LEADING)),
    "sd, unipc": (tiny.sd, lambda: scheduler("UniPCMultistepScheduler", **tiny.LEADING)),
    "sd, euler trailing": (
        tiny.sd,
        lambda: scheduler("EulerDiscreteScheduler", **tiny.TABLE, timestep_spacing="trailing"),
    ),
    "sd, exponential": (
        tiny.sd,
        lambda: scheduler("EulerDiscreteScheduler", **tiny.LEADING, use_exponential_sigmas=True),
    ),
    "sdxl, ddim": (tiny.sdxl, lambda: scheduler("DDIMScheduler", **tiny.DDIM)),
    "flux, unipc": (tiny.flux, lambda: scheduler("UniPCMultistepScheduler", **tiny.FLOWING, **SIZED)),
    "flux, dpm": (tiny.flux, lambda: scheduler("DPMSolverMultistepScheduler", **tiny.FLOWING, **SIZED)),
    "flux, beta": (tiny.flux, lambda: scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX, use_beta_sigmas=True)),
    "pixart, ddim": (tiny.pixart, lambda: scheduler("DDIMScheduler", **tiny.DDIM)),
    "wan, dpm": (tiny.wan, lambda: scheduler("DPMSolverMultistepScheduler", **tiny.FLOWING)),
    "wan, euler": (tiny.wan, lambda: scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLOW)),
    "ltx, unipc": (tiny.ltx, lambda: scheduler("UniPCMultistepScheduler", **tiny.FLOWING, **SIZED)),
    "ltx, karras": (tiny.ltx, lambda: scheduler("FlowMatchEulerDiscreteScheduler", **tiny.LTX, **KARRAS)),
    "sd3, unipc": (tiny.sd3, lambda: scheduler("UniPCMultistepScheduler", **tiny.FLOWING)),
    "sd3, sized shift": (
        tiny.sd3,
        lambda: scheduler("FlowMatchEulerDiscreteScheduler", **(tiny.FLUX | {"max_shift": 1.16})),
    ),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """name of a case -> its folder, built once."""
    made: dict[str, Path] = {}

    def checkpoint(name: str) -> Path:
        if name not in made:
            build, plan = (CASES | MORE)[name]
            made[name] = build(tmp_path_factory.mktemp("checkpoint"), plan())
        return made[name]

    return checkpoint


def theirs(folder: Path, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(latents, pictures or frames in 0 .. 1) by diffusers' own pipeline."""
    pipe = tiny.published(folder)
    seen = {}

    def keep(_: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.update(given)
        return given

    pipe.check_inputs = lambda *_, **__: None  # LTX has it that sides are multiples of 32, whatever its autoencoder
    if "latents" in options:
        options["latents"] = packed(pipe, options["latents"])
    clip = isinstance(pipe, (diffusers.WanPipeline, diffusers.LTXPipeline))
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": steps} | ({"num_frames": FRAMES} if clip else {})
    if isinstance(pipe, (diffusers.PixArtAlphaPipeline, diffusers.PixArtSigmaPipeline)):
        watch = {"callback": lambda step, t, z: seen.update(latents=z), "use_resolution_binning": False}
    else:
        watch = {"callback_on_step_end": keep}
    made = pipe(PROMPT, **size, **options, output_type="pt", **watch)
    return unpacked(pipe, seen["latents"]), made.frames.transpose(1, 2) if clip else made.images


def packed(pipe: Any, z: torch.Tensor) -> torch.Tensor:
    """Latents as the pipelines of diffusers want them."""
    if isinstance(pipe, diffusers.FluxPipeline):
        return pipe._pack_latents(z, *z.shape)
    return pipe._pack_latents(z) if isinstance(pipe, diffusers.LTXPipeline) else z


def unpacked(pipe: Any, z: torch.Tensor) -> torch.Tensor:
    if isinstance(pipe, diffusers.FluxPipeline):
        return pipe._unpack_latents(z, SIDE, SIDE, pipe.vae_scale_factor)
    return pipe._unpack_latents(z, 2, SIDE // 4, SIDE // 4) if isinstance(pipe, diffusers.LTXPipeline) else z


@torch.no_grad()
def ours(pipe: Any, steps: int, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(given := options.get("noise"), torch.Tensor):
        options["noise"] = tiny.as_ours(pipe, given)
    job = pipe.job(PROMPT, steps=steps, **size_of(pipe), **options)
    *_, last = pipe.walk(job, pipe.asked(job))
    return tiny.as_published(pipe, last.x), (pipe.decode(last.x) / 2 + 0.5).clamp(0, 1)


def size_of(pipe: Any) -> dict[str, Any]:
    return {"size": SIDE} | ({"seconds": FRAMES / pipe.rate} if pipe.model.modality == "video" else {})


def same(mine: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert float((mine[0] - other[0]).norm() / other[0].norm()) < 1e-5
    assert float((mine[1] - other[1]).abs().max()) < 1e-4 and float(other[1].std()) > 0.02


def noise(pipe: Any) -> torch.Tensor:
    grid = (2, SIDE // 4, SIDE // 4) if pipe.model.modality == "video" else (tiny.SAMPLE, tiny.SAMPLE)
    return torch.randn(1, 4, *grid, generator=torch.Generator().manual_seed(3))


def check(folder: Path) -> None:
    pipe = mediagen.load(folder)
    for steps in (2, 5):
        same(ours(pipe, steps, noise=noise(pipe)), theirs(folder, steps, latents=noise(pipe)))


@pytest.mark.parametrize("name", CASES)
def test_as_published(name: str, checkpoints: Callable[[str], Path]) -> None:
    check(checkpoints(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_as_published_with_other_schedulers(name: str, checkpoints: Callable[[str], Path]) -> None:
    check(checkpoints(name))


@pytest.mark.slow
@pytest.mark.parametrize("build", [tiny.sd3, tiny.wan])
def test_heun_on_the_straight_path(build: Callable[..., Path], tmp_path: Path) -> None:
    """Its last level is near 0, by which both sides divide: what rounding does of two steps is twice as much."""
    folder = build(tmp_path, scheduler("FlowMatchHeunDiscreteScheduler", **tiny.FLOW))
    pipe = mediagen.load(folder)
    assert pipe.model.defaults["solver"] == "heun"
    for steps in (5, 12):
        same(ours(pipe, steps, noise=noise(pipe)), theirs(folder, steps, latents=noise(pipe)))


def test_what_a_scheduler_is_not_given(tmp_path: Path) -> None:
    """Levels of the family's own, which Heun's takes none of."""
    folder = tiny.ltx(tmp_path, scheduler("FlowMatchHeunDiscreteScheduler", **tiny.FLOW))
    pipe = mediagen.load(folder)
    with pytest.raises(ValueError, match="HeunDiscreteScheduler takes no sigmas, which its family gives it: put Flow"):
        pipe.generate(PROMPT, size=SIDE, seconds=FRAMES / pipe.rate, steps=2)


def test_a_negative_prompt_and_rescaled_guidance(checkpoints: Callable[[str], Path]) -> None:
    folder, words = checkpoints("sdxl"), "the blue dog"
    pipe = mediagen.load(folder)
    mine = ours(pipe, 3, noise=noise(pipe), negative=words, guidance=3.0, rescale=0.7)
    other = theirs(folder, 3, latents=noise(pipe), negative_prompt=words, guidance_scale=3.0, guidance_rescale=0.7)
    same(mine, other)


def test_each_expert_has_its_own_guidance(checkpoints: Callable[[str], Path]) -> None:
    """The second scale below the boundary, where the second network acts; another model has to be told where."""
    folder = checkpoints("wan, two experts")
    pipe = mediagen.load(folder)
    for steps in (2, 5):
        mine = ours(pipe, steps, noise=noise(pipe), guidance=4.0, guidance_2=2.0)
        same(mine, theirs(folder, steps, latents=noise(pipe), guidance_scale=4.0, guidance_scale_2=2.0))
        plain = ours(pipe, steps, noise=noise(pipe), guidance=4.0)
        assert float((mine[0] - plain[0]).norm() / plain[0].norm()) > 1e-3
    one = mediagen.load(checkpoints("wan"))
    with pytest.raises(ValueError, match="has one network: give the boundary"):
        one.job(PROMPT, guidance_2=2.0)
    changed = [ours(one, 3, noise=noise(one), guidance_2=2.0, boundary=boundary)[0] for boundary in (0.01, 0.99)]
    assert torch.equal(changed[0], ours(one, 3, noise=noise(one))[0])
    assert not torch.equal(*changed)


def test_skipped_layers(checkpoints: Callable[[str], Path]) -> None:
    folder = checkpoints("sd3")
    pipe = mediagen.load(folder)
    everywhere = {"skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 2.0, "skip_layer_guidance_scale": 2.8}
    mine = ours(pipe, 3, noise=noise(pipe), skip_layers=(0,), skip_scale=2.8)
    plain = ours(pipe, 3, noise=noise(pipe))
    same(mine, theirs(folder, 3, latents=noise(pipe), skip_guidance_layers=[0], **everywhere))
    assert float((mine[0] - plain[0]).norm() / plain[0].norm()) > 1e-3


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(11)


@pytest.mark.parametrize("kind", ["ancestral", "lcm"])
def test_a_generator_is_drawn_from_in_the_published_order(kind: str, tmp_path: Path) -> None:
    """First the noise to start from, then that of each step. An LCM's U-Net is told the scale of guidance."""
    if kind == "lcm":
        folder = tiny.sd(tmp_path, scheduler("LCMScheduler", **tiny.LEADING), time_cond_proj_dim=16)
    else:
        folder = tiny.sd(tmp_path, scheduler("EulerAncestralDiscreteScheduler", **tiny.LEADING))
    pipe = mediagen.load(folder)
    for steps in (2, 5):
        same(ours(pipe, steps, noise=drawn()), theirs(folder, steps, generator=drawn()))


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "pixart, alpha", "wan", "ltx"])
@torch.no_grad()
def test_each_condition_matters(name: str, checkpoints: Callable[[str], Path]) -> None:
    """What the network is told changes what is made, far above the tolerance of the tests above."""
    pipe = mediagen.load(checkpoints(name))
    job = pipe.job(PROMPT, steps=2, noise=tiny.as_ours(pipe, noise(pipe)), **size_of(pipe))
    asked = pipe.asked(job)
    [(cond, _)] = asked.prompts
    *_, plain = pipe.walk(job, asked)
    for told in cond:
        value = cond[told]
        swapped = value == 0 if told == "text_mask" else value.roll(1, -1) + 0.5
        other = cond | {told: swapped.to(value.dtype)}
        asked.prompts[0] = (other, 1.0)
        *_, changed = pipe.walk(job, asked)
        assert float((changed.x - plain.x).norm() / plain.x.norm()) > 1e-3, told
    expected = {
        "sd": {"text"},
        "pixart, alpha": {"text", "text_mask", "size", "ratio"},
        "wan": {"text"},
        "ltx": {"text", "text_mask"},
        "sd3": {"text", "pooled"},
        "flux": {"text", "pooled", "scale"},
    }
    assert set(cond) == expected.get(name, {"text", "pooled", "size"})


@pytest.mark.parametrize("name", ["sd, v", "sdxl"])
@torch.no_grad()
def test_varied_as_published(name: str, checkpoints: Callable[[str], Path]) -> None:
    """From clean latents, noised half way: diffusers' image-to-image pipelines of the same checkpoint."""
    folder = checkpoints(name)
    kind = "StableDiffusionXLImg2ImgPipeline" if name == "sdxl" else "StableDiffusionImg2ImgPipeline"
    other = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True)
    other.set_progress_bar_config(disable=True)
    pipe, known = mediagen.load(folder), torch.randn(1, 4, tiny.SAMPLE, tiny.SAMPLE, generator=drawn().manual_seed(1))
    options = {"num_inference_steps": 8, "strength": 0.5, "guidance_scale": 6.0, "generator": drawn()}
    if name == "sdxl":
        options |= {"original_size": (SIDE, SIDE), "target_size": (SIDE, SIDE)}
    theirs = other(PROMPT, image=known, output_type="latent", **options).images
    eps = torch.randn(known.shape, generator=drawn())
    job = pipe.job(PROMPT, size=SIDE, steps=8, guidance=6.0, noise=eps)
    *_, last = pipe.walk(job, pipe.asked(job), Start(known=known, strength=0.5))
    assert float((last.x - theirs).norm() / theirs.norm()) < 1e-5
