"""Stable Diffusion 3 and 3.5: a transformer on the straight path, two CLIPs and a T5 that may be left out."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from . import _adapters as adapters
from . import _schedule as schedules
from .model import Model
from .sd import token_span

PIPELINES = ("StableDiffusion3Pipeline",)
OPTIONS = {"feature_extractor": None, "image_encoder": None}
LONGEST = 256  # tokens of T5


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "scheduler"))
    shape = pipe.transformer.config

    def encode(texts: list[str]) -> dict[str, Tensor]:
        options = {"do_classifier_free_guidance": False, "max_sequence_length": LONGEST}
        options["device"] = adapters.runs_on(pipe.text_encoder)
        text, _, pooled, _ = pipe.encode_prompt(texts, None, None, **options)
        return {"text": text, "pooled": pooled}

    return adapters.picture(
        pipe,
        about,
        sample=shape.sample_size,
        patch=shape.patch_size,
        text=adapters.Texts(encode=encode, spans=spans(pipe)),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call, skips=True), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.dynamic_shift(shape.patch_size)),
    )


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    skipped = list(cond.get("skip_layers", ())) or None
    told = {"encoder_hidden_states": cond["text"], "pooled_projections": cond["pooled"], "skip_layers": skipped}
    return transformer(hidden_states=x, timestep=t, **told, return_dict=False)[0]


def spans(pipe: Any) -> list[adapters.Span]:
    """Both CLIPs side by side, then T5, whose place stays empty (zeros, as long as CLIP's) where it was left out."""
    clip = token_span(pipe.tokenizer)
    if pipe.text_encoder_3 is None:
        return [clip, adapters.Span(tokenizer=pipe.tokenizer, length=clip.length)]
    return [clip, adapters.Span(tokenizer=pipe.tokenizer_3, length=LONGEST)]
