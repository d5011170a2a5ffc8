"""AnimateDiff: Stable Diffusion whose U-Net has layers of time put in by a motion adapter; pictures of a clip are coded
one by one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from . import _adapters as adapters
from . import _clips as clips
from . import _control as controls
from . import _pictures as pictures
from . import _schedule as schedules
from . import sd
from .model import Model

PIPELINES = ("AnimateDiffPipeline",)
OPTIONS: dict[str, Any] = {"feature_extractor": None, "image_encoder": None}
RATE, FRAMES = 8.0, 16  # which no file says: what motion adapters are trained with


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("unet", "vae", "text_encoder", "tokenizer", "scheduler"))
    vae, side = clips.FrameVAE(pipe.vae), pipe.unet.config.sample_size
    net = adapters.Net(pipe.unet, call)

    return clips.clip(
        pipe,
        about,
        vae,
        size=(side * vae.spec.stride[1], side * vae.spec.stride[2]),
        frames=FRAMES,
        rate=RATE,
        text=sd.texts(pipe),
        denoiser=adapters.denoiser(net, pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        adapts={"control": controls.reader(pipe.unet, net, controls.of_frames(pipe.vae))},
    )


def call(unet: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    text = cond["text"].repeat_interleave(x.shape[2], 0)
    seen = {"encoder_hidden_states": text, "added_cond_kwargs": pictures.told(cond) or None}
    return unet(x, t, **seen, **controls.beside(cond), return_dict=False)[0]
