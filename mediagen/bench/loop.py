"""What the sampling loop costs beside the network, ours and diffusers' pipeline around the same weights, in one run.

The network is clocked from inside: its forward pass is wrapped, and what is left of a call's time is the loop's own. So
the noise of the network's time (milliseconds) does not drown the loop's (microseconds). The loop works and never waits,
so its time is that of the calling thread (`time.thread_time`), which other processes on the machine do not lengthen;
whole calls are wall time. Both sides run the same UNet with the same inputs, batch, guidance and grid, and must end on
the same latents before anything is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from mediagen.core import guidance, solve, timing
from mediagen.core.denoiser import Denoiser
from mediagen.core.path import Table

SIZE, TOKENS, WIDTH = 16, 16, 32
TOLERANCE = 1e-4
TARGETS = "Target: under 50 µs a step and 1 ms a call."
SOLVERS = {"euler": "DDIMScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler"}
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}

Call = Callable[[int], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """What both sides share: the UNet, token states and those of the empty prompt [1, L, D], noise [1, 4, H, W]."""

    unet: Any
    text: Tensor
    null: Tensor
    x: Tensor


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table. scale: of guidance, 1 is none; network: False puts nothing in the UNet's place."""

    rule: str
    scale: float
    network: bool = True


CASES = (
    Case(rule="euler", scale=7.5),
    Case(rule="dpmpp_2m", scale=7.5),
    Case(rule="dpmpp_2m", scale=7.5, network=False),
    Case(rule="euler", scale=1.0, network=False),
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The loop's own cost: seconds a step and seconds a call, and a whole call of the most steps with the network."""

    step: float
    call: float
    whole: float


@dataclass(kw_only=True)
class Clock:
    """Adds up the calling thread's seconds in a function."""

    function: Callable[..., Any]
    seconds: float = field(default=0.0, init=False)

    def __call__(self, *args: Any, **options: Any) -> Any:
        begin = time.thread_time()
        result = self.function(*args, **options)
        self.seconds += time.thread_time() - begin
        return result


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


def ours(rig: Rig, case: Case) -> Call:
    """steps -> latents by `core.solve.sample`; what a call of a loaded model does is inside, loading is outside."""
    road = Table.scaled_linear()
    model = Denoiser(Net(rig.unet), road, "eps", clock=lambda t, a, s: road.size * t - 1)

    def call(steps: int) -> Tensor:
        times = timing.grid(timing.Trailing(), steps, road)
        positive, null = model.bind({"text": rig.text}), model.bind({"text": rig.null})
        terms = [] if case.scale == 1 else [guidance.cfg(positive, null, case.scale)]
        denoise = guidance.guided(positive, *terms)
        return solve.last(solve.sample(denoise, rig.x, road, times, rule=case.rule)).x

    return torch.no_grad()(call)


def theirs(rig: Rig, case: Case) -> Call:
    """steps -> latents by diffusers' StableDiffusionPipeline, without its text encoder, decoder, checker and bar."""
    import diffusers

    scheduler = getattr(diffusers, SOLVERS[case.rule])(
        **BETAS, timestep_spacing="trailing", **({"clip_sample": False} if case.rule == "euler" else {})
    )
    absent = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    pipe = diffusers.StableDiffusionPipeline(
        unet=rig.unet, scheduler=scheduler, **absent, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)

    def call(steps: int) -> Tensor:
        return pipe(
            prompt_embeds=rig.text,
            negative_prompt_embeds=rig.null if case.scale != 1 else None,
            latents=rig.x,
            num_inference_steps=steps,
            guidance_scale=case.scale,
            output_type="latent",
            return_dict=False,
        )[0]

    return call


def gap(rig: Rig, case: Case, steps: int = 10) -> float:
    """The relative distance of the two sides' latents (float32, the same weights and noise)."""
    mine, other = ours(rig, case)(steps), theirs(rig, case)(steps)
    return float((mine - other).norm() / other.norm())


def measure(rig: Rig, case: Case, counts: tuple[int, int] = (10, 50), repeats: int = 9) -> tuple[Cost, Cost]:
    """(ours, diffusers'), from medians of `repeats` calls at each of two step counts, the sides taking turns."""
    calls = (ours(rig, case), theirs(rig, case))
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    with clocked(rig.unet, network=case.network) as clock:
        for turn in range(repeats + 1):
            for side, call in enumerate(calls):
                for steps in counts:
                    one = timed(call, steps, clock)
                    if turn:  # the first turn warms up
                        found.setdefault((side, steps), []).append(one)
    return cost(found, 0, counts), cost(found, 1, counts)


@contextmanager
def clocked(unet: Any, *, network: bool) -> Iterator[Clock]:
    """The UNet's forward pass under a clock, meanwhile; without `network` it answers zeros at once."""
    clock = Clock(function=unet.forward if network else _nothing)
    unet.forward = clock
    try:
        yield clock
    finally:
        del unet.forward


def _nothing(x: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
    return (torch.zeros_like(x),)


def timed(call: Call, steps: int, clock: Clock) -> tuple[float, float]:
    """(the thread's seconds in the loop alone, wall seconds in all) of one call."""
    clock.seconds = 0.0
    begin, wall = time.thread_time(), time.perf_counter()
    call(steps)
    alone = time.thread_time() - begin - clock.seconds
    return alone, time.perf_counter() - wall


def cost(found: Mapping[tuple[int, int], Sequence[tuple[float, float]]], side: int, counts: tuple[int, int]) -> Cost:
    """The line through the medians at the two counts: its slope is a step's, its intercept a call's."""
    few, many = counts
    own = {n: median(alone for alone, _ in found[side, n]) for n in counts}
    step = (own[many] - own[few]) / (many - few)
    return Cost(step=step, call=own[few] - few * step, whole=median(whole for _, whole in found[side, many]))


def table(counts: tuple[int, int] = (10, 50), repeats: int = 9) -> str:
    """The markdown table. ValueError if the two sides do not end on the same latents."""
    shared = rig()
    head = ["loop", "network", "latents differ by"]
    head += [f"{what}: {side}" for what in ("µs a step", "ms a call") for side in ("mediagen", "diffusers", "ratio")]
    head += [f"whole call of {counts[1]} steps, ms: mediagen", "diffusers"]
    lines = [row(head), row(["---"] * len(head))]
    lines += [_line(shared, case, counts, repeats) for case in CASES]
    return "\n".join([*lines, "", f"{TARGETS} {machine()}"])


def _line(rig: Rig, case: Case, counts: tuple[int, int], repeats: int) -> str:
    apart = gap(rig, case)
    if not apart < TOLERANCE:
        raise ValueError(f"{case} gives latents {apart:.1e} from diffusers', above {TOLERANCE:.0e}: nothing to compare")
    mine, other = measure(rig, case, counts, repeats)
    cells = [f"`{case.rule}`, {'no guidance' if case.scale == 1 else 'cfg'}", "UNet" if case.network else "none"]
    cells += [f"{apart:.0e}", f"{mine.step * 1e6:.0f}", f"{other.step * 1e6:.0f}", f"{other.step / mine.step:.1f}"]
    cells += [f"{mine.call * 1e3:.2f}", f"{other.call * 1e3:.2f}", f"{other.call / mine.call:.1f}"]
    return row([*cells, f"{mine.whole * 1e3:.1f}", f"{other.whole * 1e3:.1f}"])


def machine() -> str:
    import diffusers

    return f"torch {torch.__version__}, diffusers {diffusers.__version__}, {torch.get_num_threads()} threads."


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
