"""Autoencoders of published sound as ours: Oobleck, coded in chunks, and pictures of mels with a vocoder.

All of them have one axis, time, whatever their networks work on, so that masks, windows and loops are those of every
other model of sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..autoencoders import tiling
from ..autoencoders.base import LatentSpec
from ..autoencoders.reach import Interval
from ..core.rng import Drawn
from . import _adapters as adapters
from ._tiles import Stage, over_tiles

DILATIONS = (1, 3, 9)  # of the residual units of each block, which are 7 wide
CHUNK = 128  # latents that are coded at once
PIECE = 32  # latents whose finer levels are coded at once, of Oobleck: 47 s of stereo stay under 1.5 GB
PICTURED = {16_000: (1024, 160)}  # sampling rate -> samples of a frame and its hop, as AudioLDM's training cut them


class Chunked(adapters.PublishedVAE):
    """A published autoencoder of sound [B, C, samples] that looks no farther than `reach` latents to either side, and
    `encoder_reach` where it encodes. What is longer than `chunk` latents is coded in chunks that see as far, so that
    the values are those of the whole, in memory that does not grow with it."""

    def __init__(self, vae: Any, spec: LatentSpec, *, reach: int, encoder_reach: int, chunk: int = CHUNK) -> None:
        super().__init__(vae, spec, reach, [0.0], [1.0])
        self.encoder_reach, self.chunk = encoder_reach, chunk

    def encode(self, x: Tensor) -> Tensor:
        """Sound [B, C, samples] in [-1, 1] -> latents [B, D, positions]; ValueError for a length off the stride."""
        return tiling.encode_tiled(_Whole(self), x, tile=self.chunk)

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, D, positions] -> sound [B, C, samples], about [-1, 1]."""
        return tiling.decode_tiled(_Whole(self), z, tile=self.chunk)

    def encode_whole(self, x: Tensor) -> Tensor:
        """All at once."""
        coded = self.vae.encode(x.to(self.vae.device, self.vae.dtype))
        return (coded.latent_dist.mode() if hasattr(coded, "latent_dist") else coded.latents).to(x)

    def decode_whole(self, z: Tensor) -> Tensor:
        """All at once."""
        return super().decode(z)


class _Whole:
    """The same autoencoder coding all at once."""

    def __init__(self, vae: Chunked) -> None:
        self.spec, self.reach, self.encoder_reach = vae.spec, vae.reach, vae.encoder_reach
        self.encode, self.decode = vae.encode_whole, vae.decode_whole


def oobleck(vae: Any, chunk: int = CHUNK, piece: int = PIECE) -> Chunked:
    """An `AutoencoderOobleck`, convolutions alone. Of a chunk its coarsest level, whose weights are most of them and
    which looks far, is gone through at once; the finer ones in pieces of so many latents. ValueError for a stride that
    is odd: its output would be shorter than its latents say."""
    config = vae.config
    strides = tuple(config.downsampling_ratios)
    if odd := [stride for stride in strides if stride % 2]:
        raise ValueError(f"the autoencoder has a stride of {odd[0]}: only even ones are supported")
    channels = {"channels": config.decoder_input_channels, "media_channels": config.audio_channels}
    spec = LatentSpec(stride=(math.prod(strides),), **channels)
    _in_pieces(vae, strides, piece)
    return Chunked(vae, spec, reach=heard(strides), encoder_reach=listened(strides), chunk=chunk)


def _in_pieces(vae: Any, strides: Sequence[int], piece: int) -> None:
    """Its networks with the finer levels in pieces."""
    coarse, finer, up, down = strides[-1], strides[:-1], vae.decoder, vae.encoder
    made = Stage(layers=[*up.block[1:], up.snake1, up.conv2], reach=heard(finer), finer=math.prod(finer))
    read = Stage(layers=[down.conv1, *down.block[:-1]], reach=listened(finer), finer=1 / math.prod(finer))
    held = any(hasattr(vae, name) for name in ("offloaded_from", "_hf_hook"))  # by hooks, which know weights by name

    def decoder(z: Tensor) -> Tensor:
        _joined(up, held)
        return over_tiles(made, up.block[0](up.conv1(z)), piece * coarse)

    def encoder(x: Tensor) -> Tensor:
        _joined(down, held)
        return down.conv2(down.snake1(down.block[-1](over_tiles(read, x, piece * coarse))))

    up.forward, down.forward = decoder, encoder


def _joined(network: nn.Module, held: bool) -> None:
    """Each layer's weight made of its direction and its length once, when it is first needed, not kept beside them and
    made again in each piece."""
    for layer in [] if held else [one for one in network.modules() if hasattr(one, "weight_g")]:
        nn.utils.remove_weight_norm(layer)


def same(vae: Any, chunk: int = CHUNK) -> Chunked:
    """An `AutoencoderSAME`, whose layers look `sliding_window` positions of their level to either side."""
    config = vae.config
    spec = LatentSpec(
        channels=config.latent_dim, stride=(vae.downsampling_ratio,), media_channels=config.audio_channels
    )
    finer, far = 1, 0.0
    for depth, stride in reversed(list(zip(config.encoder_transformer_depths, config.encoder_strides, strict=True))):
        far, finer = far + depth * config.sliding_window / finer, finer * stride
    reach = math.ceil(far) + 1
    return Chunked(vae, spec, reach=reach, encoder_reach=reach, chunk=chunk)


def heard(strides: Sequence[int]) -> int:
    """Latents that a decoded sample feels to either side. strides: of the encoder, from the samples on."""
    whole = math.prod(strides)
    here = Interval(0, whole - 1).widened(3)
    for stride in strides:
        here = raised(here.widened(3 * sum(DILATIONS)), stride, 2 * stride, math.ceil(stride / 2))
    return here.widened(3).reach


def listened(strides: Sequence[int]) -> int:
    """Latents' stretches of sound that a latent feels to either side."""
    here = Interval(0, 0).widened(1)
    for stride in reversed(strides):
        here = lowered(here, stride).widened(3 * sum(DILATIONS))
    return here.widened(3).coarser(math.prod(strides)).reach


def raised(here: Interval, stride: int, size: int, cut: int) -> Interval:
    """Through a transposed convolution of a stride, `size` wide, `cut` samples less at its beginning: what it reads."""
    return Interval(-((size - 1 - cut - here.first) // stride), (here.last + cut) // stride)


def lowered(here: Interval, stride: int) -> Interval:
    """Through a convolution of a stride, 2 strides wide, half a stride of nothing before it: what it reads."""
    cut = math.ceil(stride / 2)
    return Interval(here.first * stride - cut, here.last * stride - cut + 2 * stride - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Turned(Drawn):
    """The noise of a generator as it is drawn for latents [B, positions, C]."""

    def __call__(self, step: int, like: Tensor) -> Tensor:
        return super().__call__(step, like.mT).mT


class MelVAE:
    """Sound [B, 1, samples] <-> latents [B, C * rows, positions] of its mel picture: an `AutoencoderKL` on log-mel
    pictures, and the vocoder that plays them. Positions are those of the picture's frames.

    Both look at all that they are given. ValueError for sound at a rate whose pictures are not known (`PICTURED`).
    """

    def __init__(self, vae: Any, vocoder: Any) -> None:
        config, voice, levels = vae.config, vocoder.config, len(vae.config.block_out_channels)
        self.vae, self.vocoder = (each.requires_grad_(False).eval() for each in (vae, vocoder))
        self.scale, self.hop = 2 ** (levels - 1), math.prod(voice.upsample_rates)
        self.rate, self.mels = voice.sampling_rate, voice.model_in_dim
        if self.mels % self.scale:
            raise ValueError(f"the vocoder's {self.mels} mels are not a multiple of the autoencoder's {self.scale}")
        self.rows = self.mels // self.scale
        channels, stride = config.latent_channels * self.rows, (self.scale * self.hop,)
        self.spec = LatentSpec(channels=channels, stride=stride, media_channels=1)
        frames = Interval(0, stride[0] - 1)
        for rate, size in reversed(list(zip(voice.upsample_rates, voice.upsample_kernel_sizes, strict=True))):
            blocks = zip(voice.resblock_kernel_sizes, voice.resblock_dilation_sizes, strict=True)
            wide = max((k - 1) // 2 * (sum(spread) + len(spread)) for k, spread in blocks)
            frames = raised(frames.widened(wide + 3), rate, size, (size - rate) // 2)
        far = frames.widened(3).coarser(self.scale).reach
        self.reach = far + adapters.reach_of(levels, config.layers_per_block + 1)
        self.encoder_reach = adapters.reach_of(levels, config.layers_per_block) + 1

    def encode(self, x: Tensor) -> Tensor:
        """Sound [B, 1, samples] in [-1, 1] -> latents [B, C * rows, positions]."""
        self.spec.grid(x.shape[2:])
        pictures = self.pictures(x)[:, None].to(self.vae.device, self.vae.dtype)
        raw = self.vae.encode(pictures).latent_dist.mode()
        return lined(raw * self.vae.config.scaling_factor).to(x)

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, C * rows, positions] -> sound [B, 1, samples]."""
        raw = pictured(z, self.rows) / self.vae.config.scaling_factor
        pictures = self.vae.decode(raw.to(self.vae.device, self.vae.dtype), return_dict=False)[0]
        sound = self.vocoder(pictures[:, 0].to(self.vocoder.device, self.vocoder.dtype))
        [count] = self.spec.size(z.shape[2:])
        return sound[:, None, :count].to(z)

    def pictures(self, x: Tensor) -> Tensor:
        """Sound [B, 1, samples] -> [B, frames, mels]: the logarithm of mel magnitudes, at least 1e-5."""
        if PICTURED.get(self.rate, (0, 0))[1] != self.hop:
            raise ValueError(
                f"how sound at {self.rate} Hz becomes pictures of this model is not known: only make new sound"
            )
        size, hop = PICTURED[self.rate]
        signal = F.pad(x[:, 0].float(), (size // 2, size // 2), mode="reflect")
        frames = signal.unfold(-1, size, hop)[:, : x.shape[-1] // hop]
        magnitudes = torch.fft.rfft(frames * torch.hann_window(size, device=x.device)).abs()
        return (magnitudes @ slaney(self.rate, size, self.mels).to(magnitudes).mT).clamp_min(1e-5).log()

    @property
    def drawn(self) -> Any:
        """(generator, request) -> the noise of published pipelines, whose latents are pictures."""
        return lambda generator, request: Pictured(generator=generator, rows=self.rows)


def pictured(z: Tensor, rows: int) -> Tensor:
    """Latents [B, C * rows, positions] -> those of a picture [B, C, positions, rows]; in each step, where einops takes
    6 us."""
    return z.reshape(len(z), -1, rows, z.shape[2]).mT


def lined(z: Tensor) -> Tensor:
    """The inverse of `pictured`."""
    return z.mT.reshape(len(z), -1, z.shape[2])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictured(Drawn):
    """The noise of a generator as it is drawn for latents [B, C, positions, rows]."""

    rows: int

    def __call__(self, step: int, like: Tensor) -> Tensor:
        return lined(super().__call__(step, pictured(like, self.rows)))


def slaney(rate: int, size: int, mels: int) -> Tensor:
    """Triangles [mels, size / 2 + 1] of equal area, up to rate / 2, on Slaney's scale: 200 / 3 Hz a mel up to 1000 Hz,
    and from there on 27 mels for each factor of 6.4 (Auditory Toolbox, 1998)."""
    linear, bend = 200 / 3, 1000.0
    most = bend / linear + 27 * math.log(rate / 2 / bend, 6.4) if rate / 2 > bend else rate / 2 / linear
    places = torch.linspace(0, most, mels + 2, dtype=torch.float64)
    above = bend * 6.4 ** ((places - bend / linear) / 27)
    corners = torch.where(places * linear < bend, places * linear, above)
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    return (torch.minimum(rising, falling).clamp_min(0) * (2 / (corners[2:] - corners[:-2]))[:, None]).float()
