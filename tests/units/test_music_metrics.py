"""The music reader's views against closed forms, its questions on clips made by hand, and its training."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mediagen import config
from mediagen.bench import music_quality
from mediagen.data.grooves.compose import piece
from mediagen.data.grooves.describe import describe
from mediagen.data.grooves.world import GroovesWorld, load_grooves
from mediagen.metrics import music_evaluate, music_reader, music_reader_training, music_score, music_views
from mediagen.metrics.music_score import Asked
from mediagen.modalities.audio import Audio
from mediagen.training.trainer import Schedule

RATE = 44_100
WINDOW = 65_536
WORDS = {
    "instruments": ("flute", "piano"),
    "effects": ("rain",),
    "genres": ("jazz", "rock"),
    "modes": ("major", "minor"),
}
TINY = music_reader.MusicReaderConfig(**WORDS, window=WINDOW, widths=(8, 16), blocks=(1, 1), frame=16, curves=3)


@pytest.fixture(scope="module")
def world() -> GroovesWorld:
    return load_grooves("small")


def part(role: str, instrument: str, audible: bool = True, enters: float = 0.0) -> dict:
    return {"role": role, "instrument": instrument, "program": 0, "level": -3.0, "audible": audible, "enters": enters}


def truth(*parts: dict, **changed: object) -> dict:
    found = {"kind": "music", "genre": "jazz", "arrangement": "band", "tempo": 120, "key": "F#", "mode": "minor"}
    found |= {"tonal": True, "drums": any(p["role"] == "drums" for p in parts), "parts": list(parts)}
    return found | changed


BAND = truth(part("lead", "flute"), part("chords", "piano"), part("bass", "double bass"), part("drums", "jazz"))


def tones(*hertz: float, length: int = WINDOW) -> torch.Tensor:
    at = torch.arange(length) / RATE
    return 0.3 * torch.stack([torch.sin(2 * torch.pi * f * at) for f in hertz]).sum(0)[None, None]


# views


def test_a_tone_stands_in_the_middle_row_of_its_key():
    pitches = music_views.Pitches()
    view = music_views.PitchPicture(pitches)
    for key in (45, 60, 69, 95):
        rows = view(tones(440 * 2 ** ((key - 69) / 12)))[0, 0].mean(0)
        assert rows.shape == (pitches.rows,) and int(rows.argmax()) == (key - pitches.low) * pitches.steps + 1
    low, high = (int(3 * (k - pitches.low) + 1) for k in (60, 61))  # a semitone apart, and told apart
    rows = view(tones(261.63, 277.18))[0, 0, 3]
    assert rows[low : high + 1].min() < min(rows[low], rows[high]) - 0.1


def test_tempi_come_back_from_their_spread():
    tempi = music_views.Tempi()
    wanted = torch.tensor([51.0, 60, 97, 120, 133.3, 180, 208])
    found = tempi.most_likely(tempi.spread(wanted))
    assert torch.allclose(found, wanted.double(), rtol=0.003)
    assert tempi.values()[0] == 50 and tempi.values()[-1] > 208


@pytest.mark.parametrize("tempo", [72, 120, 150])
def test_the_beat_of_clicks_is_what_repeats(tempo):
    rate, tempi = RATE / 512, music_views.Tempi()
    curve = torch.zeros(864)
    curve[(torch.arange(0, 10.0, 60 / tempo) * rate).round().long().clamp_max(863)] = 1.0
    curve = torch.nn.functional.avg_pool1d(curve[None, None], 3, 1, 1)
    beat = music_views.rhythms(curve, rate, tempi)[0].view(len(music_views.RATIOS), -1)
    at = int(tempi.spread(torch.tensor([float(tempo)])).argmax())
    for ratio, row in zip(music_views.RATIOS, beat, strict=True):
        if ratio in (1, 2, 3):  # a beat later, two and three beats later
            assert row[at] > 0.35 and row[at] > row[at + 6] + 0.2, ratio
        elif ratio in (1 / 3, 2 / 3, 3 / 2):
            assert row[at] < 0.05, ratio


def test_means_between_places_are_exact_for_straight_lines():
    line = torch.arange(20.0)[None]
    start, stop = torch.tensor([2.0, 3.25]), torch.tensor([4.0, 9.0])
    assert torch.allclose(music_views.mean_between(torch.ones(1, 20), start, stop), torch.ones(1, 2))
    assert torch.allclose(music_views.mean_between(line, start, stop), (start + stop) / 2, atol=0.05)


# the reader


def test_the_shipped_size_stays_small():
    with torch.device("meta"):
        many = tuple(f"i{k}" for k in range(74))
        net = music_reader.MusicReader(
            music_reader.MusicReaderConfig(instruments=many, effects=(), genres=many[:25], modes=many[:5])
        )
    assert 0.5e6 < sum(p.numel() for p in net.parameters()) < 2e6


def test_outputs_have_their_shapes_and_survive_a_file(tmp_path):
    torch.manual_seed(0)
    net = music_reader.MusicReader(TINY).eval()
    x = tones(440, 660).expand(3, 2, -1)
    heard = net(x)
    assert heard.sounds.shape == (3, 4) and heard.genre.shape == (3, 2) and heard.key.shape == (3, 12, 2)
    assert heard.tempo.shape == (3, 100) and heard.features.shape == (3, 16)
    file = tmp_path / "reader.safetensors"
    about = {"kind": "music_reader", "config": config.plain(TINY)}
    music_reader.weights.save(file, net.state_dict(), about)
    again = music_reader.load(file)(x)
    assert all(torch.equal(getattr(heard, k), getattr(again, k)) for k in vars(heard))
    with pytest.raises(ValueError, match=r"a window is \[B, C, 65536\]"):
        net(x[..., :-1])
    with pytest.raises(ValueError, match="window is 60000 samples; it must be a multiple of"):
        replace(TINY, window=60_000)


def test_long_sounds_are_heard_to_their_end():
    sound = torch.arange(1, 2.4 * WINDOW)[None]
    parts = music_reader.windows(sound, WINDOW)
    assert len(parts) == 3 and all(p.shape == (2, WINDOW) for p in parts)
    assert parts[0][0, 0] == sound[0, 0] and parts[-1][1, -1] == sound[0, -1]
    (short,) = music_reader.windows(sound[:, :100], WINDOW)
    assert torch.equal(short[1, :100], sound[0, :100]) and not short[:, 100:].any()
    with pytest.raises(ValueError, match="a sound is"):
        music_reader.windows(torch.zeros(2, 0), WINDOW)
    net = music_reader.MusicReader(TINY).eval()
    alone, both = music_reader.read(net, [tones(330)[0]]), music_reader.read(net, [tones(550)[0], tones(330)[0]], 1)
    assert both[1].drums == pytest.approx(alone[0].drums, abs=1e-6) and both[1].tempo == alone[0].tempo
    assert set(alone[0].instruments) == {"flute", "piano"} and 49 < alone[0].tempo < 225


# questions


def test_only_what_a_caption_says_is_asked(world):
    text = "slow jazz with lead flute and acoustic piano, at 120 bpm, in F# minor, with a swing feel"
    asked = music_score.told(BAND, text, world)
    assert asked == Asked(instruments=("flute", "piano"), among=3, genre="jazz", tempo=120.0, tonic=6, mode="minor")
    assert music_score.told(BAND, "flute, drum kit", world) == Asked(instruments=("flute",), among=3, drums=True)
    assert music_score.told(BAND, "a tune with a swing feel", world) == Asked(among=3)
    without = truth(part("lead", "flute"), part("chords", "piano"), tonal=False)
    assert music_score.told(without, "jazz, no drums", world).drums is False
    assert music_score.told(without, "jazz", world).drums is None
    alone = truth(part("lead", "electric piano"), arrangement="solo")
    assert music_score.told(alone, "solo rhodes", world) == Asked(instruments=("electric piano",), among=1, drums=False)
    both = truth(part("lead", "electric piano"), part("chords", "piano"))
    assert music_score.told(both, "electric piano", world).instruments == ("electric piano",)
    effect = {"kind": "effect", "effects": ["rain", "bell"], "seconds": 5.0}
    assert music_score.told(effect, "rain", world) == Asked(effects=("rain", "bell"))


def test_captions_of_the_world_are_understood(world):
    from mediagen.data.grooves.captions import captions

    rng, asked = np.random.default_rng(0), []
    for i in range(40):
        about = describe(piece(world, 0, i))
        asked += [(about, text, music_score.told(about, text, world)) for text in captions(world, about, rng)]
    for about, text, a in asked:
        assert a.drums in (None, about["drums"]) and set(a.instruments) <= set(music_score.instruments_of(about))
        assert a.tempo == (about["tempo"] if re.search(rf"\b{about['tempo']} (bpm|beats)", text) else None), text
    kinds = {k: sum(getattr(a, k) not in (None, ()) for *_, a in asked) / len(asked) for k in vars(Asked())}
    assert kinds["instruments"] > 0.6 and kinds["drums"] > 0.3 and kinds["genre"] > 0.85
    assert kinds["tempo"] > 0.3 and kinds["tonic"] > 0.1


def reading(asked: Asked, **changed: object) -> music_reader.Reading:
    found = {"instruments": (*asked.instruments, "banjo"), "effects": (*asked.effects, "hum"), "genre": asked.genre}
    found |= {"drums": float(bool(asked.drums)), "tempo": asked.tempo, "tonic": asked.tonic, "mode": asked.mode}
    return music_reader.Reading(**{**found, **changed})


def test_the_truth_itself_is_right_in_everything():
    asked = music_score.all_of(BAND)
    answers = list(music_score.judge(reading(asked), asked))
    assert len(answers) == 11 and all(right for _, right in answers)
    effects = music_score.all_of({"kind": "effect", "effects": ["rain", "bell"], "seconds": 5.0})
    assert list(music_score.judge(reading(effects), effects)) == [("effect", True)] * 2


def test_wrong_answers_are_wrong():
    asked = music_score.all_of(BAND)
    wrong = reading(asked, instruments=("piano", "flute", "harp", "double bass"), drums=0.2, tempo=240.0, tonic=9)
    given = dict(music_score.judge(wrong, asked))
    assert not given["instruments"] and not given["drums"] and given["genre"] and given["mode"]
    assert not given["tempo"] and given["tempo_any_beat"] and not given["key"] and not given["key_and_mode"]
    assert music_score.near(115.3, 120) and not music_score.near(115, 120)


@pytest.mark.slow  # librosa compiles its beat tracker when it is first used: half a minute
def test_librosa_finds_the_tempo_of_clicks():
    pytest.importorskip("librosa")
    sound = torch.zeros(2, 8 * RATE)
    burst = torch.exp(-torch.arange(2000) / 200) * torch.randn(2000, generator=torch.Generator().manual_seed(0))
    for beat in np.arange(0, 7.8, 60 / 112):
        sound[:, round(beat * RATE) : round(beat * RATE) + 2000] += 0.5 * burst
    assert music_score.near(music_score.tracked(sound, RATE), 112)


# training and evaluation


def written(folder: Path, world: GroovesWorld, count: int) -> None:
    """A tiny data set as the builder writes it: jazz with a flute (a low tone), rock with a piano (a high one)."""
    for split in ("train", "heldout"):
        (folder / split / "audio").mkdir(parents=True)
        rng, lines, sounds, start = np.random.default_rng(0), [], [], 0
        for i in range(count):
            low = i % 2 == 0
            about = {"genre": "jazz", "tempo": 90} if low else {"genre": "rock", "tempo": 150, "mode": "major"}
            played = part("lead", "flute" if low else "piano", enters=0.0)
            tone = np.sin(2 * np.pi * (370 if low else 1480) * np.arange(50_000 + 20_000 * (i % 3)) / RATE)
            sound = (9_000 * tone[:, None] + rng.normal(0, 100, (len(tone), 2))).astype(np.int16)
            text = "jazz, solo flute, 90 bpm" if low else "rock, solo piano at 150 bpm"
            tracks = {"mix": {"start": start, "frames": len(sound), "lufs": -18.0, "captions": [text]}}
            lines.append(
                json.dumps({"truth": truth(played, arrangement="solo", **about), "chunk": 0, "tracks": tracks})
            )
            sounds.append(sound)
            start += len(sound)
        np.save(folder / split / "audio" / "00000.npy", np.concatenate(sounds))
        (folder / split / "clips.jsonl").write_text("\n".join(lines) + "\n")
        (folder / split / "progress").write_text(f"{count}\n")
    (folder / "world.json").write_text(json.dumps({"world": config.plain(world)}))


@pytest.fixture(scope="module")
def data(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grooves")
    written(folder, world, 6)
    return folder


def recipe(data: Path, steps: int) -> music_reader_training.MusicReaderRecipe:
    schedule = Schedule(steps=steps, lr=0.01, warmup=1, cooldown=0.01, ema=0.5, checkpoint_every=4, log_every=0)
    sizes = {"window": WINDOW, "widths": (8, 16), "blocks": (1, 1)}
    return music_reader_training.MusicReaderRecipe(data=str(data), batch=4, **sizes, schedule=schedule)


def test_it_learns_and_a_resumed_run_is_one_that_never_stopped(data, tmp_path):
    pytest.importorskip("accelerate")
    straight = [p.losses["reader/loss"] for p in music_reader_training.run(recipe(data, 16), tmp_path / "a")]
    assert sum(straight[-4:]) < 0.6 * sum(straight[:4])
    stopped = music_reader_training.run(recipe(data, 16), tmp_path / "b")
    parts = [next(stopped).losses["reader/loss"] for _ in range(9)]
    stopped.close()
    parts = parts[:8] + [p.losses["reader/loss"] for p in music_reader_training.run(recipe(data, 16), tmp_path / "b")]
    assert parts == pytest.approx(straight, rel=1e-6)
    net = music_reader.load(tmp_path / "a" / "reader.safetensors")
    assert net.config.instruments == ("flute", "piano") and net.config.modes == ("major", "minor")


def test_a_model_that_obeys_scores_as_the_real_renders(data, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = music_reader.MusicReader(TINY).eval()
    clips = music_evaluate.Grooves(data / "heldout")
    known = {clips.captions(i)[0]: i for i in range(6)}

    def generate(prompts, seed, seconds, **options):
        assert seconds == 10 and options == {"steps": 3}
        return [s for p in prompts for s in music_evaluate.heard(clips, np.array([known[p]]), seconds)]

    result = music_evaluate.evaluate(generate, data, count=2, batch=1, reader=net, steps=3)
    assert len(result.made) == 2 and result.asked[0].among == 1 and result.report()["cases"] == 2
    assert result.model.keys() == result.real.keys() and result.model["tempo_cases"] == 2
    assert "| real renders | cases |" in music_evaluate.table(result)
    pipeline = SimpleNamespace(
        rate=RATE, generate=lambda p, **o: [Audio.from_tensor(s, RATE) for s in generate(p, **o)]
    )
    monkeypatch.setattr(music_quality, "load", lambda name: pipeline)
    rows = music_quality.table(data, count=2, sounds=tmp_path / "heard", reader=net, batch=1, steps=3)
    assert rows == music_evaluate.table(result)
    assert sorted(f.name for f in (tmp_path / "heard").iterdir()) == ["1.flac", "2.flac", "prompts.txt", "sheet.png"]
    real = music_evaluate.examine(data, 6, net)
    assert real["instrument_cases"] == 6 and real["key_cases"] == 6
    with pytest.raises(ValueError, match="held-out clips"):
        music_evaluate.evaluate(generate, data, count=4, reader=net)


def test_targets_of_windows_and_stems(data):
    late = truth(part("lead", "flute"), part("chords", "piano", audible=False), part("drums", "jazz", enters=5.0))
    train = music_reader_training
    table = train.tabulate([late, late, late], ["mix", "chords", "drums"], TINY)
    assert table.sounds.tolist() == [[1, -1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]]  # flute, piano, drums, rain
    assert table.tonic.tolist() == [6, 6, -1] and table.genre.tolist() == [0, 0, 0] and table.tempo[0] == 120
    clips, rows = music_evaluate.Grooves(data / "train"), [(0, "mix")] * 3
    x, cut = train.cropped(clips, rows, table, WINDOW, np.random.default_rng(0))
    assert x.shape == (3, 1, WINDOW) and cut.sounds[0].tolist() == [1, -1, 0, 0]  # the drums are not there yet
    assert x[0, 0, 50_000:].abs().max() == 0 and x[0, 0, :50_000].abs().max() > 0.2
    views = music_reader.Views(mel=torch.zeros(3, 1, 8, 16), pitch=torch.zeros(3, 1, 2, 180))
    views.pitch[..., 40] = 1.0
    moved, turned = train.transposed(views, table, 3, train.MusicAugment(), np.random.default_rng(1))
    shift = (moved.pitch[0, 0, 0].argmax() - 40) // 3
    assert turned.tonic[0] == (6 + int(shift)) % 12 and turned.tonic[2] == -1
    heard = music_reader.MusicReader(TINY)(torch.zeros(3, 1, WINDOW))
    parts = train.loss(heard, table, TINY)
    assert set(parts) == {"sounds", "genre", "key", "tempo", "loss"} and all(torch.isfinite(v) for v in parts.values())
