"""Checkpoints that are not whole, and files that hold something else: one line that names the place, never chance."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_musicgen
import torch
from safetensors.torch import load_file, save_file
from tiny import scheduler

import mediagen
from mediagen.families import _whole as whole

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


def named(part: str, name: Callable[[str], str]) -> Callable[[Path], None]:
    """The part's weights under other names."""

    def change(folder: Path) -> None:
        [file] = (folder / part).glob("*.safetensors")
        state = {name(old): value.clone() for old, value in load_file(file).items()}
        save_file(state, file, metadata={"format": "pt"})

    return change


def written(file: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / file).write_text(text)


def emptied(part: str, but: str = "") -> Callable[[Path], None]:
    return lambda folder: [file.unlink() for file in (folder / part).iterdir() if file.name != but] and None


def indexed(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["diffusers"]}))


LACKS = (
    r"the weights of the {} are not whole: they have no {}[\w.]+ nor \d+ others, or have other names; fetch its files"
)
BROKEN: dict[
    str, tuple[Callable[[Path], Any], str, bool]
] = {  # what is done to it, what is said, whether of a plan too
    "text encoder": (
        kept("text_encoder", lambda n: "layers.0" not in n),
        LACKS.format("text_encoder", "encoder.layers.0."),
        False,
    ),
    "unet": (kept("unet", lambda n: "mid_block" not in n), LACKS.format("unet", "mid_block."), False),
    "other names": (
        named("text_encoder", lambda name: name.replace("fc1", "up")),
        LACKS.format("text_encoder", r"encoder\.layers\.0\.mlp\.fc1\."),
        False,
    ),
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


def test_musicgen_under_other_names(tmp_path: Path) -> None:
    named("", lambda name: name.replace("encoder_attn", "cross"))(tiny_musicgen.musicgen(tmp_path))
    with pytest.raises(ValueError, match=LACKS.format("decoder", r"model\.decoder\.layers\.0\.encoder_attn\.")):
        mediagen.load(tmp_path)
    with pytest.raises(ValueError, match="is a file or folder, which has no revisions: leave out revision"):
        mediagen.load(tmp_path, revision="main")


def test_names_of_other_releases_are_no_loss(sd: Path, tmp_path: Path) -> None:
    """A prefix and a table that CLIP had once; of T5's one table of words either of its names."""
    folder = Path(shutil.copytree(sd, tmp_path / "older"))
    named("text_encoder", "text_model.{}".format)(folder)
    [file] = (folder / "text_encoder").glob("*.safetensors")
    save_file(load_file(file) | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, file, {"format": "pt"})
    one, other = (mediagen.load(each).generate("a cat", size=16, steps=1, seed=0) for each in (sd, folder))
    assert one.sha256 == other.sha256
    encoder = tiny.t5(tiny.t5_tokenizer(), 0)
    for name in ("shared.weight", "encoder.embed_tokens.weight"):
        encoder.save_pretrained(tmp_path / name)
        named(name, lambda old, name=name: name if old == "shared.weight" else old)(tmp_path)
        made = type(encoder).from_pretrained(tmp_path / name)
        assert whole.lacking(made) == [] and torch.equal(made.encoder.embed_tokens.weight, encoder.shared.weight)


def test_numbers_are_counted_where_no_names_are_told(tmp_path: Path) -> None:
    """Of weights that were laid elsewhere (they have hooks), and by a transformers that marks nothing."""
    encoder = tiny.t5(tiny.t5_tokenizer(), 0)
    encoder.save_pretrained(tmp_path)
    [file] = tmp_path.glob("*.safetensors")
    made = type(encoder).from_pretrained(tmp_path)
    made.encoder._hf_hook = object()
    assert whole.lacking(made) is None
    whole.check("text encoder", made, [file])
    save_file({name: value for name, value in load_file(file).items() if "block.0" not in name}, file)
    with pytest.raises(ValueError, match=r"weights of the text encoder are not whole: \d+ numbers of \d+;"):
        whole.check("text encoder", made, [file])


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
