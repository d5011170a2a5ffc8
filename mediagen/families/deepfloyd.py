"""DeepFloyd IF: pictures in pixel space, the first stage from text, the second from the first one's small picture
(Imagen, arXiv 2205.11487). `cascade.Cascade` runs them after one another; the third stage is `sd_upscale`.

Its networks learned how wide the noise of a step is (arXiv 2102.09672, eq. 15): the second half of what they answer to
the prompt, which is kept until the step takes its noise.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.path import Path
from ..core.rng import Noise
from . import _adapters as adapters
from . import _schedule as schedules
from .model import Enlarging, Model
from .native import Pixels
from .pixart import cleans
from .sd import beside
from .sd_upscale import level

PIPELINES = ("IFPipeline", "IFSuperResolutionPipeline")
OPTIONS = {"safety_checker": None, "feature_extractor": None, "watermarker": None, "requires_safety_checker": False}
LONGEST = 77  # tokens of T5
FACTOR = 4
LEVEL = 250  # of the noise on the small picture, by the published pipeline


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("unet", "text_encoder", "tokenizer", "scheduler"))
    learned = pipe.scheduler.config.get("variance_type") == "learned_range"
    if learned:  # the rest of the schedule is that of the plain kind; diffusers' own pipeline keeps its own
        pipe = copy(pipe)
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, variance_type="fixed_small")
    side, wide = pipe.unet.config.sample_size, Width()

    def encode(texts: list[str]) -> dict[str, Tensor]:
        place = adapters.runs_on(pipe.text_encoder)
        options = {"do_classifier_free_guidance": False, "device": place, "clean_caption": cleans()}
        return {"text": pipe.encode_prompt(texts, **options)[0]}

    parts = second(pipe) if type(pipe).__name__ == "IFSuperResolutionPipeline" else {"told": asked}
    return adapters.model(
        pipe,
        about,
        modality="image",
        autoencoder=Pixels(),
        size=(side, side),
        multiple=2 ** (len(pipe.unet.config.block_out_channels) - 1),
        text=adapters.Texts(encode=encode, spans=[adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST)]),
        denoiser=adapters.denoiser(adapters.Net(pipe.unet, wide.call), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        contrast=lambda cond: cond | {"asked": torch.zeros_like(cond["asked"])},
        widened=wide.widened if learned else None,
        **parts,
    )


def asked(request: Any, n: int) -> dict[str, Tensor]:
    """[n]: 1 for what is asked for, and 0 for what guidance leads away from: whose answer the width is taken of."""
    return {"asked": torch.ones(n)}


def second(pipe: Any) -> dict[str, Any]:
    """What the second stage is shown and told: the small picture at its own size, noised, and how much."""
    levels = pipe.image_noising_scheduler.config.num_train_timesteps

    def told(request: Any, n: int) -> dict[str, Tensor]:
        return asked(request, n) | {"level": level(request.strength, levels).repeat(n)}

    def shown(job: Any, noise: Noise) -> dict[str, Tensor]:
        large = F.interpolate(job.context, job.grid, mode="bilinear", align_corners=True)
        large = large.expand(len(job.requests), -1, -1, -1)
        told = level(job.requests[0].strength, levels)
        return {"shown": pipe.image_noising_scheduler.add_noise(large, noise(0, large), told)}

    enlarges = Enlarging(factor=FACTOR, strength=LEVEL / levels)
    return {"told": told, "shown": shown, "enlarges": enlarges, "drawn": lambda g, request: StartFirst(generator=g)}


@dataclass(frozen=True, kw_only=True, eq=False)
class StartFirst:
    """The noise of a generator from which what starts the batch is drawn before what is put on the small picture."""

    generator: torch.Generator
    kept: list[Tensor] = field(default_factory=list)

    def __call__(self, step: int, like: Tensor) -> Tensor:
        return self.kept.pop() if self.kept else torch.randn(like.shape, generator=self.generator, dtype=like.dtype)

    def of(self, purpose: str) -> Any:
        return self._after if purpose == "shown" else self

    def _after(self, step: int, like: Tensor) -> Tensor:
        start, own = self(step, like), self(step, like)
        self.kept.append(start)
        return own


@dataclass(kw_only=True, eq=False)
class Width:
    """How wide the network last said that noise is: 0 as wide as that of the plain step, 1 as that of the whole step's
    beta, [B, C, *grid]. several: whether it was asked more than once at one time, of other prompts or places."""

    last: Tensor | None = None
    time: float = -1.0
    several: bool = False

    def call(self, unet: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        options = {"encoder_hidden_states": cond["text"], "class_labels": cond.get("level")}
        y = unet(beside(x, cond), t, **options, return_dict=False)[0]
        rows = cond["asked"] > 0.5
        if bool(rows.any()):
            self.last = (y[rows, x.shape[1] :].float().cpu() + 1) / 2
            self.several, self.time = float(t.max()) == self.time, float(t.max())
        return y[:, : x.shape[1]]

    def widened(self, noise: Noise, path: Path, times: Tensor) -> Callable[[int, Tensor], Tensor]:
        """The variance of a step goes from s'^2 (1 - snr / snr') to 1 - alpha^2 / alpha'^2, a ratio of (s / s')^2."""
        levels, self.time = [path(float(t))[1] for t in times.flatten()], -1.0

        def draw(step: int, like: Tensor) -> Tensor:
            if self.last is None or self.several or self.last.shape != like.shape:
                raise ValueError(
                    "the width of its noise is learned for one prompt and the whole picture: for several, ask for eta=0"
                )
            self.time = -1.0  # a solver that looks ahead is asked at the next time twice
            return noise(step, like) * (levels[step] / levels[step + 1]) ** self.last.to(like)

        return draw
