"""Keyed noise: (seed, sample, step, purpose) -> the same numbers on every device, in every batch and in any order.

Philox 4x32-10 (Salmon et al., SC 2011) in integer tensor operations, then Box-Muller in float64 from additions,
multiplications, divisions and square roots only: those are exactly rounded by IEEE 754, so the numbers are equal bit
for bit on CPU and GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLY = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """The noise of one batch: `keyed(step, like)` draws a tensor shaped as `like` [B, ...], one key per sample.

    seed: one for all or one per sample. samples: their numbers. The tensor is on like's device, in like's dtype.
    """

    seed: int | Sequence[int]
    samples: Sequence[int]
    purpose: str = "noise"

    def __call__(self, step: int, like: Tensor) -> Tensor:
        [drawn] = self.steps([step], like)
        return drawn

    def steps(self, steps: Sequence[int], like: Tensor) -> Sequence[Tensor]:
        """The noise of each of these steps, drawn at once."""
        n = len(self.samples)
        if len(like) != n:
            raise ValueError(f"noise is keyed for {n} samples, x has {len(like)}")
        seeds = [self.seed] * n if isinstance(self.seed, int) else list(self.seed)
        key = {"seed": seeds * len(steps), "sample": [*self.samples] * len(steps), "purpose": self.purpose}
        each = [step for step in steps for _ in range(n)]
        return normal(like.shape[1:], **key, step=each, device=like.device, dtype=like.dtype).split(n)

    def of(self, purpose: str) -> Keyed:
        """The same samples' noise for another purpose."""
        return replace(self, purpose=purpose)


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """The noise of a torch.Generator, draw after draw, as published pipelines take it: not keyed, so the same numbers
    come again only in the same batch and order.
    """

    generator: torch.Generator

    def __call__(self, step: int, like: Tensor) -> Tensor:
        place = {"device": self.generator.device, "dtype": like.dtype}
        return torch.randn(like.shape, generator=self.generator, **place).to(like.device)

    def of(self, purpose: str) -> Drawn:
        return self


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """Noise to start from [B, C, *grid] that was handed in; the noise of the steps is that of `steps`."""

    start: Tensor
    steps: Keyed

    def __call__(self, step: int, like: Tensor) -> Tensor:
        if self.start.shape != like.shape:
            raise ValueError(f"the noise is {tuple(self.start.shape)}, it must be {tuple(like.shape)}")
        return self.start.to(like)

    def of(self, purpose: str) -> Keyed:
        return self.steps.of(purpose)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ahead:
    """The noise of `keyed`, the same numbers, drawn for several of `total` steps at once where the state is small: a
    draw takes some hundred kernels, whatever its size.
    """

    keyed: Keyed
    total: int
    kept: dict[int, Tensor] = field(default_factory=dict, init=False)

    def __call__(self, step: int, like: Tensor) -> Tensor:
        if step not in self.kept:
            self.kept.clear()
            steps = range(step, max(min(self.total, step + AT_ONCE // like.numel()), step + 1))
            self.kept.update(zip(steps, self.keyed.steps(steps, like), strict=True))
        return self.kept.pop(step)


AT_ONCE = 2**16
"""Numbers that are drawn ahead."""


def ahead(noise: Noise, total: int) -> Callable[[int, Tensor], Tensor]:
    """The noise of a walk of `total` steps, each of which is asked for once."""
    return Ahead(keyed=noise, total=total) if isinstance(noise, Keyed) else noise


Noise = Keyed | Drawn | Given
"""(step, like) -> standard normal numbers shaped as `like` [B, ...]; `of(purpose)`, those for something else."""


def normal(
    shape: Sequence[int],
    *,
    seed: int | Sequence[int],
    sample: int | Sequence[int] = 0,
    step: int | Sequence[int] = 0,
    purpose: str = "noise",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal numbers [len(sample), *shape], or [*shape] when sample is one int. `shape` is that of one
    sample.
    """
    where = _device(device)
    words = bits(math.prod(shape), seed=seed, sample=sample, step=step, purpose=purpose, device=where)
    pairs = _box_muller(words.unflatten(-1, (-1, 2)))
    return _shaped(pairs.flatten(-2), shape, sample).to(device=device, dtype=dtype)


def uniform(
    shape: Sequence[int],
    *,
    seed: int | Sequence[int],
    sample: int | Sequence[int] = 0,
    step: int | Sequence[int] = 0,
    purpose: str = "uniform",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform numbers in the open interval (0, 1), shaped as `normal`'s (24 random bits: exact in float32)."""
    where = _device(device)
    words = bits(math.prod(shape), seed=seed, sample=sample, step=step, purpose=purpose, device=where)
    values = ((words >> 8).double() + 0.5) / 2**24 if dtype == torch.float64 else ((words >> 9).double() + 0.5) / 2**23
    return _shaped(values, shape, sample).to(device=device, dtype=dtype)


def bits(
    count: int,
    *,
    seed: int | Sequence[int],
    sample: int | Sequence[int] = 0,
    step: int | Sequence[int] = 0,
    purpose: str = "bits",
    device: torch.device | str = "cpu",
) -> Tensor:
    """Random 32-bit words as int64 in [0, 2^32): [samples, count rounded up to fours]. The counter is (block, step,
    sample, purpose).
    """
    samples = [sample] if isinstance(sample, int) else list(sample)
    seeds, steps = ([v] * len(samples) if isinstance(v, int) else list(v) for v in (seed, step))
    _check(seeds, samples, steps, count)
    rows = [(s & _WORD, s >> 32, i, n, crc32(purpose.encode())) for s, i, n in zip(seeds, steps, samples, strict=True)]
    low, high, *others = torch.tensor(rows, device=device).unsqueeze(-1).unbind(1)
    block = torch.arange(-(-count // 4), device=device).expand(len(samples), -1)
    counter = [block, *(other.expand_as(block) for other in others)]
    return torch.stack(_philox(counter, [low, high]), -1).flatten(1)


def _check(seeds: Sequence[int], samples: Sequence[int], steps: Sequence[int], count: int) -> None:
    if len(seeds) != len(samples):
        raise ValueError(f"{len(seeds)} seeds for {len(samples)} samples; give one seed, or one per sample")
    if len(steps) != len(samples):
        raise ValueError(f"{len(steps)} steps for {len(samples)} samples; give one step, or one per sample")
    if not all(0 <= s < 2**64 for s in seeds):
        raise ValueError(f"a seed must be in 0 .. 2^64 - 1, not {next(s for s in seeds if not 0 <= s < 2**64)}")
    if not all(0 <= n < 2**32 for n in (*samples, *steps, count)):
        raise ValueError(f"sample, step and count must be in 0 .. 2^32 - 1, not {(*samples, *steps, count)}")


def _philox(counter: Sequence[Tensor], key: Sequence[Tensor]) -> list[Tensor]:
    """Ten rounds on four 32-bit counters and two key words, held in int64. A product wraps at 2^64; its halves are
    still right.
    """
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        first, second = a * _MULTIPLY[0], c * _MULTIPLY[1]
        a = (second >> 32).bitwise_and_(_WORD).bitwise_xor_(b).bitwise_xor_(k)
        c = (first >> 32).bitwise_and_(_WORD).bitwise_xor_(d).bitwise_xor_(m)
        b, d = second.bitwise_and_(_WORD), first.bitwise_and_(_WORD)
        k, m = k + _WEYL[0] & _WORD, m + _WEYL[1] & _WORD
    return [a, b, c, d]


def _box_muller(words: Tensor) -> Tensor:
    """Pairs of 32-bit words [..., 2] -> pairs of independent standard normals [..., 2], float64."""
    radius = torch.sqrt(-2 * _log((words[..., 0].double() + 0.5) / 2**32))
    turn = words[..., 1]
    # the low 30 bits give an angle in (-pi/4, pi/4), the top two say to which quarter of the circle it belongs
    angle = (((turn & 0x3FFFFFFF).double() + 0.5) / 2**30 - 0.5) * (math.pi / 2)
    square = angle * angle
    cos, sin = _series(square, _COS), angle * _series(square, _SIN)
    across, flip = (turn >> 30 & 1).bool(), 1 - 2 * (turn >> 31 & 1)
    signed = radius * flip
    return torch.stack((torch.where(across, sin, cos) * signed, torch.where(across, cos, sin) * signed), -1)


_COS = [(-1) ** k / math.factorial(2 * k) for k in range(8)]
_SIN = [(-1) ** k / math.factorial(2 * k + 1) for k in range(8)]
_ATANH = [1 / (2 * k + 1) for k in range(9)]


def _log(u: Tensor) -> Tensor:
    """ln u to about 1e-14 by 2 atanh((m - 1) / (m + 1)), m the mantissa brought near 1."""
    mantissa, exponent = torch.frexp(u)
    small = (mantissa < math.sqrt(0.5)).to(u.dtype)
    mantissa, exponent = mantissa * (1 + small), exponent.to(u.dtype) - small
    z = (mantissa - 1) / (mantissa + 1)
    return exponent * math.log(2) + 2 * z * _series(z * z, _ATANH)


def _series(x: Tensor, terms: Sequence[float]) -> Tensor:
    """The polynomial with these coefficients, lowest first. Separate multiplications and additions: nothing may be
    fused.
    """
    total = torch.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total.mul_(x).add_(term)
    return total


def _device(device: torch.device | str) -> torch.device:
    """Where to compute: the device itself, or the CPU for one without float64."""
    place = torch.device(device)
    return torch.device("cpu") if place.type == "mps" else place


def _shaped(values: Tensor, shape: Sequence[int], sample: int | Sequence[int]) -> Tensor:
    batch = values[:, : math.prod(shape)].reshape(-1, *shape)
    return batch[0] if isinstance(sample, int) else batch
