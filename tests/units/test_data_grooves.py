"""The grooves world: the grammar of its music, true captions, held-out combinations, rendering, resumable builds.

Rendering is tested with a soundfont of one decaying tone that the test writes, so that no network is needed; with the
real one too where it is in the cache.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from mediagen import config
from mediagen.data.fetch import cache_folder
from mediagen.data.grooves import build as building
from mediagen.data.grooves.based import based
from mediagen.data.grooves.build import build_grooves
from mediagen.data.grooves.captions import ALONE, LIMIT, MOOD_WORDS, captions, stem_captions
from mediagen.data.grooves.clips import clip
from mediagen.data.grooves.compose import is_effect, piece
from mediagen.data.grooves.describe import AUDIBLE, MOODS, describe, gather
from mediagen.data.grooves.effects import EFFECTS
from mediagen.data.grooves.outline import holds
from mediagen.data.grooves.picture import piano_roll
from mediagen.data.grooves.plan import Note, Piece
from mediagen.data.grooves.render import CEILING, RATE, SOUNDFONT, Heard, Soundfont, heard, loudness, render, roomed
from mediagen.data.grooves.sounds import sounds
from mediagen.data.grooves.stored import Grooves
from mediagen.data.grooves.theory import chord, key_name, scale_classes, voiced, voicings
from mediagen.data.grooves.world import GroovesWorld, load_grooves, read_grooves

COUNT = 110


@pytest.fixture(scope="module")
def world() -> GroovesWorld:
    return load_grooves()


@pytest.fixture(scope="module")
def pieces(world: GroovesWorld) -> list[Piece]:
    return [piece(world, 3, i) for i in range(COUNT)]


@pytest.fixture(scope="module")
def truths(pieces: list[Piece]) -> list[dict]:
    return [describe(p) for p in pieces]


# theory


def test_numerals_become_chords() -> None:
    assert chord("vi7", 0).name == "Am7" and chord("vi7", 0).classes == {9, 0, 4, 7}
    assert chord("bVII", 9).name == "G" and chord("iiø7", 10, flats=True).name == "Cm7b5"
    assert chord("V7", 2).root == 9 and chord("bII5", 4).intervals == (0, 7)
    assert key_name(10, "major") == "Bb" and key_name(6, "minor") == "F#"
    with pytest.raises(ValueError, match="'H7' is no chord"):
        chord("H7", 0)


def test_the_nearest_voicing_keeps_common_tones() -> None:
    before = (60, 64, 67)
    assert voiced(chord("vi", 0), before, 52, 76) == (60, 64, 69)
    assert voiced(chord("IV", 0), before, 52, 76) == (60, 65, 69)
    for of in (chord("Imaj9", 3), chord("iiø7", 8), chord("i5", 1), chord("V", 6)):
        for shape in voicings(of, 48, 76):
            assert {p % 12 for p in shape} <= of.classes and shape == tuple(sorted(shape))
            assert shape[0] >= 48 and shape[-1] <= 76 and shape[-1] - shape[0] <= 12


def test_a_scale_bends_to_its_chord() -> None:
    assert scale_classes(9, "minor", "mode", chord("i", 9)) == {9, 11, 0, 2, 4, 5, 7}
    over = scale_classes(9, "minor", "mode", chord("V", 9))  # E major in A minor: G sharp, and no G beside it
    assert 8 in over and 7 not in over


# the plan


def test_a_piece_is_the_same_alone_and_in_any_order(world: GroovesWorld, pieces: list[Piece]) -> None:
    assert all(piece(world, 3, i) == pieces[i] for i in (101, 0, 42))
    assert piece(load_grooves(), 3, 7) == pieces[7]
    assert piece(world, 4, 0) != pieces[0] and piece(world, 3, 0, "heldout") != pieces[0]
    with pytest.raises(ValueError, match="split is 'test'"):
        piece(world, 0, 0, "test")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="index -1"):
        piece(world, 0, -1)


def test_the_world_is_as_rich_as_it_says(world: GroovesWorld, pieces: list[Piece]) -> None:
    used = {i for g in world.genres.values() for v in list(g.roles.values())[:4] for i in v.instruments}
    assert len(world.genres) >= 24 and len(used) >= 60 and len(EFFECTS) >= 20
    assert len({p.outline.genre.name for p in pieces}) >= 18
    assert {"band", "duo", "solo", "drums"} <= {p.outline.arrangement for p in pieces}
    assert {p.outline.metre.name for p in pieces} == {"4/4", "3/4", "6/8"}
    low, high = world.seconds
    assert all(low <= p.seconds <= high for p in pieces)
    for p in pieces:
        tempo = p.outline.genre.tempo
        assert tempo[0] - 0.5 <= p.outline.tempo <= tempo[1] + 0.5


def test_held_out_combinations_are_never_in_train(world: GroovesWorld, pieces: list[Piece]) -> None:
    def held(p: Piece) -> bool:
        return holds(world, p.outline.genre.name, p.outline.instruments)

    assert not any(held(p) for p in pieces)
    assert all(held(piece(world, 3, i, "heldout")) for i in range(25))
    pairs = [sounds(world, 3, i).kinds for i in range(200)]
    assert 0.2 < np.mean([len(kinds) == 2 for kinds in pairs]) < 0.5
    assert not any(world.held_out(*kinds) for kinds in pairs if len(kinds) == 2)
    assert all(world.held_out(*sounds(world, 3, i, "heldout").kinds) for i in range(20))
    combinations = [(g.name, i) for g in world.genres.values() for i in g.roles["lead"].instruments]
    assert 0.03 < np.mean([world.held_out(*c) for c in combinations]) < 0.12


def test_notes_stay_in_the_range_of_their_instrument_and_inside_the_piece(pieces: list[Piece]) -> None:
    for p in pieces:
        for part in p.parts:
            assert part.notes and list(part.notes) == sorted(part.notes)
            assert all(0 <= n.start < p.outline.beats and n.length > 0 and 1 <= n.velocity <= 127 for n in part.notes)
            if not part.drums:
                low, high = part.instrument.range
                assert all(low <= n.pitch <= high for n in part.notes), (p.outline.genre.name, part.role)


def test_melodies_have_chord_tones_on_strong_beats_and_scale_tones_between(pieces: list[Piece]) -> None:
    inside = []
    for p in pieces:
        form = p.outline
        for note in p.by_role["lead"].notes if "lead" in p.by_role else ():
            over = p.chord_at(note.start).chord
            if note.start % form.metre.beats == 0:
                assert note.pitch % 12 in over.classes, (form.genre.name, note)
            inside.append(note.pitch % 12 in scale_classes(form.tonic, form.mode, form.genre.scale, over))
    assert np.mean(inside) > 0.95  # the rest are leading tones of jazz and tango


def test_melodies_sing(pieces: list[Piece]) -> None:
    """Mostly steps and small leaps, no leap beyond an octave, and a motif that comes back."""
    leaps, returning = [], []
    for p in (p for p in pieces if "lead" in p.by_role and p.outline.body >= 4):
        notes = p.by_role["lead"].notes
        leaps += [abs(b.pitch - a.pitch) for a, b in pairwise(notes)]
        rhythms = [_rhythm(notes, p, bar) for bar in range(p.outline.body)]
        rhythms = [r for r in rhythms if r]
        returning.append(len(set(rhythms)) < len(rhythms))
    assert max(leaps) <= 14 and np.mean(np.array(leaps) <= 4) > 0.7
    assert np.mean(returning) > 0.75


def _rhythm(notes: tuple[Note, ...], p: Piece, bar: int) -> tuple[float, ...]:
    first = bar * p.outline.metre.beats
    return tuple(round(n.start - first, 3) for n in notes if first <= n.start < first + p.outline.metre.beats)


def test_bass_lines_have_the_root_where_a_chord_begins(pieces: list[Piece]) -> None:
    met = 0
    for p in (p for p in pieces if "bass" in p.by_role):
        starts = {span.start: span.chord.root for span in p.chords}
        for note in p.by_role["bass"].notes:
            if note.start in starts:
                assert note.pitch % 12 == starts[note.start], p.outline.genre.name
                met += 1
    assert met > COUNT


def test_chords_move_by_small_steps(pieces: list[Piece]) -> None:
    moves = []
    for p in (p for p in pieces if "chords" in p.by_role):
        shapes = [_sounding(p.by_role["chords"].notes, span.start, span.end) for span in p.chords]
        for a, b in pairwise(shapes):
            if len(a) == len(b) >= 3:
                moves.append(np.mean([abs(x - y) for x, y in zip(a, b, strict=True)]))
        for span, shape in zip(p.chords, shapes, strict=True):
            assert {pitch % 12 for pitch in shape} <= span.chord.classes, p.outline.genre.name
    assert np.mean(moves) < 2.5


def _sounding(notes: tuple[Note, ...], start: float, end: float) -> list[int]:
    return sorted({n.pitch for n in notes if start - 1e-6 <= n.start < end - 1e-6})


def test_a_piece_ends_on_its_tonic_and_holds_it(pieces: list[Piece]) -> None:
    for p in pieces:
        form = p.outline
        last = float(form.body * form.metre.beats)
        assert p.chords[-1].start == last and p.chords[-1].chord.root == form.tonic
        for part in p.parts:
            held = [n for n in part.notes if n.end > last + 1e-6]
            assert held and all(n.start <= last for n in held), (form.genre.name, part.role)
            if not part.drums:
                assert all(n.end > form.beats - 0.1 * form.metre.beats for n in held)
                assert {n.pitch % 12 for n in held} <= p.chords[-1].chord.classes
            if part.role in ("lead", "bass"):
                assert [n.pitch % 12 for n in held] == [form.tonic] and held[0].start == last


def test_drums_fill_the_ends_of_phrases(pieces: list[Piece]) -> None:
    seen = 0
    for p in (p for p in pieces if "drums" in p.by_role and p.outline.body >= 4):
        form, part = p.outline, p.by_role["drums"]
        wanted = [b + 1 for b in range(part.enters, form.body) if form.ends_phrase(b)]
        assert [end for _, end in p.fills] == [float(b * form.metre.beats) for b in wanted]
        for start, end in p.fills:
            assert 1 <= end - start <= 2
            assert [n for n in part.notes if start - 1e-6 <= n.start < end]
            seen += 1
        assert all(n.start >= part.enters * form.metre.beats for n in part.notes)
    assert seen > 40


def test_swing_delays_the_second_half_of_a_beat_only(world: GroovesWorld, pieces: list[Piece]) -> None:
    form = next(p.outline for p in pieces if p.outline.genre.name == "jazz")
    assert [form.warped(b) for b in (0.0, 1.0, 7.0)] == pytest.approx([0, 1, 7], abs=1e-6)
    assert form.warped(2.5) == pytest.approx(2 + form.swing, abs=1e-6) and form.swing > 0.6
    straight = replace(form, swing=0.5)
    assert straight.warped(2.75) == pytest.approx(2.75, abs=1e-6)


def test_velocities_are_humanised(pieces: list[Piece]) -> None:
    for p in pieces:
        for part in p.parts:
            if len(part.notes) > 20:
                assert len({n.velocity for n in part.notes}) > 5


# truth and captions


def test_the_truth_holds_the_exact_grid(pieces: list[Piece], truths: list[dict]) -> None:
    for p, truth in zip(pieces, truths, strict=True):
        form = p.outline
        bar = form.metre.beats * 60 / form.tempo
        assert truth["bars"] == pytest.approx([i * bar for i in range(form.heard)], abs=1e-3)
        assert sum(length for _, length, _ in truth["chords"]) == pytest.approx(form.heard * bar, abs=0.01)
        assert json.loads(json.dumps(truth)) == truth
        if truth["ends"]:
            assert truth["chords"][-1][0] == pytest.approx(truth["bars"][-1], abs=1e-3)
            assert truth["seconds"] > form.bars * bar
        else:
            assert truth["seconds"] == pytest.approx(form.body * bar, abs=1e-5)
    assert 0.6 < np.mean([truth["ends"] for truth in truths]) < 0.95


def test_captions_are_true(world: GroovesWorld, truths: list[dict]) -> None:
    rng = np.random.default_rng(0)
    names = {w: n for n, i in world.instruments.items() for w in (n, *i.aka)}
    for truth in truths:
        playing = {part["instrument"] for part in truth["parts"]}
        for text in captions(world, truth, rng):
            assert len(text.split()) <= LIMIT and text == text.strip() and "  " not in text
            for bpm in re.findall(r"(\d+) (?:bpm|beats per minute)", text):
                assert int(bpm) == truth["tempo"]
            for key in re.findall(r"\b([A-G][#b]? (?:major|minor|dorian|mixolydian|phrygian))\b", text):
                assert key == f"{truth['key']} {truth['mode']}" and truth["tonal"]
            for word, mood in ((w, m) for m, words in MOOD_WORDS.items() for w in words):
                assert not text.lower().startswith(f"{word} ") or mood in truth["moods"] or word in ("fast", "slow")
            said = {
                names[w] for w in names if re.search(rf"(^|, |with |featuring |solo ){w}($|, | and )", text.lower())
            }
            assert said <= playing, text
            if not truth["drums"]:
                assert not re.search(r"\b(drum kit|drum machine|percussion)\b", text)


def test_a_part_that_cannot_be_heard_is_not_named(world: GroovesWorld, pieces: list[Piece]) -> None:
    p = next(p for p in pieces if p.outline.arrangement == "band" and {"lead", "bass", "drums"} <= set(p.by_role))
    levels = {"mix": -18.0} | dict.fromkeys(p.by_role, -20.0) | {"bass": -18.0 + AUDIBLE - 5}
    truth = describe(p, levels)
    instrument = p.by_role["bass"].instrument
    assert [part["audible"] for part in truth["parts"] if part["role"] == "bass"] == [False]
    rng = np.random.default_rng(1)
    texts = " / ".join(text for _ in range(40) for text in captions(world, truth, rng))
    assert not any(word in texts for word in (instrument.name, *instrument.aka))


def test_clips_of_one_part_always_say_so(world: GroovesWorld, truths: list[dict]) -> None:
    rng = np.random.default_rng(2)
    said = re.compile(r"only|solo|alone|isolated|unaccompanied|nothing else|just")
    alone = [t for t in truths if t["arrangement"] in ALONE]
    assert len(alone) > 8
    assert all(said.search(text.lower()) for truth in alone for text in captions(world, truth, rng))
    band = next(t for t in truths if t["arrangement"] == "band" and t["drums"])
    for part in band["parts"]:
        assert all(said.search(text) for text in stem_captions(world, band, part["role"], rng))


def test_captions_vary(world: GroovesWorld, truths: list[dict]) -> None:
    rng = np.random.default_rng(3)
    texts = [text for truth in truths for text in captions(world, truth, rng)]
    words = [len(text.split()) for text in texts]
    assert len(set(texts)) > 0.8 * len(texts) and min(words) <= 2 and max(words) >= 18


def test_moods_follow_their_rules(pieces: list[Piece], truths: list[dict]) -> None:
    for p, truth in zip(pieces, truths, strict=True):
        facts = gather(p)
        assert truth["moods"] == [mood for mood, rule in MOODS.items() if rule(facts)]
        assert not ({"happy", "sad"} <= set(truth["moods"])) and not ({"energetic", "calm"} <= set(truth["moods"]))
    assert {m for t in truths for m in t["moods"]} == set(MOODS) == set(MOOD_WORDS)


def test_a_broken_world_is_refused(world: GroovesWorld) -> None:
    content = yaml.safe_load((Path(building.__file__).parents[1] / "grooves" / "grooves.yaml").read_text())
    pop = content["genres"]["pop"]
    broken = [
        ({"typo": 1}, "unknown key 'typo'"),
        ({"genres": {"pop": pop | {"metres": {"3/4": 1}}}}, "genre 'pop': chords has no pattern in 3/4|has no pattern"),
        ({"genres": {"pop": pop | {"solo": ["kazoo"]}}}, "unknown 'kazoo'"),
        ({"heldout": 1.5}, "heldout is 1.5"),
        ({"seconds": [40, 20]}, "seconds are 40"),
        ({"basslines": content["basslines"] | {"whole": {"4/4": ["R---"]}}}, "has 4 steps; a bar of 4/4 has 16"),
    ]
    for change, message in broken:
        with pytest.raises(ValueError, match=message):
            read_grooves(content | change)
    with pytest.raises(ValueError, match="unknown grooves world 'nowhere'"):
        load_grooves("nowhere")


def test_the_small_world_is_a_part_of_the_whole_one(world: GroovesWorld) -> None:
    small = load_grooves("small")
    assert len(small.genres) == 12 and len(small.instruments) == 30 and small.seconds == (4, 12) and not small.effects
    assert {i: small.instruments[i] for i in small.instruments}.items() <= world.instruments.items()
    made = [piece(small, 0, i) for i in range(60)]
    assert {p.outline.mode for p in made} == {"major", "minor"}
    assert all((p.outline.metre.name == "3/4") == (p.outline.genre.name == "waltz") for p in made)
    assert {p.outline.genre.name for p in made if "pad" in p.by_role} == {"ambient"}
    assert all(4 <= p.seconds <= 12 for p in made)
    assert 0.2 < np.mean([p.outline.ends for p in made]) < 0.6
    assert holds(small, *(lambda f: (f.genre.name, f.instruments))(piece(small, 0, 0, "heldout").outline))


def test_a_built_set_tells_its_world(world: GroovesWorld) -> None:
    for one in (world, load_grooves("small")):
        assert read_grooves(json.loads(json.dumps(config.plain(one)))) == one


def test_a_world_may_be_based_on_another() -> None:
    whole = yaml.safe_load((Path(building.__file__).parent / "grooves.yaml").read_text())

    def mine(**content: object) -> GroovesWorld:
        return read_grooves(based({"base": "grooves", "name": "mine", **content}, whole))

    made = mine(seconds=[5, 9], only={"genres": ["jazz"], "metres": ["4/4"]}, genres={"jazz": {"tempo": [90, 100]}})
    assert list(made.genres) == ["jazz"] and made.seconds == (5, 9) and made.genres["jazz"].tempo == (90, 100)
    assert made.genres["jazz"].metres == {"4/4": 0.85} and made.genres["jazz"].roles["drums"].play == 0.88
    bare = mine(only={"genres": ["tango"], "instruments": ["piano", "violin"]})
    assert bare.genres["tango"].roles["bass"].play == 0 and bare.genres["tango"].solo == ("piano",)
    with pytest.raises(ValueError, match="only, genres: unknown 'polka'"):
        mine(only={"genres": ["polka"]})
    with pytest.raises(ValueError, match="nothing is left of harmony of the genre 'tango'"):
        mine(only={"genres": ["tango"], "modes": ["major"]})
    with pytest.raises(ValueError, match="only: unknown key 'kits'"):
        mine(only={"kits": ["jazz"]})


# sound


def _soundfont(file: Path) -> Path:
    """A General MIDI soundfont in which every program and kit is one tone of 440 Hz that decays within 0.3 s."""
    n = 13_230
    tone = np.sin(2 * np.pi * 440 * np.arange(n) / 44_100 + 0.5 * np.pi) * np.exp(-np.arange(n) / 2_000) * 20_000
    presets = [(i, 0) for i in range(128)] + [(i, 128) for i in (0, 8, 16, 24, 25, 32, 40)]
    bags = len(presets)
    phdr = [struct.pack("<20sHHHIII", b"tone", p, bank, i, 0, 0, 0) for i, (p, bank) in enumerate(presets)]
    sample = struct.pack("<20sIIIIIBbHH", b"tone", 0, n, 8, n - 8, 44_100, 69, 0, 0, 1)
    chunks = {
        b"phdr": b"".join(phdr) + struct.pack("<20sHHHIII", b"EOP", 0, 0, bags, 0, 0, 0),
        b"pbag": b"".join(struct.pack("<HH", i, 0) for i in range(bags + 1)),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HH", 41, 0) * bags + bytes(4),
        b"inst": struct.pack("<20sH", b"tone", 0) + struct.pack("<20sH", b"EOI", 1),
        b"ibag": struct.pack("<HHHH", 0, 0, 1, 0),
        b"imod": bytes(10),
        b"igen": struct.pack("<HH", 53, 0) + bytes(4),
        b"shdr": sample + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    info = _riff(b"ifil", struct.pack("<HH", 2, 1)) + _riff(b"isng", b"EMU8000\0") + _riff(b"INAM", b"test\0\0")
    data = _riff(b"smpl", np.concatenate([tone, np.zeros(46)]).astype("<i2").tobytes())
    body = b"sfbk" + _list(b"INFO", info) + _list(b"sdta", data)
    body += _list(b"pdta", b"".join(_riff(k, v) for k, v in chunks.items()))
    file.write_bytes(_riff(b"RIFF", body))
    return file


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _list(kind: bytes, body: bytes) -> bytes:
    return _riff(b"LIST", kind + body)


@pytest.fixture(scope="module")
def font_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pyloudnorm")
    pytest.importorskip("scipy")
    return _soundfont(tmp_path_factory.mktemp("font") / "tone.sf2")


@pytest.fixture(scope="module")
def font(font_file: Path) -> Soundfont:
    return Soundfont(font_file)


def _short(pieces: list[Piece]) -> Piece:
    bands = (
        p for p in pieces if p.outline.arrangement == "band" and len(p.parts) >= 4 and p.outline.genre.energy > 0.4
    )
    return min((p for p in bands if p.outline.ends), key=lambda p: p.seconds)


def test_a_note_starts_on_its_frame_and_nothing_is_left_of_the_one_before(font: Soundfont) -> None:
    note = Heard(start=5_001, end=20_000, key=69, velocity=100)
    for _ in range(2):
        sound = font.play([note], 30_000, 0)
        first = int(np.flatnonzero(np.abs(sound).max(axis=1) > 1e-3)[0])
        assert sound.shape == (30_000, 2) and 5_001 <= first < 5_001 + 0.003 * RATE
        assert not sound[:5_001].any() and np.isfinite(sound).all()
    with pytest.raises(ValueError, match="missing"):
        Soundfont("nowhere.sf2")


def test_stems_sum_to_the_mix_at_the_asked_loudness(world: GroovesWorld, pieces: list[Piece], font: Soundfont) -> None:
    p = _short(pieces)
    made = render(p, world, font)
    assert made.mix.shape == (round(p.seconds * RATE), 2) and made.mix.dtype == np.float32
    assert set(made.stems) == set(p.by_role) and all(np.abs(s).max() > 0.01 for s in made.stems.values())
    assert np.abs(sum(made.stems.values()) - made.mix).max() < 1e-6
    peak = float(np.abs(made.mix).max())
    assert peak <= CEILING + 1e-4 and np.abs(made.mix[-50:]).max() < 1e-3
    assert made.levels["mix"] == pytest.approx(world.loudness, abs=0.2) or peak > CEILING - 1e-3
    assert loudness(np.zeros((RATE, 2), np.float32)) == -70


def test_a_room_is_a_convolution_and_nothing_stays_beside_zero() -> None:
    rng = np.random.default_rng(0)
    dry = (0.1 * rng.normal(size=(150_000, 2)) + 0.03).astype(np.float32)
    plain, wet = roomed(dry, (0.2, 0.6), 0.0), roomed(dry, (0.2, 0.6), 1.0)
    assert abs(plain[20_000:].mean()) < 5e-4 and plain.dtype == np.float32 and plain.shape == dry.shape
    assert np.abs(plain - (dry - 0.03))[20_000:].std() < 0.01  # what can be heard stays as it is
    echo = wet - plain
    assert not np.abs(echo[:500]).max() > 1e-5 and np.abs(echo[2_000:]).std() > 0.005  # it starts 12 ms later
    parts = roomed(dry[:70_000], (0.2, 0.6), 1.0)
    assert np.abs(parts - wet[:70_000]).max() < 1e-5  # the future does not matter, nor where blocks end


def test_attacks_fall_on_the_grid(world: GroovesWorld, pieces: list[Piece], font: Soundfont) -> None:
    p = _short(pieces)
    part = p.by_role["bass"] if "bass" in p.by_role else p.by_role["drums"]
    beat = 60 / p.outline.tempo
    played = heard(p, part)
    assert [note.start for note in played] == [round(note.start * beat * RATE) for note in part.notes]
    bar = p.outline.metre.beats * beat * RATE
    firsts = [
        replace(note, end=note.start + 3_000) for note in played if note.start % bar < 1 or note.start % bar > bar - 1
    ]
    sound = np.abs(font.play(firsts, round(p.seconds * RATE), part.instrument.program, part.drums)).max(axis=1)
    assert firsts
    for at in {note.start for note in firsts}:
        assert not sound[max(at - 60, 0) : at].any() and sound[at : at + 132].max() > 0.01


def test_effects_sound_and_differ(world: GroovesWorld) -> None:
    for name, effect in EFFECTS.items():
        if effect.make is not None:
            sound, again = (effect.make(np.random.default_rng(5), 2 * RATE) for _ in range(2))
            assert len(sound) == 2 * RATE and np.isfinite(sound).all() and np.abs(sound).max() > 1e-3, name
            assert np.array_equal(sound, again) and not np.allclose(
                sound, effect.make(np.random.default_rng(6), 2 * RATE)
            )


# the data set


@pytest.fixture(scope="module")
def tiny(world: GroovesWorld) -> GroovesWorld:
    return replace(world, seconds=(4.0, 5.0), stems=0.6, effects=0.2)


@pytest.fixture(scope="module")
def built(tiny: GroovesWorld, font_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "CHUNK", 2)
        yield build_grooves(tiny, tmp_path_factory.mktemp("set") / "a", train=5, heldout=1, seed=1, soundfont=font_file)


def test_a_built_set_reads_back(tiny: GroovesWorld, built: Path, font: Soundfont) -> None:
    train = Grooves(built / "train")
    assert len(train) == 5 and len(Grooves(built / "heldout")) == 1 and (built / "READY").exists()
    for i in range(5):
        assert train.truth(i)["kind"] == ("effect" if is_effect(tiny, 1, i) else "music")
        assert train.audio(i).dtype == np.int16
        assert abs(len(train.audio(i)) - train.truth(i)["seconds"] * RATE) <= 1
        assert train.captions(i) and np.abs(train.audio(i)).max() > 500
    made = clip(tiny, font, 1, 3)
    assert np.abs(train.audio(3) - made.rendered.mix * 32767).max() <= 0.51
    assert train.truth(3) == json.loads(json.dumps(made.truth))
    i = next(i for i in range(5) if len(train.tracks(i)) > 1)
    stems = train.tracks(i)[1:]
    total = sum(train.audio(i, name).astype(int) for name in stems)
    assert np.abs(total - train.audio(i)).max() <= (len(stems) + 1) / 2 + 0.5
    assert np.array_equal(train.without(i, stems[0]), train.audio(i) - train.audio(i, stems[0]))
    assert (i, stems[0]) in train.clips and all(train.captions(i, name) for name in stems)
    with pytest.raises(IndexError):
        train.truth(5)
    with pytest.raises(ValueError, match="no track 'kazoo'"):
        train.audio(i, "kazoo")


def test_a_build_goes_on_where_it_was_killed(
    tiny: GroovesWorld, built: Path, font_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "CHUNK", 2)
    before = {f.relative_to(built): f.read_bytes() for f in built.rglob("*") if f.is_file()}
    (built / "READY").unlink()
    (built / "train" / "progress").write_text("4\n")  # as a kill leaves it: a record too many, the last chunk half done
    (built / "train" / "audio" / "00002.npy").write_bytes(b"half")
    with (built / "train" / "clips.jsonl").open("a") as stream:
        stream.write('{"half":')
    build_grooves(tiny, built, train=5, heldout=1, seed=1, soundfont=font_file)
    assert {f.relative_to(built): f.read_bytes() for f in built.rglob("*") if f.is_file()} == before
    with pytest.raises(ValueError, match=r"another recipe \(seed differ\)"):
        build_grooves(tiny, built, train=5, heldout=1, seed=2, soundfont=font_file)
    with pytest.raises(ValueError, match="workers is 0"):
        build_grooves(tiny, built, workers=0)
    with pytest.raises(ValueError, match="holds no data set of clips"):
        build_grooves(tiny, built.parent, soundfont=font_file)


def test_a_piano_roll_shows_every_part(pieces: list[Piece]) -> None:
    p = _short(pieces)
    picture = piano_roll(p, 700)
    assert picture.shape[1:] == (700, 3) and picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 12


REAL = cache_folder() / "packages" / SOUNDFONT.stem / "usr" / "share" / "sounds" / "sf2" / "FluidR3_GM.sf2"


@pytest.mark.skipif(not REAL.exists(), reason="the FluidR3 soundfont is not in the cache")
def test_the_real_soundfont_makes_every_part_audible(world: GroovesWorld, pieces: list[Piece]) -> None:
    pytest.importorskip("tinysoundfont")
    p = _short(pieces)
    made = render(p, world, Soundfont(REAL))
    assert all(part["audible"] for part in describe(p, made.levels)["parts"])
    assert np.abs(sum(made.stems.values()) - made.mix).max() < 1e-6
