"""Stable Diffusion 1.5's architecture at 512x512 with guidance on a CPU: diffusers, in float32 and bfloat16, and ours.

Weights are random, drawn from a seed, of the sizes that were published. They are kept in bfloat16, so that each side
has the same numbers. Each side is a process of its own, as its user would have it: ours as the commands are (they keep
the C allocator's buffers), diffusers' without. The two that compute in bfloat16 take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from .document import row
from .fresh import machine

PROMPT, SIZE, STEPS, ROUNDS = "a red cat", 512, 3, 2
SIDES = {"diffusers float32": "float32", "diffusers bfloat16": "bfloat16", "mediagen, dtype='auto'": "auto"}
GOAL = "Goal on two cores: 5.0 s a step at under 2 % error."
CODE = "from mediagen.bench import sd_cpu; sd_cpu.answer()"
UNET = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}  # the rest is its class's default
LEVELS = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
PLAN = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
PLAN |= {"clip_sample": False, "set_alpha_to_one": False}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One walk of a side: wall and processor seconds of its best step, and where its latents and what its network said
    of the same inputs lie."""

    seconds: float
    work: float
    file: str


@dataclass(kw_only=True, eq=False)
class Side:
    """A process that has loaded the checkpoint, and walks when it is asked."""

    dtype: str
    folder: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        asked = [sys.executable, "-c", CODE, self.dtype, str(self.folder)]
        self.process = subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._heard()  # it has loaded

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()

    def turn(self, steps: int) -> Turn:
        """ValueError if its process has ended."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return Turn(**json.loads(self._heard()))

    def _heard(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise ValueError(f"the side in {self.dtype} has ended before it answered: its words are above")
        return line


def table(steps: int = STEPS, rounds: int = ROUNDS, **smaller: Mapping[str, Any]) -> str:
    """The markdown table; some minutes, and 8 GB of memory. smaller: other sizes of unet, vae and text."""
    with tempfile.TemporaryDirectory(prefix="mediagen-bench-") as place:
        checkpoint(Path(place), **smaller)
        whole, *others = SIDES.items()
        turns = dict(_turns(Path(place), [whole], steps, 1)) | dict(_turns(Path(place), others, steps, rounds))
        head = ["", "s a step", "processor s", "times as quick", "error of the network", "of the latents"]
        lines = [row(head), row(["---"] * len(head)), *_rows(turns)]
    return "\n".join([*lines, "", f"{GOAL} {machine()}"])


def _turns(folder: Path, sides: Sequence[tuple[str, str]], steps: int, rounds: int) -> Iterator[tuple[str, list[Turn]]]:
    """Sides side by side, taking turns -> their names, and their turns."""
    with ExitStack() as stack:
        open_now = {name: stack.enter_context(Side(dtype=dtype, folder=folder)) for name, dtype in sides}
        found: dict[str, list[Turn]] = {name: [] for name in open_now}
        for _ in range(rounds):
            for name, side in open_now.items():
                found[name].append(side.turn(steps))
    yield from found.items()


def _rows(turns: Mapping[str, Sequence[Turn]]) -> Iterator[str]:
    first = next(iter(turns.values()))[0]
    slowest = min(turn.seconds for turn in turns[next(iter(turns))])
    for name, made in turns.items():
        seconds, work = min(turn.seconds for turn in made), min(turn.work for turn in made)
        apart = [f"{100 * error:.2f} %" for error in _apart(made[0].file, first.file)]
        yield row([name, f"{seconds:.2f}", f"{work:.2f}", f"{slowest / seconds:.2f}", *apart])


def _apart(one: str, other: str) -> list[float]:
    """The relative distances of what two sides said."""
    import torch

    pairs = zip(torch.load(one), torch.load(other), strict=True)
    return [float((mine - theirs).norm() / theirs.norm()) for mine, theirs in pairs]


def answer() -> None:
    """A side's process: reads numbers of steps, writes what a walk of so many took."""
    import torch

    dtype, folder = sys.argv[1:]
    walk, network = (_mine if dtype == "auto" else _theirs)(Path(folder), dtype)
    drawn = torch.Generator().manual_seed(1)
    x, text = torch.randn(2, 4, SIZE // 8, SIZE // 8, generator=drawn), torch.randn(2, 77, 768, generator=drawn)
    told = None
    _say({"loaded": True})
    for line in sys.stdin:
        marks: list[tuple[float, float]] = []
        with torch.no_grad():
            told = network(x, torch.tensor([500.0, 500.0]), text).float() if told is None else told
            last = walk(int(line), lambda marks=marks: marks.append((time.perf_counter(), time.process_time())))
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)]
        file = Path(folder) / f"{dtype}.pt"
        torch.save([told, last.float()], file)
        seconds, work = (min(each) for each in zip(*steps, strict=True))
        _say({"seconds": seconds, "work": work, "file": str(file)})


def _say(what: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _noise() -> Any:
    import torch

    return torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(0))


def _mine(folder: Path, dtype: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(a walk, the network) as `mediagen image --model FOLDER` has them."""
    import mediagen
    from mediagen.cli.allocator import keep_buffers

    keep_buffers()
    pipe = mediagen.load(folder, dtype=dtype, preview=False)
    denoiser = pipe.model.denoiser

    def walk(steps: int, mark: Callable[[], None]) -> Any:
        job = pipe.job(PROMPT, size=SIZE, steps=steps, noise=_noise())
        for state in pipe.walk(job, pipe.asked(job)):
            mark()
            last = state.x
        return last

    return walk, lambda x, t, text: denoiser.net(x.to(denoiser.dtype), t, {"text": text})


def _theirs(folder: Path, dtype: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The same of diffusers' own pipeline."""
    import torch
    from diffusers import StableDiffusionPipeline

    from mediagen.families._quiet import quiet

    kind, plain = getattr(torch, dtype), {"local_files_only": True, "safety_checker": None}
    with quiet():
        pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=kind, **plain)
    pipe.set_progress_bar_config(disable=True)

    def walk(steps: int, mark: Callable[[], None]) -> Any:
        def marked(*given: Any) -> Any:
            mark()
            return given[-1]

        told = {"latents": _noise().to(kind), "num_inference_steps": steps, "height": SIZE, "width": SIZE}
        told |= {"output_type": "latent", "callback_on_step_end": marked, "return_dict": False}
        return pipe(PROMPT, **told)[0]

    return walk, lambda x, t, text: pipe.unet(x.to(kind), t, text.to(kind), return_dict=False)[0]


def checkpoint(folder: Path, unet: Any = (), vae: Any = (), text: Any = ()) -> None:
    """A checkpoint in diffusers' layout with random weights in bfloat16. unet, vae, text: sizes other than Stable
    Diffusion's."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from mediagen.families._quiet import quiet

    levels = LEVELS | dict(vae)
    kinds = {
        f"{way}_block_types": (f"{name}coderBlock2D",) * len(levels["block_out_channels"])
        for way, name in (("down", "DownEn"), ("up", "UpDe"))
    }
    tokenizer = _tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    reads = CLIPTextConfig(vocab_size=len(tokenizer), hidden_act="quick_gelu", **ends, **(TEXT | dict(text)))
    with quiet():
        parts = {
            "unet": _drawn(lambda: UNet2DConditionModel(**(UNET | dict(unet))), 1),
            "vae": _drawn(lambda: AutoencoderKL(**kinds, **levels), 2),
            "text_encoder": _drawn(lambda: CLIPTextModel(reads), 3),
            "scheduler": DDIMScheduler(**PLAN),
            "tokenizer": tokenizer,
        }
        absent = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        StableDiffusionPipeline(**parts, **absent).save_pretrained(folder, safe_serialization=True)


def _drawn(make: Callable[[], Any], seed: int) -> Any:
    """A module, with weights through which every input shows: matrices of 1 / sqrt(inputs), norms about 1."""
    import torch

    drawn = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        made = make()
    made = made.to(torch.bfloat16).to_empty(device="cpu")
    for part in made.modules():
        for key, weight in part.named_parameters(recurse=False):
            bound = 0.1 if weight.ndim == 1 else (3 / weight[0].numel()) ** 0.5
            weight.data = torch.empty(weight.shape).uniform_(-bound, bound, generator=drawn).to(weight.dtype)
            if key == "weight" and weight.ndim == 1:
                weight.data += 1
    for part in made.modules():  # the positions that a text encoder counts by are no weights
        if hasattr(part, "position_ids"):
            part.position_ids.copy_(torch.arange(part.position_ids.shape[-1])[None])
    return made


def _tokenizer() -> Any:
    """CLIP's, of letters alone."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)
