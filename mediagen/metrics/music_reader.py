"""The music reader: a small network that says what plays in a sound, in which genre, how fast and in which key.

It judges generated music by questions whose answers are known from the grooves world. Timbre is read from a mel
picture, the key from a picture of pitches, the tempo from what repeats in the onsets (`music_views`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from .. import config
from ..nn.conv import Down, ResBlock, conv, fold
from ..nn.norm import ChannelNorm
from ..nn.stft import LogMel, Mel
from ..training import weights
from .music_views import RATIOS, Pitches, PitchPicture, Tempi, rhythms

SHIPPED = Path(__file__).parents[1] / "weights" / "reader-music" / "reader.safetensors"
DRUMS = "drums"
FOLDED = (8, 4)  # frames and mels that become channels at once
TOGETHER = 4  # windows whose spectra are taken at once: those of many would not stay in a processor's cache
RARE = -3.0  # logit of a sound at first: few of them play in a clip


@dataclass(frozen=True, kw_only=True)
class MusicReaderConfig:
    """The words of the world, which are the outputs of the heads, and the sizes of the network.

    window: samples that are read at once, a multiple of the pitch picture's hop and of 16 mel frames; widths and
    blocks: channels and residual blocks at 8, 16 and 32 frames; frame: features of a moment; curves: onset curves.
    """

    instruments: tuple[str, ...]
    effects: tuple[str, ...]
    genres: tuple[str, ...]
    modes: tuple[str, ...]
    window: int = 442_368
    mel: Mel = field(default_factory=lambda: Mel(hop=512, mels=96, low=30.0, high=16_000.0))
    pitches: Pitches = field(default_factory=Pitches)
    tempi: Tempi = field(default_factory=Tempi)
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    frame: int = 192
    curves: int = 12

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"widths {self.widths} and blocks {self.blocks} must be of one length")
        halvings = 2 ** (len(self.widths) - 1)
        if self.mel.mels % (FOLDED[1] * halvings):
            raise ValueError(f"mels are {self.mel.mels}; they must be a multiple of {FOLDED[1] * halvings}")
        for step in (self.mel.hop * FOLDED[0] * halvings, self.pitches.hop):
            if self.window < 1 or self.window % step:
                raise ValueError(f"window is {self.window} samples; it must be a multiple of {step}")

    @property
    def sounds(self) -> tuple[str, ...]:
        """All that can be heard, in the order of the reader's outputs."""
        return (*self.instruments, DRUMS, *self.effects)


@dataclass(frozen=True, kw_only=True)
class Views:
    """What is looked at: mel [B, 1, frames, mels], pitch [B, 1, frames, rows]; -1 for silence, 1 for full scale."""

    mel: Tensor
    pitch: Tensor


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Raw outputs for B windows, as logits: sounds [B, sounds], each by itself; genre [B, genres]; key [B, 12, modes],
    tonic and mode together; tempo [B, count]. features [B, F] are for the Frechet distance."""

    sounds: Tensor
    genre: Tensor
    key: Tensor
    tempo: Tensor
    features: Tensor


class MusicReader(nn.Module):
    """Windows of sound [B, C, window] in [-1, 1] at the mel picture's rate, heard in mono -> `Heard`."""

    def __init__(self, config: MusicReaderConfig) -> None:
        super().__init__()
        self.config = config
        self.mel_view, self.pitch_view = LogMel(config.mel), PitchPicture(config.pitches)
        rows = config.mel.mels // FOLDED[1]
        self.embed = conv(2, FOLDED[0] * FOLDED[1], config.widths[0])
        self.row_embed = nn.Parameter(torch.zeros(config.widths[0], 1, rows))
        self.stages = nn.Sequential(*_stages(config.widths, config.blocks))
        self.norm = ChannelNorm(config.widths[-1])
        self.frame = nn.Linear(config.widths[-1] * rows // 2 ** (len(config.widths) - 1), config.frame)
        self.sounds_head = nn.Linear(2 * config.frame, len(config.sounds))
        self.genre_head = nn.Linear(2 * config.frame, len(config.genres))
        self.key = KeyReader(config.pitches, len(config.modes))
        self.tempo = TempoReader(config.mel, config.tempi, config.curves, config.frame)
        nn.init.constant_(self.sounds_head.bias, RARE)

    @torch.no_grad()
    def views(self, x: Tensor) -> Views:
        """[B, C, window] -> what is looked at. ValueError for another length."""
        if x.ndim != 3 or x.shape[-1] != self.config.window:
            raise ValueError(f"a window is [B, C, {self.config.window}], not {list(x.shape)}")
        parts = reduce(x.float(), "b c t -> b 1 t", "mean").split(TOGETHER)
        mel, pitch = (torch.cat([view(part) for part in parts]) for view in (self.mel_view, self.pitch_view))
        return Views(mel=mel, pitch=pitch)

    def listen(self, views: Views) -> Heard:
        x = self.embed(fold(views.mel, FOLDED)) + self.row_embed
        x = F.silu(self.norm(self.stages(x)))
        moments = F.silu(self.frame(rearrange(x, "b c t m -> b t (c m)")))
        features = reduce(moments, "b t f -> b f", "mean")
        pooled = torch.cat([features, reduce(moments, "b t f -> b f", "max")], dim=1)
        return Heard(
            sounds=self.sounds_head(pooled),
            genre=self.genre_head(pooled),
            key=self.key(views.pitch),
            tempo=self.tempo(views.mel, features),
            features=features,
        )

    def forward(self, x: Tensor) -> Heard:
        return self.listen(self.views(x))


def _stages(widths: Sequence[int], blocks: Sequence[int]) -> list[nn.Module]:
    """Residual blocks, and half as many frames and rows wherever the width changes."""
    layers: list[nn.Module] = []
    for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if i:
            layers.append(Down(widths[i - 1], width, (2, 2)))
        layers += [ResBlock(2, width) for _ in range(count)]
    return layers


class KeyReader(nn.Module):
    """Pictures of pitches [B, 1, frames, rows] -> logits [B, 12, modes] of each tonic (C first) in each mode.

    Every octave's pitch classes lie on one circle, and convolutions go round it: what was learned in one key helps in
    all others.
    """

    def __init__(self, pitches: Pitches, modes: int, width: int = 24, hidden: int = 48) -> None:
        super().__init__()
        self.steps, self.octaves, self.turn = pitches.steps, pitches.octaves, pitches.low % 12
        self.embed = conv(2, pitches.steps, width, kernel=5)
        self.block = ResBlock(2, width)
        self.norm = ChannelNorm(width)
        self.circle = nn.Conv1d(2 * width * pitches.octaves, hidden, 12)
        self.head = nn.Conv1d(hidden, modes, 12)

    def forward(self, pitch: Tensor) -> Tensor:
        x = pitch - reduce(pitch, "b 1 t p -> b 1 1 1", "mean")
        x = self.embed(rearrange(x, "b 1 t (k s) -> b s t k", s=self.steps))
        x = F.silu(self.norm(self.block(x)))
        x = torch.cat([reduce(x, "b c t k -> b c k", "mean"), reduce(x, "b c t k -> b c k", "max")], dim=1)
        x = rearrange(x, "b c (o k) -> b (c o) k", o=self.octaves).roll(self.turn, dims=-1)
        x = F.silu(self.circle(_round(x)))
        return rearrange(self.head(_round(x)), "b m k -> b k m")


def _round(x: Tensor) -> Tensor:
    """[B, C, 12] -> [B, C, 23]: the circle laid out so that a kernel of 12 sees all of it from each of its places."""
    return F.pad(x, (0, 11), mode="circular")


class TempoReader(nn.Module):
    """Mel pictures [B, 1, frames, mels] and features [B, F] -> logits [B, count] of tempi.

    Curves of what grows louder, each a learned sum of bands, are compared with themselves a beat, half a beat or four
    beats later; the features tell which of these a listener takes for the beat in such music.
    """

    def __init__(self, mel: Mel, tempi: Tempi, curves: int, features: int, hidden: int = 64) -> None:
        super().__init__()
        self.rate, self.tempi = mel.rate / mel.hop, tempi
        self.bands_embed = nn.Linear(mel.mels, curves)
        self.beats = nn.Conv1d(curves * len(RATIOS), hidden, 3, padding=1)
        self.style = nn.Linear(features, hidden)
        self.hidden = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.head = nn.Conv1d(hidden, 1, 3, padding=1)
        self.usual = nn.Parameter(torch.zeros(tempi.count))

    def forward(self, mel: Tensor, features: Tensor) -> Tensor:
        rise = F.relu(mel[:, 0, 1:] - mel[:, 0, :-1])
        curves = rearrange(self.bands_embed(rise), "b t c -> b c t")
        with torch.autocast(mel.device.type, enabled=False):
            found = rhythms(curves, self.rate, self.tempi)
        x = F.silu(self.beats(found) + self.style(features)[..., None])
        return self.head(F.silu(self.hidden(x)))[:, 0] + self.usual


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one sound holds. instruments and effects: all that are known, the most evident first; drums: the chance of
    them; tempo: felt beats a minute; tonic: 0 (C) to 11 (B)."""

    instruments: tuple[str, ...]
    effects: tuple[str, ...]
    drums: float
    genre: str
    tempo: float
    tonic: int
    mode: str


def read(reader: MusicReader, sounds: Sequence[Tensor], batch: int = 16) -> list[Reading]:
    """Sounds, each [C, T] in [-1, 1], of any lengths -> one `Reading` each; long ones are heard window by window."""
    return [_reading(reader.config, heard) for heard in listened(reader, sounds, batch)]


@torch.no_grad()
def listened(reader: MusicReader, sounds: Sequence[Tensor], batch: int = 16) -> list[Heard]:
    """The outputs for each sound: of its windows, the mean of the chances of sounds and of the features, and the sum of
    the other log chances."""
    cut = [windows(sound, reader.config.window) for sound in sounds]
    every = [w for part in cut for w in part]
    heard = [reader(torch.stack(every[k : k + batch])) for k in range(0, len(every), batch)]
    if not heard:
        return []
    whole = {name: torch.cat([getattr(h, name) for h in heard]).float() for name in vars(heard[0])}
    spans = {name: values.split([len(part) for part in cut]) for name, values in whole.items()}
    return [_joined({name: parts[i] for name, parts in spans.items()}) for i in range(len(cut))]


def _joined(found: dict[str, Tensor]) -> Heard:
    """The outputs for the windows of one sound -> those for all of it, without the batch axis."""
    key = found["key"].flatten(1).log_softmax(1).sum(0).view(found["key"].shape[1:])
    return Heard(
        sounds=found["sounds"].sigmoid().mean(0),
        genre=found["genre"].log_softmax(1).sum(0),
        key=key,
        tempo=found["tempo"].log_softmax(1).sum(0),
        features=found["features"].mean(0),
    )


def windows(sound: Tensor, length: int) -> list[Tensor]:
    """[C, T] -> stereo windows [2, length] that lie evenly over all of it; silence follows a shorter sound.

    ValueError for an empty sound or one of another shape.
    """
    if sound.ndim != 2 or sound.shape[0] not in (1, 2) or not sound.shape[1]:
        raise ValueError(f"a sound is [1 or 2 channels, samples], not {list(sound.shape)}")
    sound = sound.float().expand(2, -1)
    spare = sound.shape[1] - length
    if spare <= 0:
        return [F.pad(sound, (0, -spare))]
    count = ceil(sound.shape[1] / length)
    return [sound[:, start : start + length] for start in torch.linspace(0, spare, count).long().tolist()]


def _reading(names: MusicReaderConfig, heard: Heard) -> Reading:
    chances = dict(zip(names.sounds, heard.sounds.tolist(), strict=True))
    tonic, mode = divmod(int(heard.key.flatten().argmax()), len(names.modes))
    return Reading(
        instruments=tuple(sorted(names.instruments, key=lambda n: -chances[n])),
        effects=tuple(sorted(names.effects, key=lambda n: -chances[n])),
        drums=chances[DRUMS],
        genre=names.genres[int(heard.genre.argmax())],
        tempo=float(names.tempi.most_likely(heard.tempo.softmax(0)[None])[0]),
        tonic=tonic,
        mode=names.modes[mode],
    )


def load(file: str | Path = SHIPPED) -> MusicReader:
    """The reader that ships with the package, or one that was trained; ValueError for a missing or broken file."""
    tensors, about = weights.load(file)
    if about.get("kind") != "music_reader":
        raise ValueError(f"{file} holds a {about.get('kind')!r}, not a music_reader")
    with torch.device("meta"):
        reader = MusicReader(config.build(MusicReaderConfig, about["config"]))
    weights.fit(reader, tensors, file)
    return reader.eval().requires_grad_(False)
