"""The only sampling loop, and the rules it runs.

A rule looks at x and at the denoised x0 and returns a *better* x0; the loop then makes the one step all solvers share,
x' = (sigma_down / sigma) x + (alpha' - alpha sigma_down / sigma) better, and adds nu z with sigma_down^2 + nu^2 =
sigma'^2. So every rule takes every kind of noise. `docs/mathematics.md` derives this and prints the measured order of
each rule.

A new solver is one more `@rule` function in this file; the registry, the law tests and the command find it by
themselves.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from mediagen.core import named
from mediagen.core.integrate import weights
from mediagen.core.path import Path
from mediagen.core.step import Past, Spread, State, Step, mix, plan, sde
from mediagen.core.step import ancestral as ancestral

Denoise = Callable[[Tensor, Any], Tensor]
Noise = Callable[[int, Tensor], Tensor]


Rule = Callable[[Step, Tensor, Tensor, Sequence[Past], Denoise], Tensor]

MOST = 3  # past steps that a rule is told, where it does not say that it wants fewer


def sample(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    times: Tensor | Sequence[float],
    *,
    rule: str | Rule = "dpmpp_2m",
    eta: float | Spread | None = None,
    noise: Noise | None = None,
    amend: Callable[[State], Tensor] | None = None,
) -> Iterator[State]:
    """Walk x [B, C, *grid] from times[0] to times[-1] and yield a State after each step; the last one's x is the
    result.

    times: falling [n + 1], or [n, 2] pairs (from, to) for grids whose steps overlap. eta: ancestral in [0, 1], or
    `sde(eta)`; None is the rule's own (0, but for lcm). noise: (step, like) -> standard normal, such as `rng.Keyed`,
    needed when there is eta. amend: a State -> the x to go on from. Runs under the caller's grad mode. ValueError for
    a bad grid, rule or eta.
    """
    chosen = find(rule) if isinstance(rule, str) else rule
    steps = plan(path, times, getattr(chosen, "eta", None) if eta is None else eta)
    if noise is None and any(step.nu for step in steps):
        raise ValueError("this rule and eta add noise; pass noise=, such as rng.Keyed(seed=..., samples=...)")
    return _walk(denoise, x, steps, chosen, noise, amend)


def _walk(
    denoise: Denoise,
    x: Tensor,
    steps: Sequence[Step],
    rule: Rule,
    noise: Noise | None,
    amend: Callable[[State], Tensor] | None,
) -> Iterator[State]:
    past: list[Past] = []
    kept = getattr(rule, "past", MOST)
    for step in steps:
        x0 = denoise(x, step.t)
        best = rule(step, x, x0, past, denoise)
        if kept:
            past = [Past(step=step, x=x, x0=x0, best=best), *past[: kept - 1]]
        x = mix(x, best, step.keep, step.gain)
        if step.nu and noise is not None:
            x.add_(noise(step.index, x), alpha=step.nu)
        state = State(step=step.index + 1, total=step.total, t=step.then, x=x, x0=x0)
        if amend is not None:
            x = amend(state)
            state = State(step=state.step, total=state.total, t=state.t, x=x, x0=x0)
        yield state


def last(states: Iterator[State]) -> State:
    """Run a walk to its end and give the last State."""
    state = deque(states, maxlen=1)
    if not state:
        raise ValueError("there was no step to take")
    return state[0]


def rule(*, order: int, evaluations: int = 1, eta: Spread | None = None, past: int = MOST) -> Callable[[Rule], Rule]:
    """Marks a rule with its order of convergence (what the law tests hold it to), its calls of the denoiser per step,
    the noise it uses when none is asked for, and how many past steps are kept for it, three states of memory each.
    """

    def mark(function: Any) -> Rule:
        function.order, function.evaluations, function.eta, function.past = order, evaluations, eta, past
        return function

    return mark


def _nodes(step: Step, past: Sequence[Past]) -> list[float]:
    """Where past steps lie, in steps of h from now; none if this step, or the past, is infinite in log-SNR."""
    h, level = step.h, step.level
    if not (math.isfinite(h) and math.isfinite(step.z)):
        return []
    return [(p.step.level - level) / h for p in past if math.isfinite(p.step.level)]


def _blend(first: Tensor, others: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """first + sum of w_k (other_k - first): exactly `first` where all agree."""
    if not shares:
        return first
    total = torch.lerp(first, others[0], shares[0])
    for other, share in zip(others[1:], shares[1:], strict=False):
        total.add_(other - first, alpha=share)
    return total


def _extrapolate(step: Step, x0: Tensor, past: Sequence[Past]) -> Tensor:
    """x0 averaged over the step by the polynomial in log-SNR through now and the past: the exponential Adams-Bashforth
    step.
    """
    return _blend(x0, [p.x0 for p in past], weights(_nodes(step, past), step.z))


def _noise_then(past: Past) -> Tensor:
    """The noise a past step saw."""
    if past.noise is None:
        past.noise = mix(past.x, past.x0, 1 / past.step.s, -past.step.a / past.step.s)
    return past.noise


def _blend_noise(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], shares: Sequence[float]) -> Tensor:
    """The x0 of a blend of noise, today's in x and what past steps saw. Once noise is renewed, that of the past is what
    its x0 would mean in x today, and this is a blend of x0.
    """
    if step.nu:
        return _blend(x0, [p.x0 for p in past], shares)
    return _with_noise(step, x, x0, [_noise_then(p) for p in past], shares)


def _with_noise(step: Step, x: Tensor, x0: Tensor, others: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """(x - sigma e) / alpha, e = eps + sum of w_k (other_k - eps), without making the noise eps in x."""
    share = sum(shares)
    best = mix(x, x0, share / step.a, 1 - share)
    for other, own in zip(others, shares, strict=True):
        best.add_(other, alpha=-own * step.s / step.a)
    return best


def _slant(a: float, s: float) -> float:
    """The time of the straight path with the same sigma / alpha: the frame in which native velocities are taken."""
    return s / (a + s)


@rule(order=1, past=0)
def euler(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """x0 as it is: DDIM (arXiv 2010.02502), Euler on the flow path and on EDM's sigmas, DPM-Solver++(1)."""
    return x0


@rule(order=2, evaluations=2, past=0)
def heun(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """The trapezoid in the flow path's velocity: w = t / (2 t') of the x0 found after an Euler step."""
    if step.s2 == 0:
        return x0
    ahead = look(step.visit(x, x0, step.then), step.then)
    return _blend(x0, [ahead], [_slant(step.a, step.s) / _slant(step.a2, step.s2) / 2])


@rule(order=2, evaluations=2, past=0)
def heun_edm(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """The trapezoid in sigma / alpha (arXiv 2206.00364, algorithm 1): w = r / (2 r')."""
    if step.s2 == 0 or step.a == 0:
        return x0
    ahead = look(step.visit(x, x0, step.then), step.then)
    return _blend(x0, [ahead], [step.s * step.a2 / (step.a * step.s2) / 2])


@rule(order=2, evaluations=2, past=0)
def midpoint(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """The velocity halfway in t, taken in the flow path's frame."""
    half = (step.t + step.then) / 2
    middle = look(step.visit(x, x0, half), half)
    return _blend(x0, [middle], [_slant(step.a, step.s) / _slant(*step.path(half))])


@rule(order=4, evaluations=4, past=0)
def rk4(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """Runge and Kutta's four slopes, in the flow path's frame y = x / (alpha + sigma), dy/du = (y - x0) / u."""
    u, u2 = _slant(step.a, step.s), _slant(step.a2, step.s2)
    y = x / (step.a + step.s)

    def slope(last: Tensor, at: float) -> Tensor:
        t = step.then if at == u2 else step.path.time(at / (1 - at))
        there = y + (at - u) * last
        return (there - look(there * sum(step.path(t)), t)) / at

    if u2 == 0:
        return x0
    first = (y - x0) / u
    second = slope(first, (u + u2) / 2)
    third = slope(second, (u + u2) / 2)
    return y - u * (first + 2 * second + 2 * third + slope(third, u2)) / 6


@rule(order=2, evaluations=2, past=0)
def dpmpp_2s(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """DPM-Solver++(2S) (arXiv 2211.01095, algorithm 1): x0 halfway in log-SNR."""
    if not math.isfinite(step.h):
        return x0
    half = step.path.time(math.exp(-step.level - step.h / 2))
    return look(step.visit(x, x0, half), half)


@rule(order=2, past=1)
def dpmpp_2m(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): x0 + (x0 - x0_prev) / (2 r), r = h_prev / h."""
    nodes = _nodes(step, past[:1])
    return _blend(x0, [past[0].x0], [0.5 / nodes[0]]) if nodes else x0


@rule(order=3, past=2)
def dpmpp_3m(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """DPM-Solver++(3M): the parabola through three x0, integrated exactly (published code halves the last term: order
    2).
    """
    return _extrapolate(step, x0, past[:2])


@rule(order=2, past=1)
def res_2m(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """RES multistep (arXiv 2308.02157): the line through two x0, integrated exactly."""
    return _extrapolate(step, x0, past[:1])


@rule(order=3, past=2)
def deis(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """DEIS (arXiv 2204.13902, log-rho AB, order 3): the noise as a parabola in log-SNR, integrated over sigma /
    alpha.
    """
    nodes = _nodes(step, past[:2])
    if not nodes:
        return x0
    return _blend_noise(step, x, x0, past[: len(nodes)], weights(nodes, -step.h))


@rule(order=2)
def ipndm(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """iPNDM (arXiv 2204.13902): Adams-Bashforth 4 for even steps on the noise; order 4 only on steps even in sigma /
    alpha.
    """
    if step.a == 0 or step.s2 == 0 or not past:
        return x0
    return _blend_noise(step, x, x0, past, _ADAMS[len(past)])


_ADAMS = {1: (-1 / 2,), 2: (-16 / 12, 5 / 12), 3: (-59 / 24, 37 / 24, -9 / 24)}


@rule(order=2)
def plms(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """PLMS (arXiv 2202.09778), which Stable Diffusion was published with: ipndm that looks twice in its first step, for
    the mean of the noise at its two ends.
    """
    if past or step.a == 0 or step.s2 == 0:
        return ipndm(step, x, x0, past, look)
    ahead = step.visit(x, x0, step.then)
    late = mix(ahead, look(ahead, step.then), 1 / step.s2, -step.a2 / step.s2)
    return _with_noise(step, x, x0, [late], [0.5])


@rule(order=3, past=2)
def unipc(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """UniPC-2 (arXiv 2302.04867, B2, on x0): predictor of order 2; the corrector, free of calls, makes it 3."""
    return _unified(step, x0, past, 2)


@rule(order=4)
def unipc_3(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """UniPC-3: predictor of order 3, corrected to 4."""
    return _unified(step, x0, past, 3)


@rule(order=1, eta=sde(math.inf), past=0)
def lcm(step: Step, x: Tensor, x0: Tensor, past: Sequence[Past], look: Denoise) -> Tensor:
    """Consistency sampling (arXiv 2303.01469, algorithm 1): go to x0, then noise afresh; any other eta makes it
    euler.
    """
    return x0


def _unified(step: Step, x0: Tensor, past: Sequence[Past], order: int) -> Tensor:
    """Predict at `order`; put the correction of the last step's x, made with today's x0, into the better x0: both are
    shares of the past's.
    """
    shares = _predicted(step, past, order)
    if past and step.keep and math.isfinite(past[0].step.z):
        late = past[0].step
        # what the last step would have gained, carried to where this step's x0 is weighed
        carried = late.gain * step.keep / step.gain
        pairs = zip_longest(shares, _corrected(late, past[1:], order), fillvalue=0.0)
        shares = [share + carried * more for share, more in pairs]
    return _blend(x0, [p.x0 for p in past], shares)


def _predicted(step: Step, past: Sequence[Past], order: int) -> Sequence[float]:
    nodes = _nodes(step, past[: order - 1])
    return (0.5 / nodes[0],) if len(nodes) == 1 else weights(nodes, step.z)


def _corrected(late: Step, past: Sequence[Past], order: int) -> Sequence[float]:
    """What a late step would have blended with the x0 after it, less what it did: shares of its own x0 and the past's;
    that of the x0 after it makes up for them.
    """
    nodes = _nodes(late, past[: order - 1])
    after = weights([*nodes, 1.0], late.z) if nodes else (0.5,)
    before = _predicted(late, past, order)
    return sum(before) - sum(after), *(new - old for new, old in zip(after, before, strict=False))


@cache
def rules() -> dict[str, Rule]:
    """Every rule of this module by name."""
    return named.members(globals(), lambda f: hasattr(f, "order") and hasattr(f, "evaluations"))


def find(name: str) -> Rule:
    """A rule by name; ValueError for an unknown name."""
    return named.find("solver", rules(), name)
