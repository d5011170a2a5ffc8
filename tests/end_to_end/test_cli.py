"""The command as a user meets it, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from mediagen.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


def test_help_is_quick_and_loads_no_torch() -> None:
    code = "import sys, mediagen, mediagen.cli; print(sorted({'torch', 'numpy', 'diffusers'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    shown = run("--help").stdout
    commands = ("image", "audio", "video", "live", "demo", "train", "data", "models", "show", "replay", "bench")
    assert all(word in shown for word in commands)


def test_image_show_replay(tiny_model: Path, tmp_path: Path) -> None:
    made = run("image", "a red ball", "-o", "ball.png", "--model", str(tiny_model), "--seed", "4", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    shown = run("show", "ball.png", cwd=tmp_path)
    assert json.loads(shown.stdout)["mediagen"]["prompts"] == [["a red ball", 1.0]]
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
def test_bad_input_is_one_line_and_exit_code_2(tiny_model, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    before = sorted(tmp_path.iterdir())
    model = [] if "--model" in arguments else ["--model", str(tiny_model)]
    result = run("image", "a red ball", *model, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1 and words in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_corrupt_weights_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
    for file in tiny_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = (tmp_path / "denoiser.safetensors").read_bytes()
    (tmp_path / "denoiser.safetensors").write_bytes(whole[: len(whole) // 2])
    result = run("image", "a red ball", "--model", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 2 and "denoiser.safetensors" in result.stderr and "Traceback" not in result.stderr


def test_show_of_a_foreign_picture(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    result = run("show", "plain.png", cwd=tmp_path)
    assert result.returncode == 2 and "carries no mediagen request" in result.stderr
