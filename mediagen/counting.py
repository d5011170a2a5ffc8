"""What a computation holds in memory and multiplies, found by running it on tensors that have a shape and no numbers.

Tensors on PyTorch's "meta" device cost nothing, so that a network of any size is counted in a second or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        if func is torch.ops.aten._local_scalar_dense.default and args[0].device.type == "meta":
            return 1.0 if args[0].is_floating_point() else 1  # a number is asked for where there is none
        self.count.pass_over((args, kwargs))
        made = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=made)
        self.count.add(made)
        return made


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


@contextmanager
def counted() -> Iterator[Count]:
    """What is computed meanwhile; what attention gives is not to be used, on any device."""
    count = Count()
    with torch.no_grad(), _Attention(count), _Operations(count):
        yield count


def count(function: Callable[..., Any], *inputs: Any) -> Count:
    """One call's."""
    with counted() as found:
        made = function(*inputs)
        del made
    return found
