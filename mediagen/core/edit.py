"""Edits: a Denoise made of a Denoise. They nest in any order and know nothing of the solver, the guidance or the media.

Axes are those of the whole tensor x [B, C, *grid]: 2 is the first grid axis, -1 the last. t is a number, or a time for
each token (`times`), which is cut, rolled and extended as x is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mediagen.core.denoiser import Cond, Denoise, Denoiser
from mediagen.core.path import Path, noise
from mediagen.core.times import latest, moved, pin, stacked

Residuals = Callable[[Tensor, Tensor, Cond], Cond]


def vary(x0: Tensor, eps: Tensor, path: Path, times: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Where to begin from data: (x, times left). strength in (0, 1] is the share of steps taken; 1 begins at the first
    time.

    x0, eps [B, C, *grid], times [n + 1] or pairs [n, 2]. At least one step is taken. ValueError for a strength outside
    (0, 1].
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
    steps = len(times) - (times.ndim == 1)
    left = times[steps - max(round(steps * strength), 1) :]
    return noise(path, x0, eps, float(left.flatten()[0])), left


def inpaint(denoise: Denoise, known: Tensor, keep: Tensor) -> Denoise:
    """x0 held to `known` [B, C, *grid] where keep = 1, free where 0, mixed between (keep broadcasts, in 0 .. 1).

    Start from x = alpha known + sigma eps (all of it pure noise where alpha is 0); then every rule keeps the noised
    known in x, and the last step lands on it exactly. ValueError for a mask outside 0 .. 1.
    """
    _check_keep(keep)
    return lambda x, t: torch.lerp(denoise(x, t), known, keep.to(known.dtype))


def pinned(denoise: Denoise, known: Tensor, keep: Tensor, token: Sequence[int] = (), *, told: bool = True) -> Denoise:
    """`inpaint` for a network that was trained with times per token: what is known is shown to it as it is, at t = 0.

    known [B, C, *grid]; keep [B or 1, 1, *grid] in 0 .. 1. token: grid cells of a token, one entry an axis, () for one
    each. A token has one time: one that is kept in part is held as `inpaint` holds it. told: whether the network is
    told these times, or the one of what is made, since it knows itself what is clean. ValueError for a mask outside
    0 .. 1.
    """
    _check_keep(keep)
    keep = keep.to(known.dtype).expand(-1, -1, *known.shape[2:])
    whole = _whole(keep == 1, token)

    def held(x: Tensor, t: Any) -> Tensor:
        each = pin(t, whole, x) if told else t
        return torch.lerp(denoise(torch.where(whole, known, x), each), known, keep)

    return held if bool(whole.any()) else inpaint(denoise, known, keep)


def _check_keep(keep: Tensor) -> None:
    if not (keep.min() >= 0 and keep.max() <= 1):
        raise ValueError(f"keep must lie in 0 .. 1, not {float(keep.min())} .. {float(keep.max())}")


def _whole(kept: Tensor, token: Sequence[int]) -> Tensor:
    """Where all cells of a token are kept, at each of its cells."""
    for axis, cells in enumerate(token, start=2):
        kept = kept.unflatten(axis, (-1, cells)).all(axis + 1).repeat_interleave(cells, axis)
    return kept


def projected(denoise: Denoise, project: Callable[[Tensor], Tensor]) -> Denoise:
    """x0 brought to what is known in another space by `project`: x0 -> x0 [B, C, *grid].

    For what no mask of the grid can say, such as one frame out of those that a latent stands for: `project` decodes,
    puts the frame in its place and encodes. The last step lands on what it gives.
    """
    return lambda x, t: project(denoise(x, t))


def restored(path: Path, known: Tensor, eps: Tensor, keep: Tensor) -> Callable[[Any], Tensor]:
    """An `amend` for `sample`: after each step, put alpha known + sigma eps back where keep = 1 (RePaint, arXiv
    2201.09865).
    """
    return lambda state: torch.lerp(state.x, noise(path, known, eps, state.t), keep.to(known.dtype))


def regional(base: Denoise, *regions: tuple[Denoise, Tensor]) -> Denoise:
    """Prompts by place: each region is (denoise, mask) with mask >= 0 broadcasting over x; where masks overlap they
    are averaged, and where they sum to less than 1 the base fills the rest.
    """
    if any(float(mask.min()) < 0 for _, mask in regions):
        raise ValueError("a region's mask must be 0 or more everywhere")
    total = sum((mask for _, mask in regions), torch.zeros(()))
    rest, divide = (1 - total).clamp(min=0), total.clamp(min=1)
    shares = [(part, mask / divide) for part, mask in regions]
    if float(rest.max()) > 1e-6:  # else the base has no place and is not asked
        shares = [(base, rest), *shares]

    def mixed(x: Tensor, t: Any) -> Tensor:
        return sum((share * part(x, t) for part, share in shares), torch.zeros_like(x))

    return mixed


def windowed(
    denoise: Denoise | Callable[[int], Denoise],
    *,
    size: int,
    overlap: int,
    axis: int = -1,
    per_window: bool = False,
    together: bool = False,
) -> Denoise:
    """x of any length along `axis` denoised in windows of `size`, neighbours blended by ramps over `overlap` (arXiv
    2302.08113). Nest two for two axes. A length up to `size` is one window.

    per_window: `denoise` is window number -> Denoise, so that each may have its own prompt. together: all windows in
    one batch (window-major), for a bound or guided denoiser. ValueError unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"windows of {size} allow an overlap of 0 .. {size - 1}, not {overlap}")
    if per_window and together:
        raise ValueError("windows with their own denoisers cannot run together; leave out per_window or together")

    def walk(x: Tensor, t: Any) -> Tensor:
        if x.shape[axis] <= size:
            return (denoise(0) if per_window else denoise)(x, t)  # pyright: ignore[reportCallIssue, reportArgumentType]
        begins = starts(x.shape[axis], size, overlap)
        parts = [x.narrow(axis, start, size) for start in begins]
        times = [moved(t, lambda each, start=start: each.narrow(axis, start, size)) for start in begins]
        ones: Any = [denoise(i) if per_window else denoise for i in range(len(parts))]  # pyright: ignore[reportCallIssue]
        done = (
            _at_once(ones[0], parts, times)
            if together
            else [one(*seen) for one, *seen in zip(ones, parts, times, strict=True)]
        )
        return _overlapped(x, done, begins, weights(size, overlap).to(x), axis)

    return walk


def _at_once(denoise: Denoise, parts: Sequence[Tensor], times: Sequence[Any]) -> Sequence[Tensor]:
    return denoise(torch.cat(list(parts)), stacked(times, len(parts[0]))).chunk(len(parts))


def _overlapped(x: Tensor, parts: Sequence[Tensor], begins: Sequence[int], ramp: Tensor, axis: int) -> Tensor:
    """The weighted mean of windows laid over one another, shaped like x."""
    total, mass = torch.zeros_like(x), x.new_zeros(x.shape[axis])
    shape = [1] * x.ndim
    shape[axis] = -1
    for part, start in zip(parts, begins, strict=True):
        total.narrow(axis, start, len(ramp)).add_(part * ramp.reshape(shape))
        mass.narrow(0, start, len(ramp)).add_(ramp)
    return total / mass.reshape(shape)


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Where windows begin: every size - overlap, the last one moved back to end with x."""
    if length <= size:
        return [0]
    return [*range(0, length - size, size - overlap), length - size]


def weights(size: int, overlap: int) -> Tensor:
    """A window's weights [size]: 1 within, linear ramps above 0 over `overlap` at both ends (at most half the window
    each).
    """
    place = torch.arange(size, dtype=torch.float32)
    rise = torch.minimum(place, place.flip(0)) + 1
    return (rise / (min(overlap, size // 2) + 1)).clamp(max=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Looped:
    """See `looped`. `calls` counts the evaluations: the roll goes on by `stride` at each."""

    denoise: Denoise
    axes: tuple[int, ...]
    stride: float
    calls: list[int] = field(default_factory=lambda: [0])

    def __call__(self, x: Tensor, t: Any) -> Tensor:
        count = self.calls[0]
        self.calls[0] += 1
        # the golden ratio visits all places evenly, whatever the length and the number of steps
        shifts = [int(count * self.stride * x.shape[axis]) % x.shape[axis] for axis in self.axes]
        rolled = partial(torch.roll, shifts=shifts, dims=self.axes)
        return torch.roll(self.denoise(rolled(x), moved(t, rolled)), [-s for s in shifts], self.axes)


def looped(denoise: Denoise, *, axes: int | Sequence[int] = -1, stride: float = 0.6180339887498949) -> Denoise:
    """A result without a seam along `axes`: x is rolled round before each evaluation and back after, so the network's
    ends lie elsewhere each time and no place is an end in the result. `stride` is the roll per evaluation, in lengths.
    """
    return Looped(denoise=denoise, axes=(axes,) if isinstance(axes, int) else tuple(axes), stride=stride)


def wrapped(denoise: Denoise, *, margin: int | tuple[int, int], axes: int | Sequence[int] = -1) -> Denoise:
    """Seamless in every single step: x is extended round both ends by `margin` (or one before and one after) along
    `axes`, and the result cut back.

    Exactly periodic for a network that sees no farther than `margin`, which may go round more than once; costs the
    larger x. ValueError for a margin below 0.
    """
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    before, after = (margin, margin) if isinstance(margin, int) else margin
    if min(before, after) < 0:
        raise ValueError(f"a margin must be 0 or more, not {margin}")

    def around(x: Tensor) -> Tensor:
        for axis in listed:
            n = x.shape[axis]
            x = x.index_select(axis, torch.arange(-before, n + after, device=x.device) % n)
        return x

    def wrap(x: Tensor, t: Any) -> Tensor:
        out = denoise(around(x), moved(t, around))
        for axis in listed:
            out = out.narrow(axis, before, x.shape[axis])
        return out

    return wrap


def preceded(denoise: Denoise, known: Tensor, *, axis: int) -> Denoise:
    """What is known stands before x along `axis`, shown as it is, at t = 0; what is said of it is left out.

    known [B, C, *grid], as x but for that axis. For a network that was trained with times per token (`pinned`): it is
    shown what x goes on from, which is not a part of the result; with `looped` round it, what all of a loop is of.
    """
    length = known.shape[axis]

    def precede(x: Tensor, t: Any) -> Tensor:
        wide = torch.cat([known, x], axis)
        front = torch.zeros(1, 1, *wide.shape[2:], dtype=torch.bool, device=x.device)
        front.narrow(axis, 0, length).fill_(True)
        behind = moved(t, lambda each: torch.cat([each.new_zeros(*each.shape[:2], *known.shape[2:]), each], axis))
        return denoise(wide, pin(behind, front, wide)).narrow(axis, length, x.shape[axis])

    return precede


def control(denoiser: Denoiser, residuals: Residuals, *, low: float = 0.0, high: float = 1.0) -> Denoiser:
    """While low <= t <= high the entries of `residuals(x, told, cond)`, those of a control network, are added to every
    condition that the denoiser is bound to; x and the time `told` are what its own network gets. What they mean is
    between the two networks.
    """

    def hint(x: Tensor, t: Any, told: Tensor, cond: Cond) -> Cond:
        return residuals(x, told, cond) if low <= float(latest(t)) <= high else {}

    return denoiser.hinted(hint)


@dataclass(kw_only=True, eq=False)
class Reuse:
    """See `reuse`. After a walk: `asked` and `called` evaluations, and `estimate`, the largest change that was let
    pass.
    """

    denoise: Denoise
    threshold: float
    limit: int
    asked: int = 0
    called: int = 0
    estimate: float = 0.0
    t: float = -1.0
    drift: float = 0.0
    row: int = 0
    kept: list[tuple[float, Tensor]] = field(default_factory=list)

    def __call__(self, x: Tensor, t: Any) -> Tensor:
        each, t = t, float(latest(t))
        if t > self.t or (self.kept and self.kept[-1][1].shape != x.shape):
            self._forget()
        self.asked += 1
        speed = self._speed()
        ahead = self.drift + speed * (self.t - t)
        self.t = t
        if speed >= 0 and ahead < self.threshold and self.row < self.limit and t > 0:
            self.drift, self.row, self.estimate = ahead, self.row + 1, max(self.estimate, ahead)
            return self.kept[-1][1]
        self.called, self.drift, self.row = self.called + 1, 0.0, 0
        self.kept = [*self.kept[-1:], (t, self.denoise(x, each))]
        return self.kept[-1][1]

    def _speed(self) -> float:
        """Relative change of x0 per unit of t between the last two evaluations; below 0 when it is not known."""
        if len(self.kept) < 2 or self.kept[0][0] <= self.kept[1][0]:
            return -1.0
        (before, old), (now, new) = self.kept
        return float((new - old).norm() / new.norm().clamp(min=1e-12)) / (before - now)

    def _forget(self) -> None:
        self.asked, self.called, self.estimate, self.drift, self.row, self.kept = 0, 0, 0.0, 0.0, 0, []

    @property
    def saved(self) -> float:
        """The share of evaluations that were not made."""
        return 1 - self.called / self.asked if self.asked else 0.0


def reuse(denoise: Denoise, *, threshold: float = 0.05, limit: int = 2) -> Reuse:
    """A step cache: the last x0 is used again while its expected relative change, the speed between the last two
    evaluations times the time since, stays under `threshold`, at most `limit` times running. 0 is exact. One walk at
    a time.

    It reads a number back from the device at each evaluation. `reuse_error` measures what it costs.
    """
    if threshold < 0 or limit < 0:
        raise ValueError(f"threshold and limit must be 0 or more, not {threshold} and {limit}")
    return Reuse(denoise=denoise, threshold=threshold, limit=limit)


def reuse_error(walk: Callable[[Denoise], Tensor], cached: Reuse) -> tuple[float, float]:
    """(relative error of the result, share of evaluations saved): `walk(denoise) -> x` run with and without the
    cache.
    """
    exact = walk(cached.denoise)
    error = float((walk(cached) - exact).norm() / exact.norm())
    return error, cached.saved
