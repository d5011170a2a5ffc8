"""Autoencoders of sound beside Opus and Griffin-Lim, on the same held-out clips.

`python -m mediagen.bench.audio_autoencoders DATA WEIGHTS ...` prints the table; weights are those of autoencoders and
of vocoders, which are measured from the pictures of real sound, as Griffin-Lim is.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autoencoders.chunks import padded
from ..autoencoders.vocoder import Vocoder
from ..modalities import audio
from ..nn.stft import LogMel, Mel, amplitude
from ..training import clips, run_audio_autoencoder, weights
from ..training.spectral import mel_distance, si_sdr, stft_distance
from .document import row

DATA = Path("data/grooves")
RATE = 44_100
KBPS = (16, 24, 48)
RUNS = (
    Path("runs/audio-waveform-vae/vae.safetensors"),
    Path("runs/audio-spectrogram-vae/vae.safetensors"),
    Path("runs/audio-vocoder/vocoder.safetensors"),
)
HEAD = ("", "rate", "STFT distance", "log-mel dB", "SI-SDR dB", "s to decode 1 s")


@dataclass(frozen=True, kw_only=True)
class Codec:
    """encode: sound [2, T] -> anything; decode: that -> sound [2, T or a little more]; size: what encode gives, and the
    seconds that it stands for, as text."""

    name: str
    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Tensor]
    size: Callable[[Any, float], str]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Means over the clips: multi-resolution STFT distance, log-mel distance in dB, SI-SDR in dB, and wall seconds of
    decoding for each second of sound; `size` is that of the first clip."""

    stft: float
    mel: float
    si_sdr: float
    seconds: float
    size: str


def table(
    data: str | Path = DATA,
    files: Sequence[str | Path] | None = None,
    count: int = 16,
    seconds: float = 10.0,
    rate: int = RATE,
    kbps: Sequence[int] = KBPS,
) -> str:
    """A markdown table with a row for each of the weights, Griffin-Lim and Opus.

    files: weights of autoencoders and vocoders; by default those of the recipes' run folders, as far as they are there.
    """
    heard = clips.beginnings(clips.source(data, "heldout", rate), count, int(seconds * rate))
    found = [file for file in RUNS if file.exists()] if files is None else [Path(file) for file in files]
    codecs = [*map(opened, found), griffin_lim(Mel(rate=rate, high=min(Mel.high, rate / 2)))]
    codecs += [opus(rate, k) for k in kbps]
    lines = [row(HEAD), row(["---"] * len(HEAD))]
    return "\n".join([*lines, *(_line(codec.name, measure(codec, heard, rate)) for codec in codecs)])


def _line(name: str, f: Figures) -> str:
    return row([name, f.size, f"{f.stft:.3f}", f"{f.mel:.2f}", f"{f.si_sdr:.1f}", f"{f.seconds:.4f}"])


@torch.no_grad()
def measure(codec: Codec, heard: Tensor, rate: int) -> Figures:
    """Clips [N, 2, T] one after the other through a codec, the first of them twice: its first time is not counted."""
    mel, length = LogMel(Mel(rate=rate, high=min(Mel.high, rate / 2))), heard.shape[-1]
    codec.decode(codec.encode(heard[0]))
    coded = [codec.encode(x) for x in heard]
    made, walls = zip(*(timed(codec.decode, c) for c in coded), strict=True)
    pairs = [(y[None, :, :length], x[None]) for y, x in zip(made, heard, strict=True)]
    return Figures(
        stft=mean(float(stft_distance(y, x)) for y, x in pairs),
        mel=mean(float(mel_distance(y, x, mel)) for y, x in pairs),
        si_sdr=mean(float(si_sdr(y, x)) for y, x in pairs),
        seconds=mean(walls) * rate / length,
        size=codec.size(coded[0], length / rate),
    )


def timed(f: Callable[[Any], Tensor], x: Any) -> tuple[Tensor, float]:
    began = perf_counter()
    y = f(x)
    return y, perf_counter() - began


def opened(file: Path) -> Codec:
    """Weights of an autoencoder or of a vocoder -> its codec, named as its folder."""
    name = file.absolute().parent.name
    if weights.load(file)[1].get("kind") == "vocoder":
        return vocoded(name, run_audio_autoencoder.load_vocoder(file))
    vae = weights.load_autoencoder(file)
    (stride,) = vae.spec.stride
    return Codec(
        name=name,
        encode=lambda x: vae.encode(padded(x[None], stride)),
        decode=lambda z: vae.decode(z)[0],
        size=numbers,
    )


def vocoded(name: str, vocoder: Vocoder) -> Codec:
    """A vocoder on the pictures of real sound."""
    picture = LogMel(vocoder.config.mel)
    return Codec(
        name=name,
        encode=lambda x: picture(padded(x[None], picture.hop)),
        decode=lambda p: vocoder(p)[0],
        size=numbers,
    )


def griffin_lim(mel: Mel, rounds: int = 32) -> Codec:
    """Griffin-Lim from torchaudio (arXiv:1306.4412 with its momentum), on the same pictures as the vocoder."""
    import torchaudio.functional
    import torchaudio.transforms

    picture, bins = LogMel(mel), mel.n_fft // 2 + 1
    inverse = torchaudio.transforms.InverseMelScale(bins, mel.mels, mel.rate, mel.low, mel.high)
    window = picture.window  # scaled as the amplitudes of the picture are

    def decode(pictures: Tensor) -> Tensor:
        magnitudes = inverse(amplitude(pictures[0]).mT)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = torchaudio.functional.griffinlim(
                magnitudes, window, mel.n_fft, mel.hop, mel.n_fft, 1.0, rounds, 0.99, None, True
            )
        return F.pad(made, (mel.hop // 2, mel.hop // 2))  # its frames lie around multiples of the hop, ours between

    return Codec(
        name=f"Griffin-Lim, {rounds} rounds",
        encode=lambda x: picture(padded(x[None], mel.hop)),
        decode=decode,
        size=numbers,
    )


def opus(rate: int, kbps: int) -> Codec:
    """Opus through PyAV, in a file; decoding counts what reading a file costs, and the way back from 48 kHz."""

    def encode(x: Tensor) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return audio.Audio(x.numpy(), rate).save(Path(folder) / "clip.opus", kbps=kbps).read_bytes()

    def decode(content: bytes) -> Tensor:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "clip.opus"
            file.write_bytes(content)
            return audio.load(file, rate=rate).tensor()

    return Codec(
        name=f"Opus {kbps}",
        encode=encode,
        decode=decode,
        size=lambda content, seconds: f"{8e-3 * len(content) / seconds:.1f} kbit/s",
    )


def numbers(coded: Tensor, seconds: float) -> str:
    return f"{coded.numel() / seconds:,.0f} numbers/s"


if __name__ == "__main__":
    sys.stdout.write(table(*sys.argv[1:2], *[sys.argv[2:]] if sys.argv[2:] else []) + "\n")
