"""AudioLDM2: a U-Net over mel pictures, told a text twice: as T5 reads it, and as a language model says it again.

The language model counts positions, padding among them: what it says of an empty prompt depends on how long the prompt
is that it is compared with, and so each job has a reader of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..conditioners.base import Cond, padded
from ..conditioners.prompt import parse
from . import _adapters as adapters
from . import _schedule as schedules
from ._outline import zeros
from ._sound import MelVAE, lined, pictured
from .model import Model

PIPELINES = ("AudioLDM2Pipeline",)
OPTIONS = {"feature_extractor": None}
LIBRARIES = ("audioldm2",)  # has the U-Net and the projection of texts
READ = {"projection_model": zeros}

Say = Callable[[str, int | None], Cond]


def model(pipe: Any, about: adapters.About) -> Model:
    parts = ("unet", "vae", "vocoder", "text_encoder", "text_encoder_2", "projection_model", "language_model")
    adapters.missing(pipe, (*parts, "tokenizer", "tokenizer_2", "scheduler"))
    if (kind := pipe.text_encoder_2.config.model_type) != "t5":
        raise ValueError(f"its second text encoder is {kind!r}: checkpoints that speak are not there yet, only sounds")

    def say(text: str, length: int | None) -> Cond:
        return said(pipe, text, length)

    span = adapters.Span(tokenizer=pipe.tokenizer_2, length=pipe.tokenizer_2.model_max_length)
    texts = adapters.Texts(encode=lambda prompts: joined([say(prompt, None) for prompt in prompts]), spans=[span])
    vae = MelVAE(pipe.vae, pipe.vocoder)
    return mel_model(
        pipe,
        about,
        vae,
        text=texts,
        reader=lambda job: Reader(say=say, texts=texts, job=job),
        denoiser=adapters.denoiser(adapters.Net(pipe.unet, Call(vae.rows)), pipe.scheduler),
    )


def mel_model(pipe: Any, about: adapters.About, vae: MelVAE, **parts: Any) -> Model:
    """The `Model` of a checkpoint whose U-Net works on mel pictures."""
    samples = pipe.unet.config.sample_size * vae.spec.stride[0]
    length = {"size": (samples,), "multiple": vae.spec.stride[0], "rate": vae.rate, "seconds": samples / vae.rate}
    schedule = schedules.schedule_of(pipe.scheduler)
    common = {"modality": "audio", "autoencoder": vae, "schedule": schedule, "drawn": vae.drawn}
    return adapters.model(pipe, about, **common, **length, **parts)


class Call:
    """How the U-Net is called, on pictures. rows: of its latents."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __call__(self, unet: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        y = unet(
            pictured(x, self.rows),
            t,
            encoder_hidden_states=cond["said"],
            encoder_hidden_states_1=cond["text"],
            encoder_attention_mask_1=cond["text_mask"],
            return_dict=False,
        )[0]
        return lined(y)


def said(pipe: Any, text: str, length: int | None) -> Cond:
    """One text as T5 reads it, filled up to `length` tokens, None for its own, and what the language model says."""
    fill = {"padding": True} if length is None else {"padding": "max_length", "max_length": length}
    sounds = pipe.tokenizer(text, return_tensors="pt").to(pipe.text_encoder.device)
    read = pipe.tokenizer_2([text], return_tensors="pt", **fill).to(pipe.text_encoder_2.device)
    heard = features(pipe.text_encoder, sounds)[:, None]
    states = pipe.text_encoder_2(read.input_ids, attention_mask=read.attention_mask)[0]
    both = pipe.projection_model(
        hidden_states=heard,
        hidden_states_1=states,
        attention_mask=read.attention_mask.new_ones(1, 1),
        attention_mask_1=read.attention_mask,
    )
    again = pipe.generate_language_model(both.hidden_states, attention_mask=both.attention_mask, max_new_tokens=None)
    return {"text": states.cpu(), "text_mask": read.attention_mask.cpu(), "said": again.cpu()}


def features(clap: Any, tokens: Any) -> Tensor:
    """A text as CLAP's one vector [B, D]."""
    given = clap.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask)
    return getattr(given, "pooler_output", given)


def joined(rows: Sequence[Cond]) -> Cond:
    """Conditions of one text each, filled up to the longest, as one batch."""
    longest = max(rows, key=lambda row: row["text"].shape[1])
    filled = [padded(row, longest) for row in rows]
    return {name: torch.cat([row[name] for row in filled]) for name in longest}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """What reads the texts of one job: prompts alone, each as long as it is; the negative one and the empty one filled
    up to them, as the published pipeline has it."""

    say: Say
    texts: adapters.Texts
    job: Any

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Cond:
        self.texts.lengths(prompts)
        return joined([self._read(prompt) for prompt in prompts])

    @torch.no_grad()
    def null(self, n: int) -> Cond:
        """[n, ...]: the empty prompt, as long as each sample's own."""
        lengths = self._lengths()
        each = {length: self.say("", length) for length in set(lengths)}
        return joined([each[length] for length in lengths])

    def _read(self, prompt: str) -> Cond:
        length = self.texts.lengths([prompt])[0]
        if prompt == self.job.requests[0].negative:
            length = max(length, *self._lengths())
        parsed = parse(prompt)
        cond = self.say(parsed.text, length)
        if not parsed.plain:
            weights = self.texts._weights(parsed)[:length, None]
            empty = self.say("", length)["text"]
            cond["text"] = torch.where(weights == 1, cond["text"], torch.lerp(empty, cond["text"], weights))
        return cond

    def _lengths(self) -> list[int]:
        """Tokens of each sample's first prompt."""
        return self.texts.lengths([request.prompts[0][0] for request in self.job.requests])
