"""HunyuanVideo, image to video: its first latent is the picture, which stays and is shown to the network at t = 0; a
Llava reads the prompt together with the picture. A walk begins from noise with a trace of the picture in it.
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
from .model import Model

PIPELINES = ("HunyuanVideoImageToVideoPipeline",)
OPTIONS: dict[str, Any] = {}
KIND = "token_replace"
SPARED = 4  # of what the Llava says of the picture, every fourth position is told
TRACE = 0.001  # of the picture in the noise to begin with


def model(pipe: Any, about: adapters.About) -> Model:
    names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "image_processor")
    adapters.missing(pipe, ("transformer", "vae", "scheduler", *names))
    vae, shape = text_to_video.hunyuan_vae(pipe.vae), pipe.transformer.config
    if shape.image_condition_type != KIND or shape.in_channels != vae.spec.channels:
        raise ValueError(f"its transformer is shown a picture by {shape.image_condition_type!r}; only {KIND!r} is read")
    asked = inspect.signature(type(pipe).__call__).parameters
    spans = [text_to_video.bare_span(pipe.tokenizer, text_to_video.LONGEST)]

    def reader(job: Any) -> adapters.Texts:
        return clips.Unweighted(encode=partial(encode, pipe, pictured(job)), spans=spans)

    return clips.clip(
        pipe,
        about,
        vae,
        size=(asked["height"].default, asked["width"].default),
        frames=asked["num_frames"].default,
        rate=text_to_video.RATE,
        patch=shape.patch_size,
        token=(shape.patch_size_t, shape.patch_size, shape.patch_size),
        text=clips.Unweighted(encode=unpictured, spans=spans),
        reader=reader,
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.even_levels(patch=shape.patch_size)),
        told=text_to_video.told if shape.guidance_embeds else text_to_video.nothing,
        distilled=bool(shape.guidance_embeds),
        opens=lambda job, noise: clips.Tinted(noise=noise, over=vae.encode(clips.first_picture(job)), amount=TRACE),
        ends=("first",),
    )


def unpictured(texts: list[str]) -> dict[str, Tensor]:
    raise ValueError("this model reads a prompt together with a picture: give first")


def pictured(job: Any) -> Any:
    """The picture of a job, which must stay."""
    if job.keep is None:
        raise ValueError("this model keeps the first frame as it is: extend or inpaint a clip, it cannot be varied")
    return Image.from_tensor(clips.first_picture(job)[0, :, 0]).pil()


def encode(pipe: Any, picture: Any, texts: list[str]) -> dict[str, Tensor]:
    """One by one: its own pipeline cuts the prompts of a batch at wrong places where one is too long."""
    options = {"device": adapters.runs_on(pipe.text_encoder), "max_sequence_length": text_to_video.LONGEST}
    made = [pipe.encode_prompt(picture, [text], image_embed_interleave=SPARED, **options) for text in texts]
    names = ("text", "pooled", "text_mask")
    return {name: torch.cat(each) for name, each in zip(names, zip(*made, strict=True), strict=True)}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    """It knows itself that the first latents are clean, and is told the time of the others."""
    return text_to_video.call(transformer, x, t if t.ndim == 1 else t.flatten(1).amax(1), cond)
