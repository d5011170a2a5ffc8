"""The commands of sound, as a user meets them; in this process, with a model that is loaded already."""

import json
import struct
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mediagen
from mediagen.modalities import audio


@pytest.fixture(scope="module")
def pipeline(tiny_audio):
    return mediagen.load(tiny_audio)


@pytest.fixture
def run(pipeline, monkeypatch, command):
    """Runs a command with the tiny model at hand."""
    monkeypatch.setitem(mediagen._loaded, "tiny-audio", pipeline)
    return command


MODEL = ("--model", "tiny-audio")


def test_audio_show_plot_replay(run, capsys, tmp_path: Path) -> None:
    assert run("audio", "a piano", "-o", "clip.flac", "--seconds", "1.5", "--seed", "4", *MODEL) == 0
    assert "clip.flac  seed 4" in capsys.readouterr().out
    assert run("show", "clip.flac", "--plot", "clip.png") == 0
    assert '"seconds": 1.5' in capsys.readouterr().out and (tmp_path / "clip.png").stat().st_size > 1000
    assert run("replay", "clip.flac", "-o", "again.flac") == 0
    assert capsys.readouterr().out.strip() == "equal: every sample is the same"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.flac", "clip.flac", "clip.png"]
    assert run("replay", "clip.flac", "--model", "tiny-audio") == 0 and run("replay", "clip.flac", "--model", "no") == 2
    clip = audio.load("clip.flac")
    replace(clip, metadata=clip.metadata.replace('"seed": 4', '"seed": 5')).save("clip.flac")
    assert run("replay", "clip.flac") == 1 and "not equal: samples differ" in capsys.readouterr().out


def test_edits_from_the_command_line(run, tmp_path: Path) -> None:
    assert run("audio", "drums", "-o", "loop.wav", "--bars", "1", "--bpm", "150", *MODEL) == 0
    source = audio.load("loop.wav")
    assert source.seconds == 1.6
    assert run("audio", "bass", "--from", "loop.wav", "-o", "more.wav", "--right", "1", *MODEL) == 0
    more = audio.load("more.wav")
    assert more.seconds == 2.6 and np.array_equal(more.samples[:, : source.samples.shape[1]], source.samples)
    assert run("audio", "bass", "--from", "loop.wav", "-o", "hole.wav", "--start", "0.5", "--end", "1", *MODEL) == 0
    assert np.array_equal(audio.load("hole.wav").samples[:, 8000:], source.samples[:, 8000:])
    assert run("audio", "bass", "--from", "loop.wav", "-o", "both.wav", "--accompany", "--seed", "1", *MODEL) == 0
    assert (
        run("audio", "bass", "--from", "loop.wav", "-o", "part.wav", "--accompany", "--alone", "--seed", "1", *MODEL)
        == 0
    )
    both, part = (audio.load(name).samples for name in ("both.wav", "part.wav"))
    assert np.abs(both - part - source.samples)[np.abs(both) < 0.99].max() < 1e-4
    assert run("audio", "bass", "--seconds", "3", "--then", "2 drums enter", "-o", "two.wav", *MODEL) == 0
    asked = json.loads(audio.load("two.wav").metadata)["mediagen"]
    assert asked["timeline"] == [[0.0, "bass"], [2.0, "drums enter"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "0"], "seconds must be from 0.5"),
        (["--seconds", "99999999"], "seconds must be from 0.5"),
        (["--from", "empty.wav"], "empty.wav"),
        (["--from", "broken.flac"], "broken.flac"),
        (["--from", "tone.wav", "--start", "2", "--end", "1"], "not 2 to 1"),
        (["--from", "tone.wav", "--start", "2"], "--end"),
        (["--start", "1", "--end", "2"], "--start needs --from"),
        (["-o", "clip.xyz"], "unknown ending '.xyz'"),
        (["-o", "nowhere/clip.wav"], "nowhere"),
        (["--then", "drums enter"], "--then"),
        (["--strength", "0.5"], "--from"),
        (["--accompany"], "--accompany needs --from"),
        (["--from", "tone.wav", "--alone"], "--alone needs --accompany"),
        (["--model", "nothing-like-it"], "unknown model 'nothing-like-it'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, capsys, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "broken.flac").write_bytes(b"fLaC and no more")
    audio.Audio(np.full((1, 24000), 0.1, np.float32), 8000).save(tmp_path / "tone.wav")
    before = sorted(tmp_path.iterdir())
    model = () if "--model" in arguments else MODEL
    assert run("audio", "a piano", *model, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0] and sorted(tmp_path.iterdir()) == before


def test_live_into_a_file_that_replays(run, capsys, tmp_path: Path) -> None:
    assert run("live", "a piano", "-o", "live.flac", "--seconds", "3", "--seed", "2", *MODEL) == 0
    assert "real-time factor" in capsys.readouterr().err
    clip = audio.load("live.flac")
    assert clip.seconds == 3 and run("replay", "live.flac") == 0


def test_live_into_a_pipe(run, capfdbinary) -> None:
    assert run("live", "a piano", "-o", "-", "--seconds", "1", *MODEL) == 0
    sound = capfdbinary.readouterr().out
    assert sound[:4] == b"RIFF" and struct.unpack("<HHI", sound[20:28]) == (1, 2, 8000) and len(sound) == 44 + 8000 * 4


class PortAudioError(Exception):
    pass


def sound_cards(played: list | None) -> types.ModuleType:
    """A stand-in for sounddevice: one card, or (None) none."""
    module = types.ModuleType("sounddevice")

    class OutputStream:
        def __init__(self, samplerate: int, channels: int, dtype: str) -> None:
            assert (samplerate, channels, dtype) == (8000, 2, "float32")

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            pass

        def write(self, samples: np.ndarray) -> None:
            played.append(samples)

    def query_devices(kind: str) -> dict:
        if played is None:
            raise PortAudioError("Error querying device -1")
        return {}

    module.OutputStream, module.query_devices = OutputStream, query_devices
    return module


def test_live_plays(run, monkeypatch) -> None:
    played: list[np.ndarray] = []
    monkeypatch.setitem(sys.modules, "sounddevice", sound_cards(played))
    assert run("live", "a piano", "--seconds", "3", *MODEL) == 0
    assert np.concatenate(played).shape == (24000, 2)


@pytest.mark.parametrize("module", [None, sound_cards(None)])
def test_without_a_sound_card_it_says_so(run, monkeypatch, capsys, module) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    assert run("live", "a piano", "--seconds", "3", *MODEL) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "sound card" in line if module else "pip install sounddevice" in line


def test_lyrics_and_sampling_of_models_that_have_none(run, capsys, tmp_path: Path) -> None:
    """One line each; and lyrics out of a file that is not there."""
    (tmp_path / "song.txt").write_text("la la")
    assert run("audio", "drums", *MODEL, "--lyrics", "@song.txt") == 2
    assert "takes no lyrics" in capsys.readouterr().err
    assert run("audio", "drums", *MODEL, "--lyrics", "@none.txt") == 2
    assert "none.txt is no readable text file" in capsys.readouterr().err
    for option in ("temperature", "top-k", "top-p"):
        assert run("audio", "drums", *MODEL, f"--{option}", "1") == 2
        said = f"{option.replace('-', '_')} is of models that write codes, and tiny-audio is none: leave it out"
        assert said in capsys.readouterr().err
