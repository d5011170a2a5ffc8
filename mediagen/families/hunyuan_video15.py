"""HunyuanVideo 1.5, text to video and image to video: a transformer on the straight path. A Qwen reads the prompt
within a request to describe a video, a ByT5 the words in it that are quoted, which are to be written in the picture.

The picture that a clip begins with is shown to the network beside the noise, as the first of otherwise empty latents
with a mask, and as SigLIP sees it; of text to video all of that is empty.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..core.rng import Noise
from ..modalities.image import Image
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from . import hunyuan_video as earlier
from .model import Model

PIPELINES = ("HunyuanVideo15Pipeline", "HunyuanVideo15ImageToVideoPipeline")
OPTIONS: dict[str, Any] = {}
SHAPE = (9, 16)  # of the frames, down and across
TEXTS = ("text", "text_mask", "quoted", "quoted_mask")
PLAIN = {"use_original_formulation": False, "guidance_rescale": 0.0, "start": 0.0, "stop": 1.0}  # guidance of its own


def model(pipe: Any, about: adapters.About) -> Model:
    names = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler", "guider")
    animates = type(pipe).__name__ == PIPELINES[1]
    adapters.missing(pipe, (*names, "image_encoder", "feature_extractor") if animates else names)
    vae, shape = earlier.hunyuan_vae(pipe.vae), pipe.transformer.config
    adapters.fits(pipe.transformer, shape.in_channels, vae.spec.channels, vae.spec.channels + 1)
    if shape.use_meanflow:
        raise ValueError("its transformer is told where each step ends (MeanFlow), which is not there yet")

    def encode(texts: list[str]) -> dict[str, Tensor]:
        made = pipe.encode_prompt(texts, device=adapters.runs_on(pipe.text_encoder), batch_size=len(texts))
        return dict(zip(TEXTS, made, strict=True))

    net = adapters.Net(pipe.transformer, call, ready=partial(ready, unseen(pipe)))
    return clips.clip(
        pipe,
        about,
        vae,
        size=pipe.video_processor.calculate_default_height_width(*SHAPE, pipe.target_size),
        frames=inspect.signature(type(pipe).__call__).parameters["num_frames"].default,
        rate=earlier.RATE,
        patch=shape.patch_size,
        guidance=guidance_of(pipe.guider),
        text=adapters.Texts(encode=encode, spans=[earlier.bare_span(pipe.tokenizer, pipe.tokenizer_max_length)]),
        denoiser=adapters.denoiser(net, pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.even_levels(patch=shape.patch_size)),
        shown=partial(shown, pipe, vae) if animates else None,
        ends=("first",) if animates else (),
    )


def guidance_of(guider: Any) -> float:
    """The scale of a checkpoint's own guidance; ValueError for one that is more than that."""
    settings = {name: guider.config.get(name, value) for name, value in PLAIN.items()}
    if type(guider).__name__ != "ClassifierFreeGuidance" or settings != PLAIN:
        raise ValueError(
            f"its guidance is {type(guider).__name__} {settings}; only plain ClassifierFreeGuidance is read"
        )
    return guider.config.guidance_scale if guider.config.get("enabled", True) else 1.0


def unseen(pipe: Any) -> tuple[int, int]:
    """The shape of what SigLIP sees where there is no picture."""
    return pipe.vision_num_semantic_tokens, pipe.vision_states_dim


def ready(empty: tuple[int, int], cond: dict[str, Any]) -> dict[str, Any]:
    """What of a condition the transformer is told, put together once for all steps."""
    text, n = cond["text"], len(cond["text"])
    told = {"encoder_hidden_states": text, "encoder_attention_mask": cond["text_mask"]}
    told |= {"encoder_hidden_states_2": cond["quoted"], "encoder_attention_mask_2": cond["quoted_mask"]}
    told["image_embeds"] = cond["image"] if "image" in cond else text.new_zeros(n, *empty)
    return {"told": told, "shown": cond.get("shown"), "nothing": text.new_zeros(1)}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    beside = cond["shown"]
    if beside is None:  # no picture, and no frame that has one
        beside = cond["nothing"].expand(len(x), x.shape[1] + 1, *x.shape[2:])
    when = t.to(x.dtype)  # in which it embeds it
    return transformer(hidden_states=torch.cat((x, beside), 1), timestep=when, **cond["told"], return_dict=False)[0]


def shown(pipe: Any, vae: adapters.PublishedVAE, job: Any, noise: Noise) -> dict[str, Tensor]:
    picture, place = Image.from_tensor(clips.first_picture(job)[0, :, 0]).pil(), adapters.runs_on(pipe.image_encoder)
    seen = pipe.encode_image(picture, 1, place, pipe.image_encoder.dtype)
    return {"shown": clips.beside(vae, job), "image": seen.cpu()}
