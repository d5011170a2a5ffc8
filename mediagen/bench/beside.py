"""What a loop costs beside its networks, which are clocked from inside: the one way in which it is measured.

A step is from the end of one call of the denoising network to the beginning of the next one, all calls of a step
together; a call is what is left of a walk. Networks may echo, which is to answer at once what they answered before, so
that their time (milliseconds) does not drown the loop's (microseconds).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

DENOISERS = ("unet", "transformer", "transformer_2")
ASKED = ("encode", "get_text_features")  # what a network is called by where it has it, if not as it is
SLOWEST = 0.2  # the share of steps in which something else had the processor, which are left out
TARGETS = "Target: under 50 µs a step and 1 ms a call."

Call = Callable[[int], Sequence[Tensor]]
"""steps -> latents, and those of the sound of a clip that is made with it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two loops around the same networks, ours and diffusers', from the same noise."""

    mine: Call
    theirs: Call
    networks: Mapping[str, nn.Module]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The loop's own cost: seconds a step and seconds a call; whole: seconds of a whole walk, networks included."""

    step: float
    call: float
    whole: float


def apart(pair: Pair, steps: int = 4) -> float:
    """The relative distance of the two sides' latents, however they are packed: of their values, sorted. Where theirs
    leaves the first one of a clip out, which is the picture that it was shown, that of the others."""
    mine, other = pair.mine(steps), pair.theirs(steps)
    if len(other) == 1 and mine[0][:, :, 1:].shape == other[0].shape:
        mine = [mine[0][:, :, 1:]]
    one, two = (torch.cat([part.float().flatten().sort().values for part in side]) for side in (mine, other))
    return float((one - two).norm() / two.norm()) if one.shape == two.shape else float("inf")


def overhead(pair: Pair, steps: int = 25, repeats: int = 5, *, echo: bool = True) -> tuple[Cost, Cost]:
    """(ours, diffusers'): what a step and a call cost beside the networks: the least of `repeats` walks of each side,
    which take turns. echo: whether the networks only echo meanwhile."""
    found: tuple[list[Cost], ...] = ([], [])
    with clocked(pair.networks, echo=echo) as clock:
        for turn in range(repeats + 1):
            for side, call in enumerate((pair.mine, pair.theirs)):
                one = spent(call, steps, clock)
                if turn:  # the first turn warms up
                    found[side].append(one)
    mine, other = (Cost(**{part: min(vars(one)[part] for one in side) for part in vars(side[0])}) for side in found)
    return mine, other


def spent(call: Callable[[int], Any], steps: int, clock: Clock) -> Cost:
    """What one walk costs beside clocked networks. Collecting garbage waits, as it may happen to either side."""
    clock.reset()
    gc.disable()
    try:
        begin = time.perf_counter()
        call(steps)
        end = time.perf_counter()
    finally:
        gc.enable()
    own = sorted(clock.between(max(round(len(clock.calls) / steps), 1)))
    usual = own[: math.ceil(len(own) * (1 - SLOWEST))]
    step = sum(usual) / len(usual)
    return Cost(step=step, call=end - begin - clock.seconds - sum(own) - step, whole=end - begin)


@dataclass(kw_only=True, eq=False)
class Clock:
    """Networks' seconds in all, and from when to when the denoising ones were in each of their calls."""

    seconds: float = 0.0
    calls: list[tuple[float, float]] = field(default_factory=list)

    def reset(self) -> None:
        self.seconds, self.calls = 0.0, []

    def of(self, function: Callable[..., Any], denoises: bool) -> Callable[..., Any]:
        """A network's function under this clock."""

        def timed(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            given = function(*args, **options)
            end = time.perf_counter()
            self.seconds += end - begin
            if denoises:
                self.calls.append((begin, end))
            return given

        return timed

    def between(self, each: int) -> list[float]:
        """Seconds beside the denoising networks from the first call of a step, of `each`, to that of the next one."""
        gaps = [then[0] - now[1] for now, then in pairwise(self.calls)]
        return [sum(gaps[first : first + each]) for first in range(0, len(gaps) - each + 1, each)]


@contextmanager
def clocked(networks: Mapping[str, nn.Module], *, echo: bool = True) -> Iterator[Clock]:
    """Networks under a clock meanwhile, of an autoencoder its encoder, of CLAP what reads. echo: they only echo."""
    clock = Clock()
    with ExitStack() as after:
        for part, network in networks.items():
            name = next((one for one in ASKED if hasattr(network, one)), "forward")
            function = Echo(forward=getattr(network, name)) if echo else getattr(network, name)
            after.enter_context(patch.object(network, name, clock.of(function, part in DENOISERS)))
        yield clock


@dataclass(kw_only=True, eq=False)
class Echo:
    """A network that is asked once for inputs of a shape, and gives the same again afterwards."""

    forward: Callable[..., Any]
    given: dict[Any, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **options: Any) -> Any:
        key = tuple(tuple(one.shape) for one in (*args, *options.values()) if isinstance(one, Tensor))
        if key not in self.given:
            self.given[key] = self.forward(*args, **options)
        return self.given[key]
