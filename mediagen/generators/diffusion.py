"""Diffusion: conditions and noise -> the walk of `core.solve.sample`, guided and edited as the settings say."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..core import edit, guidance, rng, solve, timing
from ..core.denoiser import Cond, Denoise, Denoiser
from ..core.path import Path
from ..core.rng import Noise


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How to go from noise to data.

    steps: of the solver. solver: a rule of `core.solve`. guidance: scale, 1 is none. method: of `core.guidance`.
    guidance_2: the scale below the time `boundary`, None: the same; a model of two networks knows its boundary itself.
    interval: (low, high) of t in [0, 1] where guidance acts. rescale: 0 none .. 1 full. skip_layers, skip_scale: the
    perturbed branch. eta: ancestral noise in 0 .. 1, None the rule's own. timing: {"name": class of `core.timing`,
    ...options}. loop: axes of the latent [B, C, *grid] along which the result has no seam, e.g. (-1,). reuse: relative
    change of x0 under which a step spares its network call (`core.edit.reuse`), 0 never. window: sides of overlapping
    windows in which the network sees a larger state, one an axis, () for the whole at once; in media units where people
    ask (pixels), in latent positions for `generate`. begin: what the first noise is multiplied by, None: the path's
    sigma there (published schedules differ).
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
    reuse: float = 0.0
    window: tuple[int, ...] = ()
    begin: float | None = None
    guidance_2: float | None = None
    boundary: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be walked, before any network is loaded."""
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or not 1 <= self.steps <= 1000:
            raise ValueError(f"steps must be a whole number from 1 to 1000, not {self.steps!r}")
        if not 0 <= self.guidance <= 100:
            raise ValueError(f"guidance must be from 0 to 100, not {self.guidance}")
        if self.guidance_2 is not None and not 0 <= self.guidance_2 <= 100:
            raise ValueError(f"guidance_2 must be from 0 to 100, not {self.guidance_2}")
        if self.boundary is not None and not 0 < self.boundary < 1:
            raise ValueError(f"boundary must be a time between 0 and 1, not {self.boundary}")
        if len(self.interval) != 2 or not 0 <= self.interval[0] <= self.interval[1] <= 1:
            raise ValueError(f"interval must be two times 0 <= low <= high <= 1, not {self.interval}")
        if not 0 <= self.reuse < 1:
            raise ValueError(f"reuse must be from 0 to below 1, not {self.reuse}")
        if any(side < 1 for side in self.window):
            raise ValueError(f"the sides of a window must be 1 or more, not {self.window}")
        solve.find(self.solver)
        guidance.find(self.method)

    @property
    def scales(self) -> tuple[float, float]:
        """The scales of guidance above and below the boundary."""
        return self.guidance, self.guidance if self.guidance_2 is None else self.guidance_2


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where to begin: clean latents [B, C, *grid] to vary by `strength`, and `keep` [B or 1, 1, *grid] in 0 .. 1,
    1 where they stay as they are.

    token: grid cells of a token, one entry an axis, for a network that was trained with times per token: it is shown
    what stays at t = 0; None for any other. told: whether it is told so, or knows it itself. project: x0 -> x0 with
    what is known of it in another space (`edit.projected`)."""

    known: Tensor
    strength: float = 1.0
    keep: Tensor | None = None
    token: tuple[int, ...] | None = None
    told: bool = True
    project: Callable[[Tensor], Tensor] | None = None


Box = tuple[slice, ...]
"""A window's part of the grid, one slice an axis; () is all of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """What a control network adds to every condition (`edit.control`), in the steps that lie whole within begin .. end
    of the walk, of which 0 is its first step and 1 its end."""

    residuals: edit.Residuals
    begin: float = 0.0
    end: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What a batch is to become.

    prompts: [(cond, weight)], one for a plain prompt, several to compose them. null: what guidance leads away from,
    None where there is none.
    regions: (cond, mask [1, 1, *grid]), prompts by place over the first one. told: what a window is told of its place,
    as entries of the condition; an entry that is zero in a condition (nothing was asked for: the null's) stays so.
    lead: positions of a loop that the network is shown once more before its first one, whose answer is left out: for a
    network to which the first position of a grid means something else than the others. front: clean latents
    [B, C, *grid] that it is shown there instead, `lead` positions of them (`edit.preceded`). around: positions past
    each end of a loop that the network is shown in every step, instead of rolling it: for conditions that have a place
    on the grid, and have it for these positions too. share: the part of guidance that there is at each position
    [1, 1, *grid], in 0 .. 1, or more where it is stronger; None: all of it everywhere. parts: numbers of places whose
    guidance is rescaled apart, as for `guidance.rescale`. aside: entries of a condition with which the network is
    something else that guidance leads away from, and how much. controls: what control networks add. bound: x0 -> x0
    within a range, after guidance. widened: (noise of steps, path, times) -> the noise of steps that is added instead.
    """

    prompts: Sequence[tuple[Cond, float]]
    null: Cond | None
    regions: Sequence[tuple[Cond, Tensor]] = ()
    told: Callable[[Box], Cond] | None = None
    lead: int = 0
    front: Tensor | None = None
    around: int = 0
    share: Tensor | None = None
    parts: Tensor | None = None
    aside: Sequence[tuple[Mapping[str, Any], float]] = ()
    controls: Sequence[Control] = ()
    bound: Callable[[Tensor], Tensor] | None = None
    widened: Callable[[Noise, Path, Tensor], Callable[[int, Tensor], Tensor]] | None = None

    def at(self, cond: Cond, box: Box) -> Cond:
        """A condition as the window at `box` sees it."""
        if self.told is None or not box:
            return cond
        return {**cond, **{k: v if bool(cond[k].any()) else v * 0 for k, v in self.told(box).items() if k in cond}}


def generate(
    model: Denoiser, asked: Asked, like: Tensor, noise: Noise, walk: Walk, start: Start | None = None
) -> Iterator[solve.State]:
    """States of one batch; the last one's x is the result [B, C, *grid], shaped like `like`."""
    path = model.path
    times = all_times = timing.grid(timing.find(**walk.timing), walk.steps, path)
    eps = noise(0, like)
    x = eps * (path(float(times.flatten()[0]))[1] if walk.begin is None else walk.begin)
    if start is not None:
        x, times = edit.vary(start.known, eps, path, times, start.strength)
    for control in asked.controls:
        low, high = span(times, control.begin, control.end)
        model = edit.control(model, control.residuals, low=low, high=high)
    denoise = _Guide(model=model, asked=asked, walk=walk, times=all_times).denoise(like.shape[2:])
    if asked.bound is not None:
        denoise = edit.projected(denoise, asked.bound)
    if start is not None:
        denoise = _held(denoise, start)
    if walk.reuse:
        denoise = edit.reuse(denoise, threshold=walk.reuse)
    steps: Any = rng.ahead(noise.of("step"), len(times) - (times.ndim == 1))
    steps = steps if asked.widened is None else asked.widened(steps, path, times)
    return solve.sample(denoise, x, path, times, rule=walk.solver, eta=walk.eta, noise=steps)


def span(times: Tensor, begin: float, end: float) -> tuple[float, float]:
    """(low, high) around the times of the steps that lie whole within begin .. end of a walk of times [n + 1] or pairs
    [n, 2]; low above high where there are none."""
    each = (times[:-1] if times.ndim == 1 else times[:, 0]).tolist()
    inside = [i for i in range(len(each)) if i / len(each) >= begin and (i + 1) / len(each) <= end]
    if not inside:
        return math.inf, -math.inf
    first, last = inside[0], inside[-1] + 1
    high = math.inf if first == 0 else (each[first - 1] + each[first]) / 2
    return -math.inf if last == len(each) else (each[last - 1] + each[last]) / 2, high


def _held(denoise: Denoise, start: Start) -> Denoise:
    """What is known stays, in the latents' own space and in any other."""
    if start.project is not None:
        denoise = edit.projected(denoise, start.project)
    if start.keep is None:
        return denoise
    if start.token is None:
        return edit.inpaint(denoise, start.known, start.keep)
    return edit.pinned(denoise, start.known, start.keep, start.token, told=start.told)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Guide:
    """Everything that was asked for, as one Denoise."""

    model: Denoiser
    asked: Asked
    walk: Walk
    times: Tensor

    def denoise(self, grid: Sequence[int]) -> Denoise:
        """Places in a loop are known outside of it only (it may be rolled); without one, each window asks for no other
        prompts than those that have a place in it."""
        if not self.walk.loop:
            whole = all(side >= n for side, n in zip(self.walk.window, grid, strict=False))  # of no window: ()
            return _windows(self.seen, () if whole else self.walk.window, grid)
        base, *others = (self.round(number, grid) for number in range(1 + len(self.asked.regions)))
        masks = [mask for _, mask in self.asked.regions]
        return edit.regional(base, *zip(others, masks, strict=True)) if others else base

    def round(self, number: int, grid: Sequence[int]) -> Denoise:
        """A prompt seen in a loop, whose ends see each other."""
        around = self.asked.around
        margin = (self.asked.lead + around, around)
        axes = [axis % (len(grid) + 2) - 2 for axis in self.walk.loop]
        wide = [side + sum(margin) * (axis in axes) for axis, side in enumerate(grid)]
        windows = _windows(lambda box: self.prompt(number, box if around else ()), self.walk.window, wide)
        if self.asked.front is not None:
            led = edit.preceded(windows, self.asked.front, axis=axes[0] + 2)
        else:
            led = edit.wrapped(windows, margin=margin, axes=self.walk.loop) if any(margin) else windows
        return led if around else edit.looped(led, axes=self.walk.loop)

    def seen(self, box: Box) -> Denoise:
        """All the prompts that a window sees, each in its place."""
        masks = [(number, mask[..., *box]) for number, (_, mask) in enumerate(self.asked.regions, start=1)]
        places = [(self.prompt(number, box), mask) for number, mask in masks if bool(mask.any())]
        base = self.prompt(0, box)
        return edit.regional(base, *places) if places else base

    def prompt(self, number: int, box: Box) -> Denoise:
        """The first prompt, or all of them composed (0), or that of a region (1 ...), guided."""
        null = None if self.asked.null is None else self.asked.at(self.asked.null, box)
        prompts = [(self.asked.at(cond, box), weight) for cond, weight in self.asked.prompts]
        if number:
            prompts = [(self.asked.at(self.asked.regions[number - 1][0], box), 1.0)]
        if len(prompts) > 1:
            return _composed(self.model, prompts, null, self.walk)
        places = {"share": self.asked.share, "parts": self.asked.parts}
        here = {name: None if place is None else place[..., *box] for name, place in places.items()}
        return _guided(self.model, prompts[0][0], null, self.walk, self.times, **here, aside=self.asked.aside)


def _windows(build: Callable[[Box], Denoise], sides: Sequence[int], grid: Sequence[int], box: Box = ()) -> Denoise:
    """`build(box)` for each of the windows, which overlap by half, blended; sides: one an axis, none for the whole."""
    if not sides:
        return build(box)
    side, axis = sides[-1], -1 - len(box)
    begins = edit.starts(grid[axis], side, side // 2)
    boxes = [(slice(begin, min(begin + side, grid[axis])), *box) for begin in begins]
    parts = [_windows(build, sides[:-1], grid, inner) for inner in boxes]
    return edit.windowed(lambda number: parts[number], size=side, overlap=side // 2, axis=axis, per_window=True)


def _composed(model: Denoiser, conditions: Sequence[tuple[Cond, float]], null: Cond | None, walk: Walk) -> Denoise:
    if walk.method != "cfg" or walk.skip_layers:
        raise ValueError("several prompts are composed by cfg alone: leave out method and skip_layers")
    branches = [(model.bind(cond), _scale(walk, weight, rest=0.0)) for cond, weight in conditions]
    nothing = _nothing(model, null)
    return guidance.guided(nothing, *guidance.composed(nothing, *branches), post=_posts(walk))


def _guided(
    model: Denoiser,
    cond: Cond,
    null: Cond | None,
    walk: Walk,
    times: Tensor,
    share: Tensor | None = None,
    parts: Tensor | None = None,
    aside: Sequence[tuple[Mapping[str, Any], float]] = (),
) -> Denoise:
    positive = model.bind(cond)
    options: dict[str, Any] = {"path": model.path, "times": times} if walk.method == "cfg_pp" else {}
    method, scale = guidance.find(walk.method), _scale(walk, rest=1.0)
    scale = scale if share is None else guidance.shared(scale, share)
    terms = [] if walk.scales == (1, 1) else [method(positive, _nothing(model, null), scale, **options)]
    if walk.skip_layers and walk.skip_scale:
        terms.append(guidance.perturbed(positive, walk.skip_scale, layers=walk.skip_layers))
    terms += [guidance.Term(toward=positive, away=positive.with_cond(**other), weight=much) for other, much in aside]
    return guidance.guided(positive, *terms, post=_posts(walk, parts)) if terms else positive


def _nothing(model: Denoiser, null: Cond | None) -> Denoise:
    if null is None:
        raise ValueError("guidance leads away from what nothing is: the null condition must not be None")
    return model.bind(null)


def _scale(walk: Walk, weight: float = 1.0, *, rest: float) -> guidance.Scale:
    """The walk's scale, times `weight`, inside its interval; `rest` (the scale that does nothing) outside."""
    (low, high), (above, below) = walk.interval, (weight * scale for scale in walk.scales)
    if above == below:
        return above if (low, high) == (0.0, 1.0) else lambda t: above if low <= t <= high else rest
    if (boundary := walk.boundary) is None:
        raise ValueError("guidance_2 acts below a time that this model does not name: give boundary")
    return lambda t: rest if not low <= t <= high else above if t >= boundary else below


def _posts(walk: Walk, parts: Tensor | None = None) -> tuple[guidance.Post, ...]:
    return (guidance.rescale(walk.rescale, parts=parts),) if walk.rescale else ()
