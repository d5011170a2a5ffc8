"""An hour of sound through an autoencoder, block by block: peak memory and speed.

`python -m mediagen.bench.audio_memory [waveform|spectrogram] [minutes]` measures its own process. Neither figure
depends on what the weights are, so the recipes' sizes are taken untrained.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from ..autoencoders.chunks import decode_blocks, encode_blocks
from ..autoencoders.spectrogram import SpectrogramVAE, SpectrogramVAEConfig
from ..autoencoders.waveform import WaveformVAE, WaveformVAEConfig
from ..autoencoders.whitened import Whitened

LIMIT = 1.5e9  # bytes
BLOCK = 44_100  # samples that the source gives at a time


@dataclass(frozen=True, kw_only=True)
class Cost:
    """begin, peak: resident bytes of the process before and at most; seconds: wall time; sound: seconds of sound."""

    begin: int
    peak: int
    seconds: float
    sound: float


def untrained(kind: str) -> Whitened:
    """An autoencoder with the sizes of its recipe; ValueError for a kind that is not known."""
    if kind not in ("waveform", "spectrogram"):
        raise ValueError(f"kind is {kind!r}; it must be waveform or spectrogram")
    vae = WaveformVAE(WaveformVAEConfig()) if kind == "waveform" else SpectrogramVAE(SpectrogramVAEConfig())
    return vae.eval().requires_grad_(False)


def measure(vae: Whitened, seconds: int, tile: int = 64) -> Cost:
    """Noise of that many seconds encoded, and decoded as it comes."""
    begin, began = resident(), perf_counter()
    made = sum(
        block.shape[-1] for block in decode_blocks(vae, encode_blocks(vae, noise(seconds), tile=tile), tile=tile)
    )
    return Cost(begin=begin, peak=resident(), seconds=perf_counter() - began, sound=made / vae.config.rate)


def noise(seconds: int) -> Iterator[Tensor]:
    """Blocks [1, 2, BLOCK], each made when it is asked for."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(seconds):
        yield 0.1 * torch.randn(1, 2, BLOCK, generator=draw)


def resident() -> int:
    """The most resident bytes of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(kind: str = "waveform", minutes: int = 60) -> str:
    """One line for each figure, beside what it must reach."""
    cost = measure(untrained(kind), 60 * minutes)
    verdict = f"under {LIMIT / 1e9:.2f} GB: {'reached' if cost.peak < LIMIT else 'missed'}"
    return "\n".join(
        [
            f"{kind}, {minutes} minutes of stereo encoded and decoded, {torch.get_num_threads()} threads",
            f"peak memory {cost.peak / 1e9:.2f} GB ({verdict}), {cost.begin / 1e9:.2f} GB before it began",
            f"{cost.sound / cost.seconds:.1f} times faster than real time",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(table(*sys.argv[1:2], *map(int, sys.argv[2:3])) + "\n")
