"""What is constant over the steps of a walk is worked out once, and the result is the same to the bit."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_clips
import tiny_sound
import torch
from tiny import scheduler
from torch import Tensor, nn

import mediagen
from mediagen.families import _constant as constant
from mediagen.nn import lora
from mediagen.pipelines.opening import of

pytest.importorskip("diffusers")

GREY = np.full((16, 16, 3), 128, np.uint8)
CLIP = {"size": 16, "seconds": 5 / 16}
CASES: dict[str, tuple[Callable[..., Path], str, dict[str, Any], dict[str, Any]]] = {
    "sd": (tiny.sd, "DDIMScheduler", tiny.DDIM, {"size": 16}),
    "wan": (tiny.wan, "UniPCMultistepScheduler", tiny.FLOWING, CLIP),
    "wan, picture": (tiny_clips.wan_i2v, "UniPCMultistepScheduler", tiny_clips.WAN, CLIP | {"first": GREY}),
    "wan, two pictures": (
        partial(tiny_clips.wan_i2v, looks=2),
        "UniPCMultistepScheduler",
        tiny_clips.WAN,
        CLIP | {"first": GREY, "last": GREY},
    ),
    "ltx": (tiny.ltx, "FlowMatchEulerDiscreteScheduler", tiny.LTX, {"size": 16, "seconds": 5 / 25}),
    "stable audio": (
        tiny_sound.stable_audio,
        "CosineDPMSolverMultistepScheduler",
        tiny_sound.COSINE,
        {"seconds": 0.15},
    ),
    "mini-image": (Path, "", {}, {}),
    "mini-audio": (Path, "", {}, {"seconds": 2.0}),
}


def opened(name: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    build, plan, settings, options = CASES[name]
    made = build(folder, scheduler(plan, **settings)) if plan else name
    return mediagen.load(made), options


def layers(pipe: Any) -> list[constant.Kept]:
    kept = (vars(module).get("forward") for module in pipe.model.denoiser.net.modules())
    return [layer for layer in kept if isinstance(layer, constant.Kept)]


@torch.no_grad()
def walked(pipe: Any, **options: Any) -> Tensor:
    job = pipe.job("a red cat", steps=3, seed=1, **options)
    *_, last = pipe.walk(job, pipe.asked(job))
    return last.x


@pytest.mark.parametrize("name", CASES)
def test_kept_once_and_equal_to_the_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer is asked once in a walk, with both branches in one batch; and in each step where nothing is kept."""
    pipe, options = opened(name, tmp_path)
    found, asked = layers(pipe), []
    for layer in found:
        monkeypatch.setattr(layer, "forward", lambda *given, plain=layer.forward: asked.append(1) or plain(*given))
    kept, times = walked(pipe, **options), len(asked)
    assert times == len(found) >= 4
    assert all(not layer.answers for layer in found) and found[0].walks.held == 0
    asked.clear()
    plain = walked(of(replace(pipe.model, during=nullcontext)), **options)
    assert torch.equal(kept, plain) and len(asked) == 3 * times


class Attended(nn.Module):
    """A network with a layer that is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.attn2 = nn.Module()
        self.attn2.to_k = nn.Linear(3, 4)


@pytest.fixture
def network() -> Attended:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Attended().eval().requires_grad_(False)


@torch.no_grad()
def test_only_the_same_text_of_the_same_layer_is_kept(network: Attended) -> None:
    during, text, layer = constant.during([network]), torch.ones(1, 2, 3), network.attn2.to_k
    assert layer(text) is not layer(text)  # outside of a walk
    with during(), during():
        first = layer(text)
        assert layer(text) is first and layer(text[:]) is first  # a view of all of it is the same text
        assert layer(text.clone()) is not first and layer(text[:, :1]) is not first
        with lora.attached({layer: lambda given: torch.ones(())}):
            assert torch.equal(layer(text), first + 1)  # beside it
        layer.weight.mul_(2)
        second = layer(text)
        assert not torch.equal(second, first) and torch.equal(second, layer.forward.forward(text))
        text.zero_()
        assert torch.equal(layer(text)[0, 0], layer.bias)
        layer(text).zero_()  # somebody wrote into what was kept
        assert torch.equal(layer(text)[0, 0], layer.bias)
        with torch.enable_grad():
            assert layer(text) is not layer(text)
    assert not layer.forward.answers and layer.forward.walks.held == 0


def test_a_layer_whose_input_changes_is_left_alone(network: Attended) -> None:
    during, layer = constant.during([network]), network.attn2.to_k
    with torch.no_grad(), during():
        for number in range(constant.CHANGING + 1):
            layer(torch.full((1, 2, 3), float(number)))
        assert layer.forward.changing and not layer.forward.answers and layer.forward.walks.held == 0
    assert not layer.forward.changing


def test_a_bound_on_what_is_kept(network: Attended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constant, "ROOM", 40)
    during, layer, texts = constant.during([network]), network.attn2.to_k, torch.ones(2, 1, 2, 3)
    with torch.no_grad(), during():
        first = layer(texts[0])
        assert layer(texts[0]) is first and layer(texts[1]) is not layer(texts[1])
