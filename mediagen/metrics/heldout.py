"""A model's report on held-out captions: what it makes of them is judged beside the real media of the same captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from .frechet import frechet

Asked = TypeVar("Asked")
One = TypeVar("One", np.ndarray, Tensor)  # a picture, a sound, a clip


class Stored(Protocol):
    """The held-out part of a data set."""

    def __len__(self) -> int: ...
    def captions(self, i: int, /) -> Sequence[str]: ...
    def truth(self, i: int, /) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Evaluation(Generic[Asked, One]):
    """model, real: figures of what was made and of the real media of the same captions; distance: Frechet distance of
    what was made to all other held-out media, floor: that of the real ones; asked: what each prompt says of its truth;
    made: one for each prompt."""

    model: Mapping[str, float]
    real: Mapping[str, float]
    distance: float
    floor: float
    prompts: tuple[str, ...]
    asked: tuple[Asked, ...]
    made: tuple[One, ...]

    def report(self) -> dict[str, Any]:
        """The figures alone, ready for JSON."""
        figures = {"distance": self.distance, "floor": self.floor}
        return {"cases": len(self.prompts), **figures, "model": dict(self.model), "real": dict(self.real)}


@dataclass(frozen=True, kw_only=True)
class Judge(Generic[Asked, One]):
    """How media of a kind are judged. what: their name; told(truth, caption) -> what the caption says of it, which is
    all that is asked; real: places -> the stored media there; score: media and what is asked of each -> figures;
    features: media -> the reader's [N, F]."""

    what: str
    told: Callable[[Any, str], Asked]
    real: Callable[[np.ndarray], list[One]]
    score: Callable[[list[One], Sequence[Asked]], Mapping[str, float]]
    features: Callable[[list[One]], Tensor]

    def evaluate(
        self, stored: Stored, make: Callable[[list[str], int], list[One]], *, count: int, batch: int, seed: int
    ) -> Evaluation[Asked, One]:
        """make(prompts, seed) of `count` captions, the first of each of so many places drawn by `seed`; batch i with
        seed + i. ValueError if there are too few places, or what is made is not one for each prompt."""
        if not 2 <= count <= len(stored) // 2:
            most = len(stored) // 2
            raise ValueError(f"count is {count}; it must be 2 to {most}, half of the held-out {self.what}")
        order = np.random.default_rng(seed).permutation(len(stored))
        chosen, others = order[:count], order[count:]
        prompts = [stored.captions(int(i))[0] for i in chosen]
        asked = [self.told(stored.truth(int(i)), prompt) for i, prompt in zip(chosen, prompts, strict=True)]
        made: list[One] = []
        for k in range(0, count, batch):
            made += make(prompts[k : k + batch], seed + k // batch)
        if len(made) != count:
            raise ValueError(f"{count} prompts gave {len(made)} {self.what}; one for each is needed")
        known, real = self.features(self.real(others)), self.real(chosen)
        return Evaluation(
            model=self.score(made, asked),
            real=self.score(real, asked),
            distance=frechet(self.features(made), known),
            floor=frechet(self.features(real), known),
            prompts=tuple(prompts),
            asked=tuple(asked),
            made=tuple(made),
        )


def table(
    evaluation: Evaluation[Any, Any], rows: Mapping[str, str], real: str, distance: str, steady: Mapping[str, str] = {}
) -> str:
    """A markdown table: figures of the model, of the real media, and their number of cases.

    rows, steady: keys of shares and of other figures, and what stands for them; real, distance: what stands for these.
    """
    lines, count = [f"| | model | {real} | cases |", "|---|---|---|---|"], len(evaluation.prompts)
    for key, name in rows.items():
        if key in evaluation.model:
            beside = f"{evaluation.real[key]:.1%}" if key in evaluation.real else ""
            cases = int(evaluation.model[f"{key}_cases"])
            lines.append(f"| {name} | {evaluation.model[key]:.1%} | {beside} | {cases} |")
    for key, name in steady.items():
        lines.append(f"| {name} | {evaluation.model[key]:.4f} | {evaluation.real[key]:.4f} | {count} |")
    lines.append(f"| {distance} | {evaluation.distance:.2f} | {evaluation.floor:.2f} | {count} |")
    return "\n".join(lines)
