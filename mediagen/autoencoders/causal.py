"""Clips <-> causal latents: the autoencoder of images on every frame, and causal layers over time between its own.

No layer looks at what comes later, so a clip can be coded while it arrives, and the first frame is coded alone: a
picture is a clip of one frame. Layers over space (1 x 3 x 3) and over time (3 x 1 x 1) take turns; full 3 x 3 x 3
kernels cost 2.6 times as much as those over space. At first the layers over time do nothing but average frames and
repeat them, so the weights of a `ConvVAE` are a working start: on one frame, exactly that autoencoder.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.conv import Down, Up, conv
from ..nn.norm import ChannelNorm
from .base import LatentSpec, smaller
from .conv import ConvVAEConfig, decoder_layers, encoder_layers, moments, through_decoder, through_encoder
from .reach import Interval
from .whitened import Whitened

Times = tuple[tuple[int, ...], ...]
BACK = 2  # moments that a layer over time looks back


@dataclass(frozen=True, kw_only=True)
class VideoVAEConfig:
    """frames: the autoencoder of images that every frame goes through. encoder_times, decoder_times: for each level,
    finest first, one number for each of its residual blocks: 0 for nothing, 1 for a layer over time beside it, more
    for one that also divides the frames by that number (in the decoder: multiplies them). The encoder's stand before
    their blocks, the decoder's after them.
    """

    frames: ConvVAEConfig = field(default_factory=ConvVAEConfig)
    encoder_times: Times = ((0,), (2, 2))
    decoder_times: Times = ((1, 1), (1, 2, 2))

    dims = 3  # of the media: time, rows, columns

    def __post_init__(self) -> None:
        if self.frames.dims != 2:
            raise ValueError(f"frames need an autoencoder of images, dims 2, not {self.frames.dims}")
        for side, depths in (("encoder", self.frames.encoder_depths), ("decoder", self.frames.decoder_depths)):
            times = getattr(self, f"{side}_times")
            if tuple(map(len, times)) != tuple(depths) or any(n < 0 for level in times for n in level):
                raise ValueError(f"{side}_times {times} need a number of 0 or more for each residual block {depths}")
        if factor(self.encoder_times) != factor(self.decoder_times):
            raise ValueError(
                f"encoder_times divide time by {factor(self.encoder_times)}, decoder_times multiply it by "
                f"{factor(self.decoder_times)}; these must be the same"
            )

    @property
    def stride(self) -> tuple[int, int, int]:
        """Frames, rows and columns a latent."""
        space = math.prod(self.frames.grows)
        return factor(self.encoder_times), space, space


def factor(times: Times) -> int:
    """What all the layers over time divide time by."""
    return math.prod(n for level in times for n in level if n)


class TimeLayer(nn.Module):
    """A causal convolution over time beside an identity, and then time divided, or multiplied (`up`), by `factor`:
    1 + n factor moments <-> 1 + n. At first it averages moments, or repeats them."""

    def __init__(self, width: int, factor: int, *, up: bool = False) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.mix = conv(3, width, width, (BACK + 1, 1, 1), causal=True)
        self.resample = (Up if up else Down)(width, width, (factor, 1, 1), 1, causal=True) if factor > 1 else None
        for layer in (self.mix, *([] if self.resample is None else [self.resample.conv])):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(F.silu(self.norm(x)))
        return x if self.resample is None else self.resample(x)


class Encoder(nn.Module):
    """The layers of images under their own names; `times` says before which of them time is looked along."""

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        self.shrink = config.frames.shrink
        self.layers = nn.ModuleList(encoder_layers(config.frames, framewise=True))
        places = numbered(config.encoder_times, config.frames.encoder_widths, 1)
        self.times = nn.ModuleDict({number: TimeLayer(width, n) for number, width, n in places})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, 1 + n stride, H, W] -> mean and log-variance, each [B, latent, 1 + n, h, w]."""
        x = x if self.shrink == 1 else smaller(x, (1, self.shrink, self.shrink))
        return moments(through(x, self.layers, self.times))


class Decoder(nn.Module):
    """The layers of images under their own names; `times` says before which of them time is looked along."""

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(decoder_layers(config.frames, framewise=True))
        places = numbered(config.decoder_times[::-1], config.frames.decoder_widths[::-1], 2)
        self.times = nn.ModuleDict({number: TimeLayer(width, n, up=True) for number, width, n in places})

    def forward(self, z: Tensor) -> Tensor:
        return through(z, self.layers, self.times)


def numbered(times: Times, widths: Sequence[int], first: int) -> Iterator[tuple[str, int, int]]:
    """(number of the layer before which it stands, width, factor) of each layer over time, the levels in the order in
    which they come; first: the number at the first residual block. Each level is one layer longer than its blocks."""
    for width, level in zip(widths, times, strict=True):
        yield from ((str(number), width, n) for number, n in enumerate(level, start=first) if n)
        first += len(level) + 1


def through(x: Tensor, layers: nn.ModuleList, times: nn.ModuleDict) -> Tensor:
    """x through the layers, and before each through the layer over time that has its number."""
    x = x.contiguous(memory_format=torch.channels_last_3d)  # twice as fast on CPUs, and what x is from here on
    for number, layer in enumerate(layers):
        if str(number) in times:
            x = times[str(number)](x)
        x = layer(x)
    return x


class VideoVAE(Whitened):
    """Clips [B, 3, 1 + n stride, H, W] in [-1, 1] <-> whitened latents [B, latent, 1 + n, h, w]."""

    def __init__(self, config: VideoVAEConfig) -> None:
        c = config.frames
        super().__init__(
            LatentSpec(channels=c.latent_channels, stride=config.stride, media_channels=c.media_channels, causal=True)
        )
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def reach(self) -> tuple[int, int, int]:
        """How many latents back and around a decoded pixel can still feel: the margins of exact tiling."""
        here = Interval(0, 0).finer(self.spec.stride[0])
        for n in backwards(self.config.decoder_times):
            here = here.coarser(n).earlier(BACK)
        space = through_decoder(Interval(0, 0).finer(self.spec.stride[1]), self.config.frames).reach
        return alone(here), space, space

    @property
    def encoder_reach(self) -> tuple[int, int, int]:
        """How many latents back and around a latent can still feel the clip."""
        here = Interval(0, 0)
        for n in backwards(self.config.encoder_times[::-1]):
            here = here.finer(n).earlier(BACK)
        space = through_encoder(Interval(0, 0), self.config.frames).coarser(self.spec.stride[1]).reach
        return alone(here.coarser(self.spec.stride[0])), space, space


def backwards(times: Sequence[tuple[int, ...]]) -> list[int]:
    """The layers over time, from the output to the input, given their levels in that order."""
    return [n for level in times for n in reversed(level) if n]


def alone(latents: Interval) -> int:
    """How far back an interval reaches. One more, as the first latent of a tile is coded as if it were a clip's."""
    return 1 - latents.first
