"""The command of video, as a user meets it; in this process, with a model that is loaded already."""

import json
from pathlib import Path

import numpy as np
import pytest

import mediagen
from mediagen.modalities import audio, image, video


@pytest.fixture(scope="module")
def pipeline(tiny_video):
    return mediagen.load(tiny_video)


@pytest.fixture
def run(pipeline, monkeypatch, command):
    """Runs a command with the tiny model at hand."""
    monkeypatch.setitem(mediagen._loaded, "tiny-video", pipeline)
    return command


MODEL = ("--model", "tiny-video")


def frames(name: str) -> np.ndarray:
    return video.load(name).frames


def test_video_show_replay(run, capsys, tmp_path: Path) -> None:
    assert run("video", "a cat", "-o", "clip.mp4", "--seconds", "1.5", "--seed", "4", "--motion", "0.5", *MODEL) == 0
    assert "clip.mp4  seed 4" in capsys.readouterr().out
    assert run("show", "clip.mp4", "--plot", "sheet.png") == 0
    told = capsys.readouterr().out
    assert '"motion": 0.5' in told and "32x32 pixels, 12 frames, 1.50 s" in told
    assert run("replay", "clip.mp4", "-o", "again.mkv") == 0
    assert "equal: every pixel is the same" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.mkv", "clip.mp4", "sheet.png"]
    assert run("video", "a cat", "-o", "two.webm", "-n", "2", "--steps", "1", *MODEL) == 0
    assert sorted(p.name for p in tmp_path.glob("*.webm")) == ["two-01.webm", "two-02.webm"]


def test_edits_from_the_command_line(run, capsys) -> None:
    assert run("video", "a cat", "-o", "a.mkv", "--seed", "1", *MODEL) == 0
    source = frames("a.mkv")
    image.Image(source[3]).save("first.png")
    image.Image(source[9]).save("last.png")
    white = np.zeros((32, 32, 3), np.uint8)
    white[:, 16:] = 255
    image.Image(white).save("mask.png")
    assert run("video", "a dog", "--first", "first.png", "--last", "last.png", "-o", "b.mkv", *MODEL) == 0
    made = frames("b.mkv")
    assert len(made) == 14 and np.array_equal(made[0], source[3]) and np.array_equal(made[-1], source[9])
    assert run("video", "a dog", "--from", "a.mkv", "--right", "1", "-o", "c.mkv", *MODEL) == 0
    assert np.array_equal(frames("c.mkv")[:17], source) and len(frames("c.mkv")) == 25
    assert run("video", "a dog", "--from", "a.mkv", "--mask", "mask.png", "-o", "d.mkv", *MODEL) == 0
    assert np.array_equal(frames("d.mkv")[:, :, :16], source[:, :, :16])
    assert run("video", "a dog", "--from", "a.mkv", "--start", "0.5", "--end", "1", "-o", "e.mkv", *MODEL) == 0
    assert np.array_equal(frames("e.mkv")[8:], source[8:])
    assert run("video", "a dog", "--from", "a.mkv", "--interpolate", "2", "-o", "f.mkv", *MODEL) == 0
    assert np.array_equal(frames("f.mkv")[::2], source) and video.load("f.mkv").rate == 16
    assert run("video", "a dog", "--from", "a.mkv", "--size", "16", "-o", "g.gif", *MODEL) == 0
    audio.Audio(np.full((1, 24000), 0.1, np.float32), 8000).save("tone.wav")
    assert run("video", "a wheel", "--loop", "--seconds", "1", "--sound", "tone.wav", "-o", "h.mkv", *MODEL) == 0
    assert run("video", "a wheel", "--from", "h.mkv", "--mute", "--steps", "1", "-o", "j.gif", *MODEL) == 0
    assert video.load("h.mkv").count == 8 and video.load("h.mkv").sound.seconds == pytest.approx(1.0)
    assert run("video", "a cat", "--seconds", "3", "--then", "2 a dog", "-o", "i.mp4", *MODEL) == 0
    asked = json.loads(video.load("i.mp4").metadata)["mediagen"]
    assert asked["timeline"] == [[0.0, "a cat"], [2.0, "a dog"]]
    assert run("replay", "h.mkv") == run("replay", "f.mkv") == run("replay", "b.mkv") == 0


def test_going_on_prints_how_far_it_drifts(run, capsys) -> None:
    assert run("video", "a cat", "--continue", "--seconds", "6", "--seed", "2", "-o", "long.mkv", *MODEL) == 0
    told = capsys.readouterr()
    assert "long.mkv  seed 2" in told.out and "real-time factor" in told.err
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == ["colour", "sharpness", "change"]
    assert len(frames("long.mkv")) == 48 and run("replay", "long.mkv") == 0
    capsys.readouterr()
    assert run("video", "a cat", "--seconds", "6", "--seed", "2", "-o", "windows.mkv", *MODEL) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("sharpness ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "0"], "seconds must be from 0.125"),
        (["--seconds", "99999999"], "seconds must be from 0.125"),
        (["--size", "33"], "size 33x33 must be multiples of 16"),
        (["--fps", "0"], "fps must be from 1 to 60"),
        (["--motion", "2"], "motion must be from 0 to 1"),
        (["--from", "empty.mp4"], "empty.mp4"),
        (["--from", "broken.mp4"], "broken.mp4"),
        (["--from", "text.mp4"], "text.mp4"),
        (["--from", "odd.mkv"], "size 20x30 must be multiples of 16"),
        (["--from", "tone.wav"], "tone.wav"),
        (["--from", "a.mkv", "--mask", "small.png"], "mask is 16x16, the clip 32x32"),
        (["--from", "a.mkv", "--start", "2", "--end", "1"], "not 2 to 1"),
        (["--from", "a.mkv", "--start", "2"], "--end"),
        (["--from", "a.mkv", "--interpolate", "3"], "factor must be 2 or 4"),
        (["--from", "a.mkv", "--loop"], "its own length"),
        (["--first", "small.png", "--last", "large.png"], "first picture is 16x16, the last one 32x32"),
        (["--first", "a.mkv"], "a.mkv"),
        (["--right", "1"], "--right needs --from"),
        (["--interpolate", "2"], "--interpolate needs --from"),
        (["--strength", "0.5"], "--strength needs --from"),
        (["--sound", "text.mp4"], "text.mp4"),
        (["-o", "clip.xyz"], "unknown ending '.xyz'"),
        (["-o", "clip.gif", "--sound", "tone.wav"], "GIF holds no sound"),
        (["-o", "nowhere/clip.mp4"], "nowhere"),
        (["--then", "a dog runs"], "--then"),
        (["--continue", "--from", "a.mkv"], "--from is of a clip that is made whole"),
        (["--continue", "-n", "2"], "-n is of a clip that is made whole"),
        (["--mute"], "--mute is of the sound"),
        (["--from", "heard.mkv", "-o", "clip.gif"], "add --mute"),
        (["--model", "nothing-like-it"], "unknown model 'nothing-like-it'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, capsys, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    (tmp_path / "text.mp4").write_text("no video at all\n" * 40)
    video.Video(np.zeros((3, 30, 20, 3), np.uint8), 8.0).save(tmp_path / "odd.mkv")
    video.Video(np.zeros((17, 32, 32, 3), np.uint8), 8.0).save(tmp_path / "a.mkv")
    audio.Audio(np.full((1, 24000), 0.1, np.float32), 8000).save(tmp_path / "tone.wav")
    heard = video.Video(np.zeros((17, 32, 32, 3), np.uint8), 8.0).with_sound(tmp_path / "tone.wav")
    heard.save(tmp_path / "heard.mkv")
    for name, side in (("small.png", 16), ("large.png", 32)):
        image.Image(np.zeros((side, side, 3), np.uint8)).save(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    model = () if "--model" in arguments else MODEL
    assert run("video", "a cat", *model, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0] and sorted(tmp_path.iterdir()) == before
