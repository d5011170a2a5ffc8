"""Wan 2.1 and 2.2, image to video: the transformer is shown the pictures that a clip begins and ends with beside the
noise, as latents of an otherwise empty clip, with a mask of the frames that they are; 2.1 as CLIP sees them as well.

2.2's 5B model is that of text to video: a picture is shown to it in its place, at t = 0.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..autoencoders.base import in_strides
from ..core.rng import Noise
from ..modalities.image import Image
from . import _adapters as adapters
from . import _clips as clips
from . import wan
from .model import Model

PIPELINES = ("WanImageToVideoPipeline",)
OPTIONS: dict[str, Any] = {}


def model(pipe: Any, about: adapters.About) -> Model:
    if pipe.config.expand_timesteps:
        return wan.model(pipe, about)
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    vae, config = adapters.clip_vae(pipe.vae), pipe.transformer.config
    if config.image_dim is not None:
        adapters.missing(pipe, ("image_encoder", "image_processor"))
    beside = vae.spec.channels + vae.spec.stride[0]
    # one that learned from the last picture too is shown both, and none but both
    ends = ("first", "last") if config.image_dim is None or config.pos_embed_seq_len else ("first",)

    def shown(job: Any, noise: Noise) -> dict[str, Tensor]:
        keep = clips.kept(job, ends)
        seen = {"shown": torch.cat((frames_of(keep, vae.spec), vae.encode(job.known * keep)), 1)}
        return seen if config.image_dim is None else seen | {"image": looked_at(pipe, job)}

    return wan.model(pipe, about, beside, shown=shown, ends=ends)


def frames_of(keep: Tensor, spec: Any) -> Tensor:
    """keep [1, 1, M, H, W] of whole frames -> a mask [1, stride, F, h, w] of the frames under each latent, the first
    one of all of its."""
    space = spec.stride[-1]
    return rearrange(in_strides(keep, spec)[..., ::space, ::space], "b 1 (f s) h w -> b s f h w", s=spec.stride[0])


def looked_at(pipe: Any, job: Any) -> Tensor:
    """The pictures as CLIP sees them, one after the other [1, L, D]."""
    both = bool(pipe.transformer.config.pos_embed_seq_len)
    if both and job.requests[0].last is None:
        raise ValueError("this model goes from one picture to another: give last as well")
    pictures = [Image.from_tensor(job.known[0, :, place]).pil() for place in ((0, -1) if both else (0,))]
    seen = pipe.encode_image(pictures, adapters.runs_on(pipe.image_encoder))
    return seen.flatten(0, 1)[None].cpu()
