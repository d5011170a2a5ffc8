"""Tiny checkpoints with control networks, and the same pictures by our pipelines and by diffusers' own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import mediagen

diffusers = pytest.importorskip("diffusers")

PROMPT, SIDE = "a red cat of the dog", 2 * tiny.SAMPLE
PIPELINES = {"sd": "StableDiffusionControlNetPipeline", "sdxl": "StableDiffusionXLControlNetPipeline"}
PIPELINES |= {"sd3": "StableDiffusion3ControlNetPipeline", "flux": "FluxControlNetPipeline"}
PLANS = {"sd": ("DDIMScheduler", tiny.DDIM), "sdxl": ("EulerDiscreteScheduler", tiny.LEADING)}
PLANS |= {name: ("FlowMatchEulerDiscreteScheduler", plan) for name, plan in (("sd3", tiny.FLOW), ("flux", tiny.FLUX))}


def drawn(folder: Path, name: str, net: Any, seed: int, bare: bool = True) -> Path:
    """A folder with a random control network of `net`. bare: whether one for SD3 is told no pooled text."""
    shape = dict(net.config)
    if name == "sd3":
        shape |= {"num_layers": 1, "extra_conditioning_channels": 0, "force_zeros_for_pooled_projection": bare}
        made = diffusers.SD3ControlNetModel.from_config(shape)
    elif name == "flux":
        made = diffusers.FluxControlNetModel.from_config(shape)
    else:
        made = diffusers.ControlNetModel.from_unet(net, conditioning_embedding_out_channels=(8, 16))
    tiny.redraw(made, seed).save_pretrained(folder)
    return folder


def certain(folder: Path) -> None:
    """An autoencoder whose latents have no spread: diffusers draws the latents of a picture, ours are their mean."""
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    vae.encoder.conv_out.weight.data[4:] = 0
    vae.encoder.conv_out.bias.data[4:] = -40
    vae.save_pretrained(folder / "vae")


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8))


def made(folder: Path, name: str) -> tuple[Any, list[Path]]:
    """(pipeline of a tiny checkpoint, two control networks of it)."""
    plan, settings = PLANS[name]
    getattr(tiny, name)(folder, tiny.scheduler(plan, **settings))
    certain(folder)
    pipe = mediagen.load(folder)
    return pipe, [drawn(folder / str(seed), name, network(pipe), seed) for seed in (11, 12)]


def network(pipe: Any) -> Any:
    """What control networks of this checkpoint are copies of."""
    return next(part for key, part in pipe.model.adapts.parts.items() if key in ("unet", "transformer"))


def noise() -> torch.Tensor:
    return torch.randn(1, 4, tiny.SAMPLE, tiny.SAMPLE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def ours(pipe: Any, steps: int = 3, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    job = pipe.job(PROMPT, size=SIDE, steps=steps, noise=tiny.as_ours(pipe, noise()), **options)
    *_, last = pipe.walk(job, pipe.asked(job))
    return tiny.as_published(pipe, last.x), (pipe.decode(last.x) / 2 + 0.5).clamp(0, 1)


def theirs(
    name: str, folder: str, nets: list[Path], steps: int = 3, **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    kind = getattr(diffusers, PIPELINES[name])
    made = {"sd3": diffusers.SD3ControlNetModel, "flux": diffusers.FluxControlNetModel}
    networks = [made.get(name, diffusers.ControlNetModel).from_pretrained(net, local_files_only=True) for net in nets]
    absent = {"safety_checker": None} if name == "sd" else {}
    pipe = kind.from_pretrained(folder, controlnet=networks, local_files_only=True, **absent)
    pipe.set_progress_bar_config(disable=True)
    seen: dict[str, Any] = {}

    def keep(_: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.update(given)
        return given

    z = noise()
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": steps, "guidance_scale": 6.0}
    size["latents"] = pipe._pack_latents(z, *z.shape) if name == "flux" else z
    options["image" if name in ("sd", "sdxl") else "control_image"] = options.pop("pictures")
    made = pipe(PROMPT, output_type="pt", callback_on_step_end=keep, **size, **options)
    found = seen["latents"]
    return pipe._unpack_latents(found, SIDE, SIDE, pipe.vae_scale_factor) if name == "flux" else found, made.images


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).norm() / two.norm())
