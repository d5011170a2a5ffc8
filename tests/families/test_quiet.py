"""A library does not print: nothing of diffusers' and transformers' own, and what goes wrong is one error."""

import importlib.util
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import test_image_prompts as prompts
import tiny
import tiny_clips as clips
import tiny_musicgen
from tiny import scheduler

import mediagen

pytest.importorskip("diffusers")

FLOW, LONG = "FlowMatchEulerDiscreteScheduler", " ".join(["a red cat"] * 60)


def test_a_long_prompt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The tokenizer's own warning is not heard beside the error, nor diffusers' where one text encoder of two reads
    less than the other, as published."""
    pipe = mediagen.load(tiny.sd(tmp_path / "sd", scheduler("DDIMScheduler", **tiny.DDIM)))
    both = mediagen.load(tiny.flux(tmp_path / "flux", scheduler(FLOW, **tiny.FLUX)))
    capfd.readouterr()
    with pytest.raises(ValueError, match="the limit is 77"):
        pipe.generate(LONG, size=16, steps=1)
    both.generate(LONG, size=16, steps=1)
    assert capfd.readouterr() == ("", "")


def test_an_image_prompt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pipe = mediagen.load(tiny.sd(tmp_path / "sd", scheduler("DDIMScheduler", **tiny.DDIM)))
    (tmp_path / "ip").mkdir()
    file = prompts.adapter(tmp_path / "ip", pipe.model.adapts.parts["unet"], 21)
    capfd.readouterr()
    pipe.generate("a cat", size=16, steps=1, image_prompt=(file, prompts.picture(1)))
    assert capfd.readouterr() == ("", "")


def test_mochi_on_a_cpu(tmp_path: Path) -> None:
    """Its network asks for an autocast that CPUs have not."""
    pipe = mediagen.load(clips.mochi(tmp_path / "mochi", scheduler(FLOW, **clips.MOCHI)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.generate("a cat", size=16, steps=2)


def test_weights_that_are_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tiny.sd(tmp_path / "sd", scheduler("DDIMScheduler", **tiny.DDIM))
    file = next((folder / "unet").glob("*.safetensors"))
    file.rename(file.with_suffix(".fp16.safetensors"))
    with pytest.raises(ValueError, match=r"unet has weights of variants alone: say variant='fp16'"):
        mediagen.load(folder)
    file.with_suffix(".fp16.safetensors").unlink()
    capfd.readouterr()
    with pytest.raises(ValueError, match=r"cannot load the checkpoint .* no file named .*unet") as caught:
        mediagen.load(folder)
    assert capfd.readouterr() == ("", "") and "\n" not in str(caught.value)


def test_an_index_without_its_class(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    with pytest.raises(ValueError, match="no model index: it must be a mapping with _class_name"):
        mediagen.load(tmp_path)


def test_musicgen_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, there = tiny_musicgen.musicgen(tmp_path / "musicgen"), importlib.util.find_spec

    def spec(name: str, *rest: Any) -> Any:
        return None if name == "transformers" else there(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", spec)
    for opened in (mediagen.load, mediagen.plan):
        with pytest.raises(ValueError, match=r"need transformers: pip install 'mediagen\[published\]'"):
            opened(folder)


def test_what_is_no_model(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "flux.gguf")
    with pytest.raises(ValueError, match="a model is a name or a path, not None"):
        mediagen.load(None)
    for wrong in (tmp_path, tmp_path / "flux.gguf"):
        with pytest.raises(ValueError, match=r"unknown model .* nor a model's folder \(with card.yaml, model_index"):
            mediagen.load(wrong)
