"""Network + path + prediction = a denoiser (x, t, cond) -> x0. The dtype policy lives here.

Coefficients are float64, the state keeps its own dtype (float32), and the network runs in the dtype of its parameters.
A network is `net(x, t, cond) -> y` with x [B, C, *grid], t [B] (or per token, [B, 1, *grid]) in float32, cond a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mediagen.core import predict
from mediagen.core.path import Path, spread
from mediagen.core.step import mix
from mediagen.core.times import Pinned, Time

Cond = Mapping[str, Any]
Denoise = Callable[[Tensor, Any], Tensor]
Hint = Callable[[Tensor, Any, Tensor, Cond], Cond]


class Denoiser(nn.Module):
    """`denoiser(x, t, cond) -> x0`; t is a float, [B], per token [B, 1, *grid], or `Pinned`.

    prediction: a name of `predict.rows()` or a row. scale: (alpha, sigma) -> what x is multiplied by before the
    network (EDM's c_in). clock: (t, alpha, sigma) -> the time the network is told, for nets that want 1000 t or
    ln(sigma) / 4.
    """

    def __init__(
        self,
        net: nn.Module,
        path: Path,
        prediction: str | predict.Row,
        *,
        scale: Callable[[Any, Any], Any] | None = None,
        clock: Callable[[Any, Any, Any], Any] | None = None,
    ) -> None:
        super().__init__()
        self.net, self.path, self.row = net, path, predict.find(prediction)
        self.scale, self.clock = scale, clock
        self.hints: tuple[Hint, ...] = ()
        self._dtype: torch.dtype | None = None

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Denoiser:
        self._dtype = None  # .to(), .half() and friends pass here
        return super()._apply(fn, recurse)

    @property
    def dtype(self) -> torch.dtype:
        """The network's own: what it says, or that of its first floating-point parameter (float32 when it has none)."""
        if self._dtype is None:
            kinds = (p.dtype for p in self.net.parameters() if p.is_floating_point())
            said = getattr(self.net, "dtype", None)  # weights that are quantised do not show it
            self._dtype = said if isinstance(said, torch.dtype) else next(kinds, torch.float32)
        return self._dtype

    def hinted(self, hint: Hint) -> Denoiser:
        """The same denoiser, to whose condition `hint(x, t, told, cond)` adds entries at each call: x and the time
        `told` are what the network gets, t is the path's, cond has the entries of the hints before it.
        """
        other = Denoiser(self.net, self.path, self.row, scale=self.scale, clock=self.clock)
        other.hints = (*self.hints, hint)
        return other

    def coefficients(self, x: Tensor, t: Time) -> tuple[Any, Any]:
        """(alpha, sigma) at t, computed in float64, shaped to broadcast over x in x's dtype; floats for a float t,
        and for the time of what is not clean."""
        if not isinstance(t, Tensor):
            return self.path(t.t if isinstance(t, Pinned) else t)
        wide = t.float() if t.device.type == "mps" else t.double()
        alpha, sigma = self.path(wide)
        return spread(alpha, x), spread(sigma, x)

    def output(self, x: Tensor, t: Time, cond: Cond | None = None) -> Tensor:
        """The network's own answer y [B, C, *grid] in x's dtype."""
        return self._output(x, t, cond or {}, self.coefficients(x, t))

    def _output(self, x: Tensor, t: Time, cond: Cond, level: tuple[Any, Any]) -> Tensor:
        told = self._told(t, level, x)
        scaled = _cast(x if self.scale is None else x * narrow(self._scale(t, level), x), self.dtype)
        for hint in self.hints:
            cond = {**cond, **hint(scaled, t, told, cond)}
        net: Any = self._modules["net"]  # self.net, for which nn.Module would look as long as a small kernel takes
        return _cast(net(scaled, told, cond), x.dtype)

    def forward(self, x: Tensor, t: Time, cond: Cond | None = None) -> Tensor:
        level = self.coefficients(x, t)
        return self.clean(self._output(x, t, cond or {}, level), x, t, level)

    def clean(self, y: Tensor, x: Tensor, t: Time, level: tuple[Any, Any]) -> Tensor:
        """The x0 of an output y at (x, t), whose coefficients are `level`."""
        x0 = clean(y, x, level, self.row)
        return t.put(x, x0) if isinstance(t, Pinned) else x0

    def _told(self, t: Time, level: tuple[Any, Any], x: Tensor) -> Tensor:
        """The time that the network is told, float32 [B] or [B, 1, *grid]."""
        if isinstance(t, Pinned):
            return t.each(t.t if self.clock is None else self.clock(t.t, *level), self._still, len(x))
        return _per_sample(t if self.clock is None else self.clock(t, *level), x)

    @cached_property
    def _still(self) -> float:
        """What the network is told of t = 0."""
        zero = torch.zeros((), dtype=torch.float64)
        return 0.0 if self.clock is None else float(self.clock(zero, *self.path(zero)))

    def _scale(self, t: Time, level: tuple[Any, Any]) -> Any:
        scale: Any = self.scale
        return t.put(scale(*self.path(0.0)), scale(*level)) if isinstance(t, Pinned) else scale(*level)

    def bind(self, cond: Cond | None = None) -> Bound:
        """The condition bound: a Denoise (x, t) -> x0, all that a solver sees."""
        return Bound(denoiser=self, cond=dict(cond or {}))


@dataclass(frozen=True, kw_only=True, eq=False)
class Bound:
    """A denoiser with its condition. x may hold a whole multiple k B of the condition's batch B; it is repeated to
    fit.
    """

    denoiser: Denoiser
    cond: Cond
    fitted: dict[int, Cond] = field(default_factory=dict, init=False)

    def __call__(self, x: Tensor, t: Time) -> Tensor:
        return self.denoiser.forward(x, t, self._fitted(x))  # hooks are its network's; a module's call takes 1 us

    def output(self, x: Tensor, t: Time) -> Tensor:
        """The network's own answer."""
        return self.denoiser.output(x, t, self._fitted(x))

    def _fitted(self, x: Tensor) -> Cond:
        batch = x.shape[0]
        if batch not in self.fitted:
            self.fitted[batch] = fit(self.cond, batch)
        return self.fitted[batch]

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Equal for the same denoiser bound to the same entries, however often it was bound."""
        return (id(self.denoiser), *((name, id(entry)) for name, entry in sorted(self.cond.items())))

    def with_cond(self, **entries: Any) -> Bound:
        """The same denoiser with entries of the condition added or replaced, as in with_cond(skip_layers=(3,))."""
        return Bound(denoiser=self.denoiser, cond={**self.cond, **entries})


def clean(y: Tensor, x: Tensor, level: tuple[Any, Any], row: predict.Row) -> Tensor:
    """x0 [B, C, *grid] from the output y, the coefficients taken in float64 and applied in x's dtype. Where a tensor's
    sigma is 0, nothing is left to predict and x0 is x / alpha.
    """
    a, s = level
    p, q = row(a, s)
    det = q * a - p * s
    if isinstance(det, Tensor):
        there = s > 0
        det = torch.where(there, det, 1.0)
        return narrow(torch.where(there, q / det, 1 / a), x) * x - narrow(s / det, x) * y
    return mix(x, y, q / det, -s / det)


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in this dtype; asked first, since even a `.to` that does nothing takes a microsecond."""
    return x if x.dtype == dtype else x.to(dtype)


def narrow(value: Any, x: Tensor) -> Any:
    """A coefficient in x's dtype (floats pass)."""
    return value.to(x.dtype) if isinstance(value, Tensor) else value


def fit(cond: Cond, batch: int) -> Cond:
    """cond with each tensor repeated to `batch` rows (given order kept, the whole repeated); ValueError if it does not
    divide.
    """
    rows = {len(c) for c in cond.values() if isinstance(c, Tensor) and c.ndim}
    if not rows or rows == {batch}:
        return cond
    if any(batch % n for n in rows):
        raise ValueError(f"x has a batch of {batch}, the condition of {sorted(rows)}; it must divide the batch of x")
    return {
        k: c.repeat(batch // len(c), *[1] * (c.ndim - 1)) if isinstance(c, Tensor) and c.ndim else c
        for k, c in cond.items()
    }


def loss(
    denoiser: Denoiser, x0: Tensor, eps: Tensor, t: Tensor, cond: Cond | None = None, where: Tensor | None = None
) -> Tensor:
    """The one loss, per sample [B]: mean square of y - (p x0 + q eps) at x = alpha x0 + sigma eps, t [B] or per
    token. where: bool [B, 1, *grid], the places that count, all of them if None.
    """
    a, s = denoiser.coefficients(x0, t)
    p, q = denoiser.row(a, s)
    x = narrow(a, x0) * x0 + narrow(s, x0) * eps
    goal = narrow(p, x0) * x0 + narrow(q, x0) * eps
    square = (denoiser.output(x, t, cond) - goal).square()
    if where is None:
        return square.flatten(1).mean(1)
    counts = where.to(square).expand_as(square).flatten(1)
    return (square.flatten(1) * counts).sum(1) / counts.sum(1).clamp_min(1)


def _per_sample(t: Any, x: Tensor) -> Tensor:
    """Float32 time [B] from a float or scalar; [B] and per-token times pass."""
    if not isinstance(t, Tensor):
        return torch.full((x.shape[0],), float(t), dtype=torch.float32, device=x.device)
    return t.to(x.device, torch.float32).expand(len(x)) if t.ndim == 0 else t.to(x.device, torch.float32)
