"""Sound: WAV, FLAC, MP3, Opus, AAC and M4A in and out, with the request that made it in their tags."""

import base64
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from . import audio_files, audio_signal
from .audio_files import check_suffix
from .audio_plain import flac_bytes

if TYPE_CHECKING:
    from .image import Image

MOST_VALUES = 500_000_000  # of all channels: 94 minutes in stereo at 44.1 kHz, 2 GB
LONGEST_EMBEDDED = 600  # seconds that a notebook's page is made to carry


@dataclass(frozen=True, eq=False)
class Audio:
    """A clip. samples: float32 [channels, samples] in [-1, 1]; rate: samples a second; metadata: the JSON text of the
    request that made it; path: the file it was read from. ValueError for anything else."""

    samples: np.ndarray
    rate: int
    metadata: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        audio_signal.check_rate(self.rate)
        x = self.samples
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 2 or 0 in x.shape:
            form = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray | Tensor) else type(x).__name__
            raise ValueError(f"samples must be a float32 array [channels, samples], neither of them 0, not {form}")
        low, high = float(x.min()), float(x.max())
        if not (low >= -1 and high <= 1):
            raise ValueError(f"samples must lie in [-1, 1]; these go from {low:g} to {high:g}")

    @classmethod
    def from_tensor(cls, x: Tensor, rate: int, metadata: str | None = None) -> "Audio":
        """x [channels, samples] in [-1, 1]; what lies outside is clamped."""
        return cls(x.detach().float().clamp(-1, 1).cpu().contiguous().numpy(), rate, metadata)

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.rate

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def peak(self) -> float:
        """The largest absolute sample, 0..1."""
        return max(float(self.samples.max()), -float(self.samples.min()))

    @property
    def sha256(self) -> str:
        """A hash of the samples rounded to 16 bits and of the rate: a clip keeps it in any WAV or FLAC file."""
        whole = (audio_signal.quantized(self.samples, 16) >> 16).astype("<i2")
        return sha256(f"{self.rate} {list(whole.shape)} ".encode() + whole.tobytes()).hexdigest()

    def numpy(self) -> np.ndarray:
        """float32 [channels, samples]"""
        return self.samples

    def tensor(self) -> Tensor:
        """float32 [channels, samples] in [-1, 1], a copy."""
        return torch.tensor(self.samples)

    def loudness(self) -> float:
        """Integrated loudness in LUFS (ITU-R BS.1770-4), -inf for silence. ValueError for 0.4 s or less, or more than
        5 channels."""
        return audio_signal.loudness(self.samples, self.rate)

    def normalized(self, lufs: float = -14.0, *, peak: float = -1.0) -> "Audio":
        """As loud as asked for, within 0.05 LU; no sample over `peak` dB of full scale (a limiter holds what would be).

        ValueError for silence, a clip of 0.4 s or less, or a loudness that cannot be reached under that peak.
        """
        return dataclasses.replace(self, samples=audio_signal.normalize(self.samples, self.rate, lufs, peak))

    def resampled(self, rate: int) -> "Audio":
        """At another rate: N samples become ceil(N new/old) when it rises, floor when it falls."""
        return dataclasses.replace(self, samples=audio_signal.resample(self.samples, self.rate, rate), rate=rate)

    def mixed(self, channels: int) -> "Audio":
        """With another number of channels: mono to any, 3 to 8 to stereo (ITU-R BS.775), anything to mono."""
        return dataclasses.replace(self, samples=audio_signal.mix(self.samples, channels))

    def save(self, path: str | Path, *, bits: int | None = None, kbps: int | None = None) -> Path:
        """Write WAV, FLAC, MP3, Opus, AAC or M4A by the ending, whole or not at all, with the metadata in its tags.

        bits: 16 (default) or 24, for WAV also 32. kbps: kbit/s of what is compressed, else the format's default.
        ValueError for an unknown ending, what the format cannot hold, or a place that cannot be written.
        """
        options = {"metadata": self.metadata, "bits": bits, "kbps": kbps}
        return audio_files.write(path, [self.samples], self.rate, self.channels, **options)

    def plot(self, *, size: tuple[int, int] = (1200, 640)) -> "Image":
        """Its waveform above its mel spectrogram, as a picture of `size` (width, height) pixels."""
        from .audio_plot import picture

        return picture(self.samples, self.rate, size=size, title=Path(self.path).name if self.path else None)

    def play(self) -> None:
        """Through the sound card, until it ends. ValueError if there is none, or `sounddevice` is not installed."""
        try:
            import sounddevice

            sounddevice.play(self.samples.T, self.rate, blocking=True)
        except (ImportError, OSError) as error:
            raise ValueError(f"playing needs `pip install sounddevice` and the PortAudio library: {error}") from error
        except Exception as error:
            if type(error).__name__ != "PortAudioError":
                raise
            raise ValueError(f"no sound card plays {self.channels} channels at {self.rate} Hz: {error}") from error

    def _repr_html_(self) -> str:
        """Notebooks show the picture and a player."""
        drawn = base64.b64encode(self.plot(size=(1000, 420))._repr_png_()).decode()
        image = f'<img src="data:image/png;base64,{drawn}" style="width:100%" alt="waveform and spectrogram">'
        return f'<figure style="margin:0;max-width:1000px">{image}{self._player()}</figure>'

    def _player(self) -> str:
        if self.seconds > LONGEST_EMBEDDED:
            return f"<p>{self.seconds:.0f} s are too long to play from within a page: save the clip to listen.</p>"
        clip = self.mixed(min(self.channels, 2)).resampled(min(self.rate, 48_000))
        sound = base64.b64encode(flac_bytes(clip.samples, clip.rate)).decode()
        return f'<audio controls style="width:100%" src="data:audio/flac;base64,{sound}"></audio>'


def load(sound: Any, *, rate: int | None = None, channels: int | None = None) -> Audio:
    """A path, (float32 array [channels, samples], rate) or Audio -> Audio, at its own rate and channels or those asked.

    ValueError for a file that is missing, empty, broken, no sound, or larger than 500 million values.
    """
    if isinstance(sound, (str, Path)):
        return _read(Path(sound), rate, channels)
    if isinstance(sound, tuple) and len(sound) == 2:
        sound = Audio(*sound)
    if not isinstance(sound, Audio):
        raise ValueError(f"a sound must be a path, (array, rate) or an Audio, not {type(sound).__name__}")
    return sound.mixed(channels or sound.channels).resampled(rate or sound.rate)


def _read(path: Path, rate: int | None, channels: int | None) -> Audio:
    stream = audio_files.read(path, rate=rate, channels=channels)
    samples = np.concatenate(list(_counted(path, stream.blocks)), axis=1)
    return Audio(samples, stream.rate, stream.metadata, str(path))


def _counted(path: Path, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    values = 0
    for block in blocks:
        values += block.size
        if values > MOST_VALUES:
            raise ValueError(f"{path} holds more than {MOST_VALUES} values; read it in blocks with audio_files.read")
        yield block


__all__ = ["Audio", "check_suffix", "load"]
