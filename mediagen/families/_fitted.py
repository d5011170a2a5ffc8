"""A loaded checkpoint with what it was asked to be loaded with beside weights: caches, attention, tiles, previews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from ..autoencoders.base import each_axis
from ..errors import first_line
from . import _caching as caching
from . import _constant as constant
from . import _cpu as cpu
from ._loading import Loading
from ._preview import preview
from ._tiled import tiled
from .model import Model


def fitted(model: Model, loading: Loading) -> Model:
    """ValueError for what this checkpoint's parts cannot do."""
    if loading.quantize is not None or loading.parts or any(_fewer(part) for part in model.denoiser.net.modules()):
        model.denoiser.net.dtype = loading.torch_dtype
    if loading.attention not in (None, cpu.NAME):
        for network in networks(model):
            _attending(network, loading.attention)
    if loading.parallel is not None:
        from ._parallel import split

        split(networks(model), loading.parallel, loading.attention)
    if loading.compiled:
        for network in networks(model):
            _compiled(network)
    cpu.fit(model, loading)
    if loading.tile is not None:
        far = each_axis(model.autoencoder.reach, model.spec.dims)[-1] * getattr(model.autoencoder, "patch", 1)
        tiled(getattr(model.autoencoder, "vae", None), loading.tile, far)
    model = replace(model, preview=preview(loading.preview, model))
    if not (loading.compiled or loading.offload or loading.device_map):  # what is compiled has no place for it
        model = replace(model, during=constant.during([model.denoiser.net]))
    if loading.cache is None:
        return model
    net = model.denoiser.net
    net.call = caching.cached(net.call, networks(model), loading.cache)
    return replace(model, begin=net.call.begin)


def _fewer(network: nn.Module) -> bool:
    """Whether it was published in fewer bits."""
    return bool(getattr(network, "is_quantized", False))


def networks(model: Model) -> Sequence[Any]:
    """The denoiser's, of which there may be several; ValueError for a model whose network is of another kind."""
    network = getattr(model.denoiser.net, "network", None)
    if network is None:
        raise ValueError(f"the network of {model.name} is none of diffusers': leave out attention, cache and compiled")
    return list(network) if isinstance(network, nn.ModuleList) else [network]


def _attending(network: Any, backend: str) -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName

    known = sorted(name.value for name in AttentionBackendName)
    if backend not in known:
        raise ValueError(f"attention is {backend!r}; diffusers has {', '.join(known)}; the CPU also {cpu.NAME}")
    try:
        network.set_attention_backend(backend)
    except Exception as error:  # a backend's packages are looked for by each in its own way
        raise ValueError(f"the attention {backend} is not to be had here: {first_line(error)}") from error


def _compiled(network: Any) -> None:
    """Its repeated blocks, which are compiled once for all of them; a network that names none, as a whole."""
    if getattr(network, "_repeated_blocks", None):
        network.compile_repeated_blocks(fullgraph=True)
    else:
        network.compile()
