"""Stable Diffusion 3 and 3.5: a transformer on the straight path, two CLIPs and a T5 that may be left out."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from . import _adapters as adapters
from . import _control as controls
from . import _schedule as schedules
from .model import Model
from .sd import token_span

PIPELINES = ("StableDiffusion3Pipeline",)
OPTIONS = {"feature_extractor": None, "image_encoder": None}
LONGEST = 256  # tokens of T5


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "scheduler"))
    shape, net = pipe.transformer.config, adapters.Net(pipe.transformer, call, skips=True, ready=ready)

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
        denoiser=adapters.denoiser(net, pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.dynamic_shift(shape.patch_size)),
        adapts={"control": controls.reader(pipe.transformer, net, control(pipe))},
    )


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """What the transformer is told, put together once for all steps."""
    skipped, added = list(cond.get("skip_layers", ())) or None, list(cond.get("blocks", ())) or None
    told = {"encoder_hidden_states": cond["text"], "pooled_projections": cond["pooled"]}
    return told | {"skip_layers": skipped, "block_controlnet_hidden_states": added}


def call(transformer: Any, x: Tensor, t: Tensor, told: Mapping[str, Any]) -> Tensor:
    return transformer(hidden_states=x, timestep=t, **told, return_dict=False)[0]


def control(pipe: Any) -> controls.Kind:
    """Its control networks are shown the latents of a picture; some of them are told no pooled text, and latents that
    are not shifted."""
    vae, config = adapters.picture_vae(pipe.vae), pipe.vae.config
    shift = (config.shift_factor or 0.0) * config.scaling_factor

    def code(picture: Tensor, settings: Mapping[str, Any]) -> Tensor:
        z = vae.encode(picture)
        return z + shift if settings["force_zeros_for_pooled_projection"] else z

    def residuals(
        network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: controls.Control
    ) -> controls.Residuals:
        bare, reads = network.config.force_zeros_for_pooled_projection, network.config.joint_attention_dim is not None
        told = {"pooled_projections": cond["pooled"] * 0 if bare else cond["pooled"], "timestep": t}
        told["encoder_hidden_states"] = cond["text"] if reads else None
        blocks = network(x, entry, conditioning_scale=asked.weight, **told, return_dict=False)[0]
        return {"blocks": tuple(blocks)}

    plain = {"extra_conditioning_channels": 0}
    alike = ("in_channels", "patch_size", "pooled_projection_dim")
    return controls.Kind(name="SD3ControlNetModel", alike=alike, call=residuals, code=code, plain=plain)


def spans(pipe: Any) -> list[adapters.Span]:
    """Both CLIPs side by side, then T5, whose place stays empty (zeros, as long as CLIP's) where it was left out."""
    clip = token_span(pipe.tokenizer)
    if pipe.text_encoder_3 is None:
        return [clip, adapters.Span(tokenizer=pipe.tokenizer, length=clip.length)]
    return [clip, adapters.Span(tokenizer=pipe.tokenizer_3, length=LONGEST)]
