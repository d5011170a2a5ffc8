"""Checkpoints that are not whole, and files that hold something else: one line that names the place, never chance."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny import scheduler

import mediagen

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("PNDMScheduler", **tiny.PNDM))


def kept(part: str, keep: Callable[[str], bool]) -> Callable[[Path], None]:
    """The part's weights, but for some of them."""

    def change(folder: Path) -> None:
        [file] = (folder / part).glob("*.safetensors")
        state = {name: value for name, value in load_file(file).items() if keep(name)}
        save_file(state, file, metadata={"format": "pt"})

    return change


def written(file: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / file).write_text(text)


def emptied(part: str, but: str = "") -> Callable[[Path], None]:
    return lambda folder: [file.unlink() for file in (folder / part).iterdir() if file.name != but] and None


def indexed(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["diffusers"]}))


WHOLE = r"the weights of its {} are not whole: \d+ numbers of \d+; fetch its files again$"
BROKEN: dict[
    str, tuple[Callable[[Path], Any], str, bool]
] = {  # what is done to it, what is said, whether of a plan too
    "text encoder": (kept("text_encoder", lambda n: "layers.0" not in n), WHOLE.format("text_encoder"), False),
    "unet": (kept("unet", lambda n: "mid_block" not in n), WHOLE.format("unet"), False),
    "no json": (written("unet/config.json", "{oops"), r"unet/config.json is no readable configuration: ", True),
    "a list": (
        written("unet/config.json", "[1]"),
        r"unet/config.json is no configuration: it must be a mapping$",
        True,
    ),
    "no tokenizer": (emptied("tokenizer"), "its tokenizer has no vocabulary: files of it are missing$", True),
    "no words": (emptied("tokenizer", "tokenizer_config.json"), "its tokenizer has no vocabulary", True),
    "index": (indexed, r"is no model index: unet is \['diffusers'\], and must be a library and a class$", True),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_line_names_it(name: str, sd: Path, tmp_path: Path) -> None:
    change, said, planned = BROKEN[name]
    folder = Path(shutil.copytree(sd, tmp_path / "broken"))
    change(folder)
    for use in (mediagen.load, *([mediagen.plan] if planned else [])):
        with pytest.raises(ValueError, match=said) as found:
            use(folder)
        assert "\n" not in str(found.value)


def test_more_than_is_needed_is_no_harm(sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "more"))
    [file] = (folder / "unet").glob("*.safetensors")
    save_file(load_file(file) | {"ema_step": torch.zeros(3)}, file, metadata={"format": "pt"})
    one, other = (mediagen.load(each).generate("a cat", size=16, steps=1, seed=0) for each in (sd, folder))
    assert one.sha256 == other.sha256


@pytest.mark.parametrize("shape", [(2, 3, 32), (), (0, 32)])
def test_what_is_no_learned_word(shape: tuple[int, ...], sd: Path, tmp_path: Path) -> None:
    save_file({"sks": torch.zeros(shape)}, tmp_path / "sks.safetensors")
    with pytest.raises(ValueError, match=r"a learned word is one vector, or several as \[n, width\]$"):
        mediagen.load(sd).job("sks", words=tmp_path / "sks.safetensors")


def test_what_a_plan_is_not_asked(sd: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for arguments, said in (
        ((str(sd), "--seconds", "5"), "makes image, which has no seconds: leave it out"),
        (("mini-audio", "--size", "64"), "makes audio, which has no size: leave it out"),
        ((str(sd), "--revision", "main"), "is no repository, and has no revisions: leave out revision"),
        ((str(sd), "--memory", "-1"), "memory must be gigabytes above 0, not -1.0"),
    ):
        assert command("plan", *arguments) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert line.endswith(said)
