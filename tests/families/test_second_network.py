"""A second guidance, and the time below which it acts, by the commands: of Wan 2.2's two experts, and where it is
refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_ace
import tiny_musicgen

import mediagen
from mediagen.capabilities import card_of
from mediagen.modalities import image, video

pytest.importorskip("diffusers")

ASKED = {"steps": 3, "seed": 5, "guidance": 4.0, "size": 16, "seconds": 5 / 16}
SHARED = ("--steps", "3", "--seed", "5", "--guidance", "4", "--size", "16", "--seconds", str(5 / 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = tiny.scheduler("UniPCMultistepScheduler", **tiny.FLOWING)
    return tiny.wan(tmp_path_factory.mktemp("experts"), plan, experts=2)


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., int]) -> Callable[..., int]:
    """Runs a command with the model of two networks at hand."""
    monkeypatch.setitem(mediagen._loaded, "two-experts", mediagen.load(folder))
    return command


def test_the_command_makes_what_python_makes(run: Callable[..., int], capsys: Any) -> None:
    pipe = mediagen._loaded["two-experts"]
    ways: list[dict[str, Any]] = [{}, {"guidance_2": 2.0}, {"guidance_2": 2.0, "boundary": 0.7}]
    made = []
    for number, way in enumerate(ways):
        told = [text for name, value in way.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        out = f"{number}.mkv"
        assert run("video", "a red cat", *SHARED, *told, "--model", "two-experts", "-o", out) == 0
        made.append(video.load(out).frames)
        assert np.array_equal(made[-1], pipe.generate("a red cat", **ASKED, **way).frames)
    assert not np.array_equal(made[0], made[1]) and not np.array_equal(made[1], made[2])
    walk = json.loads(video.load("2.mkv").metadata)["mediagen"]["walk"]
    assert (walk["guidance_2"], walk["boundary"]) == (2.0, 0.7)
    assert run("replay", "2.mkv") == 0 and "equal: every pixel is the same" in capsys.readouterr().out


def test_the_card_says_where_the_second_network_begins(folder: Path, tmp_path: Path) -> None:
    assert card_of(folder)["boundary"] == 0.875
    one = tiny.sd(tmp_path, tiny.scheduler("DDIMScheduler", **tiny.DDIM))
    assert "boundary" not in card_of(one)


BAD = [
    (("--guidance-2", "101"), "guidance_2 must be from 0 to 100, not 101"),
    (("--guidance-2", "2", "--boundary", "1.5"), "boundary must be a time between 0 and 1, not 1.5"),
    (("--boundary", "0.5"), "boundary (0.5) is the time below which guidance_2 is the scale: give guidance_2 too"),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_what_cannot_be_is_one_line(run: Callable[..., int], capsys: Any, given: tuple[str, ...], said: str) -> None:
    assert run("video", "a red cat", *SHARED, *given, "--model", "two-experts") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0] and not Path("clip.mp4").exists()


def test_a_model_of_one_network_refuses_it(
    command: Callable[..., int], capsys: Any, tmp_path: Path, tiny_audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, which names the value; with a boundary that is given it has a place, and is taken."""
    plan, flow = tiny.scheduler("DDIMScheduler", **tiny.DDIM), "FlowMatchEulerDiscreteScheduler"
    folders = {"sd": tiny.sd(tmp_path / "sd", plan), "tiny-audio": tiny_audio}
    folders["flux"] = tiny.flux(tmp_path / "flux", tiny.scheduler(flow, **tiny.FLUX))
    folders["turbo"] = tiny_ace.ace_step(tmp_path / "turbo", tiny.scheduler(flow, **tiny_ace.PLAN))
    folders["codes"] = tiny_musicgen.musicgen(tmp_path / "codes")
    for name, folder in folders.items():
        monkeypatch.setitem(mediagen._loaded, name, mediagen.load(folder))
    capsys.readouterr()
    told, written = "is told one guidance: leave guidance_2 out", "'guidance_2' is nothing that a model that writes"
    alone = "guidance_2 (2.0) is of a model of two networks; {} has one network: give the boundary"
    for verb, name, said in (
        ("image", "sd", alone.format(mediagen._loaded["sd"].model.name)),
        ("image", "flux", told),
        ("audio", "tiny-audio", alone.format("tiny-audio")),
        ("live", "tiny-audio", alone.format("tiny-audio")),
        ("audio", "turbo", told),
        ("audio", "codes", written),
    ):
        out = "made.png" if verb == "image" else "made.wav"
        assert command(verb, "a dog", "--guidance-2", "2", "--model", name, "-o", out) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and said in lines[0] and not Path(out).exists()
    given = ("--guidance-2", "2", "--boundary", "0.5", "--steps", "2", "--seed", "1", "--size", "16")
    assert command("image", "a dog", *given, "--model", "sd", "-o", "made.png") == 0
    pipe = mediagen._loaded["sd"]
    made = pipe.generate("a dog", size=16, steps=2, seed=1, guidance_2=2.0, boundary=0.5)
    assert np.array_equal(image.load("made.png").pixels, made.pixels)
