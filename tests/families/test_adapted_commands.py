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
