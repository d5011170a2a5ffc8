"""What the sampling loop costs beside the network, ours and diffusers' pipeline around the same weights, in one run.

Both sides run the same UNet with the same inputs, batch, guidance and grid, and must end on the same latents before
anything is timed, which is done as of a checkpoint (`beside`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mediagen.core import guidance, solve, timing
from mediagen.core.denoiser import Denoiser
from mediagen.core.path import Table

from .beside import TARGETS, Call, Pair, apart, overhead
from .document import row
from .fresh import machine

SIZE, TOKENS, WIDTH = 16, 16, 32
TOLERANCE = 1e-4
SOLVERS = {"euler": "DDIMScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler"}
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """What both sides share: the UNet, token states and those of the empty prompt [1, L, D], noise [1, 4, H, W]."""

    unet: Any
    text: Tensor
    null: Tensor
    x: Tensor


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table. scale: of guidance, 1 is none; network: whether the UNet is run, or only echoes."""

    rule: str
    scale: float
    network: bool = True


CASES = (
    Case(rule="euler", scale=7.5),
    Case(rule="dpmpp_2m", scale=7.5),
    Case(rule="dpmpp_2m", scale=7.5, network=False),
    Case(rule="euler", scale=1.0, network=False),
)


class Net(nn.Module):
    """A diffusers UNet as a network of ours."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        return self.unet(x, t, encoder_hidden_states=cond["text"], return_dict=False)[0]


def rig(seed: int = 0) -> Rig:
    """A tiny UNet with random weights, and random inputs, all drawn from `seed`. ImportError without diffusers."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=SIZE,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=8,
            norm_num_groups=8,
        )
        text, null = torch.randn(2, 1, TOKENS, WIDTH)
        x = torch.randn(1, 4, SIZE, SIZE)
    return Rig(unet=unet.eval().requires_grad_(False), text=text, null=null, x=x)


def pair(rig: Rig, case: Case) -> Pair:
    """Both sides of a line."""
    return Pair(mine=ours(rig, case), theirs=theirs(rig, case), networks={"unet": rig.unet})


def ours(rig: Rig, case: Case) -> Call:
    """Latents by `core.solve.sample`; what a call of a loaded model does is inside, loading is outside."""
    road = Table.scaled_linear()
    model = Denoiser(Net(rig.unet), road, "eps", clock=lambda t, a, s: road.size * t - 1)

    def call(steps: int) -> list[Tensor]:
        times = timing.grid(timing.Trailing(), steps, road)
        positive, null = model.bind({"text": rig.text}), model.bind({"text": rig.null})
        terms = [] if case.scale == 1 else [guidance.cfg(positive, null, case.scale)]
        denoise = guidance.guided(positive, *terms)
        return [solve.last(solve.sample(denoise, rig.x, road, times, rule=case.rule)).x]

    return torch.no_grad()(call)


def theirs(rig: Rig, case: Case) -> Call:
    """Latents by diffusers' StableDiffusionPipeline, without its text encoder, decoder, checker and bar."""
    import diffusers

    scheduler = getattr(diffusers, SOLVERS[case.rule])(
        **BETAS, timestep_spacing="trailing", **({"clip_sample": False} if case.rule == "euler" else {})
    )
    absent = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    pipe = diffusers.StableDiffusionPipeline(
        unet=rig.unet, scheduler=scheduler, **absent, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)

    def call(steps: int) -> list[Tensor]:
        made = pipe(
            prompt_embeds=rig.text,
            negative_prompt_embeds=rig.null if case.scale != 1 else None,
            latents=rig.x,
            num_inference_steps=steps,
            guidance_scale=case.scale,
            output_type="latent",
            return_dict=False,
        )
        return [made[0]]

    return call


def table(steps: int = 25, repeats: int = 12) -> str:
    """The markdown table. ValueError if the two sides do not end on the same latents."""
    shared = rig()
    head = ["loop", "network", "latents differ by"]
    head += [f"{what}: {side}" for what in ("µs a step", "ms a call") for side in ("mediagen", "diffusers", "ratio")]
    head += [f"whole call of {steps} steps, ms: mediagen", "diffusers"]
    lines = [row(head), row(["---"] * len(head)), *(_line(shared, case, steps, repeats) for case in CASES)]
    return "\n".join([*lines, "", f"{TARGETS} {machine('diffusers')}"])


def _line(rig: Rig, case: Case, steps: int, repeats: int) -> str:
    both = pair(rig, case)
    if not (far := apart(both, steps)) < TOLERANCE:
        raise ValueError(f"{case} gives latents {far:.1e} from diffusers', above {TOLERANCE:.0e}: nothing to compare")
    mine, other = overhead(both, steps, repeats, echo=not case.network)
    cells = [f"`{case.rule}`, {'no guidance' if case.scale == 1 else 'cfg'}", "UNet" if case.network else "none"]
    cells += [f"{far:.0e}", f"{mine.step * 1e6:.0f}", f"{other.step * 1e6:.0f}", f"{mine.step / other.step:.2f}"]
    cells += [f"{mine.call * 1e3:.2f}", f"{other.call * 1e3:.2f}", f"{mine.call / other.call:.2f}"]
    return row([*cells, f"{mine.whole * 1e3:.1f}", f"{other.whole * 1e3:.1f}"])
