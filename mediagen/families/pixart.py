"""PixArt alpha and sigma: a transformer on a table of eps, a T5, and a second half of its output that is left out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import _adapters as adapters
from . import _schedule as schedules
from .model import Model

LONGEST = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}  # tokens
PIPELINES = tuple(LONGEST)
OPTIONS: dict[str, Any] = {}


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    shape, longest = pipe.transformer.config, LONGEST[type(pipe).__name__]
    sized = type(pipe).__name__ == "PixArtAlphaPipeline" and pipe.transformer.use_additional_conditions

    def encode(texts: list[str]) -> dict[str, Tensor]:
        options = {"do_classifier_free_guidance": False, "clean_caption": cleans(), "max_sequence_length": longest}
        options["device"] = adapters.runs_on(pipe.text_encoder)
        text, mask, *_ = pipe.encode_prompt(texts, **options)
        return {"text": text, "text_mask": mask}

    def told(request: Any, n: int) -> dict[str, Tensor]:
        return size_codes(request.size, n) if sized else {}

    return adapters.picture(
        pipe,
        about,
        sample=shape.sample_size,
        patch=shape.patch_size,
        text=adapters.Texts(encode=encode, spans=[adapters.Span(tokenizer=pipe.tokenizer, length=longest)]),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        told=told,
    )


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    y = transformer(
        x,
        timestep=t,
        encoder_hidden_states=cond["text"],
        encoder_attention_mask=cond["text_mask"],
        added_cond_kwargs={"resolution": cond.get("size"), "aspect_ratio": cond.get("ratio")},
        return_dict=False,
    )[0]
    return y[:, : x.shape[1]]  # the rest is a variance, which no rule asks for


def size_codes(size: tuple[int, ...], n: int) -> dict[str, Tensor]:
    """The size of the picture, (down, across), and its ratio, as the large alpha is told them."""
    across, down = size
    return {
        "size": torch.tensor([[float(down), float(across)]]).repeat(n, 1),
        "ratio": torch.full((n, 1), down / across),
    }


def cleans() -> bool:
    """Whether prompts are cleaned as the published pipeline cleans them, which takes two more packages."""
    from diffusers.utils import is_bs4_available, is_ftfy_available

    return is_bs4_available() and is_ftfy_available()
