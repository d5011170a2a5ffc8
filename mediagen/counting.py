"""What a computation holds in memory and multiplies, found by running it on tensors that have a shape and no numbers.

Tensors on PyTorch's "meta" device cost nothing, so that a network of any size is counted in a second or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(kw_only=True)
class Count:
    """peak: the most bytes that were held at once, beside what was there before; flops: of matrix products."""

    peak: int = 0
    flops: int = 0
    held: dict[int, tuple[StorageWeakRef, int]] = field(default_factory=dict)

    def pass_over(self, given: Any) -> None:
        """What an operation is given and none has made was there before: weights, of which views may be taken."""
        for one in tree_leaves(given):
            if isinstance(one, Tensor) and (key := one.untyped_storage())._cdata not in self.held:
                self.held[key._cdata] = (StorageWeakRef(key), 0)

    def add(self, made: Any) -> None:
        """Count what an operation gave, and forget what nobody holds any more."""
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                self.held.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.held = {key: each for key, each in self.held.items() if not each[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))


class _Operations(TorchDispatchMode):
    """Each operation as it is run."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (answer := _made_up(func, args, kwargs or {})) is not None:
            return answer
        self.count.pass_over((args, kwargs))
        made = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=made)
        self.count.add(made)
        return made


class _Numberless(TorchDispatchMode):
    """What is brought from the meta device to another one is zeros there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = _made_up(func, args, kwargs or {})
        return func(*args, **(kwargs or {})) if answer is None else answer


class _Attention(TorchFunctionMode):
    """Attention as the kernels do it that hold no matrix of all pairs; on the meta device there is no other."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            q, k, v = (*args, *((kwargs or {}).get(name) for name in ("query", "key", "value")[len(args) :]))[:3]
            self.count.flops += 2 * q.numel() * k.shape[-2] + 2 * q.numel() // q.shape[-1] * v.shape[-1] * v.shape[-2]
            return q.new_empty(*q.shape[:-1], v.shape[-1])
        return func(*args, **(kwargs or {}))


def _made_up(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What stands for numbers that are asked for where there are none, zeros and ones; None for any other operation."""
    if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
        return 1.0 if args[0].is_floating_point() else 1
    place = torch.device(kwargs.get("device") or "meta")
    if func is torch.ops.aten._to_copy.default and args[0].is_meta and place.type != "meta":
        return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype, device=place)
    return None


@contextmanager
def _on_meta() -> Iterator[None]:
    """The meta device knows no autocast, and not which rows a mask picks: all of them."""
    from torch.fx.experimental import _config

    plain = torch.autocast
    torch.autocast = lambda kind, *given, **options: nullcontext() if kind == "meta" else plain(kind, *given, **options)
    try:
        with _config.patch(meta_nonzero_assume_all_nonzero=True):
            yield
    finally:
        torch.autocast = plain


@contextmanager
def counted() -> Iterator[Count]:
    """What is computed meanwhile; what attention gives is not to be used, on any device."""
    count = Count()
    with torch.no_grad(), _on_meta(), _Attention(count), _Operations(count):
        yield count


@contextmanager
def numberless() -> Iterator[None]:
    """Networks on the meta device may be run among others meanwhile: what they give the others is zeros."""
    with torch.no_grad(), _on_meta(), _Numberless():
        yield


def count(function: Callable[..., Any], *inputs: Any) -> Count:
    """One call's."""
    with counted() as found:
        made = function(*inputs)
        del made
    return found
