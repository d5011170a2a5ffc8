"""What a computation holds in memory and multiplies, found by running it on tensors that have a shape and no numbers.

Tensors on PyTorch's "meta" device cost nothing, so that a network of any size is counted in a second or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

PLACES = {int, slice}  # of a tensor, that are said without another one


@dataclass(kw_only=True)
class Count:
    """peak: the most bytes that were held at once, beside what was there before; flops: of matrix products. held: the
    storages that were seen, and told: the bytes of those, of which some may be held by nobody any more."""

    peak: int = 0
    flops: int = 0
    told: int = 0
    held: dict[int, tuple[StorageWeakRef, int]] = field(default_factory=dict)

    def pass_over(self, given: Sequence[Tensor]) -> None:
        """What an operation is given and none has made was there before: weights, of which views may be taken."""
        for one in given:
            if (storage := one.untyped_storage())._cdata not in self.held:
                self.held[storage._cdata] = (StorageWeakRef(storage), 0)

    def add(self, made: Sequence[Tensor]) -> None:
        """Count what an operation gave. What nobody holds any more is looked for where it may matter alone."""
        for one in made:
            if (storage := one.untyped_storage())._cdata not in self.held:
                self.held[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
                self.told += storage.nbytes()
        if self.told > self.peak:
            self.held = {key: each for key, each in self.held.items() if not each[0].expired()}
            self.told = sum(size for _, size in self.held.values())
            self.peak = max(self.peak, self.told)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an operation gives on the meta device whenever it is given the same: new tensors of these shapes, strides
    and dtypes; single: itself, not a tuple."""

    shapes: Sequence[tuple[Any, ...]]
    single: bool
    flops: int

    def __call__(self) -> Any:
        made = tuple(torch.empty_strided(*shape, dtype=dtype, device="meta") for *shape, dtype in self.shapes)
        return made[0] if self.single else made


class _Operations(TorchDispatchMode):
    """Each operation as it is run; on the meta device, where many are slow to say what shape they give, each once."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count
        self.known: dict[Any, Answer | None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (answer := _made_up(func, args, kwargs)) is not None:
            return answer
        given: list[Tensor] = []
        key = (func, _read(args, given), _read(tuple(kwargs.items()), given))
        self.count.pass_over(given)
        if (known := self.known.get(key)) is not None:
            made, flops = known(), known.flops
        else:
            made, flops = func(*args, **kwargs), 0
            if func._overloadpacket in flop_registry:
                flops = flop_registry[func._overloadpacket](*args, **kwargs, out_val=made)
            if key not in self.known:
                self.known[key] = _answer(func, given, made, flops)
        self.count.flops += flops
        self.count.add(_tensors(made))
        return made


def _read(told: Any, given: list[Tensor]) -> Any:
    """What an operation is told, by which its answer is known, its tensors by their shape; these go to `given`."""
    if isinstance(told, Tensor):
        given.append(told)
        return told.shape, told.stride(), told.dtype, told.device
    if isinstance(told, (tuple, list)):
        return type(told), *(_read(each, given) for each in told)
    return type(told), told


def _tensors(made: Any) -> Sequence[Tensor]:
    return [made] if isinstance(made, Tensor) else [one for one in tree_leaves(made) if isinstance(one, Tensor)]


def _answer(func: Any, given: Sequence[Tensor], made: Any, flops: int) -> Answer | None:
    """None for what is not known from shapes alone: numbers, what is written in its place, and views."""
    found = made if isinstance(made, tuple) else (made,)
    plain = all(isinstance(one, Tensor) and one.is_meta for one in (*given, *found))
    if not given or not plain or func._schema.is_mutable:
        return None
    shapes = [(tuple(one.shape), one.stride(), one.dtype) for one in found]
    answer = Answer(shapes=shapes, single=found is not made, flops=flops)
    before, after, again = ([one.untyped_storage() for one in some] for some in (given, found, _tensors(answer())))
    new = len({place._cdata for place in after} - {place._cdata for place in before}) == len(found)
    return answer if new and [place.nbytes() for place in after] == [place.nbytes() for place in again] else None


class _Numberless(TorchDispatchMode):
    """What is brought from the meta device to another one is zeros there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = _made_up(func, args, kwargs or {})
        return func(*args, **(kwargs or {})) if answer is None else answer


class _Functions(TorchFunctionMode):
    """Attention as the kernels do it that hold no matrix of all pairs; on the meta device there is no other. Numbers
    that are written into tensors without numbers, as masks are row by row, are passed over."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            q, k, v = (*args, *((kwargs or {}).get(name) for name in ("query", "key", "value")[len(args) :]))[:3]
            self.count.flops += 2 * q.numel() * k.shape[-2] + 2 * q.numel() // q.shape[-1] * v.shape[-1] * v.shape[-2]
            return q.new_empty(*q.shape[:-1], v.shape[-1])
        if func is Tensor.__setitem__ and args[0].is_meta and _is_plain(*args[1:]):
            return None
        return func(*args, **(kwargs or {}))


def _is_plain(place: Any, value: Any) -> bool:
    """Whether a number is written, to places that are said by numbers and slices."""
    places = place if isinstance(place, tuple) else (place,)
    return type(value) in (int, float) and {type(one) for one in places} <= PLACES


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
    with torch.no_grad(), _on_meta(), _Functions(count), _Operations(count):
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
