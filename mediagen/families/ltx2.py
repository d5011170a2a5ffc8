"""LTX-2, text and image to video with its sound: one transformer on the straight path over the latents of both.

A clip and its sound are one state and one walk. The grid of the clip's latents has rows below the picture in which the
latents of the sound lie, in order of time; what is left of them at the end says nothing, and nobody reads it. Guidance
is stronger for the sound than for the picture, leads away from sight and sound that do not know of one another as well,
and is rescaled for each of the two alone. It takes a time for each position of the picture, so that pictures to begin
with are shown to it as they are, at t = 0.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..autoencoders.base import LatentSpec
from ..core.rng import Drawn
from ..modalities.audio import Audio
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model

PIPELINES = ("LTX2Pipeline", "LTX2ImageToVideoPipeline")
OPTIONS: dict[str, Any] = {"processor": None, "prompt_enhancer": None, "duration_head": None}
LIBRARIES = ("ltx2",)  # a room of diffusers, where its connectors and vocoder are
LONGEST = 1024  # tokens
FRAMES = 121
SHIFTS = (1024, 4096, 0.95, 2.05)  # of the schedule, where its scheduler names none


@dataclass(frozen=True, kw_only=True)
class JointSpec(LatentSpec):
    """Latents of a clip with rows for its sound below them. pace: latents of sound a frame."""

    pace: float

    @cached_property
    def seen(self) -> LatentSpec:
        """The clip alone."""
        return LatentSpec(channels=self.channels, stride=self.stride, causal=self.causal)

    def rows(self, width: int) -> int:
        """Rows of this width that hold the sound of one latent's frames."""
        return -(-math.ceil(self.pace * self.stride[0] + 1) // width)

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        frames, down, across = self.seen.grid(size)
        return frames, down + self.rows(across), across

    def size(self, grid: Sequence[int]) -> tuple[int, ...]:
        frames, down, across = grid
        return self.seen.size((frames, down - self.rows(across), across))

    def sounds(self, frames: int) -> int:
        """Latents of sound that go with so many latents of the clip."""
        return round(self.seen.covered(0, frames) * self.pace)

    @cached_property
    def places(self) -> Callable[[Sequence[int], torch.device], tuple[Tensor, Tensor, list[int]]]:
        """Of a grid, all in a row: where the tokens of the clip lie and then those of its sound; which of them lies at
        each place, the last one where nothing is; and how many there are of each."""
        return lru_cache(maxsize=8)(self._places)  # of this spec, which is not hashed in each step

    def _places(self, grid: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor, list[int]]:
        frames, down, across = grid
        rows, count = self.rows(across), math.prod(grid)
        above, below = torch.arange(count).view(*grid).split((down - rows, rows), 1)
        clip, sound = above.flatten(), below.flatten()[: self.sounds(frames)]
        order = torch.cat((clip, sound))
        back = torch.full((count,), len(order) - 1).index_copy_(0, order, torch.arange(len(order)))
        return order.to(device), back.to(device), [len(clip), len(sound)]

    def tokens(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, F, h + rows, w] -> the tokens of the clip [B, F h w, C], and of its sound [B, L, C]."""
        order, _, counts = self.places(z.shape[2:], z.device)
        clip, sound = z.permute(0, 2, 3, 4, 1).flatten(1, 3).index_select(1, order).split_with_sizes(counts, 1)
        return clip, sound

    def latents(self, clip: Tensor, sound: Tensor, grid: Sequence[int]) -> Tensor:
        """The inverse of `tokens`; where the rows are empty, the last one of the sound. It lies in memory as the tokens
        do: both ways whole tokens are moved."""
        _, back, _ = self.places(grid, clip.device)
        both = torch.cat((clip, sound), 1).index_select(1, back)
        return both.view(-1, *grid, both.shape[2]).permute(0, 4, 1, 2, 3)

    def parted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, F, h + rows, w] -> the clip [B, C, F, h, w], and its sound [B, L, C]."""
        return self.above(z), self.tokens(z)[1]

    def above(self, z: Tensor) -> Tensor:
        """[B, C, F, h + rows, w] -> the clip [B, C, F, h, w]."""
        return z[:, :, :, : z.shape[3] - self.rows(z.shape[4])]

    def joined(self, clip: Tensor, sound: Tensor) -> Tensor:
        """The inverse of `parted`, as `latents`."""
        frames, down, across = clip.shape[2:]
        return self.latents(clip.flatten(2).mT, sound, (frames, down + self.rows(across), across))

    def kinds(self, grid: Sequence[int]) -> Tensor:
        """[1, 1, *grid]: 1 where the clip is, 2 where its sound is, 0 where nothing is."""
        order, _, (seen, heard) = self.places(tuple(grid), torch.device("cpu"))
        kinds = torch.tensor([1, 2]).repeat_interleave(torch.tensor([seen, heard]))
        return torch.zeros(math.prod(grid), dtype=torch.long).index_copy_(0, order, kinds).view(1, 1, *grid)


class JointVAE(adapters.PublishedVAE):
    """The autoencoder of the clip; of sound, silence is put in and `heard` makes it audible."""

    def __init__(self, pipe: Any, pace: float) -> None:
        vae = adapters.ltx_vae(pipe.vae)
        spec = JointSpec(channels=vae.spec.channels, stride=vae.spec.stride, causal=True, pace=pace)
        mean, std = vae.mean.flatten().tolist(), vae.std.flatten().tolist()
        super().__init__(pipe.vae, spec, vae.reach, mean, std, timed=vae.timed)
        self.joint, self.pipe = spec, pipe

    def encode(self, x: Tensor) -> Tensor:
        z = super().encode(x)
        return self.joint.joined(z, z.new_zeros(len(z), self.joint.sounds(z.shape[2]), z.shape[1]))

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(self.pictured(z))

    def pictured(self, z: Tensor) -> Tensor:
        """The latents of the clip alone, which a preview shows."""
        return self.joint.above(z)

    def heard(self, z: Tensor) -> list[Audio]:
        """The sound of each clip: latents -> a spectrogram -> samples."""
        coder, vocoder = self.pipe.audio_vae, self.pipe.vocoder
        sound = self.joint.parted(z)[1] * coder.latents_std.to(z) + coder.latents_mean.to(z)
        bins = coder.config.mel_bins // coder.mel_compression_ratio
        raw = rearrange(sound, "b l (c m) -> b c l m", m=bins).to(adapters.runs_on(coder), coder.dtype)
        waves = vocoder(coder.decode(raw, return_dict=False)[0]).float().cpu()
        return [Audio.from_tensor(wave, vocoder.config.output_sampling_rate) for wave in waves]


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnTwice(Drawn):
    """The clip's noise, then that of its sound [B, C, L, M], as they are published. bins: M."""

    spec: JointSpec
    bins: int

    def __call__(self, step: int, like: Tensor) -> Tensor:
        clip, sound = self.spec.parted(like)
        drawn = super().__call__(step, clip.contiguous())
        shape = (len(like), like.shape[1] // self.bins, sound.shape[1], self.bins)
        return self.spec.joined(drawn, rearrange(super().__call__(step, like.new_empty(shape)), "b c l m -> b l (c m)"))

    def of(self, purpose: str) -> Drawn:
        return self


@dataclass(kw_only=True, eq=False)
class Lately:
    """What is made of a tensor, kept for the next call: the network is called three times a step, twice with the same
    ones. A tensor that was changed in its place is another one."""

    make: Callable[[Tensor], Any]
    kept: tuple[Tensor | None, int, Any] = (None, 0, None)

    def __call__(self, x: Tensor) -> Any:
        if x.is_inference() or x.requires_grad:  # which count no changes, and whose graph is used up
            return self.make(x)
        last, version, made = self.kept
        if last is not x or version != x._version:
            made = self.make(x)
            self.kept = (x, x._version, made)
        return made


def model(pipe: Any, about: adapters.About) -> Model:
    names = ("transformer", "vae", "audio_vae", "vocoder", "connectors", "text_encoder", "tokenizer", "scheduler")
    adapters.missing(pipe, names)
    shape, asked = pipe.transformer.config, inspect.signature(type(pipe).__call__).parameters
    rate, usual = float(asked["frame_rate"].default), {name: asked[name].default for name in asked}
    hop = pipe.audio_vae.config.mel_hop_length * pipe.audio_vae.temporal_compression_ratio
    vae = JointVAE(pipe, pipe.audio_vae.config.sample_rate / hop / rate)
    spec, wanted = vae.joint, (1, 1, vae.joint.channels, vae.joint.channels)
    if (shape.patch_size, shape.patch_size_t, shape.in_channels, shape.audio_in_channels) != wanted:
        raise ValueError(
            f"its transformer takes {shape.in_channels} and {shape.audio_in_channels} channels of sight and "
            f"sound; only {spec.channels} of both are read"
        )
    louder = (usual["audio_guidance_scale"] - 1) / (usual["guidance_scale"] - 1)
    return clips.clip(
        pipe,
        about,
        vae,
        size=(usual["height"], usual["width"]),
        frames=FRAMES,
        rate=rate,
        walk={
            "skip_layers": tuple(usual["spatio_temporal_guidance_blocks"]),
            "skip_scale": usual["stg_scale"],
            "rescale": usual["guidance_rescale"],
            "window": (),
        },
        token=(1, 1, 1),
        text=adapters.Unweighted(
            encode=lambda texts: encode(pipe, texts), spans=[adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST)]
        ),
        denoiser=adapters.denoiser(
            adapters.Net(pipe.transformer, called(spec, rate), skips=True, ready=ready), pipe.scheduler
        ),
        schedule=schedules.schedule_of(pipe.scheduler, levels(spec)),
        drawn=lambda generator, request: DrawnTwice(
            generator=generator, spec=spec, bins=pipe.audio_vae.config.mel_bins // pipe.audio_vae.mel_compression_ratio
        ),
        parts=spec.kinds,
        share=lambda grid: (spec.kinds(grid) == 1) + louder * (spec.kinds(grid) == 2),
        aside=(({"apart": True}, usual["modality_scale"] - 1.0),),
        hears=vae.heard,
    )


def levels(spec: JointSpec) -> schedules.Options:
    """Even levels, shifted by the positions of the picture alone."""
    even = schedules.even_levels(patch=1, usual=SHIFTS)

    def options(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
        frames, down, across = grid
        return even(scheduler, steps, (frames, down - spec.rows(across), across))

    return options


def encode(pipe: Any, texts: list[str]) -> dict[str, Tensor]:
    options = {"do_classifier_free_guidance": False, "max_sequence_length": LONGEST}
    states, mask, *_ = pipe.encode_prompt(texts, device=adapters.runs_on(pipe.text_encoder), **options)
    place = adapters.runs_on(pipe.connectors)
    seen, heard, mask = pipe.connectors(states.to(place), mask.to(place), padding_side=pipe.tokenizer.padding_side)
    return {"text": seen, "sound_text": heard, "text_mask": mask}


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """What the transformer is told of a condition, put together once for all steps."""
    return {
        "encoder_hidden_states": cond["text"],
        "audio_encoder_hidden_states": cond["sound_text"],
        "encoder_attention_mask": cond["text_mask"],
        "audio_encoder_attention_mask": cond["text_mask"],
        "isolate_modalities": cond.get("apart", False),
        "spatio_temporal_guidance_blocks": list(cond.get("skip_layers", ())) or None,
        "use_cross_timestep": True,
        "return_dict": False,
    }


def called(spec: JointSpec, rate: float) -> adapters.Call:
    @lru_cache(maxsize=4)
    def coords(network: Any, n: int, grid: tuple[int, ...], place: torch.device) -> dict[str, Tensor]:
        """When and where each position is: the same in every step."""
        frames, down, across = grid
        seen = network.rope.prepare_video_coords(n, frames, down - spec.rows(across), across, place, fps=rate)
        heard = network.audio_rope.prepare_audio_coords(n, spec.sounds(frames), place)
        return {"video_coords": seen, "audio_coords": heard}

    def timed(t: Tensor) -> dict[str, Tensor]:
        latest, each = (t, t) if t.ndim == 1 else (t.flatten(1).amax(1), spec.above(t).flatten(1))
        return {"timestep": each, "audio_timestep": latest, "sigma": latest}

    tokens, times = Lately(make=spec.tokens), Lately(make=timed)

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        grid, [clip, sound] = x.shape[2:], tokens(x)
        y, heard = network(clip, sound, **cond, **times(t), **coords(network, len(x), grid, x.device))
        return spec.latents(y, heard, grid)

    return call
