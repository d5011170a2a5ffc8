"""How much of what captions say is in generated music: the music reader's answers against the truth of the world."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.grooves.theory import MAJOR_KEYS, MINOR_KEYS, is_minor
from ..data.grooves.world import GroovesWorld, read_grooves
from .music_reader import DRUMS, MusicReader, Reading, load, read

Truth = dict[str, Any]
NEAR = 0.04  # share of the tempo by which a reading may miss
OTHER_BEATS = (1 / 3, 1 / 2, 1.0, 2.0, 3.0)  # what a listener could take for the beat as well
NO_DRUMS = re.compile(r"\b(no drums|without drums|drumless)\b")
TEMPO = re.compile(r"\b\d+ (?:bpm|beats per minute)\b")
KEY = re.compile(r"\b[A-G][#b]? (?:major|minor|dorian|phrygian|mixolydian)\b")
FEEL = ("with a swing feel", "in waltz time")  # these hold names of genres, and do not name them
DRUM_WORDS = ("drum beat", "drum track")  # beside the names of kits
ALONE = ("solo", "drums", "bass", "lead", "chords")  # arrangements that captions always call so


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked about a clip; None or an empty tuple is not asked.

    instruments: those that must play; among: how many play in all, so how many of the most evident ones count.
    """

    instruments: tuple[str, ...] = ()
    among: int = 0
    drums: bool | None = None
    effects: tuple[str, ...] = ()
    genre: str | None = None
    tempo: float | None = None
    tonic: int | None = None
    mode: str | None = None


def world_of(folder: str | Path) -> GroovesWorld:
    """The world of a built data set, from its world.json; ValueError if it is missing or broken."""
    file = Path(folder) / "world.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))["world"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no description of a built grooves world: {error!r}") from error
    return read_grooves(content)


def all_of(truth: Truth) -> Asked:
    """Everything that is true of a clip of music or of sound effects, and can be heard."""
    if truth["kind"] == "effect":
        return Asked(effects=tuple(truth["effects"]))
    playing = instruments_of(truth)
    return Asked(
        instruments=playing,
        among=len(playing),
        drums=truth["drums"],
        genre=truth["genre"],
        tempo=float(truth["tempo"]),
        tonic=tonic_of(truth) if truth["tonal"] else None,
        mode=truth["mode"] if truth["tonal"] else None,
    )


def instruments_of(truth: Truth) -> tuple[str, ...]:
    """The pitched instruments that can be heard, each once."""
    parts = (part for part in truth["parts"] if part["audible"] and part["role"] != "drums")
    return tuple(dict.fromkeys(part["instrument"] for part in parts))


def tonic_of(truth: Truth) -> int:
    """0 (C) to 11 (B)."""
    return (MINOR_KEYS if is_minor(truth["mode"]) else MAJOR_KEYS).index(truth["key"])


def told(truth: Truth, caption: str, world: GroovesWorld) -> Asked:
    """The part of `all_of` that the caption says. What it does not name is not asked.

    Drums are asked where they are named, denied ("no drums"), or must be absent because one other part plays alone.
    """
    asked = all_of(truth)
    if truth["kind"] == "effect":
        return asked
    said = named(caption, world)
    keyed = KEY.search(caption) is not None
    return Asked(
        instruments=tuple(name for name in asked.instruments if name in said),
        among=asked.among,
        drums=_drums_told(truth, caption, said),
        genre=asked.genre if asked.genre in said else None,
        tempo=asked.tempo if TEMPO.search(caption) else None,
        tonic=asked.tonic if keyed else None,
        mode=asked.mode if keyed else None,
    )


def _drums_told(truth: Truth, caption: str, said: frozenset[str]) -> bool | None:
    if truth["drums"]:
        return True if DRUMS in said else None
    return False if NO_DRUMS.search(caption) or truth["arrangement"] in ALONE else None


def named(caption: str, world: GroovesWorld) -> frozenset[str]:
    """Instruments and genres that a caption names, by their names in the world, and "drums" for any kit. Of names
    within one another ("piano" in "electric piano", "jazz" in "jazz guitar") the longest counts."""
    names = _names(world)
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = re.findall(rf"(?<!\w)(?:{pattern})(?!\w)", caption.lower())
    return frozenset(owner for name in found for owner in names[name])


def _names(world: GroovesWorld) -> dict[str, tuple[str, ...]]:
    """Words of a caption, in small letters -> what they stand for."""
    kits = (word for kit in world.kits.values() for word in kit.names)
    owners: dict[str, tuple[str, ...]] = dict.fromkeys(FEEL, ()) | dict.fromkeys((*kits, *DRUM_WORDS), (DRUMS,))
    for thing in (*world.instruments.values(), *world.genres.values()):
        for word in (thing.name, *thing.aka):
            owners[word.lower()] = (*owners.get(word.lower(), ()), thing.name)
    return owners


def score(
    sounds: Sequence[Tensor | np.ndarray],
    asked: Sequence[Asked],
    reader: MusicReader | None = None,
    *,
    tracker: bool = False,
) -> dict[str, float]:
    """Accuracies of sounds, each float [C, T] in [-1, 1] at the reader's rate, against what was asked of them.

    Keys: instrument, instruments, drums, effect, genre, tempo, tempo_any_beat, key, mode, key_and_mode in 0..1, and
    `<key>_cases`; a key without a case is left out. tracker: tempo_tracked and tempo_tracked_any_beat by librosa too
    (ImportError where it is missing). docs/music-metrics.md defines each.
    """
    if len(sounds) != len(asked):
        raise ValueError(f"{len(sounds)} sounds and {len(asked)} truths: one of each is needed for a case")
    reader = reader or load()
    tensors = [torch.as_tensor(sound) for sound in sounds]
    answers: dict[str, list[bool]] = defaultdict(list)
    for sound, reading, wanted in zip(tensors, read(reader, tensors), asked, strict=True):
        for key, right in judge(reading, wanted):
            answers[key].append(right)
        if tracker and wanted.tempo is not None:
            for key, right in judge_tempo("tempo_tracked", tracked(sound, reader.config.mel.rate), wanted.tempo):
                answers[key].append(right)
    rates = {key: sum(given) / len(given) for key, given in sorted(answers.items())}
    return rates | {f"{key}_cases": float(len(answers[key])) for key in rates}


def judge(reading: Reading, asked: Asked) -> Iterator[tuple[str, bool]]:
    """(question, whether the answer is right) for all that is asked of one clip."""
    found = [name in reading.instruments[: asked.among] for name in asked.instruments]
    yield from (("instrument", right) for right in found)
    if found:
        yield "instruments", all(found)
    yield from (("effect", name in reading.effects[: len(asked.effects)]) for name in asked.effects)
    if asked.drums is not None:
        yield "drums", (reading.drums > 0.5) == asked.drums
    if asked.genre is not None:
        yield "genre", reading.genre == asked.genre
    if asked.tempo is not None:
        yield from judge_tempo("tempo", reading.tempo, asked.tempo)
    if asked.tonic is not None:
        yield "key", reading.tonic == asked.tonic
        yield "mode", reading.mode == asked.mode
        yield "key_and_mode", (reading.tonic, reading.mode) == (asked.tonic, asked.mode)


def judge_tempo(name: str, found: float, wanted: float) -> Iterator[tuple[str, bool]]:
    """Whether a tempo is within 4 % of the one that is wanted, and whether it is that of some beat of such music."""
    yield name, near(found, wanted)
    yield f"{name}_any_beat", any(near(found, wanted * ratio) for ratio in OTHER_BEATS)


def near(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= NEAR * wanted


def tracked(sound: Tensor, rate: int) -> float:
    """Beats a minute by librosa's beat tracker: [C, T] -> the slope of a line through its beats, or its own estimate
    where it finds fewer than four; 0 for silence. ImportError where librosa is missing."""
    try:
        import librosa
    except ImportError as error:
        raise ImportError("the beat tracker needs librosa: pip install librosa") from error
    mono = librosa.resample(sound.float().mean(0).numpy(), orig_sr=rate, target_sr=rate // 2)
    tempo, beats = librosa.beat.beat_track(y=mono, sr=rate // 2, units="time", trim=False)
    if len(beats) < 4:
        return float(np.atleast_1d(tempo)[0])
    return 60 / float(np.polyfit(np.arange(len(beats)), beats, 1)[0])
