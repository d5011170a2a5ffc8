"""How often text encoders read: as often as diffusers' own pipelines have them read, with a guidance and without."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_clips
import transformers
from PIL import Image
from tiny import scheduler

import mediagen

pytest.importorskip("diffusers")

PROMPT, AWAY, SIDE = "a red cat of the dog", "the blue dog", 16
READERS = ("CLIPTextModel", "T5EncoderModel", "UMT5EncoderModel", "LlamaModel", "LlavaForConditionalGeneration")
FLOW, UNIPC = "FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler"


@dataclass(frozen=True, kw_only=True)
class Case:
    """readers: its text encoders. frames: of a clip, 0 of a picture. picture: whether it begins with one. told: what
    diffusers calls the scale of a guidance of two branches; None for one that the network is told."""

    build: Callable[..., Path]
    plan: tuple[str, dict[str, Any]]
    readers: tuple[str, ...]
    frames: int = 0
    picture: bool = False
    told: str | None = "guidance_scale"


HUNYUAN, BESIDE = tiny_clips.hunyuan_video, partial(tiny_clips.hunyuan_video_i2v, beside=True)
CASES = {
    "sd": Case(build=tiny.sd, plan=("DDIMScheduler", tiny.DDIM), readers=("CLIPTextModel",)),
    "ltx": Case(build=tiny.ltx, plan=(FLOW, tiny.LTX), readers=("T5EncoderModel",), frames=9),
    "wan": Case(build=tiny.wan, plan=(UNIPC, tiny.FLOWING), readers=("UMT5EncoderModel",), frames=5),
    "hunyuan video": Case(
        build=HUNYUAN,
        plan=(FLOW, tiny_clips.HUNYUAN),
        readers=("LlamaModel", "CLIPTextModel"),
        frames=9,
        told=None,
    ),
    "hunyuan video, picture beside": Case(
        build=BESIDE,
        plan=(FLOW, tiny_clips.HUNYUAN),
        readers=("LlavaForConditionalGeneration", "LlamaModel", "CLIPTextModel"),
        frames=9,
        picture=True,
        told="true_cfg_scale",
    ),
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Class of a text encoder -> prompts that those of it read."""
    counts: Counter[str] = Counter()

    def counted(name: str, plain: Any) -> Any:
        @wraps(plain)
        def forward(self: Any, *given: Any, **options: Any) -> Any:
            words = options.get("input_ids")  # or, of a Llama within a Llava, what stands for them
            counts[name] += len(given[0] if given else options["inputs_embeds"] if words is None else words)
            return plain(self, *given, **options)

        return forward

    for name in READERS:
        kind = getattr(transformers, name)
        monkeypatch.setattr(kind, "forward", counted(name, kind.forward))
    return counts


def shown() -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (200, 30, 40))


def theirs(case: Case, folder: Path, scale: float, negative: str | None) -> None:
    pipe = tiny.published(folder)
    pipe.check_inputs = lambda *_, **__: None
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": 2, "output_type": "latent"}
    size |= {"num_frames": case.frames} if case.frames else {}
    size |= {"image": shown()} if case.picture else {}
    asked = {case.told or "guidance_scale": scale} | ({} if negative is None else {"negative_prompt": negative})
    pipe(prompt=PROMPT, **size, **asked)


def ours(case: Case, pipe: Any, scale: float, negative: str | None, **options: Any) -> Any:
    size = {"seconds": case.frames / pipe.rate} if case.frames else {}
    size |= {"first": shown()} if case.picture else {}
    return pipe.generate(PROMPT, size=SIDE, steps=2, seed=1, guidance=scale, negative=negative, **size, **options)


@pytest.mark.parametrize("name", CASES)
def test_no_more_is_read_than_published(
    name: str, tmp_path: Path, read: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a guidance the prompt alone; with one also the negative prompt, or an empty one."""
    from diffusers.pipelines.wan import pipeline_wan

    monkeypatch.setitem(vars(pipeline_wan), "ftfy", SimpleNamespace(fix_text=str))  # which it does not ask for
    case = CASES[name]
    folder = case.build(tmp_path, scheduler(case.plan[0], **case.plan[1]))
    # HunyuanVideo of diffusers guides by two branches only where a negative prompt is given
    ways = [(1.0, None), (3.0, AWAY if case.picture else None)]
    ways += [(1.0, AWAY), (3.0, AWAY)] if case.told else []
    for scale, negative in ways:
        read.clear()
        theirs(case, folder, scale, negative)
        published = dict(read)
        pipe = mediagen.load(folder)
        read.clear()
        ours(case, pipe, scale, negative)
        branches = 2 if scale != 1 and case.told else 1
        assert dict(read) == published == dict.fromkeys(case.readers, branches), (scale, negative)


def test_what_is_composed_leads_away_from_nothing(tmp_path: Path, read: Counter[str]) -> None:
    """Two prompts have a branch that is told nothing at any scale; what is empty is read once."""
    case = CASES["sd"]
    pipe = mediagen.load(case.build(tmp_path, scheduler(case.plan[0], **case.plan[1])))
    composed = [(PROMPT, 1.0), (AWAY, 0.5)]
    made = [pipe.generate(composed, size=SIDE, steps=2, seed=1, guidance=1.0) for _ in range(2)]
    assert made[0].sha256 == made[1].sha256 and read == {"CLIPTextModel": 5}
