"""Stable Audio's autoencoder at its published size, with random weights: what decoding 47 s of stereo takes.

`mediagen bench oobleck`, or `python -m mediagen.bench.oobleck [seconds] [pieces|whole]`: the weights are written by one
process and read by another, which decodes, ours in pieces or diffusers' own at once, and says what it came to hold.
Memory does not depend on what the weights are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from .audio_memory import LIMIT, resident
from .fresh import machine

PUBLISHED: dict[str, Any] = {"encoder_hidden_size": 128, "downsampling_ratios": [2, 4, 4, 8, 8], "audio_channels": 2}
PUBLISHED |= {"channel_multiples": [1, 2, 4, 8, 16], "decoder_channels": 128, "decoder_input_channels": 64}
RATE = 44_100
SECONDS, COMPARED = 47.0, 3.0  # decoded for the memory; decoded both ways
WAYS = ("pieces", "whole")


def published() -> Any:
    """Its weights are those of seed 0, as diffusers draws them."""
    from diffusers import AutoencoderOobleck

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderOobleck(**PUBLISHED, sampling_rate=RATE).eval().requires_grad_(False)


def latents(vae: Any, seconds: float) -> Tensor:
    """[1, 64, positions] of noise."""
    count = round(seconds * RATE / vae.hop_length)
    return torch.randn(1, vae.config.decoder_input_channels, count, generator=torch.Generator().manual_seed(1))


def apart(vae: Any, seconds: float = COMPARED) -> tuple[float, float]:
    """(the largest difference between ours and diffusers' own of so many seconds, the loudest sample)."""
    from ..families._sound import oobleck

    z = latents(vae, seconds)
    with torch.no_grad():
        whole = vae.decode(z).sample
        made = oobleck(vae).decode(z)
    return float((made - whole).abs().max()), float(whole.abs().max())


def decoded(folder: Path, seconds: float, way: str) -> dict[str, float]:
    """What it took in this process: bytes resident with libraries alone, and at most; seconds, and those of sound."""
    from diffusers import AutoencoderOobleck

    from ..families._sound import oobleck

    torch.nn.functional.conv1d(torch.zeros(1, 1, 8), torch.zeros(1, 1, 3))  # the kernels' own
    libraries = resident()
    vae = AutoencoderOobleck.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    decode, z = oobleck(vae).decode if way == "pieces" else lambda z: vae.decode(z).sample, latents(vae, seconds)
    began = perf_counter()
    with torch.no_grad():
        count = decode(z).shape[-1]
    return {"libraries": libraries, "peak": resident(), "took": perf_counter() - began, "sound": count / RATE}


def table(seconds: float = SECONDS, way: str = "pieces") -> str:
    """One line for each figure, beside what it must reach. ValueError for another way than pieces or whole."""
    if way not in WAYS:
        raise ValueError(f"way is {way!r}; it must be pieces (ours) or whole (diffusers' own)")
    with TemporaryDirectory() as folder:
        _apart("write", folder)
        told = json.loads(_apart("decode", folder, str(seconds), way).splitlines()[-1])
    held = told["peak"] - told["libraries"]
    verdict = f"under {LIMIT / 1e9:.2f} GB: {'reached' if held < LIMIT else 'missed'}"
    how = "in pieces" if way == "pieces" else "at once"
    lines = [
        f"Oobleck, {told['sound']:.1f} s of stereo decoded {how}, {machine()}",
        f"weights and decoding {held / 1e9:.2f} GB ({verdict}), with libraries {told['peak'] / 1e9:.2f} GB",
        f"{told['took']:.1f} s",
    ]
    return "\n".join(lines)


def _apart(*asked: str) -> str:
    """This module in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, *asked]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(asked: list[str]) -> str:
    if asked[:1] == ["write"]:
        published().save_pretrained(asked[1])
        return ""
    if asked[:1] == ["decode"]:
        return json.dumps(decoded(Path(asked[1]), float(asked[2]), asked[3]))
    return table(*map(float, asked[:1]), *asked[1:2])


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
