"""ACE-Step 1.5: a transformer on the straight path over the latents of stereo music, told a caption and lyrics.

It is shown a second set of latents in its place, silence or the music that stays, and a mask of what is new, so that
it keeps what is known itself. Turbo checkpoints have guidance distilled into them; the others have a learned nothing to
lead away from, and lead by APG.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..conditioners.base import Cond
from . import _adapters as adapters
from . import _schedule as schedules
from ._sound import Chunked, Turned, oobleck
from .model import Model

PIPELINES = ("AceStepPipeline",)
OPTIONS = {"audio_tokenizer": None, "audio_token_detokenizer": None}
LIBRARIES = ("ace_step",)  # has the encoder of the condition
READ = {"condition_encoder": lambda encoder: Unread(encoder)}
SHIFT = 3.0  # of even levels, as its pipeline has it when nothing is said
LONGEST, LYRICS = 256, 2048  # tokens of a caption with what is written around it, and of lyrics
SECONDS, WINDOW = 60.0, 240.0  # that are made when nothing is said, and at once
TIMBRE = 30.0  # seconds of a reference, silence here


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "condition_encoder", "scheduler"))
    vae, shape = oobleck(pipe.vae), pipe.transformer.config
    if shape.audio_acoustic_hidden_dim != vae.spec.channels:
        wide = shape.audio_acoustic_hidden_dim
        raise ValueError(f"its transformer makes {wide} channels, the latents have {vae.spec.channels}")
    rate, stride = pipe.vae.config.sampling_rate, vae.spec.stride[0]
    around = len(pipe.tokenizer(pipe._format_prompt("", audio_duration=600)[0]).input_ids)
    span = adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST - around)
    texts = adapters.Unweighted(encode=lambda prompts: {}, spans=[span])
    made = adapters.model(
        pipe,
        about,
        modality="audio",
        autoencoder=vae,
        size=(round(WINDOW * rate / stride) * stride,),
        multiple=stride,
        rate=rate,
        seconds=SECONDS,
        sings=True,
        text=texts,
        reader=lambda job: Reader(pipe=pipe, texts=texts, job=job),
        shown=lambda job, noise: {"context": context(pipe, vae, job)},
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call, ready=ready), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, levels),
        drawn=lambda generator, request: Turned(generator=generator),
        distilled=pipe.is_turbo,
    )
    return replace(made, defaults={**made.defaults, **({"guidance": 1.0} if pipe.is_turbo else {"method": "apg_each"})})


def levels(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
    """Even levels from 1 to 0, shifted here: its scheduler takes them as they are."""
    even = torch.linspace(1.0, 0.0, steps + 1)
    return {"sigmas": (SHIFT * even / (1 + (SHIFT - 1) * even))[:-1].tolist()}


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """What of a condition the transformer is told, put together once for all steps."""
    return {"encoder_hidden_states": cond["text"], "context_latents": cond["context"].mT}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    when = t if t.dtype == x.dtype else t.to(x.dtype)  # in which it embeds it
    return transformer(hidden_states=x.mT, timestep=when, timestep_r=when, **cond, return_dict=False)[0].mT


def context(pipe: Any, vae: Chunked, job: Any) -> Tensor:
    """[1, 2 D, positions]: the latents of what stays, silence elsewhere; and 1 where something is to be made."""
    silence, [count] = pipe.condition_encoder.silence_latent.mT.float().cpu(), job.grid
    silence = silence.repeat(1, 1, -(-count // silence.shape[2]))[..., :count]
    if job.keep is None:
        return torch.cat((silence, torch.ones_like(silence)), 1)
    new = F.max_pool1d(1 - job.keep, vae.spec.stride[0])
    return torch.cat((torch.where(new > 0, silence, vae.encode(job.known)), new.expand_as(silence)), 1)


class Unread(nn.Module):
    """In the place of the encoder of the condition, where there are no weights: zeros of the shapes that it gives."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.silence_latent = torch.zeros(encoder.silence_latent.shape)
        self.null_condition_emb = torch.zeros(encoder.null_condition_emb.shape)

    def forward(self, text: Tensor, mask: Tensor, lyric: Tensor, *_: Any) -> tuple[Tensor]:
        """As many positions as texts, lyrics and one reference have."""
        count = text.shape[1] + lyric.shape[1] + 1
        return (torch.zeros(len(text), count, self.null_condition_emb.shape[-1]),)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """What reads the texts of one job: captions and lyrics, with the length and the tempo that they are told."""

    pipe: Any
    texts: adapters.Unweighted
    job: Any
    length: list[int] = field(default_factory=list)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Cond:
        """{"text": [B, L, D]}; ValueError for lyrics that are too long, a weighted word, or a negative prompt."""
        first = self.job.requests[0]
        if first.negative:
            raise ValueError("this model learned what nothing is: it takes no negative prompt")
        self.texts.lengths(prompts)
        lyrics = first.lyrics or ""
        if (count := len(self.pipe.tokenizer(lyrics).input_ids)) > LYRICS - 16:
            raise ValueError(f"the lyrics have {count} tokens, the limit is {LYRICS - 16}")
        task = "text2music" if self.job.keep is None else "repaint"
        told = {"audio_duration": first.seconds, "bpm": None if first.bpm is None else round(first.bpm)}
        told |= {"instruction": self.pipe._get_task_instruction(task), "device": self.pipe.text_encoder.device}
        read = self.pipe.encode_prompt(list(prompts), [lyrics] * len(prompts), **told)
        packed = self._packed(*read).cpu()
        self.length.append(packed.shape[1])
        return {"text": packed}

    def null(self, n: int) -> Cond:
        """[n, L, D]: the learned nothing at every place, as long as what was read last."""
        nothing = self.pipe.condition_encoder.null_condition_emb.detach().cpu()
        return {"text": nothing.expand(n, self.length[-1], -1)}

    def _packed(self, text: Tensor, text_mask: Tensor, lyric: Tensor, lyric_mask: Tensor) -> Tensor:
        encoder, n = self.pipe.condition_encoder, len(text)
        frames = -int(-TIMBRE * self.pipe.latents_per_second // 1)
        silence = encoder.silence_latent[:, :frames].expand(n, -1, -1)
        order = torch.arange(n, device=text.device)
        return encoder(text, text_mask, lyric, lyric_mask, silence, order)[0]
