"""HunyuanVideo, image to video: its first latent is the picture, which stays and is shown to the network at t = 0, or
(33 channels) the picture is shown to it beside the noise, with a mask of where it is. A Llava reads the prompt together
with the picture. A walk begins from noise with a trace of the picture in it.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..modalities.image import Image
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from . import hunyuan_video as text_to_video
from .model import Model, nothing_told

PIPELINES = ("HunyuanVideoImageToVideoPipeline",)
OPTIONS: dict[str, Any] = {}
SPARED = {"token_replace": 4, "latent_concat": 2}  # every fourth or second position of the picture's is told
TRACE = 0.001  # of the picture in the noise to begin with


def model(pipe: Any, about: adapters.About) -> Model:
    names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "image_processor")
    adapters.missing(pipe, ("transformer", "vae", "scheduler", *names))
    vae, shape = text_to_video.hunyuan_vae(pipe.vae), pipe.transformer.config
    kind, beside = shape.image_condition_type, shape.image_condition_type == "latent_concat"
    if kind not in SPARED:
        raise ValueError(f"its transformer is shown a picture by {kind!r}; known: {', '.join(SPARED)}")
    adapters.fits(pipe.transformer, shape.in_channels, vae.spec.channels, beside * (vae.spec.channels + 1))
    asked = inspect.signature(type(pipe).__call__).parameters
    spans = [text_to_video.bare_span(pipe.tokenizer, text_to_video.LONGEST)]

    def reading(picture: Any, spared: int) -> adapters.Texts:
        return adapters.Unweighted(encode=partial(encode, pipe, picture, spared), spans=spans)

    def reader(job: Any) -> adapters.Texts:
        """ValueError for a picture that is no part of the clip's beginning where it has to be."""
        if job.keep is None and not beside:
            raise ValueError("this model keeps the first frame as it is: extend or inpaint a clip, it cannot be varied")
        return reading(Image.from_tensor(clips.first_picture(job)[0, :, 0]).pil(), SPARED[kind])

    return clips.clip(
        pipe,
        about,
        vae,
        size=(asked["height"].default, asked["width"].default),
        frames=asked["num_frames"].default,
        rate=text_to_video.RATE,
        patch=shape.patch_size,
        token=None if beside else (shape.patch_size_t, shape.patch_size, shape.patch_size),
        knows=True,
        text=adapters.Unweighted(encode=unpictured, spans=spans),
        reader=reader,
        against=None if shape.guidance_embeds else reading(black(), SPARED["latent_concat"]),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call, ready=text_to_video.ready), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.even_levels(patch=shape.patch_size)),
        told=text_to_video.told if shape.guidance_embeds else nothing_told,
        distilled=bool(shape.guidance_embeds),
        shown=(lambda job, noise: {"shown": clips.beside(vae, job)}) if beside else None,
        opens=lambda job, noise: clips.Tinted(noise=noise, over=vae.encode(clips.first_picture(job)), amount=TRACE),
        ends=("first",),
    )


def unpictured(texts: list[str]) -> dict[str, Tensor]:
    raise ValueError("this model reads a prompt together with a picture: give first")


def black() -> Any:
    """The picture that nothing, or the negative prompt, is read with; the Llava sees all of them in one size."""
    return Image.from_tensor(-torch.ones(3, 16, 16)).pil()


def encode(pipe: Any, picture: Any, spared: int, texts: list[str]) -> dict[str, Tensor]:
    """One by one: its own pipeline cuts the prompts of a batch at wrong places where one is too long."""
    options = {"device": adapters.runs_on(pipe.text_encoder), "max_sequence_length": text_to_video.LONGEST}
    made = [pipe.encode_prompt(picture, [text], image_embed_interleave=spared, **options) for text in texts]
    names = ("text", "pooled", "text_mask")
    return {name: torch.cat(each) for name, each in zip(names, zip(*made, strict=True), strict=True)}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    """One that keeps the first latents knows itself that they are clean, and is told the time of the others."""
    given = x if cond["shown"] is None else torch.cat((x, cond["shown"]), 1)
    return text_to_video.call(transformer, given, t, cond)
