"""Caches of diffusers under our loop: contexts are opened here, so that they reach every family whose network has them.

A context belongs to a branch: the cond and the null of guidance, the windows of a large state, regions. The loop asks
them in the same order in each step, so that a branch is known by its number among the calls at one time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor

NAMES = {"first_block": "FirstBlockCacheConfig", "taylorseer": "TaylorSeerCacheConfig", "magcache": "MagCacheConfig"}


def config(asked: Any) -> Any:
    """A cache by name, with diffusers' own settings, or one of its configs. ValueError for another name."""
    import diffusers

    if not isinstance(asked, str):
        return asked
    if asked not in NAMES:
        raise ValueError(f"cache is {asked!r}; it must be one of {', '.join(NAMES)}, or a cache config of diffusers")
    try:
        return getattr(diffusers, NAMES[asked])()
    except ValueError as error:
        raise ValueError(
            f"the cache {asked} is measured for each checkpoint: give a {NAMES[asked]} with its mag_ratios"
        ) from error


@dataclass(kw_only=True, eq=False)
class Cached:
    """A family's `call`, each branch of it in a cache context of its own."""

    call: Callable[..., Tensor]
    networks: Sequence[Any]
    at: float | None = None
    number: int = 0
    step: int = -1

    def __call__(self, network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        now = float(t.max())
        self.number = self.number + 1 if now == self.at else 0
        self.step, self.at = self.step + (self.number == 0), now
        with ExitStack() as contexts:
            for one in self.networks:
                contexts.enter_context(one.cache_context(f"branch {self.number}", step_index=self.step, timestep=now))
            return self.call(network, x, t, cond)

    def begin(self, steps: int) -> None:
        """Forget the last walk. ValueError for a cache that was measured for another number of steps."""
        for one in self.networks:
            told = getattr(one._cache_config, "num_inference_steps", steps)
            if told != steps:
                raise ValueError(f"the cache was made for {told} steps, not {steps}: ask for {told}, or load another")
            one._reset_stateful_cache()
        self.at, self.number, self.step = None, 0, -1


def cached(call: Callable[..., Tensor], networks: Sequence[Any], asked: Any) -> Cached:
    """ValueError for a network that has no caches, or not this one."""
    for network in networks:
        if not hasattr(network, "enable_cache"):
            raise ValueError(f"{type(network).__name__} has no caches: leave out cache")
        network.enable_cache(config(asked))
    return Cached(call=call, networks=networks)
