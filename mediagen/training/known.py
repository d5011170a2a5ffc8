"""Places of a grid that a network is shown clean while it makes the rest: what a clip begins with, what came before or
comes after, what lies around a hole.

They have t = 0 and no loss (times per token, arXiv:2407.01392), so that one network learns to make all of it, and to
make what goes with what is there. Nothing here knows a medium: grids of one and three axes begin with time, those of
two are pictures.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

Draw = Callable[[np.random.Generator, Sequence[int]], np.ndarray]


def first(rng: np.random.Generator, cells: Sequence[int]) -> np.ndarray:
    """The first moment: image to video."""
    return _moments(cells, slice(0, 1))


def before(rng: np.random.Generator, cells: Sequence[int]) -> np.ndarray:
    """Some first moments: what goes on."""
    return _moments(cells, slice(0, int(rng.integers(1, cells[0]))))


def after(rng: np.random.Generator, cells: Sequence[int]) -> np.ndarray:
    """Some last moments: how it came to that."""
    return _moments(cells, slice(int(rng.integers(1, cells[0])), None))


def ends(rng: np.random.Generator, cells: Sequence[int]) -> np.ndarray:
    """The first moment and, if there is anything between them, the last one."""
    last = slice(max(cells[0] - 1, 2), None)
    return _moments(cells, slice(0, 1)) | _moments(cells, last)


def around(rng: np.random.Generator, cells: Sequence[int]) -> np.ndarray:
    """All but a box of a quarter to three quarters of each side, of clips at all times: a hole to mend."""
    known = np.ones(cells, bool)
    known[(slice(None),) * (len(cells) == 3) + tuple(_side(rng, n) for n in cells[-2:])] = False
    return known


KINDS: dict[str, Draw] = {"first": first, "before": before, "after": after, "ends": ends, "around": around}
SHARES = {"first": 0.4, "before": 0.2, "after": 0.1, "ends": 0.15, "around": 0.15}


def checked(shares: Mapping[str, float]) -> None:
    """ValueError for shares of a kind that is not there, that are below 0, or of which none is above."""
    if unknown := sorted(set(shares) - set(KINDS)):
        raise ValueError(f"shown: {unknown[0]!r} is none of {', '.join(KINDS)}")
    if shares and (min(shares.values()) < 0 or not sum(shares.values())):
        raise ValueError(f"shown: shares must be 0 or more, and one above 0, not {dict(shares)}")


def drawn(
    rng: np.random.Generator,
    grid: Sequence[int],
    token: Sequence[int],
    count: int,
    shares: Mapping[str, float] = SHARES,
) -> Tensor:
    """bool [count, 1, *grid], true where it is known, a draw for each of `count`; never all of it.

    token: cells of a token, one entry an axis, () for one each: it is known whole or not at all. shares: how often each
    of `KINDS` is drawn where the grid has a time of two moments or more; pictures only have holes.
    """
    sides = tuple(token) or (1,) * len(grid)
    cells = [n // side for n, side in zip(grid, sides, strict=True)]
    shares = dict(shares) if len(cells) != 2 and cells[0] > 1 else {"around": 1.0}
    kinds, weights = [KINDS[name] for name in shares], np.array([*shares.values()])
    chosen = rng.choice(len(kinds), size=count, p=weights / weights.sum())
    known = np.stack([kinds[number](rng, cells) for number in chosen])
    for axis, side in enumerate(sides, start=1):
        known = known.repeat(side, axis)
    return torch.from_numpy(known)[:, None]


def _moments(cells: Sequence[int], moments: slice) -> np.ndarray:
    known = np.zeros(cells, bool)
    known[moments] = True
    return known


def _side(rng: np.random.Generator, count: int) -> slice:
    """A quarter to three quarters of a side, one cell at least."""
    length = min(max(round(count * rng.uniform(0.25, 0.75)), 1), count)
    start = int(rng.integers(count - length + 1))
    return slice(start, start + length)
