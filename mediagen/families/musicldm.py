"""MusicLDM: a U-Net over mel pictures of music, told a text as CLAP's one vector."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..conditioners.base import Cond
from . import _adapters as adapters
from ._sound import MelVAE, lined, pictured
from .audioldm2 import features, mel_model
from .model import Model

PIPELINES = ("MusicLDMPipeline",)
OPTIONS = {"feature_extractor": None}


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("unet", "vae", "vocoder", "text_encoder", "tokenizer", "scheduler"))

    def encode(texts: list[str]) -> Cond:
        tokens = pipe.tokenizer(texts, padding=True, return_tensors="pt").to(pipe.text_encoder.device)
        return {"heard": features(pipe.text_encoder, tokens)}

    vae = MelVAE(pipe.vae, pipe.vocoder)
    span = adapters.Span(tokenizer=pipe.tokenizer, length=pipe.tokenizer.model_max_length)
    net = adapters.Net(pipe.unet, Call(vae.rows))
    text = adapters.Unweighted(encode=encode, spans=[span])
    return mel_model(pipe, about, vae, text=text, denoiser=adapters.denoiser(net, pipe.scheduler))


class Call:
    """How the U-Net is called, on pictures. rows: of its latents."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __call__(self, unet: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        told = {"encoder_hidden_states": None, "class_labels": cond["heard"]}
        y = unet(pictured(x, self.rows), t, **told, return_dict=False)[0]
        return lined(y)
