"""A model of this project's own on a device, while the state of the walk lies on the CPU: it is small, and goes to the
device and back at each step, as it does for published checkpoints.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def put(network: nn.Module, place: torch.device) -> None:
    """The network computes there; what it is called with goes there, and its answer comes back to the CPU."""
    network.to(place)
    network.register_forward_pre_hook(lambda _, args: moved(args, place))
    network.register_forward_hook(lambda _, args, answer: moved(answer, torch.device("cpu")))


def put_coder(autoencoder: Any, place: torch.device) -> None:
    """The same of its `encode` and `decode`; one without weights stays where it is."""
    if isinstance(autoencoder, nn.Module):
        autoencoder.to(place)
        autoencoder.encode = _there(autoencoder.encode, place)
        autoencoder.decode = _there(autoencoder.decode, place)


def moved(value: Any, place: torch.device) -> Any:
    """The tensors in it, in whatever they lie, on that device."""
    if isinstance(value, Tensor):
        return value.to(place)
    if isinstance(value, Mapping):
        return {name: moved(one, place) for name, one in value.items()}
    return type(value)(moved(one, place) for one in value) if isinstance(value, tuple | list) else value


def _there(code: Callable[[Tensor], Tensor], place: torch.device) -> Callable[[Tensor], Tensor]:
    return lambda media: code(media.to(place)).cpu()
