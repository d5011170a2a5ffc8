"""A convolutional autoencoder with a KL bottleneck for 1-D, 2-D and 3-D media.

All layers look at a bounded neighbourhood and none mixes all positions, so a tile with enough margin decodes to exactly
the pixels that the whole would give (`reach` says how much is enough).
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from ..nn.conv import Down, ResBlock, Up, conv
from ..nn.norm import ChannelNorm
from .base import LatentSpec, smaller
from .reach import Interval
from .whitened import Whitened


@dataclass(frozen=True, kw_only=True)
class ConvVAEConfig:
    """widths, depths: channels and residual blocks of each level, finest first; strides: what each level divides the
    grid by. The product of the strides is the compression factor of each axis (4 * 2 = f8).

    decoder_strides: those of the decoder, where it is to draw finer than the encoder sees. Beside (4, 2), (4, 2, 2)
    shows the encoder the media at half the size (averaged), and the decoder is a super-resolution as well (f16).
    """

    dims: int = 2
    media_channels: int = 3
    latent_channels: int = 16
    strides: tuple[int, ...] = (4, 2)
    encoder_widths: tuple[int, ...] = (96, 192)
    encoder_depths: tuple[int, ...] = (1, 2)
    decoder_widths: tuple[int, ...] = (96, 192)
    decoder_depths: tuple[int, ...] = (2, 3)
    decoder_strides: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for side, strides in (("encoder", self.strides), ("decoder", self.grows)):
            if {len(getattr(self, f"{side}_{k}")) for k in ("widths", "depths")} != {len(strides)}:
                raise ValueError(f"strides, widths and depths of the {side} need one entry for each level")
        if math.prod(self.grows) % math.prod(self.strides):
            raise ValueError(
                f"decoder_strides {self.grows} multiply to {math.prod(self.grows)}, which must be a multiple of the "
                f"encoder's {math.prod(self.strides)}"
            )

    @property
    def grows(self) -> tuple[int, ...]:
        """What each level of the decoder multiplies the grid by, finest first."""
        return self.strides if self.decoder_strides is None else tuple(self.decoder_strides)

    @property
    def shrink(self) -> int:
        """How many times smaller than the media is what the encoder sees."""
        return math.prod(self.grows) // math.prod(self.strides)


def through_decoder(media: Interval, config: ConvVAEConfig) -> Interval:
    """Media positions -> the latents that a `ConvVAE` decodes them from."""
    here = media
    for depth, grow in zip(config.decoder_depths, config.grows, strict=True):
        here = here.coarser(grow).widened(2 * depth + 1)
    return here.widened(1)


def through_encoder(latents: Interval, config: ConvVAEConfig) -> Interval:
    """Latents -> the media positions that a `ConvVAE` encodes them from."""
    here = latents.widened(1)
    for depth, stride in zip(reversed(config.encoder_depths), reversed(config.strides), strict=True):
        here = here.widened(2 * depth + 1).finer(stride)
    return here.finer(config.shrink)


class Encoder(nn.Module):
    def __init__(self, config: ConvVAEConfig) -> None:
        super().__init__()
        self.shrink = config.shrink
        self.layers = nn.Sequential(*encoder_layers(config))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, *size] -> mean and log-variance, each [B, latent, *grid]."""
        x = x if self.shrink == 1 else smaller(x, self.shrink)
        return moments(self.layers(x))


class Decoder(nn.Module):
    def __init__(self, config: ConvVAEConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(*decoder_layers(config))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


def moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """What an encoder says [B, 2 latent, *grid] -> mean and log-variance in float32."""
    mean, logvar = h.float().chunk(2, dim=1)
    return mean, logvar.clamp(-20, 4)


def encoder_layers(config: ConvVAEConfig, framewise: bool = False) -> list[nn.Module]:
    """Each level: one that divides the grid, then its residual blocks; at the end a norm and a convolution.

    framewise: for clips [B, C, T, *size], each frame by itself: kernels are 1 wide along the time in front.
    """
    time = (1,) * framewise
    dims, kernel = config.dims + framewise, (*time, *(3,) * config.dims)
    layers: list[nn.Module] = []
    width_in = config.media_channels
    for width, depth, stride in zip(config.encoder_widths, config.encoder_depths, config.strides, strict=True):
        layers.append(Down(width_in, width, (*time, *(stride,) * config.dims), kernel))
        layers += [ResBlock(dims, width, kernel=kernel) for _ in range(depth)]
        width_in = width
    return [*layers, ChannelNorm(width_in), conv(dims, width_in, 2 * config.latent_channels, kernel)]


def decoder_layers(config: ConvVAEConfig, framewise: bool = False) -> list[nn.Module]:
    """A convolution; each level, the coarsest first: its residual blocks, then one that multiplies the grid (a norm
    stands before the last). framewise: as in `encoder_layers`."""
    time = (1,) * framewise
    dims, kernel = config.dims + framewise, (*time, *(3,) * config.dims)
    widths, grows = config.decoder_widths, [(*time, *(grow,) * config.dims) for grow in config.grows]
    layers: list[nn.Module] = [conv(dims, config.latent_channels, widths[-1], kernel)]
    for level in reversed(range(len(widths))):
        layers += [ResBlock(dims, widths[level], kernel=kernel) for _ in range(config.decoder_depths[level])]
        if level:
            layers.append(Up(widths[level], widths[level - 1], grows[level], kernel))
    return [*layers, ChannelNorm(widths[0]), Up(widths[0], config.media_channels, grows[0], kernel)]


class ConvVAE(Whitened):
    """Media in [-1, 1] <-> whitened latents."""

    def __init__(self, config: ConvVAEConfig) -> None:
        super().__init__(
            LatentSpec(
                channels=config.latent_channels,
                stride=(math.prod(config.grows),) * config.dims,
                media_channels=config.media_channels,
            )
        )
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def reach(self) -> int:
        """How many latent positions away a decoded pixel can still feel: the margin of exact tiling."""
        return through_decoder(Interval(0, 0).finer(self.spec.stride[0]), self.config).reach

    @property
    def encoder_reach(self) -> int:
        """How many latent positions away a latent can still feel the media."""
        return through_encoder(Interval(0, 0), self.config).coarser(self.spec.stride[0]).reach
