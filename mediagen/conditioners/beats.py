"""The beat of music as a signal in time: where in the beat, and in parts and groups of beats, each latent lies.

A tempo told in words says how fast, and leaves open where the beats are. A network that sees them need not count: it
puts its notes where they belong, at any tempo, in every window of a long piece and in a loop.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

TURNS = (1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 4.0)  # a beat: of bars of four, three and two beats, the beat, halves, quarters
CHANNELS = 2 * len(TURNS)
NAME = "beats"
TOLD = re.compile(r"\b(\d{2,3}(?:\.\d+)?) ?(?:bpm|beats (?:per|a) minute)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Beats:
    """bpm: felt beats a minute; second: a time at which so many beats (`beat`, the first beat of a bar is 0) are over.

    ValueError unless bpm is above 0 and all are numbers."""

    bpm: float
    second: float = 0.0
    beat: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bpm) and self.bpm > 0 and math.isfinite(self.second) and math.isfinite(self.beat)):
            raise ValueError(f"bpm must be above 0, and all of {self} finite")

    def at(self, second: float) -> float:
        """Beats that are over then."""
        return self.beat + (second - self.second) * self.bpm / 60

    def changed(self, second: float, bpm: float) -> "Beats":
        """Another tempo from this second on, without a beat lost or cut."""
        return replace(self, bpm=bpm, second=second, beat=self.at(second))

    def signal(self, begin: float, step: float, count: int) -> Tensor:
        """[CHANNELS, count]: sines, then cosines, of the turns in the middle of each of `count` latents of `step`
        seconds, the first of which begins at second `begin`."""
        places = begin + step * (torch.arange(count, dtype=torch.float64) + 0.5)
        over = self.beat + (places - self.second) * self.bpm / 60
        angle = 2 * math.pi * torch.tensor(TURNS, dtype=torch.float64)[:, None] * over
        return torch.cat([angle.sin(), angle.cos()]).float()


Course = tuple[Beats, ...]
"""Tempi one after the other, each from its own second on."""


def course(tempi: Iterable[tuple[float, float | None]]) -> Course:
    """(second, bpm) in the order of time, None: as before -> the tempi. Beats count from where the first begins."""
    found: Course = ()
    for second, bpm in tempi:
        if bpm is not None:
            found += (found[-1].changed(second, bpm) if found else Beats(bpm=bpm, second=second),)
    return found


def signal(tempi: Course, begin: float, step: float, count: int) -> Tensor:
    """`Beats.signal` of the tempo that holds in the middle of each latent, the first one's before it; zeros without."""
    out = torch.zeros(CHANNELS, count)
    for number, beats in enumerate(tempi):
        first = 0 if number == 0 else min(max(math.ceil((beats.second - begin) / step - 0.5), 0), count)
        out[:, first:] = beats.signal(begin, step, count)[:, first:]
    return out


def told(prompt: str) -> float | None:
    """The tempo that a prompt states ("90 bpm", "120 beats per minute"), the first of them; None if it states none."""
    found = TOLD.search(prompt)
    return float(found[1]) if found else None


def told_by(prompts: Sequence[tuple[str, float]]) -> float | None:
    """The tempo that the first of several weighted prompts states that states one."""
    return told(" ".join(text for text, _ in prompts))
