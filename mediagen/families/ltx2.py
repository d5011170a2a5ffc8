"""LTX-2, text and image to video with its sound: one transformer on the straight path over the latents of both.

A clip and its sound are one state and one walk. The grid of the clip's latents has rows below the picture in which the
latents of the sound lie, in order of time; what is left of them is empty and stays noise. Guidance is stronger for the
sound than for the picture, leads away from sight and sound that do not know of one another as well, and is rescaled for
each of the two alone. It takes a time for each position of the picture, so that pictures to begin with are shown to it
as they are, at t = 0.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
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

    @property
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

    def parted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, F, h + rows, w] -> the clip [B, C, F, h, w], and its sound [B, L, C]."""
        down = z.shape[3] - self.rows(z.shape[4])
        sound = z[:, :, :, down:].flatten(2).mT  # in each step, where einops takes 10 us
        return z[:, :, :, :down], sound[:, : self.sounds(z.shape[2])]

    def joined(self, clip: Tensor, sound: Tensor) -> Tensor:
        """The inverse of `parted`, with zeros where the rows are empty."""
        frames, _, across = clip.shape[2:]
        rows = self.rows(across)
        room = F.pad(sound.mT, (0, frames * rows * across - sound.shape[1]))
        return torch.cat((clip, room.unflatten(2, (frames, rows, across))), 3)

    def kinds(self, grid: Sequence[int]) -> Tensor:
        """[1, 1, *grid]: 1 where the clip is, 2 where its sound is, 0 where nothing is."""
        frames, down, across = grid
        clip = torch.ones(1, 1, frames, down - self.rows(across), across)
        return self.joined(clip, torch.full((1, self.sounds(frames), 1), 2.0)).long()


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
        return self.joint.parted(z)[0]

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
        text=clips.Unweighted(
            encode=lambda texts: encode(pipe, texts), spans=[adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST)]
        ),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, called(spec, rate), skips=True), pipe.scheduler),
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


def called(spec: JointSpec, rate: float) -> adapters.Call:
    @lru_cache(maxsize=4)
    def places(network: Any, n: int, grid: tuple[int, ...], place: torch.device) -> dict[str, Tensor]:
        """When and where each position is: the same in every step."""
        seen = network.rope.prepare_video_coords(n, *grid, place, fps=rate)
        heard = network.audio_rope.prepare_audio_coords(n, spec.sounds(grid[0]), place)
        return {"video_coords": seen, "audio_coords": heard}

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        clip, sound = spec.parted(x)
        frames, down, across = clip.shape[2:]
        latest = t if t.ndim == 1 else t.flatten(1).amax(1)
        y, heard = network(
            hidden_states=clip.flatten(2).mT,
            audio_hidden_states=sound,
            encoder_hidden_states=cond["text"],
            audio_encoder_hidden_states=cond["sound_text"],
            timestep=t if t.ndim == 1 else t[:, 0, :, :down].flatten(1),
            audio_timestep=latest,
            sigma=latest,
            encoder_attention_mask=cond["text_mask"],
            audio_encoder_attention_mask=cond["text_mask"],
            num_frames=frames,
            height=down,
            width=across,
            fps=rate,
            audio_num_frames=sound.shape[1],
            **places(network, len(x), (frames, down, across), x.device),
            isolate_modalities=cond.get("apart", False),
            spatio_temporal_guidance_blocks=list(cond.get("skip_layers", ())) or None,
            use_cross_timestep=True,
            return_dict=False,
        )
        return spec.joined(y.mT.unflatten(2, (frames, down, across)), heard)

    return call
