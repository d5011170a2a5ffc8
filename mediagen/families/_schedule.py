"""A published scheduler as ours: its path, its prediction, the times that it lists and the rule that walks them.

What is taken from diffusers is its `set_timesteps`, its table and its settings, so that spacings, shifts and Karras'
levels are those that were published; the steps are those of `core.solve`. The state is kept in the network's own
coordinates (alpha, sigma), in which nothing ever scales the network's input.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from ..core.path import Cosine, Flow, Path, Table
from .model import Schedule

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0", "flow_prediction": "flow"}
SHIFTS = (256, 4096, 0.5, 1.15)
RESHAPED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a scheduler walks. rule: of `core.solve`; eta: its noise. scaled: its state is x / alpha, so that its first
    noise is not that of the path. whole: the network is told whole times. data: its last step goes to data, whatever
    its table ends with. strides: its steps are as long as one of even steps would be, wherever they begin. only: the
    settings, without which it walks as no rule of ours."""

    rule: str
    eta: float | None = None
    scaled: bool = False
    whole: bool = False
    data: bool = False
    strides: bool = False
    only: Mapping[str, Any] | None = None


_SAME = {"clip_sample": False, "thresholding": False}
_MULTISTEP = {"solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint"}
_CORRECTED = {"solver_order": 2, "solver_type": "bh2", "predict_x0": True}
_LINEAR = {"interpolation_type": "linear"}
_CIRCLE = {"prediction_type": "v_prediction", "sigma_data": 1.0, "final_sigmas_type": "zero"}

KINDS = {
    "DDIMScheduler": Kind(rule="euler", strides=True, only=_SAME),
    "CogVideoXDDIMScheduler": Kind(rule="euler", strides=True),
    "CogVideoXDPMScheduler": Kind(rule="dpmpp_2m", eta=1.0, strides=True),
    "DDPMScheduler": Kind(rule="euler", eta=1.0, data=True, only={"variance_type": "fixed_small"}),
    "PNDMScheduler": Kind(rule="plms", only={"skip_prk_steps": True}),
    "LCMScheduler": Kind(rule="lcm", data=True, only=_SAME),
    "EulerDiscreteScheduler": Kind(rule="euler", scaled=True, only=_LINEAR),
    "EulerAncestralDiscreteScheduler": Kind(rule="euler", eta=1.0, scaled=True),
    "HeunDiscreteScheduler": Kind(rule="heun_edm", scaled=True, only={"clip_sample": False}),
    "DPMSolverMultistepScheduler": Kind(rule="dpmpp_2m", whole=True, only=_MULTISTEP),
    "UniPCMultistepScheduler": Kind(rule="unipc", whole=True, only=_CORRECTED),
    "CosineDPMSolverMultistepScheduler": Kind(rule="dpmpp_2m", eta=1.0, scaled=True, only=_CIRCLE),
    "EDMEulerScheduler": Kind(rule="euler", scaled=True, only=_CIRCLE),
    "EDMDPMSolverMultistepScheduler": Kind(rule="dpmpp_2m", scaled=True, only=_MULTISTEP | _CIRCLE),
    "FlowMatchEulerDiscreteScheduler": Kind(rule="euler"),
    "FlowMatchHeunDiscreteScheduler": Kind(rule="heun"),
    "FlowMatchLCMScheduler": Kind(rule="lcm", only={"scale_factors": None, "invert_sigmas": False}),
}

Options = Callable[[Any, int, tuple[int, ...]], Mapping[str, Any]]


def kind(scheduler: Any) -> Kind:
    """How it walks; ValueError for a scheduler, or one of its settings, that no rule of ours is equal to."""
    name = type(scheduler).__name__
    if name not in KINDS:
        raise ValueError(f"the scheduler {name} is not supported; put one of these in its place: {', '.join(KINDS)}")
    for setting, value in (KINDS[name].only or {}).items():
        if (given := scheduler.config.get(setting, value)) != value:
            raise ValueError(f"{name} with {setting}={given!r} is not supported, only with {value!r}")
    if scheduler.config.get("stochastic_sampling"):  # it noises x0 afresh at each step
        return replace(KINDS[name], rule="lcm")
    return KINDS[name]


def flows(scheduler: Any) -> bool:
    """Whether it walks the straight path."""
    return type(scheduler).__name__.startswith("FlowMatch") or bool(scheduler.config.get("use_flow_sigmas"))


def circles(scheduler: Any) -> bool:
    """Whether it walks the quarter circle: levels of any height, and v prediction."""
    return type(scheduler).__name__.startswith("Cosine") or _logarithmic(scheduler)


def path_of(scheduler: Any) -> Path:
    """The straight path, the quarter circle, or its table: between entries as its spacings have it, of which Karras'
    and their like are told to the network by the logarithm of the level."""
    if flows(scheduler):
        return Flow()
    if circles(scheduler):
        return Cosine()
    table = scheduler.alphas_cumprod.double().tolist()
    spacing = "log" if _reshaped(scheduler) else "sigma"
    return Table(alphas_cumprod=table, spacing=spacing if table[-1] > 0 else "angle")


def prediction_of(scheduler: Any) -> str:
    """What the network predicts, by our name."""
    given = "flow_prediction" if flows(scheduler) else scheduler.config.get("prediction_type", "epsilon")
    if given not in PREDICTIONS:
        raise ValueError(f"the prediction {given!r} is not supported; known: {', '.join(PREDICTIONS)}")
    return PREDICTIONS[given]


def clock_of(scheduler: Any) -> Callable[[Any, Any, Any], Any]:
    """t -> the time that the network is told: an index of the table 0 ... N - 1, N t of the straight path (N (1 - t)
    where it runs the other way), t of the circle, or a quarter of the logarithm of its level."""
    if _logarithmic(scheduler):
        return lambda t, alpha, sigma: (sigma / alpha).log() / 4 if torch.is_tensor(t) else math.log(sigma / alpha) / 4
    if circles(scheduler):
        return lambda t, alpha, sigma: t
    n, whole, straight = scheduler.config.num_train_timesteps, kind(scheduler).whole, flows(scheduler)
    nearest = not straight and bool(scheduler.config.get("use_karras_sigmas") or not _reshaped(scheduler))

    back = bool(scheduler.config.get("invert_sigmas"))

    def clock(t: Any, alpha: Any, sigma: Any) -> Any:
        told = n * (1 - t if back else t) if straight else n * t - 1
        if not whole:
            return told
        if isinstance(told, torch.Tensor):
            return told.round() if nearest else (told + 1e-4).floor()
        return round(told) if nearest else math.floor(told + 1e-4)

    return clock


def schedule_of(scheduler: Any, options: Options | None = None) -> Callable[[int, tuple[int, ...]], Schedule]:
    """(steps, latent grid) -> the times that it lists. options: (scheduler, steps, grid) -> what its `set_timesteps` is
    given beside the number of steps."""
    how, road = kind(scheduler), path_of(scheduler)

    @lru_cache(maxsize=64)
    def schedule(steps: int, grid: tuple[int, ...]) -> Schedule:
        one = deepcopy(scheduler)
        given = {} if options is None else options(one, steps, grid)
        if unknown := set(given) - set(inspect.signature(one.set_timesteps).parameters):
            said = f"takes no {', '.join(sorted(unknown))}, which its family gives it"
            raise ValueError(f"{type(one).__name__} {said}: put FlowMatchEulerDiscreteScheduler in its place")
        try:
            one.set_timesteps(**({} if "sigmas" in given else {"num_inference_steps": steps}), **given)
        except (ValueError, IndexError, ZeroDivisionError) as error:
            raise ValueError(f"{type(one).__name__} has no {steps} steps: {error}") from error
        first = float(one.sigmas[0]) if how.scaled else 0.0
        begin = float(one.init_noise_sigma) / math.sqrt(1 + first * first) if how.scaled else 1.0
        times = _times(one, road, how)
        if not bool(torch.tensor(times).isfinite().all()):
            raise ValueError(f"the published schedule has no {steps} steps: ask for more, or name another timing")
        return Schedule(times=times, begin=begin)

    return schedule


def dynamic_shift(patch: int, usual: tuple[int, int, float, float] = SHIFTS) -> Options:
    """The `mu` of a shift that grows with the picture: linear in its tokens, of `patch` latents a side each. usual:
    fewest and most tokens and their shifts, where the scheduler says none."""

    def options(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
        config = scheduler.config
        if not config.get("use_dynamic_shifting"):
            return {}
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        low, high, least, most = (config.get(name, value) for name, value in zip(names, usual, strict=True))
        tokens = math.prod(side // patch for side in grid)
        slope = (most - least) / (high - low)
        return {"mu": tokens * slope + least - slope * low}

    return options


def even_levels(patch: int, own: bool = False, usual: tuple[int, int, float, float] = SHIFTS) -> Options:
    """Even levels from 1 to 1 / steps, which the scheduler shifts, by the tokens if it is told to. own: whether one
    that has levels for the straight path itself is left to them; usual: as for `dynamic_shift`."""
    shift = dynamic_shift(patch, usual)

    def options(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
        even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64).numpy()  # with which diffusers reckons
        levels = {} if own and scheduler.config.get("use_flow_sigmas") else {"sigmas": even}
        return {**levels, **shift(scheduler, steps, grid)}

    return options


def _logarithmic(scheduler: Any) -> bool:
    """Whether the network is told a quarter of the logarithm of the level, as EDM has it."""
    asked = scheduler.config.get("timestep_type"), scheduler.config.get("prediction_type")
    return type(scheduler).__name__.startswith("EDM") or asked == ("continuous", "v_prediction")


def _reshaped(scheduler: Any) -> bool:
    return any(scheduler.config.get(name) for name in RESHAPED)


def _times(scheduler: Any, road: Path, how: Kind) -> tuple[Any, ...]:
    """Falling times; a time that is listed twice (PNDM, Heun) is one step. Pairs where a step does not end where the
    next one begins."""
    if isinstance(road, Flow):
        levels = scheduler.sigmas.double()
        levels = torch.unique_consecutive(levels) if how.rule == "heun" else levels
        return tuple((1 - levels if scheduler.config.get("invert_sigmas") else levels).tolist())
    if _reshaped(scheduler) or circles(scheduler):
        return tuple(road.time(torch.unique_consecutive(scheduler.sigmas.double())).tolist())
    n = scheduler.config.num_train_timesteps
    inner = [(t + 1) / n for t in torch.unique_consecutive(scheduler.timesteps.double()).tolist()]
    last = 0.0 if how.data else _last(scheduler, road, n)
    if how.strides:
        stride = n // scheduler.num_inference_steps
        ends = [(round(n * t) - stride) / n for t in inner]
        ends = [end if end > 0 else last for end in ends]
        if ends[:-1] != inner[1:]:
            return tuple((now, end) for now, end in zip(inner, ends, strict=True) if end < now)
    return (*inner, last) if last < inner[-1] else tuple(inner)


def _last(scheduler: Any, road: Path, n: int) -> float:
    """Where its last step ends: data, or the first entry of its table."""
    if hasattr(scheduler, "final_alpha_cumprod"):
        return 0.0 if float(scheduler.final_alpha_cumprod) == 1 else 1 / n
    return float(road.time(float(scheduler.sigmas[-1])))
