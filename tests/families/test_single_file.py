"""A single file is the checkpoint that its weights were saved from: beside its configurations, or by its keys."""

import shutil
from pathlib import Path

import pytest
import single
import tiny
from huggingface_hub import constants
from tiny import scheduler

import mediagen

pytest.importorskip("diffusers")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("PNDMScheduler", **tiny.PNDM))


def configurations(folder: Path, place: Path) -> Path:
    """All of a checkpoint but its weights."""
    return Path(shutil.copytree(folder, place, ignore=shutil.ignore_patterns("*.safetensors")))


def test_a_file_beside_its_configurations(sd: Path, tmp_path: Path) -> None:
    """The pixels of the folder's own; another hash, for a file is another thing; it replays, and is planned."""
    file = single.single(sd, configurations(sd, tmp_path / "one") / "anything.safetensors")
    whole, alone = mediagen.load(sd), mediagen.load(file)
    one, two = (pipe.generate("a red cat", seed=3, steps=3) for pipe in (whole, alone))
    assert (one.pixels == two.pixels).all() and whole.model.hash != alone.model.hash
    assert alone.model.defaults == whole.model.defaults
    two.save(tmp_path / "cat.png")
    assert mediagen.replay(tmp_path / "cat.png").equal
    assert mediagen.plan(file).parameters == mediagen.plan(sd).parameters
    half = mediagen.load(file, dtype="bfloat16")
    assert half.model.hash.endswith("-bfloat16")


def test_a_file_whose_configurations_are_in_the_cache(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are Stable Diffusion's: those of the repository that such files go with, which nobody is asked for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    there = tmp_path / "cache" / "models--stable-diffusion-v1-5--stable-diffusion-v1-5"
    configurations(sd, there / "snapshots" / COMMIT)
    (there / "refs").mkdir()
    (there / "refs" / "main").write_text(COMMIT)
    (tmp_path / "files").mkdir()
    file = single.single(sd, tmp_path / "files" / "model.safetensors")
    one, two = (mediagen.load(source).generate("a red cat", seed=3, steps=3) for source in (sd, file))
    assert (one.pixels == two.pixels).all()


def test_a_file_that_is_cut_short(sd: Path, tmp_path: Path) -> None:
    file = single.single(sd, configurations(sd, tmp_path / "one") / "model.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"^[^\n]*is cut short or damaged: it has \d+ bytes, not \d+; fetch it again$"):
        mediagen.load(file)
