"""Rendering a piece: every part by itself from the soundfont, balanced, in a room, and summed to the mix.

tinysoundfont plays the notes to the sample. Parts are balanced by their loudness (ITU-R BS.1770 by pyloudnorm), each to
the level of its role, so that everything in the mix can be heard; a room is a convolution, which is linear; one gain
brings the sum to its loudness. So the mix is the sum of its stems, up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..fetch import Package, Report, fetch, unreported
from .plan import Note, Part, Piece
from .world import GroovesWorld, Instrument

RATE = 44_100
SOUNDFONT = Package(
    name="fluid-soundfont-gm",
    version="3.1-5.3",
    kind="apt",
    licence="MIT",
    sha256="6f531493ac4e4d9772fd96b2488ea1790af81c196135fbdd25997da0781fc60e",
    notice="Fluid (R3) General MIDI SoundFont, copyright 2000-2002, 2008 Frank Wen, 2008 Toby Smithe, MIT licence.",
)
LEVELS = {"lead": 0.0, "drums": -1.0, "bass": -3.0, "chords": -4.5, "pad": -8.0}  # LU, before energy is added
PANS = {"lead": 64, "drums": 64, "bass": 64, "chords": 50, "pad": 80}  # MIDI, 64 is the middle
WET = {"lead": 1.0, "drums": 0.25, "bass": 0.0, "chords": 0.9, "pad": 1.2}
CEILING = 0.95  # of the mix's peak
SILENT = -70.0  # LUFS
FADE = 0.35  # seconds at the end of a clip
LOWEST = 15.0  # Hz; below lies only the offset from zero of some instruments, up to 3 % of full scale


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What a clip sounds like: mix float32 [frames, 2], stems by name that sum to it, and the loudness of each.

    levels: LUFS by stem, and of "mix". A stem without sound has -70.
    """

    mix: np.ndarray
    stems: dict[str, np.ndarray]
    levels: dict[str, float]


class Soundfont:
    """A soundfont held by a synthesiser: 1.4 s and 0.45 GB to load, so one a process, in one thread."""

    def __init__(self, file: str | Path) -> None:
        tinysoundfont = _tinysoundfont()
        if not Path(file).is_file():
            raise ValueError(f"the soundfont {file} is missing; fetch it, or name an .sf2 file")
        self._synth = tinysoundfont.Synth(gain=0, samplerate=RATE)
        try:
            self._font = self._synth.sfload(os.fspath(file))
        except Exception as error:  # the binding raises what it likes for a file that it cannot read
            raise ValueError(f"{file} cannot be read as a soundfont: {error}") from error

    def play(self, notes: Sequence[Heard], frames: int, program: int, drums: bool = False, pan: int = 64) -> np.ndarray:
        """float32 [frames, 2] of the notes on one instrument. The synthesiser is silent before and after."""
        channel = 9 if drums else 0
        self._select(channel, program, drums)
        self._synth.control_change(channel, 10, pan)
        out = np.zeros((frames, 2), np.float32)
        at = 0
        for frame, on, key, velocity in _events(notes, frames):
            self._generate(out[at:frame])
            at = max(at, frame)
            if on:
                self._synth.noteon(channel, key, velocity)
            else:
                self._synth.noteoff(channel, key)
        self._generate(out[at:])
        self._silence()
        return out

    def _select(self, channel: int, program: int, drums: bool) -> None:
        try:
            self._synth.program_select(channel, self._font, 0, program, drums)
        except RuntimeError as error:
            raise ValueError(f"the soundfont has no {'kit' if drums else 'instrument'} {program}: {error}") from error

    def _generate(self, out: np.ndarray) -> None:
        if len(out):
            out[:] = np.frombuffer(self._synth.generate(len(out)), np.float32).reshape(-1, 2)

    def _silence(self) -> None:
        """Ends every voice; what the quick release still sounds is thrown away."""
        self._synth.notes_off()
        self._synth.sounds_off()
        self._synth.generate(RATE // 4)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A note in frames."""

    start: int
    end: int
    key: int
    velocity: int


def _events(notes: Sequence[Heard], frames: int) -> list[tuple[int, bool, int, int]]:
    """(frame, on, key, velocity) in order; releases come before attacks of the same frame, and cut what is held."""
    events = []
    for note in notes:
        if note.start < frames:
            events.append((note.start, True, note.key, note.velocity))
            events.append((min(max(note.end, note.start + 1), frames), False, note.key, 0))
    return sorted(events)


def _tinysoundfont() -> Any:
    try:
        import tinysoundfont
    except ImportError as error:
        raise ValueError(
            "rendering music needs tinysoundfont; install it with: pip install --no-deps tinysoundfont"
        ) from error
    return tinysoundfont


def soundfont_file(report: Report = unreported) -> Path:
    """The FluidR3 soundfont in the cache folder, fetched first when it is not there."""
    return fetch(SOUNDFONT, report=report) / "usr" / "share" / "sounds" / "sf2" / "FluidR3_GM.sf2"


def render(piece: Piece, world: GroovesWorld, font: Soundfont) -> Rendered:
    """Mix and stems of a piece, at 44.1 kHz, the mix at the world's loudness or as near as its peaks allow."""
    frames = round(piece.seconds * RATE)
    stems: dict[str, np.ndarray] = {}
    for part in piece.parts:
        dry = font.play(heard(piece, part), frames, part.instrument.program, part.drums, PANS[part.role])
        stems[part.role] = roomed(dry, piece.outline.genre.room, WET[part.role]) * fade(frames)
    return mixed(stems, {role: _level(piece, role) for role in stems}, world.loudness)


def heard(piece: Piece, part: Part) -> list[Heard]:
    """The notes of a part in frames; a strummed chord's strings follow one another from below."""
    form, found = piece.outline, []
    strum = part.instrument.strum if isinstance(part.instrument, Instrument) else 0.0
    rank: dict[float, int] = {}
    for note in sorted(part.notes):
        place = rank.get(note.start, 0)
        rank[note.start] = place + 1
        start = round(note.start * form.beat * RATE + place * strum * RATE)
        found.append(Heard(start=start, end=_release(note, form.beat, start), key=note.pitch, velocity=note.velocity))
    return found


def _release(note: Note, beat: float, start: int) -> int:
    return max(round(note.end * beat * RATE) - 1, start + RATE // 50)


def _level(piece: Piece, role: str) -> float:
    """LU of a role against the lead; drums and bass gain up to 2 with the energy of the genre."""
    return LEVELS[role] + (2 * piece.outline.genre.energy if role in ("drums", "bass") else 0.0)


def loudness(audio: np.ndarray) -> float:
    """LUFS of float [frames, 2] at 44.1 kHz (pyloudnorm); -70 for silence and for less than 0.4 s."""
    import pyloudnorm

    if len(audio) < 0.4 * RATE or not np.any(audio):
        return SILENT
    with np.errstate(divide="ignore"):
        return max(float(pyloudnorm.Meter(RATE).integrated_loudness(audio)), SILENT)


def roomed(dry: np.ndarray, room: tuple[float, float], wet: float) -> np.ndarray:
    """Dry sound without what no ear hears, and the room's answer to it, which starts 12 ms later and is stereo: float32
    [frames, 2].

    room: share and decay in seconds; wet: how much of it this part gets. The sound goes block by block through one
    convolution for both (overlap and add); its spectra are kept for every room.
    """
    from scipy import fft

    share = np.float32(room[0] * wet)
    straight, answer, length = _spectra(room[1] if share else 0.0)
    size = 2 * (len(straight) - 1)
    out = np.zeros((2, len(dry) + size), np.float32)
    for start in range(0, len(dry), size - length + 1):
        spectrum = fft.rfft(dry[start : start + size - length + 1].T, size)
        heard = spectrum * straight
        if share:
            heard += share * spectrum.mean(axis=0) * answer
        out[:, start : start + size] += fft.irfft(heard, size)
    return np.ascontiguousarray(out[:, : len(dry)].T)


@lru_cache(maxsize=32)
def _spectra(seconds: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Of the high-pass [bins] and of a room [2, bins] (nothing for 0 seconds), and the samples of the longer answer."""
    from scipy import fft

    straight, answer = _high_pass(), _room(seconds).T if seconds else np.zeros((2, 1), np.float32)
    length = max(len(straight), answer.shape[1])
    size = 1 << (2 * length - 1).bit_length()
    return fft.rfft(straight, size), fft.rfft(answer, size), length


def _high_pass() -> np.ndarray:
    """Impulse response float32 [n] of a filter of first order that lets pass what lies above 15 Hz, and no constant."""
    r = np.exp(-2 * np.pi * LOWEST / RATE)
    answer = -(1 - r) * (1 + r) / 2 * r ** np.arange(-1, round(0.15 * RATE), dtype=np.float64)
    answer[0] = (1 + r) / 2
    answer[0] -= answer.sum()
    return answer.astype(np.float32)


def _room(seconds: float) -> np.ndarray:
    """Impulse response float32 [n, 2] of a room: noise that dies away by 60 dB in `seconds`, darker with time.

    Nothing much below 150 Hz: low notes stay clear, and no energy goes where no ear hears it.
    """
    from scipy import fft

    rng = np.random.default_rng(1)
    n, early = round(seconds * RATE), round(0.012 * RATE)
    spectrum = fft.rfft(rng.normal(size=(n, 2)), axis=0)
    hertz = np.fft.rfftfreq(n, 1 / RATE)[:, None]
    bright, dark = (
        fft.irfft(spectrum * hertz**2 / (hertz**2 + 150.0**2) / (1 + (hertz / top) ** 2), n, axis=0)
        for top in (6000.0, 1500.0)
    )
    age = np.linspace(0, 1, n)[:, None]
    answer = ((1 - age) * bright + 2 * age * dark) * 10 ** (-3 * age)
    answer = np.concatenate([np.zeros((early, 2)), answer])
    return (answer / np.sqrt((answer**2).sum() / 2)).astype(np.float32)


def fade(frames: int) -> np.ndarray:
    """The short way to nothing at the end of every clip: float32 [frames, 1]."""
    ramp = np.ones((frames, 1), np.float32)
    last = min(round(FADE * RATE), frames)
    ramp[frames - last :, 0] = np.cos(np.linspace(0, np.pi / 2, last)) ** 2
    return ramp


def mixed(stems: dict[str, np.ndarray], levels: dict[str, float], target: float) -> Rendered:
    """Stems balanced to their levels (LU against one another) and summed, the sum brought to `target` LUFS.

    Where its peak would pass 0.95 the sum stays softer. Loudness is measured once a stem and once for the sum; a gain
    moves it by as many LU as it has dB.
    """
    measured = {name: loudness(stem) for name, stem in stems.items()}
    gains = {name: levels[name] - 20.0 - now if now > SILENT else 0.0 for name, now in measured.items()}
    balanced = {name: stem * np.float32(10 ** (gains[name] / 20)) for name, stem in stems.items()}
    total = np.sum(list(balanced.values()), axis=0, dtype=np.float64)
    now, peak = loudness(total), float(np.abs(total).max())
    last = min(target - now if now > SILENT else 0.0, 20 * float(np.log10(CEILING / max(peak, 1e-9))))
    scaled = {name: (stem * 10 ** (last / 20)).astype(np.float32) for name, stem in balanced.items()}
    mix = np.sum(list(scaled.values()), axis=0, dtype=np.float64).astype(np.float32)
    found = {name: max(measured[name] + gains[name] + last, SILENT) for name in stems}
    return Rendered(mix=mix, stems=scaled, levels={k: round(v, 2) for k, v in {"mix": now + last, **found}.items()})
