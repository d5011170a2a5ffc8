"""The command as a user meets it: in a process of its own where that shows something, else in this one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import mediagen


def started(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from mediagen.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


@pytest.fixture(scope="module")
def pipeline(tiny_model: Path):
    return mediagen.load(tiny_model)


@pytest.fixture
def run(pipeline, monkeypatch, command):
    """Runs a command with the tiny model at hand."""
    monkeypatch.setitem(mediagen._loaded, "tiny", pipeline)
    return command


def test_help_is_quick_and_loads_no_torch() -> None:
    code = """if True:
        import sys
        from mediagen.cli import main
        try:
            main()
        finally:
            print(sorted({"torch", "numpy", "diffusers"} & set(sys.modules)))
    """
    shown = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    commands = ("image", "audio", "video", "live", "demo", "train", "data", "models", "show", "replay", "bench")
    assert all(word in shown for word in commands)


def test_image_show(tiny_model: Path, tmp_path: Path, run, capsys) -> None:
    made = started("image", "a red ball", "-o", "ball.png", "--model", str(tiny_model), "--seed", "4", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert run("show", "ball.png") == 0
    assert json.loads(capsys.readouterr().out)["mediagen"]["prompts"] == [["a red ball", 1.0]]
    assert list(tmp_path.iterdir()) == [tmp_path / "ball.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nothing-like-it"], "unknown model 'nothing-like-it'"),
        (["--solver", "rk5"], "rk5"),
        (["--method", "magic"], "magic"),
        (["--size", "65"], "65x65"),
        (["--size", "wide"], "'wide'"),
        (["--steps", "-2"], "-2"),
        (["--steps", "many"], "many"),
        (["-o", "picture.tiff"], ".tiff"),
        (["-o", "nowhere/picture.png"], "nowhere"),
        (["--from", "broken.png"], "broken.png"),
        (["--from", "missing.png"], "missing.png"),
        (["--mask", "mask.png"], "--from"),
        (["--colour", "red"], "colour"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, capsys, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    before = sorted(tmp_path.iterdir())
    model = [] if "--model" in arguments else ["--model", "tiny"]
    assert run("image", "a red ball", *model, *arguments) == 2
    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1 and words in told
    assert sorted(tmp_path.iterdir()) == before


def test_corrupt_weights_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
    for file in tiny_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = (tmp_path / "denoiser.safetensors").read_bytes()
    (tmp_path / "denoiser.safetensors").write_bytes(whole[: len(whole) // 2])
    result = started("image", "a red ball", "--model", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1 and "denoiser.safetensors" in result.stderr


def test_show_of_a_foreign_picture(run, capsys, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert run("show", "plain.png") == 2 and "carries no mediagen request" in capsys.readouterr().err
