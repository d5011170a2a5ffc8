"""Published networks on CPUs that multiply bfloat16: attention by whole products of matrices, channels last.

torch's own attention in bfloat16 multiplies small blocks there, at a quarter of what the processor can do. Here each
head's queries, some hundreds at a time, are multiplied with all keys at once: two large products, and powers of two
between them. Attention is the same to the rounding of its scores, which are taken from about their largest before they
are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ._loading import Loading, has_instruction
from .model import Model

NAME = "gemm"  # as `attention=`
SCORES = 2**20  # that are held at once, a thread
LEAST = 2**19  # scores of a head, below which torch's own is as quick
THREADS = 8  # up to which it is taken unasked; it was measured on few
SAMPLE = 64  # keys that say about how large a query's scores become
WIDTH = 16  # float32 numbers of a register, which a product's columns fill
LARGE = 2**18  # numbers of a batch, from which it is looked at whether its halves are the same
SHARED: Mapping[Any, int] = {F.conv2d: 1, F.linear: 1, F.scaled_dot_product_attention: 3}  # how many have a batch
FAR = 2.0**64  # sums beyond which, or below one part of which, bfloat16's range might end


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """softmax(scale q k^T + mask) v, exactly what `torch.nn.functional.scaled_dot_product_attention` says.

    q [B, H, L, D], k [B, H, S, D], v [B, H, S, E] -> [B, H, L, E], laid out as [B, L, H, E]. mask: [B or 1, H or 1, L
    or 1, S], bool (True: attended to) or added; scale: 1 / sqrt(D) if None. At most `SCORES` scores a thread are held.
    """
    (batch, heads, length, width), wide = q.shape, v.shape[-1]
    factor = width**-0.5 if scale is None else scale
    asked, keys = F.pad(q * (factor / math.log(2)), (0, 2)), k.new_ones(batch, heads, width + 2, k.shape[2])
    keys[:, :, :width] = k.transpose(2, 3)
    asked[..., width:] = _about(asked[..., :width], k)[..., None] * -0.5  # times the two rows of ones
    values = F.pad(v, (0, -wide % WIDTH), value=1.0).contiguous()
    out = q.new_empty(batch, length, heads, wide).transpose(1, 2)
    rows = min(length, max(SCORES * torch.get_num_threads() // k.shape[2], 1))
    held = q.new_empty(rows, k.shape[2])
    for b, h, i in product(range(batch), range(heads), range(0, length, rows)):
        some, told = asked[b, h, i : i + rows], None if mask is None else _cut(mask, b, h, i, rows)
        powers = _scores(some, keys[b, h], told, held[: len(some)]).exp2_()
        made = torch.mm(powers, values[b, h])
        total = made[:, wide : wide + 1] if made.shape[1] > wide else powers.sum(-1, keepdim=True)
        if _near(total):
            torch.div(made[:, :wide], total, out=out[b, h, i : i + rows])
        else:
            at = (one[b : b + 1, h : h + 1] for one in (q[:, :, i : i + rows], k, v))
            out[b, h, i : i + rows] = F.scaled_dot_product_attention(*at, attn_mask=told, scale=scale)[0, 0]
    return out


def _about(q: Tensor, k: Tensor) -> Tensor:
    """About each query's largest score [B, H, L]: the largest of some keys'."""
    few = k[:, :, :: max(k.shape[2] // SAMPLE, 1)]
    return torch.matmul(q, few.transpose(2, 3)).amax(-1)


def _scores(q: Tensor, k: Tensor, mask: Tensor | None, out: Tensor) -> Tensor:
    """q k + mask of a head, the mask in powers of two."""
    torch.mm(q, k, out=out)
    if mask is None:
        return out
    if mask.dtype == torch.bool:
        return out.masked_fill_(~mask, -math.inf)
    return out.add_(mask, alpha=1 / math.log(2))


def _near(total: Tensor) -> bool:
    """Whether no sum is out of range; a row whose every key is masked is."""
    least, most = torch.aminmax(total)
    return float(least) > 1 / FAR and float(most) < FAR


def _cut(mask: Tensor, b: int, h: int, i: int, rows: int) -> Tensor:
    """A mask's part for some queries of a head: [rows or 1, S]."""
    own = mask[b if len(mask) > 1 else 0, h if mask.shape[1] > 1 else 0]
    return own[i : i + rows] if len(own) > 1 else own


@dataclass(eq=False)
class Quick(TorchFunctionMode):
    """Meanwhile, attention that pays is by whole products, whichever module asks for it, and what two branches of
    guidance have in common, up to the first look at a text, is worked out once. always: all attention that can be."""

    always: bool = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if (count := SHARED.get(func)) and _twice(args[:count], given):
            half = (*(one[: len(one) // 2] for one in args[:count]), *args[count:])
            return torch.cat([self._answered(func, half, given)] * 2)
        return self._answered(func, args, given)

    def _answered(self, func: Any, args: Any, given: Any) -> Any:
        if func is F.scaled_dot_product_attention and (asked := _asked(*args, **given)) and self._pays(*asked[:2]):
            return attend(*asked)
        return func(*args, **given)

    def _pays(self, q: Tensor, k: Tensor) -> bool:
        return self.always or (q.dtype == torch.bfloat16 and q.shape[2] * k.shape[2] >= LEAST)


def _twice(told: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Whether the two halves of a large batch are the same to the bit; those that are not are told apart at once."""
    plain = all(isinstance(one, Tensor) and one.ndim > 2 and len(one) % 2 == 0 for one in told)
    if not told or not plain or told[0].numel() < LARGE or given.get("attn_mask") is not None:
        return False
    return not torch.is_grad_enabled() and all(torch.equal(*one.chunk(2)) for one in told)


def _asked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Any, ...] | None:
    """What `attend` is asked; None for what it does not do."""
    plain = not is_causal and dropout_p == 0.0 and query.ndim == 4 and query.shape[:2] == key.shape[:2]
    masked = attn_mask is not None and (attn_mask.ndim != 4 or attn_mask.shape[-1] != key.shape[2])
    learns = torch.is_grad_enabled() and any(one.requires_grad for one in (query, key, value))
    if not plain or masked or learns or query.device.type != "cpu":
        return None
    return query, key, value, attn_mask, scale


def quick(call: Callable[..., Tensor], always: bool = False) -> Callable[..., Tensor]:
    """A family's `call` of its network, with attention by whole products."""

    def calls(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        with Quick(always):
            return call(network, x, t, cond)

    return calls


def pays() -> bool:
    """Whether this machine is of the kind that it was measured on: few threads, bfloat16 by AVX-512. Where there are
    tiles for it (AMX), torch's own attention uses them."""
    return has_instruction("avx512_bf16") and not has_instruction("amx_bf16") and torch.get_num_threads() <= THREADS


def fit(model: Model, loading: Loading) -> None:
    """In bfloat16 on the CPU: weights of convolutions channels last, attention by whole products where that pays, or
    was asked for. ValueError where it was asked for and cannot be."""
    asked = loading.attention == NAME
    here = loading.place.type == "cpu" and loading.device_map is None
    if asked and not here:
        raise ValueError(f"attention {NAME!r} is for the CPU: leave out the device, or attention")
    net = getattr(model.denoiser, "net", None)
    if asked and not hasattr(net, "call"):
        raise ValueError(f"the network of {model.name} is none of diffusers': leave out attention")
    if not here or not hasattr(net, "call"):
        return
    narrow = loading.torch_dtype == torch.bfloat16
    if narrow and loading.offload is None and loading.quantize is None:
        channels_last(net.network, getattr(model.autoencoder, "vae", None))
    alone = loading.attention is None and not loading.compiled and loading.parallel is None
    if asked or (narrow and alone and pays()):
        net.call = quick(net.call, always=asked)


def channels_last(*modules: Any) -> None:
    """Weights of convolutions over pictures as a CPU's convolutions are quickest with; what they say is the same. Those
    over clips are left as they are."""
    for module in (module for module in modules if isinstance(module, nn.Module)):
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.to(memory_format=torch.channels_last)
