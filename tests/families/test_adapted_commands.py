"""The commands of clips and of sound put on a model what Python does: LoRA, control networks, learned words."""

import json
from pathlib import Path
from typing import Any

import adapted
import controlled
import pytest
import tiny
import tiny_clips as clips
import tiny_sound as sounds
import torch
from safetensors.torch import save_file
from tiny import scheduler

import mediagen
from mediagen.modalities import video

pytest.importorskip("diffusers")

ATTENTION = ("to_q", "to_k", "to_v")


def told(capsys: pytest.CaptureFixture[str], command: Any, file: str) -> dict[str, Any]:
    """The request that a file carries, whose replay is equal."""
    capsys.readouterr()
    assert command("replay", file) == 0 and "equal" in capsys.readouterr().out
    assert command("show", file) == 0
    shown = capsys.readouterr().out
    return json.JSONDecoder().raw_decode(shown[shown.index("{") :])[0]["mediagen"]


def test_a_clip(tmp_path: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plan = scheduler("DDIMScheduler", **clips.ANIMATED, **clips.LINSPACE)
    folder = clips.animatediff(tmp_path / "model", plan)
    pipe = mediagen.load(folder)
    unet = pipe.model.adapts.parts["unet"]
    lora = adapted.diffusers({"unet": adapted.factors(unet, ATTENTION, 3)}, tmp_path / "lora.safetensors")
    still = mediagen.load(tiny.sd(tmp_path / "still", scheduler("DDIMScheduler", **tiny.DDIM)))
    net = controlled.drawn(tmp_path / "net", "sd", controlled.network(still), 11)
    save_file({"emb_params": torch.ones(2, 32)}, tmp_path / "word.safetensors")
    controlled.picture(1).save(tmp_path / "shown.png")
    put = ("--lora", f"{lora}:0.5", "--word", f"sks={tmp_path / 'word.safetensors'}")
    put += ("--control", f"{net}={tmp_path / 'shown.png'}:0.8", "--hint", "luminance")
    plain = ("video", "a sks cat", "--model", str(folder), "--size", "16", "--steps", "2", "--seed", "1")
    assert command(*plain, *put, "-o", "led.mkv") == 0 and command(*plain, "-o", "plain.mkv") == 0
    asked = told(capsys, command, "led.mkv")
    assert [(one["path"], one["weight"]) for one in asked["lora"]] == [(str(lora), 0.5)]
    hinted = asked["control"][0]
    assert (hinted["hint"], hinted["weight"], asked["words"][0]["word"]) == ("luminance", 0.8, "sks")
    frames = [video.load(file).frames for file in ("led.mkv", "plain.mkv")]
    assert (frames[0] != frames[1]).any()
    assert command(*plain, "--hint", "canny", "-o", "wrong.mkv") == 2
    assert "--hint needs --control" in capsys.readouterr().err


def test_a_sound(tmp_path: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sounds.stable_audio(tmp_path / "model", scheduler("CosineDPMSolverMultistepScheduler", **sounds.COSINE))
    network = mediagen.load(folder).model.adapts.parts["transformer"]
    lora = adapted.peft(adapted.factors(network, ATTENTION, 3), tmp_path / "lora", r=4, lora_alpha=4)
    plain = ("--model", str(folder), "--seconds", "0.5", "--steps", "2", "--seed", "1", "--lora", f"{lora}:0.5")
    for name in ("audio", "live"):
        assert command(name, "a piano", *plain, "-o", f"{name}.flac") == 0
    asked = told(capsys, command, "audio.flac")
    assert [(one["path"], one["weight"]) for one in asked["lora"]] == [(str(lora), 0.5)]


def test_files_of_a_variant(tmp_path: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By each command that loads a model; one that has none of it, or is none of diffusers', is one line."""
    halves = ("unet", "transformer")
    folders = {"image": tiny.sd(tmp_path / "image", scheduler("DDIMScheduler", **tiny.DDIM))}
    plan = scheduler("CosineDPMSolverMultistepScheduler", **sounds.COSINE)
    folders["audio"] = folders["live"] = sounds.stable_audio(tmp_path / "audio", plan)
    folders["video"] = tiny.wan(tmp_path / "video", scheduler("UniPCMultistepScheduler", **tiny.FLOWING))
    for file in [file for folder in {*folders.values()} for part in halves for file in (folder / part).glob("*.saf*")]:
        file.rename(file.with_suffix(".fp16.safetensors"))
    own = {"image": ("--size", "16"), "video": ("--size", "16", "--seconds", "0.5")}
    endings = {"image": "png", "audio": "flac", "live": "flac", "video": "mkv"}
    for name, folder in folders.items():
        told = (name, "a cat", "--model", str(folder), "--steps", "1", "-o", f"{name}.{endings[name]}")
        told += own.get(name, ("--seconds", "0.2"))
        assert command(*told) == 2 and "say variant='fp16'" in capsys.readouterr().err
        assert command(*told, "--variant", "fp16") == 0, capsys.readouterr().err
        assert command(*told, "--variant", "fp32") == 2
    capsys.readouterr()
    assert command("image", "a cat", "--variant", "fp16") == 2
    assert "variant is for published checkpoints" in capsys.readouterr().err
