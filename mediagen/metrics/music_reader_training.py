"""Training the music reader: truth of a built grooves world -> targets, augmentation, loss, recipe.

The music that it will judge is generated: another level, a little noise, smeared, dull at the top. So it is trained on
renders that were made so. Keys are learned from every transposition of what is heard.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import config
from ..data.grooves.describe import TONAL
from ..data.grooves.render import RATE
from ..data.grooves.stored import MIX, Grooves
from ..training import weights
from ..training.trainer import Player, Progress, Schedule, train
from .music_reader import DRUMS, Heard, MusicReader, MusicReaderConfig, Views
from .music_score import tonic_of

IGNORED = -1
PRESENT = 0.75  # seconds of a window in which a part must play to count as heard
QUIET = -90.0  # dB of the least noise
DECIBEL = 0.02  # levels of a picture that one dB is


@dataclass(frozen=True, kw_only=True)
class MusicAugment:
    """gain: dB up or down; noise: largest level of white noise, dB below full scale; tilt: dB that the highest band
    may differ from the lowest; smear: share of windows whose neighbouring bands and frames are averaged; dull: share
    that loses its top; transpose: semitones up or down in the picture of pitches."""

    gain: float = 6.0
    noise: float = -45.0
    tilt: float = 6.0
    smear: float = 0.3
    dull: float = 0.2
    transpose: int = 4


@dataclass(frozen=True, kw_only=True)
class MusicReaderRecipe:
    """data: a built grooves world, whose words are added to the reader's sizes; window: samples heard at once."""

    kind: str = "music-reader"
    data: str
    batch: int = 32
    window: int = 442_368
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    augment: MusicAugment = MusicAugment()
    schedule: Schedule

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be 1 or more, not {self.batch}")


@dataclass(frozen=True, kw_only=True)
class MusicTruths:
    """Truth of N tracks as arrays. sounds [N, sounds]: 1 plays, 0 does not, -1 is not asked; enters: second from which
    it does; genre, tonic, mode: indices, -1 where nothing is asked; tempo: 0 where there is none."""

    sounds: np.ndarray
    enters: np.ndarray
    genre: np.ndarray
    tonic: np.ndarray
    mode: np.ndarray
    tempo: np.ndarray

    def take(self, chosen: np.ndarray) -> "MusicTruths":
        return MusicTruths(**{k: v[chosen] for k, v in vars(self).items()})


def all_records(clips: Grooves) -> list[dict[str, Any]]:
    """The record of every clip of a split, read in one pass."""
    with (clips.folder / "clips.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(len(clips)), strict=False)]


def words(truths: Sequence[dict[str, Any]], sizes: MusicReaderRecipe) -> MusicReaderConfig:
    """The words that occur in the truth, sorted: the outputs of a reader for this world."""
    music = [t for t in truths if t["kind"] == "music"]
    if not music:
        raise ValueError("there is no music in this data set: a reader of music needs some")
    pitched = [part["instrument"] for t in music for part in t["parts"] if part["role"] != "drums"]
    return MusicReaderConfig(
        instruments=tuple(sorted(set(pitched))),
        effects=tuple(sorted({name for t in truths if t["kind"] == "effect" for name in t["effects"]})),
        genres=tuple(sorted({t["genre"] for t in music})),
        modes=tuple(sorted({t["mode"] for t in music})),
        window=sizes.window,
        widths=sizes.widths,
        blocks=sizes.blocks,
    )


def tabulate(truths: Sequence[dict[str, Any]], tracks: Sequence[str], names: MusicReaderConfig) -> MusicTruths:
    """Truth of N clips and which track of each -> arrays of indices into the words of `names`."""
    place = {name: i for i, name in enumerate(names.sounds)}
    sounds = np.zeros((len(truths), len(names.sounds)), np.int8)
    enters = np.zeros(sounds.shape, np.float32)
    for i, (truth, track) in enumerate(zip(truths, tracks, strict=True)):
        for name, state, start in playing(truth, track):
            sounds[i, place[name]], enters[i, place[name]] = state, start
    music = [t["kind"] == "music" for t in truths]
    tonal = [m and _tonal(t, track) for m, t, track in zip(music, truths, tracks, strict=True)]
    asked = list(zip(music, tonal, truths, strict=True))
    return MusicTruths(
        sounds=sounds,
        enters=enters,
        genre=np.array([names.genres.index(t["genre"]) if m else IGNORED for m, _, t in asked]),
        tonic=np.array([tonic_of(t) if k else IGNORED for _, k, t in asked]),
        mode=np.array([names.modes.index(t["mode"]) if k else IGNORED for _, k, t in asked]),
        tempo=np.array([t["tempo"] if m else 0 for m, _, t in asked], np.float32),
    )


def playing(truth: dict[str, Any], track: str) -> Iterator[tuple[str, int, float]]:
    """(name, 1, second from which it plays) of each sound of a track; -1 instead of 1 where it drowns in the mix."""
    if truth["kind"] == "effect":
        yield from ((name, 1, 0.0) for name in truth["effects"] if track in (MIX, name))
        return
    parts = [part for part in truth["parts"] if track in (MIX, part["role"])]
    for part in sorted(parts, key=lambda p: p["audible"]):  # where two parts share an instrument one may be heard
        heard = part["audible"] or track != MIX
        name = DRUMS if part["role"] == "drums" else part["instrument"]
        yield name, 1 if heard else IGNORED, part["enters"]


def _tonal(truth: dict[str, Any], track: str) -> bool:
    return truth["tonal"] if track == MIX else track in TONAL


def cropped(
    clips: Grooves, rows: Sequence[tuple[int, str]], table: MusicTruths, length: int, rng: np.random.Generator
) -> tuple[Tensor, MusicTruths]:
    """Random windows [B, 1, length] of tracks (index, name), silence after shorter ones, and what is true of each."""
    sounds, ends = np.zeros((len(rows), 1, length), np.float32), np.zeros(len(rows), np.float32)
    for k, (index, track) in enumerate(rows):
        audio = clips.audio(index, track)
        start = int(rng.integers(max(len(audio) - length, 0) + 1))
        part = audio[start : start + length]
        sounds[k, 0, : len(part)] = part.mean(axis=1, dtype=np.float32) / 32768
        ends[k] = (start + len(part)) / RATE
    late = table.enters > ends[:, None] - PRESENT
    return torch.from_numpy(sounds), replace(table, sounds=np.where(late, 0, table.sounds).astype(np.int8))


def louder(x: Tensor, how: MusicAugment, rng: np.random.Generator) -> Tensor:
    """Windows [B, 1, T] at another level, each with white noise of a level of its own (stretches of one long noise)."""
    count, length = len(x), x.shape[-1]
    gain, noise = rng.uniform(-how.gain, how.gain, count), rng.uniform(QUIET, how.noise, count)
    scale, level = (torch.from_numpy(10 ** (db / 20)).float()[:, None, None] for db in (gain, noise))
    long = torch.from_numpy(rng.standard_normal(2 * length, dtype=np.float32))
    stretches = torch.stack([long[start : start + length] for start in rng.integers(length, size=count).tolist()])
    return x * scale + level * stretches[:, None]


def blurred(views: Views, how: MusicAugment, rng: np.random.Generator) -> Views:
    """Mel pictures tilted, some smeared over three frames and bands, some without their top."""
    mel, count = views.mel, len(views.mel)
    mels = mel.shape[-1]
    slope = torch.from_numpy(rng.uniform(-how.tilt, how.tilt, count)).float() * DECIBEL
    mel = mel + slope[:, None, None, None] * torch.linspace(-0.5, 0.5, mels)
    smeared = torch.from_numpy(rng.random(count) < how.smear)[:, None, None, None]
    mel = torch.where(smeared, F.avg_pool2d(mel, 3, 1, 1, count_include_pad=False), mel)
    tops = np.where(rng.random(count) < how.dull, rng.integers(mels // 2, mels, count), mels)
    gone = torch.arange(mels) >= torch.from_numpy(tops)[:, None]
    mel = torch.where(gone[:, None, None], -1.0, mel)
    return replace(views, mel=mel.clamp_min(-1))


def transposed(
    views: Views, truths: MusicTruths, steps: int, how: MusicAugment, rng: np.random.Generator
) -> tuple[Views, MusicTruths]:
    """Pictures of pitches moved up or down by whole semitones of `steps` rows, silence from beyond, and the tonics."""
    semitones = rng.integers(-how.transpose, how.transpose + 1, len(views.pitch))
    moved = torch.full_like(views.pitch, -1.0)
    rows = views.pitch.shape[-1]
    for k, shift in enumerate((semitones * steps).tolist()):
        moved[k, ..., max(shift, 0) : rows + min(shift, 0)] = views.pitch[k, ..., max(-shift, 0) : rows - max(shift, 0)]
    tonic = np.where(truths.tonic == IGNORED, IGNORED, (truths.tonic + semitones) % 12)
    return replace(views, pitch=moved), replace(truths, tonic=tonic)


def loss(heard: Heard, truths: MusicTruths, names: MusicReaderConfig) -> dict[str, Tensor]:
    """Cross-entropies of every sound by itself, of genre, of tonic with mode, and of a narrow spread of tempi."""
    sounds = torch.from_numpy(truths.sounds).float()
    tempo = torch.from_numpy(truths.tempo)
    tonal = truths.tonic != IGNORED
    key = torch.from_numpy(np.where(tonal, truths.tonic * len(names.modes) + truths.mode, IGNORED))
    each = F.binary_cross_entropy_with_logits(heard.sounds.float(), sounds.clamp_min(0), reduction="none")
    aim = names.tempi.spread(tempo.clamp_min(names.tempi.low))
    spread = -(aim * heard.tempo.float().log_softmax(1)).sum(1)
    parts = {
        "sounds": (each * (sounds != IGNORED)).sum(1).mean(),
        "genre": _asked(heard.genre, torch.from_numpy(truths.genre)),
        "key": _asked(heard.key.flatten(1), key),
        "tempo": (spread * (tempo > 0)).sum() / (tempo > 0).sum().clamp_min(1),
    }
    scale = {"genre": 0.5, "key": 0.5, "tempo": 0.5}
    return {**parts, "loss": sum(scale.get(name, 1.0) * part for name, part in parts.items())}


def _asked(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross-entropy where something is asked; 0 where nothing is."""
    total = F.cross_entropy(logits.float(), wanted, ignore_index=IGNORED, reduction="sum")
    return total / (wanted != IGNORED).sum().clamp_min(1)


def run(recipe: MusicReaderRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/reader.safetensors` (averaged weights, float16) at each checkpoint; resumes what is there."""
    clips = Grooves(Path(recipe.data) / "train")
    records = all_records(clips)
    rows = [(i, track) for i, record in enumerate(records) for track in record["tracks"]]
    names = words([record["truth"] for record in records], recipe)
    table = tabulate([records[i]["truth"] for i, _ in rows], [track for _, track in rows], names)
    torch.manual_seed(recipe.schedule.seed)
    reader = MusicReader(names).to(memory_format=torch.channels_last)

    def step_loss(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((recipe.schedule.seed, step))
        chosen = rng.integers(len(rows), size=recipe.batch)
        x, truths = cropped(clips, [rows[k] for k in chosen], table.take(chosen), names.window, rng)
        views = blurred(reader.views(louder(x, recipe.augment, rng)), recipe.augment, rng)
        views, truths = transposed(views, truths, names.pitches.steps, recipe.augment, rng)
        return loss(reader.listen(views), truths, names)

    def keep(_: int, ema: Any) -> None:
        about = {"kind": "music_reader", "config": config.plain(names)}
        weights.save(out / "reader.safetensors", ema.weights, about, torch.float16)

    yield from train([Player(name="reader", module=reader, loss=step_loss)], recipe.schedule, out, keep)
