"""The weights of a network of images as a start for its network of clips (arXiv:1705.07750, arXiv:2304.08818)."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from .conv import CAUSAL


def inflated(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights of an image network -> those of `module`, which has layers of the same names, and layers over time
    besides, that stay as they are in it.

    A kernel [out, in, h, w] goes into the slice of [out, in, t, h, w] that sees the present, the last one where the
    convolution is causal and else the middle one, and all others are zero. So a clip of one frame is what the image
    network makes of the picture. ValueError for a weight that `module` has not, or has of another size.
    """
    before = module.state_dict()
    mine = dict(before)
    causal = {f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, CAUSAL)}
    for name, value in tensors.items():
        if name not in before:
            raise ValueError(f"the network of clips has no {name!r}: it is another than that of images")
        shape = before[name].shape
        mine[name] = _deeper(value, shape[2], name in causal) if value.ndim == 4 and len(shape) == 5 else value
        if mine[name].shape != shape:
            raise ValueError(f"{name} of the images has the shape {tuple(value.shape)}, that of clips {tuple(shape)}")
    return mine


def _deeper(kernel: Tensor, length: int, causal: bool) -> Tensor:
    """[out, in, h, w] -> [out, in, length, h, w]."""
    deep = kernel.new_zeros(*kernel.shape[:2], length, *kernel.shape[2:])
    deep[:, :, length - 1 if causal else length // 2] = kernel
    return deep


def padded(value: Tensor, shape: Sequence[int]) -> Tensor:
    """A weight, and zeros after it on each axis up to `shape`: channels that a network did not have say nothing and are
    not looked at. ValueError if it is the larger one somewhere."""
    if len(shape) != value.ndim or any(n < m for n, m in zip(shape, value.shape, strict=True)):
        raise ValueError(f"a weight {list(value.shape)} does not fit into {list(shape)}")
    wide = value.new_zeros(tuple(shape))
    wide[tuple(slice(n) for n in value.shape)] = value
    return wide
