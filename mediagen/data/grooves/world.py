"""What the grooves world is made of: instruments, genres and their patterns, read from a YAML file and checked.

The file that ships, `grooves.yaml`, explains its keys at the top. An unknown key, an unknown name, or a
genre without a pattern for one of its metres is an error that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from ... import config
from .based import based
from .theory import MODES, SCALES, chord

ROLES = ("lead", "chords", "pad", "bass", "drums")
ARRANGEMENTS = ("band", "duo", "solo", "backing", "rhythm", "drums", "bass", "lead", "chords")


@dataclass(frozen=True, kw_only=True)
class Metre:
    """beats: felt beats of a bar, which the tempo counts. steps: grid steps of a beat (4, or 6 where it has three)."""

    name: str
    beats: int
    steps: int

    @property
    def grid(self) -> int:
        """Steps of a bar."""
        return self.beats * self.steps


METRES = {m.name: m for m in (Metre(name="4/4", beats=4, steps=4), Metre(name="3/4", beats=3, steps=4),
                              Metre(name="6/8", beats=2, steps=6))}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """program: of General MIDI. range: lowest and highest comfortable key. aka: other true names. decays: plucked or
    struck, so that a long note dies away. strum: seconds between the strings of a chord.
    """

    name: str
    program: int
    range: tuple[int, int]
    aka: tuple[str, ...] = ()
    decays: bool = False
    strum: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Kit:
    """A drum kit: program of the soundfont's bank 128, and what captions call it."""

    name: str
    program: int
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Harmony:
    """Chords of a genre in one mode: progressions and cadences as text, the chord of the end."""

    weight: float
    progressions: tuple[str, ...]
    cadence: tuple[str, ...]
    final: str


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How a genre fills one role: chance in a band, instruments, patterns."""

    play: float
    instruments: tuple[str, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Genre:
    """One genre; the fields are explained at the top of `grooves.yaml`."""

    name: str
    tempo: tuple[float, float]
    metres: dict[str, float]
    harmony: dict[str, Harmony]
    roles: dict[str, Voice]
    aka: tuple[str, ...] = ()
    weight: float = 1.0
    swing: tuple[float, float] = (0.5, 0.5)
    swing_unit: int = 1
    energy: float = 0.5
    room: tuple[float, float] = (0.15, 1.0)
    scale: str = "mode"
    riff: float = 0.3
    chromatic: float = 0.0
    fills: tuple[str, ...] = ("toms",)
    solo: tuple[str, ...] = ("piano",)


@dataclass(frozen=True, kw_only=True)
class Groove:
    """A drum pattern: lane -> one string of X, x, o and "." over one bar or two."""

    name: str
    metre: Metre
    lanes: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class GroovesWorld:
    """A recipe of pieces. comping and basslines: pattern -> metre -> strings; cells: style -> beat -> weight."""

    name: str
    seconds: tuple[float, float]
    loudness: float
    heldout: float
    stems: float
    effects: float
    endings: float
    arrangements: dict[str, float]
    instruments: dict[str, Instrument]
    kits: dict[str, Kit]
    cells: dict[str, dict[str, float]]
    comping: dict[str, dict[str, tuple[str, ...]]]
    basslines: dict[str, dict[str, tuple[str, ...]]]
    grooves: dict[str, Groove]
    genres: dict[str, Genre]

    def held_out(self, first: str, second: str) -> bool:
        """Whether two names together (genre and lead, lead and chords, two effects) are kept from training."""
        text = "|".join(sorted((first, second)))
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return number < self.heldout * 2**64

    @cached_property
    def patterns(self) -> dict[str, dict[str, dict[str, tuple[str, ...]]]]:
        """role -> pattern -> metre -> strings, for the roles whose patterns are strings of steps."""
        return {"chords": self.comping, "pad": self.comping, "bass": self.basslines}

    def fitting(self, genre: Genre, role: str, metre: Metre) -> list[str]:
        """Names of a role's patterns that exist in a metre."""
        names = genre.roles[role].patterns
        match role:
            case "lead":
                return [n for n in names if any(len(cell) == metre.steps for cell in self.cells[n])]
            case "drums":
                return [n for n in names if self.grooves[n].metre == metre]
        return [n for n in names if metre.name in self.patterns[role][n]]


def load_grooves(name: str | Path = "grooves") -> GroovesWorld:
    """A world that ships (by name) or one of your own (path of a YAML file); ValueError names what is wrong in it."""
    return read_grooves(_content(name))


def _content(name: str | Path) -> dict[str, Any]:
    """The content of a world's file, laid over that of its base where it names one."""
    import yaml

    file = resources.files(__package__) / f"{name}.yaml"
    file = file if file.is_file() else Path(name)
    if not file.is_file():
        raise ValueError(f"unknown grooves world {str(name)!r}; give 'grooves', 'small' or the path of a YAML file")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return based(content, _content(content["base"])) if isinstance(content, dict) and "base" in content else content


def read_grooves(content: dict[str, Any]) -> GroovesWorld:
    """A world from the content of its file."""
    made = dict(content) if isinstance(content, dict) else {}
    missing = [key for key in ("instruments", "kits", "genres", "grooves", "comping", "basslines") if key not in made]
    if missing:
        raise ValueError(f"this is no grooves world: the key {missing[0]!r} is missing")
    made["instruments"] = {n: _entry(Instrument, n, entry) for n, entry in made["instruments"].items()}
    made["kits"] = {str(n): _entry(Kit, str(n), entry) for n, entry in made["kits"].items()}
    made["genres"] = {n: _genre(n, entry) for n, entry in made["genres"].items()}
    made["grooves"] = {n: _groove(n, entry) for n, entry in made["grooves"].items()}
    for key in ("comping", "basslines"):
        made[key] = {n: _strings(n, entry) for n, entry in made[key].items()}
    world = config.build(GroovesWorld, made, "grooves world")
    _check(world)
    return world


def _entry(kind: type, name: str, entry: dict[str, Any]) -> Any:
    return config.build(kind, {"name": name, **entry}, f"{kind.__name__.lower()} {name!r}")


def _genre(name: str, entry: dict[str, Any]) -> Genre:
    where = f"genre {name!r}"
    modes = {m: config.build(Harmony, e, f"{where}: {m}") for m, e in entry.get("harmony", {}).items()}
    roles = {
        r: config.build(Voice, {**e, "instruments": [str(i) for i in e["instruments"]]}, f"{where}: {r}")
        for r, e in entry.get("roles", {}).items()
    }
    return _entry(Genre, name, {**entry, "harmony": modes, "roles": roles})


def _groove(name: str, entry: dict[str, Any]) -> Groove:
    if "lanes" in entry:  # as world.json of a built data set has it
        entry = {**entry["lanes"], "metre": entry["metre"]["name"]}
    lanes = {lane: _plain(text) for lane, text in entry.items() if lane != "metre"}
    return Groove(name=name, metre=_metre(entry["metre"], f"groove {name!r}"), lanes=lanes)


def _strings(name: str, entry: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {m: tuple(_plain(text) for text in texts) for m, texts in entry.items() if _metre(m, f"pattern {name!r}")}


def _plain(text: str) -> str:
    return text.replace(" ", "")


def _metre(name: str, where: str) -> Metre:
    if name not in METRES:
        raise ValueError(f"{where}: unknown metre {name!r}; known are {', '.join(METRES)}")
    return METRES[name]


def _check(world: GroovesWorld) -> None:
    low, high = world.seconds
    if not 2 <= low < high <= 120:
        raise ValueError(f"seconds are {low} to {high}; they must lie between 2 and 120")
    for share in ("heldout", "stems", "effects"):
        if not 0 <= getattr(world, share) < 1:
            raise ValueError(f"{share} is {getattr(world, share)}; it must be at least 0 and below 1")
    if not 0 <= world.endings <= 1:
        raise ValueError(f"endings is {world.endings}; it must be a share, from 0 to 1")
    _known("arrangements", world.arrangements, ARRANGEMENTS)
    for name, by_metre in [*world.comping.items(), *world.basslines.items()]:
        for metre, texts in by_metre.items():
            _whole_bars(f"pattern {name!r}", METRES[metre], texts)
    for groove in world.grooves.values():
        _whole_bars(f"groove {groove.name!r}", groove.metre, groove.lanes.values())
    for genre in world.genres.values():
        _check_genre(world, genre)


def _check_genre(world: GroovesWorld, genre: Genre) -> None:
    where = f"genre {genre.name!r}"
    _known(f"{where}, metres", genre.metres, METRES)
    _known(f"{where}, harmony", genre.harmony, MODES)
    _known(f"{where}, scale", [genre.scale], ("mode", *SCALES))
    _known(f"{where}, solo", genre.solo, world.instruments)
    if set(genre.roles) != set(ROLES):
        raise ValueError(f"{where}: roles must be {', '.join(ROLES)}, not {', '.join(genre.roles)}")
    patterns = {"lead": world.cells, "drums": world.grooves, **world.patterns}
    for role, voice in genre.roles.items():
        _known(f"{where}, {role}, instruments", voice.instruments, world.kits if role == "drums" else world.instruments)
        _known(f"{where}, {role}, patterns", voice.patterns, patterns[role])
        if voice.play and not voice.instruments:
            raise ValueError(f"{where}: {role} has no instrument; name one, or let it play 0")
        for metre in genre.metres:
            if not world.fitting(genre, role, METRES[metre]):
                raise ValueError(f"{where}: {role} has no pattern in {metre}")
    for harmony in genre.harmony.values():
        for text in (*harmony.progressions, *harmony.cadence, harmony.final):
            for numeral in text.replace("|", " ").split():
                chord(numeral, 0)


def _whole_bars(where: str, metre: Metre, texts: Iterable[str]) -> None:
    for text in texts:
        if not text or len(text) % metre.grid:
            raise ValueError(f"{where}: {text!r} has {len(text)} steps; a bar of {metre.name} has {metre.grid}")


def _known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what}: unknown {name!r}; known are {', '.join(known)}")
