"""Guidance: positive + sum of weight x (toward - away), one Denoise made of many.

A method makes Terms; `guided(positive, *terms, post=...)` adds them up. Terms of any kind compose. A branch whose net
weight is 0 (scale 1, or outside an interval) is not evaluated, and branches of equal networks run in one batch.

Weighted sums are the same in x0 and in the network's output, since the one is an affine function of the other and the
weights sum to 1. Where the two differ (`rescale`, `cfg_zero`) the method says in which space it is taken; once any does
so of the output, sums are taken there too, and x0 is made of the result.

Of times per token a scale, an interval and a bend are told the latest one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mediagen.core import named
from mediagen.core.bends import Bend, Fitted, Post, Projected, Rescale, ZeroInit
from mediagen.core.branches import Outputs, Stack, bound, key, stack
from mediagen.core.denoiser import Bound, Denoise, narrow
from mediagen.core.path import Path, log_ratio, spread
from mediagen.core.times import latest

Scale = float | Tensor | Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """weight x (toward - away), or weight x bend(toward, away). The weight may be a number, one per sample [B], or
    f(t).
    """

    toward: Denoise
    away: Denoise
    weight: Scale
    bend: Bend | None = None


def guided(positive: Denoise, *terms: Term, post: Post | Sequence[Post] = (), together: bool = True) -> Denoise:
    """A Denoise: positive + the terms, then each `post`. together: run equal networks in one batch (more memory).

    ValueError if something speaks of the network's output and `positive` is not a bound denoiser.
    """
    posts = tuple(post) if isinstance(post, Sequence) else (post,)
    bends = [term.bend for term in terms if term.bend is not None]
    output = any(part.space == "output" for part in (*posts, *bends))
    if output and not isinstance(positive, Bound):
        raise ValueError("guidance in the network's output space needs a bound denoiser as its positive branch")
    return _Guided(positive=positive, terms=terms, posts=posts, together=together, output=output)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """Of the weights of all terms: the terms that act, the calls that evaluate the branches, the place of each branch
    in what they answer by its key, and the branches' net weights, by place."""

    weights: list[Any]
    active: list[tuple[Term, Any]]
    stacks: list[Stack]
    places: dict[Any, int]
    shares: list[tuple[int, Any]]

    @cached_property
    def line(self) -> tuple[int, int, Any] | None:
        """Of two branches, their places and the second one's weight: the first one has the rest."""
        return (self.shares[0][0], *self.shares[1]) if len(self.shares) == 2 else None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Guided:
    positive: Denoise
    terms: tuple[Term, ...]
    posts: tuple[Post, ...]
    together: bool
    output: bool
    plans: dict[Any, _Plan] = field(default_factory=dict)

    def __call__(self, x: Tensor, t: Any) -> Tensor:
        now = latest(t)
        plan = self._plan([at(term.weight, now) for term in self.terms], x.shape[0])
        if not plan.active:
            return self.positive(x, t)
        frame = self._frame(x, t) if self.output else None
        found = [one for group in plan.stacks for one in (group(x, t) if frame is None else frame.of(group))]
        total = _sum(plan, found, x)
        for term, weight in plan.active:
            if term.bend is not None:
                toward, away = (found[plan.places[key(branch)]] for branch in (term.toward, term.away))
                total = _added(total, _bent(term.bend, toward, away, now, frame), weight)
        for post in self.posts:
            total = _posted(post, total, found[plan.places[key(self.positive)]], now, frame)
        return total if frame is None else frame.x0(total)

    def _frame(self, x: Tensor, t: Any) -> Outputs:
        denoiser = bound(self.positive).denoiser
        return Outputs(denoiser=denoiser, x=x, t=t, level=denoiser.coefficients(x, t))

    def _plan(self, weights: list[Any], batch: int) -> _Plan:
        """What these weights ask for. What is put together for it, the stacks, is remembered by the weights that are
        plain numbers; of others, which are never nothing, only the sums change."""
        form = (*(None if isinstance(weight, Tensor) else weight for weight in weights), batch)
        plan = self.plans.get(form)
        if plan is None:
            plan = self.plans[form] = self._planned(weights, batch)
        elif any(old is not new for old, new in zip(plan.weights, weights, strict=True) if isinstance(new, Tensor)):
            plan = self.plans[form] = replace(plan, weights=weights, **self._summed(weights, plan.places))
        return plan

    def _planned(self, weights: list[Any], batch: int) -> _Plan:
        active = self._active(weights)
        stacks = stack(self._needed(self._shares(active), active), batch, self.together) if active else []
        places = {key(branch): place for place, branch in enumerate(b for one in stacks for b in one.branches)}
        return _Plan(weights=weights, stacks=stacks, places=places, **self._summed(weights, places))

    def _summed(self, weights: list[Any], places: dict[Any, int]) -> dict[str, Any]:
        """The terms that act, and the shares of the branches at these places."""
        active = self._active(weights)
        placed = [(places[branch], share) for branch, share in self._shares(active).items()] if active else []
        return {"active": active, "shares": placed}

    def _active(self, weights: list[Any]) -> list[tuple[Term, Any]]:
        return [(term, weight) for term, weight in zip(self.terms, weights, strict=True) if not _nothing(weight)]

    def _shares(self, active: Sequence[tuple[Term, Any]]) -> dict[Any, Any]:
        """The net weight of each branch in the plain sum, by the branch's key."""
        shares: dict[Any, Any] = {key(self.positive): 1.0}
        for term, weight in active:
            if term.bend is None:
                shares[key(term.toward)] = shares.get(key(term.toward), 0.0) + weight
                shares[key(term.away)] = shares.get(key(term.away), 0.0) - weight
        return {branch: share for branch, share in shares.items() if not _nothing(share)}

    def _needed(self, shares: dict[Any, Any], active: Sequence[tuple[Term, Any]]) -> list[Denoise]:
        bent = [b for term, _ in active if term.bend is not None for b in (term.toward, term.away)]
        wanted = {*shares, *map(key, bent), *([key(self.positive)] if self.posts else [])}
        every = [self.positive, *(b for term, _ in active for b in (term.toward, term.away))]
        return list({key(b): b for b in every if key(b) in wanted}.values())


def _bent(bend: Bend, toward: Tensor, away: Tensor, now: Any, frame: Outputs | None) -> Tensor:
    """The bent difference of two branches, in the frame's space (x0 without one) as they are."""
    if frame is None or bend.space == "output":
        return bend(toward, away, now)
    return frame.difference(bend(frame.x0(toward), frame.x0(away), now))


def _posted(post: Post, total: Tensor, positive: Tensor, now: Any, frame: Outputs | None) -> Tensor:
    """The changed result, in the frame's space (x0 without one) as both are."""
    if frame is None or post.space == "output":
        return post(total, positive, now)
    return frame.said(post(frame.x0(total), frame.x0(positive), now))


def _nothing(weight: Any) -> bool:
    return not isinstance(weight, Tensor) and weight == 0


def _sum(plan: _Plan, found: Sequence[Tensor], x: Tensor) -> Tensor:
    """The shares' sum, which is 1, of the branches: of two, it lies on the line through both."""
    if plan.line is not None:
        first, second, share = plan.line
        return torch.lerp(found[first], found[second], _weight(share, x))
    (place, share), *others = plan.shares
    total = found[place] if isinstance(share, float) and share == 1 else found[place] * _weight(share, x)
    for place, share in others:
        total = _added(total, found[place], share)
    return total


def _added(total: Tensor, part: Tensor, weight: Any) -> Tensor:
    """total + weight part; the weight a number, one per sample [B], or per place."""
    if isinstance(weight, Tensor):
        return torch.addcmul(total, _weight(weight, total), part)
    return torch.add(total, part, alpha=weight)


def _weight(weight: Any, like: Tensor) -> Any:
    """A weight that can be multiplied with what is like this."""
    return narrow(spread(weight, like), like) if isinstance(weight, Tensor) else weight


def at(scale: Scale, t: Any) -> Any:
    """A scale's value at t: itself, or f(t)."""
    return scale(t) if callable(scale) and not isinstance(scale, Tensor) else scale


def _less_one(scale: Scale) -> Scale:
    if not callable(scale) or isinstance(scale, Tensor):
        return scale - 1
    less = _once(lambda now: now - 1)
    return lambda t: less(at(scale, t))


def _once(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`make`, whose last answer is given again to the same value, as a scale is in most steps: of tensors, the same
    one."""
    kept: list[Any] = [None, None]

    def again(value: Any) -> Any:
        if kept[0] is not value:
            kept[:] = value, make(value)
        return kept[1]

    return again


# Scales


def interval(scale: Scale, low: float, high: float) -> Scale:
    """The scale for low <= t <= high and 1, which is no guidance and costs nothing, elsewhere (arXiv 2404.07724)."""
    return lambda t: at(scale, t) if low <= t <= high else 1.0


def linear(start: float, end: float) -> Scale:
    """From `start` at t = 1 to `end` at t = 0."""
    return lambda t: end + (start - end) * t


def cosine(start: float, end: float) -> Scale:
    """From `start` at t = 1 to `end` at t = 0 along half a cosine."""
    return lambda t: end + (start - end) * (1 - math.cos(math.pi * t)) / 2


def shared(scale: Scale, share: Tensor) -> Scale:
    """The scale where share [1, 1, *grid] is 1, no guidance (1) where it is 0, and in between what lies between."""
    spread_out = _once(lambda now: 1 + (now - 1) * share)

    def shares(t: Any) -> Any:
        now = at(scale, t)
        return spread_out(now) if isinstance(now, Tensor) or now != 1 else now

    return shares


# Methods: (positive, negative, scale) -> Term


def cfg(positive: Denoise, negative: Denoise, scale: Scale) -> Term:
    """Classifier-free guidance (arXiv 2207.12598): negative + scale (positive - negative). `negative` may be a
    prompt.
    """
    return Term(toward=positive, away=negative, weight=_less_one(scale))


def autoguidance(positive: Denoise, negative: Denoise, scale: Scale) -> Term:
    """Guidance away from a weaker network under the same condition, given as `negative` (arXiv 2406.02507)."""
    return Term(toward=positive, away=negative, weight=_less_one(scale))


def apg(
    positive: Denoise,
    negative: Denoise,
    scale: Scale,
    *,
    momentum: float = -0.5,
    norm: float = 15.0,
    parallel: float = 0.0,
) -> Term:
    """Adaptive projected guidance (arXiv 2410.02416), in x0: momentum, the difference's norm bounded by `norm` (0: not
    at all), and its part parallel to the positive branch times `parallel`. Keeps the momentum of one walk; it begins
    anew when t rises.
    """
    bend = Projected(momentum=momentum, norm=norm, parallel=parallel)
    return Term(toward=positive, away=negative, weight=_less_one(scale), bend=bend)


def apg_each(
    positive: Denoise,
    negative: Denoise,
    scale: Scale,
    *,
    momentum: float = -0.75,
    norm: float = 2.5,
    parallel: float = 0.0,
) -> Term:
    """`apg` in the network's output, each channel by its own norms: as ACE-Step's music is led."""
    bend = Projected(momentum=momentum, norm=norm, parallel=parallel, space="output", each=True)
    return Term(toward=positive, away=negative, weight=_less_one(scale), bend=bend)


def cfg_zero(positive: Denoise, negative: Denoise, scale: Scale) -> Term:
    """CFG-Zero* (arXiv 2503.18886), in the network's output: the negative branch is first scaled to fit the positive
    one.

    `zero_init` is the paper's other half.
    """
    return Term(toward=positive, away=negative, weight=_less_one(scale), bend=Fitted())


def cfg_pp(positive: Denoise, negative: Denoise, scale: Scale, *, path: Path, times: Tensor | Sequence[float]) -> Term:
    """CFG++ (arXiv 2406.08070) with its lambda in [0, 1] as `scale`, exact for first-order rules on this grid: the
    noise stays that of the negative branch, which is cfg with w = lambda / (1 - exp(-h)) at each step.
    """
    if isinstance(scale, int | float) and not 0 <= scale <= 1:
        raise ValueError(
            f"cfg_pp takes its lambda, a scale in 0 .. 1, not {scale}; 0.6 does what cfg does at about 7.5"
        )
    grid: list[Any] = times.tolist() if isinstance(times, Tensor) else list(times)
    ends: list[Any] = grid if isinstance(grid[0], list | tuple) else list(pairwise(grid))

    def weight(t: Any) -> Any:
        after = next((end for now, end in ends if end < float(t) <= now), 0.0)
        h = log_ratio(*path(after)) - log_ratio(*path(float(t)))
        return at(scale, t) / -math.expm1(-h) - 1

    return Term(toward=positive, away=negative, weight=weight)


# Other terms


def perturbed(positive: Bound, scale: Scale, *, layers: Sequence[int]) -> Term:
    """Guidance away from the same network with some layers skipped (arXiv 2403.17377): scale x (positive -
    perturbed).
    """
    return Term(toward=positive, away=positive.with_cond(skip_layers=tuple(layers)), weight=scale)


def dual(full: Denoise, image: Denoise, null: Denoise, text_scale: Scale, image_scale: Scale) -> tuple[Term, Term]:
    """Two conditions (arXiv 2211.09800, eq. 3), `full` the positive branch of `guided`, `image` with the image only:
    null + image_scale (image - null) + text_scale (full - image).
    """
    text = Term(toward=full, away=image, weight=_less_one(text_scale))
    return text, Term(toward=image, away=null, weight=_less_one(image_scale))


def composed(null: Denoise, *prompts: tuple[Denoise, Scale]) -> tuple[Term, ...]:
    """Prompts with weights (arXiv 2206.01714, eq. 11), `null` the positive branch of `guided`: null + sum w_i (c_i -
    null).
    """
    return tuple(Term(toward=branch, away=null, weight=weight) for branch, weight in prompts)


# Posts


def rescale(amount: float = 0.7, *, parts: Tensor | None = None) -> Post:
    """Brings the guided output's standard deviation, per sample, back towards the positive's (arXiv 2305.08891, eq.
    15). parts [1, 1, *grid]: numbers of the places that are taken apart, 0 where nothing is changed; of such a state it
    is the x0, as of models of sight and sound.
    """
    if not 0 <= amount <= 1:
        raise ValueError(f"rescale takes an amount in 0 .. 1, not {amount}")
    return Rescale(amount=amount) if parts is None else Rescale(amount=amount, space="x0", parts=parts)


def zero_init(above: float) -> Post:
    """A guided output of 0 while t > above (CFG-Zero*, arXiv 2503.18886): a flow model stands still in its first
    steps.
    """
    return ZeroInit(above=above)


@cache
def methods() -> dict[str, Callable[..., Term]]:
    """The methods of this module that take (positive, negative, scale), by name; looked for once, which takes 1 ms."""
    wanted = ["positive", "negative", "scale"]
    return named.members(
        globals(), lambda f: inspect.isfunction(f) and list(inspect.signature(f).parameters)[:3] == wanted
    )


def find(name: str) -> Callable[..., Term]:
    """A method by name; ValueError for an unknown name."""
    return named.find("guidance", methods(), name)
