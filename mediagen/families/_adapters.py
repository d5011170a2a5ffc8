"""diffusers' modules as parts of ours: networks, autoencoders and text encoders of published checkpoints.

A family file builds a `Model` of them; what it has to say is which named tensors its text encoders give, how its
network is called with them, and what else it is told.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..autoencoders.base import LatentSpec
from ..conditioners.base import Cond
from ..conditioners.prompt import Weighted, parse
from ..core.denoiser import Denoiser
from . import _schedule as schedules
from ._adapting import adapts_of
from ._bounds import bound_of
from ._placing import cast, runs_on
from ._quiet import quiet
from .model import Model

Call = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Any]], Tensor]
Ready = Callable[[dict[str, Any]], dict[str, Any]]
KEPT = 8  # conditions that a network keeps as it was told them, for the branches of a walk


@dataclass(frozen=True, kw_only=True)
class About:
    """What a checkpoint is called, and a hash that names its weights."""

    name: str
    hash: str


class Net(nn.Module):
    """A published network as `net(x, t, cond) -> y`. call: (network, x, t, cond) -> y hands it what it asks for; what
    it is told has the network's dtype, times stay in float32. skips: whether it can leave layers out. ready: a
    condition -> what is made of it for `call`, once for all steps.

    It may lie on another device than the state, which is small and goes back and forth.
    """

    def __init__(self, network: nn.Module, call: Call, *, skips: bool = False, ready: Ready = dict) -> None:
        super().__init__()
        self.network, self.call, self.skips, self.ready = network, call, skips, ready
        self.dtype: torch.dtype | None = None  # what it computes in, where its weights do not say: they are quantised
        self._place: torch.device | None = None
        self._told: dict[int, tuple[Any, torch.dtype, dict[str, Any]]] = {}

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Net:
        self._place = None  # .to() and friends pass here
        self._told.clear()
        return super()._apply(fn, recurse)

    @property
    def place(self) -> torch.device:
        """Where it runs, which hooks that offload it may say."""
        if self._place is None:
            self._place = runs_on(self.network)
        return self._place

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        place, told = self.place, self._brought(cond, x.dtype)
        network: Any = self._modules["network"]  # self.network, for which nn.Module would look longer
        if place == x.device:
            return self.call(network, x, t, told)
        return self.call(network, x.to(place), t.to(place), told).to(x.device)

    __call__: Callable[..., Tensor] = forward  # hooks are the network's own; the call of a module takes 1 us

    def _brought(self, cond: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
        """A condition in this dtype, where the network runs: brought there once, since a walk tells it in each step."""
        if torch.is_grad_enabled():  # what is learned beside it changes with each step
            return self._made_ready(cond, dtype)
        given, kind, told = self._told.get(id(cond), (None, None, {}))
        if given is not cond or kind != dtype:
            told = self._made_ready(cond, dtype)
            if len(self._told) >= KEPT:
                self._told.clear()
            self._told[id(cond)] = (cond, dtype, told)
        return told

    def _made_ready(self, cond: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
        if cond.get("skip_layers") and not self.skips:
            raise ValueError(f"{type(self.network).__name__} cannot skip layers: leave out skip_layers")
        return self.ready({name: cast(value, dtype, self.place) for name, value in cond.items()})


class PublishedVAE:
    """A published autoencoder as one of ours: its scales and shifts are its whitening, media are coded by the mean of
    their latents.

    mean, std: numbers, or one for each channel, by which raw latents are std * whitened + mean. Attention and norms may
    look at all of the media; `reach` is that of the convolutions. timed: whether the decoder is told how much noise is
    left in the latents, which is none. patch: latents a side that one position holds in its channels.
    """

    patch = 1

    def __init__(
        self, vae: Any, spec: LatentSpec, reach: int | tuple[int, ...], mean: Any, std: Any, timed: bool = False
    ) -> None:
        self.vae, self.spec, self.timed = vae.requires_grad_(False).eval(), spec, timed
        self.reach = self.encoder_reach = reach
        self.mean, self.std = (torch.tensor(v, dtype=torch.float32).view(1, -1, *(1,) * spec.dims) for v in (mean, std))
        self._kept: tuple[Any, Any] = (None, None)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in. diffusers looks through all layers for it, which is done again where weights changed."""
        stored = next(self.vae.parameters()).dtype
        if stored != self._kept[0]:
            self._kept = (stored, self.vae.dtype)
        return self._kept[1]

    def encode(self, x: Tensor) -> Tensor:
        """Media [B, C, *size] in [-1, 1] -> whitened latents [B, C, *grid]; ValueError for a size off the stride."""
        self.spec.grid(x.shape[2:])
        coded = self.vae.encode(x.to(runs_on(self.vae), self.dtype)).latent_dist.mode()
        return (coded.to(x) - self.mean.to(x.device)) / self.std.to(x.device)

    def decode(self, z: Tensor) -> Tensor:
        """Whitened latents [B, C, *grid] -> media [B, C, *size], about [-1, 1]."""
        raw = (z * self.std.to(z.device) + self.mean.to(z.device)).to(runs_on(self.vae), self.dtype)
        told = (raw.new_zeros(len(raw)),) if self.timed else ()
        return self.vae.decode(raw, *told, return_dict=False)[0].to(z)


def picture_vae(vae: Any) -> PublishedVAE:
    """An `AutoencoderKL`; ValueError for another one."""
    if type(vae).__name__ != "AutoencoderKL":
        raise ValueError(f"the autoencoder {type(vae).__name__} is not supported, only AutoencoderKL")
    config, levels = vae.config, len(vae.config.block_out_channels)
    stride = (2 ** (levels - 1),) * 2
    spec = LatentSpec(channels=config.latent_channels, stride=stride, media_channels=config.in_channels)
    mean, std = config.get("latents_mean") or [0.0], config.get("latents_std") or [1.0]
    mean = [value + (config.get("shift_factor") or 0.0) for value in mean]
    std = [value / config.scaling_factor for value in std]
    return PublishedVAE(vae, spec, reach_of(levels, config.layers_per_block + 1), mean, std)


def clip_vae(vae: Any) -> PublishedVAE:
    """An `AutoencoderKLWan` or its like: causal in time, whitened by channel."""
    config = vae.config
    space, time = config.scale_factor_spatial, config.scale_factor_temporal
    spec = LatentSpec(channels=config.z_dim, stride=(time, space, space), media_channels=3, causal=True)
    reach = reach_of(len(config.dim_mult), config.num_res_blocks + 1)
    return PublishedVAE(vae, spec, (2 * reach, reach, reach), config.latents_mean, config.latents_std)


def ltx_vae(vae: Any) -> PublishedVAE:
    """An `AutoencoderKLLTXVideo`."""
    config, space, time = vae.config, vae.spatial_compression_ratio, vae.temporal_compression_ratio
    spec = LatentSpec(channels=config.latent_channels, stride=(time, space, space), causal=True)
    reach = reach_of(len(config.decoder_block_out_channels), max(config.decoder_layers_per_block))
    mean, std = vae.latents_mean.tolist(), (vae.latents_std / config.scaling_factor).tolist()
    return PublishedVAE(vae, spec, (2 * reach, reach, reach), mean, std, timed=bool(config.timestep_conditioning))


def reach_of(levels: int, blocks: int) -> int:
    """Latents that a decoder's convolutions look away: two of 3 in each of `blocks` blocks of a level, one as it goes
    up a level, each level half as far; two blocks and a convolution before them, and one after."""
    far = 1 + 2 * 2 + sum((2 * blocks + (level < levels - 1)) / 2**level for level in range(levels))
    return int(far + 1 / 2 ** (levels - 1)) + 1


@dataclass(frozen=True, kw_only=True)
class Span:
    """Positions of a token state that a tokenizer's tokens fill: as many as `length`, the special ones included."""

    tokenizer: Any
    length: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """A checkpoint's text encoders as a `Conditioner`: prompts -> named tensors.

    encode: texts -> the tensors as its own pipeline makes them. spans: the tokenizers whose tokens follow one another
    in "text" [B, L, D]. zeros: whether nothing asked for is told as zeros, not as an empty prompt. Words are weighted
    as in `conditioners.prompt`: a token of weight w gets `empty + w (state - empty)`, empty being what an empty prompt
    says at its position.
    """

    encode: Callable[[list[str]], Cond]
    spans: Sequence[Span]
    zeros: bool = False
    kept: dict[str, Cond] = field(default_factory=dict, init=False)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Cond:
        """ValueError for a prompt that is longer than every text encoder reads, or broken weighting."""
        self.lengths(prompts)
        parsed = [parse(prompt) for prompt in prompts]
        cond = self._encoded([prompt.text for prompt in parsed])
        if not all(prompt.plain for prompt in parsed):
            weights = torch.stack([self._weights(prompt) for prompt in parsed])[..., None].to(cond["text"])
            empty = self._empty()["text"].expand_as(cond["text"])
            cond["text"] = torch.where(weights == 1, cond["text"], torch.lerp(empty, cond["text"], weights))
        return cond

    def null(self, n: int) -> Cond:
        """What n samples are told when nothing is asked for."""
        empty = self._empty()
        return {name: (value * 0 if self.zeros else value).repeat_interleave(n, 0) for name, value in empty.items()}

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """Tokens of each prompt, the special ones included, by the text encoder that reads the most. ValueError for
        one that is too long for it, or broken weighting."""
        span = max(self.spans, key=lambda span: span.length)
        counts = [len(span.tokenizer(parse(prompt).text, verbose=False).input_ids) for prompt in prompts]
        for prompt, count in zip(prompts, counts, strict=True):
            if count > span.length:
                raise ValueError(f"the prompt has {count} tokens, the limit is {span.length}: {prompt[:60]!r}")
        return counts

    def forget(self) -> None:
        """What was encoded before the text encoders changed."""
        self.kept.clear()

    @torch.no_grad()
    def _empty(self) -> Cond:
        if "empty" not in self.kept:
            self.kept["empty"] = self._encoded([""])
        return self.kept["empty"]

    def _encoded(self, texts: list[str]) -> Cond:
        """On the CPU, wherever the text encoders lie. Quietly: where one text encoder reads less than another, its own
        pipeline tells what it cuts."""
        with quiet():
            return {name: value.cpu() for name, value in self.encode(texts).items()}

    def _weights(self, prompt: Weighted) -> Tensor:
        """Weight of each position [L], that of its token's first character; 1 for special and padding tokens."""
        row: list[float] = []
        for span in self.spans:
            offsets = span.tokenizer(prompt.text, return_offsets_mapping=True)["offset_mapping"][: span.length]
            own = [prompt.weights[begin] if end > begin else 1.0 for begin, end in offsets]
            row += own + [1.0] * (span.length - len(own))
        return torch.tensor(row)


class Unweighted(Texts):
    """Texts of which no position stands for one word: each becomes one vector, they are mixed, or read on."""

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """ValueError for a weighted word, beside what all texts refuse."""
        if weighted := [prompt for prompt in prompts if not parse(prompt).plain]:
            raise ValueError(f"this model weights no words: leave the weights out of {weighted[0][:60]!r}")
        return super().lengths(prompts)


def denoiser(net: Net, scheduler: Any, clock: Callable[[Any, Any, Any], Any] | None = None) -> Denoiser:
    """A network with the path, prediction and times of its published scheduler. clock: what it is told of time, where
    that is not the scheduler's own."""
    told = schedules.clock_of(scheduler) if clock is None else clock
    net.requires_grad_(False).eval()
    return Denoiser(net, schedules.path_of(scheduler), schedules.prediction_of(scheduler), clock=told)


def defaults(pipe: Any, guidance: float | None = None) -> dict[str, Any]:
    """Steps, guidance, solver and timing as the checkpoint's own pipeline has them when nothing is said. guidance: its
    scale, where the pipeline does not call it so."""
    asked = inspect.signature(type(pipe).__call__).parameters
    how = schedules.kind(pipe.scheduler)
    scale = asked["guidance_scale"].default if guidance is None else guidance
    plain = {"steps": asked["num_inference_steps"].default, "guidance": scale}
    return plain | {"solver": how.rule, "eta": how.eta, "timing": {"name": "Published"}}


def picture(
    pipe: Any,
    about: About,
    *,
    sample: int | Sequence[int],
    patch: int = 1,
    autoencoder: PublishedVAE | None = None,
    **parts: Any,
) -> Model:
    """The `Model` of a checkpoint that makes pictures. sample: latents a side that it is best at; patch: latents a side
    of a token; autoencoder: where it is not the plain one; parts: text, denoiser, schedule and what else its family
    says."""
    vae = picture_vae(pipe.vae) if autoencoder is None else autoencoder
    sides = (sample, sample) if isinstance(sample, int) else tuple(sample)
    size = {"size": vae.spec.size(sides), "multiple": vae.spec.stride[-1] * patch}
    return model(pipe, about, modality="image", autoencoder=vae, **size, **parts)


def model(pipe: Any, about: About, **parts: Any) -> Model:
    """The `Model` of a checkpoint, with what all of them have in common. adapts: what its family says of it; guidance:
    as for `defaults`; walk: what else is its own where nothing is said."""
    plain = {"name": about.name, "hash": about.hash, "preview": None, "whole": True, "bound": bound_of(pipe.scheduler)}
    plain["adapts"] = adapts_of(pipe, forget=parts["text"].forget, **parts.pop("adapts", {}))
    usual = defaults(pipe, parts.pop("guidance", None)) | parts.pop("walk", {})
    return Model(defaults=usual, **plain, **parts)


def fits(network: Any, takes: int, latents: int, beside: int = 0) -> None:
    """ValueError for a network that takes other channels than those of the latents and of what it is shown beside them:
    one that was made to be shown more, or less."""
    if takes != latents + beside:
        more = f" and {beside} that it is shown" if beside else ""
        raise ValueError(f"its {type(network).__name__} takes {takes} channels, not {latents} of latents{more}")


def missing(pipe: Any, names: Sequence[str]) -> None:
    """ValueError unless the checkpoint has these parts."""
    lacking = [name for name in names if getattr(pipe, name, None) is None]
    if lacking:
        raise ValueError(f"the checkpoint lacks its {', '.join(lacking)}")
