"""Diffusion: conditions and noise -> the walk of `core.solve.sample`, guided and edited as the settings say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..core import edit, guidance, solve, timing
from ..core.denoiser import Cond, Denoise, Denoiser
from ..core.rng import Keyed


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How to go from noise to data.

    steps: of the solver. solver: a rule of `core.solve`. guidance: scale, 1 is none. method: of `core.guidance`.
    interval: (low, high) of t in [0, 1] where guidance acts. rescale: 0 none .. 1 full. skip_layers, skip_scale: the
    perturbed branch. eta: ancestral noise in 0 .. 1, None the rule's own. timing: {"name": class of `core.timing`,
    ...options}. reuse: error at which a step's network call is spared, 0 never.
    """

    steps: int = 20
    solver: str = "dpmpp_2m"
    guidance: float = 4.0
    method: str = "cfg"
    interval: tuple[float, ...] = (0.0, 1.0)
    rescale: float = 0.0
    skip_layers: tuple[int, ...] = ()
    skip_scale: float = 0.0
    eta: float | None = None
    timing: dict[str, Any] = field(default_factory=lambda: {"name": "Uniform"})
    loop: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be walked, before any network is loaded."""
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or not 1 <= self.steps <= 1000:
            raise ValueError(f"steps must be a whole number from 1 to 1000, not {self.steps!r}")
        if not 0 <= self.guidance <= 100:
            raise ValueError(f"guidance must be from 0 to 100, not {self.guidance}")
        if len(self.interval) != 2 or not 0 <= self.interval[0] <= self.interval[1] <= 1:
            raise ValueError(f"interval must be two times 0 <= low <= high <= 1, not {self.interval}")
        solve.find(self.solver)
        guidance.find(self.method)


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where to begin: clean latents [B, C, *grid] to vary by `strength`, and `keep` [B or 1, 1, *grid] in 0 .. 1,
    1 where they stay as they are."""

    known: Tensor
    strength: float = 1.0
    keep: Tensor | None = None


Conditions = Sequence[tuple[Cond, float]]


def generate(
    model: Denoiser,
    conditions: Conditions,
    null: Cond,
    like: Tensor,
    keyed: Keyed,
    walk: Walk,
    start: Start | None = None,
    regions: Sequence[tuple[Cond, Tensor]] = (),
) -> Iterator[solve.State]:
    """States of one batch; the last one's x is the result [B, C, *grid], shaped like `like`.

    conditions: [(cond, weight)], one for a plain prompt, several to compose them. null: what guidance leads away from.
    regions: (cond, mask [1, 1, *grid]) prompts by place over the first condition.
    """
    path = model.path
    times = timing.grid(timing_of(walk.timing), walk.steps, path)
    denoise = _conditioned(model, conditions, null, walk, times, regions)
    eps = keyed_start(keyed, like)
    x = path(float(times[0]))[1] * eps
    if start is not None:
        x, times = edit.vary(start.known, eps, path, times, start.strength)
        if start.keep is not None:
            denoise = edit.inpaint(denoise, start.known, start.keep)
    if walk.loop:
        denoise = edit.looped(denoise, axes=walk.loop)
    noise = Keyed(seed=keyed.seed, samples=keyed.samples, purpose="step")
    return solve.sample(denoise, x, path, times, rule=walk.solver, eta=walk.eta, noise=noise)


def keyed_start(keyed: Keyed, like: Tensor) -> Tensor:
    """The noise that a sample starts from, keyed by its seed and number."""
    return keyed(0, like)


def _conditioned(
    model: Denoiser,
    conditions: Conditions,
    null: Cond,
    walk: Walk,
    times: Tensor,
    regions: Sequence[tuple[Cond, Tensor]],
) -> Denoise:
    def one(cond: Cond) -> Denoise:
        return _guided(model, cond, null, walk, times)

    if len(conditions) > 1:
        branches = [(model.bind(cond), weight * walk.guidance) for cond, weight in conditions]
        base = guidance.guided(model.bind(null), *guidance.composed(model.bind(null), *branches))
    else:
        base = one(conditions[0][0])
    return edit.regional(base, *[(one(cond), mask) for cond, mask in regions]) if regions else base


def _guided(model: Denoiser, cond: Cond, null: Cond, walk: Walk, times: Tensor) -> Denoise:
    positive = model.bind(cond)
    options: dict[str, Any] = {"path": model.path, "times": times} if walk.method == "cfg_pp" else {}
    scale = guidance.interval(walk.guidance, *walk.interval) if walk.interval != (0.0, 1.0) else walk.guidance
    terms = [] if walk.guidance == 1 else [guidance.find(walk.method)(positive, model.bind(null), scale, **options)]
    if walk.skip_layers and walk.skip_scale:
        terms.append(guidance.perturbed(positive, walk.skip_scale, layers=walk.skip_layers))
    post = (guidance.rescale(walk.rescale),) if walk.rescale else ()
    return guidance.guided(positive, *terms, post=post) if terms or post else positive


def timing_of(spec: Mapping[str, Any]) -> timing.Timing:
    """{"name": "Karras", ...options} -> a timing of `core.timing`; ValueError naming what is wrong."""
    options = dict(spec)
    kind = getattr(timing, str(options.pop("name", None)), None)
    if not isinstance(kind, type):
        raise ValueError(f"unknown timing {spec.get('name')!r}; it must be a class of core.timing such as Uniform")
    try:
        return kind(**{k: timing_of(v) if isinstance(v, Mapping) else v for k, v in options.items()})
    except TypeError as error:
        raise ValueError(f"timing {spec['name']}: {error}") from error
